//! Clients: what they ask, and what they were told.
//!
//! Always: nothing is sent twice. A reply that did not come, or that says so, leaves an outcome unknown; one that says that
//! nothing was done is held against that.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pontoon::resp::{Value, parse_value};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::model::{self, NEVER, Op, Operation, Reply};
use crate::net::{End, Net};
use crate::trace::Trace;

/// Clients; the checker decides histories of up to eight.
const CLIENTS: usize = 6;
/// Keys in use at a time.
const KEYS: usize = 6;
/// Operations and unknown outcomes after which a key is retired.
const OPS_MAX: usize = 300;
const UNKNOWN_MAX: usize = 8;
/// How long what fades lives, milliseconds of the service time: longer than any clock is wrong.
const LIFE_MS: i64 = 6 * 3_600_000;
/// How long a client waits for a reply.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Register,
    Counter,
    List,
    /// A register whose values expire, long after the world has ended.
    Fading,
}

struct Key {
    name: String,
    kind: Kind,
    issued: usize,
    unknown: usize,
}

/// What was seen so far. Shared by the clients.
pub struct Seen {
    rng: SmallRng,
    began: Instant,
    keys: Vec<Key>,
    made: usize,
    values: u64,
    /// Every key's history.
    pub histories: BTreeMap<String, Vec<Operation>>,
    kinds: BTreeMap<String, Kind>,
    /// Nodes that clients know.
    pub nodes: Vec<u64>,
    /// No more is asked.
    pub stop: bool,
    /// Acknowledged operations, and those of unknown outcome.
    pub acknowledged: u64,
    pub unknown: u64,
    /// Replies that no right server gives.
    pub wrong: Vec<String>,
}

/// The clients' host.
pub struct Clients {
    pub runtime: Runtime,
    pub local: LocalSet,
    pub seen: Arc<Mutex<Seen>>,
}

impl Clients {
    /// Starts them.
    pub fn start(seed: u64, net: &Net, nodes: Vec<u64>, trace: &Trace) -> Clients {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let local = LocalSet::new();
        let seen = Arc::new(Mutex::new(Seen {
            rng: SmallRng::seed_from_u64(seed),
            began: Instant::now(),
            keys: Vec::new(),
            made: 0,
            values: 0,
            histories: BTreeMap::new(),
            kinds: BTreeMap::new(),
            nodes,
            stop: false,
            acknowledged: 0,
            unknown: 0,
            wrong: Vec::new(),
        }));
        for number in 0..CLIENTS {
            let one = Client {
                number,
                net: net.clone(),
                seen: seen.clone(),
                trace: trace.clone(),
                stream: None,
            };
            local.spawn_local(one.run());
        }
        Clients {
            runtime,
            local,
            seen,
        }
    }

