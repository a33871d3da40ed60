//! `pontoon doctor`: what is wrong with a host before a node runs on it, and what mends it.
//!
//! Always: the host is looked at first (`Facts`), and judged by a pure function after that; nothing of it is changed, but for a
//! file that is written and removed in the folder that is asked about.

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use serde_json::json;

use super::{Answer, Output, print};
use crate::base::limits;
use crate::config;

/// Finds what is wrong with this host for a node, and says what mends it; exit code 3 where something has to be mended.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon doctor --data-dir /var/lib/pontoon --memory 4096
  pontoon doctor --data-dir /var/lib/pontoon --listen 0.0.0.0:6379 --listen 0.0.0.0:7379 --output json")]
pub struct Args {
    /// The folder that a node's log and store are to be in; its disk is measured there
    #[arg(long, value_name = "DIR", default_value = ".")]
    data_dir: PathBuf,
    /// The memory of the node's plan, MiB
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    memory: u64,
    /// An address that the node or a gateway is to listen on; give it again for more
    #[arg(long = "listen", value_name = "ADDR:PORT")]
    listens: Vec<SocketAddr>,
    /// How to print the findings
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Syncs that are measured.
const SYNCS: usize = 64;
/// A sync of one in a hundred beyond that is noted, and beyond the second is to be mended, microseconds.
const SYNC_SLOW_US: u64 = 10_000;
const SYNC_BAD_US: u64 = 100_000;
/// The listen backlog that a burst of reconnecting clients needs.
const BACKLOG: u64 = 1024;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    /// As it should be.
    Good,
    /// It works, and could be better.
    Note,
    /// It has to be mended.
    Bad,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at.
    what: &'static str,
    grade: Grade,
    /// How it is.
    found: String,
    /// What mends it; empty where nothing has to be.
    fix: String,
}

/// What was seen of the host. `None` where it could not be told.
#[derive(Debug, Clone)]
struct Facts {
    files: u64,
    /// How long syncs took, microseconds, ascending; or why there are none.
    syncs: Result<Vec<u64>, String>,
    /// The folder is in memory.
    in_memory: bool,
    disk_free: Option<u64>,
    memory_available: Option<u64>,
    memory_total: Option<u64>,
    processors: usize,
    clock_synchronized: Option<bool>,
    clock_source: Option<String>,
    overcommit: Option<u64>,
    huge_pages: Option<String>,
    backlog: Option<u64>,
    swappiness: Option<u64>,
    outgoing_ports: Option<(u16, u16)>,
    /// Addresses, and why they cannot be listened on.
    listens: Vec<(SocketAddr, Option<String>)>,
}

