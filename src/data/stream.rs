//! A stream: entries in the order of their ids, in chunks; and the groups of consumers that read it.
//!
//! **Invariants.** No entry has an id above `last`. A chunk holds at least one entry and was never
//! given more than [`CHUNK_ENTRIES`]. A pending entry's consumer exists, and has it in its own set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An entry's id: milliseconds in the upper half, a sequence number in the lower.
pub type Id = u128;

/// Entries that one chunk is given, at most (Redis's stream-node-max-entries).
pub const CHUNK_ENTRIES: usize = 100;
/// Bytes of fields after which a chunk takes no more entries (Redis's stream-node-max-bytes).
pub const CHUNK_BYTES: usize = 4096;

/// Estimated heap bytes of an entry beside its fields, a chunk, a group or consumer beside its
/// name, and a pending entry.
const ENTRY_COST: usize = 24;
const CHUNK_COST: usize = 176;
const NAMED_COST: usize = 192;
const PENDING_COST: usize = 112;

/// Entries next to each other.
#[derive(Debug, Clone, Default)]
struct Chunk {
    ids: Vec<Id>,
    /// Where the fields of each entry end in `bytes`.
    ends: Vec<u32>,
    bytes: Vec<u8>,
    /// Entries that it was ever given: deleted ones leave no room behind.
    given: usize,
}

impl Chunk {
    fn fields(&self, i: usize) -> &[u8] {
        &self.bytes[self.start(i)..self.ends[i] as usize]
    }

    fn start(&self, i: usize) -> usize {
        i.checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }

    fn insert(&mut self, i: usize, id: Id, fields: &[u8]) {
        let at = self.start(i);
        self.bytes.splice(at..at, fields.iter().copied());
        self.ids.insert(i, id);
        self.ends.insert(i, at as u32);
        for end in &mut self.ends[i..] {
            *end += fields.len() as u32;
        }
        self.given += 1;
    }

    fn remove(&mut self, i: usize) -> Box<[u8]> {
        let fields: Box<[u8]> = self.fields(i).into();
        let at = self.start(i);
        self.bytes.drain(at..at + fields.len());
        self.ids.remove(i);
        self.ends.remove(i);
        for end in &mut self.ends[i..] {
            *end -= fields.len() as u32;
        }
        fields
    }

    fn iter(&self, from: usize, to: usize) -> impl DoubleEndedIterator<Item = (Id, &[u8])> {
        (from..to).map(|i| (self.ids[i], self.fields(i)))
    }
}

/// A delivered entry that was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub consumer: Arc<[u8]>,
    /// When it was last delivered, milliseconds since 1970.
    pub time: u64,
    /// How often it was delivered.
    pub count: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Consumer {
    /// When it last tried to read, and last read something; milliseconds since 1970.
    pub seen: u64,
    pub active: Option<u64>,
    /// What is pending with it.
    pub pending: BTreeSet<Id>,
}

#[derive(Debug, Clone, Default)]
pub struct Group {
    /// The last id that was delivered.
    pub last: Id,
    /// Entries read, counted from the stream's first; `None` where nobody knows.
    pub read: Option<u64>,
    pub pending: BTreeMap<Id, Pending>,
    pub consumers: BTreeMap<Arc<[u8]>, Consumer>,
}

impl Group {
    fn cost(&self) -> usize {
        let names = self.consumers.keys().map(|name| NAMED_COST + name.len());
        NAMED_COST + names.sum::<usize>() + PENDING_COST * self.pending.len()
    }
}

/// What a stream knows beside its entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    pub last: Id,
    pub max_deleted: Id,
    /// Entries that were ever added.
    pub added: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Stream {
    pub header: Header,
    /// By an id not above the first entry's and above all before.
    chunks: BTreeMap<Id, Chunk>,
    groups: BTreeMap<Box<[u8]>, Group>,
    len: usize,
    heap: usize,
}

impl Stream {
    pub fn new() -> Self {
        Stream::default()
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Estimated heap bytes, constant time.
    pub fn heap_bytes(&self) -> usize {
        self.heap
    }

    pub fn encoding(&self) -> &'static str {
        "stream"
    }

