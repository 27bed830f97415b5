//! One connection: handshake, identity, HTTP.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;

use super::front::Front;
use super::tls::ALPN_H2;
use super::{Limits, PeerIdentity};
use crate::authority::{AgentIdentity, InvalidIdentity};

/// One client's calls at a time, event streams of watchers included.
const MAX_STREAMS: u32 = 256;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// Streams that were reset before they were served; a client that makes more is cut off (rapid reset).
const MAX_PENDING_RESETS: usize = 20;
const MAX_LOCAL_RESETS: usize = 256;
const SEND_BUFFER: usize = 256 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);
const HTTP1_BUFFER: usize = 64 * 1024;

pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) tls: TlsAcceptor,
    pub(super) routes: Routes,
    pub(super) limits: Limits,
}

impl Connection {
    pub(super) async fn run(
        self,
        stream: TcpStream,
        handshake: Option<OwnedSemaphorePermit>,
        shutdown: CancellationToken,
    ) {
        let peer = self.peer;
        let addresses = TcpConnectInfo { local_addr: stream.local_addr().ok(), remote_addr: Some(peer) };
        let shaken = tokio::select! {
            () = shutdown.cancelled() => return,
            shaken = self.shake_hands(stream) => shaken,
        };
        drop(handshake);
        let Some(stream) = shaken else {
            return;
        };
        match identity(&stream) {
            Ok(identity) => {
                let front = Front::new(self.routes.clone(), identity, addresses);
                self.serve(stream, front, shutdown).await;
            }
            Err(error) => {
                tracing::warn!(%peer, error = &error as &dyn std::error::Error, "refused a connection");
            }
        }
    }

    async fn shake_hands(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let peer = self.peer;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "could not set TCP_NODELAY");
        }
        match tokio::time::timeout(self.limits.handshake, self.tls.accept(stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::info!(%peer, error = &error as &dyn std::error::Error, "a TLS handshake failed");
                None
            }
            Err(_) => {
                tracing::info!(%peer, "a TLS handshake took too long");
                None
            }
        }
    }

    async fn serve(&self, stream: TlsStream<TcpStream>, front: Front, shutdown: CancellationToken) {
        let builder = builder(stream.get_ref().1.alpn_protocol() == Some(ALPN_H2));
        let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), front.clone()));
        let mut first_request = pin!(tokio::time::sleep(self.limits.first_request));
        let (mut waiting, mut stopping) = (true, false);
        loop {
            tokio::select! {
                served = serving.as_mut() => {
                    if let Err(error) = served {
                        tracing::debug!(peer = %self.peer, error = &*error, "a connection broke");
                    }
                    return;
                }
                () = shutdown.cancelled(), if !stopping => {
                    stopping = true;
                    serving.as_mut().graceful_shutdown();
                }
                () = &mut first_request, if waiting => {
                    waiting = false;
                    if !front.was_asked() {
                        tracing::debug!(peer = %self.peer, "closed a connection that asked nothing");
                        return;
                    }
                }
            }
        }
    }
}

fn identity(stream: &TlsStream<TcpStream>) -> Result<PeerIdentity, InvalidIdentity> {
    match stream.get_ref().1.peer_certificates() {
        Some([certificate, ..]) => {
            AgentIdentity::from_certificate(certificate).map(|agent| PeerIdentity::Agent(Arc::new(agent)))
        }
        Some([]) | None => Ok(PeerIdentity::None),
    }
}

/// The protocol was agreed on in the handshake: nothing is guessed from the first bytes.
fn builder(http2: bool) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_ANSWER);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEP_ALIVE_ANSWER)
        .max_buf_size(HTTP1_BUFFER);
    if http2 { builder.http2_only() } else { builder.http1_only() }
}
