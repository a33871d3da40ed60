//! Set commands case by case; members are sorted where their order means nothing.

use crate::command::settings::notify;
use crate::command::testing::Shell;

#[test]
fn events_and_untouched_data() {
    let mut shell = Shell::new();
    shell.settings.notify = notify::KEYEVENT | notify::ALL | notify::NEW;
    for (line, reply, events, mutations) in [
        ("sadd s 1 2 1", "2", &["new@0 s", "sadd@0 s"][..], 2),
        ("sadd s 1", "0", &[], 0),
        ("smove s s 1", "1", &[], 0),
        ("smove s d 9", "0", &[], 0),
        ("smove s d 1", "1", &["srem@0 s", "new@0 d", "sadd@0 d"], 2),
        ("smove s d 2", "1", &["srem@0 s", "del@0 s", "sadd@0 d"], 2),
        ("srem d 9", "0", &[], 0),
        ("sunionstore s d", "2", &["new@0 s", "sunionstore@0 s"], 2),
        ("sinterstore s d", "2", &["sinterstore@0 s"], 3),
        ("sdiffstore s d s", "0", &["del@0 s"], 1),
        ("sdiffstore s d d", "0", &[], 0),
        ("srem d 1 2 3", "2", &["srem@0 d", "del@0 d"], 2),
        ("sadd s x", "1", &["new@0 s", "sadd@0 s"], 1),
        ("spop s 0", "[]", &[], 0),
        ("spop s", "\"x\"", &["spop@0 s", "del@0 s"], 1),
        ("spop s", "nil", &[], 0),
        ("spop s 3", "[]", &[], 0),
        ("sadd s x", "1", &["new@0 s", "sadd@0 s"], 1),
        ("spop s 3", "[\"x\"]", &["spop@0 s", "del@0 s"], 1),
    ] {
        assert_eq!(shell.run(line), reply, "{line}");
        assert_eq!(shell.events, events, "{line}");
        assert_eq!(shell.mutations, mutations, "{line}");
    }
}
