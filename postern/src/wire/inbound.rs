//! Listener, session, policy and spool, joined: from a socket to `250`. No decisions here: the session asks, policy answers.
//!
//! Promise: what an idle connection owns of this file is a few words; everything a message needs is boxed and goes with it.

use std::borrow::Cow;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use postern_listener::pump::{Ended as HowEnded, Revocation};
use postern_listener::{Conversations, Door, Host, PumpSettings};
use postern_mail::client::ListenerKind;
use postern_mail::event::Event;
use postern_mail::fact::{Answer, ClientCertificate, ClientFacts, Fact, Mechanism, Question};
use postern_mail::message::auth_results;
use postern_mail::message::date::MailDate;
use postern_mail::message::headers::{HeaderCollector, Headers};
use postern_mail::message::received::{Received, protocol};
use postern_mail::netset::Action;
use postern_mail::proof::{Authenticated, Committed};
use postern_mail::trouble::Outage;
use postern_mail::{Decision, DnsSaid, Envelope, Mailbox, Recipient, Reply, ReversePath, Secret, Verdict};
use postern_policy::facts::{
    ConnectFacts, Found, HostedAnswer, Identity, MessageFacts, OwnedAddresses, RecipientFacts, SenderFacts,
};
use postern_policy::record::Asked;
use postern_policy::rules::greylist::Candidate;
use postern_policy::rules::hygiene::TRAP;
use postern_policy::rules::score::{self, Gathered};
use postern_policy::stage::Stage;
use postern_policy::{Policy, decide, explain};
use postern_session::Session;
use postern_smtp::machine::{Conduct, TraceFacts};
use postern_spool::Writer;
use postern_state::{Exchange, Reservation, Start, Step};
use rustls::ServerConfig;
use tokio::sync::oneshot;

use crate::wire::bans::{self, Watched};
use crate::wire::dnsbl::Asking;
use crate::wire::examine::{self, Cut};
use crate::wire::filters;
use crate::wire::scope::{Ended, Holder};
use crate::wire::strangers::{self, Dues};
use crate::wire::trail::SessionTrail;
use crate::wire::{
    Live, Server, auth_guard, call_ahead, clock, greylist, guard, lists, live, login, names, reports, returns, routing, scope,
    sealing, suppression,
};

/// Answers the questions of one session and takes its bodies.
pub(crate) struct Inbound {
    server: Arc<Server>,
    live: Arc<Live>,
    client: ClientFacts,
    /// See [`login::TlsByKind::epoch`].
    epoch: u64,
    exchange: Option<Box<Exchange>>,
    message: Option<Box<Incoming>>,
    /// What the transaction under way may use of its account's quotas.
    reservation: Option<Box<Reservation>>,
    /// Who has just logged in.
    logged_in: Option<Box<Authenticated>>,
    dues: Dues,
    points: Gathered,
    asking: Asking,
    /// A list lets in what the client calls itself, or the sender of the transaction under way.
    sender_allowed: bool,
    trail: SessionTrail,
    watched: Watched,
    /// It is turned away like many others before it, and nothing is written down.
    is_only_counted: bool,
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.trail.end(&self.server);
        self.dues.end(&self.server);
    }
}

/// A message while it arrives.
struct Incoming {
    envelope: Envelope,
    /// Its recipients as the client named them, where aliases led to others.
    named: Option<Vec<Recipient>>,
    trace: TraceFacts,
    writer: Result<Writer, Outage>,
    head: Head,
    /// Our trace header until the first piece is written.
    trace_header: Vec<u8>,
    /// The header section until it is whole: only then can be added what a submission lacks, and taken out what only we say.
    section: Vec<u8>,
    size: u64,
    /// From nobody we know: neither an account nor a relay network nor a trusted one.
    is_strangers: bool,
    /// As the client named its recipients.
    is_for_postmaster: bool,
    /// For the address at which reports are read.
    is_report: bool,
    /// Why a person is to look at it before it goes on.
    held: Option<String>,
    /// Octets of ours before what came.
    ours: usize,
    /// The header section as it came, where something of it was not stored.
    cut: Option<Cut>,
    /// What was found out about it.
    found: Box<Found>,
    /// Fields that say so.
    fields: Vec<u8>,
    /// What the guard of accounts wants beside the verdict.
    ruled: guard::Ruled,
}

