//! The hash table of everything large: extendible hashing over small buckets.
//!
//! A directory, indexed by the top bits of the hash, leads to buckets of at most [`BUCKET_MAX`]
//! items. A full bucket is split in two; two small neighbours become one. So no insert ever pays
//! for more than one bucket (and, rarely, for a copy of the directory, a four-byte word for about
//! fifty items), and the items can be walked in the order of their hashes.
//!
//! **Invariants.** A bucket of depth `d` and prefix `p` holds exactly the items whose top `d` bits
//! are `p`; the directory of depth `g >= d` has `2^(g-d)` neighbouring slots for it. `tags[i]` is
//! the low half-word of the hash of `items[i]`. A *position* is the top 48 bits of a hash: small
//! enough for clients that read a cursor into a double, and for Lua.
//!
//! A walk that goes on from its last position meets every item that is there from its beginning to
//! its end, whatever is inserted, removed, split or merged between two steps, and at whichever
//! replica: the order depends on the replicated seed alone.

use rand::RngCore;

use super::Seed;
use super::chunked::Chunked;
use super::size::{reserve_class, shrink_class, vec_bytes};

/// Items of a bucket, at most, unless too many hashes have a long prefix in common.
const BUCKET_MAX: usize = 96;
/// Two neighbours that hold no more than this together become one.
const MERGE_MAX: usize = BUCKET_MAX / 3;
/// Bits of a hash that are not part of a position.
const POSITION_SHIFT: u32 = 16;
/// Longest prefix, bits.
const DEPTH_MAX: u32 = 32;
/// Parts that a table is built from, by the top bits of the hashes: sorting one stays within a processor's cache.
pub const PARTS: usize = 1 << PARTS_BITS;
const PARTS_BITS: u32 = 6;
/// Tags compared at once.
const TAGS_AT_ONCE: usize = 16;

/// What can be found in a [`Table`].
pub trait Keyed {
    /// The bytes that identify the item. They never change while it is in a table.
    fn key(&self) -> &[u8];
}

impl<T: Keyed + ?Sized> Keyed for Box<T> {
    fn key(&self) -> &[u8] {
        (**self).key()
    }
}

/// The place of a hash in a walk: [`Table::scan`]'s cursor.
pub fn position(hash: u64) -> u64 {
    hash >> POSITION_SHIFT
}

/// A number below `bound` (not zero), evenly chosen but for a bias of `bound / 2^64`.
pub fn below(rng: &mut (impl RngCore + ?Sized), bound: usize) -> usize {
    ((u128::from(rng.next_u64()) * bound as u128) >> 64) as usize
}

/// A hash table of items that carry their keys. The caller hashes, with the same seed always.
#[derive(Clone, Debug)]
pub struct Table<T> {
    raw: Raw<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            raw: Raw::default(),
        }
    }
}

impl<T: Keyed> Table<T> {
    /// An empty table; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.raw.len() == 0
    }

    /// The item with this key.
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<&T> {
        self.raw.find(hash, |item| item.key() == key)
    }

    /// The item with this key, to change; its key must stay as it is.
    pub fn find_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut T> {
        self.raw.find_mut(hash, |item| item.key() == key)
    }

    /// Puts an item in, in place of the one with the same key, which is returned.
    pub fn insert(&mut self, hash: u64, item: T, seed: &Seed) -> Option<T> {
        if let Some(old) = self.raw.find_mut(hash, |other| other.key() == item.key()) {
            return Some(std::mem::replace(old, item));
        }
        self.insert_new(hash, item, seed);
        None
    }

    /// Puts an item in whose key is known not to be there.
    pub fn insert_new(&mut self, hash: u64, item: T, seed: &Seed) {
        debug_assert_eq!(hash, seed.hash(item.key()));
        self.raw.insert(hash, item, |item| seed.hash(item.key()));
    }

    /// A table of items whose keys differ, each with its hash, spread by [`Table::part`]: several times as quick as one insert
    /// after the other.
    pub fn of_parts(parts: Vec<Vec<(u64, T)>>) -> Self {
        let raw = Raw::of_parts(parts);
        Self { raw }
    }

    /// Which of the [`PARTS`] of [`Table::of_parts`] a hash belongs to.
    pub fn part(hash: u64) -> usize {
        (hash >> (u64::BITS - PARTS_BITS)) as usize
    }

    /// Takes the item with this key out.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<T> {
        self.raw.remove(hash, |item| item.key() == key)
    }

    /// All items, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.raw.iter()
    }

    /// All items, to change; their keys must stay as they are.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.raw.iter_mut()
    }

    /// All items, consumed.
    pub fn into_items(self) -> impl Iterator<Item = T> {
        self.raw.into_items()
    }

    /// Visits items in the order of their hashes from `cursor` on (0 to begin): about `count`, at
    /// least one if there is one, and all that share a position together. Returns the cursor to go
    /// on with, or 0 at the end.
    pub fn scan(&self, seed: &Seed, cursor: u64, count: usize, f: impl FnMut(&T)) -> u64 {
        self.raw
            .scan(cursor, count, |item| seed.hash(item.key()), f)
    }

    /// An item by chance, all equally likely; `None` if there are none.
    pub fn random(&self, rng: &mut (impl RngCore + ?Sized)) -> Option<&T> {
        self.raw.random(rng)
    }

    /// Heap bytes of the table, without what items own.
    pub fn heap_bytes(&self) -> usize {
        self.raw.heap_bytes()
    }
}

