//! The console: creates services, watches them, replaces what is lost, and shows all of it.
//!
//! `model` what there is; `catalog` what can be chosen; `store` what is wanted, on disk; `provider` where services run;
//! `planner` what to do next; `keeper` sees and does it; `backups` archives and forks; `auth` who may; `web` the pages and the API.
//!
//! It is in the path of no client and no decision of the nodes: they serve and fail over without it.

pub mod auth;
pub mod backups;
pub mod catalog;
mod keeper;
pub mod model;
pub mod planner;
pub mod provider;
pub mod store;
pub mod web;

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio::sync::watch;

use crate::gateway::{View, operator};
use crate::proto::NodeRequest;
use backups::Archives;
use catalog::Catalog;
use model::{Create, Health, Overview, Service, Wanted};
use provider::Provider;
use store::Store;

/// What was asked for cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such service.
    #[error("there is no service {0}")]
    NoService(String),
    /// It is not valid.
    #[error("{0}")]
    Invalid(String),
    /// It is not possible now.
    #[error("{0}")]
    Conflict(String),
    /// Something failed here.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
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
    /// One backup at a time.
    backing_up: tokio::sync::Mutex<()>,
}

impl Console {
    /// Opens the console of `dir`, and goes on with all its services.
    ///
    /// # Errors
    /// When something in `dir` cannot be used.
    pub fn open(dir: &Path, archives: Archives) -> anyhow::Result<Arc<Console>> {
        let store = Store::open(&dir.join("console.db"))?;
        auth::prepare(&store, dir)?;
        let console = Arc::new(Console {
            store,
            catalog: Catalog::open(&dir.join("catalog.toml"))?,
            provider: provider::local(dir.join("services"))?,
            board: keeper::Board::default(),
            changed: watch::Sender::new(0),
            guard: auth::Guard::default(),
            archives,
            backing_up: Default::default(),
        });
        for service in console.store.services()? {
            keeper::keep(console.clone(), service);
        }
        tokio::spawn(backups::schedule(console.clone()));
        Ok(console)
    }

    /// What can be chosen.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Rung whenever anything changes that is shown.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// How many follow those changes.
    pub fn followers(&self) -> usize {
        self.changed.receiver_count()
    }

    /// Creates a service; its processes come up afterwards.
    ///
    /// # Errors
    /// When the wish is not valid.
    pub fn create(self: &Arc<Self>, wish: &Create) -> Result<Service, Error> {
        let name = checked_name(&wish.name)?;
        if self.catalog.plan(&wish.plan).is_none() {
            let plans: Vec<&str> = self.catalog.plans.iter().map(|p| p.id.as_str()).collect();
            return Err(Error::Invalid(format!(
                "there is no plan {:?}; it is one of {}",
                wish.plan,
                plans.join(", ")
            )));
        }
        if self.catalog.region(&wish.cloud, &wish.region).is_none() {
            return Err(Error::Invalid(format!(
                "there is no region {:?} of a cloud {:?} in the catalog",
                wish.region, wish.cloud
            )));
        }
        let wish = Create {
            name,
            ..wish.clone()
        };
        let id = new_id();
        let port = |taken: &[u16]| self.provider.port(taken);
        let service = self.store.create(&id, &wish, now_ms(), port)?;
        let (cloud, region) = (&service.cloud, &service.region);
        let text = format!(
            "{} was created: {} at {cloud}, {region}",
            service.name, service.plan
        );
        self.note(Some(&service.id), "create", &text);
        keeper::keep(self.clone(), service.clone());
        Ok(service)
    }

    /// All services as last seen, oldest first.
    pub fn overviews(&self) -> Result<Vec<Overview>, Error> {
        let services = self.store.services()?;
        Ok(services.into_iter().map(|s| self.as_seen(s)).collect())
    }

    /// One of them.
    pub fn overview(&self, id: &str) -> Result<Overview, Error> {
        Ok(self.as_seen(self.service(id)?))
    }

