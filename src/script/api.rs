//! The table `redis` of scripts, and the random numbers of `math`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mlua::{Function, Lua, MultiValue, Table, Value};
use parking_lot::Mutex;

use crate::base::limits::SCRIPT_REQUEST_MAX;
use crate::base::number::format_double;
use crate::resp::parse_value;

use super::Registered;
use super::convert::{error_text, text, to_lua};
use super::error::{self, err_table};
use super::vm::sha1_hex;
use super::watch::{LOOK_NOW, spend};

/// What passes between redis.call and the host.
#[derive(Default)]
pub struct Exchange {
    pub request: Request,
    pub reply: Vec<u8>,
    pub may: Option<bool>,
    /// The protocol of the replies that the script sees: redis.setresp(3).
    pub resp3: bool,
    /// Serves the request; there while a script runs.
    pub serve: Option<Arc<Function>>,
    /// What the library that is being loaded has registered.
    pub loading: Option<Vec<Registered>>,
}

/// What a script asks of the host.
#[derive(Default)]
pub enum Request {
    #[default]
    None,
    Call(Vec<Vec<u8>>),
    May(Vec<Vec<u8>>),
}

pub type Shared = Arc<Mutex<Exchange>>;

/// The Redis version that scripts are told.
const VERSION: &str = "7.2.6";
const VERSION_NUMBER: i64 = 0x0007_0206;
/// Bytes of a line that a script logs, as in Redis.
const LOG_LINE_MAX: usize = 1024;
/// redis.set_repl's flags.
const REPL: [(&str, i64); 5] = [
    ("REPL_NONE", 0),
    ("REPL_AOF", 1),
    ("REPL_SLAVE", 2),
    ("REPL_REPLICA", 2),
    ("REPL_ALL", 3),
];
const LOG_LEVELS: [(&str, i64); 4] = [
    ("LOG_DEBUG", 0),
    ("LOG_VERBOSE", 1),
    ("LOG_NOTICE", 2),
    ("LOG_WARNING", 3),
];

/// What the code of a library sees of `redis` while it is loaded, besides `register_function`.
pub fn load_library(lua: &Lua) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    for (name, value) in LOG_LEVELS {
        redis.raw_set(name, value)?;
    }
    redis.raw_set("REDIS_VERSION", VERSION)?;
    redis.raw_set("REDIS_VERSION_NUM", VERSION_NUMBER)?;
    redis.raw_set("log", lua.create_function(log)?)?;
    Ok(redis)
}

/// The table `redis`.
pub fn library(lua: &Lua, shared: &Shared) -> mlua::Result<Table> {
    let redis = load_library(lua)?;
    for (name, raises) in [("call", true), ("pcall", false)] {
        let shared = shared.clone();
        let f =
            lua.create_function(move |lua, args: MultiValue| call(lua, &shared, args, raises))?;
        redis.raw_set(name, f)?;
    }
    for (name, value) in REPL {
        redis.raw_set(name, value)?;
    }
    redis.raw_set(
        "error_reply",
        lua.create_function(|lua, args: MultiValue| {
            let Some(err) = one_text(&args) else {
                return err_table(lua, b"ERR wrong number or type of arguments", false);
            };
            let err = err.strip_prefix(b"-").unwrap_or(&err);
            err_table(lua, &error_text(&String::from_utf8_lossy(err)), false)
        })?,
    )?;
    redis.raw_set(
        "status_reply",
        lua.create_function(|lua, args: MultiValue| {
            let Some(ok) = one_text(&args) else {
                return err_table(lua, b"ERR wrong number or type of arguments", false);
            };
            let table = lua.create_table()?;
            table.raw_set("ok", lua.create_string(ok)?)?;
            Ok(table)
        })?,
    )?;
    redis.raw_set(
        "sha1hex",
        lua.create_function(|lua, args: MultiValue| {
            if args.len() != 1 {
                return Err(error::table("wrong number of arguments"));
            }
            spend(lua, LOOK_NOW)?;
            let text = lua.coerce_string(args[0].clone())?;
            Ok(sha1_hex(
                &text.map_or_else(Vec::new, |t| t.as_bytes().to_vec()),
            ))
        })?,
    )?;
    redis.raw_set("setresp", {
        let shared = shared.clone();
        lua.create_function(move |_, args: MultiValue| {
            if args.len() != 1 {
                return Err(error::table("redis.setresp() requires one argument."));
            }
            shared.lock().resp3 = match number(&args[0]) {
                Some(2.0) => false,
                Some(3.0) => true,
                _ => return Err(error::table("RESP version must be 2 or 3.")),
            };
            Ok(())
        })?
    })?;
    redis.raw_set(
        "set_repl",
        lua.create_function(|_, args: MultiValue| {
            if args.len() != 1 {
                return Err(error::table("redis.set_repl() requires one argument."));
            }
            match number(&args[0]).or(Some(0.0)) {
                // Every write is in the log, whatever a script wishes.
                Some(flags) if (0.0..=3.0).contains(&flags) => Ok(()),
                _ => Err(error::table(
                    "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
                )),
            }
        })?,
    )?;
    redis.raw_set("replicate_commands", lua.create_function(|_, ()| Ok(true))?)?;
    redis.raw_set("breakpoint", lua.create_function(|_, ()| Ok(false))?)?;
    redis.raw_set("debug", lua.create_function(|_, _: MultiValue| Ok(()))?)?;
    redis.raw_set("acl_check_cmd", {
        let shared = shared.clone();
        lua.create_function(move |_, args: MultiValue| {
            let args = arguments(&args).map_err(error::table)?;
            serve(&shared, Request::May(args))?;
            let may = shared.lock().may;
            may.ok_or_else(|| error::table("Invalid command passed to redis.acl_check_cmd()"))
        })?
    })?;
    Ok(redis)
}

