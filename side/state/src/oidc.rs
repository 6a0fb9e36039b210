//! Tokens of OpenID Connect issuers: whose they are, and whether they are good.
//!
//! Promise: a token names an account only when a key of its own issuer signed it, for us, for now; and while an issuer is away its last keys
//! do, for a day. Strangers can make us ask an issuer once a minute, and no more.

mod fetch;
mod keys;
mod token;

use std::sync::{Arc, Mutex, PoisonError};

use postern_mail::envelope::UnixMillis;
use rustls::ClientConfig;

use self::keys::{Look, Shelf};
pub use self::token::TokenClaim;
use self::token::{Claims, Wanted};

/// An issuer we believe. The binary fills it from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// Its name, to the letter; its documents are below it.
    pub issuer: String,
    /// What its tokens must be for.
    pub audience: String,
    /// What in them names the account.
    pub claim: TokenClaim,
    /// Authorities for its own certificate, as PEM; the system's when there are none.
    pub authorities: Option<Vec<u8>>,
}

/// Why a token names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// For the log; a client is told the same of each.
    Bad(&'static str),
    /// Its issuer would have to be asked, and cannot be.
    Away,
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

    /// Whom a token names. It is good; whether there is such an account is another matter.
    pub(crate) async fn name_in(&self, now: UnixMillis, token: &[u8]) -> Result<String, Refusal> {
        let unverified = token::peek(token).map_err(Refusal::Bad)?;
        // Only chooses whose keys are tried: it is read again from what they have signed.
        let issuer = self.0.iter().find(|issuer| issuer.settings.issuer == unverified.issuer);
        let issuer = issuer.ok_or(Refusal::Bad("its issuer is not one of ours"))?;
        let key = issuer.key(now, &unverified.wanted).await?;
        let claims: Claims = token::verified(token, &unverified.wanted, &key).map_err(Refusal::Bad)?;
        let settings = &issuer.settings;
        claims.account(now, &settings.issuer, &settings.audience, settings.claim).map_err(Refusal::Bad)
    }
}

impl Issuer {
    async fn key(&self, now: UnixMillis, wanted: &Wanted) -> Result<Arc<jsonwebtoken::DecodingKey>, Refusal> {
        if let Some(answer) = settled(self.look(now, wanted)) {
            return answer;
        }
        let _turn = self.asking.lock().await;
        // Somebody else may have asked while this one waited.
        if let Some(answer) = settled(self.look(now, wanted)) {
            return answer;
        }
        let fetched = fetch::keys(&self.tls, &self.settings.issuer).await;
        if let Err(why) = &fetched {
            tracing::warn!(issuer = %self.settings.issuer, "the keys of an issuer cannot be fetched: {why}");
        }
        self.shelf().put(now, fetched.ok());
        settled(self.look(now, wanted)).unwrap_or(Err(Refusal::Away))
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        // It is replaced as a whole.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, now: UnixMillis, wanted: &Wanted) -> Look {
        self.shelf().look(now, wanted)
    }
}

fn settled(look: Look) -> Option<Result<Arc<jsonwebtoken::DecodingKey>, Refusal>> {
    match look {
        Look::Key(key) => Some(Ok(key)),
        Look::Unknown => Some(Err(Refusal::Bad("its issuer has no such key"))),
        Look::Away => Some(Err(Refusal::Away)),
        Look::Ask => None,
    }
}
