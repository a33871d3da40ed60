//! The arguments of SCAN and its kin, and the walk over a collection that HSCAN, SSCAN and ZSCAN share.
//!
//! A cursor is a position in hash order: it means the same after a resize, a restart or a failover.
//! Reading goes in two steps, as in Redis: the cursor, then (the key looked at) the options, so that an
//! absent key answers before a wrong option does.

use super::{Args, Cursor, Fail};
use crate::base::glob;
use crate::resp::Out;

/// What follows the cursor.
#[derive(Debug, PartialEq, Eq)]
pub struct ScanArgs<'a> {
    /// MATCH; `None` where everything matches.
    pub pattern: Option<&'a [u8]>,
    /// COUNT: about how many elements to visit, at least 1.
    pub count: usize,
    /// TYPE, as given; SCAN alone takes it.
    pub kind: Option<&'a [u8]>,
}

impl<'a> ScanArgs<'a> {
    /// Reads the options up to the last argument; `with_type` for SCAN.
    pub fn parse(mut args: Cursor<'a>, with_type: bool) -> Result<Self, Fail> {
        let mut options = ScanArgs {
            pattern: None,
            count: 10,
            kind: None,
        };
        while !args.is_empty() {
            if args.keyword("count") {
                let count = args.int()?;
                options.count = usize::try_from(count)
                    .ok()
                    .filter(|&count| count > 0)
                    .ok_or(Fail::SYNTAX)?;
            } else if args.keyword("match") {
                options.pattern = Some(args.next()?).filter(|pattern| *pattern != b"*");
            } else if with_type && args.keyword("type") {
                options.kind = Some(args.next()?);
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        Ok(options)
    }

    /// Whether a name is asked for.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, name))
    }
}

/// A cursor argument, read as C's strtoul reads it: a sign may precede the digits, nothing at all is 0.
pub fn cursor(arg: &[u8]) -> Result<u64, Fail> {
    let text = arg.split(|&b| b == 0).next().unwrap_or(b"");
    if text.is_empty() {
        return Ok(0);
    }
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Fail::INVALID_CURSOR);
    }
    let value = digits
        .iter()
        .try_fold(0u64, |value, digit| {
            value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or(Fail::INVALID_CURSOR)?;
    Ok(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// The reply of a walk that found nothing: cursor 0 and no elements.
pub fn nothing(out: &mut Out) {
    reply(out, 0, |_| 0);
}

/// The reply of one step: the cursor to go on with, then the replies that `write` writes and counts.
pub fn reply(out: &mut Out, next: u64, write: impl FnOnce(&mut Out) -> usize) {
    out.array(2);
    out.bulk_uint(next);
    let begun = out.deferred();
    let written = write(out);
    out.end_array(begun, written);
}

/// The options of HSCAN, SSCAN and ZSCAN; to be read once the key was found.
pub fn options(line: Args<'_>) -> Result<ScanArgs<'_>, Fail> {
    ScanArgs::parse(Cursor::from(line, 3), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_c_reads_them() {
        for (text, value) in [
            (&b"0"[..], 0),
            (b"", 0),
            (b"007", 7),
            (b"+5", 5),
            (b"-1", u64::MAX),
            (b"5\0rest", 5),
            (b"18446744073709551615", u64::MAX),
        ] {
            assert_eq!(cursor(text), Ok(value), "{text:?}");
        }
        for text in [
            &b" 1"[..],
            b"1 ",
            b"-",
            b"+",
            b"x",
            b"0x10",
            b"18446744073709551616",
        ] {
            assert_eq!(cursor(text), Err(Fail::INVALID_CURSOR), "{text:?}");
        }
    }

    #[test]
    fn options() {
        let parse = |line: &[&'static [u8]], with_type| {
            let line: Vec<&[u8]> = line.to_vec();
            ScanArgs::parse(Cursor::from(line.leak(), 0), with_type)
        };
        let all = parse(&[b"Match", b"a*", b"COUNT", b"3", b"type", b"hash"], true).unwrap();
        assert_eq!(
            (all.pattern, all.count, all.kind),
            (Some(&b"a*"[..]), 3, Some(&b"hash"[..]))
        );
        assert!(all.matches(b"ab") && !all.matches(b"b"));
        let last = parse(&[b"match", b"a", b"match", b"*"], false).unwrap();
        assert_eq!((last.pattern, last.count), (None, 10));
        for (line, fail) in [
            (&[&b"count"[..], b"0"][..], Fail::SYNTAX),
            (&[b"count", b"-1"], Fail::SYNTAX),
            (&[b"count", b"x"], Fail::NOT_INTEGER),
            (&[b"count"], Fail::SYNTAX),
            (&[b"match"], Fail::SYNTAX),
            (&[b"type", b"hash"], Fail::SYNTAX),
            (&[b"other", b"1"], Fail::SYNTAX),
        ] {
            assert_eq!(parse(line, false), Err(fail), "{line:?}");
        }
    }
}
