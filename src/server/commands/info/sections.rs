//! The sections of INFO but memory.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::command::table::SPECS;
use crate::engine::Role;
use crate::keyspace::evict;
use crate::server::commands::config;
use crate::server::dispatch::{Exec, wall_us};

use super::{REDIS_VERSION, field};

fn n(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

fn zeros(text: &mut String, names: &[&str]) {
    names.iter().for_each(|name| field(text, name, 0));
}

fn kernel(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/kernel/{name}"))
        .map_or_else(|_| "unknown".into(), |t| t.trim().into())
}

pub fn server(x: &Exec<'_>, text: &mut String) {
    let up = x.server.started.elapsed().as_secs();
    field(text, "redis_version", REDIS_VERSION);
    field(text, "redis_git_sha1", "00000000");
    field(text, "redis_git_dirty", 0);
    field(text, "redis_build_id", "0000000000000000");
    let mode = if x.server.live.redirects() {
        "cluster"
    } else {
        "standalone"
    };
    field(text, "redis_mode", mode);
    let os = format!(
        "{} {} {}",
        kernel("ostype"),
        kernel("osrelease"),
        std::env::consts::ARCH
    );
    field(text, "os", os);
    field(text, "arch_bits", usize::BITS);
    field(text, "monotonic_clock", "POSIX clock_gettime");
    field(text, "multiplexing_api", "epoll");
    field(text, "process_id", std::process::id());
    field(text, "process_supervised", "no");
    field(text, "run_id", &x.server.live.run_id);
    field(text, "tcp_port", x.server.options.port);
    field(text, "server_time_usec", wall_us());
    field(text, "uptime_in_seconds", up);
    field(text, "uptime_in_days", up / 86_400);
    field(text, "hz", config::shown(x, "hz"));
    field(text, "configured_hz", config::shown(x, "hz"));
    field(text, "lru_clock", evict::lru_clock(wall_us() / 1000));
    let executable = std::env::current_exe().unwrap_or_default();
    field(text, "executable", executable.display());
    field(text, "config_file", "");
    field(text, "io_threads_active", 0);
    field(text, "pontoon_version", env!("CARGO_PKG_VERSION"));
    let listener = format!("name=tls,bind=*,port={}", x.server.options.port);
    field(text, "listener0", listener);
}

pub fn clients(x: &Exec<'_>, text: &mut String) {
    let all = x.server.clients.list();
    let most = |of: fn(&crate::server::clients::About) -> usize| {
        all.iter().map(|c| of(&c.about.lock())).max().unwrap_or(0)
    };
    field(text, "connected_clients", all.len());
    field(text, "cluster_connections", 0);
    field(text, "maxclients", x.server.live.maxclients.load(Relaxed));
    field(text, "client_recent_max_input_buffer", most(|a| a.input));
    field(text, "client_recent_max_output_buffer", most(|a| a.output));
    field(text, "blocked_clients", n(&x.server.counters.blocked));
    field(text, "tracking_clients", x.core.tracking.clients());
    zeros(text, &["clients_in_timeout_table"]);
    let waited_for = &x.core.blocking;
    field(text, "total_blocking_keys", waited_for.keys());
    field(
        text,
        "total_blocking_keys_on_nokey",
        waited_for.keys_on_gone(),
    );
}

pub fn persistence(x: &Exec<'_>, text: &mut String) {
    let facts = (x.server.facts)();
    field(text, "loading", u8::from(x.core.role == Role::Loading));
    field(text, "async_loading", 0);
    zeros(
        text,
        &[
            "current_cow_peak",
            "current_cow_size",
            "current_cow_size_age",
        ],
    );
    field(text, "current_fork_perc", "0.00");
    zeros(
        text,
        &["current_save_keys_processed", "current_save_keys_total"],
    );
    field(text, "rdb_changes_since_last_save", x.core.unsaved());
    field(text, "rdb_bgsave_in_progress", 0);
    field(text, "rdb_last_save_time", wall_us() / 1_000_000);
    field(text, "rdb_last_bgsave_status", "ok");
    field(text, "rdb_last_bgsave_time_sec", -1);
    field(text, "rdb_current_bgsave_time_sec", -1);
    zeros(
        text,
        &[
            "rdb_saves",
            "rdb_last_cow_size",
            "rdb_last_load_keys_expired",
            "rdb_last_load_keys_loaded",
        ],
    );
    // The log is what an AOF that syncs each write would be.
    field(text, "aof_enabled", 1);
    zeros(text, &["aof_rewrite_in_progress", "aof_rewrite_scheduled"]);
    field(text, "aof_last_rewrite_time_sec", -1);
    field(text, "aof_current_rewrite_time_sec", -1);
    field(text, "aof_last_bgrewrite_status", "ok");
    zeros(text, &["aof_rewrites", "aof_rewrites_consecutive_failures"]);
    field(text, "aof_last_write_status", "ok");
    field(text, "aof_last_cow_size", 0);
    field(text, "module_fork_in_progress", 0);
    field(text, "module_fork_last_cow_size", 0);
    field(text, "aof_current_size", facts.log_bytes);
    zeros(
        text,
        &[
            "aof_base_size",
            "aof_pending_rewrite",
            "aof_buffer_length",
            "aof_pending_bio_fsync",
            "aof_delayed_fsync",
        ],
    );
}

pub fn stats(x: &Exec<'_>, text: &mut String) {
    let c = &x.server.counters;
    let rates = x.server.stats.rates(c.rated());
    let kbps = |bytes: f64| format!("{:.2}", bytes / 1024.0);
    field(text, "total_connections_received", n(&c.connections));
    field(text, "total_commands_processed", n(&c.commands));
    field(text, "instantaneous_ops_per_sec", rates.commands);
    field(text, "total_net_input_bytes", n(&c.bytes_in));
    field(text, "total_net_output_bytes", n(&c.bytes_out));
    zeros(
        text,
        &["total_net_repl_input_bytes", "total_net_repl_output_bytes"],
    );
    field(text, "instantaneous_input_kbps", kbps(rates.bytes_in));
    field(text, "instantaneous_output_kbps", kbps(rates.bytes_out));
    field(text, "instantaneous_input_repl_kbps", "0.00");
    field(text, "instantaneous_output_repl_kbps", "0.00");
    field(text, "rejected_connections", n(&c.rejected));
    zeros(text, &["sync_full", "sync_partial_ok", "sync_partial_err"]);
    field(text, "expired_keys", x.core.stats.expired);
    field(text, "expired_stale_perc", "0.00");
    zeros(
        text,
        &[
            "expired_time_cap_reached_count",
            "expire_cycle_cpu_milliseconds",
        ],
    );
    field(text, "evicted_keys", x.core.stats.evicted);
    zeros(
        text,
        &[
            "evicted_clients",
            "total_eviction_exceeded_time",
            "current_eviction_exceeded_time",
        ],
    );
    field(text, "keyspace_hits", x.core.stats.hits);
    field(text, "keyspace_misses", x.core.stats.misses);
    let hub = &x.server.hub;
    field(text, "pubsub_channels", hub.channels(None, false).len());
    field(text, "pubsub_patterns", hub.patterns());
    field(text, "pubsubshard_channels", hub.channels(None, true).len());
    zeros(
        text,
        &[
            "latest_fork_usec",
            "total_forks",
            "migrate_cached_sockets",
            "slave_expires_tracked_keys",
            "active_defrag_hits",
            "active_defrag_misses",
            "active_defrag_key_hits",
            "active_defrag_key_misses",
            "total_active_defrag_time",
            "current_active_defrag_time",
        ],
    );
    field(text, "tracking_total_keys", x.core.tracking.keys());
    field(text, "tracking_total_items", x.core.tracking.items());
    field(text, "tracking_total_prefixes", x.core.tracking.prefixes());
    field(text, "unexpected_error_replies", 0);
    field(text, "total_error_replies", n(&c.errors));
    field(text, "dump_payload_sanitizations", 0);
    field(text, "total_reads_processed", n(&c.reads));
    field(text, "total_writes_processed", n(&c.writes));
    zeros(
        text,
        &[
            "io_threaded_reads_processed",
            "io_threaded_writes_processed",
            "reply_buffer_shrinks",
            "reply_buffer_expands",
        ],
    );
    field(text, "acl_access_denied_auth", n(&c.denied_auth));
    field(text, "acl_access_denied_cmd", n(&c.denied_command));
    field(text, "acl_access_denied_key", n(&c.denied_key));
    field(text, "acl_access_denied_channel", n(&c.denied_channel));
    field(text, "relayed_connections", n(&c.relayed));
    field(text, "returned_connections", n(&c.returned));
}

/// Host and port of an announced address.
fn split(announced: &str) -> (&str, &str) {
    announced.rsplit_once(':').unwrap_or((announced, "0"))
}

pub fn replication(x: &Exec<'_>, text: &mut String) {
    let facts = (x.server.facts)();
    let view = x.server.view.borrow().clone();
    if x.leading() {
        field(text, "role", "master");
        let replicas = x.server.replicas.list();
        field(
            text,
            "connected_slaves",
            facts.followers.len() + replicas.len(),
        );
        for (i, (announced, matched, reachable)) in facts.followers.iter().enumerate() {
            let (ip, port) = split(announced);
            let (state, lag) = if *reachable {
                ("online", 0)
            } else {
                ("offline", -1)
            };
            let line = format!("ip={ip},port={port},state={state},offset={matched},lag={lag}");
            field(text, &format!("slave{i}"), line);
        }
        for (i, (addr, port, offset)) in replicas.iter().enumerate() {
            let (ip, _) = split(addr);
            let line = format!("ip={ip},port={port},state=online,offset={offset},lag=0");
            field(text, &format!("slave{}", facts.followers.len() + i), line);
        }
    } else {
        let leader = view.leader.map(|l| l.announced).unwrap_or_default();
        let (host, port) = split(&leader);
        let link = if leader.is_empty() { "down" } else { "up" };
        field(text, "role", "slave");
        field(text, "master_host", host);
        field(text, "master_port", port);
        field(text, "master_link_status", link);
        field(
            text,
            "master_last_io_seconds_ago",
            x.core.staleness_ms() / 1000,
        );
        field(text, "master_sync_in_progress", 0);
        field(text, "slave_read_repl_offset", facts.last_log);
        field(text, "slave_repl_offset", facts.applied);
        field(text, "slave_priority", 100);
        field(text, "slave_read_only", 1);
        field(text, "replica_announced", 1);
        field(text, "connected_slaves", 0);
    }
    field(text, "master_failover_state", "no-failover");
    field(text, "master_replid", replication_id(&view.cluster_id));
    field(text, "master_replid2", "0".repeat(40));
    field(text, "master_repl_offset", facts.applied);
    field(text, "second_repl_offset", -1);
    field(text, "repl_backlog_active", 1);
    field(text, "repl_backlog_size", facts.log_bytes);
    field(text, "repl_backlog_first_byte_offset", 0);
    field(text, "repl_backlog_histlen", facts.log_bytes);
}

/// The log's identity: that of the cluster, at every node and after every failover.
pub fn replication_id(cluster_id: &str) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(&Sha256::digest(cluster_id)[..20])
}

