//! Snapshots as directories, streamed file by file.
//!
//! The sender reads a checkpoint (a flat directory of regular files that do not change); the receiver
//! writes a fresh directory. What the receiver hands on is complete: every length and checksum
//! agreed, each file and the directory itself is synced. Anything less is removed again. Names are
//! plain: nothing is written outside the directory. Nothing is allocated for a declared length.

use crate::base::gently::Gently;
use crate::base::{limits, remains, work};
use crate::proto::{FileEnd, FileStart, SnapshotChunk, SnapshotEnd, snapshot_chunk::Part};
use bytes::Bytes;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::Xxh3Default;

/// What is wrong with a snapshot or its stream.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A name that could lead out of the directory, or is not a plain file's.
    #[error(
        "{0:?} cannot be in a snapshot: a plain file is needed whose name is 1 to 200 of A-Z a-z 0-9 . _ - and begins with no dot"
    )]
    Name(String),
    /// A part arrived where it does not belong.
    #[error("the snapshot's stream is out of order: {0}")]
    Order(&'static str),
    /// A file is not as long as it was said to be.
    #[error("{name}: {found} bytes, and {declared} were declared")]
    Length {
        /// The file.
        name: String,
        /// As declared.
        declared: u64,
        /// As found.
        found: u64,
    },
    /// A file's bytes are not those that were sent.
    #[error("{name}: its checksum is {found:016x}, and {declared:016x} was declared")]
    Checksum {
        /// The file.
        name: String,
        /// As declared.
        declared: u64,
        /// As found.
        found: u64,
    },
    /// Too many files.
    #[error("more than {} files", limits::SNAPSHOT_FILES_MAX)]
    TooMany,
    /// The end does not agree with what came.
    #[error("the end declares {files} files of {bytes} bytes; {got_files} of {got_bytes} came")]
    Total {
        /// As declared.
        files: u32,
        /// As declared.
        bytes: u64,
        /// As received.
        got_files: u32,
        /// As received.
        got_bytes: u64,
    },
    /// The directory is not what it was when it was made.
    #[error("{0}")]
    Damaged(String),
    /// The stream ended early: the sender gave up or its connection broke.
    #[error("the snapshot's stream ended before it was complete")]
    Ended,
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    |source| Error::Io {
        path: path.to_owned(),
        source,
    }
}

/// Reads a snapshot; fails with what is wrong with it. Blocks.
type Check = Box<dyn Fn(&Path) -> Result<(), String> + Send + Sync>;

/// A directory that holds a snapshot: Raft's `SnapshotData`.
pub struct SnapshotDir {
    path: PathBuf,
    /// Removed with this value.
    temporary: bool,
    /// Says before it is sent what is wrong with it.
    check: Option<Check>,
}

impl SnapshotDir {
    /// A directory that stays.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            temporary: false,
            check: None,
        }
    }

    /// A directory that stays, and is read by `check` before it is sent.
    pub fn checked(
        path: PathBuf,
        check: impl Fn(&Path) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let mut dir = Self::at(path);
        dir.check = Some(Box::new(check));
        dir
    }

    /// A directory that is removed when this value is dropped, unless [`SnapshotDir::keep`] is called.
    pub fn temporary(path: PathBuf) -> Self {
        Self {
            path,
            temporary: true,
            check: None,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the directory over: it is no longer removed. Rename it to where it shall stay.
    pub fn keep(mut self) -> PathBuf {
        self.temporary = false;
        self.path.clone()
    }
}

impl Drop for SnapshotDir {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = remains::remove_dir_all(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "a temporary snapshot stays behind");
        }
    }
}

impl std::fmt::Debug for SnapshotDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotDir({})", self.path.display())
    }
}

/// How far a transfer is. Shared with whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Bytes sent, or received and written.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes that there are, as far as known: the sender knows from the start, the receiver file by
    /// file.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

