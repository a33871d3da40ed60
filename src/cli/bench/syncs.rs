//! Counts what processes sync, as the kernel sees it: for both sides the same way.
//!
//! Redis counts its fdatasyncs nowhere (INFO has only those that were delayed), and strace would slow each of them
//! down. `perf stat` counts the system calls in the kernel, at the cost of an increment. It needs root or
//! `kernel.perf_event_paranoid` of -1; where it cannot count, that is said and Pontoon's own count remains.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::Signal;

use super::process::Process;

const EVENTS: &str = "syscalls:sys_enter_fdatasync,syscalls:sys_enter_fsync";

/// A count that goes on.
pub struct Counting {
    process: Process,
    printed: PathBuf,
}

impl Counting {
    /// Begins to count the syncs of `pids`.
    ///
    /// # Errors
    /// When `perf` cannot be started.
    pub fn begin(pids: &[u32], dir: &Path) -> anyhow::Result<Counting> {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let printed = dir.join("perf.printed");
        let args = ["stat", "-x,", "-e", EVENTS, "-p", &pids.join(",")].map(String::from);
        let process = Process::begin("perf stat", Path::new("perf"), &args, &printed)
            .context("fdatasync is counted with perf: install it (apt install linux-perf)")?;
        Ok(Counting { process, printed })
    }

    /// Ends and answers how many there were.
    ///
    /// # Errors
    /// When `perf` could not count.
    pub fn end(mut self) -> anyhow::Result<u64> {
        self.process.signal(Signal::INT);
        self.process.wait(Duration::from_secs(5));
        let text = std::fs::read_to_string(&self.printed)?;
        total(&text)
    }
}

/// The sum of the counts in what `perf stat -x,` prints.
fn total(text: &str) -> anyhow::Result<u64> {
    let (mut sum, mut found) = (0, false);
    for line in text.lines().filter(|l| l.contains("sys_enter_f")) {
        let count = line.split(',').next().unwrap_or("");
        match count.parse::<u64>() {
            Ok(n) => sum += n,
            // What perf prints for an event that never came.
            Err(_) if count == "<not counted>" => {}
            Err(_) => bail!("perf cannot count system calls here: {line}"),
        }
        found = true;
    }
    if !found {
        let why = text.lines().find(|l| !l.trim().is_empty()).unwrap_or("");
        bail!("perf cannot count system calls here: {why}");
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_perf_prints_is_summed_and_what_it_cannot_count_is_said() {
        let text = "20411,,syscalls:sys_enter_fdatasync,123,100.00,,\n<not counted>,,syscalls:sys_enter_fsync,0,100.00,,\n";
        assert_eq!(total(text).unwrap(), 20411);
        assert!(total("<not supported>,,syscalls:sys_enter_fdatasync,0,100.00,,\n").is_err());
        let refused = total("Error:\nNo permission to enable the event\n").unwrap_err();
        assert!(refused.to_string().contains("Error"), "{refused}");
    }
}
