//! SORT and SORT_RO.
//!
//! Every key that BY and GET name is looked at through the context, so that the reply waits for what
//! changed it.

use std::cmp::Ordering;

use crate::base::number;
use crate::command::args as arg;
use crate::command::settings::notify;
use crate::command::table;
use crate::command::{Args, Ctx, Cursor, Fail};
use crate::keyspace::Value;
use crate::mutation::Mutation;
use crate::resp::Out;

const NOT_NUMBERS: Fail = Fail::new("ERR One or more scores can't be converted into double");

const BY_DENIED: Fail =
    Fail::new("ERR BY option of SORT denied due to insufficient ACL permissions.");
const GET_DENIED: Fail =
    Fail::new("ERR GET option of SORT denied due to insufficient ACL permissions.");

/// What was asked for.
#[derive(Default)]
struct Options<'a> {
    descending: bool,
    alpha: bool,
    by: Option<&'a [u8]>,
    /// BY a name without `*`: the elements stay in their order.
    unsorted: bool,
    gets: Vec<&'a [u8]>,
    limit: Option<(i64, i64)>,
    store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    /// `all_keys`: BY and GET may name any key.
    fn parse(args: Args<'a>, may_store: bool, all_keys: bool) -> Result<Self, Fail> {
        let mut options = Options::default();
        let mut args = Cursor::from(args, 2);
        while !args.is_empty() {
            let left = args.left() - 1;
            if args.keyword("asc") {
                options.descending = false;
            } else if args.keyword("desc") {
                options.descending = true;
            } else if args.keyword("alpha") {
                options.alpha = true;
            } else if left >= 2 && args.keyword("limit") {
                options.limit = Some((arg::int(args.next()?)?, arg::int(args.next()?)?));
            } else if may_store && left >= 1 && args.keyword("store") {
                options.store = Some(args.next()?);
            } else if left >= 1 && args.keyword("by") {
                let by = args.next()?;
                options.by = Some(by);
                options.unsorted = !by.contains(&b'*');
                if !options.unsorted && !all_keys {
                    return Err(BY_DENIED);
                }
            } else if left >= 1 && args.keyword("get") {
                if !all_keys {
                    return Err(GET_DENIED);
                }
                options.gets.push(args.next()?);
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        Ok(options)
    }

    /// The elements that LIMIT leaves of so many.
    fn range(&self, len: usize) -> std::ops::Range<usize> {
        let (start, count) = self.limit.unwrap_or((0, -1));
        let start = usize::try_from(start.max(0)).map_or(len, |start| start.min(len));
        let end = match usize::try_from(count) {
            Err(_) => len,
            Ok(count) => start.saturating_add(count).min(len),
        };
        start..end
    }
}

/// What an element is sorted by.
#[derive(PartialEq)]
enum Weight {
    /// The element itself, or a key that is not there in a numeric sort.
    Number(f64),
    Text(Option<Box<[u8]>>),
}

pub(super) fn sort(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    run(ctx, args, out, true)
}

pub(super) fn sort_ro(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    run(ctx, args, out, false)
}

/// The names of the keys of BY and GET come from the data: who uses them must be allowed to read all keys.
fn reads_all_keys(ctx: &Ctx<'_>, args: Args<'_>) -> bool {
    ctx.user
        .as_ref()
        .is_none_or(|user| table::resolve(args).is_ok_and(|spec| user.reads_all_keys(spec, args)))
}

fn run(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out, may_store: bool) -> Result<(), Fail> {
    let mut options = Options::parse(args, may_store, reads_all_keys(ctx, args))?;
    let (elements, is_set) = elements(ctx, args[1])?;
    // What is stored of a set must not depend on how the set lies in memory.
    if options.unsorted && is_set && (options.store.is_some() || ctx.script) {
        (options.unsorted, options.alpha, options.by) = (false, true, None);
    }
    let sorted = if options.unsorted {
        let mut elements = elements;
        if options.descending && !is_set {
            elements.reverse();
        }
        elements
    } else {
        ordered(ctx, elements, &options)?
    };
    let chosen = &sorted[options.range(sorted.len())];
    let mut values: Vec<Option<Box<[u8]>>> = Vec::new();
    for element in chosen {
        if options.gets.is_empty() {
            values.push(Some(element.clone()));
        }
        for pattern in &options.gets {
            values.push(pointed_at(ctx, pattern, element));
        }
    }
    match options.store {
        None => {
            out.array(values.len());
            values.iter().for_each(|v| out.bulk_or_null(v.as_deref()));
        }
        Some(to) => {
            store(ctx, to, &values)?;
            out.len_int(values.len());
        }
    }
    Ok(())
}

type Element = Box<[u8]>;

/// The elements in the order in which they lie, and whether that order means nothing.
fn elements(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<(Vec<Element>, bool), Fail> {
    Ok(match ctx.lookup(key).map(|e| &e.value) {
        None => (Vec::new(), false),
        Some(Value::List(c)) => (c.data.iter().map(Box::from).collect(), false),
        Some(Value::Set(c)) => (c.data.iter().map(|m| m.to_boxed()).collect(), true),
        Some(Value::ZSet(c)) => (c.data.iter().map(|(m, _)| Box::from(m)).collect(), false),
        Some(_) => return Err(Fail::WRONG_TYPE),
    })
}

fn ordered(
    ctx: &mut Ctx<'_>,
    elements: Vec<Box<[u8]>>,
    options: &Options<'_>,
) -> Result<Vec<Box<[u8]>>, Fail> {
    let mut weighed = Vec::with_capacity(elements.len());
    for element in elements {
        let by = match options.by {
            Some(pattern) => pointed_at(ctx, pattern, &element),
            None => Some(element.clone()),
        };
        let weight = match by {
            by if options.alpha => Weight::Text(by),
            None => Weight::Number(0.0),
            Some(text) => Weight::Number(score(&text)?),
        };
        weighed.push((weight, element));
    }
    weighed.sort_by(|(a, x), (b, y)| {
        let order = match (a, b) {
            // Equal numbers: by the elements, so that the order is the same each time.
            (Weight::Number(a), Weight::Number(b)) => {
                a.partial_cmp(b).unwrap_or(Ordering::Equal).then(x.cmp(y))
            }
            (Weight::Text(a), Weight::Text(b)) => a.cmp(b),
            _ => Ordering::Equal,
        };
        if options.descending {
            order.reverse()
        } else {
            order
        }
    });
    Ok(weighed.into_iter().map(|(_, element)| element).collect())
}

/// A text as C's strtod reads it, spaces in front included; an empty one is 0.
fn score(text: &[u8]) -> Result<f64, Fail> {
    let text = text.trim_ascii_start();
    if text.is_empty() {
        return Ok(0.0);
    }
    number::parse_f64(text).ok_or(NOT_NUMBERS)
}

/// The value that a pattern names for an element: `#` the element itself, `weight_*` a string,
/// `object_*->field` a field of a hash.
fn pointed_at(ctx: &mut Ctx<'_>, pattern: &[u8], element: &[u8]) -> Option<Box<[u8]>> {
    if pattern == b"#" {
        return Some(element.into());
    }
    let star = pattern.iter().position(|&b| b == b'*')?;
    let (head, tail) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = tail.windows(2).position(|w| w == b"->");
    // An arrow at the very end belongs to the name.
    let (tail, field) = match arrow.filter(|at| at + 2 < tail.len()) {
        Some(at) => (&tail[..at], Some(&tail[at + 2..])),
        None => (tail, None),
    };
    let key = [head, element, tail].concat();
    match (&ctx.lookup(&key)?.value, field) {
        (Value::Hash(c), Some(field)) => c.data.get(field).map(Box::from),
        (value, None) => value.as_str().map(|s| s.as_bytes().to_boxed()),
        _ => None,
    }
}

fn store(ctx: &mut Ctx<'_>, key: &[u8], values: &[Option<Box<[u8]>>]) -> Result<(), Fail> {
    let db = ctx.db;
    let replaced = ctx.delete(key)?;
    for value in values {
        ctx.apply(Mutation::ListPush {
            db,
            key,
            front: false,
            value: value.as_deref().unwrap_or_default(),
        })?;
    }
    if !values.is_empty() {
        ctx.notify(notify::LIST, "sortstore", key);
    } else if replaced {
        ctx.notify(notify::GENERIC, "del", key);
    }
    Ok(())
}
