//! Groups of consumers and where they stand: XGROUP.

use super::{id, no_group, peek_group, see_consumer};
use crate::command::settings::notify;
use crate::command::{Args, Ctx, Cursor, Fail, help as help_reply};
use crate::mutation::Mutation;
use crate::resp::Out;

const NO_STREAM: Fail = Fail::new(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
);
const BUSY_GROUP: Fail = Fail::new("BUSYGROUP Consumer Group name already exists");
const NEGATIVE_READ: Fail = Fail::new("ERR value for ENTRIESREAD must be positive or -1");

/// Reads the options of CREATE and SETID: whether the stream is to be made, and the entries read.
fn options(args: Args<'_>, create: bool) -> Result<(bool, Option<u64>), Fail> {
    let mut options = Cursor::from(args, 5);
    let (mut make, mut read) = (false, None);
    while !options.is_empty() {
        if create && options.keyword("mkstream") {
            make = true;
        } else if options.left() > 1 && options.keyword("entriesread") {
            read = match options.int()? {
                -1 => None,
                n => Some(u64::try_from(n).map_err(|_| NEGATIVE_READ)?),
            };
        } else {
            return Err(Fail::subcommand(args));
        }
    }
    Ok((make, read))
}

/// Looks at the key and the group, both of which must be there.
fn look(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Fail> {
    let (key, group) = (args[2], args[3]);
    let stream = ctx.stream_write(key)?.ok_or(NO_STREAM)?;
    match stream.group(group) {
        Some(_) => Ok(()),
        None => Err(no_group(key, group)),
    }
}

pub fn create(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (db, key, group) = (ctx.db, args[2], args[3]);
    let (make, read) = options(args, true)?;
    let known = ctx.stream_write(key)?;
    if known.is_none() && !make {
        return Err(NO_STREAM);
    }
    if args.len() > 8 {
        return Err(Fail::subcommand(args));
    }
    let last = match args[4] {
        b"$" => known.map_or(0, |stream| stream.header.last),
        arg => id::exact(arg, 0)?,
    };
    if known.is_some_and(|stream| stream.group(group).is_some()) {
        return Err(BUSY_GROUP);
    }
    if known.is_none() {
        ctx.apply(Mutation::StreamSet {
            db,
            key,
            last: 0,
            max_deleted: 0,
            added: 0,
        })?;
        ctx.touched(db, key);
    }
    ctx.apply(Mutation::StreamGroup {
        db,
        key,
        group,
        last,
        read,
    })?;
    ctx.notify(notify::STREAM, "xgroup-create", key);
    out.ok();
    Ok(())
}

pub fn setid(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (key, group) = (args[2], args[3]);
    let (_, read) = options(args, false)?;
    look(ctx, args)?;
    if !matches!(args.len(), 5 | 7) {
        return Err(Fail::subcommand(args));
    }
    let last = match args[4] {
        b"$" => peek_group(ctx, key, group)?.0.header.last,
        arg => id::or_end(arg, 0)?,
    };
    ctx.apply(Mutation::StreamGroup {
        db: ctx.db,
        key,
        group,
        last,
        read,
    })?;
    ctx.notify(notify::STREAM, "xgroup-setid", key);
    out.ok();
    Ok(())
}

pub fn destroy(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (db, key, group) = (ctx.db, args[2], args[3]);
    let stream = ctx.stream_write(key)?.ok_or(NO_STREAM)?;
    let present = stream.group(group).is_some();
    if present {
        ctx.apply(Mutation::StreamGroupDel { db, key, group })?;
        ctx.notify(notify::STREAM, "xgroup-destroy", key);
    }
    out.int(present.into());
    Ok(())
}

pub fn createconsumer(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (key, group, name) = (args[2], args[3], args[4]);
    look(ctx, args)?;
    let known = peek_group(ctx, key, group)?.1.consumers.contains_key(name);
    if !known {
        see_consumer(ctx, key, group, name, false)?;
    }
    out.int((!known).into());
    Ok(())
}

pub fn delconsumer(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (db, key, group, consumer) = (ctx.db, args[2], args[3], args[4]);
    look(ctx, args)?;
    let known = peek_group(ctx, key, group)?.1.consumers.get(consumer);
    let pending = known.map(|c| c.pending.len());
    if pending.is_some() {
        ctx.apply(Mutation::StreamConsumerDel {
            db,
            key,
            group,
            consumer,
        })?;
        ctx.notify(notify::STREAM, "xgroup-delconsumer", key);
    }
    out.len_int(pending.unwrap_or(0));
    Ok(())
}

pub fn help(_: &mut Ctx<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help_reply::reply(
        out,
        "XGROUP",
        &[
            (
                "CREATE <key> <groupname> <id|$> [MKSTREAM] [ENTRIESREAD entries_read]",
                "Makes a group that begins behind an id, and with MKSTREAM the stream too.",
            ),
            (
                "CREATECONSUMER <key> <groupname> <consumer>",
                "Makes a consumer in a group.",
            ),
            (
                "DELCONSUMER <key> <groupname> <consumer>",
                "Removes a consumer, and what is pending with it.",
            ),
            ("DESTROY <key> <groupname>", "Removes a group."),
            (
                "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
                "Moves a group to an id.",
            ),
        ],
    );
    Ok(())
}
