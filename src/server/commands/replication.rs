//! SYNC, PSYNC and REPLCONF, with which a Redis follows this service as its replica; and REPLICAOF, which a member of
//! a service has no use for.

use crate::base::limits::REPLICA_DATA_MAX;
use crate::base::number;
use crate::command::{Args, Fail, args};
use crate::resp::Out;
use crate::server::dispatch::{Exec, Handler};
use crate::server::replicas;

use super::info::replication_id;

pub const COMMANDS: &[(&str, Handler)] = &[
    ("sync", |x, _, out| attach(x, out, false)),
    ("psync", |x, _, out| attach(x, out, true)),
    ("replconf", replconf),
    ("replicaof", replicaof),
    ("slaveof", replicaof),
];

/// Answers the data, behind which the stream follows. There is no going on from an earlier place: all of it is sent.
fn attach(x: &mut Exec<'_>, out: &mut Out, partial: bool) -> Result<(), Fail> {
    // As in Redis, who reads the stream already is not answered.
    if x.session.replica {
        return Ok(());
    }
    if x.core.memory() > REPLICA_DATA_MAX {
        return Err(Fail::new(
            "ERR the data is too large to be copied while the service waits: use pontoon export",
        ));
    }
    let failed = |e| Fail::text(format!("ERR the data could not be copied: {e}"));
    let data = replicas::copy(x.core).map_err(failed)?;
    let (client, port) = (&x.session.client, x.session.listening_port);
    if !x.server.replicas.add(x.core, client, port) {
        return Err(Fail::new(
            "ERR too many clients read the replication stream",
        ));
    }
    x.session.replica = true;
    // What is copied is not all committed yet.
    x.wait = x.wait.max(x.core.unsettled().unwrap_or(0));
    if partial {
        let id = replication_id(&x.server.view.borrow().cluster_id);
        out.simple(&format!("FULLRESYNC {id} {}", x.core.applied.0));
    }
    out.raw(format!("${}\r\n", data.len()).as_bytes());
    out.raw(&data);
    Ok(())
}

fn replconf(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if args.len().is_multiple_of(2) {
        return Err(Fail::SYNTAX);
    }
    for pair in args[1..].chunks_exact(2) {
        match pair[0] {
            word if args::is(word, "listening-port") => {
                let port = args::int_between(pair[1], 0, i64::from(u16::MAX))?;
                x.session.listening_port = port as u16;
            }
            word if args::is(word, "ack") => {
                if x.session.replica {
                    let offset = number::parse_u64(pair[1]).unwrap_or(0);
                    x.server.replicas.acknowledge(x.session.client.id, offset);
                }
                // It is answered by nothing.
                return Ok(());
            }
            word if args::is(word, "getack") => return Ok(()),
            word if ["capa", "ip-address", "rdb-only"]
                .iter()
                .any(|w| args::is(word, w)) => {}
            word => {
                let text = String::from_utf8_lossy(word);
                return Err(Fail::text(format!(
                    "ERR Unrecognized REPLCONF option: {text}"
                )));
            }
        }
    }
    out.ok();
    Ok(())
}

/// The primary is nobody's replica already; and it becomes no stranger's.
fn replicaof(_: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    if args::is(args[1], "no") && args::is(args[2], "one") {
        out.ok();
        return Ok(());
    }
    let port = number::parse_i64(args[2]).filter(|port| (0..=65535).contains(port));
    Err(match port {
        None => Fail::new("ERR Invalid master port"),
        Some(_) => Fail::new(
            "ERR a member of a service follows its own log and no other server: pontoon import copies a running Redis",
        ),
    })
}
