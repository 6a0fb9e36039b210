//! Replies and failures by stage, and what they come to.

use super::*;

fn read(stage: Stage, code: u16, text: &str) -> Outcome {
    let status = Status::parse_prefix(text).map(|(status, _)| status);
    of_reply(stage, ReplyCode(code), status, "mx.example [192.0.2.1]:25", text)
}

fn line(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Deferred { scope, status, .. } => format!("deferred {scope:?} {status}"),
        Outcome::Bounced { scope, status, .. } => format!("bounced {scope:?} {status}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn replies_are_read_by_enhanced_code_first_and_by_stage_second() {
    let table: &[(Stage, u16, &str, &str)] = &[
        (Stage::Greeting, 421, "4.3.2 busy", "deferred Host 4.3.2"),
        (Stage::Greeting, 450, "later", "deferred Host 4.0.0"),
        (Stage::Greeting, 554, "5.7.1 listed", "bounced Host 5.7.1"),
        (Stage::Greeting, 521, "takes no mail", "bounced Host 5.3.2"),
        (Stage::StartTls, 554, "5.7.3 no", "deferred Host 4.7.3"),
        (Stage::Auth, 535, "5.7.8 no", "deferred Host 4.7.8"),
        (Stage::Mail, 421, "bye", "deferred Host 4.3.2"),
        (Stage::Mail, 451, "4.7.1 slow down", "deferred Destination 4.7.1"),
        (Stage::Mail, 451, "error", "deferred Destination 4.0.0"),
        (Stage::Mail, 452, "full", "deferred Host 4.3.1"),
        (Stage::Mail, 550, "5.1.8 your domain does not exist", "bounced Message 5.1.8"),
        (Stage::Mail, 552, "too big", "bounced Message 5.3.4"),
        (Stage::Mail, 550, "5.7.25 no PTR", "bounced Destination 5.7.25"),
        (Stage::Rcpt, 450, "4.2.0 greylisted", "deferred Recipient 4.2.0"),
        (Stage::Rcpt, 451, "4.7.1 greylisted", "deferred Recipient 4.7.1"),
        (Stage::Rcpt, 450, "4.7.28 too fast", "deferred Destination 4.7.28"),
        (Stage::Rcpt, 550, "5.1.1 unknown", "bounced Recipient 5.1.1"),
        (Stage::Rcpt, 550, "unknown", "bounced Recipient 5.1.0"),
        (Stage::Rcpt, 552, "too many recipients", "deferred Recipient 4.5.3"),
        (Stage::Rcpt, 552, "5.2.2 over quota", "bounced Recipient 5.2.2"),
        (Stage::Rcpt, 452, "4.5.3 too many", "deferred Recipient 4.5.3"),
        (Stage::Rcpt, 452, "4.3.1 full", "deferred Host 4.3.1"),
        (Stage::Rcpt, 550, "5.4.1 access denied", "bounced Recipient 5.4.1"),
        (Stage::Rcpt, 556, "null MX", "bounced Recipient 5.1.10"),
        (Stage::Data, 451, "x", "deferred Message 4.0.0"),
        (Stage::Body, 452, "x", "deferred Host 4.3.1"),
        (Stage::Body, 550, "5.7.1 spam", "bounced Message 5.7.1"),
        (Stage::Body, 554, "5.4.6 loop", "bounced Message 5.4.6"),
        (Stage::Body, 554, "4.3.0 the class does not fit", "bounced Message 5.0.0"),
    ];
    for (stage, code, text, expected) in table {
        assert_eq!(line(&read(*stage, *code, text)), *expected, "{stage:?} {code} {text}");
    }
}

#[test]
fn a_reply_out_of_place_defers_and_never_bounces() {
    for code in [200, 250, 354, 334] {
        assert_eq!(line(&read(Stage::Data, code, "x")), "deferred Host 4.5.0");
    }
}

#[test]
fn failures_without_a_reply_are_the_hosts_and_are_deferred() {
    let failures = [
        Failure::Refused,
        Failure::TimedOut(Duration::from_secs(30)),
        Failure::Lost("x".into()),
        Failure::Handshake("x".into()),
        Failure::TlsNotOffered,
        Failure::Injected,
    ];
    for failure in failures {
        let outcome = of_failure(Stage::Mail, &failure, "h");
        assert!(matches!(outcome, Outcome::Deferred { scope: Scope::Host, .. }), "{failure:?}");
    }
}

#[test]
fn what_safety_asks_for_and_a_host_has_not_is_told_from_what_befell_the_host_by_its_status() {
    // The scheduler lays neither 4.7.4 nor 4.7.5 on others with the same hosts: a domain asks what it likes.
    let status = |failure: &Failure| match of_failure(Stage::StartTls, failure, "h") {
        Outcome::Deferred { status, .. } => (status.class, status.subject, status.detail),
        other => panic!("{other:?}"),
    };
    for failure in [
        Failure::NotNamed,
        Failure::TlsNotOffered,
        Failure::RequireTlsNotOffered,
        Failure::Handshake("x".into()),
        Failure::Certificate(TlsFailure::Mismatch, "x".into()),
    ] {
        assert!(matches!(status(&failure), (4, 7, 4 | 5)), "{failure:?}");
    }
    for failure in
        [Failure::Refused, Failure::Unreachable("x".into()), Failure::TimedOut(Duration::ZERO), Failure::Lost("x".into())]
    {
        assert!(matches!(status(&failure), (4, 4, 1 | 2)), "{failure:?}");
    }
}

#[test]
fn peer_text_in_evidence_is_cut_and_has_no_control_characters() {
    let evidence = evidence("h", &format!("550 a\r\nb\x1b[31m{}", "x".repeat(2000)));
    assert_eq!(evidence.text.chars().count(), EVIDENCE_CHARS_MAX);
    assert!(!evidence.text.chars().any(char::is_control));
}
