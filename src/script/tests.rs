//! The machine without a server: sandbox, conversions, libraries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::{Ended, Host, Registered, Run, Vm};
use crate::base::limits::LIBRARY_LOAD_MAX;
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
    let script = match vm.compile(code.as_bytes()) {
        Ok(script) => script,
        Err(e) => return e,
    };
    let mut out = Out::new(Proto::Resp2);
    let until = Instant::now() + Duration::from_millis(200);
    let run = Run {
        name: "sha",
        keys: &[b"k"],
        args: &[b"a", b"b"],
        function: false,
        until,
    };
    match vm.run(&script, &run, &mut Echo, &mut out) {
        Ended::Replied { .. } => String::from_utf8_lossy(out.as_slice()).replace("\r\n", "|"),
        Ended::Failed { text, .. } => String::from_utf8_lossy(&text).into_owned(),
        Ended::OutOfTime => "out of time".into(),
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
        (
            "return redis.call('x', 10, 1.5, 1e15)",
            "*4|$1|x|$2|10|$3|1.5|$16|1000000000000000|",
        ),
        ("return redis.pcall('fail')", "-WRONGTYPE bad type|"),
        ("return type(redis.call('null'))", "$7|boolean|"),
        (
            "redis.setresp(3); return type(redis.call('null'))",
            "$3|nil|",
        ),
        ("redis.setresp(3); return redis.call('double')", "$3|1.5|"),
        (
            "return redis.sha1hex('')",
            "$40|da39a3ee5e6b4b0d3255bfef95601890afd80709|",
        ),
    ]);
}

#[test]
fn errors_say_where() {
    check(&[
        (
            "return redis.call('fail')",
            "WRONGTYPE bad type script: sha, on @user_script:1.",
        ),
        (
            "\nerror('mine')",
            "ERR user_script:2: mine script: sha, on @user_script:2.",
        ),
        (
            "error({err='OWN text'})",
            "OWN text script: sha, on @user_script:1.",
        ),
        (
            "return redis.call()",
            "ERR Please specify at least one argument for this redis lib call script: sha, on @user_script:1.",
        ),
        (
            "local ok, e = pcall(redis.call, 'fail'); return e",
            "$18|WRONGTYPE bad type|",
        ),
        (
            "local ok, e = pcall(cjson.decode, '{'); return type(e)",
            "$6|string|",
        ),
    ]);
}

#[test]
fn the_sandbox_is_closed() {
    let missing = |name: &str| {
        format!(
            "ERR user_script:1: Script attempted to access nonexistent global variable '{name}' script: sha, on @user_script:1."
        )
    };
    let vm = Vm::new(Arc::default()).unwrap();
    for name in [
        "print", "loadfile", "dofile", "os", "io", "debug", "require", "package", "newproxy",
        "module",
    ] {
        assert_eq!(eval(&vm, &format!("return {name}")), missing(name));
    }
    for code in [
        "x = 1",
        "redis = 1",
        "_G.redis = 1",
        "redis.call = 1",
        "string.rep = 1",
        "cjson.encode = nil",
        "rawset(redis, 'call', 1)",
        "rawset(_G, 'a', 1)",
        "setmetatable(_G, {})",
        "setmetatable(redis, {})",
        "getmetatable(_G).__index = 1",
        "getmetatable('').__index = 1",
        "table.insert(redis, 1)",
        "setfenv(0, {})",
        "local f, t = pairs(redis); t.call = 1",
        "getfenv(pairs).redis = 1",
        "getfenv(string.rep).redis = 1",
        "getmetatable('').__index.rep = 1",
    ] {
        let reply = eval(&vm, code);
        assert!(
            reply.contains("Attempt to modify a readonly table"),
            "{code}: {reply}"
        );
    }
    assert_eq!(
        eval(&vm, "return #getmetatable('').__index.rep('x', 3)"),
        ":3|"
    );
    // The first piece tells; a reader that goes on for ever is not asked again.
    let endless = "return load(function() return '\\27LuaQ' end) == nil";
    assert_eq!(eval(&vm, endless), eval(&vm, "return true"));
    assert_eq!(
        eval(&vm, "return loadstring(string.dump(function() end)) == nil"),
        ":1|"
    );
    assert!(eval(&vm, "return string.rep('x', 2^30)").contains("not enough memory"));
    assert_eq!(eval(&vm, "return ('ab'):upper()"), "$2|AB|");
}

