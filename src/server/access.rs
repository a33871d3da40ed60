//! What sessions may do: each request is held against the rules that its user has now.
//!
//! **Invariant**: a session's user is a name; its rules are looked up whenever the users have changed.
//! One whose user may do everything pays a comparison for each request.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use crate::command::acl::{Denied, User, Users, Why};
use crate::command::table::Spec;
use crate::command::turn::Event;
use crate::command::{Args, Fail};
use crate::engine::Core;

use super::acllog::{Context, Entry, Reason};
use super::dispatch::wall_us;
use super::pubsub::Kind;
use super::{Server, Session, commands};

/// A version that no table of users has.
const NEVER: u64 = u64::MAX;

/// Who a session speaks for.
pub struct Identity {
    user: Bytes,
    /// The user's rules as of `read_at`.
    rules: Option<Arc<User>>,
    read_at: u64,
    /// The version of the users by which this one may do everything.
    free_at: u64,
}

impl Default for Identity {
    fn default() -> Self {
        Identity::of(Bytes::from_static(b"default"))
    }
}

impl Identity {
    /// A user by its name.
    pub fn of(user: Bytes) -> Identity {
        Identity {
            user,
            rules: None,
            read_at: NEVER,
            free_at: NEVER,
        }
    }

    /// The user's name.
    pub fn user(&self) -> &Bytes {
        &self.user
    }

    /// The rules that a command of it must heed by itself; `None`: it may do everything.
    pub fn rules(&self) -> Option<Arc<User>> {
        if self.free_at == self.read_at {
            return None;
        }
        self.rules.clone()
    }

    /// Whether it may send a request, by the users as they are now.
    #[inline]
    pub fn check(&mut self, users: &Users, spec: &Spec, args: Args<'_>) -> Result<(), Denied> {
        if self.free_at == users.version() {
            return Ok(());
        }
        self.check_rules(users, spec, args)
    }

    fn check_rules(&mut self, users: &Users, spec: &Spec, args: Args<'_>) -> Result<(), Denied> {
        if self.read_at != users.version() {
            self.rules = users.get(&self.user).cloned();
            self.read_at = users.version();
        }
        match &self.rules {
            None => Err(Denied::COMMAND),
            Some(user) if user.unrestricted() => {
                self.free_at = self.read_at;
                Ok(())
            }
            Some(user) => user.check(spec, args),
        }
    }
}

impl Session {
    /// The session speaks for a user from now on.
    pub fn log_in(&mut self, user: &Bytes) {
        self.authenticated = true;
        self.speak_for(user.clone());
    }

    /// Sets the user without a word on whether it has logged in.
    pub fn speak_for(&mut self, user: Bytes) {
        self.client.about.lock().user = user.clone();
        self.identity = Identity::of(user);
    }
}

/// Whether a session may send a request; a refusal is counted and noted. While a transaction is executed each of its
/// commands is asked about again.
pub fn check(
    server: &Server,
    core: &mut Core,
    session: &mut Session,
    spec: &'static Spec,
    args: Args<'_>,
) -> Result<(), Denied> {
    if session.operator {
        return Ok(());
    }
    core.refresh_users();
    let denied = match session.identity.check(&core.users, spec, args) {
        Ok(()) => return Ok(()),
        Err(denied) => denied,
    };
    // Within a transaction the command is EXEC.
    if !session.in_exec {
        session.last_command = spec.full_name;
    }
    note_denied(server, core, session, spec, args, denied);
    // Deleted under its session: as a rule the session has ended already.
    if core.users.get(session.identity.user()).is_none() {
        session.closing = true;
    }
    Err(denied)
}

/// Counts and notes a refusal.
pub fn note_denied(
    server: &Server,
    core: &Core,
    session: &Session,
    spec: &'static Spec,
    args: Args<'_>,
    denied: Denied,
) {
    let (reason, object) = match denied.why {
        Why::Command => (Reason::Command, spec.full_name.as_bytes()),
        Why::Key => (Reason::Key, args[denied.at]),
        Why::Channel => (Reason::Channel, args[denied.at]),
    };
    let user = session.identity.user().clone();
    note(server, core, session, reason, object, user);
}

