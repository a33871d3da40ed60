//! The thread of those scripts that take long, and how a connection hands its command to it.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::base::limits::{SCRIPT_GAP, SCRIPT_RUN_MAX, THREAD_STACK_LEN};
use crate::resp::{Out, Proto};
use crate::server::dispatch::{self, Step};
use crate::server::{Server, Session};

/// A command to run. There is at most one of each connection.
pub struct Job {
    server: Arc<Server>,
    session: Session,
    args: Vec<Bytes>,
    proto: Proto,
    done: oneshot::Sender<Done>,
}

/// The session as the command left it, with its reply.
pub struct Done {
    pub session: Session,
    /// `None`: it could not run now, and is to be tried as any other.
    pub reply: Option<Reply>,
}

/// A reply and the batch that it waits for.
pub struct Reply {
    pub bytes: BytesMut,
    pub proto: Proto,
    pub era: u64,
    pub wait: u64,
}

/// Hands a command over. The receiver fails only where the thread does.
pub fn hand(
    server: &Arc<Server>,
    session: Session,
    args: Vec<Bytes>,
    proto: Proto,
) -> oneshot::Receiver<Done> {
    let (done, receiver) = oneshot::channel();
    let thread = server.scripts.thread.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        let started = std::thread::Builder::new()
            .name("scripts".into())
            .stack_size(THREAD_STACK_LEN)
            .spawn(move || queue.iter().for_each(serve));
        if let Err(e) = started {
            tracing::error!("no thread for long scripts: {e}");
        }
        jobs
    });
    let server = server.clone();
    // Where there is no thread, the connection finds its receiver closed.
    let _ = thread.send(Job {
        server,
        session,
        args,
        proto,
        done,
    });
    receiver
}

fn serve(job: Job) {
    let Job {
        server,
        mut session,
        args,
        proto,
        done,
    } = job;
    server.engine.long.begin();
    let reply = run(&server, &mut session, &args, proto);
    server.engine.long.end();
    // Its connection may have been closed.
    let _ = done.send(Done { session, reply });
    // Whoever waited takes the engine before the next one does: commits, clients, a change of the leader.
    std::thread::sleep(SCRIPT_GAP);
}

/// Runs a command that may take long, under a hold of the engine's lock.
pub fn run(server: &Server, session: &mut Session, args: &[Bytes], proto: Proto) -> Option<Reply> {
    let mut core = server.engine.lock();
    core.tick();
    session.patient = Some(Instant::now() + SCRIPT_RUN_MAX);
    let args: SmallVec<[&[u8]; 16]> = args.iter().map(|a| &a[..]).collect();
    let mut out = Out::new(proto);
    let step = dispatch::run(server, &mut core, session, &args, &mut out);
    session.patient = None;
    let Step::Replied { mut wait } = step else {
        return None;
    };
    // As a connection does: without a lease only a batch proposed from now on proves what was read.
    if core.leading_role() && wait < core.batch() && !server.engine.lease_valid() {
        wait = core.want_mark();
    }
    Some(Reply {
        bytes: out.take(),
        proto: out.proto(),
        era: core.era(),
        wait,
    })
}
