//! A shell for tests of commands: a line in, the reply as text out.
//!
//! **Invariant**: every command that a test runs is also held against what must always hold. Its
//! mutations are undone (the digest must be what it was), applied again, and applied to a follower;
//! all digests must agree, the kept ones and those computed afresh.
//!
//! Replies print on one line: `OK` a status, `-ERR …` an error, `5` an integer, `"text"` a bulk
//! string, `nil`, `nil*` a null array, `[a, b]`, `{k: v}`, `~[…]` a set, `>[…]` a push, `,1.5` a double,
//! `#t`, `(123` a big number, `=txt:"…"` verbatim text.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::ctx::{Stats, Watches};
use super::propagate::Record;
use super::settings::notify;
use super::turn::Event;
use super::{Blocking, Ctx, Gate, Settings, Tracking, Turn, handler, table};
use crate::data::Seed;
use crate::keyspace::{Effects, Keyspace};
use crate::mutation::Mutation;
use crate::mutation::codec::Reader;
use crate::resp::{Out, Parser, Proto, Value, parse_value};

/// A data set and a client of it.
pub struct Shell {
    pub ks: Keyspace,
    follower: Keyspace,
    gate: Gate,
    watches: Watches,
    tracking: Tracking,
    blocking: Blocking,
    pub settings: Settings,
    pub stats: Stats,
    rng: SmallRng,
    batch: u64,
    /// Service time, milliseconds.
    pub now: u64,
    pub db: u32,
    pub proto: Proto,
    /// Keyspace notifications of the last command as `event@db key`.
    pub events: Vec<String>,
    /// Mutations of the last command.
    pub mutations: usize,
}

impl Default for Shell {
    fn default() -> Self {
        Shell::new()
    }
}

impl Shell {
    /// 16 empty databases; the time is 1,000,000,000,000 ms.
    pub fn new() -> Shell {
        Shell {
            ks: Keyspace::new(16, Seed::new(1, 2)),
            follower: Keyspace::new(16, Seed::new(1, 2)),
            gate: Gate::default(),
            watches: Watches::default(),
            tracking: Tracking::default(),
            blocking: Blocking::default(),
            settings: Settings::default(),
            stats: Stats::default(),
            rng: SmallRng::seed_from_u64(7),
            batch: 0,
            now: 1_000_000_000_000,
            db: 0,
            proto: Proto::Resp2,
            events: Vec::new(),
            mutations: 0,
        }
    }

    /// The same, speaking RESP3.
    pub fn resp3() -> Shell {
        Shell {
            proto: Proto::Resp3,
            ..Shell::new()
        }
    }

    /// Runs a line as redis-cli reads it (quotes, `\x00` escapes) and renders the reply.
    pub fn run(&mut self, line: &str) -> String {
        let mut parser = Parser::new();
        let bytes = format!("{line}\r\n");
        let request = parser
            .next(bytes.as_bytes(), true)
            .expect("a line that can be read")
            .expect("a whole line");
        let text = request.unquoted.unwrap_or(bytes.as_bytes());
        let args: Vec<&[u8]> = request.args.iter().map(|s| &text[s.range()]).collect();
        self.call(&args)
    }

