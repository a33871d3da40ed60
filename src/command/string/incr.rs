//! Counters: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT. Each stores the final value; the expiry stays.

use super::super::args::int;
use super::super::settings::notify;
use super::super::{Args, Ctx, Fail};
use crate::base::number::{self, LongDouble};
use crate::data::Str;
use crate::resp::Out;

/// INCR key
pub fn incr(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    add(ctx, args[1], 1, out)
}

/// DECR key
pub fn decr(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    add(ctx, args[1], -1, out)
}

/// INCRBY key increment
pub fn incrby(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    add(ctx, args[1], int(args[2])?, out)
}

/// DECRBY key decrement
pub fn decrby(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let by = int(args[2])?
        .checked_neg()
        .ok_or(Fail::DECREMENT_OVERFLOW)?;
    add(ctx, args[1], by, out)
}

fn add(ctx: &mut Ctx<'_>, key: &[u8], by: i64, out: &mut Out) -> Result<(), Fail> {
    let (value, expire_at) = counter(ctx, key, |string| match string {
        Some(string) => string.as_int().ok_or(Fail::NOT_INTEGER),
        None => Ok(0),
    })?;
    let value = value.checked_add(by).ok_or(Fail::OVERFLOW)?;
    ctx.set_string(key, &number::format_i64(value), expire_at)?;
    ctx.notify(notify::STRING, "incrby", key);
    out.int(value);
    Ok(())
}

/// INCRBYFLOAT key increment
pub fn incrbyfloat(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let key = args[1];
    let parse = |text: &[u8]| LongDouble::parse(text).ok_or(Fail::NOT_FLOAT);
    let (value, expire_at) = counter(ctx, key, |string| match string {
        Some(string) => parse(&string.as_bytes()),
        None => Ok(LongDouble::ZERO),
    })?;
    let value = value + parse(args[2])?;
    if value.is_nan() || value.is_infinite() {
        return Err(Fail::NAN_OR_INF);
    }
    let text = value.to_human();
    ctx.set_string(key, text.as_bytes(), expire_at)?;
    ctx.notify(notify::STRING, "incrbyfloat", key);
    out.bulk(text.as_bytes());
    Ok(())
}

/// A counter as `read` sees its string, and its expiry (0: none).
fn counter<T>(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    read: impl FnOnce(Option<&Str>) -> Result<T, Fail>,
) -> Result<(T, u64), Fail> {
    match ctx.lookup_write(key) {
        None => Ok((read(None)?, 0)),
        Some(entry) => {
            let string = entry.value.as_str().ok_or(Fail::WRONG_TYPE)?;
            Ok((read(Some(string))?, entry.expire_at))
        }
    }
}
