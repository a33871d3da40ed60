//! Intersections, unions and differences of sets, replied or stored.
//!
//! **Invariant**: sources are read where they lie; only what is stored is copied, before the destination
//! (which may be a source) is replaced.

use crate::command::settings::notify;
use crate::command::{Args, Ctx, Cursor, Fail, args as arg};
use crate::data::{Set, View};
use crate::mutation::Mutation;
use crate::resp::Out;

/// What is made of several sets.
#[derive(Clone, Copy)]
enum Op {
    Inter,
    Union,
    Diff,
}

impl Op {
    /// Visits each member of the result once, until `take` says to stop. An absent key is an empty set.
    fn visit<'a>(self, sets: &[Option<&'a Set>], take: impl FnMut(View<'a>) -> bool) {
        match self {
            Op::Inter => inter(sets, take),
            Op::Union => union(sets, take),
            Op::Diff => diff(sets, take),
        }
    }
}

fn each<'a>(members: impl Iterator<Item = View<'a>>, mut take: impl FnMut(View<'a>) -> bool) {
    for member in members {
        if !take(member) {
            return;
        }
    }
}

/// The smallest set decides how much work it is.
fn inter<'a>(sets: &[Option<&'a Set>], take: impl FnMut(View<'a>) -> bool) {
    let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<_>>>() else {
        return;
    };
    sets.sort_by_key(|set| set.len());
    if let Some((smallest, others)) = sets.split_first() {
        let members = smallest.iter();
        each(
            members.filter(|m| others.iter().all(|set| set.contains(m))),
            take,
        );
    }
}

fn union<'a>(sets: &[Option<&'a Set>], take: impl FnMut(View<'a>) -> bool) {
    let sets: Vec<&Set> = sets.iter().copied().flatten().collect();
    if let [one] = sets[..] {
        return each(one.iter(), take);
    }
    let mut seen = hashbrown::HashSet::new();
    let members = sets.into_iter().flat_map(Set::iter);
    each(members.filter(|&member| seen.insert(member)), take);
}

/// Either asks the other sets for each member of the first, or strikes their members from it: whichever is
/// less work.
fn diff<'a>(sets: &[Option<&'a Set>], take: impl FnMut(View<'a>) -> bool) {
    let Some((Some(first), others)) = sets.split_first() else {
        return;
    };
    let mut others: Vec<&Set> = others.iter().copied().flatten().collect();
    if others.iter().any(|set| std::ptr::eq(*set, *first)) {
        return;
    }
    let asking = first.len().saturating_mul(others.len() + 1) / 2;
    let striking = others
        .iter()
        .fold(first.len(), |sum, set| sum.saturating_add(set.len()));
    if asking <= striking {
        // A member is most likely in the largest.
        others.sort_by_key(|set| std::cmp::Reverse(set.len()));
        let members = first.iter();
        return each(
            members.filter(|m| !others.iter().any(|set| set.contains(m))),
            take,
        );
    }
    let mut left: hashbrown::HashSet<View<'_>> = first.iter().collect();
    for member in others.into_iter().flat_map(Set::iter) {
        left.remove(&member);
    }
    each(left.into_iter(), take);
}

/// Looks at all keys, then holds their sets at once.
fn sources<'a>(ctx: &'a mut Ctx<'_>, keys: Args<'_>) -> Result<Vec<Option<&'a Set>>, Fail> {
    for key in keys {
        ctx.set(key)?;
    }
    let ctx = &*ctx;
    keys.iter().map(|key| ctx.peek_set(key)).collect()
}

fn reply(ctx: &mut Ctx<'_>, op: Op, keys: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let sets = sources(ctx, keys)?;
    let begun = out.deferred();
    let mut count = 0;
    op.visit(&sets, |member| {
        out.bulk(&member);
        count += 1;
        true
    });
    out.end_set(begun, count);
    Ok(())
}

fn store(
    ctx: &mut Ctx<'_>,
    op: Op,
    event: &'static str,
    args: Args<'_>,
    out: &mut Out,
) -> Result<(), Fail> {
    let (db, key) = (ctx.db, args[1]);
    let mut result: Vec<Box<[u8]>> = Vec::new();
    op.visit(&sources(ctx, &args[2..])?, |member| {
        result.push(member.to_boxed());
        true
    });
    let replaced = ctx.delete(key)?;
    for member in &result {
        ctx.apply(Mutation::SetAdd { db, key, member })?;
    }
    if !result.is_empty() {
        ctx.notify(notify::SET, event, key);
    } else if replaced {
        ctx.notify(notify::GENERIC, "del", key);
    }
    out.len_int(result.len());
    Ok(())
}

pub(super) fn sinter(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    reply(ctx, Op::Inter, &args[1..], out)
}

pub(super) fn sunion(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    reply(ctx, Op::Union, &args[1..], out)
}

pub(super) fn sdiff(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    reply(ctx, Op::Diff, &args[1..], out)
}

pub(super) fn sinterstore(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    store(ctx, Op::Inter, "sinterstore", args, out)
}

pub(super) fn sunionstore(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    store(ctx, Op::Union, "sunionstore", args, out)
}

pub(super) fn sdiffstore(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    store(ctx, Op::Diff, "sdiffstore", args, out)
}

pub(super) fn sintercard(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let keys = arg::int(args[1])
        .ok()
        .filter(|&n| n > 0)
        .ok_or(Fail::new("ERR numkeys should be greater than 0"))?;
    let keys = usize::try_from(keys)
        .ok()
        .filter(|&n| n <= args.len() - 2)
        .ok_or(Fail::new(
            "ERR Number of keys can't be greater than number of args",
        ))?;
    let mut limit = 0;
    let mut options = Cursor::from(args, 2 + keys);
    while !options.is_empty() {
        if !options.keyword("limit") {
            return Err(Fail::SYNTAX);
        }
        limit = arg::int(options.next()?)
            .ok()
            .and_then(|n| usize::try_from(n).ok())
            .ok_or(Fail::new("ERR LIMIT can't be negative"))?;
    }
    let mut count = 0;
    inter(&sources(ctx, &args[2..2 + keys])?, |_| {
        count += 1;
        limit == 0 || count < limit
    });
    out.len_int(count);
    Ok(())
}