#[test]
fn libraries() {
    check(&[
        (
            "return cjson.encode({1,2,{a='b/'}})",
            "$17|[1,2,{\"a\":\"b\\/\"}]|",
        ),
        (
            "return cjson.encode({0.1, 1e20, cjson.null})",
            "$16|[0.1,1e+20,null]|",
        ),
        ("return cjson.decode('[1,\"\\\\u00e9\"]')[2]", "$2|é|"),
        ("return cjson.encode(cjson.decode('{}'))", "$2|{}|"),
        (
            "return cmsgpack.unpack(cmsgpack.pack({1,2,'x'}))",
            "*3|:1|:2|$1|x|",
        ),
        (
            "return {cmsgpack.unpack(cmsgpack.pack(-300, 70000, 1.5))}",
            "*3|:-300|:70000|:1|",
        ),
        ("return bit.tohex(bit.bor(0xf0, 0x0f))", "$8|000000ff|"),
        ("return bit.lshift(1, 31)", ":-2147483648|"),
        (
            "return {struct.unpack('>HhB', struct.pack('>HhB', 258, -2, 7))}",
            "*4|:258|:-2|:7|:6|",
        ),
        (
            "return {struct.unpack('Bc0', struct.pack('Bc0', 3, 'abcd'))}",
            "*2|$3|abc|:5|",
        ),
        ("return struct.size('!4bi')", ":8|"),
    ]);
}

