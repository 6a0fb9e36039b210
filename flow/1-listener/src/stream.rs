//! A client's byte stream, in clear or under TLS. Promise: while a connection waits, it owns no read buffer.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Octets asked for at once. Large enough for a pipelined message of ordinary size in one system call.
const READ_BYTES: usize = 16 * 1024;

/// In clear or under TLS.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// The socket is inside a handshake; if that fails, there is nothing left to talk to.
    Parked,
}

fn parked() -> io::Error {
    io::Error::from(io::ErrorKind::NotConnected)
}

impl Stream {
    /// Appends what has arrived to `buffer`; 0 is the end of the stream.
    pub(crate) async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        if buffer.is_empty() {
            // Nothing to keep: give the memory back before waiting, so that ten thousand idle clients cost no buffers.
            *buffer = Vec::new();
        }
        match self {
            Self::Plain(socket) => loop {
                socket.readable().await?;
                buffer.reserve(READ_BYTES);
                match socket.try_read_buf(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if buffer.is_empty() {
                            *buffer = Vec::new();
                        }
                    }
                    result => return result,
                }
            },
            // Into room on the stack, which is there only while something is read; a session has no way of telling that it is readable.
            Self::Tls(session) => {
                poll_fn(|context| {
                    let mut room = [MaybeUninit::uninit(); READ_BYTES];
                    let mut room = ReadBuf::uninit(&mut room);
                    ready!(Pin::new(&mut *session).poll_read(context, &mut room))?;
                    buffer.extend_from_slice(room.filled());
                    Poll::Ready(Ok(room.filled().len()))
                })
                .await
            }
            Self::Parked => Err(parked()),
        }
    }

    /// Writes all of `bytes` and flushes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes).await,
            Self::Tls(session) => {
                session.write_all(bytes).await?;
                session.flush().await
            }
            Self::Parked => Err(parked()),
        }
    }

    /// True when the client has reset the connection, so that nothing can be said to it any more. The end of what it sends is not that: who has
    /// said everything may close its side and still wait for our replies.
    pub(crate) fn is_reset(&self) -> bool {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(session) => session.get_ref().0,
            Self::Parked => return true,
        };
        !matches!(socket.take_error(), Ok(None))
    }

    /// Says that no more will be written: close_notify under TLS, then FIN.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.shutdown().await,
            Self::Tls(session) => session.shutdown().await,
            Self::Parked => Err(parked()),
        }
    }
}
