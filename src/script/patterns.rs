//! Lua 5.1's patterns: what `find`, `match`, `gmatch` and `gsub` of `string` are built on.
//!
//! **Invariant.** However a pattern backtracks, the script's time is looked at on the way, and recursion is bounded:
//! Lua's own matcher would go on for ever in C, or take the thread's stack.

use mlua::{Lua, Value};

use crate::base::limits::SCRIPT_PATTERN_DEPTH_MAX;

use super::error;
use super::watch::spend;

/// Parts of a match that a pattern may capture.
const CAPTURES_MAX: usize = 32;
/// Steps between two looks at the script's time.
const LOOK_AFTER: usize = 4096;

#[derive(Clone, Copy, Default)]
struct Capture {
    from: usize,
    end: End,
}

#[derive(Clone, Copy, Default)]
enum End {
    #[default]
    Open,
    /// `()`: its place alone is wanted.
    Position,
    At(usize),
}

/// A pattern at work on a text.
pub struct Matcher<'a> {
    lua: &'a Lua,
    text: &'a [u8],
    pattern: &'a [u8],
    captures: [Capture; CAPTURES_MAX],
    level: usize,
    depth: usize,
    steps: usize,
}

type Found = mlua::Result<Option<usize>>;

impl<'a> Matcher<'a> {
    /// A pattern without its anchor; as in C it ends at its first zero byte.
    pub fn new(lua: &'a Lua, text: &'a [u8], pattern: &'a [u8]) -> Self {
        let end = pattern.iter().position(|&b| b == 0);
        Matcher {
            lua,
            text,
            pattern: &pattern[..end.unwrap_or(pattern.len())],
            captures: [Capture::default(); CAPTURES_MAX],
            level: 0,
            depth: 0,
            steps: 0,
        }
    }

    /// Where the match ends that begins at `from`.
    ///
    /// # Errors
    /// The pattern is malformed or too deep, or the script is to end.
    pub fn at(&mut self, from: usize) -> Found {
        self.level = 0;
        self.depth = 0;
        self.run(from, 0)
    }

    /// What the match captured: everything where the pattern has no parts and `whole` asks for it.
    ///
    /// # Errors
    /// A part was not ended.
    pub fn captured(&self, whole: Option<(usize, usize)>) -> mlua::Result<Vec<Value>> {
        let count = match whole {
            Some(_) if self.level == 0 => 1,
            _ => self.level,
        };
        (0..count)
            .map(|i| self.capture(i, whole.unwrap_or_default()))
            .collect()
    }

    /// One part of the match, which was from `whole.0` to `whole.1`.
    ///
    /// # Errors
    /// There is no such part, or it was not ended.
    pub fn capture(&self, i: usize, whole: (usize, usize)) -> mlua::Result<Value> {
        if i >= self.level {
            return match i {
                0 => self.whole(whole),
                _ => Err(self.error("invalid capture index")),
            };
        }
        let Capture { from, end } = self.captures[i];
        match end {
            End::Open => Err(self.error("unfinished capture")),
            End::Position => Ok(Value::Integer(from as i64 + 1)),
            End::At(end) => self.whole((from, end)),
        }
    }

