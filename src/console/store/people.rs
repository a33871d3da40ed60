//! Who there is: organizations, members with their passwords' hashes, tokens and sessions by their hashes.
//!
//! Always: an organization keeps an administrator; whoever is no member any more has no session.

use anyhow::ensure;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::Store;
use crate::base::limits;
use crate::console::model::{Member, Organization, Role, Token, Who};

/// Why a change of members was not made; for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied(pub String);

/// What a change came to.
type Done = anyhow::Result<Result<(), Denied>>;

fn denied(why: impl Into<String>) -> Done {
    Ok(Err(Denied(why.into())))
}

fn role(row: &Row<'_>, column: &str) -> rusqlite::Result<Role> {
    let name: String = row.get(column)?;
    // Written by `Role::name` alone; whoever has an unknown one may look.
    Ok(Role::of(&name).unwrap_or(Role::Viewer))
}

fn who(row: &Row<'_>) -> rusqlite::Result<Who> {
    Ok(Who {
        name: row.get("name")?,
        org: row.get("org")?,
        role: role(row, "role")?,
    })
}

impl Store {
    /// All organizations, the first one first.
    pub fn organizations(&self) -> anyhow::Result<Vec<Organization>> {
        let db = self.0.lock();
        let mut all = db.prepare("SELECT id, name FROM organizations ORDER BY created_ms, id")?;
        let all = all.query_map([], |row| {
            Ok(Organization {
                id: row.get(0)?,
                name: row.get(1)?,
            })
        })?;
        Ok(all.collect::<Result<_, _>>()?)
    }

    /// A new organization with its first administrator.
    pub fn add_organization(
        &self,
        org: &Organization,
        admin: &str,
        password: &str,
        now_ms: i64,
    ) -> Done {
        let mut db = self.0.lock();
        let step = db.transaction()?;
        let count: u32 = step.query_row("SELECT count(*) FROM organizations", [], |r| r.get(0))?;
        ensure!(
            count < limits::ORGANIZATIONS_MAX,
            "there are {count} organizations, and no more are taken"
        );
        let sql = "INSERT INTO organizations VALUES (?, ?, ?)";
        step.execute(sql, params![org.id, org.name, now_ms])?;
        let member = Member {
            name: admin.into(),
            role: Role::Admin,
        };
        match insert_member(&step, &org.id, &member, password, now_ms)? {
            Ok(()) => step.commit()?,
            Err(why) => return Ok(Err(why)),
        }
        Ok(Ok(()))
    }

    /// An organization's members, by name.
    pub fn members(&self, org: &str) -> anyhow::Result<Vec<Member>> {
        let db = self.0.lock();
        let mut all = db.prepare("SELECT name, role FROM members WHERE org = ? ORDER BY name")?;
        let all = all.query_map([org], |row| {
            Ok(Member {
                name: row.get(0)?,
                role: role(row, "role")?,
            })
        })?;
        Ok(all.collect::<Result<_, _>>()?)
    }

    /// Takes a member, with their password's hash.
    pub fn add_member(&self, org: &str, member: &Member, password: &str, now_ms: i64) -> Done {
        let mut db = self.0.lock();
        let step = db.transaction()?;
        let done = insert_member(&step, org, member, password, now_ms)?;
        if done.is_ok() {
            step.commit()?;
        }
        Ok(done)
    }

    /// A member and the hash of their password.
    pub fn member(&self, name: &str) -> anyhow::Result<Option<(Who, String)>> {
        let db = self.0.lock();
        let mut one = db.prepare("SELECT name, org, role, password FROM members WHERE name = ?")?;
        let found = one.query_row([name], |row| Ok((who(row)?, row.get("password")?)));
        Ok(found.optional()?)
    }

    /// Gives a member another role.
    pub fn set_role(&self, org: &str, name: &str, role: Role) -> Done {
        self.change_member(org, name, role == Role::Admin, |step| {
            let sql = "UPDATE members SET role = ? WHERE name = ?";
            step.execute(sql, params![role.name(), name])
        })
    }

    /// Gives a member another password, by its hash; their sessions but `keep` end.
    pub fn set_password(&self, org: &str, name: &str, hash: &str, keep: &str) -> Done {
        self.change_member(org, name, true, |step| {
            step.execute(
                "DELETE FROM sessions WHERE member = ? AND hash <> ?",
                [name, keep],
            )?;
            let sql = "UPDATE members SET password = ? WHERE name = ?";
            step.execute(sql, [hash, name])
        })
    }

    /// Removes a member; their sessions end. Tokens that they made go on until they expire or are removed.
    pub fn remove_member(&self, org: &str, name: &str) -> Done {
        self.change_member(org, name, false, |step| {
            step.execute("DELETE FROM sessions WHERE member = ?", [name])?;
            step.execute("DELETE FROM members WHERE name = ?", [name])
        })
    }

