//! DUMP and RESTORE as commands: what Redis 7.2.6 replied to the same, and payloads that it made.

use crate::command::settings::notify;
use crate::command::testing::{Shell, render};
use crate::rdb::payload;
use crate::resp::Value;

/// Payloads made or taken by Redis (see `rdb/tests.rs`).
const RECORDED: &str = include_str!("../../rdb/tests/recorded.txt");

fn recorded() -> impl Iterator<Item = (Vec<u8>, &'static str)> {
    let lines = RECORDED.lines().filter(|l| !l.starts_with('#'));
    lines.map(|line| {
        let (payload, what) = line.split_once(' ').expect("a payload and what it holds");
        (hex::decode(payload).expect("digits"), what)
    })
}

fn dump(shell: &mut Shell, key: &[u8]) -> Vec<u8> {
    match shell.reply(&[b"DUMP", key]) {
        Value::Bulk(payload) => payload,
        other => panic!("{}", render(&other)),
    }
}

#[test]
fn what_redis_dumped_is_restored_and_dumped_again() {
    let mut shell = Shell::new();
    let mut count = 0;
    for (payload, what) in recorded() {
        let reply = shell.call(&[b"RESTORE", b"k", b"0", &payload, b"REPLACE"]);
        assert_eq!(reply, "OK", "{what}");
        let kind = shell.run("TYPE k");
        assert!(what.starts_with(&format!("{kind} ")), "{what}: {kind}");
        let again = dump(&mut shell, b"k");
        // Forms of older versions are written as newer ones; those of 7.2 keep their form.
        if payload[payload.len() - 10] == 11 && payload[0] != 1 {
            assert_eq!(again[0], payload[0], "{what}");
        }
        assert_eq!(
            shell.call(&[b"RESTORE", b"copy", b"0", &again, b"REPLACE"]),
            "OK"
        );
        let size = |shell: &mut Shell, key| match &kind[..] {
            "string" => shell.run(&format!("STRLEN {key}")),
            "list" => shell.run(&format!("LLEN {key}")),
            "set" => shell.run(&format!("SCARD {key}")),
            "hash" => shell.run(&format!("HLEN {key}")),
            "stream" => shell.run(&format!("XLEN {key}")),
            _ => shell.run(&format!("ZCARD {key}")),
        };
        assert_eq!(size(&mut shell, "copy"), size(&mut shell, "k"));
        if kind != "string" {
            let parts = what.split(' ').nth(1).expect("a count");
            assert_eq!(size(&mut shell, "k"), parts, "{what}");
        }
        count += 1;
    }
    assert!(count > 35);
}

#[test]
fn options_and_errors() {
    let mut shell = Shell::new();
    shell.settings.notify = notify::KEYSPACE | notify::KEYEVENT | notify::ALL;
    shell.run("SET k value");
    let payload = dump(&mut shell, b"k");
    let mut damaged = payload.clone();
    damaged[1] ^= 1;
    let bad = payload::seal(vec![0x01, 0x00]);
    let newer = {
        let mut body = payload[..payload.len() - 10].to_vec();
        body.extend_from_slice(&12u16.to_le_bytes());
        let sum = crate::rdb::crc64::extend(0, &body);
        body.extend_from_slice(&sum.to_le_bytes());
        body
    };
    let mut restore = |key: &str, ttl: &str, payload: &[u8], options: &str| {
        let mut args = vec![&b"RESTORE"[..], key.as_bytes(), ttl.as_bytes(), payload];
        args.extend(options.split_whitespace().map(str::as_bytes));
        let reply = shell.call(&args);
        let left = shell.run(&format!("PTTL {key}"));
        (reply, left)
    };
    let wrong = "-ERR DUMP payload version or checksum are wrong";
    let busy = "-BUSYKEY Target key name already exists.";
    for (key, ttl, payload, options, reply, left) in [
        ("new", "0", &payload, "", "OK", "-1"),
        ("new", "0", &payload, "", busy, "-1"),
        ("new", "-1", &damaged, "", busy, "-1"),
        ("new", "5000", &payload, "replace", "OK", "5000"),
        (
            "new",
            "1000000005000",
            &payload,
            "replace absttl",
            "OK",
            "5000",
        ),
        ("new", "1000", &payload, "ABSTTL REPLACE", "OK", "-2"),
        (
            "a",
            "-1",
            &damaged,
            "",
            "-ERR Invalid TTL value, must be >= 0",
            "-2",
        ),
        (
            "a",
            "x",
            &payload,
            "",
            "-ERR value is not an integer or out of range",
            "-2",
        ),
        ("a", "0", &damaged, "", wrong, "-2"),
        ("a", "0", &newer, "", wrong, "-2"),
        ("a", "0", &b"short".to_vec(), "", wrong, "-2"),
        ("a", "0", &bad, "", "-ERR Bad data format", "-2"),
        ("a", "0", &payload, "idletime", "-ERR syntax error", "-2"),
        (
            "a",
            "0",
            &payload,
            "idletime 1 freq 1",
            "-ERR syntax error",
            "-2",
        ),
        ("a", "0", &payload, "other", "-ERR syntax error", "-2"),
        (
            "a",
            "0",
            &payload,
            "idletime -1",
            "-ERR Invalid IDLETIME value, must be >= 0",
            "-2",
        ),
        (
            "a",
            "0",
            &payload,
            "freq 256",
            "-ERR Invalid FREQ value, must be >= 0 and <= 255",
            "-2",
        ),
    ] {
        let expected = (reply.to_string(), left.to_string());
        assert_eq!(
            restore(key, ttl, payload, options),
            expected,
            "{key} {ttl} {options}"
        );
    }
    assert_eq!(shell.run("DUMP absent"), "nil");
    assert_eq!(
        shell.call(&[b"RESTORE", b"k", b"0", &payload, b"REPLACE"]),
        "OK"
    );
    assert_eq!(shell.events, ["restore@0 k"]);
    assert_eq!(
        shell.call(&[b"RESTORE", b"k", b"1", &payload, b"REPLACE", b"ABSTTL"]),
        "OK"
    );
    assert_eq!(shell.events, ["del@0 k"]);
}
