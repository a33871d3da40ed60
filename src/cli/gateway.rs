//! `pontoon gateway`: a cluster's stable address.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use serde::{Deserialize, Serialize};

use super::{Answer, LogFormat, told_to_stop};
use crate::base::limits;
use crate::gateway::{Address, Gateway, Options, Watch};
use crate::tls::files::Pair;
use crate::tls::peer::{Credentials, Files};
use crate::{config, telemetry};

/// Serves a cluster's stable address: takes connections and forwards them, encrypted as they are, to the primary.
///
/// It follows the primary by what the nodes themselves say over mutual TLS, and needs an operator's certificate for
/// that. It never sees what clients send.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon gateway --config gateway.toml
  pontoon gateway --listen 0.0.0.0:6379 --cluster-id c-1 --ca ca.pem --cert admin.pem --key admin.key \\
      --node 1=db1:6379,db1:7379 --node 2=db2:6379,db2:7379 --node 3=db3:6379,db3:7379

The file is TOML:
  listen = \"0.0.0.0:6379\"
  cluster_id = \"c-1\"
  ca = \"ca.pem\"
  cert = \"admin.pem\"
  key = \"admin.key\"
  nodes = [{ id = 1, client_addr = \"db1:6379\", peer_addr = \"db1:7379\" }]")]
pub struct Args {
    /// The gateway's file, TOML, instead of the flags below
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "nodes", "cluster_id", "ca", "cert", "key", "wait_ms"])]
    config: Option<PathBuf>,
    /// Where clients connect
    #[arg(long, value_name = "ADDR:PORT", required_unless_present = "config")]
    listen: Option<SocketAddr>,
    /// A node: its id, and the host:port of its listeners for clients and for peers
    #[arg(long = "node", value_name = "ID=CLIENT,PEER", required_unless_present = "config", value_parser = parse_node)]
    nodes: Vec<NodeAddress>,
    /// The cluster's id
    #[arg(long, required_unless_present = "config")]
    cluster_id: Option<String>,
    /// The CA of the cluster's nodes, PEM
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    ca: Option<PathBuf>,
    /// An operator's certificate, PEM
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    key: Option<PathBuf>,
    /// How long a connection waits while there is no primary, ms
    #[arg(long, value_name = "MS", default_value_t = WAIT_MS)]
    wait_ms: u64,
    /// Threads that move bytes; 0: as many as there are cores
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Lets several gateway processes share the address
    #[arg(long)]
    shared: bool,
    /// How log lines are written
    #[arg(long, value_enum, default_value_t, env = "PONTOON_LOG_FORMAT")]
    log_format: LogFormat,
    /// Writes the log into this file instead of standard error; it is kept to a bounded size
    #[arg(long, value_name = "FILE", env = "PONTOON_LOG_FILE")]
    log_file: Option<PathBuf>,
}

/// How long a connection waits for a primary where nothing else is said, ms.
pub const WAIT_MS: u64 = 5000;

/// A gateway's file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The cluster's id.
    pub cluster_id: String,
    /// The CA of the cluster's nodes, PEM.
    pub ca: PathBuf,
    /// An operator's certificate, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// How long a connection waits while there is no primary, ms.
    #[serde(default = "wait_ms")]
    pub wait_ms: u64,
    /// The nodes to begin with. Once one of them serves, the members that it names are followed.
    pub nodes: Vec<NodeAddress>,
}

fn wait_ms() -> u64 {
    WAIT_MS
}

/// Where one node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeAddress {
    /// Its id.
    pub id: u64,
    /// `host:port` of its listener for clients.
    pub client_addr: String,
    /// `host:port` of its listener for peers.
    pub peer_addr: String,
}

impl File {
    /// From the file that is named, or from the flags.
    fn of(args: &Args) -> anyhow::Result<File> {
        let file = match &args.config {
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
                toml::from_str(&text).with_context(|| path.display().to_string())?
            }
            None => {
                let missing = "give --config, or all of --listen, --node, --cluster-id, --ca, --cert and --key";
                File {
                    listen: args.listen.context(missing)?,
                    cluster_id: args.cluster_id.clone().context(missing)?,
                    ca: args.ca.clone().context(missing)?,
                    cert: args.cert.clone().context(missing)?,
                    key: args.key.clone().context(missing)?,
                    wait_ms: args.wait_ms,
                    nodes: args.nodes.clone(),
                }
            }
        };
        ensure!(
            !file.nodes.is_empty(),
            "nodes is empty; name at least one node"
        );
        for n in &file.nodes {
            for addr in [&n.client_addr, &n.peer_addr] {
                ensure!(
                    n.id > 0 && config::is_host_port(addr),
                    "node {}: {addr:?} is not host:port",
                    n.id
                );
            }
        }
        Ok(file)
    }
}

fn parse_node(text: &str) -> Result<NodeAddress, String> {
    let wrong = || format!("{text:?} is not ID=CLIENT,PEER; give for example 1=db1:6379,db1:7379");
    let (id, addresses) = text.split_once('=').ok_or_else(wrong)?;
    let (client, peer) = addresses.split_once(',').ok_or_else(wrong)?;
    let id = id.parse().ok().filter(|id| *id > 0).ok_or_else(wrong)?;
    if !config::is_host_port(client) || !config::is_host_port(peer) {
        return Err(wrong());
    }
    Ok(NodeAddress {
        id,
        client_addr: client.to_string(),
        peer_addr: peer.to_string(),
    })
}

/// The connections that one gateway process can hold with the files it may open: two each.
pub fn capacity() -> usize {
    let files = config::open_files_limit().saturating_sub(limits::GATEWAY_FILES_RESERVED);
    usize::try_from(files / 2)
        .unwrap_or(usize::MAX)
        .min(limits::GATEWAY_CONNECTIONS_MAX)
}

/// Carries it out.
pub fn run(args: Args) -> anyhow::Result<Answer> {
    telemetry::start(args.log_format.into(), "info", args.log_file.as_deref())
        .map_err(|e| anyhow!(e))?;
    let file = File::of(&args)?;
    let pair = Pair {
        cert: file.cert,
        key: file.key,
    };
    let credentials = Credentials::open(&file.cluster_id, Files { ca: file.ca, pair })?;
    let address = |n: NodeAddress| {
        (
            n.id,
            Address {
                client: n.client_addr,
                peer: n.peer_addr,
            },
        )
    };
    let nodes: BTreeMap<u64, Address> = file.nodes.into_iter().map(address).collect();
    let options = Options {
        listen: file.listen,
        wait: Duration::from_millis(file.wait_ms),
        connections_max: capacity(),
        threads: args.threads,
        shared: args.shared,
    };
    // The bytes move on the gateway's own threads; this one accepts and watches.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let watch = Watch::start(credentials, nodes, false);
        let gateway = Gateway::start(options, watch.view())
            .with_context(|| format!("the gateway cannot listen on {}", options.listen))?;
        tracing::info!(addr = %gateway.addr(), connections_max = options.connections_max, "the gateway listens");
        told_to_stop().await
    })?;
    Ok(Answer::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_an_id_and_two_addresses() {
        let n = parse_node("3=db3:6379,[::1]:7379").unwrap();
        assert_eq!(
            (n.id, n.client_addr.as_str(), n.peer_addr.as_str()),
            (3, "db3:6379", "[::1]:7379")
        );
        for wrong in [
            "",
            "1",
            "1=a:1",
            "0=a:1,b:2",
            "x=a:1,b:2",
            "1=a,b:2",
            "1=a:1,b:0",
        ] {
            assert!(parse_node(wrong).is_err(), "{wrong:?}");
        }
    }
}
