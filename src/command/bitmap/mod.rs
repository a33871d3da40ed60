//! The bitmap commands: strings seen as bits, the first being the highest of the first byte.
//!
//! Always: setting a bit or a field is a mutation of the bytes that hold it, whatever the bitmap's size.

mod bit;
mod combine;
mod count;
mod field;

use super::Handler;

/// Names and handlers.
pub const COMMANDS: &[(&str, Handler)] = &[
    ("bitcount", count::bitcount),
    ("bitfield", field::bitfield),
    ("bitfield_ro", field::bitfield_ro),
    ("bitop", combine::bitop),
    ("bitpos", count::bitpos),
    ("getbit", bit::getbit),
    ("setbit", bit::setbit),
];
