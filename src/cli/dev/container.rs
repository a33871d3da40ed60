//! One node as a container: a process of this machine stands for it, begins it on its engine, and ends when it ends.
//!
//! - What supervises processes supervises this one and knows nothing of containers. Killed, it leaves the container running,
//!   and the next one finds that.
//! - The node's disk is a volume of the engine. A node that was a member is never begun on a volume that is not the one it had.
//! - Certificates, password and configuration are carried over before each start, and again when they change.
//! - An engine that does not answer is no lost disk: the file `away` says since when.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, bail};
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions, PortBinding, ResourcesUlimits,
};
use bollard::query_parameters::{
    ContainerArchiveInfoOptions, CreateContainerOptions, ListContainersOptions, ListVolumesOptions,
    LogsOptions, RemoveContainerOptions, RemoveVolumeOptions, StopContainerOptions,
    UploadToContainerOptions,
};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::engine::{Engines, Home};
use super::folder::{PROXY_KEY, config_text};
use super::service::{self, node_dir};
use super::spec::{Node, Spec, read_spec, replace};
use crate::base::clock::Clock;
use crate::base::limits;
use crate::cli::{certs, told_to_stop};
use crate::telemetry::file::Rotating;

/// The file in a node's folder that says that its volume is gone.
pub const GONE: &str = "gone";
/// The file in a node's folder that says since when its engine does not answer, Unix milliseconds.
pub const AWAY: &str = "away";
/// The user of the image.
const UID: u64 = 10_001;
/// Where the image has what was carried over.
const ETC: &str = "/etc/pontoon";
/// Where the image has the node's data.
const DATA: &str = "/var/lib/pontoon/data";
/// How long a node may take to stop in order, seconds: less than what supervises this waits.
const STOP_S: i32 = 15;
/// How often the engine is asked, and the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// So many times without an answer and the engine is away.
const MISSES: usize = 5;
/// How long it has for each answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How long carrying over a node's data may take.
const CARRY: Duration = Duration::from_secs(6 * 3600);
/// What a node needs beside its data, above its plan's memory: the program, threads, and what the kernel counts for it.
const BESIDE_MIB: u64 = 128;

const SERVICE: &str = "pontoon.service";
const CLUSTER: &str = "pontoon.cluster";
const NODE: &str = "pontoon.node";
const MADE: &str = "pontoon.made";

/// Which engines a cluster's nodes are at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground {
    /// The file of the engines.
    pub file: PathBuf,
    /// What containers and volumes of the cluster are found by, whatever it is called later.
    pub label: String,
}

/// A node's container.
struct Container {
    dir: PathBuf,
    spec: Spec,
    node: Node,
    docker: Docker,
    /// Of the container and of its volume.
    name: String,
    body: ContainerCreateBody,
}

/// Stands for node `id` of the cluster in `dir`: returns once its container has ended, or, told to stop, has been stopped.
///
/// # Errors
/// When the container could not be begun or ended by itself, with why.
pub async fn hold(dir: &Path, id: u64, settings: &[(String, String)]) -> anyhow::Result<()> {
    let told = told_to_stop();
    let mut told = pin!(told);
    let container = tokio::select! {
        opened = Container::open(dir, id, settings) => opened?,
        told = &mut told => return told,
    };
    // Between its steps nothing is lost by an end: the next one finds what is there.
    let carried = tokio::select! {
        begun = container.begin() => begun?,
        told = &mut told => {
            told?;
            return container.stop().await;
        }
    };
    tokio::select! {
        ended = container.follow(carried) => ended,
        told = &mut told => {
            told?;
            container.stop().await
        }
    }
}

