//! What the rules of each stage are given. Promise: plain values, so that a recorded decision can be made again.

use postern_mail::authenticity::Authenticity;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::{ClientFacts, Fact};
use postern_mail::filter::FilterSaid;
use postern_mail::greylist::GreySaid;
use postern_mail::guard::GuardSaid;
use postern_mail::link::LinkFacts;
use postern_mail::message::headers::{HeaderFault, Headers};
use postern_mail::netset::Listed;
use postern_mail::proof::Authenticated;
use postern_mail::scope::{Breach, QuotaFull};
use postern_mail::suppression::Suppressed;
use postern_mail::{DnsSaid, Domain, Envelope, Mailbox, Outage, Recipient, ReversePath, Scored};

/// Who the client proved to be, and what it may say about itself.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The proof.
    pub who: &'a Authenticated,
    /// Its own addresses.
    pub owned: &'a Fact<OwnedAddresses>,
}

/// Before the greeting.
#[derive(Clone, Copy, Debug)]
pub struct ConnectFacts<'a> {
    /// The connection.
    pub client: &'a ClientFacts,
    /// What lists say of it.
    pub listed: &'a [Listed],
}

/// What the scopes of an account and its credential say of what is asked. They are no part of the configuration, so what they said is the fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeSaid {
    /// It is within both.
    Within,
    /// It is not.
    Outside(Breach),
    /// Nobody can tell who it is from, and a scope names senders.
    Unreadable(HeaderFault),
    /// It is, but a quota has no room.
    Full {
        /// Which.
        quota: QuotaFull,
        /// The time it was asked at.
        now: UnixMillis,
    },
}

/// At MAIL FROM.
#[derive(Clone, Copy, Debug)]
pub struct SenderFacts<'a> {
    /// The connection.
    pub client: &'a ClientFacts,
    /// MAIL FROM.
    pub from: &'a ReversePath,
    /// After AUTH.
    pub identity: Option<Identity<'a>>,
    /// SIZE=, where it was given.
    pub size: Option<u64>,
    /// What its account may do, where it has one.
    pub scope: Option<&'a ScopeSaid>,
    /// Points that the stages before found.
    pub earlier: &'a [Scored],
    /// What lists said that were asked by DNS.
    pub dns: &'a DnsSaid,
    /// What local lists say of what the client calls itself, and of the sender.
    pub listed: &'a [Listed],
}

/// At RCPT TO.
#[derive(Clone, Copy, Debug)]
pub struct RecipientFacts<'a> {
    /// The connection.
    pub client: &'a ClientFacts,
    /// RCPT TO.
    pub to: &'a Mailbox,
    /// After AUTH.
    pub who: Option<&'a Authenticated>,
    /// What its account may do, where it has one.
    pub scope: Option<&'a ScopeSaid>,
    /// What local lists say of the recipient.
    pub listed: &'a [Listed],
    /// What is remembered of this attempt, where that was asked for.
    pub greylist: Option<GreySaid>,
    /// What is remembered of the recipient, where it is not ours and the client may write to others.
    pub suppressed: Option<Suppressed>,
}

/// At the end of the body.
#[derive(Clone, Copy, Debug)]
pub struct MessageFacts<'a> {
    /// The connection.
    pub client: &'a ClientFacts,
    /// MAIL FROM and the admitted recipients.
    pub envelope: &'a Envelope,
    /// After AUTH.
    pub identity: Option<Identity<'a>>,
    /// The header section as it came, without what we add.
    pub headers: &'a Headers,
    /// Octets of the message as it came.
    pub size: u64,
    /// What its account may do, where it has one.
    pub scope: Option<&'a ScopeSaid>,
    /// Points that the stages before found.
    pub earlier: &'a [Scored],
    /// What was found out about it once it was all there.
    pub found: &'a Found,
}

/// What was found out about a message once it was all there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What lists that are asked by DNS said of the domains in its header and of its links.
    pub dns: DnsSaid,
    /// Its links, where it was read for them.
    pub links: Option<LinkFacts>,
    /// Who it is from, where that was looked up.
    pub authenticity: Option<Box<Authenticity>>,
    /// What filters of others said.
    pub filters: Vec<FilterSaid>,
    /// What local lists say of the client's name, of its authors and of its links.
    pub listed: Vec<Listed>,
    /// How unlike its account's past it is, where it is of an account.
    pub guard: Option<Box<GuardSaid>>,
    /// It is for nobody but those who are written to about abuse, as the client named them. See [`is_for_postmaster`].
    pub is_for_postmaster: bool,
}

/// True for mail that goes to nobody but postmasters and abuse desks of ours (RFC 5321 §4.5.1, RFC 2142 §4): what they are sent as evidence looks like abuse.
/// Asked before aliases are followed.
#[must_use]
pub fn is_for_postmaster(envelope: &Envelope) -> bool {
    let is_desk = |to: &Recipient| {
        to.is_hosted() && ["postmaster", "abuse"].iter().any(|desk| to.address().local.as_str().eq_ignore_ascii_case(desk))
    };
    !envelope.recipients.is_empty() && envelope.recipients.iter().all(is_desk)
}

impl Found {
    /// Nothing, as a place that lives long enough.
    pub const NOTHING: &'static Self = &Self {
        dns: DnsSaid { listed: Vec::new(), unheard: Vec::new() },
        links: None,
        authenticity: None,
        filters: Vec::new(),
        listed: Vec::new(),
        guard: None,
        is_for_postmaster: false,
    };
}

/// The addresses an account may send as, in the envelope and in From.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedAddresses {
    /// Single addresses.
    pub exact: Vec<Mailbox>,
    /// Every address of these domains, but not of domains below them.
    pub domains: Vec<Domain>,
}

impl OwnedAddresses {
    /// True when `mailbox` is one of them.
    ///
    /// RFC 5321 §2.4 DEPARTS: local parts are compared without regard to ASCII case. Whoever owns `alice` and writes `Alice` is not
    /// somebody else, and no host that takes part in this tells the two apart.
    #[must_use]
    pub fn contains(&self, mailbox: &Mailbox) -> bool {
        let same = |own: &Mailbox| own.host == mailbox.host && own.local.as_str().eq_ignore_ascii_case(mailbox.local.as_str());
        mailbox.domain().is_some_and(|domain| self.domains.contains(domain)) || self.exact.iter().any(same)
    }
}

/// What is known of a recipient before it is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostedAnswer {
    /// Not a domain of this server.
    NotOurs,
    /// The domain is ours and takes mail for it: by list, alias, sub-address or catch-all.
    Exists,
    /// The domain is ours, and there is no such mailbox.
    Unknown,
    /// The domain is ours or may be, and we could not find out more.
    Unavailable(Outage),
}

/// Answers which recipients are ours.
pub trait Directory {
    /// Looks one up.
    fn hosted(&self, mailbox: &Mailbox) -> HostedAnswer;
}

/// What was answered already, asked again: so that a directory is asked once, and its record has its words.
impl Directory for HostedAnswer {
    fn hosted(&self, _: &Mailbox) -> Self {
        self.clone()
    }
}
