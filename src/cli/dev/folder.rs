//! A cluster's folder: who may use it, and the files that its processes read.
//!
//! - `cluster.json` says what it is (`spec.rs`).
//! - One process at a time holds `lock`. The kernel releases it when that process ends, however it ends.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};

use super::container;
use super::service::{node_dir, node_name};
use super::spec::{self, Node, Spec, Wanted, change, edit, read_spec, replace};
use crate::base::{lock, secret};
use crate::cli::certs;
use crate::config;
use crate::tls::files::Pair;
use crate::tls::peer::Files;
use crate::tls::proxy::Key;

/// What the gateway proves its clients' addresses with.
pub const PROXY_KEY: &str = "proxy.key";
const LOCK: &str = "lock";

/// The folder, held by this process.
#[derive(Debug)]
pub struct Folder {
    /// Its absolute path.
    pub dir: PathBuf,
    /// What the cluster is.
    pub spec: Spec,
    /// Keys of every node's configuration beyond what the folder decides.
    pub settings: Vec<(String, String)>,
    /// Held for as long as this exists.
    _lock: File,
}

impl Folder {
    /// Makes `dir` as `wanted`, or opens it where it exists and checks that `wanted` fits.
    ///
    /// # Errors
    /// When another process holds it, when `wanted` is for another cluster, or a file cannot be written.
    pub fn open(dir: &Path, wanted: &Wanted) -> anyhow::Result<Folder> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .with_context(|| format!("the folder {} cannot be made", dir.display()))?;
        let dir = dir.canonicalize()?;
        let lock = lock(&dir)?.ok_or_else(|| {
            anyhow!(
                "the cluster of {0} is running already; `pontoon dev status --dir {0}` shows it",
                dir.display()
            )
        })?;
        let spec = match read_spec(&dir)? {
            Some(found) => spec::resume(found, wanted, &dir)?,
            None => spec::create(wanted)?,
        };
        let mut settings = wanted.settings.clone();
        if wanted.unrestricted {
            settings.push(("unrestricted".into(), "true".into()));
        }
        let folder = Folder {
            dir,
            spec,
            settings,
            _lock: lock,
        };
        folder.prepare()?;
        let spec = folder.spec.clone();
        change(&folder.dir, |_| Ok((spec, ())))?;
        Ok(folder)
    }

    /// Makes the certificates and the nodes' configurations, and renews certificates that end soon.
    pub fn prepare(&self) -> anyhow::Result<()> {
        let ids: Vec<u64> = self.spec.nodes.iter().map(|n| n.id).collect();
        let mut names = Vec::new();
        if !self.spec.local().is_loopback() {
            names.push(self.spec.bind.to_string());
        }
        if self.spec.bind.is_unspecified()
            && let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname")
        {
            names.push(name.trim().to_string());
        }
        if !self.spec.name.is_empty() {
            // What is before it, too: `replica.`.
            names.extend([self.spec.name.clone(), format!("*.{}", self.spec.name)]);
        }
        names.extend(self.spec.hosts());
        let renew = certs::Renew::Ending;
        certs::complete(&self.dir, &self.spec.cluster_id, &ids, &names, renew)?;
        let key = self.dir.join(PROXY_KEY);
        if !key.exists() {
            secret::write(&key, &Key::make()).with_context(|| key.display().to_string())?;
        }
        if self.spec.console_port != 0 {
            // The console finds this cluster among its services.
            let services = self.console_dir().join("services");
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&services)?;
            match std::os::unix::fs::symlink("../..", services.join("dev")) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(e).with_context(|| services.display().to_string());
                }
                _ => {}
            }
        }
        for node in &self.spec.nodes {
            let dir = self.node_dir(node.id);
            std::fs::create_dir_all(dir.join("log"))?;
            let path = self.config_path(node.id);
            let text = config_text(&self.spec, node, &self.dir, &dir.join("data"))?;
            replace(&path, text.as_bytes(), false)?;
            // What a node would refuse is refused here, where someone sees it.
            config::Node::load(Some(&path), &[], &self.settings)?;
        }
        Ok(())
    }

    /// Notes that the cluster exists, and that these of its nodes are members: whatever happens to a disk, no node makes the
    /// cluster anew, and none comes back without what it had.
    pub fn set_formed(&mut self, members: &[u64]) -> anyhow::Result<()> {
        let known = |n: &Node| n.began || !members.contains(&n.id);
        if self.spec.formed && self.spec.nodes.iter().all(known) {
            return Ok(());
        }
        self.spec = edit(&self.dir, |spec| {
            spec.formed = true;
            for node in &mut spec.nodes {
                node.began |= members.contains(&node.id);
            }
            Ok(spec.clone())
        })?;
        self.prepare()
    }

    /// Reads `cluster.json` again, and makes what new nodes need. Whether it changed.
    pub fn reload(&mut self) -> anyhow::Result<bool> {
        match read_spec(&self.dir)? {
            Some(spec) if spec != self.spec => {
                self.spec = spec;
                self.prepare()?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The cluster is node `id` alone from now on, under another name: what was issued for the old one goes, and what
    /// the new one needs is made. The other nodes' folders, and volumes, stay and are never used again.
    ///
    /// # Errors
    /// When a file cannot be written; then it can be done again.
    pub fn become_one(mut self, id: u64, cluster: &str) -> anyhow::Result<()> {
        self.spec.nodes.retain(|n| n.id == id);
        if let Some(ground) = &mut self.spec.engines {
            // What has the old label is no part of this, and so it is not removed.
            ground.label = cluster.to_string();
        }
        self.rename(cluster)
    }

    /// That a node's data is in its folder, where it can be worked on.
    ///
    /// # Errors
    /// When the node is a container, whose data was not carried here; with how to do that.
    pub fn has_data_here(&self, id: u64) -> anyhow::Result<()> {
        let node = self.spec.nodes.iter().find(|n| n.id == id);
        let Some(home) = node.and_then(|n| n.home.as_ref()) else {
            return Ok(());
        };
        let data = self.node_dir(id).join("data");
        ensure!(
            data.join("cluster").exists(),
            "node {id} is a container of the engine {}: copy its data here first, with \
             `docker cp pontoon-{}-node-{id}:/var/lib/pontoon/data {}`",
            home.engine,
            self.spec.cluster_id,
            data.display()
        );
        Ok(())
    }

    /// A node beside those that there are, for [`Folder::become_restored`].
    ///
    /// # Errors
    /// When no port is free.
    pub fn beside(&mut self) -> anyhow::Result<Node> {
        self.spec.new_node(false)
    }

    /// The cluster is `node` alone from now on, whose disk was restored, under another name. The other nodes' folders go.
    ///
    /// # Errors
    /// When a file cannot be written; then it can be done again.
    pub fn become_restored(mut self, mut node: Node, cluster: &str) -> anyhow::Result<()> {
        node.began = true;
        let old = std::mem::replace(&mut self.spec.nodes, vec![node]);
        self.spec.formed = true;
        let dir = self.dir.clone();
        self.rename(cluster)?;
        for node in old {
            let dir = node_dir(&dir, node.id);
            if let Err(error) = std::fs::remove_dir_all(&dir)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "the folder {} stays behind", dir.display());
            }
        }
        Ok(())
    }

    fn rename(mut self, cluster: &str) -> anyhow::Result<()> {
        self.spec.cluster_id = cluster.to_string();
        let spec = self.spec.clone();
        let nodes = spec.nodes.iter().map(|n| format!("node-{}", n.id));
        for name in nodes.chain(["admin".to_string()]) {
            for end in ["pem", "key"] {
                let path = self.dir.join(format!("{name}.{end}"));
                match std::fs::remove_file(&path) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        return Err(e).with_context(|| path.display().to_string());
                    }
                    _ => {}
                }
            }
        }
        self.prepare()?;
        change(&self.dir, |_| Ok((spec, ())))
    }

    /// Whether what a node had is gone: of a container, what stands for it found that.
    pub fn is_gone(&self, node: &Node) -> bool {
        is_gone(&self.dir, node)
    }

    /// The file in which a node, or what stands for its container, says that its disk was found damaged.
    pub fn damage(&self, node: &Node) -> PathBuf {
        let dir = self.node_dir(node.id);
        let holder = if node.home.is_some() {
            dir
        } else {
            dir.join("data")
        };
        holder.join(crate::node::damage::MARK)
    }

    /// Why the process of that name must not be begun, if it must not: a node that was a member, whose disk is gone, or lost
    /// something.
    pub fn lost(&self, name: &str) -> impl Fn() -> Option<&'static str> + use<> {
        let node = self.spec.nodes.iter().find(|n| node_name(n.id) == name);
        let files = |n: &Node| (n.id, self.damage(n));
        let (dir, node) = (self.dir.clone(), node.map(files));
        move || {
            let (id, damage) = node.as_ref()?;
            if damage.exists() {
                return Some("its disk was found damaged");
            }
            let gone = |spec: Spec| spec.nodes.iter().any(|n| n.id == *id && is_gone(&dir, n));
            let gone = read_spec(&dir).is_ok_and(|spec| spec.is_some_and(gone));
            gone.then_some("its disk is gone")
        }
    }

    /// The process of that name has ended: where it was a node that was taken out, its folder goes.
    pub fn forget(&self, name: &str) {
        let Some(id) = name.strip_prefix("node ").and_then(|id| id.parse().ok()) else {
            return;
        };
        if self.spec.next_id > id && self.spec.nodes.iter().all(|n| n.id != id) {
            let dir = self.node_dir(id);
            if let Err(error) = std::fs::remove_dir_all(&dir)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "the folder {} stays behind", dir.display());
            }
        }
    }

    /// The folder of the console that comes with it.
    pub fn console_dir(&self) -> PathBuf {
        self.dir.join("console")
    }

    /// A node's own folder.
    pub fn node_dir(&self, id: u64) -> PathBuf {
        node_dir(&self.dir, id)
    }

    /// The file of a node's configuration.
    pub fn config_path(&self, id: u64) -> PathBuf {
        self.node_dir(id).join("node.toml")
    }

    /// The operator's certificate of this cluster.
    pub fn credentials(&self) -> Files {
        credentials(&self.dir)
    }
}

