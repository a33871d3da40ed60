//! The bytes of Raft's messages, inside `Frame.body` of the gRPC services.
//!
//! A message is one byte of version, one byte of kind, then fields as `codec.rs` writes them, all
//! little-endian. Decoding never panics, allocates nothing for a length that is merely declared,
//! refuses trailing bytes, and leaves an entry's body a slice of what was received.

use super::codec::{self, ENTRY_HEAD_LEN};
use super::types::{Config, Entry, LogId, SnapshotMeta, StoredMembership, Vote};
use bytes::{Buf, BufMut, Bytes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    StreamAppendResult, TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};

/// The version that this program writes, and the only one that it reads.
pub const VERSION: u8 = 1;

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another version, or nothing at all.
    #[error("a message of version {0:?} arrived; this program reads version {VERSION}")]
    Version(Option<u8>),
    /// Another kind of message than the service takes.
    #[error("a message of kind {found:?} arrived where {wanted:?} is needed")]
    Kind {
        /// What arrived, `None` if the message ends before.
        found: Option<u8>,
        /// What was needed.
        wanted: Kind,
    },
    /// A field cannot be read.
    #[error(transparent)]
    Field(#[from] codec::Error),
    /// A number says more than there is.
    #[error("{what} claims {claimed}, and {left} bytes are left")]
    Length {
        /// What it counts.
        what: &'static str,
        /// What it says.
        claimed: usize,
        /// What there is.
        left: usize,
    },
    /// An unknown choice.
    #[error("{what} has the unknown tag {tag}")]
    Tag {
        /// What was being read.
        what: &'static str,
        /// The byte found.
        tag: u8,
    },
    /// Bytes after the message.
    #[error("{0} bytes follow a complete message")]
    Trailing(usize),
    /// A membership that is not the JSON of one.
    #[error("a membership cannot be read: {0}")]
    Membership(#[from] serde_json::Error),
}

/// The kinds of message. A number is never given another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// AppendEntries, heartbeats included.
    Append = 1,
    /// The answer to one AppendEntries.
    AppendReply = 2,
    /// The answer to one AppendEntries within a stream.
    StreamReply = 3,
    /// RequestVote and PreVote.
    Vote = 4,
    /// Their answer.
    VoteReply = 5,
    /// A leader names its successor.
    Transfer = 6,
    /// The answer to that.
    TransferReply = 7,
    /// What precedes the files of a snapshot.
    SnapshotHeader = 8,
    /// The answer to a snapshot.
    SnapshotReply = 9,
    /// A standby asks for a read index.
    ReadIndex = 10,
    /// The read index.
    ReadIndexReply = 11,
}

fn begin(kind: Kind, room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + room);
    out.put_u8(VERSION);
    out.put_u8(kind as u8);
    out
}

fn open(mut body: Bytes, wanted: Kind) -> Result<Bytes, Error> {
    match body.first() {
        Some(&VERSION) => body.advance(1),
        other => return Err(Error::Version(other.copied())),
    }
    match body.first() {
        Some(&found) if found == wanted as u8 => body.advance(1),
        other => {
            return Err(Error::Kind {
                found: other.copied(),
                wanted,
            });
        }
    }
    Ok(body)
}

fn close<T>(rest: &Bytes, value: T) -> Result<T, Error> {
    match rest.len() {
        0 => Ok(value),
        n => Err(Error::Trailing(n)),
    }
}

fn need(buf: &Bytes, len: usize, what: &'static str) -> Result<(), Error> {
    match buf.len() {
        left if left < len => Err(Error::Length {
            what,
            claimed: len,
            left,
        }),
        _ => Ok(()),
    }
}

fn tag(buf: &mut Bytes, what: &'static str) -> Result<u8, Error> {
    need(buf, 1, what)?;
    Ok(buf.get_u8())
}

fn flag(buf: &mut Bytes, what: &'static str) -> Result<bool, Error> {
    match tag(buf, what)? {
        0 => Ok(false),
        1 => Ok(true),
        tag => Err(Error::Tag { what, tag }),
    }
}

