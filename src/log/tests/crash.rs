//! Random histories with power cuts: what was reported done is there, and nothing that was not
//! given. PONTOON_SEED repeats one.

use super::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What the log should hold.
#[derive(Clone, Default, PartialEq)]
struct Model {
    entries: Vec<Entry>,
    purged: Option<Id>,
    vote: Option<Bytes>,
}

impl Model {
    fn last(&self) -> Option<Id> {
        self.entries.last().map(|e| e.id).or(self.purged)
    }

    /// What can be printed of it.
    fn brief(&self) -> String {
        let first = self.entries.first().map(|e| e.id);
        let (last, purged) = (self.last(), self.purged);
        let n = self.entries.len();
        format!(
            "{n} entries {first:?} to {last:?}, purged {purged:?}, vote {:?}",
            self.vote
        )
    }

    fn of(log: &Log) -> Model {
        Model {
            entries: all(log),
            purged: log.purged(),
            vote: log.vote(),
        }
    }
}

fn check(log: &Log, want: &Model, what: &str) {
    let found = Model::of(log);
    assert!(
        found == *want,
        "{what}: {}; wanted {}",
        found.brief(),
        want.brief()
    );
}

/// The disk as it would be found.
struct Cut {
    files: HashMap<PathBuf, Vec<u8>>,
    /// Steps that were reported done when the power went.
    done: usize,
}

/// Each sector that was written and not synced is as after some of the writes to it.
fn cut_power(files: &HashMap<PathBuf, Image>, rng: &mut StdRng) -> HashMap<PathBuf, Vec<u8>> {
    let kept = rng.random_range(0..=100);
    let mut out = HashMap::new();
    // The newest first: the keeper deletes the oldest first, meanwhile, and what is looked at in that order has no gap.
    let mut newest_first: Vec<_> = files.iter().collect();
    newest_first.sort_by_key(|(path, _)| std::cmp::Reverse(path.as_path()));
    for (path, image) in newest_first {
        // What is still being made has another name, and is not there yet.
        if !path.exists() {
            continue;
        }
        let mut data = image.durable.clone();
        let mut frozen = std::collections::HashSet::new();
        for (offset, bytes) in &image.pending {
            for (i, byte) in bytes.iter().enumerate() {
                let at = *offset as usize + i;
                let sector = at / record::SECTOR as usize;
                if (i == 0 || at.is_multiple_of(record::SECTOR as usize))
                    && !frozen.contains(&sector)
                    && rng.random_range(0..100) >= kept
                {
                    frozen.insert(sector);
                }
                if !frozen.contains(&sector) {
                    apply(&mut data, at as u64, std::slice::from_ref(byte));
                }
            }
        }
        out.insert(path.clone(), data);
    }
    out
}

fn body(rng: &mut StdRng) -> Bytes {
    let len = match rng.random_range(0..10) {
        0 => 0,
        1..=5 => rng.random_range(1..200),
        6..=8 => rng.random_range(200..3000),
        _ => rng.random_range(3000..20_000),
    };
    match rng.random_range(0..4) {
        0 => vec![0; len].into(),
        1 => vec![rng.random(); len].into(),
        _ => (0..len).map(|_| rng.random()).collect::<Vec<u8>>().into(),
    }
}

