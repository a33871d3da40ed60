//! The value of a sorted set key: members with scores, ordered by score, then by the member's bytes.
//!
//! Small ones are entries in one vector, in order ("listpack"); large ones have their members in
//! slots, stored once, with a table of slot numbers for finding a member and a counted tree of
//! scores and slot numbers for the order ("skiplist", as clients know it). **Invariants.** A member
//! is there once. No score is NaN; the two zeros are equal, and setting one in place of the other
//! changes nothing. Slots are dense. A sorted set never goes back to a listpack.

use std::cmp::Ordering;

use rand::RngCore;

use super::order::{Key, Leaf, Order, Slot, Slots};
use super::size::{alloc_size, reserve_class, vec_bytes};
use super::table::{Raw, below};
use super::{Limits, Seed, Small, pack};

/// A sorted set.
#[derive(Clone, Debug, Default)]
pub struct ZSet(Repr);

#[derive(Clone, Debug)]
enum Repr {
    Pack { buf: Vec<u8>, len: usize },
    Tree(Box<Large>),
}

impl Default for Repr {
    fn default() -> Self {
        Repr::Pack {
            buf: Vec::new(),
            len: 0,
        }
    }
}

#[derive(Clone, Debug)]
struct Large {
    seed: Seed,
    slots: Slots,
    index: Raw<u32>,
    order: Order,
    /// Heap bytes of members that are not inline.
    bytes: usize,
}

/// How (`score`, `member`) stands to (`other_score`, `other`) in a sorted set.
pub fn order(score: f64, member: &[u8], other_score: f64, other: &[u8]) -> Ordering {
    score
        .partial_cmp(&other_score)
        .unwrap_or(Ordering::Equal)
        .then_with(|| member.cmp(other))
}

