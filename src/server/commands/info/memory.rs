//! The memory that INFO and MEMORY STATS tell of: the data as maxmemory counts it, and what the
//! process takes, as the allocator and the kernel say.

use crate::base::limits::MEMORY_BASE;
use crate::server::commands::scripting;
use crate::server::dispatch::Exec;

use super::{field, human};

/// Bytes, measured at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Keys and values: what maxmemory is held against.
    pub data: u64,
    /// The most that `data` was.
    pub peak: u64,
    /// Given out by the allocator, to everything in the process.
    pub allocated: u64,
    /// In pages that hold something, and in pages that the kernel has given.
    pub active: u64,
    pub resident: u64,
    /// The process's resident set.
    pub rss: u64,
    /// Of the machine.
    pub total: u64,
}

impl Memory {
    /// Measures.
    pub fn now(x: &Exec<'_>) -> Memory {
        use tikv_jemalloc_ctl::{epoch, stats};
        let _ = epoch::advance();
        let data = x.core.memory();
        Memory {
            data,
            peak: x.server.stats.peak(data),
            allocated: stats::allocated::read().unwrap_or(0) as u64,
            active: stats::active::read().unwrap_or(0) as u64,
            resident: stats::resident::read().unwrap_or(0) as u64,
            rss: rss().unwrap_or(0),
            total: total().unwrap_or(0),
        }
    }

    /// Allocated, but not for data: buffers, caches of the log and the store, code's own tables.
    pub fn overhead(&self) -> u64 {
        self.allocated.saturating_sub(self.data)
    }
}

/// a / b, and 1 where b is zero.
pub fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 1.0 } else { a as f64 / b as f64 }
}

fn rss() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn total() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// INFO memory.
pub fn section(x: &Exec<'_>, text: &mut String) {
    let m = Memory::now(x);
    let settings = &x.core.settings;
    field(text, "used_memory", m.data);
    field(text, "used_memory_human", human(m.data));
    field(text, "used_memory_rss", m.rss);
    field(text, "used_memory_rss_human", human(m.rss));
    field(text, "used_memory_peak", m.peak);
    field(text, "used_memory_peak_human", human(m.peak));
    let percent = 100.0 * ratio(m.data, m.peak);
    field(text, "used_memory_peak_perc", format!("{percent:.2}%"));
    field(text, "used_memory_overhead", m.overhead());
    field(text, "used_memory_startup", MEMORY_BASE);
    field(text, "used_memory_dataset", m.data - MEMORY_BASE);
    field(text, "used_memory_dataset_perc", "100.00%");
    field(text, "allocator_allocated", m.allocated);
    field(text, "allocator_active", m.active);
    field(text, "allocator_resident", m.resident);
    field(text, "total_system_memory", m.total);
    field(text, "total_system_memory_human", human(m.total));
    let [cached, scripts, vm, libraries, functions] = scripting::stats(x);
    // One machine runs scripts and functions alike.
    for (name, value) in [
        ("used_memory_lua", vm),
        ("used_memory_vm_eval", vm),
        ("used_memory_scripts_eval", scripts),
        ("number_of_cached_scripts", cached),
        ("number_of_functions", functions),
        ("number_of_libraries", libraries),
        ("used_memory_vm_functions", 0),
        ("used_memory_vm_total", vm),
        ("used_memory_functions", 0),
        ("used_memory_scripts", scripts),
    ] {
        field(text, name, value);
    }
    field(text, "used_memory_lua_human", human(vm));
    field(text, "used_memory_vm_total_human", human(vm));
    field(text, "used_memory_scripts_human", human(scripts));
    field(text, "maxmemory", settings.maxmemory);
    field(text, "maxmemory_human", human(settings.maxmemory));
    field(text, "maxmemory_policy", settings.eviction.policy.name());
    for (name, a, b) in [
        ("allocator_frag", m.active, m.allocated),
        ("allocator_rss", m.resident, m.active),
        ("rss_overhead", m.rss, m.resident),
        ("mem_fragmentation", m.rss, m.allocated),
    ] {
        field(
            text,
            &format!("{name}_ratio"),
            format!("{:.2}", ratio(a, b)),
        );
        field(text, &format!("{name}_bytes"), a as i64 - b as i64);
    }
    let clients: usize = x
        .server
        .clients
        .list()
        .iter()
        .map(|c| c.about.lock().buffers())
        .sum();
    field(text, "mem_not_counted_for_evict", m.overhead());
    field(text, "mem_replication_backlog", 0);
    field(text, "mem_total_replication_buffers", 0);
    field(text, "mem_clients_slaves", 0);
    field(text, "mem_clients_normal", clients);
    field(text, "mem_cluster_links", 0);
    field(text, "mem_aof_buffer", 0);
    field(text, "mem_allocator", "jemalloc");
    field(text, "active_defrag_running", 0);
    field(text, "lazyfree_pending_objects", x.core.freed.pending());
    field(text, "lazyfreed_objects", x.core.freed.freed());
}
