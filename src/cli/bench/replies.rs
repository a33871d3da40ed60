//! Counts replies as they arrive, in pieces of any size, without making values of them.
//!
//! - RESP2: the five kinds of reply, arrays nested to any depth. No memory grows with what arrives.
//! - It counts requests as well: a request is an array of bulk strings.

/// The longest line that is looked at: a length or a number; an error's text is kept up to this.
const LINE_MAX: usize = 128;

/// What is not RESP2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not RESP2 at {0:?}")]
pub struct NotResp(String);

/// The state between two pieces.
#[derive(Debug)]
pub struct Counter {
    /// Payload of a bulk string still to come, with its line end.
    skip: u64,
    /// Values still to come until the reply is whole.
    open: u64,
    /// The line so far: its kind first.
    line: [u8; LINE_MAX],
    /// Bytes of the line so far; those beyond `LINE_MAX` are counted and not kept.
    line_len: usize,
    errors: u64,
    first_error: Option<String>,
}

impl Default for Counter {
    fn default() -> Self {
        Counter {
            skip: 0,
            open: 1,
            line: [0; LINE_MAX],
            line_len: 0,
            errors: 0,
            first_error: None,
        }
    }
}

impl Counter {
    /// Takes the next bytes and answers how many replies became whole.
    ///
    /// # Errors
    /// When the bytes are no RESP2; the connection is of no use any more.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<u64, NotResp> {
        let mut whole = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let n = usize::try_from(self.skip)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                bytes = &bytes[n..];
                self.skip -= n as u64;
                if self.skip == 0 {
                    whole += self.value_ended(0);
                }
                continue;
            }
            let end = bytes.iter().position(|b| *b == b'\n');
            let part = &bytes[..end.map_or(bytes.len(), |e| e + 1)];
            bytes = &bytes[part.len()..];
            let room = LINE_MAX.saturating_sub(self.line_len).min(part.len());
            if room > 0 {
                self.line[self.line_len..self.line_len + room].copy_from_slice(&part[..room]);
            }
            self.line_len += part.len();
            if end.is_some() {
                whole += self.line_ended()?;
                self.line_len = 0;
            }
        }
        Ok(whole)
    }

    /// Error replies so far, those within arrays included.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// The first of them.
    pub fn first_error(&self) -> Option<&str> {
        self.first_error.as_deref()
    }

    fn line_ended(&mut self) -> Result<u64, NotResp> {
        let kept = &self.line[..self.line_len.min(LINE_MAX)];
        let text = kept.strip_suffix(b"\r\n").unwrap_or(kept);
        let not_resp = || NotResp(String::from_utf8_lossy(text).into_owned());
        let (kind, rest) = text.split_first().ok_or_else(not_resp)?;
        let length = || -> Result<i64, NotResp> {
            let text = std::str::from_utf8(rest).map_err(|_| not_resp())?;
            text.parse().map_err(|_| not_resp())
        };
        match kind {
            b'+' | b':' => Ok(self.value_ended(0)),
            b'-' => {
                self.errors += 1;
                if self.first_error.is_none() {
                    self.first_error = Some(String::from_utf8_lossy(rest).into_owned());
                }
                Ok(self.value_ended(0))
            }
            b'$' => match length()? {
                n if n < 0 => Ok(self.value_ended(0)),
                n => {
                    self.skip = n.unsigned_abs() + 2;
                    Ok(0)
                }
            },
            b'*' => {
                let n = length()?.max(0).unsigned_abs();
                Ok(self.value_ended(n))
            }
            _ => Err(not_resp()),
        }
    }

    /// One value ended, and `more` begin within it. Answers 1 where the reply is whole.
    fn value_ended(&mut self, more: u64) -> u64 {
        self.open = (self.open - 1).saturating_add(more);
        if self.open == 0 {
            self.open = 1;
            1
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"+OK\r\n:12\r\n$5\r\n\r\n+OK\r\n$-1\r\n*3\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n-ERR no\r\n*-1\r\n*0\r\n$0\r\n\r\n-MOVED 1 a:1\r\n";
    const REPLIES: u64 = 9;

    #[test]
    fn every_kind_of_reply_counts_once_however_it_is_cut() {
        for size in 1..=STREAM.len() {
            let mut counter = Counter::default();
            let whole: u64 = STREAM.chunks(size).map(|c| counter.feed(c).unwrap()).sum();
            assert_eq!((whole, counter.errors()), (REPLIES, 2), "pieces of {size}");
            assert_eq!(counter.first_error(), Some("ERR no"));
        }
    }

    #[test]
    fn a_reply_counts_at_its_last_byte_and_not_before() {
        let mut counter = Counter::default();
        assert_eq!(counter.feed(b"*2\r\n$3\r\nabc\r\n$2\r\nxy\r").unwrap(), 0);
        assert_eq!(counter.feed(b"\n").unwrap(), 1);
        assert_eq!(counter.feed(b"+O").unwrap(), 0);
        assert_eq!(counter.feed(b"K\r\n+OK").unwrap(), 1);
    }

    #[test]
    fn requests_are_counted_too() {
        let mut counter = Counter::default();
        let request = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n";
        assert_eq!(counter.feed(&request.repeat(16)).unwrap(), 16);
    }

    #[test]
    fn a_long_line_is_passed_over_and_other_bytes_are_refused() {
        let mut counter = Counter::default();
        let line = [b"-ERR ".as_slice(), &[b'x'; 4000], b"\r\n+OK\r\n"].concat();
        assert_eq!(counter.feed(&line).unwrap(), 2);
        assert!(counter.first_error().unwrap().len() < LINE_MAX);
        assert!(Counter::default().feed(b"HTTP/1.1 400\r\n").is_err());
        assert!(Counter::default().feed(b"\r\n").is_err());
        assert!(Counter::default().feed(b"$x\r\n").is_err());
    }
}
