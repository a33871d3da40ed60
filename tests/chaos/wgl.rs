//! Whether a history of one key is linearizable: the search of Wing and Gong with Lowe's cache of states, as
//! Horn and Kroening describe it and porcupine does it.
//!
//! Always: the answer is exact or `Undecided`; time and memory are bounded. An operation of unknown outcome may be
//! left out, or take effect at any time after its call. Bounds on the input: 500 operations of 8 clients, so that at most
//! 8 with an outcome are open at once, and 10 of unknown outcome, are decided within seconds (`tests/checker.rs`).
//!
//! What keeps the search small, each without a change of the answer:
//! - A read that may come now and fits the state comes now: it changes nothing.
//! - A value that only one operation writes is not left while an operation needs it (see [`Needs`]).
//! - A value that nobody needs is written as soon as it can be overwritten unseen.
//! - A text that only grows is a beginning of the longest that was read, or goes on from it.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use crate::model::{NEVER, Op, Operation, Reply, Value, step};

/// What the search found.
#[derive(Debug)]
pub enum Verdict {
    /// There is an order of the operations that explains every reply.
    Linearizable,
    /// There is none. The operations that the longest explained order could not go beyond.
    Violation(Violation),
    /// Time or memory ran out.
    Undecided,
}

/// Where the longest order ended.
#[derive(Debug)]
pub struct Violation {
    /// How many completed operations it explained.
    pub explained: usize,
    /// The value at its end.
    pub held: Value,
    /// What could not follow, what it could have followed in time, and what needs the value later.
    pub blocked: Vec<Operation>,
}

/// States and sets that the cache holds at most.
const CACHE_MAX: usize = 4_000_000;
/// Steps between two looks at the clock.
const LOOK_EVERY: u64 = 4096;

/// Whether `history`, that of one key which did not exist before it, is linearizable. Order does not matter.
pub fn check(history: &[Operation], deadline: Instant) -> Verdict {
    let seen = seen(history);
    let matters = |o: &&Operation| match &o.op {
        _ if o.reply.is_some() => true,
        Op::Get => false,
        // Of unknown outcome and never seen: if it took effect it was overwritten unseen, so it may as well be left out.
        Op::Set(value) | Op::Exchange { to: value, .. } => seen
            .as_ref()
            .is_none_or(|seen| seen.contains(value.as_slice())),
        Op::Add(_) | Op::Append(_) | Op::Push(_) => true,
    };
    let ops: Vec<&Operation> = history.iter().filter(matters).collect();
    Search::new(&ops).run(deadline)
}

/// Every value that was seen, by an operation that took effect; `None` where operations that build on a value without
/// telling it are among them.
fn seen(history: &[Operation]) -> Option<HashSet<&[u8]>> {
    let mut seen = HashSet::new();
    for o in history {
        match (&o.op, &o.reply) {
            (Op::Add(_) | Op::Append(_) | Op::Push(_), _) => return None,
            (Op::Get, Some(Reply::Read(value))) | (Op::Exchange { from: value, .. }, Some(_)) => {
                seen.extend(value.as_deref());
            }
            _ => {}
        }
    }
    // An exchange of unknown outcome took effect where what it wrote was seen.
    loop {
        let before = seen.len();
        for o in history {
            if let (Op::Exchange { from, to }, None) = (&o.op, &o.reply)
                && seen.contains(to.as_slice())
            {
                seen.extend(from.as_deref());
            }
        }
        if seen.len() == before {
            return Some(seen);
        }
    }
}

/// A set of operations.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Bits(Box<[u64]>);

impl Bits {
    fn set(&mut self, i: usize, on: bool) {
        let (word, bit) = (i / 64, 1 << (i % 64));
        if on {
            self.0[word] |= bit;
        } else {
            self.0[word] &= !bit;
        }
    }
}

/// A call or an end in the list of what is not yet ordered.
struct Event {
    op: usize,
    call: bool,
}

/// Values by number, so that the cache holds numbers.
#[derive(Default)]
struct Values {
    numbers: HashMap<Value, u32>,
    values: Vec<Value>,
}

impl Values {
    fn number(&mut self, value: Value) -> u32 {
        let next = self.values.len() as u32;
        let number = *self.numbers.entry(value.clone()).or_insert(next);
        if number == next {
            self.values.push(value);
        }
        number
    }
}

/// How many operations that are not ordered yet need the key to hold a value: those that read it, and exchanges of it.
///
/// Known only where no two operations write the same value and none builds on one. A value that was left does not come
/// back then, so it must not be left while it is needed; and what wrote a needed value has taken effect.
struct Needs(HashMap<Value, usize>);

