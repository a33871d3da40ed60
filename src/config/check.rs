//! What must hold of a configuration as a whole: ranges, what is required, and how keys relate.
//!
//! Paths of certificates are only required to be given: whether they can be read and match is said by `tls` when it
//! opens them.

use std::collections::HashSet;
use std::net::SocketAddr;

use super::keys::Node;
use super::load::Problem;
use super::types::Role;
use crate::base::limits;

/// The longest cluster id: with `node-<id>.` before it and `.pontoon` behind, each label stays within DNS's 63.
const CLUSTER_ID_LEN_MAX: usize = 40;

impl Node {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let mut problem = |key: &str, wrong: String, right: &str| {
            problems.push(Problem::new(key, wrong, right.to_string()))
        };

        // Who this node is.
        if self.node_id == 0 {
            problem(
                "node_id",
                "it is missing or 0".into(),
                "give a number from 1",
            );
        }
        if let Some(wrong) = cluster_id_wrong(&self.cluster_id) {
            problem(
                "cluster_id",
                wrong,
                "give lower-case letters, digits and hyphens, 1 to 40 of them",
            );
        }
        let witness = self.role == Role::Witness;
        for (name, path) in [
            ("data_dir", &self.data_dir),
            ("tls_cert", &self.tls_cert),
            ("tls_key", &self.tls_key),
            ("peer_cert", &self.peer_cert),
            ("peer_key", &self.peer_key),
            ("peer_ca", &self.peer_ca),
        ] {
            let for_clients = name.starts_with("tls_");
            if path.as_os_str().is_empty() && !(witness && for_clients) {
                problem(name, "it is missing".into(), "give a path");
            }
        }
        let password = self.password.expose();
        if password.is_empty() && !witness {
            problem(
                "password",
                "it is missing".into(),
                "give password_file (or password), not empty",
            );
        } else if password.len() > 512 {
            problem(
                "password",
                format!("it is {} bytes long", password.len()),
                "give at most 512 bytes",
            );
        }

