//! A server that speaks just enough of PostgreSQL's protocol, version 3, to write down what a client sends.

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

/// One simple query, and the data that followed it if it was `COPY ... FROM STDIN`.
pub(super) struct Sent {
    pub(super) query: String,
    pub(super) copy_data: Option<String>,
}

pub(super) struct RecordingServer {
    port: u16,
    thread: JoinHandle<io::Result<Vec<Sent>>>,
}

impl RecordingServer {
    /// Listens for one client.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || record(&listener.accept()?.0));
        Self { port, thread }
    }

    pub(super) fn connection(&self) -> String {
        format!(
            "host=127.0.0.1 port={} user=recorder dbname=recorded sslmode=disable gssencmode=disable",
            self.port
        )
    }

    /// What the client sent until it went away.
    pub(super) fn finish(self) -> Vec<Sent> {
        if !self.thread.is_finished() {
            // A client that never came leaves the server waiting for one.
            drop(TcpStream::connect(("127.0.0.1", self.port)));
        }
        self.thread.join().unwrap().unwrap()
    }
}

fn record(client: &TcpStream) -> io::Result<Vec<Sent>> {
    let mut reader = BufReader::new(client);
    let mut writer = client;
    let mut sent: Vec<Sent> = Vec::new();
    if !greet(&mut reader, &mut writer)? {
        return Ok(sent);
    }
    while let Some((kind, body)) = read_message(&mut reader)? {
        match kind {
            b'Q' => {
                let query = text(body.strip_suffix(b"\0").unwrap_or(&body));
                let takes_data = asks_for_data(&query);
                let answer = if takes_data {
                    message(b'G', &[0, 0, 1, 0, 0])
                } else {
                    [message(b'C', b"SET\0"), message(b'Z', b"I")].concat()
                };
                sent.push(Sent { query, copy_data: takes_data.then(String::new) });
                writer.write_all(&answer)?;
            }
            b'd' => {
                if let Some(data) = sent.last_mut().and_then(|sent| sent.copy_data.as_mut()) {
                    data.push_str(&text(&body));
                }
            }
            b'c' => writer.write_all(&[message(b'C', b"COPY 0\0"), message(b'Z', b"I")].concat())?,
            b'X' => break,
            other => {
                panic!("psql sent a message of kind {:?}, which this server does not know", char::from(other))
            }
        }
    }
    Ok(sent)
}

/// Answers the start-up message, after refusing encryption as often as it is asked for.
fn greet(reader: &mut impl Read, writer: &mut impl Write) -> io::Result<bool> {
    const SSL_REQUEST: u32 = 80_877_103;
    const GSS_REQUEST: u32 = 80_877_104;
    loop {
        let Some(body) = read_body(reader)? else { return Ok(false) };
        let code = body.get(..4).map(|code| u32::from_be_bytes([code[0], code[1], code[2], code[3]]));
        if !matches!(code, Some(SSL_REQUEST | GSS_REQUEST)) {
            break;
        }
        writer.write_all(b"N")?;
    }
    let mut answer = message(b'R', &0_u32.to_be_bytes());
    for parameter in
        ["standard_conforming_strings\0on\0", "server_version\x0015.0\0", "client_encoding\0UTF8\0"]
    {
        answer.extend(message(b'S', parameter.as_bytes()));
    }
    answer.extend(message(b'Z', b"I"));
    writer.write_all(&answer)?;
    Ok(true)
}

/// Whether a query is `COPY ... FROM stdin`, as far as the files of these tests go.
fn asks_for_data(query: &str) -> bool {
    let query = super::after_leading_comments(query).to_ascii_lowercase();
    let Some((head, tail)) = query.split_once(" from stdin") else { return false };
    let ends_word = !tail.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii());
    head.starts_with("copy ") && !head.contains(['\'', ';']) && !head.contains("(select") && ends_word
}

fn read_message(reader: &mut impl Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut kind = [0];
    if reader.read(&mut kind)? == 0 {
        return Ok(None);
    }
    Ok(read_body(reader)?.map(|body| (kind[0], body)))
}

fn read_body(reader: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut body = vec![0; (u32::from_be_bytes(length) as usize).saturating_sub(4)];
    reader.read_exact(&mut body)?;
    Ok(Some(body))
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], length.to_be_bytes().as_slice(), body].concat()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
