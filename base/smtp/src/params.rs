//! ESMTP parameters of MAIL and RCPT (RFC 5321 §4.1.2, `Mail-parameters`), and the xtext some of them are written in.
//!
//! Promise: a parameter is taken once, whole and understood, or the command is refused; what is kept in xtext decodes to text without
//! control characters, so that a report that prints it cannot be made to hold a line of the sender's.

use postern_mail::envelope::{BodyKind, DsnRequest, Notify, Return};
use postern_mail::trouble::Fault;

/// RFC 3461 §4.4, §5.4: an envelope id is at most 100 characters, still encoded.
pub const ENVID_BYTES_MAX: usize = 100;
/// RFC 3461 §4.2, §5.4: an original recipient is at most 500 characters, still encoded.
pub const ORCPT_BYTES_MAX: usize = 500;

/// The parameters of MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParams {
    /// SIZE= in octets (RFC 1870 §6).
    pub size: Option<u64>,
    /// BODY= (RFC 6152 §2).
    pub body: Option<BodyKind>,
    /// SMTPUTF8 (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// REQUIRETLS (RFC 8689 §2).
    pub require_tls: bool,
    /// RET= (RFC 3461 §4.3).
    pub ret: Option<Return>,
    /// ENVID= (RFC 3461 §4.4), still in xtext.
    pub envid: Option<Box<str>>,
    /// AUTH= (RFC 4954 §5) was given.
    pub auth_given: bool,
}

impl MailParams {
    /// Reads everything behind the path.
    ///
    /// # Errors
    /// [`Fault::UnknownParameter`], [`Fault::BadParameter`] for a bad or second value, [`Fault::Syntax`] for what is no parameter.
    // RFC 3461 §4.5, §5.1: 501 for a parameter that is given twice, or whose value does not read right.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut params = Self::default();
        for word in words(text) {
            let param = Param::parse(word)?;
            match param.keyword.to_ascii_uppercase().as_str() {
                "SIZE" => once(&mut params.size, decimal(param.value()?)?)?,
                "BODY" => once(&mut params.body, body_kind(param.value()?)?)?,
                "SMTPUTF8" => param.flag(&mut params.smtputf8)?,
                "REQUIRETLS" => param.flag(&mut params.require_tls)?,
                "RET" => once(&mut params.ret, ret(param.value()?)?)?,
                "ENVID" => once(&mut params.envid, envid(param.value()?)?)?,
                "AUTH" => {
                    submitter(param.value()?)?;
                    raise(&mut params.auth_given)?;
                }
                // RFC 5321 §4.1.1.11: parameters we did not offer are refused, never skipped.
                _ => return Err(Fault::UnknownParameter),
            }
        }
        Ok(params)
    }
}

/// Reads everything behind the path of RCPT.
///
/// # Errors
/// As [`MailParams::parse`].
pub fn parse_rcpt(text: &str) -> Result<DsnRequest, Fault> {
    let mut dsn = DsnRequest::default();
    for word in words(text) {
        let param = Param::parse(word)?;
        match param.keyword.to_ascii_uppercase().as_str() {
            "NOTIFY" => once(&mut dsn.notify, notify(param.value()?)?)?,
            "ORCPT" => once(&mut dsn.original, original(param.value()?)?)?,
            _ => return Err(Fault::UnknownParameter),
        }
    }
    Ok(dsn)
}

/// NOTIFY= as it is sent.
#[must_use]
pub fn print_notify(notify: Notify) -> String {
    let asked = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
    let list: Vec<&str> = asked.into_iter().filter_map(|(wanted, word)| wanted.then_some(word)).collect();
    if list.is_empty() { "NEVER".to_owned() } else { list.join(",") }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    // RFC 5321 §4.1.2 DEPARTS: a run of spaces separates like one; it cannot be misread.
    text.split(' ').filter(|word| !word.is_empty())
}

struct Param<'a> {
    keyword: &'a str,
    value: Option<&'a str>,
}

impl<'a> Param<'a> {
    fn parse(word: &'a str) -> Result<Self, Fault> {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let fits = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
            && keyword.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if fits { Ok(Self { keyword, value }) } else { Err(Fault::Syntax) }
    }

    fn value(&self) -> Result<&'a str, Fault> {
        // RFC 5321 §4.1.2: `esmtp-value` holds neither `=` nor a control, and is never empty. RFC 6531 §3.3 lets it hold UTF-8.
        let fits = |value: &&str| !value.is_empty() && value.chars().all(|c| c != '=' && c != ' ' && !c.is_control());
        self.value.filter(fits).ok_or(Fault::BadParameter)
    }

    fn flag(&self, flag: &mut bool) -> Result<(), Fault> {
        if self.value.is_some() { Err(Fault::BadParameter) } else { raise(flag) }
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Fault> {
    if place.replace(value).is_some() { Err(Fault::BadParameter) } else { Ok(()) }
}

fn raise(flag: &mut bool) -> Result<(), Fault> {
    if std::mem::replace(flag, true) { Err(Fault::BadParameter) } else { Ok(()) }
}

/// Digits and nothing else, as a `u64`: `str::parse` alone would take a sign.
pub(crate) fn decimal(text: &str) -> Result<u64, Fault> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().map_err(|_| Fault::BadParameter) } else { Err(Fault::BadParameter) }
}

