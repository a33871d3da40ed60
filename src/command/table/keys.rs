//! Which arguments of a request are keys or channels: for routing, ACL checks, tracking, and
//! COMMAND GETKEYS.
//!
//! Invariants: every position is an argument of the request; a request whose key arguments are
//! malformed, or that has too few or too many, has no keys: the command itself reports what is
//! wrong. Work is linear in the arguments.

use std::ops::Range;

use smallvec::SmallVec;

use super::{Begin, CommandId, Find, KeySpec, Spec, key};
use crate::base::number::parse_i64;

/// One key among a request's arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its position; the command's name is at 0.
    pub at: usize,
    /// What the command does with it: bits of `key`.
    pub flags: u16,
}

/// The keys of a request; most have one.
pub type Keys = SmallVec<[Key; 2]>;

/// The keys of a request.
pub fn keys(spec: &Spec, args: &[&[u8]]) -> Keys {
    find(spec, args, false)
}

/// The arguments that route a request to a slot: its keys, and the channels of sharded pub/sub.
pub fn routed_keys(spec: &Spec, args: &[&[u8]]) -> Keys {
    find(spec, args, true)
}

fn find(spec: &Spec, args: &[&[u8]], routed: bool) -> Keys {
    let mut keys = Keys::new();
    if !spec.accepts(args.len()) {
        return keys;
    }
    // Most requests: one key, at a place that never changes.
    if let [
        KeySpec {
            begin: Begin::Index(at),
            find: Find::Range { last: 0, .. },
            flags,
            ..
        },
    ] = spec.key_specs
        && flags & key::VARIABLE_FLAGS == 0
    {
        let at = *at as usize;
        if routed || flags & key::NOT_KEY == 0 {
            keys.push(Key { at, flags: *flags });
        }
        return keys;
    }
    let by_code = spec
        .key_specs
        .iter()
        .any(|spec| spec.flags & key::VARIABLE_FLAGS != 0);
    if by_code || by_specs(spec, args, routed, &mut keys).is_none() {
        keys.clear();
        by_command(spec.id, args, &mut keys);
    }
    keys
}

/// Follows the key specs; None where they cannot tell or the request is malformed.
fn by_specs(spec: &Spec, args: &[&[u8]], routed: bool, keys: &mut Keys) -> Option<()> {
    let count = args.len() as i64;
    for spec in spec.key_specs {
        if spec.flags & key::NOT_KEY != 0 && !routed {
            continue;
        }
        let begin = match spec.begin {
            Begin::Unknown => return None,
            Begin::Index(at) => i64::from(at),
            Begin::Keyword(word, from) => match behind(word, from, args) {
                Some(at) => at as i64,
                None => continue,
            },
        };
        let (first, last, step) = match spec.find {
            Find::Unknown => return None,
            Find::Range { last, step, limit } => {
                let last = match (last, limit) {
                    (0.., _) => begin + i64::from(last),
                    (_, 0) => count + i64::from(last),
                    (_, limit) => begin + (count - begin) / i64::from(limit) + i64::from(last),
                };
                (begin, last, step)
            }
            Find::Counted {
                count_at,
                first,
                step,
            } => {
                let keys = parse_i64(args.get((begin + i64::from(count_at)) as usize)?)?;
                let first = begin + i64::from(first);
                (first, first.checked_add(keys)?.checked_sub(1)?, step)
            }
        };
        if first >= count && !keys.is_empty() {
            // PFMERGE without sources: the destination is a key all the same, and a user may have no right to it.
            continue;
        }
        if last >= count || last < first || first >= count {
            return None;
        }
        let places = (first as usize..=last as usize).step_by(step as usize);
        keys.extend(places.map(|at| Key {
            at,
            flags: spec.flags,
        }));
        if spec.flags & key::INCOMPLETE != 0 {
            return None;
        }
    }
    Some(())
}

/// The place behind a word: the first one from argument `from` on, or, where that is negative, the
/// last one that is that far from the end or farther. The argument that ends the search is not looked at.
fn behind(word: &str, from: i16, args: &[&[u8]]) -> Option<usize> {
    let is_word = |at: &usize| args[*at].eq_ignore_ascii_case(word.as_bytes());
    let found = if from > 0 {
        (usize::from(from.unsigned_abs())..args.len().saturating_sub(1)).find(is_word)
    } else {
        let start = args.len().checked_sub(usize::from(from.unsigned_abs()))?;
        (2..=start).rev().find(is_word)
    };
    found.map(|at| at + 1)
}

