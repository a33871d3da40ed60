//! A small set of integers, sorted, each as wide as the widest needs.
//!
//! **Invariants.** Strictly ascending. The width never goes down, as in Redis.

use std::fmt;

use super::size::{reserve_class, shrink_class, vec_bytes};

/// A sorted set of integers of 16, 32 or 64 bits.
#[derive(Clone)]
pub struct IntSet(Repr);

#[derive(Clone)]
enum Repr {
    Narrow(Vec<i16>),
    Middle(Vec<i32>),
    Wide(Vec<i64>),
}

impl Default for IntSet {
    fn default() -> Self {
        Self(Repr::Narrow(Vec::new()))
    }
}

impl fmt::Debug for IntSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl IntSet {
    /// How many integers there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Narrow(v) => v.len(),
            Repr::Middle(v) => v.len(),
            Repr::Wide(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `value` is there.
    pub fn contains(&self, value: i64) -> bool {
        self.search(value).is_ok()
    }

    /// Adds `value`; whether it is new.
    pub fn insert(&mut self, value: i64) -> bool {
        self.widen(value);
        let Err(at) = self.search(value) else {
            return false;
        };
        match &mut self.0 {
            Repr::Narrow(v) => insert(v, at, value as i16),
            Repr::Middle(v) => insert(v, at, value as i32),
            Repr::Wide(v) => insert(v, at, value),
        }
        true
    }

    /// Takes `value` out; whether it was there.
    pub fn remove(&mut self, value: i64) -> bool {
        let Ok(at) = self.search(value) else {
            return false;
        };
        match &mut self.0 {
            Repr::Narrow(v) => remove(v, at),
            Repr::Middle(v) => remove(v, at),
            Repr::Wide(v) => remove(v, at),
        }
        true
    }

    /// The integer at `index` in ascending order.
    pub fn get(&self, index: usize) -> Option<i64> {
        match &self.0 {
            Repr::Narrow(v) => v.get(index).map(|&i| i.into()),
            Repr::Middle(v) => v.get(index).map(|&i| i.into()),
            Repr::Wide(v) => v.get(index).copied(),
        }
    }

    /// All integers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = i64> {
        (0..self.len()).map_while(|index| self.get(index))
    }

    /// Heap bytes.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Narrow(v) => vec_bytes(v),
            Repr::Middle(v) => vec_bytes(v),
            Repr::Wide(v) => vec_bytes(v),
        }
    }

    fn search(&self, value: i64) -> Result<usize, usize> {
        match &self.0 {
            Repr::Narrow(v) => v.binary_search_by(|&i| i64::from(i).cmp(&value)),
            Repr::Middle(v) => v.binary_search_by(|&i| i64::from(i).cmp(&value)),
            Repr::Wide(v) => v.binary_search(&value),
        }
    }

    fn widen(&mut self, value: i64) {
        if matches!(self.0, Repr::Narrow(_)) && i16::try_from(value).is_err() {
            self.0 = Repr::Middle(self.iter().map(|i| i as i32).collect());
        }
        if matches!(self.0, Repr::Middle(_)) && i32::try_from(value).is_err() {
            self.0 = Repr::Wide(self.iter().collect());
        }
    }
}

fn insert<T>(v: &mut Vec<T>, at: usize, value: T) {
    reserve_class(v, 1);
    v.insert(at, value);
}

fn remove<T>(v: &mut Vec<T>, at: usize) {
    v.remove(at);
    shrink_class(v);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::IntSet;

    #[test]
    fn behaves_as_a_sorted_set() {
        let mut rng = StdRng::seed_from_u64(1);
        for bits in [6, 15, 16, 31, 32, 63] {
            let (mut ours, mut model) = (IntSet::default(), BTreeSet::new());
            for step in 0..5000 {
                // Wide values come late, so that every widening happens with values in place.
                let shift = if step < 2000 {
                    63 - bits.min(6)
                } else {
                    63 - bits
                };
                let value = rng.random::<i64>() >> shift;
                if rng.random_bool(0.6) {
                    assert_eq!(ours.insert(value), model.insert(value));
                } else {
                    assert_eq!(ours.remove(value), model.remove(&value));
                }
                assert_eq!(ours.contains(value), model.contains(&value));
            }
            assert!(ours.iter().eq(model.iter().copied()));
            assert_eq!(ours.len(), model.len());
        }
        for value in [i64::MIN, i64::MAX, i64::from(i32::MIN), -1, 0] {
            let mut ours = IntSet::default();
            assert!(ours.insert(value) && !ours.insert(value));
            assert_eq!(ours.get(0), Some(value));
        }
    }
}
