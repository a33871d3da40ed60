//! The string commands.
//!
//! Commands that share options share a file. Always: a value is replaced by one mutation with its
//! final bytes and absolute expiry; what changes a part of a value is a mutation of that part.

mod expiry;
mod get;
mod incr;
mod lcs;
mod range;
mod set;

use super::Handler;

pub use range::byte_range;

/// Names and handlers.
pub const COMMANDS: &[(&str, Handler)] = &[
    ("append", range::append),
    ("decr", incr::decr),
    ("decrby", incr::decrby),
    ("get", get::get),
    ("getdel", get::getdel),
    ("getex", get::getex),
    ("getrange", range::getrange),
    ("getset", set::getset),
    ("incr", incr::incr),
    ("incrby", incr::incrby),
    ("incrbyfloat", incr::incrbyfloat),
    ("lcs", lcs::lcs),
    ("mget", get::mget),
    ("mset", set::mset),
    ("msetnx", set::msetnx),
    ("psetex", set::psetex),
    ("set", set::set),
    ("setex", set::setex),
    ("setnx", set::setnx),
    ("setrange", range::setrange),
    ("strlen", range::strlen),
    ("substr", range::getrange),
];
