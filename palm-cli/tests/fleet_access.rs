//! Who gets in, what is asked before something is lost, and what nobody gets to read.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::{Value, json};
use support::cable::terminal;
use support::registry::{FILE, Registry};
use support::{BOUND, Ended, Running, palm, run_with, until};

#[test]
fn a_certificate_of_the_registrys_own_is_trusted_if_it_is_named() {
    let registry = Registry::start_with(&["--tls-self-signed"]);
    let other = Registry::start_with(&["--tls-self-signed"]);
    assert!(registry.url.starts_with("https://127.0.0.1:"), "{}", registry.url);
    let certificate = |of: &Registry| of.folder.path().join("r.db.cert.pem").to_str().unwrap().to_owned();
    let (own, others) = (certificate(&registry), certificate(&other));
    assert_eq!(registry.json(&["cluster", "list", "--ca", &own]), json!([]));
    let by_name = registry.url.replace("127.0.0.1", "localhost");
    assert_eq!(registry.json(&["cluster", "list", "--ca", &own, "--registry", &by_name]), json!([]));
    for flags in [&["cluster", "list"][..], &["cluster", "list", "--ca", &others]] {
        let Ended { code, out, err } = registry.ask(flags);
        assert!(code == 1 && out.is_empty(), "{code} {err}");
        assert!(err.contains("certificate") && err.contains("--ca") && !err.contains("is it running?"), "{err}");
    }
    let Ended { code, err, .. } = registry.ask(&["cluster", "list", "--ca", "/no/such"]);
    assert!(code == 2 && err.contains("--ca: cannot read /no/such"), "{err}");

    let file = registry.folder.path().join("c.ini");
    std::fs::write(&file, FILE).unwrap();
    registry.done(&["cluster", "new", file.to_str().unwrap(), "--alias", "test", "--ca", &own]);
    let key = registry.done(&["cluster", "key", "test", "--ca", &own]);
    let mut runner = palm();
    runner.args(["runner", "--registry", &registry.url, "--name", "here", "--ca", &own, "--spool"]);
    runner.arg(registry.folder.path().join("spool")).env("PALM_RUNNER_CLUSTER", key.trim());
    let _runner = Running::start(runner);
    until("a node", || registry.json(&["nodes", "--ca", &own])[0]["name"] == "here");
    let follow = registry.command(&["cluster", "logs", "test", "-f", "--ca", &own]);
    Running::start(follow).wait_for_line("line ");
}

#[test]
fn what_is_lost_is_asked_for_on_a_terminal() {
    let registry = Registry::start();
    registry.cluster();
    let answered = |answer: &str| {
        let (mut person, program) = terminal();
        person.write_all(answer.as_bytes()).unwrap();
        let ended =
            Running::start_reading(registry.command(&["cluster", "delete", "test"]), Stdio::from(program)).end();
        assert!(
            ended.err.starts_with("test, its file, its versions and its logs are lost. Go on? [y/N]\n"),
            "{ended:?}"
        );
        ended
    };
    // The last is the end of what is typed.
    for no in ["n\n", "\n", "nothing\n", "\u{4}"] {
        let Ended { code, out, err } = answered(no);
        assert!(code == 1 && out.is_empty() && err.contains("nothing is done"), "{code} {err}");
        assert_eq!(registry.json(&["cluster", "list"])[0]["alias"], "test");
    }
    let Ended { code, out, .. } = answered("y\n");
    assert_eq!((code, String::from_utf8_lossy(&out).as_ref()), (0, "test is deleted\n"));
    assert_eq!(registry.json(&["cluster", "list"]), json!([]));
}

/// What a registry answers to a request, as it is written.
fn http(url: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What is between two texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let begin = text.find(before).unwrap_or_else(|| panic!("no {before} in {text}")) + before.len();
    &text[begin..begin + text[begin..].find(after).unwrap()]
}

