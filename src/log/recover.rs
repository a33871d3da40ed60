//! Opening: reads every segment and decides what its end is: the end, torn, or damaged.
//!
//! Only the last segment that holds records may be torn: to write to the next, the one before was
//! synced. A torn tail is zeroed again, so that the rule holds for the next power cut as well.

use super::disk::Disk;
use super::error::Error;
use super::memory::{Memory, Slot};
use super::record::{self, Found, HEAD, Head, Kind, SECTOR};
use super::segment::{self, FIRST, Header};
use super::state::State;
use super::{Id, Segment};
use crate::base::remains;
use bytes::Bytes;
use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;

/// What was found.
pub(super) struct Recovered {
    pub memory: Memory,
    pub state: State,
    /// Segments that hold records, ascending; the last one is written on.
    pub segments: VecDeque<Segment>,
    /// The file of the last one.
    pub file: File,
    /// Where its next record goes.
    pub pos: u32,
    /// A segment that was made and not used yet.
    pub spare: Option<(File, Header)>,
    /// Bytes of a torn tail that were cut, 0 for none.
    pub cut: u64,
}

impl Recovered {
    /// An empty log, with the segment that was just made for it.
    pub fn new(file: File, header: Header) -> Recovered {
        let segments = VecDeque::from([Segment {
            header,
            last_index: None,
        }]);
        let (memory, state) = (Memory::default(), State::default());
        Recovered {
            memory,
            state,
            segments,
            file,
            pos: FIRST,
            spare: None,
            cut: 0,
        }
    }
}

/// The log in `dir`, or none where there is no segment at all.
pub(super) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    spare_len: u32,
) -> Result<Option<Recovered>, Error> {
    let seqs = segment::list(dir).map_err(|e| Error::io("read", dir, e))?;
    if seqs.is_empty() {
        return Ok(None);
    }
    for pair in seqs.windows(2) {
        if pair[1] != pair[0] + 1 {
            let what = "the segment is missing, and later ones are there";
            return Err(Error::damage(&segment::path(dir, pair[0] + 1), 0u64, what));
        }
    }
    // From the end: spares have no records. The first segment with one is the last of the log.
    let mut blank = Vec::new();
    let mut live = None;
    for seq in seqs.iter().rev() {
        let (file, header, data) = segment::load(dir, *seq)?;
        if has_head_after(&data, &header, FIRST, |_| true) || *seq == seqs[0] {
            live = Some((file, header, data));
            break;
        }
        blank.push((file, header, data));
    }
    let (file, header, data) = live.expect("the first segment ends the search");

    let mut replay = Replay::default();
    let mut segments = VecDeque::new();
    for seq in seqs[0]..header.seq {
        let (_, header, data) = segment::load(dir, seq)?;
        let path = segment::path(dir, seq);
        let end = replay.segment(&path, &header, &data)?;
        if !record::is_zero(&data[end.pos as usize..]) || end.torn {
            let what = "a record is incomplete, and later segments prove that it was synced";
            return Err(Error::damage(&path, end.pos, what));
        }
        segments.push_back(Segment {
            header,
            last_index: replay.last_index,
        });
    }
    let path = segment::path(dir, header.seq);
    let end = replay.segment(&path, &header, &data)?;
    if !replay.begun && header.seq != 1 {
        return Err(Error::damage(
            &path,
            FIRST,
            "the only segment has lost the state it began with",
        ));
    }
    if has_head_after(&data, &header, end.pos, |h| h.batch > end.pos) {
        let what = "a record is missing or incomplete, and later ones prove that it was synced";
        return Err(Error::damage(&path, end.pos, what));
    }
    let cut = wipe(disk, &path, &file, &data, end.pos)?;
    segments.push_back(Segment {
        header,
        last_index: replay.last_index,
    });
    replay.check_whole(&segment::path(dir, seqs[0]))?;
    // What a killed process wrote is in the page cache; before it counts, it must be on disk.
    disk.sync(&file, &path)
        .map_err(|e| Error::io("sync", &path, e))?;

    let spare = keep_spare(disk, dir, blank, spare_len)?;
    let state = State {
        last: replay.memory.last(),
        ..replay.memory.state.clone()
    };
    let (memory, pos) = (replay.memory, end.pos);
    Ok(Some(Recovered {
        memory,
        state,
        segments,
        file,
        pos,
        spare,
        cut,
    }))
}

