//! EVAL and its kin, SCRIPT.
//!
//! A script runs within the command that called it: what it changes is one piece of one batch. Scripts are kept in the
//! table of scripts, which is replicated; what is compiled here is derived from it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::base::limits::{SCRIPTS_BYTES_MAX, SCRIPTS_MAX};
use crate::command::args::{int, is};
use crate::command::table::{self, Flags};
use crate::command::{Args, Fail};
use crate::keyspace::system::Table;
use crate::mutation::Mutation;
use crate::resp::{Out, Proto};
use crate::script::{Control, Ended, Host, Run, Script, Vm, sha1_hex};
use crate::server::dispatch::{self, Exec, Handler, Step};

use super::help;

pub const COMMANDS: &[(&str, Handler)] = &[
    ("eval", |x, args, out| eval(x, args, out, false)),
    ("eval_ro", |x, args, out| eval(x, args, out, true)),
    ("evalsha", |x, args, out| evalsha(x, args, out, false)),
    ("evalsha_ro", |x, args, out| evalsha(x, args, out, true)),
    ("script|load", load),
    ("script|exists", exists),
    ("script|flush", flush),
    ("script|kill", kill),
    ("script|debug", debug),
    ("script|help", script_help),
];

const NO_SCRIPT: Fail = Fail::new("NOSCRIPT No matching script. Please use EVAL.");
const OOM_FLAG: Fail = Fail::new(
    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
);
/// The name of a script's chunk, which is in its error messages.
const CHUNK: &str = "@user_script";

/// The machine and what it has compiled.
#[derive(Default)]
pub struct Scripts {
    loaded: Mutex<Option<Loaded>>,
    control: Arc<Control>,
}

struct Loaded {
    vm: Vm,
    compiled: HashMap<String, (Script, Marks)>,
}

/// The flags of a script's first line; without such a line it is as scripts were before Redis 7.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Marks {
    modern: bool,
    no_writes: bool,
    allow_oom: bool,
    no_cluster: bool,
}

impl Scripts {
    /// The script with that SHA-1 and body, compiled now or earlier.
    fn compile(&self, sha: &str, body: &[u8]) -> Result<(Script, Marks), Fail> {
        let mut loaded = self.loaded.lock();
        if loaded.is_none() {
            let vm = Vm::new(self.control.clone()).map_err(Fail::text)?;
            *loaded = Some(Loaded { vm, compiled: HashMap::new() });
        }
        let Some(Loaded { vm, compiled }) = loaded.as_mut() else {
            return Err(Fail::new("ERR cannot start Lua"));
        };
        if let Some(found) = compiled.get(sha) {
            return Ok(found.clone());
        }
        let (marks, skipped) = shebang(body)?;
        let script = vm.compile(&body[skipped..], CHUNK).map_err(|e| {
            Fail::text(format!("ERR Error compiling script (new function): {e}"))
        })?;
        if compiled.len() >= SCRIPTS_MAX {
            compiled.clear();
        }
        compiled.insert(sha.to_owned(), (script.clone(), marks));
        Ok((script, marks))
    }
}

/// What the first line of a script says, and how many bytes of it are no Lua.
fn shebang(body: &[u8]) -> Result<(Marks, usize), Fail> {
    let mut marks = Marks::default();
    if !body.starts_with(b"#!") {
        return Ok((marks, 0));
    }
    let Some(end) = body.iter().position(|&b| b == b'\n') else {
        return Err(Fail::new("ERR Invalid script shebang"));
    };
    let line = String::from_utf8_lossy(&body[..end]);
    let mut words = line.split_ascii_whitespace();
    let engine = words.next().unwrap_or("");
    if engine != "#!lua" {
        let name = engine.trim_start_matches("#!");
        return Err(Fail::text(format!("ERR Unexpected engine in script shebang: {name}")));
    }
    marks.modern = true;
    for word in words {
        let Some(flags) = word.strip_prefix("flags=") else {
            return Err(Fail::text(format!("ERR Unknown lua shebang option: {word}")));
        };
        for flag in flags.split(',').filter(|_| !flags.is_empty()) {
            match flag {
                "no-writes" => marks.no_writes = true,
                "allow-oom" => marks.allow_oom = true,
                "no-cluster" => marks.no_cluster = true,
                "allow-stale" | "allow-cross-slot-keys" => {}
                _ => return Err(Fail::text(format!("ERR Unexpected flag in script shebang: {flag}"))),
            }
        }
    }
    Ok((marks, end))
}

