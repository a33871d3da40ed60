//! How SET and GETEX are told when a value expires: EX, PX, EXAT, PXAT, KEEPTTL, PERSIST.
//!
//! Always: what comes out is a time in milliseconds since 1970, greater than zero. It may lie in the past.

use super::super::args::int;
use super::super::{Cursor, Fail};

/// What a number in an option means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds from now.
    Ex,
    /// Milliseconds from now.
    Px,
    /// Seconds since 1970.
    ExAt,
    /// Milliseconds since 1970.
    PxAt,
}

impl Unit {
    /// Takes the next argument if it names a unit.
    fn take(cursor: &mut Cursor<'_>) -> Option<Unit> {
        let units = [
            ("EX", Unit::Ex),
            ("PX", Unit::Px),
            ("EXAT", Unit::ExAt),
            ("PXAT", Unit::PxAt),
        ];
        units
            .into_iter()
            .find_map(|(word, unit)| cursor.keyword(word).then_some(unit))
    }

    /// Whether the number is a point in time rather than a duration.
    pub fn is_absolute(self) -> bool {
        matches!(self, Unit::ExAt | Unit::PxAt)
    }

    /// The time that an argument of this unit means. `command` is named by the error.
    pub fn resolve(self, arg: &[u8], now: u64, command: &str) -> Result<u64, Fail> {
        let number = int(arg)?;
        let factor = match self {
            Unit::Ex | Unit::ExAt => 1000,
            Unit::Px | Unit::PxAt => 1,
        };
        let base = if self.is_absolute() { 0 } else { now as i64 };
        Some(number)
            .filter(|&n| n > 0)
            .and_then(|n| n.checked_mul(factor))
            .and_then(|ms| ms.checked_add(base))
            .map(|at| at as u64)
            .ok_or_else(|| Fail::expire_time(command))
    }
}

/// What a command says of a value's expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime<'a> {
    /// No option: SET's value never expires, GETEX changes nothing.
    Unsaid,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// A unit and its number, not yet looked at.
    Until(Unit, &'a [u8]),
}

impl<'a> Lifetime<'a> {
    /// Takes one of SET's options if the next one is about the lifetime; says whether it was.
    pub fn take_for_set(&mut self, cursor: &mut Cursor<'a>) -> Result<bool, Fail> {
        self.take(cursor, "KEEPTTL", Lifetime::Keep)
    }

    /// Likewise one of GETEX's.
    pub fn take_for_get(&mut self, cursor: &mut Cursor<'a>) -> Result<bool, Fail> {
        self.take(cursor, "PERSIST", Lifetime::Persist)
    }

    /// The same option may be repeated, the last one counts; two different ones are a syntax error.
    fn take(
        &mut self,
        cursor: &mut Cursor<'a>,
        word: &str,
        meaning: Lifetime<'a>,
    ) -> Result<bool, Fail> {
        let said = if cursor.keyword(word) {
            meaning
        } else if let Some(unit) = Unit::take(cursor) {
            Lifetime::Until(unit, cursor.next()?)
        } else {
            return Ok(false);
        };
        let agrees = match (*self, said) {
            (Lifetime::Unsaid, _) => true,
            (Lifetime::Until(was, _), Lifetime::Until(unit, _)) => was == unit,
            (was, said) => was == said,
        };
        if !agrees {
            return Err(Fail::SYNTAX);
        }
        *self = said;
        Ok(true)
    }

    /// The time that was said, if one was.
    pub fn resolve(self, now: u64, command: &str) -> Result<Option<u64>, Fail> {
        match self {
            Lifetime::Until(unit, arg) => unit.resolve(arg, now, command).map(Some),
            _ => Ok(None),
        }
    }
}
