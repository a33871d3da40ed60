//! Coalescing: the changes of many entries become one sorted run with at most one change per row.
//!
//! A window is what has been submitted since the last run was written. Always: the run has the effect of the
//! changes in their order. A removed range in a run acts on older runs alone, never on points of its own
//! run; points that a later removal covers are therefore dropped here.

use std::collections::BinaryHeap;

use crate::base::rows::{RowOp, Rows};

/// Batches up to this size are copied behind one another instead of being kept one by one, bytes.
const SMALL: usize = 4096;
/// A buffer of copied batches is complete at this size, bytes.
const BUFFER: usize = 1024 * 1024;

/// The batches submitted since the last run, in order.
#[derive(Debug, Default)]
pub struct Window {
    buffers: Vec<Rows>,
    /// Whether the last buffer may be appended to.
    open: bool,
    bytes: usize,
}

/// Where a change stands. Ordered by key first (the prefix decides most comparisons without touching the
/// key), then by when it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    prefix: u64,
    buffer: u32,
    offset: u32,
}

impl Slot {
    fn when(&self) -> (u32, u32) {
        (self.buffer, self.offset)
    }
}

impl Window {
    /// Adds a batch after all that are here.
    pub fn push(&mut self, rows: Rows) {
        if rows.is_empty() {
            return;
        }
        self.bytes += rows.len();
        if rows.len() > SMALL {
            self.buffers.push(rows);
            self.open = false;
            return;
        }
        match self.buffers.last_mut() {
            Some(last) if self.open && last.len() + rows.len() <= BUFFER => last.append(&rows),
            _ => {
                self.buffers.push(rows);
                self.open = true;
            }
        }
    }

    /// The encoded size of all batches, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives the effect of all batches to `each`: first the removed ranges, then each changed row once
    /// and in ascending order.
    pub fn drain<E>(&self, mut each: impl FnMut(RowOp<'_>) -> Result<(), E>) -> Result<(), E> {
        let (mut points, mut ranges) = self.slots();
        points.sort_unstable_by(|a, b| {
            (a.prefix.cmp(&b.prefix))
                .then_with(|| self.key(a).cmp(self.key(b)))
                .then_with(|| a.when().cmp(&b.when()))
        });
        ranges.sort_unstable_by(|a, b| self.key(a).cmp(self.key(b)));
        for slot in &ranges {
            each(self.at(slot))?;
        }
        let mut ranges = ranges.into_iter().peekable();
        // Ranges that begin at or before the row at hand, the newest on top. One that ends before the
        // row is dropped once it is on top; below the top it does no harm.
        let mut begun: BinaryHeap<((u32, u32), Slot)> = BinaryHeap::new();
        let mut points = points.iter().peekable();
        while let Some(slot) = points.next() {
            let key = self.key(slot);
            let next = points.peek();
            if next.is_some_and(|next| next.prefix == slot.prefix && self.key(next) == key) {
                continue;
            }
            while let Some(range) = ranges.next_if(|range| self.key(range) <= key) {
                begun.push((range.when(), range));
            }
            while begun
                .peek()
                .is_some_and(|(_, range)| self.end(range) <= key)
            {
                begun.pop();
            }
            if begun.peek().is_none_or(|(when, _)| *when < slot.when()) {
                each(self.at(slot))?;
            }
        }
        Ok(())
    }

    /// All changes, points apart from ranges, unsorted.
    fn slots(&self) -> (Vec<Slot>, Vec<Slot>) {
        let shared = self.shared_prefix();
        let mut points = Vec::new();
        let mut ranges = Vec::new();
        for (buffer, rows) in self.buffers.iter().enumerate() {
            for (offset, op) in rows.offsets() {
                let (key, to) = match op {
                    RowOp::Put { key, .. } | RowOp::Delete { key } => (key, &mut points),
                    RowOp::DeleteRange { from, .. } => (from, &mut ranges),
                };
                let mut prefix = [0; 8];
                let tail = key.get(shared..).unwrap_or_default();
                let length = tail.len().min(8);
                prefix[..length].copy_from_slice(&tail[..length]);
                to.push(Slot {
                    prefix: u64::from_be_bytes(prefix),
                    buffer: u32::try_from(buffer).expect("fewer than 4 G buffers"),
                    offset: u32::try_from(offset).expect("a batch is shorter than 4 GiB"),
                });
            }
        }
        (points, ranges)
    }

    /// How many first bytes all point keys share: the prefix in a slot begins behind them.
    fn shared_prefix(&self) -> usize {
        let mut first: Option<&[u8]> = None;
        let mut shared = 0;
        for op in self.buffers.iter().flat_map(Rows::iter) {
            let key = match op {
                RowOp::Put { key, .. } | RowOp::Delete { key } => key,
                RowOp::DeleteRange { .. } => continue,
            };
            match first {
                None => {
                    first = Some(key);
                    shared = key.len();
                }
                Some(first) => {
                    if !key.starts_with(&first[..shared]) {
                        shared = first.iter().zip(key).take_while(|(a, b)| a == b).count();
                    }
                }
            }
        }
        shared
    }

    fn at(&self, slot: &Slot) -> RowOp<'_> {
        self.buffers[slot.buffer as usize].at(slot.offset as usize)
    }

