//! The console's state: one SQLite file.
//!
//! Always: what is wanted is on disk (synchronous=FULL) before anyone is told that it will be done, so that a console that
//! was killed goes on with it. What is observed is not stored. Migrations only add, and run in one transaction each.

use std::path::Path;

use anyhow::{Context, ensure};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::model::{Create, Event, Service, Wanted};
use crate::base::limits;

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

    /// Notes a new service; `port` gives its port from those that are taken.
    pub fn create(
        &self,
        id: &str,
        create: &Create,
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
            "INSERT INTO services VALUES (?, ?, ?, ?, ?, ?, 'on', ?)",
            params![
                id,
                create.name,
                create.cloud,
                create.region,
                create.plan,
                port,
                now_ms
            ],
        )?;
        step.commit()?;
        drop(db);
        self.service(id)?.context("it was just created")
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

    /// Forgets a service that is gone.
    pub fn forget(&self, id: &str) -> anyhow::Result<()> {
        let sql = "DELETE FROM services WHERE id = ? AND wanted = 'gone'";
        self.0.lock().execute(sql, [id])?;
        Ok(())
    }

    /// Notes an event; the oldest beyond a bound go.
    pub fn note(
        &self,
        at_ms: i64,
        of: Option<&str>,
        kind: &str,
        text: &str,
    ) -> anyhow::Result<Event> {
        let db = self.0.lock();
        let sql = "INSERT INTO events (at_ms, service, kind, text) VALUES (?, ?, ?, ?)";
        db.execute(sql, params![at_ms, of, kind, text])?;
        let id = db.last_insert_rowid();
        db.execute(
            "DELETE FROM events WHERE id <= ?",
            [id - limits::EVENTS_MAX],
        )?;
        Ok(Event {
            id,
            at_ms,
            service: of.map(str::to_string),
            kind: kind.into(),
            text: text.into(),
        })
    }

    /// The newest events first, of one service or of all.
    pub fn events(&self, of: Option<&str>, count: usize) -> anyhow::Result<Vec<Event>> {
        let db = self.0.lock();
        let sql =
            "SELECT id, at_ms, service, kind, text FROM events WHERE ?1 IS NULL OR service = ?1
                   ORDER BY id DESC LIMIT ?2";
        let mut newest = db.prepare(sql)?;
        let events = newest.query_map(params![of, i64::try_from(count)?], |row| {
            Ok(Event {
                id: row.get(0)?,
                at_ms: row.get(1)?,
                service: row.get(2)?,
                kind: row.get(3)?,
                text: row.get(4)?,
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

    /// Takes an API token by its hash.
    pub fn add_token(&self, hash: &str, role: &str) -> anyhow::Result<()> {
        let sql = "INSERT OR REPLACE INTO tokens VALUES (?, ?, NULL)";
        self.0.lock().execute(sql, [hash, role])?;
        Ok(())
    }

    /// The role of the token with that hash, if it is valid at `now_ms`.
    pub fn token(&self, hash: &str, now_ms: i64) -> anyhow::Result<Option<String>> {
        let db = self.0.lock();
        let sql =
            "SELECT role FROM tokens WHERE hash = ? AND (expires_ms IS NULL OR expires_ms > ?)";
        let mut one = db.prepare(sql)?;
        Ok(one
            .query_row(params![hash, now_ms], |row| row.get(0))
            .optional()?)
    }

    /// Begins a browser's session; those that ended go.
    pub fn add_session(
        &self,
        hash: &str,
        csrf: &str,
        now_ms: i64,
        until_ms: i64,
    ) -> anyhow::Result<()> {
        let db = self.0.lock();
        db.execute("DELETE FROM sessions WHERE expires_ms <= ?", [now_ms])?;
        db.execute(
            "INSERT INTO sessions VALUES (?, ?, ?)",
            params![hash, csrf, until_ms],
        )?;
        Ok(())
    }

    /// The form token of the session with that hash, if it is valid at `now_ms`.
    pub fn session(&self, hash: &str, now_ms: i64) -> anyhow::Result<Option<String>> {
        let db = self.0.lock();
        let mut one = db.prepare("SELECT csrf FROM sessions WHERE hash = ? AND expires_ms > ?")?;
        Ok(one
            .query_row(params![hash, now_ms], |row| row.get(0))
            .optional()?)
    }

    /// Ends it.
    pub fn end_session(&self, hash: &str) -> anyhow::Result<()> {
        self.0
            .lock()
            .execute("DELETE FROM sessions WHERE hash = ?", [hash])?;
        Ok(())
    }
}

fn service(row: &Row<'_>) -> rusqlite::Result<Service> {
    let wanted: String = row.get("wanted")?;
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
        let made = store.create("a1", &create(), 7, |taken| {
            assert!(taken.is_empty());
            Ok(7000)
        });
        assert_eq!(made.unwrap().port, 7000);
        assert!(
            store.create("a2", &create(), 8, |_| Ok(7000)).is_err(),
            "one port, one service"
        );
        assert!(store.want("a1", Wanted::Off).unwrap());
        assert!(!store.want("a1", Wanted::Off).unwrap());
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.service("a1").unwrap().unwrap().wanted, Wanted::Off);
        store.forget("a1").unwrap();
        assert_eq!(
            store.services().unwrap().len(),
            1,
            "only what is gone is forgotten"
        );
        assert!(store.want("a1", Wanted::Gone).unwrap());
        assert!(!store.want("a1", Wanted::On).unwrap());
        store.forget("a1").unwrap();
        assert!(store.service("a1").unwrap().is_none());
    }

    #[test]
    fn events_come_newest_first_and_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("console.db")).unwrap();
        for n in 0..5 {
            let of = (n % 2 == 0).then_some("a1");
            store.note(n, of, "test", &n.to_string()).unwrap();
        }
        let texts = |of| -> Vec<String> {
            store
                .events(of, 3)
                .unwrap()
                .into_iter()
                .map(|e| e.text)
                .collect()
        };
        assert_eq!(texts(None), ["4", "3", "2"]);
        assert_eq!(texts(Some("a1")), ["4", "2", "0"]);
    }

    #[test]
    fn sessions_and_tokens_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("console.db")).unwrap();
        store.add_session("h", "c", 0, 10).unwrap();
        assert_eq!(store.session("h", 9).unwrap().as_deref(), Some("c"));
        assert_eq!(store.session("h", 10).unwrap(), None);
        store.end_session("h").unwrap();
        assert_eq!(store.session("h", 9).unwrap(), None);
        store.add_token("t", "admin").unwrap();
        assert_eq!(
            store.token("t", i64::MAX).unwrap().as_deref(),
            Some("admin")
        );
        assert_eq!(store.token("u", 0).unwrap(), None);
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