        // Where it listens and what it is called.
        if self.client_addr.port() != 0 && self.client_addr.port() == self.peer_addr.port() {
            problem(
                "peer_addr",
                "it has the port of client_addr".into(),
                "give each listener its own port",
            );
        }
        if !self.metrics_addr.is_empty() && self.metrics_addr.parse::<SocketAddr>().is_err() {
            problem(
                "metrics_addr",
                format!("{:?} is not an address and a port", self.metrics_addr),
                "give for example 127.0.0.1:9121, or leave it empty",
            );
        }
        if !self.announced.is_empty() && !is_host_port(&self.announced) {
            problem(
                "announced",
                format!("{:?} is not host:port", self.announced),
                "give for example db1.example:6379",
            );
        }
        if self.redirect && self.announced.is_empty() && self.client_addr.ip().is_unspecified() {
            problem(
                "announced",
                "redirect is on and clients cannot be told an unspecified address".into(),
                "give the host:port at which clients reach this node",
            );
        }
        if let Some(addr) = self.insecure_plaintext.filter(|a| !is_loopback(a)) {
            problem(
                "insecure_plaintext",
                format!("{addr} can be reached from other machines"),
                "give a loopback address, such as 127.0.0.1:6380, or leave it out",
            );
        }
        self.check_members(&mut problem);
        self.check_numbers(&mut problem);
    }

    fn check_members(&self, problem: &mut impl FnMut(&str, String, &str)) {
        let mut seen = HashSet::new();
        for m in &self.members {
            if m.id == 0 || !seen.insert(m.id) {
                problem(
                    "members",
                    format!("id {} is 0 or twice there", m.id),
                    "give each member its own id from 1",
                );
            }
            for (what, addr) in [("peer_addr", &m.peer_addr), ("client_addr", &m.client_addr)] {
                if !is_host_port(addr) {
                    problem(
                        "members",
                        format!("{what} {addr:?} of id {} is not host:port", m.id),
                        "give for example db1:7379",
                    );
                }
            }
            if !m.announced.is_empty() && !is_host_port(&m.announced) {
                problem(
                    "members",
                    format!(
                        "announced {:?} of id {} is not host:port",
                        m.announced, m.id
                    ),
                    "give for example db1.example:6379",
                );
            }
        }
        let listed = self.members.iter().find(|m| m.id == self.node_id);
        if let Some(own) = listed.filter(|m| m.data == (self.role == Role::Witness)) {
            problem(
                "role",
                format!("members has data = {} for this node", own.data),
                "give a witness data = false there, and a data node data = true",
            );
        }
        if self.role == Role::Witness && self.bootstrap {
            problem(
                "bootstrap",
                "it is on and this node is a witness".into(),
                "let a data node make the cluster",
            );
        }
        if self.role == Role::Witness && !self.members.iter().any(|m| m.data) {
            problem(
                "members",
                "role is witness and no data node is listed".into(),
                "list the data nodes: an empty witness asks them whether it was wiped",
            );
        }
        if self.bootstrap && !self.members.iter().any(|m| m.id == self.node_id) {
            problem(
                "members",
                format!("bootstrap is on and id {} is not among them", self.node_id),
                "list this node too",
            );
        }
        if self.bootstrap && !self.members.is_empty() && !self.members.iter().any(|m| m.data) {
            problem(
                "members",
                "all are witnesses".into(),
                "give at least one member data = true",
            );
        }
    }

    fn check_numbers(&self, problem: &mut impl FnMut(&str, String, &str)) {
        let mut within = |name: &str, value: u64, min: u64, max: u64| {
            if value < min || value > max {
                problem(
                    name,
                    format!("it is {value}"),
                    &format!("give {min} to {max}"),
                );
            }
        };
        within("memory_mib", self.memory_mib, 32, 1 << 24);
        within("maxmemory_percent", self.maxmemory_percent, 10, 90);
        within("databases", self.databases, 1, limits::DATABASES_MAX as u64);
        within(
            "standby_staleness_ms",
            self.standby_staleness_ms,
            10,
            3_600_000,
        );
        within("idle_timeout_s", self.idle_timeout_s, 0, 31_536_000);
        within("heartbeat_ms", self.heartbeat_ms, 10, 10_000);
        within(
            "election_timeout_min_ms",
            self.election_timeout_min_ms,
            50,
            60_000,
        );
        within(
            "election_timeout_max_ms",
            self.election_timeout_max_ms,
            51,
            60_000,
        );
        within("io_threads", self.io_threads, 0, 256);
        within(
            "log_segment_bytes",
            self.log_segment_bytes,
            1 << 20,
            1 << 30,
        );
        within(
            "log_disk_cap_bytes",
            self.log_disk_cap_bytes,
            8 << 20,
            1 << 50,
        );
        within("scrub_interval_s", self.scrub_interval_s, 0, 31_536_000);
        within("disk_low_mib", self.disk_low_mib, 0, 1 << 20);
        within("disk_ballast_mib", self.disk_ballast_mib, 0, 1 << 20);
        within(
            "store_window_bytes",
            self.store_window_bytes,
            1 << 20,
            1 << 30,
        );
        within(
            "store_backlog_bytes",
            self.store_backlog_bytes,
            2 << 20,
            1 << 32,
        );
        within(
            "store_flush_interval_ms",
            self.store_flush_interval_ms,
            100,
            3_600_000,
        );
        if self.election_timeout_min_ms >= self.election_timeout_max_ms {
            problem(
                "election_timeout_max_ms",
                format!(
                    "it is {} and election_timeout_min_ms is {}",
                    self.election_timeout_max_ms, self.election_timeout_min_ms
                ),
                "give more than election_timeout_min_ms, so that two nodes seldom stand at once",
            );
        }
        if self.election_timeout_min_ms < self.heartbeat_ms.saturating_mul(2) {
            problem(
                "election_timeout_min_ms",
                format!(
                    "it is {} and heartbeat_ms is {}",
                    self.election_timeout_min_ms, self.heartbeat_ms
                ),
                "give at least twice heartbeat_ms, so that one late heartbeat is no failover",
            );
        }
        if self.log_disk_cap_bytes < self.log_segment_bytes.saturating_mul(4) {
            problem(
                "log_disk_cap_bytes",
                format!(
                    "it is {} and log_segment_bytes is {}",
                    self.log_disk_cap_bytes, self.log_segment_bytes
                ),
                "give room for at least 4 segments",
            );
        }
        if self.store_backlog_bytes < self.store_window_bytes.saturating_mul(2) {
            problem(
                "store_backlog_bytes",
                format!(
                    "it is {} and store_window_bytes is {}",
                    self.store_backlog_bytes, self.store_window_bytes
                ),
                "give at least twice store_window_bytes, so that one is filled while one is written",
            );
        }
        for name in &self.restricted_commands {
            if name.is_empty()
                || !name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'-' || b == b'_')
            {
                problem(
                    "restricted_commands",
                    format!("{name:?} is no command"),
                    "give names in lower case",
                );
            }
        }
    }
}

/// Checks a cluster's id.
///
/// # Errors
/// What is wrong with it.
pub fn check_cluster_id(id: &str) -> Result<(), String> {
    cluster_id_wrong(id).map_or(Ok(()), Err)
}

fn cluster_id_wrong(id: &str) -> Option<String> {
    if id.is_empty() {
        return Some("it is missing".into());
    }
    let fits = id.len() <= CLUSTER_ID_LEN_MAX
        && id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !id.starts_with('-')
        && !id.ends_with('-');
    (!fits).then(|| format!("{id:?} cannot be part of a certificate's name"))
}

fn is_loopback(addr: &SocketAddr) -> bool {
    addr.ip().to_canonical().is_loopback()
}

/// Whether `text` is a host (a name, an IPv4 address, or an IPv6 address in brackets) and a port.
pub(crate) fn is_host_port(text: &str) -> bool {
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return addr.port() != 0;
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let name = !host.is_empty()
        && host.len() <= 253
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_');
    name && port.parse::<u16>().is_ok_and(|p| p != 0)
}