    /// A change of one member, who is an administrator after it or not.
    fn change_member(
        &self,
        org: &str,
        name: &str,
        stays_admin: bool,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<usize>,
    ) -> Done {
        let mut db = self.0.lock();
        let step = db.transaction()?;
        let sql = "SELECT count(*) FROM members WHERE org = ? AND name = ?";
        let there: u32 = step.query_row(sql, [org, name], |r| r.get(0))?;
        if there == 0 {
            return denied(format!("there is no member {name:?}"));
        }
        let sql = "SELECT count(*) FROM members WHERE org = ? AND role = 'admin' AND name <> ?";
        let others: u32 = step.query_row(sql, [org, name], |r| r.get(0))?;
        if others == 0 && !stays_admin {
            return denied(format!(
                "{name} is the only administrator: make another one first"
            ));
        }
        change(&step)?;
        step.commit()?;
        Ok(Ok(()))
    }

    /// An organization's tokens, the oldest first.
    pub fn tokens(&self, org: &str) -> anyhow::Result<Vec<Token>> {
        let db = self.0.lock();
        let mut all = db.prepare(
            "SELECT id, name, role, by, expires_ms FROM tokens WHERE org = ? ORDER BY created_ms, id",
        )?;
        let all = all.query_map([org], |row| {
            Ok(Token {
                id: row.get(0)?,
                name: row.get(1)?,
                role: role(row, "role")?,
                by: row.get(3)?,
                expires_ms: row.get(4)?,
            })
        })?;
        Ok(all.collect::<Result<_, _>>()?)
    }

    /// Takes a token by its hash; those that ended go.
    pub fn add_token(&self, org: &str, token: &Token, hash: &str, now_ms: i64) -> Done {
        let mut db = self.0.lock();
        let step = db.transaction()?;
        step.execute("DELETE FROM tokens WHERE expires_ms <= ?", [now_ms])?;
        let sql = "SELECT count(*) FROM tokens WHERE org = ?";
        let count: u32 = step.query_row(sql, [org], |r| r.get(0))?;
        if count >= limits::TOKENS_MAX {
            return denied(format!("there are {count} tokens: remove one first"));
        }
        step.execute(
            "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                token.id,
                token.name,
                org,
                token.role.name(),
                hash,
                token.by,
                now_ms,
                token.expires_ms
            ],
        )?;
        step.commit()?;
        Ok(Ok(()))
    }

    /// Removes a token. False where there is none of that id.
    pub fn remove_token(&self, org: &str, id: &str) -> anyhow::Result<bool> {
        let sql = "DELETE FROM tokens WHERE org = ? AND id = ?";
        Ok(self.0.lock().execute(sql, [org, id])? > 0)
    }

    /// Whose token has that hash, if it is valid at `now_ms`.
    pub fn token(&self, hash: &str, now_ms: i64) -> anyhow::Result<Option<Who>> {
        let db = self.0.lock();
        let mut one = db.prepare(
            "SELECT name, org, role FROM tokens WHERE hash = ? AND (expires_ms IS NULL OR expires_ms > ?)",
        )?;
        Ok(one.query_row(params![hash, now_ms], who).optional()?)
    }

    /// Begins a browser's session; those that ended go, and a member's oldest beyond a bound.
    pub fn add_session(
        &self,
        hash: &str,
        csrf: &str,
        member: &str,
        now_ms: i64,
        until_ms: i64,
    ) -> anyhow::Result<()> {
        let mut db = self.0.lock();
        let step = db.transaction()?;
        step.execute("DELETE FROM sessions WHERE expires_ms <= ?", [now_ms])?;
        step.execute(
            "DELETE FROM sessions WHERE hash IN
             (SELECT hash FROM sessions WHERE member = ? ORDER BY expires_ms DESC LIMIT -1 OFFSET ?)",
            params![member, limits::SESSIONS_MAX - 1],
        )?;
        step.execute(
            "INSERT INTO sessions VALUES (?, ?, ?, ?)",
            params![hash, csrf, member, until_ms],
        )?;
        Ok(step.commit()?)
    }

    /// Whose session has that hash, and its form token, if it is valid at `now_ms`.
    pub fn session(&self, hash: &str, now_ms: i64) -> anyhow::Result<Option<(Who, String)>> {
        let db = self.0.lock();
        let mut one = db.prepare(
            "SELECT m.name, m.org, m.role, s.csrf FROM sessions s JOIN members m ON m.name = s.member
             WHERE s.hash = ? AND s.expires_ms > ?",
        )?;
        let found = one.query_row(params![hash, now_ms], |row| {
            Ok((who(row)?, row.get("csrf")?))
        });
        Ok(found.optional()?)
    }

    /// Ends it.
    pub fn end_session(&self, hash: &str) -> anyhow::Result<()> {
        self.0
            .lock()
            .execute("DELETE FROM sessions WHERE hash = ?", [hash])?;
        Ok(())
    }
}

