//! Who gets in, and who does not: each line of `docs/registry.md`, section 7, against a registry at a loopback port.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{PASSWORD, Registry};
use palm_registry::store::{Scope, secret};
use serde_json::json;

#[tokio::test]
async fn passwords_are_kept_as_argon2id() {
    let registry = Registry::start().await;
    registry.session("ann", false).await;
    let (_, hash) = registry.store.password_of("ann").await.unwrap().unwrap();
    let hash = hash.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    registry.log_in("ann", "another password").await.expect(401);
}

#[tokio::test]
async fn a_session_has_a_cookie_that_scripts_and_other_sites_do_not_get() {
    let registry = Registry::start().await;
    registry.session("ann", false).await;
    let answer = registry.log_in("ann", PASSWORD).await.expect(200);
    let cookie = answer.header("Set-Cookie").unwrap();
    let value = cookie.split(['=', ';']).nth(1).unwrap();
    assert_eq!(value.len(), 64, "256 bits in hexadecimal digits");
    for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"] {
        assert!(cookie.split("; ").any(|found| found == part), "{part}: {cookie}");
    }
    assert!(!cookie.contains("Secure"), "nothing is encrypted here: {cookie}");
    let Some(bytes) = registry.written() else { return };
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!holds(value), "the store has the cookie's hash, and not the cookie");
    assert!(holds(&secret::hash(value)));
}

#[tokio::test]
async fn under_tls_the_cookie_is_never_sent_in_the_clear() {
    // The listener's own encryption is tested elsewhere: what counts here is what it says.
    let registry = Registry::start_with(|settings| settings.tls = true).await;
    registry.session("ann", false).await;
    let answer = registry.log_in("ann", PASSWORD).await.expect(200);
    let cookie = answer.header("Set-Cookie").unwrap();
    assert!(cookie.starts_with("__Host-") && cookie.ends_with("; Secure"), "{cookie}");
    // Nor is a page taken for ours that came in the clear.
    let log_in = registry.post("/api/v1/session").json(&json!({ "name": "ann", "password": PASSWORD }));
    let from = |scheme: &str| log_in.clone().header("Origin", &format!("{scheme}://{}", registry.address)).send();
    assert_eq!(from("http").await.expect(403).code(), "foreign-origin");
    from("https").await.expect(200);
    let document = registry.get("/api/v1/openapi.json").send().await.expect(200).json();
    let named = &document["components"]["securitySchemes"]["session"]["name"];
    assert_eq!(named.as_str(), cookie.split('=').next());
    // A cookie of the name that others can set is none.
    let weak = cookie.split(';').next().unwrap().replace("__Host-", "");
    registry.get("/api/v1/me").header("Cookie", &weak).send().await.expect(401);
}

#[tokio::test]
async fn a_session_ends_by_log_out_by_time_and_by_another_password() {
    let registry = Registry::start().await;
    let (first, second) = (registry.session("ann", false).await, registry.log_in("ann", PASSWORD).await.session());
    let me = |session| registry.get("/api/v1/me").cookie(session).send();
    me(&first).await.expect(200);
    let answer = registry.delete("/api/v1/session").signed(&first).send().await.expect(204);
    assert!(answer.header("Set-Cookie").unwrap().contains("Max-Age=0"));
    me(&first).await.expect(401);

    let third = registry.log_in("ann", PASSWORD).await.session();
    let change = registry.put("/api/v1/me/password").signed(&second);
    change.clone().json(&json!({ "old": "wrong password", "new": "another password" })).send().await.expect(401);
    change.json(&json!({ "old": PASSWORD, "new": "another password" })).send().await.expect(204);
    me(&second).await.expect(401);
    me(&third).await.expect(401);
    registry.log_in("ann", PASSWORD).await.expect(401);
    registry.log_in("ann", "another password").await.expect(200);

    let short = Registry::start_with(|settings| settings.session = 0).await;
    let over = short.session("ann", false).await;
    short.get("/api/v1/me").cookie(&over).send().await.expect(401);
}

#[tokio::test]
async fn a_change_by_cookie_needs_what_only_the_registrys_pages_know() {
    let registry = Registry::start().await;
    let (ann, bob) = (registry.session("ann", false).await, registry.session("bob", false).await);
    let add = registry.post("/api/v1/tokens").json(&json!({ "name": "t", "scope": "read" }));
    assert_eq!(add.clone().cookie(&ann).send().await.expect(403).code(), "csrf");
    let with_another = add.clone().cookie(&ann).header("X-CSRF-Token", &bob.csrf);
    assert_eq!(with_another.send().await.expect(403).code(), "csrf");
    add.clone().signed(&ann).send().await.expect(201);
    // A form of another site cannot say that it is JSON.
    let form = add.signed(&ann).header("Content-Type", "application/x-www-form-urlencoded");
    form.send().await.expect(415);
}

