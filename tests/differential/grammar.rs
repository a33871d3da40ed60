//! The commands and their arguments: of each command of the table the shapes that its requests have, from which a seeded
//! generator draws: first a command, each as often as any other, then one of its shapes.
//!
//! A shape is words: `k` key, `f` field or member, `v` value, `i` integer, `w` integer of few digits, `u` small integer, `n` a time to live
//! far from now, `s` score, `r` score bound, `l` lexicographic bound, `p` a payload of DUMP, `[a|b c]` at times one of the branches,
//! `(a|b)` one of them, anything else itself. `@ a ; > b ; ~ c ; ! d` is a talk on a connection of its own: `a`, then `b` on the first
//! connection, then `c`, which may block and is not waited for, then `d`, which ends the talk (see `Pair::talk`).
//! Always: keys and fields are few, so that types and contents collide; the same seed draws the same requests.

use std::sync::LazyLock;

use pontoon::command::table;
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
            "DECRBY k w",
            "INCRBY k w",
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
            "PEXPIRETIME k",
            "PTTL k",
            "TTL k",
            "MOVE k 1",
            "COPY k k DB 1 [REPLACE]",
            "RANDOMKEY",
            "DBSIZE",
            "OBJECT FREQ k",
            "OBJECT IDLETIME k",
            "OBJECT HELP",
            "RESTORE k 0 p [REPLACE|REPLACE ABSTTL|REPLACE IDLETIME 1|REPLACE FREQ 1]",
            "RESTORE k 1000000 p REPLACE",
            "RESTORE k 0 v REPLACE",
            "RESTORE-ASKING k 0 p REPLACE",
            "SCAN 0 COUNT 1000 [MATCH ?|TYPE string|MATCH a TYPE zset]",
            "FLUSHDB [ASYNC|SYNC]",
            "FLUSHALL [ASYNC|SYNC]",
            "SWAPDB 0 1",
            "SELECT (0|0|0|1|x)",
            "WAIT 0 0",
            "MEMORY USAGE k [SAMPLES u]",
            "MIGRATE 127.0.0.1 1 gone 0 10",
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
            "BLPOP k k 0.01",
            "BRPOP k 0.01",
            "BLPOP k x",
            "BLMOVE k k (LEFT|RIGHT) (LEFT|RIGHT) 0.01",
            "BRPOPLPUSH k k 0.01",
            "BLMPOP 0.01 2 k k (LEFT|RIGHT) [COUNT 2]",
            "@ ~ BLPOP k k 0.05 ; > RPUSH k v v",
            "@ ~ BRPOP k 0.05 ; > LPUSH k v",
            "@ ~ BLMOVE k k LEFT RIGHT 0.05 ; > RPUSH k v",
            "@ ~ BRPOPLPUSH k k 0.05 ; > RPUSH k v",
            "@ ~ BLMPOP 0.05 1 k LEFT COUNT 2 ; > RPUSH k v v v",
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
            "HSCAN k 0 COUNT 1000 [MATCH x|MATCH *]",
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
            "SSCAN k 0 COUNT 1000 [MATCH x|MATCH *]",
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
            "ZRANDMEMBER k 100 [WITHSCORES]",
            "ZSCAN k 0 COUNT 1000 [MATCH x|MATCH *]",
            "BZPOPMIN k k 0.01",
            "BZPOPMAX k 0.01",
            "BZMPOP 0.01 2 k k (MIN|MAX) [COUNT 2]",
            "@ ~ BZPOPMIN k 0.05 ; > ZADD k 1 f 2 f",
            "@ ~ BZPOPMAX k k 0.05 ; > ZADD k 1 f 2 f",
            "@ ~ BZMPOP 0.05 1 k MAX ; > ZADD k 1 f 2 f",
        ],
    ),
    // Streams.
    (
        "g",
        &[
            "XADD k (1-1|2-1|3-3|5-*|6-*|7-*) f v [f v]",
            "XADD k [NOMKSTREAM|MAXLEN 3|MAXLEN = 2|MINID 2] (8-*|9-*|10-*) f v",
            "XLEN k",
            "XRANGE k (-|2|1-1) (+|5) [COUNT i]",
            "XREVRANGE k + - [COUNT i]",
            "XDEL k 2-1 [3-3]",
            "XTRIM k MAXLEN w",
            "XTRIM k MINID (2|5-1)",
            "XGROUP CREATE k (g|g2) (0|$|2-1) [MKSTREAM|ENTRIESREAD w]",
            "XGROUP SETID k g (0|3-3|$) [ENTRIESREAD w]",
            "XGROUP CREATECONSUMER k g (c|d|e)",
            "XGROUP DELCONSUMER k g (c|d)",
            "XGROUP DESTROY k (g|g2)",
            "XGROUP HELP",
            "XREADGROUP GROUP g (c|d) [COUNT 1|COUNT 2|NOACK] STREAMS k (>|>|0)",
            "XREADGROUP GROUP g c BLOCK 10 STREAMS k >",
            "@ XGROUP CREATE g g 0 MKSTREAM ; ~ XREADGROUP GROUP g c BLOCK 50 STREAMS g > ; > XADD g 11-* f v",
            "XACK k g 1-1 2-1 [5-0|6-0]",
            "XPENDING k g",
            "XPENDING k g - + 10 [c|d]",
            "XPENDING k g IDLE 0 - + (10|w)",
            "XCLAIM k g (c|d) 0 (1-1|2-1|5-0) [JUSTID|FORCE|RETRYCOUNT 3|FORCE JUSTID|LASTID 5-0]",
            "XAUTOCLAIM k g (c|d) 0 (0|2-1) [COUNT 2|JUSTID|COUNT 1 JUSTID]",
            "XINFO STREAM k [FULL|FULL COUNT 1]",
            "XINFO GROUPS k",
            "XINFO CONSUMERS k g",
            "XINFO HELP",
            "XSETID k (1-1|9-9|99-1) [ENTRIESADDED 9 MAXDELETEDID 1-1]",
            "XREAD [COUNT u] STREAMS k (0|2-1|$)",
            "XREAD BLOCK 10 STREAMS k k 0 $",
            "@ ~ XREAD BLOCK 50 STREAMS k $ ; > XADD k 12-* f v",
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
            "GEORADIUS k u u 2000 km ASC [WITHDIST|WITHCOORD|COUNT 2|STORE k|STOREDIST k]",
            "GEORADIUS_RO k u u 2000 km DESC [WITHHASH]",
            "GEORADIUSBYMEMBER k f 2000 km ASC [WITHDIST|STORE k]",
            "GEORADIUSBYMEMBER_RO k f 500 mi DESC",
            "GEOSEARCHSTORE k k FROMLONLAT u u BYBOX 400 400 km [STOREDIST|COUNT 2]",
            "GEOSEARCH k FROMMEMBER f BYBOX 300 300 km DESC [WITHHASH|COUNT 1 ANY]",
            "GEOSEARCH k FROMLONLAT u u BYRADIUS 2000 km ASC [WITHDIST|WITHCOORD|COUNT i]",
        ],
    ),
    // HyperLogLogs.
    (
        "i",
        &[
            "PFADD k f f",
            "PFCOUNT k k",
            "PFMERGE k k",
            "PFDEBUG (ENCODING|DECODE|GETREG|TODENSE) k",
            "PFSELFTEST",
        ],
    ),
    // Scripts and transactions.
    (
        "a",
        &[
            "EVAL return{redis.call('GET',KEYS[1]),ARGV[1]} 1 k v",
            "EVAL return(redis.pcall('INCR',KEYS[1])) 1 k",
            "EVAL_RO return(redis.call('GET',KEYS[1])) 1 k",
            "EVAL_RO return(redis.call('SET',KEYS[1],1)) 1 k",
            "EVALSHA SHA 1 k v",
            "EVALSHA_RO (SHA|v) 1 k",
            "SCRIPT LOAD TEXT",
            "SCRIPT EXISTS SHA v",
            "SCRIPT FLUSH [SYNC|ASYNC|x]",
            "SCRIPT KILL",
            "SCRIPT HELP",
            "FUNCTION LOAD [REPLACE] (LIBRARY|LIBRARY2|v)",
            "FUNCTION LIST [WITHCODE|LIBRARYNAME lib*|LIBRARYNAME x]",
            "FUNCTION DELETE (lib1|lib2|x)",
            "FUNCTION DUMP",
            "FUNCTION FLUSH [SYNC|ASYNC]",
            "FUNCTION KILL",
            "FUNCTION STATS",
            "FUNCTION RESTORE v [REPLACE]",
            "FUNCTION HELP",
            "FCALL (set1|get1|none) 1 k v",
            "FCALL_RO (set1|get1) 1 k v",
            "MULTI",
            "EXEC",
            "DISCARD",
            "WATCH k",
            "UNWATCH",
            "ECHO v",
            "PING [v]",
            "TIME",
        ],
    ),
    // Messages.
    (
        "a",
        &[
            "PUBLISH f v",
            "SPUBLISH f v",
            "PUBSUB CHANNELS [x*]",
            "PUBSUB NUMSUB f f",
            "PUBSUB NUMPAT",
            "PUBSUB SHARDCHANNELS [x*]",
            "PUBSUB SHARDNUMSUB f",
            "PUBSUB HELP",
            "@ SUBSCRIBE f f ; > PUBLISH f v ; > PUBSUB NUMSUB f f ; UNSUBSCRIBE f f",
            "@ PSUBSCRIBE x* [y*] ; > PUBLISH (x|xy|y) v ; > PUBSUB NUMPAT ; PUNSUBSCRIBE x* y*",
            "@ SSUBSCRIBE f f ; > SPUBLISH f v ; > PUBSUB SHARDNUMSUB f ; SUNSUBSCRIBE f f",
            "@ SUBSCRIBE f ; > PUBSUB CHANNELS ; GET k ; PSUBSCRIBE * ; > PUBLISH f v ; UNSUBSCRIBE ; PUNSUBSCRIBE",
        ],
    ),
    // Connections and the server.
    (
        "a",
        &[
            "CLIENT ID",
            "CLIENT INFO",
            "CLIENT LIST [TYPE normal|TYPE x|ID 1 x]",
            "CLIENT SETNAME (one|two|x\ny)",
            "CLIENT GETNAME",
            "CLIENT SETINFO (LIB-NAME|LIB-VER|x) (lib|1.0)",
            "CLIENT GETREDIR",
            "CLIENT TRACKINGINFO",
            "CLIENT NO-EVICT (ON|OFF|x)",
            "CLIENT NO-TOUCH (ON|OFF|x)",
            "CLIENT KILL (1.2.3.4:5|x)",
            "CLIENT KILL (ID|LADDR|USER|TYPE|x) (99999999|x)",
            "CLIENT UNBLOCK 99999999 [TIMEOUT|ERROR|x]",
            "CLIENT UNBLOCK x",
            "CLIENT PAUSE (1|x) [WRITE|ALL|x]",
            "CLIENT UNPAUSE",
            "CLIENT CACHING (YES|NO|x)",
            "CLIENT TRACKING (OFF|x|ON PREFIX a)",
            "CLIENT REPLY (ON|x)",
            "CLIENT HELP",
            "@ CLIENT TRACKING ON [BCAST|NOLOOP|OPTIN|OPTOUT|BCAST PREFIX a] ; CLIENT TRACKINGINFO ; GET k ; CLIENT CACHING (YES|NO) ; GET k ; > SET k v ; CLIENT GETREDIR",
            "@ CLIENT REPLY SKIP ; PING ; ! CLIENT REPLY ON",
            "@ HELLO (2|3|4|x) ; PING",
            "HELLO x",
            "@ HELLO [3 SETNAME n|2 AUTH nobody x|3 x]",
            "AUTH nobody v",
            "@ AUTH nobody x ; ! QUIT",
            "@ SELECT 1 ; GET k ; ! RESET",
            "ROLE",
            "LASTSAVE",
            "INFO [server|clients|commandstats|everything|x]",
            "COMMAND",
            "COMMAND COUNT",
            "COMMAND DOCS (get|x)",
            "COMMAND GETKEYS (GET k|MSET k v k v|EVAL x 1 k|XREAD STREAMS k 0|SORT k STORE k|ZUNIONSTORE k 1 k|PING|x)",
            "COMMAND GETKEYSANDFLAGS (GET k|SET k v|LMOVE k k LEFT LEFT|XREADGROUP GROUP g c STREAMS k >|COPY k k)",
            "COMMAND INFO (get|config|xread|set sort|eval migrate|geosearch zunion)",
            "COMMAND LIST [FILTERBY ACLCAT list|FILTERBY PATTERN x*|FILTERBY MODULE x|FILTERBY ACLCAT x]",
            "COMMAND HELP",
            "CONFIG GET (hash-max-listpack-value|list-max-listpack-size|zset-max-*|set-max-*|lua-time-limit|x) [set-max-intset-entries]",
            "CONFIG SET (hash-max-listpack-entries|zset-max-listpack-entries|set-max-listpack-entries|set-max-intset-entries) (2|4|128)",
            "CONFIG SET (list-max-listpack-size|hash-max-listpack-value|x) (2|8|x)",
            "CONFIG RESETSTAT",
            "CONFIG HELP",
            "SLOWLOG GET [w]",
            "SLOWLOG LEN",
            "SLOWLOG RESET",
            "SLOWLOG HELP",
            "LATENCY DOCTOR",
            "LATENCY GRAPH x",
            "LATENCY HISTOGRAM [get|x]",
            "LATENCY HISTORY x",
            "LATENCY LATEST",
            "LATENCY RESET [x]",
            "LATENCY HELP",
            "MEMORY DOCTOR",
            "MEMORY PURGE",
            "MEMORY STATS",
            "MEMORY HELP",
            "MODULE LIST",
            "MODULE HELP",
        ],
    ),
    // Users.
    (
        "a",
        &[
            "ACL CAT [read|dangerous|scripting|x]",
            "ACL SETUSER (u1|u2) (on|off|reset|+get|-@all|+@read|allkeys|~a*|%R~b|>pw|nopass|resetchannels|&x*|x) [+set|-get|+config]",
            "ACL SETUSER (u1|u2) on nopass +@all ~*",
            "ACL GETUSER (u1|u2|x)",
            "ACL DELUSER (u1|u2|x)",
            "ACL DRYRUN (u1|u2|x) (GET k|SET k v|CONFIG GET x|PUBLISH x y|none)",
            "ACL USERS",
            "ACL LIST",
            "ACL WHOAMI",
            "ACL GENPASS [8|x|5000]",
            "ACL LOG [1|RESET|x]",
            "ACL HELP",
            "@ AUTH (u1|u2) pw ; ACL WHOAMI ; GET k ; SET k v ; CONFIG GET x",
        ],
    ),
    // Containers alone are errors.
    (
        "a",
        &[
            "ACL", "CLIENT", "CONFIG", "FUNCTION", "LATENCY", "MEMORY", "MODULE", "OBJECT",
            "PUBSUB", "SCRIPT", "SLOWLOG", "XGROUP", "XINFO",
        ],
    ),
];

