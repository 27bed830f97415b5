//! The tunnel: one inner HTTP/2 connection carried by the stream that an agent opens, in which the server is the client.
//!
//! ```text
//! server: AgentChannel -> h2 client -> TunnelIo -> Tunnel.Open (outer h2, TLS) -> TunnelIo -> h2 server -> Routes: agent
//! ```
//!
//! It carries bytes. It never looks into the calls, never reconnects, and knows no identities: who may open a tunnel is the
//! business of the outer connection.

mod agent_end;
mod channel;
mod io;
mod server_end;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use tonic::Status;

pub use agent_end::OpenTunnel;
pub use channel::AgentChannel;
pub use io::Outbound;
pub use server_end::{Accepted, TunnelHandle, accept};

/// The largest piece of the inner connection that one message carries.
pub const MAX_PIECE: usize = 64 * 1024;

/// The largest message of the outer stream, for `max_decoding_message_size` of the Tunnel service: a piece and its framing.
pub const MAX_MESSAGE: usize = MAX_PIECE + 16;

/// How both ends notice that the other one is gone although no connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// How often the agent is asked for a sign of life. The agent asks in its turn, a third as often.
    pub interval: Duration,
    /// How long it has for the answer; then the tunnel ends.
    pub timeout: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), timeout: Duration::from_secs(10) }
    }
}

/// Why a tunnel ended, as this end saw it.
#[derive(Debug, Clone)]
pub enum Ended {
    /// The other end finished the stream in good order.
    ByPeer,
    /// This end closed it.
    Here,
    /// The outer stream failed: the network, or the status with which the server ended it.
    Broken(Status),
    /// The other end stopped answering, or what it sent made no sense as HTTP/2.
    Silent,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer => f.write_str("the other end closed the tunnel"),
            Self::Here => f.write_str("this end closed the tunnel"),
            Self::Broken(status) => write!(f, "the connection under the tunnel failed: {}", status.message()),
            Self::Silent => f.write_str("the other end of the tunnel stopped answering"),
        }
    }
}
