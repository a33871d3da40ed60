//! PUBLISH, SUBSCRIBE and their kin, PUBSUB.

use bytes::Bytes;

use crate::command::help;
use crate::command::turn::Event;
use crate::command::{Args, Fail};
use crate::resp::Out;
use crate::server::dispatch::{Exec, Handler};
use crate::server::pubsub::Kind;

pub const COMMANDS: &[(&str, Handler)] = &[
    ("publish", |x, a, o| publish(x, a, o, false)),
    ("spublish", |x, a, o| publish(x, a, o, true)),
    ("subscribe", |x, a, o| subscribe(x, a, o, Kind::Channel)),
    ("psubscribe", |x, a, o| subscribe(x, a, o, Kind::Pattern)),
    ("ssubscribe", |x, a, o| subscribe(x, a, o, Kind::Shard)),
    ("unsubscribe", |x, a, o| unsubscribe(x, a, o, Kind::Channel)),
    ("punsubscribe", |x, a, o| {
        unsubscribe(x, a, o, Kind::Pattern)
    }),
    ("sunsubscribe", |x, a, o| unsubscribe(x, a, o, Kind::Shard)),
    ("pubsub|channels", |x, a, o| channels(x, a, o, false)),
    ("pubsub|shardchannels", |x, a, o| channels(x, a, o, true)),
    ("pubsub|numsub", |x, a, o| numsub(x, a, o, false)),
    ("pubsub|shardnumsub", |x, a, o| numsub(x, a, o, true)),
    ("pubsub|numpat", numpat),
    ("pubsub|help", help),
];

fn publish(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out, sharded: bool) -> Result<(), Fail> {
    let (channel, payload) = (
        Bytes::copy_from_slice(args[1]),
        Bytes::copy_from_slice(args[2]),
    );
    out.int(x.server.hub.receivers(&channel, sharded) as i64);
    x.core.publish(Event::Publish {
        channel,
        payload,
        sharded,
    });
    Ok(())
}

fn words(kind: Kind) -> (&'static [u8], &'static [u8]) {
    match kind {
        Kind::Channel => (b"subscribe", b"unsubscribe"),
        Kind::Pattern => (b"psubscribe", b"punsubscribe"),
        Kind::Shard => (b"ssubscribe", b"sunsubscribe"),
    }
}

/// The count that a (un)subscription's reply shows: sharded ones are counted apart.
fn count(x: &Exec<'_>, kind: Kind) -> i64 {
    match kind {
        Kind::Shard => x.session.shards.len() as i64,
        _ => (x.session.channels.len() + x.session.patterns.len()) as i64,
    }
}

fn subscribe(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out, kind: Kind) -> Result<(), Fail> {
    for name in &args[1..] {
        if x.session.names(kind).insert(Bytes::copy_from_slice(name)) {
            x.server.hub.subscribe(kind, name, &x.session.client);
        }
        out.push(3);
        out.bulk(words(kind).0);
        out.bulk(name);
        out.int(count(x, kind));
    }
    Ok(())
}

fn unsubscribe(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out, kind: Kind) -> Result<(), Fail> {
    let names: Vec<Bytes> = if args.len() > 1 {
        args[1..]
            .iter()
            .map(|a| Bytes::copy_from_slice(a))
            .collect()
    } else {
        x.session.names(kind).iter().cloned().collect()
    };
    if names.is_empty() {
        out.push(3);
        out.bulk(words(kind).1);
        out.null();
        out.int(count(x, kind));
    }
    for name in names {
        if x.session.names(kind).remove(&name) {
            x.server.hub.unsubscribe(kind, &name, x.session.client.id);
        }
        out.push(3);
        out.bulk(words(kind).1);
        out.bulk(&name);
        out.int(count(x, kind));
    }
    Ok(())
}

fn channels(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out, sharded: bool) -> Result<(), Fail> {
    if args.len() > 3 {
        return Err(Fail::subcommand(args));
    }
    let names = x.server.hub.channels(args.get(2).copied(), sharded);
    out.array(names.len());
    names.iter().for_each(|n| out.bulk(n));
    Ok(())
}

fn numsub(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out, sharded: bool) -> Result<(), Fail> {
    out.array((args.len() - 2) * 2);
    for name in &args[2..] {
        out.bulk(name);
        out.int(x.server.hub.subscribers(name, sharded) as i64);
    }
    Ok(())
}

fn numpat(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    out.int(x.server.hub.patterns() as i64);
    Ok(())
}

fn help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help::reply(
        out,
        "PUBSUB",
        &[
            (
                "CHANNELS [<pattern>]",
                "Channels with subscribers, those that match the pattern.",
            ),
            ("NUMPAT", "How many patterns are subscribed to."),
            (
                "NUMSUB [<channel> ...]",
                "How many clients are subscribed to each of the channels.",
            ),
            (
                "SHARDCHANNELS [<pattern>]",
                "Sharded channels with subscribers, those that match the pattern.",
            ),
            (
                "SHARDNUMSUB [<shardchannel> ...]",
                "How many clients are subscribed to each of the sharded channels.",
            ),
        ],
    );
    Ok(())
}
