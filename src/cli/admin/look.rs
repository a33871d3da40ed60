//! What changes nothing: status, members, digests, snapshots, the log.

use anyhow::{Context, bail};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

use super::target::{Cluster, Node};
use crate::cli::{Answer, Output, print};
use crate::proto::{DigestRequest, Empty, Member, StatusReply};

/// A node, or the command's usual choice.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The node's id
    #[arg(long, value_name = "ID")]
    node: Option<u64>,
}

/// How to compare digests.
#[derive(Debug, clap::Args)]
pub struct Digest {
    /// How often to ask again where writes keep the nodes from being seen at the same index
    #[arg(long, value_name = "N", default_value_t = 20)]
    rounds: u32,
}

/// Rows of text, aligned. The first is the header.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter()
            .filter_map(|r| r.get(c))
            .map(|s| s.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(s, w)| format!("{s:<w$}"))
            .collect();
        cells.join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn row<const N: usize>(cells: [&dyn ToString; N]) -> Vec<String> {
    cells.iter().map(|c| c.to_string()).collect()
}

fn none_or(id: u64) -> String {
    if id == 0 {
        "-".to_string()
    } else {
        id.to_string()
    }
}

/// A size for people.
fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", n as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", n as f64 / 1_073_741_824.0),
    }
}

/// A status as JSON, every field of the protocol.
fn status_json(s: &StatusReply, addr: &str) -> Value {
    json!({
        "id": s.id, "addr": addr, "cluster_id": s.cluster_id, "role": s.role, "state": s.state, "term": s.term,
        "leader": s.leader, "serving": s.serving, "epoch": s.epoch, "last_log": s.last_log, "committed": s.committed,
        "applied": s.applied, "durable": s.durable, "snapshot": s.snapshot, "purged": s.purged,
        "log_bytes": s.log_bytes, "keys": s.keys, "used_memory": s.used_memory, "uptime_s": s.uptime_s, "expired_before": s.expired_before,
        "wall_ms": s.wall_ms, "sync_worst_us": s.sync_worst_us, "refuses_at": s.refuses_at,
        "version": s.version, "members": s.members.iter().map(member_json).collect::<Vec<_>>(),
    })
}

fn member_json(m: &Member) -> Value {
    json!({
        "id": m.id, "role": m.role, "voter": m.voter, "matched": m.matched, "reachable": m.reachable,
        "peer_addr": m.peer_addr, "client_addr": m.client_addr, "announced": m.announced,
    })
}

/// `status`.
pub async fn status(cluster: &Cluster, output: Output) -> anyhow::Result<Answer> {
    let answers = cluster.ask_all().await;
    if answers.nodes.is_empty() {
        bail!("{}", answers.summary());
    }
    let serves = answers
        .nodes
        .values()
        .any(|n| n.status.role == "primary" && n.status.serving);
    print(
        output,
        || {
            let mut rows = vec![row([
                &"node",
                &"role",
                &"state",
                &"term",
                &"leader",
                &"last",
                &"committed",
                &"applied",
                &"durable",
                &"purged",
                &"log",
                &"keys",
                &"memory",
                &"up",
                &"address",
            ])];
            for n in answers.nodes.values() {
                let s = &n.status;
                let role = if s.role == "primary" && !s.serving {
                    "primary (not serving)"
                } else {
                    &s.role
                };
                rows.push(row([
                    &s.id,
                    &role,
                    &s.state,
                    &s.term,
                    &none_or(s.leader),
                    &s.last_log,
                    &s.committed,
                    &s.applied,
                    &s.durable,
                    &s.purged,
                    &bytes(s.log_bytes),
                    &s.keys,
                    &bytes(s.used_memory),
                    &format!("{} s", s.uptime_s),
                    &n.addr,
                ]));
            }
            let mut text = table(&rows);
            for (addr, why) in &answers.silent {
                text.push_str(&format!("\n{addr} does not answer: {why}"));
            }
            if !serves {
                text.push_str("\nno primary serves");
            }
            text
        },
        || {
            json!({
                "serving": serves,
                "nodes": answers.nodes.values().map(|n| status_json(&n.status, &n.addr)).collect::<Vec<_>>(),
                "silent": answers.silent.iter().map(|(a, why)| json!({ "addr": a, "reason": why })).collect::<Vec<_>>(),
            })
        },
    );
    Ok(if serves { Answer::Yes } else { Answer::No })
}

