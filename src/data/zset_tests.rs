//! `ZSet` against a sorted vector, in both encodings and across the change.

use std::collections::{BTreeMap, HashSet};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

type Pairs = Vec<(Vec<u8>, f64)>;

fn limits() -> Limits {
    Limits::new(Seed::new(1, 2))
}

fn sorted(model: &BTreeMap<Vec<u8>, f64>) -> Pairs {
    let mut pairs: Pairs = model.iter().map(|(m, s)| (m.clone(), *s)).collect();
    pairs.sort_by(|a, b| order(a.1, &a.0, b.1, &b.0));
    pairs
}

fn pairs(range: Range<'_>) -> Pairs {
    range
        .map(|(member, score)| (member.to_vec(), score))
        .collect()
}

fn same(zset: &ZSet, model: &BTreeMap<Vec<u8>, f64>, rng: &mut StdRng) {
    let expected = sorted(model);
    let n = expected.len();
    assert_eq!(zset.len(), n);
    assert_eq!(pairs(zset.iter()), expected);
    let mut down = pairs(zset.range_by_rank(n.wrapping_sub(1), usize::MAX, true));
    down.reverse();
    assert_eq!(down, expected);
    for _ in 0..20 {
        let (start, count) = (rng.random_range(0..n + 2), rng.random_range(0..n + 2));
        let up: Pairs = expected.iter().skip(start).take(count).cloned().collect();
        assert_eq!(pairs(zset.range_by_rank(start, count, false)), up);
        if start < n {
            let down: Pairs = expected[..=start]
                .iter()
                .rev()
                .take(count)
                .cloned()
                .collect();
            assert_eq!(pairs(zset.range_by_rank(start, count, true)), down);
            let (member, score) = &expected[start];
            assert_eq!(zset.rank(member), Some(start));
            assert_eq!(zset.score(member), Some(*score));
            assert_eq!(zset.get_by_rank(start), Some((&member[..], *score)));
            for bound in [*score, score.next_up(), score.next_down()] {
                let first = expected.iter().position(|e| e.1 >= bound).unwrap_or(n);
                assert_eq!(zset.lower_bound_score(bound, false), first);
                let first = expected.iter().position(|e| e.1 > bound).unwrap_or(n);
                assert_eq!(zset.lower_bound_score(bound, true), first);
            }
        } else {
            assert_eq!(zset.get_by_rank(start), None);
            assert!(pairs(zset.range_by_rank(start, count, true)).is_empty());
        }
    }
    for bound in [f64::NEG_INFINITY, f64::INFINITY] {
        let first = expected.iter().position(|e| e.1 > bound).unwrap_or(n);
        assert_eq!(zset.lower_bound_score(bound, true), first);
    }
}

#[test]
fn behaves_as_a_sorted_vector() {
    for (seed, members, scores) in [
        (1, 100u32, 10),
        (2, 3000, 1),
        (3, 3000, 20),
        (4, 4000, 1_000_000),
        (5, 400, 50),
    ] {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut zset, mut model) = (ZSet::new(), BTreeMap::new());
        for step in 0..40_000u32 {
            let member = format!("{:x}", rng.random_range(0..members)).into_bytes();
            let grow = step / 10_000 % 2 == 0;
            if rng.random_bool(if grow { 0.8 } else { 0.2 }) {
                let score = match rng.random_range(0..50) {
                    0 => f64::INFINITY,
                    1 => f64::NEG_INFINITY,
                    2 => 0.5,
                    3 => -(2f64.powi(60)),
                    _ => f64::from(rng.random_range(-scores..=scores)),
                };
                assert_eq!(
                    zset.insert(&member, score, &limits()),
                    model.insert(member, score)
                );
            } else {
                assert_eq!(zset.remove(&member), model.remove(&member));
            }
            assert_eq!(zset.len(), model.len());
            if step % 1000 == 0 {
                zset = zset.clone();
                same(&zset, &model, &mut rng);
            }
        }
        same(&zset, &model, &mut rng);
        assert_eq!(zset.rank(b"none"), None);
        assert_eq!(zset.score(b"none"), None);
        for (member, score) in &model {
            assert_eq!(zset.remove(member), Some(*score));
        }
        assert!(zset.is_empty());
        assert!(zset.heap_bytes() < 2000, "{}", zset.heap_bytes());
    }
}

#[test]
fn ordered_insertion_fills_leaves() {
    for descending in [false, true] {
        let mut zset = ZSet::new();
        for n in 0..100_000 {
            let score = f64::from(if descending { -n } else { n });
            assert_eq!(
                zset.insert(format!("{n:016}").as_bytes(), score, &limits()),
                None
            );
        }
        let each = zset.heap_bytes() / 100_000;
        assert!(each <= 57, "{each}");
        assert_eq!(
            zset.rank(b"0000000000000007"),
            Some(if descending { 99_992 } else { 7 })
        );
    }
}

