//! What every answer is made with.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::extract::FromRef;

use super::bounds::{Bounds, Places};
use super::connections::Connections;
use super::hub::Hub;
use super::remembered::Remembered;
use crate::store::Store;
use crate::work::{Work, WorkBounds};

/// Passwords that are hashed at a time, each of which takes 19 MiB and a core, and those that wait to be.
const HASHES: WorkBounds = WorkBounds { at_a_time: 2, waiting: 64, waiting_of_one: 16 };

/// For how long it is remembered from where somebody has logged in.
const LOGGED_IN: Duration = Duration::from_secs(30 * 24 * 3600);

/// How the registry is reached, and for how long somebody stays logged in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names and addresses by which browsers may ask for it, beside where it listens and this machine's own.
    pub hosts: Vec<String>,
    /// Everything is encrypted, and so cookies are sent in no other way.
    pub tls: bool,
    /// How long a session lasts, in microseconds.
    pub session: i64,
    /// How much there is at a time.
    pub bounds: Bounds,
}

impl Settings {
    /// How it is if nothing else is said: in the clear, sessions of twelve hours.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        let session = 12 * 3600 * 1_000_000;
        Self { listen, hosts: Vec::new(), tls: false, session, bounds: Bounds::default() }
    }

    /// Whether this is the registry's name, with or without a port.
    #[must_use]
    pub fn is_host(&self, authority: &str) -> bool {
        let host = without_port(authority);
        if host.eq_ignore_ascii_case("localhost") || self.hosts.iter().any(|name| name.eq_ignore_ascii_case(host)) {
            return true;
        }
        // Whoever names an address has not been led astray by a name.
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.is_ok_and(|ip| ip.is_loopback() || ip == self.listen.ip() || self.listen.ip().is_unspecified())
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// What every answer is made with; a clone is the same.
#[derive(Clone, Debug)]
pub struct App {
    /// What is kept.
    pub store: Store,
    /// How it is reached.
    pub settings: Arc<Settings>,
    /// Leave to hash a password.
    pub(super) hashing: Work,
    /// Who has logged in from where, of late.
    pub(super) logged_in: Arc<Remembered>,
    /// Places for connections.
    pub(super) connections: Arc<Connections>,
    /// What streams wait for.
    pub(super) hub: Arc<Hub>,
    /// What there is for bodies and streams.
    pub(super) places: Arc<Places>,
    /// Answers so far, by the first digit of their status.
    pub(super) answers: Arc<[AtomicU64; 6]>,
}

impl App {
    /// With a store of its own.
    #[must_use]
    pub fn new(store: Store, settings: Settings) -> Self {
        let (hashing, connections) = (Work::on_own_threads(HASHES), Arc::new(Connections::new(&settings.bounds)));
        let places = Arc::new(Places::new(settings.bounds));
        let logged_in = Arc::new(Remembered::new(LOGGED_IN));
        let (hub, answers) = Default::default();
        Self { store, settings: Arc::new(settings), hashing, logged_in, connections, hub, places, answers }
    }
}

impl FromRef<App> for Store {
    fn from_ref(app: &App) -> Self {
        app.store.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_names_are_told_from_others() {
        let mut settings = Settings::new(([10, 0, 0, 1], 8080).into());
        settings.hosts.push("palm.example".to_owned());
        for host in ["localhost:8080", "127.0.0.1", "[::1]:80", "10.0.0.1:8080", "PALM.example"] {
            assert!(settings.is_host(host), "{host}");
        }
        for host in ["", "evil.example", "palm.example.evil.example", "10.0.0.2", "localhost.evil.example:8080"] {
            assert!(!settings.is_host(host), "{host}");
        }
        assert!(Settings::new(([0, 0, 0, 0], 80).into()).is_host("192.0.2.7:80"));
    }
}
