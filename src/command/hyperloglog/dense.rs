//! Dense registers: six bits each, from the lowest bits of the first byte on.
//!
//! Always: the slice holds all registers; the last one ends with its last byte.

/// The largest value of a register.
pub const VALUE_MAX: u8 = 63;

/// A register's value.
pub fn get(registers: &[u8], index: usize) -> u8 {
    let (byte, shift) = place(index);
    let low = u16::from(registers[byte]);
    let high = u16::from(registers.get(byte + 1).copied().unwrap_or(0));
    ((low | high << 8) >> shift) as u8 & VALUE_MAX
}

/// Gives a register a value of at most [`VALUE_MAX`].
pub fn set(registers: &mut [u8], index: usize, value: u8) {
    let (byte, shift) = place(index);
    let mask = u16::from(VALUE_MAX) << shift;
    let bits = u16::from(value & VALUE_MAX) << shift;
    registers[byte] = registers[byte] & !(mask as u8) | bits as u8;
    if mask > 0xff {
        let next = &mut registers[byte + 1];
        *next = *next & !((mask >> 8) as u8) | (bits >> 8) as u8;
    }
}

/// The byte in which a register begins, and at which of its bits.
fn place(index: usize) -> (usize, usize) {
    (index * 6 / 8, index * 6 % 8)
}
