//! From a running Redis: as a replica gets it, all data first, then each change.
//!
//! **Invariants.** A batch of changes and the place in the source's history that it leads to reach the service in one
//! transaction, so whatever interrupts this, a change is applied once. A transaction of the source is never split.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::file::load;
use super::loader::{Loader, is_hopeless};
use super::report::{Compared, Report};
use super::verify::{self, Samples};
use super::{Args, make_room};
use crate::cli::progress::{Progress, grouped};
use crate::cli::redis::{Conn, Uri};
use crate::data::Limits;
use crate::rdb::Reader;
use crate::resp::{Parser, Value, put_request};

/// Where the service keeps the place in the source's history, in database 0.
const PLACE: &[u8] = b"pontoon:import";
/// How long a read of the source waits: then it is told again how far this is.
const TICK: Duration = Duration::from_millis(200);
/// Between two such messages.
const ACK_EVERY: Duration = Duration::from_secs(1);
/// Changes and their bytes that make one transaction, unless one of the source is larger.
const BATCH_CHANGES: usize = 1000;
const BATCH_LEN: usize = 1024 * 1024;
/// Times that both sides are compared anew, or the last changes taken anew, while the source is written to.
const ROUNDS: usize = 5;
/// How long the last changes may take to arrive at a cut-over.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);

/// Carries a running Redis over.
pub fn run(args: &Args, uri: &Uri, mut service: Conn) -> anyhow::Result<Report> {
    let asked = Asked::listen(args.follow)?;
    let source_ca = args.source_ca.as_deref();
    let mut control = Conn::open(uri, source_ca, TICK)?;
    let mut source = Source::open(uri, source_ca)?;
    let mut report = Report::new(uri.shown());
    service.ask(&[b"SELECT", b"0"])?;
    let place = service.ask(&[b"GET", PLACE])?;
    let place = place.as_bytes().filter(|_| !args.flush);
    let service = match place.map(Place::parse).transpose()? {
        Some(place) => {
            source.resume(&place)?;
            report.resumed_at = Some(place.offset);
            service
        }
        None => {
            make_room(args, &mut service)?;
            source.sync()?;
            let mut loader = Loader::new(service);
            source.load(&mut loader, &mut report, args.samples)?;
            loader.service
        }
    };
    let mut follower = Follower {
        source,
        service,
        report,
        parser: Parser::new(),
        multi: false,
        batch: Vec::new(),
        batch_len: 0,
        known: vec![0],
        asked,
        pause: Duration::ZERO,
        paused: None,
    };
    follower.keep_place()?;
    if args.follow {
        follower.follow(&mut control)?;
        follower.pause = Duration::from_secs(args.pause.into());
    }
    let compared = follower
        .catch_up(&mut control)
        .and_then(|()| follower.compare(&mut control, args.samples))
        .and_then(|compared| follower.settle(&mut control).map(|()| compared));
    let report = compared.and_then(|compared| {
        follower.report.compared = Some(compared);
        follower.forget_place()?;
        Ok(follower.report)
    });
    let is_clean = report.as_ref().is_ok_and(Report::is_clean);
    if args.follow && args.pause > 0 && !is_clean {
        // Nobody is to switch over now, so the writers go on where they were.
        let _ = control.ask(&[b"CLIENT", b"UNPAUSE"]);
    }
    report
}

/// A place in the history of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// Which history.
    id: String,
    /// Bytes of it that were applied.
    offset: u64,
    /// The database that its next command is about.
    db: u32,
}

impl Place {
    fn parse(text: &[u8]) -> anyhow::Result<Place> {
        let text = std::str::from_utf8(text)?;
        let words: Vec<&str> = text.split(' ').collect();
        let [id, offset, db] = words[..] else {
            bail!(
                "the service's key pontoon:import holds {text:?}; delete it if no import left it"
            );
        };
        Ok(Place {
            id: id.to_string(),
            offset: offset.parse()?,
            db: db.parse()?,
        })
    }

    fn text(&self) -> String {
        format!("{} {} {}", self.id, self.offset, self.db)
    }
}

/// What the person at the terminal, or a signal, asked for.
#[derive(Clone)]
struct Asked {
    stop: Arc<AtomicBool>,
    cut_over: Arc<AtomicBool>,
}

