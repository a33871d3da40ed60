//! The command table: for each command of Redis 7.2 what clients, gates and tools must know of it.
//!
//! Invariants: one line of `data` per command is the single source; what follows from it (implied
//! ACL categories, the legacy key range, movable keys, the name index) is computed from it when
//! compiled. Subcommands follow their container. `tests/command_table.rs` compares every entry
//! with what a running Redis 7.2 reports.

mod data;
mod keys;
mod lookup;

pub use data::CommandId;
pub use keys::{Channels, Key, Keys, channels, keys, routed_keys};
pub use lookup::{Unknown, by_full_name, by_name, resolve, wrong_arity};

/// Commands and subcommands.
pub const COUNT: usize = data::TABLE.len();

/// Every command and subcommand; `SPECS[id as usize]` is that of `id`.
pub static SPECS: [Spec; COUNT] = data::TABLE;

/// What is known of one command or subcommand.
#[derive(Debug, PartialEq)]
pub struct Spec {
    /// Its place in the table, dense from 0.
    pub id: CommandId,
    /// In lower case; of a subcommand with its container: `config|get`.
    pub full_name: &'static str,
    /// The command that this is a subcommand of.
    pub container: Option<CommandId>,
    /// How many arguments it takes, name and subcommand included; -n means n or more.
    pub arity: i16,
    /// Where its documentation stands.
    pub group: Group,
    /// The version of Redis that brought it.
    pub since: &'static str,
    /// What it does and where it may run.
    pub flags: Flags,
    /// ACL categories, those that flags imply included.
    pub categories: Categories,
    /// Hints for cluster proxies and clients, as COMMAND INFO replies them.
    pub tips: &'static [&'static str],
    /// Where its keys are and what it does with them.
    pub key_specs: &'static [KeySpec],
    /// The legacy key range: position of the first key, 0 where there is none.
    pub first_key: i16,
    /// The legacy key range: position of the last key; negative counts from the end.
    pub last_key: i16,
    /// The legacy key range: distance between keys.
    pub key_step: i16,
}

impl Spec {
    /// The name without container: `get` of `config|get`.
    pub fn name(&self) -> &'static str {
        self.full_name
            .split_once('|')
            .map_or(self.full_name, |(_, name)| name)
    }

    /// Whether a request of `count` arguments, the name included, has as many as this takes.
    pub fn accepts(&self, count: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 {
            count >= arity
        } else {
            count == arity
        }
    }

    /// Whether it has any of these flags.
    pub fn has(&self, flags: Flags) -> bool {
        self.flags.intersects(flags)
    }

    /// Its subcommands, in the order of their names; empty where it is no container.
    pub fn subcommands(&self) -> &'static [Spec] {
        let start = self.id as usize + 1;
        &SPECS[start..start + usize::from(SUBCOMMAND_COUNTS[self.id as usize])]
    }

    /// Whether some argument may be a key.
    pub fn has_keys(&self) -> bool {
        self.key_specs
            .iter()
            .any(|spec| spec.flags & key::NOT_KEY == 0)
    }
}

impl CommandId {
    /// What is known of it.
    pub fn spec(self) -> &'static Spec {
        &SPECS[self as usize]
    }
}

/// How many subcommands follow each entry.
static SUBCOMMAND_COUNTS: [u8; COUNT] = {
    let mut counts = [0; COUNT];
    let mut i = 0;
    while i < COUNT {
        if let Some(container) = data::TABLE[i].container {
            counts[container as usize] += 1;
        }
        i += 1;
    }
    counts
};

/// Where a command's documentation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    Bitmap,
    Cluster,
    Connection,
    Generic,
    Geo,
    Hash,
    Hyperloglog,
    List,
    Pubsub,
    Scripting,
    Server,
    Set,
    SortedSet,
    Stream,
    String,
    Transactions,
}

impl Group {
    /// As COMMAND DOCS names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bitmap => "bitmap",
            Self::Cluster => "cluster",
            Self::Connection => "connection",
            Self::Generic => "generic",
            Self::Geo => "geo",
            Self::Hash => "hash",
            Self::Hyperloglog => "hyperloglog",
            Self::List => "list",
            Self::Pubsub => "pubsub",
            Self::Scripting => "scripting",
            Self::Server => "server",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Stream => "stream",
            Self::String => "string",
            Self::Transactions => "transactions",
        }
    }
}

