//! The load: clients that write and read without pause, and remember what they were told.
//!
//! - Eight clients share keys whose histories are checked for linearizability.
//! - Journal writers set each key once: what was acknowledged must be there for ever.
//! - Movers transfer between accounts by EXEC and by a script; auditors read all accounts by EXEC and find the same sum.
//! - A queue, a stream and reads at standbys: `together.rs`.
//!
//! Always: one request or pipeline of a client is under way at a time, and none is sent twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;
use parking_lot::Mutex;
use pontoon::resp::Value;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::client::{Access, Client, Meaning, Request, meaning, request};
use crate::cluster::Service;
use crate::history::{Clock, Keys, Kind, Track};
use crate::model::{Op, Reply};
use crate::together::Together;

/// Clients of the keys whose histories are checked.
pub const CLIENTS: usize = 8;
/// Of them, those that connect to a node's own address; the others use the stable address.
const DIRECT: usize = 3;
const JOURNALISTS: usize = 3;
const MOVERS: usize = 2;
const AUDITORS: usize = 1;
const SCRIPTERS: usize = 1;
const PRODUCERS: usize = 2;
const CONSUMERS: usize = 2;
const APPENDERS: usize = 2;
const LOOKERS: usize = 2;
/// Accounts, and what is in all together.
const ACCOUNTS: usize = 8;
const SUM: i64 = 8000;
/// How long an entry of a journal lives, s: less than a wall clock jumps in a storm, longer than a round lasts.
const LIVES_S: &[u8] = b"3000";
/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two requests of a client: leaves the nodes the processor that they share with the load.
const THINK: Duration = Duration::from_micros(500);
/// The same of those whose keys are not searched.
const THINK_TOGETHER: Duration = Duration::from_millis(3);
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(20);

/// What became of a pipeline.
pub struct Outcome {
    /// When it was sent, and when the last reply came.
    pub call: u64,
    pub end: u64,
    /// `None`: not known. Nothing was sent where the worker could not connect; then there is no outcome at all.
    pub replies: Option<Vec<Value>>,
}

/// Where a client connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// The stable address.
    Stable,
    /// A data node's own address, counted among those that there are.
    Node(usize),
    /// A standby's own address, likewise.
    Standby(usize),
}

/// The journal of one writer.
#[derive(Default)]
pub struct Journal {
    /// Numbers that were acknowledged, and when.
    pub acknowledged: Vec<(u64, u64)>,
    /// Numbers whose outcome is not known.
    pub unknown: Vec<u64>,
}

/// What the clients share.
pub struct Shared {
    pub clock: Clock,
    pub keys: Keys,
    pub prefix: String,
    /// How old a standby's answer may be, nanoseconds.
    pub stale: u64,
    pub together: Together,
    stop: AtomicBool,
    /// Writes that were sent and not answered.
    in_flight: AtomicUsize,
    /// Every acknowledged write: when it was sent, and when it was acknowledged.
    acks: Mutex<Vec<(u64, u64)>>,
    journals: Vec<Mutex<Journal>>,
    /// What must not be: seen by clients while they ran.
    wrong: Mutex<Vec<String>>,
    exchanges: AtomicUsize,
    audits: AtomicUsize,
    /// Operations that were begun.
    begun: AtomicUsize,
    /// Those of them that were answered with no error.
    answered: AtomicUsize,
}

