//! TLS towards next hops (RFC 3207): which certificate is good enough. Promise: under [`TlsPolicy::Verify`](crate::TlsPolicy) a handshake
//! succeeds only with a certificate for the host's name from a trusted authority, and under [`TlsPolicy::Dane`] only with one that DNS names;
//! TLS 1.2 and 1.3 only. RFC 9325 §3.1: nothing older is offered.
//!
//! RFC 3207 §4.1: the certificate is for the name we meant to reach, or it is not believed.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use postern_mail::TlsFailure;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::classify::Failure;
use crate::dane::{Dane, NoMatch};
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
    pub(crate) fn wish(&self) -> TlsWish {
        match self {
            Self::None => TlsWish::Never,
            Self::Opportunistic | Self::Observe => TlsWish::IfOffered,
            Self::Require | Self::Verify | Self::Dane(_) => TlsWish::Must,
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

/// Shakes hands with next hops. The configurations share no session tickets: a session that was begun with any certificate is never
/// resumed as a verified one.
#[derive(Clone, Debug)]
pub struct TlsClient {
    provider: Arc<CryptoProvider>,
    any: Arc<ClientConfig>,
    /// Absent where the system has no authorities at all; then nothing can be verified, and says so.
    verified: Result<(Arc<ClientConfig>, Arc<dyn ServerCertVerifier>), String>,
}

/// What a handshake came to.
pub(crate) struct Secured {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) security: Security,
    /// Under [`TlsPolicy::Observe`], what would have been wrong.
    pub(crate) doubt: Option<(TlsFailure, String)>,
}

impl TlsClient {
    /// Reads the authorities.
    ///
    /// # Errors
    /// [`RootsFault`] when certificates were given and none is usable.
    pub fn new(roots: &Roots) -> Result<Self, RootsFault> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let any =
            config(&provider, Arc::new(AnyCertificate { provider: Arc::clone(&provider), watched: None })).map_err(RootsFault)?;
        let verified = match roots {
            Roots::Platform => rustls_platform_verifier::Verifier::new(Arc::clone(&provider))
                .map_err(|error| error.to_string())
                .and_then(|verifier| with_config(&provider, Arc::new(verifier))),
            Roots::Pem(pem) => {
                let verifier = from_pem(pem, &provider).map_err(RootsFault)?;
                Ok(with_config(&provider, verifier).map_err(RootsFault)?)
            }
        };
        Ok(Self { provider, any, verified })
    }

    /// What verifies hosts by their names, for other questions to them; nothing where there are no authorities.
    #[must_use]
    pub fn verifying(&self) -> Option<Arc<ClientConfig>> {
        self.verified.as_ref().ok().map(|(config, _)| Arc::clone(config))
    }

    /// Shakes hands as a policy wants it.
    pub(crate) async fn handshake(
        &self,
        tcp: TcpStream,
        name: &str,
        address: IpAddr,
        policy: &TlsPolicy,
    ) -> Result<Secured, Failure> {
        let noted = Arc::default();
        let (config, security) = match policy {
            TlsPolicy::Verify => (Arc::clone(&self.verified()?.0), Security::Verified),
            TlsPolicy::Dane(set) if set.records.is_empty() => (Arc::clone(&self.any), Security::Encrypted),
            TlsPolicy::Dane(set) => {
                let verifier = Dane { set: Arc::clone(set), provider: Arc::clone(&self.provider) };
                (config(&self.provider, Arc::new(verifier)).map_err(Failure::Handshake)?, Security::Verified)
            }
            TlsPolicy::Observe => {
                let asked = self.verified()?.1.clone();
                let watching =
                    AnyCertificate { provider: Arc::clone(&self.provider), watched: Some((asked, Arc::clone(&noted))) };
                (config(&self.provider, Arc::new(watching)).map_err(Failure::Handshake)?, Security::Encrypted)
            }
            TlsPolicy::None | TlsPolicy::Opportunistic | TlsPolicy::Require => (Arc::clone(&self.any), Security::Encrypted),
        };
        // RFC 7672 §8.1: the name that the records stand at.
        let name = if let TlsPolicy::Dane(set) = policy { set.base.as_str() } else { name };
        // RFC 6066 §3: a name goes out as SNI, an address does not. A name that is none can still be encrypted to.
        let server = match ServerName::try_from(name.to_owned()) {
            Ok(server) => server,
            Err(_) if security != Security::Verified => ServerName::from(address),
            Err(error) => return Err(Failure::Handshake(error.to_string())),
        };
        match TlsConnector::from(config).connect(server, tcp).await {
            Ok(stream) => Ok(Secured { stream, security, doubt: noted.lock().unwrap_or_else(PoisonError::into_inner).take() }),
            Err(error) => Err(failed(&error)),
        }
    }

    fn verified(&self) -> Result<&(Arc<ClientConfig>, Arc<dyn ServerCertVerifier>), Failure> {
        self.verified.as_ref().map_err(|why| Failure::Handshake(format!("no authorities to verify with: {why}")))
    }
}

/// What went wrong with a handshake: the certificate, where it was that.
fn failed(error: &std::io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(inner @ rustls::Error::InvalidCertificate(_)) => {
            let (what, why) = of_certificate(inner);
            Failure::Certificate(what, why)
        }
        _ => Failure::Handshake(error.to_string()),
    }
}

/// RFC 8460 §4.3.1: what is said of a certificate that does not do.
fn of_certificate(error: &rustls::Error) -> (TlsFailure, String) {
    let rustls::Error::InvalidCertificate(why) = error else { return (TlsFailure::Validation, error.to_string()) };
    match why {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => (TlsFailure::Expired, error.to_string()),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            (TlsFailure::Mismatch, error.to_string())
        }
        CertificateError::Other(other) if other.0.is::<NoMatch>() => (TlsFailure::NotTrusted, other.0.to_string()),
        CertificateError::UnknownIssuer => (TlsFailure::NotTrusted, error.to_string()),
        _ => (TlsFailure::Validation, error.to_string()),
    }
}

fn with_config(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<(Arc<ClientConfig>, Arc<dyn ServerCertVerifier>), String> {
    Ok((config(provider, Arc::clone(&verifier))?, verifier))
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
    /// Who is asked all the same, and what it has found wrong.
    watched: Option<(Arc<dyn ServerCertVerifier>, Doubt)>,
}

type Doubt = Arc<Mutex<Option<(TlsFailure, String)>>>;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some((asked, noted)) = &self.watched
            && let Err(error) = asked.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        {
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(of_certificate(&error));
        }
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
