//! Docker engines: the hosts on which a cluster's nodes run as containers. A file that an operator edits says which.
//!
//! - `cluster.json` has the file's path, and of each node its engine's name and address; how an engine is reached is read anew
//!   from the file each time, so that certificates can be replaced.
//! - An engine is reached over its own socket or by mutual TLS: who reaches one without is root on that host.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use bollard::{API_DEFAULT_VERSION, Docker};
use serde::{Deserialize, Serialize};

/// How long an engine has to answer, seconds.
const PATIENCE_S: u64 = 10;
/// How long a connection to one may take.
const CONNECT: Duration = Duration::from_secs(2);

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engines {
    /// The image of a node where the cluster has no other program.
    pub image: String,
    /// The engines, the ones to be used first in front.
    #[serde(rename = "engine")]
    pub all: Vec<Engine>,
}

/// One engine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Its name; nodes are found by it, so it stays.
    pub name: String,
    /// What fails with it: a rack, a building. Left out, it stands for itself.
    #[serde(default)]
    pub zone: String,
    /// `unix:///var/run/docker.sock`, or `tcp://host:port` by mutual TLS.
    pub url: String,
    /// The address of its host at which nodes listen.
    pub address: IpAddr,
    /// The CA of its certificate, with tcp.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// What it knows us by, with tcp.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// The key of that.
    #[serde(default)]
    pub key: Option<PathBuf>,
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// Its engine's name.
    pub engine: String,
    /// Its engine's address.
    pub address: IpAddr,
    /// Its engine's zone.
    pub zone: String,
}

impl Engines {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or what it says cannot be.
    pub fn read(path: &Path) -> anyhow::Result<Engines> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Engines::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Engines> {
        let mut engines: Engines = toml::from_str(text)?;
        ensure!(!engines.all.is_empty(), "it names no engine");
        let mut names = std::collections::BTreeSet::new();
        for engine in &mut engines.all {
            let name = &engine.name;
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            ensure!(
                !name.is_empty() && name.bytes().all(plain),
                "{name:?} is no name of an engine: letters, digits and - make one"
            );
            ensure!(names.insert(name.clone()), "two engines are called {name}");
            let files = [&engine.ca, &engine.cert, &engine.key];
            let given = files.iter().filter(|f| f.is_some()).count();
            if engine.url.starts_with("tcp://") {
                ensure!(
                    given == 3,
                    "engine {name}: {} is reached by mutual TLS: give ca, cert and key",
                    engine.url
                );
            } else {
                ensure!(
                    engine.url.starts_with("unix:///") && given == 0,
                    "engine {name}: give url = \"unix:///var/run/docker.sock\", or \"tcp://host:2376\" with ca, cert and key"
                );
            }
            ensure!(
                !engine.address.is_unspecified(),
                "engine {name}: {} is no address that a node can be reached at",
                engine.address
            );
            if engine.zone.is_empty() {
                engine.zone = name.clone();
            }
        }
        Ok(engines)
    }

    /// The engine of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, name: &str) -> anyhow::Result<&Engine> {
        let found = self.all.iter().find(|e| e.name == name);
        found.with_context(|| format!("no engine is called {name:?} any more"))
    }

    /// Where a node is to go, beside those that are at `homes`: to an engine that answers, to the host and of those in the zone
    /// that has the fewest.
    ///
    /// # Errors
    /// When no engine answers.
    pub fn pick<'a>(&self, homes: impl Iterator<Item = &'a Home>) -> anyhow::Result<Home> {
        self.pick_of(homes, Engine::answers)
    }

    fn pick_of<'a>(
        &self,
        homes: impl Iterator<Item = &'a Home>,
        answers: impl Fn(&Engine) -> bool,
    ) -> anyhow::Result<Home> {
        let (mut zones, mut hosts) = (BTreeMap::new(), BTreeMap::new());
        for home in homes {
            *zones.entry(home.zone.as_str()).or_insert(0) += 1;
            *hosts.entry(home.engine.as_str()).or_insert(0) += 1;
        }
        let count = |of: &BTreeMap<&str, u32>, name: &str| of.get(name).copied().unwrap_or(0);
        let up = self.all.iter().filter(|e| answers(e));
        let best = up.min_by_key(|e| (count(&hosts, &e.name), count(&zones, &e.zone)));
        let best = best.context("no Docker engine answers")?;
        Ok(Home {
            engine: best.name.clone(),
            address: best.address,
            zone: best.zone.clone(),
        })
    }
}

