//! Every way in which a segment may not be what was written, and what is made of it.

use super::*;
use std::os::unix::fs::FileExt;

/// A log of one segment whose records were synced one by one.
struct Fixture {
    dir: tempfile::TempDir,
    file: File,
    data: Vec<u8>,
    /// Where each record begins, and where the last one ends.
    records: Vec<u32>,
    entries: Vec<Entry>,
}

impl Fixture {
    /// Bodies of these lengths, each appended on its own.
    fn new(lens: &[usize]) -> Fixture {
        Self::of(
            lens.iter()
                .zip(0..)
                .map(|(len, i)| vec![entry(1, i, *len)])
                .collect(),
        )
    }

    /// These entries, in these batches.
    fn of(batches: Vec<Vec<Entry>>) -> Fixture {
        let (dir, disk) = fresh();
        let log = Log::open(dir.path(), options(&disk)).unwrap();
        for batch in &batches {
            append(&log, batch.clone());
        }
        let slots = |i| match &log.shared.inner.lock().memory.select(i..i + 1, 0)[..] {
            [memory::Source::Disk(_, slot)] => slot.offset,
            _ => panic!("entry {i} is not on disk"),
        };
        let entries: Vec<_> = batches.into_iter().flatten().collect();
        log.shared.inner.lock().memory.evict(0);
        let mut records: Vec<_> = (0..entries.len() as u64).map(slots).collect();
        let last = entries.last().unwrap().body.len() as u32;
        records.push(records.last().unwrap() + record::total(last));
        drop(log);
        // Only the segment with the records: one file to change and to restore.
        for seq in segments(dir.path()).into_iter().skip(1) {
            std::fs::remove_file(segment::path(dir.path(), seq)).unwrap();
        }
        let (file, _, data) = segment::load(dir.path(), 1).unwrap();
        Fixture {
            dir,
            file,
            data,
            records,
            entries,
        }
    }

    /// What recovery makes of the segment as changed by `change`; the segment is then restored.
    fn with(&self, change: impl FnOnce(&mut Vec<u8>)) -> Result<recover::Recovered, Error> {
        let mut data = self.data.clone();
        change(&mut data);
        self.file.set_len(data.len() as u64).unwrap();
        self.file.write_all_at(&data, 0).unwrap();
        let disk = Seen::default();
        let found = recover::recover(&disk, self.dir.path(), segment::LEN_MIN);
        self.file.set_len(self.data.len() as u64).unwrap();
        self.file.write_all_at(&self.data, 0).unwrap();
        found.map(|found| found.expect("there is a segment"))
    }

    /// How many entries are there after `change`; they must be the first ones.
    fn survivors(&self, change: impl FnOnce(&mut Vec<u8>)) -> Result<u64, Error> {
        let memory = self.with(change)?.memory;
        match memory.last() {
            None => Ok(0),
            Some(last) => {
                assert_eq!(last.term, 1);
                Ok(last.index + 1)
            }
        }
    }
}

