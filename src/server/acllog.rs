//! What was refused to whom: ACL LOG. Newest first, of this node, lost when it stops. Always: bounded in entries and in
//! bytes; what is alike within a minute is one entry that counts.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::limits::{ACL_LOG_ENTRIES_MAX, ACL_LOG_OBJECT_LEN_MAX};

/// Within this time refusals that are alike are counted in one entry, milliseconds.
const ALIKE_MS: u64 = 60_000;
/// Newest entries among which one that is alike is looked for.
const LOOKED_AT: usize = 10;

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Command,
    Key,
    Channel,
    Auth,
}

impl Reason {
    /// As ACL LOG names it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Channel => "channel",
            Reason::Auth => "auth",
        }
    }
}

/// Where the refused request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    Toplevel,
    Multi,
    Script,
}

impl Context {
    /// As ACL LOG names it.
    pub fn name(self) -> &'static str {
        match self {
            Context::Toplevel => "toplevel",
            Context::Multi => "multi",
            Context::Script => "lua",
        }
    }
}

/// Refusals that are alike.
#[derive(Debug, Clone)]
pub struct Entry {
    pub id: u64,
    pub count: u64,
    pub reason: Reason,
    pub context: Context,
    /// The command, key or channel.
    pub object: Vec<u8>,
    pub user: Bytes,
    /// The last client's line of CLIENT LIST.
    pub client: String,
    /// Milliseconds since 1970 of the first and the last refusal.
    pub created_ms: u64,
    pub updated_ms: u64,
}

/// The refusals of one node.
#[derive(Debug, Default)]
pub struct AclLog {
    entries: VecDeque<Entry>,
    next: u64,
}

impl AclLog {
    /// Notes a refusal; its id is given here. Keeps at most `max` entries.
    pub fn add(&mut self, mut new: Entry, max: usize) {
        new.object.truncate(ACL_LOG_OBJECT_LEN_MAX);
        new.user.truncate(ACL_LOG_OBJECT_LEN_MAX);
        let alike = |e: &Entry| {
            e.reason == new.reason
                && e.context == new.context
                && e.updated_ms.abs_diff(new.updated_ms) <= ALIKE_MS
                && e.object == new.object
                && e.user == new.user
        };
        let found = self.entries.iter().take(LOOKED_AT).position(alike);
        if let Some(mut known) = found.and_then(|at| self.entries.remove(at)) {
            known.count += 1;
            known.client = new.client;
            known.updated_ms = new.updated_ms;
            self.entries.push_front(known);
        } else {
            new.id = self.next;
            self.next += 1;
            self.entries.push_front(new);
            self.entries.truncate(max.min(ACL_LOG_ENTRIES_MAX));
        }
    }

    /// Newest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Forgets all entries; ids go on.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}