enum Head {
    Collecting(HeaderCollector),
    Whole(Headers),
}

impl Inbound {
    fn refused(&self, at: &'static str, verdict: &Verdict, stage: Stage, address: Option<String>) {
        if let Some(reply) = verdict.reply() {
            let because = explain::explain(stage, verdict);
            self.note_refusal(at, reply, because, address);
        }
    }

    fn note_refusal(&self, at: &'static str, reply: &Reply, because: String, address: Option<String>) {
        self.server.emit(Event::Refused {
            at,
            reply: reply.clone().with_reference(self.trail.id),
            because,
            client: self.client.address,
            listener: self.client.listener,
            address: address.map(String::into_boxed_str),
        });
    }

    /// The addresses of an account, as they are now: what was taken from it since it logged in is gone.
    fn owned(&self, who: &Authenticated) -> Fact<OwnedAddresses> {
        self.server.owned_addresses(who.account())
    }

    /// Before the greeting. Lists say nothing of most clients, and then nothing more is done.
    fn connect(&mut self) -> Answer {
        let listed = self.server.lists.listed(self.client.address, self.client.listener, clock());
        if listed.is_empty() {
            return Answer::Pass;
        }
        let facts = ConnectFacts { client: &self.client, listed: &listed };
        let verdict = lists::judged(&self.server, &facts);
        self.points.of_session(&verdict);
        let answer = decide::answer(&verdict, None);
        if verdict.reply().is_some() && !lists::is_told(&self.server, &facts) {
            self.is_only_counted = true;
            return match answer {
                Answer::Refuse(reply) => Answer::Refuse(reply.with_client_as_reference(self.client.address)),
                Answer::Hangup(reply) => Answer::Hangup(reply.with_client_as_reference(self.client.address)),
                other => other,
            };
        }
        self.trail.judged(&self.client, Asked::Connect(&facts), &verdict);
        self.refused("CONNECT", &verdict, Stage::Connect, None);
        self.trail.referenced(answer)
    }

    fn ended(&mut self, at: &'static str, Ended(why): Ended) -> Answer {
        let reply = Reply::authority_ended(&self.live.hostname, why);
        self.trail.told(&self.client, at, &reply, why);
        self.note_refusal(at, &reply, why.to_owned(), None);
        Answer::Hangup(reply)
    }

    async fn sender(&mut self, from: &ReversePath, who: Option<Authenticated>, size: Option<u64>) -> Answer {
        // Asked before anything is judged: a full disk refuses early (RFC 1870 §6.1: 452).
        let because = match self.server.spool.check_room() {
            Err(outage) => Some((Reply::outage(&outage), outage.to_string())),
            // Held at the door, so that whatever was acknowledged can also be scheduled.
            Ok(()) if self.server.spool.len() >= live::messages_max(&self.live.config) => {
                Some((Reply::no_space(), "the queue is full: spool.messages_max".to_owned()))
            }
            Ok(()) => None,
        };
        let of = (&self.client, who.is_some());
        let because = because.or_else(|| self.dues.message(&self.server, &self.live, of, size).err());
        if let Some((reply, because)) = because {
            self.trail.told(&self.client, "MAIL", &reply, &because);
            self.note_refusal("MAIL", &reply, because, Some(from.to_string()));
            return Answer::Refuse(reply);
        }
        let dns = if who.is_some() {
            DnsSaid::default()
        } else {
            self.asking.sender(&self.server, &self.live, &self.client, from).await
        };
        // What an earlier transaction had reserved is given back first: it has ended, whatever became of it.
        self.reservation = None;
        let holder = match Holder::of(&self.server, &self.live, &self.client, who.as_ref()) {
            Ok(holder) => holder,
            Err(ended) => return self.ended("MAIL", ended),
        };
        let reserved = holder.as_ref().map(|holder| holder.reserve(&self.server, &self.live)).transpose();
        let full = reserved.as_ref().err().copied();
        scope::quota_full(&self.server, full);
        let scope = holder.as_ref().map(|holder| holder.scopes().sender(&self.client, from, size, full));
        let owned = who.as_ref().map(|who| self.owned(who));
        let identity = who.as_ref().zip(owned.as_ref()).map(|(who, owned)| Identity { who, owned });
        self.points.begin_transaction();
        let (client, earlier) = (&self.client, self.points.all());
        let listed = names::of_sender(&self.server, client, self.asking.helo(), from);
        self.sender_allowed = listed.iter().any(|listed| !listed.observed && listed.action == Action::Allow);
        let facts = SenderFacts { client, from, identity, size, scope: scope.as_ref(), earlier, dns: &dns, listed: &listed };
        let verdict = self.live.policy.sender(&facts);
        self.trail.judged(&self.client, Asked::Sender(&facts), &verdict);
        self.points.of_transaction(&verdict);
        if verdict.reply().is_none() {
            self.reservation = reserved.ok().flatten().map(Box::new);
        }
        self.refused("MAIL", &verdict, Stage::Sender, Some(from.to_string()));
        decide::answer(&verdict, None)
    }

