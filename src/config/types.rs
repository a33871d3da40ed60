//! What the values of a configuration are: keys and their kinds, members, policies, secrets.
//!
//! A `Secret` shows itself to nobody by accident: neither Debug nor Serialize gives its content.

use serde::{Deserialize, Serialize};

/// One key of the configuration, as documented, and as named by flags and variables.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name in the TOML file, for example `client_addr`.
    pub name: &'static str,
    /// Its documentation, a line each.
    pub doc: &'static [&'static str],
    /// How its value is written.
    pub kind: Kind,
    /// What a file without a default shows as an example, in TOML.
    pub example: &'static str,
}

impl Key {
    /// The environment variable that overrides the file: `PONTOON_CLIENT_ADDR`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("PONTOON_{}", self.name.to_uppercase())
    }

    /// The flag that overrides both: `client-addr`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }
}

/// How the value of a key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A string that must not be shown.
    Hidden,
    /// A whole number, not negative.
    Number,
    /// `true` or `false`.
    Switch,
    /// A list of strings; in a flag or variable, separated by commas.
    Texts,
    /// A list of tables; in a flag or variable, written as TOML.
    Tables,
}

impl Kind {
    /// What a value of this kind is called in an error.
    #[must_use]
    pub fn wanted(self) -> &'static str {
        match self {
            Kind::Text | Kind::Hidden => "a string in quotes",
            Kind::Number => "a whole number, zero or more",
            Kind::Switch => "true or false",
            Kind::Texts => "a list of strings, such as [\"a\", \"b\"]",
            Kind::Tables => {
                "a list of tables, such as [{ id = 1, peer_addr = \"host:7379\", client_addr = \"host:6379\" }]"
            }
        }
    }
}

/// A member that the cluster begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its number, never reused.
    pub id: u64,
    /// `host:port` where the other nodes and operators reach it.
    pub peer_addr: String,
    /// `host:port` of its TLS listener for clients, as the gateway reaches it.
    pub client_addr: String,
    /// `host:port` that clients are told in `-MOVED`; the same as `client_addr` when it is missing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub announced: String,
    /// False for a witness, which keeps the log and no data.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub data: bool,
}

impl Member {
    /// `host:port` that clients are told.
    #[must_use]
    pub fn announced(&self) -> &str {
        if self.announced.is_empty() {
            &self.client_addr
        } else {
            &self.announced
        }
    }
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_yes(b: &bool) -> bool {
    *b
}

/// What goes when memory is full: the eight policies of Redis's `maxmemory-policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eviction {
    /// Refuse commands that need memory.
    #[default]
    Noeviction,
    /// Among all keys, those not used for longest.
    AllkeysLru,
    /// Among all keys, those used least often.
    AllkeysLfu,
    /// Among all keys, any.
    AllkeysRandom,
    /// Among keys with an expiry, those not used for longest.
    VolatileLru,
    /// Among keys with an expiry, those used least often.
    VolatileLfu,
    /// Among keys with an expiry, any.
    VolatileRandom,
    /// Among keys with an expiry, those that expire soonest.
    VolatileTtl,
}

impl Eviction {
    /// All of them, in the order in which Redis documents them.
    pub const ALL: [Eviction; 8] = [
        Eviction::Noeviction,
        Eviction::AllkeysLru,
        Eviction::AllkeysLfu,
        Eviction::AllkeysRandom,
        Eviction::VolatileLru,
        Eviction::VolatileLfu,
        Eviction::VolatileRandom,
        Eviction::VolatileTtl,
    ];

    /// The name as `CONFIG GET maxmemory-policy` answers it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Eviction::Noeviction => "noeviction",
            Eviction::AllkeysLru => "allkeys-lru",
            Eviction::AllkeysLfu => "allkeys-lfu",
            Eviction::AllkeysRandom => "allkeys-random",
            Eviction::VolatileLru => "volatile-lru",
            Eviction::VolatileLfu => "volatile-lfu",
            Eviction::VolatileRandom => "volatile-random",
            Eviction::VolatileTtl => "volatile-ttl",
        }
    }
}

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Keeps the data and serves clients.
    #[default]
    Data,
    /// Keeps the log and votes; has no data and serves nobody.
    Witness,
}

/// How a standby answers the reads of a client that sent READONLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StandbyReads {
    /// From what it has, refused beyond a bound on its age.
    #[default]
    Stale,
    /// After the primary has said how far it must be: nothing acknowledged before is missed.
    Linearizable,
}

/// A password: compared and sent, never shown.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The content, for comparing it in constant time or handing it to a client. Never for a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str("(hidden)")
    }
}
