//! Cluster files that are checked and written in another form, without a registry.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::path::PathBuf;

use support::{Ended, palm, run, run_with};

const INI: &str =
    "[Master]\nScript = m\n--db = _1\n\n[Worker]\nScript = w\n--db = _1\nConnected = Master\nReplicas = 2\n";

/// A file with this in it, in a folder that goes with the test.
fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_file_is_checked_here() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(&folder, "good.ini", INI);
    let Ended { code, out, err } = run(&["cluster", "validate", good.to_str().unwrap()]);
    assert_eq!((code, String::from_utf8_lossy(&out).as_ref(), err.as_str()), (0, "2 components: Master, Worker\n", ""));
    for (name, text, told) in [
        ("bad.ini", INI.replace("= 2", "= many"), "bad.ini: line 9, [Worker], Replicas: expected a number"),
        ("bad.toml", "[[component]]\nname = \"a\"\nscript = 3\n".to_owned(), "bad.toml: line 3, [a], script: "),
        ("zero.ini", format!("{INI}\0"), "zero.ini: expected a file of at most 1 MiB, without a zero byte"),
    ] {
        let bad = file(&folder, name, &text);
        let Ended { code, out, err } = run(&["cluster", "validate", bad.to_str().unwrap()]);
        assert!(code == 2 && out.is_empty() && err.contains(told), "{code} {err}");
    }
    let mut command = palm();
    command.args(["cluster", "validate", "-", "--json"]);
    let Ended { code, out, err } = run_with(command, b"[A]\n");
    let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((code, &told["valid"], &told["line"], &told["key"]), (2, &false.into(), &1.into(), &"Script".into()));
    assert!(err.contains("line 1, [A], Script"), "{err}");
}

#[test]
fn what_was_meant_for_a_shell_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let meant = file(&folder, "meant.ini", "[A]\nScript = cd x && a\n--log = ~/log\n");
    let Ended { code, out, err } = run(&["cluster", "validate", meant.to_str().unwrap()]);
    assert_eq!((code, String::from_utf8_lossy(&out).as_ref()), (0, "1 component: A\n"));
    assert!(
        err.contains(
            "meant.ini: line 2, [A], Script: `cd` is a shell's own command, and no shell reads this line: write sh -c"
        ),
        "{err}"
    );
    assert!(err.contains("meant.ini: line 3, [A], --log: `~/log` is handed to the program as it stands"), "{err}");
    let Ended { out, .. } = run(&["cluster", "validate", meant.to_str().unwrap(), "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&told["valid"], told["warnings"].as_array().unwrap().len()), (&true.into(), 2));
}

#[test]
fn a_file_is_written_in_the_other_form_if_that_can_say_it() {
    let folder = tempfile::tempdir().unwrap();
    let ini = file(&folder, "c.ini", &format!("# a comment\n{INI}"));
    let Ended { code, out, err } = run(&["cluster", "convert", ini.to_str().unwrap()]);
    let text = String::from_utf8(out).unwrap();
    assert!(code == 0 && text.starts_with("[[component]]\nname = \"Master\"") && err.is_empty(), "{text} {err}");
    let toml = file(&folder, "c.toml", &text);
    let Ended { out, .. } = run(&["cluster", "convert", toml.to_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&out), INI);
    let Ended { out, .. } = run(&["cluster", "convert", toml.to_str().unwrap(), "--to", "toml"]);
    assert_eq!(String::from_utf8_lossy(&out), text);

    let more = "[[component]]\nname = \"a\"\nscript = \"x\"\nrestart = \"always\"\nenvironment = { A = \"1\" }\n";
    let more = file(&folder, "more.toml", more);
    let Ended { code, out, err } = run(&["cluster", "convert", more.to_str().unwrap()]);
    assert!(code == 1 && out.is_empty(), "{code} {err}");
    assert!(err.contains("more.toml: INI cannot say this: [a] restart, [a] environment"), "{err}");
}
