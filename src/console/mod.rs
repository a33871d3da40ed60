//! The console: creates services, watches them, replaces what is lost, and shows all of it.
//!
//! `model` what there is; `catalog` what can be chosen; `store` what is wanted, on disk; `provider` where services run;
//! `planner` what to do next; `keeper` sees and does it; `backups` archives and forks; `inside` sets and shows what a service holds; `imports` carries a Redis into one; `samples` its figures over time; `hooks` tells others what happened; `dns` the name server; `auth` who is let in; `desk` what each of them
//! may ask for; `web` the pages and the API.
//!
//! It is in the path of no client and no decision of the nodes: they serve and fail over without it.

pub mod auth;
pub mod backups;
pub mod catalog;
pub mod desk;
pub mod diagnosis;
pub mod dns;
pub mod hooks;
pub mod imports;
pub mod inside;
mod keeper;
pub mod model;
pub mod planner;
pub mod provider;
pub mod samples;
pub mod store;
pub mod web;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio::sync::watch;

use crate::gateway::{View, operator};
use backups::Archives;
use catalog::Catalog;
use model::{Health, Overview, Service, Wanted};
use provider::{Place, Placed, Provider};
use store::{Note, Store};

/// What was asked for cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such service.
    #[error("there is no service {0}")]
    NoService(String),
    /// There is no such member, token or organization.
    #[error("{0}")]
    Missing(String),
    /// It is not valid.
    #[error("{0}")]
    Invalid(String),
    /// Whoever asks may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// It is not possible now.
    #[error("{0}")]
    Conflict(String),
    /// Something failed here.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// Where services run that the catalog says nothing of.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The address that their gateways listen at.
    pub bind: IpAddr,
    /// What `pontoon dev` is told of a certificate for clients that the operator has; none, services have their own.
    pub certificate: Vec<String>,
    /// The absolute path of a file of Docker engines, if they are containers.
    pub engines: Option<PathBuf>,
}

/// The console: what pages and API call.
pub struct Console {
    store: Store,
    catalog: Catalog,
    provider: Arc<dyn Provider>,
    board: keeper::Board,
    changed: keeper::Changed,
    guard: auth::Guard,
    archives: Archives,
    /// How many events were noted since it began, by kind.
    noted: parking_lot::Mutex<BTreeMap<String, u64>>,
    hooks: hooks::Hooks,
    imports: imports::Imports,
    /// Its name server, if it has one.
    dns: Option<dns::Options>,
    /// One backup at a time.
    backing_up: tokio::sync::Mutex<()>,
}

impl Console {
    /// Opens the console of `dir`, and goes on with all its services.
    ///
    /// # Errors
    /// When something in `dir` cannot be used.
    pub fn open(
        dir: &Path,
        archives: Archives,
        hooks: hooks::Hooks,
        dns: Option<dns::Options>,
        ground: &Ground,
    ) -> anyhow::Result<Arc<Console>> {
        let store = Store::open(&dir.join("console.db"))?;
        auth::prepare(&store, dir)?;
        let console = Arc::new(Console {
            store,
            catalog: Catalog::open(&dir.join("catalog.toml"), ground.engines.as_deref())?,
            provider: provider::local(dir.join("services"), ground)?,
            board: keeper::Board::default(),
            changed: watch::Sender::new(0),
            guard: auth::Guard::new()?,
            archives,
            noted: Default::default(),
            hooks,
            imports: Default::default(),
            dns,
            backing_up: Default::default(),
        });
        console.adopt()?;
        for mut service in console.store.services()? {
            // Made before a service had a memory of its own.
            if service.memory_mib == 0
                && let Some(plan) = console.catalog.plan(&service.plan)
            {
                service.memory_mib = plan.memory_mib;
                let (id, memory) = (&service.id, plan.memory_mib);
                console.store.set_plan(id, &service.plan, memory)?;
            }
            keeper::keep(console.clone(), service);
        }
        tokio::spawn(backups::schedule(console.clone()));
        Ok(console)
    }

    /// Takes over services that are there and that the database does not know: it was lost, or something else made them.
    fn adopt(self: &Arc<Self>) -> anyhow::Result<()> {
        let known = self.store.services()?;
        for found in self.provider.found()? {
            if known.iter().any(|s| s.id == found.id) {
                continue;
            }
            self.store.adopt(&found, auth::MAIN, now_ms())?;
            let releases = self.catalog.releases.iter();
            let release = releases
                .rev()
                .find(|r| r.begins(found.containers) == found.program);
            // Where it is none of the catalog's it is not known, and stays.
            let release = release.map_or("", |r| &r.id);
            self.store.set_release(&found.id, release, true)?;
            let text = format!("{} was found and is kept from now on", found.id);
            self.note(Some(&found.id), "adopted", &text);
            tokio::spawn(backups::adopt(self.clone(), found));
        }
        Ok(())
    }