impl Engine {
    /// Whether something listens there.
    fn answers(&self) -> bool {
        if let Some(path) = self.url.strip_prefix("unix://") {
            return UnixStream::connect(path).is_ok();
        }
        let host = self.url.strip_prefix("tcp://").unwrap_or_default();
        let addresses = host.to_socket_addrs().into_iter().flatten();
        addresses
            .into_iter()
            .any(|a| TcpStream::connect_timeout(&a, CONNECT).is_ok())
    }

    /// A client of it that was answered.
    ///
    /// # Errors
    /// When it does not answer, or not as one that this can use.
    pub async fn connect(&self) -> anyhow::Result<Docker> {
        let connect = async {
            let client = match (&self.ca, &self.cert, &self.key) {
                (Some(ca), Some(cert), Some(key)) => Docker::connect_with_ssl(
                    &self.url,
                    key,
                    cert,
                    ca,
                    PATIENCE_S,
                    API_DEFAULT_VERSION,
                )?,
                _ => Docker::connect_with_unix(&self.url, PATIENCE_S, API_DEFAULT_VERSION)?,
            };
            client.negotiate_version().await
        };
        let connected = tokio::time::timeout(Duration::from_secs(PATIENCE_S), connect).await;
        connected
            .map_err(anyhow::Error::from)
            .and_then(|c| c.map_err(Into::into))
            .with_context(|| format!("the engine {} at {} does not answer", self.name, self.url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"
        image = "pontoon:1"
        [[engine]]
        name = "a"
        zone = "east"
        url = "unix:///run/a.sock"
        address = "10.0.0.1"
        [[engine]]
        name = "b"
        zone = "east"
        url = "unix:///run/b.sock"
        address = "10.0.0.2"
        [[engine]]
        name = "c"
        zone = "west"
        url = "tcp://10.0.0.3:2376"
        address = "10.0.0.3"
        ca = "/c/ca.pem"
        cert = "/c/cert.pem"
        key = "/c/key.pem"
    "#;

    #[test]
    fn nodes_are_spread_over_hosts_and_then_over_zones() {
        let engines = Engines::parse(TWO).unwrap();
        let mut homes: Vec<Home> = Vec::new();
        for _ in 0..4 {
            let next = engines.pick_of(homes.iter(), |_| true).unwrap();
            homes.push(next);
        }
        let names: Vec<&str> = homes.iter().map(|h| h.engine.as_str()).collect();
        assert_eq!(names, ["a", "c", "b", "c"]);
        let but_c = engines.pick_of(homes.iter(), |e| e.name != "c").unwrap();
        assert_eq!(but_c.engine, "a");
        let none = engines.pick_of(homes.iter(), |_| false).unwrap_err();
        assert_eq!(none.to_string(), "no Docker engine answers");
    }

    #[test]
    fn a_file_that_cannot_be_says_why() {
        for (from, to, why) in [
            ("name = \"b\"", "name = \"a\"", "two engines are called a"),
            ("key = \"/c/key.pem\"", "", "give ca, cert and key"),
            ("unix:///run/a.sock", "http://a", "give url = "),
            (
                "10.0.0.1",
                "0.0.0.0",
                "is no address that a node can be reached at",
            ),
            ("zone = \"west\"", "sone = \"west\"", "unknown field"),
        ] {
            let error = Engines::parse(&TWO.replacen(from, to, 1)).unwrap_err();
            assert!(format!("{error:#}").contains(why), "{error:#}");
        }
    }
}
