//! ZRANGE, its older forms, ZRANGESTORE, and the counts of a range.

use super::range::{self, Range};
use super::{Member, Shape, emit, replace};
use crate::command::{Args, Ctx, Cursor, Fail};
use crate::resp::Out;

/// What a range goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Rank,
    Score,
    Lex,
}

impl By {
    /// The range between two arguments, the lower one first.
    pub fn range<'a>(self, min: &'a [u8], max: &'a [u8]) -> Result<Range<'a>, Fail> {
        match self {
            By::Rank => Range::rank(min, max),
            By::Score => Range::score(min, max),
            By::Lex => Range::lex(min, max),
        }
    }
}

/// A range with its options.
struct Query<'a> {
    key: &'a [u8],
    range: Range<'a>,
    rev: bool,
    with_scores: bool,
    offset: i64,
    count: i64,
}

impl<'a> Query<'a> {
    /// Reads `key min max [options]` from the argument `at` on. `by` and `rev` are options only
    /// where they are not given; a query to be stored takes no WITHSCORES.
    fn parse(
        args: Args<'a>,
        at: usize,
        mut by: Option<By>,
        mut rev: Option<bool>,
        store: bool,
    ) -> Result<Self, Fail> {
        let (mut with_scores, mut offset, mut count) = (false, 0, -1);
        let mut cursor = Cursor::from(args, at + 3);
        while !cursor.is_empty() {
            if !store && cursor.keyword("withscores") {
                with_scores = true;
            } else if cursor.left() > 2 && cursor.keyword("limit") {
                offset = cursor.int()?;
                count = cursor.int()?;
            } else if rev.is_none() && cursor.keyword("rev") {
                rev = Some(true);
            } else if by.is_none() && cursor.keyword("bylex") {
                by = Some(By::Lex);
            } else if by.is_none() && cursor.keyword("byscore") {
                by = Some(By::Score);
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        let (by, rev) = (by.unwrap_or(By::Rank), rev.unwrap_or(false));
        if count != -1 && by == By::Rank {
            return Err(Fail::new(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Lex {
            return Err(Fail::new(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let (min, max) = match by {
            By::Score | By::Lex if rev => (args[at + 2], args[at + 1]),
            _ => (args[at + 1], args[at + 2]),
        };
        // With ranks only a LIMIT that limits nothing passes, whatever its offset.
        if by == By::Rank {
            offset = 0;
        }
        Ok(Query {
            key: args[at],
            range: by.range(min, max)?,
            rev,
            with_scores,
            offset,
            count,
        })
    }

    fn reply(&self, ctx: &mut Ctx<'_>, out: &mut Out) -> Result<(), Fail> {
        let Some(zset) = ctx.zset(self.key)? else {
            out.array(0);
            return Ok(());
        };
        let span = self.range.span(zset, self.rev);
        let span = range::limit(span, self.rev, self.offset, self.count);
        let shape = Shape::scores(self.with_scores, out);
        let len = span.len();
        emit(out, len, range::members(zset, span, self.rev), shape);
        Ok(())
    }
}

/// ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]
pub fn zrange(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    Query::parse(args, 1, None, None, false)?.reply(ctx, out)
}

/// The older forms, whose names say what ZRANGE has as options.
pub fn fixed(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    out: &mut Out,
    by: By,
    rev: bool,
) -> Result<(), Fail> {
    Query::parse(args, 1, Some(by), Some(rev), false)?.reply(ctx, out)
}

/// ZRANGESTORE destination source min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]
pub fn zrangestore(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let query = Query::parse(args, 2, None, None, true)?;
    let members: Vec<Member> = match ctx.zset(query.key)? {
        None => Vec::new(),
        Some(zset) => {
            let span = query.range.span(zset, query.rev);
            let span = range::limit(span, query.rev, query.offset, query.count);
            range::members(zset, span, false)
                .map(|(member, score)| (member.into(), score))
                .collect()
        }
    };
    replace(ctx, args[1], &members, "zrangestore")?;
    out.len_int(members.len());
    Ok(())
}

/// ZCOUNT key min max
pub fn zcount(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    count(ctx, args, out, By::Score)
}

/// ZLEXCOUNT key min max
pub fn zlexcount(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    count(ctx, args, out, By::Lex)
}

fn count(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out, by: By) -> Result<(), Fail> {
    let range = by.range(args[2], args[3])?;
    let zset = ctx.zset(args[1])?;
    out.len_int(zset.map_or(0, |zset| range.span(zset, false).len()));
    Ok(())
}
