//! The log, on standard error: plain words, or JSON lines for machines. Promise: peer text in it is quoted, secrets never reach it.

use postern_mail::Quoted;
use postern_mail::event::Event;
use postern_mail::outcome::Outcome;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

/// Starts logging. `level` is a level name or a filter such as `info,postern_spool=debug`.
///
/// # Errors
/// When the filter does not read right.
pub(crate) fn start(json: bool, level: &str) -> Result<(), String> {
    // The storage engine tells of its own housekeeping, which no operator of a mail server asks for.
    let filter =
        EnvFilter::try_new(format!("{level},fjall=warn,lsm_tree=warn")).map_err(|error| format!("[log] level: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = if json {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        builder.with_ansi(colours).with_target(false).try_init()
    };
    done.map_err(|error| error.to_string())
}

/// Writes an event as one line.
pub(crate) fn write(event: &Event) {
    match event {
        Event::Accepted { id, from, recipients, account, client, size } => info!(
            %id,
            %from,
            to = recipients.len(),
            account = account.as_deref().unwrap_or(""),
            client = client.map(|ip| ip.to_string()).unwrap_or_default(),
            size,
            "accepted"
        ),
        Event::Refused { at, reply, because, client, listener, address } => info!(
            at,
            code = reply.code.0,
            because,
            %client,
            %listener,
            address = address.as_deref().map(|text| Quoted::text(text).to_string()).unwrap_or_default(),
            "refused"
        ),
        Event::Attempted { id, recipient, outcome, number, age, .. } => {
            let by = Quoted::text(&outcome.evidence().by);
            let said = Quoted::text(&outcome.evidence().text);
            let age = age.as_millis();
            match outcome {
                Outcome::Delivered { .. } => info!(%id, to = %recipient, %by, %said, number, age_ms = age, "delivered"),
                Outcome::Deferred { status, .. } => info!(%id, to = %recipient, %by, %said, %status, number, "deferred"),
                Outcome::Bounced { status, .. } => warn!(%id, to = %recipient, %by, %said, %status, number, "bounced"),
                Outcome::Expired { status, .. } => warn!(%id, to = %recipient, %by, %said, %status, number, "expired"),
            }
        }
        Event::Finished { id } => tracing::debug!(%id, "finished"),
        Event::Ordered { id, what, reason } => info!(%id, what, reason = %Quoted::text(reason), "ordered"),
    }
}
