//! The sorted set commands.
//!
//! Reading order: [`range`] (which members a command means), [`query`] (ZRANGE and its kin), then
//! by what is done: [`add`], [`remove`], [`read`], [`random`], [`algebra`].
//!
//! **Invariants.** Every form of a range is one [`range::Range`], and every list of members is
//! written by [`emit`]. A mutation carries the score that will be read back: see [`put`].

pub mod add;
mod algebra;
mod query;
mod random;
pub mod range;
mod read;
pub mod remove;
#[cfg(test)]
mod tests;
mod waiting;

use super::settings::notify;
use super::{Ctx, Fail, Handler};
use crate::mutation::Mutation;
use crate::resp::Out;

use algebra::Op;
use query::By;
use remove::End;

/// Names and handlers.
pub const COMMANDS: &[(&str, Handler)] = &[
    ("bzmpop", waiting::bzmpop),
    ("bzpopmax", |c, a, o| waiting::bzpop(c, a, o, End::Max)),
    ("bzpopmin", |c, a, o| waiting::bzpop(c, a, o, End::Min)),
    ("zadd", add::zadd),
    ("zcard", read::zcard),
    ("zcount", query::zcount),
    ("zdiff", |c, a, o| algebra::reply(c, a, o, Op::Diff)),
    ("zdiffstore", |c, a, o| algebra::store(c, a, o, Op::Diff)),
    ("zincrby", add::zincrby),
    ("zinter", |c, a, o| algebra::reply(c, a, o, Op::Inter)),
    ("zintercard", algebra::zintercard),
    ("zinterstore", |c, a, o| algebra::store(c, a, o, Op::Inter)),
    ("zlexcount", query::zlexcount),
    ("zmpop", remove::zmpop),
    ("zmscore", read::zmscore),
    ("zpopmax", |c, a, o| remove::zpop(c, a, o, End::Max)),
    ("zpopmin", |c, a, o| remove::zpop(c, a, o, End::Min)),
    ("zrandmember", random::zrandmember),
    ("zrange", query::zrange),
    ("zrangebylex", |c, a, o| {
        query::fixed(c, a, o, By::Lex, false)
    }),
    ("zrangebyscore", |c, a, o| {
        query::fixed(c, a, o, By::Score, false)
    }),
    ("zrangestore", query::zrangestore),
    ("zrank", |c, a, o| read::rank(c, a, o, false)),
    ("zrem", remove::zrem),
    ("zremrangebylex", |c, a, o| {
        remove::range(c, a, o, By::Lex, "zremrangebylex")
    }),
    ("zremrangebyrank", |c, a, o| {
        remove::range(c, a, o, By::Rank, "zremrangebyrank")
    }),
    ("zremrangebyscore", |c, a, o| {
        remove::range(c, a, o, By::Score, "zremrangebyscore")
    }),
    ("zrevrange", |c, a, o| query::fixed(c, a, o, By::Rank, true)),
    ("zrevrangebylex", |c, a, o| {
        query::fixed(c, a, o, By::Lex, true)
    }),
    ("zrevrangebyscore", |c, a, o| {
        query::fixed(c, a, o, By::Score, true)
    }),
    ("zrevrank", |c, a, o| read::rank(c, a, o, true)),
    ("zscan", read::zscan),
    ("zscore", read::zscore),
    ("zunion", |c, a, o| algebra::reply(c, a, o, Op::Union)),
    ("zunionstore", |c, a, o| algebra::store(c, a, o, Op::Union)),
];

/// A member with its score, apart from the data set.
pub type Member = (Box<[u8]>, f64);

/// How members are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Members alone.
    Members,
    /// Member, score, member, score.
    Flat,
    /// An array for each, of member and score.
    Pairs,
}

impl Shape {
    /// With scores or without, as ZRANGE and most others: pairs are for RESP3 alone.
    pub fn scores(with: bool, out: &Out) -> Shape {
        match (with, out.is_resp3()) {
            (false, _) => Shape::Members,
            (true, false) => Shape::Flat,
            (true, true) => Shape::Pairs,
        }
    }
}

/// Writes exactly `len` members as one array.
pub fn emit<M: AsRef<[u8]>>(
    out: &mut Out,
    len: usize,
    members: impl IntoIterator<Item = (M, f64)>,
    shape: Shape,
) {
    out.array(if shape == Shape::Flat { 2 * len } else { len });
    for (member, score) in members.into_iter().take(len) {
        if shape == Shape::Pairs {
            out.array(2);
        }
        out.bulk(member.as_ref());
        if shape != Shape::Members {
            out.double(score);
        }
    }
}

/// Gives a member a score that it does not have yet.
///
/// Redis loses the sign of a zero in a listpack and keeps it in a skiplist, and clients see it
/// ("-0"). So it is decided here, before the mutation is made, and never again.
pub fn put(ctx: &mut Ctx<'_>, key: &[u8], member: &[u8], score: f64) -> Result<(), Fail> {
    let negative_zero = score == 0.0 && score.is_sign_negative();
    let score = if negative_zero && !large_with(ctx, key, member)? {
        0.0
    } else {
        score
    };
    ctx.apply(Mutation::ZSetAdd {
        db: ctx.db,
        key,
        member,
        score,
    })
}

/// Whether the sorted set is no listpack once it has this member.
fn large_with(ctx: &Ctx<'_>, key: &[u8], member: &[u8]) -> Result<bool, Fail> {
    let zset = ctx.peek_zset(key)?;
    let len = zset.map_or(0, |z| z.len());
    let small = zset.is_none_or(|z| z.encoding() == "listpack");
    let fits = len < ctx.ks.limits.zset_max_listpack_entries
        && member.len() <= ctx.ks.limits.zset_max_listpack_value;
    let known = zset.is_some_and(|z| z.score(member).is_some());
    Ok(!small || !(fits || known))
}

/// Makes a key hold exactly these members, whatever it held; without any, it is deleted.
/// `event` is the notification of the former case.
pub fn replace(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    members: &[Member],
    event: &'static str,
) -> Result<(), Fail> {
    let deleted = ctx.delete(key)?;
    if members.is_empty() {
        if deleted {
            ctx.notify(notify::GENERIC, "del", key);
        }
        return Ok(());
    }
    // The sign of a zero depends on what the whole becomes, so the long ones decide at once.
    let limits = ctx.ks.limits;
    let large = members.len() > limits.zset_max_listpack_entries
        || members
            .iter()
            .any(|(m, _)| m.len() > limits.zset_max_listpack_value);
    for (member, score) in members {
        let score = if *score == 0.0 && !large { 0.0 } else { *score };
        ctx.apply(Mutation::ZSetAdd {
            db: ctx.db,
            key,
            member,
            score,
        })?;
    }
    ctx.notify(notify::ZSET, event, key);
    Ok(())
}