    /// All of a match.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn whole(&self, (from, end): (usize, usize)) -> mlua::Result<Value> {
        self.lua
            .create_string(&self.text[from..end])
            .map(Value::String)
    }

    fn error(&self, text: &str) -> mlua::Error {
        error::text(self.lua, text)
    }

    fn step(&mut self) -> mlua::Result<()> {
        self.steps += 1;
        match self.steps.is_multiple_of(LOOK_AFTER) {
            true => spend(self.lua, LOOK_AFTER),
            false => Ok(()),
        }
    }

    /// The pattern's byte there; zero behind its end.
    fn byte(&self, p: usize) -> u8 {
        self.pattern.get(p).copied().unwrap_or(0)
    }

    /// Where the item that begins at `p` ends.
    fn item_end(&self, p: usize) -> mlua::Result<usize> {
        match self.byte(p) {
            b'%' if self.byte(p + 1) == 0 => Err(self.error("malformed pattern (ends with '%')")),
            b'%' => Ok(p + 2),
            b'[' => {
                let mut p = p + 1;
                if self.byte(p) == b'^' {
                    p += 1;
                }
                loop {
                    let byte = self.byte(p);
                    if byte == 0 {
                        return Err(self.error("malformed pattern (missing ']')"));
                    }
                    p += 1;
                    if byte == b'%' && self.byte(p) != 0 {
                        p += 1;
                    }
                    if self.byte(p) == b']' {
                        return Ok(p + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    /// Whether the text's byte at `s` is of the item from `p` to `end`.
    fn single(&self, s: usize, p: usize, end: usize) -> bool {
        let Some(&byte) = self.text.get(s) else {
            return false;
        };
        match self.byte(p) {
            b'.' => true,
            b'%' => in_class(byte, self.byte(p + 1)),
            b'[' => self.in_set(byte, p, end - 1),
            other => other == byte,
        }
    }

    /// Whether a byte is in the set that begins at `p` and whose `]` is at `end`.
    fn in_set(&self, byte: u8, mut p: usize, end: usize) -> bool {
        let wanted = self.byte(p + 1) != b'^';
        if !wanted {
            p += 1;
        }
        p += 1;
        while p < end {
            if self.byte(p) == b'%' {
                p += 1;
                if in_class(byte, self.byte(p)) {
                    return wanted;
                }
            } else if self.byte(p + 1) == b'-' && p + 2 < end {
                if (self.byte(p)..=self.byte(p + 2)).contains(&byte) {
                    return wanted;
                }
                p += 2;
            } else if self.byte(p) == byte {
                return wanted;
            }
            p += 1;
        }
        !wanted
    }

    fn run(&mut self, s: usize, p: usize) -> Found {
        if self.depth >= SCRIPT_PATTERN_DEPTH_MAX {
            return Err(self.error("pattern too complex"));
        }
        self.depth += 1;
        let found = self.items(s, p);
        self.depth -= 1;
        found
    }

    fn items(&mut self, mut s: usize, mut p: usize) -> Found {
        loop {
            self.step()?;
            match (self.byte(p), self.byte(p + 1)) {
                (0, _) => return Ok(Some(s)),
                (b'(', b')') => return self.open(s, p + 2, End::Position),
                (b'(', _) => return self.open(s, p + 1, End::Open),
                (b')', _) => return self.close(s, p + 1),
                (b'$', 0) => return Ok((s == self.text.len()).then_some(s)),
                (b'%', b'b') => {
                    let Some(end) = self.balanced(s, p + 2)? else {
                        return Ok(None);
                    };
                    (s, p) = (end, p + 4);
                }
                (b'%', b'f') => {
                    p += 2;
                    if self.byte(p) != b'[' {
                        return Err(self.error("missing '[' after '%f' in pattern"));
                    }
                    let end = self.item_end(p)?;
                    let before = s.checked_sub(1).map_or(0, |at| self.text[at]);
                    let here = self.text.get(s).copied().unwrap_or(0);
                    if self.in_set(before, p, end - 1) || !self.in_set(here, p, end - 1) {
                        return Ok(None);
                    }
                    p = end;
                }
                (b'%', digit @ b'0'..=b'9') => {
                    let Some(end) = self.again(s, digit)? else {
                        return Ok(None);
                    };
                    (s, p) = (end, p + 2);
                }
                _ => {
                    let end = self.item_end(p)?;
                    let one = self.single(s, p, end);
                    match self.byte(end) {
                        b'?' => {
                            if one && let Some(found) = self.run(s + 1, end + 1)? {
                                return Ok(Some(found));
                            }
                            p = end + 1;
                        }
                        b'*' => return self.most(s, p, end),
                        b'+' if one => return self.most(s + 1, p, end),
                        b'+' => return Ok(None),
                        b'-' => return self.least(s, p, end),
                        _ if one => (s, p) = (s + 1, end),
                        _ => return Ok(None),
                    }
                }
            }
        }
    }

    fn most(&mut self, s: usize, p: usize, end: usize) -> Found {
        let mut last = s;
        while self.single(last, p, end) {
            self.step()?;
            last += 1;
        }
        for at in (s..=last).rev() {
            if let Some(found) = self.run(at, end + 1)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn least(&mut self, mut s: usize, p: usize, end: usize) -> Found {
        loop {
            if let Some(found) = self.run(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.single(s, p, end) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, end: End) -> Found {
        if self.level >= CAPTURES_MAX {
            return Err(self.error("too many captures"));
        }
        self.captures[self.level] = Capture { from: s, end };
        self.level += 1;
        let found = self.run(s, p)?;
        if found.is_none() {
            self.level -= 1;
        }
        Ok(found)
    }

    fn close(&mut self, s: usize, p: usize) -> Found {
        let open = |c: &Capture| matches!(c.end, End::Open);
        let Some(i) = self.captures[..self.level].iter().rposition(open) else {
            return Err(self.error("invalid pattern capture"));
        };
        self.captures[i].end = End::At(s);
        let found = self.run(s, p)?;
        if found.is_none() {
            self.captures[i].end = End::Open;
        }
        Ok(found)
    }

    /// What an earlier part captured, once more.
    fn again(&mut self, s: usize, digit: u8) -> Found {
        let i = usize::from(digit).wrapping_sub(usize::from(b'1'));
        let length = match self.captures[..self.level].get(i) {
            None | Some(Capture { end: End::Open, .. }) => {
                return Err(self.error("invalid capture index"));
            }
            // C takes its mark for a length that no text has.
            Some(Capture {
                end: End::Position, ..
            }) => return Ok(None),
            Some(Capture {
                from,
                end: End::At(end),
            }) => end - from,
        };
        spend(self.lua, length / 16)?;
        let from = self.captures[i].from;
        let same = self.text[s..].starts_with(&self.text[from..from + length]);
        Ok(same.then_some(s + length))
    }

    fn balanced(&mut self, s: usize, p: usize) -> Found {
        let (open, close) = (self.byte(p), self.byte(p + 1));
        if open == 0 || close == 0 {
            return Err(self.error("unbalanced pattern"));
        }
        if self.text.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        for at in s + 1..self.text.len() {
            self.step()?;
            let byte = self.text[at];
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }
}

/// Whether a byte is of a class such as `%a`; the upper-case letter stands for all others.
fn in_class(byte: u8, class: u8) -> bool {
    let within = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    within == class.is_ascii_lowercase()
}
