//! The connected clients, as other clients see and reach them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::base::limits::{OPERATORS_MAX, SUBSCRIBER_BACKLOG_MAX};

/// One client: what CLIENT LIST says of it, and its inbox.
pub struct Client {
    pub id: u64,
    pub addr: String,
    pub laddr: String,
    /// An operator's, by certificate: no list of clients' addresses concerns it.
    pub operator: bool,
    /// The socket's number; -1 where the session is relayed.
    pub fd: i32,
    pub since: Instant,
    /// 2 or 3.
    pub proto: AtomicU8,
    pub about: Mutex<About>,
    inbox: Mutex<Inbox>,
    killed: AtomicBool,
    bounds: Arc<Bounds>,
}

/// client-output-buffer-limit until it is set.
pub const OUTPUT_LIMITS: &str =
    "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";

/// How much a subscriber may leave unread: client-output-buffer-limit's class pubsub.
pub struct Bounds {
    /// Bytes; beyond: disconnected at once.
    hard: AtomicUsize,
    /// Bytes; beyond for `seconds`: disconnected. 0: no such bound.
    soft: AtomicUsize,
    seconds: AtomicU64,
}

impl Default for Bounds {
    fn default() -> Self {
        let bounds = Bounds {
            hard: AtomicUsize::new(SUBSCRIBER_BACKLOG_MAX),
            soft: AtomicUsize::new(0),
            seconds: AtomicU64::new(0),
        };
        bounds.set(OUTPUT_LIMITS);
        bounds
    }
}

impl Bounds {
    /// Takes a value of client-output-buffer-limit, as it is shown.
    pub fn set(&self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let class = words.chunks(4).find(|c| c[0] == "pubsub");
        let number = |at: usize| class.and_then(|c| c.get(at)?.parse::<u64>().ok());
        let (Some(hard), Some(soft), Some(seconds)) = (number(1), number(2), number(3)) else {
            return;
        };
        let hard = usize::try_from(hard).unwrap_or(usize::MAX);
        let hard = match hard {
            0 => SUBSCRIBER_BACKLOG_MAX,
            n => n.min(SUBSCRIBER_BACKLOG_MAX),
        };
        self.hard.store(hard, Ordering::Relaxed);
        let soft = usize::try_from(soft).unwrap_or(usize::MAX);
        self.soft.store(soft, Ordering::Relaxed);
        self.seconds.store(seconds, Ordering::Relaxed);
    }
}

/// What changes about a client, for CLIENT LIST and INFO.
#[derive(Debug, Clone, Default)]
pub struct About {
    pub name: String,
    pub lib_name: String,
    pub lib_ver: String,
    pub user: Bytes,
    pub db: u32,
    pub last_command: &'static str,
    /// Milliseconds after `since` of the last request.
    pub last_ms: u64,
    pub subscriptions: usize,
    pub patterns: usize,
    pub shard_subscriptions: usize,
    /// Commands queued in MULTI; -1 outside of one.
    pub multi: i64,
    /// A watched key changed: the transaction will fail.
    pub dirty: bool,
    pub closing: bool,
    pub blocked: bool,
    pub monitor: bool,
    /// It reads the replication stream.
    pub replica: bool,
    pub readonly: bool,
    /// Bytes of the transaction's queue, of the request that is run, of the input buffer, free in
    /// it, and of held replies.
    pub multi_bytes: usize,
    pub args_bytes: usize,
    pub input: usize,
    pub input_free: usize,
    pub output: usize,
    pub no_evict: bool,
    pub no_touch: bool,
    pub relayed: bool,
    /// It is told what to forget; in broadcasting mode; another client (-1 where it does not track, 0: none) is told
    /// instead; and that one is gone.
    pub tracking: bool,
    pub broadcast: bool,
    pub redirect: i64,
    pub redirect_broken: bool,
}

impl About {
    /// Subscriptions of all kinds.
    pub fn all_subscriptions(&self) -> usize {
        self.subscriptions + self.patterns + self.shard_subscriptions
    }

    /// Bytes that the connection's buffers hold.
    pub fn buffers(&self) -> usize {
        self.input + self.input_free + self.args_bytes + self.multi_bytes + self.output
    }
}

#[derive(Default)]
struct Inbox {
    messages: VecDeque<Bytes>,
    bytes: usize,
    waker: Option<Waker>,
    /// Since when it holds more than the soft bound.
    over: Option<Instant>,
}

impl Client {
    /// Sends bytes to the client outside of its replies. A client that does not read is disconnected at the bound.
    pub fn send(&self, message: Bytes) {
        let (hard, soft) = (&self.bounds.hard, &self.bounds.soft);
        let soft = soft.load(Ordering::Relaxed);
        self.put(message, hard.load(Ordering::Relaxed), soft);
    }

    /// Likewise, with a bound of its own, bytes.
    pub fn send_within(&self, message: Bytes, max: usize) {
        self.put(message, max, 0);
    }

    /// `soft`: what may be exceeded for a while only; 0: nothing is.
    fn put(&self, message: Bytes, max: usize, soft: usize) {
        let mut inbox = self.inbox.lock();
        inbox.bytes += message.len();
        let late = soft > 0 && inbox.bytes > soft && {
            let seconds = self.bounds.seconds.load(Ordering::Relaxed);
            let since = inbox.over.get_or_insert_with(Instant::now);
            since.elapsed().as_secs() >= seconds.max(1)
        };
        if inbox.bytes > max || late {
            self.killed.store(true, Ordering::Release);
            inbox.messages.clear();
        } else {
            inbox.messages.push_back(message);
        }
        if let Some(waker) = inbox.waker.take() {
            waker.wake();
        }
    }

