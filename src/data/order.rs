//! The order of a large sorted set: a counted B+-tree of (score, id of the member's slot).
//!
//! Leaves hold scores beside ids, so that most comparisons need no look at a member; inner nodes
//! hold each child's first entry and how many entries it has, so that a rank is found, and an entry
//! by its rank, in O(log n).
//!
//! **Invariants.** Entries ascend by score, then by the member's bytes; the two zeros are equal; no
//! score is NaN. All leaves are equally deep. No node but the root is empty. `firsts` and `counts`
//! are exact.

use std::cmp::Ordering;

use super::Small;
use super::chunked::Chunked;
use super::size::alloc_size;

/// Entries of a leaf: with these its size is exactly a size class (640 bytes).
const LEAF_MAX: usize = 53;
/// Children of an inner node.
const FAN_MAX: usize = 32;

/// A member and its score, at the index that is its id.
#[derive(Clone, Debug)]
pub struct Slot {
    pub member: Small,
    pub score: f64,
}

/// All slots of a set.
pub type Slots = Chunked<Slot>;

/// Where an entry belongs: by score, then by member.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    pub score: f64,
    pub member: &'a [u8],
}

impl Key<'_> {
    /// How the entry (`score`, `id`) stands to this key.
    fn order(&self, slots: &Slots, score: f64, id: u32) -> Ordering {
        score
            .partial_cmp(&self.score)
            .unwrap_or(Ordering::Equal)
            .then_with(|| {
                let member: &[u8] = &slots.at(id as usize).member;
                member.cmp(self.member)
            })
    }
}

/// A run of neighbouring entries.
#[derive(Clone, Debug)]
pub struct Leaf {
    scores: [f64; LEAF_MAX],
    ids: [u32; LEAF_MAX],
    len: u32,
}

#[derive(Debug)]
struct Inner {
    children: Vec<Node>,
    counts: Vec<u32>,
    firsts: Vec<(f64, u32)>,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Box<Leaf>),
    Inner(Box<Inner>),
}

/// The tree.
#[derive(Clone, Debug)]
pub struct Order {
    root: Node,
    nodes: Nodes,
}

/// How many nodes a tree has.
#[derive(Clone, Debug)]
struct Nodes {
    leaves: usize,
    inners: usize,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            root: Node::Leaf(Leaf::boxed()),
            nodes: Nodes {
                leaves: 1,
                inners: 0,
            },
        }
    }
}

impl Leaf {
    fn boxed() -> Box<Self> {
        Box::new(Self {
            scores: [0.0; LEAF_MAX],
            ids: [0; LEAF_MAX],
            len: 0,
        })
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// The id at `index`.
    pub fn id(&self, index: usize) -> u32 {
        self.ids[index]
    }

    fn insert(&mut self, at: usize, entry: (f64, u32)) {
        let len = self.len();
        self.scores.copy_within(at..len, at + 1);
        self.ids.copy_within(at..len, at + 1);
        (self.scores[at], self.ids[at]) = entry;
        self.len += 1;
    }

    fn remove(&mut self, at: usize) {
        let len = self.len();
        self.scores.copy_within(at + 1..len, at);
        self.ids.copy_within(at + 1..len, at);
        self.len -= 1;
    }

    /// Adds `other`'s entries from `from` on at the end.
    fn extend(&mut self, other: &Leaf, from: usize) {
        let (len, more) = (self.len(), other.len() - from);
        self.scores[len..len + more].copy_from_slice(&other.scores[from..other.len()]);
        self.ids[len..len + more].copy_from_slice(&other.ids[from..other.len()]);
        self.len += more as u32;
    }

    /// How many entries at the beginning satisfy `before`.
    fn partition(&self, mut before: impl FnMut(f64, u32) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            if before(self.scores[middle], self.ids[middle]) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        // With the capacity that every inner node has, which a vector's copy would lack.
        let mut copy = *Self::boxed();
        copy.children.extend_from_slice(&self.children);
        copy.counts.extend_from_slice(&self.counts);
        copy.firsts.extend_from_slice(&self.firsts);
        copy
    }
}

impl Inner {
    fn boxed() -> Box<Self> {
        Box::new(Self {
            children: Vec::with_capacity(FAN_MAX + 1),
            counts: Vec::with_capacity(FAN_MAX + 1),
            firsts: Vec::with_capacity(FAN_MAX + 1),
        })
    }

