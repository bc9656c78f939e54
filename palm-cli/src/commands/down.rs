//! `palm down`: stops what `palm up` has started.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::args::Global;
use crate::up::{self, Claim};
use crate::{Outcome, output, values};

const EXAMPLES: &str = "\
Examples:
  palm down cluster.toml
  palm down                            that of palm.toml, or palm.ini, here

Exit status: 0 nothing of it runs any more; 1 it does not end; 2 wrong use.";

/// Flags of `palm down`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The cluster file that is up [default: palm.toml or palm.ini]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// How long all components together may take to end
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = values::duration_above_zero)]
    pub(crate) timeout: Duration,
}

/// Asks whoever runs it to stop, and waits until that is done.
///
/// # Errors
/// If it cannot be found out whether it is up.
pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Outcome> {
    global.log_aside("down")?;
    let file = up::file_or_its_place(args.file.as_deref())?;
    let deadline = Instant::now() + args.timeout;
    let mut is_asked = false;
    while Claim::is_taken(&file)? {
        // What is just starting has not written its number down yet.
        if !is_asked && let Some(running) = Claim::find(&file)? {
            is_asked = running.stop().with_context(|| format!("cannot stop process {}", running.pid))?;
            // Unless it has ended just now.
            if !is_asked && Claim::find(&file)?.as_ref() == Some(&running) {
                anyhow::bail!(
                    "{} is up, but not by a process that is seen from here ({}): end it where it was started",
                    file.display(),
                    running.pid
                );
            }
        }
        if Instant::now() >= deadline {
            output::error(&format_args!("{} is still up after {:?}", file.display(), args.timeout));
            return Ok(Outcome::Failed);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    if !is_asked {
        output::say(&format_args!("{} is not up", file.display()));
    }
    Ok(Outcome::Done)
}
