//! The virtual machine: made once, then given scripts and libraries to compile and run, one at a time.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use mlua::chunk::ChunkMode;
use mlua::{Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};
use parking_lot::Mutex;
use sha1::{Digest, Sha1};

use crate::base::limits::{SCRIPT_CODE_MAX, SCRIPT_MEMORY_KEPT, SCRIPT_MEMORY_MAX};
use crate::resp::Out;

use super::api::{self, Exchange, Request};
use super::watch::Watch;
use super::{
    Host, Registered, bits, convert, error, json, library, msgpack, strings, structs, tables,
};

/// The chunk of `sandbox.lua`, whose frames no error names.
pub(super) const SANDBOX: &str = "@sandbox";
/// The chunks of scripts and of libraries, as error messages have them.
const SCRIPT_CHUNK: &str = "@user_script";
const LIBRARY_CHUNK: &str = "@user_function";
/// Instructions between two looks at whether the script is to be ended.
const HOOK_INSTRUCTIONS: u32 = 1000;
/// As many where one of them can take long: two large strings joined, garbage collected.
const HOOK_SLOW_INSTRUCTIONS: u32 = 20;
/// Between two looks: from here on instructions are slow ones.
const SLOW: Duration = Duration::from_millis(5);

/// A compiled script, or a function of a library.
#[derive(Clone)]
pub struct Script(pub(super) Function);

/// One run of a script.
pub struct Run<'a> {
    /// What an error names: the SHA-1 of a script, the name of a function.
    pub name: &'a str,
    pub keys: &'a [&'a [u8]],
    pub args: &'a [&'a [u8]],
    /// A function gets its keys and arguments as parameters, a script as globals.
    pub function: bool,
    /// It is ended then, if it still runs.
    pub until: Instant,
}

/// How a script ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its reply was written; where that is an error, `counted` says that it was counted where it arose.
    Replied { counted: bool },
    /// With this error reply.
    Failed { text: Vec<u8>, counted: bool },
    /// It was ended at the time that its run gave.
    OutOfTime,
}

/// A virtual machine.
pub struct Vm {
    lua: Lua,
    env: Table,
    globals: Table,
    function_env: Table,
    run: Function,
    load_library: Function,
    exchange: Arc<Mutex<Exchange>>,
    watch: Arc<Watch>,
}

const LATE: &str = "the script ran too long and was ended";

