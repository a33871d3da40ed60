//! The command line: `pontoon node`, `dev`, `admin`, `gateway`, `console`, `service`, `backup`, `bench`, `import`, `export`,
//! `certs`, `health`, `doctor`, `completion`, `version`.
//!
//! - What a command answers goes to standard output, everything else to standard error.
//! - Exit codes: 0 done; 1 it could not be done, with the reason; 2 the command line was wrong; 3 it was done and the
//!   answer is no (digests differ, no primary serves, nothing runs).
//! - Nothing is retried silently.

mod admin;
mod backup;
mod bench;
mod certs;
mod completion;
mod console;
mod dev;
mod doctor;
mod export;
mod gateway;
mod health;
mod import;
mod node;
mod progress;
mod redis;
mod service;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Redis 7.2 over TLS, on a Raft log: nodes, clusters on this machine, and their operation.
#[derive(Debug, Parser)]
#[command(name = "pontoon", version, about, max_term_width = 100, after_help = EXAMPLES, arg_required_else_help = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  pontoon dev --plan premium --dir ./cluster --port 6379    three nodes on this machine
  pontoon node --config node.toml                           one node
  pontoon admin status --dir ./cluster                      how they are
  pontoon console --dir ./console                           services by pages and an API
  pontoon node --print-config                               all that can be configured

Logs: PONTOON_LOG=debug, or a filter such as warn,pontoon::raft=debug.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done and the answer is no.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs one node until it is told to stop
    Node(node::Args),
    /// Runs a whole cluster on this machine
    Dev(dev::Args),
    /// Looks at a cluster and changes it, as its operator
    Admin(admin::Args),
    /// Serves a cluster's stable address: forwards connections to the primary
    Gateway(gateway::Args),
    /// Runs the console: creates services, watches them, replaces lost nodes
    Console(console::Args),
    /// Creates, shows and changes services by a console's API
    Service(service::Args),
    /// Prints a script that completes the command line in a shell
    Completion(completion::Args),
    /// Backs a cluster up into an encrypted archive, and makes a new one from it
    Backup(backup::Args),
    /// Measures Pontoon against Redis on this machine
    Bench(bench::Args),
    /// Carries an RDB file or a running Redis into a service
    Import(import::Args),
    /// Writes a service's data to an RDB file
    Export(export::Args),
    /// Makes a CA, certificates and a password for a cluster
    Certs(certs::Args),
    /// Asks a listener whether it answers: a health check
    Health(health::Args),
    /// Finds what is wrong with this host, and says what mends it
    Doctor(doctor::Args),
    /// Shows the version
    Version {
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// For people
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// How log lines are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

impl From<LogFormat> for crate::telemetry::Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

/// What a command that was carried out says to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Exit code 0.
    Yes,
    /// Exit code 3.
    No,
}

/// Reads the command line, does what it says, and answers the exit code.
pub fn main() -> ExitCode {
    let done = match Line::parse().command {
        Command::Node(args) => node::run(args),
        Command::Dev(args) => dev::run(args),
        Command::Admin(args) => admin::run(args),
        Command::Gateway(args) => gateway::run(args),
        Command::Console(args) => console::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Service(args) => service::run(args),
        Command::Completion(args) => Ok(completion::run(&args)),
        Command::Bench(args) => bench::run(args),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Certs(args) => certs::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Version { output } => {
            print(
                output,
                || format!("pontoon {VERSION}"),
                || serde_json::json!({ "version": VERSION }),
            );
            Ok(Answer::Yes)
        }
    };
    match done {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(3),
        Err(error) => {
            eprintln!("pontoon: {error:#}");
            ExitCode::FAILURE
        }
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Prints one answer. A reader that went away is no error.
fn print(output: Output, text: impl FnOnce() -> String, json: impl FnOnce() -> serde_json::Value) {
    use std::io::Write;
    let answer = match output {
        Output::Text => text(),
        Output::Json => json().to_string(),
    };
    let _ = writeln!(std::io::stdout(), "{}", answer.trim_end());
}

/// A runtime with `threads` threads.
fn runtime(threads: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_stack_size(crate::base::limits::THREAD_STACK_LEN)
        .enable_all()
        .build()?)
}

/// Ready at SIGTERM, SIGINT (Ctrl-C), or SIGHUP (the terminal is gone) unless this process was told to ignore it.
async fn told_to_stop() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let hangup_matters = !ignores_hangup();
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let hangup = async {
        match hangup_matters.then(|| signal(SignalKind::hangup())) {
            Some(Ok(mut hangup)) => drop(hangup.recv().await),
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = term.recv() => tracing::info!("told to stop (SIGTERM)"),
        _ = int.recv() => tracing::info!("told to stop (SIGINT)"),
        () = hangup => tracing::info!("told to stop (SIGHUP)"),
    }
    Ok(())
}

/// Whether SIGHUP was set to be ignored before this process began, as nohup does.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok())
        .is_some_and(|m| m & 1 != 0)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Line::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command) {
            for sub in command
                .get_subcommands()
                .filter(|s| !["help", "version"].contains(&s.get_name()))
            {
                let help = sub.clone().render_long_help().to_string();
                assert!(
                    help.contains("Example"),
                    "{} has no example",
                    sub.get_name()
                );
                check(sub);
            }
        }
        check(&Line::command());
    }
}
