//! Users as clients see them: logging in, being refused, and rules that change under a session.

use std::sync::Arc;

use bytes::Bytes;

use super::Server;
use super::testing::{Shell, server};

fn bob(server: &Arc<Server>, rules: &str) -> Shell {
    let mut admin = Shell::of(server);
    admin.check(&[(&format!("acl setuser bob on >pw {rules}"), "OK")]);
    let mut bob = Shell::of(server);
    bob.check(&[("auth bob pw", "OK"), ("acl whoami", "\"bob\"")]);
    bob
}

#[test]
fn users_log_in() {
    let server = server(|_| {});
    let mut s = Shell::of(&server);
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    s.check(&[
        ("acl setuser bob >pw", "OK"),
        ("auth bob pw", wrong),
        ("acl setuser bob on", "OK"),
        ("auth bob nope", wrong),
        ("auth nobody pw", wrong),
        ("auth bob pw", "OK"),
        ("acl whoami", "-NOPERM User bob has no permissions to run the 'acl|whoami' command"),
        ("ping", "-NOPERM User bob has no permissions to run the 'ping' command"),
        ("hello 2 auth default x", "[\"server\", \"redis\", \"version\", \"7.2.6\", \"proto\", 2, \"id\", 1, \"mode\", \"standalone\", \"role\", \"master\", \"modules\", []]"),
        ("acl setuser 'a b'", "-ERR Usernames can't contain spaces or null characters"),
        ("acl setuser bob +foo", "-ERR Error in ACL SETUSER modifier '+foo': Unknown command or category name in ACL"),
        ("acl setuser bob (+get", "-ERR Unmatched parenthesis in acl selector starting at '(+get'."),
        ("acl users", "[\"bob\", \"default\"]"),
        ("acl getuser nobody", "nil"),
    ]);
    let line = s.text("client list id 1");
    assert!(line.contains(" user=default "), "{line}");
    assert_eq!(s.info("stats", "acl_access_denied_auth"), "3");
    assert_eq!(s.info("stats", "acl_access_denied_cmd"), "2");
}

#[test]
fn getuser_shows_selectors() {
    let mut s = Shell::new();
    s.check(&[
        ("acl setuser u on nopass ~a %R~b +@read (&c +publish)", "OK"),
        ("acl getuser u", "[\"flags\", [\"on\", \"nopass\", \"sanitize-payload\"], \"passwords\", [], \"commands\", \"-@all +@read\", \"keys\", \"~a %R~b\", \"channels\", \"\", \"selectors\", [[\"commands\", \"-@all +publish\", \"keys\", \"\", \"channels\", \"&c\"]]]"),
        ("hello 3", "{\"server\": \"redis\", \"version\": \"7.2.6\", \"proto\": 3, \"id\": 1, \"mode\": \"standalone\", \"role\": \"master\", \"modules\": []}"),
        ("acl getuser default", "{\"flags\": ~[\"on\", \"nopass\", \"sanitize-payload\"], \"passwords\": [], \"commands\": \"+@all\", \"keys\": \"~*\", \"channels\": \"&*\", \"selectors\": []}"),
        ("config set acl-pubsub-default allchannels", "OK"),
        ("acl setuser v (+get)", "OK"),
        ("acl list", "[\"user default on nopass sanitize-payload ~* &* +@all\", \"user u on nopass sanitize-payload ~a %R~b resetchannels -@all +@read (resetchannels &c -@all +publish)\", \"user v off sanitize-payload &* -@all (&* -@all +get)\"]"),
    ]);
}

#[test]
fn requests_are_held_against_the_rules_of_now() {
    let server = server(|_| {});
    let mut bob = bob(&server, "+@all -@dangerous ~a* resetchannels &c");
    bob.check(&[
        ("set a 1", "OK"),
        ("get b", "-NOPERM No permissions to access a key"),
        (
            "flushall",
            "-NOPERM User bob has no permissions to run the 'flushall' command",
        ),
        ("publish d x", "-NOPERM No permissions to access a channel"),
        ("publish c x", "0"),
        ("multi", "OK"),
        ("set a 2", "QUEUED"),
        ("get a", "QUEUED"),
    ]);
    Shell::of(&server).check(&[("acl setuser bob -set", "OK")]);
    bob.check(&[
        ("exec", "[-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to execute the command or subcommand, \"1\"]"),
        ("multi", "OK"),
        ("set a 2", "-NOPERM User bob has no permissions to run the 'set' command"),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
    ]);
    Shell::of(&server).check(&[("acl setuser bob +@all ~* allchannels", "OK")]);
    bob.check(&[("set b 2", "OK"), ("dbsize", "2")]);
    Shell::of(&server).check(&[("acl setuser bob resetkeys", "OK")]);
    bob.check(&[("get b", "-NOPERM No permissions to access a key")]);
}