    const HEAP_BYTES: usize = alloc_size(size_of::<Inner>())
        + alloc_size((FAN_MAX + 1) * size_of::<Node>())
        + alloc_size((FAN_MAX + 1) * size_of::<u32>())
        + alloc_size((FAN_MAX + 1) * size_of::<(f64, u32)>());

    fn insert(&mut self, at: usize, child: Node) {
        self.counts.insert(at, child.count());
        self.firsts.insert(at, child.first());
        self.children.insert(at, child);
    }

    fn remove(&mut self, at: usize) -> Node {
        self.counts.remove(at);
        self.firsts.remove(at);
        self.children.remove(at)
    }

    /// The child that an entry belongs to.
    fn child(&self, slots: &Slots, key: Key) -> usize {
        let after = |&(score, id): &(f64, u32)| key.order(slots, score, id) != Ordering::Greater;
        self.firsts.partition_point(after).saturating_sub(1)
    }
}

impl Node {
    fn count(&self) -> u32 {
        match self {
            Node::Leaf(leaf) => leaf.len,
            Node::Inner(inner) => inner.counts.iter().sum(),
        }
    }

    fn first(&self) -> (f64, u32) {
        match self {
            Node::Leaf(leaf) => (leaf.scores[0], leaf.ids[0]),
            Node::Inner(inner) => inner.firsts[0],
        }
    }

    /// Room that is taken, and the most there is.
    fn fill(&self) -> (usize, usize) {
        match self {
            Node::Leaf(leaf) => (leaf.len(), LEAF_MAX),
            Node::Inner(inner) => (inner.children.len(), FAN_MAX),
        }
    }

    /// Inserts an entry; returns the upper part if the node had to be split.
    fn insert(&mut self, slots: &Slots, key: Key, id: u32, nodes: &mut Nodes) -> Option<Node> {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.partition(|s, i| key.order(slots, s, i) == Ordering::Less);
                if leaf.len() < LEAF_MAX {
                    leaf.insert(at, (key.score, id));
                    return None;
                }
                // Entries often come in ascending or descending order: then full leaves stay full.
                let half = match at {
                    LEAF_MAX => LEAF_MAX,
                    0 => 0,
                    _ => LEAF_MAX / 2,
                };
                nodes.leaves += 1;
                let mut upper = Leaf::boxed();
                upper.extend(leaf, half);
                leaf.len = half as u32;
                if at < half || half == 0 {
                    leaf.insert(at, (key.score, id));
                } else {
                    upper.insert(at - half, (key.score, id));
                }
                Some(Node::Leaf(upper))
            }
            Node::Inner(inner) => {
                let at = inner.child(slots, key);
                let upper = inner.children[at].insert(slots, key, id, nodes);
                inner.counts[at] += 1;
                inner.firsts[at] = inner.children[at].first();
                if let Some(upper) = upper {
                    inner.counts[at] -= upper.count();
                    inner.insert(at + 1, upper);
                }
                if inner.children.len() <= FAN_MAX {
                    return None;
                }
                let half = if at + 2 == inner.children.len() {
                    FAN_MAX
                } else {
                    FAN_MAX / 2
                };
                nodes.inners += 1;
                let mut upper = Inner::boxed();
                upper.children.extend(inner.children.drain(half..));
                upper.counts.extend(inner.counts.drain(half..));
                upper.firsts.extend(inner.firsts.drain(half..));
                Some(Node::Inner(upper))
            }
        }
    }

    /// Removes the entry with this key, which is there.
    fn remove(&mut self, slots: &Slots, key: Key, nodes: &mut Nodes) {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.partition(|s, i| key.order(slots, s, i) == Ordering::Less);
                debug_assert!(key.order(slots, leaf.scores[at], leaf.ids[at]).is_eq());
                leaf.remove(at);
            }
            Node::Inner(inner) => {
                let at = inner.child(slots, key);
                inner.children[at].remove(slots, key, nodes);
                inner.counts[at] -= 1;
                let (fill, max) = inner.children[at].fill();
                if fill == 0 {
                    nodes.forget(&inner.remove(at));
                    return;
                }
                inner.firsts[at] = inner.children[at].first();
                if fill < max / 2 {
                    let fits = |other: usize| inner.children[other].fill().0 + fill <= max * 3 / 4;
                    if at + 1 < inner.children.len() && fits(at + 1) {
                        inner.merge(at, nodes);
                    } else if at > 0 && fits(at - 1) {
                        inner.merge(at - 1, nodes);
                    }
                }
            }
        }
    }

    /// Gives the entry with this key another id.
    fn renumber(&mut self, slots: &Slots, key: Key, id: u32) {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.partition(|s, i| key.order(slots, s, i) == Ordering::Less);
                leaf.ids[at] = id;
            }
            Node::Inner(inner) => {
                let at = inner.child(slots, key);
                inner.children[at].renumber(slots, key, id);
                inner.firsts[at] = inner.children[at].first();
            }
        }
    }
}

