//! The engine's state: the data, the turn that is forming, the batches in flight, the role.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use hdrhistogram::Histogram;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::base::clock::Clock;
use crate::base::limits::{
    DIGESTS_REMEMBERED, ERAS_REMEMBERED, IN_FLIGHT_ENTRIES_MAX, MEMORY_BASE,
};
use crate::command::acl::{Operator, Users};
use crate::command::ctx::{Stats, Watches};
use crate::command::propagate::Record;
use crate::command::turn::{Event, Mark};
use crate::command::{Blocking, Ctx, Gate, Settings, Tracking, Turn};
use crate::keyspace::system::Table;
use crate::keyspace::{Effects, Freed, Keyspace, Sequence};
use crate::mutation::entry::{Header, encode_batch, encode_open};

use super::clock::{Course, ServiceClock};
use super::gather::Gather;
use super::{EventSink, Outcome, SettingsSink, UsersSink};

/// What this node does with commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// No data yet, or none to be trusted: LOADING.
    Loading,
    /// Follows the log.
    Standby,
    /// Has proposed the open entry of an epoch and executes nothing until it is applied.
    Opening { epoch: u64 },
    /// Executes.
    Leading { epoch: u64 },
}

/// Batches that were proposed and are not committed.
pub(super) struct InFlight {
    pub batch: u64,
    pub effects: Effects,
    pub events: Vec<Event>,
    pub next_gen_before: u64,
    /// Changes in it.
    pub count: u64,
    /// When it was proposed, by the boot clock, microseconds.
    pub at_us: u64,
}

/// What the proposer hands to Raft: the payloads of one batch, in order.
pub struct Proposal {
    pub era: u64,
    pub batch: u64,
    pub payloads: Vec<Bytes>,
}

/// Everything under the engine's lock.
pub struct Core {
    pub ks: Keyspace,
    pub gate: Gate,
    pub watches: Watches,
    pub tracking: Tracking,
    pub blocking: Blocking,
    /// What the replication stream is told.
    pub record: Record,
    pub settings: Settings,
    /// Users and what they may do; see [`Core::refresh_users`].
    pub users: Users,
    pub stats: Stats,
    pub rng: SmallRng,
    pub role: Role,
    /// Position in the stream of batches, as applied.
    pub sequence: Sequence,
    /// Log index and term last applied.
    pub applied: (u64, u64),
    pub(super) era: u64,
    pub(super) committed: u64,
    pub(super) wake: Vec<Waker>,
    pub(super) turn: Turn,
    pub(super) in_flight: VecDeque<InFlight>,
    pub(super) parts: Vec<Bytes>,
    pub(super) sink: Option<EventSink>,
    /// The users as the front end knows them, and how it learns of a change.
    users_told: Users,
    on_users: Option<UsersSink>,
    /// How long batches took from proposal to commit, microseconds.
    pub(super) commits: Histogram<u64>,
    /// The version of the service's settings that the front end was told of.
    settings_told: u64,
    on_settings: Option<SettingsSink>,
    /// It has no table of users of its own: they were given.
    stands_in: bool,
    ready: Vec<Event>,
    pub(super) committed_digest: u128,
    /// The digests after the last entries, by their index.
    digests: VecDeque<(u64, u128)>,
    pub(super) committed_gen: u64,
    waiters: BTreeMap<u64, Vec<Waker>>,
    ended: VecDeque<(u64, u64)>,
    /// The machine's clocks.
    pub(super) time: Clock,
    clock: ServiceClock,
    /// Service time as leaders at work wrote it.
    pub course: Course,
    now_ms: u64,
    turn_next_gen: u64,
    opened: u64,
    /// A reply waits for a batch though nothing is to be written: propose an empty one.
    mark_wanted: bool,
    gather: Gather,
    /// The turn waits for more changes, and the proposer was not told yet.
    tell_of_wait: bool,
    /// Large values that were removed, and are freed by another thread.
    pub freed: Arc<Freed>,
    /// Keys that had expired already when this node began to lead.
    pub expired_before: u64,
    /// Batches that were executed here, did not commit in their epoch, and were taken back.
    pub undone: u64,
    /// Batches after which this node held something else than their leader: with a planted bug it goes on.
    pub differed: u64,
    /// Mutations executed here before this turn, and as many when SAVE was last called.
    changes: u64,
    saved: u64,
}