    /// As on the board; what is wanted is the store's word.
    fn as_seen(&self, service: Service) -> Overview {
        match self.board.overview(&service.id) {
            Some(seen) => Overview {
                health: match service.wanted {
                    Wanted::Gone => Health::Deleting,
                    Wanted::Off | Wanted::On => seen.health,
                },
                service,
                ..seen
            },
            None => Overview {
                service,
                health: Health::Starting,
                doing: String::new(),
                connection: None,
                nodes: Vec::new(),
            },
        }
    }

    fn service(&self, id: &str) -> Result<Service, Error> {
        let found = self.store.service(id)?;
        found.ok_or_else(|| Error::NoService(id.to_string()))
    }

    /// Powers a service on or off, or deletes it with its data.
    ///
    /// # Errors
    /// Where it is being deleted already.
    pub fn want(&self, id: &str, wanted: Wanted) -> Result<(), Error> {
        let service = self.service(id)?;
        if service.wanted == Wanted::Gone && wanted != Wanted::Gone {
            return Err(Error::Conflict(format!(
                "{} is being deleted",
                service.name
            )));
        }
        if self.store.want(id, wanted)? {
            let (kind, text) = match wanted {
                Wanted::On => ("power", "it was powered on"),
                Wanted::Off => ("power", "it was powered off"),
                Wanted::Gone => ("delete", "its deletion was asked for"),
            };
            self.note(Some(id), kind, text);
        }
        self.board.ring(id);
        Ok(())
    }

    /// Gives a service another name.
    ///
    /// # Errors
    /// When the name is not valid.
    pub fn rename(&self, id: &str, name: &str) -> Result<(), Error> {
        let (service, name) = (self.service(id)?, checked_name(name)?);
        if service.name != name {
            self.store.rename(id, &name)?;
            self.note(
                Some(id),
                "rename",
                &format!("{} is called {name} now", service.name),
            );
            self.board.ring(id);
        }
        Ok(())
    }

    /// Hands the primary's place to a standby: `to`, or the one that lags least.
    ///
    /// # Errors
    /// Where there is none, or the primary refuses.
    pub async fn hand_over(&self, id: &str, to: Option<u64>) -> Result<u64, Error> {
        let overview = self.overview(id)?;
        let standbys = overview
            .nodes
            .iter()
            .filter(|n| n.role == "standby" && n.answers);
        let heir = match to {
            Some(to) => Some(to),
            None => standbys.min_by_key(|n| n.lag).map(|n| n.id),
        };
        let heir = heir.ok_or_else(|| Error::Conflict("it has no standby that answers".into()))?;
        let primary = overview.nodes.iter().find(|n| n.role == "primary");
        let primary = primary
            .ok_or_else(|| Error::Conflict("no primary serves".into()))?
            .id;
        let place = self.provider.place(id)?.context("it is not there")?;
        let node = place.nodes.iter().find(|n| n.id == primary);
        let peer = &node.context("the primary is not there")?.address.peer;
        let mut client = keeper::connect(&place, peer, primary).await?;
        let done = client.transfer(NodeRequest { id: heir }).await;
        done.map_err(|status| Error::Conflict(status.message().to_string()))?;
        self.note(
            Some(id),
            "hand-over",
            &format!("node {primary} was asked to hand over to node {heir}"),
        );
        Ok(heir)
    }

    /// The newest events first.
    ///
    /// # Errors
    /// Where there is no such service.
    pub fn events(&self, of: Option<&str>, count: usize) -> Result<Vec<model::Event>, Error> {
        Ok(self.store.events(of, count)?)
    }

    /// A node's Admin service.
    async fn operator(&self, id: &str, view: &View, node: u64) -> anyhow::Result<operator::Client> {
        let place = self.provider.place(id)?.context("it is not there")?;
        let seen = view.nodes.get(&node).context("the primary is not known")?;
        keeper::connect(&place, &seen.address.peer, node).await
    }

    /// Notes an event. One that cannot be noted is logged.
    fn note(&self, of: Option<&str>, kind: &str, text: &str) {
        tracing::info!(service = of, kind, "{text}");
        if let Err(error) = self.store.note(now_ms(), of, kind, text) {
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
