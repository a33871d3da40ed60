//! Applying mutations of streams, taking them back, and their rows.
//!
//! Under a stream's generation: 0 → its header; 1, id → count of entries ever added with it, then
//! fields; 2, group → its position; 3, group with its length, consumer → its times; 4, group with
//! its length, id → a pending entry. An addition writes no header: an entry above the header's last
//! id carries what the header would say.
//!
//! **Invariant**: a row is written exactly when what it says has changed.

use crate::data::stream::{Consumer, Group, Header, Id, Pending, Stream};
use crate::data::{Limits, Small};
use crate::mutation::Mutation;
use crate::mutation::codec::{get_bytes, get_id, get_option, get_u64};
use crate::mutation::codec::{put_bytes, put_id, put_option, put_u64};

use super::rows::{element_row, put_element};
use super::undo::Undo;
use super::value::{Coll, Value};
use super::{Effects, Keyspace, digest};
use crate::base::rows::Rows;

const HEADER: u8 = 0;
const ENTRY: u8 = 1;
const GROUP: u8 = 2;
const CONSUMER: u8 = 3;
const PENDING: u8 = 4;

/// What a step of a stream found, to be restored.
pub enum Step {
    /// The header, an entry that was added, entries that were taken away.
    Entries {
        header: Header,
        added: Option<Id>,
        gone: Vec<(Id, Box<[u8]>)>,
    },
    /// A group's position; `None`: the group was made.
    Position {
        group: Box<[u8]>,
        was: Option<(Id, Option<u64>)>,
    },
    GroupGone {
        group: Box<[u8]>,
        was: Box<Group>,
    },
    /// A consumer's times; `None`: the consumer was made.
    Times {
        group: Box<[u8]>,
        consumer: Box<[u8]>,
        was: Option<(u64, Option<u64>)>,
    },
    ConsumerGone {
        group: Box<[u8]>,
        consumer: Box<[u8]>,
        was: Consumer,
        pending: Vec<(Id, Pending)>,
    },
    Pending {
        group: Box<[u8]>,
        id: Id,
        was: Option<Pending>,
    },
}

// ---- rows ----------------------------------------------------------------------------------------

/// A row's name behind the generation: its kind, the group it is in, and what tells it from others.
fn name(kind: u8, group: Option<&[u8]>, rest: &[u8]) -> Vec<u8> {
    let mut name = vec![kind];
    if let Some(group) = group {
        name.extend_from_slice(&(group.len() as u32).to_be_bytes());
        name.extend_from_slice(group);
    }
    name.extend_from_slice(rest);
    name
}

fn position_value(last: Id, read: Option<u64>) -> Vec<u8> {
    let mut value = Vec::new();
    put_id(&mut value, last);
    put_option(&mut value, read);
    value
}

fn times_value(seen: u64, active: Option<u64>) -> Vec<u8> {
    let mut value = Vec::new();
    put_u64(&mut value, seen);
    put_option(&mut value, active);
    value
}

fn pending_value(p: &Pending) -> Vec<u8> {
    let mut value = Vec::new();
    put_u64(&mut value, p.time);
    put_u64(&mut value, p.count);
    put_bytes(&mut value, &p.consumer);
    value
}

fn delete(generation: u64, name: &[u8], rows: &mut Rows) {
    rows.delete(&element_row(generation, name));
}

/// Deletes the rows of that kind in a group.
fn delete_in(generation: u64, kind: u8, group: &[u8], rows: &mut Rows) {
    let from = element_row(generation, &name(kind, Some(group), &[]));
    let mut to = from.to_vec();
    // The kind comes before and is not 0xff: something is left.
    while to.pop_if(|last| *last == 0xff).is_some() {}
    if let Some(last) = to.last_mut() {
        *last += 1;
    }
    rows.delete_range(&from, &to);
}

fn put_header(generation: u64, header: Header, rows: &mut Rows) {
    let mut value = Vec::new();
    put_id(&mut value, header.last);
    put_id(&mut value, header.max_deleted);
    put_u64(&mut value, header.added);
    put_element(generation, &[HEADER], &value, rows);
}

fn put_entry(generation: u64, id: Id, added: u64, fields: &[u8], rows: &mut Rows) {
    let mut value = Vec::with_capacity(10 + fields.len());
    put_u64(&mut value, added);
    value.extend_from_slice(fields);
    put_element(
        generation,
        &name(ENTRY, None, &id.to_be_bytes()),
        &value,
        rows,
    );
}

