//! The linearizability checker of the chaos tests, proven on histories whose answer is known: hand-made ones, ones
//! that a real sequential object produced, and the same with one reply made wrong. PONTOON_SEED repeats a run.

#[path = "chaos/model.rs"]
mod model;
#[path = "chaos/order.rs"]
mod order;
#[path = "chaos/wgl.rs"]
mod wgl;

use std::time::{Duration, Instant};

use model::{NEVER, Op, Operation, Reply, Value, step};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use wgl::{Verdict, check};

fn value(text: &str) -> Value {
    (!text.is_empty()).then(|| text.as_bytes().to_vec())
}

fn operation(client: usize, call: u64, end: u64, op: Op, reply: Option<Reply>) -> Operation {
    Operation {
        client,
        op,
        reply,
        call,
        end,
    }
}

/// `1-2`, or `1-?` where the end is not known.
fn span(text: &str) -> (u64, u64) {
    let (call, end) = text.split_once('-').unwrap();
    let end = match end {
        "?" => NEVER,
        end => end.parse().unwrap(),
    };
    (call.parse().unwrap(), end)
}

fn timed<T>(time: &str, what: T) -> order::Timed<T> {
    let (call, end) = span(time);
    order::Timed { what, call, end }
}

/// `get 1-2 x` read x, `get 1-2 -` read nothing, `set 1-2 x`, `set 1-? x` of unknown outcome, `add 1-2 5` was told 5,
/// `append 1-2 x:3` was told 3, `swap 1-2 x>y` exchanged x for y.
fn history(text: &str) -> Vec<Operation> {
    let parse = |(client, line): (usize, &str)| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (call, end) = span(words[1]);
        let known = end != NEVER;
        let arg = if words[2] == "-" { "" } else { words[2] };
        let bytes = |text: &str| text.as_bytes().to_vec();
        let (op, reply) = match words[0] {
            "get" => (Op::Get, Reply::Read(value(arg))),
            "set" => (Op::Set(bytes(arg)), Reply::Done),
            "add" => (Op::Add(1), Reply::Number(arg.parse().unwrap_or(0))),
            "append" => {
                let (tail, len) = arg.split_once(':').unwrap();
                (Op::Append(bytes(tail)), Reply::Number(len.parse().unwrap()))
            }
            "swap" => {
                let (from, to) = arg.split_once('>').unwrap();
                let (from, to) = (value(from), bytes(to));
                (Op::Exchange { from, to }, Reply::Done)
            }
            other => panic!("{other}"),
        };
        operation(client, call, end, op, known.then_some(reply))
    };
    text.split(',')
        .map(str::trim)
        .enumerate()
        .map(parse)
        .collect()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[track_caller]
fn accepted(text: &str) {
    let verdict = check(&history(text), soon());
    assert!(
        matches!(verdict, Verdict::Linearizable),
        "{text}: {verdict:?}"
    );
}

#[track_caller]
fn refused(text: &str) {
    let verdict = check(&history(text), soon());
    assert!(
        matches!(verdict, Verdict::Violation(_)),
        "{text}: {verdict:?}"
    );
}

#[test]
fn known_linearizable_histories() {
    accepted("get 1-2 -");
    accepted("set 1-2 x, get 3-4 x");
    // Overlapping: either order.
    accepted("set 1-5 x, get 2-3 -, get 4-6 x");
    accepted("set 1-9 x, set 2-8 y, get 10-11 x, get 12-13 x");
    accepted("set 1-9 x, set 2-8 y, get 3-4 x, get 5-6 y");
    // A touch of two at one time is an overlap.
    accepted("set 1-3 x, get 3-4 -");
    accepted("add 1-9 2, add 2-8 1, get 10-11 2");
    accepted("append 1-2 ab:2, append 3-9 c:4, append 4-8 d:3, get 10-11 abdc");
    accepted("swap 1-2 >x, swap 3-4 x>y, get 5-6 y");
}

