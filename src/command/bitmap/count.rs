//! Counting and finding bits: BITCOUNT and BITPOS.

use std::ops::Range;

use super::super::args::{int, is};
use super::super::string::byte_range;
use super::super::{Args, Ctx, Fail};
use crate::resp::Out;

/// BITCOUNT key [start end [BYTE | BIT]]
pub fn bitcount(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    // An absent key is told before a wrong range.
    let Some(string) = ctx.string(args[1])? else {
        out.int(0);
        return Ok(());
    };
    let bytes = string.as_bytes();
    let range = match args.len() {
        2 => Some(0..bytes.len() * 8),
        4 | 5 => {
            let (start, end) = (int(args[2])?, int(args[3])?);
            if start < 0 && end < 0 && start > end {
                None
            } else {
                bit_range(start, Some(end), args.get(4), bytes.len())?
            }
        }
        _ => return Err(Fail::SYNTAX),
    };
    out.int(range.map_or(0, |range| count(&bytes, range)) as i64);
    Ok(())
}

/// BITPOS key bit [start [end [BYTE | BIT]]]
pub fn bitpos(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let bit = match int(args[2])? {
        0 => false,
        1 => true,
        _ => return Err(Fail::BIT_ARGUMENT),
    };
    let Some(string) = ctx.string(args[1])? else {
        out.int(if bit { -1 } else { 0 });
        return Ok(());
    };
    let bytes = string.as_bytes();
    // What stands in the unit's place is judged before the end.
    let unit = args.get(5);
    let (start, end) = match args.len() {
        3 => (0, None),
        4 => (int(args[3])?, None),
        5 | 6 => {
            let start = int(args[3])?;
            counts_bits(unit)?;
            (start, Some(int(args[4])?))
        }
        _ => return Err(Fail::SYNTAX),
    };
    let range = bit_range(start, end, unit, bytes.len())?;
    let found = match &range {
        None => None,
        Some(range) => find(&bytes, range.clone(), bit)
            // Without an end the string counts as followed by zeros.
            .or((!bit && end.is_none()).then_some(range.end)),
    };
    out.int(found.map_or(-1, |at| at as i64));
    Ok(())
}

/// Whether a range is in bits, by the argument behind it.
fn counts_bits(unit: Option<&&[u8]>) -> Result<bool, Fail> {
    match unit {
        None => Ok(false),
        Some(unit) if is(unit, "BIT") => Ok(true),
        Some(unit) if is(unit, "BYTE") => Ok(false),
        Some(_) => Err(Fail::SYNTAX),
    }
}

/// A range of a string as bits; `None` where it is empty. No `end`: to the string's end.
fn bit_range(
    start: i64,
    end: Option<i64>,
    unit: Option<&&[u8]>,
    len: usize,
) -> Result<Option<Range<usize>>, Fail> {
    let end = end.unwrap_or(-1);
    Ok(if counts_bits(unit)? {
        byte_range(start, end, len * 8)
    } else {
        byte_range(start, end, len).map(|range| range.start * 8..range.end * 8)
    })
}

/// The bits of a range: its whole bytes, and those at its edges with other bits cleared.
fn split(bytes: &[u8], range: Range<usize>) -> (u8, &[u8], u8) {
    let (first, last) = (range.start / 8, (range.end - 1) / 8);
    let head = 0xff >> (range.start % 8);
    let tail = 0xff << (7 - (range.end - 1) % 8);
    if first == last {
        (bytes[first] & head & tail, &[], 0)
    } else {
        (
            bytes[first] & head,
            &bytes[first + 1..last],
            bytes[last] & tail,
        )
    }
}

/// How many bits of a range that is not empty are set.
fn count(bytes: &[u8], range: Range<usize>) -> u64 {
    if range.is_empty() {
        return 0;
    }
    let (head, middle, tail) = split(bytes, range);
    let mut words = middle.chunks_exact(8);
    let whole: u64 = words
        .by_ref()
        .map(|w| u64::from(word(w).count_ones()))
        .sum();
    let rest: u32 = words.remainder().iter().map(|b| b.count_ones()).sum();
    whole + u64::from(rest + head.count_ones() + tail.count_ones())
}

/// The first bit of a range that is not empty with this value.
fn find(bytes: &[u8], range: Range<usize>, bit: bool) -> Option<usize> {
    let (first, last) = (range.start / 8, (range.end - 1) / 8);
    // Seen so that the bit looked for is a one.
    let seen = |byte: u8| if bit { byte } else { !byte };
    let none = if bit { 0 } else { u64::MAX };
    let edge = |at: usize| {
        let at_first = if at == first {
            0xff >> (range.start % 8)
        } else {
            0xff
        };
        let at_last = if at == last {
            0xffu8 << (7 - (range.end - 1) % 8)
        } else {
            0xff
        };
        let byte = seen(bytes[at]) & at_first & at_last;
        (byte != 0).then(|| at * 8 + byte.leading_zeros() as usize)
    };
    let middle = || {
        let inner = bytes.get(first + 1..last)?;
        // Whole words first: what is looked for may be far away.
        let words = inner
            .chunks_exact(8)
            .take_while(|w| word(w) == none)
            .count();
        let at = inner[words * 8..].iter().position(|&b| seen(b) != 0)?;
        edge(first + 1 + words * 8 + at)
    };
    edge(first).or_else(middle).or_else(|| edge(last))
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes.try_into().expect("a chunk of eight bytes"))
}
