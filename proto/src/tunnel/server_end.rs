//! The server's end: it takes the agent's stream and makes calls through it.

use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tonic::transport::{Endpoint, Uri};
use tonic::{Status, Streaming};
use tower::service_fn;

use super::io::{Outbound, State, prepare};
use super::{AgentChannel, Ended, KeepAlive};
use crate::v1::Chunk;

/// A tunnel that was taken.
#[derive(Debug)]
pub struct Accepted {
    /// The response of `Tunnel.Open`. The tunnel lives only while it is polled, so it has to be returned to the agent.
    pub outbound: Outbound,
    /// Calls the agent's services.
    pub channel: AgentChannel,
    pub handle: TunnelHandle,
}

/// Watches and ends a tunnel. Dropping it changes nothing.
#[derive(Debug, Clone)]
pub struct TunnelHandle {
    state: Arc<State>,
}

impl TunnelHandle {
    /// Waits until the tunnel has ended.
    pub async fn ended(&self) -> Ended {
        self.state.gone().await
    }

    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state.reason().is_some()
    }

    /// Ends the tunnel and every call in it at once, and tells the agent why.
    pub fn close(&self, farewell: Status) {
        self.state.close(Some(farewell));
    }
}

/// Takes the stream of an agent that was let in. Answers without waiting for the agent.
pub async fn accept(inbound: Streaming<Chunk>, keep_alive: KeepAlive) -> Result<Accepted, Status> {
    let (prepared, outbound, state) = prepare();
    let mut once = Some(TokioIo::new(prepared.with_inbound(inbound)));
    let connector = service_fn(move |_: Uri| {
        // A tunnel can't be made anew from this end: the second connection that the channel asks for never comes.
        let io = once.take();
        async move { io.ok_or_else(|| std::io::Error::other("the agent's tunnel has ended")) }
    });
    let channel = Endpoint::from_static("http://agent.tunnel")
        .http2_keep_alive_interval(keep_alive.interval)
        .keep_alive_timeout(keep_alive.timeout)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(|error| Status::internal(format!("could not begin HTTP/2 inside the tunnel: {error}")))?;
    Ok(Accepted {
        outbound,
        channel: AgentChannel::new(channel, Arc::clone(&state)),
        handle: TunnelHandle { state },
    })
}
