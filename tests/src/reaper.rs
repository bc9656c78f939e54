//! A shell that outlives the test program for a moment, to kill what it would leave behind.
//!
//! A [`crate::Process`] kills its group when it is dropped; but nothing is dropped when the test program is killed, or
//! when it exits while a thread still runs. The shell reads the groups from a pipe, and the pipe's end is that event.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};

const SCRIPT: &str = r#"
trap '' INT TERM HUP
groups=' '
while read -r verb group; do
    case $verb in
        add) groups="$groups$group " ;;
        del) groups="${groups%% $group *} ${groups#* $group }" ;;
    esac
done
for group in $groups; do kill -9 "-$group" 2>/dev/null; done
"#;

/// Notes a process group that has to go with the test program.
pub fn add(group: u32) {
    tell(&format!("add {group}\n"));
}

/// Forgets a group that is gone already.
pub fn remove(group: u32) {
    tell(&format!("del {group}\n"));
}

fn tell(line: &str) {
    static REAPER: OnceLock<Mutex<(Child, ChildStdin)>> = OnceLock::new();
    let reaper = REAPER.get_or_init(|| {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut shell = command.process_group(0).spawn().expect("sh can be started");
        let stdin = shell.stdin.take().expect("its standard input is a pipe");
        Mutex::new((shell, stdin))
    });
    let mut reaper = reaper.lock().expect("nobody panics with the reaper in hand");
    reaper.1.write_all(line.as_bytes()).expect("the reaper reads until the end");
}
