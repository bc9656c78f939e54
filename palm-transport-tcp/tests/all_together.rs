//! Master, workers and clients over real sockets.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use palm_transport_tcp::{
    CacheError, Call, Condition, ConnectError, JobOptions, MasterConfig, Results, Status, Worker,
};
use support::{LONG, Running, Working, client, eventually, worker};

#[test]
fn a_task_is_done_and_its_result_comes_back() {
    let master = Running::on_free_port();
    let worker = Working::start(worker(&master.address));
    let client = client(&master.address).connect().unwrap();
    assert_eq!(client.master(), "server");
    assert_eq!(client.eval("echo", "hello").unwrap(), "hello");
    assert_eq!(client.eval("server.pooled", "hello").unwrap(), "hello");
    assert_eq!(client.eval("echo", "").unwrap(), "");
    drop(client);
    let report = worker.stop();
    assert_eq!((report.counters.results, report.left, report.refused), (3, 0, None));
    assert_eq!(master.stop().left, 0);
}

#[test]
fn failures_are_told_from_results() {
    let master = Running::on_free_port();
    let _worker = Working::start(worker(&master.address));
    let client = client(&master.address).connect().unwrap();
    assert_eq!(client.eval("fail", "x").unwrap_err().to_string(), "failed: on purpose");
    assert_eq!(client.eval("panic", "x").unwrap_err().to_string(), "failed: the function panicked: by accident");
    assert_eq!(client.eval("nothing", "x").unwrap_err().status, Status::NoSuchFunction);
    assert_eq!(client.eval("echo", "x").unwrap(), "x");
}

#[test]
fn results_of_a_batch_come_in_the_order_of_its_inputs() {
    let master = Running::on_free_port();
    let _workers = [1, 2].map(|_| Working::start(worker(&master.address).jobs(2)));
    let client = client(&master.address).connect().unwrap();
    for function in ["echo", "pooled"] {
        let inputs = (0..30_000u32).map(|number| number.to_string());
        let mut count = 0;
        for (number, result) in client.submit_all(function, inputs).enumerate() {
            assert_eq!(result.unwrap(), number.to_string());
            count += 1;
        }
        assert_eq!(count, 30_000);
    }
}

#[test]
fn outcomes_of_a_job_come_as_they_arrive() {
    let master = Running::on_free_port();
    let release = Arc::new(AtomicBool::new(false));
    let held = Arc::clone(&release);
    let _worker = Working::start(worker(&master.address).jobs(2).function("hold", move |call: Call| {
        while &call.payload()[..] == b"0" && !held.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok::<_, String>(call.into_payload())
    }));
    let client = client(&master.address).connect().unwrap();
    let mut job = client.job("hold", ["0", "1"], &JobOptions::default());
    assert_eq!(job.next().map(|outcome| outcome.sequence), Some(1));
    release.store(true, Ordering::Relaxed);
    assert_eq!(job.next().map(|outcome| outcome.sequence), Some(0));
    assert_eq!(job.next(), None);
}

#[test]
fn large_payloads_pass_as_they_are() {
    let master = Running::on_free_port();
    let _worker = Working::start(worker(&master.address));
    let client = client(&master.address).connect().unwrap();
    for len in [16_383, 16_384, 65_535, 65_536, 65_537, 1 << 20, 40 << 20] {
        let payload: Vec<u8> = (0..len).map(|at: usize| (at * 7 / 3) as u8).collect();
        let result = client.eval("echo", payload.clone()).unwrap();
        assert!(result == payload, "{len} bytes");
    }
    let payloads: Vec<Vec<u8>> = (0..64).map(|number| vec![number; 200_000]).collect();
    let results: Result<Vec<_>, _> = client.submit_all("pooled", payloads.clone()).collect();
    assert!(results.unwrap() == payloads);
}