pub fn cpu(_: &Exec<'_>, text: &mut String) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields are counted behind the name, which may hold spaces.
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .map(|f| f.parse().unwrap_or(0))
        .collect();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let seconds = |i: usize| fields.get(i).copied().unwrap_or(0) as f64 / ticks;
    for (name, at) in [
        ("used_cpu_sys", 12),
        ("used_cpu_user", 11),
        ("used_cpu_sys_children", 14),
        ("used_cpu_user_children", 13),
    ] {
        field(text, name, format!("{:.6}", seconds(at)));
    }
}

pub fn commandstats(x: &Exec<'_>, text: &mut String) {
    for spec in &SPECS {
        let [calls, usec, failed, rejected] = x.server.counters.calls.of(spec.id).each_ref().map(n);
        if calls == 0 && failed == 0 && rejected == 0 {
            continue;
        }
        let each = usec as f64 / calls.max(1) as f64;
        let line = format!(
            "calls={calls},usec={usec},usec_per_call={each:.2},rejected_calls={rejected},failed_calls={failed}"
        );
        field(text, &format!("cmdstat_{}", spec.full_name), line);
    }
}

pub fn errorstats(x: &Exec<'_>, text: &mut String) {
    for (prefix, count) in x.server.stats.errors() {
        let safe: String = prefix
            .chars()
            .map(|c| if "#:\n\r".contains(c) { '_' } else { c })
            .collect();
        field(text, &format!("errorstat_{safe}"), format!("count={count}"));
    }
}

