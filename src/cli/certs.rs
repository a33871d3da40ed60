//! `pontoon certs`, and the files that it and `pontoon dev` make: a CA, certificates, a password.
//!
//! What exists is kept: a folder can be completed, for example for one more node. A certificate is issued anew, by the same CA,
//! where it ends soon or where that is asked for; who uses it reads it again. The CA and the password are never overwritten.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use serde_json::json;

use super::{Answer, Output, print};
use crate::base::secret;
use crate::tls::ca::{Authority, CA_CERT, Issued, LEAF_VALID};
use crate::tls::files;

/// Which certificates that there are are issued anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renew {
    /// Those of whose time a third is left.
    Ending,
    /// All of them.
    All,
}

/// A certificate is renewed when a third of its time is left: somebody has months to mend what keeps it from being renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(LEAF_VALID.as_secs() / 3);

/// Makes what a cluster's nodes, operators and clients need to trust each other, in one folder:
/// ca.pem and ca.key, server.pem/.key (shown to clients), node-<id>.pem/.key, admin.pem/.key, password.
///
/// What the folder already has is kept, so that it can be completed later.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon certs --dir ./certs --cluster-id c-1 --node 1 --node 2 --node 3 --name cache.example.com
  pontoon certs --dir ./certs --cluster-id c-1 --node 4        one more node, same CA
  pontoon certs --dir ./certs --cluster-id c-1 --renew         new certificates for all, same CA")]
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
    /// Issues all certificates anew, those of nodes that have one included. Nodes, gateways and supervisors take them within
    /// seconds and disconnect nobody
    #[arg(long)]
    renew: bool,
    /// How to print what was made
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Carries it out.
pub fn run(args: &Args) -> anyhow::Result<Answer> {
    let mut nodes = args.nodes.clone();
    let mut renew = Renew::Ending;
    if args.renew {
        ensure!(
            args.dir.join(CA_CERT).exists(),
            "{} has no CA: there is nothing to renew",
            args.dir.display()
        );
        renew = Renew::All;
        nodes.extend(known_nodes(&args.dir)?);
        nodes.sort_unstable();
        nodes.dedup();
    }
    let made = complete(&args.dir, &args.cluster_id, &nodes, &args.names, renew)?;
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

/// The nodes that have a certificate in `dir`.
fn known_nodes(dir: &Path) -> anyhow::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let name = entry?.file_name();
        let id: Option<u64> = name
            .to_str()
            .and_then(|n| n.strip_prefix("node-")?.strip_suffix(".pem")?.parse().ok());
        found.extend(id);
    }
    Ok(found)
}

/// Makes what is missing in `dir` for `nodes` of `cluster`, and what is to be renewed; answers the names of what was made.
///
/// # Errors
/// When a file cannot be written or the CA cannot be used.
pub fn complete(
    dir: &Path,
    cluster: &str,
    nodes: &[u64],
    names: &[String],
    renew: Renew,
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
        let file = dir.join(format!("{name}.pem"));
        if !file.exists() || renew == Renew::All || ends_within(&file, RENEW_BEFORE) {
            issued()?.write(dir, &name)?;
            made.push(name);
        }
        Ok(())
    };
    // Names that clients use already stay.
    let mut names = names.to_vec();
    names.extend(files::names(&dir.join("server.pem")).unwrap_or_default());
    issue("server".into(), &|| authority.issue_server(&names))?;
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

fn ends_within(file: &Path, time: Duration) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let then = now.unwrap_or_default() + time;
    files::ends(file).is_some_and(|end| end < then.as_secs() as i64)
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
        let first = complete(dir.path(), "c-1", &[1], &[], Renew::Ending).unwrap();
        assert_eq!(first, ["ca", "server", "admin", "node-1", "password"]);
        let (ca, pass) = (
            std::fs::read(dir.path().join(CA_CERT)).unwrap(),
            password(dir.path()).unwrap(),
        );
        assert_eq!(pass.len(), 32);
        assert_eq!(
            complete(dir.path(), "c-1", &[1, 2], &[], Renew::Ending).unwrap(),
            ["node-2"]
        );
        assert_eq!(std::fs::read(dir.path().join(CA_CERT)).unwrap(), ca);
        assert_eq!(password(dir.path()).unwrap(), pass);
    }

    #[test]
    fn what_is_renewed_keeps_its_names_and_its_ca() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["cache.example.com".to_string(), "192.0.2.7".to_string()];
        complete(dir.path(), "c-1", &[1], &names, Renew::Ending).unwrap();
        let file = |name: &str| dir.path().join(name);
        let before =
            ["ca.pem", "server.pem", "node-1.pem"].map(|f| std::fs::read(file(f)).unwrap());
        let made = complete(
            dir.path(),
            "c-1",
            &known_nodes(dir.path()).unwrap(),
            &[],
            Renew::All,
        );
        assert_eq!(made.unwrap(), ["server", "admin", "node-1"]);
        let after = ["ca.pem", "server.pem", "node-1.pem"].map(|f| std::fs::read(file(f)).unwrap());
        assert_eq!(before[0], after[0]);
        assert!(before[1] != after[1] && before[2] != after[2]);
        let kept = files::names(&file("server.pem")).unwrap();
        assert!(names.iter().all(|n| kept.contains(n)), "{kept:?}");
        // A new one has all of its time to go.
        assert!(!ends_within(&file("server.pem"), RENEW_BEFORE));
        assert!(!ends_within(
            &file("server.pem"),
            LEAF_VALID - Duration::from_secs(60)
        ));
        assert!(ends_within(
            &file("server.pem"),
            LEAF_VALID + Duration::from_secs(60)
        ));
    }
}
