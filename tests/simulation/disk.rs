//! A node's disk: real files in memory, and what of them was synced.
//!
//! Always: what was synced stays, unless bits rot. What was only written stays when the process dies, and is lost sector
//! by sector, by chance, when the power does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pontoon::base::work::Pace;
use pontoon::log::disk::Disk;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const SECTOR: u64 = 512;

/// The disk of a node, over all its lives. Clones share it.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Inner>>);

struct Inner {
    rng: SmallRng,
    /// What stood in sectors that were written and not synced.
    before: BTreeMap<PathBuf, BTreeMap<u64, Vec<u8>>>,
    /// The power goes at the so many-th operation from now.
    dies_in: Option<u32>,
    dead: bool,
    /// The next sync fails.
    fails: bool,
    slow: bool,
    /// Sectors lost so far.
    lost: u64,
    /// Syncs that failed.
    failed: u64,
}

impl SimDisk {
    /// A sound one.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(Inner {
            rng: SmallRng::seed_from_u64(seed),
            before: BTreeMap::new(),
            dies_in: None,
            dead: false,
            fails: false,
            slow: false,
            lost: 0,
            failed: 0,
        })))
    }

    /// How long a turn of the log or the store takes.
    pub fn pace(&self) -> Pace {
        let this = self.clone();
        Arc::new(move || {
            let mut inner = this.0.lock();
            let us = match inner.slow {
                true => inner.rng.random_range(20_000..400_000),
                false => inner.rng.random_range(100..4000),
            };
            Duration::from_micros(us)
        })
    }

    /// Slow from now on, or not.
    pub fn slow(&self, slow: bool) {
        self.0.lock().slow = slow;
    }

    /// The next sync fails.
    pub fn fail_next(&self) {
        self.0.lock().fails = true;
    }

    /// The power goes in the middle of what the disk does next.
    pub fn die_soon(&self) {
        let mut inner = self.0.lock();
        let n = inner.rng.random_range(0..6);
        inner.dies_in = Some(n);
    }

    /// Whether the power went.
    pub fn dead(&self) -> bool {
        self.0.lock().dead
    }

    /// Sectors lost, syncs failed.
    pub fn losses(&self) -> (u64, u64) {
        let inner = self.0.lock();
        (inner.lost, inner.failed)
    }

    /// The node is not there any more. Nothing it still holds can write. With `power`, what was not synced is lost.
    pub fn stop(&self, power: bool) {
        let mut inner = self.0.lock();
        inner.dead = true;
        let before = std::mem::take(&mut inner.before);
        if !power {
            return;
        }
        let kept = inner.rng.random_range(0..=100);
        for (path, sectors) in before {
            let Ok(file) = File::options().write(true).open(&path) else {
                continue;
            };
            for (sector, bytes) in sectors {
                if inner.rng.random_range(0..100) >= kept {
                    inner.lost += 1;
                    file.write_all_at(&bytes, sector * SECTOR)
                        .expect("a file in memory");
                }
            }
        }
    }

    /// The node starts again.
    pub fn start(&self) {
        let mut inner = self.0.lock();
        (inner.dead, inner.dies_in, inner.fails) = (false, None, false);
    }
}

/// The name that a segment has once it is made.
fn made(path: &Path) -> PathBuf {
    match path.extension().is_some_and(|e| e == "new") {
        true => path.with_extension(""),
        false => path.into(),
    }
}

/// What became of an operation.
#[derive(PartialEq)]
enum Power {
    On,
    /// It went just now, in the middle.
    Going,
    Off,
}

impl Inner {
    fn operate(&mut self) -> Power {
        if self.dead {
            return Power::Off;
        }
        self.dies_in = match self.dies_in {
            Some(0) => {
                self.dead = true;
                return Power::Going;
            }
            left => left.map(|left| left - 1),
        };
        Power::On
    }
}

fn off<T>() -> io::Result<T> {
    Err(io::Error::other("the power is off"))
}

impl Disk for SimDisk {
    fn write_at(&self, file: &File, path: &Path, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.0.lock();
        let power = inner.operate();
        if power == Power::Off {
            return off();
        }
        let image = inner.before.entry(made(path)).or_default();
        let length = file.metadata()?.len();
        for sector in offset / SECTOR..(offset + bytes.len() as u64).div_ceil(SECTOR) {
            image.entry(sector).or_insert_with(|| {
                let mut was = vec![0; SECTOR as usize];
                let there = length.saturating_sub(sector * SECTOR).min(SECTOR) as usize;
                was.truncate(there);
                let _ = file.read_exact_at(&mut was, sector * SECTOR);
                was
            });
        }
        // A write that the power cuts short may have reached the disk all the same.
        file.write_all_at(bytes, offset)?;
        match power {
            Power::On => Ok(()),
            _ => off(),
        }
    }

    fn sync(&self, _: &File, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        if inner.operate() != Power::On {
            return off();
        }
        if std::mem::take(&mut inner.fails) {
            inner.failed += 1;
            return Err(io::Error::other("simulated: an input or output error"));
        }
        inner.before.remove(&made(path));
        Ok(())
    }

    fn allocate(&self, file: &File, _: &Path, len: u64) -> io::Result<()> {
        match self.0.lock().operate() {
            Power::On => file.set_len(len),
            _ => off(),
        }
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }
}
