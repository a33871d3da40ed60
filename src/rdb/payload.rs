//! What DUMP replies and RESTORE takes: a value, the version of its form, a checksum.

use super::input::Input;
use super::{Error, VERSION, Value, ValueRef, crc64, decode, encode};
use crate::data::Limits;

/// Two bytes of version and eight of checksum, the lowest first.
const FOOTER: usize = 10;

/// The payload of a value.
pub fn encode(value: ValueRef<'_>, limits: &Limits) -> Vec<u8> {
    let mut out = vec![encode::kind(value)];
    encode::body(value, limits, &mut out);
    seal(out)
}

/// Appends version and checksum.
pub fn seal(mut out: Vec<u8>) -> Vec<u8> {
    out.extend_from_slice(&VERSION.to_le_bytes());
    let sum = crc64::extend(0, &out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// What a payload holds before its footer; `None` where version or checksum are wrong.
pub fn open(payload: &[u8]) -> Option<&[u8]> {
    let (body, footer) = payload.split_last_chunk::<FOOTER>()?;
    let &[low, high, sum @ ..] = footer;
    let known = u16::from_le_bytes([low, high]) <= VERSION;
    let summed = &payload[..payload.len() - 8];
    (known && crc64::extend(0, summed) == u64::from_le_bytes(sum)).then_some(body)
}

/// The value in an opened payload. What follows it is not looked at, as in Redis.
pub fn decode(body: &[u8], limits: &Limits) -> Result<Value, Error> {
    let mut input = Input::new(body);
    let kind = input.byte()?;
    decode::value(&mut input, kind, limits)
}