/// What is not drawn, and why.
pub const NOT_COMPARED: &[(&str, &str)] = &[
    (
        "acl|load acl|save",
        "there is no ACL file, and Redis here has none either: its error is in the tests of users",
    ),
    (
        "asking readonly readwrite cluster cluster|addslots cluster|addslotsrange cluster|bumpepoch cluster|count-failure-reports cluster|countkeysinslot cluster|delslots cluster|delslotsrange cluster|failover cluster|flushslots cluster|forget cluster|getkeysinslot cluster|help cluster|info cluster|keyslot cluster|links cluster|meet cluster|myid cluster|myshardid cluster|nodes cluster|replicas cluster|replicate cluster|reset cluster|saveconfig cluster|set-config-epoch cluster|setslot cluster|shards cluster|slaves cluster|slots",
        "this Redis is no cluster",
    ),
    (
        "bgrewriteaof bgsave save config|rewrite waitaof",
        "every write is on disk: other replies by design (docs/redis-differences.md)",
    ),
    ("debug", "a Redis refuses it unless it is switched on"),
    (
        "failover psync replconf replicaof shutdown slaveof sync",
        "they end or turn the server",
    ),
    (
        "module|load module|loadex module|unload script|debug",
        "refused by design",
    ),
    (
        "lolwut memory|malloc-stats",
        "our own picture; the allocator's text",
    ),
    ("monitor", "its lines tell times and addresses"),
];

