//! What stands between peers and their master, and breaks things.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// Passes connections on to a port of loopback.
pub(crate) struct Relay {
    pub(crate) address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    streams: Mutex<Vec<TcpStream>>,
    /// New connections are not passed on.
    closed: AtomicBool,
    /// Most bytes passed on at a time; 0: as they come.
    chunk: AtomicUsize,
    /// What peers say is not read.
    deaf: AtomicBool,
}

impl Relay {
    /// `to` is an address `tcp://HOST:PORT`.
    pub(crate) fn to(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let (state, to) = (Arc::new(State::default()), to.trim_start_matches("tcp://").to_owned());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for peer in listener.incoming() {
                let (peer, true) = (peer.unwrap(), !shared.closed.load(Ordering::Relaxed)) else { continue };
                let Ok(master) = TcpStream::connect(&to) else { continue };
                let mut streams = shared.streams.lock().unwrap();
                for (from, to) in [(&peer, &master), (&master, &peer)] {
                    let (from, to, state) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(&shared));
                    std::thread::spawn(move || pass_on(from, to, &state));
                }
                streams.extend([peer, master]);
            }
        });
        Self { address, state }
    }

    /// Passes on only so many bytes at a time.
    pub(crate) fn in_pieces_of(self, bytes: usize) -> Self {
        self.state.chunk.store(bytes, Ordering::Relaxed);
        self
    }

    /// Breaks all connections. Those to come are broken too, until [`mend`](Self::mend) is called.
    pub(crate) fn cut(&self) {
        self.state.closed.store(true, Ordering::Relaxed);
        for stream in self.state.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn mend(&self) {
        self.state.closed.store(false, Ordering::Relaxed);
    }

    /// Reads nothing, or goes on reading.
    pub(crate) fn set_deaf(&self, deaf: bool) {
        self.state.deaf.store(deaf, Ordering::Relaxed);
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, state: &State) {
    let mut bytes = [0; 16 << 10];
    loop {
        while state.deaf.load(Ordering::Relaxed) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let Ok(count @ 1..) = from.read(&mut bytes) else { break };
        let chunk = state.chunk.load(Ordering::Relaxed);
        let chunk = if chunk == 0 { count } else { chunk };
        if bytes[..count].chunks(chunk).any(|chunk| to.write_all(chunk).is_err()) {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A cable between two serial devices.
pub(crate) struct Cable {
    /// The devices, for either end.
    pub(crate) ends: [PathBuf; 2],
    state: Arc<CableState>,
}

#[derive(Default)]
struct CableState {
    /// Bytes still to be changed on their way.
    spoil: AtomicUsize,
}

impl Cable {
    pub(crate) fn new() -> Self {
        let [(near, first), (far, second)] = [(); 2].map(|()| pseudo_line());
        let state = Arc::new(CableState::default());
        for (from, to) in [(&near, &far), (&far, &near)] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                let mut bytes = [0; 1024];
                loop {
                    match from.read(&mut bytes) {
                        Ok(0) => return,
                        Ok(count) => {
                            let spoiled = |left: usize| left.checked_sub(1);
                            if state.spoil.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spoiled).is_ok() {
                                bytes[count / 2] ^= 0x20;
                            }
                            if to.write_all(&bytes[..count]).is_err() {
                                return;
                            }
                        }
                        // Nobody has the device open.
                        Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
                    }
                }
            });
        }
        Self { ends: [first, second], state }
    }

    /// Changes a byte in each of the next so many reads of either direction.
    pub(crate) fn spoil(&self, reads: usize) {
        self.state.spoil.store(reads, Ordering::Relaxed);
    }

    /// Whether all that was to be spoiled is.
    pub(crate) fn is_spoiled(&self) -> bool {
        self.state.spoil.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn address(&self, end: usize) -> String {
        format!("serial://{}?baud=115200", self.ends[end].display())
    }
}

fn pseudo_line() -> (File, PathBuf) {
    let end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&end).unwrap();
    unlockpt(&end).unwrap();
    let path = ptsname(&end, Vec::new()).unwrap().into_string().unwrap();
    // What is written before the device is opened is not to be echoed.
    let mut settings = tcgetattr(end.as_fd()).unwrap();
    settings.make_raw();
    tcsetattr(end.as_fd(), OptionalActions::Now, &settings).unwrap();
    (File::from(end), path.into())
}
