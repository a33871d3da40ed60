//! Where an element goes: MurmurHash64A, of which 14 bits choose a register and the others are looked at.
//!
//! Always: the same as in Redis, or values of the two could not be merged.

use super::sketch::REGISTERS;

/// Redis's seed.
const SEED: u64 = 0xadc8_3b19;
/// Bits of the hash that choose a register.
const INDEX_BITS: u32 = REGISTERS.trailing_zeros();
/// The longest run that is told apart.
pub const RUN_MAX: u8 = (64 - INDEX_BITS + 1) as u8;

/// The register of an element, and the length of the run of zeros that its hash goes on with,
/// counted with the one that ends it: 1 to [`RUN_MAX`].
pub fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur64a(element, SEED);
    let register = hash as usize % REGISTERS;
    let rest = hash >> INDEX_BITS;
    (register, (rest.trailing_zeros() as u8 + 1).min(RUN_MAX))
}

/// Austin Appleby's MurmurHash2 for 64 bits, reading words in little-endian order.
fn murmur64a(data: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = seed ^ (data.len() as u64).wrapping_mul(FACTOR);
    let mut words = data.chunks_exact(8);
    for word in words.by_ref() {
        let mut word = u64::from_le_bytes(word.try_into().expect("a chunk of eight bytes"));
        word = word.wrapping_mul(FACTOR);
        word ^= word >> SHIFT;
        word = word.wrapping_mul(FACTOR);
        hash = (hash ^ word).wrapping_mul(FACTOR);
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        let mut word = [0; 8];
        word[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
    }
    hash ^= hash >> SHIFT;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ (hash >> SHIFT)
}
