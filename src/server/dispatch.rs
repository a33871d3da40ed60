//! From a request to its reply: the gates that every command passes, in Redis's order.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::Bytes;

use crate::base::limits::{BATCH_LEN_MAX, QUEUED_BYTES_MAX, QUEUED_COMMANDS_MAX};
use crate::base::slot;
use crate::command::table::{self, Flags, Spec, Unknown};
use crate::command::{self, Args, Fail};
use crate::engine::{Core, Role};
use crate::log::Space;
use crate::resp::{Out, Proto};

use super::session::{Multi, ReplyMode};
use super::{Server, Session, commands};

/// What is to become of the connection after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The reply is in `out`; it waits for this batch (0: for none).
    Replied { wait: u64 },
    /// Only the primary can answer this: nothing was done.
    NeedsPrimary,
    /// The primary must be asked first how far this standby has to be: nothing was done.
    NeedsReadIndex,
}

/// The world of a command about the connection or the server.
pub struct Exec<'a> {
    pub server: &'a Server,
    pub core: &'a mut Core,
    pub session: &'a mut Session,
    /// The batch that the reply waits for.
    pub wait: u64,
}

impl Exec<'_> {
    /// Whether this node executes writes.
    pub fn leading(&self) -> bool {
        matches!(self.core.role, Role::Leading { .. })
    }
}

/// A handler of `server/commands`.
pub type Handler = fn(&mut Exec<'_>, Args<'_>, &mut Out) -> Result<(), Fail>;

/// Runs one request of a session.
pub fn run(
    server: &Server,
    core: &mut Core,
    session: &mut Session,
    args: Args<'_>,
    out: &mut Out,
) -> Step {
    let from = out.len();
    let errors = out.error_count();
    let step = gates(server, core, session, args, out);
    if let Step::Replied { .. } = step {
        server.counters.commands.fetch_add(1, Relaxed);
        if out.error_count() != errors {
            server.counters.errors.fetch_add(1, Relaxed);
        }
        match session.reply {
            ReplyMode::On => {}
            ReplyMode::Off => out.truncate(from),
            ReplyMode::SkipNext => session.reply = ReplyMode::Skip,
            ReplyMode::Skip => {
                session.reply = ReplyMode::On;
                out.truncate(from);
            }
        }
    }
    step
}

const NO_AUTH: Fail = Fail::new("NOAUTH Authentication required.");
const REPLIED: Step = Step::Replied { wait: 0 };

fn refuse(session: &mut Session, out: &mut Out, fail: &Fail) -> Step {
    if let Some(multi) = &mut session.multi {
        multi.aborted = true;
    }
    out.error(fail.as_str());
    REPLIED
}

fn gates(
    server: &Server,
    core: &mut Core,
    session: &mut Session,
    args: Args<'_>,
    out: &mut Out,
) -> Step {
    let spec = match table::resolve(args) {
        Ok(spec) => spec,
        Err(_) if !session.authenticated => return refuse(session, out, &NO_AUTH),
        Err(unknown) => return refuse_unknown(session, out, unknown, args),
    };
    let top = spec.container.map_or(spec, |id| id.spec());
    if !spec.accepts(args.len()) {
        return refuse(session, out, &Fail::text(table::wrong_arity(spec)));
    }
    if !session.authenticated && !spec.has(Flags::NO_AUTH) {
        return refuse(session, out, &NO_AUTH);
    }
    if let Some(fail) = restricted(server, top, spec) {
        server.counters.calls.of(spec.id)[3].fetch_add(1, Relaxed);
        return refuse(session, out, &fail);
    }
    if core.role == Role::Loading && !spec.has(Flags::LOADING) {
        return refuse(
            session,
            out,
            &Fail::new("LOADING Pontoon is loading the dataset in memory"),
        );
    }
    if session.subscriptions() > 0
        && out.proto() == Proto::Resp2
        && !while_subscribed(spec.full_name)
    {
        let text = format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            spec.full_name
        );
        return refuse(session, out, &Fail::text(text));
    }
    if !matches!(core.role, Role::Leading { .. })
        && let Some(step) = at_standby(server, core, session, spec, args, out)
    {
        return step;
    }
    let transaction_word = matches!(
        spec.full_name,
        "exec" | "discard" | "multi" | "watch" | "quit" | "reset"
    );
    if spec.has(Flags::DENYOOM) && !core.make_room() && session.multi.is_none() {
        return refuse(session, out, &Fail::OOM);
    }
    if let Some(fail) = no_room(server.disk.get(), spec) {
        return refuse(session, out, &fail);
    }
    if session.multi.is_some() && !transaction_word {
        return queue(session, spec, args, out);
    }
    execute(server, core, session, spec, args, out)
}

/// Why a command cannot run for lack of disk.
fn no_room(space: Space, spec: &Spec) -> Option<Fail> {
    match space {
        Space::Low if spec.has(Flags::DENYOOM) => Some(Fail::new(
            "MISCONF the disk is nearly full: commands that need more of it are refused; deleting frees some",
        )),
        Space::Full if spec.has(Flags::WRITE) => Some(Fail::new(
            "MISCONF the disk is full: nothing is written until the operator makes room",
        )),
        _ => None,
    }
}