/// The configuration of `node`, TOML: what it reads is in `base`, what it keeps in `data`.
pub fn config_text(spec: &Spec, node: &Node, base: &Path, data: &Path) -> anyhow::Result<String> {
    let path = |name: &str| base.join(name).display().to_string();
    let members: Vec<config::Member> = spec
        .nodes
        .iter()
        .map(|n| config::Member {
            id: n.id,
            peer_addr: spec.peer_addr(n),
            client_addr: spec.client_addr(n),
            announced: String::new(),
            data: !spec.is_witness(n),
        })
        .collect();
    let mut t = toml::Table::new();
    let number = |n: u64| i64::try_from(n).map(toml::Value::Integer);
    t.insert("node_id".into(), number(node.id)?);
    if spec.is_witness(node) {
        t.insert("role".into(), "witness".into());
    }
    t.insert("cluster_id".into(), spec.cluster_id.clone().into());
    t.insert("data_dir".into(), data.display().to_string().into());
    t.insert(
        "client_addr".into(),
        spec.client_bind(node).to_string().into(),
    );
    t.insert("announced".into(), spec.client_addr(node).into());
    // In a container both have the same name, whoever made them.
    let given = spec.given.as_ref().filter(|_| node.home.is_none());
    let (cert, key) = match given {
        Some(g) => (g.cert.display().to_string(), g.key.display().to_string()),
        None => (path("server.pem"), path("server.key")),
    };
    t.insert("tls_cert".into(), cert.into());
    t.insert("tls_key".into(), key.into());
    t.insert("peer_addr".into(), spec.peer_bind(node).to_string().into());
    t.insert(
        "peer_cert".into(),
        path(&format!("node-{}.pem", node.id)).into(),
    );
    t.insert(
        "peer_key".into(),
        path(&format!("node-{}.key", node.id)).into(),
    );
    t.insert("peer_ca".into(), path("ca.pem").into());
    t.insert("password_file".into(), path(certs::PASSWORD).into());
    t.insert("metrics_addr".into(), spec.metrics_addr(node).into());
    t.insert("proxy_key_file".into(), path(PROXY_KEY).into());
    t.insert("memory_mib".into(), number(spec.memory_of(node))?);
    let first = spec.nodes.first().map(|n| n.id);
    t.insert(
        "bootstrap".into(),
        (!spec.formed && first == Some(node.id)).into(),
    );
    t.insert("members".into(), toml::Value::try_from(members)?);
    Ok(format!(
        "# Written by `pontoon dev` at each start: changes are lost.\n{}",
        toml::to_string(&t)?
    ))
}

