//! The list commands. [`pop`] has what those that wait ([`waiting`]) share with the others.

mod edit;
pub mod pop;
mod read;
#[cfg(test)]
mod tests;
mod waiting;

use super::settings::notify;
use super::{Args, Ctx, Fail, Handler, args};
use crate::mutation::Mutation;
use crate::resp::Out;

/// Names and handlers.
pub const COMMANDS: &[(&str, Handler)] = &[
    ("blmove", waiting::blmove),
    ("blmpop", waiting::blmpop),
    ("blpop", |ctx, args, out| {
        waiting::bpop(ctx, args, out, End::Left)
    }),
    ("brpop", |ctx, args, out| {
        waiting::bpop(ctx, args, out, End::Right)
    }),
    ("brpoplpush", waiting::brpoplpush),
    ("lindex", read::lindex),
    ("linsert", edit::linsert),
    ("llen", read::llen),
    ("lmove", pop::lmove),
    ("lmpop", pop::lmpop),
    ("lpop", |ctx, args, out| pop::pop(ctx, args, End::Left, out)),
    ("lpos", read::lpos),
    ("lpush", |ctx, args, out| {
        push(ctx, args, End::Left, false, out)
    }),
    ("lpushx", |ctx, args, out| {
        push(ctx, args, End::Left, true, out)
    }),
    ("lrange", read::lrange),
    ("lrem", edit::lrem),
    ("lset", edit::lset),
    ("ltrim", edit::ltrim),
    ("rpop", |ctx, args, out| {
        pop::pop(ctx, args, End::Right, out)
    }),
    ("rpoplpush", pop::rpoplpush),
    ("rpush", |ctx, args, out| {
        push(ctx, args, End::Right, false, out)
    }),
    ("rpushx", |ctx, args, out| {
        push(ctx, args, End::Right, true, out)
    }),
];

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Where element 0 is.
    Left,
    Right,
}

impl End {
    /// LEFT or RIGHT.
    pub fn parse(arg: &[u8]) -> Result<End, Fail> {
        if args::is(arg, "right") {
            Ok(End::Right)
        } else if args::is(arg, "left") {
            Ok(End::Left)
        } else {
            Err(Fail::SYNTAX)
        }
    }

    fn is_front(self) -> bool {
        self == End::Left
    }

    fn pushed(self) -> &'static str {
        match self {
            End::Left => "lpush",
            End::Right => "rpush",
        }
    }

    fn popped(self) -> &'static str {
        match self {
            End::Left => "lpop",
            End::Right => "rpop",
        }
    }
}

fn push(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    end: End,
    only_present: bool,
    out: &mut Out,
) -> Result<(), Fail> {
    let key = args[1];
    let len = match ctx.list_write(key)? {
        None if only_present => {
            out.int(0);
            return Ok(());
        }
        list => list.map_or(0, |list| list.len()),
    };
    for value in &args[2..] {
        add(ctx, key, end, value)?;
    }
    out.len_int(len + args.len() - 2);
    ctx.notify(notify::LIST, end.pushed(), key);
    Ok(())
}

/// Puts an element at an end; says nothing to anyone.
fn add(ctx: &mut Ctx<'_>, key: &[u8], end: End, value: &[u8]) -> Result<(), Fail> {
    ctx.apply(Mutation::ListPush {
        db: ctx.db,
        key,
        front: end.is_front(),
        value,
    })
}

/// Drops elements at an end; says nothing to anyone.
fn cut(ctx: &mut Ctx<'_>, key: &[u8], end: End, count: usize) -> Result<(), Fail> {
    if count == 0 {
        return Ok(());
    }
    ctx.apply(Mutation::ListPop {
        db: ctx.db,
        key,
        front: end.is_front(),
        count: count as u64,
    })
}

/// Elements went: the command's event, and that of the key if it went with the last one.
fn notify_gone(ctx: &mut Ctx<'_>, event: &'static str, key: &[u8]) {
    ctx.notify(notify::LIST, event, key);
    if ctx.ks.entry(ctx.db, key).is_none() {
        ctx.notify(notify::GENERIC, "del", key);
    }
}

/// The range that LRANGE and LTRIM mean by two indexes, negative ones counting from the end, as
/// first element and count.
fn range(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let from_end = |index: i64| if index < 0 { len + index } else { index };
    let (start, stop) = (from_end(start).max(0), from_end(stop).min(len - 1));
    if start > stop || start >= len {
        return (0, 0);
    }
    (start as usize, (stop - start + 1) as usize)
}

/// The element that an index means, negative ones counting from the end.
fn index(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { len as i64 + index } else { index };
    usize::try_from(index).ok().filter(|&i| i < len)
}
