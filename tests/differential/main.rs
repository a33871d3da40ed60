//! The differential test: one seeded sequence of commands to Pontoon and to redis-server, every reply and the final data compared.
//! `tests/differential/run` builds and starts it; without `--run` (as `cargo test` starts it) it does nothing and says so.
//!
//! Always: both servers are real processes, begun and ended here; a failing sequence is shrunk by replaying it on flushed servers.

mod grammar;
mod known;
mod planted;
mod wire;

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use planted::Plant;
use wire::{Conn, Reply, Request, line};

#[derive(Parser)]
#[command(about = "The same commands to Pontoon and to redis-server, and what differs")]
struct Args {
    /// Runs; without it nothing is done
    #[arg(long)]
    run: bool,
    /// Repeats an earlier run [default: chosen and printed]
    #[arg(long)]
    seed: Option<u64>,
    /// For how long new sequences are begun
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Runs until something differs
    #[arg(long)]
    unbounded: bool,
    /// Ends after this many commands
    #[arg(long)]
    commands: Option<u64>,
    /// The protocol [default: both in turn]
    #[arg(long)]
    resp: Option<u8>,
    /// Plants differences, which must all be found
    #[arg(long)]
    planted: bool,
    /// What to compare with
    #[arg(long, default_value = "redis-server")]
    redis_server: PathBuf,
    /// Goes on after a difference, this many times
    #[arg(long, default_value_t = 0)]
    go_on: u32,
}

/// Commands of one sequence, between two flushes.
const SEQUENCE: usize = 400;
/// How long a server may take to start.
const START: Duration = Duration::from_secs(60);
/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Both processes; ended when dropped.
struct Servers {
    pontoon: Child,
    redis: Child,
    dir: tempfile::TempDir,
    port: u16,
    redis_port: u16,
}

