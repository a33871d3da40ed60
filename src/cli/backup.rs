//! `pontoon backup`: a cluster's data and log into an archive, and a new cluster from it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use clap::Subcommand;
use serde_json::json;

use super::admin::table;
use super::dev::{self, Plan};
use super::{Answer, Output, print};
use crate::backup::key::MasterKey;
use crate::backup::manifest::{Kind, Manifest};
use crate::backup::{self, Restored, Target, Vault, stamp};
use crate::base::secret;
use crate::gateway::operator::{self, Client};
use crate::proto::Empty;
use crate::raft::types::Member;
use crate::tls::peer::Credentials;

/// Backs a cluster up into an encrypted archive, and makes a new cluster from it as it was at a time or log index.
///
/// An archive is a chain of bases (checkpoints) and of the log between them. It lies in a folder, or with s3://, az:// or gs://
/// in an object store, whose provider's environment variables are used.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon backup key --out master.key
  pontoon backup take --dir ./cluster --store ./archive --master-key master.key
  pontoon backup archive --dir ./cluster --store ./archive --master-key master.key
  pontoon backup list --store ./archive --master-key master.key --service dev-0123abcd
  pontoon backup restore --store ./archive --master-key master.key --service dev-0123abcd \\
      --to ./restored --port 6400 --time 2026-11-25T14:03:07Z")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Makes a master key. Whoever has it reads the backups; without it nobody does
    #[command(after_help = "Example:\n  pontoon backup key --out master.key")]
    Key {
        /// The file, which must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Takes a base: a checkpoint of a standby, or of the only node
    #[command(
        after_help = "Example:\n  pontoon backup take --dir ./cluster --store ./archive --master-key master.key"
    )]
    Take(Cluster),
    /// Archives the log since what the archive has
    #[command(
        after_help = "Example:\n  pontoon backup archive --dir ./cluster --store ./archive --master-key master.key"
    )]
    Archive(Cluster),
    /// Shows what an archive holds, and checks its chain
    #[command(
        after_help = "Example:\n  pontoon backup list --store ./archive --master-key master.key --service dev-0123abcd"
    )]
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        of: Of,
    },
    /// Proves a base: brings it back, loads it, and holds its digest against the one that was recorded
    #[command(
        after_help = "Example:\n  pontoon backup prove --store ./archive --master-key master.key --service dev-0123abcd --scratch /var/tmp"
    )]
    Prove {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        of: Of,
        /// The manifest's number [default: the newest base]
        #[arg(long, value_name = "N")]
        number: Option<u64>,
        /// Where it is brought to for as long as it takes
        #[arg(long, value_name = "DIR", default_value = ".")]
        scratch: PathBuf,
    },
    /// Removes what is not needed any more to restore any time from one on
    #[command(
        after_help = "Example:\n  pontoon backup prune --store ./archive --master-key master.key --service dev-0123abcd --before 2026-11-12T00:00:00Z"
    )]
    Prune {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        of: Of,
        /// The earliest time that can be restored afterwards
        #[arg(long, value_name = "TIME")]
        before: String,
    },
    /// Brings the newest copy of a console's own database back: put it into the console's folder as console.db, and start the console
    #[command(
        after_help = "Example:\n  pontoon backup console --store ./console/archive --master-key master.key --to ./console/console.db"
    )]
    Console {
        #[command(flatten)]
        place: Place,
        /// The file, which must not exist
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// How many days before the newest, up to 6
        #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..7))]
        days: u64,
    },
    /// Makes a new cluster of one node from an archive, which `pontoon dev --dir` then starts
    #[command(
        after_help = "Example:\n  pontoon backup restore --store ./archive --master-key master.key --service dev-0123abcd --to ./restored --port 6400 --index 12345"
    )]
    Restore {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        of: Of,
        /// The new cluster's folder
        #[arg(long, value_name = "DIR", requires = "port")]
        to: Option<PathBuf>,
        /// The folder of a cluster that is stopped: what it holds is replaced; its URI, password and CA stay, its nodes go
        #[arg(long, value_name = "DIR", conflicts_with_all = ["to", "port", "plan", "memory", "bind", "engines"], required_unless_present = "to")]
        in_place: Option<PathBuf>,
        /// The port of its stable address
        #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
        /// Its plan, of one node
        #[arg(long, value_enum, default_value_t = Plan::Hobbyist)]
        plan: Plan,
        /// The memory of its node's plan, MiB
        #[arg(long, value_name = "MB")]
        memory: Option<u64>,
        /// The address that clients reach its gateway at [default: 127.0.0.1]
        #[arg(long, value_name = "ADDR")]
        bind: Option<IpAddr>,
        /// The file of Docker engines on which its nodes run as containers [default: none, they are processes of this machine]
        #[arg(long, value_name = "FILE")]
        engines: Option<PathBuf>,
        /// Up to that log index
        #[arg(long, value_name = "N", conflicts_with = "time")]
        index: Option<u64>,
        /// Up to that time, for example 2026-11-25T14:03:07Z: what the primary stamped on its writes counts
        #[arg(long, value_name = "TIME")]
        time: Option<String>,
        /// Keys have as much time left as they had then; otherwise they expire when they did
        #[arg(long)]
        shift_expiry: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The archives: a folder, or s3://bucket/path, az://container/path, gs://bucket/path
    #[arg(long, value_name = "URL", env = "PONTOON_BACKUP_STORE")]
    store: String,
    /// The file of the master key
    #[arg(long, value_name = "FILE", env = "PONTOON_MASTER_KEY")]
    master_key: PathBuf,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Of {
    /// Whose archive: the cluster's id [default: the only one there is]
    #[arg(long, value_name = "ID")]
    service: Option<String>,
    /// The newest manifest that is known to have been written: an older archive is refused
    #[arg(long, value_name = "N", default_value_t = 0)]
    seen: u64,
}

#[derive(Debug, clap::Args)]
struct Cluster {
    #[command(flatten)]
    place: Place,
    /// The cluster's folder
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// How long a node may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// Carries it out.
pub fn run(args: Args) -> anyhow::Result<Answer> {
    super::runtime(2)?.block_on(act(args.action))?;
    Ok(Answer::Yes)
}

async fn act(action: Action) -> anyhow::Result<()> {
    match action {
        Action::Key { out } => {
            ensure!(
                !out.exists(),
                "{} exists: a master key is never written over",
                out.display()
            );
            let key: [u8; 32] = rand::random();
            secret::write(&out, &hex::encode(key)).with_context(|| out.display().to_string())?;
            eprintln!(
                "made {}: keep a copy where the backups are not",
                out.display()
            );
        }
        Action::Take(cluster) => {
            let (vault, client) = cluster.open().await?;
            eprintln!("backup: a checkpoint is being taken");
            let made = backup::base(&vault, client).await?;
            cluster.place.tell(&vault, std::slice::from_ref(&made));
        }
        Action::Archive(cluster) => {
            let (vault, client) = cluster.open().await?;
            let made = backup::archive(&vault, client).await?;
            cluster.place.tell(&vault, made.as_slice());
        }
        Action::List { place, of } => {
            let vault = place.vault(of.service, false).await?;
            let chain = vault.chain(of.seen).await?;
            place.tell(&vault, &chain);
        }
        Action::Prove {
            place,
            of,
            number,
            scratch,
        } => {
            let vault = place.vault(of.service, false).await?;
            eprintln!("backup: the base is being brought back and loaded");
            let (base, keys) = backup::prove(&vault, of.seen, number, &scratch).await?;
            let (number, index) = (base.number, base.part.last.index);
            print(
                place.output,
                || {
                    format!(
                        "base {number} at log index {index} is proven: {keys} keys, its digest is the one that was recorded"
                    )
                },
                || json!({"number": number, "index": index, "keys": keys, "digest": base.part.digest}),
            );
        }
        Action::Console { place, to, days } => {
            ensure!(!to.exists(), "{} exists: give a new file", to.display());
            let vault = place.vault(Some(backup::CONSOLE.into()), false).await?;
            let kept = vault.kept_names("db-").await?;
            let Some((name, at_ms)) = kept.get(usize::try_from(days)?) else {
                bail!("{} copies are kept: give fewer --days", kept.len());
            };
            let plain = vault.kept(name).await?;
            secret::write_new(&to, &plain).with_context(|| to.display().to_string())?;
            let at = stamp(*at_ms);
            print(
                place.output,
                || {
                    format!(
                        "{} is the console's database as it was at {at}",
                        to.display()
                    )
                },
                || json!({"file": to, "time": at}),
            );
        }
        Action::Prune { place, of, before } => {
            let before = backup::millis(&before).map_err(|e| anyhow!(e))?;
            let vault = place.vault(of.service, false).await?;
            let gone = vault.prune(of.seen, before).await?;
            print(
                place.output,
                || format!("{gone} parts were removed"),
                || json!({"removed": gone}),
            );
        }
        Action::Restore {
            place,
            of,
            to,
            in_place,
            port,
            plan,
            memory,
            bind,
            engines,
            index,
            time,
            shift_expiry,
        } => {
            ensure!(
                plan.nodes() == 1,
                "a cluster is restored with one node: --plan hobbyist or startup, not {}",
                plan.name()
            );
            let target = match (index, time) {
                (Some(index), _) => Target::Index(index),
                (_, Some(time)) => Target::Time(backup::millis(&time).map_err(|e| anyhow!(e))?),
                _ => Target::Newest,
            };
            let target = (target, shift_expiry);
            let vault = place.vault(of.service, false).await?;
            vault.chain(of.seen).await?;
            let (done, to) = match (to, in_place, port) {
                (Some(to), None, Some(port)) => {
                    let wanted = dev::Wanted {
                        plan: Some(plan),
                        port: Some(port),
                        memory_mib: memory,
                        bind,
                        engines,
                        ..dev::Wanted::default()
                    };
                    (into_folder(&vault, target, &to, &wanted).await?, to)
                }
                (None, Some(dir), None) => (in_the_place(&vault, target, &dir).await?, dir),
                _ => bail!("give --to DIR and --port PORT, or --in-place DIR"),
            };
            let at = stamp(done.time_ms);
            print(
                place.output,
                || {
                    let shifted = done.shifted_ms.map_or(String::new(), |ms| {
                        format!("; keys expire {} s later than they did", ms / 1000)
                    });
                    format!(
                        "restored to log index {} of {at}, from the base at {}{shifted}; start it with: pontoon dev --dir {}",
                        done.index,
                        done.base,
                        to.display()
                    )
                },
                || json!({"index": done.index, "term": done.term, "time_ms": done.time_ms, "base": done.base, "shifted_ms": done.shifted_ms, "dir": to}),
            );
        }
    }
    Ok(())
}

async fn into_folder(
    vault: &Vault,
    target: (Target, bool),
    to: &Path,
    wanted: &dev::Wanted,
) -> anyhow::Result<Restored> {
    ensure!(
        !to.exists() || std::fs::read_dir(to)?.next().is_none(),
        "{} is not empty: give a new folder",
        to.display()
    );
    let mut folder = dev::Folder::open(to, wanted)?;
    let node = folder
        .spec
        .nodes
        .first()
        .context("the folder has no node")?;
    let client = folder.spec.client_addr(node);
    let own = Member {
        peer_addr: folder.spec.peer_addr(node),
        announced: client.clone(),
        client_addr: client,
        data: true,
    };
    let id = node.id;
    let data = folder.node_dir(id).join("data");
    let cluster = folder.spec.cluster_id.clone();
    eprintln!("backup: the archive is being read");
    let done = backup::restore(vault, target, &data, (id, own), &cluster).await;
    match done {
        Ok(done) => {
            folder.set_formed(&[id])?;
            Ok(done)
        }
        Err(error) => {
            // It was empty before, and half a node is none.
            drop(folder);
            std::fs::remove_dir_all(to).with_context(|| to.display().to_string())?;
            Err(error.into())
        }
    }
}

/// What a stopped cluster holds is replaced; until the last step it is what it was.
async fn in_the_place(
    vault: &Vault,
    target: (Target, bool),
    dir: &Path,
) -> anyhow::Result<Restored> {
    let mut folder = dev::hold(dir)?;
    let node = folder.beside()?;
    let own = Member {
        peer_addr: folder.spec.peer_addr(&node),
        announced: folder.spec.client_addr(&node),
        client_addr: folder.spec.client_addr(&node),
        data: true,
    };
    let data = folder.node_dir(node.id).join("data");
    // What an attempt that was killed left there.
    match std::fs::remove_dir_all(&data) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(e).with_context(|| data.display().to_string());
        }
        _ => {}
    }
    let cluster = dev::new_cluster_id();
    eprintln!("backup: the archive is being read");
    let done = backup::restore(vault, target, &data, (node.id, own), &cluster).await;
    match done {
        Ok(done) => {
            folder.become_restored(node, &cluster)?;
            Ok(done)
        }
        Err(error) => {
            let dir = folder.node_dir(node.id);
            std::fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
            Err(error.into())
        }
    }
}

