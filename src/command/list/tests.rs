//! Each list command against what Redis 7.2.6 replied to the same lines.

use expect_test::{Expect, expect};

use crate::command::settings::notify;
use crate::command::testing::Shell;
use crate::mutation::Mutation;

/// The shell's transcript of the lines that the expected transcript has after `> `.
fn check(shell: &mut Shell, expected: Expect) {
    let lines: Vec<String> = expected
        .data()
        .lines()
        .filter_map(|l| l.trim_start().strip_prefix("> ").map(str::to_owned))
        .collect();
    expected.assert_eq(&shell.transcript(&lines.join("\n")));
}

#[test]
fn ends_ranges_and_edits() {
    let mut shell = Shell::new();
    check(
        &mut shell,
        expect![[r#"
            > RPUSH l a b c
            3
            > LPUSH l z
            4
            > LPUSHX l y x
            6
            > RPUSHX l d
            7
            > LPUSHX none a
            0
            > RPUSHX none a
            0
            > LRANGE l 0 -1
            ["x", "y", "z", "a", "b", "c", "d"]
            > LRANGE l -3 100
            ["b", "c", "d"]
            > LRANGE l 5 2
            []
            > LRANGE l -100 1
            ["x", "y"]
            > LRANGE none 0 -1
            []
            > LRANGE l x 1
            -ERR value is not an integer or out of range
            > LINDEX l 0
            "x"
            > LINDEX l -1
            "d"
            > LINDEX l 99
            nil
            > LINDEX l -99
            nil
            > LINDEX none x
            nil
            > LINDEX l x
            -ERR value is not an integer or out of range
            > LLEN l
            7
            > LLEN none
            0
            > LSET l 0 X
            OK
            > LSET l -1 D
            OK
            > LSET l 99 q
            -ERR index out of range
            > LSET none 0 q
            -ERR no such key
            > LSET none x q
            -ERR no such key
            > LSET l x q
            -ERR value is not an integer or out of range
            > LINSERT l before a A
            8
            > LINSERT l AFTER a AA
            9
            > LINSERT l around a A
            -ERR syntax error
            > LINSERT none around a A
            -ERR syntax error
            > LINSERT none before a A
            0
            > LINSERT l before nope A
            -1
            > LRANGE l 0 -1
            ["X", "y", "z", "A", "a", "AA", "b", "c", "D"]
        "#]],
    );
}

#[test]
fn of_another_type() {
    let mut shell = Shell::new();
    shell.run("RPUSH l a b c");
    check(
        &mut shell,
        expect![[r#"
            > SET s v
            OK
            > LPUSH s a
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > RPUSHX s a
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > LLEN s
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > LINDEX s x
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > LRANGE s 0 1
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > LSET s 0 v
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > LINSERT s before a b
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > LPOP s
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > LPOP s 0
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > LPOS s a
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > LREM s 0 a
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > LTRIM s 0 1
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > LMOVE s l left right
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > LMOVE l s left right
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > LMPOP 1 s left
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > RPOPLPUSH l s
            -WRONGTYPE Operation against a key holding the wrong kind of value
            > RPOPLPUSH none s
            nil
            > LMOVE none s left left
            nil
            > LMOVE none s up left
            -ERR syntax error
            > LMOVE none s left up
            -ERR syntax error
        "#]],
    );
}

#[test]
fn places() {
    let mut shell = Shell::new();
    check(
        &mut shell,
        expect![[r#"
            > RPUSH p a b c a b c a
            7
            > LPOS p a
            0
            > LPOS p a RANK 2
            3
            > LPOS p a RANK -1
            6
            > LPOS p a RANK -3
            0
            > LPOS p a RANK 4
            nil
            > LPOS p a RANK 0
            -ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list
            > LPOS p a RANK -9223372036854775808
            -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
            > LPOS p a RANK x
            -ERR value is not an integer or out of range
            > LPOS p a COUNT 0
            [0, 3, 6]
            > LPOS p a COUNT 2
            [0, 3]
            > LPOS p a COUNT -1
            -ERR COUNT can't be negative
            > LPOS p a COUNT x
            -ERR COUNT can't be negative
            > LPOS p a RANK -1 COUNT 2
            [6, 3]
            > LPOS p a RANK 2 COUNT 0 MAXLEN 4
            [3]
            > LPOS p a COUNT 0 RANK -1 MAXLEN 4
            [6, 3]
            > LPOS p c MAXLEN 2
            nil
            > LPOS p c MAXLEN -1
            -ERR MAXLEN can't be negative
            > LPOS p q
            nil
            > LPOS p q COUNT 1
            []
            > LPOS none q
            nil
            > LPOS none q COUNT 1
            []
            > LPOS p a WHAT 1
            -ERR syntax error
            > LPOS p a COUNT
            -ERR syntax error
        "#]],
    );
}

#[test]
fn pops() {
    let mut shell = Shell::new();
    shell.run("RPUSH p a b c a b c a");
    check(
        &mut shell,
        expect![[r#"
            > LPOP p
            "a"
            > RPOP p
            "a"
            > LPOP p 2
            ["b", "c"]
            > RPOP p 2
            ["c", "b"]
            > LPOP p 0
            []
            > RPOP p 100
            ["a"]
            > LPOP p
            nil
            > LPOP p 1
            nil*
            > RPOP p 0
            nil*
            > LPOP p -1
            -ERR value is out of range, must be positive
            > LPOP p x
            -ERR value is out of range, must be positive
            > LPOP p 1 2
            -ERR wrong number of arguments for 'lpop' command
            > RPOP p 1 2
            -ERR wrong number of arguments for 'rpop' command
        "#]],
    );
}

#[test]
fn pops_of_several_keys() {
    let mut shell = Shell::new();
    check(
        &mut shell,
        expect![[r#"
            > RPUSH m 1 2 3 4 5
            5
            > LMPOP 2 none m LEFT COUNT 2
            ["m", ["1", "2"]]
            > LMPOP 2 none m RIGHT
            ["m", ["5"]]
            > LMPOP 1 m left count 10
            ["m", ["3", "4"]]
            > LMPOP 1 m left count 10
            nil*
            > LMPOP 0 m left
            -ERR numkeys should be greater than 0
            > LMPOP x m left
            -ERR numkeys should be greater than 0
            > LMPOP 2 m left
            -ERR syntax error
            > LMPOP 9223372036854775807 m left
            -ERR syntax error
            > LMPOP 1 m up
            -ERR syntax error
            > LMPOP 1 m left count 0
            -ERR count should be greater than 0
            > LMPOP 1 m left count x
            -ERR count should be greater than 0
            > LMPOP 1 m left count 1 count 2
            -ERR syntax error
            > LMPOP 1 m left count
            -ERR syntax error
            > LMPOP 1 m left what 1
            -ERR syntax error
        "#]],
    );
}

#[test]
fn moves() {
    let mut shell = Shell::new();
    check(
        &mut shell,
        expect![[r#"
            > RPUSH a 1 2 3
            3
            > LMOVE a b LEFT RIGHT
            "1"
            > LMOVE a b RIGHT LEFT
            "3"
            > LMOVE a b left left
            "2"
            > LMOVE a b left left
            nil
            > LRANGE b 0 -1
            ["2", "3", "1"]
            > LMOVE b b left right
            "2"
            > LRANGE b 0 -1
            ["3", "1", "2"]
            > LMOVE b b right left
            "2"
            > LMOVE b b left left
            "2"
            > RPOPLPUSH b b
            "1"
            > LRANGE b 0 -1
            ["1", "2", "3"]
            > RPOPLPUSH b c
            "3"
            > RPOPLPUSH none c
            nil
        "#]],
    );
}

#[test]
fn trims() {
    let mut shell = Shell::new();
    check(
        &mut shell,
        expect![[r#"
            > RPUSH t a b c d e
            5
            > LTRIM t 1 3
            OK
            > LRANGE t 0 -1
            ["b", "c", "d"]
            > LTRIM t -2 -1
            OK
            > LRANGE t 0 -1
            ["c", "d"]
            > LTRIM t 0 -1
            OK
            > LTRIM t 5 9
            OK
            > LLEN t
            0
            > LTRIM t 0 1
            OK
            > LTRIM t x 1
            -ERR value is not an integer or out of range
            > LTRIM t 0 x
            -ERR value is not an integer or out of range
        "#]],
    );
}

#[test]
fn removals() {
    let mut shell = Shell::new();
    check(
        &mut shell,
        expect![[r#"
            > RPUSH r a b a c a d a
            7
            > LREM r 1 a
            1
            > LREM r -1 a
            1
            > LRANGE r 0 -1
            ["b", "a", "c", "a", "d"]
            > LREM r -1 a
            1
            > LREM r 0 nope
            0
            > LREM r x a
            -ERR value is not an integer or out of range
            > LREM r -9223372036854775807 a
            1
            > LRANGE r 0 -1
            ["b", "c", "d"]
            > LREM r 5 b
            1
            > LREM r 0 c
            1
            > LREM r 0 d
            1
            > LLEN r
            0
            > LREM r 0 d
            0
            > LLEN
            -ERR wrong number of arguments for 'llen' command
            > LMPOP 1 m
            -ERR wrong number of arguments for 'lmpop' command
        "#]],
    );
}

#[test]
fn nulls_of_resp3() {
    check(
        &mut Shell::resp3(),
        expect![[r#"
            > LPOP none
            nil
            > LPOP none 1
            nil
            > LMPOP 1 none left
            nil
            > LPOS none q COUNT 1
            []
        "#]],
    );
}

/// The lines with the events that each made.
fn events(lines: &[&str]) -> String {
    let mut shell = Shell::new();
    shell.settings.notify = notify::KEYEVENT | notify::ALL | notify::NEW;
    let mut text = String::new();
    for line in lines {
        shell.run(line);
        text += &format!("{line}: {}\n", shell.events.join(", "));
    }
    text
}

#[test]
fn events_are_those_of_redis() {
    expect![[r#"
        RPUSH l a b c d e f a: new@0 l, rpush@0 l
        LPUSHX l x: lpush@0 l
        LPUSHX none x: 
        LSET l 0 y: lset@0 l
        LINSERT l before a z: linsert@0 l
        LINSERT l before nope z: 
        LREM l 0 nope: 
        LREM l 0 a: lrem@0 l
        LTRIM l 0 -1: ltrim@0 l
        LMOVE l m left right: new@0 m, rpush@0 m, lpop@0 l
        RPOPLPUSH m m: lpush@0 m, rpop@0 m
        LMOVE m l right left: lpush@0 l, rpop@0 m, del@0 m
        LPOP l 0: 
        LPOP l: lpop@0 l
        LMPOP 2 none l right count 2: rpop@0 l
        RPOP l 100: rpop@0 l, del@0 l
        RPUSH t a: new@0 t, rpush@0 t
        LTRIM t 1 0: ltrim@0 t, del@0 t
        RPUSH r a a: new@0 r, rpush@0 r
        LREM r -3 a: lrem@0 r, del@0 r
    "#]]
    .assert_eq(&events(&[
        "RPUSH l a b c d e f a",
        "LPUSHX l x",
        "LPUSHX none x",
        "LSET l 0 y",
        "LINSERT l before a z",
        "LINSERT l before nope z",
        "LREM l 0 nope",
        "LREM l 0 a",
        "LTRIM l 0 -1",
        "LMOVE l m left right",
        "RPOPLPUSH m m",
        "LMOVE m l right left",
        "LPOP l 0",
        "LPOP l",
        "LMPOP 2 none l right count 2",
        "RPOP l 100",
        "RPUSH t a",
        "LTRIM t 1 0",
        "RPUSH r a a",
        "LREM r -3 a",
    ]));
}

#[test]
fn a_rotation_keeps_the_expiry() {
    let mut shell = Shell::new();
    for list in ["one", "one two"] {
        shell.run(&format!("RPUSH l {list}"));
        shell.apply(Mutation::Expire {
            db: 0,
            key: b"l",
            at: shell.now + 5000,
        });
        for (from, to) in [("left", "right"), ("right", "left"), ("left", "left")] {
            shell.run(&format!("LMOVE l l {from} {to}"));
            let entry = shell.ks.entry(0, b"l").expect("the key is there");
            assert_eq!(entry.expire_at, shell.now + 5000);
        }
        shell.run("LTRIM l 1 0");
    }
}

/// LREM against a model, where it pops, where it removes one by one and where it takes the list apart.
#[test]
fn removals_of_any_share_of_a_long_list() {
    for len in [1usize, 2, 3, 10, 400] {
        for step in [1, 2, 3, 7, 150] {
            for (from, to) in [(0, len), (len / 3, len), (0, len / 2), (len / 4, len / 2)] {
                for count in [0i64, 3, -3, 60, -60] {
                    let value = |i: usize| {
                        if (from..to).contains(&i) && i.is_multiple_of(step) {
                            "gone".to_owned()
                        } else {
                            format!("stays{i}")
                        }
                    };
                    let mut model: Vec<String> = (0..len).map(value).collect();
                    let mut shell = Shell::new();
                    shell.run(&format!("RPUSH l {}", model.join(" ")));
                    let reply = shell.run(&format!("LREM l {count} gone"));
                    let mut left = if count == 0 {
                        usize::MAX
                    } else {
                        count.unsigned_abs() as usize
                    };
                    let mut keep = |v: &String| {
                        let goes = v == "gone" && left > 0;
                        left -= usize::from(goes);
                        !goes
                    };
                    if count < 0 {
                        model.reverse();
                        model.retain(&mut keep);
                        model.reverse();
                    } else {
                        model.retain(&mut keep);
                    }
                    assert_eq!(reply, (len - model.len()).to_string());
                    let quoted: Vec<String> = model.iter().map(|v| format!("{v:?}")).collect();
                    assert_eq!(
                        shell.run("LRANGE l 0 -1"),
                        format!("[{}]", quoted.join(", "))
                    );
                }
            }
        }
    }
}

/// What is logged for a removal of half of a long list is linear in it.
#[test]
fn a_removal_of_many_is_not_quadratic() {
    let mut shell = Shell::new();
    let values: Vec<String> = (0..20_000).map(|i| format!("{}", i % 2)).collect();
    shell.run(&format!("RPUSH l {}", values.join(" ")));
    assert_eq!(shell.run("LREM l 0 1"), "10000");
    assert!(shell.mutations <= 10_002, "{}", shell.mutations);
    assert_eq!(shell.run("LLEN l"), "10000");
}

#[test]
fn a_watch_counts_what_redis_counts() {
    for (line, counts) in [
        ("LPUSHX none x", false),
        ("LTRIM l 0 -1", true),
        ("LMOVE l l left left", true),
        ("LREM l 0 nope", false),
        ("LSET l 0 a", true),
        ("LRANGE l 0 -1", false),
        ("LPOP l 0", false),
        ("LPOP l", true),
    ] {
        let mut shell = Shell::new();
        shell.run("RPUSH l a b");
        assert_eq!(
            shell.watched(b"l", |shell| shell.run(line)),
            counts,
            "{line}"
        );
    }
}