    async fn recipient(&mut self, to: &Mailbox, from: &ReversePath, who: Option<&Authenticated>) -> Answer {
        if let Err((reply, because)) = self.dues.recipient(&self.server) {
            self.trail.told(&self.client, "RCPT", &reply, &because);
            self.note_refusal("RCPT", &reply, because, Some(to.to_string()));
            return Answer::Refuse(reply);
        }
        let holder = match Holder::of(&self.server, &self.live, &self.client, who) {
            Ok(holder) => holder,
            Err(ended) => return self.ended("RCPT", ended),
        };
        let before = self.reservation.as_ref().map_or(0, |reservation| reservation.recipients());
        let reserved = holder.as_ref().map_or(Ok(()), |holder| holder.recipient(&self.live, self.reservation.as_mut()));
        scope::quota_full(&self.server, reserved.err());
        let scope = holder.as_ref().map(|holder| holder.scopes().recipient(&self.client, to, reserved.err()));
        let listed = names::of_recipient(&self.server, &self.client, to);
        let hosted = match returns::hosted(&self.server, &self.live, to).await {
            Some(answer) => answer,
            None => call_ahead::hosted(&self.server, &self.live, to).await,
        };
        let (client, listed, points) = (&self.client, &*listed, self.points.all());
        let candidate = Candidate { client, is_account: who.is_some(), is_known: self.sender_allowed, to, listed, points };
        let greylist = match hosted {
            HostedAnswer::Exists => greylist::ask(&self.server, &self.live, candidate, (from, to)).await,
            _ => None,
        };
        let suppressed = match hosted {
            HostedAnswer::NotOurs => {
                suppression::ask(&self.server, &self.live, client.address, to, who.map(|who| &**who.account()))
            }
            _ => None,
        };
        let facts = RecipientFacts { client, to, who, scope: scope.as_ref(), listed, greylist, suppressed };
        let (verdict, admission) = self.live.policy.recipient(&facts, &hosted);
        self.trail.judged(&self.client, Asked::Recipient(&facts, &hosted), &verdict);
        if admission.is_some() {
            self.dues.admitted();
            self.points.of_transaction(&verdict);
        } else if let Some(reservation) = &mut self.reservation {
            reservation.keep_recipients(before);
        }
        if let Some(who) = who.filter(|_| verdict.decided_by().is_some_and(|finding| finding.rule == TRAP)) {
            Box::pin(guard::trapped(&self.server, &self.live, who.account(), to)).await;
        }
        self.refused("RCPT", &verdict, Stage::Recipient, Some(to.to_string()));
        decide::answer(&verdict, admission)
    }

    async fn login(
        &mut self,
        (mechanism, initial): (Mechanism, Option<Secret>),
        exporter: Option<Box<[u8; 32]>>,
        certificate: Option<Box<ClientCertificate>>,
    ) -> Answer {
        let offered_plus = self.live.config.auth.mechanisms.contains(&Mechanism::ScramSha256Plus) && exporter.is_some();
        let certificate = login::believed(&self.live.config, certificate, self.epoch);
        let start = Start { client: self.client.address, mechanism, initial, exporter, offered_plus, certificate };
        let (exchange, step) = self.server.authenticator.start(clock(), start).await;
        self.step(exchange, step)
    }

