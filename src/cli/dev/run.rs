//! Runs the cluster of a folder: begins or takes over its processes, watches them, and stops them.
//!
//! `processes.json` names every process that runs, so that the next start finds those that outlived a killed
//! supervisor. A found one that is not what would be begun now (another binary, other arguments) is stopped first.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::folder::{self, Folder};
use super::process::{Identity, Plan, Running};
use super::service::{self, Service, gateway_name, node_name};
use super::spec::{self, Node, Spec, replace};
use super::supervise::{Event, Order, Shared, supervise};
use crate::base::limits;
use crate::cli::{Answer, Output, gateway, print, told_to_stop};
use crate::config;
use crate::gateway::{Address, View, Watch};
use crate::tls::peer::Credentials;

const PROCESSES: &str = "processes.json";
/// How long a process of an earlier run may take to stop.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the folder is looked at for what has changed.
const LOOK: Duration = Duration::from_millis(200);
/// How often engines are looked at for containers that are no part of the cluster any more.
const SWEEP: Duration = Duration::from_secs(30);
/// How often certificates are looked at for those that end soon.
const RENEW_EVERY: Duration = Duration::from_secs(3600);
/// After this long without a primary, someone is told.
const SLOW_START: Duration = Duration::from_secs(30);

/// Runs the cluster until this process is told to stop; then stops it.
///
/// # Errors
/// When it cannot be started. What fails later is begun again.
pub async fn run(folder: Folder, output: Output) -> anyhow::Result<()> {
    // Listened for from the beginning: nothing that was begun is left behind.
    let told = told_to_stop();
    tokio::pin!(told);

    let plans = plans(&folder)?;
    let mut found = take_over(&folder.dir, &plans).await?;
    if !found.keys().any(|name| name.starts_with("gateway")) {
        check_port(&folder)?;
    }
    let gateways = plans
        .iter()
        .filter(|p| p.name.starts_with("gateway"))
        .count();

    let (events, inbox) = mpsc::channel(limits::MEMBERS_MAX);
    let mut crew = Crew {
        events,
        stops: BTreeMap::new(),
        tasks: JoinSet::new(),
    };
    for plan in plans {
        let running = found.remove(&plan.name);
        crew.begin(&folder, plan, running);
    }

    let credentials = Credentials::open(&folder.spec.cluster_id, folder.credentials())?;
    let spec = &folder.spec;
    let nodes = spec.nodes.iter().map(|n| {
        (
            n.id,
            Address {
                client: spec.client_addr(n),
                peer: spec.peer_addr(n),
            },
        )
    });
    let watch = Watch::start(credentials, nodes.collect(), false);
    let mut keeper = Keeper {
        password: service::password(&folder)?,
        folder,
        gateways,
        view: watch.view(),
        inbox,
        engines: watch::channel(Vec::new()).1,
        pids: BTreeMap::new(),
        written: None,
        announced: false,
        output,
    };
    let ended = tokio::select! {
        told = &mut told => told,
        kept = keeper.keep(&mut crew) => kept,
    };
    let Crew {
        events,
        stops,
        mut tasks,
    } = crew;
    drop(events);
    for (orders, _) in stops.values() {
        let _ = orders.send(Order::Stop);
    }
    tracing::info!("the cluster is being stopped");
    // A second signal does not wait.
    let again = told_to_stop();
    tokio::pin!(again);
    loop {
        tokio::select! {
            next = tasks.join_next() => if next.is_none() { break },
            Some(event) = keeper.inbox.recv() => keeper.note(event)?,
            _ = &mut again => bail!("told to stop again: processes may still run; `pontoon dev stop` ends them"),
        }
    }
    keeper.pids.clear();
    keeper.save_processes()?;
    keeper.write(false)?;
    tracing::info!("the cluster has stopped");
    ended
}

/// The tasks that keep the processes running, by name.
struct Crew {
    events: mpsc::Sender<Event>,
    stops: BTreeMap<String, (watch::Sender<Order>, Shared)>,
    tasks: JoinSet<()>,
}

impl Crew {
    fn begin(&mut self, folder: &Folder, plan: Plan, running: Option<Running>) {
        let restarts = restarts(folder, &plan.name);
        let (orders, told) = watch::channel(Order::Run(restarts));
        let lost = folder.lost(&plan.name);
        let (name, shared) = (plan.name.clone(), Shared::new(plan.into()));
        self.stops.insert(name, (orders, shared.clone()));
        let events = self.events.clone();
        self.tasks
            .spawn(supervise(shared, lost, running, events, told));
    }

