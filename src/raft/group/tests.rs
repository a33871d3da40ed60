//! One real member: log, store and Raft on a disk, without clients.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use openraft::ChangeMembers;
use tempfile::TempDir;

use super::*;
use crate::command::Settings;
use crate::data::Seed;
use crate::engine::Outcome;
use crate::keyspace::Keyspace;
use crate::log;
use crate::mutation::Mutation;
use crate::raft::link::TlsDial;
use crate::raft::recovery::{Survivor, claim};
use crate::store;
use crate::tls::ca::Authority;
use crate::tls::files::Pair;
use crate::tls::peer::{Credentials, Files};

const SEGMENT: u32 = 1 << 20;

fn member(id: NodeId) -> Member {
    Member {
        peer_addr: format!("127.0.0.1:{id}"),
        client_addr: "127.0.0.1:1".into(),
        announced: "127.0.0.1:1".into(),
        data: true,
    }
}

/// A runtime of its own, so that dropping it lets go of the disk as the end of a process does.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

async fn start(dir: &Path, cluster: &str) -> Arc<Group> {
    start_among(dir, cluster, &[1]).await
}

/// Member 1 of a group that has these voters when it is new.
/// The longest time without a leader before a node stands for election.
const ELECTION_TIMEOUT_MAX: Duration = Duration::from_millis(400);

async fn start_among(dir: &Path, cluster: &str, voters: &[NodeId]) -> Arc<Group> {
    claim(dir, cluster).unwrap();
    let ca = dir.join(format!("ca-{cluster}"));
    std::fs::create_dir_all(&ca).unwrap();
    let authority = match ca.join("ca.pem").exists() {
        true => Authority::open(&ca).unwrap(),
        false => Authority::create(&ca, cluster).unwrap(),
    };
    let issued = authority.issue_node(cluster, 1).unwrap();
    let (cert, key) = issued.write(&ca, "node-1").unwrap();
    let files = Files {
        ca: authority.cert_path(),
        pair: Pair { cert, key },
    };
    let credentials = Credentials::open(cluster, files).unwrap();
    let engine = Engine::new(Keyspace::new(16, Seed::default()), Settings::default());
    let options = log::Options {
        segment_len: SEGMENT,
        space_low: 0,
        ballast_len: 0,
        ..Default::default()
    };
    let log = Log::open(dir.join("log"), options).unwrap();
    let options = store::Options::new(dir.join("store"));
    let (store, position) = Store::open(options, Box::new(|e| panic!("{e}"))).unwrap();
    let store = Arc::new(store);
    let sm = StateMachine::open(
        engine.clone(),
        store.clone(),
        position,
        &dir.join("snapshots"),
        16,
        1,
        false,
    )
    .unwrap();
    let max = ELECTION_TIMEOUT_MAX;
    let options = Options {
        id: 1,
        cluster_id: cluster.into(),
        heartbeat: Duration::from_millis(100),
        election_timeout_min: Duration::from_millis(300),
        election_timeout_max: max,
        log_keep_bytes: u64::MAX,
        log_cap_bytes: u64::MAX,
        witness: None,
        clock: Clock::system(),
    };
    let dial = TlsDial {
        credentials,
        time: max,
    };
    let peers = Peers::new(Arc::new(dial)).expect("peers");
    let incoming = dir.join("incoming");
    let group = Group::start(options, log, sm, engine, store, peers, incoming)
        .await
        .unwrap();
    group
        .bootstrap(voters.iter().map(|id| (*id, member(*id))).collect())
        .await
        .unwrap();
    group
}

#[test]
fn a_restarted_voter_among_others_does_not_vote_at_once() {
    let dir = TempDir::new().unwrap();
    // Often: what is known of the members just after the start was a matter of chance once.
    for round in 0..20 {
        let runtime = runtime();
        runtime.block_on(async {
            let began = Instant::now();
            let group = start_among(dir.path(), "one", &[1, 2]).await;
            if round == 0 {
                group.raft.trigger().elect(false).await.unwrap();
                until("a vote", || group.log.vote().is_some()).await;
            } else {
                let left = group.gate.remaining();
                // On a busy machine the start itself may take as long.
                let soon = began.elapsed() < ELECTION_TIMEOUT_MAX;
                assert!(
                    !left.is_zero() || !soon,
                    "round {round}: it may vote at once"
                );
            }
            group.stop().await;
        });
    }
}

