//! Figures of a service over time: what its primary says in INFO, every few seconds, for the charts.
//!
//! Always: a sample that does not come in time is left out, and nothing else waits for it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use super::now_ms;
use super::provider::{Place, Placed};
use crate::gateway::talk::Talk;
use crate::tls::peer::Credentials;

/// How often the primary is asked.
const EVERY: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Figures of a moment.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Sample {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Commands in a second.
    pub operations: f64,
    /// Microseconds that half of the commands took at most, of the commands since the sample before.
    pub p50_us: f64,
    /// The same of 99 in a hundred.
    pub p99_us: f64,
    /// Bytes of data.
    pub used_memory: u64,
    /// Bytes that it may take.
    pub maxmemory: u64,
    /// Of the keys that were read, the share that was there, 0 to 1.
    pub hit_rate: f64,
    /// Connected clients.
    pub clients: u64,
    /// Log entries that the furthest standby lacks.
    pub lag: u64,
}

/// Asks a primary now and then.
#[derive(Default)]
pub struct Sampler {
    talk: Option<(u64, Talk)>,
    asked: Option<Instant>,
    before: Option<(Instant, u64, u64, u64)>,
}

impl Sampler {
    /// A sample, where it is time for one and the primary answers.
    pub async fn take(&mut self, place: &Place, node: &Placed, lag: u64) -> Option<Sample> {
        if self.asked.is_some_and(|at| at.elapsed() < EVERY) {
            return None;
        }
        self.asked = Some(Instant::now());
        let asked = tokio::time::timeout(PATIENCE, self.ask(place, node)).await;
        let Ok(Some(info)) = asked else {
            self.talk = None;
            return None;
        };
        self.sample(&info, lag)
    }

    async fn ask(&mut self, place: &Place, node: &Placed) -> Option<String> {
        if self.talk.as_ref().is_none_or(|(id, _)| *id != node.id) {
            let credentials = Credentials::open(&place.cluster, place.operator.clone()).ok()?;
            let talk = Talk::open(&credentials, &node.address.peer, node.id, PATIENCE)
                .await
                .ok()?;
            self.talk = Some((node.id, talk));
            self.before = None;
        }
        let (_, talk) = self.talk.as_mut()?;
        let reply = talk.ask(&["INFO", "everything"]).await.ok()?;
        Some(String::from_utf8_lossy(reply.as_bytes()?).into_owned())
    }

    fn sample(&mut self, info: &str, lag: u64) -> Option<Sample> {
        let fields: HashMap<&str, &str> = info.lines().filter_map(|l| l.split_once(':')).collect();
        let number = |name: &str| fields.get(name).and_then(|v| v.trim().parse::<u64>().ok());
        let now = Instant::now();
        let (commands, hits, misses) = (
            number("total_commands_processed")?,
            number("keyspace_hits")?,
            number("keyspace_misses")?,
        );
        let before = self.before.replace((now, commands, hits, misses));
        let (since, c, h, m) = before?;
        let seconds = now.duration_since(since).as_secs_f64().max(0.001);
        let (hits, misses) = (hits.saturating_sub(h), misses.saturating_sub(m));
        let latency = |which: &str| {
            // Of the command that is sent most: that is what its users wait for.
            let calls = |line: &&str| {
                let calls = line.split("calls=").nth(1)?.split(',').next()?;
                calls.parse::<u64>().ok()
            };
            let lines = info.lines().filter(|l| l.starts_with("cmdstat_"));
            let lines = lines.filter(|l| !l.starts_with("cmdstat_info:"));
            let most = lines
                .max_by_key(calls)?
                .strip_prefix("cmdstat_")?
                .split(':')
                .next()?;
            let line = fields.get(format!("latency_percentiles_usec_{most}").as_str())?;
            let value = line
                .split(',')
                .find_map(|part| part.strip_prefix(which)?.strip_prefix('='));
            value?.trim().parse::<f64>().ok()
        };
        Some(Sample {
            at_ms: now_ms(),
            operations: commands.saturating_sub(c) as f64 / seconds,
            p50_us: latency("p50").unwrap_or(0.0),
            p99_us: latency("p99").unwrap_or(0.0),
            used_memory: number("used_memory").unwrap_or(0),
            maxmemory: number("maxmemory").unwrap_or(0),
            hit_rate: match hits + misses {
                0 => 0.0,
                reads => hits as f64 / reads as f64,
            },
            // Its own session is none of a client's.
            clients: number("connected_clients").unwrap_or(0).saturating_sub(1),
            lag,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_answers_make_a_sample() {
        let info = |commands: u64, hits: u64, misses: u64| {
            format!(
                "# Stats\r\ntotal_commands_processed:{commands}\r\nkeyspace_hits:{hits}\r\nkeyspace_misses:{misses}\r\n\
                 used_memory:1024\r\nmaxmemory:4096\r\nconnected_clients:3\r\ncmdstat_get:calls=9,usec=1\r\n\
                 cmdstat_info:calls=99,usec=1\r\nlatency_percentiles_usec_get:p50=1.5,p99=7.25,p99.9=9\r\n"
            )
        };
        let mut sampler = Sampler::default();
        assert_eq!(sampler.sample(&info(10, 0, 0), 0), None);
        std::thread::sleep(Duration::from_millis(2));
        let sample = sampler.sample(&info(1010, 3, 1), 7).unwrap();
        assert!(sample.operations > 0.0 && sample.operations <= 1_000_000.0);
        assert_eq!(
            (sample.p50_us, sample.p99_us, sample.hit_rate),
            (1.5, 7.25, 0.75)
        );
        assert_eq!(
            (sample.used_memory, sample.clients, sample.lag),
            (1024, 2, 7)
        );
        assert_eq!(sampler.sample("nothing", 0), None);
    }
}
