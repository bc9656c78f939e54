//! `METHOD=COMMAND` as it stands on the command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use palm_registry::words;

use super::Lifeline;

/// A method and the command line behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MethodCommand {
    pub(crate) method: String,
    pub(crate) command: String,
}

impl FromStr for MethodCommand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (method, command) = text.split_once('=').ok_or("expected METHOD=COMMAND, such as 'upper=tr a-z A-Z'")?;
        if method.is_empty() || method.contains(|c: char| c == '.' || c.is_whitespace()) {
            return Err(format!("`{method}` cannot be a method's name: it must have no dot, no space, and a letter"));
        }
        if command.trim().is_empty() {
            return Err("the command is empty; expected METHOD=COMMAND".to_owned());
        }
        Ok(Self { method: method.to_owned(), command: command.to_owned() })
    }
}

/// A program with its arguments, ready to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<String>,
}

impl Program {
    /// Splits `command` into words as a shell would, without running one; or hands it to `sh -c` if `shell`.
    ///
    /// # Errors
    /// If a quote is left open, or there is no such program.
    pub(crate) fn parse(command: &str, shell: bool) -> Result<Self, String> {
        if shell {
            return Ok(Self { path: find("sh")?, arguments: vec!["-c".to_owned(), command.to_owned()] });
        }
        let mut words = words::split(command)
            .ok_or_else(|| format!("a quote is left open, or a backslash ends the line: {command}"))?
            .into_iter();
        let name = words.next().filter(|name| !name.is_empty()).ok_or("the command is empty")?;
        Ok(Self { path: find(&name)?, arguments: words.collect() })
    }

    /// The program's file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A command that leads a process group of its own, with all three streams piped.
    pub(super) fn command(&self, lifeline: &Lifeline) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.path);
        command
            .args(&self.arguments)
            // The runner counts what the worker answers, not what its programs do.
            .env_remove("PALM_STATUS")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        lifeline.mark(&mut command);
        command
    }
}

/// The file that a shell would run for `name`: found once, at the start, so that a misspelt name does not wait for the
/// first message to be noticed.
fn find(name: &str) -> Result<PathBuf, String> {
    if name.contains('/') {
        let path = PathBuf::from(name);
        return if is_executable(&path) { Ok(path) } else { Err(format!("there is no program {name}")) };
    }
    let folders = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
        .ok_or_else(|| format!("there is no program {name} in PATH; for a shell's own commands, use --shell"))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_commands() {
        let parsed: MethodCommand = "upper=tr a-z A-Z".parse().unwrap();
        assert_eq!((parsed.method.as_str(), parsed.command.as_str()), ("upper", "tr a-z A-Z"));
        assert_eq!("f=a=b".parse::<MethodCommand>().unwrap().command, "a=b");
        for text in ["upper", "=x", "a.b=x", "a b=x", "f=", "f=  "] {
            assert!(text.parse::<MethodCommand>().is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_split_as_a_shell_would() {
        let program = Program::parse("sh -c 'echo \"a b\"' x\\ y", false).unwrap();
        assert_eq!(program.arguments, ["-c", "echo \"a b\"", "x y"]);
        // Nothing is a comment.
        assert_eq!(Program::parse("sh -c #fff # x", false).unwrap().arguments, ["-c", "#fff", "#", "x"]);
        assert_eq!(Program::parse("exit 3", true).unwrap().arguments, ["-c", "exit 3"]);
        assert!(Program::parse("sh 'open", false).unwrap_err().contains("quote"));
        assert!(Program::parse("no-such-program-at-all", false).unwrap_err().contains("PATH"));
        let no_program = tempfile::NamedTempFile::new().unwrap();
        assert!(Program::parse(no_program.path().to_str().unwrap(), false).is_err(), "a file that is no program");
    }
}
