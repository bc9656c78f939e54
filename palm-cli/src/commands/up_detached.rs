//! `palm up --detach`: what goes on in the background, and how it is seen.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use palm_registry::private::Folder;
use palm_registry::store::{Scope, Store};

use super::up::{Args, USER, alias};
use crate::up::{Claim, Running};
use crate::{Outcome, output};

/// The rest between two looks at what was detached.
const LOOK: Duration = Duration::from_millis(50);
/// The name of the token that reads what components print, and of its file.
const TOKEN: &str = "token";

/// Makes a token with which this user sees what runs, and puts it into a file in this folder, in the place of an earlier one.
///
/// # Errors
/// If it cannot be kept.
pub(super) async fn reader(store: &Store, folder: &Path) -> anyhow::Result<PathBuf> {
    let user = store.user(USER).await?.context("the store has lost its user")?;
    for earlier in store.tokens_of(user.id).await? {
        if earlier.name == TOKEN {
            store.revoke_token(user.id, &earlier.id).await?;
        }
    }
    let (token, _) = store.add_token_with(&user, TOKEN, Scope::Read, None).await?;
    let folder = Folder::make(folder).context("cannot keep a token")?;
    let mut file = folder.open(TOKEN).context("cannot keep a token")?;
    file.set_len(0)?;
    writeln!(file, "{token}")?;
    Ok(folder.path().join(TOKEN))
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=,+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Starts this program again, in the background, and waits until it has begun.
pub(super) fn detach(args: &Args, file: &Path) -> anyhow::Result<Outcome> {
    let mut errors = tempfile::tempfile().context("cannot make a temporary file")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["up", "--in-background", "--ports-from", &args.ports_from.to_string()]).arg(file);
    if let Some(store) = &args.store {
        command.arg("--store").arg(store);
    }
    let mut child = command
        .env_remove("PALM_UP_DETACH")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors.try_clone()?)
        .spawn()
        .context("cannot start this program again")?;
    loop {
        if let Some(running) = Claim::find(file)?.filter(|running| running.pid == child.id()) {
            let Running { registry, cluster, token_file, .. } = running;
            output::say(&format_args!("up: registry {registry}, cluster {cluster}"));
            if let Some(token_file) = token_file {
                let words =
                    ["palm", "cluster", "logs", &alias(file), "--follow", "--registry", &registry, "--token-file"];
                let words = words.into_iter().map(quoted).chain([quoted(&token_file.to_string_lossy())]);
                output::say(&format_args!("see what it prints with: {}", words.collect::<Vec<_>>().join(" ")));
            }
            output::say(&format_args!("end it with: palm down {}", quoted(&file.to_string_lossy())));
            return Ok(Outcome::Done);
        }
        if let Some(status) = child.try_wait()? {
            use std::io::{Read as _, Seek as _};
            let mut said = String::new();
            errors.rewind()?;
            errors.read_to_string(&mut said)?;
            anyhow::bail!("it has ended at once ({status}): {}", said.trim());
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_can_be_pasted_into_a_shell() {
        for (word, text) in [
            ("/a/b-1.toml", "/a/b-1.toml"),
            ("http://127.0.0.1:80", "http://127.0.0.1:80"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), text);
        }
    }
}
