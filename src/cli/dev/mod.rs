//! `pontoon dev`: a whole cluster on this machine, as real processes.
//!
//! - The folder holds everything: certificates, password, ports, data. Started again on it, the same cluster goes on
//!   under the same URI.
//! - Nodes and gateways are processes in groups of their own. This process restarts the ones that end. Told to stop,
//!   it stops them all; killed, it leaves them running and serving, and the next start takes them over.
//!
//! `folder` is what is on disk, `spec` what the cluster is, `process` one process, `supervise` keeps one running, `service` is
//! `service.json`, `run` puts them together; `engine` is where nodes can run as containers, `container` stands for one.

mod container;
mod engine;
mod folder;
mod process;
mod run;
mod service;
mod spec;
mod supervise;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{Answer, LogFormat, Output};
use crate::telemetry;

pub use folder::{Folder, credentials, hold};
pub use service::Service;
use spec::Given;
pub use spec::{Wanted, free_ports, new_cluster_id, read_spec, replace};

/// Runs a whole cluster on this machine: one or three nodes, one of them perhaps a witness, and a gateway at the stable address.
///
/// The first start makes the folder: a CA, certificates, a password, ports. Later starts resume it: same URI,
/// password, CA and data. Ctrl-C stops everything in order.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  pontoon dev --plan premium --dir ./cluster --port 6379    three nodes
  pontoon dev --dir ./cluster                               the same again
  pontoon dev --dir ./cluster --console 8443                with pages at https://localhost:8443
  pontoon dev --plan hobbyist --dir ./one --port 6400 --set maxmemory-policy=allkeys-lru
  pontoon dev --engines ./engines.toml --dir ./cluster      nodes as containers of Docker engines
  pontoon dev status --dir ./cluster
  pontoon dev stop --dir ./cluster"
)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    start: Start,
}

#[derive(Debug, clap::Args)]
struct Start {
    /// How many nodes: hobbyist and startup have one, business two and a witness, premium three [default: premium, or what the folder has]
    #[arg(long, value_enum)]
    plan: Option<Plan>,
    /// The cluster's folder [default: pontoon/dev in the user's data folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The port of the stable address [default: 6379, or what the folder has]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The memory of a node's plan, MiB [default: 1024, or what the folder has]
    #[arg(long, value_name = "MB")]
    memory: Option<u64>,
    #[command(flatten)]
    given: GivenArgs,
    /// The processor time of a node that is a container, % of one processor; 0 is no bound [default: 0, or what the folder has]
    #[arg(long, value_name = "PERCENT")]
    cpu_percent: Option<u64>,
    /// The address that clients reach this machine at [default: 127.0.0.1, or what the folder has]
    #[arg(long, value_name = "ADDR")]
    bind: Option<IpAddr>,
    /// Opens the commands that a managed service refuses: CONFIG, DEBUG and others
    #[arg(long)]
    unrestricted: bool,
    /// A key of every node's configuration, for example --set redirect=true
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, String)>,
    /// Starts a console too, at https://localhost:PORT: pages and a REST API for this cluster and for others that it creates; 0 ends that [default: none, or what the folder has]
    #[arg(long, value_name = "PORT")]
    console: Option<u16>,
    /// The program that nodes are begun with [default: this one, or what the folder has]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// A domain name of a new cluster, for its certificates; its nodes then listen at addresses of their own in 127/8 and at PORT [default: none]
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    name: String,
    /// The file of Docker engines on which the nodes of a new cluster run as containers, spread over zones and hosts [default: none, they are processes of this machine]
    #[arg(long, value_name = "FILE")]
    engines: Option<PathBuf>,
    /// How to print what was started; JSON is the content of service.json in one line
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// How log lines are written
    #[arg(long, value_enum, default_value_t, env = "PONTOON_LOG_FORMAT")]
    log_format: LogFormat,
}

/// A certificate of the operator's for clients.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct GivenArgs {
    /// A certificate for clients with its chain, PEM, instead of one of the cluster's own CA; read again when it is replaced [default: own, or what the folder has]
    #[arg(long, value_name = "FILE", env = "PONTOON_SERVICE_CERT", requires_all = ["service_key", "service_ca", "service_host"])]
    service_cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "PONTOON_SERVICE_KEY",
        requires = "service_cert"
    )]
    service_key: Option<PathBuf>,
    /// What clients verify it with, PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "PONTOON_SERVICE_CA",
        requires = "service_cert"
    )]
    service_ca: Option<PathBuf>,
    /// The host name in it that leads clients to the gateway
    #[arg(
        long,
        value_name = "NAME",
        env = "PONTOON_SERVICE_HOST",
        requires = "service_cert"
    )]
    service_host: Option<String>,
}

