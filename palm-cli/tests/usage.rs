//! What the program says, and with which status it ends, when it is used wrongly, or asked about itself.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::io::Write as _;

use support::{Ended, palm, run, run_with};

/// A port on which nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("tcp://{}", listener.local_addr().unwrap())
}

fn config(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn wrong_use_ends_with_2_and_says_what_is_wrong() {
    for (arguments, said) in [
        (&["launch"][..], "--function"),
        (&["launch", "--function", "f"], "--server"),
        (&["launch", "--server", "s"], "--function"),
        (&["launch", "--server", "s", "--function", "f", "--window", "0"], "--window"),
        (&["launch", "--server", "s", "--function", "f", "--timeout", "soon"], "expected a time such as 30s"),
        (&["launch", "--server", "s", "--function", "f", "--output", "xml"], "possible values: raw, lines, json, none"),
        (&["launch", "--server", "s", "--function", "f", "--lines", "x", "--repeat", "3"], "cannot be used with"),
        (&["launch", "--server", "s", "--function", "f", "--lines", "/no/such/file"], "cannot read /no/such/file"),
        (&["launch", "--server", "s", "--function", "f", "--db", "tcp://*:5559"], "name the machine to connect to"),
        (&["master"], "--name"),
        (&["master", "--name", ""], "a server needs a name"),
        (&["master", "--name", "a b"], "nobody could address it"),
        (&["master", "--name", "a.b"], "nobody could address it"),
        (&["launch", "--server", "s", "--function", " "], "it names no function"),
        (&["registry", "add-user", ""], "expected a name of at most"),
        (&["registry", "add-user", "two words"], "expected a name of at most"),
        (
            &["runner", "--registry", "http://127.0.0.1:1", "--cluster", "k", "--ip", "10.0.0.7 -x"],
            "--ip: expected an address",
        ),
        (&["runner", "--registry", "http://127.0.0.1:1", "--cluster", "k", "--name", " "], "--name: expected"),
        (
            &["runner", "--registry", "http://127.0.0.1:1", "--cluster", "k", "--ca", "/dev/null"],
            "there is no certificate",
        ),
        (&["help", "nothing"], "unrecognized subcommand 'nothing'"),
        (&["master", "--name", "m", "--memory", "lots"], "expected a size such as 65536, 256MiB"),
        (&["master", "--name", "m", "--pull", "5555"], "expected tcp://HOST:PORT or ipc://PATH"),
        (&["master", "--name", "m", "--pull", "inproc://x"], "`inproc://` is not spoken here"),
        (&["worker"], "no functions"),
        (&["worker", "--exec", "upper"], "expected METHOD=COMMAND"),
        (&["worker", "--exec", "a.b=cat"], "cannot be a method's name"),
        (&["worker", "--exec", "f=no-such-program-here"], "there is no program no-such-program-here in PATH"),
        (&["worker", "--exec", "f=cat 'open"], "a quote is left open"),
        (&["worker", "--exec", "f=cat", "--serve", "f=cat"], "the method `f` is given more than once"),
        (&["worker", "--demo", "--exec", "foo=cat"], "the method `foo` is given more than once"),
        (&["cache", "get"], "<KEY>"),
        (&["cache", "set", "name", "x"], "servers set themselves"),
        (&["cache", "set", "k", "--file", "/no/such/file"], "cannot read /no/such/file"),
        (&["cache", "set", "k", "x", "--ttl", "1s", "--transport", "zmq"], "--ttl needs the native protocol"),
        (&["cache", "set", "k", "x", "--if-absent", "--if-version", "3"], "cannot be used with"),
        (&["worker", "--demo", "--connect", "node"], "the port is missing"),
        (&["worker", "--demo", "--connect", "*:5550"], "name the machine to connect to"),
        (&["worker", "--demo", "--connect", "serial:///dev/x?baud=fast"], "the rate is not a number"),
        (&["worker", "--demo", "--connect", "a:1", "--pull", "tcp://a:2"], "--connect cannot be used with --pull"),
        (
            &["worker", "--demo", "--transport", "tcp", "--push", "tcp://a:2"],
            "--transport tcp cannot be used with --push",
        ),
        (&["worker", "--demo", "--connect", "a:1", "--transport", "zmq"], "--transport zmq rules that out"),
        (&["worker", "--demo", "--connect", "a:1", "--token-file", "/no/such"], "cannot read the token file /no/such"),
        (
            &["launch", "--function", "f", "--connect", "a:1", "--sub", "tcp://a:2"],
            "--connect cannot be used with --sub",
        ),
        (
            &["launch", "--function", "f", "--connect", "a:1", "--session", "s"],
            "--connect cannot be used with --session",
        ),
        (&["launch", "--server", "s", "--function", "f", "--priority", "4"], "4 is not in 0..=3"),
        (&["master", "--name", "m", "--serial", "/dev/x?parity=odd"], "nothing but a rate"),
        (&["registry", "--forget-after", "9s"], "--forget-after: expected 10 s or more"),
        (&["man", "nothing"], "there is no command `nothing`"),
        (&["completions", "tcsh"], "possible values: bash"),
        (&["launch", "--log-level", "loud"], "`loud` is no level"),
        (&["lunch"], "subcommands exist: 'bench', 'launch'"),
        (&[], "Usage: palm"),
    ] {
        let Ended { code, out, err } = run(arguments);
        assert_eq!((code, out.as_slice()), (2, &b""[..]), "{arguments:?}: {err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
}

#[test]
fn a_server_that_is_not_there_is_a_failure_with_advice() {
    let db = nobody();
    for arguments in [
        &["launch", "--server", "s", "--function", "f", "--message", "m", "--db", &db, "--connect-timeout", "300ms"][..],
        &["cache", "get", "k", "--db", &db, "--timeout", "300ms"],
    ] {
        let Ended { code, out, err } = run(arguments);
        assert_eq!((code, out.as_slice()), (1, &b""[..]), "{arguments:?}: {err}");
        assert!(err.contains(&db) && err.contains("is the master running?") && err.contains("--db"), "{err}");
        assert!(err.contains("within 300ms"), "{err}");
    }
    let flags = ["launch", "--server", "s", "--function", "f", "--connect-timeout", "300ms"];
    let Ended { code, err, .. } = run(&[&flags[..], &["--push", &nobody(), "--sub", &db]].concat());
    assert!(code == 1 && err.contains("which --push names") && !err.contains("--db"), "{err}");
}

#[test]
fn a_mistake_in_a_file_of_settings_names_file_and_key() {
    for (text, said) in [
        ("[worker]\njob = 3", "unknown key `worker.job`; did you mean `jobs`?"),
        ("[woker]\njobs = 3", "unknown key `woker`; did you mean `worker`?"),
        ("log_level = 'info'", "unknown key `log_level`; did you mean `log-level`?"),
        ("[worker]\njobs = 'three'", "key `worker.jobs`: invalid value 'three'"),
        ("[worker]\nshell = 1", "key `worker.shell`: expected true or false"),
        ("[master]\nmemory = [1, 2]", "key `master.memory`: expected a text, a number"),
        ("worker", "TOML parse error at line 1"),
    ] {
        let file = config(text);
        let path = file.path().to_str().unwrap();
        let Ended { code, err, .. } = run(&["worker", "--demo", "--config", path]);
        assert_eq!(code, 2, "{text}: {err}");
        assert!(err.contains(path) && err.contains(said), "{text}: {err}");
    }
    let Ended { code, err, .. } = run(&["worker", "--demo", "--config", "/no/such/file"]);
    assert_eq!(code, 2);
    assert!(err.contains("cannot read the configuration file /no/such/file"), "{err}");
}

#[test]
fn a_flag_beats_a_variable_beats_the_file() {
    let (file, variable, flag) = (nobody(), nobody(), nobody());
    let settings = config(&format!("[cache]\ntimeout = '100ms'\ndb = '{file}'"));
    let asked = |environment: &[(&str, &str)], arguments: &[&str]| {
        let mut command = palm();
        command.args(["cache", "get", "k"]).args(arguments);
        command.env("PALM_CONFIG", settings.path()).envs(environment.iter().copied());
        run_with(command, b"").err
    };
    assert!(asked(&[], &[]).contains(&file));
    assert!(asked(&[("PALM_DB", &variable)], &[]).contains(&variable));
    assert!(asked(&[("PALM_DB", &variable)], &["--db", &flag]).contains(&flag));
    let shared = config(&format!("db = '{file}'"));
    assert!(
        asked(&[("PALM_CONFIG", shared.path().to_str().unwrap()), ("PALM_CACHE_TIMEOUT", "100ms")], &[])
            .contains(&file)
    );
    assert!(asked(&[("PALM_CACHE_TIMEOUT", "never")], &[]).contains("expected a time"), "a variable is judged, too");
}

#[test]
fn what_is_asked_for_goes_to_standard_output() {
    for (arguments, said) in [
        (&["--help"][..], "palm demo"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["master", "--help"], "--memory <SIZE>"),
        (&["launch", "--help"], "Exit"),
        (&["bench", "local", "--help"], "--window"),
        (&["help"], "palm demo"),
        (&["help", "master"], "--memory <SIZE>"),
        (&["help", "cache", "set"], "palm cache set model --file model.bin"),
        (&["man"], ".TH"),
        (&["man", "launch"], "palm\\-launch"),
        (&["completions", "bash"], "_palm()"),
        (&["completions", "zsh"], "#compdef palm"),
        (&["completions", "fish"], "complete -c palm"),
    ] {
        let Ended { code, out, err } = run(arguments);
        let out = String::from_utf8_lossy(&out);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        assert!(out.contains(said), "{arguments:?}: {out}");
        assert!(!out.contains('\x1b'), "{arguments:?}: no colour where there is no terminal");
    }
}

#[test]
fn the_manual_is_a_folder_of_pages() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", "--dir", folder.path().to_str().unwrap()]).code, 0);
    for (page, title) in [
        ("palm.1", ".TH palm 1 "),
        ("palm-master.1", ".TH palm-master 1 "),
        ("palm-cache-get.1", ".TH palm-cache-get 1 "),
    ] {
        let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(title) && text.contains("\n.SH EXAMPLES\n"), "{text}");
        assert!(!text.contains("EXTRA"), "{page}");
    }
}

#[test]
fn a_worker_that_is_told_to_stop_before_it_finds_a_master_stops() {
    let mut command = palm();
    command.args(["worker", "--name", "w", "--demo", "--exec", "f=cat", "--db", &nobody(), "--log-level", "debug"]);
    let mut worker = support::Running::start(command);
    worker.wait_for_line("Asking the cache");
    worker.signal("TERM");
    let Ended { code, out, .. } = worker.end();
    let log = String::from_utf8_lossy(&out);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains(" - w - INFO - Stopped: 0 results"), "{log}");
}

