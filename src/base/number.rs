//! Numbers to text and back, digit for digit as Redis 7.2 does it.
//!
//! Invariants: parsing takes the whole text or nothing, with no space before or after; formatting a
//! double gives text that parses to the same double. NaN is never a parsed result.

use std::ops::Deref;

use rustc_apfloat::ieee::Double;
use rustc_apfloat::{Float, Status};

mod long_double;
pub use long_double::LongDouble;

/// A short text on the stack.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; Text::LEN_MAX],
    len: u8,
}

impl Text {
    /// Room for any i64, any double and any fixed-point text of this module.
    pub const LEN_MAX: usize = 40;

    fn new() -> Self {
        Self {
            bytes: [0; Self::LEN_MAX],
            len: 0,
        }
    }

    fn of(text: &[u8]) -> Self {
        let mut new = Self::new();
        new.push(text);
        new
    }

    fn push(&mut self, text: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + text.len()].copy_from_slice(text);
        self.len += text.len() as u8;
    }

    fn zeros(&mut self, count: usize) {
        self.push(&[b'0'; Self::LEN_MAX][..count]);
    }

    /// As a string; numbers are ASCII.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self).expect("numbers are ASCII")
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An integer in the one form Redis takes: no plus sign, no leading zero, no space, not `-0`. So a
/// text that parses is the text that formatting gives back.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'0'] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.len() > 19 || !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    // Nineteen digits fit u64.
    let mut value = 0u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(digit - b'0');
    }
    if negative {
        0i64.checked_sub_unsigned(value)
    } else {
        i64::try_from(value).ok()
    }
}

/// An unsigned integer: what `parse_i64` takes where not negative, and decimal digits up to 2^64-1
/// (there, as in Redis, leading zeros and a plus sign pass).
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    if let Some(value) = parse_i64(text) {
        return u64::try_from(value).ok();
    }
    if matches!(text.first(), Some(b'-')) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An integer's decimal text.
pub fn format_i64(value: i64) -> Text {
    Text::of(itoa::Buffer::new().format(value).as_bytes())
}

/// A double as C's strtod takes it: decimal, hexadecimal (`0x1.8p3`), `inf` and `infinity` in any
/// case. None for NaN, for space around it, and for what overflows or vanishes.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    if let Some(value) = parse_i64(text) {
        return Some(value as f64);
    }
    match Form::of(text)? {
        Form::Infinity => Some(if text[0] == b'-' {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        }),
        Form::Hexadecimal => {
            let parsed = parse_hexadecimal::<Double>(text)?;
            Some(f64::from_bits(parsed.to_bits() as u64))
        }
        Form::Decimal { zero } => {
            let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            (value.is_finite() && (value != 0.0 || zero)).then_some(value)
        }
    }
}

/// A double as strtod takes it where nobody looks for errors, as in the bounds of ranges of scores:
/// space before it is skipped, it ends at a zero byte, what overflows is infinite, what vanishes is
/// zero, an empty text is zero.
pub fn parse_bound(text: &[u8]) -> Option<f64> {
    let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
    let text = &text[..end];
    if text.is_empty() {
        return Some(0.0);
    }
    let start = text
        .iter()
        .position(|b| !matches!(b, b' ' | b'\t'..=b'\r'))?;
    let text = &text[start..];
    match Form::of(text)? {
        Form::Infinity => parse_f64(text),
        Form::Decimal { .. } => std::str::from_utf8(text).ok()?.parse().ok(),
        Form::Hexadecimal => {
            let parsed = hexadecimal::<Double>(text)?.value;
            Some(f64::from_bits(parsed.to_bits() as u64))
        }
    }
}

/// The shape of a number's text.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    Infinity,
    Hexadecimal,
    /// With whether every digit of the significand is zero.
    Decimal {
        zero: bool,
    },
}

