//! EHLO keywords (RFC 5321 §4.1.1.1): what we offer, and what a server offers us.
//!
//! Promise: an offer is one value that is printed and nothing else decides what EHLO says; a keyword of a server we do not understand
//! changes nothing.

use postern_mail::fact::Mechanism;

/// What we offer. PIPELINING (RFC 2920 §2), 8BITMIME (RFC 6152 §2) and ENHANCEDSTATUSCODES (RFC 2034 §3) are in every offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// SIZE: the largest message in octets (RFC 1870 §4); `None` names no figure.
    pub size: Option<u64>,
    /// STARTTLS (RFC 3207 §4).
    pub starttls: bool,
    /// AUTH (RFC 4954 §3), in our order of preference; empty offers none.
    pub auth: Vec<Mechanism>,
    /// SMTPUTF8 (RFC 6531 §3.1).
    pub smtputf8: bool,
    /// CHUNKING (RFC 3030 §2).
    pub chunking: bool,
    /// DSN (RFC 3461 §3).
    pub dsn: bool,
    /// REQUIRETLS (RFC 8689 §2); only under TLS.
    pub require_tls: bool,
    /// LIMITS RCPTMAX: recipients of one message (RFC 9422 §4.2).
    pub recipients_max: Option<u32>,
    /// LIMITS MAILMAX: messages of one session (RFC 9422 §4.1).
    pub messages_max: Option<u32>,
}

impl Offer {
    /// The keywords with their parameters, one a line.
    #[must_use]
    pub fn keywords(&self) -> Vec<String> {
        let mut keywords = vec!["PIPELINING".to_owned()];
        keywords.push(self.size.map_or_else(|| "SIZE".to_owned(), |octets| format!("SIZE {octets}")));
        keywords.push("8BITMIME".to_owned());
        keywords.push("ENHANCEDSTATUSCODES".to_owned());
        let flags = [
            (self.smtputf8, "SMTPUTF8"),
            (self.chunking, "CHUNKING"),
            (self.dsn, "DSN"),
            (self.starttls, "STARTTLS"),
            (self.require_tls, "REQUIRETLS"),
        ];
        keywords.extend(flags.into_iter().filter(|(offered, _)| *offered).map(|(_, keyword)| keyword.to_owned()));
        if !self.auth.is_empty() {
            let names: Vec<&str> = self.auth.iter().map(|mechanism| mechanism.as_str()).collect();
            keywords.push(format!("AUTH {}", names.join(" ")));
        }
        let limits = [("RCPTMAX", self.recipients_max), ("MAILMAX", self.messages_max)];
        let limits: Vec<String> =
            limits.into_iter().filter_map(|(name, value)| value.map(|value| format!("{name}={value}"))).collect();
        if !limits.is_empty() {
            keywords.push(format!("LIMITS {}", limits.join(" ")));
        }
        keywords
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_offer_holds_what_is_always_true() {
        assert_eq!(Offer::default().keywords(), ["PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES"]);
    }

    #[test]
    fn a_full_offer_names_figures_mechanisms_and_limits() {
        let offer = Offer {
            size: Some(50),
            starttls: true,
            auth: vec![Mechanism::ScramSha256, Mechanism::Plain],
            smtputf8: true,
            chunking: true,
            dsn: true,
            require_tls: true,
            recipients_max: Some(100),
            messages_max: Some(7),
        };
        let keywords = offer.keywords();
        for wanted in ["SIZE 50", "STARTTLS", "AUTH SCRAM-SHA-256 PLAIN", "SMTPUTF8", "CHUNKING", "DSN", "REQUIRETLS"] {
            assert!(keywords.iter().any(|keyword| keyword == wanted), "{wanted}");
        }
        assert_eq!(keywords.last().unwrap(), "LIMITS RCPTMAX=100 MAILMAX=7");
    }
}
