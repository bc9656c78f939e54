//! The stock peer: a virtual environment with the real `pylm`, made once below the target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::palm::target_directory;

const REQUIREMENTS: &str = include_str!("../python/requirements.txt");

/// A command that runs one of the programs in `tests/python`, unbuffered.
///
/// # Panics
/// If the environment cannot be set up; the text says what to install.
pub fn program(script: &str) -> Command {
    let mut command = Command::new(interpreter());
    command.arg("-u").arg(self::script(script));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Where one of the programs in `tests/python` is.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

/// The environment's interpreter. The first call of all test programs sets it up, the others wait for that.
///
/// # Panics
/// As [`program`].
pub fn interpreter() -> &'static Path {
    static INTERPRETER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match INTERPRETER.get_or_init(set_up) {
        Ok(path) => path,
        Err(cause) => panic!("{cause}"),
    }
}

fn set_up() -> Result<PathBuf, String> {
    let home = target_directory().join("pylm-venv");
    let python = home.join("bin/python");
    let stamp = home.join("requirements-installed.txt");
    // Test programs may run at the same time, and so may two cargos. The lock goes with the file, at the latest at exit.
    let lock = File::create(target_directory().join("pylm-venv.lock")).map_err(|cause| cause.to_string())?;
    lock.lock().map_err(|cause| cause.to_string())?;
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == REQUIREMENTS) && python.exists() {
        return Ok(python);
    }
    let base = base_interpreter()?;
    let _absent = fs::remove_dir_all(&home);
    run(Command::new(&base).args(["-m", "venv"]).arg(&home)).map_err(|cause| {
        format!(
            "the interop tests need Python's venv and pip, and `{base} -m venv` fails.\n\
             Install them (Debian, Ubuntu: apt-get install python3-venv python3-pip).\n{cause}"
        )
    })?;
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/requirements.txt");
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--requirement"]);
    run(install.arg(requirements)).map_err(|cause| {
        format!(
            "the interop tests need the real pylm, and pip cannot install it from PyPI.\n\
             They need access to PyPI or a mirror of it (PIP_INDEX_URL) once.\n{cause}"
        )
    })?;
    run(Command::new(&python).args(["-c", "import pylm.servers, pylm.clients"])).map_err(|cause| {
        format!(
            "pylm is installed in {} but cannot be imported by this Python.\n\
             Python 3.8 to 3.11 are known to work; set PALM_TEST_PYTHON to one of them.\n{cause}",
            home.display()
        )
    })?;
    fs::write(&stamp, REQUIREMENTS).map_err(|cause| cause.to_string())?;
    Ok(python)
}

/// The first of the interpreters that pylm is known to work with, or `PALM_TEST_PYTHON`.
fn base_interpreter() -> Result<String, String> {
    let chosen = std::env::var("PALM_TEST_PYTHON").ok();
    let known = ["python3.11", "python3.10", "python3.9", "python3"].map(str::to_owned);
    let mut candidates = chosen.clone().map_or_else(|| known.to_vec(), |chosen| vec![chosen]).into_iter();
    candidates.find(|name| run(Command::new(name).args(["-c", "import venv"])).is_ok()).ok_or_else(|| {
        format!(
            "the interop tests need Python 3 with venv, and {} is not there.\n\
             Install it (Debian, Ubuntu: apt-get install python3 python3-venv python3-pip), or set PALM_TEST_PYTHON.",
            chosen.as_deref().unwrap_or("python3")
        )
    })
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { status, stdout, stderr }) => Err(format!(
            "{command:?}: {status}\n{}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        )),
        Err(cause) => Err(format!("{command:?}: {cause}")),
    }
}
