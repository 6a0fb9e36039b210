//! Answers authorities that ask whether a name is ours (RFC 8555 §8.3), on a port that is open to everybody. Promise: nothing is told but answers to tokens
//! that are open; one client costs a few KiB for a few seconds, and all together have an end.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// Clients at a time. The oldest makes room for the next: whoever says nothing has had his turn, and an authority does not come a second time.
const CLIENTS_MAX: usize = 64;
/// Of one address.
const CLIENTS_OF_ADDRESS_MAX: usize = 4;
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
    let (mut clients, mut places) = (JoinSet::new(), Places::default());
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
        while clients.try_join_next().is_some() {}
        let answers = Arc::clone(&answers);
        let work = clients.spawn(async move {
            let _ = timeout(TIME_MAX, answer(stream, &*answers)).await;
        });
        places.take(client.ip(), work);
    }
}

/// Who is being answered, the oldest first.
#[derive(Default)]
struct Places(VecDeque<(IpAddr, AbortHandle)>);

impl Places {
    fn take(&mut self, client: IpAddr, work: AbortHandle) {
        self.0.retain(|(_, work)| !work.is_finished());
        let of_client = self.0.iter().filter(|(other, _)| *other == client).count();
        let goes = if of_client >= CLIENTS_OF_ADDRESS_MAX {
            self.0.iter().position(|(other, _)| *other == client)
        } else {
            (self.0.len() >= CLIENTS_MAX).then_some(0)
        };
        if let Some((_, oldest)) = goes.and_then(|place| self.0.remove(place)) {
            oldest.abort();
        }
        self.0.push_back((client, work));
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
        // However many say nothing, an authority is heard: the oldest go.
        let mut silent = Vec::new();
        for _ in 0..CLIENTS_MAX + 6 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        assert!(ask("/.well-known/acme-challenge/open").await.ends_with("\r\n\r\nopen.thumb"));
        // One that never ends its request is closed at the limit.
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(&vec![b'x'; REQUEST_BYTES_MAX * 2]).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
        serving.abort();
    }
}
