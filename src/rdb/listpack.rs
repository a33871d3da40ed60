//! Listpacks: entries one behind the other, integers as such, each followed by its length for reading back.
//!
//! Six bytes stand before (the length of all, the count of entries or 65535), 0xff behind. **Invariant.** An
//! iteration gives whole entries of the blob alone, or an error.

use super::Error;
use crate::data::View;
use crate::data::view::parse_int;

const HEADER: usize = 6;
const END: u8 = 0xff;
/// The count says that nobody counted.
const UNCOUNTED: u16 = u16::MAX;
const WRONG: Error = Error::Corrupt("a listpack");

/// The entries of a listpack, checked on the way.
pub struct Entries<'a> {
    rest: &'a [u8],
    counted: Option<u64>,
}

/// The entries of these bytes.
pub fn entries(blob: &[u8]) -> Result<Entries<'_>, Error> {
    let (&[a, b, c, d, e, f], rest) = blob.split_first_chunk::<HEADER>().ok_or(WRONG)?;
    if u32::from_le_bytes([a, b, c, d]) as usize != blob.len() || rest.last() != Some(&END) {
        return Err(WRONG);
    }
    let count = u16::from_le_bytes([e, f]);
    Ok(Entries {
        rest,
        counted: (count != UNCOUNTED).then_some(count.into()),
    })
}

/// An integer of `bytes`, the lowest byte first.
pub(super) fn le_int(bytes: &[u8]) -> i64 {
    let unused = 64 - 8 * bytes.len() as u32;
    let raw = bytes.iter().rev().fold(0i64, |n, &b| n << 8 | i64::from(b));
    raw << unused >> unused
}

impl<'a> Entries<'a> {
    fn read(&mut self) -> Result<View<'a>, Error> {
        let take = |from: usize, len: usize| {
            let to = from.checked_add(len).ok_or(WRONG)?;
            self.rest.get(from..to).ok_or(WRONG)
        };
        let &[first, ..] = take(0, 1)? else {
            return Err(WRONG);
        };
        let low = |bits: u32| usize::from(first) & ((1 << bits) - 1);
        let (value, size) = match first {
            0..0x80 => (View::int(first.into()), 1),
            0x80..0xc0 => (View::Bytes(take(1, low(6))?), 1 + low(6)),
            0xc0..0xe0 => {
                let raw = (low(5) << 8) as i64 | i64::from(take(1, 1)?[0]);
                (View::int(raw << 51 >> 51), 2)
            }
            0xe0..0xf0 => {
                let len = low(4) << 8 | usize::from(take(1, 1)?[0]);
                (View::Bytes(take(2, len)?), 2 + len)
            }
            0xf0 => {
                let len = le_int(take(1, 4)?) as u32 as usize;
                (View::Bytes(take(5, len)?), 5 + len)
            }
            0xf1 => (View::int(le_int(take(1, 2)?)), 3),
            0xf2 => (View::int(le_int(take(1, 3)?)), 4),
            0xf3 => (View::int(le_int(take(1, 4)?)), 5),
            0xf4 => (View::int(le_int(take(1, 8)?)), 9),
            _ => return Err(WRONG),
        };
        let (mut back, len) = ([0; 5], back_len(size));
        put_back(&mut back[..len], size);
        if take(size, len)? != &back[..len] {
            return Err(WRONG);
        }
        self.rest = &self.rest[size + len..];
        Ok(value)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<View<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest == [END] {
            let complete = self.counted.is_none_or(|left| left == 0);
            self.rest = &[];
            return (!complete).then_some(Err(WRONG));
        }
        if self.rest.is_empty() {
            return None;
        }
        let read = match &mut self.counted {
            Some(0) => Err(WRONG),
            counted => {
                if let Some(left) = counted {
                    *left -= 1;
                }
                self.read()
            }
        };
        if read.is_err() {
            self.rest = &[];
        }
        Some(read)
    }
}

