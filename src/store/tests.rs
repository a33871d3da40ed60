//! The store as a whole, on real directories: what is there after a crash, a copy, a replacement, damage.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::rocks::Db;
use super::*;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Small windows, and no writing by the clock unless a test asks for it.
fn options(dir: &Path) -> Options {
    Options {
        dir: dir.to_path_buf(),
        window_bytes: 32 * 1024,
        backlog_bytes: 256 * 1024,
        flush_interval: Duration::from_secs(3600),
        base: Arc::new(Rocks),
        pace: None,
    }
}

fn open(dir: &Path) -> (Store, Option<Position>) {
    Store::open(options(dir), Box::new(|error| panic!("{error}"))).unwrap()
}

fn at(index: u64) -> Position {
    Position {
        index,
        term: index / 1000,
        epoch: 1,
        sequence: index,
        service_time_ms: index * 7,
        digest: u128::from(index) << 70,
        membership: Bytes::from_static(b"members"),
        extra: Bytes::new(),
    }
}

/// What entry `index` changes: made from its number alone, so that the state after it can be worked out.
fn entry(index: u64) -> Rows {
    let mut rows = Rows::new();
    let key = |n: u64| format!("key:{:04}", n % 2000).into_bytes();
    let mixed = index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    rows.put(
        &key(mixed),
        format!("value {index} {}", "x".repeat(100)).as_bytes(),
    );
    rows.put(&key(mixed / 7), &index.to_le_bytes());
    if index.is_multiple_of(5) {
        rows.delete(&key(mixed / 11));
    }
    if index.is_multiple_of(50) {
        rows.delete_range(&key(mixed / 13), &key(mixed / 13 + 40));
        rows.put(&key(mixed / 13 + 3), b"after the range");
    }
    rows
}

fn apply(model: &mut Model, rows: &Rows) {
    for op in rows.iter() {
        match op {
            RowOp::Put { key, value } => {
                model.insert(key.to_vec(), value.to_vec());
            }
            RowOp::Delete { key } => {
                model.remove(key);
            }
            RowOp::DeleteRange { from, to } => {
                model.retain(|key, _| !(from <= key.as_slice() && key.as_slice() < to));
            }
        }
    }
}

fn model_at(index: u64) -> Model {
    let mut model = Model::new();
    for index in 1..=index {
        apply(&mut model, &entry(index));
    }
    model
}

fn submit(store: &Store, indexes: std::ops::RangeInclusive<u64>) {
    for index in indexes {
        store.submit(entry(index), at(index));
    }
}

fn collect(
    load: impl FnOnce(&(dyn Fn(usize, &[u8], &[u8]) -> Result<(), String> + Sync)) -> Result<u64, Error>,
) -> Model {
    let rows = parking_lot::Mutex::new(Model::new());
    let count = load(&|_, key, value| {
        let seen = rows.lock().insert(key.to_vec(), value.to_vec());
        assert!(seen.is_none(), "a row came twice");
        Ok(())
    })
    .unwrap();
    let rows = rows.into_inner();
    assert_eq!(rows.len() as u64, count);
    rows
}

fn rows_of(store: &Store) -> Model {
    collect(|on_row| store.load(2, &[b"key:0500".to_vec(), b"key:1".to_vec()], on_row))
}

/// The rows of a checkpoint, read from a copy, since opening it for writing changes it.
fn rows_in(dir: &Path) -> Model {
    let copy = dir.with_extension("copy");
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let (db, _) = Db::open(&copy).unwrap();
    let rows = collect(|on_row| load::load(&db, 1, &[], on_row));
    drop(db);
    fs::remove_dir_all(copy).unwrap();
    rows
}

#[test]
fn what_was_removed_gives_its_disk_back() {
    let temp = tempfile::tempdir().unwrap();
    let (store, _) = open(temp.path());
    let key = |n: u64| format!("key:{n:04}").into_bytes();
    let (mut put, mut delete) = (Rows::new(), Rows::new());
    for n in 0..2000 {
        // What compression makes nothing of.
        let value: Vec<u8> = (0..64).flat_map(|_| rand::random::<[u8; 16]>()).collect();
        put.put(&key(n), &value);
        delete.delete(&key(n));
    }
    store.submit(put, at(1));
    store.flush_blocking().unwrap();
    let full = store.disk_bytes();
    assert!(full > 2_000_000, "{full}");
    assert!(!store.reclaim(2_000_000, u64::MAX), "nothing was removed");
    store.submit(delete, at(2));
    store.flush_blocking().unwrap();
    assert!(store.disk_bytes() >= full, "removing alone frees nothing");
    assert!(!store.reclaim(0, 1000), "a merge needs room itself");
    assert!(store.reclaim(0, u64::MAX));
    assert!(store.disk_bytes() < full / 10, "{}", store.disk_bytes());
    assert_eq!(rows_of(&store), Model::new());
    assert!(!store.reclaim(0, u64::MAX), "once is enough");
}

