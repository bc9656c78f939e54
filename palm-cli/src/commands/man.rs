//! `palm man`: manual pages.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use palm_registry::private;

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
        write_all(&palm, dir)?;
        return Ok(Outcome::Done);
    }
    let mut command = &palm;
    for name in &args.command {
        command = command
            .find_subcommand(name)
            .ok_or_else(|| wrong_use(format!("there is no command `{}`; see palm --help", args.command.join(" "))))?;
    }
    output::data(page(command)?.as_bytes())?;
    Ok(Outcome::Done)
}

/// Writes the page of a command, and those of the commands in it.
fn write_all(command: &clap::Command, dir: &Path) -> anyhow::Result<()> {
    for command in command.get_subcommands() {
        write_all(command, dir)?;
    }
    let path = dir.join(format!("{}.1", full_name(command)));
    private::write_public(&path, page(command)?.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// The page of a command. What stands below the flags in its help is examples, whereas clap knows neither what it is nor the
/// title of a manual.
fn page(command: &clap::Command) -> anyhow::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page).context("cannot make the page")?;
    let page = String::from_utf8(page).context("the page is not UTF-8")?;
    let title = format!(".TH {} 1 \"\" \"palm {}\" PALM", full_name(command), env!("CARGO_PKG_VERSION"));
    let line = |line| match line {
        ".SH EXTRA" => ".SH EXAMPLES\n".to_owned(),
        "Examples:" => String::new(),
        line if line.starts_with(".TH ") => format!("{title}\n"),
        line => format!("{line}\n"),
    };
    Ok(page.lines().map(line).collect())
}

/// Such as `palm-cache-get`.
fn full_name(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}
