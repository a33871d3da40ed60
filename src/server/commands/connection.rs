//! AUTH, HELLO, PING, ECHO, SELECT, QUIT, RESET, READONLY, READWRITE, ASKING.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use crate::base::limits::ACL_LOG_OBJECT_LEN_MAX;
use crate::command::args::is;
use crate::command::{Args, Cursor, Fail};
use crate::engine::Role;
use crate::resp::{Out, Proto};
use crate::server::access;
use crate::server::acllog::Reason;
use crate::server::dispatch::{Exec, Handler};

pub const COMMANDS: &[(&str, Handler)] = &[
    ("auth", auth),
    ("hello", hello),
    ("ping", ping),
    ("echo", echo),
    ("select", select),
    ("quit", quit),
    ("reset", reset),
    ("readonly", readonly),
    ("readwrite", readwrite),
    ("asking", asking),
];

const WRONG_PASS: Fail = Fail::new("WRONGPASS invalid username-password pair or user is disabled.");

/// The user and password of an AUTH or HELLO, where its words are in order; of several the last.
pub fn credentials<'a>(name: &str, args: Args<'a>) -> Option<(&'a [u8], &'a [u8])> {
    match (name, args) {
        ("auth", [_, password]) => Some((b"default", password)),
        ("auth", [_, user, password]) => Some((user, password)),
        ("hello", _) => {
            let at = args.iter().rposition(|arg| is(arg, "auth"))?;
            Some((args.get(at + 1)?, args.get(at + 2)?))
        }
        _ => None,
    }
}

/// Makes the session speak for a user.
fn login(x: &mut Exec<'_>, args: Args<'_>, user: &[u8], password: &[u8]) -> Result<(), Fail> {
    x.core.refresh_users();
    if let Some(user) = x.core.users.login(user, password) {
        x.session.log_in(&user.name);
        return Ok(());
    }
    // Users other than the configured one are not known before the data is loaded.
    if x.core.role == Role::Loading && x.core.users.get(user).is_none() {
        return Err(Fail::LOADING);
    }
    let user = Bytes::copy_from_slice(&user[..user.len().min(ACL_LOG_OBJECT_LEN_MAX)]);
    access::note(x.server, x.core, x.session, Reason::Auth, args[0], user);
    Err(WRONG_PASS)
}

fn auth(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    match *args {
        [_, password] => {
            x.core.refresh_users();
            if x.core.users.get(b"default").is_some_and(|u| u.no_password) {
                return Err(Fail::new(
                    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
                ));
            }
            login(x, args, b"default", password)?;
        }
        [_, user, password] => login(x, args, user, password)?,
        _ => return Err(Fail::SYNTAX),
    }
    out.ok();
    Ok(())
}

fn hello(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let mut c = Cursor::new(args);
    let mut proto = None;
    if !c.is_empty() {
        let version = c.next()?;
        proto = match version {
            b"2" => Some(Proto::Resp2),
            b"3" => Some(Proto::Resp3),
            v if crate::base::number::parse_i64(v).is_none() => {
                return Err(Fail::new(
                    "ERR Protocol version is not an integer or out of range",
                ));
            }
            _ => return Err(Fail::new("NOPROTO unsupported protocol version")),
        };
    }
    let mut name = None;
    let mut credentials = None;
    while !c.is_empty() {
        if c.left() >= 3 && c.keyword("auth") {
            credentials = Some((c.next()?, c.next()?));
        } else if c.left() >= 2 && c.keyword("setname") {
            let given = c.next()?;
            super::client::check_name(
                given,
                "Client names cannot contain spaces, newlines or special characters.",
            )?;
            name = Some(given);
        } else {
            let option = String::from_utf8_lossy(c.next()?).into_owned();
            return Err(Fail::text(format!(
                "ERR Syntax error in HELLO option '{option}'"
            )));
        }
    }
    if let Some((user, password)) = credentials {
        login(x, args, user, password)?;
    }
    if !x.session.authenticated && !x.core.users.open() {
        return Err(Fail::new(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        x.session.client.about.lock().name = String::from_utf8_lossy(name).into_owned();
    }
    if let Some(proto) = proto {
        out.set_proto(proto);
        x.session
            .client
            .proto
            .store(if proto == Proto::Resp3 { 3 } else { 2 }, Relaxed);
    }
    let leading = x.leading();
    out.map(7);
    out.bulk(b"server");
    out.bulk(b"redis");
    out.bulk(b"version");
    out.bulk(super::info::REDIS_VERSION.as_bytes());
    out.bulk(b"proto");
    out.int(if out.is_resp3() { 3 } else { 2 });
    out.bulk(b"id");
    out.int(x.session.client.id as i64);
    out.bulk(b"mode");
    out.bulk(if x.server.live.redirects() {
        b"cluster"
    } else {
        b"standalone"
    });
    out.bulk(b"role");
    // Any node serves any client: where sessions are relayed, each looks like the primary.
    out.bulk(if leading || !x.server.live.redirects() {
        b"master"
    } else {
        b"replica"
    });
    out.bulk(b"modules");
    out.array(0);
    Ok(())
}

fn ping(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if args.len() > 2 {
        return Err(Fail::arity("ping"));
    }
    if x.session.subscriptions() > 0 && !out.is_resp3() {
        out.array(2);
        out.bulk(b"pong");
        out.bulk(args.get(1).copied().unwrap_or_default());
    } else if let Some(text) = args.get(1) {
        out.bulk(text);
    } else {
        out.simple("PONG");
    }
    Ok(())
}

fn echo(_: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.bulk(args[1]);
    Ok(())
}

fn select(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let db = crate::base::number::parse_i64(args[1]).ok_or(Fail::NOT_INTEGER)?;
    if x.server.live.redirects() && db != 0 {
        return Err(Fail::new("ERR SELECT is not allowed in cluster mode"));
    }
    let known = |db: &u32| *db < x.core.ks.selectable();
    x.session.db = match u32::try_from(db).ok().filter(known) {
        Some(db) => db,
        // How many there are is part of the data.
        None if x.core.role == Role::Loading => return Err(Fail::LOADING),
        None => return Err(Fail::DB_INDEX),
    };
    out.ok();
    Ok(())
}

fn quit(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.session.closing = true;
    out.ok();
    Ok(())
}

fn reset(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if x.session.replica {
        return Err(Fail::new("ERR can only reset normal client connections"));
    }
    x.server.monitors.remove(x.session.client.id);
    if x.session.tracking.on {
        x.session.track(x.core, None);
    }
    x.session.reset(&x.server.hub);
    x.core.refresh_users();
    x.session.speak_for(Bytes::from_static(b"default"));
    x.session.authenticated = x.core.users.open();
    out.set_proto(Proto::Resp2);
    out.simple("RESET");
    Ok(())
}

fn readonly(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.session.readonly = true;
    out.ok();
    Ok(())
}

fn readwrite(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.session.readonly = false;
    out.ok();
    Ok(())
}

fn asking(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.ok();
    Ok(())
}
