//! What people and programs may ask of the console, each for their organization and within their role.
//!
//! Always: a service of another organization is not there; a viewer changes nothing; what was asked for is noted with who
//! asked. Pages and API call nothing else.

mod wanted;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::backups::{Aim, Backup, Forked, Moment, Wish};
use super::imports::Import;
use super::inside::{Keys, Preset, Set, Slow, User};
use super::model::{
    Connection, Create, Event, Member, Organization, Overview, Role, Service, Token, Wanted, Who,
};
use super::samples::Sample;
use super::store::{Denied, Note};
use super::{Console, Error, auth, catalog, checked_name, keeper, new_id, now_ms};
use crate::base::allow::Allow;
use crate::base::secret;
use crate::proto::NodeRequest;

/// The longest time that an old password is valid beside a new one.
const OVERLAP_MAX: Duration = Duration::from_secs(30 * 86400);
/// The longest life of a token that has one, days.
const TOKEN_DAYS_MAX: u32 = 3650;

/// The console, as one of them has it.
pub struct Desk {
    console: Arc<Console>,
    /// Who asks.
    pub who: Who,
}

impl Desk {
    /// The console, for `who`.
    pub fn new(console: Arc<Console>, who: Who) -> Desk {
        Desk { console, who }
    }

    /// Whether they may what `role` may.
    ///
    /// # Errors
    /// Where they may not.
    pub fn may(&self, role: Role) -> Result<(), Error> {
        if self.who.role >= role {
            return Ok(());
        }
        Err(Error::Forbidden(format!(
            "{} is {} here, and that takes {}",
            self.who.name,
            article(self.who.role),
            article(role)
        )))
    }

    /// A service that they may change.
    fn changing(&self, id: &str) -> Result<Service, Error> {
        let service = self.service(id)?;
        self.may(Role::Operator)?;
        Ok(service)
    }

    fn service(&self, id: &str) -> Result<Service, Error> {
        let service = self.console.service(id)?;
        if service.org != self.who.org {
            return Err(Error::NoService(id.to_string()));
        }
        Ok(service)
    }

    fn note(&self, service: Option<&str>, kind: &str, text: &str) {
        self.console.noted(Note {
            service,
            org: &self.who.org,
            by: &self.who.name,
            kind,
            text,
        });
    }

    /// Creates a service; its processes come up afterwards.
    ///
    /// # Errors
    /// When the wish is not valid.
    pub fn create(&self, wish: &Create) -> Result<Service, Error> {
        self.may(Role::Operator)?;
        let console = &self.console;
        let name = checked_name(&wish.name)?;
        let Some(plan) = console.catalog.plan(&wish.plan) else {
            return Err(no_plan(console, &wish.plan));
        };
        if console.catalog.region(&wish.cloud, &wish.region).is_none() {
            return Err(Error::Invalid(format!(
                "there is no region {:?} of a cloud {:?} in the catalog",
                wish.region, wish.cloud
            )));
        }
        let wish = Create {
            name,
            ..wish.clone()
        };
        let port = |taken: &[u16]| console.provider.port(taken);
        let memory = plan.memory_mib;
        let (store, org) = (&console.store, &self.who.org);
        let release = console.catalog.releases.first();
        let release = release.map_or(catalog::OWN, |r| &r.id);
        let service = store.create(&new_id(), org, (&wish, memory, release), now_ms(), port)?;
        let (cloud, region) = (&service.cloud, &service.region);
        let text = format!(
            "{} was created: {} at {cloud}, {region}",
            service.name, service.plan
        );
        self.note(Some(&service.id), "create", &text);
        keeper::keep(console.clone(), service.clone());
        Ok(service)
    }

