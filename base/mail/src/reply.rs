//! Replies (RFC 5321 §4.2) with their enhanced status codes (RFC 3463, RFC 2034). Every reply we ever send is a named constructor
//! here, so that code, status and words of a situation are chosen once.
//!
//! Promise: a text holds no line end, no control character and nothing outside ASCII, so peer text quoted in a reply cannot become a
//! second reply.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use crate::client::Subnet;
use crate::dns_list::{DnsListed, DnsTarget};
use crate::envelope::UnixMillis;
use crate::message::date::MailDate;
use crate::proof::Committed;
use crate::quoted::Quoted;
use crate::scope::{Breach, Part, QuotaFull};
use crate::session_id::SessionId;
use crate::suppression::{self, Suppressed};
use crate::trouble::{Fault, Outage};

/// Three digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyCode(pub u16);

impl ReplyCode {
    /// 2yz.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 / 100 == 2
    }

    /// 3yz.
    #[must_use]
    pub const fn is_intermediate(self) -> bool {
        self.0 / 100 == 3
    }

    /// 4yz.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        self.0 / 100 == 4
    }

    /// 5yz.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        self.0 / 100 == 5
    }
}

/// An enhanced status code (RFC 3463 §2): class, subject, detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// 2, 4 or 5.
    pub class: u8,
    /// RFC 3463 §3.
    pub subject: u16,
    /// RFC 3463 §3, RFC 5248 §2: a detail from the registry.
    pub detail: u16,
}

impl Status {
    /// From its three numbers.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// Reads `5.1.1` at the start of `text` and gives the rest behind the space.
    #[must_use]
    pub fn parse_prefix(text: &str) -> Option<(Self, &str)> {
        let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut parts = code.split('.');
        let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || !matches!(class, "2" | "4" | "5") {
            return None;
        }
        let number = |part: &str| {
            let fits = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            if fits { part.parse::<u16>().ok() } else { None }
        };
        Some((Self::new(class.parse().ok()?, number(subject)?, number(detail)?), rest))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// One reply of one or more lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: ReplyCode,
    /// Enhanced status. RFC 2034 §4: absent for the greeting, the good replies to EHLO and HELO, 334 and 354.
    /// RFC 2034 §4 DEPARTS: a refusal in place of one of these carries its status too, since nobody is harmed and clients log it.
    pub status: Option<Status>,
    lines: Cow<'static, str>,
}

/// RFC 5321 §4.2: `textstring` is printable ASCII. RFC 6531 §3.7.4.2: no reply of ours holds UTF-8, whatever the client can read.
fn clean(text: Cow<'static, str>) -> Cow<'static, str> {
    let fits = |c: char| matches!(c, ' '..='~' | '\n');
    if text.chars().all(fits) { text } else { Cow::Owned(text.chars().map(|c| if fits(c) { c } else { '?' }).collect()) }
}

const REFERENCE: &str = "(ref ";
/// Octets of a last line with its reference: what code, status and CRLF leave of a line on the wire (RFC 5321 §4.5.3.1.5), and some.
const REFERENCED_BYTES_MAX: usize = 480;

const NEEDS_SMTPUTF8: &str = "address outside ASCII needs SMTPUTF8, as valid UTF-8";

impl Reply {
    fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: ReplyCode(code), status: None, lines: clean(text.into()) }
    }

    fn with(code: u16, (subject, detail): (u16, u16), text: impl Into<Cow<'static, str>>) -> Self {
        let class = u8::try_from(code / 100).unwrap_or(5);
        Self { code: ReplyCode(code), status: Some(Status::new(class, subject, detail)), lines: clean(text.into()) }
    }

    /// The same, where there is a reference.
    #[must_use]
    pub fn referenced(self, session: Option<SessionId>) -> Self {
        match session {
            Some(session) => self.with_reference(session),
            None => self,
        }
    }

