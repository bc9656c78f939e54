//! Pages over HTTP, without a browser: forms, what protects them, and who sees what.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Answer, FILE, PASSWORD, Registry, Request, Session};
use palm_registry::http::Settings;
use palm_registry::http::access;
use palm_registry::store::Scope;
use palm_registry::wire::{State, Sync};
use serde_json::json;

fn encoded(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| {
        text.bytes().fold(String::new(), |mut all, byte| {
            all.push_str(&if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            });
            all
        })
    };
    fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect::<Vec<_>>().join("&")
}

fn form(request: Request, fields: &[(&str, &str)]) -> Request {
    request.text(&encoded(fields)).header("Content-Type", "application/x-www-form-urlencoded")
}

/// Sends a form as the page of a session does.
async fn submit(registry: &Registry, session: &Session, path: &str, fields: &[(&str, &str)]) -> Answer {
    let fields: Vec<_> = fields.iter().copied().chain([("csrf", session.csrf.as_str())]).collect();
    form(registry.post(path).cookie(session), &fields).send().await
}

fn location(answer: &Answer) -> &str {
    answer.header("Location").unwrap_or_default()
}

/// A cluster that a page has made.
async fn made(registry: &Registry, session: &Session) -> String {
    let answer =
        submit(registry, session, "/clusters/new", &[("alias", "a <cluster>"), ("file", FILE)]).await.expect(303);
    location(&answer).trim_start_matches("/clusters/").split('?').next().unwrap().to_owned()
}

async fn page(registry: &Registry, session: &Session, path: &str) -> Answer {
    registry.get(path).cookie(session).send().await
}