/// A running load.
pub struct Load {
    pub shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts every client. `prefix` is one that no earlier load of this cluster had.
    ///
    /// # Errors
    /// When the accounts cannot be made.
    pub fn start(folder: &Path, prefix: &str, stale: Duration, seed: u64) -> anyhow::Result<Load> {
        let stable = Service::read(folder)?.stable()?;
        let shared = Arc::new(Shared {
            clock: Clock::start(),
            keys: Keys::new(
                prefix,
                3,
                &[Kind::Register, Kind::Counter, Kind::Text, Kind::List],
            ),
            prefix: prefix.to_string(),
            stale: stale.as_nanos() as u64,
            together: Together::default(),
            stop: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            acks: Mutex::default(),
            journals: (0..JOURNALISTS).map(|_| Mutex::default()).collect(),
            wrong: Mutex::default(),
            exchanges: AtomicUsize::new(0),
            audits: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
        });
        let mut setup = vec![request([b"MULTI"])];
        for i in 0..ACCOUNTS {
            let each = (SUM / ACCOUNTS as i64).to_string();
            setup.push(request([b"SET", &shared.account(i), each.as_bytes()]));
        }
        setup.push(request([b"EXEC"]));
        let replies = Client::connect(&stable, PATIENCE)?.call(&setup)?;
        ensure!(
            matches!(replies.last(), Some(Value::Array(_))),
            "the accounts were not made: {replies:?}"
        );
        let mut threads = Vec::new();
        let mut spawn = |route: Route, think: Duration, work: fn(&mut Worker)| {
            let id = threads.len();
            let mut worker = Worker {
                shared: shared.clone(),
                id,
                folder: folder.to_path_buf(),
                route,
                client: None,
                rng: StdRng::seed_from_u64(seed ^ (id as u64) << 32),
                number: 0,
            };
            threads.push(std::thread::spawn(move || {
                while !worker.shared.stop.load(SeqCst) {
                    work(&mut worker);
                    std::thread::sleep(think);
                }
            }));
        };
        for i in 0..CLIENTS {
            let route = if i < DIRECT {
                Route::Node(i)
            } else {
                Route::Stable
            };
            spawn(route, THINK, Worker::use_key);
        }
        for _ in 0..JOURNALISTS {
            spawn(Route::Stable, THINK, Worker::write_journal);
        }
        for i in 0..MOVERS {
            let route = if i == 0 {
                Route::Node(0)
            } else {
                Route::Stable
            };
            spawn(route, THINK, Worker::transfer);
        }
        for _ in 0..AUDITORS {
            spawn(Route::Stable, THINK, Worker::audit);
        }
        for _ in 0..SCRIPTERS {
            spawn(Route::Stable, THINK_TOGETHER, Worker::transfer_by_script);
        }
        for (count, work) in [
            (PRODUCERS, Worker::produce as fn(&mut Worker)),
            (CONSUMERS, Worker::consume),
            (APPENDERS, Worker::add_entry),
        ] {
            for i in 0..count {
                // One of each at the stable address, the others at a node's own.
                let route = if i == 0 {
                    Route::Stable
                } else {
                    Route::Node(i)
                };
                spawn(route, THINK_TOGETHER, work);
            }
        }
        for i in 0..LOOKERS {
            spawn(Route::Standby(i), THINK_TOGETHER, Worker::look);
        }
        Ok(Load { shared, threads })
    }