    /// Their services as last seen, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn overviews(&self) -> Result<Vec<Overview>, Error> {
        let services = self.console.store.services()?;
        let own = services.into_iter().filter(|s| s.org == self.who.org);
        Ok(own.map(|s| self.seen(self.console.as_seen(s))).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// Where there is none.
    pub fn overview(&self, id: &str) -> Result<Overview, Error> {
        Ok(self.seen(self.console.as_seen(self.service(id)?)))
    }

    /// Whoever may change nothing gets no password either.
    fn seen(&self, mut seen: Overview) -> Overview {
        if self.who.role < Role::Operator {
            seen.connection = None;
        }
        seen
    }

    /// Powers a service on or off, or deletes it with its data.
    ///
    /// # Errors
    /// Where it is being deleted already.
    pub fn want(&self, id: &str, wanted: Wanted) -> Result<(), Error> {
        let service = self.changing(id)?;
        if service.wanted == Wanted::Gone && wanted != Wanted::Gone {
            return Err(Error::Conflict(format!(
                "{} is being deleted",
                service.name
            )));
        }
        self.kept_here(id, "ends with what keeps it")?;
        if self.console.store.want(id, wanted)? {
            let (kind, text) = match wanted {
                Wanted::On => ("power", "it was powered on"),
                Wanted::Off => ("power", "it was powered off"),
                Wanted::Gone => ("delete", "its deletion was asked for"),
            };
            self.note(Some(id), kind, text);
        }
        self.console.board.ring(id);
        Ok(())
    }

    /// What something else begins and ends, the console does not.
    fn kept_here(&self, id: &str, instead: &str) -> Result<(), Error> {
        if self.console.provider.kept_elsewhere(id) {
            return Err(Error::Conflict(format!(
                "it is the cluster of `pontoon dev`, which this console came with: it {instead}"
            )));
        }
        Ok(())
    }

    /// Gives a service another name.
    ///
    /// # Errors
    /// When the name is not valid.
    pub fn rename(&self, id: &str, name: &str) -> Result<(), Error> {
        let (service, name) = (self.changing(id)?, checked_name(name)?);
        if service.name != name {
            self.console.store.rename(id, &name)?;
            let text = format!("{} is called {name} now", service.name);
            self.note(Some(id), "rename", &text);
            self.console.board.ring(id);
        }
        Ok(())
    }

    /// Begins a node anew; a primary hands over first where it can.
    ///
    /// # Errors
    /// Where there is no such node, or too few others answer.
    pub async fn restart_node(&self, id: &str, node: u64) -> Result<(), Error> {
        self.changing(id)?;
        let seen = self.console.overview(id)?;
        let Some(found) = seen.nodes.iter().find(|n| n.id == node) else {
            return Err(Error::Missing(format!("it has no node {node}")));
        };
        let others = || seen.nodes.iter().filter(|n| n.id != node && n.voter);
        if self.console.service(id)?.wanted != Wanted::On {
            return Err(Error::Conflict("it is not powered on".into()));
        }
        if found.voter && others().any(|n| !n.answers) {
            return Err(Error::Conflict(
                "another node does not answer: without this one too few would".into(),
            ));
        }
        if found.role == "primary" && others().any(|n| n.role == "standby") {
            self.hand_over(id, None).await?;
        }
        let restarted = self.console.provider.restart_node(id, node).await;
        restarted.map_err(|e| Error::Conflict(format!("{e:#}")))?;
        self.note(Some(id), "restart", &format!("node {node} was begun anew"));
        self.console.board.ring(id);
        Ok(())
    }

    /// Replaces what a service holds by what it held at a moment; it does not serve meanwhile.
    ///
    /// # Errors
    /// When no backup reaches the moment, or the plan does not offer it.
    pub async fn restore(&self, id: &str, aim: &Aim) -> Result<(), Error> {
        let service = self.changing(id)?;
        self.kept_here(id, "is restored there, stopped")?;
        self.console.restore(&service, aim).await?;
        let to = match &aim.moment {
            Moment::Newest => "its newest backup".to_string(),
            Moment::Index(index) => format!("log index {index}"),
            Moment::Time(text, _) => text.clone(),
        };
        self.note(
            Some(id),
            "restore",
            &match aim.shift_expiry {
                true => format!(
                    "a restore to {to} was asked for, with as much time left to keys as they had"
                ),
                false => format!("a restore to {to} was asked for"),
            },
        );
        Ok(())
    }

    /// Hands the primary's place to a standby: `to`, or the one that lags least.
    ///
    /// # Errors
    /// Where there is none, or the primary refuses.
    pub async fn hand_over(&self, id: &str, to: Option<u64>) -> Result<u64, Error> {
        self.changing(id)?;
        let overview = self.console.overview(id)?;
        let standbys = overview
            .nodes
            .iter()
            .filter(|n| n.role == "standby" && n.answers);
        let heir = match to {
            Some(to) => Some(to),
            None => standbys.min_by_key(|n| n.lag).map(|n| n.id),
        };
        let heir = heir.ok_or_else(|| Error::Conflict("it has no standby that answers".into()))?;
        let (place, node) = self.console.primary(id)?;
        let primary = node.id;
        let client = keeper::connect(&place, &node.address.peer, primary).await;
        let mut client = client.map_err(|e| Error::Conflict(format!("{e:#}")))?;
        let done = client.transfer(NodeRequest { id: heir }).await;
        done.map_err(|status| Error::Conflict(status.message().to_string()))?;
        let text = format!("node {primary} was asked to hand over to node {heir}");
        self.note(Some(id), "hand-over", &text);
        Ok(heir)
    }

    /// The newest events first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn events(&self, of: Option<&str>, count: usize) -> Result<Vec<Event>, Error> {
        Ok(self.console.store.events(&self.who.org, of, count)?)
    }

