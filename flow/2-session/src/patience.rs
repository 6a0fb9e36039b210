//! How much a session forgives and how long it waits. Promise: both end; no client holds a session longer than the session time-out
//! while it is the client we wait for.

use std::time::{Duration, Instant};

use postern_mail::Reply;
use postern_smtp::machine::{Action, Patience};

use crate::settings::SessionSettings;
use crate::state::State;
use crate::turn::{Standing, Turn};

/// What a session has done wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    faults: u16,
    recipients_unknown: u16,
}

impl Tally {
    /// Counts a fault; false when the budget is overdrawn.
    pub(crate) fn fault(&mut self, settings: &SessionSettings) -> bool {
        self.faults = self.faults.saturating_add(1);
        self.faults <= settings.faults_per_session
    }

    /// Counts an unknown recipient; false when the budget is overdrawn.
    pub(crate) fn unknown_recipient(&mut self, settings: &SessionSettings) -> bool {
        self.recipients_unknown = self.recipients_unknown.saturating_add(1);
        self.recipients_unknown <= settings.recipients_unknown_per_session
    }
}

/// How long to wait in `state`.
pub(crate) fn patience(standing: &Standing, state: &State, now: Instant) -> Patience {
    let settings = &standing.settings;
    // RFC 5321 §4.5.3.2: a limit for each command and for each piece of data.
    let command = match state {
        State::InData(_) | State::InChunk(_) | State::DroppingChunk(_) => settings.data_timeout,
        _ => settings.command_timeout,
    };
    // While we look something up or write to disk, the client's clock stands still: a 250 that is cut off here is a duplicate later
    // (RFC 5321 §4.5.3.2.6).
    if matches!(state, State::Judging(_) | State::Committing(_)) {
        return Patience { command, until: None };
    }
    let after = |from: Instant, limit: Duration| from.checked_add(limit);
    let session = after(standing.opened.unwrap_or(now), settings.session_timeout);
    let transaction = state.began().and_then(|began| after(began, settings.transaction_timeout));
    let until = match (session, transaction) {
        (Some(session), Some(transaction)) => Some(session.min(transaction)),
        (session, transaction) => session.or(transaction),
    };
    Patience { command, until }
}

impl Turn<'_> {
    /// RFC 5321 §3.8, §4.5.3.2: a client that keeps us waiting gets 421 and the end.
    pub(crate) fn timed_out(&mut self, state: State) -> State {
        if let State::Handshaking = state {
            // There is no reply in the middle of a handshake.
            self.act(Action::Close);
            return State::Closed;
        }
        let reply = Reply::timed_out(self.hostname());
        self.close(reply, state)
    }

    /// RFC 5321 §3.8: a server that stops says 421, here where the client is next to speak and nothing of it is under way. The same
    /// where what the client was allowed to be here by has ended.
    pub(crate) fn stop(&mut self, state: State) -> State {
        let revoked = self.standing.revoked.take().map(|reply| *reply);
        let reply = revoked.unwrap_or_else(|| Reply::closing(self.hostname(), "service is stopping"));
        self.close(reply, state)
    }
}
