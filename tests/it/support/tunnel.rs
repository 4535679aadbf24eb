//! HTTPS for clients that speak none: what comes in clear goes on within TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::service::spawn;

/// Connects with TLS, as a client that trusts `config` and prefers this protocol.
pub(crate) async fn connect(
    address: &str,
    config: &Arc<ClientConfig>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await?;
    let host = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(host, stream).await
}

/// Where one connects in clear.
#[derive(Debug)]
pub(crate) struct Tunnel(SocketAddr);

impl Tunnel {
    /// To whatever speaks HTTPS at `host:port`, now or later.
    pub(crate) async fn to(address: &str, config: &Arc<ClientConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tunnel = Self(listener.local_addr().unwrap());
        let (address, config) = (address.to_owned(), Arc::clone(config));
        spawn(async move {
            loop {
                let mut client = listener.accept().await.unwrap().0;
                let (address, config) = (address.clone(), Arc::clone(&config));
                spawn(async move {
                    // Nobody there: the client sees its connection end.
                    let Ok(mut server) = connect(&address, &config, b"http/1.1").await else {
                        return;
                    };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        tunnel
    }

    /// Where clients connect, `host:port`.
    pub(crate) fn address(&self) -> String {
        self.0.to_string()
    }
}
