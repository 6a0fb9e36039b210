//! Head: an account as a value, and the row it is kept in. Promise: what verifies a password is never printed, and a row reads back as
//! the account that was written.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::AccountName;
use postern_mail::scope::AccountScope;
use postern_mail::{Domain, Mailbox};
use postern_smtp::sasl::scram::ScramKeys;
use serde::{Deserialize, Serialize};

use crate::standing::{ScopeRow, Standing, StandingRow};

/// The name of the credential that is the account's own password.
pub const PASSWORD: &str = "password";

/// What a token counts as among the credentials.
pub const TOKEN: &str = "token";
/// What a certificate counts as.
pub const CERTIFICATE: &str = "certificate";

/// SHA-256 of a certificate.
pub type Fingerprint = [u8; 32];

/// Reads a fingerprint as `openssl x509 -fingerprint -sha256` prints it: hexadecimal digits, in pairs with colons or without, behind
/// `sha256 Fingerprint=` or not.
#[must_use]
pub fn parse_fingerprint(text: &str) -> Option<Fingerprint> {
    let digits = match text.trim().rsplit_once('=') {
        Some((label, digits)) if label.eq_ignore_ascii_case("sha256 fingerprint") => digits,
        Some(_) => return None,
        None => text.trim(),
    };
    let digits: String = digits.chars().filter(|c| *c != ':').collect();
    if digits.len() != 64 || !digits.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        return None;
    }
    let mut fingerprint = [0; 32];
    for (place, octet) in fingerprint.iter_mut().enumerate() {
        *octet = u8::from_str_radix(digits.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(fingerprint)
}

/// Prints it in lower case, without colons.
#[must_use]
pub fn print_fingerprint(fingerprint: &Fingerprint) -> String {
    fingerprint.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Something an account may send as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owned {
    /// This address.
    Address(Mailbox),
    /// Every address of this domain, not of those below it.
    Domain(Domain),
}

impl Owned {
    /// Reads `name@domain` or `domain`; `@domain` is taken for the domain too.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, postern_mail::trouble::Fault> {
        match text.strip_prefix('@') {
            Some(domain) => Domain::parse(domain).map(Self::Domain),
            None if text.contains('@') => Mailbox::parse(text).map(Self::Address),
            None => Domain::parse(text).map(Self::Domain),
        }
    }
}

impl fmt::Display for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Domain(domain) => domain.fmt(f),
        }
    }
}

/// The form in which addresses of accounts are compared. RFC 5321 §2.4 DEPARTS: local parts of other servers keep their case, but two
/// accounts of ours that differ only in case would be a trap for their owners.
#[must_use]
pub fn canonical(address: &Mailbox) -> String {
    address.to_string().to_lowercase()
}

/// True where case is all that [`canonical`] takes away. Some letters fold into others that are not the same: a name with the KELVIN SIGN,
/// which somebody else let its owner choose, is not one with a `k`.
pub(crate) fn is_folded_plainly(text: &str) -> bool {
    text.to_lowercase() == text.to_ascii_lowercase()
}

/// What a password is verified against. It has no `Display`, and its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Verifier {
    /// Argon2id as PHC text.
    pub(crate) hash: Box<str>,
    /// RFC 5802 §3.
    pub(crate) stored_key: [u8; 32],
    /// RFC 5802 §3.
    pub(crate) server_key: [u8; 32],
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(..)")
    }
}

/// One way to prove to be an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// `password`, or the name of the app password.
    pub name: Arc<str>,
    /// The first characters of an app password; the account's own password has none.
    pub(crate) selector: Option<Box<str>>,
    pub(crate) verifier: Verifier,
    /// When it was made.
    pub created: UnixMillis,
    /// From then on it is refused.
    pub expires: Option<UnixMillis>,
    /// About when it was last good, to the hour.
    pub last_used: Option<UnixMillis>,
    /// Its scope, and what is known of its use.
    pub standing: Standing,
}

impl Credential {
    /// Tells it from one of the same name that came after it.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.verifier.stored_key.first_chunk().map_or(0, |start| u64::from_be_bytes(*start))
    }

    /// As far as its use goes.
    #[must_use]
    pub fn way(&self) -> Way<'_> {
        Way { created: self.created, expires: self.expires, last_used: self.last_used, standing: &self.standing }
    }

    /// True when it is past its end.
    #[must_use]
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}

/// A certificate noted for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Which.
    pub fingerprint: Fingerprint,
    /// When it was noted; of one that an older version noted, when its account was made.
    pub added: UnixMillis,
    /// About when it was last good, to the hour.
    pub last_used: Option<UnixMillis>,
    /// What is known of its use. It has no scope of its own.
    pub standing: Standing,
}

