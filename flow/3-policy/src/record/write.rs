//! Writing a record while a session runs. Promise: it never grows over its limit by more than an acceptance takes; what does not fit is left
//! out, and that is said in it. What passed may take three quarters of the room, so that a long list of recipients does not push out the
//! refusal that somebody will ask about.

use std::net::IpAddr;

use postern_mail::client::ListenerKind;
use postern_mail::dns_list::{DnsMute, DnsSaid};
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::{ClientFacts, Fact};
use postern_mail::filter::{FilterSaid, FilterWord, OnFailure};
use postern_mail::greylist::GreySaid;
use postern_mail::message::headers::{HeaderFault, Headers};
use postern_mail::netset::Listed;
use postern_mail::proof::Authenticated;
use postern_mail::{
    Decision, Effect, HeloName, Mailbox, MessageId, Outage, Recipient, Reply, ReversePath, Scored, SessionId, Verdict,
};

use super::{Asked, JUDGED_FIELDS, RECORD_BYTES_MAX, VERSION, kind};
use crate::facts::{Found, HostedAnswer, Identity, OwnedAddresses, ScopeSaid};

/// Texts that are looked through for one that is the same. Most sessions have fewer.
const TEXTS_REMEMBERED_MAX: usize = 48;
/// Addresses of an account kept whole; of more only those are kept that the matter is about.
const OWNED_WHOLE_MAX: usize = 8;
/// Kind, and length.
const ENTRY_HEAD: usize = 3;

/// A session's record in the making.
#[derive(Debug)]
pub struct Recorder {
    bytes: Vec<u8>,
    /// Where texts stand that were written in full.
    texts: Vec<usize>,
    header_end: usize,
    began: UnixMillis,
    bytes_max: usize,
    cut: bool,
}

impl Recorder {
    /// For a session, with room for so many octets.
    #[must_use]
    pub fn new(session: SessionId, began: UnixMillis, client: &ClientFacts, bytes_max: usize) -> Self {
        let bytes = Vec::with_capacity(256);
        let bytes_max = bytes_max.min(RECORD_BYTES_MAX);
        let mut recorder = Self { bytes, texts: Vec::new(), header_end: 0, began, bytes_max, cut: false };
        recorder.octet(VERSION);
        recorder.number(session.0);
        recorder.number(began.0);
        match client.address {
            IpAddr::V4(v4) => {
                recorder.octet(4);
                recorder.bytes.extend_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                recorder.octet(6);
                recorder.bytes.extend_from_slice(&v6.octets());
            }
        }
        recorder.number(u64::from(client.port));
        recorder.octet(match client.listener {
            ListenerKind::Mx => 0,
            ListenerKind::Submission => 1,
            ListenerKind::Submissions => 2,
        });
        recorder.header_end = recorder.bytes.len();
        recorder
    }

