//! A cluster, whatever its file looks like.

use std::collections::BTreeMap;
use std::time::Duration;

use super::sections::Reading;

/// The components of a cluster, in the order of its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The components.
    pub components: Vec<Component>,
}

impl Cluster {
    /// Reads a file, whichever it is: TOML if it has a table `[[component]]`, else INI.
    ///
    /// # Errors
    /// See [`from_ini`](Self::from_ini) and [`from_toml`](Self::from_toml).
    pub fn from_text(text: &str) -> Result<Self, super::FileError> {
        if Self::is_toml(text) { Self::from_toml(text) } else { Self::from_ini(text) }
    }

    /// What is passed over in a file that can be read, or read otherwise than it looks.
    pub fn remarks(text: &str) -> Vec<super::FileError> {
        if Self::is_toml(text) {
            let read = Self::read_toml(text);
            return read
                .map_or_else(|_| Vec::new(), |(cluster, names)| super::remarks::of_toml(&cluster, text, &names));
        }
        Self::read_ini(text, Reading::New).map_or_else(|_| Vec::new(), |file| file.remarks)
    }

    /// Reads a file that was taken before: names that would be refused today do not keep it from being read.
    pub(crate) fn from_kept(text: &str) -> Result<Self, super::FileError> {
        if Self::is_toml(text) {
            Self::read_toml(text).map(|(cluster, _)| cluster)
        } else {
            Self::read_ini(text, Reading::Kept).map(|file| file.cluster)
        }
    }

    /// Whether a file is read as TOML.
    pub fn is_toml(text: &str) -> bool {
        super::without_mark(text).lines().any(|line| line.trim_start().starts_with("[["))
    }

    /// A component by its name.
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.name == name)
    }
}

/// A program, of which one or more copies are to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its name, unique in its cluster.
    pub name: String,
    /// The program and what goes first on its command line.
    pub script: String,
    /// Flags that follow, in order.
    pub flags: Vec<Flag>,
    /// Components that are placed before it.
    pub connected: Vec<String>,
    /// What it is, for people.
    pub role: Option<String>,
    /// Copies beside the first.
    pub replicas: u32,
    /// What only TOML can say.
    pub extras: Extras,
}

impl Component {
    /// A component of one copy and no more than a program.
    pub fn new(name: impl Into<String>, script: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            script: script.into(),
            flags: Vec::new(),
            connected: Vec::new(),
            role: None,
            replicas: 0,
            extras: Extras::default(),
        }
    }

    /// Processes in all.
    pub fn copies(&self) -> u32 {
        self.replicas.saturating_add(1)
    }

    /// Names of the sockets that it needs, in order.
    pub fn sockets(&self) -> impl Iterator<Item = &str> {
        self.flags.iter().filter_map(Flag::socket)
    }
}

/// A flag and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// With its dashes: `--db`.
    pub name: String,
    /// What follows it.
    pub value: FlagValue,
}

/// What follows a flag on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlagValue {
    /// The address of the socket with this name.
    Socket(String),
    /// These words; none: the flag stands alone.
    Words(Vec<String>),
}

impl Flag {
    /// The name of the socket that stands for the value.
    pub fn socket(&self) -> Option<&str> {
        match &self.value {
            FlagValue::Socket(name) => Some(name),
            FlagValue::Words(_) => None,
        }
    }

    /// The words of the value; none if it is a socket.
    pub fn words(&self) -> &[String] {
        match &self.value {
            FlagValue::Socket(_) => &[],
            FlagValue::Words(words) => words,
        }
    }
}

/// What a component's process needs beside its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extras {
    /// When it is started again.
    pub restart: Restart,
    /// Variables of its environment, beside those of the runner.
    pub environment: BTreeMap<String, String>,
    /// Its working directory; `None`: the runner's.
    pub directory: Option<String>,
    /// How it is known to be ready; `None`: it is when it runs.
    pub ready: Option<Readiness>,
    /// How long it may take to end when asked to; `None`: 10 s.
    pub grace: Option<Duration>,
    /// Slots of a node that it takes.
    pub processors: u32,
    /// Names of the nodes that it may be on; empty: any.
    pub nodes: Vec<String>,
}

impl Default for Extras {
    fn default() -> Self {
        Self {
            restart: Restart::default(),
            environment: BTreeMap::new(),
            directory: None,
            ready: None,
            grace: None,
            processors: 1,
            nodes: Vec::new(),
        }
    }
}

/// When a process that has ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Unless it has exited with 0, or was stopped.
    #[default]
    OnFailure,
    /// Unless it was stopped.
    Always,
    /// Never.
    Never,
}

/// How a component is known to be ready.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Readiness {
    /// The PALM cache at this address, or socket, answers.
    Cache(String),
    /// Somebody listens at this address, or socket.
    Tcp(String),
    /// This command exits with 0.
    Command(String),
    /// A line of its output has this in it.
    Line(String),
}
