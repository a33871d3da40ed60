//! ACL: users and what they may do.
//!
//! Users are replicated state: what changes them is a mutation of the table `Users`, and every node
//! derives the rest from there. The log of refusals is this node's own.

use bytes::Bytes;
use rand::RngCore;

use crate::base::limits::{USER_NAME_LEN_MAX, USERS_MAX};
use crate::command::acl::{self, Denied, Selector, User};
use crate::command::table::{self, Categories, SPECS};
use crate::command::{Args, Fail, args};
use crate::keyspace::system::Table;
use crate::mutation::Mutation;
use crate::resp::Out;
use crate::server::dispatch::{self, Exec, Handler};

use super::help;

pub const COMMANDS: &[(&str, Handler)] = &[
    ("acl|whoami", whoami),
    ("acl|cat", cat),
    ("acl|list", list),
    ("acl|users", users),
    ("acl|getuser", getuser),
    ("acl|setuser", setuser),
    ("acl|deluser", deluser),
    ("acl|dryrun", dryrun),
    ("acl|genpass", genpass),
    ("acl|log", log),
    ("acl|load", load),
    ("acl|save", load),
    ("acl|help", help),
];

fn load(_: &mut Exec<'_>, _: Args<'_>, _: &mut Out) -> Result<(), Fail> {
    Err(Fail::new(
        "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.",
    ))
}

fn whoami(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.bulk(x.session.identity.user());
    Ok(())
}

fn cat(_: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let Some(name) = args.get(2) else {
        let names: Vec<&str> = Categories(u32::MAX).names().collect();
        out.array(names.len());
        names.iter().for_each(|name| out.bulk(name.as_bytes()));
        return Ok(());
    };
    if args.len() > 3 {
        return Err(Fail::subcommand(args));
    }
    let category = Categories::by_name(name).ok_or_else(|| {
        Fail::text(format!(
            "ERR Unknown category '{}'",
            String::from_utf8_lossy(&name[..name.len().min(128)])
        ))
    })?;
    let begun = out.deferred();
    let mut n = 0;
    for spec in SPECS.iter().filter(|s| s.categories.contains(category)) {
        out.bulk(spec.full_name.as_bytes());
        n += 1;
    }
    out.end_array(begun, n);
    Ok(())
}

fn list(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.core.refresh_users();
    let users = x.core.users.iter();
    out.array(users.len());
    for user in users {
        out.bulk(&[b"user ", &user.name[..], b" ", &user.describe()].concat());
    }
    Ok(())
}

fn users(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.core.refresh_users();
    let users = x.core.users.iter();
    out.array(users.len());
    users.for_each(|user| out.bulk(&user.name));
    Ok(())
}

fn getuser(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.core.refresh_users();
    let Some(user) = x.core.users.get(args[2]) else {
        out.null();
        return Ok(());
    };
    out.map(6);
    out.bulk(b"flags");
    let flags = user.flags();
    out.set(flags.len());
    flags.iter().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"passwords");
    out.array(user.passwords.len());
    user.passwords.iter().for_each(|p| out.bulk(p.as_bytes()));
    let (root, others) = user.selectors.split_at(1);
    root.iter().for_each(|selector| describe(selector, out));
    out.bulk(b"selectors");
    out.array(others.len());
    for selector in others {
        out.map(3);
        describe(selector, out);
    }
    Ok(())
}

fn describe(selector: &Selector, out: &mut Out) {
    out.bulk(b"commands");
    out.bulk(&selector.commands());
    out.bulk(b"keys");
    out.bulk(&selector.keys());
    out.bulk(b"channels");
    out.bulk(&selector.channel_rules());
}

fn setuser(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let name = args[2];
    if acl::has_spaces(name) {
        return Err(Fail::new(
            "ERR Usernames can't contain spaces or null characters",
        ));
    }
    if name.len() > USER_NAME_LEN_MAX {
        return Err(Fail::text(format!(
            "ERR a user's name has at most {USER_NAME_LEN_MAX} bytes"
        )));
    }
    x.core.refresh_users();
    let shown = x.core.settings.shown.get("acl-pubsub-default");
    let all_channels = shown.is_some_and(|value| value == "allchannels");
    let known = x.core.users.get(name);
    if known.is_none() && x.core.users.iter().len() >= USERS_MAX {
        return Err(Fail::text(format!(
            "ERR a service has at most {USERS_MAX} users"
        )));
    }
    let mut user = known.map_or_else(|| User::new(name, all_channels), |user| (**user).clone());
    let modifier = |op: &[u8], why: acl::RuleError| {
        Fail::text(format!(
            "ERR Error in ACL SETUSER modifier '{}': {}",
            String::from_utf8_lossy(op),
            why.text()
        ))
    };
    for op in acl::merged(&args[3..])? {
        user.set(&op, all_channels)
            .map_err(|why| modifier(&op, why))?;
    }
    let last = args.last().copied().unwrap_or_default();
    let row = user.row().map_err(|why| modifier(last, why))?;
    let table = Table::Users;
    if x.core
        .ks
        .system
        .get(table, name)
        .is_none_or(|old| old[..] != row)
    {
        x.change_system(Mutation::SystemPut {
            table: table as u8,
            name,
            value: &row,
        })?;
    }
    out.ok();
    Ok(())
}

