//! `pontoon admin recover`: the loss of a majority is accepted, and one survivor becomes a new cluster.
//!
//! It asks no node. It works on the survivor's stopped disk, first without changing anything: what it prints names
//! the node and its last log id, and only who repeats both goes on.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use rand::Rng;
use serde_json::json;

use crate::cli::{Answer, Output, dev, print};
use crate::config;
use crate::raft::recovery::Survivor;

/// A majority is lost for good.
#[derive(Debug, clap::Args)]
pub struct Recover {
    /// The configuration of the node that survives, which must be stopped
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    config: Option<PathBuf>,
    /// With --dir: the id of the node that survives; the cluster must be stopped
    #[arg(long, value_name = "ID")]
    id: Option<u64>,
    /// The id of the new cluster [default: made up]
    #[arg(long, value_name = "ID")]
    new_cluster_id: Option<String>,
    /// The node and its last log id, as this command prints them when it is left out
    #[arg(long, value_name = "NODE@TERM-INDEX")]
    confirm: Option<String>,
}

/// Carries it out. `dir` is the folder of a cluster of `pontoon dev`.
pub fn run(args: &Recover, dir: Option<&Path>, output: Output) -> anyhow::Result<Answer> {
    let held = match (dir, args.id) {
        (Some(dir), Some(id)) => Some((dev::hold(dir)?, id)),
        (Some(_), None) => bail!("--dir needs --id: which node survives"),
        _ => None,
    };
    if let Some((folder, id)) = &held {
        folder.has_data_here(*id)?;
    }
    let path = match (&held, &args.config) {
        (Some((folder, id)), _) => folder.config_path(*id),
        (None, Some(path)) => path.clone(),
        (None, None) => bail!("give --config FILE of the node that survives, or --dir and --id"),
    };
    let node = config::Node::load(Some(&path), &[], &[])
        .with_context(|| format!("the configuration {}", path.display()))?;
    let survivor = Survivor::open(&node.data_dir, node.node_id, node.log_segment_bytes as u32)?;
    let needed = survivor.confirmation();
    match &args.confirm {
        None => {
            show(&survivor, &node.cluster_id, output);
            return Ok(Answer::No);
        }
        Some(given) => ensure!(
            *given == needed,
            "--confirm {given} is not what this disk holds, which is {needed}: nothing was changed"
        ),
    }
    let new = args.new_cluster_id.clone().unwrap_or_else(|| {
        let stem: String = node.cluster_id.chars().take(24).collect();
        format!(
            "{}-r{:08x}",
            stem.trim_end_matches('-'),
            rand::rng().random::<u32>()
        )
    });
    ensure!(
        new != node.cluster_id,
        "the new cluster needs an id of its own: the old one's nodes must not reach it"
    );
    config::check_cluster_id(&new).map_err(|e| anyhow!("--new-cluster-id {new}: {e}"))?;
    say_loudly(&survivor, &new);
    let last = survivor.recover(&node.data_dir, &new)?;
    drop(survivor);
    if let Some((folder, id)) = held {
        folder.become_one(id, &new)?;
    }
    let by_folder = dir.is_some();
    print(
        output,
        || {
            let next = if by_folder {
                "start it with `pontoon dev` on the same folder".to_string()
            } else {
                format!(
                    "issue certificates for cluster {new}, set cluster_id = \"{new}\" and bootstrap = false in {}, start it",
                    path.display()
                )
            };
            format!(
                "node {} is now the only member of the new cluster {new} (log id {}-{})\n{next}, then add nodes under new ids",
                node.node_id, last.term, last.index
            )
        },
        || {
            json!({
                "recovered": true, "node": node.node_id, "old_cluster_id": node.cluster_id, "cluster_id": new,
                "last_log": { "term": last.term, "index": last.index },
            })
        },
    );
    Ok(Answer::Yes)
}

fn say_loudly(survivor: &Survivor, new: &str) {
    eprintln!(
        "FORCED RECOVERY: node {} leaves its cluster of {} voters and becomes cluster {new}. Writes that only the others had are lost.",
        survivor.id,
        survivor.voters.len()
    );
}

fn show(survivor: &Survivor, cluster: &str, output: Output) {
    let confirm = survivor.confirmation();
    let voters: Vec<u64> = survivor.voters.iter().copied().collect();
    print(
        output,
        || {
            format!(
                "NOTHING WAS CHANGED. Forced recovery gives up the other voters of cluster {cluster} for good:\n\
                 every write that was acknowledged by them and is not on this node's disk is lost, and nobody can say which.\n\
                 Do it only when a majority of the disks of {voters:?} is destroyed, and on the survivor whose last log id is highest.\n\
                 node {}: last log id {}-{}, known to be committed up to {}, in the store up to {}\n\
                 To go on: --confirm {confirm}",
                survivor.id,
                survivor.last.term,
                survivor.last.index,
                survivor.committed,
                survivor.durable
            )
        },
        || {
            json!({
                "recovered": false, "node": survivor.id, "cluster_id": cluster, "voters": voters,
                "last_log": { "term": survivor.last.term, "index": survivor.last.index },
                "committed": survivor.committed, "durable": survivor.durable, "confirm": confirm,
            })
        },
    );
}
