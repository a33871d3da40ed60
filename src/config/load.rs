//! From file, environment and flags to a checked `Node`.
//!
//! The later wins: the file, then variables, then flags. Errors name the key, what was wrong and what would be
//! right; the source text is never quoted, since it may hold the password.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::keys::{KEYS, Node};
use super::types::{Kind, Secret};

/// One thing wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, or the place in the file.
    pub key: String,
    /// What was wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

impl Problem {
    pub(super) fn new(
        key: impl Into<String>,
        wrong: impl Into<String>,
        right: impl Into<String>,
    ) -> Problem {
        Problem {
            key: key.into(),
            wrong: wrong.into(),
            right: right.into(),
        }
    }
}

/// Everything wrong with a configuration, at least one problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Where the configuration came from, for the first line of the message.
    pub source: String,
    /// All that is wrong.
    pub problems: Vec<Problem>,
}

impl std::error::Error for Error {}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} cannot be used:", self.source)?;
        for p in &self.problems {
            write!(f, "\n  {}: {}; {}", p.key, p.wrong, p.right)?;
        }
        Ok(())
    }
}

impl Node {
    /// Reads `file`, lets `variables` and then `flags` override it, reads the password file, and checks the whole.
    ///
    /// `variables` and `flags` are pairs of a key's name (not the variable's or flag's) and its text.
    ///
    /// # Errors
    /// All problems at once.
    pub fn load(
        file: Option<&Path>,
        variables: &[(String, String)],
        flags: &[(String, String)],
    ) -> Result<Node, Error> {
        let source = file.map_or_else(
            || "the configuration".to_string(),
            |p| p.display().to_string(),
        );
        let fail = |problem| Error {
            source: source.clone(),
            problems: vec![problem],
        };
        let text = match file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path).map_err(|e| {
                fail(Problem::new(
                    "the file",
                    e.to_string(),
                    "give a readable TOML file",
                ))
            })?,
        };
        Node::parse(&text, variables, flags).map_err(|e| Error { source, ..e })
    }

    /// As `load`, with the text of the file.
    ///
    /// # Errors
    /// All problems at once.
    pub fn parse(
        text: &str,
        variables: &[(String, String)],
        flags: &[(String, String)],
    ) -> Result<Node, Error> {
        let source = || "the configuration".to_string();
        let mut table: toml::Table = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(0, |s| {
                text[..s.start.min(text.len())].matches('\n').count() + 1
            });
            let wrong = e.message().to_string();
            Error {
                source: source(),
                problems: vec![Problem::new(
                    format!("line {line}"),
                    wrong,
                    "write it as TOML: key = value",
                )],
            }
        })?;
        let mut problems = Vec::new();
        for (name, value) in variables.iter().chain(flags) {
            overlay(&mut table, name, value, &mut problems);
        }
        let mut node = Node::take_from(&mut table, &mut problems);
        for unknown in table.keys() {
            problems.push(Problem::new(
                unknown,
                "there is no such key",
                nearest(unknown),
            ));
        }
        if let Some(path) = node.password_file.clone() {
            read_password(&path, &mut node, &mut problems);
        }
        if problems.is_empty() {
            node.check(&mut problems);
        }
        if problems.is_empty() {
            Ok(node)
        } else {
            Err(Error {
                source: source(),
                problems,
            })
        }
    }

    /// The pairs for `load` out of the environment: every `PONTOON_<KEY>` that is set.
    #[must_use]
    pub fn variables() -> Vec<(String, String)> {
        KEYS.iter()
            .filter_map(|k| Some((k.name.to_string(), std::env::var(k.variable()).ok()?)))
            .collect()
    }
}

