//! Scripts and functions, by sessions of one server whose batches commit at once.

use std::time::Duration;

use super::testing::{Shell, server};
use crate::script::sha1_hex;

#[test]
fn replies_and_errors_are_those_of_redis() {
    let mut s = Shell::new();
    let sha = |body: &str| sha1_hex(body.as_bytes());
    let body = "return redis.call('incr', KEYS[1], 'x')";
    let wrong = format!(
        "-ERR Wrong number of args calling Redis command from script script: {}, on @user_script:1.",
        sha(body)
    );
    s.check(&[
        (
            "eval \"return {KEYS[1], ARGV[1], 3.9, true, false}\" 1 k a",
            "[\"k\", \"a\", 3, 1, nil]",
        ),
        (
            "eval \"return redis.call('set', KEYS[1], ARGV[1])\" 1 k 5",
            "OK",
        ),
        ("eval \"return redis.call('get', KEYS[1])\" 1 k", "\"5\""),
        (&format!("eval \"{body}\" 1 k"), &wrong),
        (
            "eval \"return redis.pcall('incr', 'k', 'x')\" 0",
            "-ERR Wrong number of args calling Redis command from script",
        ),
        (
            "eval \"return redis.pcall('nosuch')\" 0",
            "-ERR Unknown Redis command called from script",
        ),
        ("eval \"return redis.pcall('blpop', 'l', 0)\" 0", "nil"),
        (
            "eval \"return redis.pcall('xread', 'block', 0, 'streams', 's', '0')\" 0",
            "-ERR xread command is not allowed with BLOCK option from scripts",
        ),
        (
            "eval \"return redis.pcall('eval', 'return 1', 0)\" 0",
            "-ERR This Redis command is not allowed from script",
        ),
        (
            "eval \"return 1\" 1",
            "-ERR Number of keys can't be greater than number of args",
        ),
        (
            "eval \"return 1\" -1",
            "-ERR Number of keys can't be negative",
        ),
        (
            "eval \"return 1\" a",
            "-ERR value is not an integer or out of range",
        ),
        (
            "eval_ro \"return redis.pcall('set', 'k', 1)\" 1 k",
            "-ERR Write commands are not allowed from read-only scripts.",
        ),
        ("eval_ro \"return redis.call('get', 'k')\" 1 k", "\"5\""),
        (
            "eval \"#!lua flags=no-writes\\nreturn redis.pcall('set', 'k', 1)\" 0",
            "-ERR Write commands are not allowed from read-only scripts.",
        ),
        (
            "eval_ro \"#!lua\\nreturn 1\" 0",
            "-ERR Can not execute a script with write flag using *_ro command.",
        ),
        (
            "eval \"#!lua flags=foo\\nreturn 1\" 0",
            "-ERR Unexpected flag in script shebang: foo",
        ),
        ("eval \"#!lua\" 0", "-ERR Invalid script shebang"),
        ("select 3", "OK"),
        (
            "eval \"redis.call('select', 0); return redis.call('get', 'k')\" 0",
            "\"5\"",
        ),
        ("get k", "nil"),
    ]);
}

#[test]
fn an_error_keeps_what_was_written_before() {
    let mut s = Shell::new();
    let reply = s.run("eval \"redis.call('set', 'a', 1); redis.call('lpush', 'a', 1)\" 0");
    assert!(
        reply.starts_with("-WRONGTYPE Operation against a key"),
        "{reply}"
    );
    s.check(&[("get a", "\"1\"")]);
}

#[test]
fn scripts_are_kept_and_found_by_their_hash() {
    let mut s = Shell::new();
    let sha = sha1_hex(b"return 7");
    s.check(&[
        (&format!("evalsha {sha} 0"), "-NOSCRIPT No matching script. Please use EVAL."),
        ("script load \"return 7\"", &format!("\"{sha}\"")),
        (&format!("evalsha {} 0", sha.to_ascii_uppercase()), "7"),
        (&format!("evalsha_ro {sha} 0"), "7"),
        (&format!("script exists {sha} 00"), "[1, 0]"),
        ("script load \"bad(\"", "-ERR Error compiling script (new function): user_script:1: unexpected symbol near '<eof>'"),
        ("script kill", "-NOTBUSY No scripts in execution right now."),
        ("script debug yes", "-ERR scripts cannot be debugged on a service that others use"),
    ]);
    lead_anew(&s);
    s.check(&[
        (&format!("evalsha {sha} 0"), "7"),
        (
            "script flush foo",
            "-ERR SCRIPT FLUSH only support SYNC|ASYNC option",
        ),
        ("script flush async", "OK"),
        (&format!("script exists {sha}"), "[0]"),
    ]);
}

