//! `service.json`: how to connect to the cluster, and how its nodes are now.
//!
//! It is replaced whole whenever anything in it changes. It holds the password: only its owner can read it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::container::away_since;
use super::folder::{Folder, lock_holder};
use super::process::Identity;
use super::spec::{read_spec, replace};
use crate::cli::{Answer, Output, certs, print};
use crate::gateway::View;

/// The file's name.
pub const FILE: &str = "service.json";

/// The content of `service.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// What a client is given.
    pub uri: String,
    /// Its parts.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    /// The file of the CA's certificate.
    pub ca: PathBuf,
    pub plan: String,
    /// The memory of a node's plan, MiB.
    #[serde(default)]
    pub memory_mib: u64,
    /// The program that nodes are begun with. Left out where it is the supervisor's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program: String,
    pub nodes: Vec<Node>,
    /// Whether the cluster is being run.
    pub running: bool,
    pub cluster_id: String,
    /// The gateway's processes.
    pub gateways: Vec<Gateway>,
    /// The engines that its nodes can be containers of and that answered lately. Left out where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engines: Vec<Engine>,
    /// Its console. Left out where none comes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<Console>,
}

/// A Docker engine that nodes can be containers of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    pub name: String,
    pub zone: String,
}

/// The console that comes with a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// Its address.
    pub url: String,
    /// The file of an API token.
    pub token_file: PathBuf,
    /// The file of the operator's first password.
    pub password_file: PathBuf,
    /// The file of the CA that it is verified with.
    pub ca: PathBuf,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub id: u64,
    /// `null` where it does not run.
    pub pid: Option<u32>,
    /// primary, standby, learner, witness or unknown.
    pub role: String,
    pub client_addr: String,
    pub peer_addr: String,
    pub dir: PathBuf,
    /// Where its metrics are, at /metrics by plain HTTP; empty where it has none.
    #[serde(default)]
    pub metrics: String,
    /// The memory of the plan that it runs with, MiB.
    #[serde(default)]
    pub memory_mib: u64,
    /// The program that it runs. Left out where it is its supervisor's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program: String,
    /// It keeps the log alone. Left out where that is not so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub witness: bool,
    /// Its disk is gone: it is not begun again. Left out where that is not so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
    /// Its disk was found damaged: likewise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub damaged: bool,
    /// The Docker engine that it is a container of. Left out where it is a process of this machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub engine: String,
    /// And what fails with that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// Since when that engine does not answer, Unix milliseconds. Left out where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away_since_ms: Option<u64>,
}

/// One process of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// `null` where it does not run.
    pub pid: Option<u32>,
}

/// A node's own folder in that of its cluster.
pub fn node_dir(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("node-{id}"))
}

/// What a node's process is called.
pub fn node_name(id: u64) -> String {
    format!("node {id}")
}

/// What a gateway's process is called.
pub fn gateway_name(number: usize) -> String {
    format!("gateway {number}")
}

