//! One node, wired as a list that reads in order.

mod course;
pub mod damage;
pub mod ground;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use openraft::rt::WatchReceiver as _;
use tokio::sync::{mpsc, watch};

use self::ground::{Ground, Machine};
use crate::base::work;
use crate::command::Settings;
use crate::config;
use crate::data::Seed;
use crate::engine::Engine;
use crate::keyspace::{Keyspace, evict};
use crate::log::{self, Log};
use crate::raft::admin;
use crate::raft::group::{Group, Options};
use crate::raft::link::Stream;
use crate::raft::peers::Peers;
use crate::raft::state_machine::StateMachine;
use crate::raft::types::Member;
use crate::raft::{listener, log_storage, peer_service, recovery};
use crate::server::listener::Job;
use crate::server::relay::{self, Dial};
use crate::server::{self, Clients, Counters, Facts, Hub, Peer, Server, View, freshness, replicas};
use crate::store::Store;
use crate::tls::proxy::Key;

/// How long handing over leadership may hold up a stop.
const HAND_OVER_MAX: Duration = Duration::from_secs(3);

/// Runs the node that `config` describes on this machine until `shutdown` is ready, then stops it in order.
///
/// # Errors
/// What kept it from starting, or what stopped it.
pub async fn run(config: config::Node, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    run_on(&Machine::default(), config, shutdown).await
}

/// The same on any ground.
///
/// # Errors
/// The same.
pub async fn run_on(
    ground: &impl Ground,
    config: config::Node,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let data_dir = config.data_dir.clone();
    std::fs::create_dir_all(&data_dir)
        .with_context(|| format!("making the data folder {}", data_dir.display()))?;
    damage::refuse(&data_dir)?;
    let ended = serve_on(ground, config, shutdown).await;
    if let Err(error) = &ended {
        damage::note(&data_dir, error);
    }
    ended
}

