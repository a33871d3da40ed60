//! Holds the shape of the source: who may import whom (the floors of `src/lib.rs`), and the style that
//! every file keeps. Always: reads files alone, and each rule is shown to fail on a planted text.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines above which a file holds more than one idea.
const LINES_MAX: usize = 900;

/// What a module may import.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Floor {
    /// Imports from lower floors; from its own only as `may_import` says.
    At(u8),
    /// Stands apart: imports floor 0 and the modules named.
    Apart(&'static [&'static str]),
    /// Imports all, and nobody imports it.
    Roof,
}

/// Every module of `src/lib.rs`, as DESIGN "Layout" places it.
fn floors() -> BTreeMap<&'static str, Floor> {
    use Floor::*;
    BTreeMap::from([
        ("base", At(0)),
        ("config", At(0)),
        ("proto", At(0)),
        ("telemetry", At(0)),
        ("tls", At(0)),
        ("resp", At(1)),
        ("data", At(1)),
        ("mutation", At(1)),
        ("script", At(2)),
        ("keyspace", At(2)),
        ("rdb", At(2)),
        ("command", At(3)),
        ("engine", At(4)),
        ("log", At(4)),
        ("store", At(4)),
        ("raft", At(5)),
        ("server", At(6)),
        ("backup", At(6)),
        ("node", At(7)),
        ("gateway", Apart(&["resp"])),
        ("console", Apart(&["backup", "gateway", "resp"])),
        ("cli", Roof),
        ("main", Roof),
        ("lib", Roof),
    ])
}

/// Whether module `from` may name module `to`.
fn may_import(from: &str, to: &str) -> bool {
    let floors = floors();
    let (Some(&a), Some(&b)) = (floors.get(from), floors.get(to)) else {
        return false;
    };
    match (a, b) {
        _ if from == to => true,
        (Floor::Roof, _) => true,
        // The base stands on nothing; the rest of floor 0 may use each other.
        (Floor::At(0), Floor::At(0)) => from != "base",
        (Floor::At(a), Floor::At(b)) => b < a,
        (Floor::Apart(also), Floor::At(b)) => b == 0 || also.contains(&to),
        (Floor::Apart(also), Floor::Apart(_)) => also.contains(&to),
        (Floor::At(_) | Floor::Apart(_), Floor::Apart(_) | Floor::Roof) => false,
    }
}

