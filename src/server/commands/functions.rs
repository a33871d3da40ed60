//! FUNCTION and FCALL.
//!
//! Libraries are kept in their table, which is replicated; what is loaded of them is derived from it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use smallvec::SmallVec;

use crate::base::glob;
use crate::base::limits::{LIBRARIES_BYTES_MAX, LIBRARIES_MAX, LIBRARY_LOAD_MAX};
use crate::base::number::parse_i64;
use crate::command::args::is;
use crate::command::{Args, Fail};
use crate::keyspace::system::Table;
use crate::mutation::Mutation;
use crate::rdb;
use crate::resp::Out;
use crate::script::Registered;
use crate::server::Server;
use crate::server::dispatch::{Exec, Handler};
use crate::server::scripts::caller::{self, Plan, number_of_keys};
use crate::server::scripts::{Library, Machine, Running};

use super::help;

pub const COMMANDS: &[(&str, Handler)] = &[
    ("fcall", |x, args, out| fcall(x, args, out, false)),
    ("fcall_ro", |x, args, out| fcall(x, args, out, true)),
    ("function|load", load),
    ("function|delete", delete),
    ("function|flush", flush),
    ("function|list", list),
    ("function|dump", dump),
    ("function|restore", restore),
    ("function|stats", stats),
    ("function|kill", kill),
    ("function|help", function_help),
];

const TABLE: u8 = Table::Libraries as u8;
const NO_LIBRARY: Fail = Fail::new("ERR Library not found");
const NO_FUNCTION: Fail = Fail::new("ERR Function not found");

/// The machine, with what the table of libraries has now; the reply waits for what changed it.
fn machine<R>(x: &mut Exec<'_>, f: impl FnOnce(&mut Machine) -> R) -> Result<R, Fail> {
    x.wait = x.wait.max(x.core.gate.system());
    x.server
        .scripts
        .machine(&x.server.engine.kill, &x.core.ks.system, f)
}

fn fcall(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out, read_only: bool) -> Result<(), Fail> {
    let found = machine(x, |m| m.function(args[1]).cloned())?;
    let Registered {
        name,
        marks,
        callback,
        ..
    } = found.ok_or(NO_FUNCTION)?;
    let keys = number_of_keys(args, |text| {
        parse_i64(text).ok_or(Fail::new("ERR Bad number of keys provided"))
    })?;
    let name = String::from_utf8_lossy(&name);
    let plan = Plan {
        name: &name,
        script: callback,
        marks: Some(marks),
        function: true,
        read_only,
        command: args,
        keys,
    };
    caller::run(x, &plan, out)
}

fn exists(name: &[u8]) -> String {
    format!("'{}' already exists", String::from_utf8_lossy(name))
}

/// Puts libraries into the table and makes them known, after those that they replace are gone.
fn put(x: &mut Exec<'_>, libraries: Vec<(Vec<u8>, Library)>) -> Result<(), Fail> {
    let (mut count, mut bytes) = x.core.ks.system.size(Table::Libraries);
    for (name, library) in &libraries {
        let old = x.core.ks.system.get(Table::Libraries, name);
        count += usize::from(old.is_none());
        bytes = bytes + library.code.len() - old.map_or(0, |old| old.len());
    }
    if count > LIBRARIES_MAX || bytes > LIBRARIES_BYTES_MAX {
        return Err(Fail::new("ERR too many libraries, or too large"));
    }
    let mut ctx = x.core.ctx(0);
    for (name, library) in &libraries {
        ctx.apply(Mutation::SystemPut {
            table: TABLE,
            name,
            value: &library.code,
        })?;
    }
    x.wait = x.wait.max(ctx.wait);
    let system = &x.core.ks.system;
    if let Some(machine) = &mut *x.server.scripts.machine.lock() {
        for (name, library) in libraries {
            machine.adopt(name, library, system);
        }
    }
    machine(x, |_| ())
}

fn load(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (code, options) = args[2..]
        .split_last()
        .ok_or(Fail::new("ERR Function code is missing"))?;
    for option in options {
        if !is(option, "replace") {
            let option = String::from_utf8_lossy(option);
            return Err(Fail::text(format!("ERR Unknown option given: {option}")));
        }
    }
    let replace = !options.is_empty();
    let (name, library) = machine(x, |m| {
        let (name, library) = m.load(code, LIBRARY_LOAD_MAX, |name| {
            match !replace && m.libraries().contains_key(name) {
                true => Err(Fail::text(format!("ERR Library {}", exists(name)))),
                false => Ok(()),
            }
        })?;
        match m.collision(&library, |owner| owner == name) {
            Some(f) => Err(collides(f)),
            None => Ok((name, library)),
        }
    })??;
    let shown = name.clone();
    put(x, vec![(name, library)])?;
    out.bulk(&shown);
    Ok(())
}

