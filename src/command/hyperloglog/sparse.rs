//! Sparse registers: runs of equal ones as opcodes of a byte or two.
//!
//! `00nnnnnn`: n+1 zeros. `01nnnnnn nnnnnnnn`: n+1 zeros. `1vvvvvnn`: n+1 registers of value v+1.
//! Always: opcodes are changed exactly as Redis changes them, so that equal elements give equal bytes.

use std::ops::Range;

use super::sketch::Corrupt;

/// The largest value that an opcode can say.
pub const VALUE_MAX: u8 = 32;
const VALUE_RUN_MAX: usize = 4;
const ZERO_RUN_MAX: usize = 64;
/// After a change, opcodes that may be merged are looked for among this many.
const MERGE_OPS: usize = 5;

/// What an opcode stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op {
    /// Where its bytes begin.
    pub at: usize,
    /// Its bytes.
    pub width: usize,
    /// 0 for zeros.
    pub value: u8,
    /// Registers.
    pub len: usize,
}

/// The opcodes in order; ends early where the last one is cut off.
pub fn ops(opcodes: &[u8]) -> impl Iterator<Item = Op> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let op = decode(opcodes, at)?;
        at += op.width;
        Some(op)
    })
}

fn decode(opcodes: &[u8], at: usize) -> Option<Op> {
    let byte = *opcodes.get(at)?;
    let low = usize::from(byte & 0x3f);
    let (width, value, len) = match byte >> 6 {
        0 => (1, 0, low + 1),
        1 => (2, 0, (low << 8 | usize::from(*opcodes.get(at + 1)?)) + 1),
        _ => (1, (byte >> 2 & 0x1f) + 1, usize::from(byte & 3) + 1),
    };
    Some(Op {
        at,
        width,
        value,
        len,
    })
}

/// Writes zeros; none for a length of 0.
fn push_zeros(opcodes: &mut Vec<u8>, len: usize) {
    let Some(rest) = len.checked_sub(1) else {
        return;
    };
    if len > ZERO_RUN_MAX {
        opcodes.push(0x40 | (rest >> 8) as u8);
    }
    opcodes.push(rest as u8);
}

/// Writes registers of a value; none for a length of 0.
fn push_value(opcodes: &mut Vec<u8>, value: u8, len: usize) {
    if len > 0 {
        opcodes.push(value_op(value, len));
    }
}

fn value_op(value: u8, len: usize) -> u8 {
    0x80 | (value - 1) << 2 | (len - 1) as u8
}

/// An empty set of that many registers, at most 16384.
pub fn zeros(len: usize) -> Vec<u8> {
    let mut opcodes = Vec::new();
    push_zeros(&mut opcodes, len);
    opcodes
}

/// What raising a register came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Raised {
    /// It was as high already.
    Not,
    Done,
    /// Nothing was changed: there is no room, or no opcode for the value.
    NoRoom,
}

/// Raises a register to a value where it is lower. `len_max` bounds the opcodes, bytes.
pub fn raise(
    opcodes: &mut Vec<u8>,
    register: usize,
    value: u8,
    len_max: usize,
) -> Result<Raised, Corrupt> {
    if value > VALUE_MAX {
        return Ok(Raised::NoRoom);
    }
    let (before, op, first) = find(opcodes, register).ok_or(Corrupt)?;
    if op.value >= value {
        return Ok(Raised::Not);
    }
    let mut replacement = Vec::with_capacity(5);
    let (left, right) = (register - first, first + op.len - 1 - register);
    if op.value == 0 {
        push_zeros(&mut replacement, left);
        push_value(&mut replacement, value, 1);
        push_zeros(&mut replacement, right);
    } else {
        push_value(&mut replacement, op.value, left);
        push_value(&mut replacement, value, 1);
        push_value(&mut replacement, op.value, right);
    }
    let grows = replacement.len() > op.width;
    if grows && opcodes.len() + replacement.len() - op.width > len_max {
        return Ok(Raised::NoRoom);
    }
    opcodes.splice(bytes_of(op), replacement);
    merge(opcodes, before.unwrap_or(0));
    Ok(Raised::Done)
}

fn bytes_of(op: Op) -> Range<usize> {
    op.at..op.at + op.width
}

/// The opcode of a register, where the one before it is, and the first register it stands for.
fn find(opcodes: &[u8], register: usize) -> Option<(Option<usize>, Op, usize)> {
    let (mut first, mut before) = (0, None);
    for op in ops(opcodes) {
        if register < first + op.len {
            return Some((before, op, first));
        }
        before = Some(op.at);
        first += op.len;
    }
    None
}

/// Makes neighbours of one value into one opcode, near `at`.
fn merge(opcodes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..MERGE_OPS {
        let Some(op) = decode(opcodes, at) else {
            return;
        };
        let next = decode(opcodes, at + op.width);
        match next {
            Some(next)
                if op.value > 0 && next.value == op.value && op.len + next.len <= VALUE_RUN_MAX =>
            {
                opcodes[at] = value_op(op.value, op.len + next.len);
                opcodes.remove(next.at);
            }
            _ => at += op.width,
        }
    }
}
