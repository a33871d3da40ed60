//! Making room and clearing what expired, at the leader, by mutations like everything else.

use crate::base::limits::{EVICT_PER_COMMAND_MAX, EXPIRE_PER_TICK_MAX};
use crate::command::settings::notify;
use crate::mutation::Mutation;

use super::core::{Core, Role};

impl Core {
    /// Evicts until the data fits maxmemory or the policy has nothing left. Says whether it fits.
    pub fn make_room(&mut self) -> bool {
        let max = self.settings.maxmemory;
        if max == 0 || self.now_ms() < self.settings.paused_until {
            return true;
        }
        let mut evicted = 0;
        while self.memory() > max {
            let Some((db, key)) =
                self.ks
                    .victim(&self.settings.eviction, self.now_ms(), &mut self.rng)
            else {
                return false;
            };
            let mut ctx = self.ctx(db);
            if ctx.apply(Mutation::Del { db, key: &key }).is_err() {
                return false;
            }
            ctx.notify(notify::EVICTED, "evicted", &key);
            if ctx.record.on {
                let unlink = ctx.settings.is_on("lazyfree-lazy-eviction");
                ctx.record.deleted(db, &key, unlink, false);
            }
            self.end_unit(false);
            self.stats.evicted += 1;
            evicted += 1;
            if evicted >= EVICT_PER_COMMAND_MAX {
                // The next command goes on; this one is let through, as the excess is shrinking.
                return true;
            }
        }
        true
    }

    /// Deletes keys whose time has come, a bounded number. Says whether more may be due.
    pub fn expire_due(&mut self) -> bool {
        if !matches!(self.role, Role::Leading { .. }) || !self.settings.active_expire {
            return false;
        }
        let now = self.tick();
        if now < self.settings.paused_until {
            return false;
        }
        let due = self.ks.due(now, EXPIRE_PER_TICK_MAX);
        for (db, key) in &due {
            self.ctx(*db).expire_now(*db, key);
            self.end_unit(false);
        }
        self.serve_blocked();
        due.len() >= EXPIRE_PER_TICK_MAX
    }
}
