//! Tests of the log as a whole, on a disk that fails, fills up or loses power when told to.

mod crash;
mod damage;
mod limits;

use super::disk::{Disk, Os};
use super::*;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

/// A real disk, seen through: it knows what was synced and what was only written.
#[derive(Default)]
struct Seen {
    files: Mutex<HashMap<PathBuf, Image>>,
    /// Called before each write and sync of a segment, with the number of such calls so far.
    before: Mutex<Option<Before>>,
    calls: AtomicU64,
    /// Syncs of finished segments fail.
    sync_fails: AtomicBool,
    /// Making a file fails for want of space.
    full: AtomicBool,
    /// Free bytes reported; 0 stands for plenty.
    free: AtomicU64,
}

type Before = Box<dyn FnMut(u64, &HashMap<PathBuf, Image>) + Send>;

#[derive(Default, Clone)]
struct Image {
    durable: Vec<u8>,
    /// Written since the last sync: offset and bytes.
    pending: Vec<(u64, Vec<u8>)>,
}

fn apply(data: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (from, to) = (offset as usize, offset as usize + bytes.len());
    data.resize(data.len().max(to), 0);
    data[from..to].copy_from_slice(bytes);
}

/// The name that a segment has once it is made.
fn made(path: &Path) -> PathBuf {
    match path.extension().is_some_and(|e| e == "new") {
        true => path.with_extension(""),
        false => path.into(),
    }
}

impl Seen {
    fn call(&self, path: &Path) {
        if path.extension().is_some_and(|e| e == "log") {
            let n = self.calls.fetch_add(1, Ordering::SeqCst);
            if let Some(before) = &mut *self.before.lock() {
                before(n, &self.files.lock());
            }
        }
    }
}

impl Disk for Seen {
    fn write_at(&self, file: &File, path: &Path, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.call(path);
        Os.write_at(file, path, bytes, offset)?;
        self.files
            .lock()
            .entry(made(path))
            .or_default()
            .pending
            .push((offset, bytes.to_vec()));
        Ok(())
    }

    fn sync(&self, _: &File, path: &Path) -> io::Result<()> {
        self.call(path);
        if self.sync_fails.load(Ordering::SeqCst) && path.extension().is_some_and(|e| e == "log") {
            return Err(io::Error::other("the disk is broken"));
        }
        let mut files = self.files.lock();
        let image = files.entry(made(path)).or_default();
        for (offset, bytes) in std::mem::take(&mut image.pending) {
            apply(&mut image.durable, offset, &bytes);
        }
        Ok(())
    }

    fn allocate(&self, file: &File, path: &Path, len: u64) -> io::Result<()> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Os.allocate(file, path, len),
        }
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        match self.free.load(Ordering::SeqCst) {
            0 => Ok(1 << 40),
            free => Ok(free),
        }
    }
}

fn options(disk: &Arc<Seen>) -> Options {
    Options {
        segment_len: segment::LEN_MIN,
        cache_len: 8 * 1024,
        space_low: 1 << 20,
        ballast_len: 0,
        disk: disk.clone(),
        space: Arc::default(),
        on_fatal: None,
        pace: None,
    }
}

fn entry(term: u64, index: u64, len: usize) -> Entry {
    let body: Vec<u8> = (0..len)
        .map(|i| (i as u64 * 31 + index * 7 + term) as u8)
        .collect();
    Entry {
        id: Id { term, index },
        kind: (index % 3) as u8,
        body: body.into(),
    }
}

/// A callback, and where its result arrives.
fn done() -> (Done, mpsc::Receiver<io::Result<()>>) {
    let (tx, rx) = mpsc::channel();
    (Box::new(move |result| drop(tx.send(result))), rx)
}

/// Appends and waits until it is on disk.
fn append(log: &Log, entries: Vec<Entry>) {
    let (tx, rx) = done();
    log.append(entries, tx).unwrap();
    rx.recv().unwrap().unwrap();
}

fn save_vote(log: &Log, vote: &'static [u8]) {
    let (tx, rx) = done();
    log.save_vote(Bytes::from_static(vote), tx).unwrap();
    rx.recv().unwrap().unwrap();
}

fn flush(log: &Log) {
    let (tx, rx) = done();
    log.flush(tx).unwrap();
    rx.recv().unwrap().unwrap();
}

fn all(log: &Log) -> Vec<Entry> {
    log.read(0..u64::MAX, usize::MAX).unwrap()
}

