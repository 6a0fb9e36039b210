//! Filters of others at the end of data: what they are told, and what they change. Promise: a recipient that a filter adds is admitted by the
//! same rules as one that a client names, a message never loses its last recipient to a filter, and what a filter cannot be given is said in
//! the log.

use std::collections::BTreeSet;

use postern_filters::{Change, Filters, Settings, Told};
use postern_mail::envelope::DsnRequest;
use postern_mail::fact::ClientFacts;
use postern_mail::filter::FilterSaid;
use postern_mail::{Envelope, Mailbox, Mode, Outage, Quoted, Recipient, ReversePath, Secret};
use postern_policy::Directory as _;
use postern_policy::facts::RecipientFacts;
use postern_policy::rules::filters::FILTER;
use postern_smtp::machine::TraceFacts;
use postern_spool::Writer;

use crate::wire::Live;
use crate::wire::directory::Directory;

/// The filters of a configuration.
///
/// # Errors
/// In words, for the operator: a password cannot be read.
pub(crate) fn of(config: &postern_config::Config) -> Result<Filters, String> {
    let policy = &config.policy;
    let with_password = |one: &postern_config::Rspamd| {
        let password = one.password_file.as_ref().map(|path| {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<_, String>(Secret::new(text.lines().next().unwrap_or_default().as_bytes().to_vec()))
        });
        Ok::<_, String>((one.clone(), password.transpose()?))
    };
    Ok(Filters::new(&Settings {
        clamav: policy.clamav.clone(),
        rspamd: policy.rspamd.iter().map(with_password).collect::<Result<_, _>>()?,
        milters: policy.milters.clone(),
        message_bytes_max: usize::try_from(config.limits.message_size.0).unwrap_or(usize::MAX),
    }))
}

/// A message that is all there.
pub(crate) struct Whole<'a> {
    pub(crate) client: &'a ClientFacts,
    pub(crate) envelope: &'a mut Envelope,
    pub(crate) trace: &'a TraceFacts,
    pub(crate) writer: &'a mut Writer,
    /// Octets of ours before what came.
    pub(crate) ours: usize,
}

/// Asks the filters that want to see it, and changes it as they want.
///
/// # Errors
/// As the spool says: the message cannot be read back, or not be written as it was changed.
pub(crate) async fn ask(live: &Live, whole: Whole<'_>) -> Result<Vec<FilterSaid>, Outage> {
    let Whole { client, envelope, trace, writer, ours } = whole;
    let mode = live.policy.modes.of(FILTER);
    if mode == Mode::Off || !live.filters.want(client.listener, writer.size()) {
        return Ok(Vec::new());
    }
    let mut recipients: Vec<Mailbox> = envelope.recipients.iter().map(|to| to.address().clone()).collect();
    let mut seen = BTreeSet::new();
    recipients.retain(|to| seen.insert(to.to_string()));
    let id = writer.id().to_string();
    let helo = trace.helo.to_string();
    // What came, what a filter makes of it, and what is sent to it.
    let _room = live.memory.room(writer.size().saturating_mul(3)).await?;
    let written = writer.read_back(usize::MAX).await?;
    let (front, message) = written.split_at_checked(ours).unwrap_or((&[], &written));
    let told = Told {
        hostname: &live.hostname,
        id: &id,
        client: client.address,
        port: client.port,
        client_name: None,
        listener: client.listener,
        helo: &helo,
        tls: trace.tls.as_ref().map(|tls| (tls.version, &*tls.cipher)),
        account: envelope.account.as_deref(),
        from: &envelope.from,
        recipients: &recipients,
        message,
    };
    let came = live.filters.ask(&told).await;
    if mode == Mode::Observe {
        return Ok(came.said);
    }
    let rewritten = came.message.map(|message| [front, &message].concat());
    drop(written);
    if let Some(rewritten) = rewritten {
        writer.rewrite(&rewritten).await?;
    }
    for change in &came.changes {
        change_envelope(live, client, (envelope, trace), change);
    }
    Ok(came.said)
}

/// `<a@b>` with whatever parameters behind it.
fn in_brackets(text: &str) -> &str {
    text.trim().strip_prefix('<').and_then(|rest| rest.split('>').next()).unwrap_or(text.trim())
}

fn change_envelope(live: &Live, client: &ClientFacts, (envelope, trace): (&mut Envelope, &TraceFacts), change: &Change) {
    let not_done = |what: &str, text: &str| {
        tracing::warn!(client = %client.address, address = %Quoted::text(text), "a filter {what}, which is not done");
    };
    match change {
        Change::From(text) => match in_brackets(text) {
            "" => envelope.from = ReversePath::Null,
            address => match Mailbox::parse(address) {
                Ok(mailbox) => envelope.from = ReversePath::Mailbox(mailbox),
                Err(_) => not_done("wants a sender that is no address", text),
            },
        },
        Change::RemoveRecipient(text) => {
            let Ok(mailbox) = Mailbox::parse(in_brackets(text)) else { return };
            if envelope.recipients.iter().all(|to| *to.address() == mailbox) {
                return not_done("takes away the last recipient", text);
            }
            envelope.recipients.retain(|to| *to.address() != mailbox);
        }
        Change::AddRecipient(text) => {
            let Ok(to) = Mailbox::parse(in_brackets(text)) else {
                return not_done("adds a recipient that is no address", text);
            };
            if envelope.recipients.iter().any(|there| *there.address() == to) {
                return;
            }
            let facts = RecipientFacts { client, to: &to, who: trace.who.as_ref(), scope: None, listed: &[], greylist: None };
            let hosted = Directory(&live.config).hosted(&to);
            match live.policy.recipient(&facts, &hosted).1 {
                Some(admission) if envelope.recipients.len() < RECIPIENTS_MAX => {
                    let added = Recipient::admitted(to, &admission, DsnRequest::default());
                    let mut alone = Envelope { recipients: vec![added], ..envelope.clone() };
                    crate::wire::routing::expand_aliases(&mut alone, &live.config);
                    envelope.recipients.append(&mut alone.recipients);
                }
                _ => not_done("adds a recipient that the client could not have named", text),
            }
        }
        Change::Add { .. } | Change::Insert { .. } | Change::Replace { .. } | Change::RemoveAll { .. } | Change::Body(_) => {}
    }
}

/// Recipients of a message that filters add to.
const RECIPIENTS_MAX: usize = 10_000;
