//! The command table's data: one line a command, subcommands behind their container.
//!
//! A line reads: variant, name, arity, group, version of Redis that brought it, flags, ACL categories
//! beyond those that flags imply, tips, key specs. Always: sorted by name, containers before their own.

use super::key::*;
use super::{Begin, Categories, Find, Flags, Group, KeySpec, Spec, derive};

/// One key at a fixed place.
const fn one(at: i16, flags: u16) -> KeySpec {
    range(at, 0, 1, flags)
}

/// Keys from a fixed place to `last` (counted from there, or, where negative, from the end).
const fn range(at: i16, last: i16, step: i16, flags: u16) -> KeySpec {
    KeySpec {
        flags,
        begin: Begin::Index(at),
        find: Find::Range {
            last,
            step,
            limit: 0,
        },
        notes: "",
    }
}

/// A count at a fixed place, and that many keys behind it.
const fn counted(at: i16, flags: u16) -> KeySpec {
    KeySpec {
        flags,
        begin: Begin::Index(at),
        find: Find::Counted {
            count_at: 0,
            first: 1,
            step: 1,
        },
        notes: "",
    }
}

/// Keys behind a word, up to `last`, or a `limit`-th of what is left.
const fn after(word: &'static str, from: i16, last: i16, limit: i16, flags: u16) -> KeySpec {
    KeySpec {
        flags,
        begin: Begin::Keyword(word, from),
        find: Find::Range {
            last,
            step: 1,
            limit,
        },
        notes: "",
    }
}

/// Keys that only the command's own code can find.
const fn unknown(flags: u16) -> KeySpec {
    KeySpec {
        flags,
        begin: Begin::Unknown,
        find: Find::Unknown,
        notes: "",
    }
}

/// What COMMAND INFO replies of how requests and replies travel in a cluster.
mod tip {
    pub const NONDETERMINISTIC_OUTPUT: &str = "nondeterministic_output";
    pub const NONDETERMINISTIC_OUTPUT_ORDER: &str = "nondeterministic_output_order";
    pub const ALL_NODES: &str = "request_policy:all_nodes";
    pub const ALL_SHARDS: &str = "request_policy:all_shards";
    pub const MULTI_SHARD: &str = "request_policy:multi_shard";
    pub const REQUEST_SPECIAL: &str = "request_policy:special";
    pub const AGG_LOGICAL_AND: &str = "response_policy:agg_logical_and";
    pub const AGG_MIN: &str = "response_policy:agg_min";
    pub const AGG_SUM: &str = "response_policy:agg_sum";
    pub const ALL_SUCCEEDED: &str = "response_policy:all_succeeded";
    pub const ONE_SUCCEEDED: &str = "response_policy:one_succeeded";
    pub const RESPONSE_SPECIAL: &str = "response_policy:special";
}

macro_rules! container {
    () => {
        None
    };
    ($id:ident) => {
        Some(CommandId::$id)
    };
}

macro_rules! table {
    ($($id:ident $(in $container:ident)?: $name:literal $arity:literal $group:ident $since:literal
        [$($flag:ident)*] [$($category:ident)*] [$($tip:ident)*] [$($key:expr),*];)*) => {
        /// A command or subcommand, named as it is written: `CommandId::ConfigGet`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum CommandId {
            $(#[allow(missing_docs)] $id,)*
        }

        /// The entries, in the order of `CommandId`.
        pub(super) const TABLE: [Spec; [$(CommandId::$id),*].len()] = [$({
            const SPEC: Spec = Spec {
                id: CommandId::$id,
                full_name: $name,
                container: container!($($container)?),
                arity: $arity,
                group: Group::$group,
                since: $since,
                flags: Flags(0 $(| Flags::$flag.0)*),
                categories: Categories(0 $(| Categories::$category.0)*),
                tips: &[$(tip::$tip),*],
                key_specs: &[$($key),*],
                first_key: 0,
                last_key: 0,
                key_step: 0,
            };
            derive(SPEC)
        },)*];
    };
}

