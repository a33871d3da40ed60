//! Connections to an engine whose commits, lease and primary are turned by hand.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::sync::{mpsc, oneshot, watch};

use super::conn::Conn;
use super::relay::Dial;
use super::*;
use crate::command::Settings;
use crate::data::Seed;
use crate::keyspace::Keyspace;
use crate::raft::link::Stream;

/// What a test answers to a question for a read index.
type Answer = oneshot::Sender<Result<u64, String>>;

/// A primary that the test plays.
struct Played(mpsc::UnboundedSender<Answer>);

impl Dial for Played {
    fn dial(&self, _: u64) -> Pin<Box<dyn Future<Output = std::io::Result<Stream>> + Send + '_>> {
        Box::pin(async { Err(std::io::Error::other("no other node here")) })
    }

    fn read_index(&self) -> Pin<Box<dyn Future<Output = Result<u64, String>> + Send + '_>> {
        let (tx, rx) = oneshot::channel();
        let _ = self.0.send(tx);
        Box::pin(async { rx.await.unwrap_or_else(|_| Err("gone".into())) })
    }
}

pub(super) struct World {
    pub(super) server: Arc<Server>,
    engine: Arc<Engine>,
    lease: Arc<AtomicBool>,
    /// Connections that a test keeps open.
    pub(super) callers: Mutex<Vec<BufReader<DuplexStream>>>,
    asked: Mutex<mpsc::UnboundedReceiver<Answer>>,
    _view: watch::Sender<View>,
}

impl World {
    pub(super) fn new(linearizable: bool) -> World {
        let seed = Seed::new(1, 2);
        let engine = Engine::new(Keyspace::new(16, seed), Settings::default());
        let empty = Keyspace::new(16, seed);
        engine.lock().reset(empty, Default::default(), (0, 0));
        let lease = Arc::new(AtomicBool::new(true));
        let held = lease.clone();
        engine.set_lease(move || held.load(Ordering::SeqCst));
        let (view_out, view) = watch::channel(View::default());
        let (questions, asked) = mpsc::unbounded_channel();
        let options = Options {
            password: Vec::new(),
            restricted: Default::default(),
            maxclients: 10,
            redirect: false,
            staleness_ms: 1000,
            linearizable,
            port: 0,
            scripting: true,
            functions: true,
            proxy_key: None,
            certificates: Vec::new(),
        };
        let server = Arc::new(Server {
            engine: engine.clone(),
            live: Live::new(&options),
            options,
            clients: Clients::new(1),
            hub: Arc::default(),
            view,
            relay: Arc::new(Played(questions)),
            started: Instant::now(),
            counters: Counters::default(),
            stats: Default::default(),
            monitors: Default::default(),
            freshness: Arc::default(),
            replicas: Default::default(),
            users: Default::default(),
            acl_log: Default::default(),
            slowlog: Default::default(),
            scripts: Default::default(),
            facts: Arc::new(Facts::default),
            acks: Default::default(),
            disk: Arc::default(),
            reload: Arc::new(|| Ok(())),
        });
        World {
            server,
            engine,
            lease,
            callers: Mutex::default(),
            asked: Mutex::new(asked),
            _view: view_out,
        }
    }

    /// As the leader of a term; answers its open entry.
    pub(super) fn lead(&self, term: u64, index: u64) -> Bytes {
        let open = self.engine.lock().open_epoch(term);
        self.apply(index, &open);
        assert!(self.engine.leading());
        open
    }

    pub(super) fn apply(&self, index: u64, payload: &Bytes) {
        self.engine.lock().apply(index, 1, payload).unwrap();
    }