    /// Begins the nodes that came, stops those that went, and begins those anew that are to be; whatever is begun from now
    /// on, the gateway too, is begun as the folder has it.
    fn follow(&mut self, folder: &Folder) -> anyhow::Result<()> {
        let mut plans: BTreeMap<String, Plan> = plans(folder)?
            .into_iter()
            .map(|p| (p.name.clone(), p))
            .collect();
        self.stops.retain(|name, (orders, shared)| {
            let Some(plan) = plans.remove(name) else {
                // The number of gateways stays what it was at the start.
                if name.starts_with("node") {
                    tracing::info!(name, "it was taken out of the cluster and is stopped");
                    let _ = orders.send(Order::Stop);
                    return false;
                }
                return true;
            };
            *shared.lock() = plan;
            let order = Order::Run(restarts(folder, name));
            orders.send_if_modified(|now| std::mem::replace(now, order) != order);
            true
        });
        for plan in plans.into_values().filter(|p| p.name.starts_with("node")) {
            tracing::info!(name = plan.name, "it was added to the cluster");
            self.begin(folder, plan, None);
        }
        Ok(())
    }
}

/// How often the process of that name was told to begin anew.
fn restarts(folder: &Folder, name: &str) -> u64 {
    let node = folder.spec.nodes.iter().find(|n| node_name(n.id) == name);
    node.map_or(0, |n| n.restarts)
}

fn node_plan(folder: &Folder, node: &Node) -> Plan {
    let (id, dir) = (node.id, folder.node_dir(node.id));
    if node.home.is_some() {
        let mut args = vec!["dev".to_string(), "hold".into()];
        args.push(format!("--dir={}", folder.dir.display()));
        args.push(format!("--node={id}"));
        let set = |(key, value): &(String, String)| format!("--set={key}={value}");
        args.extend(folder.settings.iter().map(set));
        return Plan {
            name: node_name(id),
            program: None,
            args,
            printed: dir.join("log/printed.log"),
        };
    }
    let mut args = vec![
        "node".to_string(),
        "--config".into(),
        folder.config_path(id).display().to_string(),
        "--log-file".into(),
        dir.join("log/node.log").display().to_string(),
    ];
    for (key, value) in &folder.settings {
        args.push(format!("--{}={value}", key.replace('_', "-")));
    }
    let program = folder.spec.program_of(node);
    Plan {
        name: node_name(id),
        program: (!program.is_empty()).then(|| program.into()),
        args,
        printed: dir.join("log/printed.log"),
    }
}

/// Everything that this cluster consists of.
fn plans(folder: &Folder) -> anyhow::Result<Vec<Plan>> {
    let nodes = folder.spec.nodes.iter();
    let mut plans: Vec<Plan> = nodes.map(|n| node_plan(folder, n)).collect();
    let count = gateway_count(&folder.spec)?;
    for number in 1..=count {
        let dir = folder.dir.join("gateway");
        let path = |name: &str| folder.dir.join(name).display().to_string();
        let mut args = vec![
            "gateway".to_string(),
            format!(
                "--listen={}",
                SocketAddr::new(folder.spec.bind, folder.spec.port)
            ),
            format!("--cluster-id={}", folder.spec.cluster_id),
            format!("--ca={}", path("ca.pem")),
            format!("--cert={}", path("admin.pem")),
            format!("--key={}", path("admin.key")),
            format!("--proxy-key={}", path(folder::PROXY_KEY)),
            format!(
                "--log-file={}",
                dir.join(format!("gateway-{number}.log")).display()
            ),
        ];
        for n in &folder.spec.nodes {
            args.push(format!(
                "--node={}={},{}",
                n.id,
                folder.spec.client_addr(n),
                folder.spec.peer_addr(n)
            ));
        }
        if count > 1 {
            args.push("--shared".into());
        }
        let printed = dir.join(format!("printed-{number}.log"));
        plans.push(Plan {
            name: gateway_name(number),
            program: None,
            args,
            printed,
        });
    }
    if folder.spec.console_port != 0 {
        let dir = folder.console_dir();
        plans.push(Plan {
            name: CONSOLE.into(),
            program: None,
            args: vec![
                "console".into(),
                format!("--dir={}", dir.display()),
                format!("--listen=127.0.0.1:{}", folder.spec.console_port),
            ],
            printed: dir.join("console.log"),
        });
    }
    Ok(plans)
}

/// What the console's process is called.
const CONSOLE: &str = "console";