/// The numbers of the segments that are there. Not by `segment::list`, which takes away the one that is being made.
fn segments(dir: &Path) -> Vec<u32> {
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let logs = names.filter(|p| p.extension().is_some_and(|e| e == "log"));
    let mut seqs: Vec<u32> = logs
        .filter_map(|p| p.file_stem()?.to_str()?.parse().ok())
        .collect();
    seqs.sort_unstable();
    seqs
}

/// Waits until `f` holds. For what the keeper does on its own thread, which reports to nobody.
fn until(what: &str, f: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !f() {
        assert!(start.elapsed().as_secs() < 20, "{what} did not come about");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn fresh() -> (tempfile::TempDir, Arc<Seen>) {
    (tempfile::tempdir().unwrap(), Arc::default())
}

#[test]
fn everything_is_there_after_reopening() {
    let (dir, disk) = fresh();
    let id = |term, index| Some(Id { term, index });
    let entries: Vec<_> = (5..300)
        .map(|i| entry(1 + i / 100, i, (i * 13 % 900) as usize))
        .collect();
    {
        let log = Log::open(dir.path(), options(&disk)).unwrap();
        assert_eq!(
            (log.last(), log.first_index(), log.vote()),
            (None, None, None)
        );
        save_vote(&log, b"first");
        for chunk in entries.chunks(7) {
            append(&log, chunk.to_vec());
        }
        save_vote(&log, b"second");
        log.save_committed(id(1, 77)).unwrap();
        assert_eq!(all(&log), entries);
        assert!(log.stats().segments > 2, "{:?}", log.stats());
    }
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    assert_eq!(all(&log), entries);
    assert_eq!(log.vote().as_deref(), Some(&b"second"[..]));
    assert_eq!(
        (log.committed(), log.last(), log.purged()),
        (id(1, 77), id(3, 299), None)
    );
    assert_eq!(log.last_of_terms(0..1000).len(), 3);
}

#[test]
fn entries_are_read_before_they_are_synced() {
    let (dir, disk) = fresh();
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    let (go, gate) = mpsc::channel::<()>();
    *disk.before.lock() = Some(Box::new(move |_, _| _ = gate.recv()));
    let (tx, rx) = done();
    log.append(vec![entry(1, 0, 10)], tx).unwrap();
    assert_eq!(all(&log), [entry(1, 0, 10)]);
    assert!(rx.try_recv().is_err(), "nothing is on disk yet");
    drop(go);
    rx.recv().unwrap().unwrap();
}

#[test]
fn what_waits_is_synced_once() {
    let (dir, disk) = fresh();
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    append(&log, vec![entry(1, 0, 10)]);
    let (go, gate) = mpsc::channel::<()>();
    *disk.before.lock() = Some(Box::new(move |_, _| _ = gate.recv()));
    let before = log.stats().syncs;
    let waits: Vec<_> = (1..=100)
        .map(|i| {
            let (tx, rx) = done();
            log.append(vec![entry(1, i, 10)], tx).unwrap();
            rx
        })
        .collect();
    drop(go);
    for rx in waits {
        rx.recv().unwrap().unwrap();
    }
    // The first is perhaps taken alone; the others wait and go together.
    assert!(
        log.stats().syncs - before <= 2,
        "{} syncs",
        log.stats().syncs - before
    );
}

#[test]
fn a_committed_hint_asks_for_no_sync() {
    let (dir, disk) = fresh();
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    append(&log, vec![entry(1, 0, 10)]);
    let before = disk.calls.load(Ordering::SeqCst);
    let hint = Some(Id { term: 1, index: 0 });
    log.save_committed(hint).unwrap();
    log.truncate(9).unwrap();
    assert_eq!(log.committed(), hint);
    append(&log, vec![]);
    // One write and one sync: of the hint and the truncation, when something else was waited for.
    assert_eq!(disk.calls.load(Ordering::SeqCst) - before, 2);
    log.close();
    drop(log);
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    assert_eq!(log.committed(), hint);
}

#[test]
fn truncated_entries_are_replaced() {
    let (dir, disk) = fresh();
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    append(&log, (0..10).map(|i| entry(1, i, 50)).collect());
    log.truncate(6).unwrap();
    assert_eq!(log.last(), Some(Id { term: 1, index: 5 }));
    append(&log, vec![entry(2, 6, 20), entry(2, 7, 20)]);
    let want = (0..6)
        .map(|i| entry(1, i, 50))
        .chain([entry(2, 6, 20), entry(2, 7, 20)]);
    let want: Vec<_> = want.collect();
    assert_eq!(all(&log), want);
    drop(log);
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    assert_eq!(all(&log), want);
    log.truncate(0).unwrap();
    assert_eq!((log.last(), all(&log).len()), (None, 0));
    append(&log, vec![entry(3, 0, 1)]);
    drop(log);
    assert_eq!(
        all(&Log::open(dir.path(), options(&disk)).unwrap()),
        [entry(3, 0, 1)]
    );
}

#[test]
fn purging_deletes_whole_segments_and_loses_no_state() {
    let (dir, disk) = fresh();
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    save_vote(&log, b"kept");
    append(&log, (0..400).map(|i| entry(1, i, 1000)).collect());
    let segments_of = |i: u64| {
        let inner = log.shared.inner.lock();
        let holds = |s: &&Segment| s.last_index.is_none_or(|l| l >= i);
        inner.segments.iter().find(holds).unwrap().header.seq
    };
    let keep = segments_of(200);
    assert!(keep > 2, "200 entries of 1000 bytes take several segments");
    log.purge(Id {
        term: 1,
        index: 199,
    })
    .unwrap();
    flush(&log);
    assert_eq!(log.stats().segments as u32, segments_of(399) - keep + 1);
    until("the deletion", || segments(dir.path())[0] == keep);
    let want: Vec<_> = (200..400).map(|i| entry(1, i, 1000)).collect();
    assert_eq!(all(&log), want);
    drop(log);
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    assert_eq!(all(&log), want);
    assert_eq!(log.vote().as_deref(), Some(&b"kept"[..]));
    assert_eq!(
        log.purged(),
        Some(Id {
            term: 1,
            index: 199
        })
    );

    // Beyond the last: a snapshot came instead.
    log.purge(Id {
        term: 9,
        index: 5000,
    })
    .unwrap();
    assert_eq!(
        (all(&log).len(), log.last()),
        (
            0,
            Some(Id {
                term: 9,
                index: 5000
            })
        )
    );
    append(&log, vec![entry(9, 5001, 10)]);
    drop(log);
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    assert_eq!(all(&log), [entry(9, 5001, 10)]);
    assert_eq!(
        log.last(),
        Some(Id {
            term: 9,
            index: 5001
        })
    );
}

#[test]
fn appends_that_do_not_follow_are_refused() {
    let (dir, disk) = fresh();
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    append(&log, vec![entry(1, 7, 1)]);
    for (index, entries) in [(9, vec![entry(1, 9, 1)]), (7, vec![entry(1, 7, 1)])] {
        let e = log.append(entries, done().0).unwrap_err();
        assert!(
            matches!(e, Error::NotNext { index: i, want: 8 } if i == index),
            "{e}"
        );
    }
    let e = log
        .append(vec![entry(1, 8, 1), entry(1, 10, 1)], done().0)
        .unwrap_err();
    assert!(matches!(e, Error::NotNext { index: 10, want: 9 }), "{e}");
    let e = log.append(vec![entry(1, 8, 70_000)], done().0).unwrap_err();
    assert!(matches!(e, Error::TooLarge { len: 70_000, .. }), "{e}");
    let e = log.save_vote(vec![1; 300].into(), done().0).unwrap_err();
    assert!(matches!(e, Error::TooLarge { len: 300, .. }), "{e}");
    assert_eq!(all(&log), [entry(1, 7, 1)]);
}

#[test]
fn the_largest_entry_fits() {
    let (dir, disk) = fresh();
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    let max = record::body_max(segment::LEN_MIN) as usize;
    save_vote(&log, &[3; crate::base::limits::LOG_VOTE_LEN]);
    for i in 0..3 {
        append(&log, vec![entry(1, i, max)]);
    }
    drop(log);
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    assert_eq!(
        all(&log),
        [entry(1, 0, max), entry(1, 1, max), entry(1, 2, max)]
    );
}

#[test]
fn a_closed_log_refuses_and_one_process_has_it() {
    let (dir, disk) = fresh();
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    let Err(e) = Log::open(dir.path(), options(&disk)) else {
        panic!("opened twice")
    };
    assert!(matches!(e, Error::Locked(_)), "{e}");
    log.close();
    let e = log.append(vec![entry(1, 0, 1)], done().0).unwrap_err();
    assert!(matches!(e, Error::Stopped(_)), "{e}");
    drop(log);
    Log::open(dir.path(), options(&disk)).unwrap();
    let odd = Options {
        segment_len: 100_000,
        ..options(&disk)
    };
    assert!(matches!(Log::open(dir.path(), odd), Err(Error::Options(_))));
}
