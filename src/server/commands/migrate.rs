//! MIGRATE: keys to another Redis, over plain TCP.
//!
//! The engine's lock is held to read the keys and again to delete them; in between a task talks to the target, and
//! the client waits as one that waits for a key does.
//!
//! **Invariants.** Nothing uncommitted leaves. A key is deleted here only if the target acknowledged it and it is
//! still what was sent. Each of the tasks, of which there are few, ends by the timeout.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::base::limits::{BATCH_LEN_MAX, MIGRATIONS_MAX};
use crate::command::args as arg;
use crate::command::blocking::{self, Delivery, Parcel, Ran};
use crate::command::generic::view;
use crate::command::settings::notify;
use crate::command::{Args, Cursor, Fail};
use crate::engine::{Engine, Outcome};
use crate::mutation::Mutation;
use crate::rdb::payload;
use crate::resp::{Out, put_request};

use super::super::dispatch::{Exec, Handler};

/// Names and handlers.
pub const COMMANDS: &[(&str, Handler)] = &[("migrate", migrate)];

static SLOTS: Semaphore = Semaphore::const_new(MIGRATIONS_MAX);

/// What is sent at once, and what a reply's line may be long, bytes.
const CHUNK: usize = 64 * 1024;
const LINE_MAX: u64 = 1024;
/// The time that zero and negative ones stand for, milliseconds.
const TIMEOUT_DEFAULT: u64 = 1000;

const KEYS_AND_KEY: Fail = Fail::new(
    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
);
const NOT_IN_MULTI: Fail = Fail::new("ERR MIGRATE cannot be part of a transaction here");
const TOO_MANY: Fail = Fail::new("ERR too many MIGRATE at once: try again");
const TOO_LARGE: Fail =
    Fail::new("ERR the keys are larger than one MIGRATE may be: name fewer of them");
const CONNECTING: Fail = Fail::new("IOERR error or timeout connecting to the client");
const WRITING: Fail = Fail::new("IOERR error or timeout writing to target instance");
const READING: Fail = Fail::new("IOERR error or timeout reading from target instance");
const CHANGED: Fail = Fail::new(
    "ERR a key changed here while it was on its way: the target has the earlier value; migrate it again with REPLACE",
);

/// What MIGRATE was told.
struct Request<'a> {
    keys: Args<'a>,
    copy: bool,
    replace: bool,
    auth: Args<'a>,
    db: i64,
    timeout: Duration,
}

