//! Simulated clusters, one for each seed. A seed that fails replays with the program `simulate` (`docs/testing.md`).

use std::panic::{AssertUnwindSafe, catch_unwind};

use palm_tests::simulation::{Kind, Summary};

/// Runs the clusters of these seeds; tells the seed of one that breaks a promise.
fn hold(kind: Kind, seeds: std::ops::Range<u64>, messages: u32) -> Vec<Summary> {
    let name = kind.name();
    let one = |seed| {
        let result = catch_unwind(AssertUnwindSafe(|| kind.run(seed, messages, None)));
        match result {
            Ok(Ok(summary)) => summary,
            Ok(Err(violation)) => {
                panic!("simulate --scenario {name} --seed {seed} --messages {messages} --trace: {violation}")
            }
            Err(_) => {
                panic!("simulate --scenario {name} --seed {seed} --messages {messages} --trace: a panic, see above")
            }
        }
    };
    seeds.map(one).collect()
}

#[test]
fn many_small_clusters_keep_their_promises() {
    let runs = hold(Kind::Zeromq, 0..1_500, 60);
    let sum = |what: fn(&Summary) -> u64| runs.iter().map(what).sum::<u64>();
    // The seeds do bring about what is to be survived.
    let sums = [sum(|run| run.deaths), sum(|run| run.redispatched), sum(|run| run.duplicates), sum(|run| run.failures)];
    assert!(sums.iter().all(|&sum| sum > 100), "deaths, redispatched, duplicates, failures: {sums:?}");
}

#[test]
fn clusters_of_native_peers_and_of_both_keep_their_promises() {
    let mut runs = hold(Kind::Native, 0..1_000, 40);
    runs.extend(hold(Kind::Mixed, 0..1_000, 40));
    runs.extend(hold(Kind::Tight, 0..2_000, 40));
    let claims = hold(Kind::Claims, 0..500, 40);
    let again = hold(Kind::Restarts, 0..1_000, 40);
    let sum = |runs: &[Summary], what: fn(&Summary) -> u64| runs.iter().map(what).sum::<u64>();
    // The seeds do bring about what is to be survived.
    let sums = [sum(&runs, |run| run.deaths), sum(&runs, |run| run.redispatched), sum(&runs, |run| run.claimed)];
    assert!(sums.iter().all(|&sum| sum > 100), "deaths, redispatched, claimed: {sums:?}");
    assert!(sum(&again, |run| run.restarts) > 100);
    let claimed = sum(&claims, |run| run.claimed);
    assert!(claimed > 100, "claimed: {claimed}");
}

#[test]
fn who_comes_late_has_all_its_results_although_others_have_had_them() {
    let runs = hold(Kind::Overheard, 0..500, 60);
    assert!(runs.iter().any(|run| run.received > 50), "they do have some");
}

#[test]
fn larger_clusters_keep_their_promises() {
    hold(Kind::Zeromq, 1_000_000..1_000_060, 1_000);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 2_000_000..2_000_010 {
        for kind in
            [Kind::Zeromq, Kind::Native, Kind::Mixed, Kind::Restarts, Kind::Tight, Kind::Claims, Kind::Overheard]
        {
            assert_eq!(kind.run(seed, 100, None), kind.run(seed, 100, None), "{} {seed}", kind.name());
        }
    }
    assert_ne!(Kind::Zeromq.run(2_000_000, 100, None), Kind::Zeromq.run(2_000_001, 100, None));
}

#[test]
fn a_million_messages_while_workers_die_and_a_client_subscribes_late() {
    let messages = 1_000_000;
    for summary in hold(Kind::FullSpeed, 3_000_000..3_000_003, messages) {
        assert!(summary.deaths > 50 && summary.redispatched > 1_000, "{summary:?}");
        assert_eq!((summary.received, summary.failures, summary.excused), (u64::from(messages), 0, 0), "{summary:?}");
    }
}
