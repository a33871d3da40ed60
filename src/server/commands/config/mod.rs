//! CONFIG: one table of parameters; those that mean something here take effect, the others are kept
//! and shown with Redis 7.2's defaults.
//!
//! Always: SET changes all that it names or nothing. What is set is the service's: it goes through the log, every node
//! takes it when it applies it (`take`), and it is there after a restart and at a primary that takes over. What was never
//! set, or whose setting was undone, is as the node's configuration has it.

mod kinds;
mod live;
mod table;

use std::collections::BTreeMap;

use crate::base::{glob, number};
use crate::command::{Args, Fail};
use crate::engine::Core;
use crate::keyspace::system::Table;
use crate::mutation::Mutation;
use crate::resp::Out;
use crate::server::Server;
use crate::server::dispatch::{Exec, Handler};

use super::help;
use live::{Change, See};
use table::{HIDDEN, IMMUTABLE, PARAMETERS, PROTECTED, Parameter};

pub use kinds::memory;

pub const COMMANDS: &[(&str, Handler)] = &[
    ("config|get", get),
    ("config|set", set),
    ("config|resetstat", resetstat),
    ("config|rewrite", rewrite),
    ("config|help", help),
];

/// What a parameter shows.
fn value(x: &Exec<'_>, parameter: &Parameter) -> String {
    let see = See {
        core: x.core,
        server: x.server,
    };
    seen(&see, parameter)
}

fn seen(see: &See<'_>, parameter: &Parameter) -> String {
    if let Some(row) = live::of(parameter.name) {
        return (row.get)(see);
    }
    let kept = see.core.settings.shown.get(parameter.name);
    kept.map_or(parameter.default, |v| v).to_string()
}

fn put(change: &mut Change<'_>, parameter: &Parameter, value: &str) {
    match live::of(parameter.name) {
        Some(row) => {
            if let Some(set) = row.set {
                set(change, value);
            }
        }
        None => {
            let shown = &mut change.core.settings.shown;
            shown.insert(parameter.name.into(), value.into());
        }
    }
}

/// What this node's configuration has of parameters that the service has set.
#[derive(Default)]
pub struct Own(BTreeMap<String, String>);

/// Takes the service's settings as they are in the data set now.
pub fn take(own: &mut Own, core: &mut Core, server: &Server) {
    let set: BTreeMap<String, String> = core
        .ks
        .system
        .iter(Table::Settings)
        .map(|(name, value)| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(name), text(value))
        })
        .collect();
    let mut change = Change { core, server };
    let gone: Vec<String> = own
        .0
        .keys()
        .filter(|n| !set.contains_key(*n))
        .cloned()
        .collect();
    for name in gone {
        if let (Some(value), Some(parameter)) =
            (own.0.remove(&name), table::by_name(name.as_bytes()))
        {
            put(&mut change, parameter, &value);
        }
    }
    for (name, value) in set {
        // One of a newer version is its nodes' to know.
        let Some(parameter) = table::by_name(name.as_bytes()) else {
            continue;
        };
        let see = See {
            core: change.core,
            server,
        };
        let before = seen(&see, parameter);
        own.0.entry(name).or_insert_with(|| before.clone());
        if before != value {
            put(&mut change, parameter, &value);
        }
    }
}

/// What a parameter shows, by its name; empty where there is none of that name.
pub fn shown(x: &Exec<'_>, name: &str) -> String {
    table::by_name(name.as_bytes()).map_or_else(String::new, |p| value(x, p))
}

fn get(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let mut found: Vec<(String, &Parameter)> = Vec::new();
    let mut add = |name: &str, parameter: &'static Parameter| {
        if !found.iter().any(|(known, _)| known == name) {
            found.push((name.into(), parameter));
        }
    };
    for pattern in &args[2..] {
        if !pattern.iter().any(|b| matches!(b, b'[' | b'*' | b'?')) {
            if let Some(parameter) = table::by_name(pattern) {
                // Under the name that was asked for.
                add(
                    &String::from_utf8_lossy(pattern).to_ascii_lowercase(),
                    parameter,
                );
            }
            continue;
        }
        for parameter in PARAMETERS.iter().filter(|p| p.traits & HIDDEN == 0) {
            for name in [parameter.name, parameter.alias] {
                if !name.is_empty() && glob::matches_nocase(pattern, name.as_bytes()) {
                    add(name, parameter);
                }
            }
        }
    }
    out.map(found.len());
    for (name, parameter) in found {
        out.bulk(name.as_bytes());
        out.bulk(value(x, parameter).as_bytes());
    }
    Ok(())
}

