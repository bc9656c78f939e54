//! What others say in the name of a native client, or of a worker.

use super::*;
use crate::message::{MessageRef, MessageWriter, TaskId};
use crate::zmtp::{Connection, Limits, SocketType, frame_header};

/// A peer that speaks ZeroMQ, of which nothing is read.
fn join(cluster: &mut Cluster, service: Service, socket: SocketType) -> ConnectionId {
    let id = cluster.endpoint.handle_accept(cluster.now, service).unwrap();
    let mut zmtp = Connection::new(socket, Limits::default());
    let mut control = [0; crate::zmtp::CONTROL_MAX];
    for _ in 0..4 {
        let len = zmtp.poll_transmit(&mut control);
        cluster.endpoint.handle_input(cluster.now, id, &control[..len]);
        let said = said(cluster, id);
        let mut rest = &said[..];
        while !rest.is_empty() {
            use crate::zmtp::Decoded::{Consumed, Ready};
            let (Consumed { used } | Ready { used, .. }) = zmtp.handle_input(rest).unwrap() else { break };
            rest = &rest[used..];
        }
    }
    assert!(zmtp.is_ready());
    id
}

/// The bytes that a connection is sent.
fn said(cluster: &mut Cluster, id: ConnectionId) -> Vec<u8> {
    while cluster.endpoint.poll_ready().is_some() {}
    let mut wire = Vec::new();
    while let Some(transmit) = cluster.endpoint.poll_transmit(cluster.now, id) {
        transmit.before().iter().for_each(|part| wire.extend_from_slice(part));
        wire.extend_from_slice(transmit.body_bytes());
        wire.extend_from_slice(transmit.after());
        let len = transmit.len();
        cluster.endpoint.handle_sent(id, len);
    }
    wire
}

fn send(cluster: &mut Cluster, id: ConnectionId, body: &[u8]) {
    let wire = [frame_header(body.len(), false).as_ref(), body].concat();
    assert_eq!(cluster.endpoint.handle_input(cluster.now, id, &wire).used, wire.len());
}

/// The message in the only frame of `wire`.
fn frame(wire: &[u8]) -> &[u8] {
    match wire {
        [0, _, body @ ..] => body,
        [2, _, _, _, _, _, _, _, _, body @ ..] => body,
        other => panic!("{other:?}"),
    }
}

