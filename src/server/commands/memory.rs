//! MEMORY: what the process takes and why. MEMORY USAGE is about a key: `command/generic`.

use crate::base::limits::MEMORY_BASE;
use crate::command::{Args, Fail};
use crate::resp::Out;
use crate::server::dispatch::{Exec, Handler};

use super::help;
use super::info::{Memory, human};

pub const COMMANDS: &[(&str, Handler)] = &[
    ("memory|doctor", doctor),
    ("memory|stats", stats),
    ("memory|purge", purge),
    ("memory|malloc-stats", malloc_stats),
    ("memory|help", help),
];

fn doctor(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let m = Memory::now(x);
    let max = x.core.settings.maxmemory;
    let mut text = format!(
        "The data takes {}, the process {}.\n",
        human(m.data),
        human(m.rss)
    );
    if max > 0 && m.data > max / 10 * 9 {
        text += &format!(
            "The data is within a tenth of maxmemory ({}).\n",
            human(max)
        );
    }
    if m.resident > m.allocated * 3 / 2 && m.resident > 64 << 20 {
        text += "A third of the allocator's pages is unused: MEMORY PURGE gives some back.\n";
    }
    if m.peak > m.data * 3 / 2 {
        text += &format!("At its peak the data took {}.\n", human(m.peak));
    }
    out.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

enum Value {
    Int(u64),
    Signed(i64),
    Float(f64),
}

fn stats(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    use Value::*;
    let m = Memory::now(x);
    let keys = x.core.ks.len() as u64;
    let clients: usize = x
        .server
        .clients
        .list()
        .iter()
        .map(|c| c.about.lock().buffers())
        .sum();
    let ratio = |a: u64, b: u64| Float(if b == 0 { 1.0 } else { a as f64 / b as f64 });
    let over = |a: u64, b: u64| Signed(a as i64 - b as i64);
    let first = [
        ("peak.allocated", Int(m.peak)),
        ("total.allocated", Int(m.allocated)),
        ("startup.allocated", Int(MEMORY_BASE)),
        ("replication.backlog", Int(0)),
        ("clients.slaves", Int(0)),
        ("clients.normal", Int(clients as u64)),
        ("cluster.links", Int(0)),
        ("aof.buffer", Int(0)),
        ("lua.caches", Int(0)),
        ("functions.caches", Int(0)),
    ];
    let last = [
        ("overhead.total", Int(m.overhead())),
        ("keys.count", Int(keys)),
        (
            "keys.bytes-per-key",
            Int((m.data - MEMORY_BASE).checked_div(keys).unwrap_or(0)),
        ),
        ("dataset.bytes", Int(m.data - MEMORY_BASE)),
        (
            "dataset.percentage",
            Float(100.0 * m.data as f64 / m.allocated.max(1) as f64),
        ),
        (
            "peak.percentage",
            Float(100.0 * m.data as f64 / m.peak.max(1) as f64),
        ),
        ("allocator.allocated", Int(m.allocated)),
        ("allocator.active", Int(m.active)),
        ("allocator.resident", Int(m.resident)),
        (
            "allocator-fragmentation.ratio",
            ratio(m.active, m.allocated),
        ),
        ("allocator-fragmentation.bytes", over(m.active, m.allocated)),
        ("allocator-rss.ratio", ratio(m.resident, m.active)),
        ("allocator-rss.bytes", over(m.resident, m.active)),
        ("rss-overhead.ratio", ratio(m.rss, m.resident)),
        ("rss-overhead.bytes", over(m.rss, m.resident)),
        ("fragmentation", ratio(m.rss, m.allocated)),
        ("fragmentation.bytes", over(m.rss, m.allocated)),
    ];
    let ks = &x.core.ks;
    let used: Vec<u32> = (0..ks.databases())
        .filter(|&i| !ks.db(i).is_empty())
        .collect();
    let write = |out: &mut Out, rows: &[(&str, Value)]| {
        for (name, value) in rows {
            out.bulk(name.as_bytes());
            match value {
                Int(n) => out.int(*n as i64),
                Signed(n) => out.int(*n),
                Float(f) => out.double(*f),
            }
        }
    };
    out.map(first.len() + used.len() + last.len());
    write(out, &first);
    for i in used {
        let db = ks.db(i);
        out.bulk(format!("db.{i}").as_bytes());
        out.map(3);
        out.bulk(b"overhead.hashtable.main");
        out.len_int(db.table.heap_bytes());
        out.bulk(b"overhead.hashtable.expires");
        out.len_int(db.expires.len() * std::mem::size_of::<(u64, crate::data::Small)>());
        out.bulk(b"overhead.hashtable.slot-to-keys");
        out.int(0);
    }
    write(out, &last);
    Ok(())
}

fn purge(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    use tikv_jemalloc_ctl::{Access, AsName};
    // An arena whose pages may stay unused for no time at all gives them back at once; then it is as before.
    let arenas: u32 = b"arenas.narenas\0"[..]
        .name()
        .read()
        .map_err(|e| Fail::text(format!("ERR Error purging dirty pages: {e}")))?;
    for arena in 0..arenas {
        let name = format!("arena.{arena}.dirty_decay_ms\0");
        let name = name.as_bytes().name();
        // Arenas that were never used have no such setting.
        if let Ok(before) = Access::<isize>::read(name) {
            let _ = name.write(0isize);
            let _ = name.write(before);
        }
    }
    out.ok();
    Ok(())
}

fn malloc_stats(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let m = Memory::now(x);
    let text = format!(
        "jemalloc, bytes\nallocated: {}\nactive: {}\nresident: {}\nmapped: {}\nmetadata: {}\nretained: {}\n",
        m.allocated,
        m.active,
        m.resident,
        tikv_jemalloc_ctl::stats::mapped::read().unwrap_or(0),
        tikv_jemalloc_ctl::stats::metadata::read().unwrap_or(0),
        tikv_jemalloc_ctl::stats::retained::read().unwrap_or(0),
    );
    out.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

fn help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help::reply(
        out,
        "MEMORY",
        &[
            ("DOCTOR", "Say in words what takes memory."),
            ("MALLOC-STATS", "What the allocator tells of itself."),
            ("PURGE", "Give unused pages back to the system."),
            ("STATS", "What takes how much."),
            (
                "USAGE <key> [SAMPLES <count>]",
                "What a key and its value take.",
            ),
        ],
    );
    Ok(())
}