/// A node that was a member, and what it had is gone: the file that its disk holds from its first start on is not there.
fn is_gone(dir: &Path, node: &Node) -> bool {
    let dir = node_dir(dir, node.id);
    node.began
        && match node.home {
            Some(_) => dir.join(container::GONE).exists(),
            None => !dir.join("data/cluster").exists(),
        }
}

/// The folder of a cluster that does not run, held so that it does not start meanwhile.
///
/// # Errors
/// When it runs, or there is none.
pub fn hold(dir: &Path) -> anyhow::Result<Folder> {
    if read_spec(dir)?.is_none() {
        bail!("{} holds no cluster", dir.display());
    }
    let dir = dir.canonicalize()?;
    let lock = lock(&dir)?.ok_or_else(|| {
        anyhow!(
            "the cluster of {0} is running: stop it first with `pontoon dev stop --dir {0}`",
            dir.display()
        )
    })?;
    let spec = read_spec(&dir)?.with_context(|| format!("{} holds no cluster", dir.display()))?;
    Ok(Folder {
        dir,
        spec,
        settings: Vec::new(),
        _lock: lock,
    })
}

/// The operator's certificate in a cluster's folder.
pub fn credentials(dir: &Path) -> Files {
    Files {
        ca: dir.join("ca.pem"),
        pair: Pair {
            cert: dir.join("admin.pem"),
            key: dir.join("admin.key"),
        },
    }
}

