//! The registry's loop.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::access::Peer;
use super::app::App;
use super::connections::Connection;
use super::router;
use super::tls::TlsListener;

/// How long requests under way may take once the registry is to stop.
const GRACE: Duration = Duration::from_secs(10);
/// What is read at a time of a connection, at most: heads of requests have to fit, and Python's clients put files into their first lines.
const BUFFER: usize = 128 << 10;

/// Answers whoever connects, encrypted if there is a certificate, until `stop` is over and the requests under way are answered.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    app: App,
    tls: Option<ServerConfig>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    match tls {
        None => answer(listener, app.clone(), stop).await,
        Some(config) => answer(TlsListener::new(listener, config)?, app.clone(), stop).await,
    }
    app.store.close().await;
    Ok(())
}

async fn answer(mut listener: impl Listener<Addr = SocketAddr>, app: App, stop: impl Future<Output = ()>) {
    let bounds = app.settings.bounds;
    let (hub, connections) = (app.hub.clone(), app.connections.clone());
    let router = router(app);
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head).max_buf_size(BUFFER);
    let mut stop = pin!(stop);
    loop {
        let (stream, address) = tokio::select! {
            next = listener.accept() => next,
            () = &mut stop => break,
        };
        // Who comes when there are too many is sent away at once: whoever waited here would keep those waiting who are known.
        let Some(place) = connections.enter(Peer(address.ip())) else {
            tracing::debug!("{address}: too many connections");
            continue;
        };
        let service = service(router.clone(), Peer(address.ip()), place.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!("{address}: {error}");
                },
                () = place.left() => tracing::debug!("{address}: it was idle, and gave way to another connection"),
            }
        });
    }
    drop(listener);
    // Streams do not end by themselves.
    hub.end();
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

/// Answers one connection.
fn service(
    router: Router,
    peer: Peer,
    connection: Arc<Connection>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<axum::body::Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<axum::body::Body>, Infallible>> + Send,
> {
    let router = TowerToHyperService::new(router);
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        connection.answer(router.call(request))
    })
}
