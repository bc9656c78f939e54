//! The native protocol over serial lines, or what looks like some.

mod support;

use std::time::Duration;

use palm_transport_tcp::MasterConfig;
use support::lines::{work_one_after_the_other, work_while_spoiled};
use support::relay::Cable;
use support::{Running, Working, client, worker};

fn master_at(lines: &[&Cable]) -> Running {
    let mut listen = vec![String::from("tcp://127.0.0.1:0")];
    listen.extend(lines.iter().map(|cable| cable.address(0)));
    // What is lost at the end of all is missed by the silence that follows; and a line may break as often as it likes.
    let (heartbeat, attempts) = (Duration::from_millis(500), 1_000);
    Running::start(MasterConfig { listen, heartbeat, attempts, ..MasterConfig::new("server") })
}

#[test]
fn a_worker_at_a_line_does_tasks() {
    let cable = Cable::new();
    let master = master_at(&[&cable]);
    let worker = Working::start(worker(&cable.address(1)));
    let client = client(&master.address).connect().unwrap();
    for len in [0, 1, 253, 254, 255, 1_000, 20_000] {
        let payload: Vec<u8> = (0..len).map(|at: usize| (at % 251) as u8).collect();
        assert!(client.eval("echo", payload.clone()).unwrap() == payload, "{len} bytes");
    }
    let results = client.submit_all("pooled", (0..500).map(|number: u32| number.to_string()));
    assert_eq!(results.filter(Result::is_ok).count(), 500);
    assert_eq!(worker.stop().counters.results, 507);
}

#[test]
fn a_client_at_a_line_has_its_results() {
    let cable = Cable::new();
    let master = master_at(&[&cable]);
    let _worker = Working::start(worker(&master.address));
    let client = client(&cable.address(1)).connect().unwrap();
    let results: Result<Vec<_>, _> =
        client.submit_all("echo", (0..500).map(|number: u32| number.to_string())).collect();
    assert!(results.unwrap().iter().enumerate().all(|(number, result)| result == number.to_string().as_bytes()));
    client.cache().set("key", "value").unwrap();
    assert_eq!(client.cache().get("key").unwrap().unwrap().value, "value");
}

#[test]
fn what_a_line_spoils_is_sent_again() {
    let (near, far) = (Cable::new(), Cable::new());
    let _master = master_at(&[&near, &far]);
    let _worker = Working::start(worker(&near.address(1)));
    let client = client(&far.address(1)).connect().unwrap();
    work_while_spoiled(&client, [&near, &far]);
}

#[test]
fn a_peer_that_comes_again_on_the_same_line_is_a_new_one() {
    let cable = Cable::new();
    let master = master_at(&[&cable]);
    let client = client(&master.address).connect().unwrap();
    work_one_after_the_other(&client, &cable);
}