impl Core {
    pub(super) fn new(ks: Keyspace, settings: Settings, time: Clock) -> Core {
        Core {
            ks,
            gate: Gate::default(),
            watches: Watches::default(),
            tracking: Tracking::default(),
            blocking: Blocking::default(),
            record: Record::default(),
            settings,
            users: Users::default(),
            users_told: Users::default(),
            on_users: None,
            commits: Histogram::new_with_bounds(1, 60_000_000, 2).expect("sound bounds"),
            settings_told: 0,
            on_settings: None,
            stands_in: false,
            stats: Stats::default(),
            rng: SmallRng::from_os_rng(),
            role: Role::Loading,
            sequence: Sequence::default(),
            applied: (0, 0),
            era: 0,
            committed: 0,
            wake: Vec::new(),
            turn: Turn::new(0),
            in_flight: VecDeque::new(),
            parts: Vec::new(),
            sink: None,
            ready: Vec::new(),
            committed_digest: 0,
            digests: VecDeque::new(),
            committed_gen: 1,
            waiters: BTreeMap::new(),
            ended: VecDeque::new(),
            time,
            clock: ServiceClock::default(),
            course: Course::default(),
            now_ms: 0,
            turn_next_gen: 0,
            opened: 0,
            mark_wanted: false,
            gather: Gather::default(),
            tell_of_wait: false,
            freed: Arc::default(),
            expired_before: 0,
            undone: 0,
            differed: 0,
            changes: 0,
            saved: 0,
        }
    }

    /// A core that leads and has no data: for commands about connections, while a script has the engine's own.
    pub fn without_data(users: Users) -> Core {
        let ks = Keyspace::new(1, crate::data::Seed::default());
        Core {
            role: Role::Leading { epoch: 0 },
            users,
            stands_in: true,
            ..Core::new(ks, Settings::default(), Clock::system())
        }
    }

    /// Bytes that count against maxmemory: INFO's used_memory.
    pub fn memory(&self) -> u64 {
        MEMORY_BASE + self.ks.bytes()
    }

    /// Mutations executed here since the last SAVE or BGSAVE, which note this.
    pub fn unsaved(&self) -> u64 {
        (self.changes + self.turn.count).saturating_sub(self.saved)
    }

    /// Notes a SAVE or BGSAVE.
    pub fn saved(&mut self) {
        self.saved = self.changes + self.turn.count;
    }

    /// Replaces the data, as loaded from the store at a position. The node follows from there.
    pub fn reset(&mut self, ks: Keyspace, sequence: Sequence, applied: (u64, u64)) {
        self.end_epoch();
        self.ks = ks;
        self.committed_digest = self.ks.digest();
        self.committed_gen = self.ks.next_gen();
        self.sequence = sequence;
        self.applied = applied;
        self.digests.clear();
        self.remember_digest();
        self.parts.clear();
        self.role = Role::Standby;
        self.next_era();
    }

    /// The data is about to be replaced: nothing is served, and the old memory is freed.
    pub fn begin_loading(&mut self) {
        self.end_epoch();
        self.role = Role::Loading;
        let (databases, seed, limits) = (self.ks.configured(), self.ks.seed, self.ks.limits);
        self.ks = Keyspace::new(databases, seed);
        self.ks.limits = limits;
        self.next_era();
    }

    /// The generation counter as of what is committed.
    pub fn committed_next_gen(&self) -> u64 {
        self.committed_gen
    }

