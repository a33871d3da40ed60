//! The string commands.

use super::{Args, Ctx, Fail, Handler};
use crate::resp::Out;

/// Names and handlers.
pub const COMMANDS: &[(&str, Handler)] = &[("get", get), ("set", set)];

fn get(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    match ctx.string(args[1])? {
        Some(value) => out.bulk(&value.as_bytes()),
        None => out.null(),
    }
    Ok(())
}

fn set(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    ctx.lookup_write(args[1]);
    ctx.set_string(args[1], args[2], 0)?;
    out.ok();
    Ok(())
}
