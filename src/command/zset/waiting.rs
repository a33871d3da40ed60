//! The sorted set commands that wait: BZPOPMIN, BZPOPMAX, BZMPOP.
//!
//! Each tries what its other form does; where nothing is there it says what it waits for, and is run
//! anew when that has come (`engine::blocked`).

use super::remove::{End, mpop_arguments, pop, pop_first};
use crate::command::blocking::{Block, Kind, timeout_seconds};
use crate::command::{Args, Ctx, Fail};
use crate::resp::Out;

fn wait(ctx: &mut Ctx<'_>, keys: Args<'_>, timeout_ms: u64) {
    ctx.block(Block {
        keys: keys.iter().map(|key| Box::from(*key)).collect(),
        kind: Kind::ZSet,
        timeout_ms,
        on_gone: false,
        null_array: true,
        args: None,
    });
}

/// BZPOPMIN and BZPOPMAX key [key ...] timeout
pub(super) fn bzpop(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut Out,
    end: End,
) -> Result<(), Fail> {
    let timeout_ms = timeout_seconds(args[args.len() - 1])?;
    let keys = &args[1..args.len() - 1];
    for key in keys {
        if ctx.zset_write(key)?.is_some() {
            for (member, score) in pop(ctx, key, end, 1)? {
                out.array(3);
                out.bulk(key);
                out.bulk(&member);
                out.double(score);
            }
            return Ok(());
        }
    }
    wait(ctx, keys, timeout_ms);
    Ok(())
}

/// BZMPOP timeout numkeys key [key ...] MIN|MAX [COUNT count]
pub(super) fn bzmpop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (keys, end, count) = mpop_arguments(args, 2)?;
    let timeout_ms = timeout_seconds(args[1])?;
    if !pop_first(ctx, keys, end, count, out)? {
        wait(ctx, keys, timeout_ms);
    }
    Ok(())
}
