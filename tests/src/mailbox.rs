//! A mail server on this machine that keeps what it gets: real SMTP (the crate mailin), with STARTTLS and a login.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use mailin::{Action, AuthMechanism, Handler, Response, Session, SessionBuilder, response};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub const USER: &str = "stopover";
pub const PASSWORD: &str = "a password of the tests";

/// A mail as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    /// Head and body.
    pub text: String,
    /// Whether it came over TLS, from somebody who had logged in.
    pub trusted: bool,
}

/// Ends with its value.
pub struct Mailbox {
    pub address: SocketAddr,
    /// Of the server, self-signed for `localhost`, as PEM.
    pub certificate: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    mails: Mutex<Vec<Mail>>,
    stop: AtomicBool,
}

impl Mailbox {
    /// # Panics
    /// When no port or certificate is to be had.
    #[must_use]
    pub fn start() -> Self {
        let names = vec!["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).expect("a certificate");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key);
        let config = Arc::new(config.expect("a usable certificate"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let kept = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if kept.stop.load(Ordering::Relaxed) {
                    return;
                }
                let (config, kept) = (Arc::clone(&config), Arc::clone(&kept));
                // A client that hangs up is none of ours.
                thread::spawn(move || serve(stream, &config, kept));
            }
        });
        Self { address, certificate: cert.pem(), shared }
    }

    /// What has arrived so far.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.shared.mails().clone()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Wakes it, so that it sees.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn mails(&self) -> MutexGuard<'_, Vec<Mail>> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's mail.
struct Post {
    kept: Arc<Shared>,
    mail: Mail,
}

impl Handler for Post {
    /// Nobody lives here.
    fn rcpt(&mut self, to: &str) -> Response {
        if to.starts_with("nobody@") { response::NO_MAILBOX } else { response::OK }
    }

    fn data_start(&mut self, _domain: &str, from: &str, _is8bit: bool, to: &[String]) -> Response {
        let trusted = self.mail.trusted;
        self.mail = Mail { from: from.to_owned(), to: to.to_vec(), text: String::new(), trusted };
        response::OK
    }

    fn data(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.mail.text.push_str(&String::from_utf8_lossy(line));
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        self.kept.mails().push(self.mail.clone());
        response::OK
    }

    fn auth_plain(&mut self, _for: &str, user: &str, password: &str) -> Response {
        self.auth_login(user, password)
    }

    fn auth_login(&mut self, user: &str, password: &str) -> Response {
        self.mail.trusted = (user, password) == (USER, PASSWORD);
        if self.mail.trusted { response::AUTH_OK } else { response::INVALID_CREDENTIALS }
    }
}

fn serve(stream: TcpStream, config: &Arc<ServerConfig>, kept: Arc<Shared>) -> Option<()> {
    let remote: IpAddr = stream.peer_addr().ok()?.ip();
    let mail = Mail { from: String::new(), to: Vec::new(), text: String::new(), trusted: false };
    let mut builder = SessionBuilder::new("localhost");
    builder.enable_start_tls().enable_auth(AuthMechanism::Plain);
    let mut session = builder.build(remote, Post { kept, mail });
    let mut plain = BufReader::new(stream);
    answer(plain.get_mut(), &session.greeting())?;
    if talk(&mut session, &mut plain)? == Talk::Tls {
        let connection = ServerConnection::new(Arc::clone(config)).ok()?;
        session.tls_active();
        let mut secure = BufReader::new(StreamOwned::new(connection, plain.into_inner()));
        talk(&mut session, &mut secure)?;
    }
    Some(())
}

#[derive(PartialEq, Eq)]
enum Talk {
    Over,
    Tls,
}

fn talk<S: Read + Write>(session: &mut Session<Post>, stream: &mut BufReader<S>) -> Option<Talk> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).ok()? == 0 {
            return Some(Talk::Over);
        }
        let said = session.process(&line);
        match said.action {
            Action::NoReply => {}
            Action::Reply => answer(stream.get_mut(), &said)?,
            Action::Close => {
                answer(stream.get_mut(), &said)?;
                return Some(Talk::Over);
            }
            Action::UpgradeTls => {
                answer(stream.get_mut(), &said)?;
                return Some(Talk::Tls);
            }
        }
    }
}

fn answer(stream: &mut impl Write, said: &Response) -> Option<()> {
    let bytes = said.buffer().ok()?;
    stream.write_all(&bytes).and_then(|()| stream.flush()).ok()
}
