//! Replies to Lua values and Lua values to replies, by Redis's tables of conversion.

use mlua::{Lua, Table, Value};

use crate::base::limits::{SCRIPT_REPLY_DEPTH_MAX, SCRIPT_REPLY_LEN_MAX};
use crate::resp::{Out, Value as Reply};

use super::error::err_table;
use super::watch::spend;

/// The Lua value of a reply.
pub fn to_lua(lua: &Lua, reply: &Reply, resp3: bool) -> mlua::Result<Value> {
    let string = |bytes: &[u8]| lua.create_string(bytes).map(Value::String);
    let one = |name: &str, value: Value| {
        let table = lua.create_table_with_capacity(0, 1)?;
        table.raw_set(name, value)?;
        Ok(Value::Table(table))
    };
    match reply {
        Reply::Simple(text) => one("ok", string(text.as_bytes())?),
        Reply::Error(text) => Ok(Value::Table(err_table(lua, &error_text(text), true)?)),
        Reply::Int(n) => Ok(Value::Number(*n as f64)),
        Reply::Bulk(bytes) => string(bytes),
        Reply::Null if resp3 => Ok(Value::Nil),
        Reply::Null | Reply::NullArray => Ok(Value::Boolean(false)),
        Reply::Array(items) | Reply::Push(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (i, item) in items.iter().enumerate() {
                table.raw_set(i + 1, to_lua(lua, item, resp3)?)?;
            }
            Ok(Value::Table(table))
        }
        Reply::Map(pairs) => {
            let table = lua.create_table_with_capacity(0, pairs.len())?;
            for (key, value) in pairs {
                table.raw_set(to_lua(lua, key, resp3)?, to_lua(lua, value, resp3)?)?;
            }
            one("map", Value::Table(table))
        }
        Reply::Set(items) => {
            let table = lua.create_table_with_capacity(0, items.len())?;
            for item in items {
                table.raw_set(to_lua(lua, item, resp3)?, true)?;
            }
            one("set", Value::Table(table))
        }
        Reply::Double(value) => one("double", Value::Number(*value)),
        Reply::Bool(value) => Ok(Value::Boolean(*value)),
        Reply::BigNumber(digits) => one("big_number", string(digits.as_bytes())?),
        Reply::Verbatim(format, text) => {
            let table = lua.create_table_with_capacity(0, 2)?;
            table.raw_set("string", string(text)?)?;
            table.raw_set("format", string(format)?)?;
            one("verbatim_string", Value::Table(table))
        }
        Reply::Attribute(_, reply) => to_lua(lua, reply, resp3),
    }
}

/// The text of an error: a code, a space, the rest; where there is one word only, `ERR` is its code.
pub fn error_text(text: &str) -> Vec<u8> {
    let text = text.trim_matches(['\r', '\n']);
    if text.contains(' ') {
        text.into()
    } else {
        format!("ERR {text}").into()
    }
}

/// Writes a Lua value as a reply. `resp3`: what the script chose with redis.setresp.
///
/// # Errors
/// Lua's, from reading a table.
pub fn to_reply(lua: &Lua, value: &Value, resp3: bool, out: &mut Out) -> mlua::Result<()> {
    write(lua, value, resp3, out, 0)
}

fn write(lua: &Lua, value: &Value, resp3: bool, out: &mut Out, depth: usize) -> mlua::Result<()> {
    // A table may stand at many places in itself.
    spend(lua, 1)?;
    if out.len() > SCRIPT_REPLY_LEN_MAX {
        return Err(mlua::Error::MemoryError("not enough memory".into()));
    }
    if depth > SCRIPT_REPLY_DEPTH_MAX {
        out.error("ERR reached lua stack limit");
        return Ok(());
    }
    match value {
        Value::String(text) => out.bulk(&text.as_bytes()),
        Value::Boolean(value) if resp3 => out.bool(*value),
        Value::Boolean(true) => out.int(1),
        Value::Integer(n) => out.int(*n),
        Value::Number(n) => out.int(truncated(*n)),
        Value::Table(table) => write_table(lua, table, resp3, out, depth)?,
        _ => out.null(),
    }
    Ok(())
}

/// A number as C converts it to a `long long` on x86: out of range and NaN give the smallest.
fn truncated(n: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&n) {
        n as i64
    } else {
        i64::MIN
    }
}

fn write_table(
    lua: &Lua,
    table: &Table,
    resp3: bool,
    out: &mut Out,
    depth: usize,
) -> mlua::Result<()> {
    if let Some(err) = text(&table.raw_get("err")?) {
        out.error_bytes(&err);
        return Ok(());
    }
    if let Some(ok) = text(&table.raw_get("ok")?) {
        out.simple(&String::from_utf8_lossy(&ok).replace(['\r', '\n'], " "));
        return Ok(());
    }
    match table.raw_get("double")? {
        Value::Number(n) => {
            out.double(n);
            return Ok(());
        }
        Value::Integer(n) => {
            out.double(n as f64);
            return Ok(());
        }
        _ => {}
    }
    if let Some(digits) = text(&table.raw_get("big_number")?) {
        out.big_number(&String::from_utf8_lossy(&digits).replace(['\r', '\n'], " "));
        return Ok(());
    }
    if let Value::Table(verbatim) = table.raw_get("verbatim_string")?
        && let Some(format) = text(&verbatim.raw_get("format")?)
        && let Some(body) = text(&verbatim.raw_get("string")?)
    {
        let mut three = *b"   ";
        for (to, from) in three.iter_mut().zip(&format) {
            *to = *from;
        }
        out.verbatim(three, &body);
        return Ok(());
    }
    if let Value::Table(map) = table.raw_get("map")? {
        let (begun, mut pairs) = (out.deferred(), 0);
        for pair in map.pairs::<Value, Value>() {
            let (key, value) = pair?;
            write(lua, &key, resp3, out, depth + 1)?;
            write(lua, &value, resp3, out, depth + 1)?;
            pairs += 1;
        }
        out.end_map(begun, pairs);
        return Ok(());
    }
    if let Value::Table(set) = table.raw_get("set")? {
        let (begun, mut members) = (out.deferred(), 0);
        for pair in set.pairs::<Value, Value>() {
            write(lua, &pair?.0, resp3, out, depth + 1)?;
            members += 1;
        }
        out.end_set(begun, members);
        return Ok(());
    }
    let (begun, mut length) = (out.deferred(), 0);
    loop {
        let item: Value = table.raw_get(length + 1)?;
        if item.is_nil() {
            break;
        }
        write(lua, &item, resp3, out, depth + 1)?;
        length += 1;
    }
    out.end_array(begun, length);
    Ok(())
}

/// The bytes of a string value.
pub fn text(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}