impl Needs {
    fn of(ops: &[&Operation]) -> Option<Needs> {
        let (mut needs, mut written) = (HashMap::new(), HashSet::new());
        for o in ops {
            let (needed, to) = match (&o.op, &o.reply) {
                (Op::Add(_) | Op::Append(_) | Op::Push(_), _) => return None,
                (Op::Get, Some(Reply::Read(value))) => (Some(value), None),
                (Op::Get, _) => (None, None),
                (Op::Set(to), _) => (None, Some(to)),
                // One of unknown outcome is among `ops` only if what it wrote was seen.
                (Op::Exchange { from, to }, _) => (Some(from), Some(to)),
            };
            if let Some(needed) = needed {
                *needs.entry(needed.clone()).or_insert(0) += 1;
            }
            if to.is_some_and(|to| !written.insert(to)) {
                return None;
            }
        }
        Some(Needs(needs))
    }

    fn count(&self, value: &Value) -> usize {
        self.0.get(value).copied().unwrap_or(0)
    }

    /// An operation was ordered, or is not any more.
    fn ordered(&mut self, op: &Operation, on: bool) {
        let needed = match (&op.op, &op.reply) {
            (Op::Get, Some(Reply::Read(value))) => value,
            (Op::Exchange { from, .. }, _) => from,
            _ => return,
        };
        if let Some(n) = self.0.get_mut(needed) {
            *n = if on { *n - 1 } else { *n + 1 };
        }
    }
}

/// The longest text that was read, where operations only read and append.
fn longest(ops: &[&Operation]) -> Option<Vec<u8>> {
    let mut longest: &[u8] = b"";
    for o in ops {
        match (&o.op, &o.reply) {
            (Op::Append(_) | Op::Push(_), _) => {}
            (Op::Get, Some(Reply::Read(value))) => {
                let value = value.as_deref().unwrap_or_default();
                if value.len() > longest.len() {
                    longest = value;
                }
            }
            _ => return None,
        }
    }
    Some(longest.to_vec())
}

struct Search<'a> {
    ops: &'a [&'a Operation],
    events: Vec<Event>,
    /// The linked list through `events`; the last place is its head and its end.
    next: Vec<usize>,
    prev: Vec<usize>,
    /// Per operation, where its call and its end are in `events`.
    call_at: Vec<usize>,
    end_at: Vec<Option<usize>>,
    values: Values,
    needs: Option<Needs>,
    longest: Option<Vec<u8>>,
}

