//! The console's state: one SQLite file.
//!
//! Always: what is wanted is on disk (synchronous=FULL) before anyone is told that it will be done, so that a console that
//! was killed goes on with it. What is observed is not stored. Migrations only add, and run in one transaction each.

use std::path::Path;

use anyhow::{Context, ensure};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::model::{Create, Day, Event, Service, Wanted, Window};
use super::provider::Found;
use crate::base::limits;

mod people;

pub use people::Denied;

/// What is noted of something that happened.
#[derive(Debug, Clone, Copy)]
pub struct Note<'a> {
    /// The service, if it concerns one.
    pub service: Option<&'a str>,
    /// The organization, where it concerns no service.
    pub org: &'a str,
    /// Who asked for it; empty where the console did it by itself.
    pub by: &'a str,
    /// In one word.
    pub kind: &'a str,
    /// What happened and why.
    pub text: &'a str,
}

/// Each brings the file one version further.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE services (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, cloud TEXT NOT NULL, region TEXT NOT NULL, plan TEXT NOT NULL,
        port INTEGER NOT NULL UNIQUE, wanted TEXT NOT NULL, created_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, service TEXT, kind TEXT NOT NULL, text TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_of_service ON events (service, id);
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE tokens (hash TEXT PRIMARY KEY, role TEXT NOT NULL, expires_ms INTEGER) STRICT;
    CREATE TABLE sessions (hash TEXT PRIMARY KEY, csrf TEXT NOT NULL, expires_ms INTEGER NOT NULL) STRICT;
