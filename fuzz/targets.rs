//! What is fuzzed: each target takes any bytes and must come back, without a panic and with little memory.
//!
//! Shared by the cargo-fuzz targets beside it and by `tests/corpus.rs`, which replays the corpus in every test run.

use bytes::BytesMut;
use pontoon::base::glob;
use pontoon::command::acl::Selector;
use pontoon::data::Limits;
use pontoon::log::record::{self, Found};
use pontoon::mutation::{codec, entry};
use pontoon::rdb::{self, payload};
use pontoon::resp::{Parser, parse_value};

/// A target: any bytes in.
pub type Target = fn(&[u8]);

/// All targets by name; a folder of the corpus each.
#[allow(
    dead_code,
    reason = "a fuzz target names its own; the replay goes through all"
)]
pub const ALL: &[(&str, Target)] = &[
    ("resp", resp),
    ("dump", dump),
    ("rdb_file", rdb_file),
    ("glob", globs),
    ("acl_rules", acl_rules),
    ("mutation", mutation),
    ("log_record", log_record),
];

/// Requests as a client sends them, whole and byte by byte, and replies as the tools read them.
pub fn resp(data: &[u8]) {
    for authenticated in [false, true] {
        let (mut parser, mut buffer) = (Parser::new(), BytesMut::from(data));
        let mut whole = Vec::new();
        while let Ok(Some(args)) = parser.take(&mut buffer, authenticated) {
            whole.push(args.total_len());
        }
        let (mut parser, mut buffer, mut bytewise) = (Parser::new(), BytesMut::new(), Vec::new());
        'bytes: for byte in data {
            buffer.extend_from_slice(&[*byte]);
            loop {
                match parser.take(&mut buffer, authenticated) {
                    Ok(Some(args)) => bytewise.push(args.total_len()),
                    Ok(None) => break,
                    Err(_) => break 'bytes,
                }
            }
        }
        assert_eq!(whole, bytewise, "the same requests however they are cut");
    }
    let _ = parse_value(data);
}

/// A value in DUMP's form; what is understood must survive being written again.
pub fn dump(data: &[u8]) {
    let limits = Limits::default();
    let _ = payload::open(data);
    if let Ok(value) = payload::decode(data, &limits) {
        let again = payload::encode(value.view(), &limits);
        let body = payload::open(&again).expect("sealed here");
        payload::decode(body, &limits).expect("written here");
    }
}

/// An RDB file.
pub fn rdb_file(data: &[u8]) {
    if let Ok(mut reader) = rdb::Reader::new(data, Limits::default()) {
        while let Ok(Some(_)) = reader.next_record() {}
    }
}

/// A pattern, a line feed, a text.
pub fn globs(data: &[u8]) {
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (pattern, text) = data.split_at(at);
    let exact = glob::matches(pattern, text);
    if glob::is_literal(pattern) {
        assert_eq!(exact, pattern == text);
    }
    glob::matches_nocase(pattern, text);
}

/// Rules of a selector, as ACL SETUSER takes them.
pub fn acl_rules(data: &[u8]) {
    if let Ok(selector) = Selector::parse(data, false) {
        selector.describe(true);
        selector.commands();
        selector.keys();
        selector.channel_rules();
    }
}

/// A log entry, and its mutations.
pub fn mutation(data: &[u8]) {
    if let Ok(entry::Entry::Batch(_, mutations)) = entry::decode(data) {
        codec::Reader::new(mutations)
            .take_while(Result::is_ok)
            .count();
    }
    codec::Reader::new(data).take_while(Result::is_ok).count();
}

/// The head of a record in a segment of the log; the first twelve bytes are its salt and its place.
pub fn log_record(data: &[u8]) {
    let Some((front, rest)) = data.split_first_chunk::<12>() else {
        return;
    };
    let salt = u64::from_le_bytes(*front.first_chunk().expect("eight of twelve"));
    let at = record::place(u32::from(front[8]) * record::ALIGN);
    let mut bytes = rest.to_vec();
    bytes.resize(rest.len().max(record::HEAD as usize), 0);
    let (head, body) = bytes.split_at_mut(record::HEAD as usize);
    if let Found::Head(head) = record::head(head, salt, at) {
        record::is_whole(&head, body);
        record::apply_mask(body, head.mask);
    }
    record::is_torn(at, body);
}
