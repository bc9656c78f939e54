//! Results, and who takes them.

use palm_proto::Instant;
use palm_proto::master::MESSAGE_OVERHEAD;

use super::{Content, Delivery, Model, Rank, Subscriber};

impl Model {
    pub(super) fn publish(&mut self, content: Content, len: usize, sender: Option<usize>) {
        let mut spare = self.room().saturating_sub(1);
        let targets = self.targets(content.client);
        let publication = self.delivery_count;
        let Some((&(first, exact), rest)) = targets.split_first() else {
            self.keep(content, len, sender, None, publication);
            return;
        };
        let first = self.keep(content.clone(), len, sender, Some(first), publication);
        if !exact {
            self.waiting.push(first);
        }
        for &(target, is_exact) in rest {
            if !is_exact {
                if !self.has_room_for_extra(sender, len) {
                    self.counters.copies_dropped += 1;
                    continue;
                }
                let extra = self.add(content.clone(), len, sender, Some(target), self.delivery_count, Rank::Extra);
                self.entry(extra).of = (!exact).then_some(first);
                self.extras.push(extra);
                self.enqueue(extra, target, self.now);
            } else if spare == 0 {
                self.counters.copies_dropped += 1;
            } else {
                spare -= 1;
                self.keep(content.clone(), len, sender, Some(target), publication);
            }
        }
    }

    /// Adds a delivery that stays.
    fn keep(
        &mut self,
        content: Content,
        len: usize,
        sender: Option<usize>,
        holder: Option<usize>,
        publication: usize,
    ) -> usize {
        self.charge(sender, len);
        let bytes = len as u64 + MESSAGE_OVERHEAD;
        if let Some(account) = sender.map(|sender| &mut self.senders[sender]) {
            let before = account.result_size;
            account.result_size = if before == 0 { bytes } else { (before * 7 + bytes) / 8 };
        }
        self.make_room();
        let id = self.add(content, len, sender, holder, publication, Rank::Full);
        match holder {
            Some(holder) => self.enqueue(id, holder, self.now),
            None => self.waiting.push(id),
        }
        id
    }

    fn add(
        &mut self,
        content: Content,
        len: usize,
        sender: Option<usize>,
        holder: Option<usize>,
        publication: usize,
        rank: Rank,
    ) -> usize {
        let (id, since, last_taken) = (self.delivery_count, self.now, Instant::ZERO);
        self.delivery_count += 1;
        let (taken, of) = (false, None);
        let entry = Delivery { id, content, len, sender, since, last_taken, holder, rank, taken, publication, of };
        self.deliveries.push(entry);
        id
    }

    /// A result is on its sender's account.
    fn charge(&mut self, sender: Option<usize>, len: usize) {
        self.count(sender, len, 1);
        let bytes = len as u64 + MESSAGE_OVERHEAD;
        match sender {
            Some(sender) => self.senders[sender].result_bytes += bytes,
            None => self.stray += bytes,
        }
    }

    pub(super) fn let_go(&mut self, sender: Option<usize>, len: usize) {
        self.count(sender, len, -1);
        let bytes = len as u64 + MESSAGE_OVERHEAD;
        match sender {
            Some(sender) => self.senders[sender].result_bytes -= bytes,
            None => self.stray -= bytes,
        }
    }

    pub(super) fn entry(&mut self, id: usize) -> &mut Delivery {
        self.deliveries.iter_mut().find(|entry| entry.id == id).unwrap()
    }

    fn enqueue(&mut self, delivery: usize, holder: usize, at: Instant) {
        let subscriber = self.subscribers.get_mut(&holder).unwrap();
        if subscriber.queue.is_empty() && subscriber.claimed.is_empty() {
            subscriber.last_taken = at;
        }
        subscriber.queue.push(delivery);
    }

