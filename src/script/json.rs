//! The library `cjson`: JSON as lua-cjson 2.1 reads and writes it, settings included.

use std::sync::Arc;

use mlua::{Lua, MultiValue, Table, Value};
use parking_lot::Mutex;

use super::error;
use super::watch::{may_hold, spend};

/// The settings that a script can change; they stay for scripts that follow, as in Redis.
#[derive(Clone, Copy)]
struct Settings {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth: i64,
    decode_depth: i64,
    precision: usize,
    invalid_numbers_written: bool,
    invalid_numbers_null: bool,
    invalid_numbers_read: bool,
    array_metatable: bool,
}

/// Deeper than any setting: recursion here is on the thread's stack.
const DEPTH_MAX: i64 = 1000;
/// JSON's null in Lua: a light userdata that is a null pointer.
const NULL: Value = Value::NULL;

/// The table `cjson`.
pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let settings = Arc::new(Mutex::new(Settings {
        sparse_convert: false,
        sparse_ratio: 2,
        sparse_safe: 10,
        encode_depth: 1000,
        decode_depth: 1000,
        precision: 14,
        invalid_numbers_written: false,
        invalid_numbers_null: false,
        invalid_numbers_read: true,
        array_metatable: false,
    }));
    let array_metatable = lua.create_table()?;
    array_metatable.raw_set("__is_cjson_array", true)?;
    let cjson = lua.create_table()?;
    let (s, marker) = (settings.clone(), array_metatable.clone());
    cjson.raw_set(
        "encode",
        lua.create_function(move |lua, args: MultiValue| {
            if args.len() != 1 {
                return Err(error::text(
                    lua,
                    "bad argument #1 to 'encode' (expected 1 argument)",
                ));
            }
            let mut writer = Writer {
                lua,
                settings: *s.lock(),
                out: Vec::new(),
                marker: &marker,
            };
            writer.value(&args[0], 0)?;
            lua.create_string(&writer.out)
        })?,
    )?;
    let (s, marker) = (settings.clone(), array_metatable.clone());
    cjson.raw_set(
        "decode",
        lua.create_function(move |lua, args: MultiValue| {
            if args.len() != 1 {
                return Err(error::text(
                    lua,
                    "bad argument #1 to 'decode' (expected 1 argument)",
                ));
            }
            let Some(text) = lua.coerce_string(args[0].clone())? else {
                let got = args[0].type_name();
                return Err(error::text(
                    lua,
                    format!("bad argument #1 to 'decode' (string expected, got {got})"),
                ));
            };
            let bytes = text.as_bytes().to_vec();
            let settings = *s.lock();
            if bytes.len() >= 2 && (bytes[0] == 0 || bytes[1] == 0) {
                return Err(error::text(
                    lua,
                    "JSON parser does not support UTF-16 or UTF-32",
                ));
            }
            let mut reader = Reader {
                lua,
                bytes: &bytes,
                at: 0,
                depth: 0,
                settings,
                marker: &marker,
            };
            let value = reader.value()?;
            reader.space();
            if reader.at < bytes.len() {
                return Err(reader.unexpected("the end"));
            }
            Ok(value)
        })?,
    )?;
    configuration(lua, &cjson, &settings)?;
    cjson.raw_set("null", NULL)?;
    cjson.raw_set("_NAME", "cjson")?;
    cjson.raw_set("_VERSION", "2.1.0")?;
    Ok(cjson)
}

