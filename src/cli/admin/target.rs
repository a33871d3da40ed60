//! Which nodes an operator's command talks to, and which of them leads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures_util::future::join_all;

use crate::cli::dev;
use crate::config;
use crate::gateway::operator::{self, Client};
use crate::gateway::talk::Talk;
use crate::proto::{Empty, StatusReply};
use crate::tls::files::Pair;
use crate::tls::peer::{Credentials, Files};

/// Where the cluster is and who asks.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The folder of a cluster of `pontoon dev`
    #[arg(long, value_name = "DIR", global = true, conflicts_with_all = ["addr", "cluster_id", "ca", "cert", "key"])]
    dir: Option<PathBuf>,
    /// The host:port of a node's peer listener; give it again for more nodes
    #[arg(
        long,
        value_name = "HOST:PORT",
        global = true,
        env = "PONTOON_ADMIN_ADDR",
        value_delimiter = ','
    )]
    addr: Vec<String>,
    /// The cluster's id
    #[arg(long, value_name = "ID", global = true, env = "PONTOON_CLUSTER_ID")]
    cluster_id: Option<String>,
    /// The CA of the cluster's nodes, PEM
    #[arg(long, value_name = "FILE", global = true, env = "PONTOON_ADMIN_CA")]
    ca: Option<PathBuf>,
    /// The operator's certificate, PEM
    #[arg(long, value_name = "FILE", global = true, env = "PONTOON_ADMIN_CERT")]
    cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", global = true, env = "PONTOON_ADMIN_KEY")]
    key: Option<PathBuf>,
    /// How long one answer may take, ms
    #[arg(long, value_name = "MS", global = true, default_value_t = 10_000)]
    timeout_ms: u64,
}

impl Place {
    /// The folder that was given.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Reads the certificates; connects to nothing yet.
    pub fn open(self) -> anyhow::Result<Cluster> {
        let timeout = Duration::from_millis(self.timeout_ms.max(1));
        if self.dir.is_some() || self.addr.is_empty() {
            let dir = self.dir.map_or_else(dev::default_dir, Ok)?;
            let spec = dev::read_spec(&dir)?.ok_or_else(|| {
                anyhow!(
                    "{} holds no cluster; give --dir DIR of one, or --addr, --cluster-id, --ca, --cert and --key",
                    dir.display()
                )
            })?;
            let credentials = Credentials::open(&spec.cluster_id, dev::credentials(&dir))?;
            let addrs = spec.nodes.iter().map(|n| spec.peer_addr(n)).collect();
            return Ok(Cluster {
                credentials,
                addrs,
                timeout,
            });
        }
        for addr in &self.addr {
            if !config::is_host_port(addr) {
                bail!("--addr {addr}: give host:port of a node's peer listener");
            }
        }
        let missing = |flag: &str| anyhow!("--addr needs --{flag} too; see `pontoon admin --help`");
        let cluster_id = self.cluster_id.ok_or_else(|| missing("cluster-id"))?;
        let files = Files {
            ca: self.ca.ok_or_else(|| missing("ca"))?,
            pair: Pair {
                cert: self.cert.ok_or_else(|| missing("cert"))?,
                key: self.key.ok_or_else(|| missing("key"))?,
            },
        };
        let credentials = Credentials::open(&cluster_id, files)?;
        Ok(Cluster {
            credentials,
            addrs: self.addr,
            timeout,
        })
    }
}

/// A cluster that can be asked.
pub struct Cluster {
    credentials: Arc<Credentials>,
    addrs: Vec<String>,
    /// How long one answer may take.
    pub timeout: Duration,
}

/// A node and what it said of itself.
pub struct Node {
    /// Its connection.
    pub client: Client,
    /// What it said.
    pub status: StatusReply,
    /// Where it was reached.
    pub addr: String,
}

/// All that could be learnt: nodes that answered, by id, and those that did not, with why.
#[derive(Default)]
pub struct Answers {
    /// By id.
    pub nodes: BTreeMap<u64, Node>,
    /// Address and reason.
    pub silent: Vec<(String, String)>,
}

