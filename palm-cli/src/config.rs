//! Settings from a TOML file, under the environment and the command line.
//!
//! A key is a flag's long name. Keys at the top are for flags that every command has (`log-level`), or that mean the same in
//! each which has them (`db`); a table is for one
//! command (`[master]`, `[bench.local]`). A value from the file becomes the default value of its flag, so that clap's own
//! order holds (flag, then environment, then default) and clap's own parsers judge it.

use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::{Table, Value};

use crate::given_file;

/// Flags that make no sense in a file.
const NOT_IN_A_FILE: [&str; 3] = ["config", "help", "version"];

/// Why a file of settings cannot be used.
#[derive(Debug)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    Read { file: PathBuf, error: std::io::Error },
    /// The file is not TOML; the text says where.
    Syntax { file: PathBuf, error: String },
    /// No flag has this name.
    UnknownKey { file: PathBuf, key: String, nearest: Option<String> },
    /// The flag does not take this value.
    BadValue { file: PathBuf, key: String, reason: String },
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read { file, error } => write!(f, "cannot read the configuration file {}: {error}", file.display()),
            Self::Syntax { file, error } => write!(f, "{}: {error}", file.display()),
            Self::UnknownKey { file, key, nearest: Some(nearest) } => {
                write!(f, "{}: unknown key `{key}`; did you mean `{nearest}`?", file.display())
            }
            Self::UnknownKey { file, key, nearest: None } => write!(f, "{}: unknown key `{key}`", file.display()),
            Self::BadValue { file, key, reason } => write!(f, "{}: key `{key}`: {reason}", file.display()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Gives every flag its variable: `PALM_` + command + flag (`PALM_MASTER_MEMORY`); `shared` ones have no command in their
/// name, and are the same for all commands.
pub(crate) fn with_environment(command: Command, shared: &[&str]) -> Command {
    fn name(words: &[&str]) -> String {
        words.join("_").to_ascii_uppercase().replace('-', "_")
    }
    fn walk(command: Command, path: &[String], shared: &[&str]) -> Command {
        let children: Vec<String> = command.get_subcommands().map(|child| child.get_name().to_owned()).collect();
        let mut command = command.mut_args(|arg| match arg.get_long().map(str::to_owned) {
            Some(long) if !matches!(long.as_str(), "help" | "version") => {
                let mut words = vec!["palm"];
                if !shared.contains(&long.as_str()) {
                    words.extend(path.iter().map(String::as_str));
                }
                words.push(&long);
                let arg = if matches!(arg.get_action(), ArgAction::SetTrue) {
                    // `1` and `yes` are what others take.
                    arg.value_parser(BoolishValueParser::new())
                } else {
                    arg
                };
                // Some share one, and name it themselves.
                let arg = if arg.get_env().is_none() { arg.env(name(&words)) } else { arg };
                arg.hide_env(true)
            }
            _ => arg,
        });
        for child in children {
            let path: Vec<String> = path.iter().cloned().chain([child.clone()]).collect();
            command = command.mut_subcommand(child, |c| walk(c, &path, shared));
        }
        command
    }
    walk(command, &[], shared)
}

/// The file named on this command line or in the environment, if any, and the command with its settings as defaults. Keys at its
/// top that are `shared` are for whichever command is run.
///
/// # Errors
/// If the file cannot be read, is not TOML, has a key that is no flag's, or a value that its flag does not take.
pub(crate) fn with_file(
    command: Command,
    arguments: &[std::ffi::OsString],
    shared: &[&str],
) -> Result<Command, ConfigError> {
    // Mistakes on the command line are reported by the real parse that follows; here only `--config` matters, and which
    // flags are given.
    let Ok(given) = command.clone().ignore_errors(true).try_get_matches_from(arguments) else {
        return Ok(command);
    };
    let Some(file) = given.try_get_one::<PathBuf>("config").ok().flatten().cloned() else {
        return Ok(command);
    };
    let text = given_file::text(&file).map_err(|error| ConfigError::Read { file: file.clone(), error })?;
    if given.subcommand_name() == Some("runner") && is_of_a_node(&text) {
        return Ok(command);
    }
    let mut table: Table =
        toml::from_str(&text).map_err(|error| ConfigError::Syntax { file: file.clone(), error: error.to_string() })?;
    let elsewhere =
        |key: &&str| !NOT_IN_A_FILE.contains(key) && command.get_arguments().all(|arg| !takes_key(arg, key));
    for key in shared.iter().copied().filter(elsewhere) {
        if let Some(value) = table.remove(key) {
            hand_down(&command, &mut table, &given, key, value);
        }
    }
    apply(command, &table, Some(&given), "", &file)
}

/// Whether it is a node's own file, as `pylm-runner --config` takes it, and no file of settings.
pub(crate) fn is_of_a_node(text: &str) -> bool {
    let is_blank = |line: &&str| line.is_empty() || line.starts_with(['#', ';']);
    text.lines().map(str::trim).find(|line| !is_blank(line)).is_some_and(|line| line == "[DEFAULT]")
}

/// Puts a key from the top into the table of the command that is run, if that has such a flag and the table does not name it.
fn hand_down(command: &Command, table: &mut Table, given: &ArgMatches, key: &str, value: Value) {
    let Some((name, given)) = given.subcommand() else { return };
    let Some(command) = command.find_subcommand(name) else { return };
    let Value::Table(table) = table.entry(name).or_insert_with(|| Value::Table(Table::new())) else { return };
    if !command.get_arguments().any(|arg| takes_key(arg, key)) {
        hand_down(command, table, given, key, value);
    } else if !table.contains_key(key) {
        table.insert(key.to_owned(), value);
    }
}

fn apply(
    mut command: Command,
    table: &Table,
    given: Option<&ArgMatches>,
    path: &str,
    file: &Path,
) -> Result<Command, ConfigError> {
    for (key, value) in table {
        let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let child = command.find_subcommand(key).cloned();
        if let (Some(child), Value::Table(settings)) = (&child, value) {
            let given = given.and_then(ArgMatches::subcommand).filter(|(name, _)| name == key).map(|(_, given)| given);
            let child = apply(child.clone(), settings, given, &full, file)?;
            command = command.mut_subcommand(key, |_| child);
            continue;
        }
        let Some(arg) = command.get_arguments().find(|arg| takes_key(arg, key)).cloned() else {
            let nearest = nearest(&command, key);
            return Err(ConfigError::UnknownKey { file: file.to_owned(), key: full, nearest });
        };
        let bad = |reason| ConfigError::BadValue { file: file.to_owned(), key: full.clone(), reason };
        let values = values(&arg, value).map_err(bad)?;
        check(&arg, &values).map_err(bad)?;
        if !beaten(&command, &arg, given) {
            command = command.mut_arg(arg.get_id().clone(), |arg| arg.required(false).default_values(values));
        }
    }
    Ok(command)
}

/// Whether a flag was given, on the command line or in the environment, that excludes `arg`.
fn beaten(command: &Command, arg: &Arg, given: Option<&ArgMatches>) -> bool {
    given.is_some_and(|given| {
        excluded(command, arg, given, &[ValueSource::CommandLine, ValueSource::EnvVariable]).next().is_some()
    })
}

/// Flags that have their value from one of `sources`, and cannot be used with `arg`.
fn excluded<'a>(
    command: &'a Command,
    arg: &'a Arg,
    given: &'a ArgMatches,
    sources: &'a [ValueSource],
) -> impl Iterator<Item = &'a Arg> {
    let excludes = |a: &Arg, b: &Arg| command.get_arg_conflicts_with(a).iter().any(|c| c.get_id() == b.get_id());
    let others = command.get_arguments().filter(|other| other.get_id() != arg.get_id());
    let from =
        |other: &Arg| given.value_source(other.get_id().as_str()).is_some_and(|source| sources.contains(&source));
    others.filter(move |other| from(other) && (excludes(arg, other) || excludes(other, arg)))
}

