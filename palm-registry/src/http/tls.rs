//! TLS, by rustls.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
pub use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::access::Peer;
use super::seats::Seats;
use super::shares::Shares;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes under way at a time.
const HANDSHAKES: usize = 256;
/// Of these, those with one address, or network of version 6. Where they are short, the oldest gives way.
const HANDSHAKES_OF_ONE: usize = 64;
/// How long to wait if no connection can be accepted, for instance as there are too many.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts connections, and hands them on when they are encrypted.
#[derive(Debug)]
pub struct TlsListener {
    address: SocketAddr,
    connections: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    accepting: tokio::task::JoinHandle<()>,
}

impl TlsListener {
    /// Encrypts the connections of a listener.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn new(listener: TcpListener, config: ServerConfig) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (hand, connections) = mpsc::channel(1);
        let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), hand));
        Ok(Self { address, connections, accepting })
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, hand: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    let (places, seats) = (Shares::new(HANDSHAKES, HANDSHAKES_OF_ONE), Arc::<Seats>::default());
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!("cannot accept a connection: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(seat) = seats.enter(&places, &Peer(peer.ip()).network()) else {
            tracing::debug!("{peer}: too many handshakes");
            continue;
        };
        let (acceptor, hand) = (acceptor.clone(), hand.clone());
        // One that is slow, or says nothing, keeps nobody else waiting.
        tokio::spawn(async move {
            let made = tokio::select! {
                made = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)) => made,
                () = seat.left() => return tracing::debug!("{peer}: its handshake gave way to another"),
            };
            drop(seat);
            match made {
                Ok(Ok(stream)) => {
                    let _ = hand.send((stream, peer)).await;
                }
                Ok(Err(error)) => tracing::debug!("{peer}: no TLS: {error}"),
                Err(_) => tracing::debug!("{peer}: no TLS in time"),
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A certificate, with those that vouch for it, and its key, as PEM files have them.
///
/// # Errors
/// If they cannot be read, or do not belong together.
pub fn config(certificate: &[u8], key: &[u8]) -> anyhow::Result<ServerConfig> {
    use anyhow::Context as _;
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().context("the certificate")?;
    anyhow::ensure!(!chain.is_empty(), "the certificate's file has none: expected PEM, `-----BEGIN CERTIFICATE-----`");
    let key = PrivateKeyDer::from_pem_slice(key).context("the key")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).context("certificate and key")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A certificate that vouches for itself, for these names and addresses, and its key; as PEM.
///
/// # Errors
/// If a name cannot stand in a certificate.
pub fn self_signed(names: Vec<String>) -> anyhow::Result<(String, String)> {
    let made = rcgen::generate_simple_self_signed(names)?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

/// By what people tell that it is the right certificate: the SHA-256 of the first, as browsers show it.
///
/// # Errors
/// If there is none.
pub fn fingerprint(certificate: &[u8]) -> anyhow::Result<String> {
    use sha2::Digest as _;
    let first = CertificateDer::from_pem_slice(certificate)?;
    let bytes: Vec<_> = sha2::Sha256::digest(&first).iter().map(|byte| format!("{byte:02X}")).collect();
    Ok(bytes.join(":"))
}
