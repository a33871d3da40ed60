//! Adding and removing entries: XADD, XTRIM, XDEL, XSETID.

use super::id;
use crate::command::settings::notify;
use crate::command::{Args, Ctx, Cursor, Fail};
use crate::data::stream::{Bound, Header, Id};
use crate::mutation::Mutation;
use crate::mutation::codec::put_bytes;
use crate::resp::Out;

const TWO_BOUNDS: Fail =
    Fail::new("ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
const NEGATIVE_LEN: Fail = Fail::new("ERR The MAXLEN argument must be >= 0.");
const NEGATIVE_LIMIT: Fail = Fail::new("ERR The LIMIT argument must be >= 0.");
const LIMIT_WITHOUT_BOUND: Fail =
    Fail::new("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
const LIMIT_WITHOUT_APPROX: Fail =
    Fail::new("ERR syntax error, LIMIT cannot be used without the special ~ option");
const NO_BOUND: Fail = Fail::new("ERR syntax error, XTRIM must be called with a trimming strategy");
const ZERO_ID: Fail = Fail::new("ERR The ID specified in XADD must be greater than 0-0");
const SMALL_ID: Fail =
    Fail::new("ERR The ID specified in XADD is equal or smaller than the target stream top item");
const EXHAUSTED: Fail =
    Fail::new("ERR The stream has exhausted the last possible ID, unable to add more items");
const TOO_LARGE: Fail = Fail::new("ERR Elements are too large to be stored");

/// Bytes of names and values of one entry, at most.
const ENTRY_LEN_MAX: usize = 1 << 30;
/// Chunks that are taken off at once where no LIMIT is given; and bounds of that limit, in entries.
const CHUNKS_AT_ONCE: usize = 100;
const AT_ONCE_UNLIMITED: usize = 10_000;
const AT_ONCE_MAX: usize = 1_000_000;

/// Which of the first entries are to go.
#[derive(Clone, Copy)]
struct Trim {
    bound: Bound,
    /// Only whole chunks, and no more entries than this.
    whole: Option<usize>,
}

/// The options of XADD and XTRIM.
struct Options {
    trim: Option<Trim>,
    no_mkstream: bool,
    /// The id to add, and whether its sequence number was given; `None`: `*`.
    id: Option<(Id, bool)>,
    /// Where the fields begin.
    fields: usize,
}

impl Options {
    fn read(ctx: &Ctx<'_>, args: Args<'_>, add: bool) -> Result<Options, Fail> {
        let mut cur = Cursor::from(args, 2);
        let (mut bound, mut approx, mut limit) = (None, false, None);
        let (mut no_mkstream, mut id) = (false, None);
        while let Some(arg) = cur.peek() {
            let more = cur.left() > 1;
            if add && arg == b"*" {
                break;
            } else if more && (cur.keyword("maxlen") || cur.keyword("minid")) {
                if bound.is_some() {
                    return Err(TWO_BOUNDS);
                }
                approx = cur.left() > 1 && cur.keyword("~");
                if !approx && cur.left() > 1 {
                    cur.keyword("=");
                }
                bound = Some(if arg.eq_ignore_ascii_case(b"maxlen") {
                    Bound::Len(u64::try_from(cur.int()?).map_err(|_| NEGATIVE_LEN)?)
                } else {
                    Bound::Id(id::exact(cur.next()?, 0)?)
                });
            } else if more && cur.keyword("limit") {
                limit = Some(usize::try_from(cur.int()?).map_err(|_| NEGATIVE_LIMIT)?);
            } else if add && cur.keyword("nomkstream") {
                no_mkstream = true;
            } else if add {
                id = Some(id::to_add(arg)?);
                break;
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        if bound.is_none() && limit.is_some_and(|limit| limit != 0) {
            return Err(LIMIT_WITHOUT_BOUND);
        }
        if bound.is_none() && !add {
            return Err(NO_BOUND);
        }
        if limit.is_some() && !approx {
            return Err(LIMIT_WITHOUT_APPROX);
        }
        let at_once = || match ctx.ks.limits.stream_node_max_entries {
            0 => AT_ONCE_UNLIMITED,
            n => n.saturating_mul(CHUNKS_AT_ONCE).min(AT_ONCE_MAX),
        };
        let whole = match limit {
            _ if !approx => None,
            None => Some(at_once()),
            Some(0) => Some(usize::MAX),
            some => some,
        };
        Ok(Options {
            trim: bound.map(|bound| Trim { bound, whole }),
            no_mkstream,
            id,
            fields: cur.position() + 1,
        })
    }
}

/// Takes the first entries of a stream off; how many.
fn trim(ctx: &mut Ctx<'_>, key: &[u8], trim: Trim) -> Result<usize, Fail> {
    let stream = ctx.peek_stream(key)?;
    let count = stream.map_or(0, |s| s.beyond(trim.bound, trim.whole));
    if count > 0 {
        ctx.apply(Mutation::StreamTrim {
            db: ctx.db,
            key,
            count: count as u64,
        })?;
        ctx.notify(notify::STREAM, "xtrim", key);
    }
    Ok(count)
}

/// The id of a new entry behind `last`.
fn next_id(asked: Option<(Id, bool)>, last: Id, now: u64) -> Result<Id, Fail> {
    let id = match asked {
        None if now > id::ms(last) => id::of(now, 0),
        None => last.checked_add(1).ok_or(EXHAUSTED)?,
        Some((id, false)) if id::ms(id) == id::ms(last) => {
            let seq = (last as u64).checked_add(1).ok_or(SMALL_ID)?;
            id::of(id::ms(id), seq)
        }
        Some((id, _)) => id,
    };
    if id > last { Ok(id) } else { Err(SMALL_ID) }
}

pub fn xadd(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let key = args[1];
    let options = Options::read(ctx, args, true)?;
    let fields = args.get(options.fields..).unwrap_or_default();
    if fields.is_empty() || !fields.len().is_multiple_of(2) {
        return Err(Fail::arity("xadd"));
    }
    if options.id == Some((0, true)) {
        return Err(ZERO_ID);
    }
    let last = match ctx.stream_write(key)? {
        Some(stream) => stream.header.last,
        None if options.no_mkstream => {
            out.null();
            return Ok(());
        }
        None => 0,
    };
    if last == Id::MAX {
        return Err(EXHAUSTED);
    }
    let id = next_id(options.id, last, ctx.now)?;
    let len = fields.iter().map(|item| item.len()).sum::<usize>();
    if len > ENTRY_LEN_MAX {
        return Err(TOO_LARGE);
    }
    let mut packed = Vec::with_capacity(len + 2 * fields.len());
    for item in fields {
        put_bytes(&mut packed, item);
    }
    ctx.apply(Mutation::StreamAdd {
        db: ctx.db,
        key,
        id,
        fields: &packed,
    })?;
    ctx.notify(notify::STREAM, "xadd", key);
    if let Some(wanted) = options.trim {
        trim(ctx, key, wanted)?;
    }
    id::write(out, id);
    Ok(())
}

pub fn xtrim(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let key = args[1];
    let options = Options::read(ctx, args, false)?;
    let present = ctx.stream_write(key)?.is_some();
    let count = match options.trim {
        Some(wanted) if present => trim(ctx, key, wanted)?,
        _ => 0,
    };
    out.len_int(count);
    Ok(())
}

/// Sets what a stream knows beside its entries.
fn set_header(ctx: &mut Ctx<'_>, key: &[u8], header: Header) -> Result<(), Fail> {
    ctx.apply(Mutation::StreamSet {
        db: ctx.db,
        key,
        last: header.last,
        max_deleted: header.max_deleted,
        added: header.added,
    })
}

pub fn xdel(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let key = args[1];
    let Some(stream) = ctx.stream_write(key)? else {
        out.int(0);
        return Ok(());
    };
    let mut header = stream.header;
    let ids = args[2..].iter().map(|arg| id::exact(arg, 0));
    let ids = ids.collect::<Result<Vec<Id>, Fail>>()?;
    let (db, before) = (ctx.db, header.max_deleted);
    let mut gone = 0;
    for id in ids {
        if ctx.peek_stream(key)?.is_some_and(|s| s.get(id).is_some()) {
            ctx.apply(Mutation::StreamDel { db, key, id })?;
            header.max_deleted = header.max_deleted.max(id);
            gone += 1;
        }
    }
    if header.max_deleted != before {
        set_header(ctx, key, header)?;
    }
    if gone > 0 {
        ctx.notify(notify::STREAM, "xdel", key);
    }
    out.int(gone);
    Ok(())
}

const NEGATIVE_ADDED: Fail = Fail::new("ERR entries_added must be positive");
const BELOW_GIVEN_DELETED: Fail =
    Fail::new("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
const BELOW_DELETED: Fail =
    Fail::new("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id");
const BELOW_TOP: Fail =
    Fail::new("ERR The ID specified in XSETID is smaller than the target stream top item");
const BELOW_LEN: Fail =
    Fail::new("ERR The entries_added specified in XSETID is smaller than the target stream length");

pub fn xsetid(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let (key, last) = (args[1], id::exact(args[2], 0)?);
    let (mut added, mut max_deleted) = (None, 0);
    let mut options = Cursor::from(args, 3);
    while !options.is_empty() {
        let more = options.left() > 1;
        if more && options.keyword("entriesadded") {
            added = Some(u64::try_from(options.int()?).map_err(|_| NEGATIVE_ADDED)?);
        } else if more && options.keyword("maxdeletedid") {
            max_deleted = id::exact(options.next()?, 0)?;
            if last < max_deleted {
                return Err(BELOW_GIVEN_DELETED);
            }
        } else {
            return Err(Fail::SYNTAX);
        }
    }
    let stream = ctx.stream_write(key)?.ok_or(Fail::NO_KEY)?;
    let header = stream.header;
    if last < header.max_deleted {
        return Err(BELOW_DELETED);
    }
    if stream.top().is_some_and(|top| last < top) {
        return Err(BELOW_TOP);
    }
    if !stream.is_empty() && added.is_some_and(|added| added < stream.len() as u64) {
        return Err(BELOW_LEN);
    }
    let header = Header {
        last,
        max_deleted: if max_deleted == 0 {
            header.max_deleted
        } else {
            max_deleted
        },
        added: added.unwrap_or(header.added),
    };
    set_header(ctx, key, header)?;
    ctx.notify(notify::STREAM, "xsetid", key);
    out.ok();
    Ok(())
}
