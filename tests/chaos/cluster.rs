//! The cluster under test: `pontoon dev --plan premium` as real processes, its `service.json`, and `pontoon admin`.
//!
//! Always: what was started is stopped, and what was paused is resumed, also where a test fails.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::client::{Access, Client, request, trust};

/// `service.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Service {
    pub host: String,
    pub port: u16,
    pub password: String,
    pub ca: PathBuf,
    pub cluster_id: String,
    pub nodes: Vec<Node>,
}

/// A node of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Node {
    pub id: u64,
    pub pid: Option<u32>,
    pub role: String,
    pub client_addr: SocketAddr,
    pub peer_addr: SocketAddr,
}

impl Service {
    /// What the cluster in a folder says of itself now.
    ///
    /// # Errors
    /// When it says nothing.
    pub fn read(dir: &Path) -> anyhow::Result<Service> {
        let file = std::fs::read(dir.join("service.json"))?;
        Ok(serde_json::from_slice(&file)?)
    }

    /// The stable address.
    ///
    /// # Errors
    /// When it has none of IPv4, or its CA cannot be read.
    pub fn stable(&self) -> anyhow::Result<Access> {
        let mut addrs = (self.host.as_str(), self.port).to_socket_addrs()?;
        let addr = addrs.find(SocketAddr::is_ipv4);
        self.at(addr.context("an address of the service")?)
    }

    /// Another address of it.
    ///
    /// # Errors
    /// When its CA cannot be read.
    pub fn at(&self, addr: SocketAddr) -> anyhow::Result<Access> {
        Ok(Access {
            addr,
            password: self.password.clone(),
            tls: trust(&self.ca)?,
        })
    }
}

/// How the nodes are to be run.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The plan; `None` is Premium.
    pub plan: Option<&'static str>,
    /// Keys of every node's configuration, `key=value`.
    pub settings: Vec<String>,
    /// What nodes are begun with instead of the program itself.
    pub program: Option<PathBuf>,
    /// A planted bug, and a staged mishap (feature `planted-bugs`).
    pub bug: Option<&'static str>,
    pub mishap: Option<&'static str>,
}

/// A running cluster.
pub struct Cluster {
    bin: PathBuf,
    pub dir: PathBuf,
    dev: Child,
}

/// How long a cluster may take to serve, or to be whole again.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until `ready` gives something.
///
/// # Errors
/// When it does not in time.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = ready() {
            return Ok(found);
        }
        ensure!(
            Instant::now() < until,
            "{what}: not within {} s",
            limit.as_secs()
        );
        std::thread::sleep(LOOK_EVERY);
    }
}

