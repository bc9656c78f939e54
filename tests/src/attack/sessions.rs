//! What a native worker is told of its tasks' clients, and what it can do with that.

use std::collections::HashMap;

use palm_proto::native::{Frame, Role, SessionId, TaskNumber, ToMaster, ToPeer};

use super::client::shown;
use super::native::listener;
use super::native_peer::{Heard, Hello, NativePeer, Session};
use super::target::Native;
use super::{Attack, Broken, Outcome, Scene};

pub(super) const ATTACKS: [Attack; 2] = [
    Attack {
        family: "sessions",
        name: "told-ids",
        tries: "a worker says Hello as a client with each id that it was told, resumed or new, cancels and takes results",
        holds: "the client keeps its connection, and has all results, which nobody else is sent",
        native: true,
        run: told_ids,
    },
    Attack {
        family: "sessions",
        name: "false-claims",
        tries: "a worker claims the tasks that other workers hold, by what it was told, and answers them",
        holds: "those tasks have the results of the workers that hold them",
        native: true,
        run: false_claims,
    },
];

/// Tasks that are out.
const OUT: usize = 40;

/// A worker, the ids that it was told, and the tasks that it was given: a number and a payload each.
struct Spy {
    session: Session,
    ids: Vec<SessionId>,
    tasks: Vec<(TaskNumber, Vec<u8>)>,
}

impl Spy {
    /// Connects.
    fn connect(scene: &Scene<'_>, native: &Native) -> Outcome<Self> {
        let session = Session::open(NativePeer::stranger(scene.target, native)?, Role::Worker, &native.token)?;
        Ok(Self { session, ids: Vec::new(), tasks: Vec::new() })
    }

    /// Listens until it has been told an id and given a task, and then as long as there is more.
    fn listen(&mut self, scene: &Scene<'_>) -> Outcome {
        let mut next = TaskNumber::FIRST;
        loop {
            let is_enough = !self.ids.is_empty() && !self.tasks.is_empty();
            let time = if is_enough { std::time::Duration::from_millis(200) } else { scene.target.bounds.patience };
            match self.session.peer.hear_within(time)? {
                Some(Heard { header: ToPeer::Session { id, .. }, .. }) => self.ids.push(id),
                Some(Heard { header: ToPeer::Task { .. } | ToPeer::TaskWith { .. }, body }) => {
                    self.tasks.push((next, body));
                    next = next.plus(1);
                }
                Some(Heard { header: ToPeer::Skip { numbers }, .. }) => next = next.plus(numbers),
                Some(_) => {}
                None if is_enough => return Ok(()),
                None => return Err(Broken("a new worker is given nothing".to_owned())),
            }
        }
    }

    /// Does its tasks as an honest worker does.
    fn work(&mut self) -> Outcome {
        for (number, payload) in &self.tasks {
            self.session.peer.frame(&Frame::with_body(ToMaster::Done { number: *number }, payload))?;
        }
        Ok(())
    }
}

/// A client with tasks out, whose workers answer nothing before [`Scene::release`].
fn victim(scene: &Scene<'_>, native: &Native) -> Outcome<(Session, HashMap<u64, Vec<u8>>)> {
    let mut victim = Session::open(NativePeer::honest(scene.target, native)?, Role::Client, &native.token)?;
    victim.declare(0, &scene.target.call())?;
    let mut out = HashMap::new();
    for number in 0..OUT {
        let payload = format!("genuine {number}").into_bytes();
        out.insert(victim.submit(&payload)?, payload);
    }
    Ok((victim, out))
}

fn told_ids(scene: &mut Scene<'_>) -> Outcome {
    let native = listener(scene)?;
    scene.hold();
    let tried = intrude(scene, &native);
    scene.release();
    let (mut victim, mut out, mut spy, mut intruders) = tried?;
    spy.work()?;
    while !out.is_empty() {
        let (sequence, result) =
            victim.outcome().map_err(|broken| broken.after(&format!("{} results missing", out.len())))?;
        match (out.remove(&sequence), result) {
            (Some(payload), Ok(result)) if payload == result => {}
            (_, result) => return Err(Broken(format!("task {sequence} ends as {result:?}"))),
        }
    }
    for intruder in &mut intruders {
        while let Ok(Some(heard)) = intruder.hear_within(std::time::Duration::from_millis(50)) {
            if matches!(heard.header, ToPeer::Result { .. } | ToPeer::Failed { .. } | ToPeer::Partial { .. }) {
                return Err(Broken(format!("another is sent a client's result: {}", shown(&heard.body))));
            }
        }
    }
    Ok(())
}