/// `members`.
pub async fn members(cluster: &Cluster, output: Output) -> anyhow::Result<Answer> {
    let leader = cluster.leader().await?;
    let last = leader.status.last_log;
    print(
        output,
        || {
            let mut rows = vec![row([
                &"node",
                &"role",
                &"voter",
                &"matched",
                &"behind",
                &"reachable",
                &"peer",
                &"clients",
                &"announced",
            ])];
            for m in &leader.status.members {
                rows.push(row([
                    &m.id,
                    &m.role,
                    &yes(m.voter),
                    &m.matched,
                    &last.saturating_sub(m.matched),
                    &yes(m.reachable),
                    &m.peer_addr,
                    &m.client_addr,
                    &m.announced,
                ]));
            }
            table(&rows)
        },
        || {
            json!({
                "leader": leader.status.id, "term": leader.status.term, "last_log": last,
                "members": leader.status.members.iter().map(member_json).collect::<Vec<_>>(),
            })
        },
    );
    Ok(Answer::Yes)
}

fn yes(b: bool) -> &'static str {
    if b { "yes" } else { "no" }
}

/// `digest`: the data nodes at one applied index. They answer where they are, and then all are asked for the highest
/// index seen. A node that cannot tell any more, since writes go on, answers for a later one: asked again, visibly. The
/// number of keys is that of now, and at the leader it counts what is not committed.
pub async fn digest(cluster: &Cluster, args: &Digest, output: Output) -> anyhow::Result<Answer> {
    let answers = cluster.ask_all().await;
    let leader = cluster.leader().await?;
    let voters: Vec<u64> = leader
        .status
        .members
        .iter()
        .filter(|m| m.role != "witness")
        .map(|m| m.id)
        .collect();
    let mut nodes: Vec<Node> = answers
        .nodes
        .into_values()
        .filter(|n| voters.contains(&n.status.id))
        .collect();
    let absent: Vec<u64> = voters
        .iter()
        .copied()
        .filter(|id| !nodes.iter().any(|n| n.status.id == *id))
        .collect();
    if !absent.is_empty() {
        bail!(
            "nodes {absent:?} do not answer: their data cannot be compared; bring them back or remove them first"
        );
    }
    let timeout_ms = u64::try_from(cluster.timeout.as_millis())?;
    let mut at = 0;
    for round in 1..=args.rounds.max(1) {
        let request = DigestRequest { at, timeout_ms };
        let replies = join_all(nodes.iter_mut().map(|n| {
            let id = n.status.id;
            async move {
                let reply = cluster
                    .call_within(cluster.timeout * 2, n.client.digest(request))
                    .await;
                reply
                    .with_context(|| format!("node {id}"))
                    .map(|reply| (id, reply))
            }
        }))
        .await
        .into_iter()
        .collect::<anyhow::Result<Vec<_>>>()?;
        let highest = replies.iter().map(|(_, r)| r.applied).max().unwrap_or(0);
        if replies.iter().all(|(_, r)| r.applied == highest) {
            let same = replies.windows(2).all(|w| w[0].1.digest == w[1].1.digest);
            print(
                output,
                || {
                    let mut rows = vec![row([&"node", &"applied", &"keys", &"digest"])];
                    rows.extend(
                        replies
                            .iter()
                            .map(|(id, r)| row([id, &r.applied, &r.keys, &r.digest])),
                    );
                    format!(
                        "{}\n{}",
                        table(&rows),
                        if same {
                            "all are the same"
                        } else {
                            "THE DATA DIFFER"
                        }
                    )
                },
                || {
                    json!({ "same": same, "applied": highest, "nodes": replies.iter().map(|(id, r)| {
                        json!({ "id": id, "applied": r.applied, "keys": r.keys, "digest": r.digest })
                    }).collect::<Vec<_>>() })
                },
            );
            return Ok(if same { Answer::Yes } else { Answer::No });
        }
        eprintln!(
            "round {round}: nodes answered at {}: writes go on; asked again",
            replies
                .iter()
                .map(|(id, r)| format!("{id}@{}", r.applied))
                .collect::<Vec<_>>()
                .join(" ")
        );
        at = highest;
    }
    bail!(
        "the nodes were never seen at the same index in {} rounds; pause the writes, or give --rounds",
        args.rounds
    )
}

