//! Logs: lines for people, or JSON for machines, on standard error or in a file of bounded size.
//!
//! - Colour only where a terminal reads it. JSON is one object a line.
//! - The level is `PONTOON_LOG`, a filter such as `info` or `warn,pontoon::raft=debug`.
//! - Standard output is left to what a command answers.

pub mod file;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::base::limits;

/// The variable that holds the filter.
pub const FILTER: &str = "PONTOON_LOG";

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// A line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging for this process: to `into`, or to standard error; at `level` where `PONTOON_LOG` is not set. Only
/// the first call has an effect.
///
/// # Errors
/// A text that says what is wrong with the filter or the file.
pub fn start(format: Format, level: &str, into: Option<&Path>) -> Result<(), String> {
    let text = std::env::var(FILTER).ok().filter(|t| !t.trim().is_empty());
    let filter = EnvFilter::try_new(text.as_deref().unwrap_or(level)).map_err(|e| {
        format!(
            "{FILTER}={} is not a filter ({e}); give for example info or warn,pontoon::raft=debug",
            text.as_deref().unwrap_or(level)
        )
    })?;
    let colour = into.is_none() && std::io::stderr().is_terminal();
    let writer = match into {
        None => BoxMakeWriter::new(std::io::stderr),
        Some(path) => {
            let file = file::Rotating::open(path, limits::LOG_FILE_LEN_MAX)
                .map_err(|e| format!("the log file {} cannot be opened: {e}", path.display()))?;
            BoxMakeWriter::new(Mutex::new(file))
        }
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    // A second start, as tests do, keeps the first.
    let _ = match format {
        Format::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .try_init(),
        Format::Text => builder.with_ansi(colour).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, "a thread panicked");
        // Where logs go to a file, whoever started this process still learns why it ended.
        let _ = writeln!(std::io::stderr(), "{panic}");
    }));
    Ok(())
}
