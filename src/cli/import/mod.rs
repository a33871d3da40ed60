//! `pontoon import`: data of a Redis into a service, from an RDB file or from a running server.
//!
//! `loader` writes keys into the service, `file` reads a file, `live` follows a running server as a replica does,
//! `verify` compares, `report` says what came of it.
//!
//! **Invariants.** Nothing that was not carried over is passed over in silence: it is in the report, and the exit
//! code is 3. A service that holds data is left alone unless told otherwise.

mod file;
mod live;
mod loader;
mod report;
mod verify;

use std::path::PathBuf;

use anyhow::{bail, ensure};

use super::redis::{Conn, Service, Uri};
use super::{Answer, Output};

/// Carries the data of a Redis into a service: an RDB file, or a running Redis 4 or later.
///
/// A running Redis is followed as by a replica: first all of its data, then every change. With --follow it is
/// followed until you ask for the cut-over (Enter, or SIGUSR1): then the source's writers are paused, the rest is
/// carried over and both sides are compared; point the clients to the service now. Without --follow the import ends
/// when it has caught up once. If it is interrupted while it follows, run the same line again: it goes on where it
/// stopped, if the source still has what happened since. The service keeps that place in the key `pontoon:import`
/// of database 0, which is deleted at the end.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon import dump.rdb --dir ./cluster
  pontoon import dump.rdb --service rediss://default:PASSWORD@db:6379 --ca ca.pem --output json
  pontoon import redis://:PASSWORD@old:6379 --follow --dir ./cluster

Exit codes: 0 done and compared; 1 failed; 3 done, but something was skipped or differs (see the report).")]
pub struct Args {
    /// An RDB file, or redis://[user:password@]host:port (rediss:// for TLS)
    #[arg(env = "PONTOON_IMPORT_SOURCE", hide_env_values = true)]
    source: String,
    #[command(flatten)]
    service: Service,
    /// Empty the service first
    #[arg(long, conflicts_with = "merge")]
    flush: bool,
    /// Keep what the service holds; keys of the same name are replaced
    #[arg(long)]
    merge: bool,
    /// Follow a running Redis until the cut-over is asked for
    #[arg(long)]
    follow: bool,
    /// How long the source's writers are paused at the cut-over, seconds; 0: not at all
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pause: u32,
    /// The CA of a source that speaks TLS, PEM
    #[arg(long, value_name = "FILE")]
    source_ca: Option<PathBuf>,
    /// Values compared one by one at the end
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    samples: usize,
    /// How to print the report
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Carries it out.
pub fn run(args: &Args) -> anyhow::Result<Answer> {
    let service = args.service.open()?;
    let is_uri = args.source.starts_with("redis://") || args.source.starts_with("rediss://");
    let report = if is_uri {
        live::run(args, &Uri::parse(&args.source)?, service)?
    } else {
        ensure!(
            !args.follow,
            "--follow needs a running Redis: redis://host:port"
        );
        file::run(args, service)?
    };
    report.print(args.output);
    Ok(if report.is_clean() {
        Answer::Yes
    } else {
        Answer::No
    })
}

/// Makes sure that the service holds nothing, unless the options say otherwise.
fn make_room(args: &Args, service: &mut Conn) -> anyhow::Result<()> {
    if args.flush {
        service.ask(&[b"FLUSHALL"])?;
        return Ok(());
    }
    if args.merge {
        return Ok(());
    }
    if let Some((db, keys, _)) = service.databases()?.first() {
        bail!(
            "the service holds data already (database {db}: {keys} keys): --flush empties it, --merge keeps what is there"
        );
    }
    Ok(())
}
