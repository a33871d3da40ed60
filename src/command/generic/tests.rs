//! The generic commands against what Redis 7.2.6 replied to the same lines, and what it told subscribers
//! to keyspace notifications (all classes but `n`). Recorded with `notify-keyspace-events KEAm`. Idle
//! times are left out: the shell takes each change back and applies it anew, without noting an access.

use crate::command::testing::Shell;

#[test]
fn replies_and_events_are_those_of_redis() {
    let compared = Shell::compare(include_str!("replies.txt"));
    assert!(compared > 100, "{compared}");
}
