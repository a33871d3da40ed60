//! How far the store is: the last entry whose changes it holds, with what a node needs to go on from there.
//!
//! Always: the position stands in the same file as the rows that it speaks of, so that the two
//! appear on disk together or not at all. Its encoding begins with a version byte.

use bytes::Bytes;

/// The version byte of the encoding below.
const VERSION: u8 = 1;
/// Version byte, five numbers, digest.
const FIXED: usize = 1 + 5 * 8 + 16;

/// The last applied entry, and the replicated state that is no row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// Raft index of the last applied entry.
    pub index: u64,
    /// Raft term of that entry.
    pub term: u64,
    /// Epoch that was current after it.
    pub epoch: u64,
    /// Sequence number of the last batch applied in that epoch.
    pub sequence: u64,
    /// Service time after it, Unix milliseconds.
    pub service_time_ms: u64,
    /// Digest of the data set after it.
    pub digest: u128,
    /// The last membership and its log id, encoded by the caller.
    pub membership: Bytes,
    /// Whatever else the caller replicates that is no row (hash seed, version switch), encoded by it.
    pub extra: Bytes,
}

impl Position {
    /// The bytes that are stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED + 8 + self.membership.len() + self.extra.len());
        out.push(VERSION);
        for number in [
            self.index,
            self.term,
            self.epoch,
            self.sequence,
            self.service_time_ms,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.digest.to_le_bytes());
        for part in [&self.membership, &self.extra] {
            let length = u32::try_from(part.len()).expect("a membership is shorter than 4 GiB");
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(part);
        }
        out
    }

    /// Reads what [`Position::encode`] wrote. The error says what is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(other) => {
                return Err(format!(
                    "its position has version {other}, this program reads version {VERSION}"
                ));
            }
            None => return Err("its position is empty".into()),
        }
        let mut rest = &bytes[1..];
        let mut take = |count: usize| -> Result<&[u8], String> {
            let (head, tail) = rest
                .split_at_checked(count)
                .ok_or_else(|| format!("its position is cut short at {} bytes", bytes.len()))?;
            rest = tail;
            Ok(head)
        };
        let mut numbers = [0u64; 5];
        for number in &mut numbers {
            *number = u64::from_le_bytes(array(take(8)?));
        }
        let digest = u128::from_le_bytes(array(take(16)?));
        let mut parts = [Bytes::new(), Bytes::new()];
        for part in &mut parts {
            let length = u32::from_le_bytes(array(take(4)?)) as usize;
            *part = Bytes::copy_from_slice(take(length)?);
        }
        if !rest.is_empty() {
            return Err(format!(
                "its position has {} bytes too many at its end",
                rest.len()
            ));
        }
        let [index, term, epoch, sequence, service_time_ms] = numbers;
        let [membership, extra] = parts;
        Ok(Self {
            index,
            term,
            epoch,
            sequence,
            service_time_ms,
            digest,
            membership,
            extra,
        })
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote_and_refuses_the_rest() {
        let position = Position {
            index: 7,
            term: u64::MAX,
            epoch: 3,
            sequence: 4,
            service_time_ms: 5,
            digest: u128::MAX - 6,
            membership: Bytes::from_static(b"members"),
            extra: Bytes::from_static(b"x"),
        };
        let bytes = position.encode();
        assert_eq!(Position::decode(&bytes), Ok(position));
        for cut in 0..bytes.len() {
            assert!(Position::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut long = bytes.clone();
        long.push(0);
        assert!(Position::decode(&long).is_err());
        let mut newer = bytes;
        newer[0] = 2;
        assert!(Position::decode(&newer).unwrap_err().contains("version 2"));
    }
}