    async fn login_on(&mut self, response: Secret) -> Answer {
        let Some(mut exchange) = self.exchange.take() else { return Answer::Denied(None) };
        let step = exchange.next(clock(), &response).await;
        self.step(*exchange, step)
    }

    fn step(&mut self, exchange: Exchange, step: Step) -> Answer {
        match step {
            Step::Challenge(challenge) => {
                // Whatever the client does next, its token was denied now.
                if exchange.is_denied_within() {
                    self.denied(&exchange);
                }
                self.exchange = Some(Box::new(exchange));
                Answer::Challenge(challenge)
            }
            Step::Authenticated(who) => {
                if let Some((reply, because)) = scope::login_refused(&self.server, &self.client, &who) {
                    self.trail.login(&self.client, Some(who.account()), &because);
                    self.note_refusal("AUTH", &reply, because, Some(who.account().to_string()));
                    return Answer::Refuse(reply);
                }
                self.server.authenticator.at_home(clock(), self.client.address, who.account());
                self.watched.let_go();
                self.logged_in = Some(Box::new(who.clone()));
                tracing::info!(account = %who.account(), credential = %who.credential(), client = %self.client.address, session = %self.trail.id, "authenticated");
                self.trail.login(&self.client, Some(who.account()), "authenticated");
                Answer::Authenticated { who }
            }
            Step::Denied => {
                if !exchange.is_denied_within() {
                    self.denied(&exchange);
                }
                Answer::Denied(None)
            }
            Step::Refused(why) => {
                let user = exchange.user().map(str::to_owned);
                let (answer, reply) = auth_guard::unheard(why, &self.live.hostname);
                self.trail.login(&self.client, user.as_deref(), why.words());
                self.note_refusal("AUTH", &reply, why.words().to_owned(), user);
                answer
            }
            Step::Unavailable(why) => {
                let reply = Reply::authentication_unavailable();
                self.trail.login(&self.client, exchange.user(), why);
                self.note_refusal("AUTH", &reply, why.to_owned(), exchange.user().map(str::to_owned));
                Answer::Refuse(reply)
            }
        }
    }

    /// The client is told the same of each; here is what was wrong.
    fn denied(&mut self, exchange: &Exchange) {
        let because = exchange.why().unwrap_or("wrong credentials");
        self.trail.login(&self.client, exchange.user(), because);
        self.note_refusal("AUTH", &Reply::authentication_failed(), because.to_owned(), exchange.user().map(str::to_owned));
    }

    async fn judge_message(&mut self) -> Answer {
        match Box::pin(self.message()).await {
            Ok(verdict) => {
                let seal = if verdict.reply().is_none() { self.seal().await } else { None };
                self.mark(&verdict);
                if let (Some(seal), Some(Incoming { writer: Ok(writer), .. })) = (seal, self.message.as_deref_mut()) {
                    writer.put_in_front(seal.as_bytes());
                }
                decide::answer(&verdict, None)
            }
            Err(answer) => answer,
        }
    }

