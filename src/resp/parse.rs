//! Bytes to requests, incrementally: arrays of bulk strings, and inline commands.
//!
//! Invariants: `next` answers the same however the bytes were cut into pieces; no byte of a bulk
//! string is looked at; what is remembered between calls grows with what was received, never with
//! what was declared. Error texts are those of Redis 7.2, since drivers and suites compare them.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::args::Args;
use crate::base::limits::{
    ARGS_MAX, BULK_LEN_MAX, LINE_LEN_MAX, REQUEST_LEN_MAX, UNAUTHENTICATED_ARGS_MAX,
    UNAUTHENTICATED_BULK_LEN_MAX,
};
use crate::base::number::parse_i64;

/// Where an argument lies, relative to the first byte of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// `len` bytes from `start`. Requests are bounded well below 4 GiB; see `REQUEST_LEN_MAX`.
    pub fn new(start: usize, len: usize) -> Self {
        let narrow = |n: usize| u32::try_from(n).expect("a request is bounded below 4 GiB");
        Self {
            start: narrow(start),
            len: narrow(len),
        }
    }

    /// Length, bytes.
    #[allow(clippy::len_without_is_empty)] // A place in a buffer, not a container.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// One past the last byte.
    pub fn end(self) -> usize {
        self.start as usize + self.len as usize
    }

    /// As indices.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end()
    }
}

/// A request that is complete in the buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The bytes of the buffer that it took; the next request begins after them.
    pub consumed: usize,
    /// Its arguments: in `unquoted` where that is given, else in the buffer. None at all for an
    /// empty line or an empty array, which Redis passes over in silence.
    pub args: &'a [Span],
    /// The arguments of an inline command, quotes and escapes resolved, one after the other.
    pub unquoted: Option<&'a [u8]>,
}

/// A request that breaks the protocol. The client is told `message`, then its connection closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error("too big inline request")]
    InlineTooBig,
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
    #[error("too big mbulk count string")]
    CountLineTooBig,
    #[error("invalid multibulk length")]
    InvalidCount,
    #[error("unauthenticated multibulk length")]
    UnauthenticatedCount,
    #[error("too big bulk count string")]
    LengthLineTooBig,
    #[error("expected '$', got '{}'", char::from(*.0))]
    ExpectedBulk(u8),
    #[error("invalid bulk length")]
    InvalidLength,
    #[error("unauthenticated bulk length")]
    UnauthenticatedLength,
    #[error("too big request")]
    RequestTooBig,
}

impl ProtocolError {
    /// The text of the error reply.
    pub fn message(self) -> Vec<u8> {
        if let Self::ExpectedBulk(byte) = self {
            // The client's own byte, which need not be ASCII.
            return [
                b"ERR Protocol error: expected '$', got '",
                &[byte][..],
                b"'",
            ]
            .concat();
        }
        format!("ERR Protocol error: {self}").into_bytes()
    }
}

/// What was understood so far of the request at the start of the buffer.
#[derive(Debug)]
pub struct Parser {
    /// The largest bulk string, bytes (proto-max-bulk-len).
    pub bulk_len_max: usize,
    /// The largest request, bytes (client-query-buffer-limit).
    pub request_len_max: usize,
    /// Up to here the buffer was understood.
    at: usize,
    /// Up to here no line end was found in the line that begins at `at`.
    searched: usize,
    /// Arguments that the array still lacks; None before its count was read.
    missing: Option<usize>,
    /// The length of the bulk string at `at`; None before it was read.
    bulk_len: Option<usize>,
    spans: Vec<Span>,
    unquoted: Vec<u8>,
    /// The request was answered; the next call begins anew.
    done: bool,
}

impl Default for Parser {
    fn default() -> Self {
        Parser {
            bulk_len_max: BULK_LEN_MAX,
            request_len_max: REQUEST_LEN_MAX,
            at: 0,
            searched: 0,
            missing: None,
            bulk_len: None,
            spans: Vec::new(),
            unquoted: Vec::new(),
            done: false,
        }
    }
}

/// Memory that one large request leaves behind is given back above this many arguments or bytes.
const KEPT_MAX: usize = 1024;