#[test]
fn sort_reads_keys_that_it_does_not_name() {
    let server = server(|_| {});
    let mut bob = bob(&server, "+@all ~l %R~x*");
    bob.check(&[
        ("rpush l 2 1", "2"),
        ("sort l", "[\"1\", \"2\"]"),
        (
            "sort l by x*",
            "-ERR BY option of SORT denied due to insufficient ACL permissions.",
        ),
        ("sort l by nosort", "[\"2\", \"1\"]"),
        (
            "sort l get x*",
            "-ERR GET option of SORT denied due to insufficient ACL permissions.",
        ),
        ("sort l store m", "-NOPERM No permissions to access a key"),
    ]);
    Shell::of(&server).check(&[("acl setuser bob %R~*", "OK")]);
    bob.check(&[("sort l get x*", "[nil, nil]")]);
}

#[test]
fn a_waiting_command_is_checked_when_it_is_served() {
    let server = server(|_| {});
    let mut bob = bob(&server, "+@all ~l");
    bob.check(&[("blpop l 0", "(blocked)")]);
    let mut admin = Shell::of(&server);
    admin.check(&[("acl setuser bob resetkeys", "OK"), ("rpush l 1", "1")]);
    assert_eq!(bob.served(), "-NOPERM No permissions to access a key");
    admin.check(&[("lrange l 0 -1", "[\"1\"]")]);
}

#[test]
fn clients_go_with_their_user_and_their_channels() {
    let server = server(|_| {});
    let mut one = bob(&server, "+@all &a &b");
    let mut two = bob(&server, "");
    let mut admin = Shell::of(&server);
    one.check(&[("subscribe a", "[\"subscribe\", \"a\", 1]")]);
    two.check(&[("psubscribe b", "[\"psubscribe\", \"b\", 1]")]);
    admin.check(&[("acl setuser bob resetchannels &a &b &c", "OK")]);
    assert!(!one.session.client.killed() && !two.session.client.killed());
    admin.check(&[("acl setuser bob resetchannels &a", "OK")]);
    assert!(!one.session.client.killed() && two.session.client.killed());
    let mut three = bob(&server, "");
    three.check(&[(
        "acl deluser default",
        "-ERR The 'default' user cannot be removed",
    )]);
    three.check(&[("acl deluser bob nobody", "1")]);
    assert!(one.session.client.killed());
    assert!(
        three.session.closing && !three.session.client.killed(),
        "its reply is to leave"
    );
    assert!(!admin.session.client.killed());
    admin.check(&[("client kill user bob", "-ERR No such user 'bob'")]);
}

#[test]
fn what_was_refused_is_noted() {
    let server = server(|_| {});
    let mut bob = bob(&server, "+get +acl +multi +exec +config|get ~a");
    bob.run("get b");
    bob.run("GET b");
    bob.run("config set maxmemory 1");
    bob.run("multi");
    bob.run("get c");
    bob.run("exec");
    bob.run("auth bob wrong");
    let log = bob.run("acl log");
    let entries: Vec<&str> = log.split("\"count\", ").skip(1).collect();
    for (entry, expected) in entries.iter().zip([
        "1, \"reason\", \"auth\", \"context\", \"toplevel\", \"object\", \"auth\", \"username\", \"bob\", ",
        "1, \"reason\", \"key\", \"context\", \"multi\", \"object\", \"c\", \"username\", \"bob\", ",
        "1, \"reason\", \"command\", \"context\", \"toplevel\", \"object\", \"config|set\", \"username\", \"bob\", ",
        "2, \"reason\", \"key\", \"context\", \"toplevel\", \"object\", \"b\", \"username\", \"bob\", ",
    ]) {
        assert!(entry.starts_with(expected), "{entry}");
    }
    assert_eq!(entries.len(), 4);
    assert!(entries[3].contains("cmd=get user=bob"), "{}", entries[3]);
    assert!(entries[3].contains("\"entry-id\", 0, "), "{}", entries[3]);
    assert_eq!(bob.run("acl log 1").matches("\"count\"").count(), 1);
    bob.check(&[
        ("acl log -1", "[]"),
        ("acl log x", "-ERR value is not an integer or out of range"),
        ("acl log reset", "OK"),
        ("acl log", "[]"),
    ]);
    assert_eq!(
        bob.info("stats", "acl_access_denied_key"),
        "(absent)",
        "INFO is denied"
    );
    assert_eq!(
        server
            .counters
            .denied_key
            .load(std::sync::atomic::Ordering::Relaxed),
        3
    );
}