fn body_kind(value: &str) -> Result<BodyKind, Fault> {
    // RFC 6152 §2: 7BIT or 8BITMIME.
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(BodyKind::SevenBit),
        "8BITMIME" => Ok(BodyKind::EightBitMime),
        // RFC 3030 §3 DEPARTS: BINARYMIME is not offered, since bare CR and LF would be lawful in it.
        _ => Err(Fault::BadParameter),
    }
}

fn ret(value: &str) -> Result<Return, Fault> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Ok(Return::Full),
        "HDRS" => Ok(Return::Headers),
        _ => Err(Fault::BadParameter),
    }
}

fn envid(value: &str) -> Result<Box<str>, Fault> {
    // RFC 3461 §4.4: printable ASCII once decoded.
    let decoded = decode_xtext(value)?;
    let fits = value.len() <= ENVID_BYTES_MAX && decoded.bytes().all(|b| matches!(b, b' '..=b'~'));
    if fits { Ok(value.into()) } else { Err(Fault::BadParameter) }
}

// RFC 4954 §5: AUTH= is taken from everybody, logged in or not.
fn submitter(value: &str) -> Result<(), Fault> {
    // RFC 4954 §5: `<>` or a mailbox in xtext. We trust it from nobody, so its form is all that counts.
    if value == "<>" { Ok(()) } else { decode_xtext(value).map(drop) }
}

fn notify(value: &str) -> Result<Notify, Fault> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(Notify::NEVER);
    }
    let mut notify = Notify::NEVER;
    for element in value.split(',') {
        match element.to_ascii_uppercase().as_str() {
            "SUCCESS" => notify.success = true,
            "FAILURE" => notify.failure = true,
            "DELAY" => notify.delay = true,
            // RFC 3461 §4.1: NEVER stands alone.
            _ => return Err(Fault::BadParameter),
        }
    }
    Ok(notify)
}

fn original(value: &str) -> Result<Box<str>, Fault> {
    let (kind, address) = value.split_once(';').ok_or(Fault::BadParameter)?;
    let kind_fits = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !kind_fits || address.is_empty() || value.len() > ORCPT_BYTES_MAX {
        return Err(Fault::BadParameter);
    }
    if kind.eq_ignore_ascii_case("utf-8") {
        check_unicode_address(address)?;
    } else {
        decode_xtext(address)?;
    }
    Ok(value.into())
}

/// RFC 6533 §3, `utf-8-enc-addr`: UTF-8 as it is, or `\x{20AC}` for a character; `+` and `=` stand for nothing here.
fn check_unicode_address(address: &str) -> Result<(), Fault> {
    let mut rest = address;
    while let Some(c) = rest.chars().next() {
        let c = if let Some(escape) = rest.strip_prefix("\\x{") {
            let (digits, behind) = escape.split_once('}').ok_or(Fault::BadParameter)?;
            rest = behind;
            let fits = (2..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let point = if fits { u32::from_str_radix(digits, 16).ok() } else { None };
            point.and_then(char::from_u32).ok_or(Fault::BadParameter)?
        } else {
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            if matches!(c, '\\' | '+' | '=') {
                return Err(Fault::BadParameter);
            }
            c
        };
        if c.is_control() {
            return Err(Fault::BadParameter);
        }
    }
    Ok(())
}

/// Decodes xtext (RFC 3461 §4).
///
/// # Errors
/// [`Fault::BadParameter`] for a character xtext does not hold, a broken `+XX`, and for what decodes to a control character or not to
/// UTF-8.
pub fn decode_xtext(text: &str) -> Result<String, Fault> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => {
                let high = bytes.next().and_then(upper_hex).ok_or(Fault::BadParameter)?;
                let low = bytes.next().and_then(upper_hex).ok_or(Fault::BadParameter)?;
                high << 4 | low
            }
            b'=' => return Err(Fault::BadParameter),
            b'!'..=b'~' => byte,
            _ => return Err(Fault::BadParameter),
        });
    }
    let decoded = String::from_utf8(decoded).map_err(|_| Fault::BadParameter)?;
    if decoded.chars().any(char::is_control) { Err(Fault::BadParameter) } else { Ok(decoded) }
}

/// Encodes text as xtext (RFC 3461 §4).
#[must_use]
pub fn encode_xtext(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'+' | b'=' => encoded.push_str(&format!("+{byte:02X}")),
            b'!'..=b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("+{byte:02X}")),
        }
    }
    encoded
}

fn upper_hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
