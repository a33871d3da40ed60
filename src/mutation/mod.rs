//! The vocabulary of change: the one language that the log, the standbys and the store know.
//!
//! A mutation says what happened, never what was asked: values are final, expiry times absolute,
//! members chosen. Applying the same mutations in the same order to equal data gives equal data,
//! without a clock, chance or a script. A node that meets a kind it does not know stops.
//!
//! To add one: a variant here, its arms in `codec.rs`, its application in `keyspace/apply.rs`
//! (with its undo); and it may be proposed only once every member supports it.

pub mod codec;
pub mod entry;

pub use entry::{Entry, Header};

/// One change. `db` is a database number; an `expire_at` of 0 means that the key never expires,
/// any other value is a time in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mutation<'a> {
    /// The key holds this string, whatever it held before.
    StrSet {
        db: u32,
        key: &'a [u8],
        value: &'a [u8],
        expire_at: u64,
    },
    /// Bytes of a string from `offset` on are these; the string grows, zero-filled, where it was
    /// shorter or absent. An append is a range at the end.
    StrRange {
        db: u32,
        key: &'a [u8],
        offset: u64,
        bytes: &'a [u8],
    },
    /// The key is gone.
    Del { db: u32, key: &'a [u8] },
    /// The key expires then; 0: never.
    Expire { db: u32, key: &'a [u8], at: u64 },
    /// The value and its expiry move to another key or database, replacing what is there.
    Rename {
        db: u32,
        key: &'a [u8],
        to_db: u32,
        to: &'a [u8],
    },
    /// A copy of the value and its expiry is at another key, replacing what is there.
    Copy {
        db: u32,
        key: &'a [u8],
        to_db: u32,
        to: &'a [u8],
    },
    /// A database is empty.
    FlushDb { db: u32 },
    /// Two databases change places.
    SwapDb { a: u32, b: u32 },
    /// A hash's field has this value.
    HashSet {
        db: u32,
        key: &'a [u8],
        field: &'a [u8],
        value: &'a [u8],
    },
    /// A hash's field is gone; the key too, with its last field.
    HashDel {
        db: u32,
        key: &'a [u8],
        field: &'a [u8],
    },
    /// A set has this member.
    SetAdd {
        db: u32,
        key: &'a [u8],
        member: &'a [u8],
    },
    /// A set's member is gone; the key too, with its last member.
    SetDel {
        db: u32,
        key: &'a [u8],
        member: &'a [u8],
    },
    /// A sorted set's member has this score.
    ZSetAdd {
        db: u32,
        key: &'a [u8],
        member: &'a [u8],
        score: f64,
    },
    /// A sorted set's member is gone; the key too, with its last member.
    ZSetDel {
        db: u32,
        key: &'a [u8],
        member: &'a [u8],
    },
    /// A list has one more element at an end.
    ListPush {
        db: u32,
        key: &'a [u8],
        front: bool,
        value: &'a [u8],
    },
    /// A list has lost that many elements at an end; the key is gone with the last one.
    ListPop {
        db: u32,
        key: &'a [u8],
        front: bool,
        count: u64,
    },
    /// A list's element at an index (from 0) is this one.
    ListSet {
        db: u32,
        key: &'a [u8],
        index: u64,
        value: &'a [u8],
    },
    /// A list has one more element, before the one at that index.
    ListInsert {
        db: u32,
        key: &'a [u8],
        index: u64,
        value: &'a [u8],
    },
    /// A list's element at that index is gone; the key too, with the last one.
    ListRemove { db: u32, key: &'a [u8], index: u64 },
    /// A stream has one more entry, above its last id; `fields` are names and values in turn,
    /// each with its length.
    StreamAdd {
        db: u32,
        key: &'a [u8],
        id: u128,
        fields: &'a [u8],
    },
    /// A stream's entry is gone; the key stays.
    StreamDel { db: u32, key: &'a [u8], id: u128 },
    /// A stream's first entries are gone; the key stays.
    StreamTrim { db: u32, key: &'a [u8], count: u64 },
    /// A stream has this last id, greatest deleted id and count of entries ever added.
    StreamSet {
        db: u32,
        key: &'a [u8],
        last: u128,
        max_deleted: u128,
        added: u64,
    },
    /// A stream's group stands there; `read` entries were read, or nobody knows.
    StreamGroup {
        db: u32,
        key: &'a [u8],
        group: &'a [u8],
        last: u128,
        read: Option<u64>,
    },
    /// A stream's group is gone, with all that is in it.
    StreamGroupDel {
        db: u32,
        key: &'a [u8],
        group: &'a [u8],
    },
    /// A group's consumer was last seen and last active then.
    StreamConsumer {
        db: u32,
        key: &'a [u8],
        group: &'a [u8],
        consumer: &'a [u8],
        seen: u64,
        active: Option<u64>,
    },
    /// A group's consumer is gone, with what is pending with it.
    StreamConsumerDel {
        db: u32,
        key: &'a [u8],
        group: &'a [u8],
        consumer: &'a [u8],
    },
    /// An entry is pending with a consumer, delivered at `time` for the `count`th time.
    StreamPending {
        db: u32,
        key: &'a [u8],
        group: &'a [u8],
        consumer: &'a [u8],
        id: u128,
        time: u64,
        count: u64,
    },
    /// An entry is not pending any more.
    StreamAck {
        db: u32,
        key: &'a [u8],
        group: &'a [u8],
        id: u128,
    },
    /// An entry of a table beside the databases (`keyspace::system`) has this value.
    SystemPut {
        table: u8,
        name: &'a [u8],
        value: &'a [u8],
    },
    /// An entry of a table beside the databases is gone.
    SystemDel { table: u8, name: &'a [u8] },
}

impl<'a> Mutation<'a> {
    /// The key that is changed and its database; `None` for whole databases.
    pub fn key(&self) -> Option<(u32, &'a [u8])> {
        use Mutation::*;
        match *self {
            FlushDb { .. } | SwapDb { .. } | SystemPut { .. } | SystemDel { .. } => None,
            StrSet { db, key, .. }
            | StrRange { db, key, .. }
            | Del { db, key }
            | Expire { db, key, .. }
            | Rename { db, key, .. }
            | Copy { db, key, .. }
            | HashSet { db, key, .. }
            | HashDel { db, key, .. }
            | SetAdd { db, key, .. }
            | SetDel { db, key, .. }
            | ZSetAdd { db, key, .. }
            | ZSetDel { db, key, .. }
            | ListPush { db, key, .. }
            | ListPop { db, key, .. }
            | ListSet { db, key, .. }
            | ListInsert { db, key, .. }
            | ListRemove { db, key, .. }
            | StreamAdd { db, key, .. }
            | StreamDel { db, key, .. }
            | StreamTrim { db, key, .. }
            | StreamSet { db, key, .. }
            | StreamGroup { db, key, .. }
            | StreamGroupDel { db, key, .. }
            | StreamConsumer { db, key, .. }
            | StreamConsumerDel { db, key, .. }
            | StreamPending { db, key, .. }
            | StreamAck { db, key, .. } => Some((db, key)),
        }
    }
}
