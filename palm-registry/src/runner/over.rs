//! What has ended by itself and is not to be started again, written down, so that a runner that starts anew does not do it again.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::supervisor::differs;
use crate::private::Folder;
use crate::wire::{Exit, WantedProcess};

/// The file, in the folder of the spool.
const FILE: &str = "over.json";

/// A process that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// What it was started as.
    pub(super) wanted: WantedProcess,
    /// How it has ended.
    pub(super) exit: Exit,
    /// How often it had been started again by itself.
    pub(super) restarts: u64,
    /// When it has ended, in microseconds since 1970.
    pub(super) at: i64,
}

/// What is written down: of one cluster, as another may come to have the same key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    cluster: String,
    ended: Vec<Ended>,
}

/// What is over.
#[derive(Debug, Default)]
pub(super) struct Over {
    /// `None`: nothing is to be remembered.
    folder: Option<Folder>,
    written: Written,
}

impl Over {
    /// What was over when the runner before this one ended, whose spool was in this folder.
    pub(super) fn read(folder: &Path) -> Self {
        let written = |folder: &Folder| match folder.content(FILE)? {
            Some(text) => serde_json::from_slice(&text).map_err(io::Error::other),
            None => Ok(Written::default()),
        };
        let read = Folder::make(folder).and_then(|opened| Ok((written(&opened)?, opened)));
        match read {
            Ok((written, opened)) => Self { folder: Some(opened), written },
            Err(error) => {
                let file = folder.join(FILE);
                tracing::warn!("{} cannot be read: jobs that are done may be done again: {error}", file.display());
                Self { folder: Folder::make(folder).ok(), written: Written::default() }
            }
        }
    }

    /// How a process has ended that is to be as it was then.
    pub(super) fn of(&self, cluster: Option<&str>, wanted: &WantedProcess) -> Option<&Ended> {
        let of_it = |ended: &&Ended| {
            ended.wanted.component == wanted.component
                && ended.wanted.copy == wanted.copy
                && !differs(&ended.wanted, wanted)
        };
        self.written.ended.iter().find(of_it).filter(|_| cluster == Some(self.written.cluster.as_str()))
    }

    /// This is over now, and nothing else.
    pub(super) fn keep(&mut self, cluster: Option<&str>, ended: Vec<Ended>) {
        let (Some(folder), Some(cluster)) = (&self.folder, cluster) else { return };
        let written = Written { cluster: cluster.to_owned(), ended };
        if written == self.written {
            return;
        }
        if let Err(error) = write(folder, &written) {
            let file = folder.path().join(FILE);
            tracing::error!("{} cannot be written: jobs that are done may be done again: {error}", file.display());
        }
        self.written = written;
    }
}

/// In its place all at once, so that what is there is whole whenever the runner is killed.
fn write(folder: &Folder, written: &Written) -> io::Result<()> {
    folder.replace_durably(FILE, &serde_json::to_vec(written)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Restart;

    fn wanted(command: &str, generation: u64) -> WantedProcess {
        WantedProcess {
            component: "Job".into(),
            copy: 1,
            command: command.into(),
            environment: Default::default(),
            directory: None,
            restart: Restart::OnFailure,
            grace_seconds: 1,
            ready: None,
            run: true,
            hold: false,
            generation,
            level: None,
        }
    }

    #[test]
    fn what_is_over_is_known_again_until_it_is_to_be_another() {
        let folder = tempfile::tempdir().unwrap();
        let ended = Ended { wanted: wanted("job", 1), exit: Exit::Code(0), restarts: 2, at: 5 };
        let mut over = Over::read(folder.path());
        over.keep(Some("one"), vec![ended.clone()]);
        let over = Over::read(folder.path());
        assert_eq!(over.of(Some("one"), &wanted("job", 1)), Some(&ended));
        assert_eq!(over.of(Some("one"), &wanted("job", 0)), Some(&ended));
        assert_eq!(over.of(Some("one"), &wanted("job", 2)), None, "it was restarted");
        assert_eq!(over.of(Some("one"), &wanted("another", 1)), None);
        assert_eq!(over.of(Some("one"), &WantedProcess { copy: 0, ..wanted("job", 1) }), None);
        assert_eq!(over.of(Some("two"), &wanted("job", 1)), None, "another cluster with the same key");
        assert_eq!(over.of(None, &wanted("job", 1)), None);
    }

    #[test]
    fn a_file_that_is_none_is_as_if_it_was_not_there() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        let mut over = Over::read(folder.path());
        over.keep(Some("one"), Vec::new());
        assert_eq!(Over::read(folder.path()).written.cluster, "one");
        Over::default().keep(Some("one"), Vec::new());
    }
}
