//! Reading entries: from memory, or from the segments, checked.

use super::error::Error;
use super::memory::{Slot, Source};
use super::record::{self, Found, HEAD};
use super::{Entry, Id, Shared, segment};
use crate::base::limits;
use bytes::{Bytes, BytesMut};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// See [`super::Log::read_memory`].
pub(super) fn read_memory(shared: &Shared, range: Range<u64>, max: usize) -> Option<Vec<Entry>> {
    let sources = shared.inner.lock().memory.select(range, max);
    let memory = |source| match source {
        Source::Memory(entry) => Some(entry),
        Source::Disk(..) => None,
    };
    sources.into_iter().map(memory).collect()
}

/// See [`super::Log::read`].
pub(super) fn read(shared: &Shared, range: Range<u64>, max: usize) -> Result<Vec<Entry>, Error> {
    loop {
        let (sources, salts) = {
            let inner = shared.inner.lock();
            let sources = inner.memory.select(range.clone(), max);
            let mut salts = HashMap::new();
            for source in &sources {
                if let Source::Disk(_, slot) = source {
                    salts.entry(slot.segment).or_insert_with(|| {
                        let first = inner.segments[0].header.seq;
                        inner.segments[(slot.segment - first) as usize].header.salt
                    });
                }
            }
            (sources, salts)
        };
        match fetch(shared, &sources, &salts) {
            // A purge deleted the segment meanwhile: its entries are then not selected again.
            Err(Error::Io { source: e, .. }) if e.kind() == io::ErrorKind::NotFound => {
                let first = shared.inner.lock().memory.first();
                if let Some(Source::Disk(id, _)) = sources.first()
                    && first.is_some_and(|f| f <= id.index)
                {
                    let path = segment::path(&shared.dir, sources_segment(&sources));
                    return Err(Error::damage(&path, 0u64, "the segment was deleted"));
                }
            }
            other => return other,
        }
    }
}

fn sources_segment(sources: &[Source]) -> u32 {
    match sources.first() {
        Some(Source::Disk(_, slot)) => slot.segment,
        _ => 0,
    }
}

fn fetch(
    shared: &Shared,
    sources: &[Source],
    salts: &HashMap<u32, u64>,
) -> Result<Vec<Entry>, Error> {
    let mut out = Vec::with_capacity(sources.len());
    let mut open: Option<(u32, File)> = None;
    let mut rest = sources;
    while let Some(source) = rest.first() {
        let first = match source {
            Source::Memory(entry) => {
                out.push(entry.clone());
                rest = &rest[1..];
                continue;
            }
            Source::Disk(_, slot) => *slot,
        };
        // Entries that lie one after the other are read together.
        let mut end = end_of(&first);
        let mut count = 1;
        while let Some(Source::Disk(_, next)) = rest.get(count)
            && next.segment == first.segment
            && next.offset >= end
            && end_of(next) - first.offset <= limits::LOG_READ_LEN
        {
            end = end_of(next);
            count += 1;
        }
        let path = segment::path(&shared.dir, first.segment);
        if open.as_ref().is_none_or(|(seq, _)| *seq != first.segment) {
            let file = File::open(&path).map_err(|e| Error::io("open", &path, e))?;
            open = Some((first.segment, file));
        }
        let (_, file) = open.as_ref().expect("opened above");
        let mut data = BytesMut::zeroed((end - first.offset) as usize);
        file.read_exact_at(&mut data, u64::from(first.offset))
            .map_err(|e| Error::io("read", &path, e))?;
        let data = data.freeze();
        for source in &rest[..count] {
            let Source::Disk(id, slot) = source else {
                unreachable!("only these were counted")
            };
            let at = (slot.offset - first.offset) as usize;
            let bytes = data.slice(at..at + record::total(slot.len) as usize);
            let entry = check(*id, slot, bytes, salts[&slot.segment])
                .map_err(|what| Error::damage(&path, slot.offset, what))?;
            out.push(entry);
        }
        rest = &rest[count..];
    }
    Ok(out)
}

fn end_of(slot: &Slot) -> u32 {
    slot.offset + record::total(slot.len)
}

/// The entry in `bytes`, if that is what they hold.
fn check(id: Id, slot: &Slot, bytes: Bytes, salt: u64) -> Result<Entry, String> {
    let Found::Head(head) = record::head(&bytes, salt, slot.offset) else {
        return Err(format!(
            "the head of entry {} was written here and is not",
            id.index
        ));
    };
    if (head.kind, head.term, head.index, head.len)
        != (record::Kind::Entry, id.term, id.index, slot.len)
    {
        return Err(format!(
            "entry {} of term {} was written here, another is",
            id.index, id.term
        ));
    }
    let stored = bytes.slice(HEAD as usize..);
    if !record::is_whole(&head, &stored) {
        return Err(format!("entry {} has a wrong checksum", id.index));
    }
    let mut body = stored.slice(..slot.len as usize);
    if head.mask != 0 {
        let mut plain = stored.to_vec();
        record::apply_mask(&mut plain, head.mask);
        plain.truncate(slot.len as usize);
        body = plain.into();
    }
    Ok(Entry {
        id,
        kind: head.sub,
        body,
    })
}