impl Asked {
    fn listen(follow: bool) -> anyhow::Result<Asked> {
        let asked = Asked {
            stop: Arc::default(),
            cut_over: Arc::default(),
        };
        let (flags, runtime) = (asked.clone(), crate::cli::runtime(1)?);
        std::thread::spawn(move || {
            runtime.block_on(async {
                use tokio::signal::unix::{SignalKind, signal};
                let Ok(mut usr1) = signal(SignalKind::user_defined1()) else {
                    return;
                };
                tokio::select! {
                    _ = crate::cli::told_to_stop() => flags.stop.store(true, Relaxed),
                    _ = usr1.recv() => flags.cut_over.store(true, Relaxed),
                }
                // After the cut-over was asked for, a stop is still heard.
                if crate::cli::told_to_stop().await.is_ok() {
                    flags.stop.store(true, Relaxed);
                }
            });
        });
        if follow && io::IsTerminal::is_terminal(&io::stdin()) {
            let cut_over = asked.cut_over.clone();
            std::thread::spawn(move || {
                if io::stdin()
                    .read_line(&mut String::new())
                    .is_ok_and(|n| n > 0)
                {
                    cut_over.store(true, Relaxed);
                }
            });
            eprintln!(
                "following; Enter begins the cut-over, Ctrl-C stops (and can be gone on from)"
            );
        } else if follow {
            eprintln!("following; SIGUSR1 begins the cut-over, SIGTERM stops");
        }
        Ok(asked)
    }
}

/// The source, as its replica sees it.
struct Source {
    conn: Conn,
    place: Place,
    told: Instant,
    /// The stream of changes has begun: the source is told how far this is.
    streams: bool,
}