    /// Runs each line and renders all as `> line` with its reply beneath: for `expect!`.
    pub fn transcript(&mut self, lines: &str) -> String {
        let mut text = String::new();
        for line in lines.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let reply = self.run(line);
            text += &format!("> {line}\n{reply}\n");
        }
        text
    }

    /// Changes the data as some other command would.
    pub fn apply(&mut self, m: Mutation<'_>) {
        for ks in [&mut self.ks, &mut self.follower] {
            ks.apply(&m, &mut Effects::default())
                .expect("a mutation that fits");
        }
    }

    /// Whether what `run` does counts as a change of a key of database 0 for those who watch it.
    pub fn watched<R>(&mut self, key: &[u8], run: impl FnOnce(&mut Shell) -> R) -> bool {
        let dirty = Arc::new(AtomicBool::new(false));
        let expired = self.ks.entry(0, key).is_some_and(|e| e.expired(self.now));
        self.watches.add(0, key, expired, &dirty);
        run(self);
        dirty.load(Ordering::Relaxed)
    }

    /// Runs a command given by its arguments.
    pub fn call(&mut self, args: &[&[u8]]) -> String {
        render(&self.reply(args))
    }

    /// Runs a command and gives its reply as a value.
    pub fn reply(&mut self, args: &[&[u8]]) -> Value {
        self.events.clear();
        let spec = match table::resolve(args) {
            Ok(spec) => spec,
            Err(unknown) => {
                return Value::Error(String::from_utf8_lossy(&unknown.message(args)).into_owned());
            }
        };
        if !spec.accepts(args.len()) {
            return Value::Error(table::wrong_arity(spec));
        }
        let Some(run) = handler(spec.id) else {
            return Value::Error(format!("ERR no handler for {}", spec.full_name));
        };
        let before = self.ks.digest();
        let next_gen = self.ks.next_gen();
        self.batch += 1;
        let mut turn = Turn::new(self.batch);
        let mut out = Out::new(self.proto);
        let mut ctx = Ctx {
            ks: &mut self.ks,
            turn: &mut turn,
            gate: &mut self.gate,
            watches: &mut self.watches,
            tracking: &mut self.tracking,
            blocking: &mut self.blocking,
            record: &mut Record::default(),
            settings: &self.settings,
            stats: &mut self.stats,
            rng: &mut self.rng,
            db: self.db,
            now: self.now,
            standby: false,
            client: 0,
            no_touch: false,
            user: None,
            script: false,
            wait: 0,
            block: None,
            deleted: None,
        };
        if let Err(fail) = run(&mut ctx, args, &mut out) {
            out.clear();
            out.error(fail.as_str());
        }
        if let Some(block) = &ctx.block {
            assert!(out.is_empty(), "a command that waits writes no reply");
            out.simple(&format!("waits {} ms", block.timeout_ms));
        }
        let wait = ctx.wait;
        if !turn.is_empty() {
            assert_eq!(wait, self.batch, "a reply to a change waits for its batch");
        }
        self.gate.commit(self.batch);
        self.events = turn
            .events
            .iter()
            .map(|e| match e {
                Event::Keyspace { event, db, key, .. } => {
                    format!("{event}@{db} {}", String::from_utf8_lossy(key))
                }
                Event::Publish { channel, .. } => {
                    format!("publish {}", String::from_utf8_lossy(channel))
                }
                Event::Propagate(_) | Event::StreamEnds => "stream".into(),
                Event::Invalidate(told) => format!("invalidate {:?}", told.keys),
            })
            .collect();
        self.mutations = turn.count as usize;
        self.check(turn, before, next_gen, args);
        let (value, used) = parse_value(out.as_slice())
            .expect("a reply that can be read")
            .expect("a whole reply");
        assert_eq!(used, out.len(), "one command, one reply: {args:?}");
        value
    }

    /// Runs recorded commands and holds what Redis replied, and told subscribers, against what is replied and
    /// told here; how many there were. A record reads `> line`, the reply, and, where there is something to
    /// say, `  events: db/event key, …` and `  resp3: ` with the reply in RESP3.
    pub fn compare(records: &str) -> usize {
        let (mut shell, mut shell3) = (Shell::new(), Shell::resp3());
        shell.settings.notify =
            notify::KEYSPACE | notify::KEYEVENT | notify::ALL | notify::KEY_MISS;
        let mut lines = records.lines().peekable();
        let (mut compared, mut wrong) = (0, Vec::new());
        while let Some(line) = lines.next() {
            let command = line.strip_prefix("> ").expect("a command");
            let reply = lines.next().expect("a reply");
            let mut said = |what: &str| {
                lines
                    .next_if(|l| l.starts_with(what))
                    .map(|l| &l[what.len()..])
            };
            let told = said("  events: ").unwrap_or_default();
            let reply3 = said("  resp3: ").unwrap_or(reply);
            let got = shell.run(command);
            let events: Vec<String> = shell
                .events
                .iter()
                .filter_map(|e| {
                    let (event, rest) = e.split_once('@')?;
                    let (db, key) = rest.split_once(' ')?;
                    Some(format!("{db}/{event} {key}"))
                })
                .collect();
            let pairs = [
                (got, reply),
                (events.join(", "), told),
                (shell3.run(command), reply3),
            ];
            for (got, expected) in pairs {
                if got != expected {
                    wrong.push(format!("> {command}\n  {got}\n  not {expected}"));
                }
            }
            compared += 1;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        compared
    }

    fn check(&mut self, mut turn: Turn, before: u128, next_gen: u64, args: &[&[u8]]) {
        let name = String::from_utf8_lossy(args[0]).into_owned();
        let after = self.ks.digest();
        assert_eq!(self.ks.digest_slow(), after, "{name}: the digest kept");
        // Accesses are not replicated and would be lost by the undo, so a command that changes nothing is left alone.
        if turn.is_empty() {
            assert_eq!(before, after, "{name}: changed without a mutation");
            return;
        }
        let steps = turn.effects.undo.take().expect("an undoable turn");
        self.ks.undo(steps);
        self.ks.set_next_gen(next_gen);
        assert_eq!(self.ks.digest(), before, "{name}: undone");
        assert_eq!(self.ks.digest_slow(), before, "{name}: undone, afresh");
        for ks in [&mut self.ks, &mut self.follower] {
            let mut fx = Effects::default();
            for m in Reader::new(turn.mutations.bytes()) {
                ks.apply(&m.expect("a mutation"), &mut fx).expect("applies");
            }
            assert_eq!(ks.digest(), after, "{name}: applied from its mutations");
        }
        // Undoing may leave room in a value that it had not before, so the count is held against what is there.
        let entries = (0..self.ks.databases()).flat_map(|db| self.ks.db(db).table.iter());
        let bytes: u64 = entries.map(|e| e.bytes()).sum();
        assert_eq!(self.ks.bytes(), bytes, "{name}: the bytes counted");
    }
}

/// A reply on one line.
pub fn render(value: &Value) -> String {
    let list = |values: &[Value]| values.iter().map(render).collect::<Vec<_>>().join(", ");
    match value {
        Value::Simple(s) => s.clone(),
        Value::Error(e) => format!("-{e}"),
        Value::Int(i) => i.to_string(),
        Value::Bulk(b) => format!("\"{}\"", b.escape_ascii()),
        Value::Null => "nil".into(),
        Value::NullArray => "nil*".into(),
        Value::Array(v) => format!("[{}]", list(v)),
        Value::Set(v) => format!("~[{}]", list(v)),
        Value::Push(v) => format!(">[{}]", list(v)),
        Value::Map(pairs) => {
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(k, v)| format!("{}: {}", render(k), render(v)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Double(d) => format!(",{d}"),
        Value::Bool(b) => if *b { "#t" } else { "#f" }.into(),
        Value::BigNumber(n) => format!("({n}"),
        Value::Verbatim(f, t) => {
            format!("={}:\"{}\"", f.escape_ascii(), t.escape_ascii())
        }
        Value::Attribute(_, v) => render(v),
    }
}