",
    // Organizations, their members and their tokens. The operator of before is the first organization's administrator.
    "
    CREATE TABLE organizations (id TEXT PRIMARY KEY, name TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT;
    INSERT INTO organizations VALUES ('main', 'Main', 0);
    CREATE TABLE members (
        name TEXT PRIMARY KEY, org TEXT NOT NULL, role TEXT NOT NULL, password TEXT NOT NULL, created_ms INTEGER NOT NULL
    ) STRICT;
    INSERT INTO members SELECT 'operator', 'main', 'admin', value, 0 FROM settings WHERE name = 'password';
    DELETE FROM settings WHERE name = 'password';
    ALTER TABLE services ADD COLUMN org TEXT NOT NULL DEFAULT 'main';
    ALTER TABLE events ADD COLUMN org TEXT NOT NULL DEFAULT 'main';
    ALTER TABLE events ADD COLUMN by TEXT NOT NULL DEFAULT '';
    CREATE INDEX events_of_org ON events (org, id);
    ALTER TABLE tokens RENAME TO old_tokens;
    CREATE TABLE tokens (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, org TEXT NOT NULL, role TEXT NOT NULL, hash TEXT NOT NULL UNIQUE,
        by TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER
    ) STRICT;
    INSERT INTO tokens SELECT 't-' || substr(hash, 1, 10), 'token file', 'main', role, hash, 'operator', 0, expires_ms FROM old_tokens;
    DROP TABLE old_tokens;
    DROP TABLE sessions;
    CREATE TABLE sessions (
        hash TEXT PRIMARY KEY, csrf TEXT NOT NULL, member TEXT NOT NULL, expires_ms INTEGER NOT NULL
    ) STRICT;
",
    // Plans change, and a service may be restored. A memory of 0 is the catalog's.
    "
    ALTER TABLE services ADD COLUMN memory_mib INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE services ADD COLUMN restore TEXT NOT NULL DEFAULT '';
    CREATE TABLE timelines (
        service TEXT NOT NULL, number INTEGER NOT NULL, cluster TEXT NOT NULL, seen INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (service, number)
    ) STRICT;
    INSERT INTO timelines SELECT substr(name, 9), 1, value,
        COALESCE((SELECT CAST(s.value AS INTEGER) FROM settings s WHERE s.name = 'seen/' || substr(settings.name, 9)), 0)
        FROM settings WHERE name LIKE 'cluster/%';
    DELETE FROM settings WHERE name LIKE 'cluster/%' OR name LIKE 'seen/%';
    CREATE TABLE graves (service TEXT PRIMARY KEY, until_ms INTEGER NOT NULL) STRICT;
",
    // Passwords that are valid beside a newer one, by their hash.
    "
    CREATE TABLE old_passwords (service TEXT NOT NULL, hash TEXT NOT NULL, until_ms INTEGER NOT NULL,
        PRIMARY KEY (service, hash)) STRICT;
",
    // Upgrades, which may wait for an hour of the week.
    "
    ALTER TABLE services ADD COLUMN release TEXT NOT NULL DEFAULT 'console';
    ALTER TABLE services ADD COLUMN next_release TEXT NOT NULL DEFAULT '';
    ALTER TABLE services ADD COLUMN window_day TEXT NOT NULL DEFAULT 'sunday';
    ALTER TABLE services ADD COLUMN window_hour INTEGER NOT NULL DEFAULT 3;
",
    // The hour of the day in which a base is taken; -1: a day after the last one.
    "
    ALTER TABLE services ADD COLUMN backup_hour INTEGER NOT NULL DEFAULT -1;
"];

/// The open file.
pub struct Store(Mutex<Connection>);

impl Store {
    /// Opens the file, made where it is missing, and brings it to this version.
    ///
    /// # Errors
    /// When it cannot be used, or is of a newer version.
    pub fn open(path: &Path) -> anyhow::Result<Store> {
        let mut db = Connection::open(path).with_context(|| path.display().to_string())?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        let version: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let version = version as usize;
        ensure!(
            version <= MIGRATIONS.len(),
            "{} has version {version} and this pontoon knows {}: start the newer one",
            path.display(),
            MIGRATIONS.len()
        );
        for (before, migration) in MIGRATIONS.iter().enumerate().skip(version) {
            let step = db.transaction()?;
            step.execute_batch(migration)?;
            step.pragma_update(None, "user_version", u32::try_from(before + 1)?)?;
            step.commit()?;
        }
        Ok(Store(Mutex::new(db)))
    }

    /// A copy of the file as it is at this moment, at `to`, which must not exist.
    pub fn copy(&self, to: &Path) -> anyhow::Result<()> {
        let to = to.to_str().context("the path is not UTF-8")?;
        self.0.lock().execute("VACUUM INTO ?", [to])?;
        Ok(())
    }

    /// Notes a new service; `port` gives its port from those that are taken.
    pub fn create(
        &self,
        id: &str,
        org: &str,
        (create, memory_mib, release): (&Create, u32, &str),
        now_ms: i64,
        port: impl FnOnce(&[u16]) -> anyhow::Result<u16>,
    ) -> anyhow::Result<Service> {
        let mut db = self.0.lock();
        let step = db.transaction()?;
        let taken: Vec<u16> = step
            .prepare("SELECT port FROM services")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        ensure!(
            taken.len() < limits::SERVICES_MAX,
            "there are {} services, and no more are taken",
            taken.len()
        );
        let port = port(&taken)?;
        step.execute(
            "INSERT INTO services
             (id, name, cloud, region, plan, port, wanted, created_ms, org, memory_mib, release)
             VALUES (?, ?, ?, ?, ?, ?, 'on', ?, ?, ?, ?)",
            params![
                id,
                create.name,
                create.cloud,
                create.region,
                create.plan,
                port,
                now_ms,
                org,
                memory_mib,
                release
            ],
        )?;
        step.commit()?;
        drop(db);
        self.service(id)?.context("it was just created")
    }

    /// Notes a service that is there already.
    pub fn adopt(&self, found: &Found, org: &str, now_ms: i64) -> anyhow::Result<()> {
        self.0.lock().execute(
            "INSERT INTO services (id, name, cloud, region, plan, port, wanted, created_ms, org, memory_mib)
             VALUES (?1, ?1, 'here', '', ?2, ?3, 'on', ?4, ?5, ?6)",
            params![found.id, found.plan, found.port, now_ms, org, found.memory_mib],
        )?;
        Ok(())
    }

    /// All services, oldest first.
    pub fn services(&self) -> anyhow::Result<Vec<Service>> {
        let db = self.0.lock();
        let mut all = db.prepare("SELECT * FROM services ORDER BY created_ms, id")?;
        let services = all.query_map([], service)?.collect::<Result<_, _>>()?;
        Ok(services)
    }

    /// One of them.
    pub fn service(&self, id: &str) -> anyhow::Result<Option<Service>> {
        let db = self.0.lock();
        let mut one = db.prepare("SELECT * FROM services WHERE id = ?")?;
        Ok(one.query_row([id], service).optional()?)
    }

    /// Changes what is wanted of a service. What is to be gone stays so. False where nothing changed.
    pub fn want(&self, id: &str, wanted: Wanted) -> anyhow::Result<bool> {
        let sql = "UPDATE services SET wanted = ?2 WHERE id = ?1 AND wanted NOT IN ('gone', ?2)";
        Ok(self.0.lock().execute(sql, params![id, wanted.name()])? > 0)
    }

    /// Gives a service another name.
    pub fn rename(&self, id: &str, name: &str) -> anyhow::Result<()> {
        let sql = "UPDATE services SET name = ?2 WHERE id = ?1";
        self.0.lock().execute(sql, params![id, name])?;
        Ok(())
    }

    /// Gives a service another plan.
    pub fn set_plan(&self, id: &str, plan: &str, memory_mib: u32) -> anyhow::Result<()> {
        let sql = "UPDATE services SET plan = ?2, memory_mib = ?3 WHERE id = ?1";
        self.0.lock().execute(sql, params![id, plan, memory_mib])?;
        Ok(())
    }

    /// Gives a service another release, now or in its maintenance window; what waited before waits no more.
    pub fn set_release(&self, id: &str, release: &str, now: bool) -> anyhow::Result<()> {
        let sql = match now {
            true => "UPDATE services SET release = ?2, next_release = '' WHERE id = ?1",
            false => "UPDATE services SET next_release = ?2 WHERE id = ?1",
        };
        self.0.lock().execute(sql, [id, release])?;
        Ok(())
    }

    /// The hour of the day in which a service's bases are taken.
    pub fn set_backup_hour(&self, id: &str, hour: u8) -> anyhow::Result<()> {
        let sql = "UPDATE services SET backup_hour = ?2 WHERE id = ?1";
        self.0.lock().execute(sql, params![id, hour])?;
        Ok(())
    }

    /// Gives a service another maintenance window.
    pub fn set_window(&self, id: &str, window: Window) -> anyhow::Result<()> {
        let sql = "UPDATE services SET window_day = ?2, window_hour = ?3 WHERE id = ?1";
        let params = params![id, window.day.name(), window.hour];
        self.0.lock().execute(sql, params)?;
        Ok(())
    }

    /// What a service is to be restored to; empty where it is not.
    pub fn set_restore(&self, id: &str, to: &str) -> anyhow::Result<()> {
        let sql = "UPDATE services SET restore = ?2 WHERE id = ?1";
        self.0.lock().execute(sql, [id, to])?;
        Ok(())
    }

    /// The names that a service's cluster had, the newest first, each with the newest manifest of its archive that was
    /// seen written: kept here, so that an archive that was rolled back is noticed.
    pub fn timelines(&self, id: &str) -> anyhow::Result<Vec<(String, u64)>> {
        let db = self.0.lock();
        let sql = "SELECT cluster, seen FROM timelines WHERE service = ? ORDER BY number DESC";
        let mut all = db.prepare(sql)?;
        let all = all.query_map([id], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
        })?;
        Ok(all.collect::<Result<_, _>>()?)
    }

    /// Notes that a manifest of a cluster's archive was written; a cluster of another name begins a timeline.
    pub fn archived(&self, id: &str, cluster: &str, manifest: u64) -> anyhow::Result<()> {
        let mut db = self.0.lock();
        let step = db.transaction()?;
        let manifest = i64::try_from(manifest)?;
        let sql = "UPDATE timelines SET seen = max(seen, ?3) WHERE service = ?1 AND cluster = ?2";
        if step.execute(sql, params![id, cluster, manifest])? == 0 {
            step.execute(
                "INSERT INTO timelines VALUES
                 (?1, (SELECT 1 + COALESCE(max(number), 0) FROM timelines WHERE service = ?1), ?2, ?3)",
                params![id, cluster, manifest],
            )?;
        }
        Ok(step.commit()?)
    }

    /// Notes that a password, by its hash, is valid until then.
    pub fn add_old_password(&self, id: &str, hash: &str, until_ms: i64) -> anyhow::Result<()> {
        let sql = "INSERT OR REPLACE INTO old_passwords VALUES (?, ?, ?)";
        self.0.lock().execute(sql, params![id, hash, until_ms])?;
        Ok(())
    }

    /// The hashes of a service's passwords that are valid beside the newest.
    pub fn old_passwords(&self, id: &str) -> anyhow::Result<Vec<String>> {
        let db = self.0.lock();
        let mut all = db.prepare("SELECT hash FROM old_passwords WHERE service = ?")?;
        let all = all.query_map([id], |row| row.get(0))?;
        Ok(all.collect::<Result<_, _>>()?)
    }

    /// The passwords whose time is over: service and hash.
    pub fn ended_passwords(&self, now_ms: i64) -> anyhow::Result<Vec<(String, String)>> {
        let db = self.0.lock();
        let sql = "SELECT service, hash FROM old_passwords WHERE until_ms <= ?";
        let mut all = db.prepare(sql)?;
        let all = all.query_map([now_ms], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(all.collect::<Result<_, _>>()?)
    }

    /// Such a password is not valid any more.
    pub fn forget_password(&self, id: &str, hash: &str) -> anyhow::Result<()> {
        let sql = "DELETE FROM old_passwords WHERE service = ? AND hash = ?";
        self.0.lock().execute(sql, [id, hash])?;
        Ok(())
    }

    /// Forgets a timeline, whose archive is gone.
    pub fn forget_timeline(&self, id: &str, cluster: &str) -> anyhow::Result<()> {
        let sql = "DELETE FROM timelines WHERE service = ? AND cluster = ?";
        self.0.lock().execute(sql, [id, cluster])?;
        Ok(())
    }

    /// Forgets a service that is gone; what is archived of it stays until `until_ms`.
    pub fn forget(&self, id: &str, until_ms: i64) -> anyhow::Result<()> {
        let mut db = self.0.lock();
        let step = db.transaction()?;
        let sql = "DELETE FROM services WHERE id = ? AND wanted = 'gone'";
        if step.execute(sql, [id])? > 0 {
            let sql = "INSERT OR REPLACE INTO graves VALUES (?, ?)";
            step.execute(sql, params![id, until_ms])?;
            step.execute("DELETE FROM settings WHERE name LIKE '%/' || ?", [id])?;
            step.execute("DELETE FROM old_passwords WHERE service = ?", [id])?;
        }
        Ok(step.commit()?)
    }

    /// The services that are gone and whose archives are kept no longer than `now_ms`.
    pub fn graves(&self, now_ms: i64) -> anyhow::Result<Vec<String>> {
        let db = self.0.lock();
        let mut all = db.prepare("SELECT service FROM graves WHERE until_ms <= ?")?;
        let all = all.query_map([now_ms], |row| row.get(0))?;
        Ok(all.collect::<Result<_, _>>()?)
    }

    /// Nothing of that service is left.
    pub fn forget_grave(&self, id: &str) -> anyhow::Result<()> {
        let sql = "DELETE FROM graves WHERE service = ?";
        self.0.lock().execute(sql, [id])?;
        Ok(())
    }

    /// Notes an event; the oldest beyond a bound go.
    pub fn note(&self, at_ms: i64, note: Note<'_>) -> anyhow::Result<()> {
        let db = self.0.lock();
        db.execute(
            "INSERT INTO events (at_ms, service, kind, text, by, org)
             VALUES (?1, ?2, ?3, ?4, ?5, COALESCE((SELECT org FROM services WHERE id = ?2), ?6))",
            params![at_ms, note.service, note.kind, note.text, note.by, note.org],
        )?;
        let id = db.last_insert_rowid();
        db.execute(
            "DELETE FROM events WHERE id <= ?",
            [id - limits::EVENTS_MAX],
        )?;
        Ok(())
    }

    /// An organization's newest events first, of one service or of all.
    pub fn events(&self, org: &str, of: Option<&str>, count: usize) -> anyhow::Result<Vec<Event>> {
        let db = self.0.lock();
        let sql = "SELECT id, at_ms, service, kind, text, by FROM events
                   WHERE org = ?1 AND (?2 IS NULL OR service = ?2) ORDER BY id DESC LIMIT ?3";
        let mut newest = db.prepare(sql)?;
        let events = newest.query_map(params![org, of, i64::try_from(count)?], |row| {
            Ok(Event {
                id: row.get(0)?,
                at_ms: row.get(1)?,
                service: row.get(2)?,
                kind: row.get(3)?,
                text: row.get(4)?,
                by: row.get(5)?,
            })
        })?;
        Ok(events.collect::<Result<_, _>>()?)
    }

    /// A value of the console itself.
    pub fn setting(&self, name: &str) -> anyhow::Result<Option<String>> {
        let db = self.0.lock();
        let mut one = db.prepare("SELECT value FROM settings WHERE name = ?")?;
        Ok(one.query_row([name], |row| row.get(0)).optional()?)
    }

    /// Sets it.
    pub fn set(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let sql = "INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.0.lock().execute(sql, [name, value])?;
        Ok(())
    }
}

fn service(row: &Row<'_>) -> rusqlite::Result<Service> {
    let wanted: String = row.get("wanted")?;
    let day: String = row.get("window_day")?;
    Ok(Service {
        id: row.get("id")?,
        name: row.get("name")?,
        cloud: row.get("cloud")?,
        region: row.get("region")?,
        plan: row.get("plan")?,
        port: row.get("port")?,
        // Written by `Wanted::name` alone; an unknown one is left alone.
        wanted: Wanted::of(&wanted).unwrap_or(Wanted::Off),
        created_ms: row.get("created_ms")?,
        org: row.get("org")?,
        memory_mib: row.get("memory_mib")?,
        restore: row.get("restore")?,
        release: row.get("release")?,
        next_release: row.get("next_release")?,
        window: Window {
            day: Day::of(&day).unwrap_or(Day::Sunday),
            hour: row.get("window_hour")?,
        },
        backup_hour: u8::try_from(row.get::<_, i64>("backup_hour")?).ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create() -> Create {
        Create {
            name: "sessions".into(),
            cloud: "aws".into(),
            region: "us-east-1".into(),
            plan: "premium".into(),
        }
    }

    #[test]
    fn what_is_wanted_survives_and_gone_is_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.db");
        let store = Store::open(&path).unwrap();
        let made = store.create("a1", "main", (&create(), 1024, "console"), 7, |taken| {
            assert!(taken.is_empty());
            Ok(7000)
        });
        assert_eq!(made.unwrap().port, 7000);
        assert!(
            store
                .create("a2", "main", (&create(), 1024, "console"), 8, |_| Ok(7000))
                .is_err(),
            "one port, one service"
        );
        assert!(store.want("a1", Wanted::Off).unwrap());
        assert!(!store.want("a1", Wanted::Off).unwrap());
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.service("a1").unwrap().unwrap().wanted, Wanted::Off);
        store.forget("a1", 5).unwrap();
        assert_eq!(
            store.services().unwrap().len(),
            1,
            "only what is gone is forgotten"
        );
        assert!(store.want("a1", Wanted::Gone).unwrap());
        assert!(!store.want("a1", Wanted::On).unwrap());
        store.forget("a1", 5).unwrap();
        assert!(store.service("a1").unwrap().is_none());
        assert!(store.graves(4).unwrap().is_empty());
        assert_eq!(store.graves(5).unwrap(), ["a1"]);
        store.forget_grave("a1").unwrap();
        assert!(store.graves(5).unwrap().is_empty());
    }

    #[test]
    fn events_come_newest_first_and_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("console.db")).unwrap();
        let note = |at_ms: i64, service, org| {
            let text = &at_ms.to_string();
            let note = Note {
                service,
                org,
                by: "ada",
                kind: "test",
                text,
            };
            store.note(at_ms, note).unwrap();
        };
        store
            .create("a1", "main", (&create(), 1024, "console"), 7, |_| Ok(7000))
            .unwrap();
        for n in 0..5 {
            note(n, (n % 2 == 0).then_some("a1"), "main");
        }
        // What concerns a service is its organization's, whoever did it.
        note(5, Some("a1"), "other");
        note(6, None, "other");
        let texts = |org, of| -> Vec<String> {
            let newest = store.events(org, of, 3).unwrap();
            newest.into_iter().map(|e| e.text).collect()
        };
        assert_eq!(texts("main", None), ["5", "4", "3"]);
        assert_eq!(texts("main", Some("a1")), ["5", "4", "2"]);
        assert_eq!(texts("other", None), ["6"]);
        assert!(texts("other", Some("a1")).is_empty());
    }

    #[test]
    fn each_name_of_a_cluster_is_a_timeline_and_seen_never_goes_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("console.db")).unwrap();
        store.archived("a1", "c-one", 4).unwrap();
        store.archived("a1", "c-one", 3).unwrap();
        store.archived("a1", "c-two", 1).unwrap();
        store.archived("b", "c-three", 1).unwrap();
        let all = [("c-two".to_string(), 1), ("c-one".to_string(), 4)];
        assert_eq!(store.timelines("a1").unwrap(), all);
        store.forget_timeline("a1", "c-one").unwrap();
        assert_eq!(store.timelines("a1").unwrap(), all[..1]);
    }

    #[test]
    fn a_newer_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.db");
        drop(Store::open(&path).unwrap());
        let db = Connection::open(&path).unwrap();
        db.pragma_update(None, "user_version", 99).unwrap();
        let error = Store::open(&path).err().unwrap().to_string();
        assert!(error.contains("start the newer one"), "{error}");
    }
}
