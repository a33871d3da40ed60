//! slowlog commands.

use crate::server::dispatch::Handler;

pub const COMMANDS: &[(&str, Handler)] = &[];

/// The commands that took long, newest first.
#[derive(Default)]
pub struct Slowlog {
    entries: std::collections::VecDeque<Entry>,
    next: u64,
}

/// One slow command.
pub struct Entry {
    pub id: u64,
    /// When it ran, seconds since 1970.
    pub at: u64,
    pub micros: u64,
    pub args: Vec<Vec<u8>>,
    pub addr: String,
    pub name: String,
}

impl Slowlog {
    /// Notes a command; keeps at most `max`.
    pub fn add(
        &mut self,
        args: crate::command::Args<'_>,
        micros: u64,
        max: usize,
        addr: &str,
        name: &str,
    ) {
        let at = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        // As Redis shows them: at most 32 arguments of at most 128 bytes.
        let args = args
            .iter()
            .take(32)
            .map(|a| a[..a.len().min(128)].to_vec())
            .collect();
        self.entries.push_front(Entry {
            id: self.next,
            at,
            micros,
            args,
            addr: addr.into(),
            name: name.into(),
        });
        self.next += 1;
        self.entries.truncate(max);
    }
}
