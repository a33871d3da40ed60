//! `pontoon node`: one node, from its configuration to its end.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, anyhow};
use clap::{Arg, ArgMatches, Command, FromArgMatches};

use super::{Answer, LogFormat, told_to_stop};
use crate::base::limits;
use crate::{config, node, telemetry};

/// Runs one node until SIGTERM or SIGINT.
///
/// Every key of the configuration can be given in the file, as a variable (PONTOON_<KEY>) and as a flag;
/// flags win over variables, variables over the file. `--print-config` prints a documented file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon node --print-config > node.toml       a documented configuration to start from
  pontoon node --config node.toml
  PONTOON_NODE_ID=2 pontoon node --config node.toml --client-addr 10.0.0.2:6379")]
pub struct Args {
    /// The configuration, TOML
    #[arg(long, value_name = "FILE", env = "PONTOON_CONFIG")]
    config: Option<PathBuf>,
    /// Prints a configuration with every key, its meaning and its default, and ends
    #[arg(long)]
    print_config: bool,
    /// Checks the configuration and ends
    #[arg(long)]
    check: bool,
    /// How log lines are written
    #[arg(long, value_enum, default_value_t, env = "PONTOON_LOG_FORMAT")]
    log_format: LogFormat,
    /// Writes the log into this file instead of standard error; it is kept to a bounded size
    #[arg(long, value_name = "FILE", env = "PONTOON_LOG_FILE")]
    log_file: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

/// The flags that override keys: one for each key, made from `config::KEYS`.
#[derive(Debug, Default)]
pub struct Overrides(pub Vec<(String, String)>);

/// The flags' names; clap wants them to live as long as the process.
fn flags() -> &'static [String] {
    static FLAGS: OnceLock<Vec<String>> = OnceLock::new();
    FLAGS.get_or_init(|| config::KEYS.iter().map(config::Key::flag).collect())
}

impl clap::Args for Overrides {
    fn augment_args(mut command: Command) -> Command {
        for (key, flag) in config::KEYS.iter().zip(flags()) {
            let value = match key.kind {
                config::Kind::Number => "N",
                config::Kind::Switch => "true|false",
                config::Kind::Texts => "A,B,...",
                config::Kind::Tables => "TOML",
                config::Kind::Text | config::Kind::Hidden => "VALUE",
            };
            let doc: Vec<&str> = key.doc.iter().map(|l| l.trim()).collect();
            command = command.arg(
                Arg::new(key.name)
                    .long(flag.as_str())
                    .value_name(value)
                    .help(doc[0])
                    .long_help(doc.join("\n"))
                    .help_heading("Keys of the configuration")
                    .hide_short_help(true)
                    .allow_hyphen_values(true),
            );
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Overrides {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |k: &config::Key| {
            Some((
                k.name.to_string(),
                matches.get_one::<String>(k.name)?.clone(),
            ))
        };
        Ok(Overrides(config::KEYS.iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Carries it out.
pub fn run(args: Args) -> anyhow::Result<Answer> {
    if args.print_config {
        super::print(super::Output::Text, config::documented, || {
            serde_json::Value::Null
        });
        return Ok(Answer::Yes);
    }
    let variables = config::Node::variables();
    if args.config.is_none() && variables.is_empty() && args.overrides.0.is_empty() {
        return Err(anyhow!(
            "give --config FILE; `pontoon node --print-config` prints one to start from"
        ));
    }
    let config = config::Node::load(args.config.as_deref(), &variables, &args.overrides.0)?;
    if args.check {
        eprintln!("the configuration of node {} is good", config.node_id);
        return Ok(Answer::Yes);
    }
    telemetry::start(args.log_format.into(), "info", args.log_file.as_deref())
        .map_err(|e| anyhow!(e))?;
    let files = config.maxclients() + limits::CLIENTS_RESERVED + limits::FILES_RESERVED;
    config::ensure_open_files(
        files,
        &format!("{} clients and its own files", config.maxclients()),
    )
    .map_err(|e| anyhow!(e))
    .context("this node cannot keep what its plan promises")?;
    if let Some(addr) = config.insecure_plaintext {
        tracing::warn!(%addr, "PLAINTEXT: this node also listens WITHOUT TLS; never use that for more than development");
    }
    tracing::info!(
        id = config.node_id,
        cluster = config.cluster_id,
        version = super::VERSION,
        "the node starts"
    );
    let id = config.node_id;
    let ended = super::runtime(config.raft_threads())?.block_on(node::run(config, async {
        if let Err(error) = told_to_stop().await {
            tracing::error!(%error, "signals cannot be received: this node stops");
        }
    }));
    match &ended {
        Ok(()) => tracing::info!(id, "the node has stopped"),
        Err(error) => tracing::error!(id, "the node has failed: {error:#}"),
    }
    ended.map(|()| Answer::Yes)
}