impl Inner {
    /// Moves all of the child after `at` into the one at `at`.
    fn merge(&mut self, at: usize, nodes: &mut Nodes) {
        let upper = self.remove(at + 1);
        nodes.forget(&upper);
        self.counts[at] += upper.count();
        match (&mut self.children[at], upper) {
            (Node::Leaf(lower), Node::Leaf(upper)) => lower.extend(&upper, 0),
            (Node::Inner(lower), Node::Inner(mut upper)) => {
                lower.children.append(&mut upper.children);
                lower.counts.append(&mut upper.counts);
                lower.firsts.append(&mut upper.firsts);
            }
            _ => unreachable!("all leaves are equally deep"),
        }
    }
}

impl Nodes {
    /// Counts a node that is given up.
    fn forget(&mut self, node: &Node) {
        match node {
            Node::Leaf(_) => self.leaves -= 1,
            Node::Inner(_) => self.inners -= 1,
        }
    }
}

impl Order {
    /// Inserts an entry whose key is not there.
    pub fn insert(&mut self, slots: &Slots, key: Key, id: u32) {
        let Some(upper) = self.root.insert(slots, key, id, &mut self.nodes) else {
            return;
        };
        self.nodes.inners += 1;
        let lower = std::mem::replace(&mut self.root, Node::Inner(Inner::boxed()));
        if let Node::Inner(root) = &mut self.root {
            root.insert(0, lower);
            root.insert(1, upper);
        }
    }

    /// Removes the entry with this key, which is there.
    pub fn remove(&mut self, slots: &Slots, key: Key) {
        self.root.remove(slots, key, &mut self.nodes);
        while let Node::Inner(inner) = &mut self.root
            && inner.children.len() <= 1
        {
            self.nodes.inners -= 1;
            self.root = inner.children.pop().unwrap_or_else(|| {
                self.nodes.leaves += 1;
                Node::Leaf(Leaf::boxed())
            });
        }
    }

    /// Gives the entry with this key another id.
    pub fn renumber(&mut self, slots: &Slots, key: Key, id: u32) {
        self.root.renumber(slots, key, id);
    }

    /// How many entries satisfy `before`, which holds for all up to some entry and none after.
    pub fn partition(&self, mut before: impl FnMut(f64, u32) -> bool) -> usize {
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(leaf) => return rank + leaf.partition(before),
                Node::Inner(inner) => {
                    let at = inner
                        .firsts
                        .partition_point(|&(score, id)| before(score, id));
                    let at = at.saturating_sub(1);
                    rank += inner.counts[..at].iter().sum::<u32>() as usize;
                    node = &inner.children[at];
                }
            }
        }
    }

    /// How many entries come before this key.
    pub fn rank(&self, slots: &Slots, key: Key) -> usize {
        self.partition(|score, id| key.order(slots, score, id) == Ordering::Less)
    }

    /// The leaf with the entry at `rank`, which is below the count of entries, and where it is there.
    pub fn seek(&self, mut rank: usize) -> (&Leaf, usize) {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(leaf) => return (leaf, rank),
                Node::Inner(inner) => {
                    let mut at = 0;
                    while rank >= inner.counts[at] as usize {
                        rank -= inner.counts[at] as usize;
                        at += 1;
                    }
                    node = &inner.children[at];
                }
            }
        }
    }

    /// Heap bytes of all nodes.
    pub fn heap_bytes(&self) -> usize {
        self.nodes.leaves * alloc_size(size_of::<Leaf>()) + self.nodes.inners * Inner::HEAP_BYTES
    }
}
