//! A node in the simulation: the production node on simulated ground, in a runtime that can be stopped, held up, or
//! dropped between two instructions, as a process can.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pontoon::base::clock::{Clock, Source};
use pontoon::base::work::Pace;
use pontoon::config;
use pontoon::log::disk::Disk;
use pontoon::node::{ground::Ground, run_on};
use pontoon::raft::group::Group;
use pontoon::raft::link::{Dial, Later, Listen};
use pontoon::server::Server;
use pontoon::server::listener::Pool;
use pontoon::store::Base;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::disk::SimDisk;
use crate::net::{Net, addr};
use crate::rows::Plain;

/// The length of the log's segments, bytes.
const SEGMENT: u64 = 64 * 1024;
/// Unpolled rounds of a slice: up to 61 tasks are polled in each.
const ROUNDS: usize = 12;

/// What can be seen of a running node.
#[derive(Clone)]
pub struct Inside {
    pub group: Arc<Group>,
    pub server: Arc<Server>,
}

/// The clocks of a node's machine: the world's time, and a wall clock that can be set wrong.
#[derive(Default)]
pub struct Clocks {
    off_us: AtomicI64,
}

impl Clocks {
    /// Sets the wall clock ahead, or back.
    pub fn set_off(&self, us: i64) {
        self.off_us.store(us, Ordering::Relaxed);
    }
}

impl Source for Clocks {
    fn boottime_us(&self) -> u64 {
        uptime().as_micros() as u64
    }

    fn wall_us(&self) -> u64 {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        (now.as_micros() as u64).saturating_add_signed(self.off_us.load(Ordering::Relaxed))
    }
}

/// The simulated time since the world began, and some that went before.
fn uptime() -> Duration {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed() + Duration::from_secs(1000)
}

/// A node, over all its lives.
pub struct Node {
    pub id: u64,
    pub dir: PathBuf,
    pub disk: SimDisk,
    pub clocks: Arc<Clocks>,
    net: Net,
    members: Vec<config::Member>,
    bootstrap: bool,
    life: Option<Life>,
    /// It keeps the log alone.
    pub witness: bool,
    /// How often it was started.
    pub lives: u64,
    /// Not run before.
    pub held_until: Option<Instant>,
    /// Started again then.
    pub back_at: Option<Instant>,
    /// Its disk was lost: it never comes back.
    pub gone: bool,
    /// When it started on a log with a flipped bit.
    pub rotten_at: Option<Instant>,
}

struct Life {
    runtime: Runtime,
    local: LocalSet,
    ended: Arc<Mutex<Option<String>>>,
    inside: Arc<Mutex<Option<Inside>>>,
}

struct SimGround {
    id: u64,
    disk: SimDisk,
    clocks: Arc<Clocks>,
    net: Net,
    inside: Arc<Mutex<Option<Inside>>>,
}

impl Ground for SimGround {
    fn clock(&self) -> Clock {
        Clock::new(self.clocks.clone())
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn base(&self) -> Arc<dyn Base> {
        Arc::new(Plain)
    }

    fn pace(&self) -> Option<Pace> {
        Some(self.disk.pace())
    }

    fn dial(&self, _: &config::Node) -> anyhow::Result<Arc<dyn Dial>> {
        Ok(Arc::new(self.net.dialer(self.id)))
    }

    fn listen<'a>(&'a self, _: &'a config::Node) -> Later<'a, anyhow::Result<Box<dyn Listen>>> {
        let door = self.net.listen(self.id);
        Box::pin(async { Ok(Box::new(door) as Box<dyn Listen>) })
    }

    fn clients<'a>(
        &'a self,
        _: &'a config::Node,
        server: &'a Arc<Server>,
    ) -> Later<'a, anyhow::Result<Pool>> {
        let pool = Pool::local(server.clone());
        self.net.open_pool(self.id, pool.clone());
        Box::pin(async { Ok(pool) })
    }

    fn serving(&self, group: &Arc<Group>, server: &Arc<Server>) {
        *self.inside.lock() = Some(Inside {
            group: group.clone(),
            server: server.clone(),
        });
    }
}

