//! Head: texts that were looked up for one message, in the shape the library asks for them. Promise: they go with the message; and from [`Keys`] the library
//! has an answer to everything, so that it asks nobody while it verifies.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use mail_auth::dkim::{AtpsRecord, DkimError, DomainKey};
use mail_auth::dns::{ToFqdn as _, TxtRecordParser as _};
use mail_auth::{DnsCache, Error, NoCache, ResolverCache, TxtRecord};

/// What was read while a policy was looked for, so that it is there when it is asked for again.
#[derive(Default)]
pub(super) struct Texts(Mutex<HashMap<Box<str>, TxtRecord>>);

/// The keys of a message's signatures.
pub(crate) struct Keys {
    known: HashMap<Box<str>, TxtRecord>,
    otherwise: Option<TxtRecord>,
}

impl Keys {
    /// By the names they were asked for.
    pub(super) fn new(found: Vec<(String, TxtRecord)>) -> Self {
        let known = found.into_iter().map(|(name, text)| (Box::from(&*name.to_fqdn()), text)).collect();
        // RFC 6541 and RFC 6651 are what else the library would ask for. Neither changes whose signature it is, and that is all we go by.
        Self { known, otherwise: AtpsRecord::parse(b"v=ATPS1").ok().map(TxtRecord::from) }
    }
}

/// The key among the texts of a selector. Those that say they are for something else are as if they were not there, which the library does not look at.
pub(super) fn key(texts: &[Vec<u8>]) -> TxtRecord {
    let ours: Vec<Vec<u8>> = texts.iter().filter(|text| is_for_mail(text)).cloned().collect();
    if ours.is_empty() && !texts.is_empty() {
        return TxtRecord::Error(Error::Dkim(DkimError::UnsupportedKeyType));
    }
    TxtRecord::from(DomainKey::parse_records(&ours))
}

/// RFC 6376 §3.6.1: a key may be for some kinds of use only, and for some hashes only. SHA-1 is not accepted anyway.
fn is_for_mail(text: &[u8]) -> bool {
    text.split(|b| *b == b';').all(|tag| {
        let mut parts = tag.splitn(2, |b| *b == b'=').map(<[u8]>::trim_ascii);
        let (name, values) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let has = |wanted: &[&[u8]]| values.split(|b| *b == b':').any(|one| wanted.contains(&one.trim_ascii()));
        match name {
            b"s" => has(&[b"*", b"email"]),
            b"h" => has(&[b"sha256"]),
            _ => true,
        }
    })
}

impl ResolverCache<Box<str>, TxtRecord> for Texts {
    fn get<Q>(&self, name: &Q) -> Option<TxtRecord>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn remove<Q>(&self, name: &Q) -> Option<TxtRecord>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    fn insert(&self, name: Box<str>, text: TxtRecord, _: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, text);
    }
}

impl ResolverCache<Box<str>, TxtRecord> for Keys {
    fn get<Q>(&self, name: &Q) -> Option<TxtRecord>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.known.get(name).or(self.otherwise.as_ref()).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<TxtRecord>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: TxtRecord, _: Instant) {}
}

macro_rules! texts_only {
    ($($cache:ty),+) => {
        $(
            impl DnsCache for $cache {
                type Txt = Self;
                type Mx = NoCache;
                type Ipv4 = NoCache;
                type Ipv6 = NoCache;
                type Ptr = NoCache;

                fn txt(&self) -> Option<&Self::Txt> {
                    Some(self)
                }

                fn mx(&self) -> Option<&Self::Mx> {
                    None
                }

                fn ipv4(&self) -> Option<&Self::Ipv4> {
                    None
                }

                fn ipv6(&self) -> Option<&Self::Ipv6> {
                    None
                }

                fn ptr(&self) -> Option<&Self::Ptr> {
                    None
                }
            }
        )+
    };
}

texts_only!(Texts, Keys);

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

    fn of(texts: &[&str]) -> TxtRecord {
        key(&texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn a_key_for_another_use_or_another_hash_is_none_and_one_beside_it_is_found() {
        for tags in ["", "s=*; ", "s=email; ", "s = other : email; ", "h=sha256; ", "h=sha1:sha256; ", "n=s=other; "] {
            assert!(matches!(of(&[&format!("v=DKIM1; k=ed25519; {tags}{KEY}")]), TxtRecord::DomainKey(_)), "{tags}");
        }
        let others = ["s=other; ", "s=; ", "h=sha1; ", "h=sha512; "].map(|tags| format!("v=DKIM1; k=ed25519; {tags}{KEY}"));
        for other in &others {
            assert!(matches!(of(&[other]), TxtRecord::Error(Error::Dkim(_))), "{other}");
        }
        let all: Vec<&str> = others.iter().map(String::as_str).collect();
        assert!(matches!(of(&[&all[..], &[&format!("v=DKIM1; k=ed25519; {KEY}")]].concat()), TxtRecord::DomainKey(_)));
    }

    #[test]
    fn the_library_has_an_answer_to_everything_from_the_keys_of_a_message() {
        let keys = Keys::new(vec![("S._domainkey.A.test.".to_owned(), of(&[&format!("k=ed25519; {KEY}")]))]);
        assert!(matches!(keys.get("s._domainkey.a.test."), Some(TxtRecord::DomainKey(_))));
        assert!(keys.get("_report._domainkey.a.test.").is_some() && keys.get("x._atps.b.test.").is_some());
    }
}
