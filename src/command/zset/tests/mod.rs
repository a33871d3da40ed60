//! Tests of the sorted set commands; what is expected was seen at Redis 7.2.6.

use expect_test::expect;

use crate::command::testing::Shell;

#[test]
fn minus_zero_lives_in_large_sets_only() {
    let mut shell = Shell::new();
    expect![[r#"
        > ZADD a -0 m
        1
        > ZSCORE a m
        "0"
        > ZADD a 0 m
        0
    "#]]
    .assert_eq(&shell.transcript("ZADD a -0 m\nZSCORE a m\nZADD a 0 m"));
    shell.ks.limits.zset_max_listpack_entries = 0;
    let text = shell.transcript("ZADD b -0 m\nZSCORE b m\nZADD b CH 0 m\nZSCORE b m");
    expect![[r#"
        > ZADD b -0 m
        1
        > ZSCORE b m
        "-0"
        > ZADD b CH 0 m
        0
        > ZSCORE b m
        "-0"
    "#]]
    .assert_eq(&text);
}
