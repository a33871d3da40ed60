//! What must hold of more than one key or element at once: a queue, a stream, and what standbys answer.
//!
//! Always: an operation whose outcome is not known may have taken effect at any time after its call, or never. What is reported
//! is a contradiction between replies, whatever became of those. Proven in `tests/checker.rs`.

use std::collections::{HashMap, HashSet};

use crate::model::NEVER;

/// An operation's element with its time, nanoseconds; `end` is [`NEVER`] where its outcome is not known.
#[derive(Debug, Clone)]
pub struct Timed<T> {
    pub what: T,
    pub call: u64,
    pub end: u64,
}

/// A list that some push to at one end and others pop from at the other, with what is left of it.
#[derive(Debug, Default, Clone)]
pub struct Queue {
    pub pushed: Vec<Timed<String>>,
    /// Elements whose pop was answered.
    pub popped: Vec<Timed<String>>,
    /// Pops whose outcome is not known: each may have taken one element.
    pub unknown_pops: usize,
    pub left: Vec<String>,
}

/// A stream's id: milliseconds and number.
pub type Id = (u64, u64);

/// What was appended; the id where it was told.
pub type Added = Timed<(String, Option<Id>)>;

/// A stream that several append to, with what is in it at the end.
#[derive(Debug, Default, Clone)]
pub struct Stream {
    pub added: Vec<Added>,
    pub held: Vec<(Id, String)>,
}

/// A read at a standby of a key that is set once.
#[derive(Debug, Clone)]
pub struct Look {
    pub found: bool,
    /// When the read was sent.
    pub call: u64,
    /// When the write was acknowledged.
    pub set_end: u64,
}

/// First in, first out, and each element once.
pub fn queue(q: &Queue) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut where_is: HashMap<&str, (u64, u64)> = HashMap::new();
    for popped in &q.popped {
        let twice = where_is.insert(&popped.what, (popped.call, popped.end));
        if twice.is_some() {
            wrong.push(format!("{} was popped twice", popped.what));
        }
    }
    for left in &q.left {
        // It would be popped after all that was.
        if where_is.insert(left, (NEVER, NEVER)).is_some() {
            wrong.push(format!(
                "{left} is in the list and was popped, or is twice in it"
            ));
        }
    }
    let sent: HashSet<&str> = q.pushed.iter().map(|p| p.what.as_str()).collect();
    for element in where_is.keys().filter(|e| !sent.contains(**e)) {
        wrong.push(format!("{element} was never pushed"));
    }
    let known = q.pushed.iter().filter(|p| p.end != NEVER);
    let lost: Vec<&str> = known
        .clone()
        .map(|p| p.what.as_str())
        .filter(|e| !where_is.contains_key(e))
        .collect();
    if lost.len() > q.unknown_pops {
        wrong.push(format!(
            "{} elements are gone, and only {} pops had no answer: {:?}",
            lost.len(),
            q.unknown_pops,
            &lost[..lost.len().min(5)]
        ));
    }
    // One that was certainly pushed before another is not popped certainly after it.
    let mut firsts: Vec<_> = known
        .filter_map(|p| Some((p, where_is.get(p.what.as_str())?)))
        .collect();
    firsts.sort_by_key(|(p, _)| p.end);
    let mut seconds: Vec<_> = q
        .pushed
        .iter()
        .filter_map(|p| Some((p, where_is.get(p.what.as_str())?)))
        .collect();
    seconds.sort_by_key(|(p, _)| p.call);
    let mut next = 0;
    let mut latest: Option<(u64, &str)> = None;
    for (second, popped) in seconds {
        while next < firsts.len() && firsts[next].0.end < second.call {
            let (first, popped) = firsts[next];
            if latest.is_none_or(|(call, _)| popped.0 > call) {
                latest = Some((popped.0, &first.what));
            }
            next += 1;
        }
        if let Some((call, first)) = latest
            && call > popped.1
        {
            wrong.push(format!(
                "{first} was pushed before {} and popped after it",
                second.what
            ));
        }
    }
    wrong
}

/// Each entry once, under the id that was told, and ids in the order of what is certainly before what.
pub fn stream(s: &Stream) -> Vec<String> {
    let mut wrong = Vec::new();
    for pair in s.held.windows(2).filter(|w| w[0].0 >= w[1].0) {
        wrong.push(format!("{:?} is followed by {:?}", pair[0].0, pair[1].0));
    }
    let mut held: HashMap<&str, Id> = HashMap::new();
    for (id, what) in &s.held {
        if held.insert(what, *id).is_some() {
            wrong.push(format!("{what} is twice in the stream"));
        }
    }
    let mut at: Vec<(Id, &Added)> = Vec::new();
    for added in &s.added {
        let (what, told) = &added.what;
        match (told, held.remove(what.as_str())) {
            (Some(told), Some(id)) if *told != id => {
                wrong.push(format!("{what} was added as {told:?} and is {id:?}"));
            }
            (Some(told), None) => {
                wrong.push(format!("{what}, added as {told:?}, is not in the stream"))
            }
            (_, Some(id)) => at.push((id, added)),
            (None, None) => {}
        }
    }
    for what in held.keys() {
        wrong.push(format!("{what} was never added"));
    }
    // From the last on: none that comes later in the stream had ended before this one was sent.
    at.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    let mut earliest: Option<(u64, &str)> = None;
    for (_, added) in at {
        if let Some((end, later)) = earliest
            && end < added.call
        {
            wrong.push(format!(
                "{later} was added before {} and comes after it",
                added.what.0
            ));
        }
        if earliest.is_none_or(|(end, _)| added.end < end) {
            earliest = Some((added.end, &added.what.0));
        }
    }
    wrong
}

/// What is wrong with a read at a standby: it lacks what was acknowledged more than `bound` ns before it was sent.
pub fn look(l: &Look, bound: u64) -> Option<String> {
    let ms = |ns: u64| ns / 1_000_000;
    let age = l.call.saturating_sub(l.set_end);
    (!l.found && age > bound).then(|| {
        format!(
            "a standby did not have what was acknowledged {} ms before, where {} are allowed",
            ms(age),
            ms(bound)
        )
    })
}
