//! A server that answers as fast as it can and stores nothing: the ceiling that any server on this machine can reach.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::Options;

#[derive(Default)]
struct Counts {
    messages: AtomicU64,
    connections: AtomicU64,
}

enum Want {
    Line,
    Data,
    Chunk { left: usize, last: bool },
}

enum Next {
    Bye,
    StartTls,
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, offer_tls: bool, counts: &Counts) -> io::Result<Next> {
    let mut buffer: Vec<u8> = Vec::with_capacity(64 * 1024);
    let mut out: Vec<u8> = Vec::with_capacity(512);
    let mut want = Want::Line;
    loop {
        let mut used = 0;
        loop {
            let rest = buffer.get(used..).unwrap_or_default();
            match &mut want {
                Want::Line => {
                    let Some(end) = memchr::memchr(b'\n', rest) else { break };
                    let line = rest.get(..end).unwrap_or_default();
                    used += end + 1;
                    match line.first().map(u8::to_ascii_uppercase) {
                        Some(b'E') => out.extend_from_slice(if offer_tls {
                            b"250-sink\r\n250-PIPELINING\r\n250-STARTTLS\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 SIZE\r\n"
                        } else {
                            b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 SIZE\r\n"
                        }),
                        Some(b'D') => {
                            out.extend_from_slice(b"354 go\r\n");
                            want = Want::Data;
                        }
                        Some(b'B') => {
                            let text = std::str::from_utf8(line).unwrap_or_default();
                            let mut words = text.split_ascii_whitespace().skip(1);
                            let left = words.next().and_then(|size| size.parse().ok()).unwrap_or(0);
                            want = Want::Chunk { left, last: words.next().is_some() };
                        }
                        Some(b'S') => {
                            out.extend_from_slice(b"220 go\r\n");
                            stream.write_all(&out).await?;
                            return Ok(Next::StartTls);
                        }
                        Some(b'Q') => {
                            out.extend_from_slice(b"221 bye\r\n");
                            stream.write_all(&out).await?;
                            stream.flush().await?;
                            return Ok(Next::Bye);
                        }
                        _ => out.extend_from_slice(b"250 ok\r\n"),
                    }
                }
                Want::Data => {
                    let Some(at) = memchr::memmem::find(rest, b"\r\n.\r\n") else {
                        // Keep what may be the beginning of the end.
                        used += rest.len().saturating_sub(4);
                        break;
                    };
                    used += at + 5;
                    counts.messages.fetch_add(1, Ordering::Relaxed);
                    out.extend_from_slice(b"250 ok\r\n");
                    want = Want::Line;
                }
                Want::Chunk { left, last } => {
                    let take = (*left).min(rest.len());
                    used += take;
                    *left -= take;
                    if *left > 0 {
                        break;
                    }
                    if *last {
                        counts.messages.fetch_add(1, Ordering::Relaxed);
                    }
                    out.extend_from_slice(b"250 ok\r\n");
                    want = Want::Line;
                }
            }
        }
        buffer.drain(..used);
        if !out.is_empty() {
            stream.write_all(&out).await?;
            stream.flush().await?;
            out.clear();
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(Next::Bye);
        }
    }
}

async fn connection(mut stream: TcpStream, tls: Option<Arc<ServerConfig>>, counts: Arc<Counts>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    counts.connections.fetch_add(1, Ordering::Relaxed);
    stream.write_all(b"220 sink ESMTP\r\n").await?;
    if let (Next::StartTls, Some(tls)) = (converse(&mut stream, tls.is_some(), &counts).await?, tls) {
        let mut stream = TlsAcceptor::from(tls).accept(stream).await?;
        converse(&mut stream, false, &counts).await?;
    }
    Ok(())
}

fn certificate() -> Result<Arc<ServerConfig>, String> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(|error| error.to_string())?;
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(str::to_owned)?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key))
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

async fn serve(listener: TcpListener, tls: Option<Arc<ServerConfig>>, counts: Arc<Counts>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let (tls, counts) = (tls.clone(), Arc::clone(&counts));
            tokio::spawn(async move {
                let _ = connection(stream, tls, counts).await;
            });
        }
    }
}

/// Serves until the time is over or SIGTERM comes, and says what came.
pub(crate) async fn run(options: &Options) -> Result<Value, String> {
    let listener = listen(options.loopback("listen")?).map_err(|error| error.to_string())?;
    let counts = Arc::new(Counts::default());
    let tls = if options.flag("starttls") { Some(certificate()?) } else { None };
    let mut terminated =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(|error| error.to_string())?;
    tokio::select! {
        () = serve(listener, tls, Arc::clone(&counts)) => {}
        _ = terminated.recv() => {}
        () = tokio::time::sleep(options.seconds(600)?) => {}
    }
    Ok(json!({
        "messages": counts.messages.load(Ordering::Relaxed),
        "connections": counts.connections.load(Ordering::Relaxed),
    }))
}

/// A sink in a thread of this process, for what servers relay to; it ends when this is dropped.
pub(crate) struct Background {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Background {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let listener = runtime.block_on(async { listen(SocketAddr::from(([127, 0, 0, 1], 0))) })?;
        let address = listener.local_addr()?;
        let serving = serve(listener, None, Arc::clone(&counts));
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { address, counts, _stop: stop })
    }

    /// Messages taken since it was started.
    pub(crate) fn messages(&self) -> u64 {
        self.counts.messages.load(Ordering::Relaxed)
    }
}
