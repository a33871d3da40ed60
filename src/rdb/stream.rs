//! Streams: entries in listpacks, each after a master entry's fields; then the groups of consumers.
//!
//! **Invariants.** What is decoded is a sound stream: ids ascend and none is above the last, a pending entry's
//! consumer exists and has it alone.

use std::io::Read;

use super::input::Input;
use super::listpack::{self, Builder, Entries};
use super::output::{put_len, put_plain, put_string};
use super::{Error, kind};
use crate::base::limits::BATCH_LEN_MAX;
use crate::data::stream::{Group, Header, Id};
use crate::data::view::parse_int;
use crate::data::{Limits, Stream};
use crate::mutation::codec::{get_bytes, put_bytes};

/// An entry's flags: it was deleted; its fields' names are the master entry's.
const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;
/// The count of entries read, where nobody knows it.
const UNKNOWN_READ: u64 = u64::MAX;
/// The time of what never happened.
const NEVER: u64 = u64::MAX;

const WRONG: Error = Error::Corrupt("a stream");

fn id(ms: u64, sequence: u64) -> Id {
    Id::from(ms) << 64 | Id::from(sequence)
}

fn read_id<R: Read>(input: &mut Input<R>) -> Result<Id, Error> {
    Ok(id(input.count()?, input.count()?))
}

fn raw_id<R: Read>(input: &mut Input<R>) -> Result<Id, Error> {
    Ok(Id::from_be_bytes(input.array()?))
}

/// The names and values of an entry, in turn.
pub fn items(mut fields: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    std::iter::from_fn(move || get_bytes(&mut fields).ok())
}

// ---- reading -------------------------------------------------------------------------------------

/// Reads a stream.
pub fn decode<R: Read>(input: &mut Input<R>, kind: u8, limits: &Limits) -> Result<Stream, Error> {
    let mut stream = Stream::new();
    // The names of a node's fields are there once and become a part of each of its entries.
    let (mut before, mut room) = (None, BATCH_LEN_MAX);
    for _ in 0..input.count()? {
        let name = input.string()?;
        let name = Id::from_be_bytes(name.try_into().map_err(|_| WRONG)?);
        let pack = input.string()?;
        node(name, &pack, |id, fields| {
            if before.replace(id).is_some_and(|before| before >= id) {
                return Err(WRONG);
            }
            room = room.checked_sub(fields.len()).ok_or(Error::TooLarge)?;
            stream.insert(id, fields, limits);
            Ok(())
        })?;
    }
    let len = input.count()?;
    let last = read_id(input)?;
    if len != stream.len() as u64 || before.is_some_and(|id| id > last) {
        return Err(WRONG);
    }
    stream.header = Header {
        last,
        max_deleted: 0,
        added: len,
    };
    if kind != kind::STREAM {
        // The first entry's id, which the entries say too.
        read_id(input)?;
        stream.header.max_deleted = read_id(input)?;
        stream.header.added = input.count()?;
    }
    for _ in 0..input.count()? {
        group(input, kind, &mut stream)?;
    }
    Ok(stream)
}

