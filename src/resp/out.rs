//! Replies to bytes: one growable buffer that commands append to, aware of the protocol version.
//!
//! Invariants: text that a client or a key supplied cannot end a line early (errors and status
//! replies lose their CR and LF), and a buffer cut back to an earlier `len` is as if nothing had
//! been written since. RESP3 types that RESP2 lacks fall back to what Redis sends to RESP2 clients.

use bytes::{BufMut, BytesMut};

use crate::base::limits::REPLY_LEN_MAX;
use crate::base::number::{self, LongDouble};

/// The protocol version of a connection; HELLO changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Proto {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

/// Where an aggregate of yet unknown length began; see [`Out::deferred`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an aggregate that was begun must be ended"]
pub struct Deferred {
    at: usize,
}

/// Builds replies. Cheap to write small replies to; grows as needed.
#[derive(Debug, Default)]
pub struct Out {
    buffer: BytesMut,
    proto: Proto,
    errors: u64,
    overflown: bool,
}

/// The bytes kept free for the header of a deferred aggregate: `*N\r\n` with one digit, which most have.
const DEFERRED_HEADER_LEN: usize = 4;

impl Out {
    /// An empty buffer that writes `proto`.
    pub fn new(proto: Proto) -> Self {
        Self {
            buffer: BytesMut::new(),
            proto,
            errors: 0,
            overflown: false,
        }
    }

    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(proto: Proto, capacity: usize) -> Self {
        Self {
            buffer: BytesMut::with_capacity(capacity),
            proto,
            errors: 0,
            overflown: false,
        }
    }

    /// The version that replies are written in.
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// Whether replies are written in RESP3.
    pub fn is_resp3(&self) -> bool {
        self.proto == Proto::Resp3
    }