/// Carries it out.
pub fn run(args: &Args) -> anyhow::Result<Answer> {
    let dir = args
        .data_dir
        .canonicalize()
        .with_context(|| format!("{} cannot be used", args.data_dir.display()))?;
    eprintln!("doctor: {SYNCS} syncs are measured in {}", dir.display());
    let findings = judge(&look(&dir, &args.listens), args.memory);
    let worst = findings.iter().map(|f| f.grade).max();
    let text = || {
        let lines = findings.iter().map(|f| {
            let grade = match f.grade {
                Grade::Good => "good",
                Grade::Note => "note",
                Grade::Bad => "BAD ",
            };
            let fix = match f.fix.is_empty() {
                true => String::new(),
                false => format!("\n        {}", f.fix),
            };
            format!("{grade}  {}: {}{fix}", f.what, f.found)
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    print(args.output, text, || json!(findings));
    Ok(match worst {
        Some(Grade::Bad) => Answer::No,
        _ => Answer::Yes,
    })
}

fn number<T: std::str::FromStr>(path: &str) -> Option<T> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn look(dir: &Path, listens: &[SocketAddr]) -> Facts {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = |name: &str| {
        let line = meminfo.lines().find(|l| l.starts_with(name))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib << 10)
    };
    let disk = rustix::fs::statvfs(dir).ok();
    // TMPFS_MAGIC and RAMFS_MAGIC of linux/magic.h: what is in memory is synced at once and kept by nothing.
    let kind = rustix::fs::statfs(dir)
        .map(|s| s.f_type as u64)
        .unwrap_or(0);
    let huge = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok();
    let chosen = |text: String| Some(text.split('[').nth(1)?.split(']').next()?.to_string());
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let ports = |text: String| {
        let mut ends = text.split_whitespace().filter_map(|n| n.parse().ok());
        Some((ends.next()?, ends.next()?))
    };
    Facts {
        files: config::open_files_limit(),
        syncs: measure(dir).map_err(|e| e.to_string()),
        in_memory: [0x0102_1994, 0x8584_58f6].contains(&kind),
        disk_free: disk.map(|d| d.f_bavail * d.f_frsize),
        memory_available: memory("MemAvailable:"),
        memory_total: memory("MemTotal:"),
        processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        clock_synchronized: clock_synchronized(),
        clock_source: std::fs::read_to_string(
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
        )
        .ok()
        .map(|t| t.trim().to_string()),
        overcommit: number("/proc/sys/vm/overcommit_memory"),
        huge_pages: huge.and_then(chosen),
        backlog: number("/proc/sys/net/core/somaxconn"),
        swappiness: number("/proc/sys/vm/swappiness"),
        outgoing_ports: range.and_then(ports),
        listens: listens
            .iter()
            .map(|at| (*at, TcpListener::bind(at).err().map(|e| e.to_string())))
            .collect(),
    }
}

/// Whether something keeps the clock right, by what the usual ones leave.
fn clock_synchronized() -> Option<bool> {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    let keepers = ["chronyd", "ntpd", "systemd-timesyn", "ptp4l", "openntpd"];
    let mut any = false;
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        any |= keepers.contains(&name.trim());
    }
    Some(any)
}

/// How long syncs of appended blocks take, as the log does them.
fn measure(dir: &Path) -> std::io::Result<Vec<u64>> {
    let path = dir.join(".pontoon-doctor");
    let mut took = Vec::with_capacity(SYNCS);
    let mut write = || -> std::io::Result<()> {
        let mut file = File::create(&path)?;
        file.set_len(1 << 20)?;
        file.sync_all()?;
        for _ in 0..SYNCS {
            file.write_all(&[0; 4096])?;
            let began = Instant::now();
            file.sync_data()?;
            took.push(began.elapsed().as_micros() as u64);
        }
        Ok(())
    };
    let done = write();
    let _ = std::fs::remove_file(&path);
    done?;
    took.sort_unstable();
    Ok(took)
}

fn good(what: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        what,
        grade: Grade::Good,
        found: found.into(),
        fix: String::new(),
    }
}

fn wrong(
    grade: Grade,
    what: &'static str,
    found: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding {
        what,
        grade,
        found: found.into(),
        fix: fix.into(),
    }
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}