/// Whether a name can stand in a snapshot.
fn plain(name: &str) -> bool {
    (1..=200).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The files of a snapshot with their lengths, by name.
pub fn list(dir: &Path) -> Result<Vec<(String, u64)>, Error> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let meta = std::fs::symlink_metadata(entry.path()).map_err(at(&entry.path()))?;
        if !plain(&name) || !meta.is_file() {
            return Err(Error::Name(name));
        }
        if files.len() == limits::SNAPSHOT_FILES_MAX {
            return Err(Error::TooMany);
        }
        files.push((name, meta.len()));
    }
    files.sort_unstable();
    Ok(files)
}

/// Reads one snapshot, part by part.
pub struct Sender {
    dir: SnapshotDir,
    header: Option<Bytes>,
    /// Those that are still to be sent.
    files: VecDeque<(String, u64)>,
    current: Option<Outgoing>,
    end: Option<SnapshotEnd>,
    progress: Arc<Progress>,
}

/// A file that is being sent.
struct Outgoing {
    name: String,
    path: PathBuf,
    file: File,
    length: u64,
    left: u64,
    hasher: Xxh3Default,
}

impl Sender {
    /// Sends `dir`, `header` first. Reads the directory, the whole of it where it is to be checked.
    pub fn of(dir: SnapshotDir, header: Bytes, progress: Arc<Progress>) -> Result<Self, Error> {
        if let Some(check) = &dir.check {
            check(dir.path()).map_err(Error::Damaged)?;
        }
        let files = list(dir.path())?;
        let bytes: u64 = files.iter().map(|(_, length)| length).sum();
        progress.total.store(bytes, Ordering::Relaxed);
        let end = SnapshotEnd {
            files: files.len() as u32,
            bytes,
        };
        Ok(Self {
            dir,
            header: Some(header),
            files: files.into(),
            current: None,
            end: Some(end),
            progress,
        })
    }

    /// Sends what a witness gets of a snapshot: that there is one, and no file.
    pub fn marker(dir: SnapshotDir, header: Bytes) -> Self {
        Self {
            dir,
            header: Some(header),
            files: VecDeque::new(),
            current: None,
            end: Some(SnapshotEnd { files: 0, bytes: 0 }),
            progress: Arc::default(),
        }
    }

    /// The next part; none after the last. Blocks on the disk.
    pub fn read(&mut self) -> Result<Option<SnapshotChunk>, Error> {
        let part = match (self.header.take(), &mut self.current) {
            (Some(header), _) => Some(Part::Header(header)),
            (None, Some(file)) if file.left > 0 => Some(Part::Data(file.read(&self.progress)?)),
            (None, Some(file)) => {
                let xxh3 = file.hasher.digest();
                self.current = None;
                Some(Part::FileEnd(FileEnd { xxh3 }))
            }
            (None, None) => match self.files.pop_front() {
                Some((name, length)) => {
                    let path = self.dir.path().join(&name);
                    let file = File::open(&path).map_err(at(&path))?;
                    self.current = Some(Outgoing {
                        name: name.clone(),
                        path,
                        file,
                        length,
                        left: length,
                        hasher: Xxh3Default::new(),
                    });
                    Some(Part::File(FileStart { name, length }))
                }
                None => self.end.take().map(Part::End),
            },
        };
        Ok(part.map(|part| SnapshotChunk { part: Some(part) }))
    }
}

impl Outgoing {
    fn read(&mut self, progress: &Progress) -> Result<Bytes, Error> {
        let mut chunk = vec![0; self.left.min(limits::SNAPSHOT_CHUNK_LEN as u64) as usize];
        let got = self.file.read(&mut chunk).map_err(at(&self.path))?;
        if got == 0 {
            return Err(Error::Length {
                name: self.name.clone(),
                declared: self.length,
                found: self.length - self.left,
            });
        }
        chunk.truncate(got);
        self.hasher.update(&chunk);
        self.left -= got as u64;
        progress.bytes.fetch_add(got as u64, Ordering::Relaxed);
        Ok(chunk.into())
    }
}