/// Commands whose keys only their own grammar tells, or tells in more cases than their specs.
fn by_command(id: CommandId, args: &[&[u8]], keys: &mut Keys) {
    let is = |at: usize, word: &str| {
        args.get(at)
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    };
    let mut push = |at, flags| keys.push(Key { at, flags });
    match id {
        CommandId::Set => {
            let get = (3..args.len()).any(|at| is(at, "get"));
            let flags = if get {
                key::RW | key::ACCESS | key::UPDATE
            } else {
                key::OW | key::UPDATE
            };
            push(1, flags);
        }
        CommandId::Bitfield => {
            let flags = if bitfield_writes(args) {
                key::RW | key::UPDATE
            } else {
                key::RO
            };
            push(1, flags | key::ACCESS);
        }
        CommandId::SortRo => push(1, key::RO | key::ACCESS),
        CommandId::Sort => {
            push(1, key::RO | key::ACCESS);
            let mut store = None;
            let mut at = 2;
            while at < args.len() {
                if is(at, "store") && at + 1 < args.len() {
                    // The last one holds, and its key may itself read as an option.
                    store = Some(at + 1);
                }
                at += match () {
                    () if is(at, "limit") => 3,
                    () if is(at, "get") || is(at, "by") => 2,
                    () => 1,
                };
            }
            if let Some(at) = store {
                push(at, key::OW | key::UPDATE);
            }
        }
        CommandId::Georadius | CommandId::Georadiusbymember => {
            push(1, 0);
            let mut store = None;
            let mut at = 5;
            while at + 1 < args.len() {
                if is(at, "store") || is(at, "storedist") {
                    store = Some(at + 1);
                    at += 1;
                }
                at += 1;
            }
            if let Some(at) = store {
                push(at, 0);
            }
        }
        CommandId::Migrate => {
            let flags = key::RW | key::ACCESS | key::DELETE;
            let mut at = 6;
            while at < args.len() && !is(at, "keys") {
                at += match () {
                    () if is(at, "auth") => 2,
                    () if is(at, "auth2") => 3,
                    () => 1,
                };
            }
            if at >= args.len() {
                push(3, flags);
            } else if args[3].is_empty() {
                (at + 1..args.len()).for_each(|at| push(at, flags));
            }
        }
        _ => {}
    }
}

/// Whether BITFIELD may write: anything but GET and OVERFLOW, syntax errors included.
fn bitfield_writes(args: &[&[u8]]) -> bool {
    let mut at = 2;
    while at < args.len() {
        let left = args.len() - at - 1;
        if args[at].eq_ignore_ascii_case(b"get") && left >= 2 {
            at += 3;
        } else if args[at].eq_ignore_ascii_case(b"overflow") && left >= 1 {
            at += 2;
        } else {
            return true;
        }
    }
    false
}

/// The channels or patterns of a pub/sub request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    /// Their positions.
    pub at: Range<usize>,
    /// They are patterns.
    pub patterns: bool,
    /// The request sends; others subscribe, or end a subscription.
    pub publishes: bool,
    /// The request ends subscriptions, which needs no permission.
    pub unsubscribes: bool,
}

/// The channels that a request names; None for commands that name none.
pub fn channels(id: CommandId, args: &[&[u8]]) -> Option<Channels> {
    use CommandId::*;
    let (patterns, publishes, unsubscribes) = match id {
        Publish | Spublish => (false, true, false),
        Subscribe | Ssubscribe => (false, false, false),
        Unsubscribe | Sunsubscribe => (false, false, true),
        Psubscribe => (true, false, false),
        Punsubscribe => (true, false, true),
        _ => return None,
    };
    let end = if publishes {
        args.len().min(2)
    } else {
        args.len()
    };
    Some(Channels {
        at: 1.min(end)..end,
        patterns,
        publishes,
        unsubscribes,
    })
}

#[cfg(test)]
mod tests {
    use super::super::resolve;
    use super::*;

    fn words(request: &str) -> Vec<&[u8]> {
        request
            .split(' ')
            .map(|word| {
                if word == "''" {
                    &b""[..]
                } else {
                    word.as_bytes()
                }
            })
            .collect()
    }

    /// The keys of a request, each with the names of its flags behind it.
    fn check(request: &str, expected: &[&str]) {
        let args = words(request);
        let found: Vec<_> = keys(resolve(&args).unwrap(), &args)
            .iter()
            .map(|key| {
                let mut text = String::from_utf8_lossy(args[key.at]).into_owned();
                key::names(key.flags).for_each(|name| text += &format!(" {name}"));
                text
            })
            .collect();
        assert_eq!(found, expected, "{request}");
    }

