//! The stable address: a TCP gateway that follows the leader.
//!
//! - TLS passes through: the gateway holds no key of a client listener and sees no command.
//! - A new connection goes to the primary that serves; while there is none it waits, bounded in time and number.
//! - After a failover, connections to the old primary are cut where that node does not answer. Where it lives it
//!   relays (`server/`), and its connections stay.
//! - It is in the path of no decision: nodes fail over and serve without it.
//!
//! `operator` connects to a node's Admin service; `watch` follows it at every node; `view` decides, purely, where
//! connections go and which end; `pump` moves bytes; `listen` is the listener and its threads; `stand_in` answers while there
//! is no service.

pub mod listen;
pub mod operator;
mod pump;
pub mod stand_in;
pub mod talk;
pub mod view;
pub mod watch;

pub use listen::{Gateway, Options};
pub use view::{Address, Observed, View};
pub use watch::Watch;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod watch_tests;