/// As after a failover: another epoch, and nothing derived is left.
fn lead_anew(s: &Shell) {
    let mut core = s.server.engine.lock();
    core.end_epoch();
    let open = core.open_epoch(9);
    let index = core.applied.0 + 1;
    core.apply(index, 9, &open).unwrap();
    s.server.scripts.forget_machine();
}

#[test]
fn within_transactions() {
    let server = server(|_| {});
    let (mut s, mut other) = (Shell::of(&server), Shell::of(&server));
    s.check(&[
        ("set k 1", "OK"),
        ("watch k", "OK"),
        ("multi", "OK"),
        ("eval \"return redis.call('incr', 'k')\" 1 k", "QUEUED"),
        ("get k", "QUEUED"),
        ("exec", "[2, \"2\"]"),
        ("watch k", "OK"),
    ]);
    other.run("eval \"redis.call('incr', 'k')\" 1 k");
    s.check(&[
        ("multi", "OK"),
        ("get k", "QUEUED"),
        ("exec", "nil*"),
        ("get k", "\"3\""),
    ]);
}

/// Takes some ten times as long as a script may run on a connection's thread.
const SLOW: &str = "for i = 1, 3e7 do end";

#[test]
fn a_long_script_has_its_effects_once() {
    let mut s = Shell::new();
    s.check(&[
        (
            &format!("eval \"redis.call('incr', 'k'); {SLOW} return redis.call('incr', 'k')\" 1 k"),
            "2",
        ),
        ("watch k", "OK"),
        ("multi", "OK"),
        ("incr k", "QUEUED"),
        (
            &format!("eval \"redis.call('incr', 'k'); {SLOW} return redis.call('incr', 'k')\" 1 k"),
            "QUEUED",
        ),
        ("exec", "[3, 5]"),
        ("get k", "\"5\""),
    ]);
}

#[test]
fn a_script_without_end_is_ended_and_undone() {
    let mut s = Shell::new();
    s.patience = Duration::from_millis(60);
    s.check(&[
        ("eval \"redis.call('set', 'k', 1); while true do pcall(function() while true do end end) end\" 0", "-ERR the script ran too long and was ended; nothing was changed"),
        ("exists k", "0"),
        ("eval \"return redis.call('set', 'k', 2)\" 0", "OK"),
        ("get k", "\"2\""),
    ]);
}

#[test]
fn where_memory_is_full() {
    let mut s = Shell::new();
    s.check(&[
        ("set k 1", "OK"),
        ("config set maxmemory 1", "OK"),
        (
            "eval \"return redis.pcall('set', 'k', 1)\" 0",
            "-OOM command not allowed when used memory > 'maxmemory'.",
        ),
        (
            "eval \"redis.call('del', 'k'); return redis.call('set', 'k', 3)\" 0",
            "OK",
        ),
        (
            "eval \"#!lua\\nreturn 1\" 0",
            "-OOM command not allowed when used memory > 'maxmemory'.",
        ),
        (
            "eval \"#!lua flags=no-writes\\nreturn redis.call('get', 'k')\" 0",
            "\"3\"",
        ),
        (
            "eval \"#!lua flags=allow-oom\\nreturn redis.call('set', 'k', 4)\" 0",
            "OK",
        ),
        ("get k", "\"4\""),
    ]);
}

#[test]
fn time_stands_still_within_a_script() {
    let mut s = Shell::new();
    let code =
        format!("redis.call('set', 'k', 1, 'px', 1); {SLOW} return redis.call('exists', 'k')");
    s.check(&[(&format!("eval \"{code}\" 0"), "1")]);
}

