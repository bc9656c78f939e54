//! Files as large as may be, which keep nobody else waiting.

mod common;

use common::Registry;
use palm_registry::store::Scope;
use serde_json::json;

#[tokio::test]
async fn whoever_has_large_files_checked_keeps_nobody_waiting() {
    let registry = Registry::start().await;
    let token = registry.token("ann", false, Scope::Read).await;
    let component = |index| format!("[[component]]\nname = 'component-{index}'\nscript = 's'\n");
    let file: String = (0..10_000).map(component).collect();
    let check = || registry.post("/api/v1/validate").bearer(&token).json(&json!({ "file": file }));
    let checks: Vec<_> = (0..12).map(|_| tokio::spawn(check().send())).collect();
    // They are under way once the first is done.
    while !checks.iter().any(tokio::task::JoinHandle::is_finished) {
        tokio::task::yield_now().await;
    }
    registry.get("/healthz").send().await.expect(200);
    assert!(checks.iter().any(|check| !check.is_finished()), "it is answered while others are at work");
    for check in checks {
        assert_eq!(check.await.unwrap().expect(200).json()["valid"], true);
    }
    let component = |index| format!("[[component]]\nname = 'component-{index}'\nscript = 's'\n");
    let file: String = (0..20_000).map(component).collect();
    let checked = registry.post("/api/v1/validate").bearer(&token).json(&json!({ "file": file })).send().await;
    let checked = checked.expect(200).json();
    assert_eq!(checked["reason"], "expected 10000 components at most, found 20000");
}

#[tokio::test]
async fn a_cluster_has_so_many_processes() {
    let registry = Registry::start().await;
    let token = registry.token("ann", false, Scope::Owner).await;
    let component = |index| format!("[c{index}]\nScript = s\nReplicas = 9999\n");
    let make = |count: usize| {
        let file: String = (0..count).map(component).collect();
        registry.post("/api/v1/clusters").bearer(&token).json(&json!({ "file": file }))
    };
    let refused = make(20).send().await.expect(400);
    assert!(refused.body.contains("expected 50000 processes at most in all components"), "{}", refused.body);
    let id = make(4).send().await.expect(201).json()["id"].as_str().unwrap().to_owned();
    let key = registry.get(&format!("/api/v1/clusters/{id}/key")).bearer(&token).send().await.json();
    let sync = json!({
        "node": { "name": "big", "ip": "127.0.0.1", "processors": 65_535, "ports_from": 5555 },
        "run": "00000000-0000-4000-8000-000000000000", "processes": [],
    });
    let told = registry.post("/api/v1/runner/sync").bearer(key["key"].as_str().unwrap()).json(&sync).send().await;
    assert_eq!(told.expect(200).json()["wanted"].as_array().unwrap().len(), 40_000);
    let status = registry.get(&format!("/api/v1/clusters/{id}/status")).bearer(&token).send().await.expect(200).json();
    assert_eq!(status["ready"], true);
    registry.get(&format!("/clusters/{id}")).bearer(&token).send().await.expect(200);
    let scale = |replicas: u32| {
        let body = json!({ "component": "c0", "replicas": replicas });
        registry.post(&format!("/api/v1/clusters/{id}/scale")).bearer(&token).json(&body)
    };
    scale(0).send().await.expect(204);
    scale(9_999).send().await.expect(204);
}
