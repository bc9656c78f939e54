//! The registry's loop.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::net::TcpListener;

use super::router;
use crate::store::Store;

/// How long requests under way may take once the registry is to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Answers whoever connects, until `stop` is over and the requests under way are answered.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    store: Store,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let stopping = async move {
        stop.await;
        let _ = tell.send(());
    };
    let serving = axum::serve(listener, router(store.clone())).with_graceful_shutdown(stopping);
    let served = tokio::select! {
        served = serving => served,
        () = async {
            let _ = told.await;
            tokio::time::sleep(GRACE).await;
        } => Ok(()),
    };
    store.close().await;
    served
}