/// Defines a set of named bits and their names in the order in which Redis replies them.
macro_rules! bits {
    ($(#[$doc:meta])* $set:ident($int:ty) { $($(#[$bit_doc:meta])* $bit:ident $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
        pub struct $set(pub $int);

        impl $set {
            bits!(@each $int, 0; $($(#[$bit_doc])* $bit,)*);
            const NAMED: &[(Self, &'static str)] = &[$((Self::$bit, $name),)*];

            /// Whether all bits of `other` are among these.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether any bit of `other` is among these.
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// The bits of both.
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The names of the bits, in Redis's order. Bits that Redis hides are left out.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                Self::NAMED
                    .iter()
                    .filter(move |(bit, name)| self.contains(*bit) && !name.is_empty())
                    .map(|(_, name)| *name)
            }

            /// The bit of that name, in any case.
            pub fn by_name(name: &[u8]) -> Option<Self> {
                Self::NAMED
                    .iter()
                    .find(|(_, known)| !known.is_empty() && known.as_bytes().eq_ignore_ascii_case(name))
                    .map(|(bit, _)| *bit)
            }
        }
    };
    (@each $int:ty, $n:expr; $(#[$doc:meta])* $bit:ident, $($rest:tt)*) => {
        $(#[$doc])*
        pub const $bit: Self = Self(1 << ($n));
        bits!(@each $int, $n + 1; $($rest)*);
    };
    (@each $int:ty, $n:expr;) => {};
}

bits! {
    /// What a command does and where it may run.
    Flags(u32) {
        /// May change data.
        WRITE "write",
        /// Reads data and changes none.
        READONLY "readonly",
        /// Refused while memory is above maxmemory.
        DENYOOM "denyoom",
        /// For the operator.
        ADMIN "admin",
        /// Allowed to a RESP2 connection that has subscribed, or otherwise of pub/sub.
        PUBSUB "pubsub",
        /// Refused in scripts.
        NOSCRIPT "noscript",
        /// May keep its client waiting.
        BLOCKING "blocking",
        /// Allowed while the data set is loaded.
        LOADING "loading",
        /// Allowed at a standby that is out of date.
        STALE "stale",
        /// Not shown to MONITOR.
        SKIP_MONITOR "skip_monitor",
        /// Not in the slow log.
        SKIP_SLOWLOG "skip_slowlog",
        /// Counts as preceded by ASKING.
        ASKING "asking",
        /// Takes constant or logarithmic time.
        FAST "fast",
        /// Allowed before authentication.
        NO_AUTH "no_auth",
        /// May be called with no key though it can take some.
        NO_MANDATORY_KEYS "no_mandatory_keys",
        /// Refused while a data set is loaded beside the one that is served.
        NO_ASYNC_LOADING "no_async_loading",
        /// Refused within MULTI.
        NO_MULTI "no_multi",
        /// The legacy key range does not find all keys.
        MOVABLEKEYS "movablekeys",
        /// Allowed while a script runs for too long.
        ALLOW_BUSY "allow_busy",
        /// No write, but may have something to replicate; held back by CLIENT PAUSE WRITE.
        MAY_REPLICATE "",
        /// Works on keys that its arguments do not name.
        TOUCHES_ARBITRARY_KEYS "",
        /// There is a newer command for it.
        DEPRECATED "",
        /// Used between servers.
        SYSCMD "",
    }
}

bits! {
    /// The categories by which ACL rules name commands.
    Categories(u32) {
        KEYSPACE "keyspace",
        READ "read",
        WRITE "write",
        SET "set",
        SORTED_SET "sortedset",
        LIST "list",
        HASH "hash",
        STRING "string",
        BITMAP "bitmap",
        HYPERLOGLOG "hyperloglog",
        GEO "geo",
        STREAM "stream",
        PUBSUB "pubsub",
        ADMIN "admin",
        FAST "fast",
        SLOW "slow",
        BLOCKING "blocking",
        DANGEROUS "dangerous",
        CONNECTION "connection",
        TRANSACTION "transaction",
        SCRIPTING "scripting",
    }
}

/// What a command does with the keys of one key spec; bits of `KeySpec::flags`.
pub mod key {
    /// Reads the key's value or state.
    pub const RO: u16 = 1 << 0;
    /// Changes the value, which depends on what it was.
    pub const RW: u16 = 1 << 1;
    /// Replaces the value whatever it was.
    pub const OW: u16 = 1 << 2;
    /// Removes the key.
    pub const RM: u16 = 1 << 3;
    /// User data in the value is returned, copied or used.
    pub const ACCESS: u16 = 1 << 4;
    /// User data is changed in a way that may depend on what was there.
    pub const UPDATE: u16 = 1 << 5;
    /// User data is added, none is changed.
    pub const INSERT: u16 = 1 << 6;
    /// User data is removed.
    pub const DELETE: u16 = 1 << 7;
    /// Not a key, but routed by slot as if it were (a shard channel).
    pub const NOT_KEY: u16 = 1 << 8;
    /// The spec may miss keys.
    pub const INCOMPLETE: u16 = 1 << 9;
    /// Other flags hold for some arguments; see `keys`.
    pub const VARIABLE_FLAGS: u16 = 1 << 10;

    const NAMES: [&str; 11] = [
        "RO",
        "RW",
        "OW",
        "RM",
        "access",
        "update",
        "insert",
        "delete",
        "not_key",
        "incomplete",
        "variable_flags",
    ];

    /// The names of the flags, in the order in which Redis replies them.
    pub fn names(flags: u16) -> impl Iterator<Item = &'static str> {
        NAMES
            .iter()
            .enumerate()
            .filter(move |(bit, _)| flags & (1 << bit) != 0)
            .map(|(_, name)| *name)
    }
}

/// Where some of a command's keys are, and what it does with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    /// Bits of `key`.
    pub flags: u16,
    /// Where the search begins.
    pub begin: Begin,
    /// What is a key from there on.
    pub find: Find,
    /// A remark that COMMAND INFO replies; may be empty.
    pub notes: &'static str,
}

/// Where the search for keys begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Only the command's own code can tell.
    Unknown,
    /// At that argument.
    Index(i16),
    /// Behind that word, which is searched from an argument on; a negative start counts from the
    /// end and searches backwards.
    Keyword(&'static str, i16),
}

/// Which arguments are keys, from where the search begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find {
    /// Only the command's own code can tell.
    Unknown,
    /// Up to `last`: relative to the first where not negative, else counted from the end. A `limit`
    /// of n means that the keys are one n-th of what is left.
    Range { last: i16, step: i16, limit: i16 },
    /// As many as an argument says; positions are relative to where the search begins.
    Counted {
        count_at: i16,
        first: i16,
        step: i16,
    },
}

impl KeySpec {
    const fn noted(self, notes: &'static str) -> Self {
        Self { notes, ..self }
    }
}

/// Computes what follows from an entry's own line.
const fn derive(mut spec: Spec) -> Spec {
    spec.categories = implied_categories(spec.flags, spec.categories);
    let specs = spec.key_specs;
    if let [
        KeySpec {
            begin: Begin::Index(first),
            find: Find::Range { last, step, .. },
            flags,
            ..
        },
    ] = specs
    {
        spec.first_key = *first;
        spec.last_key = if *last >= 0 { *first + *last } else { *last };
        spec.key_step = *step;
        if *flags & key::INCOMPLETE != 0 {
            spec.flags = spec.flags.union(Flags::MOVABLEKEYS);
        }
        return spec;
    }
    // Of several specs those count that are plain ranges, one right behind the other.
    let mut i = 0;
    while i < specs.len() {
        let mut plain = false;
        if let (Begin::Index(first), Find::Range { last, step: 1, .. }) =
            (specs[i].begin, specs[i].find)
        {
            plain = spec.last_key == 0 || spec.last_key == first - 1;
            if plain {
                let last = if last >= 0 { first + last } else { last };
                if spec.first_key == 0 || first < spec.first_key {
                    spec.first_key = first;
                }
                // Negative counts from the end, which is beyond any index.
                if (last as u16) > (spec.last_key as u16) {
                    spec.last_key = last;
                }
                spec.key_step = 1;
            }
        }
        if !plain || specs[i].flags & key::INCOMPLETE != 0 {
            spec.flags = spec.flags.union(Flags::MOVABLEKEYS);
        }
        i += 1;
    }
    spec
}

const fn implied_categories(flags: Flags, own: Categories) -> Categories {
    let mut all = own;
    if flags.contains(Flags::WRITE) {
        all = all.union(Categories::WRITE);
    }
    if flags.contains(Flags::READONLY) && !own.contains(Categories::SCRIPTING) {
        all = all.union(Categories::READ);
    }
    if flags.contains(Flags::ADMIN) {
        all = all.union(Categories::ADMIN).union(Categories::DANGEROUS);
    }
    if flags.contains(Flags::PUBSUB) {
        all = all.union(Categories::PUBSUB);
    }
    if flags.contains(Flags::BLOCKING) {
        all = all.union(Categories::BLOCKING);
    }
    all.union(if flags.contains(Flags::FAST) {
        Categories::FAST
    } else {
        Categories::SLOW
    })
}