/// Commands that are no request of their own: only ever within a talk, or with others.
const TOGETHER: &[&str] = &["quit", "reset"];

/// As Redis 7.0 writes them, which 7.2 reads too.
const PAYLOADS: &[&[u8]] = &[
    b"\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x63\x72\xdf\x76\x65\x34\x20\x0a",
    b"\x12\x01\x02\x0b\x0b\x00\x00\x00\x02\x00\x01\x01\x02\x01\xff\x0a\x00\xdd\xe7\x1a\x28\xae\x39\x1b\x98",
    b"\x0b\x0e\x02\x00\x00\x00\x03\x00\x00\x00\x01\x00\x02\x00\x03\x00\x0a\x00\xa5\x02\x5c\xe2\x6d\x6e\x4d\x1b",
    b"\x11\x0c\x0c\x00\x00\x00\x02\x00\x81\x61\x02\x01\x01\xff\x0a\x00\xa8\x05\xce\xb8\xd7\xa9\x33\x02",
    b"\x10\x0d\x0d\x00\x00\x00\x02\x00\x81\x66\x02\x81\x76\x02\xff\x0a\x00\x20\xf1\x3d\x44\x23\x54\x08\x9d",
    b"\x13\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x1d\x1d\x00\x00\x00\x0a\x00\x01\x01\x00\x01\x01\x01\x81\x66\x02\x00\x01\x02\x01\x00\x01\x00\x01\x81\x76\x02\x04\x01\xff\x01\x01\x01\x01\x01\x00\x00\x01\x01\x01\x67\x00\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x0a\x00\xff\x9a\xd3\x4b\x48\xb2\x68\xce",
];
const SCRIPT: &str = "return {KEYS[1], ARGV[1]}";
const SHA: &str = "d006f1a90249474274c76f5be725b8f5804a346b";
const LIBRARY: &str = "#!lua name=lib1\nredis.register_function('set1', function(k, a) return redis.call('SET', k[1], a[1] or 'v') end)\nredis.register_function{function_name='get1', callback=function(k) return redis.call('TYPE', k[1]) end, flags={'no-writes'}}";
const LIBRARY2: &str =
    "#!lua name=lib2\nredis.register_function('two', function() return {1, 2, {ok='fine'}} end)";

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

