//! Reading entries by their ids: XRANGE, XREVRANGE, XLEN.

use super::{id, write_entries};
use crate::command::{Args, Ctx, Cursor, Fail};
use crate::resp::Out;

pub fn xlen(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.len_int(ctx.stream(args[1])?.map_or(0, |s| s.len()));
    Ok(())
}

/// XRANGE, or XREVRANGE, which names the end first.
pub fn range(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out, reverse: bool) -> Result<(), Fail> {
    let (first, last) = if reverse { (3, 2) } else { (2, 3) };
    let (from, to) = (id::start(args[first])?, id::end(args[last])?);
    let mut options = Cursor::from(args, 4);
    let mut count = usize::MAX;
    while !options.is_empty() {
        if options.left() < 2 || !options.keyword("count") {
            return Err(Fail::SYNTAX);
        }
        count = usize::try_from(options.int()?).unwrap_or(0);
    }
    let Some(stream) = ctx.stream(args[1])? else {
        out.array(0);
        return Ok(());
    };
    if count == 0 {
        out.null_array();
        return Ok(());
    }
    let entries = stream.range(from, to);
    if reverse {
        write_entries(out, entries.rev().take(count));
    } else {
        write_entries(out, entries.take(count));
    }
    Ok(())
}
