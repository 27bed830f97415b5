//! The bytes of the inner connection as pieces of the outer stream, both ways.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, PollSender, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;
use tonic::{Status, Streaming};

use super::{Ended, MAX_PIECE};
use crate::v1::Chunk;

/// Pieces on their way into the outer stream; with `MAX_PIECE` it bounds what one tunnel buffers here.
const PIECES_IN_FLIGHT: usize = 8;

/// What the two halves of one end and their owner share.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Fired to end the tunnel from here.
    close: CancellationToken,
    /// What the peer is told when it is closed from here; nothing means an end in good order.
    farewell: OnceLock<Status>,
    reason: OnceLock<Ended>,
    /// Fired when the inner connection is gone.
    gone: CancellationToken,
}

impl State {
    pub(super) fn close(&self, farewell: Option<Status>) {
        if let Some(status) = farewell {
            // A second farewell comes too late: the first one may be on its way.
            let _ = self.farewell.set(status);
        }
        self.end(Ended::Here);
        self.close.cancel();
    }

    /// Whether the tunnel is known to have ended; the inner connection may still be folding up.
    pub(super) fn reason(&self) -> Option<&Ended> {
        self.reason.get()
    }

    pub(super) async fn gone(&self) -> Ended {
        self.gone.cancelled().await;
        self.reason.get().cloned().unwrap_or(Ended::Silent)
    }

    /// The first reason stands: what follows is its consequence.
    fn end(&self, reason: Ended) {
        let _ = self.reason.set(reason);
    }
}

/// One end of the inner connection.
pub(super) struct TunnelIo {
    inbound: Streaming<Chunk>,
    unread: Bytes,
    outbound: PollSender<Bytes>,
    closed_here: Pin<Box<WaitForCancellationFutureOwned>>,
    state: Arc<State>,
}

/// The pieces that go out: the response of `Tunnel.Open` at the server, its request at the agent.
pub struct Outbound {
    pieces: mpsc::Receiver<Bytes>,
    closed_here: Pin<Box<WaitForCancellationFutureOwned>>,
    state: Arc<State>,
    finished: bool,
}

/// The outgoing half comes first, since the incoming one may exist only after the peer has seen it.
pub(super) struct Prepared {
    outbound: PollSender<Bytes>,
    state: Arc<State>,
}

pub(super) fn prepare() -> (Prepared, Outbound, Arc<State>) {
    let (sender, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
    let state = Arc::new(State::default());
    let outbound = Outbound {
        pieces: receiver,
        closed_here: Box::pin(state.close.clone().cancelled_owned()),
        state: Arc::clone(&state),
        finished: false,
    };
    (Prepared { outbound: PollSender::new(sender), state: Arc::clone(&state) }, outbound, state)
}

impl Prepared {
    pub(super) fn with_inbound(self, inbound: Streaming<Chunk>) -> TunnelIo {
        TunnelIo {
            inbound,
            unread: Bytes::new(),
            outbound: self.outbound,
            closed_here: Box::pin(self.state.close.clone().cancelled_owned()),
            state: self.state,
        }
    }
}

impl TunnelIo {
    fn poll_closed_here(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.closed_here.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the tunnel was closed here"))
            }
            Poll::Pending => Ok(()),
        }
    }
}

impl Drop for TunnelIo {
    fn drop(&mut self) {
        // Whoever gave the connection up without a word of the peer did so because the peer made none, or no sense.
        self.state.end(Ended::Silent);
        self.state.gone.cancel();
    }
}

impl Connected for TunnelIo {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for TunnelIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_closed_here(cx)?;
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.inbound).poll_next(cx)) {
                Some(Ok(chunk)) => self.unread = chunk.data,
                Some(Err(status)) => {
                    self.state.end(Ended::Broken(status.clone()));
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, status)));
                }
                None => {
                    self.state.end(Ended::ByPeer);
                    return Poll::Ready(Ok(()));
                }
            }
        }
        let length = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_closed_here(cx)?;
        ready!(self.outbound.poll_reserve(cx)).map_err(|_| no_reader())?;
        let piece = &buf[..buf.len().min(MAX_PIECE)];
        self.outbound.send_item(Bytes::copy_from_slice(piece)).map_err(|_| no_reader())?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbound.close();
        Poll::Ready(Ok(()))
    }
}

impl Stream for Outbound {
    type Item = Result<Chunk, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.finished {
            return Poll::Ready(None);
        }
        if self.closed_here.as_mut().poll(cx).is_ready() {
            self.finished = true;
            return Poll::Ready(self.state.farewell.get().cloned().map(Err));
        }
        self.pieces.poll_recv(cx).map(|piece| piece.map(|data| Ok(Chunk { data })))
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").field("state", &self.state).finish_non_exhaustive()
    }
}

fn no_reader() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the outer stream of the tunnel is gone")
}