impl Service {
    /// The content for `folder` as of now: `pids` by process name, roles from `view`.
    pub fn of(
        folder: &Folder,
        password: &str,
        pids: &BTreeMap<String, Identity>,
        view: &View,
        gateways: usize,
        running: bool,
    ) -> Service {
        let (spec, now) = (&folder.spec, Instant::now());
        let pid = |name: String| pids.get(&name).map(|i| i.pid);
        let role = |id: u64, runs: bool| match view.nodes.get(&id).map(|o| o.role(now)) {
            // One that says primary and is not the one that serves has not heard of its successor yet.
            Some("primary") if view.primary.map(|(p, _)| p) != Some(id) => "unknown",
            Some(role) if runs && matches!(role, "primary" | "standby" | "learner" | "witness") => {
                role
            }
            _ => "unknown",
        };
        let (host, port) = (spec.host(), spec.port);
        Service {
            uri: format!("rediss://default:{password}@{host}:{port}"),
            host,
            port,
            user: "default".into(),
            password: password.into(),
            ca: match &spec.given {
                Some(given) => given.ca.clone(),
                None => folder.dir.join("ca.pem"),
            },
            plan: spec.plan.name().into(),
            memory_mib: spec.memory_mib,
            program: spec.program.clone(),
            nodes: spec
                .nodes
                .iter()
                .map(|n| {
                    let pid = pid(node_name(n.id));
                    Node {
                        id: n.id,
                        pid,
                        role: role(n.id, pid.is_some()).into(),
                        client_addr: spec.client_addr(n),
                        peer_addr: spec.peer_addr(n),
                        dir: folder.node_dir(n.id),
                        metrics: spec.metrics_addr(n),
                        memory_mib: spec.memory_of(n),
                        program: spec.program_of(n).into(),
                        witness: spec.is_witness(n),
                        lost: folder.is_gone(n),
                        damaged: folder.damage(n).exists(),
                        engine: n.home.as_ref().map_or(String::new(), |h| h.engine.clone()),
                        zone: n.home.as_ref().map_or(String::new(), |h| h.zone.clone()),
                        away_since_ms: n
                            .home
                            .as_ref()
                            .and_then(|_| away_since(&folder.node_dir(n.id))),
                    }
                })
                .collect(),
            running,
            cluster_id: spec.cluster_id.clone(),
            gateways: (1..=gateways)
                .map(|n| Gateway {
                    pid: pid(gateway_name(n)),
                })
                .collect(),
            engines: Vec::new(),
            console: (spec.console_port != 0).then(|| {
                let dir = folder.console_dir();
                Console {
                    url: format!("https://localhost:{}", spec.console_port),
                    token_file: dir.join("token"),
                    password_file: dir.join("operator-password"),
                    ca: dir.join("ca.pem"),
                }
            }),
        }
    }