    /// What there is of a service's backups, the oldest first; the chain is checked.
    ///
    /// # Errors
    /// When the archive cannot be read or is not what was written.
    pub async fn backups(&self, id: &str) -> Result<Vec<Backup>, Error> {
        self.service(id)?;
        self.console.backups(id).await
    }

    /// Archives the log of a service now, and takes a base first where there is none or `base` asks for one.
    ///
    /// # Errors
    /// When no node answers, or node or archive fail.
    pub async fn back_up(&self, id: &str, base: bool) -> Result<Vec<Backup>, Error> {
        self.changing(id)?;
        let what = if base { "a base" } else { "its log" };
        self.note(Some(id), "backup", &format!("{what} was asked for"));
        self.console.back_up(id, base).await
    }

    /// A new service with what another held at a log index or time.
    ///
    /// # Errors
    /// When the wish is not valid, or the archive does not reach it or is not what was written.
    pub async fn fork(&self, id: &str, wish: Wish) -> Result<Forked, Error> {
        let source = self.changing(id)?;
        let made = self.console.fork(&source, wish).await?;
        let text = format!(
            "{} was forked from {} at log index {}",
            made.service.name, source.name, made.index
        );
        self.note(Some(&made.service.id), "create", &text);
        self.note(Some(id), "fork", &text);
        Ok(made)
    }

    /// The settings of a service.
    ///
    /// # Errors
    /// When no primary serves.
    pub async fn settings(&self, id: &str) -> Result<Vec<Set>, Error> {
        self.service(id)?;
        self.console.settings(id).await
    }

    /// Sets all of them or none. An allow-list that does not have `asks_from` must be meant.
    ///
    /// # Errors
    /// When one is not valid, or it would lock out who asks.
    pub async fn set(
        &self,
        id: &str,
        wanted: &[(String, String)],
        asks_from: IpAddr,
        meant: bool,
    ) -> Result<(), Error> {
        self.changing(id)?;
        let list = wanted.iter().find(|(name, _)| name == "allow-list");
        if let (Some((_, list)), false) = (list, meant) {
            let allow = Allow::parse(list).map_err(Error::Invalid)?;
            if !allow.holds(asks_from) {
                return Err(Error::Conflict(format!(
                    "your own address, {asks_from}, is not on that allow-list: confirm that this is meant"
                )));
            }
        }
        self.console.set(id, wanted).await?;
        for (name, value) in wanted {
            let text = format!("{name} is {value:?} now");
            self.note(Some(id), "setting", &text);
        }
        Ok(())
    }

    /// Makes a new password; the old one is valid for a while beside it.
    ///
    /// # Errors
    /// When no primary serves.
    pub async fn rotate(&self, id: &str, overlap: Duration) -> Result<(), Error> {
        let service = self.changing(id)?;
        if overlap > OVERLAP_MAX {
            return Err(Error::Invalid(format!(
                "the old password is valid for at most {} days more",
                OVERLAP_MAX.as_secs() / 86400
            )));
        }
        self.console.rotate(&service, overlap).await?;
        let text = format!(
            "it has a new password; the old one is valid for {} s more",
            overlap.as_secs()
        );
        self.note(Some(id), "password", &text);
        Ok(())
    }

