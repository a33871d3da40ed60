//! LCS: the longest common subsequence of two strings.
//!
//! The table takes 4 bytes for each pair of positions; it is bounded by proto-max-bulk-len, as in Redis.

use std::ops::Range;

use super::super::{Args, Ctx, Cursor, Fail};
use crate::data::Str;
use crate::keyspace::Value;
use crate::resp::Out;

/// Strings from this length on are refused whatever the other one is.
const LEN_LIMIT: usize = u32::MAX as usize - 1;

#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    /// Shorter matches are left out.
    match_len_min: i64,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, Fail> {
        let mut options = Options::default();
        let mut cursor = Cursor::from(args, 3);
        while !cursor.is_empty() {
            if cursor.keyword("IDX") {
                options.idx = true;
            } else if cursor.keyword("LEN") {
                options.len = true;
            } else if cursor.keyword("WITHMATCHLEN") {
                options.with_match_len = true;
            } else if cursor.keyword("MINMATCHLEN") {
                options.match_len_min = cursor.int()?;
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        if options.len && options.idx {
            return Err(Fail::LCS_LEN_AND_IDX);
        }
        Ok(options)
    }
}

/// LCS key1 key2 [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN]
pub fn lcs(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let keys = [args[1], args[2]];
    // Both are looked at before either is judged.
    let strings = keys.map(|key| {
        let entry = ctx.lookup(key);
        entry.is_none_or(|e| e.value.as_str().is_some())
    });
    if strings.contains(&false) {
        return Err(Fail::LCS_NOT_STRINGS);
    }
    let options = Options::parse(args)?;
    let [a, b] = keys.map(|key| {
        ctx.peek(ctx.db, key)
            .and_then(|e| Value::as_str(&e.value))
            .map(Str::as_bytes)
    });
    let (a, b) = (a.as_deref().unwrap_or(b""), b.as_deref().unwrap_or(b""));
    let table = Table::new(a, b, ctx.settings.bulk_len_max)?;
    if options.len {
        out.len_int(table.len());
    } else if options.idx {
        reply_matches(&table, &options, out);
    } else {
        let mut text = Vec::with_capacity(table.len());
        for (i, _) in table.pairs() {
            text.push(a[i]);
        }
        text.reverse();
        out.bulk(&text);
    }
    Ok(())
}

fn reply_matches(table: &Table<'_>, options: &Options, out: &mut Out) {
    out.map(2);
    out.bulk(b"matches");
    let begun = out.deferred();
    let mut count = 0;
    for (in_a, in_b) in table.matches() {
        if (in_a.len() as i64) < options.match_len_min {
            continue;
        }
        count += 1;
        out.array(2 + usize::from(options.with_match_len));
        for range in [&in_a, &in_b] {
            out.array(2);
            out.len_int(range.start);
            out.len_int(range.end - 1);
        }
        if options.with_match_len {
            out.len_int(in_a.len());
        }
    }
    out.end_array(begun, count);
    out.bulk(b"len");
    out.len_int(table.len());
}

/// For each pair of prefixes the length of their longest common subsequence.
struct Table<'a> {
    a: &'a [u8],
    b: &'a [u8],
    cells: Vec<u32>,
}

impl<'a> Table<'a> {
    fn new(a: &'a [u8], b: &'a [u8], bytes_max: u64) -> Result<Self, Fail> {
        if a.len().max(b.len()) >= LEN_LIMIT {
            return Err(Fail::LCS_TOO_LONG);
        }
        let width = b.len() + 1;
        let count = (a.len() + 1) as u128 * width as u128;
        if count * size_of::<u32>() as u128 > u128::from(bytes_max) {
            return Err(Fail::LCS_TABLE_TOO_LARGE);
        }
        let mut cells = Vec::new();
        cells
            .try_reserve_exact(count as usize)
            .map_err(|_| Fail::LCS_NO_MEMORY)?;
        cells.resize(count as usize, 0u32);
        for (i, &byte) in a.iter().enumerate() {
            let (above, row) = cells[i * width..(i + 2) * width].split_at_mut(width);
            for (j, &other) in b.iter().enumerate() {
                row[j + 1] = if byte == other {
                    above[j] + 1
                } else {
                    above[j + 1].max(row[j])
                };
            }
        }
        Ok(Table { a, b, cells })
    }

    /// The length for the first `i` bytes of `a` and the first `j` of `b`.
    fn at(&self, i: usize, j: usize) -> u32 {
        self.cells[i * (self.b.len() + 1) + j]
    }

    fn len(&self) -> usize {
        self.at(self.a.len(), self.b.len()) as usize
    }

    /// The positions that are common, the last ones first.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        std::iter::from_fn(move || {
            while i > 0 && j > 0 {
                if self.a[i - 1] == self.b[j - 1] {
                    (i, j) = (i - 1, j - 1);
                    return Some((i, j));
                }
                if self.at(i - 1, j) > self.at(i, j - 1) {
                    i -= 1;
                } else {
                    j -= 1;
                }
            }
            None
        })
    }

    /// The pairs as ranges in which both strings agree byte for byte, the last ones first.
    fn matches(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let mut matches: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        for (i, j) in self.pairs() {
            match matches.last_mut() {
                Some((a, b)) if a.start == i + 1 && b.start == j + 1 => {
                    (a.start, b.start) = (i, j);
                }
                _ => matches.push((i..i + 1, j..j + 1)),
            }
        }
        matches
    }
}
