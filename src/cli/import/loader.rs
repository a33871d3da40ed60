//! Writes keys into the service: pipelined, a batch on its way while the next is made.
//!
//! Small values go as RESTORE, large ones in pieces by their types' own commands. What the service refuses is
//! noted with the key; what no further command can do better about (no memory, no primary) ends the import.

use std::collections::VecDeque;

use anyhow::{bail, ensure};

use super::report::Report;
use crate::cli::redis::Conn;
use crate::data::Limits;
use crate::rdb::{Value, file::Key, payload};
use crate::resp;

/// Bytes sent before answers are waited for.
const BATCH_LEN: usize = 1024 * 1024;
/// Requests sent before answers are waited for: their answers fit what a server holds back.
const BATCH_REQUESTS: usize = 4096;
/// Elements or bytes of a value above which it is written in pieces.
const WHOLE_ELEMENTS: usize = 100_000;
const WHOLE_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of one piece.
const PIECE_LEN: usize = 512 * 1024;

/// Refusals that say that nothing can be written now.
const HOPELESS: [&str; 7] = [
    "OOM",
    "LOADING",
    "MISCONF",
    "CLUSTERDOWN",
    "READONLY",
    "UNKNOWNOUTCOME",
    "NOAUTH",
];

/// Whether a refusal ends the import.
pub fn is_hopeless(error: &str) -> bool {
    HOPELESS.iter().any(|prefix| error.starts_with(prefix))
}

/// What the answer to a request is about.
enum About {
    /// A part of a key's value, its last or not.
    Key(u32, Vec<u8>),
    Select(u32),
    Function,
}

/// A service that is being written to.
pub struct Loader {
    pub service: Conn,
    db: Option<u32>,
    /// Requests made and not sent; requests sent whose answers did not come.
    made: VecDeque<About>,
    sent: VecDeque<About>,
    limits: Limits,
}

impl Loader {
    /// Over this connection.
    pub fn new(service: Conn) -> Loader {
        Loader {
            service,
            db: None,
            made: VecDeque::new(),
            sent: VecDeque::new(),
            limits: Limits::default(),
        }
    }

    /// Writes a key with its value.
    ///
    /// # Errors
    /// When the service is lost or takes nothing any more.
    pub fn put(&mut self, key: &Key, report: &mut Report) -> anyhow::Result<()> {
        if self.db != Some(key.db) {
            self.db = Some(key.db);
            self.made.push_back(About::Select(key.db));
            self.service
                .queue(&[b"SELECT", key.db.to_string().as_bytes()]);
        }
        if is_large(&key.value) {
            return self.put_pieces(key, report);
        }
        let payload = payload::encode(key.value.view(), &self.limits);
        let (ttl, idle, freq) = (
            key.expire_at.to_string(),
            key.idle.map(|n| n.to_string()),
            key.freq.map(|n| n.to_string()),
        );
        let mut words: Vec<&[u8]> = vec![b"RESTORE", &key.key, ttl.as_bytes(), &payload];
        words.extend([&b"REPLACE"[..], b"ABSTTL"]);
        if let Some(idle) = &idle {
            words.extend([b"IDLETIME", idle.as_bytes()]);
        } else if let Some(freq) = &freq {
            words.extend([b"FREQ", freq.as_bytes()]);
        }
        self.request(key, &words, report)
    }

    /// Loads a library of functions.
    ///
    /// # Errors
    /// As with [`Loader::put`].
    pub fn function(&mut self, code: &[u8], report: &mut Report) -> anyhow::Result<()> {
        self.service
            .queue(&[b"FUNCTION", b"LOAD", b"REPLACE", code]);
        self.made.push_back(About::Function);
        self.advance(report)
    }

    fn request(&mut self, key: &Key, words: &[&[u8]], report: &mut Report) -> anyhow::Result<()> {
        self.service.queue(words);
        self.made.push_back(About::Key(key.db, key.key.clone()));
        self.advance(report)
    }

    fn advance(&mut self, report: &mut Report) -> anyhow::Result<()> {
        if self.service.queued() >= BATCH_LEN || self.made.len() >= BATCH_REQUESTS {
            self.send(report)?;
        }
        Ok(())
    }

    /// Takes the answers to the last batch and sends the next.
    fn send(&mut self, report: &mut Report) -> anyhow::Result<()> {
        self.settle(report)?;
        self.service.send()?;
        self.sent = std::mem::take(&mut self.made);
        Ok(())
    }