#[test]
fn what_comes_while_a_function_runs_inline_is_done_without_another_event() {
    // No question whether it lives wakes the worker.
    let config = MasterConfig { heartbeat: Duration::from_secs(3_600), ..MasterConfig::on_free_port("server") };
    let master = Running::start(config);
    let released = Arc::new(AtomicBool::new(false));
    let is_released = Arc::clone(&released);
    let _worker = Working::start(worker(&master.address).inline_function("hold", move |call: Call| {
        while !is_released.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok::<_, String>(call.into_payload())
    }));
    let client = client(&master.address).connect().unwrap();
    for count in 1..40 {
        released.store(false, Ordering::Relaxed);
        let before = master.handle.counters().messages.dispatched;
        let mut pending = vec![client.submit("hold", "")];
        pending.extend((0..count).map(|_| client.submit("echo", vec![7; 64 << 10])));
        eventually("the worker has been sent some", || master.handle.counters().messages.dispatched >= before + 2);
        released.store(true, Ordering::Relaxed);
        for mut task in pending {
            let outcome = task.next_within(LONG).unwrap_or_else(|| panic!("no result of one of {count}"));
            assert!(outcome.result.is_ok());
        }
    }
}

#[test]
fn what_is_longer_than_the_master_takes_fails_and_harms_nobody() {
    let config = MasterConfig { max_message: 10_000, ..MasterConfig::on_free_port("server") };
    let master = Running::start(config);
    let _worker = Working::start(worker(&master.address).function("grow", |_: Call| Ok::<_, String>(vec![1; 20_000])));
    let client = client(&master.address).connect().unwrap();
    assert_eq!(client.eval("echo", vec![0; 10_001]).unwrap_err().status, Status::TooLong);
    assert_eq!(client.eval("grow", "").unwrap_err().status, Status::TooLong);
    assert_eq!(client.eval("echo", "x").unwrap(), "x");
}

#[test]
fn unix_sockets_do_as_well() {
    let directory = std::env::temp_dir().join(format!("palm-{}", uuid()));
    std::fs::create_dir(&directory).unwrap();
    let address = format!("unix://{}", directory.join("master.sock").display());
    let config = MasterConfig { listen: vec![address.clone()], ..MasterConfig::new("server") };
    let master = Running::start(config.clone());
    assert_eq!(master.address, address);
    {
        let _worker = Working::start(worker(&address));
        let client = client(&address).connect().unwrap();
        let results = client.submit_all("echo", (0..1_000).map(|number: u32| number.to_string()));
        assert_eq!(results.filter(Result::is_ok).count(), 1_000);
    }
    master.stop();
    assert!(!directory.join("master.sock").exists(), "the socket goes with the master");
    // One that a process left behind is taken over.
    drop(std::os::unix::net::UnixListener::bind(directory.join("master.sock")).unwrap());
    drop(Running::start(config));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn who_has_not_the_token_is_refused() {
    let config = MasterConfig { token: "secret".into(), ..MasterConfig::on_free_port("server") };
    let master = Running::start(config);
    let Err(ConnectError::Refused { why }) = client(&master.address).token("wrong").connect() else {
        panic!("a wrong token is let in")
    };
    assert!(why.contains("wrong token"), "{why}");
    let report = Working::start(worker(&master.address)).join();
    assert!(report.refused.is_some_and(|why| why.contains(palm_transport_tcp::NO_TOKEN)));
    assert!(
        matches!(client(&master.address).connect(), Err(ConnectError::Refused { why }) if why.contains("none was given"))
    );
    let _worker = Working::start(worker(&master.address).token("secret"));
    assert_eq!(client(&master.address).token("secret").connect().unwrap().eval("echo", "x").unwrap(), "x");
}

#[test]
fn a_function_may_have_several_results_and_say_how_far_it_is() {
    let master = Running::on_free_port();
    let _worker =
        Working::start(Worker::builder(&master.address).yielding_function("lines", |call: Call, results: Results| {
            let text = String::from_utf8_lossy(call.payload()).into_owned();
            for line in text.lines() {
                results.send(line.to_owned());
            }
            call.progress(900, "nearly");
            Ok::<_, String>("end")
        }));
    let client = client(&master.address).connect().unwrap();
    let mut pending = client.submit("lines", "a\nb");
    let outcomes: Vec<_> = pending.by_ref().map(|outcome| (outcome.result.unwrap(), outcome.last)).collect();
    assert_eq!(outcomes, [("a".into(), false), ("b".into(), false), ("end".into(), true)]);
    assert_eq!(client.eval("lines", "a").unwrap(), "end");
}

#[test]
fn who_does_not_wait_any_longer_cancels() {
    let master = Running::on_free_port();
    let cancelled = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&cancelled);
    let begun = Arc::new(AtomicBool::new(false));
    let running = Arc::clone(&begun);
    let _worker = Working::start(worker(&master.address).function("wait", move |call: Call| {
        running.store(true, Ordering::Relaxed);
        while !call.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        seen.store(true, Ordering::Relaxed);
        Ok::<_, String>("")
    }));
    let client = client(&master.address).connect().unwrap();
    let pending = client.submit("wait", "");
    eventually("it begins", || begun.load(Ordering::Relaxed));
    drop(pending);
    eventually("the function sees that it is cancelled", || cancelled.load(Ordering::Relaxed));
    assert_eq!(client.eval("pooled", "x").unwrap(), "x");
}

