//! The value of a hash key: fields and their values.
//!
//! Small ones are entries in one vector, field and value by turns ("listpack"); large ones a table
//! ("hashtable") with one block a pair. **Invariants.** A field is there once. A listpack holds no
//! more and no longer entries than the limits allowed when it was last added to. A hash never goes
//! back to a listpack.

use rand::RngCore;

use super::size::{alloc_size, vec_bytes};
use super::table::{Keyed, Table, below};
use super::{Limits, Seed, pack};

/// A map from field to value.
#[derive(Clone, Debug, Default)]
pub struct Hash(Repr);

#[derive(Clone, Debug)]
enum Repr {
    Pack { buf: Vec<u8>, len: usize },
    Table(Box<Large>),
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
    table: Table<Pair>,
    /// Heap bytes of all pairs.
    bytes: usize,
}

/// Field and value in one block: the field's length, the field, the value.
#[derive(Clone, Debug)]
struct Pair(Box<[u8]>);

impl Pair {
    fn new(field: &[u8], value: &[u8]) -> Self {
        let prefix = pack::len_size(field.len() as u64);
        let mut block = Vec::with_capacity(prefix + field.len() + value.len());
        pack::put_len(&mut block, field.len() as u64);
        block.extend_from_slice(field);
        block.extend_from_slice(value);
        Self(block.into_boxed_slice())
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let (field, at) = pack::get(&self.0, 0);
        (field, &self.0[at..])
    }

    fn value_mut(&mut self) -> &mut [u8] {
        let (_, at) = pack::get(&self.0, 0);
        &mut self.0[at..]
    }

    fn heap_bytes(&self) -> usize {
        alloc_size(self.0.len())
    }
}

impl Keyed for Pair {
    fn key(&self) -> &[u8] {
        self.split().0
    }
}

/// A field's place in a listpack.
struct Place {
    start: usize,
    value: usize,
    value_bytes: usize,
    end: usize,
}

fn place(buf: &[u8], field: &[u8]) -> Option<Place> {
    let mut start = 0;
    while start < buf.len() {
        let (candidate, value) = pack::get(buf, start);
        let (len, value_bytes) = pack::get_len(buf, value);
        let end = value_bytes + len as usize;
        if candidate == field {
            return Some(Place {
                start,
                value,
                value_bytes,
                end,
            });
        }
        start = end;
    }
    None
}

impl Hash {
    /// An empty hash; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Pack { len, .. } => *len,
            Repr::Table(large) => large.table.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The field's value.
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        match &self.0 {
            Repr::Pack { buf, .. } => {
                place(buf, field).map(|place| &buf[place.value_bytes..place.end])
            }
            Repr::Table(large) => {
                let pair = large.table.find(large.seed.hash(field), field)?;
                Some(pair.split().1)
            }
        }
    }

    /// Whether the field is there.
    pub fn contains(&self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// Sets a field; returns its old value, or `None` if it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> Option<Box<[u8]>> {
        if matches!(self.0, Repr::Pack { .. })
            && field.len().max(value.len()) > limits.hash_max_listpack_value
        {
            self.enlarge(limits.seed);
        }
        match &mut self.0 {
            Repr::Pack { buf, len } => {
                if let Some(place) = place(buf, field) {
                    let old = buf[place.value_bytes..place.end].into();
                    if value.len() == place.end - place.value_bytes {
                        buf[place.value_bytes..place.end].copy_from_slice(value);
                    } else {
                        let mut entry = Vec::with_capacity(value.len() + 10);
                        pack::put(&mut entry, value);
                        pack::replace(buf, place.value, place.end, &entry);
                    }
                    return Some(old);
                }
                pack::put(buf, field);
                pack::put(buf, value);
                *len += 1;
                if *len > limits.hash_max_listpack_entries {
                    self.enlarge(limits.seed);
                }
                None
            }
            Repr::Table(large) => large.set(field, value),
        }
    }

    /// Takes a field out; returns its value.
    pub fn remove(&mut self, field: &[u8]) -> Option<Box<[u8]>> {
        match &mut self.0 {
            Repr::Pack { buf, len } => {
                let place = place(buf, field)?;
                let old = buf[place.value_bytes..place.end].into();
                pack::replace(buf, place.start, place.end, b"");
                *len -= 1;
                Some(old)
            }
            Repr::Table(large) => {
                let pair = large.table.remove(large.seed.hash(field), field)?;
                large.bytes -= pair.heap_bytes();
                Some(pair.split().1.into())
            }
        }
    }

    /// All pairs of field and value, in an order that holds until the next change.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (pack, table) = match &self.0 {
            Repr::Pack { buf, .. } => (Some(PackIter { buf, at: 0 }), None),
            Repr::Table(large) => (None, Some(large.table.iter().map(Pair::split))),
        };
        pack.into_iter()
            .flatten()
            .chain(table.into_iter().flatten())
    }

    /// Visits pairs as [`Table::scan`] does; a listpack is visited whole, and 0 returned.
    pub fn scan(&self, cursor: u64, count: usize, mut f: impl FnMut(&[u8], &[u8])) -> u64 {
        match &self.0 {
            Repr::Pack { .. } => {
                self.iter().for_each(|(field, value)| f(field, value));
                0
            }
            Repr::Table(large) => large.table.scan(&large.seed, cursor, count, |pair| {
                let (field, value) = pair.split();
                f(field, value);
            }),
        }
    }

    /// A pair by chance, all equally likely; `None` if there are none.
    pub fn random(&self, rng: &mut (impl RngCore + ?Sized)) -> Option<(&[u8], &[u8])> {
        match &self.0 {
            Repr::Pack { len: 0, .. } => None,
            Repr::Pack { buf, len } => PackIter { buf, at: 0 }.nth(below(rng, *len)),
            Repr::Table(large) => large.table.random(rng).map(Pair::split),
        }
    }

    /// Redis's name: "listpack" or "hashtable".
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Repr::Pack { .. } => "listpack",
            Repr::Table(_) => "hashtable",
        }
    }

    /// Heap bytes of all of it, beside the value itself.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Pack { buf, .. } => vec_bytes(buf),
            Repr::Table(large) => {
                alloc_size(size_of::<Large>()) + large.table.heap_bytes() + large.bytes
            }
        }
    }

    fn enlarge(&mut self, seed: Seed) {
        let mut large = Box::new(Large {
            seed,
            table: Table::new(),
            bytes: 0,
        });
        for (field, value) in self.iter() {
            large.set(field, value);
        }
        self.0 = Repr::Table(large);
    }
}