#[tokio::test]
async fn one_logs_in_by_a_form_and_comes_to_where_one_wanted_to_go() {
    let registry = Registry::start().await;
    registry.session("ann", false).await;
    let away = registry.get("/nodes").send().await.expect(303);
    assert_eq!(location(&away), "/login?next=/nodes");
    let shown = registry.get("/login?next=/nodes").send().await.expect(200);
    assert!(shown.body.contains(r#"name="next" value="/nodes""#));
    let wrong = [("name", "ann"), ("password", "wrong password"), ("next", "/nodes")];
    let refused = form(registry.post("/login"), &wrong).send().await.expect(401);
    assert!(refused.body.contains("do not belong together") && refused.header("Set-Cookie").is_none());
    let right = [("name", "ann"), ("password", PASSWORD), ("next", "/nodes")];
    let entered = form(registry.post("/login"), &right).send().await.expect(303);
    assert_eq!(location(&entered), "/nodes");
    assert!(entered.header("Set-Cookie").unwrap().contains("HttpOnly"));
    let elsewhere = [("name", "ann"), ("password", PASSWORD), ("next", "//evil.example")];
    assert_eq!(location(&form(registry.post("/login"), &elsewhere).send().await.expect(303)), "/");
    let foreign = form(registry.post("/login"), &right).header("Origin", "http://evil.example");
    foreign.send().await.expect(403);
}

#[tokio::test]
async fn the_first_admin_is_made_by_a_form() {
    let registry = Registry::start().await;
    let link = access::setup_link(&registry.store, &Settings::new(registry.address)).await.unwrap().unwrap();
    let path = link.split_once(&registry.address.to_string()).unwrap().1.to_owned();
    let code = path.split_once('=').unwrap().1.to_owned();
    assert!(registry.get(&path).send().await.expect(200).body.contains(&code));
    let fields = |again| [("code", code.as_str()), ("name", "ann"), ("password", PASSWORD), ("again", again)];
    let refused = form(registry.post("/setup"), &fields("another password")).send().await.expect(400);
    assert!(refused.body.contains("not the same"));
    let made = form(registry.post("/setup"), &fields(PASSWORD)).send().await.expect(303);
    assert!(made.header("Set-Cookie").is_some());
    form(registry.post("/setup"), &fields(PASSWORD)).send().await.expect(403);
    // Somebody is known now, so nobody is told otherwise.
    let late = registry.get("/setup?code=any").send().await.expect(303);
    assert_eq!(late.header("Location"), Some("/login"));
}

#[tokio::test]
async fn no_form_does_anything_without_what_only_its_page_knows() {
    let registry = Registry::start().await;
    let (ann, bob) = (registry.session("ann", true).await, registry.session("bob", false).await);
    let id = made(&registry, &ann).await;
    let posts = [
        "/clusters/new".to_owned(),
        format!("/clusters/{id}/do"),
        format!("/clusters/{id}/file"),
        format!("/clusters/{id}/settings"),
        format!("/clusters/{id}/key"),
        format!("/clusters/{id}/shares"),
        format!("/clusters/{id}/versions/restore"),
        "/users".to_owned(),
        "/tokens".to_owned(),
        "/tokens/revoke".to_owned(),
        "/account".to_owned(),
        "/logout".to_owned(),
    ];
    let fields =
        [("what", "delete"), ("name", "bob"), ("sure", "bob"), ("file", FILE), ("user", "bob"), ("level", "read")];
    for path in &posts {
        for csrf in [None, Some(bob.csrf.as_str())] {
            let fields: Vec<_> = fields.into_iter().chain(csrf.map(|csrf| ("csrf", csrf))).collect();
            let answer = form(registry.post(path).cookie(&ann), &fields).send().await.expect(403);
            assert!(answer.body.contains("<h1>Try again</h1>"), "{path}: {}", answer.body);
        }
        form(registry.post(path), &fields).send().await.expect(401);
    }
    page(&registry, &ann, &format!("/clusters/{id}")).await.expect(200);
}

#[tokio::test]
async fn others_see_nothing_of_a_cluster_and_readers_change_nothing() {
    let registry = Registry::start().await;
    let (ann, bob) = (registry.session("ann", false).await, registry.session("bob", false).await);
    let id = made(&registry, &ann).await;
    let pages = ["", "/state", "/logs", "/file", "/versions", "/confirm?what=stop", "/settings", "/audit"];
    let changes =
        [("/do", "stop"), ("/do", "delete"), ("/file", "save"), ("/settings", ""), ("/key", ""), ("/shares", "")];
    let fields = |what| [("what", what), ("file", FILE), ("user", "bob"), ("level", "operate")];
    for path in pages {
        let answer = page(&registry, &bob, &format!("/clusters/{id}{path}")).await.expect(404);
        assert!(answer.body.contains("<h1>Not found</h1>") && !answer.body.contains("a &#60;cluster"), "{path}");
    }
    for (path, what) in changes {
        submit(&registry, &bob, &format!("/clusters/{id}{path}"), &fields(what)).await.expect(404);
    }
    assert!(!page(&registry, &bob, "/").await.expect(200).body.contains(&id));

    let share = [("user", "bob"), ("level", "read")];
    submit(&registry, &ann, &format!("/clusters/{id}/shares"), &share).await.expect(303);
    for path in &pages[..5] {
        let answer = page(&registry, &bob, &format!("/clusters/{id}{path}")).await.expect(200);
        assert!(!answer.body.contains(&format!("action=\"/clusters/{id}/do\"")), "{path}");
    }
    for path in &pages[6..] {
        page(&registry, &bob, &format!("/clusters/{id}{path}")).await.expect(403);
    }
    for (path, what) in changes {
        submit(&registry, &bob, &format!("/clusters/{id}{path}"), &fields(what)).await.expect(403);
    }
    for path in ["/users", "/audit"] {
        page(&registry, &bob, path).await.expect(403);
    }
}

#[tokio::test]
async fn a_cluster_is_made_looked_at_operated_and_deleted() {
    let registry = Registry::start().await;
    let ann = registry.session("ann", false).await;
    let id = made(&registry, &ann).await;
    let own = format!("/clusters/{id}");
    let shown = page(&registry, &ann, &own).await.expect(200);
    for part in ["a &#60;cluster&#62;", "<svg class=\"picture\"", "there is no node", "Worker", "no place", "Scale"] {
        assert!(shown.body.contains(part), "{part}: {}", shown.body);
    }
    let key =
        registry.store.clusters_of(&registry.store.user("ann").await.unwrap().unwrap()).await.unwrap()[0].key.clone();
    for path in ["", "/processes", "/file", "/settings", "/logs", "/audit"] {
        let answer = page(&registry, &ann, &format!("{own}{path}")).await.expect(200);
        assert!(!answer.body.contains(&key), "{path} shows the key");
    }
    assert!(submit(&registry, &ann, &format!("{own}/key"), &[]).await.expect(200).body.contains(&key));

    let act = async |fields: &[(&str, &str)]| submit(&registry, &ann, &format!("{own}/do"), fields).await;
    let asked = page(&registry, &ann, &format!("{own}/confirm?what=new-key")).await.expect(200).body;
    assert!(asked.contains("another key?"), "{asked}");
    let answer = act(&[("what", "new-key")]).await.expect(303);
    assert!(page(&registry, &ann, location(&answer)).await.expect(200).body.contains("The cluster has another key"));
    let shown = submit(&registry, &ann, &format!("{own}/key"), &[]).await.expect(200).body;
    assert!(shown.contains("palm runner --registry") && !shown.contains(&key), "{shown}");

    let answer = act(&[("what", "stop"), ("component", "Worker")]).await.expect(303);
    assert_eq!(location(&answer), format!("{own}?done=stop"));
    assert!(page(&registry, &ann, &own).await.body.contains("Start Worker"));
    act(&[("what", "start"), ("component", "Worker")]).await.expect(303);
    act(&[("what", "scale"), ("component", "Worker"), ("copies", "7")]).await.expect(303);
    assert!(page(&registry, &ann, &own).await.body.contains("0 of 8 running"));
    act(&[("what", "scale"), ("component", "Worker"), ("copies", "many")]).await.expect(400);
    act(&[("what", "stop"), ("component", "nobody")]).await.expect(404);
    for what in ["restart", "reset"] {
        act(&[("what", what)]).await.expect(303);
    }
    let asked = page(&registry, &ann, &format!("{own}/confirm?what=delete")).await.expect(200);
    assert!(asked.body.contains("Delete a &#60;cluster&#62;?"));
    act(&[("what", "delete")]).await.expect(303);
    page(&registry, &ann, &own).await.expect(404);
}

#[tokio::test]
async fn a_form_that_is_none_does_nothing() {
    let registry = Registry::start().await;
    let ann = registry.session("ann", false).await;
    let own = format!("/clusters/{}", made(&registry, &ann).await);
    let send = async |kind: &str, text: &str| {
        let request = registry.post(&format!("{own}/do")).cookie(&ann).text(text).header("Content-Type", kind);
        request.send().await
    };
    let csrf = &ann.csrf;
    let kind = "application/x-www-form-urlencoded";
    send("text/plain", &format!("csrf={csrf}&what=delete")).await.expect(415);
    send("application/json", &format!("{{\"csrf\": \"{csrf}\", \"what\": \"delete\"}}")).await.expect(415);
    // What it is about is missing, or its signature is; twice is not once.
    send(kind, &format!("csrf={csrf}")).await.expect(422);
    for unsigned in ["what=delete", "csrf=&what=delete", "csrf=%00&what=delete"] {
        send(kind, unsigned).await.expect(403);
    }
    send(kind, &format!("csrf={csrf}&csrf={csrf}&what=delete")).await.expect(422);
    // A token's bearer has no pages, and so no signature.
    let token = registry.token("ann", false, Scope::Admin).await;
    for fields in [vec![("what", "delete")], vec![("what", "delete"), ("csrf", csrf.as_str())]] {
        form(registry.post(&format!("{own}/do")).bearer(&token), &fields).send().await.expect(403);
    }
    page(&registry, &ann, &own).await.expect(200);
}

/// Nodes of a large cluster, and copies that each has.
const NODES: u32 = 250;
const COPIES: u32 = 10;

#[tokio::test]
async fn a_large_cluster_is_shown_on_small_pages() {
    let registry = Registry::start().await;
    let ann = registry.session("ann", false).await;
    let file = format!("[Worker]\nScript = w\nReplicas = {}\n", NODES * COPIES - 1);
    let made = submit(&registry, &ann, "/clusters/new", &[("file", &file)]).await.expect(303);
    let own = location(&made).split('?').next().unwrap().to_owned();
    let user = registry.store.user("ann").await.unwrap().unwrap();
    let mut row = registry.store.clusters_of(&user).await.unwrap().remove(0);
    let said = |number: u32| {
        let process = |index| {
            let copy = number * COPIES + index;
            let state = if copy == 1234 { State::Failed } else { State::Running };
            json!({ "component": "Worker", "copy": copy, "state": state.name(), "since": 1, "rate": 2.0, "messages": 10 })
        };
        let node = json!({ "name": format!("node-{number:03}"), "ip": "h", "processors": COPIES, "ports_from": 5555 });
        let processes: Vec<_> = (0..COPIES).map(process).collect();
        serde_json::from_value::<Sync>(json!({ "node": node, "run": uuid::Uuid::nil(), "processes": processes }))
            .unwrap()
    };
    let all: Vec<_> = (0..NODES).map(said).collect();
    all.iter().for_each(|said| row.plan_mut().offer(said.node.clone()));
    registry.store.save_cluster(&row).await.unwrap();
    for said in &all {
        registry.store.hear(&row.key, said).await.unwrap();
    }

    let rows = |answer: &Answer| answer.body.matches("<th scope=\"row\">").count();
    let shown = page(&registry, &ann, &own).await.expect(200);
    for part in [
        "245 more nodes",
        "2,499 running, 1 failed",
        "5,000/s",
        "25,000",
        "1 to 100 of 250",
        "Worker 1234</a> on node-123: failed",
    ] {
        assert!(shown.body.contains(part), "{part}");
    }
    assert_eq!(rows(&shown), 101);
    assert!(shown.body.len() < 100_000, "{} bytes", shown.body.len());
    let last = page(&registry, &ann, &format!("{own}?nodes=3")).await.expect(200);
    assert!(last.body.contains("node-249") && rows(&last) == 51);

    let processes = async |query: &str| page(&registry, &ann, &format!("{own}/processes{query}")).await.expect(200);
    let first = processes("").await;
    assert!(first.body.contains("1 to 100 of 2500") && first.body.contains("href=\"?page=2\"") && rows(&first) == 100);
    assert!(first.body.len() < 120_000, "{} bytes", first.body.len());
    assert!(processes("?page=25").await.body.contains("Worker 2499"));
    let failed = processes("?state=failed&component=Worker&node=").await;
    assert!(rows(&failed) == 1 && failed.body.contains("Worker 1234"));
    let of_node = processes("?node=node-007&page=x").await;
    assert!(rows(&of_node) == 10 && of_node.body.contains("Worker 79"));
    let running = processes("?state=running").await;
    assert!(running.body.contains("href=\"?state=running&#38;page=2\""), "{}", running.body);
    assert!(processes("?node=%3Cb%3E").await.body.contains("No process is like that"));
    assert_eq!(rows(&page(&registry, &ann, "/nodes?page=3").await.expect(200)), 50);
    let logs = page(&registry, &ann, &format!("{own}/logs?node=node-007")).await.expect(200);
    assert!(logs.body.contains("name=\"node\" value=\"node-007\"") && logs.body.len() < 20_000);
    // What changes by itself is the same without what is around it.
    let part = page(&registry, &ann, &format!("{own}/processes/list?page=25")).await.expect(200);
    assert!(part.body.contains("Worker 2499") && !part.body.contains("<html"));
}

#[tokio::test]
async fn a_file_is_checked_saved_compared_and_put_back() {
    let registry = Registry::start().await;
    let ann = registry.session("ann", false).await;
    let own = format!("/clusters/{}", made(&registry, &ann).await);
    let save = async |file: &str, what: &str, version: &str| {
        submit(&registry, &ann, &format!("{own}/file"), &[("file", file), ("what", what), ("version", version)]).await
    };
    let wrong = save("[Master]\r\nScript = m\r\nReplicas = some\r\n", "save", "1").await.expect(422);
    for part in ["Line 3, [Master], Replicas", "class=\"wrong\"", "data-line=\"3\"", "aria-invalid"] {
        assert!(wrong.body.contains(part), "{part}: {}", wrong.body);
    }
    let checked = save("[Other]\nScript = o\n", "check", "1").await.expect(200);
    assert!(checked.body.contains("Its components: Other"));
    save("[Other]\r\nScript = o\r\n", "save", "1").await.expect(303);
    assert!(page(&registry, &ann, &format!("{own}/file")).await.body.contains("[Other]\nScript = o\n"));
    save("[Third]\nScript = o\n", "save", "1").await.expect(409);

    let versions = page(&registry, &ann, &format!("{own}/versions")).await.expect(200);
    assert!(versions.body.contains("class=\"removed\"><b>-</b>[Master]"), "{}", versions.body);
    assert!(versions.body.contains("class=\"added\"><b>+</b>[Other]"));
    submit(&registry, &ann, &format!("{own}/versions/restore"), &[("number", "1")]).await.expect(303);
    assert!(page(&registry, &ann, &format!("{own}/file")).await.body.contains("[Master]"));
    page(&registry, &ann, &format!("{own}/versions?from=99")).await.expect(404);
}

#[tokio::test]
async fn lines_are_found_and_are_no_markup() {
    let registry = Registry::start().await;
    let ann = registry.session("ann", false).await;
    let own = format!("/clusters/{}", made(&registry, &ann).await);
    let key =
        registry.store.clusters_of(&registry.store.user("ann").await.unwrap().unwrap()).await.unwrap()[0].key.clone();
    let texts = ["t - server - INFO - <b>begin</b>", "t - server - WARNING - slow", "t - server - ERROR - broken"]
        .map(str::to_owned);
    registry.store.add_logs(&key, &texts).await.unwrap();
    let all = page(&registry, &ann, &format!("{own}/logs")).await.expect(200);
    assert!(all.body.contains("&#60;b&#62;begin") && !all.body.contains("<b>begin"));
    assert!(all.body.contains("class=\"line error\"") && all.body.contains("class=\"line warning\""));
    let worse = page(&registry, &ann, &format!("{own}/logs?level=warning&component=&from=&text=")).await.expect(200);
    assert!(!worse.body.contains("begin") && worse.body.contains("slow") && worse.body.contains("broken"));
    let found = page(&registry, &ann, &format!("{own}/logs?text=brok")).await.expect(200);
    assert!(!found.body.contains("slow") && found.body.contains("broken"));
    let late = page(&registry, &ann, &format!("{own}/logs?from=2999-01-01T00:00")).await.expect(200);
    assert!(late.body.contains("Nothing was printed that fits"));
    assert!(page(&registry, &ann, &format!("{own}/logs?from=soon")).await.expect(200).body.contains("expected a day"));

    let many: Vec<_> = (0..1200).map(|number| format!("line {number} of many")).collect();
    registry.store.add_logs(&key, &many).await.unwrap();
    let newest = page(&registry, &ann, &format!("{own}/logs")).await.expect(200);
    assert!(
        newest.body.contains("line 1199 of")
            && newest.body.contains("line 700 of")
            && !newest.body.contains("line 699 of")
    );
    let older = newest.body.split("href=\"?&amp;before=").nth(1).or(newest.body.split("before=").nth(1)).unwrap();
    let older = older.split('"').next().unwrap();
    let page_before = page(&registry, &ann, &format!("{own}/logs?before={older}")).await.expect(200);
    assert!(page_before.body.contains("line 699 of") && page_before.body.contains("line 200 of"));
}

#[tokio::test]
async fn tokens_users_and_passwords_are_set_by_forms() {
    let registry = Registry::start().await;
    let ann = registry.session("ann", true).await;
    let fields = [("name", "ci"), ("scope", "read"), ("days", "")];
    let made = submit(&registry, &ann, "/tokens", &fields).await.expect(201);
    let token = made.body.split("id=\"token\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    registry.get("/api/v1/me").bearer(&token).send().await.expect(200);
    let list = page(&registry, &ann, "/tokens").await.expect(200);
    assert!(!list.body.contains(&token) && list.body.contains("ci"));
    let id = list.body.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    submit(&registry, &ann, "/tokens/revoke", &[("token", &id)]).await.expect(303);
    registry.get("/api/v1/me").bearer(&token).send().await.expect(401);
    submit(&registry, &ann, "/tokens", &[("name", "ci"), ("scope", "everything")]).await.expect(400);

    let user = async |fields: &[(&str, &str)]| submit(&registry, &ann, "/users", fields).await;
    user(&[("what", "add"), ("name", "eve"), ("password", "too short")]).await.expect(400);
    user(&[("what", "add"), ("name", "eve"), ("password", PASSWORD)]).await.expect(303);
    registry.log_in("eve", PASSWORD).await.expect(200);
    assert!(page(&registry, &ann, "/users").await.body.contains("eve"));
    user(&[("what", "delete"), ("name", "eve"), ("sure", "eva")]).await.expect(400);
    user(&[("what", "delete"), ("name", "eve"), ("sure", "eve")]).await.expect(303);
    registry.log_in("eve", PASSWORD).await.expect(401);
    assert!(page(&registry, &ann, "/audit").await.body.contains("user deleted"));

    let change = |again| [("old", PASSWORD), ("new", "another password"), ("again", again)];
    submit(&registry, &ann, "/account", &change("something else")).await.expect(400);
    let changed = submit(&registry, &ann, "/account", &change("another password")).await.expect(303);
    assert_eq!(location(&changed), "/login?done=password");
    assert_eq!(location(&page(&registry, &ann, "/").await.expect(303)), "/login");
}

#[tokio::test]
async fn pages_have_no_script_or_style_of_their_own_and_files_are_kept_by_browsers() {
    let registry = Registry::start().await;
    let ann = registry.session("ann", true).await;
    let own = format!("/clusters/{}", made(&registry, &ann).await);
    let paths =
        ["/", "/clusters/new", "/nodes", "/tokens", "/users", "/audit", "/account", "/nothing"].map(str::to_owned);
    let of_cluster = ["", "/processes", "/logs", "/file", "/versions", "/settings", "/audit", "/confirm?what=reset"]
        .map(|path| format!("{own}{path}"));
    for path in paths.into_iter().chain(of_cluster) {
        let answer = page(&registry, &ann, &path).await;
        assert!([200, 404].contains(&answer.status), "{path}: {}", answer.status);
        assert_eq!(answer.header("Content-Type"), Some("text/html; charset=utf-8"), "{path}");
        assert_eq!(answer.header("Cache-Control"), Some("no-store"), "{path}");
        assert!(answer.header("Content-Security-Policy").is_some());
        for forbidden in [" style=", "<style", "javascript:", " onclick=", "http://", "https://", "<script>"] {
            let body = answer.body.replace(&registry.address.to_string(), "");
            assert!(!body.contains(forbidden), "{path}: {forbidden}");
        }
        for part in ["<html lang=\"en\">", "class=\"skip\"", "<main id=\"main\"", "<h1>"] {
            assert!(answer.body.contains(part), "{path}: {part}");
        }
        for file in answer.body.split('"').filter(|text| text.starts_with("/assets/")) {
            let kept = registry.get(file).send().await.expect(200);
            assert!(kept.header("Cache-Control").unwrap().contains("immutable"));
        }
    }
    registry.get("/assets/000000000000/palm.css").send().await.expect(404);
    // Programs are told so as they understand it.
    assert_eq!(registry.get("/api/v1/nothing").send().await.expect(404).code(), "not-found");
    let token = registry.token("ann", true, Scope::Read).await;
    registry.get("/").bearer(&token).send().await.expect(200);
}
