//! The faults, each on a whole cluster under load, and whether it struck.
//!
//! Always: a fault leaves no process paused. One that did not strike (nothing was in flight, nobody else took over) says so, and
//! the run that it belongs to fails.

use std::time::Duration;

use anyhow::{Context, ensure};
use rand::Rng;
use rand::rngs::StdRng;
use rustix::process::Signal;

use crate::client::{Client, request};
use crate::cluster::{Cluster, Node, ended, signal, wait_for};
use crate::disk::Disks;
use crate::load::{Shared, value_of};
use crate::model::{Op, Reply};

/// How long the service may take to go on after a fault.
const PATIENCE: Duration = Duration::from_secs(30);
/// Direct connections to a leader that is about to be paused.
const PROBES: usize = 4;

/// A fault that was brought about.
#[derive(Debug)]
pub struct Strike {
    pub what: String,
    /// Whether it hit what it was meant to hit.
    pub struck: bool,
    /// Nodes that it hit, where their number varies.
    pub victims: usize,
    /// Writes in flight when it came.
    pub in_flight: usize,
    /// Whether another node led afterwards.
    pub other_leads: bool,
    /// From the fault to the next acknowledged write that was sent after it, nanoseconds; `None` where the fault has no one
    /// moment.
    pub gap: Option<u64>,
    /// The longest time without an acknowledged write around it, nanoseconds.
    pub silence: u64,
}

/// Whose disks lose their power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victims {
    Leader,
    All,
    /// One, two or all, whichever.
    Any,
}

/// What faults act on.
pub struct Stage<'a> {
    pub cluster: &'a Cluster,
    pub load: &'a Shared,
    pub disks: Option<&'a Disks>,
    pub rng: StdRng,
}

fn pid_of(node: &Node) -> anyhow::Result<u32> {
    node.pid
        .with_context(|| format!("node {} does not run", node.id))
}

