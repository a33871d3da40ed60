//! The network between nodes of one machine, cut or lossy in each direction by itself, and their wall clocks.
//!
//! Each node runs with a group id of its own (a wrapper around the program gives it), so that the packet filter of the run's own
//! network namespace knows who sent a packet. A connection is marked with who opened it: what goes back on it is cut by that.
//!
//! Always: rules are of this run's namespace alone (see `main.rs`), and replaced whole. Needs root and iptables.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::cluster::{Cluster, Node};

/// The group of node `id` is this plus the id.
const GROUPS: u64 = 5000;
/// Node ids of a run are at most this: each replacement is a new one.
const NODES_MAX: u64 = 200;
/// The library that tells a process another time, below Debian's folder of an architecture.
const FAKETIME: &str = "faketime/libfaketime.so.1";

/// What is not delivered.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Packets that this node sends…
    pub from: u64,
    /// …to this one.
    pub to: u64,
    /// How many of 100.
    pub percent: u8,
}

/// The network of a run.
pub struct Net {
    /// The program that nodes are to be begun with.
    pub program: PathBuf,
    dir: PathBuf,
}

impl Net {
    /// Makes the wrapper in `dir` and marks connections from now on.
    ///
    /// # Errors
    /// When the packet filter or the library for clocks is not there.
    pub fn make(bin: &Path, dir: &Path) -> anyhow::Result<Net> {
        let faketime = std::fs::read_dir("/usr/lib")?
            .filter_map(|e| Some(e.ok()?.path().join(FAKETIME)))
            .find(|p| p.exists())
            .context("libfaketime is missing: apt-get install libfaketime")?;
        let program = dir.join("node.sh");
        // The clock's file is looked at once a second; monotonic time stays what it is.
        let text = format!(
            "#!/bin/sh\n\
             id=$(printf %s \"$*\" | sed 's/.*node-\\([0-9]*\\)\\/node.toml.*/\\1/')\n\
             export LD_PRELOAD={} DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_CACHE_DURATION=1\n\
             export FAKETIME_TIMESTAMP_FILE={}/clock-$id\n\
             [ -e \"$FAKETIME_TIMESTAMP_FILE\" ] || echo +0 >\"$FAKETIME_TIMESTAMP_FILE\"\n\
             exec setpriv --regid $(({GROUPS} + id)) --clear-groups -- {} \"$@\"\n",
            faketime.display(),
            dir.display(),
            bin.display()
        );
        std::fs::write(&program, text)?;
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
        let mark = |id| {
            format!(
                "-A ORIGIN -m owner --gid-owner {} -j CONNMARK --set-mark {id}\n",
                GROUPS + id
            )
        };
        let marks: String = (1..=NODES_MAX).map(mark).collect();
        restore(&format!(
            "*mangle\n:OUTPUT ACCEPT [0:0]\n:ORIGIN - [0:0]\n-A OUTPUT -p tcp --syn -j ORIGIN\n{marks}COMMIT\n"
        ))?;
        let net = Net {
            program,
            dir: dir.to_path_buf(),
        };
        net.set(&[], &[])?;
        Ok(net)
    }

    /// Lets everything through but `cuts`.
    ///
    /// # Errors
    /// When the packet filter refuses.
    pub fn set(&self, cuts: &[Cut], nodes: &[Node]) -> anyhow::Result<()> {
        let mut rules = String::from("*filter\n:OUTPUT ACCEPT [0:0]\n");
        for cut in cuts {
            let ports = |id| {
                let node = nodes.iter().find(|n| n.id == id);
                let ports = node.map(|n| [n.peer_addr.port(), n.client_addr.port()]);
                ports.context("a cut between nodes that there are")
            };
            let what = match cut.percent {
                100.. => "-j DROP".to_string(),
                percent => format!(
                    "-m statistic --mode random --probability {:.2} -j DROP",
                    f64::from(percent) / 100.0
                ),
            };
            let by = format!(
                "-A OUTPUT -p tcp -m owner --gid-owner {}",
                GROUPS + cut.from
            );
            for port in ports(cut.to)? {
                rules.push_str(&format!("{by} --dport {port} {what}\n"));
            }
            for port in ports(cut.from)? {
                let to = cut.to;
                rules.push_str(&format!(
                    "{by} --sport {port} -m connmark --mark {to} {what}\n"
                ));
            }
        }
        restore(&format!("{rules}COMMIT\n"))
    }

    /// Packets that were not delivered since the rules were set.
    ///
    /// # Errors
    /// When the packet filter does not say.
    pub fn dropped(&self) -> anyhow::Result<u64> {
        let out = Command::new("iptables")
            .args(["-L", "OUTPUT", "-v", "-x", "-n"])
            .output()?;
        let text = String::from_utf8_lossy(&out.stdout);
        let rules = text.lines().filter(|l| l.contains("DROP"));
        Ok(rules
            .filter_map(|l| l.split_whitespace().next()?.parse::<u64>().ok())
            .sum())
    }

    /// Sets a node's wall clock off by some seconds, within a second.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn set_clock(&self, id: u64, off: i64) -> anyhow::Result<()> {
        let file = self.dir.join(format!("clock-{id}"));
        let new = file.with_extension("new");
        std::fs::write(&new, format!("{off:+}\n"))?;
        Ok(std::fs::rename(new, file)?)
    }

    /// Whether a node has seen leaders at work for long enough to believe them more than its wall clock.
    pub fn knows_time(&self, cluster: &Cluster, id: u64) -> bool {
        let file = cluster.dir.join(format!("node-{id}/data/course.json"));
        let kept = std::fs::read(file).unwrap_or_default();
        let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap_or_default();
        let seen = |name: &str| kept["course"][name][1].as_u64();
        seen("last")
            .zip(seen("since"))
            .is_some_and(|(last, since)| last - since >= pontoon::engine::clock::SEEN_FOR_US)
    }
}

/// Replaces one table of the namespace's rules.
fn restore(table: &str) -> anyhow::Result<()> {
    let mut child = Command::new("iptables-restore")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("iptables-restore")?;
    let mut stdin = child.stdin.take().context("its input")?;
    stdin.write_all(table.as_bytes())?;
    drop(stdin);
    let out = child.wait_with_output()?;
    ensure!(
        out.status.success(),
        "iptables-restore: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(())
}
