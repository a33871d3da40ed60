//! BITFIELD and BITFIELD_RO: integers of any width at any place.
//!
//! Always: all operations are parsed before the first one runs, and none fails after that. What an
//! operation changes is one mutation of the one to nine bytes that hold its field.

use super::super::args::int;
use super::super::settings::notify;
use super::super::{Args, Ctx, Cursor, Fail};
use super::bit::field_offset;
use crate::base::number;
use crate::data::Str;
use crate::keyspace::Value;
use crate::resp::Out;

/// What happens to a value that its field cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overflow {
    /// The bits that do not fit are lost.
    Wrap,
    /// The nearest value that fits is taken.
    Saturate,
    /// Nothing is written; the reply is null.
    Fail,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

#[derive(Debug, Clone, Copy)]
struct Op {
    action: Action,
    field: Field,
    overflow: Overflow,
}

/// Where an integer is, and how it is to be read.
#[derive(Debug, Clone, Copy)]
struct Field {
    signed: bool,
    /// 1 to 64, unsigned to 63.
    bits: u32,
    /// In bits from the string's start.
    offset: u64,
}

/// BITFIELD key [GET type offset | SET type offset value | INCRBY type offset increment
/// | OVERFLOW WRAP | SAT | FAIL] ...
pub fn bitfield(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let ops = parse(ctx, args)?;
    let writes = ops.iter().filter(|op| op.writes());
    match writes.map(|op| op.field.end()).max() {
        None => read(ctx, args[1], &ops, out),
        Some(end) => write(ctx, args[1], &ops, end, out),
    }
}

/// BITFIELD_RO key [GET type offset ...]
pub fn bitfield_ro(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let ops = parse(ctx, args)?;
    if ops.iter().any(Op::writes) {
        return Err(Fail::BITFIELD_READ_ONLY);
    }
    read(ctx, args[1], &ops, out)
}

fn parse(ctx: &Ctx<'_>, args: Args<'_>) -> Result<Vec<Op>, Fail> {
    let mut ops = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut cursor = Cursor::from(args, 2);
    while !cursor.is_empty() {
        // A word without enough behind it is a syntax error, whatever the rest is.
        let left = cursor.left() - 1;
        let action = if left >= 2 && cursor.keyword("GET") {
            Action::Get
        } else if left >= 3 && cursor.keyword("SET") {
            Action::Set(0)
        } else if left >= 3 && cursor.keyword("INCRBY") {
            Action::Add(0)
        } else if left >= 1 && cursor.keyword("OVERFLOW") {
            overflow = overflow_type(&mut cursor)?;
            continue;
        } else {
            return Err(Fail::SYNTAX);
        };
        let (signed, bits) = field_type(cursor.next()?)?;
        let field = Field {
            signed,
            bits,
            offset: field_offset(ctx, cursor.next()?, bits)?,
        };
        let action = match action {
            Action::Get => Action::Get,
            Action::Set(_) => Action::Set(int(cursor.next()?)?),
            Action::Add(_) => Action::Add(int(cursor.next()?)?),
        };
        ops.push(Op {
            action,
            field,
            overflow,
        });
    }
    Ok(ops)
}

fn overflow_type(cursor: &mut Cursor<'_>) -> Result<Overflow, Fail> {
    let types = [
        ("WRAP", Overflow::Wrap),
        ("SAT", Overflow::Saturate),
        ("FAIL", Overflow::Fail),
    ];
    types
        .into_iter()
        .find_map(|(word, overflow)| cursor.keyword(word).then_some(overflow))
        .ok_or(Fail::BITFIELD_OVERFLOW_TYPE)
}

/// A type such as `i16` or `u8`: whether it is signed, and its bits.
fn field_type(arg: &[u8]) -> Result<(bool, u32), Fail> {
    let (signed, bits) = match arg {
        [b'i', bits @ ..] => (true, bits),
        [b'u', bits @ ..] => (false, bits),
        _ => return Err(Fail::BITFIELD_TYPE),
    };
    number::parse_i64(bits)
        .filter(|bits| (1..=if signed { 64 } else { 63 }).contains(bits))
        .map(|bits| (signed, bits as u32))
        .ok_or(Fail::BITFIELD_TYPE)
}

fn read(ctx: &mut Ctx<'_>, key: &[u8], ops: &[Op], out: &mut Out) -> Result<(), Fail> {
    let string = ctx.string(key)?.map(Str::as_bytes);
    let bytes = string.as_deref().unwrap_or(b"");
    out.array(ops.len());
    for op in ops {
        out.int(op.field.value(op.field.load(bytes)) as i64);
    }
    Ok(())
}

