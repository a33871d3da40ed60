//! Redis's serialization: values as DUMP and RDB files hold them, and the files themselves.
//!
//! Reading order: [`input`] and [`output`] (lengths, strings, numbers), [`listpack`] and [`legacy`] (what
//! small collections lie in), [`decode`] and [`encode`] (values), [`stream`], [`payload`] (DUMP), [`file`] (RDB files).
//!
//! **Invariants.** Everything that Redis wrote since RDB version 6 can be read; what is written is version
//! 11, Redis 7.2's. Bytes may come from anybody: whatever is wrong with them is an [`Error`], and no memory
//! is taken for a length before as many bytes came.

pub mod crc64;
pub mod decode;
pub mod encode;
pub mod file;
pub mod input;
pub mod legacy;
pub mod listpack;
pub mod lzf;
pub mod output;
pub mod payload;
pub mod stream;
#[cfg(test)]
mod tests;
mod value;

pub use file::{Reader, Record, Writer};
pub use value::{Value, ValueRef};

/// The version that is written, and the newest that RESTORE takes.
pub const VERSION: u16 = 11;

/// The numbers of what an RDB file's parts are: values, and what stands between them.
pub mod kind {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    pub const ZSET_2: u8 = 5;
    pub const MODULE_OLD: u8 = 6;
    pub const MODULE: u8 = 7;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_3: u8 = 21;

    pub const FUNCTION: u8 = 245;
    pub const FUNCTION_OLD: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQ: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZE_DB: u8 = 251;
    pub const EXPIRE_MS: u8 = 252;
    pub const EXPIRE_S: u8 = 253;
    pub const SELECT_DB: u8 = 254;
    pub const EOF: u8 = 255;
}

/// Why bytes could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They end too early.
    #[error("cut short")]
    Short,
    /// They contradict the format.
    #[error("corrupt: {0}")]
    Corrupt(&'static str),
    /// A collection without elements, which no key can hold.
    #[error("a collection without elements")]
    Empty,
    /// A value of a kind that Redis 7.2 does not have.
    #[error("a value of the unknown type {0}: written by a newer Redis?")]
    Unknown(u8),
    /// A module's value, which only that module can read.
    #[error("a value of the module {0}")]
    Module(String),
    /// It would take more memory than a value may.
    #[error("larger than a value may be")]
    TooLarge,
    /// Not the bytes of an RDB file.
    #[error("not an RDB file")]
    NotRdb,
    /// The checksum is not that of the bytes.
    #[error("the checksum is not that of the contents: the bytes were damaged")]
    Checksum,
    /// They could not be had.
    #[error(transparent)]
    Io(std::io::Error),
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::Short,
            _ => Error::Io(error),
        }
    }
}