impl Container {
    async fn open(dir: &Path, id: u64, settings: &[(String, String)]) -> anyhow::Result<Container> {
        let spec =
            read_spec(dir)?.with_context(|| format!("{} holds no cluster", dir.display()))?;
        let ground = spec
            .engines
            .clone()
            .context("its nodes are no containers")?;
        let node = spec.nodes.iter().find(|n| n.id == id).cloned();
        let node = node.with_context(|| format!("the cluster has no node {id}"))?;
        let home = node.home.clone().context("the node is no container")?;
        let engines = Engines::read(&ground.file)?;
        let away = node_dir(dir, id).join(AWAY);
        let docker = match engines.get(&home.engine) {
            Ok(engine) => engine.connect().await,
            Err(error) => Err(error),
        };
        let docker = match docker {
            Ok(docker) => docker,
            Err(error) => {
                note_away(&away, Clock::system().wall_ms());
                return Err(error);
            }
        };
        let _ = std::fs::remove_file(&away);
        let name = format!("pontoon-{}-node-{id}", spec.cluster_id);
        let body = body(
            &spec,
            &node,
            &home,
            (&engines.image, &ground.label, &name),
            settings,
        )?;
        Ok(Container {
            dir: dir.to_path_buf(),
            spec,
            node,
            docker,
            name,
            body,
        })
    }

    fn node_dir(&self) -> PathBuf {
        node_dir(&self.dir, self.node.id)
    }

