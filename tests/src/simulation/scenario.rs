//! What a run is made of, drawn from its seed.

use std::time::Duration;

use palm_proto::Instant;
use palm_proto::endpoint::EndpointConfig;
use palm_proto::master::{MasterConfig, TableSizes};

use super::client::ClientPlan;
use super::dice::Dice;
use super::native_client::NativeClientPlan;
use super::native_worker::NativeWorkerPlan;
use super::network::Line;
use super::worker::WorkerPlan;

/// What may go wrong, and how often.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Average time between two of them; zero: there are none.
    pub every: Duration,
    /// Workers die or stop.
    pub workers: bool,
    /// Workers lose their connections, and go on with what they have.
    pub breaks: bool,
    /// Workers hang for longer than the lease.
    pub hangs: bool,
    /// Clients lose their connections.
    pub clients: bool,
    /// Connections carry nothing for a while.
    pub partitions: bool,
    /// Strangers call.
    pub intruders: bool,
    /// Clients go away for good.
    pub leaving: bool,
    /// Native clients are away for so long that the master forgets them.
    pub absence: bool,
    /// The master starts anew.
    pub restarts: bool,
}

/// Everything that a run begins with.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The master.
    pub config: EndpointConfig,
    /// Its tables.
    pub sizes: TableSizes,
    /// Who sends.
    pub clients: Vec<ClientPlan>,
    /// Who works, from when on.
    pub workers: Vec<(WorkerPlan, Instant)>,
    /// Who sends over the native protocol.
    pub native_clients: Vec<NativeClientPlan>,
    /// Who works over it, from when on.
    pub native_workers: Vec<(NativeWorkerPlan, Instant)>,
    /// Strangers that subscribe to all results, take them or not, and stay.
    pub listeners: usize,
    /// What goes wrong.
    pub faults: Faults,
    /// Results are to come in the order of the messages.
    pub orderly: bool,
    /// The longest message that any peer sends, with all that is not payload.
    pub longest: usize,
}

/// Fields of a message beside its payload, at most.
pub(super) const FIELDS: usize = 256;

impl Scenario {
    /// Draws one in which clients send about `messages` messages in all.
    pub fn draw(dice: &mut Dice, messages: u32) -> Self {
        // Results so large that they queue up for a client that is slow or away.
        let heavy = dice.chance(150);
        let memory = dice.spread(if heavy { 8 << 20 } else { 256 << 10 }, 32 << 20);
        let payload = if heavy { 50_000 } else { dice.spread(16, memory / 16).min(200_000) };
        let growth = if dice.chance(300) { dice.spread(1, payload) } else { 0 };
        let faulty = dice.chance(850);
        // With one worker that does one message after the other, dying or not, results keep the order of the messages.
        let orderly = dice.chance(150);
        let lease = (!orderly && dice.chance(400)).then(|| dice.time(2_000_000, 20_000_000));
        let faults = Faults {
            every: if faulty { dice.time(10_000, 2_000_000) } else { Duration::ZERO },
            workers: dice.chance(700),
            breaks: !orderly && dice.chance(700),
            hangs: lease.is_some() && dice.chance(700),
            clients: !orderly && dice.chance(if heavy { 900 } else { 500 }),
            partitions: !orderly && dice.chance(400),
            intruders: !orderly && dice.chance(300),
            leaving: dice.chance(200),
            ..Faults::default()
        };
        let config = EndpointConfig {
            master: MasterConfig {
                memory: memory as u64,
                window: dice.chance(500).then(|| dice.spread(1, 64) as u32),
                lease,
                attempts: dice.pick(&[1, 3, 3, 10, 1_000_000]),
                keep: Duration::from_secs(60),
                ..MasterConfig::default()
            },
            heartbeat: dice.time(500_000, 5_000_000),
            ..EndpointConfig::default()
        };
        let sizes = TableSizes { tasks: dice.spread(256, 8_192), peers: 1_024, subscriptions: 1_024 };
        let count = dice.spread(1, 8);
        let clients = (0..count).map(|_| client(dice, messages / count as u32, payload, heavy)).collect();
        let count = if orderly { 1 } else { dice.spread(1, 8) };
        let mut workers: Vec<_> = (0..count).map(|_| worker(dice, payload, growth, orderly)).collect();
        if heavy {
            // They are faster than who takes the results.
            let line = Line { latency: Duration::from_micros(30), speed: 1_000_000, buffer: 1 << 20 };
            workers.iter_mut().for_each(|(plan, _)| (plan.line, plan.service) = (line, Duration::from_micros(50)));
        }
        let longest = payload + growth + FIELDS;
        let (native_clients, native_workers) = (Vec::new(), Vec::new());
        let listeners = 0;
        Self { config, sizes, clients, workers, native_clients, native_workers, listeners, faults, orderly, longest }
    }

