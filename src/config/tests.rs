//! Configurations and what is said of them.

use expect_test::{Expect, expect};

use super::{Eviction, KEYS, Node, documented};

const GOOD: &str = r#"
node_id = 1
cluster_id = "c-1"
data_dir = "/d"
tls_cert = "s.pem"
tls_key = "s.key"
peer_cert = "n.pem"
peer_key = "n.key"
peer_ca = "ca.pem"
password = "a long secret"
"#;

fn load(extra: &str, flags: &[(&str, &str)]) -> Result<Node, super::Error> {
    let flags: Vec<_> = flags
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    // A key of `extra` replaces the one of GOOD.
    let extra_keys: Vec<&str> = extra
        .lines()
        .filter_map(|l| l.split_once('='))
        .map(|(k, _)| k.trim())
        .collect();
    let good: Vec<&str> = GOOD
        .lines()
        .filter(|l| {
            l.split_once('=')
                .is_none_or(|(k, _)| !extra_keys.contains(&k.trim()))
        })
        .collect();
    Node::parse(&format!("{}\n{extra}", good.join("\n")), &[], &flags)
}

fn refused(extra: &str, flags: &[(&str, &str)], want: Expect) {
    let error = load(extra, flags).expect_err("this configuration must be refused");
    want.assert_eq(&error.to_string());
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    let cases: &[(&str, Expect)] = &[
        (
            "node_id = 0",
            expect![[r#"
            the configuration cannot be used:
              node_id: it is missing or 0; give a number from 1"#]],
        ),
        (
            "node_id = -3",
            expect![[r#"
            the configuration cannot be used:
              node_id: it is -3; give a whole number, zero or more"#]],
        ),
        (
            "node_id = \"one\"",
            expect![[r#"
            the configuration cannot be used:
              node_id: it is of type string; give a whole number, zero or more"#]],
        ),
        (
            "cluster_id = \"Not One\"",
            expect![[r#"
            the configuration cannot be used:
              cluster_id: "Not One" cannot be part of a certificate's name; give lower-case letters, digits and hyphens, 1 to 40 of them"#]],
        ),
        (
            "data_dir = \"\"",
            expect![[r#"
            the configuration cannot be used:
              data_dir: it is missing; give a path"#]],
        ),
        (
            "databses = 4",
            expect![[r#"
            the configuration cannot be used:
              databses: there is no such key; did you mean databases?"#]],
        ),
        (
            "favourite_colour = 4",
            expect![[r#"
            the configuration cannot be used:
              favourite_colour: there is no such key; `pontoon node --print-config` lists all keys"#]],
        ),
        (
            "client_addr = \"localhost\"",
            expect![[r#"
            the configuration cannot be used:
              client_addr: "localhost" is not an address; give an IP address and a port, such as 127.0.0.1:6379"#]],
        ),
        (
            "peer_addr = \"0.0.0.0:6379\"",
            expect![[r#"
            the configuration cannot be used:
              peer_addr: it has the port of client_addr; give each listener its own port"#]],
        ),
        (
            "announced = \"db1\"",
            expect![[r#"
            the configuration cannot be used:
              announced: "db1" is not host:port; give for example db1.example:6379"#]],
        ),
        (
            "redirect = true",
            expect![[r#"
            the configuration cannot be used:
              announced: redirect is on and clients cannot be told an unspecified address; give the host:port at which clients reach this node"#]],
        ),
        (
            "insecure_plaintext = \"10.0.0.1:6380\"",
            expect![[r#"
            the configuration cannot be used:
              insecure_plaintext: 10.0.0.1:6380 can be reached from other machines; give a loopback address, such as 127.0.0.1:6380, or leave it out"#]],
        ),
        (
            "maxmemory_policy = \"lru\"",
            expect![[r#"
            the configuration cannot be used:
              maxmemory_policy: "lru" is none of the choices; give one of `noeviction`, `allkeys-lru`, `allkeys-lfu`, `allkeys-random`, `volatile-lru`, `volatile-lfu`, `volatile-random`, `volatile-ttl`"#]],
        ),
        (
            "databases = 0",
            expect![[r#"
            the configuration cannot be used:
              databases: it is 0; give 1 to 16384"#]],
        ),
        (
            "election_timeout_min_ms = 400",
            expect![[r#"
            the configuration cannot be used:
              election_timeout_max_ms: it is 400 and election_timeout_min_ms is 400; give more than election_timeout_min_ms, so that two nodes seldom stand at once"#]],
        ),
        (
            "heartbeat_ms = 200",
            expect![[r#"
            the configuration cannot be used:
              election_timeout_min_ms: it is 300 and heartbeat_ms is 200; give at least twice heartbeat_ms, so that one late heartbeat is no failover"#]],
        ),
        (
            "log_disk_cap_bytes = 67108864",
            expect![[r#"
            the configuration cannot be used:
              log_disk_cap_bytes: it is 67108864 and log_segment_bytes is 67108864; give room for at least 4 segments"#]],
        ),
        (
            "restricted_commands = [\"FLUSHALL\"]",
            expect![[r#"
            the configuration cannot be used:
              restricted_commands: "FLUSHALL" is no command; give names in lower case"#]],
        ),
        (
            "bootstrap = true",
            expect![[r#"
            the configuration cannot be used:
              members: bootstrap is on and id 1 is not among them; list this node too"#]],
        ),
        (
            "members = [{ id = 1, peer_addr = \"a:1\" }]",
            expect![[r#"
            the configuration cannot be used:
              members: missing field `client_addr`; give a list of tables, such as [{ id = 1, peer_addr = "host:7379", client_addr = "host:6379" }]"#]],
        ),
        (
            "members = [{ id = 1, peer_addr = \"a:1\", client_addr = \"a:2\" }, { id = 1, peer_addr = \"b\", client_addr = \"b:2\" }]",
            expect![[r#"
            the configuration cannot be used:
              members: id 1 is 0 or twice there; give each member its own id from 1
              members: peer_addr "b" of id 1 is not host:port; give for example db1:7379"#]],
        ),
        (
            "members = [{ id = 1, peer_addr = \"a:1\", client_addr = \"a:2\", port = 3 }]",
            expect![[r#"
            the configuration cannot be used:
              members: unknown field `port`, expected one of `id`, `peer_addr`, `client_addr`, `announced`, `data`; give a list of tables, such as [{ id = 1, peer_addr = "host:7379", client_addr = "host:6379" }]"#]],
        ),
        (
            "password = 123456789",
            expect![[r#"
            the configuration cannot be used:
              password: it is not a string; give a string in quotes"#]],
        ),
        (
            "password = \"\"",
            expect![[r#"
            the configuration cannot be used:
              password: it is missing; give password_file (or password), not empty"#]],
        ),
        (
            "password_file = \"/nowhere/at/all\"",
            expect![[r#"
            the configuration cannot be used:
              password_file: password is given too; give one of password and password_file"#]],
        ),
        (
            "memory_mib = 1\nmaxmemory_percent = 95\nio_threads = 1000",
            expect![[r#"
            the configuration cannot be used:
              memory_mib: it is 1; give 32 to 16777216
              maxmemory_percent: it is 95; give 10 to 90
              io_threads: it is 1000; give 0 to 256"#]],
        ),
        (
            "this is no TOML",
            expect![[r#"
            the configuration cannot be used:
              line 11: key with no value, expected `=`; write it as TOML: key = value"#]],
        ),
    ];
    for (extra, want) in cases {
        let error = load(extra, &[]).expect_err(extra);
        want.assert_eq(&error.to_string());
    }
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let pair = |k: &str, v: &str| (k.to_string(), v.to_string());
    let file = format!("{GOOD}\ndatabases = 4\nheartbeat_ms = 20\n");
    let node = Node::parse(
        &file,
        &[pair("databases", "5"), pair("memory_mib", "4096")],
        &[
            pair("databases", "6"),
            pair("restricted_commands", "debug, acl"),
            pair("unrestricted", "true"),
        ],
    )
    .unwrap();
    assert_eq!(
        (node.databases, node.memory_mib, node.heartbeat_ms),
        (6, 4096, 20)
    );
    assert_eq!(node.restricted_commands, ["debug", "acl"]);
    assert!(node.unrestricted && !node.restricts("acl"));
}

#[test]
fn an_override_that_cannot_be_read_is_refused() {
    refused(
        "",
        &[
            ("databases", "many"),
            ("bootstrap", "1"),
            ("members", "id=1"),
            ("colour", "red"),
        ],
        expect![[r#"
        the configuration cannot be used:
          databases: it is "many"; give a whole number, zero or more
          bootstrap: it is "1"; give true or false
          members: it is "id=1"; give a list of tables, such as [{ id = 1, peer_addr = "host:7379", client_addr = "host:6379" }]
          colour: there is no such key; `pontoon node --print-config` lists all keys"#]],
    );
}

#[test]
fn members_can_be_given_in_a_variable() {
    let list = r#"[{ id = 1, peer_addr = "db1:7379", client_addr = "db1:6379" },
        { id = 2, peer_addr = "db2:7379", client_addr = "db2:6379", announced = "x.example:1", data = false }]"#;
    let node = load("bootstrap = true", &[("members", list)]).unwrap();
    assert_eq!(node.members[0].announced(), "db1:6379");
    assert_eq!(node.members[1].announced(), "x.example:1");
    assert!(node.members[0].data && !node.members[1].data);
}

#[test]
fn the_password_comes_from_its_file_and_is_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    std::fs::write(&path, "sesame\nsecond line\n").unwrap();
    let text = GOOD.replace(
        "password = \"a long secret\"",
        &format!("password_file = {path:?}"),
    );
    let node = Node::parse(&text, &[], &[]).unwrap();
    assert_eq!(node.password.expose(), "sesame");
    assert!(!format!("{node:?}").contains("sesame"));
    let shown = toml::to_string(&node).unwrap();
    assert!(!shown.contains("sesame"), "{shown}");
}

#[test]
fn the_printed_file_has_every_key_and_is_itself_a_configuration() {
    let text = documented();
    for key in KEYS {
        assert!(
            text.contains(&format!("\n{} = ", key.name))
                || text.contains(&format!("\n# {} = ", key.name)),
            "{}",
            key.name
        );
    }
    // With the examples taken as they are, only what cannot be read here may be wrong.
    let opened: String = text
        .lines()
        .map(|l| {
            match l.strip_prefix("# ").filter(|l| {
                KEYS.iter()
                    .any(|k| l.starts_with(&format!("{} = ", k.name)))
            }) {
                Some(l) if l.starts_with("password_file") => String::new(),
                Some(l) => format!("{l}\n"),
                None => format!("{l}\n"),
            }
        })
        .collect();
    let node = Node::parse(&opened, &[], &[]).unwrap();
    let defaults = Node::default();
    assert_eq!(node.restricted_commands, defaults.restricted_commands);
    assert_eq!(node.log_segment_bytes, defaults.log_segment_bytes);
    assert_eq!(node.maxmemory_policy, Eviction::Noeviction);
}

#[test]
fn memory_decides_how_many_clients_and_how_much_data() {
    let with = |mib| Node {
        memory_mib: mib,
        ..Node::default()
    };
    assert_eq!(with(1024).maxclients(), 10_000);
    assert_eq!(with(2500).maxclients(), 10_000);
    assert_eq!(with(4096).maxclients(), 16_384);
    assert_eq!(with(1000).maxmemory(), 700 * 1024 * 1024);
}

#[test]
fn every_policy_is_read_by_its_name() {
    for policy in Eviction::ALL {
        let node = load(&format!("maxmemory_policy = \"{}\"", policy.name()), &[]).unwrap();
        assert_eq!(node.maxmemory_policy, policy);
    }
}