impl Certificate {
    /// Noted just now.
    #[must_use]
    pub fn new(fingerprint: Fingerprint, added: UnixMillis) -> Self {
        Self { fingerprint, added, last_used: None, standing: Standing::default() }
    }

    /// What it is called among the ways to be its account: longer than the name of any app password, so it is none.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        format!("{CERTIFICATE} {}", print_fingerprint(&self.fingerprint)).into()
    }

    /// As far as its use goes. When it ends it says itself, in the handshake.
    #[must_use]
    pub fn way(&self) -> Way<'_> {
        Way { created: self.added, expires: None, last_used: self.last_used, standing: &self.standing }
    }
}

/// A way to prove to be an account, by a password or a certificate, as far as its use goes.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// When it was made or noted.
    pub created: UnixMillis,
    /// From then on it is refused.
    pub expires: Option<UnixMillis>,
    /// About when it was last good.
    pub last_used: Option<UnixMillis>,
    /// Its scope, and what is known of its use.
    pub standing: &'a Standing,
}

impl Way<'_> {
    /// When it was last known to be needed: used, made, or enabled again.
    #[must_use]
    pub fn last_needed(&self) -> UnixMillis {
        [self.last_used, self.standing.enabled].into_iter().flatten().fold(self.created, UnixMillis::max)
    }

    /// True when nobody has used it for `after` less `notice`, so that it will be disabled. What cannot be used anyway is left alone; an `after`
    /// of zero disables nothing.
    #[must_use]
    pub fn is_idle(&self, now: UnixMillis, after: Duration, notice: Duration) -> bool {
        let can_be_used = self.standing.disabled.is_none() && !self.is_expired(now);
        can_be_used && !after.is_zero() && now.since(self.last_needed()) >= after.saturating_sub(notice)
    }

    /// True when it is past its end.
    #[must_use]
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}

/// Who may submit mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// An address in canonical form.
    pub name: AccountName,
    /// Nobody can prove to be it.
    pub disabled: bool,
    /// What it may send as.
    pub addresses: Vec<Owned>,
    /// What it may do.
    pub scope: AccountScope,
    /// Its password and its app passwords.
    pub credentials: Vec<Credential>,
    /// The certificates noted for it.
    pub certificates: Vec<Certificate>,
    /// When it was made.
    pub created: UnixMillis,
    /// One for all credentials, so that a SCRAM proof can be checked against each.
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
    /// Grows with every change but `last_used`; not kept on disk.
    pub(crate) generation: u64,
}

impl Account {
    /// True when it may send as this address.
    #[must_use]
    pub fn owns(&self, address: &Mailbox) -> bool {
        self.addresses.iter().any(|owned| match owned {
            Owned::Address(own) => canonical(own) == canonical(address),
            Owned::Domain(domain) => address.domain() == Some(domain),
        })
    }

    /// By name.
    #[must_use]
    pub fn credential(&self, name: &str) -> Option<&Credential> {
        self.credentials.iter().find(|credential| &*credential.name == name)
    }

    /// By its fingerprint.
    #[must_use]
    pub fn certificate(&self, fingerprint: &Fingerprint) -> Option<&Certificate> {
        self.certificates.iter().find(|certificate| certificate.fingerprint == *fingerprint)
    }

    /// All ways to prove to be it that are kept here, by their names.
    pub fn ways(&self) -> impl Iterator<Item = (Arc<str>, Way<'_>)> {
        let passwords = self.credentials.iter().map(|credential| (Arc::clone(&credential.name), credential.way()));
        passwords.chain(self.certificates.iter().map(|certificate| (certificate.name(), certificate.way())))
    }

    /// When one of them was last used, and its standing, to be changed.
    pub(crate) fn way_mut(&mut self, name: &str) -> Option<(&mut Option<UnixMillis>, &mut Standing)> {
        let password = self.credentials.iter_mut().find(|credential| &*credential.name == name);
        let password = password.map(|credential| (&mut credential.last_used, &mut credential.standing));
        password.or_else(|| {
            let certificate = self.certificates.iter_mut().find(|certificate| *certificate.name() == *name)?;
            Some((&mut certificate.last_used, &mut certificate.standing))
        })
    }

    pub(crate) fn keys(&self, credential: &Credential) -> ScramKeys {
        ScramKeys {
            salt: self.salt.clone(),
            iterations: self.iterations,
            stored_key: credential.verifier.stored_key,
            server_key: credential.verifier.server_key,
        }
    }
}