#[test]
fn what_was_flushed_is_there_again() {
    let temp = tempfile::tempdir().unwrap();
    let (store, position) = open(temp.path());
    assert_eq!(position, None);
    assert_eq!(store.flush_blocking().unwrap(), None);
    submit(&store, 1..=500);
    assert_eq!(store.flush_blocking().unwrap(), Some(at(500)));
    assert_eq!(store.durable(), Some(at(500)));
    assert_eq!(store.backlog(), 0);
    submit(&store, 501..=700);
    store.close().unwrap();
    drop(store);

    let (store, position) = open(temp.path());
    assert_eq!(position, Some(at(700)));
    assert_eq!(rows_of(&store), model_at(700));
    store.close().unwrap();
    assert!(matches!(store.flush_blocking(), Err(Error::Stopped(_))));
    assert!(matches!(
        store.load(1, &[], |_, _, _| Ok(())),
        Err(Error::Stopped(_))
    ));
}

#[test]
fn what_was_not_written_is_gone_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let (store, _) = open(temp.path());
    submit(&store, 1..=100);
    store.flush_blocking().unwrap();
    submit(&store, 101..=150);
    // Below a window's size: nothing has written these.
    drop(store);
    let (store, position) = open(temp.path());
    assert_eq!(position, Some(at(100)));
    assert_eq!(rows_of(&store), model_at(100));
}

#[tokio::test]
async fn windows_are_written_by_size_and_by_time() {
    let temp = tempfile::tempdir().unwrap();
    let (store, _) = open(temp.path());
    let mut durable = store.watch_durable();
    submit(&store, 1..=300);
    let by_size = durable.wait_for(Option::is_some).await.unwrap().clone();
    assert!(by_size.unwrap().index > 100);
    drop(store);

    let temp = tempfile::tempdir().unwrap();
    let mut options = options(temp.path());
    options.flush_interval = Duration::from_millis(5);
    let (store, _) = Store::open(options, Box::new(|error| panic!("{error}"))).unwrap();
    let mut durable = store.watch_durable();
    submit(&store, 1..=1);
    durable
        .wait_for(|at| at.as_ref().is_some_and(|at| at.index == 1))
        .await
        .unwrap();
    // A position without rows, too.
    store.submit(Rows::new(), at(2));
    durable
        .wait_for(|at| at.as_ref().is_some_and(|at| at.index == 2))
        .await
        .unwrap();
    assert_eq!(rows_of(&store), model_at(1));
}

#[tokio::test]
async fn the_backlog_is_bounded_and_room_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let mut options = options(temp.path());
    options.window_bytes = usize::MAX;
    options.backlog_bytes = 10_000;
    let (store, _) = Store::open(options, Box::new(|error| panic!("{error}"))).unwrap();
    store.room().await;
    let mut index = 0;
    while !store.over_limit() {
        index += 1;
        submit(&store, index..=index);
    }
    assert!(store.backlog() > 10_000 && index > 50);
    let (_, flushed) = tokio::join!(store.room(), store.flush());
    assert_eq!(flushed.unwrap(), Some(at(index)));
    assert_eq!(store.backlog(), 0);
}

/// Not a test by itself: the process that `kill_9_leaves_exactly_the_position` starts and kills.
#[test]
fn child_that_writes_until_killed() {
    let Some(dir) = std::env::var_os("PONTOON_TEST_STORE_DIR") else {
        return;
    };
    let (store, position) = open(Path::new(&dir));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut durable = store.watch_durable();
    for index in position.map_or(0, |at| at.index) + 1.. {
        submit(&store, index..=index);
        runtime.block_on(store.room());
        if durable.has_changed().unwrap() {
            let at = durable.borrow_and_update().clone().unwrap();
            println!("durable {}", at.index);
        }
    }
}

