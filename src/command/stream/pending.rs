//! What was delivered and is not acknowledged: XACK, XPENDING, XCLAIM, XAUTOCLAIM.

use super::{id, no_key_or_group, peek_group, see_consumer, write_entry};
use crate::base::number::parse_i64;
use crate::command::{Args, Ctx, Cursor, Fail, args as arguments};
use crate::data::stream::{Id, Pending};
use crate::mutation::Mutation;
use crate::resp::Out;

/// Looks at the key and the group, both of which must be there.
fn look(ctx: &mut Ctx<'_>, key: &[u8], group: &[u8]) -> Result<(), Fail> {
    match ctx.stream(key)?.and_then(|s| s.group(group)) {
        Some(_) => Ok(()),
        None => Err(no_key_or_group(key, group, "")),
    }
}

/// An entry is not pending any more.
fn acknowledge(ctx: &mut Ctx<'_>, key: &[u8], group: &[u8], id: Id) -> Result<(), Fail> {
    let db = ctx.db;
    ctx.apply(Mutation::StreamAck { db, key, group, id })
}

pub fn xack(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (key, group) = (args[1], args[2]);
    let stream = ctx.stream(key)?;
    if stream.and_then(|s| s.group(group)).is_none() {
        out.int(0);
        return Ok(());
    }
    let ids = args[3..].iter().map(|arg| id::exact(arg, 0));
    let ids = ids.collect::<Result<Vec<Id>, Fail>>()?;
    let mut done = 0;
    for id in ids {
        if peek_group(ctx, key, group)?.1.pending.contains_key(&id) {
            acknowledge(ctx, key, group, id)?;
            done += 1;
        }
    }
    out.int(done);
    Ok(())
}

/// The part of XPENDING's request that asks for entries one by one.
struct Asked<'a> {
    min_idle: i64,
    from: Id,
    to: Id,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Asked<'a> {
    fn read(args: Args<'a>) -> Result<Self, Fail> {
        let (mut first, mut min_idle) = (3, 0);
        if arguments::is(args[3], "idle") {
            min_idle = arguments::int(args[4])?;
            if args.len() < 8 {
                return Err(Fail::SYNTAX);
            }
            first = 5;
        }
        // The count is read first: of several errors Redis names that one.
        let count = usize::try_from(arguments::int(args[first + 2])?).unwrap_or(0);
        Ok(Asked {
            min_idle,
            from: id::start(args[first])?,
            to: id::end(args[first + 1])?,
            count,
            consumer: args.get(first + 3).copied(),
        })
    }
}

/// Milliseconds since an entry was delivered, never fewer than none.
fn idle(now: u64, pending: &Pending) -> i64 {
    now.saturating_sub(pending.time) as i64
}

/// Whether an entry has been pending for so long; 0 is any time, a negative one too.
fn idle_for(now: u64, pending: &Pending, min: i64) -> bool {
    min <= 0 || now as i64 - pending.time as i64 >= min
}

pub fn xpending(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (key, group) = (args[1], args[2]);
    let asked = match args.len() {
        3 => None,
        6..=9 => Some(Asked::read(args)?),
        _ => return Err(Fail::SYNTAX),
    };
    look(ctx, key, group)?;
    let g = peek_group(ctx, key, group)?.1;
    let Some(asked) = asked else {
        out.array(4);
        out.len_int(g.pending.len());
        let ends = g.pending.first_key_value().zip(g.pending.last_key_value());
        let Some(((&first, _), (&last, _))) = ends else {
            out.null();
            out.null();
            out.null_array();
            return Ok(());
        };
        id::write(out, first);
        id::write(out, last);
        let busy = g.consumers.iter().filter(|(_, c)| !c.pending.is_empty());
        out.array(busy.clone().count());
        for (name, consumer) in busy {
            out.array(2);
            out.bulk(name);
            out.bulk_uint(consumer.pending.len() as u64);
        }
        return Ok(());
    };
    let now = ctx.now;
    let array = out.deferred();
    let mut n = 0;
    let mut write = |id: Id, pending: &Pending| {
        if n < asked.count && idle_for(now, pending, asked.min_idle) {
            n += 1;
            out.array(4);
            id::write(out, id);
            out.bulk(&pending.consumer);
            out.int(idle(now, pending));
            out.int(pending.count as i64);
        }
        n < asked.count
    };
    let range = asked.from..=asked.to.max(asked.from);
    if asked.from <= asked.to && asked.count > 0 {
        // Each returns whether there is room for more: `all` ends where there is none.
        if let Some(name) = asked.consumer {
            if let Some(consumer) = g.consumers.get(name) {
                let mut ids = consumer.pending.range(range);
                ids.all(|id| g.pending.get(id).is_none_or(|p| write(*id, p)));
            }
        } else {
            g.pending.range(range).all(|(id, p)| write(*id, p));
        }
    }
    out.end_array(array, n);
    Ok(())
}

