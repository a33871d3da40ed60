//! Parts of values and their lengths: GETRANGE, SUBSTR, SETRANGE, APPEND, STRLEN.

use std::ops::Range;

use super::super::args::int;
use super::super::settings::notify;
use super::super::{Args, Ctx, Fail};
use crate::data::Str;
use crate::resp::Out;

/// The part of `len` bytes (or bits) from `start` to `end`, both included and, where negative,
/// counted from the back; `None` where it is empty.
pub fn byte_range(start: i64, end: i64, len: usize) -> Option<Range<usize>> {
    let from_front = |at: i64| {
        let at = if at < 0 { at + len as i64 } else { at };
        usize::try_from(at).unwrap_or(0)
    };
    let (start, end) = (from_front(start), from_front(end).min(len.checked_sub(1)?));
    (start <= end).then_some(start..end + 1)
}

/// GETRANGE key start end, SUBSTR key start end
pub fn getrange(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (start, end) = (int(args[2])?, int(args[3])?);
    let Some(string) = ctx.string(args[1])? else {
        out.bulk(b"");
        return Ok(());
    };
    // Told apart before both are cut to the front, where they would name the first byte.
    let backwards = start < 0 && end < 0 && start > end;
    match byte_range(start, end, string.len()).filter(|_| !backwards) {
        Some(range) => out.bulk(&string.as_bytes()[range]),
        None => out.bulk(b""),
    }
    Ok(())
}

/// SETRANGE key offset value
pub fn setrange(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (key, value) = (args[1], args[3]);
    let offset = usize::try_from(int(args[2])?).map_err(|_| Fail::OFFSET_OUT_OF_RANGE)?;
    let len = ctx.string_write(key)?.map_or(0, Str::len);
    if value.is_empty() {
        out.len_int(len);
        return Ok(());
    }
    let end = checked_len(ctx, offset, value.len())?;
    ctx.set_range(key, offset, value)?;
    ctx.notify(notify::STRING, "setrange", key);
    out.len_int(len.max(end));
    Ok(())
}

/// APPEND key value
pub fn append(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (key, value) = (args[1], args[2]);
    let len = match ctx.string_write(key)?.map(Str::len) {
        // A new key is as SET makes it, so that a number is stored as one.
        None => {
            ctx.set_string(key, value, 0)?;
            value.len()
        }
        Some(len) => {
            let end = checked_len(ctx, len, value.len())?;
            ctx.set_range(key, len, value)?;
            end
        }
    };
    ctx.notify(notify::STRING, "append", key);
    out.len_int(len);
    Ok(())
}

/// STRLEN key
pub fn strlen(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let len = ctx.string(args[1])?.map_or(0, Str::len);
    out.len_int(len);
    Ok(())
}

/// The length of a string that is written to up to there, if strings may be that long.
fn checked_len(ctx: &Ctx<'_>, offset: usize, more: usize) -> Result<usize, Fail> {
    offset
        .checked_add(more)
        .filter(|&len| len as u64 <= ctx.settings.bulk_len_max)
        .ok_or(Fail::STRING_TOO_LONG)
}
