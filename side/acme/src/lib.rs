//! Certificates from an ACME authority (RFC 8555): asks for one, proves by http-01 that the names are ours, keeps it.
//!
//! Promise: what is kept is whole or not there, and only we can read it; a certificate that does not fit its key or the names is not kept; whatever the
//! authority does, an order ends within [`ORDER_TIME_MAX`].
//!
//! Exposure: the authority chooses every octet it answers; strangers ask for tokens on a port of its own, and get nothing but answers to them.

mod http;
pub mod plan;

use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier, NewAccount, NewOrder,
    OrderStatus, RetryPolicy,
};
use postern_mail::envelope::UnixMillis;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, Der, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::http::Https;
use crate::plan::{Lifetime, Tries};

/// For an order, from the first question to the certificate.
pub const ORDER_TIME_MAX: Duration = Duration::from_secs(300);
/// Tokens at a time; an order has one for each name.
const TOKENS_MAX: usize = 128;

/// What is asked for, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The authority's directory.
    pub directory: String,
    /// Addresses it may write to.
    pub contact: Vec<String>,
    /// Names of the certificate.
    pub names: Vec<String>,
    /// Authorities for its own certificate, as PEM; the system's when there are none.
    pub authorities: Option<Vec<u8>>,
    /// Where account, certificate and key are kept.
    pub folder: PathBuf,
}

/// Answers to the questions of http-01 that are under way.
#[derive(Debug, Default)]
pub struct Challenges(Mutex<HashMap<String, String>>);

impl Challenges {
    /// RFC 8555 §8.3: the key authorization, to whoever asks.
    #[must_use]
    pub fn answer(&self, token: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    fn put(&self, token: &str, answer: &str) -> Result<(), String> {
        // RFC 8555 §8.3: letters, digits, hyphen and underline.
        if token.is_empty() || !token.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet)) {
            return Err("the authority gave a token that is none".to_owned());
        }
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= TOKENS_MAX {
            return Err("too many names at a time".to_owned());
        }
        open.insert(token.to_owned(), answer.to_owned());
        Ok(())
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Where certificate and key are, in one file so that they always belong together.
#[must_use]
pub fn certificate_file(folder: &Path) -> PathBuf {
    folder.join("acme.pem")
}

/// What is known of the certificate that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How long it is good.
    pub life: Lifetime,
    /// Its names, sorted.
    pub names: Vec<String>,
    /// By which the authority knows it (RFC 9773 §4.1).
    id: Option<CertificateIdentifier<'static>>,
}

impl Kept {
    /// Reads it. `None`: there is none that can be used.
    #[must_use]
    pub fn load(folder: &Path) -> Option<Self> {
        let pem = std::fs::read(certificate_file(folder)).ok()?;
        Self::read(&pem).ok()
    }

    fn read(pem: &[u8]) -> Result<Self, String> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| format!("the certificate: {error}"))?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("the key: {error}"))?;
        let leaf = chain.first().ok_or("no certificate")?.clone();
        CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider()).map_err(|error| error.to_string())?;
        let (_, leaf) = X509Certificate::from_der(&leaf).map_err(|error| format!("the certificate: {error}"))?;
        let millis = |seconds: i64| UnixMillis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000));
        let life = Lifetime {
            from: millis(leaf.validity().not_before.timestamp()),
            until: millis(leaf.validity().not_after.timestamp()),
        };
        let alternatives = leaf.subject_alternative_name().ok().flatten();
        let mut names: Vec<String> = alternatives
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                x509_parser::extensions::GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect();
        names.sort();
        let authority = leaf.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref().map(|key| key.0.to_vec()),
            _ => None,
        });
        let id = authority.map(|authority| {
            CertificateIdentifier::new(Der::from_slice(&authority), Der::from_slice(leaf.tbs_certificate.raw_serial()))
                .into_owned()
        });
        Ok(Self { life, names, id })
    }

    /// True when it is for these names and no others.
    #[must_use]
    pub fn is_for(&self, names: &[String]) -> bool {
        let mut names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.sort();
        names.dedup();
        names == self.names
    }
}