    /// Changes the version for what is written from now on (HELLO).
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    /// Bytes written and not taken.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// True where nothing was written since the last `take`.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// What was written and not taken.
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer
    }

    /// Rolls back to an earlier `len`: the partial reply since then is forgotten.
    pub fn truncate(&mut self, len: usize) {
        self.buffer.truncate(len);
    }

    /// Forgets everything written, keeps the room.
    pub fn clear(&mut self) {
        self.buffer.clear();
    }

    /// Takes everything written; the buffer is empty afterwards.
    pub fn take(&mut self) -> BytesMut {
        self.buffer.split()
    }

    /// The buffer itself, for a session that writes it to a socket and advances it.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// How many error replies were ever written here, nested ones included. The caller compares
    /// before and after a command (error statistics, failed calls).
    pub fn error_count(&self) -> u64 {
        self.errors
    }

    /// Appends a reply that is already encoded in this protocol version.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.buffer.extend_from_slice(encoded);
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.buffer.extend_from_slice(b"+OK\r\n");
    }

    /// A status reply: `+text`.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error reply. The text carries its prefix: `ERR syntax error`, `WRONGTYPE Operation …`.
    pub fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// An error reply whose text quotes bytes of the client (they need not be UTF-8).
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.errors += 1;
        self.line(b'-', text);
    }

    /// An integer reply.
    pub fn int(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// An integer reply for a length or a count.
    pub fn len_int(&mut self, value: usize) {
        self.header(b':', i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// Whether since the last call something was left out, because there was too much: the reply is to be replaced.
    pub fn take_overflown(&mut self) -> bool {
        std::mem::take(&mut self.overflown)
    }

    /// A bulk string.
    pub fn bulk(&mut self, value: &[u8]) {
        if self.buffer.len() + value.len() > REPLY_LEN_MAX {
            self.overflown = true;
            return;
        }
        self.buffer.reserve(value.len() + 24);
        self.header(b'$', value.len() as i64);
        self.buffer.put_slice(value);
        self.buffer.put_slice(b"\r\n");
    }

    /// A bulk string that holds an integer's decimal text.
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A bulk string that holds an unsigned integer's decimal text.
    pub fn bulk_uint(&mut self, value: u64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A bulk string that holds a double's text, in both protocols.
    pub fn bulk_double(&mut self, value: f64) {
        self.bulk(&number::format_double(value));
    }

    /// A bulk string that holds what `value` displays as.
    pub fn bulk_display(&mut self, value: impl std::fmt::Display) {
        self.bulk(value.to_string().as_bytes());
    }

    /// A bulk string, or the null where there is none.
    pub fn bulk_or_null(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bulk(value),
            None => self.null(),
        }
    }

    /// The null: `$-1` in RESP2, `_` in RESP3.
    pub fn null(&mut self) {
        self.buffer.extend_from_slice(match self.proto {
            Proto::Resp2 => b"$-1\r\n",
            Proto::Resp3 => b"_\r\n",
        });
    }

    /// The null where an array was asked for: `*-1` in RESP2, `_` in RESP3.
    pub fn null_array(&mut self) {
        self.buffer.extend_from_slice(match self.proto {
            Proto::Resp2 => b"*-1\r\n",
            Proto::Resp3 => b"_\r\n",
        });
    }

    /// Begins an array; `n` replies follow.
    pub fn array(&mut self, n: usize) {
        self.header(b'*', n as i64);
    }

    /// Begins a map; `pairs` times a key and a value follow. RESP2 sees an array of twice that.
    pub fn map(&mut self, pairs: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', 2 * pairs as i64),
            Proto::Resp3 => self.header(b'%', pairs as i64),
        }
    }

    /// Begins a set; `n` replies follow. RESP2 sees an array.
    pub fn set(&mut self, n: usize) {
        self.header(self.either(b'*', b'~'), n as i64);
    }

    /// Begins a push, which is no reply to a command; `n` replies follow. RESP2 sees an array.
    pub fn push(&mut self, n: usize) {
        self.header(self.either(b'*', b'>'), n as i64);
    }

    /// Begins an attribute, which precedes a reply; `pairs` times a key and a value follow.
    /// RESP2 has none: false then, nothing was written, and the pairs must not follow.
    #[must_use = "in RESP2 the pairs must not be written"]
    pub fn attribute(&mut self, pairs: usize) -> bool {
        if self.is_resp3() {
            self.header(b'|', pairs as i64);
        }
        self.is_resp3()
    }

    /// A double, as ZSCORE replies: a bulk string in RESP2, `,` in RESP3; the same digits in both.
    pub fn double(&mut self, value: f64) {
        self.double_text(&number::format_double(value));
    }

    /// A long double without exponent, as INCRBYFLOAT's kin reply.
    pub fn human_double(&mut self, value: LongDouble) {
        let text = value.to_human();
        self.double_text(text.as_bytes());
    }

    /// A boolean: `:1` and `:0` in RESP2, `#t` and `#f` in RESP3.
    pub fn bool(&mut self, value: bool) {
        self.buffer.extend_from_slice(match (self.proto, value) {
            (Proto::Resp2, false) => b":0\r\n",
            (Proto::Resp2, true) => b":1\r\n",
            (Proto::Resp3, false) => b"#f\r\n",
            (Proto::Resp3, true) => b"#t\r\n",
        });
    }

    /// A text with its format (`txt` or `mkd`); RESP2 sees a bulk string.
    pub fn verbatim(&mut self, format: [u8; 3], text: &[u8]) {
        match self.proto {
            Proto::Resp2 => self.bulk(text),
            Proto::Resp3 => {
                if self.buffer.len() + text.len() > REPLY_LEN_MAX {
                    self.overflown = true;
                    return;
                }
                self.buffer.reserve(text.len() + 32);
                self.header(b'=', text.len() as i64 + 4);
                self.buffer.put_slice(&format);
                self.buffer.put_u8(b':');
                self.buffer.put_slice(text);
                self.buffer.put_slice(b"\r\n");
            }
        }
    }

    /// An integer of any size, given as its digits; RESP2 sees a bulk string.
    pub fn big_number(&mut self, digits: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(digits.as_bytes()),
            Proto::Resp3 => self.line(b'(', digits.as_bytes()),
        }
    }

    /// Begins an aggregate whose length is known later only: write its elements, then call one of
    /// the `end_*` methods. They nest; ends must come in reverse order of begins. A reply that is
    /// abandoned needs no end, only a `truncate`.
    pub fn deferred(&mut self) -> Deferred {
        let at = self.buffer.len();
        self.buffer.extend_from_slice(&[0; DEFERRED_HEADER_LEN]);
        Deferred { at }
    }

    /// Ends a deferred array of `n` replies.
    pub fn end_array(&mut self, begun: Deferred, n: usize) {
        self.patch(begun, b'*', n);
    }

    /// Ends a deferred map of `pairs` keys and values.
    pub fn end_map(&mut self, begun: Deferred, pairs: usize) {
        match self.proto {
            Proto::Resp2 => self.patch(begun, b'*', 2 * pairs),
            Proto::Resp3 => self.patch(begun, b'%', pairs),
        }
    }

    /// Ends a deferred set of `n` replies.
    pub fn end_set(&mut self, begun: Deferred, n: usize) {
        self.patch(begun, self.either(b'*', b'~'), n);
    }

    /// Ends a deferred push of `n` replies.
    pub fn end_push(&mut self, begun: Deferred, n: usize) {
        self.patch(begun, self.either(b'*', b'>'), n);
    }

    fn either(&self, resp2: u8, resp3: u8) -> u8 {
        match self.proto {
            Proto::Resp2 => resp2,
            Proto::Resp3 => resp3,
        }
    }

    fn double_text(&mut self, text: &[u8]) {
        match self.proto {
            Proto::Resp2 => self.bulk(text),
            Proto::Resp3 => self.line(b',', text),
        }
    }

    /// `<kind><value>\r\n` in one copy: it begins nearly every reply.
    #[inline]
    fn header(&mut self, kind: u8, value: i64) {
        if (0..10).contains(&value) {
            self.buffer
                .extend_from_slice(&[kind, b'0' + value as u8, b'\r', b'\n']);
            return;
        }
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value).as_bytes();
        let mut line = [0; 24];
        line[0] = kind;
        line[1..=digits.len()].copy_from_slice(digits);
        line[1 + digits.len()] = b'\r';
        line[2 + digits.len()] = b'\n';
        self.buffer.extend_from_slice(&line[..digits.len() + 3]);
    }

    /// `<kind><text>\r\n`; line ends at the end of the text are dropped, others become spaces.
    fn line(&mut self, kind: u8, text: &[u8]) {
        let end = text
            .iter()
            .rposition(|&b| b != b'\r' && b != b'\n')
            .map_or(0, |last| last + 1);
        let text = &text[..end];
        self.buffer.reserve(text.len() + 3);
        self.buffer.put_u8(kind);
        let start = self.buffer.len();
        self.buffer.put_slice(text);
        for byte in &mut self.buffer[start..] {
            if matches!(*byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.buffer.put_slice(b"\r\n");
    }

    /// Writes the header of a deferred aggregate. Fewer than ten elements fit where room was left;
    /// for more, what follows moves by the additional digits once.
    fn patch(&mut self, begun: Deferred, kind: u8, n: usize) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(n).as_bytes();
        let (start, end) = (begun.at, self.buffer.len());
        let more = digits.len() - 1;
        if more > 0 {
            self.buffer.put_bytes(0, more);
            let body = start + DEFERRED_HEADER_LEN;
            self.buffer.copy_within(body..end, body + more);
        }
        let line = &mut self.buffer[start..start + DEFERRED_HEADER_LEN + more];
        line[0] = kind;
        line[1..=digits.len()].copy_from_slice(digits);
        line[1 + digits.len()..].copy_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(proto: Proto, write: impl FnOnce(&mut Out), expected: &str) {
        let mut out = Out::new(proto);
        write(&mut out);
        assert_eq!(
            String::from_utf8_lossy(out.as_slice()),
            expected.replace('|', "\r\n")
        );
    }

    fn check_both(write: impl Fn(&mut Out), resp2: &str, resp3: &str) {
        check(Proto::Resp2, &write, resp2);
        check(Proto::Resp3, &write, resp3);
    }

    #[test]
    fn scalars() {
        check_both(|o| o.ok(), "+OK|", "+OK|");
        check_both(|o| o.simple("PONG"), "+PONG|", "+PONG|");
        check_both(
            |o| o.int(i64::MIN),
            ":-9223372036854775808|",
            ":-9223372036854775808|",
        );
        check_both(|o| o.int(9), ":9|", ":9|");
        check_both(|o| o.int(-1), ":-1|", ":-1|");
        check_both(|o| o.int(10), ":10|", ":10|");
        check_both(|o| o.bulk(b"a\r\nb"), "$4|a|b|", "$4|a|b|");
        check_both(|o| o.bulk(b""), "$0||", "$0||");
        check_both(|o| o.bulk_int(-12), "$3|-12|", "$3|-12|");
        check_both(
            |o| o.bulk_uint(u64::MAX),
            "$20|18446744073709551615|",
            "$20|18446744073709551615|",
        );
        check_both(|o| o.null(), "$-1|", "_|");
        check_both(|o| o.null_array(), "*-1|", "_|");
        check_both(|o| o.bool(true), ":1|", "#t|");
        check_both(|o| o.bool(false), ":0|", "#f|");
        check_both(|o| o.double(1.5), "$3|1.5|", ",1.5|");
        check_both(|o| o.double(f64::NEG_INFINITY), "$4|-inf|", ",-inf|");
        check_both(|o| o.bulk_double(3.0), "$1|3|", "$1|3|");
        check_both(
            |o| o.human_double(LongDouble::parse(b"5e3").unwrap()),
            "$4|5000|",
            ",5000|",
        );
        check_both(|o| o.verbatim(*b"txt", b"hi"), "$2|hi|", "=6|txt:hi|");
        check_both(|o| o.big_number("123"), "$3|123|", "(123|");
        check_both(|o| o.bulk_or_null(None), "$-1|", "_|");
    }

    #[test]
    fn aggregates() {
        check_both(|o| o.array(3), "*3|", "*3|");
        check_both(|o| o.map(3), "*6|", "%3|");
        check_both(|o| o.set(3), "*3|", "~3|");
        check_both(|o| o.push(3), "*3|", ">3|");
        let mut out = Out::new(Proto::Resp3);
        assert!(out.attribute(1));
        assert_eq!(out.as_slice(), b"|1\r\n");
        let mut out = Out::new(Proto::Resp2);
        assert!(!out.attribute(1));
        assert!(out.is_empty());
    }

    #[test]
    fn errors_cannot_be_injected() {
        check_both(
            |o| o.error("ERR a\r\n+OK\r\nb\r\n"),
            "-ERR a  +OK  b|",
            "-ERR a  +OK  b|",
        );
        check_both(|o| o.simple("\r\n"), "+|", "+|");
        let mut out = Out::new(Proto::Resp2);
        out.error("ERR x");
        out.error_bytes(b"ERR \xff");
        assert_eq!(out.error_count(), 2);
        assert_eq!(out.as_slice(), b"-ERR x\r\n-ERR \xff\r\n");
    }

    #[test]
    fn deferred_aggregates_nest_and_grow() {
        for n in [0, 1, 9, 10, 99, 100, 12345] {
            let mut out = Out::new(Proto::Resp3);
            out.ok();
            let outer = out.deferred();
            let map = out.deferred();
            for i in 0..n {
                out.int(i as i64);
                out.ok();
            }
            out.end_map(map, n);
            let set = out.deferred();
            out.end_set(set, 0);
            out.end_array(outer, 2);
            out.ok();

            let mut plain = Out::new(Proto::Resp3);
            plain.ok();
            plain.array(2);
            plain.map(n);
            for i in 0..n {
                plain.int(i as i64);
                plain.ok();
            }
            plain.set(0);
            plain.ok();
            assert_eq!(out.as_slice(), plain.as_slice(), "{n} elements");
        }
    }

    #[test]
    fn truncate_and_take() {
        let mut out = Out::new(Proto::Resp2);
        out.ok();
        let len = out.len();
        let _abandoned = out.deferred();
        out.int(1);
        out.truncate(len);
        out.int(2);
        assert_eq!(&out.take()[..], b"+OK\r\n:2\r\n");
        assert!(out.is_empty());
        out.set_proto(Proto::Resp3);
        out.null();
        assert_eq!(out.as_slice(), b"_\r\n");
    }
}
