//! What was found out about who a message is from: SPF, DKIM, DMARC, ARC and the client's name. Promise: plain, bounded values that go into a record and
//! come out of it the same; no text in here has a control character, whatever a stranger's DNS or message said.

use std::fmt;

/// Signatures that are looked at; more are not.
pub const SIGNATURES_MAX: usize = 8;
/// Author domains that DMARC is looked up for.
pub const AUTHORS_MAX: usize = 4;
/// Sealers that are named.
pub const SEALERS_MAX: usize = 50;
/// Characters of one text.
const TEXT_MAX: usize = 255;
/// Octets that are read back.
const RECORD_MAX: usize = 32 * 1024;

/// A result, as RFC 8601 §2.7 names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthResult {
    /// There is nothing to check.
    None,
    /// It is true.
    Pass,
    /// It is not.
    Fail,
    /// The domain thinks it is not.
    SoftFail,
    /// The domain says nothing of it, or what it says cannot be used.
    Neutral,
    /// It could not be found out now.
    TempError,
    /// It cannot be found out, because what was published or signed is wrong.
    PermError,
    /// It may be true, but we do not accept it.
    Policy,
}

impl AuthResult {
    const ALL: [Self; 8] =
        [Self::None, Self::Pass, Self::Fail, Self::SoftFail, Self::Neutral, Self::TempError, Self::PermError, Self::Policy];

    /// As in a header field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
            Self::Policy => "policy",
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.as_str() == name)
    }
}

impl fmt::Display for AuthResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text of a stranger, or about him: bounded, without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Words(Box<str>);

impl Words {
    /// Cuts what is too long and replaces what does not belong on a line.
    #[must_use]
    pub fn new(text: &str) -> Self {
        // Direction marks and other formats go too: they are printed in headers and pages.
        let odd = |c: char| {
            c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        };
        Self(text.chars().take(TEXT_MAX).map(|c| if odd(c) { '?' } else { c }).collect())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Words {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// One SPF check (RFC 7208).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spf {
    /// The domain whose record was read.
    pub domain: Words,
    /// What came of it.
    pub result: AuthResult,
    /// The term that decided, or what is wrong.
    pub why: Words,
    /// The domain's own words to a client that fails; empty where there are none.
    pub explanation: Words,
}

/// One DKIM signature (RFC 6376).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dkim {
    /// `d=`.
    pub domain: Words,
    /// `s=`.
    pub selector: Words,
    /// `a=`.
    pub algorithm: Words,
    /// The first characters of `b=`, by which RFC 6008 tells signatures apart.
    pub signature: Words,
    /// What came of it.
    pub result: AuthResult,
    /// Why it is not a pass.
    pub why: Words,
}

/// What a domain asks to be done with mail that fails (RFC 9989).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposition {
    /// Nothing.
    None,
    /// Hold it, or mark it.
    Quarantine,
    /// Refuse it.
    Reject,
}

impl Disposition {
    /// As in a record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        [Self::None, Self::Quarantine, Self::Reject].into_iter().find(|one| one.as_str() == name)
    }
}

/// DMARC for one author domain (RFC 9989).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dmarc {
    /// The domain of the From field.
    pub domain: Words,
    /// What came of it.
    pub result: AuthResult,
    /// What the domain asks for. With `testing` it is already one step milder than what is written there.
    pub asked: Disposition,
    /// `t=y`.
    pub testing: bool,
    /// By SPF.
    pub aligned_spf: bool,
    /// By a DKIM signature.
    pub aligned_dkim: bool,
    /// What went wrong.
    pub why: Words,
}

/// The chain of seals (RFC 8617).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arc {
    /// `none`, `pass`, `fail` or `temperror`.
    pub result: AuthResult,
    /// Who sealed, the first first.
    pub sealers: Vec<Words>,
    /// What went wrong.
    pub why: Words,
    /// The authors that the last sealer says had passed DMARC when it got the message.
    pub passed: Vec<Words>,
}

/// The client's name, and whether the name says so too (RFC 8601 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iprev {
    /// `pass`, `fail`, `temperror` or `permerror`.
    pub result: AuthResult,
    /// The name that was confirmed, or the first one there is.
    pub name: Words,
}

/// Everything of one message. A part that was not looked at is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authenticity {
    /// For the HELO name.
    pub spf_helo: Option<Spf>,
    /// For MAIL FROM.
    pub spf_mail: Option<Spf>,
    /// Each signature.
    pub dkim: Vec<Dkim>,
    /// Each author domain.
    pub dmarc: Vec<Dmarc>,
    /// Why there is no author domain to go by; empty where there is one.
    pub no_author: Words,
    /// The chain.
    pub arc: Option<Arc>,
    /// The client.
    pub iprev: Option<Iprev>,
}

