//! Scripts and functions at work: what is compiled of them, how one runs, and what others get meanwhile.
//!
//! A script runs within the command that called it, under the hold of the engine's lock that the connection has: what
//! it changes is one piece of one batch. **Invariant**: one that takes long does not run on a connection's thread. It
//! is ended there, what it did is taken back, and it is begun anew on a thread of its own (`long`); until that ends,
//! no other command runs, and after a while they are answered BUSY (`busy`).

pub mod busy;
pub mod caller;
pub mod long;
mod machine;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{OnceLock, mpsc};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::command::table::{Flags, Spec};
use crate::command::{Args, Fail};
use crate::engine::Core;
use crate::keyspace::system::Table;
use crate::script::Marks;

use super::Server;

pub use machine::{Library, Machine, shebang};

/// What a server has for its scripts.
#[derive(Default)]
pub struct Scripts {
    /// Made when it is first needed. Locked only under the engine's lock.
    pub machine: Mutex<Option<Machine>>,
    running: Mutex<Option<Running>>,
    thread: OnceLock<mpsc::Sender<long::Job>>,
    /// Bytes of the machine, and how many libraries and functions it has, as last known.
    pub memory: AtomicUsize,
    pub libraries: AtomicUsize,
    pub functions: AtomicUsize,
}

/// A script that runs on the thread of its own.
#[derive(Debug, Clone)]
pub struct Running {
    /// The SHA-1 of a script, the name of a function.
    pub name: String,
    /// The command that called it.
    pub command: Vec<Bytes>,
    pub function: bool,
    pub since: Instant,
    /// It has called a command that writes: it is not killed any more.
    wrote: bool,
    killed: bool,
}

/// What the script or function that a command calls declares of itself; `None`: nothing, or it is no such command.
fn declared(server: &Server, core: &Core, spec: &Spec, args: Args<'_>) -> Option<Marks> {
    let system = &core.ks.system;
    match spec.full_name {
        "eval" | "eval_ro" => shebang(args[1]).ok()?.0,
        "evalsha" | "evalsha_ro" => {
            let body = system.get(Table::Scripts, &args[1].to_ascii_lowercase())?;
            shebang(body).ok()?.0
        }
        "fcall" | "fcall_ro" => {
            let find = |m: &mut Machine| m.function(args[1]).map(|f| f.marks);
            let found = server.scripts.machine(&server.engine.kill, system, find);
            found.ok().flatten()
        }
        _ => None,
    }
}

/// The flags of a command that calls a script or function: writing and growing as that declares.
pub fn flags_of(server: &Server, core: &Core, spec: &Spec, args: Args<'_>) -> Flags {
    let Some(marks) = declared(server, core, spec, args) else {
        return spec.flags;
    };
    let mut flags = Flags::SKIP_MONITOR;
    if !marks.no_writes() {
        flags = flags.union(Flags::WRITE);
    }
    if !marks.runs_when_full() {
        flags = flags.union(Flags::DENYOOM);
    }
    flags
}

const NOT_BUSY: Fail = Fail::new("NOTBUSY No scripts in execution right now.");
const UNKILLABLE: Fail = Fail::new(
    "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
);
/// What others get while a script, or a function, takes long.
const BUSY_SCRIPT: Fail = Fail::new(
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
);
const BUSY_FUNCTION: Fail = Fail::new(
    "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
);

impl Scripts {
    /// The script that runs on the thread of its own, if one does.
    pub fn running(&self) -> Option<Running> {
        self.running.lock().clone()
    }

    /// A script begins to run on the thread of its own.
    fn begin(&self, name: &str, command: &[&[u8]], function: bool) {
        *self.running.lock() = Some(Running {
            name: name.to_owned(),
            command: command.iter().map(|a| Bytes::copy_from_slice(a)).collect(),
            function,
            since: Instant::now(),
            wrote: false,
            killed: false,
        });
    }

    fn end(&self) {
        *self.running.lock() = None;
    }

    /// The script that runs is about to write: from here on it is not killed. False: it was, before.
    fn writes(&self) -> bool {
        match &mut *self.running.lock() {
            Some(running) if running.killed => false,
            Some(running) => {
                running.wrote = true;
                true
            }
            None => true,
        }
    }

    /// SCRIPT KILL and FUNCTION KILL.
    ///
    /// # Errors
    /// None runs, it has written, or it is one of the other kind.
    pub fn kill(&self, function: bool, kill: &std::sync::atomic::AtomicBool) -> Result<(), Fail> {
        let mut running = self.running.lock();
        let running = running.as_mut().ok_or(NOT_BUSY)?;
        if running.wrote {
            return Err(UNKILLABLE);
        }
        if running.function != function {
            return Err(running.busy());
        }
        running.killed = true;
        kill.store(true, Relaxed);
        Ok(())
    }
}

impl Running {
    /// What others get while it takes long.
    pub fn busy(&self) -> Fail {
        match self.function {
            true => BUSY_FUNCTION,
            false => BUSY_SCRIPT,
        }
    }
}
