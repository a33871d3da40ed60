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
