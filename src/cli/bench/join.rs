//! A node joins three that hold a million keys, by snapshot, while writes go on at half of what they can take.
//!
//! The latency of writes while it joins is held against that of the same load before. At the end the node votes and all
//! four hold the same data.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use serde_json::{Value as Json, json};

use super::half::{self, Half, PATIENCE};
use super::process::Process;
use super::until;
use crate::base::program::ours;
use crate::cli::admin::LAG_MAX;
use crate::cli::dev::{self, Plan};
use crate::cli::{Answer, print};
use crate::proto::{AddRequest, Empty, PromoteRequest};

/// Measures how much writes are slowed down while a fourth node joins three by snapshot
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon bench join
  pontoon bench join --keys 100000 --before 5 --output json")]
pub struct Args {
    #[command(flatten)]
    half: half::Args,
}

/// How many times as long as before a write may take at the 99th percentile.
const SLOWER_MAX: f64 = 3.0;
/// The id of the node that joins.
const NEW: u64 = 4;

/// Carries it out.
pub async fn run(args: &Args) -> anyhow::Result<Answer> {
    let half = Half::measure(Plan::Premium, &args.half).await?;
    let (leader, keys) = (half.leader, args.half.data.keys);
    let (pontoon, dir) = (&half.pontoon, &half.dir);

    // The log begins behind what the new node needs. By a connection that is there: to begin a process again and again
    // would take cores from what is measured.
    let operator = pontoon.operator(leader).await?;
    let refused = |status: tonic::Status| anyhow!("node {leader}: {}", status.message());
    operator.clone().snapshot(Empty {}).await.map_err(refused)?;
    let purged = until("a purge of the log", PATIENCE, || async {
        let log = operator.clone().log_status(Empty {}).await;
        let purged = log.map_err(refused)?.into_inner().purged;
        Ok((purged > 0).then_some(purged))
    })
    .await?;
    let joins = async {
        let node = Node::begin(dir, &pontoon.service()?.cluster_id).await?;
        let added = operator.clone().add_learner(node.as_member()).await;
        added.map_err(refused)?;
        // Refused until it has caught up.
        until("the promotion", PATIENCE, || async {
            let request = PromoteRequest {
                id: NEW,
                lag_max: LAG_MAX,
            };
            Ok(operator.clone().promote(request).await.ok())
        })
        .await?;
        Ok(node)
    };
    let (during, node) = half.during("while it joined", joins).await?;
    ensure!(
        std::fs::read_to_string(&node.log)?.contains("installing a snapshot"),
        "the node did not join by snapshot"
    );
    let digest = admin(dir, "digest").await?;
    let same = digest["same"] == json!(true);
    let nodes = digest["nodes"].as_array().map_or(0, Vec::len);
    let leads = pontoon.leader()?.0;
    print(
        args.half.output,
        || {
            format!(
                "A fourth node joins three of {} keys by snapshot, the log purged up to {purged}, under half of their peak\n\n{}\njoined and promoted in {:.1} s, p99 {:.2} times as before; {nodes} digests, the same: {same}; the primary was {leader} and is {leads}",
                keys,
                half.table("while it joins", &during),
                during.seconds,
                during.slower
            )
        },
        || {
            let mut all = half.json(&during);
            all["keys"] = keys.into();
            all["purged"] = purged.into();
            all["digests"] = nodes.into();
            all["same"] = same.into();
            all["primary_before"] = leader.into();
            all["primary_after"] = leads.into();
            all
        },
    );
    let good = same && nodes == 4 && during.slower <= SLOWER_MAX;
    Ok(if good { Answer::Yes } else { Answer::No })
}

/// The node that joins.
struct Node {
    peer: String,
    client: String,
    log: PathBuf,
    _process: Process,
}

impl Node {
    async fn begin(dir: &Path, cluster: &str) -> anyhow::Result<Node> {
        let id = NEW.to_string();
        let certs = [
            "certs".to_string(),
            format!("--cluster-id={cluster}"),
            format!("--node={id}"),
            format!("--dir={}", dir.display()),
        ];
        let made = ours(&certs, PATIENCE).await;
        made.context("no certificate")?;
        let ports = dev::free_ports(2)?;
        let [peer, client] = [ports[0], ports[1]].map(|port| format!("127.0.0.1:{port}"));
        let at = |name: String| dir.join(name).display().to_string();
        let log = dir.join(format!("node-{id}.log"));
        let args = [
            "node".into(),
            format!("--config={}", at("node-1/node.toml".into())),
            format!("--node-id={id}"),
            format!("--data-dir={}", at(format!("joined-{id}"))),
            format!("--client-addr={client}"),
            format!("--announced={client}"),
            format!("--peer-addr={peer}"),
            format!("--peer-cert={}", at(format!("node-{id}.pem"))),
            format!("--peer-key={}", at(format!("node-{id}.key"))),
            "--bootstrap=false".into(),
            "--members=[]".into(),
            format!("--log-file={}", log.display()),
        ];
        let program = std::env::current_exe()?;
        let printed = dir.join(format!("node-{id}.printed"));
        let process = Process::begin("the node that joins", &program, &args, &printed)?;
        Ok(Node {
            peer,
            client,
            log,
            _process: process,
        })
    }

    fn as_member(&self) -> AddRequest {
        AddRequest {
            id: NEW,
            peer_addr: self.peer.clone(),
            client_addr: self.client.clone(),
            announced: self.client.clone(),
            witness: false,
        }
    }
}

/// What `pontoon admin` answers.
async fn admin(dir: &Path, verb: &str) -> anyhow::Result<Json> {
    let args = [
        "admin".to_string(),
        verb.to_string(),
        "--output=json".to_string(),
        format!("--dir={}", dir.display()),
    ];
    let said = ours(&args, PATIENCE).await;
    let said = said.with_context(|| format!("admin {verb}"))?;
    Ok(serde_json::from_slice(&said)?)
}
