//! A TCP proxy between an agent and PostgreSQL that reads the messages, so that a test can stop a connection at one of them
//! and do harm there: before it reaches the server, or when its answer is back and the agent does not know it yet.
//!
//! It reads what is not encrypted, so it says in the server's name that there is no TLS.

mod frames;

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use frames::{Frames, Message};

/// Carries messages until it is told otherwise. Dropping it closes whatever is still open.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// The message at which a connection is stopped, once.
#[derive(Debug, Clone)]
pub struct Hold {
    text: String,
    behind: Option<String>,
    left: u32,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    BeforeServer,
    Sent,
    BeforeAgent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Carry,
    Close,
    Reset,
    Silence,
}

#[derive(Debug)]
struct Shared {
    server_port: u16,
    hold: Mutex<Option<Hold>>,
    /// The server process of the connection that was stopped.
    held: watch::Sender<Option<i32>>,
    /// A new number makes the same order again.
    orders: watch::Sender<(u64, Order)>,
    refusing: AtomicBool,
    pooler: AtomicBool,
}

/// What both directions of a connection know of each other.
#[derive(Debug, Default)]
struct Talk {
    pid: AtomicI32,
    /// Requests that the server owes an answer for, or has answered; the start-up is number 0.
    asked: AtomicU64,
    /// The request whose answer is kept back; 0: none.
    keep_back: AtomicU64,
}

impl Hold {
    /// Where a message with this text has left the agent, and has not reached the server.
    #[must_use]
    pub fn before(text: &str) -> Self {
        Self { text: text.to_owned(), behind: None, left: 1, place: Place::BeforeServer }
    }

    /// Where it has been passed on; it goes on by itself.
    #[must_use]
    pub fn sent(text: &str) -> Self {
        Self { place: Place::Sent, ..Self::before(text) }
    }

    /// Where the server has answered it, and the agent has not been told.
    #[must_use]
    pub fn answer(text: &str) -> Self {
        Self { place: Place::BeforeAgent, ..Self::before(text) }
    }

    /// Only behind, or in, a message with this other text.
    #[must_use]
    pub fn behind(self, text: &str) -> Self {
        Self { behind: Some(text.to_owned()), ..self }
    }

    /// Not the first such message, but the one of this number, from 1.
    #[must_use]
    pub fn number(self, number: u32) -> Self {
        Self { left: number, ..self }
    }

    fn catches(&mut self, message: &Message<'_>) -> bool {
        if self.behind.as_ref().is_some_and(|text| message.holds(text)) {
            self.behind = None;
        }
        if self.behind.is_some() || !message.holds(&self.text) {
            return false;
        }
        self.left -= 1;
        self.left == 0
    }
}