    /// What cannot be stored is no matter of judgement: committing will say it again, and this way the peer hears it from the right place.
    async fn message(&mut self) -> Result<Verdict, Answer> {
        let no_message = || Answer::Refuse(Reply::outage(&Outage::Bug("no message".to_owned())));
        let message = self.message.as_mut().ok_or_else(no_message)?;
        message.end_section(&self.live).await;
        let Incoming { envelope, trace, head: Head::Whole(headers), writer, ours, cut, .. } = &**message else {
            return Err(no_message());
        };
        let writer = writer.as_ref().map_err(|outage| {
            tracing::warn!(%outage, "a message could not be stored");
            Answer::Pass
        })?;
        let whole = examine::Whole { client: &self.client, envelope, trace, headers, writer, ours: *ours, cut: cut.as_ref() };
        let (found, fields) = match examine::examine(&self.server, &self.live, whole).await {
            Ok(found) => found,
            Err(outage) => {
                tracing::warn!(%outage, client = %self.client.address, "a message could not be looked at, and is not taken");
                // Told at its commit, as what could not be stored.
                message.writer = Err(outage);
                return Err(Answer::Pass);
            }
        };
        self.asking.watch(&self.server, &self.live, &self.client, &found.dns);
        let is_for_postmaster = message.is_for_postmaster;
        (*message.found, message.fields) = (Found { is_for_postmaster, ..found }, fields);
        if message.envelope.account.is_some() {
            message.ruled = Box::pin(guard::ask(&self.server, &self.live, &message.envelope, &mut message.found)).await;
        }
        let mut verdict = self.with_facts(|policy, _, facts| policy.message(facts))?;
        // Filters see what our own rules would take.
        if verdict.reply().is_none()
            && let Some(message) = &mut self.message
        {
            message.show_filters((&self.server, &self.live), &self.client, self.reservation.as_mut()).await;
            if !message.found.filters.is_empty() {
                verdict = self.with_facts(|policy, _, facts| policy.message(facts))?;
            }
        }
        let (server, live) = (Arc::clone(&self.server), Arc::clone(&self.live));
        self.with_facts(|_, trail, facts| {
            trail.judged(facts.client, Asked::Message(facts), &verdict);
            reports::note(&server, &live, (facts.client, facts.envelope, facts.headers), facts.found, &verdict);
        })?;
        if let Some(message) = &self.message {
            self.refused("DATA", &verdict, Stage::Message, Some(message.envelope.from.to_string()));
        }
        Ok(verdict)
    }

    /// What is known of the message, as rules and records are given it.
    fn with_facts<T>(&mut self, look: impl FnOnce(&Policy, &mut SessionTrail, &MessageFacts<'_>) -> T) -> Result<T, Answer> {
        let who = self.message.as_ref().and_then(|message| message.trace.who.clone());
        let holder = match Holder::of(&self.server, &self.live, &self.client, who.as_ref()) {
            Ok(holder) => holder,
            Err(ended) => return Err(self.ended("DATA", ended)),
        };
        let Self { server, live, client, points, trail, message, .. } = self;
        let Some(Incoming { envelope, head: Head::Whole(headers), size, found, .. }) = message.as_deref() else {
            return Err(Answer::Refuse(Reply::outage(&Outage::Bug("no message".to_owned()))));
        };
        let (client, size, earlier) = (&*client, *size, points.all());
        let scope = holder.as_ref().map(|holder| holder.scopes().message(client, headers, size));
        let owned = who.as_ref().map(|who| server.owned_addresses(who.account()));
        let identity = who.as_ref().zip(owned.as_ref()).map(|(who, owned)| Identity { who, owned });
        let facts = MessageFacts { client, envelope, identity, headers, size, scope: scope.as_ref(), earlier, found };
        Ok(look(&live.policy, trail, &facts))
    }

    /// Of mail of strangers that goes on, as filters have left it.
    async fn seal(&self) -> Option<String> {
        let message = self.message.as_deref().filter(|message| message.is_strangers)?;
        let writer = message.writer.as_ref().ok()?;
        Box::pin(sealing::seal(&self.live, &message.envelope, &message.fields, (writer, message.ours))).await
    }

    /// What the verdict does to a message that is taken: held, marked for whoever reads it.
    fn mark(&mut self, verdict: &Verdict) {
        let Some(message) = &mut self.message else { return };
        if verdict.decision() == Decision::Hold {
            message.held = verdict.decided_by().map(|finding| format!("{}: {}", finding.rule, finding.because));
        }
        let Ok(writer) = &mut message.writer else { return };
        writer.put_in_front(&message.fields);
        if message.is_strangers
            && let Some(marks) = self.live.policy.marks(self.points.all(), verdict)
        {
            writer.put_in_front(&marks);
        }
    }
}

impl Head {
    fn finish(&mut self) {
        if let Self::Collecting(collector) = self {
            *self = Self::Whole(mem::take(collector).finish());
        }
    }
}

impl Incoming {
    /// The octets to write for this piece; empty while a submission's header section is incomplete.
    fn take(&mut self, piece: &[u8], hostname: &str) -> Option<Vec<u8>> {
        if let Head::Collecting(collector) = &mut self.head {
            collector.push(piece);
            if !collector.wants_more() {
                self.head.finish();
            }
            self.section.extend_from_slice(piece);
            return matches!(self.head, Head::Whole(_)).then(|| self.complete_section(hostname));
        }
        if self.trace_header.is_empty() {
            return None;
        }
        let mut joined = mem::take(&mut self.trace_header);
        joined.extend_from_slice(piece);
        Some(joined)
    }

