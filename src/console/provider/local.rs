//! Services as processes of this machine, or as containers of Docker engines: each is a `pontoon dev` in a folder of its own,
//! whose nodes are either (`cli/dev/container.rs`).
//!
//! That process keeps nodes and gateway running and is not a part of the console: it is in a process group of its own, goes
//! on when the console ends, and is found again by its folder.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::{Birth, Fork, Found, Place, Placed, Provider};
use crate::base::limits::LOG_SHOWN_LEN;
use crate::base::program::ours;
use crate::base::{lock, secret};
use crate::console::Ground;
use crate::console::model::{Connection, Service};
use crate::gateway::Address;
use crate::gateway::stand_in::StandIn;
use crate::tls::files::Pair;
use crate::tls::peer::Files;

/// The first port that a service's stable address may have, and how many follow it.
const PORTS: std::ops::Range<u16> = 7_100..9_900;
/// How the name of a folder begins that is not a service yet.
const HALF: &str = ".half-";
/// How long a restore may take.
const RESTORE: Duration = Duration::from_secs(6 * 3600);
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a supervisor has to begin its processes.
const START: Duration = Duration::from_secs(30);

/// The provider.
pub struct Local {
    dir: PathBuf,
    bind: IpAddr,
    certificate: Vec<String>,
}

/// What this needs of `service.json`.
#[derive(Deserialize)]
struct Told {
    uri: String,
    host: String,
    port: u16,
    user: String,
    password: String,
    ca: PathBuf,
    cluster_id: String,
    plan: String,
    #[serde(default)]
    memory_mib: u64,
    #[serde(default)]
    program: String,
    nodes: Vec<ToldNode>,
    #[serde(default)]
    engines: Vec<ToldEngine>,
}

/// An engine that answers.
#[derive(Deserialize)]
struct ToldEngine {
    name: String,
    zone: String,
}

#[derive(Deserialize)]
struct ToldNode {
    id: u64,
    pid: Option<u32>,
    client_addr: String,
    peer_addr: String,
    #[serde(default)]
    lost: bool,
    #[serde(default)]
    damaged: bool,
    #[serde(default)]
    witness: bool,
    #[serde(default)]
    memory_mib: u64,
    #[serde(default)]
    program: String,
    #[serde(default)]
    engine: String,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    away_since_ms: Option<u64>,
}

/// An engine, for people.
fn host(name: &str, zone: &str) -> String {
    match name == zone {
        true => name.to_string(),
        false => format!("{name} in {zone}"),
    }
}