    fn settle(&mut self, report: &mut Report) -> anyhow::Result<()> {
        while let Some(about) = self.sent.pop_front() {
            let resp::Value::Error(error) = self.service.reply()? else {
                continue;
            };
            match about {
                About::Select(db) => {
                    bail!("the service has no database {db} (its setting `databases`): {error}")
                }
                _ if is_hopeless(&error) => bail!("the service takes nothing any more: {error}"),
                About::Key(db, key) => report.skip(db, &key, &error),
                About::Function => report.skip_function(&error),
            }
        }
        Ok(())
    }

    /// Waits until all that was given is written.
    ///
    /// # Errors
    /// As with [`Loader::put`].
    pub fn finish(&mut self, report: &mut Report) -> anyhow::Result<()> {
        self.send(report)?;
        self.settle(report)?;
        ensure!(
            self.service.buffered().is_empty(),
            "an answer that was not asked for"
        );
        // Others use the connection from here on.
        self.db = None;
        Ok(())
    }

    fn put_pieces(&mut self, key: &Key, report: &mut Report) -> anyhow::Result<()> {
        self.request(key, &[b"DEL", &key.key], report)?;
        match &key.value {
            Value::Str(string) => {
                for piece in string.as_bytes().chunks(WHOLE_BYTES / 4) {
                    self.request(key, &[b"APPEND", &key.key, piece], report)?;
                }
            }
            Value::List(list) => {
                let mut pieces = Pieces::new(b"RPUSH", key);
                for element in list.iter() {
                    pieces.add(&[element], self, report)?;
                }
                pieces.end(self, report)?;
            }
            Value::Set(set) => {
                let mut pieces = Pieces::new(b"SADD", key);
                for member in set.iter() {
                    pieces.add(&[&member], self, report)?;
                }
                pieces.end(self, report)?;
            }
            Value::Hash(hash) => {
                let mut pieces = Pieces::new(b"HSET", key);
                for (field, value) in hash.iter() {
                    pieces.add(&[field, value], self, report)?;
                }
                pieces.end(self, report)?;
            }
            Value::ZSet(zset) => {
                let mut pieces = Pieces::new(b"ZADD", key);
                for (member, score) in zset.iter() {
                    let score = crate::base::number::format_double(score);
                    pieces.add(&[score.as_str().as_bytes(), member], self, report)?;
                }
                pieces.end(self, report)?;
            }
            Value::Stream(_) => {}
        }
        if key.expire_at != 0 {
            let at = key.expire_at.to_string();
            self.request(key, &[b"PEXPIREAT", &key.key, at.as_bytes()], report)?;
        }
        Ok(())
    }
}

/// Whether a value is written in pieces.
fn is_large(value: &Value) -> bool {
    let (elements, bytes) = match value {
        Value::Str(v) => return v.len() > WHOLE_BYTES,
        // No command adds what was pending where its entry is gone.
        Value::Stream(_) => return false,
        Value::List(v) => (v.len(), v.heap_bytes()),
        Value::Set(v) => (v.len(), v.heap_bytes()),
        Value::Hash(v) => (v.len(), v.heap_bytes()),
        Value::ZSet(v) => (v.len(), v.heap_bytes()),
    };
    elements > WHOLE_ELEMENTS || bytes > WHOLE_BYTES
}

/// A collection on its way in pieces.
struct Pieces<'a> {
    command: &'static [u8],
    key: &'a Key,
    words: Vec<Vec<u8>>,
    bytes: usize,
}

impl<'a> Pieces<'a> {
    fn new(command: &'static [u8], key: &'a Key) -> Self {
        Pieces {
            command,
            key,
            words: Vec::new(),
            bytes: 0,
        }
    }

    fn add(&mut self, words: &[&[u8]], to: &mut Loader, report: &mut Report) -> anyhow::Result<()> {
        self.bytes += words.iter().map(|w| w.len() + 16).sum::<usize>();
        self.words.extend(words.iter().map(|w| w.to_vec()));
        if self.bytes >= PIECE_LEN {
            self.end(to, report)?;
        }
        Ok(())
    }

    fn end(&mut self, to: &mut Loader, report: &mut Report) -> anyhow::Result<()> {
        if self.words.is_empty() {
            return Ok(());
        }
        let mut words: Vec<&[u8]> = vec![self.command, &self.key.key];
        words.extend(self.words.iter().map(Vec::as_slice));
        to.request(self.key, &words, report)?;
        self.words.clear();
        self.bytes = 0;
        Ok(())
    }
}
