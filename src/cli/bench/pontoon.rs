//! Pontoon as one side of a comparison: a cluster of `pontoon dev`, in real processes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};

use super::client::{Target, tls_config};
use super::process::Process;
use crate::cli::dev::{self, Plan, Service};
use crate::gateway::operator;
use crate::proto::{Empty, LogStatusReply};
use crate::tls::peer::Credentials;

/// How the nodes of the cluster are to be.
#[derive(Debug, Clone, clap::Args)]
pub struct Wanted {
    /// The memory of a node's plan, MiB
    #[arg(long, value_name = "MB", default_value_t = 2048, value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub memory: u64,
    /// Opens the commands that a managed service refuses
    #[arg(long)]
    pub unrestricted: bool,
    /// A key of every node's configuration, for example --set heartbeat_ms=50
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = dev::parse_setting)]
    pub settings: Vec<(String, String)>,
}

/// A cluster that runs.
pub struct Pontoon {
    dir: PathBuf,
    credentials: Arc<Credentials>,
    /// Stopped when this is dropped: it stops the nodes and gateways in order.
    _process: Process,
}

/// What the logs and stores say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// fdatasyncs of the leader's log since its start.
    pub leader_syncs: u64,
    /// Of all nodes' logs.
    pub all_syncs: u64,
    /// Bytes that wait for the store, at the node where they are most.
    pub backlog_bytes: u64,
}

/// How long the cluster may take to serve, or its stores to catch up.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

impl Pontoon {
    /// Starts a cluster in `dir` and waits until it serves.
    ///
    /// # Errors
    /// When it does not.
    pub async fn start(dir: &Path, plan: Plan, wanted: &Wanted) -> anyhow::Result<Pontoon> {
        let mut args = vec![
            "dev".to_string(),
            format!("--plan={}", plan.name()),
            format!("--dir={}", dir.display()),
            format!("--port={}", dev::free_ports(1)?[0]),
            format!("--memory={}", wanted.memory),
            "--bind=127.0.0.1".to_string(),
        ];
        if wanted.unrestricted {
            args.push("--unrestricted".into());
        }
        for (key, value) in &wanted.settings {
            args.push(format!("--set={key}={value}"));
        }
        let program = std::env::current_exe()?;
        let printed = dir.with_extension("printed");
        let mut process = Process::begin("pontoon dev", &program, &args, &printed)?;
        wait_whole(dir, Some(&mut process)).await?;
        let service = Service::read(dir)?;
        let credentials = Credentials::open(&service.cluster_id, dev::credentials(dir))?;
        Ok(Pontoon {
            dir: dir.to_path_buf(),
            credentials,
            _process: process,
        })
    }

    /// Waits until every node runs, one as primary and the others as its standbys.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn whole(&self) -> anyhow::Result<()> {
        wait_whole(&self.dir, None).await
    }

    /// How the cluster is now.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn service(&self) -> anyhow::Result<Service> {
        Service::read(&self.dir)
    }

    /// The stable address.
    ///
    /// # Errors
    /// When the cluster's files cannot be read.
    pub fn gateway(&self) -> anyhow::Result<Target> {
        let service = self.service()?;
        self.target(SocketAddr::from(([127, 0, 0, 1], service.port)), &service)
    }

    /// The leader's own address, and its id.
    ///
    /// # Errors
    /// When none leads.
    pub fn leader(&self) -> anyhow::Result<(u64, Target)> {
        let service = self.service()?;
        let node = service.nodes.iter().find(|n| n.role == "primary");
        let node = node.context("no node of Pontoon is the primary")?;
        Ok((node.id, self.target(node.client_addr.parse()?, &service)?))
    }

    fn target(&self, addr: SocketAddr, service: &Service) -> anyhow::Result<Target> {
        Ok(Target {
            addr,
            tls: tls_config(&service.ca)?,
            password: service.password.clone(),
        })
    }

    /// The pids of nodes, and of gateways where `gateways` says so.
    ///
    /// # Errors
    /// When the cluster's file cannot be read.
    pub fn pids(&self, gateways: bool) -> anyhow::Result<Vec<u32>> {
        let service = self.service()?;
        let nodes = service.nodes.iter().filter_map(|n| n.pid);
        let gateway_pids = service.gateways.iter().filter_map(|g| g.pid);
        Ok(nodes.chain(gateway_pids.filter(|_| gateways)).collect())
    }

    /// Asks every node for its log and store.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn counts(&self) -> anyhow::Result<Counts> {
        let mut counts = Counts::default();
        for node in &self.service()?.nodes {
            let log = self.log_status(node.id, &node.peer_addr).await?;
            counts.all_syncs += log.syncs;
            if node.role == "primary" {
                counts.leader_syncs = log.syncs;
            }
            counts.backlog_bytes = counts.backlog_bytes.max(log.store_backlog_bytes);
        }
        Ok(counts)
    }

    /// Speaks to a node as its operator.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn operator(&self, id: u64) -> anyhow::Result<operator::Client> {
        let service = self.service()?;
        let node = service.nodes.iter().find(|n| n.id == id);
        let node = node.with_context(|| format!("there is no node {id}"))?;
        let (own, addr) = (&self.credentials, &node.peer_addr);
        Ok(operator::connect(own, addr, Some(id), ANSWER_WITHIN).await?)
    }

    async fn log_status(&self, id: u64, addr: &str) -> anyhow::Result<LogStatusReply> {
        let mut client =
            operator::connect(&self.credentials, addr, Some(id), ANSWER_WITHIN).await?;
        let asked = tokio::time::timeout(ANSWER_WITHIN, client.log_status(Empty {})).await;
        match asked {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(anyhow!("node {id}: {}", status.message())),
            Err(_) => Err(anyhow!("node {id} did not answer in time")),
        }
    }

    /// Waits until the stores have written everything.
    ///
    /// # Errors
    /// When a node does not answer, or that takes too long.
    pub async fn settled(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.counts().await?.backlog_bytes > BACKLOG_SETTLED {
            if began.elapsed() > PATIENCE {
                bail!(
                    "Pontoon's store has a backlog after {} s",
                    PATIENCE.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }
}

/// What an idle cluster's marks leave in the backlog between two flushes, bytes.
const BACKLOG_SETTLED: u64 = 64 * 1024;

async fn wait_whole(dir: &Path, mut process: Option<&mut Process>) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        if let Some(process) = &mut process {
            process.check()?;
        }
        if Service::read(dir).is_ok_and(|s| serves(&s)) {
            return Ok(());
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "Pontoon does not serve after {} s; its logs are in {}/node-*/log",
            PATIENCE.as_secs(),
            dir.display()
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn serves(service: &Service) -> bool {
    let role = |name: &str| service.nodes.iter().filter(|n| n.role == name).count();
    service.running
        && service.nodes.iter().all(|n| n.pid.is_some())
        && role("primary") == 1
        && role("standby") == service.nodes.len() - 1
}
