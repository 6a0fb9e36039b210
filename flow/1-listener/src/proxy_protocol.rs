//! The PROXY protocol, versions 1 and 2, from listed proxies only. Promise: where it is required, a connection without a
//! whole header within the time limit is closed, and nobody but a listed proxy is believed.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use proxy_header::{Error, ParseConfig, ProxyHeader};
use tokio::net::TcpStream;

/// Both versions together with their extras stay below this; a longer header is refused.
const HEADER_BYTES_MAX: usize = 1024;

/// True when `peer` is a proxy we believe.
pub(crate) fn is_listed(proxies: &[IpNet], peer: IpAddr) -> bool {
    proxies.iter().any(|network| network.contains(&peer.to_canonical()))
}

/// Reads the header and gives the client's address, or the peer's own for a `LOCAL` connection (a health check of the proxy). Octets behind
/// the header stay in `buffer`.
///
/// # Errors
/// A short reason, for the log.
pub(crate) async fn read(socket: &TcpStream, peer: SocketAddr, buffer: &mut Vec<u8>) -> Result<SocketAddr, &'static str> {
    loop {
        match ProxyHeader::parse(buffer, ParseConfig::default()) {
            Ok((header, used)) => {
                let client = header.proxied_address().map_or(peer, |proxied| proxied.source);
                buffer.drain(..used);
                return Ok(client);
            }
            Err(Error::BufferTooShort) if buffer.len() < HEADER_BYTES_MAX => {}
            Err(_) => return Err("no valid PROXY header from a listed proxy"),
        }
        socket.readable().await.map_err(|_| "connection lost")?;
        buffer.reserve(256);
        match socket.try_read_buf(buffer) {
            Ok(0) => return Err("connection closed before the PROXY header was complete"),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Err("connection lost"),
        }
    }
}