/// `snapshot`: at a node, or at the leader.
pub async fn snapshot(cluster: &Cluster, which: &Which, output: Output) -> anyhow::Result<Answer> {
    let mut node = match which.node {
        Some(id) => cluster.node(id).await?,
        None => cluster.leader().await?,
    };
    let id = node.status.id;
    let reply = cluster
        .call_within(
            Duration::from_secs(600).max(cluster.timeout),
            node.client.snapshot(Empty {}),
        )
        .await
        .with_context(|| format!("node {id}"))?;
    print(
        output,
        || {
            let place = if reply.path.is_empty() {
                String::new()
            } else {
                format!(", in {}", reply.path)
            };
            format!(
                "node {id}: snapshot at index {}, {}{place}",
                reply.index,
                bytes(reply.bytes)
            )
        },
        || json!({ "id": id, "index": reply.index, "bytes": reply.bytes, "path": reply.path }),
    );
    Ok(Answer::Yes)
}

/// `log`: of one node or of all.
pub async fn log(cluster: &Cluster, which: &Which, output: Output) -> anyhow::Result<Answer> {
    let mut nodes = match which.node {
        Some(id) => vec![cluster.node(id).await?],
        None => {
            let answers = cluster.ask_all().await;
            for (addr, why) in &answers.silent {
                eprintln!("{addr} does not answer: {why}");
            }
            answers.nodes.into_values().collect()
        }
    };
    if nodes.is_empty() {
        bail!("no node answers");
    }
    let mut logs = Vec::new();
    for node in &mut nodes {
        let id = node.status.id;
        let reply = cluster
            .call(node.client.log_status(Empty {}))
            .await
            .with_context(|| format!("node {id}"))?;
        logs.push((id, reply));
    }
    print(
        output,
        || {
            let mut rows = vec![row([
                &"node",
                &"first",
                &"last",
                &"purged",
                &"in store",
                &"segments",
                &"size",
                &"syncs",
                &"sync p50",
                &"sync p99",
            ])];
            rows.extend(logs.iter().map(|(id, l)| {
                row([
                    id,
                    &l.first,
                    &l.last,
                    &l.purged,
                    &l.durable_in_store,
                    &l.segments,
                    &bytes(l.bytes),
                    &l.syncs,
                    &format!("{} us", l.sync_p50_us),
                    &format!("{} us", l.sync_p99_us),
                ])
            }));
            table(&rows)
        },
        || {
            let node = |(id, l): &(u64, crate::proto::LogStatusReply)| {
                json!({
                    "id": id, "first": l.first, "last": l.last, "purged": l.purged, "bytes": l.bytes,
                    "segments": l.segments, "syncs": l.syncs, "sync_p50_us": l.sync_p50_us,
                    "sync_p99_us": l.sync_p99_us, "durable_in_store": l.durable_in_store,
                    "store_backlog_bytes": l.store_backlog_bytes,
                })
            };
            json!({ "nodes": logs.iter().map(node).collect::<Vec<_>>() })
        },
    );
    Ok(Answer::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn tables_are_aligned() {
        let rows = [
            row([&"node", &"role", &"x"]),
            row([&1, &"primary", &""]),
            row([&22, &"standby", &7]),
        ];
        expect![[r#"
            node  role     x
            1     primary
            22    standby  7"#]]
        .assert_eq(&table(&rows));
    }

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(
            ["0 B", "1.0 KiB", "1.5 MiB", "2.00 GiB"],
            [0, 1024, 3 << 19, 2 << 30]
                .map(bytes)
                .each_ref()
                .map(String::as_str)
        );
    }
}
