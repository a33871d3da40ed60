//! Entries one behind the other in one byte vector: what small hashes, sets and sorted sets lie in.
//!
//! An entry is its length (LEB128: seven bits to a byte, low first, the top bit says "more") and its
//! bytes. **Invariant.** A vector holds whole entries only; it is written by this process alone, so
//! reading does not check.

use super::size::{reserve_class, shrink_class};

/// Appends `len` as a length prefix.
pub fn put_len(out: &mut Vec<u8>, mut len: u64) {
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

/// Bytes of the length prefix of `len`.
pub fn len_size(len: u64) -> usize {
    (64 - (len | 1).leading_zeros() as usize).div_ceil(7)
}

/// Reads a length prefix at `at`: the length, and where what follows begins.
#[inline]
pub fn get_len(buf: &[u8], mut at: usize) -> (u64, usize) {
    let first = buf[at];
    if first < 0x80 {
        return (u64::from(first), at + 1);
    }
    let (mut len, mut shift) = (0u64, 0);
    loop {
        let byte = buf[at];
        at += 1;
        len |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return (len, at);
        }
        shift += 7;
    }
}

/// Appends an entry.
pub fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    reserve_class(out, len_size(bytes.len() as u64) + bytes.len());
    put_len(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The entry at `at`, and where the next begins.
#[inline]
pub fn get(buf: &[u8], at: usize) -> (&[u8], usize) {
    let (len, at) = get_len(buf, at);
    let end = at + len as usize;
    (&buf[at..end], end)
}

/// Replaces `start..end` by `bytes`; what follows moves.
pub fn replace(buf: &mut Vec<u8>, start: usize, end: usize, bytes: &[u8]) {
    let (old, new) = (end - start, bytes.len());
    let len = buf.len();
    if new > old {
        reserve_class(buf, new - old);
        buf.resize(len + new - old, 0);
        buf.copy_within(end..len, start + new);
    } else if new < old {
        buf.copy_within(end..len, start + new);
        buf.truncate(len - (old - new));
        shrink_class(buf);
    }
    buf[start..start + new].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let lens = [0usize, 1, 127, 128, 16383, 16384, 70000];
        let mut buf = Vec::new();
        for len in lens {
            let start = buf.len();
            put(&mut buf, &vec![7; len]);
            assert_eq!(buf.len() - start, len + len_size(len as u64));
        }
        let mut at = 0;
        for len in lens {
            let (bytes, next) = get(&buf, at);
            assert_eq!(bytes.len(), len);
            at = next;
        }
        assert_eq!(at, buf.len());
        assert_eq!(len_size(u64::MAX), 10);
    }

    #[test]
    fn replacing_moves_the_rest() {
        let mut buf = b"hello world".to_vec();
        replace(&mut buf, 0, 5, b"goodbye");
        assert_eq!(buf, b"goodbye world");
        replace(&mut buf, 7, 13, b"");
        assert_eq!(buf, b"goodbye");
        replace(&mut buf, 7, 7, b"!");
        assert_eq!(buf, b"goodbye!");
    }
}
