//! The load: connections that each send a batch, wait for all its answers, and send the next.
//!
//! - One thread does everything, so that what it can drive is known and it takes one core at most.
//! - Closed loop: the latency of a request is from the sending of its batch to its own answer. With a rate to keep to it is
//!   from the time at which the batch was due, so that waiting for a slow answer counts for what it delays.
//! - Only answers within the window, after the warm-up, count.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

use super::client::{Client, Target};
use super::mix::{Mix, Random, Requests};
use super::pipe::Pipe;
use super::replies::Counter;

/// What is sent, by how many, for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// What is asked.
    pub mix: Mix,
    /// Connections.
    pub connections: usize,
    /// Requests of a batch.
    pub pipeline: u64,
    /// Bytes of a value.
    pub value_size: usize,
    /// Keys to choose from.
    pub keys: u64,
    /// Not counted, at the beginning.
    pub warm_up: Duration,
    /// Counted, at most.
    pub duration: Duration,
    /// Requests a second of all connections together; as many as go without.
    pub rate: Option<f64>,
}

/// What was seen in the window.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Answers.
    pub replies: u64,
    /// The window, seconds.
    pub seconds: f64,
    /// Latencies, microseconds.
    pub latency: Histogram<u64>,
    /// The share of one core that the generator used.
    pub generator_cpu: f64,
}

impl Measured {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.replies as f64 / self.seconds
    }

    /// A percentile of the latency, microseconds.
    pub fn percentile(&self, percent: f64) -> f64 {
        self.latency.value_at_quantile(percent / 100.0) as f64
    }
}

/// Latencies up to a minute, to three digits.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("sound bounds")
}

/// A load that runs in a thread of its own. Dropped, it ends.
pub struct Load {
    /// When its connections were there and the warm-up began.
    began: Option<oneshot::Receiver<Instant>>,
    done: oneshot::Receiver<anyhow::Result<Measured>>,
    stop: Arc<AtomicBool>,
    finish: Arc<AtomicBool>,
}

/// How often the thread looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long answers may be missing after the window.
const GRACE: Duration = Duration::from_secs(15);
/// Connections are made this many at a time: a TLS handshake costs the server most.
const CONNECT_AT_ONCE: usize = 50;

