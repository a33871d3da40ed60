//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! EXEC runs under the hold of the engine's lock that its connection already has, so its commands
//! are one piece of one batch: all of them commit, or none.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::command::table;
use crate::command::{Args, Fail};
use crate::resp::Out;
use crate::server::access;
use crate::server::dispatch::{self, Exec, Handler, Step};
use crate::server::session::Watch;

pub const COMMANDS: &[(&str, Handler)] = &[
    ("multi", multi),
    ("exec", exec),
    ("discard", discard),
    ("watch", watch),
    ("unwatch", unwatch),
];

fn multi(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if x.session.multi.is_some() {
        return Err(Fail::new("ERR MULTI calls can not be nested"));
    }
    dispatch::multi(x.session);
    out.ok();
    Ok(())
}

fn discard(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if x.session.multi.take().is_none() {
        return Err(Fail::new("ERR DISCARD without MULTI"));
    }
    x.session.unwatch();
    out.ok();
    Ok(())
}

fn exec(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let Some(multi) = x.session.multi.take() else {
        return Err(Fail::new("ERR EXEC without MULTI"));
    };
    let watch = std::mem::take(&mut x.session.watch);
    if multi.aborted {
        return Err(Fail::new(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    x.wait = x.wait.max(touched(x, &watch)?);
    if watch.dirty() || watch_expired(x, &watch) {
        out.null_array();
        return Ok(());
    }
    let Exec {
        server,
        core,
        session,
        wait,
        ..
    } = x;
    session.in_exec = true;
    out.array(multi.queue.len());
    let start = core.mark();
    let mut long = false;
    for command in &multi.queue {
        let args: SmallVec<[&[u8]; 16]> = command.iter().map(|a| &a[..]).collect();
        let spec = table::resolve(&args).ok();
        let Some(spec) = spec else { continue };
        // A setting may have changed since it was queued.
        if let Some(fail) = dispatch::restricted(server, core, session, spec, &args) {
            server.stats.error(fail.as_str().as_bytes());
            out.error(fail.as_str());
            continue;
        }
        // So may its user's rules.
        if let Err(denied) = access::check(server, core, session, spec, &args) {
            let text = denied.in_exec();
            server.stats.error(text.as_bytes());
            out.error(&text);
            continue;
        }
        match dispatch::execute(server, core, session, spec, &args, out) {
            Step::Replied { wait: waits } => *wait = (*wait).max(waits),
            Step::Long => {
                long = true;
                break;
            }
            _ => {}
        }
    }
    session.in_exec = false;
    // Whoever it serves is served at the time at which it ends.
    core.tick();
    if long {
        // It is run from its beginning again; what it did itself has touched no key that it watches.
        watch.dirty.store(false, Relaxed);
        (session.multi, session.watch) = (Some(multi), watch);
        return Ok(());
    }
    if core.bytes_since(&start) > crate::base::limits::BATCH_LEN_MAX {
        core.rollback(start);
        return Err(Fail::new(
            "EXECABORT the transaction changes more than one batch may hold; nothing was changed: split it",
        ));
    }
    Ok(())
}

/// The batch that the watched keys' state waits for. A watch from before a failover cannot be kept: it counts as touched.
fn touched(x: &mut Exec<'_>, watch: &Watch) -> Result<u64, Fail> {
    if !watch.keys.is_empty() && watch.era != x.core.era() {
        watch.dirty.store(true, Relaxed);
    }
    let mut wait = watch.wait;
    for (db, key) in &watch.keys {
        wait = wait.max(x.core.gate.key(*db, x.core.ks.seed.hash(key)));
    }
    Ok(wait)
}

/// A watched key that has expired since counts as changed; one that had expired when it was watched does not.
fn watch_expired(x: &Exec<'_>, watch: &Watch) -> bool {
    let now = x.core.now_ms();
    watch.keys.iter().any(|(db, key)| {
        let expired = x.core.ks.entry(*db, key).is_some_and(|e| e.expired(now));
        expired && !x.core.watches.counts_expired(*db, key, &watch.dirty)
    })
}

fn watch(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if x.session.multi.is_some() {
        return Err(Fail::new("ERR WATCH inside MULTI is not allowed"));
    }
    let db = x.session.db;
    let now = x.core.now_ms();
    let watch = &mut x.session.watch;
    if watch.keys.is_empty() {
        watch.era = x.core.era();
    }
    for key in &args[1..] {
        if watch.keys.iter().any(|(d, k)| *d == db && k[..] == **key) {
            continue;
        }
        let expired = x.core.ks.entry(db, key).is_some_and(|e| e.expired(now));
        watch.wait = watch
            .wait
            .max(x.core.gate.key(db, x.core.ks.seed.hash(key)));
        watch.keys.push((db, Bytes::copy_from_slice(key)));
        x.core.watches.add(db, key, expired, &watch.dirty);
    }
    out.ok();
    Ok(())
}

fn unwatch(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    x.session.unwatch();
    out.ok();
    Ok(())
}
