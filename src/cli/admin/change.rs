//! What changes the membership, or who leads.
//!
//! Each change is asked for once, of the leader. A change whose answer did not come may have been made: that is said,
//! and nothing is asked again.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;

use super::target::{Cluster, Node};
use crate::cli::{Answer, Output, print};
use crate::config;
use crate::proto::{AddRequest, ChangeReply, NodeRequest, PromoteRequest};

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
const LAG_MAX: u64 = 1000;

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
    /// By how many entries it may be behind when it is promoted
    #[arg(long, value_name = "ENTRIES", default_value_t = LAG_MAX)]
    lag_max: u64,
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

/// `replace`: the old node goes only after the new one votes, so that the group is never weaker than it was.
pub async fn replace(cluster: &Cluster, args: Replace, output: Output) -> anyhow::Result<Answer> {
    let request = args.new.request()?;
    let new = request.id;
    ensure!(
        new != args.old,
        "the new node needs an id of its own: ids are never used again"
    );
    let mut leader = cluster.leader().await?;
    ensure!(
        leader.status.members.iter().any(|m| m.id == args.old),
        "node {} is no member; `pontoon admin members` lists them",
        args.old
    );
    ensure!(
        leader.status.id != args.old,
        "node {} leads: hand over first (`pontoon admin transfer`), then replace it",
        args.old
    );
    ask_add(cluster, &mut leader, request).await?;
    eprintln!("node {new} was added and catches up");

    let deadline = Instant::now() + Duration::from_secs(args.timeout_s);
    let mut said = u64::MAX;
    loop {
        leader = cluster
            .leader()
            .await
            .with_context(|| left_as(new, "a learner"))?;
        let matched = leader
            .status
            .members
            .iter()
            .find(|m| m.id == new)
            .map_or(0, |m| m.matched);
        let behind = leader.status.last_log.saturating_sub(matched);
        if matched > 0 && behind <= args.lag_max {
            break;
        }
        if said != behind {
            eprintln!("node {new} is {behind} entries behind");
            said = behind;
        }
        ensure!(
            Instant::now() < deadline,
            "node {new} is still {behind} entries behind after {} s; {}",
            args.timeout_s,
            left_as(new, "a learner")
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    ask_promote(cluster, &mut leader, new, args.lag_max)
        .await
        .with_context(|| left_as(new, "a learner"))?;
    eprintln!("node {new} votes");
    let reply = ask_remove(cluster, &mut leader, args.old)
        .await
        .with_context(|| left_as(new, "a voter"))?;
    Ok(done(
        output,
        &format!("node {new} is in the place of node {}", args.old),
        &reply,
    ))
}

fn left_as(id: u64, what: &str) -> String {
    format!("stopped half-way: node {id} is {what} now, and the old node is still a member")
}
