//! What goes wrong.

use std::time::Duration;

use palm_proto::endpoint::Service;

use super::intruder::{IntruderNode, Manner};
use super::network::Line;
use super::queue::Event;
use super::world::{Node, World};

/// Things go wrong for so long at most.
const CHAOS_FOR: Duration = Duration::from_secs(120);

impl World {
    /// When something goes wrong next.
    pub(super) fn plan_chaos(&mut self) {
        let every = self.faults.every.as_micros() as usize;
        if every > 0 {
            let gap = self.context.dice.between(1, 2 * every);
            self.context.queue.push(self.context.now + Duration::from_micros(gap as u64), Event::Chaos);
        }
    }

    /// Something goes wrong, unless all messages are sent: then things calm down.
    pub(super) fn wreak_havoc(&mut self) {
        let sending = self.nodes.iter().any(|node| !node.is_done_sending());
        let long = self.context.now - palm_proto::Instant::ZERO > CHAOS_FOR;
        let unlucky = self.context.dice.chance(10);
        if long || !sending && unlucky {
            return self.calm_down();
        }
        if self.faults.restarts && self.context.dice.chance(60) {
            let back = self.context.now + self.context.dice.time(10, 3_000_000);
            self.restarts += 1;
            self.master.restart(&mut self.context, back);
        }
        match self.context.dice.between(0, 5) {
            0 if self.faults.workers => self.end_a_worker(),
            1 if self.faults.breaks => self.cut_a_worker_off(),
            2 if self.faults.hangs => self.hang_a_worker(),
            3 if self.faults.clients => self.trouble_a_client(),
            4 if self.faults.partitions => self.part_a_node(),
            5 if self.faults.intruders => self.let_somebody_in(),
            _ => {}
        }
        self.plan_chaos();
    }

    fn calm_down(&mut self) {
        let now = self.context.now;
        self.context.trace.note(now, "all is calm", &[]);
        self.context.calm = true;
        self.calm_since = now;
        for link in 0..self.context.network.count() {
            if self.context.network.link(link).parted {
                self.context.queue.push(now, Event::Heal(link));
            }
        }
        for (index, node) in self.nodes.iter_mut().enumerate() {
            match node {
                Node::Worker(worker) => worker.hang(&mut self.context, now),
                Node::NativeWorker(worker) => worker.hang(&mut self.context, now),
                Node::Client(_) | Node::NativeClient(_) | Node::Intruder(_) => {}
            }
            self.context.queue.push(now, Event::Wake(index));
        }
    }

    fn a_worker(&mut self) -> usize {
        let workers: Vec<_> = self.indices(|node| match node {
            Node::Worker(_) => true,
            Node::NativeWorker(worker) => !worker.gone,
            Node::Client(_) | Node::NativeClient(_) | Node::Intruder(_) => false,
        });
        self.context.dice.pick(&workers)
    }

    fn a_client(&mut self) -> usize {
        let clients = self.indices(|node| match node {
            Node::Client(client) => !client.gone,
            Node::NativeClient(client) => !client.gone,
            Node::Worker(_) | Node::NativeWorker(_) | Node::Intruder(_) => false,
        });
        if clients.is_empty() { usize::MAX } else { self.context.dice.pick(&clients) }
    }

    fn indices(&self, which: impl Fn(&Node) -> bool) -> Vec<usize> {
        self.nodes.iter().enumerate().filter(|(_, node)| which(node)).map(|(index, _)| index).collect()
    }

    fn end_a_worker(&mut self) {
        let index = self.a_worker();
        let others = self.indices(|node| match node {
            Node::Worker(_) => true,
            Node::NativeWorker(worker) => !worker.gone,
            Node::Client(_) | Node::NativeClient(_) | Node::Intruder(_) => false,
        });
        let context = &mut self.context;
        match self.nodes.get_mut(index) {
            Some(Node::Worker(worker)) => {
                if context.dice.chance(300) && worker.stop(context) {
                    return;
                }
                let back = context.now + context.dice.time(1_000, 3_000_000);
                worker.die(context, back);
            }
            Some(Node::NativeWorker(worker)) => {
                if context.dice.chance(300) {
                    return worker.stop(context);
                }
                let for_good = others.len() > 1 && context.dice.chance(100);
                let back = (!for_good).then(|| context.now + context.dice.time(1_000, 3_000_000));
                worker.die(context, back);
            }
            _ => return,
        }
        self.deaths += 1;
    }

