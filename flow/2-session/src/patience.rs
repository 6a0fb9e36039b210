//! How much a session forgives and how long it waits. Promise: both end; no client holds a session longer than the session time-out
//! while it is the client we wait for.

use std::time::{Duration, Instant};

use postern_mail::Reply;
use postern_smtp::machine::{Action, Conduct, Limit, Limits, Patience};

use crate::settings::Hurry;
use crate::state::State;
use crate::turn::{Standing, Turn};

/// What a session has done wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    faults: u16,
    /// Those of the faults that are remembered beyond the session, and what broke the framing.
    syntax: u16,
    relays_refused: u16,
    recipients_unknown: u16,
    idle_commands: u32,
    limits: Limits,
}

/// How much of each a session may do.
#[derive(Clone, Copy)]
pub(crate) struct Budget {
    faults: u16,
    recipients_unknown: u16,
    idle_commands: u32,
}

impl Tally {
    /// Counts a fault; false when the budget is overdrawn.
    pub(crate) fn fault(&mut self, budget: Budget) -> bool {
        self.faults = self.faults.saturating_add(1);
        self.within(self.faults <= budget.faults, Limit::Faults)
    }

    /// Counts an unknown recipient; false when the budget is overdrawn.
    pub(crate) fn unknown_recipient(&mut self, budget: Budget) -> bool {
        self.recipients_unknown = self.recipients_unknown.saturating_add(1);
        self.within(self.recipients_unknown <= budget.recipients_unknown, Limit::RecipientsUnknown)
    }

    /// Counts a command that does nothing for a message; false when the budget is overdrawn.
    pub(crate) fn idle_command(&mut self, budget: Budget) -> bool {
        self.idle_commands = self.idle_commands.saturating_add(1);
        self.within(self.idle_commands <= budget.idle_commands, Limit::IdleCommands)
    }

    /// A message was taken: what led to it was not in vain.
    pub(crate) fn did_something(&mut self) {
        self.idle_commands = 0;
    }

    /// To be remembered: it does not talk as it should.
    pub(crate) fn syntax(&mut self) {
        self.syntax = self.syntax.saturating_add(1);
    }

    /// To be remembered: it asked for what only we may give.
    pub(crate) fn relay_refused(&mut self) {
        self.relays_refused = self.relays_refused.saturating_add(1);
    }

    /// A limit is reached.
    pub(crate) fn reached(&mut self, limit: Limit) {
        self.limits.insert(limit);
    }

    fn within(&mut self, is_within: bool, limit: Limit) -> bool {
        if !is_within {
            self.reached(limit);
        }
        is_within
    }
}

impl Standing {
    /// Who did not log in is hurried while the server is under stress.
    fn hurry(&self) -> Option<&Hurry> {
        Some(&self.settings.hurry).filter(|_| self.hurried && self.who.is_none())
    }

    /// The budgets that hold for this client now.
    pub(crate) fn budget(&self) -> Budget {
        let settings = &self.settings;
        let most = self.hurry().map_or(u16::MAX, |hurry| hurry.faults_per_session);
        Budget {
            faults: settings.faults_per_session.min(most),
            recipients_unknown: settings.recipients_unknown_per_session.min(most),
            idle_commands: settings.idle_commands_per_session,
        }
    }

    /// What is told of it when it has ended.
    pub(crate) fn conduct(&self) -> Conduct {
        let Tally { syntax, relays_refused, recipients_unknown, limits, .. } = self.tally;
        if self.who.is_some() {
            // What it does is its account's; its address may be that of a whole office.
            return Conduct { limits, ..Conduct::default() };
        }
        Conduct { syntax, recipients_unknown, relays_refused, early: false, limits }
    }
}

/// How long to wait in `state`.
pub(crate) fn patience(standing: &Standing, state: &State, now: Instant) -> Patience {
    let (settings, hurry) = (&standing.settings, standing.hurry());
    // RFC 5321 §4.5.3.2: a limit for each command and for each piece of data.
    let (usual, hurried) = if state.is_in_body() {
        (settings.data_timeout, hurry.map(|hurry| hurry.data_timeout))
    } else {
        (settings.command_timeout, hurry.map(|hurry| hurry.command_timeout))
    };
    let command = hurried.map_or(usual, |hurried| hurried.min(usual));
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
        let is_over = |from: Option<Instant>, limit| from.is_some_and(|from| self.now.saturating_duration_since(from) >= limit);
        let limit = match () {
            () if is_over(self.standing.opened, self.settings().session_timeout) => Limit::SessionTime,
            () if is_over(state.began(), self.settings().transaction_timeout) => Limit::TransactionTime,
            () if state.is_in_body() => Limit::DataTime,
            () => Limit::CommandTime,
        };
        self.standing.tally.reached(limit);
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
