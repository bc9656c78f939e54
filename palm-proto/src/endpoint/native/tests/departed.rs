//! Connections of workers that break, and workers that do.

use super::*;

const V: SessionId = SessionId(*b"session of v ...");

fn cluster(attempts: u32) -> (Cluster, ConnectionId) {
    let mut cluster = Cluster::with(1, MasterConfig { attempts, ..MasterConfig::default() });
    let (client, _) = cluster.client(hello(Role::Client, A, 10));
    cluster.submit(client, 0, b"a");
    (cluster, client)
}

/// A worker connects, and is told its tasks.
fn join(cluster: &mut Cluster, header: ToMaster) -> (ConnectionId, usize) {
    let id = cluster.connect(header);
    let tasks = cluster.tasks(id).len();
    (id, tasks)
}

fn lose(cluster: &mut Cluster, id: ConnectionId) {
    cluster.endpoint.handle_close(cluster.now, id);
    cluster.pass(Duration::from_millis(100));
}

#[test]
fn a_line_that_breaks_with_every_answer_makes_no_dead_letter() {
    let (mut cluster, client) = cluster(3);
    let header = hello(Role::Worker, W, 1);
    let (mut worker, mut tasks) = join(&mut cluster, header);
    for _ in 0..20 {
        assert_eq!(tasks, 1);
        lose(&mut cluster, worker);
        (worker, tasks) = join(&mut cluster, resuming(header, 0));
    }
    cluster.tell(worker, ToMaster::Done { number: number(0) }, b"A");
    assert!(cluster.headers(client).contains(&ToPeer::Result { sequence: 0 }));
}

#[test]
fn a_worker_that_is_back_before_its_old_connection_is_missed_goes_on() {
    let (mut cluster, client) = cluster(1);
    let header = hello(Role::Worker, W, 1);
    let (mut worker, tasks) = join(&mut cluster, header);
    assert_eq!(tasks, 1);
    for _ in 0..5 {
        let next = cluster.connect(resuming(header, 1));
        assert!(cluster.endpoint.is_closing(worker), "there is one connection for each process");
        assert!(matches!(cluster.hear(worker)[..], [(ToPeer::Refused { code: RefusalCode::Replaced }, ..)]));
        cluster.endpoint.handle_close(cluster.now, worker);
        cluster.tell(next, ToMaster::Holding { session: A.handle(), sequence: 0, attempt: 1 }, b"");
        assert!(cluster.headers(next).iter().all(|header| matches!(header, ToPeer::Welcome { .. })), "it is its");
        worker = next;
    }
    cluster.tell(worker, ToMaster::Done { number: number(0) }, b"A");
    assert_eq!(cluster.headers(client), [ToPeer::Result { sequence: 0 }]);
}

#[test]
fn a_task_that_kills_its_workers_is_given_up_once_they_are_missed() {
    let (mut cluster, client) = cluster(2);
    for session in [W, V] {
        let (worker, tasks) = join(&mut cluster, hello(Role::Worker, session, 1));
        assert_eq!(tasks, 1);
        lose(&mut cluster, worker);
    }
    // Nobody is given it any more.
    let (_, tasks) = join(&mut cluster, hello(Role::Worker, SessionId([7; 16]), 1));
    assert_eq!((tasks, cluster.headers(client)), (0, vec![]));
    let due = cluster.endpoint.poll_timeout().unwrap();
    assert!(due - cluster.now <= Duration::from_secs(15));
    cluster.pass(Duration::from_secs(15));
    let told = cluster.headers(client);
    assert!(told.contains(&ToPeer::Failed { sequence: 0, code: Status::DeadLetter.code() }), "{told:?}");
}

#[test]
fn who_goes_or_breaks_the_protocol_with_a_task_is_not_waited_for() {
    for header in [ToMaster::Bye, ToMaster::Received { results: 1 }] {
        let (mut cluster, client) = cluster(1);
        let (worker, tasks) = join(&mut cluster, hello(Role::Worker, W, 1));
        assert_eq!(tasks, 1);
        cluster.say(worker, &Frame::with_body(header, b""));
        cluster.endpoint.handle_close(cluster.now, worker);
        assert_eq!(cluster.headers(client), [ToPeer::Failed { sequence: 0, code: Status::DeadLetter.code() }]);
    }
}
