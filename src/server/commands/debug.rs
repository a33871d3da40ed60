//! DEBUG: what test suites use to look inside, to wait and to reload. Restricted unless a node was
//! started for development.
//!
//! Switches of Redis's own machinery that has no counterpart here are accepted and do nothing.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use sha2::{Digest, Sha256};

use crate::base::limits::{DEBUG_POPULATE_MAX, DEBUG_SLEEP_LOCKED_MAX};
use crate::base::number;
use crate::command::args::{self, is};
use crate::command::table::Spec;
use crate::command::{Args, Fail};
use crate::keyspace::{Entry, Value, evict};
use crate::mutation::Mutation;
use crate::resp::Out;
use crate::server::dispatch::{Exec, Handler};
use crate::server::{Server, Session};

use super::config;
use super::help;

pub const COMMANDS: &[(&str, Handler)] = &[("debug", debug)];

/// The longest DEBUG SLEEP, seconds.
const SLEEP_SECONDS_MAX: f64 = 3600.0;

fn seconds(arg: &[u8]) -> Duration {
    let s = number::parse_f64(arg).unwrap_or(0.0);
    Duration::from_secs_f64(s.clamp(0.0, SLEEP_SECONDS_MAX))
}

/// Starts a DEBUG SLEEP: no client is served until it ends, while Raft and the log go on. The command
/// itself runs when it has ended; until then this says when that is.
pub fn falls_asleep(
    server: &Server,
    session: &mut Session,
    spec: &Spec,
    args: Args<'_>,
) -> Option<Instant> {
    if spec.full_name != "debug" || args.len() != 3 || !is(args[1], "sleep") {
        return None;
    }
    let now = Instant::now();
    match session.asleep {
        Some((_, until)) => (until > now).then_some(until),
        None => {
            let until = now + seconds(args[2]);
            if until == now {
                return None;
            }
            session.asleep = Some((now, until));
            server.live.sleep_until(until);
            Some(until)
        }
    }
}

fn debug(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let sub = args[1].to_ascii_lowercase();
    let sub = String::from_utf8_lossy(&sub);
    match (&*sub, args.len()) {
        ("help", 2) => help(out),
        ("sleep", 3) => {
            // Within EXEC nothing may come between: then it is slept under the lock, but not for long.
            if x.session.in_exec {
                std::thread::sleep(seconds(args[2]).min(DEBUG_SLEEP_LOCKED_MAX));
            }
            out.ok();
        }
        ("reload", _) => return reload(x, &args[2..], out),
        ("loadaof", 2) => return reload(x, &[], out),
        ("object", 3) => return object(x, args[2], out),
        ("sdslen", 3) => return sdslen(x, args[2], out),
        ("listpack", 3) => return encoded(x, args[2], "listpack", "Listpack", out),
        ("quicklist", 3 | 4) => return encoded(x, args[2], "quicklist", "Quicklist", out),
        ("set-active-expire", 3) => {
            x.core.settings.active_expire = switch(args[2]);
            out.ok();
        }
        ("digest", 2) => {
            let digest = x.core.ks.digest();
            out.simple(&format!("{digest:040x}"));
        }
        ("digest-value", _) => {
            out.array(args.len() - 2);
            for key in &args[2..] {
                let digest = x.core.ks.entry(x.session.db, key).map(digest_value);
                out.simple(&digest.unwrap_or_else(|| "0".repeat(40)));
            }
        }
        ("populate", 3..=5) => return populate(x, &args[2..], out),
        ("protocol", 3) => return protocol(args[2], out),
        ("set-disable-deny-scripts", 3) => {
            let allowed = &x.server.live.debug_in_scripts;
            allowed.store(switch(args[2]), Relaxed);
            out.ok();
        }
        ("error", 3) => {
            x.server.stats.error(args[2]);
            out.error_bytes(args[2]);
        }
        ("log", 3) => {
            tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(args[2]));
            out.ok();
        }
        ("htstats", 3..) => return htstats(x, args[2], out),
        ("htstats-key", 3..) => return htstats_key(x, args[2], out),
        ("quicklist-packed-threshold", 3) => {
            let size = config::memory(args[2]).filter(|&n| n < (1 << 32) - (1 << 20));
            size.ok_or(Fail::new(
                "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
            ))?;
            out.ok();
        }
        ("drop-cluster-packet-filter", 3) => {
            args::int(args[2])?;
            out.ok();
        }
        ("replybuffer", 4) if is(args[2], "peak-reset-time") || is(args[2], "resizing") => out.ok(),
        ("client-eviction", 2) => return Err(Fail::new("ERR maxmemory-clients is disabled.")),
        ("change-repl-id", 2)
        | (
            "leak"
            | "pause-cron"
            | "set-skip-checksum-validation"
            | "aof-flush-sleep"
            | "stringmatch-len",
            3,
        ) => out.ok(),
        ("stringmatch-test", 2) => out.simple("Apparently Redis did not crash: test passed"),
        ("config-rewrite-force-all", 2) => {
            return Err(Fail::new(
                "ERR CONFIG-REWRITE-FORCE-ALL failed: there is no configuration file to write",
            ));
        }
        (
            "segfault" | "panic" | "oom" | "assert" | "restart" | "crash-and-recover" | "mallctl"
            | "mallctl-str" | "structsize" | "replicate" | "clusterlink",
            _,
        ) => {
            return Err(Fail::text(format!(
                "ERR DEBUG {} is not available here",
                sub.to_ascii_uppercase()
            )));
        }
        _ => return Err(Fail::subcommand(args)),
    }
    Ok(())
}

