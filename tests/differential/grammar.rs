//! The commands and their arguments: one pattern a form, from which a seeded generator draws requests.
//!
//! A pattern is words: `k` key, `f` field or member, `v` value, `i` integer, `w` integer of few digits, `u` small integer, `n` a time to live far from now, `s` score,
//! `r` score bound, `l` lexicographic bound, `[a|b c]` at times one of the branches, `(a|b)` one of them, anything else itself.
//! No DBSIZE: what has expired counts until it is looked for, at each server in its own time.
//! Always: keys and fields are few, so that types and contents collide; the same seed draws the same requests.

use std::sync::LazyLock;

use rand::Rng;
use rand::rngs::StdRng;

use super::wire::Request;

/// The forms by family, and the key that a family uses half of the time, so that types meet but most commands find their own.
/// A command of many options stands more than once. Ranges by name are of `lex` alone, whose scores are equal: elsewhere they are undefined.
pub const FAMILIES: &[(&str, &[&str])] = &[
    // Strings.
    (
        "a",
        &[
            "SET k v [NX|XX|KEEPTTL|EX 1000|PX 1000000|EX n|GET|NX GET|EXAT 1]",
            "GET k",
            "GETSET k v",
            "GETDEL k",
            "GETEX k [PERSIST|EX 1000|EX n|PXAT 1]",
            "APPEND k v",
            "STRLEN k",
            "SETNX k v",
            "SETEX k 1000 v",
            "SETEX k n v",
            "PSETEX k 1000000 v",
            "MSET k v k v",
            "MSETNX k v k v",
            "MGET k k k",
            "INCR k",
            "DECR k",
            "INCRBY k i",
            "DECRBY k i",
            "INCRBYFLOAT k s",
            "SETRANGE k u v",
            "GETRANGE k i i",
            "SUBSTR k i i",
            "LCS k k [LEN|IDX|IDX WITHMATCHLEN|IDX MINMATCHLEN u]",
        ],
    ),
    // Bits.
    (
        "a",
        &[
            "SETBIT k u (0|1|2)",
            "GETBIT k i",
            "BITCOUNT k",
            "BITCOUNT k i i [BYTE|BIT]",
            "BITPOS k (0|1|2) [i|i i|i i BIT]",
            "BITOP (AND|OR|XOR) k k k",
            "BITOP NOT k k",
            "BITFIELD k [OVERFLOW SAT|OVERFLOW FAIL] (GET u8 u|SET i5 u w|INCRBY u4 #1 i)",
            "BITFIELD_RO k GET (i8|u64|u63) i",
        ],
    ),
    // Any type.
    (
        "b",
        &[
            "DEL k k",
            "UNLINK k",
            "EXISTS k k",
            "TYPE k",
            "RENAME k k",
            "RENAMENX k k",
            "COPY k k [REPLACE]",
            "TOUCH k k",
            "PERSIST k",
            "EXPIRE k 1000 [NX|XX]",
            "EXPIREAT k (99999999999|88888888888) [GT|LT]",
            "EXPIRE k n",
            "PEXPIRE k 1000000",
            "EXPIREAT k 1",
            "PEXPIREAT k 99999999999999",
            "EXPIRETIME k",
            "TTL k",
            "OBJECT ENCODING k",
            "OBJECT REFCOUNT k",
            "KEYS k",
            "DUMP k",
            "SORT k [ALPHA|DESC|LIMIT i i|ALPHA STORE k|BY nosort|ALPHA GET #]",
            "SORT_RO k [ALPHA|ALPHA DESC]",
        ],
    ),
    // Lists.
    (
        "c",
        &[
            "LPUSH k v v",
            "RPUSH k v v v",
            "LPUSHX k v",
            "RPUSHX k v",
            "LPOP k [i]",
            "RPOP k [u]",
            "LLEN k",
            "LINDEX k i",
            "LSET k w v",
            "LINSERT k (BEFORE|AFTER) v v",
            "LRANGE k i i",
            "LTRIM k i i",
            "LREM k i v",
            "RPOPLPUSH k k",
            "LMOVE k k (LEFT|RIGHT) (LEFT|RIGHT)",
            "LMPOP 2 k k (LEFT|RIGHT) [COUNT i]",
            "LPOS k v [RANK i|COUNT i|MAXLEN i]",
        ],
    ),
    // Hashes.
    (
        "d",
        &[
            "HSET k f v f v",
            "HMSET k f v",
            "HSETNX k f v",
            "HGET k f",
            "HMGET k f f",
            "HDEL k f f",
            "HLEN k",
            "HEXISTS k f",
            "HSTRLEN k f",
            "HINCRBY k f i",
            "HINCRBYFLOAT k f s",
            "HGETALL k",
            "HKEYS k",
            "HVALS k",
            "HRANDFIELD k 100 [WITHVALUES]",
        ],
    ),
    // Sets.
    (
        "e",
        &[
            "SADD k f f f",
            "SADD k i i",
            "SREM k f f",
            "SCARD k",
            "SISMEMBER k f",
            "SMISMEMBER k f f",
            "SMEMBERS k",
            "SMOVE k k f",
            "SINTER k k",
            "SUNION k k",
            "SDIFF k k",
            "SINTERSTORE k k k",
            "SUNIONSTORE k k k",
            "SDIFFSTORE k k k",
            "SINTERCARD 2 k k [LIMIT i]",
            "SPOP k 1000",
            "SRANDMEMBER k 1000",
        ],
    ),
    // Sorted sets.
    (
        "f",
        &[
            "ZADD k [NX|XX|GT|LT|CH|NX CH|XX GT|NX GT] s f s f",
            "ZADD k [XX|NX] INCR s f",
            "ZINCRBY k s f",
            "ZREM k f f",
            "ZCARD k",
            "ZSCORE k f",
            "ZMSCORE k f f",
            "ZRANK k f",
            "ZREVRANK k f",
            "ZCOUNT k r r",
            "ZLEXCOUNT lex l l",
            "ZADD lex 0 f 0 f",
            "ZRANGE k i i [REV|WITHSCORES|REV WITHSCORES]",
            "ZRANGE k r r BYSCORE [REV|LIMIT i i|WITHSCORES]",
            "ZRANGE lex l l BYLEX [REV|LIMIT i i]",
            "ZREVRANGE k i i",
            "ZRANGEBYSCORE k r r [WITHSCORES|LIMIT i i]",
            "ZREVRANGEBYSCORE k r r",
            "ZRANGEBYLEX lex l l",
            "ZREVRANGEBYLEX lex l l",
            "ZRANGESTORE k k i i [REV]",
            "ZREMRANGEBYRANK k i i",
            "ZREMRANGEBYSCORE k r r",
            "ZREMRANGEBYLEX lex l l",
            "ZPOPMIN k [i]",
            "ZPOPMAX k [u]",
            "ZMPOP 2 k k (MIN|MAX) [COUNT i]",
            "ZUNION 2 k k [WITHSCORES|WEIGHTS s s|AGGREGATE MAX]",
            "ZINTER 2 k k [WITHSCORES]",
            "ZDIFF 2 k k [WITHSCORES]",
            "ZUNIONSTORE k 2 k k [WEIGHTS s s|AGGREGATE MIN]",
            "ZINTERSTORE k 2 k k",
            "ZDIFFSTORE k 2 k k",
            "ZINTERCARD 2 k k [LIMIT i]",
        ],
    ),
    // Streams.
    (
        "g",
        &[
            "XADD k (1-1|2-1|3-3|5-*) f v",
            "XLEN k",
            "XRANGE k - +",
            "XREVRANGE k + - COUNT i",
            "XDEL k 2-1",
            "XTRIM k MAXLEN i",
            "XGROUP CREATE k g 0 [MKSTREAM]",
            "XREADGROUP GROUP g c COUNT 1 STREAMS k >",
            "XACK k g 1-1 2-1",
            "XPENDING k g",
            "XREAD COUNT u STREAMS k 0",
        ],
    ),
    // Places.
    (
        "h",
        &[
            "GEOADD k [NX|XX|CH] u u f",
            "GEOPOS k f f",
            "GEODIST k f f [km|ft]",
            "GEOHASH k f",
            "GEOSEARCH k FROMLONLAT u u BYRADIUS 2000 km ASC [WITHDIST|WITHCOORD|COUNT i]",
        ],
    ),
    // HyperLogLogs.
    ("i", &["PFADD k f f", "PFCOUNT k k", "PFMERGE k k"]),
    // Scripts and transactions.
    (
        "a",
        &[
            "EVAL return{redis.call('GET',KEYS[1]),ARGV[1]} 1 k v",
            "EVAL return(redis.pcall('INCR',KEYS[1])) 1 k",
            "MULTI",
            "EXEC",
            "EXEC",
            "DISCARD",
            "WATCH k",
            "UNWATCH",
            "ECHO v",
            "PING [v]",
        ],
    ),
];