pub fn latencystats(x: &Exec<'_>, text: &mut String) {
    if !x.server.stats.tracking.load(Relaxed) {
        return;
    }
    let percentiles = config::shown(x, "latency-tracking-info-percentiles");
    for spec in &SPECS {
        let Some(h) = x.server.stats.latency(spec.id) else {
            continue;
        };
        let parts: Vec<String> = percentiles
            .split_whitespace()
            .map(|p| {
                let ns = h.value_at_percentile(p.parse().unwrap_or(50.0));
                format!("p{p}={:.3}", ns as f64 / 1000.0)
            })
            .collect();
        let name = format!("latency_percentiles_usec_{}", spec.full_name);
        field(text, &name, parts.join(","));
    }
}

pub fn cluster(x: &Exec<'_>, text: &mut String) {
    field(text, "cluster_enabled", u8::from(x.server.live.redirects()));
}

/// Expiring keys that an average is taken over, at each end.
const TTL_SAMPLES: usize = 500;

pub fn keyspace(x: &Exec<'_>, text: &mut String) {
    let now = x.core.now_ms();
    for i in 0..x.core.ks.databases() {
        let db = x.core.ks.db(i);
        if db.is_empty() {
            continue;
        }
        // An estimate: the soonest and the latest stand for all.
        let ends = db
            .expires
            .iter()
            .take(TTL_SAMPLES)
            .chain(db.expires.iter().rev().take(TTL_SAMPLES));
        let ttls: Vec<u64> = ends.map(|(at, _)| at.saturating_sub(now)).collect();
        let average = ttls.iter().sum::<u64>() / ttls.len().max(1) as u64;
        let line = format!(
            "keys={},expires={},avg_ttl={average}",
            db.len(),
            db.expires.len()
        );
        field(text, &format!("db{i}"), line);
    }
}