/// Calls for each row of groups, consumers and pending entries.
fn each_in_groups(stream: &Stream, mut f: impl FnMut(&[u8], Vec<u8>)) {
    for (group, g) in stream.groups() {
        f(&name(GROUP, None, group), position_value(g.last, g.read));
        for (consumer, c) in &g.consumers {
            let times = times_value(c.seen, c.active);
            f(&name(CONSUMER, Some(group), consumer), times);
        }
        for (id, p) in &g.pending {
            let row = name(PENDING, Some(group), &id.to_be_bytes());
            f(&row, pending_value(p));
        }
    }
}

/// All rows of a stream.
pub(super) fn put_all(c: &Coll<Stream>, rows: &mut Rows) {
    put_header(c.generation, c.data.header, rows);
    for (id, fields) in c.data.iter() {
        put_entry(c.generation, id, 0, fields, rows);
    }
    each_in_groups(&c.data, |name, value| {
        put_element(c.generation, name, &value, rows);
    });
}

/// Takes one row, in the order of their names; `None` where it is malformed.
pub(super) fn load_row(
    stream: &mut Stream,
    name: &[u8],
    mut value: &[u8],
    limits: &Limits,
) -> Option<()> {
    let (&kind, mut rest) = name.split_first()?;
    let value = &mut value;
    let mut group = || {
        let (len, tail) = rest.split_first_chunk::<4>()?;
        let (group, tail) = tail.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        rest = tail;
        Some(group)
    };
    match kind {
        HEADER => {
            stream.header = Header {
                last: get_id(value).ok()?,
                max_deleted: get_id(value).ok()?,
                added: get_u64(value).ok()?,
            };
        }
        ENTRY => {
            let id = Id::from_be_bytes(rest.try_into().ok()?);
            let added = get_u64(value).ok()?;
            if id > stream.header.last {
                stream.header.last = id;
                stream.header.added = added;
            }
            stream.insert(id, value, limits);
        }
        GROUP => {
            stream.set_group(rest, get_id(value).ok()?, get_option(value).ok()?);
        }
        CONSUMER => {
            let group = group()?;
            let (seen, active) = (get_u64(value).ok()?, get_option(value).ok()?);
            stream.set_consumer(group, rest, seen, active)?;
        }
        PENDING => {
            let group = group()?;
            let id = Id::from_be_bytes(rest.try_into().ok()?);
            let (time, count) = (get_u64(value).ok()?, get_u64(value).ok()?);
            stream.set_pending(group, id, get_bytes(value).ok()?, time, count)?;
        }
        _ => return None,
    }
    Some(())
}

// ---- digest --------------------------------------------------------------------------------------

fn entry_digest(id: Id, fields: &[u8]) -> u64 {
    digest::element(&[&[ENTRY], &id.to_be_bytes(), fields])
}

fn position_digest(group: &[u8], (last, read): (Id, Option<u64>)) -> u64 {
    digest::element(&[&name(GROUP, None, group), &position_value(last, read)])
}

fn times_digest(group: &[u8], consumer: &[u8], (seen, active): (u64, Option<u64>)) -> u64 {
    let name = name(CONSUMER, Some(group), consumer);
    digest::element(&[&name, &times_value(seen, active)])
}

fn pending_digest(group: &[u8], id: Id, p: &Pending) -> u64 {
    let name = name(PENDING, Some(group), &id.to_be_bytes());
    digest::element(&[&name, &pending_value(p)])
}

fn group_digest(group: &[u8], g: &Group) -> u64 {
    let mut sum = position_digest(group, (g.last, g.read));
    for (consumer, c) in &g.consumers {
        sum = sum.wrapping_add(times_digest(group, consumer, (c.seen, c.active)));
    }
    for (&id, p) in &g.pending {
        sum = sum.wrapping_add(pending_digest(group, id, p));
    }
    sum
}

/// The digests of all elements, added up.
pub(super) fn sum(stream: &Stream) -> u64 {
    let entries = stream.iter().map(|(id, fields)| entry_digest(id, fields));
    let groups = stream.groups().map(|(name, g)| group_digest(name, g));
    entries.chain(groups).fold(0, u64::wrapping_add)
}

/// Moves the sum from what an element was to what it is.
fn shift(c: &mut Coll<Stream>, was: u64, now: u64) {
    c.sum = c.sum.wrapping_sub(was).wrapping_add(now);
}

// ---- changes -------------------------------------------------------------------------------------