impl Stage<'_> {
    /// The cluster, whole: its primary and its standbys.
    fn whole(&self) -> anyhow::Result<(Node, Vec<Node>)> {
        let nodes = self.cluster.wait_whole()?;
        let (primary, standbys): (Vec<Node>, Vec<Node>) =
            nodes.into_iter().partition(|n| n.role == "primary");
        let primary = primary.into_iter().next().context("a primary")?;
        Ok((primary, standbys))
    }

    /// Waits until a write is in flight, and returns how many are.
    fn in_flight(&self) -> anyhow::Result<usize> {
        wait_for("a write in flight", PATIENCE, || {
            Some(self.load.in_flight()).filter(|n| *n > 0)
        })
    }

    /// kill -9 of the leader.
    pub fn kill_leader(&mut self) -> anyhow::Result<Strike> {
        let (leader, _) = self.whole()?;
        let pid = pid_of(&leader)?;
        let in_flight = self.in_flight()?;
        let time = self.load.clock.now();
        signal(pid, Signal::KILL);
        let next = self.cluster.wait_other_primary(&leader, PATIENCE)?;
        let acked = self.load.wait_ack_after(time, PATIENCE)?;
        Ok(Strike {
            what: format!("kill of the leader, node {}", leader.id),
            struck: in_flight > 0,
            victims: 1,
            in_flight,
            other_leads: next.id != leader.id,
            gap: Some(acked - time),
            silence: self.load.silence(time),
        })
    }

    /// kill -9 of a standby: writes go on meanwhile.
    pub fn kill_standby(&mut self) -> anyhow::Result<Strike> {
        let (leader, standbys) = self.whole()?;
        let victim = &standbys[self.rng.random_range(0..standbys.len())];
        let (pid, in_flight) = (pid_of(victim)?, self.in_flight()?);
        let time = self.load.clock.now();
        signal(pid, Signal::KILL);
        let acked = self.load.wait_ack_after(time, PATIENCE)?;
        // The supervisor writes down what became of it a moment later.
        let restarted = wait_for("a new process of the standby", PATIENCE, || {
            let nodes = self.cluster.service().ok()?.nodes;
            let mut again = nodes.iter().filter(|n| n.id == victim.id);
            again
                .any(|n| n.pid.is_some() && n.pid != victim.pid)
                .then_some(())
        })
        .is_ok();
        let (after, _) = self.whole()?;
        Ok(Strike {
            what: format!("kill of a standby, node {}", victim.id),
            struck: restarted,
            victims: 1,
            in_flight,
            other_leads: after.id != leader.id,
            gap: Some(acked - time),
            silence: self.load.silence(time),
        })
    }

    /// kill -9 of all nodes at once.
    pub fn kill_all(&mut self) -> anyhow::Result<Strike> {
        let (leader, standbys) = self.whole()?;
        let in_flight = self.in_flight()?;
        let time = self.load.clock.now();
        for node in standbys.iter().chain([&leader]) {
            signal(pid_of(node)?, Signal::KILL);
        }
        let next = self.cluster.wait_other_primary(&leader, PATIENCE)?;
        let acked = self.load.wait_ack_after(time, PATIENCE)?;
        self.whole()?;
        let now = self.cluster.service()?.nodes;
        let old: Vec<Option<u32>> = standbys.iter().chain([&leader]).map(|n| n.pid).collect();
        Ok(Strike {
            what: "kill of all nodes".into(),
            struck: in_flight > 0 && now.iter().all(|n| !old.contains(&n.pid)),
            victims: 1,
            in_flight,
            other_leads: next.id != leader.id,
            gap: Some(acked - time),
            silence: self.load.silence(time),
        })
    }

    /// Pauses the leader. Clients that are connected to it ask while it is paused, after others have gone on writing
    /// through its successor, and are answered, or not, when it wakes.
    pub fn pause_leader(&mut self, length: Duration) -> anyhow::Result<Strike> {
        let (leader, _) = self.whole()?;
        let pid = pid_of(&leader)?;
        let access = self.cluster.direct()?;
        let (_, access) = access
            .iter()
            .find(|(id, _)| *id == leader.id)
            .context("an address")?;
        let probes = (0..PROBES).map(|_| Client::connect(access, Duration::from_secs(3)));
        let mut probes = probes.collect::<anyhow::Result<Vec<_>>>()?;
        let in_flight = self.in_flight()?;
        let time = self.load.clock.now();
        signal(pid, Signal::STOP);
        // Until another leads and its writes were acknowledged for a while, or until the time is over.
        let next = self.cluster.wait_other_primary(&leader, length).ok();
        let mut overtaken = false;
        if next.is_some() {
            let now = self.load.clock.now();
            overtaken = self.load.wait_ack_after(now, PATIENCE).is_ok();
            let rest = length.saturating_sub(Duration::from_nanos(self.load.clock.now() - time));
            // More keys are overwritten at the successor: each is one more chance for a stale read.
            std::thread::sleep(rest.max(Duration::from_millis(300)));
        }
        let asked = self.ask(&mut probes);
        signal(pid, Signal::CONT);
        let answered = self.hear(probes, asked);
        self.load.wait_ack_after(time, PATIENCE)?;
        // A pause beyond the lease must have deposed it, or nothing was tested.
        let long = length >= Duration::from_secs(2);
        Ok(Strike {
            what: format!(
                "pause of the leader, node {}, for {} ms; {answered} reads were answered when it woke",
                leader.id,
                length.as_millis()
            ),
            struck: !long || overtaken,
            victims: 1,
            in_flight,
            other_leads: next.is_some_and(|n| n.id != leader.id),
            gap: self.load.first_ack_sent_after(time).map(|t| t - time),
            silence: self.load.silence(time),
        })
    }

    /// Sends a read of every key under load on each connection; what was sent when.
    fn ask(
        &self,
        probes: &mut [Client],
    ) -> Vec<(usize, Vec<std::sync::Arc<crate::history::Track>>, u64)> {
        let mut asked = Vec::new();
        for (i, probe) in probes.iter_mut().enumerate() {
            let keys = self.load.keys.live();
            let gets: Vec<_> = keys.iter().map(|k| k.get()).collect();
            let call = self.load.clock.now();
            if probe.send(&gets).is_ok() {
                asked.push((i, keys, call));
            }
        }
        asked
    }

    /// Reads the answers into the histories; how many there were.
    fn hear(
        &self,
        mut probes: Vec<Client>,
        asked: Vec<(usize, Vec<std::sync::Arc<crate::history::Track>>, u64)>,
    ) -> usize {
        let mut answered = 0;
        for (i, keys, call) in asked {
            for key in keys {
                let Ok(reply) = probes[i].receive() else {
                    break;
                };
                let end = self.load.clock.now();
                if let Some(value) = value_of(reply) {
                    key.note(100 + i, Op::Get, Some(Reply::Read(value)), call, end);
                    answered += 1;
                }
            }
        }
        answered
    }

    /// Both standbys are paused until the leader holds writes that are not committed. Then the leader is killed, or
    /// deposed: paused while the others go on, and woken when it has a successor.
    pub fn hold_uncommitted(&mut self, kill: bool) -> anyhow::Result<Strike> {
        let (leader, standbys) = self.whole()?;
        let pid = pid_of(&leader)?;
        let access = self.cluster.direct()?;
        let (_, access) = access
            .iter()
            .find(|(id, _)| *id == leader.id)
            .context("an address")?;
        let mut late = Client::connect(access, Duration::from_secs(20))?;
        self.in_flight()?;
        let time = self.load.clock.now();
        for node in &standbys {
            signal(pid_of(node)?, Signal::STOP);
        }
        let held = wait_for("uncommitted writes at the leader", PATIENCE, || {
            let status = self
                .cluster
                .admin(&["status", "--timeout-ms", "400"])
                .ok()?;
            let nodes = status["nodes"].as_array()?;
            let node = nodes.iter().find(|n| n["id"] == leader.id)?;
            let lag = node["last_log"].as_u64()? - node["committed"].as_u64()?;
            (lag > 0 && self.load.in_flight() > 0).then_some(lag)
        });
        // Executed ahead of what is in the log: certain to be taken back when the epoch ends.
        let keys = self.load.keys.live();
        let registers = keys
            .iter()
            .filter(|k| k.kind == crate::history::Kind::Register);
        let ahead: Vec<_> = registers
            .map(|k| {
                (
                    k.clone(),
                    format!("ahead.{}", self.rng.random::<u32>()).into_bytes(),
                )
            })
            .collect();
        let sets: Vec<_> = ahead
            .iter()
            .map(|(k, v)| request([b"SET", k.name.as_bytes(), v]))
            .collect();
        let call = self.load.clock.now();
        let sent = late.send(&sets).is_ok();
        std::thread::sleep(Duration::from_millis(50));
        let in_flight = self.load.in_flight();
        signal(pid, if kill { Signal::KILL } else { Signal::STOP });
        for node in &standbys {
            signal(pid_of(node)?, Signal::CONT);
        }
        let next = self.cluster.wait_other_primary(&leader, PATIENCE);
        let now = self.load.clock.now();
        let acked = self.load.wait_ack_after(now, PATIENCE);
        signal(pid, Signal::CONT);
        let held = held?;
        let (next, _) = (next?, acked?);
        for (key, value) in ahead {
            let reply = late.receive().ok();
            let end = self.load.clock.now();
            let done =
                (reply == Some(pontoon::resp::Value::Simple("OK".into()))).then_some(Reply::Done);
            key.note(110, Op::Set(value), done, call, end);
        }
        Ok(Strike {
            what: format!(
                "{} of the leader, node {}, which held {held} uncommitted entries",
                if kill { "kill" } else { "deposition" },
                leader.id
            ),
            // A killed leader may come back first: it has the longest log.
            struck: sent && in_flight > 0 && (kill || next.id != leader.id),
            victims: 1,
            in_flight,
            other_leads: next.id != leader.id,
            gap: self.load.first_ack_sent_after(time).map(|t| t - time),
            silence: self.load.silence(time),
        })
    }

    /// Leadership is handed to another node.
    pub fn transfer(&mut self) -> anyhow::Result<Strike> {
        let (leader, standbys) = self.whole()?;
        let to = &standbys[self.rng.random_range(0..standbys.len())];
        let in_flight = self.in_flight()?;
        let time = self.load.clock.now();
        let id = to.id.to_string();
        self.cluster.admin(&["transfer", "--to", &id])?;
        let next = self.cluster.wait_other_primary(&leader, PATIENCE)?;
        self.load.wait_ack_after(self.load.clock.now(), PATIENCE)?;
        Ok(Strike {
            what: format!("transfer from node {} to node {id}", leader.id),
            struck: next.id == to.id,
            victims: 1,
            in_flight,
            other_leads: next.id != leader.id,
            gap: None,
            silence: self.load.silence(time),
        })
    }

    /// The power of some nodes' disks goes: what was not synced is lost, and the node dies.
    pub fn cut_power(&mut self, which: Victims) -> anyhow::Result<Strike> {
        use rand::seq::SliceRandom;
        let disks = self.disks.context("disks")?;
        let (leader, standbys) = self.whole()?;
        let mut victims = vec![leader.clone()];
        if which != Victims::Leader {
            victims.extend(standbys);
        }
        if which == Victims::Any {
            victims.shuffle(&mut self.rng);
            victims.truncate(self.rng.random_range(1..=3));
        }
        let leader_dies = victims.iter().any(|n| n.id == leader.id);
        let ids: Vec<u64> = victims.iter().map(|n| n.id).collect();
        let pids = victims
            .iter()
            .map(pid_of)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let in_flight = self.in_flight()?;
        let flag = self.rng.random_range(1..=2);
        // Nobody begins the nodes again before their disks are back.
        signal(self.cluster.supervisor(), Signal::STOP);
        let time = self.load.clock.now();
        let cut = disks.cut(&ids, flag);
        for pid in &pids {
            signal(*pid, Signal::KILL);
        }
        let dead = self.load.clock.now();
        let back = wait_for("the end of the nodes", PATIENCE, || {
            pids.iter().all(|p| ended(*p)).then_some(())
        })
        .and_then(|()| ids.iter().try_for_each(|id| disks.restore(*id)));
        signal(self.cluster.supervisor(), Signal::CONT);
        cut?;
        back?;
        let mut other_leads = false;
        if leader_dies {
            let next = self.cluster.wait_other_primary(&leader, PATIENCE)?;
            ensure!(next.pid != leader.pid, "a node lives whose disk is gone");
            other_leads = next.id != leader.id;
        }
        self.load.wait_ack_after(dead, PATIENCE)?;
        Ok(Strike {
            what: format!("power cut at nodes {ids:?} (flag {flag})"),
            struck: in_flight > 0,
            victims: ids.len(),
            in_flight,
            other_leads,
            gap: None,
            silence: self.load.silence(time),
        })
    }
}