impl Source {
    fn open(uri: &Uri, ca: Option<&Path>) -> anyhow::Result<Source> {
        let mut conn = Conn::open(uri, ca, TICK)?;
        conn.ask(&[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"])?;
        Ok(Source {
            conn,
            place: Place {
                id: "?".into(),
                offset: 0,
                db: 0,
            },
            told: Instant::now(),
            streams: false,
        })
    }

    /// A line of text; empty ones only say that the source lives.
    fn line(&mut self) -> anyhow::Result<String> {
        loop {
            let buffered = self.conn.buffered();
            if let Some(end) = buffered.iter().position(|&b| b == b'\n') {
                let line = String::from_utf8_lossy(&buffered[..end]).trim().to_string();
                self.conn.take(end + 1);
                if !line.is_empty() {
                    return Ok(line);
                }
            } else {
                ensure!(
                    buffered.len() < 1024,
                    "the source does not speak the protocol of replicas"
                );
                self.conn.read_more()?;
            }
        }
    }

    fn psync(&mut self, id: &str, offset: i64) -> anyhow::Result<String> {
        let mut request = Vec::new();
        put_request(
            &mut request,
            &[b"PSYNC", id.as_bytes(), offset.to_string().as_bytes()],
        );
        self.conn.send_bytes(&request)?;
        self.line()
    }

    /// Goes on where an earlier import stopped.
    fn resume(&mut self, place: &Place) -> anyhow::Result<()> {
        let line = self.psync(&place.id, place.offset as i64 + 1)?;
        let Some(id) = line.strip_prefix("+CONTINUE") else {
            bail!(
                "an earlier import stopped at {}, and the source cannot go on from there ({line}): \
                 --flush empties the service and begins anew",
                place.offset
            );
        };
        self.place = place.clone();
        // After a failover of its own the source calls its history by a new name.
        if !id.trim().is_empty() {
            self.place.id = id.trim().to_string();
        }
        self.streams = true;
        Ok(())
    }

    /// Asks for all data.
    fn sync(&mut self) -> anyhow::Result<()> {
        let line = self.psync("?", -1)?;
        let words: Vec<&str> = line.split(' ').collect();
        let ["+FULLRESYNC", id, offset] = words[..] else {
            bail!("the source refused to be copied: {line}");
        };
        self.place = Place {
            id: id.to_string(),
            offset: offset.parse()?,
            db: 0,
        };
        Ok(())
    }

    /// Reads the data that [`Source::sync`] asked for into the service.
    fn load(
        &mut self,
        loader: &mut Loader,
        report: &mut Report,
        samples: usize,
    ) -> anyhow::Result<()> {
        let head = self.line()?;
        let form = head.strip_prefix('$').context("the source sent no data")?;
        let mark = form.strip_prefix("EOF:");
        let len = if mark.is_some() { 0 } else { form.parse()? };
        // Both sides go on changing: what is compared is chosen at the end.
        let mut unused = Samples::new(samples.min(1));
        let mut reader = Reader::new(&mut *self, Limits::default())?;
        load(&mut reader, loader, report, &mut unused, len)?;
        if let Some(mark) = mark {
            let mut end = vec![0; mark.len()];
            self.read_exact(&mut end)?;
            ensure!(
                end == mark.as_bytes(),
                "the data do not end where they should"
            );
        }
        self.streams = true;
        self.tell()
    }

    /// Says that this lives, and how far it is.
    fn tell(&mut self) -> anyhow::Result<()> {
        self.told = Instant::now();
        if !self.streams {
            return self.conn.send_bytes(b"\n");
        }
        let offset = self.place.offset.to_string();
        let mut message = Vec::new();
        put_request(&mut message, &["REPLCONF", "ACK", &offset]);
        self.conn.send_bytes(&message)
    }

    /// Waits for bytes, at most a tick.
    fn wait(&mut self) -> anyhow::Result<bool> {
        if self.told.elapsed() >= ACK_EVERY {
            self.tell()?;
        }
        self.conn.read_more().context("the source was lost")
    }
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut since = Instant::now();
        while self.conn.buffered().is_empty() {
            if self.wait().map_err(io::Error::other)? {
                since = Instant::now();
            }
            if since.elapsed() > CATCH_UP_MAX {
                return Err(io::Error::other("the source fell silent"));
            }
        }
        let count = out.len().min(self.conn.buffered().len());
        out[..count].copy_from_slice(&self.conn.buffered()[..count]);
        self.conn.take(count);
        Ok(count)
    }
}

/// A change and the database that it is about.
struct Change {
    db: u32,
    words: Vec<Vec<u8>>,
}

/// Applies the source's changes to the service.
struct Follower {
    source: Source,
    service: Conn,
    report: Report,
    parser: Parser,
    /// Within a transaction of the source.
    multi: bool,
    batch: Vec<Change>,
    batch_len: usize,
    /// Databases that the service is known to have.
    known: Vec<u32>,
    asked: Asked,
    /// How long the source's writers are paused at a time; zero: they never are.
    pause: Duration,
    /// When they were, the last time: a pause ends by itself.
    paused: Option<Instant>,
}

impl Follower {
    /// Takes what came, waiting for it at most a tick, and applies it.
    fn step(&mut self) -> anyhow::Result<()> {
        if self.asked.stop.load(Relaxed) {
            bail!(
                "stopped at {}: the same line again goes on from there",
                self.source.place.offset
            );
        }
        self.source.wait()?;
        while let Some(request) = self.parser.next(self.source.conn.buffered(), true)? {
            let bytes = request.unquoted.unwrap_or(self.source.conn.buffered());
            let words: Vec<Vec<u8>> = request
                .args
                .iter()
                .map(|a| bytes[a.range()].to_vec())
                .collect();
            let consumed = request.consumed;
            self.source.conn.take(consumed);
            self.source.place.offset += consumed as u64;
            self.batch_len += consumed;
            self.take(words)?;
            let full = self.batch.len() >= BATCH_CHANGES || self.batch_len >= BATCH_LEN;
            if full && !self.multi {
                self.apply()?;
            }
        }
        if !self.multi {
            self.apply()?;
        }
        Ok(())
    }

    /// Understands one command of the stream.
    fn take(&mut self, words: Vec<Vec<u8>>) -> anyhow::Result<()> {
        let Some(name) = words.first().map(|w| w.to_ascii_lowercase()) else {
            return Ok(());
        };
        match &name[..] {
            b"ping" => {}
            b"replconf" => self.source.tell()?,
            b"multi" => self.multi = true,
            b"exec" => self.multi = false,
            b"select" => {
                let db = words
                    .get(1)
                    .and_then(|w| std::str::from_utf8(w).ok()?.parse().ok());
                self.source.place.db = db.context("SELECT in the source's stream")?;
                self.know(self.source.place.db)?;
            }
            _ => self.batch.push(Change {
                db: self.source.place.db,
                words,
            }),
        }
        Ok(())
    }

    /// Makes sure that the service has a database, before a transaction relies on it.
    fn know(&mut self, db: u32) -> anyhow::Result<()> {
        if !self.known.contains(&db) {
            self.service
                .ask(&[b"SELECT", db.to_string().as_bytes()])
                .with_context(|| format!("database {db}; see the service's setting `databases`"))?;
            self.known.push(db);
        }
        Ok(())
    }

