//! XREAD and XREADGROUP: what came behind an id, in several streams at once; and waiting for it.

use bytes::Bytes;

use super::position::advance;
use super::{id, no_key_or_group, peek_group, see_consumer, write_entries, write_entry};
use crate::command::blocking::{Block, Kind, own, timeout_ms};
use crate::command::{Args, Ctx, Cursor, Fail};
use crate::data::stream::Id;
use crate::mutation::Mutation;
use crate::resp::Out;

const NO_GROUP_OPTION: Fail =
    Fail::new("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.");
const NO_NOACK_OPTION: Fail =
    Fail::new("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.");
const GROUP_MISSING: Fail = Fail::new("ERR Missing GROUP option for XREADGROUP");
const LAST_IN_GROUP: Fail = Fail::new(
    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
);
const NEW_WITHOUT_GROUP: Fail = Fail::new(
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
);

/// What stands for `>`: behind the greatest id there is nothing else to ask for.
const NEW: Id = Id::MAX;

/// The arguments of both commands.
struct Request<'a> {
    /// How long to wait where there is nothing; `None`: not at all.
    block: Option<u64>,
    /// Entries of each stream, at most.
    count: usize,
    /// The group and the consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
    keys: Args<'a>,
    /// An id for each key.
    ids: Args<'a>,
}

impl<'a> Request<'a> {
    fn read(args: Args<'a>, grouped: bool, script: bool) -> Result<Self, Fail> {
        let mut cur = Cursor::new(args);
        let (mut block, mut count, mut group, mut no_ack) = (None, usize::MAX, None, false);
        let streams = loop {
            if cur.is_empty() {
                return Err(Fail::SYNTAX);
            }
            let more = cur.left() - 1;
            if more >= 1 && cur.keyword("block") {
                if script {
                    return Err(Fail::text(format!(
                        "ERR {} command is not allowed with BLOCK option from scripts",
                        String::from_utf8_lossy(args[0])
                    )));
                }
                block = Some(timeout_ms(cur.next()?)?);
            } else if more >= 1 && cur.keyword("count") {
                let n = usize::try_from(cur.int()?).unwrap_or(0);
                count = if n == 0 { usize::MAX } else { n };
            } else if more >= 1 && cur.keyword("streams") {
                break cur.rest();
            } else if more >= 2 && cur.keyword("group") {
                if !grouped {
                    return Err(NO_GROUP_OPTION);
                }
                group = Some((cur.next()?, cur.next()?));
            } else if cur.keyword("noack") {
                if !grouped {
                    return Err(NO_NOACK_OPTION);
                }
                no_ack = true;
            } else {
                return Err(Fail::SYNTAX);
            }
        };
        if streams.len() % 2 != 0 {
            let (name, id) = if grouped {
                ("xreadgroup", '>')
            } else {
                ("xread", '$')
            };
            return Err(Fail::text(format!(
                "ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{id}' must be specified."
            )));
        }
        if grouped && group.is_none() {
            return Err(GROUP_MISSING);
        }
        let (keys, ids) = streams.split_at(streams.len() / 2);
        Ok(Request {
            block,
            count,
            group,
            no_ack,
            keys,
            ids,
        })
    }

    /// Behind which id each stream is read. All keys and groups are looked at first.
    fn starts(&self, ctx: &mut Ctx<'_>) -> Result<Vec<Id>, Fail> {
        let mut starts = Vec::with_capacity(self.keys.len());
        for (key, arg) in self.keys.iter().zip(self.ids) {
            let stream = ctx.stream(key)?;
            if let Some((group, _)) = self.group
                && stream.and_then(|s| s.group(group)).is_none()
            {
                let behind = " in XREADGROUP with GROUP option";
                return Err(no_key_or_group(key, group, behind));
            }
            starts.push(match (*arg, self.group) {
                (b"$", None) => stream.map_or(0, |s| s.header.last),
                (b"$", Some(_)) => return Err(LAST_IN_GROUP),
                (b">", None) => return Err(NEW_WITHOUT_GROUP),
                (b">", Some(_)) => NEW,
                (arg, _) => id::exact(arg, 0)?,
            });
        }
        Ok(starts)
    }

    /// The request with ids in the place of `$`, which would mean another one later; `None` where it has none.
    fn settled(&self, args: Args<'_>, starts: &[Id]) -> Option<Vec<Bytes>> {
        let mut args = own(args);
        let first = args.len() - starts.len();
        let mut changed = false;
        for (i, start) in starts.iter().enumerate() {
            if self.ids[i] == b"$" {
                args[first + i] = format!("{}-{}", id::ms(*start), *start as u64).into();
                changed = true;
            }
        }
        changed.then_some(args)
    }
}

