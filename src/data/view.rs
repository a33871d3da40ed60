//! Bytes to look at, whether they are stored as such or are the text of an integer; and when a
//! text is an integer's.
//!
//! **Invariant.** `parse_int(t) == Some(i)` exactly when `i` written in decimal is `t`.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;

/// The longest text of an `i64`.
const INT_LEN_MAX: usize = 20;

/// Borrowed bytes, or the text of an integer that is stored as a number. Reads as a byte slice.
#[derive(Clone, Copy)]
pub enum View<'a> {
    /// Bytes as stored.
    Bytes(&'a [u8]),
    /// An integer's text, in place.
    Int(IntText),
}

/// The decimal text of an `i64`, without allocation.
#[derive(Clone, Copy)]
pub struct IntText {
    text: [u8; INT_LEN_MAX],
    len: u8,
}

impl IntText {
    /// The text of `value`.
    pub fn new(value: i64) -> Self {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(value).as_bytes();
        let mut text = [0; INT_LEN_MAX];
        text[..digits.len()].copy_from_slice(digits);
        Self {
            text,
            len: digits.len() as u8,
        }
    }

    /// The text as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }
}

impl View<'_> {
    /// The text of `value`.
    pub fn int(value: i64) -> Self {
        View::Int(IntText::new(value))
    }

    /// A copy that is owned.
    pub fn to_boxed(self) -> Box<[u8]> {
        Box::from(&*self)
    }
}

impl Deref for View<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            View::Bytes(bytes) => bytes,
            View::Int(text) => text.as_bytes(),
        }
    }
}

impl AsRef<[u8]> for View<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for View<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for View<'_> {}

impl std::hash::Hash for View<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl PartialOrd for View<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for View<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

/// The integer whose canonical decimal text this is: no plus, no leading zero, no "-0", no spaces.
pub fn parse_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() < INT_LEN_MAX => {}
        _ => return None,
    }
    let mut value: i64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Downwards, because i64::MIN has no positive counterpart.
        value = value
            .checked_mul(10)?
            .checked_sub(i64::from(digit - b'0'))?;
    }
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

#[cfg(test)]
mod tests {
    use super::{View, parse_int};

    #[test]
    fn only_canonical_text_is_an_integer() {
        for value in [
            0,
            1,
            -1,
            10,
            9007199254740993,
            i64::MAX,
            i64::MIN,
            i64::MIN + 1,
        ] {
            assert_eq!(parse_int(&View::int(value)), Some(value));
            assert_eq!(&*View::int(value), value.to_string().as_bytes());
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "-01",
            "1 ",
            " 1",
            "1.0",
            "1e3",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "abc",
            "1a",
        ] {
            assert_eq!(parse_int(text.as_bytes()), None, "{text}");
        }
    }
}
