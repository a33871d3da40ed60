//! info commands.

use crate::server::dispatch::Handler;

pub const COMMANDS: &[(&str, Handler)] = &[];

/// The level of Redis that is spoken.
pub const REDIS_VERSION: &str = "7.2.6";