impl Authenticity {
    /// As lines of words with tabs between them.
    #[must_use]
    pub fn to_record(&self) -> String {
        let mut out = String::new();
        let mut line = |words: &[&str]| {
            out.push_str(&words.join("\t"));
            out.push('\n');
        };
        for (which, spf) in [("helo", &self.spf_helo), ("mail", &self.spf_mail)] {
            if let Some(spf) = spf {
                line(&[which, spf.result.as_str(), spf.domain.as_str(), spf.why.as_str(), spf.explanation.as_str()]);
            }
        }
        for dkim in self.dkim.iter().take(SIGNATURES_MAX) {
            let texts = [&dkim.domain, &dkim.selector, &dkim.algorithm, &dkim.signature, &dkim.why].map(Words::as_str);
            let [domain, selector, algorithm, signature, why] = texts;
            line(&["dkim", dkim.result.as_str(), domain, selector, algorithm, signature, why]);
        }
        for dmarc in self.dmarc.iter().take(AUTHORS_MAX) {
            let flags: String = [(dmarc.testing, 't'), (dmarc.aligned_spf, 's'), (dmarc.aligned_dkim, 'd')]
                .into_iter()
                .filter_map(|(set, letter)| set.then_some(letter))
                .collect();
            line(&["dmarc", dmarc.result.as_str(), dmarc.domain.as_str(), dmarc.asked.as_str(), &flags, dmarc.why.as_str()]);
        }
        if !self.no_author.as_str().is_empty() {
            line(&["author", self.no_author.as_str()]);
        }
        if let Some(arc) = &self.arc {
            let sealers: Vec<&str> = arc.sealers.iter().take(SEALERS_MAX).map(Words::as_str).collect();
            let passed: Vec<&str> = arc.passed.iter().take(AUTHORS_MAX).map(Words::as_str).collect();
            line(&["arc", arc.result.as_str(), arc.why.as_str(), &sealers.join(" "), &passed.join(" ")]);
        }
        if let Some(iprev) = &self.iprev {
            line(&["iprev", iprev.result.as_str(), iprev.name.as_str()]);
        }
        out
    }

    /// Reads it back. Lines of a later version are passed over.
    #[must_use]
    pub fn from_record(text: &str) -> Option<Self> {
        if text.len() > RECORD_MAX {
            return None;
        }
        let mut read = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split('\t').collect();
            match *words.as_slice() {
                [which @ ("helo" | "mail"), result, domain, why, explanation, ..] => {
                    let result = AuthResult::by_name(result)?;
                    let spf = Spf { domain: domain.into(), result, why: why.into(), explanation: explanation.into() };
                    *(if which == "helo" { &mut read.spf_helo } else { &mut read.spf_mail }) = Some(spf);
                }
                ["dkim", result, domain, selector, algorithm, signature, why, ..] if read.dkim.len() < SIGNATURES_MAX => {
                    read.dkim.push(Dkim {
                        domain: domain.into(),
                        selector: selector.into(),
                        algorithm: algorithm.into(),
                        signature: signature.into(),
                        result: AuthResult::by_name(result)?,
                        why: why.into(),
                    });
                }
                ["dmarc", result, domain, asked, flags, why, ..] if read.dmarc.len() < AUTHORS_MAX => read.dmarc.push(Dmarc {
                    domain: domain.into(),
                    result: AuthResult::by_name(result)?,
                    asked: Disposition::by_name(asked)?,
                    testing: flags.contains('t'),
                    aligned_spf: flags.contains('s'),
                    aligned_dkim: flags.contains('d'),
                    why: why.into(),
                }),
                ["author", why, ..] => read.no_author = why.into(),
                ["arc", result, why, sealers, ref more @ ..] => {
                    let names =
                        |text: &str, most| text.split(' ').filter(|name| !name.is_empty()).take(most).map(Words::new).collect();
                    let sealers = names(sealers, SEALERS_MAX);
                    // Earlier versions did not note it.
                    let passed = names(more.first().unwrap_or(&""), AUTHORS_MAX);
                    read.arc = Some(Arc { result: AuthResult::by_name(result)?, sealers, why: why.into(), passed });
                }
                ["iprev", result, name, ..] => {
                    read.iprev = Some(Iprev { result: AuthResult::by_name(result)?, name: name.into() });
                }
                _ => {}
            }
        }
        Some(read)
    }
}

#[cfg(test)]
mod tests;
