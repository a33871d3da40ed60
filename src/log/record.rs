//! One record: how it lies on disk, and how a missing part of it is told from a damaged one.
//!
//! A disk writes sectors of [`SECTOR`] bytes whole or not at all, and a segment was zeros before.
//! So after a power cut each sector of the last write is either as written or still zeros. From
//! that follow the rules that make the state of a tail decidable:
//!
//! - A head never crosses a sector: it is there, or it is zeros. Anything else is damage.
//! - No part of a record that fills a sector, or begins or ends in one, is all zeros: such a record
//!   is stored masked. So a sector of zeros inside a record was never written.
//! - A head tells where its batch began. Batches are synced one by one, so what lies before that
//!   point was on disk once; a hole there is damage, not a torn write.
//! - Head checksums are salted with the segment's random number and the head's place, so that no
//!   bytes that a client wrote, a copy of a log included, are taken for a head.

use crate::base::limits;

/// The unit that a disk writes whole or not at all, bytes. 4 KiB disks satisfy it too.
pub const SECTOR: u32 = 512;
/// A record's head, bytes.
pub const HEAD: u32 = 40;
/// Records begin at multiples of this, bytes; bodies are padded to it with zeros.
pub const ALIGN: u32 = 8;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A log entry: its id in the head, its kind in `sub`, its body.
    Entry = 1,
    /// The vote, in the body.
    Vote = 2,
    /// The committed id, in the head; `sub` is 0 for none.
    Committed = 3,
    /// Entries from `index` on are gone.
    Truncate = 4,
    /// Entries up to the id in the head are gone.
    Purge = 5,
    /// The first record of a segment: everything but entries, as it was there.
    State = 6,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Entry,
            2 => Kind::Vote,
            3 => Kind::Committed,
            4 => Kind::Truncate,
            5 => Kind::Purge,
            6 => Kind::State,
            _ => return None,
        })
    }
}

/// A record's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What the record holds.
    pub kind: Kind,
    /// A tag of the kind's own.
    pub sub: u8,
    /// The body's length without padding, bytes.
    pub len: u32,
    /// CRC-32 of the padded body as stored.
    pub crc: u32,
    /// The id's term, where there is one.
    pub term: u64,
    /// The id's index, where there is one.
    pub index: u64,
    /// Where this record's batch began in the segment.
    pub batch: u32,
    /// Which mask the body is stored under; 0: none.
    pub mask: u32,
}

/// What stands where a head may stand.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Zeros: nothing was written, or it did not arrive.
    Nothing,
    /// A head.
    Head(Head),
    /// Neither.
    Damage,
}

/// Where a record goes that is to be put at `pos` or after: a head does not cross a sector.
pub fn place(pos: u32) -> u32 {
    let left = SECTOR - pos % SECTOR;
    if left < HEAD { pos + left } else { pos }
}

/// The bytes that a record with a body of `len` takes.
pub fn total(len: u32) -> u32 {
    HEAD + len.next_multiple_of(ALIGN)
}

fn head_crc(salt: u64, at: u32, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&salt.to_le_bytes());
    crc.update(&at.to_le_bytes());
    crc.update(&bytes[4..HEAD as usize]);
    crc.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Reads the head at offset `at` of the segment with `salt`; `bytes` begins there.
pub fn head(bytes: &[u8], salt: u64, at: u32) -> Found {
    let bytes = &bytes[..HEAD as usize];
    if is_zero(bytes) {
        return Found::Nothing;
    }
    let Some(kind) = Kind::of(bytes[12]) else {
        return Found::Damage;
    };
    if u32_at(bytes, 0) != head_crc(salt, at, bytes) {
        return Found::Damage;
    }
    Found::Head(Head {
        kind,
        sub: bytes[13],
        len: u32_at(bytes, 4),
        crc: u32_at(bytes, 8),
        term: u64_at(bytes, 16),
        index: u64_at(bytes, 24),
        batch: u32_at(bytes, 32),
        mask: u32_at(bytes, 36),
    })
}

/// Appends a record to `buf`, whose next byte goes to offset `at` of the segment. `head.len`,
/// `crc` and `mask` are set here.
pub fn encode(buf: &mut Vec<u8>, salt: u64, at: u32, mut head: Head, body: &[u8]) {
    debug_assert_eq!(place(at), at);
    let start = buf.len();
    let body_start = start + HEAD as usize;
    buf.resize(body_start, 0);
    buf.extend_from_slice(body);
    head.len = body.len() as u32;
    buf.resize(start + total(head.len) as usize, 0);
    let stored = &mut buf[body_start..];
    head.mask = pick_mask(at, stored);
    apply_mask(stored, head.mask);
    head.crc = crc32fast::hash(stored);

    let bytes = &mut buf[start..body_start];
    bytes[4..8].copy_from_slice(&head.len.to_le_bytes());
    bytes[8..12].copy_from_slice(&head.crc.to_le_bytes());
    bytes[12] = head.kind as u8;
    bytes[13] = head.sub;
    bytes[16..24].copy_from_slice(&head.term.to_le_bytes());
    bytes[24..32].copy_from_slice(&head.index.to_le_bytes());
    bytes[32..36].copy_from_slice(&head.batch.to_le_bytes());
    bytes[36..40].copy_from_slice(&head.mask.to_le_bytes());
    let crc = head_crc(salt, at, bytes);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
}

