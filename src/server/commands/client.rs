//! CLIENT: what a connection is called, what others see of it, and how it is ended or held back.
//!
//! At a standby these commands are about the standby's own connections; a session that is relayed
//! is a client of the primary.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::base::number;
use crate::command::acl::Users;
use crate::command::args::{self, is};
use crate::command::{Args, Cursor, Fail};
use crate::resp::Out;
use crate::server::clients::Client;
use crate::server::dispatch::{Exec, Handler};
use crate::server::session::ReplyMode;

use super::help;

pub const COMMANDS: &[(&str, Handler)] = &[
    ("client|id", id),
    ("client|info", info),
    ("client|list", list),
    ("client|getname", getname),
    ("client|setname", setname),
    ("client|setinfo", setinfo),
    ("client|reply", reply),
    ("client|kill", kill),
    ("client|no-evict", no_evict),
    ("client|no-touch", no_touch),
    ("client|pause", pause),
    ("client|unpause", unpause),
    ("client|unblock", unblock),
    ("client|help", help),
];

/// Client names and library names are printable without spaces, as Redis wants them.
pub fn check_name(name: &[u8], text: &str) -> Result<(), Fail> {
    if name.iter().all(|b| (b'!'..=b'~').contains(b)) {
        Ok(())
    } else {
        Err(Fail::text(format!("ERR {text}")))
    }
}

/// What CLIENT LIST and CLIENT KILL call a kind of client.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Normal,
    Pubsub,
    /// Connections between servers: there are none among the clients.
    Link,
}

fn kind_by_name(name: &[u8]) -> Result<Kind, Fail> {
    for (word, kind) in [
        ("normal", Kind::Normal),
        ("pubsub", Kind::Pubsub),
        ("slave", Kind::Link),
        ("replica", Kind::Link),
        ("master", Kind::Link),
    ] {
        if is(name, word) {
            return Ok(kind);
        }
    }
    Err(Fail::text(format!(
        "ERR Unknown client type '{}'",
        String::from_utf8_lossy(name)
    )))
}

fn kind_of(client: &Client) -> Kind {
    let about = client.about.lock();
    // A monitor counts as a replica, in Redis as here.
    if about.monitor || about.replica {
        Kind::Link
    } else if about.all_subscriptions() > 0 {
        Kind::Pubsub
    } else {
        Kind::Normal
    }
}

/// What a connection costs besides its buffers, bytes: its task, session and parser.
const FIXED_BYTES: usize = 1800;

/// A client's line of CLIENT LIST.
pub fn line(client: &Client) -> String {
    let a = client.about.lock().clone();
    let mut flags = String::new();
    for (holds, flag) in [
        (a.monitor, 'O'),
        (a.replica, 'S'),
        (a.all_subscriptions() > 0, 'P'),
        (a.multi >= 0, 'x'),
        (a.blocked, 'b'),
        (a.tracking, 't'),
        (a.redirect_broken, 'R'),
        (a.broadcast, 'B'),
        (a.dirty, 'd'),
        (a.closing, 'c'),
        (client.killed(), 'A'),
        (a.readonly, 'r'),
        (a.no_evict, 'e'),
        (a.no_touch, 'T'),
    ] {
        if holds {
            flags.push(flag);
        }
    }
    if flags.is_empty() {
        flags.push('N');
    }
    let age_ms = client.since.elapsed().as_millis() as u64;
    let total = FIXED_BYTES + a.buffers();
    format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db={} sub={} psub={} ssub={} \
         multi={} qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} obl={} oll=0 omem=0 tot-mem={total} \
         events=r cmd={} user={} redir={} resp={} lib-name={} lib-ver={}\n",
        client.id,
        client.addr,
        client.laddr,
        client.fd,
        a.name,
        age_ms / 1000,
        age_ms.saturating_sub(a.last_ms) / 1000,
        a.db,
        a.subscriptions,
        a.patterns,
        a.shard_subscriptions,
        a.multi,
        a.input,
        a.input_free,
        a.args_bytes,
        a.multi_bytes,
        a.output,
        a.output,
        a.output,
        a.last_command,
        String::from_utf8_lossy(&a.user),
        a.redirect,
        client.proto.load(Relaxed),
        a.lib_name,
        a.lib_ver,
    )
}

fn id(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.int(x.session.client.id as i64);
    Ok(())
}

fn info(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.session.show();
    out.verbatim(*b"txt", line(&x.session.client).as_bytes());
    Ok(())
}

