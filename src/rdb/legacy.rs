//! What small collections lay in before listpacks: ziplists, zipmaps, and the intsets that there still are.
//!
//! **Invariant.** An iteration gives what the blob holds, or an error.

use super::Error;
use super::listpack::le_int;
use crate::data::View;

const END: u8 = 0xff;
const ZIPLIST: Error = Error::Corrupt("a ziplist");
const ZIPMAP: Error = Error::Corrupt("a zipmap");
const INTSET: Error = Error::Corrupt("an intset");

/// Takes `N` bytes off the front.
fn take<'a>(rest: &mut &'a [u8], len: usize, wrong: Error) -> Result<&'a [u8], Error> {
    let (taken, left) = rest.split_at_checked(len).ok_or(wrong)?;
    *rest = left;
    Ok(taken)
}

/// The entries of a ziplist.
pub fn ziplist(blob: &[u8]) -> Result<impl Iterator<Item = Result<View<'_>, Error>>, Error> {
    let (head, body) = blob.split_first_chunk::<10>().ok_or(ZIPLIST)?;
    let (&end, mut rest) = body.split_last().ok_or(ZIPLIST)?;
    if le_int(&head[..4]) as u32 as usize != blob.len() || end != END {
        return Err(ZIPLIST);
    }
    let count = u16::from_le_bytes([head[8], head[9]]);
    let (mut read, mut failed) = (0u64, false);
    Ok(std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let entry = if rest.is_empty() {
            let complete = count == u16::MAX || u64::from(count) == read;
            (!complete).then_some(Err(ZIPLIST))
        } else {
            read += 1;
            Some(ziplist_entry(&mut rest))
        };
        failed = !matches!(entry, Some(Ok(_)));
        entry
    }))
}

/// One entry: the length of the one before it, its form, itself.
fn ziplist_entry<'a>(rest: &mut &'a [u8]) -> Result<View<'a>, Error> {
    if take(rest, 1, ZIPLIST)?[0] >= 254 {
        take(rest, 4, ZIPLIST)?;
    }
    let form = take(rest, 1, ZIPLIST)?[0];
    let low = usize::from(form & 0x3f);
    let len = match form {
        0..0x40 => low,
        0x40..0x80 => low << 8 | usize::from(take(rest, 1, ZIPLIST)?[0]),
        0x80 => {
            let bytes = take(rest, 4, ZIPLIST)?;
            bytes.iter().fold(0, |n, &b| n << 8 | usize::from(b))
        }
        0xc0 => return Ok(View::int(le_int(take(rest, 2, ZIPLIST)?))),
        0xd0 => return Ok(View::int(le_int(take(rest, 4, ZIPLIST)?))),
        0xe0 => return Ok(View::int(le_int(take(rest, 8, ZIPLIST)?))),
        0xf0 => return Ok(View::int(le_int(take(rest, 3, ZIPLIST)?))),
        0xfe => return Ok(View::int(le_int(take(rest, 1, ZIPLIST)?))),
        0xf1..=0xfd => return Ok(View::int(i64::from(form & 0x0f) - 1)),
        _ => return Err(ZIPLIST),
    };
    take(rest, len, ZIPLIST).map(View::Bytes)
}

/// The fields and values of a zipmap, in turn.
pub fn zipmap(blob: &[u8]) -> Result<impl Iterator<Item = Result<View<'_>, Error>>, Error> {
    // The first byte counts up to 253 pairs; nothing needs it.
    let (_, mut rest) = blob.split_first().ok_or(ZIPMAP)?;
    let (mut is_value, mut failed) = (false, false);
    Ok(std::iter::from_fn(move || {
        if failed || rest == [END] && !is_value {
            return None;
        }
        let entry = zipmap_entry(&mut rest, is_value);
        is_value = !is_value;
        failed = entry.is_err();
        Some(entry.map(View::Bytes))
    }))
}

fn zipmap_entry<'a>(rest: &mut &'a [u8], is_value: bool) -> Result<&'a [u8], Error> {
    let len = match take(rest, 1, ZIPMAP)?[0] {
        254 => le_int(take(rest, 4, ZIPMAP)?) as u32 as usize,
        END => return Err(ZIPMAP),
        len => len.into(),
    };
    let unused = if is_value {
        take(rest, 1, ZIPMAP)?[0]
    } else {
        0
    };
    let bytes = take(rest, len, ZIPMAP)?;
    take(rest, unused.into(), ZIPMAP)?;
    Ok(bytes)
}

/// The integers of an intset, which ascend.
pub fn intset(blob: &[u8]) -> Result<impl Iterator<Item = Result<View<'_>, Error>>, Error> {
    let (head, body) = blob.split_first_chunk::<8>().ok_or(INTSET)?;
    let width = le_int(&head[..4]) as usize;
    let count = le_int(&head[4..]) as u32 as usize;
    if ![2, 4, 8].contains(&width) || body.len() != count.saturating_mul(width) {
        return Err(INTSET);
    }
    let mut before = None;
    Ok(body.chunks_exact(width).map(move |bytes| {
        let int = le_int(bytes);
        if before.replace(int).is_some_and(|before| before >= int) {
            return Err(INTSET);
        }
        Ok(View::int(int))
    }))
}

/// Ascending integers as an intset of the least width that holds them all.
pub fn put_intset(ints: &[i64]) -> Vec<u8> {
    let within = |min: i64, max: i64| ints.iter().all(|int| (min..=max).contains(int));
    let width = if within(i16::MIN.into(), i16::MAX.into()) {
        2
    } else if within(i32::MIN.into(), i32::MAX.into()) {
        4
    } else {
        8
    };
    let mut blob = Vec::with_capacity(8 + ints.len() * width);
    blob.extend_from_slice(&(width as u32).to_le_bytes());
    blob.extend_from_slice(&(ints.len() as u32).to_le_bytes());
    for int in ints {
        blob.extend_from_slice(&int.to_le_bytes()[..width]);
    }
    blob
}
