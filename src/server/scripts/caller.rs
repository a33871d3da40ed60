//! One run of a script or function, and the commands that it calls.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::base::limits::{SCRIPT_CALL_REPLY_MAX, SCRIPT_INLINE_MAX, SCRIPT_MEMORY_MAX};
use crate::base::slot;
use crate::command::acl::Denied;
use crate::command::args::is;
use crate::command::table::{self, Flags, Spec};
use crate::command::{Args, Fail};
use crate::resp::{Out, Proto};
use crate::script::{Ended, Host, Marks, Run, Script};
use crate::server::access;
use crate::server::dispatch::{self, Exec, Step, wall_us};

const OOM_FLAG: Fail = Fail::new(
    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
);
const NO_CLUSTER: Fail = Fail::new("ERR Can not run script on cluster, 'no-cluster' flag is set.");
const WRITES_IN_RO: Fail =
    Fail::new("ERR Can not execute a script with write flag using *_ro command.");
const TOO_LONG: Fail = Fail::new("ERR the script ran too long and was ended; nothing was changed");
const KILLED: Fail = Fail::new("ERR Script killed by user with SCRIPT KILL...");

/// What is to run.
pub struct Plan<'a> {
    /// The SHA-1 of a script, the name of a function.
    pub name: &'a str,
    pub script: Script,
    /// What it declares; `None`: nothing, as scripts did before Redis 7.
    pub marks: Option<Marks>,
    pub function: bool,
    /// Called by EVAL_RO, EVALSHA_RO or FCALL_RO.
    pub read_only: bool,
    /// The command that calls it: name, script, number of keys, keys, arguments.
    pub command: Args<'a>,
    pub keys: usize,
}