fn collides(f: &Registered) -> Fail {
    let name = String::from_utf8_lossy(&f.name);
    Fail::text(format!("ERR Function {name} already exists"))
}

fn delete(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.wait = x.wait.max(x.core.gate.system());
    if x.core.ks.system.get(Table::Libraries, args[2]).is_none() {
        return Err(NO_LIBRARY);
    }
    drop_all(x, [args[2].to_vec()])?;
    out.ok();
    Ok(())
}

fn drop_all(x: &mut Exec<'_>, names: impl IntoIterator<Item = Vec<u8>>) -> Result<(), Fail> {
    let mut ctx = x.core.ctx(0);
    for name in names {
        ctx.apply(Mutation::SystemDel {
            table: TABLE,
            name: &name,
        })?;
    }
    x.wait = x.wait.max(ctx.wait);
    machine(x, |_| ())
}

fn names(x: &Exec<'_>) -> Vec<Vec<u8>> {
    let libraries = x.core.ks.system.iter(Table::Libraries);
    libraries.map(|(name, _)| name.to_vec()).collect()
}

fn flush(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    match &args[2..] {
        [] => {}
        [how] if is(how, "sync") || is(how, "async") => {}
        [_] => {
            return Err(Fail::new(
                "ERR FUNCTION FLUSH only supports SYNC|ASYNC option",
            ));
        }
        _ => return Err(Fail::subcommand(args)),
    }
    let all = names(x);
    drop_all(x, all)?;
    out.ok();
    Ok(())
}

fn list(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (mut with_code, mut pattern) = (false, None);
    let mut rest = args[2..].iter();
    while let Some(arg) = rest.next() {
        if !with_code && is(arg, "withcode") {
            with_code = true;
        } else if pattern.is_none() && is(arg, "libraryname") {
            let missing = Fail::new("ERR library name argument was not given");
            pattern = Some(*rest.next().ok_or(missing)?);
        } else {
            let arg = String::from_utf8_lossy(arg);
            return Err(Fail::text(format!("ERR Unknown argument {arg}")));
        }
    }
    machine(x, |m| {
        let shown = |name: &[u8]| pattern.is_none_or(|p| glob::matches_nocase(p, name));
        let libraries: SmallVec<[_; 16]> = m
            .libraries()
            .iter()
            .filter(|(name, _)| shown(name))
            .collect();
        out.array(libraries.len());
        for (name, library) in libraries {
            out.map(if with_code { 4 } else { 3 });
            out.bulk(b"library_name");
            out.bulk(name);
            out.bulk(b"engine");
            out.bulk(b"LUA");
            out.bulk(b"functions");
            out.array(library.functions.len());
            for f in &library.functions {
                out.map(3);
                out.bulk(b"name");
                out.bulk(&f.name);
                out.bulk(b"description");
                out.bulk_or_null(f.description.as_deref());
                out.bulk(b"flags");
                out.set(f.marks.names().count());
                f.marks.names().for_each(|flag| out.simple(flag));
            }
            if with_code {
                out.bulk(b"library_code");
                out.bulk(&library.code);
            }
        }
    })
}

fn dump(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.wait = x.wait.max(x.core.gate.system());
    let mut parts = Vec::new();
    for (_, code) in x.core.ks.system.iter(Table::Libraries) {
        parts.push(rdb::kind::FUNCTION);
        rdb::output::put_string(&mut parts, code);
    }
    out.bulk(&rdb::payload::seal(parts));
    Ok(())
}

/// What is to become of the libraries that are there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Append,
    Replace,
    Flush,
}

