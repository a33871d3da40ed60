//! RENAME, RENAMENX, COPY, MOVE: a value gets another key or database, by one structural mutation.

use crate::command::args as arg;
use crate::command::settings::notify;
use crate::command::{Args, Ctx, Cursor, Fail};
use crate::mutation::Mutation;
use crate::resp::Out;

pub(super) fn rename(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    moved(ctx, args[1], args[2], false)?;
    out.ok();
    Ok(())
}

pub(super) fn renamenx(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let done = moved(ctx, args[1], args[2], true)?;
    out.int(done.into());
    Ok(())
}

fn moved(ctx: &mut Ctx<'_>, key: &[u8], to: &[u8], only_new: bool) -> Result<bool, Fail> {
    let db = ctx.db;
    ctx.lookup_write(key).ok_or(Fail::NO_KEY)?;
    if key == to {
        return Ok(!only_new);
    }
    ctx.prepare(db, to);
    if only_new && ctx.peek(db, to).is_some() {
        return Ok(false);
    }
    ctx.apply(Mutation::Rename {
        db,
        key,
        to_db: db,
        to,
    })?;
    ctx.notify(notify::GENERIC, "rename_from", key);
    ctx.notify(notify::GENERIC, "rename_to", to);
    Ok(true)
}

pub(super) fn copy(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (db, key, to) = (ctx.db, args[1], args[2]);
    let (mut to_db, mut replace) = (db, false);
    let mut options = Cursor::from(args, 3);
    while !options.is_empty() {
        if options.keyword("replace") {
            replace = true;
        } else if options.left() >= 2 && options.keyword("db") {
            to_db = arg::database(options.next()?, ctx.ks.selectable())?;
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    if db == to_db && key == to {
        return Err(Fail::SAME_OBJECT);
    }
    if ctx.lookup(key).is_none() {
        out.int(0);
        return Ok(());
    }
    ctx.prepare(to_db, to);
    if ctx.peek(to_db, to).is_some() && !replace {
        out.int(0);
        return Ok(());
    }
    ctx.apply(Mutation::Copy { db, key, to_db, to })?;
    ctx.notify_in(notify::GENERIC, "copy_to", to_db, to);
    out.int(1);
    Ok(())
}

pub(super) fn move_key(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (db, key) = (ctx.db, args[1]);
    let to_db = arg::database(args[2], ctx.ks.selectable())?;
    if db == to_db {
        return Err(Fail::SAME_OBJECT);
    }
    if ctx.lookup_write(key).is_none() {
        out.int(0);
        return Ok(());
    }
    ctx.prepare(to_db, key);
    if ctx.peek(to_db, key).is_some() {
        out.int(0);
        return Ok(());
    }
    let to = key;
    ctx.apply(Mutation::Rename { db, key, to_db, to })?;
    ctx.notify(notify::GENERIC, "move_from", key);
    ctx.notify_in(notify::GENERIC, "move_to", to_db, key);
    out.int(1);
    Ok(())
}