/// As C's atoi, of which only zero or not counts.
fn switch(arg: &[u8]) -> bool {
    number::parse_i64(arg).unwrap_or(0) != 0
}

fn reload(x: &mut Exec<'_>, options: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    for option in options {
        if !["merge", "noflush", "nosave"].iter().any(|o| is(option, o)) {
            return Err(Fail::new(
                "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
            ));
        }
    }
    (x.server.reload)().map_err(|why| Fail::text(format!("ERR {why}")))?;
    out.ok();
    Ok(())
}

/// The entry of a key, expired or not.
fn entry<'a>(x: &'a Exec<'_>, key: &[u8]) -> Result<&'a Entry, Fail> {
    x.core.ks.entry(x.session.db, key).ok_or(Fail::NO_KEY)
}

fn object(x: &mut Exec<'_>, key: &[u8], out: &mut Out) -> Result<(), Fail> {
    let now = x.core.now_ms();
    let found = entry(x, key)?;
    let extra = match &found.value {
        Value::List(c) if c.data.encoding() == "quicklist" => format!(
            " ql_listpack_max:{} ql_compressed:0 ql_uncompressed_size:{}",
            x.core.ks.limits.list_max_listpack_size,
            c.data.heap_bytes()
        ),
        _ => String::new(),
    };
    // No address: it would tell of the process's layout.
    let text = format!(
        "Value at:0x0 refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}{extra}",
        found.value.encoding(),
        found.value.heap_bytes(),
        found.access,
        evict::idle_seconds(found.access, now),
    );
    out.simple(&text);
    Ok(())
}

fn sdslen(x: &mut Exec<'_>, key: &[u8], out: &mut Out) -> Result<(), Fail> {
    let found = entry(x, key)?;
    let Some(text) = found.value.as_str().filter(|s| s.as_int().is_none()) else {
        return Err(Fail::new("ERR Not an sds encoded string."));
    };
    let line = format!(
        "key_sds_len:{}, key_sds_avail:0, key_zmalloc: {}, val_sds_len:{}, val_sds_avail:0, val_zmalloc: {}",
        key.len(),
        key.len(),
        text.len(),
        found.value.heap_bytes(),
    );
    out.simple(&line);
    Ok(())
}

/// Redis prints a structure to its own output; here it is only checked that there is one.
fn encoded(
    x: &mut Exec<'_>,
    key: &[u8],
    encoding: &str,
    shown: &str,
    out: &mut Out,
) -> Result<(), Fail> {
    if entry(x, key)?.value.encoding() != encoding {
        return Err(Fail::text(format!("ERR Not a {encoding} encoded object.")));
    }
    out.simple(&format!("{shown} structure printed on stdout"));
    Ok(())
}

/// A digest of a value and whether it expires, whatever its key, encoding or history.
fn digest_value(entry: &Entry) -> String {
    let hash = |parts: &[&[u8]]| -> [u8; 20] {
        let mut sha = Sha256::new();
        for part in parts {
            sha.update((part.len() as u64).to_be_bytes());
            sha.update(part);
        }
        let full = sha.finalize();
        std::array::from_fn(|i| full[i])
    };
    let mut digest = hash(&[entry.value.type_name().as_bytes()]);
    let mut mix = |part: [u8; 20]| {
        for (d, p) in digest.iter_mut().zip(part) {
            *d ^= p;
        }
    };
    match &entry.value {
        Value::Str(_) | Value::Long(_) => {
            if let Some(text) = entry.value.as_str() {
                mix(hash(&[&text.as_bytes()]));
            }
        }
        Value::List(c) => {
            for (i, item) in c.data.iter().enumerate() {
                mix(hash(&[&i.to_be_bytes(), item]));
            }
        }
        Value::Set(c) => c.data.iter().for_each(|m| mix(hash(&[&m]))),
        Value::Hash(c) => c.data.iter().for_each(|(f, v)| mix(hash(&[f, v]))),
        Value::ZSet(c) => {
            for (member, score) in c.data.iter() {
                mix(hash(&[member, &score.to_bits().to_be_bytes()]));
            }
        }
        // As in Redis, what groups know is not part of it.
        Value::Stream(c) => {
            for (id, fields) in c.data.iter() {
                mix(hash(&[&id.to_be_bytes(), fields]));
            }
        }
    }
    if entry.expire_at != 0 {
        mix(hash(&[b"expires"]));
    }
    hex::encode(digest)
}

fn positive(arg: &[u8]) -> Result<u64, Fail> {
    let n = args::int(arg)?;
    u64::try_from(n).map_err(|_| Fail::OUT_OF_RANGE_POSITIVE)
}

