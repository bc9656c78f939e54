//! `palm completions`: what a shell needs to complete a command line.

use clap_complete::Shell;

use crate::{Outcome, args, output};

const EXAMPLES: &str = "\
Examples:
  palm completions bash > ~/.local/share/bash-completion/completions/palm
  palm completions zsh > ~/.zfunc/_palm
  palm completions fish > ~/.config/fish/completions/palm.fish";

/// Flags of `palm completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

/// Prints the completions.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut args::definition(), "palm", &mut text);
    output::data(&text)?;
    Ok(Outcome::Done)
}
