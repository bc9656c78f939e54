//! Our sockets with those of the `zeromq` crate, and with peers that mean harm.

use std::future::Future;
use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use zeromq::{Socket as _, SocketRecv as _, SocketSend as _, ZmqMessage};

use super::*;

const OPTIONS: Options =
    Options { patience: Duration::from_secs(20), heartbeat: Duration::from_secs(5), max_message: 1 << 20 };

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("within a minute")
}

#[tokio::test]
async fn a_push_reaches_a_pull_of_the_crate() {
    let mut peer = zeromq::PullSocket::new();
    let address = peer.bind("tcp://127.0.0.1:0").await.unwrap().to_string();
    let mut push = PushSocket::connect(&address, "me", &OPTIONS).await.unwrap();
    assert_eq!(push.told(), &Told::default());
    for len in [0, 1, 255, 256, 20_000, 300_000] {
        push.put(vec![7; len].into());
    }
    let closing = tokio::spawn(push.close(Duration::from_secs(60)));
    for len in [0, 1, 255, 256, 20_000, 300_000] {
        assert_eq!(within(peer.recv()).await.unwrap().into_vec(), [vec![7; len]]);
    }
    assert!(within(closing).await.unwrap());
}

#[tokio::test]
async fn a_pull_takes_from_a_push_of_the_crate_and_may_wait_in_between() {
    let mut peer = zeromq::PushSocket::new();
    let address = peer.bind("tcp://127.0.0.1:0").await.unwrap().to_string();
    let mut pull = PullSocket::connect(&address, "me", &OPTIONS).await.unwrap();
    let sending = tokio::spawn(async move {
        for number in 0..2000_usize {
            let mut message = ZmqMessage::from(vec![number as u8; number]);
            while let Err(zeromq::ZmqError::ReturnToSender { message: back, .. }) = peer.send(message).await {
                message = back;
                tokio::task::yield_now().await;
            }
        }
        peer
    });
    for number in 0..2000_usize {
        assert_eq!(within(pull.recv(true)).await.unwrap(), vec![number as u8; number]);
        // It is dropped while it waits, wanted or not.
        for wanted in [false, true] {
            if let Ok(early) = tokio::time::timeout(Duration::ZERO, pull.recv(wanted && number == 1999)).await {
                panic!("{early:?}");
            }
        }
    }
    drop(within(sending).await.unwrap());
    assert!(matches!(within(pull.recv(false)).await, Err(SocketError::Closed | SocketError::Io(_))));
}

#[tokio::test]
async fn a_sub_takes_its_topic_from_a_pub_of_the_crate() {
    let mut peer = zeromq::PubSocket::new();
    let address = peer.bind("tcp://127.0.0.1:0").await.unwrap().to_string();
    let mut sub = SubSocket::connect(&address, Some("topic"), &OPTIONS).await.unwrap();
    let taking = tokio::spawn(async move { sub.recv().await });
    while !taking.is_finished() {
        for frames in [["other", "x"], ["topic", "y"]] {
            let mut message = ZmqMessage::from(frames[0]);
            message.push_back(frames[1].into());
            peer.send(message).await.unwrap();
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(taking.await.unwrap().unwrap(), Some(("topic".into(), "y".into())));
}

#[tokio::test]
async fn a_req_asks_a_rep_of_the_crate() {
    let mut peer = zeromq::RepSocket::new();
    let address = peer.bind("tcp://127.0.0.1:0").await.unwrap().to_string();
    tokio::spawn(async move {
        while let Ok(request) = peer.recv().await {
            let _ = peer.send(request).await;
        }
    });
    let mut req = ReqSocket::connect(&address, &OPTIONS).await.unwrap();
    for len in [0, 1, 255, 256, 20_000, 300_000] {
        assert_eq!(within(req.ask(vec![7; len].into())).await.unwrap(), vec![7; len]);
    }
}

/// A peer that greets and shakes hands as a socket of this type, if it has one, sends `bytes`, and then again and again what follows.
async fn hostile(kind: Option<&'static str>, bytes: Vec<u8>, again: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            tokio::spawn(harm(stream, kind, bytes.clone(), again.clone()));
        }
    });
    address
}

