//! Looking for damage on the disk while the log is written: every record of every segment, as a start reads them.
//!
//! Always: what is being written at this moment is not taken for damage: the last segment is damaged only where two looks,
//! apart by more than a write takes, find the same at the same place.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::error::Error;
use super::recover::{Replay, has_head_after};
use super::{Shared, record, segment};

/// Between two segments: others use the disk too.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at what is being written.
const AGAIN: Duration = Duration::from_secs(1);

/// See [`super::Log::scrub`].
pub(super) fn scrub(shared: &Shared) -> Result<u64, Error> {
    let segments: Vec<u32> = {
        let inner = shared.inner.lock();
        inner.segments.iter().map(|s| s.header.seq).collect()
    };
    let Some(newest) = segments.last().copied() else {
        return Ok(0);
    };
    let mut bytes = 0;
    for seq in segments {
        let looked = match seq == newest {
            true => twice(shared, seq),
            false => look(&shared.dir, seq, false),
        };
        match looked {
            Ok(len) => bytes += len,
            // It was purged meanwhile.
            Err(_) if is_gone(shared, seq) => {}
            Err(e) => return Err(e),
        }
        sleep(PAUSE);
    }
    Ok(bytes)
}

fn is_gone(shared: &Shared, seq: u32) -> bool {
    let inner = shared.inner.lock();
    inner.segments.front().is_none_or(|s| s.header.seq > seq)
}

/// The segment that was the last one: it may be written to, or be followed by another by now.
fn twice(shared: &Shared, seq: u32) -> Result<u64, Error> {
    let is_last = || {
        let inner = shared.inner.lock();
        inner.segments.back().is_some_and(|s| s.header.seq == seq)
    };
    let mut seen = BTreeSet::new();
    loop {
        let last = is_last();
        let looked = look(&shared.dir, seq, last);
        let place = match &looked {
            Err(Error::Damage { offset, .. }) => *offset,
            _ => return looked,
        };
        if !seen.insert(place) {
            return looked;
        }
        sleep(AGAIN);
    }
}

/// Reads a segment from the disk. `last`: it may end anywhere.
fn look(dir: &Path, seq: u32, last: bool) -> Result<u64, Error> {
    let path = segment::path(dir, seq);
    // Not what memory has of it: that is right for as long as the machine runs.
    if let Ok(file) = std::fs::File::open(&path) {
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
    let (_, header, data) = segment::load(dir, seq)?;
    let end = Replay::default().segment(&path, &header, &data)?;
    let wrong = match last {
        true => has_head_after(&data, &header, end.pos, |h| h.batch > end.pos),
        false => end.torn || !record::is_zero(&data[end.pos as usize..]),
    };
    if wrong {
        let what = "a record is missing or incomplete, and later ones prove that it was synced";
        return Err(Error::damage(&path, end.pos, what));
    }
    Ok(data.len() as u64)
}
