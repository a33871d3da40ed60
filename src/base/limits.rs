//! Every bound in one file: queues, buffers, arguments, counts. What a client gets when one is
//! reached stands beside it.

/// The largest bulk string a client may send or build, bytes (Redis's proto-max-bulk-len).
/// Beyond: "ERR Protocol error: invalid bulk length", or "ERR string exceeds maximum allowed size".
pub const BULK_LEN_MAX: usize = 512 * 1024 * 1024;
/// The most arguments one command may have. Beyond: "ERR Protocol error: invalid multibulk length".
pub const ARGS_MAX: usize = 1024 * 1024;
/// Log entries larger than this are split into parts, bytes.
pub const ENTRY_LEN_MAX: usize = 8 * 1024 * 1024;
/// A batch above this is undone and refused before it is proposed, bytes.
pub const BATCH_LEN_MAX: usize = 1024 * 1024 * 1024;
/// Databases of a service, at most.
pub const DATABASES_MAX: usize = 16384;
/// Log entries that a leader has proposed and not seen committed. Beyond: the next batch grows.
pub const IN_FLIGHT_ENTRIES_MAX: usize = 2;
/// Ended eras whose last committed batch is remembered for replies that are still held.
pub const ERAS_REMEMBERED: usize = 64;
/// Keys evicted on behalf of one command. Beyond: the next command goes on.
pub const EVICT_PER_COMMAND_MAX: usize = 1000;
/// Expired keys deleted under one hold of the engine's lock.
pub const EXPIRE_PER_TICK_MAX: usize = 200;
/// Bytes of messages that a subscriber has not read. Beyond: it is disconnected, as in Redis.
pub const SUBSCRIBER_BACKLOG_MAX: usize = 32 * 1024 * 1024;
/// Reply bytes held for one connection above which no further request of it is read.
pub const REPLY_BACKLOG_MAX: usize = 1024 * 1024;
/// Commands of one connection run under one hold of the engine's lock.
pub const COMMANDS_PER_TURN_MAX: usize = 128;
/// Commands queued in one MULTI. Beyond: the transaction is discarded with an error.
pub const QUEUED_COMMANDS_MAX: usize = 1024 * 1024;
/// Bytes of commands queued in one MULTI. Beyond: the transaction is discarded with an error.
pub const QUEUED_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Seconds that a TLS handshake may take. Beyond: the connection is closed.
pub const HANDSHAKE_SECONDS_MAX: u64 = 10;
/// Handshakes under way at once. Beyond: accepting waits.
pub const HANDSHAKES_MAX: usize = 1024;
/// Seconds that a command at a standby waits for a leader to relay to. Beyond: "CLUSTERDOWN".
pub const RELAY_WAIT_SECONDS_MAX: u64 = 5;
