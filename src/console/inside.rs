//! What is inside a service: its settings, users and password, slow queries, clients and data; by an operator's session at its
//! primary.
//!
//! Always: what is set goes through the service's log and is every node's; the data is only read.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::auth::hashed;
use super::model::Service;
use super::{Console, Error, now_ms};
use crate::base::{limits, secret};
use crate::gateway::talk::Talk;
use crate::resp::Value;
use crate::tls::peer::Credentials;

/// How long a node may take to accept a session.
const CONNECT: Duration = Duration::from_secs(2);

/// A setting that a service has.
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// For people.
    pub about: &'static str,
    /// What it can be, where that is a choice.
    pub choices: &'static [&'static str],
}

const YES_NO: &[&str] = &["yes", "no"];

/// All that can be set.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "allow-list",
        about: "Who may connect: addresses and blocks such as 10.0.0.0/8 or 2001:db8::/32, with spaces between; empty is everybody",
        choices: &[],
    },
    Setting {
        name: "maxmemory-policy",
        about: "What goes when the memory is full",
        choices: &[
            "noeviction",
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
        ],
    },
    Setting {
        name: "lfu-log-factor",
        about: "How slowly a key's counter of uses grows, for the LFU policies",
        choices: &[],
    },
    Setting {
        name: "lfu-decay-time",
        about: "Minutes after which that counter goes down by one",
        choices: &[],
    },
    Setting {
        name: "lua-scripting",
        about: "EVAL and its kin",
        choices: YES_NO,
    },
    Setting {
        name: "functions",
        about: "FUNCTION and FCALL",
        choices: YES_NO,
    },
    Setting {
        name: "restricted-commands",
        about: "Commands that nobody may send, with spaces between",
        choices: &[],
    },
    Setting {
        name: "notify-keyspace-events",
        about: "Events of keys that are published: letters of Ag$lshzxeKEtmdn, empty is none",
        choices: &[],
    },
    Setting {
        name: "client-output-buffer-limit",
        about: "What a subscriber may leave unread: pubsub, bytes at once, bytes for longer than, seconds",
        choices: &[],
    },
    Setting {
        name: "timeout",
        about: "Seconds after which an idle client is disconnected; 0 is never",
        choices: &[],
    },
    Setting {
        name: "databases",
        about: "How many databases SELECT can choose from; fewer only where those beyond are empty",
        choices: &[],
    },
    Setting {
        name: "redirect",
        about: "Standbys answer MOVED, for drivers that know clusters, instead of passing commands on",
        choices: YES_NO,
    },
];

/// A setting with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What it is, for people.
    pub about: String,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Everything that policy allows.
    All,
    /// Everything but what Redis calls dangerous: FLUSHALL, KEYS, and the like.
    NoDangerous,
    /// Read alone.
    ReadOnly,
}

impl Preset {
    /// All of them.
    pub const ALL: [Preset; 3] = [Preset::All, Preset::NoDangerous, Preset::ReadOnly];

    /// As in the API.
    pub fn name(self) -> &'static str {
        match self {
            Preset::All => "all",
            Preset::NoDangerous => "no-dangerous",
            Preset::ReadOnly => "read-only",
        }
    }

    fn rules(self) -> &'static [&'static str] {
        match self {
            Preset::All => &["~*", "&*", "+@all"],
            Preset::NoDangerous => &["~*", "&*", "+@all", "-@dangerous"],
            Preset::ReadOnly => &[
                "%R~*",
                "&*",
                "-@all",
                "+@read",
                "+@connection",
                "+@transaction",
                "-@dangerous",
            ],
        }
    }
}

/// A user of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct User {
    /// The name.
    pub name: String,
    /// Its rules, as ACL LIST has them, without passwords.
    pub rules: String,
}

/// A slow command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Slow {
    /// When, Unix seconds.
    pub at_s: i64,
    /// How long it took, microseconds.
    pub micros: i64,
    /// It and its arguments, perhaps shortened.
    pub command: String,
    /// Who sent it.
    pub client: String,
}

/// A key as the data browser lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Key {
    /// Its name; bytes that are no text are replaced.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Milliseconds until it expires; -1 is never.
    pub ttl_ms: i64,
}

/// A part of the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Keys {
    /// Some of them.
    pub keys: Vec<Key>,
    /// Where to go on; 0 at the end.
    pub cursor: String,
}

