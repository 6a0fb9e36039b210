//! `[arc]`: seals on mail of strangers that goes on to another server. Promise: nothing is sealed without a key, and nothing is sealed in a name that is
//! not written here.

use std::path::PathBuf;

use postern_mail::Domain;

use crate::table::section;

section! {
    /// Seals (ARC, RFC 8617) on mail of strangers that goes on to another server, by an alias or a route: they tell the next hop what was found out here about
    /// who it is from, which it cannot find out itself. For mail that is looked at as `policy.authenticity` says.
    pub struct Arc: Default {
        /// Whose seal it is.
        #[key(example = "\"example.com\"", why = "a seal is a word of a domain, and only you know which of yours next hops know")]
        pub domain: Option<Domain> = None;
        /// Where the key's public half is published: as a DKIM key, at `SELECTOR._domainkey.DOMAIN`.
        #[key(example = "\"arc2026\"", why = "any name will do, and another one when the key is changed")]
        pub selector: String = "arc".to_owned();
        /// The private RSA key, in PEM, PKCS #8: what `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048` makes. Read when the configuration is.
        #[key(example = "\"/etc/postern/arc.pem\"", why = "without it nothing is sealed: a key without its public half in the DNS breaks every chain")]
        pub key: Option<PathBuf> = None;
    }
}
