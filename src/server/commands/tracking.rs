//! CLIENT TRACKING and its kin: a client keeps what it reads and is told when to forget it.

use std::collections::BTreeSet;

use crate::base::limits::TRACKING_PREFIXES_LEN_MAX;
use crate::command::tracking::Options;
use crate::command::{Args, Cursor, Fail};
use crate::resp::Out;
use crate::server::dispatch::{Exec, Handler};

pub const COMMANDS: &[(&str, Handler)] = &[
    ("client|tracking", tracking),
    ("client|trackinginfo", trackinginfo),
    ("client|caching", caching),
    ("client|getredir", getredir),
];

const SWITCH_BROADCAST: Fail = Fail::new(
    "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
);
const SWITCH_OPT: Fail = Fail::new(
    "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
);

/// The options of CLIENT TRACKING; prefixes in the order in which they were given.
fn parse<'a>(x: &Exec<'_>, args: Args<'a>) -> Result<(Options, Vec<&'a [u8]>), Fail> {
    let (mut options, mut prefixes) = (Options::default(), Vec::new());
    let mut c = Cursor::from(args, 3);
    while !c.is_empty() {
        let more = c.left() > 1;
        if more && c.keyword("redirect") {
            if options.redirect != 0 {
                return Err(Fail::new(
                    "ERR A client can only redirect to a single other client",
                ));
            }
            let id = c.int()? as u64;
            if x.server.clients.get(id).is_none() {
                return Err(Fail::new(
                    "ERR The client ID you want redirect to does not exist",
                ));
            }
            options.redirect = id;
        } else if c.keyword("bcast") {
            options.broadcast = true;
        } else if c.keyword("optin") {
            options.opt_in = true;
        } else if c.keyword("optout") {
            options.opt_out = true;
        } else if c.keyword("noloop") {
            options.no_loop = true;
        } else if more && c.keyword("prefix") {
            prefixes.push(c.next()?);
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    Ok((options, prefixes))
}

/// Whether the options go together, and with what the client has.
fn check(options: &Options, prefixes: &[&[u8]], before: Option<&Options>) -> Result<(), Fail> {
    if !options.broadcast && !prefixes.is_empty() {
        return Err(Fail::new(
            "ERR PREFIX option requires BCAST mode to be enabled",
        ));
    }
    if before.is_some_and(|b| b.broadcast != options.broadcast) {
        return Err(SWITCH_BROADCAST);
    }
    if options.broadcast && (options.opt_in || options.opt_out) {
        return Err(Fail::new(
            "ERR OPTIN and OPTOUT are not compatible with BCAST",
        ));
    }
    if options.opt_in && options.opt_out {
        return Err(Fail::new(
            "ERR You can't specify both OPTIN mode and OPTOUT mode",
        ));
    }
    if before.is_some_and(|b| options.opt_in && b.opt_out || options.opt_out && b.opt_in) {
        return Err(SWITCH_OPT);
    }
    Ok(())
}

/// No prefix of a client may be within another.
fn overlaps(prefixes: &[&[u8]], before: &BTreeSet<Vec<u8>>) -> Result<(), Fail> {
    let within = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
    let fail = |prefix: &[u8], which: &str, other: &[u8]| {
        Fail::text(format!(
            "ERR Prefix '{}' overlaps with {which} prefix '{}'. Prefixes for a single client must not overlap.",
            String::from_utf8_lossy(prefix),
            String::from_utf8_lossy(other)
        ))
    };
    for (i, prefix) in prefixes.iter().enumerate() {
        if let Some(other) = before.iter().find(|b| within(b, prefix)) {
            return Err(fail(prefix, "an existing", other));
        }
        if let Some(other) = prefixes[i + 1..].iter().find(|p| within(p, prefix)) {
            return Err(fail(prefix, "another provided", other));
        }
    }
    let given = prefixes.iter().map(|p| p.len());
    let len: usize = given.chain(before.iter().map(Vec::len)).sum();
    if len > TRACKING_PREFIXES_LEN_MAX {
        return Err(Fail::text(format!(
            "ERR the prefixes of a client have at most {TRACKING_PREFIXES_LEN_MAX} bytes"
        )));
    }
    Ok(())
}

fn tracking(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (mut options, prefixes) = parse(x, args)?;
    let id = x.session.client.id;
    if args[2].eq_ignore_ascii_case(b"on") {
        let before = x.core.tracking.options(id);
        check(&options, &prefixes, before)?;
        if options.broadcast {
            let none = BTreeSet::new();
            overlaps(&prefixes, before.map_or(&none, |b| &b.prefixes))?;
            options.prefixes = prefixes.iter().map(|p| p.to_vec()).collect();
        }
        x.session.track(x.core, Some(options));
    } else if args[2].eq_ignore_ascii_case(b"off") {
        x.session.track(x.core, None);
    } else {
        return Err(Fail::SYNTAX);
    }
    out.ok();
    Ok(())
}

fn caching(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let Some(options) = x.core.tracking.options(x.session.client.id) else {
        return Err(Fail::new(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    };
    if args[2].eq_ignore_ascii_case(b"yes") {
        if !options.opt_in {
            return Err(Fail::new(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
    } else if args[2].eq_ignore_ascii_case(b"no") {
        if !options.opt_out {
            return Err(Fail::new(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
    } else {
        return Err(Fail::SYNTAX);
    }
    x.session.tracking.caching = true;
    out.ok();
    Ok(())
}

fn redirection(x: &Exec<'_>) -> i64 {
    let options = x.core.tracking.options(x.session.client.id);
    options.map_or(-1, |o| o.redirect as i64)
}

fn getredir(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.int(redirection(x));
    Ok(())
}

fn trackinginfo(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let options = x.core.tracking.options(x.session.client.id);
    let broken = x.session.client.about.lock().redirect_broken;
    let has = |of: fn(&Options) -> bool| options.is_some_and(of);
    let caching = x.session.tracking.caching;
    let flags = [
        (options.is_some(), "on"),
        (options.is_none(), "off"),
        (has(|o| o.broadcast), "bcast"),
        (has(|o| o.opt_in), "optin"),
        (has(|o| o.opt_in) && caching, "caching-yes"),
        (has(|o| o.opt_out), "optout"),
        (has(|o| o.opt_out) && caching, "caching-no"),
        (has(|o| o.no_loop), "noloop"),
        (broken, "broken_redirect"),
    ];
    let flags = flags.iter().filter(|(holds, _)| *holds);
    out.map(3);
    out.bulk(b"flags");
    out.set(flags.clone().count());
    flags.for_each(|(_, name)| out.bulk(name.as_bytes()));
    out.bulk(b"redirect");
    out.int(redirection(x));
    out.bulk(b"prefixes");
    let none = BTreeSet::new();
    let prefixes = options.map_or(&none, |o| &o.prefixes);
    out.array(prefixes.len());
    prefixes.iter().for_each(|prefix| out.bulk(prefix));
    Ok(())
}
