//! Replies back to values, in either protocol version: for tests, tools and the load generator.
//!
//! Invariant: the parser takes whole replies alone and trusts nothing declared: it neither allocates
//! from a length nor nests deeper than a bound.

use crate::base::limits::{BULK_LEN_MAX, REPLY_DEPTH_MAX};
use crate::base::number::{parse_f64, parse_i64};

/// One reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `+`
    Simple(String),
    /// `-` and `!`: the text with its prefix; bytes that are not UTF-8 are replaced.
    Error(String),
    /// `:`
    Int(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `$-1` and `_`
    Null,
    /// `*-1`
    NullArray,
    /// `*`
    Array(Vec<Value>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// `~`
    Set(Vec<Value>),
    /// `>`, which is no reply to a command.
    Push(Vec<Value>),
    /// `,`
    Double(f64),
    /// `#`
    Bool(bool),
    /// `(`
    BigNumber(String),
    /// `=`: the format and the text.
    Verbatim([u8; 3], Vec<u8>),
    /// `|`: the attribute and the reply that it precedes.
    Attribute(Vec<(Value, Value)>, Box<Value>),
}

impl Value {
    /// The bytes of a bulk string, verbatim or status reply.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bulk(bytes) | Self::Verbatim(_, bytes) => Some(bytes),
            Self::Simple(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The number of an integer reply.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The elements of an array, set or push.
    pub fn as_slice(&self) -> Option<&[Value]> {
        match self {
            Self::Array(values) | Self::Set(values) | Self::Push(values) => Some(values),
            _ => None,
        }
    }

    /// The text of an error reply.
    pub fn as_error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }
}

/// Bytes that are no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("a reply begins with 0x{0:02x}, which is no type of RESP")]
    UnknownType(u8),
    #[error("a reply's line does not end in CR LF")]
    LineEnd,
    #[error("a reply's line is not what its type asks for: {0:?}")]
    Malformed(String),
    #[error("a reply nests deeper than {REPLY_DEPTH_MAX} levels")]
    TooDeep,
}

/// The reply at the start of `buffer`, and the bytes that it took. None where it is not complete:
/// call again with more.
///
/// # Errors
/// The bytes cannot become a reply.
pub fn parse_value(buffer: &[u8]) -> Result<Option<(Value, usize)>, ValueError> {
    let mut reader = Reader { buffer, at: 0 };
    Ok(reader.value(0)?.map(|value| (value, reader.at)))
}

struct Reader<'a> {
    buffer: &'a [u8],
    at: usize,
}

