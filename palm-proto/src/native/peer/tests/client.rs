use super::*;
use crate::message::Status;
use crate::native::{Alias, CacheRefusalCode, When};
use crate::random::Seed;

type Client = FixedClient<heapless::Vec<u8, 16>, 4, 2>;

fn client() -> Client {
    Client::fixed(PeerConfig { window: 4, ..config() }, Seed::from_u64(1))
}

fn connected(client: &mut Client, epoch: u64, window: u32) {
    client.handle_connected(at(0));
    assert!(matches!(client.poll_transmit().unwrap().header, ToMaster::Hello { window: 4, .. }));
    assert!(client.handle_frame(at(0), &welcome(epoch, window)).unwrap().is_some());
}

fn headers(client: &mut Client) -> Vec<ToMaster> {
    core::iter::from_fn(|| client.poll_transmit().map(|frame| frame.header)).collect()
}

fn sent(submitted: Result<Submitted<'_>, NotSent>) -> Vec<ToMaster> {
    submitted.unwrap().frames().map(|frame| frame.header).collect()
}

fn result(sequence: u64) -> Vec<u8> {
    said(ToPeer::Result { sequence }, b"result")
}

const SUBMIT: Submit<'_> = Submit::new("s.f", b"payload");

fn alias(number: u16) -> Alias {
    Alias::new(number).unwrap()
}

#[test]
fn functions_are_declared_once() {
    let mut client = client();
    assert_eq!(client.submit(7, &SUBMIT).unwrap_err(), NotSent::NotConnected);
    connected(&mut client, 1, 3);
    let (declaration, submit) = (
        |number| ToMaster::Function { alias: alias(number) },
        |sequence, number| ToMaster::Submit { sequence, function: alias(number) },
    );
    assert_eq!(sent(client.submit(7, &SUBMIT)), [declaration(0), submit(0, 0)]);
    assert_eq!(sent(client.submit(8, &SUBMIT)), [submit(1, 0)]);
    let other = Submit { priority: 3, deadline_ms: Some(5), cache: "user", ..Submit::new("s.g", b"") };
    let with =
        ToMaster::SubmitWith { sequence: 2, function: alias(1), priority: 3, deadline_ms: Some(5), cache_len: 4 };
    assert_eq!(sent(client.submit(9, &other)), [declaration(1), with]);
    assert_eq!(client.submit(10, &SUBMIT).unwrap_err(), NotSent::NoRoom, "three were allowed");
    let window = said(ToPeer::Window { more: 5 }, b"");
    assert_eq!(client.handle_frame(at(0), &window), Ok(Some(ClientEvent::Window)));
    assert_eq!(sent(client.submit(10, &SUBMIT)), [submit(3, 0)]);
    assert_eq!(client.submit(11, &SUBMIT).unwrap_err(), NotSent::NoRoom, "the table has four places");
}

#[test]
fn what_cannot_be_sent_leaves_no_trace() {
    let mut client = client();
    connected(&mut client, 1, 3);
    let submit =
        |client: &mut Client, function, payload| client.submit(7, &Submit::new(function, payload)).unwrap_err();
    assert_eq!(submit(&mut client, "", b""), NotSent::Function);
    assert_eq!(submit(&mut client, "server.of_a_long_name", b""), NotSent::Function);
    assert_eq!(submit(&mut client, "s.f", &[0; 253]), NotSent::TooLong);
    assert_eq!(client.pending(), 0);
    assert_eq!(sent(client.submit(7, &SUBMIT)).len(), 2, "nothing was declared before");
}

