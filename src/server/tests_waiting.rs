//! Clients that wait for lists and sorted sets, by two and more sessions of one server: who is served,
//! with what, and in which batch.

use super::testing::{Shell, server};

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
