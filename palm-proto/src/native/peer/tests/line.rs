use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::native::{LINE_OVERHEAD, LineDecoder, LineEncoder, LineFault, LineUnit};
use crate::random::Seed;

/// All that comes of `input`.
fn deframed(framing: &mut Framing, mut input: &[u8]) -> Vec<Result<Vec<u8>, FramingFault>> {
    let mut buffer = [0; 256 + LINE_OVERHEAD];
    let mut units = Vec::new();
    loop {
        let used = match framing.handle_input(input, &mut buffer, 256) {
            Deframed::Incomplete { used, .. } => {
                assert!(matches!(framing, Framing::Stream) || used == input.len());
                return units;
            }
            Deframed::Frame { used, frame } => {
                units.push(Ok(frame.to_vec()));
                used
            }
            Deframed::Fault { used, fault } => {
                units.push(Err(fault));
                used
            }
        };
        input = &input[used..];
    }
}

fn line(encoder: &mut LineEncoder, frame: &[u8]) -> Vec<u8> {
    let mut sink = heapless::Vec::<u8, 300>::new();
    encoder.encode(&[frame, &[], &[]], &mut sink).unwrap();
    sink.to_vec()
}

#[test]
fn frames_are_read_as_they_were_written() {
    let hello = Frame { header: ToPeer::Ping, front: &[], body: &[] };
    for mut framing in [Framing::Stream, Framing::line()] {
        let mut sink = heapless::Vec::<u8, 300>::new();
        let mut other = framing.clone();
        let refused = Frame::with_body(ToPeer::Refused { code: RefusalCode::Full }, b"text");
        for frame in [refused, hello] {
            framing.encode(&frame, &mut sink).unwrap();
        }
        let expected = [said(refused.header, b"text"), said(ToPeer::Ping, b"")].map(Ok);
        assert_eq!(deframed(&mut other, &sink), expected);
        let mut small = heapless::Vec::<u8, 2>::new();
        assert_eq!(framing.encode(&refused, &mut small), Err(NotFramed::NoRoom));
    }
    let mut framing = Framing::Stream;
    assert_eq!(
        deframed(&mut framing, b"\x00\x01\x02"),
        [Ok(b"".to_vec()), Ok(b"\x02".to_vec())],
        "a sign of life counts"
    );
    assert_eq!(deframed(&mut framing, b"\xff\x7f"), [Err(FramingFault::TooLong)]);
    let needed = framing.handle_input(b"\x05\x02", &mut [], 256);
    assert_eq!(needed, Deframed::Incomplete { used: 0, needed: 6 });
}

#[test]
fn a_line_is_passed_over_until_it_begins_and_again_after_a_fault() {
    let mut framing = Framing::line();
    let mut encoder = LineEncoder::new();
    framing.begin();
    let wire = [b"noise\0", &line(&mut LineEncoder::new(), b"\x02")[..], b"\x03\0"].concat();
    assert_eq!(deframed(&mut framing, &wire), [], "whoever spoke before");
    let welcome = line(&mut encoder, &welcome(1, 0));
    assert_eq!(deframed(&mut framing, &welcome).len(), 1);
    let mut broken = line(&mut encoder, b"\x02");
    broken[1] ^= 0x40;
    let fault = FramingFault::Line(LineFault::Checksum);
    assert_eq!(deframed(&mut framing, &[&broken[..], b"more\0noise\0"].concat()), [Err(fault)], "once");
    framing.begin();
    let late = line(&mut encoder, b"\x02");
    assert_eq!(deframed(&mut framing, &late), [], "of the connection that broke");
    assert_eq!(deframed(&mut framing, &welcome).len(), 1);
}

/// A master at the other end of a line, which gives each task back as its result.
struct Master {
    decoder: LineDecoder,
    encoder: LineEncoder,
    buffer: [u8; 300],
    connected: bool,
    refused: Option<Instant>,
    up_to: u64,
    /// Not Received yet, and how many of them were sent in this connection.
    results: VecDeque<u64>,
    sent: usize,
}

impl Master {
    /// Takes what the client sent; gives what it is sent.
    fn handle_input(&mut self, now: Instant, mut input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            let used = match self.decoder.handle_input(input, &mut self.buffer) {
                LineUnit::Incomplete => break,
                LineUnit::Frame { used, range } => {
                    let frame = self.buffer[range].to_vec();
                    self.on_frame(&frame, &mut out);
                    used
                }
                LineUnit::Fault { used, .. } => {
                    self.connected = false;
                    let heartbeat = Duration::from_millis(1000);
                    if self.refused.is_none_or(|at| now >= at + heartbeat) {
                        self.refused = Some(now);
                        self.say(ToPeer::Refused { code: RefusalCode::NotConnected }, &mut out);
                    }
                    used
                }
            };
            input = &input[used..];
        }
        while self.connected && self.sent < self.results.len().min(4) {
            self.say(ToPeer::Result { sequence: self.results[self.sent] }, &mut out);
            self.sent += 1;
        }
        out
    }

    fn on_frame(&mut self, frame: &[u8], out: &mut Vec<u8>) {
        match ToMaster::decode(frame).unwrap().unwrap().header {
            ToMaster::Hello { .. } => {
                (self.connected, self.sent) = (true, 0);
                out.extend(line(&mut self.encoder, &welcome(1, 8)));
                self.say(ToPeer::Accepted { up_to: self.up_to }, out);
            }
            ToMaster::Submit { sequence, .. } => {
                assert!(sequence >= self.up_to);
                self.up_to = sequence + 1;
                self.results.push_back(sequence);
                self.say(ToPeer::Window { more: 1 }, out);
            }
            ToMaster::Received { results } => {
                self.results.drain(..results as usize);
                self.sent -= results as usize;
            }
            ToMaster::Ping => self.say(ToPeer::Pong, out),
            ToMaster::Function { .. } | ToMaster::Pong => {}
            other => panic!("{other:?}"),
        }
    }

    fn say(&mut self, header: ToPeer, out: &mut Vec<u8>) {
        out.extend(line(&mut self.encoder, &said(header, b"")));
    }
}

