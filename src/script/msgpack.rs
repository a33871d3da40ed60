//! The library `cmsgpack`: MessagePack as lua-cmsgpack 0.4 reads and writes it.

use mlua::{Lua, MultiValue, Table, Value};

use super::error;
use super::strings::string;
use super::watch::{RESULTS_MAX, may_hold, spend};

/// Tables nested deeper are packed as nil.
const NESTING_MAX: usize = 16;
/// How deep packed data may nest. Beyond: "reached lua stack limit".
const UNPACK_DEPTH_MAX: usize = 200;

/// The table `cmsgpack`.
pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    library.raw_set(
        "pack",
        lua.create_function(|lua, args: MultiValue| {
            if args.is_empty() {
                return Err(error::text(
                    lua,
                    "bad argument #0 to 'pack' (MessagePack pack needs input.)",
                ));
            }
            let mut out = Vec::new();
            for value in &args {
                pack(lua, value, &mut out, 0)?;
            }
            lua.create_string(out)
        })?,
    )?;
    library.raw_set(
        "unpack",
        lua.create_function(|lua, args: MultiValue| {
            let bytes = bytes(lua, &args, "unpack")?;
            let mut values = MultiValue::new();
            let mut reader = Reader {
                lua,
                bytes: &bytes,
                at: 0,
            };
            while reader.at < bytes.len() {
                values.push_back(reader.value(0)?);
                room(lua, &values)?;
            }
            Ok(values)
        })?,
    )?;
    for (name, one) in [("unpack_one", true), ("unpack_limit", false)] {
        library.raw_set(
            name,
            lua.create_function(move |lua, args: MultiValue| {
                let bytes = bytes(lua, &args, name)?;
                let number = |at: usize, otherwise: i64| {
                    let value = args.get(at).cloned().unwrap_or(Value::Nil);
                    mlua::Result::Ok(lua.coerce_number(value)?.map_or(otherwise, |n| n as i64))
                };
                let (limit, offset) = if one {
                    (1, number(1, 0)?)
                } else {
                    (number(1, 0)?, number(2, 0)?)
                };
                if limit < 0 || offset < 0 {
                    let text = format!(
                        "Invalid request to unpack with offset of {offset} and limit of {}.",
                        bytes.len()
                    );
                    return Err(error::text(lua, text));
                }
                if offset as usize > bytes.len() {
                    let text = format!(
                        "Start offset {offset} greater than input length {}.",
                        bytes.len()
                    );
                    return Err(error::text(lua, text));
                }
                let mut reader = Reader {
                    lua,
                    bytes: &bytes,
                    at: offset as usize,
                };
                let mut values = MultiValue::new();
                while reader.at < bytes.len() && (limit == 0 || (values.len() as i64) < limit) {
                    values.push_back(reader.value(0)?);
                    room(lua, &values)?;
                }
                let next = if reader.at == bytes.len() {
                    -1
                } else {
                    reader.at as i64
                };
                values.push_front(Value::Integer(next));
                Ok(values)
            })?,
        )?;
    }
    library.raw_set("_NAME", "cmsgpack")?;
    library.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    library.raw_set("_COPYRIGHT", "")?;
    library.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(library)
}

fn bytes(lua: &Lua, args: &MultiValue, name: &str) -> mlua::Result<Vec<u8>> {
    Ok(string(lua, args, 0, name)?.as_bytes().to_vec())
}

fn room(lua: &Lua, values: &MultiValue) -> mlua::Result<()> {
    match values.len() > RESULTS_MAX {
        true => Err(error::text(
            lua,
            "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)",
        )),
        false => Ok(()),
    }
}

/// A length with the shortest of the headers that can hold it: fix (up to `fix_max`), 8 bits where there is such, 16, 32.
fn header(out: &mut Vec<u8>, length: usize, fix: (u8, usize), eight: Option<u8>, sixteen: u8) {
    if length <= fix.1 {
        out.push(fix.0 | length as u8);
    } else if let (Some(kind), true) = (eight, length <= 0xFF) {
        out.extend_from_slice(&[kind, length as u8]);
    } else if length <= 0xFFFF {
        out.push(sixteen);
        out.extend_from_slice(&(length as u16).to_be_bytes());
    } else {
        out.push(sixteen + 1);
        out.extend_from_slice(&(length as u32).to_be_bytes());
    }
}

fn pack_int(n: i64, out: &mut Vec<u8>) {
    match n {
        -32..=127 => out.push(n as i8 as u8),
        128..=0xFF => out.extend_from_slice(&[0xcc, n as u8]),
        0x100..=0xFFFF => {
            out.push(0xcd);
            out.extend_from_slice(&(n as u16).to_be_bytes())
        }
        0x1_0000..=0xFFFF_FFFF => {
            out.push(0xce);
            out.extend_from_slice(&(n as u32).to_be_bytes())
        }
        0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend_from_slice(&n.to_be_bytes())
        }
        -128..=-33 => out.extend_from_slice(&[0xd0, n as i8 as u8]),
        -0x8000..=-129 => {
            out.push(0xd1);
            out.extend_from_slice(&(n as i16).to_be_bytes())
        }
        -0x8000_0000..=-0x8001 => {
            out.push(0xd2);
            out.extend_from_slice(&(n as i32).to_be_bytes())
        }
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&n.to_be_bytes())
        }
    }
}

