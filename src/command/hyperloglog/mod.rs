//! The HyperLogLog commands: counting distinct elements approximately, in at most 12 KiB.
//!
//! A HyperLogLog is a string in Redis's own format, so that values move between the two byte for
//! byte. Always: a string is judged before it is used; whatever it holds, a command replies an
//! error or a number and never panics.

mod debug;
mod dense;
mod estimate;
mod hash;
mod sketch;
mod sparse;

use super::settings::notify;
use super::{Args, Ctx, Fail, Handler};
use crate::data::Str;
use crate::resp::Out;
use estimate::Histogram;
use sketch::{Encoding, REGISTERS, Sketch};

/// Names and handlers.
pub const COMMANDS: &[(&str, Handler)] = &[
    ("pfadd", pfadd),
    ("pfcount", pfcount),
    ("pfdebug", debug::pfdebug),
    ("pfmerge", pfmerge),
    ("pfselftest", debug::pfselftest),
];

/// Changed bytes that lie no further apart are written as one range.
const GAP_MAX: usize = 256;

/// PFADD key [element ...]: replies whether the estimate may have changed.
fn pfadd(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let key = args[1];
    let bytes_max = ctx.settings.hll_sparse_bytes_max;
    let old = load(ctx.string_write(key)?)?;
    let mut sketch = old.clone().unwrap_or_else(Sketch::empty);
    let mut changed = old.is_none();
    for element in &args[2..] {
        let (register, run) = hash::place(element);
        changed |= sketch.raise(register, run, bytes_max)?;
    }
    if changed {
        sketch.forget_count();
        write(ctx, key, old.as_ref(), &sketch)?;
        ctx.notify(notify::STRING, "pfadd", key);
    }
    out.int(i64::from(changed));
    Ok(())
}

/// PFCOUNT key [key ...]: of one key, the count is kept in the value; of several, their union's is
/// computed.
fn pfcount(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if args.len() > 2 {
        let mut union = Union::new();
        for key in &args[1..] {
            union.add(ctx.string(key)?)?;
        }
        out.int(Histogram::of(&union.registers).estimate() as i64);
        return Ok(());
    }
    let Some(string) = ctx.string(args[1])? else {
        out.int(0);
        return Ok(());
    };
    let bytes = string.as_bytes();
    sketch::check(&bytes)?;
    let count = match sketch::kept_count(&bytes) {
        Some(count) => count,
        None => {
            let count = sketch::count(&bytes)?;
            // A standby may not keep it, and counts again the next time.
            if !ctx.standby {
                ctx.set_range(args[1], sketch::COUNT_AT, &count.to_le_bytes())?;
            }
            count
        }
    };
    out.int(count as i64);
    Ok(())
}

/// PFMERGE destination [key ...]: the destination becomes the union of all, itself included.
fn pfmerge(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let key = args[1];
    let mut union = Union::new();
    for key in &args[1..] {
        union.add(ctx.string(key)?)?;
    }
    let bytes_max = ctx.settings.hll_sparse_bytes_max;
    let old = load(ctx.string_write(key)?)?;
    let mut sketch = old.clone().unwrap_or_else(Sketch::empty);
    if union.any_dense {
        sketch.make_dense()?;
    }
    for (register, &run) in union.registers.iter().enumerate() {
        if run > 0 {
            sketch.raise(register, run, bytes_max)?;
        }
    }
    sketch.forget_count();
    write(ctx, key, old.as_ref(), &sketch)?;
    ctx.notify(notify::STRING, "pfadd", key);
    out.ok();
    Ok(())
}

/// The registers of several HyperLogLogs taken together.
struct Union {
    registers: Vec<u8>,
    any_dense: bool,
}

impl Union {
    fn new() -> Self {
        Union {
            registers: vec![0; REGISTERS],
            any_dense: false,
        }
    }

    fn add(&mut self, string: Option<&Str>) -> Result<(), Fail> {
        let Some(string) = string else {
            return Ok(());
        };
        let bytes = string.as_bytes();
        self.any_dense |= sketch::check(&bytes)? == Encoding::Dense;
        let mut at = 0;
        sketch::runs(&bytes, |value, len| {
            for register in &mut self.registers[at..at + len] {
                *register = value.max(*register);
            }
            at += len;
        })?;
        Ok(())
    }
}

/// A key's HyperLogLog, to be changed.
fn load(string: Option<&Str>) -> Result<Option<Sketch>, Fail> {
    string
        .map(|string| Sketch::load(&string.as_bytes()))
        .transpose()
}

/// Writes what changed of a HyperLogLog, at least a byte: who watches the key is told in any case.
fn write(ctx: &mut Ctx<'_>, key: &[u8], old: Option<&Sketch>, new: &Sketch) -> Result<(), Fail> {
    let (old, new) = (old.map_or(&b""[..], Sketch::bytes), new.bytes());
    if new.len() < old.len() {
        // Two opcodes became one. A range cannot shorten a string.
        let expire_at = ctx.peek(ctx.db, key).map_or(0, |entry| entry.expire_at);
        return ctx.set_string(key, new, expire_at);
    }
    let mut changed = (0..new.len()).filter(|&at| old.get(at) != Some(&new[at]));
    let first = changed.next().unwrap_or(sketch::COUNT_AT);
    let mut run = first..first + 1;
    for at in changed {
        if at - run.end > GAP_MAX {
            ctx.set_range(key, run.start, &new[run.clone()])?;
            run = at..at;
        }
        run.end = at + 1;
    }
    ctx.set_range(key, run.start, &new[run])
}