    /// Applies the batch and keeps the place behind it, as one transaction.
    fn apply(&mut self) -> anyhow::Result<()> {
        self.batch_len = 0;
        let mut batch = std::mem::take(&mut self.batch);
        while !batch.is_empty() {
            let refused = self.transact(&batch)?;
            if refused.is_empty() {
                self.report.changes += batch.len() as u64;
                return Ok(());
            }
            // The service does not know these commands, or their user may not call them.
            let mut at = 0;
            batch.retain(|_| {
                at += 1;
                !refused.contains(&(at - 1))
            });
            if batch.is_empty() {
                self.keep_place()?;
            }
        }
        Ok(())
    }

    /// Tries a transaction; which changes were refused before it began: then nothing was done.
    fn transact(&mut self, batch: &[Change]) -> anyhow::Result<Vec<usize>> {
        self.service.queue(&[b"MULTI"]);
        let (mut db, mut about) = (None, Vec::new());
        for (i, change) in batch.iter().enumerate() {
            if db != Some(change.db) {
                db = Some(change.db);
                self.service
                    .queue(&[b"SELECT", change.db.to_string().as_bytes()]);
                about.push(None);
            }
            let words: Vec<&[u8]> = change.words.iter().map(Vec::as_slice).collect();
            self.service.queue(&words);
            about.push(Some(i));
        }
        self.service.queue(&[b"SELECT", b"0"]);
        self.service
            .queue(&[b"SET", PLACE, self.source.place.text().as_bytes()]);
        about.extend([None, None]);
        self.service.queue(&[b"EXEC"]);
        self.service.send()?;
        let lost = "the service was lost: the same line again goes on where it stopped";
        let mut reply = || match self.service.reply().context(lost)? {
            Value::Error(error) if is_hopeless(&error) => {
                bail!("the service refuses changes: {error}")
            }
            reply => Ok(reply),
        };
        reply()?;
        let mut refused = Vec::new();
        for about in &about {
            if let Value::Error(error) = reply()? {
                let i = about.with_context(|| error.clone())?;
                refused.push(i);
                self.report.skip(batch[i].db, &shown(&batch[i]), &error);
            }
        }
        let done = reply()?;
        if !refused.is_empty() {
            return Ok(refused);
        }
        let results = done
            .as_slice()
            .with_context(|| format!("EXEC was answered {done:?}"))?;
        for (result, about) in results.iter().zip(&about) {
            if let (Some(error), Some(i)) = (result.as_error(), about) {
                self.report.skip(batch[*i].db, &shown(&batch[*i]), error);
            }
        }
        Ok(refused)
    }

    fn keep_place(&mut self) -> anyhow::Result<()> {
        self.service.ask(&[b"SELECT", b"0"])?;
        let text = self.source.place.text();
        self.service.ask(&[b"SET", PLACE, text.as_bytes()])?;
        Ok(())
    }

    fn forget_place(&mut self) -> anyhow::Result<()> {
        // SWAPDB may have taken it elsewhere.
        for db in self.known.clone() {
            self.service.ask(&[b"SELECT", db.to_string().as_bytes()])?;
            self.service.ask(&[b"DEL", PLACE])?;
        }
        Ok(())
    }

    /// Follows until the cut-over is asked for.
    fn follow(&mut self, control: &mut Conn) -> anyhow::Result<()> {
        let mut progress = Progress::new("changes");
        let (mut shown, mut looked) = (0, Instant::now());
        let mut at = history_end(control)?;
        while !self.asked.cut_over.load(Relaxed) {
            self.step()?;
            if looked.elapsed() >= ACK_EVERY {
                looked = Instant::now();
                at = history_end(control)?;
            }
            progress.add(self.report.changes - shown);
            shown = self.report.changes;
            let behind = at.saturating_sub(self.source.place.offset);
            progress.show(&format!("{} bytes behind", grouped(behind)));
        }
        progress.end();
        Ok(())
    }

    /// Follows until all is applied that has happened at the source by now.
    fn catch_up(&mut self, control: &mut Conn) -> anyhow::Result<()> {
        self.hold(control)?;
        let goal = history_end(control)?;
        let began = Instant::now();
        while self.source.place.offset < goal {
            self.hold(control)?;
            ensure!(
                began.elapsed() < CATCH_UP_MAX,
                "the last changes did not arrive from the source"
            );
            self.step()?;
        }
        Ok(())
    }

