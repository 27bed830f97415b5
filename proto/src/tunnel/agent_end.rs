//! The agent's end: it opens the stream and serves inside it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, future, stream};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;
use tonic::transport::{Channel, Server};

use super::io::{State, TunnelIo, prepare};
use super::{Ended, KeepAlive, MAX_MESSAGE};
use crate::v1::tunnel_client::TunnelClient;

/// The server asks each agent for a sign of life, and its outer connection shows the agent that it is there: that the inner one
/// alone has fallen silent is looked for so much less often. Of ten thousand agents every question counts.
const RARER: u32 = 3;

/// A tunnel that the server has taken, in which nothing is served yet.
pub struct OpenTunnel {
    io: TunnelIo,
    state: Arc<State>,
}

impl OpenTunnel {
    /// Opens a tunnel over the outer connection. Fails with the server's status when it does not let this agent in.
    pub async fn open(outer: Channel) -> Result<Self, Status> {
        let (prepared, outbound, state) = prepare();
        let pieces = outbound.filter_map(|piece| future::ready(piece.ok()));
        let mut client = TunnelClient::new(outer).max_decoding_message_size(MAX_MESSAGE);
        let inbound = client.open(pieces).await?.into_inner();
        Ok(Self { io: prepared.with_inbound(inbound), state })
    }

    /// Serves `routes` until the tunnel ends, or until `shutdown` fires: then the calls in it have `grace` to finish.
    ///
    /// Dropping the future ends the tunnel at once. A call that ends with the tunnel is dropped where it stands.
    pub async fn serve(
        self,
        routes: Routes,
        keep_alive: KeepAlive,
        shutdown: CancellationToken,
        grace: Duration,
    ) -> Ended {
        let Self { io, state } = self;
        let _close = CloseOnDrop(Arc::clone(&state));
        // The server of a single connection must not take the end of its list for a wish to shut down.
        let incoming = stream::once(future::ready(Ok::<_, Infallible>(io))).chain(stream::pending());
        let stop = {
            let state = Arc::clone(&state);
            let shutdown = shutdown.clone();
            async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    _ = state.gone() => {}
                }
            }
        };
        let serving = Server::builder()
            .http2_keepalive_interval(Some(keep_alive.interval * RARER))
            .http2_keepalive_timeout(Some(keep_alive.timeout))
            .serve_with_incoming_shutdown(routes, incoming, stop);
        let deadline = async {
            shutdown.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            _ = serving => {}
            () = deadline => {}
        }
        if shutdown.is_cancelled() {
            state.close(None);
        }
        state.gone().await
    }
}

struct CloseOnDrop(Arc<State>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close(None);
    }
}
