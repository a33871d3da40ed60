//! LINDEX, LLEN, LPOS, LRANGE.

use super::{index, range};
use crate::command::{Args, Ctx, Cursor, Fail, args};
use crate::resp::Out;

pub fn lindex(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let Some(list) = ctx.list(args[1])? else {
        out.null();
        return Ok(());
    };
    let at = index(args::int(args[2])?, list.len());
    out.bulk_or_null(at.and_then(|i| list.get(i)));
    Ok(())
}

pub fn llen(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.len_int(ctx.list(args[1])?.map_or(0, |list| list.len()));
    Ok(())
}

pub fn lrange(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (start, stop) = (args::int(args[2])?, args::int(args[3])?);
    let Some(list) = ctx.list(args[1])? else {
        out.array(0);
        return Ok(());
    };
    let (first, count) = range(start, stop, list.len());
    out.array(count);
    for value in list.iter_from(first).take(count) {
        out.bulk(value);
    }
    Ok(())
}

/// What LPOS looks for.
struct Search {
    /// Which match is the first that counts, from 1.
    rank: u64,
    backwards: bool,
    /// COUNT: how many matches are replied, 0 for all; `None`: one, not as an array.
    count: Option<u64>,
    /// Elements looked at, at most.
    len_max: usize,
}

impl Search {
    fn parse(mut args: Cursor<'_>) -> Result<Search, Fail> {
        let (mut rank, mut count, mut len_max) = (1, None, 0);
        while !args.is_empty() {
            if args.left() < 2 {
                return Err(Fail::SYNTAX);
            }
            if args.keyword("rank") {
                rank = args::int_between(args.next()?, -i64::MAX, i64::MAX)?;
                if rank == 0 {
                    return Err(Fail::new(
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
                    ));
                }
            } else if args.keyword("count") {
                let negative = Fail::new("ERR COUNT can't be negative");
                count = Some(args::int_from(args.next()?, 0, negative)? as u64);
            } else if args.keyword("maxlen") {
                let negative = Fail::new("ERR MAXLEN can't be negative");
                len_max = args::int_from(args.next()?, 0, negative)? as usize;
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        Ok(Search {
            rank: rank.unsigned_abs(),
            backwards: rank < 0,
            count,
            len_max: if len_max == 0 { usize::MAX } else { len_max },
        })
    }

    /// The places that were asked for, among elements given in the order of the search.
    fn places<'a>(
        &self,
        elements: impl Iterator<Item = &'a [u8]>,
        wanted: &[u8],
    ) -> impl Iterator<Item = usize> {
        let places = elements
            .take(self.len_max)
            .enumerate()
            .filter(move |(_, element)| *element == wanted);
        let count = match self.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
        };
        places
            .map(|(i, _)| i)
            .skip(usize::try_from(self.rank - 1).unwrap_or(usize::MAX))
            .take(count)
    }
}

pub fn lpos(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let search = Search::parse(Cursor::from(args, 3))?;
    let mut found = Vec::new();
    if let Some(list) = ctx.list(args[1])? {
        let last = list.len() - 1;
        if search.backwards {
            let places = search.places(list.iter_back_from(last), args[2]);
            found.extend(places.map(|i| last - i));
        } else {
            found.extend(search.places(list.iter(), args[2]));
        }
    }
    if search.count.is_some() {
        out.array(found.len());
        found.iter().for_each(|&i| out.len_int(i));
    } else {
        match found.first() {
            Some(&i) => out.len_int(i),
            None => out.null(),
        }
    }
    Ok(())
}
