//! Watches every service and does what the planner says: monitor and executor, one task a service.
//!
//! Always: what is wanted is in the store, what is done follows from it and from what is observed, and nothing else is
//! remembered, so that a console that was killed goes on where it was. The services serve and fail over without it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::RwLock;
use tokio::sync::{Notify, watch};

use super::backups::GRACE_MS;
use super::model::{Connection, Health, Node, Overview, Service, Wanted};
use super::planner::{self, Action, Observed, Seen, Wish};
use super::provider::{Birth, Place};
use super::samples::{self, Sample};
use super::{Console, diagnosis, dns, now_ms};
use crate::base::limits;
use crate::gateway::stand_in::StandIn;
use crate::gateway::{View, Watch, operator};
use crate::proto::{AddRequest, Empty, NodeRequest, PromoteRequest, ReplaceRequest, StatusReply};
use crate::tls::peer::Credentials;

/// How often a service is looked at, besides each change that its nodes report.
const LOOK: Duration = Duration::from_secs(1);
/// A host that does not answer for so long is given up, with those of its nodes that do not either, milliseconds.
const HOST_SILENCE_MS: u64 = 30_000;
/// How long a node that was added has to catch up.
const CATCH_UP: Duration = Duration::from_secs(1800);
/// The pause after a step that failed.
const RETRY: Duration = Duration::from_secs(3);
/// After a replacement, the next one waits this long: a host that loses disk after disk is looked at by a person.
const CALM: Duration = Duration::from_secs(20);
/// How long a node may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// What is known of each service now.
#[derive(Default)]
pub struct Board {
    overviews: RwLock<BTreeMap<String, Overview>>,
    /// The newest figures of each, the oldest first.
    samples: RwLock<HashMap<String, VecDeque<Sample>>>,
    /// Rung when something is wanted anew.
    bells: RwLock<HashMap<String, Arc<Notify>>>,
}

impl Board {
    /// A service as it was last seen.
    pub fn overview(&self, id: &str) -> Option<Overview> {
        self.overviews.read().get(id).cloned()
    }

    /// Figures of a service, the oldest first.
    pub fn samples(&self, id: &str) -> Vec<Sample> {
        let all = self.samples.read();
        all.get(id)
            .map_or_else(Vec::new, |s| s.iter().cloned().collect())
    }

    fn sample(&self, id: &str, sample: Sample) {
        let mut all = self.samples.write();
        let of = all.entry(id.to_string()).or_default();
        of.push_back(sample);
        while of.len() > limits::SAMPLES_MAX {
            of.pop_front();
        }
    }

    /// Has a service looked at now.
    pub fn ring(&self, id: &str) {
        if let Some(bell) = self.bells.read().get(id) {
            bell.notify_one();
        }
    }
}

/// Begins to keep a service.
pub fn keep(console: Arc<Console>, service: Service) {
    let bell = Arc::new(Notify::new());
    let id = service.id.clone();
    console.board.bells.write().insert(id, bell.clone());
    tokio::spawn(async move {
        let id = service.id.clone();
        let mut keeper = Keeper {
            console: console.clone(),
            service,
            bell,
            watch: None,
            primary: None,
            served: false,
            said: String::new(),
            replaced: None,
            admitted: None,
            sampler: samples::Sampler::default(),
            stand_in: None,
            sick: BTreeMap::new(),
            diagnoses: diagnosis::Record::default(),
        };
        keeper.run().await;
        console.board.bells.write().remove(&id);
        console.board.overviews.write().remove(&id);
        console.board.samples.write().remove(&id);
        console.changed.send_modify(|n| *n += 1);
    });
}

struct Keeper {
    console: Arc<Console>,
    service: Service,
    bell: Arc<Notify>,
    watch: Option<(String, Watch)>,
    /// The last primary that was seen.
    primary: Option<u64>,
    /// It has served since it was last started.
    served: bool,
    /// The last failure or alarm that was noted: it is noted once.
    said: String,
    replaced: Option<Instant>,
    /// The primary that was seen to accept the password that clients are given.
    admitted: Option<u64>,
    sampler: samples::Sampler,
    /// Answers for it while it is restored.
    stand_in: Option<StandIn>,
    /// What is wrong with its nodes by what they say now, and what of it was told.
    sick: BTreeMap<u64, BTreeMap<diagnosis::Kind, String>>,
    diagnoses: diagnosis::Record,
}