#[test]
fn what_one_native_call_may_do_is_bounded() {
    let vm = Vm::new(Arc::default()).unwrap();
    for (code, reply) in [
        (
            "unpack({},-2147483648,2147483647)",
            "too many results to unpack",
        ),
        ("unpack({},1,2147483647)", "too many results to unpack"),
        ("unpack({},0/0,1)", "too many results to unpack"),
        ("unpack({},1,1e300)", "too many results to unpack"),
        ("unpack({},1,8001)", "too many results to unpack"),
        (
            "unpack(1)",
            "bad argument #1 to 'unpack' (table expected, got number)",
        ),
        (
            "unpack({},'x')",
            "bad argument #2 to 'unpack' (number expected, got string)",
        ),
        ("string.rep('x',2147483647)", "not enough memory"),
        ("string.rep('xxxxxxxx',1e9)", "not enough memory"),
        (
            "string.rep('x')",
            "bad argument #2 to 'rep' (number expected, got no value)",
        ),
        (
            "struct.pack(string.rep('c0', 100), unpack((function() local t = {} for i = 1, 100 do t[i] = string.rep('x', 1e6) end return t end)()))",
            "not enough memory",
        ),
    ] {
        let begin = Instant::now();
        let got = eval(&vm, &format!("return {code}"));
        // On a slow machine the script may have to end before what it does is too much.
        let late = reply == "not enough memory" && got == "out of time";
        assert!(got.contains(reply) || late, "{code}: {got}");
        assert!(begin.elapsed() < Duration::from_secs(1), "{code}");
    }
    // Where they go on for longer than the script may, they end with it.
    let shared = "local t = {1} for i = 1, 60 do t = {t, t} end return ";
    for code in [
        "return #struct.pack(string.rep('x', 5e7))",
        "return string.find(string.rep('a', 60), string.rep('a?', 60) .. string.rep('a', 60))",
        "return string.find(string.rep('a', 1e5), '.-.-.-.-b')",
        "return string.find(string.rep('a', 1e6), string.rep('a', 5e5) .. 'b', 1, true)",
        "return string.gsub(string.rep('a', 1e6), '.*b', '')",
        "local t = {} for i = 1, 1e5 do t[i] = 1 end for i = 1, 1e5 do table.insert(t, 1, 1) end",
        "local s = string.rep('x', 3e7) for i = 1, 1e9 do local _ = s .. i end",
        "table.insert({}, -2147483648, 1)",
        "local t = {} for i = 1, 1e5 do t[i] = i % 7 end while true do pcall(table.sort, t, rawequal) end",
        "local s = string.rep('x', 3e7) for i = 1, 1e9 do s:lower() end",
        "local t = {} for i = 1, 1e5 do t[i] = {} end for i = 1, 1e9 do collectgarbage() end",
        &format!("{shared}t"),
        &format!("{shared}cjson.encode(t)"),
        "local t = {1} for i = 1, 15 do t = {t,t,t,t,t,t,t,t} end return #cmsgpack.pack(t)",
    ] {
        let begin = Instant::now();
        let got = eval(&vm, code);
        assert!(
            got == "out of time" || got.contains("not enough memory"),
            "{code}: {got}"
        );
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(3), "{code}: {took:?}");
    }
    for (code, error) in [
        (
            "string.find(string.rep('a', 1e6), string.rep('a?', 1e6))",
            "pattern too complex",
        ),
        (
            "string.find(string.rep('a', 1e6), string.rep('(', 1e6))",
            "too many captures",
        ),
        ("cmsgpack.unpack(string.rep('\\1', 1e6))", "stack overflow"),
        (
            "struct.unpack(string.rep('b', 1e6), string.rep('b', 1e6))",
            "stack overflow",
        ),
        (
            "redis.call('x', unpack((function() local t, s = {}, string.rep('x', 1e6) for i = 1, 1000 do t[i] = s end return t end)()))",
            "not enough memory",
        ),
        (
            "loadstring(string.rep(' ', 17 * 1024 * 1024))()",
            "attempt to call a nil value",
        ),
    ] {
        let got = eval(&vm, &format!("return {code}"));
        assert!(got.contains(error), "{code}: {got}");
    }
    check(&[
        ("return {unpack({1,2,3}, 2)}", "*2|:2|:3|"),
        ("return {unpack({1,2,3}, '2', 2)}", "*1|:2|"),
        ("return select('#', unpack({}, 1, 8000 - 100))", ":7900|"),
        ("return {unpack({1,2,3}, 3, 2)}", "*0|"),
        (
            "return {('ab'):rep(3), ('ab'):rep(-1), (''):rep(1e300), ('a'):rep('2')}",
            "*4|$6|ababab|$0||$0||$2|aa|",
        ),
    ]);
}

