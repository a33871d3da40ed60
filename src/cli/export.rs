//! `pontoon export`: a service's data as an RDB file.
//!
//! **Invariants.** The file appears whole, under its name, or not at all, and was read back before. Value and
//! expiry of a key are of one moment; keys are of the moments at which each was read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde_json::json;

use super::progress::{Progress, grouped};
use super::redis::{Conn, Service};
use super::{Answer, Output, print};
use crate::data::Limits;
use crate::rdb::{Reader, Record, Writer, payload};
use crate::resp::Value;

/// Keys asked for at once.
const KEYS_PER_SCAN: &[u8] = b"256";
/// Bytes between file and disk.
const BUFFER: usize = 1024 * 1024;

/// Writes all keys of a service, and its functions, to an RDB file that Redis 7.2 reads.
///
/// Keys that change while the file is written are in it as they were when they were read, once each. For the data of
/// one moment, stop the writers first.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon export dump.rdb --dir ./cluster
  pontoon export dump.rdb --service rediss://default:PASSWORD@db:6379 --ca ca.pem --output json")]
pub struct Args {
    /// The file to write
    file: PathBuf,
    #[command(flatten)]
    service: Service,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    /// How to print the report
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Carries it out.
pub fn run(args: &Args) -> anyhow::Result<Answer> {
    let file = &args.file;
    if file.exists() && !args.force {
        bail!("{} is there already; --force replaces it", file.display());
    }
    let mut name = file.file_name().context("the file has no name")?.to_owned();
    name.push(".part");
    let part = file.with_file_name(name);
    let written = write(&part, &mut args.service.open()?).and_then(|counts| {
        check(&part, &counts).context("the file was read back")?;
        std::fs::rename(&part, file)?;
        Ok(counts)
    });
    let counts = written.inspect_err(|_| drop(std::fs::remove_file(&part)))?;
    let keys: u64 = counts.databases.values().sum();
    let bytes = std::fs::metadata(file)?.len();
    print(
        args.output,
        || {
            format!(
                "{}: {} keys, {} functions, {} bytes",
                file.display(),
                grouped(keys),
                counts.functions,
                grouped(bytes)
            )
        },
        || {
            json!({
                "file": file, "keys": keys, "bytes": bytes, "functions": counts.functions,
                "databases": counts.databases,
            })
        },
    );
    Ok(Answer::Yes)
}

/// What was written.
#[derive(Default)]
struct Counts {
    /// Keys by database.
    databases: BTreeMap<u32, u64>,
    /// Libraries of functions.
    functions: u64,
}

fn write(path: &Path, service: &mut Conn) -> anyhow::Result<Counts> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let version = service.info("server", "redis_version")?.unwrap_or_default();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let about = [
        ("redis-ver", version.as_str()),
        ("redis-bits", "64"),
        ("ctime", &now.as_secs().to_string()),
        ("aof-base", "0"),
    ];
    let mut writer = Writer::new(BufWriter::with_capacity(BUFFER, file), &about)?;
    let mut counts = Counts::default();
    // A service without functions refuses this.
    if let Ok(dump) = service.ask(&[b"FUNCTION", b"DUMP"]) {
        let dump = dump.as_bytes().unwrap_or_default();
        writer.functions(payload::open(dump).context("FUNCTION DUMP")?)?;
    }
    let mut progress = Progress::new("keys");
    for (db, keys, expires) in service.databases()? {
        service.ask(&[b"SELECT", db.to_string().as_bytes()])?;
        writer.database(db, keys, expires)?;
        let written = counts.databases.entry(db).or_default();
        let mut cursor = b"0".to_vec();
        loop {
            let answer = service.ask(&[b"SCAN", &cursor, b"COUNT", KEYS_PER_SCAN])?;
            let [next, keys] = answer.as_slice().unwrap_or_default() else {
                bail!("SCAN was answered {answer:?}");
            };
            for key in keys.as_slice().unwrap_or_default() {
                let key = key.as_bytes().unwrap_or_default();
                service.queue(&[b"MULTI"]);
                service.queue(&[b"DUMP", key]);
                service.queue(&[b"PEXPIRETIME", key]);
                service.queue(&[b"EXEC"]);
            }
            service.send()?;
            for key in keys.as_slice().unwrap_or_default() {
                let key = key.as_bytes().unwrap_or_default();
                if put(&mut writer, service, db, key)? {
                    *written += 1;
                    progress.add(1);
                }
            }
            progress.show(&format!("{} bytes", grouped(writer.written())));
            cursor = next.as_bytes().unwrap_or(b"0").to_vec();
            if cursor == b"0" {
                break;
            }
        }
    }
    let file = writer.finish()?.into_inner()?;
    file.sync_all()?;
    progress.end();
    counts.functions = count_functions(path)?;
    Ok(counts)
}

/// Writes a key as its four replies show it; whether it was there still.
fn put(
    writer: &mut Writer<BufWriter<File>>,
    service: &mut Conn,
    db: u32,
    key: &[u8],
) -> anyhow::Result<bool> {
    for _ in 0..3 {
        if let Value::Error(text) = service.reply()? {
            bail!("DUMP of a key was refused: {text}");
        }
    }
    let answer = service.reply()?;
    let [dump, expire_at] = answer.as_slice().unwrap_or_default() else {
        bail!("EXEC was answered {answer:?}");
    };
    let Some(dump) = dump.as_bytes() else {
        if let Some(error) = dump.as_error() {
            bail!("DUMP of {} failed: {error}", key.escape_ascii());
        }
        return Ok(false);
    };
    let opened = payload::open(dump).context("a payload's checksum is wrong")?;
    let expire_at = expire_at.as_int().unwrap_or(0).max(0) as u64;
    writer.key_opened(db, key, opened, expire_at)?;
    Ok(true)
}

fn records(path: &Path) -> anyhow::Result<Reader<BufReader<File>>> {
    let file = BufReader::with_capacity(BUFFER, File::open(path)?);
    Ok(Reader::new(file, Limits::default())?)
}

fn count_functions(path: &Path) -> anyhow::Result<u64> {
    let mut reader = records(path)?;
    let mut count = 0;
    // They stand before the keys.
    while let Some(Record::Function(_) | Record::About { .. }) =
        reader.next_record()?.inspect(|r| {
            count += u64::from(matches!(r, Record::Function(_)));
        })
    {}
    Ok(count)
}

/// Reads the file back and compares the counts.
fn check(path: &Path, counts: &Counts) -> anyhow::Result<()> {
    let mut reader = records(path)?;
    let mut found = BTreeMap::<u32, u64>::new();
    while let Some(record) = reader.next_record()? {
        match record {
            Record::Key(key) => *found.entry(key.db).or_default() += 1,
            Record::Skipped { why, .. } => bail!(why),
            _ => {}
        }
    }
    let expected = counts.databases.iter().filter(|(_, keys)| **keys > 0);
    ensure!(
        found.iter().eq(expected),
        "it does not hold as many keys as were written"
    );
    Ok(())
}
