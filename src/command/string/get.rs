//! Reading whole values: GET, MGET, and GETDEL and GETEX, which also change the key.

use super::super::settings::notify;
use super::super::{Args, Ctx, Cursor, Fail};
use super::expiry::Lifetime;
use crate::keyspace::Value;
use crate::mutation::Mutation;
use crate::resp::Out;

/// GET key
pub fn get(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    reply_value(ctx, args[1], out)?;
    Ok(())
}

/// Replies a key's string, or the null; says whether there is one.
pub fn reply_value(ctx: &mut Ctx<'_>, key: &[u8], out: &mut Out) -> Result<bool, Fail> {
    let value = ctx.string(key)?;
    match value {
        Some(value) => out.bulk(&value.as_bytes()),
        None => out.null(),
    }
    Ok(value.is_some())
}

/// MGET key [key ...]: what is no string is a null.
pub fn mget(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.array(args.len() - 1);
    for key in &args[1..] {
        match ctx
            .lookup(key)
            .map(|entry| &entry.value)
            .and_then(Value::as_str)
        {
            Some(value) => out.bulk(&value.as_bytes()),
            None => out.null(),
        }
    }
    Ok(())
}

/// GETDEL key
pub fn getdel(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if reply_value(ctx, args[1], out)? {
        remove(ctx, args[1])?;
    }
    Ok(())
}

/// GETEX key [EX seconds | PX ms | EXAT time | PXAT time | PERSIST]
pub fn getex(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let key = args[1];
    let mut lifetime = Lifetime::Unsaid;
    let mut cursor = Cursor::from(args, 2);
    while !cursor.is_empty() {
        if !lifetime.take_for_get(&mut cursor)? {
            return Err(Fail::SYNTAX);
        }
    }
    // An absent key or one of another type is told before a bad expiry.
    if !reply_value(ctx, key, out)? {
        return Ok(());
    }
    match (lifetime, lifetime.resolve(ctx.now, "getex")?) {
        (Lifetime::Until(unit, _), Some(at)) if unit.is_absolute() && at <= ctx.now => {
            remove(ctx, key)?;
        }
        (_, Some(at)) => set_expiry(ctx, key, at, "expire")?,
        (Lifetime::Persist, _) if ctx.peek(ctx.db, key).is_some_and(|e| e.expire_at != 0) => {
            set_expiry(ctx, key, 0, "persist")?;
        }
        _ => {}
    }
    Ok(())
}

fn remove(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<(), Fail> {
    ctx.apply(Mutation::Del { db: ctx.db, key })?;
    ctx.notify(notify::GENERIC, "del", key);
    Ok(())
}

fn set_expiry(ctx: &mut Ctx<'_>, key: &[u8], at: u64, event: &'static str) -> Result<(), Fail> {
    ctx.apply(Mutation::Expire {
        db: ctx.db,
        key,
        at,
    })?;
    ctx.notify(notify::GENERIC, event, key);
    Ok(())
}
