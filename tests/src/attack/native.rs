//! The native protocol: frames that do not belong, numbers that are not out, and connections that have no right to be there.

use palm_proto::native::{Frame, Role, SessionId, TaskNumber, ToMaster, When};

use super::client::random;
use super::native_peer::{Heard, Hello, NativePeer, Session, alias, wire};
use super::target::Native;
use super::{Attack, Broken, Outcome, Scene};
use crate::hostile::{self, raise_open_files};
use palm_proto::native::ToPeer;

pub(super) const ATTACKS: [Attack; 7] = [
    Attack {
        family: "native",
        name: "openings",
        tries: "first frames that are no Hello, are too long, are cut short, or are noise",
        holds: "the connection is closed, and others are served",
        native: true,
        run: openings,
    },
    Attack {
        family: "native",
        name: "breaches",
        tries: "frames of the other role, answers for numbers that are not out, Hello again, results received that were not sent, \
                tasks beyond the window",
        holds: "the connection is closed, and others are served",
        native: true,
        run: breaches,
    },
    Attack {
        family: "native",
        name: "windows-and-names",
        tries: "the widest windows again and again, and thousands of names for the same aliases",
        holds: "others are served",
        native: true,
        run: windows_and_names,
    },
    Attack {
        family: "native",
        name: "tokens",
        tries: "no token, wrong ones, parts of the right one, one after the other",
        holds: "none of them is welcome, and who has the right one gets in meanwhile",
        native: true,
        run: tokens,
    },
    Attack {
        family: "native",
        name: "silent",
        tries: "more connections than a master has room for, which never say Hello",
        holds: "honest peers get in meanwhile",
        native: true,
        run: silent,
    },
    Attack {
        family: "native",
        name: "sessions-without-end",
        tries: "clients one after the other, each under an id of its own, which go without a word",
        holds: "honest peers get in meanwhile",
        native: true,
        run: sessions_without_end,
    },
    Attack {
        family: "native",
        name: "claims",
        tries: "workers that say they hold thousands of tasks of earlier connections, and name none, or some that never were",
        holds: "honest peers are served meanwhile",
        native: true,
        run: claims,
    },
];

/// Workers that claim more than they name.
const LIARS: usize = 60;

/// The listener; [`super::run`] has made sure that there is one.
pub(super) fn listener(scene: &Scene<'_>) -> Outcome<Native> {
    scene.target.native.clone().ok_or_else(|| Broken("there is no native listener".to_owned()))
}

fn openings(scene: &mut Scene<'_>) -> Outcome {
    let native = listener(scene)?;
    let hello = wire(&Frame::with_body(Hello::default().header(), &native.token));
    let mut openings: Vec<(String, Vec<u8>)> = vec![
        ("noise".into(), hostile::random(4_096)),
        ("a request for a web page".into(), b"GET / HTTP/1.1\r\nHost: palm\r\n\r\n".to_vec()),
        ("a ZeroMQ greeting".into(), crate::zmtp::greeting(1).to_vec()),
        ("the longest length".into(), vec![0xff, 0xff, 0xff, 0x7f]),
        ("a length without end".into(), vec![0xff; 64]),
        ("a first frame that is too long".into(), [&[0x81, 0x08][..], &[0; 1_025]].concat()),
        ("a task".into(), wire(&Frame::new(ToMaster::Submit { sequence: 0, function: alias(0) }))),
        ("an unknown kind".into(), vec![1, 63]),
        ("Hello twice".into(), [&hello[..], &hello].concat()),
    ];
    // One byte after the other is another one.
    for place in 0..hello.len().min(12) {
        let mut bytes = hello.clone();
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 0x55;
        }
        openings.push((format!("a Hello with another byte {place}"), bytes));
    }
    let mut held = Vec::new();
    for (what, bytes) in openings {
        let mut peer = NativePeer::stranger(scene.target, &native)?;
        let _closed = peer.raw(&bytes);
        held.push(peer);
        scene.answered().map_err(|broken| broken.after(&format!("after {what}")))?;
    }
    for cut in 0..hello.len() {
        let mut peer = NativePeer::stranger(scene.target, &native)?;
        let _closed = peer.raw(hello.get(..cut).unwrap_or_default());
        held.push(peer);
    }
    scene.served().map_err(|broken| broken.after("beside half greetings"))
}

