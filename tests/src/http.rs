//! An HTTP target whose health a test decides: it answers, turns sick, redirects, hangs, or never stops talking.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a path answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A status and a body.
    Is(u16, String),
    /// To this address.
    Redirect(String),
    /// The request is taken, and nothing comes.
    Hang,
    /// A body of so many bytes, its length not said beforehand.
    Large(usize),
}

/// Ends with its value.
#[derive(Debug)]
pub struct HttpTarget {
    /// `http://127.0.0.1:PORT`
    pub origin: String,
    shared: Arc<Mutex<Shared>>,
    serving: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    replies: BTreeMap<String, Reply>,
    requests: Vec<String>,
}

impl HttpTarget {
    /// Answers 404 to everything until it is told otherwise.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new(Mutex::new(Shared::default()));
        let known = Arc::clone(&shared);
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&known)));
            }
        });
        Self { origin, shared, serving }
    }

    /// From here on a path answers so.
    pub fn says(&self, path: &str, reply: Reply) {
        lock(&self.shared).replies.insert(path.to_owned(), reply);
    }

    /// The heads of the requests so far, each as it came.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        lock(&self.shared).requests.clone()
    }
}

impl Drop for HttpTarget {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A client that hangs up is what some tests are about.
async fn serve(socket: TcpStream, shared: Arc<Mutex<Shared>>) {
    let mut socket = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match socket.read_line(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let reply = {
        let mut shared = lock(&shared);
        shared.requests.push(head);
        shared.replies.get(&path).cloned()
    };
    let socket = socket.get_mut();
    let answer = match reply {
        None => plain(404, ""),
        Some(Reply::Is(status, body)) => plain(status, &body),
        Some(Reply::Redirect(to)) => {
            format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        Some(Reply::Hang) => return std::future::pending().await,
        Some(Reply::Large(bytes)) => {
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", " ".repeat(bytes))
        }
    };
    let _ = socket.write_all(answer.as_bytes()).await;
    let _ = socket.shutdown().await;
}

fn plain(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
