//! Lua 5.1 as Redis 7.2 gives it to scripts and functions.
//!
//! **Invariants.** A script reaches the world through a [`Host`] alone. No table that outlives a script can be
//! changed by it; bytecode is not loaded; memory and replies are bounded (`base/limits.rs`). What a script sees of
//! the globals is made in `sandbox.lua`.

mod api;
mod bits;
mod convert;
mod error;
mod json;
mod library;
mod marks;
mod msgpack;
mod patterns;
mod strings;
mod structs;
mod tables;
#[cfg(test)]
mod tests;
mod vm;
mod watch;

pub use library::{BAD_NAME, Registered, is_name};
pub use marks::Marks;
pub use vm::{Ended, Run, Script, Vm, sha1_hex};

/// What `redis.call` and `redis.acl_check_cmd` reach.
pub trait Host {
    /// Runs a command and appends its whole reply, in RESP2 or RESP3, to `reply`.
    fn call(&mut self, args: &[&[u8]], resp3: bool, reply: &mut Vec<u8>);

    /// Whether the client may run the command; `None`: there is no such command.
    fn may(&mut self, args: &[&[u8]]) -> Option<bool>;
}
