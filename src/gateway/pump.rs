//! Moves bytes between two sockets, both ways, in one task.
//!
//! A connection that has nothing in flight holds no buffer: bytes are read into one buffer of the thread and written on
//! at once. Only what the other side would not take is kept, never more than `limits::GATEWAY_CHUNK`, and nothing
//! more is read until it is gone.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::base::limits;

thread_local! {
    static CHUNK: RefCell<Vec<u8>> = RefCell::new(vec![0; limits::GATEWAY_CHUNK]);
}

/// One direction.
#[derive(Default)]
struct Direction {
    /// What was read and not yet taken, from `sent` on.
    kept: Vec<u8>,
    sent: usize,
    /// The reader's end of file was seen.
    eof: bool,
    /// That end was passed on.
    done: bool,
}

/// Moves bytes both ways until both directions have ended, or either fails.
///
/// # Errors
/// That of the socket that failed; the caller drops both.
pub async fn both<A, B>(a: &mut A, b: &mut B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut up, mut down) = (Direction::default(), Direction::default());
    poll_fn(|cx| {
        CHUNK.with_borrow_mut(|chunk| {
            let first = up.poll(cx, a, b, chunk)?;
            let second = down.poll(cx, b, a, chunk)?;
            if first.is_ready() && second.is_ready() {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        })
    })
    .await
}

impl Direction {
    /// As far as it goes now. Ready: this direction has ended.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        chunk: &mut [u8],
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self.done {
            return Poll::Ready(Ok(()));
        }
        loop {
            while self.sent < self.kept.len() {
                let n = ready!(Pin::new(&mut *to).poll_write(cx, &self.kept[self.sent..]))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.sent += n;
            }
            if self.sent > 0 {
                (self.kept, self.sent) = (Vec::new(), 0);
            }
            if self.eof {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.done = true;
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(chunk);
            ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            if read.is_empty() {
                self.eof = true;
                continue;
            }
            let taken = match Pin::new(&mut *to).poll_write(cx, read) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => n,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => 0,
            };
            if taken < read.len() {
                self.kept = read[taken..].to_vec();
            }
        }
    }
}
