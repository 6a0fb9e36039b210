//! Puts a delivery report into the spool, like any other message. RFC 5321 §3.6.3, §4.5.5, RFC 3461 §6.1: with the null sender, so
//! that it never causes another.

use postern_config::{Config, Resolution};
use postern_mail::envelope::BodyKind;
use postern_mail::trouble::Outage;
use postern_mail::{Envelope, Mailbox, MessageId, Recipient, ReversePath};
use postern_outcome::{Original, ReportDue, Reporter, Returned};
use postern_spool::{Body, Stored};
use rustls::crypto::aws_lc_rs::default_provider;

use crate::wire::{Live, Server, clock};

/// Header sections longer than this are cut in a report.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Reads the start of a body, at most `bytes_max` octets.
pub(crate) async fn start_of(body: &Body, bytes_max: usize) -> Result<Vec<u8>, Outage> {
    let mut pieces = match body {
        Body::Inline(whole) => return Ok(whole.get(..bytes_max.min(whole.len())).unwrap_or_default().to_vec()),
        Body::File(file) => file.from_start(),
    };
    let mut start = Vec::new();
    while start.len() < bytes_max {
        match pieces.next_piece().await {
            Ok(Some(piece)) => start.extend_from_slice(&piece),
            Ok(None) => break,
            Err(error) => return Err(Outage::Disk(error.to_string())),
        }
    }
    start.truncate(bytes_max);
    Ok(start)
}

pub(crate) fn seed() -> u64 {
    let mut bytes = [0; 8];
    // The generator of the operating system; it fails at no time after boot. A boundary of zeros would still be a boundary.
    let _ = default_provider().secure_random.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Who gets a report that goes to `to`. In a domain of ours that is whoever gets other mail to this address, and nobody when the address is
/// nobody's: anyone can write anything into MAIL FROM, and must not make mailboxes here with it.
fn recipients(config: &Config, to: &Mailbox) -> Vec<Recipient> {
    let report = |mailbox: &Mailbox| Recipient::of_report(mailbox.clone());
    match config.resolve(to) {
        None | Some(Resolution::Unavailable) => vec![report(to)],
        Some(Resolution::Deliver(own)) => vec![report(&own)],
        Some(Resolution::Alias(targets)) => targets.iter().map(report).collect(),
        Some(Resolution::Unknown) => Vec::new(),
    }
}

/// True for an address of ours that nobody has.
pub(crate) fn leads_nowhere(config: &Config, to: &Mailbox) -> bool {
    recipients(config, to).is_empty()
}

/// Stores a report of another kind, which is about no message of the queue: from an address of ours, and nobody is told when it cannot be delivered.
/// Durable when this returns.
///
/// # Errors
/// The spool's.
pub(crate) async fn put(
    server: &Server,
    live: &Live,
    (from, to): (&Mailbox, &[Mailbox]),
    octets: &[u8],
) -> Result<Option<MessageId>, Outage> {
    let recipients: Vec<Recipient> = to.iter().flat_map(|one| recipients(&live.config, one)).collect();
    if recipients.is_empty() {
        return Ok(None);
    }
    let mut writer = server.spool.begin()?;
    writer.write(octets).await?;
    let envelope = Envelope {
        from: ReversePath::Mailbox(from.clone()),
        recipients,
        body: if octets.is_ascii() { BodyKind::SevenBit } else { BodyKind::EightBitMime },
        smtputf8: to.iter().chain([from]).any(|one| one.local.needs_utf8()),
        require_tls: false,
        ret: None,
        envid: None,
        account: None,
        client: None,
        received: clock(),
    };
    let committed = writer.commit(&envelope).await?;
    let id = committed.id();
    server.accepted(id, envelope, octets.len() as u64, (None, None)).await;
    Ok(Some(id))
}

/// Hands a message on to `to`, as whoever sent it did: a report that came to a sender of ours that stands for another. None where nobody has that address.
/// Durable when this returns.
///
/// # Errors
/// The spool's, or the disk's. The message must then stay.
pub(crate) async fn hand_on(server: &Server, live: &Live, stored: &Stored, to: &Mailbox) -> Result<Option<MessageId>, Outage> {
    let recipients = recipients(&live.config, to);
    if recipients.is_empty() {
        return Ok(None);
    }
    let mut writer = server.spool.begin()?;
    match &stored.body {
        Body::Inline(whole) => writer.write(whole).await?,
        Body::File(file) => {
            let mut pieces = file.from_start();
            while let Some(piece) = pieces.next_piece().await.map_err(|error| Outage::Disk(error.to_string()))? {
                writer.write(&piece).await?;
            }
        }
    }
    // Whose mail it was it stays: without a client it would count as our own, and be signed.
    let envelope = Envelope { recipients, account: None, received: clock(), ..stored.envelope.clone() };
    let committed = writer.commit(&envelope).await?;
    let id = committed.id();
    server.accepted(id, envelope, stored.size, (None, None)).await;
    Ok(Some(id))
}

/// Writes and stores a report; it is durable when this returns.
///
/// # Errors
/// The spool's. The message it is about must then stay.
pub(crate) async fn send(
    server: &Server,
    live: &Live,
    about: MessageId,
    stored: &Stored,
    due: &ReportDue<'_>,
) -> Result<(), Outage> {
    let full_bytes_max = live.config.outbound.report_body_max.0;
    let returned = due.returned(&stored.envelope, stored.size, full_bytes_max);
    let bytes_max = match returned {
        Returned::Full => usize::try_from(full_bytes_max).unwrap_or(usize::MAX),
        _ => HEADER_BYTES_MAX,
    };
    let recipients = recipients(&live.config, due.to);
    if recipients.is_empty() {
        tracing::info!(id = %about, "no report: the sender's address is in a domain of this server, and nobody has it");
        return Ok(());
    }
    let bytes = start_of(&stored.body, bytes_max).await?;
    let mut writer = server.spool.begin()?;
    let now = clock();
    let reporter = Reporter { hostname: &live.hostname, now, id: writer.id(), seed: seed() };
    let report = reporter.write(due, &Original { envelope: &stored.envelope, id: about, bytes: &bytes, returned });
    writer.write(&report.bytes).await?;
    let envelope = Envelope {
        from: ReversePath::Null,
        recipients,
        body: report.body,
        smtputf8: report.smtputf8,
        // RFC 8689 §5: a report about a message that asked for TLS asks for it too.
        require_tls: stored.envelope.require_tls,
        // RFC 3461 §6.1: RET is never given with a report.
        ret: None,
        envid: None,
        account: None,
        client: None,
        received: now,
    };
    let committed = writer.commit(&envelope).await?;
    server.accepted(committed.id(), envelope, report.bytes.len() as u64, (None, None)).await;
    Ok(())
}
