//! Writing the smallest parts, each in its shortest form.

use super::lzf;
use crate::data::View;
use crate::data::view::parse_int;

/// Strings up to this many bytes may be written as integers.
const INT_TEXT_MAX: usize = 11;
/// Longer strings are compressed where that saves at least [`SAVING_MIN`].
const COMPRESS_ABOVE: usize = 20;
const SAVING_MIN: usize = 4;

/// Appends a length or a count.
pub fn put_len(out: &mut Vec<u8>, len: u64) {
    if len < 1 << 6 {
        out.push(len as u8);
    } else if len < 1 << 14 {
        out.extend_from_slice(&(len as u16 | 0x4000).to_be_bytes());
    } else if let Ok(len) = u32::try_from(len) {
        out.push(0x80);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(0x81);
        out.extend_from_slice(&len.to_be_bytes());
    }
}

/// Appends a string.
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() <= INT_TEXT_MAX
        && let Some(int) = parse_int(bytes)
        && put_small_int(out, int)
    {
        return;
    }
    if bytes.len() > COMPRESS_ABOVE
        && let Some(packed) = lzf::compress(bytes, bytes.len() - SAVING_MIN)
    {
        out.push(0xc3);
        put_len(out, packed.len() as u64);
        put_len(out, bytes.len() as u64);
        out.extend_from_slice(&packed);
        return;
    }
    put_plain(out, bytes);
}

/// Appends a string as it is.
pub fn put_plain(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends the string that is an integer's text.
pub fn put_int(out: &mut Vec<u8>, int: i64) {
    if !put_small_int(out, int) {
        put_plain(out, &View::int(int));
    }
}

fn put_small_int(out: &mut Vec<u8>, int: i64) -> bool {
    if let Ok(int) = i8::try_from(int) {
        out.push(0xc0);
        out.extend_from_slice(&int.to_le_bytes());
    } else if let Ok(int) = i16::try_from(int) {
        out.push(0xc1);
        out.extend_from_slice(&int.to_le_bytes());
    } else if let Ok(int) = i32::try_from(int) {
        out.push(0xc2);
        out.extend_from_slice(&int.to_le_bytes());
    } else {
        return false;
    }
    true
}
