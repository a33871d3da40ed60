//! The replication stream as a Redis that follows reads it: what it is told of each command, and when.

use std::task::Waker;

use super::testing::{Shell, server};
use crate::resp::{Value, parse_value};

/// A client that writes, and one that reads the stream of the same server.
fn attached() -> (Shell, Shell) {
    let server = server(|_| {});
    let (writer, mut reader) = (Shell::of(&server), Shell::of(&server));
    assert!(!reader.session.replica);
    reader.run("sync");
    assert!(reader.session.replica);
    (writer, reader)
}

/// The commands that were told since the last call.
fn told(reader: &mut Shell) -> Vec<String> {
    let mut bytes = Vec::new();
    while let Some(message) = reader.session.client.receive(Waker::noop()) {
        bytes.extend_from_slice(&message);
    }
    let (mut said, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((value, used)) = parse_value(rest).expect("commands") {
        let words = value.as_slice().expect("an array").iter();
        let words: Vec<_> = words
            .filter_map(Value::as_bytes)
            .map(String::from_utf8_lossy)
            .collect();
        said.push(words.join(" "));
        rest = &rest[used..];
    }
    said
}

#[test]
fn a_unit_of_several_commands_stands_in_multi() {
    let (mut writer, mut reader) = attached();
    writer.run("set a 1");
    for line in ["multi", "set b 2", "get b", "select 3", "incr c", "exec"] {
        writer.run(line);
    }
    writer.run("multi");
    writer.run("incr c");
    writer.run("exec");
    writer.run("get c");
    assert_eq!(
        told(&mut reader),
        [
            "SELECT 0", "set a 1", "MULTI", "set b 2", "SELECT 3", "incr c", "EXEC", "incr c"
        ]
    );
    writer.run("eval \"redis.call('set','x','1') redis.call('del','nothing')\" 0");
    writer.run("publish ch m");
    writer.run("script flush");
    assert_eq!(told(&mut reader), ["set x 1", "publish ch m"]);
}

#[test]
fn what_depends_on_time_or_chance_is_told_by_what_came_of_it() {
    for (given, asked, said) in [
        (
            "set k v",
            "set k w exat 9999999999",
            "SET k w PXAT 9999999999000",
        ),
        ("set k v", "set k w get", "set k w"),
        (
            "set k v",
            "set k w pxat 9999999999000",
            "set k w pxat 9999999999000",
        ),
        (
            "set k v",
            "expireat k 9999999999",
            "PEXPIREAT k 9999999999000",
        ),
        ("set k v", "expire k -1", "DEL k"),
        (
            "set k v pxat 9999999999000",
            "expireat k 9999999999",
            "PEXPIREAT k 9999999999000",
        ),
        ("set k v", "getdel k", "DEL k"),
        ("set k v ex 100", "getex k persist", "PERSIST k"),
        (
            "set k v",
            "getex k exat 9999999999",
            "PEXPIREAT k 9999999999000",
        ),
        ("set k 1", "incrbyfloat k 0.5", "SET k 1.5 KEEPTTL"),
        ("hset k f 1", "hincrbyfloat k f 0.5", "HSET k f 1.5"),
        ("sadd k m", "spop k", "SREM k m"),
        ("sadd k m n", "spop k 9", "DEL k"),
        ("rpush k a b c", "lmpop 2 j k right count 2", "RPOP k 2"),
        ("rpush k a", "blpop j k 0", "LPOP k"),
        (
            "rpush k a",
            "blmove k d left right 0",
            "LMOVE k d left right",
        ),
        ("zadd k 1 a 2 b", "zmpop 1 k max count 5", "ZPOPMAX k 2"),
        ("zadd k 1 a", "bzpopmin k 0", "ZPOPMIN k"),
        (
            "xadd k 1-1 f v",
            "xadd k maxlen ~ 10 limit 5 2-* f v",
            "xadd k MAXLEN = 2 2-0 f v",
        ),
        ("set k v", "append k w", "append k w"),
        ("set k v", "flushdb", "flushdb"),
    ] {
        let (mut writer, mut reader) = attached();
        writer.run(given);
        told(&mut reader);
        writer.run(asked);
        assert_eq!(told(&mut reader), [said], "{asked}");
    }
}

#[test]
fn what_changes_nothing_is_not_told() {
    let (mut writer, mut reader) = attached();
    writer.run("sadd s a");
    told(&mut reader);
    for line in [
        "del nothing",
        "sadd s a",
        "getex s",
        "incr s",
        "get nothing",
        "acl setuser u on",
    ] {
        writer.run(line);
    }
    assert_eq!(told(&mut reader), Vec::<String>::new());
}

#[test]
fn who_waited_is_told_behind_what_served_it() {
    let (mut writer, mut reader) = attached();
    let mut waiter = Shell::of(&writer.server);
    assert_eq!(waiter.run("blpop k 0"), "(blocked)");
    writer.run("rpush k a");
    assert_eq!(told(&mut reader), ["SELECT 0", "rpush k a", "LPOP k"]);
}

#[test]
fn a_second_reader_is_told_only_what_its_copy_does_not_hold() {
    let (mut writer, mut first) = attached();
    writer.run("set a 1");
    let mut second = Shell::of(&writer.server);
    second.run("replconf listening-port 7000");
    second.run("psync ? -1");
    writer.run("set b 2");
    assert_eq!(told(&mut first), ["SELECT 0", "set a 1", "set b 2"]);
    assert_eq!(told(&mut second), ["SELECT 0", "set b 2"]);
    assert_eq!(second.run("replconf ack 77"), "(none)");
    let slaves = writer.text("info replication");
    assert!(
        slaves.contains("port=7000,state=online,offset=77"),
        "{slaves}"
    );
}

#[test]
fn the_stream_ends_with_the_leader() {
    let (writer, reader) = attached();
    writer.server.engine.lock().end_epoch();
    assert!(reader.session.client.killed());
}

#[test]
fn nobody_is_made_a_replica() {
    let mut shell = Shell::new();
    assert_eq!(shell.run("replicaof no one"), "OK");
    assert!(
        shell
            .run("replicaof localhost 6379")
            .starts_with("-ERR a member of a service")
    );
    assert_eq!(
        shell.run("replicaof localhost x"),
        "-ERR Invalid master port"
    );
    assert_eq!(
        shell.run("replconf nonsense 1"),
        "-ERR Unrecognized REPLCONF option: nonsense"
    );
}