impl GivenArgs {
    fn given(self) -> Option<Given> {
        Some(Given {
            cert: self.service_cert?,
            key: self.service_key?,
            ca: self.service_ca?,
            host: self.service_host?,
        })
    }

    /// The same again, for another process.
    pub fn again(&self) -> anyhow::Result<Vec<String>> {
        let Some(given) = self.clone().given() else {
            return Ok(Vec::new());
        };
        let given = given.checked()?;
        Ok(vec![
            format!("--service-cert={}", given.cert.display()),
            format!("--service-key={}", given.key.display()),
            format!("--service-ca={}", given.ca.display()),
            format!("--service-host={}", given.host),
        ])
    }
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Stops the cluster of a folder, in order
    #[command(after_help = "Example:\n  pontoon dev stop --dir ./cluster")]
    Stop(Where),
    /// Shows how the cluster of a folder is; exit code 3 where no primary serves
    #[command(after_help = "Example:\n  pontoon dev status --dir ./cluster --output json")]
    Status(Where),
    /// Adds an empty node to a cluster that runs; it becomes a member by `pontoon admin add` and `promote`, or `replace`
    #[command(after_help = "Example:\n  pontoon dev add-node --dir ./cluster --output json")]
    AddNode {
        #[command(flatten)]
        place: Where,
        /// A witness, which keeps the log alone
        #[arg(long)]
        witness: bool,
    },
    /// Gives a cluster another plan, memory and program: nodes that there are keep theirs until they are restarted, and none is added or removed
    #[command(
        after_help = "Example:\n  pontoon dev set-plan --dir ./cluster --plan business --memory 2048"
    )]
    SetPlan {
        #[command(flatten)]
        place: Where,
        /// The plan
        #[arg(long, value_enum)]
        plan: Plan,
        /// The memory of a node, MiB
        #[arg(long, value_name = "MB")]
        memory: u64,
        /// The processor time of a node that is a container, % of one processor; 0 is no bound [default: what it has]
        #[arg(long, value_name = "PERCENT")]
        cpu_percent: Option<u64>,
        /// The program that nodes are begun with [default: the one that keeps them running]
        #[arg(long, value_name = "PATH")]
        program: Option<PathBuf>,
    },
    /// Restarts a node of a cluster that runs, with the memory and the program that it has now
    #[command(after_help = "Example:\n  pontoon dev restart-node --dir ./cluster --node 2")]
    RestartNode {
        #[command(flatten)]
        place: Where,
        /// The node's id
        #[arg(long, value_name = "ID")]
        node: u64,
    },
    /// Stands for a node that is a container; a cluster's supervisor begins this
    #[command(
        hide = true,
        after_help = "Example:\n  pontoon dev hold --dir ./cluster --node 2"
    )]
    Hold {
        /// The cluster's folder
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// The node's id
        #[arg(long, value_name = "ID")]
        node: u64,
        /// A key of its configuration
        #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_setting)]
        settings: Vec<(String, String)>,
    },
    /// Removes the containers and volumes of a cluster that does not run: its data
    #[command(after_help = "Example:\n  pontoon dev purge --dir ./cluster")]
    Purge(Where),
    /// Ends a node that is no member any more, and removes its folder
    #[command(after_help = "Example:\n  pontoon dev remove-node --dir ./cluster --node 2")]
    RemoveNode {
        #[command(flatten)]
        place: Where,
        /// The node's id
        #[arg(long, value_name = "ID")]
        node: u64,
    },
}

#[derive(Debug, clap::Args)]
struct Where {
    /// The cluster's folder [default: pontoon/dev in the user's data folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// How many nodes a cluster on this machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    /// One node
    Hobbyist,
    /// One node
    Startup,
    /// Two data nodes and a witness
    Business,
    /// Three data nodes
    Premium,
}

impl Plan {
    /// How many nodes it has.
    pub fn nodes(self) -> u64 {
        match self {
            Plan::Hobbyist | Plan::Startup => 1,
            Plan::Business | Plan::Premium => 3,
        }
    }

