//! Addresses that are told by an interface's name.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use if_addrs::{Interface, get_if_addrs};

/// The address to bind for a host that is the name of an interface (`lo`, `eth0`: its first address, one of IPv4 if it has any) or an
/// IPv6 address with its zone (`fe80::1%eth0`, `::1%lo`). `None` for every other host, which has to be looked up as usual.
///
/// The host stands without brackets. The zone is left out of the answer where the address is the same in every zone.
///
/// # Errors
/// If there is no such zone, or the operating system does not name its interfaces.
pub fn local_address(host: &str, port: u16) -> io::Result<Option<SocketAddr>> {
    if let Some((address, zone)) = host.split_once('%') {
        let Ok(address) = address.parse() else { return Ok(None) };
        return zoned(address, zone, port).map(Some);
    }
    if host.parse::<IpAddr>().is_ok() {
        return Ok(None);
    }
    let interfaces = get_if_addrs()?;
    let named = |is_wanted: fn(&IpAddr) -> bool| {
        interfaces.iter().find(|interface| interface.name == host && is_wanted(&interface.ip()))
    };
    let found = named(IpAddr::is_ipv4).or_else(|| named(IpAddr::is_ipv6));
    Ok(found.map(|interface| match interface.ip() {
        IpAddr::V4(address) => (address, port).into(),
        IpAddr::V6(address) => in_zone(address, interface.index.unwrap_or(0), port),
    }))
}

fn zoned(address: Ipv6Addr, zone: &str, port: u16) -> io::Result<SocketAddr> {
    let index = match zone.parse() {
        Ok(number) => Some(number),
        Err(_) => index(&get_if_addrs()?, zone),
    };
    let no_zone =
        || io::Error::new(io::ErrorKind::AddrNotAvailable, format!("{}{}", none_of_name(zone), those_there()));
    Ok(in_zone(address, index.ok_or_else(no_zone)?, port))
}

/// Why a host cannot be bound that [`local_address`] does not know: of a name that may be an interface's, with those that there are.
/// An `error` that comes from the binding itself stays as it is.
pub fn unknown_host(host: &str, error: io::Error) -> io::Error {
    let may_be_interface = !host.is_empty() && !host.contains(['.', ':', '*', '%']);
    if error.raw_os_error().is_some() || !may_be_interface {
        return error;
    }
    let text = format!("{}, and no host of that name{}: {error}", none_of_name(host), those_there());
    io::Error::new(error.kind(), text)
}

fn none_of_name(name: &str) -> String {
    format!("there is no interface {name}")
}

/// The interfaces that have an address, each once.
fn those_there() -> String {
    let mut names: Vec<_> = get_if_addrs().unwrap_or_default().into_iter().map(|interface| interface.name).collect();
    names.sort();
    names.dedup();
    if names.is_empty() { String::new() } else { format!(" (interfaces: {})", names.join(", ")) }
}

fn index(interfaces: &[Interface], name: &str) -> Option<u32> {
    interfaces.iter().find(|interface| interface.name == name).and_then(|interface| interface.index)
}

fn in_zone(address: Ipv6Addr, index: u32, port: u16) -> SocketAddr {
    let index = if address.is_unicast_link_local() { index } else { 0 };
    SocketAddrV6::new(address, port, 0, index).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> String {
        let interfaces = get_if_addrs().unwrap();
        interfaces
            .iter()
            .find(|interface| interface.is_loopback())
            .expect("a host has a loopback interface")
            .name
            .clone()
    }

    #[test]
    fn an_interface_stands_for_its_first_address() {
        let name = loopback();
        assert_eq!(local_address(&name, 80).unwrap(), Some("127.0.0.1:80".parse().unwrap()));
        for host in ["localhost", "127.0.0.1", "::1", "0.0.0.0", "no-such-interface", "a%b", ""] {
            assert_eq!(local_address(host, 80).unwrap(), None, "{host}");
        }
    }

    #[test]
    fn a_name_of_nothing_is_told_with_the_interfaces_that_there_are() {
        let lookup = || io::Error::other("not known");
        let told = unknown_host("eth99", lookup()).to_string();
        assert!(told.starts_with("there is no interface eth99, and no host of that name (interfaces: "), "{told}");
        assert!(told.contains(&loopback()) && told.ends_with("): not known"), "{told}");
        for host in ["host.example", "192.0.2.1", "::2", "*", ""] {
            assert_eq!(unknown_host(host, lookup()).to_string(), "not known", "{host}");
        }
        let taken = unknown_host("lo", io::Error::from_raw_os_error(98));
        assert_eq!(taken.raw_os_error(), Some(98));
    }

    #[test]
    fn a_zone_counts_where_there_are_several() {
        let name = loopback();
        assert_eq!(local_address(&format!("::1%{name}"), 80).unwrap(), Some("[::1]:80".parse().unwrap()));
        assert_eq!(local_address("fe80::1%7", 80).unwrap(), Some("[fe80::1%7]:80".parse().unwrap()));
        let index = index(&get_if_addrs().unwrap(), &name).unwrap();
        let address = local_address(&format!("fe80::1%{name}"), 80).unwrap();
        assert_eq!(address, Some(SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, index).into()));
        let error = local_address("fe80::1%none", 80).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("there is no interface none (interfaces: ") && error.contains(&name), "{error}");
    }
}
