//! Serving clients that wait for a key, at the moment when it changes.
//!
//! **Invariant**: a waiter whose command is run anew is out of line before, so it is served at most
//! once; its reply waits for the commit of what it took, like any other. One that is told UNBLOCKED was
//! not served: nothing it asked for is in any batch.

use std::time::Instant;

use smallvec::SmallVec;

use crate::command::acl::Denied;
use crate::command::blocking::{Delivery, Ran, Waiter};
use crate::command::{self, Fail};
use crate::keyspace::Entry;
use crate::resp::Out;

use super::core::Core;

impl Core {
    /// Runs the commands of those who wait for keys that have changed. Called after every command, or after the
    /// whole transaction or script, with whose mutations theirs then go into one batch.
    pub fn serve_blocked(&mut self) {
        while let Some((db, key, clients)) = self.blocking.next_ready() {
            // Each is tried once for this change: who has to wait again goes to the end of the line.
            for client in clients {
                if !self.wants(client, db, &key) {
                    continue;
                }
                if let Some(waiter) = self.blocking.remove(client) {
                    self.serve(waiter);
                }
            }
        }
    }

    fn wants(&self, client: u64, db: u32, key: &[u8]) -> bool {
        let now = self.now_ms();
        let present = |e: &&Entry| !e.expired(now);
        let entry = self.ks.entry(db, key).filter(present);
        self.blocking
            .get(client)
            .is_some_and(|w| w.block.on_gone || entry.is_some_and(|e| w.block.kind.is(&e.value)))
    }

    fn serve(&mut self, waiter: Waiter) {
        let Some(handler) = command::handler(waiter.command) else {
            return;
        };
        let started = Instant::now();
        let args: SmallVec<[&[u8]; 8]> = waiter.args.iter().map(|a| &a[..]).collect();
        let mut out = Out::new(waiter.proto);
        // Its user's rules are those of now, not those of when it began to wait.
        self.refresh_users();
        let spec = waiter.command.spec();
        let allowed = match self.users.get(&waiter.user) {
            Some(user) => user.check(spec, &args),
            None => Err(Denied::COMMAND),
        };
        let user = self
            .users
            .get(&waiter.user)
            .filter(|u| !u.unrestricted())
            .cloned();
        let rules = self.gate.system();
        let mark = self.begin_record();
        let mut ctx = self.ctx(waiter.db);
        ctx.client = waiter.client;
        ctx.no_touch = waiter.no_touch;
        ctx.user = user;
        let result = match allowed {
            Ok(()) => handler(&mut ctx, &args, &mut out),
            Err(denied) => Err(Fail::text(format!(
                "NOPERM {}",
                denied.message(&waiter.user, spec)
            ))),
        };
        let (wait, block) = (ctx.wait.max(rules), ctx.block.take());
        if let Some(mark) = &mark {
            self.record_done(mark, spec, &args, waiter.db, out.as_slice());
            self.end_unit(true);
        }
        self.tracking.read(waiter.client, false, spec, &args);
        self.tracking.bound(&mut self.rng);
        drop(args);
        let took = started.elapsed();
        match (result, block) {
            (Err(fail), _) => {
                out.clear();
                out.error(fail.as_str());
            }
            (Ok(()), Some(block)) => {
                self.blocking.add(Waiter { block, ..waiter });
                return;
            }
            (Ok(()), None) => {}
        }
        waiter.parcel.deliver(Delivery {
            reply: out.take(),
            era: self.era(),
            wait,
            ran: Some(Ran {
                args: waiter.args,
                took,
                denied: allowed.err(),
            }),
        });
    }

    /// Ends a client's wait with this reply; says whether it waited.
    pub fn unblock(&mut self, client: u64, reply: impl FnOnce(&mut Out)) -> bool {
        let Some(waiter) = self.blocking.remove(client) else {
            return false;
        };
        let mut out = Out::new(waiter.proto);
        reply(&mut out);
        waiter.parcel.deliver(Delivery {
            reply: out.take(),
            era: self.era(),
            wait: 0,
            ran: None,
        });
        true
    }

    /// This node leads no more: nobody who waits here was served.
    pub(super) fn unblock_all(&mut self) {
        for waiter in self.blocking.drain() {
            let mut out = Out::new(waiter.proto);
            out.error(Fail::UNBLOCKED.as_str());
            waiter.parcel.deliver(Delivery {
                reply: out.take(),
                era: 0,
                wait: 0,
                ran: None,
            });
        }
    }
}