/// Takes the key `name` out of `table` into `into`, or says what is wrong with it.
pub(super) fn take<T: DeserializeOwned>(
    table: &mut toml::Table,
    name: &str,
    kind: Kind,
    into: &mut T,
    problems: &mut Vec<Problem>,
) {
    let Some(value) = table.remove(name) else {
        return;
    };
    let fits = match kind {
        Kind::Text | Kind::Hidden => value.is_str(),
        Kind::Number => value.as_integer().is_some_and(|n| n >= 0),
        Kind::Switch => value.is_bool(),
        Kind::Texts => value
            .as_array()
            .is_some_and(|a| a.iter().all(toml::Value::is_str)),
        Kind::Tables => value
            .as_array()
            .is_some_and(|a| a.iter().all(toml::Value::is_table)),
    };
    if !fits {
        let wrong = match (&value, kind) {
            (_, Kind::Hidden) => "it is not a string".to_string(),
            (toml::Value::Integer(n), _) => format!("it is {n}"),
            (other, _) => format!("it is of type {}", other.type_str()),
        };
        return problems.push(Problem::new(name, wrong, format!("give {}", kind.wanted())));
    }
    let shown = match (&value, kind) {
        (toml::Value::String(s), Kind::Text) => Some(s.clone()),
        _ => None,
    };
    match value.try_into() {
        Ok(v) => *into = v,
        Err(e) => {
            let what = e.message().trim().to_string();
            let (wrong, right) = match shown {
                // The kinds of string that are parsed further: addresses and policies.
                Some(s) if name.ends_with("_addr") || name == "insecure_plaintext" => (
                    format!("{s:?} is not an address"),
                    "give an IP address and a port, such as 127.0.0.1:6379".into(),
                ),
                Some(s) if what.contains("expected one of") => (
                    format!("{s:?} is none of the choices"),
                    what.split_once("expected ")
                        .map_or(what.clone(), |(_, r)| format!("give {r}")),
                ),
                _ => (what, format!("give {}", kind.wanted())),
            };
            problems.push(Problem::new(name, wrong, right));
        }
    }
}

/// Puts the text of a variable or flag into `table`, as its kind wants it written.
fn overlay(table: &mut toml::Table, name: &str, text: &str, problems: &mut Vec<Problem>) {
    let Some(key) = KEYS.iter().find(|k| k.name == name) else {
        return problems.push(Problem::new(name, "there is no such key", nearest(name)));
    };
    let value = match key.kind {
        Kind::Text | Kind::Hidden => Some(toml::Value::String(text.to_string())),
        Kind::Number => text.trim().parse().ok().map(toml::Value::Integer),
        Kind::Switch => text.trim().parse().ok().map(toml::Value::Boolean),
        Kind::Texts => Some(toml::Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|s| !s.is_empty())
                .map(|s| s.to_string().into())
                .collect(),
        )),
        Kind::Tables => toml::from_str::<toml::Table>(&format!("v = {text}"))
            .ok()
            .and_then(|mut t| t.remove("v")),
    };
    match value {
        Some(v) => drop(table.insert(name.to_string(), v)),
        None => problems.push(Problem::new(
            name,
            format!("it is {text:?}"),
            format!("give {}", key.kind.wanted()),
        )),
    }
}

fn read_password(path: &Path, node: &mut Node, problems: &mut Vec<Problem>) {
    if !node.password.expose().is_empty() {
        return problems.push(Problem::new(
            "password_file",
            "password is given too",
            "give one of password and password_file",
        ));
    }
    match std::fs::read_to_string(path) {
        Ok(text) => {
            node.password = Secret::new(text.lines().next().unwrap_or("").trim_end_matches('\r'))
        }
        Err(e) => problems.push(Problem::new(
            "password_file",
            format!("{}: {e}", path.display()),
            "name a file that this user can read, with the password on its first line",
        )),
    }
}

/// Advice for a name that is no key: the key that it was probably meant to be.
fn nearest(name: &str) -> String {
    let closest = KEYS
        .iter()
        .map(|k| (distance(name, k.name), k.name))
        .min()
        .expect("there are keys");
    if closest.0 <= 3.max(name.len() / 3) {
        format!("did you mean {}?", closest.1)
    } else {
        "`pontoon node --print-config` lists all keys".to_string()
    }
}

/// The number of characters to insert, delete or replace to get from `a` to `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