fn set_position(
    c: &mut Coll<Stream>,
    group: &[u8],
    to: (Id, Option<u64>),
) -> Option<(Id, Option<u64>)> {
    let was = c.data.set_group(group, to.0, to.1);
    let digest_was = was.map_or(0, |was| position_digest(group, was));
    shift(c, digest_was, position_digest(group, to));
    was
}

fn set_times(
    c: &mut Coll<Stream>,
    group: &[u8],
    consumer: &[u8],
    to: (u64, Option<u64>),
) -> Option<Option<(u64, Option<u64>)>> {
    let was = c.data.set_consumer(group, consumer, to.0, to.1)?;
    let digest_was = was.map_or(0, |was| times_digest(group, consumer, was));
    shift(c, digest_was, times_digest(group, consumer, to));
    Some(was)
}

fn set_pending(
    c: &mut Coll<Stream>,
    group: &[u8],
    id: Id,
    to: &Pending,
) -> Option<Option<Pending>> {
    let was = c
        .data
        .set_pending(group, id, &to.consumer, to.time, to.count)?;
    let digest_was = was.as_ref().map_or(0, |p| pending_digest(group, id, p));
    shift(c, digest_was, pending_digest(group, id, to));
    Some(was)
}

fn remove_pending(c: &mut Coll<Stream>, group: &[u8], id: Id) -> Option<Pending> {
    let was = c.data.remove_pending(group, id)?;
    shift(c, pending_digest(group, id, &was), 0);
    Some(was)
}

fn remove_consumer(
    c: &mut Coll<Stream>,
    group: &[u8],
    consumer: &[u8],
) -> Option<(Consumer, Vec<(Id, Pending)>)> {
    let (was, pending) = c.data.remove_consumer(group, consumer)?;
    for (id, p) in &pending {
        shift(c, pending_digest(group, *id, p), 0);
    }
    shift(c, times_digest(group, consumer, (was.seen, was.active)), 0);
    Some((was, pending))
}

fn remove_group(c: &mut Coll<Stream>, group: &[u8]) -> Option<Group> {
    let was = c.data.remove_group(group)?;
    shift(c, group_digest(group, &was), 0);
    Some(was)
}

fn remove(c: &mut Coll<Stream>, id: Id) -> Option<Box<[u8]>> {
    let fields = c.data.remove(id)?;
    shift(c, entry_digest(id, &fields), 0);
    Some(fields)
}

impl Step {
    /// Restores what the step found.
    pub(super) fn undo(self, c: &mut Coll<Stream>, limits: &Limits) {
        match self {
            Step::Entries {
                header,
                added,
                gone,
            } => {
                if let Some((id, fields)) = added.and_then(|id| Some((id, c.data.take_back(id)?))) {
                    shift(c, entry_digest(id, &fields), 0);
                }
                for (id, fields) in gone {
                    c.data.put_back(id, &fields, limits);
                    shift(c, 0, entry_digest(id, &fields));
                }
                c.data.header = header;
            }
            Step::Position { group, was } => match was {
                Some(was) => drop(set_position(c, &group, was)),
                None => drop(remove_group(c, &group)),
            },
            Step::GroupGone { group, was } => {
                shift(c, 0, group_digest(&group, &was));
                c.data.put_group(&group, *was);
            }
            Step::Times {
                group,
                consumer,
                was,
            } => match was {
                Some(was) => drop(set_times(c, &group, &consumer, was)),
                None => drop(remove_consumer(c, &group, &consumer)),
            },
            Step::ConsumerGone {
                group,
                consumer,
                was,
                pending,
            } => {
                set_times(c, &group, &consumer, (was.seen, was.active));
                for (id, p) in pending {
                    set_pending(c, &group, id, &p);
                }
            }
            Step::Pending { group, id, was } => match was {
                Some(was) => drop(set_pending(c, &group, id, &was)),
                None => drop(remove_pending(c, &group, id)),
            },
        }
    }
}

