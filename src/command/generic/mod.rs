//! The commands about keys whatever they hold, and about whole databases.

mod databases;
mod dump;
#[cfg(test)]
mod dump_tests;
mod expire;
mod keys;
mod object;
mod rename;
mod scan;
mod sort;
#[cfg(test)]
mod tests;

use super::Handler;
pub use dump::view;

/// Names and handlers.
pub const COMMANDS: &[(&str, Handler)] = &[
    ("del", keys::del),
    ("unlink", keys::del),
    ("exists", keys::exists),
    ("touch", keys::touch),
    ("type", keys::kind),
    ("expire", expire::expire),
    ("pexpire", expire::pexpire),
    ("expireat", expire::expireat),
    ("pexpireat", expire::pexpireat),
    ("ttl", expire::ttl),
    ("pttl", expire::pttl),
    ("expiretime", expire::expiretime),
    ("pexpiretime", expire::pexpiretime),
    ("persist", expire::persist),
    ("rename", rename::rename),
    ("renamenx", rename::renamenx),
    ("copy", rename::copy),
    ("move", rename::move_key),
    ("dump", dump::dump),
    ("restore", dump::restore),
    ("restore-asking", dump::restore),
    ("dbsize", databases::dbsize),
    ("flushdb", databases::flushdb),
    ("flushall", databases::flushall),
    ("swapdb", databases::swapdb),
    ("keys", scan::keys),
    ("scan", scan::scan),
    ("randomkey", scan::randomkey),
    ("sort", sort::sort),
    ("sort_ro", sort::sort_ro),
    ("memory|usage", object::memory_usage),
    ("object|encoding", object::encoding),
    ("object|freq", object::freq),
    ("object|idletime", object::idletime),
    ("object|refcount", object::refcount),
    ("object|help", object::help),
];