fn pack(lua: &Lua, value: &Value, out: &mut Vec<u8>, level: usize) -> mlua::Result<()> {
    // A table may stand at many places in itself.
    may_hold(out.len())?;
    spend(lua, 1)?;
    match value {
        Value::Boolean(b) => out.push(if *b { 0xc3 } else { 0xc2 }),
        Value::Integer(n) => pack_int(*n, out),
        Value::Number(n) if n.trunc() == *n && n.abs() < 9e18 => pack_int(*n as i64, out),
        Value::Number(n) if f64::from(*n as f32) == *n => {
            out.push(0xca);
            out.extend_from_slice(&(*n as f32).to_be_bytes());
        }
        Value::Number(n) => {
            out.push(0xcb);
            out.extend_from_slice(&n.to_be_bytes());
        }
        Value::String(text) => {
            let text = text.as_bytes();
            spend(lua, text.len())?;
            header(out, text.len(), (0xa0, 31), Some(0xd9), 0xda);
            out.extend_from_slice(&text);
        }
        Value::Table(_) if level == NESTING_MAX => out.push(0xc0),
        Value::Table(table) => pack_table(lua, table, out, level)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

fn pack_table(lua: &Lua, table: &Table, out: &mut Vec<u8>, level: usize) -> mlua::Result<()> {
    // An array has the keys 1 to its count, and no other.
    let (mut count, mut max, mut other) = (0usize, 0i64, false);
    for pair in table.pairs::<Value, Value>() {
        match pair?.0 {
            Value::Integer(n) if n > 0 => max = max.max(n),
            _ => other = true,
        }
        count += 1;
        spend(lua, 1)?;
    }
    if !other && max == count as i64 && count > 0 {
        header(out, count, (0x90, 15), None, 0xdc);
        for i in 1..=count {
            pack(lua, &table.raw_get(i)?, out, level + 1)?;
        }
        return Ok(());
    }
    if count == 0 {
        out.push(0x90);
        return Ok(());
    }
    header(out, count, (0x80, 15), None, 0xde);
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        pack(lua, &key, out, level + 1)?;
        pack(lua, &value, out, level + 1)?;
    }
    Ok(())
}

struct Reader<'a> {
    lua: &'a Lua,
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, n: usize) -> mlua::Result<&[u8]> {
        let end = self
            .at
            .checked_add(n)
            .filter(|&end| end <= self.bytes.len());
        let Some(end) = end else {
            return Err(error::text(self.lua, "Missing bytes in input."));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// A big-endian number of `n` bytes.
    fn uint(&mut self, n: usize) -> mlua::Result<u64> {
        Ok(self
            .take(n)?
            .iter()
            .fold(0, |all, &b| all << 8 | u64::from(b)))
    }

    fn value(&mut self, depth: usize) -> mlua::Result<Value> {
        if depth > UNPACK_DEPTH_MAX {
            return Err(error::text(self.lua, "reached lua stack limit"));
        }
        let number = |n: f64| Ok(Value::Number(n));
        let kind = self.take(1)?[0];
        match kind {
            0x00..=0x7f => number(f64::from(kind)),
            0xe0..=0xff => number(f64::from(kind as i8)),
            0x80..=0x8f => self.map(usize::from(kind & 15), depth),
            0x90..=0x9f => self.array(usize::from(kind & 15), depth),
            0xa0..=0xbf => self.string(usize::from(kind & 31)),
            0xc0 => Ok(Value::Nil),
            0xc2 => Ok(Value::Boolean(false)),
            0xc3 => Ok(Value::Boolean(true)),
            0xca => number(f64::from(f32::from_bits(self.uint(4)? as u32))),
            0xcb => number(f64::from_bits(self.uint(8)?)),
            0xcc..=0xcf => number(self.uint(1 << (kind - 0xcc))? as f64),
            0xd0 => number(f64::from(self.uint(1)? as i8)),
            0xd1 => number(f64::from(self.uint(2)? as i16)),
            0xd2 => number(f64::from(self.uint(4)? as i32)),
            0xd3 => number(self.uint(8)? as i64 as f64),
            0xc4..=0xc6 => {
                let n = self.uint(1 << (kind - 0xc4))? as usize;
                self.string(n)
            }
            0xd9..=0xdb => {
                let n = self.uint(1 << (kind - 0xd9))? as usize;
                self.string(n)
            }
            0xdc | 0xdd => {
                let n = self.uint(2 << (kind - 0xdc))? as usize;
                self.array(n, depth)
            }
            0xde | 0xdf => {
                let n = self.uint(2 << (kind - 0xde))? as usize;
                self.map(n, depth)
            }
            _ => Err(error::text(self.lua, "Bad data format in input.")),
        }
    }

    fn string(&mut self, n: usize) -> mlua::Result<Value> {
        let lua = self.lua;
        Ok(Value::String(lua.create_string(self.take(n)?)?))
    }

    fn array(&mut self, n: usize, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        for i in 1..=n {
            table.raw_set(i, self.value(depth + 1)?)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, n: usize, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        for _ in 0..n {
            let key = self.value(depth + 1)?;
            let value = self.value(depth + 1)?;
            if key.is_nil() || matches!(key, Value::Number(n) if n.is_nan()) {
                return Err(error::text(self.lua, "Bad data format in input."));
            }
            table.raw_set(key, value)?;
        }
        Ok(Value::Table(table))
    }
}
