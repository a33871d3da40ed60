//! CLUSTER: in redirect mode this service looks like a cluster of one shard, whose master is the
//! node that leads. Otherwise it answers as Redis without cluster mode.

use sha2::{Digest, Sha256};

use crate::base::{number, slot};
use crate::command::{Args, Fail};
use crate::resp::Out;
use crate::server::dispatch::{Exec, Handler};
use crate::server::{Peer, View};

use super::help;

const SLOTS: i64 = 16384;

const DISABLED: Fail = Fail::new("ERR This instance has cluster support disabled");
const FIXED: Fail = Fail::new(
    "ERR the cluster has one shard, and its members are the operator's to change (pontoon admin)",
);

pub const COMMANDS: &[(&str, Handler)] = &[
    ("cluster|info", |x, a, o| enabled(x, a, o, info)),
    ("cluster|slots", |x, a, o| enabled(x, a, o, slots)),
    ("cluster|shards", |x, a, o| enabled(x, a, o, shards)),
    ("cluster|nodes", |x, a, o| enabled(x, a, o, nodes)),
    ("cluster|replicas", |x, a, o| enabled(x, a, o, replicas)),
    ("cluster|slaves", |x, a, o| enabled(x, a, o, replicas)),
    ("cluster|keyslot", |x, a, o| enabled(x, a, o, keyslot)),
    ("cluster|countkeysinslot", |x, a, o| {
        enabled(x, a, o, countkeysinslot)
    }),
    ("cluster|getkeysinslot", |x, a, o| {
        enabled(x, a, o, getkeysinslot)
    }),
    ("cluster|myid", |x, a, o| enabled(x, a, o, myid)),
    ("cluster|myshardid", |x, a, o| enabled(x, a, o, myshardid)),
    ("cluster|links", |x, a, o| enabled(x, a, o, links)),
    ("cluster|count-failure-reports", |x, a, o| {
        enabled(x, a, o, count_failure_reports)
    }),
    ("cluster|help", |x, a, o| enabled(x, a, o, help)),
    ("cluster|addslots", refuse),
    ("cluster|addslotsrange", refuse),
    ("cluster|bumpepoch", refuse),
    ("cluster|delslots", refuse),
    ("cluster|delslotsrange", refuse),
    ("cluster|failover", refuse),
    ("cluster|flushslots", refuse),
    ("cluster|forget", refuse),
    ("cluster|meet", refuse),
    ("cluster|replicate", refuse),
    ("cluster|reset", refuse),
    ("cluster|saveconfig", refuse),
    ("cluster|set-config-epoch", refuse),
    ("cluster|setslot", refuse),
];

/// Subcommands that only read, which cluster clients need.
pub fn reads_only(name: &str) -> bool {
    matches!(
        name,
        "cluster|slots"
            | "cluster|shards"
            | "cluster|nodes"
            | "cluster|info"
            | "cluster|keyslot"
            | "cluster|myid"
            | "cluster|countkeysinslot"
            | "cluster|getkeysinslot"
            | "cluster|links"
            | "cluster|myshardid"
            | "cluster|help"
    )
}

fn enabled(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out, run: Handler) -> Result<(), Fail> {
    if x.server.live.redirects() {
        run(x, args, out)
    } else {
        Err(DISABLED)
    }
}

fn refuse(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    enabled(x, args, out, |_, _, _| Err(FIXED))
}

/// 40 hexadecimal digits that stand for a part of the cluster: the same at every node and at every start.
fn name(cluster_id: &str, part: &str) -> String {
    let hash = Sha256::digest(format!("{cluster_id}/{part}"));
    hex::encode(&hash[..20])
}

fn node_name(view: &View, id: u64) -> String {
    name(&view.cluster_id, &format!("node {id}"))
}

fn shard_name(view: &View) -> String {
    name(&view.cluster_id, "shard")
}

/// Host and port of an announced address.
fn split(announced: &str) -> (&str, i64) {
    match announced.rsplit_once(':') {
        Some((host, port)) => (
            host.trim_start_matches('[').trim_end_matches(']'),
            port.parse().unwrap_or(0),
        ),
        None => (announced, 0),
    }
}