pub fn pontoon(x: &Exec<'_>, text: &mut String) {
    let facts = (x.server.facts)();
    let view = x.server.view.borrow().clone();
    let role = match x.core.role {
        Role::Loading => "loading",
        Role::Standby => "standby",
        Role::Opening { .. } => "opening",
        Role::Leading { .. } => "primary",
    };
    field(text, "node_id", view.node_id);
    field(text, "cluster_id", &view.cluster_id);
    field(text, "node_role", role);
    field(text, "leader_id", view.leader.map_or(0, |l| l.id));
    field(text, "term", view.term);
    field(text, "epoch", x.core.sequence.epoch);
    field(text, "members", view.members.len());
    field(text, "log_last_index", facts.last_log);
    field(text, "log_committed_index", facts.committed);
    field(text, "log_applied_index", facts.applied);
    field(text, "log_bytes", facts.log_bytes);
    field(text, "log_syncs", facts.log_syncs);
    field(text, "log_sync_p50_usec", facts.sync_p50_us);
    field(text, "log_sync_p99_usec", facts.sync_p99_us);
    field(text, "batches_in_flight", x.core.in_flight());
    field(text, "store_durable_index", facts.durable);
    field(text, "store_backlog_bytes", facts.store_backlog_bytes);
    field(text, "store_disk_bytes", facts.store_disk_bytes);
    field(text, "data_bytes", x.core.ks.bytes());
    field(text, "data_keys", x.core.ks.len());
    field(text, "staleness_ms", x.core.staleness_ms());
}