/// What happens to what is on its way.
#[derive(Debug, Clone)]
enum Noise {
    None,
    Changed(prop::sample::Index, u8),
    Missing(prop::sample::Index, usize),
}

impl Noise {
    fn disturb(&self, wire: &mut Vec<u8>) {
        match *self {
            _ if wire.is_empty() => {}
            Self::None => {}
            Self::Changed(at, with) => {
                let at = at.index(wire.len());
                wire[at] ^= with;
            }
            Self::Missing(at, count) => {
                let at = at.index(wire.len());
                wire.drain(at..(at + count).min(wire.len()));
            }
        }
    }
}

struct Station {
    client: FixedClient<heapless::Vec<u8, 16>, 8, 2>,
    framing: Framing,
    open: BTreeSet<u64>,
}

impl Station {
    fn begin(&mut self, now: Instant) {
        self.client.handle_disconnected();
        self.framing.begin();
        self.client.handle_connected(now);
    }

    fn handle_input(&mut self, now: Instant, mut input: &[u8]) {
        let mut buffer = [0; 256 + LINE_OVERHEAD];
        loop {
            let used = match self.framing.handle_input(input, &mut buffer, 256) {
                Deframed::Incomplete { .. } => return,
                Deframed::Fault { used, .. } => {
                    self.begin(now);
                    used
                }
                Deframed::Frame { used, frame } => {
                    match self.client.handle_frame(now, frame) {
                        Ok(Some(ClientEvent::Result { key, .. })) => assert!(self.open.remove(&key)),
                        Ok(Some(ClientEvent::Refused { code: RefusalCode::NotConnected, .. })) | Err(_) => {
                            self.begin(now)
                        }
                        Ok(None | Some(ClientEvent::Connected { .. } | ClientEvent::Window)) => {}
                        Ok(other) => panic!("{other:?}"),
                    }
                    used
                }
            };
            input = &input[used..];
        }
    }

    fn poll(&mut self, now: Instant) -> Vec<u8> {
        let mut out = heapless::Vec::<u8, 4096>::new();
        if self.client.handle_timeout(now).is_some() {
            self.begin(now);
        }
        self.client.acknowledge();
        while let Some(frame) = self.client.poll_transmit() {
            self.framing.encode(&frame, &mut out).unwrap();
        }
        while self.client.poll_resubmit().is_some() {
            for frame in self.client.resubmit(&Submit::new("s.f", b"again")).unwrap().frames() {
                self.framing.encode(&frame, &mut out).unwrap();
            }
        }
        out.to_vec()
    }
}

proptest! {
    #[test]
    fn each_task_has_one_result_over_a_noisy_line(
        steps in prop::collection::vec((any::<bool>(), 0_u64..700, noise(), noise()), 0..60),
    ) {
        let mut station = Station {
            client: FixedClient::fixed(PeerConfig { window: 4, ..config() }, Seed::from_u64(1)),
            framing: Framing::line(),
            open: BTreeSet::new(),
        };
        let mut master = Master {
            decoder: LineDecoder::new(),
            encoder: LineEncoder::new(),
            buffer: [0; 300],
            connected: false,
            refused: None,
            up_to: 0,
            results: VecDeque::new(),
            sent: 0,
        };
        let mut now = at(0);
        station.begin(now);
        let quiet = core::iter::repeat_n((false, 700, Noise::None, Noise::None), 40);
        for (key, (submit, millis, up, down)) in (0..).zip(steps.into_iter().chain(quiet)) {
            now = now + Duration::from_millis(millis);
            let mut wire = station.poll(now);
            if submit && let Ok(submitted) = station.client.submit(key, &Submit::new("s.f", b"payload")) {
                let mut out = heapless::Vec::<u8, 512>::new();
                for frame in submitted.frames() {
                    station.framing.encode(&frame, &mut out).unwrap();
                }
                wire.extend(out);
                station.open.insert(key);
            }
            up.disturb(&mut wire);
            let mut wire = master.handle_input(now, &wire);
            down.disturb(&mut wire);
            station.handle_input(now, &wire);
        }
        prop_assert!(station.open.is_empty() && station.client.is_connected(), "{:?}", station.client);
    }
}

fn noise() -> impl Strategy<Value = Noise> {
    prop_oneof![
        4 => Just(Noise::None),
        1 => (any::<prop::sample::Index>(), 1_u8..).prop_map(|(at, with)| Noise::Changed(at, with)),
        1 => (any::<prop::sample::Index>(), 1_usize..100).prop_map(|(at, count)| Noise::Missing(at, count)),
    ]
}