/// Bytes that an entry takes within an AppendEntries.
pub fn entry_len(entry: &Entry) -> usize {
    4 + codec::entry_len(entry)
}

/// Encodes AppendEntries.
pub fn encode_append(request: &AppendEntriesRequest<Config>) -> Bytes {
    let room = 64 + request.entries.iter().map(entry_len).sum::<usize>();
    let mut out = begin(Kind::Append, room);
    codec::encode_vote(&request.vote, &mut out);
    codec::encode_log_id_option(&request.prev_log_id, &mut out);
    codec::encode_log_id_option(&request.leader_commit, &mut out);
    out.put_u32_le(request.entries.len() as u32);
    for entry in &request.entries {
        let at = out.len();
        out.put_u32_le(0);
        codec::encode_entry(entry, &mut out);
        let len = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }
    out.into()
}

/// Decodes AppendEntries; bodies of entries stay slices of `body`.
pub fn decode_append(body: Bytes) -> Result<AppendEntriesRequest<Config>, Error> {
    let mut buf = open(body, Kind::Append)?;
    let vote = codec::decode_vote(&mut buf)?;
    let prev_log_id = codec::decode_log_id_option(&mut buf)?;
    let leader_commit = codec::decode_log_id_option(&mut buf)?;
    need(&buf, 4, "the number of entries")?;
    let count = buf.get_u32_le() as usize;
    // Each takes at least this much, so the room made is bounded by what arrived.
    if count > buf.len() / (4 + ENTRY_HEAD_LEN) {
        return Err(Error::Length {
            what: "the number of entries",
            claimed: count,
            left: buf.len(),
        });
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        need(&buf, 4, "the length of an entry")?;
        let len = buf.get_u32_le() as usize;
        need(&buf, len, "the length of an entry")?;
        entries.push(codec::decode_entry(buf.split_to(len))?);
    }
    close(
        &buf,
        AppendEntriesRequest {
            vote,
            prev_log_id,
            entries,
            leader_commit,
        },
    )
}

/// Encodes the answer to one AppendEntries.
pub fn encode_append_reply(reply: &AppendEntriesResponse<Config>) -> Bytes {
    let mut out = begin(Kind::AppendReply, 32);
    match reply {
        AppendEntriesResponse::Success => out.put_u8(0),
        AppendEntriesResponse::PartialSuccess(matched) => {
            out.put_u8(1);
            codec::encode_log_id_option(matched, &mut out);
        }
        AppendEntriesResponse::Conflict => out.put_u8(2),
        AppendEntriesResponse::HigherVote(vote) => {
            out.put_u8(3);
            codec::encode_vote(vote, &mut out);
        }
    }
    out.into()
}

/// Decodes the answer to one AppendEntries.
pub fn decode_append_reply(body: Bytes) -> Result<AppendEntriesResponse<Config>, Error> {
    let mut buf = open(body, Kind::AppendReply)?;
    let reply = match tag(&mut buf, "the answer to an append")? {
        0 => AppendEntriesResponse::Success,
        1 => AppendEntriesResponse::PartialSuccess(codec::decode_log_id_option(&mut buf)?),
        2 => AppendEntriesResponse::Conflict,
        3 => AppendEntriesResponse::HigherVote(codec::decode_vote(&mut buf)?),
        tag => {
            return Err(Error::Tag {
                what: "the answer to an append",
                tag,
            });
        }
    };
    close(&buf, reply)
}

/// Encodes the answer to one AppendEntries within a stream.
pub fn encode_stream_reply(reply: &StreamAppendResult<Config>) -> Bytes {
    let mut out = begin(Kind::StreamReply, 32);
    match reply {
        Ok(matched) => {
            out.put_u8(0);
            codec::encode_log_id_option(matched, &mut out);
        }
        Err(StreamAppendError::Conflict(at)) => {
            out.put_u8(1);
            codec::encode_log_id(at, &mut out);
        }
        Err(StreamAppendError::HigherVote(vote)) => {
            out.put_u8(2);
            codec::encode_vote(vote, &mut out);
        }
    }
    out.into()
}