impl<'a> Search<'a> {
    fn new(ops: &'a [&'a Operation]) -> Search<'a> {
        let mut times: Vec<(u64, bool, usize)> = Vec::new();
        for (i, o) in ops.iter().enumerate() {
            times.push((o.call, false, i));
            if o.reply.is_some() && o.end != NEVER {
                times.push((o.end, true, i));
            }
        }
        // At one time calls come first: then the two overlap.
        times.sort_unstable();
        let mut call_at = vec![0; ops.len()];
        let mut end_at = vec![None; ops.len()];
        let mut events = Vec::with_capacity(times.len());
        for (at, &(_, end, op)) in times.iter().enumerate() {
            if end {
                end_at[op] = Some(at);
            } else {
                call_at[op] = at;
            }
            events.push(Event { op, call: !end });
        }
        let head = events.len();
        let next = (0..=head).map(|i| if i == head { 0 } else { i + 1 });
        let prev = (0..=head).map(|i| if i == 0 { head } else { i - 1 });
        Search {
            ops,
            next: next.collect(),
            prev: prev.collect(),
            events,
            call_at,
            end_at,
            values: Values::default(),
            needs: Needs::of(ops),
            longest: longest(ops),
        }
    }

    fn head(&self) -> usize {
        self.events.len()
    }

    fn unlink(&mut self, at: usize) {
        let (p, n) = (self.prev[at], self.next[at]);
        self.next[p] = n;
        self.prev[n] = p;
    }

    fn link(&mut self, at: usize) {
        let (p, n) = (self.prev[at], self.next[at]);
        self.next[p] = at;
        self.prev[n] = at;
    }

    /// Takes an operation out of the list. [`Search::restore`] must follow in reverse order.
    fn lift(&mut self, op: usize) {
        self.unlink(self.call_at[op]);
        if let Some(end) = self.end_at[op] {
            self.unlink(end);
        }
        if let Some(needs) = &mut self.needs {
            needs.ordered(self.ops[op], true);
        }
    }

    fn restore(&mut self, op: usize) {
        if let Some(end) = self.end_at[op] {
            self.link(end);
        }
        self.link(self.call_at[op]);
        if let Some(needs) = &mut self.needs {
            needs.ordered(self.ops[op], false);
        }
    }

    /// Whether an operation that may come at `before` may as well come there as anywhere else: nothing is gained by trying
    /// another in its place.
    fn costs_nothing(&self, op: usize, before: u32, after: u32) -> bool {
        match (&self.ops[op].op, &self.needs) {
            (Op::Get, _) => before == after,
            // Leaving `before` was allowed, so whatever comes next overwrites, too.
            (Op::Set(to), Some(needs)) => needs.count(&Some(to.clone())) == 0,
            _ => false,
        }
    }

    /// Where to look first at `state`: at an operation that costs nothing, or at the first.
    fn first(&mut self, state: u32) -> usize {
        let mut at = self.next[self.head()];
        while at != self.head() && self.events[at].call {
            let op = self.events[at].op;
            if matches!(self.ops[op].op, Op::Get | Op::Set(_))
                && let Some(after) = self.step(op, state)
                && self.costs_nothing(op, state, after)
            {
                return at;
            }
            at = self.next[at];
        }
        self.next[self.head()]
    }

    fn run(mut self, deadline: Instant) -> Verdict {
        let mut left = self.end_at.iter().flatten().count();
        let all = left;
        let mut ordered = Bits(vec![0; self.ops.len().div_ceil(64)].into());
        let mut cache: HashSet<(Bits, u32)> = HashSet::new();
        // What was ordered, the state before it, and whether something else may be tried in its place.
        let mut stack: Vec<(usize, u32, bool)> = Vec::new();
        let mut state = self.values.number(None);
        let mut best: Option<Violation> = None;
        let mut at = self.first(state);
        let mut steps = 0u64;
        while left > 0 {
            steps += 1;
            if cache.len() >= CACHE_MAX
                || (steps.is_multiple_of(LOOK_EVERY) && Instant::now() >= deadline)
            {
                return Verdict::Undecided;
            }
            let Event { op, call } = self.events[at];
            if call {
                let Some(after) = self.step(op, state) else {
                    at = self.next[at];
                    continue;
                };
                let others_too = !self.costs_nothing(op, state, after);
                ordered.set(op, true);
                if cache.insert((ordered.clone(), after)) {
                    stack.push((op, state, others_too));
                    state = after;
                    self.lift(op);
                    left -= usize::from(self.end_at[op].is_some());
                    at = self.first(state);
                    continue;
                }
                ordered.set(op, false);
                if others_too {
                    at = self.next[at];
                    continue;
                }
            } else if best.as_ref().is_none_or(|b| b.explained < all - left) {
                // The end of an operation that found no place.
                best = Some(self.blocked(at, all - left, state));
            }
            // One before it must go elsewhere.
            loop {
                let Some((op, before, others_too)) = stack.pop() else {
                    return Verdict::Violation(best.unwrap_or_else(|| self.blocked(at, 0, state)));
                };
                ordered.set(op, false);
                state = before;
                self.restore(op);
                left += usize::from(self.end_at[op].is_some());
                at = self.next[self.call_at[op]];
                if others_too {
                    break;
                }
            }
        }
        Verdict::Linearizable
    }

    /// The state after an operation, where it may follow on `state`.
    fn step(&mut self, op: usize, state: u32) -> Option<u32> {
        let o = self.ops[op];
        let held = &self.values.values[state as usize];
        let after = step(held, &o.op, o.reply.as_ref())?;
        if let (Some(needs), Op::Set(_) | Op::Exchange { .. }) = (&self.needs, &o.op) {
            let own = usize::from(matches!(o.op, Op::Exchange { .. }));
            if needs.count(held) > own {
                return None;
            }
        }
        if let (Some(longest), Some(text)) = (&self.longest, &after) {
            let common = text.len().min(longest.len());
            if text[..common] != longest[..common] {
                return None;
            }
        }
        Some(self.values.number(after))
    }

    /// What is in the list up to the end at `at`.
    fn blocked(&self, at: usize, explained: usize, state: u32) -> Violation {
        let mut blocked = Vec::new();
        let mut place = self.next[self.head()];
        while place != self.head() {
            let event = &self.events[place];
            if event.call {
                blocked.push(self.ops[event.op].clone());
            }
            if place == at {
                break;
            }
            place = self.next[place];
        }
        // Those that come later and keep the value from being left.
        let held = self.values.values[state as usize].clone();
        while self.needs.is_some() && place != self.head() {
            let Event { op, call } = self.events[place];
            let o = self.ops[op];
            let needs_it = o.reply == Some(Reply::Read(held.clone()))
                || matches!(&o.op, Op::Exchange { from, .. } if *from == held);
            if call && needs_it {
                blocked.push(o.clone());
            }
            place = self.next[place];
        }
        Violation {
            explained,
            held,
            blocked,
        }
    }
}