    /// Ends every client. The load's histories are complete then.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.shared.wrong("a client of the harness panicked".into());
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Writes that were sent and are not answered now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(SeqCst)
    }

    /// Acknowledged writes so far.
    pub fn acknowledged(&self) -> usize {
        self.acks.lock().len()
    }

    /// Operations that were begun, and those of them that were answered with no error.
    pub fn operations(&self) -> (usize, usize) {
        (self.begun.load(SeqCst), self.answered.load(SeqCst))
    }

    /// A journal's entry that was acknowledged at about `now` less `bound`, or any one, with when it was acknowledged.
    pub fn entry_to_look_at(
        &self,
        now: u64,
        bound: u64,
        rng: &mut StdRng,
    ) -> Option<(Vec<u8>, u64)> {
        let journal = rng.random_range(0..JOURNALISTS);
        let acknowledged = &self.journals[journal].lock().acknowledged;
        let just = acknowledged.partition_point(|(_, end)| *end + bound < now);
        let i = match rng.random_bool(0.7) {
            true => just.checked_sub(1)?,
            false => rng.random_range(0..acknowledged.len().max(1)),
        };
        let (number, end) = acknowledged.get(i)?;
        Some((self.entry(journal, *number), *end))
    }

    /// Exchanges and audits that took place.
    pub fn transactions(&self) -> (usize, usize) {
        (self.exchanges.load(SeqCst), self.audits.load(SeqCst))
    }

    /// When the first write was acknowledged that was sent after `time`, if one was.
    pub fn first_ack_sent_after(&self, time: u64) -> Option<u64> {
        let acks = self.acks.lock();
        let after = acks.iter().filter(|(sent, _)| *sent > time);
        after.map(|(_, acked)| *acked).min()
    }

    /// The longest time without an acknowledgement from `time` on, until the latest.
    pub fn silence(&self, time: u64) -> u64 {
        let acks = self.acks.lock();
        let ends = acks.iter().map(|(_, acked)| *acked).filter(|t| *t >= time);
        let mut times: Vec<u64> = std::iter::once(time).chain(ends).collect();
        times.sort_unstable();
        let gaps = times.windows(2).map(|w| w[1] - w[0]);
        gaps.max().unwrap_or(0)
    }

    /// Waits for such an acknowledgement.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn wait_ack_after(&self, time: u64, limit: Duration) -> anyhow::Result<u64> {
        let until = Instant::now() + limit;
        loop {
            if let Some(acked) = self.first_ack_sent_after(time) {
                return Ok(acked);
            }
            ensure!(
                Instant::now() < until,
                "no write was acknowledged within {} s",
                limit.as_secs()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Notes what must not be.
    pub fn wrong(&self, what: String) {
        let mut wrong = self.wrong.lock();
        if wrong.len() < 100 {
            wrong.push(what);
        }
    }

    /// What was noted, which is forgotten here.
    pub fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut *self.wrong.lock())
    }

    fn account(&self, i: usize) -> Vec<u8> {
        format!("{}:account:{i}", self.prefix).into_bytes()
    }

    /// The key of a journal's entry; its value is the key's name.
    fn entry(&self, journal: usize, number: u64) -> Vec<u8> {
        format!("{}:journal:{journal}:{number}", self.prefix).into_bytes()
    }

    /// Journal entries with whether they were acknowledged.
    pub fn entries(&self) -> Vec<(Vec<u8>, bool)> {
        let mut entries = Vec::new();
        for (i, journal) in self.journals.iter().enumerate() {
            let journal = journal.lock();
            let acknowledged = journal.acknowledged.iter().map(|(n, _)| (n, true));
            let unknown = journal.unknown.iter().map(|n| (n, false));
            let all = acknowledged.chain(unknown);
            entries.extend(all.map(|(n, acked)| (self.entry(i, *n), acked)));
        }
        entries
    }

    /// The requests of an audit.
    pub fn audit(&self) -> Vec<Request> {
        let gets = (0..ACCOUNTS).map(|i| request([b"GET", &self.account(i)]));
        std::iter::once(request([b"MULTI"]))
            .chain(gets)
            .chain([request([b"EXEC"])])
            .collect()
    }

    /// Holds the replies of an audit against the sum.
    pub fn check_audit(&self, replies: &[Value]) {
        let Some(Value::Array(values)) = replies.last() else {
            return;
        };
        let sum: Option<i64> = values.iter().map(number_of).sum();
        if sum != Some(SUM) {
            self.wrong(format!(
                "the accounts hold {sum:?} together instead of {SUM}: {values:?}"
            ));
        }
        self.audits.fetch_add(1, SeqCst);
    }
}

/// The number that a reply is or has the digits of.
pub fn number_of(value: &Value) -> Option<i64> {
    if let Value::Int(number) = value {
        return Some(*number);
    }
    std::str::from_utf8(value.as_bytes()?).ok()?.parse().ok()
}

/// One client of the load.
pub struct Worker {
    pub shared: Arc<Shared>,
    pub id: usize,
    folder: PathBuf,
    route: Route,
    pub client: Option<Client>,
    pub rng: StdRng,
    pub number: u64,
}

impl Worker {
    /// Where to connect now: nodes come and go.
    fn access(&self) -> Option<Access> {
        let service = Service::read(&self.folder).ok()?;
        let (i, standbys) = match self.route {
            Route::Stable => return service.stable().ok(),
            Route::Standby(i) => (i, true),
            Route::Node(i) => (i, false),
        };
        let fits = |role: &str| role == "standby" || (!standbys && role != "witness");
        let nodes: Vec<_> = service.nodes.iter().filter(|n| fits(&n.role)).collect();
        let node = nodes.get(i % nodes.len().max(1))?;
        service.at(node.client_addr).ok()
    }

    /// Sends a pipeline; `None` where nothing was sent. `write` counts it as a write in flight.
    fn send(&mut self, requests: &[Request], write: bool) -> Option<Outcome> {
        if self.client.is_none() {
            let access = self.access();
            match access.and_then(|a| Client::connect(&a, PATIENCE).ok()) {
                Some(client) => self.client = Some(client),
                None => {
                    std::thread::sleep(AGAIN);
                    return None;
                }
            }
        }
        let client = self.client.as_mut()?;
        let shared = &self.shared;
        shared.in_flight.fetch_add(usize::from(write), SeqCst);
        let call = shared.clock.now();
        let replies = client.call(requests).ok();
        let end = shared.clock.now();
        let last = replies.as_ref().and_then(|r| r.last());
        let answered = last.is_some_and(|r| r.as_error().is_none());
        shared.begun.fetch_add(1, SeqCst);
        shared.answered.fetch_add(usize::from(answered), SeqCst);
        shared.in_flight.fetch_sub(usize::from(write), SeqCst);
        if replies.is_none() {
            self.client = None;
        }
        Some(Outcome { call, end, replies })
    }

