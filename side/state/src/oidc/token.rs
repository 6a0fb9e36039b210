//! Head: what a token says (RFC 7519), and whether that is enough. Promise: nothing a token says is believed before its signature was
//! verified with the algorithm that belongs to the key, and no algorithm without a signature, or with a shared secret, has a name here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use postern_mail::Mailbox;
use postern_mail::envelope::UnixMillis;
use serde::{Deserialize, Deserializer};

use crate::account::{canonical, is_folded_plainly};

/// Clocks differ; seconds.
const LEEWAY: f64 = 30.0;

/// What in a token names the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenClaim {
    /// `email`, unless `email_verified` says that it is not.
    Email,
    /// `preferred_username`.
    PreferredUsername,
    /// `sub`.
    Subject,
}

/// The key a token is said to be signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
}

/// What a token says of itself; nothing of it is known to be true.
pub(super) struct Unverified {
    pub(super) issuer: String,
    pub(super) wanted: Wanted,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<serde_json::Value>,
}

/// A value that is there, though it may be `null`: that is not the same as one that is not there.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(value).map(Some)
}

#[derive(Deserialize)]
struct Issued {
    iss: String,
}

/// RFC 8725 §3.1, §3.2: those in which only the issuer can sign. `none` and the ones with a shared secret are not among them.
fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" => Algorithm::EdDSA,
        _ => return None,
    })
}

fn part<T: serde::de::DeserializeOwned>(text: &[u8]) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// Reads what is needed to look for the key.
///
/// # Errors
/// Why it is no token we can verify.
pub(super) fn peek(token: &[u8]) -> Result<Unverified, &'static str> {
    // RFC 7515 §3.1: three parts.
    let mut parts = token.split(|octet| *octet == b'.');
    let (Some(header), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err("it is no signed token of three parts");
    };
    let header: Header = part(header).ok_or("its header does not read")?;
    if header.crit.is_some() {
        // RFC 7515 §4.1.11: it asks for something we do not know.
        return Err("it has a critical extension we do not know");
    }
    let algorithm = algorithm(&header.alg).ok_or("its algorithm is none we take")?;
    let issued: Issued = part(claims).ok_or("its claims do not read")?;
    Ok(Unverified { issuer: issued.iss, wanted: Wanted { algorithm, key_id: header.kid } })
}

/// Verifies the signature.
///
/// # Errors
/// When it is not good.
pub(super) fn verified(token: &[u8], wanted: &Wanted, key: &DecodingKey) -> Result<Claims, &'static str> {
    let mut validation = Validation::new(wanted.algorithm);
    // What it says is looked at by us, with the time we are given.
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    jsonwebtoken::decode::<Claims>(token, key, &validation).map(|token| token.claims).map_err(|_| "its signature is not good")
}

/// What a token says.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: Audience,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iat: Option<f64>,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    preferred_username: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default, deserialize_with = "present")]
    email_verified: Option<serde_json::Value>,
}

/// RFC 7519 §4.1.3: one, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Claims {
    /// Whom it names, and until when it is good.
    ///
    /// # Errors
    /// Why it is not good, here and now.
    pub(super) fn account(
        self,
        now: UnixMillis,
        issuer: &str,
        audience: &str,
        claim: TokenClaim,
    ) -> Result<(Mailbox, UnixMillis), &'static str> {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are exact for a long time yet")]
        let now = now.0 as f64 / 1000.0;
        let is_for_us = match &self.aud {
            Audience::One(one) => one == audience,
            Audience::Several(several) => several.iter().any(|one| one == audience),
        };
        if self.iss != issuer {
            return Err("its issuer is another one");
        }
        if !is_for_us {
            return Err("it is for another audience");
        }
        // RFC 7519 §4.1.4, §4.1.5: with some leeway. JSON has no number that compares with nothing.
        if now >= self.exp + LEEWAY {
            return Err("it is expired");
        }
        if self.nbf.or(self.iat).is_some_and(|from| now < from - LEEWAY) {
            return Err("it is not good yet");
        }
        let name = match claim {
            TokenClaim::Subject => self.sub,
            TokenClaim::PreferredUsername => self.preferred_username,
            TokenClaim::Email if !says_yes(self.email_verified.as_ref()) => return Err("its address is not verified"),
            TokenClaim::Email => self.email,
        };
        let name = name.filter(|name| !name.is_empty()).ok_or("it names nobody")?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time too large or too small is the last or the first"
        )]
        let until = UnixMillis(((self.exp + LEEWAY) * 1000.0) as u64);
        Ok((named(&name, claim)?, until))
    }
}

/// The account a claim names. Its issuer lets its users choose names, so nothing that only looks or folds like a name of ours is one: the
/// KELVIN SIGN is no `k`. And it may hold `Kim` and `kim` as two users; an address is one mailbox in any case (see [`canonical`]), but of
/// other claims only one spelling is ours.
fn named(name: &str, claim: TokenClaim) -> Result<Mailbox, &'static str> {
    let mailbox = Mailbox::parse(name).map_err(|_| "what it names is no address")?;
    if !is_folded_plainly(name) {
        return Err("what it names has letters that fold into others");
    }
    if claim != TokenClaim::Email && canonical(&mailbox) != name {
        return Err("what it names is not written as an account is");
    }
    Ok(mailbox)
}

