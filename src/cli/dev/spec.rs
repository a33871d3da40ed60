//! `cluster.json`: what the cluster of a folder is, and how that changes.
//!
//! - It makes it the same cluster at each start: id, plan, ports. It is replaced whole, and synced.
//! - Every change of it is made under `edit`, and by whoever makes it from what is there: the supervisor reads it again while it
//!   runs, so that nodes come and go under a running cluster.
//! - Ports are chosen once, outside of the range that outgoing connections use, so that none is taken in between.

use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::Plan;
use super::container::Ground;
use super::engine::{Engines, Home};
use crate::base::lock;
use crate::tls::client::Certificate;
use crate::tls::files::Pair;

/// What the command line asks for; `None` is what the folder has, or the default of a new one.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub plan: Option<Plan>,
    pub port: Option<u16>,
    pub memory_mib: Option<u64>,
    pub bind: Option<IpAddr>,
    pub unrestricted: bool,
    pub settings: Vec<(String, String)>,
    /// The port of its console; 0 is none.
    pub console: Option<u16>,
    /// The program that nodes are begun with; `None` is this one.
    pub program: Option<PathBuf>,
    /// The domain name of a new cluster; empty is none.
    pub name: String,
    /// What clients are shown instead of a certificate of the cluster's own CA.
    pub given: Option<Given>,
    /// The processor time of a node, % of one processor; 0 is no bound.
    pub cpu_percent: Option<u64>,
    /// The file of the Docker engines on which the nodes of a new cluster run; `None` is this machine.
    pub engines: Option<PathBuf>,
}

/// A certificate that an operator has for clients. Its files are read again when they are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The certificate with its chain, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// What clients verify it with, PEM.
    pub ca: PathBuf,
    /// The host name in it that leads clients to the gateway.
    pub host: String,
}

impl Given {
    /// Absolute paths of files that can be used.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(super) fn checked(&self) -> anyhow::Result<Given> {
        let real = |p: &PathBuf| p.canonicalize().with_context(|| p.display().to_string());
        let given = Given {
            cert: real(&self.cert)?,
            key: real(&self.key)?,
            ca: real(&self.ca)?,
            host: self.host.clone(),
        };
        let pair = Pair {
            cert: given.cert.clone(),
            key: given.key.clone(),
        };
        Certificate::open(pair)?;
        Ok(given)
    }
}

/// What the cluster is. Kept in `cluster.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    version: u32,
    /// In every certificate between nodes.
    pub cluster_id: String,
    /// How many nodes, and what they are called.
    pub plan: Plan,
    /// Where the gateway and the nodes listen for clients.
    pub bind: IpAddr,
    /// The port of the stable address.
    pub port: u16,
    /// The memory of a node's plan, MiB.
    pub memory_mib: u64,
    /// Whether a primary has served: from then on no node makes the cluster anew.
    pub formed: bool,
    /// The nodes and their ports.
    pub nodes: Vec<Node>,
    /// The id of the next node that is added; none is given twice.
    #[serde(default)]
    pub(super) next_id: u64,
    /// The port of the console that comes with it; 0 where none does.
    #[serde(default)]
    pub console_port: u16,
    /// The program that nodes are begun with; empty is the supervisor's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program: String,
    /// Its domain name, which certificates have; empty is none. With one, each node listens for clients at an address of its
    /// own in 127/8 and at the cluster's port, so that the name can lead to any of them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What clients are shown instead of a certificate of its own CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Given>,
    /// The processor time of a node that is a container, % of one processor; 0 is no bound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cpu_percent: u64,
    /// Where its nodes run as containers, if they do. The gateway is a process of this machine all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engines: Option<Ground>,
}

/// One node's ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: u64,
    /// The port of its listener for clients.
    pub client_port: u16,
    /// The port of its listener for peers.
    pub peer_port: u16,
    /// The port of its metrics, on this machine alone; 0 where it has none.
    #[serde(default)]
    pub metrics_port: u16,
    /// Whether it was a member once: what it voted and wrote is on its disk, and without that disk it must not come back.
    #[serde(default)]
    pub began: bool,
    /// Whether it is a witness. Where it is not said, the plan says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    witness: Option<bool>,
    /// The memory that it runs with, MiB, where that is not the plan's yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory_mib: Option<u64>,
    /// The program that it runs, where that is not the cluster's yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    /// How often it was told to begin anew.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u64,
    /// The engine that it is a container of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Home>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// How long a listener at another host may take to answer.
