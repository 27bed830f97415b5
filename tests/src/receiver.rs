//! What webhooks are sent to: keeps what it gets, and answers as the test says, or not at all.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::wait::eventually;

/// A call as it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What is said to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Answer(u16, String),
    /// To be asked elsewhere.
    Redirect(String),
    /// Never.
    Hang,
}

/// Ends with its value.
pub struct Receiver {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    serving: JoinHandle<()>,
}

type Answering = dyn Fn(usize, &Received) -> Reply + Send + Sync;

/// What a signed call has as its `webhook-signature`, reckoned by the text of the standard.
///
/// # Panics
/// Never: a key of any length will do.
#[must_use]
pub fn signature(key: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

impl Received {
    /// # Panics
    /// When there is none, or it is no text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().expect("a text")
    }

    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

impl Receiver {
    /// Takes everything.
    pub async fn start() -> Self {
        Self::answering(|_, _| Reply::Answer(200, String::new())).await
    }

    /// The function gets each call with its number, from 0.
    pub async fn answering(reply: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address"), reply).await
    }

    /// # Panics
    /// When the port is not to be had.
    pub async fn at(
        address: SocketAddr,
        reply: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (kept, reply): (_, Arc<Answering>) = (Arc::clone(&received), Arc::new(reply));
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, reply) = (Arc::clone(&kept), Arc::clone(&reply));
                let service = service_fn(move |request| take(request, Arc::clone(&kept), Arc::clone(&reply)));
                // A client that hangs up is what some tests are about.
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, received, serving }
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a call.
    pub async fn until(&self, what: &str, fits: impl Fn(&Received) -> bool) -> Received {
        eventually(what, || async { self.received().into_iter().find(|r| fits(r)) }).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(
    request: Request<Incoming>,
    kept: Arc<Mutex<Vec<Received>>>,
    reply: Arc<Answering>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let received = Received { path: head.uri.path().to_owned(), headers: head.headers, body };
    let number = {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(received.clone());
        kept.len() - 1
    };
    let (status, location, text) = match reply(number, &received) {
        Reply::Answer(status, text) => (status, None, text),
        Reply::Redirect(location) => (307, Some(location), String::new()),
        Reply::Hang => std::future::pending().await,
    };
    let mut response = Response::builder().status(status);
    if let Some(location) = location {
        response = response.header(http::header::LOCATION, location);
    }
    Ok(response.body(Full::new(Bytes::from(text))).expect("a response"))
}