/// Takes the lock of `dir`, or answers `None` where another process has it.
pub fn lock(dir: &Path) -> anyhow::Result<Option<File>> {
    let path = dir.join(LOCK);
    let Some(mut file) = lock::take(&path).with_context(|| path.display().to_string())? else {
        return Ok(None);
    };
    // For `dev stop`: whom to tell.
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Some(file))
}

/// The process that holds the lock of `dir`, as it wrote itself down.
pub fn lock_holder(dir: &Path) -> Option<u32> {
    std::fs::read_to_string(dir.join(LOCK))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Whether a process holds the lock of `dir`.
pub fn held(dir: &Path) -> bool {
    lock::held(&dir.join(LOCK))
}

#[cfg(test)]
mod tests {
    use super::super::Plan;
    use super::super::spec::{add_node, free_port, remove_node, restart_node, set_plan};
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    /// A port for each test, which has a thread of its own: tests that run at once do not meet.
    fn wanted() -> Wanted {
        thread_local!(static PORT: u16 =
            free_port(Ipv4Addr::LOCALHOST.into(), true, &mut Vec::new()).unwrap());
        Wanted {
            plan: Some(Plan::Premium),
            port: Some(PORT.with(|p| *p)),
            ..Wanted::default()
        }
    }

    #[test]
    fn a_port_in_use_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let taken = Wanted {
            port: Some(port),
            ..wanted()
        };
        let error = format!("{:#}", Folder::open(dir.path(), &taken).unwrap_err());
        assert!(error.contains("give another --port"), "{error}");
        assert!(read_spec(dir.path()).unwrap().is_none());
        Folder::open(dir.path(), &wanted()).unwrap();
    }

    #[test]
    fn the_same_folder_is_the_same_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let first = Folder::open(dir.path(), &wanted()).unwrap();
        let spec = first.spec.clone();
        let (ca, password, node) = (read("ca.pem"), read("password"), read("node-2/node.toml"));
        drop(first);

        let again = Folder::open(dir.path(), &Wanted::default()).unwrap();
        assert_eq!(again.spec, spec);
        assert_eq!(
            (read("ca.pem"), read("password"), read("node-2/node.toml")),
            (ca, password, node)
        );
    }

    #[test]
    fn what_a_cluster_keeps_for_life_cannot_be_changed_by_a_flag() {
        let dir = tempfile::tempdir().unwrap();
        drop(Folder::open(dir.path(), &wanted()).unwrap());
        for (other, what) in [
            (
                Wanted {
                    plan: Some(Plan::Hobbyist),
                    ..wanted()
                },
                "--plan hobbyist",
            ),
            (
                Wanted {
                    port: Some(1),
                    ..wanted()
                },
                "--port 1",
            ),
            (
                Wanted {
                    bind: Some("0.0.0.0".parse().unwrap()),
                    ..wanted()
                },
                "--bind 0.0.0.0",
            ),
        ] {
            let error = Folder::open(dir.path(), &other).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        let more = Folder::open(
            dir.path(),
            &Wanted {
                memory_mib: Some(2048),
                ..wanted()
            },
        )
        .unwrap();
        assert_eq!(more.spec.memory_mib, 2048);
    }

    #[test]
    fn one_process_at_a_time_holds_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let held = Folder::open(dir.path(), &wanted()).unwrap();
        let error = Folder::open(dir.path(), &wanted()).unwrap_err().to_string();
        assert!(error.contains("is running already"), "{error}");
        assert_eq!(lock_holder(dir.path()), Some(std::process::id()));
        drop(held);
        Folder::open(dir.path(), &wanted()).unwrap();
    }

    #[test]
    fn one_node_makes_the_cluster_and_only_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(dir.path(), &wanted()).unwrap();
        let makers = |folder: &Folder| -> Vec<u64> {
            let load = |id| config::Node::load(Some(&folder.config_path(id)), &[], &[]).unwrap();
            (1..=3)
                .map(load)
                .filter(|c| c.bootstrap)
                .map(|c| c.node_id)
                .collect()
        };
        assert_eq!(makers(&folder), [1]);
        folder.set_formed(&[1, 2]).unwrap();
        assert!(makers(&folder).is_empty());
        drop(folder);
        assert!(makers(&Folder::open(dir.path(), &wanted()).unwrap()).is_empty());
    }

    #[test]
    fn nodes_come_and_go_and_no_id_comes_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(dir.path(), &wanted()).unwrap();
        let early = add_node(dir.path(), false).unwrap_err().to_string();
        assert!(early.contains("has not served yet"), "{early}");
        folder.set_formed(&[1, 2, 3]).unwrap();
        assert!(!folder.reload().unwrap());
        let (_, node) = add_node(dir.path(), false).unwrap();
        assert_eq!((node.id, node.began), (4, false));
        assert!(folder.reload().unwrap() && folder.config_path(4).exists());
        remove_node(dir.path(), 4).unwrap();
        // What the supervisor notes does not bring it back.
        folder.set_formed(&[1, 2, 3, 4]).unwrap();
        assert_eq!(folder.spec.nodes.len(), 3);
        assert!(folder.spec.nodes.iter().all(|n| n.began));
        assert_eq!(add_node(dir.path(), false).unwrap().1.id, 5);
        assert!(remove_node(dir.path(), 4).is_err());
    }

    #[test]
    fn a_plan_changes_and_nodes_follow_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(dir.path(), &wanted()).unwrap();
        folder.set_formed(&[1, 2, 3]).unwrap();
        set_plan(dir.path(), Plan::Business, (2048, None), None).unwrap();
        folder.reload().unwrap();
        let memory = |folder: &Folder| -> Vec<u64> {
            let spec = &folder.spec;
            spec.nodes.iter().map(|n| spec.memory_of(n)).collect()
        };
        assert_eq!(memory(&folder), [1024; 3]);
        let witnesses = |f: &Folder| f.spec.nodes.iter().filter(|n| f.spec.is_witness(n)).count();
        assert_eq!(witnesses(&folder), 0, "no data node becomes a witness");
        restart_node(dir.path(), 2).unwrap();
        add_node(dir.path(), true).unwrap();
        folder.reload().unwrap();
        assert_eq!(memory(&folder), [1024, 2048, 1024, 2048]);
        assert_eq!(witnesses(&folder), 1);
        let loaded = config::Node::load(Some(&folder.config_path(4)), &[], &[]).unwrap();
        assert!(loaded.role == config::Role::Witness);
        set_plan(dir.path(), Plan::Business, (1024, None), None).unwrap();
        folder.reload().unwrap();
        assert_eq!(memory(&folder), [1024, 2048, 1024, 2048]);
    }

    #[test]
    fn a_setting_that_no_node_would_take_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let bad = Wanted {
            settings: vec![("databases".into(), "0".into())],
            ..wanted()
        };
        let error = Folder::open(dir.path(), &bad).unwrap_err().to_string();
        assert!(error.contains("databases: it is 0"), "{error}");
    }

    #[test]
    fn ports_differ_and_are_not_those_of_outgoing_connections() {
        let mut taken = vec![10_000];
        for _ in 0..20 {
            free_port(Ipv4Addr::LOCALHOST.into(), true, &mut taken).unwrap();
        }
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), 21);
    }
}
