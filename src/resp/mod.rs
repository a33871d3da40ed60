//! RESP, the Redis serialization protocol: bytes to requests, replies to bytes.
//!
//! Nothing here knows a command. Invariant: what a client sends is never trusted; every length is
//! checked before it is used, and nothing is allocated because a client declared it.

mod args;
mod out;
mod parse;
mod request;
mod value;

pub use args::Args;
pub use out::{Deferred, Out, Proto};
pub use parse::{Parser, ProtocolError, Request, Span};
pub use request::put_request;
pub use value::{Value, ValueError, parse_value};
