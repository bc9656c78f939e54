//! Messages, and the workers that have them.

use std::time::Duration;

use palm_proto::{Instant, Status};

use super::{Content, Model, Standing, Submitted, Task, Worker};

impl Model {
    /// Whether there is room for a message.
    pub(crate) fn may_take(&self) -> bool {
        self.room() > 1 && self.tasks.len() < self.capacities.tasks
    }

    /// Takes a message in that the master calls `name`. A worker may have it already, as some attempt.
    pub(crate) fn submit(&mut self, message: Submitted, name: u64, held: Option<(usize, u32)>) -> usize {
        let Submitted { sender, content, len, bare, deadline, priority, forged } = message;
        let deadline = deadline.map(|millis| self.now + Duration::from_millis(millis));
        let (attempt, taken, losses, spent, apart) = (0, None, 0, false, false);
        let task = Task { content, len, bare, sender, deadline, priority, name, attempt, taken, losses, spent, apart };
        let number = self.task_count;
        self.tasks.insert(number, task);
        self.task_count += 1;
        self.count(Some(sender), len, 1);
        self.senders[sender].tasks += 1;
        self.counters.submitted += 1;
        self.counters.unmarked += u64::from(forged);
        self.make_room();
        let late = deadline.is_some_and(|deadline| deadline <= self.now);
        match held {
            Some((worker, attempt)) => self.hold(number, worker, attempt),
            None => self.enqueue_task(number),
        }
        if late {
            self.exceed(number);
        }
        self.dispatch();
        number
    }

    /// A worker has a message that is queued, or that no other has been sent.
    pub(crate) fn claim(&mut self, number: usize, worker: usize, attempt: u32) -> bool {
        if self.tasks.get(&number).is_none_or(|task| task.attempt > attempt) {
            return false;
        }
        if self.is_queued(number) {
            self.dequeue(number, false);
        } else if self.is_sent(number) {
            return false;
        } else {
            self.unassign(number);
        }
        let task = self.tasks.get_mut(&number).unwrap();
        task.losses = task.losses.saturating_sub(1);
        (task.spent, task.apart) = (false, false);
        self.hold(number, worker, attempt);
        self.dispatch();
        true
    }

    pub(super) fn hold(&mut self, number: usize, id: usize, attempt: u32) {
        self.heard_of(id);
        self.tasks.get_mut(&number).unwrap().attempt = attempt;
        let worker = self.workers.get_mut(&id).unwrap();
        if worker.tasks.is_empty() {
            worker.head_since = self.now;
            self.leases.push(id);
        }
        worker.tasks.insert(worker.sent, number);
        worker.sent += 1;
        self.counters.claimed += 1;
        self.settle(id);
    }

    pub(super) fn heard_of(&mut self, id: usize) {
        self.workers.get_mut(&id).unwrap().in_vain = 0;
        self.settle(id);
        if self.workers[&id].standing != Standing::Good {
            self.trust(id);
        }
    }

    /// Whether it was there.
    pub(crate) fn cancel_task(&mut self, number: usize) -> bool {
        let live = self.tasks.contains_key(&number);
        if live {
            self.counters.cancelled += 1;
            self.give_up(number, Status::Cancelled, "its client wanted the message no more");
            self.dispatch();
        }
        live
    }

    pub(super) fn exceed(&mut self, number: usize) {
        self.counters.deadline_exceeded += 1;
        self.give_up(number, Status::DeadlineExceeded, "the deadline passed before the message was done");
    }

    /// A worker with a window of its own, or with as many jobs.
    pub(crate) fn add_worker(&mut self, jobs: u32, window: Option<u32>, holder: (u8, bool)) -> Option<usize> {
        if self.workers.len() == self.capacities.peers {
            return None;
        }
        let worker = Worker {
            holder,
            jobs: window.unwrap_or(jobs.max(1)) as usize,
            window: window.or(self.config.window).unwrap() as usize,
            in_vain: 0,
            tasks: Vec::new(),
            sent: 0,
            standing: Standing::Good,
            awaited: None,
            apart: false,
            draining: false,
            head_since: Instant::ZERO,
        };
        let id = self.worker_count;
        self.workers.insert(id, worker);
        self.worker_count += 1;
        self.settle(id);
        self.dispatch();
        Some(id)
    }

    /// Answers come from now on under an identity.
    pub(crate) fn expect_answers(&mut self, identity: u8) {
        for worker in self.workers.values_mut().filter(|worker| worker.holder.0 == identity) {
            worker.holder.1 = true;
        }
    }

    pub(crate) fn widen(&mut self, id: usize, more: u32) {
        let worker = self.workers.get_mut(&id).unwrap();
        worker.window += more as usize;
        worker.jobs = worker.jobs.max(worker.window);
        worker.draining = false;
        self.settle(id);
        self.dispatch();
    }

    pub(crate) fn remove_worker(&mut self, id: usize) {
        let held = self.take_back(id, false);
        self.workers.remove(&id);
        self.levels.iter_mut().for_each(|level| level.retain(|&other| other != id));
        self.leases.retain(|&other| other != id);
        self.suspects.retain(|&other| other != id);
        self.counters.workers_lost += u64::from(held > 0);
        self.counters.redispatched += held as u64;
        self.dispatch();
    }

    pub(crate) fn load(&self, worker: usize) -> usize {
        self.workers[&worker].tasks.len()
    }