async fn serve_on(
    ground: &impl Ground,
    config: config::Node,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    recovery::claim(&config.data_dir, &config.cluster_id)?;
    tokio::pin!(shutdown);
    let (fatal, mut stopped) = mpsc::channel::<String>(4);

    // Clients are listened to first: while the data loads they get LOADING, not silence.
    let engine = Engine::with_clock(
        Keyspace::new(config.databases as u32, Seed::default()),
        settings(&config),
        ground.clock(),
    );
    if let Some(boot) = ground.boot()
        && config.role != config::Role::Witness
    {
        let dir = config.data_dir.clone();
        if let Some(kept) = course::read(&dir, &boot) {
            engine.lock().course = kept;
        }
        tokio::spawn(course::keep(Arc::downgrade(&engine), dir, boot));
    }
    let (view_out, view) = watch::channel(View {
        node_id: config.node_id,
        cluster_id: config.cluster_id.clone(),
        ..View::default()
    });
    let group_slot: Arc<OnceLock<Arc<Group>>> = Arc::default();
    let proxy_key = config
        .proxy_key_file
        .as_deref()
        .map(Key::read)
        .transpose()?;
    let server = Arc::new(server_of(&config, &engine, view, &group_slot, proxy_key));
    server.listen_to_engine();
    if !config.metrics_addr.is_empty() {
        let addr = config.metrics_addr.parse()?;
        let listening = server::metrics::listen(addr, server.clone()).await;
        listening.with_context(|| format!("metrics_addr: {addr} cannot be listened on"))?;
    }
    let witness = config.role == config::Role::Witness;
    let pool = match witness {
        // Clients get no answer here: nothing listens, and nothing is relayed.
        true => None,
        false => Some(ground.clients(&config, &server).await?),
    };

    // The log, the store, and the data that they hold; the log is read while the data is loaded.
    let log = {
        let fatal = fatal.clone();
        let on_fatal: log::Fatal =
            Box::new(move |e| drop(fatal.try_send(format!("the log stopped: {e}"))));
        let segment_len = config.log_segment_bytes as u32;
        let options = log::Options {
            segment_len,
            space_low: config.disk_low_mib << 20,
            ballast_len: config.disk_ballast_mib << 20,
            space: server.disk.clone(),
            on_fatal: Some(on_fatal),
            disk: ground.disk(),
            pace: ground.pace(),
            ..Default::default()
        };
        let dir = config.data_dir.join("log");
        async { Ok::<_, anyhow::Error>(work::blocking(move || Log::open(dir, options)).await??) }
    };
    let data = async {
        let options = crate::store::Options {
            window_bytes: config.store_window_bytes as usize,
            backlog_bytes: config.store_backlog_bytes as usize,
            flush_interval: Duration::from_millis(config.store_flush_interval_ms),
            base: ground.base(),
            pace: ground.pace(),
            ..crate::store::Options::new(config.data_dir.join("store"))
        };
        let stopped = move |e: &_| drop(fatal.try_send(format!("the store stopped: {e}")));
        let opening = work::blocking(move || Store::open(options, Box::new(stopped)));
        let (store, position) = opening.await??;
        let (engine, store) = (engine.clone(), Arc::new(store));
        let for_sm = store.clone();
        let snapshots = config.data_dir.join("snapshots");
        let (databases, threads) = (config.databases as u32, config.threads());
        let started = Instant::now();
        let sm = work::blocking(move || {
            StateMachine::open(
                engine, for_sm, position, &snapshots, databases, threads, witness,
            )
        })
        .await??;
        tracing::info!(
            keys = server.engine.lock().ks.len(),
            ms = started.elapsed().as_millis() as u64,
            "the data is loaded"
        );
        Ok::<_, anyhow::Error>((store, sm))
    };
    let (log, (store, sm)) = tokio::try_join!(log, data)?;

    if let Some(applied) = sm.applied()
        && log_storage::supersede(&log, &applied)?
    {
        tracing::warn!(
            index = applied.index,
            "the log ended otherwise than what was committed and applied: that end was dropped"
        );
    }
    // Raft, and the port where peers and operators meet this node.
    let max = Duration::from_millis(config.election_timeout_max_ms);
    let peers = Peers::new(ground.dial(&config)?)?;
    if witness && log.last().is_none() && log.purged().is_none() && log.vote().is_none() {
        let data = config.members.iter().filter(|m| m.data);
        let data: Vec<_> = data.map(|m| (m.id, m.peer_addr.clone())).collect();
        tokio::select! {
            checked = crate::raft::witness::check_new(&peers, config.node_id, &data) => checked?,
            () = &mut shutdown => return Ok(()),
        }
    }
    let options = Options {
        id: config.node_id,
        cluster_id: config.cluster_id.clone(),
        heartbeat: Duration::from_millis(config.heartbeat_ms),
        election_timeout_min: Duration::from_millis(config.election_timeout_min_ms),
        election_timeout_max: max,
        log_keep_bytes: (config.log_segment_bytes * 4).min(config.log_disk_cap_bytes / 2),
        log_cap_bytes: config.log_disk_cap_bytes,
        witness: witness.then(|| config.data_dir.clone()),
        clock: ground.clock(),
    };
    let incoming = config.data_dir.join("incoming");
    let group = Group::start(
        options,
        log,
        sm,
        engine.clone(),
        store,
        peers,
        incoming.clone(),
    )
    .await?;
    let _ = group_slot.set(group.clone());
    let door = ground.listen(&config).await?;
    let service = peer_service::Service::new(
        group.raft.clone(),
        group.lease.clone(),
        group.gate.clone(),
        incoming,
    )?
    .refusing_entries_on_a_full(server.disk.clone())
    .watched_by(group.watchdog.clone())
    .telling({
        let group = group.clone();
        move |caller| group.extent(caller)
    });
    let (relays, mut relayed) =
        mpsc::channel::<listener::Relayed>(crate::base::limits::RELAYS_QUEUED_MAX);
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn(listener::serve(
        door,
        service,
        admin::Service(group.clone()),
        relays,
        stopping,
    ));
    tokio::spawn(async move {
        while let Some(r) = relayed.recv().await {
            let Some(pool) = &pool else {
                continue;
            };
            pool.hand(Job::Relayed(Box::new(r)));
        }
    });
    tokio::spawn(follow(group.clone(), view_out));
    tokio::spawn(acknowledge(group.clone(), server.clone()));
    tokio::spawn(relay::wake_on_change(Arc::downgrade(&server)));
    tokio::spawn(replicas::ping(Arc::downgrade(&server)));
    tokio::spawn(freshness::renew(Arc::downgrade(&server)));
    if config.bootstrap {
        let members = config.members.iter().map(|m| {
            let announced = if m.announced.is_empty() {
                m.client_addr.clone()
            } else {
                m.announced.clone()
            };
            let member = Member {
                peer_addr: m.peer_addr.clone(),
                client_addr: m.client_addr.clone(),
                announced,
                data: m.data,
            };
            (m.id, member)
        });
        group.bootstrap(admin::members(members)).await?;
    }
    ground.serving(&group, &server);
    tracing::info!(id = config.node_id, clients = %config.client_addr, peers = %config.peer_addr, "the node serves");

    let scrub = async {
        match config.scrub_interval_s {
            0 => std::future::pending().await,
            every => {
                let every = Duration::from_secs(every);
                damage::scrub(
                    group.log.clone(),
                    group.store.clone(),
                    config.data_dir.clone(),
                    every,
                )
                .await
            }
        }
    };
    let ended = tokio::select! {
        why = scrub => Err(why),
        () = &mut shutdown => {
            group.step_down(HAND_OVER_MAX).await;
            Ok(())
        }
        why = stopped.recv() => Err(anyhow::anyhow!(why.unwrap_or_default())),
        why = group.ended() => Err(anyhow::anyhow!("Raft stopped: {why}")),
    };
    let _ = stop.send(true);
    group.stop().await;
    serving.abort();
    ended
}

