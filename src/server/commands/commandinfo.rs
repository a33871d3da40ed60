//! COMMAND: what the table knows of commands, as tools, drivers and proxies ask for it.

use crate::base::glob;
use crate::command::args::is;
use crate::command::table::{self, Begin, Categories, Find, Flags, KeySpec, SPECS, Spec, key};
use crate::command::{Args, Fail};
use crate::resp::Out;
use crate::server::dispatch::{Exec, Handler};

use super::help;

pub const COMMANDS: &[(&str, Handler)] = &[
    ("command", |_, _, out| all(out)),
    ("command|count", count),
    ("command|info", info),
    ("command|list", list),
    ("command|getkeys", |_, args, out| getkeys(args, out, false)),
    ("command|getkeysandflags", |_, args, out| {
        getkeys(args, out, true)
    }),
    ("command|docs", docs),
    ("command|help", help),
];

fn tops() -> impl Iterator<Item = &'static Spec> {
    SPECS.iter().filter(|spec| spec.container.is_none())
}

fn all(out: &mut Out) -> Result<(), Fail> {
    out.array(tops().count());
    tops().for_each(|spec| describe(spec, out));
    Ok(())
}

fn count(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.len_int(tops().count());
    Ok(())
}

fn info(_: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if args.len() == 2 {
        return all(out);
    }
    out.array(args.len() - 2);
    for name in &args[2..] {
        match table::by_full_name(name) {
            Some(spec) => describe(spec, out),
            None => out.null(),
        }
    }
    Ok(())
}

fn words<'a>(out: &mut Out, words: impl Iterator<Item = &'a str>, prefix: &str) {
    let words: Vec<&str> = words.collect();
    out.set(words.len());
    for word in words {
        out.simple(&format!("{prefix}{word}"));
    }
}

fn describe(spec: &Spec, out: &mut Out) {
    out.array(10);
    out.bulk(spec.full_name.as_bytes());
    out.int(spec.arity.into());
    words(out, spec.flags.names(), "");
    out.int(spec.first_key.into());
    out.int(spec.last_key.into());
    out.int(spec.key_step.into());
    words(out, spec.categories.names(), "@");
    out.set(spec.tips.len());
    spec.tips.iter().for_each(|tip| out.bulk(tip.as_bytes()));
    out.set(spec.key_specs.len());
    spec.key_specs.iter().for_each(|k| key_spec(k, out));
    let subcommands = spec.subcommands();
    if subcommands.is_empty() {
        out.set(0);
    } else {
        out.array(subcommands.len());
        subcommands.iter().for_each(|sub| describe(sub, out));
    }
}

fn key_spec(spec: &KeySpec, out: &mut Out) {
    out.map(if spec.notes.is_empty() { 3 } else { 4 });
    if !spec.notes.is_empty() {
        out.bulk(b"notes");
        out.bulk(spec.notes.as_bytes());
    }
    out.bulk(b"flags");
    words(out, key::names(spec.flags), "");
    out.bulk(b"begin_search");
    match spec.begin {
        Begin::Unknown => typed(out, "unknown", &[]),
        Begin::Index(at) => typed(out, "index", &[("index", at.into())]),
        Begin::Keyword(word, from) => {
            out.map(2);
            out.bulk(b"type");
            out.bulk(b"keyword");
            out.bulk(b"spec");
            out.map(2);
            out.bulk(b"keyword");
            out.bulk(word.as_bytes());
            out.bulk(b"startfrom");
            out.int(from.into());
        }
    }
    out.bulk(b"find_keys");
    match spec.find {
        Find::Unknown => typed(out, "unknown", &[]),
        Find::Range { last, step, limit } => typed(
            out,
            "range",
            &[
                ("lastkey", last.into()),
                ("keystep", step.into()),
                ("limit", limit.into()),
            ],
        ),
        Find::Counted {
            count_at,
            first,
            step,
        } => typed(
            out,
            "keynum",
            &[
                ("keynumidx", count_at.into()),
                ("firstkey", first.into()),
                ("keystep", step.into()),
            ],
        ),
    }
}

fn typed(out: &mut Out, kind: &str, numbers: &[(&str, i64)]) {
    out.map(2);
    out.bulk(b"type");
    out.bulk(kind.as_bytes());
    out.bulk(b"spec");
    out.map(numbers.len());
    for (name, number) in numbers {
        out.bulk(name.as_bytes());
        out.int(*number);
    }
}