#[test]
fn a_task_takes_no_longer_than_it_may() {
    let master = Running::on_free_port();
    let client = client(&master.address).connect().unwrap();
    let options = JobOptions { timeout: Some(Duration::from_millis(5)), ..JobOptions::default() };
    let failure = client.submit_with("echo", "nobody does it", &options).wait().unwrap_err();
    assert_eq!(failure.status, Status::DeadlineExceeded);
}

#[test]
fn the_cache_is_for_clients_and_functions() {
    let master = Running::on_free_port();
    let _worker = Working::start(worker(&master.address).function("lookup", |call: Call| {
        let found = call.cache().get(call.user_data()).map_err(|error| error.to_string())?;
        found.map(|found| found.value).ok_or_else(|| String::from("nothing there"))
    }));
    let client = client(&master.address).connect().unwrap();
    let cache = client.cache();
    assert_eq!(cache.get("key").unwrap(), None);
    let version = cache.set("key", "value").unwrap();
    assert_eq!(cache.get("key").unwrap().map(|found| (found.value, found.version)), Some(("value".into(), version)));
    let options = JobOptions { user_data: "key".into(), ..JobOptions::default() };
    assert_eq!(client.submit_with("lookup", "", &options).wait().unwrap(), "value");
    let conflict = cache.set_with("key", "other", None, Condition::Version(version + 1));
    assert_eq!(conflict, Err(CacheError::Conflict { version: Some(version) }));
    assert_eq!(
        cache.set_with("key", "other", None, Condition::Absent),
        Err(CacheError::Conflict { version: Some(version) })
    );
    let second = cache.set_with("key", "other", Some(LONG), Condition::Version(version)).unwrap();
    assert_ne!(second, version);
    assert!(cache.delete("key").unwrap());
    assert!(!cache.delete("key").unwrap());
    let gone = cache.set_with("key", "value", None, Condition::Version(second));
    assert_eq!(gone, Err(CacheError::Conflict { version: None }));
}

#[test]
fn many_clients_are_served_at_once() {
    let master = Running::on_free_port();
    let _workers = [1, 2, 3].map(|_| Working::start(worker(&master.address)));
    std::thread::scope(|scope| {
        for number in 0..8 {
            let address = &master.address;
            scope.spawn(move || {
                let client = client(address).connect().unwrap();
                let inputs: Vec<String> = (0..2_000).map(|input| format!("{number} {input}")).collect();
                let results: Result<Vec<_>, _> = client.submit_all("echo", inputs.clone()).collect();
                assert!(results.unwrap() == inputs);
            });
        }
    });
    eventually("all are gone again", || master.handle.counters().connections == 3);
}

fn uuid() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[test]
fn a_task_is_tried_again_as_often_as_its_job_says() {
    let master = Running::on_free_port();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    // Not done in time the first two times.
    let _worker = Working::start(worker(&master.address).jobs(2).function("third", move |call: Call| {
        if counted.fetch_add(1, Ordering::Relaxed) < 2 {
            while !call.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok::<_, String>(call.into_payload())
    }));
    let client = client(&master.address).connect().unwrap();
    let options = JobOptions { timeout: Some(Duration::from_millis(200)), retries: 1, ..JobOptions::default() };
    let outcome = client.job("third", ["once more"], &options).next().unwrap();
    assert_eq!(outcome.result.unwrap_err().status, Status::DeadlineExceeded);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    let options = JobOptions { timeout: Some(LONG), ..options };
    assert_eq!(client.submit_with("third", "done", &options).wait().unwrap(), "done");
    assert!(client.submit_with("fail", "x", &options).wait().is_err() && calls.load(Ordering::Relaxed) == 3);
}
