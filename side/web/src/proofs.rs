//! Answers authorities that ask whether a name is ours (RFC 8555 §8.3), on a port that is open to everybody. Promise: nothing is told but answers to tokens
//! that are open; one client costs a few KiB for a few seconds, and all together have an end.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Clients at a time; for the next, the oldest is closed: an authority asks as soon as it is there, and who only holds a place loses it.
const CLIENTS_MAX: usize = 64;
/// The same for those of one address.
const OF_ADDRESS_MAX: usize = 8;
/// For all of a connection.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Of a request; there is nothing in one that we need but its first line.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// When the system has no sockets left, so long is waited for some to be closed.
const PAUSE: Duration = Duration::from_millis(100);

/// The answer to a token.
pub type Answers = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Answers, until `stop` resolves.
///
/// # Errors
/// When the socket cannot be given to the runtime.
pub async fn prove(
    listener: StdListener,
    answers: Box<Answers>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (listener, answers) = (TcpListener::from_std(listener)?, Arc::<Answers>::from(answers));
    let mut clients = Clients::default();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => return Ok(()),
        };
        let Ok((stream, client)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let answers = Arc::clone(&answers);
        clients.make_room(client.ip());
        let answering = tokio::spawn(async move {
            let _ = timeout(TIME_MAX, answer(stream, &*answers)).await;
        });
        clients.0.push_back((client.ip(), answering.abort_handle()));
    }
}

/// Who is there, oldest first.
#[derive(Default)]
struct Clients(VecDeque<(IpAddr, AbortHandle)>);

impl Clients {
    fn make_room(&mut self, address: IpAddr) {
        self.0.retain(|(_, client)| !client.is_finished());
        let of_address = |(client, _): &&(IpAddr, AbortHandle)| *client == address;
        let oldest = if self.0.iter().filter(of_address).count() >= OF_ADDRESS_MAX {
            self.0.iter().position(|(client, _)| *client == address)
        } else {
            (self.0.len() >= CLIENTS_MAX).then_some(0)
        };
        if let Some((_, client)) = oldest.and_then(|at| self.0.remove(at)) {
            client.abort();
        }
    }
}

async fn answer(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    let mut request = Vec::with_capacity(1024);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() >= REQUEST_BYTES_MAX || (&mut stream).take(1024).read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let (status, text) = match token(&request).and_then(answers) {
        Some(answer) => ("200 OK", answer),
        None => ("404 Not Found", "nothing here\n".to_owned()),
    };
    // RFC 8555 §8.3: as octets; it is the beginning of nothing that a browser should run.
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nX-Content-Type-Options: nosniff\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// The token that a request asks for.
fn token(request: &[u8]) -> Option<&str> {
    let line = request.split(|octet| *octet == b'\r').next()?;
    let path = std::str::from_utf8(line).ok()?.strip_prefix("GET ")?.split_once(" HTTP/1.")?.0;
    path.strip_prefix("/.well-known/acme-challenge/").filter(|token| !token.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_is_asked_for() {
        let of = |line: &str| token(format!("{line}\r\nHost: x\r\n\r\n").as_bytes()).map(str::to_owned);
        assert_eq!(of("GET /.well-known/acme-challenge/abc-_1 HTTP/1.1").as_deref(), Some("abc-_1"));
        for other in [
            "GET / HTTP/1.1",
            "POST /.well-known/acme-challenge/a HTTP/1.1",
            "GET /.well-known/acme-challenge/a/b HTTP/1.1",
            "GET",
            "",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn an_open_token_is_answered_and_nothing_else_is() {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Box::new(|token: &str| (token == "open").then(|| "open.thumb".to_owned()));
        let serving = tokio::spawn(prove(listener, answers, std::future::pending()));
        let ask = async |path: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        assert!(ask("/.well-known/acme-challenge/open").await.ends_with("\r\n\r\nopen.thumb"));
        assert!(ask("/.well-known/acme-challenge/other").await.starts_with("HTTP/1.1 404"));
        assert!(ask("/metrics").await.starts_with("HTTP/1.1 404"));
        // One that never ends its request is closed at the limit.
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(&vec![b'x'; REQUEST_BYTES_MAX * 2]).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
        serving.abort();
    }

    #[tokio::test]
    async fn clients_that_hold_their_places_in_silence_shut_nobody_out() {
        let listener = StdListener::bind("0.0.0.0:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(prove(listener, Box::new(|token: &str| Some(token.to_owned())), std::future::pending()));
        // Of one address, and of as many as it takes to have all places.
        let mut held = Vec::new();
        for client in (0..CLIENTS_MAX).map(|_| 1).chain(1..=u8::try_from(CLIENTS_MAX).unwrap()) {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, client], 0).into()).unwrap();
            held.push(socket.connect(([127, 0, 0, 1], port).into()).await.unwrap());
        }
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"GET /.well-known/acme-challenge/open HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("open"), "{answer:?}");
        serving.abort();
    }
}
