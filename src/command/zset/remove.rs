//! Taking members out: ZREM, ZREMRANGEBY*, ZPOPMIN, ZPOPMAX, ZMPOP.

use super::query::By;
use super::{Member, Shape, emit, range};
use crate::command::args::{int, is};
use crate::command::settings::notify;
use crate::command::{Args, Ctx, Cursor, Fail};
use crate::data::ZSet;
use crate::mutation::Mutation;
use crate::resp::Out;

/// An end of a sorted set, from which members are popped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Min,
    Max,
}

/// ZREM key member [member ...]
pub fn zrem(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let key = args[1];
    ctx.zset_write(key)?;
    let mut removed = 0;
    for member in &args[2..] {
        let Some(zset) = ctx.peek_zset(key)? else {
            break;
        };
        if zset.score(member).is_some() {
            take_out(ctx, key, member)?;
            removed += 1;
        }
    }
    tell(ctx, key, removed, "zrem");
    out.len_int(removed);
    Ok(())
}

/// ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX key min max
pub fn range(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut Out,
    by: By,
    event: &'static str,
) -> Result<(), Fail> {
    let key = args[1];
    let range = by.range(args[2], args[3])?;
    let members: Vec<Box<[u8]>> = match ctx.zset_write(key)? {
        None => Vec::new(),
        Some(zset) => {
            let span = range.span(zset, false);
            let members = range::members(zset, span, false);
            members.map(|(member, _)| member.into()).collect()
        }
    };
    for member in &members {
        take_out(ctx, key, member)?;
    }
    tell(ctx, key, members.len(), event);
    out.len_int(members.len());
    Ok(())
}

/// ZPOPMIN and ZPOPMAX key [count]
pub fn zpop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out, end: End) -> Result<(), Fail> {
    let count = match args {
        [_, _] => None,
        [_, _, count] => {
            let count = int(count).ok().and_then(|count| u64::try_from(count).ok());
            Some(count.ok_or(Fail::OUT_OF_RANGE_POSITIVE)?)
        }
        _ => return Err(Fail::SYNTAX),
    };
    let popped = pop(ctx, args[1], end, count.unwrap_or(1))?;
    let shape = match count {
        Some(_) if !popped.is_empty() => Shape::scores(true, out),
        _ => Shape::Flat,
    };
    emit(out, popped.len(), popped, shape);
    Ok(())
}

/// ZMPOP numkeys key [key ...] MIN|MAX [COUNT count]
pub fn zmpop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (keys, end, count) = mpop_arguments(args, 1)?;
    if !pop_first(ctx, keys, end, count, out)? {
        out.null_array();
    }
    Ok(())
}

/// Pops from the first of the sorted sets that is there and replies its key and the members; false, and
/// no reply, where none is.
pub fn pop_first(
    ctx: &mut Ctx<'_>,
    keys: Args<'_>,
    end: End,
    count: u64,
    out: &mut Out,
) -> Result<bool, Fail> {
    for key in keys {
        if ctx.zset_write(key)?.is_some() {
            let popped = pop(ctx, key, end, count)?;
            out.array(2);
            out.bulk(key);
            emit(out, popped.len(), popped, Shape::Pairs);
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads `numkeys key [key ...] MIN|MAX [COUNT count]` from the argument `at` on: ZMPOP, BZMPOP.
pub fn mpop_arguments(args: Args<'_>, at: usize) -> Result<(Args<'_>, End, u64), Fail> {
    let at_least_one = |arg: &[u8], message| {
        let number = int(arg).ok().filter(|number| *number > 0);
        number.map(i64::unsigned_abs).ok_or(Fail::new(message))
    };
    let keys = at_least_one(args[at], "ERR numkeys should be greater than 0")?;
    let first = at + 1;
    let left = (args.len() - first) as u64;
    if keys >= left {
        return Err(Fail::SYNTAX);
    }
    let keys = &args[first..first + keys as usize];
    let mut cursor = Cursor::from(args, first + keys.len());
    let end = if cursor.keyword("min") {
        End::Min
    } else if cursor.keyword("max") {
        End::Max
    } else {
        return Err(Fail::SYNTAX);
    };
    let count = match cursor.rest() {
        [] => 1,
        [option, count, rest @ ..] if is(option, "count") => {
            let count = at_least_one(count, "ERR count should be greater than 0")?;
            if !rest.is_empty() {
                return Err(Fail::SYNTAX);
            }
            count
        }
        _ => return Err(Fail::SYNTAX),
    };
    Ok((keys, end, count))
}

/// Takes at most `count` members from an end of a sorted set, the outermost first; none where the
/// key is absent.
pub fn pop(ctx: &mut Ctx<'_>, key: &[u8], end: End, count: u64) -> Result<Vec<Member>, Fail> {
    let zset = ctx.zset_write(key)?;
    let members = zset.map_or_else(Vec::new, |zset| outermost(zset, end, count));
    for (member, _) in &members {
        take_out(ctx, key, member)?;
    }
    let event = match end {
        End::Min => "zpopmin",
        End::Max => "zpopmax",
    };
    tell(ctx, key, members.len(), event);
    Ok(members)
}

fn outermost(zset: &ZSet, end: End, count: u64) -> Vec<Member> {
    let rev = end == End::Max;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let span = range::limit(0..zset.len(), rev, 0, count);
    let members = range::members(zset, span, rev);
    members.map(|(member, s)| (member.into(), s)).collect()
}

fn take_out(ctx: &mut Ctx<'_>, key: &[u8], member: &[u8]) -> Result<(), Fail> {
    ctx.apply(Mutation::ZSetDel {
        db: ctx.db,
        key,
        member,
    })
}

/// Notifications of members that were taken out, and of the key that went with the last one.
fn tell(ctx: &mut Ctx<'_>, key: &[u8], removed: usize, event: &'static str) {
    if removed == 0 {
        return;
    }
    ctx.notify(notify::ZSET, event, key);
    if ctx.peek(ctx.db, key).is_none() {
        ctx.notify(notify::GENERIC, "del", key);
    }
}
