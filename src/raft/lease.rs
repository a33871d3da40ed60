//! The leader's lease: until when no other node can have become leader, as this process can prove.
//!
//! **Why it is sound.** A read at the leader is linearizable if no other leader could have committed
//! anything by then. The argument, against openraft 0.10.0-alpha.37:
//!
//! 1. A follower that processes an AppendEntries of the leader's committed vote calls
//!    `Leased::touch(now)` on its vote (`VoteHandler::update_vote`, called first by
//!    `Engine::append_entries`, heartbeats included). `now` is the follower's own monotonic clock *at
//!    processing*, which is after the leader sent it. The lease is `election_timeout_max` long.
//! 2. Until it has run out, `Engine::handle_vote_req` and `handle_pre_vote_req` refuse every request,
//!    unless it carries `leadership_transfer`; and the follower does not stand itself
//!    (`Engine::pre_elect` returns, and the tick waits for lease plus election timeout).
//! 3. Hence, if every member of a quorum acknowledged a message that was sent at `s` or later, no
//!    other node can collect a quorum before `s + election_timeout_max`, measured on any of their
//!    clocks. We claim only `0.9 * election_timeout_min` from `s`, so clocks may differ in rate by a tenth.
//! 4. `s` is read from our clock *before* the message leaves (`network.rs` stamps a request when it
//!    takes it), and an acknowledgement counts for the request that it answers. If the process is
//!    stopped anywhere (SIGSTOP, a paused machine), CLOCK_BOOTTIME goes on: the check compares `s` with
//!    the time *now*, so a lease that ran out meanwhile is seen as such. The reader must check after
//!    it has read, not before.
//! 5. The leader is itself a member of every quorum that it counts, and its own vote is granted by
//!    openraft by a different measure (its own send times). So while a vote request is answered
//!    here, the lease is suspended, and once we granted it is revoked: see [`Lease::suspend`].
//! 6. A leadership transfer lifts rule 2 at every node and openraft does not restore it in that term
//!    (`Leased::disable_lease`). So the lease is revoked before the transfer message leaves
//!    (`network.rs`) and stays revoked for the rest of the term.
//! 7. A restarted voter has forgotten rule 1: `peer_service::VoteGate` makes it refuse for one whole
//!    `election_timeout_max`, and the node does not stand before that either.
//! 8. Which quorum: the newest membership of the leader's log. A member can act on a newer one only
//!    after the leader sent it, and `network.rs` shows us every membership before it is sent.
//!
//! All times are milliseconds of [`Clock::boottime_ms`]; rounding is within the tenth.

use super::types::{LogId, Membership, NodeId, StoredMembership};
use crate::base::clock::Clock;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The lease of one node in one group.
pub struct Lease {
    own: NodeId,
    clock: Clock,
    length_ms: u64,
    state: Mutex<State>,
    /// Valid while boot time is below it. Derived from `state`; apart, so that a read costs one load.
    until: AtomicU64,
}

#[derive(Default)]
struct State {
    /// The term in which this node leads or led last.
    term: u64,
    /// False before the first term, and from a revocation on until the next term.
    held: bool,
    /// Vote requests that are being answered now.
    suspended: u32,
    /// The voters of each part of a joint configuration.
    configs: Vec<BTreeSet<NodeId>>,
    /// The newest membership seen in a request: term of the request, its log id, its voters.
    noted: Option<(u64, LogId, Vec<BTreeSet<NodeId>>)>,
    /// Per target: the term, and when the newest message that it acknowledged in it was sent.
    acks: BTreeMap<NodeId, (u64, u64)>,
}

/// Keeps the lease invalid while it lives.
pub struct Suspension<'a>(&'a Lease);

impl Lease {
    /// A lease that is not valid until [`Lease::begin`]. `election_timeout_min` must be the same at
    /// every node, as in openraft's configuration.
    pub fn new(own: NodeId, election_timeout_min: Duration, clock: Clock) -> Arc<Self> {
        let length_ms = election_timeout_min.as_millis() as u64 * 9 / 10;
        Arc::new(Self {
            own,
            clock,
            length_ms,
            state: Mutex::default(),
            until: AtomicU64::new(0),
        })
    }

    /// The lease's length, milliseconds.
    pub fn length_ms(&self) -> u64 {
        self.length_ms
    }

    /// This node leads in `term`, and `membership` is the newest of its log. Repeating it within a
    /// term only updates the membership: it does not undo a revocation.
    pub fn begin(&self, term: u64, membership: &StoredMembership) {
        let mut state = self.state.lock();
        if term > state.term {
            state.term = term;
            state.held = true;
        } else if term < state.term {
            return;
        }
        // A membership that was noted in this term is part of a log that its leader never cuts, so
        // the newer of the two holds.
        let given = membership.log_id().as_ref().map(|id| id.index);
        state.configs = match &state.noted {
            Some((noted_term, id, configs)) if *noted_term == term && Some(id.index) > given => {
                configs.clone()
            }
            _ => membership.membership().get_joint_config().clone(),
        };
        self.refresh(&state);
    }

