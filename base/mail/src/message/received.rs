//! The trace header we add. RFC 5321 §4.1.1.4, §4.4: one `Received` field in front of every message we take. Promise: the address of an authenticated sender is never in it, and nothing a peer said can
//! end the line.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::address::Mailbox;
use crate::domain::HeloName;
use crate::envelope::{MessageId, UnixMillis};
use crate::message::date::MailDate;

/// What the header tells.
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// What the client called itself.
    pub helo: &'a HeloName,
    /// Its address; `None` leaves it out. RFC 5321 §4.4 DEPARTS: the address of an authenticated sender is nobody's business.
    /// RFC 5321 §7.6: what a trace field gives away can be held back.
    pub client: Option<IpAddr>,
    /// Our name.
    pub by: &'a str,
    /// RFC 4954 §7, RFC 6531 §4.3: `ESMTPSA` and kin.
    pub with: &'static str,
    /// TLS version and suite. RFC 8314 §4.3 DEPARTS: they stand in a comment, as others write them, and not in a `tls` clause.
    pub tls: Option<(&'static str, &'a str)>,
    /// Ours.
    pub id: MessageId,
    /// RFC 5321 §4.4, §7.2: only told when it is the only one, or other recipients would be given away.
    pub only_recipient: Option<&'a Mailbox>,
    /// When.
    pub at: UnixMillis,
}

impl Received<'_> {
    /// Appends the header with its final CRLF.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut text = String::with_capacity(320);
        // A `String` never refuses what is written into it.
        let _ = match self.client {
            Some(IpAddr::V4(v4)) => write!(text, "Received: from {} ([{v4}])", self.helo),
            Some(IpAddr::V6(v6)) => write!(text, "Received: from {} ([IPv6:{v6}])", self.helo),
            None => write!(text, "Received: from {}", self.helo),
        };
        if let Some((version, suite)) = self.tls {
            let _ = write!(text, "\r\n\t(using {version} with cipher {suite})");
        }
        let _ = write!(text, "\r\n\tby {} with {} id {}", self.by, self.with, self.id);
        if let Some(mailbox) = self.only_recipient {
            let _ = write!(text, "\r\n\tfor <{mailbox}>");
        }
        let _ = write!(text, ";\r\n\t{}\r\n", MailDate(self.at));
        out.extend_from_slice(text.as_bytes());
    }
}

/// The `with` word of RFC 3848 and RFC 6531 §4.3: `SMTP`, `ESMTP`, `ESMTPS`, `ESMTPA`, `ESMTPSA` and their `UTF8` forms.
#[must_use]
pub const fn protocol(esmtp: bool, tls: bool, auth: bool, utf8: bool) -> &'static str {
    match (esmtp, tls, auth, utf8) {
        (false, ..) => "SMTP",
        (true, false, false, false) => "ESMTP",
        (true, true, false, false) => "ESMTPS",
        (true, false, true, false) => "ESMTPA",
        (true, true, true, false) => "ESMTPSA",
        (true, false, false, true) => "UTF8SMTP",
        (true, true, false, true) => "UTF8SMTPS",
        (true, false, true, true) => "UTF8SMTPA",
        (true, true, true, true) => "UTF8SMTPSA",
    }
}
