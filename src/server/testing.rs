//! A server for tests, without sockets and Raft: an engine that leads, whose batches commit at once.
//! A line in, the reply as text out, in the writing of [`render`].
//!
//! **Invariant**: each reply is looked at only when its batch has committed.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::base::limits::SCRIPT_RUN_MAX;
use crate::command::Settings;
use crate::command::testing::render;
use crate::data::Seed;
use crate::engine::{Engine, Outcome};
use crate::keyspace::Keyspace;
use crate::resp::{Out, Parser, Proto, parse_value};

use super::dispatch::{self, Blocked, Step};
use super::relay::Dial;
use super::{Clients, Counters, Facts, Hub, Live, Options, Peer, Server, Session, View};
use crate::raft::link::Stream;

/// Nobody is relayed to.
struct NoRelay;

impl Dial for NoRelay {
    fn dial(&self, _: u64) -> Pin<Box<dyn Future<Output = std::io::Result<Stream>> + Send + '_>> {
        Box::pin(async { Err(std::io::Error::other("a test has no other nodes")) })
    }

    fn read_index(&self) -> Pin<Box<dyn Future<Output = Result<u64, String>> + Send + '_>> {
        Box::pin(async { Err("a test has no other nodes".into()) })
    }
}

/// The port that the server says it listens to.
pub const PORT: u16 = 6379;

/// A server that leads, of 16 databases, without password.
pub fn server(change: impl FnOnce(&mut Options)) -> Arc<Server> {
    server_knowing(
        change,
        Arc::new(|| Facts {
            applied: 7,
            followers: vec![("10.0.0.2:6379".into(), 7, true)],
            ..Facts::default()
        }),
    )
}

/// A server whose log, store and Raft say this.
pub fn server_knowing(
    change: impl FnOnce(&mut Options),
    facts: Arc<dyn Fn() -> Facts + Send + Sync>,
) -> Arc<Server> {
    let keyspace = || Keyspace::new(16, Seed::new(1, 2));
    let engine = Engine::new(keyspace(), Settings::default());
    engine.set_lease(|| true);
    engine.lock().reset(keyspace(), Default::default(), (0, 0));
    let open = engine.lock().open_epoch(1);
    engine.lock().apply(1, 1, &open).expect("opens its epoch");
    let mut options = Options {
        password: Vec::new(),
        restricted: BTreeSet::new(),
        maxclients: 1000,
        redirect: false,
        staleness_ms: 1000,
        linearizable: false,
        port: PORT,
        scripting: true,
        functions: true,
        proxy_key: None,
        certificates: Vec::new(),
    };
    change(&mut options);
    let peer = |id: u64| Peer {
        id,
        announced: format!("10.0.0.{id}:{PORT}"),
        voter: true,
    };
    let (_, view) = watch::channel(View {
        node_id: 1,
        cluster_id: "test".into(),
        leader: Some(peer(1)),
        members: vec![peer(1), peer(2)],
        term: 1,
    });
    let server = Arc::new(Server {
        engine,
        live: Live::new(&options),
        options,
        clients: Clients::new(0),
        hub: Arc::new(Hub::default()),
        view,
        relay: Arc::new(NoRelay),
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
        facts,
        acks: Default::default(),
        disk: Arc::default(),
        reload: Arc::new(|| Ok(())),
    });
    server.listen_to_engine();
    server
}

/// A client of a server.
pub struct Shell {
    pub server: Arc<Server>,
    pub session: Session,
    proto: Proto,
    index: u64,
    /// Where the reply of the command that waits will be.
    waiting: Option<Blocked>,
    /// How long a script may run.
    pub patience: Duration,
}

impl Default for Shell {
    fn default() -> Self {
        Shell::new()
    }
}

impl Shell {
    /// A client of a server of its own.
    pub fn new() -> Shell {
        Shell::of(&server(|_| {}))
    }

    /// A client of that server.
    pub fn of(server: &Arc<Server>) -> Shell {
        let n = server.clients.len();
        let client = server
            .clients
            .add(
                format!("127.0.0.1:{}", 1000 + n),
                "127.0.0.1:6379".into(),
                8,
                1000,
            )
            .expect("room for a client");
        let mut session = Session::new(client);
        session.authenticated = server.engine.lock().users.open();
        Shell {
            server: server.clone(),
            session,
            proto: Proto::Resp2,
            index: 1,
            waiting: None,
            patience: SCRIPT_RUN_MAX,
        }
    }

