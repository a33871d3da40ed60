//! Imports of a running Redis into a service: each is a `pontoon import` of its own, followed here until its cut-over.
//!
//! Always: one at a time of a service. What it carries over is written like any client's writes. It ends with the console, and
//! goes on where it stopped when it is asked for again.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;
use utoipa::ToSchema;

use super::model::{Connection, Service};
use super::{Console, Error};

/// An import that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Import {
    /// Where the data comes from, without its password.
    pub source: String,
    /// What it said last.
    pub said: String,
}

struct Job {
    import: Import,
    pid: Option<Pid>,
}

/// Those that run, by service.
#[derive(Default)]
pub struct Imports(Mutex<BTreeMap<String, Job>>);

impl Imports {
    /// The one of a service.
    pub fn of(&self, id: &str) -> Option<Import> {
        self.0.lock().get(id).map(|job| job.import.clone())
    }

    fn signal(&self, id: &str, signal: Signal) -> Result<(), Error> {
        let all = self.0.lock();
        let job = all.get(id);
        let job = job.ok_or_else(|| Error::Conflict("no import of it runs".into()))?;
        let pid = job
            .pid
            .ok_or_else(|| Error::Conflict("it ends already".into()))?;
        // Not waited for while the lock is held: the pid is its own.
        kill_process(pid, signal).map_err(|e| Error::Failed(std::io::Error::from(e).into()))
    }
}

impl Console {
    /// Begins to carry what `source` (redis:// or rediss://) holds into a service, and follows it.
    pub(super) fn import(
        self: &Arc<Self>,
        service: &Service,
        source: &str,
        replace: bool,
    ) -> Result<(), Error> {
        let id = service.id.clone();
        let shown = shown(source)?;
        let place = self.provider.place(&id)?;
        let connection = place.and_then(|p| p.connection);
        let connection =
            connection.ok_or_else(|| Error::Conflict("it has not served yet".into()))?;
        let mut all = self.imports.0.lock();
        if all.contains_key(&id) {
            return Err(Error::Conflict("an import of it runs already".into()));
        }
        let (child, ca) = begin(&connection, source, replace)?;
        let pid = child.id().and_then(|p| Pid::from_raw(p.cast_signed()));
        let import = Import {
            source: shown,
            said: "it begins".into(),
        };
        all.insert(id.clone(), Job { import, pid });
        drop(all);
        let console = self.clone();
        tokio::spawn(async move {
            let done = console.follow(&id, child).await;
            drop(ca);
            console.imports.0.lock().remove(&id);
            match done {
                Ok(text) => console.note(Some(&id), "import", &text),
                Err(error) => {
                    let text = format!("the import has ended: {error:#}");
                    console.note(Some(&id), "problem", &text);
                }
            }
            console.board.ring(&id);
        });
        Ok(())
    }

    /// Has it pause the source's writers, carry over the rest and compare.
    pub(super) fn cut_over(&self, id: &str) -> Result<(), Error> {
        self.imports.signal(id, Signal::USR1)
    }

    /// Ends it where it is.
    pub(super) fn stop_import(&self, id: &str) -> Result<(), Error> {
        self.imports.signal(id, Signal::TERM)
    }

    async fn follow(&self, id: &str, mut child: Child) -> anyhow::Result<String> {
        let errors = child.stderr.take().context("it has no output")?;
        let mut out = child.stdout.take().context("it has no output")?;
        let (mut lines, mut report) = (BufReader::new(errors).lines(), String::new());
        let listen = async {
            let mut last = String::new();
            while let Some(line) = lines.next_line().await? {
                last = line.trim_start_matches("pontoon: ").to_string();
                if let Some(job) = self.imports.0.lock().get_mut(id) {
                    job.import.said.clone_from(&last);
                }
                self.changed.send_modify(|n| *n += 1);
            }
            Ok(last)
        };
        // Both at once: who reads one alone holds up what writes much to the other.
        let (last, _) = tokio::try_join!(listen, out.read_to_string(&mut report))?;
        // From here on its pid may become another's.
        if let Some(job) = self.imports.0.lock().get_mut(id) {
            job.pid = None;
        }
        let status = child.wait().await?;
        let report: serde_json::Value = serde_json::from_str(&report).unwrap_or_default();
        let keys: u64 = report["keys"].as_object().map_or(0, |dbs| {
            dbs.values().filter_map(serde_json::Value::as_u64).sum()
        });
        let changes = &report["changes"];
        match status.code() {
            Some(0) => Ok(format!(
                "{keys} keys and {changes} changes were carried over and compared: all is there"
            )),
            Some(3) => Ok(format!(
                "{keys} keys and {changes} changes were carried over, and not all is as at the source: {} keys skipped, left out {}, differing {}",
                report["skipped"]["count"].as_u64().unwrap_or(0),
                report["left_out"],
                report["compared"]["differing"],
            )),
            _ => anyhow::bail!("{last}"),
        }
    }
}

/// The process, and the file of the service's CA that it reads.
fn begin(
    connection: &Connection,
    source: &str,
    replace: bool,
) -> Result<(Child, tempfile::NamedTempFile), Error> {
    let made = || -> anyhow::Result<_> {
        let ca = tempfile::NamedTempFile::new()?;
        std::fs::write(ca.path(), &connection.ca)?;
        let mut command = tokio::process::Command::new(std::env::current_exe()?);
        command.args(["import", "--follow", "--output=json"]);
        if replace {
            command.arg("--flush");
        }
        // Passwords are in its environment, which others do not see, and not in its arguments.
        let child = command
            .env("PONTOON_IMPORT_SOURCE", source)
            .env("PONTOON_URI", &connection.uri)
            .env("PONTOON_CA", ca.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok((child, ca))
    };
    Ok(made()?)
}

/// A source for people: without its password.
fn shown(source: &str) -> Result<String, Error> {
    let wrong = || {
        Error::Invalid("a source is redis://[user:password@]host:port, or rediss:// for TLS".into())
    };
    let mut url = url::Url::parse(source).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "redis" | "rediss") || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong());
    }
    if url.password().is_some() {
        let _ = url.set_password(Some("..."));
    }
    Ok(url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_shown_without_its_password() {
        let text = shown("redis://:secret@old:6379").unwrap();
        assert!(
            !text.contains("secret") && text.contains("old:6379"),
            "{text}"
        );
        for wrong in ["", "old:6379", "http://old", "/dump.rdb", "redis://"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }
}