/// What claiming does with each entry.
struct Claim<'a> {
    key: &'a [u8],
    group: &'a [u8],
    consumer: &'a [u8],
    min_idle: i64,
    /// When the entries are said to have been delivered.
    time: u64,
    /// How often they are said to have been delivered.
    count: Option<u64>,
    /// Also those that are not pending.
    force: bool,
    just_id: bool,
}

/// What came of claiming an entry.
#[derive(PartialEq, Eq)]
enum Claimed {
    Yes,
    No,
    /// The entry is gone from the stream, and was pending until now.
    Gone,
}

impl Claim<'_> {
    /// Claims one entry and writes it.
    fn claim(&self, ctx: &mut Ctx<'_>, out: &mut Out, id: Id) -> Result<Claimed, Fail> {
        let (stream, group) = peek_group(ctx, self.key, self.group)?;
        let pending = group.pending.get(&id);
        let Some(fields) = stream.get(id) else {
            if pending.is_none() {
                return Ok(Claimed::No);
            }
            acknowledge(ctx, self.key, self.group, id)?;
            return Ok(Claimed::Gone);
        };
        let delivered = match pending {
            None if !self.force => return Ok(Claimed::No),
            // Redis makes it as delivered once, and counts this delivery too.
            None => 1,
            Some(p) if !idle_for(ctx.now, p, self.min_idle) => return Ok(Claimed::No),
            Some(p) => p.count,
        };
        if self.just_id {
            id::write(out, id);
        } else {
            write_entry(out, id, fields);
        }
        let again = delivered.saturating_add(u64::from(!self.just_id));
        let (key, group, consumer) = (self.key, self.group, self.consumer);
        ctx.apply(Mutation::StreamPending {
            db: ctx.db,
            key,
            group,
            consumer,
            id,
            time: self.time,
            count: self.count.unwrap_or(again),
        })?;
        Ok(Claimed::Yes)
    }

    /// Makes the consumer where there is none: entries are pending with those alone that are there.
    fn ensure_consumer(&self, ctx: &mut Ctx<'_>) -> Result<(), Fail> {
        let consumers = &peek_group(ctx, self.key, self.group)?.1.consumers;
        if consumers.contains_key(self.consumer) {
            return Ok(());
        }
        see_consumer(ctx, self.key, self.group, self.consumer, false)
    }
}

/// An argument as an integer, or an error that says of which argument.
fn number_of(arg: &[u8], what: &str, command: &str) -> Result<i64, Fail> {
    parse_i64(arg).ok_or_else(|| Fail::text(format!("ERR Invalid {what} argument for {command}")))
}

