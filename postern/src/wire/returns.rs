//! What comes back to us late. Mail of accounts leaves with a sender of its own for each recipient, where that is switched on; reports and complaints
//! that name it teach suppression, and go on to whoever sent it.
//!
//! Promise: a token that was not made here is refused at RCPT; what comes to a right one is handed on whatever can be read of it; and only what a
//! host says of the very recipient of the token is held against him.

use std::io;
use std::sync::Arc;

use postern_config::{Config, Resolution};
use postern_delivery::{BodyPieces, BodySource, BoxFuture, InlinePieces, Message, NextHop};
use postern_mail::attempt::{Attempt, Destination};
use postern_mail::outcome::Evidence;
use postern_mail::return_token::{RETURN_TOKEN_FIELD, ReturnToken};
use postern_mail::suppression::{Cause, folded};
use postern_mail::trouble::Outage;
use postern_mail::{Domain, Envelope, Mailbox, Outcome, Quoted, Recipient, ReversePath, Scope, Status, TlsSession};
use postern_outcome::bounce::{Advice, classify};
use postern_policy::facts::HostedAnswer;
use postern_reports::{Complaint, Limits, Report, Told, read, read_dsn};
use postern_spool::Stored;
use postern_state::{ReturnSettings, Sent};

use crate::wire::{Live, Server, clock, guard, live, report, suppression};

/// Octets of a report that are looked at; what it returns of our message need not be whole.
const READ_BYTES_MAX: usize = 1 << 20;

/// How much is kept.
fn settings(config: &Config) -> ReturnSettings {
    let own = &config.outbound.verp;
    ReturnSettings { good_for: own.good_for, entries_max: live::number(own.entries_max) }
}

/// The domain of the senders of this sender's mail: one that is hosted here, since reports have to come back.
fn domain_of<'a>(config: &'a Config, from: &'a Mailbox) -> Option<&'a Domain> {
    let domain = config.outbound.verp.domain.as_ref().or(from.domain())?;
    config.domain(domain).map(|hosted| &hosted.name)
}

fn find(server: &Server, live: &Live, token: ReturnToken) -> impl Future<Output = Result<Option<Sent>, String>> + use<> {
    let (returns, settings, now) = (Arc::clone(&server.returns), settings(&live.config), clock());
    async move {
        let found = tokio::task::spawn_blocking(move || returns.find(now, &settings, &token)).await;
        found.map_err(|error| error.to_string())?.map_err(|failure| failure.to_string())
    }
}

/// At RCPT: what there is to say of an address with a token; none for every other address. Asked also where no mail leaves with tokens any more, for
/// what is still to come back.
pub(crate) async fn hosted(server: &Server, live: &Live, to: &Mailbox) -> Option<HostedAnswer> {
    let token = ReturnToken::of(to)?;
    live.config.domain_of(to)?;
    Some(match Box::pin(find(server, live, token)).await {
        // Whoever had it has gone: nobody would hear of what comes.
        Ok(Some(sent)) if report::leads_nowhere(&live.config, &sent.from) => HostedAnswer::Unknown,
        Ok(Some(_)) => HostedAnswer::Exists,
        Ok(None) => HostedAnswer::Unknown,
        Err(error) => {
            tracing::error!(error, "it cannot be looked up who an address with a token is for");
            HostedAnswer::Unavailable(Outage::Service("the store could not be read".to_owned()))
        }
    })
}

/// A body with a field before it.
struct Marked<'a> {
    field: Vec<u8>,
    body: &'a dyn BodySource,
}

struct MarkedPieces<'a> {
    field: Option<InlinePieces<'a>>,
    rest: Box<dyn BodyPieces + 'a>,
}

impl BodySource for Marked<'_> {
    fn size(&self) -> u64 {
        self.body.size() + self.field.len() as u64
    }

    fn open(&self) -> BoxFuture<'_, io::Result<Box<dyn BodyPieces + '_>>> {
        Box::pin(async move {
            let rest = self.body.open().await?;
            Ok(Box::new(MarkedPieces { field: Some(InlinePieces::of(&self.field)), rest }) as Box<dyn BodyPieces + '_>)
        })
    }
}

impl BodyPieces for MarkedPieces<'_> {
    fn append_next<'a>(&'a mut self, into: &'a mut Vec<u8>) -> BoxFuture<'a, io::Result<usize>> {
        Box::pin(async move {
            match self.field.take() {
                Some(mut field) => field.append_next(into).await,
                None => self.rest.append_next(into).await,
            }
        })
    }
}

