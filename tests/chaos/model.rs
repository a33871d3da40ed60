//! What a key may hold and answer, as a sequential object: the specification that histories are held against.
//!
//! Always: an operation whose outcome is not known has no reply, and may take effect at any time after its call, or never.

use std::fmt;

/// What a key holds; `None`: it does not exist.
pub type Value = Option<Vec<u8>>;

/// The end of an operation that was not seen to end.
pub const NEVER: u64 = u64::MAX;

/// What a client asks of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Op {
    /// GET
    Get,
    /// SET
    Set(Vec<u8>),
    /// INCRBY
    Add(i64),
    /// APPEND
    Append(Vec<u8>),
    /// RPUSH of an element that ends with a space, and has no other; the value is all elements in order.
    Push(Vec<u8>),
    /// WATCH, GET, MULTI, SET, EXEC, where EXEC was not refused: the key held `from` and now holds `to`.
    Exchange { from: Value, to: Vec<u8> },
}

/// What it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The value that was read.
    Read(Value),
    /// OK
    Done,
    /// The counter, or the length, after it.
    Number(i64),
}

/// One operation of a history. Times are nanoseconds of the harness's clock.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Which client: for people.
    pub client: usize,
    pub op: Op,
    /// `None`: the outcome is not known.
    pub reply: Option<Reply>,
    /// Before the first byte was sent.
    pub call: u64,
    /// After the last byte came; [`NEVER`] where the outcome is not known.
    pub end: u64,
}

/// The state after `op` at `state`; `None` where the reply cannot have been given there.
pub fn step(state: &Value, op: &Op, reply: Option<&Reply>) -> Option<Value> {
    let told = |expected: Reply| reply.is_none_or(|r| *r == expected);
    match op {
        Op::Get => told(Reply::Read(state.clone())).then(|| state.clone()),
        Op::Set(value) => told(Reply::Done).then(|| Some(value.clone())),
        Op::Add(by) => {
            let held = state.as_deref().unwrap_or(b"0");
            let sum = std::str::from_utf8(held).ok()?.parse::<i64>().ok()? + by;
            told(Reply::Number(sum)).then(|| Some(sum.to_string().into_bytes()))
        }
        Op::Append(tail) => {
            let mut value = state.clone().unwrap_or_default();
            value.extend_from_slice(tail);
            told(Reply::Number(value.len() as i64)).then_some(Some(value))
        }
        Op::Push(element) => {
            let mut value = state.clone().unwrap_or_default();
            value.extend_from_slice(element);
            let count = value.iter().filter(|b| **b == b' ').count();
            told(Reply::Number(count as i64)).then_some(Some(value))
        }
        Op::Exchange { from, to } => (state == from && told(Reply::Done)).then(|| Some(to.clone())),
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |v: &[u8]| {
            let text = String::from_utf8_lossy(v);
            match text.len() {
                0..=40 => text.into_owned(),
                n => format!("…{} ({n} bytes)", &text[text.floor_char_boundary(n - 24)..]),
            }
        };
        let value = |v: &Value| v.as_deref().map_or("nothing".to_string(), text);
        let ms = |t: u64| t as f64 / 1e6;
        write!(f, "{:>10.3}", ms(self.call))?;
        match self.end {
            NEVER => write!(f, "      …   ")?,
            end => write!(f, " {:>10.3}", ms(end))?,
        }
        write!(f, " client {:>2}: ", self.client)?;
        match &self.op {
            Op::Get => write!(f, "get")?,
            Op::Set(v) => write!(f, "set {}", text(v))?,
            Op::Add(by) => write!(f, "add {by}")?,
            Op::Append(v) => write!(f, "append {}", text(v))?,
            Op::Push(v) => write!(f, "push {}", text(v))?,
            Op::Exchange { from, to } => write!(f, "exchange {} for {}", value(from), text(to))?,
        }
        match &self.reply {
            None => write!(f, ": outcome unknown"),
            Some(Reply::Done) => write!(f, ": done"),
            Some(Reply::Number(n)) => write!(f, ": {n}"),
            Some(Reply::Read(v)) => write!(f, ": {}", value(v)),
        }
    }
}
