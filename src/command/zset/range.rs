//! Which members a command means: by rank, by score or by the members' bytes, as ranks of one set.
//!
//! **Invariant.** A range costs O(log n) to find, however many members it has, and a span lies
//! within its set.

use std::ops;

use crate::base::number;
use crate::command::{Fail, args::int};
use crate::data::ZSet;
use crate::data::zset;

/// Members, given by a lower and an upper bound.
#[derive(Debug, Clone, Copy)]
pub enum Range<'a> {
    /// From one rank to another, both included; negative ones count from the end.
    Rank {
        start: i64,
        stop: i64,
    },
    Score {
        min: Bound<f64>,
        max: Bound<f64>,
    },
    Lex {
        min: LexBound<'a>,
        max: LexBound<'a>,
    },
}

/// An end of a range.
#[derive(Debug, Clone, Copy)]
pub struct Bound<T> {
    pub at: T,
    /// The bound itself is not part of the range.
    pub open: bool,
}

/// An end of a range of members.
#[derive(Debug, Clone, Copy)]
pub enum LexBound<'a> {
    /// `-`: before every member.
    Lowest,
    /// `+`: after every member.
    Highest,
    Member(Bound<&'a [u8]>),
}

/// Neighbouring ranks, counted from the lowest.
pub type Span = ops::Range<usize>;

impl<'a> Range<'a> {
    /// Two indices, as ZRANGE has them.
    pub fn rank(start: &[u8], stop: &[u8]) -> Result<Self, Fail> {
        Ok(Range::Rank {
            start: int(start)?,
            stop: int(stop)?,
        })
    }

    /// Two scores, each with `(` before it where it is not part of the range.
    pub fn score(min: &[u8], max: &[u8]) -> Result<Self, Fail> {
        let bound = |text: &[u8]| {
            let (open, text) = match text {
                [b'(', text @ ..] => (true, text),
                _ => (false, text),
            };
            let at = number::parse_bound(text)?;
            Some(Bound { at, open })
        };
        let both = bound(min).zip(bound(max));
        let (min, max) = both.ok_or(Fail::MIN_MAX_FLOAT)?;
        Ok(Range::Score { min, max })
    }

    /// Two members, each after `[` or `(`, or `-` or `+`.
    pub fn lex(min: &'a [u8], max: &'a [u8]) -> Result<Self, Fail> {
        let bound = |text: &'a [u8]| match *text {
            // To Redis a text ends at a zero byte, here.
            [b'-'] | [b'-', 0, ..] => Some(LexBound::Lowest),
            [b'+'] | [b'+', 0, ..] => Some(LexBound::Highest),
            [b'(', ref at @ ..] => Some(LexBound::Member(Bound { at, open: true })),
            [b'[', ref at @ ..] => Some(LexBound::Member(Bound { at, open: false })),
            _ => None,
        };
        let both = bound(min).zip(bound(max));
        let (min, max) = both.ok_or(Fail::MIN_MAX_LEX)?;
        Ok(Range::Lex { min, max })
    }

    /// The range's members in a set. With `rev`, ranks count from the highest member.
    pub fn span(&self, zset: &ZSet, rev: bool) -> Span {
        let len = zset.len();
        match *self {
            Range::Rank { start, stop } => {
                let from_end = |rank: i64| if rank < 0 { rank + len as i64 } else { rank };
                let (start, stop) = (from_end(start).max(0), from_end(stop));
                if start > stop || start >= len as i64 {
                    return 0..0;
                }
                let (start, end) = (start as usize, (stop as usize).min(len - 1) + 1);
                if rev {
                    len - end..len - start
                } else {
                    start..end
                }
            }
            Range::Score { min, max } => {
                let start = zset.lower_bound_score(min.at, min.open);
                let end = zset.lower_bound_score(max.at, !max.open);
                start..end.max(start)
            }
            Range::Lex { min, max } => {
                let start = match min {
                    LexBound::Lowest => 0,
                    LexBound::Highest => len,
                    LexBound::Member(bound) => zset.lower_bound_lex(bound.at, bound.open),
                };
                let end = match max {
                    LexBound::Lowest => 0,
                    LexBound::Highest => len,
                    LexBound::Member(bound) => zset.lower_bound_lex(bound.at, !bound.open),
                };
                start..end.max(start)
            }
        }
    }
}

/// What LIMIT leaves of a span, which is read from its end if `rev`. A negative offset leaves
/// nothing, a negative count takes all.
pub fn limit(span: Span, rev: bool, offset: i64, count: i64) -> Span {
    let Ok(skip) = usize::try_from(offset) else {
        return 0..0;
    };
    let skip = skip.min(span.len());
    let left = span.len() - skip;
    let take = usize::try_from(count).map_or(left, |count| count.min(left));
    if rev {
        let end = span.end - skip;
        end - take..end
    } else {
        let start = span.start + skip;
        start..start + take
    }
}

/// The members of a span with their scores, from its end if `rev`.
pub fn members(zset: &ZSet, span: Span, rev: bool) -> zset::Range<'_> {
    let first = if rev {
        span.end.saturating_sub(1)
    } else {
        span.start
    };
    zset.range_by_rank(first, span.len(), rev)
}