const KNOCK: Duration = Duration::from_millis(300);
/// The version of `cluster.json`.
const VERSION: u32 = 1;
const SPEC: &str = "cluster.json";
const EDIT: &str = "edit";

impl Spec {
    /// The host in the URI: the one of a certificate that was given; `localhost` where only this machine, or any address of it, is meant.
    pub fn host(&self) -> String {
        if let Some(given) = &self.given {
            return given.host.clone();
        }
        match self.bind {
            ip if ip.is_loopback() || ip.is_unspecified() => "localhost".to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
            IpAddr::V4(ip) => ip.to_string(),
        }
    }

    /// The address at which processes of this machine reach the listeners for clients.
    pub fn local(&self) -> IpAddr {
        if self.bind.is_unspecified() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            self.bind
        }
    }

    /// Whether a node keeps the log alone.
    pub fn is_witness(&self, node: &Node) -> bool {
        node.witness.unwrap_or(self.plan.is_witness(node.id))
    }

    /// The memory that a node runs with, MiB.
    pub fn memory_of(&self, node: &Node) -> u64 {
        node.memory_mib.unwrap_or(self.memory_mib)
    }

    /// The program that a node runs; empty is the supervisor's own.
    pub fn program_of<'a>(&'a self, node: &'a Node) -> &'a str {
        node.program.as_deref().unwrap_or(&self.program)
    }

    /// A node that is not there yet, with an id that none had.
    pub(super) fn new_node(&mut self, witness: bool) -> anyhow::Result<Node> {
        let highest = self.nodes.iter().map(|n| n.id).max().unwrap_or(0);
        let id = self.next_id.max(highest + 1);
        let home = match &self.engines {
            Some(ground) => {
                let homes = self.nodes.iter().filter_map(|n| n.home.as_ref());
                Some(Engines::read(&ground.file)?.pick(homes)?)
            }
            None => None,
        };
        let ports = |n: &Node| [n.client_port, n.peer_port, n.metrics_port];
        let mut taken: Vec<u16> = self.nodes.iter().flat_map(ports).collect();
        let node = Node::new(id, self.bind, &mut taken, home)?;
        self.next_id = id + 1;
        Ok(Node {
            witness: Some(witness),
            ..node
        })
    }

    /// The server's certificate names these hosts besides this machine.
    pub fn hosts(&self) -> Vec<String> {
        let engines = self.engines.as_ref().map(|g| Engines::read(&g.file));
        let known = engines.and_then(Result::ok).map_or(Vec::new(), |e| e.all);
        known.iter().map(|e| e.address.to_string()).collect()
    }

    /// `host:port` of a node's listener for clients.
    pub fn client_addr(&self, node: &Node) -> String {
        let own = self.own_addr(node);
        let host = node.home.as_ref().map_or(self.local(), |h| h.address);
        own.unwrap_or_else(|| SocketAddr::new(host, node.client_port))
            .to_string()
    }

    /// Where a node's listener for clients is bound.
    pub fn client_bind(&self, node: &Node) -> SocketAddr {
        let own = self.own_addr(node);
        // In its container; the engine decides at which of its host's addresses that is reached.
        let bind = match node.home {
            Some(_) => Ipv4Addr::UNSPECIFIED.into(),
            None => self.bind,
        };
        own.unwrap_or_else(|| SocketAddr::new(bind, node.client_port))
    }

    /// A node's own address in 127/8, where the cluster has a name.
    fn own_addr(&self, node: &Node) -> Option<SocketAddr> {
        let [high, low] = self.port.to_be_bytes();
        // No two clusters of a machine have the same port, and not more than a few nodes at a time.
        let last = u8::try_from(node.id % 254).unwrap_or(0) + 1;
        let ip = Ipv4Addr::new(127, high, low, last);
        let has_own = !self.name.is_empty() && node.home.is_none();
        has_own.then(|| SocketAddr::new(ip.into(), self.port))
    }

    /// `host:port` of a node's metrics; empty where it has none.
    pub fn metrics_addr(&self, node: &Node) -> String {
        match node.metrics_port {
            _ if node.home.is_some() => String::new(),
            0 => String::new(),
            port => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port).to_string(),
        }
    }

    /// `host:port` of a node's listener for peers: this machine alone, or its engine's host.
    pub fn peer_addr(&self, node: &Node) -> String {
        let host = node.home.as_ref().map(|h| h.address);
        SocketAddr::new(host.unwrap_or(Ipv4Addr::LOCALHOST.into()), node.peer_port).to_string()
    }

    /// Where a node's listener for peers is bound.
    pub fn peer_bind(&self, node: &Node) -> SocketAddr {
        let bind = match node.home {
            Some(_) => Ipv4Addr::UNSPECIFIED,
            None => Ipv4Addr::LOCALHOST,
        };
        SocketAddr::new(bind.into(), node.peer_port)
    }
}