/// Unwraps what is there, or returns that the reply is incomplete.
macro_rules! some {
    ($parsed:expr) => {
        match $parsed? {
            Some(value) => value,
            None => return Ok(None),
        }
    };
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Option<Value>, ValueError> {
        if depth > REPLY_DEPTH_MAX {
            return Err(ValueError::TooDeep);
        }
        let Some(&kind) = self.buffer.get(self.at) else {
            return Ok(None);
        };
        if !b"+-:$*_#,(!=%~>|".contains(&kind) {
            return Err(ValueError::UnknownType(kind));
        }
        self.at += 1;
        let line = some!(self.line());
        let malformed = || ValueError::Malformed(String::from_utf8_lossy(line).into_owned());
        let text = || String::from_utf8_lossy(line).into_owned();
        Ok(Some(match kind {
            b'+' => Value::Simple(text()),
            b'-' => Value::Error(text()),
            b':' => Value::Int(parse_i64(line).ok_or_else(malformed)?),
            b'_' => Value::Null,
            b'#' => Value::Bool(match line {
                b"t" => true,
                b"f" => false,
                _ => return Err(malformed()),
            }),
            b',' if line == b"nan" => Value::Double(f64::NAN),
            b',' => Value::Double(parse_f64(line).ok_or_else(malformed)?),
            b'(' => Value::BigNumber(text()),
            b'$' if line == b"-1" => Value::Null,
            b'*' if line == b"-1" => Value::NullArray,
            _ => {
                let count = parse_i64(line)
                    .and_then(|n| usize::try_from(n).ok())
                    .ok_or_else(malformed)?;
                match kind {
                    b'$' => Value::Bulk(some!(self.bulk(count)).to_vec()),
                    b'!' => {
                        Value::Error(String::from_utf8_lossy(some!(self.bulk(count))).into_owned())
                    }
                    b'=' => match some!(self.bulk(count)) {
                        [a, b, c, b':', text @ ..] => Value::Verbatim([*a, *b, *c], text.to_vec()),
                        _ => return Err(malformed()),
                    },
                    b'*' => Value::Array(some!(self.values(count, depth))),
                    b'~' => Value::Set(some!(self.values(count, depth))),
                    b'>' => Value::Push(some!(self.values(count, depth))),
                    b'%' => Value::Map(some!(self.pairs(count, depth))),
                    _ => {
                        let pairs = some!(self.pairs(count, depth));
                        Value::Attribute(pairs, Box::new(some!(self.value(depth + 1))))
                    }
                }
            }
        }))
    }

    fn line(&mut self) -> Result<Option<&'a [u8]>, ValueError> {
        let rest = &self.buffer[self.at..];
        let Some(end) = rest.iter().position(|&byte| byte == b'\r') else {
            return Ok(None);
        };
        match rest.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => {
                self.at += end + 2;
                Ok(Some(&rest[..end]))
            }
            Some(_) => Err(ValueError::LineEnd),
        }
    }

    fn bulk(&mut self, len: usize) -> Result<Option<&'a [u8]>, ValueError> {
        // A reply may hold a bulk a little above what a client may send; twice is not a reply.
        if len > 2 * BULK_LEN_MAX {
            return Err(ValueError::Malformed(len.to_string()));
        }
        let rest = &self.buffer[self.at..];
        if rest.len() < len + 2 {
            return Ok(None);
        }
        if &rest[len..len + 2] != b"\r\n" {
            return Err(ValueError::LineEnd);
        }
        self.at += len + 2;
        Ok(Some(&rest[..len]))
    }

    fn values(&mut self, count: usize, depth: usize) -> Result<Option<Vec<Value>>, ValueError> {
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(some!(self.value(depth + 1)));
        }
        Ok(Some(values))
    }

    fn pairs(
        &mut self,
        count: usize,
        depth: usize,
    ) -> Result<Option<Vec<(Value, Value)>>, ValueError> {
        let mut pairs = Vec::new();
        for _ in 0..count {
            let key = some!(self.value(depth + 1));
            pairs.push((key, some!(self.value(depth + 1))));
        }
        Ok(Some(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{Out, Proto};

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    /// One reply of every type, written by `Out`.
    fn everything(proto: Proto) -> Out {
        let mut out = Out::new(proto);
        out.array(14);
        out.ok();
        out.error("ERR no");
        out.int(-7);
        out.bulk(b"a\r\nb");
        out.null();
        out.null_array();
        out.map(1);
        out.bulk(b"k");
        out.bool(true);
        out.set(1);
        out.bool(false);
        out.push(0);
        out.double(-1.25);
        out.double(f64::INFINITY);
        out.big_number("12345678901234567890");
        out.verbatim(*b"txt", b"hi");
        if out.attribute(1) {
            out.bulk(b"ttl");
            out.int(3);
        }
        out.simple("last");
        out
    }

    #[test]
    fn resp3_types() {
        let out = everything(Proto::Resp3);
        let expected = Value::Array(vec![
            Value::Simple("OK".into()),
            Value::Error("ERR no".into()),
            Value::Int(-7),
            bulk("a\r\nb"),
            Value::Null,
            Value::Null,
            Value::Map(vec![(bulk("k"), Value::Bool(true))]),
            Value::Set(vec![Value::Bool(false)]),
            Value::Push(vec![]),
            Value::Double(-1.25),
            Value::Double(f64::INFINITY),
            Value::BigNumber("12345678901234567890".into()),
            Value::Verbatim(*b"txt", b"hi".to_vec()),
            Value::Attribute(
                vec![(bulk("ttl"), Value::Int(3))],
                Box::new(Value::Simple("last".into())),
            ),
        ]);
        assert_eq!(parse_value(out.as_slice()), Ok(Some((expected, out.len()))));
    }

    #[test]
    fn resp2_types() {
        let out = everything(Proto::Resp2);
        let (value, len) = parse_value(out.as_slice()).unwrap().unwrap();
        assert_eq!(len, out.len());
        let values = value.as_slice().unwrap();
        assert_eq!(values[4..6], [Value::Null, Value::NullArray]);
        assert_eq!(values[6], Value::Array(vec![bulk("k"), Value::Int(1)]));
        assert_eq!(values[9], bulk("-1.25"));
    }

    #[test]
    fn every_prefix_is_incomplete() {
        for proto in [Proto::Resp2, Proto::Resp3] {
            let out = everything(proto);
            for len in 0..out.len() {
                assert_eq!(parse_value(&out.as_slice()[..len]), Ok(None), "{len} bytes");
            }
        }
    }

    #[test]
    fn what_is_no_reply() {
        assert_eq!(parse_value(b"hello"), Err(ValueError::UnknownType(b'h')));
        assert_eq!(parse_value(b"+OK\rx"), Err(ValueError::LineEnd));
        assert_eq!(parse_value(b"$1\r\nabc"), Err(ValueError::LineEnd));
        assert!(matches!(
            parse_value(b":x\r\n"),
            Err(ValueError::Malformed(_))
        ));
        assert!(matches!(
            parse_value(b"*-2\r\n"),
            Err(ValueError::Malformed(_))
        ));
        assert!(matches!(
            parse_value(b"#x\r\n"),
            Err(ValueError::Malformed(_))
        ));
        assert!(matches!(
            parse_value(b"$9999999999\r\n"),
            Err(ValueError::Malformed(_))
        ));
        assert_eq!(
            parse_value(&b"*1\r\n".repeat(REPLY_DEPTH_MAX + 2)),
            Err(ValueError::TooDeep)
        );
        assert_eq!(parse_value(b"*9223372036854775807\r\n"), Ok(None));
    }
}
