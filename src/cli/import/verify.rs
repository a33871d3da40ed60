//! Comparing what the service holds with what was carried over: counts of all, values of some.

use rand::Rng;
use rand::rngs::SmallRng;

use super::report::{Compared, Report};
use crate::cli::redis::Conn;
use crate::data::Limits;
use crate::rdb::{file::Key, payload};

/// A key that will be looked at again.
#[derive(Debug, Clone)]
pub struct Sample {
    pub db: u32,
    pub key: Vec<u8>,
    fingerprint: [u8; 32],
    expire_at: u64,
}

/// A choice of keys, all equally likely, made while they pass by.
pub struct Samples {
    chosen: Vec<Sample>,
    max: usize,
    seen: u64,
    rng: SmallRng,
}

impl Samples {
    /// At most `max` of them.
    pub fn new(max: usize) -> Samples {
        Samples {
            chosen: Vec::new(),
            max,
            seen: 0,
            rng: rand::SeedableRng::seed_from_u64(rand::random()),
        }
    }

    /// A key passes by.
    pub fn offer(&mut self, key: &Key) {
        self.seen += 1;
        let place = self.rng.random_range(0..self.seen);
        let full = self.chosen.len() >= self.max;
        if full && place >= self.max as u64 {
            return;
        }
        let sample = Sample {
            db: key.db,
            key: key.key.clone(),
            fingerprint: key.value.view().fingerprint(),
            expire_at: key.expire_at,
        };
        if full {
            self.chosen[place as usize] = sample;
        } else {
            self.chosen.push(sample);
        }
    }

    /// Those chosen.
    pub fn take(self) -> Vec<Sample> {
        self.chosen
    }
}

/// A key's value and expiry at a server; `None` where it has none.
///
/// # Errors
/// When the server does not answer, or its answer cannot be understood.
pub fn read(server: &mut Conn, db: u32, key: &[u8]) -> anyhow::Result<Option<Sample>> {
    server.ask(&[b"SELECT", db.to_string().as_bytes()])?;
    let dump = server.ask(&[b"DUMP", key])?;
    let Some(dump) = dump.as_bytes() else {
        return Ok(None);
    };
    let left = server.ask(&[b"PTTL", key])?.as_int().unwrap_or(-1);
    let opened = payload::open(dump).ok_or_else(|| anyhow::anyhow!("a payload's checksum"))?;
    let value = payload::decode(opened, &Limits::default())?;
    Ok(Some(Sample {
        db,
        key: key.to_vec(),
        fingerprint: value.view().fingerprint(),
        expire_at: u64::try_from(left).map_or(0, |left| now_ms() + left),
    }))
}

/// How a key at the service differs from what it should be; `None`: it does not.
///
/// # Errors
/// When the service does not answer.
pub fn difference(service: &mut Conn, expected: &Sample) -> anyhow::Result<Option<String>> {
    // Clocks of two machines, and the time between question and answer.
    const CLOCK_SLACK_MS: u64 = 5_000;
    let Some(found) = read(service, expected.db, &expected.key)? else {
        let expired = expected.expire_at != 0 && expected.expire_at < now_ms() + CLOCK_SLACK_MS;
        return Ok((!expired).then(|| "absent".to_string()));
    };
    let (at, should) = (found.expire_at, expected.expire_at);
    if (at == 0) != (should == 0) || at.abs_diff(should) > CLOCK_SLACK_MS {
        return Ok(Some(format!("expires at {at} instead of {should} ms")));
    }
    let equal = found.fingerprint == expected.fingerprint;
    Ok((!equal).then(|| "another value".to_string()))
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |t| t.as_millis() as u64)
}

/// Compares the service with what was written into it.
///
/// # Errors
/// When the service does not answer.
pub fn written(
    service: &mut Conn,
    samples: Vec<Sample>,
    merged: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut compared = Compared {
        samples: samples.len(),
        ..Compared::default()
    };
    let databases = service.databases()?;
    for (&db, &expected) in &report.keys {
        let found = databases.iter().find(|d| d.0 == db);
        let (found, found_expiring) = found.map_or((0, 0), |d| (d.1, d.2));
        let expiring = report.expiring.get(&db).copied().unwrap_or(0);
        // Keys may have expired since; those that stay are counted exactly.
        let (stay, should) = (found - found_expiring.min(found), expected - expiring);
        let least = should.saturating_sub(report.skipped());
        // What was there before is on top.
        let right = stay >= least && (merged || stay <= should);
        compared.databases.push((db, expected, found, right));
    }
    for sample in samples {
        if let Some(how) = difference(service, &sample)? {
            compared.differing.push((sample.db, sample.key, how));
        }
    }
    report.compared = Some(compared);
    Ok(())
}
