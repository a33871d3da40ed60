//! Hash slots of keys, as cluster clients compute them (Redis cluster specification, "Key distribution model").

/// The number of slots.
pub const COUNT: u16 = 16384;

/// The slot of a key: CRC16 (XMODEM) of its hash tag, or of all of it, modulo the number of slots.
pub fn of(key: &[u8]) -> u16 {
    crc16(tag(key)) % COUNT
}

/// What stands between the first `{` and the next `}`, if it is not empty; else the key.
fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&b| b == b'{') else {
        return key;
    };
    match key[open + 1..].iter().position(|&b| b == b'}') {
        Some(len) if len > 0 => &key[open + 1..open + 1 + len],
        _ => key,
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0u16, |mut crc, &b| {
        crc ^= u16::from(b) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 != 0 {
                (crc << 1) ^ 0x1021
            } else {
                crc << 1
            };
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_slots() {
        assert_eq!(super::crc16(b"123456789"), 0x31c3);
        assert_eq!(super::of(b"foo"), 12182);
        assert_eq!(
            super::of(b"{user1000}.following"),
            super::of(b"{user1000}.followers")
        );
        assert_eq!(
            super::of(b"foo{}{bar}"),
            super::crc16(b"foo{}{bar}") % 16384
        );
    }
}
