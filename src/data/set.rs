//! The value of a set key.
//!
//! Sets of integers are sorted integers ("intset"), other small ones entries in one vector
//! ("listpack"), large ones a table ("hashtable"). **Invariants.** A member is there once. The
//! encoding goes from intset to listpack or table, from listpack to table, and never back.

use rand::RngCore;

use super::intset::IntSet;
use super::size::{alloc_size, vec_bytes};
use super::table::{Table, below};
use super::view::parse_int;
use super::{Limits, Seed, Small, View, pack};

/// A set of byte strings.
#[derive(Clone, Debug, Default)]
pub struct Set(Repr);

#[derive(Clone, Debug)]
enum Repr {
    Ints(IntSet),
    Pack { buf: Vec<u8>, len: usize },
    Table(Box<Large>),
}

impl Default for Repr {
    fn default() -> Self {
        Repr::Ints(IntSet::default())
    }
}

#[derive(Clone, Debug)]
struct Large {
    seed: Seed,
    table: Table<Small>,
    /// Heap bytes of all members.
    bytes: usize,
}

impl Large {
    fn insert(&mut self, member: &[u8]) -> bool {
        let hash = self.seed.hash(member);
        if self.table.find(hash, member).is_some() {
            return false;
        }
        let member = Small::new(member);
        self.bytes += member.heap_bytes();
        self.table.insert_new(hash, member, &self.seed);
        true
    }
}

/// Where a member begins and ends in a listpack.
fn place(buf: &[u8], member: &[u8]) -> Option<(usize, usize)> {
    let mut start = 0;
    while start < buf.len() {
        let (candidate, end) = pack::get(buf, start);
        if candidate == member {
            return Some((start, end));
        }
        start = end;
    }
    None
}

impl Set {
    /// An empty set; allocates nothing. Its first member decides between intset and listpack.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Ints(ints) => ints.len(),
            Repr::Pack { len, .. } => *len,
            Repr::Table(large) => large.table.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `member` is there.
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.0 {
            Repr::Ints(ints) => parse_int(member).is_some_and(|int| ints.contains(int)),
            Repr::Pack { buf, .. } => place(buf, member).is_some(),
            Repr::Table(large) => large.table.find(large.seed.hash(member), member).is_some(),
        }
    }

    /// Adds a member; whether it is new.
    pub fn insert(&mut self, member: &[u8], limits: &Limits) -> bool {
        if let Repr::Ints(ints) = &mut self.0 {
            match parse_int(member) {
                Some(int) if ints.contains(int) => return false,
                Some(int) if ints.len() < limits.set_max_intset_entries => return ints.insert(int),
                // Too many integers: a table at once, as in Redis, unless this is the first.
                Some(_) if !ints.is_empty() => self.enlarge(limits.seed),
                _ => self.leave_ints(member, limits),
            }
        }
        if let Repr::Pack { buf, len } = &mut self.0 {
            if place(buf, member).is_some() {
                return false;
            }
            if *len < limits.set_max_listpack_entries
                && member.len() <= limits.set_max_listpack_value
            {
                pack::put(buf, member);
                *len += 1;
                return true;
            }
            self.enlarge(limits.seed);
        }
        match &mut self.0 {
            Repr::Table(large) => large.insert(member),
            _ => unreachable!("the other encodings returned or became a table"),
        }
    }

    /// Takes a member out; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Repr::Ints(ints) => parse_int(member).is_some_and(|int| ints.remove(int)),
            Repr::Pack { buf, len } => {
                let Some((start, end)) = place(buf, member) else {
                    return false;
                };
                pack::replace(buf, start, end, b"");
                *len -= 1;
                true
            }
            Repr::Table(large) => {
                let Some(member) = large.table.remove(large.seed.hash(member), member) else {
                    return false;
                };
                large.bytes -= member.heap_bytes();
                true
            }
        }
    }

    /// All members, in an order that holds until the next change.
    pub fn iter(&self) -> impl Iterator<Item = View<'_>> {
        let (ints, pack, table) = match &self.0 {
            Repr::Ints(ints) => (Some(ints.iter().map(View::int)), None, None),
            Repr::Pack { buf, .. } => (None, Some(PackIter { buf, at: 0 }), None),
            Repr::Table(large) => (
                None,
                None,
                Some(large.table.iter().map(|member| View::Bytes(member))),
            ),
        };
        let ints = ints.into_iter().flatten();
        ints.chain(pack.into_iter().flatten())
            .chain(table.into_iter().flatten())
    }

    /// Visits members as [`Table::scan`] does; an intset or listpack is visited whole, and 0
    /// returned.
    pub fn scan(&self, cursor: u64, count: usize, mut f: impl FnMut(&[u8])) -> u64 {
        match &self.0 {
            Repr::Table(large) => large
                .table
                .scan(&large.seed, cursor, count, |member| f(member)),
            _ => {
                self.iter().for_each(|member| f(&member));
                0
            }
        }
    }

    /// A member by chance, all equally likely; `None` if there are none.
    pub fn random(&self, rng: &mut (impl RngCore + ?Sized)) -> Option<View<'_>> {
        if self.is_empty() {
            return None;
        }
        match &self.0 {
            Repr::Ints(ints) => ints.get(below(rng, ints.len())).map(View::int),
            Repr::Pack { buf, len } => PackIter { buf, at: 0 }.nth(below(rng, *len)),
            Repr::Table(large) => large.table.random(rng).map(|member| View::Bytes(member)),
        }
    }

    /// Redis's name: "intset", "listpack" or "hashtable".
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Repr::Ints(_) => "intset",
            Repr::Pack { .. } => "listpack",
            Repr::Table(_) => "hashtable",
        }
    }

    /// Heap bytes of all of it, beside the value itself.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Ints(ints) => ints.heap_bytes(),
            Repr::Pack { buf, .. } => vec_bytes(buf),
            Repr::Table(large) => {
                alloc_size(size_of::<Large>()) + large.table.heap_bytes() + large.bytes
            }
        }
    }

    /// Makes room in an intset for a member that does not fit: a listpack if all fit there.
    fn leave_ints(&mut self, member: &[u8], limits: &Limits) {
        let fits = self.len() < limits.set_max_listpack_entries
            && member.len() <= limits.set_max_listpack_value
            && self
                .iter()
                .all(|member| member.len() <= limits.set_max_listpack_value);
        if !fits {
            return self.enlarge(limits.seed);
        }
        let (mut buf, len) = (Vec::new(), self.len());
        for member in self.iter() {
            pack::put(&mut buf, &member);
        }
        self.0 = Repr::Pack { buf, len };
    }

    fn enlarge(&mut self, seed: Seed) {
        let mut large = Box::new(Large {
            seed,
            table: Table::new(),
            bytes: 0,
        });
        for member in self.iter() {
            large.insert(&member);
        }
        self.0 = Repr::Table(large);
    }
}

