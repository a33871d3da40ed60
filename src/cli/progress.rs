//! How far something has come, on a terminal: one line of standard error that is written over.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Counts, and shows the count where a person looks.
pub struct Progress {
    what: &'static str,
    count: u64,
    began: Instant,
    shown: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// Nothing yet, of `what`.
    pub fn new(what: &'static str) -> Progress {
        Progress {
            what,
            count: 0,
            began: Instant::now(),
            shown: None,
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// So many more.
    pub fn add(&mut self, count: u64) {
        self.count += count;
    }

    /// Shows the count, with `more`, if that was not done just now.
    pub fn show(&mut self, more: &str) {
        if !self.is_terminal || self.shown.is_some_and(|t| t.elapsed() < PAUSE) {
            return;
        }
        self.shown = Some(Instant::now());
        let rate = self.count as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        let (count, rate) = (grouped(self.count), grouped(rate as u64));
        eprint!("\r\x1b[K{count} {} ({rate}/s), {more}", self.what);
        let _ = std::io::stderr().flush();
    }

    /// Clears the line.
    pub fn end(&mut self) {
        if self.shown.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

/// A number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_are_grouped() {
        let shown = [0, 999, 1000, 1_234_567].map(super::grouped);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }
}
