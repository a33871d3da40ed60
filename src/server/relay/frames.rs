//! What a primary sends back for a session that is relayed to it: its replies, and between them what the session has
//! become and how much of its input is answered. With that another primary can take the session over.
//!
//! Always: a note stands behind every reply to the input that it counts, and before any reply to what follows; who reads
//! the stream knows at each note that nothing is half sent. Towards the primary the client's bytes pass as they are.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::base::limits::{RELAY_FRAME_LEN_MAX, RELAY_NOTE_LEN_MAX};
use crate::raft::link::Stream;
use crate::resp::Proto;
use crate::server::Session;

use super::Preamble;

/// Kinds of frames; each has its length behind it, four bytes, big end first.
const DATA: u8 = 0;
const SESSION: u8 = 1;
const ANSWERED: u8 = 2;
const BYE: u8 = 3;
const BACK: u8 = 4;
const HEAD: usize = 5;

/// What a primary says of a session between two replies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Bytes of input that are answered, or taken by a request that waits.
    pub consumed: u64,
    /// The last request waits: for a key, or for standbys.
    pub blocked: bool,
    /// Another primary cannot go on with it: MONITOR, the replication stream, and the like.
    pub stays: bool,
    pub session: Preamble,
}

/// A frame, or a piece of one that carries data.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Data(Bytes),
    Session(Box<Note>),
    /// The session is as it was; so much of the input is answered; whether the last request waits.
    Answered(u64, bool),
    /// The session ended.
    Bye,
    /// This node is no primary: what was not counted was not looked at.
    Back,
}

fn push(out: &mut BytesMut, kind: u8, payload: &[u8]) {
    out.extend_from_slice(&[kind]);
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
}

/// What a session that is not taken is told.
pub fn refusal(bytes: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    push(&mut out, DATA, bytes);
    push(&mut out, BYE, &[]);
    out
}

/// Tells the other node of the session. What it says leaves with the next flush, in its place between the replies.
#[derive(Default)]
pub struct Teller {
    out: Arc<Mutex<BytesMut>>,
    /// What was said last.
    last: Option<Note>,
    /// The session's count of changes to its subscriptions at that time.
    names: u64,
}

impl Teller {
    /// Says how far the session is, and what it has become where that changed. `anew`: though it was said before, since
    /// something was sent behind it. Answers whether there is something to flush.
    pub fn tell(
        &mut self,
        (consumed, blocked): (u64, bool),
        session: &Session,
        proto: Proto,
        anew: bool,
    ) -> bool {
        let known = self.last.as_mut().filter(|last| {
            self.names == session.names_changed
                && last.stays == session.stays()
                && last.session.shows(session, proto)
        });
        if let Some(last) = known {
            if !anew && (last.consumed, last.blocked) == (consumed, blocked) {
                return false;
            }
            (last.consumed, last.blocked) = (consumed, blocked);
            let mut payload = [0; 9];
            payload[..8].copy_from_slice(&consumed.to_be_bytes());
            payload[8] = u8::from(blocked);
            push(&mut self.out.lock(), ANSWERED, &payload);
            return true;
        }
        self.names = session.names_changed;
        let mut note = Note {
            consumed,
            blocked,
            stays: session.stays(),
            session: Preamble::of(session, proto),
        };
        let mut json = serde_json::to_vec(&note).unwrap_or_default();
        if json.len() > RELAY_NOTE_LEN_MAX {
            note.session.names = Default::default();
            let stays = std::mem::replace(&mut note.stays, true);
            json = serde_json::to_vec(&note).unwrap_or_default();
            note.stays = stays;
        }
        push(&mut self.out.lock(), SESSION, &json);
        self.last = Some(note);
        true
    }

    /// The session ended.
    pub fn bye(&self) {
        push(&mut self.out.lock(), BYE, &[]);
    }

    /// The other node has to find the primary.
    pub fn back(&self) {
        push(&mut self.out.lock(), BACK, &[]);
    }
}