struct PackIter<'a> {
    buf: &'a [u8],
    at: usize,
}

impl<'a> Iterator for PackIter<'a> {
    type Item = View<'a>;

    fn next(&mut self) -> Option<View<'a>> {
        if self.at == self.buf.len() {
            return None;
        }
        let (member, at) = pack::get(self.buf, self.at);
        self.at = at;
        Some(View::Bytes(member))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn limits() -> Limits {
        Limits::new(Seed::new(1, 2))
    }

    #[test]
    fn behaves_as_a_set() {
        for (seed, ints, members) in [
            (1, 1.0, 300),
            (2, 1.0, 2000),
            (3, 0.99, 100),
            (4, 0.0, 120),
            (5, 0.5, 1000),
        ] {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut set, mut model) = (Set::new(), BTreeSet::new());
            for step in 0..20_000 {
                let n = rng.random_range(0..members);
                let member = if rng.random_bool(ints) {
                    n.to_string()
                } else {
                    format!("m{n}")
                };
                let member = member.into_bytes();
                match rng.random_range(0..10) {
                    0..5 => assert_eq!(set.insert(&member, &limits()), model.insert(member)),
                    5..9 => assert_eq!(set.remove(&member), model.remove(&member)),
                    _ => match set.random(&mut rng) {
                        Some(member) => assert!(model.contains(&*member)),
                        None => assert!(model.is_empty()),
                    },
                }
                assert_eq!(set.len(), model.len());
                if step % 500 == 0 {
                    let all: BTreeSet<Vec<u8>> = set.iter().map(|m| m.to_vec()).collect();
                    assert_eq!(all, model);
                    assert_eq!(set.iter().count(), model.len());
                    assert!(all.iter().all(|m| set.contains(m)));
                    assert!(!set.contains(b"none") && !set.contains(b"-1"));
                }
            }
        }
    }

    #[test]
    fn encodings_follow_redis() {
        let with = |ints: usize, strings: &[&[u8]]| {
            let mut set = Set::new();
            for n in 0..ints {
                assert!(set.insert(n.to_string().as_bytes(), &limits()));
            }
            for member in strings {
                assert!(set.insert(member, &limits()));
            }
            assert_eq!(set.len(), ints + strings.len());
            set.encoding()
        };
        assert_eq!(with(512, &[]), "intset");
        assert_eq!(with(513, &[]), "hashtable");
        assert_eq!(with(127, &[b"a"]), "listpack");
        assert_eq!(with(128, &[b"a"]), "hashtable");
        assert_eq!(with(1, &[&[b'a'; 64]]), "listpack");
        assert_eq!(with(1, &[&[b'a'; 65]]), "hashtable");
        assert_eq!(with(0, &[&[b'a'; 65]]), "hashtable");
        assert_eq!(with(0, &[b"01"]), "listpack");
        // An intset may be switched off.
        let mut set = Set::new();
        let limits = Limits {
            set_max_intset_entries: 0,
            ..limits()
        };
        assert!(set.insert(b"1", &limits) && set.insert(b"2", &limits));
        assert_eq!(set.encoding(), "listpack");
    }

    #[test]
    fn scans_all() {
        for (len, steps_expected) in [(100, 1), (1000, 20)] {
            let mut set = Set::new();
            for n in 0..len {
                set.insert(n.to_string().as_bytes(), &limits());
            }
            let (mut seen, mut cursor, mut steps) = (HashSet::new(), 0, 0);
            loop {
                cursor = set.scan(cursor, 10, |member| assert!(seen.insert(member.to_vec())));
                steps += 1;
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!(seen.len(), len);
            assert!(steps >= steps_expected);
        }
    }

    #[test]
    fn memory_is_counted() {
        let mut set = Set::new();
        for n in 0..100_000 {
            set.insert(format!("member:{n:09}").as_bytes(), &limits());
        }
        // Redis takes about 24 + 24 + 8 bytes for such a member.
        let each = set.heap_bytes() / 100_000;
        assert!(each <= 40, "{each}");
        for n in 0..100_000 {
            assert!(set.remove(format!("member:{n:09}").as_bytes()));
        }
        assert_eq!(set.heap_bytes(), alloc_size(size_of::<Large>()));
    }
}
