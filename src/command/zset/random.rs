//! ZRANDMEMBER.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::index;

use super::{Shape, emit, range};
use crate::base::limits::RANDOM_PICKS_MAX;
use crate::command::args::{int, is};
use crate::command::{Args, Ctx, Fail};
use crate::data::ZSet;
use crate::resp::Out;

/// ZRANDMEMBER key [count [WITHSCORES]]
pub fn zrandmember(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    // A generator of its own, since the set is borrowed from the context.
    let mut rng = SmallRng::from_rng(ctx.rng);
    let Some(count) = args.get(2) else {
        let member = ctx.zset(args[1])?.and_then(|zset| zset.random(&mut rng));
        out.bulk_or_null(member.map(|(member, _)| member));
        return Ok(());
    };
    let count = int(count)?;
    if count == i64::MIN {
        return Err(Fail::new(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let with_scores = match args {
        [_, _, _] => false,
        [_, _, _, option] if is(option, "withscores") => true,
        _ => return Err(Fail::SYNTAX),
    };
    if with_scores && !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
        return Err(Fail::OUT_OF_RANGE);
    }
    let Some(zset) = ctx.zset(args[1])? else {
        out.array(0);
        return Ok(());
    };
    let shape = Shape::scores(with_scores, out);
    match usize::try_from(count) {
        Ok(count) => distinct(zset, count, &mut rng, shape, out),
        Err(_) => {
            let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
            if count > RANDOM_PICKS_MAX {
                return Err(Fail::OUT_OF_RANGE);
            }
            let picks = std::iter::from_fn(|| zset.random(&mut rng));
            emit(out, count, picks, shape);
        }
    }
    Ok(())
}

/// At most `count` members, none of them twice.
fn distinct(zset: &ZSet, count: usize, rng: &mut SmallRng, shape: Shape, out: &mut Out) {
    let len = zset.len();
    if count >= len {
        // Redis walks from the highest member down.
        return emit(out, len, range::members(zset, 0..len, true), shape);
    }
    let ranks = index::sample(rng, len, count).into_iter();
    let picks = ranks.filter_map(|rank| zset.get_by_rank(rank));
    emit(out, count, picks, shape);
}
