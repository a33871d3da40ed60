//! The standby's side of a relayed session: passes bytes both ways, and knows what of them is answered.
//!
//! Always: nothing that a primary may have looked at is sent to another. When the primary is lost, the session goes on only
//! where no answer is owed, or where the one that is owed is of a request that waited: that one is told that its outcome is
//! not known.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::base::limits::RELAY_TAIL_MAX;
use crate::raft::link::Stream;
use crate::resp::Parser;
use crate::server::Server;
use crate::server::clients::Client;

use super::Preamble;
use super::frames::{Frame, Frames, Note};

/// How long a node that leads no more has to answer what was passed on to it.
const GRACE: Duration = Duration::from_millis(300);

/// What has become of a relayed session.
pub enum After {
    /// The connection is over.
    Over,
    /// The session is this node's again.
    Back(Box<Returned>),
}

/// A session that came back.
pub struct Returned {
    pub session: Preamble,
    /// Input that no primary has looked at.
    pub input: BytesMut,
    /// A request waited, and what became of it is not known.
    pub unknown: bool,
}

/// Bytes on their way.
pub(super) struct Way {
    note: Note,
    /// The primary has spoken: it took the session.
    pub(super) taken: bool,
    /// Bytes that were sent to it.
    sent: u64,
    /// The last of them, from what is answered on; not there where they are too many.
    tail: Option<BytesMut>,
    /// Bytes went to the client since the last note: a reply may be half sent.
    pub(super) open: bool,
    /// The client sends no more.
    ended: bool,
}

