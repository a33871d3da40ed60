//! A selector: commands, keys and channels that may be used together. Every user has one, its
//! root, and may have more.
//!
//! **Invariant**: the rules that a selector writes of itself, read anew, give the same selector.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::table::{self, COUNT, Categories, SPECS, Spec};

use super::{RuleError, has_spaces, is};

/// A pattern of keys and what may be done with them: bits of [`READ`] and [`WRITE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPattern {
    pub access: u8,
    pub pattern: Vec<u8>,
}

pub const READ: u8 = 1;
pub const WRITE: u8 = 2;

const WORDS: usize = COUNT.div_ceil(64);

/// Commands, keys and channels that may be used together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    pub all_keys: bool,
    pub all_channels: bool,
    /// No command is denied.
    pub all_commands: bool,
    /// It began with all commands: those of later versions are allowed too.
    from_all: bool,
    allowed: [u64; WORDS],
    /// Of commands that are denied otherwise, first arguments with which they are allowed.
    first_args: BTreeMap<u16, BTreeSet<Vec<u8>>>,
    pub patterns: Vec<KeyPattern>,
    pub channels: Vec<Vec<u8>>,
    /// Which commands, as it was said: allowed or not, and a command or `@category` in lower case.
    rules: Vec<(bool, Vec<u8>)>,
}

impl Selector {
    /// Nothing is allowed, but, where the service says so, all channels.
    pub fn new(all_channels: bool) -> Selector {
        Selector {
            all_channels,
            ..Selector::default()
        }
    }

    /// From rules between parentheses.
    pub fn parse(text: &[u8], all_channels: bool) -> Result<Selector, RuleError> {
        let mut selector = Selector::new(all_channels);
        let ops = text.split(|b| b.is_ascii_whitespace() || *b == 0x0b);
        for op in ops.filter(|op| !op.is_empty()) {
            selector.set(op)?;
        }
        Ok(selector)
    }

    /// Nothing is denied by it.
    pub fn allows_all(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }

    /// Applies one rule.
    pub fn set(&mut self, op: &[u8]) -> Result<(), RuleError> {
        match op {
            _ if is(op, "allkeys") || is(op, "~*") => {
                self.all_keys = true;
                self.patterns.clear();
            }
            _ if is(op, "resetkeys") => {
                self.all_keys = false;
                self.patterns.clear();
            }
            _ if is(op, "allchannels") || is(op, "&*") => {
                self.all_channels = true;
                self.channels.clear();
            }
            _ if is(op, "resetchannels") => {
                self.all_channels = false;
                self.channels.clear();
            }
            _ if is(op, "allcommands") || is(op, "+@all") => self.set_all(true),
            _ if is(op, "nocommands") || is(op, "-@all") => self.set_all(false),
            [b'~' | b'%', ..] => self.add_pattern(op)?,
            [b'&', channel @ ..] => self.add_channel(channel)?,
            [sign @ (b'+' | b'-'), b'@', category @ ..] => {
                let bits = Categories::by_name(category).ok_or(RuleError::UnknownCommand)?;
                let allow = *sign == b'+';
                self.note(&op[1..], allow);
                for spec in SPECS.iter().filter(|s| s.categories.contains(bits)) {
                    self.change(spec, allow);
                }
            }
            [b'-', name @ ..] => {
                let spec = table::by_full_name(name).ok_or(RuleError::UnknownCommand)?;
                self.change(spec, false);
                self.note(spec.full_name.as_bytes(), false);
            }
            [b'+', name @ ..] => self.allow(name)?,
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    fn set_all(&mut self, allow: bool) {
        self.allowed = [if allow { u64::MAX } else { 0 }; WORDS];
        self.all_commands = allow;
        self.from_all = allow;
        self.rules.clear();
        self.first_args.clear();
    }

    fn add_pattern(&mut self, op: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::PatternAfterAllKeys);
        }
        let (access, pattern) = match op {
            [b'~', pattern @ ..] => (READ | WRITE, pattern),
            _ => {
                let end = op
                    .iter()
                    .position(|&b| b == b'~')
                    .ok_or(RuleError::Syntax)?;
                let mut access = 0;
                for letter in &op[1..end] {
                    let bit = match letter.to_ascii_uppercase() {
                        b'R' => READ,
                        b'W' => WRITE,
                        _ => return Err(RuleError::Syntax),
                    };
                    if access & bit != 0 {
                        return Err(RuleError::Syntax);
                    }
                    access |= bit;
                }
                if access == 0 {
                    return Err(RuleError::Syntax);
                }
                (access, &op[end + 1..])
            }
        };
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.patterns.iter_mut().find(|p| p.pattern == pattern) {
            Some(known) => known.access |= access,
            None => self.patterns.push(KeyPattern {
                access,
                pattern: pattern.to_vec(),
            }),
        }
        Ok(())
    }

