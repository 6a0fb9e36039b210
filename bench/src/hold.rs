//! Opens many connections, says EHLO on each, and keeps them open.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::Options;
use crate::load::now;

/// Connections opened at a time.
const OPENING: u64 = 200;
/// How long one may take to be welcomed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that stay open until this is dropped.
pub(crate) struct Held {
    pub(crate) streams: Vec<TcpStream>,
    pub(crate) failed: u64,
    /// How long opening took.
    pub(crate) took: Duration,
}

async fn open(target: SocketAddr, source: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
    let mut stream = socket.connect(target).await?;
    let mut buffer = [0; 512];
    if stream.read(&mut buffer).await? == 0 || !buffer.starts_with(b"220") {
        return Err(std::io::Error::other("not greeted"));
    }
    stream.write_all(b"EHLO idle.test\r\n").await?;
    if stream.read(&mut buffer).await? == 0 || !buffer.starts_with(b"250") {
        return Err(std::io::Error::other("not welcomed"));
    }
    Ok(stream)
}

/// Opens `count` connections from `sources` addresses, each in a network of its own: 127.3.0.1, 127.3.1.1 and so on.
pub(crate) async fn hold(target: SocketAddr, count: u64, sources: u32) -> Held {
    let began = now();
    let mut streams = Vec::new();
    let mut failed = 0;
    for batch in 0..count.div_ceil(OPENING) {
        let attempts: Vec<_> = (batch * OPENING..count.min((batch + 1) * OPENING))
            .map(|number| {
                let offset = u32::try_from(number).unwrap_or(0) % sources.max(1);
                let source = Ipv4Addr::from(0x7f03_0001 + (offset << 8));
                tokio::spawn(tokio::time::timeout(PATIENCE, open(target, source)))
            })
            .collect();
        for attempt in attempts {
            match attempt.await {
                Ok(Ok(Ok(stream))) => streams.push(stream),
                _ => failed += 1,
            }
        }
    }
    Held { streams, failed, took: began.elapsed() }
}

/// Prints `holding` on standard error when all are open, so that a caller can begin to measure.
pub(crate) async fn run(options: &Options) -> Result<Value, String> {
    let count = options.number("count", 10_000)?.min(60_000);
    let sources = u32::try_from(options.number("sources", 250)?.clamp(1, 60_000)).unwrap_or(250);
    let held = hold(options.loopback("target")?, count, sources).await;
    eprintln!("holding {}", held.streams.len());
    tokio::time::sleep(options.seconds(20)?).await;
    Ok(json!({ "held": held.streams.len(), "failed": held.failed, "opening_seconds": held.took.as_secs_f64() }))
}
