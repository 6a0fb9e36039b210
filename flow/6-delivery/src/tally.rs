//! Head: adds up what becomes of the recipients while hosts and transactions come and go. Promise: the first outcome of a recipient
//! stands, and who is left at the end gets one too.

use postern_mail::{Outcome, Scope, Status};

use crate::classify::{self, Failure, Stage};
use crate::dialogue::Trouble;

/// The outcomes so far.
pub(crate) struct Board(Vec<Option<Outcome>>);

impl Board {
    pub(crate) fn of(recipients: usize) -> Self {
        Self(vec![None; recipients])
    }

    /// One outcome each; `rest` for those without.
    pub(crate) fn outcomes(self, rest: &Outcome) -> Vec<Outcome> {
        self.0.into_iter().map(|outcome| outcome.unwrap_or_else(|| rest.clone())).collect()
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().filter(|(_, outcome)| outcome.is_none()).map(|(at, _)| at)
    }

    pub(crate) fn settle(&mut self, at: usize, outcome: Outcome) {
        if let Some(slot) = self.0.get_mut(at) {
            slot.get_or_insert(outcome);
        }
    }

    pub(crate) fn settle_rest(&mut self, outcome: &Outcome) {
        for slot in &mut self.0 {
            slot.get_or_insert_with(|| outcome.clone());
        }
    }
}

/// What a transaction's outcomes come to.
#[derive(Default)]
pub(crate) struct Tally {
    delivered: bool,
    /// Recipients the host found too many for one transaction.
    too_many: Vec<(usize, Outcome)>,
    /// The last outcome that would be everybody's.
    general: Option<Outcome>,
}

impl Tally {
    pub(crate) fn take(&mut self, settled: impl Iterator<Item = (usize, Outcome)>, board: &mut Board) {
        for (at, outcome) in settled {
            if classify::is_too_many_recipients(&outcome) {
                self.too_many.push((at, outcome));
                continue;
            }
            match &outcome {
                Outcome::Deferred { scope, .. } | Outcome::Bounced { scope, .. } if *scope != Scope::Recipient => {
                    self.general = Some(outcome.clone());
                }
                Outcome::Delivered { .. } => self.delivered = true,
                _ => {}
            }
            board.settle(at, outcome);
        }
    }

    /// RFC 5321 §4.5.3.1.10: who was too many comes again at once, as long as others get through.
    pub(crate) fn end(self, board: &mut Board) -> Option<Outcome> {
        if !self.delivered {
            self.too_many.into_iter().for_each(|(at, outcome)| board.settle(at, outcome));
        }
        self.general
    }
}

/// A host that was of no use: another may be, or the same one later.
pub(crate) struct Useless {
    pub(crate) outcome: Outcome,
    /// Only because the way there is not safe enough.
    pub(crate) about_tls: bool,
    /// The way is safe, and only the host does not promise to keep it so.
    pub(crate) lacks_require_tls: bool,
}

impl Useless {
    /// RFC 3463 §3.5, X.4.1: no answer from host.
    fn is_unreachable(&self) -> bool {
        matches!(&self.outcome, Outcome::Deferred { status: Status { subject: 4, detail: 1, .. }, .. })
    }

    pub(crate) fn because(trouble: &Trouble, by: &str) -> Self {
        let (about_tls, lacks_require_tls) = (trouble.is_about_tls(), trouble.lacks_require_tls());
        Self { outcome: trouble.outcome(by), about_tls, lacks_require_tls }
    }
}

pub(crate) fn lost(by: &str) -> Outcome {
    classify::of_failure(Stage::Body, &Failure::Lost("the connection ended before this recipient's turn".to_owned()), by)
}

