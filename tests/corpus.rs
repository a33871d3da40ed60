//! The fuzzing corpus through the fuzz targets, then seeds changed at random for a bounded time.
//!
//! No input may panic, or take memory by what it merely declares. How to fuzz further: `fuzz/README.md`.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes that an input of `len` may take in all, given back or not: a fixed part, and what honest
/// compression makes of the input (LZF: 88 to 1), held a few times.
fn allowance(len: usize) -> u64 {
    (4 << 20) + 2048 * len as u64
}

/// The bytes that a seed's text stands for.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut bytes = line.bytes();
        while let Some(byte) = bytes.next() {
            let escaped = match byte {
                b'\\' => bytes.next().expect("something behind a backslash"),
                plain => {
                    out.push(plain);
                    continue;
                }
            };
            out.push(match escaped {
                b'n' => b'\n',
                b'r' => b'\r',
                b'x' => {
                    let digits = [bytes.next(), bytes.next()].map(|d| d.expect("two digits"));
                    let digits = std::str::from_utf8(&digits).expect("digits");
                    u8::from_str_radix(digits, 16).expect("hexadecimal digits")
                }
                other => other,
            });
        }
    }
    out
}

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut seeds: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{folder}: {e}"))
        .map(|file| {
            let path = file.expect("a file").path();
            let text = std::fs::read_to_string(&path).expect("a seed is text");
            (path.display().to_string(), unescape(&text))
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{folder} has seeds");
    seeds
}

/// Runs a target; the failure names the input.
fn run(target: targets::Target, name: &str, input: &[u8]) {
    let allocated = tikv_jemalloc_ctl::thread::allocatedp::read().expect("jemalloc counts");
    let before = allocated.get();
    if let Err(panic) = std::panic::catch_unwind(|| target(input)) {
        eprintln!("the input, {name}: {}", input.escape_ascii());
        std::panic::resume_unwind(panic);
    }
    let took = allocated.get() - before;
    assert!(
        took <= allowance(input.len()),
        "{name} took {took} bytes: {}",
        input.escape_ascii()
    );
}

#[test]
fn corpus_is_replayed() {
    for (target, function) in targets::ALL {
        for (name, input) in seeds(target) {
            run(*function, &name, &input);
            for end in 0..input.len() {
                run(*function, &name, &input[..end]);
            }
        }
    }
}

/// One to four changes that find the edges of formats.
fn bend(dice: &mut StdRng, input: &mut Vec<u8>, other: &[u8]) {
    const EDGES: &[u8] = &[
        0, 1, 0x7f, 0x80, 0x81, 0xc0, 0xc3, 0xe0, 0xf0, 0xfe, 0xff, b'*', b'$', b'\\', b'[',
    ];
    for _ in 0..dice.random_range(1..=4) {
        let at = dice.random_range(0..=input.len());
        match dice.random_range(0..5) {
            0 if at < input.len() => input[at] = EDGES[dice.random_range(0..EDGES.len())],
            1 if at < input.len() => input[at] = dice.random(),
            2 => input.insert(at, dice.random()),
            3 => input.truncate(at),
            _ => {
                let from = dice.random_range(0..=other.len());
                input.splice(at..at, other[from..].iter().copied());
            }
        }
    }
    input.truncate(4096);
}

#[test]
fn changed_seeds_do_no_harm() {
    let seconds = std::env::var("FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok());
    let each = Duration::from_secs_f64(seconds.unwrap_or(3.5) / targets::ALL.len() as f64);
    for (target, function) in targets::ALL {
        let (seeds, end) = (seeds(target), Instant::now() + each);
        let mut dice = StdRng::seed_from_u64(7);
        let mut runs = 0_u64;
        while Instant::now() < end {
            let (name, seed) = &seeds[dice.random_range(0..seeds.len())];
            let other = &seeds[dice.random_range(0..seeds.len())].1;
            let mut input = seed.clone();
            bend(&mut dice, &mut input, other);
            run(*function, name, &input);
            runs += 1;
        }
        println!("{target}: {runs} inputs");
    }
}
