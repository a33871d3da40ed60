//! Functions of Lua's library `string` that do not leave C for as long as their arguments say: here they are bounded.

use mlua::{Lua, LuaString, MultiValue, Table, Value};

use super::error;
use super::watch::{may_hold, spend};

/// Adds them to a table, by the names that `string` has them under.
pub fn add(lua: &Lua, to: &Table) -> mlua::Result<()> {
    to.raw_set("rep", lua.create_function(rep)?)
}

/// The argument at a place, counted from 0, as a string.
///
/// # Errors
/// It is none.
pub fn string(lua: &Lua, args: &MultiValue, at: usize, name: &str) -> mlua::Result<LuaString> {
    let value = args.get(at).cloned().unwrap_or(Value::Nil);
    let text = lua.coerce_string(value)?;
    text.ok_or_else(|| wrong(lua, args, at, name, "string"))
}

/// The argument at a place, counted from 0, as C has an `int` of it.
///
/// # Errors
/// It is no number.
pub fn integer(lua: &Lua, args: &MultiValue, at: usize, name: &str) -> mlua::Result<i64> {
    let value = args.get(at).cloned().unwrap_or(Value::Nil);
    let number = lua.coerce_number(value)?;
    let number = number.ok_or_else(|| wrong(lua, args, at, name, "number"))?;
    Ok(number as i64)
}

fn wrong(lua: &Lua, args: &MultiValue, at: usize, name: &str, wanted: &str) -> mlua::Error {
    let got = args.get(at).map_or("no value", Value::type_name);
    let got = if got == "integer" { "number" } else { got };
    let text = format!(
        "bad argument #{} to '{name}' ({wanted} expected, got {got})",
        at + 1
    );
    error::text(lua, text)
}

fn rep(lua: &Lua, args: MultiValue) -> mlua::Result<LuaString> {
    let text = string(lua, &args, 0, "rep")?;
    let times = usize::try_from(integer(lua, &args, 1, "rep")?).unwrap_or(0);
    let bytes = text.as_bytes();
    let length = bytes.len().saturating_mul(times);
    may_hold(length)?;
    spend(lua, length)?;
    if bytes.is_empty() {
        return lua.create_string("");
    }
    lua.create_string(bytes.repeat(times))
}
