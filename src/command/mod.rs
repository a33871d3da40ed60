//! What clients can ask of the data: the table of commands and the families that implement it.
//!
//! A command reads through [`Ctx`] and changes data only by [`Ctx::apply`]: it never touches the
//! keyspace otherwise, so whatever it does is in the log. It runs at the leader alone (reads also
//! at a standby), once. Time, chance and settings come from the context.
//!
//! To add a command: its row in `table/data.rs`, a function in its family's folder, its name in the
//! family's `COMMANDS`. Commands about connections and the server are in `server/`.

pub mod acl;
pub mod args;
pub mod bitmap;
pub mod blocking;
pub mod ctx;
pub mod error;
pub mod gate;
pub mod generic;
pub mod geo;
pub mod hash;
pub mod help;
pub mod hyperloglog;
pub mod list;
pub mod propagate;
pub mod random;
pub mod scan;
pub mod set;
pub mod settings;
pub mod stream;
pub mod string;
pub mod table;
#[cfg(test)]
pub mod testing;
pub mod tracking;
pub mod turn;
pub mod watch;
pub mod zset;

use std::sync::LazyLock;

pub use args::Cursor;
pub use blocking::{Block, Blocking};
pub use ctx::Ctx;
pub use error::Fail;
pub use gate::Gate;
pub use settings::Settings;
pub use tracking::Tracking;
pub use turn::Turn;

use crate::resp::Out;

/// A command's arguments; the first is its name.
pub type Args<'a> = &'a [&'a [u8]];

/// Runs a command: writes its reply to `out`, or fails with an error reply (what it wrote to `out`
/// before failing is taken back by the caller; mutations are not, so check before you apply).
pub type Handler = fn(&mut Ctx<'_>, Args<'_>, &mut Out) -> Result<(), Fail>;

/// The handlers of the data families by their dense command number; `None` for commands that live elsewhere.
static HANDLERS: LazyLock<Vec<Option<Handler>>> = LazyLock::new(|| {
    let mut handlers = vec![None; table::COUNT];
    let families = [
        string::COMMANDS,
        bitmap::COMMANDS,
        hyperloglog::COMMANDS,
        hash::COMMANDS,
        set::COMMANDS,
        zset::COMMANDS,
        list::COMMANDS,
        stream::COMMANDS,
        generic::COMMANDS,
        geo::COMMANDS,
    ];
    for &(name, handler) in families.into_iter().flatten() {
        let spec = table::by_full_name(name.as_bytes());
        debug_assert!(spec.is_some(), "{name} has no row in the table");
        if let Some(spec) = spec {
            handlers[spec.id as usize] = Some(handler);
        }
    }
    handlers
});

/// The handler of a command of the data families.
pub fn handler(id: table::CommandId) -> Option<Handler> {
    HANDLERS[id as usize]
}
