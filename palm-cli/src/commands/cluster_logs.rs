//! `palm cluster logs`: what components have printed, and print.

use std::time::Duration;

use clap::ValueEnum;
use palm_registry::api::logs::{self, Asked, Line};
use palm_registry::client::{Answer, ClientError};

use crate::output::table::is_coloured;
use crate::remote::{self, Remote};
use crate::up::COLOURS;
use crate::{output, values};

/// Lines that are asked for at a time.
const PAGE: u32 = 5000;

const EXAMPLES: &str = "\
Examples:
  palm cluster logs test                       the last 500 lines
  palm cluster logs test -f --component Worker --level warning
  palm cluster logs test --since 10m --search 'model 7'
  palm cluster logs test --since 365d > all    however many there are
  palm cluster logs test -f --json | jq .text  an object a line

Followed lines come each once and in order, also if the registry is away
meanwhile; Ctrl-C ends that. Control characters are shown as ^[ and the like;
colours are kept for a terminal. --json has every line as it was printed.";

/// Flags of `palm cluster logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Its alias, its id, or the beginning of that
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// All lines since so long ago [default: the last --lines]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    since: Option<Duration>,
    /// How many of the last lines, if --since is not given
    #[arg(long, short = 'n', value_name = "NUMBER", default_value = "500", value_parser = clap::value_parser!(u32).range(0..=5000))]
    lines: u32,
    /// Of this component only
    #[arg(long, value_name = "NAME")]
    component: Option<String>,
    /// Of this node only
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Of this stream only
    #[arg(long, value_enum)]
    stream: Option<Stream>,
    /// At least as severe as this, as the words in the line tell
    #[arg(long, value_enum)]
    level: Option<Level>,
    /// With this text in them, in the same case
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
}

/// Where a line comes from.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Stream {
    Out,
    Err,
    Runner,
}

/// How severe a line is.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Error,
    Warning,
    Info,
}

impl From<Stream> for logs::Stream {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Out => Self::Out,
            Stream::Err => Self::Err,
            Stream::Runner => Self::Runner,
        }
    }
}

impl From<Level> for logs::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warning => Self::Warning,
            Level::Info => Self::Info,
        }
    }
}

impl Args {
    /// Which lines, whenever they were printed.
    fn filter(&self) -> Asked {
        Asked {
            component: self.component.clone(),
            node: self.node.clone(),
            stream: self.stream.map(logs::Stream::from),
            level: self.level.map(logs::Level::from),
            text: self.search.clone(),
            ..Asked::default()
        }
    }
}