impl Console {
    /// A session at the primary of a service.
    pub(super) async fn talk(&self, id: &str) -> Result<Talk, Error> {
        let (place, node) = self.primary(id)?;
        let credentials = Credentials::open(&place.cluster, place.operator.clone())
            // While it is restored its certificates and its cluster's name are not yet of one another.
            .map_err(|e| Error::Conflict(e.to_string()))?;
        let talk = Talk::open(&credentials, &node.address.peer, node.id, CONNECT).await;
        talk.map_err(|e| Error::Conflict(e.to_string()))
    }

    /// The settings of a service.
    pub(super) async fn settings(&self, id: &str) -> Result<Vec<Set>, Error> {
        let mut talk = self.talk(id).await?;
        let mut words = vec!["CONFIG", "GET"];
        words.extend(SETTINGS.iter().map(|s| s.name));
        let reply = said(&mut talk, &words).await?;
        let pairs = texts(&reply);
        let sets = SETTINGS.iter().filter_map(|s| {
            let at = pairs.iter().step_by(2).position(|name| name == s.name)?;
            Some(Set {
                name: s.name.into(),
                value: pairs.get(2 * at + 1)?.clone(),
                about: s.about.into(),
            })
        });
        Ok(sets.collect())
    }

    /// Sets all of them or none.
    pub(super) async fn set(&self, id: &str, wanted: &[(String, String)]) -> Result<(), Error> {
        let mut words = vec!["CONFIG", "SET"];
        for (name, value) in wanted {
            if SETTINGS.iter().all(|s| s.name != name) {
                let names: Vec<&str> = SETTINGS.iter().map(|s| s.name).collect();
                return Err(Error::Invalid(format!(
                    "there is no setting {name:?}; there are {}",
                    names.join(", ")
                )));
            }
            words.extend([name.as_str(), value.as_str()]);
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let mut talk = self.talk(id).await?;
        said(&mut talk, &words).await.map(drop)
    }

    /// Makes a new password of the user that the URI has; the old one is valid until `overlap` has passed.
    pub(super) async fn rotate(&self, service: &Service, overlap: Duration) -> Result<(), Error> {
        let id = service.id.as_str();
        let place = self.provider.place(id)?;
        let connection = place.and_then(|p| p.connection);
        let old = connection.ok_or_else(|| Error::Conflict("it has not served yet".into()))?;
        let new = secret::make();
        let until = now_ms() + i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX);
        let mut talk = self.talk(id).await?;
        let user = old.user.as_str();
        // The new one is accepted before anybody is given it.
        let words = ["ACL", "SETUSER", user, &format!(">{new}")];
        said(&mut talk, &words).await?;
        self.store
            .add_old_password(id, &hashed(&old.password), until)?;
        self.provider.set_password(id, &new).await?;
        self.board.ring(id);
        Ok(())
    }

    /// Has the password accepted that clients of a service are given: what it was restored from may have another.
    pub(super) async fn admit(&self, id: &str) -> Result<(), Error> {
        let place = self.provider.place(id)?;
        let Some(given) = place.and_then(|p| p.connection) else {
            return Ok(());
        };
        let mut talk = self.talk(id).await?;
        let known = said(&mut talk, &["ACL", "GETUSER", &given.user]).await?;
        let known = known.as_slice().unwrap_or_default();
        let hashes = known
            .iter()
            .skip_while(|v| v.as_bytes() != Some(b"passwords"))
            .nth(1);
        if hashes
            .map(texts)
            .is_some_and(|h| h.contains(&hashed(&given.password)))
        {
            return Ok(());
        }
        // What it was restored from may have passwords of another service; those that are valid for a while yet stay.
        let start = ["ACL", "SETUSER", &given.user, "on", "resetpass"];
        let mut words: Vec<String> = start.into_iter().map(String::from).collect();
        words.push(format!(">{}", given.password));
        let old = self.store.old_passwords(id)?;
        words.extend(old.iter().map(|hash| format!("#{hash}")));
        said(&mut talk, &words).await.map(drop)
    }

    /// Ends the passwords whose time is over.
    pub(super) async fn end_passwords(&self) -> Result<(), Error> {
        for (id, hash) in self.store.ended_passwords(now_ms())? {
            // One that does not serve now is tried again later.
            let Ok(mut talk) = self.talk(&id).await else {
                continue;
            };
            let words = ["ACL", "SETUSER", "default", &format!("!{hash}")];
            match said(&mut talk, &words).await {
                // It may be gone already.
                Ok(_) | Err(Error::Invalid(_)) => {}
                Err(error) => return Err(error),
            }
            self.store.forget_password(&id, &hash)?;
            self.note(
                Some(&id),
                "password",
                "the old password is not valid any more",
            );
        }
        Ok(())
    }