const LIB: &str = "#!lua name=lib\\nredis.register_function('f', function(keys, args) return redis.call('set', keys[1], args[1]) end)\\nredis.register_function{function_name='g', callback=function() return redis.call('get', 'k') end, flags={'no-writes'}, description='reads'}";

#[test]
fn functions() {
    let mut s = Shell::new();
    let list = "[[\"library_name\", \"lib\", \"engine\", \"LUA\", \"functions\", [[\"name\", \"f\", \"description\", nil, \"flags\", []], [\"name\", \"g\", \"description\", \"reads\", \"flags\", [no-writes]]]]]";
    s.check(&[
        ("fcall f 1 k v", "-ERR Function not found"),
        (&format!("function load \"{LIB}\""), "\"lib\""),
        (&format!("function load \"{LIB}\""), "-ERR Library 'lib' already exists"),
        (&format!("function load REPLACE \"{LIB}\""), "\"lib\""),
        ("function load \"#!lua name=two\\nredis.register_function('F', function() end)\"", "-ERR Function F already exists"),
        ("function load \"#!lua name=two\\nreturn 1\"", "-ERR No functions registered"),
        ("function load \"#!js name=two\\nx\"", "-ERR Engine 'js' not found"),
        ("fcall F 1 k v", "OK"),
        ("fcall_ro g 0", "\"v\""),
        ("fcall_ro f 1 k v", "-ERR Can not execute a script with write flag using *_ro command."),
        ("fcall f x", "-ERR Bad number of keys provided"),
        ("fcall f x y", "-ERR Bad number of keys provided"),
        ("function list", list),
        ("function list libraryname x*", "[]"),
        ("function list foo", "-ERR Unknown argument foo"),
        ("function stats", "[\"running_script\", nil, \"engines\", [\"LUA\", [\"libraries_count\", 1, \"functions_count\", 2]]]"),
        ("function kill", "-NOTBUSY No scripts in execution right now."),
    ]);
    lead_anew(&s);
    s.check(&[
        ("fcall g 0", "\"v\""),
        ("flushall", "OK"),
        ("function list", list),
        ("function delete x", "-ERR Library not found"),
        ("function delete lib", "OK"),
        ("fcall g 0", "-ERR Function not found"),
    ]);
}

#[test]
fn functions_are_dumped_and_restored() {
    let mut s = Shell::new();
    s.run(&format!("function load \"{LIB}\""));
    let dump = s.run("function dump");
    let restore = |s: &mut Shell, how: &str| s.run(&format!("function restore {dump} {how}"));
    assert_eq!(restore(&mut s, ""), "-ERR Library lib already exists");
    assert_eq!(restore(&mut s, "replace"), "OK");
    s.check(&[
        ("function flush", "OK"),
        ("function load \"#!lua name=other\\nredis.register_function('g', function() return 9 end)\"", "\"other\""),
    ]);
    assert_eq!(restore(&mut s, "replace"), "-ERR Function g already exists");
    assert_eq!(s.run("fcall g 0"), "9");
    assert_eq!(restore(&mut s, "flush"), "OK");
    s.check(&[
        ("fcall f 1 k v", "OK"),
        ("fcall g 0", "\"v\""),
        ("function stats", "[\"running_script\", nil, \"engines\", [\"LUA\", [\"libraries_count\", 1, \"functions_count\", 2]]]"),
        ("function restore bad", "-ERR DUMP payload version or checksum are wrong"),
        ("function restore a b c", "-ERR unknown subcommand or wrong number of arguments for 'restore'. Try FUNCTION HELP."),
    ]);
    assert!(restore(&mut s, "x").starts_with("-ERR Wrong restore policy given"));
}

#[test]
fn closed_by_policy() {
    let mut s = Shell::of(&server(|o| {
        o.restricted.insert("config".into());
        o.functions = false;
    }));
    s.check(&[
        (
            "fcall f 0",
            "-NOPERM User default has no permissions to run the 'fcall' command",
        ),
        (
            "function list",
            "-NOPERM User default has no permissions to run the 'function|list' command",
        ),
        (
            "eval \"return redis.pcall('config', 'resetstat')\" 0",
            "-ERR This Redis command is not allowed from script",
        ),
    ]);
}