impl Parser {
    /// For a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Understands the request at the start of `buffer`. None: more bytes are needed, and `buffer`
    /// must begin with the same bytes next time. After a request the caller drops `consumed` bytes.
    /// Clients that have not authenticated are held to ten small arguments.
    ///
    /// # Errors
    /// The connection is to be closed after the error's `message`; the parser is of no further use.
    pub fn next(
        &mut self,
        buffer: &[u8],
        authenticated: bool,
    ) -> Result<Option<Request<'_>>, ProtocolError> {
        if self.done {
            self.reset();
        }
        let Some(&first) = buffer.first() else {
            return Ok(None);
        };
        if first != b'*' {
            return self.inline(buffer);
        }
        self.array(buffer, authenticated)
    }

    /// Takes the request at the start of `buffer` out of it, passing over empty ones.
    ///
    /// # Errors
    /// As `next`.
    pub fn take(
        &mut self,
        buffer: &mut BytesMut,
        authenticated: bool,
    ) -> Result<Option<Args>, ProtocolError> {
        loop {
            let (consumed, unquoted) = match self.next(buffer, authenticated)? {
                None => return Ok(None),
                Some(request) => (
                    request.consumed,
                    request.unquoted.map(Bytes::copy_from_slice),
                ),
            };
            let frame = buffer.split_to(consumed);
            if !self.spans.is_empty() {
                return Ok(Some(Args::new(
                    unquoted.unwrap_or_else(|| frame.freeze()),
                    &self.spans,
                )));
            }
        }
    }

    /// The least number of bytes that a request still lacks when `buffered` are there: a hint for
    /// how much to read, one at least. Declared by the client, so a reader bounds it.
    pub fn lacks(&self, buffered: usize) -> usize {
        match self.bulk_len {
            Some(len) if !self.done => (self.at + len + 2).saturating_sub(buffered).max(1),
            _ => 1,
        }
    }

    /// True between requests: nothing of a further one was understood.
    pub fn is_idle(&self) -> bool {
        self.done || (self.at == 0 && self.searched == 0)
    }

    fn reset(&mut self) {
        (
            self.at,
            self.searched,
            self.missing,
            self.bulk_len,
            self.done,
        ) = (0, 0, None, None, false);
        self.spans.clear();
        self.spans.shrink_to(KEPT_MAX);
        self.unquoted.clear();
        self.unquoted.shrink_to(KEPT_MAX);
    }

    /// The line at `at`, and moves behind it. A line ends at CR and whatever follows that, as in Redis.
    fn line<'b>(
        &mut self,
        buffer: &'b [u8],
        too_big: ProtocolError,
    ) -> Result<Option<&'b [u8]>, ProtocolError> {
        let from = self.searched.max(self.at);
        let found = buffer[from..]
            .iter()
            .position(|&byte| byte == b'\r')
            .map(|i| from + i);
        let end = found.unwrap_or(buffer.len());
        if end - self.at > LINE_LEN_MAX {
            return Err(too_big);
        }
        self.searched = end;
        if found.is_none() || end + 2 > buffer.len() {
            return Ok(None);
        }
        let line = &buffer[self.at..end];
        self.at = end + 2;
        Ok(Some(line))
    }

    fn array(
        &mut self,
        buffer: &[u8],
        authenticated: bool,
    ) -> Result<Option<Request<'_>>, ProtocolError> {
        let mut missing = match self.missing {
            Some(missing) => missing,
            None => {
                let Some(line) = self.line(buffer, ProtocolError::CountLineTooBig)? else {
                    return Ok(None);
                };
                let count = parse_i64(&line[1..]).ok_or(ProtocolError::InvalidCount)?;
                if count > ARGS_MAX as i64 {
                    return Err(ProtocolError::InvalidCount);
                }
                if count > UNAUTHENTICATED_ARGS_MAX as i64 && !authenticated {
                    return Err(ProtocolError::UnauthenticatedCount);
                }
                count.max(0) as usize
            }
        };
        while missing > 0 {
            let len = match self.bulk_len {
                Some(len) => len,
                None => {
                    self.missing = Some(missing);
                    let start = self.at;
                    let Some(line) = self.line(buffer, ProtocolError::LengthLineTooBig)? else {
                        return Ok(None);
                    };
                    // An empty line's CR stands where the dollar should.
                    let kind = buffer[start];
                    if kind != b'$' {
                        return Err(ProtocolError::ExpectedBulk(kind));
                    }
                    let len = parse_i64(&line[1..])
                        .and_then(|len| usize::try_from(len).ok())
                        .filter(|&len| len <= self.bulk_len_max)
                        .ok_or(ProtocolError::InvalidLength)?;
                    if len > UNAUTHENTICATED_BULK_LEN_MAX && !authenticated {
                        return Err(ProtocolError::UnauthenticatedLength);
                    }
                    if self.at + len > self.request_len_max {
                        return Err(ProtocolError::RequestTooBig);
                    }
                    len
                }
            };
            if buffer.len() < self.at + len + 2 {
                (self.missing, self.bulk_len) = (Some(missing), Some(len));
                return Ok(None);
            }
            self.spans.push(Span::new(self.at, len));
            self.at += len + 2;
            self.bulk_len = None;
            missing -= 1;
        }
        self.done = true;
        Ok(Some(Request {
            consumed: self.at,
            args: &self.spans,
            unquoted: None,
        }))
    }

    fn inline(&mut self, buffer: &[u8]) -> Result<Option<Request<'_>>, ProtocolError> {
        // A NUL hides the line end behind it, as it does in Redis, until the line is too long.
        let from = self.searched;
        let found = buffer[from..]
            .iter()
            .position(|&byte| matches!(byte, b'\n' | 0))
            .map(|i| from + i);
        let end = found.filter(|&end| buffer[end] == b'\n');
        if end.unwrap_or(buffer.len()) > LINE_LEN_MAX {
            return Err(ProtocolError::InlineTooBig);
        }
        self.searched = found.unwrap_or(buffer.len());
        let Some(end) = end else { return Ok(None) };
        let line = &buffer[..end];
        split_inline(
            line.strip_suffix(b"\r").unwrap_or(line),
            &mut self.unquoted,
            &mut self.spans,
        )?;
        self.done = true;
        Ok(Some(Request {
            consumed: end + 1,
            args: &self.spans,
            unquoted: Some(&self.unquoted),
        }))
    }
}