fn breaches(scene: &mut Scene<'_>) -> Outcome {
    let native = listener(scene)?;
    let call = scene.target.call();
    let say = |header: ToMaster| wire(&Frame::new(header));
    let function = wire(&Frame::with_body(ToMaster::Function { alias: alias(0) }, call.as_bytes()));
    let number = |number: u32| TaskNumber::FIRST.plus(number);
    let submit = |sequence: u64| say(ToMaster::Submit { sequence, function: alias(0) });
    let too_long = wire(&Frame {
        header: ToMaster::Set { id: 0, ttl_ms: None, when: When::Always, key_len: u32::MAX },
        front: b"",
        body: b"abc",
    });
    let beyond: Vec<u8> = [function.clone(), (0..200_000).flat_map(submit).collect()].concat();
    let mut all: Vec<(&str, Role, Vec<u8>)> = vec![
        ("Hello again from a client", Role::Client, say(Hello::default().header())),
        ("Hello again from a worker", Role::Worker, say(Hello::default().header())),
        ("a function nobody told of", Role::Client, say(ToMaster::Submit { sequence: 0, function: alias(5) })),
        ("results received that were not sent", Role::Client, say(ToMaster::Received { results: u32::MAX })),
        ("a key that is not there", Role::Client, too_long),
        ("tasks beyond the window", Role::Client, beyond),
        ("a longest frame", Role::Client, vec![0xff, 0xff, 0xff, 0x7f]),
        ("noise", Role::Client, [&[100][..], &hostile::random(100)].concat()),
        ("a claim out of time", Role::Worker, {
            say(ToMaster::Holding { session: SessionId::NOBODY, sequence: 1, attempt: 1 })
        }),
        ("a client's word from a worker", Role::Worker, [function.clone(), submit(0)].concat()),
        ("a client's cancel from a worker", Role::Worker, say(ToMaster::Cancel { sequence: 0 })),
        ("a client's receipt from a worker", Role::Worker, say(ToMaster::Received { results: 1 })),
        ("a client's restart from a worker", Role::Worker, say(ToMaster::Restart)),
    ];
    for role in [Role::Client, Role::Worker] {
        for at in [0, 1, 500, 16_383] {
            let number = number(at);
            all.push(("Done", role, say(ToMaster::Done { number })));
            all.push(("Partial", role, say(ToMaster::Partial { number })));
            all.push(("Failed", role, say(ToMaster::Failed { number, code: 6 })));
            all.push(("HandBack", role, say(ToMaster::HandBack { number })));
            all.push(("Progress", role, say(ToMaster::Progress { number, permille: u16::MAX })));
        }
    }
    all.push(("Credit", Role::Client, say(ToMaster::Credit { more: 1 })));
    all.push(("Drain", Role::Client, say(ToMaster::Drain)));
    for (what, role, bytes) in all {
        let peer = NativePeer::stranger(scene.target, &native)?;
        // A worker without a window to speak of is given nothing that it would keep.
        let mut session = Session::open(peer, role, &native.token)?;
        let _closed = session.peer.raw(&bytes);
        if !session.peer.closes() {
            return Err(Broken(format!("{what} from a {role:?} leaves its connection open")));
        }
        scene.answered().map_err(|broken| broken.after(&format!("after {what} from a {role:?}")))?;
    }
    Ok(())
}

