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
/// Connections that only the operator may use beyond maxclients, so that a full service can be looked at.
pub const CLIENTS_RESERVED: u64 = 32;
/// Files that a node needs besides those of its clients: log, store, peers, certificates.
pub const FILES_RESERVED: u64 = 1024;
/// Files that RocksDB may keep open, at most; within `FILES_RESERVED`.
pub const STORE_OPEN_FILES_MAX: u64 = 768;
/// The most arguments of a client that has not authenticated. Beyond: "ERR Protocol error:
/// unauthenticated multibulk length".
pub const UNAUTHENTICATED_ARGS_MAX: usize = 10;
/// The largest argument of a client that has not authenticated, bytes. Beyond: "ERR Protocol error:
/// unauthenticated bulk length".
pub const UNAUTHENTICATED_BULK_LEN_MAX: usize = 16 * 1024;
/// The longest inline command and protocol header line, bytes. Beyond: "ERR Protocol error: too big
/// inline request", "… mbulk count string" or "… bulk count string".
pub const LINE_LEN_MAX: usize = 64 * 1024;
/// The largest request as a whole, bytes (Redis's client-query-buffer-limit). Beyond: "ERR Protocol
/// error: too big request".
pub const REQUEST_LEN_MAX: usize = 1024 * 1024 * 1024;
/// How deep replies may nest for our own reply parser (tools, tests). Beyond: the reply is refused.
pub const REPLY_DEPTH_MAX: usize = 128;