    fn check_names(request: &str, expected: &str) {
        let args = words(request);
        let found: Vec<_> = keys(resolve(&args).unwrap(), &args)
            .iter()
            .map(|key| String::from_utf8_lossy(args[key.at]).into_owned())
            .collect();
        assert_eq!(found.join(" "), expected, "{request}");
    }

    #[test]
    fn fixed_places() {
        check("get k", &["k RO access"]);
        check("ping", &[]);
        check_names("mset a 1 b 2", "a b");
        check_names("del a b c", "a b c");
        check_names("blpop a b 0", "a b");
        check_names("bitop and d a b", "d a b");
        check("rename a b", &["a RW access delete", "b OW update"]);
        check_names("object encoding k", "k");
        check_names("memory usage k", "k");
        check_names("xgroup create k g $", "k");
        check("get", &[]);
        check("blpop 0", &[]);
    }

    #[test]
    fn counted() {
        check(
            "zunionstore d 2 a b weights 1 2",
            &["d OW update", "a RO access", "b RO access"],
        );
        check_names("eval s 2 a b c", "a b");
        check_names("eval s 0 a", "");
        check_names("eval s 9 a", "");
        check_names("eval s x a", "");
        check_names("eval s -1 a", "");
        check_names("eval s 9223372036854775807 a", "");
        check_names("lmpop 1 a left", "a");
        check_names("blmpop 0 2 a b left", "a b");
        check_names("zinter 2 a b", "a b");
        check_names("fcall f 1 a b", "a");
    }

    #[test]
    fn keywords() {
        check_names("xread count 1 streams a b 0 0", "a b");
        check_names("xreadgroup group streams c streams a >", "a");
        check_names("xread streams", "");
        check_names("xread block 0", "");
        check_names("georadius k 1 1 1 m store d", "k d");
        check_names("georadius k 1 1 1 m withdist storedist d", "k d");
        check_names("georadius k 1 1 1 m store", "k");
        check_names("georadiusbymember k m 1 m store d", "k d");
    }

    #[test]
    fn grammar() {
        check("set k v", &["k OW update"]);
        check("set k v px 1 GET", &["k RW access update"]);
        check("bitfield k get u8 0", &["k RO access"]);
        check("bitfield k overflow sat get u8 0", &["k RO access"]);
        check("bitfield k get u8 0 set u8 0 1", &["k RW access update"]);
        check("bitfield k get", &["k RW access update"]);
        check("sort k", &["k RO access"]);
        check("sort k by w_* store d", &["k RO access", "d OW update"]);
        check("sort k by store get store", &["k RO access"]);
        check(
            "sort k store d limit 0 1 store e",
            &["k RO access", "e OW update"],
        );
        check("sort_ro k get #", &["k RO access"]);
        check("migrate h 1 k 0 1", &["k RW access delete"]);
        check_names("migrate h 1 '' 0 1 copy auth keys keys a b", "a b");
        check_names("migrate h 1 k 0 1 keys a", "");
    }

    #[test]
    fn routed_arguments_include_shard_channels() {
        let args = words("spublish c m");
        let spec = resolve(&args).unwrap();
        assert!(keys(spec, &args).is_empty());
        assert_eq!(routed_keys(spec, &args)[0].at, 1);
        let args = words("ssubscribe a b");
        assert_eq!(routed_keys(resolve(&args).unwrap(), &args).len(), 2);
    }

    #[test]
    fn channels_of_requests() {
        let of = |request: &str| {
            let args = words(request);
            channels(resolve(&args).unwrap().id, &args)
        };
        assert_eq!(of("publish c m").unwrap().at, 1..2);
        assert!(of("publish c m").unwrap().publishes);
        assert_eq!(of("psubscribe a* b*").unwrap().at, 1..3);
        assert!(of("punsubscribe").unwrap().at.is_empty());
        assert_eq!(of("get k"), None);
    }

    /// No arguments, however wrong, lead to a position that is not there.
    #[test]
    fn positions_exist() {
        let fillers = ["k", "0", "1", "99", "-1", "store", "keys", "streams", ""];
        for spec in &super::super::SPECS {
            for filler in fillers {
                for count in 1..10 {
                    let name = spec.full_name.split('|').chain(std::iter::repeat(filler));
                    let args: Vec<&[u8]> = name.take(count).map(str::as_bytes).collect();
                    for key in routed_keys(spec, &args) {
                        assert!(
                            key.at < args.len(),
                            "{} with {count} × {filler}",
                            spec.full_name
                        );
                    }
                }
            }
        }
    }
}
