//! `pontoon certs`, and the files that it and `pontoon dev` make: a CA, certificates, a password.
//!
//! What exists is kept: a folder can be completed, for example for one more node. Nothing is overwritten.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::json;

use super::{Answer, Output, print};
use crate::base::secret;
use crate::tls::ca::{Authority, CA_CERT, Issued};

/// Makes what a cluster's nodes, operators and clients need to trust each other, in one folder:
/// ca.pem and ca.key, server.pem/.key (shown to clients), node-<id>.pem/.key, admin.pem/.key, password.
///
/// What the folder already has is kept, so that it can be completed later.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon certs --dir ./certs --cluster-id c-1 --node 1 --node 2 --node 3 --name cache.example.com
  pontoon certs --dir ./certs --cluster-id c-1 --node 4        one more node, same CA")]
pub struct Args {
    /// The folder
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The cluster's id
    #[arg(long)]
    cluster_id: String,
    /// The id of a node that needs a certificate
    #[arg(long = "node", value_name = "ID")]
    nodes: Vec<u64>,
    /// A host name or IP address that clients use, besides localhost, 127.0.0.1 and ::1
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// How to print what was made
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Carries it out.
pub fn run(args: &Args) -> anyhow::Result<Answer> {
    let made = complete(&args.dir, &args.cluster_id, &args.nodes, &args.names)?;
    print(
        args.output,
        || {
            if made.is_empty() {
                "nothing was missing".to_string()
            } else {
                format!("made {}", made.join(", "))
            }
        },
        || json!({ "dir": args.dir, "made": made }),
    );
    Ok(Answer::Yes)
}

/// Makes what is missing in `dir` for `nodes` of `cluster`; answers the names of what was made.
///
/// # Errors
/// When a file cannot be written or the CA cannot be used.
pub fn complete(
    dir: &Path,
    cluster: &str,
    nodes: &[u64],
    names: &[String],
) -> anyhow::Result<Vec<String>> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let mut made = Vec::new();
    let authority = if dir.join(CA_CERT).exists() {
        Authority::open(dir)?
    } else {
        made.push("ca".to_string());
        Authority::create(dir, &format!("Pontoon {cluster}"))?
    };
    let mut issue = |name: String,
                     issued: &dyn Fn() -> Result<Issued, crate::tls::Error>|
     -> anyhow::Result<()> {
        if !dir.join(format!("{name}.pem")).exists() {
            issued()?.write(dir, &name)?;
            made.push(name);
        }
        Ok(())
    };
    issue("server".into(), &|| authority.issue_server(names))?;
    issue("admin".into(), &|| authority.issue_admin(cluster))?;
    for id in nodes {
        issue(format!("node-{id}"), &|| authority.issue_node(cluster, *id))?;
    }
    if !dir.join(PASSWORD).exists() {
        let path = dir.join(PASSWORD);
        secret::write(&path, &secret::make()).with_context(|| path.display().to_string())?;
        made.push(PASSWORD.to_string());
    }
    Ok(made)
}

/// The file of the password.
pub const PASSWORD: &str = "password";

/// Reads the password that `complete` made.
///
/// # Errors
/// When it cannot be read or is empty.
pub fn password(dir: &Path) -> anyhow::Result<String> {
    let path = dir.join(PASSWORD);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let password = text.lines().next().unwrap_or("").to_string();
    ensure!(
        !password.is_empty(),
        "{} is empty; write the password on its first line",
        path.display()
    );
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exists_is_kept_and_what_is_missing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let first = complete(dir.path(), "c-1", &[1], &[]).unwrap();
        assert_eq!(first, ["ca", "server", "admin", "node-1", "password"]);
        let (ca, pass) = (
            std::fs::read(dir.path().join(CA_CERT)).unwrap(),
            password(dir.path()).unwrap(),
        );
        assert_eq!(pass.len(), 32);
        assert_eq!(
            complete(dir.path(), "c-1", &[1, 2], &[]).unwrap(),
            ["node-2"]
        );
        assert_eq!(std::fs::read(dir.path().join(CA_CERT)).unwrap(), ca);
        assert_eq!(password(dir.path()).unwrap(), pass);
    }
}