    /// A membership is about to be sent to a follower, at `id` of the log of the leader of `term`.
    pub fn note_membership(&self, term: u64, id: LogId, membership: &Membership) {
        let mut state = self.state.lock();
        let newer = match &state.noted {
            Some((noted_term, noted_id, _)) => (term, id.index) > (*noted_term, noted_id.index),
            None => true,
        };
        if !newer {
            return;
        }
        let configs = membership.get_joint_config().clone();
        if term == state.term {
            state.configs = configs.clone();
        }
        state.noted = Some((term, id, configs));
        self.refresh(&state);
    }

    /// The time to remember with a message that is about to be sent.
    pub fn stamp(&self) -> u64 {
        self.clock.boottime_ms()
    }

    /// `target` accepted a message of the leader of `term` that was stamped `sent_ms`.
    pub fn acknowledged(&self, target: NodeId, term: u64, sent_ms: u64) {
        let mut state = self.state.lock();
        let ack = state.acks.entry(target).or_default();
        // Answers of several connections may overtake each other.
        if (term, sent_ms) > *ack {
            *ack = (term, sent_ms);
            self.refresh(&state);
        }
    }

    /// Ends the lease for the rest of the term: before a transfer is triggered, on losing the role,
    /// and once a vote was granted to another node.
    pub fn revoke(&self) {
        let mut state = self.state.lock();
        state.held = false;
        self.refresh(&state);
    }

    /// Ends the lease if it is of a term before `term`: a leader of `term` has been heard of.
    pub fn observe_term(&self, term: u64) {
        // Cheap when nothing is held, which is so at every follower.
        if self.until.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut state = self.state.lock();
        if term > state.term {
            state.held = false;
            self.refresh(&state);
        }
    }

    /// Makes the lease invalid until the answer is dropped. Taken around a vote request: between
    /// the moment at which Raft grants it and the moment at which we hear so, nothing may be read.
    pub fn suspend(&self) -> Suspension<'_> {
        let mut state = self.state.lock();
        state.suspended += 1;
        self.refresh(&state);
        Suspension(self)
    }

    /// Whether no other node can have become leader by now. Call it after the read.
    pub fn valid(&self) -> bool {
        if planted_bug() {
            return true;
        }
        let until = self.until.load(Ordering::Acquire);
        until != 0 && self.clock.boottime_ms() < until
    }

    /// Whether the lease was valid at `now_ms`, boot time read after the read.
    pub fn valid_at(&self, now_ms: u64) -> bool {
        planted_bug() || now_ms < self.until.load(Ordering::Acquire)
    }

    /// Milliseconds for which the lease holds from now on if nothing revokes it; 0: it does not.
    pub fn remaining_ms(&self) -> u64 {
        self.until
            .load(Ordering::Acquire)
            .saturating_sub(self.clock.boottime_ms())
    }

    fn refresh(&self, state: &State) {
        let until = match state.held && state.suspended == 0 {
            true => self
                .quorum_time(state)
                .map_or(0, |t| t.saturating_add(self.length_ms)),
            false => 0,
        };
        self.until.store(until, Ordering::Release);
    }

    /// The latest time such that a quorum of each configuration acknowledged a message sent then or
    /// later. `u64::MAX` where this node is a quorum by itself; `None` where there is no such time.
    fn quorum_time(&self, state: &State) -> Option<u64> {
        let one = |voters: &BTreeSet<NodeId>| {
            let mut times: Vec<u64> = voters
                .iter()
                .filter_map(|id| match state.acks.get(id) {
                    _ if *id == self.own => Some(u64::MAX),
                    Some((term, sent)) if *term == state.term => Some(*sent),
                    _ => None,
                })
                .collect();
            times.sort_unstable_by(|a, b| b.cmp(a));
            times.get(voters.len() / 2).copied()
        };
        // The minimum over all; none at all is no quorum.
        state
            .configs
            .iter()
            .map(one)
            .reduce(|a, b| Some(a?.min(b?)))
            .flatten()
    }
}

impl Drop for Suspension<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.suspended -= 1;
        self.0.refresh(&state);
    }
}

/// For the chaos tests, which must catch it: a lease that never ends.
#[cfg(feature = "planted-bugs")]
fn planted_bug() -> bool {
    static ON: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ON.get_or_init(|| {
        std::env::var("PONTOON_PLANTED_BUG").is_ok_and(|v| v == "stale-read-after-pause")
    })
}

