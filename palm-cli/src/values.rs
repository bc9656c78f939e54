//! Values of flags that need more than `FromStr`: sizes, durations, addresses.

use std::net::SocketAddr;
use std::time::Duration;

use palm_transport_tcp::Address;

/// Reads a number of bytes: `65536`, `256MiB`, `1.5GiB`, `64k`, `10MB`.
///
/// `KiB`, `MiB`, `GiB`, and the letters `K`, `M`, `G` alone, count in steps of 1024; `KB`, `MB`, `GB` in steps of 1000.
///
/// # Errors
/// A sentence that says what would be understood.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = split_unit(text);
    let number: f64 = number.parse().map_err(|_| "expected a size such as 65536, 256MiB or 1.5GiB".to_owned())?;
    let step: f64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        _ => return Err(format!("`{unit}` is no unit of size; use KiB, MiB, GiB, KB, MB or GB")),
    };
    let bytes = number * step;
    // Up to 2^53 a float holds every whole number, so nothing is rounded below that.
    if !(0.0..=9_007_199_254_740_992.0).contains(&bytes) {
        return Err("out of range".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range has just been checked")]
    let whole = bytes.round() as u64;
    usize::try_from(whole).map_err(|_| "out of range".to_owned())
}

/// As [`size`], and not 0.
///
/// # Errors
/// A sentence that says what would be understood.
pub(crate) fn size_above_zero(text: &str) -> Result<usize, String> {
    match size(text)? {
        0 => Err("must be more than 0".to_owned()),
        bytes => Ok(bytes),
    }
}

/// Reads a time: `30s`, `250ms`, `1.5m`, `1h30m`, or a plain number of seconds.
///
/// # Errors
/// A sentence that says what would be understood.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time such as 30s, 250ms, 1.5m or 1h30m".to_owned();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(expected());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| expected())?;
        let after = &rest[digits..];
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        seconds += number
            * match after[..letters].trim() {
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                "" if digits == text.trim().len() => 1.0,
                unit => return Err(format!("`{unit}` is no unit of time; use us, ms, s, m, h or d")),
            };
        rest = &after[letters..];
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| "out of range".to_owned())
}

/// As [`duration`], and not 0.
///
/// # Errors
/// A sentence that says what would be understood.
pub(crate) fn duration_above_zero(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        time => Ok(time),
    }
}

/// A name by which a server can be addressed (`docs/spec.md`, section 1.3): the word before the first dot of a function, and
/// functions are told apart by blanks.
///
/// # Errors
/// A sentence that says what would be understood.
pub(crate) fn server_name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("a server needs a name".to_owned());
    }
    match text.chars().find(|c| *c == '.' || c.is_whitespace() || c.is_control()) {
        Some(c) => Err(format!("nobody could address it: functions are written SERVER.METHOD, so a name has no {c:?}")),
        None => Ok(text.to_owned()),
    }
}

/// The functions of a message, a word for each stage.
///
/// # Errors
/// If there is no word.
pub(crate) fn function(text: &str) -> Result<String, String> {
    match text.split_ascii_whitespace().next() {
        Some(_) => Ok(text.to_owned()),
        None => Err("it names no function".to_owned()),
    }
}

/// An address to bind: `tcp://host:port` (`*` or `0.0.0.0` for every interface, an interface's name for its first address, port 0
/// for a free one) or `ipc://path`.
///
/// # Errors
/// A sentence that says what would be understood.
pub(crate) fn bind_address(text: &str) -> Result<String, String> {
    address(text)?;
    Ok(text.to_owned())
}

/// An address to connect to: `tcp://host:port` or `ipc://path`.
///
/// # Errors
/// A sentence that says what would be understood.
pub(crate) fn peer_address(text: &str) -> Result<String, String> {
    if let Some((host, port)) = address(text)? {
        if matches!(host, "*" | "0.0.0.0" | "[::]") {
            return Err(format!(
                "`{host}` is every interface of the machine that binds; name the machine to connect to"
            ));
        }
        if port == 0 {
            return Err("port 0 means any free port, which can only be bound; name the port to connect to".to_owned());
        }
    }
    Ok(text.to_owned())
}

/// Where to listen: an address and a port, or an interface and a port.
///
/// # Errors
/// A sentence that says what would be understood.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    const EXPECTED: &str = "expected ADDRESS:PORT or INTERFACE:PORT (an IPv6 address in brackets)";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or(EXPECTED)?;
    let port = port.parse().map_err(|_| format!("`{port}` is no port; {EXPECTED}"))?;
    let found = palm_host::local_address(host.trim_matches(['[', ']']), port).map_err(|error| error.to_string())?;
    let nothing = std::io::Error::other("it is no address of this machine");
    found.ok_or_else(|| format!("{}; {EXPECTED}", palm_host::unknown_host(host, nothing)))
}

/// Where native peers connect to over TCP: `HOST:PORT`, or as an address.
///
/// # Errors
/// A sentence that says what would be understood.
pub(crate) fn native_tcp(text: &str) -> Result<String, String> {
    let address = if text.contains("://") { text.to_owned() } else { format!("tcp://{text}") };
    if !address.starts_with("tcp://") {
        return Err("expected HOST:PORT".to_owned());
    }
    bind_address(&address)
}

/// Where native peers connect to over a Unix socket: its path, or as an address.
///
/// # Errors
/// A sentence that says what would be understood.
pub(crate) fn native_unix(text: &str) -> Result<String, String> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    bind_address(&format!("ipc://{path}"))?;
    Ok(format!("unix://{path}"))
}