#[test]
fn no_secret_is_logged_or_written_down() {
    const JSON: (&str, &str) = ("Content-Type", "application/json");
    const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
    const FIRST: &str = "first-admins-password";
    const WRONG: &str = "a-password-that-is-wrong";
    const OTHERS: &str = "password-of-bob";
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // The link goes to standard error, and what is said there is needed before the end.
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "err=$1; shift; exec \"$@\" 2>\"$err\"", "sh", &path("err"), env!("CARGO_BIN_EXE_palm")]);
    command.args(["registry", "--listen", "127.0.0.1:0", "--store", &path("r.db"), "--log-level", "trace"]);
    support::without_variables(&mut command);
    let mut running = Running::start(command);
    let line = running.wait_for_line("serving http");
    let url = line[line.find("http").unwrap()..].to_owned();
    let said = std::fs::read_to_string(path("err")).unwrap();
    let code = between(&said, "/setup?code=", "\n").to_owned();

    // A browser's way.
    http(&url, "GET", &format!("/setup?code={code}"), &[], "");
    let body = json!({ "code": code, "name": "ann", "password": FIRST }).to_string();
    let answer = http(&url, "POST", "/api/v1/setup", &[JSON], &body);
    let (cookie, csrf) = (between(&answer, "palm-session=", ";").to_owned(), between(&answer, "\"csrf\":\"", "\""));
    let headers = [JSON, ("Cookie", &format!("palm-session={cookie}")), ("X-CSRF-Token", csrf)];
    for (name, password) in [("ann", FIRST), ("ann", WRONG), (WRONG, WRONG)] {
        http(&url, "POST", "/api/v1/session", &[JSON], &json!({ "name": name, "password": password }).to_string());
        http(&url, "POST", "/login", &[FORM], &format!("name={name}&password={password}"));
    }
    let answer = http(&url, "POST", "/api/v1/tokens", &headers, r#"{"name":"all","scope":"admin"}"#);
    let token = between(&answer, "\"token\":\"", "\"").to_owned();
    let body = json!({ "old": WRONG, "new": WRONG }).to_string();
    http(&url, "PUT", "/api/v1/me/password", &headers, &body);

    // A program's.
    let told = std::cell::RefCell::new(String::new());
    let ask = |arguments: &[&str]| {
        let mut command = palm();
        command.args(arguments).args(["--log-level", "trace"]).env("PALM_REGISTRY", &url).env("PALM_TOKEN", &token);
        let Ended { code, out, err } = run_with(command, b"");
        assert_eq!(code, 0, "{arguments:?}: {err}");
        *told.borrow_mut() += &err;
        String::from_utf8(out).unwrap()
    };
    std::fs::write(path("pw"), OTHERS).unwrap();
    std::fs::write(path("c.ini"), FILE).unwrap();
    ask(&["users", "add", "bob", "--password-file", &path("pw")]);
    ask(&["users", "set", "bob", "--password-file", &path("pw")]);
    let another = ask(&["tokens", "new", "another"]).trim().to_owned();
    ask(&["cluster", "new", &path("c.ini"), "--alias", "test"]);
    let key = ask(&["cluster", "key", "test"]).trim().to_owned();
    let mut runner = palm();
    runner.args(["runner", "--registry", &url, "--name", "here", "--spool", &path("spool"), "--log-level", "trace"]);
    runner.env("PALM_RUNNER_CLUSTER", &key);
    let runner = Running::start(runner);
    until("lines", || ask(&["cluster", "logs", "test"]).contains("line 1"));
    runner.signal("TERM");
    let Ended { out: runner_said, err: runner_told, .. } = runner.end();

    // That of Python's clients, and words that are none.
    let node = "%5BDEFAULT%5D%0AName=n%0AIp=127.0.0.1%0AProcessors=3%0APorts_from=5555";
    http(&url, "GET", &format!("/cluster?method=node_config&cluster={key}&node={node}"), &[], "");
    http(&url, "POST", &format!("/logs?cluster={key}"), &[], "a line");
    http(&url, "GET", "/cluster?method=clusters_list", &[("Key", &token)], "");
    http(&url, "GET", "/api/v1/me", &[("Authorization", &format!("Bearer x{token}"))], "");
    http(&url, "POST", "/api/v1/session", &[JSON], &json!({ "name": "ann", "password": [FIRST] }).to_string());

    let audit = ask(&["audit", "-n", "1000", "--json"]);
    let deeds: Vec<Value> = serde_json::from_str(&audit).unwrap();
    for what in ["first admin", "log-in", "token made", "user added", "password set", "key shown"] {
        assert!(deeds.iter().any(|deed| deed["what"] == what), "{what} is not written down: {audit}");
    }
    running.signal("TERM");
    let log = String::from_utf8(running.end().out).unwrap();
    assert!(log.contains("DEBUG") || log.contains("TRACE"), "it has not said all: {log}");
    let said = std::fs::read_to_string(path("err")).unwrap();
    let (runner_said, said_once) = (String::from_utf8(runner_said).unwrap(), said.replacen(&code, "", 1));
    let places = [
        ("the registry's log", log),
        ("what the registry says", said_once),
        ("the audit log", audit),
        ("what palm says", told.into_inner()),
        ("the runner's log", runner_said),
        ("what the runner says", runner_told),
    ];
    let secrets = [FIRST, WRONG, OTHERS, &code, &cookie, csrf, &token, &another, &key];
    for (place, text) in places {
        for secret in secrets {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} is in {place}");
        }
    }
}
