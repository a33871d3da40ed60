//! The set commands.

use super::Handler;

/// Names and handlers.
pub const COMMANDS: &[(&str, Handler)] = &[];
