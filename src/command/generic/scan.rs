//! KEYS, SCAN, RANDOMKEY: looking through a whole database.

use crate::base::glob;
use crate::command::scan::{self, ScanArgs};
use crate::command::{Args, Ctx, Cursor, Fail};
use crate::resp::Out;

pub(super) fn keys(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let pattern = args[1];
    ctx.look_at_all();
    let (db, now) = (ctx.db, ctx.now);
    // A star alone also means the empty key, which no other pattern with a star matches.
    let all = pattern == b"*";
    let begun = out.deferred();
    let mut found = 0;
    if glob::is_literal(pattern) {
        if ctx.peek(db, pattern).is_some() {
            out.bulk(pattern);
            found = 1;
        }
    } else {
        for entry in ctx.ks.db(db).table.iter() {
            let key = entry.key.as_bytes();
            if !entry.expired(now) && (all || glob::matches(pattern, key)) {
                out.bulk(key);
                found += 1;
            }
        }
    }
    out.end_array(begun, found);
    Ok(())
}

pub(super) fn scan(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let cursor = scan::cursor(args[1])?;
    let options = ScanArgs::parse(Cursor::from(args, 2), true)?;
    ctx.look_at_all();
    let (db, now) = (ctx.db, ctx.now);
    let (mut names, mut expired, mut live) = (Vec::new(), Vec::new(), 0);
    let next = ctx
        .ks
        .db(db)
        .table
        .scan(&ctx.ks.seed, cursor, options.count, |entry| {
            let key = entry.key.as_bytes();
            if !options.matches(key) {
                return;
            }
            if entry.expired(now) {
                expired.push(entry.key.clone());
                return;
            }
            live += 1;
            let name = entry.value.type_name().as_bytes();
            if options
                .kind
                .is_none_or(|kind| kind.eq_ignore_ascii_case(name))
            {
                names.push(entry.key.clone());
            }
        });
    // To learn its type Redis looks each key up, and counts that.
    if options.kind.is_some() {
        ctx.stats.hits += live;
        ctx.stats.misses += expired.len() as u64;
    }
    // As in Redis, what is found expired on the way goes.
    for key in expired {
        ctx.prepare(db, key.as_bytes());
    }
    scan::reply(out, next, |out| {
        names.iter().for_each(|name| out.bulk(name.as_bytes()));
        names.len()
    });
    Ok(())
}

/// Keys drawn that may turn out to have expired before an expired one is answered, where none may be
/// deleted: at a standby, and while CLIENT PAUSE holds writes back.
const DRAWS_MAX: usize = 100;

pub(super) fn randomkey(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    ctx.look_at_all();
    let db = ctx.db;
    for draw in 0.. {
        let Some(entry) = ctx.ks.db(db).table.random(ctx.rng) else {
            break;
        };
        let key = entry.key.clone();
        let expired = entry.expired(ctx.now);
        if expired {
            ctx.prepare(db, key.as_bytes());
        }
        let stays = expired && ctx.ks.entry(db, key.as_bytes()).is_some();
        if !expired || stays && draw >= DRAWS_MAX {
            out.bulk(key.as_bytes());
            return Ok(());
        }
    }
    out.null();
    Ok(())
}
