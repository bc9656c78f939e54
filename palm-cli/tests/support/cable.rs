//! A cable between two serial devices, and a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// The two devices, joined for as long as the test program runs.
pub(crate) fn ends() -> [String; 2] {
    let [(near, first), (far, second)] = [(); 2].map(|()| line());
    for (from, to) in [(&near, &far), (&far, &near)] {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            loop {
                match from.read(&mut bytes) {
                    Ok(0) => return,
                    Ok(count) if to.write_all(&bytes[..count]).is_err() => return,
                    Ok(_) => {}
                    // Nobody has the device open.
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
    }
    [first, second]
}

/// A terminal: the end at which a person sits, and the one that a program reads.
pub(crate) fn terminal() -> (File, File) {
    let (end, _) = pair();
    let other = ioctl_tiocgptpeer(&end, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    (File::from(end), File::from(other))
}

fn line() -> (File, String) {
    let (end, path) = pair();
    let mut settings = tcgetattr(end.as_fd()).unwrap();
    settings.make_raw();
    tcsetattr(end.as_fd(), OptionalActions::Now, &settings).unwrap();
    (File::from(end), path)
}

fn pair() -> (OwnedFd, String) {
    let end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&end).unwrap();
    unlockpt(&end).unwrap();
    let path = ptsname(&end, Vec::new()).unwrap().into_string().unwrap();
    (end, path)
}
