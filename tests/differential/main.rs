//! The differential test: one seeded sequence of commands to Pontoon and to redis-server, every reply and the final data compared.
//! `tests/differential/run` builds and starts it; without `--run` (as `cargo test` starts it) it does nothing and says so.
//!
//! Always: both servers are real processes, begun and ended here; a failing sequence is shrunk by replaying it on flushed servers.

mod grammar;
mod known;
mod planted;
mod same;
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
    /// Nodes of Pontoon: at the end the digests of three are compared
    #[arg(long, default_value_t = 1)]
    nodes: u8,
    /// Fails where a command was drawn less often
    #[arg(long, default_value_t = 0)]
    each: u64,
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
    fn start(redis_server: &Path, nodes: u8) -> anyhow::Result<Servers> {
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
            if nodes == 1 { "hobbyist" } else { "premium" },
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
    fn connect(&self, resp: u8) -> anyhow::Result<Pair<'_>> {
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
            servers: self,
            pontoon,
            redis,
            old,
            resp,
        })
    }

    /// Whether all nodes have the same data.
    fn digests_agree(&self) -> anyhow::Result<bool> {
        let mut admin = Command::new(binary());
        admin
            .args(["admin", "digest", "--dir"])
            .arg(self.dir.path().join("p"));
        let said = admin.output()?;
        print!("  {}", String::from_utf8_lossy(&said.stdout));
        Ok(said.status.success())
    }
}

struct Pair<'a> {
    servers: &'a Servers,
    pontoon: Conn,
    redis: Conn,
    resp: u8,
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
    by_name: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn count(&mut self, request: &[Vec<u8>], replies: &[Reply]) {
        self.commands += 1;
        self.errors += u64::from(replies.iter().any(|r| r.kind == b'-'));
        *self.by_name.entry(grammar::command(request)).or_default() += 1;
    }
}

/// What is put back before a sequence, so that each begins alike.
const FRESH: &[&str] = &[
    "DISCARD",
    "UNWATCH",
    "FLUSHALL",
    "SELECT 0",
    "FUNCTION FLUSH",
    "SCRIPT FLUSH",
    "ACL DELUSER u1 u2",
    "CLIENT TRACKING OFF",
    "CLIENT SETNAME differential",
    "CLIENT UNPAUSE",
    "CONFIG SET hash-max-listpack-entries 128 hash-max-listpack-value 64 zset-max-listpack-entries 128",
    "CONFIG SET set-max-intset-entries 512 list-max-listpack-size -2",
    // By itself: a 7.0 does not have it, and sets none of those beside it.
    "CONFIG SET set-max-listpack-entries 128",
];

