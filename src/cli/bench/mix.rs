//! What is asked: the kinds of request, and the bytes of one with a key and value drawn at random.
//!
//! - A request is a copy of a template with its key's digits and its value overwritten: nothing is formatted.
//! - Keys are 16 bytes, uniform over the range. Values are random bytes, which no one can compress.

use clap::ValueEnum;

/// A fast generator of numbers for load, never for secrets (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of 0 to `n` - 1, by multiplication: the bias is below n / 2^64.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// Overwrites `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
    }
}

/// What clients ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// SET of a random key
    Set,
    /// GET of a random key
    Get,
    /// 90 % GET, 10 % SET
    Get90,
    /// INCR of a random counter
    Incr,
    /// INCR of one counter
    Incr1,
    /// LPUSH to one of 1,000 lists, and LPOP as often
    Lpush,
    /// ZADD of a random member to one sorted set
    Zadd,
    /// HSET of a random field of one hash
    Hset,
    /// MSET of ten random keys
    Mset,
    /// MGET of ten random keys
    Mget,
}

impl Mix {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Mix::Set => "set",
            Mix::Get => "get",
            Mix::Get90 => "get90",
            Mix::Incr => "incr",
            Mix::Incr1 => "incr1",
            Mix::Lpush => "lpush",
            Mix::Zadd => "zadd",
            Mix::Hset => "hset",
            Mix::Mset => "mset",
            Mix::Mget => "mget",
        }
    }

    /// What a server without data would answer to it, of about the real size.
    pub fn reply(self, value_size: usize) -> Vec<u8> {
        let bulk = || {
            [
                format!("${value_size}\r\n").as_bytes(),
                &vec![b'v'; value_size],
                b"\r\n",
            ]
            .concat()
        };
        match self {
            Mix::Set | Mix::Mset => b"+OK\r\n".to_vec(),
            Mix::Get | Mix::Get90 => bulk(),
            Mix::Incr | Mix::Incr1 | Mix::Lpush | Mix::Zadd | Mix::Hset => b":123456\r\n".to_vec(),
            Mix::Mget => [b"*10\r\n".as_slice(), &bulk().repeat(KEYS_OF_MANY)].concat(),
        }
    }
}

/// Keys of one MSET or MGET.
const KEYS_OF_MANY: usize = 10;
/// Lists that LPUSH and LPOP use.
const LISTS: u64 = 1000;
/// The bytes of a key.
pub const KEY_LEN: usize = 16;

