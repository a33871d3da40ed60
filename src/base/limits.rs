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
/// Databases of a service, at most: `databases`, by configuration or as a setting.
pub const DATABASES_MAX: u32 = 16384;
/// Batches that a leader has proposed and not seen committed. Beyond: the next batch grows. One: the sync is the
/// batching clock (docs/decisions).
pub const IN_FLIGHT_ENTRIES_MAX: usize = 1;
/// Parts of one batch that are proposed and not committed: each has up to `ENTRY_LEN_MAX` bytes.
pub const PARTS_IN_FLIGHT_MAX: usize = 2;
/// Ended eras whose last committed batch is remembered for replies that are still held.
pub const ERAS_REMEMBERED: usize = 64;
/// Applied entries whose digest a node can still tell, so that nodes are compared while writes go on.
pub const DIGESTS_REMEMBERED: usize = 8192;
/// Bytes that a node counts as used before it holds a key: its tables and the buffers of a first client.
pub const MEMORY_BASE: u64 = 512 << 10;
/// Keys evicted on behalf of one command. Beyond: the next command goes on.
pub const EVICT_PER_COMMAND_MAX: usize = 1000;
/// Expired keys deleted under one hold of the engine's lock.
pub const EXPIRE_PER_TICK_MAX: usize = 200;
/// The most bytes of messages that a subscriber may leave unread, whatever client-output-buffer-limit says; 0, which is no bound in
/// Redis, is this here. Beyond: it is disconnected, as in Redis.
pub const SUBSCRIBER_BACKLOG_MAX: usize = 1024 * 1024 * 1024;
/// Reply bytes held for one connection above which no further request of it is read.
pub const REPLY_BACKLOG_MAX: usize = 1024 * 1024;
/// Bytes of one command's reply, and of all of an EXEC's, if it is more than one string: MGET can name one key a million
/// times. Beyond: an error in place of that command's, and it has changed nothing.
pub const REPLY_LEN_MAX: usize = 256 * 1024 * 1024;
/// Reply bytes of HRANDFIELD, SRANDMEMBER or ZRANDMEMBER with a negative count, which may ask for more than
/// there is. Beyond: "ERR value is out of range".
pub const RANDOM_REPLY_LEN_MAX: usize = REPLY_LEN_MAX / 2;
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
/// Connections to what answers for a service that is being restored. Beyond: they wait in the listen backlog.
pub const STAND_IN_CONNECTIONS_MAX: usize = 256;
/// Bytes of a relayed client's requests that a standby keeps until they are answered. Beyond: while so much is under way the
/// connection does not survive its primary.
pub const RELAY_TAIL_MAX: usize = 1024 * 1024;
/// Bytes of replies in one frame between nodes.
pub const RELAY_FRAME_LEN_MAX: usize = 64 * 1024;
/// Bytes of what a primary tells a standby of a relayed session. Beyond, which takes thousands of subscriptions: the connection
/// does not survive its primary.
pub const RELAY_NOTE_LEN_MAX: usize = 256 * 1024;
/// How long a linearizable read at a standby waits for the primary's read index, and to have applied it. Beyond: "STALE".
pub const READ_INDEX_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(2);
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
/// A log segment's length, bytes. Filled with zeros ahead of time by a thread of its own.
pub const LOG_SEGMENT_LEN: u32 = 32 * 1024 * 1024;
/// The first segment of a new log is this short, since starting waits for it, bytes.
pub const LOG_FIRST_SEGMENT_LEN: u32 = 1024 * 1024;
/// Recent log entries kept in memory, bytes. Older ones are read from disk; unsynced ones stay anyway.
pub const LOG_CACHE_LEN: usize = 4 * 1024 * 1024;
/// Entries that wait for the log's writer, bytes. Beyond: the proposer waits, no client is refused.
pub const LOG_QUEUE_LEN: usize = 64 * 1024 * 1024;
/// The log's write buffer is written out when it exceeds this, bytes; the sync still comes once.
pub const LOG_WRITE_LEN: usize = 4 * 1024 * 1024;
/// The disk's free space is looked at each time that this much was written to the log, bytes, and ten times a second
/// besides: between two looks no more than this and what the store had waiting can go.
pub const LOG_LOOK_LEN: u64 = 1024 * 1024;
/// Old log entries are read from disk in pieces of at most this, or one entry, bytes.
pub const LOG_READ_LEN: u32 = 1024 * 1024;
/// A saved vote as the log stores it, bytes.
pub const LOG_VOTE_LEN: usize = 256;
/// Below this much free disk, commands that grow the data are refused, bytes; below an eighth of it, all writes, and a
/// standby takes no entries.
pub const LOG_SPACE_LOW: u64 = 512 * 1024 * 1024;
/// Disk set aside so that the log can still roll when the disk is full, bytes.
pub const LOG_BALLAST_LEN: u64 = 64 * 1024 * 1024;
/// Entries in one replication message, bytes; a single larger entry goes alone.
pub const APPEND_LEN: usize = 1024 * 1024;
/// Submitted rows from which the store writes a run, bytes.
pub const STORE_WINDOW_BYTES: usize = 16 * 1024 * 1024;
/// Submitted rows not yet written above which the proposer waits (`store::Store::over_limit`), bytes.
pub const STORE_BACKLOG_BYTES: usize = 48 * 1024 * 1024;
/// Runs waiting to be merged above which the store waits before it writes another.
pub const STORE_RUNS_MAX: u64 = 32;
/// Large removed files whose disk is not given back yet (`base::remains`), and such files of a store that are watched. Beyond:
/// a removed one is freed at once.
pub const REMAINS_MAX: usize = 512;
/// Index and data blocks that RocksDB keeps in memory, bytes.
pub const STORE_CACHE_BYTES: usize = 8 * 1024 * 1024;

