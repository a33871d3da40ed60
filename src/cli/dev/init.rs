//! `pontoon dev init`: the files of a cluster whose nodes run elsewhere, as containers for example.
//!
//! It is run before the nodes, each time; what exists is never changed, so that the cluster stays the same one. The
//! last file written is `uri`: where it is, everything is.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rand::Rng;
use serde_json::json;

use super::Plan;
use super::folder::replace;
use crate::cli::gateway::{self, NodeAddress};
use crate::cli::{Answer, Output, certs, print};
use crate::config;

/// Makes the configurations, certificates and password of a cluster whose nodes run on other hosts or in containers.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  pontoon dev init --dir /etc/pontoon --plan premium --hosts node1,node2,node3 \\
      --data-dir /var/lib/pontoon --gateway-host cache.example.com
Then, on the hosts: pontoon node --config DIR/node-1/node.toml, and so on, and
pontoon gateway --config DIR/gateway/gateway.toml. DIR/uri is what clients are given, with DIR/ca/ca.pem.")]
pub struct Init {
    /// The folder for the files
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// How many nodes: hobbyist and startup have one, premium three
    #[arg(long, value_enum, default_value = "premium")]
    plan: Plan,
    /// The hosts of the nodes, in the order of their ids
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', required = true)]
    hosts: Vec<String>,
    /// Where each node keeps its data, on its host
    #[arg(long, value_name = "DIR", default_value = "/var/lib/pontoon")]
    data_dir: PathBuf,
    /// The host that clients connect to
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    gateway_host: String,
    /// The port that clients connect to
    #[arg(long, value_name = "PORT", default_value_t = 6379)]
    gateway_port: u16,
    /// The port of the nodes' and the gateway's listeners for clients
    #[arg(long, value_name = "PORT", default_value_t = 6379)]
    client_port: u16,
    /// The port of the nodes' listeners for peers
    #[arg(long, value_name = "PORT", default_value_t = 7379)]
    peer_port: u16,
    /// The memory of a node's plan, MiB
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    memory: u64,
    /// How to print what was made
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

const URI: &str = "uri";
const CLUSTER_ID: &str = "cluster-id";

/// Carries it out.
pub fn run(args: &Init) -> anyhow::Result<Answer> {
    let wanted = usize::try_from(args.plan.nodes())?;
    ensure!(
        args.hosts.len() == wanted,
        "--hosts names {} and plan {} has {wanted}: give that many",
        args.hosts.len(),
        args.plan.name()
    );
    let new = !args.dir.join(URI).exists();
    if new {
        make(args)?;
    }
    print(
        args.output,
        || {
            let what = if new {
                "was made"
            } else {
                "exists and stays as it is"
            };
            format!("{} {what}", args.dir.display())
        },
        || json!({ "dir": args.dir, "made": new }),
    );
    Ok(Answer::Yes)
}

fn make(args: &Init) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.dir).with_context(|| args.dir.display().to_string())?;
    let dir = args.dir.canonicalize()?;
    // A start that was broken off goes on with the id that its certificates have.
    let id_path = dir.join(CLUSTER_ID);
    let cluster = match std::fs::read_to_string(&id_path) {
        Ok(id) => id.trim().to_string(),
        Err(_) => {
            let id = format!("c-{:08x}", rand::rng().random::<u32>());
            replace(&id_path, id.as_bytes(), true)?;
            id
        }
    };
    let ids: Vec<u64> = (1..=args.plan.nodes()).collect();
    let mut names = args.hosts.clone();
    names.push(args.gateway_host.clone());
    let ca = dir.join("ca");
    certs::complete(&ca, &cluster, &ids, &names)?;
    let addresses: Vec<NodeAddress> = ids
        .iter()
        .zip(&args.hosts)
        .map(|(id, host)| NodeAddress {
            id: *id,
            client_addr: format!("{host}:{}", args.client_port),
            peer_addr: format!("{host}:{}", args.peer_port),
        })
        .collect();
    for id in &ids {
        node(args, &dir, &ca, &cluster, *id, &addresses)?;
    }
    gateway_file(args, &dir, &ca, &cluster, &addresses)?;
    let password = certs::password(&ca)?;
    let uri = format!(
        "rediss://default:{password}@{}:{}\n",
        args.gateway_host, args.gateway_port
    );
    replace(&dir.join(URI), uri.as_bytes(), true)
}