/// White space as C's isspace has it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Splits an inline command at white space. Within double quotes `\n \r \t \b \a \xHH` and an escaped
/// quote are resolved, within single quotes `\'` alone; a closing quote ends its word.
fn split_inline(
    line: &[u8],
    words: &mut Vec<u8>,
    spans: &mut Vec<Span>,
) -> Result<(), ProtocolError> {
    let at = |i: usize| line.get(i).copied();
    let hex = |i: usize| {
        at(i)
            .and_then(|byte| char::from(byte).to_digit(16))
            .map(|digit| digit as u8)
    };
    let mut i = 0;
    loop {
        while at(i).is_some_and(is_space) {
            i += 1;
        }
        if i == line.len() {
            return Ok(());
        }
        let start = words.len();
        let mut quote = None;
        loop {
            let Some(byte) = at(i) else {
                if quote.is_some() {
                    return Err(ProtocolError::UnbalancedQuotes);
                }
                break;
            };
            i += 1;
            match (quote, byte) {
                (Some(q), byte) if byte == q => {
                    if at(i).is_some_and(|next| !is_space(next)) {
                        return Err(ProtocolError::UnbalancedQuotes);
                    }
                    break;
                }
                (Some(b'"'), b'\\') => match (at(i), hex(i + 1), hex(i + 2)) {
                    (Some(b'x'), Some(high), Some(low)) => {
                        words.push(high * 16 + low);
                        i += 3;
                    }
                    (Some(escaped), ..) => {
                        words.push(match escaped {
                            b'n' => b'\n',
                            b'r' => b'\r',
                            b't' => b'\t',
                            b'b' => 0x08,
                            b'a' => 0x07,
                            other => other,
                        });
                        i += 1;
                    }
                    (None, ..) => words.push(byte),
                },
                (Some(b'\''), b'\\') if at(i) == Some(b'\'') => {
                    words.push(b'\'');
                    i += 1;
                }
                (Some(_), byte) => words.push(byte),
                (None, b'"' | b'\'') => quote = Some(byte),
                // Vertical tab and form feed separate words but do not end one, as in Redis.
                (None, b' ' | b'\n' | b'\r' | b'\t') => break,
                (None, byte) => words.push(byte),
            }
        }
        spans.push(Span::new(start, words.len() - start));
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