/// The member with this id.
pub fn member(id: u64) -> config::Member {
    member_of(id, false)
}

/// The same, perhaps a witness.
pub fn member_of(id: u64, witness: bool) -> config::Member {
    config::Member {
        id,
        peer_addr: addr(id).to_string(),
        client_addr: addr(id).to_string(),
        announced: String::new(),
        data: !witness,
    }
}

impl Node {
    /// A node that was never started. `members` make the cluster, if it is the one to do that.
    pub fn new(id: u64, dir: PathBuf, seed: u64, net: Net, members: Vec<config::Member>) -> Node {
        Node {
            id,
            dir,
            disk: SimDisk::new(seed),
            clocks: Arc::default(),
            net,
            bootstrap: members.first().is_some_and(|m| m.id == id),
            witness: members.iter().any(|m| m.id == id && !m.data),
            members,
            life: None,
            lives: 0,
            held_until: None,
            back_at: None,
            gone: false,
            rotten_at: None,
        }
    }

    fn config(&self) -> config::Node {
        config::Node {
            node_id: self.id,
            cluster_id: "sim".into(),
            data_dir: self.dir.clone(),
            client_addr: addr(self.id),
            peer_addr: addr(self.id),
            members: self.members.clone(),
            bootstrap: self.bootstrap,
            password: config::Secret::new("secret"),
            role: match self.witness {
                true => config::Role::Witness,
                false => config::Role::Data,
            },
            unrestricted: true,
            io_threads: 1,
            databases: 2,
            log_segment_bytes: SEGMENT,
            log_disk_cap_bytes: 64 * SEGMENT,
            store_window_bytes: 64 * 1024,
            store_flush_interval_ms: 1500,
            ..config::Node::default()
        }
    }

    /// Starts it.
    pub fn start(&mut self) {
        self.back_at = None;
        self.held_until = None;
        self.lives += 1;
        self.disk.start();
        self.net.back(self.id);
        // What an earlier life still holds in memory cannot be made to let go of its lock.
        let _ = std::fs::remove_file(self.dir.join("log/lock"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let local = LocalSet::new();
        let (ended, inside) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
        let ground = SimGround {
            id: self.id,
            disk: self.disk.clone(),
            clocks: self.clocks.clone(),
            net: self.net.clone(),
            inside: inside.clone(),
        };
        let (config, why) = (self.config(), ended.clone());
        local.spawn_local(async move {
            let ran = run_on(&ground, config, std::future::pending()).await;
            *why.lock() = Some(ran.err().map_or("it ended".into(), |e| format!("{e:#}")));
        });
        self.life = Some(Life {
            runtime,
            local,
            ended,
            inside,
        });
    }

    /// Lets it work for a moment, in which time stands still. Why it ended, if it did.
    pub fn slice(&mut self) -> Option<String> {
        let life = self.life.as_ref()?;
        slice(&life.runtime, &life.local);
        life.ended.lock().take()
    }

    /// Its process is gone, and with `power` what its disk had not synced.
    pub fn crash(&mut self, power: bool) {
        let Some(life) = self.life.take() else {
            return;
        };
        self.net.gone(self.id, power);
        // First the disk, so that nothing of what is dropped now writes.
        self.disk.stop(power);
        *life.inside.lock() = None;
        let _guard = life.runtime.enter();
        drop(life.local);
        drop(_guard);
        drop(life.runtime);
    }

    /// Whether its process is there.
    pub fn up(&self) -> bool {
        self.life.is_some()
    }

    /// What can be seen of it, once it serves.
    pub fn inside(&self) -> Option<Inside> {
        self.life.as_ref()?.inside.lock().clone()
    }

    /// Runs a future on the node's runtime, at its next slices.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some(life) = &self.life {
            drop(life.runtime.spawn(future));
        }
    }
}

/// Lets the tasks of a runtime work, without time going by.
pub fn slice(runtime: &Runtime, local: &LocalSet) {
    runtime.block_on(local.run_until(async {
        for _ in 0..ROUNDS {
            tokio::task::yield_now().await;
        }
    }));
}
