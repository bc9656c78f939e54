//! What becomes of one process: when it is started, ended, started again. It does no IO, and has no clock.
//!
//! Call `handle_*` with what happens and the time; then do what [`Supervisor::poll_action`] says, until it says nothing; come back at
//! [`Supervisor::poll_timeout`] at the latest.

use std::time::Duration;

use crate::cluster::Restart;
use crate::wire::{Exit, State, WantedProcess};

/// Rest before a process is started again: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// The same for one that is in a crash loop.
const CRASH_BACKOFF: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(300));
/// A process that lived this long was well.
const HEALTHY: Duration = Duration::from_secs(10);
/// Whatever a registry says: an instant can only be so far away.
const GRACE_MAX: Duration = Duration::from_secs(1 << 25);
/// The signal by which a process is asked to end.
const TERMINATE: i32 = 15;
/// Quick ends, one after the other, that are a crash loop.
const CRASHES: u32 = 5;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Start the process.
    Start,
    /// Ask its group to end.
    Terminate,
    /// End its group.
    Kill,
    /// Tell people.
    Note(String),
}

/// A process that is wanted, or was until now. Times are since an instant that the caller chooses.
#[derive(Debug)]
pub(super) struct Supervisor {
    wanted: WantedProcess,
    /// Not in what is wanted any more.
    is_dismissed: bool,
    phase: Phase,
    /// When the state changed last.
    since: Duration,
    state: State,
    exit: Option<Exit>,
    restarts: u64,
    /// Quick ends, one after the other.
    quick: u32,
    actions: std::collections::VecDeque<Action>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Not there; to be started then, unless it is held.
    Waiting { until: Duration },
    /// Being started.
    Launching,
    /// There.
    Alive { started: Duration, is_ready: bool, has: Box<WantedProcess>, stop: Option<Stop> },
    /// Not there, and not to be started by itself.
    Over { failed: bool },
    /// Not there, as somebody wanted.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stop {
    kill_at: Option<Duration>,
}

impl Supervisor {
    /// A process that is wanted, and is not there.
    pub(super) fn new(now: Duration, wanted: WantedProcess) -> Self {
        let phase = if wanted.run { Phase::Waiting { until: now } } else { Phase::Stopped };
        let mut supervisor = Self {
            wanted,
            is_dismissed: false,
            phase,
            since: now,
            state: State::Waiting,
            exit: None,
            restarts: 0,
            quick: 0,
            actions: std::collections::VecDeque::new(),
        };
        supervisor.go_on(now);
        supervisor
    }

    /// A process that is wanted, and has ended before in such a way that it is not started again.
    pub(super) fn over(now: Duration, wanted: WantedProcess, exit: Exit, restarts: u64) -> Self {
        let mut supervisor = Self::new(now, wanted);
        if supervisor.wanted.run {
            supervisor.actions.clear();
            supervisor.phase = Phase::Over { failed: exit != Exit::Code(0) };
        }
        (supervisor.exit, supervisor.restarts) = (Some(exit), restarts);
        supervisor.go_on(now);
        supervisor
    }

    /// It is wanted so from now on.
    pub(super) fn handle_wanted(&mut self, now: Duration, wanted: WantedProcess) {
        self.is_dismissed = false;
        let is_other = differs(&self.wanted, &wanted);
        self.wanted = wanted;
        match &self.phase {
            Phase::Waiting { .. } | Phase::Over { .. } if !self.wanted.run => self.phase = Phase::Stopped,
            Phase::Waiting { .. } | Phase::Over { .. } if is_other => self.begin_anew(now),
            Phase::Stopped if self.wanted.run => self.begin_anew(now),
            _ => {}
        }
        self.go_on(now);
    }

    /// It is not wanted any more.
    pub(super) fn handle_dismissed(&mut self, now: Duration) {
        self.is_dismissed = true;
        self.wanted.run = false;
        if matches!(self.phase, Phase::Waiting { .. } | Phase::Over { .. }) {
            self.phase = Phase::Stopped;
        }
        self.go_on(now);
    }

    /// It was started.
    pub(super) fn handle_started(&mut self, now: Duration) {
        let has = Box::new(self.wanted.clone());
        self.phase = Phase::Alive { started: now, is_ready: false, has, stop: None };
        self.go_on(now);
    }

    /// It could not be started. `dice` is a random number.
    pub(super) fn handle_not_started(&mut self, now: Duration, reason: &str, dice: u32) {
        self.exit = None;
        self.ended(now, true, true, dice, &format!("cannot be started: {reason}"));
    }

    /// Its check says that it is ready.
    pub(super) fn handle_ready(&mut self, now: Duration) {
        if let Phase::Alive { is_ready, .. } = &mut self.phase {
            *is_ready = true;
        }
        self.go_on(now);
    }

    /// It has ended. `dice` is a random number.
    pub(super) fn handle_exit(&mut self, now: Duration, exit: Exit, dice: u32) {
        let Phase::Alive { started, ref stop, ref has, .. } = self.phase else { return };
        let was_asked = stop.is_some();
        let is_other = differs(has, &self.wanted);
        let is_quick = now.saturating_sub(started) < HEALTHY;
        // That it did as it was asked is no news.
        let is_stopped = was_asked && exit == Exit::Signal(TERMINATE);
        self.exit = (!is_stopped).then_some(exit);
        let said = match exit {
            _ if is_stopped => "stopped".to_owned(),
            Exit::Code(code) => format!("exited with code {code}"),
            Exit::Signal(signal) => format!("ended by signal {signal}"),
        };
        if was_asked || is_other {
            self.note(said);
            self.phase = Phase::Stopped;
            if self.wanted.run {
                self.begin_anew(now);
            }
            self.go_on(now);
        } else {
            self.ended(now, exit != Exit::Code(0), is_quick, dice, &said);
        }
    }

