//! TLS towards next hops (RFC 3207): which certificate is good enough. Promise: under [`TlsPolicy::Verify`](crate::TlsPolicy) a handshake
//! succeeds only with a certificate for the host's name from a trusted authority; TLS 1.2 and 1.3 only.
//! RFC 9325 §3.1: nothing older is offered.
//!
//! RFC 7672 §2 TODO: DANE is not there yet. RFC 8461 §5 TODO: MTA-STS is not there yet. RFC 3207 §4.1: the certificate is for the name
//! we meant to reach, or it is not believed.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::classify::Failure;
use crate::next_hop::TlsPolicy;

/// What a connection is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Security {
    /// Anybody on the way can read and change it.
    Clear,
    /// Encrypted, with somebody.
    Encrypted,
    /// Encrypted, with the host of this name.
    Verified,
}

/// What to do about STARTTLS on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsWish {
    /// Do not ask for it.
    Never,
    /// Where it is offered.
    IfOffered,
    /// Or not at all.
    Must,
}

impl TlsPolicy {
    pub(crate) fn wish(self) -> TlsWish {
        match self {
            Self::None => TlsWish::Never,
            Self::Opportunistic => TlsWish::IfOffered,
            Self::Require | Self::Verify => TlsWish::Must,
        }
    }
}

/// Which authorities vouch for hosts.
#[derive(Clone, Debug, Default)]
pub enum Roots {
    /// Those of the operating system, read once, at the start.
    #[default]
    Platform,
    /// These certificates, as PEM.
    Pem(Vec<u8>),
}

/// The certificates given as [`Roots::Pem`] cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootsFault(pub String);

impl std::fmt::Display for RootsFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the authorities' certificates cannot be used: {}", self.0)
    }
}

impl std::error::Error for RootsFault {}

/// Shakes hands with next hops. The two configurations share no session tickets: a session that was begun with any certificate is never
/// resumed as a verified one.
#[derive(Clone, Debug)]
pub struct TlsClient {
    any: Arc<ClientConfig>,
    /// Absent where the system has no authorities at all; then nothing can be verified, and says so.
    verified: Result<Arc<ClientConfig>, String>,
}

impl TlsClient {
    /// Reads the authorities.
    ///
    /// # Errors
    /// [`RootsFault`] when certificates were given and none is usable.
    pub fn new(roots: &Roots) -> Result<Self, RootsFault> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let any = config(&provider, Arc::new(AnyCertificate { provider: Arc::clone(&provider) })).map_err(RootsFault)?;
        let verified = match roots {
            Roots::Platform => rustls_platform_verifier::Verifier::new(Arc::clone(&provider))
                .map_err(|error| error.to_string())
                .and_then(|verifier| config(&provider, Arc::new(verifier))),
            Roots::Pem(pem) => {
                let verifier = from_pem(pem, &provider).map_err(RootsFault)?;
                Ok(config(&provider, verifier).map_err(RootsFault)?)
            }
        };
        Ok(Self { any, verified })
    }

    /// Shakes hands. `verify` checks the certificate for `name`.
    pub(crate) async fn handshake(
        &self,
        tcp: TcpStream,
        name: &str,
        address: IpAddr,
        verify: bool,
    ) -> Result<(TlsStream<TcpStream>, Security), Failure> {
        let config = if verify {
            self.verified.as_ref().map_err(|why| Failure::Handshake(format!("no authorities to verify with: {why}")))?
        } else {
            &self.any
        };
        // RFC 6066 §3: a name goes out as SNI, an address does not. A name that is none can still be encrypted to.
        let server = match ServerName::try_from(name.to_owned()) {
            Ok(server) => server,
            Err(_) if !verify => ServerName::from(address),
            Err(error) => return Err(Failure::Handshake(error.to_string())),
        };
        match TlsConnector::from(Arc::clone(config)).connect(server, tcp).await {
            Ok(stream) => Ok((stream, if verify { Security::Verified } else { Security::Encrypted })),
            Err(error) => Err(Failure::Handshake(error.to_string())),
        }
    }
}

fn config(provider: &Arc<CryptoProvider>, verifier: Arc<dyn ServerCertVerifier>) -> Result<Arc<ClientConfig>, String> {
    let config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn from_pem(pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    verifier.map(|verifier| verifier as Arc<dyn ServerCertVerifier>).map_err(|error| error.to_string())
}

/// Takes every certificate: encryption with whoever answers is better than none (RFC 7435 §3).
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // Who may have any certificate may have any key, so a signature by that key proves nothing. Checking it would only send mail in clear
    // to hosts whose old certificates our library cannot read.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_no_authority() {
        assert!(TlsClient::new(&Roots::Pem(b"garbage".to_vec())).is_err());
        assert!(TlsClient::new(&Roots::Pem(Vec::new())).is_err());
    }

    #[test]
    fn a_system_without_authorities_can_still_encrypt() {
        assert!(TlsClient::new(&Roots::Platform).is_ok());
    }
}
