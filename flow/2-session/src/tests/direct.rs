//! What a transcript cannot show: time limits, line limits, and what is printed of a session.

use std::time::{Duration, Instant};

use postern_mail::Reply;
use postern_mail::envelope::Admission;
use postern_mail::fact::{Answer, ClientFacts, TlsFacts};
use postern_mail::proof::{Authenticated, Hosted};
use postern_mail::trouble::Fault;
use postern_smtp::line::{COMMAND_LINE_BYTES_MAX, SASL_LINE_BYTES_MAX};
use postern_smtp::machine::{Action, BodyEnd, Conduct, Input, Limit, Machine};

use super::world::World;
use crate::Session;

struct Direct {
    session: Session,
    now: Instant,
    actions: Vec<Action>,
}

impl Direct {
    fn new(given: &[&str]) -> Self {
        let mut world = World::new();
        given.iter().for_each(|line| world.given(line));
        let client = ClientFacts { address: "192.0.2.7".parse().unwrap(), port: 40_000, listener: world.listener };
        #[expect(clippy::disallowed_methods, reason = "a test needs one moment to begin at")]
        let now = Instant::now();
        let mut direct = Self { session: Session::new(world.settings.into(), client), now, actions: Vec::new() };
        if world.tls {
            let exporter = Some(Box::new([7; 32]));
            direct.feed(Input::Secured(TlsFacts { version: "TLSv1.3", cipher: "x".into(), exporter, certificate: None }));
        }
        direct.feed(Input::Opened);
        direct.pass();
        direct.line("EHLO client.example");
        direct.pass();
        direct
    }

    fn feed(&mut self, input: Input<'_>) {
        self.session.on(self.now, input, &mut self.actions);
    }

    fn line(&mut self, text: &str) {
        self.feed(Input::Line { text: text.as_bytes(), more: false });
    }

    fn pass(&mut self) {
        self.feed(Input::Answer(Answer::Pass));
    }

