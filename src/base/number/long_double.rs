//! The 80-bit floating-point number in which Redis on x86-64 computes INCRBYFLOAT and HINCRBYFLOAT.
//!
//! Invariant: sums and texts agree with that hardware bit for bit, so that a counter keeps the value
//! its users know; rounding is to nearest, ties to even.

use rustc_apfloat::ieee::X87DoubleExtended;
use rustc_apfloat::{Float, Round};

use super::{Form, in_range, parse_hexadecimal, parse_i64};

/// An extended-precision number: 64 bits of significand, 15 of exponent.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct LongDouble(X87DoubleExtended);

/// Longer texts are no numbers to Redis, bytes.
const TEXT_LEN_MAX: usize = 5 * 1024 - 1;
/// Digits after the point when formatted, before trailing zeros go.
const FRACTION_DIGITS: u32 = 17;

impl LongDouble {
    /// Zero: what an absent key counts as.
    pub const ZERO: Self = Self(X87DoubleExtended::ZERO);

    /// As C's strtold takes it; None for NaN, for space around it, for what overflows or vanishes.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if let Some(value) = parse_i64(text) {
            return Some(Self::from(value));
        }
        if text.len() > TEXT_LEN_MAX {
            return None;
        }
        let parsed = match Form::of(text)? {
            Form::Infinity if text[0] == b'-' => -X87DoubleExtended::INFINITY,
            Form::Infinity => X87DoubleExtended::INFINITY,
            Form::Hexadecimal => parse_hexadecimal(text)?,
            Form::Decimal { zero: true } if text[0] == b'-' => -X87DoubleExtended::ZERO,
            Form::Decimal { zero: true } => X87DoubleExtended::ZERO,
            Form::Decimal { zero: false } => {
                let text = std::str::from_utf8(text).ok()?;
                in_range(X87DoubleExtended::from_str_r(text, Round::NearestTiesToEven).ok()?)?
            }
        };
        Some(Self(parsed))
    }

    /// True for both infinities.
    pub fn is_infinite(self) -> bool {
        self.0.is_infinite()
    }

    /// True for what infinity minus infinity gives.
    pub fn is_nan(self) -> bool {
        self.0.is_nan()
    }

    /// The text that is stored and replied: no exponent, 17 digits after the point at most, without
    /// the zeros at the end. Loses what is smaller. Below 5,000 bytes.
    pub fn to_human(self) -> String {
        if self.is_nan() {
            return "nan".to_owned();
        }
        if self.is_infinite() {
            return if self.0.is_negative() { "-inf" } else { "inf" }.to_owned();
        }
        let bits = self.0.to_bits();
        let significand = bits as u64;
        // The significand counts units of 2^exponent. A zero exponent field means the same as one.
        let field = ((bits >> 64) & 0x7fff) as i32;
        let exponent = field.max(1) - 16383 - 63;
        let mut text = if exponent >= 0 {
            shifted_decimal(significand, exponent as u32)
        } else {
            fixed_point(significand, exponent.unsigned_abs())
        };
        if self.0.is_negative() && text != "0" {
            text.insert(0, '-');
        }
        text
    }
}

impl std::ops::Add for LongDouble {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self((self.0 + other.0).value)
    }
}

impl From<i64> for LongDouble {
    fn from(value: i64) -> Self {
        // Exact: 64 bits of significand hold any i64.
        Self(X87DoubleExtended::from_i128(i128::from(value)).value)
    }
}

impl From<f64> for LongDouble {
    fn from(value: f64) -> Self {
        use rustc_apfloat::FloatConvert;
        use rustc_apfloat::ieee::Double;
        let double = Double::from_bits(u128::from(value.to_bits()));
        Self(FloatConvert::<X87DoubleExtended>::convert(double, &mut false).value)
    }
}

impl std::fmt::Display for LongDouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_human())
    }
}

/// `significand / 2^shift` rounded to 17 digits after the point, trailing zeros dropped.
fn fixed_point(significand: u64, shift: u32) -> String {
    const SCALE: u128 = 10u128.pow(FRACTION_DIGITS);
    // 64 bits times 10^17 stay below 2^121.
    let scaled = u128::from(significand) * SCALE;
    let rounded = if shift >= 128 {
        0
    } else {
        let quotient = scaled >> shift;
        let rest = scaled & ((1 << shift) - 1);
        let half = 1 << (shift - 1);
        quotient + u128::from(rest > half || (rest == half && quotient & 1 == 1))
    };
    let mut text = (rounded / SCALE).to_string();
    let fraction = format!("{:017}", rounded % SCALE);
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

/// `significand × 2^shift` in decimal.
fn shifted_decimal(significand: u64, shift: u32) -> String {
    const LIMB: u64 = 1_000_000_000;
    let mut limbs = vec![
        significand % LIMB,
        significand / LIMB % LIMB,
        significand / LIMB / LIMB,
    ];
    let mut left = shift;
    while left > 0 {
        let step = left.min(32);
        left -= step;
        let mut carry = 0;
        for limb in &mut limbs {
            let wide = (*limb << step) + carry;
            *limb = wide % LIMB;
            carry = wide / LIMB;
        }
        while carry > 0 {
            limbs.push(carry % LIMB);
            carry /= LIMB;
        }
    }
    while limbs.len() > 1 && limbs.last() == Some(&0) {
        limbs.pop();
    }
    let mut text = String::with_capacity(limbs.len() * 9);
    for (i, limb) in limbs.iter().rev().enumerate() {
        use std::fmt::Write;
        let written = if i == 0 {
            write!(text, "{limb}")
        } else {
            write!(text, "{limb:09}")
        };
        written.expect("a string takes any text");
    }
    text
}