    /// Who is to have results of a topic, and whether it asked for just that: those with the longest prefix first, then those who
    /// asked first.
    fn targets(&self, topic: &str) -> Vec<(usize, bool)> {
        let mut matching: Vec<_> = self.subscriptions.iter().filter(|entry| topic.starts_with(entry.0)).collect();
        matching.sort_by_key(|entry| std::cmp::Reverse(entry.0.len()));
        let mut targets: Vec<(usize, bool)> = Vec::new();
        for entry in matching {
            if !targets.iter().any(|target| target.0 == entry.1) {
                targets.push((entry.1, entry.0 == topic));
            }
        }
        targets
    }

    pub(crate) fn add_subscriber(&mut self) -> Option<usize> {
        (self.subscribers.len() < self.capacities.peers).then(|| {
            let subscriber = Subscriber { claimed: Vec::new(), queue: Vec::new(), last_taken: self.now };
            self.subscribers.insert(self.subscriber_count, subscriber);
            self.subscriber_count += 1;
            self.subscriber_count - 1
        })
    }

    pub(crate) fn remove_subscriber(&mut self, id: usize) {
        self.subscriptions.retain(|entry| entry.1 != id);
        while let Some(&first) = self.subscribers[&id].claimed.first() {
            let topic = self.entry(first).content.client;
            self.release(id, topic);
        }
        let last_taken = self.subscribers[&id].last_taken;
        for delivery in self.subscribers[&id].queue.clone() {
            let mut position = self.deliveries.iter().position(|other| other.id == delivery).unwrap();
            if last_taken > self.deliveries[position].since {
                let renewed = self.deliveries.remove(position);
                self.deliveries.push(Delivery { since: last_taken, ..renewed });
                position = self.deliveries.len() - 1;
            }
            let entry = self.deliveries[position].clone();
            let same = |other: &Delivery| other.publication == entry.publication && other.id != entry.id;
            if self.waiting.contains(&delivery)
                || self.subscribers.values().any(|subscriber| subscriber.claimed.contains(&delivery))
            {
                self.deliveries[position].holder = None;
                continue;
            }
            if entry.rank == Rank::Extra || entry.taken || self.deliveries.iter().any(same) {
                self.forget(position);
                continue;
            }
            self.subscribers.get_mut(&id).unwrap().queue.retain(|&other| other != delivery);
            let target = self.targets(entry.content.client).first().copied().filter(|target| target.1);
            self.deliveries[position].holder = target.map(|target| target.0);
            match target {
                Some((target, _)) => self.enqueue(delivery, target, entry.since),
                None => self.waiting.push(delivery),
            }
        }
        self.subscribers.remove(&id);
    }

    /// Takes a delivery out, wherever it is.
    pub(super) fn forget(&mut self, position: usize) -> Delivery {
        let entry = self.deliveries.remove(position);
        self.waiting.retain(|&other| other != entry.id);
        self.kept.retain(|&other| other != entry.id);
        self.extras.retain(|&other| other != entry.id);
        for subscriber in self.subscribers.values_mut() {
            subscriber.queue.retain(|&other| other != entry.id);
            subscriber.claimed.retain(|&other| other != entry.id);
        }
        if entry.rank == Rank::Full {
            self.let_go(entry.sender, entry.len);
        }
        entry
    }

    /// Whether there is room for it.
    pub(crate) fn subscribe(&mut self, id: usize, prefix: &'static str) -> bool {
        if let Some(known) = self.subscriptions.iter_mut().find(|entry| (entry.0, entry.1) == (prefix, id)) {
            known.2 += 1;
            return true;
        }
        let own = self.subscriptions.iter().filter(|entry| entry.1 == id).count();
        let (most, peers) = (self.capacities.subscriptions, self.capacities.peers);
        let subscribed = self.subscribers.keys().filter(|&&id| self.subscriptions.iter().any(|entry| entry.1 == id));
        let reserved = if most > peers { peers - subscribed.count() } else { 0 };
        let free = most - self.subscriptions.len();
        if free == 0 || own > 0 && own >= free.saturating_sub(reserved) {
            return false;
        }
        self.subscriptions.push((prefix, id, 1));
        self.take_over(id, prefix, self.now);
        true
    }

