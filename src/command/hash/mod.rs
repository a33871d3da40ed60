//! The hash commands.
//!
//! A field that keeps its value costs no mutation, yet counts as written: watchers and subscribers hear
//! of it, as with Redis.

mod read;
#[cfg(test)]
mod tests;
mod write;

use super::Handler;

/// Names and handlers.
pub const COMMANDS: &[(&str, Handler)] = &[
    ("hdel", write::hdel),
    ("hexists", read::hexists),
    ("hget", read::hget),
    ("hgetall", read::hgetall),
    ("hincrby", write::hincrby),
    ("hincrbyfloat", write::hincrbyfloat),
    ("hkeys", read::hkeys),
    ("hlen", read::hlen),
    ("hmget", read::hmget),
    ("hmset", write::hmset),
    ("hrandfield", read::hrandfield),
    ("hscan", read::hscan),
    ("hset", write::hset),
    ("hsetnx", write::hsetnx),
    ("hstrlen", read::hstrlen),
    ("hvals", read::hvals),
];