/// The members, the leader first where one is known.
fn members(view: &View) -> Vec<Peer> {
    let leads = |p: &Peer| view.leader.as_ref().is_some_and(|l| l.id == p.id);
    let mut members = view.members.clone();
    members.sort_by_key(|p| (!leads(p), p.id));
    members
}

fn leader_id(view: &View) -> Option<u64> {
    view.leader.as_ref().map(|l| l.id)
}

fn info(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let view = x.server.view.borrow().clone();
    let (state, ok) = match view.leader {
        Some(_) => ("ok", SLOTS),
        None => ("fail", 0),
    };
    let text = format!(
        "cluster_state:{state}\r\ncluster_slots_assigned:{SLOTS}\r\ncluster_slots_ok:{ok}\r\n\
         cluster_slots_pfail:0\r\ncluster_slots_fail:{}\r\ncluster_known_nodes:{}\r\ncluster_size:1\r\n\
         cluster_current_epoch:{term}\r\ncluster_my_epoch:{term}\r\ncluster_stats_messages_sent:0\r\n\
         cluster_stats_messages_received:0\r\ntotal_cluster_links_buffer_limit_exceeded:0\r\n",
        SLOTS - ok,
        view.members.len(),
        term = view.term,
    );
    out.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

fn slots(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let view = x.server.view.borrow().clone();
    if view.leader.is_none() {
        out.array(0);
        return Ok(());
    }
    let members = members(&view);
    out.array(1);
    out.array(2 + members.len());
    out.int(0);
    out.int(SLOTS - 1);
    for member in &members {
        let (host, port) = split(&member.announced);
        out.array(4);
        out.bulk(host.as_bytes());
        out.int(port);
        out.bulk(node_name(&view, member.id).as_bytes());
        out.map(0);
    }
    Ok(())
}

fn shards(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let view = x.server.view.borrow().clone();
    let members = members(&view);
    let facts = (x.server.facts)();
    out.array(1);
    out.map(2);
    out.bulk(b"slots");
    out.array(2);
    out.int(0);
    out.int(SLOTS - 1);
    out.bulk(b"nodes");
    out.array(members.len());
    for member in &members {
        let (host, port) = split(&member.announced);
        let leads = leader_id(&view) == Some(member.id);
        let follower = facts.followers.iter().find(|f| f.0 == member.announced);
        let (offset, online) = match follower {
            Some((_, matched, reachable)) if !leads => (*matched, *reachable),
            _ => (facts.applied, true),
        };
        out.map(7);
        out.bulk(b"id");
        out.bulk(node_name(&view, member.id).as_bytes());
        out.bulk(b"tls-port");
        out.int(port);
        out.bulk(b"ip");
        out.bulk(host.as_bytes());
        out.bulk(b"endpoint");
        out.bulk(host.as_bytes());
        out.bulk(b"role");
        out.bulk(if leads { b"master" } else { b"replica" });
        out.bulk(b"replication-offset");
        out.int(offset as i64);
        out.bulk(b"health");
        out.bulk(if online { b"online" } else { b"fail" });
    }
    Ok(())
}

/// A member's line of CLUSTER NODES, without its line end.
fn line(view: &View, member: &Peer) -> String {
    let (host, port) = split(&member.announced);
    let leads = leader_id(view) == Some(member.id);
    let mine = if member.id == view.node_id {
        "myself,"
    } else {
        ""
    };
    let (role, of) = if leads {
        ("master", "-".to_string())
    } else {
        let of = leader_id(view).map_or("-".into(), |id| node_name(view, id));
        ("slave", of)
    };
    let slots = if leads {
        format!(" 0-{}", SLOTS - 1)
    } else {
        String::new()
    };
    format!(
        "{} {host}:{port}@{port} {mine}{role} {of} 0 0 {} connected{slots}",
        node_name(view, member.id),
        view.term
    )
}

fn nodes(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let view = x.server.view.borrow().clone();
    let text: String = members(&view)
        .iter()
        .map(|m| line(&view, m) + "\n")
        .collect();
    out.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

fn replicas(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let view = x.server.view.borrow().clone();
    let asked = member_named(&view, args[2])?;
    if leader_id(&view) != Some(asked) {
        return Err(Fail::new("ERR The specified node is not a master"));
    }
    let others: Vec<Peer> = members(&view)
        .into_iter()
        .filter(|m| m.id != asked)
        .collect();
    out.array(others.len());
    others
        .iter()
        .for_each(|m| out.bulk(line(&view, m).as_bytes()));
    Ok(())
}

fn member_named(view: &View, wanted: &[u8]) -> Result<u64, Fail> {
    view.members
        .iter()
        .find(|m| node_name(view, m.id).as_bytes() == wanted)
        .map(|m| m.id)
        .ok_or_else(|| {
            Fail::text(format!(
                "ERR Unknown node {}",
                String::from_utf8_lossy(wanted)
            ))
        })
}

fn keyslot(_: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.int(slot::of(args[2]).into());
    Ok(())
}

fn slot_arg(arg: &[u8]) -> Result<u16, Fail> {
    number::parse_i64(arg)
        .filter(|n| (0..SLOTS).contains(n))
        .map(|n| n as u16)
        .ok_or(Fail::new("ERR Invalid slot"))
}

/// The keys of a slot, at most `max`. Looks at every key: slots are not indexed here.
fn keys_of(x: &mut Exec<'_>, wanted: u16, max: usize) -> Vec<Vec<u8>> {
    let mut ctx = x.core.ctx(0);
    ctx.look_at_all();
    let (now, wait) = (ctx.now, ctx.wait);
    let keys = ctx
        .ks
        .db(0)
        .table
        .iter()
        .filter(|e| !e.expired(now) && slot::of(e.key.as_bytes()) == wanted)
        .map(|e| e.key.as_bytes().to_vec())
        .take(max)
        .collect();
    x.wait = x.wait.max(wait);
    keys
}

fn countkeysinslot(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let wanted = slot_arg(args[2])?;
    out.len_int(keys_of(x, wanted, usize::MAX).len());
    Ok(())
}

fn getkeysinslot(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let wanted = slot_arg(args[2])?;
    let max = number::parse_i64(args[3]).ok_or(Fail::NOT_INTEGER)?;
    let max = usize::try_from(max).map_err(|_| Fail::new("ERR Invalid number of keys"))?;
    let keys = keys_of(x, wanted, max);
    out.array(keys.len());
    keys.iter().for_each(|key| out.bulk(key));
    Ok(())
}

fn myid(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let view = x.server.view.borrow().clone();
    out.bulk(node_name(&view, view.node_id).as_bytes());
    Ok(())
}

fn myshardid(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.bulk(shard_name(&x.server.view.borrow()).as_bytes());
    Ok(())
}

/// There is no cluster bus, so no links.
fn links(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.array(0);
    Ok(())
}

fn count_failure_reports(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    member_named(&x.server.view.borrow(), args[2])?;
    out.int(0);
    Ok(())
}

fn help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help::reply(
        out,
        "CLUSTER",
        &[
            ("COUNTKEYSINSLOT <slot>", "How many keys a slot has."),
            ("GETKEYSINSLOT <slot> <count>", "Some keys of a slot."),
            ("INFO", "The state of the cluster."),
            ("KEYSLOT <key>", "The slot of a key."),
            ("LINKS", "None: there is no cluster bus."),
            ("MYID", "This node's id."),
            ("MYSHARDID", "The shard's id."),
            ("NODES", "The members, one a line."),
            ("REPLICAS <node-id>", "The standbys."),
            ("SHARDS", "The shard and its members."),
            ("SLOTS", "Which nodes serve the slots."),
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_40_digits_and_differ() {
        let view = View {
            cluster_id: "c".into(),
            ..View::default()
        };
        let names = [node_name(&view, 1), node_name(&view, 2), shard_name(&view)];
        assert!(names.iter().all(|n| n.len() == 40));
        assert!(names[0] != names[1] && names[1] != names[2]);
        assert_eq!(node_name(&view, 1), names[0]);
    }

    #[test]
    fn addresses() {
        assert_eq!(split("[::1]:70"), ("::1", 70));
        assert_eq!(split("host:6379"), ("host", 6379));
    }
}