/// The command with its variables as this command line leaves them: without those of flags which a flag on it excludes, and
/// with a value in each line of those whose flags may be given several times.
pub(crate) fn with_variables_beside(command: Command, arguments: &[std::ffi::OsString]) -> Command {
    fn walk(mut command: Command, given: &ArgMatches) -> Command {
        let source = |arg: &Arg| given.value_source(arg.get_id().as_str());
        let variables = || command.get_arguments().filter(|arg| source(arg) == Some(ValueSource::EnvVariable));
        let beaten = |arg: &&Arg| excluded(&command, arg, given, &[ValueSource::CommandLine]).next().is_some();
        let beaten: Vec<_> = variables().filter(beaten).map(|arg| arg.get_id().clone()).collect();
        let several: Vec<_> = variables().filter(|arg| takes_many(arg)).map(|arg| arg.get_id().clone()).collect();
        for id in several {
            command = command.mut_arg(id, |arg| arg.value_delimiter('\n'));
        }
        for id in beaten {
            command = command.mut_arg(id, |arg| arg.env(None));
        }
        match given.subcommand() {
            Some((name, given)) => command.mut_subcommand(name, |child| walk(child, given)),
            None => command,
        }
    }
    // Mistakes are reported by the real parse that follows.
    match command.clone().ignore_errors(true).try_get_matches_from(arguments) {
        Ok(given) => walk(command, &given),
        Err(_) => command,
    }
}

