//! What the worker does.

use palm_proto::Status;
use palm_proto::native::{Checksum, FunctionName};

use crate::stack;

/// A function, by its name after the server's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Function {
    /// `crc32`: the CRC-32 of the payload (that of Ethernet and zip), 4 bytes, little-endian.
    Crc32,
    /// `fir`: the samples of the payload (16 bits, little-endian, signed) through a low-pass filter; as many samples. What was
    /// before the first sample is taken for 0.
    Fir,
    /// `stack`: how many bytes of the stack have been in use, and how many there are; 32 bits each, little-endian.
    Stack,
}

impl FunctionName for Function {
    fn from_name(name: &str) -> Option<Self> {
        // The rest is the master's name, which does not matter: a board listens to whatever master it is connected with.
        let name = name.as_bytes();
        [(&b".crc32"[..], Self::Crc32), (b".fir", Self::Fir), (b".stack", Self::Stack)]
            .into_iter()
            .find_map(|(ending, function)| name.ends_with(ending).then_some(function))
    }
}

impl Function {
    /// Calls the function. Its result takes the place of the payload, at the front of `memory`; its length is given.
    ///
    /// # Errors
    /// What keeps it from being done.
    pub(crate) fn call(self, memory: &mut [u8], len: usize) -> Result<usize, (Status, &'static str)> {
        let payload = memory.get_mut(..len).unwrap_or_default();
        match self {
            Self::Crc32 => {
                let mut checksum = Checksum::new();
                checksum.put(payload);
                answer(memory, [checksum.to_bytes()].as_flattened())
            }
            Self::Fir => fir(payload),
            Self::Stack => answer(memory, stack::usage().map(|bytes| (bytes as u32).to_le_bytes()).as_flattened()),
        }
    }
}

fn answer(memory: &mut [u8], bytes: &[u8]) -> Result<usize, (Status, &'static str)> {
    let place = memory.get_mut(..bytes.len()).ok_or((Status::TooLong, "no room for the result"))?;
    place.copy_from_slice(bytes);
    Ok(bytes.len())
}

/// A windowed sinc (Hamming) with its edge at an eighth of the sampling rate: 2^15 together, so that what does not change comes
/// out as it goes in.
const COEFFICIENTS: [i16; 15] = [-84, -219, -374, 0, 1582, 4321, 7054, 8208, 7054, 4321, 1582, 0, -374, -219, -84];

fn fir(samples: &mut [u8]) -> Result<usize, (Status, &'static str)> {
    let len = samples.len();
    let (samples, rest) = samples.as_chunks_mut::<2>();
    if !rest.is_empty() {
        return Err((Status::Failed, "half a sample"));
    }
    let mut delay = [0_i16; COEFFICIENTS.len()];
    for sample in samples {
        let mut pushed = i16::from_le_bytes(*sample);
        // Half of what is cut off below. The sum of the coefficients' magnitudes keeps it all within 31 bits.
        let mut sum = 1 << 14;
        for (place, coefficient) in delay.iter_mut().zip(COEFFICIENTS) {
            core::mem::swap(place, &mut pushed);
            sum += i32::from(*place) * i32::from(coefficient);
        }
        let output = (sum >> 15).clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        *sample = output.to_le_bytes();
    }
    Ok(len)
}
