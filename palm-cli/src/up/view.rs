//! What all components print, as one.

use std::thread::JoinHandle;

use palm_registry::cluster::Cluster;
use palm_registry::runner::Shown;
use palm_registry::wire::Stream;
use tokio::sync::mpsc;

use crate::output;

/// Lines that wait to be shown.
const QUEUE: usize = 10_000;
/// Colours that can be read on light and on dark, and are not those of warnings.
pub(crate) const COLOURS: [&str; 6] = ["36", "35", "34", "32", "33", "96"];

/// Shows lines on a thread of its own, so that a terminal which stands still stops nothing.
#[derive(Debug)]
pub(crate) struct View {
    thread: JoinHandle<anyhow::Result<()>>,
}

impl View {
    /// Shows what comes, until all senders are gone.
    ///
    /// # Errors
    /// If there is no thread.
    pub(crate) fn start(cluster: &Cluster) -> std::io::Result<(Self, mpsc::Sender<Shown>)> {
        let (sender, mut lines) = mpsc::channel::<Shown>(QUEUE);
        let style = Style::new(cluster, output::table::is_coloured());
        let thread = std::thread::Builder::new().name("palm-view".to_owned()).spawn(move || {
            while let Some(shown) = lines.blocking_recv() {
                let mut text = style.line(&shown);
                // What came together is written together.
                while text.len() < 1 << 16
                    && let Ok(shown) = lines.try_recv()
                {
                    text += &style.line(&shown);
                }
                output::data(text.as_bytes())?;
            }
            Ok(())
        })?;
        Ok((Self { thread }, sender))
    }

    /// Waits until all is shown.
    ///
    /// # Errors
    /// If it could not be.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.thread.join().unwrap_or(Ok(()))
    }
}

#[derive(Debug)]
struct Style {
    /// Components in the order of their file, and how many copies each had.
    names: Vec<(String, u32)>,
    width: usize,
    is_coloured: bool,
}

impl Style {
    fn new(cluster: &Cluster, is_coloured: bool) -> Self {
        let names: Vec<_> =
            cluster.components.iter().map(|component| (component.name.clone(), component.copies())).collect();
        let widths = names.iter().map(|(name, copies)| label(name, copies - 1, *copies).chars().count());
        let width = widths.max().unwrap_or(0);
        Self { names, width, is_coloured }
    }

    fn line(&self, shown: &Shown) -> String {
        let index = self.names.iter().position(|(name, _)| *name == shown.component);
        let copies = index.and_then(|index| self.names.get(index)).map_or(1, |(_, copies)| *copies);
        let label = label(&shown.component, shown.copy, copies);
        let bar = if shown.stream == Stream::Runner { '*' } else { '|' };
        let label = format!("{:width$} {bar}", output::harmless(&label, false), width = self.width);
        let text = output::harmless(&shown.text, self.is_coloured);
        if !self.is_coloured {
            return format!("{label} {text}\n");
        }
        let colour = COLOURS[index.unwrap_or(0) % COLOURS.len()];
        // A component's own colours end with its line.
        format!("\x1b[{colour}m{label}\x1b[0m {text}\x1b[0m\n")
    }
}

/// As elsewhere, copies count from 0.
fn label(name: &str, copy: u32, copies: u32) -> String {
    if copies > 1 || copy > 0 { format!("{name} {copy}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_component_before_them() {
        let cluster = Cluster::from_ini("[Master]\nScript=m\n[W]\nScript=w\nReplicas=1\n").unwrap();
        let shown =
            |component: &str, copy, stream| Shown { component: component.into(), copy, stream, text: "t".into() };
        let style = Style::new(&cluster, false);
        assert_eq!(style.line(&shown("Master", 0, Stream::Out)), "Master | t\n");
        assert_eq!(style.line(&shown("W", 1, Stream::Runner)), "W 1    * t\n");
        let rude = Shown { text: "\x1b[2J\x1b[32mok".into(), ..shown("W", 0, Stream::Out) };
        assert_eq!(style.line(&rude), "W 0    | ^[[2Jok\n");
        let style = Style::new(&cluster, true);
        assert!(style.line(&rude).ends_with(" ^[[2J\x1b[32mok\x1b[0m\n"));
        assert_eq!(style.line(&shown("W", 0, Stream::Err)), "\x1b[35mW 0    |\x1b[0m t\x1b[0m\n");
    }
}
