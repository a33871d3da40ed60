//! Values against what Redis wrote, and against damage.

use super::*;
use crate::base::number;
use crate::data::{Hash, Limits, List, Set, Str, ZSet};

/// Payloads that DUMP of Redis 7.2.6, and the forms that only older files have, with what they hold.
const RECORDED: &str = include_str!("tests/recorded.txt");

fn bytes(hexadecimal: &str) -> Vec<u8> {
    hex::decode(hexadecimal).expect("hexadecimal digits")
}

/// A value as text: the parts in order (of sets and hashes: sorted).
pub(super) fn show(value: ValueRef<'_>) -> String {
    let text = |bytes: &[u8]| {
        if bytes.len() > 40 {
            format!("{}…{}", bytes[..8].escape_ascii(), bytes.len())
        } else {
            bytes.escape_ascii().to_string()
        }
    };
    let (kind, mut parts): (_, Vec<String>) = match value {
        ValueRef::Str(v) => ("string", vec![text(&v.as_bytes())]),
        ValueRef::List(v) => ("list", v.iter().map(text).collect()),
        ValueRef::Set(v) => ("set", v.iter().map(|m| text(&m)).collect()),
        ValueRef::Hash(v) => {
            let pair = |(f, v): (&[u8], &[u8])| format!("{}={}", text(f), text(v));
            ("hash", v.iter().map(pair).collect())
        }
        ValueRef::ZSet(v) => {
            let pair =
                |(m, s): (&[u8], f64)| format!("{}={}", text(m), number::format_double(s).as_str());
            ("zset", v.iter().map(pair).collect())
        }
        ValueRef::Stream(_) => ("stream", Vec::new()),
    };
    // Of a stream: the entries, then the groups with what they know.
    if let ValueRef::Stream(stream) = value {
        parts.extend(stream.iter().map(|(id, fields)| {
            let items: Vec<String> = stream::items(fields).map(text).collect();
            format!("{}={}", show_id(id), items.join(","))
        }));
        parts.truncate(12);
        parts.extend(stream.groups().map(|(name, g)| {
            let pending: u64 = g.pending.values().map(|p| p.count).sum();
            format!(
                "{}@{}:{}:{pending}",
                text(name),
                show_id(g.last),
                g.consumers.len()
            )
        }));
        return format!("stream {} {}", stream.len(), parts.join(" "));
    }
    if matches!(value, ValueRef::Set(_) | ValueRef::Hash(_)) {
        parts.sort();
    }
    let shown = parts.iter().take(12).cloned().collect::<Vec<_>>().join(" ");
    format!("{kind} {} {shown}", parts.len())
}

fn show_id(id: u128) -> String {
    format!("{}-{}", id >> 64, id as u64)
}

#[test]
fn recorded_payloads_hold_what_redis_says() {
    let limits = Limits::default();
    let mut kinds = std::collections::BTreeSet::new();
    for line in RECORDED.lines().filter(|l| !l.starts_with('#')) {
        let (payload, expected) = line.split_once(' ').expect("a payload and what it holds");
        let payload = bytes(payload);
        let opened = payload::open(&payload).unwrap_or_else(|| panic!("footer of {expected}"));
        kinds.insert(opened[0]);
        let value = payload::decode(opened, &limits).unwrap_or_else(|e| panic!("{expected}: {e}"));
        assert_eq!(show(value.view()), expected);
        // And through our own form.
        let again = payload::encode(value.view(), &limits);
        let again = payload::decode(payload::open(&again).unwrap(), &limits).unwrap();
        assert_eq!(again.view().fingerprint(), value.view().fingerprint());
    }
    let all = [
        0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
    ];
    assert_eq!(kinds, all.into());
}

/// One value of each encoding.
fn samples(limits: &Limits) -> Vec<Value> {
    let mut values: Vec<Value> = ["", "12", "-70000", "9223372036854775807", "text"]
        .iter()
        .map(|text| Value::Str(Str::new(text.as_bytes())))
        .collect();
    values.push(Value::Str(Str::new(&b"repeated ".repeat(1000))));
    for count in [3i64, 130, 700] {
        let (mut list, mut hash, mut zset) = (List::new(), Hash::new(), ZSet::new());
        let (mut ints, mut words) = (Set::new(), Set::new());
        for i in 0..count {
            let word = format!("word {i} {}", "x".repeat(i as usize % 50));
            list.push_back(word.as_bytes(), limits);
            list.push_front(i.to_string().as_bytes(), limits);
            hash.set(word.as_bytes(), i.to_string().as_bytes(), limits);
            zset.insert(word.as_bytes(), i as f64 / 3.0, limits);
            zset.insert(i.to_string().as_bytes(), i as f64, limits);
            ints.insert((i << (i % 40)).to_string().as_bytes(), limits);
            words.insert(word.as_bytes(), limits);
        }
        zset.insert(b"infinite", f64::NEG_INFINITY, limits);
        values.extend([Value::List(list), Value::Hash(hash), Value::ZSet(zset)]);
        values.extend([Value::Set(ints), Value::Set(words)]);
    }
    values
}