fn eval(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out, read_only: bool) -> Result<(), Fail> {
    let keys = number_of_keys(args)?;
    let sha = sha1_hex(args[1]);
    let compiled = x.server.scripts.compile(&sha, args[1])?;
    keep(x, &sha, args[1])?;
    run(x, &sha, compiled, args, keys, out, read_only)
}

fn evalsha(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out, read_only: bool) -> Result<(), Fail> {
    let sha = String::from_utf8_lossy(args[1]).to_ascii_lowercase();
    if sha.len() != 40 {
        return Err(NO_SCRIPT);
    }
    let keys = number_of_keys(args)?;
    let body = x.core.ks.system.get(Table::Scripts, sha.as_bytes());
    let body = body.cloned().ok_or(NO_SCRIPT)?;
    x.wait = x.wait.max(x.core.gate.all());
    let compiled = x.server.scripts.compile(&sha, &body)?;
    run(x, &sha, compiled, args, keys, out, read_only)
}

fn number_of_keys(args: Args<'_>) -> Result<usize, Fail> {
    let keys = int(args[2])?;
    if keys > args.len() as i64 - 3 {
        return Err(Fail::new("ERR Number of keys can't be greater than number of args"));
    }
    usize::try_from(keys).map_err(|_| Fail::new("ERR Number of keys can't be negative"))
}

/// Keeps a script for EVALSHA, at all nodes.
fn keep(x: &mut Exec<'_>, sha: &str, body: &[u8]) -> Result<(), Fail> {
    let system = &x.core.ks.system;
    if system.get(Table::Scripts, sha.as_bytes()).is_some() || body.len() > SCRIPTS_BYTES_MAX {
        return Ok(());
    }
    let (mut count, mut bytes) = (1, body.len());
    for (_, script) in system.iter(Table::Scripts) {
        count += 1;
        bytes += script.len();
    }
    let mut forgotten: Vec<Vec<u8>> = Vec::new();
    for (name, script) in system.iter(Table::Scripts) {
        if count <= SCRIPTS_MAX && bytes <= SCRIPTS_BYTES_MAX {
            break;
        }
        count -= 1;
        bytes -= script.len();
        forgotten.push(name.to_vec());
    }
    let mut ctx = x.core.ctx(0);
    let table = Table::Scripts as u8;
    for name in &forgotten {
        ctx.apply(Mutation::SystemDel { table, name })?;
    }
    ctx.apply(Mutation::SystemPut { table, name: sha.as_bytes(), value: body })?;
    x.wait = x.wait.max(ctx.wait);
    Ok(())
}

fn run(
    x: &mut Exec<'_>,
    sha: &str,
    (script, marks): (Script, Marks),
    args: Args<'_>,
    keys: usize,
    out: &mut Out,
    read_only: bool,
) -> Result<(), Fail> {
    let full = !x.core.make_room();
    if marks.modern {
        if marks.no_cluster && x.server.options.redirect {
            return Err(Fail::new("ERR Can not run script on cluster, 'no-cluster' flag is set."));
        }
        if read_only && !marks.no_writes {
            return Err(Fail::new("ERR Can not execute a script with write flag using *_ro command."));
        }
        if full && !marks.allow_oom && !marks.no_writes {
            return Err(OOM_FLAG);
        }
    }
    let before = x.core.mark();
    let (db, last_command, in_exec) = (x.session.db, x.session.last_command, x.session.in_exec);
    let memory = x.session.memory.args;
    x.session.in_exec = true;
    x.session.in_script = true;
    let server = x.server;
    let mut host = Caller {
        x,
        read_only: read_only || marks.no_writes,
        full: full && !marks.allow_oom,
        wrote: false,
    };
    let mut loaded = server.scripts.loaded.lock();
    let ended = loaded.as_ref().map(|l| {
        let run = Run { name: sha, keys: &args[3..3 + keys], args: &args[3 + keys..] };
        l.vm.run(&script, &run, &mut host, out)
    });
    x.session.in_exec = in_exec;
    x.session.in_script = false;
    x.session.db = db;
    x.session.last_command = last_command;
    x.session.memory.args = memory;
    if server.scripts.control.overdue() {
        x.core.rollback(before);
        *loaded = None;
        return Err(Fail::new("ERR the script ran too long and was ended; nothing was changed"));
    }
    match ended {
        Some(Ended::Failed { text, counted }) => {
            if !counted {
                server.stats.error(&text);
            }
            out.error_bytes(&text);
        }
        Some(Ended::Replied { .. }) => {}
        None => return Err(Fail::new("ERR cannot start Lua")),
    }
    Ok(())
}

