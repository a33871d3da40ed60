//! EXPIRE and its kin, TTL and its kin, PERSIST.
//!
//! Times become absolute here, from the service time: what is logged is when, never how long.

use crate::command::args as arg;
use crate::command::settings::notify;
use crate::command::{Args, Ctx, Fail};
use crate::mutation::Mutation;
use crate::resp::Out;

/// NX, XX, GT, LT.
#[derive(Default)]
struct When {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl When {
    fn parse(options: Args<'_>) -> Result<When, Fail> {
        let mut when = When::default();
        for option in options {
            let flag = match &option.to_ascii_lowercase()[..] {
                b"nx" => &mut when.nx,
                b"xx" => &mut when.xx,
                b"gt" => &mut when.gt,
                b"lt" => &mut when.lt,
                _ => {
                    let shown = String::from_utf8_lossy(option);
                    return Err(Fail::text(format!("ERR Unsupported option {shown}")));
                }
            };
            *flag = true;
        }
        if when.nx && (when.xx || when.gt || when.lt) {
            return Err(Fail::new(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if when.gt && when.lt {
            return Err(Fail::new(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(when)
    }

    /// Whether a key that expires at `was` (0: never) gets `at`.
    fn allows(&self, was: u64, at: i64) -> bool {
        let was = (was != 0).then_some(was as i64);
        !(self.nx && was.is_some()
            || self.xx && was.is_none()
            // Never is later than any time.
            || self.gt && was.is_none_or(|was| at <= was)
            || self.lt && was.is_some_and(|was| at >= was))
    }
}

/// A time that stands for itself or counts from `base`, in units of `unit` milliseconds.
fn set(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out, base: u64, unit: i64) -> Result<(), Fail> {
    let key = args[1];
    let when = When::parse(&args[3..])?;
    let invalid = || Fail::expire_time(&String::from_utf8_lossy(args[0]));
    let at = arg::int(args[2])?.checked_mul(unit).ok_or_else(invalid)?;
    let at = at.checked_add(base as i64).ok_or_else(invalid)?;
    let db = ctx.db;
    let Some(was) = ctx.lookup_write(key).map(|e| e.expire_at) else {
        out.int(0);
        return Ok(());
    };
    if !when.allows(was, at) {
        out.int(0);
        return Ok(());
    }
    match u64::try_from(at).ok().filter(|&at| at > ctx.now) {
        Some(at) => {
            if at == was {
                ctx.touched(db, key);
            } else {
                ctx.apply(Mutation::Expire { db, key, at })?;
            }
            ctx.notify(notify::GENERIC, "expire", key);
        }
        // Its time has come already.
        None => {
            ctx.delete(key)?;
            ctx.notify(notify::GENERIC, "del", key);
        }
    }
    out.int(1);
    Ok(())
}

pub(super) fn expire(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let now = ctx.now;
    set(ctx, args, out, now, 1000)
}

pub(super) fn pexpire(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let now = ctx.now;
    set(ctx, args, out, now, 1)
}

pub(super) fn expireat(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    set(ctx, args, out, 0, 1000)
}

pub(super) fn pexpireat(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    set(ctx, args, out, 0, 1)
}

/// -2 for an absent key, -1 for one that never expires, else what `show` makes of its time and now.
fn time(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut Out,
    show: impl Fn(u64, u64) -> u64,
) -> Result<(), Fail> {
    let at = ctx.lookup_untouched(args[1]).map(|e| e.expire_at);
    out.int(match at {
        None => -2,
        Some(0) => -1,
        Some(at) => show(at, ctx.now) as i64,
    });
    Ok(())
}

pub(super) fn ttl(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    time(ctx, args, out, |at, now| {
        (at.saturating_sub(now) + 500) / 1000
    })
}

pub(super) fn pttl(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    time(ctx, args, out, |at, now| at.saturating_sub(now))
}

pub(super) fn expiretime(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    time(ctx, args, out, |at, _| (at + 500) / 1000)
}

pub(super) fn pexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    time(ctx, args, out, |at, _| at)
}

pub(super) fn persist(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (db, key) = (ctx.db, args[1]);
    let expires = ctx.lookup_write(key).is_some_and(|e| e.expire_at != 0);
    if expires {
        ctx.apply(Mutation::Expire { db, key, at: 0 })?;
        ctx.notify(notify::GENERIC, "persist", key);
    }
    out.int(expires.into());
    Ok(())
}
