//! Calling an address.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};

use super::SocketError;
use crate::stream::Stream;

/// Shortest time that the operating system counts in.
const SECOND: Duration = Duration::from_secs(1);

/// Calls `tcp://HOST:PORT` or `ipc://PATH`. A host that stays away for three heartbeats is noticed by the operating system: always
/// while nothing is on its way, and, if `answers`, also while something is.
///
/// A peer that holds back what is pushed to it has its buffers full, for as long as it likes, which the system cannot tell from a
/// host that is gone: so `answers` is for sockets whose peers always read.
pub(super) async fn dial(address: &str, heartbeat: Duration, answers: bool) -> Result<Stream, SocketError> {
    if let Some(path) = address.strip_prefix("ipc://").or_else(|| address.strip_prefix("unix://")) {
        return Ok(Stream::Unix(UnixStream::connect(path).await?));
    }
    let (host, port) = host_and_port(address)?;
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    if !heartbeat.is_zero() {
        let often = heartbeat.max(SECOND);
        let options = SockRef::from(&stream);
        options.set_tcp_keepalive(&TcpKeepalive::new().with_time(often).with_interval(often).with_retries(2))?;
        #[cfg(target_os = "linux")]
        if answers {
            options.set_tcp_user_timeout(Some(often * 3))?;
        }
    }
    Ok(Stream::Tcp(stream))
}

fn host_and_port(address: &str) -> Result<(&str, u16), SocketError> {
    let wrong = |why| SocketError::Address { why };
    let rest = address.strip_prefix("tcp://").ok_or(wrong("an address is tcp://HOST:PORT or ipc://PATH"))?;
    let (host, port) = rest.rsplit_once(':').ok_or(wrong("the port is missing: an address is tcp://HOST:PORT"))?;
    let port = port.parse().ok().filter(|&port| port > 0).ok_or(wrong("the port is not a number from 1 to 65535"))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() { Err(wrong("the host is missing: an address is tcp://HOST:PORT")) } else { Ok((host, port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_ports() {
        for (address, expected) in
            [("tcp://h:1", ("h", 1)), ("tcp://[::1]:65535", ("::1", 65535)), ("tcp://::1:5", ("::1", 5))]
        {
            assert_eq!(host_and_port(address).ok(), Some(expected), "{address}");
        }
        for address in ["h:1", "tcp://h", "tcp://h:0", "tcp://h:65536", "tcp://h:x", "tcp://:1", "udp://h:1"] {
            assert!(matches!(host_and_port(address), Err(SocketError::Address { .. })), "{address}");
        }
    }
}
