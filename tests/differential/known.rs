//! Differences between Redis 7.0, as distributions have it, and 7.2, which Pontoon follows: each with the change that made it.
//!
//! Always: only these are passed over, and only where the other server is a 7.0.

use super::grammar;
use super::wire::Reply;

/// Whether 7.2 changed this reply.
pub fn since_7_0(request: &[Vec<u8>], pontoon: &Reply, redis: &Reply) -> bool {
    let is = |at: usize, word: &str| {
        request
            .get(at)
            .is_some_and(|w| w.eq_ignore_ascii_case(word.as_bytes()))
    };
    let (ours, theirs) = (&pontoon.text[..], &redis.text[..]);
    let command = grammar::command(request);
    // What 7.2 brought, or has more to tell of: commands, categories, settings, when a consumer was active.
    let tells = [
        "acl|getuser",
        "acl|list",
        "command|count",
        "command|info",
        "command|list",
        "config|get",
        "xinfo|consumers",
        // XREADGROUP and XCLAIM make a consumer whatever they find.
        "xinfo|groups",
        "xinfo|stream",
    ];
    if grammar::is_new(command) || tells.contains(&command) {
        return true;
    }
    let refused = |r: &Reply| r.kind == b'-' || r.items.first().is_some_and(|i| i.kind == b'-');
    let said = |r: &Reply| {
        r.items
            .first()
            .map_or_else(|| r.text.clone(), |i| i.text.clone())
    };
    // 7.2: short lists and sets are listpacks (#11303, #11290).
    (is(0, "OBJECT") && ours == b"listpack" && [&b"quicklist"[..], b"hashtable"].contains(&theirs))
        // 7.2: the least rank is refused (#12167).
        || (is(0, "LPOS") && ours.starts_with(b"ERR value is out of range, value must between"))
        // 7.2: what has no keys is told apart from what is no command.
        || (command.starts_with("command|getkeys") && refused(pontoon) && refused(redis))
        // 7.2: sets have listpacks (#11290).
        || (command == "config|set" && ours == b"OK" && theirs.starts_with(b"ERR Unknown option"))
        // 7.2: this error names the user.
        || (command == "acl|dryrun" && ours.starts_with(b"User ") && theirs.starts_with(b"This user "))
        || [pontoon, redis].iter().all(|r| refused(r) && said(r).starts_with(b"NOPERM "))
        // 7.2: this error names the command.
        || (ours.starts_with(b"ERR Unbalanced '") && theirs.starts_with(b"ERR Unbalanced XREAD"))
        // 7.2: doubles are written as short as they can be (#10587).
        || same_numbers(pontoon, redis)
}

/// Whether the replies agree but for how a double is written.
fn same_numbers(pontoon: &Reply, redis: &Reply) -> bool {
    let number = |r: &Reply| String::from_utf8_lossy(&r.text).parse::<f64>().ok();
    pontoon.kind == redis.kind
        && pontoon.items.len() == redis.items.len()
        && (pontoon.text == redis.text
            || redis.text.len() > 16
                && number(pontoon).is_some()
                && number(pontoon) == number(redis))
        && pontoon
            .items
            .iter()
            .zip(&redis.items)
            .all(|(a, b)| same_numbers(a, b))
}
