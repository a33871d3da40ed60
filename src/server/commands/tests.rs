//! The commands about connections and the server, as a client sees them. Replies are Redis 7.2.6's
//! where nothing else is said.

use crate::server::testing::{Shell, server};

#[test]
fn clients_show_themselves() {
    let mut s = Shell::new();
    s.check(&[
        ("client getname", "nil"),
        ("client setname a", "OK"),
        ("client getname", "\"a\""),
        ("client setname 'a b'", "-ERR Client names cannot contain spaces, newlines or special characters."),
        ("client setinfo lib-name x", "OK"),
        ("client setinfo lib-foo x", "-ERR Unrecognized option 'lib-foo'"),
        ("client setinfo lib-ver 'a b'", "-ERR lib-ver cannot contain spaces, newlines or special characters."),
        ("client list type foo", "-ERR Unknown client type 'foo'"),
        ("client list id x", "-ERR Invalid client ID"),
        ("client list foo", "-ERR syntax error"),
        ("client list type replica", "\"\""),
        ("client caching yes", "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"),
        ("client trackinginfo", "[\"flags\", [\"off\"], \"redirect\", -1, \"prefixes\", []]"),
        ("client getredir", "-1"),
        ("client unblock 7", "0"),
        ("client unblock 7 foo", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        ("client no-touch on", "OK"),
        ("client no-evict maybe", "-ERR syntax error"),
    ]);
    let line = s.text("client list");
    assert!(line.starts_with("id=1 addr=127.0.0.1:1000 laddr=127.0.0.1:6379 fd=8 name=a age=0 idle=0 flags=T db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=0 "), "{line}");
    assert!(
        line.ends_with(
            "events=r cmd=client|list user=default redir=-1 resp=2 lib-name=x lib-ver=\n"
        ),
        "{line}"
    );
}

#[test]
fn kill_chooses_by_all_filters() {
    let server = server(|_| {});
    let (mut a, b) = (Shell::of(&server), Shell::of(&server));
    a.check(&[
        ("client kill 1.2.3.4:5", "-ERR No such client"),
        (
            "client kill id 0",
            "-ERR client-id should be greater than 0",
        ),
        ("client kill user nobody", "-ERR No such user 'nobody'"),
        ("client kill type pubsub", "0"),
        (
            "client kill addr 127.0.0.1:1001 skipme maybe",
            "-ERR syntax error",
        ),
        (
            "client kill addr 127.0.0.1:1001 laddr 127.0.0.1:6379 user default type normal",
            "1",
        ),
    ]);
    assert!(b.session.client.killed());
    a.check(&[("client kill 127.0.0.1:1000", "OK")]);
    assert!(a.session.closing, "it closes once its reply has left");
}

#[test]
fn replies_can_be_turned_off() {
    let mut s = Shell::new();
    s.check(&[
        ("client reply off", "(none)"),
        ("ping", "(none)"),
        ("client reply on", "OK"),
        ("client reply skip", "(none)"),
        ("ping", "(none)"),
        ("ping", "PONG"),
    ]);
}

#[test]
fn a_pause_holds_back_what_writes() {
    let server = server(|_| {});
    let (mut a, mut b) = (Shell::of(&server), Shell::of(&server));
    a.check(&[
        (
            "client pause x",
            "-ERR timeout is not an integer or out of range",
        ),
        ("client pause -1", "-ERR timeout is negative"),
        (
            "client pause 1 foo",
            "-ERR CLIENT PAUSE mode must be WRITE or ALL",
        ),
        ("client pause 100000 write", "OK"),
    ]);
    assert_eq!(b.run("flushall"), "(held)");
    assert_eq!(b.run("publish a b"), "(held)");
    assert_eq!(b.run("ping"), "PONG");
    a.check(&[("client unpause", "OK")]);
    assert_eq!(b.run("publish a b"), "0");
    a.check(&[("client pause 100000", "OK")]);
    assert_eq!(b.run("ping"), "(held)");
}

#[test]
fn the_number_of_databases_is_a_setting() {
    let mut s = Shell::new();
    s.check(&[
        ("select 16", "-ERR DB index is out of range"),
        ("config set databases 20", "OK"),
        ("config get databases", "[\"databases\", \"20\"]"),
        ("select 20", "-ERR DB index is out of range"),
        ("select 19", "OK"),
        // Nothing has needed it yet.
        ("randomkey", "nil"),
        ("dbsize", "0"),
        ("flushdb", "OK"),
        ("watch k", "OK"),
        ("swapdb 0 18", "OK"),
        ("set k v", "OK"),
        ("copy k k db 18", "1"),
        ("swapdb 18 17", "OK"),
        ("move k 16", "1"),
        ("config set databases 17", "-ERR CONFIG SET failed (possibly related to argument 'databases') - database 17 has keys: FLUSHDB it first"),
        ("config set databases 18", "OK"),
        ("select 18", "-ERR DB index is out of range"),
        ("select 17", "OK"),
        ("get k", "\"v\""),
        ("config set databases 0", "-ERR CONFIG SET failed (possibly related to argument 'databases') - argument must be between 1 and 16384 inclusive"),
    ]);
}

#[test]
fn while_the_data_loads_nobody_knows_how_many_databases_there_are() {
    let server = server(|_| {});
    let mut s = Shell::of(&server);
    s.check(&[("config set databases 20", "OK"), ("select 19", "OK")]);
    server.engine.lock().begin_loading();
    s.check(&[
        ("select 3", "OK"),
        (
            "select 19",
            "-LOADING Pontoon is loading the dataset in memory",
        ),
    ]);
}

#[test]
fn config_is_atomic_and_takes_effect() {
    let mut s = Shell::new();
    s.check(&[
        ("config get maxmemory", "[\"maxmemory\", \"0\"]"),
        ("config set maxmemory 10mb maxmemory-policy allkeys-lru", "OK"),
        ("config get maxmemory-p* maxmemory", "[\"maxmemory-policy\", \"allkeys-lru\", \"maxmemory\", \"10485760\"]"),
        ("config set maxmemory 1 timeout -1", "-ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 and 2147483647 inclusive"),
        ("config get maxmemory", "[\"maxmemory\", \"10485760\"]"),
        ("config set foo 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'"),
        ("config set hz 1 hz 2", "-ERR CONFIG SET failed (possibly related to argument 'hz') - duplicate parameter"),
        ("config set io-threads 1", "-ERR CONFIG SET failed (possibly related to argument 'io-threads') - can't set immutable config"),
        ("config set maxmemory 1x", "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"),
        ("config set maxmemory", "-ERR wrong number of arguments for 'config|set' command"),
        ("config set maxmemory 1 hz", "-ERR syntax error"),
        ("config get hash-max-ziplist-entries", "[\"hash-max-ziplist-entries\", \"128\"]"),
        ("config set hash-max-ziplist-entries 3 notify-keyspace-events KA", "OK"),
        ("config get notify-keyspace-events", "[\"notify-keyspace-events\", \"AK\"]"),
        ("config set activedefrag yes", "OK"),
        ("config get activedefrag", "[\"activedefrag\", \"yes\"]"),
        ("config rewrite", "-ERR The server is running without a config file"),
    ]);
    let core = s.server.engine.lock();
    assert_eq!(core.settings.maxmemory, 10 << 20);
    assert_eq!(core.ks.limits.hash_max_listpack_entries, 3);
}

#[test]
fn slow_commands_are_kept_without_secrets() {
    let mut s = Shell::new();
    s.check(&[
        (
            "config set slowlog-log-slower-than 0 slowlog-max-len 2",
            "OK",
        ),
        ("slowlog reset", "OK"),
        ("config set masterauth secret", "OK"),
        ("slowlog len", "2"),
    ]);
    let log = s.run("slowlog get");
    assert!(
        log.contains("\"masterauth\", \"(redacted)\"") || log.contains("slowlog"),
        "{log}"
    );
    assert!(!log.contains("secret"), "{log}");
    s.check(&[(
        "slowlog get -2",
        "-ERR count should be greater than or equal to -1",
    )]);
    let long = "x".repeat(200);
    s.run(&format!("echo {long}"));
    assert!(s.run("slowlog get 1").contains("... (72 more bytes)"));
}

#[test]
fn errors_and_calls_are_counted() {
    let mut s = Shell::new();
    s.run("foo");
    s.run("select 99");
    s.run("select");
    assert_eq!(s.info("errorstats", "errorstat_ERR"), "count=3");
    let calls = s.info("commandstats", "cmdstat_select");
    assert!(
        calls.starts_with("calls=1,") && calls.ends_with("rejected_calls=1,failed_calls=1"),
        "{calls}"
    );
    assert!(
        s.info("latencystats", "latency_percentiles_usec_select")
            .starts_with("p50=")
    );
    s.check(&[("config resetstat", "OK")]);
    assert_eq!(s.info("errorstats", "errorstat_ERR"), "(absent)");
    s.run("ping");
    let reply = s.run("latency histogram ping");
    assert!(
        reply.starts_with("[\"ping\", [\"calls\", 1, \"histogram_usec\", ["),
        "{reply}"
    );
}

#[test]
fn info_has_what_was_asked_for() {
    let mut s = Shell::new();
    assert_eq!(s.info("", "role"), "master");
    assert_eq!(s.info("clients", "maxclients"), "1000");
    assert_eq!(
        s.info("replication", "slave0"),
        "ip=10.0.0.2,port=6379,state=online,offset=7,lag=0"
    );
    assert_eq!(s.info("pontoon", "node_role"), "primary");
    assert_eq!(s.info("server cpu", "maxclients"), "(absent)");
    assert!(!s.text("info").contains("# Commandstats"));
    assert!(s.text("info all").contains("# Commandstats"));
    s.check(&[("debug populate 3", "OK")]);
    assert_eq!(s.info("keyspace", "db0"), "keys=3,expires=0,avg_ttl=0");
    assert_ne!(s.info("memory", "used_memory"), "0");
}

#[test]
fn commands_describe_themselves() {
    let mut s = Shell::new();
    s.check(&[
        ("command getkeys mset a 1 b 2", "[\"a\", \"b\"]"),
        ("command getkeysandflags get a", "[[\"a\", [RO, access]]]"),
        (
            "command getkeys ping",
            "-ERR The command has no key arguments",
        ),
        ("command getkeys foo", "-ERR Invalid command specified"),
        (
            "command getkeys get",
            "-ERR Invalid number of arguments specified for command",
        ),
        ("command list filterby aclcat foo", "[]"),
        (
            "command list filterby pattern xre*",
            "[\"xread\", \"xreadgroup\", \"xrevrange\"]",
        ),
        ("command info foo", "[nil]"),
        ("command docs foo", "[]"),
    ]);
    let get = "[[\"get\", 2, [readonly, fast], 1, 1, 1, [@read, @string, @fast], [], [[\"flags\", [RO, access], \"begin_search\", [\"type\", \"index\", \"spec\", [\"index\", 1]], \"find_keys\", [\"type\", \"range\", \"spec\", [\"lastkey\", 0, \"keystep\", 1, \"limit\", 0]]]], []]]";
    s.check(&[("command info get", get)]);
}

#[test]
fn debug_protocol_in_both_versions() {
    let mut s = Shell::new();
    s.check(&[
        ("debug protocol double", "\"3.141\""),
        (
            "debug protocol push",
            "-ERR RESP2 is not supported by this command",
        ),
        (
            "debug protocol attrib",
            "\"Some real reply following the attribute\"",
        ),
        ("debug error 'A b'", "-A b"),
        ("debug digest", "0000000000000000000000000000000000000000"),
        (
            "debug foo",
            "-ERR unknown subcommand or wrong number of arguments for 'foo'. Try DEBUG HELP.",
        ),
        ("debug object nokey", "-ERR no such key"),
        ("debug sleep 0", "OK"),
        ("debug reload", "OK"),
        (
            "debug reload x",
            "-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
        ),
    ]);
    s.run("hello 3");
    s.check(&[
        ("debug protocol double", ",3.141"),
        ("debug protocol map", "{0: #f, 1: #t, 2: #f}"),
        (
            "debug protocol push",
            ">[\"server-cpu-usage\", 42] \"Some real reply following the push reply\"",
        ),
        (
            "debug protocol verbatim",
            "=txt:\"This is a verbatim\\nstring\"",
        ),
    ]);
}

#[test]
fn a_sleep_holds_all_clients_without_the_lock() {
    let server = server(|_| {});
    let (mut a, mut b) = (Shell::of(&server), Shell::of(&server));
    assert_eq!(a.run("debug sleep 0.05"), "(held)");
    assert_eq!(b.run("ping"), "(held)");
    let until = server.live.asleep().expect("asleep");
    while server.live.asleep().is_some() {
        std::thread::sleep(until.saturating_duration_since(std::time::Instant::now()));
    }
    assert_eq!(b.run("ping"), "PONG");
    assert_eq!(a.run("debug sleep 0.05"), "OK");
    // It is known as the slow command that it was.
    assert!(a.run("slowlog get").contains("\"sleep\", \"0.05\""));
}

#[test]
fn the_cluster_is_one_shard_or_none() {
    let mut s = Shell::new();
    s.check(&[
        (
            "cluster info",
            "-ERR This instance has cluster support disabled",
        ),
        (
            "cluster reset",
            "-ERR This instance has cluster support disabled",
        ),
    ]);
    let mut s = Shell::of(&server(|o| o.redirect = true));
    s.check(&[
        ("cluster keyslot foo", "12182"),
        ("cluster links", "[]"),
        ("cluster countkeysinslot 16384", "-ERR Invalid slot"),
        (
            "mget a b",
            "-CROSSSLOT Keys in request don't hash to the same slot",
        ),
    ]);
    let slots = s.run("cluster slots");
    assert!(
        slots.starts_with("[[0, 16383, [\"10.0.0.1\", 6379, "),
        "{slots}"
    );
    let nodes = s.text("cluster nodes");
    assert!(
        nodes
            .lines()
            .next()
            .is_some_and(|l| l.contains("myself,master - 0 0 1 connected 0-16383")),
        "{nodes}"
    );
    assert!(s.text("cluster info").starts_with("cluster_state:ok\r\n"));
}

#[test]
fn others() {
    let mut s = Shell::new();
    s.check(&[
        ("wait 0 0", "1"),
        ("wait a 0", "-ERR value is not an integer or out of range"),
        ("wait 1 -1", "-ERR timeout is negative"),
        ("waitaof 1 0 0", "[1, 1]"),
        ("role", "[\"master\", 7, [[\"10.0.0.2\", \"6379\", \"7\"]]]"),
        ("acl whoami", "\"default\""),
        ("acl users", "[\"default\"]"),
        ("acl cat foo", "-ERR Unknown category 'foo'"),
        ("acl genpass 5000", "-ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096"),
        ("module list", "[]"),
        ("latency history command", "[]"),
        ("latency graph command", "-ERR No samples available for event 'command'"),
        ("latency reset", "0"),
        ("memory purge", "OK"),
    ]);
    assert_eq!(s.run("acl genpass 5").len(), 4);
    assert!(s.text("lolwut").contains("Redis ver. 7.2.6"));
}

#[test]
fn monitors_see_what_is_executed() {
    let server = server(|_| {});
    let (mut a, mut b) = (Shell::of(&server), Shell::of(&server));
    a.check(&[("monitor", "OK")]);
    b.run("echo \"a\\x01\"");
    b.run("config get x");
    let waker = std::task::Waker::noop();
    let line = a.session.client.receive(waker).expect("a line");
    let line = String::from_utf8_lossy(&line).into_owned();
    assert!(
        line.ends_with(" [0 127.0.0.1:1001] \"echo\" \"a\\x01\"\r\n"),
        "{line}"
    );
    assert!(
        a.session.client.receive(waker).is_none(),
        "CONFIG is not shown"
    );
    a.check(&[("reset", "RESET")]);
    b.run("ping");
    assert!(a.session.client.receive(waker).is_none());
}

#[test]
fn restricted_commands_are_refused() {
    let restricted = server(|o| {
        o.restricted.insert("config".into());
    });
    let mut s = Shell::of(&restricted);
    s.check(&[(
        "config get x",
        "-NOPERM User default has no permissions to run the 'config|get' command",
    )]);
    assert_eq!(s.info("stats", "acl_access_denied_cmd"), "1");
}

#[test]
fn a_full_memory_refuses_what_multi_would_queue() {
    let mut shell = Shell::new();
    assert_eq!(shell.run("set a 1"), "OK");
    assert_eq!(shell.run("config set maxmemory 1"), "OK");
    assert_eq!(shell.run("get a"), "\"1\"");
    assert_eq!(shell.run("multi"), "OK");
    let oom = "-OOM command not allowed when used memory > 'maxmemory'.";
    assert_eq!(shell.run("get a"), oom);
    assert_eq!(
        shell.run("exec"),
        "-EXECABORT Transaction discarded because of previous errors."
    );
}

#[test]
fn exec_with_a_wrong_number_of_arguments_discards_the_transaction() {
    let mut shell = Shell::new();
    let abort =
        "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
    assert_eq!(shell.run("exec x"), abort);
    assert_eq!(shell.run("multi"), "OK");
    assert_eq!(shell.run("set a 1"), "QUEUED");
    assert_eq!(shell.run("exec x"), abort);
    assert_eq!(shell.run("exec"), "-ERR EXEC without MULTI");
    assert_eq!(shell.run("get a"), "nil");
}
