//! Files that a user names: each is read up to a bound, for it may be a pipe, or something that has no end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use palm_registry::private;

use crate::{output, wrong_use};

/// A cluster file, or one of settings, in bytes. A registry takes shorter ones only.
pub(crate) const CLUSTER_MAX: usize = 16 << 20;
/// A token, a key or certificates, in bytes.
const SECRET_MAX: usize = 1 << 20;
/// A value for a master's cache, in bytes.
pub(crate) const VALUE_MAX: usize = 1 << 30;

/// All that there is to read, `most` bytes at most.
///
/// # Errors
/// If it cannot be read, or has more.
pub(crate) fn read_all(from: impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    from.take(most as u64 + 1).read_to_end(&mut content)?;
    if content.len() > most {
        let reason = format!("expected {most} bytes at most, found more");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(content)
}

/// The same of text.
///
/// # Errors
/// If it cannot be read, has more, or is no UTF-8.
pub(crate) fn read_text(from: impl Read, most: usize) -> io::Result<String> {
    let no_text = |error: std::string::FromUtf8Error| {
        let line =
            1 + error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|&&byte| byte == b'\n').count();
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is no UTF-8"))
    };
    String::from_utf8(read_all(from, most)?).map_err(no_text)
}

/// A cluster file, or one of settings.
///
/// # Errors
/// As [`read_text`].
pub(crate) fn text(file: &Path) -> io::Result<String> {
    read_text(File::open(file)?, CLUSTER_MAX)
}

/// A cluster file, or one of settings, whose user is told if it cannot be read.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn text_of(file: &Path) -> anyhow::Result<String> {
    text(file).map_err(|error| cannot_read(file, &error))
}

/// Certificates of a flag.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn certificates(flag: &str, file: &Path) -> anyhow::Result<Vec<u8>> {
    let read = File::open(file).and_then(|opened| read_all(opened, SECRET_MAX));
    read.map_err(|error| wrong_use(format!("{flag}: {}", cannot_read(file, &error))))
}

/// What a file has that is to be a secret. That others can read or change it is said; it is not refused, as systems that hand out
/// secrets as files do not ask how.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn secret(file: &Path) -> io::Result<Vec<u8>> {
    let opened = File::open(file)?;
    let content = read_all(&opened, SECRET_MAX)?;
    if private::is_open_to_others(&opened) {
        let file = file.display();
        output::say(&format_args!(
            "palm: others than you can read or change {file}, which is a secret: chmod 600 {file}"
        ));
    }
    Ok(content)
}

/// The token in a file, without the line's end.
///
/// # Errors
/// If the file cannot be read, or holds none, or one that is too long.
pub(crate) fn token(file: &Path) -> anyhow::Result<String> {
    let text = secret(file).and_then(|text| read_text(&*text, SECRET_MAX));
    let text = text.map_err(|error| wrong_use(format!("cannot read the token file {}: {error}", file.display())))?;
    let token = text.trim_end_matches(['\r', '\n']);
    if token.is_empty() || token.len() > 255 {
        return Err(wrong_use(format!("the token in {} must have 1 to 255 bytes", file.display())));
    }
    Ok(token.to_owned())
}

/// That a file cannot be read, and why.
pub(crate) fn cannot_read(file: &Path, error: &io::Error) -> anyhow::Error {
    wrong_use(format!("cannot read {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_may_be() {
        assert_eq!(read_all(&b"abc"[..], 3).unwrap(), b"abc");
        let error = read_all(io::repeat(b'x'), 3).unwrap_err();
        assert_eq!(error.to_string(), "expected 3 bytes at most, found more");
        assert_eq!(read_text(&b"a\nb\n\xff"[..], 9).unwrap_err().to_string(), "line 3 is no UTF-8");
    }

    #[test]
    fn a_file_without_an_end_is_refused() {
        let endless = Path::new("/dev/zero");
        for said in [
            text_of(endless).unwrap_err().to_string(),
            token(endless).unwrap_err().to_string(),
            certificates("--ca", endless).unwrap_err().to_string(),
        ] {
            assert!(said.contains("/dev/zero: expected ") && said.ends_with(" bytes at most, found more"), "{said}");
        }
        let said = text_of(Path::new("/")).unwrap_err().to_string();
        assert!(said.starts_with("cannot read /: Is a directory"), "{said}");
    }
}
