//! Clients that wait for a key: BLPOP and its kin, XREAD BLOCK.
//!
//! A command that found nothing says what it waits for ([`Ctx::block`](super::Ctx::block)); its session
//! stands in line here. Whatever changes a key that somebody waits for marks it as ready, and after the
//! command (or the whole transaction) that did so, those in line run their command anew, first come
//! first served, under the same hold of the engine's lock: as in Redis, nobody can come in between.
//!
//! **Invariant**: a waiter is in `waiters` exactly as long as it stands in line at each of its keys. Who
//! takes it out of line delivers to its parcel, once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::table::CommandId;
use super::{Args, Fail};
use crate::base::number;
use crate::keyspace::Value;
use crate::resp::{Out, Proto};

/// The type of value that a command waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    List,
    ZSet,
    Stream,
}

impl Kind {
    /// Whether a value is of this type.
    pub fn is(self, value: &Value) -> bool {
        let name = match self {
            Kind::List => "list",
            Kind::ZSet => "zset",
            Kind::Stream => "stream",
        };
        value.type_name() == name
    }
}

/// What a command that found nothing waits for.
#[derive(Debug, Clone)]
pub struct Block {
    pub keys: Vec<Box<[u8]>>,
    pub kind: Kind,
    /// From now, milliseconds; 0: for ever.
    pub timeout_ms: u64,
    /// Also to be run anew when a key is gone or of another type (XREADGROUP).
    pub on_gone: bool,
    /// The reply where nothing may be waited for (in a transaction or a script) is a null array, not a null.
    pub null_array: bool,
}

impl Block {
    /// The reply where nothing may be waited for.
    pub fn write_empty(&self, out: &mut Out) {
        if self.null_array {
            out.null_array();
        } else {
            out.null();
        }
    }
}

/// A reply for a client that waited.
#[derive(Debug)]
pub struct Delivery {
    pub reply: BytesMut,
    /// The era and the batch that the reply waits for.
    pub era: u64,
    pub wait: u64,
    /// The command that was run in the end; none where the wait just ended.
    pub ran: Option<Ran>,
}

/// A command that waited and was run: for the slow log and the counters.
#[derive(Debug)]
pub struct Ran {
    pub command: CommandId,
    pub args: Vec<Bytes>,
    pub took: Duration,
    pub failed: bool,
}

/// Where a waiting session finds its reply.
#[derive(Debug, Default)]
pub struct Parcel(Mutex<(Option<Delivery>, Option<Waker>)>);

impl Parcel {
    /// Puts the reply there and wakes the session.
    pub fn deliver(&self, delivery: Delivery) {
        let mut slot = self.0.lock();
        slot.0 = Some(delivery);
        if let Some(waker) = slot.1.take() {
            waker.wake();
        }
    }

    /// Takes the reply; otherwise the session is woken when there is one.
    pub fn take(&self, waker: &Waker) -> Option<Delivery> {
        let mut slot = self.0.lock();
        let delivery = slot.0.take();
        if delivery.is_none() {
            slot.1 = Some(waker.clone());
        }
        delivery
    }
}

/// A session that stands in line.
pub struct Waiter {
    /// The client's id.
    pub client: u64,
    pub command: CommandId,
    pub args: Vec<Bytes>,
    pub db: u32,
    pub proto: Proto,
    pub no_touch: bool,
    pub block: Block,
    pub parcel: Arc<Parcel>,
}

type Line = BTreeMap<u64, u64>;

/// Everybody who waits.
#[derive(Default)]
pub struct Blocking {
    waiters: HashMap<u64, (u64, Waiter)>,
    /// Per key, place in line -> client.
    lines: HashMap<(u32, Box<[u8]>), Line>,
    ready: VecDeque<(u32, Box<[u8]>)>,
    places: u64,
}

impl Blocking {
    /// Clients that wait.
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Keys that somebody waits for.
    pub fn keys(&self) -> usize {
        self.lines.len()
    }

    /// Keys that somebody waits for who is also to learn that they are gone.
    pub fn keys_on_gone(&self) -> usize {
        let on_gone = |line: &&Line| {
            line.values()
                .any(|c| self.waiters.get(c).is_some_and(|(_, w)| w.block.on_gone))
        };
        self.lines.values().filter(on_gone).count()
    }

    pub fn contains(&self, client: u64) -> bool {
        self.waiters.contains_key(&client)
    }

    /// Lets a session stand at the end of each line.
    pub fn add(&mut self, waiter: Waiter) {
        self.places += 1;
        for key in &waiter.block.keys {
            self.lines
                .entry((waiter.db, key.clone()))
                .or_default()
                .insert(self.places, waiter.client);
        }
        self.waiters.insert(waiter.client, (self.places, waiter));
    }

    /// Takes a client out of line; `None` where it stands in none.
    pub fn remove(&mut self, client: u64) -> Option<Waiter> {
        let (place, waiter) = self.waiters.remove(&client)?;
        for key in &waiter.block.keys {
            let id = (waiter.db, key.clone());
            if let Some(line) = self.lines.get_mut(&id) {
                line.remove(&place);
                if line.is_empty() {
                    self.lines.remove(&id);
                }
            }
        }
        Some(waiter)
    }