    /// How clients connect, as it is at this moment.
    ///
    /// # Errors
    /// Where there is no such service.
    pub fn connection(&self, id: &str) -> Result<Option<Connection>, Error> {
        self.changing(id)?;
        let place = self.console.provider.place(id)?;
        Ok(place.and_then(|p| p.connection))
    }

    /// The users of a service.
    ///
    /// # Errors
    /// When no primary serves.
    pub async fn users(&self, id: &str) -> Result<Vec<User>, Error> {
        self.service(id)?;
        self.console.users(id).await
    }

    /// Makes a user of a service, whose password is the answer: it is told once.
    ///
    /// # Errors
    /// When the name is not valid or taken.
    pub async fn add_user(&self, id: &str, name: &str, preset: Preset) -> Result<String, Error> {
        self.changing(id)?;
        let name = member_name(name)?;
        let password = self.console.add_user(id, &name, preset).await?;
        let text = format!("the user {name} was made: {}", preset.name());
        self.note(Some(id), "user", &text);
        Ok(password)
    }

    /// Removes a user of a service, and disconnects it.
    ///
    /// # Errors
    /// Where there is none, or it is the one of the URI.
    pub async fn remove_user(&self, id: &str, name: &str) -> Result<(), Error> {
        self.changing(id)?;
        if name == "default" {
            return Err(Error::Invalid(
                "the user default is the one of the URI: give it another password instead".into(),
            ));
        }
        self.console.remove_user(id, name).await?;
        self.note(Some(id), "user", &format!("the user {name} was removed"));
        Ok(())
    }

    /// Begins to carry a running Redis into a service, and follows it until the cut-over.
    ///
    /// # Errors
    /// When one runs already, or the source is none.
    pub fn import(&self, id: &str, source: &str, replace: bool) -> Result<Import, Error> {
        let service = self.changing(id)?;
        self.console.import(&service, source, replace)?;
        let import = self.importing(id)?;
        let text = format!("an import from {} was asked for", import.source);
        self.note(Some(id), "import", &text);
        Ok(import)
    }

    /// The import of a service that runs.
    ///
    /// # Errors
    /// Where none does.
    pub fn importing(&self, id: &str) -> Result<Import, Error> {
        self.service(id)?;
        let import = self.console.imports.of(id);
        import.ok_or_else(|| Error::Missing("no import of it runs".into()))
    }

    /// Pauses the source's writers, carries over the rest, compares, and ends it.
    ///
    /// # Errors
    /// Where none runs.
    pub fn cut_over(&self, id: &str) -> Result<(), Error> {
        self.changing(id)?;
        self.console.cut_over(id)?;
        self.note(Some(id), "import", "the cut-over was asked for");
        Ok(())
    }

    /// Ends an import where it is.
    ///
    /// # Errors
    /// Where none runs.
    pub fn stop_import(&self, id: &str) -> Result<(), Error> {
        self.changing(id)?;
        self.console.stop_import(id)?;
        self.note(Some(id), "import", "its end was asked for");
        Ok(())
    }

    /// The slowest commands of late.
    ///
    /// # Errors
    /// When no primary serves.
    pub async fn slow(&self, id: &str) -> Result<Vec<Slow>, Error> {
        self.looking(id)?;
        self.console.slow(id).await
    }

    /// The connected clients.
    ///
    /// # Errors
    /// When no primary serves.
    pub async fn clients(&self, id: &str) -> Result<Vec<String>, Error> {
        self.looking(id)?;
        self.console.clients(id).await
    }

    /// Keys of a service.
    ///
    /// # Errors
    /// When no primary serves.
    pub async fn keys(
        &self,
        id: &str,
        db: u32,
        pattern: &str,
        cursor: &str,
    ) -> Result<Keys, Error> {
        self.looking(id)?;
        self.console.keys(id, db, pattern, cursor).await
    }

    /// The beginning of a key's value.
    ///
    /// # Errors
    /// When no primary serves, or there is no such key.
    pub async fn value(
        &self,
        id: &str,
        db: u32,
        key: &str,
    ) -> Result<Vec<(String, String)>, Error> {
        self.looking(id)?;
        self.console.value(id, db, key).await
    }

