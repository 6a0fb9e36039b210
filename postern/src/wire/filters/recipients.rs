//! What filters want of sender and recipients. Promise: filters are told the recipients as the client named them, and what they want is about
//! those; a recipient that a filter adds is admitted by the same rules as one that the client names, within the scope and the quota of its
//! account; only greylisting is left out; a message that filters take all recipients from is held; what is not done is said in the log.

use std::collections::BTreeSet;

use postern_filters::{Came, Change};
use postern_mail::envelope::DsnRequest;
use postern_mail::fact::ClientFacts;
use postern_mail::filter::{FilterSaid, FilterWord};
use postern_mail::{Envelope, Mailbox, Quoted, Recipient, ReversePath};
use postern_policy::facts::{HostedAnswer, RecipientFacts};
use postern_smtp::machine::TraceFacts;
use postern_state::Reservation;

use crate::wire::scope::{self, Ended, Holder};
use crate::wire::{Live, Server, call_ahead, names, returns, routing, suppression};

/// Recipients of a message that filters add to.
const RECIPIENTS_MAX: usize = 10_000;

/// Whom a message goes to.
pub(crate) struct Recipients<'a> {
    pub(crate) envelope: &'a mut Envelope,
    /// As the client named them, where aliases led to others.
    pub(crate) named: &'a mut Option<Vec<Recipient>>,
    /// What its account may use.
    pub(crate) reservation: Option<&'a mut Box<Reservation>>,
}

impl Recipients<'_> {
    /// As they were named, each once.
    pub(super) fn named(&self) -> Vec<Mailbox> {
        let named = self.named.as_ref().unwrap_or(&self.envelope.recipients);
        let mut seen = BTreeSet::new();
        named.iter().map(|to| to.address().clone()).filter(|to| seen.insert(to.to_string())).collect()
    }

    /// Changes them as filters want.
    pub(super) async fn change(mut self, on: (&Server, &Live), whose: (&ClientFacts, &TraceFacts), came: &mut Came) {
        if came.changes.is_empty() {
            return;
        }
        // Aliases are followed anew once all is changed: who is reached by two ways is there once, and loses only the way that is taken away.
        let expanded = self.envelope.recipients.clone();
        if let Some(named) = self.named.take() {
            self.envelope.recipients = named;
        }
        for change in &came.changes {
            match change {
                Change::From(text) => self.sender(whose.0, text),
                Change::RemoveRecipient(text) => {
                    if let Err(why) = self.remove(text) {
                        not_done(whose.0, &format!("removes a recipient {why}"), text);
                    }
                }
                Change::AddRecipient(text) => {
                    if let Err(why) = self.add(on, whose, text).await {
                        not_done(whose.0, &format!("adds a recipient {why}"), text);
                    }
                }
                Change::Add { .. }
                | Change::Insert { .. }
                | Change::Replace { .. }
                | Change::RemoveAll { .. }
                | Change::Body(_) => {}
            }
        }
        if self.envelope.recipients.is_empty() {
            self.envelope.recipients = expanded;
            hold(&mut came.said);
        } else {
            scope::settle(self.reservation, self.envelope);
            *self.named = routing::expand_aliases(self.envelope, &on.1.config);
        }
    }

    /// # Errors
    /// In words: why not.
    fn remove(&mut self, text: &str) -> Result<(), &'static str> {
        let mailbox = Mailbox::parse(in_brackets(text)).map_err(|_| "that is no address")?;
        let before = self.envelope.recipients.len();
        self.envelope.recipients.retain(|to| *to.address() != mailbox);
        // Whoever is reached by an alias is none: filters are told the alias.
        if self.envelope.recipients.len() == before { Err("that the client has not named") } else { Ok(()) }
    }

    fn sender(&mut self, client: &ClientFacts, text: &str) {
        match in_brackets(text) {
            "" => self.envelope.from = ReversePath::Null,
            address => match Mailbox::parse(address) {
                Ok(mailbox) => self.envelope.from = ReversePath::Mailbox(mailbox),
                Err(_) => not_done(client, "wants a sender that is no address", text),
            },
        }
    }

    /// # Errors
    /// In words: why not.
    async fn add(
        &mut self,
        (server, live): (&Server, &Live),
        (client, trace): (&ClientFacts, &TraceFacts),
        text: &str,
    ) -> Result<(), String> {
        let to = Mailbox::parse(in_brackets(text)).map_err(|_| "that is no address")?;
        if self.envelope.recipients.iter().any(|there| *there.address() == to) {
            return Ok(());
        }
        if self.envelope.recipients.len() >= RECIPIENTS_MAX {
            return Err("more than a message may have".to_owned());
        }
        let who = trace.who.as_ref();
        let holder = Holder::of(server, live, client, who).map_err(|Ended(why)| format!("for an account, but {why}"))?;
        let before = self.reservation.as_ref().map_or(0, |reservation| reservation.recipients());
        let reserved = holder.as_ref().map_or(Ok(()), |holder| holder.recipient(live, self.reservation.as_deref_mut()));
        scope::quota_full(server, reserved.err());
        let scope = holder.as_ref().map(|holder| holder.scopes().recipient(client, &to, reserved.err()));
        let listed = names::of_recipient(server, client, &to);
        let hosted = match returns::hosted(server, live, &to).await {
            Some(answer) => answer,
            None => call_ahead::hosted(server, live, &to).await,
        };
        let suppressed = match hosted {
            HostedAnswer::NotOurs => suppression::ask(server, live, client.address, &to, who.map(|who| &**who.account())),
            _ => None,
        };
        // Greylisting asks the client to come again, which nobody can for a recipient that it did not name.
        let (scope, listed) = (scope.as_ref(), &*listed);
        let facts = RecipientFacts { client, to: &to, who, scope, listed, greylist: None, suppressed };
        let (verdict, admission) = live.policy.recipient(&facts, &hosted);
        match admission {
            Some(admission) => {
                self.envelope.recipients.push(Recipient::admitted(to, &admission, DsnRequest::default()));
                Ok(())
            }
            None => {
                if let Some(reservation) = &mut self.reservation {
                    reservation.keep_recipients(before);
                }
                let because = verdict.decided_by().map(|finding| format!(" ({}: {})", finding.rule, finding.because));
                Err(format!("that the client could not have named{}", because.unwrap_or_default()))
            }
        }
    }
}

fn not_done(client: &ClientFacts, what: &str, text: &str) {
    tracing::warn!(client = %client.address, address = %Quoted::text(text), what = %Quoted::text(what), "what a filter wants is not done");
}

/// A message that filters took all recipients from goes to nobody, and is not lost: a person looks at it.
fn hold(said: &mut [FilterSaid]) {
    let passed = |one: &&mut FilterSaid| !one.observed && matches!(one.word, FilterWord::Pass | FilterWord::Points(_));
    if let Some(one) = said.iter_mut().rev().find(passed) {
        one.word = FilterWord::Hold;
        "nobody is left to deliver it to".clone_into(&mut one.words);
    }
}

/// `<a@b>` with whatever parameters behind it.
fn in_brackets(text: &str) -> &str {
    text.trim().strip_prefix('<').and_then(|rest| rest.split('>').next()).unwrap_or(text.trim())
}

#[cfg(test)]
mod tests;