impl Place {
    fn master(&self) -> anyhow::Result<MasterKey> {
        let path = self.master_key.display().to_string();
        let text = std::fs::read_to_string(&self.master_key).with_context(|| path.clone())?;
        MasterKey::parse(&text).context(path)
    }

    async fn vault(&self, service: Option<String>, make: bool) -> anyhow::Result<Vault> {
        let service = match service {
            Some(service) => service,
            None => {
                let all = Vault::services(&self.store).await?;
                let [one] = all.as_slice() else {
                    bail!(
                        "{} has archives of {} services: say which by --service ({})",
                        self.store,
                        all.len(),
                        all.join(", ")
                    );
                };
                one.clone()
            }
        };
        Ok(Vault::open(&self.store, &self.master()?, &service, make).await?)
    }

    fn tell(&self, vault: &Vault, parts: &[Manifest]) {
        let text = || {
            if parts.is_empty() {
                return format!("nothing new of {}", vault.service());
            }
            let mut rows = vec![
                ["manifest", "part", "first", "last", "time", "bytes"]
                    .map(String::from)
                    .to_vec(),
            ];
            for m in parts {
                let kind = match m.part.kind {
                    Kind::Base => "base",
                    Kind::Log => "log",
                };
                let (first, last) = (m.part.first.index, m.part.last.index);
                rows.push(vec![
                    m.number.to_string(),
                    kind.into(),
                    first.to_string(),
                    last.to_string(),
                    stamp(m.part.last_time_ms),
                    m.part.len.to_string(),
                ]);
            }
            format!("service {}\n{}", vault.service(), table(&rows))
        };
        let json = || json!({"service": vault.service(), "manifests": parts});
        print(self.output, text, json);
    }
}