#[test]
fn a_dry_run_runs_nothing() {
    let server = server(|o| {
        o.restricted.insert("monitor".into());
    });
    let mut s = Shell::of(&server);
    s.check(&[
        ("acl setuser bob +set +publish ~a", "OK"),
        ("acl dryrun nobody get x", "-ERR User 'nobody' not found"),
        ("acl dryrun bob foo x", "-ERR Command 'foo' not found"),
        (
            "acl dryrun bob get",
            "-ERR wrong number of arguments for 'get' command",
        ),
        ("acl dryrun bob set a 1", "OK"),
        (
            "acl dryrun bob get a",
            "\"User bob has no permissions to run the \\'get\\' command\"",
        ),
        (
            "acl dryrun bob set b 1",
            "\"User bob has no permissions to access the \\'b\\' key\"",
        ),
        (
            "acl dryrun bob publish c 1",
            "\"User bob has no permissions to access the \\'c\\' channel\"",
        ),
        (
            "acl dryrun default monitor",
            "\"User default has no permissions to run the \\'monitor\\' command\"",
        ),
        (
            "monitor",
            "-NOPERM User default has no permissions to run the 'monitor' command",
        ),
        ("exists a", "0"),
    ]);
}

#[test]
fn default_without_password_lets_everybody_in() {
    let server = server(|o| o.password = b"secret".to_vec());
    let mut s = Shell::of(&server);
    s.check(&[
        ("ping", "-NOAUTH Authentication required."),
        ("auth secret", "OK"),
        ("acl setuser default off", "OK"),
        ("ping", "PONG"),
        (
            "auth secret",
            "-WRONGPASS invalid username-password pair or user is disabled.",
        ),
        ("acl setuser default on >more", "OK"),
        ("auth more", "OK"),
        ("auth secret", "OK"),
        ("acl setuser default nopass", "OK"),
    ]);
    let mut other = Shell::of(&server);
    other.check(&[
        ("ping", "PONG"),
        ("auth x", "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"),
    ]);
    s.check(&[("acl setuser default resetpass >new", "OK")]);
    other.check(&[
        ("ping", "PONG"),
        ("reset", "RESET"),
        ("ping", "-NOAUTH Authentication required."),
    ]);
    other.check(&[("auth new", "OK")]);
}

/// Replies tell of rules that could be taken back; so they wait for the batch that made them.
#[test]
fn nothing_is_told_of_rules_that_are_not_committed() {
    let server = server(|_| {});
    let (mut admin, mut other) = (Shell::of(&server), Shell::of(&server));
    let mut core = server.engine.lock();
    core.tick();
    let mut out = crate::resp::Out::new(crate::resp::Proto::Resp2);
    let request: [&[u8]; 3] = [b"acl", b"setuser", b"bob"];
    super::dispatch::run(&server, &mut core, &mut admin.session, &request, &mut out);
    let step = super::dispatch::run(&server, &mut core, &mut other.session, &[b"ping"], &mut out);
    let batch = core.batch();
    assert!(matches!(step, super::dispatch::Step::Replied { wait } if wait == batch && wait > 0));
    assert!(core.users.get(b"bob").is_some());
    // The epoch ends before it commits: the user was never there.
    core.end_epoch();
    core.refresh_users();
    assert!(core.users.get(b"bob").is_none());
}

/// A standby learns of users through the log, and its sessions heed them.
#[test]
fn users_reach_other_nodes() {
    let (leader, standby) = (server(|_| {}), server(|_| {}));
    standby.engine.lock().end_epoch();
    let mut admin = Shell::of(&leader);
    let mut apply = |line: &str| {
        let request: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut core = leader.engine.lock();
        core.tick();
        let mut out = crate::resp::Out::new(crate::resp::Proto::Resp2);
        super::dispatch::run(&leader, &mut core, &mut admin.session, &request, &mut out);
        let proposal = core.take_proposal().expect("a change");
        for payload in &proposal.payloads {
            let mut other = standby.engine.lock();
            let (at, next) = (core.applied.0 + 1, other.applied.0 + 1);
            core.apply(at, 1, payload).expect("applies");
            other.apply(next, 1, payload).expect("applies");
        }
    };
    apply("acl setuser bob on >pw +ping");
    let mut s = Shell::of(&standby);
    s.check(&[
        ("auth bob pw", "OK"),
        ("ping", "PONG"),
        (
            "echo x",
            "-NOPERM User bob has no permissions to run the 'echo' command",
        ),
        ("get x", "(needs the primary)"),
        ("auth bob wrong", "(needs a read index)"),
    ]);
    assert_eq!(s.session.identity.user(), &Bytes::from_static(b"bob"));
    apply("acl setuser bob +echo");
    s.check(&[("echo x", "\"x\"")]);
    apply("acl deluser bob");
    assert!(s.session.client.killed());
}
