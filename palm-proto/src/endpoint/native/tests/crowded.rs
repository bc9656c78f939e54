//! Clients that come and go without end, and such as tell more names than others have room for.

use super::*;
use crate::endpoint::Source;

const NEAR: Source = Source(7);
const FAR: Source = Source(8);

/// Some other process, which nobody else is.
fn session(number: u32) -> SessionId {
    let mut id = [1; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    SessionId(id)
}

impl Cluster {
    fn client_from(&mut self, source: Source, header: ToMaster) -> (ConnectionId, Vec<Said>) {
        let id = self.endpoint.handle_accept_from(self.now, Service::Native, source).unwrap();
        self.say(id, &Frame::with_body(header, b""));
        let mut heard = self.hear(id);
        assert!(matches!(heard.remove(0).0, ToPeer::Welcome { .. }), "it is not kept out");
        self.tell(id, ToMaster::Function { alias: alias(3) }, b"m.f");
        (id, heard)
    }

    /// A client submits a task, which says where it comes from, and is gone.
    fn pass_by(&mut self, source: Source, id: SessionId) {
        let (client, _) = self.client_from(source, hello(Role::Client, id, 10));
        self.submit(client, 0, if source == FAR { b"far" } else { b"near" });
        self.endpoint.handle_close(self.now, client);
    }
}

#[test]
fn clients_that_come_and_go_without_end_keep_nobody_out() {
    let mut cluster = Cluster::new(1);
    cluster.pass_by(FAR, A);
    for number in 0..200 {
        cluster.now = cluster.now + Duration::from_millis(1);
        cluster.pass_by(NEAR, session(number));
    }
    let queued = cluster.endpoint.master().gauges().queued;
    assert_eq!(queued, 40, "there are twice as many places as connections, and a task goes with its client");
    // One that was there before, of another host, has lost nothing by that.
    let (client, said) = cluster.client_from(FAR, resuming(hello(Role::Client, A, 10), 0));
    assert_eq!(said[0].0, ToPeer::Accepted { up_to: 1 });
    let worker = cluster.connect(hello(Role::Worker, W, 100));
    let at = cluster.tasks(worker).iter().position(|(_, _, payload)| payload == b"far").unwrap();
    cluster.tell(worker, ToMaster::Done { number: number(at as u16) }, b"A");
    assert!(cluster.headers(client).contains(&ToPeer::Result { sequence: 0 }));
    // Of one's own host the one that has been away longest goes, whose tasks nobody does any more.
    let (_, said) = cluster.client_from(NEAR, resuming(hello(Role::Client, session(0), 10), 0));
    assert_eq!(said[0].0, ToPeer::Accepted { up_to: 0 });
    let (_, said) = cluster.client_from(NEAR, resuming(hello(Role::Client, session(199), 10), 0));
    assert_eq!(said[0].0, ToPeer::Accepted { up_to: 1 });
}

#[test]
fn who_begins_anew_where_there_is_no_place_has_one() {
    let mut cluster = Cluster::new(1);
    (0..40).for_each(|number| cluster.pass_by(NEAR, session(number)));
    let (_, said) = cluster.client_from(NEAR, hello(Role::Client, session(39), 10));
    assert_eq!(said[0].0, ToPeer::Accepted { up_to: 0 });
}

#[test]
fn names_that_one_tells_leave_room_for_some_of_each() {
    let mut cluster = Cluster::new(1);
    let mut greedy = Vec::new();
    for number in 0..16 {
        let (client, _) = cluster.client(hello(Role::Client, session(number), 10));
        (10..400).for_each(|at| cluster.tell(client, ToMaster::Function { alias: alias(at) }, b"m.g"));
        greedy.push(client);
    }
    let worker = cluster.worker(10);
    let (client, _) = cluster.client(hello(Role::Client, A, 10));
    for at in 10..13 {
        cluster.tell(client, ToMaster::Function { alias: alias(at) }, b"m.h");
        cluster.tell(client, ToMaster::Submit { sequence: u64::from(at), function: alias(at) }, b"mine");
    }
    assert_eq!(cluster.tasks(worker).len(), 3, "each has four");
    // What goes with its client is there for others, and no more than that.
    greedy.iter().for_each(|&client| cluster.endpoint.handle_close(cluster.now, client));
    (13..150).for_each(|at| cluster.tell(client, ToMaster::Function { alias: alias(at) }, b"m.h"));
    let half = 4 + 240 / 2;
    for at in [half + 8, half + 10] {
        cluster.tell(client, ToMaster::Submit { sequence: u64::from(at), function: alias(at) }, b"mine");
    }
    let failed =
        |header: &ToPeer| matches!(header, ToPeer::Failed { sequence, .. } if *sequence == u64::from(half) + 10);
    let told = cluster.headers(client);
    assert_eq!((cluster.tasks(worker).len(), told.iter().filter(|header| failed(header)).count()), (1, 1), "{told:?}");
}
