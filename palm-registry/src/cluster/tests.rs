use proptest::prelude::*;

use super::*;

/// The example of PALM's own documents, with one worker more than the first.
pub(crate) const PALM: &str = "[Valuation Master]
Script = python3 master.py
--pull = _1
--pub = _2
--wpush = _3
--wpull = _4
--db = _5

[Valuation Worker]
Script = python3 worker.py
--db = _5
Connected = Valuation Master
Role = Worker
Replicas = 1
";

fn socket(name: &str, socket: &str) -> Flag {
    Flag { name: name.to_owned(), value: FlagValue::Socket(socket.to_owned()) }
}

fn flag(name: &str, words: &[&str]) -> Flag {
    let words = words.iter().map(|&word| word.to_owned()).collect();
    Flag { name: name.to_owned(), value: FlagValue::Words(words) }
}

#[test]
fn the_example_is_read_and_written_again() {
    let cluster = Cluster::from_ini(PALM).unwrap();
    let [master, worker] = &cluster.components[..] else { panic!("{cluster:?}") };
    assert_eq!((master.name.as_str(), master.script.as_str()), ("Valuation Master", "python3 master.py"));
    assert_eq!(master.sockets().collect::<Vec<_>>(), ["1", "2", "3", "4", "5"]);
    assert_eq!((worker.copies(), worker.role.as_deref()), (2, Some("Worker")));
    assert_eq!(worker.connected, ["Valuation Master"]);
    assert_eq!(cluster.to_ini().as_deref(), Some(PALM));
    assert_eq!(Cluster::from_toml(&cluster.to_toml()).unwrap(), cluster);
}

#[test]
fn ini_is_read_as_python_reads_it() {
    let cluster = Cluster::from_ini(
        "# a comment\n[DEFAULT]\nROLE: any\n\n[a]\nscript: run\n  it\n; another\n--x=y = z\nReplicas=1\nconnected = b,\n    c\n\
         [b]\nScript=b\nRole=own\n[c]\nScript=c",
    )
    .unwrap();
    let a = &cluster.components[0];
    assert_eq!((a.script.as_str(), a.replicas, a.role.as_deref()), ("run\nit", 1, Some("any")));
    assert_eq!(a.flags, [flag("--x", &["y", "=", "z"])]);
    assert_eq!(a.connected, ["b", "c"]);
    assert_eq!(cluster.components[1].role.as_deref(), Some("own"));
    assert_eq!(start_order(&cluster), [1, 2, 0]);
}

#[test]
fn what_is_passed_over_or_read_otherwise_is_told() {
    let text = "[DEFAULT]\nprogram = worker\nWho = me\n[a] more\nScript = %(program)s it's\nScripts = x\n--Flag = 1 # one\n-d = it's\n\
                 [b]\nScript = x \"\n";
    let told: Vec<_> = Cluster::remarks(text).iter().map(ToString::to_string).collect();
    let passed = "it is passed over: it is not Script, Connected, Role or Replicas, and no flag begins so";
    let open = "a quote is left open, or a backslash ends it: it is split at blanks, and has its quotes";
    assert_eq!(
        told,
        [
            "line 4, [a]: what is behind `[name]` is passed over: `more`".to_owned(),
            format!("line 3, [DEFAULT], Who: {passed}"),
            format!("line 6, [a], Scripts: {passed}"),
            "line 7, [a], --Flag: it is read as `--flag`: INI has no large letters in keys, TOML has".to_owned(),
            "line 7, [a], --Flag: what is behind `#` or `;` belongs to the value: a comment has its own line"
                .to_owned(),
            format!("line 8, [a], -d: {open}"),
            format!("line 5, [a], Script: {open}"),
            format!("line 10, [b], Script: {open}"),
        ]
    );
    assert!(
        Cluster::remarks(PALM).is_empty() && Cluster::remarks(&Cluster::from_ini(PALM).unwrap().to_toml()).is_empty()
    );
}

