//! `palm cluster logs`: what components have printed, and print.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::Value;

use crate::output::table::is_coloured;
use crate::remote::{self, Remote, number, text};
use crate::up::COLOURS;
use crate::{output, values};

/// Lines that are asked for at a time.
const PAGE: usize = 5000;

const EXAMPLES: &str = "\
Examples:
  palm cluster logs test                       the last 500 lines
  palm cluster logs test -f --component Worker --level warning
  palm cluster logs test --since 10m --search 'model 7'
  palm cluster logs test -f --json | jq .text  an object a line

Followed lines come each once and in order, also if the registry is away
meanwhile; Ctrl-C ends that.";

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

fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl Args {
    /// Which lines, whenever they were printed.
    fn filter(&self) -> Vec<(&'static str, String)> {
        let filters = [
            ("component", self.component.clone()),
            ("node", self.node.clone()),
            ("stream", self.stream.as_ref().map(name)),
            ("level", self.level.as_ref().map(name)),
            ("text", self.search.clone()),
        ];
        filters.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
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
    let newest = remote.get(&path, &[("limit", "1".to_owned())]).await?;
    let mut last = remote::items(&newest).first().map_or(0, |line| number(line, "id"));
    let mut show = |lines: Value, printer: &mut Printer| match &mut document {
        None => printer.print(remote::items(&lines)),
        Some(document) => {
            document.extend(lines.as_array().cloned().unwrap_or_default());
            Ok(())
        }
    };
    match args.since {
        None if args.lines == 0 => {}
        None => {
            let more = [("limit", args.lines.to_string()), ("before", last.saturating_add(1).to_string())];
            let lines = remote.get(&path, &[filter.as_slice(), &more].concat()).await?;
            show(lines, &mut printer)?;
        }
        Some(since) => {
            let from = remote::now().saturating_sub(i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
            let mut after = 0;
            loop {
                let more = [("from", from.to_string()), ("after", after.to_string()), ("limit", PAGE.to_string())];
                let lines = remote.get(&path, &[filter.as_slice(), &more].concat()).await?;
                let (count, end) = remote::items(&lines)
                    .last()
                    .map_or((0, after), |line| (remote::items(&lines).len(), number(line, "id")));
                show(lines, &mut printer)?;
                after = end;
                if count < PAGE {
                    break;
                }
            }
            last = last.max(after);
        }
    }
    if let Some(document) = document {
        return output::data(format!("{}\n", Value::Array(document)).as_bytes());
    }
    if !args.follow {
        return Ok(());
    }
    let mut follow = remote.client.follow(&id, filter, last);
    let mut is_away = false;
    loop {
        let away = |error: &palm_registry::client::ClientError| {
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
    fn print(&mut self, lines: &[Value]) -> anyhow::Result<()> {
        let text: String = lines.iter().map(|line| self.line(line)).collect();
        output::data(text.as_bytes())
    }

    /// A line as it is printed; one of several lines, which Python's clients may send, as several.
    fn line(&mut self, line: &Value) -> String {
        if self.json {
            return format!("{line}\n");
        }
        text(line, "text").trim_end_matches('\n').split('\n').map(|text| self.labelled(line, text)).collect()
    }

    fn labelled(&mut self, line: &Value, text: &str) -> String {
        let at = jiff::Timestamp::from_microsecond(number(line, "at")).unwrap_or_default();
        let at = at.strftime("%Y-%m-%d %H:%M:%S%.3fZ");
        let component = remote::text(line, "component");
        let bar = if remote::text(line, "stream") == "runner" { '*' } else { '|' };
        let label = match component {
            "" => String::new(),
            component => format!(" {} {} {bar}", output::harmless(component, false), number(line, "copy")),
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
        let line = |text: &str| serde_json::json!({ "id": 1, "at": 0, "component": "W", "copy": 2, "stream": "out", "text": text });
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
