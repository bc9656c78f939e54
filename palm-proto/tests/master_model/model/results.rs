//! Results, and who takes them.

use palm_proto::Instant;
use palm_proto::master::MESSAGE_OVERHEAD;

use super::{Content, Delivery, Model, Subscriber};

impl Model {
    pub(super) fn publish(&mut self, content: Content, len: usize, sender: Option<usize>) {
        let mut spare = self.room().saturating_sub(1);
        let targets = self.targets(content.client);
        let publication = self.delivery_count;
        for &target in targets.iter().skip(1) {
            if spare == 0 {
                self.counters.copies_dropped += 1;
            } else {
                spare -= 1;
                self.keep(content.clone(), len, sender, Some(target), publication);
            }
        }
        self.keep(content, len, sender, targets.first().copied(), publication);
    }

    pub(super) fn keep(
        &mut self,
        content: Content,
        len: usize,
        sender: Option<usize>,
        holder: Option<usize>,
        publication: usize,
    ) {
        let (id, since) = (self.delivery_count, self.now);
        self.delivery_count += 1;
        self.deliveries.push(Delivery { id, content, len, sender, since, holder, taken: false, publication });
        self.count(sender, len, 1);
        let bytes = len as u64 + MESSAGE_OVERHEAD;
        match sender.map(|sender| &mut self.senders[sender]) {
            Some(account) => {
                account.result_bytes += bytes;
                let before = account.result_size;
                account.result_size = if before == 0 { bytes } else { (before * 7 + bytes) / 8 };
            }
            None => self.stray += bytes,
        }
        match holder {
            Some(holder) => self.enqueue(id, holder, since),
            None => self.waiting.push(id),
        }
    }

    pub(super) fn enqueue(&mut self, delivery: usize, holder: usize, at: Instant) {
        let subscriber = self.subscribers.get_mut(&holder).unwrap();
        if subscriber.queue.is_empty() {
            subscriber.last_taken = at;
        }
        subscriber.queue.push(delivery);
    }

    /// Who is to have results of a topic: those with the shortest prefix first, then those who asked first.
    pub(super) fn targets(&self, topic: &str) -> Vec<usize> {
        let mut matching: Vec<_> = self.subscriptions.iter().filter(|entry| topic.starts_with(entry.0)).collect();
        matching.sort_by_key(|entry| entry.0.len());
        let mut targets = Vec::new();
        for entry in matching {
            if !targets.contains(&entry.1) {
                targets.push(entry.1);
            }
        }
        targets
    }

    pub(crate) fn add_subscriber(&mut self) -> Option<usize> {
        (self.subscribers.len() < self.capacities.peers).then(|| {
            let subscriber = Subscriber { queue: Vec::new(), last_taken: self.now };
            self.subscribers.insert(self.subscriber_count, subscriber);
            self.subscriber_count += 1;
            self.subscriber_count - 1
        })
    }

    pub(crate) fn remove_subscriber(&mut self, id: usize) {
        self.subscriptions.retain(|entry| entry.1 != id);
        let last_taken = self.subscribers[&id].last_taken;
        for delivery in std::mem::take(&mut self.subscribers.get_mut(&id).unwrap().queue) {
            let mut position = self.deliveries.iter().position(|other| other.id == delivery).unwrap();
            if last_taken > self.deliveries[position].since {
                let renewed = self.deliveries.remove(position);
                self.deliveries.push(Delivery { since: last_taken, ..renewed });
                position = self.deliveries.len() - 1;
            }
            let entry = self.deliveries[position].clone();
            let same = |other: &Delivery| other.publication == entry.publication && other.id != entry.id;
            if entry.taken || self.deliveries.iter().any(same) {
                self.forget(position);
                continue;
            }
            let target = self.targets(entry.content.client).first().copied();
            self.deliveries[position].holder = target;
            match target {
                Some(target) => self.enqueue(delivery, target, entry.since),
                None => self.waiting.push(delivery),
            }
        }
        self.subscribers.remove(&id);
    }

    pub(super) fn forget(&mut self, position: usize) -> Delivery {
        let entry = self.deliveries.remove(position);
        self.waiting.retain(|&other| other != entry.id);
        self.count(entry.sender, entry.len, -1);
        let bytes = entry.len as u64 + MESSAGE_OVERHEAD;
        match entry.sender {
            Some(sender) => self.senders[sender].result_bytes -= bytes,
            None => self.stray -= bytes,
        }
        entry
    }

    /// Whether there is room for it.
    pub(crate) fn subscribe(&mut self, id: usize, prefix: &'static str) -> bool {
        if let Some(known) = self.subscriptions.iter_mut().find(|entry| (entry.0, entry.1) == (prefix, id)) {
            known.2 += 1;
            return true;
        }
        if self.subscriptions.len() == self.capacities.subscriptions {
            return false;
        }
        self.subscriptions.push((prefix, id, 1));
        for delivery in std::mem::take(&mut self.waiting) {
            let entry = self.deliveries.iter_mut().find(|entry| entry.id == delivery).unwrap();
            if entry.content.client.starts_with(prefix) {
                entry.holder = Some(id);
                self.enqueue(delivery, id, self.now);
            } else {
                self.waiting.push(delivery);
            }
        }
        true
    }

    pub(crate) fn cancel(&mut self, id: usize, prefix: &str) {
        if let Some(position) = self.subscriptions.iter().position(|entry| (entry.0, entry.1) == (prefix, id)) {
            self.subscriptions[position].2 -= 1;
            if self.subscriptions[position].2 == 0 {
                self.subscriptions.remove(position);
            }
        }
    }

    pub(crate) fn has_result(&self, id: usize) -> bool {
        !self.subscribers[&id].queue.is_empty()
    }

    /// A subscriber was given `content`, or nothing. Whether that is right: the results of a topic come in order.
    pub(crate) fn take_result(&mut self, id: usize, content: Option<&Content>) -> bool {
        let subscriber = self.subscribers.get_mut(&id).unwrap();
        subscriber.last_taken = self.now;
        let Some(content) = content else { return subscriber.queue.is_empty() };
        let place = |delivery: &usize| self.deliveries.iter().position(|entry| entry.id == *delivery).unwrap();
        let of_topic = |delivery: &usize| self.deliveries[place(delivery)].content.client == content.client;
        let Some(first) = subscriber.queue.iter().position(of_topic) else { return false };
        let position = place(&subscriber.queue.remove(first));
        let entry = self.forget(position);
        for other in &mut self.deliveries {
            other.taken |= other.publication == entry.publication;
        }
        self.counters.delivered += 1;
        if !self.held_back.is_empty() || !self.apart.is_empty() {
            self.dispatch();
        }
        entry.content == *content
    }
}
