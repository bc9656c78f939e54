use uuid::Uuid;

use super::*;
use crate::cluster::Cluster;
use crate::plan::NodeOffer;
use crate::wire::{Exit, Line, Lines, Process, State, Stream, Sync};

#[path = "../../../tests/src/postgres.rs"]
pub(super) mod postgres;

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

/// The same, as another registry has it.
fn again(store: &Store) -> Store {
    Store::of(store.pool.clone(), store.read.clone())
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
async fn its_file_is_for_its_user_alone() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let open = async |name: &str| Store::open(at(name).to_str().unwrap()).await;
    let store = open("store.db").await.unwrap();
    let mode = |name: &str| at(name).metadata().unwrap().mode() & 0o777;
    assert_eq!(["store.db", "store.db-wal"].map(mode), [0o600; 2]);
    store.close().await;
    // As an earlier version, or a copy, may have left it.
    set_permissions(at("store.db"), Permissions::from_mode(0o644)).unwrap();
    // A link of one's own is followed.
    std::os::unix::fs::symlink(at("store.db"), at("link.db")).unwrap();
    open("link.db").await.unwrap().close().await;
    assert_eq!(mode("store.db"), 0o600);
    std::fs::hard_link(at("store.db"), at("planted.db")).unwrap();
    let refused = open("planted.db").await.unwrap_err().to_string();
    assert!(refused.contains("planted.db has other names"), "{refused}");
    std::fs::write(at("precious"), "kept").unwrap();
    std::fs::hard_link(at("precious"), at("new.db-wal")).unwrap();
    let refused = open("new.db").await.unwrap_err().to_string();
    assert!(refused.contains("new.db-wal has other names"), "{refused}");
}

