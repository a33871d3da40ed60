//! The parameters that take effect here: where each is read from and what setting it changes.
//!
//! A parameter without a row here is kept as text and shown.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::base::allow::Allow;
use crate::base::limits::REQUEST_LEN_MAX;
use crate::data::Limits;
use crate::engine::Core;
use crate::keyspace::evict::Policy;
use crate::server::Server;
use crate::server::clients::OUTPUT_LIMITS;

use super::kinds;

/// How a parameter is read and set; a value to set is one that its kind returned.
pub struct Row {
    pub name: &'static str,
    pub get: fn(&See<'_>) -> String,
    /// `None`: it cannot be set.
    pub set: Option<fn(&mut Change<'_>, &str)>,
}

/// What a parameter is read from.
pub struct See<'a> {
    pub core: &'a Core,
    pub server: &'a Server,
}

/// What a parameter changes.
pub struct Change<'a> {
    pub core: &'a mut Core,
    pub server: &'a Server,
}

const fn row(
    name: &'static str,
    get: fn(&See<'_>) -> String,
    set: fn(&mut Change<'_>, &str),
) -> Row {
    Row {
        name,
        get,
        set: Some(set),
    }
}

const fn fixed(name: &'static str, get: fn(&See<'_>) -> String) -> Row {
    Row {
        name,
        get,
        set: None,
    }
}

/// A number that its kind has checked, cut to what the type holds.
fn n(text: &str) -> u64 {
    text.parse().unwrap_or(u64::MAX)
}

fn size(text: &str) -> usize {
    usize::try_from(n(text)).unwrap_or(usize::MAX)
}

fn n32(text: &str) -> u32 {
    u32::try_from(n(text)).unwrap_or(u32::MAX)
}

fn limits<'a>(x: &'a mut Change<'_>) -> &'a mut Limits {
    &mut x.core.ks.limits
}

fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.into()
}