// The largest entry fits a segment several times over, so that little of one is left unused.
const _: () = assert!(ENTRY_LEN_MAX * 4 <= LOG_SEGMENT_LEN as usize);

/// TLS handshakes of peers and operators that run at once. Beyond: they wait in the listen backlog.
pub const PEER_HANDSHAKES_MAX: usize = 128;
/// gRPC connections of peers and operators. Beyond: closed after the handshake.
pub const PEER_CONNECTIONS_MAX: usize = 256;
/// Relayed sessions' connections that one node takes. Beyond: closed after the handshake.
pub const RELAYS_MAX: usize = 65_536;
/// Relayed sessions that wait for the server to take them. Beyond: closed.
pub const RELAY_BACKLOG: usize = 1024;
/// The largest message between peers, bytes: an entry of `ENTRY_LEN_MAX` and its envelope.
pub const PEER_MESSAGE_LEN_MAX: usize = ENTRY_LEN_MAX + 8 * 1024 * 1024;
/// Bytes of entries that a follower has not yet acknowledged, for each follower. Beyond: sending waits.
pub const APPEND_INFLIGHT_BYTES: usize = 64 * 1024 * 1024;
/// Appends that a follower has not yet acknowledged, for each follower. Beyond: sending waits.
pub const APPEND_INFLIGHT: usize = 256;
/// Bytes a second of a snapshot that is sent to another node: what the disk and the cores have left is for clients.
pub const SNAPSHOT_RATE_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a snapshot's file that its receiver leaves unsynced, at most.
pub const SNAPSHOT_SYNC_LEN: u64 = 4 * 1024 * 1024;
/// Bytes of a snapshot's file that are sent as one message.
pub const SNAPSHOT_CHUNK_LEN: usize = 256 * 1024;
/// Messages of a snapshot that wait between disk and network at its sender.
pub const SNAPSHOT_QUEUE: usize = 8;
/// Files of a snapshot. Beyond: refused.
pub const SNAPSHOT_FILES_MAX: usize = 100_000;
/// Relayed sessions that wait to be taken over by a serving thread. Beyond: the relaying node waits.
pub const RELAYS_QUEUED_MAX: usize = 256;
/// Files that RocksDB keeps open.
pub const STORE_OPEN_FILES: i32 = 512;
/// The largest message of the Admin service, bytes.
pub const ADMIN_MESSAGE_LEN_MAX: usize = 4 * 1024 * 1024;
/// Members that a cluster may have, learners included.
pub const MEMBERS_MAX: usize = 64;
/// The gateway's read buffer, one a thread, and the most it keeps for a client that does not read, bytes each way.
pub const GATEWAY_CHUNK: usize = 64 * 1024;
/// Connections of one gateway process, unless its open files allow fewer. One more is closed at once.
pub const GATEWAY_CONNECTIONS_MAX: usize = 65_536;
/// Accepted connections on their way to a thread of the gateway.
pub const GATEWAY_HANDOVER: usize = 1024;
/// Connections that the kernel holds for a listener until they are accepted (cut by net.core.somaxconn).
pub const ACCEPT_BACKLOG: i32 = 16_384;
/// How long the gateway waits for a primary to accept a connection before it tries again.
pub const GATEWAY_CONNECT_MAX: std::time::Duration = std::time::Duration::from_secs(1);
/// A log file is replaced when it has grown to this, bytes; one older file is kept.
pub const LOG_FILE_LEN_MAX: u64 = 16 * 1024 * 1024;
/// Files that a gateway needs besides its connections' two each.
pub const GATEWAY_FILES_RESERVED: u64 = 128;
/// Connections that the gateways take beyond maxclients, so that the node itself refuses those with Redis's error.
pub const GATEWAY_SPARE: u64 = 512;
/// Gateway processes that `pontoon dev` starts at most.
pub const GATEWAY_PROCESSES_MAX: usize = 16;
/// Error prefixes that INFO errorstats tells apart. Beyond: further ones are not counted.
pub const ERROR_KINDS_MAX: usize = 128;
/// Samples kept of each latency event, one a second. Beyond: the oldest is dropped.
pub const LATENCY_SAMPLES_MAX: usize = 160;
/// DEBUG SLEEP inside MULTI holds the engine's lock, which Raft needs, at most this long.
pub const DEBUG_SLEEP_LOCKED_MAX: std::time::Duration = std::time::Duration::from_millis(100);
/// Keys that one DEBUG POPULATE makes. Beyond: refused.
pub const DEBUG_POPULATE_MAX: u64 = 10_000_000;
/// MIGRATE commands under way at once. Beyond: refused.
pub const MIGRATIONS_MAX: usize = 16;
/// Clients that MONITOR at once. Beyond: refused.
pub const MONITORS_MAX: usize = 64;
/// Clients that read the replication stream at once. Beyond: SYNC and PSYNC are refused.
pub const REPLICAS_MAX: usize = 16;
/// Bytes of the replication stream that a client has not read. Beyond: it is disconnected, and begins anew.
pub const REPLICA_BACKLOG_MAX: usize = 256 * 1024 * 1024;
/// Memory of a service's data, bytes, above which SYNC and PSYNC are refused: the copy is made under the engine's lock.
pub const REPLICA_DATA_MAX: u64 = 1024 * 1024 * 1024;
/// Members that ZRANDMEMBER with a negative count picks. Beyond: "ERR value is out of range".
pub const RANDOM_PICKS_MAX: usize = 16 * 1024 * 1024;
/// The rules of one user as they are stored, bytes. Beyond: ACL SETUSER is refused.
pub const USER_RULES_LEN_MAX: usize = 1024 * 1024;
/// The longest name of a user, bytes. Beyond: ACL SETUSER is refused.
pub const USER_NAME_LEN_MAX: usize = 1024;
/// Users of a service. Beyond: ACL SETUSER makes no more.
pub const USERS_MAX: usize = 10_000;
/// Entries of ACL LOG, whatever acllog-max-len says. Beyond: the oldest is dropped.
pub const ACL_LOG_ENTRIES_MAX: usize = 10_000;
/// Bytes of a key, channel or name that an entry of ACL LOG keeps.
pub const ACL_LOG_OBJECT_LEN_MAX: usize = 1024;
/// Keys that one command takes out of a tracking table that is too large. Beyond: the next command goes on.
pub const TRACKING_FORGET_PER_COMMAND_MAX: usize = 1000;
/// Bytes of all prefixes that one client broadcasts by. Beyond: CLIENT TRACKING is refused.
pub const TRACKING_PREFIXES_LEN_MAX: usize = 64 * 1024;
/// The stack of a thread that serves clients, bytes, taken as it is used: JSON and replies of scripts nest to
/// `SCRIPT_REPLY_DEPTH_MAX`.
pub const THREAD_STACK_LEN: usize = 16 * 1024 * 1024;
/// Memory of the machine that runs scripts, bytes. Beyond: the script ends with "not enough memory".
pub const SCRIPT_MEMORY_MAX: usize = 256 * 1024 * 1024;
/// The longest string that a function of Lua's libraries makes in one call, bytes. Beyond: "not enough memory".
pub const SCRIPT_STRING_MAX: usize = 64 * 1024 * 1024;
/// The longest text that is compiled as a script or library, bytes. Beyond: "not enough memory".
pub const SCRIPT_CODE_MAX: usize = 16 * 1024 * 1024;
/// How many repetitions and parts of a Lua pattern may be open within each other. Beyond: "pattern too complex".
pub const SCRIPT_PATTERN_DEPTH_MAX: usize = 500;
/// Bytes of all arguments of a command that a script calls. Beyond: "not enough memory".
pub const SCRIPT_REQUEST_MAX: usize = 128 * 1024 * 1024;
/// What the machine keeps between scripts without collecting its garbage at once, bytes.
pub const SCRIPT_MEMORY_KEPT: usize = 32 * 1024 * 1024;
/// Bytes of the reply to a command that a script calls. Beyond: an error, and the command has changed nothing.
pub const SCRIPT_CALL_REPLY_MAX: usize = 128 * 1024 * 1024;
/// Bytes of a script's reply, which tables that stand in each other many times can multiply. Beyond: "not enough memory".
pub const SCRIPT_REPLY_LEN_MAX: usize = 256 * 1024 * 1024;
/// How deep the tables of a script's reply may nest. Beyond: "ERR reached lua stack limit" in their place.
pub const SCRIPT_REPLY_DEPTH_MAX: usize = 1000;
/// How long a script may run before it is begun anew on a thread of its own, where it holds up nobody's connection.
pub const SCRIPT_INLINE_MAX: std::time::Duration = std::time::Duration::from_millis(20);
/// How long a script may run. Beyond: it is ended with an error, and what it changed is taken back.
pub const SCRIPT_RUN_MAX: std::time::Duration = std::time::Duration::from_secs(30);
/// Between two scripts that take long, others have the engine for this long.
pub const SCRIPT_GAP: std::time::Duration = std::time::Duration::from_millis(10);
/// Scripts that a service keeps for EVALSHA. Beyond: others are forgotten, and answer NOSCRIPT.
pub const SCRIPTS_MAX: usize = 10_000;
/// Bytes of such scripts. Beyond: others are forgotten; a script larger than this runs and is not kept.
pub const SCRIPTS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Libraries of functions that a service keeps. Beyond: refused.
pub const LIBRARIES_MAX: usize = 1000;
/// Bytes of their code. Beyond: refused.
pub const LIBRARIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Functions of one library. Beyond: refused.
pub const LIBRARY_FUNCTIONS_MAX: usize = 10_000;
/// How long the code of libraries may run in one FUNCTION LOAD or RESTORE (Redis: half a second). The engine is held meanwhile: with
/// a heartbeat it is less than any node's election timeout. Beyond: "FUNCTION LOAD timeout".
pub const LIBRARY_LOAD_MAX: std::time::Duration = std::time::Duration::from_millis(150);
/// As long for a library that was accepted once and is loaded again, perhaps by a slower node. Beyond: its functions are not there.
pub const LIBRARY_AGAIN_MAX: std::time::Duration = std::time::Duration::from_secs(2);