    /// Chunks of entries.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Each chunk's entries and its first and last id, the oldest first.
    pub fn chunk_bounds(&self) -> impl Iterator<Item = (usize, Id, Id)> {
        self.chunks
            .values()
            .filter_map(|c| Some((c.ids.len(), *c.ids.first()?, *c.ids.last()?)))
    }

    // ---- entries ---------------------------------------------------------------------------------

    /// Puts an entry in its place; its id is not there yet. The header stays as it is.
    pub fn insert(&mut self, id: Id, fields: &[u8]) {
        self.len += 1;
        self.heap += ENTRY_COST + fields.len();
        let full = |c: &Chunk| {
            c.given >= CHUNK_ENTRIES
                || (!c.bytes.is_empty() && c.bytes.len() + fields.len() >= CHUNK_BYTES)
        };
        if let Some((_, chunk)) = self.chunks.range_mut(..=id).next_back() {
            let at = chunk.ids.partition_point(|&other| other < id);
            if at < chunk.ids.len() || !full(chunk) {
                chunk.insert(at, id, fields);
                return;
            }
        }
        let mut chunk = Chunk::default();
        chunk.insert(0, id, fields);
        self.chunks.insert(id, chunk);
        self.heap += CHUNK_COST;
    }

    /// Takes an entry out; its fields.
    pub fn remove(&mut self, id: Id) -> Option<Box<[u8]>> {
        let (&name, chunk) = self.chunks.range_mut(..=id).next_back()?;
        let at = chunk.ids.binary_search(&id).ok()?;
        let fields = chunk.remove(at);
        if chunk.ids.is_empty() {
            self.chunks.remove(&name);
            self.heap -= CHUNK_COST;
        }
        self.len -= 1;
        self.heap -= ENTRY_COST + fields.len();
        Some(fields)
    }

    /// The fields of an entry.
    pub fn get(&self, id: Id) -> Option<&[u8]> {
        let (_, chunk) = self.chunks.range(..=id).next_back()?;
        let at = chunk.ids.binary_search(&id).ok()?;
        Some(chunk.fields(at))
    }

    /// Entries from `from` to `to`, both included, in order or from the last on.
    pub fn range(&self, from: Id, to: Id) -> impl DoubleEndedIterator<Item = (Id, &[u8])> {
        let to = to.max(from);
        let first = self
            .chunks
            .range(..=from)
            .next_back()
            .map_or(from, |(&name, _)| name);
        self.chunks.range(first..=to).flat_map(move |(_, c)| {
            let start = c.ids.partition_point(|&id| id < from);
            c.iter(start, c.ids.partition_point(|&id| id <= to).max(start))
        })
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Id, &[u8])> {
        self.range(0, Id::MAX)
    }

    // ---- groups ----------------------------------------------------------------------------------

    pub fn groups(&self) -> impl Iterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Makes a group or moves it; where it stood before.
    pub fn set_group(
        &mut self,
        name: &[u8],
        last: Id,
        read: Option<u64>,
    ) -> Option<(Id, Option<u64>)> {
        if let Some(group) = self.groups.get_mut(name) {
            let was = (group.last, group.read);
            (group.last, group.read) = (last, read);
            return Some(was);
        }
        let group = Group {
            last,
            read,
            ..Group::default()
        };
        self.put_group(name, group);
        None
    }

    /// Puts a whole group where there is none of that name.
    pub fn put_group(&mut self, name: &[u8], group: Group) {
        self.heap += group.cost() + name.len();
        self.groups.insert(name.into(), group);
    }

    pub fn remove_group(&mut self, name: &[u8]) -> Option<Group> {
        let group = self.groups.remove(name)?;
        self.heap -= group.cost() + name.len();
        Some(group)
    }

    /// Makes a consumer or sets its times; those before. `None` where the group is absent.
    pub fn set_consumer(
        &mut self,
        group: &[u8],
        name: &[u8],
        seen: u64,
        active: Option<u64>,
    ) -> Option<Option<(u64, Option<u64>)>> {
        let group = self.groups.get_mut(group)?;
        if let Some(consumer) = group.consumers.get_mut(name) {
            let was = (consumer.seen, consumer.active);
            (consumer.seen, consumer.active) = (seen, active);
            return Some(Some(was));
        }
        let consumer = Consumer {
            seen,
            active,
            pending: BTreeSet::new(),
        };
        group.consumers.insert(name.into(), consumer);
        self.heap += NAMED_COST + name.len();
        Some(None)
    }

