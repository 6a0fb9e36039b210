//! TLS for clients that come to us. Promises: TLS 1.2 and 1.3 only, forward secret AEAD suites only (what rustls has), no early data; a
//! new certificate takes effect for the next handshake without a restart.

use std::sync::Arc;

use arc_swap::ArcSwap;
use postern_mail::fact::TlsFacts;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Sessions kept for resumption.
const SESSIONS_MAX: usize = 4096;

/// The certificate in use; replaced as a whole.
#[derive(Debug)]
pub struct CertificateSlot(ArcSwap<CertifiedKey>);

impl CertificateSlot {
    /// Starts with this one.
    #[must_use]
    pub fn new(certificate: Arc<CertifiedKey>) -> Self {
        Self(ArcSwap::new(certificate))
    }

    /// From the next handshake on.
    pub fn replace(&self, certificate: Arc<CertifiedKey>) {
        self.0.store(certificate);
    }
}

impl ResolvesServerCert for CertificateSlot {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The server side's TLS settings over a certificate that can be replaced.
///
/// # Errors
/// When the crypto provider lacks what TLS 1.2 and 1.3 need, which is a fault of the build.
pub fn server_config(certificate: Arc<CertificateSlot>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // RFC 8314 §4.1, RFC 8996 §4, §5: TLS 1.0 and 1.1 must not be negotiated; the library has neither.
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// What is known once the handshake is done.
pub(crate) fn facts(session: &TlsStream<TcpStream>) -> TlsFacts {
    let connection = session.get_ref().1;
    let is_13 = connection.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
    // RFC 9266 §2: the label, no context, 32 octets; and only where the master secret is unique, as always in TLS 1.3.
    // RFC 9266 §3: `tls-exporter` is the binding to have under TLS 1.3.
    let exporter =
        is_13.then(|| connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok()).flatten();
    TlsFacts {
        version: if is_13 { "TLSv1.3" } else { "TLSv1.2" },
        cipher: connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown").into(),
        exporter: exporter.map(Box::new),
    }
}