/// A command with its shapes, each with its family's key.
pub struct Shapes {
    pub name: &'static str,
    shapes: Vec<(&'static str, &'static str)>,
}

/// The command of the table that a request is of.
pub fn command(request: &[Vec<u8>]) -> &'static str {
    let words: Vec<&[u8]> = request.iter().map(|w| &w[..]).collect();
    table::resolve(&words).map_or("?", |spec| spec.full_name)
}

/// Whether 7.2 brought this command.
pub fn is_new(command: &str) -> bool {
    let new = |spec: &table::Spec| spec.full_name == command && spec.since > "7.0.9";
    table::SPECS.iter().any(new)
}

/// The command that a shape is counted for: of a talk the one that comes first in the table of those that have no shape
/// of their own, else its first.
fn owner(shape: &str) -> &'static str {
    let first = |piece: &str| {
        let words = piece
            .split_whitespace()
            .filter(|w| !["@", "~", ">", "!"].contains(w));
        command(&words.map(|w| w.as_bytes().to_vec()).collect::<Vec<_>>())
    };
    let mut pieces = shape.split(';').map(first);
    match pieces.clone().find(|name| TOGETHER.contains(name)) {
        Some(name) => name,
        None => pieces.next().unwrap_or("?"),
    }
}

/// All commands that are drawn.
pub fn commands() -> &'static [Shapes] {
    static ALL: LazyLock<Vec<Shapes>> = LazyLock::new(|| {
        let mut all: Vec<Shapes> = Vec::new();
        for (home, shapes) in FAMILIES {
            for shape in *shapes {
                let name = owner(shape);
                match all.iter_mut().find(|s| s.name == name) {
                    Some(known) => known.shapes.push((home, shape)),
                    None => all.push(Shapes {
                        name,
                        shapes: vec![(home, shape)],
                    }),
                }
            }
        }
        all
    });
    &ALL
}

