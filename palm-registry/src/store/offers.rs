//! Nodes that ask a cluster for what they are to run: of many at once, all that wait are placed by one change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Changed, ClusterRow, Store, StoreError};
use crate::plan::{NodeOffer, Plan};

/// Who changes which cluster, and who waits for it, in this registry. Another at the same store may change it too.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<String, Arc<Turn>>>>);

#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Held by who changes the cluster.
    pub(super) taken: tokio::sync::Mutex<()>,
    offers: Mutex<Vec<NodeOffer>>,
}

impl Turns {
    /// That of a cluster. Those that nobody has are forgotten.
    pub(super) fn of(&self, cluster: &str) -> Arc<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|name, turn| name == cluster || Arc::strong_count(turn) > 1);
        turns.entry(cluster.to_owned()).or_default().clone()
    }
}

impl Turn {
    fn offer(&self, offer: NodeOffer) {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner).push(offer);
    }

    fn take_offers(&self) -> Vec<NodeOffer> {
        std::mem::take(&mut self.offers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store {
    /// The plan of a cluster after a node has asked, which is kept if it is another.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn offer(&self, row: ClusterRow, offer: &NodeOffer) -> Result<Changed<Arc<Plan>>, StoreError> {
        if row.plan.is_settled(offer) {
            return Ok(Changed::Yes(row.plan));
        }
        let turn = self.turns.of(&row.key);
        turn.offer(offer.clone());
        let _taken = turn.taken.lock().await;
        let Some(row) = self.cluster(&row.key).await? else { return Ok(Changed::Gone) };
        // Whoever was before may have placed this one along.
        if row.plan.is_settled(offer) {
            return Ok(Changed::Yes(row.plan));
        }
        let mut offers = turn.take_offers();
        // What others have taken along and could not keep is not lost.
        if !offers.contains(offer) {
            offers.push(offer.clone());
        }
        let key = row.key.clone();
        let place = move |row: &mut ClusterRow| {
            for offer in &offers {
                row.plan_mut().offer(offer.clone());
            }
            Ok(row.plan.clone())
        };
        self.change_in_turn(&key, place).await
    }
}
