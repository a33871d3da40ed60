//! The parameters of CONFIG: name, second name, kind, default of Redis 7.2, traits. Always: sorted
//! by name. What takes effect here is in `live`; the others are kept and shown.

use super::kinds::Kind::{self, *};
use super::kinds::Unit::*;
use crate::base::limits::DATABASES_MAX;

/// Set at start alone.
pub const IMMUTABLE: u8 = 1 << 0;
/// Found by its exact name only.
pub const HIDDEN: u8 = 1 << 1;
/// Never set at run time.
pub const PROTECTED: u8 = 1 << 2;
/// Never shown in logs.
pub const SECRET: u8 = 1 << 3;

const INT: i128 = i32::MAX as i128;
const UINT: i128 = u32::MAX as i128;
const LONG: i128 = i64::MAX as i128;
const ULLONG: i128 = u64::MAX as i128;

/// One parameter.
pub struct Parameter {
    pub name: &'static str,
    /// A second name, from before Redis renamed it; may be empty.
    pub alias: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    pub traits: u8,
}

const fn p(
    name: &'static str,
    alias: &'static str,
    kind: Kind,
    default: &'static str,
    traits: u8,
) -> Parameter {
    Parameter {
        name,
        alias,
        kind,
        default,
        traits,
    }
}

/// All parameters.
#[rustfmt::skip]
pub static PARAMETERS: &[Parameter] = &[
    p("acl-pubsub-default", "", Word(&["allchannels", "resetchannels"]), "resetchannels", 0),
    p("aclfile", "", Text, "", IMMUTABLE),
    p("acllog-max-len", "", Number(0, LONG, Plain), "128", 0),
    p("active-defrag-cycle-max", "", Number(1, 99, Plain), "25", 0),
    p("active-defrag-cycle-min", "", Number(1, 99, Plain), "1", 0),
    p("active-defrag-ignore-bytes", "", Number(1, LONG, Memory), "104857600", 0),
    p("active-defrag-max-scan-fields", "", Number(1, LONG, Plain), "1000", 0),
    p("active-defrag-threshold-lower", "", Number(0, 1000, Plain), "10", 0),
    p("active-defrag-threshold-upper", "", Number(0, 1000, Plain), "100", 0),
    p("active-expire-effort", "", Number(1, 10, Plain), "1", 0),
    p("activedefrag", "", Bool, "no", 0),
    p("activerehashing", "", Bool, "yes", 0),
    p("allow-list", "", Addresses, "", HIDDEN),
    p("always-show-logo", "", Bool, "no", IMMUTABLE),
    p("aof-disable-auto-gc", "", Bool, "no", HIDDEN),
    p("aof-load-truncated", "", Bool, "yes", 0),
    p("aof-rewrite-incremental-fsync", "", Bool, "yes", 0),
    p("aof-timestamp-enabled", "", Bool, "no", 0),
    p("aof-use-rdb-preamble", "", Bool, "yes", 0),
    p("aof_rewrite_cpulist", "", Text, "", IMMUTABLE),
    p("appenddirname", "", Text, "appendonlydir", IMMUTABLE),
    p("appendfilename", "", Text, "appendonly.aof", IMMUTABLE),
    p("appendfsync", "", Word(&["everysec", "always", "no"]), "everysec", 0),
    p("appendonly", "", Bool, "no", 0),
    p("auto-aof-rewrite-min-size", "", Number(0, LONG, Memory), "67108864", 0),
    p("auto-aof-rewrite-percentage", "", Number(0, INT, Plain), "100", 0),
    p("bgsave_cpulist", "", Text, "", IMMUTABLE),
    p("bind", "", Text, "* -::*", 0),
    p("bind-source-addr", "", Text, "", 0),
    p("bio_cpulist", "", Text, "", IMMUTABLE),
    p("busy-reply-threshold", "lua-time-limit", Number(0, LONG, Plain), "5000", 0),
    p("client-output-buffer-limit", "", OutputLimits, crate::server::clients::OUTPUT_LIMITS, 0),
    p("client-query-buffer-limit", "", Number(1048576, LONG, Memory), "1073741824", 0),
    p("close-subscribers-on-failover", "", Bool, "yes", HIDDEN),
    p("cluster-allow-pubsubshard-when-down", "", Bool, "yes", 0),
    p("cluster-allow-reads-when-down", "", Bool, "no", 0),
    p("cluster-allow-replica-migration", "", Bool, "yes", 0),
    p("cluster-announce-bus-port", "", Number(0, 65535, Plain), "0", 0),
    p("cluster-announce-hostname", "", Text, "", 0),
    p("cluster-announce-human-nodename", "", Text, "", 0),
    p("cluster-announce-ip", "", Text, "", 0),
    p("cluster-announce-port", "", Number(0, 65535, Plain), "0", 0),
    p("cluster-announce-tls-port", "", Number(0, 65535, Plain), "0", 0),
    p("cluster-config-file", "", Text, "nodes.conf", IMMUTABLE),
    p("cluster-enabled", "", Bool, "no", IMMUTABLE),
    p("cluster-link-sendbuf-limit", "", Number(0, ULLONG, Memory), "0", 0),
    p("cluster-migration-barrier", "", Number(0, INT, Plain), "1", 0),
    p("cluster-node-timeout", "", Number(0, LONG, Plain), "15000", 0),
    p("cluster-ping-interval", "", Number(0, LONG, Plain), "0", HIDDEN),
    p("cluster-port", "", Number(0, 65535, Plain), "0", IMMUTABLE),
    p("cluster-preferred-endpoint-type", "", Word(&["ip", "hostname", "unknown-endpoint"]), "ip", 0),
    p("cluster-replica-no-failover", "cluster-slave-no-failover", Bool, "no", 0),
    p("cluster-replica-validity-factor", "cluster-slave-validity-factor", Number(0, INT, Plain), "10", 0),
    p("cluster-require-full-coverage", "", Bool, "yes", 0),
    p("crash-log-enabled", "", Bool, "yes", 0),
    p("crash-memcheck-enabled", "", Bool, "yes", 0),
    p("daemonize", "", Bool, "no", IMMUTABLE),
    p("databases", "", Number(1, DATABASES_MAX as i128, Plain), "16", 0),
    p("dbfilename", "", Text, "dump.rdb", PROTECTED),
    p("dir", "", Text, "", PROTECTED),
    p("disable-thp", "", Bool, "yes", IMMUTABLE),
    p("dynamic-hz", "", Bool, "yes", 0),
    p("enable-debug-command", "", Word(&["no", "yes", "local"]), "no", IMMUTABLE),
    p("enable-module-command", "", Word(&["no", "yes", "local"]), "no", IMMUTABLE),
    p("enable-protected-configs", "", Word(&["no", "yes", "local"]), "no", IMMUTABLE),
    p("functions", "", Bool, "no", HIDDEN),
    p("hash-max-listpack-entries", "hash-max-ziplist-entries", Number(0, LONG, Plain), "128", 0),
    p("hash-max-listpack-value", "hash-max-ziplist-value", Number(0, LONG, Memory), "64", 0),
    p("hll-sparse-max-bytes", "", Number(0, LONG, Memory), "3000", 0),
    p("hz", "", Number(0, INT, Plain), "10", 0),
    p("ignore-warnings", "", Text, "", 0),
    p("io-threads", "", Number(1, 128, Plain), "1", IMMUTABLE),
    p("io-threads-do-reads", "", Bool, "no", IMMUTABLE),
    p("jemalloc-bg-thread", "", Bool, "yes", 0),
    p("key-load-delay", "", Number(-2147483648, INT, Plain), "0", HIDDEN),
    p("latency-monitor-threshold", "", Number(0, LONG, Plain), "0", 0),
    p("latency-tracking", "", Bool, "yes", 0),
    p("latency-tracking-info-percentiles", "", Percentiles, "50 99 99.9", 0),
    p("lazyfree-lazy-eviction", "", Bool, "no", 0),
    p("lazyfree-lazy-expire", "", Bool, "no", 0),
    p("lazyfree-lazy-server-del", "", Bool, "no", 0),
    p("lazyfree-lazy-user-del", "", Bool, "no", 0),
    p("lazyfree-lazy-user-flush", "", Bool, "no", 0),
    p("lfu-decay-time", "", Number(0, INT, Plain), "1", 0),
    p("lfu-log-factor", "", Number(0, INT, Plain), "10", 0),
    p("list-compress-depth", "", Number(0, INT, Plain), "0", 0),
    p("list-max-listpack-size", "list-max-ziplist-size", Number(-2147483648, INT, Plain), "-2", 0),
    p("loading-process-events-interval-bytes", "", Number(1024, INT, Plain), "2097152", HIDDEN),
    p("locale-collate", "", Text, "", 0),
    p("logfile", "", Text, "", IMMUTABLE),
    p("loglevel", "", Word(&["debug", "verbose", "notice", "warning", "nothing"]), "notice", 0),
    p("lua-scripting", "", Bool, "yes", HIDDEN),
    p("masterauth", "", Text, "", SECRET),
    p("masteruser", "", Text, "", SECRET),
    p("maxclients", "", Number(1, UINT, Plain), "10000", 0),
    p("maxmemory", "", Number(0, ULLONG, Memory), "0", 0),
    p("maxmemory-clients", "", Number(-100, LONG, Percent), "0", 0),
    p("maxmemory-eviction-tenacity", "", Number(0, 100, Plain), "10", 0),
    p("maxmemory-policy", "", Word(&["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction"]), "noeviction", 0),
    p("maxmemory-samples", "", Number(1, INT, Plain), "5", 0),
    p("min-replicas-max-lag", "min-slaves-max-lag", Number(0, INT, Plain), "10", 0),
    p("min-replicas-to-write", "min-slaves-to-write", Number(0, INT, Plain), "0", 0),
    p("no-appendfsync-on-rewrite", "", Bool, "no", 0),
    p("notify-keyspace-events", "", Events, "", 0),
    p("oom-score-adj", "", Word(&["no", "yes", "relative", "absolute"]), "no", 0),
    p("oom-score-adj-values", "", OomScores, "0 200 800", 0),
    p("pidfile", "", Text, "", IMMUTABLE),
    p("port", "", Number(0, 65535, Plain), "6379", 0),
    p("proc-title-template", "", Text, "{title} {listen-addr} {server-mode}", 0),
    p("propagation-error-behavior", "", Word(&["ignore", "panic", "panic-on-replicas"]), "ignore", 0),
    p("protected-mode", "", Bool, "yes", 0),
    p("proto-max-bulk-len", "", Number(1048576, LONG, Memory), "536870912", 0),
    p("rdb-del-sync-files", "", Bool, "no", 0),
    p("rdb-key-save-delay", "", Number(-2147483648, INT, Plain), "0", HIDDEN),
    p("rdb-save-incremental-fsync", "", Bool, "yes", 0),
    p("rdbchecksum", "", Bool, "yes", IMMUTABLE),
    p("rdbcompression", "", Bool, "yes", 0),
    p("redirect", "", Bool, "no", HIDDEN),
    p("repl-backlog-size", "", Number(1, LONG, Memory), "1048576", 0),
    p("repl-backlog-ttl", "", Number(0, LONG, Plain), "3600", 0),
    p("repl-disable-tcp-nodelay", "", Bool, "no", 0),
    p("repl-diskless-load", "", Word(&["disabled", "on-empty-db", "swapdb"]), "disabled", 0),
    p("repl-diskless-sync", "", Bool, "yes", 0),
    p("repl-diskless-sync-delay", "", Number(0, INT, Plain), "5", 0),
    p("repl-diskless-sync-max-replicas", "", Number(0, INT, Plain), "0", 0),
    p("repl-ping-replica-period", "repl-ping-slave-period", Number(1, INT, Plain), "10", 0),
    p("repl-timeout", "", Number(1, INT, Plain), "60", 0),
    p("replica-announce-ip", "slave-announce-ip", Text, "", 0),
    p("replica-announce-port", "slave-announce-port", Number(0, 65535, Plain), "0", 0),
    p("replica-announced", "", Bool, "yes", 0),
    p("replica-ignore-disk-write-errors", "", Bool, "no", 0),
    p("replica-ignore-maxmemory", "slave-ignore-maxmemory", Bool, "yes", 0),
    p("replica-lazy-flush", "slave-lazy-flush", Bool, "no", 0),
    p("replica-priority", "slave-priority", Number(0, INT, Plain), "100", 0),
    p("replica-read-only", "slave-read-only", Bool, "yes", 0),
    p("replica-serve-stale-data", "slave-serve-stale-data", Bool, "yes", 0),
    p("replicaof", "slaveof", Text, "", IMMUTABLE),
    p("requirepass", "", Text, "", SECRET),
    p("restricted-commands", "", Commands, "", HIDDEN),
    p("sanitize-dump-payload", "", Word(&["no", "yes", "clients"]), "no", 0),
    p("save", "", Save, "", 0),
    p("server_cpulist", "", Text, "", IMMUTABLE),
    p("set-max-intset-entries", "", Number(0, LONG, Plain), "512", 0),
    p("set-max-listpack-entries", "", Number(0, LONG, Plain), "128", 0),
    p("set-max-listpack-value", "", Number(0, LONG, Plain), "64", 0),
    p("set-proc-title", "", Bool, "yes", IMMUTABLE),
    p("shutdown-on-sigint", "", Words(&["default", "save", "nosave", "now", "force"]), "default", 0),
    p("shutdown-on-sigterm", "", Words(&["default", "save", "nosave", "now", "force"]), "default", 0),
    p("shutdown-timeout", "", Number(0, INT, Plain), "10", 0),
    p("slowlog-log-slower-than", "", Number(-1, LONG, Plain), "10000", 0),
    p("slowlog-max-len", "", Number(0, LONG, Plain), "128", 0),
    p("socket-mark-id", "", Number(0, UINT, Plain), "0", IMMUTABLE),
    p("stop-writes-on-bgsave-error", "", Bool, "yes", 0),
    p("stream-node-max-bytes", "", Number(0, LONG, Memory), "4096", 0),
    p("stream-node-max-entries", "", Number(0, LONG, Plain), "100", 0),
    p("supervised", "", Word(&["upstart", "systemd", "auto", "no"]), "no", IMMUTABLE),
    p("syslog-enabled", "", Bool, "no", IMMUTABLE),
    p("syslog-facility", "", Word(&["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]), "local0", IMMUTABLE),
    p("syslog-ident", "", Text, "redis", IMMUTABLE),
    p("tcp-backlog", "", Number(0, INT, Plain), "511", IMMUTABLE),
    p("tcp-keepalive", "", Number(0, INT, Plain), "300", 0),
    p("timeout", "", Number(0, INT, Plain), "0", 0),
    p("tls-auth-clients", "", Word(&["no", "yes", "optional"]), "yes", 0),
    p("tls-ca-cert-dir", "", Text, "", 0),
    p("tls-ca-cert-file", "", Text, "", 0),
    p("tls-cert-file", "", Text, "", 0),
    p("tls-ciphers", "", Text, "", 0),
    p("tls-ciphersuites", "", Text, "", 0),
    p("tls-client-cert-file", "", Text, "", 0),
    p("tls-client-key-file", "", Text, "", 0),
    p("tls-client-key-file-pass", "", Text, "", 0),
    p("tls-cluster", "", Bool, "no", 0),
    p("tls-dh-params-file", "", Text, "", 0),
    p("tls-key-file", "", Text, "", 0),
    p("tls-key-file-pass", "", Text, "", 0),
    p("tls-port", "", Number(0, 65535, Plain), "0", 0),
    p("tls-prefer-server-ciphers", "", Bool, "no", 0),
    p("tls-protocols", "", Text, "", 0),
    p("tls-replication", "", Bool, "no", 0),
    p("tls-session-cache-size", "", Number(0, INT, Plain), "20480", 0),
    p("tls-session-cache-timeout", "", Number(0, INT, Plain), "300", 0),
    p("tls-session-caching", "", Bool, "yes", 0),
    p("tracking-table-max-keys", "", Number(0, LONG, Plain), "1000000", 0),
    p("unixsocket", "", Text, "", IMMUTABLE),
    p("unixsocketperm", "", Number(0, 511, Octal), "0", IMMUTABLE),
    p("use-exit-on-panic", "", Bool, "no", HIDDEN),
    p("watchdog-period", "", Number(0, INT, Plain), "0", HIDDEN),
    p("zset-max-listpack-entries", "zset-max-ziplist-entries", Number(0, LONG, Plain), "128", 0),
    p("zset-max-listpack-value", "zset-max-ziplist-value", Number(0, LONG, Memory), "64", 0),
];

/// The parameter of a name or second name, in any case.
pub fn by_name(name: &[u8]) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|p| {
        p.name.as_bytes().eq_ignore_ascii_case(name)
            || !p.alias.is_empty() && p.alias.as_bytes().eq_ignore_ascii_case(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_each_default_is_valid() {
        assert!(PARAMETERS.windows(2).all(|w| w[0].name < w[1].name));
        for p in PARAMETERS {
            let parsed = p.kind.parse(p.default.as_bytes(), p.default);
            assert_eq!(parsed.as_deref(), Ok(p.default), "{}", p.name);
        }
    }
}