/// What is to be said of a host, for a node of `memory_mib`.
fn judge(facts: &Facts, memory_mib: u64) -> Vec<Finding> {
    use Grade::{Bad, Note};
    let mut all = Vec::new();
    let needed = config::maxclients(memory_mib) + limits::FILES_RESERVED;
    all.push(match facts.files {
        has if has < needed => wrong(
            Bad,
            "open files",
            format!("a process may open {has}, and the plan's clients need {needed}"),
            format!("`ulimit -n {needed}`, or LimitNOFILE={needed} in the unit, or nofile in /etc/security/limits.conf"),
        ),
        has => good("open files", format!("{has}, and {needed} are needed")),
    });
    all.push(disk(facts));
    let room = (memory_mib << 20) * 3;
    all.extend(facts.disk_free.map(|free| match free {
        free if free < room => wrong(
            Note,
            "free disk",
            gib(free),
            format!(
                "log, store and their merging take up to {} with this plan's memory",
                gib(room)
            ),
        ),
        free => good("free disk", gib(free)),
    }));
    if let (Some(available), Some(total)) = (facts.memory_available, facts.memory_total) {
        let wanted = memory_mib << 20;
        all.push(match available {
            _ if total < wanted => wrong(
                Bad,
                "memory",
                gib(total),
                format!(
                    "the plan is of {}: a smaller plan, or more memory",
                    gib(wanted)
                ),
            ),
            a if a < wanted => wrong(
                Note,
                "memory",
                format!("{} of {} are available", gib(a), gib(total)),
                format!(
                    "the plan is of {}: what else runs here may have to go",
                    gib(wanted)
                ),
            ),
            a => good(
                "memory",
                format!("{} of {} are available", gib(a), gib(total)),
            ),
        });
    }
    all.push(match facts.processors {
        1 => wrong(
            Note,
            "processors",
            "1",
            "clients and replication share it: two or more are better",
        ),
        n => good("processors", n.to_string()),
    });
    all.extend(facts.clock_synchronized.map(|kept| match kept {
        true => good("clock", "something keeps it right"),
        false => wrong(Note, "clock", "nothing is seen that keeps it right", "run chrony or systemd-timesyncd: expiry times, backups' times and certificates follow it"),
    }));
    all.extend(facts.clock_source.as_deref().map(|source| match source {
        "hpet" | "acpi_pm" | "jiffies" => wrong(
            Note,
            "clock source",
            source,
            "reading it is slow: tsc or kvm-clock, if the machine can",
        ),
        source => good("clock source", source),
    }));
    all.extend(facts.overcommit.map(|mode| match mode {
        2 => wrong(
            Note,
            "vm.overcommit_memory",
            "2",
            "`sysctl vm.overcommit_memory=0`: an allocation may fail though memory is free",
        ),
        mode => good("vm.overcommit_memory", mode.to_string()),
    }));
    all.extend(facts.huge_pages.as_deref().map(|mode| match mode {
        "always" => wrong(Note, "transparent huge pages", "always", "`echo madvise > /sys/kernel/mm/transparent_hugepage/enabled`: memory grows in steps of 2 MiB"),
        mode => good("transparent huge pages", mode),
    }));
    all.extend(facts.backlog.map(|most| match most {
        most if most < BACKLOG => wrong(Note, "net.core.somaxconn", most.to_string(), format!("`sysctl net.core.somaxconn={BACKLOG}`: many clients that reconnect at once are refused")),
        most => good("net.core.somaxconn", most.to_string()),
    }));
    all.extend(facts.swappiness.filter(|s| *s > 60).map(|s| {
        wrong(
            Note,
            "vm.swappiness",
            s.to_string(),
            "`sysctl vm.swappiness=10`: data that was not used for a while goes to the disk",
        )
    }));
    for (at, refused) in &facts.listens {
        let taken = facts
            .outgoing_ports
            .filter(|(low, high)| (*low..=*high).contains(&at.port()));
        all.push(match (refused, taken) {
            (Some(why), _) => wrong(Bad, "listening", format!("{at}: {why}"), "stop what listens there, or choose another address"),
            (None, Some((low, high))) => wrong(
                Note,
                "listening",
                format!("{at} is free, and within the ports of outgoing connections ({low} to {high})"),
                format!("`sysctl net.ipv4.ip_local_reserved_ports={}`, or another port: an outgoing connection may take it before a restart", at.port()),
            ),
            (None, None) => good("listening", format!("{at} is free")),
        });
    }
    all
}