impl Wire {
    /// Listens on a port of its own for the server on this one.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a listener has an address").port();
        let shared = Arc::new(Shared {
            server_port,
            hold: Mutex::default(),
            held: watch::Sender::new(None),
            orders: watch::Sender::new((0, Order::Carry)),
            refusing: AtomicBool::default(),
            pooler: AtomicBool::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { port, shared, accepting }
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets the trap for whichever connection gets there first.
    pub fn hold(&self, hold: Hold) {
        self.shared.held.send_replace(None);
        *self.shared.hold() = Some(hold);
    }

    /// Takes the trap away again, when nobody has got there.
    pub fn hold_nothing(&self) {
        *self.shared.hold() = None;
    }

    /// Waits until a connection was stopped; gives the pid of its server process.
    pub async fn held(&self) -> i32 {
        let mut held = self.shared.held.subscribe();
        let found = held.wait_for(Option::is_some).await.map(|pid| *pid);
        found.ok().flatten().unwrap_or_else(|| unreachable!("the wire holds the sender"))
    }

    /// Lets what was stopped go on.
    pub fn carry_on(&self) {
        self.order(Order::Carry);
    }

    /// Closes all connections on both sides; what was held is lost. New ones pass.
    pub fn close(&self) {
        self.order(Order::Close);
    }

    /// As the kernel does for a killed agent with unread answers: the server gets a reset.
    pub fn reset(&self) {
        self.order(Order::Reset);
    }

    /// As for an agent whose machine is gone: the server's ends stay open, and nothing ever comes. New ones pass.
    pub fn silence(&self) {
        self.order(Order::Silence);
    }

    /// Whoever connects from now on is turned away.
    pub fn refuse(&self) {
        self.shared.refusing.store(true, Ordering::SeqCst);
    }

    /// From now on the start-up names a process that is none, as a pooler does.
    pub fn pretend_pooler(&self) {
        self.shared.pooler.store(true, Ordering::SeqCst);
    }

    fn order(&self, order: Order) {
        self.shared.orders.send_modify(|(number, last)| {
            *number += 1;
            *last = order;
        });
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn hold(&self) -> std::sync::MutexGuard<'_, Option<Hold>> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the message is the one to stop at, and where; it is so only once.
    fn caught(&self, message: &Message<'_>) -> Option<Place> {
        let mut hold = self.hold();
        let armed = hold.as_mut()?;
        let place = armed.catches(message).then_some(armed.place)?;
        *hold = None;
        Some(place)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if !shared.refusing.load(Ordering::SeqCst) {
            connections.spawn(connection(client, Arc::clone(&shared)));
        }
    }
}

async fn connection(mut client: TcpStream, shared: Arc<Shared>) {
    let mut orders = shared.orders.subscribe();
    if refuse_tls(&mut client).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.server_port)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let talk = Talk::default();
    let order = tokio::select! {
        () = up(&mut from_client, &mut to_server, &talk, &shared) => Order::Close,
        () = down(&mut from_server, &mut to_client, &talk, &shared) => Order::Close,
        order = broken(&mut orders) => order,
    };
    drop((from_client, to_client));
    match (order, from_server.reunite(to_server)) {
        (Order::Reset, Ok(server)) => {
            let _ = server.set_zero_linger();
        }
        (Order::Silence, Ok(server)) => {
            std::future::pending::<()>().await;
            drop(server);
        }
        _ => {}
    }
}

/// Answers the question for TLS, where it is asked.
async fn refuse_tls(client: &mut TcpStream) -> std::io::Result<()> {
    const REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
    let mut first = [0; REQUEST.len()];
    loop {
        match client.peek(&mut first).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n if n == first.len() => break,
            _ => tokio::task::yield_now().await,
        }
    }
    if first == REQUEST {
        client.read_exact(&mut first).await?;
        client.write_all(b"N").await?;
    }
    Ok(())
}

/// The next order that ends a connection.
async fn broken(orders: &mut watch::Receiver<(u64, Order)>) -> Order {
    loop {
        if orders.changed().await.is_err() {
            return Order::Close;
        }
        let (_, order) = *orders.borrow_and_update();
        if order != Order::Carry {
            return order;
        }
    }
}

/// Says who was stopped, and waits for the word to go on.
async fn wait(shared: &Shared, talk: &Talk) {
    let mut orders = shared.orders.subscribe();
    shared.held.send_replace(Some(talk.pid.load(Ordering::SeqCst)));
    // An order that ends the connection is heard elsewhere.
    while orders.changed().await.is_ok() && orders.borrow_and_update().1 != Order::Carry {}
}

async fn up(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, talk: &Talk, shared: &Shared) {
    let mut frames = Frames::of_frontend();
    while from.read_buf(frames.buffer()).await.is_ok_and(|n| n > 0) {
        while let Some(message) = frames.next() {
            let caught = shared.caught(&message);
            if caught == Some(Place::BeforeServer) {
                wait(shared, talk).await;
            }
            if caught == Some(Place::BeforeAgent) {
                talk.keep_back.store(talk.asked.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
            }
            if message.asks_for_an_answer() {
                talk.asked.fetch_add(1, Ordering::SeqCst);
            }
            if to.write_all(message.bytes).await.is_err() {
                return;
            }
            if caught == Some(Place::Sent) {
                shared.held.send_replace(Some(talk.pid.load(Ordering::SeqCst)));
            }
        }
    }
}

async fn down(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, talk: &Talk, shared: &Shared) {
    let mut frames = Frames::of_backend();
    let mut answered = 0;
    let mut kept_back = Vec::new();
    while from.read_buf(frames.buffer()).await.is_ok_and(|n| n > 0) {
        while let Some(message) = frames.next() {
            let mut bytes = message.bytes.to_vec();
            if let Some(pid) = message.process_id() {
                talk.pid.store(pid, Ordering::SeqCst);
                if shared.pooler.load(Ordering::SeqCst) {
                    bytes[8] ^= 1;
                }
            }
            let ready = message.is_ready_for_query();
            if answered > 0 && answered == talk.keep_back.load(Ordering::SeqCst) {
                kept_back.append(&mut bytes);
                if ready {
                    wait(shared, talk).await;
                    bytes = std::mem::take(&mut kept_back);
                }
            }
            if to.write_all(&bytes).await.is_err() {
                return;
            }
            answered += u64::from(ready);
        }
    }
}
