//! EHLO keywords (RFC 5321 §4.1.1.1): what we offer, and what a server offers us.
//!
//! Promise: an offer is one value that is printed and nothing else decides what EHLO says; a keyword of a server we do not understand
//! changes nothing.

use postern_mail::fact::Mechanism;

use crate::params::decimal;

/// What we offer. PIPELINING (RFC 2920 §2), 8BITMIME (RFC 6152 §2), ENHANCEDSTATUSCODES (RFC 2034 §3) and HELP are in every offer.
///
/// RFC 5321 §4.1.1.1: every command that is served and not required of all servers is named. RFC 5321 §2.2.2: and nothing that is
/// not registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// SIZE: the largest message in octets (RFC 1870 §3); `None` names no figure.
    pub size: Option<u64>,
    /// STARTTLS (RFC 3207 §2).
    pub starttls: bool,
    /// AUTH (RFC 4954 §3), in our order of preference; empty offers none.
    pub auth: Vec<Mechanism>,
    /// SMTPUTF8 (RFC 6531 §3.1).
    pub smtputf8: bool,
    /// CHUNKING (RFC 3030 §2).
    pub chunking: bool,
    /// DSN (RFC 3461 §2).
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
        keywords.push("HELP".to_owned());
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

/// What a server offered us in its reply to EHLO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// PIPELINING (RFC 2920 §2).
    pub pipelining: bool,
    /// 8BITMIME (RFC 6152 §2).
    pub eight_bit_mime: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034 §3).
    pub enhanced_status_codes: bool,
    /// SIZE was offered, so SIZE= may be given (RFC 1870 §3).
    pub size: bool,
    /// The largest message it takes, in octets; `None` where it names none or 0 (RFC 1870 §3).
    pub size_max: Option<u64>,
    /// STARTTLS (RFC 3207 §2).
    pub starttls: bool,
    /// The mechanisms of AUTH that we know, in its order.
    pub auth: Vec<Mechanism>,
    /// SMTPUTF8. RFC 6531 §3.1: parameters of the keyword mean nothing.
    pub smtputf8: bool,
    /// CHUNKING (RFC 3030 §2).
    pub chunking: bool,
    /// DSN (RFC 3461 §2).
    pub dsn: bool,
    /// REQUIRETLS (RFC 8689 §2).
    pub require_tls: bool,
    /// LIMITS RCPTMAX (RFC 9422 §4.2).
    pub recipients_max: Option<u32>,
    /// LIMITS MAILMAX (RFC 9422 §4.1).
    pub messages_max: Option<u32>,
}

impl Offered {
    /// Reads the lines of a positive reply to EHLO; the first is the server's name and no keyword.
    #[must_use]
    pub fn parse<S: AsRef<str>>(lines: &[S]) -> Self {
        let mut offered = Self::default();
        // RFC 5321 §4.1.1.1: keywords in any case. RFC 9422 §3.6: what an earlier EHLO said is forgotten.
        for line in lines.iter().skip(1) {
            let mut words = line.as_ref().split(' ').filter(|word| !word.is_empty());
            if let Some(keyword) = words.next() {
                offered.take(&keyword.to_ascii_uppercase(), words);
            }
        }
        offered
    }

