//! Serial lines of a master.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use palm_transport_tcp::{BridgeOptions, LineBridge};
use palm_transport_zmq::{Addresses, MasterConfig};

use crate::wrong_use;

/// How the name of a folder begins that has a socket for serial lines alone.
pub(super) const PRIVATE: &str = "palm-lines-";

/// Serial lines, each carried to a socket of the master's.
pub(super) struct Lines {
    _bridges: Vec<LineBridge>,
}

/// A folder that only this process's user may look into, removed when this is dropped.
pub(super) struct PrivateFolder(PathBuf);

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // At worst a folder stays behind that has nothing in it.
        let _ = std::fs::remove_dir(&self.0);
    }
}

impl Lines {
    /// If there are lines and no socket to carry them to, adds one to the configuration.
    pub(super) fn socket(lines: &[String], config: &mut MasterConfig) -> anyhow::Result<Option<PrivateFolder>> {
        if lines.is_empty() || !config.native.is_empty() {
            return Ok(None);
        }
        let path = std::env::temp_dir().join(format!("{PRIVATE}{}", uuid::Uuid::new_v4().simple()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        config.native.push(format!("unix://{}", path.join("s").display()));
        Ok(Some(PrivateFolder(path)))
    }

    /// Carries the lines to the last of the master's native sockets.
    pub(super) fn start(lines: &[String], addresses: &Addresses, options: BridgeOptions) -> anyhow::Result<Self> {
        let mut bridges = Vec::new();
        for line in lines {
            let socket = addresses.native.last().context("invariant: there is a socket for the lines")?;
            let bridge = LineBridge::start(line, socket, options).map_err(|error| wrong_use(error.to_string()))?;
            tracing::info!("A native client or worker is served at {}", bridge.address());
            bridges.push(bridge);
        }
        Ok(Self { _bridges: bridges })
    }
}
