//! TIME, ROLE, WAIT, MONITOR and the like; and refusals of commands of Redis's own persistence, each with what to do
//! instead.

use crate::base::number;
use crate::command::blocking::timeout_ms;
use crate::command::{Args, Fail, args};
use crate::resp::Out;
use crate::server::acks::{Target, Wanted};
use crate::server::dispatch::{Exec, Handler, wall_us};

use super::help;
use super::info::REDIS_VERSION;

pub const COMMANDS: &[(&str, Handler)] = &[
    ("time", time),
    ("role", role),
    ("lolwut", lolwut),
    ("wait", wait),
    ("waitaof", waitaof),
    ("lastsave", lastsave),
    ("monitor", monitor),
    ("module|list", |_, _, out| {
        out.array(0);
        Ok(())
    }),
    ("module|help", module_help),
    ("module|load", no_modules),
    ("module|loadex", no_modules),
    ("module|unload", no_modules),
    ("save", save),
    ("bgsave", bgsave),
    ("bgrewriteaof", |_, _, out| {
        // The log is shortened by itself.
        out.simple("Background append only file rewriting started");
        Ok(())
    }),
    ("shutdown", |_, _, _| {
        Err(Fail::new(
            "ERR a node is stopped by its operator (SIGTERM), not by a client",
        ))
    }),
    ("failover", |_, _, _| {
        Err(Fail::new(
            "ERR a failover is the operator's to ask for (pontoon admin)",
        ))
    }),
];

/// Every write is on disk before its reply: what is not yet, this reply waits for.
fn save(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.wait = x.wait.max(x.core.unsettled().unwrap_or(0));
    x.core.saved();
    out.ok();
    Ok(())
}

fn bgsave(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let scheduled = match args[1..] {
        [] => false,
        [word] if args::is(word, "schedule") => true,
        _ => return Err(Fail::SYNTAX),
    };
    x.core.saved();
    out.simple(match scheduled {
        true => "Background saving scheduled",
        false => "Background saving started",
    });
    Ok(())
}

fn no_modules(_: &mut Exec<'_>, _: Args<'_>, _: &mut Out) -> Result<(), Fail> {
    Err(Fail::new("ERR modules are not available here"))
}

fn module_help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help::reply(out, "MODULE", &[("LIST", "Empty: there are no modules.")]);
    Ok(())
}

fn time(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    // Within a transaction or a script time stands still.
    let still = x.session.in_exec || x.session.in_script;
    let us = if still {
        x.core.now_ms() * 1000
    } else {
        wall_us()
    };
    out.array(2);
    out.bulk_uint(us / 1_000_000);
    out.bulk_uint(us % 1_000_000);
    Ok(())
}

fn role(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let facts = (x.server.facts)();
    let split = |announced: &str| -> (String, String) {
        let (host, port) = announced.rsplit_once(':').unwrap_or((announced, "0"));
        (host.into(), port.into())
    };
    if x.leading() {
        let online: Vec<_> = facts.followers.iter().filter(|f| f.2).collect();
        out.array(3);
        out.bulk(b"master");
        out.int(facts.applied as i64);
        out.array(online.len());
        for (announced, matched, _) in online {
            let (host, port) = split(announced);
            out.array(3);
            out.bulk(host.as_bytes());
            out.bulk(port.as_bytes());
            out.bulk_uint(*matched);
        }
        return Ok(());
    }
    let leader = x.server.view.borrow().leader.clone();
    let (host, port) = split(leader.as_ref().map_or("", |l| &l.announced));
    out.array(5);
    out.bulk(b"slave");
    out.bulk(host.as_bytes());
    out.int(number::parse_i64(port.as_bytes()).unwrap_or(0));
    out.bulk(if leader.is_some() {
        b"connected"
    } else {
        b"connect"
    });
    out.int(facts.applied as i64);
    Ok(())
}

fn lolwut(_: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if args.get(1).is_some_and(|a| args::is(a, "version")) && args.len() > 2 {
        args::int(args[2])?;
    }
    let text = format!(
        "  ___________________\n  \\                 /\n~~~|===============|~~~~~\n   (__)         (__)\n\nPontoon {}, Redis ver. {REDIS_VERSION}\n",
        env!("CARGO_PKG_VERSION")
    );
    out.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

/// Answers how many standbys have what was executed before, or waits until so many have it.
fn acknowledged(
    x: &mut Exec<'_>,
    out: &mut Out,
    standbys: i64,
    timeout_ms: u64,
    aof: bool,
) -> Result<(), Fail> {
    let (era, applied, batch) = (x.core.era(), x.core.applied.0, x.core.gate.all());
    let (target, known) = match batch {
        0 => (Target::Index(applied), x.server.standbys_with(applied)),
        // By the time the reply leaves it is committed, and a majority has it.
        _ => {
            let others = (x.server.facts)().followers.len();
            (Target::Batch { era, batch }, others.div_ceil(2))
        }
    };
    let wanted = Wanted {
        target,
        standbys: usize::try_from(standbys).unwrap_or(0),
        aof,
        timeout_ms,
    };
    if known >= wanted.standbys || x.session.in_exec {
        x.wait = x.wait.max(batch);
        wanted.write(out, known);
    } else {
        x.acks = Some(wanted);
    }
    Ok(())
}

fn wait(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let standbys = args::int(args[1])?;
    let timeout_ms = timeout_ms(args[2])?;
    acknowledged(x, out, standbys, timeout_ms, false)
}

fn waitaof(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    args::int_between(args[1], 0, 1)?;
    let standbys = args::int(args[2])?;
    if standbys < 0 {
        return Err(Fail::OUT_OF_RANGE_POSITIVE);
    }
    let timeout_ms = timeout_ms(args[3])?;
    acknowledged(x, out, standbys, timeout_ms, true)
}

fn lastsave(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    // Every write is saved before its reply.
    out.int((wall_us() / 1_000_000) as i64);
    Ok(())
}

fn monitor(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if x.session.in_exec {
        return Err(Fail::new(
            "ERR MONITOR isn't allowed for DENY BLOCKING client",
        ));
    }
    if !x.session.monitor && !x.server.monitors.add(&x.session.client) {
        return Err(Fail::new("ERR too many clients monitor already"));
    }
    x.session.monitor = true;
    out.ok();
    Ok(())
}