impl Node {
    /// A node that begins, with ports beside those that are `taken`.
    fn new(
        id: u64,
        bind: IpAddr,
        taken: &mut Vec<u16>,
        home: Option<Home>,
    ) -> anyhow::Result<Node> {
        let at = |address: IpAddr| home.as_ref().map_or(address, |h| h.address);
        let is_local = home.is_none();
        let mut free = |address| free_port(at(address), is_local, taken);
        Ok(Node {
            id,
            client_port: free(bind)?,
            peer_port: free(bind)?,
            metrics_port: match is_local {
                true => free(Ipv4Addr::LOCALHOST.into())?,
                false => 0,
            },
            began: false,
            witness: None,
            memory_mib: None,
            program: None,
            restarts: 0,
            home,
        })
    }
}
/// Changes `cluster.json` under its lock: `f` gets what is there.
pub(super) fn change<T>(
    dir: &Path,
    f: impl FnOnce(Option<Spec>) -> anyhow::Result<(Spec, T)>,
) -> anyhow::Result<T> {
    let path = dir.join(EDIT);
    let _lock = lock::wait(&path).with_context(|| path.display().to_string())?;
    let (spec, answer) = f(read_spec(dir)?)?;
    replace(&dir.join(SPEC), &serde_json::to_vec_pretty(&spec)?, true)?;
    Ok(answer)
}

pub(super) fn edit<T>(
    dir: &Path,
    f: impl FnOnce(&mut Spec) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    change(dir, |spec| {
        let mut spec = spec.with_context(|| format!("{} holds no cluster", dir.display()))?;
        let answer = f(&mut spec)?;
        Ok((spec, answer))
    })
}

/// Adds a node, which the supervisor begins: it is empty, and no member until it is added as a learner.
///
/// # Errors
/// Where there is no cluster, or none that was formed.
pub fn add_node(dir: &Path, witness: bool) -> anyhow::Result<(Spec, Node)> {
    edit(dir, |spec| {
        ensure!(
            spec.formed,
            "the cluster of {} has not served yet: nothing can join it",
            dir.display()
        );
        ensure!(
            spec.nodes.len() < crate::base::limits::MEMBERS_MAX,
            "the cluster has {} nodes, and no more are taken",
            spec.nodes.len()
        );
        let node = spec.new_node(witness)?;
        spec.nodes.push(node.clone());
        Ok((spec.clone(), node))
    })
}

/// Gives the cluster another plan, memory and program. Nodes that there are go on as they are, until each is told to begin
/// anew.
///
/// # Errors
/// Where there is no cluster, or the program is none.
pub fn set_plan(
    dir: &Path,
    plan: Plan,
    (memory_mib, cpu_percent): (u64, Option<u64>),
    program: Option<&Path>,
) -> anyhow::Result<()> {
    edit(dir, |spec| {
        let program = text_of(program, spec.engines.is_some())?;
        for i in 0..spec.nodes.len() {
            let (memory, witness) = (
                spec.memory_of(&spec.nodes[i]),
                spec.is_witness(&spec.nodes[i]),
            );
            let runs = spec.program_of(&spec.nodes[i]).to_string();
            let node = &mut spec.nodes[i];
            node.program = (runs != program).then_some(runs);
            node.memory_mib = (memory != memory_mib).then_some(memory);
            node.witness = Some(witness);
        }
        (spec.plan, spec.memory_mib) = (plan, memory_mib);
        spec.cpu_percent = cpu_percent.unwrap_or(spec.cpu_percent);
        spec.program = program;
        Ok(())
    })
}

