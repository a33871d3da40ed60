//! Reading arguments: one cursor, so that a command's options read like their documentation.

use crate::base::number;

use super::{Args, Fail};

/// Walks over a command's arguments from the one after its name.
pub struct Cursor<'a> {
    args: Args<'a>,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the first argument after the name.
    pub fn new(args: Args<'a>) -> Self {
        Cursor { args, at: 1 }
    }

    /// At the argument of that index (0 is the name).
    pub fn from(args: Args<'a>, at: usize) -> Self {
        Cursor { args, at }
    }

    pub fn is_empty(&self) -> bool {
        self.at >= self.args.len()
    }

    /// Arguments left.
    pub fn left(&self) -> usize {
        self.args.len().saturating_sub(self.at)
    }

    /// The index of the next argument.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The arguments left.
    pub fn rest(&self) -> Args<'a> {
        &self.args[self.at.min(self.args.len())..]
    }

    /// The next argument, without taking it.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.args.get(self.at).copied()
    }

    /// The next argument; a syntax error where there is none.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<&'a [u8], Fail> {
        let arg = self.peek().ok_or(Fail::SYNTAX)?;
        self.at += 1;
        Ok(arg)
    }

    /// Takes the next argument if it is this keyword, in any case.
    pub fn keyword(&mut self, word: &str) -> bool {
        let is = self
            .peek()
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        self.at += usize::from(is);
        is
    }

    /// The next argument as an integer.
    pub fn int(&mut self) -> Result<i64, Fail> {
        int(self.next()?)
    }

    /// The next argument as a float.
    pub fn float(&mut self) -> Result<f64, Fail> {
        float(self.next()?)
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), Fail> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Fail::SYNTAX)
        }
    }
}

/// An argument as an integer, as Redis reads one.
pub fn int(arg: &[u8]) -> Result<i64, Fail> {
    number::parse_i64(arg).ok_or(Fail::NOT_INTEGER)
}

/// An argument as an integer within bounds; beyond them the error names both.
pub fn int_between(arg: &[u8], min: i64, max: i64) -> Result<i64, Fail> {
    let value = int(arg)?;
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    Err(Fail::text(format!(
        "ERR value is out of range, value must between {min} and {max}"
    )))
}

/// An argument as an integer of at least `min`; the one error for whatever else it is.
pub fn int_from(arg: &[u8], min: i64, otherwise: Fail) -> Result<i64, Fail> {
    match number::parse_i64(arg) {
        Some(value) if value >= min => Ok(value),
        _ => Err(otherwise),
    }
}

/// An argument as the number of a database, of which there are `databases`.
pub fn database(arg: &[u8], databases: u32) -> Result<u32, Fail> {
    let number = int_between(arg, i64::from(i32::MIN), i64::from(i32::MAX))?;
    u32::try_from(number)
        .ok()
        .filter(|&db| db < databases)
        .ok_or(Fail::DB_INDEX)
}

/// An argument as a float, as Redis reads one; NaN is refused.
pub fn float(arg: &[u8]) -> Result<f64, Fail> {
    number::parse_f64(arg).ok_or(Fail::NOT_FLOAT)
}

/// Whether an argument is this keyword, in any case.
pub fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}
