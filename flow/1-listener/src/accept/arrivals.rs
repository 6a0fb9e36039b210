//! Waiting for connections. Promise: while clients are turned away one after the other, one look takes all that wait, so that a flood of banned clients
//! does not cost a wake-up each; nobody waits longer for that than [`PAUSE`].

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Between two looks while there is a flood.
const PAUSE: Duration = Duration::from_millis(10);
/// Connections that are taken in a row before others have a turn.
const ROW_MAX: u32 = 64;

/// A bound socket, and how it is waited for.
pub(super) struct Arrivals {
    socket: Arc<TcpListener>,
    /// The runtime tells when somebody comes. None while there is a flood: it would be told of each.
    watched: Option<AsyncFd<Arc<TcpListener>>>,
    /// Somebody was turned away since the last look that found nobody.
    is_flooded: bool,
    row: u32,
}

impl Arrivals {
    pub(super) fn new(socket: TcpListener) -> Self {
        Self { socket: Arc::new(socket), watched: None, is_flooded: false, row: 0 }
    }

    /// The last one was turned away and hears nothing.
    pub(super) fn turned_away(&mut self) {
        self.watched = None;
        self.is_flooded = true;
    }

    /// The next connection, or why it could not be accepted.
    ///
    /// # Errors
    /// The outer one: the socket cannot be given to the runtime.
    pub(super) async fn next(&mut self) -> io::Result<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            if let Some(watched) = &self.watched {
                // A connection that nobody has asked about yet is not made known to the runtime, as its own listener would: that costs more
                // than turning it away.
                if let Ok(accepted) = watched.readable().await?.try_io(|socket| socket.get_ref().accept()) {
                    return Ok(accepted);
                }
                continue;
            }
            self.row += 1;
            if self.row > ROW_MAX {
                self.row = 0;
                tokio::task::yield_now().await;
            }
            match self.socket.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if std::mem::take(&mut self.is_flooded) {
                        tokio::time::sleep(PAUSE).await;
                    } else {
                        self.watched = Some(watch(&self.socket)?);
                    }
                }
                accepted => return Ok(accepted),
            }
        }
    }
}

#[expect(
    deprecated,
    reason = "sound for a socket of the standard library, which owns its descriptor; what replaces it is unsafe"
)]
fn watch(socket: &Arc<TcpListener>) -> io::Result<AsyncFd<Arc<TcpListener>>> {
    AsyncFd::with_interest(Arc::clone(socket), Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clients_come_one_by_one_before_during_and_after_a_flood() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let mut arrivals = Arrivals::new(socket);
        for round in 0..200 {
            let client = TcpStream::connect(address).unwrap();
            let (_, peer) = arrivals.next().await.unwrap().unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
            assert!(arrivals.watched.is_none() || !(50..100).contains(&(round - 1)), "a flood is not watched");
            if (50..100).contains(&round) {
                arrivals.turned_away();
            }
        }
        // Nobody comes: after one pause it is waited for again.
        for _ in 0..2 {
            let waiting = tokio::time::timeout(Duration::from_secs(10), arrivals.next());
            let (accepted, client) = tokio::join!(waiting, async { TcpStream::connect(address).unwrap() });
            let (_, peer) = accepted.unwrap().unwrap().unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
        }
        assert!(arrivals.watched.is_some());
    }
}
