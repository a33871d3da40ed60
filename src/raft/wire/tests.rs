//! Every message comes back as it was; no bytes make decoding panic or believe a length.

use super::*;
use crate::raft::types::{Member, Membership, Payload};
use openraft::EntryPayload;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

fn membership() -> Membership {
    let node = |n: u64| Member {
        peer_addr: format!("h{n}:1"),
        data: n != 3,
        ..Member::default()
    };
    let nodes: BTreeMap<u64, Member> = (1..=4).map(|n| (n, node(n))).collect();
    Membership::new(
        vec![BTreeSet::from([1, 2]), BTreeSet::from([1, 2, 3])],
        nodes,
    )
    .unwrap()
}

fn append() -> AppendEntriesRequest<Config> {
    let body = Payload(Bytes::from(vec![7u8; 1000]));
    AppendEntriesRequest {
        vote: Vote::new_committed(3, 1),
        prev_log_id: Some(id(2, 9)),
        leader_commit: None,
        entries: vec![
            Entry {
                log_id: id(3, 10),
                payload: EntryPayload::Blank,
            },
            Entry {
                log_id: id(3, 11),
                payload: EntryPayload::Normal(body),
            },
            Entry {
                log_id: id(3, 12),
                payload: EntryPayload::Membership(membership()),
            },
        ],
    }
}

fn meta() -> SnapshotMeta {
    SnapshotMeta {
        last_log_id: Some(id(4, 100)),
        last_membership: StoredMembership::new(Some(id(1, 2)), membership()),
    }
}

/// One message of every kind, each with what reads it.
type Read = fn(Bytes) -> Result<String, Error>;
fn all() -> Vec<(Bytes, Read)> {
    let vote = Vote::new(5, 2);
    let mut transfer = VoteRequest::new(vote, None);
    transfer.leadership_transfer = true;
    vec![
        (encode_append(&append()), |b| {
            decode_append(b).map(|m| format!("{m:?}"))
        }),
        (
            encode_append_reply(&AppendEntriesResponse::HigherVote(vote)),
            |b| decode_append_reply(b).map(|m| format!("{m:?}")),
        ),
        (encode_stream_reply(&Ok(Some(id(1, 1)))), |b| {
            decode_stream_reply(b).map(|m| format!("{m:?}"))
        }),
        (encode_vote(&transfer), |b| {
            decode_vote(b).map(|m| format!("{m:?}"))
        }),
        (
            encode_vote_reply(&VoteResponse::new(vote, Some(id(1, 1)), true)),
            |b| decode_vote_reply(b).map(|m| format!("{m:?}")),
        ),
        (
            encode_transfer(&TransferLeaderRequest::new(vote, 9, Some(id(5, 5)))),
            |b| decode_transfer(b).map(|m| format!("{m:?}")),
        ),
        (
            encode_transfer_reply(&Err(TransferLeaderError::LogNotFlushed {
                expected: Some(id(1, 2)),
                actual: None,
            })),
            |b| decode_transfer_reply(b).map(|m| format!("{m:?}")),
        ),
        (encode_snapshot_header(&vote, &meta()), |b| {
            decode_snapshot_header(b).map(|m| format!("{m:?}"))
        }),
        (encode_snapshot_reply(&SnapshotResponse::new(vote)), |b| {
            decode_snapshot_reply(b).map(|m| format!("{m:?}"))
        }),
        (encode_read_index(), |b| {
            decode_read_index(b).map(|m| format!("{m:?}"))
        }),
        (encode_read_index_reply(&id(7, 8)), |b| {
            decode_read_index_reply(b).map(|m| format!("{m:?}"))
        }),
    ]
}

#[test]
fn an_append_comes_back_and_bodies_are_not_copied() {
    let request = append();
    let bytes = encode_append(&request);
    let back = decode_append(bytes.clone()).unwrap();
    assert_eq!(format!("{back:?}"), format!("{request:?}"));
    let EntryPayload::Normal(Payload(body)) = &back.entries[1].payload else {
        panic!("kind")
    };
    let (from, to) = (
        bytes.as_ptr() as usize,
        bytes.as_ptr() as usize + bytes.len(),
    );
    assert!(
        (from..to).contains(&(body.as_ptr() as usize)),
        "the body was copied"
    );
}

