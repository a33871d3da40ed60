//! A value by itself: what a payload decodes to, and what is encoded.

use sha2::{Digest, Sha256};

use crate::data::{Hash, List, Set, Str, Stream, ZSet};

/// A value of one of Redis's types, without a key.
#[derive(Debug, Clone)]
pub enum Value {
    Str(Str),
    List(List),
    Set(Set),
    Hash(Hash),
    ZSet(ZSet),
    Stream(Stream),
}

/// A value to look at.
#[derive(Debug, Clone, Copy)]
pub enum ValueRef<'a> {
    Str(&'a Str),
    List(&'a List),
    Set(&'a Set),
    Hash(&'a Hash),
    ZSet(&'a ZSet),
    Stream(&'a Stream),
}

impl Value {
    /// The same, to look at.
    pub fn view(&self) -> ValueRef<'_> {
        match self {
            Value::Str(v) => ValueRef::Str(v),
            Value::List(v) => ValueRef::List(v),
            Value::Set(v) => ValueRef::Set(v),
            Value::Hash(v) => ValueRef::Hash(v),
            Value::ZSet(v) => ValueRef::ZSet(v),
            Value::Stream(v) => ValueRef::Stream(v),
        }
    }
}

impl ValueRef<'_> {
    /// The type as TYPE names it.
    pub fn type_name(&self) -> &'static str {
        match self {
            ValueRef::Str(_) => "string",
            ValueRef::List(_) => "list",
            ValueRef::Set(_) => "set",
            ValueRef::Hash(_) => "hash",
            ValueRef::ZSet(_) => "zset",
            ValueRef::Stream(_) => "stream",
        }
    }

    /// A hash of what the value is, whatever its encoding and the order in which its parts lie: equal for
    /// equal values alone.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut sum = Sha256::new();
        sum.update(self.type_name());
        let mut parts: Vec<[u8; 32]> = Vec::new();
        let part = |bytes: &[&[u8]]| {
            let mut sum = Sha256::new();
            for bytes in bytes {
                sum.update((bytes.len() as u64).to_le_bytes());
                sum.update(bytes);
            }
            sum.finalize().into()
        };
        match *self {
            ValueRef::Str(v) => parts.push(part(&[&v.as_bytes()])),
            ValueRef::List(v) => parts.extend(v.iter().map(|e| part(&[e]))),
            ValueRef::Set(v) => parts.extend(v.iter().map(|m| part(&[&m]))),
            ValueRef::Hash(v) => parts.extend(v.iter().map(|(f, v)| part(&[f, v]))),
            // Adding a zero makes -0 and 0 one score, as they are to Redis.
            ValueRef::ZSet(v) => parts.extend(v.iter().map(|(m, s)| {
                let score = (s + 0.0).to_bits().to_le_bytes();
                part(&[m, &score])
            })),
            ValueRef::Stream(v) => parts.extend(stream_parts(v).iter().map(|p| part(&[p]))),
        }
        if !matches!(self, ValueRef::List(_) | ValueRef::Stream(_)) {
            parts.sort_unstable();
        }
        parts.iter().for_each(|part| sum.update(part));
        sum.finalize().into()
    }
}

/// All that a stream holds in one order. When consumers were last seen is left out: a replica knows it less well.
fn stream_parts(stream: &Stream) -> Vec<Vec<u8>> {
    let header = stream.header;
    let mut parts = vec![
        [header.last, header.max_deleted, header.added.into()]
            .map(u128::to_be_bytes)
            .concat(),
    ];
    parts.extend(
        stream
            .iter()
            .map(|(id, fields)| [&id.to_be_bytes(), fields].concat()),
    );
    for (name, group) in stream.groups() {
        let read = group.read.map_or(u128::MAX, u128::from);
        let position = [group.last, read].map(u128::to_be_bytes).concat();
        parts.push([name, &position].concat());
        parts.extend(group.consumers.keys().map(|name| name.to_vec()));
        parts.extend(group.pending.iter().map(|(id, p)| {
            let facts = [*id, p.time.into(), p.count.into()]
                .map(u128::to_be_bytes)
                .concat();
            [&facts, &*p.consumer].concat()
        }));
    }
    parts
}
