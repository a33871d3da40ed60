//! What a node tells Prometheus: names and units by its conventions, in its text format.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>
//!
//! Always: what is told is counted anyway; asking takes the engine's lock for a moment, and is put off while a script has it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hdrhistogram::Histogram;
use tokio::net::TcpListener;

use super::{Facts, Server};
use crate::command::table::SPECS;
use crate::engine::Role;

/// Upper bounds of buckets, microseconds: from a tenth of a millisecond to five seconds.
const BOUNDS_US: [u64; 15] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
];

/// Answers at `/metrics` until the task ends.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn listen(addr: SocketAddr, server: Arc<Server>) -> std::io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    let app = Router::new().route("/metrics", get(move || answer(server.clone())));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(())
}

async fn answer(server: Arc<Server>) -> Response {
    match text(&server) {
        Some(text) => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, "a script runs: ask again").into_response(),
    }
}

/// A page of metrics.
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, "gauge", help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// The buckets of one histogram; `label` is empty or `name="value",`. `unit` is how many of its units a microsecond is.
    fn buckets(&mut self, name: &str, label: &str, histogram: &Histogram<u64>, unit: u64) {
        let mut seen = 0;
        let mut bounds = BOUNDS_US.iter().peekable();
        let mut sum = 0.0;
        for value in histogram.iter_recorded() {
            let at = value.value_iterated_to();
            while let Some(bound) = bounds.next_if(|b| **b * unit < at) {
                self.bucket(name, label, *bound, seen);
            }
            seen += value.count_since_last_iteration();
            sum += at as f64 * value.count_since_last_iteration() as f64;
        }
        for bound in bounds {
            self.bucket(name, label, *bound, seen);
        }
        let seconds = sum / (unit as f64 * 1e6);
        let bare = label.trim_end_matches(',');
        let braces = if bare.is_empty() {
            String::new()
        } else {
            format!("{{{bare}}}")
        };
        let _ = write!(
            self.0,
            "{name}_bucket{{{label}le=\"+Inf\"}} {seen}\n{name}_sum{braces} {seconds}\n{name}_count{braces} {seen}\n"
        );
    }

    fn bucket(&mut self, name: &str, label: &str, bound_us: u64, seen: u64) {
        let bound = bound_us as f64 / 1e6;
        let _ = writeln!(self.0, "{name}_bucket{{{label}le=\"{bound}\"}} {seen}");
    }
}

/// All metrics; `None` while a script has the engine.
fn text(server: &Server) -> Option<String> {
    let facts: Facts = (server.facts)();
    let mut page = Page::default();
    page.head(
        "pontoon_certificate_ends_seconds",
        "gauge",
        "When a certificate ends, Unix time.",
    );
    for (what, path) in &server.options.certificates {
        if let Some(end) = crate::tls::files::ends(path) {
            let _ = writeln!(
                page.0,
                "pontoon_certificate_ends_seconds{{of=\"{what}\"}} {end}"
            );
        }
    }
    {
        let core = server.engine.try_lock()?;
        let role = match core.role {
            Role::Loading => "loading",
            Role::Standby => "standby",
            Role::Opening { .. } | Role::Leading { .. } => "primary",
        };
        page.head("pontoon_role", "gauge", "1 for the role that the node has.");
        for known in ["loading", "standby", "primary"] {
            let is = u8::from(known == role);
            let _ = writeln!(page.0, "pontoon_role{{role=\"{known}\"}} {is}");
        }
        page.gauge("pontoon_keys", "Keys of all databases.", core.ks.len());
        page.gauge(
            "pontoon_memory_used_bytes",
            "Memory of the data.",
            core.ks.bytes(),
        );
        page.gauge(
            "pontoon_memory_max_bytes",
            "Memory that the data may take; 0 is no limit.",
            core.settings.maxmemory,
        );
        page.counter(
            "pontoon_keys_expired_total",
            "Keys that expired.",
            core.stats.expired,
        );
        page.counter(
            "pontoon_keys_evicted_total",
            "Keys that were evicted.",
            core.stats.evicted,
        );
        page.counter(
            "pontoon_keyspace_hits_total",
            "Keys that were looked up and there.",
            core.stats.hits,
        );
        page.counter(
            "pontoon_keyspace_misses_total",
            "Keys that were looked up and not there.",
            core.stats.misses,
        );
        page.gauge(
            "pontoon_staleness_seconds",
            "How far the data of a standby may be behind the primary's.",
            core.staleness_ms() as f64 / 1000.0,
        );
        page.head(
            "pontoon_commit_seconds",
            "histogram",
            "From the proposal of a batch of writes to its commit, at the primary.",
        );
        page.buckets("pontoon_commit_seconds", "", core.commits(), 1);
    }
    page.gauge(
        "pontoon_clients",
        "Connected clients.",
        server.clients.len(),
    );
    page.gauge(
        "pontoon_clients_max",
        "Clients that may be connected.",
        server.live.maxclients.load(Relaxed),
    );
    let c = &server.counters;
    for (name, help, value) in [
        (
            "connections",
            "Connections that were accepted.",
            &c.connections,
        ),
        (
            "connections_rejected",
            "Connections that were refused since there were too many.",
            &c.rejected,
        ),
        ("commands", "Commands that were run.", &c.commands),
        (
            "errors",
            "Commands that were answered by an error.",
            &c.errors,
        ),
        ("received_bytes", "Bytes from clients.", &c.bytes_in),
        ("sent_bytes", "Bytes to clients.", &c.bytes_out),
    ] {
        page.counter(&format!("pontoon_{name}_total"), help, value.load(Relaxed));
    }
    raft(&mut page, &facts);
    let name = "pontoon_command_seconds";
    page.head(
        name,
        "histogram",
        "How long a command ran at this node, by command.",
    );
    for (id, spec) in SPECS.iter().enumerate() {
        if let Some(histogram) = server.stats.latency_of(id) {
            let label = format!("command=\"{}\",", spec.full_name);
            page.buckets(name, &label, &histogram, 1000);
        }
    }
    Some(page.0)
}