    /// One command. `Some(None)`: its outcome is not known.
    pub fn command(&mut self, request: Request, write: bool) -> Option<(u64, u64, Option<Value>)> {
        let what = String::from_utf8_lossy(&request[0]).into_owned();
        let out = self.send(&[request], write)?;
        let Some(reply) = out.replies.and_then(|mut r| r.pop()) else {
            return Some((out.call, out.end, None));
        };
        if let Some(error) = reply.as_error() {
            match meaning(error) {
                Meaning::NotDone => return None,
                Meaning::Unknown => {}
                Meaning::Unexpected => self.shared.wrong(format!("{what} was told: {error}")),
            }
            return Some((out.call, out.end, None));
        }
        if write {
            self.acknowledged(out.call, out.end);
        }
        Some((out.call, out.end, Some(reply)))
    }

    fn acknowledged(&self, call: u64, end: u64) {
        self.shared.acks.lock().push((call, end));
    }

    fn fresh(&mut self) -> Vec<u8> {
        self.number += 1;
        format!("{}.{}", self.id, self.number).into_bytes()
    }

    /// One operation on a key whose history is checked.
    fn use_key(&mut self) {
        let track = self.shared.keys.pick(&mut self.rng);
        let name = track.name.as_bytes().to_vec();
        let draw = self.rng.random_range(0..10);
        let (request, op) = match track.kind {
            _ if draw < 4 => {
                self.read(&track);
                return;
            }
            Kind::Register if draw < 6 => return self.exchange(&track),
            Kind::Register => {
                let value = self.fresh();
                (request([b"SET", &name, &value]), Op::Set(value))
            }
            Kind::Counter => {
                let by =
                    // Seldom the same sum in two ways: then a total says which of those of unknown outcome took effect.
                    self.rng.random_range(-1_000_000..=1_000_000i64);
                let text = by.to_string();
                (request([b"INCRBY", &name, text.as_bytes()]), Op::Add(by))
            }
            Kind::Text => {
                let mut tail = self.fresh();
                tail.push(b' ');
                (request([b"APPEND", &name, &tail]), Op::Append(tail))
            }
            Kind::List => {
                let mut element = self.fresh();
                element.push(b' ');
                (request([b"RPUSH", &name, &element]), Op::Push(element))
            }
        };
        let Some((call, end, reply)) = self.command(request, true) else {
            return;
        };
        let reply = reply.and_then(|value| match (&op, value) {
            (Op::Set(_), Value::Simple(_)) => Some(Reply::Done),
            (_, Value::Int(n)) => Some(Reply::Number(n)),
            (_, other) => {
                self.shared.wrong(format!("{op:?} was told {other:?}"));
                None
            }
        });
        track.note(self.id, op, reply, call, end);
    }

    /// Reads a key; what it held, where that is known.
    fn read(&mut self, track: &Track) -> Option<crate::model::Value> {
        let (call, end, reply) = self.command(track.get(), false)?;
        let held = value_of(reply?)?;
        track.note(self.id, Op::Get, Some(Reply::Read(held.clone())), call, end);
        Some(held)
    }

    /// WATCH, GET, MULTI, SET, EXEC.
    fn exchange(&mut self, track: &Track) {
        let name = track.name.as_bytes();
        if self
            .command(request([b"WATCH", name]), false)
            .is_none_or(|r| r.2.is_none())
        {
            return;
        }
        let Some(from) = self.read(track) else {
            // The watch goes with the connection.
            self.client = None;
            return;
        };
        let to = self.fresh();
        let set = request([b"SET", name, &to]);
        let Some((call, end, done)) = self.transaction(vec![set]) else {
            return;
        };
        let reply = done.map(|_| Reply::Done);
        self.shared
            .exchanges
            .fetch_add(usize::from(reply.is_some()), SeqCst);
        track.note(self.id, Op::Exchange { from, to }, reply, call, end);
    }

