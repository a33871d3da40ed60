//! INFO: what this node is, does and holds, under the names that monitoring tools read.
//!
//! Always: a field tells what was counted or measured. Fields of Redis's own machinery that tools read
//! (RDB, AOF, fork, scripts) are there with the value that is true here, which is as a rule zero.

mod memory;
mod sections;

use crate::command::{Args, Fail};
use crate::resp::Out;
use crate::server::dispatch::{Exec, Handler};

pub use memory::Memory;
pub use sections::replication_id;

pub const COMMANDS: &[(&str, Handler)] = &[("info", info)];

/// The level of Redis that is spoken.
pub const REDIS_VERSION: &str = "7.2.6";

/// Writes one section's lines.
type Write = fn(&Exec<'_>, &mut String);

/// A section: name, title, whether it is shown unasked, its lines; in Redis's order.
const SECTIONS: &[(&str, &str, bool, Write)] = &[
    ("server", "Server", true, sections::server),
    ("clients", "Clients", true, sections::clients),
    ("memory", "Memory", true, memory::section),
    ("persistence", "Persistence", true, sections::persistence),
    ("stats", "Stats", true, sections::stats),
    ("replication", "Replication", true, sections::replication),
    ("cpu", "CPU", true, sections::cpu),
    ("modules", "Modules", true, |_, _| {}),
    (
        "commandstats",
        "Commandstats",
        false,
        sections::commandstats,
    ),
    ("errorstats", "Errorstats", true, sections::errorstats),
    (
        "latencystats",
        "Latencystats",
        false,
        sections::latencystats,
    ),
    ("cluster", "Cluster", true, sections::cluster),
    ("keyspace", "Keyspace", true, sections::keyspace),
    ("pontoon", "Pontoon", true, sections::pontoon),
];

fn info(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let asked: Vec<String> = args[1..]
        .iter()
        .map(|a| String::from_utf8_lossy(a).to_ascii_lowercase())
        .collect();
    let has = |name: &str| asked.iter().any(|a| a == name);
    let all = has("all") || has("everything");
    let default = asked.is_empty() || has("default");
    let mut text = String::new();
    for (name, title, unasked, write) in SECTIONS {
        let named = has(name) || *name == "modules" && has("module_list");
        if !(all || named || default && *unasked) {
            continue;
        }
        if !text.is_empty() {
            text += "\r\n";
        }
        text += &format!("# {title}\r\n");
        write(x, &mut text);
    }
    out.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

/// Writes `name:value` and a line end.
fn field(text: &mut String, name: &str, value: impl std::fmt::Display) {
    *text += &format!("{name}:{value}\r\n");
}

/// Bytes for people, as Redis writes them.
pub fn human(bytes: u64) -> String {
    let n = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes}B"),
        1024..0x10_0000 => format!("{:.2}K", n / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.2}M", n / 1_048_576.0),
        0x4000_0000..0x100_0000_0000 => format!("{:.2}G", n / 1_073_741_824.0),
        _ => format!("{:.2}T", n / 1_099_511_627_776.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(993_920), "970.62K");
        assert_eq!(human(5_734_400), "5.47M");
        assert_eq!(human(25_276_510_208), "23.54G");
    }
}