/// Each was compared with Redis 7.2.6.
#[test]
fn strings_and_tables_are_as_in_lua() {
    check(&[
        ("return {string.find('hello world', 'o w')}", "*2|:5|:7|"),
        ("return {string.find('hello', 'l+')}", "*2|:3|:4|"),
        (
            "return {string.find('hello', '(l)(l)()')}",
            "*5|:3|:4|$1|l|$1|l|:5|",
        ),
        ("return {string.find('a.b', '.', 2, true)}", "*2|:2|:2|"),
        ("return {string.find('abc', '', 10)}", "*2|:4|:3|"),
        ("return {string.find('abc', 'c', -1)}", "*2|:3|:3|"),
        (
            "return {string.match('key=value', '^(%w+)=(%w*)$')}",
            "*2|$3|key|$5|value|",
        ),
        (
            "return string.match('THE (quick) fox', '%((%a+)%)')",
            "$5|quick|",
        ),
        ("return string.match('f(a(b)c)d', '%b()')", "$7|(a(b)c)|"),
        (
            "return string.gsub('THE (quick) fox', '%f[%a]%a+', 'x')",
            "$7|x (x) x|",
        ),
        (
            "return {string.gsub('hello', 'l', {l='L'})}",
            "*2|$5|heLLo|:2|",
        ),
        (
            "return {string.gsub('hello', '', '-')}",
            "*2|$11|-h-e-l-l-o-|:6|",
        ),
        (
            "return string.gsub('hello world', '(%w+)', '<%1%%>')",
            "$17|<hello%> <world%>|",
        ),
        ("return string.gsub('abc', '%w', '%0%0', 2)", "$5|aabbc|"),
        (
            "return string.gsub('abc', '^a', function(c) return false end)",
            "$3|abc|",
        ),
        (
            "return string.gsub('x = y', '(%w) = (%w)', '%2 = %1')",
            "$5|y = x|",
        ),
        (
            "local t = {} for k, v in string.gmatch('a=1, b=2', '(%w+)=(%w+)') do t[#t+1] = k .. v end return t",
            "*2|$2|a1|$2|b2|",
        ),
        (
            "local t = {} for w in ('one two'):gmatch('%a+') do t[#t+1] = w end return t",
            "*2|$3|one|$3|two|",
        ),
        (
            "return string.match('2024-01-02', '(%d+)-(%d+)-(%d+)')",
            "$4|2024|",
        ),
        ("return string.match('aXb', '[^%l]')", "$1|X|"),
        ("return string.match('x]y', '[]]')", "$1|]|"),
        ("return string.match('a-z', '[a%-z]+')", "$3|a-z|"),
        ("return string.find('abab', '(ab)%1')", ":1|"),
        (
            "return {('aBc'):upper(), ('aBc'):lower(), ('aBc'):reverse()}",
            "*3|$3|ABC|$3|abc|$3|cBa|",
        ),
        ("return table.concat({1, 'a', 2.5}, ', ')", "$9|1, a, 2.5|"),
        ("return table.concat({1, 2, 3}, '-', 2, 3)", "$3|2-3|"),
        ("return table.concat({})", "$0||"),
        ("local t = {3, 1, 2} table.sort(t) return t", "*3|:1|:2|:3|"),
        (
            "local t = {'b', 'B', 'a'} table.sort(t) return t",
            "*3|$1|B|$1|a|$1|b|",
        ),
        (
            "local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) return t",
            "*3|:3|:2|:1|",
        ),
        (
            "local t = {1, 2, 3} table.insert(t, 1, 0) table.insert(t, 9) return {table.remove(t, 2), unpack(t)}",
            "*5|:1|:0|:2|:3|:9|",
        ),
        (
            "local t = {1} table.insert(t, -1, 5) return {t[-1], tostring(t[0]), t[1], t[2]}",
            "*2|:5|$3|nil|",
        ),
        (
            "return {pcall(table.sort, {1, 'a'})}",
            "*2|$-1|$37|attempt to compare string with number|",
        ),
    ]);
    let place = " script: sha, on @user_script:1.";
    for (code, error) in [
        ("string.find('a', '[a')", "malformed pattern (missing ']')"),
        ("string.find('a', '%')", "malformed pattern (ends with '%')"),
        ("string.find('a', '(a')", "unfinished capture"),
        ("string.match('a', 'a)')", "invalid pattern capture"),
        ("string.find('a', '%1')", "invalid capture index"),
        (
            "string.find('a', '%f')",
            "missing '[' after '%f' in pattern",
        ),
        ("string.find('a', '%b')", "unbalanced pattern"),
        ("string.gsub('a', 'a', '%2')", "invalid capture index"),
        (
            "string.gsub('a', 'a')",
            "bad argument #3 to 'gsub' (string/function/table expected)",
        ),
        (
            "string.gsub('a', 'a', function() return {} end)",
            "invalid replacement value (a table)",
        ),
        (
            "string.find()",
            "bad argument #1 to 'find' (string expected, got no value)",
        ),
        (
            "table.concat({1, {}, 3})",
            "invalid value (table) at index 2 in table for 'concat'",
        ),
        (
            "table.concat({}, 'x', 1, 2147483647)",
            "invalid value (nil) at index 1 in table for 'concat'",
        ),
        (
            "table.concat(1)",
            "bad argument #1 to 'concat' (table expected, got number)",
        ),
    ] {
        check(&[(
            &format!("return {code}"),
            &format!("ERR user_script:1: {error}{place}"),
        )]);
    }
}

