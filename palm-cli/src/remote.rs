//! A registry that is asked, and what a person can do if it does not do what it was asked.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use palm_registry::client::{Client, ClientError, Method};
use serde_json::Value;

use crate::{output, values, wrong_use};

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
            Some(file) => values::token(file)?,
            None => std::env::var("PALM_TOKEN").ok().filter(|token| !token.is_empty()).ok_or_else(|| {
                wrong_use(
                    "no token says who you are: set PALM_TOKEN, or name a file by --token-file. Whoever runs the registry makes \
                     one with: palm registry add-user NAME; who has one, another with: palm tokens new NAME",
                )
            })?,
        };
        let ca = self.ca.as_ref().map(|file| {
            std::fs::read(file).map_err(|error| wrong_use(format!("--ca: cannot read {}: {error}", file.display())))
        });
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
    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.client.ask(Method::GET, path, query, None).await.map_err(|error| self.advice(error))
    }

    /// Has something done, with a body if it is not null.
    pub(crate) async fn order(&self, method: Method, path: &[&str], body: Value) -> anyhow::Result<Value> {
        let body = Some(&body).filter(|body| !body.is_null());
        self.client.ask(method, path, &[], body).await.map_err(|error| self.advice(error))
    }

    /// Prints JSON, or what a person reads instead.
    pub(crate) fn show(&self, value: &Value, text: impl FnOnce(&Value) -> String) -> anyhow::Result<()> {
        let text = if self.json { format!("{value}\n") } else { text(value) };
        output::data(text.as_bytes())
    }

    /// The id of the cluster that somebody means: by its alias, its id, or what the ids of no two begin with.
    pub(crate) async fn cluster(&self, name: &str) -> anyhow::Result<String> {
        let clusters = self.get(&["clusters"], &[]).await?;
        let clusters: Vec<_> = items(&clusters).iter().map(|entry| (text(entry, "id"), text(entry, "alias"))).collect();
        let those = |is_it: &dyn Fn(&str, &str) -> bool| -> Vec<&str> {
            clusters.iter().filter(|(id, alias)| is_it(id, alias)).map(|(id, _)| *id).collect()
        };
        let exact = those(&|id, alias| id == name || alias == name);
        let found = if exact.is_empty() { those(&|id, _| !name.is_empty() && id.starts_with(name)) } else { exact };
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

/// A text of an object; empty if it has none.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A number of an object.
pub(crate) fn number(value: &Value, key: &str) -> i64 {
    value.get(key).and_then(Value::as_i64).unwrap_or_default()
}

/// Whether something of an object is true.
pub(crate) fn is(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or_default()
}

/// What a list holds.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A list of an object.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).map(items).unwrap_or_default()
}

/// `-` in place of nothing.
pub(crate) fn dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
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