type Intrusion = (Session, HashMap<u64, Vec<u8>>, Spy, Vec<NativePeer>);

/// A worker learns what it can, and others come as the client that it was told of.
fn intrude(scene: &Scene<'_>, native: &Native) -> Outcome<Intrusion> {
    let mut spy = Spy::connect(scene, native)?;
    let (victim, out) = victim(scene, native)?;
    spy.listen(scene)?;
    let mut intruders = Vec::new();
    for id in spy.ids.clone() {
        for (resume, role) in [(true, Role::Client), (false, Role::Client), (true, Role::Worker)] {
            let mut intruder = NativePeer::stranger(scene.target, native)?;
            let hello = Hello { role, session: id, resume, window: 0, ..Hello::default() };
            intruder.frame(&Frame::with_body(hello.header(), &native.token))?;
            // Refused is as good as a Welcome to nothing.
            if !matches!(intruder.hear(), Ok(Heard { header: ToPeer::Welcome { .. }, .. })) || role == Role::Worker {
                continue;
            }
            for sequence in 0..OUT as u64 {
                if intruder.say(ToMaster::Cancel { sequence }).is_err() {
                    break;
                }
            }
            // Its answer shows that the master has read the rest.
            let _closed = intruder.say(ToMaster::Ping);
            let _pong = intruder.hear();
            intruders.push(intruder);
        }
    }
    Ok((victim, out, spy, intruders))
}

fn false_claims(scene: &mut Scene<'_>) -> Outcome {
    let native = listener(scene)?;
    scene.hold();
    let tried = claim(scene, &native);
    // What honest workers hold, they answer.
    let held: Vec<_> = scene.held();
    scene.release();
    let (mut victim, mut out, mut spy) = tried?;
    spy.work()?;
    drop(spy);
    let held: Vec<Vec<u8>> = held
        .iter()
        .filter_map(|message| Some(palm_proto::message::MessageRef::parse(message).ok()?.payload.to_vec()))
        .collect();
    while !out.is_empty() {
        let (sequence, result) =
            victim.outcome().map_err(|broken| broken.after(&format!("{} results missing", out.len())))?;
        let Some(payload) = out.remove(&sequence) else {
            return Err(Broken(format!("task {sequence} ends twice")));
        };
        // What was in the queue, a worker that claims it is given.
        if held.contains(&payload) && result.as_ref().ok() != Some(&payload) {
            return Err(Broken(format!("task {sequence}, which an honest worker holds, ends as {result:?}")));
        }
    }
    Ok(())
}

fn claim(scene: &Scene<'_>, native: &Native) -> Outcome<(Session, HashMap<u64, Vec<u8>>, Spy)> {
    let mut spy = Spy::connect(scene, native)?;
    let (victim, out) = victim(scene, native)?;
    spy.listen(scene)?;
    for session in spy.ids.clone() {
        for attempt in [1, 2] {
            let hello = Hello { role: Role::Worker, holding: OUT as u32, window: OUT as u32, ..Hello::default() };
            let id = (u128::from(super::client::random()) << 64 | 1).to_be_bytes();
            let hello = Hello { session: SessionId(id), ..hello };
            let peer = NativePeer::stranger(scene.target, native)?;
            // A master may have no room for what it announces.
            let Ok(mut liar) = Session::open_as(peer, &hello, &native.token) else { continue };
            for sequence in 0..OUT as u64 {
                liar.peer.say(ToMaster::Holding { session, sequence, attempt })?;
            }
            for number in 0..OUT as u32 {
                let number = TaskNumber::FIRST.plus(number);
                if liar.peer.frame(&Frame::with_body(ToMaster::Done { number }, b"forged")).is_err() {
                    break;
                }
            }
            let _closed = liar.peer.say(ToMaster::Ping);
            // It hears CancelTask for what it claims in vain, and at last the answer to Ping.
            for _ in 0..4 * OUT {
                match liar.peer.hear() {
                    Ok(Heard { header: ToPeer::Pong, .. }) | Err(_) => break,
                    Ok(_) => {}
                }
            }
        }
    }
    Ok((victim, out, spy))
}