    /// Digest and position of what is committed: the same at all nodes that applied the same entries.
    pub fn committed_digest(&self) -> (u64, u128) {
        (self.applied.0, self.committed_digest)
    }

    /// The digest of what was committed by an index; none where that is not applied, or too long ago.
    pub fn digest_at(&self, index: u64) -> Option<u128> {
        let at = self
            .digests
            .binary_search_by_key(&index, |(i, _)| *i)
            .ok()?;
        Some(self.digests[at].1)
    }

    pub(super) fn remember_digest(&mut self) {
        if self.digests.len() >= DIGESTS_REMEMBERED {
            self.digests.pop_front();
        }
        self.digests
            .push_back((self.applied.0, self.committed_digest));
    }

    /// The generation counter where the turn that is forming began.
    pub(super) fn turn_next_gen(&self) -> u64 {
        self.turn_next_gen
    }

    /// Where events go when they are committed.
    pub fn set_sink(&mut self, sink: EventSink) {
        self.sink = Some(sink);
    }

    /// Sets the password of the user `default` as this node's configuration has it.
    pub fn set_operator(&mut self, password: &[u8]) {
        self.users = Users::new(Operator::new(password));
        self.users_told = self.users.clone();
    }

    /// Who is told when users have changed, at any node, before the lock is let go.
    pub fn set_users_sink(&mut self, sink: UsersSink) {
        self.on_users = Some(sink);
    }

    /// Derives the users anew where their table has changed. While the data loads they stay as they were.
    #[inline]
    pub fn refresh_users(&mut self) {
        if self.ks.system.version(Table::Users) != self.users.version()
            && self.role != Role::Loading
            && !self.stands_in
        {
            self.users.read(&self.ks.system);
        }
    }

    /// How long batches took from proposal to commit, microseconds.
    pub fn commits(&self) -> &Histogram<u64> {
        &self.commits
    }

    /// Who is told whenever the service's settings have changed, whatever changed them.
    pub fn set_settings_sink(&mut self, sink: SettingsSink) {
        self.on_settings = Some(sink);
    }

    /// Has the front end take settings that have changed. While the data loads they stay as they were.
    #[inline]
    pub fn take_settings(&mut self) {
        let version = self.ks.system.version(Table::Settings);
        if version == self.settings_told || self.role == Role::Loading || self.stands_in {
            return;
        }
        self.settings_told = version;
        if let Some(mut sink) = self.on_settings.take() {
            sink(self);
            self.on_settings = Some(sink);
        }
    }

    /// Tells the front end of users that have changed.
    #[inline]
    pub(super) fn tell_of_users(&mut self) {
        self.refresh_users();
        if self.users.version() != self.users_told.version() {
            let before = std::mem::replace(&mut self.users_told, self.users.clone());
            if let Some(sink) = &self.on_users {
                sink(&before, &self.users);
            }
        }
    }

    /// Reads the clock; commands until the next call see this time.
    pub fn tick(&mut self) -> u64 {
        self.now_ms = match self.role {
            Role::Leading { .. } if crate::base::planted::is("expiry-by-local-clock") => {
                self.time.wall_ms()
            }
            Role::Leading { .. } => {
                let (wall_us, boot_us) = (self.time.wall_us(), self.time.boottime_us());
                self.clock.now_ms(wall_us, boot_us).max(self.now_ms)
            }
            _ => self.sequence.time_ms,
        };
        self.now_ms
    }

    /// Service time as last read.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Milliseconds by which the data here lags behind this machine's wall clock, for people: another machine's may differ.
    pub fn staleness_ms(&self) -> u64 {
        self.time.wall_ms().saturating_sub(self.sequence.time_ms)
    }

    pub fn era(&self) -> u64 {
        self.era
    }

    /// Batches in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The last batch that is executed and not committed, if there is one.
    pub fn unsettled(&self) -> Option<u64> {
        match self.turn.is_empty() && !self.mark_wanted {
            true => self.in_flight.back().map(|b| b.batch),
            false => Some(self.turn.batch),
        }
    }