#[test]
fn known_violations() {
    // A stale read.
    refused("set 1-2 x, get 3-4 -");
    refused("set 1-2 x, set 3-4 y, get 5-6 x");
    // Seen, then not.
    refused("set 1-9 x, get 2-3 x, get 4-5 -");
    // Two readers that saw two orders.
    refused("set 1-9 x, set 1-9 y, get 10-11 x, get 12-13 y");
    // A lost increment, and one that counted twice.
    refused("add 1-2 1, add 3-4 1");
    refused("add 1-2 1, add 3-4 3");
    // A lost append.
    refused("append 1-2 ab:2, append 3-4 c:1");
    // Two exchanges of the same value.
    refused("set 1-2 a, swap 3-9 a>x, swap 4-8 a>y");
    // A value that nobody wrote.
    refused("set 1-2 x, get 3-4 z");
}

#[test]
fn unknown_outcomes_take_effect_late_or_never() {
    accepted("set 1-? x, get 2-3 -, get 4-5 -");
    accepted("set 1-? x, get 2-3 -, get 4-5 x");
    accepted("set 1-? x, set 2-3 y, get 4-5 y, get 6-7 x");
    accepted("add 1-? 0, add 2-3 2, get 4-5 2");
    accepted("add 1-? 0, add 2-3 1, get 4-5 2");
    accepted("swap 1-? a>b, set 2-3 a, get 4-5 a, get 6-7 b");
    // Once, and not before it was asked.
    refused("set 1-? x, get 2-3 x, get 4-5 -");
    refused("get 1-2 x, set 3-? x");
    refused("add 1-? 0, add 2-3 1, get 4-5 2, add 6-7 4");
    refused("set 1-? x, get 2-3 x, set 4-5 y, get 6-7 x");
    // An exchange takes effect only where the key held what it replaces.
    refused("swap 1-? a>b, set 2-3 c, get 4-5 b");
    // A read of unknown outcome says nothing.
    let mut ops = history("set 1-2 x, get 3-4 x");
    ops.push(operation(9, 0, NEVER, Op::Get, None));
    assert!(matches!(check(&ops, soon()), Verdict::Linearizable));
}

#[test]
fn a_violation_says_what_could_not_follow() {
    let Verdict::Violation(v) = check(&history("set 1-2 x, get 3-4 x, get 5-6 -"), soon()) else {
        panic!("a stale read was accepted");
    };
    // The key cannot take on x while nothing is yet to be read.
    let blocked: Vec<String> = v.blocked.iter().map(Operation::to_string).collect();
    assert_eq!((v.explained, v.held, blocked.len()), (0, None, 2));
    assert!(blocked[0].contains("set x"), "{blocked:?}");
    assert!(blocked[1].contains("get: nothing"), "{blocked:?}");
}

/// Runs clients against a real object, each operation at one moment between its call and its end; some outcomes are hidden, and
/// of those some did not take effect.
fn generated(rng: &mut StdRng, count: usize, clients: usize) -> Vec<Operation> {
    generated_to(rng, count, clients).0
}