impl Vm {
    /// A machine with all libraries. The script that runs is ended with an error, soon after `kill` is raised.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new(kill: Arc<AtomicBool>) -> Result<Vm, String> {
        Vm::build(kill).map_err(|e| format!("ERR cannot start Lua: {e}"))
    }

    fn build(kill: Arc<AtomicBool>) -> mlua::Result<Vm> {
        // The base library, coroutines included, is there in any case.
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(false))?;
        lua.set_memory_limit(SCRIPT_MEMORY_MAX)?;
        let watch = Watch::new(kill);
        lua.set_app_data(watch.clone());
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
        strings::add(&lua, &native)?;
        tables::add(&lua, &native)?;
        native.raw_set("code_max", SCRIPT_CODE_MAX)?;
        let tables = lua.create_table()?;
        tables.raw_set("bit", bits::library(&lua)?)?;
        tables.raw_set("cjson", json::library(&lua)?)?;
        tables.raw_set("cmsgpack", msgpack::library(&lua)?)?;
        tables.raw_set("struct", structs::library(&lua)?)?;
        let redis = api::library(&lua, &exchange)?;
        let load_redis = api::load_library(&lua)?;
        load_redis.raw_set(
            "register_function",
            library::register_function(&lua, &exchange)?,
        )?;
        let (env, globals, function_env, run, load_library): (
            Table,
            Table,
            Table,
            Function,
            Function,
        ) = lua
            .load(include_str!("sandbox.lua"))
            .set_name(SANDBOX)
            .call((native, tables, redis, load_redis))?;
        lua.set_globals(env.clone())?;
        let vm = Vm {
            lua,
            env,
            globals,
            function_env,
            run,
            load_library,
            exchange,
            watch,
        };
        vm.arm()?;
        Ok(vm)
    }

    /// From here on the script that runs is looked at now and then.
    fn arm(&self) -> mlua::Result<()> {
        look(&self.lua, every(HOOK_INSTRUCTIONS), self.watch.clone())
    }

    /// Ends a run; says with which error it was made to end, if it was.
    fn finish(&self) -> mlua::Result<Option<&'static str>> {
        let (ending, slowed) = self.watch.finish();
        if ending.is_some() || slowed {
            self.arm()?;
        }
        if self.memory() > SCRIPT_MEMORY_KEPT {
            self.lua.gc_collect()?;
        }
        Ok(ending)
    }

    /// Bytes that the machine holds.
    pub fn memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// Compiles a script.
    ///
    /// # Errors
    /// Lua's message.
    pub fn compile(&self, code: &[u8]) -> Result<Script, String> {
        self.compile_in(code, SCRIPT_CHUNK, &self.env)
    }

    fn compile_in(&self, code: &[u8], chunk: &str, env: &Table) -> Result<Script, String> {
        if code.first() == Some(&0x1b) {
            return Err("attempt to load a binary chunk".into());
        }
        if code.len() > SCRIPT_CODE_MAX {
            return Err("not enough memory".into());
        }
        self.lua
            .load(code)
            .set_name(chunk)
            .set_mode(ChunkMode::Text)
            .set_environment(env.clone())
            .into_function()
            .map(Script)
            .map_err(|e| match e {
                mlua::Error::SyntaxError { message, .. } => message,
                other => other.to_string(),
            })
    }

    /// Compiles a library and runs its code, which registers its functions, for `time` at most.
    ///
    /// # Errors
    /// Lua's message, or that of `redis.register_function`.
    pub fn load_library(&self, code: &[u8], time: Duration) -> Result<Vec<Registered>, String> {
        let main = self
            .compile_in(code, LIBRARY_CHUNK, &self.function_env)
            .map_err(|e| format!("Error compiling function: {e}"))?;
        self.register(&main, time)
            .map_err(|e| format!("Error registering functions: {e}"))
    }

    fn register(&self, main: &Script, time: Duration) -> Result<Vec<Registered>, String> {
        let text = |e: mlua::Error| e.to_string();
        self.exchange.lock().loading = Some(Vec::new());
        self.watch
            .begin(Instant::now() + time, "FUNCTION LOAD timeout");
        let result = self.load_library.call::<(bool, Value)>(main.0.clone());
        let registered = self.exchange.lock().loading.take();
        self.finish().map_err(text)?;
        let (ok, e) = result.map_err(text)?;
        if ok {
            return Ok(registered.unwrap_or_default());
        }
        let message = |value: &Value| convert::text(value).unwrap_or_default();
        let e = match &e {
            Value::Table(table) => message(&table.raw_get("err").map_err(text)?),
            _ => [b"ERR ", &message(&e)[..]].concat(),
        };
        Err(String::from_utf8_lossy(&e).into_owned())
    }

    /// Runs a script and writes its reply. What it does through `host` stays done, however it ends.
    pub fn run(&self, script: &Script, run: &Run<'_>, host: &mut dyn Host, out: &mut Out) -> Ended {
        self.exchange.lock().resp3 = false;
        let from = out.len();
        self.watch.begin(run.until, LATE);
        let result = self.run_inner(script, run, host, out);
        let result = self.finish().and_then(|ending| match ending {
            Some(LATE) => Ok(Ended::OutOfTime),
            _ => result,
        });
        match result {
            Ok(ended @ Ended::Replied { .. }) => ended,
            Ok(ended) => {
                out.truncate(from);
                ended
            }
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
        let (keys, argv) = (list(run.keys)?, list(run.args)?);
        if !run.function {
            self.globals.raw_set("KEYS", &keys)?;
            self.globals.raw_set("ARGV", &argv)?;
        }
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
            let result = match run.function {
                true => self
                    .run
                    .call::<(bool, Value)>((script.0.clone(), keys, argv)),
                false => self.run.call::<(bool, Value)>(script.0.clone()),
            };
            exchange.lock().serve = None;
            result
        })?;
        if ok {
            let counted =
                matches!(&value, Value::Table(t) if t.raw_get("ignore_error_stats_update")?);
            convert::to_reply(&self.lua, &value, exchange.lock().resp3, out)?;
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

fn every(instructions: u32) -> HookTriggers {
    HookTriggers::new().every_nth_instruction(instructions)
}

/// Looks at the script that runs as often as `triggers` say, and ends it when its time has come or it is killed. From
/// then on at every line: what the script catches with pcall is raised again at once.
fn look(lua: &Lua, triggers: HookTriggers, watch: Arc<Watch>) -> mlua::Result<()> {
    lua.set_global_hook(triggers, move |lua, _| {
        let Some(text) = watch.ending() else {
            if watch.slows(SLOW) {
                look(lua, every(HOOK_SLOW_INSTRUCTIONS), watch.clone())?;
            }
            return Ok(VmState::Continue);
        };
        look(lua, HookTriggers::EVERY_LINE, watch.clone())?;
        Err(error::table(text))
    })
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
            Some((Some(source), Some(line))) if source != SANDBOX => {
                return (Some(source), Some(line));
            }
            Some(_) => {}
        }
    }
    (None, None)
}

/// The SHA-1 of a text in lower-case hexadecimal.
pub fn sha1_hex(text: &[u8]) -> String {
    hex::encode(Sha1::digest(text))
}