/// One life of the log: opens it, does random things, loses power at some point, and returns what
/// may be found, from the last step that was reported done on.
fn life(dir: &Path, mut model: Model, rng: &mut StdRng) -> (Cut, Vec<Model>) {
    let disk = Arc::<Seen>::default();
    for seq in segments(dir) {
        let path = segment::path(dir, seq);
        let durable = std::fs::read(&path).unwrap();
        disk.files.lock().insert(
            path,
            Image {
                durable,
                pending: Vec::new(),
            },
        );
    }
    let log = Log::open(dir, options(&disk)).unwrap();
    check(&log, &model, "what was opened is not what was found before");
    let steps = rng.random_range(1..60);
    let reported = Arc::<AtomicU64>::default();
    let cut = Arc::<Mutex<Option<Cut>>>::default();
    {
        let (reported, cut) = (reported.clone(), cut.clone());
        let at = disk.calls.load(Ordering::SeqCst) + rng.random_range(0..steps * 2);
        let mut rng = StdRng::seed_from_u64(rng.random());
        *disk.before.lock() = Some(Box::new(move |n, files| {
            if n == at {
                // Reports come from this very thread, so the number is exact.
                let done = reported.load(Ordering::SeqCst) as usize;
                *cut.lock() = Some(Cut {
                    files: cut_power(files, &mut rng),
                    done,
                });
            }
        }));
    }
    let mut models = vec![model.clone()];
    let mut last = None;
    for step in 1..=steps {
        let reported = reported.clone();
        let (tx, rx) = done();
        let done: Done = Box::new(move |result| {
            reported.store(step, Ordering::SeqCst);
            tx(result);
        });
        let term = model.last().map_or(1, |l| l.term);
        let next = model.last().map_or(0, |l| l.index + 1);
        match rng.random_range(0..20) {
            0 => {
                let vote = Bytes::from(vec![rng.random(); rng.random_range(1..40)]);
                model.vote = Some(vote.clone());
                log.save_vote(vote, done).unwrap();
                last = Some(rx);
            }
            1 if model.entries.len() > 1 => {
                let keep = rng.random_range(0..model.entries.len());
                log.truncate(model.entries[keep].id.index).unwrap();
                model.entries.truncate(keep);
            }
            2 if model.entries.len() > 1 => {
                let upto = rng.random_range(0..model.entries.len());
                let id = model.entries[upto].id;
                log.purge(id).unwrap();
                model.entries.drain(..=upto);
                model.purged = Some(id);
            }
            3 if rng.random_range(0..5) == 0 => {
                let id = Id {
                    term: term + 1,
                    index: next + 10,
                };
                log.purge(id).unwrap();
                (model.entries, model.purged) = (Vec::new(), Some(id));
            }
            4 => log.save_committed(model.last()).unwrap(),
            _ => {
                let term = term + u64::from(rng.random_range(0..10) == 0);
                let count = rng.random_range(1..6);
                let make = |i| {
                    let id = Id {
                        term,
                        index: next + i,
                    };
                    Entry {
                        id,
                        kind: rng.random(),
                        body: body(rng),
                    }
                };
                let entries: Vec<_> = (0..count).map(make).collect();
                model.entries.extend(entries.iter().cloned());
                log.append(entries, done).unwrap();
                last = Some(rx);
            }
        }
        models.push(model.clone());
        if rng.random_range(0..4) == 0
            && let Some(rx) = last.take()
        {
            rx.recv().unwrap().unwrap();
        }
    }
    // A vote is told once it is on disk.
    flush(&log);
    check(&log, &model, "what is read is not what was written");
    drop(log);
    disk.before.lock().take();
    let last_cut = cut.lock().take().unwrap_or_else(|| {
        // It outlived its steps: all is on disk.
        let files = disk.files.lock();
        Cut {
            files: cut_power(&files, rng),
            done: models.len() - 1,
        }
    });
    (last_cut, models)
}

fn history(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let top = tempfile::tempdir().unwrap();
    let mut dir = top.path().join("0");
    std::fs::create_dir(&dir).unwrap();
    let mut model = Model::default();
    for n in 1..=6 {
        let (cut, models) = life(&dir, model, &mut rng);
        dir = top.path().join(n.to_string());
        std::fs::create_dir(&dir).unwrap();
        for (path, data) in &cut.files {
            std::fs::write(dir.join(path.file_name().unwrap()), data).unwrap();
        }
        let log = Log::open(&dir, options(&Arc::default())).unwrap();
        let found = Model::of(&log);
        let possible = &models[cut.done..];
        // Of an append that was not reported, any first part may have survived.
        let part_of_a_step = possible.windows(2).any(|w| {
            let same = |m: &Model| (&m.purged, &m.vote) == (&found.purged, &found.vote);
            same(&w[0])
                && same(&w[1])
                && found.entries.starts_with(&w[0].entries)
                && w[1].entries.starts_with(&found.entries)
        });
        assert!(
            possible.contains(&found) || part_of_a_step,
            "seed {seed}, life {n}: found {}; {} steps were reported done, and left {}",
            found.brief(),
            cut.done,
            possible[0].brief(),
        );
        model = found;
    }
}

#[test]
fn power_cuts_lose_nothing_that_was_reported() {
    if let Ok(seed) = std::env::var("PONTOON_SEED") {
        return history(seed.parse().expect("PONTOON_SEED is a number"));
    }
    let base: u64 = rand::random();
    for seed in (0..40).map(|i| base.wrapping_add(i)) {
        eprintln!("seed {seed}");
        history(seed);
    }
}

#[test]
fn the_harness_finds_replies_before_the_sync() {
    // The same check on a disk that says synced and is not: it must fail within these lives.
    let lost = (0..40).any(|seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let dir = tempfile::tempdir().unwrap();
        let (mut cut, models) = life(dir.path(), Model::default(), &mut rng);
        // The last sector that was written is gone, although its sync was reported.
        for data in cut.files.values_mut() {
            if let Some(last) = data.iter().rposition(|b| *b != 0).filter(|l| *l > 4096) {
                data[last - last % 512..].fill(0);
            }
        }
        let after = tempfile::tempdir().unwrap();
        for (path, data) in &cut.files {
            std::fs::write(after.path().join(path.file_name().unwrap()), data).unwrap();
        }
        match Log::open(after.path(), options(&Arc::default())) {
            Ok(log) => !models[cut.done..].contains(&Model::of(&log)),
            Err(_) => true,
        }
    });
    assert!(lost, "no lost write was noticed");
}