impl Load {
    /// Begins.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn begin(target: Target, shape: Shape, seed: u64) -> anyhow::Result<Load> {
        let (tell_began, began) = oneshot::channel();
        let (tell_done, done) = oneshot::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let finish = Arc::new(AtomicBool::new(false));
        let finishing = finish.clone();
        std::thread::Builder::new()
            .name("load".into())
            .spawn(move || {
                let measured = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(anyhow::Error::from)
                    .and_then(|rt| {
                        rt.block_on(tokio::task::LocalSet::new().run_until(async {
                            tokio::select! {
                                measured = drive(&target, shape, seed, tell_began, &finishing) => measured,
                                () = told(&stopping) => Err(anyhow!("the load was stopped")),
                            }
                        }))
                    });
                let _ = tell_done.send(measured);
            })?;
        Ok(Load {
            began: Some(began),
            done,
            stop,
            finish,
        })
    }

    /// Ends the window now; [`Load::done`] tells what was seen in it.
    pub fn finish(&self) {
        self.finish.store(true, Ordering::Relaxed);
    }

    /// When the warm-up began.
    ///
    /// # Errors
    /// When the connections could not be made.
    pub async fn began(&mut self) -> anyhow::Result<Instant> {
        let began = self.began.take().context("asked twice")?;
        match began.await {
            Ok(at) => Ok(at),
            Err(_) => match (&mut self.done).await? {
                Err(why) => Err(why),
                Ok(_) => bail!("the load ended before it began"),
            },
        }
    }

    /// What was measured, when it is over.
    ///
    /// # Errors
    /// When a connection failed, or requests were refused.
    pub async fn done(mut self) -> anyhow::Result<Measured> {
        (&mut self.done).await.context("the load's thread ended")?
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

async fn told(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What all connections of the thread count together.
struct Tally {
    from: Instant,
    until: Instant,
    replies: u64,
    latency: Histogram<u64>,
}

/// Connects, sends, and counts.
async fn drive(
    target: &Target,
    shape: Shape,
    seed: u64,
    tell_began: oneshot::Sender<Instant>,
    finish: &Arc<AtomicBool>,
) -> anyhow::Result<Measured> {
    let mut clients = Vec::with_capacity(shape.connections);
    while clients.len() < shape.connections {
        let n = CONNECT_AT_ONCE.min(shape.connections - clients.len());
        clients.extend(try_join_all((0..n).map(|_| Client::connect(target))).await?);
    }
    let began = Instant::now();
    let from = began + shape.warm_up;
    let until = from + shape.duration;
    let tally = Rc::new(RefCell::new(Tally {
        from,
        until,
        replies: 0,
        latency: latencies(),
    }));
    let requests = Rc::new(Requests::new(shape.mix, shape.value_size, shape.keys));
    let _ = tell_began.send(began);
    let mut seeds = Random::new(seed);
    let mut tasks = tokio::task::JoinSet::new();
    let every = shape.rate.map(|rate| {
        Duration::from_secs_f64((shape.connections as u64 * shape.pipeline) as f64 / rate)
    });
    for (i, client) in clients.into_iter().enumerate() {
        let (tcp, tls) = client.into_parts();
        // Evenly spread over the time between two batches of one.
        let due = every.map(|every| {
            (
                began + every.mul_f64(i as f64 / shape.connections as f64),
                every,
            )
        });
        let session = Session {
            pipe: Pipe::new(tcp, tls),
            requests: requests.clone(),
            random: Random::new(seeds.next()),
            pipeline: shape.pipeline,
            tally: tally.clone(),
            due,
        };
        tasks.spawn_local(session.run());
    }
    let (ended, finish) = (tally.clone(), finish.clone());
    let cpu = tokio::task::spawn_local(async move {
        tokio::time::sleep_until(from.into()).await;
        let before = thread_cpu();
        tokio::select! {
            () = tokio::time::sleep_until(until.into()) => {}
            () = told(&finish) => ended.borrow_mut().until = Instant::now(),
        }
        thread_cpu().saturating_sub(before)
    });
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout_at((until + GRACE).into(), all).await {
        Ok(ended) => ended?,
        Err(_) => bail!("answers were missing {} s after the end", GRACE.as_secs()),
    }
    let cpu = cpu.await?;
    let tally = tally.borrow();
    let seconds = (tally.until - from).as_secs_f64();
    Ok(Measured {
        replies: tally.replies,
        seconds,
        latency: tally.latency.clone(),
        generator_cpu: cpu.as_secs_f64() / seconds,
    })
}

/// The time that this thread has run.
fn thread_cpu() -> Duration {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        t.tv_sec.unsigned_abs(),
        u32::try_from(t.tv_nsec).unwrap_or(0),
    )
}

/// One connection.
struct Session {
    pipe: Pipe<rustls::ClientConnection>,
    requests: Rc<Requests>,
    random: Random,
    pipeline: u64,
    tally: Rc<RefCell<Tally>>,
    /// When the next batch is due, and how long after it the one that follows.
    due: Option<(Instant, Duration)>,
}

impl Session {
    async fn run(mut self) -> anyhow::Result<()> {
        let (mut batch, mut counter) = (Vec::new(), Counter::default());
        loop {
            batch.clear();
            for _ in 0..self.pipeline {
                self.requests.write(&mut batch, &mut self.random);
            }
            let sent = match &mut self.due {
                None => Instant::now(),
                Some((due, every)) => {
                    let at = *due;
                    *due += *every;
                    tokio::time::sleep_until(at.into()).await;
                    at
                }
            };
            self.pipe.send(&batch).await?;
            let mut left = self.pipeline;
            while left > 0 {
                let came = self.pipe.receive(&mut counter).await?;
                if came == 0 {
                    continue;
                }
                left = left
                    .checked_sub(came)
                    .context("more answers than requests came")?;
                let now = Instant::now();
                let tally = &mut *self.tally.borrow_mut();
                if now >= tally.until {
                    return Ok(());
                }
                if now >= tally.from {
                    tally.replies += came;
                    let us = (now - sent).as_micros() as u64;
                    tally.latency.saturating_record_n(us.max(1), came);
                }
            }
            if let Some(error) = counter.first_error() {
                bail!("a request was refused: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::null::Null;
    use super::*;

    fn shape(mix: Mix, connections: usize, pipeline: u64) -> Shape {
        Shape {
            mix,
            connections,
            pipeline,
            value_size: 100,
            keys: 1000,
            warm_up: Duration::from_millis(50),
            duration: Duration::from_millis(250),
            rate: None,
        }
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latency = latencies();
        latency.saturating_record_n(100, 980);
        latency.saturating_record_n(5_000, 19);
        latency.saturating_record_n(900_000_000, 1);
        let measured = Measured {
            replies: 1000,
            seconds: 2.0,
            latency,
            generator_cpu: 0.5,
        };
        assert_eq!(measured.rate(), 500.0);
        assert_eq!(measured.percentile(50.0), 100.0);
        let p99 = measured.percentile(99.0);
        assert!((4_990.0..5_010.0).contains(&p99), "{p99}");
        // What took longer than a minute counts as a minute.
        assert!(measured.percentile(100.0) >= 59_000_000.0);
    }

    #[tokio::test]
    async fn a_load_counts_what_was_answered() {
        for (mix, pipeline) in [(Mix::Set, 1), (Mix::Get90, 16), (Mix::Mget, 3)] {
            let null = Null::start(mix, 100).unwrap();
            let mut load = Load::begin(null.target.clone(), shape(mix, 4, pipeline), 1).unwrap();
            load.began().await.unwrap();
            let measured = load.done().await.unwrap();
            assert!(measured.replies > 100, "{mix:?}: {}", measured.replies);
            assert_eq!(measured.replies, measured.latency.len());
            assert!(measured.percentile(50.0) <= measured.percentile(99.0));
            assert!(measured.generator_cpu > 0.0 && measured.generator_cpu < 1.2);
        }
    }

    #[tokio::test]
    async fn a_load_keeps_to_its_rate_and_ends_early_when_told() {
        let null = Null::start(Mix::Set, 100).unwrap();
        let shape = Shape {
            rate: Some(1000.0),
            duration: Duration::from_secs(600),
            ..shape(Mix::Set, 4, 1)
        };
        let mut load = Load::begin(null.target.clone(), shape, 1).unwrap();
        load.began().await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        load.finish();
        let measured = load.done().await.unwrap();
        assert!(measured.seconds < 60.0, "{}", measured.seconds);
        // A slow machine may fall behind, and never goes faster.
        assert!(
            measured.replies > 0 && measured.rate() < 1100.0,
            "{}",
            measured.rate()
        );
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let null = Null::start(Mix::Set, 100).unwrap();
        let mut target = null.target.clone();
        // Port 1 of this machine: nobody listens there.
        target.addr.set_port(1);
        let mut load = Load::begin(target, shape(Mix::Set, 2, 1), 1).unwrap();
        let error = format!("{:#}", load.began().await.unwrap_err());
        assert!(error.contains("127.0.0.1:1"), "{error}");
    }
}
