//! Functions of Lua's library `string` that, in C, go on for as long as their arguments say or take the stack: here
//! they are bounded, and end with the script.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use mlua::{Function, Lua, LuaString, MultiValue, Table, Value};

use super::error;
use super::patterns::Matcher;
use super::watch::{may_hold, spend};

/// Adds them to a table, by the names that `string` has them under.
pub fn add(lua: &Lua, to: &Table) -> mlua::Result<()> {
    to.raw_set("rep", lua.create_function(rep)?)?;
    to.raw_set("gsub", lua.create_function(gsub)?)?;
    to.raw_set("gmatch", lua.create_function(gmatch)?)?;
    for (name, find) in [("find", true), ("match", false)] {
        let f = lua.create_function(move |lua, args| search(lua, &args, name, find))?;
        to.raw_set(name, f)?;
    }
    type Map = fn(&mut [u8]);
    let maps: [(&str, Map); 3] = [
        ("lower", <[u8]>::make_ascii_lowercase),
        ("upper", <[u8]>::make_ascii_uppercase),
        ("reverse", <[u8]>::reverse),
    ];
    for (name, map) in maps {
        let f = lua.create_function(move |lua, args: MultiValue| {
            let mut bytes = string(lua, &args, 0, name)?.as_bytes().to_vec();
            spend(lua, bytes.len())?;
            map(&mut bytes);
            lua.create_string(bytes)
        })?;
        to.raw_set(name, f)?;
    }
    Ok(())
}

/// The argument at a place, counted from 0, as a string.
///
/// # Errors
/// It is none.
pub fn string(lua: &Lua, args: &MultiValue, at: usize, name: &str) -> mlua::Result<LuaString> {
    if let Some(Value::String(text)) = args.get(at) {
        return Ok(text.clone());
    }
    let text = lua.coerce_string(args.get(at).cloned().unwrap_or(Value::Nil))?;
    text.ok_or_else(|| wrong(lua, args, at, name, "string"))
}

/// The argument at a place, counted from 0, as a number.
///
/// # Errors
/// It is none.
pub fn number(lua: &Lua, args: &MultiValue, at: usize, name: &str) -> mlua::Result<f64> {
    let number = lua.coerce_number(args.get(at).cloned().unwrap_or(Value::Nil))?;
    number.ok_or_else(|| wrong(lua, args, at, name, "number"))
}

/// A number that may be left out.
fn optional(
    lua: &Lua,
    args: &MultiValue,
    at: usize,
    name: &str,
    otherwise: i64,
) -> mlua::Result<i64> {
    match args.get(at) {
        None | Some(Value::Nil) => Ok(otherwise),
        Some(_) => Ok(number(lua, args, at, name)? as i64),
    }
}

fn wrong(lua: &Lua, args: &MultiValue, at: usize, name: &str, wanted: &str) -> mlua::Error {
    let got = args.get(at).map_or("no value", type_name);
    let at = at + 1;
    error::text(
        lua,
        format!("bad argument #{at} to '{name}' ({wanted} expected, got {got})"),
    )
}

/// The type of a value as Lua 5.1 names it.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        other => other.type_name(),
    }
}

fn rep(lua: &Lua, args: MultiValue) -> mlua::Result<LuaString> {
    let text = string(lua, &args, 0, "rep")?;
    let times = usize::try_from(number(lua, &args, 1, "rep")? as i64).unwrap_or(0);
    let bytes = text.as_bytes();
    let length = bytes.len().saturating_mul(times);
    may_hold(length)?;
    spend(lua, length)?;
    if bytes.is_empty() {
        return lua.create_string("");
    }
    lua.create_string(bytes.repeat(times))
}

/// Where a text has another, which is not a pattern.
fn plain(lua: &Lua, text: &[u8], wanted: &[u8]) -> mlua::Result<Option<usize>> {
    let Some((&first, rest)) = wanted.split_first() else {
        return Ok(Some(0));
    };
    let mut at = 0;
    let mut worked = 0;
    while let Some(next) = text[at..].iter().position(|&b| b == first) {
        let found = at + next;
        if text[found + 1..].starts_with(rest) {
            return Ok(Some(found));
        }
        // At worst all of what is wanted was compared.
        worked += next + 1 + rest.len() / 8;
        if worked > 4096 {
            spend(lua, worked)?;
            worked = 0;
        }
        at = found + 1;
    }
    Ok(None)
}

/// A pattern without the `^` that it may begin with, and whether it did.
fn anchored(pattern: &[u8]) -> (&[u8], bool) {
    match pattern.strip_prefix(b"^") {
        Some(rest) => (rest, true),
        None => (pattern, false),
    }
}

