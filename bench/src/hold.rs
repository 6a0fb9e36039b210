//! Opens many connections, says EHLO on each, and keeps them open.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::Options;
use crate::load::now;

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

/// Prints `holding` on standard error when all are open, so that a caller can begin to measure.
pub(crate) async fn run(options: &Options) -> Result<Value, String> {
    let target = options.loopback("target")?;
    let count = options.number("count", 10_000)?.min(60_000);
    let sources = u32::try_from(options.number("sources", 250)?.clamp(1, 60_000)).unwrap_or(250);
    let began = now();
    let mut held = Vec::new();
    let mut failed = 0_u64;
    for batch in 0..count.div_ceil(200) {
        let attempts: Vec<_> = (batch * 200..count.min((batch + 1) * 200))
            .map(|number| {
                let offset = u32::try_from(number).unwrap_or(0) % sources;
                // 127.3.0.1, then 127.3.1.1 and so on: each source in a network of its own.
                let source = Ipv4Addr::from(0x7f03_0001 + (offset << 8));
                tokio::spawn(tokio::time::timeout(std::time::Duration::from_secs(5), open(target, source)))
            })
            .collect();
        for attempt in attempts {
            match attempt.await {
                Ok(Ok(Ok(stream))) => held.push(stream),
                _ => failed += 1,
            }
        }
    }
    let took = began.elapsed().as_secs_f64();
    eprintln!("holding {}", held.len());
    tokio::time::sleep(options.seconds(20)?).await;
    Ok(json!({ "held": held.len(), "failed": failed, "opening_seconds": took }))
}