/// A program as it is kept.
fn text_of(program: Option<&Path>, is_image: bool) -> anyhow::Result<String> {
    let Some(path) = program else {
        return Ok(String::new());
    };
    if is_image {
        let name = path.to_str().context("the image's name is not UTF-8")?;
        return Ok(name.to_string());
    }
    let executable = rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
    ensure!(
        path.is_absolute() && path.is_file() && executable,
        "{} is no program: give the absolute path of an executable file",
        path.display()
    );
    let text = path.to_str().context("the program's path is not UTF-8")?;
    Ok(text.to_string())
}

/// Has a node begun anew, with the cluster's memory and program.
///
/// # Errors
/// Where there is none of that id.
pub fn restart_node(dir: &Path, id: u64) -> anyhow::Result<()> {
    edit(dir, |spec| {
        let node = spec.nodes.iter_mut().find(|n| n.id == id);
        let node =
            node.with_context(|| format!("the cluster of {} has no node {id}", dir.display()))?;
        node.restarts += 1;
        (node.memory_mib, node.program) = (None, None);
        Ok(())
    })
}

/// Takes a node out, which the supervisor ends and whose folder it removes. That it is no member any more is the caller's to see.
///
/// # Errors
/// Where it is the only one, or there is none of that id.
pub fn remove_node(dir: &Path, id: u64) -> anyhow::Result<()> {
    edit(dir, |spec| {
        ensure!(
            spec.nodes.iter().any(|n| n.id == id),
            "the cluster of {} has no node {id}",
            dir.display()
        );
        ensure!(
            spec.nodes.len() > 1,
            "node {id} is the only node: stop the cluster instead"
        );
        spec.next_id = spec.next_id.max(id + 1);
        spec.nodes.retain(|n| n.id != id);
        Ok(())
    })
}

/// Reads `cluster.json`; `None` where there is none.
pub fn read_spec(dir: &Path) -> anyhow::Result<Option<Spec>> {
    let path = dir.join(SPEC);
    let text = match std::fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| path.display().to_string())?,
    };
    let spec: Spec =
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
    ensure!(
        spec.version == VERSION,
        "{} has version {} and this pontoon knows {VERSION}",
        path.display(),
        spec.version
    );
    Ok(Some(spec))
}

pub(super) fn resume(mut spec: Spec, wanted: &Wanted, dir: &Path) -> anyhow::Result<Spec> {
    let other = |what: &str, has: String, asked: String| {
        anyhow!(
            "the cluster in {} has {what} {has} and keeps it, so --{what} {asked} cannot be; \
             leave the flag out, or give another --dir for another cluster",
            dir.display()
        )
    };
    if let Some(plan) = wanted.plan.filter(|p| *p != spec.plan) {
        return Err(other("plan", spec.plan.name().into(), plan.name().into()));
    }
    if let Some(port) = wanted.port.filter(|p| *p != spec.port) {
        return Err(other("port", spec.port.to_string(), port.to_string()));
    }
    if let Some(bind) = wanted.bind.filter(|b| *b != spec.bind) {
        return Err(other("bind", spec.bind.to_string(), bind.to_string()));
    }
    spec.memory_mib = wanted.memory_mib.unwrap_or(spec.memory_mib);
    spec.cpu_percent = wanted.cpu_percent.unwrap_or(spec.cpu_percent);
    if let Some(given) = &wanted.given {
        spec.given = Some(given.checked()?);
    }
    spec.console_port = wanted.console.unwrap_or(spec.console_port);
    if wanted.program.is_some() {
        spec.program = text_of(wanted.program.as_deref(), spec.engines.is_some())?;
        spec.nodes.iter_mut().for_each(|n| n.program = None);
    }
    Ok(spec)
}