/// What is said to those no host was of use to. A host that did not answer may answer later, so a bounce needs all of them to agree.
pub(crate) fn summary(useless: Vec<Useless>, tls_required: bool) -> Option<Outcome> {
    let any_with_tls = useless.iter().any(|host| host.lacks_require_tls);
    let none_reached = useless.iter().all(|host| host.is_unreachable());
    let only_tls = tls_required && useless.iter().all(|host| host.about_tls);
    let worst = useless.into_iter().map(|host| host.outcome).reduce(|kept, next| if kept.is_final() { next } else { kept })?;
    Some(match worst {
        // RFC 8689 §4.2.1: returned when no host can keep the promise, with 5.7.30 for want of REQUIRETLS and 5.7.10 for want of TLS.
        Outcome::Deferred { evidence, .. } if only_tls => {
            let status = Status::new(5, 7, if any_with_tls { 30 } else { 10 });
            Outcome::Bounced { scope: Scope::Message, status, evidence }
        }
        // Not one host took a connection: the next message would find the same. A host that answers, if only to send us away, is
        // trouble of its own, for which the window of its lane is made smaller.
        Outcome::Deferred { status, evidence, .. } if none_reached => {
            Outcome::Deferred { scope: Scope::Destination, status, evidence }
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(status: u16, about_tls: bool) -> Useless {
        let class = u8::try_from(status / 100).unwrap();
        let (status, evidence) = (Status::new(class, 0, status % 100), classify::evidence("", ""));
        let outcome = match class {
            4 => Outcome::Deferred { scope: Scope::Host, status, evidence },
            _ => Outcome::Bounced { scope: Scope::Host, status, evidence },
        };
        Useless { outcome, about_tls, lacks_require_tls: false }
    }

    fn said(hosts: Vec<Useless>, tls_required: bool) -> String {
        match summary(hosts, tls_required).unwrap() {
            Outcome::Deferred { status, .. } => format!("deferred {status}"),
            Outcome::Bounced { status, .. } => format!("bounced {status}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn one_host_that_may_answer_later_keeps_the_message_from_bouncing() {
        assert_eq!(said(vec![host(501, false), host(402, false), host(503, false)], false), "deferred 4.0.2");
        assert_eq!(said(vec![host(501, false), host(502, false)], false), "bounced 5.0.2");
    }

    #[test]
    fn hosts_that_cannot_be_reached_are_trouble_with_the_destination() {
        let unreachable = || {
            let (status, evidence) = (Status::new(4, 4, 1), classify::evidence("", ""));
            Useless {
                outcome: Outcome::Deferred { scope: Scope::Host, status, evidence },
                about_tls: false,
                lacks_require_tls: false,
            }
        };
        let scope = |hosts| match summary(hosts, false).unwrap() {
            Outcome::Deferred { scope, .. } => scope,
            other => panic!("{other:?}"),
        };
        assert_eq!(scope(vec![unreachable(), unreachable()]), Scope::Destination);
        assert_eq!(scope(vec![unreachable(), host(402, false)]), Scope::Host, "one of them answered");
    }

    #[test]
    fn require_tls_bounces_only_when_every_host_lacks_it() {
        assert_eq!(said(vec![host(401, true), host(402, true)], true), "bounced 5.7.10");
        let with_tls = Useless { lacks_require_tls: true, ..host(402, true) };
        assert_eq!(said(vec![host(401, true), with_tls], true), "bounced 5.7.30");
        assert_eq!(said(vec![host(401, true), host(402, false)], true), "deferred 4.0.1");
        assert_eq!(said(vec![host(401, true)], false), "deferred 4.0.1");
    }

    #[test]
    fn the_first_outcome_of_a_recipient_stands() {
        let mut board = Board::of(2);
        board.settle(0, host(401, false).outcome);
        board.settle(0, host(502, false).outcome);
        board.settle(9, host(502, false).outcome);
        assert_eq!(board.open().collect::<Vec<_>>(), [1]);
        let outcomes = board.outcomes(&host(503, false).outcome);
        assert_eq!(outcomes, [host(401, false).outcome, host(503, false).outcome]);
    }
}