#[test]
fn results_are_counted_and_acknowledged_together() {
    let mut client = client();
    connected(&mut client, 1, 4);
    for key in [70, 71, 72, 73] {
        assert!(client.submit(key, &SUBMIT).is_ok());
    }
    let event = |key, sequence, last| Ok(Some(ClientEvent::Result { key, sequence, payload: b"result", last }));
    assert_eq!(client.handle_frame(at(0), &result(1)), event(71, 1, true));
    assert_eq!(headers(&mut client), []);
    client.acknowledge();
    assert_eq!(headers(&mut client), [ToMaster::Received { results: 1 }]);
    client.acknowledge();
    assert_eq!(headers(&mut client), [], "there are none");
    let partial = said(ToPeer::Partial { sequence: 0 }, b"result");
    assert_eq!(client.handle_frame(at(0), &partial), event(70, 0, false));
    let failed = said(ToPeer::Failed { sequence: 2, code: 3 }, b"lost");
    let event = ClientEvent::Failed { key: 72, sequence: 2, status: Status::DeadLetter, text: "lost" };
    assert_eq!(client.handle_frame(at(0), &failed), Ok(Some(event)));
    assert_eq!(headers(&mut client), [ToMaster::Received { results: 2 }], "half the window");
    assert_eq!(client.handle_frame(at(0), &failed), Ok(None), "it has had its last result");
    assert_eq!((client.repeated(), client.pending()), (1, 2));
    let progress = said(ToPeer::Progress { sequence: 3, permille: 2000 }, b"all");
    let event = ClientEvent::Progress { key: 73, sequence: 3, permille: 1000, text: "all" };
    assert_eq!(client.handle_frame(at(0), &progress), Ok(Some(event)));
    client.bye();
    assert_eq!(headers(&mut client), [ToMaster::Received { results: 1 }, ToMaster::Bye]);
}

#[test]
fn a_master_that_sends_more_than_it_may_is_left() {
    let mut client = client();
    connected(&mut client, 1, 4);
    for _ in 0..4 {
        assert!(client.handle_frame(at(0), &result(9)).is_ok());
    }
    assert_eq!(client.handle_frame(at(0), &result(9)), Err(Fault::Window));
    assert!(client.is_closed());
}

#[test]
fn what_is_not_accepted_is_submitted_again() {
    let mut client = client();
    connected(&mut client, 1, 4);
    for key in [70, 71, 72] {
        assert!(client.submit(key, &SUBMIT).is_ok());
    }
    assert!(client.handle_frame(at(0), &result(1)).is_ok());
    client.handle_disconnected();
    assert_eq!(client.poll_resubmit(), None);

    connected(&mut client, 1, 1);
    assert_eq!((client.poll_resubmit(), client.has_room()), (None, false), "Accepted comes first");
    assert!(client.handle_frame(at(0), &said(ToPeer::Accepted { up_to: 2 }, b"")).is_ok());
    assert_eq!(client.poll_resubmit(), Some(Resubmit { sequence: 2, key: 72 }));
    assert_eq!(client.submit(73, &SUBMIT).unwrap_err(), NotSent::NoRoom, "in order");
    let submit = |sequence| ToMaster::Submit { sequence, function: alias(0) };
    let declaration = ToMaster::Function { alias: alias(0) };
    assert_eq!(sent(client.resubmit(&SUBMIT)), [declaration, submit(2)], "names are declared anew");
    assert_eq!(client.poll_resubmit(), None);

    client.handle_disconnected();
    connected(&mut client, 2, 1);
    assert_eq!(client.poll_resubmit(), Some(Resubmit { sequence: 0, key: 70 }), "another master knows nothing");
    assert_eq!(sent(client.resubmit(&SUBMIT)).len(), 2);
    assert_eq!(client.poll_resubmit(), None, "the window is one");
    assert!(client.handle_frame(at(0), &said(ToPeer::Window { more: 2 }, b"")).is_ok());
    assert_eq!(client.cancel(2).map(|frame| frame.header), Some(ToMaster::Cancel { sequence: 2 }));
    assert_eq!(client.poll_resubmit(), None, "it is forgotten");
    assert_eq!(sent(client.submit(73, &SUBMIT)), [submit(3)]);
    assert_eq!((client.cancel(2), client.pending()), (None, 2));
}

