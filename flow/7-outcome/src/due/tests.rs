//! What is reported to whom: NOTIFY, RET and the null sender.

use postern_mail::envelope::{BodyKind, DsnRequest};
use postern_mail::{ReversePath, Scope};

use super::*;

fn envelope(from: &str, ret: Option<Return>) -> Envelope {
    Envelope {
        from: if from.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(Mailbox::parse(from).unwrap()) },
        recipients: vec![],
        body: BodyKind::SevenBit,
        smtputf8: false,
        require_tls: false,
        ret,
        envid: None,
        account: None,
        client: None,
        received: UnixMillis(0),
    }
}

fn recipient(notify: Option<Notify>) -> Recipient {
    let dsn = DsnRequest { notify, original: None };
    Recipient::restored_from_spool(Mailbox::parse("b@there.example").unwrap(), false, dsn)
}

fn evidence() -> Evidence {
    Evidence { by: "mx.there.example".into(), text: "whatever".into() }
}

fn bounced() -> Outcome {
    Outcome::Bounced { scope: Scope::Recipient, status: Status::new(5, 1, 1), evidence: evidence() }
}

fn deferred() -> Outcome {
    Outcome::Deferred { scope: Scope::Host, status: Status::new(4, 4, 1), evidence: evidence() }
}

fn expired() -> Outcome {
    Outcome::Expired { status: Status::new(4, 4, 1), evidence: evidence() }
}

fn delivered(dsn_passed_on: bool) -> Outcome {
    Outcome::Delivered { evidence: evidence(), dsn_passed_on }
}

const LATE: DelayNotice = DelayNotice::Due { retry_until: UnixMillis(5) };

fn action(notify: Option<Notify>, outcome: &Outcome, reach: Reach, delay: DelayNotice) -> Option<(Action, String)> {
    let envelope = envelope("a@here.example", None);
    let recipient = recipient(notify);
    let due = reports_due(&envelope, &[Ended { recipient: &recipient, outcome, reach }], delay)?;
    assert_eq!(due.to.to_string(), "a@here.example");
    due.lines.first().map(|line| (line.action, line.status.to_string()))
}

fn notify(success: bool, failure: bool, delay: bool) -> Option<Notify> {
    Some(Notify { success, failure, delay })
}

#[test]
fn what_is_reported_follows_notify() {
    let failed = |status: &str| Some((Action::Failed, status.to_owned()));
    let delayed = Some((Action::Delayed, "4.4.1".to_owned()));
    let told = |action| Some((action, "2.0.0".to_owned()));
    for (asked, outcome, reach, delay, expected) in [
        // Nothing asked: failure, and delay.
        (None, bounced(), Reach::NextHop, DelayNotice::NotDue, failed("5.1.1")),
        (None, expired(), Reach::NextHop, DelayNotice::NotDue, failed("4.4.1")),
        (None, deferred(), Reach::NextHop, DelayNotice::NotDue, None),
        (None, deferred(), Reach::NextHop, LATE, delayed.clone()),
        (None, delivered(false), Reach::NextHop, LATE, None),
        // NEVER.
        (notify(false, false, false), bounced(), Reach::NextHop, LATE, None),
        (notify(false, false, false), expired(), Reach::NextHop, LATE, None),
        (notify(false, false, false), deferred(), Reach::NextHop, LATE, None),
        (notify(false, false, false), delivered(false), Reach::Mailbox, LATE, None),
        // One by one.
        (notify(true, false, false), bounced(), Reach::NextHop, LATE, None),
        (notify(false, true, false), deferred(), Reach::NextHop, LATE, None),
        (notify(false, true, false), bounced(), Reach::NextHop, LATE, failed("5.1.1")),
        (notify(false, false, true), deferred(), Reach::NextHop, LATE, delayed),
        (notify(false, false, true), bounced(), Reach::NextHop, LATE, None),
        // Success, by how far it went and who will tell.
        (notify(true, false, false), delivered(false), Reach::Mailbox, LATE, told(Action::Delivered)),
        (notify(true, false, false), delivered(false), Reach::NextHop, LATE, told(Action::Relayed)),
        (notify(true, false, false), delivered(true), Reach::NextHop, LATE, None),
        (notify(true, false, false), delivered(false), Reach::Members, LATE, told(Action::Expanded)),
    ] {
        assert_eq!(action(asked, &outcome, reach, delay), expected, "{asked:?} {outcome:?} {reach:?} {delay:?}");
    }
}

#[test]
fn the_null_sender_never_gets_a_report() {
    let envelope = envelope("", None);
    let recipient = recipient(notify(true, true, true));
    for outcome in [bounced(), expired(), deferred(), delivered(false)] {
        let ended = [Ended { recipient: &recipient, outcome: &outcome, reach: Reach::NextHop }];
        assert!(reports_due(&envelope, &ended, LATE).is_none());
    }
}

#[test]
fn one_report_covers_all_recipients_of_an_attempt() {
    let envelope = envelope("a@here.example", None);
    let (quiet, plain) = (recipient(Some(Notify::NEVER)), recipient(None));
    let (bounced, expired, delivered) = (bounced(), expired(), delivered(false));
    let ended = |recipient, outcome| Ended { recipient, outcome, reach: Reach::NextHop };
    let all = [ended(&plain, &bounced), ended(&quiet, &bounced), ended(&plain, &delivered), ended(&plain, &expired)];
    let due = reports_due(&envelope, &all, DelayNotice::NotDue).unwrap();
    let expired: Vec<bool> = due.lines.iter().map(|line| line.expired).collect();
    assert_eq!(expired, [false, true]);
}

#[test]
fn only_failures_return_the_whole_message_and_only_small_ones() {
    let returned = |ret, outcome: &Outcome, size| {
        let envelope = envelope("a@here.example", ret);
        let recipient = recipient(notify(true, true, true));
        let ended = [Ended { recipient: &recipient, outcome, reach: Reach::Mailbox }];
        reports_due(&envelope, &ended, LATE).unwrap().returned(&envelope, size, 100)
    };
    assert_eq!(returned(None, &bounced(), 100), Returned::Full);
    assert_eq!(returned(Some(Return::Full), &bounced(), 101), Returned::Headers);
    assert_eq!(returned(Some(Return::Headers), &bounced(), 1), Returned::Headers);
    assert_eq!(returned(Some(Return::Full), &deferred(), 1), Returned::Headers);
    assert_eq!(returned(Some(Return::Full), &delivered(false), 1), Returned::Headers);
}

#[test]
fn a_message_that_asked_for_tls_is_returned_without_its_body() {
    let envelope = Envelope { require_tls: true, ..envelope("a@here.example", Some(Return::Full)) };
    let recipient = recipient(None);
    let bounced = bounced();
    let ended = [Ended { recipient: &recipient, outcome: &bounced, reach: Reach::NextHop }];
    assert_eq!(reports_due(&envelope, &ended, LATE).unwrap().returned(&envelope, 1, 100), Returned::Headers);
}

#[test]
fn a_status_of_the_wrong_class_is_put_right() {
    let odd = Outcome::Bounced { scope: Scope::Recipient, status: Status::new(4, 7, 1), evidence: evidence() };
    assert_eq!(action(None, &odd, Reach::NextHop, LATE), Some((Action::Failed, "5.7.1".into())));
}
