//! What one log entry of ours says: an epoch begins, a batch of mutations happened in it, or, in the log of a restored service,
//! keys expire later.
//!
//! The first byte is the version of this encoding. Every node decides from the header alone
//! whether an entry takes effect (`keyspace::Sequence`), so all decide alike.

use super::codec::{Error as CodecError, get_u64, put_u64};

const VERSION: u8 = 1;
const KIND_OPEN: u8 = 1;
const KIND_BATCH: u8 = 2;
const KIND_SHIFT: u8 = 3;
const FLAG_MORE: u8 = 1;

/// Bytes that are not an entry of ours.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the entry has version {0} and kind {1}; this node knows version 1: upgrade it")]
    Unknown(u8, u8),
    #[error("the entry is cut short or malformed: {0}")]
    Malformed(#[from] CodecError),
}

/// What stands before a batch's mutations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The epoch in which the batch was executed.
    pub epoch: u64,
    /// Its number in the epoch, from 1, without gaps.
    pub sequence: u64,
    /// The service time of the batch, milliseconds since 1970.
    pub time_ms: u64,
    /// The number of this part of the batch, from 0: a part that is missing is noticed.
    pub part: u64,
    /// More parts of the same batch follow; they take effect with the last.
    pub more: bool,
    /// Digest of the data set after the batch, as its leader saw it; 0 where `more`.
    pub digest: u128,
}

/// A decoded entry, borrowing its mutations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A leader begins an epoch. `seed` is the hash seed that the data set takes if it has none.
    Open {
        epoch: u64,
        time_ms: u64,
        seed: [u64; 2],
    },
    /// Mutations (see `codec::Reader`) executed in an epoch. Without mutations: a mark of time.
    Batch(Header, &'a [u8]),
    /// A restore that shifts expiry: each key that expires does so `by_ms` later. It is of no epoch, and stands after all
    /// that was restored. Keys are divided by their hashes into `of` slices, of which this is number `slice`.
    Shift { by_ms: u64, slice: u64, of: u64 },
}

/// Encodes the entry that opens an epoch.
pub fn encode_open(epoch: u64, time_ms: u64, seed: [u64; 2]) -> Vec<u8> {
    let mut buf = vec![VERSION, KIND_OPEN];
    for n in [epoch, time_ms, seed[0], seed[1]] {
        put_u64(&mut buf, n);
    }
    buf
}

/// Encodes the entry that shifts the expiry of one slice of the keys.
pub fn encode_shift(by_ms: u64, slice: u64, of: u64) -> Vec<u8> {
    let mut buf = vec![VERSION, KIND_SHIFT];
    for n in [by_ms, slice, of] {
        put_u64(&mut buf, n);
    }
    buf
}

/// Encodes a batch, or a part of one.
pub fn encode_batch(header: &Header, mutations: &[u8]) -> Vec<u8> {
    let mut buf = Vec::with_capacity(mutations.len() + 48);
    buf.extend_from_slice(&[VERSION, KIND_BATCH, if header.more { FLAG_MORE } else { 0 }]);
    for n in [header.epoch, header.sequence, header.time_ms, header.part] {
        put_u64(&mut buf, n);
    }
    buf.extend_from_slice(&header.digest.to_be_bytes());
    buf.extend_from_slice(mutations);
    buf
}

/// Decodes an entry's header; its mutations stay bytes.
pub fn decode(bytes: &[u8]) -> Result<Entry<'_>, Error> {
    let (&[version, kind], mut rest) = bytes.split_first_chunk::<2>().ok_or(CodecError::Short)?;
    match (version, kind) {
        (VERSION, KIND_OPEN) => Ok(Entry::Open {
            epoch: get_u64(&mut rest)?,
            time_ms: get_u64(&mut rest)?,
            seed: [get_u64(&mut rest)?, get_u64(&mut rest)?],
        }),
        (VERSION, KIND_BATCH) => {
            let (&flags, tail) = rest.split_first().ok_or(CodecError::Short)?;
            rest = tail;
            let (epoch, sequence) = (get_u64(&mut rest)?, get_u64(&mut rest)?);
            let (time_ms, part) = (get_u64(&mut rest)?, get_u64(&mut rest)?);
            let (digest, mutations) = rest.split_first_chunk::<16>().ok_or(CodecError::Short)?;
            let more = flags & FLAG_MORE != 0;
            let digest = u128::from_be_bytes(*digest);
            Ok(Entry::Batch(
                Header {
                    epoch,
                    sequence,
                    time_ms,
                    part,
                    more,
                    digest,
                },
                mutations,
            ))
        }
        (VERSION, KIND_SHIFT) => Ok(Entry::Shift {
            by_ms: get_u64(&mut rest)?,
            slice: get_u64(&mut rest)?,
            of: get_u64(&mut rest)?,
        }),
        _ => Err(Error::Unknown(version, kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        let open = encode_open(7, 1_700_000_000_000, [u64::MAX, 1]);
        assert_eq!(
            decode(&open).unwrap(),
            Entry::Open {
                epoch: 7,
                time_ms: 1_700_000_000_000,
                seed: [u64::MAX, 1]
            }
        );
        let header = Header {
            epoch: 9,
            sequence: 300,
            time_ms: 5,
            part: 3,
            more: true,
            digest: 1 << 100,
        };
        assert_eq!(
            decode(&encode_batch(&header, b"abc")).unwrap(),
            Entry::Batch(header, b"abc")
        );
        let shift = Entry::Shift {
            by_ms: 86_400_000,
            slice: 3,
            of: 4,
        };
        assert_eq!(decode(&encode_shift(86_400_000, 3, 4)).unwrap(), shift);
        assert!(matches!(decode(&[2, 1]), Err(Error::Unknown(2, 1))));
        assert!(matches!(
            decode(&[1]),
            Err(Error::Malformed(CodecError::Short))
        ));
    }
}
