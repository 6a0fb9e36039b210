//! Head: an SPF record, read (RFC 7208 §4.5, §4.6.1, §5, §6). Promise: a record with one wrong term is wrong as a whole, wherever the term stands; what
//! comes out has no more terms than the record has words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use postern_mail::authenticity::AuthResult;

use super::macros::{Place, Template};

/// A record that follows the grammar.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) directives: Vec<Directive>,
    pub(crate) redirect: Option<Template>,
    pub(crate) explanation: Option<Template>,
}

/// A mechanism and what its match means.
#[derive(Debug)]
pub(crate) struct Directive {
    pub(crate) result: AuthResult,
    pub(crate) mechanism: Mechanism,
    /// As it stands in the record.
    pub(crate) term: String,
}

#[derive(Debug)]
pub(crate) enum Mechanism {
    All,
    Include(Template),
    A(Option<Template>, Lengths),
    Mx(Option<Template>, Lengths),
    Ptr(Option<Template>),
    Network(IpAddr, u8),
    Exists(Template),
}

/// Prefix lengths for the two families.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    pub(crate) v4: u8,
    pub(crate) v6: u8,
}

/// True for a text record that is an SPF record (RFC 7208 §4.5): the version ends at a space or the end.
pub(crate) fn is_spf(text: &[u8]) -> bool {
    let version = b"v=spf1";
    text.get(..version.len()).is_some_and(|start| start.eq_ignore_ascii_case(version))
        && matches!(text.get(version.len()), None | Some(b' '))
}

impl Record {
    /// Reads what stands behind the version.
    ///
    /// # Errors
    /// The term that is wrong.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii()).ok_or("an octet outside ASCII")?;
        let mut record = Self::default();
        for term in text.split(' ').skip(1).filter(|term| !term.is_empty()) {
            record.term(term).ok_or_else(|| format!("the term {term}"))?;
        }
        Ok(record)
    }

    fn term(&mut self, term: &str) -> Option<()> {
        if let Some((name, value)) = modifier(term) {
            let slot = match name.to_ascii_lowercase().as_str() {
                "redirect" => &mut self.redirect,
                "exp" => &mut self.explanation,
                // RFC 7208 §6: an unknown modifier is passed over, as long as its value is a macro string.
                _ => return Template::parse(value, Place::Explanation).map(drop),
            };
            // RFC 7208 §6: each at most once.
            return slot.replace(domain_spec(value)?).is_none().then_some(());
        }
        let (result, bare) = match term.as_bytes().first()? {
            b'+' => (AuthResult::Pass, term.get(1..)?),
            b'-' => (AuthResult::Fail, term.get(1..)?),
            b'~' => (AuthResult::SoftFail, term.get(1..)?),
            b'?' => (AuthResult::Neutral, term.get(1..)?),
            _ => (AuthResult::Pass, term),
        };
        let end = bare.find([':', '/']).unwrap_or(bare.len());
        let (name, rest) = bare.split_at_checked(end)?;
        let argument = rest.strip_prefix(':');
        let mechanism = match name.to_ascii_lowercase().as_str() {
            "all" if rest.is_empty() => Mechanism::All,
            "include" => Mechanism::Include(domain_spec(argument?)?),
            "exists" => Mechanism::Exists(domain_spec(argument?)?),
            "ptr" if rest.is_empty() => Mechanism::Ptr(None),
            "ptr" => Mechanism::Ptr(Some(domain_spec(argument?)?)),
            "a" => host(rest).map(|(domain, lengths)| Mechanism::A(domain, lengths))?,
            "mx" => host(rest).map(|(domain, lengths)| Mechanism::Mx(domain, lengths))?,
            "ip4" => network::<Ipv4Addr>(argument?, 32)?,
            "ip6" => network::<Ipv6Addr>(argument?, 128)?,
            _ => return None,
        };
        self.directives.push(Directive { result, mechanism, term: term.to_owned() });
        Some(())
    }
}

/// `name=value`, where the name is one (RFC 7208 §6).
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let mut letters = name.chars();
    let fits =
        letters.next()?.is_ascii_alphabetic() && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    fits.then_some((name, value))
}

fn network<A: std::str::FromStr + Into<IpAddr>>(argument: &str, longest: u8) -> Option<Mechanism> {
    let (address, length) = match argument.split_once('/') {
        Some((address, length)) => (address, prefix(length, longest)?),
        None => (argument, longest),
    };
    Some(Mechanism::Network(address.parse::<A>().ok()?.into(), length))
}

/// RFC 7208 §5.6: no leading zeros.
fn prefix(text: &str, longest: u8) -> Option<u8> {
    let fits = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|length| fits && *length <= longest)
}

/// `[":" domain-spec] [dual-cidr-length]` of `a` and `mx`. A slash may stand in a name, so lengths are looked for at the end only.
fn host(rest: &str) -> Option<(Option<Template>, Lengths)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mut lengths = Lengths { v4: 32, v6: 128 };
    let mut name = rest;
    if let Some((before, length)) = name.rsplit_once("//").filter(|(_, length)| digits(length)) {
        lengths.v6 = prefix(length, 128)?;
        name = before;
    }
    if let Some((before, length)) = name.rsplit_once('/').filter(|(_, length)| digits(length)) {
        lengths.v4 = prefix(length, 32)?;
        name = before;
    }
    match name {
        "" => Some((None, lengths)),
        _ => Some((Some(domain_spec(name.strip_prefix(':')?)?), lengths)),
    }
}

/// RFC 7208 §7.1: a macro string that ends in a macro or in a label that is not a number.
fn domain_spec(text: &str) -> Option<Template> {
    let template = Template::parse(text, Place::Domain)?;
    if template.ends_in_macro() {
        return Some(template);
    }
    let (_, label) = text.strip_suffix('.').unwrap_or(text).rsplit_once('.')?;
    let fits = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.bytes().all(|b| b.is_ascii_digit())
        && !label.starts_with('-')
        && !label.ends_with('-');
    fits.then_some(template)
}
