//! ACL: there is one user, `default`, whose password and restricted commands the service decides.
//! What reads is answered; what would change users is refused.

use rand::RngCore;
use sha2::{Digest, Sha256};

use crate::command::table::{Categories, SPECS};
use crate::command::{Args, Fail, args};
use crate::resp::Out;
use crate::server::dispatch::{Exec, Handler};

use super::help;

pub const COMMANDS: &[(&str, Handler)] = &[
    ("acl|whoami", whoami),
    ("acl|cat", cat),
    ("acl|list", list),
    ("acl|users", users),
    ("acl|getuser", getuser),
    ("acl|genpass", genpass),
    ("acl|log", log),
    ("acl|help", help),
    ("acl|setuser", refuse),
    ("acl|deluser", refuse),
    ("acl|dryrun", refuse),
    ("acl|load", load),
    ("acl|save", load),
];

fn refuse(_: &mut Exec<'_>, _: Args<'_>, _: &mut Out) -> Result<(), Fail> {
    Err(Fail::new(
        "ERR the service has one user, 'default'; the operator sets its password",
    ))
}

fn load(_: &mut Exec<'_>, _: Args<'_>, _: &mut Out) -> Result<(), Fail> {
    Err(Fail::new(
        "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.",
    ))
}

fn whoami(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.bulk(b"default");
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
        return Err(Fail::SYNTAX);
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

/// The rule of the restricted commands, as ACL writes it.
fn commands(x: &Exec<'_>) -> String {
    let mut denied: Vec<&String> = x.server.options.restricted.iter().collect();
    denied.sort();
    let mut rule = String::from("+@all");
    for name in denied {
        rule += &format!(" -{name}");
    }
    rule
}

fn password_hash(x: &Exec<'_>) -> Option<String> {
    let password = &x.server.options.password;
    (!password.is_empty()).then(|| hex::encode(Sha256::digest(password)))
}

fn list(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    // The hash of the password is not shown: it would let it be guessed at leisure.
    let password = password_hash(x).map_or("nopass", |_| "#(hidden)");
    out.array(1);
    let line = format!(
        "user default on {password} sanitize-payload ~* &* {}",
        commands(x)
    );
    out.bulk(line.as_bytes());
    Ok(())
}

fn users(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.array(1);
    out.bulk(b"default");
    Ok(())
}

fn getuser(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if args[2] != b"default" {
        out.null();
        return Ok(());
    }
    let mut flags = vec!["on"];
    if x.server.options.password.is_empty() {
        flags.push("nopass");
    }
    flags.push("sanitize-payload");
    out.map(6);
    out.bulk(b"flags");
    out.set(flags.len());
    flags.iter().for_each(|flag| out.simple(flag));
    out.bulk(b"passwords");
    out.array(0);
    for (name, value) in [
        ("commands", commands(x)),
        ("keys", "~*".into()),
        ("channels", "&*".into()),
    ] {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"selectors");
    out.array(0);
    Ok(())
}

/// Bits of a generated password, at most.
const BITS_MAX: i64 = 4096;

fn genpass(_: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let bits = args.get(2).map_or(Ok(256), |bits| args::int(bits))?;
    if args.len() > 3 {
        return Err(Fail::SYNTAX);
    }
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

fn log(_: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    match args.get(2) {
        Some(arg) if args::is(arg, "reset") => out.ok(),
        Some(count) => {
            args::int(count)?;
            out.array(0);
        }
        // Refused passwords are counted in INFO and written to the node's log.
        None => out.array(0),
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
            ("GETUSER <username>", "What a user may do."),
            ("GENPASS [<bits>]", "A random password."),
            ("LIST", "The users and what they may do."),
            ("LOG [<count> | RESET]", "Empty: see the node's log."),
            ("USERS", "The users' names."),
            ("WHOAMI", "This connection's user."),
        ],
    );
    Ok(())
}
