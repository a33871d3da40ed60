//! DBSIZE, FLUSHDB, FLUSHALL, SWAPDB.

use crate::command::args as arg;
use crate::command::{Args, Ctx, Fail};
use crate::mutation::Mutation;
use crate::resp::Out;

pub(super) fn dbsize(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    ctx.look_at_all();
    out.len_int(ctx.ks.db(ctx.db).len());
    Ok(())
}

/// ASYNC and SYNC are the same here: memory is always freed in the background.
fn mode(args: Args<'_>) -> Result<(), Fail> {
    match args {
        [_] => Ok(()),
        [_, word] if arg::is(word, "async") || arg::is(word, "sync") => Ok(()),
        _ => Err(Fail::SYNTAX),
    }
}

fn flush(ctx: &mut Ctx<'_>, db: u32) -> Result<(), Fail> {
    if ctx.ks.db(db).is_empty() {
        return Ok(());
    }
    ctx.apply(Mutation::FlushDb { db })
}

pub(super) fn flushdb(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    mode(args)?;
    ctx.look_at_all();
    // Also where nothing is flushed.
    ctx.tracking.touch_all();
    let db = ctx.db;
    flush(ctx, db)?;
    out.ok();
    Ok(())
}

pub(super) fn flushall(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    mode(args)?;
    ctx.look_at_all();
    ctx.tracking.touch_all();
    for db in 0..ctx.ks.databases() {
        flush(ctx, db)?;
    }
    out.ok();
    Ok(())
}

pub(super) fn swapdb(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let number = |arg: &[u8], what| {
        let number = crate::base::number::parse_i64(arg).ok_or(Fail::new(what))?;
        i32::try_from(number).map_err(|_| Fail::new(what))
    };
    let a = number(args[1], "ERR invalid first DB index")?;
    let b = number(args[2], "ERR invalid second DB index")?;
    let known = |n: i32| {
        u32::try_from(n)
            .ok()
            .filter(|&n| n < ctx.ks.selectable())
            .ok_or(Fail::DB_INDEX)
    };
    let (a, b) = (known(a)?, known(b)?);
    ctx.look_at_all();
    if a != b {
        ctx.apply(Mutation::SwapDb { a, b })?;
    }
    out.ok();
    Ok(())
}
