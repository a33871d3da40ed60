//! Functions of Lua's library `table` that, in C, take time by the table alone: here the script's time is looked at.

use mlua::{Function, Lua, LuaString, MultiValue, Table, Value};

use super::error;
use super::strings::{number, string, type_name};
use super::watch::{LOOK_AFTER, LOOK_NOW, may_hold, spend, spend_each};

/// Adds them to a table: `concat`, `insert`, `remove`; `sort_plain`, which says whether it could sort; `is_native`; and
/// `look` for those that stay in C.
pub fn add(lua: &Lua, to: &Table) -> mlua::Result<()> {
    to.raw_set("concat", lua.create_function(concat)?)?;
    to.raw_set("insert", lua.create_function(insert)?)?;
    to.raw_set("remove", lua.create_function(remove)?)?;
    to.raw_set("sort_plain", lua.create_function(sort_plain)?)?;
    let native = |f: Function| f.info().what == "C";
    to.raw_set(
        "is_native",
        lua.create_function(move |_, f: Value| Ok(f.as_function().cloned().is_some_and(native)))?,
    )?;
    to.raw_set("look", lua.create_function(|lua, ()| spend(lua, LOOK_NOW))?)
}

fn table<'a>(lua: &Lua, args: &'a MultiValue, name: &str) -> mlua::Result<&'a Table> {
    if let Some(Value::Table(table)) = args.front() {
        return Ok(table);
    }
    let got = args.front().map_or("no value", type_name);
    let text = format!("bad argument #1 to '{name}' (table expected, got {got})");
    Err(error::text(lua, text))
}

fn insert(lua: &Lua, args: MultiValue) -> mlua::Result<()> {
    let table = table(lua, &args, "insert")?;
    let length = table.raw_len() as i64;
    let (at, value) = match args.len() {
        2 => return table.raw_set(length + 1, &args[1]),
        3 => (number(lua, &args, 1, "insert")? as i64, &args[2]),
        _ => return Err(error::text(lua, "wrong number of arguments to 'insert'")),
    };
    if (1..=length + 1).contains(&at) {
        spend(lua, (length + 1 - at) as usize)?;
        return table.raw_insert(at, value);
    }
    // Before the first: all that is there moves, and so does what lies between.
    for i in (at + 1..=length + 1).rev() {
        spend(lua, 1)?;
        table.raw_set(i, table.raw_get::<Value>(i - 1)?)?;
    }
    table.raw_set(at, value)
}

fn remove(lua: &Lua, args: MultiValue) -> mlua::Result<MultiValue> {
    let table = table(lua, &args, "remove")?;
    let length = table.raw_len() as i64;
    let at = match args.get(1) {
        None | Some(Value::Nil) => length,
        Some(_) => number(lua, &args, 1, "remove")? as i64,
    };
    if !(1..=length).contains(&at) {
        return Ok(MultiValue::new());
    }
    let value: Value = table.raw_get(at)?;
    spend(lua, (length - at) as usize)?;
    table.raw_remove(at)?;
    Ok(MultiValue::from_iter([value]))
}

fn concat(lua: &Lua, args: MultiValue) -> mlua::Result<LuaString> {
    let table = table(lua, &args, "concat")?;
    let given = |at: usize| args.get(at).is_some_and(|v| !v.is_nil());
    let between = match given(1) {
        true => Some(string(lua, &args, 1, "concat")?),
        false => None,
    };
    let bound = |at: usize| number(lua, &args, at, "concat").map(|n| n as i64);
    let first = if given(2) { bound(2)? } else { 1 };
    let last = if given(3) {
        bound(3)?
    } else {
        table.raw_len() as i64
    };
    let mut out = Vec::new();
    for i in first..=last {
        let item: Value = table.raw_get(i)?;
        match &item {
            Value::String(text) => out.extend_from_slice(&text.as_bytes()),
            Value::Integer(_) | Value::Number(_) => {
                if let Some(text) = lua.coerce_string(item.clone())? {
                    out.extend_from_slice(&text.as_bytes());
                }
            }
            other => {
                let got = type_name(other);
                let text = format!("invalid value ({got}) at index {i} in table for 'concat'");
                return Err(error::text(lua, text));
            }
        }
        if let Some(between) = &between
            && i < last
        {
            out.extend_from_slice(&between.as_bytes());
        }
        may_hold(out.len())?;
        spend_each(lua, i as usize)?;
    }
    lua.create_string(out)
}

/// Sorts a table of numbers alone or of strings alone, for which there is one order only. False: it is neither.
fn sort_plain(lua: &Lua, table: Table) -> mlua::Result<bool> {
    let length = table.raw_len();
    let mut items: Vec<Value> = Vec::new();
    let (mut numbers, mut strings) = (true, true);
    for i in 1..=length {
        let item: Value = table.raw_get(i)?;
        numbers &=
            matches!(&item, Value::Integer(_)) || matches!(&item, Value::Number(n) if !n.is_nan());
        strings &= item.is_string();
        if !numbers && !strings {
            return Ok(false);
        }
        items.push(item);
        spend_each(lua, i)?;
    }
    let value = |v: &Value| match v {
        Value::Integer(n) => *n as f64,
        Value::Number(n) => *n,
        _ => 0.0,
    };
    match numbers {
        true => in_pieces(lua, &mut items, |a, b| value(a).total_cmp(&value(b)))?,
        false => in_pieces(lua, &mut items, |a, b| match (a, b) {
            (Value::String(a), Value::String(b)) => a.as_bytes().cmp(&b.as_bytes()),
            _ => std::cmp::Ordering::Equal,
        })?,
    }
    for (i, item) in items.into_iter().enumerate() {
        table.raw_set(i + 1, item)?;
        spend_each(lua, i)?;
    }
    Ok(true)
}

/// Sorts pieces, then twice as long ones, which are two runs each: no single sort takes long.
fn in_pieces<T>(
    lua: &Lua,
    items: &mut [T],
    order: impl Fn(&T, &T) -> std::cmp::Ordering,
) -> mlua::Result<()> {
    let mut piece = 4 * LOOK_AFTER;
    loop {
        for run in items.chunks_mut(piece) {
            run.sort_by(&order);
            spend(lua, run.len())?;
        }
        if piece >= items.len() {
            return Ok(());
        }
        piece *= 2;
    }
}
