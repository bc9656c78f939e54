//! A serial line: a device in raw mode.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::termios::{ControlModes, OptionalActions, SpecialCodeIndex, ioctl_tiocexcl, isatty, tcgetattr, tcsetattr};

/// Opens a device for 8 data bits, no parity, one stop bit and no flow control, and for nobody else.
///
/// # Errors
/// If there is no such device, it is no serial line, or it does not know the rate.
pub(crate) fn open_line(path: &Path, baud: u32) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = open(path, flags, Mode::empty())?;
    if !isatty(&device) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a serial line"));
    }
    // Two programs that read the same line each get half of what it carries.
    ioctl_tiocexcl(&device)?;
    let mut settings = tcgetattr(&device)?;
    settings.make_raw();
    // The line is there whether or not the other end has a modem's signals.
    settings.control_modes |= ControlModes::CREAD | ControlModes::CLOCAL;
    settings.control_modes -= ControlModes::CSTOPB | ControlModes::CRTSCTS | ControlModes::HUPCL;
    settings.special_codes[SpecialCodeIndex::VMIN] = 1;
    settings.special_codes[SpecialCodeIndex::VTIME] = 0;
    settings.set_speed(baud)?;
    tcsetattr(&device, OptionalActions::Now, &settings)?;
    Ok(File::from(device))
}

#[cfg(test)]
pub(crate) mod tests {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    /// A line without a device: its one end, and the path of its other.
    pub(crate) fn pseudo_line() -> (File, std::path::PathBuf) {
        let end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&end).unwrap();
        unlockpt(&end).unwrap();
        let path = ptsname(&end, Vec::new()).unwrap().into_string().unwrap();
        rustix::io::ioctl_fionbio(&end, true).unwrap();
        (File::from(end), path.into())
    }

    #[test]
    fn bytes_pass_as_they_are() {
        use std::io::{Read, Write};
        let (mut end, path) = pseudo_line();
        let mut line = open_line(&path, 115_200).unwrap();
        let sent: Vec<u8> = (0..=255).collect();
        end.write_all(&sent).unwrap();
        let mut received = Vec::new();
        while received.len() < sent.len() {
            let mut bytes = [0; 256];
            match line.read(&mut bytes) {
                Ok(count) => received.extend_from_slice(&bytes[..count]),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!(received, sent, "no byte means anything to the line");
    }

    #[test]
    fn what_is_no_line_is_told() {
        assert_eq!(open_line(Path::new("/no/such/device"), 9600).unwrap_err().kind(), io::ErrorKind::NotFound);
        let error = open_line(Path::new("/dev/null"), 9600).unwrap_err();
        assert_eq!(error.to_string(), "not a serial line");
    }
}