async fn until(what: &str, test: impl Fn() -> bool) {
    let wait = async {
        while !test() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come"));
}

/// Writes a key; answers era and batch.
fn set(group: &Group, key: &str, value: &str) -> (u64, u64) {
    let mut core = group.engine.lock();
    let era = core.era();
    let mut ctx = core.ctx(0);
    ctx.apply(Mutation::StrSet {
        db: 0,
        key: key.as_bytes(),
        value: value.as_bytes(),
        expire_at: 0,
    })
    .unwrap();
    (era, ctx.wait)
}

fn get(group: &Group, key: &str) -> Option<String> {
    let core = group.engine.lock();
    let bytes = core.ks.entry(0, key.as_bytes())?.value.as_str()?.as_bytes();
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[test]
fn a_reload_loses_nothing_and_opens_another_epoch() {
    let dir = TempDir::new().unwrap();
    runtime().block_on(async {
        let group = start(dir.path(), "c-1").await;
        until("a leader", || group.engine.leading()).await;
        for i in 0..500 {
            set(&group, &format!("k{i}"), "before");
        }
        // Executed, and not committed yet.
        let last = set(&group, "k0", "last");
        let epoch = group.engine.lock().sequence.epoch;
        group.reload().unwrap();
        assert!(group.engine.pause.active());
        // A second one while the first runs is the same one.
        group.reload().unwrap();
        until("the end of the pause", || !group.engine.pause.active()).await;
        assert_eq!(group.engine.outcome(last.0, last.1), Outcome::Committed);
        assert!(group.engine.leading());
        assert_eq!(get(&group, "k0").as_deref(), Some("last"));
        for i in 1..500 {
            assert_eq!(get(&group, &format!("k{i}")).as_deref(), Some("before"));
        }
        {
            let core = group.engine.lock();
            assert!(core.sequence.epoch > epoch);
            assert_eq!(core.ks.digest(), core.committed_digest().1);
        }
        let (era, batch) = set(&group, "k1", "after");
        until("the commit", || {
            group.engine.outcome(era, batch) == Outcome::Committed
        })
        .await;
        let index = group.read_index().await.unwrap();
        assert!(index >= group.engine.lock().applied.0);
        group.stop().await;
    });
    // And it is on disk.
    runtime().block_on(async {
        let group = start(dir.path(), "c-1").await;
        until("a leader", || group.engine.leading()).await;
        assert_eq!(get(&group, "k1").as_deref(), Some("after"));
        assert_eq!(get(&group, "k499").as_deref(), Some("before"));
        group.stop().await;
    });
}

#[test]
fn raft_ends_with_the_reason_where_an_entry_cannot_be_applied() {
    let dir = TempDir::new().unwrap();
    let runtime = runtime();
    runtime.block_on(async {
        let group = start(dir.path(), "one").await;
        until("it leads", || group.engine.leading()).await;
        let ended = group.ended();
        tokio::pin!(ended);
        let early = tokio::time::timeout(Duration::from_millis(100), &mut ended).await;
        assert!(early.is_err(), "it runs, and yet: {early:?}");
        let _ = group.raft.client_write(Payload("no entry".into())).await;
        let why = tokio::time::timeout(Duration::from_secs(10), ended).await;
        let why = why.expect("the end of Raft is noticed");
        assert!(why.contains("the entry has version"), "{why}");
    });
}

#[test]
fn a_survivor_becomes_a_cluster_of_its_own() {
    let dir = TempDir::new().unwrap();
    runtime().block_on(async {
        let group = start(dir.path(), "c-1").await;
        until("a leader", || group.engine.leading()).await;
        let (era, batch) = set(&group, "k", "v");
        until("the commit", || {
            group.engine.outcome(era, batch) == Outcome::Committed
        })
        .await;
        group.raft.add_learner(2, member(2), false).await.unwrap();
        let before = group.log.last().unwrap().index;
        let raft = group.raft.clone();
        tokio::spawn(async move {
            let voters = ChangeMembers::AddVoterIds(BTreeSet::from([2]));
            let _ = raft.change_membership(voters, false).await;
        });
        // From here on nothing commits without node 2, which never was.
        until("the entry", || group.log.last().unwrap().index > before).await;
        assert!(
            Survivor::open(dir.path(), 1, SEGMENT).is_err(),
            "the node runs"
        );
        group.stop().await;
    });
    let survivor = Survivor::open(dir.path(), 1, SEGMENT).unwrap();
    assert_eq!(survivor.voters, BTreeSet::from([1, 2]));
    let named = survivor.confirmation();
    assert!(named.starts_with("node-1@"), "{named}");
    let last = survivor.recover(dir.path(), "c-2").unwrap();
    assert_eq!(last.index, survivor.last.index + 1);
    drop(survivor);
    let refused = claim(dir.path(), "c-1").unwrap_err().to_string();
    assert!(refused.contains("belongs to cluster c-2"), "{refused}");
    runtime().block_on(async {
        let group = start(dir.path(), "c-2").await;
        until("a leader", || group.engine.leading()).await;
        assert_eq!(group.raft.voter_ids().collect::<Vec<_>>(), [1]);
        assert_eq!(get(&group, "k").as_deref(), Some("v"));
        let (era, batch) = set(&group, "k", "w");
        until("a commit by one voter", || {
            group.engine.outcome(era, batch) == Outcome::Committed
        })
        .await;
        group.stop().await;
    });
    let missing = Survivor::open(dir.path(), 7, SEGMENT).unwrap();
    assert!(
        missing.recover(dir.path(), "c-3").is_err(),
        "node 7 is no member"
    );
}
