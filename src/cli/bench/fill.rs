//! Fills a server with keys whose values can be told later.

use std::time::{Duration, Instant};

use super::client::{Client, Target, request};
use super::mix::{key, value_of};

/// Keys sent at once on a connection.
const BATCH: u64 = 128;
/// Connections that fill.
const CONNECTIONS: u64 = 8;
/// Coprime to every number of keys up to its own size: multiplied by it, the keys come in no order.
const STRIDE: u64 = 1_000_000_007;
/// The most keys, so that `STRIDE` is coprime to every number of them.
const KEYS_MAX: u64 = 100_000_000;

/// What a server is filled with.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Wanted {
    /// Keys, of 16 bytes, all set before
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX))]
    pub keys: u64,
    /// Bytes of a value, random
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub value_size: u32,
}

/// SETs keys 0 to `keys` - 1, each once, in no order.
///
/// # Errors
/// When one is refused.
pub async fn fill(target: &Target, name: &str, wanted: Wanted) -> anyhow::Result<()> {
    let (keys, value_size) = (wanted.keys, wanted.value_size as usize);
    let began = Instant::now();
    let done = std::sync::atomic::AtomicU64::new(0);
    let one = |part: u64| {
        let done = &done;
        async move {
            let mut client = Client::connect(target).await?;
            let mut at = part * BATCH;
            while at < keys {
                let until = (at + BATCH).min(keys);
                let mut batch = Vec::new();
                for n in at..until {
                    let number = n * STRIDE % keys;
                    let value = value_of(number, value_size);
                    batch.extend_from_slice(&request(&[b"SET", &key(number), &value]));
                }
                client.ask_many(&batch, until - at).await?;
                done.fetch_add(until - at, std::sync::atomic::Ordering::Relaxed);
                at += BATCH * CONNECTIONS;
            }
            anyhow::Ok(())
        }
    };
    let all = futures_util::future::try_join_all((0..CONNECTIONS).map(one));
    tokio::pin!(all);
    let mut ticks = tokio::time::interval(Duration::from_secs(2));
    ticks.tick().await;
    loop {
        tokio::select! {
            ended = &mut all => {
                ended?;
                progress!("{name}: {keys} keys set in {:.1} s", began.elapsed().as_secs_f64());
                return Ok(());
            }
            _ = ticks.tick() => {
                let n = done.load(std::sync::atomic::Ordering::Relaxed);
                progress!("{name}: {n} of {keys} keys set");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_set_once() {
        for keys in [1, 2, 7, 1000, 4096] {
            let mut seen: Vec<u64> = (0..keys).map(|n| n * STRIDE % keys).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..keys), "{keys}");
        }
    }
}
