//! What must hold once the load has ended: nothing acknowledged is missing, the nodes agree, every history is
//! linearizable. Checked at the leader there is, and again after all nodes were killed and read their disks.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pontoon::resp::Value;
use rustix::process::Signal;

use crate::client::{Client, Request, request};
use crate::cluster::{Cluster, signal, wait_for};
use crate::load::{Shared, value_of};
use crate::model::{Op, Reply};
use crate::wgl::{Verdict, check};

/// What a check found and counted.
#[derive(Debug, Default)]
pub struct Findings {
    /// What must not be. Empty: the run is clean.
    pub wrong: Vec<String>,
    pub keys: usize,
    pub operations: usize,
    pub acknowledged: usize,
    pub lost: usize,
    /// The longest time that a key's history took to be decided.
    pub slowest: Duration,
}

/// Requests in one pipeline.
const PIPELINE: usize = 100;
/// How long all histories may take, and more for each operation.
const DECIDE: Duration = Duration::from_secs(60);
const DECIDE_EACH: Duration = Duration::from_micros(200);

/// Every check on a cluster whose load has stopped.
///
/// # Errors
/// When the cluster cannot be asked: nothing is known of the data then.
pub fn all(cluster: &Cluster, load: &Shared) -> anyhow::Result<Findings> {
    let mut found = Findings::default();
    look(cluster, load, "at the leader after the faults", &mut found)?;
    let nodes = cluster.service()?.nodes;
    for pid in nodes.iter().filter_map(|n| n.pid) {
        signal(pid, Signal::KILL);
    }
    wait_for("new processes", Duration::from_secs(30), || {
        let now = cluster.service().ok()?.nodes;
        let fresh =
            |n: &crate::cluster::Node| n.pid.is_some() && !nodes.iter().any(|o| o.pid == n.pid);
        now.iter().all(fresh).then_some(())
    })?;
    look(
        cluster,
        load,
        "after all nodes were killed and restarted",
        &mut found,
    )?;
    histories(load, &mut found);
    found.acknowledged = load.acknowledged();
    found.wrong.extend(load.take_wrong());
    Ok(found)
}

/// That everything which is checked was done at least once.
///
/// # Errors
/// When something was not: nothing is known of it then.
pub fn took_place(load: &Shared) -> anyhow::Result<()> {
    let (exchanges, audits) = load.transactions();
    let missing = match (exchanges, audits) {
        (0, _) => Some("exchange took place"),
        (_, 0) => Some("audit took place"),
        _ => load.counts().missing(),
    };
    match missing {
        Some(missing) => anyhow::bail!("no {missing}: nothing was tested of it"),
        None => Ok(()),
    }
}

/// Reads everything once, and compares the nodes.
fn look(cluster: &Cluster, load: &Shared, when: &str, found: &mut Findings) -> anyhow::Result<()> {
    cluster.wait_whole()?;
    let mut client = Client::connect(&cluster.stable()?, Duration::from_secs(20))?;
    let entries = load.entries();
    let gets = entries
        .iter()
        .map(|(key, _)| request([b"GET", key]))
        .collect();
    let mut lost = 0;
    for ((key, acknowledged), (value, _, _)) in entries.iter().zip(read(&mut client, load, gets)?) {
        let held = value.as_bytes();
        let right = match acknowledged {
            true => held == Some(key.as_slice()),
            false => value == Value::Null || held == Some(key.as_slice()),
        };
        if !right {
            lost += usize::from(*acknowledged);
            let key = String::from_utf8_lossy(key);
            let text = format!(
                "{when}: {key} was {}, and holds {value:?}",
                if *acknowledged {
                    "acknowledged"
                } else {
                    "sent"
                }
            );
            if found.wrong.len() < 10 {
                found.wrong.push(text);
            }
        }
    }
    found.lost = found.lost.max(lost);
    if lost > 0 {
        found
            .wrong
            .push(format!("{when}: {lost} acknowledged writes are lost"));
    }
    let tracks = load.keys.all();
    let gets = tracks.iter().map(|t| t.get()).collect();
    for (track, (value, call, end)) in tracks.iter().zip(read(&mut client, load, gets)?) {
        match value_of(value.clone()) {
            Some(value) => track.note(200, Op::Get, Some(Reply::Read(value)), call, end),
            None => found.wrong.push(format!(
                "{when}: a read of {} was told {value:?}",
                track.name
            )),
        }
    }
    load.check_audit(&client.call(&load.audit())?);
    found.wrong.extend(load.check_together(&mut client, when)?);
    let digests = cluster.admin(&["digest"])?;
    if digests["same"] != true {
        found
            .wrong
            .push(format!("{when}: the nodes' digests differ: {digests}"));
    }
    Ok(())
}

/// Reads in pipelines; each value with when it was asked for and had.
fn read(
    client: &mut Client,
    load: &Shared,
    gets: Vec<Request>,
) -> anyhow::Result<Vec<(Value, u64, u64)>> {
    let mut values = Vec::new();
    for gets in gets.chunks(PIPELINE) {
        let call = load.clock.now();
        let replies = client.call(gets)?;
        let end = load.clock.now();
        values.extend(replies.into_iter().map(|v| (v, call, end)));
    }
    Ok(values)
}

/// Decides the history of every key, on all cores.
fn histories(load: &Shared, found: &mut Findings) {
    let tracks = load.keys.all();
    let operations: usize = tracks.iter().map(|t| t.history().len()).sum();
    let deadline = Instant::now() + DECIDE + DECIDE_EACH * operations as u32;
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    let slowest = Mutex::new(Duration::ZERO);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(track) = tracks.get(next.fetch_add(1, SeqCst)) {
                    let history = track.history();
                    let begin = Instant::now();
                    let text = match check(&history, deadline) {
                        Verdict::Linearizable => None,
                        Verdict::Undecided => Some(format!(
                            "{}: its history was not decided in time",
                            track.name
                        )),
                        Verdict::Violation(v) => Some(tell(&track.name, history.len(), &v)),
                    };
                    let mut slowest = slowest.lock();
                    *slowest = begin.elapsed().max(*slowest);
                    wrong.lock().extend(text);
                }
            });
        }
    });
    found.keys = tracks.len();
    found.operations = operations;
    found.slowest = slowest.into_inner();
    found.wrong.extend(wrong.into_inner());
}

fn tell(name: &str, count: usize, v: &crate::wgl::Violation) -> String {
    let held = v
        .held
        .as_deref()
        .map_or("nothing".into(), String::from_utf8_lossy);
    let tail: String = held
        .chars()
        .rev()
        .take(60)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    let mut text = format!(
        "{name} is not linearizable: of {count} operations {} can be ordered, up to the value {tail}; then come (ms):",
        v.explained
    );
    for o in v.blocked.iter().take(12) {
        text.push_str(&format!("\n      {o}"));
    }
    text
}
