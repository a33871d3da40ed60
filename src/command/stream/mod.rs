//! The stream commands.
//!
//! Reading order: [`id`] (reading and writing ids), [`add`] (adding and removing entries), [`range`],
//! [`read`] (XREAD and XREADGROUP), [`group`], [`pending`] (what was delivered and not acknowledged),
//! [`position`] (how many entries a group has read), [`info`].
//!
//! **Invariants.** An entry's fields are names and values in turn, each behind its length, as the
//! mutation carries them. Whatever a group knows changes by mutations too, times included: Redis
//! does not replicate when a consumer was last seen, here it survives a failover.

mod add;
mod group;
mod id;
mod info;
mod pending;
mod position;
mod range;
mod read;
#[cfg(test)]
mod tests;

use super::settings::notify;
use super::{Ctx, Fail, Handler};
use crate::data::Stream;
use crate::data::stream::{Group, Id};
use crate::mutation::Mutation;
use crate::mutation::codec::get_bytes;
use crate::resp::Out;

/// Names and handlers.
pub const COMMANDS: &[(&str, Handler)] = &[
    ("xack", pending::xack),
    ("xadd", add::xadd),
    ("xautoclaim", pending::xautoclaim),
    ("xclaim", pending::xclaim),
    ("xdel", add::xdel),
    ("xgroup|create", group::create),
    ("xgroup|createconsumer", group::createconsumer),
    ("xgroup|delconsumer", group::delconsumer),
    ("xgroup|destroy", group::destroy),
    ("xgroup|help", group::help),
    ("xgroup|setid", group::setid),
    ("xinfo|consumers", info::consumers),
    ("xinfo|groups", info::groups),
    ("xinfo|help", info::help),
    ("xinfo|stream", info::stream),
    ("xlen", range::xlen),
    ("xpending", pending::xpending),
    ("xrange", |c, a, o| range::range(c, a, o, false)),
    ("xread", |c, a, o| read::read(c, a, o, false)),
    ("xreadgroup", |c, a, o| read::read(c, a, o, true)),
    ("xrevrange", |c, a, o| range::range(c, a, o, true)),
    ("xsetid", add::xsetid),
    ("xtrim", add::xtrim),
];

/// The names and values of an entry, in turn.
fn items(mut fields: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    std::iter::from_fn(move || get_bytes(&mut fields).ok())
}

/// Writes an entry: its id, and its names and values.
fn write_entry(out: &mut Out, id: Id, fields: &[u8]) {
    out.array(2);
    id::write(out, id);
    out.array(items(fields).count());
    for item in items(fields) {
        out.bulk(item);
    }
}

/// Writes entries as one array; how many there were.
fn write_entries<'a>(out: &mut Out, entries: impl Iterator<Item = (Id, &'a [u8])>) -> usize {
    let array = out.deferred();
    let mut n = 0;
    for (id, fields) in entries {
        write_entry(out, id, fields);
        n += 1;
    }
    out.end_array(array, n);
    n
}

/// How an argument is quoted in an error: up to a NUL, as Redis does.
fn quoted(arg: &[u8]) -> String {
    let end = arg.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&arg[..end.unwrap_or(arg.len())]).into_owned()
}

/// `NOGROUP No such key 'key' or consumer group 'group'`, and what comes behind.
fn no_key_or_group(key: &[u8], group: &[u8], behind: &str) -> Fail {
    let (key, group) = (quoted(key), quoted(group));
    Fail::text(format!(
        "NOGROUP No such key '{key}' or consumer group '{group}'{behind}"
    ))
}

/// `NOGROUP No such consumer group 'group' for key name 'key'`.
fn no_group(key: &[u8], group: &[u8]) -> Fail {
    let (key, group) = (quoted(key), quoted(group));
    Fail::text(format!(
        "NOGROUP No such consumer group '{group}' for key name '{key}'"
    ))
}

/// The group of a stream that was looked at and has it.
fn peek_group<'a>(
    ctx: &'a Ctx<'_>,
    key: &[u8],
    group: &[u8],
) -> Result<(&'a Stream, &'a Group), Fail> {
    let stream = ctx.peek_stream(key)?.ok_or(Fail::NO_KEY)?;
    let group = stream.group(group).ok_or_else(|| no_group(key, group))?;
    Ok((stream, group))
}

/// A consumer of a group that exists was seen now; active too, where it was given something. It is made
/// where there is none of that name.
fn see_consumer(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
    active: bool,
) -> Result<(), Fail> {
    let known = peek_group(ctx, key, group)?.1.consumers.get(consumer);
    let was = known.map(|c| (c.seen, c.active));
    let now = ctx.now;
    let active = match was {
        _ if active => Some(now),
        Some((_, active)) => active,
        None => None,
    };
    if was == Some((now, active)) {
        return Ok(());
    }
    ctx.apply(Mutation::StreamConsumer {
        db: ctx.db,
        key,
        group,
        consumer,
        seen: now,
        active,
    })?;
    if was.is_none() {
        ctx.notify(notify::STREAM, "xgroup-createconsumer", key);
    }
    Ok(())
}
