//! All users, derived from the table beside the databases.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::user::{Operator, User};
use crate::keyspace::system::{System, Table};

/// A user and the row that it was read from; `default` may have none.
#[derive(Debug, Clone)]
struct Known {
    row: Option<Bytes>,
    user: Arc<User>,
}

/// The users of a service as of one version of its table.
#[derive(Debug, Clone)]
pub struct Users {
    version: u64,
    operator: Operator,
    by_name: Arc<BTreeMap<Bytes, Known>>,
}

impl Default for Users {
    fn default() -> Self {
        Users::new(Operator::default())
    }
}

impl Users {
    /// `default` alone, with the password that the node's configuration has.
    pub fn new(operator: Operator) -> Users {
        let mut users = Users {
            version: 0,
            operator,
            by_name: Arc::default(),
        };
        users.read(&System::default());
        users
    }

    /// The version of the table that they are derived from.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Derives them from the table as it is now.
    pub fn read(&mut self, system: &System) {
        let mut by_name = BTreeMap::new();
        for (name, row) in system.iter(Table::Users) {
            let known = match self.by_name.get(name) {
                Some(known) if known.row.as_ref() == Some(row) => known.clone(),
                _ => Known {
                    row: Some(row.clone()),
                    user: Arc::new(self.parse(name, row)),
                },
            };
            by_name.insert(Bytes::copy_from_slice(name), known);
        }
        let default = Bytes::from_static(b"default");
        let unchanged = self.by_name.get(&default).filter(|k| k.row.is_none());
        by_name.entry(default).or_insert_with(|| match unchanged {
            Some(known) => known.clone(),
            None => Known {
                row: None,
                user: Arc::new(User::default_user(&self.operator)),
            },
        });
        self.by_name = Arc::new(by_name);
        self.version = system.version(Table::Users);
    }

    fn parse(&self, name: &[u8], row: &[u8]) -> User {
        User::parse(name, row, &self.operator).unwrap_or_else(|why| {
            tracing::error!(
                user = %String::from_utf8_lossy(name),
                "the user's rules cannot be read here, so it may do nothing: {}",
                why.text()
            );
            User::new(name, false)
        })
    }

    /// A user by its name.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.by_name.get(name).map(|known| &known.user)
    }

    /// Whether who says nothing about itself is `default` and needs no password.
    pub fn open(&self) -> bool {
        self.get(b"default")
            .is_some_and(|u| u.enabled && u.no_password)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.by_name.values().map(|known| &known.user)
    }

    /// The user of that name and password, if it may log in.
    pub fn login(&self, name: &[u8], password: &[u8]) -> Option<&Arc<User>> {
        self.get(name).filter(|user| user.admits(password))
    }
}
