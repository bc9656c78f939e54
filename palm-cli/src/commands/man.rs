//! `palm man`: manual pages.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::{Outcome, args, output, wrong_use};

const EXAMPLES: &str = "\
Examples:
  palm man | man -l -                  read the page of palm
  palm man launch | man -l -           read the page of palm launch
  palm man --dir ~/.local/share/man/man1";

/// Flags of `palm man`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The command whose page is printed; without one, the page of palm itself
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// Prints the page, or writes them all.
///
/// # Errors
/// If there is no such command, or the folder or standard output cannot be written.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut palm = args::definition();
    palm.build();
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
        clap_mangen::generate_to(palm, dir).with_context(|| format!("cannot write pages into {}", dir.display()))?;
        return Ok(Outcome::Done);
    }
    let mut command = &palm;
    for name in &args.command {
        command = command
            .find_subcommand(name)
            .ok_or_else(|| wrong_use(format!("there is no command `{}`; see palm --help", args.command.join(" "))))?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page).context("cannot make the page")?;
    output::data(&page)?;
    Ok(Outcome::Done)
}