    /// The time for the next line or piece, and the time left in all; in seconds.
    fn patience(&self) -> (u64, Option<u64>) {
        let patience = self.session.patience(self.now);
        (patience.command.as_secs(), patience.until.map(|until| until.duration_since(self.now).as_secs()))
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

#[test]
fn an_idle_session_waits_for_a_command_and_ends_with_the_session_time() {
    let mut direct = Direct::new(&[]);
    assert_eq!(direct.patience(), (60, Some(3600)));
    direct.wait(50);
    direct.line("NOOP");
    assert_eq!(direct.patience(), (60, Some(3550)), "a command does not begin the session anew");
}

#[test]
fn a_transaction_ends_with_its_own_time_however_patiently_it_dribbles() {
    let mut direct = Direct::new(&[]);
    direct.line("MAIL FROM:<x@there.example>");
    direct.pass();
    direct.wait(10);
    direct.line("RCPT TO:<a@here.example>");
    direct.feed(Input::Answer(Answer::Admitted(Admission::Hosted(Hosted::mint_by_rule()))));
    assert_eq!(direct.patience(), (60, Some(590)));
    direct.line("DATA");
    assert_eq!(direct.patience(), (180, Some(590)), "a piece of the body has a time of its own");
    direct.wait(20);
    direct.feed(Input::BodyEnded(BodyEnd::Whole { bytes: 1 }));
    assert_eq!(direct.patience().1, None, "while we decide and write, the client's clock stands still");
    direct.pass();
    assert_eq!(direct.patience().1, None);
}

/// A session whose message has begun with a chunk that is still being read.
fn in_a_chunk() -> Direct {
    let mut direct = Direct::new(&[]);
    direct.line("MAIL FROM:<x@there.example>");
    direct.pass();
    direct.line("RCPT TO:<a@here.example>");
    direct.feed(Input::Answer(Answer::Admitted(Admission::Hosted(Hosted::mint_by_rule()))));
    direct.line("BDAT 3");
    direct
}

#[test]
fn chunks_share_the_time_of_their_transaction() {
    let mut direct = in_a_chunk();
    direct.wait(100);
    assert_eq!(direct.patience(), (180, Some(500)));
    direct.feed(Input::BodyEnded(BodyEnd::Whole { bytes: 3 }));
    assert_eq!(direct.patience(), (60, Some(500)));
}

#[test]
fn a_message_is_discarded_when_the_session_ends_while_a_hello_is_looked_at() {
    let mut direct = in_a_chunk();
    direct.feed(Input::BodyEnded(BodyEnd::Whole { bytes: 3 }));
    direct.line("EHLO other.example");
    direct.actions.clear();
    direct.feed(Input::TimedOut);
    assert!(matches!(direct.actions.as_slice(), [Action::Discard, Action::Reply(_), Action::Close]));
}

#[test]
fn only_a_client_that_may_authenticate_may_send_a_long_line() {
    assert_eq!(Direct::new(&[]).session.line_bytes_max(), COMMAND_LINE_BYTES_MAX);
    assert_eq!(Direct::new(&["listener submission"]).session.line_bytes_max(), COMMAND_LINE_BYTES_MAX);
    let mut direct = Direct::new(&["listener submissions"]);
    assert_eq!(direct.session.line_bytes_max(), SASL_LINE_BYTES_MAX);
    direct.line("AUTH PLAIN");
    direct.feed(Input::Answer(Answer::Challenge(Vec::new())));
    assert_eq!(direct.session.line_bytes_max(), SASL_LINE_BYTES_MAX);
    direct.line("AGFubgBzZWNyZXQ=");
    direct.feed(Input::Answer(Answer::Authenticated {
        who: Authenticated::mint_after_verification("ann@here.example".into(), "password".into()),
    }));
    assert_eq!(direct.session.line_bytes_max(), COMMAND_LINE_BYTES_MAX);
}

#[test]
fn a_password_is_not_printed_with_the_session_or_its_actions() {
    for lines in [&["AUTH PLAIN AGFubgBzZWNyZXQ="][..], &["AUTH PLAIN", "AGFubgBzZWNyZXQ="]] {
        let mut direct = Direct::new(&["listener submissions"]);
        for line in lines {
            direct.line(line);
            let printed = format!("{:?} {:?}", direct.session, direct.actions);
            for secret in ["secret", "AGFubgBz", "115, 101, 99", "[0, 97"] {
                assert!(!printed.contains(secret), "{printed}");
            }
            direct.feed(Input::Answer(Answer::Challenge(Vec::new())));
        }
    }
}

#[test]
fn a_session_that_is_stopped_before_it_opens_is_not_greeted() {
    let mut world = World::new();
    world.given("listener mx");
    let client = ClientFacts { address: "192.0.2.7".parse().unwrap(), port: 40_000, listener: world.listener };
    #[expect(clippy::disallowed_methods, reason = "a test needs one moment to begin at")]
    let now = Instant::now();
    let mut session = Session::new(world.settings.into(), client);
    let mut actions = Vec::new();
    session.on(now, Input::Stopping, &mut actions);
    assert!(actions.is_empty());
    session.on(now, Input::Opened, &mut actions);
    assert!(matches!(actions.as_slice(), [Action::Reply(reply), Action::Close] if reply.code.0 == 421));
}

#[test]
fn under_stress_a_stranger_has_less_time_and_fewer_faults_until_it_is_over_or_it_logs_in() {
    let mut stranger = Direct::new(&["listener submissions", "limit faults 5"]);
    assert_eq!(stranger.patience().0, 60);
    stranger.feed(Input::Hurry(true));
    assert_eq!(stranger.patience().0, 10);
    stranger.feed(Input::Hurry(false));
    assert_eq!(stranger.patience().0, 60);
    stranger.feed(Input::Hurry(true));
    stranger.line("AUTH PLAIN AGEAYg==");
    stranger.feed(Input::Answer(Answer::Authenticated {
        who: Authenticated::mint_after_verification("a".into(), "password".into()),
    }));
    assert_eq!(stranger.patience().0, 60);
    stranger.line("JUNK");
    stranger.line("JUNK");
    assert!(!stranger.session.is_closed());

    let mut stranger = Direct::new(&["limit faults 5"]);
    stranger.feed(Input::Hurry(true));
    stranger.line("JUNK");
    assert!(!stranger.session.is_closed());
    stranger.line("JUNK");
    assert!(stranger.session.is_closed());
    assert_eq!(stranger.session.conduct(), Conduct { syntax: 2, limits: Limit::Faults.into(), ..Conduct::default() });
}

#[test]
fn a_body_is_hurried_too() {
    let mut stranger = Direct::new(&[]);
    stranger.line("BDAT 6");
    assert_eq!(stranger.patience().0, 180);
    stranger.feed(Input::Hurry(true));
    assert_eq!(stranger.patience().0, 30);
}

#[test]
fn what_a_stranger_did_wrong_is_told_by_kind_and_what_an_account_did_is_not() {
    let mut stranger = Direct::new(&[]);
    assert_eq!(stranger.session.conduct(), Conduct::default());
    stranger.line("JUNK");
    stranger.line("MAIL FROM:<x@there.example>");
    stranger.pass();
    for reply in [Reply::no_such_recipient("b@here.example"), Reply::relay_denied(), Reply::relay_denied()] {
        stranger.line("RCPT TO:<b@here.example>");
        stranger.feed(Input::Answer(Answer::Refuse(reply)));
    }
    let told = Conduct { syntax: 1, recipients_unknown: 1, relays_refused: 2, ..Conduct::default() };
    assert_eq!(stranger.session.conduct(), told);
    stranger.feed(Input::Broken(Fault::BareLf));
    assert_eq!(stranger.session.conduct(), Conduct { syntax: 2, ..told });

    let mut account = Direct::new(&["listener submissions"]);
    account.line("JUNK");
    account.line("AUTH PLAIN AGEAYg==");
    account.feed(Input::Answer(Answer::Denied(None)));
    assert_eq!(account.session.conduct().syntax, 1, "a wrong password is for others to remember");
    account.line("AUTH PLAIN AGEAYg==");
    account.feed(Input::Answer(Answer::Authenticated {
        who: Authenticated::mint_after_verification("a".into(), "password".into()),
    }));
    assert_eq!(account.session.conduct(), Conduct::default());
}

#[test]
fn the_limit_of_time_that_ended_a_session_is_told() {
    let over = |wait: u64, lines: &[&str]| {
        let mut session = Direct::new(&["sender x@there.example passes"]);
        for line in lines {
            session.line(line);
            if !line.starts_with("BDAT") {
                session.pass();
            }
        }
        session.wait(wait);
        session.feed(Input::TimedOut);
        session.session.conduct().limits.iter().collect::<Vec<_>>()
    };
    assert_eq!(over(60, &[]), [Limit::CommandTime]);
    assert_eq!(over(180, &["BDAT 6"]), [Limit::DataTime]);
    assert_eq!(over(600, &["MAIL FROM:<x@there.example>"]), [Limit::TransactionTime]);
    assert_eq!(over(3600, &[]), [Limit::SessionTime]);
}