    /// Whether node `id` is a witness: the last one of a Business plan.
    pub fn is_witness(self, id: u64) -> bool {
        self == Plan::Business && id == self.nodes()
    }

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Plan::Hobbyist => "hobbyist",
            Plan::Startup => "startup",
            Plan::Business => "business",
            Plan::Premium => "premium",
        }
    }
}

/// `KEY=VALUE` of the command line.
pub fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not KEY=VALUE"))?;
    Ok((key.trim().replace('-', "_"), value.to_string()))
}

/// The folder where none is given.
pub fn default_dir() -> anyhow::Result<PathBuf> {
    let data = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute());
    let home = || std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".local/share"));
    Ok(data
        .or_else(home)
        .ok_or_else(|| anyhow!("HOME is not set; give --dir DIR"))?
        .join("pontoon/dev"))
}

/// Carries it out.
pub fn run(args: Args) -> anyhow::Result<Answer> {
    let dir = |given: Option<PathBuf>| given.map_or_else(default_dir, Ok);
    match args.action {
        Some(Action::Stop(place)) => run::stop(&dir(place.dir)?, place.output),
        Some(Action::SetPlan {
            place,
            plan,
            memory,
            cpu_percent,
            program,
        }) => {
            let dir = dir(place.dir)?;
            spec::set_plan(&dir, plan, (memory, cpu_percent), program.as_deref())?;
            let runs = program.unwrap_or_default();
            run::settled(&dir, |s| {
                s.plan == plan.name() && s.memory_mib == memory && Path::new(&s.program) == runs
            })?;
            super::print(
                place.output,
                || format!("the plan is {} with {memory} MiB", plan.name()),
                || serde_json::json!({"plan": plan.name(), "memory_mib": memory}),
            );
            Ok(Answer::Yes)
        }
        Some(Action::RestartNode { place, node }) => {
            run::restart_node(&dir(place.dir)?, node)?;
            super::print(
                place.output,
                || format!("node {node} was begun anew"),
                || serde_json::json!({"restarted": node}),
            );
            Ok(Answer::Yes)
        }
        Some(Action::AddNode { place, witness }) => {
            let dir = dir(place.dir)?;
            let (spec, node) = spec::add_node(&dir, witness)?;
            run::settled(&dir, |s| s.nodes.iter().any(|n| n.id == node.id))?;
            let (client, peer) = (spec.client_addr(&node), spec.peer_addr(&node));
            super::print(
                place.output,
                || format!("node {} listens at {client}, for peers at {peer}", node.id),
                || serde_json::json!({"id": node.id, "client_addr": client, "peer_addr": peer}),
            );
            Ok(Answer::Yes)
        }
        Some(Action::RemoveNode { place, node }) => {
            let dir = dir(place.dir)?;
            spec::remove_node(&dir, node)?;
            run::settled(&dir, |s| s.nodes.iter().all(|n| n.id != node))?;
            super::print(
                place.output,
                || format!("node {node} is taken out"),
                || serde_json::json!({"removed": node}),
            );
            Ok(Answer::Yes)
        }
        Some(Action::Hold {
            dir,
            node,
            settings,
        }) => {
            telemetry::start(LogFormat::default().into(), "info", None).map_err(|e| anyhow!(e))?;
            super::runtime(1)?.block_on(container::hold(&dir, node, &settings))?;
            Ok(Answer::Yes)
        }
        Some(Action::Purge(place)) => {
            let dir = dir(place.dir)?;
            let _held = folder::hold(&dir)?;
            let swept = super::runtime(1)?.block_on(container::sweep(&dir, true))?;
            swept.1.map_or(Ok(()), Err)?;
            super::print(
                place.output,
                || "what it had on engines is removed".to_string(),
                || serde_json::json!({"purged": true}),
            );
            Ok(Answer::Yes)
        }
        Some(Action::Status(place)) => service::status(&dir(place.dir)?, place.output),
        None => {
            let start = args.start;
            telemetry::start(start.log_format.into(), "info", None).map_err(|e| anyhow!(e))?;
            let wanted = Wanted {
                plan: start.plan,
                port: start.port,
                memory_mib: start.memory,
                cpu_percent: start.cpu_percent,
                given: start.given.given(),
                bind: start.bind,
                unrestricted: start.unrestricted,
                settings: start.settings,
                console: start.console,
                program: start.program,
                name: start.name,
                engines: start.engines,
            };
            let folder = Folder::open(&dir(start.dir)?, &wanted)?;
            super::runtime(2)?.block_on(run::run(folder, start.output))?;
            Ok(Answer::Yes)
        }
    }
}
