//! A master on free ports, and what is started round it.

use super::{Ended, Running, palm, run_with, until};

/// A master that runs.
pub(crate) struct Master {
    pub(crate) process: Running,
    pub(crate) name: String,
    /// Address of its cache.
    pub(crate) db: String,
    /// Where it takes messages.
    pub(crate) pull: String,
    pub(crate) publish: String,
    pub(crate) worker_push: String,
    pub(crate) worker_pull: String,
}

impl Master {
    pub(crate) fn start(name: &str, flags: &[&str]) -> Self {
        let mut command = palm();
        command.args(["master", "--name", name, "--grace", "2s"]);
        for flag in ["--pull", "--pub", "--wpush", "--wpull", "--db"].into_iter().filter(|flag| !flags.contains(flag)) {
            command.args([flag, "tcp://127.0.0.1:0"]);
        }
        let mut process = Running::start({
            command.args(flags);
            command
        });
        let line = process.wait_for_line("successfully started pull=");
        let address = |name: &str| {
            let mut words = line.split(' ').filter_map(|word| word.split_once('='));
            words.find(|(key, _)| *key == name).unwrap().1.to_owned()
        };
        Self {
            name: name.to_owned(),
            db: address("db"),
            pull: address("pull"),
            publish: address("pub"),
            worker_push: address("wpush"),
            worker_pull: address("wpull"),
            process,
        }
    }

    /// A worker that has found the master.
    pub(crate) fn worker(&self, name: &str, flags: &[&str]) -> Running {
        let mut command = palm();
        command.args(["worker", "--db", &self.db, "--name", name]).args(flags);
        let mut worker = Running::start(command);
        worker.wait_for_line("Got worker pull address");
        worker
    }

    /// A launcher that runs.
    pub(crate) fn launcher(&self, function: &str, flags: &[&str]) -> Running {
        Running::start(self.launch_command(function, flags))
    }

    /// How a launcher ends.
    pub(crate) fn launch(&self, function: &str, flags: &[&str], input: &[u8]) -> Ended {
        run_with(self.launch_command(function, flags), input)
    }

    /// Waits until the master has taken so many messages.
    pub(crate) fn wait_until_taken(&self, messages: u64) {
        until("the master's taking messages", || {
            self.process.signal("USR1");
            let log = self.process.said();
            let counts = log.split("taken=").skip(1).filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok());
            counts.max().unwrap_or_default() >= messages
        });
    }

    /// Stops it as an operator would.
    pub(crate) fn stop(self) -> Ended {
        self.process.signal("TERM");
        self.process.end()
    }

    fn launch_command(&self, function: &str, flags: &[&str]) -> std::process::Command {
        let mut command = palm();
        command.args(["launch", "--server", &self.name, "--function", function, "--db", &self.db]).args(flags);
        // Without any, it prints what the Python example's launcher prints.
        if !flags.iter().any(|flag| flag.starts_with("--output")) {
            command.args(["--output", "lines"]);
        }
        command
    }
}