    fn key(&self, slot: &Slot) -> &[u8] {
        match self.at(slot) {
            RowOp::Put { key, .. } | RowOp::Delete { key } => key,
            RowOp::DeleteRange { from, .. } => from,
        }
    }

    /// Where the range at `slot` ends.
    fn end(&self, slot: &Slot) -> &[u8] {
        match self.at(slot) {
            RowOp::DeleteRange { to, .. } => to,
            RowOp::Put { key, .. } | RowOp::Delete { key } => key,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    type Points = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

    type Drained = (Vec<(Vec<u8>, Vec<u8>)>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

    fn drain(window: &Window) -> Drained {
        let mut ranges = Vec::new();
        let mut points = Vec::new();
        window
            .drain(|op| {
                match op {
                    RowOp::DeleteRange { from, to } => ranges.push((from.to_vec(), to.to_vec())),
                    RowOp::Put { key, value } => points.push((key.to_vec(), Some(value.to_vec()))),
                    RowOp::Delete { key } => points.push((key.to_vec(), None)),
                }
                Ok::<_, ()>(())
            })
            .unwrap();
        (ranges, points)
    }

    #[test]
    fn the_last_change_wins_and_ranges_keep_their_place() {
        let mut window = Window::default();
        let mut rows = Rows::new();
        rows.put(b"a", b"1");
        rows.put(b"b", b"1");
        window.push(rows);
        let mut rows = Rows::new();
        rows.delete_range(b"a", b"c");
        rows.put(b"b", b"2");
        rows.put(b"c", b"1");
        rows.delete(b"c");
        window.push(rows);
        let (ranges, points) = drain(&window);
        assert_eq!(ranges, [(b"a".to_vec(), b"c".to_vec())]);
        assert_eq!(
            points,
            [(b"b".to_vec(), Some(b"2".to_vec())), (b"c".to_vec(), None)]
        );
    }

    #[test]
    fn small_batches_share_a_buffer_and_order_survives_large_ones() {
        let mut window = Window::default();
        for value in 0..100u8 {
            let mut rows = Rows::new();
            rows.put(b"k", &[value]);
            window.push(rows);
        }
        assert_eq!(window.buffers.len(), 1);
        let mut rows = Rows::new();
        rows.put(b"k", &[1; SMALL]);
        window.push(rows);
        let mut rows = Rows::new();
        rows.put(b"k", b"last");
        window.push(rows);
        assert_eq!(window.buffers.len(), 3);
        assert_eq!(drain(&window).1, [(b"k".to_vec(), Some(b"last".to_vec()))]);
    }

    #[derive(Debug, Clone)]
    enum Change {
        Put(Vec<u8>, u8),
        Delete(Vec<u8>),
        Range(Vec<u8>, Vec<u8>),
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        // Few and partly long keys, so that they meet, share prefixes, and are prefixes of each other.
        prop::collection::vec(1..4u8, 1..4).prop_flat_map(|short| {
            prop::bool::ANY.prop_map(move |long| {
                let mut key = if long { vec![9; 11] } else { Vec::new() };
                key.extend_from_slice(&short);
                key
            })
        })
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            5 => (key(), any::<u8>()).prop_map(|(key, value)| Change::Put(key, value)),
            2 => key().prop_map(Change::Delete),
            2 => (key(), key()).prop_map(|(from, to)| Change::Range(from, to)),
        ]
    }

    proptest! {
        /// Against a model that takes one change after the other.
        #[test]
        fn has_the_effect_of_the_changes_in_order(
            batches in prop::collection::vec(prop::collection::vec(change(), 0..6), 0..12),
        ) {
            let mut window = Window::default();
            let mut model = Points::new();
            let mut removed = BTreeSet::new();
            for batch in batches {
                let mut rows = Rows::new();
                for change in batch {
                    match change {
                        Change::Put(key, value) => {
                            rows.put(&key, &[value]);
                            model.insert(key, Some(vec![value]));
                        }
                        Change::Delete(key) => {
                            rows.delete(&key);
                            model.insert(key, None);
                        }
                        Change::Range(from, to) => {
                            rows.delete_range(&from, &to);
                            if from < to {
                                model.retain(|key, _| !(from <= *key && *key < to));
                                removed.insert((from, to));
                            }
                        }
                    }
                }
                window.push(rows);
            }
            let (ranges, points) = drain(&window);
            prop_assert_eq!(ranges.into_iter().collect::<BTreeSet<_>>(), removed);
            prop_assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
            prop_assert_eq!(points.into_iter().collect::<Points>(), model);
        }
    }
}
