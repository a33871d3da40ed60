//! A connection to a Redis or a service, by URI: one thread, plain TCP or TLS, pipelined.
//!
//! **Invariants.** A server's certificate and name are verified wherever TLS is spoken. No answer is waited for
//! longer than [`PATIENCE`].

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustls::pki_types::ServerName;

use crate::resp::{Value, parse_value, put_request};
use crate::tls;

/// How long connecting, or an answer, may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// Where a server is and how it is entered: `redis://` or `rediss://` (TLS) `[user:password@]host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    pub tls: bool,
    pub user: String,
    pub password: String,
    pub host: String,
    pub port: u16,
}

impl Uri {
    /// Reads it.
    ///
    /// # Errors
    /// When it is not of that form.
    pub fn parse(text: &str) -> anyhow::Result<Uri> {
        let (tls, rest) = match (
            text.strip_prefix("redis://"),
            text.strip_prefix("rediss://"),
        ) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => bail!("a URI begins with redis:// or rediss://"),
        };
        let rest = rest.split(['/', '?']).next().unwrap_or_default();
        let (entry, address) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = entry.split_once(':').unwrap_or(("", entry));
        let (host, port) = match address.rsplit_once(':') {
            // The colons of an IPv6 address are within brackets.
            Some((host, port)) if !port.contains(']') => (host, port.parse().context("the port")?),
            _ => (address, 6379),
        };
        let host = host.trim_matches(['[', ']']).to_string();
        ensure!(!host.is_empty(), "the URI names no host");
        Ok(Uri {
            tls,
            user: percent_decoded(user)?,
            password: percent_decoded(password)?,
            host,
            port,
        })
    }

    /// Without the password, to show.
    pub fn shown(&self) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        format!("{scheme}://{host}:{}", self.port)
    }
}

fn percent_decoded(text: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits: Vec<u8> = rest.by_ref().take(2).collect();
        bytes.extend(hex::decode(digits).context("a % in the URI stands before two digits")?);
    }
    Ok(String::from_utf8(bytes)?)
}

/// Bytes both ways.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection that was authenticated.
pub struct Conn {
    stream: Box<dyn Stream>,
    /// Came and was not taken yet; of no use before `at`.
    input: Vec<u8>,
    at: usize,
    /// Requests that were not sent yet.
    output: Vec<u8>,
}

impl Conn {
    /// Connects and authenticates. `ca`: what a server's certificate is verified with, PEM. Reads return after
    /// `tick` at the latest, so that the caller of [`Conn::read`] can do something else.
    ///
    /// # Errors
    /// When either fails.
    pub fn open(uri: &Uri, ca: Option<&Path>, tick: Duration) -> anyhow::Result<Conn> {
        Self::enter(uri, ca, tick).with_context(|| format!("{} cannot be entered", uri.shown()))
    }