fn restore(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let policy = match &args[3..] {
        [] => Policy::Append,
        [how] if is(how, "append") => Policy::Append,
        [how] if is(how, "replace") => Policy::Replace,
        [how] if is(how, "flush") => Policy::Flush,
        [_] => {
            return Err(Fail::new(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
        _ => return Err(Fail::subcommand(args)),
    };
    let wrong = Fail::new("ERR DUMP payload version or checksum are wrong");
    let parts = rdb::payload::open(args[2]).ok_or(wrong)?;
    let libraries = machine(x, |m| {
        let libraries = libraries_of(m, parts)?;
        let named = |name: &[u8]| libraries.iter().any(|(n, _)| n == name);
        if policy == Policy::Append
            && let Some((name, _)) = libraries
                .iter()
                .find(|(n, _)| m.libraries().contains_key(n))
        {
            let name = String::from_utf8_lossy(name);
            return Err(Fail::text(format!("ERR Library {name} already exists")));
        }
        let gone = |owner: &[u8]| policy == Policy::Flush || named(owner);
        for (_, library) in &libraries {
            if let Some(f) = m.collision(library, gone) {
                return Err(collides(f));
            }
        }
        Ok(libraries)
    })??;
    let before = x.core.mark();
    if policy == Policy::Flush {
        let all = names(x);
        drop_all(x, all)?;
    }
    if let Err(fail) = put(x, libraries) {
        x.core.rollback(before);
        return Err(fail);
    }
    out.ok();
    Ok(())
}

/// The libraries of an opened payload, loaded.
fn libraries_of(machine: &Machine, parts: &[u8]) -> Result<Vec<(Vec<u8>, Library)>, Fail> {
    let fail = |text: &'static str| Err(Fail::new(text));
    let mut input = rdb::input::Input::new(parts);
    let mut libraries: Vec<(Vec<u8>, Library)> = Vec::new();
    let until = Instant::now() + LIBRARY_LOAD_MAX;
    while input.taken() < parts.len() as u64 {
        match input.byte() {
            Ok(rdb::kind::FUNCTION) => {}
            Ok(rdb::kind::FUNCTION_OLD) => return fail("ERR Pre-GA function format not supported"),
            Ok(_) => return fail("ERR given type is not a function"),
            Err(_) => return fail("ERR can not read data type"),
        }
        let Ok(code) = input.string() else {
            return fail("ERR failed loading the given functions payload");
        };
        if libraries.len() >= LIBRARIES_MAX {
            return fail("ERR too many libraries, or too large");
        }
        let left = until.saturating_duration_since(Instant::now());
        let known = |name: &[u8]| libraries.iter().any(|(n, _)| n == name);
        let (name, library) = machine.load(&code, left, |name| match known(name) {
            true => Err(Fail::text(format!("ERR Library {}", exists(name)))),
            false => Ok(()),
        })?;
        let registered = |f: &&Registered| {
            let same = |g: &Registered| g.name.eq_ignore_ascii_case(&f.name);
            libraries.iter().any(|(_, l)| l.functions.iter().any(same))
        };
        if let Some(f) = library.functions.iter().find(registered) {
            return Err(collides(f));
        }
        libraries.push((name, library));
    }
    Ok(libraries)
}

fn stats(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    machine(x, |_| ())?;
    write_stats(x.server, None, out);
    Ok(())
}

/// The reply of FUNCTION STATS, while a function runs and while none does.
pub fn write_stats(server: &Server, running: Option<&Running>, out: &mut Out) {
    out.map(2);
    out.bulk(b"running_script");
    match running {
        None => out.null(),
        Some(running) => {
            out.map(3);
            out.bulk(b"name");
            out.bulk(running.name.as_bytes());
            out.bulk(b"command");
            out.array(running.command.len());
            running.command.iter().for_each(|arg| out.bulk(arg));
            out.bulk(b"duration_ms");
            out.int(running.since.elapsed().as_millis() as i64);
        }
    }
    out.bulk(b"engines");
    out.map(1);
    out.bulk(b"LUA");
    out.map(2);
    out.bulk(b"libraries_count");
    out.int(server.scripts.libraries.load(Relaxed) as i64);
    out.bulk(b"functions_count");
    out.int(server.scripts.functions.load(Relaxed) as i64);
}

fn kill(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.server.scripts.kill(true, &x.server.engine.kill)?;
    out.ok();
    Ok(())
}

fn function_help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help::reply(
        out,
        "FUNCTION",
        &[
            ("LOAD [REPLACE] <FUNCTION CODE>", "Load a library."),
            (
                "DELETE <LIBRARY NAME>",
                "Delete a library and its functions.",
            ),
            (
                "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
                "Show the libraries and their functions.",
            ),
            (
                "STATS",
                "Show the function that runs, and how many there are.",
            ),
            ("KILL", "End the function that is running."),
            ("FLUSH [ASYNC|SYNC]", "Delete all libraries."),
            ("DUMP", "All libraries as one value, for FUNCTION RESTORE."),
            (
                "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
                "Load the libraries of such a value: instead of all others, beside them, or instead of those of their names.",
            ),
        ],
    );
    Ok(())
}