/// How many gateway processes it takes so that maxclients is not cut short by the files one process may open.
fn gateway_count(spec: &Spec) -> anyhow::Result<usize> {
    let clients = usize::try_from(config::maxclients(spec.memory_mib) + limits::GATEWAY_SPARE)?;
    let each = gateway::capacity().max(1);
    let count = clients.div_ceil(each);
    if count > limits::GATEWAY_PROCESSES_MAX {
        bail!(
            "the gateway needs two open files for each of {clients} connections and a process may open {}: \
             raise the limit (ulimit -n, or nofile in /etc/security/limits.conf)",
            config::open_files_limit()
        );
    }
    Ok(count)
}

fn check_port(folder: &Folder) -> anyhow::Result<()> {
    let addr = SocketAddr::new(folder.spec.bind, folder.spec.port);
    TcpListener::bind(addr).with_context(|| {
        format!("{addr} cannot be listened on, and this cluster keeps its address: stop what listens there")
    })?;
    Ok(())
}

/// Finds the processes of an earlier run. Those that are what would be begun now go on; the others are stopped.
async fn take_over(dir: &Path, plans: &[Plan]) -> anyhow::Result<BTreeMap<String, Running>> {
    let mut kept = BTreeMap::new();
    for (name, identity) in read_processes(dir) {
        let Some(mut running) = Running::find(&identity) else {
            continue;
        };
        if plans.iter().any(|p| p.name == name && running.fits(p)) {
            tracing::info!(name, pid = identity.pid, "it still runs and goes on");
            kept.insert(name, running);
        } else {
            tracing::info!(
                name,
                pid = identity.pid,
                "it still runs from an earlier start and is stopped"
            );
            running.stop(PATIENCE).await;
        }
    }
    Ok(kept)
}

