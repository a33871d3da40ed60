//! Follows the Admin Watch stream of every node, so that a change is known as soon as a node says it.
//!
//! One task a node; each reconnects for as long as the watch lives, at a bounded rate, and only changes of state are
//! logged. The nodes are those given, and once a primary is known, the members that it names.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::operator;
use super::view::{Address, Observed, SILENCE, View};
use crate::base::limits;
use crate::proto::{Empty, StatusReply};
use crate::tls::files;
use crate::tls::peer::Credentials;

/// How long a node may take to accept a connection.
const CONNECT: Duration = Duration::from_millis(1000);
/// The pause between two attempts at a node that does not answer.
const RETRY: Duration = Duration::from_millis(100);
/// How long a node that was never heard may take before it is mentioned.
const SLOW_START: Duration = Duration::from_secs(5);
/// How often silence is looked for.
const TICK: Duration = Duration::from_millis(250);

/// What a node's task reports.
enum Report {
    Said(u64, Address, Box<StatusReply>),
    Ended(u64, Address),
}

/// The watch over all nodes. Dropping it ends its tasks.
pub struct Watch {
    view: watch::Receiver<View>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to follow `nodes`. With `fixed`, members that the primary names beyond those are not followed.
    #[must_use]
    pub fn start(
        credentials: Arc<Credentials>,
        nodes: BTreeMap<u64, Address>,
        fixed: bool,
    ) -> Watch {
        // It is in use for as long as the cluster is: what it knows itself by is renewed meanwhile.
        files::watch(&credentials, files::POLL_EVERY);
        let mut first = View::default();
        for (id, address) in &nodes {
            first.nodes.insert(*id, Observed::new(address.clone()));
        }
        let (sender, view) = watch::channel(first);
        let task = tokio::spawn(follow(credentials, nodes, fixed, sender));
        Watch { view, task }
    }

    /// The latest view, and its changes.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<View> {
        self.view.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The tasks by node; aborted when dropped.
#[derive(Default)]
struct Tasks(HashMap<u64, (Address, JoinHandle<()>)>);

impl Tasks {
    fn set(
        &mut self,
        nodes: &BTreeMap<u64, Address>,
        spawn: impl Fn(u64, Address) -> JoinHandle<()>,
    ) {
        self.0.retain(|id, (address, task)| {
            let stays = nodes.get(id) == Some(address);
            if !stays {
                task.abort();
            }
            stays
        });
        for (id, address) in nodes.iter().take(limits::MEMBERS_MAX) {
            self.0
                .entry(*id)
                .or_insert_with(|| (address.clone(), spawn(*id, address.clone())));
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for (_, task) in self.0.values() {
            task.abort();
        }
    }
}

async fn follow(
    credentials: Arc<Credentials>,
    seeds: BTreeMap<u64, Address>,
    fixed: bool,
    sender: watch::Sender<View>,
) {
    let (reports, mut inbox) = mpsc::channel(limits::MEMBERS_MAX);
    let spawn = |id, address| tokio::spawn(node(credentials.clone(), id, address, reports.clone()));
    let mut tasks = Tasks::default();
    tasks.set(&seeds, spawn);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let report = tokio::select! {
            report = inbox.recv() => report,
            _ = tick.tick() => None,
        };
        let now = Instant::now();
        let mut members = None;
        sender.send_if_modified(|view| {
            let mut changed = false;
            match report {
                Some(Report::Said(id, address, status)) => {
                    if let Some(o) = view.nodes.get_mut(&id).filter(|o| o.address == address) {
                        (o.connected, o.heard, o.status) = (true, Some(now), Some(*status));
                        changed = true;
                    }
                }
                Some(Report::Ended(id, address)) => {
                    if let Some(o) = view.nodes.get_mut(&id).filter(|o| o.address == address) {
                        changed = o.connected;
                        o.connected = false;
                    }
                }
                // Silence changes what follows from a view without anyone saying anything.
                None => changed = view.nodes.values().any(|o| o.connected && !o.answers(now)),
            }
            if view.settle(now) {
                changed = true;
                match view.target() {
                    Some((id, addr)) => tracing::info!(node = id, addr, "the primary serves"),
                    None => tracing::warn!("no primary serves"),
                }
            }
            if !fixed && let Some(known) = view.members() {
                let differs = known.len() != view.nodes.len()
                    || view
                        .nodes
                        .iter()
                        .any(|(id, o)| known.get(id) != Some(&o.address));
                if differs {
                    view.nodes.retain(|id, o| known.get(id) == Some(&o.address));
                    for (id, address) in &known {
                        view.nodes
                            .entry(*id)
                            .or_insert_with(|| Observed::new(address.clone()));
                    }
                    members = Some(known);
                    changed = true;
                }
            }
            changed
        });
        if let Some(members) = members {
            tracing::info!(nodes = ?members.keys().collect::<Vec<_>>(), "the members changed");
            tasks.set(&members, spawn);
        }
        if sender.is_closed() {
            return;
        }
    }
}

/// Follows one node for ever.
async fn node(
    credentials: Arc<Credentials>,
    id: u64,
    address: Address,
    reports: mpsc::Sender<Report>,
) {
    let mut silent_since = Some(Instant::now());
    loop {
        let mut heard = false;
        let reason = stream(&credentials, id, &address, &reports, &mut heard).await;
        if reports
            .send(Report::Ended(id, address.clone()))
            .await
            .is_err()
        {
            return;
        }
        if heard {
            silent_since = Some(Instant::now());
        }
        // One line for each time that it goes away, not for each attempt, and none for one that is being started.
        if heard || silent_since.is_some_and(|s| s.elapsed() >= SLOW_START) {
            tracing::warn!(
                node = id,
                addr = address.peer,
                reason,
                "a node does not answer"
            );
            silent_since = None;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Follows one stream until it ends, and says why it did.
async fn stream(
    credentials: &Arc<Credentials>,
    id: u64,
    address: &Address,
    reports: &mpsc::Sender<Report>,
    heard: &mut bool,
) -> String {
    let mut client = match operator::connect(credentials, &address.peer, Some(id), CONNECT).await {
        Ok(client) => client,
        Err(e) => return e.reason,
    };
    let mut replies = match tokio::time::timeout(CONNECT, client.watch(Empty {})).await {
        Ok(Ok(reply)) => reply.into_inner(),
        Ok(Err(status)) => return status.message().to_string(),
        Err(_) => return "it does not answer Watch".to_string(),
    };
    loop {
        // Twice the silence after which it counts as not answering: a paused node keeps its stream.
        match tokio::time::timeout(SILENCE * 2, replies.message()).await {
            Ok(Ok(Some(status))) => {
                *heard = true;
                if reports
                    .send(Report::Said(id, address.clone(), Box::new(status)))
                    .await
                    .is_err()
                {
                    return "the watch ended".to_string();
                }
            }
            Ok(Ok(None)) => return "it ended the stream".to_string(),
            Ok(Err(status)) => return status.message().to_string(),
            Err(_) => return "it is silent".to_string(),
        }
    }
}
