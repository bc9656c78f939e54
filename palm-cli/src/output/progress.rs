//! The progress bar: on standard error, and only if that is a terminal.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// The one place on the screen where bars are drawn, so that lines can be written past them.
static SCREEN: OnceLock<MultiProgress> = OnceLock::new();

/// Runs `write` with the bar out of the way.
pub(crate) fn suspended<T>(write: impl FnOnce() -> T) -> T {
    match SCREEN.get() {
        Some(screen) => screen.suspend(write),
        None => write(),
    }
}

/// A job's progress.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Starts to draw. `total` messages are expected, if that is known. Draws nothing if `hidden`, or standard error is no
    /// terminal.
    pub(crate) fn start(total: Option<u64>, hidden: bool) -> Self {
        if hidden || !console_is_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        let screen = SCREEN.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        let bar = screen.add(total.map_or_else(ProgressBar::no_length, ProgressBar::new));
        let template = match total {
            Some(_) => "[{elapsed_precise}] {wide_bar} {human_pos}/{human_len} ({rate}{left}) {msg}",
            None => "[{elapsed_precise}] {spinner} {human_pos} done ({rate}) {wide_msg}",
        };
        let style = ProgressStyle::with_template(template).expect("invariant: the templates above are well-formed");
        let style = style.progress_chars("=> ").with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = write!(out, "{:.0}/s", state.per_sec());
        });
        let style = style.with_key("left", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // Before the first result there is nothing to tell it from.
            if state.pos() > 0 {
                let _ = write!(out, ", {:#} left", HumanDuration(state.eta()));
            }
        });
        bar.set_style(style);
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar }
    }

    /// `done` messages are through, in whatever way; `note` is shown behind the figures.
    pub(crate) fn at(&self, done: u64, note: impl FnOnce() -> String) {
        if !self.bar.is_hidden() {
            self.bar.set_position(done);
            self.bar.set_message(note());
        }
    }

    /// Takes the bar off the screen.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn console_is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}
