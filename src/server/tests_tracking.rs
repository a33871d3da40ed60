//! Client-side caching as clients see it: what they are told, when, and in which form.

use std::sync::Arc;
use std::task::Waker;

use super::Server;
use super::testing::{Shell, server};

/// What the client has been sent besides its replies.
fn told(s: &Shell) -> String {
    let mut all = Vec::new();
    while let Some(message) = s.session.client.receive(Waker::noop()) {
        all.push(Shell::render(&message));
    }
    all.join(" ")
}

fn reader(server: &Arc<Server>, options: &str) -> Shell {
    let mut s = Shell::of(server);
    s.run("hello 3");
    s.check(&[(&format!("client tracking on {options}"), "OK")]);
    s
}

#[test]
fn who_read_a_key_is_told_of_its_change_once() {
    let server = server(|_| {});
    let (mut a, mut b) = (reader(&server, ""), Shell::of(&server));
    b.run("mset k 1 l 2");
    assert_eq!(told(&a), "", "nothing was read");
    a.check(&[("mget k l absent", "[\"1\", \"2\", nil]")]);
    b.run("set k 2");
    b.run("set k 3");
    assert_eq!(told(&a), ">[\"invalidate\", [\"k\"]]");
    a.check(&[("set l 9", "OK")]);
    assert_eq!(
        told(&a),
        ">[\"invalidate\", [\"l\"]]",
        "of its own changes too"
    );
    b.run("lpush absent x");
    assert_eq!(told(&a), ">[\"invalidate\", [\"absent\"]]");
    a.run("get k");
    b.run("flushall");
    assert_eq!(told(&a), ">[\"invalidate\", nil]");
    b.run("flushdb");
    assert_eq!(
        told(&a),
        ">[\"invalidate\", nil]",
        "though nothing was there"
    );
    a.run("get k");
    a.check(&[("client tracking off", "OK")]);
    b.run("set k 4");
    assert_eq!(told(&a), "");
}

#[test]
fn a_transaction_and_its_reads() {
    let server = server(|_| {});
    let (mut a, mut b) = (reader(&server, "noloop"), Shell::of(&server));
    a.run("multi");
    a.run("get k");
    a.run("set l 1");
    a.run("get l");
    a.run("exec");
    a.run("set k 1");
    assert_eq!(told(&a), "", "its own");
    a.run("get k");
    b.run("multi");
    b.run("set k 1");
    b.run("set l 2");
    b.run("exec");
    assert_eq!(
        told(&a),
        ">[\"invalidate\", [\"k\"]] >[\"invalidate\", [\"l\"]]"
    );
}