fn damaged<T>(result: Result<T, Error>) -> bool {
    match result {
        Ok(_) => false,
        Err(Error::Damage { .. }) => true,
        Err(e) => panic!("not damage: {e}"),
    }
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_or_refused_never_believed() {
    for len in [10, 470, 512, 3000] {
        let f = Fixture::new(&[100, 300, len]);
        let (from, to) = (f.records[2], f.records[3]);
        let mut cut = 0;
        let loses_a_sector = |at: u32| {
            let head = &f.data[at as usize..(from + record::HEAD).max(at) as usize];
            record::is_zero(head) && at.next_multiple_of(record::SECTOR) < to
        };
        for at in from..to {
            let tail = at as usize..to as usize;
            let result = f.survivors(|data| data[tail.clone()].fill(0));
            if record::is_zero(&f.data[tail]) {
                // Only padding was zeroed: nothing changed.
                assert_eq!(result.unwrap(), 3, "byte {at}");
            } else if record::is_zero(&f.data[from as usize..at as usize])
                || at % record::SECTOR == 0
                || loses_a_sector(at)
            {
                // Nothing but zeros is left of it, be it that its first byte happens to be one. Or:
                // a disk can stop between sectors. Where it lost a whole one, it is torn whatever
                // else is missing, as long as the head is there.
                assert_eq!(result.unwrap(), 2, "byte {at}");
                cut += 1;
            } else {
                // But not within one.
                assert!(damaged(result), "byte {at} of {from}..{to}");
            }
        }
        assert!(
            cut > (to - from) / record::SECTOR,
            "{cut} cuts for a body of {len}"
        );
    }
}

#[test]
fn any_sectors_of_the_last_batch_may_be_missing() {
    let batch: Vec<_> = (1..12).map(|i| entry(1, i, 200 * i as usize)).collect();
    let f = Fixture::of(vec![vec![entry(1, 0, 700)], batch]);
    let (from, to) = (f.records[1], *f.records.last().unwrap());
    let sectors: Vec<_> = (from / record::SECTOR..=(to - 1) / record::SECTOR).collect();
    let mut seed = 1u64;
    for _ in 0..500 {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let mut first_lost = to;
        let survivors = f.survivors(|data| {
            for (i, sector) in sectors.iter().enumerate() {
                if seed >> (i % 60) & 1 == 1 {
                    let lost_from = (sector * record::SECTOR).max(from);
                    let lost_to = ((sector + 1) * record::SECTOR).min(to);
                    data[lost_from as usize..lost_to as usize].fill(0);
                    first_lost = first_lost.min(lost_from);
                }
            }
        });
        let whole = f
            .records
            .windows(2)
            .filter(|r| r[0] < first_lost && r[1] <= first_lost)
            .count();
        assert_eq!(survivors.unwrap(), whole as u64, "seed {seed}");
    }
}

#[test]
fn a_cut_tail_is_zeroed() {
    let f = Fixture::of(vec![
        vec![entry(1, 0, 100)],
        (1..6).map(|i| entry(1, i, 900)).collect(),
    ]);
    let (at, end) = (f.records[2], *f.records.last().unwrap());
    let mut data = f.data.clone();
    data[at as usize..at as usize + 40].fill(0);
    f.file.write_all_at(&data, 0).unwrap();
    let found = recover::recover(&Seen::default(), f.dir.path(), segment::LEN_MIN);
    let found = found.unwrap().unwrap();
    assert_eq!((found.pos, found.memory.last().unwrap().index), (at, 1));
    assert!(found.cut > u64::from(end - at) - 16);
    let (_, _, after) = segment::load(f.dir.path(), 1).unwrap();
    assert_eq!(after[..at as usize], f.data[..at as usize]);
    assert!(record::is_zero(&after[at as usize..]));
}

#[test]
fn every_bit_of_a_live_record_counts() {
    let f = Fixture::new(&[20, 0, 600]);
    let end = *f.records.last().unwrap();
    // From the first record of the segment, its state, to the end of the last.
    for at in segment::FIRST..end {
        for bit in 0..8 {
            let result = f.with(|data| data[at as usize] ^= 1 << bit);
            assert!(
                damaged(result),
                "bit {bit} of byte {at}, records {:?}",
                f.records
            );
        }
    }
}

#[test]
fn a_sector_that_was_once_synced_and_is_gone_is_damage() {
    let f = Fixture::new(&[700, 700, 700, 700]);
    let last = f.records[3];
    for sector in segment::FIRST / record::SECTOR..last / record::SECTOR {
        let from = (sector * record::SECTOR) as usize;
        let result = f.with(|data| data[from..from + record::SECTOR as usize].fill(0));
        assert!(damaged(result), "sector {sector}");
    }
}

#[test]
fn a_file_of_another_length_is_damage() {
    let f = Fixture::new(&[100]);
    for change in [
        -1i64,
        -4096,
        1,
        -(f.data.len() as i64 - 100),
        -(f.data.len() as i64),
    ] {
        let len = f.data.len() as i64 + change;
        assert!(
            damaged(f.with(|data| data.resize(len as usize, 0))),
            "{len} bytes"
        );
    }
    let Err(e) = f.with(|data| data.truncate(5000)) else {
        panic!("opened")
    };
    assert!(
        e.to_string()
            .contains("has 5000 bytes and was made with 65536"),
        "{e}"
    );
}

#[test]
fn a_missing_segment_is_damage() {
    let (dir, disk) = fresh();
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    append(&log, (0..300).map(|i| entry(1, i, 1000)).collect());
    drop(log);
    let all = segments(dir.path());
    for seq in &all[..all.len() - 2] {
        let path = segment::path(dir.path(), *seq);
        let kept = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(
            damaged(Log::open(dir.path(), options(&disk))),
            "without segment {seq}"
        );
        std::fs::write(&path, kept).unwrap();
    }
    Log::open(dir.path(), options(&disk)).unwrap();
}

#[test]
fn a_tail_lost_before_another_segment_is_damage() {
    let (dir, disk) = fresh();
    let log = Log::open(dir.path(), options(&disk)).unwrap();
    for i in 0..100 {
        append(&log, vec![entry(1, i, 1000)]);
    }
    drop(log);
    let path = segment::path(dir.path(), 1);
    let data = std::fs::read(&path).unwrap();
    let end = data.iter().rposition(|b| *b != 0).unwrap() + 1;
    // A record's worth of zeros, cleanly: only the next segment tells that something was there.
    let mut lost = data.clone();
    lost[(end - 1040).next_multiple_of(512)..].fill(0);
    std::fs::write(&path, lost).unwrap();
    assert!(damaged(Log::open(dir.path(), options(&disk))));
    std::fs::write(&path, data).unwrap();
    assert_eq!(
        all(&Log::open(dir.path(), options(&disk)).unwrap()).len(),
        100
    );
}

#[test]
fn an_entry_damaged_while_open_is_not_read() {
    let (dir, disk) = fresh();
    let log = Log::open(
        dir.path(),
        Options {
            cache_len: 0,
            ..options(&disk)
        },
    )
    .unwrap();
    append(&log, vec![entry(1, 0, 1000), entry(1, 1, 1000)]);
    let file = std::fs::OpenOptions::new();
    let file = { file }
        .write(true)
        .open(segment::path(dir.path(), 1))
        .unwrap();
    file.write_all_at(b"?", u64::from(segment::FIRST) + 400)
        .unwrap();
    assert!(damaged(log.read(0..1, 0)));
    assert_eq!(log.read(1..2, 0).unwrap(), [entry(1, 1, 1000)]);
}

#[test]
fn a_client_cannot_write_a_record() {
    // A log segment stored as a value, in the last batch, whose own head is lost.
    let inner = Fixture::new(&[100, 300, 600]);
    let body = Bytes::copy_from_slice(&inner.data[..20_000]);
    let id = Id { term: 1, index: 1 };
    let f = Fixture::of(vec![
        vec![entry(1, 0, 10)],
        vec![Entry { id, kind: 0, body }],
    ]);
    let at = f.records[1] as usize;
    assert_eq!(f.survivors(|data| data[at..at + 40].fill(0)).unwrap(), 1);
    assert_eq!(f.entries[1].body.len(), 20_000);
}