#[tokio::test]
async fn other_sites_and_other_names_are_turned_away() {
    let registry = Registry::start_with(|settings| settings.hosts.push("palm.example".to_owned())).await;
    let ann = registry.session("ann", false).await;
    let add = registry.post("/api/v1/tokens").json(&json!({ "name": "t", "scope": "read" })).signed(&ann);
    let own = format!("http://{}", registry.address);
    add.clone().header("Origin", &own).header("Sec-Fetch-Site", "same-origin").send().await.expect(201);
    for origin in ["http://evil.example", "null", "", "http://127.0.0.1:1"] {
        assert_eq!(add.clone().header("Origin", origin).send().await.expect(403).code(), "foreign-origin", "{origin}");
    }
    for site in ["cross-site", "same-site"] {
        assert_eq!(add.clone().header("Sec-Fetch-Site", site).send().await.expect(403).code(), "foreign-origin");
    }
    let log_in = registry.post("/api/v1/session").json(&json!({ "name": "ann", "password": PASSWORD }));
    log_in.header("Origin", "http://evil.example").send().await.expect(403);
    for host in ["localhost:1", "palm.example", "[::1]"] {
        registry.get("/api/v1/me").cookie(&ann).header("Host", host).send().await.expect(200);
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "192.0.2.1"] {
        let answer = registry.get("/api/v1/me").cookie(&ann).header("Host", host).send().await.expect(421);
        assert_eq!(answer.code(), "unknown-host");
    }
}

#[tokio::test]
async fn log_ins_are_limited_by_name() {
    let registry = Registry::start().await;
    registry.session("ann", false).await;
    for _ in 0..10 {
        registry.log_in("ann", "wrong password").await.expect(401);
    }
    let answer = registry.log_in("ann", PASSWORD).await.expect(429);
    let seconds: u64 = answer.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=601).contains(&seconds), "{seconds}");
    // Others are not kept out, and a name that nobody has is limited as well.
    registry.session("bob", false).await;
    for _ in 0..10 {
        assert_eq!(registry.log_in("nobody", "wrong password").await.expect(401).code(), "wrong-password");
    }
    registry.log_in("nobody", "wrong password").await.expect(429);
}

#[tokio::test]
async fn log_ins_are_limited_by_address() {
    let registry = Registry::start().await;
    registry.session("ann", false).await;
    for index in 0..50 {
        // Nobody has this name, and the password is too long to be one: nothing is hashed.
        registry.log_in(&format!("name-{index}"), &"x".repeat(2000)).await.expect(401);
    }
    let answer = registry.log_in("ann", PASSWORD).await.expect(429);
    assert!(answer.header("Retry-After").is_some());
}

#[tokio::test]
async fn an_unknown_name_is_answered_as_a_wrong_password() {
    let registry = Registry::start().await;
    registry.session("ann", false).await;
    let (known, unknown) =
        (registry.log_in("ann", "wrong password").await, registry.log_in("nobody", "wrong password").await);
    assert_eq!((known.status, known.body), (unknown.status, unknown.body));
}

#[tokio::test]
async fn tokens_are_shown_once_listed_and_revoked() {
    let registry = Registry::start().await;
    let ann = registry.session("ann", false).await;
    let add = |body| registry.post("/api/v1/tokens").signed(&ann).json(&body).send();
    let made = add(json!({ "name": "laptop", "scope": "owner" })).await.expect(201).json();
    let token = made["token"].as_str().unwrap().to_owned();
    registry.get("/api/v1/clusters").bearer(&token).send().await.expect(200);
    let list = registry.get("/api/v1/tokens").cookie(&ann).send().await.expect(200);
    assert_eq!((list.json()[0]["name"].as_str(), list.json()[0]["id"].as_str()), (Some("laptop"), made["id"].as_str()));
    assert!(!list.body.contains(&token));
    let bytes = registry.written().unwrap_or_default();
    assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()));

    let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    let bob = registry.session("bob", false).await;
    registry.delete(&path).signed(&bob).send().await.expect(404);
    registry.delete(&path).signed(&ann).send().await.expect(204);
    let answer = registry.get("/api/v1/clusters").bearer(&token).send().await.expect(401);
    assert_eq!(answer.code(), "bad-token");

    add(json!({ "name": "old", "scope": "owner", "expires": 1 })).await.expect(400);
    let user = registry.store.user("ann").await.unwrap().unwrap();
    let (expired, _) = registry.store.add_token_with(&user, "old", Scope::Admin, Some(1)).await.unwrap();
    registry.get("/api/v1/me").bearer(&expired).send().await.expect(401);
}

