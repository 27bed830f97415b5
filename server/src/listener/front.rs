//! What each request passes first: it learns who asks, and whether it is gRPC, or the answer of a hook, at all.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;
use tower::ServiceExt as _;

use super::PeerIdentity;
use crate::callback::is_callback;

const NOT_FOUND: &str =
    "Nothing is here for browsers. This port speaks gRPC (HTTP/2); use the `stopover` command.\n";

#[derive(Clone)]
pub(super) struct Front {
    routes: Routes,
    identity: PeerIdentity,
    addresses: TcpConnectInfo,
    asked: Arc<AtomicBool>,
}

impl Front {
    pub(super) fn new(routes: Routes, identity: PeerIdentity, addresses: TcpConnectInfo) -> Self {
        Self { routes, identity, addresses, asked: Arc::default() }
    }

    /// Whether this connection ever made a request.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        // Merged routers would answer an unknown path with a gRPC status whatever was asked.
        if !is_grpc(&request) && !is_callback(&request) {
            return Box::pin(std::future::ready(Ok(not_found())));
        }
        request.extensions_mut().insert(self.identity.clone());
        request.extensions_mut().insert(self.addresses.clone());
        Box::pin(self.routes.clone().oneshot(request))
    }
}

fn is_grpc<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let kind = content_type.strip_prefix(b"application/grpc");
    request.version() == Version::HTTP_2 && matches!(kind, Some([] | [b'+' | b';', ..]))
}

fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::new(NOT_FOUND.to_owned()));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type() {
        let request = |version, content_type: &str| {
            let request = Request::builder().version(version).header(CONTENT_TYPE, content_type);
            is_grpc(&request.body(()).unwrap())
        };
        for grpc in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"] {
            assert!(request(Version::HTTP_2, grpc), "{grpc}");
            assert!(!request(Version::HTTP_11, grpc), "{grpc} needs HTTP/2");
        }
        for other in ["", "text/html", "application/grpc-web", "application/json"] {
            assert!(!request(Version::HTTP_2, other), "{other}");
        }
    }
}