    /// Leaves the container running as it is to be; the configuration that was carried over, if any was.
    async fn begin(&self) -> anyhow::Result<Vec<u8>> {
        if let Some(found) = optional(self.docker.inspect_container(&self.name, None).await)? {
            let running = found.state.and_then(|s| s.running).unwrap_or(false);
            let made = found.config.and_then(|c| c.labels?.get(MADE).cloned());
            let wanted = self.body.labels.as_ref().and_then(|l| l.get(MADE));
            if running && made.as_ref() == wanted {
                return Ok(Vec::new());
            }
            self.halt().await?;
            self.remove(false).await?;
        }
        // What a restore made on this machine.
        let local = self.node_dir().join("data");
        let is_seeded = local.join("cluster").exists();
        let had_volume = optional(self.docker.inspect_volume(&self.name).await)?.is_some();
        if !had_volume && self.node.began && !is_seeded {
            return Err(self.gone());
        }
        self.create().await?;
        let is_there = had_volume && self.has("cluster").await?;
        if had_volume && !is_there && is_seeded {
            // Carried over in part.
            self.remove(true).await?;
            self.create().await?;
        }
        if !is_there && is_seeded {
            self.carry_data(&local).await?;
        } else if !is_there && self.node.began {
            self.remove(false).await?;
            return Err(self.gone());
        }
        match std::fs::remove_dir_all(&local) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).with_context(|| local.display().to_string());
            }
            _ => {}
        }
        self.note_damage().await?;
        let mut carried = Vec::new();
        self.carry_config(&mut carried).await?;
        self.docker.start_container(&self.name, None).await?;
        Ok(carried)
    }

    /// Notes that what the node voted and wrote is not there.
    fn gone(&self) -> anyhow::Error {
        let path = self.node_dir().join(GONE);
        if let Err(error) = replace(&path, b"", true) {
            return error;
        }
        anyhow::anyhow!("the volume {} is gone", self.name)
    }

    /// Whether there is such a file in the node's data.
    async fn has(&self, file: &str) -> anyhow::Result<bool> {
        let path = format!("{DATA}/{file}");
        let options = ContainerArchiveInfoOptions { path };
        let docker = &self.docker;
        let found = docker.get_container_archive_info(&self.name, Some(options));
        Ok(optional(found.await)?.is_some())
    }

    async fn note_damage(&self) -> anyhow::Result<()> {
        let mark = crate::node::damage::MARK;
        if self.has(mark).await? {
            replace(&self.node_dir().join(mark), b"", true)?;
            bail!("the volume {} was found damaged", self.name);
        }
        Ok(())
    }

    /// Makes the container, and its volume where there is none.
    async fn create(&self) -> anyhow::Result<()> {
        let options = CreateContainerOptions {
            name: Some(self.name.clone()),
            ..CreateContainerOptions::default()
        };
        let made = self
            .docker
            .create_container(Some(options), self.body.clone());
        made.await
            .with_context(|| format!("the container {} cannot be made", self.name))?;
        Ok(())
    }

    /// Removes the container, and the disk too where that is asked.
    async fn remove(&self, disk: bool) -> anyhow::Result<()> {
        remove(&self.docker, &self.name, disk).await
    }

    /// Carries configuration and certificates over, unless they are what was `carried`.
    async fn carry_config(&self, carried: &mut Vec<u8>) -> anyhow::Result<()> {
        let archive = self.config()?;
        if archive != *carried {
            self.upload(ETC, archive.clone()).await?;
            *carried = archive;
        }
        Ok(())
    }

    fn config(&self) -> anyhow::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        let text = config_text(&self.spec, &self.node, Path::new(ETC), Path::new(DATA))?;
        put(&mut archive, "node.toml", text.as_bytes())?;
        let id = self.node.id;
        let own = [format!("node-{id}.pem"), format!("node-{id}.key")];
        let (mut cert, mut key) = (self.dir.join("server.pem"), self.dir.join("server.key"));
        if let Some(given) = &self.spec.given {
            (cert, key) = (given.cert.clone(), given.key.clone());
        }
        let others = ["ca.pem", certs::PASSWORD, PROXY_KEY];
        let kept = own.iter().map(String::as_str).chain(others);
        let kept = kept.map(|name| (name, self.dir.join(name)));
        for (name, path) in kept.chain([("server.pem", cert), ("server.key", key)]) {
            let content = std::fs::read(&path).with_context(|| path.display().to_string())?;
            put(&mut archive, name, &content)?;
        }
        Ok(archive.into_inner()?)
    }

    async fn upload(&self, to: &str, archive: Vec<u8>) -> anyhow::Result<()> {
        let body = bollard::body_full(archive.into());
        let done = self
            .docker
            .upload_to_container(&self.name, Some(upload_to(to)), body);
        done.await
            .with_context(|| format!("{to} of {} cannot be written", self.name))
    }

    /// Carries a node's data over, the file that makes it one last.
    async fn carry_data(&self, local: &Path) -> anyhow::Result<()> {
        let (chunks, inbox) = mpsc::channel(limits::CARRIED_CHUNKS_MAX);
        let from = local.to_path_buf();
        let packing = tokio::task::spawn_blocking(move || pack(&from, Chunks(chunks)));
        let stream = tokio_stream::wrappers::ReceiverStream::new(inbox);
        let docker = self.docker.clone().with_timeout(CARRY);
        let body = bollard::body_try_stream(stream);
        let sent =
            docker.upload_to_container(&self.name, Some(upload_to("/var/lib/pontoon")), body);
        let (sent, packed) = (sent.await, packing.await?);
        // An engine that stops reading ends the packing too, and a file that cannot be read what is sent: the cause is the first.
        if let Err(error) = sent {
            let why = packed.err().map_or(String::new(), |e| format!(" ({e})"));
            let what = format!("the data of {} cannot be carried over{why}", self.name);
            return Err(error).context(what);
        }
        packed?;
        let mut archive = tar::Builder::new(Vec::new());
        put(
            &mut archive,
            "cluster",
            &std::fs::read(local.join("cluster"))?,
        )?;
        self.upload(DATA, archive.into_inner()?).await
    }

    /// Passes on what the node prints, until it ends or its engine is away.
    async fn follow(&self, mut carried: Vec<u8>) -> anyhow::Result<()> {
        let mut logs = self.docker.logs(
            &self.name,
            Some(LogsOptions {
                follow: true,
                stdout: true,
                stderr: true,
                tail: "100".into(),
                ..LogsOptions::default()
            }),
        );
        // As a node that is a process writes its own.
        let path = self.node_dir().join("log/node.log");
        let mut printed = Rotating::open(&path, limits::LOG_FILE_LEN_MAX)?;
        let (mut missed, mut is_over) = (Vec::new(), false);
        let asked = self.docker.clone().with_timeout(ANSWER);
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                line = logs.next(), if !is_over => match line {
                    Some(Ok(line)) => {
                        printed.write_all(&line.into_bytes())?;
                        continue;
                    }
                    // It has ended, or is not heard: the next look says which.
                    _ => is_over = true,
                },
                _ = look.tick() => {}
            }
            match optional(asked.inspect_container(&self.name, None).await) {
                Ok(Some(found)) => {
                    missed.clear();
                    let state = found.state.unwrap_or_default();
                    if state.running != Some(true) {
                        self.note_damage().await?;
                        let code = state.exit_code.unwrap_or(-1);
                        let killed = state.oom_killed == Some(true);
                        let why = if killed {
                            ", out of its plan's memory"
                        } else {
                            ""
                        };
                        bail!("its container ended with code {code}{why}");
                    }
                }
                Ok(None) => bail!("its container was removed"),
                Err(error) => {
                    missed.push(Clock::system().wall_ms());
                    if missed.len() == MISSES {
                        note_away(&self.node_dir().join(AWAY), missed[0]);
                        return Err(error);
                    }
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
            }
            // Files that are being replaced: the node goes on with what it has, and the next look finds them whole.
            if let Err(error) = self.carry_config(&mut carried).await {
                tracing::warn!("its configuration is not carried over yet: {error:#}");
            }
        }
    }

    /// Stops the node in order.
    async fn halt(&self) -> anyhow::Result<()> {
        halt(&self.docker, &self.name).await
    }

    /// Stops it, and removes it with its disk where it was taken out of the cluster.
    async fn stop(&self) -> anyhow::Result<()> {
        self.halt().await?;
        let stays = |s: &Spec| s.nodes.iter().any(|n| n.id == self.node.id);
        if read_spec(&self.dir)?.is_some_and(|s| !stays(&s)) {
            self.remove(true).await?;
        }
        Ok(())
    }
}

