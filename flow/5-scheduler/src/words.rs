//! What the scheduler says and is told, beside the `Ticket` and `Attempt` of `base/mail`.

use std::sync::Arc;

use postern_mail::attempt::{Destination, LaneId};
use postern_mail::envelope::{MessageId, UnixMillis};
use postern_mail::{Outcome, Scope, Status};

use crate::too_much::is_too_much;

/// Why a ticket was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// `tickets_max` are queued. The message is as safe as before; whoever accepts mail must stop before this.
    Full,
    /// This message is in this lane already.
    Twice,
}

/// What came of an attempt, as far as it matters to what is tried next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The trouble that reached farthest; `None` when every recipient was taken.
    pub trouble: Option<Trouble>,
    /// At least one recipient must be tried again.
    pub deferred: bool,
}

/// What went wrong with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How far it reached within its destination.
    pub scope: Scope,
    /// RFC 3463.
    pub status: Status,
    /// What it says of hosts that serve other destinations too.
    pub shows: Shows,
}

/// What a trouble says of the hosts of a destination to all others that have the same ones. Strangers point their domains at whom they
/// like and ask of them what they like, so only what a host said or did to us as such is laid on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shows {
    /// Nothing: the way there is not what the domain asks for, and they may not even have been spoken to.
    Nothing,
    /// That they answer; what they said is about this destination, as that of a grey list is.
    TheyAnswer,
    /// That they are in this trouble, whatever the destination.
    Trouble,
}

impl Trouble {
    /// Trouble as it is known by scope and status alone.
    #[must_use]
    pub const fn of(scope: Scope, status: Status) -> Self {
        let shows = match (scope, status.class, status.subject, status.detail) {
            // RFC 3463 §3.8: 7.4 and 7.5 say that the safety that somebody asks for is not there; 4.3 stands for records that would say
            // what is asked for. Hosts that send these to everybody slow each lane by itself.
            (Scope::Host, 4, 7, 4 | 5) | (Scope::Host, 4, 4, 3) => Shows::Nothing,
            // None was reached, or they mean our address or our rate.
            (Scope::Destination, _, 4, 1) | (Scope::Destination, _, 7, 25 | 28) | (Scope::Host, ..) => Shows::Trouble,
            (Scope::Destination | Scope::Message | Scope::Recipient, ..) => Shows::TheyAnswer,
        };
        Self { scope, status, shows }
    }
}

impl Report {
    /// Everything was taken.
    pub const WORKED: Self = Self { trouble: None, deferred: false };

    /// The same, of which only that somebody answered is of interest.
    pub(crate) fn as_answer(self) -> Self {
        Self { trouble: self.trouble.map(|trouble| Trouble { scope: Scope::Message, ..trouble }), ..self }
    }

    /// Sums up what became of the recipients of one attempt.
    #[must_use]
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut report = Self::WORKED;
        for outcome in outcomes {
            report.deferred |= !outcome.is_final();
            let trouble = match outcome {
                Outcome::Deferred { status, evidence, .. } if is_too_much(*status, &evidence.text) => {
                    Trouble { scope: Scope::Destination, status: *status, shows: Shows::Trouble }
                }
                Outcome::Deferred { scope, status, .. } | Outcome::Bounced { scope, status, .. } => Trouble::of(*scope, *status),
                _ => continue,
            };
            if report.trouble.is_none_or(|widest| reach(trouble) > reach(widest)) {
                report.trouble = Some(trouble);
            }
        }
        report
    }
}

fn reach(trouble: Trouble) -> (u8, Shows) {
    let scope = match trouble.scope {
        Scope::Recipient => 0,
        Scope::Message => 1,
        Scope::Host => 2,
        Scope::Destination => 3,
    };
    (scope, trouble.shows)
}

