//! Tokens of OpenID Connect issuers: whose they are, and whether they are good.
//!
//! Promise: a token names an account only when a key of its own issuer signed it, for us, for now; and while an issuer is away its last keys
//! do, for a day. Strangers can make us ask an issuer once a minute, and no more.

mod fetch;
mod keys;
mod token;

use std::sync::{Arc, Mutex, PoisonError};

use postern_mail::envelope::UnixMillis;
use postern_mail::{Domain, Mailbox};
use rustls::ClientConfig;

use self::keys::{Look, Shelf};
pub use self::token::TokenClaim;
use self::token::{Claims, Wanted};
use crate::account::canonical;

/// An issuer we believe. The binary fills it from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// Its name, to the letter; its documents are below it.
    pub issuer: String,
    /// What its tokens must be for.
    pub audience: String,
    /// What in them names the account.
    pub claim: TokenClaim,
    /// The domains it may name accounts of; all, where there are none.
    pub domains: Vec<Domain>,
    /// Authorities for its own certificate, as PEM; the system's when there are none.
    pub authorities: Option<Vec<u8>>,
}

/// Why a token names nobody. For the record; a client is told the same of each but the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nobody is known to have signed it: it may be a guess.
    Unsigned(&'static str),
    /// This issuer of ours did sign it: it is no guess, though not good here or now.
    Unfit(Arc<str>, &'static str),
    /// Its issuer would have to be asked, and cannot be.
    Away,
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The account; whether there is such a one is another matter.
    pub(crate) account: String,
    pub(crate) issuer: Arc<str>,
    pub(crate) until: UnixMillis,
}

/// The issuers we believe.
#[derive(Clone, Default)]
pub struct Issuers(Vec<Arc<Issuer>>);

struct Issuer {
    settings: OidcSettings,
    tls: Arc<ClientConfig>,
    shelf: Mutex<Shelf>,
    /// One question at a time; who waits for it looks again when it is answered.
    asking: tokio::sync::Mutex<()>,
}

impl Issuers {
    /// Nothing is asked yet: the first token has the keys fetched.
    ///
    /// # Errors
    /// In words: an issuer's authorities cannot be used.
    pub fn new(settings: Vec<OidcSettings>) -> Result<Self, String> {
        let issuer = |settings: OidcSettings| {
            let tls = fetch::tls(settings.authorities.as_deref()).map_err(|why| format!("{}: {why}", settings.issuer))?;
            let (shelf, asking) = (Mutex::default(), tokio::sync::Mutex::default());
            Ok(Arc::new(Issuer { settings, tls, shelf, asking }))
        };
        settings.into_iter().map(issuer).collect::<Result<_, String>>().map(Self)
    }

    /// These, with the keys that are known already of those that stay as they are: a reload while an issuer is away shuts nobody out.
    #[must_use]
    pub(crate) fn keeping(&self, before: &Self) -> Self {
        let known = |issuer: &Arc<Issuer>| before.0.iter().find(|old| old.settings == issuer.settings).cloned();
        Self(self.0.iter().map(|issuer| known(issuer).unwrap_or_else(|| Arc::clone(issuer))).collect())
    }

    /// True while this issuer is believed when it names an account of this name.
    #[must_use]
    pub(crate) fn vouches(&self, issuer: &str, account: &str) -> bool {
        let found = self.0.iter().find(|one| one.settings.issuer == issuer);
        found.is_some_and(|found| Mailbox::parse(account).is_ok_and(|account| found.settings.may_name(&account)))
    }

    /// Whom a token names.
    pub(crate) async fn name_in(&self, now: UnixMillis, token: &[u8]) -> Result<Named, Refusal> {
        let unverified = token::peek(token).map_err(Refusal::Unsigned)?;
        // Only chooses whose keys are tried: it is read again from what they have signed.
        let issuer = self.0.iter().find(|issuer| issuer.settings.issuer == unverified.issuer);
        let issuer = issuer.ok_or(Refusal::Unsigned("its issuer is not one of ours"))?;
        let key = issuer.key(now, &unverified.wanted).await?;
        let claims: Claims = token::verified(token, &unverified.wanted, &key).map_err(Refusal::Unsigned)?;
        let settings = &issuer.settings;
        let name: Arc<str> = settings.issuer.as_str().into();
        let (account, until) = claims
            .account(now, &settings.issuer, &settings.audience, settings.claim)
            .map_err(|why| Refusal::Unfit(Arc::clone(&name), why))?;
        if !settings.may_name(&account) {
            return Err(Refusal::Unfit(name, "it names an account of a domain that is not its issuer's"));
        }
        Ok(Named { account: canonical(&account), issuer: name, until })
    }
}

impl OidcSettings {
    fn may_name(&self, account: &Mailbox) -> bool {
        self.domains.is_empty() || account.domain().is_some_and(|domain| self.domains.contains(domain))
    }
}

impl Issuer {
    async fn key(&self, now: UnixMillis, wanted: &Wanted) -> Result<Arc<jsonwebtoken::DecodingKey>, Refusal> {
        let last = match self.look(now, wanted) {
            Look::Key(key) => return Ok(key),
            Look::Away => return Err(Refusal::Away),
            Look::Ask(last) => last,
        };
        let _turn = match (self.asking.try_lock(), last) {
            (Ok(turn), _) => turn,
            // While one waits for the issuer, the others do not.
            (Err(_), Some(last)) => return Ok(last),
            (Err(_), None) => self.asking.lock().await,
        };
        // Somebody else may have asked while this one waited.
        match self.look(now, wanted) {
            Look::Key(key) => return Ok(key),
            Look::Away => return Err(Refusal::Away),
            Look::Ask(_) => {}
        }
        let fetched = fetch::keys(&self.tls, &self.settings.issuer).await;
        if let Err(why) = &fetched {
            tracing::warn!(issuer = %self.settings.issuer, "the keys of an issuer cannot be fetched: {why}");
        }
        let has_answered = fetched.is_ok();
        self.shelf().put(now, fetched.ok());
        match self.look(now, wanted) {
            Look::Key(key) => Ok(key),
            _ if has_answered => Err(Refusal::Unsigned("its issuer has no such key")),
            _ => Err(Refusal::Away),
        }
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        // It is replaced as a whole.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, now: UnixMillis, wanted: &Wanted) -> Look {
        self.shelf().look(now, wanted)
    }
}