    /// Runs a line as redis-cli reads it and renders the reply; a command without one gives `(none)`,
    /// one that is held back `(held)`.
    pub fn run(&mut self, line: &str) -> String {
        let mut parser = Parser::new();
        let bytes = format!("{line}\r\n");
        let request = parser
            .next(bytes.as_bytes(), true)
            .expect("a line that can be read")
            .expect("a whole line");
        let text = request.unquoted.unwrap_or(bytes.as_bytes());
        let args: Vec<&[u8]> = request.args.iter().map(|s| &text[s.range()]).collect();
        let mut out = Out::new(self.proto);
        let (step, era) = {
            let mut core = self.server.engine.lock();
            core.tick();
            let mut step =
                dispatch::run(&self.server, &mut core, &mut self.session, &args, &mut out);
            if let Step::Long = step {
                self.session.patient = Some(Instant::now() + self.patience);
                step = dispatch::run(&self.server, &mut core, &mut self.session, &args, &mut out);
                self.session.patient = None;
            }
            (step, core.era())
        };
        self.session.show();
        self.proto = out.proto();
        match step {
            Step::Replied { wait } => {
                self.commit();
                let outcome = self.server.engine.outcome(era, wait);
                assert_eq!(
                    outcome,
                    Outcome::Committed,
                    "{line}: waits for what was not proposed"
                );
            }
            Step::NeedsPrimary => return "(needs the primary)".into(),
            Step::Held { .. } => return "(held)".into(),
            Step::Blocked(blocked) => {
                self.waiting = Some(blocked);
                return "(blocked)".into();
            }
            Step::Long => unreachable!("a patient command"),
            Step::NeedsReadIndex => return "(needs a read index)".into(),
        }
        Self::render(out.as_slice())
    }

    /// The reply of the command that waits, once it has come and its batch has committed; before, `(waits)`.
    pub fn served(&mut self) -> String {
        let waiting = self.waiting.as_ref().expect("a command that waits");
        let Some(delivery) = waiting.parcel.take(Waker::noop()) else {
            return "(waits)".into();
        };
        let (command, core) = (waiting.command, self.server.engine.lock());
        dispatch::served(&self.server, &core, &self.session, command, &delivery);
        drop(core);
        self.waiting = None;
        let outcome = self.server.engine.outcome(delivery.era, delivery.wait);
        assert_eq!(outcome, Outcome::Committed);
        Self::render(&delivery.reply)
    }

    /// Replies as text.
    pub fn render(reply: &[u8]) -> String {
        let mut replies = Vec::new();
        let mut rest = reply;
        while let Some((value, used)) = parse_value(rest).expect("a reply that can be read") {
            replies.push(render(&value));
            rest = &rest[used..];
        }
        if replies.is_empty() {
            return "(none)".into();
        }
        replies.join(" ")
    }

    fn commit(&mut self) {
        loop {
            let mut core = self.server.engine.lock();
            let Some(proposal) = core.take_proposal() else {
                return;
            };
            for payload in &proposal.payloads {
                self.index = core.applied.0 + 1;
                core.apply(self.index, 1, payload).expect("applies");
            }
        }
    }

    /// Runs a line and gives the text of its bulk or verbatim reply.
    pub fn text(&mut self, line: &str) -> String {
        let reply = self.run(line);
        let body = reply.strip_prefix("=txt:").unwrap_or(&reply);
        body.trim_matches('"')
            .replace("\\r", "\r")
            .replace("\\n", "\n")
            .replace("\\'", "'")
    }

    /// A field of INFO.
    pub fn info(&mut self, section: &str, name: &str) -> String {
        let text = self.text(&format!("info {section}"));
        text.lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))
            .unwrap_or("(absent)")
            .into()
    }

    /// Runs each line and asserts its reply.
    pub fn check(&mut self, pairs: &[(&str, &str)]) {
        for (line, reply) in pairs {
            assert_eq!(self.run(line), *reply, "{line}");
        }
    }
}
