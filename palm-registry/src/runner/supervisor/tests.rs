use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::cluster::Readiness;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn wanted(restart: Restart) -> WantedProcess {
    WantedProcess {
        component: "c".into(),
        copy: 0,
        command: "run".into(),
        environment: BTreeMap::new(),
        directory: None,
        restart,
        grace_seconds: 10,
        ready: None,
        run: true,
        hold: false,
        generation: 0,
        level: None,
    }
}

/// What is to be done, without what people are told.
fn actions(supervisor: &mut Supervisor) -> Vec<Action> {
    let all: Vec<_> = std::iter::from_fn(|| supervisor.poll_action()).collect();
    all.into_iter().filter(|action| !matches!(action, Action::Note(_))).collect()
}

/// Started at zero.
fn started(wanted: WantedProcess) -> Supervisor {
    let mut supervisor = Supervisor::new(at(0), wanted);
    assert_eq!(actions(&mut supervisor), [Action::Start]);
    supervisor.handle_started(at(0));
    supervisor
}

#[test]
fn what_has_ended_before_is_started_again_only_if_somebody_says_so() {
    let mut supervisor = Supervisor::over(at(5), wanted(Restart::OnFailure), Exit::Code(0), 3);
    assert_eq!(
        (supervisor.state(), supervisor.exit(), supervisor.restarts()),
        ((State::Exited, at(5)), Some(Exit::Code(0)), 3)
    );
    assert!(actions(&mut supervisor).is_empty() && supervisor.has_ended());
    supervisor.handle_wanted(at(6), wanted(Restart::OnFailure));
    assert!(actions(&mut supervisor).is_empty());
    supervisor.handle_wanted(at(7), WantedProcess { generation: 1, ..wanted(Restart::OnFailure) });
    assert_eq!(actions(&mut supervisor), [Action::Start]);
    let failed = Supervisor::over(at(0), wanted(Restart::Never), Exit::Code(1), 0);
    assert_eq!(failed.state().0, State::Failed);
    let stopped = WantedProcess { run: false, ..wanted(Restart::OnFailure) };
    let mut supervisor = Supervisor::over(at(0), stopped, Exit::Code(0), 0);
    supervisor.handle_wanted(at(1), wanted(Restart::OnFailure));
    assert_eq!(actions(&mut supervisor), [Action::Start], "as it is for one that was stopped");
}

#[test]
fn it_is_started_again_as_its_policy_says() {
    for (restart, exit, state) in [
        (Restart::OnFailure, Exit::Code(0), State::Exited),
        (Restart::OnFailure, Exit::Code(1), State::Waiting),
        (Restart::OnFailure, Exit::Signal(9), State::Waiting),
        (Restart::Always, Exit::Code(0), State::Waiting),
        (Restart::Never, Exit::Code(0), State::Exited),
        (Restart::Never, Exit::Signal(11), State::Failed),
    ] {
        let mut supervisor = started(wanted(restart));
        assert_eq!(supervisor.state().0, State::Running);
        supervisor.handle_exit(at(1), exit, 0);
        assert_eq!((supervisor.state().0, supervisor.exit()), (state, Some(exit)));
        assert_eq!(supervisor.is_over(), state != State::Waiting);
        assert!(actions(&mut supervisor).is_empty(), "not at once");
        supervisor.handle_timeout(at(9));
        assert_eq!(actions(&mut supervisor).len(), usize::from(state == State::Waiting));
    }
}

#[test]
fn rests_grow_and_a_crash_loop_is_known() {
    let mut supervisor = started(wanted(Restart::OnFailure));
    let (mut now, mut rests) = (at(0), Vec::new());
    for _ in 0..8 {
        supervisor.handle_exit(now, Exit::Code(1), u32::MAX);
        let until = supervisor.poll_timeout().unwrap();
        rests.push((until - now).as_millis());
        now = until;
        supervisor.handle_timeout(now);
        assert_eq!(actions(&mut supervisor), [Action::Start]);
        supervisor.handle_started(now);
    }
    assert_eq!(rests, [200, 400, 800, 1600, 30_000, 60_000, 120_000, 240_000]);
    supervisor.handle_exit(now, Exit::Code(1), 0);
    assert_eq!((supervisor.state().0, supervisor.restarts()), (State::CrashLoop, 9));
    assert_eq!(supervisor.poll_timeout(), Some(now + at(150)), "the longest, and half of it is random");
    // Once it lives, all is forgotten.
    now += at(300);
    supervisor.handle_timeout(now);
    supervisor.handle_started(now);
    supervisor.handle_exit(now + at(11), Exit::Code(1), u32::MAX);
    assert_eq!(supervisor.state(), (State::Waiting, now + at(11)));
}