/// The entries of one node, whose ids are told by their distance from its name.
fn node(
    name: Id,
    pack: &[u8],
    mut take: impl FnMut(Id, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut pack = listpack::entries(pack)?;
    let (valid, deleted) = (int(&mut pack)?, int(&mut pack)?);
    let mut names = Vec::new();
    for _ in 0..int(&mut pack)? {
        names.push(pack.next().ok_or(WRONG)??.to_vec());
    }
    // A zero ends the master entry.
    if int(&mut pack)? != 0 {
        return Err(WRONG);
    }
    let (mut found, mut gone) = (0i64, 0i64);
    while let Some(flags) = pack.next() {
        let flags = parse_int(&flags?).ok_or(WRONG)?;
        let ms = (name >> 64) as u64;
        let ms = ms.wrapping_add_signed(int(&mut pack)?);
        let sequence = (name as u64).wrapping_add_signed(int(&mut pack)?);
        let mut fields = Vec::new();
        if flags & SAME_FIELDS != 0 {
            for name in &names {
                put_bytes(&mut fields, name);
                put_bytes(&mut fields, &pack.next().ok_or(WRONG)??);
            }
        } else {
            let count = int(&mut pack)?;
            for _ in 0..count.checked_mul(2).ok_or(WRONG)? {
                put_bytes(&mut fields, &pack.next().ok_or(WRONG)??);
            }
        }
        // How many listpack entries this was, for reading backwards.
        int(&mut pack)?;
        if flags & DELETED != 0 {
            gone += 1;
        } else {
            found += 1;
            take(id(ms, sequence), &fields)?;
        }
    }
    if (found, gone) == (valid, deleted) {
        Ok(())
    } else {
        Err(WRONG)
    }
}

fn int(pack: &mut Entries<'_>) -> Result<i64, Error> {
    parse_int(&pack.next().ok_or(WRONG)??).ok_or(WRONG)
}

fn group<R: Read>(input: &mut Input<R>, kind: u8, stream: &mut Stream) -> Result<(), Error> {
    let name = input.string()?;
    let last = read_id(input)?;
    let read = if kind == kind::STREAM {
        estimate(stream, last)
    } else {
        Some(input.count()?).filter(|&read| read != UNKNOWN_READ)
    };
    if stream.group(&name).is_some() {
        return Err(WRONG);
    }
    stream.set_group(&name, last, read);
    // All that is pending, by id; then each consumer says which of it is its own.
    let mut pending = std::collections::BTreeMap::new();
    for _ in 0..input.count()? {
        let id = raw_id(input)?;
        let (time, count) = (input.u64()?, input.count()?);
        if pending.insert(id, (time, count)).is_some() {
            return Err(WRONG);
        }
    }
    for _ in 0..input.count()? {
        let consumer = input.string()?;
        let seen = input.u64()?;
        let active = match kind {
            kind::STREAM_3 => Some(input.u64()?).filter(|&at| at != NEVER),
            _ => Some(seen),
        };
        if !matches!(
            stream.set_consumer(&name, &consumer, seen, active),
            Some(None)
        ) {
            return Err(WRONG);
        }
        for _ in 0..input.count()? {
            let id = raw_id(input)?;
            let (time, count) = pending.remove(&id).ok_or(WRONG)?;
            stream.set_pending(&name, id, &consumer, time, count);
        }
    }
    // Whose they are nobody said.
    if pending.is_empty() {
        Ok(())
    } else {
        Err(WRONG)
    }
}

/// How many entries a group at `id` has read, where versions before 7.0 did not say: what can be known.
fn estimate(stream: &Stream, id: Id) -> Option<u64> {
    let Header { last, added, .. } = stream.header;
    if added == 0 {
        return Some(0);
    }
    if id >= last {
        return (id == last).then_some(added);
    }
    let first = stream.iter().next()?.0;
    let before = added - stream.len() as u64;
    (id <= first).then_some(before + u64::from(id == first))
}

// ---- writing -------------------------------------------------------------------------------------

/// Appends a stream in Redis 7.2's form.
pub fn encode(stream: &Stream, limits: &Limits, out: &mut Vec<u8>) {
    let (mut nodes, mut body) = (0, Vec::new());
    let mut entries = stream.iter().peekable();
    while let Some(&(name, master)) = entries.peek() {
        let mut node = Node::new(name, master);
        while let Some((id, fields)) = entries.next_if(|(_, f)| !node.is_full(f.len(), limits)) {
            node.push(id, fields);
        }
        put_plain(&mut body, &name.to_be_bytes());
        put_string(&mut body, &node.finish());
        nodes += 1;
    }
    put_len(out, nodes);
    out.extend_from_slice(&body);
    put_len(out, stream.len() as u64);
    let Header {
        last,
        max_deleted,
        added,
    } = stream.header;
    let first = stream.iter().next().map_or(0, |(id, _)| id);
    for id in [last, first, max_deleted] {
        put_id(out, id);
    }
    put_len(out, added);
    put_len(out, stream.group_count() as u64);
    for (name, group) in stream.groups() {
        put_string(out, name);
        put_group(out, group);
    }
}

fn put_id(out: &mut Vec<u8>, id: Id) {
    put_len(out, (id >> 64) as u64);
    put_len(out, id as u64);
}

fn put_group(out: &mut Vec<u8>, group: &Group) {
    put_id(out, group.last);
    put_len(out, group.read.unwrap_or(UNKNOWN_READ));
    put_len(out, group.pending.len() as u64);
    for (id, pending) in &group.pending {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&pending.time.to_le_bytes());
        put_len(out, pending.count);
    }
    put_len(out, group.consumers.len() as u64);
    for (name, consumer) in &group.consumers {
        put_string(out, name);
        out.extend_from_slice(&consumer.seen.to_le_bytes());
        out.extend_from_slice(&consumer.active.unwrap_or(NEVER).to_le_bytes());
        put_len(out, consumer.pending.len() as u64);
        for id in &consumer.pending {
            out.extend_from_slice(&id.to_be_bytes());
        }
    }
}

/// A node that is being written.
struct Node<'a> {
    name: Id,
    names: Vec<&'a [u8]>,
    entries: Builder,
    count: usize,
    bytes: usize,
}

impl<'a> Node<'a> {
    /// Named after its first entry, whose fields are the master entry's.
    fn new(name: Id, master: &'a [u8]) -> Self {
        Node {
            name,
            names: items(master).step_by(2).collect(),
            entries: Builder::default(),
            count: 0,
            bytes: 0,
        }
    }

    fn is_full(&self, more: usize, limits: &Limits) -> bool {
        let (entries, bytes) = (limits.stream_node_max_entries, limits.stream_node_max_bytes);
        // Without limits of its own a node still ends somewhere.
        let entries = if entries == 0 { 10_000 } else { entries };
        let bytes = if bytes == 0 { 1 << 20 } else { bytes };
        self.count > 0 && (self.count >= entries || self.bytes + more >= bytes)
    }

    fn push(&mut self, id: Id, fields: &[u8]) {
        let same = items(fields).step_by(2).eq(self.names.iter().copied());
        let flags = if same { SAME_FIELDS } else { 0 };
        let part = |id: Id, shift: u32| (id >> shift) as u64;
        let distance = |shift| part(id, shift).wrapping_sub(part(self.name, shift)) as i64;
        let count = items(fields).count() as i64 / 2;
        let pack = &mut self.entries;
        for int in [flags, distance(64), distance(0)] {
            pack.push_int(int);
        }
        if same {
            items(fields)
                .skip(1)
                .step_by(2)
                .for_each(|value| pack.push(value));
            pack.push_int(count + 3);
        } else {
            pack.push_int(count);
            items(fields).for_each(|item| pack.push(item));
            pack.push_int(2 * count + 4);
        }
        self.count += 1;
        self.bytes += fields.len();
    }

    fn finish(self) -> Vec<u8> {
        let mut pack = Builder::default();
        for int in [self.count as i64, 0, self.names.len() as i64] {
            pack.push_int(int);
        }
        self.names.iter().for_each(|name| pack.push(name));
        pack.push_int(0);
        pack.append(self.entries);
        pack.finish()
    }
}
