//! Room that workers claim for tasks of earlier connections.

use super::*;

fn liar(at: u8) -> SessionId {
    let mut id = *b"session of liar ";
    id[15] = at;
    SessionId(id)
}

/// With more places for peers than the others.
fn cluster(tasks: usize) -> Cluster {
    let sizes = TableSizes { tasks, peers: 64, subscriptions: 20 };
    let tables = heap_tables(&sizes, 10).with_native(&sizes);
    let endpoint = Endpoint::new("m", &EndpointConfig::default(), tables, Seed::from_u64(1)).unwrap();
    Cluster { endpoint, now: Instant::from_micros(1_000_000) }
}

fn is_welcome(said: &[ToPeer]) -> bool {
    matches!(said, [ToPeer::Welcome { .. }, ..])
}

#[test]
fn workers_that_name_nothing_of_what_they_claim_keep_no_room_from_others() {
    let mut cluster = cluster(64);
    let worker = cluster.worker(64);
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    let liars: Vec<_> = (0..28).map(|at| cluster.connect(resuming(hello(Role::Worker, liar(at), 64), 16))).collect();
    let welcome = liars.iter().filter(|&&id| is_welcome(&cluster.headers(id))).count();
    assert_eq!(welcome, 4, "together they are left half of the room, which is for twice as many as there are tasks");
    (0..64).for_each(|sequence| cluster.submit(client, sequence, b"x"));
    assert_eq!(cluster.tasks(worker).len(), 64, "the other half is for new tasks");

    let timeout = EndpointConfig::default().handshake_timeout;
    cluster.pass(timeout - Duration::from_micros(1));
    assert_eq!(cluster.endpoint.counters().handshake_timeouts, 0);
    cluster.pass(Duration::from_micros(1));
    assert_eq!(cluster.endpoint.counters().handshake_timeouts, 4);
    liars.iter().for_each(|&id| cluster.endpoint.handle_close(cluster.now, id));
    let honest = cluster.connect(resuming(hello(Role::Worker, liar(99), 64), 64));
    assert!(is_welcome(&cluster.headers(honest)), "what they claimed is free again");
}

#[test]
fn workers_that_name_what_nobody_knows_keep_no_more_room() {
    let mut cluster = cluster(64);
    let worker = cluster.worker(64);
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    let mut welcome = Vec::new();
    for at in 0..8 {
        let id = cluster.connect(resuming(hello(Role::Worker, liar(at), 64), 16));
        if !is_welcome(&cluster.headers(id)) {
            continue;
        }
        // Called off, of nobody's, or of a client that never submits it again.
        for sequence in 0..16 {
            let session = if sequence % 2 == 0 { SessionId::NOBODY } else { SessionId([at; 16]) };
            cluster.tell(id, ToMaster::Holding { session, sequence, attempt: 1 }, b"");
        }
        // It takes nothing that the honest worker could do.
        cluster.tell(id, ToMaster::Drain, b"");
        welcome.push(id);
    }
    assert_eq!(welcome.len(), 4, "what is named counts as it did before");
    (0..64).for_each(|sequence| cluster.submit(client, sequence, b"x"));
    assert_eq!(cluster.tasks(worker).len(), 64);
    // An answer gives its room back, and so does the end of a connection.
    cluster.headers(welcome[0]);
    for at in 0..16 {
        cluster.tell(welcome[0], ToMaster::Done { number: number(at) }, b"");
    }
    cluster.endpoint.handle_close(cluster.now, welcome[1]);
    let honest = cluster.connect(resuming(hello(Role::Worker, liar(99), 64), 32));
    assert!(is_welcome(&cluster.headers(honest)));
}

#[test]
fn a_claim_that_comes_true_is_a_claim_no_more() {
    let mut cluster = cluster(64);
    let (client, _) = cluster.client(hello(Role::Client, A, 100));
    let worker = cluster.connect(resuming(hello(Role::Worker, W, 64), 64));
    // Half are here already, and half are submitted again later.
    (0..32).for_each(|sequence| cluster.submit(client, sequence, b"x"));
    for sequence in 0..64 {
        cluster.tell(worker, ToMaster::Holding { session: A.handle(), sequence, attempt: 1 }, b"");
    }
    (32..64).for_each(|sequence| cluster.submit(client, sequence, b"x"));
    let next = cluster.connect(resuming(hello(Role::Worker, liar(1), 64), 64));
    assert!(is_welcome(&cluster.headers(next)));
}

#[test]
fn a_slow_worker_has_time_to_name_what_it_holds_and_an_idle_one_has_not() {
    let mut cluster = cluster(64);
    let timeout = EndpointConfig::default().handshake_timeout;
    let slow = cluster.connect(resuming(hello(Role::Worker, W, 64), 32));
    let idle = cluster.connect(resuming(hello(Role::Worker, liar(1), 64), 0));
    assert!(is_welcome(&cluster.headers(slow)) && is_welcome(&cluster.headers(idle)));
    let holding = |sequence| ToMaster::Holding { session: SessionId::NOBODY, sequence, attempt: 1 };
    // Half of what is left in each time-out, and nothing is said in between.
    for left in [16, 8, 4, 2, 1, 0] {
        cluster.pass(timeout - Duration::from_micros(1));
        for sequence in left..(2 * left).max(1) {
            cluster.tell(slow, holding(sequence), b"");
        }
    }
    cluster.pass(timeout);
    assert_eq!(cluster.endpoint.counters().handshake_timeouts, 0, "it has named all, and is asked whether it lives");
    assert!(cluster.headers(slow).contains(&ToPeer::Ping));

    let next = cluster.connect(resuming(hello(Role::Worker, liar(2), 64), 32));
    assert!(is_welcome(&cluster.headers(next)));
    // One now and then is not enough.
    for sequence in 0..15 {
        cluster.tell(next, holding(sequence), b"");
        cluster.pass(timeout / 16);
    }
    assert_eq!(cluster.endpoint.counters().handshake_timeouts, 0);
    cluster.pass(timeout / 16);
    assert_eq!(cluster.endpoint.counters().handshake_timeouts, 1);
}

#[test]
fn a_worker_that_is_alone_may_have_held_all_there_is_room_for() {
    let mut cluster = cluster(8);
    let worker = cluster.connect(resuming(hello(Role::Worker, W, 16), 16));
    assert!(is_welcome(&cluster.headers(worker)));
    let another = cluster.connect(resuming(hello(Role::Worker, liar(1), 8), 1));
    let full = RefusalCode::Full;
    assert!(matches!(cluster.headers(another)[..], [ToPeer::Refused { code, .. }] if code == full), "it tries again");
}
