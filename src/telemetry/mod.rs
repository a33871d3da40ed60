//! Logs: lines for people, or JSON for machines, on standard error.
//!
//! - Colour only where a terminal reads it. JSON is one object a line.
//! - The level is `PONTOON_LOG`, a filter such as `info` or `warn,pontoon::raft=debug`; `info` without it.
//! - Standard output is left to what a command answers.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

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

/// Starts logging for this process, with `level` where `PONTOON_LOG` is not set. Only the first call has an effect.
///
/// # Errors
/// A text that says what is wrong with the filter.
pub fn start(format: Format, level: &str) -> Result<(), String> {
    let filter = match std::env::var(FILTER) {
        Ok(text) if !text.trim().is_empty() => {
            EnvFilter::try_new(&text).map_err(|e| format!("{FILTER}={text:?} is not a filter ({e}); give for example info or warn,pontoon::raft=debug"))?
        }
        _ => EnvFilter::try_new(level).map_err(|e| format!("log level {level:?}: {e}"))?,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start, as tests do, keeps the first.
    let _ = match format {
        Format::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .try_init(),
        Format::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
    };
    Ok(())
}