    /// Figures of a service over time, the oldest first.
    ///
    /// # Errors
    /// Where there is no such service.
    pub fn samples(&self, id: &str) -> Result<Vec<Sample>, Error> {
        self.service(id)?;
        Ok(self.console.board.samples(id))
    }

    /// The end of a node's log.
    ///
    /// # Errors
    /// Where there is none.
    pub fn log(&self, id: &str, node: u64) -> Result<String, Error> {
        self.looking(id)?;
        let nodes = self.console.overview(id)?.nodes;
        if nodes.iter().all(|n| n.id != node) {
            return Err(Error::Missing(format!("it has no node {node}")));
        }
        let log = self.console.provider.log(id, node);
        log.map_err(|e| Error::Missing(format!("there is no log of node {node}: {e:#}")))
    }

    /// What a service holds is for those who may also change it.
    fn looking(&self, id: &str) -> Result<(), Error> {
        self.changing(id).map(drop)
    }

    /// All organizations; those of the first one alone see others than theirs.
    ///
    /// # Errors
    /// When the database fails.
    pub fn organizations(&self) -> Result<Vec<Organization>, Error> {
        let mut all = self.console.store.organizations()?;
        all.retain(|o| o.id == self.who.org || self.who.org == auth::MAIN);
        Ok(all)
    }

    /// Makes an organization and its first administrator, whose password is the answer: it is told once.
    ///
    /// # Errors
    /// Where they may not, or a name is not valid or taken.
    pub fn add_organization(
        &self,
        name: &str,
        admin: &str,
    ) -> Result<(Organization, String), Error> {
        self.may(Role::Admin)?;
        if self.who.org != auth::MAIN {
            return Err(Error::Forbidden(
                "an administrator of the first organization makes others".into(),
            ));
        }
        let (name, admin) = (checked_name(name)?, member_name(admin)?);
        let id = format!("o-{:010x}", rand::random::<u64>() >> 24);
        let organization = Organization { id, name };
        let password = secret::make();
        let hash = auth::hash(&password)?;
        let store = &self.console.store;
        taken(store.add_organization(&organization, &admin, &hash, now_ms())?)?;
        let text = format!("the organization {} was made", organization.name);
        self.note(None, "members", &text);
        Ok((organization, password))
    }

    /// The members of their organization.
    ///
    /// # Errors
    /// When the database fails.
    pub fn members(&self) -> Result<Vec<Member>, Error> {
        Ok(self.console.store.members(&self.who.org)?)
    }

