//! A cluster file on this machine: where what runs is written down, and how it is shown.

mod claim;
mod view;
mod voice;

pub(crate) use claim::{Claim, Running};
pub(crate) use view::{COLOURS, View};
pub(crate) use voice::Voice;

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use palm_registry::cluster::Cluster;
use palm_registry::private::FOLDER_MODE;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::{given_file, wrong_use};

/// Names of a cluster file that is not named.
const FILES: [&str; 2] = ["palm.toml", "palm.ini"];

/// The folder of this very program: a script that begins with `palm` means it.
pub(crate) fn programs() -> Option<PathBuf> {
    std::env::current_exe().ok()?.parent().map(Path::to_owned)
}

/// A folder that outlasts the program, for what goes by these names.
pub(crate) fn state_folder(kind: &str, names: &[&str]) -> Option<PathBuf> {
    let set = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(base.join("palm").join(kind).join(digest(names)))
}

/// A folder for what lasts as long as the program, and is for its user alone.
pub(crate) fn temporary_folder() -> anyhow::Result<TempDir> {
    let mode = Permissions::from_mode(FOLDER_MODE);
    let made = tempfile::Builder::new().prefix("palm-up-").permissions(mode).tempdir();
    made.context("cannot make a temporary folder")
}

/// A short name for others, one of which may be a secret.
fn digest(names: &[&str]) -> String {
    let digest = Sha256::digest(names.join("\n").as_bytes());
    digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

/// The cluster file that is meant, with all links followed.
pub(crate) fn file(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let file = match named {
        Some(file) => file.to_owned(),
        None => FILES.iter().map(PathBuf::from).find(|file| file.exists()).ok_or_else(|| {
            wrong_use(format!("which cluster file? There is neither {} nor {} here", FILES[0], FILES[1]))
        })?,
    };
    file.canonicalize().map_err(|error| wrong_use(format!("cannot read {}: {error}", file.display())))
}

/// As [`file()`], or where the file was that is meant, if it is up still.
pub(crate) fn file_or_its_place(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    file(named).or_else(|error| {
        let place = named.and_then(|named| {
            let folder = named.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Some(folder.canonicalize().ok()?.join(named.file_name()?))
        });
        place.filter(|place| Claim::is_taken(place).unwrap_or(false)).ok_or(error)
    })
}

/// Reads a cluster file for one machine.
pub(crate) fn cluster(file: &Path) -> anyhow::Result<(Cluster, String)> {
    let text = given_file::text_of(file)?;
    let mut cluster = Cluster::from_text(&text).map_err(|error| wrong_use(format!("{}, {error}", file.display())))?;
    if cluster.components.iter().all(|component| component.extras.nodes.is_empty()) {
        return Ok((cluster, text));
    }
    // There is only this one.
    for component in &mut cluster.components {
        component.extras.nodes.clear();
    }
    let text = cluster.to_toml();
    Ok((cluster, text))
}

/// The first port from `first` on from which on as many are free as the cluster has sockets.
pub(crate) fn free_ports(cluster: &Cluster, first: u16) -> anyhow::Result<u16> {
    let sockets: std::collections::BTreeSet<_> =
        cluster.components.iter().flat_map(|component| component.sockets()).collect();
    let needed = u16::try_from(sockets.len()).unwrap_or(u16::MAX);
    let mut begin = first;
    while let Some(end) = begin.checked_add(needed) {
        match (begin..end).rev().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_err()) {
            None => return Ok(begin),
            Some(taken) => begin = taken.saturating_add(1),
        }
    }
    anyhow::bail!("there are no {needed} free ports in a row from {first} on")
}

/// Slots that all of a cluster takes.
pub(crate) fn slots(cluster: &Cluster) -> u32 {
    let slots =
        |component: &palm_registry::cluster::Component| component.copies().saturating_mul(component.extras.processors);
    // Room to scale.
    cluster.components.iter().map(slots).fold(0, u32::saturating_add).max(16).saturating_mul(4).min(65_535)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_a_row_are_found() {
        let cluster = Cluster::from_ini("[a]\nScript=a\n--x=_1\n--y=_2\n--z=_2\n").unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let found = free_ports(&cluster, port - 1).unwrap();
        assert!(found > port);
        assert_eq!(slots(&cluster), 64);
    }
}
