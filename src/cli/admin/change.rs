//! What changes the membership, or who leads.
//!
//! Each change is asked for once, of the leader. A change whose answer did not come may have been made: that is said,
//! and nothing is asked again.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::json;

use super::target::{Cluster, Node};
use crate::cli::{Answer, Output, print};
use crate::config;
use crate::proto::{AddRequest, ChangeReply, Empty, NodeRequest, PromoteRequest, ReplaceRequest};

/// A node that is to join. It runs already, with an empty disk.
#[derive(Debug, Clone, clap::Args)]
pub struct NewNode {
    /// Its id, which no member had before
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    id: u64,
    /// The host:port of its peer listener
    #[arg(long, value_name = "HOST:PORT")]
    peer_addr: String,
    /// The host:port of its listener for clients, as gateways reach it
    #[arg(long, value_name = "HOST:PORT")]
    client_addr: String,
    /// The host:port that clients are told [default: as --client-addr]
    #[arg(long, value_name = "HOST:PORT")]
    announced: Option<String>,
    /// What it is for: a witness keeps the log and no data
    #[arg(long, value_enum, default_value_t)]
    role: Role,
}

/// What a node is for, as in its configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Keeps the data
    #[default]
    Data,
    /// Keeps the log alone
    Witness,
}

impl NewNode {
    fn request(self) -> anyhow::Result<AddRequest> {
        let announced = self.announced.unwrap_or_else(|| self.client_addr.clone());
        for (flag, addr) in [
            ("peer-addr", &self.peer_addr),
            ("client-addr", &self.client_addr),
            ("announced", &announced),
        ] {
            ensure!(
                config::is_host_port(addr),
                "--{flag} {addr}: give host:port"
            );
        }
        Ok(AddRequest {
            id: self.id,
            peer_addr: self.peer_addr,
            client_addr: self.client_addr,
            announced,
            witness: self.role == Role::Witness,
        })
    }
}

/// A member.
#[derive(Debug, clap::Args)]
pub struct One {
    /// Its id
    #[arg(long, value_name = "ID")]
    pub id: u64,
}

/// A learner that is to vote.
#[derive(Debug, clap::Args)]
pub struct Promote {
    /// Its id
    #[arg(long, value_name = "ID")]
    id: u64,
    /// By how many entries it may be behind
    #[arg(long, value_name = "ENTRIES", default_value_t = LAG_MAX)]
    lag_max: u64,
}

/// By how many entries a learner may be behind when it is promoted. What is left is sent within moments.
pub const LAG_MAX: u64 = 1000;

/// Who is to lead.
#[derive(Debug, clap::Args)]
pub struct Transfer {
    /// The voter's id [default: the one that is furthest]
    #[arg(long, value_name = "ID")]
    to: Option<u64>,
}

/// One node for another.
#[derive(Debug, clap::Args)]
pub struct Replace {
    /// The id of the member that goes
    #[arg(long, value_name = "ID")]
    old: u64,
    #[command(flatten)]
    new: NewNode,
    /// How long the new node may take to catch up, s
    #[arg(long, value_name = "S", default_value_t = 600)]
    timeout_s: u64,
}

/// Changes of membership wait for a majority's disks, and a transfer for an election.
const CHANGE: Duration = Duration::from_secs(60);

fn done(output: Output, what: &str, reply: &ChangeReply) -> Answer {
    let text = if reply.text.is_empty() {
        what
    } else {
        &reply.text
    };
    print(
        output,
        || match reply.log_index {
            0 => text.to_string(),
            index => format!("{text} (log index {index})"),
        },
        || json!({ "done": what, "log_index": reply.log_index, "text": reply.text }),
    );
    Answer::Yes
}

/// `add`.
pub async fn add(cluster: &Cluster, node: NewNode, output: Output) -> anyhow::Result<Answer> {
    let request = node.request()?;
    let what = format!("node {} is a learner", request.id);
    let reply = ask_add(cluster, &mut cluster.leader().await?, request).await?;
    Ok(done(output, &what, &reply))
}

