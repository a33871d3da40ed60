//! Recording what the replication stream is told: see [`crate::command::propagate`].

use crate::command::Args;
use crate::command::propagate::Done;
use crate::command::table::Spec;
use crate::command::turn::{Event, Mark};
use crate::keyspace::Value;
use crate::mutation::codec::Reader;

use super::core::Core;

impl Core {
    /// A command begins; `None`: nobody reads the stream.
    pub fn begin_record(&mut self) -> Option<Mark> {
        if !self.record.on || !self.leading_role() {
            return None;
        }
        self.turn.mutations.restart();
        self.record.begin();
        Some(self.mark())
    }

    /// A command ended: what it changed since its beginning is recorded.
    pub fn record_done(
        &mut self,
        mark: &Mark,
        spec: &'static Spec,
        args: Args<'_>,
        db: u32,
        reply: &[u8],
    ) {
        let bytes = self.turn.mutations.bytes();
        let changes = bytes.get(mark.mutations..).unwrap_or_default();
        let first = args.get(1).and_then(|key| self.ks.entry(db, key));
        let stream_len = match first.map(|entry| &entry.value) {
            Some(Value::Stream(stream)) => stream.data.len(),
            _ => 0,
        };
        let done = Done {
            spec,
            args,
            db,
            changes: Reader::new(changes).map_while(Result::ok).collect(),
            reply,
            unlink_expired: self.settings.is_on("lazyfree-lazy-expire"),
            unlink_replaced: self.settings.is_on("lazyfree-lazy-server-del"),
            stream_len,
            expire_at: first.map_or(0, |entry| entry.expire_at),
        };
        self.record.add(&done);
    }

    /// What was executed since the last unit is one; `together`: nobody may see a part of it.
    pub fn end_unit(&mut self, together: bool) {
        if let Some(unit) = self.record.end(together) {
            self.turn.events.push(Event::Propagate(unit));
        }
    }
}
