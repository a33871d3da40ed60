//! The stream commands: against what Redis 7.2.6 replied and told subscribers (recorded with
//! `notify-keyspace-events KEAm`, time standing still), and case by case.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::command::testing::Shell;

#[test]
fn replies_and_events_are_those_of_redis() {
    let compared = Shell::compare(include_str!("replies.txt"));
    assert!(compared > 400, "{compared}");
}

#[test]
fn ids_are_made_by_the_service_time_and_never_go_back() {
    let mut s = Shell::new();
    s.now = 5000;
    assert_eq!(s.run("xadd s * a b"), "\"5000-0\"");
    assert_eq!(s.run("xadd s * a b"), "\"5000-1\"");
    s.now = 4000;
    assert_eq!(s.run("xadd s * a b"), "\"5000-2\"");
    assert_eq!(s.run("xadd s 5000-* a b"), "\"5000-3\"");
    assert_eq!(s.run("xadd s 5000-18446744073709551615 a b").len(), 27);
    assert_eq!(s.run("xadd s * a b"), "\"5001-0\"");
    s.now = 6000;
    assert_eq!(s.run("xadd s * a b"), "\"6000-0\"");
}

#[test]
fn approximate_trimming_takes_whole_chunks_and_no_more_than_its_limit() {
    let mut s = Shell::new();
    s.ks.limits.stream_node_max_entries = 10;
    let fill = |s: &mut Shell| {
        s.run("del s");
        for id in 1..=95 {
            s.run(&format!("xadd s {id} a b"));
        }
    };
    for (trim, gone) in [
        ("maxlen ~ 85", 10),
        ("maxlen ~ 86", 0),
        ("maxlen ~ 0", 95),
        ("maxlen ~ 0 limit 30", 30),
        ("maxlen ~ 0 limit 29", 20),
        ("maxlen ~ 0 limit 0", 95),
        ("maxlen 86", 9),
        ("minid ~ 51", 50),
        ("minid ~ 50", 40),
        ("minid 50", 49),
    ] {
        fill(&mut s);
        assert_eq!(
            s.run(&format!("xtrim s {trim}")),
            gone.to_string(),
            "{trim}"
        );
        assert_eq!(s.run("xlen s"), (95 - gone).to_string(), "{trim}");
        fill(&mut s);
        s.run(&format!("xadd s {trim} 100 a b"));
        let more = u32::from(trim == "maxlen 86");
        let left = match trim {
            "maxlen ~ 0" | "maxlen ~ 0 limit 0" => 0,
            "maxlen ~ 86" => 86,
            _ => 96 - gone - more,
        };
        assert_eq!(s.run("xlen s"), left.to_string(), "xadd s {trim}");
    }
    // Where no limit is given, a hundred chunks are taken off at once.
    s.ks.limits.stream_node_max_entries = 1;
    s.run("del s");
    for id in 1..=150 {
        s.run(&format!("xadd s {id} a b"));
    }
    assert_eq!(s.run("xtrim s maxlen ~ 0"), "100");
    assert_eq!(s.run("xtrim s maxlen 0"), "50");
}

#[test]
fn how_long_entries_are_pending_and_consumers_idle() {
    let mut s = Shell::new();
    for line in ["xadd s 1 a b", "xadd s 2 a b", "xgroup create s g 0"] {
        s.run(line);
    }
    let start = s.now;
    s.run("xreadgroup group g c count 1 streams s >");
    s.now += 100;
    s.run("xreadgroup group g c streams s >");
    s.now += 20;
    s.run("xreadgroup group g d streams s >");
    s.now += 5;
    let mut check = |pairs: &[(&str, &str)]| {
        for (line, reply) in pairs {
            assert_eq!(s.run(line), *reply, "{line}");
        }
    };
    check(&[
        (
            "xpending s g - + 9",
            "[[\"1-0\", \"c\", 125, 1], [\"2-0\", \"c\", 25, 1]]",
        ),
        ("xpending s g idle 26 - + 9", "[[\"1-0\", \"c\", 125, 1]]"),
        ("xpending s g idle 126 - + 9 c", "[]"),
        (
            "xinfo consumers s g",
            "[[\"name\", \"c\", \"pending\", 2, \"idle\", 25, \"inactive\", 25], [\"name\", \"d\", \"pending\", 0, \"idle\", 5, \"inactive\", -1]]",
        ),
        ("xautoclaim s g d 126 0", "[\"0-0\", [], []]"),
        ("xautoclaim s g d 125 0 justid", "[\"0-0\", [\"1-0\"], []]"),
        ("xclaim s g d 26 2 justid", "[]"),
        ("xclaim s g d 25 2 idle 7 justid", "[\"2-0\"]"),
        ("xclaim s g d 25 2 justid", "[]"),
        (
            "xpending s g - + 9",
            "[[\"1-0\", \"d\", 0, 1], [\"2-0\", \"d\", 7, 1]]",
        ),
        (
            "xinfo consumers s g",
            "[[\"name\", \"c\", \"pending\", 0, \"idle\", 25, \"inactive\", 25], [\"name\", \"d\", \"pending\", 2, \"idle\", 0, \"inactive\", 0]]",
        ),
        // A time that is yet to come is taken for now.
        ("xclaim s g c 0 1 time 99999999999999 justid", "[\"1-0\"]"),
        ("xclaim s g c 0 2 time 1000000000001 justid", "[\"2-0\"]"),
        (
            "xpending s g - + 9",
            "[[\"1-0\", \"c\", 0, 1], [\"2-0\", \"c\", 124, 1]]",
        ),
    ]);
    assert_eq!(s.now, start + 125);
}

