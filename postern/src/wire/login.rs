//! The ways to log in that are set up elsewhere: issuers of tokens and authorities of clients' certificates, from the configuration.
//!
//! Promise: authorities and lists that cannot be used never replace those that are in use.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use postern_config::{AccountClaim, ClientIdentity, Config};
use postern_listener::{CertificateSlot, ClientAuthorities, OldestVersion, asking_for_certificates};
use postern_mail::client::ListenerKind;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::ClientCertificate;
use postern_state::{Issuers, OidcSettings, TokenClaim};
use rustls::ServerConfig;

/// So long before a list of revoked certificates ends, its end is told.
const WARN_BEFORE: Duration = Duration::from_secs(86_400);

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
            domains: oidc.domains.clone(),
            authorities: oidc.ca_file.as_deref().map(|path| read("[auth] oidc ca_file", path)).transpose()?,
        })
    });
    Issuers::new(settings.collect::<Result<_, String>>()?)
}

/// TLS for clients that are asked for a certificate, as it was made from its files.
pub(crate) struct Asking {
    tls: Arc<ServerConfig>,
    /// What a certificate is verified by, to the letter.
    authorities: ClientAuthorities,
    next_update: Option<UnixMillis>,
    files: Times,
}

/// When the files of a configuration were changed.
type Times = Vec<Option<SystemTime>>;

fn times(config: &Config) -> Times {
    let time = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    [&config.tls.client_ca, &config.tls.client_crl].into_iter().map(|path| path.as_ref().and_then(time)).collect()
}

/// What was seen of the files when they were last looked at.
#[derive(Default)]
struct Looked {
    files: Times,
    /// The next update of a list of which was warned, and whether it was over by then.
    warned: Option<(UnixMillis, bool)>,
}

impl Looked {
    /// Whether there is something to tell of a list that ends then, and whether it is over: once shortly before, and once when it is.
    fn warns(&mut self, end: UnixMillis, now: UnixMillis) -> Option<bool> {
        let warning = (end, end <= now);
        let is_news = end <= now.plus(WARN_BEFORE) && self.warned.replace(warning) != Some(warning);
        is_news.then_some(warning.1)
    }
}

/// TLS for clients: a plain one, and one that asks for certificates where the configuration names an authority. The latter is replaced as a
/// whole when its files change: a list of revoked certificates is only good until its next update.
pub(crate) struct TlsByKind {
    plain: Arc<ServerConfig>,
    certificate: Arc<CertificateSlot>,
    oldest: OldestVersion,
    asking: ArcSwapOption<Asking>,
    /// How often what certificates are verified by has changed.
    epoch: AtomicU64,
    looked: Mutex<Looked>,
}

impl TlsByKind {
    /// # Errors
    /// In words: a file cannot be used.
    pub(crate) fn new(
        config: &Config,
        plain: Arc<ServerConfig>,
        certificate: Arc<CertificateSlot>,
        oldest: OldestVersion,
    ) -> Result<Self, String> {
        let tls = Self {
            plain,
            certificate,
            oldest,
            asking: ArcSwapOption::empty(),
            epoch: AtomicU64::new(0),
            looked: Mutex::default(),
        };
        let _nobody_is_logged_in_yet = tls.put(tls.prepare(config)?);
        Ok(tls)
    }

    /// Reads what a configuration names, and changes nothing.
    ///
    /// # Errors
    /// In words: a file cannot be used.
    pub(crate) fn prepare(&self, config: &Config) -> Result<Option<Asking>, String> {
        // Before they are read: what changes after this is seen at the next look.
        let files = times(config);
        let Some(path) = &config.tls.client_ca else { return Ok(None) };
        let revoked = config.tls.client_crl.as_deref().map(|path| read("[tls] client_crl", path)).transpose()?;
        let authorities = ClientAuthorities { certificates: read("[tls] client_ca", path)?, revoked };
        let tls = asking_for_certificates(Arc::clone(&self.certificate), self.oldest, &authorities);
        let tls = tls.map_err(|why| format!("[tls] client_ca: {why}"))?;
        Ok(Some(Asking { tls, next_update: authorities.next_update(), authorities, files }))
    }

