//! A stream: entries in the order of their ids, in chunks; and the groups of consumers that read it.
//!
//! **Invariants.** No entry has an id above `last`. A chunk holds at least one entry; how many it is
//! given, [`Limits`] say. A pending entry's consumer exists, and has it in its own set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Limits;

/// An entry's id: milliseconds in the upper half, a sequence number in the lower.
pub type Id = u128;

/// Entries that one chunk is given, at most, and bytes of fields after which it takes no more, whatever
/// the limits are: deleting an entry moves what lies behind it.
const CHUNK_ENTRIES_MAX: usize = 10_000;
const CHUNK_BYTES_MAX: usize = 1024 * 1024;

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
        i.checked_sub(1)
            .map_or(0, |before| self.ends[before] as usize)
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

    /// Takes the first `n` entries out; how many bytes of fields those were.
    fn drop_front(&mut self, n: usize) -> usize {
        let bytes = self.start(n);
        self.bytes.drain(..bytes);
        self.ids.drain(..n);
        self.ends.drain(..n);
        for end in &mut self.ends {
            *end -= bytes as u32;
        }
        bytes
    }

    /// Whether another entry is to go into the next chunk.
    fn full(&self, fields: usize, limits: &Limits) -> bool {
        let max = |limit: usize, most: usize| if limit == 0 { most } else { limit.min(most) };
        self.given >= max(limits.stream_node_max_entries, CHUNK_ENTRIES_MAX)
            || self.bytes.len() + fields >= max(limits.stream_node_max_bytes, CHUNK_BYTES_MAX)
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

/// Which of a stream's first entries are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Those that make it longer than this.
    Len(u64),
    /// Those with a smaller id.
    Id(Id),
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
    pub fn insert(&mut self, id: Id, fields: &[u8], limits: &Limits) {
        self.place(id, fields, |chunk| !chunk.full(fields.len(), limits));
    }

    /// Puts an entry back that was taken out: into the chunk that was given it before.
    pub fn put_back(&mut self, id: Id, fields: &[u8], limits: &Limits) {
        self.place(id, fields, |chunk| {
            let had = chunk.ids.len() < chunk.given;
            chunk.given -= usize::from(had);
            had || !chunk.full(fields.len(), limits)
        });
    }

    /// Puts an entry into the chunk it lies in, or the one before it where that has room.
    fn place(&mut self, id: Id, fields: &[u8], room: impl FnOnce(&mut Chunk) -> bool) {
        self.len += 1;
        self.heap += ENTRY_COST + fields.len();
        if let Some((_, chunk)) = self.chunks.range_mut(..=id).next_back() {
            let at = chunk.ids.partition_point(|&other| other < id);
            if room(chunk) || at < chunk.ids.len() {
                chunk.insert(at, id, fields);
                return;
            }
        }
        let mut chunk = Chunk::default();
        chunk.insert(0, id, fields);
        self.chunks.insert(id, chunk);
        self.heap += CHUNK_COST;
    }

    /// Takes the entry out that was added last, as if its chunk had never been given it.
    pub fn take_back(&mut self, id: Id) -> Option<Box<[u8]>> {
        let chunks = self.chunks.len();
        let fields = self.remove(id)?;
        if self.chunks.len() == chunks
            && let Some(mut chunk) = self.chunks.last_entry()
        {
            let chunk = chunk.get_mut();
            chunk.given = (chunk.given - 1).max(chunk.ids.len());
        }
        Some(fields)
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

    /// Takes the first `n` entries out, of which there are as many.
    pub fn pop_front(&mut self, mut n: usize) -> Vec<(Id, Box<[u8]>)> {
        let mut gone = Vec::with_capacity(n.min(self.len));
        while let Some(mut first) = self.chunks.first_entry().filter(|_| n > 0) {
            let chunk = first.get_mut();
            let part = n.min(chunk.ids.len());
            gone.extend(chunk.iter(0, part).map(|(id, fields)| (id, fields.into())));
            let bytes = if part == chunk.ids.len() {
                self.heap -= CHUNK_COST;
                first.remove().bytes.len()
            } else {
                chunk.drop_front(part)
            };
            self.len -= part;
            self.heap -= ENTRY_COST * part + bytes;
            n -= part;
        }
        gone
    }

    /// How many of the first entries are beyond a bound. With `whole`, no more than so many, and only
    /// those that fill chunks: what is cheap to take out.
    pub fn beyond(&self, bound: Bound, whole: Option<usize>) -> usize {
        let mut count = 0;
        for chunk in self.chunks.values() {
            let excess = match bound {
                Bound::Len(max) => {
                    let max = usize::try_from(max).unwrap_or(usize::MAX);
                    (self.len - count).saturating_sub(max).min(chunk.ids.len())
                }
                Bound::Id(min) => chunk.ids.partition_point(|&id| id < min),
            };
            let part = excess < chunk.ids.len();
            if whole.is_some_and(|limit| part || count + excess > limit) {
                break;
            }
            count += excess;
            if part {
                break;
            }
        }
        count
    }

    /// The id of the first entry that is there.
    pub fn first(&self) -> Option<Id> {
        self.chunks.first_key_value()?.1.ids.first().copied()
    }

    /// The id of the last entry that is there.
    pub fn top(&self) -> Option<Id> {
        self.chunks.last_key_value()?.1.ids.last().copied()
    }

    /// The fields of an entry.
    pub fn get(&self, id: Id) -> Option<&[u8]> {
        let (_, chunk) = self.chunks.range(..=id).next_back()?;
        let at = chunk.ids.binary_search(&id).ok()?;
        Some(chunk.fields(at))
    }

    /// Entries from `from` to `to`, both included, in order or from the last on.
    pub fn range(&self, from: Id, to: Id) -> impl DoubleEndedIterator<Item = (Id, &[u8])> {
        let none = from > to;
        let to = to.max(from);
        let first = self
            .chunks
            .range(..=from)
            .next_back()
            .map_or(from, |(&name, _)| name);
        self.chunks.range(first..=to).flat_map(move |(_, c)| {
            let start = c.ids.partition_point(|&id| id < from);
            let end = if none {
                start
            } else {
                c.ids.partition_point(|&id| id <= to)
            };
            c.iter(start, end.max(start))
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
        let limits = &Limits::default();
        let mut s = Stream::new();
        let ids: Vec<Id> = (1..=250).collect();
        for &id in &ids {
            s.insert(id, &id.to_be_bytes(), limits);
        }
        assert_eq!((s.len(), s.chunks()), (250, 3));
        for id in (2..=250).step_by(2) {
            assert_eq!(s.remove(id).as_deref(), Some(&id.to_be_bytes()[..]));
        }
        assert!(s.remove(2).is_none() && s.get(2).is_none());
        for id in (2..=250).rev().step_by(2) {
            s.insert(id, &id.to_be_bytes(), limits);
        }
        assert!(s.iter().map(|(id, _)| id).eq(ids.iter().copied()));
        assert!(s.iter().all(|(id, f)| f == id.to_be_bytes()));
        let back: Vec<Id> = s.range(99, 102).rev().map(|(id, _)| id).collect();
        assert_eq!(back, [102, 101, 100, 99]);
        assert_eq!(s.range(9, 3).count(), 0);
        assert_eq!((s.first(), s.top()), (Some(1), Some(250)));
        for &id in &ids {
            assert!(s.remove(id).is_some());
        }
        assert_eq!((s.len(), s.heap_bytes(), s.chunks()), (0, 0, 0));
    }

    #[test]
    fn the_front_is_taken_off_by_length_or_id_in_whole_chunks_or_exactly() {
        let mut limits = Limits {
            stream_node_max_entries: 10,
            ..Limits::default()
        };
        let mut s = Stream::new();
        for id in 1..=95 {
            s.insert(id, b"fields", &limits);
        }
        assert_eq!(s.chunks(), 10);
        for (bound, whole, count) in [
            (Bound::Len(100), None, 0),
            (Bound::Len(42), None, 53),
            (Bound::Len(42), Some(1000), 50),
            (Bound::Len(45), Some(1000), 50),
            (Bound::Len(0), Some(1000), 95),
            (Bound::Len(0), Some(29), 20),
            (Bound::Len(0), Some(0), 0),
            (Bound::Id(1), None, 0),
            (Bound::Id(12), None, 11),
            (Bound::Id(12), Some(1000), 10),
            (Bound::Id(11), Some(1000), 10),
            (Bound::Id(10), Some(1000), 0),
            (Bound::Id(1000), None, 95),
            (Bound::Id(1000), Some(1000), 95),
        ] {
            assert_eq!(s.beyond(bound, whole), count, "{bound:?} {whole:?}");
        }
        let gone = s.pop_front(25);
        assert!(gone.iter().map(|(id, _)| *id).eq(1..=25));
        assert!(gone.iter().all(|(_, fields)| **fields == *b"fields"));
        assert_eq!((s.first(), s.len(), s.chunks()), (Some(26), 70, 8));
        assert_eq!(s.get(26), Some(&b"fields"[..]));
        s.pop_front(70);
        assert_eq!((s.first(), s.top(), s.heap_bytes()), (None, None, 0));
        // Without limits chunks are bounded all the same.
        limits.stream_node_max_entries = 0;
        limits.stream_node_max_bytes = 0;
        for id in 1..=10_001 {
            s.insert(id, b"", &limits);
        }
        assert_eq!(s.chunks(), 2);
        // An entry that alone is too long has a chunk for itself.
        limits.stream_node_max_bytes = 10;
        for id in 20_000..20_003 {
            s.insert(id, &[0; 20], &limits);
        }
        assert_eq!(s.chunks(), 5);
    }

    #[test]
    fn what_is_undone_leaves_chunks_as_they_were() {
        let limits = &Limits {
            stream_node_max_entries: 10,
            ..Limits::default()
        };
        let mut s = Stream::new();
        for id in 1..=30 {
            s.insert(id, b"f", limits);
            assert!(s.take_back(id).is_some());
            s.insert(id, b"f", limits);
            s.remove(id);
            s.put_back(id, b"f", limits);
        }
        for (id, fields) in s.pop_front(15) {
            s.put_back(id, &fields, limits);
        }
        let lens: Vec<usize> = s.chunks.values().map(|c| c.ids.len()).collect();
        assert_eq!(lens, [10, 10, 10]);
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
