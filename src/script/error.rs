//! Errors that Rust functions raise in a script: they travel as mlua errors, and scripts see what they stand for.

use std::fmt;

use mlua::{Lua, Value};

use super::vm::SANDBOX;

/// What a script is to see of a failure.
#[derive(Debug, Clone)]
pub enum Raised {
    /// A text, with the place where it was raised before it, as Lua's own errors have it.
    Text(String),
    /// A table `{err = ...}`, as redis.call raises it; `counted`: it was counted where it arose.
    Table { err: Vec<u8>, counted: bool },
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raised::Text(text) => f.write_str(text),
            Raised::Table { err, .. } => f.write_str(&String::from_utf8_lossy(err)),
        }
    }
}

impl std::error::Error for Raised {}

/// A failure with a text, raised at the line of the script that called the function which is running.
pub fn text(lua: &Lua, text: impl Into<String>) -> mlua::Error {
    // What stands between in the sandbox is no place of the script's.
    let place = (1..4).find_map(|level| {
        lua.inspect_stack(level, |frame| {
            let line = frame.current_line()?;
            let source = frame.source();
            let own = source.source.as_deref() != Some(SANDBOX);
            own.then(|| Some(format!("{}:{line}: ", source.short_src.as_deref()?)))?
        })
        .flatten()
    });
    let place = place.unwrap_or_default();
    mlua::Error::external(Raised::Text(place + &text.into()))
}

/// A failure as a table with `ERR` before the text.
pub fn table(text: &str) -> mlua::Error {
    mlua::Error::external(Raised::Table {
        err: format!("ERR {text}").into_bytes(),
        counted: false,
    })
}

/// The Lua value of an error.
pub fn plain(lua: &Lua, error: &mlua::Error) -> mlua::Result<Value> {
    match error {
        mlua::Error::CallbackError { cause, .. } => return plain(lua, cause),
        mlua::Error::WithContext { cause, .. } => return plain(lua, cause),
        _ => {}
    }
    Ok(match error.downcast_ref::<Raised>() {
        Some(Raised::Text(text)) => Value::String(lua.create_string(text)?),
        Some(Raised::Table { err, counted }) => Value::Table(err_table(lua, err, *counted)?),
        None => {
            let text = match error {
                mlua::Error::RuntimeError(text) | mlua::Error::MemoryError(text) => text.clone(),
                other => other.to_string(),
            };
            Value::String(lua.create_string(text)?)
        }
    })
}

/// The table that stands for an error reply.
pub fn err_table(lua: &Lua, err: &[u8], counted: bool) -> mlua::Result<mlua::Table> {
    let table = lua.create_table()?;
    table.raw_set("err", lua.create_string(err)?)?;
    if counted {
        table.raw_set("ignore_error_stats_update", true)?;
    }
    Ok(table)
}
