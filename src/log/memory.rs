//! What is known of each entry without reading the disk: its term, its place, and the last bodies.
//!
//! Entries are contiguous. `slots` has one for each, from `first`; the bodies in `recent` are those
//! of the last entries, and every entry that is not yet on disk is among them.

use super::state::State;
use super::{Entry, Id};
use bytes::Bytes;
use std::collections::VecDeque;
use std::ops::Range;

/// Where an entry's record lies. Segment 0: not on disk yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Slot {
    pub segment: u32,
    pub offset: u32,
    /// The body's length, bytes.
    pub len: u32,
}

struct Recent {
    /// Tells this entry from another that took its index after a truncation.
    ticket: u64,
    kind: u8,
    body: Bytes,
}

impl Recent {
    /// Memory that it takes, about.
    fn cost(&self) -> usize {
        self.body.len() + ENTRY_COST
    }
}

/// Memory that an entry takes besides its body, about, bytes.
pub(super) const ENTRY_COST: usize = 80;

/// A run of entries of one term.
struct Run {
    first: u64,
    term: u64,
}

/// Where an entry of a selection is to be had.
pub(super) enum Source {
    Memory(Entry),
    Disk(Id, Slot),
}

/// The entries, the state, and what follows from them.
#[derive(Default)]
pub(super) struct Memory {
    first: u64,
    slots: VecDeque<Slot>,
    recent: VecDeque<Recent>,
    recent_cost: usize,
    runs: VecDeque<Run>,
    next_ticket: u64,
    /// The vote as last synced, hints as last given. `state.last` is unused: see [`Memory::last`].
    pub state: State,
}

impl Memory {
    /// Index of the first entry, if there is one.
    pub fn first(&self) -> Option<u64> {
        (!self.slots.is_empty()).then_some(self.first)
    }

    /// One past the last entry; where there is none, one past what was purged.
    fn end(&self) -> u64 {
        match self.slots.len() as u64 {
            0 => self.state.purged.map_or(0, |p| p.index + 1),
            n => self.first + n,
        }
    }

    /// The last entry, or what was purged.
    pub fn last(&self) -> Option<Id> {
        match self.runs.back() {
            None => self.state.purged,
            Some(run) => Some(Id {
                term: run.term,
                index: self.end() - 1,
            }),
        }
    }

    /// The only index that may be appended, or none where any may: the log was never written.
    pub fn next(&self) -> Option<u64> {
        match self.slots.is_empty() && self.state.purged.is_none() {
            true => None,
            false => Some(self.end()),
        }
    }

    fn push_slot(&mut self, id: Id, slot: Slot) {
        if self.slots.is_empty() {
            self.first = id.index;
        }
        self.slots.push_back(slot);
        if self.runs.back().is_none_or(|r| r.term != id.term) {
            self.runs.push_back(Run {
                first: id.index,
                term: id.term,
            });
        }
    }

    /// Adds an entry that is on disk. Only while nothing is in memory alone: when opening.
    pub fn push_stored(&mut self, id: Id, slot: Slot) {
        debug_assert!(self.recent.is_empty());
        self.push_slot(id, slot);
    }

    /// Adds an entry that is on its way to disk, and returns its ticket.
    pub fn push(&mut self, entry: &Entry) -> u64 {
        let slot = Slot {
            segment: 0,
            offset: 0,
            len: entry.body.len() as u32,
        };
        self.push_slot(entry.id, slot);
        self.next_ticket += 1;
        let recent = Recent {
            ticket: self.next_ticket,
            kind: entry.kind,
            body: entry.body.clone(),
        };
        self.recent_cost += recent.cost();
        self.recent.push_back(recent);
        self.next_ticket
    }

    /// Notes where the entry with this ticket lies on disk, unless it was truncated or purged since.
    pub fn placed(&mut self, index: u64, ticket: u64, slot: Slot) {
        let end = self.first + self.slots.len() as u64;
        let recent_first = end - self.recent.len() as u64;
        if index < recent_first || index >= end {
            return;
        }
        if self.recent[(index - recent_first) as usize].ticket == ticket {
            self.slots[(index - self.first) as usize] = slot;
        }
    }

    /// Forgets the oldest bodies that are on disk while they cost more than `max`.
    pub fn evict(&mut self, max: usize) {
        while self.recent_cost > max {
            let slot = self.slots[self.slots.len() - self.recent.len()];
            if slot.segment == 0 {
                return;
            }
            self.pop_recent_front();
        }
    }

    fn pop_recent_front(&mut self) {
        if let Some(r) = self.recent.pop_front() {
            self.recent_cost -= r.cost();
        }
    }

    /// Removes entries from `from` on.
    pub fn truncate(&mut self, from: u64) {
        let keep = from.saturating_sub(self.first).min(self.slots.len() as u64) as usize;
        while self.slots.len() > keep {
            self.slots.pop_back();
            if let Some(r) = self.recent.pop_back() {
                self.recent_cost -= r.cost();
            }
        }
        while self
            .runs
            .back()
            .is_some_and(|r| r.first >= from || keep == 0)
        {
            self.runs.pop_back();
        }
    }

    /// Removes entries up to `id`, which may be beyond the last. An id below an earlier one is
    /// ignored.
    pub fn purge(&mut self, id: Id) {
        if self.state.purged.is_some_and(|p| p.index >= id.index) {
            return;
        }
        self.state.purged = Some(id);
        while self.slots.front().is_some() && self.first <= id.index {
            if self.recent.len() == self.slots.len() {
                self.pop_recent_front();
            }
            self.slots.pop_front();
            self.first += 1;
        }
        if self.slots.is_empty() {
            self.runs.clear();
        }
        while self.runs.get(1).is_some_and(|r| r.first <= self.first) {
            self.runs.pop_front();
        }
    }

