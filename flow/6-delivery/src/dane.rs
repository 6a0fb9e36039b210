//! Head: whether a certificate is one that DNS names (RFC 7672 §3). Promise: a handshake succeeds only with a certificate that a usable record
//! matches, and only with who holds its key; no authority of the system has a say in it.

use std::sync::Arc;

use aws_lc_rs::digest;
use postern_mail::tlsa::{DANE_EE, DANE_TA};
use postern_mail::{Tlsa, TlsaSet};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

/// Certificates of a chain that are looked at. Real ones have three.
const CHAIN_MAX: usize = 16;

/// No record is about any certificate the host has shown.
#[derive(Debug)]
pub(crate) struct NoMatch;

impl std::fmt::Display for NoMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no TLSA record of the domain matches the certificate (DANE)")
    }
}

impl std::error::Error for NoMatch {}

/// Verifies by the records of one host.
#[derive(Debug)]
pub(crate) struct Dane {
    pub(crate) set: Arc<TlsaSet>,
    pub(crate) provider: Arc<CryptoProvider>,
}

impl Dane {
    /// RFC 7671 §9: of two digests of the same thing, the weaker one has no say.
    fn records(&self, usage: u8) -> impl Iterator<Item = &Tlsa> {
        let all = &self.set.records;
        let better = |record: &Tlsa| {
            all.iter().any(|other| (other.usage, other.selector, other.matching) == (record.usage, record.selector, 2))
        };
        all.iter().filter(move |record| record.usage == usage && !(record.matching == 1 && better(record)))
    }

    /// RFC 7672 §3.1.2, §3.2.3: a certificate of the chain, or one that stands whole in DNS, vouches for the host, whose name is checked.
    fn below_an_anchor(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut anchors = RootCertStore::empty();
        for record in self.records(DANE_TA) {
            let whole = (record.selector == 0 && record.matching == 0).then(|| CertificateDer::from(record.data.to_vec()));
            let shown = intermediates.iter().take(CHAIN_MAX).find(|certificate| matches(record, certificate)).cloned();
            if let Some(anchor) = shown.or(whole) {
                // One that cannot be an anchor is none.
                let _ = anchors.add(anchor.into_owned());
            }
        }
        if anchors.is_empty() {
            return Err(no_match());
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(anchors), Arc::clone(&self.provider)).build();
        let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
        let names = [&self.set.base].into_iter().chain(&self.set.also);
        let mut refused = no_match();
        for name in names.filter_map(|name| ServerName::try_from(name.as_str()).ok()) {
            match verifier.verify_server_cert(end_entity, intermediates, &name, &[], now) {
                Ok(verified) => return Ok(verified),
                Err(why) => refused = why,
            }
        }
        Err(refused)
    }
}

fn no_match() -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(NoMatch))))
}

/// RFC 6698 §2.1.2, §2.1.3.
fn matches(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    let key;
    let selected: &[u8] = match record.selector {
        0 => certificate,
        _ => {
            let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
            key = parsed.subject_public_key_info();
            &key
        }
    };
    match record.matching {
        0 => selected == &*record.data,
        1 => digest::digest(&digest::SHA256, selected).as_ref() == &*record.data,
        _ => digest::digest(&digest::SHA512, selected).as_ref() == &*record.data,
    }
}

impl ServerCertVerifier for Dane {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // RFC 7672 §3.1.1: the host's own certificate: neither its names nor its dates count.
        if self.records(DANE_EE).any(|record| matches(record, end_entity)) {
            return Ok(ServerCertVerified::assertion());
        }
        self.below_an_anchor(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