/// Reads and sends what `begin` makes, until [`Error::Ended`]: the receiver of `out` was dropped, which is how a transfer
/// is cancelled.
pub async fn send(
    begin: impl FnOnce() -> Result<Sender, Error> + Send + 'static,
    out: mpsc::Sender<SnapshotChunk>,
) -> Result<(), Error> {
    let gone = |_| Error::Ended;
    let (began, mut sent) = (Instant::now(), 0u64);
    let mut sender = work::blocking(begin).await.map_err(gone)??;
    loop {
        let read = work::blocking(move || sender.read().map(|part| (part, sender)));
        let (part, back) = read.await.map_err(gone)??;
        let Some(part) = part else {
            return Ok(());
        };
        if let Some(Part::Data(data)) = &part.part {
            sent += data.len() as u64;
        }
        out.send(part).await.map_err(|_| Error::Ended)?;
        // Bounded in its rate, so that entries and clients have the disk and the network too.
        let due = Duration::from_secs_f64(sent as f64 / limits::SNAPSHOT_RATE_MAX as f64);
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        sender = back;
    }
}

/// A file that is being received.
struct Incoming {
    name: String,
    path: PathBuf,
    file: Gently,
    length: u64,
    written: u64,
    hasher: Xxh3Default,
}

/// Writes one snapshot, part by part. Dropped before [`Receiver::finish`], it leaves nothing behind.
pub struct Receiver {
    dir: SnapshotDir,
    current: Option<Incoming>,
    files: u32,
    bytes: u64,
    ended: bool,
    progress: Arc<Progress>,
}

impl Receiver {
    /// Makes the fresh directory `path`, which must not exist.
    pub fn create(path: PathBuf, progress: Arc<Progress>) -> Result<Self, Error> {
        std::fs::create_dir(&path).map_err(at(&path))?;
        let dir = SnapshotDir::temporary(path);
        Ok(Self {
            dir,
            current: None,
            files: 0,
            bytes: 0,
            ended: false,
            progress,
        })
    }

    /// Takes the next part; the header is the caller's and comes before. Blocks on the disk.
    pub fn take(&mut self, part: Part) -> Result<(), Error> {
        if self.ended {
            return Err(Error::Order("something follows the end"));
        }
        match part {
            Part::Header(_) => Err(Error::Order("a second header")),
            Part::File(start) => self.start(start),
            Part::Data(data) => self.data(&data),
            Part::FileEnd(end) => self.file_end(end),
            Part::End(end) => self.end(end),
        }
    }

