//! Hash commands that change nothing.

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::command::random::{self, Count};
use crate::command::{Args, Ctx, Fail, scan};
use crate::data::Hash;
use crate::resp::Out;

pub(super) fn hget(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let hash = ctx.hash(args[1])?;
    out.bulk_or_null(hash.and_then(|h| h.get(args[2])));
    Ok(())
}

pub(super) fn hmget(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let hash = ctx.hash(args[1])?;
    out.array(args.len() - 2);
    for field in &args[2..] {
        out.bulk_or_null(hash.and_then(|h| h.get(field)));
    }
    Ok(())
}

pub(super) fn hexists(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let hash = ctx.hash(args[1])?;
    out.int(hash.is_some_and(|h| h.contains(args[2])).into());
    Ok(())
}

pub(super) fn hlen(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let hash = ctx.hash(args[1])?;
    out.len_int(hash.map_or(0, Hash::len));
    Ok(())
}

pub(super) fn hstrlen(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let value = ctx.hash(args[1])?.and_then(|h| h.get(args[2]));
    out.len_int(value.map_or(0, <[u8]>::len));
    Ok(())
}

pub(super) fn hgetall(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let Some(hash) = ctx.hash(args[1])? else {
        out.map(0);
        return Ok(());
    };
    out.map(hash.len());
    for (field, value) in hash.iter() {
        out.bulk(field);
        out.bulk(value);
    }
    Ok(())
}

pub(super) fn hkeys(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    column(ctx, args, out, |(field, _)| field)
}

pub(super) fn hvals(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    column(ctx, args, out, |(_, value)| value)
}

fn column(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut Out,
    which: impl for<'a> Fn((&'a [u8], &'a [u8])) -> &'a [u8],
) -> Result<(), Fail> {
    let Some(hash) = ctx.hash(args[1])? else {
        out.array(0);
        return Ok(());
    };
    out.array(hash.len());
    for pair in hash.iter() {
        out.bulk(which(pair));
    }
    Ok(())
}

pub(super) fn hscan(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let cursor = scan::cursor(args[2])?;
    let Some(hash) = ctx.hash(args[1])? else {
        scan::nothing(out);
        return Ok(());
    };
    let options = scan::options(args)?;
    let mut found = Vec::new();
    let next = hash.scan(cursor, options.count, |field, value| {
        if options.matches(field) {
            found.push((Box::<[u8]>::from(field), Box::<[u8]>::from(value)));
        }
    });
    scan::reply(out, next, |out| {
        for (field, value) in &found {
            out.bulk(field);
            out.bulk(value);
        }
        found.len() * 2
    });
    Ok(())
}

pub(super) fn hrandfield(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let mut rng = SmallRng::from_rng(&mut *ctx.rng);
    if args.len() == 2 {
        let field = ctx.hash(args[1])?.and_then(|h| h.random(&mut rng));
        out.bulk_or_null(field.map(|(field, _)| field));
        return Ok(());
    }
    let (count, with_values) = Count::with_option(args, "withvalues")?;
    let Some(hash) = ctx.hash(args[1])? else {
        out.array(0);
        return Ok(());
    };
    // RESP3 nests each pair, RESP2 sees one flat array.
    let nested = with_values && out.is_resp3();
    let per_field = if with_values && !nested { 2 } else { 1 };
    let write = |out: &mut Out, field: &[u8], value: &[u8]| {
        if nested {
            out.array(2);
        }
        out.bulk(field);
        if with_values {
            out.bulk(value);
        }
    };
    match count {
        Count::Distinct(count) => {
            out.array(count.min(hash.len()) * per_field);
            random::distinct(
                &mut rng,
                hash.len(),
                count,
                hash.iter(),
                |rng| hash.random(rng),
                |field, value| write(out, field, value),
            );
            Ok(())
        }
        Count::Repeated(count) => {
            out.array(count.saturating_mul(per_field));
            random::repeated(out, count, |out| {
                if let Some((field, value)) = hash.random(&mut rng) {
                    write(out, field, value);
                }
            })
        }
    }
}
