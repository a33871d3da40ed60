//! The library `bit`: operations on 32-bit integers, as LuaBitOp has them.

use mlua::{Lua, MultiValue, Table, Value};

use super::error;

/// A number reduced modulo 2^32, rounded to even as LuaBitOp does.
fn bits(lua: &Lua, args: &MultiValue, at: usize, name: &str) -> mlua::Result<i32> {
    let value = args.get(at).cloned().unwrap_or(Value::Nil);
    let got = if at < args.len() {
        value.type_name()
    } else {
        "no value"
    };
    let number = lua.coerce_number(value)?.ok_or_else(|| {
        let text = format!(
            "bad argument #{} to '{name}' (number expected, got {got})",
            at + 1
        );
        error::text(lua, text)
    })?;
    let rounded = number.round_ties_even();
    Ok((rounded.rem_euclid(4_294_967_296.0)) as u32 as i32)
}

type Unary = fn(i32) -> i32;
type Fold = fn(i32, i32) -> i32;
type Shift = fn(i32, u32) -> i32;

/// The table `bit`.
pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let bit = lua.create_table()?;
    let unary: [(&str, Unary); 3] = [
        ("tobit", |a| a),
        ("bnot", |a| !a),
        ("bswap", i32::swap_bytes),
    ];
    for (name, f) in unary {
        let f =
            lua.create_function(move |lua, args: MultiValue| Ok(f(bits(lua, &args, 0, name)?)))?;
        bit.raw_set(name, f)?;
    }
    let folds: [(&str, Fold); 3] = [
        ("band", |a, b| a & b),
        ("bor", |a, b| a | b),
        ("bxor", |a, b| a ^ b),
    ];
    for (name, f) in folds {
        let f = lua.create_function(move |lua, args: MultiValue| {
            let mut all = bits(lua, &args, 0, name)?;
            for i in 1..args.len() {
                all = f(all, bits(lua, &args, i, name)?);
            }
            Ok(all)
        })?;
        bit.raw_set(name, f)?;
    }
    let shifts: [(&str, Shift); 5] = [
        ("lshift", |a, n| a << n),
        ("rshift", |a, n| (a as u32 >> n) as i32),
        ("arshift", |a, n| a >> n),
        ("rol", i32::rotate_left),
        ("ror", i32::rotate_right),
    ];
    for (name, f) in shifts {
        let f = lua.create_function(move |lua, args: MultiValue| {
            let a = bits(lua, &args, 0, name)?;
            Ok(f(a, bits(lua, &args, 1, name)? as u32 & 31))
        })?;
        bit.raw_set(name, f)?;
    }
    bit.raw_set(
        "tohex",
        lua.create_function(|lua, args: MultiValue| {
            let value = bits(lua, &args, 0, "tohex")? as u32;
            let digits = if args.len() > 1 {
                bits(lua, &args, 1, "tohex")?
            } else {
                8
            };
            let count = digits.unsigned_abs().min(8) as usize;
            let text = if digits < 0 {
                format!("{value:08X}")
            } else {
                format!("{value:08x}")
            };
            Ok(text[8 - count..].to_owned())
        })?,
    )?;
    Ok(bit)
}