fn populate(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let count = positive(args[0])?;
    if count > DEBUG_POPULATE_MAX {
        return Err(Fail::OUT_OF_RANGE);
    }
    let prefix = args.get(1).copied().unwrap_or(b"key");
    let size = args.get(2).map_or(Ok(0), |size| positive(size))? as usize;
    if size as u64 > x.core.settings.bulk_len_max {
        return Err(Fail::STRING_TOO_LONG);
    }
    let mut ctx = x.core.ctx(x.session.db);
    let mut key = BytesMut::new();
    for i in 0..count {
        key.clear();
        key.extend_from_slice(prefix);
        key.extend_from_slice(format!(":{i}").as_bytes());
        if ctx.lookup_write(&key).is_some() {
            continue;
        }
        let mut value = format!("value:{i}").into_bytes();
        if size > 0 {
            value.resize(size, 0);
        }
        ctx.apply(Mutation::StrSet {
            db: ctx.db,
            key: &key,
            value: &value,
            expire_at: 0,
        })?;
    }
    x.wait = x.wait.max(ctx.wait);
    out.ok();
    Ok(())
}

fn protocol(kind: &[u8], out: &mut Out) -> Result<(), Fail> {
    let kind = kind.to_ascii_lowercase();
    match &kind[..] {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.int(12345),
        // Redis's test value, which only looks like pi.
        b"double" => out.double(f64::from(3141) / 1000.0),
        b"bignum" => out.big_number("1234567999999999999999999999999999999"),
        b"null" => out.null(),
        b"array" => {
            out.array(3);
            (0..3).for_each(|i| out.int(i));
        }
        b"set" => {
            out.set(3);
            (0..3).for_each(|i| out.int(i));
        }
        b"map" => {
            out.map(3);
            for i in 0..3 {
                out.int(i);
                out.bool(i == 1);
            }
        }
        b"attrib" => {
            if out.attribute(1) {
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.int(90);
            }
            out.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            if !out.is_resp3() {
                return Err(Fail::new("ERR RESP2 is not supported by this command"));
            }
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.int(42);
            out.bulk(b"Some real reply following the push reply");
        }
        b"true" => out.bool(true),
        b"false" => out.bool(false),
        b"verbatim" => out.verbatim(*b"txt", b"This is a verbatim\nstring"),
        _ => {
            return Err(Fail::new(
                "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

/// A table's line in HTSTATS.
fn table_stats(elements: usize) -> String {
    if elements == 0 {
        return "Hash table 0 stats (main hash table):\nNo stats available for empty dictionaries\n"
            .into();
    }
    format!(
        "Hash table 0 stats (main hash table):\n table size: {}\n number of elements: {elements}\n",
        elements.next_power_of_two()
    )
}

fn htstats(x: &mut Exec<'_>, db: &[u8], out: &mut Out) -> Result<(), Fail> {
    let db = args::int(db)?;
    let db = u32::try_from(db)
        .ok()
        .filter(|&db| db < x.core.ks.selectable())
        .ok_or(Fail::new("ERR Out of range database"))?;
    let db = x.core.ks.db(db);
    let text = format!(
        "[Dictionary HT]\n{}[Expires HT]\n{}",
        table_stats(db.len()),
        table_stats(db.expires.len())
    );
    out.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

fn htstats_key(x: &mut Exec<'_>, key: &[u8], out: &mut Out) -> Result<(), Fail> {
    let value = &entry(x, key)?.value;
    if !matches!(value.encoding(), "hashtable" | "skiplist") {
        return Err(Fail::new(
            "ERR The value stored at the specified key is not represented using an hash table",
        ));
    }
    out.verbatim(*b"txt", table_stats(value.elements()).as_bytes());
    Ok(())
}

fn help(out: &mut Out) {
    help::reply(
        out,
        "DEBUG",
        &[
            ("CHANGE-REPL-ID", "Nothing: the log is not followed by id."),
            ("DIGEST", "A digest of all data."),
            ("DIGEST-VALUE <key> [<key> ...]", "Digests of these values."),
            ("ERROR <string>", "That error."),
            ("HTSTATS <dbid> [full]", "Sizes of a database's tables."),
            ("HTSTATS-KEY <key> [full]", "The size of a value's table."),
            ("LISTPACK <key>", "Whether the value is compact."),
            ("LOADAOF", "As RELOAD."),
            ("LOG <message>", "Write to the node's log."),
            ("OBJECT <key>", "How a value is kept."),
            (
                "POPULATE <count> [<prefix>] [<size>]",
                "Make that many strings.",
            ),
            ("PROTOCOL <type>", "A reply of that type."),
            (
                "QUICKLIST <key> [<0|1>]",
                "Whether the value is a chunked list.",
            ),
            ("QUICKLIST-PACKED-THRESHOLD <size>", "Nothing."),
            (
                "RELOAD [option ...]",
                "Drop memory and load it from store and log.",
            ),
            ("SDSLEN <key>", "Lengths of a key and its string."),
            (
                "SET-ACTIVE-EXPIRE <0|1>",
                "Whether expired keys are deleted unasked.",
            ),
            ("SLEEP <seconds>", "Serve no client for so long."),
        ],
    );
}
