//! The state machine that Raft drives: the engine applies, the store writes behind.
//!
//! **Invariant**: what the store is given is what was committed, in order, with the position it
//! belongs to.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftStateMachine};

use crate::base::rows::Rows;
use crate::base::{limits, work};
use crate::engine::{Engine, Role};
use crate::keyspace::load::{self, Part, Recorded};
use crate::keyspace::{Freed, Garbage, Keyspace, Sequence};
use crate::log::Log;
use crate::store::{Position, Store};

use super::codec;
use super::snapshot_stream::SnapshotDir;
use super::snapshots::{Builder, Snapshot, Snapshots};
use super::types::{Applied, Config, LogId, SnapshotMeta, StoredMembership};

/// Replicated state that is no row: kept in the store's position.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Extra {
    seed: [u64; 2],
    next_gen: u64,
    databases: u32,
}

/// Engine and store as one state machine.
pub struct StateMachine {
    engine: Arc<Engine>,
    store: Arc<Store>,
    snapshots: Snapshots,
    membership: StoredMembership,
    membership_bytes: Bytes,
    applied: Option<LogId>,
    /// Keeps no data, only how far it is.
    witness: bool,
    databases: u32,
    load_threads: usize,
    garbage: std::sync::mpsc::Sender<Garbage>,
    freed: Arc<Freed>,
    /// What is to go to that thread with the next batches.
    dropped: parking_lot::Mutex<Garbage>,
}

/// Batches whose remains are freed together.
const GARBAGE_BATCHES: usize = 16;

impl StateMachine {
    /// Loads what the store has on disk into the engine.
    pub fn open(
        engine: Arc<Engine>,
        store: Arc<Store>,
        position: Option<Position>,
        snapshots: &Path,
        databases: u32,
        load_threads: usize,
        witness: bool,
    ) -> anyhow::Result<StateMachine> {
        let snapshots = Snapshots::open(snapshots, store.clone())?;
        // Large values are freed here, so that neither requests nor the apply stream wait for the allocator.
        let (garbage, heap) = std::sync::mpsc::channel::<Garbage>();
        let freed = engine.lock().freed.clone();
        let done = freed.clone();
        std::thread::Builder::new()
            .name("garbage".into())
            .spawn(move || {
                for garbage in heap {
                    let objects = garbage.objects();
                    drop(garbage);
                    done.done(objects);
                }
            })?;
        let mut sm = StateMachine {
            engine,
            store,
            snapshots,
            membership: StoredMembership::default(),
            membership_bytes: Bytes::new(),
            applied: None,
            witness,
            databases,
            load_threads,
            garbage,
            freed,
            dropped: Default::default(),
        };
        sm.load(position)?;
        Ok(sm)
    }

    /// The last entry that it holds what it came to of.
    pub fn applied(&self) -> Option<LogId> {
        self.applied
    }

    /// Replaces the engine's data by what the store has at a position.
    fn load(&mut self, position: Option<Position>) -> anyhow::Result<()> {
        if self.witness {
            return self.load_marks(position);
        }
        let Some(at) = position else {
            let mut core = self.engine.lock();
            let seed = core.ks.seed;
            core.reset(
                Keyspace::new(self.databases, seed),
                Sequence::default(),
                (0, 0),
            );
            return Ok(());
        };
        if at.extra.is_empty() {
            anyhow::bail!(
                "this folder is a witness's and holds no data: a data node begins with a new id"
            );
        }
        let extra: Extra = serde_json::from_slice(&at.extra)?;
        if extra.databases > self.databases {
            anyhow::bail!(
                "the data has {} databases and `databases` is {}: raise it",
                extra.databases,
                self.databases
            );
        }
        let limits = self.engine.lock().ks.limits;
        let how = (self.databases, self.load_threads, limits);
        let ks = load_data(&self.store, &at, &extra, how)?;
        self.membership = if at.membership.is_empty() {
            Default::default()
        } else {
            serde_json::from_slice(&at.membership)?
        };
        self.membership_bytes = at.membership.clone();
        self.applied = Some(LogId::new_term_index(at.term, at.index));
        let sequence = Sequence {
            epoch: at.epoch,
            number: at.sequence,
            time_ms: at.service_time_ms,
        };
        self.engine.lock().reset(ks, sequence, (at.index, at.term));
        Ok(())
    }

