//! The registry's own encryption.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;

use palm_registry::http::{App, Settings, serve, tls};
use palm_registry::store::Store;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_trusts_the_certificate_gets_in_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store.db").to_str().unwrap()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (certificate, key) = tls::self_signed(vec!["localhost".to_owned()]).unwrap();
    assert_eq!(tls::fingerprint(certificate.as_bytes()).unwrap().len(), 32 * 3 - 1);
    let config = tls::config(certificate.as_bytes(), key.as_bytes()).unwrap();
    let settings = Settings { tls: true, ..Settings::new(address) };
    tokio::spawn(serve(listener, App::new(store, settings), Some(config), std::future::pending()));

    let connector = |trusted: bool| {
        let mut roots = RootCertStore::empty();
        if trusted {
            roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let config = builder.with_safe_default_protocol_versions().unwrap();
        TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    };
    let name = || ServerName::try_from("localhost").unwrap();
    // However many say nothing from one address, they keep nobody waiting who comes from another.
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let elsewhere = async || {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        socket.connect(address).await.unwrap()
    };
    // Nor who comes from the same.
    let stream = connector(true).connect(name(), TcpStream::connect(address).await.unwrap()).await.unwrap();
    common::Request::to(address, "GET", "/healthz").send_over(stream).await.expect(200);
    let stream = connector(true).connect(name(), elsewhere().await).await.unwrap();
    common::Request::to(address, "GET", "/healthz").send_over(stream).await.expect(200);
    assert!(connector(false).connect(name(), elsewhere().await).await.is_err());
    assert!(tls::config(certificate.as_bytes(), b"no key").is_err());
}
