//! Keeps one process running: a process that ends is begun again, at once the first time, then after growing pauses.
//!
//! Each is a task of its own, so one that cannot start holds up no other.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::process::{Identity, Plan, Running};

/// How long a process may take to stop in order before it is killed.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest pause before a process is begun again.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A process that ran this long starts its pauses anew.
const STABLE: Duration = Duration::from_secs(30);

/// What is wanted of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It runs; with another number it is begun anew.
    Run(u64),
    /// It ends.
    Stop,
}

/// How a process is begun from now on.
pub type Shared = Arc<Mutex<Plan>>;

/// What happened to a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It runs.
    Runs(String, Identity),
    /// It ended.
    Ended(String),
}

/// The pauses between the end of a process and its next beginning.
#[derive(Debug, Default)]
pub struct Pauses {
    failures: u32,
}

impl Pauses {
    /// The pause after a process that ran for `uptime`: none the first time, then 100 ms, doubling up to a bound.
    pub fn next(&mut self, uptime: Duration) -> Duration {
        if uptime >= STABLE {
            self.failures = 0;
        }
        let pause = match self.failures {
            0 => Duration::ZERO,
            n => Duration::from_millis(100 << (n - 1).min(10)).min(PAUSE_MAX),
        };
        self.failures += 1;
        pause
    }
}

/// Keeps `shared` running as `orders` say. `found` is one that runs already. It is not begun while `lost` says that it
/// must not be.
pub async fn supervise(
    shared: Shared,
    lost: impl Fn() -> Option<&'static str>,
    mut found: Option<Running>,
    events: mpsc::Sender<Event>,
    mut orders: watch::Receiver<Order>,
) {
    let mut pauses = Pauses::default();
    let mut told_lost = false;
    loop {
        // Seen here, so that what is told from now on is told anew.
        if *orders.borrow_and_update() == Order::Stop {
            break;
        }
        let plan = shared.lock().clone();
        if found.is_none()
            && let Some(why) = lost()
        {
            if !std::mem::replace(&mut told_lost, true) {
                tracing::error!(
                    name = plan.name,
                    why,
                    "what it voted and wrote may be lost with it: it is not begun; another node can take its place"
                );
            }
            let _ = tokio::time::timeout(PAUSE_MAX, orders.changed()).await;
            continue;
        }
        let began = Instant::now();
        match found.take().map_or_else(|| Running::begin(&plan), Ok) {
            Ok(mut running) => {
                let _ = events
                    .send(Event::Runs(plan.name.clone(), running.identity.clone()))
                    .await;
                let status = tokio::select! {
                    status = running.wait() => status,
                    _ = orders.changed() => {
                        if !running.stop(PATIENCE).await {
                            tracing::warn!(name = plan.name, "did not stop within {} s and was killed", PATIENCE.as_secs());
                        }
                        let _ = events.send(Event::Ended(plan.name.clone())).await;
                        continue;
                    }
                };
                let how = status.map_or_else(|| "unknown status".to_string(), |s| s.to_string());
                let last = if began.elapsed() < Duration::from_secs(3) {
                    last_line(&plan.printed)
                } else {
                    String::new()
                };
                tracing::warn!(
                    name = plan.name,
                    pid = running.identity.pid,
                    how,
                    last,
                    "a process ended"
                );
                let _ = events.send(Event::Ended(plan.name.clone())).await;
            }
            Err(error) => {
                tracing::error!(name = plan.name, "a process could not be begun: {error:#}")
            }
        }
        let pause = pauses.next(began.elapsed());
        if pause > Duration::ZERO {
            tracing::warn!(
                name = plan.name,
                pause_ms = pause.as_millis(),
                "it is begun again after a pause"
            );
        }
        let _ = tokio::time::timeout(pause, orders.changed()).await;
    }
    let name = shared.lock().name.clone();
    let _ = events.send(Event::Ended(name)).await;
}

/// The last line that a process printed: usually why it ended.
fn last_line(printed: &Path) -> String {
    let text = std::fs::read(printed).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .rev()
        .find(|l| !l.trim().is_empty())
        .unwrap_or("")
        .trim()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_immediate_and_pauses_are_bounded() {
        let mut pauses = Pauses::default();
        let short = Duration::from_secs(1);
        let got: Vec<u128> = (0..9).map(|_| pauses.next(short).as_millis()).collect();
        assert_eq!(got, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        for _ in 0..100 {
            assert!(pauses.next(short) <= PAUSE_MAX);
        }
        assert_eq!(
            pauses.next(STABLE),
            Duration::ZERO,
            "after a stable time it is a first failure again"
        );
    }
}
