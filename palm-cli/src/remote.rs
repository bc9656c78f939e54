//! A registry that is asked, and what a person can do if it does not do what it was asked.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use palm_registry::api::clusters;
use palm_registry::client::{Answer, Client, ClientError, Method};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::{given_file, output, wrong_use};

/// How a registry is reached.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct Flags {
    /// Where the registry is; also PALM_REGISTRY
    #[arg(long, value_name = "URL", env = "PALM_REGISTRY", default_value = "http://127.0.0.1:8080", global = true)]
    pub(crate) registry: String,
    /// File with your token; also PALM_TOKEN_FILE. PALM_TOKEN holds the token itself
    #[arg(long, value_name = "FILE", env = "PALM_TOKEN_FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ca: Option<PathBuf>,
    /// Send the token over a network where others can read it
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
    /// Print the registry's JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// A registry, and whether a program reads what it says.
pub(crate) struct Remote {
    pub(crate) client: Client,
    pub(crate) json: bool,
}

impl Flags {
    /// The registry that these flags name.
    ///
    /// # Errors
    /// If there is no token, or it would be read by others.
    pub(crate) fn remote(&self) -> anyhow::Result<Remote> {
        let token = match &self.token_file {
            Some(file) => given_file::token(file)?,
            None => std::env::var("PALM_TOKEN").ok().filter(|token| !token.is_empty()).ok_or_else(|| {
                wrong_use(
                    "no token says who you are: set PALM_TOKEN, or name a file by --token-file. Whoever runs the registry makes \
                     one with: palm registry add-user NAME; who has one, another with: palm tokens new NAME",
                )
            })?,
        };
        let ca = self.ca.as_ref().map(|file| given_file::certificates("--ca", file));
        let client = Client::new(&self.registry, &token, ca.transpose()?.as_deref());
        let client = client.map_err(|error| wrong_use(format!("--registry {error}")))?;
        if client.is_open_to_others() && !self.insecure {
            return Err(wrong_use(format!(
                "{} is not encrypted, so others could read the token: use https, or say --insecure",
                client.url()
            )));
        }
        Ok(Remote { client, json: self.json })
    }
}

impl Remote {
    /// What is there.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &(impl Serialize + ?Sized),
    ) -> anyhow::Result<Answer<T>> {
        self.client.get(path, query).await.map_err(|error| self.advice(error))
    }

    /// Has something done that needs no more words, and is answered by none.
    pub(crate) async fn order(&self, method: Method, path: &[&str]) -> anyhow::Result<Answer<IgnoredAny>> {
        self.client.order(method, path).await.map_err(|error| self.advice(error))
    }

    /// Has something done, as `body` says.
    pub(crate) async fn order_with<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &impl Serialize,
    ) -> anyhow::Result<Answer<T>> {
        self.client.order_with(method, path, body).await.map_err(|error| self.advice(error))
    }

    /// Prints the registry's JSON, or what a person reads instead.
    pub(crate) fn show<T>(&self, answer: &Answer<T>, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        self.print(&answer.text, || text(&answer.value))
    }

    /// Prints this JSON, or what a person reads instead.
    pub(crate) fn print(&self, json: &str, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.json { output::json(json) } else { output::text(text().as_bytes()) }
    }

    /// The id of the cluster that somebody means: by its alias, its id, or what the ids of no two begin with.
    pub(crate) async fn cluster(&self, name: &str) -> anyhow::Result<String> {
        let clusters = self.get::<Vec<clusters::Entry>>(&["clusters"], &()).await?.value;
        let those = |is_it: &dyn Fn(&clusters::Entry) -> bool| -> Vec<&str> {
            clusters.iter().filter(|entry| is_it(entry)).map(|entry| entry.id.as_str()).collect()
        };
        let exact = those(&|entry| entry.id == name || entry.alias.as_deref() == Some(name));
        let found =
            if exact.is_empty() { those(&|entry| !name.is_empty() && entry.id.starts_with(name)) } else { exact };
        match found.as_slice() {
            [] => Err(anyhow::anyhow!("there is no cluster {name} that you may see: palm cluster list shows those")),
            [id] => Ok((*id).to_owned()),
            several => Err(wrong_use(format!("{name} may be any of {}: say more of the id", several.join(", ")))),
        }
    }

    /// Says what can be done about a refusal.
    pub(crate) fn advice(&self, error: ClientError) -> anyhow::Error {
        match &error {
            ClientError::NoAnswer { .. } => {
                anyhow::anyhow!("{error}: is it running? Use --registry or PALM_REGISTRY if it is elsewhere")
            }
            ClientError::Untrusted { .. } => anyhow::anyhow!(
                "{error}: name it by --ca if it is the registry's; what --tls-self-signed makes is beside the store, as STORE.cert.pem"
            ),
            ClientError::Refused { status: 401, .. } => anyhow::anyhow!(
                "the registry at {} does not know this token: it is another's, was revoked, or has ended. Make one with: palm \
                 registry add-user NAME, or palm tokens new NAME",
                self.client.url()
            ),
            // What was asked cannot be so, whoever asks.
            ClientError::Refused { status: 400 | 422, reason } => wrong_use(reason.clone()),
            ClientError::Refused { reason, .. } if !reason.is_empty() => anyhow::anyhow!("{reason}"),
            _ => error.into(),
        }
    }
}

/// Asks before something is lost.
///
/// # Errors
/// If nobody can be asked, or says no.
pub(crate) fn confirm(what: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(wrong_use(format!("{what}: say --yes, as there is nobody to ask")));
    }
    output::say(&format_args!("{what}. Go on? [y/N]"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => anyhow::bail!("nothing is done"),
    }
}

/// A list as one document, each thing in it as the registry has written it.
pub(crate) fn document<T>(items: &[Answer<T>]) -> String {
    let texts: Vec<_> = items.iter().map(|item| item.text.as_str()).collect();
    format!("[{}]", texts.join(","))
}

/// `-` in place of nothing.
pub(crate) fn dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// An instant of the registry, to the second.
pub(crate) fn instant(micros: i64) -> String {
    let at = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Now, as the registry writes it.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