impl Local {
    /// Services live in folders of `dir`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(dir: PathBuf, ground: &Ground) -> anyhow::Result<Local> {
        std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        // What a console that was killed had half made.
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            if path
                .file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with(HALF))
            {
                std::fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
            }
        }
        Ok(Local {
            dir,
            bind: ground.bind,
            certificate: ground.certificate.clone(),
        })
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.dir.join(id)
    }

    /// `pontoon dev ACTION --dir FOLDER ...`
    async fn dev(&self, action: &str, id: &str, more: &[String]) -> anyhow::Result<()> {
        let dir = format!("--dir={}", self.folder(id).display());
        let mut args = vec!["dev".to_string(), action.into(), dir];
        args.extend_from_slice(more);
        ours(&args, PATIENCE).await.map(drop)
    }

    async fn begin(&self, service: &Service, birth: &Birth) -> anyhow::Result<()> {
        let dir = self.folder(&service.id);
        std::fs::create_dir_all(&dir)?;
        let path = dir.join("supervisor.log");
        let log = File::options().create(true).append(true).open(&path)?;
        let mut command = tokio::process::Command::new(std::env::current_exe()?);
        command.args(["dev", "--dir"]).arg(&dir);
        command.arg(format!("--cpu-percent={}", birth.cpu_percent));
        command.args(&self.certificate);
        if !dir.join("cluster.json").exists() {
            command
                .arg(format!("--bind={}", self.bind))
                .args(["--plan", &service.plan, "--port"])
                .arg(service.port.to_string())
                .args(["--memory", &service.memory_mib.to_string()]);
            if !birth.program.is_empty() {
                command.args(["--program", &birth.program]);
            }
            match &birth.engines {
                Some(engines) => drop(command.arg("--engines").arg(engines)),
                // Names lead to nodes at addresses of this machine alone; containers have their hosts', and ports of their own.
                None if birth.name.is_empty() || !self.bind.is_loopback() => {}
                None => drop(command.args(["--name", &birth.name])),
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(false)
            .spawn()?;
        // It writes service.json anew once its processes are begun. A look at its lock could be in its way.
        let began = SystemTime::now();
        let file = dir.join("service.json");
        let written = || std::fs::metadata(&file).and_then(|m| m.modified()).ok();
        let held = async {
            while written().is_none_or(|at| at + Duration::from_millis(20) < began) {
                if let Some(status) = child.try_wait()? {
                    let text = std::fs::read_to_string(&path).unwrap_or_default();
                    let last = text.lines().last().unwrap_or_default();
                    bail!("what keeps its processes running ended at once ({status}): {last}");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        tokio::time::timeout(START, held)
            .await
            .with_context(|| format!("it did not start in {} s", START.as_secs()))??;
        // Whoever began it hears of its end; when the console ends, it goes on.
        tokio::spawn(async move { child.wait().await });
        Ok(())
    }
}

impl Provider for Local {
    fn start<'a>(
        &'a self,
        service: &'a Service,
        birth: &'a Birth,
    ) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(self.begin(service, birth))
    }

    fn stop<'a>(&'a self, id: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(self.dev("stop", id, &[]))
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let dir = self.folder(id);
            ensure!(!lock::held(&dir.join("lock")), "it still runs");
            if dir.join("cluster.json").exists() {
                // What of it is on engines; of processes there is nothing beside the folder.
                self.dev("purge", id, &[]).await?;
            }
            match tokio::fs::remove_dir_all(&dir).await {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    Err(e).with_context(|| dir.display().to_string())
                }
                _ => Ok(()),
            }
        })
    }

    fn add_node<'a>(&'a self, id: &'a str, witness: bool) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let more = witness.then(|| "--witness".to_string());
            self.dev("add-node", id, more.as_slice()).await
        })
    }

    fn set_plan<'a>(
        &'a self,
        service: &'a Service,
        birth: &'a Birth,
    ) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let mut more = vec![
                format!("--cpu-percent={}", birth.cpu_percent),
                format!("--plan={}", service.plan),
                format!("--memory={}", service.memory_mib),
            ];
            if !birth.program.is_empty() {
                more.push(format!("--program={}", birth.program));
            }
            self.dev("set-plan", &service.id, &more).await
        })
    }

    fn restart_node<'a>(&'a self, id: &'a str, node: u64) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let more = [format!("--node={node}")];
            self.dev("restart-node", id, &more).await
        })
    }

    fn remove_node<'a>(&'a self, id: &'a str, node: u64) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let more = ["--node".to_string(), node.to_string()];
            self.dev("remove-node", id, &more).await
        })
    }

    fn restore<'a>(
        &'a self,
        id: &'a str,
        port: u16,
        args: &'a [String],
    ) -> BoxFuture<'a, anyhow::Result<Fork>> {
        Box::pin(async move {
            let half = self.dir.join(format!("{HALF}{id}"));
            let mut all = vec![
                "backup".to_string(),
                "restore".into(),
                "--output=json".into(),
                format!("--to={}", half.display()),
                format!("--port={port}"),
                format!("--bind={}", self.bind),
            ];
            all.extend_from_slice(args);
            let said = ours(&all, RESTORE).await?;
            let fork = serde_json::from_slice(&said)?;
            tokio::fs::rename(&half, self.folder(id)).await?;
            Ok(fork)
        })
    }

    fn restore_in_place<'a>(
        &'a self,
        id: &'a str,
        args: &'a [String],
    ) -> BoxFuture<'a, anyhow::Result<Fork>> {
        Box::pin(async move {
            let dir = self.folder(id);
            let mut all = vec![
                "backup".to_string(),
                "restore".into(),
                "--output=json".into(),
                format!("--in-place={}", dir.display()),
            ];
            all.extend_from_slice(args);
            Ok(serde_json::from_slice(&ours(&all, RESTORE).await?)?)
        })
    }

    fn stand_in<'a>(&'a self, id: &'a str) -> BoxFuture<'a, anyhow::Result<StandIn>> {
        /// What this needs of `cluster.json`.
        #[derive(Deserialize)]
        struct Spec {
            bind: IpAddr,
            port: u16,
            #[serde(default)]
            given: Option<Given>,
        }
        /// A certificate that the operator has.
        #[derive(Deserialize)]
        struct Given {
            cert: PathBuf,
            key: PathBuf,
        }
        Box::pin(async move {
            let dir = self.folder(id);
            let spec: Spec = serde_json::from_slice(&std::fs::read(dir.join("cluster.json"))?)?;
            let pair = match spec.given {
                Some(Given { cert, key }) => Pair { cert, key },
                None => Pair {
                    cert: dir.join("server.pem"),
                    key: dir.join("server.key"),
                },
            };
            StandIn::start(SocketAddr::new(spec.bind, spec.port), pair).await
        })
    }

    fn set_password<'a>(
        &'a self,
        id: &'a str,
        password: &'a str,
    ) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let path = self.folder(id).join("service-password");
            secret::write(&path, password).with_context(|| path.display().to_string())?;
            // Its supervisor looks at it several times a second.
            let told = async {
                loop {
                    let place = self.place(id)?.context("it is not there")?;
                    if !place.supervised || place.connection.is_some_and(|c| c.password == password)
                    {
                        return Ok(());
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::time::timeout(START, told)
                .await
                .context("its supervisor did not take the password")?
        })
    }

    fn found(&self) -> anyhow::Result<Vec<Found>> {
        /// What this needs of `cluster.json`.
        #[derive(Deserialize)]
        struct Spec {
            cluster_id: String,
            plan: String,
            port: u16,
            memory_mib: u32,
            #[serde(default)]
            program: String,
            #[serde(default)]
            engines: Option<serde_json::Value>,
        }
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            let id = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path().join("cluster.json");
            let Ok(text) = std::fs::read(&path) else {
                continue;
            };
            let spec: Spec = match serde_json::from_slice(&text) {
                Ok(spec) => spec,
                Err(error) => {
                    // The others are no less there for it.
                    tracing::error!(%error, "{} is damaged: that service is not looked at", path.display());
                    continue;
                }
            };
            all.push(Found {
                id,
                cluster: spec.cluster_id,
                plan: spec.plan,
                port: spec.port,
                memory_mib: spec.memory_mib,
                program: spec.program,
                containers: spec.engines.is_some(),
            });
        }
        Ok(all)
    }

    fn kept_elsewhere(&self, id: &str) -> bool {
        // `pontoon dev` links its own folder to here.
        self.folder(id).is_symlink()
    }

    fn log(&self, id: &str, node: u64) -> anyhow::Result<String> {
        let path = self.folder(id).join(format!("node-{node}/log/node.log"));
        let mut file = File::open(&path).with_context(|| path.display().to_string())?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(LOG_SHOWN_LEN)))?;
        let mut end = Vec::new();
        file.take(LOG_SHOWN_LEN).read_to_end(&mut end)?;
        let end = String::from_utf8_lossy(&end).into_owned();
        Ok(match end.split_once('\n') {
            // The first line is a part of one.
            Some((_, whole)) if len > LOG_SHOWN_LEN => whole.to_string(),
            _ => end,
        })
    }

    fn place(&self, id: &str) -> anyhow::Result<Option<Place>> {
        let dir = self.folder(id);
        if !dir.exists() {
            return Ok(None);
        }
        let supervised = lock::held(&dir.join("lock"));
        let told = match read(&dir)? {
            Some(told) => told,
            // It was made a moment ago and nothing is known yet.
            None => Told::nothing(),
        };
        let ca = std::fs::read_to_string(&told.ca).unwrap_or_default();
        let connection = (!told.uri.is_empty()).then_some(Connection {
            uri: told.uri,
            host: told.host,
            port: told.port,
            user: told.user,
            password: told.password,
            ca,
            replica_uri: None,
            name_uri: None,
            replica_name_uri: None,
        });
        Ok(Some(Place {
            cluster: told.cluster_id,
            operator: Files {
                ca: dir.join("ca.pem"),
                pair: Pair {
                    cert: dir.join("admin.pem"),
                    key: dir.join("admin.key"),
                },
            },
            supervised,
            plan: told.plan,
            memory_mib: told.memory_mib,
            program: told.program,
            hosts: told
                .engines
                .iter()
                .map(|e| host(&e.name, &e.zone))
                .collect(),
            nodes: told
                .nodes
                .into_iter()
                .map(|n| Placed {
                    host: host(&n.engine, &n.zone),
                    away_since_ms: n.away_since_ms,
                    id: n.id,
                    address: Address {
                        client: n.client_addr,
                        peer: n.peer_addr,
                    },
                    running: n.pid.is_some(),
                    lost: n.lost,
                    damaged: n.damaged,
                    witness: n.witness,
                    memory_mib: n.memory_mib,
                    program: n.program,
                })
                .collect(),
            connection,
        }))
    }

    fn limits(&self, containers: bool) -> &'static [&'static str] {
        match containers {
            false => &[
                "All nodes are processes of this machine: with it the service is gone until it is back.",
                "The plan's memory is enforced; its share of processors and disk is not.",
            ],
            true => &[
                "The service's address is a gateway on the console's machine: without it clients reach the nodes' own addresses alone.",
                "The plan's memory and share of processors are enforced; its disk is not.",
            ],
        }
    }

    fn port(&self, taken: &[u16]) -> anyhow::Result<u16> {
        let mut free =
            PORTS.filter(|p| !taken.contains(p) && TcpListener::bind((self.bind, *p)).is_ok());
        free.next()
            .with_context(|| format!("no port is free from {} to {}", PORTS.start, PORTS.end - 1))
    }
}

impl Told {
    fn nothing() -> Told {
        Told {
            uri: String::new(),
            host: String::new(),
            port: 0,
            user: String::new(),
            password: String::new(),
            ca: PathBuf::new(),
            cluster_id: String::new(),
            plan: String::new(),
            memory_mib: 0,
            program: String::new(),
            nodes: Vec::new(),
            engines: Vec::new(),
        }
    }
}

fn read(dir: &Path) -> anyhow::Result<Option<Told>> {
    let path = dir.join("service.json");
    match std::fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => {
            let text = read.with_context(|| path.display().to_string())?;
            let told = serde_json::from_slice(&text);
            Ok(Some(told.with_context(|| {
                format!("{} is damaged", path.display())
            })?))
        }
    }
}
