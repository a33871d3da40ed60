//! The virtual machine: made once, then given scripts to compile and run, one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use mlua::{Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};
use parking_lot::Mutex;
use sha1::{Digest, Sha1};

use crate::base::limits::{SCRIPT_MEMORY_MAX, SCRIPT_RUN_MAX};
use crate::resp::Out;

use super::api::{self, Exchange, Request};
use super::{Host, bits, convert, error, json, msgpack, structs};

/// The chunk of `sandbox.lua`, whose frames no error names.
pub(super) const SANDBOX: &str = "@sandbox";
/// Instructions between two looks at whether the script is to be killed.
const HOOK_INSTRUCTIONS: u32 = 100_000;

/// What others tell a running script.
#[derive(Debug, Default)]
pub struct Control {
    killed: AtomicBool,
    overdue: AtomicBool,
    until: Mutex<Option<Instant>>,
}

impl Control {
    /// Whether the last script was ended because it ran too long.
    pub fn overdue(&self) -> bool {
        self.overdue.load(Relaxed)
    }

    /// Ends the running script with an error, soon.
    pub fn kill(&self) {
        self.killed.store(true, Relaxed);
    }
}

/// A compiled script.
#[derive(Clone)]
pub struct Script(Function);

/// One run of a script.
pub struct Run<'a> {
    /// What an error names: the SHA-1 of a script, the name of a function.
    pub name: &'a str,
    pub keys: &'a [&'a [u8]],
    pub args: &'a [&'a [u8]],
}

/// How a script ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its reply was written; where that is an error, `counted` says that it was counted where it arose.
    Replied { counted: bool },
    /// With this error reply.
    Failed { text: Vec<u8>, counted: bool },
}

/// A virtual machine.
pub struct Vm {
    lua: Lua,
    env: Table,
    globals: Table,
    run: Function,
    exchange: Arc<Mutex<Exchange>>,
    control: Arc<Control>,
}