#[cfg(not(feature = "planted-bugs"))]
const fn planted_bug() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Manual;

    const MIN: Duration = Duration::from_millis(300);

    fn members(index: u64, configs: &[&[NodeId]]) -> StoredMembership {
        StoredMembership::new(Some(LogId::new_term_index(1, index)), membership(configs))
    }

    fn membership(configs: &[&[NodeId]]) -> Membership {
        let configs = configs
            .iter()
            .map(|c| c.iter().copied().collect())
            .collect();
        Membership::new_with_defaults(configs, [])
    }

    fn lease() -> (Arc<Manual>, Arc<Lease>) {
        let clock = Manual::new(10_000, 0);
        (clock.clone(), Lease::new(1, MIN, Clock::new(clock)))
    }

    #[test]
    fn a_quorum_of_acknowledgements_counts_from_when_they_were_sent() {
        let (clock, lease) = lease();
        assert_eq!(lease.length_ms(), 270);
        lease.begin(2, &members(1, &[&[1, 2, 3, 4, 5]]));
        assert!(!lease.valid(), "nobody has answered");
        let sent = lease.stamp();
        clock.advance(100);
        lease.acknowledged(2, 2, sent);
        assert!(!lease.valid(), "two of five");
        lease.acknowledged(3, 2, sent + 50);
        assert_eq!(lease.remaining_ms(), 170);
        // A late answer to an older message takes nothing back.
        lease.acknowledged(3, 2, sent);
        lease.acknowledged(4, 2, sent + 60);
        assert_eq!(lease.remaining_ms(), 220);
        clock.advance(219);
        assert!(lease.valid());
        clock.advance(1);
        assert!(
            !lease.valid(),
            "as after a pause: time went on, nobody was asked"
        );
    }

    #[test]
    fn answers_of_another_term_do_not_count() {
        let (_clock, lease) = lease();
        lease.acknowledged(2, 1, lease.stamp());
        lease.begin(2, &members(1, &[&[1, 2, 3]]));
        assert!(!lease.valid());
        // The network may hear an answer before the role is known.
        lease.acknowledged(2, 3, lease.stamp());
        assert!(!lease.valid());
        lease.begin(3, &members(1, &[&[1, 2, 3]]));
        assert!(lease.valid());
    }

    #[test]
    fn a_revoked_lease_waits_for_another_term() {
        let (_clock, lease) = lease();
        let group = members(1, &[&[1, 2, 3]]);
        lease.begin(2, &group);
        lease.acknowledged(2, 2, lease.stamp());
        assert!(lease.valid());
        lease.revoke();
        lease.acknowledged(3, 2, lease.stamp());
        lease.begin(2, &group);
        assert!(!lease.valid());
        lease.begin(4, &group);
        lease.acknowledged(2, 4, lease.stamp());
        assert!(lease.valid());
        lease.observe_term(4);
        assert!(lease.valid(), "its own term");
        lease.observe_term(5);
        assert!(!lease.valid(), "another leads");
        lease.begin(3, &group);
        assert!(!lease.valid(), "an older term does not come back");
    }

    #[test]
    fn a_suspension_ends() {
        let (_clock, lease) = lease();
        lease.begin(2, &members(1, &[&[1]]));
        let first = lease.suspend();
        let second = lease.suspend();
        drop(first);
        assert!(!lease.valid());
        drop(second);
        assert!(lease.valid());
    }

    #[test]
    fn a_single_voter_is_always_valid() {
        let (clock, lease) = lease();
        lease.begin(2, &members(1, &[&[1]]));
        clock.advance(1_000_000_000);
        assert!(lease.valid() && lease.valid_at(u64::MAX - 1));
        lease.revoke();
        assert!(!lease.valid() && !lease.valid_at(0));
    }

    #[test]
    fn a_membership_counts_before_it_is_sent() {
        let (_clock, lease) = lease();
        lease.begin(2, &members(1, &[&[1]]));
        assert!(lease.valid());
        let id = |index| LogId::new_term_index(2, index);
        lease.note_membership(2, id(7), &membership(&[&[1], &[1, 2, 3]]));
        assert!(
            !lease.valid(),
            "a joint configuration needs a quorum of each part"
        );
        lease.acknowledged(3, 2, lease.stamp());
        assert!(lease.valid());
        lease.note_membership(2, id(8), &membership(&[&[2, 3]]));
        assert!(!lease.valid(), "not a voter any more: needs both others");
        lease.acknowledged(2, 2, lease.stamp());
        assert!(lease.valid());
        // What the role's watcher saw may be older than what was sent already.
        lease.note_membership(2, id(9), &membership(&[&[1, 4, 5]]));
        lease.begin(2, &members(8, &[&[2, 3]]));
        assert!(!lease.valid());
        lease.begin(2, &members(10, &[&[1, 3]]));
        assert!(lease.valid());
    }
}
