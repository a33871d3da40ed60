//! DEL, UNLINK, EXISTS, TOUCH, TYPE.

use crate::command::settings::notify;
use crate::command::{Args, Ctx, Fail};
use crate::resp::Out;

/// DEL and UNLINK: large values are freed in the background by both.
pub(super) fn del(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let mut gone = 0;
    for key in &args[1..] {
        ctx.prepare(ctx.db, key);
        if ctx.peek(ctx.db, key).is_some() {
            ctx.delete(key)?;
            ctx.notify(notify::GENERIC, "del", key);
            gone += 1;
        }
    }
    out.int(gone);
    Ok(())
}

pub(super) fn exists(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let mut there = 0;
    for key in &args[1..] {
        there += i64::from(ctx.lookup_untouched(key).is_some());
    }
    out.int(there);
    Ok(())
}

pub(super) fn touch(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    // TOUCH notes the access even for a client that asked for none of its own (CLIENT NO-TOUCH).
    let no_touch = std::mem::replace(&mut ctx.no_touch, false);
    let mut there = 0;
    for key in &args[1..] {
        there += i64::from(ctx.lookup(key).is_some());
    }
    ctx.no_touch = no_touch;
    out.int(there);
    Ok(())
}

pub(super) fn kind(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let name = ctx
        .lookup_untouched(args[1])
        .map_or("none", |e| e.value.type_name());
    out.simple(name);
    Ok(())
}