    /// Takes a member, whose first password is the answer: it is told once.
    ///
    /// # Errors
    /// Where they may not, or the name is not valid or taken.
    pub fn add_member(&self, name: &str, role: Role) -> Result<String, Error> {
        self.may(Role::Admin)?;
        let name = member_name(name)?;
        let password = secret::make();
        let member = Member { name, role };
        let hash = auth::hash(&password)?;
        let store = &self.console.store;
        taken(store.add_member(&self.who.org, &member, &hash, now_ms())?)?;
        let text = format!("{} is {} now", member.name, article(role));
        self.note(None, "members", &text);
        Ok(password)
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// Where they may not, there is none, or it would leave no administrator.
    pub fn set_role(&self, name: &str, role: Role) -> Result<(), Error> {
        self.may(Role::Admin)?;
        self.known(name)?;
        taken(self.console.store.set_role(&self.who.org, name, role)?)?;
        let text = format!("{name} is {} now", article(role));
        self.note(None, "members", &text);
        Ok(())
    }

    /// Gives a member a new password, which is the answer; their sessions end.
    ///
    /// # Errors
    /// Where they may not, or there is none.
    pub fn reset_password(&self, name: &str) -> Result<String, Error> {
        self.may(Role::Admin)?;
        self.known(name)?;
        let password = secret::make();
        let hash = auth::hash(&password)?;
        taken(
            self.console
                .store
                .set_password(&self.who.org, name, &hash, "")?,
        )?;
        self.note(None, "members", &format!("{name} got a new password"));
        Ok(password)
    }

    /// Sets their own password to one that they chose. Their other sessions end.
    ///
    /// # Errors
    /// When it is too short.
    pub fn choose_password(&self, password: &str, session: &str) -> Result<(), Error> {
        auth::fits(password).map_err(Error::Invalid)?;
        let (store, hash) = (&self.console.store, auth::hash(password)?);
        taken(store.set_password(&self.who.org, &self.who.name, &hash, session)?)?;
        self.note(None, "members", "changed the password");
        Ok(())
    }

    /// Removes a member; their sessions end.
    ///
    /// # Errors
    /// Where they may not, there is none, or it is the last administrator.
    pub fn remove_member(&self, name: &str) -> Result<(), Error> {
        self.may(Role::Admin)?;
        self.known(name)?;
        taken(self.console.store.remove_member(&self.who.org, name)?)?;
        self.note(None, "members", &format!("{name} is no member any more"));
        Ok(())
    }

    fn known(&self, name: &str) -> Result<(), Error> {
        let members = self.members()?;
        if members.iter().any(|m| m.name == name) {
            return Ok(());
        }
        Err(Error::Missing(format!("there is no member {name:?}")))
    }

    /// The tokens of their organization.
    ///
    /// # Errors
    /// Where they may not.
    pub fn tokens(&self) -> Result<Vec<Token>, Error> {
        self.may(Role::Admin)?;
        Ok(self.console.store.tokens(&self.who.org)?)
    }

    /// Makes a token that ends after `days`, or never; its secret is told once.
    ///
    /// # Errors
    /// Where they may not, or it is not valid.
    pub fn add_token(
        &self,
        name: &str,
        role: Role,
        days: Option<u32>,
    ) -> Result<(Token, String), Error> {
        self.may(Role::Admin)?;
        if days.is_some_and(|d| !(1..=TOKEN_DAYS_MAX).contains(&d)) {
            return Err(Error::Invalid(format!(
                "a token lives for 1 to {TOKEN_DAYS_MAX} days, or without an end"
            )));
        }
        let now = now_ms();
        let token = Token {
            id: auth::new_token_id(),
            name: checked_name(name)?,
            role,
            by: self.who.name.clone(),
            expires_ms: days.map(|d| now + i64::from(d) * 24 * 3600 * 1000),
        };
        let (store, secret) = (&self.console.store, secret::make());
        taken(store.add_token(&self.who.org, &token, &auth::hashed(&secret), now)?)?;
        let text = format!("the token {} was made for {}", token.name, article(role));
        self.note(None, "members", &text);
        Ok((token, secret))
    }

    /// Removes a token, which is refused from then on.
    ///
    /// # Errors
    /// Where they may not, or there is none.
    pub fn remove_token(&self, id: &str) -> Result<(), Error> {
        self.may(Role::Admin)?;
        if !self.console.store.remove_token(&self.who.org, id)? {
            return Err(Error::Missing(format!("there is no token {id:?}")));
        }
        self.note(None, "members", &format!("the token {id} was removed"));
        Ok(())
    }
}

fn taken(done: Result<(), Denied>) -> Result<(), Error> {
    done.map_err(|why| Error::Conflict(why.0))
}

/// For people.
fn article(role: Role) -> &'static str {
    match role {
        Role::Viewer => "a viewer",
        Role::Operator => "an operator",
        Role::Admin => "an administrator",
    }
}

pub(super) fn no_plan(console: &Console, plan: &str) -> Error {
    let plans: Vec<&str> = console
        .catalog
        .plans
        .iter()
        .map(|p| p.id.as_str())
        .collect();
    Error::Invalid(format!(
        "there is no plan {plan:?}; it is one of {}",
        plans.join(", ")
    ))
}

fn member_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    let fits = |c: char| c.is_ascii_alphanumeric() || "@._+-".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(fits) {
        return Ok(name.to_string());
    }
    Err(Error::Invalid(format!(
        "{name:?} is no member's name: 1 to 64 letters, digits and @ . _ + -"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_members_need_no_escaping() {
        assert_eq!(
            member_name(" ada@example.com ").ok().as_deref(),
            Some("ada@example.com")
        );
        for wrong in ["", "a b", "a/b", "a<b", &"a".repeat(65)] {
            assert!(member_name(wrong).is_err(), "{wrong}");
        }
    }
}
