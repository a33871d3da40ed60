//! Backups of the console's services: taken by a schedule and when asked for, proven, kept for as long as the plan says, and
//! services restored or made from them.
//!
//! Always: one is taken at a time, from a standby where one answers; a service's data path never waits for it. Each name that
//! a service's cluster had is a timeline with an archive of its own: a restore begins one, and none is ever continued.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::{Create, Service, Wanted};
use super::provider::{Fork, Found, Place};
use super::{Console, Error, checked_name, keeper, now_ms};
use crate::backup::key::MasterKey;
use crate::backup::manifest::{Kind, Manifest};
use crate::backup::{self, Vault, stamp};
use crate::base::program::ours;

/// How often the console's own database is put into its archive.
const DATABASE_EVERY_MS: i64 = 600_000;
/// How often the schedule is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// How long a node that a backup is taken from may take to answer for the first time.
const ANSWER: Duration = Duration::from_secs(10);
/// The log is archived when it was not for this long, milliseconds.
const LOG_EVERY_MS: i64 = 5 * 60 * 1000;
/// A base is taken when the newest is this old, milliseconds.
const BASE_EVERY_MS: i64 = DAY_MS;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// How long the backups of a deleted service are kept, milliseconds.
pub const GRACE_MS: i64 = 7 * DAY_MS;
/// How long a proof may take.
const PROOF: Duration = Duration::from_secs(6 * 3600);
/// The file of the master key.
pub const MASTER_KEY: &str = "master.key";

/// Where archives are, and the key to them.
pub struct Archives {
    url: String,
    key_file: PathBuf,
    key: MasterKey,
    /// Where proofs are made.
    scratch: PathBuf,
}

impl Archives {
    /// Those at `url`, with the key in that file; proofs are made below `scratch`.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn open(url: String, key_file: PathBuf, scratch: PathBuf) -> anyhow::Result<Archives> {
        let path = key_file.display().to_string();
        let text = std::fs::read_to_string(&key_file).with_context(|| path.clone())?;
        let key = MasterKey::parse(&text).context(path)?;
        // What a console that was killed left.
        match std::fs::remove_dir_all(&scratch) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).with_context(|| scratch.display().to_string());
            }
            _ => {}
        }
        Ok(Archives {
            url,
            key_file,
            key,
            scratch,
        })
    }
}

/// What a part of a service's backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Backup {
    /// The timeline that it belongs to: the name of the service's cluster then.
    pub timeline: String,
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
            timeline: m.cluster.clone(),
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

/// A moment in the history of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// All that there is.
    Newest,
    /// Up to that log index.
    Index(u64),
    /// Up to that time, as it was written, and in Unix milliseconds.
    Time(String, u64),
}

impl Moment {
    /// What was asked for.
    ///
    /// # Errors
    /// When the time is none, or both are given.
    pub fn of(index: Option<u64>, time: Option<&str>) -> Result<Moment, Error> {
        match (index, time) {
            (None, None) => Ok(Moment::Newest),
            (Some(index), None) => Ok(Moment::Index(index)),
            (None, Some(time)) => {
                let ms = backup::millis(time).map_err(Error::Invalid)?;
                Ok(Moment::Time(time.to_string(), ms))
            }
            _ => Err(Error::Invalid("give an index or a time, not both".into())),
        }
    }

    /// As it is stored and as an argument has it.
    fn name(&self) -> String {
        match self {
            Moment::Newest => "newest".into(),
            Moment::Index(index) => format!("index={index}"),
            Moment::Time(text, _) => format!("time={text}"),
        }
    }

    /// The reverse of [`Moment::name`].
    fn named(name: &str) -> Result<Moment, Error> {
        match name.split_once('=') {
            Some(("index", n)) => Moment::of(n.parse().ok(), None),
            Some(("time", text)) => Moment::of(None, Some(text)),
            _ => Ok(Moment::Newest),
        }
    }
}

/// What a restore or fork is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aim {
    /// Up to when.
    pub moment: Moment,
    /// Keys have as much time left as they had then; otherwise they expire when they did.
    pub shift_expiry: bool,
}

/// How the name of an aim ends that shifts.
const SHIFTED: &str = " shift-expiry";