/// Where a master takes native peers: `HOST:PORT`, or an address of TCP, a Unix socket or a serial line.
///
/// # Errors
/// A sentence that says what would be understood.
pub(crate) fn native_peer(text: &str) -> Result<String, String> {
    let address = if text.contains("://") { text.to_owned() } else { format!("tcp://{text}") };
    if address.starts_with("tcp://") {
        return peer_address(&address);
    }
    match address.parse::<Address>() {
        Ok(address) => Ok(address.to_string()),
        Err(error) => Err(error.why.to_owned()),
    }
}

/// A serial line, as an address: `/dev/ttyUSB0`, `/dev/ttyUSB0?baud=921600`.
///
/// # Errors
/// A sentence that says what would be understood.
pub(crate) fn serial_line(text: &str) -> Result<String, String> {
    let device = text.strip_prefix("serial://").unwrap_or(text);
    let address: Result<Address, _> = format!("serial://{device}").parse();
    address.map(|address| address.to_string()).map_err(|error| error.why.to_owned())
}

/// Host and port of a checked address, which may be `*`; `None` for a path.
pub(crate) fn host_and_port(checked: &str) -> Option<(&str, u16)> {
    address(checked).ok().flatten()
}

/// Host and port of an address; `None` for a path.
fn address(text: &str) -> Result<Option<(&str, u16)>, String> {
    const EXPECTED: &str = "expected tcp://HOST:PORT or ipc://PATH";
    if let Some(path) = text.strip_prefix("ipc://") {
        return match path.len() {
            0 => Err(EXPECTED.to_owned()),
            1..=107 => Ok(None),
            length => Err(format!("the path has {length} bytes; a Unix socket's may have 107")),
        };
    }
    let rest = text.strip_prefix("tcp://").ok_or_else(|| match text.split_once("://") {
        Some((scheme, _)) => format!("`{scheme}://` is not spoken here; {EXPECTED}"),
        None => EXPECTED.to_owned(),
    })?;
    let (host, port) = rest.rsplit_once(':').ok_or_else(|| format!("the port is missing; {EXPECTED}"))?;
    let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    if host.is_empty() || bare_v6 || host.contains(['/', ' ']) {
        return Err(format!("`{host}` is no host; {EXPECTED} (an IPv6 address in brackets)"));
    }
    // As libzmq has it, `*` is any free port.
    let port = if port == "*" { "0" } else { port };
    let number = port.parse().map_err(|_| format!("`{port}` is no port; {EXPECTED}"))?;
    Ok(Some((host, number)))
}

/// Where the number ends and the unit begins.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("1k", 1024),
            ("256MiB", 256 << 20),
            ("256 mib", 256 << 20),
            ("1.5GiB", 3 << 29),
            ("10MB", 10_000_000),
            ("2GB", 2_000_000_000),
            ("7B", 7),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1TiBs", "1e400", "12 monkeys", "99999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(size_above_zero("0").is_err());
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("30s", 30_000),
            ("250ms", 250),
            ("5", 5_000),
            ("1.5m", 90_000),
            ("1h30m", 5_400_000),
            ("0", 0),
            ("2 s", 2_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1y", "-1s", "1s2", "1..2s", "9e99h", "99999999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration_above_zero("0ms").is_err());
    }

    #[test]
    fn addresses() {
        for text in [
            "tcp://127.0.0.1:5555",
            "tcp://*:0",
            "tcp://*:*",
            "tcp://[::1]:80",
            "tcp://node-3.lan:5555",
            "ipc:///run/palm",
        ] {
            assert!(bind_address(text).is_ok(), "{text}");
        }
        for text in
            ["", "5555", "tcp://localhost", "tcp://:5555", "tcp://h:70000", "inproc://x", "ipc://", "tcp://::1:5"]
        {
            assert!(bind_address(text).is_err(), "{text}");
        }
        assert!(peer_address("tcp://*:5555").is_err());
        assert!(peer_address("tcp://127.0.0.1:0").is_err());
        assert!(peer_address("tcp://127.0.0.1:5559").is_ok());
    }

    #[test]
    fn places_to_listen() {
        for (text, address) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("lo:80", "127.0.0.1:80"),
            ("[::1%lo]:80", "[::1]:80"),
        ] {
            assert_eq!(listen(text), Ok(address.parse().unwrap()), "{text}");
        }
        for text in ["", "80", "lo", "lo:x", "no-such-interface:80", "[fe80::1%none]:80"] {
            assert!(listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_that_nobody_could_address() {
        for text in ["", "a b", "a.b", ".", "a\tb", "a\n"] {
            assert!(server_name(text).is_err(), "{text:?}");
        }
        for text in ["test", "node-1", "größe", "a_b:c"] {
            assert!(server_name(text).is_ok(), "{text:?}");
        }
        assert!(function(" ").is_err() && function("").is_err() && function("a b.c").is_ok());
    }

    #[test]
    fn native_addresses() {
        for (text, address) in [
            ("node-3:5550", "tcp://node-3:5550"),
            ("tcp://[::1]:5550", "tcp://[::1]:5550"),
            ("unix:///run/palm", "unix:///run/palm"),
            ("serial:///dev/ttyS0", "serial:///dev/ttyS0?baud=115200"),
        ] {
            assert_eq!(native_peer(text).as_deref(), Ok(address));
        }
        for text in ["5550", "*:5550", "node:0", "ipc:///run/palm", "unix://", "serial:///dev/ttyS0?baud=x"] {
            assert!(native_peer(text).is_err(), "{text}");
        }
        assert_eq!(serial_line("/dev/ttyS0?baud=9600").as_deref(), Ok("serial:///dev/ttyS0?baud=9600"));
        assert_eq!(serial_line("serial:///dev/ttyS0").as_deref(), Ok("serial:///dev/ttyS0?baud=115200"));
        assert!(serial_line("/dev/ttyS0?parity=odd").is_err());
    }
}