    fn cut_a_worker_off(&mut self) {
        let index = self.a_worker();
        let context = &mut self.context;
        let now = context.now;
        let worker = match self.nodes.get_mut(index) {
            Some(Node::Worker(worker)) => worker,
            Some(Node::NativeWorker(worker)) => {
                for link in worker.links() {
                    context.trace.note(now, "connection {} of native worker {} breaks", &[link as u64, index as u64]);
                    context.network.cut(&mut context.queue, &mut context.dice, now, link);
                }
                return;
            }
            _ => return,
        };
        // Without a lease nobody notices that a result was lost with a connection that carries results only.
        let alone = self.lease && context.dice.chance(500);
        let only = alone.then(|| context.dice.pick(&[0, 1]));
        for (position, link) in worker.links().into_iter().enumerate() {
            if only.is_none_or(|only| only == position) {
                context.trace.note(now, "connection {} of worker {} breaks", &[link as u64, index as u64]);
                context.network.cut(&mut context.queue, &mut context.dice, now, link);
            }
        }
    }

    fn hang_a_worker(&mut self) {
        let index = self.a_worker();
        let until = self.context.now + self.context.dice.time(100_000, 60_000_000);
        match self.nodes.get_mut(index) {
            Some(Node::Worker(worker)) => worker.hang(&mut self.context, until),
            Some(Node::NativeWorker(worker)) => worker.hang(&mut self.context, until),
            _ => {}
        }
    }

    fn trouble_a_client(&mut self) {
        let index = self.a_client();
        let context = &mut self.context;
        let now = context.now;
        let client = match self.nodes.get_mut(index) {
            Some(Node::Client(client)) => client,
            Some(Node::NativeClient(client)) => {
                if self.faults.leaving && context.dice.chance(100) {
                    client.leave(context);
                    self.leaving = true;
                } else if context.dice.chance(300) {
                    let most = if self.faults.absence { 100_000_000 } else { 20_000_000 };
                    let until = now + context.dice.time(10_000, most);
                    client.go_away(context, until);
                } else {
                    for link in client.links() {
                        let numbers = [link as u64, index as u64];
                        context.trace.note(now, "connection {} of native client {} breaks", &numbers);
                        context.network.cut(&mut context.queue, &mut context.dice, now, link);
                    }
                }
                return;
            }
            _ => return,
        };
        if self.faults.leaving && context.dice.chance(100) {
            client.leave(context);
            self.leaving = true;
            return;
        }
        if context.dice.chance(200) {
            return client.call_again(context);
        }
        let links = client.links();
        if !links.is_empty() {
            let link = context.dice.pick(&links);
            context.trace.note(now, "connection {} of client {} breaks", &[link as u64, index as u64]);
            context.network.cut(&mut context.queue, &mut context.dice, now, link);
        }
    }

    /// A peer's connections carry nothing for a while.
    fn part_a_node(&mut self) {
        let index = self.context.dice.between(0, self.nodes.len() - 1);
        let context = &mut self.context;
        let links = match &mut self.nodes[index] {
            Node::Client(client) => client.links(),
            // Short enough that nobody notices, unless what gets lost is noticed by the lease.
            Node::Worker(worker) => worker.links(),
            Node::NativeClient(client) => client.links(),
            Node::NativeWorker(worker) => worker.links(),
            Node::Intruder(_) => return,
        };
        let is_worker = matches!(self.nodes[index], Node::Worker(_));
        let most = if is_worker && !self.lease { 400_000 } else { 20_000_000 };
        let heals = context.now + context.dice.time(10_000, most);
        for link in links {
            context.trace.note(context.now, "connection {} of peer {} carries nothing", &[link as u64, index as u64]);
            context.network.part(link);
            context.queue.push(heals, Event::Heal(link));
        }
        if let Node::Client(client) = &mut self.nodes[index]
            && context.dice.chance(300)
        {
            client.call_again(context);
        }
    }

    fn let_somebody_in(&mut self) {
        let context = &mut self.context;
        let service = context.dice.pick(&Service::ZEROMQ);
        let manner = context.dice.pick(&Manner::ALL);
        let service = manner.service().unwrap_or(service);
        // A stranger's subscription could be one to everybody's results.
        let manner = if service == Service::Publish && manner == Manner::Rubbish { Manner::Silence } else { manner };
        let line = Line {
            latency: context.dice.time(10, 50_000),
            speed: context.dice.spread(1_000, 1_000_000),
            buffer: context.dice.spread(1 << 10, 1 << 20),
        };
        let me = self.nodes.len();
        let intruder = IntruderNode::new(context, me, service, manner, line);
        self.nodes.push(Node::Intruder(intruder));
    }
}