fn one_text(args: &MultiValue) -> Option<Vec<u8>> {
    (args.len() == 1).then(|| text(&args[0])).flatten()
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(n) => Some(*n as f64),
        Value::Number(n) => Some(*n),
        _ => None,
    }
}

fn call(lua: &Lua, shared: &Shared, args: MultiValue, raises: bool) -> mlua::Result<Value> {
    let args = match arguments(&args) {
        Ok(args) => args,
        Err(text) if raises => return Err(error::table(text)),
        Err(text) => {
            let err = format!("ERR {text}");
            return Ok(Value::Table(err_table(lua, err.as_bytes(), false)?));
        }
    };
    serve(shared, Request::Call(args))?;
    let (reply, resp3) = {
        let mut x = shared.lock();
        (std::mem::take(&mut x.reply), x.resp3)
    };
    if raises && reply.first() == Some(&b'-') {
        let line = String::from_utf8_lossy(&reply[1..]);
        return Err(mlua::Error::external(error::Raised::Table {
            err: error_text(&line),
            counted: true,
        }));
    }
    match parse_value(&reply) {
        Ok(Some((value, _))) => to_lua(lua, &value, resp3),
        _ => Err(error::table("internal error: the reply cannot be read")),
    }
}

fn serve(shared: &Shared, request: Request) -> mlua::Result<()> {
    let serve = {
        let mut x = shared.lock();
        x.request = request;
        x.serve.clone()
    };
    match serve {
        Some(serve) => serve.call(()),
        None => Err(error::table(
            "redis.call/pcall can only be called inside a script invocation",
        )),
    }
}

/// A command's arguments as bytes: numbers without loss, integers plainly.
fn arguments(args: &MultiValue) -> Result<Vec<Vec<u8>>, &'static str> {
    if args.is_empty() {
        return Err("Please specify at least one argument for this redis lib call");
    }
    // One string may stand for all of them.
    let length = |arg: &Value| arg.as_string().map_or(0, |text| text.as_bytes().len());
    if args.iter().map(length).sum::<usize>() > SCRIPT_REQUEST_MAX {
        return Err("not enough memory");
    }
    args.iter()
        .map(|arg| match arg {
            Value::String(text) => Ok(text.as_bytes().to_vec()),
            Value::Integer(n) => Ok(n.to_string().into()),
            Value::Number(0.0) => Ok(b"0".to_vec()),
            Value::Number(n) => Ok(format_double(*n).as_str().into()),
            _ => Err("Lua redis lib command arguments must be strings or integers"),
        })
        .collect()
}

fn log(lua: &Lua, args: MultiValue) -> mlua::Result<()> {
    if args.len() < 2 {
        return Err(error::table("redis.log() requires two arguments or more."));
    }
    let Some(level) = number(&args[0]) else {
        return Err(error::table("First argument must be a number (log level)."));
    };
    if !(0.0..=3.0).contains(&level) {
        return Err(error::table("Invalid debug level."));
    }
    let mut message = String::new();
    for arg in args.iter().skip(1) {
        if let Some(text) = lua.coerce_string(arg.clone())? {
            if !message.is_empty() {
                message.push(' ');
            }
            message.push_str(&text.to_string_lossy());
        }
    }
    let end = message.floor_char_boundary(LOG_LINE_MAX);
    message.truncate(end);
    match level as u8 {
        0 | 1 => tracing::debug!(target: "pontoon::script", "{message}"),
        2 => tracing::info!(target: "pontoon::script", "{message}"),
        _ => tracing::warn!(target: "pontoon::script", "{message}"),
    }
    Ok(())
}

/// `math.random` and `math.randomseed` on Redis's generator: the 48-bit one of POSIX, the same on every machine.
pub fn random(lua: &Lua, native: &Table) -> mlua::Result<()> {
    let state = Arc::new(AtomicU64::new(0x330E));
    let seeded = state.clone();
    native.raw_set(
        "randomseed",
        lua.create_function(move |_, seed: f64| {
            let seed = seed as i64 as u64 & 0xFFFF_FFFF;
            seeded.store(seed << 16 | 0x330E, Relaxed);
            Ok(())
        })?,
    )?;
    native.raw_set(
        "random",
        lua.create_function(move |lua, args: MultiValue| {
            let next = state
                .load(Relaxed)
                .wrapping_mul(0x5_DEEC_E66D)
                .wrapping_add(0xB)
                & 0xFFFF_FFFF_FFFF;
            state.store(next, Relaxed);
            let max = f64::from(i32::MAX);
            let r = ((next >> 17) as f64 % max) / max;
            let mut bounds = [0.0; 2];
            for (bound, arg) in bounds.iter_mut().zip(args.iter()) {
                *bound = lua
                    .coerce_number(arg.clone())?
                    .ok_or_else(|| error::text(lua, "bad argument to 'random' (number expected)"))?
                    .trunc();
            }
            let [a, b] = bounds;
            let (low, high, which) = match args.len() {
                0 => return Ok(r),
                1 => (1.0, a, 1),
                2 => (a, b, 2),
                _ => return Err(error::text(lua, "wrong number of arguments")),
            };
            if low > high {
                let text = format!("bad argument #{which} to 'random' (interval is empty)");
                return Err(error::text(lua, text));
            }
            Ok((r * (high - low + 1.0)).floor() + low)
        })?,
    )
}
