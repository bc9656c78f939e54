//! Which process has a number: another has it once the first has ended, but not the same start.

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

/// When a process was started, in ticks since the machine was; `None`: it is not there, or the system does not say.
pub fn started(pid: u32) -> Option<u64> {
    started_in(&read(pid, "stat")?)
}

/// Sends a signal to the process that had this number and was started then; `false`: that process has ended. Where the system does not
/// say when a process was started, its number has to do.
///
/// # Errors
/// If it cannot be sent.
pub fn signal(pid: u32, start: Option<u64>, signal: Signal) -> io::Result<bool> {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
    let is_sent = |sent: rustix::io::Result<()>| match sent {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    };
    #[cfg(target_os = "linux")]
    if let Some(start) = start {
        use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
        // From here on the handle means this process, whoever has its number later.
        let handle = match pidfd_open(process, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(false),
            Err(Errno::NOSYS | Errno::PERM) => None,
            opened => Some(opened?),
        };
        return match (started(pid) == Some(start), handle) {
            (false, _) => Ok(false),
            (true, Some(handle)) => is_sent(pidfd_send_signal(handle, signal)),
            (true, None) => is_sent(rustix::process::kill_process(process, signal)),
        };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = start;
    is_sent(rustix::process::kill_process(process, signal))
}

/// A file that `/proc` has for a process of this one's own namespace: one may see the processes of another there, by other numbers.
fn read(pid: u32, file: &str) -> Option<String> {
    is_proc_ours().then(|| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok())?
}

/// Whether `/proc` has this process under the number that it has for itself.
pub(crate) fn is_proc_ours() -> bool {
    let this = std::fs::read_link("/proc/self");
    this.is_ok_and(|this| this.to_str() == Some(std::process::id().to_string().as_str()))
}

fn started_in(stat: &str) -> Option<u64> {
    // A program's name may have anything in it.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read() {
        let line = "42 (a) b (c)) S 1 40 40 0 -1 4194560 100 200 0 0 7 3 20 10 20 0 1 0 1234 1000000 256 184467 1 1";
        assert_eq!(started_in(line), Some(1234));
        assert_eq!(started_in("42 (a) S"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn another_process_of_the_same_number_gets_no_signal() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let start = started(child.id()).unwrap();
        assert!(!signal(child.id(), Some(start + 1), Signal::KILL).unwrap());
        assert!(child.try_wait().unwrap().is_none());
        for nobody in [0, u32::MAX] {
            assert!(!signal(nobody, None, Signal::KILL).unwrap(), "{nobody} would be a group, or all");
        }
        assert!(signal(child.id(), Some(start), Signal::KILL).unwrap());
        child.wait().unwrap();
        assert!(!signal(child.id(), Some(start), Signal::KILL).unwrap());
        assert_eq!(started(child.id()), None);
    }
}
