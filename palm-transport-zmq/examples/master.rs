//! A master on PALM's default addresses, until Ctrl-C: `cargo run --release --example master -- NAME`.

use palm_transport_zmq::{Master, MasterConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "example".into());
    let master = Master::bind(MasterConfig::new(name)).await?;
    let handle = master.handle();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.shutdown();
        }
    });
    master.run().await;
    Ok(())
}
