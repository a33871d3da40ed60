//! `pontoon completion`: a script that completes this program's command line in a shell.

use clap::CommandFactory;

use super::{Answer, Line};

/// Prints a script that completes this program's command line in a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  source <(pontoon completion bash)
  pontoon completion fish > ~/.config/fish/completions/pontoon.fish")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Carries it out.
pub fn run(args: &Args) -> Answer {
    clap_complete::generate(
        args.shell,
        &mut Line::command(),
        "pontoon",
        &mut std::io::stdout(),
    );
    Answer::Yes
}