#[test]
fn kill_9_leaves_exactly_the_position() {
    let temp = tempfile::tempdir().unwrap();
    let mut reached = 0;
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::tests::child_that_writes_until_killed",
                "--nocapture",
            ])
            .env("PONTOON_TEST_STORE_DIR", temp.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Enough windows that merges run as well; a different number each time.
        let told = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.split("durable ").nth(1)?.parse::<u64>().ok())
            .nth(11 + round * 3)
            .expect("the child tells how far it is");
        child.kill().unwrap();
        child.wait().unwrap();

        let (store, position) = open(temp.path());
        let position = position.unwrap();
        assert!(position.index >= told && told > reached);
        assert_eq!(position, at(position.index));
        assert_eq!(rows_of(&store), model_at(position.index), "round {round}");
        reached = position.index;
    }
}

#[test]
fn a_checkpoint_is_consistent_while_writing_goes_on() {
    let temp = tempfile::tempdir().unwrap();
    let (store, _) = open(&temp.path().join("store"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            for index in 1.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                submit(&store, index..=index);
                runtime.block_on(store.room());
            }
        });
        let mut last = 0;
        for number in 0..5 {
            while store.durable().is_none_or(|at| at.index < last + 500) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let dir = temp.path().join(format!("checkpoint-{number}"));
            let position = store.checkpoint_blocking(&dir).unwrap();
            assert!(position.index > last);
            last = position.index;
            assert_eq!(Rocks.position(&dir).unwrap(), position);
            assert_eq!(Rocks.verify(&dir).unwrap(), position);
            assert_eq!(rows_in(&dir), model_at(position.index));
            // It may be taken only once, into a new directory.
            assert!(store.checkpoint_blocking(&dir).is_err());
        }
        stop.store(true, Ordering::Relaxed);
    });
    store.flush_blocking().unwrap();
}

#[test]
fn an_empty_store_has_no_checkpoint() {
    let temp = tempfile::tempdir().unwrap();
    let (store, _) = open(&temp.path().join("store"));
    assert!(
        store
            .checkpoint_blocking(&temp.path().join("copy"))
            .is_err()
    );
    submit(&store, 1..=1);
    store.flush_blocking().unwrap();
}

#[test]
fn installing_replaces_everything() {
    let temp = tempfile::tempdir().unwrap();
    let (source, _) = open(&temp.path().join("source"));
    submit(&source, 1..=900);
    let received = temp.path().join("received");
    source.checkpoint_blocking(&received).unwrap();
    submit(&source, 901..=1000);

    let root = temp.path().join("target");
    let (store, _) = open(&root);
    store.submit(
        [RowOp::Put {
            key: b"only here",
            value: b"",
        }]
        .into_iter()
        .collect(),
        at(20),
    );
    store.flush_blocking().unwrap();
    submit(&store, 21..=30);
    assert_eq!(store.install_blocking(&received).unwrap(), at(900));
    assert_eq!(store.durable(), Some(at(900)));
    assert_eq!(store.backlog(), 0);
    assert!(!received.exists());
    assert_eq!(rows_of(&store), model_at(900));
    // It goes on from there.
    submit(&store, 901..=950);
    store.flush_blocking().unwrap();
    assert_eq!(rows_of(&store), model_at(950));
    drop(store);
    let (store, position) = open(&root);
    assert_eq!(position, Some(at(950)));
    assert_eq!(rows_of(&store), model_at(950));
    let left: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
    // The source was not disturbed.
    source.flush_blocking().unwrap();
    assert_eq!(rows_of(&source), model_at(1000));
}

#[test]
fn installing_what_is_no_store_stops_it_and_keeps_the_old() {
    let temp = tempfile::tempdir().unwrap();
    let told = std::sync::Arc::new(AtomicUsize::new(0));
    let root = temp.path().join("target");
    let (store, _) = Store::open(options(&root), {
        let told = told.clone();
        Box::new(move |error| {
            assert!(error.is_damage(), "{error}");
            told.fetch_add(1, Ordering::SeqCst);
        })
    })
    .unwrap();
    submit(&store, 1..=10);
    store.flush_blocking().unwrap();
    let received = temp.path().join("received");
    fs::create_dir(&received).unwrap();
    assert!(store.install_blocking(&received).unwrap_err().is_damage());
    drop(store);
    assert_eq!(told.load(Ordering::SeqCst), 1);
    let (store, position) = open(&root);
    assert_eq!(position, Some(at(10)));
    assert_eq!(rows_of(&store), model_at(10));
}

fn tables(dir: &Path) -> Vec<PathBuf> {
    let mut tables: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "sst"))
        .collect();
    tables.sort();
    tables
}