fn takes_key(arg: &Arg, key: &str) -> bool {
    arg.get_long() == Some(key) && !NOT_IN_A_FILE.contains(&key)
}

/// The words that would stand on the command line for `value`.
fn values(arg: &Arg, value: &Value) -> Result<Vec<String>, String> {
    fn word(value: &Value) -> Result<String, String> {
        match value {
            Value::String(text) => Ok(text.clone()),
            Value::Integer(number) => Ok(number.to_string()),
            Value::Float(number) => Ok(number.to_string()),
            Value::Boolean(truth) => Ok(truth.to_string()),
            Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                Err("expected a text, a number, or true or false".to_owned())
            }
        }
    }
    let many = takes_many(arg);
    match value {
        Value::Array(items) if many => items.iter().map(word).collect(),
        Value::Table(items) if many => items.iter().map(|(key, value)| Ok(format!("{key}={}", word(value)?))).collect(),
        single => Ok(vec![word(single)?]),
    }
}

/// Whether the flag may have several values.
fn takes_many(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append) || arg.get_num_args().is_some_and(|n| n.max_values() > 1)
}

/// Has the flag's own parser judge the values.
fn check(arg: &Arg, values: &[String]) -> Result<(), String> {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return match values {
            [truth] if truth == "true" || truth == "false" => Ok(()),
            _ => Err("expected true or false".to_owned()),
        };
    }
    let long = arg.get_long().unwrap_or_default();
    let alone = arg.clone().required(false);
    let alone = without_relations(alone);
    let line = std::iter::once("palm".to_owned()).chain(values.iter().map(|value| format!("--{long}={value}")));
    match Command::new("palm").no_binary_name(false).arg(alone).try_get_matches_from(line) {
        Ok(_) => Ok(()),
        Err(error) => {
            // clap says "error: invalid value 'x' for '--flag <Y>': reason", then a hint at --help, which is of no use here.
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            Err(first.strip_prefix("error: ").unwrap_or(first).to_owned())
        }
    }
}

/// The same flag, free of the flags it excludes or asks for, which a command of one flag does not have.
fn without_relations(arg: Arg) -> Arg {
    let mut bare =
        Arg::new(arg.get_id().clone()).action(arg.get_action().clone()).value_parser(arg.get_value_parser().clone());
    if let Some(long) = arg.get_long() {
        bare = bare.long(long.to_owned());
    }
    if let Some(names) = arg.get_value_names() {
        bare = bare.value_names(names.iter().map(|name| name.to_string()).collect::<Vec<_>>());
    }
    bare
}