#[test]
fn what_there_was_no_room_for_is_submitted_again_when_there_is() {
    let mut client = client();
    connected(&mut client, 1, 10);
    for key in [70, 71, 72, 73] {
        assert!(client.submit(key, &SUBMIT).is_ok());
    }
    assert_eq!(client.handle_frame(at(0), &said(ToPeer::NoRoom { from: 1 }, b"")), Ok(None));
    assert_eq!((client.poll_resubmit(), client.has_room()), (None, false), "it may submit nothing");
    assert_eq!(client.poll_transmit().map(|frame| frame.header), Some(ToMaster::Restart));
    assert_eq!(client.poll_transmit(), None, "it is said once");
    assert_eq!(client.cancel(1).map(|frame| frame.header), Some(ToMaster::Cancel { sequence: 1 }));
    assert!(client.handle_frame(at(0), &said(ToPeer::Window { more: 2 }, b"")).is_ok());
    for key in [72, 73] {
        assert_eq!(client.poll_resubmit(), Some(Resubmit { sequence: key - 70, key }));
        let submit = ToMaster::Submit { sequence: key - 70, function: alias(0) };
        assert_eq!(sent(client.resubmit(&SUBMIT)), [submit], "its name is known");
    }
    assert_eq!((client.poll_resubmit(), client.has_room()), (None, false), "two were allowed");
    // It has been cancelled.
    assert_eq!(client.handle_frame(at(0), &said(ToPeer::NoRoom { from: 1 }, b"")), Ok(None));
    assert!(client.handle_frame(at(0), &said(ToPeer::Window { more: 1 }, b"")).is_ok());
    assert_eq!(client.poll_resubmit(), Some(Resubmit { sequence: 2, key: 72 }));
}

#[test]
fn who_was_replaced_tries_again() {
    // Its own connection of before may have come later than this one.
    let mut client = client();
    connected(&mut client, 1, 10);
    let refused = said(ToPeer::Refused { code: RefusalCode::Replaced }, b"");
    let event = client.handle_frame(at(0), &refused);
    assert!(matches!(event, Ok(Some(ClientEvent::Refused { retry: Retry::Later, .. }))), "{event:?}");
}

#[test]
fn the_cache_answers_in_order() {
    let mut client = client();
    assert_eq!(client.cache_get(b"key").unwrap_err(), NotSent::NotConnected);
    connected(&mut client, 1, 4);
    let get = client.cache_get(b"key").unwrap();
    assert_eq!(get, (0, Frame::with_body(ToMaster::Get { id: 0 }, b"key")));
    let (id, set) = client.cache_set(b"key", b"value", Some(5), When::Absent).unwrap();
    assert_eq!((id, set.front, set.body), (1, &b"key"[..], &b"value"[..]));
    assert_eq!(set.header, ToMaster::Set { id: 1, ttl_ms: Some(5), when: When::Absent, key_len: 3 });
    assert_eq!(client.cache_delete(b"key", When::Always).map(|(id, _)| id), Ok(2));
    assert_eq!(client.cache_set(b"key", &[0; 250], None, When::Always).unwrap_err(), NotSent::TooLong);

    let answer = |id, answer| Ok(Some(ClientEvent::Cache { id, answer }));
    let value = said(ToPeer::Value { id: 0, version: 3 }, b"value");
    assert_eq!(client.handle_frame(at(0), &value), answer(0, CacheAnswer::Value { version: 3, value: b"value" }));
    let refused = said(ToPeer::CacheRefused { id: 1, code: CacheRefusalCode::Full }, b"full");
    let expected = CacheAnswer::Refused { code: CacheRefusalCode::Full, text: "full" };
    assert_eq!(client.handle_frame(at(0), &refused), answer(1, expected));
    client.handle_disconnected();
    connected(&mut client, 1, 4);
    assert_eq!(client.cache_get(b"key").map(|(id, _)| id), Ok(3));
    let lost = said(ToPeer::Deleted { id: 2 }, b"");
    assert_eq!(client.handle_frame(at(0), &lost), Err(Fault::CacheId { id: 2 }), "of the connection before");
}
