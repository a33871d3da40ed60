//! Whether a history of one key is linearizable: the search of Wing and Gong with Lowe's cache of states, as
//! Horn and Kroening describe it and porcupine does it.
//!
//! Always: the answer is exact or `Undecided`; time and memory are bounded. An operation of unknown outcome may be
//! left out, or take effect at any time after its call. Bounds on the input: 500 operations of 8 clients, of which
//! 10 of unknown outcome, are decided at once as a rule.

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
    /// What could not follow, and what it could have followed in time.
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
        Op::Add(_) | Op::Append(_) => true,
    };
    let ops: Vec<&Operation> = history.iter().filter(matters).collect();
    Search::new(&ops).run(deadline)
}

/// Every value that was seen; `None` where operations that build on a value without telling it are among them.
fn seen(history: &[Operation]) -> Option<HashSet<&[u8]>> {
    let mut seen = HashSet::new();
    for o in history {
        match (&o.op, &o.reply) {
            (Op::Add(_) | Op::Append(_), _) => return None,
            (Op::Get, Some(Reply::Read(value))) | (Op::Exchange { from: value, .. }, _) => {
                seen.extend(value.as_deref());
            }
            _ => {}
        }
    }
    Some(seen)
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
    }

    fn restore(&mut self, op: usize) {
        if let Some(end) = self.end_at[op] {
            self.link(end);
        }
        self.link(self.call_at[op]);
    }

    fn run(mut self, deadline: Instant) -> Verdict {
        let mut left = self.end_at.iter().flatten().count();
        let all = left;
        let mut ordered = Bits(vec![0; self.ops.len().div_ceil(64)].into());
        let mut cache: HashSet<(Bits, u32)> = HashSet::new();
        let mut stack: Vec<(usize, u32)> = Vec::new();
        let mut state = self.values.number(None);
        let mut best: Option<Violation> = None;
        let mut at = self.next[self.head()];
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
                if let Some(after) = self.step(op, state) {
                    ordered.set(op, true);
                    if cache.insert((ordered.clone(), after)) {
                        stack.push((op, state));
                        state = after;
                        self.lift(op);
                        left -= usize::from(self.end_at[op].is_some());
                        at = self.next[self.head()];
                        continue;
                    }
                    ordered.set(op, false);
                }
                at = self.next[at];
                continue;
            }
            // The end of an operation that found no place: one before it must go elsewhere.
            if best.as_ref().is_none_or(|b| b.explained < all - left) {
                best = Some(self.blocked(at, all - left, state));
            }
            let Some((op, before)) = stack.pop() else {
                return Verdict::Violation(best.unwrap_or_else(|| self.blocked(at, 0, state)));
            };
            ordered.set(op, false);
            state = before;
            self.restore(op);
            left += usize::from(self.end_at[op].is_some());
            at = self.next[self.call_at[op]];
        }
        Verdict::Linearizable
    }

    fn step(&mut self, op: usize, state: u32) -> Option<u32> {
        let o = self.ops[op];
        let after = step(&self.values.values[state as usize], &o.op, o.reply.as_ref())?;
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
        Violation {
            explained,
            held: self.values.values[state as usize].clone(),
            blocked,
        }
    }
}
