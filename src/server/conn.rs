//! One connection: bytes in, requests run, replies out at their commit.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;

use crate::base::limits::{COMMANDS_PER_TURN_MAX, RELAY_TAIL_MAX, REPLY_BACKLOG_MAX};
use crate::command::Fail;
use crate::command::blocking::{self, Parcel};
use crate::command::table::CommandId;
use crate::engine::Core;
use crate::raft::link::Stream;
use crate::resp::{Parser, Proto};

use super::dispatch::{self, Blocked, Step};
use super::held::Held;
use super::scripts::{busy, long};
use super::session::{Multi, ReplyMode};
use super::{Server, Session, caches, freshness, relay};

/// Rounds of reading and running before other connections of the thread get their turn.
const ROUNDS_MAX: usize = 8;
const READ_LEN: usize = 64 * 1024;

thread_local! {
    /// Reading goes through one buffer a thread: an idle connection owns none.
    static SCRATCH: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; READ_LEN]);
}

/// Why `drive` returned.
enum Event {
    Closed,
    /// The next request in the buffer needs something first.
    Needs(Need),
}

/// What a request needs that this node does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// The primary, and this node is not it.
    Primary,
    /// The primary's word on how far this standby must be.
    ReadIndex,
}

/// A connection's state.
pub struct Conn<S> {
    stream: S,
    server: Arc<Server>,
    session: Session,
    parser: Parser,
    input: BytesMut,
    held: Held,
    eof: bool,
    flushing: bool,
    /// The last request waits for a key.
    blocked: Option<Waiting>,
    /// The next request is run by the thread of long scripts, which has the session; and its length.
    long: Option<(oneshot::Receiver<long::Done>, usize)>,
    /// The engine is yet to be told what replies wait for.
    untold: bool,
    /// The next request is held back until then; see `dispatch::Step::Held`.
    paused: Option<Instant>,
    /// Counted among the blocked clients.
    counted: bool,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
    last_read: Instant,
    /// The request in the buffer was found to need something first.
    stuck: Option<Need>,
    /// This much of the buffer was there before the primary was asked for the read index that follows.
    asked: (usize, u64),
    /// Bytes that were read in all.
    taken: u64,
    /// Tells the node that relays this session what becomes of it.
    teller: Option<relay::Teller>,
    /// Bytes were sent since it was told last.
    unnoted: bool,
}

