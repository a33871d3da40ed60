//! Clients that wait for lists and sorted sets, by two and more sessions of one server: who is served,
//! with what, and in which batch.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::Facts;
use super::testing::{Shell, server, server_knowing};

/// A client that gives, and as many who wait.
fn shells<const N: usize>() -> (Shell, [Shell; N]) {
    let server = server(|_| {});
    (
        Shell::of(&server),
        std::array::from_fn(|_| Shell::of(&server)),
    )
}

#[test]
fn those_in_line_are_served_in_order() {
    let (mut giver, [mut a, mut b, mut c]) = shells();
    assert_eq!(a.run("blpop x y 0"), "(blocked)");
    assert_eq!(b.run("brpop y 0"), "(blocked)");
    assert_eq!(c.run("bzpopmin z y 0"), "(blocked)");
    assert_eq!(giver.run("rpush y 1 2 3"), "3");
    assert_eq!(a.served(), "[\"y\", \"1\"]");
    assert_eq!(b.served(), "[\"y\", \"3\"]");
    assert_eq!(c.served(), "(waits)");
    assert_eq!(giver.run("lrange y 0 -1"), "[\"2\"]");
    assert_eq!(giver.run("zadd z 2 m 1 n"), "2");
    assert_eq!(c.served(), "[\"z\", \"n\", \"1\"]");
    assert_eq!(giver.run("zcard z"), "1");
}

#[test]
fn every_command_waits_and_is_served() {
    for (wait, give, reply) in [
        ("blpop k 0", "rpush k 1 2", "[\"k\", \"1\"]"),
        ("brpop k 0", "rpush k 1 2", "[\"k\", \"2\"]"),
        ("blmove k d left right 0", "rpush k 1 2", "\"1\""),
        ("brpoplpush k d 0", "rpush k 1 2", "\"2\""),
        (
            "blmpop 0 2 j k right count 5",
            "rpush k 1 2",
            "[\"k\", [\"2\", \"1\"]]",
        ),
        ("bzpopmin k 0", "zadd k 1 a 2 b", "[\"k\", \"a\", \"1\"]"),
        ("bzpopmax k 0", "zadd k 1 a 2 b", "[\"k\", \"b\", \"2\"]"),
        (
            "bzmpop 0 2 j k max count 5",
            "zadd k 1 a 2 b",
            "[\"k\", [[\"b\", \"2\"], [\"a\", \"1\"]]]",
        ),
    ] {
        let (mut giver, [mut waiter]) = shells();
        assert_eq!(waiter.run(wait), "(blocked)", "{wait}");
        assert_eq!(giver.run("set j 1"), "OK");
        assert_eq!(waiter.served(), "(waits)", "{wait}");
        assert_eq!(giver.run("getdel j"), "\"1\"");
        assert_eq!(giver.run(give), "2");
        assert_eq!(waiter.served(), reply, "{wait}");
        // At once where there is something, by the same reply.
        let (mut giver, [mut waiter]) = shells();
        giver.run(give);
        assert_eq!(waiter.run(wait), reply, "{wait}");
    }
}

#[test]
fn a_transaction_serves_when_it_is_whole_and_waits_for_nothing() {
    let (mut giver, [mut a]) = shells();
    assert_eq!(a.run("blpop k 0"), "(blocked)");
    assert_eq!(giver.run("multi"), "OK");
    assert_eq!(giver.run("rpush k 1"), "QUEUED");
    assert_eq!(giver.run("lpush k 0"), "QUEUED");
    assert_eq!(giver.run("exec"), "[1, 2]");
    assert_eq!(a.served(), "[\"k\", \"0\"]");
    assert_eq!(giver.run("lpop k"), "\"1\"");
    giver.run("multi");
    for line in [
        "blpop k 0",
        "blmpop 0 1 k left",
        "bzpopmin k 0",
        "bzmpop 0 1 k min",
        "blmove k d left left 0",
        "brpoplpush k d 0",
    ] {
        assert_eq!(giver.run(line), "QUEUED");
    }
    let reply = giver.run("exec");
    let mut other = Shell::new();
    let (array, null) = (other.run("lpop k 1"), other.run("lpop k"));
    assert_ne!(array, null);
    assert_eq!(
        reply,
        format!("[{array}, {array}, {array}, {array}, {null}, {null}]")
    );
}

#[test]
fn a_wait_ends_by_unblock_and_by_leaving() {
    let (mut giver, [mut a, mut b, mut c]) = shells();
    for shell in [&mut a, &mut b, &mut c] {
        assert_eq!(shell.run("blpop k 0"), "(blocked)");
    }
    let id = a.session.client.id;
    assert_eq!(giver.run(&format!("client unblock {id} error")), "1");
    assert_eq!(a.served(), "-UNBLOCKED client unblocked via CLIENT UNBLOCK");
    assert_eq!(giver.run(&format!("client unblock {id}")), "0");
    let left = b.session.client.id;
    assert!(giver.server.engine.lock().blocking.remove(left).is_some());
    assert_eq!(giver.run("rpush k 1"), "1");
    assert_eq!(b.served(), "(waits)");
    assert_eq!(c.served(), "[\"k\", \"1\"]");
}

