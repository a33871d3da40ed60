//! The chain of manifests: what an archive consists of, each entry authenticated and bound to the one before.
//! Always: numbers go up by one from the first kept, each names the hash of its predecessor, log continues
//! without a gap from what is before it, one of the parts is a base, and a timeline never goes back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::key::DataKey;
use super::{Error, part};

/// A place in the Raft log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogPlace {
    /// The term in which a leader proposed it.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

/// What a part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A checkpoint of the store: all up to its last entry.
    Base,
    /// Committed entries, from the first to the last.
    Log,
}

/// One object of the archive, as its manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name in the store.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Its first entry; of a base, its last.
    pub first: LogPlace,
    /// Its last entry.
    pub last: LogPlace,
    /// Service time of the last entry, Unix milliseconds.
    pub last_time_ms: u64,
    /// The digest of the data set after the last entry, where it was recorded, hexadecimal.
    pub digest: Option<String>,
    /// Bytes as stored.
    pub len: u64,
    /// SHA-256 as stored, hexadecimal.
    pub sha256: String,
}

/// One link of the chain: one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Counts from 1.
    pub number: u64,
    /// The cluster that was backed up.
    pub cluster: String,
    /// The timeline: each restore or forced recovery begins a new one.
    pub timeline: u64,
    /// SHA-256 of the previous manifest as stored, hexadecimal; empty for the first ever.
    pub previous: String,
    /// What it adds.
    pub part: Part,
}

impl Manifest {
    /// The name of manifest `number` in the store. It sorts by number.
    pub fn name_of(number: u64) -> String {
        format!("manifest/{number:020}")
    }

    /// The manifest as stored: encrypted and authenticated, under its name and number.
    pub fn seal(&self, key: &DataKey) -> Result<Vec<u8>, Error> {
        let name = Self::name_of(self.number);
        let text = serde_json::to_vec(self).map_err(|e| Error::Io(name.clone(), e.into()))?;
        let mut out = Vec::new();
        part::seal(key, &name, &text[..], &mut out).map_err(|e| Error::Io(name, e))?;
        Ok(out)
    }

    /// Reads what is stored as manifest `number`.
    fn open(key: &DataKey, number: u64, sealed: &[u8]) -> Result<Self, Error> {
        let name = Self::name_of(number);
        let mut text = Vec::new();
        part::open(key, &name, sealed, &mut text)?;
        serde_json::from_slice(&text).map_err(|e| Error::Io(name, e.into()))
    }
}

/// The hash of an object as stored, hexadecimal.
pub fn hash(stored: &[u8]) -> String {
    hex::encode(Sha256::digest(stored))
}

/// The same, piece by piece.
#[derive(Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Of nothing so far.
    pub fn new() -> Hasher {
        Hasher::default()
    }

    /// Of this as well.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Hexadecimal.
    pub fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}

/// Reads the chain that `stored` holds by number and checks it from its oldest link. `seen` is the newest
/// number that is known to have been written (kept outside the archive): an older archive was rolled back.
pub fn read_chain(
    key: &DataKey,
    cluster: &str,
    stored: &BTreeMap<u64, Vec<u8>>,
    seen: u64,
) -> Result<Vec<Manifest>, Error> {
    let found = stored.keys().next_back().copied().unwrap_or(0);
    if found < seen {
        return Err(Error::RolledBack { found, seen });
    }
    let mut chain: Vec<Manifest> = Vec::new();
    let mut previous_hash = None;
    // A base may be of a standby that lagged, and what was archived before it reach further.
    let mut reach: Option<LogPlace> = None;
    for (&number, sealed) in stored {
        let manifest = Manifest::open(key, number, sealed)?;
        let broken = |what| Err(Error::Broken { number, what });
        if manifest.number != number || manifest.cluster != cluster {
            return broken("it is of another place or cluster");
        }
        if let Some(before) = chain.last() {
            if number != before.number + 1 {
                return Err(Error::Missing(Manifest::name_of(before.number + 1)));
            }
            if previous_hash.as_deref() != Some(&manifest.previous[..]) {
                return broken("its predecessor is another one than when it was written");
            }
            if manifest.timeline < before.timeline {
                return broken("its timeline is older");
            }
            if let Some(what) = gap(reach.as_ref(), &manifest.part) {
                return broken(what);
            }
        }
        reach = reach.max(Some(manifest.part.last));
        previous_hash = Some(hash(sealed));
        chain.push(manifest);
    }
    // What went by its age may leave log before the oldest base, which begins within it.
    match chain.first() {
        Some(first) if chain.iter().all(|m| m.part.kind != Kind::Base) => Err(Error::Broken {
            number: first.number,
            what: "no base is there",
        }),
        _ => Ok(chain),
    }
}

