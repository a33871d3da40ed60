//! Bytes for what Raft stores and sends: log ids, votes, entries.
//!
//! Everything is little-endian and of fixed width, except an entry's body, which runs to the end
//! of its buffer: whoever stores or sends an entry frames it. A body is sliced from the buffer it
//! arrived in, never copied. Bytes that this version cannot read are an error, never a guess.

use bytes::{Buf, BufMut, Bytes};
use openraft::EntryPayload;

use super::types::{Entry, LogId, Payload, Vote};

/// Bytes of an encoded log id.
pub const LOG_ID_LEN: usize = 16;
/// Bytes of an encoded vote.
pub const VOTE_LEN: usize = 17;
/// Bytes of an encoded entry before its body: log id, then kind.
pub const ENTRY_HEAD_LEN: usize = LOG_ID_LEN + 1;

const KIND_BLANK: u8 = 0;
const KIND_NORMAL: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// Why bytes could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The buffer ends before the value does.
    #[error("{what} takes {want} bytes, {have} are left")]
    Short {
        /// What was being decoded.
        what: &'static str,
        /// Bytes that it takes.
        want: usize,
        /// Bytes that there were.
        have: usize,
    },
    /// A tag that this version does not know.
    #[error("{what} has the unknown tag {tag}; this version knows 0 to {max}")]
    Tag {
        /// What was being decoded.
        what: &'static str,
        /// The byte found.
        tag: u8,
        /// The highest that is known.
        max: u8,
    },
    /// A blank entry with a body.
    #[error("a blank entry has a body of {0} bytes; it must have none")]
    BlankBody(usize),
    /// A membership that is not the JSON of one.
    #[error("a membership entry cannot be read: {0}")]
    Membership(#[from] serde_json::Error),
}

impl From<Error> for std::io::Error {
    fn from(e: Error) -> Self {
        std::io::Error::new(std::io::ErrorKind::InvalidData, e)
    }
}

fn need(buf: &impl Buf, want: usize, what: &'static str) -> Result<(), Error> {
    match buf.remaining() {
        have if have < want => Err(Error::Short { what, want, have }),
        _ => Ok(()),
    }
}

fn flag(buf: &mut impl Buf, what: &'static str) -> Result<bool, Error> {
    need(buf, 1, what)?;
    match buf.get_u8() {
        0 => Ok(false),
        1 => Ok(true),
        tag => Err(Error::Tag { what, tag, max: 1 }),
    }
}

/// Appends `id` as term and index, [`LOG_ID_LEN`] bytes.
pub fn encode_log_id(id: &LogId, out: &mut impl BufMut) {
    out.put_u64_le(id.leader_id.term);
    out.put_u64_le(id.index);
}

/// Takes a log id off the front of `buf`.
pub fn decode_log_id(buf: &mut impl Buf) -> Result<LogId, Error> {
    need(buf, LOG_ID_LEN, "a log id")?;
    let term = buf.get_u64_le();
    Ok(LogId::new_term_index(term, buf.get_u64_le()))
}

/// Appends a presence byte, then the log id if there is one.
pub fn encode_log_id_option(id: &Option<LogId>, out: &mut impl BufMut) {
    out.put_u8(id.is_some() as u8);
    if let Some(id) = id {
        encode_log_id(id, out);
    }
}

/// Takes what [`encode_log_id_option`] wrote off the front of `buf`.
pub fn decode_log_id_option(buf: &mut impl Buf) -> Result<Option<LogId>, Error> {
    flag(buf, "an optional log id")?
        .then(|| decode_log_id(buf))
        .transpose()
}

/// Appends `vote` as term, node and whether it is committed, [`VOTE_LEN`] bytes.
pub fn encode_vote(vote: &Vote, out: &mut impl BufMut) {
    out.put_u64_le(vote.leader_id.term);
    out.put_u64_le(vote.leader_id.voted_for);
    out.put_u8(vote.committed as u8);
}

/// Takes a vote off the front of `buf`.
pub fn decode_vote(buf: &mut impl Buf) -> Result<Vote, Error> {
    need(buf, VOTE_LEN, "a vote")?;
    let (term, node) = (buf.get_u64_le(), buf.get_u64_le());
    Ok(match flag(buf, "a vote")? {
        true => Vote::new_committed(term, node),
        false => Vote::new(term, node),
    })
}

/// An entry's kind and body, as the log stores them. A normal body is shared, not copied.
pub fn entry_parts(entry: &Entry) -> (u8, Bytes) {
    match &entry.payload {
        EntryPayload::Blank => (KIND_BLANK, Bytes::new()),
        EntryPayload::Normal(payload) => (KIND_NORMAL, payload.0.clone()),
        // Rare and small, and JSON can gain fields without a new version.
        EntryPayload::Membership(m) => (
            KIND_MEMBERSHIP,
            serde_json::to_vec(m)
                .expect("a membership has only numbers and strings")
                .into(),
        ),
    }
}

