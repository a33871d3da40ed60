//! Backups of the console's services: taken by a schedule and when asked for, and new services from them.
//!
//! Always: one at a time of a service; taken from a standby where one answers. A service's data path never waits for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::{Create, Service, Wanted};
use super::provider::{Fork, Place};
use super::{Console, Error, checked_name, keeper, now_ms};
use crate::backup::key::MasterKey;
use crate::backup::manifest::{Kind, Manifest};
use crate::backup::{self, Vault};

/// How often the schedule is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// The log is archived when it was not for this long, milliseconds.
const LOG_EVERY_MS: i64 = 5 * 60 * 1000;
/// A base is taken when the newest is this old, milliseconds.
const BASE_EVERY_MS: i64 = 24 * 3600 * 1000;
/// The file of the master key.
pub const MASTER_KEY: &str = "master.key";

/// Where archives are, and the key to them.
pub struct Archives {
    url: String,
    key_file: PathBuf,
    key: MasterKey,
}

impl Archives {
    /// Those at `url`, with the key in that file.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn open(url: String, key_file: PathBuf) -> anyhow::Result<Archives> {
        let path = key_file.display().to_string();
        let text = std::fs::read_to_string(&key_file).with_context(|| path.clone())?;
        let key = MasterKey::parse(&text).context(path)?;
        Ok(Archives { url, key_file, key })
    }
}

/// What a part of a service's backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Backup {
    /// Its place in the chain.
    pub number: u64,
    /// base or log.
    pub kind: String,
    /// Its first log index.
    pub first: u64,
    /// Its last log index.
    pub last: u64,
    /// The time that the primary stamped on the last, Unix milliseconds.
    pub time_ms: u64,
    /// Bytes as stored.
    pub bytes: u64,
}

impl From<&Manifest> for Backup {
    fn from(m: &Manifest) -> Backup {
        Backup {
            number: m.number,
            kind: match m.part.kind {
                Kind::Base => "base".into(),
                Kind::Log => "log".into(),
            },
            first: m.part.first.index,
            last: m.part.last.index,
            time_ms: m.part.last_time_ms,
            bytes: m.part.len,
        }
    }
}

/// What is asked for in a fork.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// The new service's name.
    pub name: String,
    /// Its plan: one of a single node.
    pub plan: String,
    /// Up to that log index; the newest where neither is given.
    pub index: Option<u64>,
    /// Up to that time, such as 2026-11-25T14:03:07Z.
    pub time: Option<String>,
}

/// A service that was made from a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Forked {
    /// The new service.
    pub service: Service,
    /// The last log index in it.
    pub index: u64,
    /// Its time, Unix milliseconds.
    pub time_ms: u64,
}