impl ZSet {
    /// An empty sorted set; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Pack { len, .. } => *len,
            Repr::Tree(large) => large.slots.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The member's score.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.0 {
            Repr::Pack { buf, .. } => find(buf, member).map(|(_, _, score)| score),
            Repr::Tree(large) => large
                .find(member)
                .map(|id| large.slots.at(id as usize).score),
        }
    }

    /// Sets a member's score; returns its old one, or `None` if it is new. The score is no NaN.
    pub fn insert(&mut self, member: &[u8], score: f64, limits: &Limits) -> Option<f64> {
        debug_assert!(!score.is_nan());
        if let Repr::Pack { buf, len } = &mut self.0 {
            let old = find(buf, member);
            if let Some((_, _, old)) = old {
                if old == score {
                    return Some(old);
                }
            } else if *len >= limits.zset_max_listpack_entries
                || member.len() > limits.zset_max_listpack_value
            {
                self.enlarge(limits.seed);
                return self.insert(member, score, limits);
            }
            if let Some((start, end, _)) = old {
                pack::replace(buf, start, end, b"");
            } else {
                *len += 1;
            }
            put(buf, member, score);
            return old.map(|(_, _, old)| old);
        }
        match &mut self.0 {
            Repr::Tree(large) => large.insert(member, score),
            Repr::Pack { .. } => unreachable!("handled above"),
        }
    }

    /// Takes a member out; returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.0 {
            Repr::Pack { buf, len } => {
                let (start, end, score) = find(buf, member)?;
                pack::replace(buf, start, end, b"");
                *len -= 1;
                Some(score)
            }
            Repr::Tree(large) => large.remove(member),
        }
    }

    /// How many members come before this one.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        match &self.0 {
            Repr::Pack { buf, .. } => Entries::new(buf).position(|entry| entry.member == member),
            Repr::Tree(large) => {
                let score = large.slots.at(large.find(member)? as usize).score;
                Some(large.order.rank(&large.slots, Key { score, member }))
            }
        }
    }

    /// Member and score at `rank`.
    pub fn get_by_rank(&self, rank: usize) -> Option<(&[u8], f64)> {
        self.range_by_rank(rank, 1, false).next()
    }

    /// At most `count` members with their scores from the one at `start` on: upwards, or downwards
    /// if `rev`. `start` counts from the lowest either way; beyond the last there is nothing. The
    /// first costs O(log n), each other O(1).
    pub fn range_by_rank(&self, start: usize, count: usize, rev: bool) -> Range<'_> {
        let left = match self.len().checked_sub(start) {
            None | Some(0) => 0,
            Some(_) if rev => count.min(start + 1),
            Some(above) => count.min(above),
        };
        let source = match &self.0 {
            _ if left == 0 => Source::Empty,
            Repr::Tree(large) => {
                let (leaf, index) = large.order.seek(start);
                Source::Tree { large, leaf, index }
            }
            Repr::Pack { buf, .. } if !rev => {
                let mut entries = Entries::new(buf);
                if start > 0 {
                    entries.nth(start - 1);
                }
                Source::Pack {
                    buf,
                    at: entries.at,
                }
            }
            Repr::Pack { buf, .. } => {
                // A listpack is read forwards only: note where each entry begins.
                let starts = Entries::new(buf).map(|entry| entry.start);
                Source::PackBack {
                    buf,
                    starts: starts.take(start + 1).collect(),
                }
            }
        };
        Range {
            source,
            rank: start,
            left,
            rev,
        }
    }

    /// All members with their scores, ascending.
    pub fn iter(&self) -> Range<'_> {
        self.range_by_rank(0, usize::MAX, false)
    }

    /// The rank of the first member whose score is at least `bound` (above it, if `exclusive`); the
    /// count of members if there is none.
    pub fn lower_bound_score(&self, bound: f64, exclusive: bool) -> usize {
        let before = |score: f64| score < bound || (exclusive && score == bound);
        match &self.0 {
            Repr::Pack { buf, .. } => Entries::new(buf)
                .take_while(|entry| before(entry.score))
                .count(),
            Repr::Tree(large) => large.order.partition(|score, _| before(score)),
        }
    }

    /// The rank of the first member that is at least `bound` in byte order (above it, if
    /// `exclusive`); the count of members if there is none. Means something only where all scores
    /// are equal, as with ZRANGEBYLEX.
    pub fn lower_bound_lex(&self, bound: &[u8], exclusive: bool) -> usize {
        let before = |member: &[u8]| member < bound || (exclusive && member == bound);
        match &self.0 {
            Repr::Pack { buf, .. } => Entries::new(buf)
                .take_while(|entry| before(entry.member))
                .count(),
            Repr::Tree(large) => large
                .order
                .partition(|_, id| before(&large.slots.at(id as usize).member)),
        }
    }

    /// Visits members as [`super::Table::scan`] does; a listpack is visited whole, and 0 returned.
    pub fn scan(&self, cursor: u64, count: usize, mut f: impl FnMut(&[u8], f64)) -> u64 {
        match &self.0 {
            Repr::Pack { .. } => {
                self.iter().for_each(|(member, score)| f(member, score));
                0
            }
            Repr::Tree(large) => {
                let slot = |id: &u32| large.slots.at(*id as usize);
                let rehash = |id: &u32| large.seed.hash(&slot(id).member);
                large.index.scan(cursor, count, rehash, |id| {
                    f(&slot(id).member, slot(id).score)
                })
            }
        }
    }

    /// A member by chance, all equally likely, with its score; `None` if there are none.
    pub fn random(&self, rng: &mut (impl RngCore + ?Sized)) -> Option<(&[u8], f64)> {
        if self.is_empty() {
            return None;
        }
        let at = below(rng, self.len());
        match &self.0 {
            Repr::Pack { .. } => self.get_by_rank(at),
            Repr::Tree(large) => {
                let slot = large.slots.at(at);
                Some((&slot.member, slot.score))
            }
        }
    }

    /// Redis's name: "listpack" or "skiplist".
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Repr::Pack { .. } => "listpack",
            Repr::Tree(_) => "skiplist",
        }
    }

    /// Heap bytes of all of it, beside the value itself.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Pack { buf, .. } => vec_bytes(buf),
            Repr::Tree(large) => {
                alloc_size(size_of::<Large>())
                    + large.slots.heap_bytes()
                    + large.index.heap_bytes()
                    + large.order.heap_bytes()
                    + large.bytes
            }
        }
    }

    fn enlarge(&mut self, seed: Seed) {
        let mut large = Box::new(Large {
            seed,
            slots: Slots::default(),
            index: Raw::default(),
            order: Order::default(),
            bytes: 0,
        });
        for (member, score) in self.iter() {
            large.insert(member, score);
        }
        self.0 = Repr::Tree(large);
    }
}

impl Large {
    fn find(&self, member: &[u8]) -> Option<u32> {
        let eq = |id: &u32| *self.slots.at(*id as usize).member == *member;
        self.index.find(self.seed.hash(member), eq).copied()
    }

    fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        if let Some(id) = self.find(member) {
            let old = self.slots.at(id as usize).score;
            if old != score {
                self.order.remove(&self.slots, Key { score: old, member });
                self.slots.at_mut(id as usize).score = score;
                self.order.insert(&self.slots, Key { score, member }, id);
            }
            return Some(old);
        }
        let id = u32::try_from(self.slots.len()).expect("fewer than 2^32 members");
        let slot = Slot {
            member: Small::new(member),
            score,
        };
        self.bytes += slot.member.heap_bytes();
        self.slots.push(slot);
        self.order.insert(&self.slots, Key { score, member }, id);
        let (slots, seed) = (&self.slots, &self.seed);
        self.index.insert(seed.hash(member), id, |id| {
            seed.hash(&slots.at(*id as usize).member)
        });
        None
    }

    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let slots = &self.slots;
        let eq = |id: &u32| *slots.at(*id as usize).member == *member;
        let id = self.index.remove(self.seed.hash(member), eq)?;
        let score = slots.at(id as usize).score;
        self.order.remove(slots, Key { score, member });
        let last = slots.len() as u32 - 1;
        if id != last {
            // The last slot moves into the gap: whoever names it has to follow.
            let moved = slots.at(last as usize);
            let key = Key {
                score: moved.score,
                member: &moved.member,
            };
            self.order.renumber(slots, key, id);
            let name = self
                .index
                .find_mut(self.seed.hash(&moved.member), |id| *id == last);
            *name.expect("every slot is in the index") = id;
        }
        let slot = self.slots.swap_remove(id as usize);
        self.bytes -= slot.member.heap_bytes();
        Some(score)
    }
}