#[test]
fn json_logs_are_objects() {
    let mut command = palm();
    command.args([
        "worker",
        "--name",
        "w",
        "--demo",
        "--db",
        &nobody(),
        "--log-format",
        "json",
        "--log-level",
        "debug",
    ]);
    let mut worker = support::Running::start(command);
    let line = worker.wait_for_line("Asking the cache");
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((object["logger"].as_str(), object["level"].as_str()), (Some("w"), Some("DEBUG")), "{line}");
    worker.signal("INT");
    assert_eq!(worker.end().code, 0);
}

#[test]
fn that_others_can_read_a_secret_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret\n").unwrap();
    for (mode, is_told) in [(0o644, true), (0o640, true), (0o622, true), (0o600, false), (0o400, false)] {
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode)).unwrap();
        let path = token.to_str().unwrap();
        let arguments = ["nodes", "--registry", "http://127.0.0.1:1", "--token-file", path];
        let ended = run(&arguments);
        assert_eq!(ended.code, 1, "nobody listens there: {}", ended.err);
        let told = format!("others than you can read or change {path}, which is a secret: chmod 600 {path}");
        assert_eq!(ended.err.contains(&told), is_told, "{mode:o}: {}", ended.err);
        assert!(!ended.err.contains("secret\n"), "{}", ended.err);
    }
}

#[test]
fn a_key_that_somebody_else_has_made_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let store = at("s.db").display().to_string();
    let listen = ["registry", "--listen", "127.0.0.1:0", "--tls-self-signed", "--store", &store];
    std::fs::write(at("elsewhere"), "kept").unwrap();
    for name in ["s.db.cert.pem", "s.db.key.pem"] {
        std::os::unix::fs::symlink(at("elsewhere"), at(name)).unwrap();
    }
    let ended = run(&listen);
    assert!(ended.code == 1 && ended.err.contains("s.db.key.pem is a link"), "{}", ended.err);
    // What leads nowhere is replaced, and not written through.
    std::fs::remove_file(at("elsewhere")).unwrap();
    let mut command = support::palm();
    command.args(listen);
    let mut registry = support::Running::start(command);
    registry.wait_for_line("serving https");
    assert!(!at("elsewhere").exists() && at("s.db.key.pem").symlink_metadata().unwrap().is_file());
    registry.signal("TERM");
    assert_eq!(registry.end().code, 0);
}
