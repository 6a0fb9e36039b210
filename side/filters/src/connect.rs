//! A connection to a filter, over TCP or a socket in the file system.

use std::io;
use std::time::Duration;

use postern_config::{LmtpAddress, Target};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Between tries of a socket whose backlog is full.
const AGAIN: Duration = Duration::from_millis(20);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub(crate) async fn connect(address: &LmtpAddress) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        LmtpAddress::Unix(path) => loop {
            match UnixStream::connect(path).await {
                // connect(2): its backlog is full. It is well and has much to do; who asks has a time for all of it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(AGAIN).await,
                stream => break Box::new(stream?),
            }
        },
        LmtpAddress::Tcp { host, port } => {
            let stream = match host {
                Target::Address(address) => TcpStream::connect((*address, *port)).await?,
                Target::Name(name) => TcpStream::connect((name.as_str(), *port)).await?,
            };
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
    })
}
