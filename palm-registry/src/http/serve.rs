//! The registry's loop.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::serve::{IncomingStream, Listener};
use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::access::Peer;
use super::app::App;
use super::router;
use super::tls::TlsListener;

/// How long requests under way may take once the registry is to stop.
const GRACE: Duration = Duration::from_secs(10);

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
    let served = match tls {
        None => answer(listener, app.clone(), stop).await,
        Some(config) => answer(TlsListener::new(listener, config)?, app.clone(), stop).await,
    };
    app.store.close().await;
    served
}

async fn answer<L>(listener: L, app: App, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
    Peer: for<'a> axum::extract::connect_info::Connected<IncomingStream<'a, L>>,
{
    let (tell, told) = tokio::sync::oneshot::channel();
    let hub = app.hub.clone();
    let stopping = async move {
        stop.await;
        // Streams do not end by themselves.
        hub.end();
        let _ = tell.send(());
    };
    let service = router(app).into_make_service_with_connect_info::<Peer>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(stopping);
    tokio::select! {
        served = serving => served,
        () = async {
            let _ = told.await;
            tokio::time::sleep(GRACE).await;
        } => Ok(()),
    }
}
