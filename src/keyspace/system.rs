//! What a service has besides its databases and replicates as it does them: scripts, functions, users.
//!
//! Each kind is a table of names and values, opaque here. **Invariant**: changed by mutations alone,
//! digested with the data, one row of the store each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use super::rows;
use super::undo::Undo;
use super::{Effects, Keyspace};

/// The tables. Their numbers are in the log and the store, and are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// SHA-1 in hexadecimal -> the body of a script (SCRIPT LOAD, EVAL).
    Scripts = 1,
    /// Name -> the code of a library of functions.
    Libraries = 2,
    /// Name -> the rules of a user, as ACL SETUSER takes them.
    Users = 3,
    /// Name -> value of a setting of the service.
    Settings = 4,
}

type Name = (u8, Box<[u8]>);

/// All tables.
#[derive(Default)]
pub struct System {
    entries: BTreeMap<Name, Bytes>,
    digest: u128,
    /// Counts changes, so that what is derived from a table can be cached.
    version: u64,
    /// Of the table of users alone; no two contents of it in this process have the same, but for the empty one: 0.
    users_version: u64,
}

/// Versions of the tables of users of this process.
static USERS_VERSIONS: AtomicU64 = AtomicU64::new(0);

fn digest_of(table: u8, name: &[u8], value: &[u8]) -> u128 {
    let mut buf = Vec::with_capacity(9 + name.len() + value.len());
    buf.push(table);
    buf.extend_from_slice(&(name.len() as u64).to_le_bytes());
    buf.extend_from_slice(name);
    buf.extend_from_slice(value);
    xxh3_128(&buf)
}

impl System {
    /// The value under a name.
    pub fn get(&self, table: Table, name: &[u8]) -> Option<&Bytes> {
        self.entries.get(&(table as u8, name.into()))
    }

    /// A table's names and values, in the order of the names.
    pub fn iter(&self, table: Table) -> impl Iterator<Item = (&[u8], &Bytes)> {
        let table = table as u8;
        self.entries
            .range((table, Box::default())..)
            .take_while(move |((t, _), _)| *t == table)
            .map(|((_, name), value)| (&**name, value))
    }

    /// Changes with every change of any table.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Changes with every change of the table of users, also where all data is replaced.
    pub fn users_version(&self) -> u64 {
        self.users_version
    }

    pub(super) fn digest(&self) -> u128 {
        self.digest
    }

    /// Empty, with the digest computed from scratch.
    pub(super) fn redigested(&self) -> System {
        let digest = self.entries.iter().fold(0, |sum: u128, ((t, name), v)| {
            sum.wrapping_add(digest_of(*t, name, v))
        });
        System {
            digest,
            ..System::default()
        }
    }

    /// Sets or removes an entry; gives what was there.
    pub(super) fn set(&mut self, table: u8, name: &[u8], value: Option<Bytes>) -> Option<Bytes> {
        self.version += 1;
        if table == Table::Users as u8 {
            self.users_version = 1 + USERS_VERSIONS.fetch_add(1, Relaxed);
        }
        if let Some(value) = &value {
            self.digest = self.digest.wrapping_add(digest_of(table, name, value));
        }
        let was = match value {
            Some(value) => self.entries.insert((table, name.into()), value),
            None => self.entries.remove(&(table, Box::from(name))),
        };
        if let Some(was) = &was {
            self.digest = self.digest.wrapping_sub(digest_of(table, name, was));
        }
        was
    }
}

impl Keyspace {
    /// Applies a change of a table; `None` where what is to be removed is not there.
    pub(super) fn system_set(
        &mut self,
        table: u8,
        name: &[u8],
        value: Option<&[u8]>,
        fx: &mut Effects,
    ) -> Option<()> {
        let removes = value.is_none();
        let was = self
            .system
            .set(table, name, value.map(Bytes::copy_from_slice));
        if removes && was.is_none() {
            return None;
        }
        let key = rows::system_row(table, name);
        match value {
            Some(value) => fx.rows.put(&key, value),
            None => fx.rows.delete(&key),
        }
        fx.undo_by(|| Undo::System {
            table,
            name: name.into(),
            was,
        });
        Some(())
    }
}
