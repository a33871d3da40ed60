//! Whether a user may send a request: its command, the keys and the channels that it names.

use super::selector::{READ, Selector, WRITE};
use super::user::User;
use crate::base::glob;
use crate::command::table::{self, Keys, Spec, key};

/// What was not allowed; where selectors differ the last of these counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    Command,
    Key,
    Channel,
}

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    pub why: Why,
    /// The argument that is the key or channel; 0 for the command.
    pub at: usize,
}

impl Denied {
    /// The command itself.
    pub const COMMAND: Denied = Denied {
        why: Why::Command,
        at: 0,
    };

    /// As clients are told, without the error's code.
    pub fn message(self, user: &[u8], spec: &Spec) -> String {
        match self.why {
            Why::Command => format!(
                "User {} has no permissions to run the '{}' command",
                String::from_utf8_lossy(user),
                spec.full_name
            ),
            Why::Key => "No permissions to access a key".into(),
            Why::Channel => "No permissions to access a channel".into(),
        }
    }

    /// As ACL DRYRUN tells it: with the key or channel.
    pub fn details(self, user: &[u8], spec: &Spec, args: &[&[u8]]) -> Vec<u8> {
        let what = match self.why {
            Why::Command => return self.message(user, spec).into_bytes(),
            Why::Key => "key",
            Why::Channel => "channel",
        };
        let mut text = b"User ".to_vec();
        text.extend_from_slice(user);
        text.extend_from_slice(b" has no permissions to access the '");
        text.extend_from_slice(args[self.at]);
        text.extend_from_slice(format!("' {what}").as_bytes());
        text
    }

    /// As EXEC tells it of a command that was allowed when it was queued.
    pub fn in_exec(self) -> String {
        let reason = match self.why {
            Why::Command => "no permission to execute the command or subcommand",
            Why::Key => "no permission to touch the specified keys",
            Why::Channel => "no permission to access one of the channels used as arguments",
        };
        format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: {reason}"
        )
    }
}

/// What a selector must allow for a key of which a command does this (bits of `table::key`).
fn access(flags: u16) -> u8 {
    let reads = flags & key::ACCESS != 0;
    let writes = flags & (key::INSERT | key::DELETE | key::UPDATE) != 0;
    (u8::from(reads) * READ) | (u8::from(writes) * WRITE)
}

impl Selector {
    fn allows_key(&self, name: &[u8], flags: u16) -> bool {
        let wanted = access(flags);
        self.all_keys
            || self
                .patterns
                .iter()
                .any(|p| p.access & wanted == wanted && glob::matches(&p.pattern, name))
    }

    /// A channel's name is matched; a pattern that is subscribed to must be allowed literally.
    pub fn allows_channel(&self, name: &[u8], is_pattern: bool) -> bool {
        self.all_channels
            || self.channels.iter().any(|c| match is_pattern {
                true => c == name,
                false => glob::matches(c, name),
            })
    }

    fn check(&self, spec: &Spec, args: &[&[u8]], keys: &mut Option<Keys>) -> Result<(), Denied> {
        if !self.allows_command(spec, args) {
            return Err(Denied::COMMAND);
        }
        if !self.all_keys && spec.has_keys() {
            let keys = keys.get_or_insert_with(|| table::keys(spec, args));
            for found in keys.iter() {
                if !self.allows_key(args[found.at], found.flags) {
                    return Err(Denied {
                        why: Why::Key,
                        at: found.at,
                    });
                }
            }
        }
        if !self.all_channels
            && let Some(channels) = table::channels(spec.id, args)
            && !channels.unsubscribes
        {
            for at in channels.at {
                if !self.allows_channel(args[at], channels.patterns) {
                    return Err(Denied {
                        why: Why::Channel,
                        at,
                    });
                }
            }
        }
        Ok(())
    }
}

impl User {
    /// Whether it may send this request.
    ///
    /// # Errors
    /// What is not allowed.
    pub fn check(&self, spec: &Spec, args: &[&[u8]]) -> Result<(), Denied> {
        let mut keys = None;
        let mut worst = Denied::COMMAND;
        for selector in &self.selectors {
            match selector.check(spec, args, &mut keys) {
                Ok(()) => return Ok(()),
                Err(denied) => worst = worst.max(denied),
            }
        }
        Err(worst)
    }

    /// Whether it may send this request by a selector that lets it read every key: what BY and GET of
    /// SORT ask for.
    pub fn reads_all_keys(&self, spec: &Spec, args: &[&[u8]]) -> bool {
        let mut keys = None;
        self.selectors.iter().any(|s| {
            let all = s
                .patterns
                .iter()
                .any(|p| p.access & READ != 0 && p.pattern == b"*");
            (s.all_keys || all) && s.check(spec, args, &mut keys).is_ok()
        })
    }

    /// Whether it may receive from a channel.
    pub fn allows_channel(&self, name: &[u8], is_pattern: bool) -> bool {
        let mut selectors = self.selectors.iter();
        selectors.any(|s| s.allows_channel(name, is_pattern))
    }

    /// Whether, of the channels that it had before, some are not allowed to it any more.
    pub fn lost_channels(&self, before: &User) -> bool {
        if self.selectors.iter().any(|s| s.all_channels) {
            return false;
        }
        let has = |channel: &Vec<u8>| self.selectors.iter().any(|s| s.channels.contains(channel));
        let mut old = before.selectors.iter();
        old.any(|s| s.all_channels || !s.channels.iter().all(has))
    }
}
