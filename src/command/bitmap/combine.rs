//! BITOP: bitmaps combined into one.

use super::super::args::is;
use super::super::settings::notify;
use super::super::{Args, Ctx, Fail};
use crate::data::Str;
use crate::keyspace::Value;
use crate::mutation::Mutation;
use crate::resp::Out;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    And,
    Or,
    Xor,
    Not,
}

/// BITOP AND | OR | XOR | NOT destination key [key ...]: replies the result's length in bytes.
pub fn bitop(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (target, keys) = (args[2], &args[3..]);
    let ops = [
        ("AND", Op::And),
        ("OR", Op::Or),
        ("XOR", Op::Xor),
        ("NOT", Op::Not),
    ];
    let (_, op) = ops
        .into_iter()
        .find(|(word, _)| is(args[1], word))
        .ok_or(Fail::SYNTAX)?;
    if op == Op::Not && keys.len() != 1 {
        return Err(Fail::BITOP_NOT_ONE_KEY);
    }
    for key in keys {
        ctx.string(key)?;
    }
    let result = combine(ctx, op, keys);
    if !result.is_empty() {
        ctx.lookup_write(target);
        ctx.set_string(target, &result, 0)?;
        ctx.notify(notify::STRING, "set", target);
    } else if ctx.lookup_write(target).is_some() {
        ctx.apply(Mutation::Del {
            db: ctx.db,
            key: target,
        })?;
        ctx.notify(notify::GENERIC, "del", target);
    }
    out.len_int(result.len());
    Ok(())
}

/// Keys that were looked at, combined; shorter ones count as filled with zeros, absent ones as empty.
fn combine(ctx: &Ctx<'_>, op: Op, keys: Args<'_>) -> Vec<u8> {
    let string = |key: &[u8]| {
        ctx.peek(ctx.db, key)
            .and_then(|e| Value::as_str(&e.value))
            .map(Str::as_bytes)
    };
    let len = keys
        .iter()
        .filter_map(|key| string(key))
        .map(|s| s.len())
        .max()
        .unwrap_or(0);
    let mut result = Vec::with_capacity(len);
    result.extend_from_slice(string(keys[0]).as_deref().unwrap_or(b""));
    result.resize(len, 0);
    if op == Op::Not {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
    for key in &keys[1..] {
        let other = string(key);
        let other = other.as_deref().unwrap_or(b"");
        let (shared, beyond) = result.split_at_mut(other.len());
        let pairs = shared.iter_mut().zip(other);
        match op {
            Op::And => {
                pairs.for_each(|(a, b)| *a &= b);
                beyond.fill(0);
            }
            Op::Or => pairs.for_each(|(a, b)| *a |= b),
            Op::Xor => pairs.for_each(|(a, b)| *a ^= b),
            Op::Not => {}
        }
    }
    result
}