/// The source without comments and the contents of strings, line breaks kept, so that a path in a
/// sentence is not an import.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        let skipped = if rest.starts_with(b"//") {
            rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest, i.checked_sub(1).map(|before| bytes[before]))
        {
            length
        } else if rest[0] == b'"' {
            string(rest)
        } else if rest[0] == b'\'' {
            quoted_char(rest)
        } else {
            0
        };
        if skipped == 0 {
            out.push(if rest[0].is_ascii() {
                rest[0] as char
            } else {
                ' '
            });
            i += 1;
        } else {
            out.extend(
                rest[..skipped]
                    .iter()
                    .filter(|&&b| b == b'\n')
                    .map(|_| '\n'),
            );
            i += skipped;
        }
    }
    out
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut i) = (0usize, 0);
    while i < rest.len() {
        if rest[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if rest[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    rest.len()
}

/// The length of a raw string that starts here: `r"…"`, `r#"…"#`, `br#"…"#`.
fn raw_string(rest: &[u8], before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let start = usize::from(rest[0] == b'b') + 1;
    if rest.get(start - 1) != Some(&b'r') {
        return None;
    }
    let hashes = rest[start..].iter().take_while(|&&b| b == b'#').count();
    if rest.get(start + hashes) != Some(&b'"') {
        return None;
    }
    let end: Vec<u8> = std::iter::once(b'"')
        .chain(std::iter::repeat_n(b'#', hashes))
        .collect();
    let body = start + hashes + 1;
    let length = rest[body..]
        .windows(end.len())
        .position(|window| window == end)?;
    Some(body + length + end.len())
}

fn string(rest: &[u8]) -> usize {
    let mut i = 1;
    while i < rest.len() && rest[i] != b'"' {
        i += if rest[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(rest.len())
}

/// The length of a character literal, or 0 where the quote begins a lifetime.
fn quoted_char(rest: &[u8]) -> usize {
    match rest.get(1) {
        Some(b'\\') => rest[2..]
            .iter()
            .skip(1)
            .position(|&b| b == b'\'')
            .map_or(0, |at| at + 4),
        Some(_) => rest[1..]
            .iter()
            .take(6)
            .position(|&b| b == b'\'')
            .map_or(0, |at| {
                let one =
                    std::str::from_utf8(&rest[1..1 + at]).is_ok_and(|s| s.chars().count() == 1);
                if one { at + 2 } else { 0 }
            }),
        None => 0,
    }
}

/// The top-level modules that a source text names, with the line of each. `depth` is how many modules
/// deep the file itself is (`src/data/list.rs`: 2), which tells when `super` reaches the root.
fn imports(text: &str, depth: usize) -> Vec<(String, usize)> {
    let code = code_of(text);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        if !reaches_root(&code[..at], depth) {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let after = code[at + 2..].trim_start();
        match after.strip_prefix('{') {
            Some(group) => {
                found.extend(group_heads(group).into_iter().map(|name| (name, line)));
            }
            None => found.push((identifier(after), line)),
        }
    }
    found.retain(|(name, _)| name.starts_with(|c: char| c.is_ascii_lowercase()) && name != "super");
    found
}

/// Whether the path that ends here names the root of the crate: `crate`, `pontoon`, enough `super`s.
fn reaches_root(before: &str, depth: usize) -> bool {
    let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let start = before.rfind(|c: char| !is_path(c)).map_or(0, |at| at + 1);
    let path = &before[start..];
    if path == "crate" || path == "pontoon" {
        return true;
    }
    let mut parts = path.split("::");
    let supers = parts.clone().count();
    // Inside `mod tests { … }` one `super` more is needed; rustfmt indents what is inside.
    let line = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
    let nested = usize::from(line.starts_with(' '));
    parts.all(|part| part == "super") && supers == depth + nested
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

/// The first segment of each path of an import group: `a::b, c::{d, e}` gives `a` and `c`.
fn group_heads(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut fresh) = (Vec::new(), 0usize, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && !c.is_whitespace() => {
                heads.push(identifier(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

/// What a source text of module `module` imports that it may not: one sentence each.
fn forbidden(module: &str, path: &str, text: &str) -> Vec<String> {
    let floors = floors();
    let depth = path.matches('/').count() + usize::from(!path.ends_with("mod.rs"));
    let depth = if path.contains('/') || !matches!(module, "lib" | "main") {
        depth
    } else {
        0
    };
    imports(text, depth)
        .into_iter()
        .filter(|(name, _)| floors.contains_key(name.as_str()) && !may_import(module, name))
        .map(|(name, line)| {
            format!("src/{path}:{line}: `{module}` may not import `{name}` (floors in src/lib.rs)")
        })
        .collect()
}

/// What is against the style in a text file, one sentence each.
fn style(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let lines = text.lines().count();
    let is_source = path.ends_with(".rs");
    if is_source && lines > LINES_MAX {
        wrong.push(format!(
            "{path}: {lines} lines, more than {LINES_MAX}: split it by idea"
        ));
    }
    if is_source && !text.starts_with("//! ") {
        wrong.push(format!(
            "{path}: the first line must say, after `//! `, what the file is for"
        ));
    }
    for (number, line) in text.lines().enumerate() {
        if let Some(word) = banned_word(line) {
            wrong.push(format!(
                "{path}:{}: `{word}`: finish it, or file an issue",
                number + 1
            ));
        }
        if let Some(folder) = machine_path(line) {
            wrong.push(format!(
                "{path}:{}: `{folder}` is a path of one machine",
                number + 1
            ));
        }
    }
    wrong
}

/// A mark of unfinished work. The words are put together here so that this file has none.
fn banned_word(line: &str) -> Option<String> {
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|parts| parts.concat());
    let ignored = ["#[ign", "ore"].concat();
    if line.contains(&ignored) {
        return Some(ignored);
    }
    words.into_iter().find(|word| {
        line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(|part| part == word)
    })
}

/// A folder that exists on the machine of whoever wrote the line.
fn machine_path(line: &str) -> Option<String> {
    let folders = [
        ["/ro", "ot/"],
        ["/wo", "rk/"],
        ["/ho", "me/"],
        ["/Us", "ers/"],
        ["/fa", "rm/"],
    ];
    folders
        .map(|parts| parts.concat())
        .into_iter()
        .find(|folder| {
            line.match_indices(folder.as_str()).any(|(at, _)| {
                // Behind a variable or another folder the name is relative; an absolute path stands alone.
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| c.is_ascii_alphanumeric() || "_.}-)/*".contains(c))
            })
        })
}

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `dir` that holds text of ours, with its path from the top of the repository.
fn files(dir: &Path, out: &mut Vec<(String, String)>) {
    let skipped = ["target", ".git", "node_modules", "fixtures"];
    for entry in fs::read_dir(dir).expect("a readable folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if path.is_dir() {
            if !skipped.contains(&name.as_str()) {
                files(&path, out);
            }
        } else if name != ".git"
            && !name.contains("lock")
            && let Ok(text) = fs::read_to_string(&path)
        {
            let short = path.strip_prefix(top()).expect("below the top");
            out.push((short.to_string_lossy().into_owned(), text));
        }
    }
}

fn all_files() -> Vec<(String, String)> {
    let mut out = Vec::new();
    files(&top(), &mut out);
    assert!(
        out.iter().any(|(path, _)| path == "src/lib.rs"),
        "the walk found no source"
    );
    out
}

fn module_of(path: &str) -> &str {
    path.split('/')
        .next()
        .expect("a path")
        .trim_end_matches(".rs")
}

#[test]
fn modules_import_from_lower_floors_only() {
    let wrong: Vec<String> = all_files()
        .iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .filter_map(|(path, text)| path.strip_prefix("src/").map(|short| (short, text)))
        .flat_map(|(path, text)| forbidden(module_of(path), path, text))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_a_floor() {
    let floors = floors();
    let lib = fs::read_to_string(top().join("src/lib.rs")).expect("src/lib.rs");
    let declared: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert!(
        declared.len() > 10,
        "src/lib.rs declares the modules, one a line: {declared:?}"
    );
    for module in declared {
        assert!(
            floors.contains_key(module),
            "`{module}` has no floor in tests/floors.rs"
        );
    }
    for (path, _) in all_files() {
        if let Some(short) = path.strip_prefix("src/") {
            assert!(
                floors.contains_key(module_of(short)),
                "{path} belongs to no floor"
            );
        }
    }
}

#[test]
fn files_keep_the_style() {
    let wrong: Vec<String> = all_files()
        .iter()
        .flat_map(|(path, text)| style(path, text))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn planted_imports_are_found() {
    let planted = [
        ("keyspace", "keyspace/mod.rs", "use crate::command::Table;"),
        ("base", "base/clock.rs", "use crate::config::Config;"),
        ("log", "log/segment.rs", "use crate::store::Store;"),
        (
            "data",
            "data/list.rs",
            "use crate::{base::limits, resp::Value};",
        ),
        (
            "data",
            "data/list.rs",
            "fn f() { crate::resp::Value::Null; }",
        ),
        ("data", "data/list.rs", "use super::super::keyspace::Key;"),
        (
            "data",
            "data/list.rs",
            "mod tests {\n    use super::super::super::keyspace::Key;\n}",
        ),
        ("data", "data/mod.rs", "use super::engine::Batch;"),
        ("gateway", "gateway/mod.rs", "use crate::raft::Role;"),
        (
            "server",
            "server/session.rs",
            "use crate::{\n    raft::{Role},\n    node::Node,\n};",
        ),
        (
            "engine",
            "engine/mod.rs",
            "let c = '\"'; let x = crate::raft::Role::Learner;",
        ),
        ("node", "node.rs", "use crate::cli::run;"),
    ];
    for (module, path, text) in planted {
        assert_eq!(forbidden(module, path, text).len(), 1, "{path}: {text}");
    }
}

#[test]
fn lawful_imports_pass() {
    let lawful = [
        (
            "keyspace",
            "keyspace/mod.rs",
            "use crate::{base::limits::A, data, mutation::Mutation};",
        ),
        ("tls", "tls/mod.rs", "use crate::config::Tls;"),
        ("cli", "cli/dev.rs", "use crate::{gateway, node};"),
        ("main", "main.rs", "fn main() { pontoon::cli::run() }"),
        (
            "gateway",
            "gateway/mod.rs",
            "use crate::proto::StatusReply; use crate::tls;",
        ),
        (
            "data",
            "data/mod.rs",
            "// see crate::engine::Batch\nlet s = \"crate::engine\\\"::\";",
        ),
        (
            "data",
            "data/mod.rs",
            "/* crate::raft::X /* */ */ let r = br#\"crate::raft::X\"#;",
        ),
        (
            "data",
            "data/mod.rs",
            "mod tests {\n    use super::script::Key;\n}",
        ),
        (
            "command",
            "command/string/set.rs",
            "use super::super::keyspace::Family;",
        ),
        (
            "resp",
            "resp/mod.rs",
            "fn f<'a>(x: &'a str) -> char { 'a' } // crate::node::Node",
        ),
    ];
    for (module, path, text) in lawful {
        assert_eq!(
            forbidden(module, path, text),
            Vec::<String>::new(),
            "{path}: {text}"
        );
    }
}

#[test]
fn planted_style_faults_are_found() {
    let word = ["TO", "DO"].concat();
    let folder = ["/ro", "ot/x"].concat();
    let long = format!("//! Long.\n{}", "x\n".repeat(LINES_MAX));
    for text in [
        "fn main() {}\n".to_string(),
        format!("//! A.\n// {word}: later\n"),
        format!("//! A.\nlet p = \"{folder}\";\n"),
        long,
    ] {
        assert_eq!(
            style("src/a.rs", &text).len(),
            1,
            "{}",
            &text[..text.len().min(60)]
        );
    }
    assert!(style("src/a.rs", "//! Methods of a list.\nfn todo_list() {}\n").is_empty());
}
