//! Random mutations against what must always hold: the digest kept is the digest computed, an undo
//! restores everything, a follower and a load from rows give the same data.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::load::{Part, Recorded, build};
use super::*;
use crate::base::rows::RowOp;
use crate::mutation::Mutation;
use crate::mutation::codec::{Reader, Writer};

/// Mutations, some of which do not fit the data: those must be refused and change nothing.
fn random<'a>(rng: &mut SmallRng, long: &'a [u8]) -> Mutation<'a> {
    let names: [&[u8]; 4] = [
        b"a",
        b"b",
        b"a key that is longer than what fits in place",
        b"d",
    ];
    // Two of one length: the second is written over the first.
    let values: [&[u8]; 6] = [b"", b"1", b"value", &long[..300], &long[1..301], long];
    let db = rng.random_range(0..2);
    let key = names[rng.random_range(0..4)];
    let member = names[rng.random_range(0..4)];
    let value = values[rng.random_range(0..6)];
    let front: bool = rng.random();
    let index = rng.random_range(0..6);
    let (to_db, to) = (rng.random_range(0..2), names[rng.random_range(0..4)]);
    let table = 1 + u8::from(front);
    let (id, count) = (rng.random_range(0..9), rng.random_range(0..4));
    match rng.random_range(0..34) {
        22 | 23 => Mutation::StreamAdd {
            db,
            key,
            id: id.into(),
            fields: value,
        },
        24 => Mutation::StreamDel {
            db,
            key,
            id: id.into(),
        },
        25 => Mutation::StreamTrim { db, key, count },
        26 => Mutation::StreamSet {
            db,
            key,
            last: id.into(),
            max_deleted: count.into(),
            added: index,
        },
        27 => Mutation::StreamGroup {
            db,
            key,
            group: member,
            last: id.into(),
            read: front.then_some(count),
        },
        28 => Mutation::StreamGroupDel {
            db,
            key,
            group: member,
        },
        29 => Mutation::StreamConsumer {
            db,
            key,
            group: member,
            consumer: to,
            seen: id,
            active: front.then_some(count),
        },
        30 => Mutation::StreamConsumerDel {
            db,
            key,
            group: member,
            consumer: to,
        },
        31 | 32 => Mutation::StreamPending {
            db,
            key,
            group: member,
            consumer: to,
            id: id.into(),
            time: index,
            count,
        },
        33 => Mutation::StreamAck {
            db,
            key,
            group: member,
            id: id.into(),
        },
        19 => Mutation::SystemPut {
            table,
            name: member,
            value,
        },
        20 => Mutation::SystemDel {
            table,
            name: member,
        },
        0 => Mutation::StrSet {
            db,
            key,
            value,
            expire_at: rng.random_range(0..3),
        },
        1 => Mutation::StrRange {
            db,
            key,
            offset: rng.random_range(0..40_000),
            bytes: b"xyz",
        },
        2 => Mutation::Del { db, key },
        3 => Mutation::Expire {
            db,
            key,
            at: rng.random_range(0..3),
        },
        4 => Mutation::Rename { db, key, to_db, to },
        5 => Mutation::Copy { db, key, to_db, to },
        6 if rng.random_ratio(1, 20) => Mutation::FlushDb { db },
        7 => Mutation::SwapDb { a: 0, b: to_db },
        8 | 9 => Mutation::HashSet {
            db,
            key,
            field: member,
            value,
        },
        10 => Mutation::HashDel {
            db,
            key,
            field: member,
        },
        11 => Mutation::SetAdd { db, key, member },
        12 => Mutation::SetDel { db, key, member },
        13 => {
            let score = [0.0, -0.0, 1.5, f64::INFINITY][rng.random_range(0..4)];
            Mutation::ZSetAdd {
                db,
                key,
                member,
                score,
            }
        }
        14 => Mutation::ZSetDel { db, key, member },
        15 => Mutation::ListPop {
            db,
            key,
            front,
            count: rng.random_range(1..3),
        },
        16 => Mutation::ListSet {
            db,
            key,
            index,
            value,
        },
        17 => Mutation::ListInsert {
            db,
            key,
            index,
            value,
        },
        18 => Mutation::ListRemove { db, key, index },
        _ => Mutation::ListPush {
            db,
            key,
            front,
            value,
        },
    }
}

/// A store that keeps the rows in a map.
#[derive(Default)]
struct Rows(BTreeMap<Box<[u8]>, Box<[u8]>>);

impl Rows {
    fn write(&mut self, rows: crate::base::rows::Rows) {
        for row in rows.iter() {
            match row {
                RowOp::Put { key, value } => drop(self.0.insert(key.into(), value.into())),
                RowOp::Delete { key } => drop(self.0.remove(key)),
                RowOp::DeleteRange { from, to } => {
                    self.0.retain(|k, _| **k < *from || **k >= *to);
                }
            }
        }
    }