impl Cluster {
    /// Starts a cluster in `dir` and waits until it is whole.
    ///
    /// # Errors
    /// When it does not come up; its log's end is in the text.
    pub fn start(bin: &Path, dir: &Path, setup: &Setup) -> anyhow::Result<Cluster> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let printed = std::fs::File::create(dir.join("dev.log"))?;
        let mut command = Command::new(bin);
        command
            .args(["dev", "--plan", setup.plan.unwrap_or("premium")])
            .args(["--memory", "256", "--dir"])
            .arg(dir)
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(printed.try_clone()?)
            .stderr(printed)
            .env_remove("PONTOON_PLANTED_BUG")
            .env_remove("PONTOON_STAGED_MISHAP");
        for setting in &setup.settings {
            command.arg(format!("--set={setting}"));
        }
        if let Some(program) = &setup.program {
            command.arg("--program").arg(program);
        }
        if let Some(bug) = setup.bug {
            command.env("PONTOON_PLANTED_BUG", bug);
        }
        if let Some(mishap) = setup.mishap {
            command.env("PONTOON_STAGED_MISHAP", mishap);
        }
        let dev = command.spawn().with_context(|| bin.display().to_string())?;
        let cluster = Cluster {
            bin: bin.to_path_buf(),
            dir: dir.to_path_buf(),
            dev,
        };
        cluster.wait_whole()?;
        Ok(cluster)
    }

    /// What `service.json` says now.
    ///
    /// # Errors
    /// When there is none.
    pub fn service(&self) -> anyhow::Result<Service> {
        Service::read(&self.dir)
    }

    /// The stable address.
    pub fn stable(&self) -> anyhow::Result<Access> {
        self.service()?.stable()
    }

    /// The nodes' own addresses.
    pub fn direct(&self) -> anyhow::Result<Vec<(u64, Access)>> {
        let service = self.service()?;
        let access = |n: &Node| Ok((n.id, service.at(n.client_addr)?));
        service.nodes.iter().map(access).collect()
    }

    /// The primary, where one serves.
    pub fn primary(&self) -> Option<Node> {
        let nodes = self.service().ok()?.nodes;
        nodes
            .into_iter()
            .find(|n| n.role == "primary" && n.pid.is_some())
    }

    /// The nodes, once one is the primary and all others are standbys, and the stable address answers.
    ///
    /// # Errors
    /// When that does not come about.
    pub fn wait_whole(&self) -> anyhow::Result<Vec<Node>> {
        let whole = || {
            let nodes = self.service().ok()?.nodes;
            let count = |role| {
                nodes
                    .iter()
                    .filter(|n| n.role == role && n.pid.is_some())
                    .count()
            };
            let others = count("standby") + count("witness");
            (count("primary") == 1 && others + 1 == nodes.len()).then_some(nodes)
        };
        let nodes = wait_for("a whole cluster", PATIENCE, whole).map_err(|e| {
            let nodes = self.service().map(|s| s.nodes);
            anyhow!("{e:#}; it is {nodes:?}; {}", self.last_lines())
        })?;
        wait_for("an answer at the stable address", PATIENCE, || {
            let access = self.stable().ok()?;
            let mut client = Client::connect(&access, Duration::from_secs(2)).ok()?;
            let replies = client.call(&[request([b"GET", b"ready"])]).ok()?;
            replies[0].as_error().is_none().then_some(())
        })?;
        Ok(nodes)
    }

    /// Waits for a primary that is not this process.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn wait_other_primary(&self, than: &Node, limit: Duration) -> anyhow::Result<Node> {
        let other = || {
            self.primary()
                .filter(|n| (n.id, n.pid) != (than.id, than.pid))
        };
        wait_for("another primary", limit, other)
    }

    /// Runs `pontoon admin` and reads what it prints.
    ///
    /// # Errors
    /// When it fails otherwise than by answering no.
    pub fn admin(&self, args: &[&str]) -> anyhow::Result<serde_json::Value> {
        self.run("admin", args)
    }

    /// Runs `pontoon dev` about this cluster, likewise.
    ///
    /// # Errors
    /// When it fails.
    pub fn dev(&self, args: &[&str]) -> anyhow::Result<serde_json::Value> {
        self.run("dev", args)
    }

    /// By how much a node's wall clock is off this process's, seconds, to the nearest minute.
    ///
    /// # Errors
    /// When the node does not say.
    pub fn clock_off(&self, node: u64) -> anyhow::Result<i64> {
        let run = Command::new(&self.bin)
            .args(["admin", "command", "--output", "json", "--dir"])
            .arg(&self.dir)
            .args(["--node", &node.to_string(), "INFO", "server"])
            .output()?;
        let told: String = serde_json::from_slice(&run.stdout)?;
        let field = |line: &str| line.strip_prefix("server_time_usec:")?.parse::<i64>().ok();
        let theirs = told.lines().find_map(field).context("its time")?;
        let ours = std::time::UNIX_EPOCH.elapsed()?.as_micros() as i64;
        Ok((theirs - ours + 30_000_000).div_euclid(60_000_000) * 60)
    }

    /// Issues all certificates of the cluster anew.
    ///
    /// # Errors
    /// When that fails.
    pub fn renew_certificates(&self) -> anyhow::Result<()> {
        let id = self.service()?.cluster_id;
        self.run("certs", &["--cluster-id", &id, "--renew"])
            .map(drop)
    }

    fn run(&self, command: &str, args: &[&str]) -> anyhow::Result<serde_json::Value> {
        let run = Command::new(&self.bin)
            .arg(command)
            .args(args)
            .arg("--dir")
            .arg(&self.dir)
            .args(["--output", "json"])
            .output()?;
        let text = String::from_utf8_lossy(&run.stdout);
        match run.status.code() {
            Some(0 | 3) => Ok(serde_json::from_str(&text)?),
            _ => bail!(
                "pontoon {command} {args:?}: {}{}",
                text.trim(),
                String::from_utf8_lossy(&run.stderr).trim()
            ),
        }
    }

    /// The supervisor's process.
    pub fn supervisor(&self) -> u32 {
        self.dev.id()
    }

    /// The end of every log, for people.
    pub fn last_lines(&self) -> String {
        let mut text = String::new();
        let mut files = vec![self.dir.join("dev.log")];
        for id in 1..=3 {
            files.push(self.dir.join(format!("node-{id}/log/node.log")));
        }
        for file in files {
            let content = std::fs::read_to_string(&file).unwrap_or_default();
            let lines: Vec<&str> = content.lines().collect();
            text.push_str(&format!("\n--- {}\n", file.display()));
            text.push_str(&lines[lines.len().saturating_sub(12)..].join("\n"));
        }
        text
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(mut self) -> anyhow::Result<()> {
        signal(self.dev.id(), Signal::TERM);
        let ended = wait_for("the end of pontoon dev", PATIENCE, || {
            self.dev.try_wait().ok()?
        });
        ended.map(drop)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if matches!(self.dev.try_wait(), Ok(Some(_))) {
            return;
        }
        signal(self.dev.id(), Signal::CONT);
        if let Ok(service) = self.service() {
            for pid in service.nodes.iter().filter_map(|n| n.pid) {
                signal(pid, Signal::CONT);
            }
        }
        signal(self.dev.id(), Signal::TERM);
        if wait_for("the end", Duration::from_secs(30), || {
            self.dev.try_wait().ok()?
        })
        .is_err()
        {
            let _ = self.dev.kill();
            let _ = self.dev.wait();
        }
    }
}

/// Sends a signal to a process of the cluster; one that is gone gets none.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether a process has ended, whether or not its parent knows.
pub fn ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    match stat.rsplit_once(')') {
        Some((_, rest)) => rest.trim_start().starts_with('Z'),
        None => true,
    }
}