#[tokio::test]
async fn lines_that_come_twice_are_kept_once() {
    for (_folder, store) in stores().await {
        let spool = Uuid::new_v4();
        let sent = |lines: Vec<Line>| Lines { node: "n".into(), spool, lines };
        let many: Vec<_> = (1..=1200).map(|seq| line(seq, &format!("line {seq}"))).collect();
        assert_eq!(store.add_lines("key", sent(many[..700].to_vec())).await.unwrap(), 700);
        assert_eq!(store.add_lines("key", sent(many[300..].to_vec())).await.unwrap(), 1200);
        assert_eq!(store.add_lines("key", sent(many[..700].to_vec())).await.unwrap(), 1200);
        assert_eq!(store.add_lines("key", sent(vec![])).await.unwrap(), 1200);
        let lines = store.logs("key").await.unwrap();
        assert_eq!(lines.len(), 1200);
        assert!(lines.iter().zip(&many).all(|(kept, sent)| kept.text == sent.text && kept.at == sent.at));
        let origin = Origin { node: "n".into(), component: "A".into(), copy: 0, stream: Stream::Out };
        assert_eq!(lines[0].origin, Some(origin));
        // Another spool counts for itself.
        let other = Lines { node: "n".into(), spool: Uuid::new_v4(), lines: vec![line(1, "new")] };
        assert_eq!(store.add_lines("key", other).await.unwrap(), 1);
        let texts = store.logs("key").await.unwrap();
        let bytes: usize = texts.iter().map(|line| line.text.len()).sum();
        assert_eq!(store.log_bytes().await.unwrap(), bytes as i64, "what came twice counts once");
        assert_eq!(store.prune_oldest_logs(0).await.unwrap(), 0);
        let mut search = LogSearch { after: Some(lines[1199].id), limit: 3, ..LogSearch::default() };
        let new = store.search_logs("key", &search).await.unwrap();
        assert_eq!(new.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["new"]);
        search = LogSearch { component: Some("A".into()), node: Some("n".into()), after: Some(0), ..search };
        assert_eq!(store.search_logs("key", &search).await.unwrap().len(), 3);
        search.component = Some("B".into());
        assert!(store.search_logs("key", &search).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn lines_of_a_burst_have_instants_that_differ_whoever_sends_them() {
    for (_folder, store) in stores().await {
        let sent = |node: &str, at: i64, text: &str| {
            let lines = (1..=200).map(|seq| Line { at, ..line(seq, &format!("{text} {seq}")) }).collect();
            Lines { node: node.into(), spool: Uuid::new_v4(), lines }
        };
        // Two nodes, Python's runner, and a node whose clock is behind.
        let begun = now();
        store.add_lines("key", sent("n", begun, "first")).await.unwrap();
        store.add_lines("key", sent("m", begun, "second")).await.unwrap();
        store.add_logs("key", &["third".to_owned(), "fourth".to_owned()]).await.unwrap();
        store.add_lines("key", sent("n", 5, "fifth")).await.unwrap();
        let lines = store.logs("key").await.unwrap();
        assert_eq!((lines.len(), lines[0].at), (602, begun), "what the first says is kept");
        assert!(
            lines.is_sorted_by(|one, next| one.at < next.at && one.id < next.id),
            "in the order in which they came"
        );
        for (index, expected) in lines.iter().enumerate().skip(1).take(600) {
            let period = Period { from: lines[index - 1].at, to: lines[index + 1].at };
            let mut position = store.log_position("key", period).await.unwrap();
            let found = store.next_logs("key", &mut position).await.unwrap();
            assert_eq!(found.iter().collect::<Vec<_>>(), [expected]);
        }
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_with_what_the_database_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    std::fs::write(&path, [b"SQLite format 3\0".as_slice(), &[0xff; 4096]].concat()).unwrap();
    let refused = Store::open(path.to_str().unwrap()).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Unreachable { reason, .. } if reason.contains("not a database")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn lines_are_read_page_by_page_and_what_comes_meanwhile_is_not() {
    for (_folder, store) in stores().await {
        let mut at = 0;
        let mut add = async |texts: &[String]| {
            // Many say that they are of one instant: they get others, so that who asks for a period can cut between them.
            let lines = texts
                .iter()
                .enumerate()
                .map(|(index, text)| Line { at: 1 + index as i64 / 700, ..line(index as u64 + 1, text) });
            at += 1;
            let lines = Lines { node: format!("n{at}"), spool: Uuid::new_v4(), lines: lines.collect() };
            store.add_lines("key", lines).await.unwrap();
        };
        let short: Vec<_> = (0..2100).map(|index| format!("line {index}")).collect();
        add(&short).await;
        let mut position = store.log_position("key", Period::ALL).await.unwrap();
        let search = LogSearch { limit: 1500, ..LogSearch::default() };
        let mut search = store.begin_search("key", search).await.unwrap();
        add(&["meanwhile".to_owned()]).await;
        let (mut read, mut found, mut pages) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let lines = store.next_logs("key", &mut position).await.unwrap();
            pages.push(lines.len());
            found.extend(store.next_found("key", &mut search).await.unwrap().into_iter().map(|line| line.text));
            if lines.is_empty() {
                break;
            }
            read.extend(lines.into_iter().map(|line| line.text));
        }
        assert_eq!((pages, read == short), (vec![1000, 1000, 100, 0], true));
        assert_eq!(found, short[600..], "the last of those that were there");
        let mut second = store.log_position("key", Period { from: 700, to: 1401 }).await.unwrap();
        let second = store.next_logs("key", &mut second).await.unwrap();
        assert_eq!((second.len(), &second[0].text), (700, &short[700]), "both ends are not in it");
        // A page of long lines has few.
        add(&vec!["a".repeat(64 << 10); 40]).await;
        let mut long = LogSearch { text: Some("aaa".to_owned()), limit: u32::MAX, ..LogSearch::default() };
        long = store.begin_search("key", long).await.unwrap();
        let mut pages = Vec::new();
        while pages.last() != Some(&0) {
            pages.push(store.next_found("key", &mut long).await.unwrap().len());
        }
        assert_eq!(pages, [16, 16, 8, 0]);
    }
}

#[tokio::test]
async fn what_nodes_say_is_kept_and_replaced() {
    for (_folder, store) in stores().await {
        let run = Uuid::new_v4();
        let two = vec![process(0, State::Ready), process(1, State::CrashLoop)];
        assert_eq!(store.hear("key", &sync(run, two.clone())).await.unwrap(), Hearing::Yes);
        assert_eq!(store.nodes("key").await.unwrap()["n"].processes, two);
        assert_eq!(store.hear("key", &sync(run, vec![process(1, State::Exited)])).await.unwrap(), Hearing::Yes);
        let (known, read) = (store.nodes("key").await.unwrap(), again(&store).nodes("key").await.unwrap());
        assert_eq!(known, read, "what is kept in memory is what is read");
        let node = &known["n"];
        assert_eq!((node.processes.len(), node.process("A", 1).unwrap().state), (1, State::Exited));
        assert_eq!((node.run.clone(), node.offer.ports_from), (run.to_string(), 65_535));
        assert!(!node.is_silent(now()) && node.is_silent(i64::MAX));
        assert!(store.forget_node("key", "n").await.unwrap() && !store.forget_node("key", "n").await.unwrap());
        assert!(store.nodes("key").await.unwrap().is_empty());
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
        assert!(row.plan_mut().restart("A") && row.plan_mut().stop("A") && row.plan_mut().scale("A", 3));
        assert_eq!(store.save_cluster(&row).await.unwrap(), Saved::Yes);
        let again = store.cluster("key").await.unwrap().unwrap();
        assert_eq!(again.plan, row.plan);
        assert_eq!((again.plan.cluster().components[0].copies(), again.plan.wanted("A").generation), (4, 1));
    }
}

#[tokio::test]
async fn a_key_is_changed_and_what_it_was_is_nobodys() {
    for (_folder, store) in stores().await {
        let ann = store.user("ann").await.unwrap().unwrap();
        let bob = store.add_user("bob", true).await.unwrap().unwrap();
        store.add_user("eve", true).await.unwrap().unwrap();
        let before = store.cluster("key").await.unwrap().unwrap();
        store.add_logs("key", &["a line".to_owned()]).await.unwrap();
        store.hear("key", &sync(Uuid::new_v4(), vec![process(0, State::Ready)])).await.unwrap();
        let new = store.change_key(&before).await.unwrap().unwrap();
        assert_eq!(store.change_key(&before).await.unwrap(), None, "of two at once one is told");
        assert_eq!(store.save_cluster(&before).await.unwrap(), Saved::Conflict);
        assert_eq!(store.presented("key").await.unwrap(), Presented::Replaced);
        assert_eq!(store.presented(&new).await.unwrap(), Presented::Current("key".into()));
        assert_eq!(store.presented("none").await.unwrap(), Presented::Unknown);
        let after = store.cluster_with_key(&new).await.unwrap().unwrap();
        assert_eq!((after.id.as_str(), after.secret.as_str()), (before.id.as_str(), new.as_str()));
        assert_eq!(store.logs("key").await.unwrap().len(), 1);
        assert_eq!(store.nodes("key").await.unwrap()["n"].processes.len(), 1);

        let cluster = |key: &str, owner: &User| {
            ClusterRow::new(
                key.into(),
                owner,
                None,
                "[A]\nScript = a\n".into(),
                Cluster::from_ini("[A]\nScript = a\n").unwrap(),
            )
        };
        let again = store.change_key(&after).await.unwrap().unwrap();
        for (key, owner) in [("key", &ann), ("key", &bob), (new.as_str(), &ann), (again.as_str(), &bob)] {
            assert_eq!(store.add_cluster(&cluster(key, owner)).await.unwrap(), Saved::Conflict, "{key}");
        }
        assert!(!store.was_deleted(&before.id).await.unwrap());
        assert!(store.delete_cluster("key").await.unwrap() && !store.delete_cluster("key").await.unwrap());
        assert!(store.was_deleted(&before.id).await.unwrap());
        for key in ["key", &new, &again] {
            assert_eq!(store.presented(key).await.unwrap(), Presented::Deleted, "{key}");
            assert_eq!(store.add_cluster(&cluster(key, &bob)).await.unwrap(), Saved::Conflict, "it is not bob's");
        }
        assert_eq!(store.add_cluster(&cluster("key", &ann)).await.unwrap(), Saved::Yes, "it was ann's");
        assert_eq!(store.presented("key").await.unwrap(), Presented::Current("key".into()));
        store.add_cluster(&cluster("bobs", &bob)).await.unwrap();
        assert_eq!(store.delete_user(&ann).await.unwrap(), UserChange::Done);
        assert_eq!(store.presented("key").await.unwrap(), Presented::Deleted, "with its owner");
        assert_eq!(store.presented("bobs").await.unwrap(), Presented::Current("bobs".into()));
        let eve = store.user("eve").await.unwrap().unwrap();
        assert_eq!(store.delete_user(&eve).await.unwrap(), UserChange::Done);
        assert_eq!(store.delete_user(&bob).await.unwrap(), UserChange::LastAdmin);
        assert_eq!(store.presented("bobs").await.unwrap(), Presented::Current("bobs".into()), "nothing was deleted");
    }
}

#[tokio::test]
async fn a_silent_node_is_forgotten_once_by_all_that_try() {
    for (_folder, store) in stores().await {
        store.hear("key", &sync(Uuid::new_v4(), vec![])).await.unwrap();
        let offered = store.change_cluster("key", |row| {
            row.plan_mut().offer(sync(Uuid::nil(), vec![]).node);
            Ok::<_, StoreError>(())
        });
        offered.await.unwrap();
        let deed = Deed {
            id: 0,
            at: 0,
            who: "itself".into(),
            address: String::new(),
            what: "node removed".into(),
            cluster: None,
            detail: "n".into(),
        };
        let instant = now() + 1;
        assert_eq!(store.nodes_unheard_since(instant).await.unwrap(), [("key".to_owned(), "n".to_owned())]);
        assert!(!store.forget_unheard_node("key", "n", instant - 60_000_000, &deed).await.unwrap(), "it was heard");
        let tries: Vec<_> = (0..4)
            .map(|_| {
                let (store, deed) = (store.clone(), deed.clone());
                tokio::spawn(async move { store.forget_unheard_node("key", "n", instant, &deed).await.unwrap() })
            })
            .collect();
        let mut done = 0;
        for one in tries {
            done += usize::from(one.await.unwrap());
        }
        let row = store.cluster("key").await.unwrap().unwrap();
        assert_eq!((done, row.plan.nodes().len()), (1, 0));
        assert_eq!(store.deeds(Some(&row.id), i64::MAX, 10).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn keys_of_an_earlier_version_are_good_still() {
    for (folder, store) in stores().await {
        for statement in [
            "DROP INDEX clusters_by_secret",
            "ALTER TABLE clusters DROP COLUMN secret",
            "DROP TABLE old_keys",
            "DELETE FROM _sqlx_migrations WHERE version = 6",
        ] {
            sqlx::query(statement).execute(&store.pool).await.unwrap();
        }
        let migrator = if folder.is_some() { &SQLITE } else { &POSTGRES };
        migrator.run(&store.pool).await.unwrap();
        sqlx::query("UPDATE clusters SET secret_hash = ''").execute(&store.pool).await.unwrap();
        assert_eq!(store.presented("key").await.unwrap(), Presented::Unknown, "nobody compares keys themselves");
        keys::hash_all(&store.pool).await.unwrap();
        assert_eq!(store.presented("key").await.unwrap(), Presented::Current("key".into()));
        assert_eq!(store.cluster_with_key("key").await.unwrap().unwrap().secret, "key");
    }
}

#[tokio::test]
async fn many_nodes_that_ask_two_registries_at_once_are_all_placed() {
    for (_folder, store) in stores().await {
        let scaled = store.change_cluster("key", |row| Ok::<_, StoreError>(row.plan_mut().scale("A", 79)));
        assert!(matches!(scaled.await.unwrap(), Changed::Yes(true)));
        let registries = [again(&store), again(&store)];
        let ask = async |number: usize| {
            let name = format!("n{number}");
            let offer = NodeOffer { name: name.clone(), ip: "10.0.0.1".into(), processors: 2, ports_from: 1 };
            loop {
                let registry = &registries[number % 2];
                let row = registry.cluster("key").await.unwrap().unwrap();
                match registry.offer(row, &offer).await.unwrap() {
                    Changed::Yes(plan) => break plan.commands(&name).count(),
                    Changed::Busy => {}
                    Changed::Gone => panic!("the cluster is there"),
                }
            }
        };
        let commands = futures_util::future::join_all((0..40).map(ask)).await;
        assert_eq!(commands, [2; 40]);
        let plan = again(&store).cluster("key").await.unwrap().unwrap().plan;
        assert!(plan.is_ready());
        assert_eq!(plan.nodes().len(), 40);
    }
}

#[tokio::test]
async fn what_another_registry_has_heard_is_known_soon() {
    for (_folder, store) in stores().await {
        let (run, other) = (Uuid::new_v4(), again(&store));
        let state = async |registry: &Store| {
            let nodes = registry.nodes("key").await.unwrap();
            nodes.get("n").and_then(|node| Some(node.process("A", 0)?.state))
        };
        assert_eq!(state(&store).await, None);
        other.hear("key", &sync(run, vec![process(0, State::Starting)])).await.unwrap();
        assert_eq!(state(&other).await, Some(State::Starting), "what it has heard itself is known at once");
        let mut patience = 300;
        while state(&store).await != Some(State::Starting) {
            patience -= 1;
            assert!(patience > 0, "it is never known");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        store.hear("key", &sync(run, vec![process(0, State::Ready)])).await.unwrap();
        assert_eq!(state(&store).await, Some(State::Ready));
    }
}

#[tokio::test]
async fn what_is_kept_in_memory_of_a_cluster_goes_with_it() {
    for (_folder, store) in stores().await {
        let other = again(&store);
        assert!(other.cluster("key").await.unwrap().is_some());
        let changed = store.change_cluster("key", |row| Ok::<_, StoreError>(row.plan_mut().restart("A")));
        assert!(matches!(changed.await.unwrap(), Changed::Yes(true)));
        let row = other.cluster("key").await.unwrap().unwrap();
        assert_eq!(row.plan.wanted("A").generation, 1, "the other registry reads it again");
        assert!(store.delete_cluster("key").await.unwrap());
        assert_eq!(other.cluster("key").await.unwrap(), None);
        let (user, text) = (store.user("ann").await.unwrap().unwrap(), "[B]\nScript = b\n");
        let new = ClusterRow::new("key".into(), &user, None, text.into(), Cluster::from_ini(text).unwrap());
        assert_eq!(store.add_cluster(&new).await.unwrap(), Saved::Yes);
        let row = other.cluster("key").await.unwrap().unwrap();
        assert_eq!(row.plan.cluster().components[0].name, "B", "it is another of the same key");
    }
}