fn disk(facts: &Facts) -> Finding {
    use Grade::{Bad, Note};
    if facts.in_memory {
        let fix = "choose a folder on a disk: what is acknowledged must outlive a power cut";
        return wrong(Bad, "disk", "the folder is in memory (tmpfs)", fix);
    }
    let took = match &facts.syncs {
        Ok(took) if !took.is_empty() => took,
        Ok(_) => return good("disk", "not measured"),
        Err(why) => return wrong(Bad, "disk", why.clone(), "the folder must be writable"),
    };
    let at = |share: usize| Duration::from_micros(took[(took.len() - 1) * share / 100]);
    let found = format!("a sync takes {:?}, one in a hundred {:?}", at(50), at(99));
    match took[(took.len() - 1) * 99 / 100] {
        us if us > SYNC_BAD_US => wrong(
            Bad,
            "disk",
            found,
            "every write waits for a sync: another disk, or nothing beside it",
        ),
        us if us > SYNC_SLOW_US => wrong(
            Note,
            "disk",
            found,
            "every write waits for a sync: an SSD with power-loss protection takes below 1 ms",
        ),
        _ => good("disk", found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Facts {
        Facts {
            files: 1 << 20,
            syncs: Ok(vec![300; SYNCS]),
            in_memory: false,
            disk_free: Some(100 << 30),
            memory_available: Some(8 << 30),
            memory_total: Some(16 << 30),
            processors: 4,
            clock_synchronized: Some(true),
            clock_source: Some("tsc".into()),
            overcommit: Some(0),
            huge_pages: Some("madvise".into()),
            backlog: Some(4096),
            swappiness: Some(60),
            outgoing_ports: Some((32_768, 60_999)),
            listens: vec![("127.0.0.1:6379".parse().unwrap(), None)],
        }
    }

    fn of(facts: &Facts, what: &str) -> Finding {
        let all = judge(facts, 1024);
        all.into_iter().find(|f| f.what == what).unwrap()
    }

    #[test]
    fn a_sound_host_has_no_findings() {
        let all = judge(&sound(), 1024);
        assert!(all.iter().all(|f| f.grade == Grade::Good), "{all:?}");
        assert!(all.len() >= 11);
    }

    /// Changes a sound host's facts, names the finding, and says how bad it is.
    type Case = (fn(&mut Facts), &'static str, Grade, &'static str);

    #[test]
    fn each_thing_that_is_wrong_is_found_with_what_mends_it() {
        let cases: [Case; 16] = [
            (
                |f| f.files = 1024,
                "open files",
                Grade::Bad,
                "ulimit -n 11024",
            ),
            (|f| f.in_memory = true, "disk", Grade::Bad, "on a disk"),
            (
                |f| f.syncs = Err("Permission denied".into()),
                "disk",
                Grade::Bad,
                "writable",
            ),
            (
                |f| f.syncs = Ok(vec![20_000; SYNCS]),
                "disk",
                Grade::Note,
                "below 1 ms",
            ),
            (
                |f| f.syncs = Ok(vec![200_000; SYNCS]),
                "disk",
                Grade::Bad,
                "another disk",
            ),
            (
                |f| f.disk_free = Some(1 << 30),
                "free disk",
                Grade::Note,
                "3.0 GiB",
            ),
            (
                |f| f.memory_available = Some(1 << 20),
                "memory",
                Grade::Note,
                "may have to go",
            ),
            (
                |f| f.memory_total = Some(1 << 20),
                "memory",
                Grade::Bad,
                "smaller plan",
            ),
            (
                |f| f.processors = 1,
                "processors",
                Grade::Note,
                "two or more",
            ),
            (
                |f| f.clock_synchronized = Some(false),
                "clock",
                Grade::Note,
                "chrony",
            ),
            (
                |f| f.clock_source = Some("hpet".into()),
                "clock source",
                Grade::Note,
                "tsc",
            ),
            (
                |f| f.overcommit = Some(2),
                "vm.overcommit_memory",
                Grade::Note,
                "sysctl",
            ),
            (
                |f| f.huge_pages = Some("always".into()),
                "transparent huge pages",
                Grade::Note,
                "madvise",
            ),
            (
                |f| f.backlog = Some(128),
                "net.core.somaxconn",
                Grade::Note,
                "somaxconn=1024",
            ),
            (
                |f| f.listens[0].1 = Some("in use".into()),
                "listening",
                Grade::Bad,
                "another address",
            ),
            (
                |f| f.listens[0].0.set_port(40_000),
                "listening",
                Grade::Note,
                "reserved_ports=40000",
            ),
        ];
        for (change, what, grade, fix) in cases {
            let mut facts = sound();
            change(&mut facts);
            let finding = of(&facts, what);
            assert_eq!(finding.grade, grade, "{finding:?}");
            assert!(finding.fix.contains(fix), "{finding:?}");
        }
    }

    #[test]
    fn this_host_is_looked_at_and_nothing_stays_behind() {
        let dir = tempfile::tempdir().unwrap();
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let facts = look(dir.path(), &[held.local_addr().unwrap()]);
        assert_eq!(facts.syncs.as_ref().map(Vec::len), Ok(SYNCS));
        assert!(facts.listens[0].1.is_some() && facts.files > 0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
