//! config commands.

use crate::server::dispatch::Handler;

pub const COMMANDS: &[(&str, Handler)] = &[];
