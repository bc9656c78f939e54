//! The INI files below `tests/ini`, as the real `pylm-registry` reads them and as ours does.
//!
//! Each file is one point. Where the two differ, the table says what each makes of it; the reasons are in `docs/registry.md`,
//! section 1.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use palm_registry::cluster::Cluster;
use palm_registry::plan::{NodeOffer, Plan};
use palm_tests::{python, within};
use serde_json::Value;

/// What a registry makes of a file: command lines, or nothing but an error.
type Made = Option<Vec<String>>;

/// What ours makes of a file, beside what Python's does.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// The same command lines.
    Same,
    /// Both refuse it.
    Refused,
    /// Python's refuses it, ours does not: the lines.
    Ours(&'static [&'static str]),
    /// Ours refuses it, Python's does not: the lines.
    Theirs(&'static [&'static str]),
    /// Both take it: lines of ours, and lines of Python's.
    Differs(&'static [&'static str], &'static [&'static str]),
}

use Expected::{Differs, Ours, Refused, Same, Theirs};

const CLUSTERS: [(&str, Expected); 51] = [
    ("example", Same),
    ("blanks-and-colons", Same),
    ("indented", Same),
    ("comments", Same),
    ("no-comment", Same),
    ("percent", Same),
    ("defaults", Same),
    ("other-keys", Same),
    ("letters", Same),
    ("quotes", Same),
    ("apostrophe", Same),
    ("lines", Same),
    ("windows", Same),
    ("behind-a-name", Same),
    ("numbers", Same),
    ("unicode", Same),
    ("alike", Same),
    ("percent-alone", Refused),
    ("percent-unknown", Refused),
    ("percent-loop", Refused),
    ("percent-open", Refused),
    ("key-twice", Refused),
    ("flag-twice", Refused),
    ("default-twice", Refused),
    ("section-twice", Refused),
    ("no-value", Refused),
    ("no-key", Refused),
    ("no-section", Refused),
    ("no-script", Refused),
    ("open-section", Refused),
    ("replicas", Refused),
    ("replicas-empty", Refused),
    ("latin-1", Refused),
    // Python's knows no values but sockets.
    ("value", Ours(&["run --level 3 --db tcp://127.0.0.1:5555"])),
    ("hash", Ours(&["run --colour #fff ; x --db tcp://127.0.0.1:5555"])),
    ("words", Ours(&["run --title a b its # c --db tcp://127.0.0.1:5555"])),
    ("apostrophe-in-a-value", Ours(&["run --title it's mine --db tcp://127.0.0.1:5555"])),
    ("empty", Ours(&["run --verbose --db tcp://127.0.0.1:5555"])),
    ("dots", Ours(&["run --db tcp://127.0.0.1:5555"])),
    ("short-letters", Ours(&["run -v tcp://127.0.0.1:5555 -V tcp://127.0.0.1:5556"])),
    ("mark", Ours(&["run --db tcp://127.0.0.1:5555"])),
    // Python's reads a script as a pattern of `str.format`.
    ("braces", Ours(&["xargs -I {} echo {} --db tcp://127.0.0.1:5555"])),
    ("double-braces", Differs(&["run {{x}}"], &["run {x}"])),
    // With Python's, flags have two dashes, but all values may be sockets.
    ("short", Differs(&["run -d tcp://127.0.0.1:5555 --db tcp://127.0.0.1:5556"], &["run --db tcp://127.0.0.1:5556"])),
    ("socket-of-no-flag", Differs(&["run --db tcp://127.0.0.1:5555"], &["run --db tcp://127.0.0.1:5556"])),
    (
        "order",
        Differs(
            &["run --db tcp://127.0.0.1:5555", "go --db tcp://127.0.0.1:5556"],
            &["go --db tcp://127.0.0.1:5555", "run --db tcp://127.0.0.1:5556"],
        ),
    ),
    ("connected-to-nobody", Theirs(&["run"])),
    ("connected-in-a-circle", Theirs(&["run", "go"])),
    ("replicas-negative", Theirs(&[])),
    ("nothing", Theirs(&[])),
    ("default-alone", Theirs(&[])),
];

const NODES: [(&str, Expected); 24] = [
    ("example", Same),
    ("no-name", Same),
    ("percent-in-the-name", Same),
    ("letters", Same),
    ("percent", Same),
    ("more-sections", Same),
    ("numbers", Same),
    ("windows", Same),
    ("host", Same),
    ("no-ip", Refused),
    ("no-ports", Refused),
    ("no-processors", Refused),
    ("no-section", Refused),
    ("processors", Refused),
    ("processors-comment", Refused),
    ("processors-negative", Refused),
    ("percent-alone", Refused),
    ("processors-none", Ours(&[])),
    ("mark", Ours(&["run --db tcp://127.0.0.1:5555"])),
    ("own-section", Ours(&["run --db tcp://127.0.0.1:5555"])),
    ("ip-6", Differs(&["run --db tcp://[::1]:5555"], &["run --db tcp://::1:5555"])),
    ("ip-blank", Theirs(&["run --db tcp://my host:5555"])),
    ("ports-none", Theirs(&["run --db tcp://127.0.0.1:0"])),
    ("ports-high", Theirs(&["run --db tcp://127.0.0.1:70000"])),
];