/// The number of keys in a command that calls a script.
///
/// # Errors
/// It is negative, or there are fewer arguments. `parse` says what it is, or that it is no number.
pub fn number_of_keys(
    args: Args<'_>,
    parse: impl Fn(&[u8]) -> Result<i64, Fail>,
) -> Result<usize, Fail> {
    let keys = parse(args[2])?;
    if keys > args.len() as i64 - 3 {
        return Err(Fail::new(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    usize::try_from(keys).map_err(|_| Fail::new("ERR Number of keys can't be negative"))
}

/// Runs a script within the command that called it.
///
/// # Errors
/// It may not run here or now. What it raised itself is its reply.
pub fn run(x: &mut Exec<'_>, plan: &Plan<'_>, out: &mut Out) -> Result<(), Fail> {
    let full = !x.core.make_room();
    if let Some(marks) = plan.marks {
        if marks.no_cluster() && x.server.live.redirects() {
            return Err(NO_CLUSTER);
        }
        if plan.read_only && !marks.no_writes() {
            return Err(WRITES_IN_RO);
        }
        if full && !marks.runs_when_full() {
            return Err(OOM_FLAG);
        }
    }
    let server = x.server;
    if server.monitors.watched() {
        server.monitors.tell(
            wall_us(),
            x.session.db,
            &x.session.client.addr,
            plan.command,
        );
    }
    let before = x.core.mark();
    let (db, last_command, in_exec) = (x.session.db, x.session.last_command, x.session.in_exec);
    let memory = x.session.memory.args;
    let until = match x.session.patient {
        Some(until) => {
            server.engine.kill.store(false, Relaxed);
            server.scripts.begin(plan.name, plan.command, plan.function);
            until
        }
        None => {
            server.engine.kill.store(false, Relaxed);
            Instant::now() + SCRIPT_INLINE_MAX
        }
    };
    x.session.in_exec = true;
    x.session.in_script = true;
    let cross_slot = plan.marks.is_none_or(Marks::cross_slot);
    let mut host = Caller {
        read_only: plan.read_only || plan.marks.is_some_and(Marks::no_writes),
        full: full && !plan.marks.is_some_and(Marks::allow_oom),
        wrote: false,
        slot: (server.live.redirects() && !cross_slot).then(|| {
            let first = plan.command.get(3).filter(|_| plan.keys > 0);
            first.map(|key| slot::of(key))
        }),
        x,
    };
    let from = out.len();
    let machine = server.scripts.machine.lock();
    let (keys, args) = plan.command[3..].split_at(plan.keys);
    let run = Run {
        name: plan.name,
        keys,
        args,
        function: plan.function,
        until,
    };
    let ended = machine
        .as_ref()
        .map(|m| m.vm.run(&plan.script, &run, &mut host, out));
    let held = machine.as_ref().map_or(0, |m| m.vm.memory());
    drop(machine);
    x.session.in_exec = in_exec;
    x.session.in_script = false;
    x.session.db = db;
    x.session.last_command = last_command;
    x.session.memory.args = memory;
    let patient = x.session.patient.is_some();
    if patient {
        server.scripts.end();
    }
    if held > SCRIPT_MEMORY_MAX / 2 {
        // What functions hold on to, since garbage was collected: it must not starve the scripts to come.
        server.scripts.forget_machine();
    }
    match ended {
        Some(Ended::OutOfTime) if patient => {
            x.core.rollback(before);
            return Err(TOO_LONG);
        }
        Some(Ended::OutOfTime) => x.session.overran = true,
        Some(Ended::Failed { text, counted }) => {
            if !counted {
                server.stats.error(&text);
            }
            x.session.error_counted = counted && !in_exec;
            out.error_bytes(&text);
        }
        Some(Ended::Replied { counted }) => {
            let reply = &out.as_slice()[from..];
            if reply.first() == Some(&b'-') {
                x.session.error_counted = counted && !in_exec;
                if !counted {
                    server.stats.error(&reply[1..]);
                }
            }
        }
        None => return Err(Fail::new("ERR cannot start Lua")),
    }
    Ok(())
}

/// What a script reaches: the commands, as its client may run them.
struct Caller<'a, 'b> {
    x: &'a mut Exec<'b>,
    read_only: bool,
    /// Memory was full when the script began, and it may not grow the data.
    full: bool,
    /// It has called a command that writes: from here on it is not refused for what may change by itself.
    wrote: bool,
    /// All keys must be of one slot: the one that is known, if one is.
    slot: Option<Option<u16>>,
}

impl Caller<'_, '_> {
    /// Whether policy and the rules of the script's user allow a command; a refusal is counted and noted.
    fn allowed(&mut self, spec: &'static Spec, args: Args<'_>) -> Result<(), Denied> {
        let Exec {
            server,
            core,
            session,
            ..
        } = &mut *self.x;
        if dispatch::is_restricted(server, spec) {
            access::note_denied(server, core, session, spec, args, Denied::COMMAND);
            return Err(Denied::COMMAND);
        }
        access::check(server, core, session, spec, args)
    }

    /// Why a command is not run.
    fn refused(&mut self, spec: &'static Spec, args: Args<'_>) -> Result<(), Fail> {
        let server = self.x.server;
        let debug = || {
            let harmless = args
                .get(1)
                .is_some_and(|a| is(a, "protocol") || is(a, "sleep"));
            spec.full_name == "debug" && harmless && server.live.debug_in_scripts.load(Relaxed)
        };
        if spec.has(Flags::NOSCRIPT) && !debug() {
            return Err(Fail::new(
                "ERR This Redis command is not allowed from script",
            ));
        }
        if let Err(denied) = self.allowed(spec, args) {
            let user = self.x.session.identity.user();
            return Err(Fail::text(format!(
                "ERR ACL failure in script: {}",
                denied.message(user, spec)
            )));
        }
        if self.read_only && spec.has(Flags::WRITE.union(Flags::MAY_REPLICATE)) {
            return Err(Fail::new(
                "ERR Write commands are not allowed from read-only scripts.",
            ));
        }
        if !self.wrote {
            if let Some(fail) = dispatch::no_room(server.disk.get(), spec.flags) {
                return Err(fail);
            }
            if let Some(fail) = dispatch::no_replicas(server, self.x.core, spec.flags) {
                return Err(fail);
            }
            if self.full && spec.has(Flags::DENYOOM) {
                return Err(Fail::OOM);
            }
        }
        if spec.has(Flags::WRITE) && !self.wrote {
            if !server.scripts.writes() {
                return Err(KILLED);
            }
            self.wrote = true;
        }
        if let Some(known) = &mut self.slot {
            for key in &table::routed_keys(spec, args) {
                let slot = slot::of(args[key.at]);
                if *known.get_or_insert(slot) != slot {
                    return Err(Fail::new(
                        "ERR Script attempted to access keys that do not hash to the same slot",
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Host for Caller<'_, '_> {
    fn call(&mut self, args: &[&[u8]], resp3: bool, reply: &mut Vec<u8>) {
        let proto = if resp3 { Proto::Resp3 } else { Proto::Resp2 };
        let mut out = Out::new(proto).limited(SCRIPT_CALL_REPLY_MAX);
        let resolved = match table::resolve(args) {
            Ok(spec) if spec.accepts(args.len()) => self.refused(spec, args).map(|()| spec),
            Ok(_) => Err(Fail::new(
                "ERR Wrong number of args calling Redis command from script",
            )),
            Err(_) => Err(Fail::new("ERR Unknown Redis command called from script")),
        };
        match resolved {
            Ok(spec) => {
                let Exec {
                    server,
                    core,
                    session,
                    wait,
                    ..
                } = &mut *self.x;
                let step = dispatch::execute(server, core, session, spec, args, &mut out);
                if let Step::Replied { wait: waits } = step {
                    *wait = (*wait).max(waits);
                }
            }
            Err(fail) => {
                let server = self.x.server;
                server.stats.error(fail.as_str().as_bytes());
                if let Ok(spec) = table::resolve(args) {
                    server.counters.calls.of(spec.id)[3].fetch_add(1, Relaxed);
                }
                out.error(fail.as_str());
            }
        }
        if out.error_count() > 0 {
            self.x.server.counters.errors.fetch_add(1, Relaxed);
        }
        reply.extend_from_slice(out.as_slice());
    }

    fn may(&mut self, args: &[&[u8]]) -> Option<bool> {
        let spec = table::resolve(args).ok()?;
        let Exec {
            server,
            core,
            session,
            ..
        } = &mut *self.x;
        core.refresh_users();
        let allowed = session.identity.check(&core.users, spec, args).is_ok();
        Some(allowed && !dispatch::is_restricted(server, spec))
    }
}