fn configuration(lua: &Lua, cjson: &Table, settings: &Arc<Mutex<Settings>>) -> mlua::Result<()> {
    let integer = |lua: &Lua, value: &Value, min: i64, max: i64, at: usize| {
        let n = lua.coerce_number(value.clone())?.unwrap_or(f64::NAN);
        if !(n >= min as f64 && n <= max as f64) {
            let text =
                format!("bad argument #{at} to '?' (expected integer between {min} and {max})");
            return Err(error::text(lua, text));
        }
        Ok(n as i64)
    };
    let s = settings.clone();
    cjson.raw_set(
        "encode_sparse_array",
        lua.create_function(move |lua, args: MultiValue| {
            let mut s = s.lock();
            if let Some(Value::Boolean(convert)) = args.front() {
                s.sparse_convert = *convert;
            }
            if let Some(ratio) = args.get(1) {
                s.sparse_ratio = integer(lua, ratio, 0, i32::MAX.into(), 2)?;
            }
            if let Some(safe) = args.get(2) {
                s.sparse_safe = integer(lua, safe, 0, i32::MAX.into(), 3)?;
            }
            Ok((s.sparse_convert, s.sparse_ratio, s.sparse_safe))
        })?,
    )?;
    for encode in [true, false] {
        let s = settings.clone();
        let name = if encode {
            "encode_max_depth"
        } else {
            "decode_max_depth"
        };
        cjson.raw_set(
            name,
            lua.create_function(move |lua, args: MultiValue| {
                let mut s = s.lock();
                let depth = if encode {
                    &mut s.encode_depth
                } else {
                    &mut s.decode_depth
                };
                if let Some(value) = args.front() {
                    *depth = integer(lua, value, 1, i32::MAX.into(), 1)?;
                }
                Ok(*depth)
            })?,
        )?;
    }
    let s = settings.clone();
    cjson.raw_set(
        "encode_number_precision",
        lua.create_function(move |lua, args: MultiValue| {
            let mut s = s.lock();
            if let Some(value) = args.front() {
                s.precision = integer(lua, value, 1, 16, 1)? as usize;
            }
            Ok(s.precision as i64)
        })?,
    )?;
    cjson.raw_set(
        "encode_keep_buffer",
        lua.create_function(|_, keep: Option<bool>| Ok(keep.unwrap_or(true)))?,
    )?;
    let s = settings.clone();
    cjson.raw_set(
        "encode_invalid_numbers",
        lua.create_function(move |lua, args: MultiValue| {
            let mut s = s.lock();
            match args.front() {
                Some(Value::Boolean(on)) => {
                    (s.invalid_numbers_written, s.invalid_numbers_null) = (*on, false)
                }
                Some(Value::String(text)) if &*text.as_bytes() == b"null" => {
                    s.invalid_numbers_null = true
                }
                _ => {}
            }
            Ok(match s.invalid_numbers_null {
                true => Value::String(lua.create_string("null")?),
                false => Value::Boolean(s.invalid_numbers_written),
            })
        })?,
    )?;
    for numbers in [true, false] {
        let s = settings.clone();
        let name = if numbers {
            "decode_invalid_numbers"
        } else {
            "decode_array_with_array_mt"
        };
        cjson.raw_set(
            name,
            lua.create_function(move |_, on: Option<bool>| {
                let mut s = s.lock();
                let switch = if numbers {
                    &mut s.invalid_numbers_read
                } else {
                    &mut s.array_metatable
                };
                *switch = on.unwrap_or(*switch);
                Ok(*switch)
            })?,
        )?;
    }
    Ok(())
}

/// A number as C's `%.{precision}g` writes it.
pub fn general(value: f64, precision: usize) -> String {
    if value == 0.0 {
        return if value.is_sign_negative() {
            "-0".into()
        } else {
            "0".into()
        };
    }
    let scientific = format!("{:.*e}", precision - 1, value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(mantissa), exponent.abs());
    }
    trim(&format!(
        "{:.*}",
        (precision as i32 - 1 - exponent).max(0) as usize,
        value
    ))
}

