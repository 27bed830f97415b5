//! Both ends over real TCP, with the Enrolment and the Tunnel service standing in for the agent's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};

use super::{Accepted, AgentChannel, Ended, KeepAlive, MAX_MESSAGE, OpenTunnel, TunnelHandle, accept};
use crate::v1::enrolment_client::EnrolmentClient;
use crate::v1::enrolment_server::{Enrolment, EnrolmentServer};
use crate::v1::tunnel_client::TunnelClient;
use crate::v1::tunnel_server::{Tunnel, TunnelServer};
use crate::v1::{Chunk, JoinRequest, JoinResponse, RenewRequest, RenewResponse};

const LIMIT: usize = 16 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);
const BRISK: KeepAlive =
    KeepAlive { interval: Duration::from_millis(100), timeout: Duration::from_millis(200) };

/// The server of the outer connection: hands each tunnel that it takes to the test.
struct Door {
    taken: mpsc::UnboundedSender<(AgentChannel, TunnelHandle)>,
    keep_alive: KeepAlive,
}

#[tonic::async_trait]
impl Tunnel for Door {
    type OpenStream = super::Outbound;

    async fn open(&self, request: Request<Streaming<Chunk>>) -> Result<Response<Self::OpenStream>, Status> {
        let Accepted { outbound, channel, handle } = accept(request.into_inner(), self.keep_alive).await?;
        self.taken.send((channel, handle)).map_err(|_| Status::aborted("the test is over"))?;
        Ok(Response::new(outbound))
    }
}

/// What the agent serves.
#[derive(Clone, Default)]
struct Inner {
    produced: Arc<AtomicUsize>,
    started: CancellationToken,
    cancelled: CancellationToken,
}

#[tonic::async_trait]
impl Enrolment for Inner {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        match request.into_inner() {
            JoinRequest { agent, .. } if agent == "refused" => Err(Status::permission_denied("not you")),
            JoinRequest { agent, .. } if agent == "endless" => {
                let _guard: DropGuard = self.cancelled.clone().drop_guard();
                self.started.cancel();
                std::future::pending().await
            }
            JoinRequest { csr, .. } => {
                let mut answer = JoinResponse { environment: "echo".into(), ..JoinResponse::default() };
                answer.identity.get_or_insert_default().certificate = csr;
                Ok(Response::new(answer))
            }
        }
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl Tunnel for Inner {
    type OpenStream = BoxStream<'static, Result<Chunk, Status>>;

    /// Sends pieces for ever, as fast as they are taken.
    async fn open(&self, _: Request<Streaming<Chunk>>) -> Result<Response<Self::OpenStream>, Status> {
        let produced = Arc::clone(&self.produced);
        let guard = self.cancelled.clone().drop_guard();
        let pieces = stream::repeat(Bytes::from(vec![7; 32 * 1024])).map(move |data| {
            let _ = &guard;
            produced.fetch_add(data.len(), Ordering::Relaxed);
            Ok(Chunk { data })
        });
        Ok(Response::new(pieces.boxed()))
    }
}

/// A TCP relay between the agent and the server: the network of the tests.
struct Network {
    address: SocketAddr,
    relay: JoinHandle<()>,
    /// Swallows everything from now on, while both connections stay up.
    frozen: CancellationToken,
}

impl Network {
    async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let frozen = CancellationToken::new();
        let freeze = frozen.clone();
        let relay = tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(server).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                () = freeze.cancelled() => std::future::pending().await,
            }
        });
        Self { address, relay, frozen }
    }
}

struct Bench {
    channel: AgentChannel,
    handle: TunnelHandle,
    inner: Inner,
    network: Network,
    agent: JoinHandle<Ended>,
    shutdown: CancellationToken,
}

impl Bench {
    async fn start(keep_alive: KeepAlive) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let network = Network::before(listener.local_addr().unwrap()).await;
        let (taken, mut tunnels) = mpsc::unbounded_channel();
        let door = TunnelServer::new(Door { taken, keep_alive }).max_decoding_message_size(MAX_MESSAGE);
        tokio::spawn(
            Server::builder().add_service(door).serve_with_incoming(TcpListenerStream::new(listener)),
        );

        let inner = Inner::default();
        let routes = Routes::new(EnrolmentServer::new(inner.clone()).max_decoding_message_size(LIMIT))
            .add_service(TunnelServer::new(inner.clone()));
        let outer =
            Channel::from_shared(format!("http://{}", network.address)).unwrap().connect().await.unwrap();
        let tunnel = OpenTunnel::open(outer).await.unwrap();
        let shutdown = CancellationToken::new();
        let agent =
            tokio::spawn(tunnel.serve(routes, keep_alive, shutdown.clone(), Duration::from_millis(200)));
        let (channel, handle) = tunnels.recv().await.unwrap();
        Self { channel, handle, inner, network, agent, shutdown }
    }

    async fn join(&self, agent: &str, csr: Vec<u8>) -> Result<JoinResponse, Status> {
        let mut client = EnrolmentClient::new(self.channel.clone()).max_decoding_message_size(LIMIT);
        let request = JoinRequest { agent: agent.into(), csr, ..JoinRequest::default() };
        client.join(request).await.map(Response::into_inner)
    }

    async fn endless_stream(&self) -> Streaming<Chunk> {
        TunnelClient::new(self.channel.clone()).open(stream::empty()).await.unwrap().into_inner()
    }

    /// Starts a call that the agent never answers, and waits until the agent works on it.
    async fn endless_call(&self) -> JoinHandle<Result<JoinResponse, Status>> {
        let mut client = EnrolmentClient::new(self.channel.clone());
        let call = tokio::spawn(async move {
            let request = JoinRequest { agent: "endless".into(), ..JoinRequest::default() };
            client.join(request).await.map(Response::into_inner)
        });
        soon("the agent's work", self.inner.started.cancelled()).await;
        call
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen in time"))
}