/// The same, with the value at the end. Always: a client has one operation open, so at most `clients` of known outcome overlap.
fn generated_to(rng: &mut StdRng, count: usize, clients: usize) -> (Vec<Operation>, Value) {
    let mut now = 1u64;
    let mut state: Value = None;
    // Per client: when it called, what, and the reply once the moment came.
    let mut open: Vec<Option<(u64, Op, Option<Reply>)>> = vec![None; clients];
    let mut unknown = 0;
    let mut ops: Vec<Operation> = Vec::new();
    let kind = rng.random_range(0..4);
    while ops.len() < count {
        now += rng.random_range(1..4);
        let client = rng.random_range(0..clients);
        match open[client].take() {
            None => {
                let fresh = format!("v{now}").into_bytes();
                let op = match rng.random_range(0..10) {
                    0..4 => Op::Get,
                    _ if kind == 0 => Op::Add(rng.random_range(-1_000_000..1_000_000)),
                    _ if kind == 1 => Op::Append(fresh),
                    // A list's element ends in a space.
                    _ if kind == 2 => Op::Push([&fresh[..], b" "].concat()),
                    4..7 => Op::Set(fresh),
                    _ => Op::Exchange {
                        from: state.clone(),
                        to: fresh,
                    },
                };
                open[client] = Some((now, op, None));
            }
            Some((call, op, None)) => {
                let lost = unknown < 10 && op != Op::Get && rng.random_bool(0.03);
                if lost && rng.random_bool(0.5) {
                    unknown += 1;
                    ops.push(operation(client, call, NEVER, op, None));
                    continue;
                }
                // An exchange whose value is gone was refused by its WATCH.
                let Some(after) = step(&state, &op, None) else {
                    continue;
                };
                let reply = match &op {
                    Op::Get => Reply::Read(state.clone()),
                    Op::Set(_) | Op::Exchange { .. } => Reply::Done,
                    Op::Add(_) => Reply::Number(
                        String::from_utf8_lossy(after.as_deref().unwrap_or_default())
                            .parse()
                            .unwrap(),
                    ),
                    Op::Append(_) => Reply::Number(after.as_ref().map_or(0, Vec::len) as i64),
                    Op::Push(_) => {
                        let value = after.as_deref().unwrap_or_default();
                        let count = value.iter().filter(|b| **b == b' ').count();
                        Reply::Number(count as i64)
                    }
                };
                state = after;
                if lost {
                    unknown += 1;
                    ops.push(operation(client, call, NEVER, op, None));
                } else {
                    open[client] = Some((call, op, Some(reply)));
                }
            }
            Some((call, op, reply)) => ops.push(operation(client, call, now, op, reply)),
        }
    }
    // What took effect and was not answered yet is answered now.
    for (client, o) in open.into_iter().enumerate() {
        if let Some((call, op, reply @ Some(_))) = o {
            ops.push(operation(client, call, now + 1, op, reply));
        }
    }
    ops.shuffle(rng);
    (ops, state)
}

/// The same in each run: the search is exponential at worst, and one history in thousands takes longer than a test may.
/// `PONTOON_SEED=random` draws others.
fn seed() -> u64 {
    let seed = match std::env::var("PONTOON_SEED").as_deref() {
        Err(_) => 1,
        Ok("random") => rand::random(),
        Ok(given) => given.parse().expect("PONTOON_SEED is a number or `random`"),
    };
    println!("PONTOON_SEED={seed}");
    seed
}

#[test]
fn histories_of_a_real_object_are_accepted() {
    let mut rng = StdRng::seed_from_u64(seed());
    for round in 0..200 {
        let count = rng.random_range(2..500);
        let ops = generated(&mut rng, count, 8);
        let verdict = check(&ops, soon());
        assert!(
            matches!(verdict, Verdict::Linearizable),
            "round {round}: {verdict:?}"
        );
    }
}

#[test]
fn the_same_with_one_wrong_reply_are_refused() {
    let mut rng = StdRng::seed_from_u64(seed());
    for round in 0..200 {
        let count = rng.random_range(20..500);
        let mut ops = generated(&mut rng, count, 8);
        let reads: Vec<usize> = (0..ops.len())
            .filter(|&i| matches!(ops[i].reply, Some(Reply::Read(_) | Reply::Number(_))))
            .collect();
        let Some(&i) = reads.get(rng.random_range(0..reads.len().max(1))) else {
            continue;
        };
        // Impossible wherever it stands: a value that nobody wrote, a number that no sum reaches.
        ops[i].reply = match &ops[i].reply {
            Some(Reply::Number(_)) => Some(Reply::Number(1 << 40)),
            _ => Some(Reply::Read(value("never written"))),
        };
        let verdict = check(&ops, soon());
        assert!(
            matches!(verdict, Verdict::Violation(_)),
            "round {round}: {verdict:?}"
        );
    }
}