fn search(lua: &Lua, args: &MultiValue, name: &str, find: bool) -> mlua::Result<MultiValue> {
    let (text, pattern) = (string(lua, args, 0, name)?, string(lua, args, 1, name)?);
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let mut from = optional(lua, args, 2, name, 1)?;
    if from < 0 {
        from = from.saturating_add(text.len() as i64 + 1);
    }
    let from = usize::try_from(from.saturating_sub(1))
        .unwrap_or(0)
        .min(text.len());
    let truth = |v: &Value| !matches!(v, Value::Nil | Value::Boolean(false));
    let special = || {
        let seen = pattern.iter().take_while(|&&b| b != 0);
        seen.into_iter().any(|b| b"^$*+?.([%-".contains(b))
    };
    if find && (args.get(3).is_some_and(truth) || !special()) {
        return Ok(match plain(lua, &text[from..], &pattern)? {
            None => MultiValue::from_iter([Value::Nil]),
            Some(at) => {
                let (first, last) = (from + at + 1, from + at + pattern.len());
                [first, last]
                    .map(|n| Value::Integer(n as i64))
                    .into_iter()
                    .collect()
            }
        });
    }
    let (pattern, anchor) = anchored(&pattern);
    let mut matcher = Matcher::new(lua, &text, pattern);
    for at in from..=text.len() {
        if let Some(end) = matcher.at(at)? {
            if !find {
                return Ok(matcher.captured(Some((at, end)))?.into_iter().collect());
            }
            let bounds = [at + 1, end].map(|n| Value::Integer(n as i64));
            return Ok(bounds.into_iter().chain(matcher.captured(None)?).collect());
        }
        if anchor {
            break;
        }
    }
    Ok(MultiValue::from_iter([Value::Nil]))
}

fn gmatch(lua: &Lua, args: MultiValue) -> mlua::Result<Function> {
    let text = string(lua, &args, 0, "gmatch")?;
    let pattern = string(lua, &args, 1, "gmatch")?;
    let next = AtomicUsize::new(0);
    lua.create_function(move |lua, _: MultiValue| {
        let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
        let mut matcher = Matcher::new(lua, &text, &pattern);
        for at in next.load(Relaxed)..=text.len() {
            if let Some(end) = matcher.at(at)? {
                // An empty match goes on by one.
                next.store(end + usize::from(end == at), Relaxed);
                return Ok(matcher.captured(Some((at, end)))?.into_iter().collect());
            }
        }
        Ok(MultiValue::new())
    })
}

fn gsub(lua: &Lua, args: MultiValue) -> mlua::Result<(LuaString, i64)> {
    let (text, pattern) = (
        string(lua, &args, 0, "gsub")?,
        string(lua, &args, 1, "gsub")?,
    );
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let by = args.get(2).cloned().unwrap_or(Value::Nil);
    let by = match lua.coerce_string(by.clone())? {
        Some(template) => Value::String(template),
        None => by,
    };
    let most = optional(lua, &args, 3, "gsub", text.len() as i64 + 1)?;
    if !matches!(by, Value::String(_) | Value::Function(_) | Value::Table(_)) {
        let text = "bad argument #3 to 'gsub' (string/function/table expected)";
        return Err(error::text(lua, text));
    }
    let (pattern, anchor) = anchored(&pattern);
    let mut matcher = Matcher::new(lua, &text, pattern);
    let (mut out, mut at, mut count) = (Vec::new(), 0, 0);
    while count < most {
        let found = matcher.at(at)?;
        if let Some(end) = found {
            count += 1;
            replace(lua, &matcher, &text, (at, end), &by, &mut out)?;
            may_hold(out.len())?;
        }
        match found {
            Some(end) if end > at => at = end,
            _ if at < text.len() => {
                out.push(text[at]);
                at += 1;
            }
            _ => break,
        }
        if anchor {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
    Ok((lua.create_string(out)?, count))
}

/// Appends what stands for a match in `gsub`.
fn replace(
    lua: &Lua,
    matcher: &Matcher<'_>,
    text: &[u8],
    whole: (usize, usize),
    by: &Value,
    out: &mut Vec<u8>,
) -> mlua::Result<()> {
    let value = match by {
        Value::Function(f) => {
            let captured = matcher.captured(Some(whole))?;
            f.call::<Value>(MultiValue::from_iter(captured))?
        }
        Value::Table(t) => t.get::<Value>(matcher.capture(0, whole)?)?,
        Value::String(template) => return fill(lua, matcher, &template.as_bytes(), whole, out),
        _ => Value::Nil,
    };
    if matches!(value, Value::Nil | Value::Boolean(false)) {
        out.extend_from_slice(&text[whole.0..whole.1]);
        return Ok(());
    }
    match lua.coerce_string(value.clone())? {
        Some(text) => {
            spend(lua, text.as_bytes().len())?;
            out.extend_from_slice(&text.as_bytes());
            Ok(())
        }
        None => {
            let text = format!("invalid replacement value (a {})", type_name(&value));
            Err(error::text(lua, text))
        }
    }
}

/// Appends a template of `gsub`, with `%0` to `%9` replaced.
fn fill(
    lua: &Lua,
    matcher: &Matcher<'_>,
    template: &[u8],
    whole: (usize, usize),
    out: &mut Vec<u8>,
) -> mlua::Result<()> {
    spend(lua, template.len())?;
    let mut bytes = template.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        // At the end of the template C finds its closing zero byte.
        let capture = match bytes.next().copied().unwrap_or(0) {
            digit @ b'0'..=b'9' => digit,
            other => {
                out.push(other);
                continue;
            }
        };
        let value = match capture {
            b'0' => matcher.whole(whole)?,
            digit => matcher.capture(usize::from(digit - b'1'), whole)?,
        };
        if let Some(text) = lua.coerce_string(value)? {
            may_hold(out.len() + text.as_bytes().len())?;
            spend(lua, text.as_bytes().len())?;
            out.extend_from_slice(&text.as_bytes());
        }
    }
    Ok(())
}
