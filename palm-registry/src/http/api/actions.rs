//! What people do with what runs.

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};

use super::clusters::change;
use super::extract::{Body, Path};
use super::{Operation, operation};
use crate::api::actions::{Done, Scale, Which};
use crate::http::access::{ClusterFor, OPERATE, record};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::plan::Plan;

/// Copies beside the first that a component may have.
const REPLICAS_MAX: u32 = 9_999;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(Method::POST, "/api/v1/clusters/{id}/start", start)
            .says("Start components that were stopped")
            .body::<Which>()
            .answers::<Done>(),
        operation(Method::POST, "/api/v1/clusters/{id}/stop", stop)
            .says("Stop components: they keep their places")
            .body::<Which>()
            .answers::<Done>(),
        operation(Method::POST, "/api/v1/clusters/{id}/restart", restart)
            .says("Replace the processes of components by new ones")
            .body::<Which>()
            .answers::<Done>(),
        operation(Method::POST, "/api/v1/clusters/{id}/scale", scale)
            .says("Set how many copies a component has, until its file is another")
            .body::<Scale>(),
        operation(Method::POST, "/api/v1/clusters/{id}/reset", reset)
            .says("Forget all places and nodes: nodes that ask again are given theirs anew"),
        operation(Method::DELETE, "/api/v1/clusters/{id}/nodes/{node}", remove_node)
            .says("Remove a node: what it ran waits for another place"),
    ]
}

pub(crate) async fn start(State(app): State<App>, cluster: ClusterFor<OPERATE>, Body(which): Body<Which>) -> Answer {
    each(&app, cluster, which, "started", Plan::start).await
}

pub(crate) async fn stop(State(app): State<App>, cluster: ClusterFor<OPERATE>, Body(which): Body<Which>) -> Answer {
    each(&app, cluster, which, "stopped", Plan::stop).await
}

pub(crate) async fn restart(State(app): State<App>, cluster: ClusterFor<OPERATE>, Body(which): Body<Which>) -> Answer {
    each(&app, cluster, which, "restarted", Plan::restart).await
}

pub(crate) type Answer = Result<Json<Done>, Problem>;

pub(crate) async fn each(
    app: &App,
    ClusterFor { caller, found }: ClusterFor<OPERATE>,
    which: Which,
    what: &str,
    does: impl Fn(&mut Plan, &str) -> bool + Send + 'static,
) -> Answer {
    let component = which.component.clone();
    let components = change(app, &found.row.key, move |row| {
        let all = row.plan.cluster().components.iter().map(|component| component.name.clone());
        let names: Vec<_> = component.clone().map_or_else(|| all.collect(), |name| vec![name]);
        if names.iter().all(|name| does(row.plan_mut(), name)) {
            return Ok(names);
        }
        Err(Problem::not_found("component"))
    })
    .await?;
    let detail = which.component.unwrap_or_else(|| "everything".to_owned());
    record(&app.store, &caller, what, Some(&found.row.id), detail).await?;
    Ok(Json(Done { components }))
}

pub(crate) async fn scale(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<OPERATE>,
    Body(body): Body<Scale>,
) -> Result<StatusCode, Problem> {
    if body.replicas > REPLICAS_MAX {
        return Err(Problem::invalid(format!("expected `replicas` of at most {REPLICAS_MAX}")));
    }
    let detail = format!("{} to {} beside the first", body.component, body.replicas);
    change(&app, &found.row.key, move |row| {
        row.plan.check_scale(&body.component, body.replicas).map_err(Problem::invalid)?;
        let is_there = row.plan_mut().scale(&body.component, body.replicas);
        if is_there { Ok(()) } else { Err(Problem::not_found("component")) }
    })
    .await?;
    record(&app.store, &caller, "scaled", Some(&found.row.id), detail).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn reset(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<OPERATE>,
) -> Result<StatusCode, Problem> {
    change(&app, &found.row.key, |row| {
        row.plan_mut().reset();
        Ok(())
    })
    .await?;
    record(&app.store, &caller, "reset", Some(&found.row.id), "").await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn remove_node(
    State(app): State<App>,
    ClusterFor { caller, found }: ClusterFor<OPERATE>,
    Path((_, node)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let name = node.clone();
    let was_placed = change(&app, &found.row.key, move |row| Ok(row.plan_mut().remove_node(&name))).await?;
    let was_heard = app.store.forget_node(&found.row.key, &node).await?;
    if !was_placed && !was_heard {
        return Err(Problem::not_found("node"));
    }
    record(&app.store, &caller, "node removed", Some(&found.row.id), node).await?;
    Ok(StatusCode::NO_CONTENT)
}