    fn enter(uri: &Uri, ca: Option<&Path>, tick: Duration) -> anyhow::Result<Conn> {
        let mut failure = None;
        let tcp = (uri.host.as_str(), uri.port)
            .to_socket_addrs()?
            .find_map(|addr| {
                TcpStream::connect_timeout(&addr, PATIENCE)
                    .map_err(|e| failure = Some(e))
                    .ok()
            });
        let tcp = match (tcp, failure) {
            (Some(tcp), _) => tcp,
            (None, Some(e)) => return Err(e.into()),
            (None, None) => bail!("the host has no address"),
        };
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(tick))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let stream: Box<dyn Stream> = if uri.tls {
            let ca = ca.context("TLS needs --ca FILE, to verify the server with")?;
            let mut roots = rustls::RootCertStore::empty();
            for root in tls::files::certificates(ca)? {
                roots.add(root)?;
            }
            let config = rustls::ClientConfig::builder_with_provider(tls::provider())
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            let name = ServerName::try_from(uri.host.clone())?;
            let session = rustls::ClientConnection::new(Arc::new(config), name)?;
            Box::new(rustls::StreamOwned::new(session, tcp))
        } else {
            Box::new(tcp)
        };
        let mut conn = Conn {
            stream,
            input: Vec::new(),
            at: 0,
            output: Vec::new(),
        };
        if !uri.password.is_empty() {
            let mut words: Vec<&[u8]> = vec![b"AUTH"];
            if !uri.user.is_empty() {
                words.push(uri.user.as_bytes());
            }
            words.push(uri.password.as_bytes());
            conn.ask(&words).context("AUTH")?;
        }
        conn.ask(&[b"PING"]).context("PING")?;
        Ok(conn)
    }

    /// Appends a request to what the next [`Conn::send`] sends.
    pub fn queue(&mut self, words: &[&[u8]]) {
        put_request(&mut self.output, words);
    }

    /// Bytes queued.
    pub fn queued(&self) -> usize {
        self.output.len()
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self) -> anyhow::Result<()> {
        let output = std::mem::take(&mut self.output);
        self.send_bytes(&output)?;
        self.output = output;
        self.output.clear();
        Ok(())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()?;
        Ok(())
    }

    /// The next reply, an error too.
    ///
    /// # Errors
    /// When none comes.
    pub fn reply(&mut self) -> anyhow::Result<Value> {
        let mut since = Instant::now();
        loop {
            if let Some((value, taken)) = parse_value(self.buffered())? {
                self.take(taken);
                return Ok(value);
            }
            if self.read_more()? {
                since = Instant::now();
            }
            ensure!(since.elapsed() < PATIENCE, "no answer within {PATIENCE:?}");
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When it is an error, or does not come.
    pub fn ask(&mut self, words: &[&[u8]]) -> anyhow::Result<Value> {
        self.queue(words);
        self.send()?;
        match self.reply()? {
            Value::Error(text) => bail!(text),
            value => Ok(value),
        }
    }

    /// What INFO says under a name.
    ///
    /// # Errors
    /// When INFO is not answered.
    pub fn info(&mut self, section: &str, name: &str) -> anyhow::Result<Option<String>> {
        let answer = self.ask(&[b"INFO", section.as_bytes()])?;
        let text = String::from_utf8_lossy(answer.as_bytes().unwrap_or_default()).into_owned();
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.map(|value| value.trim().to_string()))
    }

    /// The databases that hold keys: number, how many keys, how many of them expire.
    ///
    /// # Errors
    /// When INFO is not answered.
    pub fn databases(&mut self) -> anyhow::Result<Vec<(u32, u64, u64)>> {
        let answer = self.ask(&[b"INFO", b"keyspace"])?;
        let text = String::from_utf8_lossy(answer.as_bytes().unwrap_or_default()).into_owned();
        let database = |line: &str| {
            let (name, facts) = line.trim().split_once(':')?;
            let fact = |name: &str| {
                let mut facts = facts.split(',');
                let fact = facts.find_map(|f| f.strip_prefix(name)?.strip_prefix('='))?;
                fact.parse::<u64>().ok()
            };
            let db = name.strip_prefix("db")?.parse().ok()?;
            Some((db, fact("keys")?, fact("expires")?))
        };
        Ok(text.lines().filter_map(database).collect())
    }

    /// What came and was not taken.
    pub fn buffered(&self) -> &[u8] {
        &self.input[self.at..]
    }

    /// Takes bytes off the front of what came.
    pub fn take(&mut self, count: usize) {
        self.at += count;
        if self.at == self.input.len() {
            self.input.clear();
            self.at = 0;
            self.input.shrink_to(CHUNK);
        }
    }

    /// Waits for bytes, at most a tick; whether some came.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn read_more(&mut self) -> anyhow::Result<bool> {
        if self.at > CHUNK {
            self.input.drain(..self.at);
            self.at = 0;
        }
        let from = self.input.len();
        self.input.resize(from + CHUNK, 0);
        let read = self.stream.read(&mut self.input[from..]);
        self.input.truncate(from + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => bail!("the server closed the connection"),
            Ok(_) => Ok(true),
            Err(e) if is_tick(&e) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

/// Whether a read returned only because its time was over.
fn is_tick(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

/// The service that data are carried into or out of.
#[derive(Debug, clap::Args)]
pub struct Service {
    /// The service; without it, the one of --dir
    #[arg(long, value_name = "URI", env = "PONTOON_URI", hide_env_values = true)]
    service: Option<String>,
    /// The CA that its certificate is verified with, PEM
    #[arg(long, value_name = "FILE", env = "PONTOON_CA")]
    ca: Option<PathBuf>,
    /// The folder of a cluster of `pontoon dev`, which says both
    #[arg(long, value_name = "DIR", conflicts_with_all = ["service", "ca"])]
    dir: Option<PathBuf>,
}

impl Service {
    /// Where the service is.
    ///
    /// # Errors
    /// When the options do not say, or what they name cannot be read.
    pub fn place(&self) -> anyhow::Result<(Uri, Option<PathBuf>)> {
        if let Some(uri) = &self.service {
            return Ok((Uri::parse(uri).context("--service")?, self.ca.clone()));
        }
        let dir = self.dir.clone();
        let dir = dir.context(
            "give --service URI and --ca FILE, or --dir DIR of a cluster of `pontoon dev`",
        )?;
        let path = dir.join("service.json");
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let service: serde_json::Value = serde_json::from_slice(&text)?;
        let field = |name: &str| {
            let text = service[name].as_str().map(str::to_string);
            text.with_context(|| format!("{} has no {name}", path.display()))
        };
        Ok((Uri::parse(&field("uri")?)?, Some(field("ca")?.into())))
    }

    /// A connection to it.
    ///
    /// # Errors
    /// When it cannot be entered.
    pub fn open(&self) -> anyhow::Result<Conn> {
        let (uri, ca) = self.place()?;
        Conn::open(&uri, ca.as_deref(), Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::Uri;

    #[test]
    fn uris_are_read() {
        let uri = Uri::parse("rediss://default:p%40ss%3a@db.example:7000/0").unwrap();
        assert_eq!((uri.tls, uri.port), (true, 7000));
        assert_eq!((&*uri.user, &*uri.password), ("default", "p@ss:"));
        assert_eq!(uri.shown(), "rediss://db.example:7000");
        let uri = Uri::parse("redis://[::1]").unwrap();
        assert_eq!((&*uri.host, uri.port, uri.tls), ("::1", 6379, false));
        assert_eq!(Uri::parse("redis://:pw@h").unwrap().password, "pw");
        for wrong in ["h:1", "redis://", "redis://h:port", "redis://a:%4@h"] {
            assert!(Uri::parse(wrong).is_err(), "{wrong}");
        }
    }
}