    /// Time has passed; too early or too often does no harm.
    pub(super) fn handle_timeout(&mut self, now: Duration) {
        self.go_on(now);
    }

    /// What to do next.
    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to come back.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Waiting { until } if !self.wanted.hold => Some(*until),
            Phase::Alive { stop: Some(stop), .. } => stop.kill_at,
            _ => None,
        }
    }

    /// What it is to be.
    pub(super) const fn wanted(&self) -> &WantedProcess {
        &self.wanted
    }

    /// The generation that it was started as.
    pub(super) fn generation(&self) -> u64 {
        match &self.phase {
            Phase::Alive { has, .. } => has.generation,
            _ => self.wanted.generation,
        }
    }

    /// What it does, and since when.
    pub(super) const fn state(&self) -> (State, Duration) {
        (self.state, self.since)
    }

    /// How it ended last.
    pub(super) const fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// How often it was started again by itself.
    pub(super) const fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Whether there is a process.
    pub(super) const fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Alive { .. } | Phase::Launching)
    }

    /// Whether it has ended by itself, and is not started again.
    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Over { .. })
    }

    /// Whether there is none, and none will come by itself.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over { .. } | Phase::Stopped)
    }

    /// Whether nothing of it is left and nobody wants it.
    pub(super) const fn is_gone(&self) -> bool {
        self.is_dismissed && !self.is_alive()
    }

    fn note(&mut self, text: String) {
        self.actions.push_back(Action::Note(text));
    }

    fn begin_anew(&mut self, now: Duration) {
        self.quick = 0;
        self.phase = Phase::Waiting { until: now };
    }

    /// It has ended by itself, or never began.
    fn ended(&mut self, now: Duration, failed: bool, is_quick: bool, dice: u32, said: &str) {
        self.quick = if is_quick { self.quick.saturating_add(1) } else { 0 };
        let again = match self.wanted.restart {
            Restart::Always => true,
            Restart::OnFailure => failed,
            Restart::Never => false,
        };
        if !self.wanted.run {
            self.note(said.to_owned());
            self.phase = Phase::Stopped;
        } else if again {
            let rest = rest(self.quick, dice);
            let loops = if self.quick >= CRASHES { " (it ends soon after each start)" } else { "" };
            self.note(format!("{said}; starting it again in {:.1} s{loops}", rest.as_secs_f64()));
            self.phase = Phase::Waiting { until: now + rest };
            self.restarts += 1;
        } else {
            self.note(said.to_owned());
            self.phase = Phase::Over { failed };
        }
        self.go_on(now);
    }

    /// Does what is due, and names the state.
    fn go_on(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::Waiting { until } if self.wanted.run && !self.wanted.hold && *until <= now => {
                self.phase = Phase::Launching;
                self.actions.push_back(Action::Start);
            }
            Phase::Alive { has, stop, .. } => {
                let is_to_end = !self.wanted.run || differs(has, &self.wanted);
                match stop {
                    None if is_to_end => {
                        let grace = Duration::from_secs(self.wanted.grace_seconds).min(GRACE_MAX);
                        *stop = Some(Stop { kill_at: Some(now + grace) });
                        self.actions.push_back(Action::Terminate);
                    }
                    Some(Stop { kill_at: kill_at @ Some(_) }) if kill_at.is_some_and(|at| at <= now) => {
                        *kill_at = None;
                        self.actions.push_back(Action::Note("does not end when asked to; killing it".to_owned()));
                        self.actions.push_back(Action::Kill);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        let state = self.named();
        if state != self.state {
            (self.state, self.since) = (state, now);
        }
    }

    fn named(&self) -> State {
        match &self.phase {
            Phase::Waiting { .. } if self.quick >= CRASHES => State::CrashLoop,
            Phase::Waiting { .. } => State::Waiting,
            Phase::Launching => State::Starting,
            Phase::Alive { stop: Some(_), .. } => State::Stopping,
            Phase::Alive { has, .. } if has.ready.is_none() => State::Running,
            Phase::Alive { is_ready: true, .. } => State::Ready,
            Phase::Alive { .. } => State::Starting,
            Phase::Over { failed: true } => State::Failed,
            Phase::Over { failed: false } | Phase::Stopped => State::Exited,
        }
    }
}

/// Whether what was started as one is to be replaced by the other.
pub(super) fn differs(has: &WantedProcess, wanted: &WantedProcess) -> bool {
    has.generation < wanted.generation
        || (&has.command, &has.environment, &has.directory) != (&wanted.command, &wanted.environment, &wanted.directory)
}

/// The rest after so many quick ends: twice as long each time, of which a random part, half at least.
fn rest(quick: u32, dice: u32) -> Duration {
    let ((first, most), steps) = match quick.checked_sub(CRASHES) {
        Some(more) => (CRASH_BACKOFF, more),
        None => (BACKOFF, quick.saturating_sub(1)),
    };
    let full = first.saturating_mul(1 << steps.min(20)).min(most);
    full / 2 + (full / 2).mul_f64(f64::from(dice) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
