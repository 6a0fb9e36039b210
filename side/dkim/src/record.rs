//! Head: the record that publishes a key, in the forms in which providers of DNS want it, and what a published one is worth. Promise: only a record by which a
//! verifier finds our key counts as published.

use crate::key::Algorithm;

/// RFC 1035 §3.3.14: octets of one string of a TXT record.
const STRING: usize = 255;

/// The record of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands, without a dot at the end.
    pub name: String,
    /// Its text, as one.
    pub value: String,
    algorithm: Algorithm,
    public: String,
}

impl Record {
    /// Of the key with this public half (RFC 6376 §3.6.1).
    #[must_use]
    pub fn of(domain: &str, selector: &str, algorithm: Algorithm, public: &str) -> Self {
        let value = format!("v=DKIM1; k={}; p={public}", algorithm.key_type());
        Self { name: format!("{selector}._domainkey.{domain}"), value, algorithm, public: public.to_owned() }
    }

    /// The text in strings that fit, each in quotes.
    #[must_use]
    pub fn quoted(&self) -> String {
        quoted(&self.value)
    }

    /// The record as a line of a zone file (RFC 1035 §5.1).
    #[must_use]
    pub fn zone_line(&self) -> String {
        format!("{}. IN TXT {}", self.name, self.quoted())
    }

    /// The text that says that the key is no longer good (RFC 6376 §3.6.1: an empty `p=`).
    #[must_use]
    pub fn revoked(&self) -> String {
        format!("v=DKIM1; k={}; p=", self.algorithm.key_type())
    }
}

/// A text in strings that fit into a TXT record, each in quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut strings = Vec::new();
    let mut rest = text;
    while let Some((string, behind)) = rest.split_at_checked(STRING) {
        strings.push(format!("\"{string}\""));
        rest = behind;
    }
    if !rest.is_empty() {
        strings.push(format!("\"{rest}\""));
    }
    strings.join(" ")
}

/// What is found at a record's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// Our key.
    Yes,
    /// No key.
    Missing,
    /// A key that was taken back.
    Revoked,
    /// Something else, or something beside it: why it does not do.
    Differs(&'static str),
}

impl Published {
    /// In a word or some.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Yes => "published",
            Self::Missing => "missing",
            Self::Revoked => "revoked",
            Self::Differs(why) => why,
        }
    }
}

/// Looks at the TXT records of the name. RFC 6376 §3.6.2.2: of several nothing is certain.
#[must_use]
pub fn published(record: &Record, texts: &[Vec<u8>]) -> Published {
    match texts {
        [] => Published::Missing,
        [one] => judge(record, &String::from_utf8_lossy(one)),
        _ => Published::Differs("there is more than one record"),
    }
}

fn judge(record: &Record, text: &str) -> Published {
    let mut key = None;
    let mut kind = "rsa";
    for (number, tag) in text.split(';').enumerate() {
        let Some((name, value)) = tag.split_once('=') else {
            if tag.trim().is_empty() {
                continue;
            }
            return Published::Differs("it is no list of tags");
        };
        let value = value.trim();
        let mut listed = value.split(':').map(str::trim);
        match name.trim() {
            "v" if number > 0 || value != "DKIM1" => return Published::Differs("its version is not DKIM1"),
            "k" => kind = value,
            "p" => key = Some(value.split_ascii_whitespace().collect::<String>()),
            "h" if !listed.any(|hash| hash == "sha256") => return Published::Differs("it does not allow sha256"),
            "s" if !listed.any(|service| service == "*" || service == "email") => {
                return Published::Differs("it is not for mail");
            }
            // RFC 6376 §3.6.1: `y` makes a signature worth no more than none.
            "t" if listed.any(|flag| flag == "y") => return Published::Differs("it says t=y, that we only test"),
            _ => {}
        }
    }
    match key {
        None => Published::Differs("it has no key"),
        Some(key) if key.is_empty() => Published::Revoked,
        Some(key) if kind == record.algorithm.key_type() && key == record.public => Published::Yes,
        Some(_) => Published::Differs("it has another key"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(public: &str) -> Record {
        let (name, value) = ("s._domainkey.a.test".to_owned(), format!("v=DKIM1; k=rsa; p={public}"));
        Record { name, value, algorithm: Algorithm::Rsa, public: public.to_owned() }
    }

    #[test]
    fn a_long_text_is_cut_into_strings_that_fit() {
        let long = record(&"A".repeat(500));
        let quoted = long.quoted();
        let strings: Vec<&str> = quoted.split(' ').filter(|part| part.len() > 10).collect();
        assert!(strings.iter().all(|string| string.trim_matches('"').len() <= STRING), "{quoted}");
        assert_eq!(quoted.replace("\" \"", "").trim_matches('"'), long.value);
        assert_eq!(record("AAAA").zone_line(), "s._domainkey.a.test. IN TXT \"v=DKIM1; k=rsa; p=AAAA\"");
    }

    #[test]
    fn only_a_record_that_leads_to_the_key_is_published() {
        let own = record("AAAA");
        let said = |texts: &[&str]| published(&own, &texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>());
        for good in ["v=DKIM1; k=rsa; p=AAAA", "p=AA AA", "v=DKIM1;p=AAAA;", "v=DKIM1; h=sha1:sha256; s=email; n=a note; p=AAAA"]
        {
            assert_eq!(said(&[good]), Published::Yes, "{good}");
        }
        assert_eq!(said(&[]), Published::Missing);
        assert_eq!(said(&["v=DKIM1; p="]), Published::Revoked);
        for bad in [
            "v=DKIM1; k=rsa; p=BBBB",
            "v=DKIM1; k=ed25519; p=AAAA",
            "v=DKIM2; p=AAAA",
            "p=AAAA; v=DKIM1",
            "v=DKIM1; h=sha1; p=AAAA",
            "v=DKIM1; s=tlsrpt; p=AAAA",
            "v=DKIM1; t=s:y; p=AAAA",
            "v=DKIM1; k=rsa",
            "hello",
        ] {
            assert!(matches!(said(&[bad]), Published::Differs(_)), "{bad}");
        }
        assert!(matches!(said(&["p=AAAA", "p=AAAA"]), Published::Differs(_)));
    }
}