/// Commands of the table that have neither a shape nor a reason; and names of no command.
pub fn forgotten() -> Vec<&'static str> {
    let apart = || NOT_COMPARED.iter().flat_map(|(names, _)| names.split(' '));
    let drawn =
        |name: &str| commands().iter().any(|s| s.name == name) || apart().any(|n| n == name);
    // Those within talks alone.
    let within = |name: &str| {
        let mut shapes = FAMILIES.iter().flat_map(|(_, shapes)| shapes.iter());
        shapes.any(|s| s.split(';').any(|piece| owner(piece) == name))
    };
    let known = table::SPECS.iter().map(|s| s.full_name);
    let mut out: Vec<&str> = known.filter(|name| !drawn(name) && !within(name)).collect();
    out.extend(apart().filter(|n| !table::SPECS.iter().any(|s| s.full_name == *n)));
    out
}

/// Draws what belongs together: as a rule one request.
pub fn draw(rng: &mut StdRng) -> Vec<Request> {
    let all = commands();
    let drawn = &all[rng.random_range(0..all.len())];
    let request = one(drawn, rng);
    match drawn.name {
        // What has expired counts until it is looked for, at each server in its own time.
        "dbsize" | "randomkey" => {
            let look = std::iter::once("EXISTS")
                .chain(KEYS.iter().copied())
                .chain(["lex"]);
            vec![look.map(|w| w.as_bytes().to_vec()).collect(), request]
        }
        "multi" => {
            let mut group = vec![request];
            for _ in 0..rng.random_range(0..6) {
                let inner = one(&all[rng.random_range(0..all.len())], rng);
                // What 7.2 brought, or takes with fewer arguments, would have a 7.0 refuse the whole.
                let name = command(&inner);
                let newer = is_new(name) || name.starts_with("command|getkeys");
                if inner[0] != b"@" && inner[0] != b"MULTI" && !newer {
                    group.push(inner);
                }
            }
            let end: &[u8] = if rng.random_ratio(1, 6) {
                b"DISCARD"
            } else {
                b"EXEC"
            };
            group.push(vec![end.to_vec()]);
            group
        }
        _ => vec![request],
    }
}

