//! What the log holds besides entries; each segment begins with it, so that older ones can go.

use super::Id;
use crate::base::limits;
use bytes::{Buf, BufMut, Bytes};

/// Vote, hints and bounds at one point of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The vote, as given.
    pub vote: Option<Bytes>,
    /// The last committed id that was hinted at.
    pub committed: Option<Id>,
    /// Entries up to this one are gone.
    pub purged: Option<Id>,
    /// The last entry, or `purged` where there is none.
    pub last: Option<Id>,
}

impl State {
    /// The longest encoding, bytes.
    pub const LEN_MAX: usize = 3 + limits::LOG_VOTE_LEN + 3 * 17;

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LEN_MAX);
        out.put_u8(self.vote.is_some() as u8);
        let vote = self.vote.as_deref().unwrap_or_default();
        out.put_u16_le(vote.len() as u16);
        out.put_slice(vote);
        for id in [self.committed, self.purged, self.last] {
            out.put_u8(id.is_some() as u8);
            let id = id.unwrap_or_default();
            out.put_u64_le(id.term);
            out.put_u64_le(id.index);
        }
        out
    }

    /// None where the bytes are not an encoded state.
    pub fn decode(mut buf: &[u8]) -> Option<State> {
        let has_vote = buf.try_get_u8().ok()? == 1;
        let len = buf.try_get_u16_le().ok()? as usize;
        let vote = buf.get(..len)?;
        buf.advance(len);
        let mut ids = [None; 3];
        for slot in &mut ids {
            let has = buf.try_get_u8().ok()? == 1;
            let id = Id {
                term: buf.try_get_u64_le().ok()?,
                index: buf.try_get_u64_le().ok()?,
            };
            *slot = has.then_some(id);
        }
        let vote = has_vote.then(|| Bytes::copy_from_slice(vote));
        buf.is_empty().then_some(State {
            vote,
            committed: ids[0],
            purged: ids[1],
            last: ids[2],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_come_back() {
        let id = Some(Id {
            term: 1,
            index: u64::MAX,
        });
        let vote = Some(Bytes::from(vec![7; limits::LOG_VOTE_LEN]));
        for s in [
            State::default(),
            State {
                vote,
                committed: id,
                purged: None,
                last: id,
            },
        ] {
            let bytes = s.encode();
            assert!(bytes.len() <= State::LEN_MAX);
            assert_eq!(State::decode(&bytes), Some(s));
            assert_eq!(State::decode(&bytes[..bytes.len() - 1]), None);
        }
    }
}