    /// Where entries of `range` that exist are to be had: from its first one on, at least one and
    /// then until `max` bytes of bodies.
    pub fn select(&self, range: Range<u64>, max: usize) -> Vec<Source> {
        let end = (self.first + self.slots.len() as u64).min(range.end);
        let start = range.start.max(self.first);
        if self.slots.is_empty() || start >= end {
            return Vec::new();
        }
        let recent_first = self.first + (self.slots.len() - self.recent.len()) as u64;
        let mut run = self.runs.partition_point(|r| r.first <= start) - 1;
        let mut left = max;
        let mut out = Vec::with_capacity((end - start).min(1024) as usize);
        for index in start..end {
            let slot = self.slots[(index - self.first) as usize];
            if !out.is_empty() && slot.len as usize > left {
                break;
            }
            left = left.saturating_sub(slot.len as usize);
            if self.runs.get(run + 1).is_some_and(|r| r.first <= index) {
                run += 1;
            }
            let id = Id {
                term: self.runs[run].term,
                index,
            };
            out.push(match index.checked_sub(recent_first) {
                Some(i) => {
                    let r = &self.recent[i as usize];
                    Source::Memory(Entry {
                        id,
                        kind: r.kind,
                        body: r.body.clone(),
                    })
                }
                None => Source::Disk(id, slot),
            });
        }
        out
    }

    /// The id of the last entry of each term in `range`, ascending.
    pub fn last_of_terms(&self, range: Range<u64>) -> Vec<Id> {
        let end = (self.first + self.slots.len() as u64).min(range.end);
        let start = range.start.max(self.first);
        let mut out = Vec::new();
        for (i, run) in self.runs.iter().enumerate() {
            let run_end = self.runs.get(i + 1).map_or(end, |next| next.first.min(end));
            if run_end > start.max(run.first) {
                out.push(Id {
                    term: run.term,
                    index: run_end - 1,
                });
            }
        }
        out
    }

    /// Memory that the bodies take, about, bytes.
    pub fn recent_cost(&self) -> usize {
        self.recent_cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(term: u64, index: u64) -> Entry {
        Entry {
            id: Id { term, index },
            kind: 1,
            body: Bytes::from(vec![1; 20]),
        }
    }

    fn filled(terms: &[u64]) -> Memory {
        let mut m = Memory::default();
        for (i, t) in terms.iter().enumerate() {
            let ticket = m.push(&entry(*t, i as u64));
            m.placed(
                i as u64,
                ticket,
                Slot {
                    segment: 1,
                    offset: i as u32,
                    len: 20,
                },
            );
        }
        m
    }

    fn ids(m: &Memory, range: Range<u64>) -> Vec<(u64, u64)> {
        let id = |s| match s {
            Source::Memory(e) => e.id,
            Source::Disk(id, _) => id,
        };
        m.select(range, usize::MAX)
            .into_iter()
            .map(id)
            .map(|i| (i.term, i.index))
            .collect()
    }

    #[test]
    fn terms_follow_truncation_and_purge() {
        let mut m = filled(&[0, 1, 1, 2, 2, 3]);
        let last = |m: &Memory, r| {
            m.last_of_terms(r)
                .iter()
                .map(|i| (i.term, i.index))
                .collect::<Vec<_>>()
        };
        assert_eq!(last(&m, 0..6), [(0, 0), (1, 2), (2, 4), (3, 5)]);
        assert_eq!(last(&m, 2..5), [(1, 2), (2, 4)]);
        m.truncate(4);
        assert_eq!(m.last(), Some(Id { term: 2, index: 3 }));
        m.purge(Id { term: 1, index: 1 });
        assert_eq!(ids(&m, 0..9), [(1, 2), (2, 3)]);
        assert_eq!(last(&m, 0..9), [(1, 2), (2, 3)]);
        m.truncate(0);
        assert_eq!(m.last(), Some(Id { term: 1, index: 1 }));
        assert_eq!(m.next(), Some(2));
        m.purge(Id { term: 5, index: 9 });
        assert_eq!(
            (m.last(), m.next()),
            (Some(Id { term: 5, index: 9 }), Some(10))
        );
    }

    #[test]
    fn only_what_is_on_disk_is_evicted() {
        let mut m = filled(&[1, 1, 1]);
        m.push(&entry(1, 3));
        m.evict(0);
        let from = |m: &Memory| {
            m.select(0..9, usize::MAX)
                .iter()
                .filter(|s| matches!(s, Source::Disk(..)))
                .count()
        };
        assert_eq!(from(&m), 3);
        assert_eq!(m.recent_cost(), 20 + ENTRY_COST);
    }

    #[test]
    fn a_place_does_not_outlive_its_entry() {
        let mut m = filled(&[1]);
        let old = m.push(&entry(1, 1));
        m.truncate(1);
        m.push(&entry(2, 1));
        m.placed(
            1,
            old,
            Slot {
                segment: 9,
                offset: 9,
                len: 20,
            },
        );
        m.evict(0);
        assert!(matches!(m.select(1..2, 1)[..], [Source::Memory(_)]));
    }

    #[test]
    fn a_selection_has_one_entry_and_then_a_bound() {
        let m = filled(&[1; 10]);
        assert_eq!(m.select(0..10, 0).len(), 1);
        assert_eq!(m.select(0..10, 59).len(), 2);
        assert_eq!(m.select(4..10, 60).len(), 3);
        assert_eq!(m.select(10..12, 60).len(), 0);
    }
}