fn raft(page: &mut Page, facts: &Facts) {
    page.gauge("pontoon_term", "Raft's term.", facts.term);
    for (name, help, value) in [
        (
            "pontoon_log_last_index",
            "The last entry of the log.",
            facts.last_log,
        ),
        (
            "pontoon_log_committed_index",
            "The highest entry that is known to be committed.",
            facts.committed,
        ),
        (
            "pontoon_log_applied_index",
            "The highest entry whose effect is in memory.",
            facts.applied,
        ),
        (
            "pontoon_log_durable_index",
            "The highest entry whose effect is on the store's disk.",
            facts.durable,
        ),
        ("pontoon_log_bytes", "The log on disk.", facts.log_bytes),
        (
            "pontoon_store_backlog_bytes",
            "Rows that wait to be written to the store.",
            facts.store_backlog_bytes,
        ),
        (
            "pontoon_store_bytes",
            "The store on disk.",
            facts.store_disk_bytes,
        ),
        (
            "pontoon_disk_free_bytes",
            "Free space of the data folder's disk.",
            facts.disk_free,
        ),
    ] {
        page.gauge(name, help, value);
    }
    page.head(
        "pontoon_log_sync_seconds",
        "histogram",
        "How long an fdatasync of the log took.",
    );
    if let Some(histogram) = &facts.sync_us {
        page.buckets("pontoon_log_sync_seconds", "", histogram, 1);
    }
    page.head(
        "pontoon_standby_lag_entries",
        "gauge",
        "Entries that a standby lacks, as the primary knows it.",
    );
    for (addr, matched, _) in &facts.followers {
        let lag = facts.last_log.saturating_sub(*matched);
        let _ = writeln!(
            page.0,
            "pontoon_standby_lag_entries{{standby=\"{addr}\"}} {lag}"
        );
    }
    page.head(
        "pontoon_standby_up",
        "gauge",
        "Whether a standby answers the primary.",
    );
    for (addr, _, up) in &facts.followers {
        let _ = writeln!(
            page.0,
            "pontoon_standby_up{{standby=\"{addr}\"}} {}",
            u8::from(*up)
        );
    }
    page.head("pontoon_build_info", "gauge", "The version that runs.");
    let _ = writeln!(
        page.0,
        "pontoon_build_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::{Shell, server};

    #[test]
    fn what_happened_is_told() {
        let server = server(|_| {});
        let mut shell = Shell::of(&server);
        shell.check(&[("set k v", "OK"), ("get k", "\"v\""), ("get none", "nil")]);
        let text = text(&server).unwrap();
        for line in [
            "pontoon_role{role=\"primary\"} 1",
            "pontoon_keys 1",
            "pontoon_keyspace_hits_total 1",
            "pontoon_keyspace_misses_total 1",
            "pontoon_command_seconds_count{command=\"get\"} 2",
            "pontoon_command_seconds_bucket{command=\"get\",le=\"+Inf\"} 2",
            "pontoon_commit_seconds_count 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn buckets_add_up() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).unwrap();
        for us in [40, 90, 90, 3_000, 9_000_000] {
            histogram.record(us).unwrap();
        }
        let mut page = Page::default();
        page.buckets("x", "", &histogram, 1);
        for line in [
            "x_bucket{le=\"0.00005\"} 1",
            "x_bucket{le=\"0.0001\"} 3",
            "x_bucket{le=\"0.0025\"} 3",
            "x_bucket{le=\"0.005\"} 4",
            "x_bucket{le=\"5\"} 4",
            "x_bucket{le=\"+Inf\"} 5",
            "x_count 5",
        ] {
            assert!(
                page.0.lines().any(|l| l == line),
                "{line} is not in\n{}",
                page.0
            );
        }
    }
}