impl Cluster {
    async fn ask(&self, addr: &str) -> Result<Node, String> {
        let mut client = operator::connect(&self.credentials, addr, None, self.timeout)
            .await
            .map_err(|e| e.reason)?;
        let status = self
            .call(client.status(Empty {}))
            .await
            .map_err(|e| format!("{e:#}"))?;
        Ok(Node {
            client,
            status,
            addr: addr.to_string(),
        })
    }

    /// Waits for one answer, bounded in time, with what a node refused in its own words.
    pub async fn call<T>(
        &self,
        request: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> anyhow::Result<T> {
        self.call_within(self.timeout, request).await
    }

    /// As `call`, with a bound of its own for what takes long by nature.
    pub async fn call_within<T>(
        &self,
        timeout: Duration,
        request: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> anyhow::Result<T> {
        match tokio::time::timeout(timeout, request).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => {
                let text = if status.message().is_empty() {
                    "no reason given"
                } else {
                    status.message()
                };
                Err(anyhow!("{text} ({})", status.code()))
            }
            Err(_) => Err(anyhow!(
                "no answer within {} ms: whether it was done is unknown; look with `pontoon admin status`",
                timeout.as_millis()
            )),
        }
    }

    /// Asks the nodes that are known, then the members that they name.
    pub async fn ask_all(&self) -> Answers {
        let mut answers = Answers::default();
        let mut asked: Vec<String> = Vec::new();
        let mut next: Vec<String> = self.addrs.clone();
        while !next.is_empty() {
            let replies = join_all(next.iter().map(|addr| self.ask(addr))).await;
            for (addr, reply) in next.iter().zip(replies) {
                match reply {
                    Ok(node) => drop(answers.nodes.entry(node.status.id).or_insert(node)),
                    Err(reason) => answers.silent.push((addr.clone(), reason)),
                }
            }
            asked.append(&mut next);
            let known: Vec<&String> = answers.nodes.values().map(|n| &n.addr).collect();
            for member in answers.nodes.values().flat_map(|n| &n.status.members) {
                // A node may be known under another name of its host; its id tells.
                let addr = &member.peer_addr;
                let new = !asked.contains(addr) && !next.contains(addr) && !known.contains(&addr);
                if new && !addr.is_empty() && !answers.nodes.contains_key(&member.id) {
                    next.push(addr.clone());
                }
            }
        }
        answers
    }

    /// The leader, which is the only one that changes anything.
    pub async fn leader(&self) -> anyhow::Result<Node> {
        let mut answers = self.ask_all().await;
        // Of several that believe it, the one of the highest term is right.
        let leader = answers
            .nodes
            .iter()
            .filter(|(id, n)| n.status.leader == **id)
            .max_by_key(|(_, n)| n.status.term)
            .map(|(id, _)| *id);
        match leader.and_then(|id| answers.nodes.remove(&id)) {
            Some(node) => Ok(node),
            None => Err(anyhow!("{}", answers.summary()))
                .context("no leader is known, and only a leader can do this"),
        }
    }

    /// An operator's session at a node.
    pub async fn talk(&self, node: &Node) -> anyhow::Result<Talk> {
        let id = node.status.id;
        Ok(Talk::open(&self.credentials, &node.addr, id, self.timeout).await?)
    }

    /// Node `id`.
    pub async fn node(&self, id: u64) -> anyhow::Result<Node> {
        let mut answers = self.ask_all().await;
        answers
            .nodes
            .remove(&id)
            .ok_or_else(|| anyhow!("node {id} does not answer: {}", answers.summary()))
    }
}

impl Answers {
    /// One line with what each said.
    pub fn summary(&self) -> String {
        let said = self.nodes.iter().map(|(id, n)| {
            let leader = match n.status.leader {
                0 => "no leader".to_string(),
                leader => format!("leader {leader}"),
            };
            format!(
                "node {id} is {} and knows {leader} in term {}",
                n.status.role, n.status.term
            )
        });
        let silent = self
            .silent
            .iter()
            .map(|(addr, why)| format!("{addr} does not answer ({why})"));
        let all: Vec<String> = said.chain(silent).collect();
        if all.is_empty() {
            "nobody was asked".to_string()
        } else {
            all.join("; ")
        }
    }
}
