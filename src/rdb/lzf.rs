//! LZF, the compression of strings in RDB: literal runs, and references up to 8 KiB back.
//!
//! A control byte below 32 is followed by that many literal bytes and one more. Any other holds a length in
//! its upper three bits (7: a byte with more of it follows) and the upper five bits of a distance, whose
//! lower eight follow: copy length + 2 bytes from distance + 1 back.

use super::Error;

const LITERALS_MAX: usize = 32;
const DISTANCE_MAX: usize = 8192;
const MATCH_MAX: usize = 264;
const HASH_BITS: u32 = 13;

/// Decompresses to exactly `len` bytes. Memory grows with what is written, at most 132 times the input.
pub fn decompress(input: &[u8], len: usize) -> Result<Vec<u8>, Error> {
    const WRONG: Error = Error::Corrupt("a compressed string");
    let mut out: Vec<u8> = Vec::with_capacity(len.min(input.len() * 2));
    let mut rest = input;
    while let Some((&control, after)) = rest.split_first() {
        let control = usize::from(control);
        rest = after;
        if control < LITERALS_MAX {
            let (run, after) = rest.split_at_checked(control + 1).ok_or(WRONG)?;
            if out.len() + run.len() > len {
                return Err(WRONG);
            }
            out.extend_from_slice(run);
            rest = after;
            continue;
        }
        let mut next = || {
            let (&byte, after) = rest.split_first().ok_or(WRONG)?;
            rest = after;
            Ok::<_, Error>(usize::from(byte))
        };
        let mut count = (control >> 5) + 2;
        if count == 9 {
            count += next()?;
        }
        let distance = ((control & 0x1f) << 8 | next()?) + 1;
        let from = out.len().checked_sub(distance).ok_or(WRONG)?;
        if out.len() + count > len {
            return Err(WRONG);
        }
        if distance >= count {
            out.extend_from_within(from..from + count);
        } else {
            // It repeats what it writes.
            for i in from..from + count {
                out.push(out[i]);
            }
        }
    }
    if out.len() == len {
        Ok(out)
    } else {
        Err(WRONG)
    }
}

/// Compresses, if the result is at most `max` bytes.
pub fn compress(input: &[u8], max: usize) -> Option<Vec<u8>> {
    let mut seen = vec![u32::MAX; 1 << HASH_BITS];
    let mut out = Vec::new();
    let (mut at, mut literals_from) = (0, 0);
    // The last bytes cannot begin a match; positions beyond 4 GiB are not remembered, and no string is so long.
    while at + 3 <= input.len() {
        let three = u32::from_le_bytes([input[at], input[at + 1], input[at + 2], 0]);
        let slot = &mut seen[(three.wrapping_mul(2_654_435_761) >> (32 - HASH_BITS)) as usize];
        let candidate = std::mem::replace(slot, at as u32) as usize;
        let is_match = candidate < at
            && at - candidate <= DISTANCE_MAX
            && input[candidate..candidate + 3] == input[at..at + 3];
        if !is_match {
            at += 1;
            continue;
        }
        let same = |(a, b): &(&u8, &u8)| a == b;
        let count = input[candidate..].iter().zip(&input[at..]);
        let count = count.take(MATCH_MAX).take_while(same).count();
        literals(&mut out, &input[literals_from..at]);
        let (distance, length) = (at - candidate - 1, count - 2);
        out.push((length.min(7) << 5 | distance >> 8) as u8);
        if length >= 7 {
            out.push((length - 7) as u8);
        }
        out.push(distance as u8);
        at += count;
        literals_from = at;
        if out.len() > max {
            return None;
        }
    }
    literals(&mut out, &input[literals_from..]);
    (out.len() <= max).then_some(out)
}

fn literals(out: &mut Vec<u8>, bytes: &[u8]) {
    for run in bytes.chunks(LITERALS_MAX) {
        out.push((run.len() - 1) as u8);
        out.extend_from_slice(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        let mut random = 1u32;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) % below
        };
        for symbols in [1, 2, 5, 256] {
            for len in [
                0, 1, 2, 3, 4, 31, 32, 33, 100, 264, 265, 266, 10_000, 70_000,
            ] {
                let text: Vec<u8> = (0..len).map(|_| next(symbols) as u8).collect();
                let packed = compress(&text, usize::MAX).unwrap();
                assert_eq!(decompress(&packed, text.len()).unwrap(), text);
                assert!(decompress(&packed, text.len() + 1).is_err());
                if symbols == 1 && len >= 100 {
                    assert!(packed.len() < len as usize / 15);
                    assert_eq!(compress(&text, packed.len() - 1), None);
                }
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        // A reference to before the beginning; cut literals; a cut reference; more than was declared.
        for (bytes, len) in [
            (&[0x20, 0][..], 3),
            (&[5, 1, 2], 6),
            (&[0, 1, 0xe0], 10),
            (&[0, 7, 0xe0, 0xff, 0], 20),
        ] {
            assert!(decompress(bytes, len).is_err());
        }
        assert_eq!(decompress(&[0, 7, 0xe0, 0, 0], 10).unwrap(), [7; 10]);
    }
}
