//! The generic commands against what Redis 7.2.6 replied to the same lines, and what it told subscribers
//! to keyspace notifications (all classes but `n`). Recorded with `notify-keyspace-events KEAm`. Idle
//! times are left out: the shell takes each change back and applies it anew, without noting an access.

use crate::command::settings::notify;
use crate::command::testing::Shell;

const REPLIES: &str = include_str!("replies.txt");

#[test]
fn replies_and_events_are_those_of_redis() {
    let mut shell = Shell::new();
    shell.settings.notify = notify::KEYSPACE | notify::KEYEVENT | notify::ALL | notify::KEY_MISS;
    let mut lines = REPLIES.lines().peekable();
    let mut compared = 0;
    while let Some(line) = lines.next() {
        let command = line.strip_prefix("> ").expect("a command");
        let reply = lines.next().expect("a reply");
        let told = lines.next_if(|line| line.starts_with("  events: "));
        let told = told.map_or("", |line| &line["  events: ".len()..]);
        assert_eq!(shell.run(command), reply, "{command}");
        let events: Vec<String> = shell
            .events
            .iter()
            .filter_map(|e| {
                let (event, rest) = e.split_once('@')?;
                let (db, key) = rest.split_once(' ')?;
                Some(format!("{db}/{event} {key}"))
            })
            .collect();
        assert_eq!(events.join(", "), told, "events of {command}");
        compared += 1;
    }
    assert!(compared > 100, "{compared}");
}