/// XREAD and XREADGROUP.
pub fn read(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out, grouped: bool) -> Result<(), Fail> {
    let request = Request::read(args, grouped, ctx.script)?;
    let starts = request.starts(ctx)?;
    let from = out.len();
    let streams = out.deferred();
    let mut served = 0;
    for (key, start) in request.keys.iter().zip(&starts) {
        served += usize::from(match request.group {
            None => plain(ctx, out, key, *start, request.count)?,
            Some((group, consumer)) => of_group(ctx, out, key, group, consumer, *start, &request)?,
        });
    }
    if served > 0 {
        if out.is_resp3() {
            out.end_map(streams, served);
        } else {
            out.end_array(streams, served);
        }
        return Ok(());
    }
    out.truncate(from);
    match request.block {
        None => out.null_array(),
        Some(timeout_ms) => ctx.block(Block {
            keys: request.keys.iter().map(|key| Box::from(*key)).collect(),
            kind: Kind::Stream,
            timeout_ms,
            on_gone: grouped,
            null_array: true,
            args: request.settled(args, &starts),
        }),
    }
    Ok(())
}

/// Begins what is said of one stream.
fn name(out: &mut Out, key: &[u8]) {
    if !out.is_resp3() {
        out.array(2);
    }
    out.bulk(key);
}

/// Writes what a stream has behind an id; says whether that is anything.
fn plain(
    ctx: &mut Ctx<'_>,
    out: &mut Out,
    key: &[u8],
    start: Id,
    count: usize,
) -> Result<bool, Fail> {
    let Some(stream) = ctx.stream(key)? else {
        return Ok(false);
    };
    if stream.top().is_none_or(|top| top <= start) {
        return Ok(false);
    }
    name(out, key);
    write_entries(out, stream.range(start + 1, Id::MAX).take(count));
    Ok(true)
}

/// Writes what a consumer is given of a stream; says whether it is served with that.
fn of_group(
    ctx: &mut Ctx<'_>,
    out: &mut Out,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
    start: Id,
    request: &Request<'_>,
) -> Result<bool, Fail> {
    ctx.stream(key)?;
    if start != NEW {
        see_consumer(ctx, key, group, consumer, false)?;
        name(out, key);
        history(ctx, out, key, group, consumer, start, request.count)?;
        return Ok(true);
    }
    let (stream, g) = peek_group(ctx, key, group)?;
    let before = (g.last, g.read);
    if stream.top().is_none_or(|top| top <= g.last) {
        see_consumer(ctx, key, group, consumer, false)?;
        return Ok(false);
    }
    let mut position = before;
    let mut given = Vec::new();
    name(out, key);
    let entries = stream.range(g.last + 1, Id::MAX).take(request.count);
    write_entries(
        out,
        entries.inspect(|(id, _)| {
            position = advance(stream, position, *id);
            given.push(*id);
        }),
    );
    see_consumer(ctx, key, group, consumer, !request.no_ack)?;
    let (db, time) = (ctx.db, ctx.now);
    ctx.apply(Mutation::StreamGroup {
        db,
        key,
        group,
        last: position.0,
        read: position.1,
    })?;
    if !request.no_ack {
        for id in given {
            ctx.apply(Mutation::StreamPending {
                db,
                key,
                group,
                consumer,
                id,
                time,
                count: 1,
            })?;
        }
    }
    Ok(true)
}

/// Writes what is pending with a consumer behind an id, and counts it as delivered once more.
fn history(
    ctx: &mut Ctx<'_>,
    out: &mut Out,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
    start: Id,
    count: usize,
) -> Result<(), Fail> {
    let (stream, g) = peek_group(ctx, key, group)?;
    let pending = g.consumers.get(consumer).map(|c| &c.pending);
    let pending = pending.into_iter().flat_map(|ids| ids.range(start + 1..));
    let mut again = Vec::new();
    let array = out.deferred();
    let mut n = 0;
    for &id in pending.take(count) {
        n += 1;
        if let Some(fields) = stream.get(id) {
            write_entry(out, id, fields);
            again.push((id, g.pending.get(&id).map_or(0, |p| p.count)));
        } else {
            // It was deleted since, but not acknowledged.
            out.array(2);
            id::write(out, id);
            out.null_array();
        }
    }
    out.end_array(array, n);
    let (db, time) = (ctx.db, ctx.now);
    for (id, count) in again {
        ctx.apply(Mutation::StreamPending {
            db,
            key,
            group,
            consumer,
            id,
            time,
            count: count.saturating_add(1),
        })?;
    }
    Ok(())
}