    fn take<'a>(&mut self, keyword: &str, mut words: impl Iterator<Item = &'a str>) {
        match keyword {
            "PIPELINING" => self.pipelining = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "SIZE" => {
                self.size = true;
                // RFC 1870 §3: 0 means that no maximum is in force.
                self.size_max = words.next().and_then(|octets| decimal(octets).ok()).filter(|octets| *octets > 0);
            }
            "STARTTLS" => self.starttls = true,
            "AUTH" => self.mechanisms(words),
            "SMTPUTF8" => self.smtputf8 = true,
            "CHUNKING" => self.chunking = true,
            "DSN" => self.dsn = true,
            "REQUIRETLS" => self.require_tls = true,
            "LIMITS" => words.for_each(|limit| self.limit(limit)),
            // An old form from before RFC 2554, still sent beside the right one: `AUTH=LOGIN PLAIN`.
            _ => {
                if let Some(first) = keyword.strip_prefix("AUTH=") {
                    self.mechanisms(std::iter::once(first));
                    self.mechanisms(words);
                }
            }
        }
    }

    fn mechanisms<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        for mechanism in names.filter_map(Mechanism::by_name) {
            if !self.auth.contains(&mechanism) {
                self.auth.push(mechanism);
            }
        }
    }

    fn limit(&mut self, limit: &str) {
        // RFC 9422 §3.7: a limit we do not know, or cannot read, is as if it were not there.
        let Some((name, value)) = limit.split_once('=') else { return };
        // RFC 9422 §4.1, §4.2: one to six digits, the first of them not 0.
        let fits = (1..=6).contains(&value.len()) && !value.starts_with('0');
        let Some(value) = decimal(value).ok().filter(|_| fits).and_then(|value| u32::try_from(value).ok()) else { return };
        match name.to_ascii_uppercase().as_str() {
            "RCPTMAX" => self.recipients_max = Some(value),
            "MAILMAX" => self.messages_max = Some(value),
            // RFC 9422 §4.3 TODO: RCPTDOMAINMAX is not heeded; a message goes to one destination, which is seldom two domains.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_offer_holds_what_is_always_true() {
        assert_eq!(Offer::default().keywords(), ["PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "HELP"]);
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

    #[test]
    fn what_one_side_offers_the_other_side_reads() {
        let offer = Offer {
            size: Some(50),
            starttls: true,
            auth: vec![Mechanism::ScramSha256Plus, Mechanism::Login],
            smtputf8: true,
            chunking: true,
            dsn: true,
            require_tls: true,
            recipients_max: Some(100),
            messages_max: Some(7),
        };
        let mut lines = vec!["mx.example".to_owned()];
        lines.extend(offer.keywords());
        let offered = Offered::parse(&lines);
        let wanted = Offered {
            pipelining: true,
            eight_bit_mime: true,
            enhanced_status_codes: true,
            size: true,
            size_max: Some(50),
            starttls: true,
            auth: offer.auth,
            smtputf8: true,
            chunking: true,
            dsn: true,
            require_tls: true,
            recipients_max: Some(100),
            messages_max: Some(7),
        };
        assert_eq!(offered, wanted);
    }

    #[test]
    fn odd_offers_are_read_for_what_they_are_worth() {
        let offered = Offered::parse(&[
            "STARTTLS",
            "size",
            "auth=login PLAIN",
            "AUTH PLAIN GSSAPI",
            "X-THING 1",
            "",
            "LIMITS RCPTMAX=0 MAILMAX=x Y",
        ]);
        assert!(!offered.starttls, "the first line is a name");
        assert!(offered.size);
        assert_eq!(offered.size_max, None);
        assert_eq!(offered.auth, [Mechanism::Login, Mechanism::Plain]);
        assert_eq!((offered.recipients_max, offered.messages_max), (None, None));
        let limits = |text| Offered::parse(&["mx", text]).recipients_max;
        assert_eq!(limits("LIMITS RCPTMAX=999999"), Some(999_999));
        for bad in ["LIMITS RCPTMAX=1000000", "LIMITS RCPTMAX=07", "LIMITS RCPTMAX=", "LIMITS RCPTMAX=+7", "LIMITS RCPTMAX"] {
            assert_eq!(limits(bad), None, "{bad}");
        }
        assert_eq!(Offered::parse(&["mx", "SIZE 0"]).size_max, None);
        assert_eq!(Offered::parse(&["mx", "SIZE 99999999999999999999999"]).size_max, None);
        assert_eq!(Offered::parse::<&str>(&[]), Offered::default());
    }
}