/// Runs operations of which some write; `end` is the byte behind the last one that any may write.
fn write(ctx: &mut Ctx<'_>, key: &[u8], ops: &[Op], end: usize, out: &mut Out) -> Result<(), Fail> {
    let len = ctx.string_write(key)?.map_or(0, Str::len);
    let grows = len < end;
    let mut changed = false;
    out.array(ops.len());
    for op in ops {
        let word = op.field.load(&bytes(ctx, key));
        let was = op.field.value(word);
        let Some((reply, now)) = op.outcome(was) else {
            out.null();
            continue;
        };
        out.int(reply as i64);
        if now != was {
            let (first, bytes, len) = op.field.store(word, now);
            ctx.set_range(key, first, &bytes[..len])?;
        }
        changed |= op.writes() && (grows || now != was);
    }
    // The string is made long enough for every field, also where zeros or nothing were written.
    if bytes(ctx, key).len() < end {
        ctx.set_range(key, end - 1, &[0])?;
    }
    if changed {
        ctx.notify(notify::STRING, "setbit", key);
    }
    Ok(())
}

/// The string as it is by now; empty where there is none.
fn bytes<'c>(ctx: &'c Ctx<'_>, key: &[u8]) -> crate::data::View<'c> {
    ctx.peek(ctx.db, key)
        .and_then(|entry| Value::as_str(&entry.value))
        .map_or(crate::data::View::Bytes(b""), Str::as_bytes)
}

impl Op {
    fn writes(&self) -> bool {
        !matches!(self.action, Action::Get)
    }

    /// What to reply and what the field holds then, given what it holds; `None` where the value
    /// does not fit and must not be made to.
    fn outcome(&self, was: i128) -> Option<(i128, i128)> {
        let wanted = match self.action {
            Action::Get => return Some((was, was)),
            // As in Redis: a negative value for an unsigned field counts as a huge one.
            Action::Set(value) if !self.field.signed => i128::from(value as u64),
            Action::Set(value) => i128::from(value),
            Action::Add(by) => was + i128::from(by),
        };
        let (min, max) = self.field.bounds();
        let now = match self.overflow {
            _ if (min..=max).contains(&wanted) => wanted,
            Overflow::Wrap => self.field.value_of_bits(wanted as u128),
            Overflow::Saturate => wanted.clamp(min, max),
            Overflow::Fail => return None,
        };
        Some(match self.action {
            Action::Set(_) => (was, now),
            _ => (now, now),
        })
    }
}

impl Field {
    /// The first byte that holds a part of the field.
    fn first(&self) -> usize {
        (self.offset >> 3) as usize
    }

    /// The byte behind the last one that does.
    fn end(&self) -> usize {
        ((self.offset + u64::from(self.bits)).div_ceil(8)) as usize
    }

    /// The bits behind the field in its last byte.
    fn shift(&self) -> u32 {
        (self.end() as u64 * 8 - self.offset) as u32 - self.bits
    }

    fn mask(&self) -> u128 {
        (1 << self.bits) - 1
    }

    fn bounds(&self) -> (i128, i128) {
        if self.signed {
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1 << self.bits) - 1)
        }
    }

    /// The bytes that hold the field as one number, those beyond the end being zero.
    fn load(&self, bytes: &[u8]) -> u128 {
        (self.first()..self.end()).fold(0, |word, at| {
            word << 8 | u128::from(bytes.get(at).copied().unwrap_or(0))
        })
    }

    /// The field's value in that number.
    fn value(&self, word: u128) -> i128 {
        self.value_of_bits(word >> self.shift())
    }

    /// The value that the lowest bits of a number mean here.
    fn value_of_bits(&self, bits: u128) -> i128 {
        let value = (bits & self.mask()) as i128;
        let negative = self.signed && value >> (self.bits - 1) != 0;
        if negative {
            value - (1 << self.bits)
        } else {
            value
        }
    }

    /// That number's bytes with another value in the field: where they go, and how many they are.
    fn store(&self, word: u128, value: i128) -> (usize, [u8; 9], usize) {
        let bits = (value as u128 & self.mask()) << self.shift();
        let word = word & !(self.mask() << self.shift()) | bits;
        let len = self.end() - self.first();
        let mut bytes = [0; 9];
        bytes[..len].copy_from_slice(&word.to_be_bytes()[16 - len..]);
        (self.first(), bytes, len)
    }
}
