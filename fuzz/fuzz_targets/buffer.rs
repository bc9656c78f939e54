//! What is put into buffers of a host and of a fixed size comes out the same, whatever is cut out of it and put behind; and what waits
//! to be written goes out whole and in order, however little the network takes at a time.
#![no_main]

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use palm_fuzz::Input;
use palm_proto::buffer::{Buffer, Outgoing, PooledBuffer, Span, Spare};

/// Bytes that a buffer of a fixed size holds.
const FIXED: usize = 400;
type Fixed = heapless::Vec<u8, FIXED>;

/// The same bytes three times.
struct Held {
    bytes: Vec<u8>,
    pooled: Span<PooledBuffer>,
    /// `None`: they did not fit.
    fixed: Option<Span<Fixed>>,
}

impl Held {
    fn new(bytes: Vec<u8>, pooled: PooledBuffer) -> Self {
        Self { fixed: Fixed::copy_from(&bytes).map(Span::whole), pooled: Span::whole(pooled), bytes }
    }

    fn check(&self) {
        assert_eq!(self.pooled.as_slice(), self.bytes);
        assert!(self.pooled.len() == self.bytes.len() && self.pooled.footprint() >= self.bytes.len());
        if let Some(fixed) = &self.fixed {
            assert_eq!(fixed.as_slice(), self.bytes);
        }
    }
}

/// Some bytes, a few times as many as the input has.
fn bytes(input: &mut Input<'_>) -> Vec<u8> {
    let (pattern, times) = (input.bytes(), input.below(4));
    pattern.repeat(times)
}

fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let mut held: Vec<Held> = Vec::new();
    let (mut outgoing, mut spare) = (Outgoing::new(), Spare::new());
    let mut waits: VecDeque<u8> = VecDeque::new();
    while !input.is_used_up() {
        match input.below(10) {
            0 => {
                let bytes = bytes(&mut input);
                let passing = PooledBuffer::copy_passing(&bytes).expect("it takes all");
                held.push(Held::new(bytes, passing));
            }
            1 => {
                let (first, second, third) = (bytes(&mut input), input.bytes(), input.bytes());
                let parts: [&[u8]; 4] = [&first, second, b"", third];
                let whole = parts.concat();
                assert_eq!(Fixed::joined(&parts).is_some(), whole.len() <= FIXED);
                let joined = PooledBuffer::joined(&parts).expect("it takes all");
                held.push(Held::new(whole, joined));
            }
            2 => {
                let bytes = bytes(&mut input);
                let copied = PooledBuffer::copy_from(&bytes).expect("it takes all");
                assert_eq!(copied.footprint(), bytes.len());
                held.push(Held::new(bytes, copied));
            }
            3 => {
                let Some(Held { bytes, pooled, fixed }) = input.take(&mut held) else { continue };
                let range = input.below(256)..input.below(256);
                let narrowed = bytes.get(range.clone()).map(<[u8]>::to_vec);
                assert_eq!(pooled.clone().narrowed(range.clone()).is_some(), narrowed.is_some());
                if let (Some(bytes), Some(pooled)) = (narrowed, pooled.narrowed(range.clone())) {
                    let fixed = fixed.map(|fixed| fixed.narrowed(range).expect("the bytes are the same"));
                    held.push(Held { bytes, pooled, fixed });
                }
            }
            4 | 5 => {
                let Some(Held { bytes, pooled, fixed }) = input.take(&mut held) else { continue };
                let cut = input.below(256)..input.below(256);
                let parts = [input.bytes(), b"x", b"", input.bytes()];
                let is_there = cut.start <= cut.end && cut.end <= bytes.len();
                let Some(pooled) = pooled.spliced(cut.clone(), parts) else {
                    assert!(!is_there, "it takes all");
                    continue;
                };
                assert!(is_there);
                let spliced = [&bytes[..cut.start], &bytes[cut.end..], &parts.concat()].concat();
                let was_fixed = fixed.is_some();
                let fixed = fixed.and_then(|fixed| fixed.spliced(cut, parts));
                assert!(!was_fixed || fixed.is_some() == (spliced.len() <= FIXED));
                held.push(Held { bytes: spliced, pooled, fixed });
            }
            6 => {
                let Some(mut taken) = input.take(&mut held) else { continue };
                let copy =
                    Held { bytes: taken.bytes.clone(), pooled: taken.pooled.clone(), fixed: taken.fixed.clone() };
                let len = input.below(256);
                taken.bytes.truncate(len);
                taken.pooled.truncate(len);
                if let Some(fixed) = &mut taken.fixed {
                    fixed.truncate(len);
                }
                taken.check();
                held.push(copy);
            }
            7 => {
                let Some(taken) = input.take(&mut held) else { continue };
                taken.check();
                let (buffer, range) = taken.pooled.into_parts();
                waits.extend(&taken.bytes);
                outgoing.push(Bytes::from(buffer).slice(range), &mut spare);
            }
            8 => {
                let large = input.below(2) * Outgoing::SHARE_FROM;
                let parts = [input.bytes(), &vec![input.byte(); large], b""];
                waits.extend(&parts.concat());
                if large == 0 {
                    outgoing.copy(&parts, &mut spare);
                } else {
                    outgoing.push(Bytes::from(parts.concat()), &mut spare);
                }
            }
            _ => {
                let most = input.below(256) * [1, 100, 1000][input.below(3)];
                let mut room = [IoSlice::new(&[]); 3];
                let mut written = 0;
                for slice in outgoing.slices(&mut room) {
                    let len = slice.len().min(most - written);
                    assert!(slice[..len].iter().eq(waits.range(written..written + len)));
                    written += len;
                }
                outgoing.advance(written, &mut spare);
                waits.drain(..written);
                if input.below(64) == 63 {
                    outgoing.clear();
                    waits.clear();
                }
            }
        }
        assert!(outgoing.len() == waits.len() && outgoing.is_empty() == waits.is_empty());
        held.iter().for_each(Held::check);
        held.truncate(8);
    }
});
