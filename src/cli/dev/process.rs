//! One process: begun by this one, or found running after an earlier supervisor was killed.
//!
//! A pid alone names nobody: pids are used again. A process is known by pid, start time and boot, and a found one is
//! held by a pidfd from before that is checked, so no signal ever reaches a stranger.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::config;

/// Which process, beyond doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its pid.
    pub pid: u32,
    /// When it began, in clock ticks since the boot.
    started: u64,
    /// Which boot that was.
    boot: String,
}

impl Identity {
    /// The process that has `pid` now; `None` where there is none.
    pub fn of(pid: u32) -> Option<Identity> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; the fields after it are numbers. proc(5): state is
        // field 3 and starttime is field 22.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        if fields.first() == Some(&"Z") {
            return None;
        }
        let started = fields.get(19)?.parse().ok()?;
        Some(Identity {
            pid,
            started,
            boot: crate::base::clock::boot()?,
        })
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        Identity::of(self.pid).as_ref() == Some(self)
    }
}

/// How to begin a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it is called in logs: `node 2`, `gateway 1`.
    pub name: String,
    /// Its program; `None` is this one.
    pub program: Option<PathBuf>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where what it prints goes.
    pub printed: PathBuf,
}

/// A process that runs.
pub struct Running {
    /// Which it is.
    pub identity: Identity,
    handle: Handle,
}

impl Plan {
    fn program(&self) -> std::io::Result<PathBuf> {
        self.program.clone().map_or_else(std::env::current_exe, Ok)
    }
}

enum Handle {
    Child(tokio::process::Child),
    Found(OwnedFd),
}

/// How often a process that this one did not begin is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What it prints beyond its log is kept up to this size, bytes; then the file starts anew.
const PRINTED_MAX: u64 = 1024 * 1024;

impl Running {
    /// Begins `plan` in a process group of its own, so that a Ctrl-C meant for this process does not reach it.
    ///
    /// # Errors
    /// When it cannot be begun.
    pub fn begin(plan: &Plan) -> anyhow::Result<Running> {
        if let Some(parent) = plan.printed.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let long = std::fs::metadata(&plan.printed).is_ok_and(|m| m.len() > PRINTED_MAX);
        let printed = File::options()
            .create(true)
            .append(!long)
            .write(true)
            .truncate(long)
            .open(&plan.printed)
            .with_context(|| plan.printed.display().to_string())?;
        let program = plan.program()?;
        let mut command = tokio::process::Command::new(&program);
        command
            .args(&plan.args)
            .stdin(Stdio::null())
            .stdout(printed.try_clone()?)
            .stderr(printed)
            .process_group(0)
            .kill_on_drop(false);
        // Overrides are for a node that someone runs by hand; a cluster's nodes have their files.
        for key in config::KEYS {
            command.env_remove(key.variable());
        }
        for name in ["PONTOON_CONFIG", "PONTOON_LOG_FILE"] {
            command.env_remove(name);
        }
        let child = command
            .spawn()
            .with_context(|| program.display().to_string())?;
        let pid = child.id().context("it ended at once")?;
        // A child that was not waited for keeps its entry, even when it has ended already.
        let identity = Identity::of(pid).unwrap_or(Identity {
            pid,
            started: 0,
            boot: String::new(),
        });
        Ok(Running {
            identity,
            handle: Handle::Child(child),
        })
    }

    /// Takes over a process that runs, which this one did not begin; `None` where it is gone.
    pub fn find(identity: &Identity) -> Option<Running> {
        let fd = pidfd_open(pid_of(identity)?, PidfdFlags::NONBLOCK).ok()?;
        // Checked with the pidfd in hand: from here on it cannot become another process.
        if !identity.runs() {
            return None;
        }
        let handle = Handle::Found(fd);
        Some(Running {
            identity: identity.clone(),
            handle,
        })
    }

    /// Ready when it has ended; its status where it is known.
    pub async fn wait(&mut self) -> Option<ExitStatus> {
        match &mut self.handle {
            Handle::Child(child) => child.wait().await.ok(),
            // Only a parent is told; others have to look.
            Handle::Found(_) => {
                while self.identity.runs() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                None
            }
        }
    }

    fn signal(&mut self, signal: Signal) {
        match &self.handle {
            // Not waited for yet, so the pid is still its own.
            Handle::Child(child) => {
                if let Some(pid) = child.id().and_then(|p| Pid::from_raw(p.cast_signed())) {
                    let _ = rustix::process::kill_process(pid, signal);
                }
            }
            Handle::Found(fd) => drop(pidfd_send_signal(fd, signal)),
        }
    }

    /// Tells it to stop, and kills it where it has not within `patience`. False where it had to be killed.
    pub async fn stop(&mut self, patience: Duration) -> bool {
        self.signal(Signal::TERM);
        // A stopped (SIGSTOP) process takes no other signal until it goes on.
        self.signal(Signal::CONT);
        if tokio::time::timeout(patience, self.wait()).await.is_ok() {
            return true;
        }
        self.signal(Signal::KILL);
        self.wait().await;
        false
    }

    /// Whether it is what `plan` would begin: the same program, not replaced since, with the same arguments.
    pub fn fits(&self, plan: &Plan) -> bool {
        let proc = PathBuf::from(format!("/proc/{}", self.identity.pid));
        let same_program = match (
            std::fs::read_link(proc.join("exe")),
            plan.program().and_then(std::fs::canonicalize),
        ) {
            (Ok(theirs), Ok(ours)) => theirs == ours && !replaced(&theirs),
            _ => false,
        };
        let args = std::fs::read(proc.join("cmdline")).unwrap_or_default();
        let args: Vec<&[u8]> = args
            .split(|b| *b == 0)
            .skip(1)
            .filter(|a| !a.is_empty())
            .collect();
        same_program
            && args.len() == plan.args.len()
            && args.iter().zip(&plan.args).all(|(a, b)| *a == b.as_bytes())
    }
}

/// The kernel names a program whose file was replaced "... (deleted)".
fn replaced(exe: &Path) -> bool {
    exe.to_string_lossy().ends_with(" (deleted)")
}

fn pid_of(identity: &Identity) -> Option<Pid> {
    Pid::from_raw(i32::try_from(identity.pid).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> std::process::Child {
        std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap()
    }

    #[test]
    fn a_process_is_known_by_more_than_its_pid() {
        let mut child = sleeper();
        let identity = Identity::of(child.id()).unwrap();
        assert!(identity.runs());
        assert!(
            !Identity {
                started: identity.started + 1,
                ..identity.clone()
            }
            .runs()
        );
        assert!(
            !Identity {
                boot: "another".into(),
                ..identity.clone()
            }
            .runs()
        );
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!identity.runs());
    }

    #[tokio::test]
    async fn a_found_process_can_be_stopped_and_its_end_is_seen() {
        let mut child = sleeper();
        let identity = Identity::of(child.id()).unwrap();
        let mut found = Running::find(&identity).unwrap();
        assert!(found.stop(Duration::from_secs(10)).await);
        assert!(!child.wait().unwrap().success());
        assert!(Running::find(&identity).is_none());
    }

    #[tokio::test]
    async fn a_paused_process_can_be_stopped() {
        let mut child = sleeper();
        let identity = Identity::of(child.id()).unwrap();
        let mut found = Running::find(&identity).unwrap();
        found.signal(Signal::STOP);
        assert!(found.stop(Duration::from_secs(10)).await);
        child.wait().unwrap();
    }
}