    /// Takes what was sent; otherwise the task is woken when something is.
    pub fn receive(&self, waker: &Waker) -> Option<Bytes> {
        let mut inbox = self.inbox.lock();
        let message = inbox.messages.pop_front();
        match &message {
            Some(m) => {
                inbox.bytes -= m.len().min(inbox.bytes);
                if inbox.bytes <= self.bounds.soft.load(Ordering::Relaxed) {
                    inbox.over = None;
                }
            }
            None => {
                if !inbox.waker.as_ref().is_some_and(|w| w.will_wake(waker)) {
                    inbox.waker = Some(waker.clone());
                }
            }
        }
        message
    }

    /// Has the task woken when the client is disconnected, though what was sent is not taken yet.
    pub fn wake_at_end(&self, waker: &Waker) {
        let mut inbox = self.inbox.lock();
        if !inbox.waker.as_ref().is_some_and(|w| w.will_wake(waker)) {
            inbox.waker = Some(waker.clone());
        }
        // Killed in between: nobody else would wake it.
        if self.killed() {
            waker.wake_by_ref();
        }
    }

    /// Disconnects the client.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.wake();
    }

    /// Has the client's task look again at what it waits for.
    pub fn wake(&self) {
        if let Some(waker) = self.inbox.lock().waker.take() {
            waker.wake();
        }
    }

    pub fn killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    pub fn resp3(&self) -> bool {
        self.proto.load(Ordering::Relaxed) == 3
    }
}

/// All clients of this node.
pub struct Clients {
    all: Mutex<hashbrown::HashMap<u64, Arc<Client>>>,
    next: AtomicU64,
    node: u64,
    /// How much each of them may leave unread.
    pub bounds: Arc<Bounds>,
}

impl Clients {
    /// Ids are unique across the nodes of a cluster: the node's number is in the high bits.
    pub fn new(node: u64) -> Self {
        Clients {
            all: Mutex::default(),
            next: AtomicU64::new(1),
            node,
            bounds: Arc::default(),
        }
    }

    /// Admits a client, unless there are `max` already.
    pub fn add(&self, addr: String, laddr: String, fd: i32, max: usize) -> Option<Arc<Client>> {
        self.insert(self.fresh(), (addr, laddr), fd, false, max)
    }

    fn fresh(&self) -> u64 {
        // A session that this node began before it was started anew may be here, by way of others, under its old id.
        loop {
            let id = (self.node << 40) | self.next.fetch_add(1, Ordering::Relaxed);
            if !self.all.lock().contains_key(&id) {
                return id;
            }
        }
    }

    /// Admits an operator, beyond maxclients.
    pub fn add_operator(&self, addr: String) -> Option<Arc<Client>> {
        let operators = self.all.lock().values().filter(|c| c.operator).count();
        if operators >= OPERATORS_MAX {
            return None;
        }
        let id = self.fresh();
        self.insert(id, (addr, String::new()), -1, true, usize::MAX)
    }

    /// Admits a client under the id that another node gave it; `None` too where there is one of that id.
    pub fn add_as(
        &self,
        id: u64,
        addr: String,
        laddr: String,
        fd: i32,
        max: usize,
    ) -> Option<Arc<Client>> {
        self.insert(id, (addr, laddr), fd, false, max)
    }

    fn insert(
        &self,
        id: u64,
        (addr, laddr): (String, String),
        fd: i32,
        operator: bool,
        max: usize,
    ) -> Option<Arc<Client>> {
        let mut all = self.all.lock();
        // Near the bound alone it matters who they are.
        let full = all.len() >= max && all.values().filter(|c| !c.operator).count() >= max;
        if full || all.contains_key(&id) {
            return None;
        }
        let client = Arc::new(Client {
            id,
            addr,
            laddr,
            operator,
            fd,
            since: Instant::now(),
            proto: AtomicU8::new(2),
            about: Mutex::new(About {
                user: Bytes::from_static(b"default"),
                last_command: "NULL",
                multi: -1,
                redirect: -1,
                ..About::default()
            }),
            inbox: Mutex::default(),
            killed: AtomicBool::new(false),
            bounds: self.bounds.clone(),
        });
        all.insert(id, client.clone());
        Some(client)
    }

    /// Wakes the tasks of all clients: something that they may wait for changed.
    pub fn wake_all(&self) {
        let mut all: Vec<_> = self.all.lock().values().cloned().collect();
        // In an order that is the same in each run of a simulation.
        all.sort_unstable_by_key(|c| c.id);
        all.iter().for_each(|c| c.wake());
    }

    pub fn remove(&self, id: u64) {
        self.all.lock().remove(&id);
    }

    /// How many there are, operators among them.
    pub fn len(&self) -> usize {
        self.all.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All clients by id.
    pub fn list(&self) -> Vec<Arc<Client>> {
        let mut list: Vec<_> = self.all.lock().values().cloned().collect();
        list.sort_by_key(|c| c.id);
        list
    }

    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.all.lock().get(&id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_a_session_of_before_a_restart_still_has_is_passed_over() {
        let clients = Clients::new(2);
        let add = |clients: &Clients| clients.add("a".into(), "b".into(), -1, 10).unwrap().id;
        let first = (2 << 40) | 1;
        clients
            .add_as(first, "a".into(), "b".into(), -1, 10)
            .unwrap();
        assert_eq!(add(&clients), first + 1);
        assert_eq!(add(&clients), first + 2);
    }
}
