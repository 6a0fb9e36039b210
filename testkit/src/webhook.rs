//! An application that takes mail over HTTP: keeps each request, and answers as it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::wait::LONG;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Its first line.
    pub line: String,
    /// Its fields, names in lower case.
    pub fields: BTreeMap<String, String>,
    /// The message.
    pub body: Vec<u8>,
}

impl Posted {
    /// A field.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// True when its signature is what this secret makes of it. As the manual tells it, and nothing taken from the server's own code.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let (time, signature) = self.field("postern-signature").split_once(",v1=").unwrap();
        let time = time.strip_prefix("t=").unwrap();
        let lines = [time, self.field("idempotency-key"), self.field("postern-from"), self.field("postern-to")];
        let mut signed = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"]).collect::<Vec<_>>().concat();
        signed.extend_from_slice(&self.body);
        let digits: Vec<u8> =
            (0..signature.len()).step_by(2).map(|at| u8::from_str_radix(&signature[at..at + 2], 16).unwrap()).collect();
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), &signed, &digits).is_ok()
    }
}

type Script = Box<dyn Fn(&Posted, usize) -> String + Send + Sync>;

struct Shared {
    address: SocketAddr,
    posted: Mutex<(Vec<Posted>, bool)>,
    more: Condvar,
    script: Script,
}

/// A running application.
pub struct App(Arc<Shared>);

impl App {
    /// Starts one on loopback; `script` is given each request and how many there were before, and says the status line and perhaps fields.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn start(tls: Option<Arc<ServerConfig>>, script: impl Fn(&Posted, usize) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { address, posted: Mutex::default(), more: Condvar::new(), script: Box::new(script) });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.posted.lock().unwrap().1 {
                    return;
                }
                let (served, tls) = (Arc::clone(&served), tls.clone());
                std::thread::spawn(move || match tls {
                    Some(tls) => {
                        let Ok(connection) = ServerConnection::new(tls) else { return };
                        served.answer(StreamOwned::new(connection, stream));
                    }
                    None => served.answer(stream),
                });
            }
        });
        Self(shared)
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// All requests so far.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn posted(&self) -> Vec<Posted> {
        self.0.posted.lock().unwrap().0.clone()
    }

    /// Waits for so many requests.
    ///
    /// # Panics
    /// When they do not come.
    #[must_use]
    pub fn wait_for(&self, count: usize) -> Vec<Posted> {
        let posted = self.0.posted.lock().unwrap();
        let (posted, late) = self.0.more.wait_timeout_while(posted, LONG, |posted| posted.0.len() < count).unwrap();
        assert!(!late.timed_out(), "the application waited for {count} requests and had {:?}", posted.0);
        posted.0.clone()
    }
}

impl Shared {
    fn answer(&self, stream: impl Read + Write) {
        let mut stream = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            match stream.read_line(&mut line) {
                Ok(1..) if line != "\r\n" => head.push(line.trim_end().to_owned()),
                Ok(1..) => break,
                _ => return,
            }
        }
        let fields: BTreeMap<_, _> = head
            .iter()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = fields.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).is_err() {
            return;
        }
        let posted = Posted { line: head.first().cloned().unwrap_or_default(), fields, body };
        let mut kept = self.posted.lock().unwrap();
        let said = (self.script)(&posted, kept.0.len());
        kept.0.push(posted);
        drop(kept);
        let _ = write!(stream.get_mut(), "HTTP/1.1 {said}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        let _ = stream.get_mut().flush();
        self.more.notify_all();
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Ok(mut posted) = self.0.posted.lock() {
            posted.1 = true;
        }
        // Wakes the thread that accepts, so that it sees the order and lets the port go.
        let _ = TcpStream::connect_timeout(&self.0.address, Duration::from_secs(1));
    }
}
