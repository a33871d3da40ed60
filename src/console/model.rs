//! What the console knows of: services, their nodes, events. The words of the API are those of these types.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is wanted of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// It serves.
    On,
    /// It is powered off and keeps its data.
    Off,
    /// It is deleted with its data.
    Gone,
}

impl Wanted {
    /// As in the database.
    pub fn name(self) -> &'static str {
        match self {
            Wanted::On => "on",
            Wanted::Off => "off",
            Wanted::Gone => "gone",
        }
    }

    /// The reverse of [`Wanted::name`].
    pub fn of(name: &str) -> Option<Wanted> {
        [Wanted::On, Wanted::Off, Wanted::Gone]
            .into_iter()
            .find(|w| w.name() == name)
    }
}

/// What was asked for when a service was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Create {
    /// The name that people see, 1 to 60 characters.
    pub name: String,
    /// The cloud's id in the catalog.
    pub cloud: String,
    /// The region's id in the catalog.
    pub region: String,
    /// The plan's id in the catalog.
    pub plan: String,
}

/// A service as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Service {
    /// Its id, for life.
    pub id: String,
    /// The name that people see.
    pub name: String,
    /// The cloud's id.
    pub cloud: String,
    /// The region's id.
    pub region: String,
    /// The plan's id.
    pub plan: String,
    /// The port of its stable address, for life.
    pub port: u16,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// When it was created, Unix milliseconds.
    pub created_ms: i64,
    /// The id of the organization that it belongs to.
    pub org: String,
    /// The memory of a node with data, MiB.
    pub memory_mib: u32,
    /// What it is being restored to; empty where it is not.
    pub restore: String,
    /// The id of the release that its nodes run, or are being brought to.
    pub release: String,
    /// The release that waits for the maintenance window; empty where none does.
    pub next_release: String,
    /// When an upgrade that waits is begun.
    pub window: Window,
    /// The hour of the day, UTC, in which its bases are taken; where it is not said, a day after the last one.
    pub backup_hour: Option<u8>,
}

/// A maintenance window: an hour of the week, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The day on which it begins.
    pub day: Day,
    /// The hour at which it begins, 0 to 23. It is an hour long.
    #[schema(minimum = 0, maximum = 23)]
    pub hour: u8,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Day {
    /// All of them, Monday first.
    pub const ALL: [Day; 7] = [
        Day::Monday,
        Day::Tuesday,
        Day::Wednesday,
        Day::Thursday,
        Day::Friday,
        Day::Saturday,
        Day::Sunday,
    ];

    /// As in the database.
    pub fn name(self) -> &'static str {
        match self {
            Day::Monday => "monday",
            Day::Tuesday => "tuesday",
            Day::Wednesday => "wednesday",
            Day::Thursday => "thursday",
            Day::Friday => "friday",
            Day::Saturday => "saturday",
            Day::Sunday => "sunday",
        }
    }

    /// The reverse of [`Day::name`].
    pub fn of(name: &str) -> Option<Day> {
        Day::ALL.into_iter().find(|d| d.name() == name)
    }
}

impl Window {
    /// Whether it is open at a time, Unix milliseconds.
    pub fn is_open(self, at_ms: i64) -> bool {
        let hours = at_ms.div_euclid(3_600_000);
        // The first day of 1970 was a Thursday.
        let day = (hours.div_euclid(24) + 3).rem_euclid(7);
        Day::ALL.get(usize::try_from(day).unwrap_or(0)) == Some(&self.day)
            && hours.rem_euclid(24) == i64::from(self.hour)
    }