/// Decodes the answer to one AppendEntries within a stream.
pub fn decode_stream_reply(body: Bytes) -> Result<StreamAppendResult<Config>, Error> {
    let mut buf = open(body, Kind::StreamReply)?;
    let reply = match tag(&mut buf, "the answer within a stream")? {
        0 => Ok(codec::decode_log_id_option(&mut buf)?),
        1 => Err(StreamAppendError::Conflict(codec::decode_log_id(&mut buf)?)),
        2 => Err(StreamAppendError::HigherVote(codec::decode_vote(&mut buf)?)),
        tag => {
            return Err(Error::Tag {
                what: "the answer within a stream",
                tag,
            });
        }
    };
    close(&buf, reply)
}

/// Encodes RequestVote or PreVote.
pub fn encode_vote(request: &VoteRequest<Config>) -> Bytes {
    let mut out = begin(Kind::Vote, 40);
    codec::encode_vote(&request.vote, &mut out);
    codec::encode_log_id_option(&request.last_log_id, &mut out);
    out.put_u8(request.leadership_transfer as u8);
    out.into()
}

/// Decodes RequestVote or PreVote.
pub fn decode_vote(body: Bytes) -> Result<VoteRequest<Config>, Error> {
    let mut buf = open(body, Kind::Vote)?;
    let vote = codec::decode_vote(&mut buf)?;
    let mut request = VoteRequest::new(vote, codec::decode_log_id_option(&mut buf)?);
    request.leadership_transfer = flag(&mut buf, "the transfer flag")?;
    close(&buf, request)
}

/// Encodes the answer to RequestVote or PreVote.
pub fn encode_vote_reply(reply: &VoteResponse<Config>) -> Bytes {
    let mut out = begin(Kind::VoteReply, 40);
    codec::encode_vote(&reply.vote, &mut out);
    codec::encode_log_id_option(&reply.last_log_id, &mut out);
    out.put_u8(reply.vote_granted as u8);
    out.into()
}

/// Decodes the answer to RequestVote or PreVote.
pub fn decode_vote_reply(body: Bytes) -> Result<VoteResponse<Config>, Error> {
    let mut buf = open(body, Kind::VoteReply)?;
    let vote = codec::decode_vote(&mut buf)?;
    let last_log_id = codec::decode_log_id_option(&mut buf)?;
    let vote_granted = flag(&mut buf, "the grant")?;
    close(
        &buf,
        VoteResponse {
            vote,
            vote_granted,
            last_log_id,
        },
    )
}

/// Encodes a leader's naming of its successor.
pub fn encode_transfer(request: &TransferLeaderRequest<Config>) -> Bytes {
    let mut out = begin(Kind::Transfer, 48);
    codec::encode_vote(request.from_leader(), &mut out);
    out.put_u64_le(*request.to_node_id());
    codec::encode_log_id_option(&request.last_log_id().copied(), &mut out);
    out.into()
}

/// Decodes a leader's naming of its successor.
pub fn decode_transfer(body: Bytes) -> Result<TransferLeaderRequest<Config>, Error> {
    let mut buf = open(body, Kind::Transfer)?;
    let from = codec::decode_vote(&mut buf)?;
    need(&buf, 8, "the successor")?;
    let to = buf.get_u64_le();
    let last = codec::decode_log_id_option(&mut buf)?;
    close(&buf, TransferLeaderRequest::new(from, to, last))
}

/// Encodes the answer of the named successor.
pub fn encode_transfer_reply(reply: &TransferLeaderResponse<Config>) -> Bytes {
    let mut out = begin(Kind::TransferReply, 64);
    match reply {
        Ok(()) => out.put_u8(0),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            out.put_u8(1);
            codec::encode_vote(expected, &mut out);
            codec::encode_vote(actual, &mut out);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            out.put_u8(2);
            codec::encode_log_id_option(expected, &mut out);
            codec::encode_log_id_option(actual, &mut out);
        }
    }
    out.into()
}