/// A read moved behind a write that ended before it began must be refused: the stale read that chaos looks for.
#[test]
fn stale_reads_in_long_histories_are_refused() {
    let mut rng = StdRng::seed_from_u64(seed());
    for round in 0..50 {
        let (mut ops, held) = generated_to(&mut rng, 450, 8);
        let last = ops.iter().map(|o| o.call).max().unwrap();
        let known_last = ops
            .iter()
            .filter(|o| o.end != NEVER)
            .map(|o| o.end)
            .max()
            .unwrap();
        let t = last.max(known_last);
        let at = |i: u64, op, reply| operation(8, t + 2 * i, t + 2 * i + 1, op, Some(reply));
        // In the key's own manner: the last change is not in what is read after it.
        let after = |held: &Value, op: &Op| step(held, op, None).unwrap();
        let [(first, told), (second, told_next)] = if ops.iter().any(|o| matches!(o.op, Op::Add(_)))
        {
            let number =
                |v: Value| Reply::Number(String::from_utf8(v.unwrap()).unwrap().parse().unwrap());
            let told = number(after(&held, &Op::Add(1)));
            let told_next = number(after(&held, &Op::Add(3)));
            [(Op::Add(1), told), (Op::Add(2), told_next)]
        } else if ops.iter().any(|o| matches!(o.op, Op::Append(_))) {
            let len = held.as_ref().map_or(0, Vec::len) as i64;
            [
                (Op::Append(b"old".into()), Reply::Number(len + 3)),
                (Op::Append(b"new".into()), Reply::Number(len + 6)),
            ]
        } else if ops.iter().any(|o| matches!(o.op, Op::Push(_))) {
            let value = held.as_deref().unwrap_or_default();
            let count = value.iter().filter(|b| **b == b' ').count() as i64;
            [
                (Op::Push(b"old ".into()), Reply::Number(count + 1)),
                (Op::Push(b"new ".into()), Reply::Number(count + 2)),
            ]
        } else {
            [
                (Op::Set(b"old".into()), Reply::Done),
                (Op::Set(b"new".into()), Reply::Done),
            ]
        };
        let stale = after(&held, &first);
        ops.push(at(1, first, told));
        ops.push(at(2, second, told_next));
        ops.push(at(3, Op::Get, Reply::Read(stale)));
        let verdict = check(&ops, soon());
        assert!(
            matches!(verdict, Verdict::Violation(_)),
            "round {round}: {verdict:?}"
        );
    }
}

#[test]
fn the_largest_histories_are_decided_in_time() {
    let mut rng = StdRng::seed_from_u64(seed());
    let mut worst = Duration::ZERO;
    for _ in 0..30 {
        let ops = generated(&mut rng, 500, 8);
        let begin = Instant::now();
        let verdict = check(&ops, begin + Duration::from_secs(10));
        assert!(matches!(verdict, Verdict::Linearizable), "{verdict:?}");
        worst = worst.max(begin.elapsed());
    }
    println!(
        "500 operations of 8 clients, 10 unknown: {} ms at worst",
        worst.as_millis()
    );
}

#[test]
fn a_deadline_is_kept_and_said() {
    // Unknown increments at once: 2^n states, none of which explains the read.
    let mut ops: Vec<Operation> = (0..60)
        .map(|i| operation(i, 1, NEVER, Op::Add(1 << i), None))
        .collect();
    ops.push(operation(60, 2, 3, Op::Get, Some(Reply::Read(value("-1")))));
    let begin = Instant::now();
    let verdict = check(&ops, begin + Duration::from_millis(200));
    assert!(matches!(verdict, Verdict::Undecided), "{verdict:?}");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

/// `push 1-2 a`, `push 1-? a` of unknown outcome, `pop 3-4 a`, `pop 3-? -`, `left a`.
fn queue(text: &str) -> Vec<String> {
    let mut queue = order::Queue::default();
    for line in text.split(", ") {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0] == "left" {
            queue.left.push(words[1].into());
            continue;
        }
        let timed = timed(words[1], words[2].to_string());
        match (words[0], timed.end) {
            ("push", _) => queue.pushed.push(timed),
            (_, NEVER) => queue.unknown_pops += 1,
            _ => queue.popped.push(timed),
        }
    }
    order::queue(&queue)
}

