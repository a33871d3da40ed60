//! Ids of entries as clients write them: `ms-seq`, `ms`, and for a range `-`, `+` and `(` for "not itself".

use crate::base::number::parse_u64;
use crate::command::Fail;
use crate::data::stream::Id;
use crate::resp::Out;

const INVALID: Fail = Fail::new("ERR Invalid stream ID specified as stream command argument");
const START: Fail = Fail::new("ERR invalid start ID for the interval");
const END: Fail = Fail::new("ERR invalid end ID for the interval");

/// An argument that is longer is no id.
const LEN_MAX: usize = 127;

/// An id of its two parts.
pub fn of(ms: u64, seq: u64) -> Id {
    (Id::from(ms) << 64) | Id::from(seq)
}

/// The milliseconds of an id.
pub fn ms(id: Id) -> u64 {
    (id >> 64) as u64
}

/// Writes an id as a bulk string.
pub fn write(out: &mut Out, id: Id) {
    out.bulk_display(format_args!("{}-{}", ms(id), id as u64));
}

/// Reads `ms-seq` or `ms`; `seq` reads the sequence number, or says what it is where there is none.
fn parts(arg: &[u8], seq: impl Fn(Option<&[u8]>) -> Option<u64>) -> Option<Id> {
    if arg.len() > LEN_MAX {
        return None;
    }
    // As in Redis a text ends at a NUL.
    let arg = arg.split(|&byte| byte == 0).next()?;
    let dash = arg.iter().position(|&byte| byte == b'-');
    let ms = parse_u64(&arg[..dash.unwrap_or(arg.len())])?;
    Some(of(ms, seq(dash.map(|at| &arg[at + 1..]))?))
}

/// Reads an id; without a sequence number it has `missing`.
pub fn exact(arg: &[u8], missing: u64) -> Result<Id, Fail> {
    let seq = |text: Option<&[u8]>| text.map_or(Some(missing), parse_u64);
    parts(arg, seq).ok_or(INVALID)
}

/// Reads an id, or `-` or `+` for the least and the greatest there can be.
pub fn or_end(arg: &[u8], missing: u64) -> Result<Id, Fail> {
    match arg {
        b"-" => Ok(0),
        b"+" => Ok(Id::MAX),
        _ => exact(arg, missing),
    }
}

/// Reads an id for XADD; the flag says whether a sequence number was given: `ms-*` asks for one.
pub fn to_add(arg: &[u8]) -> Result<(Id, bool), Fail> {
    match arg.strip_suffix(b"-*") {
        Some(ms) if arg.len() <= LEN_MAX => Ok((of(parse_u64(ms).ok_or(INVALID)?, 0), false)),
        _ => Ok((exact(arg, 0)?, true)),
    }
}

/// Reads where an interval starts: the first id that is in it.
pub fn start(arg: &[u8]) -> Result<Id, Fail> {
    match arg {
        [b'(', rest @ ..] if !rest.is_empty() => exact(rest, 0)?.checked_add(1).ok_or(START),
        _ => or_end(arg, 0),
    }
}

/// Reads where an interval ends: the last id that is in it.
pub fn end(arg: &[u8]) -> Result<Id, Fail> {
    match arg {
        [b'(', rest @ ..] if !rest.is_empty() => exact(rest, u64::MAX)?.checked_sub(1).ok_or(END),
        _ => or_end(arg, u64::MAX),
    }
}