#[test]
fn arguments_are_read_before_anything_is_waited_for() {
    Shell::new().check(&[
        ("blpop k x", "-ERR timeout is not a float or out of range"),
        ("brpop k -1", "-ERR timeout is negative"),
        ("blmove k d up left x", "-ERR syntax error"),
        ("blmove k d left left -1", "-ERR timeout is negative"),
        (
            "brpoplpush k d x",
            "-ERR timeout is not a float or out of range",
        ),
        ("blmpop x 0 k left", "-ERR numkeys should be greater than 0"),
        (
            "blmpop x 1 k left",
            "-ERR timeout is not a float or out of range",
        ),
        ("bzmpop x 0 k min", "-ERR numkeys should be greater than 0"),
        (
            "bzmpop -1 1 k min count 0",
            "-ERR count should be greater than 0",
        ),
        ("bzmpop -1 1 k min", "-ERR timeout is negative"),
        (
            "bzpopmin k x",
            "-ERR timeout is not a float or out of range",
        ),
        ("set s 1", "OK"),
        (
            "blpop k s 0",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        (
            "bzpopmax k s 0",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        (
            "blmove s d left left 0",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
    ]);
}

#[test]
fn who_waits_is_told_when_the_lead_is_lost() {
    let (giver, [mut a]) = shells();
    assert_eq!(a.run("blpop k 0"), "(blocked)");
    giver.server.engine.lock().end_epoch();
    assert_eq!(
        a.served(),
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
    );
}

#[test]
fn streams_are_read_when_they_grow() {
    let (mut giver, [mut a, mut b, mut c]) = shells();
    giver.run("xadd s 1 n 1");
    assert_eq!(a.run("xread block 0 streams s t $ 5"), "(blocked)");
    assert_eq!(b.run("xread block 0 count 1 streams s 1"), "(blocked)");
    assert_eq!(c.run("xread block 0 streams s 3"), "(blocked)");
    giver.run("xadd t 4 n 4");
    giver.run("xgroup create s g 0");
    giver.run("xdel s 1");
    assert_eq!(a.served(), "(waits)");
    giver.run("multi");
    giver.run("xadd s 2 n 2");
    giver.run("xadd s 3 n 3");
    giver.run("exec");
    // What `$` meant is what it meant when the command came.
    let both = "[[\"s\", [[\"2-0\", [\"n\", \"2\"]], [\"3-0\", [\"n\", \"3\"]]]]]";
    assert_eq!(a.served(), both);
    assert_eq!(b.served(), "[[\"s\", [[\"2-0\", [\"n\", \"2\"]]]]]");
    assert_eq!(c.served(), "(waits)");
    assert_eq!(a.run("xread block 0 streams t u 4 $"), "(blocked)");
    giver.run("set u 1");
    assert_eq!(a.served(), "(waits)");
    giver.run("rename s u");
    assert!(a.served().starts_with("[[\"u\", [[\"2-0\""));
    giver.run("multi");
    assert_eq!(giver.run("xread block 0 streams u $"), "QUEUED");
    assert_eq!(
        giver.run("xreadgroup group g c block 0 streams u 3"),
        "QUEUED"
    );
    assert_eq!(giver.run("xreadgroup group g c streams u >").len(), 6);
    assert_eq!(
        giver.run("xreadgroup group g c block 0 streams u >"),
        "QUEUED"
    );
    let reply = giver.run("exec");
    assert!(reply.starts_with("[nil*, [[\"u\", []]], [["), "{reply}");
    assert!(reply.ends_with("]], nil*]"), "{reply}");
}

#[test]
fn a_group_serves_each_entry_once_in_the_order_of_those_who_wait() {
    let (mut giver, [mut a, mut b, mut c]) = shells();
    giver.run("xgroup create s g $ mkstream");
    for (shell, name) in [(&mut a, "a"), (&mut b, "b"), (&mut c, "c")] {
        let line = format!("xreadgroup group g {name} count 1 block 0 streams s >");
        assert_eq!(shell.run(&line), "(blocked)");
    }
    giver.run("xack s g 1");
    giver.run("xgroup createconsumer s g x");
    assert_eq!(giver.run("xadd s 1 n 1"), "\"1-0\"");
    assert_eq!(a.served(), "[[\"s\", [[\"1-0\", [\"n\", \"1\"]]]]]");
    assert_eq!(
        (b.served(), c.served()),
        ("(waits)".into(), "(waits)".into())
    );
    giver.run("multi");
    giver.run("xadd s 2 n 2");
    giver.run("xadd s 3 n 3");
    giver.run("xadd s 4 n 4");
    giver.run("exec");
    assert!(b.served().contains("\"2-0\""));
    assert!(c.served().contains("\"3-0\""));
    assert_eq!(
        giver.run("xpending s g"),
        "[3, \"1-0\", \"3-0\", [[\"a\", \"1\"], [\"b\", \"1\"], [\"c\", \"1\"]]]"
    );
    assert!(
        giver
            .run("xreadgroup group g d streams s >")
            .contains("\"4-0\"")
    );
}

#[test]
fn who_waits_for_a_group_is_told_that_it_is_gone() {
    let no_group = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    for (ends, told) in [
        (&["del s"][..], no_group),
        (&["xgroup destroy s g"], no_group),
        (&["set s 1"], wrong),
        (&["multi", "del s", "set s 1", "exec"], wrong),
        (&["rename s t"], no_group),
        (&["flushall"], no_group),
        (&["swapdb 0 1"], no_group),
        (&["xadd t 1 a b", "rename t s"], no_group),
        (&["pexpire s -1"], no_group),
        (
            &["multi", "del s", "xgroup create s g $ mkstream", "exec"],
            "(waits)",
        ),
        (
            &["xgroup setid s g 0", "xsetid s 5", "xgroup create s h 0"],
            "(waits)",
        ),
    ] {
        let (mut giver, [mut a, mut b]) = shells();
        giver.run("xgroup create s g $ mkstream");
        let line = "xreadgroup group g c block 0 streams s >";
        assert_eq!(a.run(line), "(blocked)");
        assert_eq!(b.run("xread block 0 streams s 7"), "(blocked)");
        assert_eq!(giver.info("clients", "total_blocking_keys"), "1");
        assert_eq!(giver.info("clients", "total_blocking_keys_on_nokey"), "1");
        for end in ends {
            giver.run(end);
        }
        assert_eq!(a.served(), told, "{ends:?}");
        assert_eq!(b.served(), "(waits)", "{ends:?}");
        let on_gone = u8::from(told == "(waits)").to_string();
        assert_eq!(
            giver.info("clients", "total_blocking_keys_on_nokey"),
            on_gone
        );
        // What waits is not counted yet.
        let stats = giver.info("commandstats", "cmdstat_xreadgroup");
        if told == "(waits)" {
            assert_eq!(stats, "(absent)");
        } else {
            let failed = "rejected_calls=0,failed_calls=1";
            assert!(
                stats.starts_with("calls=1,") && stats.ends_with(failed),
                "{stats}"
            );
        }
    }
}

#[test]
fn wait_answers_when_enough_standbys_have_what_was_written() {
    let matched = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let seen = matched.clone();
    let facts = move || Facts {
        followers: seen
            .iter()
            .map(|index| ("10.0.0.2:6379".into(), index.load(Relaxed), true))
            .collect(),
        ..Facts::default()
    };
    let server = server_knowing(|_| {}, Arc::new(facts));
    let mut a = Shell::of(&server);
    let mut b = Shell::of(&server);
    assert_eq!(a.run("set k 1"), "OK");
    let index = server.engine.lock().applied.0;
    assert_eq!(a.run("wait 0 0"), "0");
    assert_eq!(a.run("wait 1 0"), "(blocked)");
    assert_eq!(b.run("waitaof 1 2 0"), "(blocked)");
    server.serve_acks(&mut server.engine.lock());
    assert_eq!(
        (a.served(), b.served()),
        ("(waits)".into(), "(waits)".into())
    );
    matched[0].store(index, Relaxed);
    server.serve_acks(&mut server.engine.lock());
    assert_eq!((a.served(), b.served()), ("1".into(), "(waits)".into()));
    // Its time is over: it is told how many there are.
    let client = b.session.client.id;
    assert!(server.end_wait(&mut server.engine.lock(), client));
    assert_eq!(b.served(), "[1, 1]");
    assert_eq!(b.run("wait 2 0"), "(blocked)");
    assert_eq!(a.run(&format!("client unblock {client}")), "1");
    assert_eq!(b.served(), "1");
    assert_eq!(b.run("wait 2 0"), "(blocked)");
    assert_eq!(a.run(&format!("client unblock {client} error")), "1");
    assert_eq!(b.served(), "-UNBLOCKED client unblocked via CLIENT UNBLOCK");
    // Within a transaction nothing is waited for.
    for (line, reply) in [
        ("multi", "OK"),
        ("wait 2 0", "QUEUED"),
        ("waitaof 1 2 0", "QUEUED"),
        ("exec", "[1, [1, 1]]"),
    ] {
        assert_eq!(b.run(line), reply);
    }
    // A wait that ended leaves nothing that could answer the next one.
    assert_eq!(b.run("wait 2 0"), "(blocked)");
    matched[1].store(u64::MAX, Relaxed);
    assert_eq!(b.served(), "(waits)");
    server.serve_acks(&mut server.engine.lock());
    assert_eq!(b.served(), "2");
    assert_eq!(b.run("wait 2 0"), "2");
    matched[0].store(0, Relaxed);
    assert_eq!(a.run("wait 2 0"), "(blocked)");
    server.engine.lock().end_epoch();
    assert!(a.served().starts_with("-UNBLOCKED force unblock"));
}
