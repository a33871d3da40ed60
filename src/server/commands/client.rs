//! client commands.

use crate::server::dispatch::Handler;

pub const COMMANDS: &[(&str, Handler)] = &[];

/// Client names and library names are printable without spaces, as Redis wants them.
pub fn check_name(name: &[u8], text: &'static str) -> Result<(), crate::command::Fail> {
    if name.iter().all(|b| (b'!'..=b'~').contains(b)) {
        Ok(())
    } else {
        Err(crate::command::Fail::text(format!("ERR {text}")))
    }
}
