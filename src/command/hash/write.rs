//! Hash commands that change fields.

use crate::base::number::{self, LongDouble};
use crate::command::settings::notify;
use crate::command::{Args, Ctx, Fail, args as arg};
use crate::mutation::Mutation;
use crate::resp::Out;

/// Sets a field; says whether it is new. The key was looked at.
fn set_field(ctx: &mut Ctx<'_>, key: &[u8], field: &[u8], value: &[u8]) -> Result<bool, Fail> {
    let db = ctx.db;
    let hash = ctx
        .peek(db, key)
        .and_then(|e| crate::command::ctx::as_hash(&e.value));
    let was = hash.and_then(|h| h.get(field));
    let (new, same) = (was.is_none(), was == Some(value));
    if same {
        ctx.touched(db, key);
    } else {
        ctx.apply(Mutation::HashSet {
            db,
            key,
            field,
            value,
        })?;
    }
    Ok(new)
}

/// The notification of a write.
fn wrote(ctx: &mut Ctx<'_>, key: &[u8], event: &'static str) {
    ctx.notify(notify::HASH, event, key);
}

pub(super) fn hset(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let new = set_fields(ctx, args, "hset")?;
    out.int(new);
    Ok(())
}

pub(super) fn hmset(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    set_fields(ctx, args, "hmset")?;
    out.ok();
    Ok(())
}

fn set_fields(ctx: &mut Ctx<'_>, args: Args<'_>, name: &str) -> Result<i64, Fail> {
    let (pairs, rest) = args[2..].as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Fail::arity(name));
    }
    let key = args[1];
    ctx.hash_write(key)?;
    let mut new = 0;
    for [field, value] in pairs {
        new += i64::from(set_field(ctx, key, field, value)?);
    }
    wrote(ctx, key, "hset");
    Ok(new)
}

pub(super) fn hsetnx(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (key, field, value) = (args[1], args[2], args[3]);
    let hash = ctx.hash_write(key)?;
    if hash.is_some_and(|h| h.contains(field)) {
        out.int(0);
        return Ok(());
    }
    set_field(ctx, key, field, value)?;
    wrote(ctx, key, "hset");
    out.int(1);
    Ok(())
}

pub(super) fn hincrby(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (key, field) = (args[1], args[2]);
    let increment = arg::int(args[3])?;
    let hash = ctx.hash_write(key)?;
    let was = match hash.and_then(|h| h.get(field)) {
        Some(value) => {
            number::parse_i64(value).ok_or(Fail::new("ERR hash value is not an integer"))?
        }
        None => 0,
    };
    let value = was.checked_add(increment).ok_or(Fail::OVERFLOW)?;
    set_field(ctx, key, field, &number::format_i64(value))?;
    wrote(ctx, key, "hincrby");
    out.int(value);
    Ok(())
}

pub(super) fn hincrbyfloat(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (key, field) = (args[1], args[2]);
    let increment = LongDouble::parse(args[3]).ok_or(Fail::NOT_FLOAT)?;
    if increment.is_infinite() {
        return Err(Fail::new("ERR value is NaN or Infinity"));
    }
    let hash = ctx.hash_write(key)?;
    let was = match hash.and_then(|h| h.get(field)) {
        Some(value) => {
            LongDouble::parse(value).ok_or(Fail::new("ERR hash value is not a float"))?
        }
        None => LongDouble::ZERO,
    };
    let value = was + increment;
    if value.is_nan() || value.is_infinite() {
        return Err(Fail::NAN_OR_INF);
    }
    let text = value.to_human();
    set_field(ctx, key, field, text.as_bytes())?;
    wrote(ctx, key, "hincrbyfloat");
    out.bulk(text.as_bytes());
    Ok(())
}

pub(super) fn hdel(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (db, key) = (ctx.db, args[1]);
    ctx.hash_write(key)?;
    let mut gone = 0;
    for &field in &args[2..] {
        let hash = ctx
            .peek(db, key)
            .and_then(|e| crate::command::ctx::as_hash(&e.value));
        if hash.is_some_and(|h| h.contains(field)) {
            ctx.apply(Mutation::HashDel { db, key, field })?;
            gone += 1;
        }
    }
    if gone > 0 {
        ctx.notify(notify::HASH, "hdel", key);
        if ctx.peek(db, key).is_none() {
            ctx.notify(notify::GENERIC, "del", key);
        }
    }
    out.int(gone);
    Ok(())
}