    /// True while nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == self.header_end
    }

    /// Takes what was written, and goes on with an empty record of the same session.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        let next = self.bytes.get(..self.header_end).unwrap_or_default().to_vec();
        self.texts.clear();
        self.cut = false;
        std::mem::replace(&mut self.bytes, next)
    }

    /// The client named itself.
    pub fn hello(&mut self, now: UnixMillis, name: &HeloName) {
        self.entry(kind::HELLO, now, self.bytes_max, |this| this.text(name.as_str()));
    }

    /// A log-in got so far. No secret comes here.
    pub fn login(&mut self, now: UnixMillis, user: Option<&str>, result: &str) {
        self.entry(kind::LOGIN, now, self.bytes_max, |this| {
            this.option(user, |this, user| this.text(user));
            this.text(result);
        });
    }

    /// Rules ran.
    pub fn judged(&mut self, now: UnixMillis, asked: Asked<'_>, verdict: &Verdict) {
        let kind = match asked {
            Asked::Connect(_) => kind::CONNECT,
            Asked::Sender(_) => kind::SENDER,
            Asked::Recipient(..) => kind::RECIPIENT,
            Asked::Message(_) => kind::MESSAGE,
        };
        let room = if verdict.decision() == Decision::Pass { self.bytes_max / 4 * 3 } else { self.bytes_max };
        self.entry(kind, now, room, |this| {
            this.verdict(verdict);
            this.write_facts(asked);
        });
    }

    /// Something was refused without asking a rule.
    pub fn told(&mut self, now: UnixMillis, at: &str, reply: &Reply, because: &str) {
        self.entry(kind::TOLD, now, self.bytes_max, |this| {
            this.text(at);
            this.reply(reply);
            this.text(because);
        });
    }

    /// The message was taken. Always kept: a record ends with it, and without it nobody could tell which message it is about.
    pub fn accepted(&mut self, now: UnixMillis, id: MessageId) {
        self.entry(kind::ACCEPTED, now, usize::MAX, |this| this.number(id.0));
    }

    fn write_facts(&mut self, asked: Asked<'_>) {
        match asked {
            Asked::Connect(facts) => {
                self.number(facts.listed.len() as u64);
                for listed in facts.listed {
                    self.listed(listed);
                }
            }
            Asked::Sender(facts) => {
                self.path(facts.from);
                let about: Vec<&Mailbox> = facts.from.mailbox().into_iter().collect();
                self.identity(facts.identity, &about);
                self.option(facts.size, |this, size| this.number(size));
                self.scope(facts.scope);
                self.scored(facts.earlier);
                self.dns(facts.dns);
                self.named(facts.listed);
            }
            Asked::Recipient(facts, hosted) => {
                self.mailbox(facts.to);
                self.option(facts.who, |this, who| this.who(who));
                self.hosted(hosted);
                self.scope(facts.scope);
                self.named(facts.listed);
                self.option(facts.greylist, |this, said| match said {
                    GreySaid::Known => this.octet(0),
                    GreySaid::Back(waited) => {
                        this.octet(1);
                        this.number(waited.as_secs());
                    }
                    GreySaid::Wait(left) => {
                        this.octet(2);
                        this.number(left.as_secs());
                    }
                });
                self.option(facts.suppressed, |this, said| {
                    this.text(said.cause.as_str());
                    this.number(said.since.0);
                    this.option(said.until, |this, until| this.number(until.0));
                    this.octet(u8::from(said.of_account));
                });
            }
            Asked::Message(facts) => {
                self.path(&facts.envelope.from);
                self.number(facts.envelope.recipients.len() as u64);
                for recipient in &facts.envelope.recipients {
                    self.recipient(recipient);
                }
                self.option(facts.envelope.account.as_deref(), |this, account| this.text(account));
                let from = facts.headers.from_addresses().unwrap_or_default();
                let sender = facts.headers.sender_address().ok().flatten();
                let about: Vec<&Mailbox> = from.iter().chain(&sender).chain(facts.envelope.from.mailbox()).collect();
                self.identity(facts.identity, &about);
                self.headers(facts.headers);
                self.number(facts.size);
                self.scope(facts.scope);
                self.scored(facts.earlier);
                self.found(facts.found);
            }
        }
    }

    /// Writes an entry, unless the record would then be longer than `room`.
    fn entry(&mut self, kind: u8, now: UnixMillis, room: usize, write: impl FnOnce(&mut Self)) {
        let (start, texts) = (self.bytes.len(), self.texts.len());
        self.octet(kind);
        self.bytes.extend_from_slice(&[0, 0]);
        self.number(now.0.saturating_sub(self.began.0));
        write(self);
        let length = u16::try_from(self.bytes.len() - start - ENTRY_HEAD);
        match length {
            Ok(length) if self.bytes.len() <= room => {
                if let Some(place) = self.bytes.get_mut(start + 1..start + ENTRY_HEAD) {
                    place.copy_from_slice(&length.to_le_bytes());
                }
            }
            _ => {
                self.bytes.truncate(start);
                self.texts.truncate(texts);
                if !std::mem::replace(&mut self.cut, true) {
                    self.bytes.extend_from_slice(&[kind::CUT, 1, 0, 0]);
                }
            }
        }
    }

    fn octet(&mut self, octet: u8) {
        self.bytes.push(octet);
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.octet((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.octet((number & 0x7f) as u8);
    }

    fn text(&mut self, text: &str) {
        self.octets(text.as_bytes());
    }

    fn octets(&mut self, octets: &[u8]) {
        // One that is shorter than the place it would be found at is written again.
        if octets.len() > 2
            && let Some(place) =
                self.texts.iter().copied().find(|place| super::read::literal(&self.bytes, *place) == Some(octets))
        {
            self.number((place as u64) << 1 | 1);
            return;
        }
        if self.texts.len() < TEXTS_REMEMBERED_MAX {
            self.texts.push(self.bytes.len());
        }
        self.number((octets.len() as u64) << 1);
        // No more than what makes the entry too long for sure is worth copying.
        self.bytes.extend_from_slice(octets.get(..RECORD_BYTES_MAX + 1).unwrap_or(octets));
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.octet(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn mailbox(&mut self, mailbox: &Mailbox) {
        self.text(&mailbox.to_string());
    }

    fn path(&mut self, path: &ReversePath) {
        self.option(path.mailbox(), Self::mailbox);
    }

    fn recipient(&mut self, recipient: &Recipient) {
        self.octet(u8::from(recipient.is_hosted()));
        self.mailbox(recipient.address());
    }

    fn who(&mut self, who: &Authenticated) {
        self.text(who.account());
        self.text(who.credential());
    }

    fn identity(&mut self, identity: Option<Identity<'_>>, about: &[&Mailbox]) {
        self.option(identity, |this, identity| {
            this.who(identity.who);
            match identity.owned {
                Fact::Unavailable(outage) => {
                    this.octet(0);
                    this.outage(outage);
                }
                Fact::Known(owned) => {
                    this.octet(1);
                    this.owned(owned, about);
                }
            }
        });
    }

    /// An account may own very many addresses. Rules ask only whether one is among them, so those that were asked about are enough.
    fn owned(&mut self, owned: &OwnedAddresses, about: &[&Mailbox]) {
        let whole = owned.exact.len() + owned.domains.len() <= OWNED_WHOLE_MAX;
        let one = |own: &Mailbox| OwnedAddresses { exact: vec![own.clone()], domains: Vec::new() };
        let exact: Vec<_> =
            owned.exact.iter().filter(|own| whole || about.iter().any(|asked| one(own).contains(asked))).collect();
        let named = |domain| about.iter().any(|asked| asked.domain() == Some(domain));
        let domains: Vec<_> = owned.domains.iter().filter(|domain| whole || named(domain)).collect();
        self.number(exact.len() as u64);
        for mailbox in exact {
            self.mailbox(mailbox);
        }
        self.number(domains.len() as u64);
        for domain in domains {
            self.text(domain.as_str());
        }
    }

    fn scored(&mut self, scored: &[Scored]) {
        self.number(scored.len() as u64);
        for one in scored {
            self.text(one.rule);
            self.bytes.extend_from_slice(&one.points.0.to_le_bytes());
        }
    }

    fn listed(&mut self, listed: &Listed) {
        self.text(&listed.list);
        self.text(&listed.subject.to_string());
        self.text(&listed.action.to_string());
        self.text(&listed.reason);
        self.option(listed.until, |this, until| this.number(until.0));
        self.octet(u8::from(listed.observed));
    }

    fn named(&mut self, named: &[Listed]) {
        self.number(named.len() as u64);
        for listed in named {
            self.text(&listed.about);
            self.listed(listed);
        }
    }

    fn found(&mut self, found: &Found) {
        self.dns(&found.dns);
        self.option(found.links.as_ref(), |this, links| {
            this.number(links.odd.len() as u64);
            for odd in &links.odd {
                this.text(odd.name());
                this.bytes.extend_from_slice(&odd.tricks.bits().to_le_bytes());
            }
            this.octet(u8::from(links.is_whole));
        });
        self.option(found.authenticity.as_deref(), |this, found| this.text(&found.to_record()));
        self.filters(&found.filters);
        self.named(&found.listed);
        self.number(found.links.as_ref().map_or(0, |links| u64::from(links.unasked)));
        self.octet(u8::from(found.is_for_postmaster));
        self.option(found.guard.as_deref(), |this, said| {
            this.bytes.extend_from_slice(&said.points.0.to_le_bytes());
            this.octet(said.standing as u8);
            this.text(&said.because);
        });
    }

    fn dns(&mut self, said: &DnsSaid) {
        self.number(said.listed.len() as u64);
        for listed in &said.listed {
            self.text(&listed.zone);
            self.text(listed.target.as_str());
            self.text(&listed.asked);
            self.number(listed.codes.len() as u64);
            for code in &listed.codes {
                self.bytes.extend_from_slice(&code.octets());
            }
            self.text(&listed.text);
        }
        self.number(said.unheard.len() as u64);
        for unheard in &said.unheard {
            self.text(&unheard.zone);
            self.text(unheard.target.as_str());
            let place = DnsMute::ALL.iter().position(|why| *why == unheard.why).and_then(|place| u8::try_from(place).ok());
            self.octet(place.unwrap_or(u8::MAX));
        }
    }

    fn filters(&mut self, filters: &[FilterSaid]) {
        self.number(filters.len() as u64);
        for said in filters {
            self.text(&said.filter);
            match &said.word {
                FilterWord::Pass => self.octet(0),
                FilterWord::Refuse(reply) => {
                    self.octet(1);
                    self.reply(reply);
                }
                FilterWord::Defer(reply) => {
                    self.octet(2);
                    self.reply(reply);
                }
                FilterWord::Hold => self.octet(3),
                FilterWord::Discard => self.octet(4),
                FilterWord::Points(tenths) => {
                    self.octet(5);
                    self.bytes.extend_from_slice(&tenths.to_le_bytes());
                }
                FilterWord::Down(OnFailure::Accept) => self.octet(6),
                FilterWord::Down(OnFailure::Defer) => self.octet(7),
                FilterWord::Down(OnFailure::Refuse) => self.octet(8),
            }
            self.text(&said.words);
            self.octet(u8::from(said.observed));
        }
    }

    fn scope(&mut self, scope: Option<&ScopeSaid>) {
        self.option(scope, |this, said| match said {
            ScopeSaid::Within => this.octet(0),
            ScopeSaid::Outside(breach) => {
                this.octet(1);
                this.text(breach.part.as_str());
                this.text(&breach.words);
            }
            ScopeSaid::Unreadable(fault) => {
                this.octet(2);
                let place = HeaderFault::ALL.iter().position(|other| other == fault).and_then(|place| u8::try_from(place).ok());
                this.octet(place.unwrap_or(u8::MAX));
            }
            ScopeSaid::Full { quota, now } => {
                this.octet(3);
                this.text(quota.part.as_str());
                this.number(u64::from(quota.limit));
                this.number(quota.free_at.0);
                this.number(now.0);
            }
        });
    }

    fn hosted(&mut self, hosted: &HostedAnswer) {
        match hosted {
            HostedAnswer::NotOurs => self.octet(0),
            HostedAnswer::Exists => self.octet(1),
            HostedAnswer::Unknown => self.octet(2),
            HostedAnswer::Unavailable(outage) => {
                self.octet(3);
                self.outage(outage);
            }
        }
    }

    fn outage(&mut self, outage: &Outage) {
        let (kind, words) = match outage {
            Outage::DiskFull => (0, ""),
            Outage::Overload => (1, ""),
            Outage::Disk(words) => (2, words.as_str()),
            Outage::Dns(words) => (3, words.as_str()),
            Outage::Service(words) => (4, words.as_str()),
            Outage::Bug(words) => (5, words.as_str()),
        };
        self.octet(kind);
        self.text(words);
    }

    fn headers(&mut self, headers: &Headers) {
        let place =
            |fault| HeaderFault::ALL.iter().position(|other| *other == fault).and_then(|place| u8::try_from(place + 1).ok());
        self.octet(headers.fault().and_then(place).unwrap_or(0));
        self.number(headers.received_count() as u64);
        let judged = |name: &str| JUDGED_FIELDS.iter().position(|own| own.eq_ignore_ascii_case(name));
        let fields: Vec<(usize, &[u8])> = headers.fields().filter_map(|field| Some((judged(field.name)?, field.raw))).collect();
        self.number(fields.len() as u64);
        for (which, raw) in fields {
            self.number(which as u64);
            self.octets(raw);
        }
    }

    fn reply(&mut self, reply: &Reply) {
        self.number(u64::from(reply.code.0));
        self.option(reply.status, |this, status| {
            this.octet(status.class);
            this.number(u64::from(status.subject));
            this.number(u64::from(status.detail));
        });
        self.text(reply.text());
    }

    fn verdict(&mut self, verdict: &Verdict) {
        self.number(verdict.trail().len() as u64);
        for finding in verdict.trail() {
            self.text(finding.rule);
            self.octet(u8::from(verdict.is_observed(finding.rule)));
            match finding.says {
                Effect::Wants(decision) => self.octet(match decision {
                    Decision::Pass => 0,
                    Decision::Hold => 1,
                    Decision::Defer => 2,
                    Decision::Refuse => 3,
                    Decision::Hangup => 4,
                }),
                Effect::Points(tenths) => {
                    self.octet(5);
                    self.bytes.extend_from_slice(&tenths.to_le_bytes());
                }
                Effect::Waives(rule) => {
                    self.octet(6);
                    self.text(rule);
                }
            }
            self.text(&finding.because);
            self.option(finding.reply.as_ref(), Self::reply);
        }
    }
}
