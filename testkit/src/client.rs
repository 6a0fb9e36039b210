//! A raw SMTP client: says exactly what a test tells it to, in exactly these pieces, and reads the replies.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::certificate;
use crate::wait::LONG;

/// A reply of one or more lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// Text of each line behind code and separator.
    pub lines: Vec<String>,
}

impl Reply {
    /// All lines as one text.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// Code, and enhanced code where there is one: `250 2.1.0`.
    #[must_use]
    pub fn codes(&self) -> String {
        let first = self.lines.first().and_then(|line| line.split(' ').next()).unwrap_or_default();
        let enhanced = first.split('.').count() == 3 && first.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if enhanced { format!("{} {first}", self.code) } else { self.code.to_string() }
    }
}

enum Stream {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// Between the two.
    None,
}

/// One connection.
pub struct SmtpClient {
    stream: Stream,
    read: Vec<u8>,
    /// The certificate the server showed, when TLS is on.
    pub certificate: Option<Vec<u8>>,
}

impl SmtpClient {
    /// Connects and reads nothing.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// Connects and reads nothing.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, LONG)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LONG))?;
        stream.set_write_timeout(Some(LONG))?;
        Ok(Self { stream: Stream::Clear(stream), read: Vec::new(), certificate: None })
    }

    /// Connects from this address of ours and reads nothing: all of 127/8 is ours, so a test can be many clients.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::new(source, 0)).unwrap_or_else(|error| panic!("{source}: {error}"));
        rustix::net::connect(&socket, &address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        Self { stream: Stream::Clear(stream), read: Vec::new(), certificate: None }
    }

    /// Connects, reads the greeting and says EHLO.
    ///
    /// # Panics
    /// When the server does not want us.
    #[must_use]
    pub fn hello(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        client.expect_reply(220);
        client.ehlo();
        client
    }

    /// Connects, says EHLO, and turns TLS on.
    ///
    /// # Panics
    /// When the server does not want us.
    #[must_use]
    pub fn hello_tls(address: SocketAddr) -> Self {
        let mut client = Self::hello(address);
        client.starttls();
        client.ehlo();
        client
    }

    /// Connects with TLS from the first byte, and says EHLO.
    ///
    /// # Panics
    /// When the server does not want us.
    #[must_use]
    pub fn hello_implicit_tls(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        client.handshake();
        client.expect_reply(220);
        client.ehlo();
        client
    }

    /// Connects to a submission port, turns TLS on and logs in.
    ///
    /// # Panics
    /// When the server does not want us.
    #[must_use]
    pub fn logged_in(address: SocketAddr, account: &str, password: &str) -> Self {
        let mut client = Self::hello_tls(address);
        let reply = client.auth_plain(account, password);
        assert_eq!(reply.code, 235, "{reply:?}");
        client
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// When the server has gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).unwrap();
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the server has gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.stream {
            Stream::Clear(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Stream::None => unreachable!(),
        }
    }

    /// Sends bytes in pieces of this size, each in a segment of its own.
    ///
    /// # Panics
    /// When the server has gone.
    pub fn send_in_pieces(&mut self, bytes: &[u8], size: usize) {
        for piece in bytes.chunks(size.max(1)) {
            // A server that has heard enough may close while we still talk.
            if self.try_send(piece).is_err() {
                return;
            }
        }
    }

    fn fill(&mut self) -> std::io::Result<usize> {
        let mut buffer = [0; 4096];
        let count = match &mut self.stream {
            Stream::Clear(stream) => stream.read(&mut buffer),
            Stream::Tls(stream) => stream.read(&mut buffer),
            Stream::None => unreachable!(),
        };
        // rustls tells of a close without a goodbye as an error; here both are an end.
        let count = match count {
            Err(error)
                if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) =>
            {
                0
            }
            other => other?,
        };
        self.read.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// Reads a reply; `None` when the server has closed instead.
    ///
    /// # Panics
    /// When it says nothing for long, or something that is no reply.
    pub fn reply_or_end(&mut self) -> Option<Reply> {
        match self.try_reply() {
            Ok(reply) => Some(reply),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
            Err(error) => panic!("no reply: {error}"),
        }
    }

    /// Reads a reply.
    ///
    /// # Errors
    /// `UnexpectedEof` when the server has closed instead, `InvalidData` when it says something that is no reply, or closes within one.
    pub fn try_reply(&mut self) -> std::io::Result<Reply> {
        let wrong = |what: String| std::io::Error::new(ErrorKind::InvalidData, what);
        let mut lines = Vec::new();
        loop {
            let Some(end) = self.read.windows(2).position(|two| two == b"\r\n") else {
                if self.fill()? == 0 {
                    let clean = lines.is_empty() && self.read.is_empty();
                    return Err(if clean { ErrorKind::UnexpectedEof.into() } else { wrong(format!("half a reply: {lines:?}")) });
                }
                continue;
            };
            let line: Vec<u8> = self.read.drain(..end + 2).take(end).collect();
            let line = String::from_utf8_lossy(&line).into_owned();
            let code = line.get(..3).and_then(|code| code.parse().ok()).ok_or_else(|| wrong(line.clone()))?;
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, lines });
            }
        }
    }

    /// Reads a reply.
    ///
    /// # Panics
    /// When there is none.
    pub fn reply(&mut self) -> Reply {
        self.reply_or_end().expect("the server closed instead of replying")
    }

    /// Reads a reply that must have this code.
    ///
    /// # Panics
    /// When it has another.
    pub fn expect_reply(&mut self, code: u16) -> Reply {
        let reply = self.reply();
        assert_eq!(reply.code, code, "{reply:?}");
        reply
    }

    /// Sends a line and reads the reply.
    ///
    /// # Panics
    /// When there is none.
    pub fn command(&mut self, line: &str) -> Reply {
        self.send(format!("{line}\r\n"));
        self.reply()
    }

    /// Sends a line and reads a reply that must have this code.
    ///
    /// # Panics
    /// When it has another.
    pub fn expect(&mut self, line: &str, code: u16) -> Reply {
        let reply = self.command(line);
        assert_eq!(reply.code, code, "to {line:?}: {reply:?}");
        reply
    }

    /// Says EHLO and gives the keywords.
    ///
    /// # Panics
    /// When it is refused.
    pub fn ehlo(&mut self) -> Vec<String> {
        self.expect("EHLO client.example", 250).lines.split_off(1)
    }

    /// STARTTLS and the handshake; EHLO is to follow.
    ///
    /// # Panics
    /// When either is refused.
    pub fn starttls(&mut self) {
        self.expect("STARTTLS", 220);
        self.handshake();
    }

    /// The TLS handshake alone.
    ///
    /// # Panics
    /// When it fails.
    pub fn handshake(&mut self) {
        self.handshake_as(certificate::trusting_client());
    }

    /// As [`SmtpClient::hello_tls`], showing the certificate `client.pem` of this folder.
    ///
    /// # Panics
    /// When the server does not want us.
    #[must_use]
    pub fn hello_tls_showing(address: SocketAddr, folder: &Path) -> Self {
        let mut client = Self::hello(address);
        client.expect("STARTTLS", 220);
        client.handshake_as(certificate::showing_client(folder));
        client.ehlo();
        client
    }

    fn handshake_as(&mut self, config: Arc<ClientConfig>) {
        assert!(self.read.is_empty(), "clear text behind the reply to STARTTLS: {:?}", self.read);
        let Stream::Clear(mut stream) = std::mem::replace(&mut self.stream, Stream::None) else { panic!("TLS is on already") };
        let name = ServerName::try_from("server.example").unwrap();
        let mut connection = ClientConnection::new(config, name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).unwrap_or_else(|error| panic!("TLS handshake: {error}"));
        }
        self.certificate = connection.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.to_vec());
        self.stream = Stream::Tls(Box::new(StreamOwned::new(connection, stream)));
    }

    /// AUTH PLAIN with an initial response.
    ///
    /// # Panics
    /// When there is no reply.
    pub fn auth_plain(&mut self, account: &str, password: &str) -> Reply {
        let response = base64(format!("\0{account}\0{password}").as_bytes());
        self.command(&format!("AUTH PLAIN {response}"))
    }

    /// A whole transaction. Gives the first reply that is not positive, or the one to the message.
    ///
    /// # Panics
    /// When the server closes.
    pub fn mail(&mut self, from: &str, to: &[&str], message: &str) -> Reply {
        let reply = self.command(&format!("MAIL FROM:<{from}>"));
        if reply.code != 250 {
            return reply;
        }
        for to in to {
            let reply = self.command(&format!("RCPT TO:<{to}>"));
            if reply.code != 250 {
                return reply;
            }
        }
        self.data(message)
    }

    /// DATA and a message, dots doubled and line ends made right.
    ///
    /// # Panics
    /// When the server closes.
    pub fn data(&mut self, message: &str) -> Reply {
        let reply = self.command("DATA");
        if reply.code != 354 {
            return reply;
        }
        let mut text = String::new();
        for line in message.lines() {
            text.push_str(if line.starts_with('.') { "." } else { "" });
            text.push_str(line);
            text.push_str("\r\n");
        }
        self.send(format!("{text}.\r\n"));
        self.reply()
    }

    /// Reads until the server closes, and gives the replies that came before.
    ///
    /// # Panics
    /// When it does not close.
    pub fn replies_until_closed(&mut self) -> Vec<Reply> {
        std::iter::from_fn(|| self.reply_or_end()).collect()
    }

    /// Limits how long replies are waited for.
    ///
    /// # Panics
    /// When the connection has gone.
    pub fn set_patience(&mut self, at_most: Duration) {
        match &self.stream {
            Stream::Clear(stream) => stream.set_read_timeout(Some(at_most)),
            Stream::Tls(stream) => stream.sock.set_read_timeout(Some(at_most)),
            Stream::None => unreachable!(),
        }
        .unwrap();
    }
}

/// A message with this Subject and one line of text.
#[must_use]
pub fn message(from: &str, to: &str, subject: &str) -> String {
    let id = subject.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!(
        "From: <{from}>\nTo: <{to}>\nSubject: {subject}\nDate: Tue, 24 Nov 2026 10:00:00 +0000\n\
         Message-ID: <{id}@client.example>\n\nHello from {subject}.\n"
    )
}

/// Base64 with padding (RFC 4648 §4).
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let six = (bits >> (18 - 6 * place) & 63) as usize;
            text.push(if place <= group.len() { char::from(ALPHABET[six]) } else { '=' });
        }
    }
    text
}
