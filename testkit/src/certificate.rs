//! Certificates made for a test, and clients that take any.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Writes a new self-signed certificate and its key into a folder, as `certificate.pem` and `key.pem`, and gives the certificate as DER.
///
/// # Panics
/// When the name is no name, or the folder cannot be written to.
pub fn write_self_signed(folder: &Path, name: &str) -> Vec<u8> {
    let (certificate, key) = self_signed(name);
    // Both are replaced, not written over: whoever looks meanwhile sees a whole file.
    for (file, text) in [("key.pem", &key), ("certificate.pem", &certificate)] {
        let new = folder.join(format!("{file}.new"));
        std::fs::write(&new, text).unwrap();
        crate::peers::allow(&new, 0o644);
        std::fs::rename(&new, folder.join(file)).unwrap();
    }
    CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap().to_vec()
}

/// A new self-signed certificate and its key, as PEM.
///
/// # Panics
/// When the name is no name.
#[must_use]
pub fn self_signed(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A server with a certificate made just now.
///
/// # Panics
/// When the name is no name.
#[must_use]
pub fn server(name: &str) -> Arc<ServerConfig> {
    server_and_certificate(name).0
}

/// The same, with the certificate as DER.
///
/// # Panics
/// When the name is no name.
#[must_use]
pub fn server_and_certificate(name: &str) -> (Arc<ServerConfig>, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let certificate = made.cert.der().clone();
    (Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap()), certificate.to_vec())
}

/// A client that takes any certificate: tests look at it afterwards, where it matters.
///
/// # Panics
/// Never.
#[must_use]
pub fn trusting_client() -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.dangerous().with_custom_certificate_verifier(Arc::new(Any)).with_no_client_auth())
}

/// The same, showing the certificate `client.pem` of this folder with the key beside it.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn showing_client(folder: &Path) -> Arc<ClientConfig> {
    let chain = vec![CertificateDer::from_pem_file(folder.join("client.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("client-key.pem")).unwrap();
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Any));
    Arc::new(config.with_client_auth_cert(chain, key).unwrap())
}

#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