#[tokio::test]
async fn calls_streams_and_refusals_pass_through() {
    let bench = Bench::start(KeepAlive::default()).await;

    assert_eq!(bench.join("a", vec![1, 2, 3]).await.unwrap().identity.unwrap().certificate, [1, 2, 3]);
    assert_eq!(bench.join("refused", vec![]).await.unwrap_err().code(), Code::PermissionDenied);
    let mut pieces = bench.endless_stream().await;
    for _ in 0..200 {
        assert_eq!(pieces.message().await.unwrap().unwrap().data.len(), 32 * 1024);
    }
    drop(pieces);
    soon("cancelling the agent's work with the dropped stream", bench.inner.cancelled.cancelled()).await;
    assert!(!bench.handle.has_ended());
}

#[tokio::test]
async fn a_message_of_eight_megabytes_passes() {
    let bench = Bench::start(KeepAlive::default()).await;
    let large: Vec<u8> = (0..=255).cycle().take(8 * 1024 * 1024).collect();

    let answer = bench.join("a", large.clone()).await.unwrap();

    assert!(answer.identity.unwrap().certificate == large, "the message came back changed");
}

#[tokio::test]
async fn a_cut_connection_ends_both_ends_and_the_work_in_between() {
    let bench = Bench::start(KeepAlive::default()).await;
    let mut pieces = bench.endless_stream().await;
    pieces.message().await.unwrap().unwrap();

    bench.network.relay.abort();

    assert!(matches!(soon("the server's end", bench.handle.ended()).await, Ended::Broken(_)));
    assert!(matches!(soon("the agent's end", bench.agent).await.unwrap(), Ended::Broken(_)));
    soon("cancelling the work", bench.inner.cancelled.cancelled()).await;
    let cut = soon("the stream's end", async {
        loop {
            if let Err(status) = pieces.message().await.map(Option::unwrap) {
                return status;
            }
        }
    });
    assert_eq!(cut.await.code(), Code::Unavailable);
}

#[tokio::test]
async fn calls_during_and_after_the_end_are_unavailable() {
    let bench = Bench::start(KeepAlive::default()).await;
    let during = bench.endless_call().await;

    bench.network.relay.abort();

    let during = soon("the call's end", during).await.unwrap().unwrap_err();
    assert_eq!(during.code(), Code::Unavailable, "{during:?}");
    soon("the server's end", bench.handle.ended()).await;
    for _ in 0..3 {
        let after = soon("the answer", bench.join("a", vec![])).await.unwrap_err();
        assert_eq!(after.code(), Code::Unavailable, "{after:?}");
    }
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_noticed_by_both_ends() {
    let bench = Bench::start(BRISK).await;
    let during = bench.endless_call().await;

    bench.network.frozen.cancel();

    assert!(matches!(soon("the server's end", bench.handle.ended()).await, Ended::Silent));
    assert!(matches!(soon("the agent's end", bench.agent).await.unwrap(), Ended::Silent));
    assert_eq!(soon("the call's end", during).await.unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn the_server_can_close_a_tunnel_and_say_why() {
    let bench = Bench::start(KeepAlive::default()).await;
    let during = bench.endless_call().await;

    bench.handle.close(Status::permission_denied("this agent was revoked"));

    let Ended::Broken(status) = soon("the agent's end", bench.agent).await.unwrap() else {
        panic!("the agent was not told why");
    };
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "this agent was revoked"));
    assert!(matches!(soon("the server's end", bench.handle.ended()).await, Ended::Here));
    soon("cancelling the work", bench.inner.cancelled.cancelled()).await;
    assert_eq!(soon("the call's end", during).await.unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn an_agent_that_shuts_down_leaves_in_good_order_even_with_a_call_that_never_ends() {
    let mut bench = Bench::start(KeepAlive::default()).await;
    let during = bench.endless_call().await;

    bench.shutdown.cancel();

    assert!(matches!(soon("the agent's end", &mut bench.agent).await.unwrap(), Ended::Here));
    soon("the server's end", bench.handle.ended()).await;
    assert_eq!(soon("the call's end", during).await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(bench.join("a", vec![]).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_reader_that_does_not_read_stops_the_writer() {
    let bench = Bench::start(KeepAlive::default()).await;
    let mut pieces = bench.endless_stream().await;
    let stalled = async {
        let mut last = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = bench.inner.produced.load(Ordering::Relaxed);
            if now > 0 && now == last {
                return now;
            }
            last = now;
        }
    };

    let produced = soon("backpressure", stalled).await;

    assert!(produced < 16 * 1024 * 1024, "{produced} bytes were buffered for a reader that does not read");
    assert_eq!(
        bench.join("a", vec![9]).await.unwrap().identity.unwrap().certificate,
        [9],
        "other calls go on"
    );
    for _ in 0..2 * produced / (32 * 1024) {
        pieces.message().await.unwrap().unwrap();
    }
}