/// The number of the first manifest that is kept where nothing before `from_ms` has to be restored: of the newest base that is
/// no newer, or of the log that goes on from it. `chain` was checked.
pub fn first_kept(chain: &[Manifest], from_ms: u64) -> Option<u64> {
    let bases = chain.iter().filter(|m| m.part.kind == Kind::Base);
    let base = bases
        .filter(|m| m.part.last_time_ms <= from_ms)
        .max_by_key(|m| (m.part.last, m.number))?;
    let logs = chain.iter().filter(|m| m.part.kind == Kind::Log);
    let log = logs.filter(|m| m.part.last > base.part.last);
    log.map(|m| m.number).chain([base.number]).min()
}

/// What is wrong where `part` follows parts that reach up to `reach`.
fn gap(reach: Option<&LogPlace>, part: &Part) -> Option<&'static str> {
    if part.last < part.first {
        return Some("its last entry is before its first");
    }
    match part.kind {
        // A base is cut at a standby while log is archived: its place may be anywhere in what is covered.
        Kind::Base => None,
        Kind::Log => match reach {
            Some(reach) if part.first.index > reach.index + 1 => {
                Some("entries between them are missing")
            }
            Some(reach) if part.last.term < reach.term => Some("its term is older"),
            _ => None,
        },
    }
}