/// The lowest of the unused segments, wiped if need be, where its length is still the one wanted;
/// the others are deleted.
fn keep_spare(
    disk: &dyn Disk,
    dir: &Path,
    mut blank: Vec<(File, Header, Vec<u8>)>,
    len: u32,
) -> Result<Option<(File, Header)>, Error> {
    let keep = blank.pop().filter(|(_, header, _)| header.len == len);
    let first = keep.as_ref().map(|(_, h, _)| h.seq);
    // Highest first, so that no gap is left where this is interrupted.
    for seq in segment::list(dir)
        .map_err(|e| Error::io("read", dir, e))?
        .into_iter()
        .rev()
    {
        let blank_seq = blank.iter().any(|(_, h, _)| h.seq == seq);
        if blank_seq && Some(seq) != first {
            remove(dir, seq)?;
        }
    }
    let Some((file, header, data)) = keep else {
        return Ok(None);
    };
    let path = segment::path(dir, header.seq);
    wipe(disk, &path, &file, &data, FIRST)?;
    Ok(Some((file, header)))
}

/// Deletes a segment for good.
pub(super) fn remove(dir: &Path, seq: u32) -> Result<(), Error> {
    let path = segment::path(dir, seq);
    remains::remove_file(&path).map_err(|e| Error::io("delete", &path, e))?;
    super::disk::sync_dir(dir).map_err(|e| Error::io("sync", dir, e))
}

/// Makes everything from `pos` on zeros again, and returns how many bytes that took.
fn wipe(disk: &dyn Disk, path: &Path, file: &File, data: &[u8], pos: u32) -> Result<u64, Error> {
    let tail = &data[pos as usize..];
    // By pieces: nearly all of a segment is zeros as a rule.
    let pieces = tail.rchunks(SECTOR as usize);
    let Some((after, piece)) = pieces.enumerate().find(|(_, p)| !record::is_zero(p)) else {
        return Ok(0);
    };
    let zeros_after = piece.iter().rev().take_while(|b| **b == 0).count();
    let zeros = vec![0; tail.len() - after * SECTOR as usize - zeros_after];
    disk.write_at(file, path, &zeros, u64::from(pos))
        .and_then(|()| disk.sync(file, path))
        .map_err(|e| Error::io("write", path, e))?;
    Ok(zeros.len() as u64)
}

/// Whether a valid head that satisfies `pred` stands at `from` or later.
pub(super) fn has_head_after(
    data: &[u8],
    header: &Header,
    from: u32,
    pred: impl Fn(&Head) -> bool,
) -> bool {
    let mut sector = from - from % SECTOR;
    while (sector as usize) < data.len() {
        let part = &data[sector as usize..(sector + SECTOR) as usize];
        if !record::is_zero(part) {
            for at in (sector..=sector + SECTOR - HEAD).step_by(record::ALIGN as usize) {
                if at < from {
                    continue;
                }
                if let Found::Head(h) = record::head(&data[at as usize..], header.salt, at)
                    && pred(&h)
                {
                    return true;
                }
            }
        }
        sector += SECTOR;
    }
    false
}

/// Where a segment's records end.
pub(super) struct End {
    pub pos: u32,
    /// An incomplete record stands there.
    pub torn: bool,
}

/// The log as far as it was read.
#[derive(Default)]
pub(super) struct Replay {
    memory: Memory,
    /// The highest index that the segment being read holds an entry of, truncated ones included.
    last_index: Option<u64>,
    /// Entries, first and last index, that were in deleted segments. A purge must follow.
    missing: Option<(u64, u64)>,
    begun: bool,
}