#[test]
fn a_queue_gives_each_element_once_and_in_order() {
    for right in [
        "push 1-2 a, push 3-4 b, pop 5-6 a, pop 7-8 b",
        "push 1-4 a, push 3-4 b, pop 5-6 b, left a",
        "push 1-2 a, pop 3-? -",
        "push 1-? a, pop 3-4 a",
        "push 1-? a",
        "push 1-2 a, push 3-4 b, pop 5-8 b, pop 6-7 a",
        "push 1-? a, push 3-4 b, pop 5-6 b, left a",
    ] {
        assert_eq!(queue(right), Vec::<String>::new(), "{right}");
    }
    for (wrong, what) in [
        ("push 1-2 a, pop 3-4 a, pop 5-6 a", "twice"),
        ("push 1-2 a, pop 3-4 a, left a", "was popped"),
        ("push 1-2 a, pop 3-4 b, left a", "never pushed"),
        ("push 1-2 a, push 3-4 b, pop 5-6 b", "are gone"),
        (
            "push 1-2 a, push 3-4 b, push 5-6 c, pop 7-? -, left c",
            "are gone",
        ),
        (
            "push 1-2 a, push 3-4 b, pop 5-6 b, pop 7-8 a",
            "popped after it",
        ),
        (
            "push 1-2 a, push 3-4 b, pop 5-6 b, left a",
            "popped after it",
        ),
        (
            "push 1-2 a, push 3-? b, pop 5-6 b, left a",
            "popped after it",
        ),
    ] {
        assert!(
            queue(wrong).concat().contains(what),
            "{wrong}: {:?}",
            queue(wrong)
        );
    }
}

/// `add 1-2 a 7` was told the id 0-7, `add 1-? a` of unknown outcome; `held a 7`.
fn stream(text: &str) -> Vec<String> {
    let mut stream = order::Stream::default();
    for line in text.split(", ") {
        let words: Vec<&str> = line.split_whitespace().collect();
        let id = |i: usize| Some((0, words.get(i)?.parse().unwrap()));
        if words[0] == "held" {
            stream.held.push((id(2).unwrap(), words[1].into()));
            continue;
        }
        let added = timed(words[1], (words[2].to_string(), id(3)));
        stream.added.push(added);
    }
    order::stream(&stream)
}

#[test]
fn a_stream_has_each_entry_once_and_in_order() {
    for right in [
        "add 1-2 a 1, add 3-4 b 2, held a 1, held b 2",
        "add 1-4 a 2, add 2-3 b 1, held b 1, held a 2",
        "add 1-? a, add 5-6 b 1, held b 1",
        "add 1-? a, add 5-6 b 1, held b 1, held a 2",
    ] {
        assert_eq!(stream(right), Vec::<String>::new(), "{right}");
    }
    for (wrong, what) in [
        ("add 1-2 a 1, held b 2", "not in the stream"),
        ("add 1-2 a 1, held a 1, held b 2", "never added"),
        ("add 1-2 a 1, held a 2", "was added as"),
        ("add 1-? a, held a 1, held a 2", "twice"),
        (
            "add 1-2 a 2, add 3-4 b 1, held b 1, held a 2",
            "comes after it",
        ),
        (
            "add 1-2 a 2, add 3-? b, held b 1, held a 2",
            "comes after it",
        ),
        (
            "add 1-5 a 1, add 1-5 b 2, held b 2, held a 1",
            "is followed by",
        ),
    ] {
        assert!(
            stream(wrong).concat().contains(what),
            "{wrong}: {:?}",
            stream(wrong)
        );
    }
}

#[test]
fn a_standby_may_lack_what_is_young() {
    let look = |found, call, set_end| {
        let look = order::Look {
            found,
            call,
            set_end,
        };
        order::look(&look, 10).is_none()
    };
    assert!(look(true, 100, 50) && look(false, 100, 95) && look(false, 100, NEVER));
    assert!(!look(false, 100, 89));
}
