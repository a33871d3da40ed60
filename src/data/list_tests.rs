//! `List` against a vector of positions and elements.

use std::collections::{BTreeMap, VecDeque};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

fn limits() -> Limits {
    Limits::default()
}

impl List {
    /// Whether everything that is kept beside the elements agrees with them.
    fn check(&self) {
        let mut position = self.first;
        for chunk in &self.chunks {
            assert_eq!(chunk.first, position);
            assert!(chunk.len() > 0);
            assert!(
                chunk.end() <= CHUNK_MAX || chunk.len() == 1,
                "{}",
                chunk.end()
            );
            let (mut at, mut count) = (chunk.start(), 0);
            while at < chunk.end() {
                let (_, next) = chunk.get(at);
                assert_eq!(chunk.previous(next), at);
                (at, count) = (next, count + 1);
            }
            assert_eq!(count, chunk.len());
            position += count as i64;
        }
        assert_eq!(position, self.first + self.len as i64);
        assert_eq!(
            self.bytes,
            self.chunks.iter().map(Chunk::heap_bytes).sum::<usize>()
        );
        assert_eq!(
            self.listpack_bytes,
            self.iter().map(listpack_size).sum::<usize>()
        );
    }
}

fn same(list: &List, model: &VecDeque<Vec<u8>>, rng: &mut StdRng) {
    list.check();
    assert!(list.iter().eq(model.iter().map(|v| &v[..])));
    if !model.is_empty() {
        let i = rng.random_range(0..model.len());
        assert!(list.iter_from(i).eq(model.iter().skip(i).map(|v| &v[..])));
        let down = model.iter().take(i + 1).rev().map(|v| &v[..]);
        assert!(list.iter_back_from(i).eq(down));
        assert_eq!(list.get(i), Some(&model[i][..]));
    }
    assert_eq!(list.get(model.len()), None);
    assert_eq!(list.iter_from(model.len()).count(), 0);
    assert_eq!(list.iter_back_from(model.len()).count(), 0);
}

#[test]
fn behaves_as_a_deque() {
    for (seed, longest) in [(1, 10), (2, 300), (3, 3000), (4, 20_000)] {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut list, mut model) = (List::new(), VecDeque::new());
        for step in 0..6000u32 {
            let len = if rng.random_bool(0.1) {
                rng.random_range(0..longest)
            } else {
                5
            };
            let value: Vec<u8> = (0..len).map(|i| (step + i) as u8).collect();
            let grow = step / 1500 % 2 == 0;
            let i = rng.random_range(0..=model.len());
            match rng.random_range(if grow { 0..10 } else { 6..16 }) {
                0..2 => {
                    let first = list.first_pos();
                    list.push_front(&value, &limits());
                    assert_eq!(list.first_pos(), first - 1);
                    model.push_front(value);
                }
                2..4 => {
                    let first = list.first_pos();
                    list.push_back(&value, &limits());
                    assert_eq!(list.first_pos(), first);
                    model.push_back(value);
                }
                4..8 => {
                    let (first, front) = (list.first_pos(), i < model.len() / 2);
                    let shift = list.insert(i, &value, &limits());
                    assert_eq!(shift, if front { Shift::Front } else { Shift::Back });
                    assert_eq!(list.first_pos(), first - i64::from(front));
                    model.insert(i, value);
                }
                8..10 => {
                    let old = list.set(i, &value, &limits());
                    match model.get_mut(i) {
                        Some(place) => {
                            assert_eq!(old.as_deref(), Some(&std::mem::replace(place, value)[..]));
                        }
                        None => assert_eq!(old, None),
                    }
                }
                10 => {
                    let first = list.first_pos();
                    let value = list.pop_front(&limits());
                    assert_eq!(list.first_pos(), first + i64::from(value.is_some()));
                    assert_eq!(value.map(Vec::from), model.pop_front());
                }
                11 => {
                    let first = list.first_pos();
                    assert_eq!(list.pop_back(&limits()).map(Vec::from), model.pop_back());
                    assert_eq!(list.first_pos(), first);
                }
                12 => {
                    let count = rng.random_range(0..10);
                    if rng.random() {
                        list.drop_front(count, &limits());
                        model.drain(..count.min(model.len()));
                    } else {
                        list.drop_back(count, &limits());
                        model.truncate(model.len().saturating_sub(count));
                    }
                }
                _ => {
                    let (first, front) = (list.first_pos(), i < model.len() / 2);
                    match list.remove(i, &limits()) {
                        Some((value, shift)) => {
                            assert_eq!(shift, if front { Shift::Front } else { Shift::Back });
                            assert_eq!(list.first_pos(), first + i64::from(front));
                            assert_eq!(Some(value.into()), model.remove(i));
                        }
                        None => assert_eq!(i, model.len()),
                    }
                }
            }
            assert_eq!(list.len(), model.len());
            if step % 100 == 0 {
                list = list.clone();
                same(&list, &model, &mut rng);
            }
        }
        same(&list, &model, &mut rng);
    }
}

