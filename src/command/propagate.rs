//! What Redis's replication stream says of what was executed: the commands that a Redis replica runs to get the same
//! data. Recorded at the leader, only while somebody reads such a stream, and told at the commit.
//!
//! **Invariants.** A command that depends on time, chance or what waits is recorded by what came of it: with the
//! times, members and ids that were chosen. What was executed as one (a transaction, a script) is one [`Unit`].
//! Nothing here changes data; a command that is taken back takes its record back too.

use bytes::Bytes;

use super::Args;
use super::args::is;
use super::table::{Flags, Spec};
use crate::mutation::Mutation;
use crate::resp::{Value, parse_value};

/// Members of one SREM, as in Redis.
const SREM_MEMBERS: usize = 1024;

/// A command of the stream, to be run in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    pub db: u32,
    pub args: Vec<Bytes>,
}

/// Commands that take effect together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Counts the units of an engine: who began to read at one is not told of those before.
    pub number: u64,
    pub ops: Vec<Op>,
    /// They stand between MULTI and EXEC.
    pub together: bool,
}

/// The record of the unit that is being executed.
#[derive(Debug, Default)]
pub struct Record {
    /// Somebody reads the stream.
    pub on: bool,
    ops: Vec<Op>,
    /// Keys that were deleted since their time had come: said already.
    expired: Vec<(u32, Bytes)>,
    /// The command counts as one that changed something, though the data stayed as they were.
    touched: bool,
    number: u64,
}

impl Record {
    /// Where the record stands, for [`Record::truncate`].
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether nothing was recorded since the last unit.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Takes back what was recorded since then.
    pub fn truncate(&mut self, len: usize) {
        self.ops.truncate(len);
    }

    /// The number of the last unit.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// A key was deleted by the engine itself. `expired`: within a command, which found it so.
    pub fn deleted(&mut self, db: u32, key: &[u8], unlink: bool, expired: bool) {
        let key = Bytes::copy_from_slice(key);
        let args = vec![Bytes::from_static(removal(unlink)), key.clone()];
        self.ops.push(Op { db, args });
        if expired {
            self.expired.push((db, key));
        }
    }

    /// A command begins: what it finds expired is noted from here on.
    pub fn begin(&mut self) {
        self.expired.clear();
        self.touched = false;
    }

    /// The command counts as one that changed something.
    pub fn touched(&mut self) {
        self.touched = true;
    }

    /// A command ended: records what it changed.
    pub fn add(&mut self, done: &Done<'_>) {
        let mut expired = std::mem::take(&mut self.expired);
        let changes: Vec<Mutation<'_>> = done
            .changes
            .iter()
            .filter(|m| match m {
                Mutation::Del { db, key } => {
                    let at = expired.iter().position(|(d, k)| d == db && k == key);
                    at.inspect(|&at| drop(expired.swap_remove(at))).is_none()
                }
                _ => true,
            })
            .copied()
            .collect();
        let touched = std::mem::take(&mut self.touched);
        let said = done.said(&changes, touched);
        self.ops
            .extend(said.into_iter().map(|(db, args)| Op { db, args }));
    }

    /// The unit is over; `None`: it changed nothing.
    pub fn end(&mut self, together: bool) -> Option<Unit> {
        if self.ops.is_empty() {
            return None;
        }
        self.number += 1;
        let ops = std::mem::take(&mut self.ops);
        Some(Unit {
            number: self.number,
            together: together && ops.len() > 1,
            ops,
        })
    }

    /// What was recorded will not be committed.
    pub fn clear(&mut self) {
        self.ops.clear();
        self.expired.clear();
    }
}

fn removal(unlink: bool) -> &'static [u8] {
    if unlink { b"UNLINK" } else { b"DEL" }
}

/// A command that was executed.
pub struct Done<'a> {
    pub spec: &'static Spec,
    pub args: Args<'a>,
    pub db: u32,
    pub changes: Vec<Mutation<'a>>,
    /// Its reply, as it was encoded.
    pub reply: &'a [u8],
    /// lazyfree-lazy-expire and lazyfree-lazy-server-del: whether UNLINK is said for what they are about.
    pub unlink_expired: bool,
    pub unlink_replaced: bool,
    /// How many entries the stream has that is the command's first key.
    pub stream_len: usize,
    /// When that key expires.
    pub expire_at: u64,
}