const KEYS: &[&str] = &["a", "b", "c", "d", "e", "f", "g", "h", "i"];
const FIELDS: &[&str] = &["x", "y", "z", "1", "2", "-7", ""];
const VALUES: &[&str] = &[
    "x",
    "y",
    "10",
    "-1",
    "3.5",
    "",
    "9223372036854775807",
    "hello\0world",
    "01",
];
const INTS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "-2",
    "5",
    "100",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
    "x",
    "1.5",
];
const SCORES: &[&str] = &[
    "0", "1", "-1.5", "2", "3.1", "inf", "-inf", "1e20", "nan", "x", "0.1",
];
const BOUNDS: &[&str] = &["-inf", "+inf", "(1", "1", "2", "(3.1", "0", "x"];
const LEX: &[&str] = &["-", "+", "[x", "(y", "[1", "z"];

/// Every form with its family's key.
pub fn forms() -> &'static [(&'static str, &'static str)] {
    static FORMS: LazyLock<Vec<(&str, &str)>> = LazyLock::new(|| {
        let pairs = |(home, forms): &(&'static str, &'static [&'static str])| {
            let home = *home;
            forms.iter().map(move |form| (home, *form))
        };
        FAMILIES.iter().flat_map(pairs).collect()
    });
    &FORMS
}

