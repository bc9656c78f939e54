//! Clusters in which peers speak the native protocol, drawn from their seed.

use std::time::Duration;

use palm_proto::Instant;
use palm_proto::endpoint::EndpointConfig;
use palm_proto::master::{MasterConfig, TableSizes};

use super::dice::Dice;
use super::native_client::NativeClientPlan;
use super::native_worker::NativeWorkerPlan;
use super::scenario::{FIELDS, Faults, Scenario, client, line, worker};

impl Scenario {
    /// Native clients and workers only.
    pub fn native(dice: &mut Dice, messages: u32) -> Self {
        let mut scenario = Self::of_both(dice, messages);
        scenario.give_clients(dice, messages, true, false);
        scenario.give_workers(dice, true, false);
        scenario
    }

    /// The same with tables and memory that are too small for what clients submit at once.
    pub fn tight(dice: &mut Dice, messages: u32) -> Self {
        let mut scenario = Self::native(dice, messages);
        scenario.sizes.tasks = dice.spread(8, 64);
        if dice.chance(500) {
            scenario.config.master.memory = (dice.between(5, 20) * scenario.longest).max(8 << 10) as u64;
        }
        scenario.native_clients.iter_mut().for_each(|plan| plan.tasks = dice.spread(1, 500));
        scenario
    }

    /// Clients and workers of both protocols, at least one of each.
    pub fn mixed(dice: &mut Dice, messages: u32) -> Self {
        let mut scenario = Self::of_both(dice, messages);
        let (clients, workers) = (dice.between(1, 3), dice.between(1, 3));
        scenario.give_clients(dice, messages, clients & 1 != 0, clients & 2 != 0);
        scenario.give_workers(dice, workers & 1 != 0, workers & 2 != 0);
        if !scenario.is_native() {
            scenario.give_workers(dice, true, false);
        }
        scenario
    }

    /// A master that starts anew again and again. Clients that speak ZeroMQ send again what is not answered.
    pub fn restarts(dice: &mut Dice, messages: u32) -> Self {
        let mut scenario = Self::of_both(dice, messages);
        let with_zeromq = dice.chance(300);
        scenario.give_clients(dice, messages, true, with_zeromq);
        scenario.clients.iter_mut().for_each(|plan| {
            (plan.job, plan.numbered, plan.pace) = (true, true, Duration::ZERO);
            plan.window.get_or_insert(64);
        });
        let zeromq_workers = dice.chance(200);
        scenario.give_workers(dice, true, zeromq_workers);
        scenario.faults.restarts = true;
        if scenario.faults.every.is_zero() {
            scenario.faults.every = dice.time(100_000, 2_000_000);
        }
        scenario
    }

    /// A master that starts anew while workers are at long tasks: they come back and say so, mostly before the clients do.
    pub fn claims(dice: &mut Dice, messages: u32) -> Self {
        let mut scenario = Self::of_both(dice, messages);
        scenario.give_clients(dice, messages, true, false);
        scenario.give_workers(dice, true, false);
        (scenario.config.master.lease, scenario.config.master.attempts) = (None, 1_000_000);
        let every = dice.time(200_000, 3_000_000);
        scenario.faults = Faults { every, breaks: true, clients: true, restarts: true, ..Faults::default() };
        for (plan, _) in &mut scenario.native_workers {
            (plan.window, plan.service) = (dice.spread(1, 16) as u32, dice.time(50_000, 1_000_000));
        }
        scenario
    }