    /// RFC 6409 §8.2, §8.3: a submission server adds the Date and the Message-ID that a program left out. RFC 5321 §6.4: only there;
    /// what a server passes on it leaves as it is.
    fn complete_section(&mut self, hostname: &str) -> Vec<u8> {
        let submitted_and_unwritten = self.trace.who.is_some() && !self.trace_header.is_empty();
        let mut whole = mem::take(&mut self.trace_header);
        if let (Head::Whole(headers), Ok(writer)) = (&self.head, &self.writer)
            && submitted_and_unwritten
            && headers.fault().is_none()
        {
            if headers.count("Date") == 0 {
                whole.extend_from_slice(format!("Date: {}\r\n", MailDate(self.envelope.received)).as_bytes());
            }
            if headers.count("Message-ID") == 0 {
                whole.extend_from_slice(format!("Message-ID: <{}@{hostname}>\r\n", writer.id()).as_bytes());
            }
        }
        let came = mem::take(&mut self.section);
        let Head::Whole(headers) = &self.head else { return whole };
        let left = if self.is_strangers {
            headers.without(&came, |field| score::MARKS.iter().any(|mark| field.is(mark)))
        } else {
            Cow::Borrowed(&*came)
        };
        let left = auth_results::without_ours(hostname, left);
        whole.extend_from_slice(&left);
        if left.len() < came.len() {
            self.cut = Some(Cut { stored: left.len(), came });
        }
        whole
    }

    /// A section that no empty line ended is one all the same.
    async fn end_section(&mut self, live: &Live) {
        self.head.finish();
        let rest = self.complete_section(&live.hostname);
        if !rest.is_empty() {
            self.write(&rest).await;
        }
    }

    /// Filters see the message as it will be stored, but for our trace header.
    async fn show_filters(
        &mut self,
        (server, live): (&Server, &Live),
        client: &ClientFacts,
        reservation: Option<&mut Box<Reservation>>,
    ) {
        let Ok(writer) = &mut self.writer else { return };
        let (trace, ours, found) = (&self.trace, self.ours, &self.found);
        let recipients = filters::Recipients { envelope: &mut self.envelope, named: &mut self.named, reservation };
        match Box::pin(filters::ask(server, live, filters::Whole { client, recipients, trace, writer, ours, found })).await {
            Ok(said) => self.found.filters = said,
            Err(outage) => self.writer = Err(outage),
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        if let Ok(open) = &mut self.writer
            && let Err(outage) = open.write(bytes).await
        {
            self.writer = Err(outage);
        }
    }
}

impl Host for Inbound {
    async fn ask(&mut self, question: Question) -> Answer {
        let answer = match question {
            // Has its reference already, where it leads to something.
            Question::Connect => return self.connect(),
            Question::Hello(name) => {
                self.server.bans.hello(clock(), self.client.address, &name);
                self.asking.hello(&self.server, &self.live, &self.client, &name);
                self.trail.hello(name);
                Answer::Pass
            }
            Question::Sender { from, who, size } => Box::pin(self.sender(&from, who, size)).await,
            Question::Recipient { to, from, who } => Box::pin(self.recipient(&to, &from, who.as_ref())).await,
            Question::Message => self.judge_message().await,
            // Boxed: only a few connections ever log in, and the rest should not carry the room for it.
            Question::AuthStart { mechanism, initial, exporter, certificate } => {
                Box::pin(self.login((mechanism, initial), exporter, certificate)).await
            }
            Question::AuthNext(response) => Box::pin(self.login_on(response)).await,
            // Who was denied before it gave up was denied.
            Question::AuthAbort => match self.exchange.take() {
                Some(exchange) if exchange.is_denied_within() => Answer::Denied(None),
                _ => Answer::Pass,
            },
        };
        self.trail.referenced(answer)
    }