fn one(command: &Shapes, rng: &mut StdRng) -> Request {
    let (home, shape) = command.shapes[rng.random_range(0..command.shapes.len())];
    let mut request = Request::new();
    expand(shape, home, rng, &mut request);
    // A word too few or too many, at times; not where a count left out leaves the choice to chance, nor a user's name.
    let chance = [
        "spop",
        "srandmember",
        "hrandfield",
        "zrandmember",
        "client|pause",
        "auth",
    ];
    if shape.starts_with('@') || chance.contains(&command.name) {
        return request;
    }
    if rng.random_ratio(1, 80) && request.len() > 1 {
        request.pop();
    } else if rng.random_ratio(1, 80) && !shape.contains("RANK k f") {
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
            request.push(match word {
                "p" => PAYLOADS[rng.random_range(0..PAYLOADS.len())].to_vec(),
                _ => terminal(word, home, rng).as_bytes().to_vec(),
            });
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
        "SHA" => return SHA,
        "TEXT" => return SCRIPT,
        "LIBRARY" => return LIBRARY,
        "LIBRARY2" => return LIBRARY2,
        other => return other,
    };
    // The first ones more often than the last: few errors, many collisions.
    let at = rng
        .random_range(0..from.len())
        .min(rng.random_range(0..from.len()));
    from[at]
}