    /// Pauses the source's writers, again once half of the pause is over.
    fn hold(&mut self, control: &mut Conn) -> anyhow::Result<()> {
        let is_fresh = |paused: Instant| paused.elapsed() < self.pause / 2;
        if self.pause.is_zero() || self.paused.is_some_and(is_fresh) {
            return Ok(());
        }
        self.paused = Some(Instant::now());
        let ms = self.pause.as_millis().to_string();
        control
            .ask(&[b"CLIENT", b"PAUSE", ms.as_bytes(), b"WRITE"])
            .context("the source's writers could not be paused (--pause 0 goes without)")?;
        Ok(())
    }

    /// Leaves nothing behind at the source while its writers are paused, with all of the pause to come for whoever
    /// switches the clients over. A pause that ended meanwhile, in spite of being renewed, does no harm.
    fn settle(&mut self, control: &mut Conn) -> anyhow::Result<()> {
        if self.pause.is_zero() {
            return Ok(());
        }
        for _ in 0..ROUNDS {
            self.paused = None;
            self.hold(control)?;
            if history_end(control)? <= self.source.place.offset {
                return Ok(());
            }
            self.catch_up(control)?;
        }
        bail!("the source goes on changing though its writers are paused")
    }

    /// Compares both sides, anew while changes come between.
    fn compare(&mut self, control: &mut Conn, samples: usize) -> anyhow::Result<Compared> {
        let mut round = 1;
        loop {
            let before = self.report.changes;
            let mut compared = self.compare_once(control, samples)?;
            self.catch_up(control)?;
            compared.moving = self.report.changes != before;
            let equal = compared.differing.is_empty() && compared.databases.iter().all(|d| d.3);
            if equal || !compared.moving {
                return Ok(compared);
            }
            if round == ROUNDS {
                // What differs may differ because it changed in between: nothing is known of it.
                compared.differing.clear();
                return Ok(compared);
            }
            round += 1;
        }
    }

    fn compare_once(&mut self, control: &mut Conn, samples: usize) -> anyhow::Result<Compared> {
        let mut compared = Compared::default();
        let source = control.databases()?;
        let service = self.service.databases()?;
        let total: u64 = source.iter().map(|d| d.1).sum();
        for db in source.iter().chain(&service).map(|d| d.0) {
            if compared.databases.iter().any(|d| d.0 == db) {
                continue;
            }
            let counts = |all: &[(u32, u64, u64)]| {
                all.iter()
                    .find(|d| d.0 == db)
                    .map_or((0, 0), |d| (d.1, d.2))
            };
            let (expected, expected_expiring) = counts(&source);
            let (mut found, expiring) = counts(&service);
            self.service.ask(&[b"SELECT", db.to_string().as_bytes()])?;
            let place = self.service.ask(&[b"EXISTS", PLACE])?;
            found -= place.as_int().unwrap_or(0).max(0) as u64;
            // Each side deletes expired keys in its own time; those that stay are counted exactly.
            let right =
                expected.saturating_sub(expected_expiring) == found.saturating_sub(expiring);
            compared.databases.push((db, expected, found, right));
            let share = (samples as u64 * expected).div_ceil(total.max(1));
            for _ in 0..share.min(expected) {
                self.hold(control)?;
                control.ask(&[b"SELECT", db.to_string().as_bytes()])?;
                let key = control.ask(&[b"RANDOMKEY"])?;
                let Some(key) = key.as_bytes() else { break };
                let Some(sample) = verify::read(control, db, key)? else {
                    continue;
                };
                compared.samples += 1;
                if let Some(how) = verify::difference(&mut self.service, &sample)? {
                    compared.differing.push((db, key.to_vec(), how));
                }
                if compared.samples.is_multiple_of(100) {
                    // The source is not to think that this is gone.
                    self.step()?;
                }
            }
        }
        Ok(compared)
    }
}

/// A change, for the report: its name and key.
fn shown(change: &Change) -> Vec<u8> {
    change
        .words
        .iter()
        .take(2)
        .cloned()
        .collect::<Vec<_>>()
        .join(&b' ')
}

/// Where the source's history ends now.
fn history_end(control: &mut Conn) -> anyhow::Result<u64> {
    let offset = control.info("replication", "master_repl_offset")?;
    let offset = offset.context("the source does not say how far its history goes")?;
    Ok(offset.parse()?)
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_place_comes_back() {
        let place = Place {
            id: "0123abcd".into(),
            offset: 77,
            db: 3,
        };
        assert_eq!(Place::parse(place.text().as_bytes()).unwrap(), place);
        assert!(Place::parse(b"something else, of the user").is_err());
    }
}
