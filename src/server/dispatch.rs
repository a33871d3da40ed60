//! From a request to its reply: the gates that every command passes, in Redis's order.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::base::limits::{BATCH_LEN_MAX, QUEUED_BYTES_MAX, QUEUED_COMMANDS_MAX};
use crate::base::slot;
use crate::command::acl::Denied;
use crate::command::blocking::{self, Block, Delivery, Parcel, Waiter};
use crate::command::table::{self, CommandId, Flags, Spec, Unknown};
use crate::command::{self, Args, Fail};
use crate::engine::{Core, Role};
use crate::log::Space;
use crate::mutation::Mutation;
use crate::resp::{Out, Proto};

use super::session::{Multi, ReplyMode};
use super::{Server, Session, access, acks, commands, scripts};

/// What is to become of the connection after a command.
#[derive(Debug, Clone)]
pub enum Step {
    /// The reply is in `out`; it waits for this batch (0: for none).
    Replied { wait: u64 },
    /// Only the primary can answer this: nothing was done.
    NeedsPrimary,
    /// The command waits for a key: the client stands in line, and its reply will be in the parcel.
    Blocked(Blocked),
    /// Nothing was done: the command may run at that time, or earlier where the pause is ended.
    Held { until: Instant },
    /// The primary must be asked first how far this standby has to be: nothing was done.
    NeedsReadIndex,
    /// A script of it takes long: nothing was done, and the command is for the thread of long scripts.
    Long,
}

/// A session's side of a command that waits.
#[derive(Debug, Clone)]
pub struct Blocked {
    pub parcel: Arc<Parcel>,
    pub command: CommandId,
    /// Milliseconds; 0: for ever.
    pub timeout_ms: u64,
}

/// The world of a command about the connection or the server.
pub struct Exec<'a> {
    pub server: &'a Server,
    pub core: &'a mut Core,
    pub session: &'a mut Session,
    /// The batch that the reply waits for.
    pub wait: u64,
    /// The command wrote no reply: it will be here once a task is done with it.
    pub parcel: Option<Arc<Parcel>>,
    /// What of the standbys the command, which then has written no reply, waits for.
    pub acks: Option<acks::Wanted>,
}

/// The error of a write while the disk is full.
const DISK_FULL: Fail =
    Fail::new("MISCONF the disk is full: nothing is written until the operator makes room");

