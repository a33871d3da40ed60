//! Debian's `redis-server` as the other side: TLS alone, a log that is synced before each answer.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::client::{Client, Target, tls_config};
use super::process::Process;
use crate::cli::{certs, dev};

/// The program, unless another is named.
pub const PROGRAM: &str = "redis-server";

/// How long it may take to answer, or to finish rewriting its log.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One server that runs.
pub struct Redis {
    dir: PathBuf,
    port: u16,
    target: Target,
    process: Process,
}

impl Redis {
    /// Starts one in `dir`, which gets certificates of the kind that Pontoon has, and waits until it answers. With
    /// `primary`, it is an asynchronous replica of that one and keeps no log itself, which costs the primary least.
    ///
    /// # Errors
    /// When it does not.
    pub async fn start(
        program: &Path,
        dir: &Path,
        primary: Option<&Redis>,
    ) -> anyhow::Result<Redis> {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let tls_dir = primary.map_or(dir, |p| p.dir.as_path());
        certs::complete(tls_dir, "bench", &[], &[], certs::Renew::Ending)?;
        let password = certs::password(tls_dir)?;
        let port = dev::free_ports(1)?[0];
        let text = settings(dir, tls_dir, port, &password, primary.map(|p| p.port));
        dev::replace(&dir.join("redis.conf"), text.as_bytes(), false)?;
        let target = Target {
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            tls: tls_config(&tls_dir.join("ca.pem"))?,
            password,
        };
        let process = begin(program, dir)?;
        let mut redis = Redis {
            dir: dir.to_path_buf(),
            port,
            target,
            process,
        };
        redis.answers().await?;
        if primary.is_some() {
            redis
                .until("it has its primary's data", |field| {
                    (field == "master_link_status").then_some("up")
                })
                .await?;
        }
        Ok(redis)
    }

    /// How to reach it.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// kill -9, and the same server again on the same folder. Does not wait until it answers.
    ///
    /// # Errors
    /// When it cannot be begun.
    pub fn restart(&mut self, program: &Path) -> anyhow::Result<()> {
        self.process.kill();
        self.process = begin(program, &self.dir)?;
        Ok(())
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its version.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn version(&self) -> anyhow::Result<String> {
        let mut client = Client::connect(&self.target).await?;
        let version = client.info("redis_version").await?;
        Ok(version.unwrap_or_else(|| "unknown".into()))
    }

    /// Waits until nothing goes on in the background.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn settled(&mut self) -> anyhow::Result<()> {
        self.until("it rewrote its log", |field| {
            ["aof_rewrite_in_progress", "aof_rewrite_scheduled"]
                .contains(&field)
                .then_some("0")
        })
        .await
    }

    async fn answers(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            self.process.check()?;
            let answered = async { Client::connect(&self.target).await?.ask(&[b"PING"]).await };
            match answered.await {
                Ok(_) => return Ok(()),
                Err(why) if began.elapsed() > PATIENCE => {
                    return Err(why.context("redis-server does not answer"));
                }
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Waits until every field of INFO for which `wanted` has a value has that value.
    async fn until(
        &mut self,
        what: &str,
        wanted: impl Fn(&str) -> Option<&'static str>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut client = Client::connect(&self.target).await?;
        loop {
            self.process.check()?;
            let answer = client.ask(&[b"INFO"]).await?;
            let text = String::from_utf8_lossy(answer.as_bytes().unwrap_or_default()).into_owned();
            let fits = text
                .lines()
                .filter_map(|l| l.trim().split_once(':'))
                .filter_map(|(field, value)| Some(wanted(field)? == value))
                .collect::<Vec<bool>>();
            ensure!(
                !fits.is_empty(),
                "redis-server's INFO cannot tell whether {what}"
            );
            if fits.iter().all(|f| *f) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                bail!(
                    "redis-server: not after {} s that {what}",
                    PATIENCE.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn begin(program: &Path, dir: &Path) -> anyhow::Result<Process> {
    let args = [dir.join("redis.conf").display().to_string()];
    Process::begin("redis-server", program, &args, &dir.join("printed")).with_context(|| {
        "the other side is Debian's redis-server: install it (apt install redis-server) or give --redis-server PATH"
    })
}

/// The configuration. What is not in it is as Redis has it: io-threads and the rewriting of the log among them.
fn settings(dir: &Path, tls_dir: &Path, port: u16, password: &str, primary: Option<u16>) -> String {
    let (dir, tls) = (dir.display(), tls_dir.display());
    let mut text = format!(
        "bind 127.0.0.1\nport 0\ntls-port {port}\ndaemonize no\ndir \"{dir}\"\n\
         tls-cert-file \"{tls}/server.pem\"\ntls-key-file \"{tls}/server.key\"\n\
         tls-ca-cert-file \"{tls}/ca.pem\"\ntls-auth-clients no\ntls-replication yes\n\
         requirepass {password}\nsave \"\"\nmaxclients 12000\n"
    );
    text.push_str(&match primary {
        None => "appendonly yes\nappendfsync always\n".to_string(),
        Some(primary) => {
            format!("appendonly no\nreplicaof 127.0.0.1 {primary}\nmasterauth {password}\n")
        }
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_syncs_always_and_a_replica_keeps_no_log() {
        let dir = Path::new("/d");
        let primary = settings(dir, dir, 1234, "pw", None);
        assert!(primary.contains("appendonly yes\nappendfsync always\n"));
        assert!(primary.contains("\nport 0\ntls-port 1234\n"));
        let replica = settings(dir, dir, 1235, "pw", Some(1234));
        assert!(replica.contains("replicaof 127.0.0.1 1234\n"));
        assert!(!replica.contains("appendfsync"));
    }
}
