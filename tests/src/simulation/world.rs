//! A whole cluster in one thread.

use std::time::Duration;

use palm_proto::Instant;
use palm_proto::endpoint::Service;

use super::client::ClientNode;
use super::context::Context;
use super::dice::Dice;
use super::intruder::{IntruderNode, Manner};
use super::ledger::Ledger;
use super::master::MasterNode;
use super::native_client::NativeClientNode;
use super::native_worker::NativeWorkerNode;
use super::network::{Line, Network, Side};
use super::queue::{Event, Queue};
use super::scenario::{Faults, Scenario};
use super::trace::{Listener, Trace};
use super::witness::Rules;
use super::worker::WorkerNode;

/// Time that a cluster has to finish once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// One of the master's peers.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there are a handful of them, and all live as long as the world")]
pub(super) enum Node {
    Client(ClientNode),
    Worker(WorkerNode),
    NativeClient(NativeClientNode),
    NativeWorker(NativeWorkerNode),
    Intruder(IntruderNode),
}

impl Node {
    /// Its time has come, or something happened on one of its links.
    fn serve(&mut self, context: &mut Context, woken: bool) {
        match self {
            Self::Client(client) if woken => client.handle_wake(context),
            Self::Client(client) => client.serve(context),
            Self::Worker(worker) if woken => worker.handle_wake(context),
            Self::Worker(worker) => worker.serve(context),
            Self::NativeClient(client) if woken => client.handle_wake(context),
            Self::NativeClient(client) => client.serve(context),
            Self::NativeWorker(worker) if woken => worker.handle_wake(context),
            Self::NativeWorker(worker) => worker.serve(context),
            Self::Intruder(intruder) => intruder.serve(context),
        }
    }

