//! Commands that look up single members: ZCARD, ZSCORE, ZMSCORE, ZRANK, ZREVRANK; and ZSCAN.

use crate::base::number;
use crate::command::args::is;
use crate::command::{Args, Ctx, Fail, scan};
use crate::data::ZSet;
use crate::resp::Out;

/// ZCARD key
pub fn zcard(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.len_int(ctx.zset(args[1])?.map_or(0, ZSet::len));
    Ok(())
}

/// ZSCORE key member
pub fn zscore(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let zset = ctx.zset(args[1])?;
    score(zset, args[2], out);
    Ok(())
}

/// ZMSCORE key member [member ...]
pub fn zmscore(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let zset = ctx.zset(args[1])?;
    let members = &args[2..];
    out.array(members.len());
    members.iter().for_each(|member| score(zset, member, out));
    Ok(())
}

fn score(zset: Option<&ZSet>, member: &[u8], out: &mut Out) {
    match zset.and_then(|zset| zset.score(member)) {
        Some(score) => out.double(score),
        None => out.null(),
    }
}

/// ZRANK and ZREVRANK key member [WITHSCORE]
pub fn rank(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out, rev: bool) -> Result<(), Fail> {
    let with_score = match args {
        [_, _, _] => false,
        [_, _, _, option] if is(option, "withscore") => true,
        [_, _, _, _] => return Err(Fail::SYNTAX),
        _ => return Err(Fail::arity(if rev { "zrevrank" } else { "zrank" })),
    };
    let zset = ctx.zset(args[1])?;
    let found = zset.and_then(|zset| {
        let rank = zset.rank(args[2])?;
        let rank = if rev { zset.len() - 1 - rank } else { rank };
        Some((rank, zset.score(args[2])?))
    });
    match found {
        Some((rank, score)) if with_score => {
            out.array(2);
            out.len_int(rank);
            out.double(score);
        }
        Some((rank, _)) => out.len_int(rank),
        None if with_score => out.null_array(),
        None => out.null(),
    }
    Ok(())
}

/// ZSCAN key cursor [MATCH pattern] [COUNT count]
pub fn zscan(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let cursor = scan::cursor(args[2])?;
    let Some(zset) = ctx.zset(args[1])? else {
        scan::nothing(out);
        return Ok(());
    };
    let options = scan::options(args)?;
    // Scores are bulk strings in both protocols, and Redis writes those of a skiplist differently here.
    let large = zset.encoding() == "skiplist";
    let mut found: Vec<super::Member> = Vec::new();
    let next = zset.scan(cursor, options.count, |member, score| {
        if options.matches(member) {
            found.push((member.into(), score));
        }
    });
    scan::reply(out, next, |out| {
        for (member, score) in &found {
            out.bulk(member);
            if large {
                out.bulk(&number::format_significant(*score));
            } else {
                out.bulk_double(*score);
            }
        }
        found.len() * 2
    });
    Ok(())
}
