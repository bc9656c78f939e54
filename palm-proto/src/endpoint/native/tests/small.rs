//! Where little is as much as there is: what does not fit fails alone, and breaks nothing.

use std::vec;
use std::vec::Vec;

use super::{A, Said, W, alias, hear, hello, number, resuming};
use crate::endpoint::{ConnectionId, Endpoint, EndpointConfig, EndpointTables, NativeEndpoint, Service};
use crate::message::Status;
use crate::native::{Frame, RefusalCode, Role, SessionId, ToMaster, ToPeer};
use crate::random::Seed;
use crate::time::Instant;

/// Buffers of 168 bytes, eight tasks, sixteen results, eight connections.
type Storage = NativeEndpoint<heapless::Vec<u8, 168>, 8, 16, 8>;

struct Small {
    endpoint: Endpoint<Storage>,
    now: Instant,
}

impl Small {
    fn new() -> Self {
        let config = EndpointConfig::default();
        let endpoint = Endpoint::new("m", &config, EndpointTables::<Storage>::fixed(), Seed::from_u64(1)).unwrap();
        Self { endpoint, now: Instant::from_micros(1_000_000) }
    }

    fn connect(&mut self, header: ToMaster) -> (ConnectionId, Vec<Said>) {
        let id = self.endpoint.handle_accept(self.now, Service::Native).unwrap();
        self.tell(id, header, b"");
        (id, self.hear(id))
    }

    fn tell(&mut self, id: ConnectionId, header: ToMaster, body: &[u8]) {
        let frame = Frame::with_body(header, body);
        let wire = [frame.stream_head().unwrap().as_slice(), body].concat();
        assert_eq!(self.endpoint.handle_input(self.now, id, &wire).used, wire.len());
    }

    fn hear(&mut self, id: ConnectionId) -> Vec<Said> {
        while self.endpoint.poll_ready().is_some() {}
        hear(&mut self.endpoint, self.now, id)
    }

    fn declare(&mut self, id: ConnectionId, number: u16, name: &[u8]) {
        self.tell(id, ToMaster::Function { alias: alias(number) }, name);
    }

    /// What a task comes to at once.
    fn fate(&mut self, id: ConnectionId, sequence: u64, function: u16, len: usize) -> Vec<Said> {
        self.tell(id, ToMaster::Submit { sequence, function: alias(function) }, &vec![7; len]);
        let said = self.hear(id);
        said.into_iter()
            .filter(|(header, _, _)| !matches!(header, ToPeer::Accepted { .. } | ToPeer::Window { .. }))
            .collect()
    }
}

#[test]
fn a_frame_as_long_as_may_be_fits_into_a_buffer_of_a_fixed_size() {
    let mut small = Small::new();
    let (client, welcome) = small.connect(hello(Role::Client, A, 8));
    let ToPeer::Welcome { max_frame, .. } = welcome[0].0 else { panic!("{welcome:?}") };
    small.declare(client, 0, b"server.sixteen_b");
    // Kind, sequence and alias take three bytes.
    let longest = max_frame as usize - 3;
    assert!(small.fate(client, 1, 0, longest).is_empty(), "it waits for a worker");
    let (worker, sent) = small.connect(hello(Role::Worker, W, 4));
    let task = sent.last().unwrap();
    assert!(matches!(task.0, ToPeer::Task { .. }) && task.2.len() == longest, "{task:?}");
    small.tell(worker, ToMaster::Done { number: number(0) }, &vec![8; max_frame as usize - 2]);
    let result = small.hear(client).pop().unwrap();
    assert!(result.0 == ToPeer::Result { sequence: 1 } && result.2.len() == max_frame as usize - 2);
}

#[test]
fn a_task_that_no_buffer_holds_fails_alone() {
    let mut small = Small::new();
    let (client, _) = small.connect(hello(Role::Client, A, 8));
    small.declare(client, 0, b"server.a_name_of_thirty_bytes_");
    let said = small.fate(client, 1, 0, 70);
    assert_eq!(said[0].0, ToPeer::Failed { sequence: 1, code: Status::TooLong.code() });
    assert!(small.fate(client, 2, 0, 10).is_empty(), "a shorter one waits for a worker");
    let counters = small.endpoint.master().counters();
    assert_eq!((counters.submitted, counters.unsendable), (2, 1));
}

#[test]
fn tasks_whose_name_had_no_room_fail_and_the_others_go_on() {
    let mut small = Small::new();
    let (client, _) = small.connect(hello(Role::Client, A, 8));
    let lost = |sequence| ToPeer::Failed { sequence, code: Status::Unavailable.code() };
    small.declare(client, 0, b"s.f");
    small.declare(client, 1, b"s.a_function_with_a_longer_name_than_any_may_have_here");
    assert_eq!(small.fate(client, 1, 1, 5)[0].0, lost(1));
    // One client may have half of the eight places.
    (2..=5).for_each(|number| small.declare(client, number, b"s.g"));
    assert_eq!(small.fate(client, 2, 5, 5)[0].0, lost(2));
    assert!(small.fate(client, 3, 2, 5).is_empty() && small.fate(client, 4, 0, 5).is_empty(), "they wait for a worker");
    // What an alias meant before it means no more.
    small.declare(client, 0, b"s.a_function_with_a_longer_name_than_any_may_have_here");
    assert_eq!(small.fate(client, 5, 0, 5)[0].0, lost(5));
    assert!(small.endpoint.counters().protocol_errors == 0 && !small.endpoint.is_closing(client));
}

#[test]
fn a_worker_whose_tasks_have_no_room_comes_again_later() {
    let mut small = Small::new();
    let (client, _) = small.connect(hello(Role::Client, A, 8));
    small.declare(client, 0, b"s.f");
    (1..=4).for_each(|sequence| assert!(small.fate(client, sequence, 0, 5).is_empty()));
    // Of eight places one is set aside for each that a worker has still to name.
    let (_, said) = small.connect(resuming(hello(Role::Worker, W, 4), 6));
    assert!(matches!(said[0].0, ToPeer::Welcome { .. }));
    let (_, said) = small.connect(hello(Role::Worker, W, 4));
    assert_eq!(said.iter().filter(|(header, ..)| matches!(header, ToPeer::Task { .. })).count(), 2);
    let other = hello(Role::Worker, SessionId([9; 16]), 4);
    let (refused, said) = small.connect(resuming(other, 1));
    assert_eq!(said[0].0, ToPeer::Refused { code: RefusalCode::Full });
    assert!(small.endpoint.is_closing(refused) && small.endpoint.counters().protocol_errors == 0);
}