struct Writer<'a> {
    lua: &'a Lua,
    settings: Settings,
    out: Vec<u8>,
    marker: &'a Table,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: i64) -> mlua::Result<()> {
        may_hold(self.out.len())?;
        spend(self.lua, 1)?;
        match value {
            Value::Nil => self.out.extend_from_slice(b"null"),
            null if null.is_null() => self.out.extend_from_slice(b"null"),
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Integer(n) => self.number(*n as f64)?,
            Value::Number(n) => self.number(*n)?,
            Value::String(text) => {
                spend(self.lua, text.as_bytes().len())?;
                self.string(&text.as_bytes());
            }
            Value::Table(table) => self.table(table, depth + 1)?,
            other => return Err(self.cannot(other.type_name(), "type not supported")),
        }
        Ok(())
    }

    fn cannot(&self, what: &str, why: &str) -> mlua::Error {
        error::text(self.lua, format!("Cannot serialise {what}: {why}"))
    }

    fn number(&mut self, n: f64) -> mlua::Result<()> {
        if n.is_finite() {
            self.out
                .extend_from_slice(general(n, self.settings.precision).as_bytes());
        } else if self.settings.invalid_numbers_null {
            self.out.extend_from_slice(b"null");
        } else if self.settings.invalid_numbers_written {
            let text = if n.is_nan() {
                "nan"
            } else if n > 0.0 {
                "inf"
            } else {
                "-inf"
            };
            self.out.extend_from_slice(text.as_bytes());
        } else {
            return Err(self.cannot("number", "must not be NaN or Inf"));
        }
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for &byte in text {
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'/' => self.out.extend_from_slice(b"\\/"),
                8 => self.out.extend_from_slice(b"\\b"),
                9 => self.out.extend_from_slice(b"\\t"),
                10 => self.out.extend_from_slice(b"\\n"),
                12 => self.out.extend_from_slice(b"\\f"),
                13 => self.out.extend_from_slice(b"\\r"),
                0..32 | 127 => self
                    .out
                    .extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => self.out.push(byte),
            }
        }
        self.out.push(b'"');
    }

    /// The length of a table that is written as an array; `None`: it is an object.
    fn array_len(&self, table: &Table) -> mlua::Result<Option<i64>> {
        let (mut max, mut items) = (0i64, 0i64);
        for pair in table.pairs::<Value, Value>() {
            let (key, _) = pair?;
            spend(self.lua, 1)?;
            match key {
                Value::Integer(n) if n >= 1 => {
                    max = max.max(n);
                    items += 1;
                }
                _ => return Ok(None),
            }
        }
        let s = &self.settings;
        if s.sparse_ratio > 0 && max > items.saturating_mul(s.sparse_ratio) && max > s.sparse_safe {
            if !s.sparse_convert {
                return Err(self.cannot("table", "excessively sparse array"));
            }
            return Ok(None);
        }
        Ok(Some(max))
    }

    fn table(&mut self, table: &Table, depth: i64) -> mlua::Result<()> {
        if depth > self.settings.encode_depth.min(DEPTH_MAX) {
            let text = format!("Cannot serialise, excessive nesting ({depth})");
            return Err(error::text(self.lua, text));
        }
        let marked = table.metatable().is_some_and(|m| m == *self.marker);
        let length = if marked {
            Some(table.raw_len() as i64)
        } else {
            self.array_len(table)?
        };
        match length {
            Some(length) if length > 0 || marked => {
                self.out.push(b'[');
                for i in 1..=length {
                    if i > 1 {
                        self.out.push(b',');
                    }
                    self.value(&table.raw_get(i)?, depth)?;
                }
                self.out.push(b']');
            }
            _ => {
                self.out.push(b'{');
                let mut first = true;
                for pair in table.pairs::<Value, Value>() {
                    let (key, value) = pair?;
                    if !std::mem::take(&mut first) {
                        self.out.push(b',');
                    }
                    match &key {
                        Value::String(text) => self.string(&text.as_bytes()),
                        Value::Integer(_) | Value::Number(_) => {
                            self.out.push(b'"');
                            self.value(&key, depth)?;
                            self.out.push(b'"');
                        }
                        other => {
                            return Err(self.cannot(
                                other.type_name(),
                                "table key must be a number or string",
                            ));
                        }
                    }
                    self.out.push(b':');
                    self.value(&value, depth)?;
                }
                self.out.push(b'}');
            }
        }
        Ok(())
    }
}

struct Reader<'a> {
    lua: &'a Lua,
    bytes: &'a [u8],
    at: usize,
    depth: i64,
    settings: Settings,
    marker: &'a Table,
}

