//! The set commands.

mod algebra;
mod members;
mod random;
#[cfg(test)]
mod tests;

use super::Handler;

/// Names and handlers.
pub const COMMANDS: &[(&str, Handler)] = &[
    ("sadd", members::sadd),
    ("scard", members::scard),
    ("sdiff", algebra::sdiff),
    ("sdiffstore", algebra::sdiffstore),
    ("sinter", algebra::sinter),
    ("sintercard", algebra::sintercard),
    ("sinterstore", algebra::sinterstore),
    ("sismember", members::sismember),
    ("smembers", members::smembers),
    ("smismember", members::smismember),
    ("smove", members::smove),
    ("spop", random::spop),
    ("srandmember", random::srandmember),
    ("srem", members::srem),
    ("sscan", members::sscan),
    ("sunion", algebra::sunion),
    ("sunionstore", algebra::sunionstore),
];
