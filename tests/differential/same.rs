//! When two replies count as the same: as far as the command promises anything.
//!
//! Always: errors are compared to the letter; what is passed over is named here with its reason.

use crate::grammar;
use crate::wire::Reply;

/// Replies that tell of the process, of time or of chance: of these the type alone is compared, and whether it is an error.
const OF_ITS_OWN: &[&str] = &[
    "acl|genpass",
    "acl|help",
    "acl|log",
    "client|help",
    "client|id",
    "client|info",
    "client|list",
    "command",
    "command|docs",
    "command|help",
    "config|help",
    "dump",
    "function|dump",
    "function|help",
    "function|stats",
    "hello",
    "info",
    "lastsave",
    "latency|doctor",
    "latency|help",
    "latency|histogram",
    "latency|latest",
    "latency|reset",
    "lolwut",
    "memory|doctor",
    "memory|help",
    "memory|malloc-stats",
    "memory|stats",
    "memory|usage",
    "module|help",
    "object|help",
    "object|idletime",
    "pubsub|help",
    "randomkey",
    "role",
    "script|help",
    "wait",
    "slowlog|get",
    "slowlog|help",
    "slowlog|len",
    "time",
    "xgroup|help",
    "xinfo|help",
];
/// Replies without an order.
const UNORDERED: &[&str] = &[
    "acl|cat",
    "acl|list",
    "acl|users",
    "command|getkeysandflags",
    "command|info",
    "command|list",
    "config|get",
    "function|list",
    "hgetall",
    "hkeys",
    "hrandfield",
    "hscan",
    "hvals",
    "keys",
    "pubsub|channels",
    "pubsub|shardchannels",
    "scan",
    "sdiff",
    "sinter",
    "smembers",
    "sort",
    "sort_ro",
    "spop",
    "srandmember",
    "sscan",
    "sunion",
    "zrandmember",
    "zscan",
    "unsubscribe",
    "punsubscribe",
    "sunsubscribe",
];
/// Times and places in memory that stand within replies, behind these names.
const BLURRED: &[&[u8]] = &[
    b"idle",
    b"inactive",
    b"seen-time",
    b"active-time",
    b"radix-tree-keys",
    b"radix-tree-nodes",
    b"notes",
];
/// Later than this, milliseconds, a number is a time.
const TIMES_FROM: i64 = 1_600_000_000_000;

fn number(reply: &Reply) -> Option<i64> {
    String::from_utf8_lossy(&reply.text).parse().ok()
}

fn is_string_encoding(reply: &Reply) -> bool {
    [&b"int"[..], b"embstr", b"raw"].contains(&&reply.text[..])
}

fn sorted(reply: &Reply) -> Reply {
    let mut reply = reply.clone();
    reply.items = reply.items.iter().map(sorted).collect();
    reply.items.sort();
    reply
}

/// Without what depends on the moment.
fn blurred(reply: &Reply) -> Reply {
    let mut reply = reply.clone();
    if reply.kind == b':' && number(&reply).is_some_and(|n| n > TIMES_FROM) {
        reply.text = b"a time".to_vec();
    }
    let mut blur = false;
    for item in &mut reply.items {
        let known = BLURRED.contains(&&item.text[..]);
        *item = blurred(item);
        if std::mem::replace(&mut blur, known) && b":$".contains(&item.kind) {
            item.text = b"some".to_vec();
        }
    }
    reply
}

/// Without what the two servers have for themselves: their own user's password, XPENDING's idle times.
fn apart(command: &str, reply: &Reply) -> Reply {
    let mut reply = reply.clone();
    match command {
        "acl|list" => reply
            .items
            .retain(|user| !user.text.starts_with(b"user default ")),
        "xpending" => {
            for entry in &mut reply.items {
                if let [_, _, idle, _] = &mut entry.items[..] {
                    idle.text.clear();
                }
            }
        }
        _ => {}
    }
    reply
}

/// Whether the replies agree.
pub fn same(request: &[Vec<u8>], pontoon: &Reply, redis: &Reply) -> bool {
    let command = grammar::command(request);
    if pontoon.kind == b'-' || redis.kind == b'-' {
        return pontoon == redis;
    }
    let (pontoon, redis) = (&apart(command, pontoon), &apart(command, redis));
    match command {
        _ if OF_ITS_OWN.contains(&command) => {
            pontoon.kind == redis.kind && (pontoon.text == b"-1") == (redis.text == b"-1")
        }
        "ttl" | "expiretime" | "pttl" | "pexpiretime" => match (number(pontoon), number(redis)) {
            (Some(a), Some(b)) if a > 0 && b > 0 => {
                a.abs_diff(b) <= if command.starts_with('p') { 2000 } else { 2 }
            }
            _ => pontoon == redis,
        },
        // Notes are in our own words.
        "command|info" => sorted(&blurred(pontoon)) == sorted(&blurred(redis)),
        _ if UNORDERED.contains(&command) => sorted(pontoon) == sorted(redis),
        "xinfo|stream" | "xinfo|consumers" => blurred(pontoon) == blurred(redis),
        // Of a string it follows from the text and from what changed it; see docs/redis-differences.md.
        "object|encoding" if is_string_encoding(pontoon) => is_string_encoding(redis),
        // SORT, even SORT_RO, leaves a sorted set a skiplist in Redis.
        "object|encoding" if pontoon.text == b"listpack" && redis.text == b"skiplist" => true,
        // Redis makes a set by the number of arguments, those named twice included.
        "object|encoding" if pontoon.text == b"listpack" && redis.text == b"hashtable" => true,
        // How Redis shares objects.
        "object|refcount" if number(pontoon).is_some() => number(redis).is_some(),
        _ => pontoon == redis,
    }
}