async fn ask_add(
    cluster: &Cluster,
    leader: &mut Node,
    request: AddRequest,
) -> anyhow::Result<ChangeReply> {
    let id = request.id;
    let timeout = CHANGE.max(cluster.timeout);
    cluster
        .call_within(timeout, leader.client.add_learner(request))
        .await
        .with_context(|| format!("node {id} was not added"))
}

/// `promote`.
pub async fn promote(cluster: &Cluster, args: &Promote, output: Output) -> anyhow::Result<Answer> {
    let reply = ask_promote(cluster, &mut cluster.leader().await?, args.id, args.lag_max).await?;
    Ok(done(
        output,
        &format!("node {} is a voter", args.id),
        &reply,
    ))
}

async fn ask_promote(
    cluster: &Cluster,
    leader: &mut Node,
    id: u64,
    lag_max: u64,
) -> anyhow::Result<ChangeReply> {
    let timeout = CHANGE.max(cluster.timeout);
    cluster
        .call_within(
            timeout,
            leader.client.promote(PromoteRequest { id, lag_max }),
        )
        .await
        .with_context(|| format!("node {id} was not promoted"))
}

/// `remove`.
pub async fn remove(cluster: &Cluster, id: u64, output: Output) -> anyhow::Result<Answer> {
    let reply = ask_remove(cluster, &mut cluster.leader().await?, id).await?;
    Ok(done(output, &format!("node {id} is no member"), &reply))
}

async fn ask_remove(cluster: &Cluster, leader: &mut Node, id: u64) -> anyhow::Result<ChangeReply> {
    let timeout = CHANGE.max(cluster.timeout);
    cluster
        .call_within(timeout, leader.client.remove(NodeRequest { id }))
        .await
        .with_context(|| format!("node {id} was not removed"))
}

/// `transfer`.
pub async fn transfer(
    cluster: &Cluster,
    args: &Transfer,
    output: Output,
) -> anyhow::Result<Answer> {
    let mut leader = cluster.leader().await?;
    let own = leader.status.id;
    let to = match args.to {
        Some(id) => id,
        None => {
            let others = leader
                .status
                .members
                .iter()
                .filter(|m| m.voter && m.id != own && m.role != "witness");
            match others.max_by_key(|m| m.matched) {
                Some(member) => member.id,
                None => bail!("node {own} leads and there is no other voter to hand over to"),
            }
        }
    };
    ensure!(to != own, "node {own} leads already");
    let timeout = CHANGE.max(cluster.timeout);
    let reply = cluster
        .call_within(timeout, leader.client.transfer(NodeRequest { id: to }))
        .await
        .with_context(|| format!("leadership was not handed over to node {to}"))?;
    Ok(done(output, &format!("node {to} leads"), &reply))
}

/// `replace`: the leader adds the new node, waits for it, and exchanges the two in one change, so that the group is
/// never weaker than it was. Meanwhile it is shown how far the new one is.
pub async fn replace(cluster: &Cluster, args: Replace, output: Output) -> anyhow::Result<Answer> {
    let node = args.new.request()?;
    let new = node.id;
    ensure!(
        new != args.old,
        "the new node needs an id of its own: ids are never used again"
    );
    let mut leader = cluster.leader().await?;
    let limit = Duration::from_secs(args.timeout_s);
    let request = ReplaceRequest {
        old_id: args.old,
        node: Some(node),
        timeout_ms: u64::try_from(limit.as_millis())?,
    };
    let mut looked = leader.client.clone();
    let asked = cluster.call_within(limit + CHANGE, leader.client.replace(request));
    tokio::pin!(asked);
    let mut said = None;
    let reply = loop {
        tokio::select! {
            reply = &mut asked => break reply,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        let Ok(status) = cluster.call(looked.status(Empty {})).await else {
            continue;
        };
        let behind = status
            .members
            .iter()
            .find(|m| m.id == new)
            .map(|m| status.last_log.saturating_sub(m.matched));
        if let Some(entries) = behind.filter(|b| said != Some(*b)) {
            eprintln!("node {new} is {entries} entries behind");
            said = behind;
        }
    }
    .with_context(|| format!("node {} was not replaced", args.old))?;
    Ok(done(
        output,
        &format!("node {new} is in the place of node {}", args.old),
        &reply,
    ))
}