    /// Replaces the file in `dir`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        replace(&dir.join(FILE), &text, false)
    }

    /// Reads the file in `dir`.
    ///
    /// # Errors
    /// When there is none or it is damaged.
    pub fn read(dir: &Path) -> anyhow::Result<Service> {
        let path = dir.join(FILE);
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// For people: how to connect.
    pub fn text(&self) -> String {
        let console = self.console.as_ref().map_or(String::new(), |c| {
            format!(
                "\n  console     {} (operator, password in {})",
                c.url,
                c.password_file.display()
            )
        });
        let text = format!(
            "  plan        {} ({} {})\n  URI         {}\n  CA          {}\n  redis-cli   redis-cli --cacert {} -u {}",
            self.plan,
            self.nodes.len(),
            if self.nodes.len() == 1 {
                "node"
            } else {
                "nodes"
            },
            self.uri,
            self.ca.display(),
            quoted(&self.ca.display().to_string()),
            self.uri,
        );
        text + &console
    }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = path
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"/._-+=:@,".contains(&b));
    if plain {
        path.to_string()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

/// `pontoon dev status`.
pub fn status(dir: &Path, output: Output) -> anyhow::Result<Answer> {
    let dir = dir
        .canonicalize()
        .with_context(|| format!("{} holds no cluster", dir.display()))?;
    if read_spec(&dir)?.is_none() {
        bail!(
            "{} holds no cluster; `pontoon dev --dir {0}` makes one",
            dir.display()
        );
    }
    let mut service = Service::read(&dir)?;
    let supervisor = lock_holder(&dir).filter(|_| super::folder::held(&dir));
    if supervisor.is_none() {
        // Nobody keeps the file up to date: only what can be seen from here is said.
        service.running = false;
        for node in &mut service.nodes {
            node.role = "unknown".into();
            node.pid = node.pid.filter(|p| Identity::of(*p).is_some());
        }
        for gateway in &mut service.gateways {
            gateway.pid = gateway.pid.filter(|p| Identity::of(*p).is_some());
        }
    }
    let serves = service.nodes.iter().any(|n| n.role == "primary");
    print(
        output,
        || {
            let mut text = format!(
                "{}\n{}\n",
                match supervisor {
                    Some(pid) => format!("running, supervised by process {pid}"),
                    None => "not running".to_string(),
                },
                service.text()
            );
            for n in &service.nodes {
                let pid = n.pid.map_or("-".to_string(), |p| p.to_string());
                text.push_str(&format!(
                    "  node {:<6} {:<8} pid {:<8} clients {}  peers {}\n",
                    n.id, n.role, pid, n.client_addr, n.peer_addr
                ));
            }
            text
        },
        || {
            let mut doc = serde_json::to_value(&service).unwrap_or_default();
            doc["supervisor"] = json!(supervisor);
            doc
        },
    );
    Ok(if serves { Answer::Yes } else { Answer::No })
}

/// The file of the password that clients are given, once it is another than the nodes began with.
pub const GIVEN_PASSWORD: &str = "service-password";

/// The password of the cluster in `folder` that clients are given.
pub fn password(folder: &Folder) -> anyhow::Result<String> {
    let path = folder.dir.join(GIVEN_PASSWORD);
    match std::fs::read_to_string(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => certs::password(&folder.dir),
        read => Ok(read
            .with_context(|| path.display().to_string())?
            .trim()
            .to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::Wanted;
    use super::*;
    use crate::gateway::{Address, Observed};
    use crate::proto::StatusReply;

    #[test]
    fn the_file_says_how_to_connect_and_how_the_nodes_are() {
        let dir = tempfile::tempdir().unwrap();
        let any = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = any.local_addr().unwrap().port();
        drop(any);
        let folder = Folder::open(
            dir.path(),
            &Wanted {
                port: Some(port),
                ..Wanted::default()
            },
        )
        .unwrap();
        let me = Identity::of(std::process::id()).unwrap();
        let pids = BTreeMap::from([(node_name(1), me.clone()), (node_name(2), me.clone())]);
        let mut view = View::default();
        for (id, role) in [(1, "primary"), (2, "standby"), (3, "standby")] {
            let status = StatusReply {
                role: role.into(),
                serving: id == 1,
                term: 1,
                ..Default::default()
            };
            let mut seen = Observed::new(Address {
                client: "c".into(),
                peer: "p".into(),
            });
            (seen.connected, seen.heard, seen.status) = (true, Some(Instant::now()), Some(status));
            view.nodes.insert(id, seen);
        }
        view.settle(Instant::now());
        let service = Service::of(&folder, "pw", &pids, &view, 1, true);
        service.write(dir.path()).unwrap();

        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        let doc: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(doc["uri"], format!("rediss://default:pw@localhost:{port}"));
        assert_eq!(
            (&doc["host"], &doc["port"]),
            (&json!("localhost"), &json!(port))
        );
        assert_eq!(
            (&doc["user"], &doc["password"]),
            (&json!("default"), &json!("pw"))
        );
        assert_eq!(
            (&doc["plan"], doc["nodes"].as_array().unwrap().len()),
            (&json!("premium"), 3)
        );
        let ca = doc["ca"].as_str().unwrap();
        assert!(Path::new(ca).is_absolute() && Path::new(ca).exists());
        let first = doc["nodes"][0].as_object().unwrap();
        assert_eq!(
            first
                .keys()
                .map(String::as_str)
                .collect::<std::collections::BTreeSet<_>>(),
            [
                "id",
                "pid",
                "role",
                "client_addr",
                "peer_addr",
                "dir",
                "memory_mib",
                "metrics"
            ]
            .into()
        );
        assert_eq!(
            (&first["id"], &first["pid"], &first["role"]),
            (&json!(1), &json!(me.pid), &json!("primary"))
        );
        assert_eq!(doc["nodes"][1]["role"], "standby");
        // A process that does not run has no pid, and its role is not known whatever it said last.
        assert_eq!(
            (&doc["nodes"][2]["pid"], &doc["nodes"][2]["role"]),
            (&json!(null), &json!("unknown"))
        );
        assert_eq!(Service::read(dir.path()).unwrap(), service);
        assert!(
            service.text().contains("redis-cli --cacert"),
            "{}",
            service.text()
        );
    }

    #[test]
    fn paths_are_quoted_for_a_shell_where_needed() {
        assert_eq!(quoted("/a/b-c.pem"), "/a/b-c.pem");
        assert_eq!(quoted("/my cluster/it's"), "'/my cluster/it'\\''s'");
    }
}