#[test]
fn replies_come_back() {
    let vote = Vote::new_committed(9, 1);
    for reply in [
        AppendEntriesResponse::Success,
        AppendEntriesResponse::PartialSuccess(None),
        AppendEntriesResponse::PartialSuccess(Some(id(2, 3))),
        AppendEntriesResponse::Conflict,
        AppendEntriesResponse::HigherVote(vote),
    ] {
        assert_eq!(
            decode_append_reply(encode_append_reply(&reply)).unwrap(),
            reply
        );
    }
    for reply in [
        Ok(None),
        Ok(Some(id(2, 3))),
        Err(StreamAppendError::Conflict(id(1, 0))),
        Err(StreamAppendError::HigherVote(vote)),
    ] {
        assert_eq!(
            decode_stream_reply(encode_stream_reply(&reply)).unwrap(),
            reply
        );
    }
    for reply in [
        Ok(()),
        Err(TransferLeaderError::VoteChanged {
            expected: vote,
            actual: Vote::new(10, 2),
        }),
        Err(TransferLeaderError::LogNotFlushed {
            expected: None,
            actual: Some(id(1, 1)),
        }),
    ] {
        assert_eq!(
            decode_transfer_reply(encode_transfer_reply(&reply)).unwrap(),
            reply
        );
    }
    for transfer in [false, true] {
        let mut request = VoteRequest::new(vote, Some(id(1, 1)));
        request.leadership_transfer = transfer;
        assert_eq!(decode_vote(encode_vote(&request)).unwrap(), request);
    }
    let reply = VoteResponse::new(vote, None, false);
    assert_eq!(decode_vote_reply(encode_vote_reply(&reply)).unwrap(), reply);
    let request = TransferLeaderRequest::new(vote, 3, None);
    assert_eq!(decode_transfer(encode_transfer(&request)).unwrap(), request);
    let (back_vote, back) = decode_snapshot_header(encode_snapshot_header(&vote, &meta())).unwrap();
    assert_eq!((back_vote, back), (vote, meta()));
    assert_eq!(
        decode_read_index_reply(encode_read_index_reply(&id(4, 5))).unwrap(),
        id(4, 5)
    );
}

#[test]
fn every_cut_and_every_tail_is_refused() {
    for (bytes, read) in all() {
        read(bytes.clone()).unwrap();
        for cut in 0..bytes.len() {
            assert!(
                read(bytes.slice(..cut)).is_err(),
                "{cut} of {} bytes were read",
                bytes.len()
            );
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(matches!(read(longer.into()), Err(Error::Trailing(1))));
        let mut other = bytes.to_vec();
        other[0] = VERSION + 1;
        assert!(matches!(read(other.into()), Err(Error::Version(Some(_)))));
        let mut other = bytes.to_vec();
        other[1] = 200;
        assert!(matches!(
            read(other.into()),
            Err(Error::Kind {
                found: Some(200),
                ..
            })
        ));
    }
}

#[test]
fn a_declared_number_is_not_believed() {
    let mut empty = append();
    empty.entries.clear();
    let mut bytes = encode_append(&empty).to_vec();
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&u32::MAX.to_le_bytes());
    // It would be 100 GB if it were.
    assert!(matches!(
        decode_append(bytes.into()),
        Err(Error::Length {
            claimed: 0xffff_ffff,
            left: 0,
            ..
        })
    ));
}

proptest! {
    #[test]
    fn garbage_never_panics(kind in 0usize..11, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (sound, read) = all().swap_remove(kind);
        let mut with_head = sound[..2].to_vec();
        with_head.extend_from_slice(&bytes);
        let _ = read(with_head.into());
        let _ = read(bytes.into());
    }

    #[test]
    fn a_flipped_byte_never_panics(kind in 0usize..11, at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let (sound, read) = all().swap_remove(kind);
        let mut bytes = sound.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = read(bytes.into());
    }
}