    /// The number of the batch that the turn becomes.
    pub fn batch(&self) -> u64 {
        self.turn.batch
    }

    /// The world of a command in a database.
    pub fn ctx(&mut self, db: u32) -> Ctx<'_> {
        Ctx {
            ks: &mut self.ks,
            turn: &mut self.turn,
            gate: &mut self.gate,
            watches: &mut self.watches,
            tracking: &mut self.tracking,
            blocking: &mut self.blocking,
            record: &mut self.record,
            settings: &self.settings,
            stats: &mut self.stats,
            rng: &mut self.rng,
            db,
            now: self.now_ms,
            standby: !matches!(self.role, Role::Leading { .. }),
            client: 0,
            no_touch: false,
            user: None,
            script: false,
            wait: 0,
            block: None,
            deleted: None,
        }
    }

    /// Where the turn stands, to go back to with [`Core::rollback`].
    pub fn mark(&self) -> Mark {
        self.turn.mark(self.ks.next_gen(), self.record.len())
    }

    /// Takes back what was executed since a mark: a command or transaction that turned out to be too large.
    pub fn rollback(&mut self, mark: Mark) {
        if let Some(undo) = &mut self.turn.effects.undo {
            self.ks.undo_down_to(undo, mark.undo);
        }
        self.ks.set_next_gen(mark.next_gen);
        self.turn.effects.rows.truncate(mark.rows);
        self.turn.mutations.truncate(mark.mutations);
        self.turn.events.truncate(mark.events);
        self.record.truncate(mark.said);
        self.turn.count = mark.count;
        // Who was to be told of what is taken back is not known any more.
        self.tracking.touch_all();
    }

    /// Whether something is to be told to clients since a mark.
    pub fn events_since(&self, mark: &Mark) -> bool {
        self.turn.events.len() > mark.events || !self.tracking.is_quiet()
    }

    /// Bytes of mutations since a mark.
    pub fn bytes_since(&self, mark: &Mark) -> usize {
        self.turn.mutations.len().saturating_sub(mark.mutations)
    }

    /// An event for subscribers, released when everything executed so far is committed.
    pub fn publish(&mut self, event: Event) {
        self.turn.events.push(event);
    }

    /// Events of a turn that changes nothing need no entry of their own: they go with the last batch in flight, or,
    /// with none, out at once (under the lease, see `Guard`). Returns the batch that a reply about them waits for.
    pub fn settle_events(&mut self) -> u64 {
        self.settle_tracking(self.turn.mutations.is_empty());
        if self.turn.events.is_empty() {
            return 0;
        }
        if !self.turn.mutations.is_empty() {
            return self.turn.batch;
        }
        let events = std::mem::take(&mut self.turn.events);
        match self.in_flight.back_mut() {
            Some(last) => {
                last.events.extend(events);
                last.batch
            }
            None => {
                self.ready.extend(events);
                0
            }
        }
    }

    /// What caches must forget goes with the turn's events; where this node does not lead, what is applied is committed,
    /// and they are told at once. `all`: broadcasts too.
    pub(super) fn settle_tracking(&mut self, all: bool) {
        if self.tracking.is_quiet() {
            return;
        }
        let leads = matches!(self.role, Role::Leading { .. });
        let events: Vec<Event> = self
            .tracking
            .drain(all || !leads)
            .into_iter()
            .map(Event::Invalidate)
            .collect();
        if leads {
            self.turn.events.extend(events);
        } else if let Some(sink) = &self.sink {
            sink(events);
        }
    }

    /// What clients have cached is not watched over any more: they are told to forget all of it.
    fn abandon_caches(&mut self) {
        self.tracking.touch_all();
        let events = self.tracking.drain(true);
        if let Some(sink) = &self.sink {
            let events = events.into_iter().map(Event::Invalidate);
            sink(events.chain([Event::StreamEnds]).collect());
        }
        self.record.clear();
    }

    /// Tells subscribers what is ready, or, without a lease, lets a commit prove it first.
    pub(super) fn release_ready(&mut self, lease: impl Fn() -> bool) {
        if self.ready.is_empty() {
            return;
        }
        let events = std::mem::take(&mut self.ready);
        if lease() {
            if let Some(sink) = &self.sink {
                sink(events);
            }
        } else {
            self.turn.events.splice(0..0, events);
            self.mark_wanted = true;
        }
    }

    /// A reply must be proven by a commit though its command wrote nothing (no lease): returns the batch to wait for.
    pub fn want_mark(&mut self) -> u64 {
        self.mark_wanted = true;
        self.turn.batch
    }

    /// Wakes a task when a batch of the current era is committed or the era ends.
    pub fn wait(&mut self, batch: u64, waker: &Waker) {
        let wakers = self.waiters.entry(batch).or_default();
        if !wakers.iter().any(|w| w.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    /// What became of a batch of an era.
    pub fn outcome(&self, era: u64, batch: u64) -> Outcome {
        if era == self.era {
            return if batch <= self.committed {
                Outcome::Committed
            } else {
                Outcome::Pending
            };
        }
        match self.ended.iter().find(|(e, _)| *e == era) {
            Some((_, last)) if batch <= *last => Outcome::Committed,
            _ => Outcome::Unknown,
        }
    }

    // ---- proposing --------------------------------------------------------------------------------

    pub(super) fn wants_proposal(&self) -> bool {
        matches!(self.role, Role::Leading { .. })
            && (self.mark_wanted || !self.turn.is_empty() && self.gather.is_over(self.turn.count))
            && self.in_flight.len() < in_flight_max()
    }

    /// Whether entries go to other nodes, so that a turn is worth waiting for.
    pub fn gather(&mut self, on: bool) {
        self.gather.allow(on);
    }

    /// Whether the turn waits for more changes than it has.
    pub fn gathers(&self) -> bool {
        !self.gather.is_over(self.turn.count)
    }

    /// The turn has waited long enough.
    pub fn gather_no_more(&mut self) {
        self.gather.taken(self.time.boottime_us(), self.turn.count);
    }

    pub(super) fn take_tell_of_wait(&mut self) -> bool {
        std::mem::take(&mut self.tell_of_wait)
    }

    /// The payload that opens an epoch, for a node that Raft made leader of a term. Ends the epoch before.
    pub fn open_epoch(&mut self, term: u64) -> Bytes {
        self.end_epoch();
        self.opened += 1;
        // Unique: a term has one leader, and it counts its attempts.
        let epoch = (term << 16) | (self.opened & 0xffff);
        self.role = Role::Opening { epoch };
        if crate::base::planted::is("early-execution") {
            self.start_leading(epoch);
        }
        let seed: [u64; 2] = rand::random();
        encode_open(epoch, self.resume_ms(), seed).into()
    }

    /// Takes what was executed for proposal, if there is something and room.
    pub fn take_proposal(&mut self) -> Option<Proposal> {
        let Role::Leading { epoch } = self.role else {
            return None;
        };
        if !self.wants_proposal() {
            return None;
        }
        self.tick();
        self.settle_tracking(true);
        self.mark_wanted = false;
        let batch = self.turn.batch;
        let turn = std::mem::replace(&mut self.turn, Turn::new(batch + 1));
        self.changes += turn.count;
        let (count, at_us) = (turn.count, self.time.boottime_us());
        self.gather.taken(at_us, count);
        let header = Header {
            epoch,
            sequence: batch,
            time_ms: self.now_ms,
            part: 0,
            more: false,
            digest: self.ks.digest(),
        };
        let pieces = turn.mutations.pieces();
        let last = pieces.len() - 1;
        let payloads = pieces
            .iter()
            .enumerate()
            .map(|(i, piece)| {
                encode_batch(
                    &Header {
                        part: i as u64,
                        more: i < last,
                        ..header
                    },
                    piece,
                )
                .into()
            })
            .collect();
        let next_gen_before = std::mem::replace(&mut self.turn_next_gen, self.ks.next_gen());
        self.in_flight.push_back(InFlight {
            batch,
            effects: turn.effects,
            events: turn.events,
            next_gen_before,
            count,
            at_us,
        });
        Some(Proposal {
            era: self.era,
            batch,
            payloads,
        })
    }

    /// The epoch is over, for whatever reason: shuts the gate, takes back what is not committed, wakes who waits.
    pub fn end_epoch(&mut self) {
        if !matches!(self.role, Role::Leading { .. } | Role::Opening { .. }) {
            return;
        }
        let skip_undo = crate::base::planted::is("skip-undo");
        if matches!(self.role, Role::Leading { .. }) && !skip_undo {
            if let Some(undo) = self.turn.effects.undo.take() {
                self.ks.undo(undo);
            }
            while let Some(mut batch) = self.in_flight.pop_back() {
                self.undone += 1;
                if let Some(undo) = batch.effects.undo.take() {
                    self.ks.undo(undo);
                }
                self.turn_next_gen = batch.next_gen_before;
            }
            self.ks.set_next_gen(self.turn_next_gen);
        }
        self.in_flight.clear();
        self.role = Role::Standby;
        self.next_era();
    }

    /// A new era: replies of the old one are resolved by what it had committed.
    pub(super) fn next_era(&mut self) {
        self.ended.push_back((self.era, self.committed));
        if self.ended.len() > ERAS_REMEMBERED {
            self.ended.pop_front();
        }
        self.era += 1;
        self.committed = 0;
        self.gate.clear();
        self.turn = Turn::new(1);
        self.turn_next_gen = self.ks.next_gen();
        self.mark_wanted = false;
        self.gather.end();
        self.ready.clear();
        self.abandon_caches();
        self.unblock_all();
        for (_, wakers) in std::mem::take(&mut self.waiters) {
            self.wake.extend(wakers);
        }
    }

    /// Where service time goes on when this node begins to lead.
    fn resume_ms(&self) -> u64 {
        let (wall_us, boot_us) = (self.time.wall_us(), self.time.boottime_us());
        let last_ms = self.sequence.time_ms;
        self.course.resume_ms(last_ms, wall_us, boot_us)
    }

    /// The epoch's own open entry was applied: execution begins.
    pub(super) fn start_leading(&mut self, epoch: u64) {
        self.role = Role::Leading { epoch };
        self.next_era();
        self.clock = ServiceClock::start(self.resume_ms(), self.time.boottime_us());
        self.now_ms = self.sequence.time_ms;
        let now_ms = self.tick();
        self.expired_before = self.ks.expired(now_ms);
    }

    /// A batch of this era is committed: its gate opens.
    pub(super) fn commit(&mut self, batch: u64, count: u64, at_us: u64) {
        let now_us = self.time.boottime_us();
        let took_us = now_us.saturating_sub(at_us);
        self.commits.saturating_record(took_us.max(1));
        self.tell_of_wait |= self
            .gather
            .committed(now_us, took_us, count, self.turn.count);
        self.committed = batch;
        self.gate.commit(batch);
        while let Some(entry) = self.waiters.first_entry().filter(|e| *e.key() <= batch) {
            self.wake.extend(entry.remove());
        }
    }
}

/// Batches that may be in flight. Where a refused proposal is staged one more is, since a gap takes two.
fn in_flight_max() -> usize {
    IN_FLIGHT_ENTRIES_MAX + usize::from(crate::base::planted::staged("refused-proposal"))
}

impl Core {
    /// Whether this node executes commands.
    pub fn leading_role(&self) -> bool {
        matches!(self.role, Role::Leading { .. })
    }
}
