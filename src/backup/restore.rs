//! Makes a node's disk from an archive: the newest base before the target, and the log from there up to it.
//!
//! Always: every part is held against its manifest before it is opened; what is made is marked as a node last of all.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::mpsc::sync_channel;

use super::manifest::{Kind, Manifest};
use super::{Error, Vault, part, plain};
use crate::log::{Entry, Id};
use crate::raft::recovery::{found, shift_after, time_of};
use crate::raft::types::{Member, NodeId};

/// How far a restore goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// All that the archive has.
    Newest,
    /// Up to that log index.
    Index(u64),
    /// Up to that service time, Unix milliseconds: entries of that millisecond included.
    Time(u64),
}

/// Bytes of parts, as stored, for which one entry shifts the keys' expiry: what one changes is in memory at once.
const SHIFT_LEN: u64 = 4 * 1024 * 1024;
/// Such entries, at most.
const SHIFTS_MAX: u64 = 256;

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The last entry.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// Its service time, Unix milliseconds.
    pub time_ms: u64,
    /// The last entry of the base that it begins with.
    pub base: u64,
    /// By how much later keys expire than they did, where that was asked for, milliseconds.
    pub shifted_ms: Option<u64>,
}

/// Restores the archive to `target` as the disk of node `id`, in the new folder `data_dir`, the only voter of `cluster`. Keys expire
/// when they did, or, where `shift_expiry` is given, with as much time left as they had at the target.
///
/// # Errors
/// When the archive does not reach the target, a part is not what was written, or the disk fails.
pub async fn restore(
    vault: &Vault,
    (target, shift_expiry): (Target, bool),
    data_dir: &Path,
    node: (NodeId, Member),
    cluster: &str,
) -> Result<Restored, Error> {
    let chain = vault.chain(0).await?;
    let within = |m: &&Manifest| match target {
        Target::Newest => true,
        Target::Index(index) => m.part.last.index <= index,
        Target::Time(time) => m.part.last_time_ms <= time,
    };
    let bases = chain.iter().filter(|m| m.part.kind == Kind::Base);
    let base = bases.filter(within).max_by_key(|m| m.part.last.index);
    let Some(base) = base else {
        let first = chain.iter().find(|m| m.part.kind == Kind::Base);
        return Err(Error::Reach(match first {
            Some(m) => format!(
                "the oldest base ends at log index {} and time {}: nothing before it can be restored",
                m.part.last.index, m.part.last_time_ms
            ),
            None => "the archive has no base".into(),
        }));
    };
    let end = chain.iter().map(|m| m.part.last.index).max().unwrap_or(0);
    if let Target::Index(index) = target
        && index > end
    {
        return Err(Error::Reach(format!(
            "the archive ends at log index {end}, before {index}"
        )));
    }
    std::fs::create_dir_all(data_dir).map_err(|e| Error::Io(data_dir.display().to_string(), e))?;
    let scratch =
        tempfile::tempdir_in(data_dir).map_err(|e| Error::Io(data_dir.display().to_string(), e))?;
    let sealed = scratch.path().join("sealed");
    let unpacked = scratch.path().join("base");

    unpack(vault, base, &chain, &sealed, &unpacked).await?;

    // Entries go from the archive to the log as they are opened; the log is written on a thread of its own.
    let at = Id {
        term: base.part.last.term,
        index: base.part.last.index,
    };
    let (out, entries) = sync_channel::<anyhow::Result<Entry>>(1024);
    let (dir, cluster) = (data_dir.to_path_buf(), cluster.to_string());
    let making = tokio::task::spawn_blocking(move || {
        found(&dir, &unpacked, at, entries.into_iter(), node, &cluster)
    });
    let mut last = Restored {
        index: at.index,
        term: at.term,
        time_ms: base.part.last_time_ms,
        base: at.index,
        shifted_ms: None,
    };
    let mut stored = base.part.len;
    let logs = chain
        .iter()
        .filter(|m| m.part.kind == Kind::Log && m.part.last.index > at.index);
    let (mut failed, mut stopped) = (None, false);
    for log in logs {
        let beyond = match target {
            Target::Newest => false,
            Target::Index(index) => log.part.first.index > index,
            // Time never goes back from one entry to the next.
            Target::Time(time) => last.time_ms > time,
        };
        if beyond {
            stopped = true;
            break;
        }
        if log.part.first.index > last.index + 1 {
            // What is in between is in no part.
            break;
        }
        stored += log.part.len;
        if let Err(error) = vault.fetch(&log.part, &chain, &sealed).await {
            failed = Some(error);
            break;
        }
        let (key, name, from) = (vault.key.clone(), log.part.name.clone(), sealed.clone());
        let (out, mut so_far) = (out.clone(), last.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut stopped = false;
            let io = |e| Error::Io(name.clone(), e);
            opened(&key, &name, &from, |part| {
                while let Some(entry) = plain::read_entry(part).map_err(io)? {
                    let time = time_of(&entry).map_err(|e| Error::Content(e.to_string()))?;
                    let time = time.unwrap_or(so_far.time_ms);
                    let beyond = match target {
                        Target::Newest => false,
                        Target::Index(index) => entry.id.index > index,
                        Target::Time(limit) => time > limit,
                    };
                    if beyond {
                        // The rest is read, so that all of the part is authenticated.
                        std::io::copy(part, &mut std::io::sink()).map_err(io)?;
                        stopped = true;
                        break;
                    }
                    // A standby's base may end within a part.
                    if entry.id.index <= so_far.index {
                        continue;
                    }
                    (so_far.index, so_far.term, so_far.time_ms) =
                        (entry.id.index, entry.id.term, time);
                    if out.send(Ok(entry)).is_err() {
                        break;
                    }
                }
                Ok(())
            })?;
            Ok::<_, Error>((so_far, stopped))
        });
        match read.await.map_err(|e| Error::Content(e.to_string()))? {
            Ok((so_far, beyond)) => {
                last = so_far;
                stopped |= beyond;
                if stopped {
                    break;
                }
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let reached = match target {
        Target::Index(index) => last.index == index,
        Target::Newest | Target::Time(_) => stopped || last.index >= end,
    };
    if failed.is_none() && !reached {
        let later = chain.iter().filter(|m| m.part.last.index > last.index);
        let next = later.min_by_key(|m| m.part.first.index).map(|m| &m.part);
        failed = Some(Error::Reach(format!(
            "the archive lacks the log behind index {} and time {}, up to index {}: nothing in between can be restored",
            last.index,
            super::stamp(last.time_ms),
            next.map_or(end, |part| part.first.index)
        )));
    }
    if let Some(error) = failed {
        // Whoever writes the log hears of it, and marks nothing as a node.
        let why = anyhow::anyhow!("{error}");
        let _ = tokio::task::spawn_blocking(move || out.send(Err(why))).await;
        let _ = making.await;
        return Err(error);
    }
    if shift_expiry {
        let now_ms = std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_millis());
        let by_ms = u64::try_from(now_ms)
            .unwrap_or(0)
            .saturating_sub(last.time_ms);
        last.shifted_ms = Some(by_ms);
        let mut end = Id {
            term: last.term,
            index: last.index,
        };
        let of = (stored / SHIFT_LEN).clamp(1, SHIFTS_MAX);
        let shifts = (0..of).map(move |slice| {
            let entry = shift_after(end, by_ms, (slice, of));
            end = entry.id;
            entry
        });
        // Where nobody takes them the log failed, and says so below.
        let sent = tokio::task::spawn_blocking(move || {
            for entry in shifts {
                if out.send(Ok(entry)).is_err() {
                    break;
                }
            }
        });
        sent.await.map_err(|e| Error::Content(e.to_string()))?;
    } else {
        drop(out);
    }
    let made = making.await.map_err(|e| Error::Content(e.to_string()))?;
    made.map_err(|e| Error::Content(format!("{e:#}")))?;
    Ok(last)
}

/// Brings the checkpoint of a base into the folder `to`, by way of the file `sealed`.
pub(super) async fn unpack(
    vault: &Vault,
    base: &Manifest,
    chain: &[Manifest],
    sealed: &Path,
    to: &Path,
) -> Result<(), Error> {
    vault.fetch(&base.part, chain, sealed).await?;
    let (key, name) = (vault.key.clone(), base.part.name.clone());
    let (from, to) = (sealed.to_path_buf(), to.to_path_buf());
    let done = tokio::task::spawn_blocking(move || {
        opened(&key, &name, &from, |plain| {
            plain::unpack(&mut *plain, &to).map_err(|e| Error::Io(name.clone(), e))
        })
    });
    done.await.map_err(|e| Error::Content(e.to_string()))?
}

/// Opens a sealed part and gives its plain content to `take`, which reads all of it.
fn opened(
    key: &super::key::DataKey,
    name: &str,
    sealed: &Path,
    take: impl FnOnce(&mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let io = |e| Error::Io(name.to_string(), e);
    let (mut plain, out) = std::io::pipe().map_err(io)?;
    let from = BufReader::new(File::open(sealed).map_err(io)?);
    std::thread::scope(|scope| {
        let opening = scope.spawn(move || part::open(key, name, from, out));
        let taken = take(&mut plain);
        // Where nothing is read any more the other side fails to write, which is not the cause.
        drop(plain);
        let opened = opening
            .join()
            .unwrap_or_else(|_| Err(Error::Content(format!("{name} could not be opened"))));
        match (opened, taken) {
            (Err(error @ (Error::Tampered(_) | Error::Truncated(_))), _) => Err(error),
            (_, Err(error)) => Err(error),
            (opened, Ok(())) => opened,
        }
    })
}
