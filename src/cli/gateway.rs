//! `pontoon gateway`: a cluster's stable address.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::{Answer, LogFormat, told_to_stop};
use crate::base::limits;
use crate::gateway::{Address, Gateway, Options, Watch};
use crate::tls::files::Pair;
use crate::tls::peer::{Credentials, Files};
use crate::tls::proxy::Key;
use crate::{config, telemetry};

/// Serves a cluster's stable address: takes connections and forwards them, encrypted as they are, to the primary.
///
/// It follows the primary by what the nodes themselves say over mutual TLS, and needs an operator's certificate for
/// that. It never sees what clients send.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  pontoon gateway --listen 0.0.0.0:6379 --cluster-id c-1 --ca ca.pem --cert admin.pem --key admin.key \\
      --node 1=db1:6379,db1:7379 --node 2=db2:6379,db2:7379 --node 3=db3:6379,db3:7379")]
pub struct Args {
    /// Where clients connect
    #[arg(long, value_name = "ADDR:PORT", env = "PONTOON_GATEWAY_LISTEN")]
    listen: SocketAddr,
    /// A node: its id, and the host:port of its listeners for clients and for peers
    #[arg(long = "node", value_name = "ID=CLIENT,PEER", required = true, value_parser = parse_node,
          env = "PONTOON_GATEWAY_NODES", value_delimiter = ' ')]
    nodes: Vec<(u64, Address)>,
    /// The cluster's id
    #[arg(long, env = "PONTOON_CLUSTER_ID")]
    cluster_id: String,
    /// The CA of the cluster's nodes, PEM
    #[arg(long, value_name = "FILE", env = "PONTOON_ADMIN_CA")]
    ca: PathBuf,
    /// An operator's certificate, PEM
    #[arg(long, value_name = "FILE", env = "PONTOON_ADMIN_CERT")]
    cert: PathBuf,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", env = "PONTOON_ADMIN_KEY")]
    key: PathBuf,
    /// How long a connection waits while there is no primary, ms
    #[arg(long, value_name = "MS", default_value_t = 5000)]
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
    /// A file of 64 hexadecimal digits that the nodes have too (proxy_key_file): they are told who the clients are
    #[arg(long, value_name = "FILE", env = "PONTOON_GATEWAY_PROXY_KEY")]
    proxy_key: Option<PathBuf>,
    /// Writes the log into this file instead of standard error; it is kept to a bounded size
    #[arg(long, value_name = "FILE", env = "PONTOON_LOG_FILE")]
    log_file: Option<PathBuf>,
}

fn parse_node(text: &str) -> Result<(u64, Address), String> {
    let wrong = || format!("{text:?} is not ID=CLIENT,PEER; give for example 1=db1:6379,db1:7379");
    let (id, addresses) = text.split_once('=').ok_or_else(wrong)?;
    let (client, peer) = addresses.split_once(',').ok_or_else(wrong)?;
    let id = id.parse().ok().filter(|id| *id > 0).ok_or_else(wrong)?;
    if !config::is_host_port(client) || !config::is_host_port(peer) {
        return Err(wrong());
    }
    Ok((
        id,
        Address {
            client: client.to_string(),
            peer: peer.to_string(),
        },
    ))
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
    let pair = Pair {
        cert: args.cert,
        key: args.key,
    };
    let credentials = Credentials::open(&args.cluster_id, Files { ca: args.ca, pair })?;
    let nodes: BTreeMap<u64, Address> = args.nodes.into_iter().collect();
    let options = Options {
        listen: args.listen,
        wait: Duration::from_millis(args.wait_ms),
        connections_max: capacity(),
        threads: args.threads,
        shared: args.shared,
        proxy_key: args.proxy_key.as_deref().map(Key::read).transpose()?,
    };
    let (listen, connections_max) = (options.listen, options.connections_max);
    // The bytes move on the gateway's own threads; this one accepts and watches.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let watch = Watch::start(credentials, nodes, false);
        let gateway = Gateway::start(options, watch.view())
            .with_context(|| format!("the gateway cannot listen on {listen}"))?;
        tracing::info!(addr = %gateway.addr(), connections_max, "the gateway listens");
        told_to_stop().await
    })?;
    Ok(Answer::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_an_id_and_two_addresses() {
        let (id, address) = parse_node("3=db3:6379,[::1]:7379").unwrap();
        assert_eq!(
            (id, address.client.as_str(), address.peer.as_str()),
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