impl Way {
    pub(super) fn new(session: Preamble) -> Way {
        Way {
            note: Note {
                consumed: 0,
                blocked: false,
                stays: false,
                session,
            },
            taken: false,
            sent: 0,
            tail: Some(BytesMut::new()),
            open: false,
            ended: false,
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.sent += bytes.len() as u64;
        match &mut self.tail {
            Some(tail) if tail.len() + bytes.len() <= RELAY_TAIL_MAX => {
                tail.extend_from_slice(bytes);
            }
            tail => *tail = None,
        }
    }

    pub(super) fn answered(&mut self, consumed: u64, blocked: bool) -> std::io::Result<()> {
        let more = consumed
            .checked_sub(self.note.consumed)
            .filter(|_| consumed <= self.sent);
        let Some(more) = more else {
            return Err(std::io::Error::other(format!(
                "the primary counts {consumed} bytes of input after {}, and {} were sent",
                self.note.consumed, self.sent
            )));
        };
        (self.note.consumed, self.note.blocked) = (consumed, blocked);
        self.open = false;
        match &mut self.tail {
            Some(tail) => {
                tail.advance(more as usize);
                if tail.is_empty() && tail.capacity() > 64 * 1024 {
                    *tail = BytesMut::new();
                }
            }
            None if consumed == self.sent => self.tail = Some(BytesMut::new()),
            None => {}
        }
        Ok(())
    }

    /// Whether nothing is owed to the client.
    pub(super) fn settled(&self) -> bool {
        self.taken && !self.open && !self.note.blocked && self.note.consumed == self.sent
    }

    /// What can be done without this primary. `disclaimed`: it said that it has not looked at what it did not count.
    pub(super) fn end(self, disclaimed: bool) -> After {
        let Some(tail) = self.tail else {
            return After::Over;
        };
        if !self.taken || self.open || self.note.stays || self.ended {
            return After::Over;
        }
        let blocked = self.note.blocked;
        if !disclaimed {
            // Whole requests may have been run. A part of one was not.
            let authenticated = self.note.session.authenticated;
            let whole = !matches!(Parser::new().next(&tail, authenticated), Ok(None));
            if whole || blocked && !tail.is_empty() {
                return After::Over;
            }
        }
        After::Back(Box::new(Returned {
            session: self.note.session,
            input: tail,
            unknown: blocked && !disclaimed,
        }))
    }
}

/// Why carrying ended.
enum Ended {
    /// The session, by the client or the primary.
    Session,
    /// The primary handed it back.
    Back,
    /// The primary was lost, or another leads and it answers no more.
    Lost,
}

/// Passes bytes between a client and a primary, until the session ends or the primary is none.
pub async fn carry<C: AsyncRead + AsyncWrite + Unpin>(
    server: &Server,
    client: (&mut C, &Arc<Client>),
    node: u64,
    stream: Stream,
    (preamble, input): (Preamble, BytesMut),
) -> After {
    let (socket, client) = client;
    let (reading, mut writing) = tokio::io::split(stream);
    let mut first = preamble.encode();
    first.extend_from_slice(&input);
    let way = Mutex::new(Way::new(preamble));
    way.lock().send(&input);
    if writing.write_all(&first).await.is_err() || writing.flush().await.is_err() {
        return After::Over;
    }
    let (from, to) = tokio::io::split(socket);
    let ended = tokio::select! {
        ended = up(from, writing, &way) => ended,
        ended = down(Frames::new(reading), to, &way) => ended,
        () = poll_fn(|cx| if client.killed() { Poll::Ready(()) } else { client.receive(cx.waker()); Poll::Pending }) => Ended::Session,
        () = overtaken(server, node, &way) => Ended::Lost,
    };
    match ended {
        Ended::Session => After::Over,
        Ended::Back => way.into_inner().end(true),
        Ended::Lost => way.into_inner().end(false),
    }
}

async fn up<C: AsyncRead + AsyncWrite + Unpin>(
    mut from: ReadHalf<&mut C>,
    mut to: WriteHalf<Stream>,
    way: &Mutex<Way>,
) -> Ended {
    let mut buffer = vec![0; 8 * 1024];
    loop {
        let len = match from.read(&mut buffer).await {
            Ok(0) => break,
            Ok(len) => len,
            Err(_) => return Ended::Session,
        };
        way.lock().send(&buffer[..len]);
        if to.write_all(&buffer[..len]).await.is_err() || to.flush().await.is_err() {
            // What the primary said last may still be on its way: the other direction finds its end.
            return std::future::pending().await;
        }
    }
    way.lock().ended = true;
    // Its last replies come yet.
    let _ = to.shutdown().await;
    std::future::pending().await
}

async fn down<C: AsyncRead + AsyncWrite + Unpin>(
    mut from: Frames<ReadHalf<Stream>>,
    mut to: WriteHalf<&mut C>,
    way: &Mutex<Way>,
) -> Ended {
    loop {
        let frame = match from.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ended::Lost,
            Err(e) => {
                tracing::debug!("a relayed session's primary was lost: {e}");
                return Ended::Lost;
            }
        };
        let said = match frame {
            Frame::Data(bytes) => {
                way.lock().open = true;
                if to.write_all(&bytes).await.is_err() || to.flush().await.is_err() {
                    return Ended::Session;
                }
                Ok(())
            }
            Frame::Session(note) => {
                let mut way = way.lock();
                way.taken = true;
                let said = way.answered(note.consumed, note.blocked);
                way.note = *note;
                said
            }
            Frame::Answered(consumed, blocked) => way.lock().answered(consumed, blocked),
            Frame::Bye => return Ended::Session,
            Frame::Back => return Ended::Back,
        };
        if let Err(e) = said {
            tracing::warn!("a relayed session ends: {e}");
            return Ended::Session;
        }
    }
}

/// Resolves when `node`, which led, has a successor, and owes no answer or does not give it: it may be paused or cut off,
/// and its connection may stay open for ever.
async fn overtaken(server: &Server, node: u64, way: &Mutex<Way>) {
    let mut view = server.view.clone();
    let mut since = None;
    loop {
        let led_by = view.borrow_and_update().leader.as_ref().map(|l| l.id);
        if led_by.is_none_or(|id| id == node) {
            since = None;
            if view.changed().await.is_err() {
                return std::future::pending().await;
            }
            continue;
        }
        let since = since.get_or_insert_with(Instant::now);
        if way.lock().settled() || since.elapsed() >= GRACE {
            return;
        }
        tokio::time::sleep(GRACE / 10).await;
    }
}