    pub(crate) fn has_task(&self, worker: usize) -> bool {
        self.workers[&worker].sent < self.workers[&worker].tasks.len()
    }

    /// Task, attempt and message that a worker is sent next.
    pub(crate) fn take_task(&mut self, id: usize) -> Option<(usize, u32, Content)> {
        let worker = self.workers.get_mut(&id)?;
        let number = *worker.tasks.get(worker.sent)?;
        worker.sent += 1;
        let task = self.tasks.get_mut(&number)?;
        task.attempt += 1;
        if worker.standing == Standing::Tried {
            worker.awaited = Some((number, task.attempt));
        }
        self.counters.dispatched += 1;
        Some((number, task.attempt, task.content.clone()))
    }

    pub(super) fn dispatch(&mut self) {
        self.dispatched_at = self.now;
        if self.stopped {
            return;
        }
        self.revive();
        self.dispatch_apart();
        while let Some(number) = self.next_queued() {
            let Some(id) = self.next_worker() else { return };
            self.assign(number, id);
        }
    }

    fn dispatch_apart(&mut self) {
        while let Some(&number) = self.apart.front() {
            if self.tasks[&number].spent {
                self.counters.dead_letters += 1;
                let text = "every worker that was given the message was lost with it";
                self.give_up(number, Status::DeadLetter, text);
                continue;
            }
            let Some(id) = self.next_worker() else { return };
            if !self.workers[&id].tasks.is_empty() {
                if self.cleared.is_none() {
                    self.cleared = Some(id);
                    self.workers.get_mut(&id).unwrap().apart = true;
                    self.settle(id);
                }
                return;
            }
            if !self.may_dispatch(self.tasks[&number].sender) {
                return;
            }
            if self.assign(number, id) {
                self.workers.get_mut(&id).unwrap().apart = true;
                self.settle(id);
            }
        }
    }

    fn next_worker(&self) -> Option<usize> {
        self.levels.iter().find_map(|level| level.first()).copied()
    }

    /// Whether it was not too late for it.
    fn assign(&mut self, number: usize, id: usize) -> bool {
        if self.tasks[&number].deadline.is_some_and(|deadline| deadline <= self.now) {
            self.exceed(number);
            return false;
        }
        self.dequeue(number, true);
        let worker = self.workers.get_mut(&id).unwrap();
        if worker.tasks.is_empty() {
            worker.head_since = self.now;
            self.leases.push(id);
        }
        worker.tasks.push(number);
        self.settle(id);
        true
    }

    /// Puts a worker with credit at the end of those with as many messages, unless it is one of them already.
    pub(super) fn settle(&mut self, id: usize) {
        let worker = &self.workers[&id];
        let outstanding = worker.tasks.len();
        let window = match worker.standing {
            Standing::Good => worker.window,
            Standing::Tried => 1,
            Standing::Suspended => 0,
        };
        let load = outstanding + worker.in_vain;
        let level = if load < 8 { load } else { 5 + load.ilog2() as usize };
        let has_credit = !worker.draining && outstanding < window && (outstanding == 0 || !worker.apart);
        let level = has_credit.then_some(level);
        if level.is_some_and(|level| level < 8 && self.levels[level].contains(&id)) {
            return;
        }
        self.levels.iter_mut().for_each(|level| level.retain(|&other| other != id));
        if let Some(level) = level {
            self.levels[level].push(id);
        }
    }

    pub(super) fn holder_of(&self, number: usize) -> Option<usize> {
        self.workers.iter().find(|(_, worker)| worker.tasks.contains(&number)).map(|(&id, _)| id)
    }

    pub(super) fn is_sent(&self, number: usize) -> bool {
        self.workers.values().any(|worker| worker.tasks[..worker.sent].contains(&number))
    }

    pub(super) fn unassign(&mut self, number: usize) {
        let Some(id) = self.holder_of(number) else { return };
        let worker = self.workers.get_mut(&id).unwrap();
        let position = worker.tasks.iter().position(|&other| other == number).unwrap();
        worker.tasks.remove(position);
        worker.sent -= usize::from(position < worker.sent);
        if position == 0 {
            worker.head_since = self.now;
            self.leases.retain(|&other| other != id);
            if !worker.tasks.is_empty() {
                self.leases.push(id);
            } else if std::mem::take(&mut worker.apart) && self.cleared == Some(id) {
                self.cleared = None;
            }
        }
        self.settle(id);
    }

    pub(super) fn take_back(&mut self, id: usize, hangs: bool) -> usize {
        let worker = &self.workers[&id];
        let (tasks, sent, jobs) = (worker.tasks.clone(), worker.sent, worker.jobs);
        let attempts = self.config.attempts.max(1);
        if hangs {
            let sent = tasks[..sent].iter().map(|&number| (number, self.tasks[&number].attempt));
            self.revoked.extend(sent);
        }
        for (position, &number) in tasks.iter().enumerate().rev() {
            self.unassign(number);
            let task = self.tasks.get_mut(&number).unwrap();
            if position < sent {
                task.losses += 1;
                task.spent = task.losses >= attempts && position < jobs;
                task.apart = task.losses >= attempts.saturating_sub(1).max(1);
            }
            if position < sent && hangs {
                task.taken = Some((id, task.attempt));
            }
            self.put_back(number);
        }
        tasks.len()
    }
}
