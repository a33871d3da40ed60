//! A HyperLogLog's bytes: a header of 16, then its registers, dense or sparse.
//!
//! Header: "HYLL", the encoding (0 dense, 1 sparse), three unused bytes, the count that was
//! estimated last, 8 bytes in little-endian order; its highest bit says that it no longer holds.

use super::super::Fail;
use super::estimate::Histogram;
use super::sparse::Raised;
use super::{dense, sparse};

/// Registers of a HyperLogLog.
pub const REGISTERS: usize = 1 << 14;
/// Where the kept count is.
pub const COUNT_AT: usize = 8;
const HEADER_LEN: usize = 16;
const ENCODING_AT: usize = 4;
/// The byte whose highest bit says that the kept count does not hold.
const STALE_AT: usize = 15;
const STALE: u8 = 0x80;
const MAGIC: &[u8] = b"HYLL";
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const DENSE_LEN: usize = HEADER_LEN + REGISTERS * 6 / 8;

/// The registers contradict the format.
#[derive(Debug, PartialEq, Eq)]
pub struct Corrupt;

impl From<Corrupt> for Fail {
    fn from(_: Corrupt) -> Fail {
        Fail::HLL_CORRUPT
    }
}

/// How registers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Dense,
    Sparse,
}

/// Whether a string is a HyperLogLog by its header and length; sparse registers are not looked at.
pub fn check(bytes: &[u8]) -> Result<Encoding, Fail> {
    if bytes.len() < HEADER_LEN || !bytes.starts_with(MAGIC) {
        return Err(Fail::HLL_WRONG_TYPE);
    }
    match bytes[ENCODING_AT] {
        DENSE if bytes.len() == DENSE_LEN => Ok(Encoding::Dense),
        SPARSE => Ok(Encoding::Sparse),
        _ => Err(Fail::HLL_WRONG_TYPE),
    }
}

/// The count that was kept, where it still holds. The string has passed [`check`], as for all below.
pub fn kept_count(bytes: &[u8]) -> Option<u64> {
    let count = bytes[COUNT_AT..HEADER_LEN].try_into().ok()?;
    (bytes[STALE_AT] & STALE == 0).then_some(u64::from_le_bytes(count))
}

/// Estimates the count from the registers.
pub fn count(bytes: &[u8]) -> Result<u64, Corrupt> {
    let mut histogram = Histogram::new();
    runs(bytes, |value, len| histogram.add(value, len))?;
    Ok(histogram.estimate())
}

/// Calls `f` with the value and length of each run of registers. They never exceed [`REGISTERS`];
/// sparse ones that are fewer, more or cut off are corrupt.
pub fn runs(bytes: &[u8], mut f: impl FnMut(u8, usize)) -> Result<(), Corrupt> {
    let registers = &bytes[HEADER_LEN..];
    if bytes[ENCODING_AT] == DENSE {
        (0..REGISTERS).for_each(|index| f(dense::get(registers, index), 1));
        return Ok(());
    }
    let (mut count, mut end) = (0, 0);
    for op in sparse::ops(registers) {
        count += op.len;
        end = op.at + op.width;
        if count > REGISTERS {
            return Err(Corrupt);
        }
        f(op.value, op.len);
    }
    if count == REGISTERS && end == registers.len() {
        Ok(())
    } else {
        Err(Corrupt)
    }
}

/// The opcodes of a sparse one, as far as they can be read.
pub fn ops(bytes: &[u8]) -> impl Iterator<Item = sparse::Op> + '_ {
    sparse::ops(&bytes[HEADER_LEN..])
}

/// A HyperLogLog that is being changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch(Vec<u8>);

impl Sketch {
    /// One of no elements; its kept count of 0 holds.
    pub fn empty() -> Self {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[ENCODING_AT] = SPARSE;
        bytes.extend(sparse::zeros(REGISTERS));
        Sketch(bytes)
    }

    /// A copy of a string that is one.
    pub fn load(bytes: &[u8]) -> Result<Self, Fail> {
        check(bytes)?;
        Ok(Sketch(bytes.to_vec()))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn is_dense(&self) -> bool {
        self.0[ENCODING_AT] == DENSE
    }

    /// Raises a register to a value where it is lower; says whether it was. A sparse one becomes
    /// dense where it would be longer than `sparse_bytes_max`.
    pub fn raise(
        &mut self,
        register: usize,
        value: u8,
        sparse_bytes_max: usize,
    ) -> Result<bool, Corrupt> {
        if !self.is_dense() {
            let mut opcodes = self.0.split_off(HEADER_LEN);
            let len_max = sparse_bytes_max.saturating_sub(HEADER_LEN);
            let raised = sparse::raise(&mut opcodes, register, value, len_max);
            self.0.append(&mut opcodes);
            match raised? {
                Raised::Not => return Ok(false),
                Raised::Done => return Ok(true),
                Raised::NoRoom => self.make_dense()?,
            }
        }
        let registers = &mut self.0[HEADER_LEN..];
        let higher = value > dense::get(registers, register);
        if higher {
            dense::set(registers, register, value);
        }
        Ok(higher)
    }

    /// Makes it dense; the kept count stays. Nothing is changed where it is corrupt.
    pub fn make_dense(&mut self) -> Result<(), Corrupt> {
        if self.is_dense() {
            return Ok(());
        }
        let mut bytes = vec![0; DENSE_LEN];
        bytes[..HEADER_LEN].copy_from_slice(&self.0[..HEADER_LEN]);
        bytes[ENCODING_AT] = DENSE;
        let mut at = 0;
        runs(&self.0, |value, len| {
            if value > 0 {
                (at..at + len).for_each(|i| dense::set(&mut bytes[HEADER_LEN..], i, value));
            }
            at += len;
        })?;
        self.0 = bytes;
        Ok(())
    }

    /// The kept count no longer holds.
    pub fn forget_count(&mut self) {
        self.0[STALE_AT] |= STALE;
    }
}
