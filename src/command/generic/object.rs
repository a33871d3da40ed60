//! OBJECT: what is known of a key besides its value.

use crate::command::{Args, Ctx, Cursor, Fail, help};
use crate::keyspace::{Entry, Value, evict};
use crate::resp::Out;

/// The entry of the key, looked at without a trace but in the counters of hits and misses.
fn entry<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Option<&'a Entry> {
    let db = ctx.db;
    ctx.prepare(db, key);
    let found = ctx.peek(db, key).is_some();
    if found {
        ctx.stats.hits += 1;
    } else {
        ctx.stats.misses += 1;
    }
    ctx.peek(db, key)
}

pub(super) fn encoding(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    match entry(ctx, args[2]) {
        Some(e) => out.bulk(e.value.encoding().as_bytes()),
        None => out.null(),
    }
    Ok(())
}

const NO_LFU: Fail = Fail::new(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
);
const LFU: Fail = Fail::new(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
);

pub(super) fn freq(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (now, settings) = (ctx.now, ctx.settings.eviction);
    match entry(ctx, args[2]).map(|e| e.access) {
        None => out.null(),
        Some(_) if !settings.policy.is_lfu() => return Err(NO_LFU),
        Some(access) => out.int(evict::lfu_counter(access, now, &settings).into()),
    }
    Ok(())
}

pub(super) fn idletime(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (now, settings) = (ctx.now, ctx.settings.eviction);
    match entry(ctx, args[2]).map(|e| e.access) {
        None => out.null(),
        Some(_) if settings.policy.is_lfu() => return Err(LFU),
        Some(access) => out.int(evict::idle_seconds(access, now) as i64),
    }
    Ok(())
}

/// Values are not shared here. Redis shares small numbers where no access clock needs a value of its own, and
/// shows the largest count for them; so does this.
pub(super) fn refcount(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    use evict::Policy::{AllKeysLfu, AllKeysLru, VolatileLfu, VolatileLru};
    let clocked = matches!(
        ctx.settings.eviction.policy,
        AllKeysLru | AllKeysLfu | VolatileLru | VolatileLfu
    );
    let shares = ctx.settings.maxmemory == 0 || !clocked;
    let small = |e: &Entry| matches!(&e.value, Value::Str(s) if s.as_int().is_some_and(|i| (0..10_000).contains(&i)));
    match entry(ctx, args[2]) {
        None => out.null(),
        Some(e) if shares && small(e) => out.int(i32::MAX.into()),
        Some(_) => out.int(1),
    }
    Ok(())
}

/// SAMPLES is read and not needed: sizes are kept as the data change.
pub(super) fn memory_usage(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let mut options = Cursor::from(args, 3);
    while !options.is_empty() {
        if options.left() < 2 || !options.keyword("samples") || options.int()? < 0 {
            return Err(Fail::SYNTAX);
        }
    }
    let db = ctx.db;
    ctx.prepare(db, args[2]);
    match ctx.peek(db, args[2]) {
        Some(e) => out.int(e.bytes() as i64),
        None => out.null(),
    }
    Ok(())
}

pub(super) fn help(_: &mut Ctx<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help::reply(
        out,
        "OBJECT",
        &[
            ("ENCODING <key>", "How the value is kept in memory."),
            (
                "FREQ <key>",
                "How often the key was used lately, on a logarithmic scale (LFU policies).",
            ),
            ("IDLETIME <key>", "Seconds since the key was last used."),
            ("REFCOUNT <key>", "How many hold the value."),
        ],
    );
    Ok(())
}