/// True unless the certificate that is kept is known to be from another authority than the one at `directory`.
#[must_use]
pub fn is_from(folder: &Path, directory: &str) -> bool {
    // Beside one that was kept before this was written down there is nothing.
    std::fs::read(folder.join("acme-directory")).map_or(true, |from| from == directory.as_bytes())
}

/// Orders of late, as they were written down.
#[must_use]
pub fn tries(folder: &Path) -> Tries {
    std::fs::read(folder.join("acme-tries.json")).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Writes them down. To be done before an order.
///
/// # Errors
/// In words. Without it no order may begin.
pub fn keep_tries(folder: &Path, tries: &Tries) -> Result<(), String> {
    let text = serde_json::to_vec(tries).map_err(|error| error.to_string())?;
    keep(folder, "acme-tries.json", &text)
}

/// Whole or not at all, also over a power cut, and for nobody else to read.
fn keep(folder: &Path, name: &str, text: &[u8]) -> Result<(), String> {
    let path = folder.join(name);
    let partial = path.with_extension("new");
    let written = || -> std::io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&partial, &path)?;
        std::fs::File::open(folder)?.sync_all()
    };
    written().map_err(|error| format!("{}: {error}", path.display()))
}

/// The account at an authority; of another authority it is another.
#[derive(Serialize, Deserialize)]
struct KeptAccount {
    directory: String,
    credentials: AccountCredentials,
}

fn words(what: &str) -> impl Fn(instant_acme::Error) -> String + '_ {
    move |error| format!("{what}: {error}")
}

async fn account(settings: &Settings) -> Result<Account, String> {
    let https = || Https::new(settings.authorities.as_deref()).map(|https| Account::builder_with_http(Box::new(https)));
    let kept = std::fs::read(settings.folder.join("acme-account.json")).ok();
    let kept = kept.and_then(|text| serde_json::from_slice::<KeptAccount>(&text).ok());
    if let Some(kept) = kept.filter(|kept| kept.directory == settings.directory) {
        return https()?.from_credentials(kept.credentials).await.map_err(words("the account"));
    }
    let contact: Vec<String> = settings.contact.iter().map(|address| format!("mailto:{address}")).collect();
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    // RFC 8555 §7.3: the operator agreed to the terms by naming the authority.
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = https()?.create(&new, settings.directory.clone(), None).await.map_err(words("a new account"))?;
    let kept = KeptAccount { directory: settings.directory.clone(), credentials };
    let text = serde_json::to_vec(&kept).map_err(|error| error.to_string())?;
    keep(&settings.folder, "acme-account.json", &text)?;
    Ok(account)
}

/// Asks for a certificate and keeps it.
///
/// # Errors
/// In words, for the log. What was kept before is still there then.
pub async fn obtain(settings: &Settings, challenges: &Challenges) -> Result<Kept, String> {
    let ordered = tokio::time::timeout(ORDER_TIME_MAX, order(settings, challenges)).await;
    challenges.clear();
    let pem = ordered.unwrap_or_else(|_| Err("the authority did not come to an end in time".to_owned()))?;
    let kept = Kept::read(pem.as_bytes()).map_err(|why| format!("what the authority gave: {why}"))?;
    if !kept.is_for(&settings.names) {
        return Err(format!("the authority gave a certificate for {}", kept.names.join(", ")));
    }
    keep(&settings.folder, "acme.pem", pem.as_bytes())?;
    keep(&settings.folder, "acme-directory", settings.directory.as_bytes())?;
    Ok(kept)
}