/// What a script reaches: the commands, as its client may run them.
struct Caller<'a, 'b> {
    x: &'a mut Exec<'b>,
    read_only: bool,
    full: bool,
    wrote: bool,
}

impl Caller<'_, '_> {
    fn refused(&mut self, args: Args<'_>) -> Result<&'static table::Spec, Fail> {
        let Ok(spec) = table::resolve(args) else {
            return Err(Fail::new("ERR Unknown Redis command called from script"));
        };
        if !spec.accepts(args.len()) {
            return Err(Fail::new("ERR Wrong number of args calling Redis command from script"));
        }
        if spec.has(Flags::NOSCRIPT) {
            return Err(Fail::new("ERR This Redis command is not allowed from script"));
        }
        let top = spec.container.map_or(spec, |id| id.spec());
        if let Some(fail) = dispatch::restricted(self.x.server, top, spec) {
            return Err(fail);
        }
        if self.read_only && spec.has(Flags::WRITE.union(Flags::MAY_REPLICATE)) {
            return Err(Fail::new("ERR Write commands are not allowed from read-only scripts."));
        }
        if self.full && !self.wrote && spec.has(Flags::DENYOOM) {
            return Err(Fail::OOM);
        }
        Ok(spec)
    }
}

impl Host for Caller<'_, '_> {
    fn call(&mut self, args: &[&[u8]], resp3: bool, reply: &mut Vec<u8>) {
        let mut out = Out::new(if resp3 { Proto::Resp3 } else { Proto::Resp2 });
        match self.refused(args) {
            Ok(spec) => {
                self.wrote |= spec.has(Flags::WRITE);
                let Exec { server, core, session, wait } = &mut *self.x;
                let step = dispatch::execute(server, core, session, spec, args, &mut out);
                if let Step::Replied { wait: waits } = step {
                    *wait = (*wait).max(waits);
                }
            }
            Err(fail) => {
                self.x.server.stats.error(fail.as_str().as_bytes());
                out.error(fail.as_str());
            }
        }
        reply.extend_from_slice(out.as_slice());
    }

    fn may(&mut self, args: &[&[u8]]) -> Option<bool> {
        let spec = table::resolve(args).ok()?;
        let top = spec.container.map_or(spec, |id| id.spec());
        Some(dispatch::restricted(self.x.server, top, spec).is_none())
    }
}

fn load(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let sha = sha1_hex(args[2]);
    x.server.scripts.compile(&sha, args[2])?;
    keep(x, &sha, args[2])?;
    out.bulk(sha.as_bytes());
    Ok(())
}

fn exists(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.wait = x.wait.max(x.core.gate.all());
    out.array(args.len() - 2);
    for sha in &args[2..] {
        let known = x.core.ks.system.get(Table::Scripts, &sha.to_ascii_lowercase());
        out.int(known.is_some().into());
    }
    Ok(())
}

fn flush(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if args.len() > 3 || args.len() == 3 && !is(args[2], "sync") && !is(args[2], "async") {
        return Err(Fail::new("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    let names: SmallVec<[Vec<u8>; 8]> =
        x.core.ks.system.iter(Table::Scripts).map(|(name, _)| name.to_vec()).collect();
    let mut ctx = x.core.ctx(0);
    for name in &names {
        ctx.apply(Mutation::SystemDel { table: Table::Scripts as u8, name })?;
    }
    x.wait = x.wait.max(ctx.wait);
    *x.server.scripts.loaded.lock() = None;
    out.ok();
    Ok(())
}

fn kill(_: &mut Exec<'_>, _: Args<'_>, _: &mut Out) -> Result<(), Fail> {
    // Commands run one after the other: where this one runs, no script does.
    Err(Fail::new("NOTBUSY No scripts in execution right now."))
}

fn debug(_: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if is(args[2], "no") {
        out.ok();
        return Ok(());
    }
    if is(args[2], "yes") || is(args[2], "sync") {
        return Err(Fail::new("ERR scripts cannot be debugged on a service that others use"));
    }
    Err(Fail::new("ERR Use SCRIPT DEBUG YES/SYNC/NO"))
}

fn script_help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help::reply(out, "SCRIPT", &[
        ("DEBUG (YES|SYNC|NO)", "Turn the debugger on or off; only NO is possible here."),
        ("EXISTS <sha1> [<sha1> ...]", "Tell which scripts are kept."),
        ("FLUSH [ASYNC|SYNC]", "Forget all scripts."),
        ("KILL", "End the script that is running."),
        ("LOAD <script>", "Keep a script for EVALSHA without running it."),
    ]);
    Ok(())
}
