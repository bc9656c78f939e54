//! A master that welcomes whoever comes, and closes the connection.

#![allow(missing_docs, clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use palm_transport_tcp::{Call, Worker};

/// Welcome, on a stream (`docs/spec.md`, section 9.10).
const WELCOME: &[u8] = b"\x1c\x00PALM\x01\xef\x9b\xaf\xcd\xf8\xac\xd1\x91\x01\x80\x80\x80\x20\x00\x90\x4eserver";

#[test]
fn it_is_called_less_and_less_often() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let worker = Worker::builder(&address).inline_function("f", |call: Call| Ok::<_, String>(call.into_payload()));
    let worker = worker.build().unwrap();
    let handle = worker.handle();
    let run = std::thread::spawn(move || worker.run());
    let begun = Instant::now();
    for _ in 0..9 {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        stream.write_all(WELCOME).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
    }
    // 10 ms, doubled eight times, each less a half at most.
    assert!(begun.elapsed() >= Duration::from_millis(1200), "{:?}", begun.elapsed());
    handle.shutdown();
    run.join().unwrap().unwrap();
}
