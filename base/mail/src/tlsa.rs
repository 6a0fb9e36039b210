//! What a domain says in DNS of the certificates of its hosts (RFC 6698, RFC 7672). Promise: a record that mail has no use for is known to be
//! such here, and nowhere is it taken for a reason to trust anybody.

use crate::Domain;

/// One TLSA record, as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tlsa {
    /// Which certificate of the chain it is about.
    pub usage: u8,
    /// Which part of it.
    pub selector: u8,
    /// How `data` was made of that.
    pub matching: u8,
    /// What is compared.
    pub data: Box<[u8]>,
}

/// Usage: a certificate of the chain, which is believed for all it has signed.
pub const DANE_TA: u8 = 2;
/// Usage: the host's own certificate.
pub const DANE_EE: u8 = 3;

impl Tlsa {
    /// RFC 7672 §3.1.3: usages 0 and 1 are of no use to mail; what is unknown or has the wrong length is of none to anybody.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let fits = match self.matching {
            0 => !self.data.is_empty(),
            1 => self.data.len() == 32,
            2 => self.data.len() == 64,
            _ => false,
        };
        matches!(self.usage, DANE_TA | DANE_EE) && self.selector <= 1 && fits
    }
}

/// All that binds one host, found securely.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsaSet {
    /// Where the records stood, without port and protocol: the name that is asked for in the handshake (RFC 7672 §8.1).
    pub base: Domain,
    /// Other names a certificate below a [`DANE_TA`] may have (RFC 7672 §3.2.3).
    pub also: Vec<Domain>,
    /// Usable ones only. None: there must be TLS, with anybody (RFC 7672 §2.2).
    pub records: Box<[Tlsa]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_that_mail_can_use_are_usable() {
        let usable =
            |usage, selector, matching, bytes: usize| Tlsa { usage, selector, matching, data: vec![7; bytes].into() }.is_usable();
        assert!(usable(3, 1, 1, 32) && usable(2, 0, 2, 64) && usable(3, 0, 0, 700));
        assert!(!usable(0, 1, 1, 32) && !usable(1, 1, 1, 32) && !usable(255, 1, 1, 32));
        assert!(!usable(3, 2, 1, 32) && !usable(3, 1, 3, 32), "unknown selectors and kinds of matching");
        assert!(!usable(3, 1, 1, 31) && !usable(3, 1, 2, 32) && !usable(3, 1, 0, 0), "data that cannot be such a digest");
    }
}
