//! One connection to a server, over TLS or plain, and replies as they stood on the wire.
//!
//! Always: a reply keeps its type byte, so that a status and a bulk string of the same text differ.

use std::fmt;
use std::io::{BufReader, Read, Write};

use anyhow::{Context, bail, ensure};

/// A command and its arguments.
pub type Request = Vec<Vec<u8>>;

/// What a connection runs over.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A reply: its type byte, its text, or its items (of a map: key, value, key, value).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reply {
    pub kind: u8,
    pub text: Vec<u8>,
    pub items: Vec<Reply>,
}

impl Reply {
    /// Several replies as one.
    pub fn of(items: Vec<Reply>) -> Reply {
        Reply {
            kind: b'*',
            text: Vec::new(),
            items,
        }
    }

    /// Whether this text stands in it.
    fn has(&self, text: &[u8]) -> bool {
        self.text == text || self.items.iter().any(|item| item.has(text))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(self.kind))?;
        if matches!(self.kind, b'*' | b'%' | b'~' | b'>') && self.text.is_empty() {
            return f.debug_list().entries(&self.items).finish();
        }
        write!(f, "{}", self.text.escape_ascii())
    }
}

/// A connection: one request at a time.
pub struct Conn {
    stream: BufReader<Box<dyn Stream>>,
}

impl Conn {
    /// Talks over this stream.
    pub fn new(stream: Box<dyn Stream>) -> Conn {
        Conn {
            stream: BufReader::new(stream),
        }
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// When the connection is gone or silent, or what comes is no reply.
    pub fn call(&mut self, request: &[Vec<u8>]) -> anyhow::Result<Reply> {
        self.send(request)?;
        self.reply()
            .with_context(|| format!("after {}", line(request)))
    }

    /// Sends a request; see [`Conn::upto_mark`] for its replies.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, request: &[Vec<u8>]) -> anyhow::Result<()> {
        let mut bytes = format!("*{}\r\n", request.len()).into_bytes();
        for word in request {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        let stream = self.stream.get_mut();
        stream.write_all(&bytes)?;
        stream.flush()?;
        Ok(())
    }

    /// Sends a request and reads all replies to it: those before the reply to a PING that follows.
    ///
    /// # Errors
    /// As [`Conn::call`].
    pub fn upto_mark(&mut self, request: &[Vec<u8>]) -> anyhow::Result<Vec<Reply>> {
        self.send(request)?;
        // A reply was told to be left out: then there is none to the mark either.
        let silent = |word: &[u8]| request.iter().any(|w| w.eq_ignore_ascii_case(word));
        if request[0] == b"CLIENT" && (silent(b"SKIP") || silent(b"OFF")) && silent(b"REPLY") {
            return Ok(Vec::new());
        }
        self.rest()
            .with_context(|| format!("after {}", line(request)))
    }

    /// Reads what comes before the reply to a PING.
    ///
    /// # Errors
    /// As [`Conn::call`].
    pub fn rest(&mut self) -> anyhow::Result<Vec<Reply>> {
        const MARK: &[u8] = b"the-mark";
        self.send(&[b"PING".to_vec(), MARK.to_vec()])?;
        let mut replies = Vec::new();
        loop {
            let reply = self.reply()?;
            // A user who may not PING is told so.
            let refused = reply.kind == b'-' && reply.text.ends_with(b"the 'ping' command");
            if refused || reply.has(MARK) {
                return Ok(replies);
            }
            replies.push(reply);
        }
    }

    /// Sends a request of these words.
    ///
    /// # Errors
    /// As [`Conn::call`].
    pub fn words(&mut self, words: &[&str]) -> anyhow::Result<Reply> {
        let request: Request = words.iter().map(|w| w.as_bytes().to_vec()).collect();
        self.call(&request)
    }

    fn header(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(b"\r\n") {
            self.stream.read_exact(&mut byte)?;
            text.push(byte[0]);
        }
        text.truncate(text.len() - 2);
        Ok(text)
    }

    fn reply(&mut self) -> anyhow::Result<Reply> {
        let head = self.header()?;
        let (&kind, text) = head.split_first().context("an empty line")?;
        let mut reply = Reply {
            kind,
            text: text.to_vec(),
            items: Vec::new(),
        };
        match kind {
            b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => return Ok(reply),
            b'$' | b'=' | b'*' | b'%' | b'~' | b'>' => {}
            other => bail!("a reply of type {:?}", char::from(other)),
        }
        let count: i64 = std::str::from_utf8(text)?.parse()?;
        if count < 0 {
            return Ok(reply);
        }
        reply.text.clear();
        if matches!(kind, b'$' | b'=') {
            (&mut self.stream)
                .take(count.unsigned_abs())
                .read_to_end(&mut reply.text)?;
            ensure!(self.header()?.is_empty(), "no end after a bulk string");
            return Ok(reply);
        }
        let items = if kind == b'%' { count * 2 } else { count };
        for _ in 0..items {
            reply.items.push(self.reply()?);
        }
        Ok(reply)
    }
}

/// A request as one line of redis-cli.
pub fn line(request: &[Vec<u8>]) -> String {
    let plain = |w: &Vec<u8>| {
        !w.is_empty()
            && w.iter()
                .all(|b| b.is_ascii_graphic() && !b"\"'\\".contains(b))
    };
    let word = |w: &Vec<u8>| match plain(w) {
        true => String::from_utf8_lossy(w).into_owned(),
        false => format!("\"{}\"", w.escape_ascii()),
    };
    request.iter().map(word).collect::<Vec<_>>().join(" ")
}