    /// MULTI and EXEC around commands that write. `None`: refused, or not sent; `Some(None)`: its outcome is not known.
    fn transaction(&mut self, commands: Vec<Request>) -> Option<(u64, u64, Option<Vec<Value>>)> {
        let mut requests = vec![request([b"MULTI"])];
        let count = commands.len();
        requests.extend(commands);
        requests.push(request([b"EXEC"]));
        // A new connection watches nothing: what was watched on the old one is not guarded any more.
        self.client.as_ref()?;
        let out = self.send(&requests, true)?;
        let Some(mut replies) = out.replies else {
            return Some((out.call, out.end, None));
        };
        let last = replies.pop();
        match last {
            Some(Value::NullArray | Value::Null) => None,
            Some(Value::Array(results))
                if results.len() == count && results.iter().all(|r| r.as_error().is_none()) =>
            {
                self.acknowledged(out.call, out.end);
                Some((out.call, out.end, Some(results)))
            }
            Some(Value::Error(error)) => {
                let queued = replies.iter().skip(1);
                let executed = queued
                    .clone()
                    .any(|r| !matches!(r, Value::Error(_)) && *r != Value::Simple("QUEUED".into()));
                if executed {
                    self.shared.wrong(format!(
                        "commands between MULTI and EXEC were executed one by one: {replies:?}, then {error}"
                    ));
                }
                match meaning(&error) {
                    Meaning::NotDone => None,
                    Meaning::Unknown => Some((out.call, out.end, None)),
                    Meaning::Unexpected => {
                        self.shared
                            .wrong(format!("EXEC was told: {error} (before: {replies:?})"));
                        Some((out.call, out.end, None))
                    }
                }
            }
            other => {
                self.shared.wrong(format!("EXEC was told {other:?}"));
                Some((out.call, out.end, None))
            }
        }
    }

    /// One more entry of the journal.
    fn write_journal(&mut self) {
        let journal = self.id - CLIENTS;
        let key = self.shared.entry(journal, self.number);
        let set = request([b"SET", &key, &key, b"EX", LIVES_S]);
        if let Some((_, end, reply)) = self.command(set, true) {
            let mut journal = self.shared.journals[journal].lock();
            match reply {
                Some(_) => journal.acknowledged.push((self.number, end)),
                None => journal.unknown.push(self.number),
            }
            self.number += 1;
        }
    }

    /// Two accounts, and what goes from one to the other.
    pub fn transfer_of(&mut self) -> (Vec<u8>, Vec<u8>, i64) {
        let i = self.rng.random_range(0..ACCOUNTS);
        let j = (i + self.rng.random_range(1..ACCOUNTS)) % ACCOUNTS;
        let amount = self.rng.random_range(1..50i64);
        (self.shared.account(i), self.shared.account(j), amount)
    }

    /// A transfer between two accounts: guarded by WATCH, or by relative changes.
    fn transfer(&mut self) {
        let (from, to, amount) = self.transfer_of();
        if self.rng.random_bool(0.7) {
            let text = amount.to_string();
            if self.client.is_none() {
                self.command(request([b"PING"]), false);
            }
            self.transaction(vec![
                request([b"DECRBY", &from, text.as_bytes()]),
                request([b"INCRBY", &to, text.as_bytes()]),
            ]);
            return;
        }
        if self
            .command(request([b"WATCH", &from, &to]), false)
            .is_none_or(|r| r.2.is_none())
        {
            return;
        }
        let mut read = |key: &Vec<u8>| {
            let reply = self.command(request([b"GET", key]), false)?.2?;
            number_of(&reply)
        };
        let (Some(a), Some(b)) = (read(&from), read(&to)) else {
            self.client = None;
            return;
        };
        let (a, b) = ((a - amount).to_string(), (b + amount).to_string());
        self.transaction(vec![
            request([b"SET", &from, a.as_bytes()]),
            request([b"SET", &to, b.as_bytes()]),
        ]);
    }

    /// Reads all accounts at one moment.
    fn audit(&mut self) {
        let audit = self.shared.audit();
        if let Some(replies) = self.send(&audit, false).and_then(|o| o.replies) {
            self.shared.check_audit(&replies);
        }
    }
}

/// What a read of a key found; `None` where the reply is no value.
pub fn value_of(reply: Value) -> Option<crate::model::Value> {
    match reply {
        Value::Null => Some(None),
        Value::Bulk(bytes) => Some(Some(bytes)),
        Value::Array(items) => {
            let items: Option<Vec<&[u8]>> = items.iter().map(Value::as_bytes).collect();
            Some(Some(items?.concat()).filter(|all| !all.is_empty()))
        }
        _ => None,
    }
}