/// The name most like `key` among those that could stand in its place.
fn nearest(command: &Command, key: &str) -> Option<String> {
    let flags = command.get_arguments().filter_map(Arg::get_long).filter(|long| !NOT_IN_A_FILE.contains(long));
    let tables = command.get_subcommands().map(Command::get_name);
    let dashed = key.replace('_', "-");
    flags
        .chain(tables)
        .map(|name| (strsim::jaro_winkler(name, &dashed), name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn command() -> Command {
        let child = Command::new("master")
            .arg(Arg::new("name").long("name").required(true))
            .arg(Arg::new("queue").long("queue").value_parser(clap::value_parser!(u32)).default_value("7"))
            .arg(Arg::new("pipelined").long("pipelined").action(ArgAction::SetTrue))
            .arg(Arg::new("exec").long("exec").action(ArgAction::Append))
            .arg(Arg::new("lines").long("lines").conflicts_with("message"))
            .arg(Arg::new("message").long("message"));
        Command::new("palm")
            .arg(Arg::new("config").long("config").value_parser(clap::value_parser!(PathBuf)).global(true))
            .arg(Arg::new("log-level").long("log-level").global(true).default_value("info"))
            .subcommand(child)
    }

    /// The matches of `master` with this file and these further arguments.
    fn parsed(file: &str, arguments: &[&str]) -> Result<ArgMatches, String> {
        let mut written = tempfile::NamedTempFile::new().unwrap();
        written.write_all(file.as_bytes()).unwrap();
        let mut line: Vec<std::ffi::OsString> =
            vec!["palm".into(), "--config".into(), written.path().into(), "master".into()];
        line.extend(arguments.iter().map(Into::into));
        let command = with_file(command(), &line, &["queue"]).map_err(|e| e.to_string())?;
        let matches = command.try_get_matches_from(line).map_err(|e| e.to_string())?;
        Ok(matches.subcommand_matches("master").unwrap().clone())
    }

    fn text<'a>(matches: &'a ArgMatches, id: &str) -> Option<&'a str> {
        matches.get_one::<String>(id).map(String::as_str)
    }

    #[test]
    fn the_file_is_above_the_default_and_below_the_flag() {
        let file = "log-level = 'debug'\n[master]\nname = 'test'\nqueue = 9\npipelined = true\n";
        let matches = parsed(file, &[]).unwrap();
        assert_eq!((text(&matches, "name"), matches.get_one::<u32>("queue")), (Some("test"), Some(&9)));
        assert!(matches.get_flag("pipelined"));
        assert_eq!(text(&matches, "log-level"), Some("debug"));
        let matches = parsed(file, &["--queue", "11", "--log-level", "warn"]).unwrap();
        assert_eq!((matches.get_one::<u32>("queue"), text(&matches, "log-level")), (Some(&11), Some("warn")));
    }

    #[test]
    fn a_shared_key_at_the_top_is_for_the_command_that_is_run() {
        let queue = |file: &str| parsed(file, &["--name", "n"]).unwrap().get_one::<u32>("queue").copied();
        assert_eq!(queue("queue = 8"), Some(8));
        assert_eq!(queue("queue = 8\n[master]\nqueue = 9"), Some(9));
        assert_eq!(queue("queue = 8\n[master]\nname = 'm'"), Some(8));
        let error = parsed("queue = 'many'", &["--name", "n"]).unwrap_err();
        assert!(error.contains("queue`") && error.contains("many"), "{error}");
    }

    #[test]
    fn lists_and_tables_give_a_flag_several_values() {
        for file in ["[master]\nname='n'\nexec=['a=x y','b=z']", "[master]\nname='n'\n[master.exec]\na='x y'\nb='z'"] {
            let matches = parsed(file, &[]).unwrap();
            assert_eq!(matches.get_many::<String>("exec").unwrap().collect::<Vec<_>>(), ["a=x y", "b=z"]);
        }
    }

    #[test]
    fn a_flag_beats_a_key_that_it_excludes() {
        let matches = parsed("[master]\nname='n'\nmessage='m'", &["--lines", "f"]).unwrap();
        assert_eq!((text(&matches, "lines"), text(&matches, "message")), (Some("f"), None));
    }

    #[test]
    fn mistakes_name_file_key_and_remedy() {
        let error = parsed("[master]\nqueu = 1", &["--name", "n"]).unwrap_err();
        assert!(error.contains("unknown key `master.queu`; did you mean `queue`?"), "{error}");
        let error = parsed("[mastr]\nqueue = 1", &["--name", "n"]).unwrap_err();
        assert!(error.contains("unknown key `mastr`; did you mean `master`?"), "{error}");
        let error = parsed("[master]\nqueue = 'many'", &["--name", "n"]).unwrap_err();
        assert!(error.contains("key `master.queue`") && error.contains("many"), "{error}");
        let error = parsed("[master]\nname = ['a', 'b']", &[]).unwrap_err();
        assert!(error.contains("key `master.name`: expected a text"), "{error}");
        let error = parsed("[master", &[]).unwrap_err();
        assert!(error.contains("TOML parse error at line 1"), "{error}");
        let error = parsed("config = 'x'", &[]).unwrap_err();
        assert!(error.contains("unknown key `config`"), "{error}");
    }
}