#[test]
fn a_small_file_does_not_become_a_large_one() {
    let mut text = "[DEFAULT]\nk0 =\n".to_owned();
    for number in 1..10 {
        text += &format!("k{number} = {}\n", format!("%(k{})s", number - 1).repeat(1000));
    }
    let shared = format!("[DEFAULT]\nScript = {}\n", "x".repeat(400_000));
    let sections: String = (0..50_000).map(|number| format!("[{number}]\n")).collect();
    for text in [text + "[a]\nScript = x\n--x = %(k9)s\n", shared + &sections] {
        let error = Cluster::from_ini(&text).unwrap_err();
        assert!(error.reason.starts_with("expected values of 8388608 bytes at most in all sections"), "{error}");
    }
}

#[test]
fn what_was_taken_before_is_still_read() {
    for (text, script) in [
        ("[a]\nScript = date +%s\n", "date +%s"),
        ("[DEFAULT]\nScript = x\n", "x"),
        ("  [a]\n  Script = x\n  y\n", "x\ny"),
    ] {
        assert!(Cluster::from_ini(text).is_err(), "{text}");
        assert_eq!(Cluster::from_kept(text).unwrap().components[0].script, script);
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_key() {
    for (text, told) in [
        ("", "line 1: expected a section `[name]` for each component, found none"),
        ("Script = a", "line 1, Script: expected `[name]` before the first key"),
        ("[a]\nScript", "line 2: expected `key = value` or `[name]`, found `Script`"),
        ("[a\n", "line 1: expected `[name]`, found `[a`"),
        ("[a]\n\n--x = 1", "line 1, [a], Script: expected `Script = PROGRAM`: what is to be started"),
        ("[a]\nScript = x\nReplicas = two", "line 3, [a], Replicas: expected a number from 0 to 9999, found `two`"),
        ("[DEFAULT]\nScript = x", "line 1: expected a section `[name]` for each component, found none"),
        ("[a]\n= x", "line 2, [a]: expected a key in front of the value, found none"),
        ("[a]\nScript = date +%s", "line 2, [a], Script: expected `%%`, which is a `%`, or `%(NAME)s`, found `%s`"),
        ("[a]\nScript = 50%", "line 2, [a], Script: expected `%%`, which is a `%`, or `%(NAME)s`, found `%`"),
        ("[a]\nScript = %(It)s", "line 2, [a], Script: expected a key of this section or of [DEFAULT], found `%(It)s`"),
        (
            "[a]\nScript = %(b)s\nb = %(script)s",
            "line 2, [a], Script: `%(NAME)s` leads from one key to the next more than 10 times",
        ),
        ("[a]\nScript = x\n--X = 1\n--x = 2", "line 4, [a], --x: this key was given before"),
        ("[a]\nScript = x\n--db = _", "line 3, [a], --db: expected a name after `_`, as in `_1`"),
        ("[a]\nScript = x\nscript = y", "line 3, [a], script: this key was given before"),
        ("[a]\nScript = x\n[a]", "line 3, [a]: this name was used before: each section has one of its own"),
        ("[a]\nScript = x\nConnected = b", "line 3, [a], Connected: expected the name of a component (a), found `b`"),
        (
            "[x]\nScript = x\nConnected=a\n[a]\nScript = x\nConnected = b\n[b]\nScript = x\nConnected = a",
            "line 6, [a], Connected: these wait for each other: a -> b -> a",
        ),
    ] {
        assert_eq!(Cluster::from_ini(text).unwrap_err().to_string(), told, "{text}");
    }
    let toml = |rest: &str| format!("[[component]]\nname = \"a\"\nscript = \"x\"\n{rest}");
    for (text, told) in [
        (String::new(), "line 1: expected a table `[[component]]` for each component, found none"),
        (toml("replicas = 99999"), "line 2, [a], replicas: expected a number from 0 to 9999, found 99999"),
        (toml("connected = [\n\"b\"]"), "line 5, [a], connected: expected the name of a component (a), found `b`"),
        (toml("flags = { db = 1 }"), "line 2, [a], flags: expected a flag that begins with `-`, found `db`"),
        (toml("connected = [\"a\"]"), "line 4, [a], connected: these wait for each other: a -> a"),
        (toml(&toml("")), "line 5, [a], name: this name was used before: each component has one of its own"),
    ] {
        assert_eq!(Cluster::from_toml(&text).unwrap_err().to_string(), told, "{text}");
    }
    let long = "n".repeat(257);
    for (name, told) in [
        (long.as_str(), "name: expected a name of at most 256 bytes, found 257"),
        ("a\u{1b}[2J", "name: expected a name without control characters"),
    ] {
        let ini = Cluster::from_ini(&format!("[b]\nScript = x\n[{name}]\nScript = x\n"));
        assert_eq!(ini.unwrap_err().to_string(), format!("line 3, {told}"));
        let component = |name: &str| format!("[[component]]\nname = {}\nscript = \"x\"\n", toml::Value::from(name));
        let text = component("b") + &component(name);
        assert_eq!(Cluster::from_toml(&text).unwrap_err().to_string(), format!("line 5, {told}"));
        assert_eq!(Cluster::from_kept(&text).unwrap().components[1].name, name, "it was taken before");
    }
    assert!(Cluster::from_ini(&format!("[{}]\nScript = x\n", &long[1..])).is_ok());
    let unknown = Cluster::from_toml(&toml("replica = 1")).unwrap_err();
    assert!(unknown.line == 4 && unknown.reason.contains("unknown field `replica`"), "{unknown}");
}

#[test]
fn a_long_chain_of_components_has_its_order() {
    let link = |number| format!("[c{number}]\nScript = s\nConnected = c{}\n", number + 1);
    let chain: String = (0..20_000).map(link).collect();
    let cluster = Cluster::from_kept(&format!("{chain}[c20000]\nScript = s\n")).unwrap();
    assert_eq!(start_order(&cluster), (0..=20_000).rev().collect::<Vec<_>>());
    assert!(Cluster::from_ini(&format!("{chain}[c20000]\nScript = s\nConnected = c0\n")).is_err());
}

#[test]
fn toml_says_what_ini_cannot() {
    let text = r#"
[[component]]
name = "web"
script = "serve --all"
restart = "always"
directory = "/srv"
grace-seconds = 3
processors = 2
nodes = ["big"]
ready = { tcp = "_http" }

[component.flags]
"--listen" = "_http"
"--level" = 3

[component.environment]
TZ = "UTC"
"#;
    let cluster = Cluster::from_toml(text).unwrap();
    let web = &cluster.components[0];
    assert_eq!(web.extras.ready, Some(Readiness::Tcp("_http".into())));
    assert_eq!((web.extras.restart, web.extras.processors), (Restart::Always, 2));
    assert_eq!(web.flags, [socket("--listen", "http"), flag("--level", &["3"])]);
    assert_eq!(cluster.to_ini(), None);
    let keys = ["restart", "ready", "grace-seconds", "processors", "nodes", "directory", "environment"];
    assert_eq!(cluster.not_in_ini(), keys.map(|key| ("web", key)));
    assert_eq!(Cluster::from_toml(&cluster.to_toml()).unwrap(), cluster);
}

#[test]
fn what_ini_would_read_as_something_else_is_not_written() {
    type Change<'a> = &'a dyn Fn(&mut Component);
    let with = |change: Change<'_>| {
        let mut components = vec![Component::new("a", "run"), Component::new("b", "run")];
        change(&mut components[0]);
        Cluster { components }
    };
    let changes: [(&str, Change<'_>); 8] = [
        ("name", &|a| a.name = "DEFAULT".to_owned()),
        ("name", &|a| a.name = " a".to_owned()),
        ("script", &|a| a.script = "run\nScript = it".to_owned()),
        ("flags", &|a| a.flags = vec![flag("--x=y", &["z"])]),
        ("flags", &|a| a.flags = vec![flag("--X", &["2"])]),
        ("flags", &|a| a.flags = vec![socket("--x", "1 ")]),
        ("connected", &|a| a.connected = vec!["b,c".to_owned()]),
        ("role", &|a| a.role = Some("any\n[c]".to_owned())),
    ];
    for (key, change) in changes {
        let cluster = with(change);
        assert_eq!(cluster.not_in_ini(), [(cluster.components[0].name.as_str(), key)]);
        assert_eq!(cluster.to_ini(), None);
    }
    let flags = [
        flag("--x", &["1"]),
        flag("--y", &[]),
        flag("-v", &["a b", "", "it's", "#", "50%"]),
        flag("-V", &["_1"]),
        flag("--z", &[""]),
        flag("--two", &["_1", "c:\\d\"e"]),
        socket("--db", "a b # c"),
    ];
    let cluster = with(&|a| {
        a.script = "date +%s".to_owned();
        a.flags = flags.to_vec();
    });
    assert_eq!(Cluster::from_ini(&cluster.to_ini().unwrap()).unwrap(), cluster);
    assert_eq!(Cluster::from_toml(&cluster.to_toml()).unwrap(), cluster);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "([\\[\\]a-cB=_:,#; \\-'\"%()s\n]|%\\(a\\)s|Script=x\n|Connected=|\\[\\[component\\]\\]\n|name=\"a\"\n|script=\"x\"\n){0,40}") {
        for cluster in [Cluster::from_ini(&text), Cluster::from_toml(&text)].into_iter().flatten() {
            prop_assert_eq!(Cluster::from_toml(&cluster.to_toml()).unwrap(), cluster.clone());
            if let Some(ini) = cluster.to_ini() {
                prop_assert_eq!(Cluster::from_ini(&ini).unwrap(), cluster.clone());
            }
            prop_assert_eq!(start_order(&cluster).len(), cluster.components.len());
        }
    }
}

#[test]
fn errors_of_toml_name_component_and_key() {
    let file =
        |more: &str| format!("[[component]]\nname = \"First\"\nscript = 'a'\n\n[[component]]\nname = \"A b\"\n{more}");
    for (more, told) in [
        ("", "line 5, [A b]: expected a key `script`, found none"),
        (
            "script = 'a'\nreplicas = -1",
            "line 8, [A b], replicas: invalid value: integer `-1`, expected a number, 0 or more",
        ),
        (
            "script = 'a'\nrestart = 'x'",
            "line 8, [A b], restart: unknown variant `x`, expected one of `on-failure`, `always`, `never`",
        ),
        (
            "script = 'a'\nready.cach = '_db'",
            "line 8, [A b], ready.cach: unknown variant `cach`, expected one of `cache`, `tcp`, `command`, `line`",
        ),
        ("script = 7", "line 7, [A b], script: invalid type: integer `7`, expected a string"),
    ] {
        assert_eq!(Cluster::from_toml(&file(more)).unwrap_err().to_string(), told);
    }
}

#[test]
fn what_no_runner_could_do_is_told() {
    let file = |more: &str| format!("[[component]]\nname = 'A'\nflags = {{ '--db' = '_db' }}\n{more}");
    for (more, told) in [
        ("script = \"a\\u0000\"", "line 4, [A], script: expected text without zero bytes"),
        (
            "script = 'a'\nenvironment = { 'B=C' = 'x' }",
            "line 5, [A], environment: expected the name of a variable, without `=`, found `B=C`",
        ),
        (
            "script = 'a'\ngrace-seconds = 9223372036854775807",
            "line 5, [A], grace-seconds: expected a number from 0 to 86400, found 9223372036854775807",
        ),
        (
            "script = 'a'\nready.tcp = '_bd'",
            "line 5, [A], ready: expected a socket that is a flag's value somewhere, found `_bd`",
        ),
    ] {
        assert_eq!(Cluster::from_toml(&file(more)).unwrap_err().to_string(), told);
    }
    assert!(Cluster::from_toml(&file("script = 'a'\nready.tcp = '_db'\ngrace-seconds = 86400")).is_ok());
}

/// A file of so many components that each have something more.
fn many(count: usize, more: &str) -> (String, String) {
    let ini = (0..count).map(|index| format!("[c{index}]\nScript = s\n{more}"));
    let toml = (0..count).map(|index| format!("[[component]]\nname = 'c{index}'\nscript = 's'\n"));
    (ini.collect(), toml.collect())
}

#[test]
fn a_file_may_be_so_large() {
    let (ini, toml) = many(10_000, "--db = _db\n");
    assert_eq!(Cluster::from_ini(&ini).unwrap().components.len(), 10_000);
    assert_eq!(Cluster::from_toml(&toml).unwrap().components.len(), 10_000);
    let (ini, toml) = many(25_000, "");
    let told = "[c10000]: expected 10000 components at most, found 25000";
    assert_eq!(Cluster::from_ini(&ini).unwrap_err().to_string(), format!("line 20001, {told}"));
    assert_eq!(Cluster::from_toml(&toml).unwrap_err().to_string(), format!("line 30002, {told}"));
    assert_eq!(Cluster::from_kept(&toml).unwrap().components.len(), 25_000, "it was taken before");
}

#[test]
fn no_more_is_read_than_a_cluster_may_have() {
    let flags = |count: usize| (0..count).map(|index| format!("--f{index} = x\n")).collect::<String>();
    let sockets = |index: usize| {
        let flags: String = (0..500).map(|flag| format!("--f{flag} = _{index}_{flag}\n")).collect();
        format!("[c{index}]\nScript = s\n{flags}")
    };
    let copies = |script: &str, replicas: u32, count: usize| {
        let component = |index| format!("[c{index}]\nScript = {script}\nReplicas = {replicas}\n");
        (0..count).map(component).collect::<String>()
    };
    let default = |keys: usize, value: &str, count: usize| {
        let flags: String = (0..keys).map(|index| format!("--f{index} = {value}\n")).collect();
        format!("[DEFAULT]\nScript = s\n{flags}{}", (0..count).map(|index| format!("[c{index}]\n")).collect::<String>())
    };
    let long = "x".repeat(70_000);
    for (file, told) in [
        (format!("[c]\nScript = s\n{}", flags(1001)), "line 1, [c], flags: expected 1000 flags at most, found 1001"),
        ((0..21).map(sockets).collect(), "line 10041, [c20], flags: expected 10000 sockets at most in all components"),
        (
            format!("[c]\nScript = {long}\n"),
            "line 2, [c], script: expected a command line of 65536 bytes at most, found 70001",
        ),
        (copies("s", 9_999, 20), "line 18, [c5], replicas: expected 50000 processes at most in all components"),
        (
            copies(&long[..60_000], 999, 1),
            "line 3, [c], replicas: expected command lines and environments of 16777216 bytes at most in all processes",
        ),
    ] {
        let error = Cluster::from_ini(&file).unwrap_err().to_string();
        assert_eq!(error.replace("[c0]", "[c]"), told, "{}", &file[..60]);
    }
    for file in [default(500, "v", 1000), default(1, &long, 1000)] {
        let error = Cluster::from_ini(&file).unwrap_err();
        assert!(error.reason.starts_with("expected values of 8388608 bytes at most in all sections"), "{error}");
    }
    let environment = format!("[[component]]\nname = 'a'\nscript = 's'\nenvironment = {{ A = '{long}' }}\n");
    let told = "line 4, [a], environment: expected an environment of 65536 bytes at most, found 70003";
    assert_eq!(Cluster::from_toml(&environment).unwrap_err().to_string(), told);
}

#[test]
fn an_error_of_a_large_file_is_short() {
    let (mut ini, _) = many(1000, "");
    ini += "[last]\nScript = s\nConnected = none\n";
    let error = Cluster::from_ini(&ini).unwrap_err().to_string();
    assert!(error.contains("c19, and 981 more), found `none`") && error.len() < 300, "{error}");
    let link = |index: usize| format!("[c{index}]\nScript = s\nConnected = c{}\n", (index + 1) % 1000);
    let error = Cluster::from_ini(&(0..1000).map(link).collect::<String>()).unwrap_err().to_string();
    assert!(error.contains("c0 -> c1 -> ") && error.ends_with("c19 -> and 981 more, back to the first"), "{error}");
}
