//! SPOP and SRANDMEMBER. The log carries the members that were chosen.

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::members::removed;
use crate::command::random::{self, Count};
use crate::command::settings::notify;
use crate::command::{Args, Ctx, Fail, args as arg};
use crate::data::{Set, View};
use crate::mutation::Mutation;
use crate::resp::Out;

fn choose<'a>(set: &'a Set, rng: &mut SmallRng, count: usize, mut take: impl FnMut(View<'a>)) {
    random::distinct(
        rng,
        set.len(),
        count,
        set.iter().map(|member| (member, ())),
        |rng| set.random(rng).map(|member| (member, ())),
        |member, ()| take(member),
    );
}

pub(super) fn srandmember(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let mut rng = SmallRng::from_rng(&mut *ctx.rng);
    match args.len() {
        2 => {
            match ctx.set(args[1])?.and_then(|set| set.random(&mut rng)) {
                Some(member) => out.bulk(&member),
                None => out.null(),
            }
            return Ok(());
        }
        3 => {}
        _ => return Err(Fail::SYNTAX),
    }
    let count = Count::parse(args[2])?;
    let Some(set) = ctx.set(args[1])? else {
        out.array(0);
        return Ok(());
    };
    match count {
        Count::Distinct(count) => {
            out.array(count.min(set.len()));
            choose(set, &mut rng, count, |member| out.bulk(&member));
            Ok(())
        }
        Count::Repeated(count) => {
            out.array(count);
            random::repeated(out, count, |out| {
                if let Some(member) = set.random(&mut rng) {
                    out.bulk(&member);
                }
            })
        }
    }
}

pub(super) fn spop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let mut rng = SmallRng::from_rng(&mut *ctx.rng);
    let (db, key) = (ctx.db, args[1]);
    let count = match args.len() {
        2 => None,
        3 => Some(
            arg::int(args[2])
                .ok()
                .and_then(|count| usize::try_from(count).ok())
                .ok_or(Fail::OUT_OF_RANGE_POSITIVE)?,
        ),
        _ => return Err(Fail::SYNTAX),
    };
    let set = ctx.set_write(key)?;
    let Some(count) = count else {
        let Some(member) = set.and_then(|set| set.random(&mut rng)) else {
            out.null();
            return Ok(());
        };
        let member = member.to_boxed();
        ctx.apply(Mutation::SetDel {
            db,
            key,
            member: &member,
        })?;
        removed(ctx, key, "spop");
        out.bulk(&member);
        return Ok(());
    };
    let Some(set) = set.filter(|_| count > 0) else {
        out.set(0);
        return Ok(());
    };
    out.set(count.min(set.len()));
    if count >= set.len() {
        set.iter().for_each(|member| out.bulk(&member));
        ctx.apply(Mutation::Del { db, key })?;
        ctx.notify(notify::SET, "spop", key);
        ctx.notify(notify::GENERIC, "del", key);
        return Ok(());
    }
    let mut chosen = Vec::new();
    choose(set, &mut rng, count, |member| {
        out.bulk(&member);
        chosen.push(member.to_boxed());
    });
    for member in &chosen {
        ctx.apply(Mutation::SetDel { db, key, member })?;
    }
    ctx.notify(notify::SET, "spop", key);
    Ok(())
}