/// Bytes of the length that stands behind an entry of `size` bytes.
fn back_len(size: usize) -> usize {
    match size {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// Writes it: seven bits to a byte, the highest first; all but the first are marked.
fn put_back(out: &mut [u8], mut size: usize) {
    for byte in out[1..].iter_mut().rev() {
        *byte = (size & 0x7f) as u8 | 0x80;
        size >>= 7;
    }
    out[0] = size as u8;
}

/// A listpack that is being written.
#[derive(Default)]
pub struct Builder {
    body: Vec<u8>,
    count: usize,
}

impl Builder {
    /// Appends an entry: as an integer, if it is one's canonical text.
    pub fn push(&mut self, bytes: &[u8]) {
        match parse_int(bytes) {
            Some(int) => self.push_int(int),
            None => self.push_bytes(bytes),
        }
    }

    /// Appends an integer.
    pub fn push_int(&mut self, int: i64) {
        let at = self.body.len();
        let bytes = int.to_le_bytes();
        let (mark, len) = match int {
            0..=127 => {
                self.body.push(int as u8);
                return self.close(at);
            }
            -4096..=4095 => {
                let raw = (int & 0x1fff) as u16 | 0xc000;
                self.body.extend_from_slice(&raw.to_be_bytes());
                return self.close(at);
            }
            -0x8000..=0x7fff => (0xf1, 2),
            -0x80_0000..=0x7f_ffff => (0xf2, 3),
            -0x8000_0000..=0x7fff_ffff => (0xf3, 4),
            _ => (0xf4, 8),
        };
        self.body.push(mark);
        self.body.extend_from_slice(&bytes[..len]);
        self.close(at);
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        let at = self.body.len();
        match bytes.len() {
            len @ 0..64 => self.body.push(0x80 | len as u8),
            len @ 64..4096 => {
                let head = len as u16 | 0xe000;
                self.body.extend_from_slice(&head.to_be_bytes());
            }
            len => {
                self.body.push(0xf0);
                self.body.extend_from_slice(&(len as u32).to_le_bytes());
            }
        }
        self.body.extend_from_slice(bytes);
        self.close(at);
    }

    fn close(&mut self, at: usize) {
        let size = self.body.len() - at;
        let (mut back, len) = ([0; 5], back_len(size));
        put_back(&mut back[..len], size);
        self.body.extend_from_slice(&back[..len]);
        self.count += 1;
    }

    /// Appends all entries of another.
    pub fn append(&mut self, other: Builder) {
        self.body.extend_from_slice(&other.body);
        self.count += other.count;
    }

    /// Bytes of the whole so far.
    pub fn size(&self) -> usize {
        HEADER + self.body.len() + 1
    }

    /// Entries so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The listpack.
    pub fn finish(self) -> Vec<u8> {
        let mut blob = Vec::with_capacity(self.size());
        blob.extend_from_slice(&(self.size() as u32).to_le_bytes());
        let count = u16::try_from(self.count).unwrap_or(UNCOUNTED);
        blob.extend_from_slice(&count.to_le_bytes());
        blob.extend_from_slice(&self.body);
        blob.push(END);
        blob
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let ints = [
            0,
            1,
            127,
            128,
            -1,
            4095,
            -4096,
            4096,
            -4097,
            32767,
            -32768,
            32768,
            8_388_607,
            -8_388_608,
            8_388_608,
            i64::from(i32::MAX),
            i64::from(i32::MIN),
            1 << 31,
            i64::MAX,
            i64::MIN,
        ];
        let texts = [
            0usize, 1, 63, 64, 120, 127, 4095, 4096, 16_380, 17_000, 2_200_000,
        ];
        let mut builder = Builder::default();
        ints.iter().for_each(|&int| builder.push(&View::int(int)));
        texts.iter().for_each(|&len| builder.push(&vec![b'x'; len]));
        let blob = builder.finish();
        let mut entries = entries(&blob).unwrap();
        for int in ints {
            assert_eq!(*entries.next().unwrap().unwrap(), *View::int(int));
        }
        for len in texts {
            assert_eq!(entries.next().unwrap().unwrap().len(), len);
        }
        assert!(entries.next().is_none());
    }
}
