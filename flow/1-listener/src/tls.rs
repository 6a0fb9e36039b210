//! TLS for clients that come to us. Promises: TLS 1.2 and 1.3 only, forward secret AEAD suites only (what rustls has), no early data; a
//! new certificate takes effect for the next handshake without a restart.

use std::sync::Arc;

use arc_swap::ArcSwap;
use postern_mail::Mailbox;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::{ClientCertificate, TlsFacts};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore, ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// Addresses of one certificate that are looked at.
const ADDRESSES_MAX: usize = 16;
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

/// The oldest version spoken with clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldestVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

static NEWEST: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

impl OldestVersion {
    fn and_newer(self) -> &'static [&'static rustls::SupportedProtocolVersion] {
        // RFC 8314 §4.1, RFC 8996 §4, §5: TLS 1.0 and 1.1 must not be negotiated; the library has neither.
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => NEWEST,
        }
    }
}

/// The server side's TLS settings over a certificate that can be replaced.
///
/// # Errors
/// When the crypto provider lacks what TLS 1.2 and 1.3 need, which is a fault of the build.
pub fn server_config(certificate: Arc<CertificateSlot>, oldest: OldestVersion) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(oldest.and_newer())?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// Whose certificates clients may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuthorities {
    /// The authorities, as PEM.
    pub certificates: Vec<u8>,
    /// Their lists of what they revoked, as PEM. With them, a certificate that none of them speaks of is refused too.
    pub revoked: Option<Vec<u8>>,
}

impl ClientAuthorities {
    /// When the first of the lists says nothing any more.
    #[must_use]
    pub fn next_update(&self) -> Option<UnixMillis> {
        use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

        let lists = self.revoked.iter().flat_map(|pem| CertificateRevocationListDer::pem_slice_iter(pem)).flatten();
        let ends = lists.filter_map(|list| {
            let (_, list) = CertificateRevocationList::from_der(&list).ok()?;
            list.next_update().map(millis)
        });
        ends.min()
    }
}

fn millis(time: x509_parser::time::ASN1Time) -> UnixMillis {
    UnixMillis(u64::try_from(time.timestamp()).unwrap_or(0).saturating_mul(1000))
}

/// Why a client's certificate was refused, where that is why the handshake failed.
pub(crate) fn certificate_fault(error: &std::io::Error) -> Option<&'static str> {
    let Some(rustls::Error::InvalidCertificate(fault)) = error.get_ref()?.downcast_ref::<rustls::Error>() else { return None };
    Some(match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it is out of date",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not good yet",
        CertificateError::Revoked => "it was revoked",
        CertificateError::UnknownIssuer => "its authority is none of [tls] client_ca",
        CertificateError::UnknownRevocationStatus => "no list of [tls] client_crl speaks of it",
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the list of [tls] client_crl is past its next update"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "it is not for clients",
        CertificateError::BadSignature => "its signature is not good",
        CertificateError::BadEncoding => "it does not read",
        _ => "it does not hold",
    })
}

/// Begins a handshake. `early` was read before it, together with a PROXY header, and is its first part: whatever it is, it is never read as anything
/// else. None where it is no handshake; the client is told so.
pub(crate) fn accept(config: Arc<ServerConfig>, socket: TcpStream, early: &[u8]) -> Option<Accept<TcpStream>> {
    let mut alert = Vec::new();
    let mut is_handshake = true;
    let accept = TlsAcceptor::from(config).accept_with(socket, |session| {
        is_handshake = take_in(session, early);
        if !is_handshake {
            let _ = session.write_tls(&mut alert);
        }
    });
    if is_handshake {
        return Some(accept);
    }
    // At once: the library would wait for more of it before it said that nothing can come of this.
    if let Some(socket) = accept.get_ref() {
        let _ = socket.try_write(&alert);
    }
    None
}

fn take_in(session: &mut ServerConnection, mut early: &[u8]) -> bool {
    while !early.is_empty() {
        if !matches!(session.read_tls(&mut early), Ok(count) if count > 0) || session.process_new_packets().is_err() {
            return false;
        }
    }
    true
}

/// The same settings for listeners that ask a client for a certificate. One without goes on without; one whose certificate does not hold, is
/// revoked or out of date gets no session. No session is resumed, so that each has shown its certificate anew.
///
/// # Errors
/// In words: what is wrong with the authorities.
pub fn asking_for_certificates(
    certificate: Arc<CertificateSlot>,
    oldest: OldestVersion,
    authorities: &ClientAuthorities,
) -> Result<Arc<ServerConfig>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&authorities.certificates) {
        let certificate = certificate.map_err(|error| format!("the authorities' certificates: {error}"))?;
        roots.add(certificate).map_err(|error| format!("an authority's certificate: {error}"))?;
    }
    let revoked = authorities.revoked.iter().flat_map(|pem| CertificateRevocationListDer::pem_slice_iter(pem));
    let revoked: Vec<_> =
        revoked.collect::<Result<_, _>>().map_err(|error| format!("the list of revoked certificates: {error}"))?;
    if authorities.revoked.is_some() && revoked.is_empty() {
        return Err("the list of revoked certificates: there is none in the file".to_owned());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    // RFC 5280 §6.3: a list that is past its next update says nothing any more.
    let verifier = builder.allow_unauthenticated().with_crls(revoked).enforce_revocation_expiration().build();
    let verifier = verifier.map_err(|error| format!("the authorities' certificates: {error}"))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(oldest.and_newer())
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What a verified certificate says of its holder.
fn client_certificate(der: &CertificateDer<'_>) -> Option<ClientCertificate> {
    use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

    let fingerprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let fingerprint = fingerprint.as_ref().try_into().ok()?;
    // One whose end cannot be read proves nothing.
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let addresses = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        // RFC 5280 §4.2.1.6: an address of the form of RFC 2821, without angle brackets or a phrase.
        GeneralName::RFC822Name(address) => Mailbox::parse(address).ok(),
        _ => None,
    });
    let addresses = addresses.take(ADDRESSES_MAX).collect();
    Some(ClientCertificate { fingerprint, addresses, until: millis(certificate.validity().not_after), epoch: 0 })
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
        certificate: connection.peer_certificates().and_then(<[_]>::first).and_then(client_certificate).map(Box::new),
    }
}
