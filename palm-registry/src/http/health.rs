//! What watches the registry itself: `/healthz` and `/metrics`.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::access::{Caller, Peer};
use super::app::App;
use super::problem::Problem;
use crate::store::{Scope, now};
use crate::wire::SILENT_AFTER;

pub(super) fn router() -> Router<App> {
    Router::new().route("/healthz", get(healthz)).route("/metrics", get(metrics))
}

/// Counts answers.
pub(super) async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if let Some(counter) = app.answers.get(usize::from(response.status().as_u16() / 100)) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
    response
}

async fn healthz(State(app): State<App>) -> (StatusCode, &'static str) {
    match app.store.check().await {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(error) => {
            tracing::error!("{error}");
            (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be reached\n")
        }
    }
}

/// Totals, for whoever is on this machine, or has a token that may read.
async fn metrics(State(app): State<App>, peer: Peer, caller: Option<Caller>) -> Result<Response, Problem> {
    let may_read = caller.is_some_and(|caller| caller.scope != Scope::Runner);
    if !may_read && !peer.0.to_canonical().is_loopback() {
        return Err(Problem::unknown_caller());
    }
    let [users, clusters, nodes, alive, lines] = app.store.totals(now() - SILENT_AFTER).await?;
    let mut text = String::new();
    head(
        &mut text,
        "palm_registry_requests_total",
        "counter",
        "Requests that were answered, by the class of the status.",
    );
    for (class, counter) in app.answers.iter().enumerate().skip(1) {
        let count = counter.load(Ordering::Relaxed);
        let _ = writeln!(text, "palm_registry_requests_total{{class=\"{class}xx\"}} {count}");
    }
    for (name, help, value) in [
        ("palm_registry_users", "Users.", users),
        ("palm_registry_clusters", "Clusters.", clusters),
        ("palm_registry_nodes_alive", "Nodes whose runners give signs of life.", alive),
        ("palm_registry_nodes_silent", "Nodes whose runners give none any more, or have left.", nodes - alive),
    ] {
        head(&mut text, name, "gauge", help);
        let _ = writeln!(text, "{name} {value}");
    }
    head(&mut text, "palm_registry_processes", "gauge", "Processes, by what their nodes reported last.");
    let counts = app.store.count_processes().await?;
    for (state, count) in counts {
        let _ = writeln!(text, "palm_registry_processes{{state=\"{state}\"}} {count}");
    }
    limits(&mut text, &app);
    let work = &app.store.work;
    head(
        &mut text,
        "palm_registry_work_waiting",
        "gauge",
        "Files, plans and pages that are being worked out, or wait to be.",
    );
    let _ = writeln!(text, "palm_registry_work_waiting {}", work.waiting());
    head(&mut text, "palm_registry_log_lines_total", "counter", "Lines that were ever kept.");
    let _ = writeln!(text, "palm_registry_log_lines_total {lines}");
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// What there is of all that has a bound, and how often somebody was refused.
fn limits(text: &mut String, app: &App) {
    let (connections, places) = (&app.connections, &app.places);
    let kinds =
        [("strangers", &connections.strangers), ("expected", &connections.expected), ("known", &connections.known)];
    head(text, "palm_registry_connections", "gauge", "Connections, by whether it is known who uses them.");
    for (kind, shares) in kinds {
        let _ = writeln!(text, "palm_registry_connections{{of=\"{kind}\"}} {}", shares.taken());
    }
    head(text, "palm_registry_refused_total", "counter", "What was refused as there was too much of it.");
    let connections = kinds.map(|(_, shares)| shares.refused()).iter().sum();
    for (what, refused) in [
        ("connections", connections),
        ("streams", places.streams.refused()),
        ("bodies", places.bodies_refused.load(Ordering::Relaxed)),
        ("passwords", app.hashing.refused()),
        ("work", app.store.work.refused()),
    ] {
        let _ = writeln!(text, "palm_registry_refused_total{{what=\"{what}\"}} {refused}");
    }
    for (name, help, value) in [
        ("palm_registry_streams", "Streams of events.", places.streams.taken()),
        ("palm_registry_bodies_room_bytes", "Bytes of long bodies for which there is room.", places.room_for_bodies()),
        ("palm_registry_passwords_waiting", "Passwords that are being checked, or wait to be.", app.hashing.waiting()),
    ] {
        head(text, name, "gauge", help);
        let _ = writeln!(text, "{name} {value}");
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