    /// Takes everybody out of line, in the order in which they came.
    pub fn drain(&mut self) -> Vec<Waiter> {
        self.lines.clear();
        self.ready.clear();
        let mut all: Vec<_> = self.waiters.drain().map(|(_, w)| w).collect();
        all.sort_by_key(|(place, _)| *place);
        all.into_iter().map(|(_, w)| w).collect()
    }

    /// A key changed.
    pub fn touch(&mut self, db: u32, key: &[u8]) {
        if self.lines.is_empty() {
            return;
        }
        let id = (db, Box::from(key));
        if self.lines.contains_key(&id) && !self.ready.contains(&id) {
            self.ready.push_back(id);
        }
    }

    /// A database changed as a whole.
    pub fn touch_db(&mut self, db: u32) {
        let mut touched: Vec<_> = self
            .lines
            .iter()
            .filter(|((d, _), _)| *d == db)
            .map(|(id, line)| (line.first_key_value().map(|(place, _)| *place), id.clone()))
            .collect();
        touched.sort_unstable();
        for (_, (db, key)) in touched {
            self.touch(db, &key);
        }
    }

    /// The next key that changed, and who waits for it, first come first.
    pub fn next_ready(&mut self) -> Option<(u32, Box<[u8]>, Vec<u64>)> {
        let id = self.ready.pop_front()?;
        let clients = self
            .lines
            .get(&id)
            .map_or_else(Vec::new, |line| line.values().copied().collect());
        Some((id.0, id.1, clients))
    }

    /// A waiter by its client.
    pub fn get(&self, client: u64) -> Option<&Waiter> {
        self.waiters.get(&client).map(|(_, w)| w)
    }
}

/// Reads a timeout in seconds, as BLPOP takes it; milliseconds, 0 for none. A part of a millisecond counts as a whole.
pub fn timeout_seconds(arg: &[u8]) -> Result<u64, Fail> {
    let seconds =
        number::parse_f64(arg).ok_or(Fail::new("ERR timeout is not a float or out of range"))?;
    let ms = (seconds * 1000.0).ceil();
    if ms < 0.0 {
        return Err(Fail::new("ERR timeout is negative"));
    }
    // What does not fit when it is added to the time of day is out of range (i64 milliseconds).
    if ms > (i64::MAX / 2) as f64 {
        return Err(Fail::new("ERR timeout is out of range"));
    }
    Ok(ms as u64)
}

/// Reads a timeout in milliseconds, as XREAD BLOCK takes it.
pub fn timeout_ms(arg: &[u8]) -> Result<u64, Fail> {
    let ms =
        number::parse_i64(arg).ok_or(Fail::new("ERR timeout is not an integer or out of range"))?;
    u64::try_from(ms).map_err(|_| Fail::new("ERR timeout is negative"))
}

/// The arguments of a request, owned.
pub fn own(args: Args<'_>) -> Vec<Bytes> {
    args.iter().map(|a| Bytes::copy_from_slice(a)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(client: u64, keys: &[&str]) -> Waiter {
        Waiter {
            client,
            command: super::super::table::resolve(&[b"blpop", b"k", b"0"])
                .unwrap()
                .id,
            args: Vec::new(),
            db: 0,
            proto: Proto::Resp2,
            no_touch: false,
            block: Block {
                keys: keys.iter().map(|k| k.as_bytes().into()).collect(),
                kind: Kind::List,
                timeout_ms: 0,
                on_gone: false,
                null_array: true,
            },
            parcel: Arc::default(),
        }
    }

    #[test]
    fn first_come_first_served_and_out_of_every_line_at_once() {
        let mut b = Blocking::default();
        b.add(waiter(7, &["x", "y"]));
        b.add(waiter(5, &["y", "y"]));
        b.touch(0, b"y");
        b.touch(0, b"y");
        b.touch(1, b"x");
        assert_eq!(b.next_ready(), Some((0, b"y"[..].into(), vec![7, 5])));
        assert_eq!(b.next_ready(), None);
        assert_eq!(b.remove(7).map(|w| w.client), Some(7));
        assert_eq!((b.keys(), b.len()), (1, 1));
        b.touch_db(0);
        assert_eq!(b.next_ready(), Some((0, b"y"[..].into(), vec![5])));
        assert!(b.remove(7).is_none());
        assert_eq!(b.drain().len(), 1);
        assert!(b.is_empty() && b.keys() == 0);
    }

    #[test]
    fn timeouts_are_read_as_redis_reads_them() {
        let text = |r: Result<u64, Fail>| r.map_err(|e| e.as_str().to_owned());
        assert_eq!(text(timeout_seconds(b"0")), Ok(0));
        assert_eq!(text(timeout_seconds(b"0.0001")), Ok(1));
        assert_eq!(text(timeout_seconds(b"1.5")), Ok(1500));
        for (arg, error) in [
            ("x", "ERR timeout is not a float or out of range"),
            ("-1", "ERR timeout is negative"),
            ("1e100", "ERR timeout is out of range"),
        ] {
            assert_eq!(text(timeout_seconds(arg.as_bytes())), Err(error.into()));
        }
        assert_eq!(
            text(timeout_ms(b"-1")),
            Err("ERR timeout is negative".into())
        );
        assert_eq!(text(timeout_ms(b"15")), Ok(15));
    }
}
