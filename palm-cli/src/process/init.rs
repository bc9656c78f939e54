//! The first process of a container: whatever loses its parent there becomes its child, and it is the one who has to wait for that.
//!
//! A program that starts others waits for each of its own; if it waited for anybody, it would take their ends away from those that ask for
//! them. So it runs as the child of a process that only hands on signals and waits.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

use crate::commands;

/// Whether this is the first process.
pub(crate) fn is_first() -> bool {
    std::process::id() == 1
}

/// Runs this program, with the same arguments, as a child, and gives the exit status that it ends with, as a shell has it.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn stand_in(arguments: &[OsString]) -> anyhow::Result<u8> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the async runtime")?;
    runtime.block_on(async {
        let mut ended = signal(SignalKind::child()).context("cannot listen for signals")?;
        // In a group of its own: a Ctrl-C reaches this process, which hands it on, and must not come twice.
        let mut command = Command::new(std::env::current_exe()?);
        let child = command.args(arguments.iter().skip(1)).process_group(0).spawn();
        let child = child.context("cannot start this program again")?;
        let child = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the child has no number")?;
        hand_on(child)?;
        loop {
            while let Ok(Some((process, status))) = wait(WaitOptions::NOHANG) {
                if process == child {
                    let code = status.exit_status().or_else(|| Some(status.terminating_signal()? + 128));
                    return Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
                }
            }
            ended.recv().await;
        }
    })
}

/// Hands signals on from now on.
fn hand_on(child: Pid) -> anyhow::Result<()> {
    let hangup = commands::can_be_hung_up().then_some((SignalKind::hangup(), Signal::HUP));
    let others = [
        (SignalKind::interrupt(), Signal::INT),
        (SignalKind::quit(), Signal::QUIT),
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::user_defined1(), Signal::USR1),
        (SignalKind::user_defined2(), Signal::USR2),
    ];
    for (kind, number) in hangup.into_iter().chain(others) {
        let mut heard = signal(kind).context("cannot listen for signals")?;
        tokio::spawn(async move {
            while heard.recv().await.is_some() {
                // Its end may not have been noticed yet.
                let _ = kill_process(child, number);
            }
        });
    }
    Ok(())
}
