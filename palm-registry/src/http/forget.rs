//! Removing nodes that have been silent for long.

use std::time::Duration;

use crate::store::{Deed, Store, StoreError, now};
use crate::wire::SILENT_AFTER;

/// How often it is looked which nodes are.
const PERIOD: Duration = Duration::from_secs(5);
/// Who is said to have done it. No user can have this name.
const ITSELF: &str = "(the registry)";

/// Removes nodes that have been silent for so long, for ever. What they ran is placed again.
///
/// Nodes are silent, too, when this registry, its machine or its store stood still. So it must have listened itself for as long first.
pub async fn forget_silent_nodes(store: Store, after: Duration) {
    let after = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
    let mut listening = Listening::since(now());
    loop {
        tokio::time::sleep(PERIOD).await;
        let now = now();
        if !listening.goes_on(now, after) {
            continue;
        }
        if let Err(error) = once(&store, now.saturating_sub(after), after).await {
            tracing::warn!("cannot forget silent nodes: {error}");
            listening = Listening::since(now);
        }
    }
}

/// Removes those that nothing was heard of since `instant`.
async fn once(store: &Store, instant: i64, after: i64) -> Result<(), StoreError> {
    for (cluster, node) in store.nodes_unheard_since(instant).await? {
        let seconds = after / 1_000_000;
        let deed = Deed {
            id: 0,
            at: 0,
            who: ITSELF.to_owned(),
            address: String::new(),
            what: "node removed".to_owned(),
            cluster: None,
            detail: format!("{node}, silent for {seconds} s"),
        };
        if store.forget_unheard_node(&cluster, &node, instant, &deed).await? {
            tracing::info!("the node {node} is removed: it was silent for {seconds} s");
        }
    }
    Ok(())
}

/// Since when this registry has listened without a break.
#[derive(Debug)]
struct Listening {
    since: i64,
    last: i64,
}

impl Listening {
    fn since(now: i64) -> Self {
        Self { since: now, last: now }
    }

    /// It listens still; whether it has for so long. It has not if it stood still since it was asked last, or the clock was set.
    fn goes_on(&mut self, now: i64, long: i64) -> bool {
        let most = i64::try_from(PERIOD.as_micros()).unwrap_or(i64::MAX) + SILENT_AFTER;
        if !(0..=most).contains(&(now - self.last)) {
            self.since = now;
        }
        self.last = now;
        now - self.since >= long
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::cluster::Cluster;
    use crate::plan::NodeOffer;
    use crate::store::ClusterRow;
    use crate::wire::Sync;

    #[test]
    fn who_stood_still_has_not_listened() {
        let mut listening = Listening::since(0);
        let second = 1_000_000;
        assert!(!listening.goes_on(5 * second, 10 * second));
        assert!(listening.goes_on(10 * second, 10 * second));
        assert!(!listening.goes_on(60 * second, 10 * second), "its machine slept");
        assert!(!listening.goes_on(65 * second, 10 * second));
        assert!(listening.goes_on(70 * second, 10 * second));
        assert!(!listening.goes_on(20 * second, 10 * second), "the clock was set back");
    }

    #[tokio::test]
    async fn a_silent_node_is_removed_and_what_it_ran_is_placed_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store.db").to_str().unwrap()).await.unwrap();
        let user = store.add_user("ann", false).await.unwrap().unwrap();
        let text = "[A]\nScript = a\n";
        let row = ClusterRow::new("key".into(), &user, None, text.into(), Cluster::from_ini(text).unwrap());
        store.add_cluster(&row).await.unwrap();
        let offer = |name: &str| NodeOffer { name: name.into(), ip: "h".into(), processors: 4, ports_from: 1 };
        let say = async |name: &str, leaving| {
            let said = Sync { node: offer(name), run: Uuid::new_v4(), processes: vec![], leaving };
            store.hear("key", &said).await.unwrap();
            let asked = offer(name);
            let offered = store.change_cluster("key", move |row| {
                row.plan_mut().offer(asked.clone());
                Ok::<_, StoreError>(())
            });
            offered.await.unwrap();
        };
        say("first", false).await;
        let later = now() + 1;
        once(&store, now() - 60_000_000, 1).await.unwrap();
        assert_eq!(store.nodes("key").await.unwrap().len(), 1, "it is not silent for long");
        while now() < later {}
        say("left", true).await;
        assert_eq!(store.nodes("key").await.unwrap()["left"].seen, 0);
        once(&store, later, 1).await.unwrap();
        let left: Vec<_> = store.nodes("key").await.unwrap().keys().cloned().collect();
        assert_eq!(left, ["left"], "that has left a moment ago");
        let row = store.cluster("key").await.unwrap().unwrap();
        assert_eq!(row.plan.nodes().iter().map(|node| node.offer.name.as_str()).collect::<Vec<_>>(), ["left"]);
        let deeds = store.deeds(Some(&row.id), i64::MAX, 10).await.unwrap();
        assert_eq!((deeds.len(), deeds[0].who.as_str(), deeds[0].what.as_str()), (1, ITSELF, "node removed"));
        say("left", false).await;
        let row = store.cluster("key").await.unwrap().unwrap();
        let placed = &row.plan.nodes()[0];
        assert_eq!((placed.offer.name.as_str(), placed.instances.len()), ("left", 1));
        once(&store, now() + 1, 1).await.unwrap();
        assert!(store.nodes("key").await.unwrap().is_empty());
    }
}