/// Services of one console. Beyond: creating one is refused with how many there are.
pub const SERVICES_MAX: usize = 500;
/// Events that the console keeps. Beyond: the oldest go.
pub const EVENTS_MAX: i64 = 100_000;
/// Browsers that follow a page at once. Beyond: the page does not update itself.
pub const FOLLOWERS_MAX: usize = 200;
/// A request's body to the console, bytes. Beyond: 413.
pub const CONSOLE_BODY_LEN: usize = 64 * 1024;
/// TLS handshakes with the console that run at once. Beyond: they wait in the listen backlog.
pub const CONSOLE_HANDSHAKES_MAX: usize = 64;
/// Organizations of one console. Beyond: one more is refused.
pub const ORGANIZATIONS_MAX: u32 = 100;
/// Members of an organization. Beyond: one more is refused.
pub const CONSOLE_MEMBERS_MAX: u32 = 200;
/// API tokens of an organization. Beyond: one more is refused.
pub const TOKENS_MAX: u32 = 200;
/// Browsers that a member is signed in with at once. Beyond: the oldest session ends.
pub const SESSIONS_MAX: u32 = 20;
/// Passwords that wait to be checked at the console. Beyond: 429.
pub const SIGN_INS_WAITING_MAX: usize = 16;
/// Addresses whose wrong passwords the console counts. Beyond: a new address is answered 429 until one of them is forgotten.
pub const SIGN_IN_ADDRESSES_MAX: usize = 4096;
/// Addresses and blocks of a service's allow-list. Beyond: the list is refused.
pub const ALLOWED_MAX: usize = 256;
/// Operators' sessions at one node, beyond maxclients. Beyond: one more is closed.
pub const OPERATORS_MAX: usize = 32;
/// The longest reply that an operator's tool reads, bytes. Beyond: the command fails there.
pub const OPERATOR_REPLY_LEN_MAX: usize = 64 * 1024 * 1024;
/// The end of a node's log that the console shows, bytes.
pub const LOG_SHOWN_LEN: u64 = 64 * 1024;
/// Keys that the data browser shows at once, and elements of a key.
pub const BROWSED_MAX: usize = 200;
/// Bytes of a value that the data browser shows. Beyond: only how long it is.
pub const BROWSED_LEN: usize = 4096;
/// Users of a service besides its own that the console makes. Beyond: one more is refused.
pub const SERVICE_USERS_MAX: usize = 100;
/// Samples of a service's figures that the console keeps: half an hour of one each five seconds. Beyond: the oldest go.
pub const SAMPLES_MAX: usize = 360;
/// Events that wait to be told to webhooks. Beyond: the newest is dropped there.
pub const HOOKS_QUEUED_MAX: usize = 256;
/// Chunks of a node's data on their way to a Docker engine; each is what was read at once. Beyond: packing waits.
pub const CARRIED_CHUNKS_MAX: usize = 64;
