//! The library `struct`: packing numbers and strings into bytes by a format, as Roberto Ierusalimschy's 0.2 does.

use mlua::{Lua, MultiValue, Table, Value};

use super::error;
use super::strings::{self, number};
use super::watch::{RESULTS_MAX, may_hold, spend, spend_each};

/// The largest integer of `i` and `I`, bytes.
const INT_SIZE_MAX: usize = 32;
const ALIGN_MAX: usize = 16;

/// A format that is being read.
struct Format<'a> {
    lua: &'a Lua,
    /// The function that it was given to.
    name: &'static str,
    text: &'a [u8],
    at: usize,
    little: bool,
    align: usize,
}

/// One item of a format.
struct Item {
    kind: u8,
    size: usize,
    padding: usize,
}

impl<'a> Format<'a> {
    fn new(lua: &'a Lua, name: &'static str, text: &'a [u8]) -> Self {
        Format {
            lua,
            name,
            text,
            at: 0,
            little: true,
            align: 1,
        }
    }

    fn number(&mut self, otherwise: usize) -> mlua::Result<usize> {
        let digits = self.text[self.at..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        if digits == 0 {
            return Ok(otherwise);
        }
        let text = std::str::from_utf8(&self.text[self.at..self.at + digits]).unwrap_or("");
        self.at += digits;
        match text.parse::<i32>() {
            Ok(n) => Ok(n as usize),
            Err(_) => Err(error::text(self.lua, "integral size overflow")),
        }
    }

    /// The next item for data that are at `offset`; `None` at the end.
    fn next(&mut self, offset: usize) -> mlua::Result<Option<Item>> {
        while let Some(&kind) = self.text.get(self.at) {
            self.at += 1;
            spend_each(self.lua, self.at)?;
            let size = match kind {
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'l' | b'L' | b'T' | b'd' | b'n' => 8,
                b'f' => 4,
                b'i' | b'I' => {
                    let size = self.number(4)?;
                    if size > INT_SIZE_MAX {
                        let text =
                            format!("integral size {size} is larger than limit of {INT_SIZE_MAX}");
                        return Err(error::text(self.lua, text));
                    }
                    size
                }
                b'c' => self.number(1)?,
                b's' => 0,
                b' ' => continue,
                b'<' => {
                    self.little = true;
                    continue;
                }
                b'>' => {
                    self.little = false;
                    continue;
                }
                b'!' => {
                    self.align = self.number(8)?;
                    if self.align == 0 || self.align & (self.align - 1) != 0 {
                        let text = format!("alignment {} is not a power of 2", self.align);
                        return Err(error::text(self.lua, text));
                    }
                    self.align = self.align.min(ALIGN_MAX);
                    continue;
                }
                _ => {
                    let (name, kind) = (self.name, char::from(kind));
                    let text =
                        format!("bad argument #1 to '{name}' (invalid format option '{kind}')");
                    return Err(error::text(self.lua, text));
                }
            };
            let align = if matches!(kind, b'c' | b's' | b'x') {
                1
            } else {
                size.min(self.align)
            };
            let padding = match align > 1 {
                true => (align - (offset & (align - 1))) & (align - 1),
                false => 0,
            };
            return Ok(Some(Item {
                kind,
                size,
                padding,
            }));
        }
        Ok(None)
    }

    fn put(&self, out: &mut Vec<u8>, value: i64, size: usize) {
        let fill = if value < 0 { 0xff } else { 0 };
        let little = value.to_le_bytes();
        let byte = |i: usize| little.get(i).copied().unwrap_or(fill);
        match self.little {
            true => out.extend((0..size).map(byte)),
            false => out.extend((0..size).rev().map(byte)),
        }
    }

    fn get(&self, bytes: &[u8], signed: bool) -> f64 {
        let fold = |all: u64, b: &u8| all << 8 | u64::from(*b);
        let n = match self.little {
            true => bytes.iter().rev().fold(0, fold),
            false => bytes.iter().fold(0, fold),
        };
        if !signed {
            return n as f64;
        }
        let shift = 64 - 8 * bytes.len().clamp(1, 8);
        ((n << shift) as i64 >> shift) as f64
    }
}

fn string(lua: &Lua, args: &MultiValue, at: usize, name: &str) -> mlua::Result<Vec<u8>> {
    Ok(strings::string(lua, args, at, name)?.as_bytes().to_vec())
}

fn pack(lua: &Lua, args: MultiValue) -> mlua::Result<mlua::LuaString> {
    let text = string(lua, &args, 0, "pack")?;
    let mut format = Format::new(lua, "pack", &text);
    let (mut out, mut arg) = (Vec::new(), 1);
    while let Some(item) = format.next(out.len())? {
        out.resize(out.len() + item.padding, 0);
        if item.kind == b'x' {
            out.push(0);
            continue;
        }
        match item.kind {
            b'f' => {
                let bytes = (number(lua, &args, arg, "pack")? as f32).to_be_bytes();
                out.extend(ordered(bytes, format.little));
            }
            b'd' | b'n' => {
                let bytes = number(lua, &args, arg, "pack")?.to_be_bytes();
                out.extend(ordered(bytes, format.little));
            }
            b'c' | b's' => {
                let bytes = string(lua, &args, arg, "pack")?;
                let size = if item.size == 0 {
                    bytes.len()
                } else {
                    item.size
                };
                if bytes.len() < size {
                    return Err(error::text(
                        lua,
                        format!("bad argument #{} to 'pack' (string too short)", arg + 1),
                    ));
                }
                may_hold(out.len() + size)?;
                spend(lua, size)?;
                out.extend_from_slice(&bytes[..size]);
                if item.kind == b's' {
                    out.push(0);
                }
            }
            _ => {
                let n = number(lua, &args, arg, "pack")?;
                let value = if n < 0.0 { n as i64 } else { n as u64 as i64 };
                format.put(&mut out, value, item.size);
            }
        }
        arg += 1;
    }
    lua.create_string(out)
}

fn ordered<const N: usize>(mut bytes: [u8; N], little: bool) -> [u8; N] {
    if little {
        bytes.reverse();
    }
    bytes
}

fn unpack(lua: &Lua, args: MultiValue) -> mlua::Result<MultiValue> {
    let text = string(lua, &args, 0, "unpack")?;
    let data = string(lua, &args, 1, "unpack")?;
    let start = if args.len() > 2 {
        number(lua, &args, 2, "unpack")?
    } else {
        1.0
    };
    if start < 1.0 {
        return Err(error::text(
            lua,
            "bad argument #3 to 'unpack' (offset must be 1 or greater)",
        ));
    }
    let mut at = (start - 1.0) as usize;
    let mut format = Format::new(lua, "unpack", &text);
    let mut values = MultiValue::new();
    let short = || error::text(lua, "bad argument #2 to 'unpack' (data string too short)");
    while let Some(item) = format.next(at)? {
        at = at.checked_add(item.padding).ok_or_else(short)?;
        let mut size = item.size;
        let room = data
            .len()
            .checked_sub(at)
            .filter(|&room| size <= room)
            .ok_or_else(short)?;
        let value = match item.kind {
            b'x' => None,
            b'c' => {
                if size == 0 {
                    let length = match values.pop_back() {
                        Some(Value::Number(n)) => n,
                        _ => return Err(error::text(lua, "format 'c0' needs a previous size")),
                    };
                    if !(length >= 0.0 && length <= room as f64) {
                        return Err(short());
                    }
                    size = length as usize;
                }
                spend(lua, size)?;
                Some(Value::String(lua.create_string(&data[at..at + size])?))
            }
            b's' => {
                let Some(length) = data[at..].iter().position(|&b| b == 0) else {
                    return Err(error::text(lua, "unfinished string in data"));
                };
                size = length + 1;
                spend(lua, size)?;
                Some(Value::String(lua.create_string(&data[at..at + length])?))
            }
            b'f' => {
                let mut four = [0; 4];
                four.copy_from_slice(&data[at..at + 4]);
                Some(Value::Number(
                    f32::from_be_bytes(ordered(four, format.little)).into(),
                ))
            }
            b'd' | b'n' => {
                let mut eight = [0; 8];
                eight.copy_from_slice(&data[at..at + 8]);
                Some(Value::Number(f64::from_be_bytes(ordered(
                    eight,
                    format.little,
                ))))
            }
            kind => Some(Value::Number(
                format.get(&data[at..at + size], kind.is_ascii_lowercase()),
            )),
        };
        values.extend(value);
        if values.len() > RESULTS_MAX {
            return Err(error::text(lua, "stack overflow (too many results)"));
        }
        at += size;
    }
    values.push_back(Value::Number((at + 1) as f64));
    Ok(values)
}

fn size(lua: &Lua, args: MultiValue) -> mlua::Result<f64> {
    let text = string(lua, &args, 0, "size")?;
    let mut format = Format::new(lua, "size", &text);
    let mut total = 0usize;
    while let Some(item) = format.next(total)? {
        if item.kind == b's' || item.kind == b'c' && item.size == 0 {
            let what = if item.kind == b's' {
                "option 's' has no fixed size"
            } else {
                "option 'c0' has no fixed size"
            };
            return Err(error::text(
                lua,
                format!("bad argument #1 to 'size' ({what})"),
            ));
        }
        total = total.saturating_add(item.padding + item.size);
        if total > i32::MAX as usize {
            return Err(error::text(
                lua,
                format!(
                    "bad argument #1 to 'size' (size {} is too large)",
                    item.size
                ),
            ));
        }
    }
    Ok(total as f64)
}

/// The table `struct`.
pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    library.raw_set("pack", lua.create_function(pack)?)?;
    library.raw_set("unpack", lua.create_function(unpack)?)?;
    library.raw_set("size", lua.create_function(size)?)?;
    Ok(library)
}
