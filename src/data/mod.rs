//! The data structures behind Redis's types, as they lie in memory at a node.
//!
//! Reading order: [`seed`] and [`size`], [`table`] (the hash table of everything large), [`view`],
//! [`bytes`], then one file a type: [`string`], [`hash`], [`set`], [`zset`], [`list`], [`stream`].
//!
//! **Invariants.** Given the same seed and the same operations every structure gives the same
//! answers. Compact encodings only ever grow into large ones (a list alone also returns). Growth
//! never moves more than a bounded piece at once. `heap_bytes` costs O(1) everywhere. Nothing here
//! knows of keys, clocks, expiry or the log.

pub mod bytes;
mod chunk;
pub mod chunked;
pub mod hash;
pub mod intset;
pub mod limits;
pub mod list;
mod order;
mod pack;
pub mod seed;
pub mod set;
pub mod size;
pub mod stream;
pub mod string;
pub mod table;
pub mod view;
pub mod zset;

pub use bytes::Small;
pub use hash::Hash;
pub use limits::Limits;
pub use list::{List, Shift};
pub use seed::Seed;
pub use set::Set;
pub use size::alloc_size;
pub use stream::Stream;
pub use string::Str;
pub use table::{Keyed, Table};
pub use view::View;
pub use zset::ZSet;
