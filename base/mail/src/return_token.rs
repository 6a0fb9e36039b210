//! The name of one recipient of one message, as it stands in the sender that mail leaves with: `bounce+…@example.org`. Promise: what is printed reads
//! back in upper and lower case, fits into a local part, and says nothing of the recipient to others.

use std::fmt;
use std::str::FromStr;

use crate::address::{LocalPart, Mailbox};
use crate::crockford;
use crate::domain::{Domain, Host};
use crate::envelope::MessageId;

/// Before the token, in a local part.
const BEFORE: &str = "bounce+";
/// The header field that carries it, for complaints that leave the sender out.
pub const RETURN_TOKEN_FIELD: &str = "X-Return-Token";
/// Octets that prove that it was made here.
pub const PROOF_BYTES: usize = 10;
const ID_CHARS: usize = 13;
const INDEX_CHARS: usize = 4;
/// Of half a proof.
const HALF_CHARS: usize = 8;
const HALF_BITS: u64 = (1 << (HALF_CHARS * 5)) - 1;

/// A token. That it parses says nothing: its proof has to be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnToken {
    /// The message.
    pub id: MessageId,
    /// The how many'th of its recipients.
    pub index: u16,
    /// Made with the server's secret.
    pub proof: [u8; PROOF_BYTES],
}

impl fmt::Display for ReturnToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.proof.iter().fold(0_u128, |all, octet| (all << 8) | u128::from(*octet));
        let half = |shift: u32| u64::try_from((all >> shift) & u128::from(HALF_BITS)).unwrap_or_default();
        let digits = [(self.id.0, ID_CHARS), (u64::from(self.index), INDEX_CHARS), (half(40), HALF_CHARS), (half(0), HALF_CHARS)];
        let mut text = String::with_capacity(ID_CHARS + INDEX_CHARS + 2 * HALF_CHARS);
        for (value, chars) in digits {
            text.push_str(&Printed(value, chars).to_string());
        }
        f.write_str(&text.to_ascii_lowercase())
    }
}

struct Printed(u64, usize);

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crockford::print(self.0, self.1, f)
    }
}

/// The text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAToken;

impl FromStr for ReturnToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let mut rest = text;
        let mut next = |chars: usize| -> Option<u64> {
            let value = crockford::read(rest.get(..chars)?, chars)?;
            rest = rest.get(chars..)?;
            Some(value)
        };
        let parts = (|| Some((next(ID_CHARS)?, next(INDEX_CHARS)?, next(HALF_CHARS)?, next(HALF_CHARS)?)))();
        let (id, index, high, low) = parts.filter(|_| rest.is_empty()).ok_or(NotAToken)?;
        let all = (u128::from(high) << 40) | u128::from(low);
        let [.., a, b, c, d, e, g, h, i, j, k] = all.to_be_bytes();
        let index = u16::try_from(index).map_err(|_| NotAToken)?;
        Ok(Self { id: MessageId(id), index, proof: [a, b, c, d, e, g, h, i, j, k] })
    }
}

impl ReturnToken {
    /// The token in an address, where it has the form of one.
    #[must_use]
    pub fn of(address: &Mailbox) -> Option<Self> {
        let local = address.local.as_str();
        local.get(..BEFORE.len()).filter(|before| before.eq_ignore_ascii_case(BEFORE))?;
        local.get(BEFORE.len()..)?.parse().ok()
    }

    /// The address with it, at a domain.
    #[must_use]
    pub fn at(&self, domain: &Domain) -> Option<Mailbox> {
        Some(Mailbox { local: LocalPart::parse(&format!("{BEFORE}{self}")).ok()?, host: Host::Name(domain.clone()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_in_any_case_and_fits_into_an_address() {
        let domain = Domain::parse("bounces.example").unwrap();
        for (id, index, proof) in [(0, 0, [0; 10]), (u64::MAX, u16::MAX, [255; 10]), (1_700_000_000_000_000, 7, *b"0123456789")] {
            let token = ReturnToken { id: MessageId(id), index, proof };
            let address = token.at(&domain).unwrap();
            assert!(address.local.as_str().len() <= 64);
            assert_eq!(ReturnToken::of(&address), Some(token));
            let shouted = Mailbox::parse(&address.to_string().to_uppercase()).unwrap();
            assert_eq!(ReturnToken::of(&shouted), Some(token));
        }
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        let token = ReturnToken { id: MessageId(5), index: 1, proof: [9; 10] };
        for local in [
            "bounce+",
            "bounce+x",
            "bounce",
            &format!("bounce+{token}0"),
            &format!("bounces+{token}"),
            &format!("bounce+é{token}"),
        ] {
            let parsed = Mailbox::parse(&format!("{local}@b.example"));
            assert_eq!(parsed.ok().and_then(|address| ReturnToken::of(&address)), None, "{local}");
        }
        assert_eq!("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<ReturnToken>(), Err(NotAToken), "more than the numbers hold");
    }
}
