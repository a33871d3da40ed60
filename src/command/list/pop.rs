//! LPOP, RPOP, LMPOP, LMOVE, RPOPLPUSH, and the steps that their waiting forms take as well:
//! [`take`], [`move_one`], [`pop_first`].

use super::{End, add, cut, notify_gone};
use crate::command::settings::notify;
use crate::command::{Args, Ctx, Cursor, Fail, args};
use crate::data::List;
use crate::resp::Out;

/// Takes elements, of which the list has as many, off an end; with the events of a pop.
pub fn take(ctx: &mut Ctx<'_>, key: &[u8], end: End, count: usize) -> Result<(), Fail> {
    cut(ctx, key, end, count)?;
    notify_gone(ctx, end.popped(), key);
    Ok(())
}

/// Replies an array of the elements that a pop of so many takes, in the order in which they go.
fn reply_popped(list: &List, end: End, count: usize, out: &mut Out) {
    out.array(count);
    match end {
        End::Left => list.iter().take(count).for_each(|v| out.bulk(v)),
        End::Right => {
            let from_last = list.iter_back_from(list.len() - 1);
            from_last.take(count).for_each(|v| out.bulk(v));
        }
    }
}

/// LPOP and RPOP.
pub fn pop(ctx: &mut Ctx<'_>, args: Args<'_>, end: End, out: &mut Out) -> Result<(), Fail> {
    if args.len() > 3 {
        return Err(Fail::arity(match end {
            End::Left => "lpop",
            End::Right => "rpop",
        }));
    }
    let count = match args.get(2) {
        Some(arg) => Some(args::int_from(arg, 0, Fail::OUT_OF_RANGE_POSITIVE)? as usize),
        None => None,
    };
    let key = args[1];
    let taken = match (ctx.list_write(key)?, count) {
        (None, None) => {
            out.null();
            return Ok(());
        }
        (None, Some(_)) => {
            out.null_array();
            return Ok(());
        }
        (Some(list), None) => {
            out.bulk_or_null(at_end(list, end));
            1
        }
        (Some(list), Some(count)) => {
            let count = count.min(list.len());
            reply_popped(list, end, count, out);
            count
        }
    };
    if taken > 0 {
        take(ctx, key, end, taken)?;
    }
    Ok(())
}

fn at_end(list: &List, end: End) -> Option<&[u8]> {
    match end {
        End::Left => list.get(0),
        End::Right => list.get(list.len().checked_sub(1)?),
    }
}

/// What LMPOP and BLMPOP ask for.
pub struct Multi<'a> {
    pub keys: Args<'a>,
    pub end: End,
    /// Elements, at most; 1 or more.
    pub count: usize,
}

impl<'a> Multi<'a> {
    /// Reads `numkeys key… LEFT|RIGHT [COUNT count]`.
    pub fn parse(mut args: Cursor<'a>) -> Result<Self, Fail> {
        let no_keys = Fail::new("ERR numkeys should be greater than 0");
        let numkeys = args::int_from(args.next()?, 1, no_keys)? as usize;
        let rest = args.rest();
        if numkeys >= rest.len() {
            return Err(Fail::SYNTAX);
        }
        let end = End::parse(rest[numkeys])?;
        let mut options = Cursor::from(rest, numkeys + 1);
        let mut count = None;
        while !options.is_empty() {
            if count.is_some() || options.left() < 2 || !options.keyword("count") {
                return Err(Fail::SYNTAX);
            }
            let none = Fail::new("ERR count should be greater than 0");
            count = Some(args::int_from(options.next()?, 1, none)? as usize);
        }
        Ok(Multi {
            keys: &rest[..numkeys],
            end,
            count: count.unwrap_or(1),
        })
    }
}

/// Pops from the first of the lists that is there and replies its key and the elements; false, and no
/// reply, where none is.
pub fn pop_first(ctx: &mut Ctx<'_>, multi: &Multi<'_>, out: &mut Out) -> Result<bool, Fail> {
    for key in multi.keys {
        let Some(list) = ctx.list_write(key)? else {
            continue;
        };
        let count = multi.count.min(list.len());
        out.array(2);
        out.bulk(key);
        reply_popped(list, multi.end, count, out);
        take(ctx, key, multi.end, count)?;
        return Ok(true);
    }
    Ok(false)
}

pub fn lmpop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let multi = Multi::parse(Cursor::new(args))?;
    if !pop_first(ctx, &multi, out)? {
        out.null_array();
    }
    Ok(())
}

/// Moves an element from an end of a list to an end of another, or of the same, and returns it;
/// `None`, with nothing looked at but the source, where that is absent.
pub fn move_one(
    ctx: &mut Ctx<'_>,
    (from, from_end): (&[u8], End),
    (to, to_end): (&[u8], End),
) -> Result<Option<Box<[u8]>>, Fail> {
    let Some(list) = ctx.list_write(from)? else {
        return Ok(None);
    };
    let len = list.len();
    let Some(value) = at_end(list, from_end).map(Box::<[u8]>::from) else {
        return Ok(None);
    };
    ctx.list_write(to)?;
    if from != to {
        cut(ctx, from, from_end, 1)?;
        add(ctx, to, to_end, &value)?;
    } else if from_end != to_end && len > 1 {
        // Pushed first, so that the key and its expiry outlive the pop.
        add(ctx, to, to_end, &value)?;
        cut(ctx, from, from_end, 1)?;
    } else {
        // Nothing moves, and yet Redis counts it as a change.
        ctx.touched(ctx.db, to);
    }
    ctx.notify(notify::LIST, to_end.pushed(), to);
    notify_gone(ctx, from_end.popped(), from);
    Ok(Some(value))
}

fn reply_moved(
    ctx: &mut Ctx<'_>,
    from: (&[u8], End),
    to: (&[u8], End),
    out: &mut Out,
) -> Result<(), Fail> {
    let value = move_one(ctx, from, to)?;
    out.bulk_or_null(value.as_deref());
    Ok(())
}

pub fn lmove(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (from, to) = (End::parse(args[3])?, End::parse(args[4])?);
    reply_moved(ctx, (args[1], from), (args[2], to), out)
}

pub fn rpoplpush(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    reply_moved(ctx, (args[1], End::Right), (args[2], End::Left), out)
}
