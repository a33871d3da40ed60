//! The part of the load that needs more than one key: a queue, a stream, transfers by script, and reads at standbys.
//!
//! Always: every element and entry is named by who made it and its number, so that each is unique.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;
use pontoon::resp::Value;
use rand::Rng;

use crate::client::{Client, request};
use crate::load::{Shared, Worker, number_of};
use crate::model::NEVER;
use crate::order::{self, Id, Look, Queue, Stream, Timed};

/// Entries of a stream that one request reads.
const PAGE: usize = 1000;
/// How old a standby's answer may be where none says otherwise (`standby_staleness_ms`).
pub const STALE: Duration = Duration::from_secs(1);

/// What was done to them so far.
#[derive(Default)]
pub struct Together {
    queue: Mutex<Queue>,
    stream: Mutex<Stream>,
    looks: AtomicUsize,
    scripts: AtomicUsize,
}

/// How much of each took place.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub popped: usize,
    pub entries: usize,
    pub looks: usize,
    pub scripts: usize,
}

impl Counts {
    /// What was not tested at all, if anything.
    pub fn missing(&self) -> Option<&'static str> {
        match () {
            () if self.popped == 0 => Some("element of the queue was popped"),
            () if self.entries == 0 => Some("entry of the stream was added"),
            () if self.looks == 0 => Some("read at a standby was answered"),
            () if self.scripts == 0 => Some("transfer by script took place"),
            () => None,
        }
    }
}

impl Shared {
    fn queue_key(&self) -> Vec<u8> {
        format!("{}:queue", self.prefix).into_bytes()
    }

    fn stream_key(&self) -> Vec<u8> {
        format!("{}:stream", self.prefix).into_bytes()
    }

    /// How much took place.
    pub fn counts(&self) -> Counts {
        Counts {
            popped: self.together.queue.lock().popped.len(),
            entries: self.together.stream.lock().added.len(),
            looks: self.together.looks.load(SeqCst),
            scripts: self.together.scripts.load(SeqCst),
        }
    }

    /// Reads what is left of the queue and what is in the stream, and holds both against all that was told. `when` is for people.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn check_together(&self, client: &mut Client, when: &str) -> anyhow::Result<Vec<String>> {
        let list = client.call(&[request([b"LRANGE", &self.queue_key(), b"0", b"-1"])])?;
        let mut queue = self.together.queue.lock().clone();
        queue.left = texts(&list[0]);
        let mut stream = self.together.stream.lock().clone();
        let mut from = "-".to_string();
        loop {
            let count = PAGE.to_string();
            let range = request([
                b"XRANGE",
                &self.stream_key(),
                from.as_bytes(),
                b"+",
                b"COUNT",
                count.as_bytes(),
            ]);
            let page = client.call(&[range])?;
            let Value::Array(page) = &page[0] else { break };
            let entries = page.iter().map(entry).collect::<Option<Vec<_>>>();
            stream
                .held
                .extend(entries.ok_or_else(|| anyhow::anyhow!("{page:?} is no part of a stream"))?);
            match stream.held.last() {
                Some(((ms, number), _)) if page.len() == PAGE => from = format!("({ms}-{number}"),
                _ => break,
            }
        }
        let found = order::queue(&queue)
            .into_iter()
            .chain(order::stream(&stream));
        Ok(found.map(|w| format!("{when}: {w}")).collect())
    }
}

fn text(value: &Value) -> Option<String> {
    Some(String::from_utf8_lossy(value.as_bytes()?).into_owned())
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(text).collect(),
        _ => Vec::new(),
    }
}

fn id(value: &Value) -> Option<Id> {
    let text = text(value)?;
    let (ms, number) = text.split_once('-')?;
    Some((ms.parse().ok()?, number.parse().ok()?))
}

/// `[id, ["e", payload]]`
fn entry(value: &Value) -> Option<(Id, String)> {
    match value {
        Value::Array(parts) if parts.len() == 2 => {
            let fields = texts(&parts[1]);
            Some((id(&parts[0])?, fields.get(1)?.clone()))
        }
        _ => None,
    }
}