async fn harm(mut stream: TcpStream, kind: Option<&str>, bytes: Vec<u8>, again: Vec<u8>) -> io::Result<()> {
    if let Some(kind) = kind {
        let mut greeting = Vec::from(*b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL");
        greeting.resize(64, 0);
        if !kind.is_empty() {
            greeting.extend([4, 22 + kind.len() as u8]);
            greeting.extend(b"\x05READY\x0bSocket-Type\0\0\0");
            greeting.push(kind.len() as u8);
            greeting.extend(kind.as_bytes());
        }
        stream.write_all(&greeting).await?;
    }
    stream.write_all(&bytes).await?;
    while !again.is_empty() {
        stream.write_all(&again).await?;
    }
    let mut read = [0; 4096];
    while stream.read(&mut read).await? > 0 {}
    Ok(())
}

/// What a header with eight bytes of length claims.
fn claim(len: u64) -> Vec<u8> {
    [&[2][..], &len.to_be_bytes()].concat()
}

#[tokio::test]
async fn nine_bytes_do_no_more_than_end_a_connection() {
    for exponent in 20..=62 {
        // Before the handshake, in the place of READY, and after it.
        for kind in [None, Some(""), Some("PUSH")] {
            let address = hostile(kind, claim((1 << exponent) + 1), Vec::new()).await;
            let ended = match PullSocket::connect(&address, "me", &OPTIONS).await {
                Ok(mut pull) => within(pull.recv(true)).await.map(drop),
                Err(error) => Err(error),
            };
            assert!(matches!(ended, Err(SocketError::Protocol(_))), "2^{exponent}, {kind:?}: {ended:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_an_end_has_one() {
    let claimed = [&[1, 0][..], &claim(1 << 20)].concat();
    let endless = [
        // As long as may be, and then longer.
        ([claimed.clone(), vec![0; 1 << 20], b"\0\x01x".to_vec()].concat(), vec![0; 4096]),
        // A reply of parts without an end, then one that is too long.
        ([&[1, 0][..], &[1, 100], &[0; 100]].concat(), [&[1, 100][..], &[7; 100]].concat().repeat(100)),
    ];
    let [(whole, _), _] = &endless;
    let address = hostile(Some("REP"), whole.clone(), Vec::new()).await;
    let mut req = ReqSocket::connect(&address, &OPTIONS).await.unwrap();
    assert_eq!(within(req.ask(Bytes::new())).await.unwrap().len(), 1 << 20);
    let address = hostile(Some("REP"), [&[1, 0][..], &claim((1 << 20) + 1)].concat(), vec![0; 4096]).await;
    let asked = async { ReqSocket::connect(&address, &OPTIONS).await?.ask(Bytes::new()).await };
    assert!(matches!(within(asked).await, Err(SocketError::Protocol(_))));
    let [_, (first, again)] = endless;
    let address = hostile(Some("REP"), first, again).await;
    let mut req = ReqSocket::connect(&address, &OPTIONS).await.unwrap();
    // It takes as long as it is given, and no memory: what is beyond two frames is dropped.
    assert!(tokio::time::timeout(Duration::from_millis(300), req.ask(Bytes::new())).await.is_err());
    assert!(req.0.incoming.buffer.capacity() < 1 << 20);
}

#[tokio::test]
async fn a_handshake_takes_as_long_as_it_may() {
    let options = Options { patience: Duration::from_millis(300), ..OPTIONS };
    let mut half = Vec::from(*b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL");
    for (kind, bytes) in [(None, vec![]), (None, half.clone()), (Some(""), vec![])] {
        let address = hostile(kind, bytes, Vec::new()).await;
        let ended = within(ReqSocket::connect(&address, &options)).await.map(drop);
        assert!(matches!(ended, Err(SocketError::NoHandshake { .. })), "{ended:?}");
    }
    // One that never ends.
    half.resize(64, 0);
    let address = hostile(None, half, b"\x04\x06\x05HELLO".to_vec()).await;
    assert!(matches!(within(ReqSocket::connect(&address, &options)).await, Err(SocketError::Protocol(_))));
}

#[tokio::test]
async fn what_is_asked_for_again_and_again_is_not_kept() {
    // PINGs whose answers are not read.
    let address = hostile(Some("PULL"), Vec::new(), b"\x04\x0b\x04PING\0\0abcd".repeat(1000)).await;
    let mut push = PushSocket::connect(&address, "me", &OPTIONS).await.unwrap();
    for _ in 0..200 {
        let _ = tokio::time::timeout(Duration::from_micros(100), push.progress()).await;
        let (written, sent) = push.0.sent();
        assert!(sent - written <= (256 << 10) + 1024, "{}", sent - written);
    }
}

#[tokio::test]
async fn a_peer_that_says_nothing_any_more_is_lost() {
    let options = Options { heartbeat: Duration::from_millis(200), ..OPTIONS };
    let address = hostile(Some("PUSH"), Vec::new(), Vec::new()).await;
    let mut pull = PullSocket::connect(&address, "me", &options).await.unwrap();
    assert!(matches!(within(pull.recv(true)).await, Err(SocketError::Silent)));
    let address = hostile(Some("PUB"), Vec::new(), Vec::new()).await;
    let mut sub = SubSocket::connect(&address, Some("me"), &options).await.unwrap();
    assert!(matches!(within(sub.recv()).await, Err(SocketError::Silent)));
    let address = hostile(Some("REP"), Vec::new(), Vec::new()).await;
    let mut req = ReqSocket::connect(&address, &options).await.unwrap();
    assert!(matches!(within(req.ask(Bytes::new())).await, Err(SocketError::Silent)));
}

#[tokio::test]
async fn who_does_not_read_shows_that_it_lives() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let options = Options { heartbeat: Duration::from_millis(100), ..OPTIONS };
    let connecting = tokio::spawn(async move { PullSocket::connect(&address, "me", &options).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut greeting = Vec::from(*b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL");
    greeting.resize(64, 0);
    greeting.extend(b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PUSH\0\x01x\0\x01y");
    stream.write_all(&greeting).await.unwrap();
    let mut pull = within(connecting).await.unwrap().unwrap();
    let counting = tokio::spawn(async move {
        let mut read = Vec::new();
        while read.windows(5).filter(|bytes| bytes == b"\x04PING").count() < 5 {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0);
        }
        stream
    });
    // It has no room for the message, and for longer than it would wait for an answer.
    let stream = tokio::select! {
        stream = within(counting) => stream.unwrap(),
        ended = pull.recv(false) => panic!("{ended:?}"),
    };
    assert_eq!(pull.recv(true).await.unwrap(), "x");
    assert_eq!(pull.recv(true).await.unwrap(), "y");
    drop(stream);
}