    fn start(&mut self, start: FileStart) -> Result<(), Error> {
        if self.current.is_some() {
            return Err(Error::Order("a file begins within a file"));
        }
        if !plain(&start.name) {
            return Err(Error::Name(start.name));
        }
        if self.files as usize == limits::SNAPSHOT_FILES_MAX {
            return Err(Error::TooMany);
        }
        let path = self.dir.path().join(&start.name);
        // A second file of the same name is refused by `create_new`.
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(at(&path))?;
        self.progress
            .total
            .fetch_add(start.length, Ordering::Relaxed);
        self.current = Some(Incoming {
            name: start.name,
            path,
            // All at the end would hold up whoever else syncs on that disk, a log above all.
            file: Gently::new(file, limits::SNAPSHOT_SYNC_LEN),
            length: start.length,
            written: 0,
            hasher: Xxh3Default::new(),
        });
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<(), Error> {
        let file = self
            .current
            .as_mut()
            .ok_or(Error::Order("data outside of a file"))?;
        let found = file.written.saturating_add(data.len() as u64);
        if found > file.length {
            return Err(Error::Length {
                name: file.name.clone(),
                declared: file.length,
                found,
            });
        }
        file.file.write_all(data).map_err(at(&file.path))?;
        file.hasher.update(data);
        file.written = found;
        self.progress
            .bytes
            .fetch_add(data.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn file_end(&mut self, end: FileEnd) -> Result<(), Error> {
        let file = self
            .current
            .take()
            .ok_or(Error::Order("a file ends that never began"))?;
        if file.written != file.length {
            let (name, declared, found) = (file.name, file.length, file.written);
            return Err(Error::Length {
                name,
                declared,
                found,
            });
        }
        let found = file.hasher.digest();
        if found != end.xxh3 {
            return Err(Error::Checksum {
                name: file.name,
                declared: end.xxh3,
                found,
            });
        }
        file.file.sync_all().map_err(at(&file.path))?;
        self.files += 1;
        self.bytes += file.length;
        Ok(())
    }

    fn end(&mut self, end: SnapshotEnd) -> Result<(), Error> {
        if self.current.is_some() {
            return Err(Error::Order("the snapshot ends within a file"));
        }
        if (end.files, end.bytes) != (self.files, self.bytes) {
            let (files, bytes) = (end.files, end.bytes);
            return Err(Error::Total {
                files,
                bytes,
                got_files: self.files,
                got_bytes: self.bytes,
            });
        }
        self.ended = true;
        Ok(())
    }

    /// The complete snapshot, durable. [`Error::Ended`] if its end has not come.
    pub fn finish(self) -> Result<SnapshotDir, Error> {
        if !self.ended {
            return Err(Error::Ended);
        }
        sync_dir(self.dir.path())?;
        if let Some(parent) = self.dir.path().parent() {
            sync_dir(parent)?;
        }
        Ok(self.dir)
    }
}

/// Makes the names in a directory durable.
fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(at(dir))
}

/// Makes `dir` if needed and removes what transfers that a crash cut off left in it.
pub fn clear(dir: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(dir).map_err(at(dir))?;
    for entry in std::fs::read_dir(dir).map_err(at(dir))? {
        let path = entry.map_err(at(dir))?.path();
        let removed = match path.is_dir() {
            true => remains::remove_dir_all(&path),
            false => remains::remove_file(&path),
        };
        removed.map_err(at(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a directory as they are sent, the header first.
    fn parts_of(dir: &Path) -> Vec<Part> {
        let progress = Arc::<Progress>::default();
        let dir = SnapshotDir::at(dir.to_owned());
        let mut sender = Sender::of(dir, Bytes::from_static(b"head"), progress.clone()).unwrap();
        let parts = std::iter::from_fn(|| sender.read().unwrap())
            .map(|chunk| chunk.part.unwrap())
            .collect();
        assert_eq!(progress.bytes(), progress.total());
        parts
    }

    fn source() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let big: Vec<u8> = (0..limits::SNAPSHOT_CHUNK_LEN * 2 + 5)
            .map(|i| (i % 251) as u8)
            .collect();
        std::fs::write(dir.path().join("000012.sst"), big).unwrap();
        std::fs::write(dir.path().join("CURRENT"), b"MANIFEST-1\n").unwrap();
        std::fs::write(dir.path().join("EMPTY"), b"").unwrap();
        dir
    }

    fn receive(parts: &[Part], into: &Path) -> Result<SnapshotDir, Error> {
        let mut receiver = Receiver::create(into.to_owned(), Arc::default())?;
        for part in &parts[1..] {
            receiver.take(part.clone())?;
        }
        receiver.finish()
    }

    #[test]
    fn a_directory_arrives_as_it_was() {
        let (from, to) = (source(), tempfile::tempdir().unwrap());
        let parts = parts_of(from.path());
        assert!(matches!(&parts[0], Part::Header(h) if h == "head"));
        let received = receive(&parts, &to.path().join("in")).unwrap();
        assert_eq!(list(received.path()).unwrap(), list(from.path()).unwrap());
        for (name, _) in list(from.path()).unwrap() {
            let (a, b) = (from.path().join(&name), received.path().join(&name));
            assert_eq!(
                std::fs::read(a).unwrap(),
                std::fs::read(b).unwrap(),
                "{name}"
            );
        }
        let path = received.keep();
        assert!(path.join("CURRENT").exists(), "a kept directory stays");
    }

    #[test]
    fn nothing_is_sent_of_what_does_not_pass_its_check() {
        let from = source();
        let checked = |check: Result<(), String>| {
            let dir = SnapshotDir::checked(from.path().into(), move |_| check.clone());
            Sender::of(dir, Bytes::new(), Arc::default()).map(drop)
        };
        checked(Ok(())).unwrap();
        let refused = checked(Err("a row was changed".into())).unwrap_err();
        assert_eq!(refused.to_string(), "a row was changed");
    }

    #[test]
    fn what_is_damaged_or_incomplete_is_refused_and_removed() {
        let (from, to) = (source(), tempfile::tempdir().unwrap());
        let sound = parts_of(from.path());
        let into = to.path().join("in");
        let refused = |parts: &[Part]| {
            let error = receive(parts, &into).expect_err("it must be refused");
            assert!(!into.exists(), "it left something behind: {error}");
            error
        };
        let data = sound
            .iter()
            .position(|p| matches!(p, Part::Data(_)))
            .unwrap();

        let mut damaged = sound.clone();
        let Part::Data(bytes) = &damaged[data] else {
            unreachable!()
        };
        let mut flipped = bytes.to_vec();
        flipped[17] ^= 1;
        damaged[data] = Part::Data(flipped.into());
        assert!(matches!(refused(&damaged), Error::Checksum { .. }));

        let mut lost = sound.clone();
        lost.remove(data);
        assert!(matches!(refused(&lost), Error::Length { .. }));

        let mut twice = sound.clone();
        twice.insert(data, sound[data].clone());
        assert!(matches!(refused(&twice), Error::Length { .. }));

        let last = sound.len() - 1;
        for cut in 1..sound.len() {
            assert!(
                matches!(refused(&sound[..cut]), Error::Ended),
                "cut at {cut}"
            );
        }
        let mut short = sound.clone();
        short[last] = Part::End(SnapshotEnd { files: 4, bytes: 0 });
        assert!(matches!(refused(&short), Error::Total { got_files: 3, .. }));
        let mut more = sound.clone();
        more.push(sound[last].clone());
        assert!(matches!(refused(&more), Error::Order(_)));
        let mut same = sound.clone();
        same.insert(last, Part::FileEnd(FileEnd { xxh3: 0 }));
        same.insert(
            last,
            Part::File(FileStart {
                name: "CURRENT".into(),
                length: 0,
            }),
        );
        assert!(matches!(refused(&same), Error::Io { .. }));
    }

    #[test]
    fn names_stay_within_the_directory() {
        let to = tempfile::tempdir().unwrap();
        for name in [
            "",
            "..",
            ".",
            "../x",
            "/etc/x",
            "a/b",
            ".hidden",
            "a\0b",
            "ä",
            &"x".repeat(201),
        ] {
            let mut receiver = Receiver::create(to.path().join("in"), Arc::default()).unwrap();
            let start = FileStart {
                name: name.into(),
                length: u64::MAX,
            };
            assert!(
                matches!(receiver.take(Part::File(start)), Err(Error::Name(_))),
                "{name:?}"
            );
        }
        let from = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.path().join("link")).unwrap();
        assert!(
            matches!(list(from.path()), Err(Error::Name(_))),
            "a link is not followed"
        );
    }

    #[tokio::test]
    async fn a_dropped_receiver_ends_the_sender() {
        let from = source();
        let (out, parts) = mpsc::channel(1);
        drop(parts);
        let dir = SnapshotDir::at(from.path().into());
        let sent = send(|| Sender::of(dir, Bytes::new(), Arc::default()), out);
        assert!(matches!(sent.await, Err(Error::Ended)));
    }

    #[test]
    fn leftovers_are_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("incoming");
        clear(&base).unwrap();
        std::fs::create_dir(base.join("7")).unwrap();
        std::fs::write(base.join("7").join("x"), b"x").unwrap();
        std::fs::write(base.join("y"), b"y").unwrap();
        clear(&base).unwrap();
        assert_eq!(std::fs::read_dir(&base).unwrap().count(), 0);
    }
}
