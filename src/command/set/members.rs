//! Set commands about members that the request names, or about all of one set.

use crate::command::settings::notify;
use crate::command::{Args, Ctx, Fail, scan};
use crate::data::Set;
use crate::mutation::Mutation;
use crate::resp::Out;

fn contains(ctx: &Ctx<'_>, key: &[u8], member: &[u8]) -> Result<bool, Fail> {
    Ok(ctx.peek_set(key)?.is_some_and(|set| set.contains(member)))
}

/// Adds a member to a key that was looked at; says whether it is new.
fn add(ctx: &mut Ctx<'_>, key: &[u8], member: &[u8]) -> Result<bool, Fail> {
    if contains(ctx, key, member)? {
        return Ok(false);
    }
    let db = ctx.db;
    ctx.apply(Mutation::SetAdd { db, key, member })?;
    Ok(true)
}

/// Takes a member out of a key that was looked at; says whether it was there.
fn remove(ctx: &mut Ctx<'_>, key: &[u8], member: &[u8]) -> Result<bool, Fail> {
    if !contains(ctx, key, member)? {
        return Ok(false);
    }
    let db = ctx.db;
    ctx.apply(Mutation::SetDel { db, key, member })?;
    Ok(true)
}

/// Notifies of a removal, and of the key's end where that was the last member.
pub(super) fn removed(ctx: &mut Ctx<'_>, key: &[u8], event: &'static str) {
    ctx.notify(notify::SET, event, key);
    if ctx.peek(ctx.db, key).is_none() {
        ctx.notify(notify::GENERIC, "del", key);
    }
}

pub(super) fn sadd(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let key = args[1];
    ctx.set_write(key)?;
    let mut added = 0;
    for member in &args[2..] {
        added += i64::from(add(ctx, key, member)?);
    }
    if added > 0 {
        ctx.notify(notify::SET, "sadd", key);
    }
    out.int(added);
    Ok(())
}

pub(super) fn srem(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let key = args[1];
    ctx.set_write(key)?;
    let mut gone = 0;
    for member in &args[2..] {
        gone += i64::from(remove(ctx, key, member)?);
    }
    if gone > 0 {
        removed(ctx, key, "srem");
    }
    out.int(gone);
    Ok(())
}

pub(super) fn smove(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (from, to, member) = (args[1], args[2], args[3]);
    ctx.lookup_write(from);
    ctx.lookup_write(to);
    // The destination's type matters only where there is a source.
    if ctx.peek_set(from)?.is_none() {
        out.int(0);
        return Ok(());
    }
    ctx.peek_set(to)?;
    if from == to || !contains(ctx, from, member)? {
        out.int(contains(ctx, from, member)?.into());
        return Ok(());
    }
    remove(ctx, from, member)?;
    removed(ctx, from, "srem");
    if add(ctx, to, member)? {
        ctx.notify(notify::SET, "sadd", to);
    }
    out.int(1);
    Ok(())
}

pub(super) fn scard(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let set = ctx.set(args[1])?;
    out.len_int(set.map_or(0, Set::len));
    Ok(())
}

pub(super) fn sismember(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let set = ctx.set(args[1])?;
    out.int(set.is_some_and(|s| s.contains(args[2])).into());
    Ok(())
}

pub(super) fn smismember(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let set = ctx.set(args[1])?;
    out.array(args.len() - 2);
    for member in &args[2..] {
        out.int(set.is_some_and(|s| s.contains(member)).into());
    }
    Ok(())
}

pub(super) fn smembers(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let Some(set) = ctx.set(args[1])? else {
        out.set(0);
        return Ok(());
    };
    out.set(set.len());
    set.iter().for_each(|member| out.bulk(&member));
    Ok(())
}

pub(super) fn sscan(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let cursor = scan::cursor(args[2])?;
    let Some(set) = ctx.set(args[1])? else {
        scan::nothing(out);
        return Ok(());
    };
    let options = scan::options(args)?;
    let mut found: Vec<Box<[u8]>> = Vec::new();
    let next = set.scan(cursor, options.count, |member| {
        if options.matches(member) {
            found.push(member.into());
        }
    });
    scan::reply(out, next, |out| {
        found.iter().for_each(|member| out.bulk(member));
        found.len()
    });
    Ok(())
}