    /// Reads every key that was ever used once more, at one of the nodes. Ready when `done` says so.
    pub fn read_all(&self, net: &Net, trace: &Trace, done: Arc<Mutex<bool>>) {
        let (seen, net, trace) = (self.seen.clone(), net.clone(), trace.clone());
        self.local.spawn_local(async move {
            let names: Vec<_> = seen.lock().histories.keys().cloned().collect();
            let mut client = Client {
                number: CLIENTS,
                net,
                seen,
                trace,
                stream: None,
            };
            for name in names {
                let kind = client.seen.lock().kinds[&name];
                while !client.one(&name, kind, Op::Get).await {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            *done.lock() = true;
        });
    }
}

struct Client {
    number: usize,
    net: Net,
    seen: Arc<Mutex<Seen>>,
    trace: Trace,
    stream: Option<(u64, End, Vec<u8>)>,
}

fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// What a request came to.
enum Came {
    /// Replied.
    To(Reply),
    /// Not executed.
    Nothing,
    Unknown,
}

impl Client {
    async fn run(mut self) {
        loop {
            let (key, kind, op, pause) = {
                let mut seen = self.seen.lock();
                if seen.stop {
                    return;
                }
                seen.next()
            };
            tokio::time::sleep(pause).await;
            self.one(&key, kind, op).await;
        }
    }

    /// One operation; whether it was acknowledged.
    async fn one(&mut self, key: &str, kind: Kind, op: Op) -> bool {
        if self.stream.is_none() && self.connect().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return false;
        }
        let call = self.seen.lock().now();
        let came = tokio::time::timeout(PATIENCE, self.ask(key, kind, &op)).await;
        let (came, keep) = match came {
            Ok(Ok(came)) => (came, true),
            Ok(Err(_)) | Err(_) => (Came::Unknown, false),
        };
        let node = self.stream.as_ref().map_or(0, |s| s.0);
        if !keep {
            self.stream = None;
        }
        let reply = match came {
            Came::Nothing => {
                // Somewhere else it may go better.
                self.stream = None;
                return false;
            }
            Came::To(reply) => Some(reply),
            Came::Unknown => None,
        };
        let mut seen = self.seen.lock();
        let end = if reply.is_some() { seen.now() } else { NEVER };
        let operation = Operation {
            client: self.number,
            op,
            reply,
            call,
            end,
        };
        self.trace.note(|| format!("at {node}, {key}: {operation}"));
        let acknowledged = operation.reply.is_some();
        seen.note(key, operation);
        acknowledged
    }

    async fn connect(&mut self) -> io::Result<()> {
        let node = {
            let seen = &mut *self.seen.lock();
            seen.nodes[seen.rng.random_range(0..seen.nodes.len())]
        };
        let stream = self.net.client(node).await?;
        self.stream = Some((node, stream, Vec::new()));
        let auth = request(&[b"AUTH", b"secret"]);
        let greeted = tokio::time::timeout(PATIENCE, self.exchange(&auth)).await;
        if !matches!(greeted, Ok(Ok(Value::Simple(_)))) {
            self.stream = None;
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(())
    }

    async fn exchange(&mut self, bytes: &[u8]) -> io::Result<Value> {
        let (_, stream, input) = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        stream.write_all(bytes).await?;
        loop {
            if let Some((value, used)) = parse_value(input).map_err(io::Error::other)? {
                input.drain(..used);
                return Ok(value);
            }
            if stream.read_buf(input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Service time never goes back: what lives has no longer to live than when it was written, however wrong a clock is.
    async fn look_at_life(&mut self, key: &[u8]) -> io::Result<()> {
        if let Value::Int(left) = self.exchange(&request(&[b"PTTL", key])).await?
            && (left > LIFE_MS || left == -1)
        {
            let what = format!("expiry: a key that lives {LIFE_MS} ms has {left} ms left");
            self.seen.lock().wrong.push(what);
        }
        Ok(())
    }

    async fn ask(&mut self, key: &str, kind: Kind, op: &Op) -> io::Result<Came> {
        let key = key.as_bytes();
        let words = match (op, kind) {
            (Op::Get, Kind::List) => request(&[b"LRANGE", key, b"0", b"-1"]),
            (Op::Get, _) => request(&[b"GET", key]),
            (Op::Set(v), Kind::Fading) => {
                request(&[b"SET", key, v, b"PX", LIFE_MS.to_string().as_bytes()])
            }
            (Op::Set(v), _) => request(&[b"SET", key, v]),
            (Op::Add(by), _) => request(&[b"INCRBY", key, by.to_string().as_bytes()]),
            (Op::Push(v), _) => request(&[b"RPUSH", key, v]),
            (op, _) => return Err(io::Error::other(format!("{op:?} is not asked"))),
        };
        let reply = self.exchange(&words).await?;
        let text = match &reply {
            Value::Error(text) => {
                let text = text.to_string();
                return Ok(match text.split(' ').next().unwrap_or_default() {
                    "UNKNOWNOUTCOME" => Came::Unknown,
                    "CLUSTERDOWN" | "LOADING" => Came::Nothing,
                    _ => {
                        let node = self.stream.as_ref().map_or(0, |s| s.0);
                        let what = format!("node {node} answered {op:?}: {text}");
                        self.seen.lock().wrong.push(what);
                        Came::Unknown
                    }
                });
            }
            other => other,
        };
        if kind == Kind::Fading && matches!(op, Op::Get) {
            self.look_at_life(key).await?;
        }
        let told = match (op, text) {
            (Op::Get, Value::Bulk(bytes)) => Some(Reply::Read(Some(bytes.to_vec()))),
            (Op::Get, Value::Null) => Some(Reply::Read(None)),
            (Op::Get, Value::Array(items)) => {
                let mut all = Vec::new();
                for item in items {
                    if let Value::Bulk(bytes) = item {
                        all.extend_from_slice(bytes);
                    }
                }
                Some(Reply::Read((!items.is_empty()).then_some(all)))
            }
            (Op::Set(_), Value::Simple(_)) => Some(Reply::Done),
            (Op::Add(_) | Op::Push(_), Value::Int(n)) => Some(Reply::Number(*n)),
            _ => None,
        };
        match told {
            Some(reply) => Ok(Came::To(reply)),
            None => {
                self.seen.lock().wrong.push(format!("{op:?}: {reply:?}"));
                Ok(Came::Unknown)
            }
        }
    }
}

impl Seen {
    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn next(&mut self) -> (String, Kind, Op, Duration) {
        while self.keys.len() < KEYS {
            let kind = [Kind::Register, Kind::Counter, Kind::List, Kind::Fading][self.made % 4];
            self.made += 1;
            let name = format!("key-{}", self.made);
            self.kinds.insert(name.clone(), kind);
            self.keys.push(Key {
                name,
                kind,
                issued: 0,
                unknown: 0,
            });
        }
        let at = self.rng.random_range(0..KEYS);
        let key = &mut self.keys[at];
        key.issued += 1;
        self.values += 1;
        let number = self.values;
        let op = match (key.kind, self.rng.random_range(0..5)) {
            (_, 0 | 1) => Op::Get,
            (Kind::Register | Kind::Fading, _) => {
                // Of some length, so that the log grows.
                let mut value = format!("v{number}.").into_bytes();
                value.resize(self.rng.random_range(12..3500), b'.');
                Op::Set(value)
            }
            (Kind::Counter, _) => Op::Add(1 << self.rng.random_range(0..20)),
            (Kind::List, _) => Op::Push(format!("{number} ").into_bytes()),
        };
        let (name, kind) = (key.name.clone(), key.kind);
        if key.issued >= OPS_MAX || key.unknown >= UNKNOWN_MAX {
            self.keys.swap_remove(at);
        }
        let pause = Duration::from_micros(self.rng.random_range(0..10_000));
        (name, kind, op, pause)
    }

    fn note(&mut self, key: &str, operation: Operation) {
        match operation.reply {
            Some(_) => self.acknowledged += 1,
            // A read of unknown outcome says nothing.
            None if operation.op == model::Op::Get => return,
            None => {
                self.unknown += 1;
                if let Some(key) = self.keys.iter_mut().find(|k| k.name == key) {
                    key.unknown += 1;
                }
            }
        }
        self.histories
            .entry(key.to_owned())
            .or_default()
            .push(operation);
    }
}