fn settings(config: &config::Node) -> Settings {
    let policy = evict::Policy::parse(config.maxmemory_policy.name()).unwrap_or_default();
    Settings {
        maxmemory: config.maxmemory(),
        eviction: evict::Settings {
            policy,
            ..Default::default()
        },
        ..Settings::default()
    }
}

fn server_of(
    config: &config::Node,
    engine: &Arc<Engine>,
    view: watch::Receiver<View>,
    group: &Arc<OnceLock<Arc<Group>>>,
    proxy_key: Option<Key>,
) -> Server {
    let restricted: BTreeSet<String> = if config.unrestricted {
        BTreeSet::new()
    } else {
        config.restricted_commands.iter().cloned().collect()
    };
    let facts = {
        let group = group.clone();
        Arc::new(move || group.get().map_or_else(Facts::default, |g| facts(g)))
    };
    let options = server::Options {
        password: config.password.expose().as_bytes().to_vec(),
        restricted,
        maxclients: config.maxclients() as usize,
        redirect: config.redirect,
        staleness_ms: config.standby_staleness_ms,
        linearizable: config.standby_reads == config::StandbyReads::Linearizable,
        port: config.client_addr.port(),
        scripting: config.lua_scripting || config.unrestricted,
        functions: config.functions || config.unrestricted,
        proxy_key,
        certificates: [
            ("clients", &config.tls_cert),
            ("peers", &config.peer_cert),
            ("ca", &config.peer_ca),
        ]
        .into_iter()
        .filter(|(_, path)| !path.as_os_str().is_empty())
        .map(|(what, path)| (what, path.clone()))
        .collect(),
    };
    Server {
        engine: engine.clone(),
        live: server::Live::new(&options),
        options,
        clients: Clients::new(config.node_id),
        hub: Arc::new(Hub::default()),
        view,
        relay: Arc::new(Relay(group.clone())),
        started: Instant::now(),
        counters: Counters::default(),
        stats: Default::default(),
        monitors: Default::default(),
        freshness: Arc::default(),
        replicas: Default::default(),
        users: Default::default(),
        acl_log: Default::default(),
        slowlog: Default::default(),
        scripts: Default::default(),
        facts,
        acks: Default::default(),
        disk: Arc::default(),
        reload: {
            let group = group.clone();
            Arc::new(move || match group.get() {
                Some(group) => group.reload(),
                None => Err("the node has not started yet".into()),
            })
        },
    }
}