impl Form {
    /// What strtod would take as a whole; None for anything else, NaN included.
    fn of(text: &[u8]) -> Option<Self> {
        let unsigned = match text {
            [b'+' | b'-', rest @ ..] => rest,
            rest => rest,
        };
        if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::Infinity);
        }
        let (hexadecimal, digits) = match unsigned {
            [b'0', b'x' | b'X', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let exponent_mark = if hexadecimal { b'p' } else { b'e' };
        let is_digit = |b: &u8| {
            if hexadecimal {
                b.is_ascii_hexdigit()
            } else {
                b.is_ascii_digit()
            }
        };
        let split = digits
            .iter()
            .position(|b| b.to_ascii_lowercase() == exponent_mark);
        let (significand, exponent) = match split {
            Some(at) => (&digits[..at], Some(&digits[at + 1..])),
            None => (digits, None),
        };
        let points = significand.iter().filter(|&&b| b == b'.').count();
        let plain = significand.iter().all(|b| *b == b'.' || is_digit(b));
        if !plain || points > 1 || significand.len() == points {
            return None;
        }
        if let Some(exponent) = exponent {
            let exponent = match exponent {
                [b'+' | b'-', rest @ ..] => rest,
                rest => rest,
            };
            if exponent.is_empty() || !exponent.iter().all(u8::is_ascii_digit) {
                return None;
            }
        }
        let zero = significand.iter().all(|b| matches!(b, b'0' | b'.'));
        Some(if hexadecimal {
            Self::Hexadecimal
        } else {
            Self::Decimal { zero }
        })
    }
}

/// A hexadecimal text, already of that form. None where it overflows or vanishes.
fn parse_hexadecimal<F: Float>(text: &[u8]) -> Option<F> {
    in_range(hexadecimal(text)?)
}

fn hexadecimal<F: Float>(text: &[u8]) -> Option<rustc_apfloat::StatusAnd<F>> {
    let mut text = std::str::from_utf8(text).ok()?.to_owned();
    if !text.contains(['p', 'P']) {
        text.push_str("p0");
    }
    F::from_str_r(&text, rustc_apfloat::Round::NearestTiesToEven).ok()
}

/// The value, unless it overflowed to infinity or underflowed to zero.
fn in_range<F: Float>(parsed: rustc_apfloat::StatusAnd<F>) -> Option<F> {
    let vanished = parsed.value.is_zero()
        && parsed
            .status
            .intersects(Status::UNDERFLOW | Status::INEXACT);
    let overflowed = parsed.value.is_infinite();
    (!vanished && !overflowed).then_some(parsed.value)
}

/// A double as Redis replies it: an integer within ±2^62 plainly, others with the fewest digits
/// that parse back, with an exponent where the number is far from one.
pub fn format_double(value: f64) -> Text {
    const INTEGER_MAX: f64 = (i64::MAX / 2) as f64;
    if value.is_nan() {
        return Text::of(b"nan");
    }
    if value.is_infinite() {
        return Text::of(if value < 0.0 { b"-inf" } else { b"inf" });
    }
    if value == 0.0 {
        return Text::of(if value.is_sign_negative() {
            b"-0"
        } else {
            b"0"
        });
    }
    if value.abs() <= INTEGER_MAX && value == value.trunc() {
        return format_i64(value as i64);
    }
    let mut text = Text::new();
    if value < 0.0 {
        text.push(b"-");
    }
    let mut digits = [0; 17];
    let (len, exponent) = shortest(value.abs(), &mut digits);
    layout(&mut text, &digits[..len], exponent);
    text
}

/// The shortest digits of a finite positive double, and the power of ten that the last one stands for.
fn shortest(value: f64, digits: &mut [u8; 17]) -> (usize, i32) {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value).as_bytes();
    let (significand, exponent) = match text.iter().position(|&b| b == b'e') {
        Some(at) => (
            &text[..at],
            parse_i64(&text[at + 1..]).expect("an exponent is an integer") as i32,
        ),
        None => (text, 0),
    };
    let point = significand
        .iter()
        .position(|&b| b == b'.')
        .unwrap_or(significand.len());
    let fraction = significand.len().saturating_sub(point + 1);
    let mut len = 0;
    for &digit in significand.iter().filter(|b| b.is_ascii_digit()) {
        if len > 0 || digit != b'0' {
            digits[len] = digit;
            len += 1;
            // Up to 17 significant digits, but large integers end in zeros that are not.
            if len == digits.len() {
                break;
            }
        }
    }
    let mut exponent = exponent - fraction as i32;
    while len > 1 && digits[len - 1] == b'0' {
        len -= 1;
        exponent += 1;
    }
    (len, exponent)
}

