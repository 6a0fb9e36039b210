//! Reading a record. Promise: any octets end in a record or in nothing, without a panic and in bounded memory.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use postern_mail::authenticity::Authenticity;
use postern_mail::client::ListenerKind;
use postern_mail::dns_list::{DnsListed, DnsMute, DnsSaid, DnsUnheard};
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::{ClientFacts, Fact};
use postern_mail::filter::{FilterSaid, FilterWord, OnFailure};
use postern_mail::greylist::GreySaid;
use postern_mail::guard::{GuardSaid, GuardStep};
use postern_mail::link::{LinkFacts, OddLink, Tricks};
use postern_mail::message::headers::{HeaderFault, Headers};
use postern_mail::netset::{Action, Listed, Subject};
use postern_mail::proof::Authenticated;
use postern_mail::rule::known_name;
use postern_mail::scope::{Breach, Part, QuotaFull};
use postern_mail::suppression::{Cause, Suppressed};
use postern_mail::{
    Decision, DnsTarget, Domain, Effect, Envelope, Finding, HeloName, Mailbox, MessageId, Outage, Points, Recipient, Reply,
    ReversePath, RuleName, Scored, SessionId, Status, Verdict,
};

use super::{Entry, Facts, JUDGED_FIELDS, Judged, Known, Record, VERSION, What, kind};
use crate::facts::{Found, HostedAnswer, OwnedAddresses, ScopeSaid};

/// Octets of text that one record may come to when it is read; a text that stands there once may be referred to often.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// `Received` fields written out again; a section of 64 KiB cannot hold more.
const RECEIVED_MAX: usize = 8_192;

/// The text that stands in full at a place.
pub(super) fn literal(bytes: &[u8], place: usize) -> Option<&[u8]> {
    let mut reader = Reader { bytes, at: place, end: bytes.len(), text_left: usize::MAX };
    let tag = reader.number()?;
    if tag & 1 == 1 { None } else { reader.take(usize::try_from(tag >> 1).ok()?) }
}

pub(super) fn record(bytes: &[u8]) -> Option<Record> {
    let mut reader = Reader { bytes, at: 0, end: bytes.len(), text_left: TEXT_BYTES_MAX };
    if reader.octet()? != VERSION {
        return None;
    }
    let session = SessionId(reader.number()?);
    let began = UnixMillis(reader.number()?);
    let address = match reader.octet()? {
        4 => Ipv4Addr::from(*reader.take(4)?.first_chunk::<4>()?).into(),
        6 => Ipv6Addr::from(*reader.take(16)?.first_chunk::<16>()?).into(),
        _ => return None,
    };
    let port = u16::try_from(reader.number()?).ok()?;
    let listener = match reader.octet()? {
        0 => ListenerKind::Mx,
        1 => ListenerKind::Submission,
        2 => ListenerKind::Submissions,
        _ => return None,
    };
    let mut entries = Vec::new();
    while reader.at < bytes.len() {
        let kind = reader.octet()?;
        let length = usize::from(u16::from_le_bytes(*reader.take(2)?.first_chunk::<2>()?));
        let end = reader.at.checked_add(length).filter(|end| *end <= bytes.len())?;
        reader.end = end;
        let at = UnixMillis(began.0.saturating_add(reader.number()?));
        if let Some(what) = reader.what(kind)? {
            entries.push(Entry { at, what });
        }
        // What a later version has added at the end of an entry is skipped.
        (reader.at, reader.end) = (end, bytes.len());
    }
    Some(Record { session, began, client: ClientFacts { address, port, listener }, entries })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
    text_left: usize,
}

impl<'a> Reader<'a> {
    /// `Some(None)`: a kind of a later version.
    fn what(&mut self, kind: u8) -> Option<Option<What>> {
        Some(Some(match kind {
            kind::HELLO => What::Hello(HeloName::parse(self.text()?).ok()?),
            kind::LOGIN => {
                let user = self.option(|this| this.text().map(Into::into))?;
                What::Login { user, result: self.text()?.into() }
            }
            kind::CONNECT | kind::SENDER | kind::RECIPIENT | kind::MESSAGE => {
                let verdict = self.verdict()?;
                What::Judged(Box::new(Judged { facts: self.read_facts(kind)?, verdict }))
            }
            kind::TOLD => What::Told { at: self.text()?.into(), reply: self.reply()?, because: self.text()?.into() },
            kind::ACCEPTED => What::Accepted(MessageId(self.number()?)),
            kind::CUT => What::Cut,
            _ => return Some(None),
        }))
    }

