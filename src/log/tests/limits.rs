//! What happens at a bound: a broken disk, a full one, memory, the queue.

use super::*;

#[test]
fn a_failed_sync_stops_the_log_for_good() {
    let (dir, disk) = fresh();
    let (tx, fatal) = mpsc::channel();
    let on_fatal: Fatal = Box::new(move |e| drop(tx.send(e.to_string())));
    let log = Log::open(
        dir.path(),
        Options {
            on_fatal: Some(on_fatal),
            ..options(&disk)
        },
    )
    .unwrap();
    append(&log, vec![entry(1, 0, 10)]);
    disk.sync_fails.store(true, Ordering::SeqCst);
    let (first, first_result) = done();
    log.append(vec![entry(1, 1, 10)], first).unwrap();
    assert!(first_result.recv().unwrap().is_err());
    assert_eq!(fatal.recv().unwrap(), "the disk is broken");

    // A disk that works again changes nothing.
    disk.sync_fails.store(false, Ordering::SeqCst);
    let calls = disk.calls.load(Ordering::SeqCst);
    let e = log.append(vec![entry(1, 2, 10)], done().0).unwrap_err();
    assert!(
        matches!(&e, Error::Stopped(why) if why.contains("the disk is broken")),
        "{e}"
    );
    assert!(matches!(
        log.save_vote(Bytes::new(), done().0),
        Err(Error::Stopped(_))
    ));
    log.close();
    assert_eq!(
        disk.calls.load(Ordering::SeqCst),
        calls,
        "a failed sync must not be tried again"
    );
    assert!(fatal.try_recv().is_err(), "told once");
}

#[test]
fn what_waits_behind_a_failed_sync_is_refused_too() {
    let (dir, disk) = fresh();
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    let (go, gate) = mpsc::channel::<()>();
    *disk.before.lock() = Some(Box::new(move |_, _| _ = gate.recv()));
    disk.sync_fails.store(true, Ordering::SeqCst);
    let results: Vec<_> = (0..20)
        .map(|i| {
            let (tx, rx) = done();
            log.append(vec![entry(1, i, 10)], tx).unwrap();
            rx
        })
        .collect();
    drop(go);
    for result in results {
        assert!(result.recv().unwrap().is_err());
    }
}

#[test]
fn memory_is_bounded_and_the_rest_is_read_from_disk() {
    let (dir, disk) = fresh();
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    let entries: Vec<_> = (0..200).map(|i| entry(1, i, 700)).collect();
    for chunk in entries.chunks(10) {
        append(&log, chunk.to_vec());
    }
    assert!(log.stats().memory <= 8 * 1024, "{}", log.stats().memory);
    assert!(log.read_memory(0..10, usize::MAX).is_none());
    assert_eq!(
        log.read_memory(195..300, usize::MAX).unwrap(),
        entries[195..]
    );
    assert_eq!(all(&log), entries);
    assert_eq!(log.read(50..60, 1500).unwrap(), entries[50..52]);
    assert_eq!(log.read(50..60, 0).unwrap(), entries[50..51]);
    assert_eq!(log.read(300..400, 10).unwrap(), []);
}

#[test]
fn bodies_of_zeros_come_back_from_disk() {
    let (dir, disk) = fresh();
    let log = Log::open(
        dir.path(),
        Options {
            cache_len: 0,
            ..options(&disk)
        },
    )
    .unwrap();
    let zeros = Entry {
        id: Id { term: 1, index: 0 },
        kind: 1,
        body: vec![0; 5000].into(),
    };
    append(&log, vec![zeros.clone()]);
    assert_eq!(all(&log), [zeros]);
}

