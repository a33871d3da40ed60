//! The machine without a server: sandbox, conversions, libraries.

use std::sync::Arc;

use super::{Ended, Host, Run, Vm};
use crate::resp::{Out, Proto};

/// Answers every command with its own arguments; `fail` with an error.
struct Echo;

impl Host for Echo {
    fn call(&mut self, args: &[&[u8]], resp3: bool, reply: &mut Vec<u8>) {
        let mut out = Out::new(if resp3 { Proto::Resp3 } else { Proto::Resp2 });
        match args[0] {
            b"fail" => out.error("WRONGTYPE bad type"),
            b"null" => out.null(),
            b"double" => out.double(1.5),
            _ => {
                out.array(args.len());
                args.iter().for_each(|a| out.bulk(a));
            }
        }
        reply.extend_from_slice(out.as_slice());
    }

    fn may(&mut self, _: &[&[u8]]) -> Option<bool> {
        Some(true)
    }
}

fn eval(vm: &Vm, code: &str) -> String {
    let script = match vm.compile(code.as_bytes(), "@user_script") {
        Ok(script) => script,
        Err(e) => return e,
    };
    let mut out = Out::new(Proto::Resp2);
    let run = Run { name: "sha", keys: &[b"k"], args: &[b"a", b"b"] };
    match vm.run(&script, &run, &mut Echo, &mut out) {
        Ended::Replied { .. } => String::from_utf8_lossy(out.as_slice()).replace("\r\n", "|"),
        Ended::Failed { text, .. } => String::from_utf8_lossy(&text).into_owned(),
    }
}

fn check(pairs: &[(&str, &str)]) {
    let vm = Vm::new(Arc::default()).unwrap();
    for (code, reply) in pairs {
        assert_eq!(eval(&vm, code), *reply, "{code}");
    }
}

#[test]
fn values_become_replies() {
    check(&[
        ("return 3.99", ":3|"),
        ("return 'x'", "$1|x|"),
        ("return true", ":1|"),
        ("return false", "$-1|"),
        ("return {1,2,nil,4}", "*2|:1|:2|"),
        ("return {ok='fine'}", "+fine|"),
        ("return {err='MY error'}", "-MY error|"),
        ("return {KEYS[1], ARGV[2]}", "*2|$1|k|$1|b|"),
        ("return redis.call('x', 10, 1.5, 1e15)", "*4|$1|x|$2|10|$3|1.5|$16|1000000000000000|"),
        ("return redis.pcall('fail')", "-WRONGTYPE bad type|"),
        ("return type(redis.call('null'))", "$7|boolean|"),
        ("redis.setresp(3); return type(redis.call('null'))", "$3|nil|"),
        ("redis.setresp(3); return redis.call('double')", "$3|1.5|"),
        ("return redis.sha1hex('')", "$40|da39a3ee5e6b4b0d3255bfef95601890afd80709|"),
    ]);
}

#[test]
fn errors_say_where() {
    check(&[
        ("return redis.call('fail')", "WRONGTYPE bad type script: sha, on @user_script:1."),
        ("\nerror('mine')", "ERR user_script:2: mine script: sha, on @user_script:2."),
        ("error({err='OWN text'})", "OWN text script: sha, on @user_script:1."),
        ("return redis.call()", "ERR Please specify at least one argument for this redis lib call script: sha, on @user_script:1."),
        ("local ok, e = pcall(redis.call, 'fail'); return e", "$18|WRONGTYPE bad type|"),
        ("local ok, e = pcall(cjson.decode, '{'); return type(e)", "$6|string|"),
    ]);
}

#[test]
fn the_sandbox_is_closed() {
    let missing = |name: &str| {
        format!("ERR user_script:1: Script attempted to access nonexistent global variable '{name}' script: sha, on @user_script:1.")
    };
    let vm = Vm::new(Arc::default()).unwrap();
    for name in ["print", "loadfile", "dofile", "os", "io", "debug", "require", "package", "newproxy", "module"] {
        assert_eq!(eval(&vm, &format!("return {name}")), missing(name));
    }
    for code in [
        "x = 1", "redis = 1", "_G.redis = 1", "redis.call = 1", "string.rep = 1", "cjson.encode = nil",
        "rawset(redis, 'call', 1)", "rawset(_G, 'a', 1)", "setmetatable(_G, {})", "setmetatable(redis, {})",
        "getmetatable(_G).__index = 1", "getmetatable('').__index = 1", "table.insert(redis, 1)", "setfenv(0, {})",
        "local f, t = pairs(redis); t.call = 1", "getfenv(pairs).redis = 1", "getfenv(string.rep).redis = 1",
        "getmetatable('').__index.rep = 1",
    ] {
        let reply = eval(&vm, code);
        assert!(reply.contains("Attempt to modify a readonly table"), "{code}: {reply}");
    }
    assert_eq!(eval(&vm, "return #getmetatable('').__index.rep('x', 3)"), ":3|");
    assert_eq!(eval(&vm, "return loadstring(string.dump(function() end)) == nil"), ":1|");
    assert!(eval(&vm, "return string.rep('x', 2^30)").contains("not enough memory"));
    assert_eq!(eval(&vm, "return ('ab'):upper()"), "$2|AB|");
}

#[test]
fn libraries() {
    check(&[
        ("return cjson.encode({1,2,{a='b/'}})", "$17|[1,2,{\"a\":\"b\\/\"}]|"),
        ("return cjson.encode({0.1, 1e20, cjson.null})", "$16|[0.1,1e+20,null]|"),
        ("return cjson.decode('[1,\"\\\\u00e9\"]')[2]", "$2|é|"),
        ("return cjson.encode(cjson.decode('{}'))", "$2|{}|"),
        ("return cmsgpack.unpack(cmsgpack.pack({1,2,'x'}))", "*3|:1|:2|$1|x|"),
        ("return {cmsgpack.unpack(cmsgpack.pack(-300, 70000, 1.5))}", "*3|:-300|:70000|:1|"),
        ("return bit.tohex(bit.bor(0xf0, 0x0f))", "$8|000000ff|"),
        ("return bit.lshift(1, 31)", ":-2147483648|"),
        ("return {struct.unpack('>HhB', struct.pack('>HhB', 258, -2, 7))}", "*4|:258|:-2|:7|:6|"),
        ("return {struct.unpack('Bc0', struct.pack('Bc0', 3, 'abcd'))}", "*2|$3|abc|:5|"),
        ("return struct.size('!4bi')", ":8|"),
    ]);
}