/// Notes a refusal in ACL LOG.
pub fn note(
    server: &Server,
    core: &Core,
    session: &Session,
    reason: Reason,
    object: &[u8],
    user: Bytes,
) {
    let c = &server.counters;
    let counter = match reason {
        Reason::Command => &c.denied_command,
        Reason::Key => &c.denied_key,
        Reason::Channel => &c.denied_channel,
        Reason::Auth => &c.denied_auth,
    };
    counter.fetch_add(1, Relaxed);
    let in_transaction = session.multi.is_some() || session.in_exec;
    session.show();
    let now = wall_us() / 1000;
    let max = core.settings.shown.get("acllog-max-len");
    server.acl_log.lock().add(
        Entry {
            id: 0,
            count: 1,
            reason,
            context: match (session.in_script, in_transaction) {
                (true, _) => Context::Script,
                (false, true) => Context::Multi,
                (false, false) => Context::Toplevel,
            },
            object: object.to_vec(),
            user,
            client: commands::client::line(&session.client).trim_end().into(),
            created_ms: now,
            updated_ms: now,
        },
        max.and_then(|text| text.parse().ok()).unwrap_or(128),
    );
}

/// The error reply to a refused request.
pub fn fail(denied: Denied, session: &Session, spec: &Spec) -> Fail {
    Fail::text(format!(
        "NOPERM {}",
        denied.message(session.identity.user(), spec)
    ))
}

impl Server {
    /// From now on clients are told what is committed; and they are disconnected when their user goes, or loses a
    /// channel that they are subscribed to, whatever changed the users, at whichever node.
    pub fn listen_to_engine(self: &Arc<Self>) {
        let server: Weak<Server> = Arc::downgrade(self);
        let mut core = self.engine.lock();
        core.set_operator(&self.options.password);
        self.users.store(Arc::new(core.users.clone()));
        let events = server.clone();
        core.set_sink(Box::new(move |told| {
            if let Some(server) = events.upgrade() {
                told.into_iter().for_each(|event| server.tell(event));
            }
        }));
        let (settings, mut own) = (server.clone(), commands::config::Own::default());
        core.set_settings_sink(Box::new(move |core| {
            if let Some(server) = settings.upgrade() {
                commands::config::take(&mut own, core, &server);
            }
        }));
        let sink = move |before: &Users, now: &Users| {
            if let Some(server) = server.upgrade() {
                server.users_changed(before, now);
            }
        };
        core.set_users_sink(Box::new(sink));
    }

    fn tell(&self, event: Event) {
        match event {
            Event::Invalidate(told) => self.invalidate(&told),
            Event::Propagate(unit) => self.replicas.release(&unit),
            Event::StreamEnds => self.replicas.end(),
            event => self.hub.release(event),
        }
    }

    fn users_changed(&self, before: &Users, now: &Users) {
        self.users.store(Arc::new(now.clone()));
        let (mut gone, mut lost) = (BTreeSet::new(), BTreeSet::new());
        for old in before.iter() {
            match now.get(&old.name) {
                None => {
                    gone.insert(&old.name);
                }
                Some(new) if !Arc::ptr_eq(old, new) && new.lost_channels(old) => {
                    lost.insert(&old.name);
                }
                Some(_) => {}
            }
        }
        if !gone.is_empty() {
            self.disconnect(|user| gone.contains(user), None);
        }
        if !lost.is_empty() {
            self.hub.each(|kind, name, client| {
                let about = client.about.lock();
                let user = Some(&about.user).filter(|u| lost.contains(u) && !about.relayed);
                let allowed = user
                    .and_then(|user| now.get(user))
                    .is_none_or(|user| user.allows_channel(name, kind == Kind::Pattern));
                drop(about);
                if !allowed {
                    client.kill();
                }
            });
        }
    }

    /// Disconnects the clients of some users, but for one client. Those that are leaving anyway still get their
    /// replies; a relayed client's user is for the primary to know.
    pub fn disconnect(&self, of: impl Fn(&Bytes) -> bool, spared: Option<u64>) {
        for client in self.clients.list() {
            let about = client.about.lock();
            let stays = about.closing || about.relayed || !of(&about.user);
            drop(about);
            if !stays && spared != Some(client.id) {
                client.kill();
            }
        }
    }
}
