//! TCP and TLS, up to the moment at which the server has accepted this end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{PATIENCE, ServerUrl};

/// How long a server may keep silent after the handshake before it is taken for one that speaks second.
const FIRST_WORD: Duration = Duration::from_secs(2);

/// A connection in which the server has said its first HTTP/2 word.
///
/// In TLS 1.3 a client ends the handshake before the server looked at its certificate. A refusal comes as the first thing
/// that is read afterwards; waiting for it here keeps it from being lost in the middle of some call.
pub(super) async fn connect(
    server: &ServerUrl,
    config: Arc<ClientConfig>,
) -> io::Result<BufReader<TlsStream<TcpStream>>> {
    let mut stream = BufReader::new(shake_hands(server, config).await?);
    if let Ok(first_word) = tokio::time::timeout(FIRST_WORD, stream.fill_buf()).await
        && first_word?.is_empty()
    {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection at once"));
    }
    Ok(stream)
}

pub(super) async fn shake_hands(
    server: &ServerUrl,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(server.host().to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let handshake = async {
        let stream = TcpStream::connect((server.host(), server.port())).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(config).connect(name, stream).await
    };
    tokio::time::timeout(PATIENCE, handshake).await?
}
