//! Connections that break, and masters that come again.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use palm_transport_tcp::{Call, MasterConfig};
use support::relay::Relay;
use support::{Running, Working, client, eventually, worker};

#[test]
fn frames_may_come_in_whatever_pieces() {
    let master = Running::on_free_port();
    let relay = Relay::to(&master.address).in_pieces_of(3);
    let _worker = Working::start(worker(&relay.address));
    let client = client(&relay.address).connect().unwrap();
    for len in [0, 1, 100, 5_000, 70_000] {
        let payload: Vec<u8> = (0..len).map(|at: usize| at as u8).collect();
        assert!(client.eval("echo", payload.clone()).unwrap() == payload);
    }
}

#[test]
fn a_client_that_loses_its_connection_has_every_result_once() {
    let master = Running::on_free_port();
    let _worker = Working::start(worker(&master.address).jobs(2));
    let relay = Relay::to(&master.address);
    let client = client(&relay.address).connect().unwrap();
    let inputs: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let mut results = Vec::new();
    for (count, result) in client.submit_all("pooled", inputs.clone()).enumerate() {
        results.push(result.unwrap());
        if count % 4_000 == 1_000 {
            relay.cut();
            relay.mend();
        }
    }
    assert!(results == inputs);
}

#[test]
fn a_worker_that_loses_its_connection_goes_on_with_what_it_has() {
    let master = Running::on_free_port();
    let relay = Relay::to(&master.address);
    let (calls, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (called, released) = (Arc::clone(&calls), Arc::clone(&release));
    let worker = Working::start(worker(&relay.address).function("slow", move |call: Call| {
        called.fetch_add(1, Ordering::Relaxed);
        while !released.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok::<_, String>(call.into_payload())
    }));
    let client = client(&master.address).connect().unwrap();
    let pending = client.submit("slow", "x");
    eventually("the function is called", || calls.load(Ordering::Relaxed) == 1);
    relay.cut();
    eventually("the master knows", || master.handle.counters().now.workers == 0);
    // The result is made while there is no connection.
    release.store(true, Ordering::Relaxed);
    relay.mend();
    assert_eq!(pending.wait().unwrap(), "x");
    assert_eq!(client.eval("pooled", "y").unwrap(), "y");
    assert_eq!(calls.load(Ordering::Relaxed), 1, "nothing is done twice");
    assert!(worker.stop().counters.connections >= 2);
}

#[test]
fn a_worker_goes_on_with_what_it_has_at_another_address() {
    let master = Running::on_free_port();
    let relay = Relay::to(&master.address);
    let (calls, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (called, released) = (Arc::clone(&calls), Arc::clone(&release));
    let worker = Working::start(worker(&relay.address).function("slow", move |call: Call| {
        called.fetch_add(1, Ordering::Relaxed);
        while !released.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok::<_, String>(call.into_payload())
    }));
    let client = client(&master.address).connect().unwrap();
    let pending = client.submit("slow", "x");
    eventually("the function is called", || calls.load(Ordering::Relaxed) == 1);
    assert!(worker.handle.is_connected());
    relay.cut();
    eventually("the worker knows", || !worker.handle.is_connected());
    assert!(worker.handle.relocate("nowhere").is_err());
    worker.handle.relocate(&master.address).unwrap();
    eventually("the worker is back", || worker.handle.is_connected());
    release.store(true, Ordering::Relaxed);
    assert_eq!(pending.wait().unwrap(), "x");
    assert_eq!(calls.load(Ordering::Relaxed), 1, "nothing is done twice");
    // Another master; the relay does not lead to it.
    let other = Running::on_free_port();
    worker.handle.relocate(&other.address).unwrap();
    assert_eq!(client.eval("echo", "y").unwrap(), "y", "a connection that there is stays");
    master.stop();
    eventually("the worker is with the other", || other.handle.counters().now.workers == 1);
    assert!(worker.stop().counters.connections >= 3);
}

#[test]
fn a_master_that_comes_again_is_found_and_given_everything_once_more() {
    let config = MasterConfig { grace: Duration::ZERO, ..MasterConfig::on_free_port("server") };
    let master = Running::start(config);
    let again = MasterConfig { listen: vec![master.address.clone()], ..MasterConfig::new("server") };
    let relay = Relay::to(&master.address);
    let client = client(&relay.address).connect().unwrap();
    // Nobody does it.
    let pending = client.submit("echo", "x");
    eventually("the master has it", || master.handle.counters().messages.submitted == 1);
    relay.cut();
    eventually("the client is gone", || master.handle.counters().connections == 0);
    master.stop();
    let second = Running::start(again);
    relay.mend();
    let _worker = Working::start(worker(&second.address));
    assert_eq!(pending.wait().unwrap(), "x");
}

#[test]
fn who_does_not_read_keeps_nobody_waiting() {
    let master = Running::on_free_port();
    let _worker = Working::start(worker(&master.address));
    let relay = Relay::to(&master.address);
    let slow = client(&relay.address).connect().unwrap();
    let quick = client(&master.address).connect().unwrap();
    assert_eq!(slow.eval("echo", "x").unwrap(), "x");
    relay.set_deaf(true);
    let pending: Vec<_> = (0..64).map(|number| slow.submit("echo", vec![number; 1 << 20])).collect();
    for number in 0..100 {
        assert_eq!(quick.eval("echo", number.to_string()).unwrap(), number.to_string());
    }
    relay.set_deaf(false);
    for (number, pending) in pending.into_iter().enumerate() {
        assert!(pending.wait().unwrap() == vec![number as u8; 1 << 20]);
    }
}

#[test]
fn a_client_finds_a_master_that_is_not_there_yet() {
    let master = Running::on_free_port();
    let address = master.address.clone();
    master.stop();
    let waiting = std::thread::spawn({
        let address = address.clone();
        move || client(&address).connect().unwrap().eval("echo", "x")
    });
    let config = MasterConfig { listen: vec![address.clone()], ..MasterConfig::new("server") };
    let _master = Running::start(config);
    let _worker = Working::start(worker(&address));
    assert_eq!(waiting.join().unwrap().unwrap(), "x");
}
