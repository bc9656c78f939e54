//! How workers and masters stop.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use palm_transport_tcp::{Call, MasterConfig, Status};
use support::{Running, Working, client, eventually, worker};

#[test]
fn a_worker_that_stops_ends_what_runs_and_hands_back_the_rest() {
    let master = Running::on_free_port();
    let (begun, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (running, released) = (Arc::clone(&begun), Arc::clone(&release));
    let first = Working::start(worker(&master.address).function("slow", move |call: Call| {
        running.fetch_add(1, Ordering::Relaxed);
        while !released.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok::<_, String>(call.into_payload())
    }));
    let client = client(&master.address).connect().unwrap();
    let pending: Vec<_> = (0..4).map(|number| client.submit("slow", number.to_string())).collect();
    eventually("it has begun", || begun.load(Ordering::Relaxed) == 1);
    first.handle.shutdown();
    eventually("it has handed back", || master.handle.counters().now.leased == 1);
    let second =
        Working::start(worker(&master.address).function("slow", |call: Call| Ok::<_, String>(call.into_payload())));
    release.store(true, Ordering::Relaxed);
    for (number, pending) in pending.into_iter().enumerate() {
        assert_eq!(pending.wait().unwrap(), number.to_string());
    }
    let report = first.stop();
    assert_eq!((report.counters.results, report.left), (1, 0));
    assert_eq!(second.stop().counters.results, 3);
    assert_eq!(master.stop().counters.messages.dead_letters, 0);
}

#[test]
fn a_function_that_takes_longer_than_the_time_of_grace_is_left() {
    let master = Running::on_free_port();
    let (begun, release) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (running, released) = (Arc::clone(&begun), Arc::clone(&release));
    let builder = worker(&master.address).grace(Duration::ZERO).function("slow", move |_: Call| {
        running.store(true, Ordering::Relaxed);
        while !released.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok::<_, String>("")
    });
    let working = Working::start(builder);
    let client = client(&master.address).connect().unwrap();
    let pending = client.submit("slow", "x");
    eventually("it has begun", || begun.load(Ordering::Relaxed));
    assert_eq!(working.stop().left, 1);
    let other =
        Working::start(worker(&master.address).function("slow", |call: Call| Ok::<_, String>(call.into_payload())));
    assert_eq!(pending.wait().unwrap(), "x", "another one does it");
    release.store(true, Ordering::Relaxed);
    drop(other);
}

#[test]
fn a_master_that_stops_gives_back_what_is_not_done() {
    let config = MasterConfig { grace: Duration::ZERO, ..MasterConfig::on_free_port("server") };
    let master = Running::start(config);
    let client = client(&master.address).connect().unwrap();
    let pending = client.submit("echo", "nobody does it");
    eventually("the master has it", || master.handle.counters().messages.submitted == 1);
    assert_eq!(master.stop().left, 1);
    assert_eq!(pending.wait().unwrap_err().status, Status::Unavailable);
}

#[test]
fn a_client_that_goes_takes_its_tasks_with_it() {
    let master = Running::on_free_port();
    let first = client(&master.address).connect().unwrap();
    let pending = [first.submit("echo", "nobody does it"), first.submit("echo", "nor this")];
    eventually("the master has both", || master.handle.counters().messages.submitted == 2);
    let clone = first.clone();
    drop(first);
    let [cancelled, kept] = pending;
    drop(cancelled);
    eventually("one is cancelled", || master.handle.counters().messages.cancelled == 1);
    drop((kept, clone));
    eventually("it is gone", || master.handle.counters().connections == 0);
}
