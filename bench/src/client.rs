//! One SMTP client connection that does as little as it can: the measuring side must not be what is measured.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    None,
}

/// A connection and what has arrived on it.
pub(crate) struct Client {
    stream: Stream,
    buffer: Vec<u8>,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Client {
    pub(crate) async fn connect(target: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(target).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Stream::Plain(stream), buffer: Vec::with_capacity(1024) })
    }

    /// From one of the many addresses of loopback.
    pub(crate) async fn connect_from(source: Ipv4Addr, target: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
        let stream = socket.connect(target).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Stream::Plain(stream), buffer: Vec::new() })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes).await,
            Stream::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Stream::None => Err(broken("no stream")),
        }
    }

    /// The next whole reply's code.
    pub(crate) async fn reply(&mut self) -> io::Result<u16> {
        loop {
            let mut start = 0;
            while let Some(end) = memchr::memchr(b'\n', self.buffer.get(start..).unwrap_or_default()) {
                let line = self.buffer.get(start..start + end).unwrap_or_default();
                start += end + 1;
                if line.get(3) != Some(&b'-') {
                    let code = line.get(..3).and_then(|code| std::str::from_utf8(code).ok()).and_then(|code| code.parse().ok());
                    self.buffer.drain(..start);
                    return code.ok_or_else(|| broken("no reply code"));
                }
            }
            let count = match &mut self.stream {
                Stream::Plain(stream) => stream.read_buf(&mut self.buffer).await?,
                Stream::Tls(stream) => stream.read_buf(&mut self.buffer).await?,
                Stream::None => 0,
            };
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
        }
    }

    /// A reply that must have this code.
    pub(crate) async fn expect(&mut self, code: u16) -> io::Result<()> {
        match self.reply().await? {
            got if got == code => Ok(()),
            got => Err(broken(&format!("reply {got} where {code} was due"))),
        }
    }

    pub(crate) async fn start_tls(&mut self, config: &Arc<ClientConfig>) -> io::Result<()> {
        self.send(b"STARTTLS\r\n").await?;
        self.expect(220).await?;
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::None) else { return Err(broken("already TLS")) };
        let name = ServerName::try_from("localhost").map_err(|_| broken("name"))?;
        self.stream = Stream::Tls(Box::new(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?));
        Ok(())
    }
}

/// The initial response of AUTH PLAIN (RFC 4616 §2), in base 64.
pub(crate) fn plain(user: &str, password: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in format!("\0{user}\0{password}").as_bytes().chunks(3) {
        let octet = |index: usize| three.get(index).map_or(0, |octet| u32::from(*octet));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for place in 0..4 {
            let six = usize::try_from((bits >> (18 - 6 * place)) & 63).unwrap_or(0);
            let letter = ALPHABET.get(six).copied().filter(|_| place <= three.len()).unwrap_or(b'=');
            text.push(char::from(letter));
        }
    }
    text
}

/// Takes any certificate: the handshake is measured, not the trust.
#[derive(Debug)]
struct Anyone(rustls::crypto::CryptoProvider);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Full handshakes each time, without resumption, and with X25519 only: the post-quantum exchange, which not every server here can
/// do, would have one side work more than the other.
pub(crate) fn tls_config() -> Result<Arc<ClientConfig>, String> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups.retain(|group| group.name() == rustls::NamedGroup::X25519);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider.clone()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_password_is_sent_in_base_64_with_its_padding() {
        assert_eq!(plain("tim", "tanstaaftanstaaf"), "AHRpbQB0YW5zdGFhZnRhbnN0YWFm");
        assert_eq!(plain("a", "b"), "AGEAYg==");
        assert_eq!(plain("ab", "b"), "AGFiAGI=");
    }
}