/// Prints lines.
pub(super) async fn run(remote: &Remote, args: Args) -> anyhow::Result<()> {
    let id = remote.cluster(&args.cluster).await?;
    let path = ["clusters", &id, "logs"];
    let filter = args.filter();
    let mut printer = Printer { json: remote.json, is_coloured: is_coloured(), seen: Vec::new() };
    // A document has to be whole; what is followed has no end.
    let mut document = (remote.json && !args.follow).then(Vec::new);
    // What comes after this is followed, whether a line that is shown came before it or not.
    let newest: Answer<Vec<Line>> = remote.get(&path, &Asked { limit: Some(1), ..Asked::default() }).await?;
    let mut last = newest.value.first().map_or(0, |line| line.id);
    let mut show = |lines: Answer<Vec<Line>>, printer: &mut Printer| {
        let mut lines = lines.items()?;
        match &mut document {
            None => printer.print(&lines),
            Some(document) => {
                document.append(&mut lines);
                Ok(())
            }
        }
    };
    match args.since {
        None if args.lines == 0 => {}
        None => {
            let asked = Asked { limit: Some(args.lines), before: Some(last.saturating_add(1)), ..filter.clone() };
            show(remote.get(&path, &asked).await?, &mut printer)?;
        }
        Some(since) => {
            let from = remote::now().saturating_sub(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
            let mut asked = Asked { from: Some(from), after: Some(0), limit: Some(PAGE), ..filter.clone() };
            loop {
                let lines: Answer<Vec<Line>> = remote.get(&path, &asked).await?;
                let is_last = lines.value.len() < PAGE as usize;
                asked.after = lines.value.last().map(|line| line.id).or(asked.after);
                show(lines, &mut printer)?;
                if is_last {
                    break;
                }
            }
            last = last.max(asked.after.unwrap_or(0));
        }
    }
    if let Some(document) = document {
        return output::json(&remote::document(&document));
    }
    if !args.follow {
        return Ok(());
    }
    let mut follow = remote.client.follow(&id, filter, last);
    let mut is_away = false;
    loop {
        let away = |error: &ClientError| {
            if !is_away {
                output::say(&format_args!("palm: {error}; trying again"));
            }
            is_away = true;
        };
        // Whoever read it may go while nothing comes.
        let line = tokio::select! {
            line = follow.next(away) => line.map_err(|error| remote.advice(error))?,
            () = hung_up() => return Err(output::ClosedPipe.into()),
        };
        is_away = false;
        printer.print(std::slice::from_ref(&line))?;
    }
}

/// Waits until nobody reads standard output any more.
async fn hung_up() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let out = std::io::stdout();
    loop {
        let mut fds = [PollFd::new(&out, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

struct Printer {
    json: bool,
    is_coloured: bool,
    /// Components, in the order in which they were seen: each has its colour.
    seen: Vec<String>,
}

impl Printer {
    fn print(&mut self, lines: &[Answer<Line>]) -> anyhow::Result<()> {
        let text: String = lines.iter().map(|line| self.line(line)).collect();
        output::data(text.as_bytes())
    }

    /// A line as it is printed; one of several lines, which Python's clients may send, as several.
    fn line(&mut self, line: &Answer<Line>) -> String {
        if self.json {
            return format!("{}\n", output::harmless_json(&line.text));
        }
        let line = &line.value;
        line.text.trim_end_matches('\n').split('\n').map(|text| self.labelled(line, text)).collect()
    }

    fn labelled(&mut self, line: &Line, text: &str) -> String {
        let at = jiff::Timestamp::from_microsecond(line.at).unwrap_or_default();
        let at = at.strftime("%Y-%m-%d %H:%M:%S%.3fZ");
        let component = line.component.as_deref().unwrap_or_default();
        let bar = if line.stream.as_deref() == Some(logs::Stream::Runner.name()) { '*' } else { '|' };
        let label = match component {
            "" => String::new(),
            component => {
                format!(" {} {} {bar}", output::harmless(component, false), line.copy.unwrap_or_default())
            }
        };
        let text = output::harmless(text, self.is_coloured);
        if !self.is_coloured {
            return format!("{at}{label} {text}\n");
        }
        let index = self.seen.iter().position(|name| name == component).unwrap_or_else(|| {
            self.seen.push(component.to_owned());
            self.seen.len() - 1
        });
        let colour = COLOURS[index % COLOURS.len()];
        let severe = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let level = match () {
            () if severe(&["ERROR", "CRITICAL", "FATAL", "panicked"]) => "\x1b[31m",
            () if severe(&["WARN"]) => "\x1b[33m",
            () => "",
        };
        format!("\x1b[2m{at}\x1b[0m\x1b[{colour}m{label}\x1b[0m {level}{text}\x1b[0m\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_and_levels_have_colours() {
        let line = |text: &str| Answer {
            value: Line {
                id: 1,
                at: 0,
                component: Some("W".to_owned()),
                copy: Some(2),
                node: None,
                stream: Some("out".to_owned()),
                level: "".into(),
                text: text.to_owned(),
            },
            text: String::new(),
        };
        let mut printer = Printer { json: false, is_coloured: false, seen: Vec::new() };
        assert_eq!(printer.line(&line("t")), "1970-01-01 00:00:00.000Z W 2 | t\n");
        assert_eq!(
            printer.line(&line("a\u{1b}[2J\nb")),
            "1970-01-01 00:00:00.000Z W 2 | a^[[2J\n1970-01-01 00:00:00.000Z W 2 | b\n"
        );
        printer.is_coloured = true;
        assert!(printer.line(&line("a WARNING")).ends_with("\x1b[36m W 2 |\x1b[0m \x1b[33ma WARNING\x1b[0m\n"));
    }
}
