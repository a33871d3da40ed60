//! Publish and subscribe: who listens to what at this node. Only the leader has subscribers, since
//! standbys relay their sessions to it.
//!
//! Messages arrive here released by the engine, so nothing uncommitted is ever told.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::base::glob;
use crate::command::settings::notify;
use crate::command::turn::Event;
use crate::resp::{Out, Proto};

use super::clients::Client;

type Subscribers = BTreeMap<u64, Arc<Client>>;

/// The three kinds of subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Channel,
    Pattern,
    Shard,
}

#[derive(Default)]
struct Maps {
    channels: HashMap<Bytes, Subscribers>,
    patterns: BTreeMap<Bytes, Subscribers>,
    shards: HashMap<Bytes, Subscribers>,
}

/// All subscriptions of this node.
#[derive(Default)]
pub struct Hub {
    maps: Mutex<Maps>,
    settings: Mutex<u32>,
}

impl Hub {
    /// Which keyspace notifications are wanted, as kept by the settings.
    pub fn set_notify(&self, flags: u32) {
        *self.settings.lock() = flags;
    }

    /// Subscribes a client.
    pub fn subscribe(&self, kind: Kind, name: &[u8], client: &Arc<Client>) {
        let mut maps = self.maps.lock();
        let name = Bytes::copy_from_slice(name);
        let subscribers = match kind {
            Kind::Channel => maps.channels.entry(name).or_default(),
            Kind::Pattern => maps.patterns.entry(name).or_default(),
            Kind::Shard => maps.shards.entry(name).or_default(),
        };
        subscribers.insert(client.id, client.clone());
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, kind: Kind, name: &[u8], client: u64) {
        let mut maps = self.maps.lock();
        match kind {
            Kind::Channel => leave(&mut maps.channels, name, client),
            Kind::Shard => leave(&mut maps.shards, name, client),
            Kind::Pattern => {
                if let Some(subscribers) = maps.patterns.get_mut(name) {
                    subscribers.remove(&client);
                    if subscribers.is_empty() {
                        maps.patterns.remove(name);
                    }
                }
            }
        }
    }

    /// How many clients a message to a channel reaches.
    pub fn receivers(&self, channel: &[u8], sharded: bool) -> usize {
        let maps = self.maps.lock();
        if sharded {
            return maps.shards.get(channel).map_or(0, Subscribers::len);
        }
        let direct = maps.channels.get(channel).map_or(0, Subscribers::len);
        direct
            + maps
                .patterns
                .iter()
                .filter(|(p, _)| glob::matches(p, channel))
                .map(|(_, s)| s.len())
                .sum::<usize>()
    }

    /// Channels with subscribers (patterns aside) that match, in name order.
    pub fn channels(&self, pattern: Option<&[u8]>, sharded: bool) -> Vec<Bytes> {
        let maps = self.maps.lock();
        let from = if sharded {
            &maps.shards
        } else {
            &maps.channels
        };
        let mut names: Vec<_> = from
            .keys()
            .filter(|name| pattern.is_none_or(|p| glob::matches(p, name)))
            .cloned()
            .collect();
        names.sort();
        names
    }

    /// Subscribers of a channel, patterns aside.
    pub fn subscribers(&self, channel: &[u8], sharded: bool) -> usize {
        let maps = self.maps.lock();
        let from = if sharded {
            &maps.shards
        } else {
            &maps.channels
        };
        from.get(channel).map_or(0, Subscribers::len)
    }

    /// Calls for every subscription.
    pub fn each(&self, mut call: impl FnMut(Kind, &[u8], &Client)) {
        let maps = self.maps.lock();
        let channels = maps.channels.iter().map(|(n, s)| (Kind::Channel, n, s));
        let patterns = maps.patterns.iter().map(|(n, s)| (Kind::Pattern, n, s));
        let shards = maps.shards.iter().map(|(n, s)| (Kind::Shard, n, s));
        for (kind, name, subscribers) in channels.chain(patterns).chain(shards) {
            subscribers.values().for_each(|c| call(kind, name, c));
        }
    }

    /// The number of patterns with subscribers.
    pub fn patterns(&self) -> usize {
        self.maps.lock().patterns.len()
    }

    /// Tells subscribers of a committed event.
    pub fn release(&self, event: Event) {
        match event {
            // Told to clients, not to subscribers: see `caches` and `replicas`.
            Event::Invalidate(_) | Event::Propagate(_) | Event::StreamEnds => {}
            Event::Publish {
                channel,
                payload,
                sharded,
            } => self.deliver(&channel, &payload, sharded),
            Event::Keyspace { event, db, key, .. } => {
                let flags = *self.settings.lock();
                if flags & notify::KEYSPACE != 0 {
                    let mut channel = format!("__keyspace@{db}__:").into_bytes();
                    channel.extend_from_slice(&key);
                    self.deliver(&channel, event.as_bytes(), false);
                }
                if flags & notify::KEYEVENT != 0 {
                    self.deliver(format!("__keyevent@{db}__:{event}").as_bytes(), &key, false);
                }
            }
        }
    }

    fn deliver(&self, channel: &[u8], payload: &[u8], sharded: bool) {
        let maps = self.maps.lock();
        let kind: &[u8] = if sharded { b"smessage" } else { b"message" };
        let direct = if sharded {
            maps.shards.get(channel)
        } else {
            maps.channels.get(channel)
        };
        if let Some(subscribers) = direct {
            send_all(subscribers, &[kind, channel, payload]);
        }
        if !sharded {
            for (pattern, subscribers) in maps
                .patterns
                .iter()
                .filter(|(p, _)| glob::matches(p, channel))
            {
                send_all(subscribers, &[b"pmessage", pattern, channel, payload]);
            }
        }
    }
}

fn leave(map: &mut HashMap<Bytes, Subscribers>, name: &[u8], client: u64) {
    if let Some(subscribers) = map.get_mut(name) {
        subscribers.remove(&client);
        if subscribers.is_empty() {
            map.remove(name);
        }
    }
}

/// Encodes a message once per protocol and sends it to all.
fn send_all(subscribers: &Subscribers, parts: &[&[u8]]) {
    let encode = |proto| {
        let mut out = Out::new(proto);
        out.push(parts.len());
        parts.iter().for_each(|p| out.bulk(p));
        out.take().freeze()
    };
    let (mut two, mut three) = (None, None);
    for client in subscribers.values() {
        let message = if client.resp3() {
            three.get_or_insert_with(|| encode(Proto::Resp3))
        } else {
            two.get_or_insert_with(|| encode(Proto::Resp2))
        };
        client.send(message.clone());
    }
}
