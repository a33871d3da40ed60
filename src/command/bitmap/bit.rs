//! One bit: SETBIT and GETBIT.

use super::super::settings::notify;
use super::super::{Args, Ctx, Fail};
use crate::base::number;
use crate::data::Str;
use crate::resp::Out;

/// SETBIT key offset bit: replies the bit that was there.
pub fn setbit(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let key = args[1];
    let offset = offset(ctx, args[2])?;
    let on = match number::parse_i64(args[3]) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(Fail::BIT_VALUE),
    };
    let (at, mask) = place(offset);
    let byte = ctx.string_write(key)?.and_then(|string| byte(string, at));
    let was = byte.is_some_and(|byte| byte & mask != 0);
    // A bit beyond the end makes the string longer even where it is 0.
    if byte.is_none() || was != on {
        let kept = byte.unwrap_or(0) & !mask;
        ctx.set_range(key, at, &[if on { kept | mask } else { kept }])?;
        ctx.notify(notify::STRING, "setbit", key);
    }
    out.int(i64::from(was));
    Ok(())
}

/// GETBIT key offset
pub fn getbit(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (at, mask) = place(offset(ctx, args[2])?);
    let byte = ctx.string(args[1])?.and_then(|string| byte(string, at));
    out.int(i64::from(byte.is_some_and(|byte| byte & mask != 0)));
    Ok(())
}

/// A bit's offset as an argument: within the longest string that may be.
pub fn offset(ctx: &Ctx<'_>, arg: &[u8]) -> Result<u64, Fail> {
    in_range(ctx, number::parse_i64(arg))
}

/// An offset that also may be counted in fields of `bits` (`#3`).
pub fn field_offset(ctx: &Ctx<'_>, arg: &[u8], bits: u32) -> Result<u64, Fail> {
    match arg.strip_prefix(b"#") {
        None => offset(ctx, arg),
        Some(arg) => in_range(
            ctx,
            number::parse_i64(arg).and_then(|n| n.checked_mul(i64::from(bits))),
        ),
    }
}

fn in_range(ctx: &Ctx<'_>, offset: Option<i64>) -> Result<u64, Fail> {
    offset
        .and_then(|offset| u64::try_from(offset).ok())
        .filter(|offset| offset >> 3 < ctx.settings.bulk_len_max)
        .ok_or(Fail::BIT_OFFSET)
}

/// The byte that holds a bit, and the bit in it.
fn place(offset: u64) -> (usize, u8) {
    ((offset >> 3) as usize, 0x80 >> (offset & 7))
}

fn byte(string: &Str, at: usize) -> Option<u8> {
    string.as_bytes().get(at).copied()
}
