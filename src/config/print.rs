//! The documented configuration: every key, its meaning and its default, as a TOML file.
//!
//! The values that have defaults are those of `Node::default`, so the text cannot drift from the code.

use super::keys::{KEYS, Node};
use super::types::Key;

/// A commented TOML file with all keys. Keys with a default are shown with it; the others with an example in a comment.
#[must_use]
pub fn documented() -> String {
    let defaults = toml::Table::try_from(Node::default()).expect("every value is one of TOML's");
    let mut text = String::from(
        "# The configuration of one Pontoon node.\n\
         # Each key can also be given as a flag (--client-addr) or a variable (PONTOON_CLIENT_ADDR):\n\
         # flags win over variables, variables over this file.\n",
    );
    for key in KEYS {
        text.push('\n');
        for line in key.doc {
            text.push_str(&format!("# {}\n", line.trim()));
        }
        text.push_str(&assignment(key, defaults.get(key.name)));
    }
    text
}

fn assignment(key: &Key, default: Option<&toml::Value>) -> String {
    match default {
        Some(value) if key.example.is_empty() => format!("{} = {value}\n", key.name),
        _ => format!("# {} = {}\n", key.name, key.example),
    }
}
