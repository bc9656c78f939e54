//! Connections of a worker and a client in one loop, without threads of their own.

mod support;

use mio::{Events, Poll, Token};
use palm_transport_tcp::{ClientConnection, ClientEvent, PeerOptions, Submission, WorkerConnection, WorkerEvent};
use support::{LONG, Running};

#[test]
fn a_worker_and_a_client_share_a_loop() {
    const TASKS: u32 = 2_000;
    let master = Running::on_free_port();
    let options = PeerOptions::new(&master.address);
    let mut worker = WorkerConnection::new(&options).unwrap();
    let mut client = ClientConnection::new(&options).unwrap();
    let mut poll = Poll::new().unwrap();
    worker.register(poll.registry(), Token(0)).unwrap();
    client.register(poll.registry(), Token(1)).unwrap();
    for number in 0..TASKS {
        client.submit(Submission::new("server.echo", number.to_string()), number);
    }
    let (mut events, mut results) = (Events::with_capacity(8), vec![None; TASKS as usize]);
    let until = std::time::Instant::now() + LONG;
    let mut left = TASKS;
    loop {
        assert!(std::time::Instant::now() < until, "{left} results are missing");
        worker.turn();
        while let Some(event) = worker.poll_event() {
            if let WorkerEvent::Task(task) = event {
                assert_eq!(task.function.as_deref(), Some("server.echo"));
                worker.done(task.id, task.payload);
            }
        }
        worker.turn();
        client.turn();
        while let Some(event) = client.poll_event() {
            if let ClientEvent::Last { tag, result } = event {
                assert!(results[tag as usize].replace(result.unwrap()).is_none(), "one result each");
                left -= 1;
            }
        }
        client.turn();
        if left == 0 {
            break;
        }
        let timeout = worker.next_timeout().into_iter().chain(client.next_timeout()).min();
        poll.poll(&mut events, timeout).unwrap();
        for event in &events {
            match event.token() {
                Token(0) => worker.on_ready(event),
                _ => client.on_ready(event),
            }
        }
    }
    assert!((0..TASKS).all(|number| results[number as usize].as_deref() == Some(number.to_string().as_bytes())));
    worker.bye();
    client.bye();
    while !(worker.is_over() && client.is_over()) {
        worker.turn();
        client.turn();
    }
}