/// The parts of a stored body that lie in sectors other than the head's, for a record at `at`.
fn sectors(at: u32, stored: &[u8]) -> impl Iterator<Item = &[u8]> {
    let own = (SECTOR - (at + HEAD) % SECTOR) % SECTOR;
    // A head that ends with its sector leaves the body to begin in the next.
    let rest = stored.get(own as usize..).unwrap_or_default();
    rest.chunks(SECTOR as usize)
}

/// Whether a part of the body of the record at `at` never arrived: a whole sector's share is zeros.
pub fn is_torn(at: u32, stored: &[u8]) -> bool {
    sectors(at, stored).any(is_zero)
}

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    // The usual buffer is not zero at its first byte; the rest compiles to vector code.
    bytes.first().is_none_or(|b| *b == 0)
        && bytes
            .chunks(64)
            .all(|c| c.iter().fold(0, |or, b| or | b) == 0)
}

/// The mask's eight bytes. SplitMix64: different masks differ in every byte, near enough.
fn mask_word(mask: u32) -> [u8; 8] {
    let mut z = u64::from(mask).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)).to_le_bytes()
}

/// The first mask under which no sector's part of the body is zeros. There is one: each part rules
/// out at most one mask, and there are more masks than parts.
fn pick_mask(at: u32, body: &[u8]) -> u32 {
    let fits = |mask: u32| {
        let word = mask_word(mask);
        sectors(at, body).all(|part| part.chunks_exact(8).any(|w| w != word))
    };
    (0..=u32::MAX)
        .find(|m| fits(*m))
        .expect("more masks than sectors")
}

/// Masks or unmasks a padded body.
pub fn apply_mask(stored: &mut [u8], mask: u32) {
    if mask == 0 {
        return;
    }
    let word = u64::from_le_bytes(mask_word(mask));
    for chunk in stored.chunks_exact_mut(8) {
        let masked = u64_at(chunk, 0) ^ word;
        chunk.copy_from_slice(&masked.to_le_bytes());
    }
}

/// Whether the padded body is what was written.
pub fn is_whole(head: &Head, stored: &[u8]) -> bool {
    crc32fast::hash(stored) == head.crc
}

/// The largest body that fits a segment of `segment_len` bytes beside its own header and state.
pub fn body_max(segment_len: u32) -> u32 {
    let state = total(super::state::State::LEN_MAX as u32);
    let rest = segment_len.saturating_sub(super::segment::FIRST + state + 2 * SECTOR);
    rest.saturating_sub(HEAD).min(limits::BATCH_LEN_MAX as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD0: Head = Head {
        kind: Kind::Entry,
        sub: 1,
        len: 0,
        crc: 0,
        term: 7,
        index: 9,
        batch: 4096,
        mask: 0,
    };

    fn written(at: u32, body: &[u8]) -> (Head, Vec<u8>) {
        let mut buf = Vec::new();
        encode(&mut buf, 42, at, HEAD0, body);
        assert_eq!(buf.len() as u32, total(body.len() as u32));
        let Found::Head(h) = head(&buf, 42, at) else {
            panic!("no head")
        };
        (h, buf)
    }

    #[test]
    fn a_record_comes_back_masked_or_not() {
        for (len, fill) in [(0, 0), (1, 0), (511, 1), (2000, 0), (2000, 5), (100_000, 0)] {
            for at in [4096, 4096 + 472, 4096 + 8] {
                let body = vec![fill; len];
                let (h, mut buf) = written(at, &body);
                let stored = &mut buf[HEAD as usize..];
                assert!(is_whole(&h, stored));
                assert!(!is_torn(at, stored), "len {len} fill {fill} at {at}");
                apply_mask(stored, h.mask);
                assert_eq!(&stored[..len], &body[..]);
                assert_eq!((h.term, h.index, h.len as usize), (7, 9, len));
            }
        }
    }

    #[test]
    fn a_mask_is_found_for_a_body_made_of_masks() {
        let body: Vec<u8> = (0..64u32).flat_map(|m| mask_word(m).repeat(64)).collect();
        let (h, buf) = written(4096 + 472, &body);
        assert!(h.mask >= 64, "mask {} leaves a sector of zeros", h.mask);
        assert!(!is_torn(4096 + 472, &buf[HEAD as usize..]));
    }

    #[test]
    fn a_missing_sector_is_torn_and_a_wrong_byte_is_not() {
        let at = 4096 + 200;
        let (h, buf) = written(at, &[9; 1500]);
        let stored = &buf[HEAD as usize..];
        for lost in 0..3 {
            let mut torn = stored.to_vec();
            let from = (512 - 240) + lost * 512;
            let to = (from + 512).min(torn.len());
            torn[from..to].fill(0);
            assert!(is_torn(at, &torn) && !is_whole(&h, &torn));
        }
        let mut wrong = stored.to_vec();
        wrong[700] ^= 1;
        assert!(!is_torn(at, &wrong) && !is_whole(&h, &wrong));
    }

    #[test]
    fn a_head_is_valid_at_its_own_place_alone() {
        let (_, buf) = written(4096, b"body");
        assert_eq!(head(&buf, 42, 4104), Found::Damage);
        assert_eq!(head(&buf, 43, 4096), Found::Damage);
        assert_eq!(head(&[0; 40], 42, 4096), Found::Nothing);
        for bit in 0..HEAD as usize * 8 {
            let mut flipped = buf.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(head(&flipped, 42, 4096), Found::Damage, "bit {bit}");
        }
    }

    #[test]
    fn heads_do_not_cross_sectors() {
        assert_eq!(place(4096 + 472), 4096 + 472);
        assert_eq!(place(4096 + 480), 4096 + 512);
        assert_eq!(place(4096), 4096);
    }
}
