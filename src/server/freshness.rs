//! How fresh a standby's data certainly is: what `standby_staleness_ms` is held against.
//!
//! The primary is asked for its read index, and when that was asked is noted. Data that has the index applied has everything
//! that was acknowledged before that moment. Only this node's monotonic clock is looked at: wall clocks of two nodes may differ by
//! any amount, and one of them may be set.
//!
//! Always: what is claimed is never younger than it is, whatever messages were delayed and whoever leads; an answer counts from
//! when it was asked for.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Server;

/// What is known of it.
#[derive(Debug, Default)]
pub struct Freshness {
    /// An index, and a moment: everything acknowledged before the moment is at most at the index.
    last: Mutex<Option<(u64, Instant)>>,
    wanted: Notify,
}

impl Freshness {
    /// Notes that the primary answered `index` to what was asked at `asked`, and that it is applied here.
    pub fn confirm(&self, index: u64, asked: Instant) {
        let mut last = self.last.lock();
        if last.is_none_or(|(_, before)| before < asked) {
            *last = Some((index, asked));
        }
    }

    /// How old data is at most that has applied everything up to `applied`, milliseconds; `u64::MAX` where nothing is known.
    pub fn age_ms(&self, applied: u64) -> u64 {
        match *self.last.lock() {
            // The data may have been loaded anew from an earlier point since.
            Some((index, asked)) if index <= applied => asked.elapsed().as_millis() as u64,
            _ => u64::MAX,
        }
    }

    /// Asks for it to be renewed ahead of the next read that needs it.
    pub fn want(&self) {
        self.wanted.notify_one();
    }
}

/// Renews it whenever that is wanted, until the server ends.
pub async fn renew(server: Weak<Server>) {
    let Some(freshness) = server.upgrade().map(|s| s.freshness.clone()) else {
        return;
    };
    loop {
        // A server that ended wants nothing any more.
        let wanted = tokio::time::timeout(LOOK_EVERY, freshness.wanted.notified()).await;
        let Some(server) = server.upgrade() else {
            return;
        };
        if wanted.is_ok() {
            ask(&server).await.ok();
            // Those that wanted it meanwhile have it.
            freshness.wanted.notified().now_or_never();
        }
    }
}

/// How often the end of the server is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Asks the primary, and waits until what it answers is applied here.
///
/// # Errors
/// Why there is no answer.
pub async fn ask(server: &Arc<Server>) -> Result<u64, String> {
    let asked = Instant::now();
    let index = server.relay.read_index().await?;
    server.freshness.confirm(index, asked);
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_counts_from_the_question() {
        let freshness = Freshness::default();
        assert_eq!(freshness.age_ms(10), u64::MAX, "nothing is known");
        let long_ago = Instant::now() - Duration::from_secs(5);
        freshness.confirm(7, long_ago);
        assert!((5000..6000).contains(&freshness.age_ms(7)));
        assert_eq!(
            freshness.age_ms(6),
            u64::MAX,
            "it lacks what was there then"
        );
        let now = Instant::now();
        freshness.confirm(9, now);
        freshness.confirm(8, long_ago);
        assert!(
            freshness.age_ms(9) < 1000,
            "an older answer changes nothing"
        );
    }
}