fn windows_and_names(scene: &mut Scene<'_>) -> Outcome {
    let native = listener(scene)?;
    for round in 0..20_u16 {
        let peer = NativePeer::stranger(scene.target, &native)?;
        let mut worker = Session::open(peer, Role::Worker, &native.token)?;
        // It is asked for nothing more, and then may ask for as much as it likes.
        worker.peer.say(ToMaster::Drain)?;
        for _ in 0..1_000 {
            if worker.peer.say(ToMaster::Credit { more: u32::MAX }).is_err() {
                break;
            }
        }
        drop(worker);
        let peer = NativePeer::stranger(scene.target, &native)?;
        let hello = Hello { window: u32::MAX, session: SessionId(random_id()), ..Hello::default() };
        let mut client = Session::open_as(peer, &hello, &native.token)?;
        for name in 0..2_000_u16 {
            let name = format!("{}.{}", "n".repeat(500), u32::from(round) << 16 | u32::from(name));
            if client.declare(name.len() as u16 % 1_024, &name).is_err() {
                break;
            }
        }
        scene.answered().map_err(|broken| broken.after(&format!("in round {round}")))?;
    }
    Ok(())
}

fn random_id() -> [u8; 16] {
    (u128::from(random()) << 64 | u128::from(random())).to_be_bytes()
}

fn tokens(scene: &mut Scene<'_>) -> Outcome {
    let native = listener(scene)?;
    if native.token.is_empty() {
        // Everybody is welcome.
        return Ok(());
    }
    let parts = (0..native.token.len()).map(|end| native.token.get(..end).unwrap_or_default().to_vec());
    let longer = [&native.token[..], b"x"].concat();
    let guesses = parts.chain([longer, vec![0; 255]]).chain((0..500_u32).map(|number| number.to_be_bytes().to_vec()));
    for (count, guess) in guesses.enumerate() {
        for role in [Role::Client, Role::Worker] {
            let mut peer = NativePeer::stranger(scene.target, &native)?;
            let hello = Hello { role, session: SessionId(random_id()), ..Hello::default() };
            let _closed = peer.frame(&Frame::with_body(hello.header(), &guess));
            match peer.hear() {
                Ok(Heard { header: ToPeer::Refused { .. }, .. }) | Err(_) => {}
                Ok(other) => return Err(Broken(format!("a wrong token is answered by {:?}", other.header))),
            }
        }
        if count % 50 == 0 {
            scene.served().map_err(|broken| broken.after(&format!("after {count} guesses")))?;
        }
    }
    Ok(())
}

fn silent(scene: &mut Scene<'_>) -> Outcome {
    raise_open_files();
    let native = listener(scene)?;
    let mut held = Vec::new();
    for _ in 0..scene.target.bounds.connections {
        let Ok(peer) = NativePeer::stranger(scene.target, &native) else { break };
        held.push(peer);
    }
    scene.served().map_err(|broken| broken.after(&format!("beside {} connections without Hello", held.len())))
}

fn claims(scene: &mut Scene<'_>) -> Outcome {
    let native = listener(scene)?;
    let mut held = Vec::new();
    let nothing = wire(&Frame::new(ToMaster::Holding { session: SessionId::NOBODY, sequence: 1, attempt: 1 }));
    for number in 0..LIARS {
        let mut peer = NativePeer::stranger(scene.target, &native)?;
        let session = SessionId(random_id());
        let hello = Hello { role: Role::Worker, session, resume: true, holding: 8_192, window: 8_192 };
        let _closed = peer.frame(&Frame::with_body(hello.header(), &native.token));
        if number % 2 == 0 {
            let _closed = peer.raw(&nothing.repeat(8_192));
        }
        held.push(peer);
    }
    scene.served()
}

fn sessions_without_end(scene: &mut Scene<'_>) -> Outcome {
    let native = listener(scene)?;
    for number in 0..scene.target.bounds.connections {
        let Ok(mut peer) = NativePeer::stranger(scene.target, &native) else { continue };
        let hello = Hello { session: SessionId(random_id()), ..Hello::default() };
        let _closed = peer.frame(&Frame::with_body(hello.header(), &native.token));
        // Welcome, or Refused because there is no room for more of them.
        let _heard = peer.hear();
        if number % 100 == 99 {
            scene.served().map_err(|broken| broken.after(&format!("after {} sessions", number + 1)))?;
        }
    }
    Ok(())
}