impl<'a> Request<'a> {
    fn parse(args: Args<'a>) -> Result<Request<'a>, Fail> {
        let (mut copy, mut replace) = (false, false);
        let (mut keys, mut auth): (Args<'_>, Args<'_>) = (&args[3..4], &[]);
        let mut options = Cursor::from(args, 6);
        while !options.is_empty() {
            if options.keyword("copy") {
                copy = true;
            } else if options.keyword("replace") {
                replace = true;
            } else if options.left() >= 2 && options.keyword("auth") {
                auth = &options.rest()[..1];
                options.next()?;
            } else if options.left() >= 3 && options.keyword("auth2") {
                auth = &options.rest()[..2];
                options.next()?;
                options.next()?;
            } else if options.keyword("keys") {
                if !args[3].is_empty() {
                    return Err(KEYS_AND_KEY);
                }
                keys = options.rest();
                break;
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        let ms = arg::int(args[5])?;
        Ok(Request {
            keys,
            copy,
            replace,
            auth,
            db: arg::int(args[4])?,
            timeout: Duration::from_millis(
                u64::try_from(ms)
                    .ok()
                    .filter(|&ms| ms > 0)
                    .unwrap_or(TIMEOUT_DEFAULT),
            ),
        })
    }
}

/// A key on its way, and what it was when it was read.
struct Item {
    key: Bytes,
    fingerprint: [u8; 32],
    expire_at: u64,
}

/// Everything that the task needs.
struct Job {
    engine: Arc<Engine>,
    address: (String, u16),
    timeout: Duration,
    /// The requests, and how many replies come before those to RESTORE.
    bytes: Vec<u8>,
    before: usize,
    items: Vec<Item>,
    copy: bool,
    db: u32,
    /// What must commit before anything is sent.
    era: u64,
    batch: u64,
}

fn migrate(exec: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let request = Request::parse(args)?;
    let db = exec.session.db;
    let limits = exec.core.ks.limits;
    let mut bytes = Vec::new();
    if !request.auth.is_empty() {
        put_request(&mut bytes, &[&[&b"AUTH"[..]], request.auth].concat());
    }
    put_request(&mut bytes, &[b"SELECT", request.db.to_string().as_bytes()]);
    let mut ctx = exec.core.ctx(db);
    let mut items = Vec::new();
    for &key in request.keys {
        let now = ctx.now;
        let Some(entry) = ctx.lookup(key) else {
            continue;
        };
        let ttl = match entry.expire_at {
            0 => 0,
            at => at.saturating_sub(now).max(1),
        };
        let (value, ttl) = (view(&entry.value), ttl.to_string());
        items.push(Item {
            key: Bytes::copy_from_slice(key),
            fingerprint: value.fingerprint(),
            expire_at: entry.expire_at,
        });
        let payload = payload::encode(value, &limits);
        let mut words = vec![b"RESTORE", key, ttl.as_bytes(), &payload];
        if request.replace {
            words.push(b"REPLACE");
        }
        put_request(&mut bytes, &words);
        if bytes.len() > BATCH_LEN_MAX {
            return Err(TOO_LARGE);
        }
    }
    exec.wait = ctx.wait;
    if items.is_empty() {
        out.simple("NOKEY");
        return Ok(());
    }
    if exec.session.in_exec {
        return Err(NOT_IN_MULTI);
    }
    let port = arg::int(args[2])?;
    let Ok(port) = u16::try_from(port) else {
        return Err(CONNECTING);
    };
    let slot = SLOTS.try_acquire().map_err(|_| TOO_MANY)?;
    let job = Job {
        engine: exec.server.engine.clone(),
        address: (String::from_utf8_lossy(args[1]).into_owned(), port),
        timeout: request.timeout,
        bytes,
        before: 1 + usize::from(!request.auth.is_empty()),
        items,
        copy: request.copy,
        db,
        era: exec.core.era(),
        // A batch from now on: its commit also proves that this node led when the keys were read.
        batch: exec.core.want_mark(),
    };
    let (parcel, mut reply) = (Arc::<Parcel>::default(), Out::new(out.proto()));
    exec.parcel = Some(parcel.clone());
    let args = blocking::own(args);
    tokio::spawn(async move {
        let started = Instant::now();
        let (era, wait) = match job.run().await {
            Ok(batch) => {
                reply.ok();
                batch
            }
            Err(fail) => {
                reply.error(fail.as_str());
                (0, 0)
            }
        };
        drop(slot);
        parcel.deliver(Delivery {
            reply: reply.take(),
            era,
            wait,
            ran: Some(Ran {
                args,
                took: started.elapsed(),
                denied: None,
            }),
        });
    });
    Ok(())
}

impl Job {
    /// Carries it out; the era and batch that the reply OK waits for.
    async fn run(self) -> Result<(u64, u64), Fail> {
        if !self.committed().await {
            return Err(Fail::UNKNOWN_OUTCOME);
        }
        let (taken, result) = self.send().await;
        if self.copy || taken.is_empty() {
            return result.map(|()| (0, 0));
        }
        let deleted = self.delete(&taken);
        result.and(deleted)
    }

    async fn committed(&self) -> bool {
        poll_fn(|cx| {
            if self.engine.outcome(self.era, self.batch) == Outcome::Pending {
                self.engine.lock().wait(self.batch, cx.waker());
            }
            match self.engine.outcome(self.era, self.batch) {
                Outcome::Pending => Poll::Pending,
                outcome => Poll::Ready(outcome == Outcome::Committed),
            }
        })
        .await
    }

    /// Sends all, reads all replies; which keys the target took, and whether all went well.
    async fn send(&self) -> (Vec<&Item>, Result<(), Fail>) {
        let connect = TcpStream::connect((self.address.0.as_str(), self.address.1));
        let Ok(Ok(mut stream)) = timeout(self.timeout, connect).await else {
            return (Vec::new(), Err(CONNECTING));
        };
        for chunk in self.bytes.chunks(CHUNK) {
            let written = timeout(self.timeout, stream.write_all(chunk)).await;
            if !matches!(written, Ok(Ok(()))) {
                return (Vec::new(), Err(WRITING));
            }
        }
        let mut stream = BufReader::new(stream);
        let (mut taken, mut refused, mut is_entered) = (Vec::new(), None, true);
        let before = std::iter::repeat_n(None, self.before);
        for item in before.chain(self.items.iter().map(Some)) {
            let mut line = String::new();
            let mut limited = (&mut stream).take(LINE_MAX);
            let read = timeout(self.timeout, limited.read_line(&mut line)).await;
            if !matches!(read, Ok(Ok(_))) || !line.ends_with('\n') {
                return (taken, Err(refused.unwrap_or(READING)));
            }
            match (line.strip_prefix('-'), item) {
                (Some(error), _) => {
                    let error = error.trim_end();
                    let text = format!("ERR Target instance replied with error: {error}");
                    refused.get_or_insert_with(|| Fail::text(text));
                    is_entered &= item.is_some();
                }
                // Where AUTH or SELECT was refused, the keys went elsewhere if anywhere.
                (None, Some(item)) if is_entered => taken.push(item),
                (None, _) => {}
            }
        }
        (taken, refused.map_or(Ok(()), Err))
    }

    /// Deletes what the target took.
    fn delete(&self, taken: &[&Item]) -> Result<(u64, u64), Fail> {
        let mut core = self.engine.lock();
        if !core.leading_role() {
            return Err(Fail::UNKNOWN_OUTCOME);
        }
        core.tick();
        let mut changed = false;
        let mut ctx = core.ctx(self.db);
        for item in taken {
            ctx.prepare(self.db, &item.key);
            let Some(entry) = ctx.peek(self.db, &item.key) else {
                continue;
            };
            let same = entry.expire_at == item.expire_at
                && view(&entry.value).fingerprint() == item.fingerprint;
            if !same {
                changed = true;
                continue;
            }
            let (db, key) = (self.db, &item.key[..]);
            ctx.apply(Mutation::Del { db, key })?;
            ctx.notify(notify::GENERIC, "del", key);
        }
        let wait = ctx.wait;
        core.serve_blocked();
        let wait = wait.max(core.settle_events());
        if changed {
            return Err(CHANGED);
        }
        Ok((core.era(), wait))
    }
}
