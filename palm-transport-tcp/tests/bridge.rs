//! A serial line that leads to a master's socket.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails the test")]

mod support;

use std::time::Duration;

use palm_transport_tcp::{BindError, BridgeOptions, LineBridge, MasterConfig};
use support::lines::{work_one_after_the_other, work_while_spoiled};
use support::relay::Cable;
use support::{Running, Working, client, worker};

fn master() -> Running {
    Running::on_free_port()
}

fn bridge(cable: &Cable, master: &Running) -> LineBridge {
    LineBridge::start(&cable.address(0), &master.address, BridgeOptions::default()).unwrap()
}

#[test]
fn peers_at_lines_work_for_each_other() {
    let (near, far) = (Cable::new(), Cable::new());
    let master = master();
    let _bridges = [bridge(&near, &master), bridge(&far, &master)];
    let worker = Working::start(worker(&near.address(1)));
    let client = client(&far.address(1)).connect().unwrap();
    for len in [0, 1, 253, 254, 255, 1_000, 20_000, 200_000] {
        let payload: Vec<u8> = (0..len).map(|at: usize| (at % 251) as u8).collect();
        assert!(client.eval("echo", payload.clone()).unwrap() == payload, "{len} bytes");
    }
    let inputs: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    let results: Result<Vec<_>, _> = client.submit_all("pooled", inputs.clone()).collect();
    assert!(results.unwrap() == inputs);
    client.cache().set("key", "value").unwrap();
    assert_eq!(client.cache().get("key").unwrap().unwrap().value, "value");
    assert_eq!(worker.stop().counters.results, 508);
}

#[test]
fn what_a_line_spoils_is_sent_again() {
    let (near, far) = (Cable::new(), Cable::new());
    let master = master();
    let _bridges = [bridge(&near, &master), bridge(&far, &master)];
    let _worker = Working::start(worker(&near.address(1)));
    let client = client(&far.address(1)).connect().unwrap();
    work_while_spoiled(&client, [&near, &far]);
}

#[test]
fn a_peer_that_comes_again_on_the_same_line_is_a_new_one() {
    let cable = Cable::new();
    let master = master();
    let _bridge = bridge(&cable, &master);
    let client = client(&master.address).connect().unwrap();
    work_one_after_the_other(&client, &cable);
}

#[test]
fn a_bridge_that_comes_again_finds_the_peer_that_is_there() {
    let cable = Cable::new();
    // Silence is all by which the peer can tell that there is nobody at the other end.
    let heartbeat = Duration::from_millis(500);
    let master = Running::start(MasterConfig { heartbeat, ..MasterConfig::on_free_port("server") });
    let client = client(&master.address).connect().unwrap();
    let _worker = Working::start(worker(&cable.address(1)));
    for round in 0..3 {
        let _bridge = bridge(&cable, &master);
        assert_eq!(client.eval("echo", round.to_string()).unwrap(), round.to_string());
    }
}

#[test]
fn what_is_no_line_or_no_socket_is_told() {
    let options = BridgeOptions::default();
    let start = |line: &str, master: &str| LineBridge::start(line, master, options).map(drop);
    assert!(matches!(start("serial:///no/such/device", "unix:///run/s"), Err(BindError::Io { .. })));
    assert!(matches!(start("tcp://127.0.0.1:1", "unix:///run/s"), Err(BindError::Config { .. })));
    assert!(matches!(start("/dev/ttyS0", "unix:///run/s"), Err(BindError::Address(_))));
    let cable = Cable::new();
    assert!(matches!(start(&cable.address(0), "serial:///dev/ttyS0"), Err(BindError::Config { .. })));
}