fn read_processes(dir: &Path) -> BTreeMap<String, Identity> {
    let text = std::fs::read(dir.join(PROCESSES)).unwrap_or_default();
    // Damage means that nothing is known; the nodes' own locks keep two from one disk.
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Keeps the files up to date with what happens.
struct Keeper {
    folder: Folder,
    password: String,
    gateways: usize,
    view: watch::Receiver<View>,
    inbox: mpsc::Receiver<Event>,
    engines: watch::Receiver<Vec<service::Engine>>,
    pids: BTreeMap<String, Identity>,
    written: Option<Service>,
    announced: bool,
    output: Output,
}

impl Keeper {
    /// Follows events and roles until the process ends.
    async fn keep(&mut self, crew: &mut Crew) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut renewed = began;
        let mut warned = false;
        // Ends with this.
        let (answers, engines) = watch::channel(Vec::new());
        self.engines = engines;
        let mut sweeper = JoinSet::new();
        if self.folder.spec.engines.is_some() {
            let dir = self.folder.dir.clone();
            sweeper.spawn(async move {
                loop {
                    match super::container::sweep(&dir, false).await {
                        Ok((answered, failed)) => {
                            if let Some(error) = failed {
                                tracing::debug!(
                                    "what engines have left over stays for now: {error:#}"
                                );
                            }
                            let _ = answers.send(answered);
                        }
                        Err(error) => tracing::warn!("the engines are not looked at: {error:#}"),
                    }
                    tokio::time::sleep(SWEEP).await;
                }
            });
        }
        loop {
            match service::password(&self.folder) {
                Ok(password) => self.password = password,
                Err(error) => {
                    tracing::warn!("the password that clients are given stays: {error:#}")
                }
            }
            if renewed.elapsed() >= RENEW_EVERY {
                renewed = Instant::now();
                if let Err(error) = self.folder.prepare() {
                    tracing::warn!("certificates that end soon cannot be renewed: {error:#}");
                }
            }
            if self.folder.reload()? {
                crew.follow(&self.folder)?;
            }
            self.write(true)?;
            let (primary, members) = {
                let view = self.view.borrow_and_update();
                let members = view.members().map(|m| m.into_keys().collect::<Vec<_>>());
                (view.primary.map(|(id, _)| id), members)
            };
            if let Some(id) = primary {
                self.folder.set_formed(&members.unwrap_or_default())?;
                if !self.announced {
                    self.announced = true;
                    self.announce(id);
                }
            }
            if !self.announced && !warned && began.elapsed() >= SLOW_START {
                warned = true;
                tracing::warn!(
                    "no primary serves after {} s; the logs are in {}/node-*/log",
                    SLOW_START.as_secs(),
                    self.folder.dir.display()
                );
            }
            tokio::select! {
                changed = self.view.changed() => changed.context("the watch over the nodes ended")?,
                event = self.inbox.recv() => match event {
                    Some(event) => self.note(event)?,
                    None => bail!("no process is supervised any more"),
                },
                // Silence changes a role without an event.
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn note(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Runs(name, identity) => self.pids.insert(name, identity),
            Event::Ended(name) => {
                self.folder.forget(&name);
                self.pids.remove(&name)
            }
        };
        self.save_processes()
    }

    fn save_processes(&self) -> anyhow::Result<()> {
        replace(
            &self.folder.dir.join(PROCESSES),
            &serde_json::to_vec_pretty(&self.pids)?,
            false,
        )
    }

    fn service(&self, running: bool) -> Service {
        let service = Service::of(
            &self.folder,
            &self.password,
            &self.pids,
            &self.view.borrow(),
            self.gateways,
            running,
        );
        Service {
            engines: self.engines.borrow().clone(),
            ..service
        }
    }

    /// Replaces `service.json` where anything changed.
    fn write(&mut self, running: bool) -> anyhow::Result<()> {
        let service = self.service(running);
        if self.written.as_ref() != Some(&service) {
            service.write(&self.folder.dir)?;
            self.written = Some(service);
        }
        Ok(())
    }

    fn announce(&self, primary: u64) {
        let service = self.service(true);
        print(
            self.output,
            || {
                format!(
                    "The cluster runs in {}; node {primary} is the primary. Ctrl-C stops it.\n{}",
                    self.folder.dir.display(),
                    service.text()
                )
            },
            || serde_json::to_value(&service).unwrap_or_default(),
        );
    }
}

/// Waits until the supervisor of `dir` has done what its folder says, as `service.json` shows it; returns at once where none
/// runs.
///
/// # Errors
/// Where it does not come.
pub fn settled(dir: &Path, done: impl Fn(&Service) -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    while folder::held(dir) && !Service::read(dir).is_ok_and(|s| done(&s)) {
        if began.elapsed() > PATIENCE * 3 {
            bail!("the supervisor was told and has not done it: its log says more");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// `pontoon dev restart-node`: returns once another process runs.
///
/// # Errors
/// Where the cluster does not run, there is none of that id, or it does not come.
pub fn restart_node(dir: &Path, id: u64) -> anyhow::Result<()> {
    if !folder::held(dir) {
        bail!("the cluster of {} does not run", dir.display());
    }
    let pid = |service: &Service| service.nodes.iter().find(|n| n.id == id)?.pid;
    let before = pid(&Service::read(dir)?);
    spec::restart_node(dir, id)?;
    settled(dir, |s| pid(s).is_some_and(|now| Some(now) != before))
}

/// `pontoon dev stop`: tells the supervisor of `dir` to stop, or stops what a killed one left behind.
pub fn stop(dir: &Path, output: Output) -> anyhow::Result<Answer> {
    let dir = dir
        .canonicalize()
        .with_context(|| format!("{} holds no cluster", dir.display()))?;
    if spec::read_spec(&dir)?.is_none() {
        bail!("{} holds no cluster", dir.display());
    }
    let ran = crate::cli::runtime(1)?.block_on(stop_all(&dir))?;
    print(
        output,
        || {
            if ran {
                "stopped".to_string()
            } else {
                "it was not running".to_string()
            }
        },
        || json!({ "stopped": ran }),
    );
    Ok(Answer::Yes)
}

async fn stop_all(dir: &Path) -> anyhow::Result<bool> {
    let mut ran = false;
    // Held by a supervisor, it is told and waited for; free, whatever is left is stopped under our own lock.
    let _lock = loop {
        let holder = folder::held(dir)
            .then(|| folder::lock_holder(dir))
            .flatten();
        if let Some(mut supervisor) = holder
            .and_then(Identity::of)
            .and_then(|i| Running::find(&i))
        {
            ran = true;
            if !supervisor.stop(PATIENCE * 3).await {
                tracing::warn!("the supervisor did not stop in time and was killed");
            }
        }
        match folder::lock(dir)? {
            Some(lock) => break lock,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    for (_, identity) in read_processes(dir) {
        if let Some(mut left) = Running::find(&identity) {
            ran = true;
            left.stop(PATIENCE).await;
        }
    }
    replace(&dir.join(PROCESSES), b"{}", false)?;
    if let Ok(mut service) = Service::read(dir) {
        service.running = false;
        for node in &mut service.nodes {
            (node.pid, node.role) = (None, "unknown".into());
        }
        service.gateways.iter_mut().for_each(|g| g.pid = None);
        service.write(dir)?;
    }
    Ok(ran)
}
