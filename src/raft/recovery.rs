//! Forced recovery: one survivor of a cluster that lost its majority becomes a cluster of its own.
//!
//! It is done on the stopped node's disk: one more entry is added to its log, a membership of this node alone, in a
//! term of its own. All that the node has is kept, committed or not. What it has not is lost, and nobody can say
//! how much that was. The new cluster has another id, which is part of every certificate, so that no node of the old one
//! can ever reach it; the data folder names the cluster that it belongs to, and a node of another does not start on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::mpsc;

use anyhow::{Context, bail, ensure};
use openraft::EntryPayload;

use crate::base::limits;
use crate::log::{self, Log};
use crate::mutation;
use crate::store::{self, Store};

use super::codec;
use super::types::{Entry, LogId, Member, Membership, NodeId, Payload, StoredMembership, Vote};

/// The file in the data folder that names the cluster.
const CLUSTER: &str = "cluster";

/// Checks that the data folder belongs to `cluster`; a new one is marked as its.
///
/// # Errors
/// When it belongs to another, or cannot be read or written.
pub fn claim(data_dir: &Path, cluster: &str) -> anyhow::Result<()> {
    let path = data_dir.join(CLUSTER);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim() == cluster => Ok(()),
        Ok(text) => bail!(
            "the data in {} belongs to cluster {}, and this node is configured for {cluster}",
            data_dir.display(),
            text.trim()
        ),
        Err(e) if e.kind() == ErrorKind::NotFound => mark(data_dir, cluster),
        Err(e) => Err(e).with_context(|| path.display().to_string()),
    }
}

fn mark(data_dir: &Path, cluster: &str) -> anyhow::Result<()> {
    let (path, next) = (data_dir.join(CLUSTER), data_dir.join("cluster.next"));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&next)?;
        writeln!(file, "{cluster}")?;
        file.sync_all()?;
        std::fs::rename(&next, &path)?;
        File::open(data_dir)?.sync_all()
    };
    write().with_context(|| path.display().to_string())
}

/// A stopped node's disk, held by this process.
pub struct Survivor {
    /// The node.
    pub id: NodeId,
    /// The last entry of its log.
    pub last: log::Id,
    /// The highest entry that it knows to be committed.
    pub committed: u64,
    /// The highest entry whose effect is in its store.
    pub durable: u64,
    /// Who votes, by its newest membership.
    pub voters: BTreeSet<NodeId>,
    own: Option<Member>,
    term: u64,
    log: Log,
}

impl Survivor {
    /// Opens the disk of node `id` in `data_dir`. Changes nothing. Blocks while the log is read.
    ///
    /// # Errors
    /// When the node runs, or log or store are damaged, or there is nothing to recover.
    pub fn open(data_dir: &Path, id: NodeId, segment_len: u32) -> anyhow::Result<Survivor> {
        ensure!(
            data_dir.join("log").is_dir(),
            "{} holds no log: there is nothing to recover",
            data_dir.display()
        );
        let options = log::Options {
            segment_len,
            ..log::Options::default()
        };
        let log = Log::open(data_dir.join("log"), options)
            .context("the node must be stopped and its log sound")?;
        let (store, position) = Store::open(
            store::Options::new(data_dir.join("store")),
            Box::new(|_| ()),
        )
        .context("the node must be stopped and its store sound")?;
        drop(store);
        let stored: StoredMembership = match &position {
            Some(at) if !at.membership.is_empty() => serde_json::from_slice(&at.membership)?,
            _ => StoredMembership::default(),
        };
        let mut membership = stored.membership().clone();
        let Some(last) = log.last() else {
            bail!("the log is empty: there is nothing to recover");
        };
        let mut next = log.first_index().unwrap_or(last.index + 1);
        while next <= last.index {
            for e in log.read(next..last.index + 1, limits::LOG_READ_LEN as usize)? {
                next = e.id.index + 1;
                let id = LogId::new_term_index(e.id.term, e.id.index);
                if let EntryPayload::Membership(newer) =
                    codec::entry_of_parts(id, e.kind, e.body)?.payload
                {
                    membership = newer;
                }
            }
        }
        let vote = match log.vote() {
            Some(bytes) => codec::decode_vote(&mut &bytes[..])?.leader_id.term,
            None => 0,
        };
        Ok(Survivor {
            id,
            last,
            committed: log.committed().map_or(0, |c| c.index),
            durable: position.map_or(0, |p| p.index),
            voters: membership.voter_ids().collect(),
            own: membership.get_node(&id).cloned(),
            term: vote.max(last.term),
            log,
        })
    }

    /// What an operator must repeat, so that it is this node and this state that is meant: `node-2@7-1234`.
    pub fn confirmation(&self) -> String {
        format!("node-{}@{}-{}", self.id, self.last.term, self.last.index)
    }