#[test]
fn verify_finds_a_changed_byte_anywhere() {
    let temp = tempfile::tempdir().unwrap();
    let (store, _) = open(&temp.path().join("store"));
    // The first two runs are hidden by the third: overwritten, and removed by a range.
    for index in 1..=3 {
        let mut rows = Rows::new();
        rows.delete_range(b"k", b"l");
        for key in 0..300u64 {
            rows.put(format!("k{key}").as_bytes(), &[index as u8; 100]);
        }
        store.submit(rows, at(index));
        store.flush_blocking().unwrap();
    }
    let dir = temp.path().join("copy");
    store.checkpoint_blocking(&dir).unwrap();
    assert_eq!(Rocks.verify(&dir).unwrap(), at(3));
    let tables = tables(&dir);
    assert!(tables.len() >= 4);
    for table in &tables {
        // The checkpoint shares its files with the store: damage a copy.
        let sound = fs::read(table).unwrap();
        fs::remove_file(table).unwrap();
        let places = (0..sound.len()).step_by((sound.len() / 37).max(1));
        let mut harmless = Vec::new();
        for place in places {
            let mut bytes = sound.clone();
            bytes[place] ^= 0x10;
            fs::write(table, bytes).unwrap();
            match Rocks.verify(&dir) {
                Ok(_) => harmless.push(place),
                Err(error) => assert!(error.is_damage(), "{error}"),
            }
        }
        assert_eq!(
            harmless,
            [] as [usize; 0],
            "undetected in {} of {} bytes",
            table.display(),
            sound.len()
        );
        fs::write(table, &sound[..sound.len() - 1]).unwrap();
        assert!(Rocks.verify(&dir).unwrap_err().is_damage());
        fs::remove_file(table).unwrap();
        assert!(Rocks.verify(&dir).unwrap_err().is_damage());
        fs::write(table, sound).unwrap();
        Rocks.verify(&dir).unwrap();
    }
    fs::remove_file(dir.join("CURRENT")).unwrap();
    assert!(Rocks.verify(&dir).unwrap_err().is_damage());
    assert!(Rocks.verify(temp.path()).unwrap_err().is_damage());
}

#[test]
fn a_damaged_run_is_told_when_it_is_loaded() {
    let temp = tempfile::tempdir().unwrap();
    let (store, _) = open(temp.path());
    submit(&store, 1..=200);
    store.close().unwrap();
    drop(store);
    let live = live::find(temp.path()).unwrap().unwrap();
    let table = tables(&live).pop().unwrap();
    let mut bytes = fs::read(&table).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    fs::write(&table, bytes).unwrap();
    let damage = match Store::open(options(temp.path()), Box::new(|_| {})) {
        Ok((store, _)) => store.load(2, &[], |_, _, _| Ok(())).unwrap_err(),
        Err(error) => error,
    };
    assert!(damage.is_damage(), "{damage}");
}

#[test]
fn a_load_gives_each_row_once_and_to_its_part() {
    let temp = tempfile::tempdir().unwrap();
    let (store, _) = open(temp.path());
    for index in 1..=20_000u32 {
        let mut rows = Rows::new();
        rows.put(
            &[&[1][..], &(index.wrapping_mul(2_654_435_761)).to_be_bytes()].concat(),
            b"v",
        );
        store.submit(rows, at(u64::from(index)));
    }
    store.flush_blocking().unwrap();
    let cuts: Vec<Vec<u8>> = [1, 64, 65, 130, 200, 255]
        .iter()
        .map(|&b| vec![1, b])
        .collect();
    for threads in [1, 2, 5] {
        let seen = parking_lot::Mutex::new(BTreeMap::new());
        let rows = store
            .load(threads, &cuts, |part, key, _| {
                assert!(part == 0 || key >= cuts[part - 1].as_slice());
                assert!(part == cuts.len() || key < cuts[part].as_slice());
                assert_eq!(seen.lock().insert(key.to_vec(), part), None);
                Ok(())
            })
            .unwrap();
        assert_eq!(rows, 20_000);
        assert_eq!(seen.lock().len(), 20_000);
        let given = AtomicUsize::new(0);
        let refused = store.load(threads, &cuts, |_, _, _| {
            given.fetch_add(1, Ordering::Relaxed);
            Err("no".into())
        });
        assert!(matches!(refused, Err(Error::Row(why)) if why == "no"));
        assert!(given.into_inner() <= threads);
    }
}

