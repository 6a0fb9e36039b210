//! A connection to a filter, over TCP or a socket in the file system.

use std::io;

use postern_config::{LmtpAddress, Target};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub(crate) async fn connect(address: &LmtpAddress) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        LmtpAddress::Unix(path) => Box::new(UnixStream::connect(path).await?),
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