fn queue(session: &mut Session, spec: &Spec, args: Args<'_>, out: &mut Out) -> Step {
    if spec.has(Flags::NO_MULTI) {
        return refuse(
            session,
            out,
            &Fail::text(format!(
                "ERR Command not allowed inside a transaction: {}",
                spec.full_name
            )),
        );
    }
    let Some(multi) = &mut session.multi else {
        return REPLIED;
    };
    multi.bytes += args.iter().map(|a| a.len() + 32).sum::<usize>();
    if multi.queue.len() >= QUEUED_COMMANDS_MAX || multi.bytes > QUEUED_BYTES_MAX {
        multi.queue = Vec::new();
        return refuse(
            session,
            out,
            &Fail::new(
                "ERR the transaction is too large: fewer or smaller commands between MULTI and EXEC",
            ),
        );
    }
    if !multi.aborted {
        multi
            .queue
            .push(args.iter().map(|a| Bytes::copy_from_slice(a)).collect());
    }
    out.simple("QUEUED");
    REPLIED
}

/// Runs a command that passed all gates.
pub fn execute(
    server: &Server,
    core: &mut Core,
    session: &mut Session,
    spec: &Spec,
    args: Args<'_>,
    out: &mut Out,
) -> Step {
    let from = out.len();
    let started = Instant::now();
    let mark = core.mark();
    let (wait, result) = if let Some(handler) = command::handler(spec.id) {
        let mut ctx = core.ctx(session.db);
        ctx.no_touch = session.no_touch;
        let result = handler(&mut ctx, args, out);
        (ctx.wait, result)
    } else if let Some(handler) = commands::handler(spec.id) {
        let mut exec = Exec {
            server,
            core,
            session,
            wait: 0,
        };
        let result = handler(&mut exec, args, out);
        (exec.wait, result)
    } else {
        let text = format!("ERR the command '{}' is not available here", spec.full_name);
        (0, Err(Fail::text(text)))
    };
    let mut wait = wait;
    if core.bytes_since(&mark) > BATCH_LEN_MAX {
        core.rollback(mark);
        out.truncate(from);
        out.error(
            "ERR the command changes more than one batch may hold; nothing was changed: split it",
        );
        wait = 0;
    } else if let Err(fail) = &result {
        out.truncate(from);
        out.error(fail.as_str());
    }
    wait = wait.max(core.settle_events());
    let micros = started.elapsed().as_micros() as u64;
    let [calls, usec, failed, _] = server.counters.calls.of(spec.id);
    calls.fetch_add(1, Relaxed);
    usec.fetch_add(micros, Relaxed);
    if result.is_err() {
        failed.fetch_add(1, Relaxed);
    }
    if core.settings.slowlog_slower_than_us >= 0
        && micros as i64 >= core.settings.slowlog_slower_than_us
        && !spec.has(Flags::SKIP_SLOWLOG)
    {
        let about = session.client.about.lock().name.clone();
        server.slowlog.lock().add(
            args,
            micros,
            core.settings.slowlog_len_max,
            &session.client.addr,
            &about,
        );
    }
    Step::Replied { wait }
}

/// What a node that does not lead does with a command; `None`: run it here.
fn at_standby(
    server: &Server,
    core: &mut Core,
    session: &mut Session,
    spec: &Spec,
    args: Args<'_>,
    out: &mut Out,
) -> Option<Step> {
    if commands::is_local(spec.full_name) || core.role == Role::Loading {
        return None;
    }
    let reads = spec.has(Flags::READONLY)
        && !spec.has(Flags::BLOCKING)
        && command::handler(spec.id).is_some();
    if session.readonly && reads && session.multi.is_none() {
        if server.options.linearizable {
            // Looked at again here: the data may have been loaded anew from an earlier point since.
            if session.read_index.is_none_or(|i| core.applied.0 < i) {
                return Some(Step::NeedsReadIndex);
            }
            core.tick();
            return None;
        }
        let staleness = core.staleness_ms();
        if staleness <= server.options.staleness_ms {
            core.tick();
            return None;
        }
        let text = format!(
            "STALE this standby's data is {staleness} ms behind and at most {} ms is allowed: read at the primary (READWRITE)",
            server.options.staleness_ms
        );
        return Some(refuse(session, out, &Fail::text(text)));
    }
    if !server.options.redirect {
        return Some(Step::NeedsPrimary);
    }
    let view = server.view.borrow();
    match &view.leader {
        Some(leader) if leader.id != view.node_id => {
            let slot = table::routed_keys(spec, args)
                .first()
                .map_or(0, |key| slot::of(args[key.at]));
            let text = format!("MOVED {slot} {}", leader.announced);
            drop(view);
            Some(refuse(session, out, &Fail::text(text)))
        }
        _ => Some(Step::NeedsPrimary),
    }
}

/// Policy: the restricted list (A5). In redirect mode the subcommands of CLUSTER and COMMAND that only read are allowed.
pub fn restricted(server: &Server, top: &Spec, spec: &Spec) -> Option<Fail> {
    let list = &server.options.restricted;
    if !(list.contains(top.full_name) || list.contains(spec.full_name)) {
        return None;
    }
    if server.options.redirect
        && (top.full_name == "command" || commands::cluster::reads_only(spec.full_name))
    {
        return None;
    }
    Some(Fail::text(format!(
        "NOPERM User default has no permissions to run the '{}' command",
        spec.full_name
    )))
}

fn while_subscribed(name: &str) -> bool {
    matches!(
        name,
        "subscribe"
            | "unsubscribe"
            | "psubscribe"
            | "punsubscribe"
            | "ssubscribe"
            | "sunsubscribe"
            | "ping"
            | "quit"
            | "reset"
    )
}

fn refuse_unknown(session: &mut Session, out: &mut Out, unknown: Unknown, args: Args<'_>) -> Step {
    if let Some(multi) = &mut session.multi {
        multi.aborted = true;
    }
    out.error_bytes(&unknown.message(args));
    REPLIED
}

/// Begins a transaction.
pub fn multi(session: &mut Session) {
    session.multi = Some(Multi::default());
}
