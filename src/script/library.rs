//! Libraries of functions: `redis.register_function`, and what a library registered.

use mlua::{Function, Lua, MultiValue, Table, Value};

use crate::base::limits::LIBRARY_FUNCTIONS_MAX;

use super::Marks;
use super::api::Shared;
use super::convert::text;
use super::error;
use super::vm::Script;

/// A function as its library registered it.
#[derive(Clone)]
pub struct Registered {
    pub name: Vec<u8>,
    pub description: Option<Vec<u8>>,
    pub marks: Marks,
    pub callback: Script,
}

/// What a name of a library or function that cannot be one is answered with.
pub const BAD_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// Whether a library or function may have that name.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// `redis.register_function`, which adds to what the library that is being loaded has registered.
pub fn register_function(lua: &Lua, shared: &Shared) -> mlua::Result<Function> {
    let shared = shared.clone();
    lua.create_function(move |lua, args: MultiValue| {
        if shared.lock().loading.is_none() {
            return Err(error::table(
                "redis.register_function can only be called on FUNCTION LOAD command",
            ));
        }
        let new = match args.len() {
            1 => named(lua, &args[0])?,
            2 => positional(lua, &args[0], &args[1])?,
            _ => {
                return Err(error::table(
                    "wrong number of arguments to redis.register_function",
                ));
            }
        };
        if !is_name(&new.name) {
            return Err(error::table(BAD_NAME));
        }
        let mut shared = shared.lock();
        let known = shared.loading.get_or_insert_default();
        if known.iter().any(|f| f.name == new.name) {
            return Err(error::table("Function already exists in the library"));
        }
        if known.len() >= LIBRARY_FUNCTIONS_MAX {
            return Err(error::table("too many functions in the library"));
        }
        known.push(new);
        Ok(())
    })
}

fn string(lua: &Lua, value: &Value, otherwise: &str) -> mlua::Result<Vec<u8>> {
    let text = lua.coerce_string(value.clone())?;
    text.map(|t| t.as_bytes().to_vec())
        .ok_or_else(|| error::table(otherwise))
}

fn positional(lua: &Lua, name: &Value, callback: &Value) -> mlua::Result<Registered> {
    let name = string(
        lua,
        name,
        "first argument to redis.register_function must be a string",
    )?;
    let Value::Function(callback) = callback else {
        return Err(error::table(
            "second argument to redis.register_function must be a function",
        ));
    };
    Ok(Registered {
        name,
        description: None,
        marks: Marks::default(),
        callback: Script(callback.clone()),
    })
}

fn named(lua: &Lua, table: &Value) -> mlua::Result<Registered> {
    let Value::Table(table) = table else {
        return Err(error::table(
            "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
        ));
    };
    let (mut name, mut description, mut callback, mut marks) = (None, None, None, Marks::default());
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let key = string(
            lua,
            &key,
            "named argument key given to redis.register_function is not a string",
        )?;
        match &key.to_ascii_lowercase()[..] {
            b"function_name" => {
                let wrong =
                    "function_name argument given to redis.register_function must be a string";
                name = Some(string(lua, &value, wrong)?);
            }
            b"description" => {
                let wrong =
                    "description argument given to redis.register_function must be a string";
                description = Some(string(lua, &value, wrong)?);
            }
            b"callback" => {
                let Value::Function(f) = value else {
                    return Err(error::table(
                        "callback argument given to redis.register_function must be a function",
                    ));
                };
                callback = Some(Script(f));
            }
            b"flags" => {
                let Value::Table(flags) = value else {
                    return Err(error::table(
                        "flags argument to redis.register_function must be a table representing function flags",
                    ));
                };
                marks = marks_of(&flags)?;
            }
            _ => {
                return Err(error::table(
                    "unknown argument given to redis.register_function",
                ));
            }
        }
    }
    let name = name
        .ok_or_else(|| error::table("redis.register_function must get a function name argument"))?;
    let callback = callback
        .ok_or_else(|| error::table("redis.register_function must get a callback argument"))?;
    Ok(Registered {
        name,
        description,
        marks,
        callback,
    })
}

fn marks_of(flags: &Table) -> mlua::Result<Marks> {
    let mut marks = Marks::default();
    for at in 1.. {
        let flag: Value = flags.get(at)?;
        if flag.is_nil() {
            break;
        }
        let known = text(&flag)
            .is_some_and(|f| marks.add(&String::from_utf8_lossy(&f).to_ascii_lowercase()));
        if !known {
            return Err(error::table("unknown flag given"));
        }
    }
    Ok(marks)
}