#[test]
fn positions_move_only_on_the_side_that_is_told() {
    let mut rng = StdRng::seed_from_u64(9);
    let mut list = List::from_positions(-500, (0..3000).map(|n| n.to_string()), &limits());
    let mut rows: BTreeMap<i64, Vec<u8>> = (0..3000)
        .map(|n| (i64::from(n) - 500, n.to_string().into_bytes()))
        .collect();
    for step in 0..2000 {
        let i = rng.random_range(0..list.len());
        let position = list.first_pos() + i as i64;
        // What a store does that knows nothing but the mutation and the side.
        if rng.random() {
            let value = format!("new:{step}");
            match list.insert(i, value.as_bytes(), &limits()) {
                Shift::Front => {
                    let lower: Vec<_> = rows.range(..position).map(|(p, _)| *p).collect();
                    for p in lower {
                        let row = rows.remove(&p).expect("it was listed");
                        rows.insert(p - 1, row);
                    }
                    rows.insert(position - 1, value.into());
                }
                Shift::Back => {
                    let upper: Vec<_> = rows.range(position..).map(|(p, _)| *p).rev().collect();
                    for p in upper {
                        let row = rows.remove(&p).expect("it was listed");
                        rows.insert(p + 1, row);
                    }
                    rows.insert(position, value.into());
                }
            }
        } else {
            let (value, shift) = list.remove(i, &limits()).expect("it is within");
            assert_eq!(rows.remove(&position).as_deref(), Some(&value[..]));
            let by = if shift == Shift::Front { 1 } else { -1 };
            let moved: Vec<i64> = match shift {
                Shift::Front => rows.range(..position).map(|(p, _)| *p).rev().collect(),
                Shift::Back => rows.range(position..).map(|(p, _)| *p).collect(),
            };
            for p in moved {
                let row = rows.remove(&p).expect("it was listed");
                rows.insert(p + by, row);
            }
        }
        assert_eq!(rows.keys().next(), Some(&list.first_pos()));
    }
    assert!(list.iter().eq(rows.values().map(|v| &v[..])));
    let again = List::from_positions(list.first_pos(), list.iter(), &limits());
    assert!(again.iter().eq(list.iter()));
    again.check();
}

#[test]
fn encodings_follow_redis() {
    let mut list = List::new();
    // 7 bytes of frame and 2 + 100 + 1 an element: 79 elements are 8144 bytes.
    for _ in 0..79 {
        list.push_back(&[b'x'; 100], &limits());
    }
    assert_eq!(list.encoding(), "listpack");
    list.push_back(&[b'x'; 49], &limits());
    assert_eq!(list.encoding(), "quicklist");
    // Back at no more than half: 39 elements are 4024 bytes, 40 are 4127.
    list.drop_back(40, &limits());
    assert_eq!((list.encoding(), list.len()), ("quicklist", 40));
    list.pop_front(&limits());
    assert_eq!(list.encoding(), "listpack");
    list.set(3, &[b'y'; 10_000], &limits());
    assert_eq!(list.encoding(), "quicklist");
    list.check();
    list.remove(3, &limits());
    assert_eq!(list.encoding(), "listpack");

    let by_count = Limits {
        list_max_listpack_size: 4,
        ..limits()
    };
    let mut list = List::new();
    for n in 0..5u8 {
        assert_eq!(list.encoding(), "listpack", "{n}");
        list.push_front(&[n], &by_count);
    }
    assert_eq!(list.encoding(), "quicklist");
    list.drop_front(2, &by_count);
    assert_eq!(list.encoding(), "quicklist");
    list.pop_back(&by_count);
    assert_eq!(list.encoding(), "listpack");
}

#[test]
fn listpack_sizes_are_those_of_redis() {
    let cases: [(&[u8], usize); 14] = [
        (b"0", 2),
        (b"127", 2),
        (b"128", 3),
        (b"-1", 3),
        (b"-4096", 3),
        (b"4096", 4),
        (b"32767", 4),
        (b"32768", 5),
        (b"8388608", 6),
        (b"2147483648", 10),
        (b"", 2),
        (b"abc", 5),
        (&[b'a'; 64], 67),
        (&[b'a'; 5000], 5007),
    ];
    for (value, size) in cases {
        assert_eq!(listpack_size(value), size, "{}", value.escape_ascii());
    }
}

#[test]
fn memory_follows_the_elements() {
    let mut list = List::new();
    for n in 0..100_000 {
        list.push_front(format!("{n:020}").as_bytes(), &limits());
    }
    let each = list.heap_bytes() as f64 / 100_000.0;
    assert!(each < 23.0, "{each}");
    list.drop_back(99_990, &limits());
    list.check();
    assert!(list.heap_bytes() < 10_000, "{}", list.heap_bytes());
    while list.pop_front(&limits()).is_some() {}
    assert!(list.heap_bytes() < 2000, "{}", list.heap_bytes());
}

#[test]
fn a_short_list_is_small() {
    let mut list = List::new();
    list.push_back(b"one", &limits());
    list.push_back(b"two", &limits());
    assert!(list.heap_bytes() <= 64, "{}", list.heap_bytes());
}
