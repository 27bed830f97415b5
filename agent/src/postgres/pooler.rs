//! Finds the process id that the start-up message named, to tell a connection pooler from the server itself.
//!
//! A pooler that hands each transaction to another server session breaks session locks and leaks settings. It answers
//! the start-up with a key of its own, so the process id there is not `pg_backend_pid()`. The client library keeps the
//! key to itself, but writes it into a cancel request, which here goes to nobody.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio_postgres::CancelToken;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// The length of both messages that a cancel request may begin with.
const TLS_REQUEST: u32 = 8;
const CANCEL_REQUEST: u32 = 16;

/// The process id of the start-up message, or None where the library has changed its ways.
pub(super) async fn started_process_id(token: &CancelToken) -> Option<i32> {
    let (ours, theirs) = duplex(64);
    let (sent, read) = tokio::join!(token.cancel_query_raw(theirs, Bare), read_request(ours));
    sent.ok()?;
    read.ok()
}

async fn read_request(mut stream: DuplexStream) -> io::Result<i32> {
    let mut length = stream.read_u32().await?;
    if length == TLS_REQUEST {
        stream.read_u32().await?;
        stream.write_all(b"S").await?;
        length = stream.read_u32().await?;
    }
    if length != CANCEL_REQUEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let _code = stream.read_u32().await?;
    stream.read_i32().await
}

/// "TLS" that lets everything through.
struct Bare;

struct BareStream(DuplexStream);

impl TlsConnect<DuplexStream> for Bare {
    type Stream = BareStream;
    type Error = io::Error;
    type Future = Ready<io::Result<BareStream>>;

    fn connect(self, stream: DuplexStream) -> Self::Future {
        ready(Ok(BareStream(stream)))
    }
}

impl TlsStream for BareStream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for BareStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for BareStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