    fn load_marks(&mut self, position: Option<Position>) -> anyhow::Result<()> {
        let Some(at) = position else {
            return Ok(());
        };
        if !at.extra.is_empty() {
            anyhow::bail!(
                "this folder holds data: a witness begins with a new id and an empty one"
            );
        }
        if !at.membership.is_empty() {
            self.membership = serde_json::from_slice(&at.membership)?;
        }
        self.membership_bytes = at.membership.clone();
        self.applied = Some(LogId::new_term_index(at.term, at.index));
        Ok(())
    }

    /// At a witness: notes that an entry is applied. What it would change, epochs included, is for data nodes.
    fn mark(&self, id: LogId) {
        let position = Position {
            index: id.index,
            term: id.leader_id.term,
            membership: self.membership_bytes.clone(),
            ..Position::default()
        };
        self.store.submit(Rows::default(), position);
    }

    /// Drops the data in memory and loads it again: what the store has, then what the log has beyond that. Comes
    /// between two entries, so nothing is applied meanwhile.
    ///
    /// # Errors
    /// What could not be read. The engine then has no data, and the node must stop.
    pub async fn reload(&mut self, log: &Log) -> anyhow::Result<()> {
        let (membership, bytes) = (self.membership.clone(), self.membership_bytes.clone());
        let applied = self.applied;
        self.engine.locked().await.begin_loading();
        // What is written stands still while it is read: nothing is submitted here.
        let at = self.store.flush().await?;
        let first = at.as_ref().map_or(0, |p| p.index + 1);
        work::in_place(|| -> anyhow::Result<()> {
            self.load(at)?;
            let mut next = first;
            while applied.as_ref().is_some_and(|id| next <= id.index) {
                let upto = applied.as_ref().map_or(0, |id| id.index + 1);
                for e in log.read(next..upto, limits::LOG_READ_LEN as usize)? {
                    next = e.id.index + 1;
                    let id = LogId::new_term_index(e.id.term, e.id.index);
                    let mut core = self.engine.lock();
                    match codec::entry_of_parts(id, e.kind, e.body)?.payload {
                        // A store that was flushed lacks only the parts of a batch whose last is still to come.
                        EntryPayload::Normal(payload) => {
                            let applied = core.apply(e.id.index, e.id.term, &payload.0)?;
                            anyhow::ensure!(applied.rows.is_empty(), "the store lacks a batch");
                        }
                        _ => drop(core.apply_other(e.id.index, e.id.term)),
                    }
                }
            }
            Ok(())
        })?;
        (self.membership, self.membership_bytes) = (membership, bytes);
        self.applied = applied;
        Ok(())
    }

    fn position(
        &self,
        core: &crate::engine::Core,
        index: u64,
        term: u64,
        digest: u128,
    ) -> Position {
        let extra = Extra {
            seed: [core.ks.seed.k0, core.ks.seed.k1],
            next_gen: core.committed_next_gen(),
            databases: self.databases,
        };
        Position {
            index,
            term,
            epoch: core.sequence.epoch,
            sequence: core.sequence.number,
            service_time_ms: core.sequence.time_ms,
            digest,
            membership: self.membership_bytes.clone(),
            extra: serde_json::to_vec(&extra).unwrap_or_default().into(),
        }
    }
}