/// A request that waits, and until when.
struct Waiting {
    parcel: Arc<Parcel>,
    command: CommandId,
    deadline: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Conn<relay::Framed> {
    /// A session that another node relays to this one.
    pub fn relayed(stream: Stream, server: Arc<Server>, session: Session) -> Self {
        let (stream, teller) = relay::Framed::new(stream);
        let mut conn = Conn::new(stream, server, session);
        conn.teller = Some(teller);
        conn
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    pub fn new(stream: S, server: Arc<Server>, session: Session) -> Self {
        let proto = if session.client.resp3() {
            Proto::Resp3
        } else {
            Proto::Resp2
        };
        Conn {
            stream,
            server,
            session,
            parser: Parser::new(),
            input: BytesMut::new(),
            held: Held::new(proto),
            eof: false,
            flushing: false,
            blocked: None,
            long: None,
            untold: false,
            paused: None,
            counted: false,
            timer: None,
            last_read: Instant::now(),
            stuck: None,
            asked: (0, 0),
            taken: 0,
            teller: None,
            unnoted: false,
        }
    }

    /// Serves the client until it leaves.
    pub async fn run(mut self) {
        loop {
            match poll_fn(|cx| self.drive(cx)).await {
                Event::Closed => break,
                Event::Needs(Need::Primary) => match relay::primary(&self.server).await {
                    relay::Primary::Here => self.stuck = None,
                    // What was published meanwhile is lost to it: a driver that has to connect anew knows that.
                    relay::Primary::At(..) | relay::Primary::None if self.is_cut_off() => break,
                    relay::Primary::At(..) if self.hands_back() => {
                        if let Some(teller) = &self.teller {
                            teller.back();
                        }
                        break;
                    }
                    relay::Primary::At(node, stream) => {
                        if !self.relay(node, stream).await {
                            break;
                        }
                    }
                    relay::Primary::None => {
                        self.stuck = None;
                        self.refuse_next(
                            "CLUSTERDOWN no primary is known at this moment: try again",
                        );
                    }
                },
                Event::Needs(Need::ReadIndex) => {
                    self.stuck = None;
                    // A request that arrives from here on may follow a write that the answer does not cover.
                    let asked = self.input.len();
                    match freshness::ask(&self.server).await {
                        Ok(index) => self.asked = (asked, index),
                        Err(why) => self.refuse_next(&format!(
                            "STALE the primary was not heard for too long, and a read here needs its word: {why}"
                        )),
                    }
                }
            }
        }
        if let Some((done, _)) = self.long.take()
            && let Ok(done) = done.await
        {
            self.session = done.session;
        }
        if self.blocked.is_some() {
            let id = self.session.client.id;
            self.server.engine.locked().await.blocking.remove(id);
        }
        if self.session.tracking.on {
            self.session
                .track(&mut *self.server.engine.locked().await, None);
        }
        self.session.unsubscribe_all(&self.server.hub);
        self.server.monitors.remove(self.session.client.id);
        if self.session.replica {
            let mut core = self.server.engine.locked().await;
            self.server
                .replicas
                .remove(&mut core, self.session.client.id);
        }
        self.count_blocked(false);
        self.server.clients.remove(self.session.client.id);
        if let Some(teller) = &self.teller {
            teller.bye();
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }

    /// Whether it is a subscriber that is to be closed, since the primary that it listened to is none any more.
    fn is_cut_off(&self) -> bool {
        self.session.subscriptions() > 0 && self.server.live.closes_subscribers()
    }

    /// Whether the node that relays the session here can go on with it itself.
    fn hands_back(&self) -> bool {
        self.teller.is_some() && self.input.len() <= RELAY_TAIL_MAX && !self.session.stays()
    }

    /// The node that relays this session is told how far it is, where all that was asked is answered. What it says leaves
    /// with the next flush.
    fn note(&mut self) {
        let proto = self.held.out.proto();
        if let Some(teller) = &mut self.teller
            && self.held.is_empty()
            && self.long.is_none()
        {
            let done = self.taken - self.input.len() as u64;
            let far = (done, self.blocked.is_some());
            self.flushing |= teller.tell(far, &self.session, proto, self.unnoted);
            self.unnoted = false;
        }
    }

    /// From here on the primary's connection speaks: bytes pass both ways. Says whether the session came back.
    async fn relay(&mut self, node: u64, stream: Stream) -> bool {
        let preamble = relay::Preamble::of(&self.session, self.held.out.proto());
        if self.session.tracking.on {
            self.session
                .track(&mut *self.server.engine.locked().await, None);
        }
        self.session.unsubscribe_all(&self.server.hub);
        // What it was served here is not watched over at the primary.
        if preamble.tracking.is_some() && self.tell_to_forget(&preamble).await.is_err() {
            return false;
        }
        self.server.counters.relayed.fetch_add(1, Relaxed);
        let client = self.session.client.clone();
        client.about.lock().relayed = true;
        let input = std::mem::take(&mut self.input);
        let socket = (&mut self.stream, &client);
        let carried = relay::carry(&self.server, socket, node, stream, (preamble, input)).await;
        client.about.lock().relayed = false;
        let relay::After::Back(returned) = carried else {
            return false;
        };
        self.server.counters.returned.fetch_add(1, Relaxed);
        let relay::Returned {
            session,
            input,
            unknown,
        } = *returned;
        let proto = match session.resp3 {
            true => Proto::Resp3,
            false => Proto::Resp2,
        };
        self.held.out.set_proto(proto);
        if session.tracking.is_some() && self.tell_to_forget(&session).await.is_err() {
            return false;
        }
        self.session.become_that_of(&self.server, session).await;
        if self.is_cut_off() {
            return false;
        }
        if unknown && self.session.reply == ReplyMode::On {
            self.held.out.error(Fail::UNKNOWN_OUTCOME.as_str());
            self.held.mark(0, 0);
        }
        self.taken += input.len() as u64;
        (self.input, self.parser) = (input, Parser::new());
        (self.asked, self.stuck) = ((0, 0), None);
        self.last_read = Instant::now();
        true
    }

    /// Nobody watched over what a client has cached, for a moment.
    async fn tell_to_forget(&mut self, session: &relay::Preamble) -> std::io::Result<()> {
        if session.resp3 && session.tracking.as_ref().is_some_and(|o| o.redirect == 0) {
            self.stream.write_all(&caches::forget_all()).await?;
            self.stream.flush().await?;
        }
        Ok(())
    }

    /// What the next request needs was not had in time: it is refused, so that the client learns of it. MULTI never is, as in
    /// Redis: what a client has sent behind it must not run without it. Its EXEC is.
    fn refuse_next(&mut self, error: &str) {
        let Ok(Some(request)) = self.parser.next(&self.input, self.session.authenticated) else {
            return;
        };
        let consumed = request.consumed;
        let bytes = request.unquoted.unwrap_or(&self.input[..]);
        let is = |name: &[u8]| {
            let first = request.args.first().map(|a| &bytes[a.range()]);
            first.is_some_and(|a| a.eq_ignore_ascii_case(name))
        };
        let (begins, ends) = (is(b"multi"), is(b"exec") || is(b"discard"));
        match &mut self.session.multi {
            None if begins => {
                self.session.multi = Some(Multi {
                    aborted: true,
                    ..Multi::default()
                });
                self.held.out.ok();
            }
            Some(_) if ends => {
                self.session.multi = None;
                self.session.unwatch();
                self.held.out.error(error);
            }
            Some(multi) => {
                multi.aborted = true;
                self.held.out.error(error);
            }
            None => self.held.out.error(error),
        }
        self.input.advance(consumed);
        self.held.mark(0, 0);
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        for _ in 0..ROUNDS_MAX {
            if self.session.client.killed() {
                return Poll::Ready(Event::Closed);
            }
            if self.server.engine.pause.holds(cx.waker()) {
                return Poll::Pending;
            }
            let mut progress = false;
            // What does not fit stays where its bound is: a client that does not read is disconnected there.
            while self.held.len() < REPLY_BACKLOG_MAX
                && let Some(message) = self.session.client.receive(cx.waker())
            {
                // Behind the replies that are on their way, as Redis does.
                self.held.out.raw(&message);
                self.held.mark(0, 0);
                progress = true;
            }
            progress |= self.unblock(cx);
            progress |= self.long_done(cx);
            if self.untold {
                self.tell(cx);
            }
            let full = self.held.len() >= REPLY_BACKLOG_MAX;
            if full {
                self.session.client.wake_at_end(cx.waker());
            }
            let engine = self.server.engine.clone();
            if !self.held.is_empty() {
                // What became of a reply's batch may not be told while a script has the engine.
                engine.long.holds(cx.waker());
            }
            self.held.release(|era, batch| engine.outcome(era, batch));
            match self.write(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Event::Closed),
                Poll::Pending => {}
            }
            progress |= full && self.held.len() < REPLY_BACKLOG_MAX;
            let gone = self.eof && self.blocked.is_some();
            let ends = self.session.closing || self.eof && self.long.is_none();
            if ends && self.held.is_empty() && !self.flushing || gone {
                return Poll::Ready(Event::Closed);
            }
            let waits = self.blocked.is_some() || self.long.is_some();
            if self.session.tied() && !waits && !self.server.engine.leading() {
                // Nothing would reach it here any more.
                self.stuck = Some(Need::Primary);
            }
            if let Some(need) = self.stuck {
                return if self.held.is_empty() && !self.flushing {
                    Poll::Ready(Event::Needs(need))
                } else {
                    Poll::Pending
                };
            }
            if self.held.len() < REPLY_BACKLOG_MAX && !self.session.closing {
                if !self.input.is_empty() && self.blocked.is_none() && self.long.is_none() {
                    progress |= self.execute(cx);
                    if self.stuck.is_some() {
                        continue;
                    }
                }
                // Who waits is read from only to notice that it left, and so much that it can have pipelined.
                let waits = self.paused.is_some() || self.blocked.is_some() || self.long.is_some();
                let room = !waits || self.input.len() < REPLY_BACKLOG_MAX;
                if !progress && !self.eof && room {
                    match self.read(cx) {
                        Poll::Ready(Ok(0)) => {
                            self.eof = true;
                            progress = true;
                        }
                        Poll::Ready(Ok(_)) => progress = true,
                        Poll::Ready(Err(_)) => return Poll::Ready(Event::Closed),
                        Poll::Pending => {}
                    }
                }
            }
            if !progress {
                return self.rest(cx);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Nothing is to be done now: comes back when a pause ends, and closes a client that was idle too long.
    fn rest(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let mut deadline = self.paused;
        let timeout = self.server.live.timeout_s.load(Relaxed);
        let waits = self.session.subscriptions() > 0 || self.blocked.is_some();
        let exempt = waits || self.session.monitor || self.session.replica;
        if timeout > 0 && !exempt && deadline.is_none() && self.held.is_empty() {
            let idle_until = self.last_read + Duration::from_secs(timeout);
            if idle_until <= Instant::now() {
                return Poll::Ready(Event::Closed);
            }
            deadline = Some(idle_until);
        }
        let Some(deadline) = deadline else {
            self.timer = None;
            return Poll::Pending;
        };
        let deadline = tokio::time::Instant::from_std(deadline);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        if timer.as_mut().poll(cx).is_ready() {
            self.timer = None;
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Counts the client among those that wait, or no longer.
    fn count_blocked(&mut self, blocked: bool) {
        if self.counted != blocked {
            self.counted = blocked;
            self.session.client.about.lock().blocked = blocked;
            if blocked {
                self.server.counters.blocked.fetch_add(1, Relaxed);
            } else {
                self.server.counters.blocked.fetch_sub(1, Relaxed);
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.held.ready.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.held.ready) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
                }
                Poll::Ready(Ok(n)) => {
                    self.server.counters.writes.fetch_add(1, Relaxed);
                    self.held.ready.advance(n);
                    self.unnoted = true;
                    self.server.counters.bytes_out.fetch_add(n as u64, Relaxed);
                    self.flushing = true;
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.note();
        if self.flushing {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.flushing = false,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) => {
                    let filled = buf.filled();
                    self.server
                        .counters
                        .bytes_in
                        .fetch_add(filled.len() as u64, Relaxed);
                    self.server.counters.reads.fetch_add(1, Relaxed);
                    self.last_read = Instant::now();
                    self.taken += filled.len() as u64;
                    self.input.extend_from_slice(filled);
                    Poll::Ready(Ok(filled.len()))
                }
                Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
                Poll::Pending => Poll::Pending,
            }
        })
    }

    /// Looks whether a request that waits has its reply, or its time is over. Says whether it waits no more.
    fn unblock(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(waiting) = &mut self.blocked else {
            return false;
        };
        let mut delivery = waiting.parcel.take(cx.waker());
        let late = |sleep: &mut Pin<Box<tokio::time::Sleep>>| sleep.as_mut().poll(cx).is_ready();
        if delivery.is_none() && waiting.deadline.as_mut().is_some_and(late) {
            let Some(mut core) = self.server.engine.try_lock() else {
                self.server.engine.long.holds(cx.waker());
                return false;
            };
            self.server.end_wait(&mut core, self.session.client.id);
            // In the parcel now in any case: from here, or from who served it in this very moment.
            delivery = waiting.parcel.take(cx.waker());
        }
        let Some(delivery) = delivery else {
            return false;
        };
        let command = waiting.command;
        self.blocked = None;
        if self.session.reply == ReplyMode::On {
            self.held.out.raw(&delivery.reply);
        }
        self.held.mark(delivery.era, delivery.wait);
        if let Some(core) = self.server.engine.try_lock() {
            dispatch::served(&self.server, &core, &self.session, command, &delivery);
        }
        self.tell(cx);
        self.count_blocked(false);
        true
    }

    /// Tells the engine what replies wait for, so that this task is woken.
    fn tell(&mut self, cx: &mut Context<'_>) {
        self.untold = false;
        let Some(mut core) = self.server.engine.try_lock() else {
            self.untold = true;
            if !self.server.engine.long.holds(cx.waker()) {
                cx.waker().wake_by_ref();
            }
            return;
        };
        for batch in self.held.waits_for(core.era()) {
            core.wait(batch, cx.waker());
        }
    }

    /// Takes over what the thread of long scripts has done. Says whether there was something.
    fn long_done(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((receiver, len)) = &mut self.long else {
            return false;
        };
        let (done, len) = match Pin::new(receiver).poll(cx) {
            Poll::Pending => return false,
            Poll::Ready(done) => (done, *len),
        };
        self.long = None;
        let Ok(done) = done else {
            // The session went with the thread.
            self.session.client.kill();
            return true;
        };
        self.session = done.session;
        if let Some(reply) = done.reply {
            self.held.out.set_proto(reply.proto);
            self.held.out.raw(&reply.bytes);
            self.held.mark(reply.era, reply.wait);
            self.input.advance(len);
            self.asked.0 = self.asked.0.saturating_sub(len);
            self.tell(cx);
        }
        true
    }

    /// Answers requests while a script has the engine for long. Says whether there was one.
    fn execute_busy(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.server.engine.long.holds(cx.waker()) {
            cx.waker().wake_by_ref();
            return false;
        }
        match busy::since(&self.server) {
            Some(at) if at <= Instant::now() => {}
            until => {
                self.paused = until;
                return false;
            }
        }
        let mut core = Core::without_data(self.server.users.load().as_ref().clone());
        let (mut at, mut ran) = (0, 0);
        while ran < COMMANDS_PER_TURN_MAX && !self.session.closing {
            // What cannot be read is refused when the engine is there again.
            let next = self
                .parser
                .next(&self.input[at..], self.session.authenticated);
            let Ok(Some(request)) = next else { break };
            let bytes = request.unquoted.unwrap_or(&self.input[at..]);
            let args: SmallVec<[&[u8]; 16]> = request
                .args
                .iter()
                .map(|span| &bytes[span.range()])
                .collect();
            if !args.is_empty() {
                let (session, out) = (&mut self.session, &mut self.held.out);
                if !busy::answer(&self.server, &mut core, session, &args, out) {
                    break;
                }
                self.held.mark(0, 0);
            }
            at += request.consumed;
            ran += 1;
        }
        self.input.advance(at);
        self.asked.0 = self.asked.0.saturating_sub(at);
        self.session.show();
        ran > 0
    }

    /// Runs the requests in the buffer under one hold of the engine's lock. Says whether there was one.
    fn execute(&mut self, cx: &mut Context<'_>) -> bool {
        let live = &self.server.live;
        self.parser.bulk_len_max = live.bulk_len_max.load(Relaxed);
        self.parser.request_len_max = live.request_len_max.load(Relaxed);
        self.session.memory.input = self.input.len();
        self.session.memory.input_free = self.input.capacity() - self.input.len();
        self.session.memory.output = 0;
        self.paused = None;
        let server = self.server.clone();
        let Some(mut core) = server.engine.try_lock() else {
            return self.execute_busy(cx);
        };
        if self.server.engine.pause.holds(cx.waker()) {
            return false;
        }
        core.tick();
        let run = self.held.begin_run();
        let mut long = None;
        let mut ran = 0;
        let mut at = 0;
        while ran < COMMANDS_PER_TURN_MAX
            && !self.session.closing
            && self.blocked.is_none()
            && self.held.len() < REPLY_BACKLOG_MAX
        {
            let request = match self
                .parser
                .next(&self.input[at..], self.session.authenticated)
            {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(e) => {
                    self.held.out.error_bytes(&e.message());
                    self.held.mark(0, 0);
                    self.session.closing = true;
                    ran += 1;
                    break;
                }
            };
            let bytes = request.unquoted.unwrap_or(&self.input[at..]);
            let args: SmallVec<[&[u8]; 16]> = request
                .args
                .iter()
                .map(|span| &bytes[span.range()])
                .collect();
            if !args.is_empty() {
                let (covered, index) = self.asked;
                self.session.read_index = (at < covered).then_some(index);
                match dispatch::run(
                    &self.server,
                    &mut core,
                    &mut self.session,
                    &args,
                    &mut self.held.out,
                ) {
                    Step::Replied { wait } => {
                        let era = core.era();
                        self.held.mark(era, wait);
                    }
                    Step::Blocked(Blocked {
                        parcel,
                        command,
                        timeout_ms,
                    }) => {
                        let after = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms));
                        self.blocked = Some(Waiting {
                            parcel,
                            command,
                            deadline: after.map(|d| Box::pin(tokio::time::sleep(d))),
                        });
                    }
                    Step::NeedsPrimary => {
                        self.stuck = Some(Need::Primary);
                        break;
                    }
                    Step::NeedsReadIndex => {
                        self.stuck = Some(Need::ReadIndex);
                        break;
                    }
                    Step::Held { until } => {
                        self.paused = Some(until);
                        break;
                    }
                    Step::Long => {
                        long = Some((blocking::own(&args), request.consumed));
                        break;
                    }
                }
            }
            at += request.consumed;
            ran += 1;
            if self.server.engine.pause.active() {
                break;
            }
        }
        // Checked after the reads: under a lease that holds now, what they saw was current when they were asked. Without
        // one, only a batch that is proposed from now on proves it. One that is in flight already does not: while this
        // process was stopped, the next leader may have committed it and overwritten what it wrote.
        if core.leading_role()
            && self.held.unproven(run, core.batch())
            && !self.server.engine.lease_valid()
        {
            let (era, batch) = (core.era(), core.want_mark());
            self.held.hold_back(run, era, batch);
        }
        for batch in self.held.waits_for(core.era()) {
            core.wait(batch, cx.waker());
        }
        let asleep = self.session.asleep.is_some();
        let counts = self.server.counters.rated();
        self.server.stats.sample(counts, || core.memory());
        drop(core);
        self.count_blocked(self.paused.is_some() && !asleep || self.blocked.is_some());
        self.input.advance(at);
        self.asked.0 = self.asked.0.saturating_sub(at);
        if self.input.is_empty() && self.input.capacity() > READ_LEN {
            self.input = BytesMut::new();
        }
        self.session.memory.input = self.input.len();
        self.session.memory.input_free = self.input.capacity() - self.input.len();
        self.session.memory.output = self.held.len();
        self.session.show();
        if let Some((args, len)) = long {
            // Until it has its session back, this connection has one that nothing is done with.
            let stays = Session::new(self.session.client.clone());
            let session = std::mem::replace(&mut self.session, stays);
            let receiver = long::hand(&self.server, session, args, self.held.out.proto());
            self.long = Some((receiver, len));
            return true;
        }
        ran > 0 || self.stuck.is_some()
    }
}
