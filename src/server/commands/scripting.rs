//! EVAL and its kin, SCRIPT.
//!
//! Scripts are kept for EVALSHA in the table of scripts, which is replicated; what is compiled of them is derived from it.

use std::sync::atomic::Ordering::Relaxed;

use smallvec::SmallVec;

use crate::base::limits::{SCRIPT_CODE_MAX, SCRIPTS_BYTES_MAX, SCRIPTS_MAX};
use crate::command::args::{int, is};
use crate::command::{Args, Fail};
use crate::keyspace::system::Table;
use crate::mutation::Mutation;
use crate::resp::Out;
use crate::script::sha1_hex;
use crate::server::dispatch::{Exec, Handler};
use crate::server::scripts::caller::{self, Plan, number_of_keys};

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

fn eval(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out, read_only: bool) -> Result<(), Fail> {
    let keys = number_of_keys(args, int)?;
    let sha = name(args[1])?;
    let plan = plan(x, &sha, args[1], args, keys, read_only)?;
    keep(x, &sha, args[1])?;
    caller::run(x, &plan, out)
}

/// The SHA-1 of a script that is not too long to be compiled, nor to be walked while all others wait.
fn name(body: &[u8]) -> Result<String, Fail> {
    if body.len() > SCRIPT_CODE_MAX {
        return Err(Fail::new(
            "ERR Error compiling script (new function): not enough memory",
        ));
    }
    Ok(sha1_hex(body))
}

fn evalsha(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out, read_only: bool) -> Result<(), Fail> {
    x.wait = x.wait.max(x.core.gate.system());
    if args[1].len() != 40 {
        return Err(NO_SCRIPT);
    }
    let keys = number_of_keys(args, int)?;
    let sha = String::from_utf8_lossy(args[1]).to_ascii_lowercase();
    let body = x.core.ks.system.get(Table::Scripts, sha.as_bytes());
    let body = body.cloned().ok_or(NO_SCRIPT)?;
    let plan = plan(x, &sha, &body, args, keys, read_only)?;
    caller::run(x, &plan, out)
}

fn plan<'a>(
    x: &Exec<'_>,
    name: &'a str,
    body: &[u8],
    command: Args<'a>,
    keys: usize,
    read_only: bool,
) -> Result<Plan<'a>, Fail> {
    let scripts = &x.server.scripts;
    let (script, marks) = scripts.machine(&x.server.engine.kill, &x.core.ks.system, |m| {
        m.script(name, body)
    })??;
    Ok(Plan {
        name,
        script,
        marks,
        function: false,
        read_only,
        command,
        keys,
    })
}

/// Keeps a script for EVALSHA, at all nodes.
fn keep(x: &mut Exec<'_>, sha: &str, body: &[u8]) -> Result<(), Fail> {
    let system = &x.core.ks.system;
    if system.get(Table::Scripts, sha.as_bytes()).is_some() {
        // It may be another's that is not committed: then a later EVALSHA could fail after this reply.
        x.wait = x.wait.max(x.core.gate.system());
        return Ok(());
    }
    if body.len() > SCRIPTS_BYTES_MAX {
        return Ok(());
    }
    let (count, bytes) = system.size(Table::Scripts);
    let (mut count, mut bytes) = (count + 1, bytes + body.len());
    let mut forgotten: SmallVec<[Vec<u8>; 1]> = SmallVec::new();
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
    ctx.apply(Mutation::SystemPut {
        table,
        name: sha.as_bytes(),
        value: body,
    })?;
    x.wait = x.wait.max(ctx.wait);
    Ok(())
}

fn load(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let sha = name(args[2])?;
    let scripts = &x.server.scripts;
    scripts.machine(&x.server.engine.kill, &x.core.ks.system, |m| {
        m.script(&sha, args[2]).map(|_| ())
    })??;
    keep(x, &sha, args[2])?;
    out.bulk(sha.as_bytes());
    Ok(())
}

fn exists(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.wait = x.wait.max(x.core.gate.system());
    out.array(args.len() - 2);
    for sha in &args[2..] {
        let known = x
            .core
            .ks
            .system
            .get(Table::Scripts, &sha.to_ascii_lowercase());
        out.int(known.is_some().into());
    }
    Ok(())
}

fn flush(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if args.len() > 3 || args.len() == 3 && !is(args[2], "sync") && !is(args[2], "async") {
        return Err(Fail::new("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    let scripts = x.core.ks.system.iter(Table::Scripts);
    let names: Vec<Vec<u8>> = scripts.map(|(name, _)| name.to_vec()).collect();
    let mut ctx = x.core.ctx(0);
    let table = Table::Scripts as u8;
    for name in &names {
        ctx.apply(Mutation::SystemDel { table, name })?;
    }
    x.wait = x.wait.max(ctx.wait).max(x.core.gate.system());
    if let Some(machine) = &mut *x.server.scripts.machine.lock() {
        machine.forget_scripts();
    }
    out.ok();
    Ok(())
}

fn kill(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.server.scripts.kill(false, &x.server.engine.kill)?;
    out.ok();
    Ok(())
}

fn debug(_: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if is(args[2], "no") {
        out.ok();
        return Ok(());
    }
    if is(args[2], "yes") || is(args[2], "sync") {
        return Err(Fail::new(
            "ERR scripts cannot be debugged on a service that others use",
        ));
    }
    Err(Fail::new("ERR Use SCRIPT DEBUG YES/SYNC/NO"))
}

/// Bytes of the scripts that are kept and how many there are; bytes of the machine; libraries and functions.
pub fn stats(x: &Exec<'_>) -> [u64; 5] {
    let (count, bytes) = x.core.ks.system.size(Table::Scripts);
    let scripts = &x.server.scripts;
    let [memory, libraries, functions] =
        [&scripts.memory, &scripts.libraries, &scripts.functions].map(|n| n.load(Relaxed) as u64);
    [count as u64, bytes as u64, memory, libraries, functions]
}

fn script_help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help::reply(
        out,
        "SCRIPT",
        &[
            (
                "DEBUG (YES|SYNC|NO)",
                "Turn the debugger on or off; only NO is possible here.",
            ),
            ("EXISTS <sha1> [<sha1> ...]", "Tell which scripts are kept."),
            ("FLUSH [ASYNC|SYNC]", "Forget all scripts."),
            ("KILL", "End the script that is running."),
            (
                "LOAD <script>",
                "Keep a script for EVALSHA without running it.",
            ),
        ],
    );
    Ok(())
}
