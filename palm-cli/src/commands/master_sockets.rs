//! The sockets of a master, by the flags that name them.

use std::net::{IpAddr, Ipv4Addr};

use palm_transport_zmq::BindError;

use super::master::Args;
use crate::{values, wrong_use};

/// Which flag gives which address.
#[derive(Debug)]
pub(super) struct Sockets(Vec<(&'static str, String)>);

/// Where a socket is, as far as that can be told without looking a name up.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Path(String),
    Address(IpAddr, u16),
    Name(String, u16),
}

impl Sockets {
    /// Those that the flags ask for.
    pub(super) fn of(args: &Args) -> Self {
        let zeromq = [
            ("--pull", &args.pull),
            ("--pub", &args.publish),
            ("--wpush", &args.wpush),
            ("--wpull", &args.wpull),
            ("--db", &args.db),
        ];
        let zeromq = zeromq.into_iter().filter(|_| !args.no_zmq);
        let native = args.tcp.iter().map(|address| ("--tcp", address));
        let native = native.chain(args.unix.iter().map(|address| ("--unix", address)));
        Self(zeromq.chain(native).map(|(flag, address)| (flag, address.clone())).collect())
    }

    /// Whether each has an address of its own.
    ///
    /// # Errors
    /// Two flags that ask for the same.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let places: Vec<_> = self.0.iter().map(|(flag, address)| (flag, address, place(address))).collect();
        for (index, (flag, address, place)) in places.iter().enumerate() {
            for (other_flag, other, other_place) in &places[..index] {
                if overlap(place, other_place) {
                    return Err(wrong_use(format!(
                        "{other_flag} {other} and {flag} {address} are the same address: each socket needs one of its own"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Says what a person can do about a socket that cannot be bound.
    pub(super) fn explain(&self, error: BindError) -> anyhow::Error {
        let BindError::Io { address, error } = &error else { return wrong_use(error.to_string()) };
        let named = self.0.iter().find(|(_, known)| known == address);
        let which = named.map_or_else(|| address.clone(), |(flag, address)| format!("{flag} {address}"));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
                "{which} is in use: is another master running? Choose other addresses, or port 0 for a free one"
            ),
            _ => anyhow::anyhow!("cannot bind {which}: {error}"),
        }
    }
}

fn place(address: &str) -> Place {
    if let Some(path) = ["ipc://", "unix://"].iter().find_map(|scheme| address.strip_prefix(scheme)) {
        return Place::Path(path.to_owned());
    }
    let (host, port) = values::host_and_port(address).unwrap_or((address, 0));
    match host.trim_matches(['[', ']']) {
        "*" => Place::Address(Ipv4Addr::UNSPECIFIED.into(), port),
        "localhost" => Place::Address(Ipv4Addr::LOCALHOST.into(), port),
        host => match palm_host::local_address(host, port) {
            Ok(Some(address)) => Place::Address(address.ip(), port),
            // What is wrong with it is told when it is bound.
            Ok(None) | Err(_) => {
                host.parse().map_or_else(|_| Place::Name(host.to_owned(), port), |ip| Place::Address(ip, port))
            }
        },
    }
}

/// Whether two sockets cannot both be bound. What depends on the system's settings is left to it.
fn overlap(one: &Place, other: &Place) -> bool {
    match (one, other) {
        (Place::Address(_, 0), _) | (Place::Name(_, 0), _) => false,
        (Place::Address(one, port), Place::Address(other, other_port)) => {
            let is_covered = one.is_ipv4() == other.is_ipv4() && (one.is_unspecified() || other.is_unspecified());
            port == other_port && (one == other || is_covered)
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sockets_at_one_address_are_told_by_their_flags() {
        for (one, other, is_one) in [
            ("tcp://127.0.0.1:5555", "tcp://127.0.0.1:5555", true),
            ("tcp://127.0.0.1:5555", "tcp://localhost:5555", true),
            ("tcp://*:5555", "tcp://127.0.0.1:5555", true),
            ("tcp://0.0.0.0:5555", "tcp://*:5555", true),
            ("tcp://[::]:5555", "tcp://[::1]:5555", true),
            ("tcp://a:5555", "tcp://a:5555", true),
            ("ipc:///run/a", "unix:///run/a", true),
            ("tcp://127.0.0.1:5555", "tcp://127.0.0.1:5556", false),
            ("tcp://127.0.0.1:5555", "tcp://127.0.0.2:5555", false),
            ("tcp://127.0.0.1:5555", "tcp://[::1]:5555", false),
            ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0", false),
            ("tcp://*:*", "tcp://*:*", false),
            ("ipc:///run/a", "unix:///run/b", false),
        ] {
            let sockets = Sockets(vec![("--pull", one.to_owned()), ("--tcp", other.to_owned())]);
            let said = sockets.check().err().map(|error| error.to_string());
            let expected =
                format!("--pull {one} and --tcp {other} are the same address: each socket needs one of its own");
            assert_eq!(said, is_one.then_some(expected), "{one} {other}");
        }
    }
}
