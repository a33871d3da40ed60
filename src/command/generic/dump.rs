//! DUMP and RESTORE: values as Redis's payloads.
//!
//! A payload is decoded whole before anything is changed, so one that is wrong changes nothing.

use crate::command::args as arg;
use crate::command::settings::notify;
use crate::command::{Args, Ctx, Cursor, Fail};
use crate::data::Stream;
use crate::keyspace::{Value, evict};
use crate::mutation::Mutation;
use crate::rdb::{self, ValueRef, payload};
use crate::resp::Out;

const BUSY_KEY: Fail = Fail::new("BUSYKEY Target key name already exists.");
const WRONG_FOOTER: Fail = Fail::new("ERR DUMP payload version or checksum are wrong");
const BAD_FORMAT: Fail = Fail::new("ERR Bad data format");
const TTL: Fail = Fail::new("ERR Invalid TTL value, must be >= 0");
const IDLE_TIME: Fail = Fail::new("ERR Invalid IDLETIME value, must be >= 0");
const FREQ: Fail = Fail::new("ERR Invalid FREQ value, must be >= 0 and <= 255");

/// A key's value for encoding.
pub fn view(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Str(string) => ValueRef::Str(string),
        Value::Long(c) => ValueRef::Str(&c.data),
        Value::List(c) => ValueRef::List(&c.data),
        Value::Set(c) => ValueRef::Set(&c.data),
        Value::Hash(c) => ValueRef::Hash(&c.data),
        Value::ZSet(c) => ValueRef::ZSet(&c.data),
        Value::Stream(c) => ValueRef::Stream(&c.data),
    }
}

pub(super) fn dump(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let limits = ctx.ks.limits;
    match ctx.lookup(args[1]) {
        Some(entry) => out.bulk(&payload::encode(view(&entry.value), &limits)),
        None => out.null(),
    }
    Ok(())
}

/// What RESTORE is told beside key, time and payload.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_seconds: Option<u64>,
    freq: Option<u8>,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, Fail> {
        let mut options = Options::default();
        let mut words = Cursor::from(args, 4);
        while !words.is_empty() {
            if words.keyword("replace") {
                options.replace = true;
            } else if words.keyword("absttl") {
                options.absolute = true;
            } else if words.left() >= 2 && options.freq.is_none() && words.keyword("idletime") {
                let seconds = words.int()?;
                options.idle_seconds = Some(u64::try_from(seconds).map_err(|_| IDLE_TIME)?);
            } else if words.left() >= 2 && options.idle_seconds.is_none() && words.keyword("freq") {
                options.freq = Some(u8::try_from(words.int()?).map_err(|_| FREQ)?);
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        Ok(options)
    }

    /// The access word that the options ask for, if the policy in force counts that.
    fn access(&self, now: u64, settings: &evict::Settings) -> Option<u32> {
        if settings.policy.is_lfu() {
            let fresh = evict::fresh(now, settings);
            return self.freq.map(|freq| fresh & !0xff | u32::from(freq));
        }
        let idle_ms = self.idle_seconds?.saturating_mul(1000);
        Some(evict::lru_clock(now.saturating_sub(idle_ms)))
    }
}

pub(super) fn restore(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let options = Options::parse(args)?;
    let (db, key) = (ctx.db, args[1]);
    let exists = ctx.lookup_write(key).is_some();
    if exists && !options.replace {
        return Err(BUSY_KEY);
    }
    let ttl = u64::try_from(arg::int(args[2])?).map_err(|_| TTL)?;
    let opened = payload::open(args[3]).ok_or(WRONG_FOOTER)?;
    let limits = ctx.ks.limits;
    let value = payload::decode(opened, &limits).map_err(|_| BAD_FORMAT)?;
    let expire_at = match ttl {
        0 => 0,
        ttl if options.absolute => ttl,
        ttl => ctx.now.saturating_add(ttl).min(i64::MAX as u64),
    };
    if exists {
        ctx.apply(Mutation::Del { db, key })?;
    }
    if expire_at != 0 && expire_at <= ctx.now {
        if exists {
            ctx.notify(notify::GENERIC, "del", key);
        }
        out.ok();
        return Ok(());
    }
    put(ctx, key, &value, expire_at)?;
    let access = options.access(ctx.now, &ctx.settings.eviction);
    if let (Some(access), Some(entry)) = (access, ctx.ks.entry_mut(db, key)) {
        entry.access = access;
    }
    ctx.notify(notify::GENERIC, "restore", key);
    out.ok();
    Ok(())
}

/// Puts a value where there is none.
fn put(ctx: &mut Ctx<'_>, key: &[u8], value: &rdb::Value, expire_at: u64) -> Result<(), Fail> {
    let db = ctx.db;
    match value {
        rdb::Value::Str(string) => return ctx.set_string(key, &string.as_bytes(), expire_at),
        rdb::Value::List(list) => {
            for value in list.iter() {
                let front = false;
                ctx.apply(Mutation::ListPush {
                    db,
                    key,
                    front,
                    value,
                })?;
            }
        }
        rdb::Value::Set(set) => {
            for member in set.iter() {
                let member = &*member;
                ctx.apply(Mutation::SetAdd { db, key, member })?;
            }
        }
        rdb::Value::Hash(hash) => {
            for (field, value) in hash.iter() {
                ctx.apply(Mutation::HashSet {
                    db,
                    key,
                    field,
                    value,
                })?;
            }
        }
        rdb::Value::ZSet(zset) => {
            for (member, score) in zset.iter() {
                ctx.apply(Mutation::ZSetAdd {
                    db,
                    key,
                    member,
                    score,
                })?;
            }
        }
        rdb::Value::Stream(stream) => put_stream(ctx, key, stream)?,
    }
    if expire_at != 0 {
        let at = expire_at;
        ctx.apply(Mutation::Expire { db, key, at })?;
    }
    Ok(())
}

/// The header comes behind the entries, which raise it; it also makes a stream that has none.
fn put_stream(ctx: &mut Ctx<'_>, key: &[u8], stream: &Stream) -> Result<(), Fail> {
    let db = ctx.db;
    for (id, fields) in stream.iter() {
        ctx.apply(Mutation::StreamAdd {
            db,
            key,
            id,
            fields,
        })?;
    }
    ctx.apply(Mutation::StreamSet {
        db,
        key,
        last: stream.header.last,
        max_deleted: stream.header.max_deleted,
        added: stream.header.added,
    })?;
    for (name, group) in stream.groups() {
        ctx.apply(Mutation::StreamGroup {
            db,
            key,
            group: name,
            last: group.last,
            read: group.read,
        })?;
        for (consumer, times) in &group.consumers {
            ctx.apply(Mutation::StreamConsumer {
                db,
                key,
                group: name,
                consumer,
                seen: times.seen,
                active: times.active,
            })?;
        }
        for (&id, pending) in &group.pending {
            ctx.apply(Mutation::StreamPending {
                db,
                key,
                group: name,
                consumer: &pending.consumer,
                id,
                time: pending.time,
                count: pending.count,
            })?;
        }
    }
    Ok(())
}
