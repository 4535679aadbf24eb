//! The way to a broker: TCP, and TLS if its URL says so.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::config::{BridgeConfig, chain};
use super::tls;

/// How long TCP and TLS may take together.
const PATIENCE: Duration = Duration::from_secs(10);

/// A way to a broker.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Opens a way to the broker that `config` names.
///
/// # Errors
/// Why there is none, in one line.
pub(crate) async fn open(config: &Arc<BridgeConfig>) -> Result<Box<dyn Stream>, String> {
    let address = Address::parse(&config.url).map_err(|error| error.to_string())?;
    match timeout(PATIENCE, connect(config, &address)).await {
        Ok(found) => found,
        Err(_) => Err(format!("it has not answered within {} s", PATIENCE.as_secs())),
    }
}

async fn connect(config: &Arc<BridgeConfig>, address: &Address) -> Result<Box<dyn Stream>, String> {
    let stream = TcpStream::connect((address.host.as_str(), address.port))
        .await
        .map_err(|error| format!("cannot connect: {error}"))?;
    // Acknowledgements are small, and waited for.
    stream.set_nodelay(true).map_err(|error| format!("cannot connect: {error}"))?;
    if !address.has_tls {
        return Ok(Box::new(stream));
    }
    let reading = Arc::clone(config);
    let settings = tokio::task::spawn_blocking(move || tls::read(&reading))
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| chain(&error))?;
    let name = config.server_name.as_ref().unwrap_or(&address.host);
    let name = ServerName::try_from(name.clone())
        .map_err(|_| format!("`{name}` is no name that a certificate can have"))?;
    let stream = TlsConnector::from(settings)
        .connect(name, stream)
        .await
        .map_err(|error| format!("TLS failed: {error}"))?;
    Ok(Box::new(stream))
}