    /// True for 4xx and 5xx.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.code.0 >= 400
    }

    /// True when there is a reference at its end.
    #[must_use]
    pub fn has_reference(&self) -> bool {
        self.lines.lines().last().is_some_and(|line| line.contains(REFERENCE) && line.ends_with(')'))
    }

    /// The same with a reference at its end, by which the refused can ask and the operator find out why: `(ref 01JD7K3QX2)`.
    #[must_use]
    pub fn with_reference(self, id: SessionId) -> Self {
        self.with_words(&id)
    }

    /// The same for a client of whose session nothing is written down, since many come in a second: what is known of its address now is the reason.
    #[must_use]
    pub fn with_client_as_reference(self, client: IpAddr) -> Self {
        self.with_words(&Subnet::host(client))
    }

    fn with_words(mut self, reference: &dyn fmt::Display) -> Self {
        let reference = format!(" {REFERENCE}{reference})");
        // A line too long for the wire would lose its end there, and with it the reference.
        let begin = self.lines.rfind('\n').map_or(0, |at| at + 1);
        let room = begin + REFERENCED_BYTES_MAX - reference.len();
        let text = self.lines.get(..self.lines.floor_char_boundary(room)).unwrap_or_default();
        self.lines = format!("{text}{reference}").into();
        self
    }

    /// The reference at its end.
    #[must_use]
    pub fn reference(&self) -> Option<SessionId> {
        self.lines.rsplit_once(REFERENCE)?.1.strip_suffix(')')?.parse().ok()
    }

    /// Only the reader of recorded decisions calls this: what was told once, to be shown and never to be said again.
    #[must_use]
    pub fn recorded(code: u16, status: Option<Status>, text: String) -> Self {
        Self { code: ReplyCode(code), status, lines: clean(text.into()) }
    }

    /// What a filter of somebody else wants the client to be told. `None` for a code that refuses nothing; a status that does not go with
    /// the code is replaced.
    #[must_use]
    pub fn of_filter(code: u16, status: Option<Status>, text: String) -> Option<Self> {
        let class = match code {
            400..=499 => 4,
            500..=599 => 5,
            _ => return None,
        };
        let status = status.filter(|status| status.class == class).unwrap_or(Status::new(class, 7, 1));
        Some(Self { code: ReplyCode(code), status: Some(status), lines: clean(text.into()) })
    }

    /// The texts, line by line, without code and status. Never empty.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.split('\n')
    }

    /// The text on one line.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.lines
    }

    // ---- greeting and hello

    /// 220. RFC 5321 §3.1, §7.5: no software and no version is told.
    #[must_use]
    pub fn greeting(hostname: &str) -> Self {
        Self::plain(220, format!("{hostname} ESMTP"))
    }

    /// 250 to HELO.
    #[must_use]
    pub fn hello(hostname: &str) -> Self {
        Self::plain(250, hostname.to_owned())
    }

    /// 250 to EHLO: our name, then a keyword a line.
    #[must_use]
    pub fn extensions(hostname: &str, keywords: &[String]) -> Self {
        let mut text = hostname.to_owned();
        for keyword in keywords {
            text.push('\n');
            text.push_str(keyword);
        }
        Self::plain(250, text)
    }

    /// 554 in place of the greeting: only QUIT is served to this client (RFC 5321 §3.1).
    #[must_use]
    pub fn no_service(hostname: &str) -> Self {
        Self::with(554, (7, 1), format!("{hostname} no service for this client"))
    }

    /// 554 in place of the greeting to a client that is in a list of this server, with the list's reason (RFC 3463 §3.8: 5.7.1).
    #[must_use]
    pub fn listed(reason: &str) -> Self {
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        Self::with(554, (7, 1), format!("no service for this client, which is in a list of this server{reason}"))
    }

    /// 451 for whoever comes for the first time, with the time until he may come again (RFC 3463 §3.8: 4.7.1).
    #[must_use]
    pub fn greylisted(left: &str) -> Self {
        Self::with(451, (7, 1), format!("not seen before from there: please try again in {left}"))
    }

    /// 550 for a name that is in a list of this server, with the list's reason (RFC 3463 §3.8: 5.7.1).
    #[must_use]
    pub fn name_listed(name: &str, reason: &str) -> Self {
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        Self::with(550, (7, 1), format!("the {name} is in a list of this server{reason}"))
    }

    /// 550 for what a list that is asked by DNS has an entry for, with its zone and its reason, which often says where to ask (RFC 3463 §3.8: 5.7.1).
    #[must_use]
    pub fn dns_listed(listed: &DnsListed) -> Self {
        let (name, reason) = (listed.name(), listed.reason());
        let reason = if reason.is_empty() { String::new() } else { format!(": {}", Quoted::text(&reason)) };
        let what = match listed.target {
            DnsTarget::Link | DnsTarget::Url => "the message has a link to ",
            DnsTarget::Address => "the message has the address ",
            _ => "",
        };
        let which = if what.is_empty() { " is" } else { ", which is" };
        Self::with(550, (7, 1), format!("{what}{name}{which} listed by {}{reason}", listed.zone))
    }

    /// 550 for a message with a link as only cheats write them (RFC 3463 §3.8: 5.7.1). The name is not clickable, see [`crate::link::OddLink`].
    #[must_use]
    pub fn odd_link(link: &crate::link::OddLink) -> Self {
        let tricks: Vec<&str> = link.tricks.iter().map(crate::link::Trick::words).collect();
        Self::with(
            550,
            (7, 1),
            format!("the message has a link to {} that is not acceptable: {}", link.name(), tricks.join(", ")),
        )
    }

    /// 550 for a message whose links lead to more places than anybody can look at (RFC 3463 §3.8: 5.7.1).
    #[must_use]
    pub fn too_many_places() -> Self {
        Self::with(550, (7, 1), "the links of the message lead to too many different places")
    }

    /// 550 for a message whose text nobody could read to its end: it is larger, deeper or more packed than may be looked at (RFC 3463 §3.8: 5.7.1).
    #[must_use]
    pub fn not_read_to_its_end() -> Self {
        Self::with(550, (7, 1), "the text of the message is too large or too nested to be read to its end for links")
    }

    /// 421 when we stop, or are too busy to start.
    #[must_use]
    pub fn closing(hostname: &str, why: &str) -> Self {
        Self::with(421, (3, 2), format!("{hostname} {why}, closing connection"))
    }

    /// 421 before work is done, when a ceiling on connections is reached. The client is the reference by which an operator finds out which.
    #[must_use]
    pub fn too_many_connections(hostname: &str, client: IpAddr) -> Self {
        Self::with(421, (4, 5), format!("{hostname} too many connections, try again later")).with_client_as_reference(client)
    }

    /// 421 (or, where `for_good`, 554) to a client that is banned. The network is the reference by which an operator finds the ban.
    #[must_use]
    pub fn banned(hostname: &str, client: IpAddr, of: Subnet, for_good: bool) -> Self {
        // RFC 5321 §3.1: 554 in place of the greeting. RFC 5321 §3.8: with 421 the connection is closed without waiting for QUIT; DEPARTS
        // for 554, where we do not wait either, since a flood of banned clients must not cost more than one write each.
        let code = if for_good { 554 } else { 421 };
        Self::with(code, (7, 1), format!("{hostname} {client} is banned here, reference {of}"))
    }

    /// 421 when a time limit ran out.
    #[must_use]
    pub fn timed_out(hostname: &str) -> Self {
        Self::with(421, (4, 2), format!("{hostname} timeout exceeded, closing connection"))
    }

    /// 421 when a promise of ours broke and this session cannot go on.
    #[must_use]
    pub fn internal_error(hostname: &str) -> Self {
        Self::with(421, (3, 0), format!("{hostname} internal error, closing connection"))
    }

    /// 221.
    #[must_use]
    pub fn goodbye() -> Self {
        Self::with(221, (0, 0), "goodbye")
    }

    // ---- good

    /// 250 for RSET, NOOP.
    #[must_use]
    pub fn ok() -> Self {
        Self::with(250, (0, 0), "ok")
    }

    /// 250 to MAIL.
    #[must_use]
    pub fn sender_ok() -> Self {
        Self::with(250, (1, 0), "sender ok")
    }

    /// 250 to RCPT.
    #[must_use]
    pub fn recipient_ok() -> Self {
        Self::with(250, (1, 5), "recipient ok")
    }

    /// 354.
    #[must_use]
    pub fn start_data() -> Self {
        Self::plain(354, "go ahead, end with <CRLF>.<CRLF>")
    }

    /// RFC 3030 §2: 250 to each chunk that is not the last.
    #[must_use]
    pub fn chunk_ok(bytes: u64) -> Self {
        Self::with(250, (0, 0), format!("{bytes} octets received"))
    }

    /// 250 after data. Needs the spool's proof: there is no other way to make this reply.
    #[must_use]
    pub fn queued(receipt: &Committed) -> Self {
        Self::with(250, (0, 0), format!("queued as {}", receipt.id()))
    }

    /// 220 to STARTTLS.
    #[must_use]
    pub fn start_tls() -> Self {
        Self::with(220, (0, 0), "go ahead with TLS")
    }

    /// 334 with a challenge already in base64.
    #[must_use]
    pub fn challenge(base64: String) -> Self {
        Self::plain(334, base64)
    }

    /// RFC 4954 §6: 235 with 2.7.0.
    #[must_use]
    pub fn authenticated() -> Self {
        Self::with(235, (7, 0), "authentication succeeded")
    }

    /// RFC 5321 §3.5.3, §7.3: 252 to VRFY: it is off, and says so without saying who exists.
    #[must_use]
    pub fn cannot_verify() -> Self {
        Self::with(252, (5, 0), "not verified here; send mail to find out")
    }

    /// 214 to HELP.
    #[must_use]
    pub fn help() -> Self {
        Self::with(214, (0, 0), "see RFC 5321")
    }

    // ---- protocol faults

    /// RFC 5321 §4.1.5, §4.2.4: 500 for what is not a command, and 5.5.2 (RFC 3463 §3.6: could not be interpreted).
    #[must_use]
    pub fn unknown_command() -> Self {
        Self::with(500, (5, 2), "command not recognised")
    }

    /// 502: a command we know and have off.
    #[must_use]
    pub fn not_implemented() -> Self {
        Self::with(502, (5, 1), "command not implemented")
    }

    /// 503: known, but not now. `why` says what must come first.
    #[must_use]
    pub fn out_of_order(why: &'static str) -> Self {
        Self::with(503, (5, 1), why)
    }

    /// 500, 501 or 555, whatever fits the fault of a command line.
    #[must_use]
    pub fn fault(fault: Fault) -> Self {
        match fault {
            Fault::UnknownCommand => Self::unknown_command(),
            // RFC 5321 §4.5.3.1.9: 500 for a line that is too long.
            Fault::LineTooLong => Self::with(500, (5, 2), fault.words()),
            // RFC 5321 §4.1.1.11: 555 for a parameter that is not known or not offered.
            Fault::UnknownParameter => Self::with(555, (5, 4), fault.words()),
            // RFC 5321 §4.1.1: 501 for an argument where none may be, or for one that does not read right.
            Fault::BadParameter | Fault::Syntax | Fault::Hello => Self::with(501, (5, 4), fault.words()),
            Fault::Domain | Fault::LocalPart => Self::with(501, (5, 4), fault.words()),
            // RFC 4954 §4: a response that is not base64 is 501 with 5.5.2.
            Fault::Path | Fault::Base64 => Self::with(501, (5, 2), fault.words()),
            // RFC 5321 §2.4: 500 for a command in any other character set than ASCII.
            Fault::NotUtf8 => Self::with(500, (5, 2), fault.words()),
            Fault::BareCr | Fault::BareLf | Fault::Nul => Self::broken_framing(fault),
        }
    }

    /// As [`Reply::fault`], for MAIL, whose address is the sender's.
    #[must_use]
    pub fn sender_fault(fault: Fault) -> Self {
        match fault {
            // RFC 5321 §4.1.4, RFC 6409 §5.1: 501 for an address that is not one. RFC 3463 §3.2: 5.1.7 says that it is the sender's.
            Fault::Domain | Fault::LocalPart => Self::with(501, (1, 7), fault.words()),
            // RFC 6531 §3.5: 550 with 5.6.7 where MAIL may not hold an address outside ASCII.
            Fault::NotUtf8 => Self::with(550, (6, 7), NEEDS_SMTPUTF8),
            other => Self::fault(other),
        }
    }

    /// As [`Reply::fault`], for RCPT, whose address is the recipient's.
    #[must_use]
    pub fn recipient_fault(fault: Fault) -> Self {
        match fault {
            // RFC 6409 §5.1: 501 for an address that is not one. RFC 3463 §3.2: 5.1.3 says that it is the recipient's.
            Fault::Domain | Fault::LocalPart => Self::with(501, (1, 3), fault.words()),
            // RFC 6531 §3.5: 553 with 5.6.7 where RCPT may not hold an address outside ASCII.
            Fault::NotUtf8 => Self::with(553, (6, 7), NEEDS_SMTPUTF8),
            other => Self::fault(other),
        }
    }

    /// 554 and the end of the session: a bare CR, a bare LF or a NUL. RFC 5321 §3.8 DEPARTS: a session whose lines cannot be told
    /// apart any more is closed without waiting for QUIT; whatever it says next might be somebody else's.
    #[must_use]
    pub fn broken_framing(fault: Fault) -> Self {
        Self::with(554, (5, 2), format!("{}: only CRLF ends a line; closing connection", fault.words()))
    }

    /// 554 and the end of the session: input behind a command that must be the last of its group (RFC 2920 §3.1).
    #[must_use]
    pub fn improper_pipelining() -> Self {
        Self::with(554, (5, 0), "improper pipelining: wait for the reply; closing connection")
    }

    /// 421 and the end of the session: the fault budget is spent.
    #[must_use]
    pub fn too_many_faults(hostname: &str) -> Self {
        Self::with(421, (7, 0), format!("{hostname} too many errors, closing connection"))
    }

    // ---- mail

    /// RFC 1870 §6.1, §6.3: 552 with 5.3.4 when SIZE= or the body is over the limit.
    #[must_use]
    pub fn too_big(limit: u64) -> Self {
        Self::with(552, (3, 4), format!("message is over the limit of {limit} octets"))
    }

    /// RFC 1870 §6.1: 452 with 4.3.1 when there is no room now.
    #[must_use]
    pub fn no_space() -> Self {
        Self::with(452, (3, 1), "insufficient storage, try again later")
    }

    /// 451: something of ours or of the world failed.
    #[must_use]
    pub fn outage(outage: &Outage) -> Self {
        match outage {
            Outage::DiskFull => Self::no_space(),
            Outage::Dns(_) => Self::with(451, (4, 3), "cannot look this up now, try again later"),
            Outage::Service(_) => Self::with(451, (4, 0), "a service needed here does not answer, try again later"),
            Outage::Overload => Self::with(451, (3, 2), "too busy, try again later"),
            Outage::Disk(_) | Outage::Bug(_) => Self::with(451, (3, 0), "local error, nothing was taken, try again later"),
        }
    }

    /// 452: too many recipients in one message; the rest may come in another (RFC 5321 §4.5.3.1.10).
    #[must_use]
    pub fn too_many_recipients() -> Self {
        Self::with(452, (5, 3), "too many recipients, send the rest in another message")
    }

    /// 452: too many messages in one connection.
    #[must_use]
    pub fn too_many_messages() -> Self {
        Self::with(452, (4, 5), "too many messages in one connection, connect again")
    }

    /// 550: no such mailbox in a domain of ours.
    #[must_use]
    pub fn no_such_recipient(to: &str) -> Self {
        Self::with(550, (1, 1), format!("no mailbox {to} here"))
    }

    /// RFC 5321 §3.6.2: 550 for a recipient that is not ours from a client that may not send elsewhere.
    #[must_use]
    pub fn relay_denied() -> Self {
        Self::with(550, (7, 1), "relaying denied: not a domain of this server, and you are not authenticated")
    }

    /// RFC 5321 §3.3, RFC 2920 §3.2: 554 to DATA or BDAT when no recipient was accepted.
    #[must_use]
    pub fn no_valid_recipients() -> Self {
        Self::with(554, (5, 1), "no valid recipients")
    }

    /// RFC 7505 §4.1, RFC 7504 §4: 556 with 5.1.10 for a recipient whose domain takes no mail.
    #[must_use]
    pub fn null_mx() -> Self {
        Self::with(556, (1, 10), "the domain takes no mail")
    }

    /// 554: too many Received headers (RFC 5321 §6.3). RFC 3463 §3.5 DEPARTS: X.4.6 is meant for class 4, but the same message would
    /// only come round again.
    #[must_use]
    pub fn loop_detected() -> Self {
        Self::with(554, (4, 6), "the message has passed too many servers: a loop")
    }

    /// 550: an account used a sender that is not its own.
    #[must_use]
    pub fn sender_not_owned(account: &str, which: &str) -> Self {
        Self::with(550, (7, 1), format!("{account} may not send with this {which} address"))
    }

    /// 550: not ours, and this server sends nothing elsewhere, whoever asks.
    #[must_use]
    pub fn outbound_off() -> Self {
        Self::with(
            550,
            (7, 1),
            "not a domain of this server, and sending to others is switched off here (outbound.enabled = false)",
        )
    }

    /// 550, or 552 with 5.3.4 for the size of a message: the scope of the account or credential refuses. Says which part.
    #[must_use]
    pub fn out_of_scope(breach: &Breach) -> Self {
        let text = format!("this credential {} (scope: {})", breach.words, breach.part);
        if breach.part == Part::MessageSize { Self::with(552, (3, 4), text) } else { Self::with(550, (7, 1), text) }
    }

    /// RFC 4954 §6: 535 with 5.7.8, here for credentials that are right and insufficient: their scope ends before this place or time.
    #[must_use]
    pub fn login_out_of_scope(breach: &Breach) -> Self {
        Self::with(535, (7, 8), format!("this credential {} (scope: {})", breach.words, breach.part))
    }

    /// 452 to MAIL, 450 to RCPT: a quota is used up. RFC 5321 §4.3.2: 450 is none of the replies to MAIL; and at RCPT 452 would have the rest
    /// sent at once in another message (RFC 5321 §4.5.3.1.10).
    #[must_use]
    pub fn quota_full(full: &QuotaFull, now: UnixMillis) -> Self {
        let wait = full.free_at.since(now).as_secs().max(1);
        let wait = if wait < 120 { format!("{wait} s") } else { format!("{} min", wait.div_ceil(60)) };
        let code = if matches!(full.part, Part::RecipientsPerHour | Part::RecipientsPerDay) { 450 } else { 452 };
        let text = format!("{} used up; free again in {wait}, at {} (scope: {})", full.limit, MailDate(full.free_at), full.part);
        Self::with(code, (7, 1), text)
    }

    /// 421 with 4.7.0: what a session was allowed by has ended: the account, the credential or its scope.
    #[must_use]
    pub fn authority_ended(hostname: &str, why: &str) -> Self {
        Self::with(421, (7, 0), format!("{hostname} {why}, closing connection"))
    }

    /// 550: an account used the null sender for something else than a report or an automatic reply.
    #[must_use]
    pub fn null_sender_not_automatic() -> Self {
        Self::with(550, (7, 1), "the null sender is for reports and automatic replies only; use an address of yours")
    }

    /// 550: a rule refused without words of its own.
    #[must_use]
    pub fn refused_by_policy() -> Self {
        Self::with(550, (7, 1), "refused by a rule of this server")
    }

    /// 550 when the points of several rules together are too many, with the names of those rules.
    #[must_use]
    pub fn too_many_points(rules: &str) -> Self {
        Self::with(550, (7, 1), format!("refused for several reasons together: {rules}"))
    }

    /// 550: the author's domain asks for mail to be refused that is not proven to be its own (RFC 9989).
    #[must_use]
    pub fn not_authentic(domain: &str, why: &str) -> Self {
        let text = format!("{domain} asks that mail be refused which is not proven to be its own (DMARC): {why}");
        Self::with(550, (7, 1), text.replace(|c: char| !matches!(c, ' '..='~'), "?"))
    }

    /// 451: the author's domain asks for refusal, and it could not be found out now whether the message is its own.
    #[must_use]
    pub fn not_yet_authentic(domain: &str) -> Self {
        let text = format!("it could not be found out whether this mail is proven to be of {domain} (DMARC), try again later");
        Self::with(451, (7, 1), text.replace(|c: char| !matches!(c, ' '..='~'), "?"))
    }

    /// 550: there is nobody in From whose policy could be asked for.
    #[must_use]
    pub fn no_author(why: &str) -> Self {
        Self::with(
            550,
            (7, 1),
            format!("it cannot be told who this message is from: {why}").replace(|c: char| !matches!(c, ' '..='~'), "?"),
        )
    }

    /// 451: a rule deferred without words of its own.
    #[must_use]
    pub fn deferred_by_policy() -> Self {
        Self::with(451, (7, 1), "deferred by a rule of this server, try again later")
    }

    /// RFC 6409 §6.3: 554 for a header section that cannot be judged.
    #[must_use]
    pub fn bad_header(why: &'static str) -> Self {
        Self::with(554, (6, 0), why)
    }

    /// RFC 8689 §2: 550 for REQUIRETLS outside TLS. The status is 5.7.10, encryption needed: 5.7.30 is about the next hop.
    #[must_use]
    pub fn require_tls_impossible() -> Self {
        Self::with(550, (7, 10), "REQUIRETLS needs a TLS connection")
    }

    /// 550 for a recipient that is suppressed, with why, since when and until when.
    #[must_use]
    pub fn suppressed(said: Suppressed, since: &str, until: &str) -> Self {
        let status = if said.cause == suppression::Cause::Bounced { (1, 1) } else { (1, 0) };
        let text = format!("recipient is suppressed: {}; {since}, {until}; an administrator can lift it", said.cause.words());
        Self::with(550, status, text)
    }

    /// 550: a domain as people mistype it, with the address that is probably meant (RFC 3463 §3.2: 5.1.2).
    #[must_use]
    pub fn mistyped(typed: &str, right: &str) -> Self {
        Self::with(550, (1, 2), format!("{typed} is probably mistyped: did you mean {right}?"))
    }

    /// 550: a recipient that nothing is sent to, without more words than that.
    #[must_use]
    pub fn not_written_to() -> Self {
        Self::with(550, (7, 1), "this address is not written to from here; ask your administrator")
    }

    /// 550: an office, in mail of an account that sends to many.
    #[must_use]
    pub fn role_address(to: &str) -> Self {
        Self::with(550, (7, 1), format!("{to} is an office, and this account sends to people who asked for it"))
    }

    // ---- authentication and TLS

    /// RFC 4954 §6, RFC 6409 §4.3: 530 with 5.7.0 for submission without AUTH.
    #[must_use]
    pub fn authentication_required() -> Self {
        Self::with(530, (7, 0), "authentication required")
    }

    /// RFC 3207 §4: 530 with 5.7.0 for AUTH or MAIL before STARTTLS.
    #[must_use]
    pub fn tls_required() -> Self {
        Self::with(530, (7, 0), "must issue a STARTTLS command first")
    }

    /// RFC 4954 §6: 535 with 5.7.8 for wrong credentials.
    #[must_use]
    pub fn authentication_failed() -> Self {
        Self::with(535, (7, 8), "authentication credentials invalid")
    }

    /// 421 and the end of the session: too many commands that do nothing.
    #[must_use]
    pub fn too_many_idle_commands(hostname: &str) -> Self {
        Self::with(421, (7, 0), format!("{hostname} too many commands and no mail, closing connection"))
    }

    /// 421 in place of 220 to STARTTLS. RFC 3207 §4 DEPARTS: not 454, after which many a client would go on in clear because of a limit of ours.
    #[must_use]
    pub fn too_many_handshakes(hostname: &str) -> Self {
        Self::with(421, (7, 0), format!("{hostname} too many TLS handshakes, closing connection, try again later"))
    }

    /// 421 in whatever place: the connection has sent all it may.
    #[must_use]
    pub fn too_many_bytes(hostname: &str) -> Self {
        Self::with(421, (7, 0), format!("{hostname} too many octets in one connection, closing it"))
    }

    /// 452 to MAIL: the connection has sent nearly all it may; the rest goes in another.
    #[must_use]
    pub fn connection_used_up() -> Self {
        Self::with(452, (4, 5), "too many octets in one connection, connect again")
    }

    /// 451 to MAIL: this client, or its network, has sent enough for now.
    #[must_use]
    pub fn too_many_messages_for_now() -> Self {
        Self::with(451, (7, 1), "too many messages from your address or network for now, try again later")
    }

    /// 450 to RCPT. Not 452, at which the rest would be sent at once in another message (RFC 5321 §4.5.3.1.10).
    #[must_use]
    pub fn too_many_recipients_for_now() -> Self {
        Self::with(450, (7, 1), "too many recipients from your address or network for now, try again later")
    }

    /// 452 to MAIL: likewise of octets.
    #[must_use]
    pub fn too_many_bytes_for_now() -> Self {
        Self::with(452, (7, 1), "too much mail from your address or network for now, try again later")
    }

    /// 421 in place of the greeting: this client, or its network, has done too much wrong of late.
    #[must_use]
    pub fn too_many_faults_of_late(hostname: &str) -> Self {
        Self::with(421, (7, 0), format!("{hostname} too many errors from your address or network, try again later"))
    }

    /// RFC 4954 §6: 454 with 4.7.0 when the check of credentials itself failed.
    #[must_use]
    pub fn authentication_unavailable() -> Self {
        Self::with(454, (7, 0), "temporary authentication failure, try again later")
    }

    /// RFC 4954 §4: 504 with 5.5.4 for a mechanism that is not offered.
    #[must_use]
    pub fn mechanism_unknown() -> Self {
        Self::with(504, (5, 4), "authentication mechanism not offered")
    }

    /// RFC 4954 §4, §6: 500 with 5.5.6 for a response that is longer than any of our mechanisms needs.
    #[must_use]
    pub fn authentication_line_too_long() -> Self {
        Self::with(500, (5, 6), "authentication exchange line is too long")
    }

    /// RFC 4954 §4: 501 when the client gave AUTH up with `*`.
    #[must_use]
    pub fn authentication_aborted() -> Self {
        Self::with(501, (7, 0), "authentication aborted")
    }

    /// RFC 3207 §4: 454 when there is no TLS now.
    #[must_use]
    pub fn tls_unavailable() -> Self {
        Self::with(454, (7, 0), "TLS not available now")
    }
}

#[cfg(test)]
mod tests;
