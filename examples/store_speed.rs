//! What the store costs: overwrites of a million 100-byte rows at random, then a restart.
//!
//! `cargo run --release --example store_speed -- DIR [ROWS] [WINDOW_MIB]` prints rows per second of wall and of
//! processor time, merging included, and how long the rows take to load with two threads.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pontoon::store::{Options, Position, Rows, Store};

/// Row keys of the shape that a keyspace makes: a kind, a database, a hash, the key itself.
fn key(number: u64) -> Vec<u8> {
    let hash = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut key = vec![1, 0, 0];
    key.extend_from_slice(&hash.to_be_bytes());
    key.extend_from_slice(format!("key:{number:012}").as_bytes());
    key
}

/// Processor time of this process so far, with all its threads.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has /proc");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split(' ').collect();
    let ticks: u64 = [12, 13]
        .iter()
        .filter_map(|&i| fields[i].parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
        / 1024
}

fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find(|line| line.starts_with("write_bytes"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = args
        .next()
        .ok_or_else(|| anyhow::anyhow!("usage: store_speed DIR [ROWS] [WINDOW_MIB]"))?;
    let total: u64 = args.next().map_or(Ok(10_000_000), |n| n.parse())?;
    let window: usize = args.next().map_or(Ok(16), |n| n.parse())?;
    let mut options = Options::new(Path::new(&dir));
    options.window_bytes = window * 1024 * 1024;
    options.backlog_bytes = 3 * options.window_bytes;
    let fatal = || Box::new(|error: &pontoon::store::Error| panic!("{error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;

    let (store, position) = Store::open(options.clone(), fatal())?;
    let mut index = position.map_or(0, |at| at.index);
    let mut state = 88_172_645_463_325_252u64;
    let mut value = [0u8; 100];
    let mut peak = 0;
    let mut report = |name: &str, count: u64, pick: &mut dyn FnMut(u64) -> u64| {
        let (wall, cpu, bytes) = (Instant::now(), processor(), written());
        let mut rest = 0..count;
        while !rest.is_empty() {
            let mut rows = Rows::new();
            for number in rest.by_ref().take(16) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                for chunk in value.chunks_mut(8) {
                    let random = state
                        .rotate_left(chunk.as_ptr() as u32 % 61)
                        .wrapping_mul(state);
                    chunk.copy_from_slice(&random.to_le_bytes()[..chunk.len()]);
                }
                rows.put(&key(pick(number ^ (state << 20))), &value);
            }
            index += 1;
            store.submit(
                rows,
                Position {
                    index,
                    ..Position::default()
                },
            );
            if store.over_limit() {
                peak = peak.max(resident());
                runtime.block_on(store.room());
            }
        }
        runtime.block_on(store.flush()).map(|_| ())?;
        let (wall, cpu) = (
            wall.elapsed().as_secs_f64(),
            (processor() - cpu).as_secs_f64(),
        );
        println!(
            "{name}: {count} rows in {wall:.2} s = {:.0}/s; {cpu:.2} s of processor = {:.0}/s; written {} MiB; store {} MiB; resident {} MiB, peak {peak} MiB",
            count as f64 / wall,
            count as f64 / cpu,
            (written() - bytes) >> 20,
            store.disk_bytes() >> 20,
            resident(),
        );
        anyhow::Ok(())
    };
    let mut next = 0;
    report("fill", 1_000_000, &mut |_| {
        next += 1;
        next - 1
    })?;
    report("overwrite", total, &mut |random| (random >> 20) % 1_000_000)?;
    drop(store);

    for threads in [1, 2] {
        let begun = Instant::now();
        let (store, _) = Store::open(options.clone(), fatal())?;
        let opened = begun.elapsed();
        let sum = AtomicU64::new(0);
        let cuts: Vec<Vec<u8>> = (1..16u8).map(|i| vec![1, 0, 0, i * 16]).collect();
        let rows = store.load(threads, &cuts, |_, key, value| {
            sum.fetch_add(u64::from(key[4]) + u64::from(value[0]), Ordering::Relaxed);
            Ok(())
        })?;
        println!(
            "load with {threads}: {rows} rows, open {:.0} ms, all {:.0} ms; resident {} MiB",
            opened.as_secs_f64() * 1e3,
            begun.elapsed().as_secs_f64() * 1e3,
            resident()
        );
    }
    Ok(())
}
