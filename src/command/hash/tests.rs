//! Hash commands case by case. Small hashes keep their order, so replies are compared as they are.

use expect_test::expect;

use crate::command::settings::notify;
use crate::command::testing::Shell;

#[test]
fn fields() {
    let text = Shell::new().transcript("hset h a 1 b 2 a 3\nhget h a");
    expect![[r#"
        > hset h a 1 b 2 a 3
        2
        > hget h a
        "3"
    "#]]
    .assert_eq(&text);
}

#[test]
fn events_and_untouched_data() {
    let mut shell = Shell::new();
    shell.settings.notify = notify::KEYEVENT | notify::ALL | notify::NEW;
    for (line, reply, events, mutations) in [
        ("hset h f 1", "1", &["new@0 h", "hset@0 h"][..], 1),
        ("hset h f 1", "0", &["hset@0 h"], 0),
        ("hsetnx h f 2", "0", &[], 0),
        ("hsetnx h g 2", "1", &["hset@0 h"], 1),
        ("hincrby h f 0", "1", &["hincrby@0 h"], 0),
        ("hincrby h f 5", "6", &["hincrby@0 h"], 1),
        ("hincrbyfloat h f 0.5", "\"6.5\"", &["hincrbyfloat@0 h"], 1),
        ("hdel h none", "0", &[], 0),
        ("hdel h f g x", "2", &["hdel@0 h", "del@0 h"], 2),
        ("hdel h f", "0", &[], 0),
    ] {
        assert_eq!(shell.run(line), reply, "{line}");
        assert_eq!(shell.events, events, "{line}");
        assert_eq!(shell.mutations, mutations, "{line}");
    }
}