type Said = Vec<(u32, Vec<Bytes>)>;

fn command(parts: &[&[u8]]) -> Vec<Bytes> {
    parts.iter().map(|p| Bytes::copy_from_slice(p)).collect()
}

fn number(n: impl std::fmt::Display) -> Vec<u8> {
    n.to_string().into_bytes()
}

fn id_text(id: u128) -> Vec<u8> {
    format!("{}-{}", (id >> 64) as u64, id as u64).into_bytes()
}

impl Done<'_> {
    fn one(&self, parts: &[&[u8]]) -> Said {
        vec![(self.db, command(parts))]
    }

    fn verbatim(&self) -> Said {
        self.one(self.args)
    }

    fn value(&self) -> Option<Value> {
        parse_value(self.reply)
            .ok()
            .flatten()
            .map(|(value, _)| value)
    }

    fn option(&self, from: usize, names: &[&str]) -> bool {
        let words = self.args.iter().skip(from);
        words.into_iter().any(|a| names.iter().any(|n| is(a, n)))
    }

    fn said(&self, changes: &[Mutation<'_>], touched: bool) -> Said {
        let name = self.spec.full_name;
        if self.reply.first() == Some(&b'-') && changes.is_empty() {
            return Vec::new();
        }
        match name {
            // What they run speaks for itself.
            "exec" | "eval" | "evalsha" | "fcall" | "eval_ro" | "evalsha_ro" | "fcall_ro" => {
                return Vec::new();
            }
            "publish" | "spublish" | "flushall" | "flushdb" => return self.verbatim(),
            _ => {}
        }
        if changes.is_empty() && !touched {
            return Vec::new();
        }
        if !self.spec.has(Flags::WRITE.union(Flags::MAY_REPLICATE)) {
            return from_changes(changes);
        }
        self.rewritten(name, changes)
            .unwrap_or_else(|| self.verbatim())
    }

    /// What is said in place of the command; `None`: it is said as it was asked.
    fn rewritten(&self, name: &str, changes: &[Mutation<'_>]) -> Option<Said> {
        let args = self.args;
        let key = *args.get(1)?;
        let expire_at = changes.iter().find_map(|m| match *m {
            Mutation::StrSet { expire_at: at, .. } | Mutation::Expire { at, .. } => Some(at),
            _ => None,
        });
        let deleted = changes.iter().any(|m| matches!(m, Mutation::Del { .. }));
        Some(match name {
            "set" if self.option(3, &["ex", "px", "exat"]) => {
                self.one(&[b"SET", key, args[2], b"PXAT", &number(expire_at?)])
            }
            "set" if self.option(3, &["get"]) => {
                let without = args.iter().enumerate();
                let kept: Vec<&[u8]> = without
                    .filter(|(at, a)| *at < 3 || !is(a, "get"))
                    .map(|(_, a)| *a)
                    .collect();
                self.one(&kept)
            }
            "setex" | "psetex" => self.one(&[b"SET", key, args[3], b"PXAT", &number(expire_at?)]),
            "getdel" => self.one(&[b"DEL", key]),
            "getex" if deleted => self.one(&[removal(self.unlink_expired), key]),
            "getex" if expire_at? == 0 => self.one(&[b"PERSIST", key]),
            "getex" => self.one(&[b"PEXPIREAT", key, &number(expire_at?)]),
            "expire" | "pexpire" | "expireat" | "pexpireat" => match deleted {
                true => self.one(&[removal(self.unlink_expired), key]),
                false => self.one(&[b"PEXPIREAT", key, &number(self.expire_at)]),
            },
            "incrbyfloat" => self.one(&[b"SET", key, self.value()?.as_bytes()?, b"KEEPTTL"]),
            "hincrbyfloat" => self.one(&[b"HSET", key, args[2], self.value()?.as_bytes()?]),
            "restore" | "restore-asking" => match expire_at {
                _ if args[2] == b"0" || self.option(4, &["absttl"]) && self.stays(changes) => {
                    return None;
                }
                Some(at) if self.stays(changes) => {
                    let at = number(at);
                    let mut parts = args.to_vec();
                    parts[2] = &at;
                    parts.push(b"ABSTTL");
                    self.one(&parts)
                }
                _ => self.one(&[removal(self.unlink_replaced), key]),
            },
            "spop" => return self.popped_members(key, changes),
            "lmpop" | "blmpop" | "zmpop" | "bzmpop" => return self.popped_several(name),
            "blpop" => self.one(&[b"LPOP", self.value()?.as_slice()?.first()?.as_bytes()?]),
            "brpop" => self.one(&[b"RPOP", self.value()?.as_slice()?.first()?.as_bytes()?]),
            "bzpopmin" => self.one(&[b"ZPOPMIN", self.value()?.as_slice()?.first()?.as_bytes()?]),
            "bzpopmax" => self.one(&[b"ZPOPMAX", self.value()?.as_slice()?.first()?.as_bytes()?]),
            "blmove" => self.one(&[b"LMOVE", key, args[2], args[3], args[4]]),
            "brpoplpush" => self.one(&[b"RPOPLPUSH", key, args[2]]),
            "xadd" => return self.added(changes),
            "xtrim" => self.trimmed(2),
            "geoadd" | "xreadgroup" | "xclaim" | "xautoclaim" | "migrate" => from_changes(changes),
            _ => return None,
        })
    }

    /// RESTORE made a key, and did not merely delete the one that it was to replace.
    fn stays(&self, changes: &[Mutation<'_>]) -> bool {
        changes.iter().any(|m| !matches!(m, Mutation::Del { .. }))
    }

    /// SPOP: the members that were chosen, or all of them.
    fn popped_members(&self, key: &[u8], changes: &[Mutation<'_>]) -> Option<Said> {
        let value = self.value()?;
        if self.args.len() == 2 {
            return Some(self.one(&[b"SREM", key, value.as_bytes()?]));
        }
        if matches!(changes, [Mutation::Del { .. }]) {
            return Some(self.one(&[removal(self.unlink_replaced), key]));
        }
        let members: Vec<&[u8]> = value
            .as_slice()?
            .iter()
            .filter_map(Value::as_bytes)
            .collect();
        let said = members.chunks(SREM_MEMBERS).map(|some| {
            let mut parts: Vec<&[u8]> = vec![b"SREM", key];
            parts.extend_from_slice(some);
            (self.db, command(&parts))
        });
        Some(said.collect())
    }

    /// LMPOP, ZMPOP and their waiting kin: from which key, and how many.
    fn popped_several(&self, name: &str) -> Option<Said> {
        let value = self.value()?;
        let [key, popped] = value.as_slice()? else {
            return None;
        };
        let count = number(popped.as_slice()?.len());
        // The number of keys stands behind the timeout, if there is one.
        let at = 1 + usize::from(name.starts_with('b'));
        let keys: usize = std::str::from_utf8(self.args.get(at)?).ok()?.parse().ok()?;
        let end = self.args.get(at.checked_add(keys)?.checked_add(1)?)?;
        let pop: &[u8] = match end {
            e if is(e, "left") => b"LPOP",
            e if is(e, "right") => b"RPOP",
            e if is(e, "min") => b"ZPOPMIN",
            _ => b"ZPOPMAX",
        };
        Some(self.one(&[pop, key.as_bytes()?, &count]))
    }

    /// XADD with the id that was made.
    fn added(&self, changes: &[Mutation<'_>]) -> Option<Said> {
        let id = changes.iter().find_map(|m| match *m {
            Mutation::StreamAdd { id, .. } => Some(id_text(id)),
            _ => None,
        })?;
        let mut at = 2;
        while let Some(word) = self.args.get(at) {
            at += match word {
                w if is(w, "nomkstream") => 1,
                w if is(w, "limit") => 2,
                w if is(w, "maxlen") || is(w, "minid") => {
                    let mark = self.args.get(at + 1)?;
                    2 + usize::from(*mark == b"~" || *mark == b"=")
                }
                _ => break,
            };
        }
        let (head, tail) = self.args.split_at_checked(at)?;
        let mut said = self.exactly(head, 2);
        said.push(Bytes::from(id));
        said.extend(command(tail.get(1..)?));
        Some(vec![(self.db, said)])
    }

    fn trimmed(&self, options: usize) -> Said {
        vec![(self.db, self.exactly(self.args, options))]
    }

    /// A trim that was approximate by the length that it left.
    fn exactly(&self, parts: &[&[u8]], options: usize) -> Vec<Bytes> {
        let Some(mark) = parts.iter().skip(options).position(|p| *p == b"~") else {
            return command(parts);
        };
        let mark = mark + options;
        let mut said = command(&parts[..mark - 1]);
        said.push(Bytes::from_static(b"MAXLEN"));
        said.push(Bytes::from_static(b"="));
        said.push(Bytes::from(number(self.stream_len)));
        let mut rest = parts.iter().skip(mark + 2);
        while let Some(part) = rest.next() {
            if is(part, "limit") {
                rest.next();
            } else {
                said.push(Bytes::copy_from_slice(part));
            }
        }
        said
    }
}

/// Changes as commands, for those whose own words would not do.
fn from_changes(changes: &[Mutation<'_>]) -> Said {
    use Mutation::*;
    let pending = changes.iter().any(|m| matches!(m, StreamPending { .. }));
    let last_of = |group: &[u8]| {
        changes.iter().rev().find_map(|m| match *m {
            StreamGroup { group: g, last, .. } if g == group => Some(id_text(last)),
            _ => None,
        })
    };
    let mut said = Said::new();
    for change in changes {
        let (db, parts) = match *change {
            StrSet {
                db,
                key,
                value,
                expire_at,
            } => {
                let mut parts = command(&[b"SET", key, value]);
                if expire_at != 0 {
                    parts.extend(command(&[b"PXAT", &number(expire_at)]));
                }
                (db, parts)
            }
            Del { db, key } => (db, command(&[b"DEL", key])),
            Expire { db, key, at: 0 } => (db, command(&[b"PERSIST", key])),
            Expire { db, key, at } => (db, command(&[b"PEXPIREAT", key, &number(at)])),
            HashSet {
                db,
                key,
                field,
                value,
            } => (db, command(&[b"HSET", key, field, value])),
            SetAdd { db, key, member } => (db, command(&[b"SADD", key, member])),
            ZSetAdd {
                db,
                key,
                member,
                score,
            } => {
                let score = crate::base::number::format_double(score);
                (
                    db,
                    command(&[b"ZADD", key, score.as_str().as_bytes(), member]),
                )
            }
            ListPush {
                db,
                key,
                front,
                value,
            } => {
                let push: &[u8] = if front { b"LPUSH" } else { b"RPUSH" };
                (db, command(&[push, key, value]))
            }
            StreamAck { db, key, group, id } => (db, command(&[b"XACK", key, group, &id_text(id)])),
            StreamPending {
                db,
                key,
                group,
                consumer,
                id,
                time,
                count,
            } => {
                let mut parts = command(&[b"XCLAIM", key, group, consumer, b"0", &id_text(id)]);
                parts.extend(command(&[
                    b"TIME",
                    &number(time),
                    b"RETRYCOUNT",
                    &number(count),
                ]));
                parts.extend(command(&[b"FORCE", b"JUSTID"]));
                if let Some(last) = last_of(group) {
                    parts.extend(command(&[b"LASTID", &last]));
                }
                (db, parts)
            }
            // A claim says these, too.
            StreamGroup { .. } | StreamConsumer { .. } if pending => continue,
            StreamGroup {
                db,
                key,
                group,
                last,
                read,
            } => {
                let mut parts = command(&[b"XGROUP", b"SETID", key, group, &id_text(last)]);
                if let Some(read) = read {
                    parts.extend(command(&[b"ENTRIESREAD", &number(read)]));
                }
                (db, parts)
            }
            StreamConsumer {
                db,
                key,
                group,
                consumer,
                ..
            } => (
                db,
                command(&[b"XGROUP", b"CREATECONSUMER", key, group, consumer]),
            ),
            _ => continue,
        };
        said.push((db, parts));
    }
    said
}