/// Hands a message to its next hop: with a token for each recipient where it is to have one, else as it is.
pub(crate) async fn deliver(
    server: &Server,
    live: &Live,
    attempt: &Attempt,
    (hop, stored): (&NextHop, &Stored),
    (message, told): (Message<'_>, &mut Vec<TlsSession>),
) -> Vec<Outcome> {
    let envelope = &stored.envelope;
    let own_mail = live.config.outbound.verp.enabled && !matches!(attempt.destination, Destination::Hosted(_));
    let sender = envelope.account.as_ref().zip(envelope.from.mailbox()).filter(|_| own_mail);
    let Some((account, from, domain)) = sender.and_then(|(account, from)| Some((account, from, domain_of(&live.config, from)?)))
    else {
        return live.delivery.deliver_and_tell(hop, message, told).await;
    };
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(message.recipients.len());
    for one in message.recipients {
        // What one met at the door the others would meet as well, each with a connection of its own.
        if let Some(met @ Outcome::Deferred { scope: Scope::Host | Scope::Destination, .. }) = outcomes.last() {
            let met = met.clone();
            outcomes.resize(message.recipients.len(), met);
            break;
        }
        let only = std::slice::from_ref(one);
        let sent = Sent { from: from.clone(), account: Arc::clone(account), to: one.address().clone(), at: clock() };
        let place = envelope.recipients.iter().position(|other| other == one).and_then(|place| u16::try_from(place).ok());
        let token = match place {
            Some(place) => token(server, live, (message, place), sent).await,
            None => None,
        };
        let marked = token.and_then(|token| Some((token, token.at(domain)?)));
        outcomes.extend(match marked {
            Some((token, address)) => {
                let envelope = Envelope { from: ReversePath::Mailbox(address), ..message.envelope.clone() };
                let body = Marked { field: format!("{RETURN_TOKEN_FIELD}: {token}\r\n").into_bytes(), body: message.body };
                let message = Message { id: message.id, envelope: &envelope, recipients: only, body: &body };
                live.delivery.deliver_and_tell(hop, message, told).await
            }
            None => live.delivery.deliver_and_tell(hop, Message { recipients: only, ..message }, told).await,
        });
    }
    outcomes
}

/// The token of a recipient, once it is kept what it stands for.
async fn token(server: &Server, live: &Live, (message, place): (Message<'_>, u16), sent: Sent) -> Option<ReturnToken> {
    let (returns, settings, id) = (Arc::clone(&server.returns), settings(&live.config), message.id);
    let kept = tokio::task::spawn_blocking(move || {
        returns.keep(&settings, (id, place), &sent).map(|()| returns.token(id, place)).map_err(|failure| failure.to_string())
    });
    match kept.await.map_err(|error| error.to_string()).and_then(|kept| kept) {
        Ok(token) => Some(token),
        Err(error) => {
            tracing::error!(id = %message.id, error, "a message leaves without a token, since what it stands for could not be written");
            None
        }
    }
}

/// The address of complaints, or whoever has its mail.
fn is_for_complaints(config: &Config, to: &Mailbox) -> bool {
    let Some(at) = &config.reports.complaints_at else { return false };
    let has_it = match config.resolve(at) {
        Some(Resolution::Deliver(own)) => own == *to,
        Some(Resolution::Alias(targets)) => targets.contains(to),
        _ => false,
    };
    has_it || folded(at) == folded(to)
}

/// Looks at what is for recipients of ours: what came to a token is handed on and has its outcome here, a complaint is read; the rest is for others.
pub(crate) async fn take(server: &Arc<Server>, live: &Live, stored: &Stored, recipients: &[Recipient]) -> Vec<Option<Outcome>> {
    let mut outcomes = Vec::with_capacity(recipients.len());
    for to in recipients.iter().map(Recipient::address) {
        let is_ours = live.config.domain_of(to).is_some();
        let token = ReturnToken::of(to).filter(|_| is_ours);
        if is_for_complaints(&live.config, to) {
            complaints(server, live, stored).await;
        }
        outcomes.push(match token {
            Some(token) => Some(came_back(server, live, stored, token).await),
            None => None,
        });
    }
    outcomes
}

fn deferred(why: &str) -> Outcome {
    let evidence = Evidence { by: "".into(), text: why.into() };
    Outcome::Deferred { scope: Scope::Message, status: Status::new(4, 3, 0), evidence }
}

async fn came_back(server: &Arc<Server>, live: &Live, stored: &Stored, token: ReturnToken) -> Outcome {
    let sent = match find(server, live, token).await {
        Ok(Some(sent)) => sent,
        Ok(None) => {
            let evidence = Evidence { by: "".into(), text: "whom it is for has been forgotten in the meantime".into() };
            return Outcome::Bounced { scope: Scope::Recipient, status: Status::new(5, 1, 1), evidence };
        }
        Err(error) => return deferred(&error),
    };
    let octets = match report::start_of(&stored.body, READ_BYTES_MAX).await {
        Ok(octets) => octets,
        Err(outage) => return deferred(&outage.to_string()),
    };
    match report::hand_on(server, live, stored, &sent.from).await {
        Ok(to) => {
            // Behind it: what could not be handed on is tried again, and would count as a second bounce.
            learn(server, live, &sent, &token, read_dsn(&octets)).await;
            let text = to.map_or("nobody here has the sender's address any more".to_owned(), |id| format!("handed on as {id}"));
            Outcome::Delivered { evidence: Evidence { by: "".into(), text: text.into() }, dsn_passed_on: false }
        }
        Err(outage) => deferred(&outage.to_string()),
    }
}

/// What a report says of the recipient of the token, and not of somebody he has his mail sent on to.
async fn learn(server: &Arc<Server>, live: &Live, sent: &Sent, token: &ReturnToken, told: Vec<Told>) {
    let is_his = |address: &str| Mailbox::parse(address).is_ok_and(|address| folded(&address) == folded(&sent.to));
    for one in told.iter().filter(|one| one.action == "failed") {
        if !is_his(&one.final_recipient) && !is_his(&one.original_recipient) {
            continue;
        }
        let status = Status::parse_prefix(&one.status).map(|(status, _)| status);
        let found = classify(None, status, &one.diagnostic);
        server.metrics.bounced(found.cause.name());
        if found.advice() == Advice::Suppress {
            let evidence = format!("{}: reported later: {} {}", token.id, one.status, one.diagnostic);
            suppression::bounced(server, live, &sent.to, &evidence).await;
        }
        // One report is one bounce, however often it says so.
        return;
    }
}

/// Complaints (RFC 5965): whoever complains about a message of an account gets no more of it.
async fn complaints(server: &Arc<Server>, live: &Live, stored: &Stored) {
    let octets = match report::start_of(&stored.body, READ_BYTES_MAX).await {
        Ok(octets) => octets,
        Err(outage) => return tracing::warn!(%outage, "a complaint could not be read"),
    };
    let limits = Limits { octets_max: READ_BYTES_MAX, ..Limits::default() };
    for found in read(&octets, &limits).unwrap_or_default() {
        let Report::Complaint(complaint) = found else { continue };
        // RFC 5965 §7.3, RFC 6591: these two complain about nobody's mail.
        if matches!(complaint.feedback_type.as_str(), "not-spam" | "auth-failure") {
            continue;
        }
        match token_of(&complaint) {
            Some(token) => complained(server, live, &complaint, token).await,
            None => tracing::info!(
                from = %Quoted::text(&complaint.user_agent),
                "a complaint has no token of ours, so it is not known whom it is from"
            ),
        }
    }
}

/// Where the provider left it: the field of the message, or the sender it came with.
fn token_of(complaint: &Complaint) -> Option<ReturnToken> {
    let of_address = |text: &str| ReturnToken::of(&Mailbox::parse(text.trim_matches(['<', '>', ' '])).ok()?);
    complaint
        .return_token
        .parse()
        .ok()
        .or_else(|| of_address(&complaint.mail_from))
        .or_else(|| of_address(&complaint.return_path))
}

async fn complained(server: &Arc<Server>, live: &Live, complaint: &Complaint, token: ReturnToken) {
    match find(server, live, token).await {
        Ok(Some(sent)) => {
            tracing::warn!(id = %token.id, account = %sent.account, to = %Quoted::text(&sent.to.to_string()), "somebody complained about mail of an account");
            let kind = &complaint.feedback_type;
            let evidence = format!("{}: {kind}, told by {}", token.id, complaint.user_agent);
            let why = (Cause::Complained, evidence.as_str());
            // A complaint that is read again, since the mail with it is tried again or came twice, is no second one.
            if suppression::asked_for_no_more(server, live, (&sent.to, &sent.account), why).await {
                guard::complained(server, live, &sent.account, &sent.to).await;
            }
        }
        Ok(None) => tracing::warn!(token = %token, "a complaint has a token that was not made here, or is too old"),
        Err(error) => tracing::error!(error, "a complaint could not be looked up"),
    }
}
