use uuid::Uuid;

use super::*;
use crate::cluster::Cluster;
use crate::plan::NodeOffer;
use crate::wire::{Exit, Line, Lines, Process, State, Stream, Sync};

#[path = "../../../tests/src/postgres.rs"]
mod postgres;

/// One of each kind that there is here, with a cluster in it; and what has to be held for it.
async fn stores() -> Vec<(Option<tempfile::TempDir>, Store)> {
    let folder = tempfile::tempdir().unwrap();
    let file = filled(folder.path().join("store.db").to_str().unwrap()).await;
    let mut stores = vec![(Some(folder), file)];
    if let Some(url) = postgres::database() {
        stores.push((None, filled(&url).await));
    }
    stores
}

async fn filled(url: &str) -> Store {
    let store = Store::open(url).await.unwrap();
    let user = store.add_user("ann", false).await.unwrap().unwrap();
    let text = "[A]\nScript = a\n";
    let row = ClusterRow::new("key".into(), &user, None, text.into(), Cluster::from_ini(text).unwrap());
    assert_eq!(store.add_cluster(&row).await.unwrap(), Saved::Yes);
    store
}

fn line(seq: u64, text: &str) -> Line {
    Line { seq, component: "A".into(), copy: 0, stream: Stream::Out, at: 1000 + seq as i64, text: text.into() }
}

fn process(copy: u32, state: State) -> Process {
    Process {
        component: "A".into(),
        copy,
        state,
        pid: Some(7),
        since: 5,
        restarts: 2,
        exit: Some(Exit::Signal(9)),
        cpu_seconds: 0.5,
        memory_bytes: 1 << 40,
        generation: 3,
        messages: (copy == 0).then_some(u64::MAX / 2),
        rate: (copy == 0).then_some(0.25),
    }
}

fn sync(run: Uuid, processes: Vec<Process>) -> Sync {
    let node = NodeOffer { name: "n".into(), ip: "h".into(), processors: 4, ports_from: 65_535 };
    Sync { node, run, processes, leaving: false }
}

#[tokio::test]
async fn lines_that_come_twice_are_kept_once() {
    for (_folder, store) in stores().await {
        let spool = Uuid::new_v4();
        let sent = |lines: Vec<Line>| Lines { node: "n".into(), spool, lines };
        let many: Vec<_> = (1..=1200).map(|seq| line(seq, &format!("line {seq}"))).collect();
        assert_eq!(store.add_lines("key", &sent(many[..700].to_vec())).await.unwrap(), 700);
        assert_eq!(store.add_lines("key", &sent(many[300..].to_vec())).await.unwrap(), 1200);
        assert_eq!(store.add_lines("key", &sent(many[..700].to_vec())).await.unwrap(), 1200);
        assert_eq!(store.add_lines("key", &sent(vec![])).await.unwrap(), 1200);
        let lines = store.logs("key", &LogQuery::of(Period::ALL)).await.unwrap();
        assert_eq!(lines.len(), 1200);
        assert!(lines.iter().zip(&many).all(|(kept, sent)| kept.text == sent.text && kept.at == sent.at));
        let origin = Origin { node: "n".into(), component: "A".into(), copy: 0, stream: Stream::Out };
        assert_eq!(lines[0].origin, Some(origin));
        // Another spool counts for itself.
        let other = Lines { node: "n".into(), spool: Uuid::new_v4(), lines: vec![line(1, "new")] };
        assert_eq!(store.add_lines("key", &other).await.unwrap(), 1);
        let mut query = LogQuery { after: Some(lines[1199].id), ..LogQuery::of(Period::ALL) };
        let new = store.logs("key", &query).await.unwrap();
        assert_eq!(new.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["new"]);
        query =
            LogQuery { component: Some("A".into()), node: Some("n".into()), limit: Some(3), after: Some(0), ..query };
        assert_eq!(store.logs("key", &query).await.unwrap().len(), 3);
        query.component = Some("B".into());
        assert!(store.logs("key", &query).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_nodes_say_is_kept_and_replaced() {
    for (_folder, store) in stores().await {
        let run = Uuid::new_v4();
        let two = vec![process(0, State::Ready), process(1, State::CrashLoop)];
        assert_eq!(store.hear("key", &sync(run, two.clone())).await.unwrap(), Hearing::Yes);
        let kept = store.processes("key").await.unwrap();
        assert_eq!(kept.iter().map(|row| row.process.clone()).collect::<Vec<_>>(), two);
        assert_eq!(store.hear("key", &sync(run, vec![process(1, State::Exited)])).await.unwrap(), Hearing::Yes);
        let kept = store.processes("key").await.unwrap();
        assert_eq!((kept.len(), kept[0].process.state, kept[0].node.as_str()), (1, State::Exited, "n"));
        let nodes = store.nodes("key").await.unwrap();
        assert_eq!((nodes[0].run.clone(), nodes[0].offer.ports_from), (run.to_string(), 65_535));
        assert!(!nodes[0].is_silent(now()) && nodes[0].is_silent(i64::MAX));
        assert!(store.forget_node("key", "n").await.unwrap() && !store.forget_node("key", "n").await.unwrap());
        assert!(store.processes("key").await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_node_has_one_runner_until_that_leaves() {
    for (_folder, store) in stores().await {
        let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
        assert_eq!(store.hear("key", &sync(first, vec![])).await.unwrap(), Hearing::Yes);
        assert_eq!(store.hear("key", &sync(second, vec![])).await.unwrap(), Hearing::Another);
        let leaving = Sync { leaving: true, ..sync(first, vec![]) };
        assert_eq!(store.hear("key", &leaving).await.unwrap(), Hearing::Yes);
        assert_eq!(store.hear("key", &sync(second, vec![])).await.unwrap(), Hearing::Yes);
        assert_eq!(store.hear("key", &sync(first, vec![])).await.unwrap(), Hearing::Another);
    }
}

#[tokio::test]
async fn a_plan_of_an_earlier_version_is_read_and_wishes_are_kept() {
    for (_folder, store) in stores().await {
        let old = "{\"nodes\":[],\"sockets\":{}}";
        sqlx::query("UPDATE clusters SET plan = $1").bind(old).execute(&store.pool).await.unwrap();
        let mut row = store.cluster("key").await.unwrap().unwrap();
        assert!(row.plan.restart("A") && row.plan.stop("A") && row.plan.scale("A", 3));
        assert_eq!(store.save_cluster(&row).await.unwrap(), Saved::Yes);
        let again = store.cluster("key").await.unwrap().unwrap();
        assert_eq!(again.plan, row.plan);
        assert_eq!((again.plan.cluster().components[0].copies(), again.plan.wanted("A").generation), (4, 1));
    }
}