impl Vm {
    /// A machine with all libraries.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new(control: Arc<Control>) -> Result<Vm, String> {
        Vm::build(control).map_err(|e| format!("ERR cannot start Lua: {e}"))
    }

    fn build(control: Arc<Control>) -> mlua::Result<Vm> {
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(false))?;
        lua.set_memory_limit(SCRIPT_MEMORY_MAX)?;
        let exchange = Arc::<Mutex<Exchange>>::default();
        let native = lua.create_table()?;
        native.raw_set(
            "plain",
            lua.create_function(|lua, value: Value| match value {
                Value::Error(e) => error::plain(lua, &e),
                other => Ok(other),
            })?,
        )?;
        native.raw_set("where", lua.create_function(|lua, ()| Ok(place(lua)))?)?;
        api::random(&lua, &native)?;
        let tables = lua.create_table()?;
        tables.raw_set("redis", api::library(&lua, &exchange)?)?;
        tables.raw_set("bit", bits::library(&lua)?)?;
        tables.raw_set("cjson", json::library(&lua)?)?;
        tables.raw_set("cmsgpack", msgpack::library(&lua)?)?;
        tables.raw_set("struct", structs::library(&lua)?)?;
        let (env, globals, run): (Table, Table, Function) = lua
            .load(include_str!("sandbox.lua"))
            .set_name(SANDBOX)
            .call((native, tables))?;
        lua.set_globals(env.clone())?;
        let watched = control.clone();
        let triggers = HookTriggers::new().every_nth_instruction(HOOK_INSTRUCTIONS);
        lua.set_global_hook(triggers, move |lua, _| {
            if watched.until.lock().is_some_and(|until| Instant::now() > until) {
                watched.overdue.store(true, Relaxed);
                watched.kill();
            }
            if !watched.killed.load(Relaxed) {
                return Ok(VmState::Continue);
            }
            // From here on at every line: what the script catches with pcall is raised again at once.
            lua.set_global_hook(HookTriggers::EVERY_LINE, |_, _| Err(killed()))?;
            Err(killed())
        })?;
        Ok(Vm {
            lua,
            env,
            globals,
            run,
            exchange,
            control,
        })
    }

    /// Bytes that the machine holds.
    pub fn memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// Compiles a script whose chunk has that name.
    ///
    /// # Errors
    /// Lua's message.
    pub fn compile(&self, code: &[u8], chunk: &str) -> Result<Script, String> {
        if code.first() == Some(&0x1b) {
            return Err("attempt to load a binary chunk".into());
        }
        self.lua
            .load(code)
            .set_name(chunk)
            .set_mode(mlua::chunk::ChunkMode::Text)
            .set_environment(self.env.clone())
            .into_function()
            .map(Script)
            .map_err(|e| match e {
                mlua::Error::SyntaxError { message, .. } => message,
                other => other.to_string(),
            })
    }

    /// Runs a script and writes its reply. What it does through `host` stays done, however it ends. A machine whose
    /// script was killed is to be thrown away.
    pub fn run(&self, script: &Script, run: &Run<'_>, host: &mut dyn Host, out: &mut Out) -> Ended {
        self.control.killed.store(false, Relaxed);
        self.control.overdue.store(false, Relaxed);
        *self.control.until.lock() = Some(Instant::now() + SCRIPT_RUN_MAX);
        self.exchange.lock().resp3 = false;
        let from = out.len();
        match self.run_inner(script, run, host, out) {
            Ok(ended) => ended,
            Err(e) => {
                out.truncate(from);
                let text = format!("ERR Error running script {}, {e}", run.name);
                Ended::Failed {
                    text: text.replace(['\r', '\n'], " ").into(),
                    counted: false,
                }
            }
        }
    }

    fn run_inner(
        &self,
        script: &Script,
        run: &Run<'_>,
        host: &mut dyn Host,
        out: &mut Out,
    ) -> mlua::Result<Ended> {
        let list = |items: &[&[u8]]| {
            let table = self.lua.create_table_with_capacity(items.len(), 0)?;
            for (i, item) in items.iter().enumerate() {
                table.raw_set(i + 1, self.lua.create_string(item)?)?;
            }
            mlua::Result::Ok(table)
        };
        self.globals.raw_set("KEYS", list(run.keys)?)?;
        self.globals.raw_set("ARGV", list(run.args)?)?;
        let exchange = &self.exchange;
        let (ok, value) = self.lua.scope(|scope| {
            let serve = scope.create_function_mut(|_, ()| {
                let (request, resp3) = {
                    let mut x = exchange.lock();
                    (std::mem::take(&mut x.request), x.resp3)
                };
                let mut reply = Vec::new();
                match &request {
                    Request::None => {}
                    Request::Call(args) => {
                        let args: Vec<&[u8]> = args.iter().map(|a| &a[..]).collect();
                        host.call(&args, resp3, &mut reply);
                    }
                    Request::May(args) => {
                        let args: Vec<&[u8]> = args.iter().map(|a| &a[..]).collect();
                        let may = host.may(&args);
                        exchange.lock().may = may;
                    }
                }
                exchange.lock().reply = reply;
                Ok(())
            })?;
            exchange.lock().serve = Some(Arc::new(serve));
            let result = self.run.call::<(bool, Value)>(script.0.clone());
            exchange.lock().serve = None;
            result
        })?;
        if ok {
            let counted = matches!(&value, Value::Table(t) if t.raw_get("ignore_error_stats_update")?);
            convert::to_reply(&value, exchange.lock().resp3, out)?;
            return Ok(Ended::Replied { counted });
        }
        let Value::Table(table) = value else {
            let text = convert::text(&value).unwrap_or_else(|| b"execution failure".to_vec());
            return Err(mlua::Error::RuntimeError(
                String::from_utf8_lossy(&text).into_owned(),
            ));
        };
        let field = |name: &str| table.raw_get::<Value>(name).map(|v| convert::text(&v));
        let mut text = field("err")?.unwrap_or_else(|| b"ERR unknown error".to_vec());
        let line: Option<i64> = table.raw_get("line")?;
        if let (Some(source), Some(line)) = (field("source")?, line) {
            text.extend_from_slice(format!(" script: {}, on ", run.name).as_bytes());
            text.extend_from_slice(&source);
            text.extend_from_slice(format!(":{line}.").as_bytes());
        }
        let counted = table
            .raw_get::<Option<bool>>("ignore_error_stats_update")?
            .unwrap_or(false);
        Ok(Ended::Failed { text, counted })
    }
}

fn killed() -> mlua::Error {
    error::table("Script killed by user with SCRIPT KILL...")
}

/// Where an error that the handler looks at arose: the chunk and the line of the innermost frame that is a script's own.
fn place(lua: &Lua) -> (Option<String>, Option<usize>) {
    // Level 0 is this function and level 1 the handler.
    for level in 2.. {
        let frame = lua.inspect_stack(level, |frame| {
            let source = frame.source().source.map(|s| s.into_owned());
            (source, frame.current_line())
        });
        match frame {
            None => break,
            Some((Some(source), Some(line))) if source != SANDBOX => return (Some(source), Some(line)),
            Some(_) => {}
        }
    }
    (None, None)
}

/// The SHA-1 of a text in lower-case hexadecimal.
pub fn sha1_hex(text: &[u8]) -> String {
    hex::encode(Sha1::digest(text))
}
