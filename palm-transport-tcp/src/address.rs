//! Where a master is: `tcp://HOST:PORT`, `unix:///PATH`, `serial:///DEVICE?baud=RATE`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Bits a second of a serial line whose address does not tell.
const BAUD: u32 = 115_200;

/// Where a master listens, or is found.
///
/// ```
/// use palm_transport_tcp::Address;
///
/// let address: Address = "serial:///dev/ttyUSB0?baud=921600".parse()?;
/// assert_eq!(address, Address::Serial { path: "/dev/ttyUSB0".into(), baud: 921_600 });
/// assert_eq!(address.to_string(), "serial:///dev/ttyUSB0?baud=921600");
///
/// let error = "tcp://somewhere".parse::<Address>().unwrap_err();
/// assert_eq!(error.to_string(), "tcp://somewhere: the port is missing: use tcp://HOST:PORT");
/// # Ok::<(), palm_transport_tcp::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A port of a host.
    Tcp {
        /// A name or an address, without brackets. `*`, to listen: all interfaces.
        host: String,
        /// 0, to listen: a free one. Written `0` or `*`.
        port: u16,
    },
    /// A Unix socket.
    Unix {
        /// The socket's file.
        path: PathBuf,
    },
    /// A serial line: 8 data bits, no parity, one stop bit, no flow control.
    Serial {
        /// The device.
        path: PathBuf,
        /// Bits a second; 115200 unless given.
        baud: u32,
    },
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let parsed = match text.split_once("://") {
            Some(("tcp", rest)) => tcp(rest),
            Some(("unix", rest)) => unix(rest),
            Some(("serial", rest)) => serial(rest),
            _ => Err("use tcp://HOST:PORT, unix:///PATH or serial:///DEVICE?baud=RATE"),
        };
        parsed.map_err(|why| AddressError { address: text.into(), why })
    }
}

fn tcp(rest: &str) -> Result<Address, &'static str> {
    let (host, port) = rest.rsplit_once(':').ok_or("the port is missing: use tcp://HOST:PORT")?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').ok_or("the bracket after the host is missing")?,
        None if host.contains(':') => return Err("an IPv6 address stands in brackets: use tcp://[ADDRESS]:PORT"),
        None => host,
    };
    if host.is_empty() {
        return Err("the host is missing: use tcp://HOST:PORT");
    }
    let port = match port {
        "*" => 0,
        digits => digits.parse().map_err(|_| "the port is not a number from 0 to 65535")?,
    };
    Ok(Address::Tcp { host: host.into(), port })
}

fn unix(path: &str) -> Result<Address, &'static str> {
    match path {
        "" | "/" => Err("the path is missing: use unix:///run/palm.sock"),
        path => Ok(Address::Unix { path: path.into() }),
    }
}

fn serial(rest: &str) -> Result<Address, &'static str> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if matches!(path, "" | "/") {
        return Err("the device is missing: use serial:///dev/ttyUSB0?baud=115200");
    }
    let baud = match query.split_once('=') {
        None if query.is_empty() => BAUD,
        Some(("baud", rate)) => match rate.parse() {
            Ok(0) | Err(_) => return Err("the rate is not a number of bits a second: use ?baud=115200"),
            Ok(rate) => rate,
        },
        _ => return Err("a serial line has nothing but a rate to set: use ?baud=115200"),
    };
    Ok(Address::Serial { path: path.into(), baud })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Unix { path } => write!(f, "unix://{}", path.display()),
            Self::Serial { path, baud } => write!(f, "serial://{}?baud={baud}", path.display()),
        }
    }
}

/// What was given as an address is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    /// What was given.
    pub address: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.why)
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_back() {
        for (text, again) in [
            ("tcp://localhost:5550", "tcp://localhost:5550"),
            ("tcp://*:*", "tcp://*:0"),
            ("tcp://[::1]:80", "tcp://[::1]:80"),
            ("unix:///run/palm.sock", "unix:///run/palm.sock"),
            ("unix://palm.sock", "unix://palm.sock"),
            ("serial:///dev/ttyS0", "serial:///dev/ttyS0?baud=115200"),
            ("serial:///dev/ttyS0?baud=9600", "serial:///dev/ttyS0?baud=9600"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), again);
        }
    }

    #[test]
    fn what_is_no_address_is_told() {
        for (text, why) in [
            ("localhost:5550", "use tcp://"),
            ("http://localhost:5550", "use tcp://"),
            ("tcp://localhost", "the port is missing"),
            ("tcp://:80", "the host is missing"),
            ("tcp://::1:80", "in brackets"),
            ("tcp://[::1:80", "bracket after"),
            ("tcp://localhost:65536", "not a number"),
            ("unix://", "the path is missing"),
            ("serial://", "the device is missing"),
            ("serial:///dev/ttyS0?baud=fast", "the rate"),
            ("serial:///dev/ttyS0?baud=0", "the rate"),
            ("serial:///dev/ttyS0?parity=odd", "nothing but a rate"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.starts_with(text) && error.contains(why), "{error}");
        }
    }
}
