//! PFDEBUG and PFSELFTEST: looking inside, and a test of the arithmetic.

use rand::Rng;

use super::super::args::is;
use super::super::{Args, Ctx, Fail};
use super::sketch::{self, REGISTERS, Sketch};
use super::{dense, hash, load, write};
use crate::resp::Out;

/// Elements that the self-test adds; fewer than in Redis, since other clients wait meanwhile.
const TEST_ELEMENTS: u64 = 1_000_000;
/// Times that the self-test fills all registers.
const TEST_CYCLES: usize = 10;

/// PFDEBUG GETREG | DECODE | ENCODING | TODENSE key
pub fn pfdebug(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (what, key) = (args[1], args[2]);
    let old = load(ctx.string_write(key)?)?.ok_or(Fail::HLL_NO_KEY)?;
    if is(what, "GETREG") {
        let dense = to_dense(ctx, key, &old)?;
        out.array(REGISTERS);
        sketch::runs(dense.bytes(), |value, _| out.int(i64::from(value)))?;
    } else if is(what, "DECODE") {
        if old.is_dense() {
            return Err(Fail::HLL_NOT_SPARSE);
        }
        let ops: Vec<String> = sketch::ops(old.bytes())
            .map(|op| match (op.value, op.width) {
                (0, 1) => format!("z:{}", op.len),
                (0, _) => format!("Z:{}", op.len),
                (value, _) => format!("v:{value},{}", op.len),
            })
            .collect();
        out.bulk(ops.join(" ").as_bytes());
    } else if is(what, "ENCODING") {
        out.simple(if old.is_dense() { "dense" } else { "sparse" });
    } else if is(what, "TODENSE") {
        to_dense(ctx, key, &old)?;
        out.int(i64::from(!old.is_dense()));
    } else {
        let what = String::from_utf8_lossy(what);
        return Err(Fail::text(format!(
            "ERR Unknown PFDEBUG subcommand '{what}'"
        )));
    }
    Ok(())
}

/// Stores it dense where it is sparse.
fn to_dense(ctx: &mut Ctx<'_>, key: &[u8], old: &Sketch) -> Result<Sketch, Fail> {
    let mut dense = old.clone();
    dense.make_dense()?;
    if !old.is_dense() {
        write(ctx, key, Some(old), &dense)?;
    }
    Ok(dense)
}

/// PFSELFTEST: registers keep what they are given, both encodings agree, and the error is as small
/// as the theory says.
pub fn pfselftest(ctx: &mut Ctx<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let mut packed = vec![0; REGISTERS * 6 / 8];
    for _ in 0..TEST_CYCLES {
        let plain: Vec<u8> = (0..REGISTERS)
            .map(|_| ctx.rng.random_range(0..=dense::VALUE_MAX))
            .collect();
        for (i, &value) in plain.iter().enumerate() {
            dense::set(&mut packed, i, value);
        }
        for (i, &value) in plain.iter().enumerate() {
            let got = dense::get(&packed, i);
            if got != value {
                return Err(Fail::text(format!(
                    "ERR TESTFAILED Register {i} should be {value} but is {got}"
                )));
            }
        }
    }
    let bytes_max = ctx.settings.hll_sparse_bytes_max;
    let seed: u64 = ctx.rng.random();
    let mut sparse = Sketch::empty();
    let mut dense = Sketch::empty();
    dense.make_dense()?;
    let mut checkpoint = 1;
    for n in 1..=TEST_ELEMENTS {
        let (register, run) = hash::place(&(n ^ seed).to_le_bytes());
        dense.raise(register, run, bytes_max)?;
        sparse.raise(register, run, bytes_max)?;
        if n != checkpoint {
            continue;
        }
        if n < bytes_max as u64 / 2 && sparse.is_dense() {
            return Err(Fail::new("ERR TESTFAILED sparse encoding not used"));
        }
        let count = sketch::count(dense.bytes())?;
        if count != sketch::count(sparse.bytes())? {
            return Err(Fail::new("ERR TESTFAILED dense/sparse disagree"));
        }
        let standard_error = 1.04 / (REGISTERS as f64).sqrt();
        // Among few elements one collision is likely enough.
        let error_max = match n {
            10 => 1,
            _ => (standard_error * 6.0 * n as f64).ceil() as u64,
        };
        let error = count.abs_diff(n);
        if error > error_max {
            return Err(Fail::text(format!(
                "ERR TESTFAILED Too big error. card:{n} abserr:{error}"
            )));
        }
        checkpoint *= 10;
    }
    out.ok();
    Ok(())
}
