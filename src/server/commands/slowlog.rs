//! SLOWLOG: the commands that took long, newest first, at most slowlog-max-len.

use std::collections::VecDeque;

use crate::base::number;
use crate::command::{Args, Fail};
use crate::resp::Out;
use crate::server::dispatch::{Exec, Handler};

use super::help;

pub const COMMANDS: &[(&str, Handler)] = &[
    ("slowlog|get", get),
    ("slowlog|len", len),
    ("slowlog|reset", reset),
    ("slowlog|help", help),
];

/// Arguments of a command that are kept, and bytes of each.
const ARGS_KEPT: usize = 32;
const ARG_LEN_KEPT: usize = 128;

/// The commands that took long, newest first.
#[derive(Default)]
pub struct Slowlog {
    entries: VecDeque<Entry>,
    next: u64,
}

/// One slow command.
pub struct Entry {
    pub id: u64,
    /// When it ran, seconds since 1970.
    pub at: u64,
    pub micros: u64,
    pub args: Vec<Vec<u8>>,
    pub addr: String,
    pub name: String,
}

impl Slowlog {
    /// Notes a command; keeps at most `max`.
    pub fn add(&mut self, args: Args<'_>, micros: u64, max: usize, addr: &str, name: &str) {
        self.entries.push_front(Entry {
            id: self.next,
            at: crate::server::dispatch::wall_us() / 1_000_000,
            micros,
            args: kept(args),
            addr: addr.into(),
            name: name.into(),
        });
        self.next += 1;
        self.entries.truncate(max);
    }
}

/// The arguments as they are shown: what is left out is said in its place.
fn kept(args: Args<'_>) -> Vec<Vec<u8>> {
    let shown = if args.len() > ARGS_KEPT {
        ARGS_KEPT - 1
    } else {
        args.len()
    };
    let mut kept: Vec<Vec<u8>> = args[..shown]
        .iter()
        .map(|arg| {
            let mut text = arg[..arg.len().min(ARG_LEN_KEPT)].to_vec();
            if arg.len() > ARG_LEN_KEPT {
                let more = format!("... ({} more bytes)", arg.len() - ARG_LEN_KEPT);
                text.extend_from_slice(more.as_bytes());
            }
            text
        })
        .collect();
    if shown < args.len() {
        kept.push(format!("... ({} more arguments)", args.len() - shown).into_bytes());
    }
    kept
}

fn get(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if args.len() > 3 {
        return Err(Fail::subcommand(args));
    }
    let count = match args.get(2) {
        None => 10,
        Some(count) => match number::parse_i64(count) {
            Some(-1) => usize::MAX,
            Some(n) if n >= 0 => n as usize,
            _ => {
                return Err(Fail::new("ERR count should be greater than or equal to -1"));
            }
        },
    };
    let log = x.server.slowlog.lock();
    let count = count.min(log.entries.len());
    out.array(count);
    for entry in log.entries.iter().take(count) {
        out.array(6);
        out.int(entry.id as i64);
        out.int(entry.at as i64);
        out.int(entry.micros as i64);
        out.array(entry.args.len());
        entry.args.iter().for_each(|a| out.bulk(a));
        out.bulk(entry.addr.as_bytes());
        out.bulk(entry.name.as_bytes());
    }
    Ok(())
}

fn len(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.len_int(x.server.slowlog.lock().entries.len());
    Ok(())
}

fn reset(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.server.slowlog.lock().entries.clear();
    out.ok();
    Ok(())
}

fn help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help::reply(
        out,
        "SLOWLOG",
        &[
            (
                "GET [<count>]",
                "The latest slow commands, 10 unless told, -1 for all: number, time, microseconds, arguments, address, name.",
            ),
            ("LEN", "How many are kept."),
            ("RESET", "Forget all."),
        ],
    );
    Ok(())
}