    /// Makes this node the only voter, of the new cluster `cluster`. Returns the last log id then.
    ///
    /// # Errors
    /// When the node is no member with data, or the disk fails; then nothing was decided, and it can be done again.
    pub fn recover(&self, data_dir: &Path, cluster: &str) -> anyhow::Result<log::Id> {
        let Some(own) = self.own.clone().filter(|m| m.data) else {
            bail!(
                "node {} is no member with data, by its own log: it cannot be a cluster",
                self.id
            );
        };
        // The mark first: from then on no node of the old cluster starts here, whatever becomes of the rest.
        mark(data_dir, cluster)?;
        let last = stand_alone(&self.log, self.last, self.term, self.id, own)?;
        self.log.close();
        Ok(last)
    }
}

/// Adds to the end of `log`, whose last entry is `last`, a membership of node `id` alone, in a term after `term`. On disk on
/// return; the id of that entry.
fn stand_alone(
    log: &Log,
    last: log::Id,
    term: u64,
    id: NodeId,
    own: Member,
) -> anyhow::Result<log::Id> {
    let term = term + 1;
    let log_id = LogId::new_term_index(term, last.index + 1);
    let membership = Membership::new(vec![BTreeSet::from([id])], BTreeMap::from([(id, own)]))?;
    let (kind, body) = codec::entry_parts(&Entry {
        log_id,
        payload: EntryPayload::Membership(membership),
    });
    let mut vote = Vec::new();
    codec::encode_vote(&Vote::new_committed(term, id), &mut vote);
    let last = log::Id {
        term,
        index: log_id.index,
    };
    let entry = log::Entry {
        id: last,
        kind,
        body,
    };
    let (tx, rx) = mpsc::channel();
    let voted = tx.clone();
    let vote_done: log::Done = Box::new(move |r| drop(voted.send(r)));
    log.save_vote(vote.into(), vote_done)?;
    log.append(vec![entry], Box::new(move |r| drop(tx.send(r))))?;
    for _ in 0..2 {
        rx.recv().context("the log stopped")??;
    }
    Ok(last)
}

/// The service time of an entry of a log, Unix milliseconds, where it has one.
///
/// # Errors
/// When it cannot be read.
pub fn time_of(entry: &log::Entry) -> anyhow::Result<Option<u64>> {
    let id = LogId::new_term_index(entry.id.term, entry.id.index);
    let EntryPayload::Normal(ours) =
        codec::entry_of_parts(id, entry.kind, entry.body.clone())?.payload
    else {
        return Ok(None);
    };
    Ok(match mutation::entry::decode(&ours.0)? {
        mutation::Entry::Open { time_ms, .. } => Some(time_ms),
        mutation::Entry::Batch(header, _) => Some(header.time_ms),
        mutation::Entry::Shift { .. } => None,
    })
}

/// The entry after `last` that shifts the expiry of one slice of the keys (`mutation::Entry::Shift`).
pub fn shift_after(last: log::Id, by_ms: u64, (slice, of): (u64, u64)) -> log::Entry {
    let payload = Payload(mutation::entry::encode_shift(by_ms, slice, of).into());
    let log_id = LogId::new_term_index(last.term, last.index + 1);
    let (kind, body) = codec::entry_parts(&Entry {
        log_id,
        payload: EntryPayload::Normal(payload),
    });
    let id = log::Id {
        term: last.term,
        index: last.index + 1,
    };
    log::Entry { id, kind, body }
}

/// Makes the disk of a node from a backup: the checkpoint `base`, whose last entry is `at`, and the `entries` that follow. The
/// node is the only voter of the new cluster `cluster`, in a term of its own. Blocks.
///
/// # Errors
/// When `data_dir` holds a node already, the checkpoint is damaged, entries do not follow, or the disk fails.
pub fn found(
    data_dir: &Path,
    base: &Path,
    at: log::Id,
    entries: impl Iterator<Item = anyhow::Result<log::Entry>>,
    (id, own): (NodeId, Member),
    cluster: &str,
) -> anyhow::Result<log::Id> {
    ensure!(
        !data_dir.join(CLUSTER).exists(),
        "{} holds a node already",
        data_dir.display()
    );
    let options = store::Options::new(data_dir.join("store"));
    let (store, _) = Store::open(options, Box::new(|_| ()))?;
    let position = store.install_blocking(base)?;
    ensure!(
        (position.term, position.index) == (at.term, at.index),
        "the checkpoint ends at {}-{}, and {}-{} was expected",
        position.term,
        position.index,
        at.term,
        at.index
    );
    store.close()?;
    let log = Log::open(data_dir.join("log"), log::Options::default())?;
    log.purge(at)?;
    let mut last = at;
    for entry in entries {
        let entry = entry?;
        ensure!(
            entry.id.index == last.index + 1 && entry.id.term >= last.term,
            "entry {}-{} does not follow {}-{}",
            entry.id.term,
            entry.id.index,
            last.term,
            last.index
        );
        last = entry.id;
        let (tx, rx) = mpsc::channel();
        log.append(vec![entry], Box::new(move |r| drop(tx.send(r))))?;
        // A few at a time are in memory, whatever the archive holds.
        if last.index.is_multiple_of(64) {
            rx.recv().context("the log stopped")??;
        }
    }
    let term = last.term;
    let end = stand_alone(&log, last, term, id, own)?;
    log.close();
    // The mark last: without it nothing of this is taken for a node.
    mark(data_dir, cluster)?;
    Ok(end)
}