/// The form of the row. It only grows; a change of meaning is a new layout of the store.
#[derive(Serialize, Deserialize)]
struct AccountRow {
    name: String,
    disabled: bool,
    addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    scope: ScopeRow,
    credentials: Vec<CredentialRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<CertificateRow>,
    created: u64,
    salt: String,
    iterations: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum CertificateRow {
    /// As it was kept before anything but the fingerprint was.
    Plain(String),
    Known {
        fingerprint: String,
        added: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_used: Option<u64>,
        #[serde(default, skip_serializing_if = "is_default")]
        standing: Box<StandingRow>,
    },
}

#[derive(Serialize, Deserialize)]
struct CredentialRow {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    selector: Option<String>,
    hash: String,
    stored_key: String,
    server_key: String,
    created: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_used: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    standing: StandingRow,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Account {
    pub(crate) fn to_row(&self) -> Result<Vec<u8>, String> {
        let credentials = self.credentials.iter().map(|credential| CredentialRow {
            name: credential.name.to_string(),
            selector: credential.selector.as_deref().map(str::to_owned),
            hash: credential.verifier.hash.to_string(),
            stored_key: BASE64.encode(credential.verifier.stored_key),
            server_key: BASE64.encode(credential.verifier.server_key),
            created: credential.created.0,
            expires: credential.expires.map(|time| time.0),
            last_used: credential.last_used.map(|time| time.0),
            standing: StandingRow::of(&credential.standing),
        });
        let row = AccountRow {
            name: self.name.to_string(),
            disabled: self.disabled,
            addresses: self.addresses.iter().map(ToString::to_string).collect(),
            scope: ScopeRow::of(&self.scope),
            credentials: credentials.collect(),
            certificates: self.certificates.iter().map(CertificateRow::of).collect(),
            created: self.created.0,
            salt: BASE64.encode(&self.salt),
            iterations: self.iterations,
        };
        serde_json::to_vec(&row).map_err(|e| e.to_string())
    }

    pub(crate) fn from_row(row: &[u8]) -> Result<Self, String> {
        let row: AccountRow = serde_json::from_slice(row).map_err(|e| e.to_string())?;
        let addresses = row.addresses.iter().map(|text| Owned::parse(text).map_err(|fault| format!("{fault}: {text:?}")));
        Ok(Self {
            name: row.name.into(),
            disabled: row.disabled,
            addresses: addresses.collect::<Result<_, _>>()?,
            scope: row.scope.read()?,
            credentials: row.credentials.into_iter().map(CredentialRow::read).collect::<Result<_, _>>()?,
            certificates: row
                .certificates
                .into_iter()
                .map(|certificate| certificate.read(UnixMillis(row.created)))
                .collect::<Result<_, _>>()?,
            created: UnixMillis(row.created),
            salt: BASE64.decode(&row.salt).map_err(|e| e.to_string())?,
            iterations: row.iterations,
            generation: 0,
        })
    }
}

impl CertificateRow {
    fn of(certificate: &Certificate) -> Self {
        Self::Known {
            fingerprint: print_fingerprint(&certificate.fingerprint),
            added: certificate.added.0,
            last_used: certificate.last_used.map(|time| time.0),
            standing: Box::new(StandingRow::of(&certificate.standing)),
        }
    }