/// Makes the change and says which rows it writes; `None`, with nothing changed, where it does not fit.
fn step(c: &mut Coll<Stream>, m: &Mutation<'_>, rows: &mut Rows, limits: &Limits) -> Option<Step> {
    use Mutation::*;
    let (header, generation) = (c.data.header, c.generation);
    let entry_row = |id: Id| name(ENTRY, None, &id.to_be_bytes());
    let entries = |added, gone| Step::Entries {
        header,
        added,
        gone,
    };
    Some(match *m {
        StreamAdd { id, fields, .. } => {
            if id <= header.last {
                return None;
            }
            c.data.insert(id, fields, limits);
            shift(c, 0, entry_digest(id, fields));
            c.data.header.last = id;
            c.data.header.added = header.added.wrapping_add(1);
            put_entry(generation, id, c.data.header.added, fields, rows);
            entries(Some(id), Vec::new())
        }
        StreamDel { id, .. } => {
            let fields = remove(c, id)?;
            delete(generation, &entry_row(id), rows);
            put_header(generation, header, rows);
            entries(None, vec![(id, fields)])
        }
        StreamTrim { count, .. } => {
            let count = usize::try_from(count).ok()?;
            if count > c.data.len() {
                return None;
            }
            let gone = c.data.pop_front(count);
            if let ([(first, _), ..], [.., (last, _)]) = (&gone[..], &gone[..]) {
                let mut to = element_row(generation, &entry_row(*last)).to_vec();
                to.push(0);
                rows.delete_range(&element_row(generation, &entry_row(*first)), &to);
            }
            put_header(generation, header, rows);
            for (id, fields) in &gone {
                shift(c, entry_digest(*id, fields), 0);
            }
            entries(None, gone)
        }
        StreamSet {
            last,
            max_deleted,
            added,
            ..
        } => {
            if c.data.top().is_some_and(|top| last < top) {
                return None;
            }
            c.data.header = Header {
                last,
                max_deleted,
                added,
            };
            put_header(generation, c.data.header, rows);
            entries(None, Vec::new())
        }
        StreamGroup {
            group, last, read, ..
        } => {
            let was = set_position(c, group, (last, read));
            let value = position_value(last, read);
            put_element(generation, &name(GROUP, None, group), &value, rows);
            Step::Position {
                group: group.into(),
                was,
            }
        }
        StreamGroupDel { group, .. } => {
            let was = Box::new(remove_group(c, group)?);
            delete(generation, &name(GROUP, None, group), rows);
            delete_in(generation, CONSUMER, group, rows);
            delete_in(generation, PENDING, group, rows);
            Step::GroupGone {
                group: group.into(),
                was,
            }
        }
        StreamConsumer {
            group,
            consumer,
            seen,
            active,
            ..
        } => {
            let was = set_times(c, group, consumer, (seen, active))?;
            let name = name(CONSUMER, Some(group), consumer);
            put_element(generation, &name, &times_value(seen, active), rows);
            Step::Times {
                group: group.into(),
                consumer: consumer.into(),
                was,
            }
        }
        StreamConsumerDel {
            group, consumer, ..
        } => {
            let (was, pending) = remove_consumer(c, group, consumer)?;
            delete(generation, &name(CONSUMER, Some(group), consumer), rows);
            for (id, _) in &pending {
                let name = name(PENDING, Some(group), &id.to_be_bytes());
                delete(generation, &name, rows);
            }
            Step::ConsumerGone {
                group: group.into(),
                consumer: consumer.into(),
                was,
                pending,
            }
        }
        StreamPending {
            group,
            consumer,
            id,
            time,
            count,
            ..
        } => {
            let pending = Pending {
                consumer: consumer.into(),
                time,
                count,
            };
            let was = set_pending(c, group, id, &pending)?;
            let name = name(PENDING, Some(group), &id.to_be_bytes());
            put_element(generation, &name, &pending_value(&pending), rows);
            Step::Pending {
                group: group.into(),
                id,
                was,
            }
        }
        StreamAck { group, id, .. } => {
            let was = remove_pending(c, group, id)?;
            let name = name(PENDING, Some(group), &id.to_be_bytes());
            delete(generation, &name, rows);
            Step::Pending {
                group: group.into(),
                id,
                was: Some(was),
            }
        }
        _ => return None,
    })
}

impl Keyspace {
    /// Applies a stream's mutation to a stream that is there.
    pub(super) fn stream_change(&mut self, m: &Mutation<'_>, fx: &mut Effects) -> Option<()> {
        let (db, key) = m.key()?;
        let (rows, limits) = (&mut fx.rows, self.limits);
        let step = self.change(db, key, |entry| {
            let Value::Stream(c) = &mut entry.value else {
                return None;
            };
            step(c, m, rows, &limits)
        })??;
        fx.undo_by(|| Undo::Stream {
            db,
            key: Small::new(key),
            step,
        });
        Some(())
    }
}
