//! The stream commands: against what Redis 7.2.6 replied and told subscribers (recorded with
//! `notify-keyspace-events KEAm`, time standing still), and case by case.

use crate::command::testing::Shell;

#[test]
fn replies_and_events_are_those_of_redis() {
    let compared = Shell::compare(include_str!("replies.txt"));
    assert!(compared > 400, "{compared}");
}