/// Holds a stored object, by its hash and length, against its description. `others` are the descriptions of the whole
/// chain, so that an object in another's place is named.
pub fn check_stored<'a>(
    part: &Part,
    found: &str,
    len: u64,
    others: impl IntoIterator<Item = &'a Part>,
) -> Result<(), Error> {
    if found == part.sha256 {
        return Ok(());
    }
    if let Some(other) = others.into_iter().find(|other| other.sha256 == found) {
        return Err(Error::Swapped {
            name: part.name.clone(),
            found: other.name.clone(),
        });
    }
    match len < part.len {
        true => Err(Error::Truncated(part.name.clone())),
        false => Err(Error::Tampered(part.name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: Kind, first: u64, last: u64, stored: &[u8]) -> Part {
        let place = |index| LogPlace { term: 1, index };
        Part {
            name: format!("part/{last}"),
            kind,
            first: place(first),
            last: place(last),
            last_time_ms: last * 1000,
            digest: None,
            len: stored.len() as u64,
            sha256: hash(stored),
        }
    }

    fn chain_of(key: &DataKey, parts: Vec<Part>) -> BTreeMap<u64, Vec<u8>> {
        let mut stored = BTreeMap::new();
        let mut previous = String::new();
        for (number, part) in (1..).zip(parts) {
            let (cluster, timeline) = ("c".into(), 1);
            let manifest = Manifest {
                number,
                cluster,
                timeline,
                previous,
                part,
            };
            let sealed = manifest.seal(key).unwrap();
            previous = hash(&sealed);
            stored.insert(number, sealed);
        }
        stored
    }

    fn sound() -> Vec<Part> {
        vec![
            part(Kind::Base, 10, 10, b"base"),
            part(Kind::Log, 11, 20, b"one"),
            part(Kind::Log, 21, 30, b"two"),
        ]
    }

    #[test]
    fn a_sound_chain_is_read() {
        let key = DataKey::fresh();
        let chain = read_chain(&key, "c", &chain_of(&key, sound()), 3).unwrap();
        assert_eq!(
            chain.into_iter().map(|m| m.part).collect::<Vec<_>>(),
            sound()
        );
    }

    #[test]
    fn a_base_of_a_standby_that_lagged_is_no_gap() {
        let key = DataKey::fresh();
        let mut parts = sound();
        parts.push(part(Kind::Base, 25, 25, b"newer base"));
        parts.push(part(Kind::Log, 31, 40, b"three"));
        let stored = chain_of(&key, parts);
        let chain = read_chain(&key, "c", &stored, 5).unwrap();
        // The log that the newer base begins within is kept with it.
        assert_eq!(first_kept(&chain, 25_000), Some(3));
        assert_eq!(first_kept(&chain, 24_999), Some(1));
        assert_eq!(first_kept(&chain, 9_999), None);
        let kept: BTreeMap<u64, Vec<u8>> = stored.into_iter().filter(|(n, _)| *n >= 3).collect();
        assert_eq!(read_chain(&key, "c", &kept, 5).unwrap().len(), 3);
        let only_log = kept.into_iter().filter(|(n, _)| *n == 3).collect();
        let error = read_chain(&key, "c", &only_log, 3).unwrap_err();
        assert!(error.to_string().contains("no base is there"), "{error}");
    }

    #[test]
    fn a_wrong_chain_is_refused() {
        let key = DataKey::fresh();
        let good = chain_of(&key, sound());
        let read = |stored: &BTreeMap<u64, Vec<u8>>| read_chain(&key, "c", stored, 3);
        let changed = |number: u64, sealed: Option<Vec<u8>>| {
            let mut stored = good.clone();
            stored.remove(&number);
            stored.extend(sealed.map(|sealed| (number, sealed)));
            stored
        };
        // Missing: within, first, last.
        assert!(matches!(read(&changed(2, None)), Err(Error::Missing(_))));
        assert!(matches!(
            read(&changed(1, None)),
            Err(Error::Broken { number: 2, .. })
        ));
        assert!(matches!(
            read(&changed(3, None)),
            Err(Error::RolledBack { found: 2, seen: 3 })
        ));
        // Another's manifest in its place; its own, cut and changed.
        assert!(matches!(
            read(&changed(2, Some(good[&3].clone()))),
            Err(Error::Tampered(_))
        ));
        let cut = good[&2][..40].to_vec();
        assert!(matches!(
            read(&changed(2, Some(cut))),
            Err(Error::Truncated(_))
        ));
        let mut flipped = good[&2].clone();
        flipped[60] ^= 1;
        assert!(matches!(
            read(&changed(2, Some(flipped))),
            Err(Error::Tampered(_))
        ));
        // A valid one of the same number, of an older history.
        let older = chain_of(&key, sound())[&2].clone();
        assert!(matches!(
            read(&changed(2, Some(older))),
            Err(Error::Broken { .. })
        ));
        assert!(matches!(
            read_chain(&key, "d", &good, 3),
            Err(Error::Broken { number: 1, .. })
        ));
        assert!(matches!(
            read_chain(&DataKey::fresh(), "c", &good, 3),
            Err(Error::Tampered(_))
        ));
    }

    #[test]
    fn log_must_continue() {
        let key = DataKey::fresh();
        let mut parts = sound();
        parts[2].first.index = 22;
        let read = read_chain(&key, "c", &chain_of(&key, parts), 0);
        assert!(matches!(read, Err(Error::Broken { number: 3, .. })));
        let read = read_chain(&key, "c", &chain_of(&key, sound()[1..].to_vec()), 0);
        assert!(matches!(read, Err(Error::Broken { number: 1, .. })));
    }

    #[test]
    fn a_stored_part_is_held_against_its_description() {
        let parts = sound();
        let check =
            |stored: &[u8]| check_stored(&parts[1], &hash(stored), stored.len() as u64, &parts);
        assert!(check(b"one").is_ok());
        assert!(matches!(check(b"two"), Err(Error::Swapped { .. })));
        assert!(matches!(check(b"on"), Err(Error::Truncated(_))));
        assert!(matches!(check(b"onf"), Err(Error::Tampered(_))));
    }
}