/// A stream whose outgoing bytes are put into frames.
pub struct Framed {
    inner: Stream,
    out: Arc<Mutex<BytesMut>>,
}

impl Framed {
    pub fn new(inner: Stream) -> (Framed, Teller) {
        let teller = Teller::default();
        let out = teller.out.clone();
        (Framed { inner, out }, teller)
    }

    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut out = self.out.lock();
        while !out.is_empty() {
            match Pin::new(&mut self.inner).poll_write(cx, &out) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
                }
                Poll::Ready(Ok(n)) => out.advance(n),
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if out.capacity() > RELAY_FRAME_LEN_MAX * 2 {
            *out = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Framed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Framed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.out.lock().len() >= RELAY_FRAME_LEN_MAX {
            match self.drain(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let len = bytes.len().min(RELAY_FRAME_LEN_MAX);
        push(&mut self.out.lock(), DATA, &bytes[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.drain(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.inner).poll_flush(cx),
            other => other,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.drain(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.inner).poll_shutdown(cx),
            other => other,
        }
    }
}

/// Reads frames.
pub struct Frames<R> {
    inner: R,
    buffer: BytesMut,
    /// Bytes of data that are still to come of a frame whose head was read.
    open: usize,
    /// Nothing was read yet.
    first: bool,
    /// The other node is of a version that sends replies as they are; no reply begins as a frame does.
    plain: bool,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub fn new(inner: R) -> Frames<R> {
        Frames {
            inner,
            buffer: BytesMut::new(),
            open: 0,
            first: true,
            plain: false,
        }
    }

    /// The next frame; `None` where the stream ended. May be cancelled.
    ///
    /// # Errors
    /// What reading answers; a frame that no primary sends.
    pub async fn next(&mut self) -> std::io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.parse()? {
                return Ok(Some(frame));
            }
            self.buffer.reserve(8 * 1024);
            if self.inner.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn parse(&mut self) -> std::io::Result<Option<Frame>> {
        if self.first && !self.buffer.is_empty() {
            (self.first, self.plain) = (false, self.buffer[0] > BACK);
        }
        if self.plain {
            let all = self.buffer.split().freeze();
            return Ok((!all.is_empty()).then_some(Frame::Data(all)));
        }
        if self.open == 0 {
            if self.buffer.len() < HEAD {
                return Ok(None);
            }
            let kind = self.buffer[0];
            let len = u32::from_be_bytes([
                self.buffer[1],
                self.buffer[2],
                self.buffer[3],
                self.buffer[4],
            ]) as usize;
            let max = match kind {
                DATA => RELAY_FRAME_LEN_MAX,
                _ => RELAY_NOTE_LEN_MAX,
            };
            if len > max || kind > BACK {
                return Err(std::io::Error::other(format!(
                    "a relayed frame of kind {kind} with {len} bytes: at most {max}, and kinds 0 to {BACK}"
                )));
            }
            if kind == DATA {
                self.buffer.advance(HEAD);
                self.open = len;
            } else {
                if self.buffer.len() < HEAD + len {
                    return Ok(None);
                }
                self.buffer.advance(HEAD);
                let payload = self.buffer.split_to(len);
                return told(kind, &payload).map(Some);
            }
        }
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let len = self.open.min(self.buffer.len());
        self.open -= len;
        Ok(Some(Frame::Data(self.buffer.split_to(len).freeze())))
    }
}

fn told(kind: u8, payload: &[u8]) -> std::io::Result<Frame> {
    Ok(match kind {
        SESSION => Frame::Session(serde_json::from_slice(payload).map_err(std::io::Error::other)?),
        ANSWERED => match payload.split_first_chunk::<8>() {
            Some((consumed, [blocked])) => {
                Frame::Answered(u64::from_be_bytes(*consumed), *blocked != 0)
            }
            _ => return Err(std::io::Error::other("a relayed count of a wrong length")),
        },
        BYE => Frame::Bye,
        _ => Frame::Back,
    })
}