    fn read(self, account_created: UnixMillis) -> Result<Certificate, String> {
        let print = |text: &str| parse_fingerprint(text).ok_or("a fingerprint has not 32 octets".to_owned());
        Ok(match self {
            Self::Plain(text) => Certificate::new(print(&text)?, account_created),
            Self::Known { fingerprint, added, last_used, standing } => Certificate {
                last_used: last_used.map(UnixMillis),
                standing: standing.read()?,
                ..Certificate::new(print(&fingerprint)?, UnixMillis(added))
            },
        })
    }
}

impl CredentialRow {
    fn read(self) -> Result<Credential, String> {
        Ok(Credential {
            name: self.name.into(),
            selector: self.selector.map(String::into_boxed_str),
            verifier: Verifier {
                hash: self.hash.into_boxed_str(),
                stored_key: key(&self.stored_key)?,
                server_key: key(&self.server_key)?,
            },
            created: UnixMillis(self.created),
            expires: self.expires.map(UnixMillis),
            last_used: self.last_used.map(UnixMillis),
            standing: self.standing.read()?,
        })
    }
}

fn key(text: &str) -> Result<[u8; 32], String> {
    let bytes = BASE64.decode(text).map_err(|e| e.to_string())?;
    bytes.try_into().map_err(|_| "a key has not 32 octets".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    fn account(addresses: &[&str]) -> Account {
        let credential = |name: &str, selector: Option<&str>| Credential {
            name: name.into(),
            selector: selector.map(Into::into),
            verifier: Verifier { hash: "secret-hash".into(), stored_key: [7; 32], server_key: [9; 32] },
            created: UnixMillis(1),
            expires: selector.map(|_| UnixMillis(50)),
            last_used: None,
            standing: Standing { noticed: selector.map(|_| UnixMillis(7)), ..Standing::default() },
        };
        Account {
            name: "a@b.example".into(),
            disabled: true,
            addresses: addresses.iter().map(|text| Owned::parse(text).unwrap()).collect(),
            scope: AccountScope { valid_until: Some(UnixMillis(9)), ..AccountScope::default() },
            credentials: vec![credential(PASSWORD, None), credential("phone", Some("abc234"))],
            certificates: vec![Certificate {
                last_used: Some(UnixMillis(8)),
                standing: Standing { noticed: Some(UnixMillis(7)), ..Standing::default() },
                ..Certificate::new([3; 32], UnixMillis(6))
            }],
            created: UnixMillis(5),
            salt: vec![1, 2, 3],
            iterations: 4096,
            generation: 0,
        }
    }

    #[test]
    fn a_row_reads_back_as_the_account() {
        let account = account(&["A@b.example", "c.example", "\"odd name\"@[192.0.2.1]"]);
        assert_eq!(Account::from_row(&account.to_row().unwrap()), Ok(account));
    }

    #[test]
    fn a_fingerprint_is_read_as_it_was_printed_by_us_or_by_openssl() {
        let pairs = format!("{}0F", "AB:".repeat(31));
        let print = parse_fingerprint(&pairs).unwrap();
        assert_eq!((print[0], print[31]), (0xab, 0x0f));
        for text in [&format!("sha256 Fingerprint={pairs}\n"), &format!("SHA256 Fingerprint={pairs}"), &print_fingerprint(&print)]
        {
            assert_eq!(parse_fingerprint(text), Some(print), "{text}");
        }
        for bad in [&format!("sha1 Fingerprint={pairs}"), "sha256 Fingerprint=AB:CD", "", &pairs[1..]] {
            assert_eq!(parse_fingerprint(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_row_of_the_first_version_reads_as_an_account_without_a_scope() {
        let key = BASE64.encode([7; 32]);
        let row = format!(
            r#"{{"name":"a@b.example","disabled":false,"addresses":["a@b.example"],"credentials":[{{"name":"password","hash":"h",
            "stored_key":"{key}","server_key":"{key}","created":1}}],"created":1,"salt":"AQID","iterations":4096}}"#
        );
        let account = Account::from_row(row.as_bytes()).unwrap();
        assert!(account.scope.is_empty() && account.certificates.is_empty());
        assert_eq!(account.credential(PASSWORD).unwrap().standing, Standing::default());
    }

    #[test]
    fn a_certificate_of_which_only_the_fingerprint_was_kept_counts_as_noted_when_its_account_was_made() {
        let one = account(&[]);
        let row: serde_json::Value = serde_json::from_slice(&one.to_row().unwrap()).unwrap();
        let plain = serde_json::json!([print_fingerprint(&[3; 32])]);
        let old = Account::from_row(row.to_string().replace(&row["certificates"].to_string(), &plain.to_string()).as_bytes());
        assert_eq!(old, Ok(Account { certificates: vec![Certificate::new([3; 32], UnixMillis(5))], ..one }));
    }

    #[test]
    fn a_scope_that_does_not_read_is_no_account_without_a_scope() {
        let row = String::from_utf8(account(&[]).to_row().unwrap()).unwrap();
        let damaged = row.replacen("\"valid_until\":9", "\"networks\":[\"elsewhere\"]", 1);
        assert_ne!(row, damaged);
        assert!(Account::from_row(damaged.as_bytes()).is_err());
    }

    #[test]
    fn a_damaged_row_is_an_error() {
        let row = account(&[]).to_row().unwrap();
        assert!(Account::from_row(&row[1..]).is_err());
        let shorter = String::from_utf8(row).unwrap().replace(&BASE64.encode([7; 32]), &BASE64.encode([7; 31]));
        assert!(Account::from_row(shorter.as_bytes()).is_err());
    }

    #[test]
    fn nothing_that_verifies_a_password_is_printed() {
        let printed = format!("{:?}", account(&[]));
        assert!(!printed.contains("secret-hash") && !printed.contains("7, 7, 7"), "{printed}");
    }

    #[test]
    fn an_account_owns_its_addresses_in_any_case_and_its_domains_without_those_below() {
        let account = account(&["Alice@One.example", "two.example"]);
        for own in ["alice@one.example", "ALICE@ONE.EXAMPLE", "anyone@two.example"] {
            assert!(account.owns(&mailbox(own)), "{own}");
        }
        for foreign in ["bob@one.example", "alice@two.example.net", "x@sub.two.example", "alice@[192.0.2.1]"] {
            assert!(!account.owns(&mailbox(foreign)), "{foreign}");
        }
    }
}
