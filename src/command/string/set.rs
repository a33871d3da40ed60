//! Setting whole values: SET and its older forms, GETSET, MSET and MSETNX.
//!
//! An expiry in the past is stored as it is, as in Redis: the key is gone at the next look.

use super::super::settings::notify;
use super::super::{Args, Ctx, Cursor, Fail};
use super::expiry::{Lifetime, Unit};
use super::get::reply_value;
use crate::resp::Out;

/// On what condition a value is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// NX: the key must be absent.
    Absent,
    /// XX: the key must be present.
    Present,
}

/// SET and its forms, with their arguments told apart.
struct Set<'a> {
    /// Named by errors.
    command: &'static str,
    key: &'a [u8],
    value: &'a [u8],
    when: When,
    lifetime: Lifetime<'a>,
    /// Reply the value that was there.
    get: bool,
}

impl<'a> Set<'a> {
    fn new(command: &'static str, key: &'a [u8], value: &'a [u8]) -> Self {
        Set {
            command,
            key,
            value,
            when: When::Always,
            lifetime: Lifetime::Unsaid,
            get: false,
        }
    }

    fn parse(args: Args<'a>) -> Result<Self, Fail> {
        let mut set = Set::new("set", args[1], args[2]);
        let mut cursor = Cursor::from(args, 3);
        while !cursor.is_empty() {
            if cursor.keyword("NX") {
                set.require(When::Absent)?;
            } else if cursor.keyword("XX") {
                set.require(When::Present)?;
            } else if cursor.keyword("GET") {
                set.get = true;
            } else if !set.lifetime.take_for_set(&mut cursor)? {
                return Err(Fail::SYNTAX);
            }
        }
        Ok(set)
    }

    fn require(&mut self, when: When) -> Result<(), Fail> {
        if self.when != When::Always && self.when != when {
            return Err(Fail::SYNTAX);
        }
        self.when = when;
        Ok(())
    }

    /// Sets the value where the condition holds; says whether it did. Replies only what GET asks for.
    fn run(&self, ctx: &mut Ctx<'_>, out: &mut Out) -> Result<bool, Fail> {
        let until = self.lifetime.resolve(ctx.now, self.command)?;
        if self.get {
            reply_value(ctx, self.key, out)?;
        }
        let was = ctx.lookup_write(self.key).map(|entry| entry.expire_at);
        match self.when {
            When::Absent if was.is_some() => return Ok(false),
            When::Present if was.is_none() => return Ok(false),
            _ => {}
        }
        let expire_at = match self.lifetime {
            Lifetime::Keep => was,
            _ => until,
        };
        ctx.set_string(self.key, self.value, expire_at.unwrap_or(0))?;
        ctx.notify(notify::STRING, "set", self.key);
        if until.is_some() {
            ctx.notify(notify::GENERIC, "expire", self.key);
        }
        Ok(true)
    }
}

/// SET key value [NX | XX] [GET] [EX seconds | PX ms | EXAT time | PXAT time | KEEPTTL]
pub fn set(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let set = Set::parse(args)?;
    let done = set.run(ctx, out)?;
    match (set.get, done) {
        (true, _) => {}
        (false, true) => out.ok(),
        (false, false) => out.null(),
    }
    Ok(())
}

/// SETNX key value
pub fn setnx(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let mut set = Set::new("setnx", args[1], args[2]);
    set.when = When::Absent;
    let done = set.run(ctx, out)?;
    out.int(i64::from(done));
    Ok(())
}

/// SETEX key seconds value
pub fn setex(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    set_for(ctx, args, "setex", Unit::Ex, out)
}

/// PSETEX key milliseconds value
pub fn psetex(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    set_for(ctx, args, "psetex", Unit::Px, out)
}

fn set_for(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    command: &'static str,
    unit: Unit,
    out: &mut Out,
) -> Result<(), Fail> {
    let mut set = Set::new(command, args[1], args[3]);
    set.lifetime = Lifetime::Until(unit, args[2]);
    set.run(ctx, out)?;
    out.ok();
    Ok(())
}

/// GETSET key value
pub fn getset(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let mut set = Set::new("getset", args[1], args[2]);
    set.get = true;
    set.run(ctx, out)?;
    Ok(())
}

/// MSET key value [key value ...]
pub fn mset(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let pairs = pairs("mset", args)?;
    set_all(ctx, pairs)?;
    out.ok();
    Ok(())
}

/// MSETNX key value [key value ...]: all of them, or none where one key is present.
pub fn msetnx(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let pairs = pairs("msetnx", args)?;
    for pair in pairs.chunks_exact(2) {
        if ctx.lookup_write(pair[0]).is_some() {
            out.int(0);
            return Ok(());
        }
    }
    set_all(ctx, pairs)?;
    out.int(1);
    Ok(())
}

fn pairs<'a>(command: &str, args: Args<'a>) -> Result<Args<'a>, Fail> {
    if args.len().is_multiple_of(2) {
        return Err(Fail::arity(command));
    }
    Ok(&args[1..])
}

fn set_all(ctx: &mut Ctx<'_>, pairs: Args<'_>) -> Result<(), Fail> {
    for pair in pairs.chunks_exact(2) {
        ctx.lookup_write(pair[0]);
        ctx.set_string(pair[0], pair[1], 0)?;
        ctx.notify(notify::STRING, "set", pair[0]);
    }
    Ok(())
}