/// Decodes the answer of the named successor.
pub fn decode_transfer_reply(body: Bytes) -> Result<TransferLeaderResponse<Config>, Error> {
    let mut buf = open(body, Kind::TransferReply)?;
    let reply = match tag(&mut buf, "the answer to a transfer")? {
        0 => Ok(()),
        1 => Err(TransferLeaderError::VoteChanged {
            expected: codec::decode_vote(&mut buf)?,
            actual: codec::decode_vote(&mut buf)?,
        }),
        2 => Err(TransferLeaderError::LogNotFlushed {
            expected: codec::decode_log_id_option(&mut buf)?,
            actual: codec::decode_log_id_option(&mut buf)?,
        }),
        tag => {
            return Err(Error::Tag {
                what: "the answer to a transfer",
                tag,
            });
        }
    };
    close(&buf, reply)
}

/// Appends a snapshot's meta: also the form in which it stands in files.
pub fn put_snapshot_meta(meta: &SnapshotMeta, out: &mut Vec<u8>) {
    codec::encode_log_id_option(&meta.last_log_id, out);
    codec::encode_log_id_option(meta.last_membership.log_id(), out);
    let json = serde_json::to_vec(meta.last_membership.membership())
        .expect("a membership has only numbers and strings");
    out.put_u32_le(json.len() as u32);
    out.put_slice(&json);
}

/// Takes what [`put_snapshot_meta`] wrote off the front of `buf`.
pub fn take_snapshot_meta(buf: &mut Bytes) -> Result<SnapshotMeta, Error> {
    let last_log_id = codec::decode_log_id_option(buf)?;
    let at = codec::decode_log_id_option(buf)?;
    need(buf, 4, "the length of a membership")?;
    let len = buf.get_u32_le() as usize;
    need(buf, len, "the length of a membership")?;
    let membership = serde_json::from_slice(&buf.split_to(len))?;
    Ok(SnapshotMeta {
        last_log_id,
        last_membership: StoredMembership::new(at, membership),
    })
}

/// Encodes what precedes the files of a snapshot: the leader's vote, and the meta.
pub fn encode_snapshot_header(vote: &Vote, meta: &SnapshotMeta) -> Bytes {
    let mut out = begin(Kind::SnapshotHeader, 256);
    codec::encode_vote(vote, &mut out);
    put_snapshot_meta(meta, &mut out);
    out.into()
}

/// Decodes what precedes the files of a snapshot.
pub fn decode_snapshot_header(body: Bytes) -> Result<(Vote, SnapshotMeta), Error> {
    let mut buf = open(body, Kind::SnapshotHeader)?;
    let vote = codec::decode_vote(&mut buf)?;
    let meta = take_snapshot_meta(&mut buf)?;
    close(&buf, (vote, meta))
}

/// Encodes the answer to a snapshot.
pub fn encode_snapshot_reply(reply: &SnapshotResponse<Config>) -> Bytes {
    let mut out = begin(Kind::SnapshotReply, 24);
    codec::encode_vote(&reply.vote, &mut out);
    out.into()
}

/// Decodes the answer to a snapshot.
pub fn decode_snapshot_reply(body: Bytes) -> Result<SnapshotResponse<Config>, Error> {
    let mut buf = open(body, Kind::SnapshotReply)?;
    let vote = codec::decode_vote(&mut buf)?;
    close(&buf, SnapshotResponse::new(vote))
}

/// Encodes a question for a read index.
pub fn encode_read_index() -> Bytes {
    begin(Kind::ReadIndex, 0).into()
}

/// Checks a question for a read index.
pub fn decode_read_index(body: Bytes) -> Result<(), Error> {
    close(&open(body, Kind::ReadIndex)?, ())
}

/// Encodes a read index.
pub fn encode_read_index_reply(id: &LogId) -> Bytes {
    let mut out = begin(Kind::ReadIndexReply, 16);
    codec::encode_log_id(id, &mut out);
    out.into()
}

/// Decodes a read index.
pub fn decode_read_index_reply(body: Bytes) -> Result<LogId, Error> {
    let mut buf = open(body, Kind::ReadIndexReply)?;
    let id = codec::decode_log_id(&mut buf)?;
    close(&buf, id)
}

#[cfg(test)]
mod tests;