    pub(super) fn client(&self) -> BufReader<DuplexStream> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let client = self
            .server
            .clients
            .add("test".into(), "test".into(), -1, 10)
            .unwrap();
        let mut session = Session::new(client);
        session.authenticated = true;
        tokio::task::spawn_local(Conn::new(far, self.server.clone(), session).run());
        BufReader::new(near)
    }

    /// Waits until this many commands were run.
    pub(super) async fn ran(&self, commands: u64) {
        while self.server.counters.commands.load(Ordering::SeqCst) < commands {
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn proposal(&self) -> Bytes {
        loop {
            if let Some(mut proposal) = self.engine.lock().take_proposal() {
                return proposal.payloads.remove(0);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn question(&self) -> Answer {
        loop {
            if let Ok(answer) = self.asked.lock().try_recv() {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    }
}

pub(super) async fn line(client: &mut BufReader<DuplexStream>) -> String {
    let mut line = String::new();
    client.read_line(&mut line).await.unwrap();
    line.trim_end().to_string()
}

pub(super) async fn send(client: &mut BufReader<DuplexStream>, text: &str) {
    client.write_all(text.as_bytes()).await.unwrap();
}

/// Runs a test with connections as local tasks, bounded in time.
pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(20), test)
            .await
            .expect("the test ends in time");
    });
}

#[test]
fn without_a_lease_a_batch_in_flight_proves_nothing() {
    run(async {
        let world = World::new(false);
        world.lead(1, 1);
        let mut client = world.client();
        send(&mut client, "SET k old\r\n").await;
        let batch = world.proposal().await;
        // Here this leader is stopped. Another commits its batch, and acknowledges a newer value. It goes on with what
        // had arrived, before it hears of all that.
        world.lease.store(false, Ordering::SeqCst);
        send(&mut client, "GET k\r\n").await;
        world.ran(2).await;
        world.apply(2, &batch);
        assert_eq!(line(&mut client).await, "+OK");
        let next = World::new(false).lead(2, 1);
        world.apply(3, &next);
        let reply = line(&mut client).await;
        assert!(reply.starts_with("-UNKNOWNOUTCOME"), "{reply}");
    });
}

#[test]
fn under_the_lease_a_read_waits_for_what_it_saw_and_no_more() {
    run(async {
        let world = World::new(false);
        world.lead(1, 1);
        let mut client = world.client();
        send(&mut client, "SET k v\r\n").await;
        let batch = world.proposal().await;
        send(&mut client, "GET k\r\n").await;
        world.ran(2).await;
        world.apply(2, &batch);
        assert_eq!(line(&mut client).await, "+OK");
        assert_eq!(line(&mut client).await, "$1");
        assert_eq!(line(&mut client).await, "v");
        send(&mut client, "GET k\r\n").await;
        assert_eq!(line(&mut client).await, "$1");
        assert_eq!(world.engine.lock().unsettled(), None);
    });
}

#[test]
fn a_linearizable_read_at_a_standby_waits_for_the_primarys_word() {
    run(async {
        let primary = World::new(false);
        let open = primary.lead(1, 1);
        let mut writer = primary.client();
        send(&mut writer, "SET k v\r\n").await;
        let batch = primary.proposal().await;

        let standby = World::new(true);
        standby.apply(1, &open);
        let mut client = standby.client();
        send(&mut client, "READONLY\r\nGET k\r\n").await;
        let question = standby.question().await;
        // This one comes after the question: the answer does not cover it.
        send(&mut client, "GET k\r\n").await;
        standby.apply(2, &batch);
        question.send(Ok(2)).unwrap();
        assert_eq!(line(&mut client).await, "+OK");
        assert_eq!(line(&mut client).await, "$1");
        assert_eq!(line(&mut client).await, "v");
        let question = standby.question().await;
        question.send(Err("it is silent".into())).unwrap();
        let reply = line(&mut client).await;
        assert!(
            reply.starts_with("-STALE") && reply.ends_with("it is silent"),
            "{reply}"
        );
        // An answer beyond what is applied here is no answer.
        send(&mut client, "GET k\r\n").await;
        standby.question().await.send(Ok(9)).unwrap();
        standby.question().await.send(Ok(2)).unwrap();
        assert_eq!(line(&mut client).await, "$1");
    });
}

/// However close the two nodes' wall clocks are.
#[test]
fn a_stale_read_needs_the_primarys_word_once_in_a_while() {
    run(async {
        let primary = World::new(false);
        let open = primary.lead(1, 1);
        let standby = World::new(false);
        standby.apply(1, &open);
        let mut client = standby.client();
        send(&mut client, "READONLY\r\nGET k\r\n").await;
        let question = standby.question().await;
        question.send(Err("it is silent".into())).unwrap();
        assert_eq!(line(&mut client).await, "+OK");
        assert!(line(&mut client).await.starts_with("-STALE"));
        send(&mut client, "GET k\r\n").await;
        standby.question().await.send(Ok(1)).unwrap();
        assert_eq!(line(&mut client).await, "$-1");
        // Nobody is asked again for this one.
        send(&mut client, "GET k\r\n").await;
        assert_eq!(line(&mut client).await, "$-1");
    });
}

#[test]
fn a_pause_holds_up_commands_and_replies() {
    run(async {
        let world = World::new(false);
        world.lead(1, 1);
        let mut client = world.client();
        send(&mut client, "SET k v\r\n").await;
        let batch = world.proposal().await;
        assert!(world.engine.pause.begin());
        assert!(!world.engine.pause.begin());
        world.apply(2, &batch);
        send(&mut client, "PING\r\n").await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let mut early = [0; 1];
        let read = futures_util::FutureExt::now_or_never(client.read(&mut early));
        assert!(read.is_none(), "{read:?} came during the pause");
        assert_eq!(world.server.counters.commands.load(Ordering::SeqCst), 1);
        world.engine.pause.end();
        assert_eq!(line(&mut client).await, "+OK");
        assert_eq!(line(&mut client).await, "+PONG");
    });
}

#[test]
fn a_disk_that_fills_refuses_what_grows_and_then_what_writes() {
    use crate::log::Space;
    run(async {
        let world = World::new(false);
        world.lead(1, 1);
        let mut client = world.client();
        for (space, command, reply) in [
            (Space::Ok, "GET k\r\n", "$-1"),
            (
                Space::Low,
                "SET k v\r\n",
                "-MISCONF the disk is nearly full",
            ),
            (Space::Low, "GET k\r\n", "$-1"),
            (Space::Full, "GETDEL k\r\n", "-MISCONF the disk is full"),
            (Space::Full, "GET k\r\n", "$-1"),
        ] {
            world.server.disk.set(space);
            send(&mut client, command).await;
            let got = line(&mut client).await;
            assert!(got.starts_with(reply), "{got}");
        }
        // What does not grow passes while there is room for it.
        world.server.disk.set(Space::Low);
        send(&mut client, "GETDEL k\r\n").await;
        let got = line(&mut client).await;
        assert!(!got.starts_with("-MISCONF"), "{got}");
    });
}

#[test]
fn what_a_subscriber_may_leave_unread_is_a_setting() {
    let clients = Clients::new(1);
    let new = || clients.add("a".into(), "b".into(), -1, 10).unwrap();
    let message = Bytes::from(vec![b'x'; 1000]);
    clients
        .bounds
        .set("normal 0 0 0 slave 1 2 3 pubsub 2500 0 0");
    let client = new();
    client.send(message.clone());
    client.send(message.clone());
    assert!(!client.killed());
    client.send(message.clone());
    assert!(client.killed(), "the hard bound");
    // It holds for those that are there, too, and none is no bound but the largest.
    clients.bounds.set("pubsub 0 1500 1");
    let client = new();
    for _ in 0..10 {
        client.send(message.clone());
    }
    assert!(!client.killed());
    std::thread::sleep(std::time::Duration::from_millis(1050));
    client.send(message.clone());
    assert!(client.killed(), "beyond the soft bound for a second");
    // Read in between, it begins anew; a replica has a bound of its own.
    let (client, replica) = (new(), new());
    for _ in 0..3 {
        client.send(message.clone());
        replica.send_within(message.clone(), 1 << 20);
    }
    while client.receive(std::task::Waker::noop()).is_some() {}
    std::thread::sleep(std::time::Duration::from_millis(1050));
    for _ in 0..3 {
        client.send(message.clone());
        replica.send_within(message.clone(), 1 << 20);
    }
    assert!(!client.killed() && !replica.killed());
}

#[test]
fn a_session_knows_all_that_it_tracks() {
    let world = World::new(false);
    let client = world.server.clients.add("a".into(), "b".into(), -1, 10);
    let mut session = Session::new(client.unwrap());
    for prefix in ["a:", "b:"] {
        let options = crate::command::tracking::Options {
            broadcast: true,
            prefixes: [prefix.as_bytes().to_vec()].into(),
            ..Default::default()
        };
        session.track(&mut world.engine.lock(), Some(options));
    }
    // Another primary gets this.
    assert_eq!(session.tracked.unwrap().prefixes.len(), 2);
}

#[test]
fn a_client_that_never_reads_is_disconnected_at_the_bound() {
    run(async {
        let world = World::new(false);
        world.lead(1, 1);
        let (near, far) = tokio::io::duplex(1 << 16);
        let clients = &world.server.clients;
        let client = clients.add("test".into(), "test".into(), -1, 10).unwrap();
        let mut session = Session::new(client.clone());
        session.authenticated = true;
        let task = tokio::task::spawn_local(Conn::new(far, world.server.clone(), session).run());
        let message = Bytes::from(vec![b'x'; 100_000]);
        for _ in 0..500 {
            client.send(message.clone());
            tokio::task::yield_now().await;
        }
        assert!(client.killed());
        task.await.unwrap();
        drop(near);
    });
}

#[test]
fn what_a_slow_client_has_not_read_yet_is_kept_for_it() {
    run(async {
        let world = World::new(false);
        world.lead(1, 1);
        let (mut near, far) = tokio::io::duplex(1 << 16);
        let clients = &world.server.clients;
        let client = clients.add("test".into(), "test".into(), -1, 10).unwrap();
        let session = Session::new(client.clone());
        tokio::task::spawn_local(Conn::new(far, world.server.clone(), session).run());
        let message = Bytes::from(vec![b'x'; 100_000]);
        for _ in 0..100 {
            client.send(message.clone());
            tokio::task::yield_now().await;
        }
        let mut all = vec![0; 100 * message.len()];
        near.read_exact(&mut all).await.unwrap();
        assert!(!client.killed());
    });
}

#[test]
fn a_setting_that_did_not_commit_is_what_it_was_and_standbys_take_those_that_did() {
    run(async {
        let world = World::new(false);
        let open = world.lead(1, 1);
        world.server.listen_to_engine();
        let timeout = |world: &World| world.server.live.timeout_s.load(Ordering::Relaxed);
        let mut client = world.client();
        send(&mut client, "CONFIG SET timeout 7\r\n").await;
        let committed = world.proposal().await;
        world.apply(2, &committed);
        assert_eq!(line(&mut client).await, "+OK");
        send(&mut client, "CONFIG SET timeout 9 maxclients 3\r\n").await;
        world.ran(2).await;
        let most = |world: &World| world.server.live.maxclients.load(Ordering::Relaxed);
        assert_eq!((timeout(&world), most(&world)), (9, 3));
        world.engine.lock().end_epoch();
        assert_eq!((timeout(&world), most(&world)), (7, 10));

        let standby = World::new(false);
        standby.server.listen_to_engine();
        standby.apply(1, &open);
        assert_eq!(timeout(&standby), 0);
        standby.apply(2, &committed);
        assert_eq!(timeout(&standby), 7);
    });
}
