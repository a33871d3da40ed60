//! What is known of a stream, its groups and their consumers: XINFO.

use super::position::lag;
use super::{id, no_group, write_entries, write_entry};
use crate::command::{Args, Ctx, Fail, args as arguments, help as help_reply};
use crate::data::Stream;
use crate::data::stream::{Consumer, Group, Id, Pending};
use crate::resp::Out;

fn word(out: &mut Out, word: &str) {
    out.bulk(word.as_bytes());
}

fn int_or_null(out: &mut Out, value: Option<i64>) {
    match value {
        Some(value) => out.int(value),
        None => out.null(),
    }
}

pub fn stream(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let stream = ctx.stream(args[2])?.ok_or(Fail::NO_KEY)?;
    let count = match args[3..] {
        [] => None,
        [full] if arguments::is(full, "full") => Some(FULL_COUNT),
        [full, count, n] if arguments::is(full, "full") && arguments::is(count, "count") => {
            let n = usize::try_from(arguments::int(n)?).unwrap_or(FULL_COUNT);
            Some(if n == 0 { usize::MAX } else { n })
        }
        _ => return Err(Fail::subcommand(args)),
    };
    out.map(if count.is_some() { 9 } else { 10 });
    let header = stream.header;
    word(out, "length");
    out.len_int(stream.len());
    // Redis keeps its chunks in a radix tree; here they are in a B-tree, which has no such nodes.
    word(out, "radix-tree-keys");
    out.len_int(stream.chunks());
    word(out, "radix-tree-nodes");
    out.len_int(stream.chunks() + 1);
    word(out, "last-generated-id");
    id::write(out, header.last);
    word(out, "max-deleted-entry-id");
    id::write(out, header.max_deleted);
    word(out, "entries-added");
    out.int(header.added as i64);
    word(out, "recorded-first-entry-id");
    id::write(out, stream.first().unwrap_or(0));
    match count {
        None => {
            word(out, "groups");
            out.len_int(stream.group_count());
            word(out, "first-entry");
            entry_or_null(out, stream.iter().next());
            word(out, "last-entry");
            entry_or_null(out, stream.iter().next_back());
        }
        Some(count) => {
            word(out, "entries");
            write_entries(out, stream.iter().take(count));
            word(out, "groups");
            out.array(stream.group_count());
            for (name, group) in stream.groups() {
                full_group(out, stream, name, group, count);
            }
        }
    }
    Ok(())
}

/// Entries, and what is pending with each, that XINFO STREAM FULL shows without a COUNT.
const FULL_COUNT: usize = 10;

fn entry_or_null(out: &mut Out, entry: Option<(Id, &[u8])>) {
    match entry {
        Some((id, fields)) => write_entry(out, id, fields),
        None => out.null(),
    }
}

fn full_group(out: &mut Out, stream: &Stream, name: &[u8], group: &Group, count: usize) {
    out.map(7);
    word(out, "name");
    out.bulk(name);
    word(out, "last-delivered-id");
    id::write(out, group.last);
    word(out, "entries-read");
    int_or_null(out, group.read.map(|read| read as i64));
    word(out, "lag");
    int_or_null(out, lag(stream, group));
    word(out, "pel-count");
    out.len_int(group.pending.len());
    word(out, "pending");
    out.array(group.pending.len().min(count));
    for (id, pending) in group.pending.iter().take(count) {
        out.array(4);
        id::write(out, *id);
        out.bulk(&pending.consumer);
        delivery(out, pending);
    }
    word(out, "consumers");
    out.array(group.consumers.len());
    for (name, consumer) in &group.consumers {
        full_consumer(out, group, name, consumer, count);
    }
}

fn full_consumer(out: &mut Out, group: &Group, name: &[u8], consumer: &Consumer, count: usize) {
    out.map(5);
    word(out, "name");
    out.bulk(name);
    word(out, "seen-time");
    out.int(consumer.seen as i64);
    word(out, "active-time");
    out.int(consumer.active.map_or(-1, |at| at as i64));
    word(out, "pel-count");
    out.len_int(consumer.pending.len());
    word(out, "pending");
    let ids = consumer.pending.iter().take(count);
    let pending = ids.filter_map(|id| Some((*id, group.pending.get(id)?)));
    out.array(pending.clone().count());
    for (id, pending) in pending {
        out.array(3);
        id::write(out, id);
        delivery(out, pending);
    }
}

fn delivery(out: &mut Out, pending: &Pending) {
    out.int(pending.time as i64);
    out.int(pending.count as i64);
}

pub fn groups(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let stream = ctx.stream(args[2])?.ok_or(Fail::NO_KEY)?;
    out.array(stream.group_count());
    for (name, group) in stream.groups() {
        out.map(6);
        word(out, "name");
        out.bulk(name);
        word(out, "consumers");
        out.len_int(group.consumers.len());
        word(out, "pending");
        out.len_int(group.pending.len());
        word(out, "last-delivered-id");
        id::write(out, group.last);
        word(out, "entries-read");
        int_or_null(out, group.read.map(|read| read as i64));
        word(out, "lag");
        int_or_null(out, lag(stream, group));
    }
    Ok(())
}

pub fn consumers(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (now, key, name) = (ctx.now, args[2], args[3]);
    let stream = ctx.stream(key)?.ok_or(Fail::NO_KEY)?;
    let group = stream.group(name).ok_or_else(|| no_group(key, name))?;
    out.array(group.consumers.len());
    for (name, consumer) in &group.consumers {
        out.map(4);
        word(out, "name");
        out.bulk(name);
        word(out, "pending");
        out.len_int(consumer.pending.len());
        word(out, "idle");
        out.int(now.saturating_sub(consumer.seen) as i64);
        word(out, "inactive");
        out.int(consumer.active.map_or(-1, |at| now as i64 - at as i64));
    }
    Ok(())
}

pub fn help(_: &mut Ctx<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help_reply::reply(
        out,
        "XINFO",
        &[
            (
                "CONSUMERS <key> <groupname>",
                "The consumers of a group, and how long each was idle.",
            ),
            ("GROUPS <key>", "The groups of a stream."),
            (
                "STREAM <key> [FULL [COUNT <count>]]",
                "What is known of a stream.",
            ),
        ],
    );
    Ok(())
}