    /// Whether it has sent all that it is to send.
    pub(super) fn is_done_sending(&self) -> bool {
        match self {
            Self::Client(client) => client.is_done_sending(),
            Self::NativeClient(client) => client.is_done_sending(),
            Self::Worker(_) | Self::NativeWorker(_) | Self::Intruder(_) => true,
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Tells the run from others.
    pub hash: u64,
    /// Messages that the master had.
    pub taken: u64,
    /// Results and failures that clients had.
    pub received: u64,
    /// Failures among them.
    pub failures: u64,
    /// Messages of which a result was lost in a connection to its client that broke.
    pub excused: u64,
    /// Messages dispatched again.
    pub redispatched: u64,
    /// Results of attempts that were not accepted.
    pub duplicates: u64,
    /// Workers that died.
    pub deaths: u64,
    /// Times that the master started anew.
    pub restarts: u64,
    /// Tasks that workers went on with over connections.
    pub claimed: u64,
    /// Connections that there were.
    pub connections: usize,
    /// Events that there were.
    pub events: u64,
    /// Time that passed in the cluster.
    pub virtual_time: Duration,
}

/// A cluster.
#[derive(Debug)]
pub struct World {
    pub(super) context: Context,
    pub(super) master: MasterNode,
    pub(super) nodes: Vec<Node>,
    pub(super) faults: Faults,
    /// The master takes messages back from workers that hang.
    pub(super) lease: bool,
    /// Strangers get copies of results, which may be dropped.
    overheard: bool,
    /// Somebody sends messages again.
    repeats: bool,
    /// A client has gone for good.
    pub(super) leaving: bool,
    pub(super) calm_since: Instant,
    pub(super) deaths: u64,
    pub(super) restarts: u64,
    events: u64,
}

impl World {
    /// A cluster as `draw` would have it.
    pub fn new(seed: u64, draw: impl FnOnce(&mut Dice) -> Scenario, listener: Option<Listener>) -> Self {
        let mut dice = Dice::new(seed);
        let scenario = draw(&mut dice);
        let mut trace = Trace::told_to(listener);
        trace.say(Instant::ZERO, &format!("{scenario:#?}"));
        let mut context = Context {
            now: Instant::ZERO,
            dice,
            network: Network::default(),
            queue: Queue::default(),
            ledger: Ledger::new(scenario.orderly, scenario.faults.intruders),
            trace,
            calm: scenario.faults.every.is_zero(),
            seen_task: 0,
        };
        let quiet = scenario.faults.every.is_zero() && scenario.config.master.lease.is_none();
        (context.ledger.quiet, context.ledger.forgetful) = (quiet, scenario.faults.absence);
        let Faults { workers, hangs, partitions, restarts, .. } = scenario.faults;
        let is_lost = workers || hangs || partitions || restarts || !scenario.workers.is_empty();
        context.ledger.living = !is_lost && scenario.config.master.lease.is_none();
        let rules = scenario.is_native().then_some(Rules {
            lease: scenario.config.master.lease.is_some(),
            claims: scenario.workers.is_empty()
                && scenario.config.master.lease.is_none()
                && scenario.config.master.attempts > 1_000,
            quiet: quiet && scenario.native_workers.iter().all(|(plan, _)| plan.hands_back == 0),
            keep: scenario.config.master.keep,
        });
        let longest = scenario.longest.max(21_000);
        let master = MasterNode::new(&mut context, scenario.config, scenario.sizes, longest, rules);
        let native = rules.is_some();
        let repeats = native || scenario.clients.iter().any(|client| client.job);
        let mut nodes = Vec::new();
        for plan in scenario.clients {
            nodes.push(Node::Client(ClientNode::new(&mut context, nodes.len(), plan)));
        }
        for _ in 0..scenario.listeners {
            let manner = context.dice.pick(&[Manner::Listens, Manner::Listens, Manner::Hoards]);
            let line = Line { latency: Duration::from_micros(30), speed: 1_000_000, buffer: 64 << 10 };
            let me = nodes.len();
            nodes.push(Node::Intruder(IntruderNode::new(&mut context, me, Service::Publish, manner, line)));
        }
        for (plan, starts) in scenario.workers {
            nodes.push(Node::Worker(WorkerNode::new(&mut context, nodes.len(), plan, starts)));
        }
        for plan in scenario.native_clients {
            nodes.push(Node::NativeClient(NativeClientNode::new(&mut context, nodes.len(), plan)));
        }
        for (plan, starts) in scenario.native_workers {
            nodes.push(Node::NativeWorker(NativeWorkerNode::new(&mut context, nodes.len(), plan, starts)));
        }
        let mut world = Self {
            context,
            master,
            nodes,
            faults: scenario.faults,
            lease: scenario.config.master.lease.is_some(),
            overheard: scenario.listeners > 0,
            repeats,
            leaving: false,
            calm_since: Instant::ZERO,
            deaths: 0,
            restarts: 0,
            events: 0,
        };
        world.plan_chaos();
        world
    }

    /// Runs until all is over.
    ///
    /// # Errors
    /// Tells the first promise that was broken.
    pub fn run(mut self) -> Result<Summary, String> {
        while !self.is_over() {
            self.step()?;
        }
        self.finish()
    }

    fn is_over(&self) -> bool {
        let idle = self.master.endpoint.is_idle() && self.master.endpoint.master().gauges().results == 0;
        self.context.calm && idle && self.context.ledger.is_settled() && self.nodes.iter().all(Node::is_done_sending)
    }

    fn step(&mut self) -> Result<(), String> {
        let Some((at, event)) = self.context.queue.pop() else {
            return Err(format!("nothing happens any more: {}", self.unsettled()));
        };
        if self.context.calm && at - self.calm_since > PATIENCE {
            return Err(format!("nothing comes to an end: {}", self.unsettled()));
        }
        self.events += 1;
        self.context.now = at;
        let context = &mut self.context;
        match event {
            Event::Arrival(link, side) => context.network.handle_arrival(&mut context.queue, at, link, side),
            Event::Accept(link) => self.master.handle_accept(context, link),
            Event::MasterTimer => self.master.handle_timer(context),
            Event::UserTimeout(link) => self.master.handle_user_timeout(context, link),
            Event::Heal(link) => {
                context.trace.note(at, "connection {} heals", &[link as u64]);
                context.network.heal(&mut context.queue, at, link);
            }
            Event::Wake(node) => self.nodes[node].serve(context, true),
            Event::Chaos => self.wreak_havoc(),
        }
        self.deliver_notices();
        match self.context.ledger.violation() {
            None => Ok(()),
            Some(violation) => Err(String::from(violation)),
        }
    }

    fn deliver_notices(&mut self) {
        while let Some((link, side)) = self.context.network.notices.pop_front() {
            let context = &mut self.context;
            if side == Side::Master {
                self.master.handle_notice(context, link);
                continue;
            }
            let owner = context.network.link(link).owner;
            self.nodes[owner].serve(context, false);
        }
    }

    /// All have what is theirs. Everybody goes, time passes, and the master is empty.
    fn finish(mut self) -> Result<Summary, String> {
        let now = self.context.now;
        let virtual_time = now - Instant::ZERO;
        self.context.trace.note(now, "all is settled", &[]);
        self.nodes.clear();
        self.master.close_all(&mut self.context);
        let mut now = now;
        while let Some(due) = self.master.endpoint.poll_timeout() {
            now = now.max(due);
            self.master.endpoint.handle_timeout(now);
            if now - self.calm_since > PATIENCE * 2 {
                return Err(String::from("an endpoint without connections has timers for ever"));
            }
        }
        let master = self.master.endpoint.master();
        let (gauges, counters) = (master.gauges(), *master.counters());
        let nothing = gauges.queued + gauges.leased + gauges.results + gauges.workers + gauges.subscribers;
        if nothing > 0 || gauges.memory > 0 || self.master.endpoint.connections() > 0 {
            return Err(format!("after all have gone: {gauges}"));
        }
        let ledger = &self.context.ledger;
        let lossless = !self.leaving && !self.faults.intruders && !self.repeats;
        if lossless && counters.expired > 0 {
            return Err(format!("{} results were dropped", counters.expired));
        }
        if counters.copies_dropped > 0 && lossless && !self.overheard {
            return Err(format!("{} copies were dropped", counters.copies_dropped));
        }
        Ok(Summary {
            hash: self.context.trace.hash(),
            taken: ledger.taken(),
            received: ledger.received,
            failures: ledger.failures,
            excused: ledger.excused,
            redispatched: counters.redispatched,
            duplicates: counters.duplicates,
            deaths: self.deaths,
            restarts: self.restarts,
            claimed: counters.claimed,
            connections: self.context.network.count(),
            events: self.events,
            virtual_time,
        })
    }

    fn unsettled(&self) -> String {
        let gauges = self.master.endpoint.master().gauges();
        let open = self.context.ledger.unsettled();
        format!("{gauges}; not settled, and whether the master had it: {open:?}")
    }
}
