//! Clients that read the replication stream, as replicas of Redis do: SYNC or PSYNC gives them the data as of one
//! moment, and then they are told what is executed, once it is committed.
//!
//! **Invariants.** A client is told every unit that began after its copy was made, in order, and none before; or it is
//! disconnected. Copy and stream leave one way: the copy is the reply, which waits for its commit, and the stream follows
//! it. The stream does not outlive the leader that began it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::limits::{REPLICA_BACKLOG_MAX, REPLICAS_MAX};
use crate::command::generic::view;
use crate::command::propagate::Unit;
use crate::engine::Core;
use crate::keyspace::system::Table;
use crate::rdb::{self, Writer};
use crate::resp::put_request;

use super::clients::Client;
use super::{Server, commands};

/// One that reads.
struct Replica {
    client: Arc<Client>,
    /// The last unit that is in its copy.
    from: u64,
    /// The database that it is in.
    db: Option<u32>,
    /// Where it listens, as it said.
    port: u16,
    /// Bytes of the stream that it says it has processed.
    acknowledged: u64,
}

impl Replica {
    fn send(&self, bytes: Vec<u8>) {
        self.client.send_within(bytes.into(), REPLICA_BACKLOG_MAX);
    }
}

/// What INFO says of one: its address, its port, and bytes of the stream that it has processed.
pub type Shown = (String, u16, u64);

/// All that read at this node.
#[derive(Default)]
pub struct Replicas {
    all: Mutex<BTreeMap<u64, Replica>>,
}

impl Replicas {
    /// Adds a client whose copy holds everything up to now, and has what follows recorded; says whether there was room.
    pub fn add(&self, core: &mut Core, client: &Arc<Client>, port: u16) -> bool {
        let mut all = self.all.lock();
        if all.len() >= REPLICAS_MAX && !all.contains_key(&client.id) {
            return false;
        }
        let replica = Replica {
            client: client.clone(),
            from: core.record.number(),
            db: None,
            port,
            acknowledged: 0,
        };
        all.insert(client.id, replica);
        core.record.on = true;
        true
    }

    /// A client left: without any, nothing is recorded.
    pub fn remove(&self, core: &mut Core, id: u64) {
        let mut all = self.all.lock();
        all.remove(&id);
        core.record.on = !all.is_empty();
    }

    /// A client says how far it is.
    pub fn acknowledge(&self, id: u64, offset: u64) {
        if let Some(replica) = self.all.lock().get_mut(&id) {
            replica.acknowledged = offset;
        }
    }

    /// All of them, for INFO.
    pub fn list(&self) -> Vec<Shown> {
        let all = self.all.lock();
        all.values()
            .map(|r| (r.client.addr.clone(), r.port, r.acknowledged))
            .collect()
    }

    /// Tells of what is committed.
    pub fn release(&self, unit: &Unit) {
        for replica in self.all.lock().values_mut() {
            if unit.number <= replica.from {
                continue;
            }
            let mut out = Vec::new();
            if unit.together {
                put_request(&mut out, &["MULTI"]);
            }
            for op in &unit.ops {
                if replica.db != Some(op.db) {
                    replica.db = Some(op.db);
                    put_request(&mut out, &["SELECT", &op.db.to_string()]);
                }
                put_request(&mut out, &op.args);
            }
            if unit.together {
                put_request(&mut out, &["EXEC"]);
            }
            replica.send(out);
        }
    }

    /// This node leads no more: what they would be told next is not known.
    pub fn end(&self) {
        self.all.lock().values().for_each(|r| r.client.kill());
    }

    fn ping(&self) {
        for replica in self.all.lock().values() {
            let mut out = Vec::new();
            put_request(&mut out, &["PING"]);
            replica.send(out);
        }
    }
}

/// Sends PINGs to those that read, so that they know of a silent line, as often as repl-ping-replica-period says.
pub async fn ping(server: Weak<Server>) {
    let mut waited = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Some(server) = server.upgrade() else {
            return;
        };
        waited += 1;
        if server.replicas.list().is_empty() {
            waited = 0;
            continue;
        }
        let period = {
            let core = server.engine.locked().await;
            let set = core.settings.shown.get("repl-ping-replica-period");
            set.and_then(|text| text.parse().ok()).unwrap_or(10)
        };
        if waited >= period {
            waited = 0;
            server.replicas.ping();
        }
    }
}

/// All data as an RDB file, as it was executed.
///
/// # Errors
/// Never for lack of room: it is written to memory.
pub fn copy(core: &Core) -> io::Result<Vec<u8>> {
    let ks = &core.ks;
    let seconds = (core.now_ms() / 1000).to_string();
    let about = [
        ("redis-ver", commands::info::REDIS_VERSION),
        ("redis-bits", "64"),
        ("ctime", seconds.as_str()),
        ("aof-base", "0"),
    ];
    let mut writer = Writer::new(Vec::new(), &about)?;
    let mut functions = Vec::new();
    for (_, code) in ks.system.iter(Table::Libraries) {
        functions.push(rdb::kind::FUNCTION);
        rdb::output::put_string(&mut functions, code);
    }
    writer.functions(&functions)?;
    for number in 0..ks.databases() {
        let db = ks.db(number);
        if db.is_empty() {
            continue;
        }
        writer.database(number, db.len() as u64, db.expires.len() as u64)?;
        for entry in db.table.iter() {
            let (key, value) = (entry.key.as_bytes(), view(&entry.value));
            writer.key(number, key, value, entry.expire_at, &ks.limits)?;
        }
    }
    writer.finish()
}