/// The table itself, for items of which it knows nothing: the caller compares and hashes.
#[derive(Debug)]
pub(super) struct Raw<T> {
    /// Slots, `2^depth` of them: which bucket. Empty as long as there is none.
    directory: Vec<u32>,
    depth: u32,
    buckets: Chunked<Bucket<T>>,
    /// Buckets whose depth is the directory's: when there is none, it can be halved.
    deepest: u32,
    len: usize,
    /// The most items a bucket has held: the bound for choosing by chance.
    bucket_max: usize,
    /// Heap bytes of all buckets' vectors.
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Bucket<T> {
    items: Vec<T>,
    tags: Vec<u16>,
    prefix: u32,
    depth: u32,
}

impl<T> Default for Raw<T> {
    fn default() -> Self {
        Self {
            directory: Vec::new(),
            depth: 0,
            buckets: Chunked::default(),
            deepest: 0,
            len: 0,
            bucket_max: BUCKET_MAX,
            bytes: 0,
        }
    }
}

impl<T: Clone> Clone for Raw<T> {
    /// A copy without the slack that the original's buckets may have.
    fn clone(&self) -> Self {
        let buckets = self.buckets.clone();
        let bytes = buckets.iter().map(Bucket::heap_bytes).sum();
        Self {
            directory: self.directory.clone(),
            buckets,
            bytes,
            ..*self
        }
    }
}

impl<T> Bucket<T> {
    fn new(prefix: u32, depth: u32) -> Self {
        Self {
            items: Vec::new(),
            tags: Vec::new(),
            prefix,
            depth,
        }
    }

    fn heap_bytes(&self) -> usize {
        vec_bytes(&self.items) + vec_bytes(&self.tags)
    }

    fn push(&mut self, item: T, tag: u16) {
        // A sixteenth of slack: far fewer reallocations for hardly more memory.
        let extra = 1 + self.items.len() / 16;
        if self.items.len() == self.items.capacity() {
            reserve_class(&mut self.items, extra);
        }
        if self.tags.len() == self.tags.capacity() {
            reserve_class(&mut self.tags, extra);
        }
        self.items.push(item);
        self.tags.push(tag);
    }

    fn swap_remove(&mut self, index: usize) -> T {
        self.tags.swap_remove(index);
        self.items.swap_remove(index)
    }

    fn shrink(&mut self) {
        shrink_class(&mut self.items);
        shrink_class(&mut self.tags);
    }