impl Cluster {
    /// The archive, and a node to fill it from: a standby where one answers.
    async fn open(&self) -> anyhow::Result<(Vault, Client)> {
        let spec = dev::read_spec(&self.dir)?
            .with_context(|| format!("{} holds no cluster", self.dir.display()))?;
        let credentials = Credentials::open(&spec.cluster_id, dev::credentials(&self.dir))?;
        let mut found: Option<Client> = None;
        let mut reasons = Vec::new();
        for node in &spec.nodes {
            let addr = spec.peer_addr(node);
            let asked = async {
                let mut client =
                    operator::connect(&credentials, &addr, Some(node.id), CONNECT).await?;
                let status = client
                    .status(Empty {})
                    .await
                    .map_err(|s| anyhow!("{}", s.message()))?;
                Ok::<_, anyhow::Error>((client, status.into_inner()))
            };
            match asked.await {
                Ok((client, status)) if status.role == "standby" => {
                    found = Some(client);
                    break;
                }
                Ok((client, status)) if status.role == "primary" => found = Some(client),
                Ok((_, status)) => reasons.push(format!("node {} is {}", node.id, status.role)),
                Err(error) => reasons.push(format!("node {}: {error}", node.id)),
            }
        }
        let client =
            found.with_context(|| format!("no node with data answers: {}", reasons.join("; ")))?;
        let vault = self.place.vault(Some(spec.cluster_id), true).await?;
        Ok((vault, client))
    }
}
