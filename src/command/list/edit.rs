//! LINSERT, LREM, LSET, LTRIM.

use super::{End, add, cut, index, notify_gone, range};
use crate::command::settings::notify;
use crate::command::{Args, Ctx, Fail, args};
use crate::data::List;
use crate::mutation::Mutation;
use crate::resp::Out;

pub fn linsert(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let after = args::is(args[2], "after");
    if !after && !args::is(args[2], "before") {
        return Err(Fail::SYNTAX);
    }
    let Some(list) = ctx.list_write(args[1])? else {
        out.int(0);
        return Ok(());
    };
    let len = list.len();
    let Some(pivot) = list.iter().position(|element| element == args[3]) else {
        out.int(-1);
        return Ok(());
    };
    ctx.apply(Mutation::ListInsert {
        db: ctx.db,
        key: args[1],
        index: pivot as u64 + u64::from(after),
        value: args[4],
    })?;
    ctx.notify(notify::LIST, "linsert", args[1]);
    out.len_int(len + 1);
    Ok(())
}

pub fn lset(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let Some(list) = ctx.list_write(args[1])? else {
        return Err(Fail::NO_KEY);
    };
    let index = index(args::int(args[2])?, list.len()).ok_or(Fail::INDEX)?;
    ctx.apply(Mutation::ListSet {
        db: ctx.db,
        key: args[1],
        index: index as u64,
        value: args[3],
    })?;
    ctx.notify(notify::LIST, "lset", args[1]);
    out.ok();
    Ok(())
}

pub fn ltrim(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (start, stop) = (args::int(args[2])?, args::int(args[3])?);
    let key = args[1];
    if let Some(list) = ctx.list_write(key)? {
        let len = list.len();
        let (first, kept) = range(start, stop, len);
        if kept == len {
            // Redis counts this as a change too.
            ctx.touched(ctx.db, key);
        } else if kept == 0 {
            cut(ctx, key, End::Left, len)?;
        } else {
            cut(ctx, key, End::Left, first)?;
            cut(ctx, key, End::Right, len - first - kept)?;
        }
        notify_gone(ctx, "ltrim", key);
    }
    out.ok();
    Ok(())
}

pub fn lrem(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let count = args::int(args[2])?;
    let key = args[1];
    let Some(list) = ctx.list_write(key)? else {
        out.int(0);
        return Ok(());
    };
    let len = list.len();
    let places = matches(list, args[3], count);
    if !places.is_empty() {
        remove(ctx, key, len, &places)?;
        notify_gone(ctx, "lrem", key);
    }
    out.len_int(places.len());
    Ok(())
}

/// The places, ascending, of the elements that LREM removes: of all for a count of 0, else of the
/// first, or with a negative count the last, so many.
fn matches(list: &List, value: &[u8], count: i64) -> Vec<usize> {
    let max = match usize::try_from(count.unsigned_abs()) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(max) => max,
    };
    if count >= 0 {
        let hits = list.iter().enumerate().filter(|(_, v)| *v == value);
        return hits.map(|(i, _)| i).take(max).collect();
    }
    let last = list.len() - 1;
    let hits = list.iter_back_from(last).enumerate();
    let hits = hits.filter(|(_, v)| *v == value).take(max);
    let mut places: Vec<usize> = hits.map(|(i, _)| last - i).collect();
    places.reverse();
    places
}

/// Removing elements one by one may move this many times what taking the list apart does: the latter
/// also writes the elements that stay into the log.
const MOVES_PER_REWRITE: usize = 4;

/// Removes the elements at these places, ascending. Runs at the ends are popped. Within, one removal
/// moves the elements on its shorter side, so many of them would take quadratic time; then the end of
/// the list from the furthest match on is popped and what stays of it pushed again, which is linear.
fn remove(ctx: &mut Ctx<'_>, key: &[u8], len: usize, places: &[usize]) -> Result<(), Fail> {
    let tail = places.iter().rev().zip((0..len).rev());
    let tail = tail.take_while(|(place, i)| **place == *i).count();
    cut(ctx, key, End::Right, tail)?;
    let (len, places) = (len - tail, &places[..places.len() - tail]);
    let head = places.iter().zip(0..).take_while(|(p, i)| **p == *i);
    let head = head.count();
    cut(ctx, key, End::Left, head)?;
    let (len, places) = (len - head, &places[head..]);
    let (Some(first), Some(last)) = (places.first(), places.last()) else {
        return Ok(());
    };
    // The first and the last element stay, so the key lives on whichever end is taken off.
    let (first, last) = (first - head, last - head);
    let (front, back) = (last + 1, len - first);
    let moves: usize = places
        .iter()
        .map(|p| (p - head).min(len - (p - head)))
        .sum();
    if moves <= MOVES_PER_REWRITE * 2 * front.min(back) {
        for place in places.iter().rev() {
            ctx.apply(Mutation::ListRemove {
                db: ctx.db,
                key,
                index: (place - head) as u64,
            })?;
        }
        return Ok(());
    }
    let (end, taken) = if front < back {
        (End::Left, 0..front)
    } else {
        (End::Right, first..len)
    };
    let Some(list) = ctx.list_write(key)? else {
        return Ok(());
    };
    let mut gone = places.iter().map(|p| p - head).peekable();
    let elements = taken.clone().zip(list.iter_from(taken.start));
    let stay = elements.filter(|(i, _)| gone.next_if_eq(i).is_none());
    let mut stay: Vec<Box<[u8]>> = stay.map(|(_, v)| v.into()).collect();
    if end == End::Left {
        stay.reverse();
    }
    cut(ctx, key, end, taken.len())?;
    for value in &stay {
        add(ctx, key, end, value)?;
    }
    Ok(())
}