/// Writes `digits × 10^exponent`: plainly up to six zeros behind or before the digits, else with `e`.
fn layout(text: &mut Text, digits: &[u8], exponent: i32) {
    let count = digits.len() as i32;
    let scientific = exponent + count - 1;
    if exponent >= 0 && scientific.abs() < count + 7 {
        text.push(digits);
        text.zeros(exponent as usize);
    } else if exponent < 0 && (exponent > -7 || scientific.abs() < 4) {
        let point = count + exponent;
        if point <= 0 {
            text.push(b"0.");
            text.zeros(-point as usize);
            text.push(digits);
        } else {
            text.push(&digits[..point as usize]);
            text.push(b".");
            text.push(&digits[point as usize..]);
        }
    } else {
        text.push(&digits[..1]);
        if count > 1 {
            text.push(b".");
            text.push(&digits[1..]);
        }
        text.push(if scientific < 0 { b"e-" } else { b"e+" });
        text.push(
            itoa::Buffer::new()
                .format(scientific.unsigned_abs())
                .as_bytes(),
        );
    }
}

/// A double with up to 17 significant digits, as C's `%.17g` writes it: what ZSCAN replies of a
/// skiplist. Always parses back, but is seldom the shortest text that does.
pub fn format_significant(value: f64) -> Text {
    const DIGITS: i32 = 17;
    if value == 0.0 || !value.is_finite() {
        return format_double(value);
    }
    let exact = format!("{:.*e}", DIGITS as usize - 1, value.abs());
    let (significand, exponent) = exact.split_once('e').expect("written with an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is an integer");
    let digits = significand.replace('.', "");
    let digits = digits.trim_end_matches('0').as_bytes();
    let mut text = Text::new();
    if value < 0.0 {
        text.push(b"-");
    }
    // How many digits stand before the point.
    let whole = if (0..DIGITS).contains(&exponent) {
        exponent as usize + 1
    } else {
        1
    };
    if (-4..0).contains(&exponent) {
        text.push(b"0.");
        text.zeros(exponent.unsigned_abs() as usize - 1);
        text.push(digits);
        return text;
    }
    let (before, after) = digits.split_at(whole.min(digits.len()));
    text.push(before);
    text.zeros(whole - before.len());
    if !after.is_empty() {
        text.push(b".");
        text.push(after);
    }
    if !(0..DIGITS).contains(&exponent) {
        text.push(if exponent < 0 { b"e-" } else { b"e+" });
        text.push(format!("{:02}", exponent.unsigned_abs()).as_bytes());
    }
    text
}

/// A double with a fixed number of digits (1 to 17) after the point, as GEODIST replies. None where
/// the scaled value leaves the range of i64.
pub fn format_fixed(value: f64, digits: usize) -> Option<Text> {
    let scaled = (value * 10f64.powi(digits as i32)).round_ties_even();
    if !(1..=17).contains(&digits) || scaled.is_nan() || scaled.abs() >= i64::MAX as f64 {
        return None;
    }
    let mut text = Text::new();
    if scaled < 0.0 {
        text.push(b"-");
    }
    let mut buffer = itoa::Buffer::new();
    let plain = buffer.format((scaled as i64).unsigned_abs()).as_bytes();
    let whole = plain.len().saturating_sub(digits);
    if whole == 0 {
        text.push(b"0");
    }
    text.push(&plain[..whole]);
    text.push(b".");
    text.zeros(digits - (plain.len() - whole));
    text.push(&plain[whole..]);
    Some(text)
}

#[cfg(test)]
#[path = "number/tests.rs"]
mod tests;