/// A name that no cluster had.
pub fn new_cluster_id() -> String {
    format!("dev-{:08x}", rand::rng().random::<u32>())
}

pub(super) fn create(wanted: &Wanted) -> anyhow::Result<Spec> {
    let plan = wanted.plan.unwrap_or(Plan::Premium);
    let bind = wanted.bind.unwrap_or(Ipv4Addr::LOCALHOST.into());
    let port = wanted.port.unwrap_or(6379);
    ensure!(
        wanted.name.is_empty() || bind == IpAddr::from(Ipv4Addr::LOCALHOST) && port > 255,
        "with --name nodes listen at 127/8: leave --bind out, and give a --port above 255"
    );
    TcpListener::bind((bind, port)).with_context(|| {
        format!(
            "{} cannot be listened on; give another --port",
            SocketAddr::new(bind, port)
        )
    })?;
    let mut taken = vec![port];
    let engines = wanted.engines.as_deref().map(Engines::read).transpose()?;
    let mut nodes: Vec<Node> = Vec::new();
    for id in 1..=plan.nodes() {
        let homes = nodes.iter().filter_map(|n| n.home.as_ref());
        let home = engines.as_ref().map(|e| e.pick(homes)).transpose()?;
        nodes.push(Node::new(id, bind, &mut taken, home)?);
    }
    let cluster_id = new_cluster_id();
    let ground = |file: &PathBuf| {
        anyhow::Ok(Ground {
            file: std::path::absolute(file)?,
            label: cluster_id.clone(),
        })
    };
    Ok(Spec {
        version: VERSION,
        engines: wanted.engines.as_ref().map(ground).transpose()?,
        cluster_id,
        plan,
        bind,
        port,
        memory_mib: wanted.memory_mib.unwrap_or(1024),
        cpu_percent: wanted.cpu_percent.unwrap_or(0),
        given: wanted.given.as_ref().map(Given::checked).transpose()?,
        formed: false,
        next_id: plan.nodes() + 1,
        console_port: wanted.console.unwrap_or(0),
        program: text_of(wanted.program.as_deref(), engines.is_some())?,
        name: wanted.name.clone(),
        nodes,
    })
}

/// `count` ports of the loopback address that nobody listens on.
///
/// # Errors
/// When there are too few.
pub fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let mut taken = Vec::new();
    for _ in 0..count {
        free_port(Ipv4Addr::LOCALHOST.into(), true, &mut taken)?;
    }
    Ok(taken)
}

/// A port that nobody listens on now, at an address of this machine or of another, and that the kernel gives to no outgoing
/// connection later.
pub(super) fn free_port(bind: IpAddr, is_local: bool, taken: &mut Vec<u16>) -> anyhow::Result<u16> {
    let range =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = range
        .split_whitespace()
        .filter_map(|n| n.parse::<u16>().ok());
    let (low, high) = (ends.next().unwrap_or(32_768), ends.next().unwrap_or(60_999));
    let mut rng = rand::rng();
    for _ in 0..10_000 {
        let port = rng.random_range(10_000..65_000);
        if (low..=high).contains(&port) || taken.contains(&port) {
            continue;
        }
        let free = |ip: IpAddr| match is_local || ip.is_loopback() {
            true => TcpListener::bind((ip, port)).is_ok(),
            // Only a listener says that it is there; a container that does not run keeps no port.
            false => TcpStream::connect_timeout(&(ip, port).into(), KNOCK).is_err(),
        };
        if free(bind) && (!is_local || free(Ipv4Addr::LOCALHOST.into())) {
            taken.push(port);
            return Ok(port);
        }
    }
    bail!(
        "no free port was found outside of net.ipv4.ip_local_port_range ({low} to {high}); make that range smaller"
    )
}

/// Replaces a file whole: readers see the old content or the new, never a part. Only its owner can read it.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, content: &[u8], sync: bool) -> anyhow::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = PathBuf::from(name);
    let write = || -> std::io::Result<()> {
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content)?;
        if sync {
            file.sync_all()?;
        }
        std::fs::rename(&temporary, path)?;
        if sync && let Some(parent) = path.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    };
    write().with_context(|| path.display().to_string())
}