    /// For people.
    pub fn text(self) -> String {
        format!("{} {:02}:00 UTC", self.day.name(), self.hour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_an_hour_of_the_week() {
        let window = Window {
            day: Day::Wednesday,
            hour: 14,
        };
        // 2026-11-25 14:00 UTC, a Wednesday.
        let begin = 1_795_615_200_000;
        assert!(window.is_open(begin) && window.is_open(begin + 3_599_999));
        assert!(!window.is_open(begin - 1) && !window.is_open(begin + 3_600_000));
        assert!(!window.is_open(begin + 86_400_000));
        assert!(window.is_open(begin + 7 * 86_400_000));
        assert_eq!(window.text(), "wednesday 14:00 UTC");
    }
}

/// A node as it was last observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Node {
    /// Its id.
    pub id: u64,
    /// primary, standby, learner, witness or unknown.
    pub role: String,
    /// Whether its process runs.
    pub running: bool,
    /// Whether it answers.
    pub answers: bool,
    /// Whether it votes.
    pub voter: bool,
    /// Its disk is gone or damaged: it will be replaced under a new id.
    pub lost: bool,
    /// Log entries that the primary committed and this one has not applied.
    pub lag: u64,
    /// Keys that it holds.
    pub keys: u64,
    /// Memory that they take, bytes.
    pub used_memory: u64,
    /// The memory of the plan that it runs with, MiB.
    pub memory_mib: u64,
    /// The version that it runs.
    pub version: String,
    /// Where clients reach it.
    pub client_addr: String,
    /// The Docker engine that it is a container of, with its zone; empty where it is a process of the console's machine.
    pub host: String,
    /// What is wrong with its disk, its syncs, its clock, or how far it is behind.
    pub troubles: Vec<String>,
}

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It is being started and has not served yet.
    Starting,
    /// It serves with all its nodes.
    Running,
    /// It serves, and its nodes are being brought to what its plan has.
    Changing,
    /// It serves, and a node is missing or behind.
    Degraded,
    /// No primary serves.
    Down,
    /// It is powered off.
    Off,
    /// It is being deleted.
    Deleting,
}

impl Health {
    /// All of them.
    pub const ALL: [Health; 7] = [
        Health::Starting,
        Health::Running,
        Health::Changing,
        Health::Degraded,
        Health::Down,
        Health::Off,
        Health::Deleting,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Health::Starting => "starting",
            Health::Running => "running",
            Health::Changing => "changing",
            Health::Degraded => "degraded",
            Health::Down => "down",
            Health::Off => "off",
            Health::Deleting => "deleting",
        }
    }
}

/// How a client connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Connection {
    /// All in one.
    pub uri: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user.
    pub user: String,
    /// Their password.
    pub password: String,
    /// The CA's certificate, PEM.
    pub ca: String,
    /// A standby's own address: reads after READONLY are answered there; everything else goes to the primary.
    pub replica_uri: Option<String>,
    /// The same as `uri` by a name that leads to the primary itself, where the console has a name server.
    pub name_uri: Option<String>,
    /// And by a name that leads to the standbys.
    pub replica_name_uri: Option<String>,
}

/// A service with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Overview {
    /// As wanted.
    pub service: Service,
    /// How it is.
    pub health: Health,
    /// What is being done to it, for people; empty where nothing is.
    pub doing: String,
    /// How a client connects, once that is known.
    pub connection: Option<Connection>,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// What of its plan is not held to where it runs, for people.
    pub limits: Vec<String>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Event {
    /// Ascending.
    pub id: i64,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The service, if it concerns one.
    pub service: Option<String>,
    /// In one word, such as failover or replacement.
    pub kind: String,
    /// What happened and why.
    pub text: String,
    /// Who asked for it: a member, or a token by its name; empty where the console did it by itself.
    pub by: String,
}

/// What somebody may do. Each may also do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Create, change and delete services.
    Operator,
    /// Say who is a member, and make tokens.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

    /// As in the database.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    /// The reverse of [`Role::name`].
    pub fn of(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|r| r.name() == name)
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Who {
    /// A member's name, or a token's.
    pub name: String,
    /// Their organization's id.
    pub org: String,
    /// What they may do.
    pub role: Role,
}

/// An organization: what services belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Organization {
    /// Its id, for life.
    pub id: String,
    /// The name that people see.
    pub name: String,
}

/// A member of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Member {
    /// What they sign in with.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// A token for a program, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Token {
    /// Its id.
    pub id: String,
    /// What it is for, for people.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// Who made it.
    pub by: String,
    /// When it ends, Unix milliseconds; never where it is not there.
    pub expires_ms: Option<i64>,
}
