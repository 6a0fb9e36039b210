//! `[auth] oidc`: whose tokens are good for logging in.

use std::path::PathBuf;

use postern_mail::Domain;

use crate::table::section;
use crate::value::{choice, text_values};

choice! {
    /// What in a token names the account.
    pub enum AccountClaim {
        /// The address; a token that says it is not verified names nobody.
        Email = "email",
        /// The name the issuer's user goes by.
        PreferredUsername = "preferred_username",
        /// The issuer's own number or name for its user.
        Subject = "sub",
    }
}

/// An issuer's name: `https://`, a host, perhaps a path; no query, no fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerUrl(String);

impl IssuerUrl {
    /// As it was written: tokens must name it to the letter.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// RFC 8414 §2: https, no query, no fragment.
    fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("https://").ok_or("it must begin with https://")?;
        let is_plain = rest.bytes().all(|octet| octet.is_ascii_graphic() && !b"?#@\\\"<>".contains(&octet));
        if rest.is_empty() || rest.starts_with(['/', ':']) || !is_plain {
            return Err("a host and perhaps a path are needed, without user, query or fragment".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

text_values! {
    IssuerUrl, "address of an issuer", IssuerUrl::parse, |url| url.0.clone();
}

section! {
    /// An issuer of tokens. Its keys are fetched from the place that `/.well-known/openid-configuration` below it names, and fetched
    /// again every hour and when a token names a key that is not there, but not more than once a minute.
    pub struct Oidc {
        /// As its tokens name it, to the letter.
        #[key(example = "\"https://id.example.org\"", why = "there is no issuer everybody trusts")]
        pub issuer: IssuerUrl;
        /// What its tokens must be for.
        #[key(
            example = "\"postern\"",
            why = "a token that was made for another service must not open this one, so it must be said"
        )]
        pub audience: String;
        /// What in a token names the account here.
        #[key(example = "\"email\"", why = "an account's name is an address")]
        pub claim: AccountClaim = AccountClaim::Email;
        /// The domains whose accounts its tokens are good for.
        #[key(
            example = "[\"example.org\"]",
            why = "the only issuer speaks for everybody; where there are several, each must say for whom, or one company's could open the other's accounts",
            shown = "all"
        )]
        pub domains: Vec<Domain> = Vec::new();
        /// Authorities that vouch for the issuer's own certificate, in PEM.
        #[key(example = "\"/etc/postern/company-ca.pem\"", why = "the system's own are enough for public issuers", shown = "the system's")]
        pub ca_file: Option<PathBuf> = None;
    }
}
