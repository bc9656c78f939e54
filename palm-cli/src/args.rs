//! The command line: parse, then resolve.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::{
    audit, bench, cache, cluster, completions, demo, down, launch, man, master, nodes, registry, runner, tokens, up,
    users, worker,
};
use crate::config::{self, ConfigError};
use crate::logging::{Filter, Format};

/// Flags whose variable has no command in its name: the same for every command.
const SHARED: [&str; 4] = ["db", "config", "log-format", "log-level"];

const EXAMPLES: &str = "\
Start here:
  palm demo                  a whole job inside one process, in a few seconds
  palm up cluster.toml       all components of a cluster file, on this machine

A cluster by hand (each in its own terminal):
  palm master --name test
  palm worker --exec 'upper=tr a-z A-Z'
  palm launch --server test --function upper --lines words.txt

Every flag can also be set by a variable, PALM_<COMMAND>_<FLAG> (such as
PALM_MASTER_MEMORY=256MiB; PALM_DB, PALM_CONFIG, PALM_LOG_LEVEL and
PALM_LOG_FORMAT are for all commands; PALM_REGISTRY, PALM_TOKEN and
PALM_TOKEN_FILE for those that ask a registry), or in a TOML file (--config) with a
table for each command, and at its top db, log-level and log-format for all:
  log-level = \"debug\"
  [master]
  name = \"test\"
  memory = \"256MiB\"
  [worker.exec]
  upper = \"tr a-z A-Z\"
A flag beats a variable, a variable beats the file.

A TIME is a number with a unit (250ms, 10s, 5m; seconds without one), a SIZE too
(64KiB, 1MiB, 10MB; bytes without one). A flag without a value is set by true or
1 in a variable; one that may have several values takes each line of it for one.

Exit status: 0 all done; 1 work failed or is missing; 2 wrong use.";

/// PALM: clusters of message-processing components over ZeroMQ.
#[derive(Debug, Parser)]
#[command(name = "palm", version, after_help = EXAMPLES, disable_help_subcommand = true, disable_help_flag = true, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "General options")]
pub(crate) struct Global {
    /// TOML file with settings, a table for each command (see `palm --help`)
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// How log lines are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text, global = true)]
    pub(crate) log_format: Format,
    /// Least level that is logged: off, error, warn, info, debug, trace; or for each module: `info,palm_proto=trace`
    /// [default: info for master, worker, registry and runner, else warn]
    #[arg(long, value_name = "LEVEL", global = true)]
    pub(crate) log_level: Option<Filter>,
    /// Print help
    #[arg(long, short, global = true, action = clap::ArgAction::HelpShort)]
    help: Option<bool>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a master: takes clients' messages, spreads them over workers, sends the results home
    Master(master::Args),
    /// Run a worker: takes messages from a master and runs programs, or built-in functions, on them
    Worker(worker::Args),
    /// Send messages to a server and print the results
    Launch(launch::Args),
    /// Read and write the key-value store of a server
    Cache(cache::Args),
    /// Run a registry: keeps the files of clusters, and tells the nodes of each what to run
    Registry(registry::Args),
    /// Run on this node what a registry wants of it, and send the output there
    Runner(runner::Args),
    /// Run all components of a cluster file on this machine
    Up(up::Args),
    /// Stop what `palm up` has started
    Down(down::Args),
    /// Make, watch and change the clusters of a registry
    Cluster(cluster::Args),
    /// List the nodes of a registry's clusters, or remove one
    Nodes(nodes::Args),
    /// List, add and remove the users of a registry
    Users(users::Args),
    /// List, make and revoke tokens, by which a registry knows who asks
    Tokens(tokens::Args),
    /// Show what was done at a registry, by whom and from where; for admins
    Audit(audit::Args),
    /// Show a whole job: a master, two workers and a launcher inside this process
    Demo(demo::Args),
    /// Measure rate and latency: load generator, echo worker, or everything in one run
    Bench(bench::Args),
    /// Print the completions of a shell
    Completions(completions::Args),
    /// Print a manual page, or write them all into a folder
    Man(man::Args),
}

impl Command {
    /// Whether it runs until it is stopped, as the program of a container does.
    pub(crate) const fn lives_long(&self) -> bool {
        matches!(self, Self::Master(_) | Self::Worker(_) | Self::Registry(_) | Self::Runner(_) | Self::Up(_))
    }
}

/// Why there is nothing to run.
#[derive(Debug)]
pub(crate) enum ArgsError {
    /// clap's own: wrong use, but also a request for help or version.
    Clap(clap::Error),
    /// The file of settings.
    Config(ConfigError),
}

/// The whole definition, with the environment variables.
pub(crate) fn definition() -> clap::Command {
    config::with_environment(Cli::command(), &SHARED)
}

/// Reads a command line, with the environment and the file of settings under it.
///
/// # Errors
/// What clap says to print, or what is wrong with the file.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Cli, ArgsError> {
    let arguments = &asked_for_help(arguments);
    let command = config::with_variables_beside(definition(), arguments);
    let command = config::with_file(command, arguments, &SHARED).map_err(ArgsError::Config)?;
    let matches = command.try_get_matches_from(arguments).map_err(ArgsError::Clap)?;
    Cli::from_arg_matches(&matches).map_err(ArgsError::Clap)
}

/// `palm help COMMAND` means `palm COMMAND --help`. clap's own command of that name prints another help.
fn asked_for_help(arguments: &[OsString]) -> Vec<OsString> {
    match arguments {
        [palm, help, commands @ ..] if help == "help" => {
            [std::slice::from_ref(palm), commands, &["--help".into()]].concat()
        }
        arguments => arguments.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        definition().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable_of_its_own() {
        fn walk(command: &clap::Command, path: &str, seen: &mut std::collections::BTreeMap<String, String>) {
            for arg in command.get_arguments().filter(|arg| arg.get_env().is_some() && !arg.is_global_set()) {
                let variable = arg.get_env().unwrap().to_string_lossy().into_owned();
                let flag = format!("{path} --{}", arg.get_long().unwrap());
                if !SHARED.contains(&arg.get_long().unwrap()) {
                    assert_eq!(seen.insert(variable.clone(), flag), None, "{variable}");
                }
            }
            for child in command.get_subcommands() {
                walk(child, &format!("{path} {}", child.get_name()), seen);
            }
        }
        let mut seen = std::collections::BTreeMap::new();
        walk(&definition(), "palm", &mut seen);
        assert_eq!(seen["PALM_MASTER_MAX_MESSAGE"], "palm master --max-message");
    }
}
