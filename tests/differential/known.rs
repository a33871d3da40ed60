//! Differences between Redis 7.0, as distributions have it, and 7.2, which Pontoon follows: each with the change that made it.
//!
//! Always: only these are passed over, and only where the other server is a 7.0.

use super::wire::Reply;

/// Whether 7.2 changed this reply.
pub fn since_7_0(request: &[Vec<u8>], pontoon: &Reply, redis: &Reply) -> bool {
    let is = |at: usize, word: &str| {
        request
            .get(at)
            .is_some_and(|w| w.eq_ignore_ascii_case(word.as_bytes()))
    };
    let (ours, theirs) = (&pontoon.text[..], &redis.text[..]);
    // 7.2: short lists and sets are listpacks (#11303, #11290).
    (is(0, "OBJECT") && ours == b"listpack" && [&b"quicklist"[..], b"hashtable"].contains(&theirs))
        // 7.2: ZRANK and ZREVRANK take WITHSCORE (#11235), so that a further word is a wrong one.
        || ((is(0, "ZRANK") || is(0, "ZREVRANK")) && request.len() == 4)
}