/// OpenID Connect Core 1.0 §5.1: true or false; some issuers write it as text. Where it is absent, the issuer has no addresses that are not
/// verified.
fn says_yes(verified: Option<&serde_json::Value>) -> bool {
    verified.is_none_or(|value| value.as_bool() == Some(true) || value.as_str() == Some("true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn claims(change: &[(&str, serde_json::Value)]) -> Claims {
        let mut all = serde_json::json!({ "iss": "https://id.example", "aud": ["x", "postern"], "exp": 1_800_000_100, "email": "a@b.example" });
        for (name, value) in change {
            all[*name] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    fn account(claims: Claims, claim: TokenClaim) -> Result<String, &'static str> {
        claims.account(NOW, "https://id.example", "postern", claim).map(|(name, _)| canonical(&name))
    }

    #[test]
    fn a_token_is_good_for_its_time_its_audience_and_its_issuer_only() {
        let email = |change: &[(&str, serde_json::Value)]| account(claims(change), TokenClaim::Email);
        assert_eq!(email(&[]), Ok("a@b.example".to_owned()));
        assert!(email(&[("aud", "postern".into())]).is_ok() && email(&[("exp", 1_799_999_971.into())]).is_ok());
        for bad in [
            ("aud", serde_json::json!("postern2")),
            ("aud", serde_json::json!([])),
            ("iss", serde_json::json!("https://id.example/")),
            ("exp", serde_json::json!(1_799_999_970)),
            ("nbf", serde_json::json!(1_800_000_031)),
            ("iat", serde_json::json!(1_800_000_031)),
            ("email_verified", serde_json::json!(false)),
            ("email_verified", serde_json::json!("false")),
            ("email_verified", serde_json::json!(null)),
            ("email", serde_json::json!("")),
        ] {
            assert!(email(std::slice::from_ref(&bad)).is_err(), "{bad:?}");
        }
        assert!(email(&[("email_verified", "true".into())]).is_ok());
    }

    #[test]
    fn the_account_is_named_by_the_claim_that_was_chosen_and_no_other() {
        assert!(account(claims(&[]), TokenClaim::Subject).is_err());
        let named = claims(&[("sub", "s@b.example".into()), ("preferred_username", "p@b.example".into())]);
        assert_eq!(account(named.clone(), TokenClaim::Subject).as_deref(), Ok("s@b.example"));
        assert_eq!(account(named, TokenClaim::PreferredUsername).as_deref(), Ok("p@b.example"));
    }

    #[test]
    fn a_name_that_only_folds_into_an_account_is_not_that_account() {
        let (subject, preferred, email) = (TokenClaim::Subject, TokenClaim::PreferredUsername, TokenClaim::Email);
        let named = |text: &str, claim| named(text, claim).map(|name| canonical(&name));
        for claim in [subject, preferred, email] {
            assert_eq!(named("kim@here.test", claim).as_deref(), Ok("kim@here.test"));
            for bad in ["\u{212a}im@here.test", "K\u{130}m@here.test", "kim", "kim@", "kim@\u{212a}.test"] {
                assert!(named(bad, claim).is_err(), "{bad} {claim:?}");
            }
        }
        assert_eq!(named("Kim@Here.test", email).as_deref(), Ok("kim@here.test"), "an address is one mailbox in any case");
        for other in ["Kim@here.test", "kim@HERE.test", "kim@\u{ff48}ere.test"] {
            assert!(named(other, subject).is_err() && named(other, preferred).is_err(), "{other}");
        }
    }

    #[test]
    fn a_token_ends_when_it_says_and_a_little_later() {
        let until = |exp: serde_json::Value| {
            claims(&[("exp", exp)]).account(NOW, "https://id.example", "postern", TokenClaim::Email).map(|(_, until)| until)
        };
        assert_eq!(until(1_800_000_060.into()), Ok(UnixMillis(1_800_000_090_000)));
        assert_eq!(until(serde_json::json!(1e300)), Ok(UnixMillis(u64::MAX)));
    }

    #[test]
    fn a_token_without_an_expiry_or_with_a_name_twice_does_not_read() {
        for bad in
            [r#"{"iss":"i","aud":"a"}"#, r#"{"iss":"i","aud":"a","exp":1,"exp":9}"#, r#"{"iss":"i","aud":"a","exp":"soon"}"#]
        {
            assert!(serde_json::from_str::<Claims>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_algorithm_is_taken_in_which_others_than_the_issuer_can_sign() {
        let token = |header: &str| {
            let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
            format!("{}.{}.{}", encode(header), encode(r#"{"iss":"i"}"#), encode("s"))
        };
        assert!(peek(token(r#"{"alg":"ES256"}"#).as_bytes()).is_ok());
        for bad in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"HS512"}"#,
            r#"{"alg":""}"#,
            r#"{}"#,
            r#"{"alg":"ES256","crit":["exp"]}"#,
            r#"{"alg":"ES256","crit":null}"#,
        ] {
            assert!(peek(token(bad).as_bytes()).is_err(), "{bad}");
        }
        for bad in ["", "a.b", "..", "a.b.c.d", "!.!.!"] {
            assert!(peek(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