#[test]
fn equal_scores_are_ordered_by_bytes() {
    for n in [100usize, 5000] {
        let mut zset = ZSet::new();
        let members: Vec<String> = (0..n).map(|i| format!("{i:05}")).collect();
        let mut rng = StdRng::seed_from_u64(3);
        for i in (0..n).map(|i| i * 7 % n) {
            zset.insert(
                members[i].as_bytes(),
                if i % 2 == 0 { 0.0 } else { -0.0 },
                &limits(),
            );
        }
        for _ in 0..200 {
            let i = rng.random_range(0..n);
            let bound = members[i].as_bytes();
            assert_eq!(zset.lower_bound_lex(bound, false), i);
            assert_eq!(zset.lower_bound_lex(bound, true), i + 1);
            let between = [bound, b"+"].concat();
            assert_eq!(zset.lower_bound_lex(&between, false), i + 1);
        }
        assert_eq!(zset.lower_bound_lex(b"", false), 0);
        assert_eq!(zset.lower_bound_lex(b"z", false), n);
    }
}

#[test]
fn zeros_are_equal_and_the_old_one_stays() {
    for n in [0, 200] {
        let mut zset = ZSet::new();
        for i in 0..n {
            zset.insert(format!("{i}").as_bytes(), 1.0, &limits());
        }
        zset.insert(b"m", -0.0, &limits());
        assert_eq!(
            zset.insert(b"m", 0.0, &limits()).map(f64::to_bits),
            Some((-0.0f64).to_bits())
        );
        assert_eq!(
            zset.score(b"m").map(f64::to_bits),
            Some((-0.0f64).to_bits())
        );
    }
}

#[test]
fn grows_into_a_tree_and_never_back() {
    let mut zset = ZSet::new();
    for n in 0..128 {
        zset.insert(format!("{n}").as_bytes(), 1.5, &limits());
    }
    assert_eq!(zset.encoding(), "listpack");
    zset.insert(b"5", 2.0, &limits());
    assert_eq!(zset.encoding(), "listpack");
    zset.insert(b"one more", 2.0, &limits());
    assert_eq!((zset.encoding(), zset.len()), ("skiplist", 129));
    for n in 0..128 {
        assert!(zset.remove(format!("{n}").as_bytes()).is_some());
    }
    assert_eq!((zset.encoding(), zset.len()), ("skiplist", 1));
    let mut zset = ZSet::new();
    zset.insert(&[b'm'; 64], 1.0, &limits());
    assert_eq!(zset.encoding(), "listpack");
    zset.insert(&[b'n'; 65], 1.0, &limits());
    assert_eq!((zset.encoding(), zset.len()), ("skiplist", 2));
}

#[test]
fn listpack_scores_come_back_exactly() {
    let limit = 2f64.powi(47);
    let scores = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        63.0,
        64.0,
        0.1,
        -0.1,
        limit,
        -limit,
        limit - 1.0,
        1e300,
    ];
    let more = [
        1.0 - limit,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    for score in scores.into_iter().chain(more) {
        let mut zset = ZSet::new();
        zset.insert(b"m", score, &limits());
        assert_eq!(zset.score(b"m").map(f64::to_bits), Some(score.to_bits()));
    }
}

#[test]
fn a_scan_meets_all_that_stays() {
    let mut zset = ZSet::new();
    for n in 0..3000 {
        zset.insert(format!("stay:{n}").as_bytes(), f64::from(n), &limits());
    }
    let (mut met, mut cursor, mut step) = (HashSet::new(), 0, 0);
    loop {
        cursor = zset.scan(cursor, 10, |member, score| {
            if let Some(n) = member.strip_prefix(b"stay:") {
                assert_eq!(String::from_utf8_lossy(n), format!("{score}"));
                met.insert(member.to_vec());
            }
        });
        if cursor == 0 {
            break;
        }
        for n in 0..50 {
            zset.insert(format!("{step}:{n}").as_bytes(), 0.0, &limits());
            zset.remove(format!("{}:{n}", step - 3).as_bytes());
        }
        step += 1;
    }
    assert_eq!(met.len(), 3000);
}

#[test]
fn chance_is_fair() {
    for n in [50, 500] {
        let mut rng = StdRng::seed_from_u64(4);
        let mut zset = ZSet::new();
        assert!(zset.random(&mut rng).is_none());
        for i in 0..n {
            zset.insert(format!("{i}").as_bytes(), 0.0, &limits());
        }
        let mut times = BTreeMap::new();
        for _ in 0..n * 200 {
            let (member, _) = zset.random(&mut rng).expect("it is not empty");
            *times.entry(member.to_vec()).or_insert(0) += 1;
        }
        assert_eq!(times.len(), n);
        assert!(times.values().all(|t| (120..=290).contains(t)), "{times:?}");
    }
}

#[test]
fn memory_is_less_than_in_redis() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut zset = ZSet::new();
    for n in 0..100_000 {
        zset.insert(format!("member:{n:09}").as_bytes(), rng.random(), &limits());
    }
    // Redis takes 103 bytes for such a member.
    let each = zset.heap_bytes() / 100_000;
    assert!(each <= 70, "{each}");
}