fn with(wire: &[u8], write: impl FnOnce(&mut MessageWriter<'_, bytes::BytesMut>)) -> Vec<u8> {
    let mut out = bytes::BytesMut::from(wire);
    write(&mut MessageWriter::appending(&mut out));
    out.to_vec()
}

#[test]
fn who_speaks_zeromq_says_nothing_in_a_native_clients_name() {
    let mut cluster = Cluster::new(1);
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    let worker = join(&mut cluster, Service::WorkerPush, SocketType::Pull);
    let answers = join(&mut cluster, Service::WorkerPull, SocketType::Push);
    let sender = join(&mut cluster, Service::Pull, SocketType::Push);
    cluster.submit(client, 5, b"a");
    cluster.submit(client, 6, b"b");
    let wire = said(&mut cluster, worker);
    let message = frame(&wire).to_vec();
    let view = MessageRef::parse(&message).unwrap();
    assert_eq!((view.payload, view.extension.sequence), (&b"a"[..], Some(5)));
    let topic = std::string::String::from(view.client);
    // An answer to no task, or to one of another run; a client's message under the same id; an answer for another client.
    let stray = &message[..view.untagged_len()];
    send(&mut cluster, answers, &with(stray, |w| _ = w.payload(b"stray")));
    send(&mut cluster, answers, &with(stray, |w| _ = w.payload(b"stray").sequence(6).task(TaskId(77))));
    send(&mut cluster, sender, &with(b"", |w| _ = w.client(&topic).function("no").sequence(6)));
    send(&mut cluster, answers, &with(&message, |w| _ = w.client("other").payload(b"stray")));
    assert_eq!(cluster.hear(client), [], "nothing of this is a result of its tasks");
    assert_eq!(cluster.endpoint.counters().unwanted, 3);
    assert_eq!(cluster.endpoint.master().counters().disbelieved, 1);
    // Whatever the number that a worker puts on it, the answer is that of the task that it was given.
    send(&mut cluster, answers, &with(&message, |w| _ = w.payload(b"A").sequence(6).partial()));
    assert_eq!(cluster.hear(client), [(ToPeer::Result { sequence: 5 }, vec![], b"A".to_vec())]);
    let wire = said(&mut cluster, worker);
    send(&mut cluster, answers, &with(frame(&wire), |w| _ = w.status(Status::Failed).error("why").sequence(5)));
    assert_eq!(cluster.hear(client), [(ToPeer::Failed { sequence: 6, code: 1 }, vec![], b"why".to_vec())]);
    assert!(cluster.endpoint.is_idle());
}

#[test]
fn a_peer_that_says_what_the_other_role_says_is_closed() {
    let one = number(0);
    let of_workers = [
        ToMaster::Credit { more: 5 },
        ToMaster::Done { number: one },
        ToMaster::Partial { number: one },
        ToMaster::Progress { number: one, permille: 1 },
        ToMaster::Failed { number: one, code: 1 },
        ToMaster::HandBack { number: one },
        ToMaster::Drain,
        ToMaster::Holding { session: A.handle(), sequence: 1, attempt: 1 },
        hello(Role::Worker, A, 1),
    ];
    let of_clients = [
        ToMaster::Function { alias: alias(1) },
        ToMaster::Submit { sequence: 1, function: alias(3) },
        ToMaster::Cancel { sequence: 1 },
        ToMaster::Received { results: 1 },
        ToMaster::Restart,
        hello(Role::Client, A, 1),
        // A worker that was sent nothing, and announced nothing, speaks of a task.
        ToMaster::Done { number: one },
        ToMaster::HandBack { number: one },
        ToMaster::Holding { session: A.handle(), sequence: 1, attempt: 1 },
    ];
    let frames = of_workers.map(|header| (Role::Client, header)).into_iter();
    for (role, header) in frames.chain(of_clients.map(|header| (Role::Worker, header))) {
        let mut cluster = Cluster::new(1);
        let (client, _) = cluster.client(hello(Role::Client, A, 10));
        cluster.submit(client, 0, b"x");
        let other = cluster.worker(1);
        assert_eq!(cluster.endpoint.load(other), Some((1, 1)));
        let id = if role == Role::Client { client } else { cluster.worker(1) };
        cluster.say(id, &Frame::with_body(header, b"m.f"));
        assert!(cluster.endpoint.is_closing(id), "{role:?}: {header:?}");
        assert_eq!(cluster.endpoint.load(other), Some((1, 1)), "the task stays with who has it");
    }
}

#[test]
fn a_worker_that_hands_back_what_is_not_its_any_more_is_given_nothing_before_it_asks() {
    let mut cluster = Cluster::new(1);
    let worker = cluster.worker(1);
    let (client, _) = cluster.client(hello(Role::Client, A, 10));
    cluster.submit(client, 0, b"a");
    assert_eq!(cluster.tasks(worker).len(), 1);
    cluster.tell(client, ToMaster::Cancel { sequence: 0 }, b"");
    assert_eq!(cluster.headers(worker), [ToPeer::CancelTask { number: number(0) }]);
    cluster.tell(worker, ToMaster::HandBack { number: number(0) }, b"");
    cluster.submit(client, 1, b"b");
    assert!(cluster.endpoint.load(worker).is_some_and(|(held, _)| held == 0), "it is left to others");
    cluster.tell(worker, ToMaster::Credit { more: 1 }, b"");
    assert_eq!(cluster.tasks(worker).len(), 1);
}

#[test]
fn a_worker_learns_nothing_by_which_it_could_be_a_client() {
    let mut cluster = Cluster::new(1);
    let worker = cluster.worker(4);
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    cluster.submit(client, 0, b"a");
    cluster.submit(client, 1, b"b");
    let heard = cluster.hear(worker);
    let told = heard.iter().find_map(|(header, ..)| match header {
        ToPeer::Session { id, .. } => Some(*id),
        _ => None,
    });
    let told = told.expect("whose the task is");
    assert_ne!(told, A);
    cluster.tell(worker, ToMaster::Done { number: number(0) }, b"A");
    // With what it was told it is somebody else: no result, nothing to cancel, and the client's connection stays.
    for resume in [true, false] {
        let header = hello(Role::Client, told, 100);
        let (thief, heard) = cluster.client(if resume { resuming(header, 0) } else { header });
        assert_eq!(heard[0].0, ToPeer::Accepted { up_to: 0 });
        cluster.tell(thief, ToMaster::Cancel { sequence: 1 }, b"");
        cluster.submit(thief, 1, b"of the thief");
        assert!(cluster.headers(thief).iter().all(|header| !matches!(header, ToPeer::Result { .. })));
    }
    cluster.tell(worker, ToMaster::Done { number: number(1) }, b"B");
    assert_eq!(cluster.headers(client), [ToPeer::Result { sequence: 0 }, ToPeer::Result { sequence: 1 }]);
    // Over ZeroMQ it is no other.
    let zeromq = join(&mut cluster, Service::WorkerPush, SocketType::Pull);
    cluster.submit(client, 2, b"c");
    let mut wire = said(&mut cluster, zeromq);
    cluster.hear(worker).iter().for_each(|(_, front, body)| wire.extend([&front[..], body].concat()));
    assert!(!wire.windows(16).any(|bytes| bytes == A.0));
    assert!(!wire.windows(32).any(|text| text == std::format!("{A}").as_bytes()));
}

#[test]
fn a_handle_is_what_the_specification_says() {
    let session = SessionId(*b"0123456789abcdef");
    assert_eq!(std::format!("{}", session.handle()), "10808f3a2d25bce9d47cf905cb417467");
    assert_eq!(SessionId::NOBODY.handle(), SessionId::NOBODY);
    assert_ne!(session.handle().handle(), session.handle());
}
