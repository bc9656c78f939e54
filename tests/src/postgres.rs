//! A PostgreSQL of the tests' own: a real one, in a temporary folder, that ends with the test program.
//!
//! It needs nothing but the standard library, so that the registry's own tests can have it too.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long it may take to start on a machine that is busy.
const START: Duration = Duration::from_secs(120);
/// Debian's `nobody`: PostgreSQL does not run as root.
const NOBODY: u32 = 65_534;
/// Ends when its standard input does, and so with whoever holds that, whatever way that ends.
const SCRIPT: &str = "trap '' INT TERM HUP; \"$1/initdb\" -D \"$2/data\" -U palm -A trust -E UTF8 --no-locale --no-sync >\"$2/log\" 2>&1; \
     \"$1/postgres\" -D \"$2/data\" -k \"$2\" -c listen_addresses= -c fsync=off -c max_connections=200 >>\"$2/log\" 2>&1 </dev/null & \
     cat >/dev/null; kill -QUIT $!; wait; cd /; rm -rf \"$2\"";

struct Server {
    programs: PathBuf,
    folder: PathBuf,
    // Held: the server ends when its standard input closes.
    _shell: Child,
}

/// The URL of a new database on the server of this test program; `None`, and a line that says so, if there is no PostgreSQL here.
///
/// # Panics
/// If there is one, and it does not work.
pub fn database() -> Option<String> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let server = SERVER.get_or_init(|| {
        let Some(programs) = programs() else {
            // Past what the test harness keeps for itself.
            let _ = writeln!(
                std::io::stderr(),
                "NOT RUN: PostgreSQL: it is not installed (Debian, Ubuntu: apt-get install postgresql)"
            );
            return None;
        };
        Some(Server::start(programs))
    });
    let server = server.as_ref()?;
    let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
    server.sql(&format!("CREATE DATABASE {name}")).unwrap_or_else(|cause| panic!("no database: {cause}"));
    Some(format!("postgres://palm@localhost/{name}?host={}", server.folder.display()))
}

/// The newest of Debian's, or what is in `PATH`.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    found.sort_unstable();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = found.into_iter().rev().chain(std::env::split_paths(&path));
    all.find(|folder| ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).exists()))
}

impl Server {
    fn start(programs: PathBuf) -> Self {
        // A program may have this module more than once.
        let module = module_path!().replace("::", "-");
        let folder = PathBuf::from(format!("/tmp/palm-postgres-{}-{module}", std::process::id()));
        std::fs::create_dir(&folder).expect("the folder is not there yet");
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(&programs).arg(&folder).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        if is_root() {
            chown(&folder, Some(NOBODY), Some(NOBODY)).expect("root may give a folder away");
            command.uid(NOBODY).gid(NOBODY);
        }
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("a mode can be set");
        let shell = command.spawn().expect("sh can be started");
        let server = Self { programs, folder, _shell: shell };
        let start = Instant::now();
        while let Err(cause) = server.sql("SELECT 1") {
            let log = std::fs::read_to_string(server.folder.join("log")).unwrap_or_default();
            assert!(start.elapsed() < START, "PostgreSQL does not start: {cause}\n{log}");
            thread::sleep(Duration::from_millis(100));
        }
        server
    }

    fn sql(&self, statement: &str) -> Result<(), String> {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-X", "-q", "-U", "palm", "-d", "postgres", "-c", statement, "-h"]).arg(&self.folder);
        let output = command.stdin(Stdio::null()).output().map_err(|cause| cause.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

fn is_root() -> bool {
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}