table! {
    Acl: "acl" -2 Server "6.0.0" [] [] [] [];
    AclCat in Acl: "acl|cat" -2 Server "6.0.0" [NOSCRIPT LOADING STALE] [] [] [];
    AclDeluser in Acl: "acl|deluser" -3 Server "6.0.0" [ADMIN NOSCRIPT LOADING STALE] [] [ALL_NODES ALL_SUCCEEDED] [];
    AclDryrun in Acl: "acl|dryrun" -4 Server "7.0.0" [ADMIN NOSCRIPT LOADING STALE] [] [] [];
    AclGenpass in Acl: "acl|genpass" -2 Server "6.0.0" [NOSCRIPT LOADING STALE] [] [] [];
    AclGetuser in Acl: "acl|getuser" 3 Server "6.0.0" [ADMIN NOSCRIPT LOADING STALE] [] [] [];
    AclHelp in Acl: "acl|help" 2 Server "6.0.0" [LOADING STALE] [] [] [];
    AclList in Acl: "acl|list" 2 Server "6.0.0" [ADMIN NOSCRIPT LOADING STALE] [] [] [];
    AclLoad in Acl: "acl|load" 2 Server "6.0.0" [ADMIN NOSCRIPT LOADING STALE] [] [] [];
    AclLog in Acl: "acl|log" -2 Server "6.0.0" [ADMIN NOSCRIPT LOADING STALE] [] [] [];
    AclSave in Acl: "acl|save" 2 Server "6.0.0" [ADMIN NOSCRIPT LOADING STALE] [] [ALL_NODES ALL_SUCCEEDED] [];
    AclSetuser in Acl: "acl|setuser" -3 Server "6.0.0" [ADMIN NOSCRIPT LOADING STALE] [] [ALL_NODES ALL_SUCCEEDED] [];
    AclUsers in Acl: "acl|users" 2 Server "6.0.0" [ADMIN NOSCRIPT LOADING STALE] [] [] [];
    AclWhoami in Acl: "acl|whoami" 2 Server "6.0.0" [NOSCRIPT LOADING STALE] [] [] [];
    Append: "append" 3 String "2.0.0" [WRITE DENYOOM FAST] [STRING] [] [one(1, RW | INSERT)];
    Asking: "asking" 1 Cluster "3.0.0" [FAST] [CONNECTION] [] [];
    Auth: "auth" -2 Connection "1.0.0" [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] [CONNECTION] [] [];
    Bgrewriteaof: "bgrewriteaof" 1 Server "1.0.0" [ADMIN NOSCRIPT NO_ASYNC_LOADING] [] [] [];
    Bgsave: "bgsave" -1 Server "1.0.0" [ADMIN NOSCRIPT NO_ASYNC_LOADING] [] [] [];
    Bitcount: "bitcount" -2 Bitmap "2.6.0" [READONLY] [BITMAP] [] [one(1, RO | ACCESS)];
    Bitfield: "bitfield" -2 Bitmap "3.2.0" [WRITE DENYOOM] [BITMAP] [] [one(1, RW | ACCESS | UPDATE | VARIABLE_FLAGS).noted("Depending on its operations it reads or writes the key")];
    BitfieldRo: "bitfield_ro" -2 Bitmap "6.0.0" [READONLY FAST] [BITMAP] [] [one(1, RO | ACCESS)];
    Bitop: "bitop" -4 Bitmap "2.6.0" [WRITE DENYOOM] [BITMAP] [] [one(2, OW | UPDATE), range(3, -1, 1, RO | ACCESS)];
    Bitpos: "bitpos" -3 Bitmap "2.8.7" [READONLY] [BITMAP] [] [one(1, RO | ACCESS)];
    Blmove: "blmove" 6 List "6.2.0" [WRITE DENYOOM BLOCKING] [LIST] [] [one(1, RW | ACCESS | DELETE), one(2, RW | INSERT)];
    Blmpop: "blmpop" -5 List "7.0.0" [WRITE BLOCKING] [LIST] [] [counted(2, RW | ACCESS | DELETE)];
    Blpop: "blpop" -3 List "2.0.0" [WRITE BLOCKING] [LIST] [] [range(1, -2, 1, RW | ACCESS | DELETE)];
    Brpop: "brpop" -3 List "2.0.0" [WRITE BLOCKING] [LIST] [] [range(1, -2, 1, RW | ACCESS | DELETE)];
    Brpoplpush: "brpoplpush" 4 List "2.2.0" [WRITE DENYOOM BLOCKING DEPRECATED] [LIST] [] [one(1, RW | ACCESS | DELETE), one(2, RW | INSERT)];
    Bzmpop: "bzmpop" -5 SortedSet "7.0.0" [WRITE BLOCKING] [SORTED_SET] [] [counted(2, RW | ACCESS | DELETE)];
    Bzpopmax: "bzpopmax" -3 SortedSet "5.0.0" [WRITE BLOCKING FAST] [SORTED_SET] [] [range(1, -2, 1, RW | ACCESS | DELETE)];
    Bzpopmin: "bzpopmin" -3 SortedSet "5.0.0" [WRITE BLOCKING FAST] [SORTED_SET] [] [range(1, -2, 1, RW | ACCESS | DELETE)];
    Client: "client" -2 Connection "2.4.0" [] [] [] [];
    ClientCaching in Client: "client|caching" 3 Connection "6.0.0" [NOSCRIPT LOADING STALE] [CONNECTION] [] [];
    ClientGetname in Client: "client|getname" 2 Connection "2.6.9" [NOSCRIPT LOADING STALE] [CONNECTION] [] [];
    ClientGetredir in Client: "client|getredir" 2 Connection "6.0.0" [NOSCRIPT LOADING STALE] [CONNECTION] [] [];
    ClientHelp in Client: "client|help" 2 Connection "5.0.0" [LOADING STALE] [CONNECTION] [] [];
    ClientId in Client: "client|id" 2 Connection "5.0.0" [NOSCRIPT LOADING STALE] [CONNECTION] [] [];
    ClientInfo in Client: "client|info" 2 Connection "6.2.0" [NOSCRIPT LOADING STALE] [CONNECTION] [NONDETERMINISTIC_OUTPUT] [];
    ClientKill in Client: "client|kill" -3 Connection "2.4.0" [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] [];
    ClientList in Client: "client|list" -2 Connection "2.4.0" [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [NONDETERMINISTIC_OUTPUT] [];
    ClientNoEvict in Client: "client|no-evict" 3 Connection "7.0.0" [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] [];
    ClientNoTouch in Client: "client|no-touch" 3 Connection "7.2.0" [NOSCRIPT LOADING STALE] [CONNECTION] [] [];
    ClientPause in Client: "client|pause" -3 Connection "3.0.0" [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] [];
    ClientReply in Client: "client|reply" 3 Connection "3.2.0" [NOSCRIPT LOADING STALE] [CONNECTION] [] [];
    ClientSetinfo in Client: "client|setinfo" 4 Connection "7.2.0" [NOSCRIPT LOADING STALE] [CONNECTION] [ALL_NODES ALL_SUCCEEDED] [];
    ClientSetname in Client: "client|setname" 3 Connection "2.6.9" [NOSCRIPT LOADING STALE] [CONNECTION] [ALL_NODES ALL_SUCCEEDED] [];
    ClientTracking in Client: "client|tracking" -3 Connection "6.0.0" [NOSCRIPT LOADING STALE] [CONNECTION] [] [];
    ClientTrackinginfo in Client: "client|trackinginfo" 2 Connection "6.2.0" [NOSCRIPT LOADING STALE] [CONNECTION] [] [];
    ClientUnblock in Client: "client|unblock" -3 Connection "5.0.0" [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] [];
    ClientUnpause in Client: "client|unpause" 2 Connection "6.2.0" [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] [];
    Cluster: "cluster" -2 Cluster "3.0.0" [] [] [] [];
    ClusterAddslots in Cluster: "cluster|addslots" -3 Cluster "3.0.0" [ADMIN STALE NO_ASYNC_LOADING] [] [] [];
    ClusterAddslotsrange in Cluster: "cluster|addslotsrange" -4 Cluster "7.0.0" [ADMIN STALE NO_ASYNC_LOADING] [] [] [];
    ClusterBumpepoch in Cluster: "cluster|bumpepoch" 2 Cluster "3.0.0" [ADMIN STALE NO_ASYNC_LOADING] [] [NONDETERMINISTIC_OUTPUT] [];
    ClusterCountFailureReports in Cluster: "cluster|count-failure-reports" 3 Cluster "3.0.0" [ADMIN STALE] [] [NONDETERMINISTIC_OUTPUT] [];
    ClusterCountkeysinslot in Cluster: "cluster|countkeysinslot" 3 Cluster "3.0.0" [STALE] [] [] [];
    ClusterDelslots in Cluster: "cluster|delslots" -3 Cluster "3.0.0" [ADMIN STALE NO_ASYNC_LOADING] [] [] [];
    ClusterDelslotsrange in Cluster: "cluster|delslotsrange" -4 Cluster "7.0.0" [ADMIN STALE NO_ASYNC_LOADING] [] [] [];
    ClusterFailover in Cluster: "cluster|failover" -2 Cluster "3.0.0" [ADMIN STALE NO_ASYNC_LOADING] [] [] [];
    ClusterFlushslots in Cluster: "cluster|flushslots" 2 Cluster "3.0.0" [ADMIN STALE NO_ASYNC_LOADING] [] [] [];
    ClusterForget in Cluster: "cluster|forget" 3 Cluster "3.0.0" [ADMIN STALE NO_ASYNC_LOADING] [] [] [];
    ClusterGetkeysinslot in Cluster: "cluster|getkeysinslot" 4 Cluster "3.0.0" [STALE] [] [NONDETERMINISTIC_OUTPUT] [];
    ClusterHelp in Cluster: "cluster|help" 2 Cluster "5.0.0" [LOADING STALE] [] [] [];
    ClusterInfo in Cluster: "cluster|info" 2 Cluster "3.0.0" [STALE] [] [NONDETERMINISTIC_OUTPUT] [];
    ClusterKeyslot in Cluster: "cluster|keyslot" 3 Cluster "3.0.0" [STALE] [] [] [];
    ClusterLinks in Cluster: "cluster|links" 2 Cluster "7.0.0" [STALE] [] [NONDETERMINISTIC_OUTPUT] [];
    ClusterMeet in Cluster: "cluster|meet" -4 Cluster "3.0.0" [ADMIN STALE NO_ASYNC_LOADING] [] [] [];
    ClusterMyid in Cluster: "cluster|myid" 2 Cluster "3.0.0" [STALE] [] [] [];
    ClusterMyshardid in Cluster: "cluster|myshardid" 2 Cluster "7.2.0" [STALE] [] [NONDETERMINISTIC_OUTPUT] [];
    ClusterNodes in Cluster: "cluster|nodes" 2 Cluster "3.0.0" [STALE] [] [NONDETERMINISTIC_OUTPUT] [];
    ClusterReplicas in Cluster: "cluster|replicas" 3 Cluster "5.0.0" [ADMIN STALE] [] [NONDETERMINISTIC_OUTPUT] [];
    ClusterReplicate in Cluster: "cluster|replicate" 3 Cluster "3.0.0" [ADMIN STALE NO_ASYNC_LOADING] [] [] [];
    ClusterReset in Cluster: "cluster|reset" -2 Cluster "3.0.0" [ADMIN NOSCRIPT STALE] [] [] [];
    ClusterSaveconfig in Cluster: "cluster|saveconfig" 2 Cluster "3.0.0" [ADMIN STALE NO_ASYNC_LOADING] [] [] [];
    ClusterSetConfigEpoch in Cluster: "cluster|set-config-epoch" 3 Cluster "3.0.0" [ADMIN STALE NO_ASYNC_LOADING] [] [] [];
    ClusterSetslot in Cluster: "cluster|setslot" -4 Cluster "3.0.0" [ADMIN STALE NO_ASYNC_LOADING] [] [] [];
    ClusterShards in Cluster: "cluster|shards" 2 Cluster "7.0.0" [LOADING STALE] [] [NONDETERMINISTIC_OUTPUT] [];
    ClusterSlaves in Cluster: "cluster|slaves" 3 Cluster "3.0.0" [ADMIN STALE DEPRECATED] [] [NONDETERMINISTIC_OUTPUT] [];
    ClusterSlots in Cluster: "cluster|slots" 2 Cluster "3.0.0" [LOADING STALE DEPRECATED] [] [NONDETERMINISTIC_OUTPUT] [];
    Command: "command" -1 Server "2.8.13" [LOADING STALE] [CONNECTION] [NONDETERMINISTIC_OUTPUT_ORDER] [];
    CommandCount in Command: "command|count" 2 Server "2.8.13" [LOADING STALE] [CONNECTION] [] [];
    CommandDocs in Command: "command|docs" -2 Server "7.0.0" [LOADING STALE] [CONNECTION] [NONDETERMINISTIC_OUTPUT_ORDER] [];
    CommandGetkeys in Command: "command|getkeys" -3 Server "2.8.13" [LOADING STALE] [CONNECTION] [] [];
    CommandGetkeysandflags in Command: "command|getkeysandflags" -3 Server "7.0.0" [LOADING STALE] [CONNECTION] [] [];
    CommandHelp in Command: "command|help" 2 Server "5.0.0" [LOADING STALE] [CONNECTION] [] [];
    CommandInfo in Command: "command|info" -2 Server "2.8.13" [LOADING STALE] [CONNECTION] [NONDETERMINISTIC_OUTPUT_ORDER] [];
    CommandList in Command: "command|list" -2 Server "7.0.0" [LOADING STALE] [CONNECTION] [NONDETERMINISTIC_OUTPUT_ORDER] [];
    Config: "config" -2 Server "2.0.0" [] [] [] [];
    ConfigGet in Config: "config|get" -3 Server "2.0.0" [ADMIN NOSCRIPT LOADING STALE] [] [] [];
    ConfigHelp in Config: "config|help" 2 Server "5.0.0" [LOADING STALE] [] [] [];
    ConfigResetstat in Config: "config|resetstat" 2 Server "2.0.0" [ADMIN NOSCRIPT LOADING STALE] [] [ALL_NODES ALL_SUCCEEDED] [];
    ConfigRewrite in Config: "config|rewrite" 2 Server "2.8.0" [ADMIN NOSCRIPT LOADING STALE] [] [ALL_NODES ALL_SUCCEEDED] [];
    ConfigSet in Config: "config|set" -4 Server "2.0.0" [ADMIN NOSCRIPT LOADING STALE] [] [ALL_NODES ALL_SUCCEEDED] [];
    Copy: "copy" -3 Generic "6.2.0" [WRITE DENYOOM] [KEYSPACE] [] [one(1, RO | ACCESS), one(2, OW | UPDATE)];
    Dbsize: "dbsize" 1 Server "1.0.0" [READONLY FAST] [KEYSPACE] [ALL_SHARDS AGG_SUM] [];
    Debug: "debug" -2 Server "1.0.0" [ADMIN NOSCRIPT LOADING STALE SYSCMD] [] [] [];
    Decr: "decr" 2 String "1.0.0" [WRITE DENYOOM FAST] [STRING] [] [one(1, RW | ACCESS | UPDATE)];
    Decrby: "decrby" 3 String "1.0.0" [WRITE DENYOOM FAST] [STRING] [] [one(1, RW | ACCESS | UPDATE)];
    Del: "del" -2 Generic "1.0.0" [WRITE] [KEYSPACE] [MULTI_SHARD AGG_SUM] [range(1, -1, 1, RM | DELETE)];
    Discard: "discard" 1 Transactions "2.0.0" [NOSCRIPT LOADING STALE FAST ALLOW_BUSY] [TRANSACTION] [] [];
    Dump: "dump" 2 Generic "2.6.0" [READONLY] [KEYSPACE] [NONDETERMINISTIC_OUTPUT] [one(1, RO | ACCESS)];
    Echo: "echo" 2 Connection "1.0.0" [LOADING STALE FAST] [CONNECTION] [] [];
    Eval: "eval" -3 Scripting "2.6.0" [NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS MAY_REPLICATE] [SCRIPTING] [] [counted(2, RW | ACCESS | UPDATE).noted("What the script does with its keys is not known, so RW and UPDATE")];
    EvalRo: "eval_ro" -3 Scripting "7.0.0" [READONLY NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS] [SCRIPTING] [] [counted(2, RO | ACCESS).noted("What the script does with its keys is not known, so RO and ACCESS")];
    Evalsha: "evalsha" -3 Scripting "2.6.0" [NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS MAY_REPLICATE] [SCRIPTING] [] [counted(2, RW | ACCESS | UPDATE)];
    EvalshaRo: "evalsha_ro" -3 Scripting "7.0.0" [READONLY NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS] [SCRIPTING] [] [counted(2, RO | ACCESS)];
    Exec: "exec" 1 Transactions "1.2.0" [NOSCRIPT LOADING STALE SKIP_SLOWLOG] [TRANSACTION] [] [];
    Exists: "exists" -2 Generic "1.0.0" [READONLY FAST] [KEYSPACE] [MULTI_SHARD AGG_SUM] [range(1, -1, 1, RO)];
    Expire: "expire" -3 Generic "1.0.0" [WRITE FAST] [KEYSPACE] [] [one(1, RW | UPDATE)];
    Expireat: "expireat" -3 Generic "1.2.0" [WRITE FAST] [KEYSPACE] [] [one(1, RW | UPDATE)];
    Expiretime: "expiretime" 2 Generic "7.0.0" [READONLY FAST] [KEYSPACE] [] [one(1, RO | ACCESS)];
    Failover: "failover" -1 Server "6.2.0" [ADMIN NOSCRIPT STALE] [] [] [];
    Fcall: "fcall" -3 Scripting "7.0.0" [NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS MAY_REPLICATE] [SCRIPTING] [] [counted(2, RW | ACCESS | UPDATE).noted("What the function does with its keys is not known, so RW and UPDATE")];
    FcallRo: "fcall_ro" -3 Scripting "7.0.0" [READONLY NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS] [SCRIPTING] [] [counted(2, RO | ACCESS).noted("What the function does with its keys is not known, so RO and ACCESS")];
    Flushall: "flushall" -1 Server "1.0.0" [WRITE] [DANGEROUS KEYSPACE] [ALL_SHARDS ALL_SUCCEEDED] [];
    Flushdb: "flushdb" -1 Server "1.0.0" [WRITE] [DANGEROUS KEYSPACE] [ALL_SHARDS ALL_SUCCEEDED] [];
    Function: "function" -2 Scripting "7.0.0" [] [] [] [];
    FunctionDelete in Function: "function|delete" 3 Scripting "7.0.0" [WRITE NOSCRIPT] [SCRIPTING] [ALL_SHARDS ALL_SUCCEEDED] [];
    FunctionDump in Function: "function|dump" 2 Scripting "7.0.0" [NOSCRIPT] [SCRIPTING] [] [];
    FunctionFlush in Function: "function|flush" -2 Scripting "7.0.0" [WRITE NOSCRIPT] [SCRIPTING] [ALL_SHARDS ALL_SUCCEEDED] [];
    FunctionHelp in Function: "function|help" 2 Scripting "7.0.0" [LOADING STALE] [SCRIPTING] [] [];
    FunctionKill in Function: "function|kill" 2 Scripting "7.0.0" [NOSCRIPT ALLOW_BUSY] [SCRIPTING] [ALL_SHARDS ONE_SUCCEEDED] [];
    FunctionList in Function: "function|list" -2 Scripting "7.0.0" [NOSCRIPT] [SCRIPTING] [NONDETERMINISTIC_OUTPUT_ORDER] [];
    FunctionLoad in Function: "function|load" -3 Scripting "7.0.0" [WRITE DENYOOM NOSCRIPT] [SCRIPTING] [ALL_SHARDS ALL_SUCCEEDED] [];
    FunctionRestore in Function: "function|restore" -3 Scripting "7.0.0" [WRITE DENYOOM NOSCRIPT] [SCRIPTING] [ALL_SHARDS ALL_SUCCEEDED] [];
    FunctionStats in Function: "function|stats" 2 Scripting "7.0.0" [NOSCRIPT ALLOW_BUSY] [SCRIPTING] [NONDETERMINISTIC_OUTPUT ALL_SHARDS RESPONSE_SPECIAL] [];
    Geoadd: "geoadd" -5 Geo "3.2.0" [WRITE DENYOOM] [GEO] [] [one(1, RW | UPDATE)];
    Geodist: "geodist" -4 Geo "3.2.0" [READONLY] [GEO] [] [one(1, RO | ACCESS)];
    Geohash: "geohash" -2 Geo "3.2.0" [READONLY] [GEO] [] [one(1, RO | ACCESS)];
    Geopos: "geopos" -2 Geo "3.2.0" [READONLY] [GEO] [] [one(1, RO | ACCESS)];
    Georadius: "georadius" -6 Geo "3.2.0" [WRITE DENYOOM DEPRECATED] [GEO] [] [one(1, RO | ACCESS), after("STORE", 6, 0, 0, OW | UPDATE), after("STOREDIST", 6, 0, 0, OW | UPDATE)];
    GeoradiusRo: "georadius_ro" -6 Geo "3.2.10" [READONLY DEPRECATED] [GEO] [] [one(1, RO | ACCESS)];
    Georadiusbymember: "georadiusbymember" -5 Geo "3.2.0" [WRITE DENYOOM DEPRECATED] [GEO] [] [one(1, RO | ACCESS), after("STORE", 5, 0, 0, OW | UPDATE), after("STOREDIST", 5, 0, 0, OW | UPDATE)];
    GeoradiusbymemberRo: "georadiusbymember_ro" -5 Geo "3.2.10" [READONLY DEPRECATED] [GEO] [] [one(1, RO | ACCESS)];
    Geosearch: "geosearch" -7 Geo "6.2.0" [READONLY] [GEO] [] [one(1, RO | ACCESS)];
    Geosearchstore: "geosearchstore" -8 Geo "6.2.0" [WRITE DENYOOM] [GEO] [] [one(1, OW | UPDATE), one(2, RO | ACCESS)];
    Get: "get" 2 String "1.0.0" [READONLY FAST] [STRING] [] [one(1, RO | ACCESS)];
    Getbit: "getbit" 3 Bitmap "2.2.0" [READONLY FAST] [BITMAP] [] [one(1, RO | ACCESS)];
    Getdel: "getdel" 2 String "6.2.0" [WRITE FAST] [STRING] [] [one(1, RW | ACCESS | DELETE)];
    Getex: "getex" -2 String "6.2.0" [WRITE FAST] [STRING] [] [one(1, RW | ACCESS | UPDATE).noted("RW and UPDATE because it may change when the key expires")];
    Getrange: "getrange" 4 String "2.4.0" [READONLY] [STRING] [] [one(1, RO | ACCESS)];
    Getset: "getset" 3 String "1.0.0" [WRITE DENYOOM FAST DEPRECATED] [STRING] [] [one(1, RW | ACCESS | UPDATE)];
    Hdel: "hdel" -3 Hash "2.0.0" [WRITE FAST] [HASH] [] [one(1, RW | DELETE)];
    Hello: "hello" -1 Connection "6.0.0" [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] [CONNECTION] [] [];
    Hexists: "hexists" 3 Hash "2.0.0" [READONLY FAST] [HASH] [] [one(1, RO)];
    Hget: "hget" 3 Hash "2.0.0" [READONLY FAST] [HASH] [] [one(1, RO | ACCESS)];
    Hgetall: "hgetall" 2 Hash "2.0.0" [READONLY] [HASH] [NONDETERMINISTIC_OUTPUT_ORDER] [one(1, RO | ACCESS)];
    Hincrby: "hincrby" 4 Hash "2.0.0" [WRITE DENYOOM FAST] [HASH] [] [one(1, RW | ACCESS | UPDATE)];
    Hincrbyfloat: "hincrbyfloat" 4 Hash "2.6.0" [WRITE DENYOOM FAST] [HASH] [] [one(1, RW | ACCESS | UPDATE)];
    Hkeys: "hkeys" 2 Hash "2.0.0" [READONLY] [HASH] [NONDETERMINISTIC_OUTPUT_ORDER] [one(1, RO | ACCESS)];
    Hlen: "hlen" 2 Hash "2.0.0" [READONLY FAST] [HASH] [] [one(1, RO)];
    Hmget: "hmget" -3 Hash "2.0.0" [READONLY FAST] [HASH] [] [one(1, RO | ACCESS)];
    Hmset: "hmset" -4 Hash "2.0.0" [WRITE DENYOOM FAST DEPRECATED] [HASH] [] [one(1, RW | UPDATE)];
    Hrandfield: "hrandfield" -2 Hash "6.2.0" [READONLY] [HASH] [NONDETERMINISTIC_OUTPUT] [one(1, RO | ACCESS)];
    Hscan: "hscan" -3 Hash "2.8.0" [READONLY] [HASH] [NONDETERMINISTIC_OUTPUT] [one(1, RO | ACCESS)];
    Hset: "hset" -4 Hash "2.0.0" [WRITE DENYOOM FAST] [HASH] [] [one(1, RW | UPDATE)];
    Hsetnx: "hsetnx" 4 Hash "2.0.0" [WRITE DENYOOM FAST] [HASH] [] [one(1, RW | INSERT)];
    Hstrlen: "hstrlen" 3 Hash "3.2.0" [READONLY FAST] [HASH] [] [one(1, RO)];
    Hvals: "hvals" 2 Hash "2.0.0" [READONLY] [HASH] [NONDETERMINISTIC_OUTPUT_ORDER] [one(1, RO | ACCESS)];
    Incr: "incr" 2 String "1.0.0" [WRITE DENYOOM FAST] [STRING] [] [one(1, RW | ACCESS | UPDATE)];
    Incrby: "incrby" 3 String "1.0.0" [WRITE DENYOOM FAST] [STRING] [] [one(1, RW | ACCESS | UPDATE)];
    Incrbyfloat: "incrbyfloat" 3 String "2.6.0" [WRITE DENYOOM FAST] [STRING] [] [one(1, RW | ACCESS | UPDATE)];
    Info: "info" -1 Server "1.0.0" [LOADING STALE] [DANGEROUS] [NONDETERMINISTIC_OUTPUT ALL_SHARDS RESPONSE_SPECIAL] [];
    Keys: "keys" 2 Generic "1.0.0" [READONLY] [DANGEROUS KEYSPACE] [ALL_SHARDS NONDETERMINISTIC_OUTPUT_ORDER] [];
    Lastsave: "lastsave" 1 Server "1.0.0" [LOADING STALE FAST] [ADMIN DANGEROUS] [NONDETERMINISTIC_OUTPUT] [];
    Latency: "latency" -2 Server "2.8.13" [] [] [] [];
    LatencyDoctor in Latency: "latency|doctor" 2 Server "2.8.13" [ADMIN NOSCRIPT LOADING STALE] [] [NONDETERMINISTIC_OUTPUT ALL_NODES RESPONSE_SPECIAL] [];
    LatencyGraph in Latency: "latency|graph" 3 Server "2.8.13" [ADMIN NOSCRIPT LOADING STALE] [] [NONDETERMINISTIC_OUTPUT ALL_NODES RESPONSE_SPECIAL] [];
    LatencyHelp in Latency: "latency|help" 2 Server "2.8.13" [LOADING STALE] [] [] [];
    LatencyHistogram in Latency: "latency|histogram" -2 Server "7.0.0" [ADMIN NOSCRIPT LOADING STALE] [] [NONDETERMINISTIC_OUTPUT ALL_NODES RESPONSE_SPECIAL] [];
    LatencyHistory in Latency: "latency|history" 3 Server "2.8.13" [ADMIN NOSCRIPT LOADING STALE] [] [NONDETERMINISTIC_OUTPUT ALL_NODES RESPONSE_SPECIAL] [];
    LatencyLatest in Latency: "latency|latest" 2 Server "2.8.13" [ADMIN NOSCRIPT LOADING STALE] [] [NONDETERMINISTIC_OUTPUT ALL_NODES RESPONSE_SPECIAL] [];
    LatencyReset in Latency: "latency|reset" -2 Server "2.8.13" [ADMIN NOSCRIPT LOADING STALE] [] [ALL_NODES AGG_SUM] [];
    Lcs: "lcs" -3 String "7.0.0" [READONLY] [STRING] [] [range(1, 1, 1, RO | ACCESS)];
    Lindex: "lindex" 3 List "1.0.0" [READONLY] [LIST] [] [one(1, RO | ACCESS)];
    Linsert: "linsert" 5 List "2.2.0" [WRITE DENYOOM] [LIST] [] [one(1, RW | INSERT)];
    Llen: "llen" 2 List "1.0.0" [READONLY FAST] [LIST] [] [one(1, RO)];
    Lmove: "lmove" 5 List "6.2.0" [WRITE DENYOOM] [LIST] [] [one(1, RW | ACCESS | DELETE), one(2, RW | INSERT)];
    Lmpop: "lmpop" -4 List "7.0.0" [WRITE] [LIST] [] [counted(1, RW | ACCESS | DELETE)];
    Lolwut: "lolwut" -1 Server "5.0.0" [READONLY FAST] [] [] [];
    Lpop: "lpop" -2 List "1.0.0" [WRITE FAST] [LIST] [] [one(1, RW | ACCESS | DELETE)];
    Lpos: "lpos" -3 List "6.0.6" [READONLY] [LIST] [] [one(1, RO | ACCESS)];
    Lpush: "lpush" -3 List "1.0.0" [WRITE DENYOOM FAST] [LIST] [] [one(1, RW | INSERT)];
    Lpushx: "lpushx" -3 List "2.2.0" [WRITE DENYOOM FAST] [LIST] [] [one(1, RW | INSERT)];
    Lrange: "lrange" 4 List "1.0.0" [READONLY] [LIST] [] [one(1, RO | ACCESS)];
    Lrem: "lrem" 4 List "1.0.0" [WRITE] [LIST] [] [one(1, RW | DELETE)];
    Lset: "lset" 4 List "1.0.0" [WRITE DENYOOM] [LIST] [] [one(1, RW | UPDATE)];
    Ltrim: "ltrim" 4 List "1.0.0" [WRITE] [LIST] [] [one(1, RW | DELETE)];
    Memory: "memory" -2 Server "4.0.0" [] [] [] [];
    MemoryDoctor in Memory: "memory|doctor" 2 Server "4.0.0" [] [] [NONDETERMINISTIC_OUTPUT ALL_SHARDS RESPONSE_SPECIAL] [];
    MemoryHelp in Memory: "memory|help" 2 Server "4.0.0" [LOADING STALE] [] [] [];
    MemoryMallocStats in Memory: "memory|malloc-stats" 2 Server "4.0.0" [] [] [NONDETERMINISTIC_OUTPUT ALL_SHARDS RESPONSE_SPECIAL] [];
    MemoryPurge in Memory: "memory|purge" 2 Server "4.0.0" [] [] [ALL_SHARDS ALL_SUCCEEDED] [];
    MemoryStats in Memory: "memory|stats" 2 Server "4.0.0" [] [] [NONDETERMINISTIC_OUTPUT ALL_SHARDS RESPONSE_SPECIAL] [];
    MemoryUsage in Memory: "memory|usage" -3 Server "4.0.0" [READONLY] [] [] [one(2, RO)];
    Mget: "mget" -2 String "1.0.0" [READONLY FAST] [STRING] [MULTI_SHARD] [range(1, -1, 1, RO | ACCESS)];
    Migrate: "migrate" -6 Generic "2.6.0" [WRITE] [DANGEROUS KEYSPACE] [NONDETERMINISTIC_OUTPUT] [one(3, RW | ACCESS | DELETE), after("KEYS", -2, -1, 0, RW | ACCESS | DELETE | INCOMPLETE)];
    Module: "module" -2 Server "4.0.0" [] [] [] [];
    ModuleHelp in Module: "module|help" 2 Server "5.0.0" [LOADING STALE] [] [] [];
    ModuleList in Module: "module|list" 2 Server "4.0.0" [ADMIN NOSCRIPT] [] [NONDETERMINISTIC_OUTPUT_ORDER] [];
    ModuleLoad in Module: "module|load" -3 Server "4.0.0" [ADMIN NOSCRIPT NO_ASYNC_LOADING] [] [] [];
    ModuleLoadex in Module: "module|loadex" -3 Server "7.0.0" [ADMIN NOSCRIPT NO_ASYNC_LOADING] [] [] [];
    ModuleUnload in Module: "module|unload" 3 Server "4.0.0" [ADMIN NOSCRIPT NO_ASYNC_LOADING] [] [] [];
    Monitor: "monitor" 1 Server "1.0.0" [ADMIN NOSCRIPT LOADING STALE] [] [] [];
    Move: "move" 3 Generic "1.0.0" [WRITE FAST] [KEYSPACE] [] [one(1, RW | ACCESS | UPDATE)];
    Mset: "mset" -3 String "1.0.1" [WRITE DENYOOM] [STRING] [MULTI_SHARD ALL_SUCCEEDED] [range(1, -1, 2, OW | UPDATE)];
    Msetnx: "msetnx" -3 String "1.0.1" [WRITE DENYOOM] [STRING] [] [range(1, -1, 2, OW | INSERT)];
    Multi: "multi" 1 Transactions "1.2.0" [NOSCRIPT LOADING STALE FAST ALLOW_BUSY] [TRANSACTION] [] [];
    Object: "object" -2 Generic "2.2.3" [] [] [] [];
    ObjectEncoding in Object: "object|encoding" 3 Generic "2.2.3" [READONLY] [KEYSPACE] [NONDETERMINISTIC_OUTPUT] [one(2, RO)];
    ObjectFreq in Object: "object|freq" 3 Generic "4.0.0" [READONLY] [KEYSPACE] [NONDETERMINISTIC_OUTPUT] [one(2, RO)];
    ObjectHelp in Object: "object|help" 2 Generic "6.2.0" [LOADING STALE] [KEYSPACE] [] [];
    ObjectIdletime in Object: "object|idletime" 3 Generic "2.2.3" [READONLY] [KEYSPACE] [NONDETERMINISTIC_OUTPUT] [one(2, RO)];
    ObjectRefcount in Object: "object|refcount" 3 Generic "2.2.3" [READONLY] [KEYSPACE] [NONDETERMINISTIC_OUTPUT] [one(2, RO)];
    Persist: "persist" 2 Generic "2.2.0" [WRITE FAST] [KEYSPACE] [] [one(1, RW | UPDATE)];
    Pexpire: "pexpire" -3 Generic "2.6.0" [WRITE FAST] [KEYSPACE] [] [one(1, RW | UPDATE)];
    Pexpireat: "pexpireat" -3 Generic "2.6.0" [WRITE FAST] [KEYSPACE] [] [one(1, RW | UPDATE)];
    Pexpiretime: "pexpiretime" 2 Generic "7.0.0" [READONLY FAST] [KEYSPACE] [] [one(1, RO | ACCESS)];
    Pfadd: "pfadd" -2 Hyperloglog "2.8.9" [WRITE DENYOOM FAST] [HYPERLOGLOG] [] [one(1, RW | INSERT)];
    Pfcount: "pfcount" -2 Hyperloglog "2.8.9" [READONLY MAY_REPLICATE] [HYPERLOGLOG] [] [range(1, -1, 1, RW | ACCESS).noted("RW because the cached count within the key may be renewed")];
    Pfdebug: "pfdebug" 3 Hyperloglog "2.8.9" [WRITE DENYOOM ADMIN SYSCMD] [HYPERLOGLOG] [] [one(2, RW | ACCESS)];
    Pfmerge: "pfmerge" -2 Hyperloglog "2.8.9" [WRITE DENYOOM] [HYPERLOGLOG] [] [one(1, RW | ACCESS | INSERT), range(2, -1, 1, RO | ACCESS)];
    Pfselftest: "pfselftest" 1 Hyperloglog "2.8.9" [ADMIN SYSCMD] [HYPERLOGLOG] [] [];
    Ping: "ping" -1 Connection "1.0.0" [FAST] [CONNECTION] [ALL_SHARDS ALL_SUCCEEDED] [];
    Psetex: "psetex" 4 String "2.6.0" [WRITE DENYOOM DEPRECATED] [STRING] [] [one(1, OW | UPDATE)];
    Psubscribe: "psubscribe" -2 Pubsub "2.0.0" [PUBSUB NOSCRIPT LOADING STALE] [] [] [];
    Psync: "psync" -3 Server "2.8.0" [ADMIN NOSCRIPT NO_ASYNC_LOADING NO_MULTI] [] [] [];
    Pttl: "pttl" 2 Generic "2.6.0" [READONLY FAST] [KEYSPACE] [NONDETERMINISTIC_OUTPUT] [one(1, RO | ACCESS)];
    Publish: "publish" 3 Pubsub "2.0.0" [PUBSUB LOADING STALE FAST MAY_REPLICATE] [] [] [];
    Pubsub: "pubsub" -2 Pubsub "2.8.0" [] [] [] [];
    PubsubChannels in Pubsub: "pubsub|channels" -2 Pubsub "2.8.0" [PUBSUB LOADING STALE] [] [] [];
    PubsubHelp in Pubsub: "pubsub|help" 2 Pubsub "6.2.0" [LOADING STALE] [] [] [];
    PubsubNumpat in Pubsub: "pubsub|numpat" 2 Pubsub "2.8.0" [PUBSUB LOADING STALE] [] [] [];
    PubsubNumsub in Pubsub: "pubsub|numsub" -2 Pubsub "2.8.0" [PUBSUB LOADING STALE] [] [] [];
    PubsubShardchannels in Pubsub: "pubsub|shardchannels" -2 Pubsub "7.0.0" [PUBSUB LOADING STALE] [] [] [];
    PubsubShardnumsub in Pubsub: "pubsub|shardnumsub" -2 Pubsub "7.0.0" [PUBSUB LOADING STALE] [] [] [];
    Punsubscribe: "punsubscribe" -1 Pubsub "2.0.0" [PUBSUB NOSCRIPT LOADING STALE] [] [] [];
    Quit: "quit" -1 Connection "1.0.0" [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY DEPRECATED] [CONNECTION] [] [];
    Randomkey: "randomkey" 1 Generic "1.0.0" [READONLY TOUCHES_ARBITRARY_KEYS] [KEYSPACE] [ALL_SHARDS RESPONSE_SPECIAL NONDETERMINISTIC_OUTPUT] [];
    Readonly: "readonly" 1 Cluster "3.0.0" [LOADING STALE FAST] [CONNECTION] [] [];
    Readwrite: "readwrite" 1 Cluster "3.0.0" [LOADING STALE FAST] [CONNECTION] [] [];
    Rename: "rename" 3 Generic "1.0.0" [WRITE] [KEYSPACE] [] [one(1, RW | ACCESS | DELETE), one(2, OW | UPDATE)];
    Renamenx: "renamenx" 3 Generic "1.0.0" [WRITE FAST] [KEYSPACE] [] [one(1, RW | ACCESS | DELETE), one(2, OW | INSERT)];
    Replconf: "replconf" -1 Server "3.0.0" [ADMIN NOSCRIPT LOADING STALE ALLOW_BUSY SYSCMD] [] [] [];
    Replicaof: "replicaof" 3 Server "5.0.0" [ADMIN NOSCRIPT STALE NO_ASYNC_LOADING] [] [] [];
    Reset: "reset" 1 Connection "6.2.0" [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] [CONNECTION] [] [];
    Restore: "restore" -4 Generic "2.6.0" [WRITE DENYOOM] [DANGEROUS KEYSPACE] [] [one(1, OW | UPDATE)];
    RestoreAsking: "restore-asking" -4 Server "3.0.0" [WRITE DENYOOM ASKING SYSCMD] [DANGEROUS KEYSPACE] [] [one(1, OW | UPDATE)];
    Role: "role" 1 Server "2.8.12" [NOSCRIPT LOADING STALE FAST] [ADMIN DANGEROUS] [] [];
    Rpop: "rpop" -2 List "1.0.0" [WRITE FAST] [LIST] [] [one(1, RW | ACCESS | DELETE)];
    Rpoplpush: "rpoplpush" 3 List "1.2.0" [WRITE DENYOOM DEPRECATED] [LIST] [] [one(1, RW | ACCESS | DELETE), one(2, RW | INSERT)];
    Rpush: "rpush" -3 List "1.0.0" [WRITE DENYOOM FAST] [LIST] [] [one(1, RW | INSERT)];
    Rpushx: "rpushx" -3 List "2.2.0" [WRITE DENYOOM FAST] [LIST] [] [one(1, RW | INSERT)];
    Sadd: "sadd" -3 Set "1.0.0" [WRITE DENYOOM FAST] [SET] [] [one(1, RW | INSERT)];
    Save: "save" 1 Server "1.0.0" [ADMIN NOSCRIPT NO_ASYNC_LOADING NO_MULTI] [] [] [];
    Scan: "scan" -2 Generic "2.8.0" [READONLY TOUCHES_ARBITRARY_KEYS] [KEYSPACE] [NONDETERMINISTIC_OUTPUT REQUEST_SPECIAL RESPONSE_SPECIAL] [];
    Scard: "scard" 2 Set "1.0.0" [READONLY FAST] [SET] [] [one(1, RO)];
    Script: "script" -2 Scripting "2.6.0" [] [] [] [];
    ScriptDebug in Script: "script|debug" 3 Scripting "3.2.0" [NOSCRIPT] [SCRIPTING] [] [];
    ScriptExists in Script: "script|exists" -3 Scripting "2.6.0" [NOSCRIPT] [SCRIPTING] [ALL_SHARDS AGG_LOGICAL_AND] [];
    ScriptFlush in Script: "script|flush" -2 Scripting "2.6.0" [NOSCRIPT] [SCRIPTING] [ALL_NODES ALL_SUCCEEDED] [];
    ScriptHelp in Script: "script|help" 2 Scripting "5.0.0" [LOADING STALE] [SCRIPTING] [] [];
    ScriptKill in Script: "script|kill" 2 Scripting "2.6.0" [NOSCRIPT ALLOW_BUSY] [SCRIPTING] [ALL_SHARDS ONE_SUCCEEDED] [];
    ScriptLoad in Script: "script|load" 3 Scripting "2.6.0" [NOSCRIPT STALE] [SCRIPTING] [ALL_NODES ALL_SUCCEEDED] [];
    Sdiff: "sdiff" -2 Set "1.0.0" [READONLY] [SET] [NONDETERMINISTIC_OUTPUT_ORDER] [range(1, -1, 1, RO | ACCESS)];
    Sdiffstore: "sdiffstore" -3 Set "1.0.0" [WRITE DENYOOM] [SET] [] [one(1, OW | UPDATE), range(2, -1, 1, RO | ACCESS)];
    Select: "select" 2 Connection "1.0.0" [LOADING STALE FAST] [CONNECTION] [] [];
    Set: "set" -3 String "1.0.0" [WRITE DENYOOM] [STRING] [] [one(1, RW | ACCESS | UPDATE | VARIABLE_FLAGS).noted("RW and ACCESS because of the optional GET")];
    Setbit: "setbit" 4 Bitmap "2.2.0" [WRITE DENYOOM] [BITMAP] [] [one(1, RW | ACCESS | UPDATE)];
    Setex: "setex" 4 String "2.0.0" [WRITE DENYOOM DEPRECATED] [STRING] [] [one(1, OW | UPDATE)];
    Setnx: "setnx" 3 String "1.0.0" [WRITE DENYOOM FAST DEPRECATED] [STRING] [] [one(1, OW | INSERT)];
    Setrange: "setrange" 4 String "2.2.0" [WRITE DENYOOM] [STRING] [] [one(1, RW | UPDATE)];
    Shutdown: "shutdown" -1 Server "1.0.0" [ADMIN NOSCRIPT LOADING STALE NO_MULTI ALLOW_BUSY] [] [] [];
    Sinter: "sinter" -2 Set "1.0.0" [READONLY] [SET] [NONDETERMINISTIC_OUTPUT_ORDER] [range(1, -1, 1, RO | ACCESS)];
    Sintercard: "sintercard" -3 Set "7.0.0" [READONLY] [SET] [] [counted(1, RO | ACCESS)];
    Sinterstore: "sinterstore" -3 Set "1.0.0" [WRITE DENYOOM] [SET] [] [one(1, RW | UPDATE), range(2, -1, 1, RO | ACCESS)];
    Sismember: "sismember" 3 Set "1.0.0" [READONLY FAST] [SET] [] [one(1, RO)];
    Slaveof: "slaveof" 3 Server "1.0.0" [ADMIN NOSCRIPT STALE NO_ASYNC_LOADING DEPRECATED] [] [] [];
    Slowlog: "slowlog" -2 Server "2.2.12" [] [] [] [];
    SlowlogGet in Slowlog: "slowlog|get" -2 Server "2.2.12" [ADMIN LOADING STALE] [] [ALL_NODES NONDETERMINISTIC_OUTPUT] [];
    SlowlogHelp in Slowlog: "slowlog|help" 2 Server "6.2.0" [LOADING STALE] [] [] [];
    SlowlogLen in Slowlog: "slowlog|len" 2 Server "2.2.12" [ADMIN LOADING STALE] [] [ALL_NODES AGG_SUM NONDETERMINISTIC_OUTPUT] [];
    SlowlogReset in Slowlog: "slowlog|reset" 2 Server "2.2.12" [ADMIN LOADING STALE] [] [ALL_NODES ALL_SUCCEEDED] [];
    Smembers: "smembers" 2 Set "1.0.0" [READONLY] [SET] [NONDETERMINISTIC_OUTPUT_ORDER] [one(1, RO | ACCESS)];
    Smismember: "smismember" -3 Set "6.2.0" [READONLY FAST] [SET] [] [one(1, RO | ACCESS)];
    Smove: "smove" 4 Set "1.0.0" [WRITE FAST] [SET] [] [one(1, RW | ACCESS | DELETE), one(2, RW | INSERT)];
    Sort: "sort" -2 Generic "1.0.0" [WRITE DENYOOM] [DANGEROUS LIST SET SORTED_SET] [] [one(1, RO | ACCESS), unknown(RO | ACCESS).noted("Keys of BY and GET: their names come from the elements that are sorted"), unknown(OW | UPDATE).noted("The key of STORE, which may stand anywhere among the options")];
    SortRo: "sort_ro" -2 Generic "7.0.0" [READONLY] [DANGEROUS LIST SET SORTED_SET] [] [one(1, RO | ACCESS), unknown(RO | ACCESS).noted("Keys of BY and GET: their names come from the elements that are sorted")];
    Spop: "spop" -2 Set "1.0.0" [WRITE FAST] [SET] [NONDETERMINISTIC_OUTPUT] [one(1, RW | ACCESS | DELETE)];
    Spublish: "spublish" 3 Pubsub "7.0.0" [PUBSUB LOADING STALE FAST MAY_REPLICATE] [] [] [one(1, NOT_KEY)];
    Srandmember: "srandmember" -2 Set "1.0.0" [READONLY] [SET] [NONDETERMINISTIC_OUTPUT] [one(1, RO | ACCESS)];
    Srem: "srem" -3 Set "1.0.0" [WRITE FAST] [SET] [] [one(1, RW | DELETE)];
    Sscan: "sscan" -3 Set "2.8.0" [READONLY] [SET] [NONDETERMINISTIC_OUTPUT] [one(1, RO | ACCESS)];
    Ssubscribe: "ssubscribe" -2 Pubsub "7.0.0" [PUBSUB NOSCRIPT LOADING STALE] [] [] [range(1, -1, 1, NOT_KEY)];
    Strlen: "strlen" 2 String "2.2.0" [READONLY FAST] [STRING] [] [one(1, RO)];
    Subscribe: "subscribe" -2 Pubsub "2.0.0" [PUBSUB NOSCRIPT LOADING STALE] [] [] [];
    Substr: "substr" 4 String "1.0.0" [READONLY DEPRECATED] [STRING] [] [one(1, RO | ACCESS)];
    Sunion: "sunion" -2 Set "1.0.0" [READONLY] [SET] [NONDETERMINISTIC_OUTPUT_ORDER] [range(1, -1, 1, RO | ACCESS)];
    Sunionstore: "sunionstore" -3 Set "1.0.0" [WRITE DENYOOM] [SET] [] [one(1, OW | UPDATE), range(2, -1, 1, RO | ACCESS)];
    Sunsubscribe: "sunsubscribe" -1 Pubsub "7.0.0" [PUBSUB NOSCRIPT LOADING STALE] [] [] [range(1, -1, 1, NOT_KEY)];
    Swapdb: "swapdb" 3 Server "4.0.0" [WRITE FAST] [DANGEROUS KEYSPACE] [] [];
    Sync: "sync" 1 Server "1.0.0" [ADMIN NOSCRIPT NO_ASYNC_LOADING NO_MULTI] [] [] [];
    Time: "time" 1 Server "2.6.0" [LOADING STALE FAST] [] [NONDETERMINISTIC_OUTPUT] [];
    Touch: "touch" -2 Generic "3.2.1" [READONLY FAST] [KEYSPACE] [MULTI_SHARD AGG_SUM] [range(1, -1, 1, RO)];
    Ttl: "ttl" 2 Generic "1.0.0" [READONLY FAST] [KEYSPACE] [NONDETERMINISTIC_OUTPUT] [one(1, RO | ACCESS)];
    Type: "type" 2 Generic "1.0.0" [READONLY FAST] [KEYSPACE] [] [one(1, RO)];
    Unlink: "unlink" -2 Generic "4.0.0" [WRITE FAST] [KEYSPACE] [MULTI_SHARD AGG_SUM] [range(1, -1, 1, RM | DELETE)];
    Unsubscribe: "unsubscribe" -1 Pubsub "2.0.0" [PUBSUB NOSCRIPT LOADING STALE] [] [] [];
    Unwatch: "unwatch" 1 Transactions "2.2.0" [NOSCRIPT LOADING STALE FAST ALLOW_BUSY] [TRANSACTION] [] [];
    Wait: "wait" 3 Generic "3.0.0" [] [CONNECTION] [ALL_SHARDS AGG_MIN] [];
    Waitaof: "waitaof" 4 Generic "7.2.0" [NOSCRIPT] [CONNECTION] [ALL_SHARDS AGG_MIN] [];
    Watch: "watch" -2 Transactions "2.2.0" [NOSCRIPT LOADING STALE FAST ALLOW_BUSY] [TRANSACTION] [] [range(1, -1, 1, RO)];
    Xack: "xack" -4 Stream "5.0.0" [WRITE FAST] [STREAM] [] [one(1, RW | UPDATE)];
    Xadd: "xadd" -5 Stream "5.0.0" [WRITE DENYOOM FAST] [STREAM] [NONDETERMINISTIC_OUTPUT] [one(1, RW | UPDATE).noted("UPDATE rather than INSERT because it may also trim")];
    Xautoclaim: "xautoclaim" -6 Stream "6.2.0" [WRITE FAST] [STREAM] [NONDETERMINISTIC_OUTPUT] [one(1, RW | DELETE)];
    Xclaim: "xclaim" -6 Stream "5.0.0" [WRITE FAST] [STREAM] [NONDETERMINISTIC_OUTPUT] [one(1, RW | UPDATE)];
    Xdel: "xdel" -3 Stream "5.0.0" [WRITE FAST] [STREAM] [] [one(1, RW | DELETE)];
    Xgroup: "xgroup" -2 Stream "5.0.0" [] [] [] [];
    XgroupCreate in Xgroup: "xgroup|create" -5 Stream "5.0.0" [WRITE DENYOOM] [STREAM] [] [one(2, RW | INSERT)];
    XgroupCreateconsumer in Xgroup: "xgroup|createconsumer" 5 Stream "6.2.0" [WRITE DENYOOM] [STREAM] [] [one(2, RW | INSERT)];
    XgroupDelconsumer in Xgroup: "xgroup|delconsumer" 5 Stream "5.0.0" [WRITE] [STREAM] [] [one(2, RW | DELETE)];
    XgroupDestroy in Xgroup: "xgroup|destroy" 4 Stream "5.0.0" [WRITE] [STREAM] [] [one(2, RW | DELETE)];
    XgroupHelp in Xgroup: "xgroup|help" 2 Stream "5.0.0" [LOADING STALE] [STREAM] [] [];
    XgroupSetid in Xgroup: "xgroup|setid" -5 Stream "5.0.0" [WRITE] [STREAM] [] [one(2, RW | UPDATE)];
    Xinfo: "xinfo" -2 Stream "5.0.0" [] [] [] [];
    XinfoConsumers in Xinfo: "xinfo|consumers" 4 Stream "5.0.0" [READONLY] [STREAM] [NONDETERMINISTIC_OUTPUT] [one(2, RO | ACCESS)];
    XinfoGroups in Xinfo: "xinfo|groups" 3 Stream "5.0.0" [READONLY] [STREAM] [] [one(2, RO | ACCESS)];
    XinfoHelp in Xinfo: "xinfo|help" 2 Stream "5.0.0" [LOADING STALE] [STREAM] [] [];
    XinfoStream in Xinfo: "xinfo|stream" -3 Stream "5.0.0" [READONLY] [STREAM] [] [one(2, RO | ACCESS)];
    Xlen: "xlen" 2 Stream "5.0.0" [READONLY FAST] [STREAM] [] [one(1, RO)];
    Xpending: "xpending" -3 Stream "5.0.0" [READONLY] [STREAM] [NONDETERMINISTIC_OUTPUT] [one(1, RO | ACCESS)];
    Xrange: "xrange" -4 Stream "5.0.0" [READONLY] [STREAM] [] [one(1, RO | ACCESS)];
    Xread: "xread" -4 Stream "5.0.0" [READONLY BLOCKING] [STREAM] [] [after("STREAMS", 1, -1, 2, RO | ACCESS)];
    Xreadgroup: "xreadgroup" -7 Stream "5.0.0" [WRITE BLOCKING] [STREAM] [] [after("STREAMS", 4, -1, 2, RO | ACCESS)];
    Xrevrange: "xrevrange" -4 Stream "5.0.0" [READONLY] [STREAM] [] [one(1, RO | ACCESS)];
    Xsetid: "xsetid" -3 Stream "5.0.0" [WRITE DENYOOM FAST] [STREAM] [] [one(1, RW | UPDATE)];
    Xtrim: "xtrim" -4 Stream "5.0.0" [WRITE] [STREAM] [NONDETERMINISTIC_OUTPUT] [one(1, RW | DELETE)];
    Zadd: "zadd" -4 SortedSet "1.2.0" [WRITE DENYOOM FAST] [SORTED_SET] [] [one(1, RW | UPDATE)];
    Zcard: "zcard" 2 SortedSet "1.2.0" [READONLY FAST] [SORTED_SET] [] [one(1, RO)];
    Zcount: "zcount" 4 SortedSet "2.0.0" [READONLY FAST] [SORTED_SET] [] [one(1, RO | ACCESS)];
    Zdiff: "zdiff" -3 SortedSet "6.2.0" [READONLY] [SORTED_SET] [] [counted(1, RO | ACCESS)];
    Zdiffstore: "zdiffstore" -4 SortedSet "6.2.0" [WRITE DENYOOM] [SORTED_SET] [] [one(1, OW | UPDATE), counted(2, RO | ACCESS)];
    Zincrby: "zincrby" 4 SortedSet "1.2.0" [WRITE DENYOOM FAST] [SORTED_SET] [] [one(1, RW | ACCESS | UPDATE)];
    Zinter: "zinter" -3 SortedSet "6.2.0" [READONLY] [SORTED_SET] [] [counted(1, RO | ACCESS)];
    Zintercard: "zintercard" -3 SortedSet "7.0.0" [READONLY] [SORTED_SET] [] [counted(1, RO | ACCESS)];
    Zinterstore: "zinterstore" -4 SortedSet "2.0.0" [WRITE DENYOOM] [SORTED_SET] [] [one(1, OW | UPDATE), counted(2, RO | ACCESS)];
    Zlexcount: "zlexcount" 4 SortedSet "2.8.9" [READONLY FAST] [SORTED_SET] [] [one(1, RO | ACCESS)];
    Zmpop: "zmpop" -4 SortedSet "7.0.0" [WRITE] [SORTED_SET] [] [counted(1, RW | ACCESS | DELETE)];
    Zmscore: "zmscore" -3 SortedSet "6.2.0" [READONLY FAST] [SORTED_SET] [] [one(1, RO | ACCESS)];
    Zpopmax: "zpopmax" -2 SortedSet "5.0.0" [WRITE FAST] [SORTED_SET] [] [one(1, RW | ACCESS | DELETE)];
    Zpopmin: "zpopmin" -2 SortedSet "5.0.0" [WRITE FAST] [SORTED_SET] [] [one(1, RW | ACCESS | DELETE)];
    Zrandmember: "zrandmember" -2 SortedSet "6.2.0" [READONLY] [SORTED_SET] [NONDETERMINISTIC_OUTPUT] [one(1, RO | ACCESS)];
    Zrange: "zrange" -4 SortedSet "1.2.0" [READONLY] [SORTED_SET] [] [one(1, RO | ACCESS)];
    Zrangebylex: "zrangebylex" -4 SortedSet "2.8.9" [READONLY DEPRECATED] [SORTED_SET] [] [one(1, RO | ACCESS)];
    Zrangebyscore: "zrangebyscore" -4 SortedSet "1.0.5" [READONLY DEPRECATED] [SORTED_SET] [] [one(1, RO | ACCESS)];
    Zrangestore: "zrangestore" -5 SortedSet "6.2.0" [WRITE DENYOOM] [SORTED_SET] [] [one(1, OW | UPDATE), one(2, RO | ACCESS)];
    Zrank: "zrank" -3 SortedSet "2.0.0" [READONLY FAST] [SORTED_SET] [] [one(1, RO | ACCESS)];
    Zrem: "zrem" -3 SortedSet "1.2.0" [WRITE FAST] [SORTED_SET] [] [one(1, RW | DELETE)];
    Zremrangebylex: "zremrangebylex" 4 SortedSet "2.8.9" [WRITE] [SORTED_SET] [] [one(1, RW | DELETE)];
    Zremrangebyrank: "zremrangebyrank" 4 SortedSet "2.0.0" [WRITE] [SORTED_SET] [] [one(1, RW | DELETE)];
    Zremrangebyscore: "zremrangebyscore" 4 SortedSet "1.2.0" [WRITE] [SORTED_SET] [] [one(1, RW | DELETE)];
    Zrevrange: "zrevrange" -4 SortedSet "1.2.0" [READONLY DEPRECATED] [SORTED_SET] [] [one(1, RO | ACCESS)];
    Zrevrangebylex: "zrevrangebylex" -4 SortedSet "2.8.9" [READONLY DEPRECATED] [SORTED_SET] [] [one(1, RO | ACCESS)];
    Zrevrangebyscore: "zrevrangebyscore" -4 SortedSet "2.2.0" [READONLY DEPRECATED] [SORTED_SET] [] [one(1, RO | ACCESS)];
    Zrevrank: "zrevrank" -3 SortedSet "2.0.0" [READONLY FAST] [SORTED_SET] [] [one(1, RO | ACCESS)];
    Zscan: "zscan" -3 SortedSet "2.8.0" [READONLY] [SORTED_SET] [NONDETERMINISTIC_OUTPUT] [one(1, RO | ACCESS)];
    Zscore: "zscore" 3 SortedSet "1.2.0" [READONLY FAST] [SORTED_SET] [] [one(1, RO | ACCESS)];
    Zunion: "zunion" -3 SortedSet "6.2.0" [READONLY] [SORTED_SET] [] [counted(1, RO | ACCESS)];
    Zunionstore: "zunionstore" -4 SortedSet "2.0.0" [WRITE DENYOOM] [SORTED_SET] [] [one(1, OW | UPDATE), counted(2, RO | ACCESS)];
}