impl Keeper {
    /// Until the service is gone.
    async fn run(&mut self) {
        loop {
            match self.turn().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    self.complain(format!("{error:#}"));
                    self.wait(RETRY).await;
                }
            }
            self.wait(LOOK).await;
        }
    }

    async fn wait(&mut self, time: Duration) {
        let mut view = self.watch.as_ref().map(|(_, w)| w.view());
        let changed = async {
            match &mut view {
                Some(view) => {
                    view.mark_unchanged();
                    drop(view.changed().await);
                    // Several reports of one change come together.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.bell.notified() => {}
            () = changed => {}
        }
    }

    /// One look and one step. True once the service is gone.
    async fn turn(&mut self) -> anyhow::Result<bool> {
        let id = self.service.id.clone();
        let stored = self.console.store.service(&id)?;
        self.service = stored.context("it is not in the database any more")?;
        self.take_release()?;
        if self.service.wanted != Wanted::On {
            self.stand_in = None;
        }
        let place = self.console.provider.place(&id)?;
        self.follow(place.as_ref())?;
        let view = self.watch.as_ref().map(|(_, w)| w.view().borrow().clone());
        let view = view.unwrap_or_default();
        let program = self.program(place.as_ref());
        let mut observed = observe(&self.service, &program, place.as_ref(), &view);
        observed.archived = !self.console.store.timelines(&id)?.is_empty();
        self.note_primary(&observed, &view);
        self.sick = sick(&view);
        for text in self.diagnoses.update(Instant::now(), &self.sick) {
            self.note("problem", text);
        }
        let (data, witnesses) = planner::shape_of(&self.service.plan);
        let wish = Wish {
            wanted: self.service.wanted,
            data,
            witnesses,
            restore: !self.service.restore.is_empty(),
        };
        let mut action = planner::next(&wish, &observed);
        if matches!(action, Some(Action::AddNode { lost: Some(_), .. }))
            && self.replaced.is_some_and(|at| at.elapsed() < CALM)
        {
            action = None;
        }
        self.show(place.as_ref(), &view, &observed, action.as_ref());
        if observed.primary.is_some() && self.admitted != observed.primary {
            match self.console.admit(&id).await {
                Ok(()) => self.admitted = observed.primary,
                Err(error) => tracing::debug!(%error, "its password was not looked at yet"),
            }
        }
        self.sample(place.as_ref(), &observed).await;
        let Some(action) = action else {
            self.said.clear();
            return Ok(false);
        };
        let gone = action == Action::Delete;
        self.act(action, &view, place.as_ref()).await.map(|()| gone)
    }

    /// The service's domain name, where there is a name server.
    fn name(&self) -> String {
        let dns = self.console.dns.as_ref();
        dns.map_or(String::new(), |d| dns::name_of(&self.service.id, &d.zone))
    }

    /// The program of the service's release.
    fn program(&self, place: Option<&Place>) -> String {
        let release = self.console.catalog.release(&self.service.release);
        // One that the operator took out of the catalog: nothing is begun anew for that.
        let kept = || place.map_or(String::new(), |p| p.program.clone());
        let containers = self.console.catalog.has_containers(&self.service, place);
        release.map_or_else(kept, |r| r.begins(containers).to_string())
    }

    /// How its nodes are begun.
    fn birth(&self, place: Option<&Place>) -> Birth {
        let (catalog, service) = (&self.console.catalog, &self.service);
        Birth {
            program: self.program(place),
            name: self.name(),
            engines: catalog.engines(service).map(Into::into),
            cpu_percent: catalog.plan(&service.plan).map_or(0, |p| p.cpu_percent),
        }
    }

    /// In its maintenance window the release that waits is the service's.
    fn take_release(&mut self) -> anyhow::Result<()> {
        let next = self.service.next_release.clone();
        let open = self.service.window.is_open(now_ms());
        if next.is_empty() || !open || self.service.wanted != Wanted::On {
            return Ok(());
        }
        self.console
            .store
            .set_release(&self.service.id, &next, true)?;
        let from = std::mem::replace(&mut self.service.release, next);
        self.service.next_release.clear();
        let to = &self.service.release;
        self.note(
            "upgrade",
            format!("from {from} to {to}, in the maintenance window"),
        );
        Ok(())
    }

    /// Follows the nodes of a place by what they say.
    fn follow(&mut self, place: Option<&Place>) -> anyhow::Result<()> {
        let place = place.filter(|p| p.supervised && !p.nodes.is_empty() && !p.cluster.is_empty());
        let Some(place) = place else {
            self.watch = None;
            self.served = false;
            return Ok(());
        };
        if self.watch.as_ref().is_none_or(|(c, _)| *c != place.cluster) {
            let credentials = Credentials::open(&place.cluster, place.operator.clone())?;
            let nodes = place.nodes.iter().map(|n| (n.id, n.address.clone()));
            let watch = Watch::start(credentials, nodes.collect(), false);
            self.watch = Some((place.cluster.clone(), watch));
        }
        Ok(())
    }

    /// Asks the primary for its figures, now and then.
    async fn sample(&mut self, place: Option<&Place>, observed: &Observed) {
        let primary = place.and_then(|p| {
            let node = p.nodes.iter().find(|n| Some(n.id) == observed.primary)?;
            Some((p, node))
        });
        let Some((place, node)) = primary else {
            return;
        };
        let lags = observed.nodes.iter().filter(|n| !n.witness && n.voter);
        let lag = lags.map(|n| n.lag).max().unwrap_or(0);
        if let Some(sample) = self.sampler.take(place, node, lag).await {
            self.console.board.sample(&self.service.id, sample);
        }
    }

    fn note_primary(&mut self, observed: &Observed, view: &View) {
        let Some(now) = observed.primary else { return };
        let status = view.nodes.get(&now).and_then(|o| o.status.as_ref());
        // Of note after a restore: they were there at the moment that was restored.
        let expired = match status.map_or(0, |s| s.expired_before) {
            0 => String::new(),
            n => format!("; {n} keys had expired before"),
        };
        match self.primary {
            None => self.note("serving", format!("node {now} serves as primary{expired}")),
            Some(before) if before != now => self.note(
                "failover",
                format!("node {now} serves as primary in the place of node {before}"),
            ),
            Some(_) => {}
        }
        (self.primary, self.served) = (Some(now), true);
    }

    async fn act(
        &mut self,
        action: Action,
        view: &View,
        place: Option<&Place>,
    ) -> anyhow::Result<()> {
        let (console, id) = (self.console.clone(), self.service.id.clone());
        let provider = &console.provider;
        match action {
            Action::Start => {
                self.stand_in = None;
                provider.start(&self.service, &self.birth(place)).await?;
                self.note("start", "its processes were started".into());
            }
            Action::Stop => {
                provider.stop(&id).await?;
                self.watch = None;
                self.primary = None;
                self.note("stop", "all its processes have ended".into());
            }
            Action::Delete => {
                self.stand_in = None;
                provider.delete(&id).await?;
                let kept = match console.store.timelines(&id)?.is_empty() {
                    true => "",
                    false => "; its backups are kept for seven days",
                };
                let name = &self.service.name;
                self.note("delete", format!("{name} and its data are deleted{kept}"));
                console.store.forget(&id, now_ms() + GRACE_MS)?;
            }
            Action::HandOver(to) => {
                let mut leader = self.leader(view).await?;
                leader
                    .transfer(NodeRequest { id: to })
                    .await
                    .map_err(refused)?;
            }
            Action::Restore => {
                provider.stop(&id).await?;
                (self.watch, self.primary, self.admitted) = (None, None, None);
                match provider.stand_in(&id).await {
                    Ok(stand_in) => self.stand_in = Some(stand_in),
                    Err(error) => {
                        tracing::warn!(%error, id, "clients are not told that it is restored");
                    }
                }
                let restored = console.restore_now(&self.service).await;
                // What cannot be restored is not tried for ever: it goes on with what it has.
                console.store.set_restore(&id, "")?;
                self.note("restore", restored?);
            }
            Action::SetPlan => {
                provider.set_plan(&self.service, &self.birth(place)).await?;
                let (plan, memory) = (&self.service.plan, self.service.memory_mib);
                let release = &self.service.release;
                let text =
                    format!("nodes are begun as {plan} with {memory} MiB, release {release}");
                self.note("plan", text);
            }
            Action::AddNode { witness, lost } => {
                let what = if witness { "a witness" } else { "a node" };
                match lost {
                    Some(old) => {
                        let why = why_replaced(old, place);
                        self.note("replacement", format!("{why}: {what} takes its place"));
                    }
                    None => self.note("plan", format!("{what} is added")),
                }
                provider.add_node(&id, witness).await?;
                self.replaced = lost.map(|_| Instant::now()).or(self.replaced);
            }
            Action::Join(new) => self.join(new, view, place).await?,
            Action::Restart(node) => {
                provider.restart_node(&id, node).await?;
                let (memory, release) = (self.service.memory_mib, &self.service.release);
                self.note(
                    "plan",
                    format!("node {node} was begun anew with {memory} MiB, release {release}"),
                );
            }
            Action::Leave(node) => {
                let mut leader = self.leader(view).await?;
                leader
                    .remove(NodeRequest { id: node })
                    .await
                    .map_err(refused)?;
                provider.remove_node(&id, node).await?;
                self.note("plan", format!("node {node} was taken out"));
            }
            Action::Replace { old, new } => {
                let node = self.request_for(new, place)?;
                let mut leader = self.leader(view).await?;
                let request = ReplaceRequest {
                    old_id: old,
                    node: Some(node),
                    timeout_ms: u64::try_from(CATCH_UP.as_millis())?,
                };
                leader.replace(request).await.map_err(refused)?;
                self.note(
                    "replacement",
                    format!("node {new} holds all data and votes in the place of node {old}"),
                );
                provider.remove_node(&id, old).await?;
            }
            Action::RemoveNode(node) => {
                provider.remove_node(&id, node).await?;
                self.note(
                    "replacement",
                    format!("node {node}, which is no member, was removed"),
                );
            }
            Action::Alarm(why) => self.complain(why),
        }
        Ok(())
    }

    /// How a node is named to the primary.
    fn request_for(&self, node: u64, place: Option<&Place>) -> anyhow::Result<AddRequest> {
        let placed = place.and_then(|p| p.nodes.iter().find(|n| n.id == node));
        let placed = placed.context("the new node is not there yet")?;
        let address = placed.address.clone();
        Ok(AddRequest {
            id: node,
            peer_addr: address.peer,
            announced: address.client.clone(),
            client_addr: address.client,
            witness: placed.witness,
        })
    }

    /// Makes a node a learner, and a voter once it has caught up: the next look tries again where it has not.
    async fn join(&self, new: u64, view: &View, place: Option<&Place>) -> anyhow::Result<()> {
        let mut leader = self.leader(view).await?;
        let status = leader.status(Empty {}).await.map_err(refused)?.into_inner();
        if status.members.iter().all(|m| m.id != new) {
            let request = self.request_for(new, place)?;
            leader.add_learner(request).await.map_err(refused)?;
        }
        let promote = PromoteRequest {
            id: new,
            lag_max: 0,
        };
        match leader.promote(promote).await {
            Ok(_) => self.note("plan", format!("node {new} has caught up and votes")),
            Err(why) => tracing::debug!("node {new} is not promoted yet: {}", why.message()),
        }
        Ok(())
    }

    /// The primary's Admin service.
    async fn leader(&self, view: &View) -> anyhow::Result<operator::Client> {
        let (id, _) = view.target().context("no primary serves")?;
        self.console.operator(&self.service.id, view, id).await
    }

    fn note(&self, kind: &str, text: String) {
        self.console.note(Some(&self.service.id), kind, &text);
    }

    /// Notes what is wrong, once for as long as it stays the same.
    fn complain(&mut self, why: String) {
        if self.said != why {
            self.note("problem", why.clone());
            self.said = why;
        }
    }

    /// Puts what is known on the board.
    fn show(
        &self,
        place: Option<&Place>,
        view: &View,
        observed: &Observed,
        action: Option<&Action>,
    ) {
        let (data, witnesses) = planner::shape_of(&self.service.plan);
        let sound = observed.nodes.iter().all(|n| n.answers && !n.lost);
        let whole = observed.planned
            && observed.nodes.iter().filter(|n| !n.witness).count() == data
            && observed.nodes.iter().filter(|n| n.witness).count() == witnesses
            && observed.nodes.iter().all(|n| n.voter && !n.outdated);
        let health = match (self.service.wanted, observed.primary) {
            (Wanted::Gone, _) => Health::Deleting,
            (Wanted::Off, _) => Health::Off,
            (Wanted::On, Some(_)) if sound && whole => Health::Running,
            // A node that is being added does not answer yet.
            (Wanted::On, Some(_)) if sound || planned_work(action) => Health::Changing,
            (Wanted::On, Some(_)) => Health::Degraded,
            (Wanted::On, None) if self.served => Health::Down,
            (Wanted::On, None) => Health::Starting,
        };
        let committed = committed(view);
        let nodes = place.map_or_else(Vec::new, |p| {
            let node = |n: &super::provider::Placed| {
                let seen = observed.nodes.iter().find(|s| s.id == n.id);
                let said = view.nodes.get(&n.id).and_then(|o| o.status.clone());
                node_of(
                    n,
                    seen,
                    &said.unwrap_or_default(),
                    role_of(view, n.id),
                    committed,
                    self.sick.get(&n.id),
                )
            };
            p.nodes.iter().map(node).collect()
        });
        let overview = Overview {
            service: self.service.clone(),
            health,
            doing: action.map_or(String::new(), doing),
            connection: place
                .and_then(|p| p.connection.clone())
                .map(|c| connection_of(c, &nodes, &self.name())),
            nodes,
            limits: limits_of(&self.console, place),
        };
        let changed = {
            let mut board = self.console.board.overviews.write();
            board.insert(self.service.id.clone(), overview.clone()) != Some(overview)
        };
        if changed {
            self.console.changed.send_modify(|n| *n += 1);
        }
    }
}

/// How clients connect, with what follows from how its nodes are.
fn connection_of(told: Connection, nodes: &[Node], name: &str) -> Connection {
    let uri = |host: &str, port: &str| {
        let (user, password) = (&told.user, &told.password);
        format!("rediss://{user}:{password}@{host}:{port}")
    };
    let standby = nodes.iter().find(|n| n.role == "standby" && n.answers);
    let standby = standby.and_then(|n| n.client_addr.rsplit_once(':'));
    // Only where its nodes listen at its own port does a name lead to them.
    let own = format!(":{}", told.port);
    let named = !name.is_empty() && nodes.iter().any(|n| n.client_addr.ends_with(&own));
    let by_name = |host: String| named.then(|| uri(&host, &told.port.to_string()));
    Connection {
        // A certificate has no address of a node's own, but the name.
        replica_uri: match named {
            true => standby.and(by_name(format!("replica.{name}"))),
            false => standby.map(|(_, port)| uri(&told.host, port)),
        },
        name_uri: by_name(name.to_string()),
        replica_name_uri: by_name(format!("replica.{name}")),
        ..told
    }
}

/// Whether a step brings a sound service to what its plan has.
fn planned_work(action: Option<&Action>) -> bool {
    matches!(
        action,
        Some(
            Action::SetPlan
                | Action::AddNode { lost: None, .. }
                | Action::Join(_)
                | Action::Restart(_)
                | Action::Leave(_)
        )
    )
}

/// What of its plan is not held to where it runs, for people.
fn limits_of(console: &Console, place: Option<&Place>) -> Vec<String> {
    let nodes = place.map_or(&[][..], |p| &p.nodes);
    let mut limits = console.limits(place.is_some_and(Place::is_of_containers));
    let mut hosts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for node in nodes.iter().filter(|n| !n.host.is_empty()) {
        hosts
            .entry(&node.host)
            .or_default()
            .push(node.id.to_string());
    }
    let shared = hosts.into_iter().filter(|(_, ids)| ids.len() > 1);
    limits.extend(shared.map(|(host, ids)| {
        format!(
            "Nodes {} share the host {host}: with it they are gone together.",
            ids.join(" and ")
        )
    }));
    limits
}

fn refused(status: tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("the primary refused: {}", status.message())
}

fn role_of(view: &View, id: u64) -> String {
    let role = view
        .nodes
        .get(&id)
        .map_or("unknown", |o| o.role(Instant::now()));
    match role {
        "primary" if view.primary.map(|(p, _)| p) != Some(id) => "unknown".into(),
        role => role.into(),
    }
}

fn node_of(
    placed: &super::provider::Placed,
    seen: Option<&Seen>,
    said: &StatusReply,
    role: String,
    committed: u64,
    troubles: Option<&BTreeMap<diagnosis::Kind, String>>,
) -> Node {
    Node {
        id: placed.id,
        role,
        running: placed.running,
        answers: seen.is_some_and(|s| s.answers),
        voter: seen.is_some_and(|s| s.voter),
        lost: placed.lost || placed.damaged,
        lag: lag_of(committed, said),
        keys: said.keys,
        used_memory: said.used_memory,
        memory_mib: placed.memory_mib,
        version: said.version.clone(),
        client_addr: placed.address.client.clone(),
        host: placed.host.clone(),
        // That it does not answer is said already.
        troubles: troubles.map_or_else(Vec::new, |all| {
            let others = all.iter().filter(|(k, _)| **k != diagnosis::Kind::Silent);
            others.map(|(_, text)| text.clone()).collect()
        }),
    }
}

/// What the primary has committed, as far as it is known.
fn committed(view: &View) -> u64 {
    let primary = view.primary.and_then(|(id, _)| view.nodes.get(&id));
    let said = primary.and_then(|o| o.status.as_ref());
    said.map_or(0, |s| s.committed)
}

/// What is wrong with the nodes.
fn sick(view: &View) -> BTreeMap<u64, BTreeMap<diagnosis::Kind, String>> {
    let (now, now_ms) = (Instant::now(), now_ms());
    let committed = committed(view);
    let of = |(id, seen): (&u64, &crate::gateway::Observed)| {
        if !seen.answers(now) {
            return Some((*id, diagnosis::silent()));
        }
        let (said, heard) = (seen.status.as_ref()?, seen.heard?);
        let age = i64::try_from(now.saturating_duration_since(heard).as_millis()).ok()?;
        let lag = lag_of(committed, said);
        Some((*id, diagnosis::troubles(said, now_ms - age, lag)))
    };
    view.nodes.iter().filter_map(of).collect()
}

/// Entries that were committed and that a node has not; a witness applies none.
fn lag_of(committed: u64, said: &StatusReply) -> u64 {
    committed.saturating_sub(said.applied.max(said.committed))
}

/// Why another node takes the place of that one, for people.
fn why_replaced(old: u64, place: Option<&Place>) -> String {
    let node = place.and_then(|p| p.nodes.iter().find(|n| n.id == old));
    match node {
        Some(n) if !n.lost && !n.damaged && n.away_since_ms.is_some() => {
            format!("the host {} of node {old} does not answer", n.host)
        }
        Some(n) if !n.lost && !n.damaged => {
            format!(
                "node {old} shares the host {} while another is free",
                n.host
            )
        }
        _ => format!("the disk of node {old} is gone or damaged"),
    }
}

/// Of the hosts that answer one has two voters fewer than another: a voter of that one, a standby if there is one.
fn crowded(nodes: &[Seen], place: &Place, primary: Option<u64>) -> Option<u64> {
    let host = |id: u64| {
        place
            .nodes
            .iter()
            .find(|n| n.id == id)
            .map_or("", |n| &n.host)
    };
    let voters = |at: &str| {
        let there = nodes.iter().filter(|n| n.voter && host(n.id) == at);
        there.map(|n| n.id).collect::<Vec<_>>()
    };
    let all: Vec<Vec<u64>> = place.hosts.iter().map(|h| voters(h)).collect();
    let (most, least) = (
        all.iter().max_by_key(|v| v.len())?,
        all.iter().map(Vec::len).min()?,
    );
    if most.len() < least + 2 {
        return None;
    }
    let standby = most.iter().find(|id| Some(**id) != primary);
    standby.or(most.first()).copied()
}

/// What the planner is told.
fn observe(service: &Service, program: &str, place: Option<&Place>, view: &View) -> Observed {
    let Some(place) = place else {
        return Observed::default();
    };
    let primary = view.primary.map(|(id, _)| id).filter(|_| place.supervised);
    let members = primary
        .and_then(|p| view.nodes.get(&p)?.status.as_ref())
        .map_or(&[][..], |s| &s.members);
    let now = Instant::now();
    let status = |id: u64| view.nodes.get(&id)?.status.as_ref();
    let committed = primary.and_then(status).map_or(0, |s| s.committed);
    let nodes = place.nodes.iter().map(|n| {
        let member = members.iter().find(|m| m.id == n.id);
        Seen {
            id: n.id,
            member: member.is_some(),
            voter: member.is_some_and(|m| m.voter),
            witness: n.witness,
            answers: view.nodes.get(&n.id).is_some_and(|o| o.answers(now)),
            lost: n.lost || n.damaged,
            damaged: n.damaged,
            crowded: false,
            away: n.away_since_ms.is_some_and(|since| {
                let silent = view.nodes.get(&n.id).is_none_or(|o| !o.answers(now));
                silent && u64::try_from(now_ms()).is_ok_and(|now| now >= since + HOST_SILENCE_MS)
            }),
            outdated: n.program != program
                || !n.witness && n.memory_mib != u64::from(service.memory_mib),
            lag: status(n.id).map_or(0, |s| lag_of(committed, s)),
        }
    });
    let mut nodes: Vec<Seen> = nodes.collect();
    if let Some(id) = crowded(&nodes, place, primary) {
        nodes.iter_mut().for_each(|n| n.crowded = n.id == id);
    }
    Observed {
        exists: true,
        supervised: place.supervised,
        planned: place.plan == service.plan
            && place.memory_mib == u64::from(service.memory_mib)
            && place.program == program,
        archived: false,
        primary: primary.filter(|_| !members.is_empty()),
        nodes,
    }
}

/// For people.
fn doing(action: &Action) -> String {
    match action {
        Action::Start => "its processes are being started".into(),
        Action::Stop => "its processes are being stopped".into(),
        Action::Delete => "its data is being deleted".into(),
        Action::HandOver(to) => format!("node {to} takes the primary's place"),
        Action::Restore => "it is being restored from a backup".into(),
        Action::SetPlan => "its plan is being changed".into(),
        Action::AddNode { lost, .. } => match lost {
            Some(old) => format!("a node is being added for the place of node {old}"),
            None => "a node is being added".into(),
        },
        Action::Join(new) => format!("node {new} catches up"),
        Action::Restart(node) => format!("node {node} is begun anew"),
        Action::Leave(node) => format!("node {node} is being taken out"),
        Action::Replace { old, new } => {
            format!("node {new} catches up and takes the place of node {old}")
        }
        Action::RemoveNode(id) => format!("node {id} is being removed"),
        Action::Alarm(why) => why.clone(),
    }
}

/// Rung whenever the board or the events change.
pub type Changed = watch::Sender<u64>;

pub(super) async fn connect(
    place: &Place,
    view_peer: &str,
    id: u64,
) -> anyhow::Result<operator::Client> {
    let credentials = Credentials::open(&place.cluster, place.operator.clone())?;
    Ok(operator::connect(&credentials, view_peer, Some(id), CONNECT).await?)
}
