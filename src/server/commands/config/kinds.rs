//! The kinds of parameters: which texts they accept, how they show them, what they say otherwise.
//! Always: what `parse` returns is what CONFIG GET shows, and parses to itself. Error texts are Redis's.

use std::borrow::Cow;

use crate::base::allow::Allow;
use crate::base::number;
use crate::command::settings::notify;
use crate::command::table;

/// How a number is written.
#[derive(Clone, Copy, PartialEq)]
pub enum Unit {
    Plain,
    /// With `k`, `kb`, `m`, `mb`, `g`, `gb`.
    Memory,
    /// As Memory, or a percentage; a percentage is kept below zero.
    Percent,
    Octal,
}

/// What a parameter accepts.
#[derive(Clone, Copy)]
pub enum Kind {
    Bool,
    /// Least, most, unit.
    Number(i128, i128, Unit),
    /// One of these.
    Word(&'static [&'static str]),
    /// Some of these; the first stands for none.
    Words(&'static [&'static str]),
    Text,
    /// `seconds changes` pairs.
    Save,
    /// `class hard soft seconds` groups; classes that are not named stay.
    OutputLimits,
    OomScores,
    /// notify-keyspace-events.
    Events,
    Percentiles,
    /// Addresses and CIDR blocks.
    Addresses,
    /// Names of commands.
    Commands,
}

/// Why a value is refused, as Redis says it.
pub type Refusal = Cow<'static, str>;

impl Kind {
    /// The value as it will be shown; `current` is what is shown now.
    pub fn parse(&self, value: &[u8], current: &str) -> Result<String, Refusal> {
        let text = String::from_utf8_lossy(value).into_owned();
        match self {
            Kind::Bool => match text.to_ascii_lowercase().as_str() {
                v @ ("yes" | "no") => Ok(v.into()),
                _ => Err("argument must be 'yes' or 'no'".into()),
            },
            Kind::Number(min, max, unit) => parse_number(value, *min, *max, *unit),
            Kind::Word(words) => words
                .iter()
                .find(|w| w.eq_ignore_ascii_case(&text))
                .map(|w| w.to_string())
                .ok_or_else(|| one_of(words)),
            Kind::Words(words) => parse_words(&text, words),
            Kind::Text => Ok(text),
            Kind::Save => parse_save(&text),
            Kind::OutputLimits => parse_output_limits(&text, current),
            Kind::OomScores => parse_oom_scores(&text),
            Kind::Events => events(value)
                .map(events_text)
                .ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into()),
            Kind::Percentiles => parse_percentiles(&text),
            Kind::Addresses => Ok(Allow::parse(&text)?.to_string()),
            Kind::Commands => parse_commands(&text),
        }
    }
}

fn one_of(words: &[&str]) -> Refusal {
    format!(
        "argument(s) must be one of the following: {}",
        words.join(", ")
    )
    .into()
}

fn parse_words(text: &str, words: &'static [&'static str]) -> Result<String, Refusal> {
    let mut chosen = vec![false; words.len()];
    for word in text.split_whitespace() {
        let at = words
            .iter()
            .position(|w| w.eq_ignore_ascii_case(word))
            .ok_or_else(|| one_of(words))?;
        chosen[at] = true;
    }
    let shown: Vec<&str> = (1..words.len())
        .filter(|&i| chosen[i])
        .map(|i| words[i])
        .collect();
    Ok(if shown.is_empty() {
        words[0].into()
    } else {
        shown.join(" ")
    })
}

/// Bytes with Redis's units; `None` where it is no such text.
pub fn memory(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let factor: u64 = match text[digits..].to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let n: u64 = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    n.checked_mul(factor)
}

fn parse_number(value: &[u8], min: i128, max: i128, unit: Unit) -> Result<String, Refusal> {
    let percent = value
        .strip_suffix(b"%")
        .filter(|_| unit == Unit::Percent)
        .and_then(number::parse_i64)
        .filter(|n| *n >= 0);
    if let Some(percent) = percent {
        if i128::from(-percent) < min {
            return Err(format!("percentage argument must be less or equal to {}", -min).into());
        }
        return Ok(format!("{percent}%"));
    }
    let (parsed, refusal) = match unit {
        Unit::Plain => (
            number::parse_i64(value)
                .map(i128::from)
                .or(number::parse_u64(value).map(i128::from)),
            "argument couldn't be parsed into an integer",
        ),
        Unit::Memory => (
            memory(value).map(i128::from),
            "argument must be a memory value",
        ),
        Unit::Percent => (
            memory(value).map(i128::from),
            "argument must be a memory or percent value",
        ),
        Unit::Octal => (
            std::str::from_utf8(value)
                .ok()
                .and_then(|v| i128::from_str_radix(v, 8).ok()),
            "argument couldn't be parsed as an octal number",
        ),
    };
    let n = parsed.ok_or(refusal)?;
    if n < min || n > max {
        return Err(format!("argument must be between {min} and {max} inclusive").into());
    }
    Ok(match unit {
        Unit::Octal => format!("{n:o}"),
        _ => n.to_string(),
    })
}

fn parse_save(text: &str) -> Result<String, Refusal> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let numbers: Option<Vec<i64>> = parts.iter().map(|p| p.parse().ok()).collect();
    let valid = numbers
        .is_some_and(|n| n.len() % 2 == 0 && n.chunks(2).all(|pair| pair[0] >= 1 && pair[1] >= 0));
    if valid {
        Ok(parts.join(" "))
    } else {
        Err("Invalid save parameters".into())
    }
}