    /// Takes a consumer out, and all that is pending with it.
    pub fn remove_consumer(
        &mut self,
        group: &[u8],
        name: &[u8],
    ) -> Option<(Consumer, Vec<(Id, Pending)>)> {
        let group = self.groups.get_mut(group)?;
        let consumer = group.consumers.remove(name)?;
        let pending: Vec<_> = consumer
            .pending
            .iter()
            .filter_map(|id| group.pending.remove_entry(id))
            .collect();
        self.heap -= NAMED_COST + name.len() + PENDING_COST * pending.len();
        Some((consumer, pending))
    }

    /// Says with whom an entry is pending; what was said before. `None` where group or consumer is absent.
    pub fn set_pending(
        &mut self,
        group: &[u8],
        id: Id,
        consumer: &[u8],
        time: u64,
        count: u64,
    ) -> Option<Option<Pending>> {
        let group = self.groups.get_mut(group)?;
        let name = group.consumers.get_key_value(consumer)?.0.clone();
        let pending = Pending {
            consumer: name.clone(),
            time,
            count,
        };
        let was = group.pending.insert(id, pending);
        match &was {
            Some(was) => {
                if let Some(before) = group.consumers.get_mut(&was.consumer) {
                    before.pending.remove(&id);
                }
            }
            None => self.heap += PENDING_COST,
        }
        if let Some(consumer) = group.consumers.get_mut(&name) {
            consumer.pending.insert(id);
        }
        Some(was)
    }

    /// An entry is not pending any more.
    pub fn remove_pending(&mut self, group: &[u8], id: Id) -> Option<Pending> {
        let group = self.groups.get_mut(group)?;
        let was = group.pending.remove(&id)?;
        if let Some(consumer) = group.consumers.get_mut(&was.consumer) {
            consumer.pending.remove(&id);
        }
        self.heap -= PENDING_COST;
        Some(was)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_in_order_whatever_order_they_came_in_and_cost_nothing_once_gone() {
        let mut s = Stream::new();
        let ids: Vec<Id> = (1..=250).collect();
        for &id in &ids {
            s.insert(id, &id.to_be_bytes());
        }
        assert_eq!((s.len(), s.chunks()), (250, 3));
        for id in (2..=250).step_by(2) {
            assert_eq!(s.remove(id).as_deref(), Some(&id.to_be_bytes()[..]));
        }
        assert!(s.remove(2).is_none() && s.get(2).is_none());
        for id in (2..=250).rev().step_by(2) {
            s.insert(id, &id.to_be_bytes());
        }
        assert!(s.iter().map(|(id, _)| id).eq(ids.iter().copied()));
        assert!(s.iter().all(|(id, f)| f == id.to_be_bytes()));
        let back: Vec<Id> = s.range(99, 102).rev().map(|(id, _)| id).collect();
        assert_eq!(back, [102, 101, 100, 99]);
        assert_eq!(s.range(9, 3).count(), 1, "an empty range is its start alone");
        for &id in &ids {
            assert!(s.remove(id).is_some());
        }
        assert_eq!((s.len(), s.heap_bytes(), s.chunks()), (0, 0, 0));
    }

    #[test]
    fn a_pending_entry_is_with_one_consumer() {
        let mut s = Stream::new();
        assert!(s.set_pending(b"g", 1, b"c", 0, 1).is_none());
        s.set_group(b"g", 0, None);
        s.set_consumer(b"g", b"c", 5, None);
        s.set_consumer(b"g", b"d", 5, None);
        s.set_pending(b"g", 1, b"c", 5, 1);
        s.set_pending(b"g", 1, b"d", 6, 2);
        let g = s.group(b"g").expect("made");
        assert!(g.consumers[&b"c"[..]].pending.is_empty());
        assert_eq!(g.consumers[&b"d"[..]].pending.len(), 1);
        let (_, pending) = s.remove_consumer(b"g", b"d").expect("made");
        assert_eq!(pending.len(), 1);
        assert!(s.remove_pending(b"g", 1).is_none());
        s.remove_group(b"g");
        assert_eq!(s.heap_bytes(), 0);
    }
}