impl Drop for Servers {
    fn drop(&mut self) {
        let stop = ["dev", "stop", "--dir"];
        let _ = Command::new(binary())
            .args(stop)
            .arg(self.dir.path().join("p"))
            .output();
        for child in [&mut self.redis, &mut self.pontoon] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn binary() -> PathBuf {
    std::env::var_os("PONTOON_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_pontoon").into(), PathBuf::from)
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Servers {
    fn start(redis_server: &Path) -> anyhow::Result<Servers> {
        let dir = tempfile::tempdir()?;
        let (port, redis_port) = (free_port()?, free_port()?);
        let mut redis = Command::new(redis_server);
        redis.args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--port",
            &redis_port.to_string(),
        ]);
        let mut pontoon = Command::new(binary());
        pontoon.args([
            "dev",
            "--plan",
            "hobbyist",
            "--unrestricted",
            "--port",
            &port.to_string(),
        ]);
        pontoon.arg("--dir").arg(dir.path().join("p"));
        let quiet = |c: &mut Command| c.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let redis = quiet(redis.current_dir(dir.path())).context("redis-server")?;
        let pontoon = quiet(&mut pontoon).context("pontoon");
        let servers = Servers {
            pontoon: pontoon?,
            redis,
            dir,
            port,
            redis_port,
        };
        let until = Instant::now() + START;
        while let Err(e) = servers.connect(2) {
            ensure!(Instant::now() < until, "not started in time: {e:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(servers)
    }

    /// A connection to each, let in, in this protocol.
    fn connect(&self, resp: u8) -> anyhow::Result<Pair> {
        let tcp = |port| -> anyhow::Result<TcpStream> {
            let tcp = TcpStream::connect(("127.0.0.1", port))?;
            tcp.set_nodelay(true)?;
            tcp.set_read_timeout(Some(PATIENCE))?;
            Ok(tcp)
        };
        let home = self.dir.path().join("p");
        let service: serde_json::Value =
            serde_json::from_slice(&std::fs::read(home.join("service.json"))?)?;
        let password = service["password"].as_str().context("no password")?;
        let mut roots = RootCertStore::empty();
        for cert in rustls::pki_types::CertificateDer::pem_file_iter(home.join("ca.pem"))? {
            roots.add(cert?)?;
        }
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
        let tls = ClientConnection::new(Arc::new(config), "localhost".try_into()?)?;
        let mut pontoon = Conn::new(Box::new(StreamOwned::new(tls, tcp(self.port)?)));
        let reply = pontoon.words(&["AUTH", password])?;
        ensure!(reply.kind == b'+', "not let in: {reply:?}");
        let mut redis = Conn::new(Box::new(tcp(self.redis_port)?));
        for conn in [&mut pontoon, &mut redis] {
            let reply = conn.words(&["HELLO", &resp.to_string()])?;
            ensure!(reply.kind != b'-', "HELLO: {reply:?}");
        }
        let info = redis.words(&["INFO", "server"])?.text;
        let old = String::from_utf8_lossy(&info).contains("redis_version:7.0.");
        Ok(Pair {
            pontoon,
            redis,
            old,
        })
    }
}

struct Pair {
    pontoon: Conn,
    redis: Conn,
    /// Whether it is a Redis before 7.2.
    old: bool,
}

struct Difference {
    at: usize,
    request: Request,
    pontoon: Reply,
    redis: Reply,
}

#[derive(Default)]
struct Tally {
    commands: u64,
    errors: u64,
    by_name: BTreeMap<String, u64>,
}

impl Pair {
    fn both(&mut self, words: &[&str]) -> anyhow::Result<(Reply, Reply)> {
        Ok((self.pontoon.words(words)?, self.redis.words(words)?))
    }

    /// Runs the sequence on flushed servers up to the first difference, the final data included.
    fn run(
        &mut self,
        sequence: &[Request],
        plant: Option<&Plant>,
        tally: &mut Tally,
    ) -> anyhow::Result<Option<Difference>> {
        for words in [&["DISCARD"][..], &["UNWATCH"], &["FLUSHALL"]] {
            self.both(words)?;
        }
        let mut queued = Vec::new();
        for (at, request) in sequence.iter().enumerate() {
            let mut sent = request.clone();
            if let Some(plant) = plant {
                (plant.request)(&mut sent);
            }
            let mut pontoon = self.pontoon.call(&sent)?;
            if let Some(plant) = plant {
                (plant.reply)(request, &mut pontoon);
            }
            let redis = self.redis.call(request)?;
            tally.commands += 1;
            tally.errors += u64::from(redis.kind == b'-');
            *tally.by_name.entry(name(request)).or_default() += 1;
            if !self.agree(request, &queued, &pontoon, &redis) {
                return Ok(Some(Difference {
                    at,
                    request: request.clone(),
                    pontoon,
                    redis,
                }));
            }
            if redis.text == b"QUEUED" {
                queued.push(request.clone());
            } else if name(request) == "EXEC" || name(request) == "DISCARD" {
                queued.clear();
            }
        }
        self.both(&["DISCARD"])?;
        self.contents(sequence.len())
    }

    fn contents(&mut self, at: usize) -> anyhow::Result<Option<Difference>> {
        let keys = self.redis.words(&["KEYS", "*"])?;
        let mut reads: Vec<Vec<String>> = vec![vec!["KEYS".into(), "*".into()]];
        for key in &keys.items {
            let key = String::from_utf8_lossy(&key.text).into_owned();
            let kind = self.redis.words(&["TYPE", &key])?.text;
            let read: &[&str] = match &kind[..] {
                b"string" => &["GET"],
                b"list" => &["LRANGE", "0", "-1"],
                b"hash" => &["HGETALL"],
                b"set" => &["SMEMBERS"],
                b"zset" => &["ZRANGE", "0", "-1", "WITHSCORES"],
                b"stream" => &["XRANGE", "-", "+"],
                other => bail!("a key of type {}", other.escape_ascii()),
            };
            let mut words = vec![read[0].to_owned(), key.clone()];
            words.extend(read[1..].iter().map(|w| (*w).to_owned()));
            reads.extend([vec!["TYPE".into(), key.clone()], words]);
            reads.push(vec!["OBJECT".into(), "ENCODING".into(), key.clone()]);
            reads.push(vec!["TTL".into(), key]);
        }
        for words in reads {
            let request: Request = words.into_iter().map(String::into_bytes).collect();
            let (pontoon, redis) = (self.pontoon.call(&request)?, self.redis.call(&request)?);
            if !self.agree(&request, &[], &pontoon, &redis) {
                return Ok(Some(Difference {
                    at,
                    request,
                    pontoon,
                    redis,
                }));
            }
        }
        Ok(None)
    }

    /// Whether the replies agree; those of EXEC each as its command's. What is new in the Redis that Pontoon follows is no difference.
    fn agree(
        &self,
        request: &[Vec<u8>],
        queued: &[Request],
        pontoon: &Reply,
        redis: &Reply,
    ) -> bool {
        if name(request) == "EXEC" && pontoon.kind == b'*' && redis.kind == b'*' {
            let (ours, theirs) = (&pontoon.items, &redis.items);
            return ours.len() == theirs.len()
                && pontoon.text == redis.text
                && queued
                    .iter()
                    .zip(ours.iter().zip(theirs))
                    .all(|(q, (a, b))| self.agree(q, &[], a, b));
        }
        same(request, pontoon, redis) || (self.old && known::since_7_0(request, pontoon, redis))
    }

    /// The shortest sequence found that still differs, by leaving out ever smaller pieces.
    fn shrink(
        &mut self,
        mut sequence: Vec<Request>,
        plant: Option<&Plant>,
    ) -> anyhow::Result<(Vec<Request>, Option<Difference>)> {
        let mut tally = Tally::default();
        let mut size = sequence.len().div_ceil(2);
        loop {
            let mut from = 0;
            while from < sequence.len() {
                let mut fewer = sequence.clone();
                fewer.drain(from..(from + size).min(sequence.len()));
                match self.run(&fewer, plant, &mut tally)? {
                    Some(_) => sequence = fewer,
                    None => from += size,
                }
            }
            if size <= 1 {
                let found = self.run(&sequence, plant, &mut tally)?;
                return Ok((sequence, found));
            }
            size = size.div_ceil(2);
        }
    }
}

/// The command's name.
fn name(request: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(&request[0]).to_uppercase()
}

fn is_string_encoding(reply: &Reply) -> bool {
    [&b"int"[..], b"embstr", b"raw"].contains(&&reply.text[..])
}

/// Whether the replies agree, as far as the command promises anything.
fn same(request: &[Vec<u8>], pontoon: &Reply, redis: &Reply) -> bool {
    let number = |r: &Reply| String::from_utf8_lossy(&r.text).parse::<i64>().ok();
    match name(request).as_str() {
        // Encodings within the payload are free.
        "DUMP" => pontoon.kind == redis.kind && pontoon.text.is_empty() == redis.text.is_empty(),
        "TTL" | "EXPIRETIME" => match (number(pontoon), number(redis)) {
            (Some(a), Some(b)) if a > 0 && b > 0 => a.abs_diff(b) <= 2,
            _ => pontoon == redis,
        },
        "SMEMBERS" | "SINTER" | "SUNION" | "SDIFF" | "HGETALL" | "HKEYS" | "HVALS"
        | "HRANDFIELD" | "SPOP" | "SRANDMEMBER" | "KEYS" | "SORT" | "SORT_RO" => {
            sorted(pontoon) == sorted(redis)
        }
        // Of a string it follows from the text and from what changed it; see docs/redis-differences.md.
        "OBJECT" if is_string_encoding(pontoon) => is_string_encoding(redis),
        // SORT, even SORT_RO, leaves a sorted set a skiplist in Redis.
        "OBJECT" if pontoon.text == b"listpack" && redis.text == b"skiplist" => true,
        // How Redis shares objects.
        "OBJECT" if number(pontoon).is_some() => number(redis).is_some(),
        _ => pontoon == redis,
    }
}

fn sorted(reply: &Reply) -> Reply {
    let mut reply = reply.clone();
    reply.items.sort();
    reply
}

fn draw(rng: &mut StdRng) -> Vec<Request> {
    (0..SEQUENCE).map(|_| grammar::draw(rng)).collect()
}

fn report(sequence: &[Request], found: &Difference) {
    for request in sequence.iter().take(found.at + 1) {
        println!("  {}", line(request));
    }
    println!(
        "DIFFERS at {}\n  pontoon: {:?}\n  redis:   {:?}",
        line(&found.request),
        found.pontoon,
        found.redis
    );
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if !args.run {
        println!("differential: nothing is run without --run; see tests/differential/run");
        return Ok(ExitCode::SUCCESS);
    }
    let seed = args.seed.unwrap_or_else(rand::random);
    println!("differential: seed {seed}");
    let servers = Servers::start(&args.redis_server)?;
    if args.planted {
        return find_planted(&servers, seed);
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut tally, mut differences) = (Tally::default(), 0);
    let until = Instant::now() + Duration::from_secs(args.seconds);
    while (args.unbounded || Instant::now() < until)
        && args.commands.is_none_or(|n| tally.commands < n)
    {
        let both = rng.random_range(2..=3);
        let mut pair = servers.connect(args.resp.unwrap_or(both))?;
        let sequence = draw(&mut rng);
        if let Some(found) = pair.run(&sequence, None, &mut tally)? {
            let upto = sequence[..(found.at + 1).min(sequence.len())].to_vec();
            let (short, again) = pair.shrink(upto, None)?;
            report(&short, &again.unwrap_or(found));
            differences += 1;
            if differences > args.go_on {
                break;
            }
        }
    }
    println!(
        "differential: {} commands, {} of them errors, {differences} differences",
        tally.commands, tally.errors
    );
    println!(
        "  {}",
        tally
            .by_name
            .iter()
            .map(|(n, c)| format!("{n} {c}"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let many_errors = tally.errors * 2 > tally.commands;
    let missed: Vec<&str> = grammar::forms()
        .iter()
        .filter_map(|(_, form)| form.split(' ').next())
        .filter(|name| tally.commands >= 20_000 && !tally.by_name.contains_key(*name))
        .collect();
    if many_errors || !missed.is_empty() {
        println!(
            "differential: FAILED: errors are too many: {many_errors}; never reached: {missed:?}"
        );
    }
    Ok(ExitCode::from(u8::from(
        differences > 0 || many_errors || !missed.is_empty(),
    )))
}

/// Sequences in which a planted difference must be found: some need three words to meet at one key.
const PLANTED_SEQUENCES: usize = 200;

/// Each planted difference must be found within a number of sequences.
fn find_planted(servers: &Servers, seed: u64) -> anyhow::Result<ExitCode> {
    let mut missed = 0;
    for plant in planted::PLANTS {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut pair = servers.connect(2)?;
        let mut found = None;
        for _ in 0..PLANTED_SEQUENCES {
            let sequence = draw(&mut rng);
            // Only what the plant makes differ counts.
            if pair.run(&sequence, None, &mut Tally::default())?.is_none() {
                found = pair.run(&sequence, Some(plant), &mut Tally::default())?;
            }
            if found.is_some() {
                break;
            }
        }
        missed += u8::from(found.is_none());
        println!(
            "  {}: {}",
            plant.name,
            found.map_or("MISSED".into(), |d| format!(
                "found at {}",
                line(&d.request)
            ))
        );
    }
    println!(
        "differential: {} planted, {missed} missed",
        planted::PLANTS.len()
    );
    Ok(ExitCode::from(u8::from(missed > 0)))
}