#[tokio::test]
async fn a_token_does_what_its_scope_says_and_no_more() {
    let registry = Registry::start().await;
    let admin = registry.token("ann", true, Scope::Admin).await;
    let id = registry.cluster(&admin).await;
    registry.get("/api/v1/users").bearer(&admin).send().await.expect(200);
    for (scope, see, make, reset) in
        [(Scope::Owner, 200, 201, 204), (Scope::Read, 200, 403, 403), (Scope::Runner, 404, 403, 404)]
    {
        let token = registry.token("ann", true, scope).await;
        for path in ["/api/v1/users", "/api/v1/audit", "/api/v1/tokens"] {
            registry.get(path).bearer(&token).send().await.expect(403);
        }
        registry.get("/api/v1/me").bearer(&token).send().await.expect(200);
        registry.get(&format!("/api/v1/clusters/{id}")).bearer(&token).send().await.expect(see);
        let body = json!({ "file": common::FILE });
        registry.post("/api/v1/clusters").bearer(&token).json(&body).send().await.expect(make);
        registry.post(&format!("/api/v1/clusters/{id}/reset")).bearer(&token).send().await.expect(reset);
    }
}

#[tokio::test]
async fn the_first_admin_is_made_once() {
    let registry = Registry::start().await;
    let settings = palm_registry::http::Settings::new(registry.address);
    let link = || palm_registry::http::access::setup_link(&registry.store, &settings);
    let old = link().await.unwrap().unwrap();
    let link_now = link().await.unwrap().unwrap();
    let code = |link: &str| link.split_once("/setup?code=").unwrap().1.to_owned();
    let set_up = |code: String, name: &str| {
        let body = json!({ "code": code, "name": name, "password": PASSWORD });
        registry.post("/api/v1/setup").json(&body).send()
    };
    set_up(code(&old), "eve").await.expect(403);
    set_up("no code".to_owned(), "eve").await.expect(403);
    let session = set_up(code(&link_now), "ann").await.expect(200).session();
    registry.get("/api/v1/users").cookie(&session).send().await.expect(200);
    set_up(code(&link_now), "eve").await.expect(403);
    assert!(link().await.unwrap().is_none(), "there is somebody now");

    let expired = Registry::start().await;
    let code = expired.store.add_setup_code(1).await.unwrap();
    let body = json!({ "code": code, "name": "eve", "password": PASSWORD });
    expired.post("/api/v1/setup").json(&body).send().await.expect(403);
}

#[tokio::test]
async fn somebody_is_always_left_who_can_administer() {
    let registry = Registry::start().await;
    let admin = registry.token("ann", true, Scope::Admin).await;
    registry.delete("/api/v1/users/ann").bearer(&admin).send().await.expect(409);
    registry.put("/api/v1/users/ann").bearer(&admin).json(&json!({ "admin": false })).send().await.expect(409);
    registry
        .post("/api/v1/users")
        .bearer(&admin)
        .json(&json!({ "name": "bob", "admin": true }))
        .send()
        .await
        .expect(201);
    registry.delete("/api/v1/users/ann").bearer(&admin).send().await.expect(204);
    registry.get("/api/v1/me").bearer(&admin).send().await.expect(401);
}

#[tokio::test]
async fn what_is_done_is_written_down_without_secrets() {
    let registry = Registry::start().await;
    let ann = registry.session("ann", true).await;
    registry.log_in("ann", "a wrong password").await.expect(401);
    registry.log_in("typed-a-password-here", "another one").await.expect(401);
    let made = registry.post("/api/v1/tokens").signed(&ann).json(&json!({ "name": "laptop", "scope": "owner" }));
    let token = made.send().await.expect(201).json()["token"].as_str().unwrap().to_owned();
    let id = registry.cluster(&token).await;
    registry.delete(&format!("/api/v1/clusters/{id}")).bearer(&token).send().await.expect(204);

    let answer = registry.get("/api/v1/audit").cookie(&ann).send().await.expect(200);
    let deeds = answer.json();
    let whats: Vec<_> = deeds.as_array().unwrap().iter().map(|deed| deed["what"].as_str().unwrap()).collect();
    for what in ["log-in", "log-in failed", "token made", "password set", "cluster made", "cluster deleted"] {
        assert!(whats.contains(&what), "{what}: {whats:?}");
    }
    let deleted = &deeds[0];
    assert_eq!(
        (&deleted["who"], &deleted["address"], &deleted["cluster"]),
        (&json!("ann"), &json!("127.0.0.1"), &json!(id))
    );
    for hidden in [token.as_str(), PASSWORD, "wrong password", "typed-a-password-here"] {
        assert!(!answer.body.contains(hidden), "{hidden}");
    }
    let bob = registry.session("bob", false).await;
    registry.get("/api/v1/audit").cookie(&bob).send().await.expect(403);
}