/// Overwrites the twelve digits of the key at the start of `bytes` (`key:` and the number).
fn number_key(bytes: &mut [u8], mut number: u64) {
    for digit in bytes[KEY_LEN - 12..KEY_LEN].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Key number `number`.
pub fn key(number: u64) -> [u8; KEY_LEN] {
    let mut key = *b"key:000000000000";
    number_key(&mut key, number);
    key
}

/// A request with holes.
#[derive(Debug, Default)]
struct Template {
    bytes: Vec<u8>,
    /// Where keys begin, and how many there are to choose from.
    keys: Vec<(usize, u64)>,
    /// Where values begin.
    values: Vec<usize>,
    value_size: usize,
}

impl Template {
    fn begin(parts: usize) -> Self {
        Template {
            bytes: format!("*{parts}\r\n").into_bytes(),
            ..Template::default()
        }
    }

    fn word(mut self, word: &[u8]) -> Self {
        self.bytes
            .extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        self.bytes.extend_from_slice(word);
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    fn key(self, kind: &[u8; 4], range: u64) -> Self {
        let mut name = key(0);
        name[..4].copy_from_slice(kind);
        let mut it = self.word(&name);
        it.keys.push((it.bytes.len() - 2 - KEY_LEN, range));
        it
    }

    fn value(self, size: usize) -> Self {
        let mut it = self.word(&vec![b'v'; size]);
        it.values.push(it.bytes.len() - 2 - size);
        it.value_size = size;
        it
    }

    fn write(&self, out: &mut Vec<u8>, random: &mut Random) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for (at, range) in &self.keys {
            number_key(&mut out[start + at..], random.below(*range));
        }
        for at in &self.values {
            random.fill(&mut out[start + at..start + at + self.value_size]);
        }
    }
}

/// Makes the requests of one mix.
#[derive(Debug)]
pub struct Requests {
    /// Each with its share, in percent.
    templates: Vec<(u64, Template)>,
}

impl Requests {
    /// For values of `value_size` bytes and `keys` keys.
    pub fn new(mix: Mix, value_size: usize, keys: u64) -> Self {
        let get = || Template::begin(2).word(b"GET").key(b"key:", keys);
        let set = || {
            Template::begin(3)
                .word(b"SET")
                .key(b"key:", keys)
                .value(value_size)
        };
        let templates = match mix {
            Mix::Set => vec![(100, set())],
            Mix::Get => vec![(100, get())],
            Mix::Get90 => vec![(90, get()), (10, set())],
            Mix::Incr => vec![(100, Template::begin(2).word(b"INCR").key(b"num:", keys))],
            Mix::Incr1 => vec![(100, Template::begin(2).word(b"INCR").key(b"num:", 1))],
            Mix::Lpush => {
                let push = Template::begin(3).word(b"LPUSH").key(b"lst:", LISTS);
                let pop = Template::begin(2).word(b"LPOP").key(b"lst:", LISTS);
                vec![(50, push.value(value_size)), (50, pop)]
            }
            Mix::Zadd => {
                let add = Template::begin(4).word(b"ZADD").word(b"zset").word(b"1");
                vec![(100, add.key(b"mem:", keys))]
            }
            Mix::Hset => {
                let set = Template::begin(4).word(b"HSET").word(b"hash");
                vec![(100, set.key(b"fld:", keys).value(value_size))]
            }
            Mix::Mset => {
                let begin = Template::begin(1 + 2 * KEYS_OF_MANY).word(b"MSET");
                let many =
                    (0..KEYS_OF_MANY).fold(begin, |t, _| t.key(b"key:", keys).value(value_size));
                vec![(100, many)]
            }
            Mix::Mget => {
                let begin = Template::begin(1 + KEYS_OF_MANY).word(b"MGET");
                let many = (0..KEYS_OF_MANY).fold(begin, |t, _| t.key(b"key:", keys));
                vec![(100, many)]
            }
        };
        Requests { templates }
    }

    /// Appends one request to `out`.
    pub fn write(&self, out: &mut Vec<u8>, random: &mut Random) {
        let mut draw = match self.templates.len() {
            1 => 0,
            _ => random.below(100),
        };
        for (share, template) in &self.templates {
            if draw < *share {
                return template.write(out, random);
            }
            draw -= share;
        }
    }
}

/// The value that key `number` is filled with: it can be told later without having been kept.
pub fn value_of(number: u64, size: usize) -> Vec<u8> {
    let mut value = vec![0; size];
    Random::new(number.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x5eed).fill(&mut value);
    value
}

#[cfg(test)]
mod tests {
    use super::super::replies::Counter;
    use super::*;
    use crate::resp::{Value, parse_value};

    /// `n` requests of a mix, as lists of words.
    fn requests(mix: Mix, n: usize) -> Vec<Vec<Vec<u8>>> {
        let (requests, mut random) = (Requests::new(mix, 100, 50), Random::new(7));
        let mut bytes = Vec::new();
        (0..n).for_each(|_| requests.write(&mut bytes, &mut random));
        assert_eq!(Counter::default().feed(&bytes).unwrap(), n as u64);
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let (value, taken) = parse_value(&bytes).unwrap().unwrap();
            let Value::Array(words) = value else {
                panic!("{value:?}")
            };
            found.push(
                words
                    .iter()
                    .map(|w| w.as_bytes().unwrap().to_vec())
                    .collect(),
            );
            bytes.drain(..taken);
        }
        found
    }

    #[test]
    fn every_mix_is_well_formed_requests_of_known_commands() {
        for mix in Mix::value_variants() {
            for words in requests(*mix, 200) {
                let spec = crate::command::table::by_full_name(&words[0].to_ascii_lowercase());
                assert!(spec.is_some(), "{:?}", String::from_utf8_lossy(&words[0]));
            }
            let reply = mix.reply(100);
            assert_eq!(Counter::default().feed(&reply).unwrap(), 1, "{mix:?}");
        }
    }

    #[test]
    fn keys_cover_the_range_evenly_and_values_do_not_repeat() {
        let sets = requests(Mix::Set, 5000);
        let mut seen = std::collections::BTreeMap::<Vec<u8>, u32>::new();
        for words in &sets {
            assert_eq!((words[1].len(), words[2].len()), (KEY_LEN, 100));
            *seen.entry(words[1].clone()).or_default() += 1;
        }
        assert_eq!(seen.len(), 50);
        assert_eq!(seen.keys().next_back().unwrap(), &key(49).to_vec());
        // 100 expected of each; six standard deviations.
        assert!(seen.values().all(|n| (40..160).contains(n)), "{seen:?}");
        let values: std::collections::BTreeSet<_> = sets.iter().map(|w| &w[2]).collect();
        assert_eq!(values.len(), 5000);
        assert!(!values.iter().any(|v| v.iter().all(|b| *b == v[0])));
    }

    #[test]
    fn nine_of_ten_are_gets() {
        let gets = requests(Mix::Get90, 10_000)
            .iter()
            .filter(|w| w[0] == b"GET")
            .count();
        assert!((8_700..9_300).contains(&gets), "{gets}");
    }

    #[test]
    fn a_filled_value_can_be_told_again() {
        assert_eq!(value_of(5, 100), value_of(5, 100));
        assert_ne!(value_of(5, 100), value_of(6, 100));
        assert_eq!(value_of(5, 3).len(), 3);
    }
}