fn node(
    args: &Init,
    dir: &Path,
    ca: &Path,
    cluster: &str,
    id: u64,
    addresses: &[NodeAddress],
) -> anyhow::Result<()> {
    let members: Vec<config::Member> = addresses
        .iter()
        .map(|a| config::Member {
            id: a.id,
            peer_addr: a.peer_addr.clone(),
            client_addr: a.client_addr.clone(),
            announced: String::new(),
            data: true,
        })
        .collect();
    let own = addresses
        .iter()
        .find(|a| a.id == id)
        .context("a node without an address")?;
    let path = |name: &str| toml::Value::String(ca.join(name).display().to_string());
    let mut t = toml::Table::new();
    t.insert("node_id".into(), i64::try_from(id)?.into());
    t.insert("cluster_id".into(), cluster.into());
    t.insert(
        "data_dir".into(),
        args.data_dir.display().to_string().into(),
    );
    t.insert(
        "client_addr".into(),
        format!("0.0.0.0:{}", args.client_port).into(),
    );
    t.insert("announced".into(), own.client_addr.clone().into());
    t.insert("tls_cert".into(), path("server.pem"));
    t.insert("tls_key".into(), path("server.key"));
    t.insert("tls_ca".into(), path("ca.pem"));
    t.insert(
        "peer_addr".into(),
        format!("0.0.0.0:{}", args.peer_port).into(),
    );
    t.insert("peer_cert".into(), path(&format!("node-{id}.pem")));
    t.insert("peer_key".into(), path(&format!("node-{id}.key")));
    t.insert("peer_ca".into(), path("ca.pem"));
    t.insert("password_file".into(), path(certs::PASSWORD));
    t.insert("memory_mib".into(), i64::try_from(args.memory)?.into());
    t.insert("bootstrap".into(), (id == 1).into());
    t.insert("members".into(), toml::Value::try_from(members)?);
    let file = dir.join(format!("node-{id}")).join("node.toml");
    write(&file, &toml::to_string(&t)?)?;
    config::Node::load(Some(&file), &[], &[])?;
    Ok(())
}

fn gateway_file(
    args: &Init,
    dir: &Path,
    ca: &Path,
    cluster: &str,
    addresses: &[NodeAddress],
) -> anyhow::Result<()> {
    let file = gateway::File {
        listen: format!("0.0.0.0:{}", args.client_port).parse()?,
        cluster_id: cluster.to_string(),
        ca: ca.join("ca.pem"),
        cert: ca.join("admin.pem"),
        key: ca.join("admin.key"),
        wait_ms: gateway::WAIT_MS,
        nodes: addresses.to_vec(),
    };
    write(&dir.join("gateway/gateway.toml"), &toml::to_string(&file)?)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    replace(path, text.as_bytes(), true)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        init: Init,
    }

    #[test]
    fn made_once_it_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let line = [
            "x",
            "--dir",
            path,
            "--plan",
            "premium",
            "--hosts",
            "n1,n2,n3",
            "--gateway-port",
            "6400",
        ];
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        run(&Line::parse_from(line).init).unwrap();
        let files = [
            "uri",
            "ca/ca.pem",
            "node-3/node.toml",
            "gateway/gateway.toml",
        ];
        let first = files.map(read);
        assert!(
            first[0].starts_with("rediss://default:") && first[0].ends_with("@localhost:6400\n")
        );
        run(&Line::parse_from(line).init).unwrap();
        assert_eq!(files.map(read), first);

        let node =
            config::Node::load(Some(&dir.path().join("node-2/node.toml")), &[], &[]).unwrap();
        assert_eq!(
            (node.node_id, node.bootstrap, node.members.len()),
            (2, false, 3)
        );
        assert_eq!(node.members[2].peer_addr, "n3:7379");
        let gateway: gateway::File = toml::from_str(&first[3]).unwrap();
        assert_eq!(gateway.nodes.len(), 3);
        assert!(gateway.cert.exists() && gateway.key.exists());
    }
}