    /// The users of a service.
    pub(super) async fn users(&self, id: &str) -> Result<Vec<User>, Error> {
        let mut talk = self.talk(id).await?;
        let reply = said(&mut talk, &["ACL", "LIST"]).await?;
        let users = texts(&reply).into_iter().map(|line| {
            let mut words = line.split(' ').skip(1);
            let name = words.next().unwrap_or_default().to_string();
            let rules: Vec<&str> = words.filter(|w| !w.starts_with('#')).collect();
            User {
                name,
                rules: rules.join(" "),
            }
        });
        Ok(users.collect())
    }

    /// Makes a user; the password is the answer.
    pub(super) async fn add_user(
        &self,
        id: &str,
        name: &str,
        preset: Preset,
    ) -> Result<String, Error> {
        let users = self.users(id).await?;
        if users.iter().any(|u| u.name == name) {
            return Err(Error::Conflict(format!("there is a user {name:?} already")));
        }
        if users.len() >= limits::SERVICE_USERS_MAX {
            return Err(Error::Conflict(format!(
                "there are {} users: remove one first",
                users.len()
            )));
        }
        let password = secret::make();
        let given = format!(">{password}");
        let mut words = vec!["ACL", "SETUSER", name, "reset", "on", &given];
        words.extend(preset.rules());
        let mut talk = self.talk(id).await?;
        said(&mut talk, &words).await?;
        Ok(password)
    }

    /// Removes a user, and disconnects it.
    pub(super) async fn remove_user(&self, id: &str, name: &str) -> Result<(), Error> {
        let mut talk = self.talk(id).await?;
        match said(&mut talk, &["ACL", "DELUSER", name]).await?.as_int() {
            Some(0) => Err(Error::Missing(format!("there is no user {name:?}"))),
            _ => Ok(()),
        }
    }

    /// The slowest commands of late, the newest first.
    pub(super) async fn slow(&self, id: &str) -> Result<Vec<Slow>, Error> {
        let mut talk = self.talk(id).await?;
        let reply = said(&mut talk, &["SLOWLOG", "GET", "100"]).await?;
        let entries = reply.as_slice().unwrap_or_default();
        let slow = entries.iter().filter_map(|entry| {
            let [_, at, micros, command, client, ..] = entry.as_slice()? else {
                return None;
            };
            Some(Slow {
                at_s: at.as_int()?,
                micros: micros.as_int()?,
                command: texts(command).join(" "),
                client: text(client),
            })
        });
        Ok(slow.collect())
    }

    /// The connected clients, as CLIENT LIST has them.
    pub(super) async fn clients(&self, id: &str) -> Result<Vec<String>, Error> {
        let mut talk = self.talk(id).await?;
        let reply = said(&mut talk, &["CLIENT", "LIST"]).await?;
        let lines = text(&reply);
        // An operator's session, such as this, came by no listener of clients; a name anybody can have.
        let own = lines.lines().filter(|l| !l.contains(" laddr= "));
        Ok(own.map(str::to_string).collect())
    }

    /// Keys of a database that match, from a cursor on.
    pub(super) async fn keys(
        &self,
        id: &str,
        db: u32,
        pattern: &str,
        cursor: &str,
    ) -> Result<Keys, Error> {
        let mut talk = self.talk(id).await?;
        said(&mut talk, &["SELECT", &db.to_string()]).await?;
        let pattern = if pattern.is_empty() { "*" } else { pattern };
        let mut cursor = cursor.to_string();
        let (mut keys, mut rounds) = (Vec::new(), 0);
        // A pattern that matches little is looked for a while, and then from there on.
        while keys.len() < limits::BROWSED_MAX / 2 && rounds < 50 {
            let words = ["SCAN", &cursor, "MATCH", pattern, "COUNT", "100"];
            let reply = said(&mut talk, &words).await?;
            let Some([next, found]) = reply.as_slice() else {
                break;
            };
            cursor = text(next);
            for key in found.as_slice().unwrap_or_default() {
                let name = key.as_bytes().unwrap_or_default();
                let kind = text(&said(&mut talk, &[&b"TYPE"[..], name]).await?);
                let ttl = said(&mut talk, &[&b"PTTL"[..], name]).await?;
                keys.push(Key {
                    name: text(key),
                    kind,
                    ttl_ms: ttl.as_int().unwrap_or(-1),
                });
            }
            rounds += 1;
            if cursor == "0" {
                break;
            }
        }
        keys.truncate(limits::BROWSED_MAX);
        Ok(Keys { keys, cursor })
    }

