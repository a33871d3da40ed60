//! The list commands that wait: BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH.
//!
//! Each tries what its other form does; where nothing is there it says what it waits for, and is run
//! anew when that has come (`engine::blocked`).

use super::End;
use super::pop::{Multi, move_one, pop_first, take};
use crate::command::blocking::{Block, Kind, timeout_seconds};
use crate::command::{Args, Ctx, Cursor, Fail};
use crate::resp::Out;

fn wait(ctx: &mut Ctx<'_>, keys: Args<'_>, timeout_ms: u64, null_array: bool) {
    ctx.block(Block {
        keys: keys.iter().map(|key| Box::from(*key)).collect(),
        kind: Kind::List,
        timeout_ms,
        on_gone: false,
        null_array,
        args: None,
    });
}

/// BLPOP and BRPOP.
pub(super) fn bpop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out, end: End) -> Result<(), Fail> {
    let timeout_ms = timeout_seconds(args[args.len() - 1])?;
    let keys = &args[1..args.len() - 1];
    for key in keys {
        let Some(list) = ctx.list_write(key)? else {
            continue;
        };
        out.array(2);
        out.bulk(key);
        let first = match end {
            End::Left => list.get(0),
            End::Right => list.get(list.len() - 1),
        };
        out.bulk_or_null(first);
        return take(ctx, key, end, 1);
    }
    wait(ctx, keys, timeout_ms, true);
    Ok(())
}

pub(super) fn blmpop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let multi = Multi::parse(Cursor::from(args, 2))?;
    let timeout_ms = timeout_seconds(args[1])?;
    if !pop_first(ctx, &multi, out)? {
        wait(ctx, multi.keys, timeout_ms, true);
    }
    Ok(())
}

pub(super) fn blmove(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (from, to) = (End::parse(args[3])?, End::parse(args[4])?);
    move_or_wait(ctx, (args[1], from), (args[2], to), args[5], out)
}

pub(super) fn brpoplpush(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (from, to) = ((args[1], End::Right), (args[2], End::Left));
    move_or_wait(ctx, from, to, args[3], out)
}

fn move_or_wait(
    ctx: &mut Ctx<'_>,
    from: (&[u8], End),
    to: (&[u8], End),
    timeout: &[u8],
    out: &mut Out,
) -> Result<(), Fail> {
    let timeout_ms = timeout_seconds(timeout)?;
    match move_one(ctx, from, to)? {
        Some(value) => out.bulk(&value),
        None => wait(ctx, &[from.0], timeout_ms, false),
    }
    Ok(())
}
