//! Access control: users, what each may do, and the check of a request against it.
//!
//! A user is written as the rules of ACL SETUSER: in the table `Users` beside the databases
//! (`keyspace::system`), in replies, and between nodes. **Invariant**: whatever is known of users here is
//! derived from that table and from the configured password of `default`; a row that this node
//! cannot read is a user that may do nothing.

mod check;
mod selector;
#[cfg(test)]
mod tests;
mod user;
mod users;

pub use check::{Denied, Why};
pub use selector::Selector;
pub use user::{Operator, User};
pub use users::Users;

use super::Fail;

/// Why a rule was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleError {
    UnknownCommand,
    Syntax,
    PatternAfterAllKeys,
    PatternAfterAllChannels,
    NoSuchPassword,
    BadHash,
    FirstArgOfSubcommand,
    TooLong,
}

impl RuleError {
    /// In Redis's words.
    pub fn text(self) -> &'static str {
        match self {
            Self::UnknownCommand => "Unknown command or category name in ACL",
            Self::Syntax => "Syntax error",
            Self::PatternAfterAllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::PatternAfterAllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Self::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            Self::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Self::FirstArgOfSubcommand => "Allowing first-arg of a subcommand is not supported",
            Self::TooLong => "The user's rules are longer than this service allows",
        }
    }
}

/// Whether a name or a pattern has what none may have: spaces, or a NUL.
pub fn has_spaces(text: &[u8]) -> bool {
    text.iter()
        .any(|&b| b == 0 || b == 0x0b || b.is_ascii_whitespace())
}

fn is(op: &[u8], word: &str) -> bool {
    op.eq_ignore_ascii_case(word.as_bytes())
}

/// The rules of a user, a selector that is spread over several arguments made one.
///
/// # Errors
/// A parenthesis that is not closed.
pub fn merged(ops: &[&[u8]]) -> Result<Vec<Vec<u8>>, Fail> {
    let mut merged: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<&[u8]> = None;
    for op in ops {
        let closes = op.last() == Some(&b')');
        match open {
            Some(_) => {
                if let Some(selector) = merged.last_mut() {
                    selector.push(b' ');
                    selector.extend_from_slice(op);
                }
                if closes {
                    open = None;
                }
            }
            None => {
                merged.push(op.to_vec());
                if op.first() == Some(&b'(') && !closes {
                    open = Some(op);
                }
            }
        }
    }
    match open {
        Some(op) => Err(Fail::text(format!(
            "ERR Unmatched parenthesis in acl selector starting at '{}'.",
            String::from_utf8_lossy(op)
        ))),
        None => Ok(merged),
    }
}
