//! What workers answer, and what is given up.

use palm_proto::master::MESSAGE_OVERHEAD;
use palm_proto::{MessageWriter, Status};

use super::{Content, Model, Standing, Taken, Task};

impl Model {
    /// Whether who answers under an identity may have a task, as this attempt.
    fn may_be_answered(&self, number: usize, attempt: u32, by: u8) -> bool {
        let last = self.tasks[&number].attempt;
        if attempt == last
            && self.is_sent(number)
            && let Some(holder) = self.holder_of(number)
        {
            let (identity, answers) = self.workers[&holder].holder;
            return by == identity || by == 0 && !answers;
        }
        attempt <= last
    }

    pub(crate) fn may_answer(&self, len: usize) -> bool {
        self.full() == 0 || self.room() > 0 && len as u64 + MESSAGE_OVERHEAD <= self.free()
    }

    /// Whether it is taken.
    pub(crate) fn answer(&mut self, content: Content, len: usize, of: Option<(usize, u32)>, by: u8) -> bool {
        let handed_back = content.status == Status::HandedBack;
        let live = of.filter(|(number, _)| self.tasks.contains_key(number));
        if let Some((number, attempt)) = live
            && !self.may_be_answered(number, attempt, by)
        {
            self.counters.disbelieved += 1;
            return true;
        }
        if handed_back {
            match live {
                Some((number, attempt)) if self.tasks[&number].attempt == attempt && self.is_sent(number) => {
                    self.counters.handed_back += 1;
                    let holder = self.holder_of(number).expect("who was sent it");
                    self.hand_back(number, holder);
                    self.dispatch();
                }
                _ => self.counters.duplicates += 1,
            }
            return true;
        }
        if let Some((number, attempt)) = live {
            self.counters.answered += 1;
            self.complete(number, attempt, content, len);
            self.dispatch();
            return true;
        }
        if let Some((number, attempt)) = of
            && let Some(&(_, accepted, taken)) = self.finished.iter().find(|(other, ..)| *other == number)
            && accepted != attempt
        {
            self.counters.duplicates += 1;
            self.resume(number, attempt, taken);
            return true;
        }
        if self.room() == 0 || !self.may_take_stray(len) {
            return false;
        }
        *(if of.is_some() { &mut self.counters.additional } else { &mut self.counters.unmatched }) += 1;
        self.publish(content, len, None);
        true
    }

    pub(super) fn hand_back(&mut self, number: usize, holder: usize) {
        let worker = self.workers.get_mut(&holder).unwrap();
        worker.draining = true;
        worker.window = worker.window.saturating_sub(1);
        self.unassign(number);
        self.put_back(number);
    }

    /// The answer to a message that a worker says it has, or a part of it: its content, and whether it is the last. Whether it is
    /// taken.
    pub(crate) fn answer_in_place(
        &mut self,
        id: usize,
        (number, attempt): (usize, u32),
        content: Content,
        last: bool,
    ) -> bool {
        self.heard_of(id);
        let part = !last && content.status == Status::Done;
        let has_it = self.workers[&id].tasks.contains(&number) && self.tasks[&number].attempt == attempt;
        if has_it && content.status == Status::HandedBack {
            self.counters.handed_back += 1;
            self.hand_back(number, id);
        } else if has_it && part {
            if self.room() == 0 && self.full() > 0 {
                return false;
            }
            let worker = self.workers.get_mut(&id).unwrap();
            worker.head_since = self.now;
            self.leases.retain(|&other| other != id);
            self.leases.push(id);
            if self.room() == 0 {
                self.counters.duplicates += 1;
            } else {
                self.counters.partials += 1;
                let (bare, sender) = (self.tasks[&number].bare, self.tasks[&number].sender);
                let len = bare + 2 + content.payload.len() + 3;
                self.publish(content, len, Some(sender));
            }
        } else if self.tasks.contains_key(&number) && !part && content.status != Status::HandedBack {
            let len = self.tasks[&number].bare
                + match content.status {
                    Status::Done => 2 + content.payload.len(),
                    _ => 3 + 3 + 3 + "why".len(),
                };
            self.counters.answered += 1;
            self.complete(number, attempt, content, len);
        } else {
            self.counters.duplicates += 1;
            if content.status == Status::HandedBack {
                self.workers.get_mut(&id).unwrap().draining = true;
                self.settle(id);
            }
        }
        self.dispatch();
        true
    }

    pub(super) fn complete(&mut self, number: usize, attempt: u32, content: Content, len: usize) {
        let task = self.take_out(number, attempt);
        self.publish(content, len, Some(task.sender));
        self.uncount(&task);
        if attempt != 0 {
            self.resume(number, attempt, task.taken);
        }
    }

    /// Whether it was there.
    pub(crate) fn forget_task(&mut self, number: usize) -> bool {
        let live = self.tasks.contains_key(&number);
        if live {
            self.counters.cancelled += 1;
            let task = self.take_out(number, 0);
            self.uncount(&task);
            self.dispatch();
        }
        live
    }

    fn uncount(&mut self, task: &Task) {
        self.count(Some(task.sender), task.len, -1);
        self.senders[task.sender].tasks -= 1;
    }

    fn take_out(&mut self, number: usize, attempt: u32) -> Task {
        if self.is_queued(number) {
            self.dequeue(number, false);
        }
        let of_last = self.tasks[&number].attempt == attempt;
        if let Some(worker) = self.holder_of(number).and_then(|holder| self.workers.get_mut(&holder))
            && worker.tasks[..worker.sent].contains(&number)
        {
            worker.in_vain = if of_last { 0 } else { worker.in_vain + 1 };
            if !of_last {
                self.revoked.push((number, self.tasks[&number].attempt));
            }
        }
        self.unassign(number);
        let task = self.tasks.remove(&number).unwrap();
        if task.attempt > 1 || attempt != 1 && task.attempt != 0 {
            if self.finished.len() == self.capacities.finished {
                self.finished.pop_front();
            }
            self.finished.push_back((number, attempt, task.taken));
        }
        task
    }

    pub(super) fn give_up(&mut self, number: usize, status: Status, text: &str) {
        let client = self.tasks[&number].content.client;
        let mut wire = heapless::Vec::<u8, 512>::new();
        let mut writer = MessageWriter::new(&mut wire);
        writer.client(client).function("s.f").payload(b"0").status(status).error(text).finish().unwrap();
        let content = Content { client, payload: b"0".to_vec(), status, partial: false };
        self.complete(number, 0, content, wire.len());
    }

    pub(super) fn resume(&mut self, number: usize, attempt: u32, taken: Option<Taken>) {
        let known = taken.filter(|&(id, of)| of == attempt && self.suspects.contains(&id)).map(|(id, _)| id);
        let awaits = |id: &&usize| self.workers[*id].awaited == Some((number, attempt));
        let Some(id) = known.or_else(|| self.suspects.iter().find(awaits).copied()) else { return };
        self.trust(id);
        self.dispatch();
    }

    pub(super) fn trust(&mut self, id: usize) {
        self.suspects.retain(|&other| other != id);
        let worker = self.workers.get_mut(&id).unwrap();
        if worker.standing == Standing::Suspended {
            self.leases.retain(|&other| other != id);
        }
        (worker.standing, worker.awaited) = (Standing::Good, None);
        self.settle(id);
    }
}