#[test]
fn low_space_is_told_and_lifted_with_a_margin() {
    let (dir, disk) = fresh();
    disk.free.store((1 << 20) - 1, Ordering::SeqCst);
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    assert_eq!(log.space(), Space::Low);
    disk.free.store((1 << 20) + 1, Ordering::SeqCst);
    keeper::check_space(&log.shared);
    assert_eq!(
        log.space(),
        Space::Low,
        "just above the mark is not room enough"
    );
    disk.free.store(2 << 20, Ordering::SeqCst);
    until("room", || log.space() == Space::Ok);
    disk.free.store((1 << 17) - 1, Ordering::SeqCst);
    until("the second mark", || log.space() == Space::Full);
    disk.free.store(1 << 19, Ordering::SeqCst);
    until("some room", || log.space() == Space::Low);
}

#[test]
fn what_is_written_is_followed_by_a_look_at_the_space() {
    let (dir, disk) = fresh();
    let mut large = options(&disk);
    large.segment_len = 4 << 20;
    let log = Log::open(dir.path(), large).unwrap();
    // Made before the space goes: no segment is made below, and the keeper is too slow to be what is seen.
    append(&log, (0..9).map(|i| entry(1, i, 100_000)).collect());
    until("the next segment", || segments(dir.path()) == [1, 2]);
    append(&log, (9..18).map(|i| entry(1, i, 100_000)).collect());
    until("room", || log.space() == Space::Ok);
    disk.free.store(1 << 19, Ordering::SeqCst);
    append(&log, (18..30).map(|i| entry(1, i, 100_000)).collect());
    assert_eq!(log.space(), Space::Low, "once the write has returned");
}

#[test]
fn a_full_disk_takes_the_ballast_and_the_log_goes_on() {
    let (dir, disk) = fresh();
    let ballast = dir.path().join("ballast");
    let mut with_ballast = options(&disk);
    with_ballast.ballast_len = 128 * 1024;
    let log = Log::open(dir.path(), with_ballast).unwrap();
    until("the ballast", || ballast.exists());
    until("the first spare", || segments(dir.path()) == [1, 2]);
    disk.full.store(true, Ordering::SeqCst);
    // The second segment is there; the third cannot be made.
    append(&log, (0..60).map(|i| entry(1, i, 1000)).collect());
    append(&log, (60..70).map(|i| entry(1, i, 1000)).collect());
    until("the alarm", || !ballast.exists());
    assert_ne!(log.space(), Space::Ok);
    save_vote(&log, b"still works");
    // The writer waits for the third segment, and goes on once there is room for it.
    let (tx, rx) = done();
    log.append((70..130).map(|i| entry(1, i, 1000)).collect(), tx)
        .unwrap();
    until("the stall", || log.stats().stalls > 0);
    disk.full.store(false, Ordering::SeqCst);
    rx.recv().unwrap().unwrap();
    drop(log);
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    assert_eq!(all(&log).len(), 130);
    assert_eq!(log.vote().as_deref(), Some(&b"still works"[..]));
}

#[test]
fn the_queue_has_a_bound_that_waits() {
    let (dir, disk) = fresh();
    let segment_len = 16 << 20;
    let log = Log::open(
        dir.path(),
        Options {
            segment_len,
            ..options(&disk)
        },
    )
    .unwrap();
    let (go, gate) = mpsc::channel::<()>();
    *disk.before.lock() = Some(Box::new(move |_, _| _ = gate.recv()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let body = Bytes::from(vec![1; 50_000]);
    let mut last = None;
    runtime.block_on(async {
        for index in 0.. {
            let mut room = std::pin::pin!(log.room());
            if futures_util::poll!(&mut room).is_pending() {
                assert!(log.stats().queued >= crate::base::limits::LOG_QUEUE_LEN);
                drop(go);
                return room.await;
            }
            assert!(log.stats().queued < crate::base::limits::LOG_QUEUE_LEN);
            let (tx, rx) = done();
            let body = body.clone();
            log.append(
                vec![Entry {
                    id: Id { term: 1, index },
                    kind: 0,
                    body,
                }],
                tx,
            )
            .unwrap();
            last = Some(rx);
        }
    });
    last.unwrap().recv().unwrap().unwrap();
    assert_eq!(log.stats().queued, 0);
}