/// What becomes of a message in its lane after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Nothing is left to do in this lane.
    Done,
    /// It will be tried again.
    Again {
        /// Not before this.
        due: UnixMillis,
        /// How many attempts it has had.
        number: u16,
        /// Tell the sender now that it is late; this is said once (RFC 3464 §2.3.3, action `delayed`).
        warn_delay: bool,
    },
    /// It waits for `release`.
    Held {
        /// How many attempts it has had.
        number: u16,
    },
    /// It was tried for as long as is configured; what is left of its recipients must be reported to the sender.
    Expired,
    /// It was removed while the attempt ran, and the attempt did not finish it.
    Removed,
    /// No such attempt was out: a bug of the caller. Nothing changed.
    Unknown,
}

/// Something that came due by age alone, without an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Which message.
    pub id: MessageId,
    /// In which lane.
    pub lane: LaneId,
    /// Where it should have gone.
    pub destination: Destination,
    /// When it was accepted.
    pub received: UnixMillis,
    /// How often it was tried.
    pub attempts: u16,
    /// What is to be said.
    pub kind: NoticeKind,
}

/// What a [`Notice`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// It is late, and is still tried. Said once.
    Delayed,
    /// It was given up and has left the scheduler.
    Expired,
}

/// How many tickets are in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Could go now, as far as their own time is concerned.
    pub waiting: usize,
    /// Wait for their time.
    pub deferred: usize,
    /// Are being tried.
    pub active: usize,
    /// Wait for a person.
    pub held: usize,
}

impl Counts {
    /// All of them.
    #[must_use]
    pub fn total(self) -> usize {
        self.waiting + self.deferred + self.active + self.held
    }
}

/// One lane as an operator wants to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSummary {
    /// Where to.
    pub destination: Destination,
    /// The provider it leads to, where that is known by name; it shares window and wait with all that lead there.
    pub provider: Option<Arc<str>>,
    /// How many tickets in which state.
    pub counts: Counts,
    /// How many may be tried at once.
    pub window: u16,
    /// Nothing is tried before this, because the destination did not answer.
    pub blocked_until: Option<UnixMillis>,
    /// When the oldest message in it was accepted.
    pub oldest: Option<UnixMillis>,
    /// What went wrong last.
    pub trouble: Option<LastTrouble>,
}

/// What went wrong in a lane, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastTrouble {
    /// When it was reported.
    pub at: UnixMillis,
    /// How far it reached.
    pub scope: Scope,
    /// RFC 3463.
    pub status: Status,
}

#[cfg(test)]
mod tests {
    use postern_mail::outcome::Evidence;

    use super::*;

    #[test]
    fn a_report_keeps_the_trouble_that_reaches_farthest() {
        let evidence = || Evidence { by: "mx.example".into(), text: "451".into() };
        let taken = Outcome::Delivered { evidence: evidence(), dsn_passed_on: false };
        let deferred = |scope, status| Outcome::Deferred { scope, status, evidence: evidence() };
        let bounced = Outcome::Bounced { scope: Scope::Recipient, status: Status::new(5, 1, 1), evidence: evidence() };
        assert_eq!(Report::of([&taken]), Report::WORKED);
        assert_eq!(
            Report::of([&taken, &bounced]),
            Report { trouble: Some(Trouble::of(Scope::Recipient, Status::new(5, 1, 1))), deferred: false }
        );
        let evidence = Evidence { by: "mx.example".into(), text: "450 4.7.1 Rate limit exceeded".into() };
        let too_much = Outcome::Deferred { scope: Scope::Recipient, status: Status::new(4, 7, 1), evidence };
        let paused = Some(Trouble { shows: Shows::Trouble, ..Trouble::of(Scope::Destination, Status::new(4, 7, 1)) });
        let greylisted = deferred(Scope::Destination, Status::new(4, 7, 1));
        assert_eq!(Report::of([&greylisted, &too_much]).trouble, paused, "the same reach, and more is shown");
        assert_eq!(Report::of([&taken, &too_much]).trouble, paused, "one recipient's reply, and all mail is meant");
        let host = deferred(Scope::Host, Status::new(4, 4, 2));
        let recipient = deferred(Scope::Recipient, Status::new(4, 2, 2));
        assert_eq!(
            Report::of([&recipient, &host, &bounced]),
            Report { trouble: Some(Trouble::of(Scope::Host, Status::new(4, 4, 2))), deferred: true }
        );
    }
}
