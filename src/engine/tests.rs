//! The engine without Raft: what is proposed is committed, lost or overtaken by hand.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::command::Settings;
use crate::data::Seed;
use crate::mutation::Mutation;

fn engine() -> Arc<Engine> {
    let engine = Engine::new(Keyspace::new(2, Seed::new(1, 2)), Settings::default());
    engine.lock().reset(
        Keyspace::new(2, Seed::new(1, 2)),
        Default::default(),
        (0, 0),
    );
    engine
}

fn apply(engine: &Engine, index: u64, payload: &Bytes) -> Applied {
    engine.lock().apply(index, 1, payload).expect("applies")
}

/// An engine that leads, its open entry at index 1.
fn leader(term: u64) -> (Arc<Engine>, Bytes) {
    let engine = engine();
    let open = engine.lock().open_epoch(term);
    assert!(
        !engine.leading(),
        "nothing is executed before the open entry was applied"
    );
    apply(&engine, 1, &open);
    assert!(engine.leading());
    (engine, open)
}

fn set(engine: &Engine, key: &[u8], value: &[u8]) -> u64 {
    let mut core = engine.lock();
    let mut ctx = core.ctx(0);
    ctx.apply(Mutation::StrSet {
        db: 0,
        key,
        value,
        expire_at: 0,
    })
    .expect("leads");
    ctx.wait
}

fn get(engine: &Engine, key: &[u8]) -> Option<Vec<u8>> {
    let core = engine.lock();
    core.ks
        .entry(0, key)?
        .value
        .as_str()
        .map(|s| s.as_bytes().to_vec())
}

fn propose(engine: &Engine) -> Proposal {
    engine.lock().take_proposal().expect("something to propose")
}

#[test]
fn a_reply_waits_for_its_batch() {
    let (engine, _) = leader(1);
    let batch = set(&engine, b"k", b"v");
    let era = engine.era();
    assert_eq!(engine.outcome(era, batch), Outcome::Pending);
    let proposal = propose(&engine);
    assert_eq!(
        engine.outcome(era, batch),
        Outcome::Pending,
        "proposed is not committed"
    );
    apply(&engine, 2, &proposal.payloads[0]);
    assert_eq!(engine.outcome(era, batch), Outcome::Committed);
}

#[test]
fn what_did_not_commit_is_taken_back() {
    let (engine, _) = leader(1);
    set(&engine, b"k", b"old");
    let first = propose(&engine);
    apply(&engine, 2, &first.payloads[0]);
    let digest = engine.lock().ks.digest();
    let (era, lost) = (engine.era(), set(&engine, b"k", b"new"));
    let _ = propose(&engine);
    set(&engine, b"other", b"x");
    engine.lock().end_epoch();
    assert_eq!(get(&engine, b"k").as_deref(), Some(&b"old"[..]));
    assert_eq!(get(&engine, b"other"), None);
    assert_eq!(engine.lock().ks.digest(), digest);
    assert_eq!(
        engine.outcome(era, lost),
        Outcome::Unknown,
        "never said to have failed"
    );
    assert_eq!(
        engine.outcome(era, 1),
        Outcome::Committed,
        "what had committed stays so"
    );
}

#[test]
fn what_commits_later_stays() {
    let (engine, _) = leader(1);
    set(&engine, b"k", b"v");
    let proposal = propose(&engine);
    engine.lock().end_epoch();
    assert_eq!(get(&engine, b"k"), None);
    apply(&engine, 2, &proposal.payloads[0]);
    assert_eq!(get(&engine, b"k").as_deref(), Some(&b"v"[..]));
}

#[test]
fn an_older_epoch_s_entries_do_not_end_an_opening() {
    let (old, open) = leader(1);
    set(&old, b"k", b"v");
    let batch = propose(&old);
    // A node that restarts is elected and proposes its epoch before it has replayed what was there.
    let engine = engine();
    let own = engine.lock().open_epoch(2);
    apply(&engine, 1, &open);
    apply(&engine, 2, &batch.payloads[0]);
    apply(&engine, 3, &own);
    assert!(engine.leading());
    assert_eq!(get(&engine, b"k").as_deref(), Some(&b"v"[..]));
}

#[test]
fn another_s_open_entry_ends_the_epoch() {
    let (engine, _) = leader(1);
    set(&engine, b"k", b"v");
    let late = propose(&engine);
    let foreign = self::engine().lock().open_epoch(2);
    apply(&engine, 2, &foreign);
    assert!(!engine.leading());
    assert_eq!(get(&engine, b"k"), None);
    apply(&engine, 3, &late.payloads[0]);
    assert_eq!(
        get(&engine, b"k"),
        None,
        "a batch of an ended epoch is skipped"
    );
}

#[test]
fn a_batch_that_lost_a_part_is_skipped_as_a_whole() {
    let (engine, open) = leader(1);
    let large = vec![1u8; crate::base::limits::ENTRY_LEN_MAX];
    for key in [b"a", b"b", b"c"] {
        set(&engine, key, &large);
    }
    let proposal = propose(&engine);
    assert_eq!(proposal.payloads.len(), 3);
    let follower = self::engine();
    apply(&follower, 1, &open);
    for (i, part) in proposal.payloads.iter().enumerate().skip(1) {
        for node in [&engine, &follower] {
            apply(node, 2 + i as u64, part);
        }
    }
    assert!(!engine.leading(), "its leader may not go on either");
    for node in [&engine, &follower] {
        assert_eq!(node.lock().ks.len(), 0);
    }
    // The same batch with all its parts takes effect, at the last of them.
    for (i, part) in proposal.payloads.iter().enumerate() {
        let last = i + 1 == proposal.payloads.len();
        assert_eq!(apply(&follower, 10 + i as u64, part).complete, last);
        assert_eq!(follower.lock().ks.len(), if last { 3 } else { 0 });
    }
}

#[test]
fn a_follower_with_other_data_stops() {
    let (engine, open) = leader(1);
    let follower = self::engine();
    apply(&follower, 1, &open);
    let mut fx = Default::default();
    let stray = Mutation::StrSet {
        db: 0,
        key: b"stray",
        value: b"x",
        expire_at: 0,
    };
    follower.lock().ks.apply(&stray, &mut fx).expect("fits");
    set(&engine, b"k", b"v");
    let batch = propose(&engine);
    let stopped = follower.lock().apply(2, 1, &batch.payloads[0]);
    assert!(matches!(stopped, Err(ApplyError::Digest { .. })));
}
