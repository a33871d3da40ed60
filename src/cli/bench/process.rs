//! The processes that a benchmark begins, and what the system knows of them.
//!
//! Each is stopped when its value is dropped, by its own pid, and waited for.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A process that this one began.
pub struct Process {
    name: String,
    child: Child,
    printed: PathBuf,
}

impl Process {
    /// Begins `program`; what it prints goes to `printed`.
    ///
    /// # Errors
    /// When it cannot be begun.
    pub fn begin(
        name: &str,
        program: &Path,
        args: &[String],
        printed: &Path,
    ) -> anyhow::Result<Process> {
        let file = File::create(printed).with_context(|| printed.display().to_string())?;
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // A Ctrl-C is meant for this process, which then stops that one in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("{name} ({}) cannot be started", program.display()))?;
        Ok(Process {
            name: name.to_string(),
            child,
            printed: printed.to_path_buf(),
        })
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails, with what it printed last, where it has ended.
    ///
    /// # Errors
    /// See above.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let text = std::fs::read(&self.printed).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut last: Vec<&str> = text.lines().rev().take(5).collect();
        last.reverse();
        bail!("{} ended ({status}): {}", self.name, last.join(" | "));
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        signal_pid(self.child.id(), signal);
    }

    /// Kills it at once and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end, within `patience`. False where it still runs.
    pub fn wait(&mut self, patience: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < patience {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            if !self.wait(PATIENCE) {
                eprintln!("{} did not stop in time and is killed", self.name);
                self.kill();
            }
        }
    }
}

/// Sends a signal to a process of a cluster that this benchmark began.
pub fn signal_pid(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _ = kill_process(pid, signal);
    }
}

/// The resident memory of a process now and at its greatest, bytes: VmRSS and VmHWM of `/proc/PID/status` (proc(5)).
///
/// # Errors
/// When there is no such process.
pub fn resident(pid: u32) -> anyhow::Result<(u64, u64)> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).context(path)?;
    let field = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        let kib: u64 = line
            .trim_start_matches(':')
            .split_whitespace()
            .next()?
            .parse()
            .ok()?;
        Some(kib * 1024)
    };
    let both = field("VmRSS").zip(field("VmHWM"));
    both.with_context(|| format!("process {pid} has no memory"))
}

/// The processor time that processes have used, seconds.
pub fn cpu_seconds(pids: &[u32]) -> f64 {
    let ticks: u64 = pids.iter().filter_map(|pid| cpu_ticks(*pid)).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// User and system time, clock ticks: fields 14 and 15 of `/proc/PID/stat` (proc(5)).
fn cpu_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; the fields after it are numbers.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_and_its_peak_is_no_less() {
        let (now, peak) = resident(std::process::id()).unwrap();
        assert!(now > 100_000 && peak >= now, "{now} {peak}");
        assert!(resident(0).is_err());
    }

    #[test]
    fn the_time_of_a_process_is_read() {
        assert!(cpu_ticks(std::process::id()).is_some());
        assert_eq!(cpu_ticks(0), None);
    }

    #[test]
    fn a_process_that_ended_says_why_and_one_that_runs_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let printed = dir.path().join("printed");
        let shell = |script: &str| {
            let args = ["-c".to_string(), script.to_string()];
            Process::begin("it", Path::new("/bin/sh"), &args, &printed).unwrap()
        };
        let mut ended = shell("echo no such port; exit 3");
        assert!(ended.wait(Duration::from_secs(10)));
        let error = ended.check().unwrap_err().to_string();
        assert!(
            error.contains("no such port") && error.contains('3'),
            "{error}"
        );
        let mut runs = shell("exec sleep 600");
        runs.check().unwrap();
        let pid = runs.pid();
        drop(runs);
        assert_eq!(cpu_ticks(pid), None);
    }
}