async fn order(settings: &Settings, challenges: &Challenges) -> Result<String, String> {
    let account = account(settings).await?;
    let names: Vec<Identifier> = settings.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(words("the order"))?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(words("an authorization"))?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            other => return Err(format!("an authorization is {other:?} from the beginning")),
        }
        let mut challenge =
            authorization.challenge(ChallengeType::Http01).ok_or("the authority does not offer http-01 for a name")?;
        challenges.put(&challenge.token, challenge.key_authorization().as_str())?;
        challenge.set_ready().await.map_err(words("a challenge"))?;
    }
    let patience = RetryPolicy::new().timeout(ORDER_TIME_MAX);
    match order.poll_ready(&patience).await.map_err(words("the proof"))? {
        OrderStatus::Ready => {}
        _ => return Err(why_not(&mut order).await),
    }
    let key = order.finalize().await.map_err(words("the end of the order"))?;
    let chain = order.poll_certificate(&patience).await.map_err(words("the certificate"))?;
    Ok(format!("{key}\n{chain}"))
}

/// What the authority found wrong with each name.
async fn why_not(order: &mut instant_acme::Order) -> String {
    let mut found = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        let problems = authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        found.extend(problems.map(|problem| format!("{name}: {problem}")));
    }
    if found.is_empty() { "the names were not proved".to_owned() } else { found.join("; ") }
}

/// When the authority would have a certificate renewed, and how long that is not to be asked again (RFC 9773 §4.2, §4.3).
///
/// # Errors
/// In words: it does not say.
pub async fn suggested(settings: &Settings, kept: &Kept) -> Result<(Lifetime, Duration), String> {
    let id = kept.id.as_ref().ok_or("the certificate does not say who signed it")?;
    let account = account(settings).await?;
    let (info, wait) = account.renewal_info(id).await.map_err(words("renewal information"))?;
    let millis = |time: i64| UnixMillis(u64::try_from(time).unwrap_or(0).saturating_mul(1_000));
    let window = info.suggested_window;
    Ok((Lifetime { from: millis(window.start.unix_timestamp()), until: millis(window.end.unix_timestamp()) }, wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        format!("{}\n{}", made.signing_key.serialize_pem(), made.cert.pem())
    }

    #[test]
    fn a_certificate_is_read_back_with_its_names_and_its_life_and_half_of_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let text = pem(&["b.example", "A.example"]);
        keep(folder.path(), "acme.pem", text.as_bytes()).unwrap();
        let kept = Kept::load(folder.path()).unwrap();
        assert!(kept.is_for(&["a.example".to_owned(), "B.example".to_owned()]));
        assert!(!kept.is_for(&["a.example".to_owned()]));
        assert!(kept.life.from < kept.life.until);
        keep(folder.path(), "acme.pem", text.get(..text.len() / 2).unwrap().as_bytes()).unwrap();
        assert_eq!(Kept::load(folder.path()), None);
        let other = pem(&["a.example"]);
        let (key, _) = other.split_once("-----BEGIN CERT").unwrap();
        let (_, chain) = text.split_once("-----BEGIN CERT").unwrap();
        assert!(Kept::read(format!("{key}-----BEGIN CERT{chain}").as_bytes()).is_err(), "a key of another certificate");
    }

    #[test]
    fn a_certificate_of_another_authority_is_known_as_such() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_from(folder.path(), "https://real.example/"), "nothing is known");
        keep(folder.path(), "acme-directory", b"https://staging.example/").unwrap();
        assert!(is_from(folder.path(), "https://staging.example/"));
        assert!(!is_from(folder.path(), "https://real.example/"));
    }

    #[test]
    fn only_tokens_of_an_order_under_way_are_answered_and_what_is_no_token_is_not_taken() {
        let challenges = Challenges::default();
        challenges.put("abc-_1", "abc-_1.thumb").unwrap();
        assert_eq!(challenges.answer("abc-_1").as_deref(), Some("abc-_1.thumb"));
        assert_eq!(challenges.answer("other"), None);
        assert!(challenges.put("../../etc", "x").is_err() && challenges.put("", "x").is_err());
        challenges.clear();
        assert_eq!(challenges.answer("abc-_1"), None);
    }

    #[test]
    fn what_is_kept_is_for_nobody_else_to_read() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let mut tries = tries(folder.path());
        tries.begin(UnixMillis(7));
        keep_tries(folder.path(), &tries).unwrap();
        assert_eq!(super::tries(folder.path()), tries);
        let mode = std::fs::metadata(folder.path().join("acme-tries.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