/// An entry of a listpack: score, then member. A whole score below 2^47 is one more than its
/// zigzag, as a length is written; any other is a zero byte and the eight of the number.
struct Entry<'a> {
    start: usize,
    end: usize,
    member: &'a [u8],
    score: f64,
}

/// Whole scores from here on are written in eight bytes.
const WHOLE_MAX: f64 = (1u64 << 47) as f64;

/// Bytes of an entry beside the member, at most: nine of the score, and the length.
const ENTRY_EXTRA_MAX: usize = 11;

struct Entries<'a> {
    buf: &'a [u8],
    at: usize,
}

impl<'a> Entries<'a> {
    fn new(buf: &'a [u8]) -> Self {
        Self { buf, at: 0 }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        let start = self.at;
        if start == self.buf.len() {
            return None;
        }
        let (whole, mut at) = pack::get_len(self.buf, start);
        let score = if whole == 0 {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&self.buf[at..at + 8]);
            at += 8;
            f64::from_le_bytes(bytes)
        } else {
            let zigzag = whole - 1;
            ((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)) as f64
        };
        let (member, end) = pack::get(self.buf, at);
        self.at = end;
        Some(Entry {
            start,
            end,
            member,
            score,
        })
    }
}

/// Where the member's entry begins and ends, and its score.
fn find(buf: &[u8], member: &[u8]) -> Option<(usize, usize, f64)> {
    let entry = Entries::new(buf).find(|entry| entry.member == member)?;
    Some((entry.start, entry.end, entry.score))
}

/// Writes an entry where it belongs.
fn put(buf: &mut Vec<u8>, member: &[u8], score: f64) {
    let at = Entries::new(buf)
        .find(|entry| order(entry.score, entry.member, score, member) == Ordering::Greater)
        .map_or(buf.len(), |entry| entry.start);
    let len = buf.len();
    reserve_class(buf, member.len() + ENTRY_EXTRA_MAX);
    let whole = score as i64;
    let negative_zero = score == 0.0 && score.is_sign_negative();
    if whole as f64 == score && score.abs() < WHOLE_MAX && !negative_zero {
        pack::put_len(buf, ((whole << 1) ^ (whole >> 63)) as u64 + 1);
    } else {
        buf.push(0);
        buf.extend_from_slice(&score.to_le_bytes());
    }
    pack::put(buf, member);
    let size = buf.len() - len;
    buf[at..].rotate_right(size);
}

/// Members with their scores, one after the other: see [`ZSet::range_by_rank`].
pub struct Range<'a> {
    source: Source<'a>,
    /// The rank of the next.
    rank: usize,
    left: usize,
    rev: bool,
}

enum Source<'a> {
    Empty,
    Pack {
        buf: &'a [u8],
        at: usize,
    },
    PackBack {
        buf: &'a [u8],
        starts: Vec<usize>,
    },
    Tree {
        large: &'a Large,
        leaf: &'a Leaf,
        index: usize,
    },
}

impl<'a> Iterator for Range<'a> {
    type Item = (&'a [u8], f64);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        match &mut self.source {
            Source::Empty => None,
            Source::Pack { buf, at } => {
                let entry = Entries { buf, at: *at }.next()?;
                *at = entry.end;
                Some((entry.member, entry.score))
            }
            Source::PackBack { buf, starts } => {
                let entry = Entries {
                    buf,
                    at: starts.pop()?,
                }
                .next()?;
                Some((entry.member, entry.score))
            }
            Source::Tree { large, leaf, index } => {
                let slot = large.slots.at(leaf.id(*index) as usize);
                if self.left > 0 {
                    // Within the leaf, or from the root once in a leaf's length.
                    let inside = if self.rev {
                        *index > 0
                    } else {
                        *index + 1 < leaf.len()
                    };
                    self.rank = if self.rev {
                        self.rank - 1
                    } else {
                        self.rank + 1
                    };
                    if inside {
                        *index = if self.rev { *index - 1 } else { *index + 1 };
                    } else {
                        (*leaf, *index) = large.order.seek(self.rank);
                    }
                }
                Some((&slot.member, slot.score))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Range<'_> {}

#[cfg(test)]
#[path = "zset_tests.rs"]
mod tests;
