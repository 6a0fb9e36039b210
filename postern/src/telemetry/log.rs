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
    // The resolver would print whole questions, in which keys of DNS lists stand.
    let filter =
        EnvFilter::try_new(format!("{level},fjall=warn,lsm_tree=warn,hickory_resolver=warn,hickory_net=warn,hickory_proto=warn"))
            .map_err(|error| format!("[log] level: {error}"))?;
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
            from = %quoted(from),
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
            session = reply.reference().map(|id| id.to_string()).unwrap_or_default(),
            "refused"
        ),
        Event::Attempted { id, recipient, outcome, number, age, .. } => {
            let by = Quoted::text(&outcome.evidence().by);
            let said = Quoted::text(&outcome.evidence().text);
            let age = age.as_millis();
            match outcome {
                Outcome::Delivered { .. } => info!(%id, to = %quoted(recipient), %by, %said, number, age_ms = age, "delivered"),
                Outcome::Deferred { status, .. } => info!(%id, to = %quoted(recipient), %by, %said, %status, number, "deferred"),
                Outcome::Bounced { status, .. } => warn!(%id, to = %quoted(recipient), %by, %said, %status, number, "bounced"),
                Outcome::Expired { status, .. } => warn!(%id, to = %quoted(recipient), %by, %said, %status, number, "expired"),
            }
        }
        Event::Banned(ban) => warn!(
            network = %ban.of,
            cause = %ban.cause,
            evidence = %Quoted::text(&ban.evidence),
            until = ban.until.map_or_else(|| "lifted".to_owned(), |until| until.0.to_string()),
            times = ban.times,
            "banned"
        ),
        Event::DnsList { zone, what: "parked", because } => {
            warn!(%zone, because, "a DNS list is parked: it is not asked, and nobody is refused by it");
        }
        Event::DnsList { zone, because, .. } => info!(%zone, because, "a DNS list is asked again"),
        Event::BanLifted { of, because } => info!(network = %of, because = %Quoted::text(because), "ban lifted"),
        Event::Credential { account, credential, what, because } => {
            warn!(%account, credential = %Quoted::text(credential), what, because, "credential");
        }
        Event::Finished { id } => tracing::debug!(%id, "finished"),
        Event::Ordered { id, what, reason } => info!(%id, what, reason = %Quoted::text(reason), "ordered"),
    }
}

/// An address may hold spaces, quotes and direction marks within its own quotes: enough to make one line look like another.
fn quoted(address: &impl std::fmt::Display) -> String {
    Quoted::text(&address.to_string()).to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use postern_mail::{Mailbox, MessageId, ReversePath};

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    pub(crate) struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl std::io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_address_cannot_write_fields_or_lines_of_the_log() {
        let page = Page::default();
        let to = page.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
        let hostile = Mailbox::parse("\"x account=root\u{202e} INFO\"@there.test").unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let from = ReversePath::Mailbox(hostile.clone());
            write(&Event::Accepted { id: MessageId(1), from, recipients: vec![], account: None, client: None, size: 1 });
        });
        let text = page.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(r#"from="<\"x account=root\u{202e} INFO\"@there.test>""#), "{text}");
    }
}