/// All of them.
pub static ROWS: &[Row] = &[
    row(
        "maxmemory",
        |x| x.core.settings.maxmemory.to_string(),
        |x, v| x.core.settings.maxmemory = n(v),
    ),
    row(
        "maxmemory-policy",
        |x| x.core.settings.eviction.policy.name().into(),
        |x, v| x.core.settings.eviction.policy = Policy::parse(v).unwrap_or_default(),
    ),
    row(
        "maxmemory-samples",
        |x| x.core.settings.eviction.samples.to_string(),
        |x, v| x.core.settings.eviction.samples = size(v),
    ),
    row(
        "lfu-log-factor",
        |x| x.core.settings.eviction.lfu_log_factor.to_string(),
        |x, v| x.core.settings.eviction.lfu_log_factor = n32(v),
    ),
    row(
        "lfu-decay-time",
        |x| x.core.settings.eviction.lfu_decay_minutes.to_string(),
        |x, v| x.core.settings.eviction.lfu_decay_minutes = n32(v),
    ),
    row(
        "min-replicas-to-write",
        |x| x.core.settings.replicas_to_write.to_string(),
        |x, v| x.core.settings.replicas_to_write = size(v),
    ),
    row(
        "notify-keyspace-events",
        |x| kinds::events_text(x.core.settings.notify),
        |x, v| {
            let flags = kinds::events(v.as_bytes()).unwrap_or(0);
            x.core.settings.notify = flags;
            x.server.hub.set_notify(flags);
        },
    ),
    row(
        "slowlog-log-slower-than",
        |x| x.core.settings.slowlog_slower_than_us.to_string(),
        |x, v| x.core.settings.slowlog_slower_than_us = v.parse().unwrap_or(i64::MAX),
    ),
    row(
        "slowlog-max-len",
        |x| x.core.settings.slowlog_len_max.to_string(),
        |x, v| x.core.settings.slowlog_len_max = size(v),
    ),
    row(
        "busy-reply-threshold",
        |x| x.server.live.busy_after_ms.load(Relaxed).to_string(),
        |x, v| x.server.live.busy_after_ms.store(n(v), Relaxed),
    ),
    row(
        "latency-monitor-threshold",
        |x| x.core.settings.latency_monitor_ms.to_string(),
        |x, v| x.core.settings.latency_monitor_ms = n(v),
    ),
    row(
        "latency-tracking",
        |x| yes_no(x.server.stats.tracking.load(Relaxed)),
        |x, v| x.server.stats.tracking.store(v == "yes", Relaxed),
    ),
    row(
        "proto-max-bulk-len",
        |x| x.core.settings.bulk_len_max.to_string(),
        |x, v| {
            x.core.settings.bulk_len_max = n(v);
            let max = size(v).min(REQUEST_LEN_MAX);
            x.server.live.bulk_len_max.store(max, Relaxed);
        },
    ),
    row(
        "client-query-buffer-limit",
        |x| x.server.live.request_len_max.load(Relaxed).to_string(),
        |x, v| {
            // Offsets into a request are 32 bits wide: this is the most there can be.
            let max = size(v).min(REQUEST_LEN_MAX);
            x.server.live.request_len_max.store(max, Relaxed);
        },
    ),
    row(
        "timeout",
        |x| x.server.live.timeout_s.load(Relaxed).to_string(),
        |x, v| {
            x.server.live.timeout_s.store(n(v), Relaxed);
            x.server.clients.wake_all();
        },
    ),
    row(
        "maxclients",
        |x| x.server.live.maxclients.load(Relaxed).to_string(),
        |x, v| x.server.live.maxclients.store(size(v), Relaxed),
    ),
    row(
        "hash-max-listpack-entries",
        |x| x.core.ks.limits.hash_max_listpack_entries.to_string(),
        |x, v| limits(x).hash_max_listpack_entries = size(v),
    ),
    row(
        "hash-max-listpack-value",
        |x| x.core.ks.limits.hash_max_listpack_value.to_string(),
        |x, v| limits(x).hash_max_listpack_value = size(v),
    ),
    row(
        "set-max-intset-entries",
        |x| x.core.ks.limits.set_max_intset_entries.to_string(),
        |x, v| limits(x).set_max_intset_entries = size(v),
    ),
    row(
        "set-max-listpack-entries",
        |x| x.core.ks.limits.set_max_listpack_entries.to_string(),
        |x, v| limits(x).set_max_listpack_entries = size(v),
    ),
    row(
        "set-max-listpack-value",
        |x| x.core.ks.limits.set_max_listpack_value.to_string(),
        |x, v| limits(x).set_max_listpack_value = size(v),
    ),
    row(
        "zset-max-listpack-entries",
        |x| x.core.ks.limits.zset_max_listpack_entries.to_string(),
        |x, v| limits(x).zset_max_listpack_entries = size(v),
    ),
    row(
        "zset-max-listpack-value",
        |x| x.core.ks.limits.zset_max_listpack_value.to_string(),
        |x, v| limits(x).zset_max_listpack_value = size(v),
    ),
    row(
        "hll-sparse-max-bytes",
        |x| x.core.settings.hll_sparse_bytes_max.to_string(),
        |x, v| x.core.settings.hll_sparse_bytes_max = size(v),
    ),
    row(
        "list-max-listpack-size",
        |x| x.core.ks.limits.list_max_listpack_size.to_string(),
        |x, v| limits(x).list_max_listpack_size = v.parse().unwrap_or(-2),
    ),
    row(
        "tracking-table-max-keys",
        |x| x.core.tracking.keys_max.to_string(),
        |x, v| {
            x.core.tracking.keys_max = size(v);
            x.core.tracking.bound(&mut x.core.rng);
        },
    ),
    row(
        "stream-node-max-entries",
        |x| x.core.ks.limits.stream_node_max_entries.to_string(),
        |x, v| limits(x).stream_node_max_entries = size(v),
    ),
    row(
        "stream-node-max-bytes",
        |x| x.core.ks.limits.stream_node_max_bytes.to_string(),
        |x, v| limits(x).stream_node_max_bytes = size(v),
    ),
    // It follows from the setting itself, which is part of the data.
    row(
        "databases",
        |x| x.core.ks.selectable().to_string(),
        |_, _| (),
    ),
    // TLS alone is spoken: the port without it is not there.
    fixed("port", |_| "0".into()),
    fixed("tls-port", |x| x.server.options.port.to_string()),
    fixed("cluster-enabled", |x| yes_no(x.server.live.redirects())),
    row(
        "allow-list",
        |x| x.server.live.allow.load().to_string(),
        |x, v| {
            x.server
                .live
                .allow
                .store(Arc::new(Allow::parse(v).unwrap_or_default()));
            x.server.cut_off();
        },
    ),
    row(
        "client-output-buffer-limit",
        |x| {
            let shown = x.core.settings.shown.get("client-output-buffer-limit");
            shown.cloned().unwrap_or_else(|| OUTPUT_LIMITS.into())
        },
        |x, v| {
            let shown = &mut x.core.settings.shown;
            shown.insert("client-output-buffer-limit".into(), v.into());
            // Of the classes pubsub alone has a meaning here: replies are bounded for all, and a replica has its own bound.
            x.server.clients.bounds.set(v);
        },
    ),
    row(
        "close-subscribers-on-failover",
        |x| yes_no(x.server.live.closes_subscribers()),
        |x, v| x.server.live.close_subscribers.store(v == "yes", Relaxed),
    ),
    row(
        "functions",
        |x| yes_no(x.server.live.functions.load(Relaxed)),
        |x, v| x.server.live.functions.store(v == "yes", Relaxed),
    ),
    row(
        "lua-scripting",
        |x| yes_no(x.server.live.scripting.load(Relaxed)),
        |x, v| x.server.live.scripting.store(v == "yes", Relaxed),
    ),
    row(
        "redirect",
        |x| yes_no(x.server.live.redirects()),
        |x, v| x.server.live.redirect.store(v == "yes", Relaxed),
    ),
    row(
        "restricted-commands",
        |x| {
            let list = x.server.live.restricted.load();
            list.iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(" ")
        },
        |x, v| {
            let list = v.split_whitespace().map(str::to_string).collect();
            x.server.live.restricted.store(Arc::new(list));
        },
    ),
    // Every write is synced to the log before its reply: what appendonly with fsync always means.
    fixed("appendonly", |_| "yes".into()),
    fixed("appendfsync", |_| "always".into()),
    fixed("requirepass", |x| {
        String::from_utf8_lossy(&x.server.options.password).into_owned()
    }),
];

/// The row of a parameter, by its first name.
pub fn of(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}