    /// From the next connection on. True when certificates are verified by something else from now on: whoever logged in by one must be made
    /// to connect again then, since what let it in may have been revoked.
    #[must_use]
    pub(crate) fn put(&self, asking: Option<Asking>) -> bool {
        self.looked().files = asking.as_ref().map(|asking| asking.files.clone()).unwrap_or_default();
        let asking = asking.map(Arc::new);
        let old = self.asking.swap(asking.clone());
        let has_changed = old.as_ref().map(|old| &old.authorities) != asking.as_ref().map(|new| &new.authorities);
        if has_changed {
            // Behind the swap: who reads the new count before it takes its settings gets the new ones.
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
        has_changed
    }

    /// How often what certificates are verified by has changed. A connection asks before it is given its settings, so that it can at worst be
    /// taken for an older one than it is.
    #[must_use]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    fn looked(&self) -> MutexGuard<'_, Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up its files when they have changed; what cannot be used is left alone until it changes again. And says when a list of revoked
    /// certificates comes to its end. True as for [`TlsByKind::put`].
    #[must_use]
    pub(crate) fn renew(&self, config: &Config, now: UnixMillis) -> bool {
        if config.tls.client_ca.is_none() {
            return false;
        }
        let mut is_other = false;
        let files = times(config);
        let has_changed = {
            let mut looked = self.looked();
            std::mem::replace(&mut looked.files, files.clone()) != files
        };
        if has_changed {
            match self.prepare(config) {
                Ok(asking) => {
                    is_other = self.put(asking);
                    tracing::info!("the authorities of clients' certificates, and what they revoked, were read anew");
                }
                Err(what) => tracing::error!("the changed authorities of clients' certificates are not taken: {what}"),
            }
        }
        self.warn_of_next_update(now);
        is_other
    }

    fn warn_of_next_update(&self, now: UnixMillis) {
        let Some(end) = self.asking.load().as_ref().and_then(|asking| asking.next_update) else { return };
        let Some(is_over) = self.looked().warns(end, now) else { return };
        if is_over {
            tracing::error!(
                "a list of [tls] client_crl is past its next update: no certificate it is for is taken until it is renewed"
            );
        } else {
            let hours = end.since(now).as_secs() / 3600;
            tracing::warn!(
                "a list of [tls] client_crl ends in {hours} hours, and then no certificate it is for is taken; renew it"
            );
        }
    }

    /// Other servers are never asked: some break off when they are.
    #[must_use]
    pub(crate) fn of(&self, kind: ListenerKind) -> Arc<ServerConfig> {
        let asking = self.asking.load();
        let asking = asking.as_ref().filter(|_| kind.is_submission());
        Arc::clone(asking.map_or(&self.plain, |asking| &asking.tls))
    }
}

/// What a certificate may say here of whose it is, and by which count of [`TlsByKind::epoch`] it was verified.
#[must_use]
pub(crate) fn believed(config: &Config, shown: Option<Box<ClientCertificate>>, epoch: u64) -> Option<Box<ClientCertificate>> {
    let mut certificate = shown?;
    certificate.epoch = epoch;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_about_to_end_is_told_of_once_a_day_before_and_once_when_it_is_over() {
        let mut looked = Looked::default();
        let now = UnixMillis(1_800_000_000_000);
        let after = |hours: u64| now.plus(Duration::from_secs(hours * 3600));
        assert_eq!(looked.warns(after(25), now), None);
        assert_eq!(looked.warns(after(25), after(1)), Some(false));
        assert_eq!(looked.warns(after(25), after(2)), None, "told already");
        assert_eq!(looked.warns(after(25), after(25)), Some(true));
        assert_eq!(looked.warns(after(25), after(26)), None);
        assert_eq!(looked.warns(after(60), after(27)), None, "renewed");
        assert_eq!(looked.warns(after(60), after(40)), Some(false), "and warned of anew");
    }
}