impl Replay {
    /// Reads a segment up to where no complete record follows.
    pub fn segment(&mut self, path: &Path, header: &Header, data: &[u8]) -> Result<End, Error> {
        self.last_index = None;
        let mut pos = FIRST;
        loop {
            let at = record::place(pos);
            if !record::is_zero(&data[pos as usize..(at as usize).min(data.len())]) {
                return Err(Error::damage(
                    path,
                    pos,
                    "bytes between records are not zeros",
                ));
            }
            pos = at;
            if pos + HEAD > header.len {
                return Ok(End {
                    pos: pos.min(header.len),
                    torn: false,
                });
            }
            let head = match record::head(&data[pos as usize..], header.salt, pos) {
                Found::Nothing => return Ok(End { pos, torn: false }),
                Found::Damage => {
                    return Err(Error::damage(
                        path,
                        pos,
                        "a record's head has a wrong checksum",
                    ));
                }
                Found::Head(head) => head,
            };
            let end = u64::from(pos) + u64::from(HEAD) + u64::from(head.len);
            if end.next_multiple_of(record::ALIGN.into()) > u64::from(header.len) {
                return Err(Error::damage(
                    path,
                    pos,
                    "a record is longer than its segment",
                ));
            }
            let end = pos + record::total(head.len);
            let stored = &data[(pos + HEAD) as usize..end as usize];
            if !record::is_whole(&head, stored) {
                if record::is_torn(pos, stored) {
                    return Ok(End { pos, torn: true });
                }
                return Err(Error::damage(
                    path,
                    pos,
                    "a complete record has a wrong checksum",
                ));
            }
            let mut body = std::borrow::Cow::Borrowed(stored);
            if head.mask != 0 {
                record::apply_mask(body.to_mut(), head.mask);
            }
            self.record(header.seq, pos, &head, &body[..head.len as usize])
                .map_err(|what| Error::damage(path, pos, what))?;
            pos = end;
        }
    }

    fn record(&mut self, seq: u32, pos: u32, head: &Head, body: &[u8]) -> Result<(), String> {
        if (head.kind == Kind::State) != (pos == FIRST) {
            return Err("a segment must begin with its state, and has it there alone".into());
        }
        let id = Id {
            term: head.term,
            index: head.index,
        };
        match head.kind {
            Kind::State => {
                let state = State::decode(body).ok_or("the segment's state cannot be read")?;
                self.state(state)?;
            }
            Kind::Entry => self.entry(
                id,
                Slot {
                    segment: seq,
                    offset: pos,
                    len: head.len,
                },
            )?,
            Kind::Vote => self.memory.state.vote = Some(Bytes::copy_from_slice(body)),
            Kind::Committed => self.memory.state.committed = (head.sub != 0).then_some(id),
            Kind::Truncate => {
                self.memory.truncate(id.index);
                self.shrink_missing(|lo, hi| (lo, hi.min(id.index.checked_sub(1)?)).into());
            }
            Kind::Purge => {
                self.memory.purge(id);
                self.shrink_missing(|lo, hi| Some((lo.max(id.index + 1), hi)));
            }
        }
        Ok(())
    }

    fn state(&mut self, state: State) -> Result<(), String> {
        if !self.begun {
            self.begun = true;
            let lo = state.purged.map_or(0, |p| p.index + 1);
            self.missing = state
                .last
                .map(|l| (lo, l.index))
                .filter(|(lo, hi)| lo <= hi);
            self.memory.state = State {
                last: None,
                ..state
            };
            return Ok(());
        }
        let mut here = State {
            last: self.memory.last(),
            ..self.memory.state.clone()
        };
        if self.missing.is_some() {
            // The term of the last one is not known where it was deleted.
            here.last = state.last;
        }
        match here == state {
            true => Ok(()),
            false => Err(format!(
                "the segment was begun after {state:?}, and those before it end with {here:?}"
            )),
        }
    }

    fn entry(&mut self, id: Id, slot: Slot) -> Result<(), String> {
        let next = match (self.memory.first(), self.missing) {
            (None, Some((_, hi))) => Some(hi + 1),
            _ => self.memory.next(),
        };
        if next.is_some_and(|n| n != id.index) {
            return Err(format!(
                "entry {} stands where {} was to follow",
                id.index,
                next.unwrap()
            ));
        }
        self.memory.push_stored(id, slot);
        self.last_index = self.last_index.max(Some(id.index));
        Ok(())
    }

    fn shrink_missing(&mut self, f: impl Fn(u64, u64) -> Option<(u64, u64)>) {
        self.missing = self
            .missing
            .and_then(|(lo, hi)| f(lo, hi))
            .filter(|(lo, hi)| lo <= hi);
    }

    /// Every entry that was not purged must be there.
    fn check_whole(&self, first: &Path) -> Result<(), Error> {
        match self.missing {
            None => Ok(()),
            Some((lo, hi)) => {
                let what = format!("entries {lo} to {hi} were in segments that are gone");
                Err(Error::damage(first, FIRST, what))
            }
        }
    }
}