#[tokio::test]
async fn browsers_are_told_to_be_strict() {
    let registry = Registry::start().await;
    for path in ["/api/v1/me", "/api/v1/openapi.json", "/nothing", "/healthz"] {
        let answer = registry.get(path).send().await;
        let policy = answer.header("Content-Security-Policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe-inline"), "{policy}");
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(answer.header("Referrer-Policy"), Some("same-origin"));
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_store() {
    use std::os::unix::fs::PermissionsExt as _;
    let registry = Registry::start().await;
    registry.token("ann", false, Scope::Read).await;
    for file in std::fs::read_dir(registry.folder.path()).unwrap().map(Result::unwrap) {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", file.path());
    }
}

#[tokio::test]
async fn a_zero_byte_is_refused_wherever_it_comes() {
    let registry = Registry::start().await;
    let (admin, ann) =
        (registry.token("root", true, Scope::Admin).await, registry.token("ann", false, Scope::Admin).await);
    let id = registry.cluster(&ann).await;
    for (method, path) in [
        ("GET", "/api/v1/users/%00/tokens".to_owned()),
        ("DELETE", "/api/v1/users/%00".to_owned()),
        ("DELETE", "/api/v1/tokens/a%00".to_owned()),
        ("DELETE", "/api/v1/users/ann/tokens/%00b".to_owned()),
        ("DELETE", format!("/api/v1/clusters/{id}/nodes/%00")),
        ("DELETE", format!("/api/v1/clusters/{id}/shares/%00")),
        ("GET", format!("/api/v1/clusters/{id}/logs?component=%00")),
        ("GET", format!("/api/v1/clusters/{id}/logs?text=a%00")),
        ("GET", format!("/clusters/{id}/logs?node=%00")),
        ("GET", "/cluster?method=node_config&cluster=%00&node=x".to_owned()),
        ("GET", "/logs?cluster=%00".to_owned()),
    ] {
        registry.request(method, &path).bearer(&admin).send().await.expect(400);
    }
    registry.get("/users/%00").bearer(&admin).send().await.expect(400);
    let status = registry.log_in("a\0", PASSWORD).await.status;
    assert!([400, 401].contains(&status), "{status}");
    for (method, path, body) in [
        ("POST", "/api/v1/users".to_owned(), json!({ "name": "a\0" })),
        ("POST", "/api/v1/tokens".to_owned(), json!({ "name": "a\0", "scope": "read" })),
        ("POST", "/api/v1/clusters".to_owned(), json!({ "alias": "a\0", "file": common::FILE })),
        ("POST", "/api/v1/clusters".to_owned(), json!({ "file": "[A\0]\nScript = a\n" })),
        ("PUT", format!("/api/v1/clusters/{id}"), json!({ "alias": "a\0" })),
        ("POST", "/api/v1/setup".to_owned(), json!({ "code": "a\0", "name": "a\0", "password": PASSWORD })),
        ("POST", format!("/api/v1/clusters/{id}/stop"), json!({ "component": "a\0" })),
    ] {
        let answer = registry.request(method, &path).bearer(&admin).json(&body).send().await;
        assert!((400..500).contains(&answer.status), "{method} {path}: {answer:?}");
    }
}

#[tokio::test]
async fn what_pythons_clients_do_is_written_down() {
    let registry = Registry::start().await;
    let ann = registry.token("ann", false, Scope::Owner).await;
    let ask = |query: &str| registry.get(&format!("/cluster?cluster=k&key=k&{query}")).header("Key", &ann).send();
    for _ in 0..2 {
        ask("method=new_cluster&alias=mine&description=%5BA%5D%0AScript%20%3D%20a%0A").await.expect(200);
    }
    ask("method=cluster_reset").await.expect(200);
    ask("method=cluster_delete").await.expect(200);
    let deeds = registry.store.deeds(None, i64::MAX, 10).await.unwrap();
    let whats: Vec<_> = deeds.iter().map(|deed| deed.what.as_str()).collect();
    assert_eq!(whats, ["cluster deleted", "reset", "file set", "cluster made"]);
    for deed in &deeds {
        assert_eq!((deed.who.as_str(), deed.address.as_str()), ("ann", "127.0.0.1"));
        assert!(deed.cluster.is_some() && deed.cluster.as_deref() != Some("k"), "its id, not its key: {deed:?}");
    }
}