#[test]
fn values_come_back() {
    let limits = Limits::default();
    for value in samples(&limits) {
        let payload = payload::encode(value.view(), &limits);
        let again = payload::decode(payload::open(&payload).unwrap(), &limits)
            .unwrap_or_else(|e| panic!("{e}: {} {}", show(value.view()), hex::encode(&payload)));
        assert_eq!(show(again.view()), show(value.view()));
        assert_eq!(again.view().fingerprint(), value.view().fingerprint());
        assert_eq!(encode::kind(again.view()), payload[0]);
    }
}

/// Cheap and repeatable chance.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn damaged_payloads_are_errors_or_sound_values() {
    let limits = Limits::default();
    let mut bodies: Vec<Vec<u8>> = RECORDED
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| {
            payload::open(&bytes(l.split(' ').next().unwrap()))
                .unwrap()
                .to_vec()
        })
        .collect();
    bodies.extend(samples(&limits).iter().map(|v| {
        let payload = payload::encode(v.view(), &limits);
        payload::open(&payload).unwrap().to_vec()
    }));
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut refused, mut taken) = (0, 0);
    for round in 0..40_000 {
        let mut body = bodies[round % bodies.len()].clone();
        for _ in 0..=chance.below(3) {
            let at = chance.below(body.len());
            match chance.below(5) {
                0 => body.truncate(at.max(1)),
                1 => body[at] = [0, 1, 0x7f, 0x80, 0x81, 0xc3, 0xfe, 0xff][chance.below(8)],
                2 => body[at] ^= 1 << chance.below(8),
                3 => drop(body.splice(at..at, [chance.below(256) as u8])),
                _ => body[0] = chance.below(23) as u8,
            }
        }
        match payload::decode(&body, &limits) {
            Err(_) => refused += 1,
            Ok(value) => {
                taken += 1;
                let again = payload::encode(value.view(), &limits);
                let again = payload::decode(payload::open(&again).unwrap(), &limits).unwrap();
                assert_eq!(again.view().fingerprint(), value.view().fingerprint());
            }
        }
    }
    assert!(refused > 10_000 && taken > 1000, "{refused} {taken}");
}

#[test]
fn nothing_is_allocated_for_what_is_merely_declared() {
    let limits = Limits::default();
    // A string, a list, a hash and a listpack that declare 2^60 bytes or elements.
    for body in [
        "0081100000000000000061",
        "0181100000000000000061",
        "04811000000000000000610161",
    ] {
        assert!(payload::decode(&bytes(body), &limits).is_err(), "{body}");
    }
    // A compressed string that declares half a gigabyte.
    assert!(payload::decode(&bytes("00c302802000000000610161"), &limits).is_err());
}

#[test]
fn files_come_back() {
    let limits = Limits::default();
    let values = samples(&limits);
    let mut writer = Writer::new(Vec::new(), &[("redis-ver", "7.2.6")]).unwrap();
    for (i, value) in values.iter().enumerate() {
        let (db, expire_at) = (i as u32 / 5, (i as u64 % 3) * 1_900_000_000_000);
        if i % 5 == 0 {
            writer.database(db, 5, 1).unwrap();
        }
        let key = format!("key {i}");
        let payload = payload::encode(value.view(), &limits);
        if i % 2 == 0 {
            let opened = payload::open(&payload).unwrap();
            writer.key_opened(db, key.as_bytes(), opened, expire_at)
        } else {
            writer.key(db, key.as_bytes(), value.view(), expire_at, &limits)
        }
        .unwrap();
    }
    let file = writer.finish().unwrap();
    let mut reader = Reader::new(&file[..], limits).unwrap();
    assert_eq!(reader.version(), 11);
    let mut came = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        if let Record::Key(key) = record {
            came.push(key);
        }
    }
    assert_eq!(reader.taken(), file.len() as u64);
    assert_eq!(came.len(), values.len());
    for (i, (key, value)) in came.iter().zip(&values).enumerate() {
        assert_eq!(key.db, i as u32 / 5);
        assert_eq!(key.key, format!("key {i}").as_bytes());
        assert_eq!(key.expire_at, (i as u64 % 3) * 1_900_000_000_000);
        assert_eq!(key.value.view().fingerprint(), value.view().fingerprint());
    }
    // Any flipped bit is noticed, at the latest by the checksum; a cut always.
    let read = |file: &[u8]| {
        let mut reader = Reader::new(file, limits)?;
        while reader.next_record()?.is_some() {}
        Ok::<_, Error>(())
    };
    let mut chance = Chance(77);
    for _ in 0..300 {
        let mut damaged = file.clone();
        let at = 9 + chance.below(file.len() - 9);
        damaged[at] ^= 1 << chance.below(8);
        assert!(read(&damaged).is_err());
        assert!(read(&file[..at]).is_err());
    }
}
