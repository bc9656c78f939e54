//! Command lines of components: the flags by which a registry's runner, or a person, tells a program where its sockets are
//! (`docs/components.md`). A group for each role, for programs that parse theirs with clap: with the feature `clap`.

use crate::{Client, ClientBuilder, MasterConfig, Worker, WorkerBuilder};

/// Where a component's sockets are, unless it is told.
const CACHE: &str = "tcp://127.0.0.1:5559";

/// Flags of a master: `--name`, `--pull`, `--pub`, `--wpush`, `--wpull`, `--db`.
///
/// # Examples
/// ```
/// use clap::Parser as _;
/// use palm_transport_zmq::args::MasterArgs;
///
/// #[derive(clap::Parser)]
/// struct Cli {
///     #[command(flatten)]
///     master: MasterArgs,
///     /// A flag of this program's own
///     #[arg(long)]
///     verbose: bool,
/// }
///
/// let cli = Cli::parse_from(["program", "--name", "texts", "--db", "tcp://127.0.0.1:6000"]);
/// assert_eq!(cli.master.config().cache, "tcp://127.0.0.1:6000");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct MasterArgs {
    /// Name of the server, which clients address
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// Where clients push their messages to
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5555")]
    pub pull: String,
    /// Where results are published
    #[arg(long = "pub", value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5556")]
    pub publish: String,
    /// Where workers get messages from
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5557")]
    pub wpush: String,
    /// Where workers push their results to
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5558")]
    pub wpull: String,
    /// Where the cache answers
    #[arg(long, value_name = "ADDRESS", default_value = CACHE)]
    pub db: String,
}

impl MasterArgs {
    /// A master as the flags describe it, with all else as it is by default.
    pub fn config(self) -> MasterConfig {
        MasterConfig {
            pull: self.pull,
            publish: self.publish,
            worker_push: self.wpush,
            worker_pull: self.wpull,
            cache: self.db,
            ..MasterConfig::new(self.name)
        }
    }
}

/// Flags of a worker: `--name`, `--db`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct WorkerArgs {
    /// Name of the worker [default: a UUID]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where the master's cache answers
    #[arg(long, value_name = "ADDRESS", default_value = CACHE)]
    pub db: String,
}

impl WorkerArgs {
    /// A worker of the master that the flags tell; its functions come next.
    pub fn builder(self) -> WorkerBuilder {
        let builder = Worker::builder().cache_address(self.db);
        match self.name {
            Some(name) => builder.name(name),
            None => builder,
        }
    }
}

/// Flags of a launcher, which is a client with something to do: `--server`, `--function`, `--db`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct LauncherArgs {
    /// Name of the server
    #[arg(long, value_name = "NAME")]
    pub server: String,
    /// Function of the server
    #[arg(long, value_name = "FUNCTION")]
    pub function: String,
    /// Where the server's cache answers
    #[arg(long, value_name = "ADDRESS", default_value = CACHE)]
    pub db: String,
}

impl LauncherArgs {
    /// A client of the server that the flags tell.
    pub fn client(&self) -> ClientBuilder {
        Client::builder(&self.server, &self.db)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Program<A: clap::Args> {
        #[command(flatten)]
        args: A,
    }

    #[test]
    fn a_role_has_the_flags_of_the_example_application() {
        let line = "m --name n --pull tcp://h:1 --pub tcp://h:2 --wpush tcp://h:3 --wpull tcp://h:4 --db tcp://h:5";
        let config = Program::<MasterArgs>::parse_from(line.split(' ')).args.config();
        let addresses = [config.pull, config.publish, config.worker_push, config.worker_pull, config.cache];
        assert_eq!((config.name.as_str(), addresses), ("n", [1, 2, 3, 4, 5].map(|port| format!("tcp://h:{port}"))));

        let launcher = Program::<LauncherArgs>::parse_from("l --server s --function f".split(' ')).args;
        assert_eq!((launcher.server.as_str(), launcher.function.as_str(), launcher.db.as_str()), ("s", "f", CACHE));
        assert!(Program::<LauncherArgs>::try_parse_from(["l", "--server", "s"]).is_err());
    }

    #[tokio::test]
    async fn what_is_not_said_is_as_the_components_have_it() {
        let master = Program::<MasterArgs>::parse_from(["m", "--name", "n"]).args.config();
        let expected = MasterConfig::new("n");
        assert_eq!(
            (master.pull, master.worker_pull, master.cache),
            (expected.pull, expected.worker_pull, expected.cache)
        );

        let worker = |line: &[&str]| Program::<WorkerArgs>::parse_from(line).args.builder().build().unwrap();
        assert_eq!(worker(&["w", "--name", "n"]).name(), "n");
        assert_eq!(worker(&["w"]).name().len(), 36);
    }
}