pub fn xclaim(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (key, group, consumer) = (args[1], args[2], args[3]);
    look(ctx, key, group)?;
    let now = ctx.now;
    let number = |arg, what: &str| number_of(arg, what, "XCLAIM");
    let min_idle = number(args[4], "min-idle-time")?;
    // What is no id begins the options.
    let ids = args[5..].iter().map_while(|arg| id::exact(arg, 0).ok());
    let ids: Vec<Id> = ids.collect();
    let mut options = Cursor::from(args, 5 + ids.len());
    let mut claim = Claim {
        key,
        group,
        consumer,
        min_idle,
        time: now,
        count: None,
        force: false,
        just_id: false,
    };
    let mut last_id = 0;
    while let Some(option) = options.peek() {
        let more = options.left() > 1;
        if options.keyword("force") {
            claim.force = true;
        } else if options.keyword("justid") {
            claim.just_id = true;
        } else if more && options.keyword("idle") {
            let idle = number(options.next()?, "IDLE option")?;
            claim.time = time_or_now(i128::from(now) - i128::from(idle), now);
        } else if more && options.keyword("time") {
            claim.time = time_or_now(number(options.next()?, "TIME option")?.into(), now);
        } else if more && options.keyword("retrycount") {
            let count = number(options.next()?, "RETRYCOUNT option")?;
            claim.count = u64::try_from(count).ok();
        } else if more && options.keyword("lastid") {
            last_id = id::exact(options.next()?, 0)?;
        } else {
            let option = super::quoted(option);
            return Err(Fail::text(format!(
                "ERR Unrecognized XCLAIM option '{option}'"
            )));
        }
    }
    let g = peek_group(ctx, key, group)?.1;
    if last_id > g.last {
        let read = g.read;
        ctx.apply(Mutation::StreamGroup {
            db: ctx.db,
            key,
            group,
            last: last_id,
            read,
        })?;
    }
    claim.ensure_consumer(ctx)?;
    let array = out.deferred();
    let mut n = 0;
    for id in ids {
        n += usize::from(claim.claim(ctx, out, id)? == Claimed::Yes);
    }
    see_consumer(ctx, key, group, consumer, n > 0)?;
    out.end_array(array, n);
    Ok(())
}

/// A time of delivery; one that cannot be is taken for now, since clients compute it by clocks of their own.
fn time_or_now(time: i128, now: u64) -> u64 {
    u64::try_from(time).map_or(now, |time| time.min(now))
}

/// Entries that XAUTOCLAIM claims where no COUNT is given, and at most; and how many it looks at for
/// each of them.
const CLAIMED: usize = 100;
const CLAIMED_MAX: i64 = i64::MAX / 16;
const LOOKED_AT: usize = 10;

pub fn xautoclaim(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (key, group, consumer) = (args[1], args[2], args[3]);
    // A key of another type is found only behind all errors of syntax.
    let min_idle = number_of(args[4], "min-idle-time", "XAUTOCLAIM")?;
    let start = id::start(args[5])?;
    let (mut room, mut just_id) = (CLAIMED, false);
    let mut options = Cursor::from(args, 6);
    while !options.is_empty() {
        if options.left() > 1 && options.keyword("count") {
            let otherwise = Fail::new("ERR COUNT must be > 0");
            let count = arguments::int_from(options.next()?, 1, otherwise.clone())?;
            room = match count {
                ..=CLAIMED_MAX => count as usize,
                _ => return Err(otherwise),
            };
        } else if options.keyword("justid") {
            just_id = true;
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    look(ctx, key, group)?;
    let claim = Claim {
        key,
        group,
        consumer,
        min_idle,
        time: ctx.now,
        count: None,
        force: false,
        just_id,
    };
    claim.ensure_consumer(ctx)?;
    let mut attempts = room.saturating_mul(LOOKED_AT);
    let (mut gone, mut n) = (Vec::new(), 0);
    let mut next = Some(start);
    // The reply begins with where the next call is to go on, which is known last.
    let mut claimed = Out::new(out.proto());
    loop {
        let pending = &peek_group(ctx, key, group)?.1.pending;
        let found = next.and_then(|next| pending.range(next..).next());
        next = found.map(|(id, _)| *id);
        let Some(id) = next.filter(|_| attempts > 0 && room > 0) else {
            break;
        };
        attempts -= 1;
        next = id.checked_add(1);
        match claim.claim(ctx, &mut claimed, id)? {
            Claimed::No => continue,
            Claimed::Yes => n += 1,
            Claimed::Gone => gone.push(id),
        }
        room -= 1;
    }
    see_consumer(ctx, key, group, consumer, n > 0)?;
    out.array(3);
    id::write(out, next.unwrap_or(0));
    out.array(n);
    out.raw(claimed.as_slice());
    out.array(gone.len());
    for id in gone {
        id::write(out, id);
    }
    Ok(())
}