fn insert_member(
    step: &Transaction<'_>,
    org: &str,
    member: &Member,
    password: &str,
    now_ms: i64,
) -> Done {
    let sql = "SELECT count(*) FROM members WHERE org = ?";
    let count: u32 = step.query_row(sql, [org], |r| r.get(0))?;
    if count >= limits::CONSOLE_MEMBERS_MAX {
        return denied(format!("there are {count} members, and no more are taken"));
    }
    let made = step.execute(
        "INSERT INTO members VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
        params![member.name, org, member.role.name(), password, now_ms],
    )?;
    match made {
        0 => denied(format!(
            "the name {:?} is taken: choose another one",
            member.name
        )),
        _ => Ok(Ok(())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("console.db")).unwrap();
        (dir, store)
    }

    fn member(name: &str, role: Role) -> Member {
        Member {
            name: name.into(),
            role,
        }
    }

    #[test]
    fn an_organization_keeps_an_administrator() {
        let (_dir, store) = store();
        let add = |m: &Member| store.add_member("main", m, "hash", 0).unwrap();
        add(&member("ada", Role::Admin)).unwrap();
        let only = store.set_role("main", "ada", Role::Viewer).unwrap();
        assert!(only.unwrap_err().0.contains("only administrator"));
        assert!(store.remove_member("main", "ada").unwrap().is_err());
        add(&member("bob", Role::Operator)).unwrap();
        assert!(
            add(&member("bob", Role::Admin))
                .unwrap_err()
                .0
                .contains("taken")
        );
        store.set_role("main", "bob", Role::Admin).unwrap().unwrap();
        store.remove_member("main", "ada").unwrap().unwrap();
        assert_eq!(store.members("main").unwrap(), [member("bob", Role::Admin)]);
        // Another organization's administrator reaches none of these.
        assert!(store.remove_member("other", "bob").unwrap().is_err());
    }

    #[test]
    fn whoever_is_no_member_has_no_session() {
        let (_dir, store) = store();
        for name in ["ada", "bob"] {
            let admin = member(name, Role::Admin);
            store
                .add_member("main", &admin, "hash", 0)
                .unwrap()
                .unwrap();
        }
        store.add_session("h", "c", "ada", 0, 10).unwrap();
        let (who, csrf) = store.session("h", 9).unwrap().unwrap();
        assert_eq!((who.name.as_str(), csrf.as_str()), ("ada", "c"));
        assert_eq!(store.session("h", 10).unwrap(), None);
        store.add_session("i", "c", "ada", 0, 10).unwrap();
        store
            .set_password("main", "ada", "new", "h")
            .unwrap()
            .unwrap();
        assert!(
            store.session("h", 9).unwrap().is_some(),
            "the one that changed it"
        );
        assert!(store.session("i", 9).unwrap().is_none());
        store.remove_member("main", "ada").unwrap().unwrap();
        assert_eq!(store.session("h", 9).unwrap(), None);
    }

    #[test]
    fn sessions_of_a_member_are_bounded_and_the_oldest_goes() {
        let (_dir, store) = store();
        let admin = member("ada", Role::Admin);
        store
            .add_member("main", &admin, "hash", 0)
            .unwrap()
            .unwrap();
        for n in 0..=limits::SESSIONS_MAX {
            let until = 100 + i64::from(n);
            store
                .add_session(&n.to_string(), "c", "ada", 0, until)
                .unwrap();
        }
        assert!(store.session("0", 9).unwrap().is_none());
        assert!(store.session("1", 9).unwrap().is_some());
    }

    #[test]
    fn tokens_have_a_role_and_end() {
        let (_dir, store) = store();
        let token = Token {
            id: "t-1".into(),
            name: "build".into(),
            role: Role::Viewer,
            by: "ada".into(),
            expires_ms: Some(10),
        };
        store.add_token("main", &token, "h", 0).unwrap().unwrap();
        assert_eq!(store.token("h", 9).unwrap().unwrap().role, Role::Viewer);
        assert_eq!(store.token("h", 10).unwrap(), None);
        assert_eq!(store.token("u", 0).unwrap(), None);
        assert!(!store.remove_token("other", "t-1").unwrap());
        assert!(store.remove_token("main", "t-1").unwrap());
        assert_eq!(store.token("h", 9).unwrap(), None);
    }
}