impl Exec<'_> {
    /// Changes a table beside the databases; the reply waits for it.
    pub fn change_system(&mut self, mutation: Mutation<'_>) -> Result<(), Fail> {
        if self.server.disk.get() == Space::Full {
            return Err(DISK_FULL);
        }
        let mut ctx = self.core.ctx(0);
        ctx.apply(mutation)?;
        self.wait = self.wait.max(ctx.wait);
        Ok(())
    }

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
    let mut step = gates(server, core, session, args, out);
    if let Step::Replied { wait } = &mut step {
        // Whether it was allowed is part of every reply.
        *wait = (*wait).max(core.gate.system());
        server.counters.commands.fetch_add(1, Relaxed);
        session.memory.args = 0;
        // CLIENT CACHING is about the next command, or the transaction.
        let lasts = session.multi.is_some() || session.last_command.starts_with("client|");
        session.tracking.caching &= lasts;
        // What a script's error counted where it arose is not counted again.
        if !std::mem::take(&mut session.error_counted) && out.error_count() != errors {
            server.counters.errors.fetch_add(1, Relaxed);
        }
        // Confirmations of subscriptions are pushed: they come through whatever CLIENT REPLY says.
        let pushed = session.last_command.ends_with("subscribe");
        match session.reply {
            ReplyMode::On => {}
            ReplyMode::Off | ReplyMode::Skip if pushed && out.error_count() == errors => {
                if session.reply == ReplyMode::Skip {
                    session.reply = ReplyMode::On;
                }
            }
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
const NO_REPLICAS: Fail = Fail::new("NOREPLICAS Not enough good replicas to write.");
const REPLIED: Step = Step::Replied { wait: 0 };

/// Refuses a command before it runs: the transaction that it is part of will not be executed.
pub fn refuse(
    server: &Server,
    session: &mut Session,
    spec: Option<&Spec>,
    out: &mut Out,
    fail: &Fail,
) -> Step {
    server.stats.error(fail.as_str().as_bytes());
    if let Some(spec) = spec {
        server.counters.calls.of(spec.id)[3].fetch_add(1, Relaxed);
    }
    // As Redis answers it, within MULTI or not.
    if spec.is_some_and(|spec| spec.full_name == "exec") {
        session.multi = None;
        session.unwatch();
        let why = fail.as_str();
        let why = why.strip_prefix("ERR ").unwrap_or(why);
        out.error(&format!(
            "EXECABORT Transaction discarded because of: {why}"
        ));
        return REPLIED;
    }
    if let Some(multi) = &mut session.multi {
        multi.aborted = true;
    }
    out.error(fail.as_str());
    REPLIED
}

/// The flags of a command: of EXEC, those of what it will run; of what calls a script, what the script declares.
fn flags_of(server: &Server, core: &Core, session: &Session, spec: &Spec, args: Args<'_>) -> Flags {
    match &session.multi {
        Some(multi) if spec.full_name == "exec" => spec.flags.union(multi.flags),
        _ if spec.has(Flags::NO_MANDATORY_KEYS) => scripts::flags_of(server, core, spec, args),
        _ => spec.flags,
    }
}

fn gates(
    server: &Server,
    core: &mut Core,
    session: &mut Session,
    args: Args<'_>,
    out: &mut Out,
) -> Step {
    let needs_auth = !session.authenticated && !core.users.open();
    let spec = match table::resolve(args) {
        Ok(spec) => spec,
        Err(_) if needs_auth => return refuse(server, session, None, out, &NO_AUTH),
        Err(unknown) => return refuse_unknown(server, session, out, unknown, args),
    };
    if !spec.accepts(args.len()) {
        return refuse(
            server,
            session,
            Some(spec),
            out,
            &Fail::text(table::wrong_arity(spec)),
        );
    }
    if needs_auth && !spec.has(Flags::NO_AUTH) {
        return refuse(server, session, Some(spec), out, &NO_AUTH);
    }
    if let Some(fail) = restricted(server, core, session, spec, args) {
        return refuse(server, session, Some(spec), out, &fail);
    }
    // What a standby passes on, the primary checks: it knows the rules of now.
    let leading = core.leading_role();
    if leading && let Err(denied) = access::check(server, core, session, spec, args) {
        let fail = access::fail(denied, session, spec);
        return refuse(server, session, Some(spec), out, &fail);
    }
    if core.role == Role::Loading && !spec.has(Flags::LOADING) {
        return refuse(server, session, Some(spec), out, &Fail::LOADING);
    }
    if session.subscriptions() > 0
        && out.proto() == Proto::Resp2
        && !while_subscribed(spec.full_name)
    {
        let text = format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            spec.full_name
        );
        return refuse(server, session, Some(spec), out, &Fail::text(text));
    }
    if server.live.redirects()
        && let Some(fail) = cross_slot(spec, args)
    {
        return refuse(server, session, Some(spec), out, &fail);
    }
    if !leading {
        if let Some(step) = at_standby(server, core, session, spec, args, out) {
            return step;
        }
        if let Err(denied) = access::check(server, core, session, spec, args) {
            let fail = access::fail(denied, session, spec);
            return refuse(server, session, Some(spec), out, &fail);
        }
    }
    let transaction_word = matches!(
        spec.full_name,
        "exec" | "discard" | "multi" | "watch" | "quit" | "reset"
    );
    let flags = flags_of(server, core, session, spec, args);
    if let Some(until) = held_back(server, core, flags) {
        return Step::Held { until };
    }
    // What is queued takes memory too, whatever the command.
    let queues = session.multi.is_some() && !transaction_word;
    if (queues || flags.intersects(Flags::DENYOOM)) && !core.make_room() {
        return refuse(server, session, Some(spec), out, &Fail::OOM);
    }
    if let Some(fail) = no_room(server.disk.get(), flags) {
        return refuse(server, session, Some(spec), out, &fail);
    }
    if let Some(fail) = no_replicas(server, core, flags) {
        return refuse(server, session, Some(spec), out, &fail);
    }
    if session.multi.is_some() && !transaction_word {
        return queue(server, session, spec, flags, args, out);
    }
    if let Some(until) = commands::debug::falls_asleep(server, session, spec, args) {
        return Step::Held { until };
    }
    execute(server, core, session, spec, args, out)
}

/// Why a command cannot run for lack of standbys, where min-replicas-to-write asks for some.
pub fn no_replicas(server: &Server, core: &Core, flags: Flags) -> Option<Fail> {
    let wanted = core.settings.replicas_to_write;
    let too_few =
        wanted > 0 && flags.intersects(Flags::WRITE) && server.followers_reachable() < wanted;
    too_few.then_some(NO_REPLICAS)
}

/// Why a command cannot run for lack of disk.
pub fn no_room(space: Space, flags: Flags) -> Option<Fail> {
    match space {
        Space::Low if flags.intersects(Flags::DENYOOM) => Some(Fail::new(
            "MISCONF the disk is nearly full: commands that need more of it are refused; deleting frees some",
        )),
        Space::Full if flags.intersects(Flags::WRITE) => Some(DISK_FULL),
        _ => None,
    }
}

/// Until when a command waits: for CLIENT PAUSE, or for a DEBUG SLEEP of some client.
fn held_back(server: &Server, core: &Core, flags: Flags) -> Option<Instant> {
    if let Some(until) = server.live.asleep() {
        return Some(until);
    }
    let left = core.settings.paused_until.saturating_sub(core.now_ms());
    if left == 0 {
        return None;
    }
    let writes = Flags::WRITE.union(Flags::MAY_REPLICATE);
    let held = core.settings.pause_all || flags.intersects(writes);
    held.then(|| Instant::now() + Duration::from_millis(left))
}

/// In redirect mode clients see a cluster: all keys of a command are in one slot.
fn cross_slot(spec: &Spec, args: Args<'_>) -> Option<Fail> {
    let keys = table::routed_keys(spec, args);
    let first = slot::of(args[keys.first()?.at]);
    keys.iter()
        .any(|key| slot::of(args[key.at]) != first)
        .then_some(CROSS_SLOT)
}

const CROSS_SLOT: Fail = Fail::new("CROSSSLOT Keys in request don't hash to the same slot");

fn queue(
    server: &Server,
    session: &mut Session,
    spec: &Spec,
    flags: Flags,
    args: Args<'_>,
    out: &mut Out,
) -> Step {
    if spec.has(Flags::NO_MULTI) {
        return refuse(
            server,
            session,
            Some(spec),
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
    multi.flags = multi.flags.union(flags);
    multi.bytes += args.iter().map(|a| a.len() + 32).sum::<usize>();
    if multi.queue.len() >= QUEUED_COMMANDS_MAX || multi.bytes > QUEUED_BYTES_MAX {
        multi.queue = Vec::new();
        return refuse(
            server,
            session,
            Some(spec),
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
    spec: &'static Spec,
    args: Args<'_>,
    out: &mut Out,
) -> Step {
    let from = out.len();
    session.last_command = spec.full_name;
    session.memory.args = args.iter().map(|a| a.len()).sum();
    let db = session.db;
    let started = match session.asleep.take() {
        Some((began, _)) if spec.full_name == "debug" => began,
        _ => Instant::now(),
    };
    let errors = out.error_count();
    let mark = core.mark();
    // What EXEC and scripts run is recorded by itself, in between.
    let record = core.begin_record();
    let (mut block, mut acks, mut elsewhere) = (None, None, None);
    let (wait, result) = if let Some(handler) = command::handler(spec.id) {
        let mut ctx = core.ctx(session.db);
        ctx.client = session.client.id;
        ctx.no_touch = session.no_touch;
        ctx.user = session.identity.rules();
        ctx.script = session.in_script;
        let result = handler(&mut ctx, args, out);
        block = ctx.block.take();
        let waited = ctx.wait;
        if session.tracking.on {
            remember(core, session, spec, args);
        }
        (waited, result)
    } else if let Some(handler) = commands::handler(spec.id) {
        let mut exec = Exec {
            server,
            core,
            session,
            wait: 0,
            parcel: None,
            acks: None,
        };
        let result = handler(&mut exec, args, out);
        elsewhere = exec.parcel.take();
        acks = exec.acks;
        (exec.wait, result)
    } else {
        let text = format!("ERR the command '{}' is not available here", spec.full_name);
        (0, Err(Fail::text(text)))
    };
    let mut wait = wait;
    let overflown = out.take_overflown();
    if std::mem::take(&mut session.overran) {
        // What encloses it learns of it, too.
        session.overran = session.in_exec;
        core.rollback(mark);
        out.truncate(from);
        return Step::Long;
    }
    let too_much = if core.bytes_since(&mark) > BATCH_LEN_MAX {
        Some("ERR the command changes more than one batch may hold; nothing was changed: split it")
    } else if overflown {
        Some("ERR the reply is longer than one may be; nothing was changed: ask for less at once")
    } else {
        None
    };
    if let Some(text) = too_much {
        core.rollback(mark);
        out.truncate(from);
        server.stats.error(b"ERR ");
        out.error(text);
        wait = 0;
    } else if let Err(fail) = &result {
        server.stats.error(fail.as_str().as_bytes());
        out.truncate(from);
        out.error(fail.as_str());
    }
    if let Some(begun) = &record {
        core.record_done(begun, spec, args, db, &out.as_slice()[from..]);
    }
    let mut blocked = elsewhere.map(|parcel| Blocked {
        parcel,
        command: spec.id,
        timeout_ms: 0,
    });
    match block {
        // Within a transaction nothing is waited for.
        Some(block) if session.in_exec => block.write_empty(out),
        Some(block) => blocked = Some(stand_in_line(core, session, spec, args, out, block)),
        None => {
            if let Some(wanted) = acks {
                let waits = stand_in_line(core, session, spec, args, out, wanted.block());
                let parcel = waits.parcel.clone();
                server.acks.add(session.client.id, parcel, wanted);
                blocked = Some(waits);
            }
        }
    }
    if !session.in_exec {
        core.end_unit(!spec.has(Flags::TOUCHES_ARBITRARY_KEYS));
        core.serve_blocked();
        if core.events_since(&mark) {
            wait = wait.max(core.settle_events());
        }
    }
    let took = started.elapsed();
    let own_errors = spec.full_name != "exec" && out.error_count() != errors;
    // What waits is counted when it has run: see `served`.
    if blocked.is_none() {
        count(server, spec, took, result.is_err() || own_errors);
        if !spec.has(Flags::SKIP_SLOWLOG) && !session.in_script {
            note_slow(server, core, session, spec, args, took);
        }
    }
    if server.monitors.watched() && !spec.has(Flags::SKIP_MONITOR.union(Flags::ADMIN)) {
        let hidden = super::monitor::redacted(spec.full_name, args);
        let shown = hidden.as_deref().unwrap_or(args);
        let by = match session.in_script {
            true => "lua",
            false => &session.client.addr,
        };
        server.monitors.tell(wall_us(), db, by, shown);
    }
    blocked.map_or(Step::Replied { wait }, Step::Blocked)
}

/// The client may cache what it has read.
fn remember(core: &mut Core, session: &Session, spec: &Spec, args: Args<'_>) {
    let (id, caching) = (session.client.id, session.tracking.caching);
    core.tracking.read(id, caching, spec, args);
    core.tracking.bound(&mut core.rng);
}

/// Lets a session stand in line with the command that found nothing.
fn stand_in_line(
    core: &mut Core,
    session: &Session,
    spec: &Spec,
    args: Args<'_>,
    out: &Out,
    mut block: Block,
) -> Blocked {
    let blocked = Blocked {
        parcel: Arc::default(),
        command: spec.id,
        timeout_ms: block.timeout_ms,
    };
    core.blocking.add(Waiter {
        client: session.client.id,
        command: spec.id,
        args: block.args.take().unwrap_or_else(|| blocking::own(args)),
        db: session.db,
        proto: out.proto(),
        no_touch: session.no_touch,
        user: session.identity.user().clone(),
        block,
        parcel: blocked.parcel.clone(),
    });
    blocked
}

/// Counts a command that waited, with what came of it: whoever changed its key ran it, or its wait ended.
pub fn served(
    server: &Server,
    core: &Core,
    session: &Session,
    command: CommandId,
    delivery: &Delivery,
) {
    server.counters.commands.fetch_add(1, Relaxed);
    let error = delivery.reply.strip_prefix(b"-");
    if let Some(error) = error {
        server.stats.error(error.trim_ascii_end());
        server.counters.errors.fetch_add(1, Relaxed);
    }
    let spec = command.spec();
    let took = delivery.ran.as_ref().map_or(Duration::ZERO, |r| r.took);
    let Some(ran) = &delivery.ran else {
        return count(server, spec, took, error.is_some());
    };
    let args: SmallVec<[&[u8]; 8]> = ran.args.iter().map(|a| &a[..]).collect();
    if let Some(denied) = ran.denied {
        server.counters.calls.of(spec.id)[3].fetch_add(1, Relaxed);
        access::note_denied(server, core, session, spec, &args, denied);
    } else {
        count(server, spec, took, error.is_some());
        note_slow(server, core, session, spec, &args, took);
    }
}

fn count(server: &Server, spec: &Spec, took: Duration, is_failure: bool) {
    let [calls, usec, failed, _] = server.counters.calls.of(spec.id);
    calls.fetch_add(1, Relaxed);
    usec.fetch_add(took.as_micros() as u64, Relaxed);
    if is_failure {
        failed.fetch_add(1, Relaxed);
    }
    server.stats.took(spec.id, took);
}

/// Notes a command in the slow log and the latency monitor where it took long enough.
fn note_slow(
    server: &Server,
    core: &Core,
    session: &Session,
    spec: &Spec,
    args: Args<'_>,
    took: Duration,
) {
    let (micros, ms) = (took.as_micros() as u64, took.as_millis() as u64);
    let threshold = core.settings.latency_monitor_ms;
    if threshold > 0 && ms >= threshold {
        let event = if spec.has(Flags::FAST) {
            "fast-command"
        } else {
            "command"
        };
        server.stats.event(event, ms, wall_us() / 1_000_000);
    }
    let slow = core.settings.slowlog_slower_than_us;
    if slow >= 0 && micros as i64 >= slow {
        let hidden = super::monitor::redacted(spec.full_name, args);
        let shown = hidden.as_deref().unwrap_or(args);
        let name = session.client.about.lock().name.clone();
        let max = core.settings.slowlog_len_max;
        server
            .slowlog
            .lock()
            .add(shown, micros, max, &session.client.addr, &name);
    }
}

/// Microseconds since 1970, for what is shown to people.
pub fn wall_us() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_micros() as u64)
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
    if core.role == Role::Loading {
        return None;
    }
    if commands::is_local(spec.full_name) {
        // A user that was made, or given a password, a moment ago may not be known here yet.
        core.refresh_users();
        let stale = session.read_index.is_none_or(|i| core.applied.0 < i);
        let wrong = commands::connection::credentials(spec.full_name, args)
            .is_some_and(|(user, password)| core.users.login(user, password).is_none());
        return (wrong && stale).then_some(Step::NeedsReadIndex);
    }
    // Where another client is told, only the primary can reach it.
    let redirects = session.tracking.redirects;
    let reads = !redirects
        && spec.has(Flags::READONLY)
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
        let (age, allowed) = (
            server.freshness.age_ms(core.applied.0),
            server.options.staleness_ms,
        );
        if age > allowed && session.read_index.is_none_or(|i| core.applied.0 < i) {
            return Some(Step::NeedsReadIndex);
        }
        if age > allowed / 2 {
            server.freshness.want();
        }
        core.tick();
        return None;
    }
    if !server.live.redirects() {
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
            Some(refuse(server, session, Some(spec), out, &Fail::text(text)))
        }
        _ => Some(Step::NeedsPrimary),
    }
}

/// Policy: the restricted list (A5). In redirect mode the subcommands of CLUSTER and COMMAND that only read are allowed.
/// A refusal is noted.
pub fn restricted(
    server: &Server,
    core: &Core,
    session: &mut Session,
    spec: &'static Spec,
    args: Args<'_>,
) -> Option<Fail> {
    if session.operator || !is_restricted(server, spec) {
        return None;
    }
    session.last_command = spec.full_name;
    access::note_denied(server, core, session, spec, args, Denied::COMMAND);
    Some(access::fail(Denied::COMMAND, session, spec))
}

/// Whether policy refuses a command to everybody.
pub fn is_restricted(server: &Server, spec: &Spec) -> bool {
    let list = server.live.restricted.load();
    let top = spec.container.map_or(spec, |id| id.spec());
    let closed = match top.full_name {
        "script" | "eval" | "eval_ro" | "evalsha" | "evalsha_ro" => {
            !server.live.scripting.load(Relaxed)
        }
        "function" | "fcall" | "fcall_ro" => !server.live.functions.load(Relaxed),
        _ => false,
    };
    if closed {
        return true;
    }
    if list.is_empty() || !(list.contains(top.full_name) || list.contains(spec.full_name)) {
        return false;
    }
    let reads = top.full_name == "command" || commands::cluster::reads_only(spec.full_name);
    !(server.live.redirects() && reads)
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

fn refuse_unknown(
    server: &Server,
    session: &mut Session,
    out: &mut Out,
    unknown: Unknown,
    args: Args<'_>,
) -> Step {
    let text = unknown.message(args);
    server.stats.error(&text);
    if let Some(multi) = &mut session.multi {
        multi.aborted = true;
    }
    out.error_bytes(&text);
    REPLIED
}

/// Begins a transaction.
pub fn multi(session: &mut Session) {
    session.multi = Some(Multi::default());
}