impl Reader<'_> {
    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The error of a token that is not what should be here.
    fn unexpected(&self, expected: &str) -> mlua::Error {
        let found = match self.bytes.get(self.at) {
            None => "T_END",
            Some(b'{') => "T_OBJ_BEGIN",
            Some(b'}') => "T_OBJ_END",
            Some(b'[') => "T_ARR_BEGIN",
            Some(b']') => "T_ARR_END",
            Some(b'"') => "T_STRING",
            Some(b',') => "T_COMMA",
            Some(b':') => "T_COLON",
            Some(b'0'..=b'9' | b'-') => "T_NUMBER",
            Some(_) => "invalid token",
        };
        let at = self.at + 1;
        error::text(
            self.lua,
            format!("Expected {expected} but found {found} at character {at}"),
        )
    }

    fn enter(&mut self) -> mlua::Result<()> {
        self.depth += 1;
        if self.depth > self.settings.decode_depth.min(DEPTH_MAX) {
            let text = format!("Found too many nested data structures ({})", self.depth);
            return Err(error::text(self.lua, text));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.bytes[self.at..].starts_with(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    fn value(&mut self) -> mlua::Result<Value> {
        spend(self.lua, 1)?;
        self.space();
        match self.bytes.get(self.at) {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => Ok(Value::String(self.lua.create_string(self.string()?)?)),
            Some(b't') if self.word("true") => Ok(Value::Boolean(true)),
            Some(b'f') if self.word("false") => Ok(Value::Boolean(false)),
            Some(b'n') if self.word("null") => Ok(NULL),
            Some(b'-' | b'+' | b'0'..=b'9' | b'i' | b'I' | b'n' | b'N') => self.number(),
            _ => Err(self.unexpected("value")),
        }
    }

    fn number(&mut self) -> mlua::Result<Value> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
            .count();
        let text = std::str::from_utf8(&rest[..length]).unwrap_or("");
        let digits = text.trim_start_matches(['-', '+']);
        let parsed = match digits
            .strip_prefix("0x")
            .or_else(|| digits.strip_prefix("0X"))
        {
            Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok().map(|n| {
                if text.starts_with('-') {
                    -(n as f64)
                } else {
                    n as f64
                }
            }),
            None => text.parse::<f64>().ok(),
        };
        let invalid = digits.starts_with(['i', 'I', 'n', 'N'])
            || digits.len() > 1
                && digits.starts_with('0')
                && !digits.starts_with("0.")
                && !digits.starts_with("0e")
                && !digits.starts_with("0E");
        match parsed {
            Some(n)
                if !text.starts_with('+') && (!invalid || self.settings.invalid_numbers_read) =>
            {
                self.at += length;
                Ok(Value::Number(n))
            }
            _ => Err(self.unexpected("value")),
        }
    }

    fn array(&mut self) -> mlua::Result<Value> {
        self.enter()?;
        let table = self.lua.create_table()?;
        if self.settings.array_metatable {
            table.set_metatable(Some(self.marker.clone()))?;
        }
        let mut length = 0;
        if self.bytes.get(self.at) != Some(&b']') {
            loop {
                let value = self.value()?;
                length += 1;
                table.raw_set(length, value)?;
                self.space();
                match self.bytes.get(self.at) {
                    Some(b',') => self.at += 1,
                    Some(b']') => break,
                    _ => return Err(self.unexpected("comma or array end")),
                }
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    fn object(&mut self) -> mlua::Result<Value> {
        self.enter()?;
        let table = self.lua.create_table()?;
        if self.bytes.get(self.at) != Some(&b'}') {
            loop {
                self.space();
                if self.bytes.get(self.at) != Some(&b'"') {
                    return Err(self.unexpected("object key string"));
                }
                let key = self.string()?;
                self.space();
                if self.bytes.get(self.at) != Some(&b':') {
                    return Err(self.unexpected("colon"));
                }
                self.at += 1;
                let value = self.value()?;
                table.raw_set(self.lua.create_string(key)?, value)?;
                self.space();
                match self.bytes.get(self.at) {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break,
                    _ => return Err(self.unexpected("comma or object end")),
                }
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    fn hex4(&self, at: usize) -> Option<u32> {
        let digits = self.bytes.get(at..at + 4)?;
        let all_hex = digits.iter().all(u8::is_ascii_hexdigit);
        all_hex
            .then(|| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
            .flatten()
    }

    fn string(&mut self) -> mlua::Result<Vec<u8>> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(error::text(
                    self.lua,
                    format!(
                        "Expected value but found unexpected end of string at character {}",
                        self.at + 1
                    ),
                ));
            };
            self.at += 1;
            match byte {
                b'"' => {
                    spend(self.lua, text.len())?;
                    return Ok(text);
                }
                b'\\' => self.escape(&mut text)?,
                0..32 => {
                    self.at -= 1;
                    return Err(error::text(
                        self.lua,
                        format!(
                            "Expected value but found invalid token at character {}",
                            self.at + 1
                        ),
                    ));
                }
                _ => text.push(byte),
            }
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> mlua::Result<()> {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'u' => {
                let high = self.hex4(self.at + 1);
                let low = (self.bytes.get(self.at + 5..self.at + 7) == Some(b"\\u"))
                    .then(|| self.hex4(self.at + 7))
                    .flatten();
                let (code, used) = match (high, low) {
                    (Some(h @ 0xD800..0xDC00), Some(l @ 0xDC00..0xE000)) => {
                        (Some(0x10000 + ((h - 0xD800) << 10) + (l - 0xDC00)), 11)
                    }
                    (code, _) => (code, 5),
                };
                let Some(code) = code.and_then(char::from_u32) else {
                    return Err(error::text(
                        self.lua,
                        format!(
                            "Expected value but found invalid unicode escape code at character {}",
                            self.at
                        ),
                    ));
                };
                text.extend_from_slice(code.encode_utf8(&mut [0; 4]).as_bytes());
                self.at += used;
                return Ok(());
            }
            _ => {
                return Err(error::text(
                    self.lua,
                    format!(
                        "Expected value but found invalid escape code at character {}",
                        self.at
                    ),
                ));
            }
        };
        text.push(plain);
        self.at += 1;
        Ok(())
    }
}
