//! The error replies of commands, in one file: clients match on these texts, so they are API.

use std::borrow::Cow;

/// Why a command failed, as its error reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fail(pub Cow<'static, str>);

impl Fail {
    pub const WRONG_TYPE: Fail =
        Fail::new("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub const SYNTAX: Fail = Fail::new("ERR syntax error");
    pub const NOT_INTEGER: Fail = Fail::new("ERR value is not an integer or out of range");
    pub const NOT_FLOAT: Fail = Fail::new("ERR value is not a valid float");
    pub const NO_KEY: Fail = Fail::new("ERR no such key");
    pub const INDEX: Fail = Fail::new("ERR index out of range");
    pub const OVERFLOW: Fail = Fail::new("ERR increment or decrement would overflow");
    pub const NAN_OR_INF: Fail = Fail::new("ERR increment would produce NaN or Infinity");
    pub const STRING_TOO_LONG: Fail =
        Fail::new("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    pub const OFFSET_OUT_OF_RANGE: Fail = Fail::new("ERR offset is out of range");
    pub const DECREMENT_OVERFLOW: Fail = Fail::new("ERR decrement would overflow");
    pub const LCS_NOT_STRINGS: Fail =
        Fail::new("ERR The specified keys must contain string values");
    pub const LCS_LEN_AND_IDX: Fail =
        Fail::new("ERR If you want both the length and indexes, please just use IDX.");
    pub const LCS_TOO_LONG: Fail = Fail::new("ERR String too long for LCS");
    pub const LCS_TABLE_TOO_LARGE: Fail =
        Fail::new("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
    pub const LCS_NO_MEMORY: Fail =
        Fail::new("ERR Insufficient memory, failed allocating transient memory for LCS");
    pub const BIT_OFFSET: Fail = Fail::new("ERR bit offset is not an integer or out of range");
    pub const BIT_VALUE: Fail = Fail::new("ERR bit is not an integer or out of range");
    pub const BIT_ARGUMENT: Fail = Fail::new("ERR The bit argument must be 1 or 0.");
    pub const BITOP_NOT_ONE_KEY: Fail =
        Fail::new("ERR BITOP NOT must be called with a single source key.");
    pub const BITFIELD_TYPE: Fail = Fail::new(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
    );
    pub const BITFIELD_OVERFLOW_TYPE: Fail = Fail::new("ERR Invalid OVERFLOW type specified");
    pub const BITFIELD_READ_ONLY: Fail =
        Fail::new("ERR BITFIELD_RO only supports the GET subcommand");
    pub const HLL_WRONG_TYPE: Fail =
        Fail::new("WRONGTYPE Key is not a valid HyperLogLog string value.");
    pub const HLL_CORRUPT: Fail = Fail::new("INVALIDOBJ Corrupted HLL object detected");
    pub const HLL_NO_KEY: Fail = Fail::new("ERR The specified key does not exist");
    pub const HLL_NOT_SPARSE: Fail = Fail::new("ERR HLL encoding is not sparse");
    pub const OUT_OF_RANGE_POSITIVE: Fail =
        Fail::new("ERR value is out of range, must be positive");
    pub const OUT_OF_RANGE: Fail = Fail::new("ERR value is out of range");
    pub const DB_INDEX: Fail = Fail::new("ERR DB index is out of range");
    pub const SAME_OBJECT: Fail = Fail::new("ERR source and destination objects are the same");
    pub const OOM: Fail = Fail::new("OOM command not allowed when used memory > 'maxmemory'.");
    pub const LOADING: Fail = Fail::new("LOADING Pontoon is loading the dataset in memory");
    pub const READONLY: Fail = Fail::new("READONLY You can't write against a read only replica.");
    pub const INVALID_CURSOR: Fail = Fail::new("ERR invalid cursor");
    pub const MIN_MAX_FLOAT: Fail = Fail::new("ERR min or max is not a float");
    pub const MIN_MAX_LEX: Fail = Fail::new("ERR min or max not valid string range item");
    pub const SCORE_NAN: Fail = Fail::new("ERR resulting score is not a number (NaN)");
    /// A blocked command was not served when its node ceased to be the primary.
    pub const UNBLOCKED: Fail = Fail::new(
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    );
    /// A write whose outcome is not known: its leader lost its role while it was in flight. The prefix is
    /// one that no driver retries by itself.
    pub const UNKNOWN_OUTCOME: Fail = Fail::new(
        "UNKNOWNOUTCOME the primary changed while this command was in flight; it may or may not have taken effect",
    );

    /// A fixed text.
    pub const fn new(text: &'static str) -> Fail {
        Fail(Cow::Borrowed(text))
    }

    /// A text made for the occasion.
    pub fn text(text: impl Into<String>) -> Fail {
        Fail(Cow::Owned(text.into()))
    }

    /// `ERR wrong number of arguments for 'name' command`.
    pub fn arity(name: &str) -> Fail {
        Fail::text(format!(
            "ERR wrong number of arguments for '{}' command",
            name.to_ascii_lowercase()
        ))
    }

    /// `ERR unknown subcommand or wrong number of arguments for 'sub'. Try NAME HELP.`: of a subcommand with arguments
    /// that it does not take. Quoted up to a NUL and no more than 128 bytes, as in Redis.
    pub fn subcommand(args: &[&[u8]]) -> Fail {
        let sub = args[1].split(|&byte| byte == 0).next().unwrap_or_default();
        Fail::text(format!(
            "ERR unknown subcommand or wrong number of arguments for '{}'. Try {} HELP.",
            String::from_utf8_lossy(&sub[..sub.len().min(128)]),
            String::from_utf8_lossy(args[0]).to_uppercase()
        ))
    }

    /// `ERR invalid expire time in 'name' command`.
    pub fn expire_time(name: &str) -> Fail {
        Fail::text(format!(
            "ERR invalid expire time in '{}' command",
            name.to_ascii_lowercase()
        ))
    }

    /// The reply's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
