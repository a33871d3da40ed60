//! `pontoon admin`: an operator looks at a cluster and changes it, over mutual TLS.
//!
//! - Each command does one thing, once. What is refused is shown with its reason; nothing is tried again silently.
//! - A change goes to the leader, which is found by asking the nodes. Where none is known, the answers of all are shown.
//!
//! `target` finds nodes and the leader; `look` shows; `change` changes; `talk` runs Redis's commands;
//! `recover` works on a stopped node's disk.

mod change;
mod look;
mod recover;
mod talk;
mod target;

use clap::Subcommand;

use super::{Answer, Output};
pub use change::LAG_MAX;
pub use look::table;
use target::Place;

/// Looks at a cluster and changes it, over mutual TLS with an operator's certificate.
///
/// For a cluster of `pontoon dev`, --dir is enough. Otherwise give --addr, --cluster-id, --ca, --cert and --key.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pontoon admin status --dir ./cluster
  pontoon admin transfer --dir ./cluster --to 2
  pontoon admin members --addr db1:7379 --cluster-id c-1 --ca ca.pem --cert admin.pem --key admin.key --output json")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    place: Place,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t, global = true)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Shows how every node is; exit code 3 where no primary serves
    #[command(after_help = "Example:\n  pontoon admin status --dir ./cluster --output json")]
    Status,
    /// Lists the members as the leader knows them, with how far each is
    #[command(after_help = "Example:\n  pontoon admin members --dir ./cluster")]
    Members,
    /// Adds a running node as a learner: it gets all data and has no vote
    #[command(
        after_help = "Example:\n  pontoon admin add --dir ./cluster --id 4 --peer-addr db4:7379 --client-addr db4:6379"
    )]
    Add(change::NewNode),
    /// Makes a learner a voter; refused until it has caught up
    #[command(after_help = "Example:\n  pontoon admin promote --dir ./cluster --id 4")]
    Promote(change::Promote),
    /// Removes a member; its id is never used again
    #[command(after_help = "Example:\n  pontoon admin remove --dir ./cluster --id 2")]
    Remove(change::One),
    /// Hands leadership over to another voter
    #[command(after_help = "Example:\n  pontoon admin transfer --dir ./cluster --to 3")]
    Transfer(change::Transfer),
    /// Adds a node, waits until it has caught up, promotes it, and removes another
    #[command(
        after_help = "Example:\n  pontoon admin replace --dir ./cluster --old 2 --id 4 \\\n      --peer-addr db4:7379 --client-addr db4:6379"
    )]
    Replace(change::Replace),
    /// Compares the data of all data nodes at one applied index; exit code 3 where they differ
    #[command(after_help = "Example:\n  pontoon admin digest --dir ./cluster")]
    Digest(look::Digest),
    /// Takes a snapshot at a node
    #[command(after_help = "Example:\n  pontoon admin snapshot --dir ./cluster --node 2")]
    Snapshot(look::Which),
    /// Shows the state of every node's log, or of one
    #[command(after_help = "Example:\n  pontoon admin log --dir ./cluster")]
    Log(look::Which),
    /// Runs a command at the primary, or at a node, as an operator: policy refuses it nothing
    ///
    /// What is set by CONFIG SET is the service's: every node takes it, and it stays after a restart and a failover. Besides
    /// Redis's parameters there are allow-list (addresses and CIDR blocks that may connect), restricted-commands,
    /// lua-scripting, functions and redirect.
    #[command(
        after_help = "Examples:\n  pontoon admin command --dir ./cluster CONFIG SET allow-list '10.0.0.0/8 192.168.1.7'\n  pontoon admin command --dir ./cluster CLIENT LIST"
    )]
    Command(talk::Command),
    /// Makes one stopped survivor a new cluster of its own, after a majority was lost for good
    ///
    /// Without --confirm it changes nothing and prints what would be given up.
    #[command(
        after_help = "Example:\n  pontoon admin recover --config /etc/pontoon/node.toml\n  pontoon admin recover --config /etc/pontoon/node.toml --confirm node-2@7-1234"
    )]
    Recover(recover::Recover),
}

/// Carries it out.
pub fn run(args: Args) -> anyhow::Result<Answer> {
    super::runtime(1)?.block_on(async {
        let output = args.output;
        if let Action::Recover(recover) = &args.action {
            return recover::run(recover, args.place.dir(), output);
        }
        let cluster = args.place.open()?;
        match args.action {
            Action::Status => look::status(&cluster, output).await,
            Action::Members => look::members(&cluster, output).await,
            Action::Digest(digest) => look::digest(&cluster, &digest, output).await,
            Action::Snapshot(which) => look::snapshot(&cluster, &which, output).await,
            Action::Log(which) => look::log(&cluster, &which, output).await,
            Action::Add(node) => change::add(&cluster, node, output).await,
            Action::Promote(promote) => change::promote(&cluster, &promote, output).await,
            Action::Remove(one) => change::remove(&cluster, one.id, output).await,
            Action::Transfer(transfer) => change::transfer(&cluster, &transfer, output).await,
            Action::Replace(replace) => change::replace(&cluster, replace, output).await,
            Action::Command(command) => talk::command(&cluster, &command, output).await,
            Action::Recover(_) => Ok(Answer::No),
        }
    })
}
