//! What a key holds.

use crate::data::{Hash, List, Set, Small, Str, Stream, ZSet, alloc_size};

/// Strings up to this many bytes are one row of the store; longer ones are kept in chunks.
pub const STR_ROW_MAX: usize = 16 * 1024;

/// A collection, or a string kept in chunks: data with what the store and the digest need.
#[derive(Debug, Clone)]
pub struct Coll<T> {
    /// Its rows in the store carry this number, so renaming it rewrites one row.
    pub generation: u64,
    /// Sum of its elements' digests, wrapping.
    pub sum: u64,
    pub data: T,
}

impl<T> Coll<T> {
    pub fn new(generation: u64, data: T) -> Self {
        Coll {
            generation,
            sum: 0,
            data,
        }
    }
}

/// A value of one of Redis's types.
#[derive(Debug, Clone)]
pub enum Value {
    /// A string of at most [`STR_ROW_MAX`] bytes.
    Str(Str),
    /// A longer string.
    Long(Box<Coll<Str>>),
    List(Box<Coll<List>>),
    Set(Box<Coll<Set>>),
    Hash(Box<Coll<Hash>>),
    ZSet(Box<Coll<ZSet>>),
    Stream(Box<Coll<Stream>>),
}

impl Value {
    /// The type as TYPE names it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Str(_) | Value::Long(_) => "string",
            Value::List(_) => "list",
            Value::Set(_) => "set",
            Value::Hash(_) => "hash",
            Value::ZSet(_) => "zset",
            Value::Stream(_) => "stream",
        }
    }

    /// The encoding as OBJECT ENCODING names it.
    pub fn encoding(&self) -> &'static str {
        match self {
            Value::Str(s) => s.encoding(),
            Value::Long(_) => "raw",
            Value::List(c) => c.data.encoding(),
            Value::Set(c) => c.data.encoding(),
            Value::Hash(c) => c.data.encoding(),
            Value::ZSet(c) => c.data.encoding(),
            Value::Stream(c) => c.data.encoding(),
        }
    }

    /// The generation under which rows beside the key's own are stored; `None` where there are none.
    pub fn generation(&self) -> Option<u64> {
        match self {
            Value::Str(_) => None,
            Value::Long(c) => Some(c.generation),
            Value::List(c) => Some(c.generation),
            Value::Set(c) => Some(c.generation),
            Value::Hash(c) => Some(c.generation),
            Value::ZSet(c) => Some(c.generation),
            Value::Stream(c) => Some(c.generation),
        }
    }

    /// Gives the value a generation of its own (a copy's).
    pub fn set_generation(&mut self, generation: u64) {
        match self {
            Value::Str(_) => {}
            Value::Long(c) => c.generation = generation,
            Value::List(c) => c.generation = generation,
            Value::Set(c) => c.generation = generation,
            Value::Hash(c) => c.generation = generation,
            Value::ZSet(c) => c.generation = generation,
            Value::Stream(c) => c.generation = generation,
        }
    }

    /// Estimated heap bytes, constant time.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Value::Str(s) => s.heap_bytes(),
            Value::Long(c) => alloc_size(size_of::<Coll<Str>>()) + c.data.heap_bytes(),
            Value::List(c) => alloc_size(size_of::<Coll<List>>()) + c.data.heap_bytes(),
            Value::Set(c) => alloc_size(size_of::<Coll<Set>>()) + c.data.heap_bytes(),
            Value::Hash(c) => alloc_size(size_of::<Coll<Hash>>()) + c.data.heap_bytes(),
            Value::ZSet(c) => alloc_size(size_of::<Coll<ZSet>>()) + c.data.heap_bytes(),
            Value::Stream(c) => alloc_size(size_of::<Coll<Stream>>()) + c.data.heap_bytes(),
        }
    }

    /// The elements of a collection (of a stream, which outlives its last one: entries); 1 for a string.
    pub fn elements(&self) -> usize {
        match self {
            Value::Str(_) | Value::Long(_) => 1,
            Value::List(c) => c.data.len(),
            Value::Set(c) => c.data.len(),
            Value::Hash(c) => c.data.len(),
            Value::ZSet(c) => c.data.len(),
            Value::Stream(c) => c.data.len(),
        }
    }

    /// The string, of either form.
    pub fn as_str(&self) -> Option<&Str> {
        match self {
            Value::Str(s) => Some(s),
            Value::Long(c) => Some(&c.data),
            _ => None,
        }
    }
}

/// A key and what it holds.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key: Small,
    pub value: Value,
    /// When it expires, milliseconds since 1970; 0: never.
    pub expire_at: u64,
    /// Access clock (LRU) or counter and minute (LFU), see `evict`. Not replicated.
    pub access: u32,
}

impl Entry {
    /// Whether the key has expired at a service time.
    pub fn expired(&self, now_ms: u64) -> bool {
        self.expire_at != 0 && self.expire_at <= now_ms
    }

    /// Estimated bytes of the key, its value and its place in the table.
    pub fn bytes(&self) -> u64 {
        const TABLE_SLOT: usize = 14;
        (alloc_size(size_of::<Entry>())
            + TABLE_SLOT
            + self.key.heap_bytes()
            + self.value.heap_bytes()) as u64
    }
}