impl Aim {
    /// All that there is, as it was.
    pub const NEWEST: Aim = Aim {
        moment: Moment::Newest,
        shift_expiry: false,
    };

    /// As it is stored.
    fn name(&self) -> String {
        let shifted = if self.shift_expiry { SHIFTED } else { "" };
        format!("{}{shifted}", self.moment.name())
    }

    /// The reverse of [`Aim::name`].
    fn named(name: &str) -> Result<Aim, Error> {
        let moment = name.strip_suffix(SHIFTED);
        Ok(Aim {
            moment: Moment::named(moment.unwrap_or(name))?,
            shift_expiry: moment.is_some(),
        })
    }
}

/// What is asked for in a fork.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// The new service's name.
    pub name: String,
    /// Its plan.
    pub plan: String,
    /// Up to that log index; the newest where neither is given.
    pub index: Option<u64>,
    /// Up to that time, such as 2026-11-25T14:03:07Z.
    pub time: Option<String>,
    /// Keys have as much time left as they had then; otherwise they expire when they did.
    #[serde(default)]
    pub shift_expiry: bool,
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
    /// What there is of a service's backups, the oldest first; the chains are checked.
    ///
    /// # Errors
    /// When an archive cannot be read or is not what was written.
    pub(super) async fn backups(&self, id: &str) -> Result<Vec<Backup>, Error> {
        let mut all = Vec::new();
        for (cluster, seen) in self.store.timelines(id)?.into_iter().rev() {
            let chain = self.chain(&cluster, seen).await?;
            all.extend(chain.iter().map(Backup::from));
        }
        Ok(all)
    }

    async fn chain(&self, cluster: &str, seen: u64) -> Result<Vec<Manifest>, Error> {
        let vault = self.vault(cluster, false).await.map_err(failed)?;
        vault.chain(seen).await.map_err(failed)
    }

    /// The timeline in which a moment lies: the newest that reaches back to it.
    async fn timeline(&self, id: &str, moment: &Moment) -> Result<(String, u64), Error> {
        let all = self.store.timelines(id)?;
        let mut oldest = None;
        for (cluster, seen) in all {
            let chain = self.chain(&cluster, seen).await?;
            let bases = chain.iter().filter(|m| m.part.kind == Kind::Base);
            let Some(base) = bases.min_by_key(|m| m.part.last) else {
                continue;
            };
            let reached = match moment {
                Moment::Newest => true,
                Moment::Index(index) => base.part.last.index <= *index,
                Moment::Time(_, ms) => base.part.last_time_ms <= *ms,
            };
            if reached {
                return Ok((cluster, seen));
            }
            oldest = Some((base.part.last.index, base.part.last_time_ms));
        }
        Err(Error::Conflict(match oldest {
            Some((index, ms)) => format!(
                "its backups reach back to log index {index} and {}: nothing before that can be restored",
                stamp(ms)
            ),
            None => "nothing of it is archived yet".into(),
        }))
    }

    /// What `pontoon backup restore` is told about the archive.
    fn restore_args(&self, (cluster, seen): &(String, u64), aim: &Aim) -> Vec<String> {
        let mut args = vec![
            format!("--store={}", self.archives.url),
            format!("--master-key={}", self.archives.key_file.display()),
            format!("--service={cluster}"),
            format!("--seen={seen}"),
        ];
        if aim.moment != Moment::Newest {
            args.push(format!("--{}", aim.moment.name()));
        }
        if aim.shift_expiry {
            args.push("--shift-expiry".into());
        }
        args
    }

    /// What may be asked of a service's backups by its plan.
    fn offered(&self, service: &Service, moment: &Moment) -> Result<(), Error> {
        let days = |plan: &str| self.catalog.plan(plan).map_or(0, |p| p.history_days);
        if *moment == Moment::Newest || days(&service.plan) > 0 {
            return Ok(());
        }
        let plans = self.catalog.plans.iter().filter(|p| p.history_days > 0);
        let plans: Vec<String> = plans
            .map(|p| format!("{} ({})", p.name, p.history))
            .collect();
        Err(Error::Invalid(format!(
            "the backups of its plan keep the newest state alone; a moment can be chosen with {}",
            plans.join(", ")
        )))
    }

    /// Notes that a service is to be restored in place; the keeper does it.
    ///
    /// # Errors
    /// When no backup reaches the moment, or the plan does not offer it.
    pub(super) async fn restore(&self, service: &Service, aim: &Aim) -> Result<(), Error> {
        let id = service.id.as_str();
        self.offered(service, &aim.moment)?;
        if service.wanted != Wanted::On {
            return Err(Error::Conflict(format!(
                "{} is not powered on",
                service.name
            )));
        }
        // What it holds now can be asked for afterwards.
        if let Err(error) = self.back_up(id, false).await {
            let text = format!("its newest log could not be archived before a restore: {error}");
            self.note(Some(id), "problem", &text);
        }
        self.timeline(id, &aim.moment).await?;
        self.store.set_restore(id, &aim.name())?;
        self.board.ring(id);
        Ok(())
    }

    /// Replaces what a stopped service holds by what was asked for, or by the newest; what was done, for people.
    ///
    /// # Errors
    /// When it cannot be; then it holds what it held.
    pub(super) async fn restore_now(&self, service: &Service) -> anyhow::Result<String> {
        let id = service.id.as_str();
        let aim = Aim::named(&service.restore)?;
        let timeline = self.timeline(id, &aim.moment).await?;
        let args = self.restore_args(&timeline, &aim);
        let done = self.provider.restore_in_place(id, &args).await?;
        // Its new timeline begins with a base of its own.
        for what in ["base", "archived"] {
            self.store.set(&format!("{what}/{id}"), "0")?;
        }
        Ok(format!(
            "it holds what it held at log index {}, {}; what was written after that is not there",
            done.index,
            stamp(done.time_ms)
        ))
    }

    /// Puts a copy of the console's own database into its archive, every ten minutes: one generation for each of seven days.
    async fn keep_database(&self) -> Result<(), Error> {
        const NAME: &str = "database-kept";
        let kept = self
            .store
            .setting(NAME)?
            .and_then(|t| t.parse::<i64>().ok());
        let now = now_ms();
        if kept.is_some_and(|at| now - at < DATABASE_EVERY_MS) {
            return Ok(());
        }
        let (url, key) = (&self.archives.url, &self.archives.key);
        let vault = Vault::open(url, key, backup::CONSOLE, true).await;
        let vault = vault.map_err(failed)?;
        std::fs::create_dir_all(&self.archives.scratch).map_err(anyhow::Error::from)?;
        let dir = tempfile::tempdir_in(&self.archives.scratch).map_err(anyhow::Error::from)?;
        let copy = dir.path().join("console.db");
        self.store.copy(&copy)?;
        let plain = std::fs::read(&copy).map_err(anyhow::Error::from)?;
        let name = backup::generation(now.cast_unsigned());
        vault.keep(&name, &plain).await.map_err(failed)?;
        self.store.set(NAME, &now.to_string())?;
        Ok(())
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
        let timelines = self.store.timelines(id)?;
        let seen = timelines.iter().find(|(c, _)| *c == place.cluster);
        let chain = vault
            .chain(seen.map_or(0, |(_, seen)| *seen))
            .await
            .map_err(failed)?;
        let mut made = Vec::new();
        let none = !chain.iter().any(|m| m.part.kind == Kind::Base);
        let mut behind = false;
        if !none {
            // Before a base, too: what was written since the last part can be asked for.
            match backup::archive(&vault, self.source(id, &place).await?).await {
                Ok(log) => made.extend(log),
                // The node has purged what would come next.
                Err(backup::Error::Node(why)) if why.contains("take a new base") => {
                    self.note(
                        Some(id),
                        "backup",
                        &format!("the archive fell behind: {why}"),
                    );
                    behind = true;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        if base || none || behind {
            made.push(self.take_base(id, &vault, &place).await?);
        }
        for newest in &made {
            let part = &newest.part;
            let text = match part.kind {
                Kind::Base => format!("a base was taken at log index {}", part.last.index),
                Kind::Log => format!(
                    "log {} to {} was archived",
                    part.first.index, part.last.index
                ),
            };
            self.store.archived(id, &place.cluster, newest.number)?;
            self.note(Some(id), "backup", &text);
        }
        Ok(made.iter().rev().map(Backup::from).collect())
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
        let Some(plan) = self.catalog.plan(&wish.plan) else {
            return Err(super::desk::no_plan(self, &wish.plan));
        };
        let moment = Moment::of(wish.index, wish.time.as_deref())?;
        self.offered(source, &moment)?;
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
        let timeline = self.timeline(id, &moment).await?;
        let aim = Aim {
            moment,
            shift_expiry: wish.shift_expiry,
        };
        let mut args = self.restore_args(&timeline, &aim);
        // It begins with one node; its plan's others join.
        args.push("--plan=startup".into());
        args.push(format!("--memory={}", plan.memory_mib));
        if let Some(engines) = self.catalog.engines(source) {
            args.push(format!("--engines={}", engines.display()));
        }
        let made = self.provider.restore(&new, port, &args).await;
        let Fork { index, time_ms } = made.map_err(|e| Error::Conflict(format!("{e:#}")))?;
        let create = Create {
            name,
            cloud: source.cloud.clone(),
            region: source.region.clone(),
            plan: plan.id.clone(),
        };
        let service = self.store.create(
            &new,
            &source.org,
            (&create, plan.memory_mib, &source.release),
            now_ms(),
            |_| Ok(port),
        )?;
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

    async fn vault(&self, cluster: &str, make: bool) -> Result<Vault, backup::Error> {
        let archives = &self.archives;
        Vault::open(&archives.url, &archives.key, cluster, make).await
    }

    /// Removes what is older than the plan keeps, and timelines that ended before that.
    async fn prune(&self, service: &Service) -> Result<(), Error> {
        let id = service.id.as_str();
        let days = self
            .catalog
            .plan(&service.plan)
            .map_or(0, |p| p.history_days);
        let from = now_ms() - i64::from(days) * DAY_MS;
        let from = u64::try_from(from).unwrap_or(0);
        let _one = self.backing_up.lock().await;
        let mut newest = true;
        for (cluster, seen) in self.store.timelines(id)? {
            let vault = self.vault(&cluster, false).await.map_err(failed)?;
            let chain = vault.chain(seen).await.map_err(failed)?;
            let end = chain.iter().map(|m| m.part.last_time_ms).max().unwrap_or(0);
            if !newest && end < from {
                Vault::remove(&self.archives.url, &cluster)
                    .await
                    .map_err(failed)?;
                self.store.forget_timeline(id, &cluster)?;
                let text = format!("the backups from before {} went by their age", stamp(end));
                self.note(Some(id), "backup", &text);
            } else if vault.prune(seen, from).await.map_err(failed)? > 0 {
                let text = format!(
                    "backups that are not needed from {} on went by their age",
                    stamp(from)
                );
                self.note(Some(id), "backup", &text);
            }
            newest = false;
        }
        Ok(())
    }

    /// Proves the newest base of a service, as a process of its own.
    async fn prove(&self, id: &str) -> Result<(), Error> {
        let Some(timeline) = self.store.timelines(id)?.into_iter().next() else {
            return Ok(());
        };
        let mut args = vec!["backup".into(), "prove".into(), "--output=json".into()];
        args.extend(self.restore_args(&timeline, &Aim::NEWEST));
        args.push(format!("--scratch={}", self.archives.scratch.display()));
        #[derive(Deserialize)]
        struct Proof {
            index: u64,
            keys: u64,
        }
        let said = ours(&args, PROOF).await?;
        let proof: Proof = serde_json::from_slice(&said).context("what the proof said")?;
        let text = format!(
            "the base at log index {} was brought back and loaded: {} keys, and the digest that was recorded",
            proof.index, proof.keys
        );
        self.note(Some(id), "proof", &text);
        Ok(())
    }

    /// A node to take a backup from: a standby that answers, else the primary.
    async fn source(&self, id: &str, place: &Place) -> Result<backup::Client, Error> {
        let mut changes = self.changes();
        let answers = async {
            loop {
                let overview = self.overview(id)?;
                let of = |role: &str| overview.nodes.iter().find(|n| n.role == role && n.answers);
                let node = of("standby").or_else(|| of("primary")).map(|n| n.id);
                if let Some(placed) = place.nodes.iter().find(|n| Some(n.id) == node) {
                    return Ok(placed);
                }
                // A console that was begun a moment ago has not heard of the nodes yet.
                if changes.changed().await.is_err() {
                    return Err(Error::Conflict("the console ends".into()));
                }
            }
        };
        let placed = tokio::time::timeout(ANSWER, answers).await;
        let none = || Error::Conflict("no node with data answers".into());
        let placed = placed.unwrap_or_else(|_| Err(none()))?;
        let client = keeper::connect(place, &placed.address.peer, placed.id).await;
        client.map_err(|e| Error::Conflict(format!("{e:#}")))
    }
}

fn failed(error: backup::Error) -> Error {
    match error {
        backup::Error::Reach(why) => Error::Conflict(why),
        // It stopped or was restarted meanwhile: that is no fault of this console.
        error @ backup::Error::Node(_) => Error::Conflict(error.to_string()),
        error => Error::Failed(error.into()),
    }
}

/// Looks for what is archived of a service that was taken over.
pub async fn adopt(console: Arc<Console>, found: Found) {
    let looked = async {
        let vault = console.vault(&found.cluster, false).await?;
        let chain = vault.chain(0).await?;
        Ok::<_, backup::Error>(chain.last().map_or(0, |m| m.number))
    };
    match looked.await {
        Ok(newest) => {
            if let Err(error) = console.store.archived(&found.id, &found.cluster, newest) {
                tracing::error!(%error, "an archive could not be noted");
            }
        }
        Err(backup::Error::Reach(_)) => {}
        Err(error) => {
            let text = format!("its archive cannot be used: {error}");
            console.note(Some(&found.id), "problem", &text);
        }
    }
}

/// Takes backups by the schedule, until the console ends.
pub async fn schedule(console: Arc<Console>) {
    let mut complained = std::collections::BTreeMap::<String, String>::new();
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(error) = bury(&console).await {
            tracing::error!("archives of deleted services cannot be removed: {error}");
        }
        if let Err(error) = console.end_passwords().await {
            tracing::warn!("old passwords cannot be ended: {error}");
        }
        if let Err(error) = console.keep_database().await {
            tracing::error!("the console's own database cannot be backed up: {error}");
        }
        let services = console.store.services().unwrap_or_default();
        for service in services.iter().filter(|s| s.wanted == Wanted::On) {
            let serves = console.board.overview(&service.id);
            if serves.is_none_or(|s| s.nodes.iter().all(|n| n.role != "primary")) {
                continue;
            }
            match by_schedule(&console, service).await {
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

async fn by_schedule(console: &Console, service: &Service) -> Result<(), Error> {
    let id = service.id.as_str();
    // When this console last looked at its archive, and when it took the last base.
    let at = |name: &str| -> Result<i64, Error> {
        let text = console.store.setting(&format!("{name}/{id}"))?;
        Ok(text.and_then(|t| t.parse().ok()).unwrap_or(0))
    };
    let now = now_ms();
    let last = at("base")?;
    let base = match service.backup_hour {
        // Once in that hour, and at once where there is none yet, or none for too long.
        Some(hour) => {
            let here = now / 3_600_000 % 24 == i64::from(hour);
            here && now - last >= BASE_EVERY_MS / 12 || now - last >= BASE_EVERY_MS * 2 || last == 0
        }
        None => now - last >= BASE_EVERY_MS,
    };
    if !base && now - at("archived")? < LOG_EVERY_MS {
        return Ok(());
    }
    console.back_up(id, base).await?;
    let done = |what: &str| console.store.set(&format!("{what}/{id}"), &now.to_string());
    done("archived")?;
    if base {
        done("base")?;
        console.prove(id).await?;
        console.prune(service).await?;
    }
    Ok(())
}

/// Removes the archives of services that are gone for long enough.
async fn bury(console: &Console) -> Result<(), Error> {
    for id in console.store.graves(now_ms())? {
        for (cluster, _) in console.store.timelines(&id)? {
            let url = &console.archives.url;
            Vault::remove(url, &cluster).await.map_err(failed)?;
            console.store.forget_timeline(&id, &cluster)?;
        }
        console.store.forget_grave(&id)?;
        let text = format!("the backups of {id}, which was deleted, are gone");
        console.note(None, "backup", &text);
    }
    Ok(())
}
