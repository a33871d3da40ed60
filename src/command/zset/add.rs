//! ZADD and ZINCRBY, and the adding of members that GEOADD shares.

use super::put;
use crate::command::args::float;
use crate::command::settings::notify;
use crate::command::{Args, Ctx, Cursor, Fail};
use crate::resp::Out;

/// What ZADD's options allow and count.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Existing members stay as they are.
    pub nx: bool,
    /// No member is new.
    pub xx: bool,
    /// An existing score only grows.
    pub gt: bool,
    /// An existing score only falls.
    pub lt: bool,
    /// The reply counts changed members too.
    pub ch: bool,
    /// The score is added to the old one, and the reply is the new one.
    pub incr: bool,
}

/// ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...]
pub fn zadd(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    parse(ctx, args, Options::default(), out)
}

/// ZINCRBY key increment member
pub fn zincrby(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    // Redis looks for ZADD's options here too, so an increment "nx" is a syntax error, no bad float.
    let options = Options {
        incr: true,
        ..Options::default()
    };
    parse(ctx, args, options, out)
}

fn parse(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    mut options: Options,
    out: &mut Out,
) -> Result<(), Fail> {
    let mut cursor = Cursor::from(args, 2);
    loop {
        if options.take(&mut cursor) {
            continue;
        }
        if cursor.keyword("incr") {
            options.incr = true;
        } else if cursor.keyword("gt") {
            options.gt = true;
        } else if cursor.keyword("lt") {
            options.lt = true;
        } else {
            break;
        }
    }
    let rest = cursor.rest();
    if rest.is_empty() || !rest.len().is_multiple_of(2) {
        return Err(Fail::SYNTAX);
    }
    options.check(rest.len() / 2)?;
    let pairs = rest
        .chunks_exact(2)
        .map(|pair| Ok((float(pair[0])?, pair[1])))
        .collect::<Result<Vec<_>, Fail>>()?;
    add(ctx, args[1], options, &pairs, out)
}

impl Options {
    /// Takes NX, XX or CH, which GEOADD knows too; says whether one was there.
    pub fn take(&mut self, cursor: &mut Cursor<'_>) -> bool {
        for (word, option) in [
            ("nx", &mut self.nx),
            ("xx", &mut self.xx),
            ("ch", &mut self.ch),
        ] {
            if cursor.keyword(word) {
                *option = true;
                return true;
            }
        }
        false
    }

    /// Fails where options contradict each other, or the count of members.
    fn check(&self, members: usize) -> Result<(), Fail> {
        if self.nx && self.xx {
            return Err(Fail::new(
                "ERR XX and NX options at the same time are not compatible",
            ));
        }
        if (self.nx && (self.gt || self.lt)) || (self.gt && self.lt) {
            return Err(Fail::new(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if self.incr && members > 1 {
            return Err(Fail::new(
                "ERR INCR option supports a single increment-element pair",
            ));
        }
        Ok(())
    }

    /// The score that a member is to have; `None` where the options leave it alone.
    fn outcome(&self, old: Option<f64>, score: f64) -> Result<Option<f64>, Fail> {
        let Some(old) = old else {
            return Ok((!self.xx).then_some(score));
        };
        if self.nx {
            return Ok(None);
        }
        let new = if self.incr { old + score } else { score };
        if new.is_nan() {
            return Err(Fail::SCORE_NAN);
        }
        let refused = (self.lt && new >= old) || (self.gt && new <= old);
        Ok((!refused).then_some(new))
    }
}

/// Adds members, or changes their scores, and replies as ZADD does. With `incr` there is one pair.
pub fn add(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    options: Options,
    pairs: &[(f64, &[u8])],
    out: &mut Out,
) -> Result<(), Fail> {
    ctx.zset_write(key)?;
    let (mut added, mut updated, mut result) = (0, 0, None);
    for &(score, member) in pairs {
        let old = ctx.peek_zset(key)?.and_then(|zset| zset.score(member));
        let Some(new) = options.outcome(old, score)? else {
            continue;
        };
        result = Some(new);
        if old == Some(new) {
            continue;
        }
        put(ctx, key, member, new)?;
        match old {
            None => added += 1,
            Some(_) => updated += 1,
        }
    }
    match result {
        Some(score) if options.incr => out.double(score),
        None if options.incr => out.null(),
        _ => out.len_int(if options.ch { added + updated } else { added }),
    }
    if added + updated > 0 {
        let event = if options.incr { "zincr" } else { "zadd" };
        ctx.notify(notify::ZSET, event, key);
    }
    Ok(())
}