#[test]
fn opting_in_and_out() {
    let server = server(|_| {});
    let (mut a, mut b, mut c) = (
        reader(&server, "optin"),
        reader(&server, "optout"),
        Shell::of(&server),
    );
    a.run("get k");
    a.check(&[
        (
            "client caching no",
            "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        ),
        ("client caching maybe", "-ERR syntax error"),
        ("client caching yes", "OK"),
        (
            "client trackinginfo",
            "{\"flags\": ~[\"on\", \"optin\", \"caching-yes\"], \"redirect\": 0, \"prefixes\": []}",
        ),
        ("get l", "nil"),
        ("get m", "nil"),
    ]);
    b.check(&[
        ("client caching no", "OK"),
        ("get k", "nil"),
        ("get l", "nil"),
    ]);
    for key in ["k", "l", "m"] {
        c.run(&format!("set {key} 1"));
    }
    assert_eq!(told(&a), ">[\"invalidate\", [\"l\"]]");
    assert_eq!(told(&b), ">[\"invalidate\", [\"l\"]]");
    // For a whole transaction.
    a.check(&[
        ("client caching yes", "OK"),
        ("multi", "OK"),
        ("get k", "QUEUED"),
        ("get m", "QUEUED"),
    ]);
    a.run("exec");
    a.run("get l");
    c.run("mset k 2 l 2 m 2");
    assert_eq!(
        told(&a),
        ">[\"invalidate\", [\"k\"]] >[\"invalidate\", [\"m\"]]"
    );
}

#[test]
fn broadcasts() {
    let server = server(|_| {});
    let mut a = reader(&server, "bcast prefix a prefix b");
    let mut b = reader(&server, "bcast noloop");
    let mut c = Shell::of(&server);
    a.check(&[
        ("client tracking on bcast prefix ab", "-ERR Prefix 'ab' overlaps with an existing prefix 'a'. Prefixes for a single client must not overlap."),
        ("client tracking on bcast prefix x prefix xy", "-ERR Prefix 'x' overlaps with another provided prefix 'xy'. Prefixes for a single client must not overlap."),
        ("client tracking on", "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode."),
        ("client tracking on bcast optin", "-ERR OPTIN and OPTOUT are not compatible with BCAST"),
        ("client tracking on bcast prefix c", "OK"),
        ("client trackinginfo", "{\"flags\": ~[\"on\", \"bcast\"], \"redirect\": 0, \"prefixes\": [\"a\", \"b\", \"c\"]}"),
    ]);
    c.run("mset a2 1 a1 1 b1 1 x 1");
    assert_eq!(
        told(&a),
        ">[\"invalidate\", [\"a1\", \"a2\"]] >[\"invalidate\", [\"b1\"]]"
    );
    assert_eq!(
        told(&b),
        ">[\"invalidate\", [\"a1\", \"a2\", \"b1\", \"x\"]]"
    );
    b.run("set a1 2");
    assert_eq!(
        (told(&a), told(&b)),
        (">[\"invalidate\", [\"a1\"]]".into(), String::new())
    );
    assert_eq!(c.info("stats", "tracking_total_prefixes"), "4");
    assert_eq!(c.info("clients", "tracking_clients"), "2");
    a.run("reset");
    assert_eq!(c.info("stats", "tracking_total_prefixes"), "1");
}

#[test]
fn redirection() {
    let server = server(|_| {});
    let (mut a, mut b, mut c) = (Shell::of(&server), Shell::of(&server), Shell::of(&server));
    a.check(&[
        (
            "client tracking on redirect 99",
            "-ERR The client ID you want redirect to does not exist",
        ),
        (
            "client tracking on redirect x",
            "-ERR value is not an integer or out of range",
        ),
        ("client tracking on redirect", "-ERR syntax error"),
        (
            "client tracking on prefix a",
            "-ERR PREFIX option requires BCAST mode to be enabled",
        ),
        (
            "client tracking on optin optout",
            "-ERR You can't specify both OPTIN mode and OPTOUT mode",
        ),
        ("client tracking on redirect 2", "OK"),
        ("client getredir", "2"),
    ]);
    a.run("get k");
    c.run("set k 1");
    assert_eq!(told(&b), "", "it does not listen");
    b.run("subscribe __redis__:invalidate");
    a.run("get k");
    c.run("set k 2");
    assert_eq!(told(&b), "[\"message\", \"__redis__:invalidate\", [\"k\"]]");
    a.run("get k");
    c.run("flushall");
    assert_eq!(told(&b), "[\"message\", \"__redis__:invalidate\", nil]");
    let line = c.text("client list id 1");
    assert!(
        line.contains(" flags=t ") && line.contains(" redir=2 "),
        "{line}"
    );
    a.run("hello 3");
    a.run("get k");
    server.clients.remove(2);
    c.run("set k 3");
    assert_eq!(told(&a), ">[\"tracking-redir-broken\", 2]");
    a.check(&[(
        "client trackinginfo",
        "{\"flags\": ~[\"on\", \"broken_redirect\"], \"redirect\": 2, \"prefixes\": []}",
    )]);
}

#[test]
fn what_goes_by_itself_and_the_bound_of_the_table() {
    let server = server(|_| {});
    let (mut a, mut c) = (reader(&server, ""), Shell::of(&server));
    c.run("set k 1");
    c.run("config set tracking-table-max-keys 2");
    a.run("mget k k2 k3 k4");
    assert_eq!(told(&a).matches("invalidate").count(), 2);
    assert_eq!(c.info("stats", "tracking_total_keys"), "2");
    assert_eq!(c.info("stats", "tracking_total_items"), "2");
    c.run("config set tracking-table-max-keys 0");
    a.run("get k");
    told(&a);
    c.run("pexpireat k 1");
    assert_eq!(told(&a), ">[\"invalidate\", [\"k\"]]");
}

/// Nobody is told of a change that is not committed; and when it is taken back, caches are worth nothing.
#[test]
fn not_before_the_commit() {
    let server = server(|_| {});
    let (mut a, mut c) = (reader(&server, ""), Shell::of(&server));
    a.run("get k");
    let mut core = server.engine.lock();
    core.tick();
    let mut out = crate::resp::Out::new(crate::resp::Proto::Resp2);
    let request: [&[u8]; 3] = [b"set", b"k", b"1"];
    super::dispatch::run(&server, &mut core, &mut c.session, &request, &mut out);
    drop(core);
    assert_eq!(told(&a), "");
    server.engine.lock().end_epoch();
    assert_eq!(told(&a), ">[\"invalidate\", nil]");
}

/// A standby's own readers are told by what it applies.
#[test]
fn at_a_standby() {
    let (leader, standby) = (server(|_| {}), server(|o| o.staleness_ms = u64::MAX));
    standby.engine.lock().end_epoch();
    let mut a = reader(&standby, "");
    a.run("readonly");
    a.check(&[("get k", "nil")]);
    told(&a);
    let mut writer = Shell::of(&leader);
    let mut core = leader.engine.lock();
    core.tick();
    let mut out = crate::resp::Out::new(crate::resp::Proto::Resp2);
    let request: [&[u8]; 3] = [b"set", b"k", b"1"];
    super::dispatch::run(&leader, &mut core, &mut writer.session, &request, &mut out);
    let proposal = core.take_proposal().expect("a change");
    let mut other = standby.engine.lock();
    let next = other.applied.0 + 1;
    other
        .apply(next, 1, &proposal.payloads[0])
        .expect("applies");
    drop(other);
    assert_eq!(told(&a), ">[\"invalidate\", [\"k\"]]");
    a.check(&[("get k", "\"1\"")]);
}
