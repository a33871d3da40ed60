//! How many of a stream's entries a group has read, and how many it has yet to read, as far as that
//! can be known: entries that were deleted cannot be counted.

use crate::data::Stream;
use crate::data::stream::{Group, Id};

/// Where a group stands: the last id delivered, and the entries read, if known.
pub type Position = (Id, Option<u64>);

/// Whether an entry of that id or above was deleted from the middle of what is there.
fn has_gap_from(stream: &Stream, id: Id) -> bool {
    let deleted = stream.header.max_deleted;
    let Some(first) = stream.first() else {
        return false;
    };
    deleted != 0 && first <= deleted && id <= deleted
}

/// How many entries were ever added up to this id, that one included; `None` where it cannot be told.
fn count_up_to(stream: &Stream, id: Id) -> Option<u64> {
    let header = stream.header;
    if header.added == 0 {
        return Some(0);
    }
    let Some(first) = stream.first().filter(|_| id < header.last) else {
        return (id <= header.last).then_some(header.added);
    };
    // Below the first entry nothing is missing but what was there before it.
    let before = header.added.wrapping_sub(stream.len() as u64);
    let whole = header.max_deleted == 0 || header.max_deleted < first;
    match id.cmp(&first) {
        std::cmp::Ordering::Less if whole => Some(before),
        std::cmp::Ordering::Equal if whole => Some(before.wrapping_add(1)),
        _ => None,
    }
}

/// Where a group stands once it was given the entry of this id.
pub fn advance(stream: &Stream, (last, read): Position, id: Id) -> Position {
    if id <= last {
        return (last, read);
    }
    let read = match read {
        Some(read) if !has_gap_from(stream, id) => Some(read.wrapping_add(1)),
        _ if stream.header.added != 0 => count_up_to(stream, id),
        read => read,
    };
    (id, read)
}

/// How many entries a group has yet to read; `None` where it cannot be told. Negative where a client
/// said that more were read than there are.
pub fn lag(stream: &Stream, group: &Group) -> Option<i64> {
    let added = stream.header.added;
    if added == 0 {
        return Some(0);
    }
    let read = match group.read {
        Some(read) if !has_gap_from(stream, group.last) => read,
        _ => count_up_to(stream, group.last)?,
    };
    Some(added.wrapping_sub(read) as i64)
}