fn parse_output_limits(text: &str, current: &str) -> Result<String, Refusal> {
    const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];
    let parts: Vec<&str> = text.split_whitespace().collect();
    if !parts.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    let shown: Vec<&str> = current.split_whitespace().collect();
    let mut values: Vec<String> = shown.chunks(4).map(|c| c[1..].join(" ")).collect();
    values.resize(CLASSES.len(), "0 0 0".into());
    for group in parts.chunks(4) {
        let class = match group[0].to_ascii_lowercase().as_str() {
            "normal" => 0,
            "slave" | "replica" => 1,
            "pubsub" => 2,
            _ => {
                return Err("Invalid client class specified in buffer limit configuration.".into());
            }
        };
        let limits = (
            memory(group[1].as_bytes()),
            memory(group[2].as_bytes()),
            group[3].parse::<u32>().ok(),
        );
        let (Some(hard), Some(soft), Some(seconds)) = limits else {
            return Err(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.".into(),
            );
        };
        values[class] = format!("{hard} {soft} {seconds}");
    }
    let shown: Vec<String> = CLASSES
        .iter()
        .zip(&values)
        .map(|(class, value)| format!("{class} {value}"))
        .collect();
    Ok(shown.join(" "))
}

fn parse_oom_scores(text: &str) -> Result<String, Refusal> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    if parts.len() != 3 {
        return Err("wrong number of arguments".into());
    }
    let valid = parts
        .iter()
        .all(|p| p.parse::<i64>().is_ok_and(|n| (-2000..=2000).contains(&n)));
    if valid {
        Ok(parts.join(" "))
    } else {
        Err("Invalid oom-score-adj-values, elements must be between -2000 and 2000.".into())
    }
}

fn parse_commands(text: &str) -> Result<String, Refusal> {
    let lower = text.to_ascii_lowercase();
    let mut names: Vec<&str> = lower.split_whitespace().collect();
    for name in &names {
        if table::by_full_name(name.as_bytes()).is_none() {
            return Err(format!("there is no command '{name}'").into());
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names.join(" "))
}

fn parse_percentiles(text: &str) -> Result<String, Refusal> {
    let mut shown = Vec::new();
    for part in text.split_whitespace() {
        let p: f64 = part
            .parse()
            .map_err(|_| "Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&p) {
            return Err(
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
                    .into(),
            );
        }
        shown.push(p.to_string());
    }
    Ok(shown.join(" "))
}

const EVENTS: [(u8, u32); 14] = [
    (b'g', notify::GENERIC),
    (b'$', notify::STRING),
    (b'l', notify::LIST),
    (b's', notify::SET),
    (b'h', notify::HASH),
    (b'z', notify::ZSET),
    (b'x', notify::EXPIRED),
    (b'e', notify::EVICTED),
    (b't', notify::STREAM),
    (b'd', notify::MODULE),
    (b'n', notify::NEW),
    (b'K', notify::KEYSPACE),
    (b'E', notify::KEYEVENT),
    (b'm', notify::KEY_MISS),
];

/// The flags of notify-keyspace-events.
pub fn events(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |flags, &byte| {
        let flag = if byte == b'A' {
            notify::ALL
        } else {
            EVENTS.iter().find(|(b, _)| *b == byte)?.1
        };
        Some(flags | flag)
    })
}

/// How flags are shown: all classes as `A`.
pub fn events_text(flags: u32) -> String {
    let all = flags & notify::ALL == notify::ALL;
    let mut text = String::from(if all { "A" } else { "" });
    for (byte, flag) in EVENTS {
        let in_all = notify::ALL & flag != 0 || flag == notify::NEW;
        if flags & flag != 0 && !(all && in_all) {
            text.push(char::from(byte));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let memory = Kind::Number(0, u64::MAX as i128, Unit::Memory);
        assert_eq!(memory.parse(b"10MB", "").as_deref(), Ok("10485760"));
        assert!(memory.parse(b"-1", "").is_err());
        let percent = Kind::Number(-100, i64::MAX as i128, Unit::Percent);
        assert_eq!(percent.parse(b"5%", "").as_deref(), Ok("5%"));
        assert!(percent.parse(b"101%", "").is_err());
        let plain = Kind::Number(0, 10, Unit::Plain);
        assert_eq!(
            plain.parse(b"11", "").unwrap_err(),
            "argument must be between 0 and 10 inclusive"
        );
        assert!(plain.parse(b"1k", "").is_err());
    }

    #[test]
    fn groups() {
        let now = "normal 0 0 0 slave 1 2 3 pubsub 4 5 6";
        let set = Kind::OutputLimits.parse(b"replica 1k 0 9", now);
        assert_eq!(
            set.as_deref(),
            Ok("normal 0 0 0 slave 1000 0 9 pubsub 4 5 6")
        );
        assert_eq!(Kind::Events.parse(b"KEA", "").as_deref(), Ok("AKE"));
        assert_eq!(Kind::Events.parse(b"$lK", "").as_deref(), Ok("$lK"));
        assert_eq!(Kind::Save.parse(b"", "").as_deref(), Ok(""));
        assert!(Kind::Save.parse(b"1 2 3", "").is_err());
        assert_eq!(
            Kind::Percentiles.parse(b"50 99.9", "").as_deref(),
            Ok("50 99.9")
        );
    }
}