    fn index(&self, tag: u16, mut eq: impl FnMut(&T) -> bool) -> Option<usize> {
        let mut chunks = self.tags.chunks_exact(TAGS_AT_ONCE);
        let mut base = 0;
        for chunk in &mut chunks {
            // Written so that the compiler compares them all at once.
            let mut matches = 0u32;
            for (i, &other) in chunk.iter().enumerate() {
                matches |= u32::from(other == tag) << i;
            }
            while matches != 0 {
                let index = base + matches.trailing_zeros() as usize;
                if eq(&self.items[index]) {
                    return Some(index);
                }
                matches &= matches - 1;
            }
            base += TAGS_AT_ONCE;
        }
        for (i, &other) in chunks.remainder().iter().enumerate() {
            if other == tag && eq(&self.items[base + i]) {
                return Some(base + i);
            }
        }
        None
    }
}

impl<T> Raw<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn find(&self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&T> {
        let bucket = self
            .buckets
            .at(*self.directory.get(self.slot(hash))? as usize);
        bucket
            .index(hash as u16, eq)
            .map(|index| &bucket.items[index])
    }

    pub fn find_mut(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let slot = self.slot(hash);
        let bucket = self.buckets.at_mut(*self.directory.get(slot)? as usize);
        bucket
            .index(hash as u16, eq)
            .map(|index| &mut bucket.items[index])
    }

    /// Puts an item in; the caller knows that it is not there.
    pub fn insert(&mut self, hash: u64, item: T, rehash: impl Fn(&T) -> u64) {
        if self.directory.is_empty() {
            self.directory.push(0);
            self.buckets.push(Bucket::new(0, 0));
            self.deepest = 1;
        }
        let mut id = self.directory[self.slot(hash)];
        while self.buckets.at(id as usize).items.len() >= BUCKET_MAX && self.split(id, &rehash) {
            id = self.directory[self.slot(hash)];
        }
        let bucket = self.buckets.at_mut(id as usize);
        let before = bucket.heap_bytes();
        bucket.push(item, hash as u16);
        self.bytes = self.bytes + bucket.heap_bytes() - before;
        self.bucket_max = self.bucket_max.max(bucket.items.len());
        self.len += 1;
    }

    /// See [`Table::of_parts`].
    fn of_parts(mut parts: Vec<Vec<(u64, T)>>) -> Self {
        let mut raw = Self::default();
        let len: usize = parts.iter().map(Vec::len).sum();
        if len == 0 {
            return raw;
        }
        let mut first_depth = PARTS_BITS;
        if len < PARTS * BUCKET_MAX {
            parts = vec![parts.into_iter().flatten().collect()];
            first_depth = 0;
        }
        // As `split` would refuse.
        let depth_max = (64 + 8 * (len / BUCKET_MAX)).ilog2().min(DEPTH_MAX);
        for (prefix, mut items) in parts.into_iter().enumerate() {
            items.sort_unstable_by_key(|(hash, _)| *hash);
            let mut plan = Vec::new();
            divide(&items, (prefix as u32, first_depth), depth_max, &mut plan);
            let mut items = items.into_iter();
            for (prefix, depth, count) in plan {
                let mut bucket = Bucket::new(prefix, depth);
                // As much slack as one has that grew.
                reserve_class(&mut bucket.items, count + count / 16);
                reserve_class(&mut bucket.tags, count + count / 16);
                for (hash, item) in items.by_ref().take(count) {
                    bucket.push(item, hash as u16);
                }
                raw.bytes += bucket.heap_bytes();
                raw.bucket_max = raw.bucket_max.max(count);
                raw.depth = raw.depth.max(depth);
                raw.buckets.push(bucket);
            }
        }
        raw.len = len;
        raw.directory.reserve_exact(1 << raw.depth);
        for (id, bucket) in raw.buckets.iter().enumerate() {
            let slots = 1 << (raw.depth - bucket.depth);
            raw.directory.extend(std::iter::repeat_n(id as u32, slots));
            raw.deepest += u32::from(bucket.depth == raw.depth);
        }
        raw
    }

    pub fn remove(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<T> {
        let slot = self.slot(hash);
        let id = *self.directory.get(slot)?;
        let bucket = self.buckets.at_mut(id as usize);
        let index = bucket.index(hash as u16, eq)?;
        let before = bucket.heap_bytes();
        let item = bucket.swap_remove(index);
        bucket.shrink();
        self.bytes = self.bytes + bucket.heap_bytes() - before;
        self.len -= 1;
        if self.len == 0 {
            *self = Self::default();
        } else if bucket.items.len() <= MERGE_MAX {
            self.merge(slot);
        }
        Some(item)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.buckets.iter().flat_map(|bucket| &bucket.items)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.buckets.iter_mut().flat_map(|bucket| &mut bucket.items)
    }

    pub fn into_items(self) -> impl Iterator<Item = T> {
        self.buckets.into_items().flat_map(|bucket| bucket.items)
    }

    pub fn scan(
        &self,
        cursor: u64,
        count: usize,
        rehash: impl Fn(&T) -> u64,
        mut f: impl FnMut(&T),
    ) -> u64 {
        if self.len == 0 || cursor > position(u64::MAX) {
            return 0;
        }
        let count = count.max(1);
        let mut seen = 0;
        let mut slot = self.slot(cursor << POSITION_SHIFT);
        let mut found: Vec<(u64, &T)> = Vec::new();
        loop {
            let bucket = self.buckets.at(self.directory[slot] as usize);
            found.clear();
            for item in &bucket.items {
                let position = position(rehash(item));
                if position >= cursor {
                    found.push((position, item));
                }
            }
            found.sort_unstable_by_key(|(position, _)| *position);
            let mut last = None;
            for &(position, item) in &found {
                if seen >= count && last != Some(position) {
                    return position;
                }
                f(item);
                seen += 1;
                last = Some(position);
            }
            let next = u64::from(bucket.prefix) + 1;
            if next >> bucket.depth != 0 {
                return 0;
            }
            if seen >= count {
                return next << (64 - bucket.depth - POSITION_SHIFT);
            }
            slot = (next << (self.depth - bucket.depth)) as usize;
        }
    }

    pub fn random(&self, rng: &mut (impl RngCore + ?Sized)) -> Option<&T> {
        if self.len == 0 {
            return None;
        }
        // A bucket and a place in it, again until there is an item: all are equally likely. The
        // merging keeps a fair share of places occupied, so this ends soon.
        for _ in 0..1000 {
            let bucket = self.buckets.at(below(rng, self.buckets.len()));
            if let Some(item) = bucket.items.get(below(rng, self.bucket_max)) {
                return Some(item);
            }
        }
        let at = below(rng, self.len);
        self.iter().nth(at)
    }

    pub fn heap_bytes(&self) -> usize {
        self.bytes + self.buckets.heap_bytes() + vec_bytes(&self.directory)
    }

    fn slot(&self, hash: u64) -> usize {
        // Two shifts, because one by 64 would overflow.
        (hash >> 1 >> (63 - self.depth)) as usize
    }

    /// Splits a bucket in two by the next bit of the hash. Refuses, so that the bucket grows beyond
    /// its bound instead, when the directory would be far too large for what it leads to.
    fn split(&mut self, id: u32, rehash: &impl Fn(&T) -> u64) -> bool {
        let depth = self.buckets.at(id as usize).depth;
        if depth == self.depth {
            if depth == DEPTH_MAX || self.directory.len() > 64 + 8 * self.buckets.len() {
                return false;
            }
            let mut doubled = Vec::with_capacity(self.directory.len() * 2);
            doubled.extend(self.directory.iter().flat_map(|&id| [id, id]));
            self.directory = doubled;
            self.depth += 1;
            self.deepest = 0;
        }
        let bucket = self.buckets.at_mut(id as usize);
        let before = bucket.heap_bytes();
        bucket.depth += 1;
        bucket.prefix <<= 1;
        let mut upper = Bucket::new(bucket.prefix | 1, bucket.depth);
        let mut index = 0;
        while index < bucket.items.len() {
            let hash = rehash(&bucket.items[index]);
            if (hash >> (64 - bucket.depth)) & 1 == 1 {
                upper.push(bucket.swap_remove(index), hash as u16);
            } else {
                index += 1;
            }
        }
        bucket.shrink();
        self.bytes = self.bytes + bucket.heap_bytes() + upper.heap_bytes() - before;
        if bucket.depth == self.depth {
            self.deepest += 2;
        }
        let new = self.buckets.len() as u32;
        self.direct(upper.prefix, upper.depth, new);
        self.buckets.push(upper);
        true
    }

    /// Merges the bucket at `slot` with its neighbour while both are small.
    fn merge(&mut self, slot: usize) {
        let mut id = self.directory[slot];
        loop {
            let bucket = self.buckets.at(id as usize);
            let (prefix, depth) = (bucket.prefix, bucket.depth);
            if depth == 0 {
                return;
            }
            let other = self.directory[((prefix ^ 1) as usize) << (self.depth - depth)];
            let neighbour = self.buckets.at(other as usize);
            if neighbour.depth != depth || bucket.items.len() + neighbour.items.len() > MERGE_MAX {
                return;
            }
            let mut gone = self.buckets.swap_remove(other as usize);
            if (other as usize) < self.buckets.len() {
                let moved = self.buckets.at(other as usize);
                let (prefix, depth) = (moved.prefix, moved.depth);
                self.direct(prefix, depth, other);
            }
            if id as usize == self.buckets.len() {
                id = other;
            }
            let bucket = self.buckets.at_mut(id as usize);
            let before = bucket.heap_bytes() + gone.heap_bytes();
            reserve_class(&mut bucket.items, gone.items.len());
            reserve_class(&mut bucket.tags, gone.tags.len());
            bucket.items.append(&mut gone.items);
            bucket.tags.append(&mut gone.tags);
            bucket.prefix >>= 1;
            bucket.depth -= 1;
            let (prefix, depth) = (bucket.prefix, bucket.depth);
            self.bytes = self.bytes + bucket.heap_bytes() - before;
            self.direct(prefix, depth, id);
            if depth + 1 == self.depth {
                self.deepest -= 2;
                self.halve();
            }
        }
    }

    /// Halves the directory while no bucket needs it and it is much larger than it must be.
    fn halve(&mut self) {
        while self.deepest == 0 && self.depth > 0 && self.directory.len() > 2 * self.buckets.len() {
            self.directory = self.directory.iter().step_by(2).copied().collect();
            self.depth -= 1;
            self.deepest = self
                .buckets
                .iter()
                .filter(|b| b.depth == self.depth)
                .count() as u32;
        }
    }

    /// Points all slots of a prefix at a bucket.
    fn direct(&mut self, prefix: u32, depth: u32, id: u32) {
        let shift = self.depth - depth;
        let start = (prefix as usize) << shift;
        self.directory[start..start + (1 << shift)].fill(id);
    }

    #[cfg(test)]
    fn check(&self, rehash: impl Fn(&T) -> u64) {
        if self.len == 0 {
            assert!(self.directory.is_empty() && self.bytes == 0);
            return;
        }
        assert_eq!(self.directory.len(), 1 << self.depth);
        assert_eq!(
            self.len,
            self.buckets.iter().map(|b| b.items.len()).sum::<usize>()
        );
        assert_eq!(
            self.bytes,
            self.buckets.iter().map(Bucket::heap_bytes).sum::<usize>()
        );
        let deepest = self
            .buckets
            .iter()
            .filter(|b| b.depth == self.depth)
            .count();
        assert_eq!(self.deepest as usize, deepest);
        for (slot, &id) in self.directory.iter().enumerate() {
            let bucket = self.buckets.at(id as usize);
            assert_eq!(slot >> (self.depth - bucket.depth), bucket.prefix as usize);
            for (item, &tag) in bucket.items.iter().zip(&bucket.tags) {
                let hash = rehash(item);
                assert_eq!(hash as u16, tag);
                assert_eq!(hash >> 1 >> (63 - bucket.depth), u64::from(bucket.prefix));
            }
        }
    }
}

/// Divides sorted items with the same prefix into buckets, ascending: prefix, depth and number of each.
fn divide<T>(
    items: &[(u64, T)],
    (prefix, depth): (u32, u32),
    depth_max: u32,
    plan: &mut Vec<(u32, u32, usize)>,
) {
    if items.len() <= BUCKET_MAX || depth >= depth_max {
        plan.push((prefix, depth, items.len()));
        return;
    }
    let upper = items.partition_point(|(hash, _)| (hash >> (63 - depth)) & 1 == 0);
    divide(&items[..upper], (prefix << 1, depth + 1), depth_max, plan);
    divide(
        &items[upper..],
        (prefix << 1 | 1, depth + 1),
        depth_max,
        plan,
    );
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Item(Box<[u8]>, u32);

    impl Keyed for Item {
        fn key(&self) -> &[u8] {
            &self.0
        }
    }

    const SEED: Seed = Seed::new(7, 11);

    #[test]
    fn a_table_of_parts_is_one_that_grew() {
        for n in [0u64, 1, 96, 97, 5000, 6144, 40_000] {
            let mut parts: Vec<_> = (0..PARTS).map(|_| Vec::new()).collect();
            for i in 0..n {
                let hash = SEED.hash(&key(i));
                parts[Table::<Item>::part(hash)].push((hash, Item(key(i), i as u32)));
            }
            let mut table = Table::of_parts(parts);
            table.raw.check(|item| SEED.hash(&item.0));
            assert_eq!(table.len(), n as usize);
            for i in 0..n {
                let found = table.find(SEED.hash(&key(i)), &key(i));
                assert_eq!(found.map(|item| item.1), Some(i as u32));
            }
            // And it is changed as one.
            for i in n..n + 3000 {
                table.insert_new(SEED.hash(&key(i)), Item(key(i), i as u32), &SEED);
            }
            for i in 0..n {
                assert!(table.remove(SEED.hash(&key(i)), &key(i)).is_some());
            }
            table.raw.check(|item| SEED.hash(&item.0));
            assert_eq!(table.len(), 3000);
        }
    }

    #[test]
    fn a_table_of_like_hashes_has_large_buckets() {
        let mut parts: Vec<_> = (0..PARTS).map(|_| Vec::new()).collect();
        parts[0] = (0..10_000).map(|i| (i, Item(key(i), 0))).collect();
        let raw = Raw::of_parts(parts);
        assert!(raw.directory.len() <= 64 + 8 * (10_000 / BUCKET_MAX));
        assert_eq!(raw.bucket_max, 10_000);
    }

    fn key(n: u64) -> Box<[u8]> {
        format!("key:{n}").into_bytes().into()
    }

    #[test]
    fn behaves_as_a_map() {
        let mut rng = StdRng::seed_from_u64(1);
        for range in [10u64, 300, 5000] {
            let mut table: Table<Item> = Table::new();
            let mut model: HashMap<Box<[u8]>, u32> = HashMap::new();
            for step in 0..30_000u32 {
                // Phases of growth and of shrinking.
                let grow = (step / 5000) % 2 == 0;
                let key = key(rng.random_range(0..range));
                let hash = SEED.hash(&key);
                assert_eq!(
                    table.find(hash, &key).map(|item| item.1),
                    model.get(&key).copied()
                );
                if rng.random_bool(if grow { 0.8 } else { 0.1 }) {
                    let old = table.insert(hash, Item(key.clone(), step), &SEED);
                    assert_eq!(old.map(|item| item.1), model.insert(key, step));
                } else if let Some(item) = table.find_mut(hash, &key)
                    && rng.random_bool(0.2)
                {
                    item.1 += 1;
                    *model.get_mut(&key).expect("both have it") += 1;
                } else {
                    assert_eq!(table.remove(hash, &key).map(|i| i.1), model.remove(&key));
                }
                assert_eq!(table.len(), model.len());
                if step % 1000 == 0 {
                    table.raw.check(|item| SEED.hash(&item.0));
                    // From here on with a copy, which must be as good.
                    table = table.clone();
                    table.raw.check(|item| SEED.hash(&item.0));
                    let all: HashMap<_, _> = table.iter().map(|i| (i.0.clone(), i.1)).collect();
                    assert_eq!(all, model);
                }
            }
            for key in model.keys() {
                assert!(table.remove(SEED.hash(key), key).is_some());
            }
            assert!(table.is_empty());
            assert_eq!(table.heap_bytes(), 0);
        }
    }

    #[test]
    fn a_scan_meets_all_that_stays() {
        let mut rng = StdRng::seed_from_u64(2);
        for round in 0..60u64 {
            let count = rng.random_range(1..50);
            let stay: HashSet<Box<[u8]>> = (0..rng.random_range(1..2000)).map(key).collect();
            let mut table: Table<Item> = Table::new();
            for key in &stay {
                table.insert(SEED.hash(key), Item(key.clone(), 0), &SEED);
            }
            let (mut met, mut extra, mut next) = (HashSet::new(), Vec::new(), 1_000_000 * round);
            let mut cursor = 0;
            loop {
                let mut seen = 0;
                cursor = table.scan(&SEED, cursor, count, |item| {
                    seen += 1;
                    met.insert(item.0.clone());
                });
                assert!(seen <= count + 1, "{seen} of {count}");
                if cursor == 0 {
                    break;
                }
                assert!(seen > 0);
                // Between two steps the table grows or shrinks a lot.
                for _ in 0..rng.random_range(0..300) {
                    if rng.random_bool(0.5) || extra.is_empty() {
                        extra.push(key(1_000_000 + next));
                        next += 1;
                        let key = extra.last().expect("just pushed");
                        table.insert(SEED.hash(key), Item(key.clone(), 1), &SEED);
                    } else {
                        let key = extra.swap_remove(rng.random_range(0..extra.len()));
                        assert!(table.remove(SEED.hash(&key), &key).is_some());
                    }
                }
            }
            assert!(stay.is_subset(&met));
        }
    }

    #[test]
    fn a_scan_survives_a_collapse_and_a_rise() {
        let stay = 0..200u64;
        for grow_first in [true, false] {
            let mut table: Table<Item> = Table::new();
            let all = 0..30_000;
            let initially = if grow_first {
                all.clone()
            } else {
                stay.clone()
            };
            for n in initially {
                table.insert(SEED.hash(&key(n)), Item(key(n), 0), &SEED);
            }
            let (mut met, mut cursor, mut steps) = (HashSet::new(), 0, 0);
            loop {
                cursor = table.scan(&SEED, cursor, 7, |item| {
                    met.insert(item.0.clone());
                });
                if cursor == 0 {
                    break;
                }
                steps += 1;
                let half = (steps == 5).then_some(200..30_000).into_iter().flatten();
                for n in half {
                    let (key, hash) = (key(n), SEED.hash(&key(n)));
                    if grow_first {
                        assert!(table.remove(hash, &key).is_some());
                    } else {
                        table.insert_new(hash, Item(key, 0), &SEED);
                    }
                }
            }
            assert!(stay.clone().all(|n| met.contains(&key(n))));
            table.raw.check(|item| SEED.hash(&item.0));
        }
    }

    #[test]
    fn a_scan_goes_on_at_a_replica() {
        let (mut one, mut two): (Table<Item>, Table<Item>) = Default::default();
        for n in 0..1000 {
            one.insert(SEED.hash(&key(n)), Item(key(n), 0), &SEED);
            two.insert(SEED.hash(&key(999 - n)), Item(key(999 - n), 0), &SEED);
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let cursor = one.scan(&SEED, 0, 500, |item| a.push(item.0.clone()));
        assert_eq!(
            two.scan(&SEED, 0, 500, |item| b.push(item.0.clone())),
            cursor
        );
        assert_eq!(a, b);
        assert_eq!(
            two.scan(&SEED, cursor, 500, |item| a.push(item.0.clone())),
            0
        );
        assert_eq!(a.into_iter().collect::<HashSet<_>>().len(), 1000);
        assert_eq!(
            one.scan(&SEED, u64::MAX, 10, |_| panic!("nothing is there")),
            0
        );
    }

    #[test]
    fn equal_hashes_are_only_slow() {
        let mut raw: Raw<u64> = Raw::default();
        let hash = |n: &u64| if *n < 1000 { 0xdead_beef } else { n << 53 };
        for n in 0..1500 {
            raw.insert(hash(&n), n, hash);
        }
        raw.check(hash);
        let mut seen = Vec::new();
        let mut cursor = raw.scan(0, 3, hash, |n| seen.push(*n));
        assert_eq!(seen.len(), 1000, "they go together");
        while cursor != 0 {
            cursor = raw.scan(cursor, 3, hash, |n| seen.push(*n));
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..1500));
        let mut rng = StdRng::seed_from_u64(3);
        assert!(raw.random(&mut rng).is_some());
        for n in 0..1500 {
            assert_eq!(raw.remove(hash(&n), |other| *other == n), Some(n));
            if n % 100 == 0 {
                raw.check(hash);
            }
        }
        assert_eq!(raw.len(), 0);
    }

    #[test]
    fn chance_is_fair() {
        let mut rng = StdRng::seed_from_u64(4);
        let mut table: Table<Item> = Table::new();
        assert!(table.random(&mut rng).is_none());
        for n in 0..500 {
            table.insert(SEED.hash(&key(n)), Item(key(n), 0), &SEED);
        }
        let mut times: HashMap<Box<[u8]>, u32> = HashMap::new();
        for _ in 0..100_000 {
            let item = table.random(&mut rng).expect("it is not empty");
            *times.entry(item.0.clone()).or_default() += 1;
        }
        assert_eq!(times.len(), 500);
        assert!(times.values().all(|t| (120..=290).contains(t)), "{times:?}");
    }

    #[test]
    fn an_entry_costs_at_most_14_bytes() {
        for len in [1000u64, 10_000, 50_000, 75_000, 100_000, 150_000, 200_000] {
            let mut raw: Raw<u64> = Raw::default();
            let mut rng = StdRng::seed_from_u64(len);
            for _ in 0..len {
                let hash = rng.next_u64();
                raw.insert(hash, hash, |hash| *hash);
            }
            let each = raw.heap_bytes() as f64 / len as f64;
            assert!(each <= 14.0, "{each} bytes of {len}");
            raw.check(|hash| *hash);
        }
    }
}
