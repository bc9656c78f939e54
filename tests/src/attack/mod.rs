//! What a stranger on the network can try against a running master, one attack after the other, and what must hold.
//!
//! Each attack is a function of a few lines with a name, a sentence on what it tries and one on what must hold
//! ([`Attack`]); a file holds those of one family. All speak plain ZMTP or native frames over plain streams, so the master may
//! be ours or Python's, and needs nothing for it. [`run`] runs them against a [`Target`], and after each has honest clients and
//! workers of its own served ([`Scene::served`]), fresh ones too.
//!
//! Every loop is bounded in count, and every wait by [`Bounds::patience`]. An attack leaves no connection, no process and no key in
//! the cache behind; results that it left to nobody go when the master's time for them is over.
//!
//! `cargo run -p palm-tests --bin attack -- --help` is the program. [`serve`] is the other direction: what a server of
//! somebody else's can try against a program of ours that connects to it.

mod answers;
mod cache;
mod client;
mod connections;
mod fields;
mod floods;
mod frames;
mod honest;
mod native;
mod native_peer;
pub mod serve;
mod sessions;
mod subscriptions;
mod target;
mod tricks;
mod wire;

use std::io;
use std::time::{Duration, Instant};

pub use honest::Scene;
pub use target::{Bounds, Native, Target};

/// One thing that a stranger tries.
#[derive(Clone, Copy)]
pub struct Attack {
    /// The file that it is in.
    pub family: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it tries.
    pub tries: &'static str,
    /// What must hold, besides that honest peers are served afterwards.
    pub holds: &'static str,
    /// Whether it needs a listener of the native protocol.
    pub native: bool,
    /// Does it, and looks whether it holds.
    pub run: fn(&mut Scene<'_>) -> Outcome,
}

/// `Err`: something does not hold.
pub type Outcome<T = ()> = Result<T, Broken>;

/// What was seen that should not be.
#[derive(Debug)]
pub struct Broken(pub String);

impl Broken {
    /// The same, with what it came after.
    fn after(self, what: &str) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

impl From<io::Error> for Broken {
    fn from(cause: io::Error) -> Self {
        Self(cause.to_string())
    }
}

impl From<String> for Broken {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// What became of an attack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that must hold held.
    Held,
    /// Something did not: what was seen.
    Broken(String),
    /// It was not tried: why.
    NotRun(String),
}

/// All attacks, family by family.
pub fn all() -> Vec<Attack> {
    let families: [&[Attack]; 9] = [
        &frames::ATTACKS,
        &fields::ATTACKS,
        &answers::ATTACKS,
        &subscriptions::ATTACKS,
        &connections::ATTACKS,
        &floods::ATTACKS,
        &cache::ATTACKS,
        &native::ATTACKS,
        &sessions::ATTACKS,
    ];
    families.concat()
}

/// Runs attacks against a master one after the other, and tells of each what became of it, and after how long.
///
/// Once the master serves nobody any more, the others are not run.
///
/// # Errors
/// If the master does not serve honest peers to begin with.
pub fn run(target: &Target, attacks: &[Attack], mut tell: impl FnMut(&Attack, &Verdict, Duration)) -> Outcome {
    let mut scene = Some(Scene::new(target)?);
    for attack in attacks {
        let start = Instant::now();
        let verdict = match &mut scene {
            None => Verdict::NotRun("the master serves nobody any more".to_owned()),
            Some(_) if attack.native && target.native.is_none() => Verdict::NotRun("no native listener".to_owned()),
            Some(scene) => {
                let tried =
                    (attack.run)(scene).and_then(|()| scene.served().map_err(|broken| broken.after("afterwards")));
                tried.map_or_else(|broken| Verdict::Broken(broken.0), |()| Verdict::Held)
            }
        };
        if matches!(verdict, Verdict::Broken(_)) {
            // What is left of the honest may be lost or stuck: others take their places.
            drop(scene.take());
            scene = Scene::new(target).ok();
        }
        tell(attack, &verdict, start.elapsed());
    }
    Ok(())
}