    fn of_both(dice: &mut Dice, _messages: u32) -> Self {
        let memory = dice.spread(256 << 10, 32 << 20);
        let payload = dice.spread(16, memory / 16).min(100_000);
        let faulty = dice.chance(850);
        let lease = dice.chance(250).then(|| dice.time(2_000_000, 20_000_000));
        let leaving = dice.chance(200);
        let faults = Faults {
            every: if faulty { dice.time(10_000, 2_000_000) } else { Duration::ZERO },
            workers: dice.chance(600),
            breaks: dice.chance(700),
            hangs: dice.chance(500),
            clients: dice.chance(600),
            partitions: dice.chance(500),
            intruders: false,
            leaving,
            absence: dice.chance(150),
            restarts: false,
        };
        let config = EndpointConfig {
            master: MasterConfig {
                memory: memory as u64,
                window: dice.chance(500).then(|| dice.spread(1, 64) as u32),
                lease,
                attempts: dice.pick(&[1, 3, 10, 1_000_000, 1_000_000, 1_000_000]),
                keep: Duration::from_secs(60),
                ..MasterConfig::default()
            },
            heartbeat: dice.time(500_000, 5_000_000),
            ..EndpointConfig::default()
        };
        let sizes = TableSizes { tasks: dice.spread(1_024, 4_096), peers: 256, subscriptions: 256 };
        let growth = if dice.chance(300) { dice.spread(1, payload) } else { 0 };
        Self {
            config,
            sizes,
            clients: Vec::new(),
            workers: Vec::new(),
            native_clients: Vec::new(),
            native_workers: Vec::new(),
            listeners: 0,
            faults,
            orderly: false,
            longest: payload + growth + FIELDS,
        }
    }

    fn give_clients(&mut self, dice: &mut Dice, messages: u32, native: bool, zeromq: bool) {
        let payload = (self.longest - FIELDS).div_ceil(2);
        let count = dice.spread(1, 6);
        for number in 0..count {
            let messages = (messages / count as u32).max(1);
            if zeromq && (!native || number > 0 && dice.chance(500)) {
                self.clients.push(client(dice, messages, payload, false));
            } else {
                self.native_clients.push(native_client(dice, messages, payload));
            }
        }
    }

    fn give_workers(&mut self, dice: &mut Dice, native: bool, zeromq: bool) {
        let payload = (self.longest - FIELDS).div_ceil(2);
        let growth = self.longest - FIELDS - payload;
        let count = dice.spread(1, 6);
        for number in 0..count {
            if zeromq && (!native || number > 0 && dice.chance(500)) {
                self.workers.push(worker(dice, payload, growth, false));
            } else {
                let starts = if dice.chance(300) { dice.time(1_000, 3_000_000) } else { Duration::ZERO };
                self.native_workers.push((native_worker(dice, payload, growth), Instant::ZERO + starts));
            }
        }
    }
}

fn native_client(dice: &mut Dice, messages: u32, payload: usize) -> NativeClientPlan {
    let starts = if dice.chance(300) { dice.time(1_000, 2_000_000) } else { Duration::ZERO };
    NativeClientPlan {
        messages,
        payload: dice.spread(1, payload),
        tasks: dice.spread(1, 500),
        window: dice.spread(1, 200) as u32,
        gap: if dice.chance(500) { dice.time(1, 100_000) } else { Duration::ZERO },
        starts: Instant::ZERO + starts,
        pace: if dice.chance(200) { dice.time(1, 3_000) } else { Duration::ZERO },
        cancels: if dice.chance(300) { dice.spread(1, 300) as u32 } else { 0 },
        deadlines: if dice.chance(300) { dice.spread(1, 500) as u32 } else { 0 },
        priorities: dice.pick(&[1, 1, 2, 4]),
        line: line(dice, payload),
    }
}

fn native_worker(dice: &mut Dice, payload: usize, growth: usize) -> NativeWorkerPlan {
    NativeWorkerPlan {
        window: dice.spread(1, 64) as u32,
        parallel: dice.chance(500),
        service: if dice.chance(300) { dice.time(10_000, 1_000_000) } else { dice.time(1, 10_000) },
        parts: if dice.chance(250) { dice.between(2, 5) as u8 } else { 1 },
        fails: if dice.chance(100) { dice.spread(1, 100) as u32 } else { 0 },
        hands_back: if dice.chance(150) { dice.spread(1, 300) as u32 } else { 0 },
        tells: dice.chance(500),
        breaks_off: dice.chance(500),
        growth: if growth == 0 { 0 } else { dice.spread(1, growth) },
        line: line(dice, payload + growth),
    }
}