    /// Gives what waits under a topic to one who has subscribed to just that.
    fn take_over(&mut self, id: usize, topic: &str, at: Instant) {
        for delivery in std::mem::take(&mut self.waiting) {
            if self.entry(delivery).content.client != topic {
                self.waiting.push(delivery);
                continue;
            }
            let subscriber = self.subscribers.get_mut(&id).unwrap();
            if subscriber.queue.is_empty() && subscriber.claimed.is_empty() {
                subscriber.last_taken = at;
            }
            subscriber.claimed.push(delivery);
        }
    }

    /// What had waited under a topic waits again, or goes to another who has subscribed to that.
    fn release(&mut self, id: usize, topic: &str) {
        let last_taken = self.subscribers[&id].last_taken;
        for delivery in std::mem::take(&mut self.subscribers.get_mut(&id).unwrap().claimed) {
            let entry = self.entry(delivery);
            if entry.content.client != topic {
                self.subscribers.get_mut(&id).unwrap().claimed.push(delivery);
                continue;
            }
            entry.last_taken = last_taken.max(entry.last_taken);
            self.waiting.push(delivery);
        }
        if let Some(&(other, true)) = self.targets(topic).first() {
            self.take_over(other, topic, last_taken);
        }
    }

    pub(crate) fn cancel(&mut self, id: usize, prefix: &str) {
        if let Some(position) = self.subscriptions.iter().position(|entry| (entry.0, entry.1) == (prefix, id)) {
            self.subscriptions[position].2 -= 1;
            if self.subscriptions[position].2 == 0 {
                self.subscriptions.remove(position);
                self.release(id, prefix);
            }
        }
    }

    pub(crate) fn has_result(&self, id: usize) -> bool {
        let subscriber = &self.subscribers[&id];
        !subscriber.queue.is_empty() || !subscriber.claimed.is_empty()
    }

    /// A subscriber was given `content`, or nothing. Whether that is right: the results of a topic come in order.
    pub(crate) fn take_result(&mut self, id: usize, content: Option<&Content>) -> bool {
        let has_any = self.has_result(id);
        let subscriber = self.subscribers.get_mut(&id).unwrap();
        subscriber.last_taken = self.now;
        let Some(content) = content else { return !has_any };
        let (claimed, queue) = (subscriber.claimed.clone(), subscriber.queue.clone());
        let place = |delivery: &usize| self.deliveries.iter().position(|entry| entry.id == *delivery).unwrap();
        let of_topic = |delivery: &&usize| self.deliveries[place(delivery)].content.client == content.client;
        let Some(&first) = claimed.iter().chain(&queue).find(of_topic) else { return false };
        let entry = self.deliveries[place(&first)].clone();
        let waits = self.waiting.contains(&first)
            || self.subscribers.iter().any(|(&other, subscriber)| other != id && subscriber.claimed.contains(&first));
        if let Some(of) = entry.of
            && self.deliveries.iter().any(|other| other.id == of && other.rank == Rank::Full)
            && (self.waiting.contains(&of)
                || self.subscribers.values().any(|subscriber| subscriber.claimed.contains(&of)))
        {
            self.make_spare(of, Rank::Kept);
        }
        let subscriber = self.subscribers.get_mut(&id).unwrap();
        if waits {
            subscriber.queue.retain(|&other| other != first);
            self.entry(first).holder = None;
            self.make_spare(first, Rank::Kept);
        } else if claimed.contains(&first) && entry.holder.is_some_and(|holder| holder != id) {
            subscriber.claimed.retain(|&other| other != first);
            self.make_spare(first, Rank::Extra);
        } else {
            let position = self.deliveries.iter().position(|entry| entry.id == first).unwrap();
            self.forget(position);
        }
        for other in &mut self.deliveries {
            other.taken |= other.publication == entry.publication;
        }
        self.make_room();
        self.counters.delivered += 1;
        if !self.held_back.is_empty() || !self.apart.is_empty() {
            self.dispatch();
        }
        entry.content == *content
    }
}