#[test]
fn a_script_is_ended_whatever_it_catches() {
    let kill = Arc::new(AtomicBool::new(false));
    let vm = Vm::new(kill.clone()).unwrap();
    for code in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local f = coroutine.wrap(function() while true do end end) while true do pcall(f) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
    ] {
        assert_eq!(eval(&vm, code), "out of time", "{code}");
    }
    assert_eq!(eval(&vm, "return 1"), ":1|", "and the machine goes on");
    kill.store(true, Relaxed);
    let killed = eval(
        &vm,
        "while true do pcall(function() while true do end end) end",
    );
    assert!(
        killed.starts_with(
            "ERR Script killed by user with SCRIPT KILL... script: sha, on @user_script:1."
        ),
        "{killed}"
    );
    kill.store(false, Relaxed);
    assert_eq!(eval(&vm, "return 1"), ":1|");
}

fn call(vm: &Vm, f: &Registered) -> String {
    let mut out = Out::new(Proto::Resp2);
    let until = Instant::now() + Duration::from_secs(5);
    let run = Run {
        name: "f",
        keys: &[b"k"],
        args: &[b"a"],
        function: true,
        until,
    };
    match vm.run(&f.callback, &run, &mut Echo, &mut out) {
        Ended::Failed { text, .. } => String::from_utf8_lossy(&text).into_owned(),
        _ => String::from_utf8_lossy(out.as_slice()).replace("\r\n", "|"),
    }
}

#[test]
fn libraries_register_functions() {
    let vm = Vm::new(Arc::default()).unwrap();
    let code = "local function two() return 2 end
        redis.register_function('f1', function(keys, args) return {keys[1], args[1], two(), #redis.call('x')} end)
        redis.register_function{function_name='f2', callback=function() return KEYS end, flags={'no-writes'}, description='d'}";
    let functions = vm.load_library(code.as_bytes(), LIBRARY_LOAD_MAX).unwrap();
    assert_eq!(call(&vm, &functions[0]), "*4|$1|k|$1|a|:2|:1|");
    assert!(
        call(&vm, &functions[1])
            .contains("nonexistent global variable 'KEYS' script: f, on @user_function:3.")
    );
    assert!(functions[1].marks.no_writes());
    assert_eq!(functions[1].description.as_deref(), Some(&b"d"[..]));
    for (code, error) in [
        (
            "redis.call('x')",
            "Script attempted to access nonexistent global variable 'call'",
        ),
        (
            "math.random()",
            "Script attempted to access nonexistent global variable 'math'",
        ),
        ("a = 1", "Attempt to modify a readonly table"),
        ("while true do end", "FUNCTION LOAD timeout"),
        (
            "redis.register_function('f', 1)",
            "second argument to redis.register_function must be a function",
        ),
        (
            "redis.register_function('a b', function() end)",
            "Library names can only contain",
        ),
        (
            "redis.register_function{function_name='f', callback=function() end, flags={'x'}}",
            "unknown flag given",
        ),
    ] {
        let got = vm
            .load_library(code.as_bytes(), LIBRARY_LOAD_MAX)
            .err()
            .unwrap_or_default();
        assert!(
            got.starts_with("Error registering functions: ") && got.contains(error),
            "{code}: {got}"
        );
    }
    // What a library kept of its loading is of no use to its functions.
    let code = "local lib = redis
        lib.register_function('f1', function() lib.math = math end)
        lib.register_function('f2', function() lib.register_function('f3', function() end) end)
        lib.register_function('f4', function() redis.register_function('f3', function() end) end)";
    let functions = vm.load_library(code.as_bytes(), LIBRARY_LOAD_MAX).unwrap();
    assert!(call(&vm, &functions[0]).contains("Attempt to modify a readonly table"));
    assert!(call(&vm, &functions[1]).contains("can only be called on FUNCTION LOAD command"));
    assert!(
        call(&vm, &functions[2])
            .contains("attempt to call field 'register_function' (a nil value)")
    );
}