    /// The beginning of a key's value: name or place, and value.
    pub(super) async fn value(
        &self,
        id: &str,
        db: u32,
        key: &str,
    ) -> Result<Vec<(String, String)>, Error> {
        let mut talk = self.talk(id).await?;
        said(&mut talk, &["SELECT", &db.to_string()]).await?;
        let most = (limits::BROWSED_MAX - 1).to_string();
        let count = limits::BROWSED_MAX.to_string();
        let kind = text(&said(&mut talk, &["TYPE", key]).await?);
        let plain = |values: Vec<String>| -> Vec<(String, String)> {
            let numbered = values.into_iter().enumerate();
            numbered.map(|(i, v)| (i.to_string(), v)).collect()
        };
        let pairs = |values: Vec<String>| -> Vec<(String, String)> {
            let mut values = values.into_iter();
            std::iter::from_fn(|| Some((values.next()?, values.next().unwrap_or_default())))
                .collect()
        };
        let scanned = |reply: &Value| {
            reply
                .as_slice()
                .and_then(|r| r.get(1))
                .map(texts)
                .unwrap_or_default()
        };
        Ok(match kind.as_str() {
            "none" => return Err(Error::Missing(format!("there is no key {key:?}"))),
            "string" => {
                let end = (limits::BROWSED_LEN - 1).to_string();
                let value = said(&mut talk, &["GETRANGE", key, "0", &end]).await?;
                vec![(String::new(), text(&value))]
            }
            "list" => plain(texts(&said(&mut talk, &["LRANGE", key, "0", &most]).await?)),
            "set" => plain(scanned(
                &said(&mut talk, &["SSCAN", key, "0", "COUNT", &count]).await?,
            )),
            "hash" => pairs(scanned(
                &said(&mut talk, &["HSCAN", key, "0", "COUNT", &count]).await?,
            )),
            "zset" => pairs(texts(
                &said(&mut talk, &["ZRANGE", key, "0", &most, "WITHSCORES"]).await?,
            )),
            _ => {
                let reply = said(&mut talk, &["XRANGE", key, "-", "+", "COUNT", &count]).await?;
                let entries = reply.as_slice().unwrap_or_default().iter();
                let entry = |e: &Value| {
                    let [id, fields] = e.as_slice()? else {
                        return None;
                    };
                    Some((text(id), texts(fields).join(" ")))
                };
                entries.filter_map(entry).collect()
            }
        })
    }
}

/// A command's reply; a refusal is an error for people.
async fn said<W: AsRef<[u8]>>(talk: &mut Talk, words: &[W]) -> Result<Value, Error> {
    let reply = talk.ask(words).await;
    match reply.map_err(|e| Error::Conflict(format!("the primary did not answer: {e}")))? {
        Value::Error(text) => Err(Error::Invalid(plainly(&text))),
        reply => Ok(reply),
    }
}

/// Redis's refusal of a setting, without what an operator knows.
fn plainly(text: &str) -> String {
    let inner = text.strip_prefix("ERR CONFIG SET failed (possibly related to argument '");
    match inner.and_then(|rest| rest.split_once("') - ")) {
        Some((name, why)) => format!("{name}: {why}"),
        None => text.strip_prefix("ERR ").unwrap_or(text).to_string(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Int(n) => n.to_string(),
        value => {
            let bytes = value.as_bytes().unwrap_or_default();
            let shown = &bytes[..bytes.len().min(limits::BROWSED_LEN * 16)];
            String::from_utf8_lossy(shown).into_owned()
        }
    }
}

fn texts(value: &Value) -> Vec<String> {
    value
        .as_slice()
        .unwrap_or_default()
        .iter()
        .map(text)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_said_plainly() {
        let text = "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 and 9 inclusive";
        assert_eq!(
            plainly(text),
            "timeout: argument must be between 0 and 9 inclusive"
        );
        assert_eq!(plainly("ERR no"), "no");
        assert_eq!(plainly("NOPERM no"), "NOPERM no");
    }
}
