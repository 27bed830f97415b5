//! A TCP proxy between two of our processes that breaks what runs through it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes bytes on until it is told otherwise. Ends with the test.
#[derive(Debug)]
pub struct Cutter {
    address: SocketAddr,
    generation: watch::Sender<u64>,
    swallow: Arc<AtomicBool>,
    closed: Arc<AtomicBool>,
}

impl Cutter {
    /// Listens on a port of its own and passes everything on to `target`.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let generation = watch::Sender::new(0);
        let (swallow, closed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (cuts, swallowing, refusing) = (generation.clone(), Arc::clone(&swallow), Arc::clone(&closed));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if refusing.load(Ordering::SeqCst) {
                    continue;
                }
                let cut = cuts.subscribe();
                tokio::spawn(pass(client, target, cut, Arc::clone(&swallowing)));
            }
        });
        Self { address, generation, swallow, closed }
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection at once; new ones pass.
    pub fn cut(&self) {
        self.generation.send_modify(|n| *n += 1);
    }

    /// Ends every connection and takes no new one, or takes them again.
    pub fn close(&self, closed: bool) {
        self.closed.store(closed, Ordering::SeqCst);
        self.cut();
    }

    /// Takes bytes and passes none on: a peer that has fallen silent.
    pub fn swallow(&self, on: bool) {
        self.swallow.store(on, Ordering::SeqCst);
    }
}

async fn pass(
    client: TcpStream,
    target: SocketAddr,
    mut cut: watch::Receiver<u64>,
    swallow: Arc<AtomicBool>,
) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    tokio::select! {
        () = copy(client_read, server_write, &swallow) => {}
        () = copy(server_read, client_write, &swallow) => {}
        _ = cut.changed() => {}
    }
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    swallow: &AtomicBool,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) if swallow.load(Ordering::SeqCst) => {}
            Ok(n) => {
                if to.write_all(&buffer[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}
