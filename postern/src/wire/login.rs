//! The ways to log in that are set up elsewhere: issuers of tokens and authorities of clients' certificates, from the configuration.
//!
//! Promise: a mechanism is offered only where something can come of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postern_config::{AccountClaim, ClientIdentity, Config};
use postern_listener::{CertificateSlot, ClientAuthorities, OldestVersion, asking_for_certificates};
use postern_mail::client::ListenerKind;
use postern_mail::fact::{ClientCertificate, Mechanism};
use postern_state::{Issuers, OidcSettings, TokenClaim};
use rustls::ServerConfig;

/// What the session may offer: tokens where there is an issuer, certificates where there is an authority.
#[must_use]
pub(crate) fn mechanisms(config: &Config) -> Vec<Mechanism> {
    let is_set_up = |mechanism: &Mechanism| match mechanism {
        Mechanism::OauthBearer | Mechanism::Xoauth2 => !config.auth.oidc.is_empty(),
        Mechanism::External => config.tls.client_ca.is_some(),
        _ => true,
    };
    config.auth.mechanisms.iter().copied().filter(is_set_up).collect()
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{setting} {}: {error}", path.display()))
}

/// The issuers whose tokens are good.
///
/// # Errors
/// In words: an authority's file cannot be used.
pub(crate) fn issuers(config: &Config) -> Result<Issuers, String> {
    let settings = config.auth.oidc.iter().map(|oidc| {
        Ok(OidcSettings {
            issuer: oidc.issuer.as_str().to_owned(),
            audience: oidc.audience.clone(),
            claim: match oidc.claim {
                AccountClaim::Email => TokenClaim::Email,
                AccountClaim::PreferredUsername => TokenClaim::PreferredUsername,
                AccountClaim::Subject => TokenClaim::Subject,
            },
            authorities: oidc.ca_file.as_deref().map(|path| read("[auth] oidc ca_file", path)).transpose()?,
        })
    });
    Issuers::new(settings.collect::<Result<_, String>>()?)
}

/// TLS for clients: a plain one, and one that asks for certificates where the configuration names an authority.
pub(crate) struct TlsByKind {
    plain: Arc<ServerConfig>,
    asking: Option<Arc<ServerConfig>>,
}

impl TlsByKind {
    /// # Errors
    /// In words: a file cannot be used.
    pub(crate) fn new(
        config: &Config,
        plain: Arc<ServerConfig>,
        certificate: &Arc<CertificateSlot>,
        oldest: OldestVersion,
    ) -> Result<Self, String> {
        let tls = &config.tls;
        let asking = match &tls.client_ca {
            None => None,
            Some(path) => {
                let revoked = tls.client_crl.as_deref().map(|path| read("[tls] client_crl", path)).transpose()?;
                let authorities = ClientAuthorities { certificates: read("[tls] client_ca", path)?, revoked };
                let asking = asking_for_certificates(Arc::clone(certificate), oldest, &authorities);
                Some(asking.map_err(|why| format!("[tls] client_ca: {why}"))?)
            }
        };
        Ok(Self { plain, asking })
    }

    /// Other servers are never asked: some break off when they are.
    #[must_use]
    pub(crate) fn of(&self, kind: ListenerKind) -> Arc<ServerConfig> {
        Arc::clone(self.asking.as_ref().filter(|_| kind.is_submission()).unwrap_or(&self.plain))
    }
}

/// What a certificate may say here of whose it is.
#[must_use]
pub(crate) fn believed(config: &Config, certificate: Option<Box<ClientCertificate>>) -> Option<Box<ClientCertificate>> {
    let mut certificate = certificate?;
    if config.tls.client_identity == ClientIdentity::Fingerprint {
        certificate.addresses.clear();
    }
    Some(certificate)
}

/// Files that must stay within reach.
pub(crate) fn files(config: &Config) -> impl Iterator<Item = &PathBuf> {
    let issuers = config.auth.oidc.iter().filter_map(|oidc| oidc.ca_file.as_ref());
    [&config.tls.client_ca, &config.tls.client_crl].into_iter().flatten().chain(issuers)
}