    fn load(&self, like: &Keyspace) -> Keyspace {
        let mut part = Part::new(like.seed);
        for (key, value) in &self.0 {
            part.row(key, value, 0).expect("a sound row");
        }
        let recorded = Recorded {
            databases: like.databases(),
            seed: like.seed,
            next_gen: like.next_gen(),
            digest: like.digest(),
        };
        build(vec![part], &recorded, like.limits).expect("the digest that was recorded")
    }
}

fn empty() -> Keyspace {
    let mut ks = Keyspace::new(2, Seed::new(1, 2));
    ks.limits.stream_node_max_entries = 2;
    ks
}

#[test]
fn digests_undos_followers_and_loads_agree() {
    let long: Vec<u8> = (0..50_000u32).map(|i| (i % 251) as u8).collect();
    for seed in 0..60 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (mut leader, mut follower, mut rows) = (empty(), empty(), Rows::default());
        for _ in 0..60 {
            let (digest, generation, bytes) = (leader.digest(), leader.next_gen(), leader.bytes());
            let mut fx = Effects::undoable();
            let mut log = Writer::default();
            for _ in 0..rng.random_range(1..12) {
                let m = random(&mut rng, &long);
                let before = leader.digest();
                match leader.apply(&m, &mut fx) {
                    Ok(()) => log.push(&m),
                    Err(_) => assert_eq!(leader.digest(), before, "seed {seed}: refused {m:?}"),
                }
                assert_eq!(
                    leader.digest(),
                    leader.digest_slow(),
                    "seed {seed}: after {m:?}"
                );
            }
            if rng.random_ratio(1, 3) {
                leader.undo(fx.undo.take().expect("undoable"));
                leader.set_next_gen(generation);
                assert_eq!(leader.digest(), digest, "seed {seed}: undone");
                assert_eq!(leader.digest_slow(), digest, "seed {seed}: undone");
                assert_eq!(
                    leader.is_empty(),
                    bytes == 0,
                    "seed {seed}: bytes of nothing"
                );
                continue;
            }
            rows.write(fx.rows);
            let mut fx = Effects::default();
            for m in Reader::new(log.bytes()) {
                follower
                    .apply(&m.expect("as written"), &mut fx)
                    .expect("what the leader applied");
            }
            assert_eq!(
                follower.digest(),
                leader.digest(),
                "seed {seed}: the follower"
            );
        }
        assert_eq!(
            rows.load(&leader).digest_slow(),
            leader.digest(),
            "seed {seed}: the load"
        );
    }
}

#[test]
fn a_load_notices_a_lost_row() {
    let (mut ks, mut rows, mut fx) = (empty(), Rows::default(), Effects::default());
    for field in [&b"f"[..], b"g"] {
        ks.apply(
            &Mutation::HashSet {
                db: 0,
                key: b"h",
                field,
                value: b"v",
            },
            &mut fx,
        )
        .expect("fits");
    }
    rows.write(fx.rows);
    rows.0.pop_first();
    let mut part = Part::new(ks.seed);
    for (key, value) in &rows.0 {
        part.row(key, value, 0).expect("a sound row");
    }
    let recorded = Recorded {
        databases: 2,
        seed: ks.seed,
        next_gen: ks.next_gen(),
        digest: ks.digest(),
    };
    assert!(matches!(
        build(vec![part], &recorded, ks.limits),
        Err(load::Error::Digest { .. })
    ));
}

#[test]
fn expiry_is_shifted_by_slices() {
    let (mut ks, mut fx, mut rows) = (empty(), Effects::default(), Rows::default());
    for n in 0..200u32 {
        let key = format!("key:{n}").into_bytes();
        let expire_at = if n % 4 == 0 { 0 } else { 1000 + u64::from(n) };
        let (db, key, value) = (n % 2, &key[..], &b"v"[..]);
        let set = Mutation::StrSet {
            db,
            key,
            value,
            expire_at,
        };
        ks.apply(&set, &mut fx).expect("fits");
    }
    for slice in 0..3 {
        ks.shift_expiry(5000, (slice, 3), &mut fx).expect("fits");
    }
    rows.write(fx.rows);
    for n in 0..200u32 {
        let key = format!("key:{n}").into_bytes();
        let expected = if n % 4 == 0 { 0 } else { 6000 + u64::from(n) };
        assert_eq!(ks.entry(n % 2, &key).map(|e| e.expire_at), Some(expected));
    }
    assert_eq!((ks.expired(6000), ks.expired(6099)), (0, 75));
    assert_eq!(rows.load(&ks).digest(), ks.digest());
}