/// The entry of these parts: the reverse of [`entry_parts`].
pub fn entry_of_parts(id: LogId, kind: u8, body: Bytes) -> Result<Entry, Error> {
    let payload = match kind {
        KIND_BLANK if body.is_empty() => EntryPayload::Blank,
        KIND_BLANK => return Err(Error::BlankBody(body.len())),
        KIND_NORMAL => EntryPayload::Normal(Payload(body)),
        KIND_MEMBERSHIP => EntryPayload::Membership(serde_json::from_slice(&body)?),
        tag => {
            return Err(Error::Tag {
                what: "an entry",
                tag,
                max: KIND_MEMBERSHIP,
            });
        }
    };
    Ok(Entry {
        log_id: id,
        payload,
    })
}

/// Appends `entry`: log id, kind, body. Not self-delimiting: frame it.
pub fn encode_entry(entry: &Entry, out: &mut impl BufMut) {
    let (kind, body) = entry_parts(entry);
    encode_log_id(&entry.log_id, out);
    out.put_u8(kind);
    out.put_slice(&body);
}

/// Bytes that [`encode_entry`] would append, without encoding a normal body.
pub fn entry_len(entry: &Entry) -> usize {
    ENTRY_HEAD_LEN
        + match &entry.payload {
            EntryPayload::Blank => 0,
            EntryPayload::Normal(payload) => payload.0.len(),
            EntryPayload::Membership(_) => entry_parts(entry).1.len(),
        }
}

/// The entry that is all of `buf`; a normal body stays a slice of it.
pub fn decode_entry(mut buf: Bytes) -> Result<Entry, Error> {
    need(&buf, ENTRY_HEAD_LEN, "an entry")?;
    let id = decode_log_id(&mut buf)?;
    let kind = buf.get_u8();
    entry_of_parts(id, kind, buf)
}

#[cfg(test)]
mod tests {
    use super::super::types::{Member, Membership};
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn entry(payload: EntryPayload<Payload, u64, Member>) -> Entry {
        Entry {
            log_id: LogId::new_term_index(3, 1 << 40),
            payload,
        }
    }

    fn round(e: &Entry) -> (Bytes, Entry) {
        let mut out = Vec::new();
        encode_entry(e, &mut out);
        assert_eq!(out.len(), entry_len(e));
        let bytes = Bytes::from(out);
        (bytes.clone(), decode_entry(bytes).unwrap())
    }

    #[test]
    fn entries_come_back_and_bodies_are_slices() {
        let blank = entry(EntryPayload::Blank);
        assert_eq!(round(&blank).1, blank);

        let normal = entry(EntryPayload::Normal(Payload(Bytes::from_static(
            b"\0body\xff",
        ))));
        let (bytes, back) = round(&normal);
        assert_eq!(back, normal);
        let EntryPayload::Normal(Payload(body)) = back.payload else {
            panic!("kind changed")
        };
        assert_eq!(
            body.as_ptr(),
            bytes[ENTRY_HEAD_LEN..].as_ptr(),
            "the body was copied"
        );

        let member = Member {
            peer_addr: "h:1".into(),
            data: true,
            ..Default::default()
        };
        let members = Membership::new_with_defaults(vec![BTreeSet::from([1, 2])], []);
        let mut nodes: BTreeMap<u64, Member> = BTreeMap::new();
        nodes.insert(7, member);
        for m in [members, Membership::from(nodes)] {
            let e = entry(EntryPayload::Membership(m));
            assert_eq!(round(&e).1, e);
        }
    }

    #[test]
    fn ids_and_votes_come_back() {
        for id in [None, Some(LogId::new_term_index(u64::MAX, 0))] {
            let mut out = Vec::new();
            encode_log_id_option(&id, &mut out);
            assert_eq!(decode_log_id_option(&mut &out[..]).unwrap(), id);
        }
        for vote in [Vote::new(1, 2), Vote::new_committed(u64::MAX, 9)] {
            let mut out = Vec::new();
            encode_vote(&vote, &mut out);
            assert_eq!(out.len(), VOTE_LEN);
            assert_eq!(decode_vote(&mut &out[..]).unwrap(), vote);
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let short = decode_entry(Bytes::from_static(&[0; 16])).unwrap_err();
        assert!(
            matches!(
                short,
                Error::Short {
                    want: 17,
                    have: 16,
                    ..
                }
            ),
            "{short}"
        );
        let mut bytes = vec![0; 17];
        bytes[16] = 9;
        let kind = decode_entry(bytes.into()).unwrap_err();
        assert!(matches!(kind, Error::Tag { tag: 9, .. }), "{kind}");
        let blank = decode_entry(Bytes::from_static(&[0; 18])).unwrap_err();
        assert!(matches!(blank, Error::BlankBody(1)), "{blank}");
        let mut members = vec![0; 19];
        members[16] = KIND_MEMBERSHIP;
        assert!(matches!(
            decode_entry(members.into()),
            Err(Error::Membership(_))
        ));
        assert!(matches!(
            decode_vote(&mut &[2u8; 17][..]),
            Err(Error::Tag { tag: 2, .. })
        ));
        assert!(decode_log_id(&mut &[0u8; 15][..]).is_err());
    }
}