fn deluser(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let names = &args[2..];
    if names.contains(&&b"default"[..]) {
        return Err(Fail::new("ERR The 'default' user cannot be removed"));
    }
    let mut deleted = 0;
    for &name in names {
        if x.core.ks.system.get(Table::Users, name).is_none() {
            continue;
        }
        let table = Table::Users as u8;
        x.change_system(Mutation::SystemDel { table, name })?;
        deleted += 1;
        // At once, since a user of that name may be made anew before others look.
        if x.session.identity.user() == name {
            // Its reply is still to leave.
            x.session.closing = true;
            x.session.client.about.lock().closing = true;
        }
        let itself = Some(x.session.client.id);
        x.server.disconnect(|user: &Bytes| user == name, itself);
    }
    out.int(deleted);
    Ok(())
}

fn dryrun(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.core.refresh_users();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let Some(user) = x.core.users.get(args[2]) else {
        return Err(Fail::text(format!(
            "ERR User '{}' not found",
            text(args[2])
        )));
    };
    let command = &args[3..];
    let Ok(spec) = table::resolve(command) else {
        return Err(Fail::text(format!(
            "ERR Command '{}' not found",
            text(command[0])
        )));
    };
    if !spec.accepts(command.len()) {
        return Err(Fail::text(table::wrong_arity(spec)));
    }
    let checked = match dispatch::is_restricted(x.server, spec) {
        true => Err(Denied::COMMAND),
        false => user.check(spec, command),
    };
    match checked {
        Ok(()) => out.ok(),
        Err(denied) => out.bulk(&denied.details(&user.name, spec, command)),
    }
    Ok(())
}

/// Bits of a generated password, at most.
const BITS_MAX: i64 = 4096;

fn genpass(_: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if args.len() > 3 {
        return Err(Fail::subcommand(args));
    }
    let bits = args.get(2).map_or(Ok(256), |bits| args::int(bits))?;
    if !(1..=BITS_MAX).contains(&bits) {
        return Err(Fail::text(format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to {BITS_MAX}"
        )));
    }
    let mut bytes = vec![0; BITS_MAX as usize / 8];
    rand::rng().fill_bytes(&mut bytes);
    let digits = hex::encode(bytes);
    out.bulk(&digits.as_bytes()[..(bits as usize).div_ceil(4)]);
    Ok(())
}

/// Entries that ACL LOG shows where nobody says how many.
const SHOWN: i64 = 10;

fn log(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if args.len() > 3 {
        return Err(Fail::subcommand(args));
    }
    let mut log = x.server.acl_log.lock();
    let count = match args.get(2) {
        Some(arg) if args::is(arg, "reset") => {
            log.clear();
            out.ok();
            return Ok(());
        }
        Some(count) => args::int(count)?,
        None => SHOWN,
    };
    let count = log.iter().len().min(count.max(0) as usize);
    let now = dispatch::wall_us() / 1000;
    out.array(count);
    for entry in log.iter().take(count) {
        out.map(10);
        out.bulk(b"count");
        out.int(entry.count as i64);
        out.bulk(b"reason");
        out.bulk(entry.reason.name().as_bytes());
        out.bulk(b"context");
        out.bulk(entry.context.name().as_bytes());
        out.bulk(b"object");
        out.bulk(&entry.object);
        out.bulk(b"username");
        out.bulk(&entry.user);
        out.bulk(b"age-seconds");
        out.double(now.saturating_sub(entry.updated_ms) as f64 / 1000.0);
        out.bulk(b"client-info");
        out.bulk(entry.client.as_bytes());
        out.bulk(b"entry-id");
        out.int(entry.id as i64);
        out.bulk(b"timestamp-created");
        out.int(entry.created_ms as i64);
        out.bulk(b"timestamp-last-updated");
        out.int(entry.updated_ms as i64);
    }
    Ok(())
}

fn help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help::reply(
        out,
        "ACL",
        &[
            (
                "CAT [<category>]",
                "The categories, or the commands of one.",
            ),
            (
                "DELUSER <username> [<username> ...]",
                "Delete users; their clients are disconnected.",
            ),
            (
                "DRYRUN <username> <command> [<arg> ...]",
                "Whether a user may run a command; it is not run.",
            ),
            ("GETUSER <username>", "What a user may do."),
            ("GENPASS [<bits>]", "A random password."),
            ("LIST", "The users and their rules."),
            ("LOAD", "Refused: users are in no file."),
            (
                "LOG [<count> | RESET]",
                "What was refused lately, and to whom.",
            ),
            ("SAVE", "Refused: users are kept with the data."),
            (
                "SETUSER <username> <attribute> [<attribute> ...]",
                "Make a user, or change its rules.",
            ),
            ("USERS", "The users' names."),
            ("WHOAMI", "This connection's user."),
        ],
    );
    Ok(())
}
