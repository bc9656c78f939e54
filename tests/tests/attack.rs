//! The attacks of [`palm_tests::attack`] against our master and Python's, and what servers that mean harm do to our programs.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

use std::process::Command;
use std::time::Duration;

use palm_tests::attack::{self, Attack, Bounds, Target, Verdict};
use palm_tests::process::Stream;
use palm_tests::{Addresses, Master, Process, Side, within};

/// Less than the program's own bounds, with a master that has less room: `--connections 256`.
fn bounds() -> Bounds {
    Bounds { patience: Duration::from_secs(60), connections: 400, subscriptions: 2_000, messages: 6_000, keys: 1_500 }
}

const FLAGS: [&str; 8] =
    ["--connections", "256", "--tcp", "127.0.0.1:0", "--cache-entries", "1000", "--memory", "64MiB"];

/// Runs a family, or one attack of it, against a new master of ours. What did not hold.
fn run(wanted: impl Fn(&Attack) -> bool) -> Vec<String> {
    let master = Master::start(Side::Ours, "victim", &FLAGS);
    let target = Target::discover(&master.addresses.cache, bounds(), false).unwrap();
    let target = target.with_native(&master.native_address(), b"", false).unwrap();
    verdicts(&target, wanted)
}

fn verdicts(target: &Target, wanted: impl Fn(&Attack) -> bool) -> Vec<String> {
    let attacks: Vec<_> = attack::all().into_iter().filter(wanted).collect();
    assert!(!attacks.is_empty(), "there are such attacks");
    let mut seen = Vec::new();
    attack::run(target, &attacks, |attack, verdict, _| match verdict {
        Verdict::Held => {}
        Verdict::Broken(why) | Verdict::NotRun(why) => seen.push(format!("{}/{}: {why}", attack.family, attack.name)),
    })
    .unwrap();
    seen
}

/// A test for each family.
macro_rules! families {
    ($($family:ident)*) => {$(
        #[test]
        fn $family() {
            within(600, || {
                let broken = run(|attack| attack.family == stringify!($family));
                assert_eq!(broken, Vec::<String>::new());
            });
        }
    )*};
}

families!(frames cache connections subscriptions fields answers floods native sessions);

/// The attack of this name.
fn named(family: &'static str, name: &'static str) -> impl Fn(&Attack) -> bool {
    move |attack| (attack.family, attack.name) == (family, name)
}

#[test]
fn a_stock_master_does_not_hold_everywhere() {
    within(300, || {
        let master = Master::start(Side::Stock, "server", &[]);
        let target = Target::discover(&master.addresses.cache, bounds(), false).unwrap();
        // What it cannot know of does not harm it.
        assert_eq!(verdicts(&target, named("fields", "handed-back")), Vec::<String>::new());
        let forged = verdicts(&target, named("fields", "forged-status"));
        assert!(matches!(&forged[..], [seen] if seen.contains("what another has forged: status 1")), "{forged:?}");
        let presets = verdicts(&target, named("cache", "presets"));
        assert!(matches!(&presets[..], [seen] if seen.contains("name is Some(")), "{presets:?}");
        // Its cache dies of a request without a dot, and then nobody finds it any more.
        let bounds = Bounds { patience: Duration::from_secs(15), ..bounds() };
        let target = Target { bounds, ..target };
        let cache = verdicts(&target, |attack| attack.family == "cache" && attack.name != "presets");
        assert!(
            matches!(&cache[..], [seen, .., rest] if seen.contains("no dot") && rest.contains("serves nobody")),
            "{cache:?}"
        );
    });
}

/// The program, with these flags: its exit status and what it has printed.
fn program(flags: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attack"));
    command.args(flags);
    let mut process = Process::start("attack", command);
    let status = process.exit(Duration::from_secs(120));
    (status.code(), [process.printed(Stream::Out), process.printed(Stream::Err)].concat().join("\n"))
}

#[test]
fn the_program_says_what_holds_and_exits_so() {
    within(300, || {
        let ours = Master::start(Side::Ours, "ours", &[]);
        let stock = Master::start(Side::Stock, "stock", &[]);
        let (status, said) = program(&["--db", &ours.addresses.cache, "--only", "presets", "--only", "native"]);
        assert_eq!(status, Some(0), "{said}");
        assert!(said.contains("held     cache/presets") && said.contains("not run  native/tokens"), "{said}");
        assert!(said.contains("1 held, 0 broken, 7 not run"), "{said}");
        let (status, said) = program(&["--db", &stock.addresses.cache, "--only", "cache/presets"]);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("BROKEN   cache/presets") && said.contains("0 held, 1 broken"), "{said}");
        let (status, said) = program(&["--list"]);
        assert_eq!(status, Some(0), "{said}");
        assert!(attack::all().iter().all(|attack| said.contains(attack.tries)), "{said}");
        // Wrong use, or nobody there.
        let gone = Addresses::free().cache;
        for flags in [&["--only", "nonsense"][..], &["--serve", "nonsense"], &["--db", &gone], &["--nonsense"]] {
            let (status, said) = program(flags);
            assert!(status == Some(2) && !said.is_empty(), "{flags:?}: {status:?}: {said}");
        }
    });
}

#[test]
fn only_this_machine_is_attacked_unless_more_is_said() {
    within(180, || {
        let (status, said) = program(&["--db", "tcp://192.0.2.1:5559"]);
        assert!(status == Some(2) && said.contains("not of this machine"), "{said}");
        // A cache of this machine that leads elsewhere.
        let free = Addresses::free();
        let wild = free.pull.replace("127.0.0.1", "*");
        let addresses = Addresses { pull: wild, ..free };
        let master = Master::start_at(Side::Ours, "abroad", addresses, &["--advertise", "192.0.2.1"]);
        let (status, said) = program(&["--db", &master.addresses.cache]);
        assert!(status == Some(2) && said.contains("192.0.2.1") && said.contains("--i-own-this-host"), "{said}");
    });
}
