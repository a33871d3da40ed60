//! Where services run, behind one interface. `local.rs` begins them from this machine; another way to begin a node, as a
//! container or elsewhere, is one more file like `cli/dev/container.rs`.
//!
//! Always, whoever implements it: each call can be made again after a console was killed in the middle of it, and none
//! decides anything: what is to be done is the planner's.

mod local;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::Ground;
use super::model::{Connection, Service};
use crate::gateway::Address;
use crate::gateway::stand_in::StandIn;
use crate::tls::peer::Files;

pub use local::Local;

/// A place where services run.
pub trait Provider: Send + Sync {
    /// Begins all processes of a service, or takes over those that run. One that was never begun begins as `birth` has it.
    fn start<'a>(
        &'a self,
        service: &'a Service,
        birth: &'a Birth,
    ) -> BoxFuture<'a, anyhow::Result<()>>;
    /// Ends all of them; its data stays.
    fn stop<'a>(&'a self, id: &'a str) -> BoxFuture<'a, anyhow::Result<()>>;
    /// Removes all that it has. It does not run.
    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, anyhow::Result<()>>;
    /// Begins an empty node, a witness or one with data.
    fn add_node<'a>(&'a self, id: &'a str, witness: bool) -> BoxFuture<'a, anyhow::Result<()>>;
    /// What nodes are begun with from now on; those that run go on as they are.
    fn set_plan<'a>(
        &'a self,
        service: &'a Service,
        birth: &'a Birth,
    ) -> BoxFuture<'a, anyhow::Result<()>>;
    /// Begins a node anew, as the plan has it.
    fn restart_node<'a>(&'a self, id: &'a str, node: u64) -> BoxFuture<'a, anyhow::Result<()>>;
    /// Ends a node that is no member and removes what it has.
    fn remove_node<'a>(&'a self, id: &'a str, node: u64) -> BoxFuture<'a, anyhow::Result<()>>;
    /// What is there of a service; none where nothing is.
    fn place(&self, id: &str) -> anyhow::Result<Option<Place>>;
    /// Makes a service of one node, which is not begun, from a backup: `args` say which, as `pontoon backup restore` has them.
    fn restore<'a>(
        &'a self,
        id: &'a str,
        port: u16,
        args: &'a [String],
    ) -> BoxFuture<'a, anyhow::Result<Fork>>;
    /// Replaces what a service holds by what a backup has; it has one node then, under another cluster's name and the same
    /// address and password. Its processes have ended and are not begun.
    fn restore_in_place<'a>(
        &'a self,
        id: &'a str,
        args: &'a [String],
    ) -> BoxFuture<'a, anyhow::Result<Fork>>;
    /// Answers clients at a service's address that it is being restored, until that is dropped. Its processes have ended.
    fn stand_in<'a>(&'a self, id: &'a str) -> BoxFuture<'a, anyhow::Result<StandIn>>;
    /// What clients are given as the service's password from now on; that it is accepted is the caller's to see to.
    fn set_password<'a>(
        &'a self,
        id: &'a str,
        password: &'a str,
    ) -> BoxFuture<'a, anyhow::Result<()>>;
    /// The services that are there, whoever made them.
    fn found(&self) -> anyhow::Result<Vec<Found>>;
    /// Whether something else begins and ends the processes of a service.
    fn kept_elsewhere(&self, id: &str) -> bool;
    /// The end of what a node wrote to its log.
    fn log(&self, id: &str, node: u64) -> anyhow::Result<String>;
    /// What of a plan it does not hold to, for people: where nodes are containers, or processes.
    fn limits(&self, containers: bool) -> &'static [&'static str];
    /// A port for a new service's stable address, beside those `taken`.
    fn port(&self, taken: &[u16]) -> anyhow::Result<u16>;
}

/// How a service's nodes are begun.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Birth {
    /// Their program, or their image where they are containers, as in the catalog.
    pub program: String,
    /// The service's domain name; empty is none.
    pub name: String,
    /// The file of the engines that they are containers of; none, they are processes.
    pub engines: Option<PathBuf>,
    /// The processor time of one, % of one processor; 0 is no bound.
    pub cpu_percent: u64,
}

/// A service that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// Its cluster's id.
    pub cluster: String,
    /// Its plan.
    pub plan: String,
    /// The port of its stable address.
    pub port: u16,
    /// A node's memory, MiB.
    pub memory_mib: u32,
    /// The program of its nodes, as in the catalog.
    pub program: String,
    /// Whether they are containers, and that is an image.
    pub containers: bool,
}

/// What was made from a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Fork {
    /// The last log index in it.
    pub index: u64,
    /// Its time, Unix milliseconds.
    pub time_ms: u64,
}

/// A service where it runs.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its cluster's id.
    pub cluster: String,
    /// An operator's certificate for it.
    pub operator: Files,
    /// Whether its processes are kept running.
    pub supervised: bool,
    /// The plan that it was last given.
    pub plan: String,
    /// And a node's memory, MiB.
    pub memory_mib: u64,
    /// And the program of its nodes, as in the catalog.
    pub program: String,
    /// Its nodes there.
    pub nodes: Vec<Placed>,
    /// The hosts that its nodes can be containers of and that answer; none where they are processes of this machine.
    pub hosts: Vec<String>,
    /// How clients connect, once that is known.
    pub connection: Option<Connection>,
}

impl Place {
    /// Whether its nodes are containers.
    pub fn is_of_containers(&self) -> bool {
        self.nodes.iter().any(|n| !n.host.is_empty())
    }
}

/// A node where it runs.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Its id.
    pub id: u64,
    /// Where it listens.
    pub address: Address,
    /// Whether its process runs.
    pub running: bool,
    /// Whether the disk that it once had is gone.
    pub lost: bool,
    /// Whether its disk is there and was found damaged.
    pub damaged: bool,
    /// Whether it keeps the log alone.
    pub witness: bool,
    /// The memory that it runs with, MiB.
    pub memory_mib: u64,
    /// The program that it runs, as in the catalog.
    pub program: String,
    /// The host that it is a container of; empty where it is a process of this machine.
    pub host: String,
    /// Since when that host does not answer, Unix milliseconds, if it does not.
    pub away_since_ms: Option<u64>,
}

/// The provider of this machine's processes, and of containers that processes of this machine stand for, in `dir`.
pub fn local(dir: PathBuf, ground: &Ground) -> anyhow::Result<Arc<dyn Provider>> {
    Ok(Arc::new(Local::open(dir, ground)?))
}