    /// What the protocol itself refuses, such as a command out of order, is written down here; what was asked about has its reference.
    fn refusing(&mut self, reply: Reply) -> Reply {
        if reply.has_reference() {
            return reply;
        }
        if self.is_only_counted {
            return reply.with_client_as_reference(self.client.address);
        }
        self.trail.told(&self.client, "SESSION", &reply, "refused by the protocol, not by a rule");
        reply.with_reference(self.trail.id)
    }

    fn open(&mut self, envelope: Box<Envelope>, trace: Box<TraceFacts>) {
        let (mut envelope, trace) = (*envelope, *trace);
        envelope.received = clock();
        envelope.client = Some(self.client.address);
        if envelope.account.is_none() {
            envelope.account = self.live.policy.network_account(self.client.address);
        }
        scope::settle(self.reservation.as_mut(), &envelope);
        let is_for_postmaster = postern_policy::facts::is_for_postmaster(&envelope);
        let is_report = reports::received::is_read(&self.live.config, &envelope);
        let named = routing::expand_aliases(&mut envelope, &self.live.config);
        let writer = self.server.spool.begin();
        let mut trace_header = Vec::with_capacity(512);
        if let Ok(writer) = &writer {
            let only = match envelope.recipients.as_slice() {
                [one] => Some(one.address()),
                _ => None,
            };
            let tls = trace.tls.as_ref();
            Received {
                helo: &trace.helo,
                client: if trace.who.is_none() { Some(self.client.address) } else { None },
                by: &self.live.hostname,
                with: protocol(trace.esmtp, tls.is_some(), trace.who.is_some(), envelope.smtputf8),
                tls: tls.map(|tls| (tls.version, &*tls.cipher)),
                id: writer.id(),
                only_recipient: only,
                at: envelope.received,
            }
            .write(&mut trace_header);
        }
        let head = Head::Collecting(HeaderCollector::new());
        // An account's name stands in the envelope, that of a relay network too.
        let is_strangers = envelope.account.is_none() && !self.live.policy.trusts(self.client.address);
        self.message = Some(Box::new(Incoming {
            envelope,
            named,
            trace,
            writer,
            head,
            ours: trace_header.len(),
            trace_header,
            section: Vec::new(),
            size: 0,
            is_strangers,
            is_for_postmaster,
            is_report,
            held: None,
            cut: None,
            found: Box::default(),
            fields: Vec::new(),
            ruled: guard::Ruled::default(),
        }));
    }

    async fn body(&mut self, piece: &[u8]) {
        self.dues.received(piece.len());
        let Some(message) = &mut self.message else { return };
        message.size = message.size.saturating_add(piece.len() as u64);
        match message.take(piece, &self.live.hostname) {
            Some(joined) => message.write(&joined).await,
            None if message.section.is_empty() => message.write(piece).await,
            None => {}
        }
    }

    async fn commit(&mut self) -> Result<Committed, Outage> {
        // Taken first: whatever becomes of the message, nothing stays reserved for it.
        let reservation = self.reservation.take();
        let Some(message) = self.message.take() else { return Err(Outage::Bug("commit without a message".to_owned())) };
        let mut message = *message;
        message.head.finish();
        // A body that is empty, or nothing but a header section, has left this unwritten.
        let rest = message.complete_section(&self.live.hostname);
        let Incoming { envelope, writer, size, held, is_report, ruled, ours, .. } = message;
        let mut writer = writer?;
        if let Some(reason) = &held {
            writer.hold(reason);
        }
        if let Some(due) = ruled.not_before {
            writer.not_before(due);
        }
        if !rest.is_empty() {
            writer.write(&rest).await?;
        }
        let report = match is_report {
            true => Some(Box::pin(reports::received::look(&self.server, &self.live, (&writer, ours), held.is_some())).await),
            false => None,
        };
        let counted = scope::count(reservation).await?;
        let committed = match writer.commit(&envelope).await {
            Ok(committed) => committed,
            Err(outage) => {
                if let Some(counted) = counted {
                    counted.take_back();
                }
                return Err(outage);
            }
        };
        self.dues.settle(&self.server);
        self.asking.accepted(&self.server);
        self.trail.accepted(&self.server, &self.client, committed.id());
        self.server.accepted(committed.id(), envelope, size, (held, ruled.not_before)).await;
        if let Some(report) = report {
            reports::received::count(&self.server, report);
        }
        // What it means for its account is carried out when this is let go, and not before here.
        drop(ruled);
        Ok(committed)
    }