/// Tells the front end who leads and who is there.
async fn follow(group: Arc<Group>, out: watch::Sender<View>) {
    let mut metrics = group.raft.server_metrics();
    loop {
        let view = {
            let m = metrics.borrow_watched();
            let membership = m.membership_config.membership();
            // A witness is no node that a client could be sent to, also while it leads.
            let peer = |id: u64| {
                membership
                    .get_node(&id)
                    .filter(|n| n.data)
                    .map(|node| Peer {
                        id,
                        announced: node.announced.clone(),
                        voter: membership.voter_ids().any(|v| v == id),
                    })
            };
            View {
                node_id: group.id,
                cluster_id: group.cluster_id.clone(),
                leader: m.current_leader.and_then(peer),
                members: membership.nodes().filter_map(|(id, _)| peer(*id)).collect(),
                term: m.vote.leader_id.term,
            }
        };
        out.send_replace(view);
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// Answers those who wait for standbys, whenever one of them has more of the log.
async fn acknowledge(group: Arc<Group>, server: Arc<Server>) {
    let mut metrics = group.raft.metrics();
    loop {
        server.acks.somebody().await;
        server.serve_acks(&mut *server.engine.locked().await);
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

fn facts(group: &Group) -> Facts {
    let stats = group.log.stats();
    // A copy: with the watch held, a second look at it waits behind a waiting writer, for ever.
    let metrics = group.raft.metrics();
    let m = metrics.borrow_watched().clone();
    let followers = m.replication.as_ref().map_or_else(Vec::new, |replication| {
        let membership = m.membership_config.membership();
        replication
            .iter()
            .filter(|(id, _)| **id != group.id)
            .filter_map(|(id, matched)| {
                // A witness is no replica: it has nothing to read.
                let node = membership.get_node(id).filter(|n| n.data)?;
                Some((
                    node.announced.clone(),
                    matched.as_ref().map_or(0, |l| l.index),
                    group.reachable(*id),
                ))
            })
            .collect()
    });
    Facts {
        last_log: m.last_log_index.unwrap_or(0),
        applied: m.last_applied.as_ref().map_or(0, |l| l.index),
        committed: m.cluster_committed.as_ref().map_or(0, |l| l.index),
        durable: group.store.durable().map_or(0, |p| p.index),
        log_bytes: stats.bytes,
        log_syncs: stats.syncs,
        sync_p50_us: stats.sync_us.value_at_quantile(0.5),
        sync_p99_us: stats.sync_us.value_at_quantile(0.99),
        store_backlog_bytes: group.store.backlog() as u64,
        store_disk_bytes: group.store.disk_bytes(),
        term: m.current_term,
        disk_free: stats.free,
        sync_us: Some(stats.sync_us),
        followers,
    }
}

/// Reaches other nodes through the group.
struct Relay(Arc<OnceLock<Arc<Group>>>);

impl Dial for Relay {
    fn dial(
        &self,
        node: u64,
    ) -> Pin<Box<dyn Future<Output = std::io::Result<Stream>> + Send + '_>> {
        Box::pin(async move {
            let group = self
                .0
                .get()
                .ok_or_else(|| std::io::Error::other("the node has not started yet"))?;
            let addr = {
                let metrics = group.raft.server_metrics();
                let m = metrics.borrow_watched();
                m.membership_config
                    .membership()
                    .get_node(&node)
                    .map(|n| n.peer_addr.clone())
            };
            let addr =
                addr.ok_or_else(|| std::io::Error::other(format!("node {node} is no member")))?;
            group.peers.open_relay(node, &addr).await
        })
    }

    fn read_index(&self) -> Pin<Box<dyn Future<Output = Result<u64, String>> + Send + '_>> {
        Box::pin(async move {
            let group = self.0.get().ok_or("the node has not started yet")?;
            group.read_index().await
        })
    }
}