impl Pair<'_> {
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
        for words in FRESH {
            self.both(&words.split(' ').collect::<Vec<_>>())?;
        }
        let mut queued = Vec::new();
        for (at, request) in sequence.iter().enumerate() {
            if request[0] == b"@" {
                if let Some(found) = self.talk(at, request, plant, tally)? {
                    return Ok(Some(found));
                }
                continue;
            }
            let mut sent = request.clone();
            if let Some(plant) = plant {
                (plant.request)(&mut sent);
            }
            let mut pontoon = self.pontoon.call(&sent)?;
            if let Some(plant) = plant {
                (plant.reply)(request, &mut pontoon);
            }
            let redis = self.redis.call(request)?;
            tally.count(request, std::slice::from_ref(&redis));
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
        for db in ["1", "0"] {
            self.both(&["SELECT", db])?;
            let found = self.contents(sequence.len())?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// A talk on connections of their own. After each piece its replies are read up to that of a PING; one that may block
    /// is waited for until it blocks or is served, and its replies come with the next piece or at the end.
    fn talk(
        &mut self,
        at: usize,
        request: &Request,
        plant: Option<&Plant>,
        tally: &mut Tally,
    ) -> anyhow::Result<Option<Difference>> {
        let mut other = self.servers.connect(self.resp)?;
        let mut waits: Option<Vec<Vec<u8>>> = None;
        let pieces: Vec<&[Vec<u8>]> = request[1..].split(|w| w == b";").collect();
        for (i, piece) in pieces.iter().copied().enumerate() {
            let how = &piece[0][..];
            let piece = if [&b">"[..], b"~", b"!"].contains(&how) {
                &piece[1..]
            } else {
                piece
            };
            let mut sent = piece.to_vec();
            if let Some(plant) = plant {
                (plant.request)(&mut sent);
            }
            let (mut ours, theirs) = match how {
                b">" => (
                    vec![self.pontoon.call(&sent)?],
                    vec![self.redis.call(piece)?],
                ),
                b"!" => (
                    vec![other.pontoon.call(&sent)?],
                    vec![other.redis.call(piece)?],
                ),
                b"~" => {
                    let id = |r: Reply| String::from_utf8_lossy(&r.text).into_owned();
                    let ids = other.both(&["CLIENT", "ID"])?;
                    other.pontoon.send(&sent)?;
                    other.redis.send(piece)?;
                    begun(&mut self.pontoon, &id(ids.0))?;
                    begun(&mut self.redis, &id(ids.1))?;
                    waits = Some(piece.to_vec());
                    tally.count(piece, &[]);
                    continue;
                }
                _ => (
                    other.pontoon.upto_mark(&sent)?,
                    other.redis.upto_mark(piece)?,
                ),
            };
            if let Some(plant) = plant {
                ours.iter_mut().for_each(|r| (plant.reply)(piece, r));
            }
            tally.count(piece, &theirs);
            if let Some(found) = self.differs(at, piece, ours, theirs) {
                return Ok(Some(found));
            }
            if how != b">" || i + 1 < pieces.len() {
                continue;
            }
            // What the first connection did may have been told, or have served who waits.
            let piece = waits.take().unwrap_or_else(|| piece.to_vec());
            let (ours, theirs) = (other.pontoon.rest()?, other.redis.rest()?);
            if let Some(found) = self.differs(at, &piece, ours, theirs) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn differs(
        &self,
        at: usize,
        request: &[Vec<u8>],
        ours: Vec<Reply>,
        theirs: Vec<Reply>,
    ) -> Option<Difference> {
        let pairs = ours.iter().zip(&theirs);
        if ours.len() == theirs.len() && pairs.clone().all(|(a, b)| self.agree(request, &[], a, b))
        {
            return None;
        }
        Some(Difference {
            at,
            request: request.to_vec(),
            pontoon: Reply::of(ours),
            redis: Reply::of(theirs),
        })
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
        same::same(request, pontoon, redis)
            || (self.old && known::since_7_0(request, pontoon, redis))
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

/// Waits until the client with that id has begun its command: it waits, or was served.
fn begun(conn: &mut Conn, id: &str) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let list = conn.words(&["CLIENT", "LIST", "ID", id])?.text;
        if !String::from_utf8_lossy(&list).contains("cmd=client") {
            return Ok(());
        }
        ensure!(
            Instant::now() < until,
            "client {id} does not begin its command"
        );
    }
}

fn draw(rng: &mut StdRng) -> Vec<Request> {
    let mut sequence = Vec::new();
    while sequence.len() < SEQUENCE {
        sequence.extend(grammar::draw(rng));
    }
    sequence
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
    let forgotten = grammar::forgotten();
    ensure!(
        forgotten.is_empty(),
        "of the table neither drawn nor left out: {forgotten:?}"
    );
    let servers = Servers::start(&args.redis_server, args.nodes)?;
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
    println!("not drawn:");
    for (names, why) in grammar::NOT_COMPARED {
        println!("  {names}: {why}");
    }
    let many_errors = tally.errors * 2 > tally.commands;
    let least = args.each.max(u64::from(tally.commands >= 40_000));
    let count = |name: &str| tally.by_name.get(name).copied().unwrap_or(0);
    let mut seldom: Vec<(&str, u64)> = grammar::commands()
        .iter()
        .map(|c| (c.name, count(c.name)))
        .filter(|(_, n)| *n < least)
        .collect();
    seldom.sort_by_key(|(_, n)| *n);
    let digests = args.nodes == 1 || servers.digests_agree()?;
    if many_errors || !seldom.is_empty() || !digests {
        println!(
            "differential: FAILED: errors are too many: {many_errors}; drawn less than {least} times: {seldom:?}; digests agree: {digests}"
        );
    }
    Ok(ExitCode::from(u8::from(
        differences > 0 || many_errors || !seldom.is_empty() || !digests,
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