    /// Clients of which many subscribe late, and strangers that get all results from the start. There is room to keep what is
    /// sent for those who come late.
    pub fn overheard(dice: &mut Dice, messages: u32) -> Self {
        let mut scenario = Self::draw(dice, messages);
        scenario.faults.intruders = false;
        scenario.config.master.memory = 128 << 20;
        scenario.sizes.tasks = 8_192 + 48 * messages as usize;
        scenario.listeners = dice.between(1, 3);
        scenario
    }

    /// Whether anybody speaks the native protocol.
    pub(super) fn is_native(&self) -> bool {
        !self.native_clients.is_empty() || !self.native_workers.is_empty()
    }

    /// Clients at full speed, workers that die, and a subscriber that comes late.
    pub fn at_full_speed(dice: &mut Dice, messages: u32) -> Self {
        let line = Line { latency: Duration::from_micros(30), speed: 1_000_000, buffer: 256 << 10 };
        let late = Instant::from_millis(2_000);
        let client = |subscribes| ClientPlan {
            messages: messages / 4,
            least: 1,
            payload: 40,
            window: None,
            gap: Duration::ZERO,
            starts: Instant::ZERO,
            subscribes,
            pace: Duration::ZERO,
            numbered: true,
            job: false,
            line,
        };
        let clients = vec![client(Instant::ZERO), client(Instant::ZERO), client(Instant::ZERO), client(late)];
        let worker = |_| {
            let service = dice.time(2, 20);
            (WorkerPlan { results: 1, service, concurrency: 0, growth: 0, line }, Instant::ZERO)
        };
        let workers = (0..6).map(worker).collect();
        let faults = Faults { every: Duration::from_millis(5), workers: true, ..Faults::default() };
        let master = MasterConfig { attempts: u32::MAX, ..MasterConfig::default() };
        let config = EndpointConfig { master, ..EndpointConfig::default() };
        let sizes = TableSizes { tasks: 100_000, peers: 64, subscriptions: 64 };
        let (native_clients, native_workers) = (Vec::new(), Vec::new());
        let longest = 40 + FIELDS;
        let listeners = 0;
        let orderly = false;
        Self { config, sizes, clients, workers, native_clients, native_workers, listeners, faults, orderly, longest }
    }
}

pub(super) fn line(dice: &mut Dice, payload: usize) -> Line {
    Line {
        latency: dice.time(10, 50_000),
        speed: dice.spread(1_000, 1_000_000).max(payload / 20),
        // A message takes some ways there and back, and less than a lease.
        buffer: dice.spread(1 << 10, 1 << 20).max(payload / 4),
    }
}

pub(super) fn client(dice: &mut Dice, messages: u32, payload: usize, heavy: bool) -> ClientPlan {
    let starts = if dice.chance(300) { dice.time(1_000, 2_000_000) } else { Duration::ZERO };
    let late = if dice.chance(300) { dice.time(1_000, 10_000_000) } else { Duration::ZERO };
    let job = dice.chance(250);
    ClientPlan {
        messages,
        least: if heavy { payload / 2 } else { 1 },
        payload: if heavy { payload } else { dice.spread(1, payload) },
        window: (job || dice.chance(600)).then(|| dice.spread(1, 500) as u32),
        gap: if dice.chance(300) { dice.time(1, 2_000) } else { Duration::ZERO },
        starts: Instant::ZERO + starts,
        subscribes: Instant::ZERO + starts + late,
        // One that sends again what is not answered in time would only ever fall further behind.
        pace: if !job && dice.chance(if heavy { 700 } else { 200 }) {
            if heavy { dice.time(50_000, 1_000_000) } else { dice.time(1, 3_000) }
        } else {
            Duration::ZERO
        },
        numbered: job || dice.chance(500),
        job,
        line: line(dice, payload),
    }
}

pub(super) fn worker(dice: &mut Dice, payload: usize, growth: usize, orderly: bool) -> (WorkerPlan, Instant) {
    let concurrency = if !orderly && dice.chance(300) { dice.spread(1, 8) as u32 } else { 0 };
    let results = if concurrency == 0 && !orderly && dice.chance(250) { dice.between(2, 5) as u8 } else { 1 };
    let plan =
        WorkerPlan { results, service: dice.time(1, 10_000), concurrency, growth, line: line(dice, payload + growth) };
    let starts = if dice.chance(300) { dice.time(1_000, 3_000_000) } else { Duration::ZERO };
    (plan, Instant::ZERO + starts)
}