/// Draws one request.
pub fn draw(rng: &mut StdRng) -> Request {
    let (home, form) = forms()[rng.random_range(0..forms().len())];
    let mut request = Request::new();
    expand(form, home, rng, &mut request);
    // A word too few or too many, at times; not where a count left out leaves the choice to chance.
    let chance = ["SPOP", "SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER"];
    if rng.random_ratio(1, 60) && request.len() > 1 && !chance.iter().any(|c| form.starts_with(c)) {
        request.pop();
    } else if rng.random_ratio(1, 60) && !form.contains("RANK k f") {
        // A third word of ZRANK is another error in 7.0, which tells when it is queued.
        request.push(b"x".to_vec());
    }
    request
}

fn expand(mut pattern: &str, home: &str, rng: &mut StdRng, request: &mut Request) {
    loop {
        pattern = pattern.trim_start();
        if pattern.is_empty() {
            return;
        }
        let close = match pattern.as_bytes()[0] {
            b'[' => ']',
            b'(' => ')',
            _ => ' ',
        };
        let end = pattern.find(close).unwrap_or(pattern.len());
        let (word, rest) = pattern.split_at(end);
        if close == ' ' {
            request.push(terminal(word, home, rng).as_bytes().to_vec());
            pattern = rest;
            continue;
        }
        pattern = &rest[1..];
        let branches: Vec<&str> = word[1..].split('|').collect();
        let chosen = branches[rng.random_range(0..branches.len())];
        if close == ')' || rng.random_ratio(1, 2) {
            expand(chosen, home, rng, request);
        }
    }
}

fn terminal<'a>(word: &'a str, home: &'a str, rng: &mut StdRng) -> &'a str {
    let from: &[&'a str] = match word {
        "k" if rng.random_ratio(1, 2) => return home,
        "k" => KEYS,
        "f" => FIELDS,
        "v" => VALUES,
        "i" => INTS,
        "n" => &["100", "0", "-1", "x", "9223372036854775807"],
        "w" => &INTS[..8],
        "u" => &["0", "1", "2", "3", "7"],
        "s" => SCORES,
        "r" => BOUNDS,
        "l" => LEX,
        other => return other,
    };
    // The first ones more often than the last: few errors, many collisions.
    let at = rng
        .random_range(0..from.len())
        .min(rng.random_range(0..from.len()));
    from[at]
}
