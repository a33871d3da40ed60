//! Telling clients what their caches must forget.
//!
//! What arrives here is committed. It goes to a client's inbox, and from there behind the replies that
//! are on their way: what a client read before a change it gets before it is told of the change.

use bytes::Bytes;

use crate::command::tracking::{Invalidation, Options};
use crate::engine::Core;
use crate::resp::{Out, Proto};

use super::clients::Client;
use super::session::Tracks;
use super::{Server, Session};

/// Where clients of RESP2 listen.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// A message by protocol, encoded when first asked for.
#[derive(Default)]
struct Message {
    two: Option<Bytes>,
    three: Option<Bytes>,
}

impl Message {
    fn of(&mut self, proto: Proto, keys: Option<&[Bytes]>) -> Bytes {
        let slot = match proto {
            Proto::Resp2 => &mut self.two,
            Proto::Resp3 => &mut self.three,
        };
        slot.get_or_insert_with(|| encode(proto, keys)).clone()
    }
}

fn encode(proto: Proto, keys: Option<&[Bytes]>) -> Bytes {
    let mut out = Out::new(proto);
    match proto {
        Proto::Resp2 => {
            out.array(3);
            out.bulk(b"message");
            out.bulk(CHANNEL);
        }
        Proto::Resp3 => {
            out.push(2);
            out.bulk(b"invalidate");
        }
    }
    match keys {
        Some(keys) => {
            out.array(keys.len());
            keys.iter().for_each(|key| out.bulk(key));
        }
        None => out.null(),
    }
    out.take().freeze()
}

/// The message that all keys must be forgotten, for a client that is told directly.
pub fn forget_all() -> Bytes {
    encode(Proto::Resp3, None)
}

impl Server {
    /// Tells clients what to forget.
    pub fn invalidate(&self, told: &Invalidation) {
        let mut message = Message::default();
        for &(id, redirect) in &told.to {
            let Some(client) = self.clients.get(id) else {
                continue;
            };
            if !client.about.lock().tracking {
                continue;
            }
            let mut target = client;
            if redirect != 0 {
                // One whose session the primary has cannot be told from here.
                let other = self.clients.get(redirect);
                match other.filter(|c| !c.about.lock().relayed) {
                    Some(other) => target = other,
                    None => {
                        redirect_is_broken(&target, redirect);
                        continue;
                    }
                }
            }
            if target.resp3() {
                target.send(message.of(Proto::Resp3, told.keys.as_deref()));
            } else if redirect != 0 && target.about.lock().all_subscriptions() > 0 {
                target.send(message.of(Proto::Resp2, told.keys.as_deref()));
            }
        }
    }
}

fn redirect_is_broken(client: &Client, redirect: u64) {
    client.about.lock().redirect_broken = true;
    if client.resp3() {
        let mut out = Out::new(Proto::Resp3);
        out.push(2);
        out.bulk(b"tracking-redir-broken");
        out.int(redirect as i64);
        client.send(out.take().freeze());
    }
}

impl Session {
    /// Tracks in this way from now on; `None`: not at all.
    pub fn track(&mut self, core: &mut Core, options: Option<Options>) {
        let id = self.client.id;
        let mut about = self.client.about.lock();
        about.tracking = options.is_some();
        about.broadcast = options.as_ref().is_some_and(|o| o.broadcast);
        about.redirect = options.as_ref().map_or(-1, |o| o.redirect as i64);
        about.redirect_broken = false;
        drop(about);
        self.tracking = Tracks {
            on: options.is_some(),
            redirects: options.as_ref().is_some_and(|o| o.redirect != 0),
            caching: options.is_some() && self.tracking.caching,
        };
        match options {
            Some(options) => core.tracking.enable(id, options),
            None => core.tracking.disable(id),
        }
        // With the prefixes that it had before.
        self.tracked = core.tracking.options(id).cloned();
    }
}