    fn read_facts(&mut self, kind: u8) -> Option<Facts> {
        Some(match kind {
            kind::SENDER => Facts::Sender {
                from: self.path()?,
                identity: self.option(Self::identity)?,
                size: self.option(Self::number)?,
                scope: self.scope()?,
                earlier: self.earlier()?,
                dns: self.dns()?,
                listed: self.named()?,
            },
            kind::RECIPIENT => Facts::Recipient {
                to: self.mailbox()?,
                who: self.option(Self::who)?,
                hosted: self.hosted()?,
                scope: self.scope()?,
                listed: self.named()?,
                greylist: self.greylist()?,
                suppressed: self.suppressed()?,
            },
            kind::MESSAGE => {
                let from = self.path()?;
                let recipients = self.list(Self::recipient)?;
                let account = self.option(|this| this.text().map(Into::into))?;
                let identity = self.option(Self::identity)?;
                let envelope = Envelope { account, ..Envelope::plain(from, recipients) };
                Facts::Message {
                    envelope: Box::new(envelope),
                    identity,
                    headers: self.headers()?,
                    size: self.number()?,
                    scope: self.scope()?,
                    earlier: self.earlier()?,
                    found: Box::new(self.found()?),
                }
            }
            // A record of before there were lists has none of this.
            _ if self.at == self.end => Facts::Connect { listed: Vec::new() },
            _ => Facts::Connect { listed: self.list(Self::listed)? },
        })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.end)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn octet(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let octet = self.octet()?;
            number |= u64::from(octet & 0x7f).checked_shl(shift)?;
            if octet < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn octets(&mut self) -> Option<&'a [u8]> {
        let tag = self.number()?;
        let length_or_place = usize::try_from(tag >> 1).ok()?;
        let found = if tag & 1 == 1 { literal(self.bytes, length_or_place)? } else { self.take(length_or_place)? };
        self.text_left = self.text_left.checked_sub(found.len())?;
        Some(found)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.octets()?).ok()
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.octet()? == 0 { Some(None) } else { Some(Some(read(self)?)) }
    }

    fn list<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        // Each thing in it takes an octet at least, so the count is no promise to be believed before.
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(read(self)?);
        }
        Some(list)
    }

    fn mailbox(&mut self) -> Option<Mailbox> {
        Mailbox::parse(self.text()?).ok()
    }

    fn path(&mut self) -> Option<ReversePath> {
        Some(self.option(Self::mailbox)?.map_or(ReversePath::Null, ReversePath::Mailbox))
    }

    fn recipient(&mut self) -> Option<Recipient> {
        let hosted = self.octet()? == 1;
        Some(Recipient::recipient_of_record(self.mailbox()?, hosted))
    }

    fn who(&mut self) -> Option<Authenticated> {
        Some(Authenticated::restored_from_record(self.text()?.into(), self.text()?.into()))
    }

    fn identity(&mut self) -> Option<Known> {
        let who = self.who()?;
        let owned = if self.octet()? == 0 {
            Fact::Unavailable(self.outage()?)
        } else {
            let exact = self.list(Self::mailbox)?;
            let domains = self.list(|this| Domain::parse(this.text()?).ok())?;
            Fact::Known(OwnedAddresses { exact, domains })
        };
        Some(Known { who, owned })
    }

    fn listed(&mut self) -> Option<Listed> {
        Some(Listed {
            list: self.text()?.into(),
            subject: Subject::parse(self.text()?).ok()?,
            action: Action::parse(self.text()?)?,
            reason: self.text()?.into(),
            until: self.option(Self::number)?.map(UnixMillis),
            observed: self.octet()? == 1,
            about: Box::default(),
        })
    }

    /// A record of before lists had names has none of this.
    fn named(&mut self) -> Option<Vec<Listed>> {
        if self.at == self.end {
            return Some(Vec::new());
        }
        self.list(|this| Some(Listed { about: this.text()?.into(), ..this.listed()? }))
    }

    /// A record of before there was greylisting has none of this.
    fn greylist(&mut self) -> Option<Option<GreySaid>> {
        if self.at == self.end {
            return Some(None);
        }
        self.option(|this| {
            Some(match this.octet()? {
                0 => GreySaid::Known,
                1 => GreySaid::Back(Duration::from_secs(this.number()?)),
                2 => GreySaid::Wait(Duration::from_secs(this.number()?)),
                _ => return None,
            })
        })
    }

    /// A record of before there were suppressions has none of this.
    fn suppressed(&mut self) -> Option<Option<Suppressed>> {
        if self.at == self.end {
            return Some(None);
        }
        self.option(|this| {
            Some(Suppressed {
                cause: Cause::parse(this.text()?)?,
                since: UnixMillis(this.number()?),
                until: this.option(Self::number)?.map(UnixMillis),
                of_account: this.octet()? == 1,
            })
        })
    }

    /// A record of before lists were asked, or of a session they had nothing to say of, has none of this.
    fn dns(&mut self) -> Option<DnsSaid> {
        if self.at == self.end {
            return Some(DnsSaid::default());
        }
        Some(DnsSaid { listed: self.list(Self::dns_listed)?, unheard: self.list(Self::unheard)? })
    }

    /// What was not yet found out when a record was made is not in it.
    fn found(&mut self) -> Option<Found> {
        let mut found = Found {
            dns: self.dns()?,
            links: self.links()?,
            authenticity: self.authenticity()?,
            filters: self.filters()?,
            listed: self.named()?,
            guard: None,
            is_for_postmaster: false,
        };
        // A record of before it was counted has none of this.
        let unasked = if self.at == self.end { 0 } else { u32::try_from(self.number()?).ok()? };
        if let Some(links) = &mut found.links {
            links.unasked = unasked;
        }
        found.is_for_postmaster = self.at != self.end && self.octet()? != 0;
        // A record of before there was a guard has none of this.
        found.guard = if self.at == self.end { None } else { self.option(Self::guard)?.map(Box::new) };
        Some(found)
    }

    fn guard(&mut self) -> Option<GuardSaid> {
        let points = Points(i16::from_le_bytes(*self.take(2)?.first_chunk::<2>()?));
        let standing = *GuardStep::ALL.get(usize::from(self.octet()?))?;
        Some(GuardSaid { points, standing, because: self.text()?.to_string() })
    }

    fn links(&mut self) -> Option<Option<LinkFacts>> {
        if self.at == self.end {
            return Some(None);
        }
        self.option(|this| Some(LinkFacts { odd: this.list(Self::odd_link)?, is_whole: this.octet()? != 0, unasked: 0 }))
    }

    fn odd_link(&mut self) -> Option<OddLink> {
        let name = self.text()?;
        Some(OddLink::recorded(name, Tricks::from_bits(u16::from_le_bytes(*self.take(2)?.first_chunk::<2>()?))))
    }

    fn dns_listed(&mut self) -> Option<DnsListed> {
        Some(DnsListed {
            zone: self.text()?.into(),
            target: DnsTarget::parse(self.text()?)?,
            asked: self.text()?.into(),
            codes: self.list(|this| Some(Ipv4Addr::from(*this.take(4)?.first_chunk::<4>()?)))?,
            text: self.text()?.into(),
        })
    }

    fn unheard(&mut self) -> Option<DnsUnheard> {
        let (zone, target) = (self.text()?.into(), DnsTarget::parse(self.text()?)?);
        Some(DnsUnheard { zone, target, why: DnsMute::ALL.get(usize::from(self.octet()?)).copied()? })
    }

    /// A record of before there were scopes has none of this.
    fn scope(&mut self) -> Option<Option<ScopeSaid>> {
        if self.at == self.end { Some(None) } else { self.option(Self::said) }
    }

    /// A record of before filters were asked has none of this.
    fn filters(&mut self) -> Option<Vec<FilterSaid>> {
        if self.at == self.end { Some(Vec::new()) } else { self.list(Self::filter) }
    }

    fn filter(&mut self) -> Option<FilterSaid> {
        let filter = self.text()?.into();
        let word = match self.octet()? {
            0 => FilterWord::Pass,
            1 => FilterWord::Refuse(self.reply()?),
            2 => FilterWord::Defer(self.reply()?),
            3 => FilterWord::Hold,
            4 => FilterWord::Discard,
            5 => FilterWord::Points(i16::from_le_bytes(*self.take(2)?.first_chunk::<2>()?)),
            6 => FilterWord::Down(OnFailure::Accept),
            7 => FilterWord::Down(OnFailure::Defer),
            8 => FilterWord::Down(OnFailure::Refuse),
            _ => return None,
        };
        Some(FilterSaid { filter, word, words: self.text()?.to_owned(), observed: self.octet()? == 1 })
    }

    /// A record of before points were added up has none of this.
    fn earlier(&mut self) -> Option<Vec<Scored>> {
        if self.at == self.end { Some(Vec::new()) } else { self.list(Self::scored) }
    }

    fn scored(&mut self) -> Option<Scored> {
        let rule = known_name(self.text()?);
        Some(Scored { rule, points: Points(i16::from_le_bytes(*self.take(2)?.first_chunk::<2>()?)) })
    }

    /// A record of before it was looked up has none of this.
    fn authenticity(&mut self) -> Option<Option<Box<Authenticity>>> {
        if self.at == self.end {
            return Some(None);
        }
        self.option(|this| Authenticity::from_record(this.text()?).map(Box::new))
    }

    fn said(&mut self) -> Option<ScopeSaid> {
        Some(match self.octet()? {
            0 => ScopeSaid::Within,
            1 => ScopeSaid::Outside(Breach { part: self.part()?, words: self.text()?.to_owned() }),
            2 => ScopeSaid::Unreadable(HeaderFault::ALL.get(usize::from(self.octet()?)).copied()?),
            3 => {
                let (part, limit) = (self.part()?, u32::try_from(self.number()?).ok()?);
                let quota = QuotaFull { part, limit, free_at: UnixMillis(self.number()?) };
                ScopeSaid::Full { quota, now: UnixMillis(self.number()?) }
            }
            _ => return None,
        })
    }

    fn part(&mut self) -> Option<Part> {
        let name = self.text()?;
        Part::ALL.into_iter().find(|part| part.as_str() == name)
    }

    fn hosted(&mut self) -> Option<HostedAnswer> {
        Some(match self.octet()? {
            0 => HostedAnswer::NotOurs,
            1 => HostedAnswer::Exists,
            2 => HostedAnswer::Unknown,
            3 => HostedAnswer::Unavailable(self.outage()?),
            _ => return None,
        })
    }

    fn outage(&mut self) -> Option<Outage> {
        let (kind, words) = (self.octet()?, self.text()?.to_owned());
        Some(match kind {
            0 => Outage::DiskFull,
            1 => Outage::Overload,
            2 => Outage::Disk(words),
            3 => Outage::Dns(words),
            4 => Outage::Service(words),
            5 => Outage::Bug(words),
            _ => return None,
        })
    }

    fn headers(&mut self) -> Option<Headers> {
        let fault = usize::from(self.octet()?).checked_sub(1).and_then(|place| HeaderFault::ALL.get(place).copied());
        let received = usize::try_from(self.number()?).ok()?.min(RECEIVED_MAX);
        let mut section = b"Received:\r\n".repeat(received);
        let fields = self.list(|this| Some((usize::try_from(this.number()?).ok()?, this.octets()?)))?;
        for (which, raw) in fields {
            section.extend_from_slice(JUDGED_FIELDS.get(which)?.as_bytes());
            section.push(b':');
            section.extend_from_slice(raw);
            section.extend_from_slice(b"\r\n");
        }
        Some(Headers::recorded(&section, fault))
    }

    fn reply(&mut self) -> Option<Reply> {
        let code = u16::try_from(self.number()?).ok()?;
        let status = self.option(|this| {
            let (class, subject, detail) = (this.octet()?, this.number()?, this.number()?);
            Some(Status::new(class, u16::try_from(subject).ok()?, u16::try_from(detail).ok()?))
        })?;
        Some(Reply::recorded(code, status, self.text()?.to_owned()))
    }

    fn verdict(&mut self) -> Option<Verdict> {
        let mut observed = Vec::new();
        let mut trail = Vec::new();
        for _ in 0..self.number()? {
            let (name, is_observed) = (self.text()?, self.octet()? == 1);
            let rule: RuleName = known_name(name);
            if is_observed {
                observed.push(rule);
            }
            let says = match self.octet()? {
                0 => Effect::Wants(Decision::Pass),
                1 => Effect::Wants(Decision::Hold),
                2 => Effect::Wants(Decision::Defer),
                3 => Effect::Wants(Decision::Refuse),
                4 => Effect::Wants(Decision::Hangup),
                5 => Effect::Points(i16::from_le_bytes(*self.take(2)?.first_chunk::<2>()?)),
                6 => Effect::Waives(known_name(self.text()?)),
                _ => return None,
            };
            let because = self.text()?;
            // A rule of another version is told by its name all the same.
            let because = if rule == name { because.to_owned() } else { format!("{name}: {because}") };
            trail.push(Finding { rule, says, because, reply: self.option(Self::reply)? });
        }
        Some(Verdict::observing(trail, observed))
    }
}