impl Large {
    fn set(&mut self, field: &[u8], value: &[u8]) -> Option<Box<[u8]>> {
        let hash = self.seed.hash(field);
        let Some(pair) = self.table.find_mut(hash, field) else {
            let pair = Pair::new(field, value);
            self.bytes += pair.heap_bytes();
            self.table.insert_new(hash, pair, &self.seed);
            return None;
        };
        let old = pair.split().1.into();
        let place = pair.value_mut();
        if place.len() == value.len() {
            place.copy_from_slice(value);
        } else {
            let new = Pair::new(field, value);
            self.bytes = self.bytes + new.heap_bytes() - pair.heap_bytes();
            *pair = new;
        }
        Some(old)
    }
}

struct PackIter<'a> {
    buf: &'a [u8],
    at: usize,
}

impl<'a> Iterator for PackIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.buf.len() {
            return None;
        }
        let (field, at) = pack::get(self.buf, self.at);
        let (value, at) = pack::get(self.buf, at);
        self.at = at;
        Some((field, value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    type Model = BTreeMap<Vec<u8>, Vec<u8>>;

    fn limits() -> Limits {
        Limits::new(Seed::new(1, 2))
    }

    fn same(hash: &Hash, model: &Model) {
        let all: Model = hash.iter().map(|(f, v)| (f.to_vec(), v.to_vec())).collect();
        assert_eq!(&all, model);
        assert_eq!(hash.iter().count(), model.len());
    }

    #[test]
    fn behaves_as_a_map() {
        for (seed, fields, long) in [
            (1, 100u32, false),
            (2, 400, false),
            (3, 60, true),
            (4, 5, false),
        ] {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut hash, mut model) = (Hash::new(), Model::new());
            for step in 0..20_000 {
                let field = format!("f{}", rng.random_range(0..fields)).into_bytes();
                match rng.random_range(0..10) {
                    0..5 => {
                        let max = if long && step > 10_000 { 200 } else { 65 };
                        let value = vec![step as u8; rng.random_range(0..max)];
                        let old = hash.set(&field, &value, &limits());
                        assert_eq!(old.map(Vec::from), model.insert(field, value));
                    }
                    5..9 => {
                        let old = hash.remove(&field);
                        assert_eq!(old.map(Vec::from), model.remove(&field));
                    }
                    _ => {
                        assert_eq!(hash.get(&field), model.get(&field).map(|v| &v[..]));
                        assert_eq!(hash.contains(&field), model.contains_key(&field));
                        match hash.random(&mut rng) {
                            Some((f, v)) => assert_eq!(model.get(f).map(|v| &v[..]), Some(v)),
                            None => assert!(model.is_empty()),
                        }
                    }
                }
                assert_eq!(hash.len(), model.len());
                if step % 500 == 0 {
                    same(&hash, &model);
                }
            }
        }
    }

    #[test]
    fn grows_into_a_table_and_never_back() {
        let mut hash = Hash::new();
        for n in 0..128 {
            hash.set(format!("{n}").as_bytes(), &[b'x'; 64], &limits());
        }
        assert_eq!(hash.encoding(), "listpack");
        hash.set(b"one more", b"", &limits());
        assert_eq!((hash.encoding(), hash.len()), ("hashtable", 129));
        for n in 1..128 {
            assert!(hash.remove(format!("{n}").as_bytes()).is_some());
        }
        assert_eq!((hash.encoding(), hash.len()), ("hashtable", 2));
        for (field, value) in [(65, 1), (1, 65)] {
            let mut hash = Hash::new();
            hash.set(b"first", b"1", &limits());
            hash.set(&vec![b'f'; field], &vec![b'v'; value], &limits());
            assert_eq!((hash.encoding(), hash.len()), ("hashtable", 2));
            assert_eq!(hash.get(b"first"), Some(&b"1"[..]));
        }
    }

    #[test]
    fn scans_all() {
        for len in [100, 1000] {
            let mut hash = Hash::new();
            for n in 0..len {
                hash.set(format!("{n}").as_bytes(), b"v", &limits());
            }
            let (mut seen, mut cursor, mut steps) = (HashSet::new(), 0, 0);
            loop {
                cursor = hash.scan(cursor, 10, |field, _| assert!(seen.insert(field.to_vec())));
                steps += 1;
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!((seen.len(), steps == 1), (len, len == 100));
        }
    }

    #[test]
    fn memory_is_counted_and_no_more_than_in_redis() {
        let mut hash = Hash::new();
        for n in 0..100_000 {
            hash.set(format!("field:{n:010}").as_bytes(), &[b'v'; 100], &limits());
        }
        // Redis takes 169 bytes for such a pair.
        let each = hash.heap_bytes() / 100_000;
        assert!(each <= 169 * 12 / 10, "{each}");
        for n in 0..100_000 {
            hash.remove(format!("field:{n:010}").as_bytes());
        }
        assert_eq!(hash.heap_bytes(), alloc_size(size_of::<Large>()));
    }
}
