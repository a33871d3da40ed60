//! What came of an import.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::json;

use crate::cli::progress::grouped;
use crate::cli::{Output, print};

/// Things named one by one in a report; of the others the count alone.
const NAMED_MAX: usize = 100;

/// What was carried over, what was not, and how it compared.
pub struct Report {
    pub source: String,
    began: Instant,
    /// Keys written, by database; those that expire among them.
    pub keys: BTreeMap<u32, u64>,
    pub expiring: BTreeMap<u32, u64>,
    pub types: BTreeMap<&'static str, u64>,
    /// Keys that had expired already.
    pub expired: u64,
    pub functions: u64,
    /// Changes applied after the data.
    pub changes: u64,
    /// Where it went on, if it was begun before.
    pub resumed_at: Option<u64>,
    skipped: Vec<serde_json::Value>,
    skipped_count: u64,
    skipped_keys: BTreeSet<(u32, Vec<u8>)>,
    /// What else was left out, with why.
    pub left_out: BTreeMap<String, u64>,
    pub compared: Option<Compared>,
}

/// How the two sides compared.
#[derive(Default)]
pub struct Compared {
    /// Database, keys expected, keys found, whether that is right.
    pub databases: Vec<(u32, u64, u64, bool)>,
    pub samples: usize,
    /// Keys of the samples that differ: database, key, how.
    pub differing: Vec<(u32, Vec<u8>, String)>,
    /// The source was written to meanwhile, so counts may differ.
    pub moving: bool,
}

impl Report {
    /// Of nothing yet.
    pub fn new(source: String) -> Report {
        Report {
            source,
            began: Instant::now(),
            keys: BTreeMap::new(),
            expiring: BTreeMap::new(),
            types: BTreeMap::new(),
            expired: 0,
            functions: 0,
            changes: 0,
            resumed_at: None,
            skipped: Vec::new(),
            skipped_count: 0,
            skipped_keys: BTreeSet::new(),
            left_out: BTreeMap::new(),
            compared: None,
        }
    }

    /// A key was not carried over, or not as it was.
    pub fn skip(&mut self, db: u32, key: &[u8], why: &str) {
        if self.skipped_keys.len() < NAMED_MAX {
            // The pieces of one value are refused one by one.
            if !self.skipped_keys.insert((db, key.to_vec())) {
                return;
            }
            let key = key.escape_ascii().to_string();
            self.skipped
                .push(json!({ "db": db, "key": key, "why": why }));
        }
        self.skipped_count += 1;
    }

    /// A library was not taken.
    pub fn skip_function(&mut self, why: &str) {
        self.functions = self.functions.saturating_sub(1);
        self.leave_out(&format!("a library of functions: {why}"));
    }

    /// Something that is no key was left out.
    pub fn leave_out(&mut self, what: &str) {
        if self.left_out.len() < NAMED_MAX || self.left_out.contains_key(what) {
            *self.left_out.entry(what.to_string()).or_default() += 1;
        }
    }

    /// Keys that were not carried over.
    pub fn skipped(&self) -> u64 {
        self.skipped_count
    }

    /// Everything was carried over and compared equal.
    pub fn is_clean(&self) -> bool {
        let equal = self.compared.as_ref().is_some_and(|c| {
            c.differing.is_empty() && (c.moving || c.databases.iter().all(|(.., right)| *right))
        });
        self.skipped_count == 0 && self.left_out.is_empty() && equal
    }

    /// Prints it.
    pub fn print(&self, output: Output) {
        print(output, || self.text(), || self.json());
    }

    fn text(&self) -> String {
        let total: u64 = self.keys.values().sum();
        let mut text = format!(
            "{} keys from {} in {:.1} s\n",
            grouped(total),
            self.source,
            self.began.elapsed().as_secs_f64()
        );
        if let Some(at) = self.resumed_at {
            text += &format!("  went on at {at}, where an earlier import stopped\n");
        }
        for (name, count) in &self.types {
            text += &format!("  {name}: {}\n", grouped(*count));
        }
        for (count, what) in [
            (self.functions, "libraries of functions"),
            (self.changes, "changes applied after that"),
            (self.expired, "keys left out: they had expired"),
        ] {
            if count > 0 {
                text += &format!("  {} {what}\n", grouped(count));
            }
        }
        if self.skipped_count > 0 {
            text += &format!("  NOT carried over: {} keys\n", grouped(self.skipped_count));
            for skipped in &self.skipped {
                let part = |name: &str| skipped[name].as_str().unwrap_or_default().to_string();
                text += &format!("    {} {}: {}\n", skipped["db"], part("key"), part("why"));
            }
        }
        for (what, count) in &self.left_out {
            text += &format!("  NOT carried over: {what} ({count} times)\n");
        }
        match &self.compared {
            None => text += "not compared",
            Some(compared) => text += &compared.text(),
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let compared = self.compared.as_ref().map(|c| {
            let database = |&(db, expected, found, right): &(u32, u64, u64, bool)| {
                json!({ "db": db, "expected": expected, "found": found, "right": right })
            };
            let differing = |(db, key, how): &(u32, Vec<u8>, String)| {
                json!({ "db": db, "key": key.escape_ascii().to_string(), "how": how })
            };
            json!({
                "databases": c.databases.iter().map(database).collect::<Vec<_>>(),
                "samples": c.samples,
                "differing": c.differing.iter().map(differing).collect::<Vec<_>>(),
                "source_moving": c.moving,
            })
        });
        json!({
            "source": self.source,
            "keys": self.keys,
            "types": self.types,
            "functions": self.functions,
            "changes": self.changes,
            "resumed_at": self.resumed_at,
            "expired": self.expired,
            "skipped": { "count": self.skipped_count, "keys": self.skipped },
            "left_out": self.left_out,
            "compared": compared,
            "clean": self.is_clean(),
            "seconds": self.began.elapsed().as_secs_f64(),
        })
    }
}

impl Compared {
    fn text(&self) -> String {
        let mut text = String::from("compared:");
        for (db, expected, found, right) in &self.databases {
            let (expected, found) = (grouped(*expected), grouped(*found));
            let verdict = match (right, self.moving) {
                (true, _) => "as there should be",
                (false, true) => "while the source was written to",
                (false, false) => "WRONG",
            };
            text += &format!("\n  database {db}: {found} keys of {expected}, {verdict}");
        }
        let wrong = self.differing.len();
        text += &format!("\n  {} values one by one, {wrong} differ", self.samples);
        for (db, key, how) in self.differing.iter().take(NAMED_MAX) {
            text += &format!("\n    {db} {}: {how}", key.escape_ascii());
        }
        text
    }
}