    fn add_channel(&mut self, channel: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::PatternAfterAllChannels);
        }
        if has_spaces(channel) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|c| c == channel) {
            self.channels.push(channel.to_vec());
        }
        Ok(())
    }

    /// `+command`, `+command|subcommand`, or `+command|first-argument`.
    fn allow(&mut self, name: &[u8]) -> Result<(), RuleError> {
        let Some(bar) = name.iter().rposition(|&b| b == b'|') else {
            let spec = table::by_name(name).ok_or(RuleError::UnknownCommand)?;
            self.change(spec, true);
            self.note(spec.full_name.as_bytes(), true);
            return Ok(());
        };
        let (outer, inner) = (&name[..bar], &name[bar + 1..]);
        let outer = table::by_full_name(outer).ok_or(RuleError::UnknownCommand)?;
        if outer.container.is_some() {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        if inner.is_empty() {
            return Err(RuleError::Syntax);
        }
        if outer.subcommands().is_empty() {
            let known = self.first_args.entry(outer.id as u16).or_default();
            known.insert(inner.to_ascii_lowercase());
        } else {
            let spec = table::by_full_name(name).ok_or(RuleError::UnknownCommand)?;
            self.change(spec, true);
        }
        self.note(name, true);
        Ok(())
    }

    fn bit(&mut self, spec: &Spec, allow: bool) {
        let (word, bit) = (spec.id as usize / 64, 1 << (spec.id as usize % 64));
        if allow {
            self.allowed[word] |= bit;
        } else {
            self.allowed[word] &= !bit;
            self.all_commands = false;
        }
    }

    /// A command, and with a container all that it contains.
    fn change(&mut self, spec: &Spec, allow: bool) {
        self.bit(spec, allow);
        self.first_args.remove(&(spec.id as u16));
        for sub in spec.subcommands() {
            self.bit(sub, allow);
        }
    }

    /// Keeps a rule in place of those that it makes void.
    fn note(&mut self, rule: &[u8], allow: bool) {
        let rule = rule.to_ascii_lowercase();
        self.rules.retain(|(_, old)| {
            let within = old.strip_prefix(&rule[..]);
            !within.is_some_and(|rest| matches!(rest, [] | [b'|', ..]))
        });
        self.rules.push((allow, rule));
    }

    /// Whether a command is allowed with these arguments, keys and channels aside.
    pub fn allows_command(&self, spec: &Spec, args: &[&[u8]]) -> bool {
        if self.all_commands || spec.has(table::Flags::NO_AUTH) {
            return true;
        }
        let id = spec.id as usize;
        if self.allowed[id / 64] & (1 << (id % 64)) != 0 {
            return true;
        }
        let first = args.get(if spec.container.is_some() { 2 } else { 1 });
        match (first, self.first_args.get(&(spec.id as u16))) {
            (Some(first), Some(known)) => known.contains(&first.to_ascii_lowercase()),
            _ => false,
        }
    }

    /// The rules about commands, beginning with `+@all` or `-@all`.
    pub fn commands(&self) -> Vec<u8> {
        let mut text = if self.from_all { b"+@all" } else { b"-@all" }.to_vec();
        for (allow, rule) in &self.rules {
            text.extend_from_slice(if *allow { b" +" } else { b" -" });
            text.extend_from_slice(rule);
        }
        text
    }

    /// The patterns of keys.
    pub fn keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let texts = self.patterns.iter().map(|p| {
            let prefix: &[u8] = match p.access {
                READ => b"%R~",
                WRITE => b"%W~",
                _ => b"~",
            };
            [prefix, &p.pattern].concat()
        });
        texts.collect::<Vec<_>>().join(&b' ')
    }

    /// The patterns of channels.
    pub fn channel_rules(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let texts = self.channels.iter().map(|c| [b"&", &c[..]].concat());
        texts.collect::<Vec<_>>().join(&b' ')
    }

    /// All of it as rules. `exact`: to be read anew; else as Redis shows it, which writes a pattern of
    /// all keys as it writes `allkeys`.
    pub fn describe(&self, exact: bool) -> Vec<u8> {
        let mut text = Vec::new();
        let mut add = |part: &[u8]| {
            if !part.is_empty() {
                text.extend_from_slice(part);
                text.push(b' ');
            }
        };
        let everything = |p: &&KeyPattern| p.access == READ | WRITE && p.pattern == b"*";
        match self.patterns.iter().find(everything) {
            Some(_) if exact => {
                for p in &self.patterns {
                    let prefix: &[u8] = match p.access {
                        READ => b"%R~",
                        WRITE => b"%W~",
                        _ => b"%RW~",
                    };
                    add(&[prefix, &p.pattern].concat());
                }
            }
            _ => add(&self.keys()),
        }
        if !self.all_channels {
            add(b"resetchannels");
        }
        add(&self.channel_rules());
        text.extend_from_slice(&self.commands());
        text
    }
}