const CLUSTER: &str = "[a]\nScript = run\n--db = _1\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ini")
}

/// What Python's registry makes of all files, by kind and name.
fn theirs() -> BTreeMap<(String, String), Made> {
    let output = python::program("registry_commands.py").arg(folder()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let made = |line: &Value| line["commands"].as_array().map(|lines| lines.iter().map(text).collect());
    lines.iter().map(|line| ((text(&line["event"]), text(&line["name"])), made(line))).collect()
}

/// What Python's clients are told of a cluster on one node, as our registry tells it.
fn lines(cluster: Cluster, node: NodeOffer) -> Vec<String> {
    let (mut plan, name) = (Plan::new(cluster), node.name.clone());
    plan.offer(node);
    plan.commands(&name).map(|command| command.parts().join(" ")).collect()
}

fn cluster(text: &str) -> Made {
    let node = NodeOffer { name: "n".into(), ip: "127.0.0.1".into(), processors: 20, ports_from: 5555 };
    Cluster::from_text(text).ok().map(|cluster| lines(cluster, node))
}

fn node(text: &str) -> Made {
    NodeOffer::from_ini(text).ok().map(|node| lines(Cluster::from_ini(CLUSTER).unwrap(), node))
}

/// Checks the files of one kind against the table, which has a line for each.
fn check(kind: &str, table: &[(&str, Expected)], made: fn(&str) -> Made) {
    let theirs = theirs();
    let names: Vec<_> = theirs.keys().filter(|(of, _)| of == kind).map(|(_, name)| name.as_str()).collect();
    let mut listed: Vec<_> = table.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(names, listed);
    let lines = |lines: &[&str]| Some(lines.iter().map(|&line| line.to_owned()).collect());
    for (name, expected) in table {
        let bytes = std::fs::read(folder().join(format!("{kind}s")).join(format!("{name}.ini"))).unwrap();
        let ours = String::from_utf8(bytes).ok().and_then(|text| made(&text));
        let theirs = theirs[&(kind.to_owned(), (*name).to_owned())].clone();
        let (of_ours, of_theirs): (Made, Made) = match expected {
            Same => {
                assert!(theirs.is_some(), "{name}: Python's registry refuses it");
                (theirs.clone(), theirs.clone())
            }
            Refused => (None, None),
            Ours(ours) => (lines(ours), None),
            Theirs(theirs) => (None, lines(theirs)),
            Differs(ours, theirs) => (lines(ours), lines(theirs)),
        };
        assert_eq!((name, ours), (name, of_ours), "ours");
        assert_eq!((name, theirs), (name, of_theirs), "Python's");
    }
}

#[test]
fn cluster_files_make_the_commands_that_python_s_registry_makes_of_them() {
    within(600, || check("cluster", &CLUSTERS, cluster));
}

#[test]
fn node_files_are_read_as_python_s_registry_reads_them() {
    within(600, || check("node", &NODES, node));
}

/// What is in a file is the same once it is written in the other form and back.
#[test]
fn files_are_the_same_in_the_other_form() {
    let mut read = 0;
    for (name, _) in CLUSTERS {
        let bytes = std::fs::read(folder().join("clusters").join(format!("{name}.ini"))).unwrap();
        let Some(cluster) = String::from_utf8(bytes).ok().and_then(|text| Cluster::from_text(&text).ok()) else {
            continue;
        };
        read += 1;
        assert_eq!(Cluster::from_toml(&cluster.to_toml()).as_ref(), Ok(&cluster), "{name}");
        match cluster.to_ini() {
            Some(text) => assert_eq!(Cluster::from_ini(&text).as_ref(), Ok(&cluster), "{name}"),
            // A script of several lines.
            None => assert!(cluster.not_in_ini().iter().all(|(_, key)| *key == "script"), "{name}"),
        }
    }
    assert!(read > 20);
}

/// A word of TOML is one word of the process, whatever is in it; `pylm-runner` splits it at its blanks.
#[test]
fn a_word_of_toml_is_one_word() {
    let text = "\u{feff}[[component]]\nname = 'a'\nscript = 'run'\n[component.flags]\n'--title' = \"two words, it's #1\"\n\
                '--literal' = ['_1', '']\n'--db' = '_1'\n'--verbose' = ''\n'--level' = 3\n";
    let cluster = Cluster::from_text(text).unwrap();
    let words = [
        "run",
        "--title",
        "two words, it's #1",
        "--literal",
        "_1",
        "",
        "--db",
        "tcp://h:1",
        "--verbose",
        "--level",
        "3",
    ];
    let mut plan = Plan::new(cluster);
    plan.offer(NodeOffer { name: "n".into(), ip: "h".into(), processors: 1, ports_from: 1 });
    let command = plan.commands("n").next().unwrap();
    assert_eq!(palm_registry::words::split(&command.line).unwrap(), words);
    let plain = "run --title two words, it's #1 --literal _1  --db tcp://h:1 --verbose --level 3";
    assert_eq!(command.parts().join(" "), plain);
}