fn list(_: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let shown: Vec<&Spec> = match *args {
        [_, _] => SPECS.iter().collect(),
        [_, _, by, kind, value] if is(by, "filterby") => {
            let keep: Box<dyn Fn(&Spec) -> bool> = if is(kind, "module") {
                Box::new(|_| false)
            } else if is(kind, "aclcat") {
                let wanted = Categories::by_name(value);
                Box::new(move |s| wanted.is_some_and(|w| s.categories.contains(w)))
            } else if is(kind, "pattern") {
                Box::new(move |s| glob::matches_nocase(value, s.full_name.as_bytes()))
            } else {
                return Err(Fail::SYNTAX);
            };
            SPECS.iter().filter(|s| keep(s)).collect()
        }
        _ => return Err(Fail::SYNTAX),
    };
    out.array(shown.len());
    shown
        .iter()
        .for_each(|spec| out.bulk(spec.full_name.as_bytes()));
    Ok(())
}

fn getkeys(args: Args<'_>, out: &mut Out, flags: bool) -> Result<(), Fail> {
    let args = &args[2..];
    let spec = table::resolve(args).map_err(|_| Fail::new("ERR Invalid command specified"))?;
    if !spec.has_keys() {
        return Err(Fail::new("ERR The command has no key arguments"));
    }
    if !spec.accepts(args.len()) {
        return Err(Fail::new(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let keys = table::keys(spec, args);
    if keys.is_empty() && !spec.has(Flags::NO_MANDATORY_KEYS) {
        return Err(Fail::new("ERR Invalid arguments specified for command"));
    }
    out.array(keys.len());
    for found in keys {
        if flags {
            out.array(2);
        }
        out.bulk(args[found.at]);
        if flags {
            words(out, key::names(found.flags), "");
        }
    }
    Ok(())
}

fn docs(_: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let chosen: Vec<&Spec> = if args.len() == 2 {
        tops().collect()
    } else {
        args[2..]
            .iter()
            .filter_map(|name| table::by_full_name(name))
            .collect()
    };
    out.map(chosen.len());
    for spec in chosen {
        out.bulk(spec.full_name.as_bytes());
        document(spec, out);
    }
    Ok(())
}

/// What can be said of a command from its row.
fn summary(spec: &Spec) -> String {
    let does = if !spec.subcommands().is_empty() {
        "Holds subcommands"
    } else if spec.has(Flags::WRITE) {
        "Changes data"
    } else if spec.has(Flags::READONLY) {
        "Reads data"
    } else if spec.has(Flags::ADMIN) {
        "Serves the operator"
    } else {
        "Serves the connection or the server"
    };
    format!("{does}; group {}.", spec.group.name())
}

fn document(spec: &Spec, out: &mut Out) {
    let marks: Vec<&str> = [(Flags::DEPRECATED, "deprecated"), (Flags::SYSCMD, "syscmd")]
        .into_iter()
        .filter(|(flag, _)| spec.has(*flag))
        .map(|(_, mark)| mark)
        .collect();
    let subcommands = spec.subcommands();
    out.map(3 + usize::from(!marks.is_empty()) + usize::from(!subcommands.is_empty()));
    out.bulk(b"summary");
    out.bulk(summary(spec).as_bytes());
    out.bulk(b"since");
    out.bulk(spec.since.as_bytes());
    out.bulk(b"group");
    out.bulk(spec.group.name().as_bytes());
    if !marks.is_empty() {
        out.bulk(b"doc_flags");
        words(out, marks.into_iter(), "");
    }
    if !subcommands.is_empty() {
        out.bulk(b"subcommands");
        out.map(subcommands.len());
        for sub in subcommands {
            out.bulk(sub.full_name.as_bytes());
            document(sub, out);
        }
    }
}

fn help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help::reply(
        out,
        "COMMAND",
        &[
            ("(no subcommand)", "All commands."),
            ("COUNT", "How many there are."),
            (
                "LIST",
                "Their names; FILTERBY MODULE, ACLCAT or PATTERN chooses.",
            ),
            ("INFO [<command-name> ...]", "Details of these, or of all."),
            ("DOCS [<command-name> ...]", "What these are for, or all."),
            ("GETKEYS <full-command>", "The keys in a command."),
            (
                "GETKEYSANDFLAGS <full-command>",
                "The keys in a command, and what it does with them.",
            ),
        ],
    );
    Ok(())
}
