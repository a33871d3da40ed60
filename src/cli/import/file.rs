//! From a file, or whatever else holds one: all its keys into the service.

use std::fs::File;
use std::io::{BufReader, Read};

use anyhow::Context;

use super::loader::Loader;
use super::report::Report;
use super::verify::{self, Samples};
use super::{Args, make_room};
use crate::cli::progress::{Progress, grouped};
use crate::cli::redis::Conn;
use crate::data::Limits;
use crate::rdb::{Reader, Record};

/// Bytes between disk and reader.
const BUFFER: usize = 1024 * 1024;

/// Carries a file over.
pub fn run(args: &Args, mut service: Conn) -> anyhow::Result<Report> {
    let file = File::open(&args.source).with_context(|| args.source.clone())?;
    let len = file.metadata()?.len();
    let mut reader = Reader::new(BufReader::with_capacity(BUFFER, file), Limits::default())
        .with_context(|| args.source.clone())?;
    make_room(args, &mut service)?;
    let mut report = Report::new(args.source.clone());
    let mut samples = Samples::new(args.samples);
    let mut loader = Loader::new(service);
    load(&mut reader, &mut loader, &mut report, &mut samples, len)?;
    let merged = args.merge;
    verify::written(&mut loader.service, samples.take(), merged, &mut report)?;
    Ok(report)
}

/// Writes all that a reader gives into the service. `len`: how long the whole is, 0 where unknown.
///
/// # Errors
/// When what is read is damaged, or the service is lost. What was written until then stays.
pub fn load<R: Read>(
    reader: &mut Reader<R>,
    loader: &mut Loader,
    report: &mut Report,
    samples: &mut Samples,
    len: u64,
) -> anyhow::Result<()> {
    let mut progress = Progress::new("keys");
    let now = verify::now_ms();
    let cut = |reader: &Reader<R>| format!("after {} bytes", reader.taken());
    loop {
        let record = reader.next_record().with_context(|| cut(reader))?;
        match record {
            None => break,
            Some(Record::Key(key)) if key.expire_at != 0 && key.expire_at <= now => {
                report.expired += 1;
            }
            Some(Record::Key(key)) => {
                loader.put(&key, report)?;
                *report.keys.entry(key.db).or_default() += 1;
                *report.expiring.entry(key.db).or_default() += u64::from(key.expire_at != 0);
                *report
                    .types
                    .entry(key.value.view().type_name())
                    .or_default() += 1;
                samples.offer(&key);
                progress.add(1);
                let mut at = format!("{} bytes", grouped(reader.taken()));
                if let Some(percent) = (reader.taken() * 100).checked_div(len) {
                    at += &format!(" of {} ({percent} %)", grouped(len));
                }
                progress.show(&at);
            }
            Some(Record::Skipped { db, key, why }) => report.skip(db, &key, &why),
            Some(Record::Function(code)) => {
                report.functions += 1;
                loader.function(&code, report)?;
            }
            Some(Record::ModuleAux(name)) => {
                report.leave_out(&format!("data of the module {name}"))
            }
            Some(Record::About { .. } | Record::Size { .. }) => {}
        }
    }
    loader.finish(report)?;
    progress.end();
    Ok(())
}