#[test]
fn it_is_asked_to_end_and_killed_after_its_grace() {
    let mut supervisor = started(wanted(Restart::Always));
    supervisor.handle_wanted(at(5), WantedProcess { run: false, ..wanted(Restart::Always) });
    assert_eq!((actions(&mut supervisor), supervisor.state().0), (vec![Action::Terminate], State::Stopping));
    supervisor.handle_timeout(at(14));
    assert!(actions(&mut supervisor).is_empty());
    assert_eq!(supervisor.poll_timeout(), Some(at(15)));
    supervisor.handle_timeout(at(15));
    supervisor.handle_timeout(at(16));
    assert_eq!(actions(&mut supervisor), [Action::Kill], "once");
    supervisor.handle_exit(at(16), Exit::Signal(9), 0);
    assert_eq!((supervisor.state().0, supervisor.is_over()), (State::Exited, true));
    supervisor.handle_wanted(at(20), wanted(Restart::Always));
    assert_eq!(actions(&mut supervisor), [Action::Start]);
}

#[test]
fn that_it_ends_as_it_was_asked_to_is_no_news() {
    let stop = || WantedProcess { run: false, ..wanted(Restart::Always) };
    for (exit, note, known) in [
        (Exit::Signal(15), "stopped", None),
        (Exit::Signal(11), "ended by signal 11", Some(Exit::Signal(11))),
        (Exit::Code(3), "exited with code 3", Some(Exit::Code(3))),
    ] {
        let mut supervisor = started(wanted(Restart::Always));
        supervisor.handle_wanted(at(1), stop());
        assert_eq!(actions(&mut supervisor), [Action::Terminate]);
        supervisor.handle_exit(at(2), exit, 0);
        assert_eq!(supervisor.poll_action(), Some(Action::Note(note.to_owned())));
        assert_eq!((supervisor.state().0, supervisor.exit()), (State::Exited, known));
    }
    // Nobody has asked this one.
    let mut supervisor = started(wanted(Restart::Never));
    supervisor.handle_exit(at(2), Exit::Signal(15), 0);
    assert_eq!(supervisor.exit(), Some(Exit::Signal(15)));
}

#[test]
fn a_greater_generation_or_another_command_replaces_it() {
    let changes: [fn(&mut WantedProcess); 4] = [
        |wanted| wanted.generation = 1,
        |wanted| wanted.command = "other".into(),
        |wanted| drop(wanted.environment.insert("A".into(), "b".into())),
        |wanted| wanted.directory = Some("/".into()),
    ];
    for change in changes {
        let mut other = wanted(Restart::Never);
        change(&mut other);
        let mut supervisor = started(wanted(Restart::Never));
        supervisor.handle_wanted(at(1), other.clone());
        assert_eq!(actions(&mut supervisor), [Action::Terminate]);
        assert_eq!(supervisor.generation(), 0);
        supervisor.handle_exit(at(2), Exit::Signal(15), 0);
        assert_eq!((actions(&mut supervisor), supervisor.generation()), (vec![Action::Start], other.generation));
        // Also one that has ended.
        let mut supervisor = started(wanted(Restart::Never));
        supervisor.handle_exit(at(2), Exit::Code(0), 0);
        supervisor.handle_wanted(at(3), other);
        assert_eq!(actions(&mut supervisor), [Action::Start]);
    }
}

#[test]
fn one_that_is_held_waits_and_one_that_runs_goes_on() {
    let held = WantedProcess { hold: true, ..wanted(Restart::Always) };
    let mut supervisor = Supervisor::new(at(0), held.clone());
    supervisor.handle_timeout(at(1));
    assert_eq!((actions(&mut supervisor), supervisor.poll_timeout()), (vec![], None));
    supervisor.handle_wanted(at(2), wanted(Restart::Always));
    assert_eq!(actions(&mut supervisor), [Action::Start]);
    supervisor.handle_started(at(2));
    supervisor.handle_wanted(at(3), held);
    assert_eq!((actions(&mut supervisor), supervisor.state().0), (vec![], State::Running));
}