#[test]
fn what_changes_nothing_writes_nothing() {
    let mut s = Shell::new();
    for (line, mutations) in [
        ("xadd s 1 a b", 1),
        ("xadd s 2 a b", 1),
        ("xadd s nomkstream maxlen 2 3 a b", 2),
        ("xgroup create s g 0", 1),
        ("xgroup create t g 0 mkstream", 2),
        ("xreadgroup group g c count 1 streams s >", 3),
        ("xreadgroup group g c streams s >", 2),
        ("xreadgroup group g c streams s >", 0),
        ("xreadgroup group g c streams s 9", 0),
        ("xreadgroup group g c count 1 streams s 0", 1),
        ("xack s g 9", 0),
        ("xack s g 2 2", 1),
        ("xclaim s g c 0 9", 0),
        ("xdel s 9", 0),
        ("xdel s 2 3 2", 3),
        ("xtrim s maxlen 5", 0),
        ("xautoclaim s g c 0 0", 1),
        ("xgroup destroy s h", 0),
        ("xgroup delconsumer s g x", 0),
        ("xgroup createconsumer s g c", 0),
        ("xinfo stream s full", 0),
    ] {
        s.run(line);
        assert_eq!(s.mutations, mutations, "{line}");
    }
}

#[test]
fn what_a_group_knows_is_no_change_to_those_who_watch() {
    let mut s = Shell::new();
    for (line, changes) in [
        ("xgroup create s g $ mkstream", true),
        ("xadd s 1 a b", true),
        ("xgroup create s h 0", false),
        ("xreadgroup group h c streams s >", false),
        ("xclaim s h d 0 1", false),
        ("xack s h 1", false),
        ("xgroup setid s h 0", false),
        ("xgroup createconsumer s h x", false),
        ("xgroup delconsumer s h x", false),
        ("xgroup destroy s h", false),
        ("xsetid s 5", false),
        ("xtrim s maxlen 5", false),
        ("xadd s 6 a b", true),
        ("xdel s 6", true),
        ("xtrim s maxlen 0", true),
        ("del s", true),
    ] {
        let changed = s.watched(b"s", |s| drop(s.run(line)));
        assert_eq!(changed, changes, "{line}");
    }
}

#[test]
fn reading_waits_for_what_is_not_there() {
    let mut s = Shell::new();
    for (line, reply) in [
        ("xread block 0 streams s t $ 0", "waits 0 ms"),
        ("xread block 15 count 2 streams s 0", "waits 15 ms"),
        ("xread streams s 0", "nil*"),
        ("xgroup create s g $ mkstream", "OK"),
        ("xread block 0 streams s $", "waits 0 ms"),
        ("xreadgroup group g c block 0 streams s >", "waits 0 ms"),
        ("xreadgroup group g c block 0 streams s 0", "[[\"s\", []]]"),
        ("xreadgroup group g c streams s >", "nil*"),
    ] {
        assert_eq!(s.run(line), reply, "{line}");
    }
    assert!(s.run("xgroup help").starts_with("[XGROUP <subcommand>"));
    assert!(s.run("xinfo help").starts_with("[XINFO <subcommand>"));
}

/// Random commands over few ids, groups and consumers: the shell undoes each, applies it anew and at a
/// follower, and holds digests and bytes against each other.
#[test]
fn random_commands_can_be_undone_and_followed() {
    for seed in 0..20 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut s = Shell::new();
        s.ks.limits.stream_node_max_entries = 3;
        for _ in 0..300 {
            s.now += rng.random_range(0..3);
            let line = random(&mut rng);
            let reply = s.run(&line);
            assert!(!reply.contains("internal error"), "{line}: {reply}");
        }
    }
}

fn random(rng: &mut SmallRng) -> String {
    let key = ["s", "t"][rng.random_range(0..2)];
    let group = ["g", "h"][rng.random_range(0..2)];
    let consumer = ["c", "d", "e"][rng.random_range(0..3)];
    let (id, other) = (rng.random_range(0..30), rng.random_range(0..30));
    let n = rng.random_range(0..6);
    match rng.random_range(0..22) {
        0..=4 => format!("xadd {key} {} f v{n}", ["*", "*", "99-*", "7-*"][n % 4]),
        5 => format!("xadd {key} maxlen ~ {n} * a b c {id}"),
        6 => format!("xadd {key} minid {id} 1000000000000-{id} a b"),
        7 => format!("xdel {key} {id} 99-{n} 99-{other}"),
        8 => format!("xtrim {key} maxlen {id}"),
        9 => format!("xtrim {key} minid ~ 99-{n}"),
        10 => format!("xsetid {key} 1000000000000-{id} entriesadded {other} maxdeletedid 99-{n}"),
        11 => format!(
            "xgroup create {key} {group} {} mkstream",
            ["0", "$", "99"][n % 3]
        ),
        12 => format!("xgroup setid {key} {group} 99-{n} entriesread {other}"),
        13 => format!("xgroup {} {key} {group}", ["destroy", "foo", "foo"][n % 3]),
        14 => format!("xgroup delconsumer {key} {group} {consumer}"),
        15 => format!("xreadgroup group {group} {consumer} count {n} streams {key} >"),
        16 => format!("xreadgroup group {group} {consumer} noack count 1 streams {key} {key} > 0"),
        17 => format!("xreadgroup group {group} {consumer} streams {key} 99-{n}"),
        18 => format!("xclaim {key} {group} {consumer} {n} 99-{n} 99-{other} force lastid 99-{id}"),
        19 => format!("xautoclaim {key} {group} {consumer} {n} 0 count 2"),
        20 => format!("xack {key} {group} 99-{n} 99-{other} 99-{id}"),
        _ => ["copy s t replace", "rename t s", "del s", "swapdb 0 1"][n % 4].into(),
    }
}
