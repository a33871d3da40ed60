//! Reading all rows back, in parallel: what a node does when it starts, before it replays its log.
//!
//! Always: each row is given exactly once, and rows of one part come in ascending order from one thread.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::Error;
use super::base::Directory;
use super::rocks::FIRST_ROW;

/// How much lower than others' the loading threads rank.
const NICENESS: i32 = 10;

/// Gives every row to `on_row` with the number of its part. `cuts`, ascending, divide the keys: part 0 holds
/// those before the first cut, part `i` those from cut `i - 1` on. Returns how many rows there were.
pub fn load<F>(
    db: &dyn Directory,
    threads: usize,
    cuts: &[Vec<u8>],
    on_row: F,
) -> Result<u64, Error>
where
    F: Fn(usize, &[u8], &[u8]) -> Result<(), String> + Sync,
{
    assert!(
        cuts.windows(2).all(|pair| pair[0] < pair[1]),
        "the cuts of a load are ascending and differ"
    );
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let rows = AtomicU64::new(0);
    let work = || -> Result<(), Error> {
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part > cuts.len() {
                return Ok(());
            }
            let from = part.checked_sub(1).map_or(&FIRST_ROW[..], |cut| &cuts[cut]);
            let to = cuts.get(part).map(Vec::as_slice);
            let count = load_part(db, from, to, &stop, |key, value| on_row(part, key, value))
                .inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            rows.fetch_add(count, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let lower = || {
            // A node that loads may share its cores with one that serves.
            let _ = rustix::process::nice(NICENESS);
            work()
        };
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(lower)).collect();
        let mut result = Ok(());
        for worker in workers {
            let other = worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(other);
        }
        result
    })?;
    Ok(rows.into_inner())
}

fn load_part(
    db: &dyn Directory,
    from: &[u8],
    to: Option<&[u8]>,
    stop: &AtomicBool,
    mut on_row: impl FnMut(&[u8], &[u8]) -> Result<(), String>,
) -> Result<u64, Error> {
    let mut count = 0;
    db.scan(from, to, &mut |key, value| {
        on_row(key, value)?;
        count += 1;
        Ok(count % 1024 != 0 || !stop.load(Ordering::Relaxed))
    })?;
    Ok(count)
}