#[test]
fn it_is_ready_when_its_check_says_so() {
    let checked = WantedProcess { ready: Some(Readiness::Tcp("h:1".into())), ..wanted(Restart::Always) };
    let mut supervisor = started(checked);
    assert_eq!(supervisor.state().0, State::Starting);
    supervisor.handle_ready(at(4));
    assert_eq!(supervisor.state(), (State::Ready, at(4)));
    supervisor.handle_exit(at(5), Exit::Code(0), 0);
    supervisor.handle_ready(at(5));
    assert_eq!(supervisor.state().0, State::Waiting, "what is told of the last one is old");
}

#[test]
fn what_is_dismissed_ends_and_is_gone() {
    let mut supervisor = started(wanted(Restart::Always));
    supervisor.handle_dismissed(at(1));
    assert_eq!((actions(&mut supervisor), supervisor.is_gone()), (vec![Action::Terminate], false));
    supervisor.handle_exit(at(2), Exit::Code(0), 0);
    assert!(supervisor.is_gone() && actions(&mut supervisor).is_empty());
    let mut supervisor = Supervisor::new(at(0), wanted(Restart::Always));
    assert_eq!(actions(&mut supervisor), [Action::Start]);
    supervisor.handle_dismissed(at(0));
    supervisor.handle_started(at(0));
    assert_eq!(actions(&mut supervisor), [Action::Terminate], "also one that was being started");
}

#[test]
fn one_that_cannot_be_started_is_tried_again_unless_it_never_is() {
    for (restart, state) in [(Restart::OnFailure, State::Waiting), (Restart::Never, State::Failed)] {
        let mut supervisor = Supervisor::new(at(0), wanted(restart));
        actions(&mut supervisor);
        supervisor.handle_not_started(at(0), "there is no such program", 0);
        assert_eq!(supervisor.state().0, state);
    }
}

proptest! {
    #[test]
    fn there_is_never_more_than_one_process(steps in prop::collection::vec((0..7_u8, 0..20_u64, any::<u32>()), 0..100)) {
        let (mut now, mut alive, mut launching) = (at(0), false, false);
        let mut supervisor = Supervisor::new(now, wanted(Restart::OnFailure));
        for (step, seconds, dice) in steps {
            while let Some(action) = supervisor.poll_action() {
                match action {
                    Action::Start => {
                        prop_assert!(!alive && !launching, "it is there already");
                        launching = true;
                    }
                    Action::Terminate | Action::Kill => prop_assert!(alive, "there is nothing to end"),
                    Action::Note(_) => {}
                }
            }
            prop_assert_eq!(supervisor.is_alive(), alive || launching);
            now += at(seconds);
            match step {
                0 if launching => {
                    (launching, alive) = (false, true);
                    supervisor.handle_started(now);
                }
                1 if launching => {
                    launching = false;
                    supervisor.handle_not_started(now, "", dice);
                }
                2 | 3 if alive => {
                    alive = false;
                    supervisor.handle_exit(now, Exit::Code(i32::from(step) - 2), dice);
                }
                4 => {
                    let generation = u64::from(dice % 3).max(supervisor.wanted().generation);
                    let (run, hold) = (dice % 4 > 0, dice % 5 == 0);
                    supervisor.handle_wanted(now, WantedProcess { generation, run, hold, ..wanted(Restart::OnFailure) });
                }
                5 => supervisor.handle_dismissed(now),
                _ => supervisor.handle_timeout(now),
            }
        }
    }
}

#[test]
fn a_grace_without_end_is_an_instant_that_there_can_be() {
    let mut supervisor = Supervisor::new(at(0), WantedProcess { grace_seconds: u64::MAX, ..wanted(Restart::Never) });
    supervisor.handle_started(at(1));
    supervisor.handle_dismissed(at(2));
    let timeout = supervisor.poll_timeout().unwrap();
    assert!(std::time::Instant::now().checked_add(timeout).is_some(), "{timeout:?}");
}