fn list(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.session.show();
    let all = x.server.clients.list();
    let shown: Vec<Arc<Client>> = match *args {
        [_, _] => all,
        [_, _, option, kind] if is(option, "type") => {
            let kind = kind_by_name(kind)?;
            all.into_iter().filter(|c| kind_of(c) == kind).collect()
        }
        [_, _, option, ref ids @ ..] if is(option, "id") && !ids.is_empty() => {
            let mut shown = Vec::new();
            for id in ids {
                let id = number::parse_i64(id).ok_or(Fail::new("ERR Invalid client ID"))?;
                shown.extend(x.server.clients.get(id as u64));
            }
            shown
        }
        _ => return Err(Fail::SYNTAX),
    };
    let text: String = shown.iter().map(|c| line(c)).collect();
    out.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

fn getname(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let name = x.session.client.about.lock().name.clone();
    if name.is_empty() {
        out.null();
    } else {
        out.bulk(name.as_bytes());
    }
    Ok(())
}

fn setname(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    check_name(
        args[2],
        "Client names cannot contain spaces, newlines or special characters.",
    )?;
    x.session.client.about.lock().name = String::from_utf8_lossy(args[2]).into_owned();
    out.ok();
    Ok(())
}

fn setinfo(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let option = String::from_utf8_lossy(args[2]).into_owned();
    let is_name = is(args[2], "lib-name");
    if !is_name && !is(args[2], "lib-ver") {
        return Err(Fail::text(format!("ERR Unrecognized option '{option}'")));
    }
    check_name(
        args[3],
        &format!("{option} cannot contain spaces, newlines or special characters."),
    )?;
    let value = String::from_utf8_lossy(args[3]).into_owned();
    let mut about = x.session.client.about.lock();
    if is_name {
        about.lib_name = value;
    } else {
        about.lib_ver = value;
    }
    out.ok();
    Ok(())
}

fn reply(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let mode = args[2];
    if is(mode, "on") {
        x.session.reply = ReplyMode::On;
        out.ok();
    } else if is(mode, "off") {
        x.session.reply = ReplyMode::Off;
    } else if is(mode, "skip") {
        if x.session.reply != ReplyMode::Off {
            x.session.reply = ReplyMode::SkipNext;
        }
    } else {
        return Err(Fail::SYNTAX);
    }
    Ok(())
}

/// Which clients CLIENT KILL ends.
#[derive(Default)]
struct Filter {
    addr: Option<Vec<u8>>,
    laddr: Option<Vec<u8>>,
    kind: Option<Kind>,
    id: Option<u64>,
    user: Option<Vec<u8>>,
    keep_self: bool,
}

impl Filter {
    fn read(args: Args<'_>, users: &Users) -> Result<Filter, Fail> {
        let mut filter = Filter {
            keep_self: true,
            ..Filter::default()
        };
        let mut c = Cursor::from(args, 2);
        while !c.is_empty() {
            if c.left() < 2 {
                return Err(Fail::SYNTAX);
            }
            let (option, value) = (c.next()?, c.next()?);
            if is(option, "id") {
                let id = number::parse_i64(value)
                    .filter(|&id| id > 0)
                    .ok_or(Fail::new("ERR client-id should be greater than 0"))?;
                filter.id = Some(id as u64);
            } else if is(option, "type") {
                filter.kind = Some(kind_by_name(value)?);
            } else if is(option, "addr") {
                filter.addr = Some(value.to_vec());
            } else if is(option, "laddr") {
                filter.laddr = Some(value.to_vec());
            } else if is(option, "user") {
                if users.get(value).is_none() {
                    return Err(Fail::text(format!(
                        "ERR No such user '{}'",
                        String::from_utf8_lossy(value)
                    )));
                }
                filter.user = Some(value.to_vec());
            } else if is(option, "skipme") {
                filter.keep_self = if is(value, "yes") {
                    true
                } else if is(value, "no") {
                    false
                } else {
                    return Err(Fail::SYNTAX);
                };
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        Ok(filter)
    }

    fn matches(&self, client: &Client) -> bool {
        let same = |wanted: &Option<Vec<u8>>, have: &str| {
            wanted.as_deref().is_none_or(|w| w == have.as_bytes())
        };
        same(&self.addr, &client.addr)
            && same(&self.laddr, &client.laddr)
            && self
                .user
                .as_deref()
                .is_none_or(|user| client.about.lock().user == user)
            && self.id.is_none_or(|id| id == client.id)
            && self.kind.is_none_or(|kind| kind == kind_of(client))
    }
}

fn kill(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.session.show();
    let old_form = args.len() == 3;
    let filter = if old_form {
        Filter {
            addr: Some(args[2].to_vec()),
            ..Filter::default()
        }
    } else {
        x.core.refresh_users();
        Filter::read(args, &x.core.users)?
    };
    let mut killed = 0;
    for client in x.server.clients.list() {
        let is_self = client.id == x.session.client.id;
        if !filter.matches(&client) || is_self && filter.keep_self {
            continue;
        }
        killed += 1;
        if is_self {
            // Its reply is still to leave.
            x.session.closing = true;
        } else {
            client.kill();
            // It is gone for CLIENT LIST at once; its task follows.
            x.server.clients.remove(client.id);
        }
    }
    if !old_form {
        out.int(killed);
    } else if killed == 0 {
        return Err(Fail::new("ERR No such client"));
    } else {
        out.ok();
    }
    Ok(())
}

fn on_off(arg: &[u8]) -> Result<bool, Fail> {
    match arg {
        a if is(a, "on") => Ok(true),
        a if is(a, "off") => Ok(false),
        _ => Err(Fail::SYNTAX),
    }
}

fn no_evict(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.session.client.about.lock().no_evict = on_off(args[2])?;
    out.ok();
    Ok(())
}

fn no_touch(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.session.no_touch = on_off(args[2])?;
    out.ok();
    Ok(())
}

fn pause(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let all = match args.get(3) {
        None => true,
        Some(mode) if is(mode, "all") => true,
        Some(mode) if is(mode, "write") => false,
        Some(_) => return Err(Fail::new("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    if args.len() > 4 {
        return Err(Fail::SYNTAX);
    }
    let ms = number::parse_i64(args[2])
        .ok_or(Fail::new("ERR timeout is not an integer or out of range"))?;
    if ms < 0 {
        return Err(Fail::new("ERR timeout is negative"));
    }
    let now = x.core.now_ms();
    let until = now
        .checked_add(ms as u64)
        .filter(|&t| t <= i64::MAX as u64)
        .ok_or(Fail::new("ERR timeout is out of range"))?;
    // A pause under way is made longer and stricter, never shorter or looser.
    let settings = &mut x.core.settings;
    let paused = settings.paused_until > now;
    settings.pause_all = all || paused && settings.pause_all;
    settings.paused_until = settings.paused_until.max(until);
    out.ok();
    Ok(())
}

fn unpause(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.core.settings.paused_until = 0;
    x.core.settings.pause_all = false;
    x.server.clients.wake_all();
    out.ok();
    Ok(())
}

fn unblock(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if args.len() > 4 {
        return Err(Fail::subcommand(args));
    }
    let error = match args.get(3) {
        None => false,
        Some(reason) if is(reason, "timeout") => false,
        Some(reason) if is(reason, "error") => true,
        Some(_) => {
            return Err(Fail::new(
                "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
            ));
        }
    };
    let id = args::int(args[2])?;
    let done = if error {
        let why = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
        x.core.unblock(id as u64, |out| out.error(why))
    } else {
        x.server.end_wait(x.core, id as u64)
    };
    out.int(done.into());
    Ok(())
}

fn help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help::reply(
        out,
        "CLIENT",
        &[
            (
                "CACHING (YES|NO)",
                "Whether the keys of the next command are tracked.",
            ),
            (
                "GETREDIR",
                "The client that invalidations are redirected to.",
            ),
            ("GETNAME", "This connection's name."),
            ("ID", "This connection's number."),
            ("INFO", "What CLIENT LIST says of this connection."),
            ("KILL <ip:port>", "Disconnect the client at that address."),
            (
                "KILL <option> <value> [<option> <value> [...]]",
                "Disconnect clients by ID, ADDR, LADDR, TYPE, USER; SKIPME (YES|NO) spares this one.",
            ),
            (
                "LIST [options ...]",
                "One line a client; TYPE or ID choose some.",
            ),
            ("UNPAUSE", "End a pause."),
            (
                "PAUSE <timeout> [WRITE|ALL]",
                "Hold back commands, or those that write, for so many milliseconds.",
            ),
            (
                "REPLY (ON|OFF|SKIP)",
                "Whether this connection gets replies.",
            ),
            ("SETNAME <name>", "Name this connection."),
            (
                "SETINFO <option> <value>",
                "Say which library this is: LIB-NAME, LIB-VER.",
            ),
            (
                "UNBLOCK <clientid> [TIMEOUT|ERROR]",
                "Have a blocked client's command end.",
            ),
            (
                "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
                "Client-side caching.",
            ),
            ("TRACKINGINFO", "This connection's tracking."),
            (
                "NO-EVICT (ON|OFF)",
                "Never disconnect this client to save memory.",
            ),
            (
                "NO-TOUCH (ON|OFF)",
                "Do not count this client's reads as uses of keys.",
            ),
        ],
    );
    Ok(())
}
