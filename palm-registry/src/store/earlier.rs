//! Stores that earlier versions have filled.

use std::borrow::Cow;

use sqlx::migrate::Migrator;

use super::tests::postgres;
use super::*;
use crate::wire::{Line, Lines, Stream};

const OLD: &str = "[A]\nScript = a\nRole = r\n--db = _1\n\n[B]\nScript = b\n--db = _1\nConnected = A\nReplicas = 1\n";
const PLAN: &str = r#"{"nodes":[{"offer":{"name":"n","ip":"10.0.0.1","processors":4,"ports_from":7000},"instances":[
    {"component":"A","copy":0},{"component":"B","copy":0},{"component":"B","copy":1}]}],
    "sockets":{"1":{"owner":"A","node":"n","port":7000}},"wanted":{"B":{"stopped":true,"generation":3,"replicas":1}}}"#;
const RUN: &str = "0b0e0e1c-43b3-4b0a-9d3e-111111111111";

/// A store of the version whose last migration was the fourth, with some of everything.
async fn fill(url: &str, all: &Migrator) {
    sqlx::any::install_default_drivers();
    let pool = connections(1, "").connect(url).await.unwrap();
    let first = all.iter().filter(|migration| migration.version <= 4).cloned().collect::<Vec<_>>();
    assert_eq!(first.len(), 4);
    Migrator { migrations: Cow::Owned(first), ..Migrator::DEFAULT }.run(&pool).await.unwrap();
    let token = secret::hash("a token");
    let session = secret::hash("a cookie");
    for statement in [
        "INSERT INTO users (name, is_admin, created, password) VALUES ('ann', 1, 5, 'hash'), ('bob', 0, 6, NULL)",
        &format!(
            "INSERT INTO tokens (hash, user_id, created, name, scope) SELECT '{token}', id, 7, 'laptop', 'owner' \
                  FROM users WHERE name = 'ann'"
        ),
        &format!(
            "INSERT INTO sessions (hash, user_id, created, expires) SELECT '{session}', id, 7, {} \
                  FROM users WHERE name = 'bob'",
            i64::MAX
        ),
        &format!(
            "INSERT INTO clusters (key, owner, alias, created, changed, description, plan, revision, id) \
                  SELECT 'key', id, 'mine', 8, 9, '{OLD}', '{PLAN}', 12, 'theid' FROM users WHERE name = 'ann'"
        ),
        &format!(
            "INSERT INTO clusters (key, owner, alias, created, changed, description, plan, revision, id) \
                  SELECT 'odd', id, NULL, 8, 9, '[{}]\nScript = a\n', '{{\"nodes\":[],\"sockets\":{{}}}}', 0, 'oddid' \
                  FROM users WHERE name = 'ann'",
            "x".repeat(300)
        ),
        "INSERT INTO shares (cluster, user_id, level) SELECT 'key', id, 'read' FROM users WHERE name = 'bob'",
        &format!(
            "INSERT INTO versions (cluster, number, at, author, description) VALUES ('key', 1, 8, 'ann', 'old'), \
                  ('key', 2, 9, 'ann', '{OLD}')"
        ),
        "INSERT INTO audit (at, who, address, what, cluster, detail) VALUES (8, 'ann', '::1', 'cluster made', 'theid', '')",
        "INSERT INTO attempts (subject, at) VALUES ('name x', 5)",
        &format!(
            "INSERT INTO nodes (cluster, name, ip, processors, ports_from, run, seen) \
                  VALUES ('key', 'n', '10.0.0.1', 4, 7000, '{RUN}', 100)"
        ),
        "INSERT INTO processes (cluster, node, component, copy, state, pid, since, restarts, exit_code, exit_signal, cpu_seconds, \
         memory_bytes, generation, seen) VALUES ('key', 'n', 'A', 0, 'running', 7, 5, 1, NULL, 9, 0.5, 4096, 0, 100)",
        &format!("INSERT INTO spools (cluster, node, spool, seq, changed) VALUES ('key', 'n', '{RUN}', 2, 100)"),
        "INSERT INTO logs (cluster, at, text, node, component, copy, stream) VALUES ('key', 10, 'first', 'n', 'A', 0, 'out'), \
         ('key', 11, 'zwölf', 'n', 'A', 0, 'err')",
        // Lines of Python's runner, of a cluster that has none of ours.
        "INSERT INTO logs (cluster, at, text) VALUES ('odd', 12, 'python')",
        "INSERT INTO log_turns (cluster, turn) VALUES ('key', 2)",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    pool.close().await;
}

async fn check(store: &Store) {
    let row = store.cluster_with_key("key").await.unwrap().unwrap();
    assert_eq!((row.id.as_str(), row.alias.as_deref(), &*row.description), ("theid", Some("mine"), OLD));
    assert_eq!(row.plan.nodes()[0].instances.len(), 3);
    assert_eq!(row.plan.address("1").as_deref(), Some("tcp://10.0.0.1:7000"));
    assert!(row.plan.wanted("B").stopped && row.plan.wanted("B").generation == 3);
    let ann = store.user("ann").await.unwrap().unwrap();
    assert_eq!(store.token("a token").await.unwrap().unwrap(), (ann.clone(), Scope::Owner));
    let bob = store.session("a cookie").await.unwrap().unwrap();
    let seen: Vec<_> =
        store.find_clusters(ann.id, false).await.unwrap().into_iter().map(|found| found.row.id).collect();
    assert_eq!(seen, ["theid", "oddid"], "also one whose file would not be taken today");
    assert_eq!(store.find_cluster("theid", bob.id).await.unwrap().unwrap().share, Some(Share::Read));
    assert_eq!(store.versions("key").await.unwrap().len(), 2);
    assert_eq!(store.deeds(Some("theid"), i64::MAX, 10).await.unwrap().len(), 1);
    let nodes = store.nodes("key").await.unwrap();
    assert_eq!((nodes["n"].seen, nodes["n"].processes.len()), (100, 0), "its runner says anew what it has");
    let lines = store.logs("key").await.unwrap();
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["first", "zwölf"]);
    assert_eq!(store.log_bytes().await.unwrap(), 5 + 6 + 6);
    // What the runner sends again is known still, and what is new comes after.
    let line = |seq| Line { seq, component: "A".into(), copy: 0, stream: Stream::Out, at: 20, text: "new".into() };
    let sent = Lines { node: "n".into(), spool: RUN.parse().unwrap(), lines: (1..=3).map(line).collect() };
    assert_eq!(store.add_lines("key", sent).await.unwrap(), 3);
    assert_eq!(store.logs("key").await.unwrap().len(), 3);
    assert_eq!(store.log_bytes().await.unwrap(), 5 + 6 + 6 + 3);
    assert!(store.delete_cluster("odd").await.unwrap());
    assert_eq!(store.log_bytes().await.unwrap(), 5 + 6 + 3);
}

#[tokio::test]
async fn a_store_of_the_version_before_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db").to_str().unwrap().to_owned();
    fill(&format!("sqlite:{path}?mode=rwc"), &SQLITE).await;
    check(&Store::open(&path).await.unwrap()).await;
    if let Some(url) = postgres::database() {
        fill(&url, &POSTGRES).await;
        check(&Store::open(&url).await.unwrap()).await;
    }
}