#[test]
fn another_format_and_a_second_owner_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let (store, _) = open(temp.path());
    let second = Store::open(options(temp.path()), Box::new(|_| {}));
    assert!(
        matches!(second, Err(Error::InUse { .. })),
        "{:?}",
        second.err()
    );
    drop(store);
    let live = live::find(temp.path()).unwrap().unwrap();
    let raw = rocksdb::DB::open_default(&live).unwrap();
    raw.put([RESERVED, b'f'], [9]).unwrap();
    drop(raw);
    let newer = Store::open(options(temp.path()), Box::new(|_| {}))
        .err()
        .unwrap();
    assert!(matches!(newer, Error::Format { found: 9, .. }), "{newer}");
    assert!(
        newer
            .to_string()
            .contains("has format 9, this program reads format 1")
    );
}

/// A process that is killed after RocksDB took a run and before it removed the name that the run was written under leaves
/// two links to one file.
#[test]
fn a_run_is_not_written_over_by_the_next_after_a_kill() {
    let temp = tempfile::tempdir().unwrap();
    let (store, _) = open(temp.path());
    submit(&store, 1..=200);
    store.flush_blocking().unwrap();
    drop(store);
    let data = live::find(temp.path()).unwrap().unwrap();
    let runs = fs::read_dir(&data).unwrap().map(|e| e.unwrap().path());
    let newest = runs
        .filter(|p| p.extension().is_some_and(|e| e == "sst"))
        .max()
        .unwrap();
    fs::hard_link(newest, data.join("window.next")).unwrap();
    let (store, position) = open(temp.path());
    assert_eq!(position, Some(at(200)));
    submit(&store, 201..=210);
    store.flush_blocking().unwrap();
    drop(store);
    Rocks.verify(&data).unwrap();
    let (_, position) = open(temp.path());
    assert_eq!(position, Some(at(210)));
}

#[test]
fn a_failed_write_is_fatal_once_and_nobody_hangs() {
    let temp = tempfile::tempdir().unwrap();
    let (told, fatal) = mpsc::channel();
    let (store, _) = Store::open(
        options(temp.path()),
        Box::new(move |error| told.send(error.to_string()).unwrap()),
    )
    .unwrap();
    submit(&store, 1..=10);
    store.flush_blocking().unwrap();
    // The next run has no directory to be written to.
    fs::remove_dir_all(live::find(temp.path()).unwrap().unwrap()).unwrap();
    submit(&store, 11..=20);
    assert!(store.flush_blocking().is_err());
    assert!(fatal.recv().unwrap().contains("window.next"));
    assert_eq!(store.durable(), Some(at(10)));
    submit(&store, 21..=30);
    assert_eq!(store.backlog(), 0);
    assert!(matches!(store.flush_blocking(), Err(Error::Stopped(_))));
    drop(store);
    assert!(fatal.recv().is_err(), "told twice");
}

#[derive(Debug, Clone)]
enum Change {
    Put(u8, u8),
    Delete(u8),
    Range(u8, u8),
    Flush,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (1..60u8, any::<u8>()).prop_map(|(key, value)| Change::Put(key, value)),
        2 => (1..60u8).prop_map(Change::Delete),
        2 => (1..60u8, 1..60u8).prop_map(|(from, to)| Change::Range(from, to)),
        2 => Just(Change::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Through real runs and merges: ranges act on older runs and not on their own.
    #[test]
    fn rows_are_what_a_model_says(changes in prop::collection::vec(change(), 1..200)) {
        let temp = tempfile::tempdir().unwrap();
        let (store, _) = open(temp.path());
        let mut model = Model::new();
        for (index, change) in changes.iter().enumerate() {
            let mut rows = Rows::new();
            match *change {
                Change::Put(key, value) => rows.put(&[key], &[value]),
                Change::Delete(key) => rows.delete(&[key]),
                Change::Range(from, to) => rows.delete_range(&[from], &[to]),
                Change::Flush => {
                    store.flush_blocking().unwrap();
                    prop_assert_eq!(&collect(|on_row| store.load(1, &[], on_row)), &model);
                }
            }
            apply(&mut model, &rows);
            store.submit(rows, at(index as u64 + 1));
        }
        store.close().unwrap();
        drop(store);
        let (store, _) = open(temp.path());
        prop_assert_eq!(collect(|on_row| store.load(2, &[vec![30]], on_row)), model);
    }
}