impl RaftStateMachine<Config> for StateMachine {
    type SnapshotData = SnapshotDir;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Config>, io::Error>>
            + Unpin
            + openraft::OptionalSend,
    {
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            let (index, term) = (entry.log_id.index, entry.log_id.leader_id.term);
            if let EntryPayload::Membership(membership) = &entry.payload {
                self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                self.membership_bytes = serde_json::to_vec(&self.membership)?.into();
            }
            if self.witness {
                self.mark(entry.log_id);
                self.applied = Some(entry.log_id);
                if let Some(responder) = responder {
                    responder.send(Applied);
                }
                continue;
            }
            if crate::base::planted::staged("slow-apply") && !self.engine.lock().serves() {
                tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            }
            let (garbage, idle) = {
                let mut core = self.engine.locked().await;
                let applied = match &entry.payload {
                    EntryPayload::Normal(payload) => core
                        .apply(index, term, &payload.0)
                        .map_err(io::Error::other)?,
                    _ => core.apply_other(index, term),
                };
                let idle = applied.rows.is_empty();
                if applied.complete {
                    let position = self.position(&core, index, term, applied.digest);
                    self.store.submit(applied.rows, position);
                }
                (applied.garbage, idle)
            };
            let dropped = self.dropped.get_mut();
            self.freed.add(garbage.objects());
            dropped.append(garbage);
            // To wake a thread for each batch costs more than most of what it would free; a large value does not wait.
            if idle || dropped.len() >= GARBAGE_BATCHES || dropped.objects() > 0 {
                let _ = self.garbage.send(std::mem::take(dropped));
            }
            self.applied = Some(entry.log_id);
            if let Some(responder) = responder {
                responder.send(Applied);
            }
            if self.store.over_limit() {
                self.store.room().await;
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.snapshots.builder()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotDir,
    ) -> Result<(), io::Error> {
        tracing::info!(?meta.last_log_id, "installing a snapshot");
        if self.witness {
            // A marker, whatever came with it. It is on disk before Raft hears of it.
            self.membership = meta.last_membership.clone();
            self.membership_bytes = serde_json::to_vec(&self.membership)?.into();
            self.applied = meta.last_log_id;
            if let Some(id) = meta.last_log_id {
                self.mark(id);
            }
            self.snapshots.builder().build().await?;
            return Ok(());
        }
        let path = snapshot.path().to_path_buf();
        let base = self.store.base();
        work::blocking(move || base.verify(&path))
            .await?
            .map_err(io::Error::other)?;
        {
            // LOADING from here on; the old memory goes before the new one comes.
            let mut core = self.engine.locked().await;
            core.begin_loading();
        }
        let position = match crate::base::planted::is("stale-snapshot") {
            true => self.store.flush().await,
            false => self.store.install(snapshot.path()).await.map(Some),
        };
        let position = position.map_err(io::Error::other)?;
        work::in_place(|| self.load(position)).map_err(io::Error::other)?;
        self.membership = meta.last_membership.clone();
        self.membership_bytes = serde_json::to_vec(&self.membership)?.into();
        self.applied = meta.last_log_id;
        self.snapshots.builder().build().await?;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.snapshots.current().await
    }
}

/// Used where a role is asked about from outside.
pub fn role_name(role: Role, voter: bool) -> &'static str {
    match role {
        Role::Loading => "unknown",
        Role::Leading { .. } | Role::Opening { .. } => "primary",
        Role::Standby if voter => "standby",
        Role::Standby => "learner",
    }
}
/// Loads all rows of a store at `at`, with that many databases and threads. What is loaded has the digest that was recorded.
fn load_data(
    store: &Store,
    at: &Position,
    extra: &Extra,
    (databases, threads, data_limits): (u32, usize, crate::data::Limits),
) -> anyhow::Result<Keyspace> {
    let seed = crate::data::Seed::new(extra.seed[0], extra.seed[1]);
    let recorded = Recorded {
        databases,
        seed,
        next_gen: extra.next_gen,
        digest: at.digest,
    };
    let cuts = store.cuts()?;
    let parts: Vec<parking_lot::Mutex<Part>> = (0..=cuts.len())
        .map(|_| parking_lot::Mutex::new(Part::new(seed)))
        .collect();
    store.load(threads, &cuts, |part, key, value| {
        parts[part]
            .lock()
            .row(key, value, 0)
            .map_err(|e| e.to_string())
    })?;
    let parts = parts
        .into_iter()
        .map(parking_lot::Mutex::into_inner)
        .collect();
    Ok(load::build(parts, &recorded, data_limits)?)
}

/// Loads a checkpoint as a node would, in the new folder `dir`, and answers its digest and how many keys it has. Blocks.
///
/// # Errors
/// When it is damaged, or what is loaded has not the digest that was recorded with it.
pub fn prove(dir: &std::path::Path, checkpoint: &std::path::Path) -> anyhow::Result<(u128, u64)> {
    let options = crate::store::Options::new(dir.join("store"));
    let (store, _) = Store::open(options, Box::new(|_| ()))?;
    let at = store.install_blocking(checkpoint)?;
    anyhow::ensure!(!at.extra.is_empty(), "it is a witness's and holds no data");
    let extra: Extra = serde_json::from_slice(&at.extra)?;
    let how = (extra.databases, 1, crate::data::Limits::default());
    let ks = load_data(&store, &at, &extra, how)?;
    store.close()?;
    Ok((ks.digest(), ks.len() as u64))
}
