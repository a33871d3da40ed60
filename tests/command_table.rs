//! Compares the command table with what a running Redis 7.2 reports of its commands, which is kept
//! in `../shared/redis-7.2-commands.json` beside the checkout. Always: every entry and every field.

use std::collections::BTreeSet;
use std::path::Path;

use pontoon::command::table::{Begin, COUNT, Find, Flags, KeySpec, SPECS, Spec, by_full_name, key};
use serde_json::{Value, json};

/// The reference, or None where there is none and none is needed.
fn reference() -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/redis-7.2-commands.json");
    match std::fs::read(&path) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).expect("the reference is JSON")),
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "{}: {error}; under CI it must be there",
                path.display()
            );
            eprintln!("skipped: {} is not there", path.display());
            None
        }
    }
}

/// Every command and subcommand of the reference by its full name.
fn entries(reference: &Value) -> Vec<(&String, &Value)> {
    ["commands", "subcommands"]
        .iter()
        .flat_map(|part| reference[part].as_object().expect("an object of commands"))
        .collect()
}

fn set<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    names.collect()
}

fn strings(value: &Value) -> BTreeSet<&str> {
    value
        .as_array()
        .expect("an array")
        .iter()
        .map(|name| name.as_str().expect("a string"))
        .collect()
}

fn key_spec(spec: &KeySpec) -> Value {
    let begin = match spec.begin {
        Begin::Unknown => json!({"type": "unknown"}),
        Begin::Index(at) => json!({"type": "index", "index": at}),
        Begin::Keyword(word, from) => {
            json!({"type": "keyword", "keyword": word, "startfrom": from})
        }
    };
    let find = match spec.find {
        Find::Unknown => json!({"type": "unknown"}),
        Find::Range { last, step, limit } => {
            json!({"type": "range", "lastkey": last, "keystep": step, "limit": limit})
        }
        Find::Counted {
            count_at,
            first,
            step,
        } => {
            json!({"type": "keynum", "keynumidx": count_at, "firstkey": first, "keystep": step})
        }
    };
    let flags: Vec<_> = key::names(spec.flags).collect();
    let mut value = json!({"flags": flags, "begin_search": begin, "find_keys": find});
    if !spec.notes.is_empty() {
        value["has_notes"] = true.into();
    }
    value
}

fn check(name: &str, spec: &Spec, expected: &Value) {
    let number = |field: &str| expected[field].as_i64().expect("a number");
    assert_eq!(spec.full_name, name);
    assert_eq!(i64::from(spec.arity), number("arity"), "{name}: arity");
    assert_eq!(
        set(spec.flags.names()),
        strings(&expected["flags"]),
        "{name}: flags"
    );
    let categories: Vec<_> = spec
        .categories
        .names()
        .map(|name| format!("@{name}"))
        .collect();
    assert_eq!(
        set(categories.iter().map(String::as_str)),
        strings(&expected["acl_categories"]),
        "{name}: ACL categories"
    );
    assert_eq!(
        i64::from(spec.first_key),
        number("first_key"),
        "{name}: first key"
    );
    assert_eq!(
        i64::from(spec.last_key),
        number("last_key"),
        "{name}: last key"
    );
    assert_eq!(
        i64::from(spec.key_step),
        number("key_step"),
        "{name}: key step"
    );
    assert_eq!(json!(spec.tips), expected["tips"], "{name}: tips");
    let key_specs: Vec<_> = spec.key_specs.iter().map(key_spec).collect();
    assert_eq!(
        Value::from(key_specs),
        expected["key_specs"],
        "{name}: key specs"
    );
    assert_eq!(spec.group.name(), expected["group"], "{name}: group");
    assert_eq!(spec.since, expected["since"], "{name}: since");
    let documentation = strings(&expected["doc_flags"]);
    assert_eq!(
        spec.has(Flags::DEPRECATED),
        documentation.contains("deprecated"),
        "{name}: deprecated"
    );
    assert_eq!(
        spec.has(Flags::SYSCMD),
        documentation.contains("syscmd"),
        "{name}: syscmd"
    );
    let subcommands = set(spec.subcommands().iter().map(|spec| spec.full_name));
    let expected_subcommands = expected
        .get("subcommands")
        .map_or_else(BTreeSet::new, |names| strings(names));
    assert_eq!(subcommands, expected_subcommands, "{name}: subcommands");
    let container = spec.container.map(|id| id.spec().full_name);
    assert_eq!(
        container,
        expected.get("container").and_then(Value::as_str),
        "{name}: container"
    );
}

#[test]
fn the_table_is_redis() {
    let Some(reference) = reference() else { return };
    let entries = entries(&reference);
    assert_eq!(entries.len(), 241 + 129);
    assert_eq!(COUNT, entries.len(), "entries that Redis has, and no other");
    for (name, expected) in entries {
        let spec =
            by_full_name(name.as_bytes()).unwrap_or_else(|| panic!("{name} is not in the table"));
        check(name, spec, expected);
    }
}

/// The comparison must be able to fail.
#[test]
#[should_panic(expected = "arity")]
fn a_wrong_entry_is_noticed() {
    let spec = by_full_name(b"get").unwrap();
    check("get", spec, &json!({"arity": 3}));
}

#[test]
fn places_match_ids() {
    for (place, spec) in SPECS.iter().enumerate() {
        assert_eq!(spec.id as usize, place);
        assert!(
            spec.subcommands()
                .iter()
                .all(|sub| sub.container == Some(spec.id))
        );
        assert_eq!(spec.full_name, spec.full_name.to_lowercase());
    }
}