/// What the container is made with.
fn body(
    spec: &Spec,
    node: &Node,
    home: &Home,
    (image, label, name): (&str, &str, &str),
    settings: &[(String, String)],
) -> anyhow::Result<ContainerCreateBody> {
    let mut cmd = vec!["node".to_string(), format!("--config={ETC}/node.toml")];
    for (key, value) in settings {
        cmd.push(format!("--{}={value}", key.replace('_', "-")));
    }
    let program = spec.program_of(node);
    let image = if program.is_empty() { image } else { program };
    let memory_mib = spec.memory_of(node) + BESIDE_MIB;
    let ports = [node.client_port, node.peer_port].map(|p| format!("{p}/tcp"));
    let binding = |port: &String| {
        let (number, _) = port.split_once('/').unwrap_or_default();
        let at = PortBinding {
            host_ip: Some(home.address.to_string()),
            host_port: Some(number.to_string()),
        };
        (port.clone(), Some(vec![at]))
    };
    let files = i64::try_from(crate::config::open_files_limit())?;
    let made = format!(
        "{image} {cmd:?} {memory_mib} {} {ports:?} {}",
        spec.cpu_percent, node.restarts
    );
    let labels = [
        (SERVICE, label.to_string()),
        (CLUSTER, spec.cluster_id.clone()),
        (NODE, node.id.to_string()),
        (
            MADE,
            format!("{:016x}", xxhash_rust::xxh3::xxh3_64(made.as_bytes())),
        ),
    ];
    let labels: HashMap<String, String> = labels.map(|(k, v)| (k.to_string(), v)).into();
    let rotated = [("max-size", "10m"), ("max-file", "3")];
    let text = |(k, v): (&str, &str)| (k.to_string(), v.to_string());
    Ok(ContainerCreateBody {
        image: Some(image.to_string()),
        cmd: Some(cmd),
        hostname: Some(format!("node-{}", node.id)),
        env: Some(vec![format!(
            "PONTOON_HEALTH_ADDR=localhost:{}",
            node.client_port
        )]),
        // What verifies a certificate that was given is not there.
        healthcheck: spec.given.as_ref().map(|_| HealthConfig {
            test: Some(vec!["NONE".into()]),
            ..HealthConfig::default()
        }),
        exposed_ports: Some(ports.to_vec()),
        labels: Some(labels.clone()),
        host_config: Some(HostConfig {
            memory: Some(i64::try_from(memory_mib)? << 20),
            nano_cpus: Some(i64::try_from(spec.cpu_percent)? * 10_000_000),
            // No swap: what does not fit is refused by the node before the kernel ends it.
            memory_swap: Some(i64::try_from(memory_mib)? << 20),
            mounts: Some(vec![Mount {
                target: Some("/var/lib/pontoon".into()),
                source: Some(name.to_string()),
                typ: Some(MountType::VOLUME),
                // By which it is found, whoever makes it.
                volume_options: Some(MountVolumeOptions {
                    labels: Some(labels.clone()),
                    ..MountVolumeOptions::default()
                }),
                ..Mount::default()
            }]),
            port_bindings: Some(ports.iter().map(binding).collect()),
            cap_drop: Some(vec!["ALL".into()]),
            security_opt: Some(vec!["no-new-privileges".into()]),
            ulimits: Some(vec![ResourcesUlimits {
                name: Some("nofile".into()),
                soft: Some(files),
                hard: Some(files),
            }]),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".into()),
                config: Some(rotated.map(text).into()),
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    })
}

/// Removes what engines that answer have of the cluster in `dir` and is not in its `cluster.json` any more; all of it where
/// the cluster itself is to go.
///
/// Those that answered, and the last failure of the others.
///
/// # Errors
/// When the file of engines cannot be read.
pub async fn sweep(
    dir: &Path,
    all: bool,
) -> anyhow::Result<(Vec<service::Engine>, Option<anyhow::Error>)> {
    let (mut answered, mut failed) = (Vec::new(), None);
    let ground = read_spec(dir)?.and_then(|s| s.engines);
    let Some(ground) = &ground else {
        return Ok((answered, failed));
    };
    for engine in &Engines::read(&ground.file)?.all {
        let swept = async {
            let docker = engine.connect().await?;
            for (name, labels) in listed(&docker, &ground.label).await? {
                // Read after it was seen there: whatever is begun is in the file before.
                let spec = read_spec(dir)?.context("the cluster is gone")?;
                let stays = |n: &Node| {
                    labels.get(NODE) == Some(&n.id.to_string())
                        && n.home.as_ref().is_some_and(|h| h.engine == engine.name)
                };
                let known = labels.get(CLUSTER) == Some(&spec.cluster_id);
                if !all && known && spec.nodes.iter().any(stays) {
                    continue;
                }
                tracing::info!(
                    name,
                    engine = engine.name,
                    "it is no part of the cluster any more and is removed"
                );
                halt(&docker, &name).await?;
                remove(&docker, &name, true).await?;
            }
            anyhow::Ok(())
        };
        match swept.await {
            Ok(()) => answered.push(service::Engine {
                name: engine.name.clone(),
                zone: engine.zone.clone(),
            }),
            Err(error) => failed = Some(error),
        }
    }
    Ok((answered, failed))
}

/// The containers and volumes of that label, by name; each node's have the same.
async fn listed(
    docker: &Docker,
    label: &str,
) -> anyhow::Result<HashMap<String, HashMap<String, String>>> {
    let filters = HashMap::from([("label".to_string(), vec![format!("{SERVICE}={label}")])]);
    let containers = docker
        .list_containers(Some(ListContainersOptions {
            all: true,
            filters: Some(filters.clone()),
            ..ListContainersOptions::default()
        }))
        .await?;
    let mut found = HashMap::new();
    for container in containers {
        let name = container.names.and_then(|n| n.into_iter().next());
        if let Some(name) = name {
            found.insert(
                name.trim_start_matches('/').to_string(),
                container.labels.unwrap_or_default(),
            );
        }
    }
    let filters = Some(filters);
    let volumes = docker
        .list_volumes(Some(ListVolumesOptions { filters }))
        .await?;
    for volume in volumes.volumes.unwrap_or_default() {
        found.insert(volume.name, volume.labels);
    }
    Ok(found)
}

async fn halt(docker: &Docker, name: &str) -> anyhow::Result<()> {
    let docker = docker
        .clone()
        .with_timeout(Duration::from_secs(STOP_S as u64 + 5));
    let options = StopContainerOptions {
        t: Some(STOP_S),
        ..StopContainerOptions::default()
    };
    optional(docker.stop_container(name, Some(options)).await)?;
    Ok(())
}

async fn remove(docker: &Docker, name: &str, disk: bool) -> anyhow::Result<()> {
    let options = RemoveContainerOptions {
        // Those without a name: the one with what was carried over.
        v: true,
        force: true,
        ..RemoveContainerOptions::default()
    };
    optional(docker.remove_container(name, Some(options)).await)?;
    if disk {
        optional(
            docker
                .remove_volume(name, None::<RemoveVolumeOptions>)
                .await,
        )?;
    }
    Ok(())
}

/// What is not there is none.
fn optional<T>(answer: Result<T, Error>) -> anyhow::Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Error::DockerResponseServerError {
            status_code: 304 | 404,
            ..
        }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn upload_to(path: &str) -> UploadToContainerOptions {
    UploadToContainerOptions {
        path: path.to_string(),
        ..UploadToContainerOptions::default()
    }
}

/// Notes since when an engine does not answer, if that is new.
fn note_away(path: &Path, since_ms: u64) {
    if !path.exists()
        && let Err(error) = replace(path, since_ms.to_string().as_bytes(), false)
    {
        tracing::warn!(%error, "{}", path.display());
    }
}

/// Since when a node's engine does not answer, Unix milliseconds.
pub fn away_since(node_dir: &Path) -> Option<u64> {
    std::fs::read_to_string(node_dir.join(AWAY))
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn header(len: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(len);
    header.set_mode(mode);
    header.set_uid(UID);
    header.set_gid(UID);
    header
}

fn put<W: Write>(archive: &mut tar::Builder<W>, name: &str, content: &[u8]) -> std::io::Result<()> {
    let mut header = header(content.len() as u64, 0o600);
    archive.append_data(&mut header, name, content)
}

/// Packs a node's data as `data/`, all but the file that says whose it is.
fn pack(from: &Path, to: Chunks) -> std::io::Result<()> {
    let mut archive = tar::Builder::new(to);
    let mut waiting = vec![PathBuf::new()];
    while let Some(folder) = waiting.pop() {
        let mut head = header(0, 0o700);
        head.set_entry_type(tar::EntryType::Directory);
        archive.append_data(&mut head, Path::new("data").join(&folder), std::io::empty())?;
        for entry in std::fs::read_dir(from.join(&folder))? {
            let entry = entry?;
            let name = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                waiting.push(name);
            } else if name != Path::new("cluster") {
                let file = std::fs::File::open(entry.path())?;
                let mut head = header(file.metadata()?.len(), 0o600);
                archive.append_data(&mut head, Path::new("data").join(name), file)?;
            }
        }
    }
    archive.into_inner()?;
    Ok(())
}

/// Writes into a stream of chunks.
struct Chunks(mpsc::Sender<Result<bytes::Bytes, std::io::Error>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let chunk = bytes::Bytes::copy_from_slice(bytes);
        let sent = self.0.blocking_send(Ok(chunk));
        sent.map_err(|_| std::io::Error::other("the engine does not take it"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