impl Console {
    /// What there is of a service's backups, the oldest first; the chain is checked.
    ///
    /// # Errors
    /// When the archive cannot be read or is not what was written.
    pub(super) async fn backups(&self, id: &str) -> Result<Vec<Backup>, Error> {
        match self.vault(&self.cluster(id)?, false).await {
            Ok(vault) => {
                let chain = vault.chain(self.seen(id)?).await.map_err(failed)?;
                Ok(chain.iter().map(Backup::from).collect())
            }
            // Nothing was taken yet.
            Err(backup::Error::Reach(_)) => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Archives the log of a service now, and takes a base first where there is none or `base` asks for one.
    ///
    /// # Errors
    /// When no node answers, or node or archive fail.
    pub(super) async fn back_up(&self, id: &str, base: bool) -> Result<Vec<Backup>, Error> {
        let _one = self.backing_up.lock().await;
        let service = self.service(id)?;
        if service.wanted != Wanted::On {
            return Err(Error::Conflict(format!(
                "{} is not powered on",
                service.name
            )));
        }
        let place = self.placed(id)?;
        let vault = self.vault(&place.cluster, true).await.map_err(failed)?;
        let chain = vault.chain(self.seen(id)?).await.map_err(failed)?;
        let mut made = Vec::new();
        let none = !chain.iter().any(|m| m.part.kind == Kind::Base);
        if !base && !none {
            match backup::archive(&vault, self.source(id, &place).await?).await {
                Ok(log) => made.extend(log),
                // The node has purged what would come next.
                Err(backup::Error::Node(why)) if why.contains("take a new base") => {
                    self.note(
                        Some(id),
                        "backup",
                        &format!("the archive fell behind: {why}"),
                    );
                    made.push(self.take_base(id, &vault, &place).await?);
                }
                Err(error) => return Err(failed(error)),
            }
        } else {
            made.push(self.take_base(id, &vault, &place).await?);
        }
        if let Some(newest) = made.last() {
            let part = &newest.part;
            let text = match part.kind {
                Kind::Base => format!("a base was taken at log index {}", part.last.index),
                Kind::Log => format!(
                    "log {} to {} was archived",
                    part.first.index, part.last.index
                ),
            };
            self.store
                .set(&format!("seen/{id}"), &newest.number.to_string())?;
            // Known also when nothing of the service is left.
            self.store.set(&format!("cluster/{id}"), &place.cluster)?;
            self.note(Some(id), "backup", &text);
        }
        Ok(made.iter().map(Backup::from).collect())
    }

    async fn take_base(&self, id: &str, vault: &Vault, place: &Place) -> Result<Manifest, Error> {
        backup::base(vault, self.source(id, place).await?)
            .await
            .map_err(failed)
    }

    /// A new service with what another held at a log index or time.
    ///
    /// # Errors
    /// When the wish is not valid, or the archive does not reach it or is not what was written.
    pub(super) async fn fork(
        self: &Arc<Self>,
        source: &Service,
        wish: Wish,
    ) -> Result<Forked, Error> {
        let id = source.id.as_str();
        let name = checked_name(&wish.name)?;
        let plan = self
            .catalog
            .plan(&wish.plan)
            .filter(|p| ["hobbyist", "startup"].contains(&p.id.as_str()));
        let Some(plan) = plan else {
            return Err(Error::Invalid(format!(
                "a fork has one node: its plan is hobbyist or startup, not {:?}",
                wish.plan
            )));
        };
        if wish.index.is_some() && wish.time.is_some() {
            return Err(Error::Invalid("give an index or a time, not both".into()));
        }
        // All that there is now can be asked for. Where no node answers any more, what was archived is what there is.
        if source.wanted == Wanted::On
            && let Err(error) = self.back_up(id, false).await
        {
            let text = format!("its newest log could not be archived before a fork: {error}");
            self.note(Some(id), "problem", &text);
        }
        let new = super::new_id();
        let taken: Vec<u16> = self.store.services()?.iter().map(|s| s.port).collect();
        let port = self.provider.port(&taken)?;
        let mut args = vec![
            format!("--store={}", self.archives.url),
            format!("--master-key={}", self.archives.key_file.display()),
            format!("--service={}", self.cluster(id)?),
            format!("--seen={}", self.seen(id)?),
            format!("--plan={}", plan.id),
            format!("--memory={}", plan.memory_mib),
        ];
        args.extend(wish.index.map(|index| format!("--index={index}")));
        args.extend(wish.time.map(|time| format!("--time={time}")));
        let made = self.provider.restore(&new, port, &args).await;
        let Fork { index, time_ms } = made.map_err(|e| Error::Conflict(format!("{e:#}")))?;
        let create = Create {
            name,
            cloud: source.cloud.clone(),
            region: source.region.clone(),
            plan: plan.id.clone(),
        };
        let service = self
            .store
            .create(&new, &source.org, &create, now_ms(), |_| Ok(port))?;
        keeper::keep(self.clone(), service.clone());
        Ok(Forked {
            service,
            index,
            time_ms,
        })
    }

    fn placed(&self, id: &str) -> Result<Place, Error> {
        self.service(id)?;
        let place = self.provider.place(id)?.filter(|p| !p.cluster.is_empty());
        place.ok_or_else(|| Error::Conflict("it has not served yet".into()))
    }

    /// The name of a service's archive.
    fn cluster(&self, id: &str) -> Result<String, Error> {
        match self.placed(id) {
            Ok(place) => Ok(place.cluster),
            Err(error) => self.store.setting(&format!("cluster/{id}"))?.ok_or(error),
        }
    }

    async fn vault(&self, cluster: &str, make: bool) -> Result<Vault, backup::Error> {
        let archives = &self.archives;
        Vault::open(&archives.url, &archives.key, cluster, make).await
    }

    /// The newest manifest that this console saw written: kept here, so that an archive that was rolled back is noticed.
    fn seen(&self, id: &str) -> Result<u64, Error> {
        let seen = self.store.setting(&format!("seen/{id}"))?;
        Ok(seen.and_then(|n| n.parse().ok()).unwrap_or(0))
    }

    /// A node to take a backup from: a standby that answers, else the primary.
    async fn source(&self, id: &str, place: &Place) -> Result<backup::Client, Error> {
        let overview = self.overview(id)?;
        let of = |role: &str| overview.nodes.iter().find(|n| n.role == role && n.answers);
        let node = of("standby").or_else(|| of("primary")).map(|n| n.id);
        let placed = place.nodes.iter().find(|n| Some(n.id) == node);
        let placed = placed.ok_or_else(|| Error::Conflict("no node with data answers".into()))?;
        Ok(keeper::connect(place, &placed.address.peer, placed.id).await?)
    }
}

fn failed(error: backup::Error) -> Error {
    match error {
        backup::Error::Reach(why) => Error::Conflict(why),
        error => Error::Failed(error.into()),
    }
}

/// Takes backups by the schedule, until the console ends.
pub async fn schedule(console: Arc<Console>) {
    let mut complained = std::collections::BTreeMap::<String, String>::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let services = console.store.services().unwrap_or_default();
        for service in services.iter().filter(|s| s.wanted == Wanted::On) {
            let serves = console.board.overview(&service.id);
            if serves.is_none_or(|s| s.nodes.iter().all(|n| n.role != "primary")) {
                continue;
            }
            match by_schedule(&console, &service.id).await {
                Ok(()) => drop(complained.remove(&service.id)),
                Err(error) => {
                    let why = format!("a backup failed: {error}");
                    if complained.get(&service.id) != Some(&why) {
                        console.note(Some(&service.id), "problem", &why);
                        complained.insert(service.id.clone(), why);
                    }
                }
            }
        }
    }
}

async fn by_schedule(console: &Console, id: &str) -> Result<(), Error> {
    // When this console last looked at its archive, and when it took the last base.
    let at = |name: &str| -> Result<i64, Error> {
        let text = console.store.setting(&format!("{name}/{id}"))?;
        Ok(text.and_then(|t| t.parse().ok()).unwrap_or(0))
    };
    let now = now_ms();
    let base = now - at("base")? >= BASE_EVERY_MS;
    if !base && now - at("archived")? < LOG_EVERY_MS {
        return Ok(());
    }
    console.back_up(id, base).await?;
    if base {
        console.store.set(&format!("base/{id}"), &now.to_string())?;
    }
    console
        .store
        .set(&format!("archived/{id}"), &now.to_string())?;
    Ok(())
}
