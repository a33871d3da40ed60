//! What requests get while a script has the engine for long.

use std::time::{Duration, Instant};

use crate::command::Args;
use crate::command::table::{self, Flags};
use crate::engine::Core;
use crate::resp::Out;
use crate::server::commands::functions;
use crate::server::dispatch;
use crate::server::{Server, Session};

/// From when on requests are answered BUSY; `None`: they wait.
pub fn since(server: &Server) -> Option<Instant> {
    let after = server.live.busy_after();
    // Where it is about to begin, or between two of one transaction: counted from now.
    let begun = server
        .scripts
        .running()
        .map_or_else(Instant::now, |r| r.since);
    (after > Duration::ZERO).then(|| begun + after)
}

/// Answers a request without the engine; false: it must wait. `core` stands in for the engine's own, for commands
/// about connections.
pub fn answer(
    server: &Server,
    core: &mut Core,
    session: &mut Session,
    args: Args<'_>,
    out: &mut Out,
) -> bool {
    let Some(running) = server.scripts.running() else {
        return false;
    };
    let spec = table::resolve(args)
        .ok()
        .filter(|spec| spec.accepts(args.len()));
    let Some(spec) = spec else {
        // Refused for what it is.
        dispatch::run(server, core, session, args, out);
        return true;
    };
    if !session.authenticated && !spec.has(Flags::NO_AUTH) {
        dispatch::run(server, core, session, args, out);
        return true;
    }
    if !spec.has(Flags::ALLOW_BUSY) {
        dispatch::refuse(server, session, Some(spec), out, &running.busy());
        return true;
    }
    if session.multi.is_none() {
        let ended = match spec.full_name {
            // It looks at keys.
            "watch" => return false,
            "script|kill" => Some(server.scripts.kill(false, &server.engine.kill)),
            "function|kill" => Some(server.scripts.kill(true, &server.engine.kill)),
            "function|stats" if !running.function => Some(Err(running.busy())),
            "function|stats" => {
                functions::write_stats(server, Some(&running), out);
                return true;
            }
            _ => None,
        };
        match ended {
            Some(Ok(())) => {
                out.ok();
                return true;
            }
            Some(Err(fail)) => {
                server.stats.error(fail.as_str().as_bytes());
                out.error(fail.as_str());
                return true;
            }
            None => {}
        }
    }
    dispatch::run(server, core, session, args, out);
    true
}