    /// What can be chosen.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// What of a plan is not held to where services run.
    fn limits(&self, containers: bool) -> Vec<String> {
        let limits = self.provider.limits(containers).iter();
        limits.map(ToString::to_string).collect()
    }

    /// Rung whenever anything changes that is shown.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// How many follow those changes.
    pub fn followers(&self) -> usize {
        self.changed.receiver_count()
    }

    /// One service as last seen.
    fn overview(&self, id: &str) -> Result<Overview, Error> {
        Ok(self.as_seen(self.service(id)?))
    }

    /// As on the board; what is wanted is the store's word.
    fn as_seen(&self, service: Service) -> Overview {
        match self.board.overview(&service.id) {
            Some(seen) => {
                // What is wanted anew the keeper has not looked at yet.
                let (before, now) = (&seen.service, &service);
                let anew = before.plan != now.plan
                    || before.memory_mib != now.memory_mib
                    || before.restore != now.restore
                    || before.release != now.release;
                Overview {
                    health: match (service.wanted, seen.health) {
                        (Wanted::Gone, _) => Health::Deleting,
                        (_, Health::Running) if anew => Health::Changing,
                        (_, health) => health,
                    },
                    doing: match (seen.doing.as_str(), self.imports.of(&service.id)) {
                        ("", Some(i)) => format!("an import from {}: {}", i.source, i.said),
                        (doing, _) => doing.to_string(),
                    },
                    service,
                    ..seen
                }
            }
            None => Overview {
                service,
                health: Health::Starting,
                doing: String::new(),
                connection: None,
                nodes: Vec::new(),
                limits: Vec::new(),
            },
        }
    }

    fn service(&self, id: &str) -> Result<Service, Error> {
        let found = self.store.service(id)?;
        found.ok_or_else(|| Error::NoService(id.to_string()))
    }

    /// Where a service's primary is.
    fn primary(&self, id: &str) -> Result<(Place, Placed), Error> {
        let seen = self.overview(id)?;
        let primary = seen.nodes.iter().find(|n| n.role == "primary");
        let primary = primary.ok_or_else(|| Error::Conflict("no primary serves".into()))?;
        let place = self.provider.place(id)?;
        let found = place.and_then(|place| {
            let node = place.nodes.iter().find(|n| n.id == primary.id)?.clone();
            Some((place, node))
        });
        found.ok_or_else(|| Error::Conflict("the primary is not there any more".into()))
    }

    /// A node's Admin service.
    async fn operator(&self, id: &str, view: &View, node: u64) -> anyhow::Result<operator::Client> {
        let place = self.provider.place(id)?.context("it is not there")?;
        let seen = view.nodes.get(&node).context("the primary is not known")?;
        keeper::connect(&place, &seen.address.peer, node).await
    }

    /// How many events were noted since it began, by kind.
    fn noted_kinds(&self) -> BTreeMap<String, u64> {
        self.noted.lock().clone()
    }

    /// When a service's log was last archived, Unix milliseconds.
    fn archived_ms(&self, id: &str) -> anyhow::Result<Option<i64>> {
        let at = self.store.setting(&format!("archived/{id}"))?;
        Ok(at.and_then(|t| t.parse().ok()).filter(|at| *at > 0))
    }

    /// Notes what the console did by itself.
    fn note(&self, service: Option<&str>, kind: &str, text: &str) {
        self.noted(Note {
            service,
            org: auth::MAIN,
            by: "",
            kind,
            text,
        });
    }

    /// Notes an event. One that cannot be noted is logged.
    fn noted(&self, note: Note<'_>) {
        tracing::info!(
            service = note.service,
            kind = note.kind,
            by = note.by,
            "{}",
            note.text
        );
        *self.noted.lock().entry(note.kind.to_string()).or_default() += 1;
        self.hooks.tell(now_ms(), &note);
        if let Err(error) = self.store.note(now_ms(), note) {
            tracing::error!(%error, "an event could not be noted");
        }
        self.changed.send_modify(|n| *n += 1);
    }
}

fn new_id() -> String {
    format!("s-{:010x}", rand::random::<u64>() >> 24)
}

fn checked_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    let length = name.chars().count();
    if !(1..=60).contains(&length) || name.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "the name has {length} characters; it has 1 to 60, and no line breaks"
        )));
    }
    Ok(name.to_string())
}

/// Unix time, milliseconds.
fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