    fn discard(&mut self) {
        self.message = None;
        self.reservation = None;
    }

    fn revoked(&mut self) -> Option<Revocation> {
        let who = *self.logged_in.take()?;
        Some(scope::revocation(Arc::clone(&self.server), Arc::clone(&self.live.hostname), self.client.clone(), who))
    }

    fn cut_off(&mut self) -> Option<oneshot::Receiver<Reply>> {
        self.watched.waiting()
    }
}

/// Begins sessions for the listeners.
pub(crate) struct Gate(pub Arc<Server>);

impl Conversations for Gate {
    type Machine = Session;
    type Host = Inbound;

    fn door(&self, client: &ClientFacts) -> Door {
        match bans::door(&self.0, client) {
            Door::Open => match strangers::door(&self.0, client) {
                Door::Open => lists::door(&self.0, client),
                shut => shut,
            },
            shut => shut,
        }
    }

    fn begin(&self, client: &ClientFacts) -> (Session, Inbound) {
        let live = self.0.live.load_full();
        let session = Session::new(live.session(client.listener), client.clone());
        let trail = SessionTrail::begin(&self.0, &live);
        let epoch = self.0.tls.epoch();
        let (server, watched) = (Arc::clone(&self.0), self.0.bans.watch(clock(), client.address));
        let inbound = Inbound {
            server,
            live,
            client: client.clone(),
            epoch,
            exchange: None,
            message: None,
            reservation: None,
            logged_in: None,
            dues: Dues::default(),
            points: Gathered::default(),
            asking: Asking::default(),
            sender_allowed: false,
            trail,
            watched,
            is_only_counted: false,
        };
        (session, inbound)
    }

    fn pump_settings(&self) -> Arc<PumpSettings> {
        Arc::clone(&self.0.live.load().pump)
    }

    fn tls(&self, kind: ListenerKind) -> Option<Arc<ServerConfig>> {
        Some(self.0.tls.of(kind))
    }

    fn hostname(&self) -> Arc<str> {
        Arc::clone(&self.0.live.load().hostname)
    }

    fn greeting_delay(&self) -> Duration {
        self.0.live.load().config.limits.greeting_delay
    }

    fn turned_away(&self, client: &ClientFacts, why: &'static str) {
        self.0.metrics.turned_away(why);
        tracing::debug!(client = %client.address, listener = %client.listener, why, "turned away");
    }

    fn ended(&self, client: &ClientFacts, how: HowEnded) {
        let how = match how {
            HowEnded::Closed => "closed",
            HowEnded::Gone => "client gone",
            HowEnded::TimedOut => "timed out",
            HowEnded::HandshakeFailed => "TLS handshake failed",
            HowEnded::CertificateRefused(why) => {
                tracing::info!(client = %client.address, listener = %client.listener, why, "a client's certificate is refused");
                "client certificate refused"
            }
            HowEnded::CutOff => "banned",
            HowEnded::HandshakeRefused => "handshakes_per_minute_per_address",
            HowEnded::TooManyBytes => "bytes_per_connection",
        };
        self.0.metrics.ended(how);
        tracing::debug!(client = %client.address, listener = %client.listener, how, "connection ended");
    }

    fn behaved(&self, client: &ClientFacts, conduct: Conduct) {
        strangers::behaved(&self.0, client, conduct);
    }
}