fn refused(name: &str, why: &str) -> Fail {
    Fail::text(format!(
        "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"
    ))
}

fn set(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if !args.len().is_multiple_of(2) {
        return Err(Fail::SYNTAX);
    }
    let mut chosen: Vec<(&Parameter, &[u8])> = Vec::new();
    for pair in args[2..].chunks_exact(2) {
        let given = String::from_utf8_lossy(pair[0]).into_owned();
        let Some(parameter) = table::by_name(pair[0]) else {
            return Err(Fail::text(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{given}'"
            )));
        };
        let settable = live::of(parameter.name).is_none_or(|row| row.set.is_some());
        if parameter.traits & PROTECTED != 0 {
            return Err(refused(&given, "can't set protected config"));
        }
        if parameter.traits & IMMUTABLE != 0 {
            return Err(refused(&given, "can't set immutable config"));
        }
        // What this node's own configuration decides may be set to what it is.
        if !settable && value(x, parameter).as_bytes() != pair[1] && !is_harmless(parameter.name) {
            let why = match parameter.name {
                "port" | "tls-port" => {
                    "Unable to listen on this port: the node's configuration decides which"
                }
                _ => "the node's configuration decides this",
            };
            return Err(refused(&given, why));
        }
        if chosen.iter().any(|(p, _)| p.name == parameter.name) {
            return Err(refused(&given, "duplicate parameter"));
        }
        chosen.push((parameter, pair[1]));
    }
    let mut parsed = Vec::new();
    for (parameter, text) in chosen {
        let current = value(x, parameter);
        let value = parameter
            .kind
            .parse(text, &current)
            .map_err(|why| refused(parameter.name, &why))?;
        if parameter.name == "maxclients" {
            files_for(&value).map_err(|why| refused(parameter.name, &why))?;
        }
        if parameter.name == "databases" {
            nothing_beyond(x, &value).map_err(|why| refused(parameter.name, &why))?;
        }
        parsed.push((parameter, value));
    }
    // What is loading has no settings yet that these could be compared with.
    if !x.leading() {
        return Err(Fail::LOADING);
    }
    for (parameter, value) in parsed {
        x.change_system(Mutation::SystemPut {
            table: Table::Settings as u8,
            name: parameter.name.as_bytes(),
            value: value.as_bytes(),
        })?;
    }
    x.core.take_settings();
    // What does not fit any more goes at once.
    x.core.make_room();
    out.ok();
    Ok(())
}

/// That no database from number `count` on has keys.
fn nothing_beyond(x: &Exec<'_>, count: &str) -> Result<(), String> {
    let ks = &x.core.ks;
    let first = number::parse_u64(count.as_bytes()).unwrap_or(0);
    let mut beyond = (0..ks.databases()).filter(|db| u64::from(*db) >= first);
    match beyond.find(|db| !ks.db(*db).is_empty()) {
        Some(db) => Err(format!("database {db} has keys: FLUSHDB it first")),
        None => Ok(()),
    }
}

/// Parameters of Redis's persistence, which scripts set at will: accepted, without effect, since the log syncs anyway.
fn is_harmless(name: &str) -> bool {
    matches!(name, "appendonly" | "appendfsync")
}

/// The open files that a process may have must suffice for that many clients.
fn files_for(maxclients: &str) -> Result<(), String> {
    let wanted: u64 = maxclients.parse().unwrap_or(u64::MAX);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let Some(files) = limit.current else {
        return Ok(());
    };
    let most = files.saturating_sub(crate::base::limits::FILES_RESERVED);
    if wanted <= most {
        return Ok(());
    }
    Err(format!(
        "The operating system is not able to handle the specified number of clients, try with {most}"
    ))
}

fn resetstat(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.server.counters.reset();
    x.server.stats.reset();
    x.core.stats = Default::default();
    x.core.freed.reset();
    out.ok();
    Ok(())
}

fn rewrite(_: &mut Exec<'_>, _: Args<'_>, _: &mut Out) -> Result<(), Fail> {
    Err(Fail::new("ERR The server is running without a config file"))
}

fn help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help::reply(
        out,
        "CONFIG",
        &[
            (
                "GET <pattern>",
                "Parameters whose names match, and their values.",
            ),
            (
                "SET <directive> <value>",
                "Change parameters of the service.",
            ),
            ("RESETSTAT", "Set the counters of INFO to zero."),
            ("REWRITE", "Refused: there is no file to write."),
        ],
    );
    Ok(())
}