impl Worker {
    fn named(&mut self) -> String {
        self.number += 1;
        format!("{}.{}", self.id, self.number)
    }

    /// One more element at the end of the queue.
    pub fn produce(&mut self) {
        let what = self.named();
        let push = request([b"RPUSH", &self.shared.queue_key(), what.as_bytes()]);
        let Some((call, end, reply)) = self.command(push, true) else {
            return;
        };
        let end = if reply.is_some() { end } else { NEVER };
        self.shared
            .together
            .queue
            .lock()
            .pushed
            .push(Timed { what, call, end });
    }

    /// The element at its head; waits for one where there is none.
    pub fn consume(&mut self) {
        let blocking = self.rng.random_bool(0.5);
        let key = self.shared.queue_key();
        let pop = match blocking {
            true => request([b"BLPOP", &key, b"0.2"]),
            false => request([b"LPOP", &key]),
        };
        let Some((call, end, reply)) = self.command(pop, true) else {
            return;
        };
        let mut queue = self.shared.together.queue.lock();
        match reply {
            None => queue.unknown_pops += 1,
            Some(Value::Null | Value::NullArray) => {}
            Some(value) => match texts(&value).pop().or_else(|| text(&value)) {
                Some(what) => queue.popped.push(Timed { what, call, end }),
                None => self.shared.wrong(format!("a pop was told {value:?}")),
            },
        }
    }

    /// One more entry of the stream.
    pub fn add_entry(&mut self) {
        let what = self.named();
        let add = request([
            b"XADD",
            &self.shared.stream_key(),
            b"*",
            b"e",
            what.as_bytes(),
        ]);
        let Some((call, end, reply)) = self.command(add, true) else {
            return;
        };
        let told = reply.as_ref().and_then(id);
        if let (Some(reply), None) = (&reply, told) {
            self.shared.wrong(format!("XADD was told {reply:?}"));
        }
        let end = if told.is_some() { end } else { NEVER };
        let what = (what, told);
        self.shared
            .together
            .stream
            .lock()
            .added
            .push(Timed { what, call, end });
    }

    /// A transfer between two accounts by a script.
    pub fn transfer_by_script(&mut self) {
        let (from, to, amount) = self.transfer_of();
        let script =
            "redis.call('DECRBY', KEYS[1], ARGV[1]); return redis.call('INCRBY', KEYS[2], ARGV[1])";
        let eval = request([
            b"EVAL",
            script.as_bytes(),
            b"2",
            &from,
            &to,
            amount.to_string().as_bytes(),
        ]);
        if let Some((_, _, Some(reply))) = self.command(eval, true) {
            if number_of(&reply).is_none() {
                self.shared
                    .wrong(format!("a transfer by script was told {reply:?}"));
            }
            self.shared.together.scripts.fetch_add(1, SeqCst);
        }
    }

    /// An entry of a journal at a standby: one that was acknowledged a while ago, or the newest.
    pub fn look(&mut self) {
        if self.client.is_none() {
            // What it answers with is its own only after this.
            match self.command(request([b"READONLY"]), false) {
                Some((_, _, Some(_))) => {}
                _ => return self.client = None,
            }
        }
        let bound = self.shared.stale;
        let now = self.shared.clock.now();
        let Some((key, set_end)) = self.shared.entry_to_look_at(now, bound, &mut self.rng) else {
            return;
        };
        let Some((call, _, Some(reply))) = self.command(request([b"GET", &key]), false) else {
            return;
        };
        let found = match &reply {
            Value::Null => false,
            Value::Bulk(held) => *held == key,
            _ => {
                return self
                    .shared
                    .wrong(format!("a standby's GET was told {reply:?}"));
            }
        };
        let look = Look {
            found,
            call,
            set_end,
        };
        if let Some(wrong) = order::look(&look, bound) {
            self.shared.wrong(wrong);
        }
        self.shared.together.looks.fetch_add(1, SeqCst);
    }
}
