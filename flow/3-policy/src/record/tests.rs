//! Records: what is written reads back, decisions made again come out the same, and hostile octets do no harm.

use postern_mail::client::ListenerKind;
use postern_mail::filter::{FilterSaid, FilterWord, OnFailure};
use postern_mail::message::headers::HeaderFault;
use postern_mail::scope::{Breach, Part, QuotaFull};
use postern_mail::{Decision, Modes, Outage, Recipient};
use proptest::prelude::*;

use super::*;
use crate::policy::Outbound;
use crate::rules::score;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn policy() -> Policy {
    Policy {
        relay_networks: vec!["10.0.0.0/8".parse().unwrap()],
        trusted_networks: Vec::new(),
        outbound: Outbound::Enabled,
        message_bytes_max: 1_000,
        received_max: 3,
        limits: score::Limits::default(),
        dns_lists: Vec::new(),
        links: crate::rules::links::Weights::default(),
        authenticity: crate::rules::authenticity::Settings::default(),
        greylist_at: postern_mail::Points(0),
        hygiene: Default::default(),
        guard: postern_mail::GuardLimits::default(),
        modes: Modes::default(),
    }
}

fn client(listener: ListenerKind, address: &str) -> ClientFacts {
    ClientFacts { address: address.parse().unwrap(), port: 40_000, listener }
}

fn session() -> SessionId {
    SessionId(NOW.0 << 9)
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

struct Case {
    client: ClientFacts,
    from: ReversePath,
    who: Option<Authenticated>,
    owned: Fact<OwnedAddresses>,
    to: Mailbox,
    hosted: HostedAnswer,
    header: String,
    size: u64,
    scope: Option<ScopeSaid>,
    earlier: Vec<Scored>,
    found: Found,
    listed: Vec<Listed>,
    listed_recipient: Vec<Listed>,
    greylist: Option<GreySaid>,
    suppressed: Option<Suppressed>,
}

impl Case {
    fn stranger() -> Self {
        Self {
            client: client(ListenerKind::Mx, "203.0.113.9"),
            from: ReversePath::Mailbox(mailbox("stranger@there.test")),
            who: None,
            owned: Fact::Known(OwnedAddresses::default()),
            to: mailbox("alice@here.test"),
            hosted: HostedAnswer::Exists,
            header: "Received: from somewhere\r\nFrom: Stranger <stranger@there.test>\r\nSubject: not kept\r\n\r\n".to_owned(),
            size: 500,
            scope: None,
            earlier: Vec::new(),
            found: Found::default(),
            listed: Vec::new(),
            listed_recipient: Vec::new(),
            greylist: None,
            suppressed: None,
        }
    }

    /// The whole session: its record, and the verdicts of its stages as they were.
    fn run(&self) -> (Vec<u8>, Vec<Verdict>) {
        let policy = policy();
        let mut recorder = Recorder::new(session(), NOW, &self.client, 16_384);
        recorder.hello(NOW, &HeloName::parse("mail.there.test").unwrap());
        let identity = self.who.as_ref().map(|who| Identity { who, owned: &self.owned });
        let facts = SenderFacts {
            client: &self.client,
            from: &self.from,
            identity,
            size: Some(self.size),
            scope: self.scope.as_ref(),
            earlier: &self.earlier,
            dns: DnsSaid::NOTHING,
            listed: &self.listed,
        };
        let sender = policy.sender(&facts);
        recorder.judged(NOW, Asked::Sender(&facts), &sender);
        let facts = RecipientFacts {
            client: &self.client,
            to: &self.to,
            who: self.who.as_ref(),
            scope: self.scope.as_ref(),
            listed: &self.listed_recipient,
            greylist: self.greylist,
            suppressed: self.suppressed,
        };
        let (recipient, _) = policy.recipient(&facts, &self.hosted);
        recorder.judged(NOW, Asked::Recipient(&facts, &self.hosted), &recipient);
        let to = Recipient::recipient_of_record(self.to.clone(), self.hosted == HostedAnswer::Exists);
        let envelope =
            Envelope { client: Some(self.client.address), received: NOW, ..Envelope::plain(self.from.clone(), vec![to]) };
        let headers = Headers::parse(self.header.as_bytes());
        let (headers, size, scope) = (&headers, self.size, self.scope.as_ref());
        let facts = MessageFacts {
            client: &self.client,
            envelope: &envelope,
            identity,
            headers,
            size,
            scope,
            earlier: &self.earlier,
            found: &self.found,
        };
        let message = policy.message(&facts);
        recorder.judged(NOW, Asked::Message(&facts), &message);
        (recorder.take(), vec![sender, recipient, message])
    }

    fn check(&self) -> usize {
        let (bytes, verdicts) = self.run();
        let record = Record::read(&bytes).unwrap();
        assert_eq!((record.session, record.began, &record.client), (session(), NOW, &self.client));
        let judged = record.entries.iter().filter_map(|entry| match &entry.what {
            What::Judged(judged) => Some(judged),
            _ => None,
        });
        let judged: Vec<_> = judged.collect();
        assert_eq!(judged.len(), verdicts.len());
        for (judged, verdict) in judged.iter().zip(&verdicts) {
            assert_eq!(&judged.verdict, verdict, "as it was recorded");
            assert_eq!(judged.facts.judge(&record.client, &policy()).as_ref(), Some(verdict), "made again from the record");
        }
        bytes.len()
    }
}

#[test]
fn what_lists_said_before_the_greeting_is_in_the_record() {
    use postern_mail::netset::{Action, Subject};
    let one = |subject: &str, action: &str, until, observed| Listed {
        list: "/etc/postern/blocked.txt".into(),
        subject: Subject::parse(subject).unwrap(),
        action: Action::parse(action).unwrap(),
        reason: "the reason".into(),
        until,
        observed,
        about: "".into(),
    };
    let listed = [
        one("203.0.113.0/24", "block", Some(NOW), false),
        one("AS64500", "-4.5", None, false),
        one("DE", "allow", None, true),
        one("2001:db8::/32", "exempt", None, false),
    ];
    let client = client(ListenerKind::Mx, "203.0.113.9");
    let facts = ConnectFacts { client: &client, listed: &listed };
    let verdict = policy().connect(&facts);
    let mut recorder = Recorder::new(session(), NOW, &client, 16_384);
    recorder.judged(NOW, Asked::Connect(&facts), &verdict);
    let record = Record::read(&recorder.take()).unwrap();
    let What::Judged(judged) = &record.entries[0].what else { panic!("{record:?}") };
    assert_eq!((&judged.verdict, verdict.decision()), (&verdict, Decision::Hangup));
    assert_eq!(judged.facts.judge(&record.client, &policy()), Some(verdict));
}

#[test]
fn what_lists_said_of_names_is_in_the_record_of_each_stage_and_judged_again() {
    use postern_mail::netset::{Action, Subject};
    let one = |subject: &str, action: &str, about: &str| Listed {
        list: "postern list".into(),
        subject: Subject::parse(subject).unwrap(),
        action: Action::parse(action).unwrap(),
        reason: "the reason".into(),
        until: Some(NOW),
        observed: false,
        about: about.into(),
    };
    for (said, stage) in [
        (one("sender:.there.test", "block", "sender stranger@there.test"), Stage::Sender),
        (one("recipient:alice@here.test", "block", "recipient alice@here.test"), Stage::Recipient),
        (one("link:bad.test/a", "block", "link bad.test"), Stage::Message),
    ] {
        let at = |other: Stage| if other == stage { vec![said.clone()] } else { Vec::new() };
        let case = Case {
            listed: at(Stage::Sender),
            listed_recipient: at(Stage::Recipient),
            found: Found { listed: at(Stage::Message), ..Found::default() },
            ..Case::stranger()
        };
        let (bytes, verdicts) = case.run();
        let refused = verdicts.iter().filter(|verdict| verdict.decision() == Decision::Refuse).count();
        assert_eq!(refused, 1, "{stage}");
        let _ = case.check();
        let read = Record::read(&bytes).unwrap();
        let named: Vec<Listed> = read
            .entries
            .into_iter()
            .filter_map(|entry| match entry.what {
                What::Judged(judged) => Some(judged.facts),
                _ => None,
            })
            .flat_map(|facts| match facts {
                Facts::Sender { listed, .. } | Facts::Recipient { listed, .. } | Facts::Connect { listed } => listed,
                Facts::Message { found, .. } => found.listed,
            })
            .collect();
        assert_eq!(named, [said]);
    }
}

#[test]
fn what_was_remembered_of_an_attempt_is_in_the_record_where_greylisting_is_on() {
    use std::time::Duration;
    let case = Case { greylist: Some(GreySaid::Wait(Duration::from_secs(77))), ..Case::stranger() };
    assert_eq!(case.run().1[1].decision(), Decision::Pass, "it is off");
    let _ = case.check();
    let (bytes, _) = case.run();
    let record = Record::read(&bytes).unwrap();
    let on =
        Policy { modes: Modes::new(postern_mail::Mode::Enforce, vec![("greylist", postern_mail::Mode::Enforce)]), ..policy() };
    let again = record.entries.iter().find_map(|entry| match &entry.what {
        What::Judged(judged) if judged.facts.stage() == Stage::Recipient => judged.facts.judge(&record.client, &on),
        _ => None,
    });
    assert_eq!(again.unwrap().decision(), Decision::Defer);
    for said in [GreySaid::Known, GreySaid::Back(Duration::from_secs(3))] {
        let _ = Case { greylist: Some(said), ..Case::stranger() }.check();
    }
}

#[test]
fn what_was_remembered_of_a_recipient_is_in_the_record_and_refuses_it_again() {
    use postern_mail::suppression::Cause;
    for (cause, until) in [(Cause::Bounced, Some(UnixMillis(7))), (Cause::Complained, None)] {
        let suppressed = Some(Suppressed { cause, since: UnixMillis(5), until, of_account: until.is_none() });
        let (client, who) = (client(ListenerKind::Submission, "203.0.113.9"), Some(super::somebody("alice@here.test")));
        let to = mailbox("x@elsewhere.test");
        let case = Case { client, who, suppressed, to, hosted: HostedAnswer::NotOurs, ..Case::stranger() };
        let (_, verdicts) = case.run();
        assert_eq!(verdicts[1].decided_by().map(|finding| finding.rule), Some("suppressed"), "{:?}", verdicts[1]);
        let _ = case.check();
    }
}

#[test]
fn what_the_guard_of_accounts_said_is_in_the_record_and_is_held_by_the_limits_of_the_day() {
    use postern_mail::{GuardLimits, GuardSaid, GuardStep, Points};
    let judged = |said: GuardSaid, limits: GuardLimits| {
        let case = Case { found: Found { guard: Some(Box::new(said)), ..Found::default() }, ..Case::stranger() };
        let _ = case.check();
        let record = Record::read(&case.run().0).unwrap();
        let policy = Policy { guard: limits, ..policy() };
        let again = record.entries.iter().find_map(|entry| match &entry.what {
            What::Judged(judged) if judged.facts.stage() == Stage::Message => judged.facts.judge(&record.client, &policy),
            _ => None,
        });
        again.unwrap()
    };
    let said = |tenths, standing| GuardSaid { points: Points(tenths), standing, because: "41 strangers".to_owned() };
    let limits = GuardLimits::default();
    assert_eq!(judged(said(59, GuardStep::Slow), limits).decision(), Decision::Pass);
    let held = judged(said(61, GuardStep::None), limits);
    assert_eq!(held.decision(), Decision::Hold);
    assert!(held.decided_by().unwrap().because.contains("41 strangers"), "{held:?}");
    assert_eq!(judged(said(61, GuardStep::None), GuardLimits { hold: Points(70), ..limits }).decision(), Decision::Pass);
    assert_eq!(judged(said(0, GuardStep::Suspend), limits).decision(), Decision::Hold);
}

#[test]
fn what_dns_lists_said_is_in_the_record_and_is_worth_what_the_rules_of_the_day_say() {
    use postern_mail::dns_list::{CodeRange, DnsListRule, DnsListed, DnsMute, DnsSaid, DnsUnheard, Scoring};
    use postern_mail::{DnsTarget, Domain, Mode};
    let (zone, target, code) = ("bl.test", DnsTarget::MailFrom, std::net::Ipv4Addr::new(127, 0, 0, 2));
    let (asked, text) = ("there.test".into(), "see https://bl.test/".into());
    let listed = vec![DnsListed { zone: zone.into(), target, asked, codes: vec![code], text }];
    let unheard = DnsMute::ALL.map(|why| DnsUnheard { zone: zone.into(), target, why }).into();
    let dns = DnsSaid { listed, unheard };
    let with = |tenths| {
        let scoring = Scoring::Codes(vec![CodeRange { first: code, last: code, tenths }]);
        let rule = DnsListRule { zone: Domain::parse(zone).unwrap(), target, scoring, mode: Mode::Enforce };
        Policy { dns_lists: vec![rule], ..policy() }
    };
    let case = Case::stranger();
    let facts = SenderFacts {
        client: &case.client,
        from: &case.from,
        identity: None,
        size: None,
        scope: None,
        earlier: &[],
        dns: &dns,
        listed: &[],
    };
    let verdict = with(100).sender(&facts);
    assert_eq!(verdict.decision(), Decision::Refuse);
    let mut recorder = Recorder::new(session(), NOW, &case.client, 16_384);
    recorder.judged(NOW, Asked::Sender(&facts), &verdict);
    let record = Record::read(&recorder.take()).unwrap();
    let What::Judged(judged) = &record.entries[0].what else { panic!("{record:?}") };
    assert!(matches!(&judged.facts, Facts::Sender { dns: read, .. } if *read == dns), "{judged:?}");
    assert_eq!(judged.facts.judge(&record.client, &with(100)).as_ref(), Some(&verdict));
    assert_eq!(judged.facts.judge(&record.client, &with(40)).unwrap().decision(), Decision::Pass);
    assert_eq!(judged.facts.judge(&record.client, &policy()).unwrap().decision(), Decision::Pass, "the list is no longer asked");
}

#[test]
fn what_was_found_out_about_the_author_is_in_the_record_and_judged_again() {
    use postern_mail::authenticity::{AuthResult, Authenticity, Disposition, Dmarc};
    let dmarc = Dmarc {
        domain: "there.test".into(),
        result: AuthResult::Fail,
        asked: Disposition::Reject,
        testing: false,
        aligned_spf: false,
        aligned_dkim: false,
        why: "no valid DKIM signature".into(),
    };
    let case = Case {
        found: Found {
            authenticity: Some(Box::new(Authenticity { dmarc: vec![dmarc], ..Authenticity::default() })),
            ..Found::default()
        },
        ..Case::stranger()
    };
    let (_, verdicts) = case.run();
    assert_eq!(verdicts.last().unwrap().decided_by().unwrap().rule, "dmarc");
    let _ = case.check();
}

#[test]
fn what_was_odd_about_links_is_in_the_record_and_so_is_how_many_places_no_list_was_asked_about() {
    use postern_mail::link::{LinkFacts, OddLink, Trick, Tricks};
    let mut tricks = Tricks::default();
    tricks.add(Trick::Shortener);
    tricks.add(Trick::LookAlike);
    let links = LinkFacts { odd: vec![OddLink::new("bad.example", tricks)], is_whole: false, unasked: 1_000_000 };
    let case = Case { found: Found { links: Some(links), ..Found::default() }, ..Case::stranger() };
    let (_, verdicts) = case.run();
    let found = verdicts.last().unwrap().trail().iter().find(|finding| finding.rule == "links").unwrap().clone();
    assert_eq!(found.says, postern_mail::Effect::Points(75));
    assert!(found.because.contains("1000000 more places"), "{found:?}");
    let _ = case.check();
}

#[test]
fn evidence_that_postmaster_is_sent_is_not_held_and_the_record_says_for_whom_it_was() {
    use postern_mail::link::{LinkFacts, OddLink, Trick, Tricks};
    let mut tricks = Tricks::default();
    Trick::ALL.into_iter().for_each(|trick| tricks.add(trick));
    let links = Some(LinkFacts { odd: vec![OddLink::new("bad.example", tricks)], is_whole: true, unasked: 0 });
    for (is_for_postmaster, decision) in [(false, Decision::Refuse), (true, Decision::Pass)] {
        let case = Case { found: Found { links: links.clone(), is_for_postmaster, ..Found::default() }, ..Case::stranger() };
        let (_, verdicts) = case.run();
        assert_eq!(verdicts.last().unwrap().decision(), decision);
        let _ = case.check();
    }
}

#[test]
fn only_mail_that_is_for_nobody_else_is_for_postmaster() {
    let to = |names: &[&str]| {
        let recipients = names.iter().map(|name| Recipient::recipient_of_record(mailbox(name), !name.contains("far")));
        crate::facts::is_for_postmaster(&Envelope::plain(ReversePath::Null, recipients.collect()))
    };
    assert!(to(&["Postmaster@here.test", "abuse@here.test"]));
    for others in [&["postmaster@here.test", "alice@here.test"][..], &["abuse@far.test"], &[]] {
        assert!(!to(others), "{others:?}");
    }
}

#[test]
fn a_decision_made_again_from_its_record_is_the_same() {
    let who = || Some(Authenticated::restored_from_record("alice@here.test".into(), "phone".into()));
    let many = (0..100).map(|number| mailbox(&format!("a{number}@here.test"))).chain([mailbox("alice@here.test")]).collect();
    let owned = || Fact::Known(OwnedAddresses { exact: vec![mailbox("alice@here.test")], domains: vec![] });
    let submission = || client(ListenerKind::Submission, "2001:db8::1");
    let alice = || ReversePath::Mailbox(mailbox("ALICE@here.test"));
    let stranger = Case::stranger;
    for case in [
        stranger(),
        Case { hosted: HostedAnswer::Unknown, ..stranger() },
        Case { hosted: HostedAnswer::NotOurs, ..stranger() },
        Case { hosted: HostedAnswer::Unavailable(Outage::Service("directory".into())), ..stranger() },
        Case { client: submission(), ..stranger() },
        Case { client: submission(), who: who(), owned: owned(), ..stranger() },
        Case {
            client: submission(),
            who: who(),
            owned: owned(),
            from: alice(),
            header: "From: alice@here.test\r\n\r\n".into(),
            ..stranger()
        },
        Case {
            client: submission(),
            who: who(),
            owned: owned(),
            from: alice(),
            header: "From: a@b.test\r\n\r\n".into(),
            ..stranger()
        },
        Case {
            client: submission(),
            who: who(),
            owned: Fact::Known(OwnedAddresses { exact: many, domains: vec![] }),
            from: alice(),
            header: "From: alice@here.test\r\n\r\n".into(),
            ..stranger()
        },
        Case { client: submission(), who: who(), owned: Fact::Unavailable(Outage::DiskFull), ..stranger() },
        Case {
            client: submission(),
            who: who(),
            from: ReversePath::Null,
            owned: owned(),
            header: "From: alice@here.test\r\nAuto-Submitted: auto-replied\r\n\r\n".into(),
            ..stranger()
        },
        Case { header: "Received: x\r\n".repeat(4), ..stranger() },
        Case { header: "broken\r\nDelivered-To: alice@here.test\r\n".into(), ..stranger() },
        Case {
            header: "From: a@b.test\r\n \r\nFrom: c\r\n".into(),
            client: submission(),
            who: who(),
            owned: owned(),
            ..stranger()
        },
        Case { size: 5_000, ..stranger() },
    ] {
        case.check();
    }
}

#[test]
fn the_record_of_an_ordinary_session_is_a_few_hundred_octets() {
    let size = Case::stranger().check();
    println!("a session with one message: {size} octets");
    let case = Case::stranger();
    let mut recorder = Recorder::new(session(), NOW, &case.client, RECORD_BYTES_MAX);
    for number in 0..20 {
        let to = mailbox(&format!("recipient{number}@here.test"));
        let facts = RecipientFacts {
            client: &case.client,
            to: &to,
            who: None,
            scope: None,
            listed: &[],
            greylist: None,
            suppressed: None,
        };
        let (verdict, _) = policy().recipient(&facts, &HostedAnswer::Exists);
        recorder.judged(NOW, Asked::Recipient(&facts, &HostedAnswer::Exists), &verdict);
    }
    let twenty = recorder.take().len();
    println!("twenty recipients: {twenty} octets");
    assert!(twenty < 4_096, "{twenty}");
    assert!(size < 640, "{size}");
}

#[test]
fn a_record_that_is_full_says_so_and_keeps_what_it_has() {
    let mut recorder = Recorder::new(session(), NOW, &Case::stranger().client, 200);
    for number in 0..100 {
        recorder.login(NOW, Some(&format!("user{number}")), "wrong credentials");
    }
    let bytes = recorder.take();
    assert!(bytes.len() <= 204, "{}", bytes.len());
    let record = Record::read(&bytes).unwrap();
    assert!(matches!(record.entries.first().unwrap().what, What::Login { .. }));
    assert!(matches!(record.entries.last().unwrap().what, What::Cut));
    assert!(recorder.is_empty(), "the next piece begins anew");
    recorder.accepted(NOW, MessageId(7));
    assert_eq!(Record::read(&recorder.take()).unwrap().session, session());
}

#[test]
fn recipients_that_passed_leave_room_for_the_refusal_and_the_acceptance_behind_them() {
    let case = Case::stranger();
    let mut recorder = Recorder::new(session(), NOW, &case.client, 4_096);
    let mut rcpt = |number: u32, hosted: HostedAnswer| {
        let to = mailbox(&format!("recipient{number}@here.test"));
        let facts = RecipientFacts {
            client: &case.client,
            to: &to,
            who: None,
            scope: None,
            listed: &[],
            greylist: None,
            suppressed: None,
        };
        let (verdict, _) = policy().recipient(&facts, &hosted);
        recorder.judged(NOW, Asked::Recipient(&facts, &hosted), &verdict);
    };
    (0..1_000).for_each(|number| rcpt(number, HostedAnswer::Exists));
    rcpt(1_000, HostedAnswer::Unknown);
    recorder.accepted(NOW, MessageId(7));
    let bytes = recorder.take();
    assert!(bytes.len() <= 4_096, "{}", bytes.len());
    let entries = Record::read(&bytes).unwrap().entries;
    let [.., cut, refused, accepted] = entries.as_slice() else { panic!("{entries:?}") };
    assert!(matches!(cut.what, What::Cut), "{entries:?}");
    assert!(matches!(&refused.what, What::Judged(judged) if judged.verdict.decision() == Decision::Refuse), "{refused:?}");
    assert!(matches!(accepted.what, What::Accepted(MessageId(7))));
}

#[test]
fn what_is_about_one_message_leaves_the_others_out() {
    let case = Case::stranger();
    let mut recorder = Recorder::new(session(), NOW, &case.client, 16_384);
    let connect = ConnectFacts { client: &case.client, listed: &[] };
    recorder.judged(NOW, Asked::Connect(&connect), &policy().connect(&connect));
    recorder.hello(NOW, &HeloName::parse("x").unwrap());
    for id in [1, 2] {
        let facts = SenderFacts {
            client: &case.client,
            from: &case.from,
            identity: None,
            size: Some(id),
            scope: None,
            earlier: &[],
            dns: DnsSaid::NOTHING,
            listed: &[],
        };
        recorder.judged(NOW, Asked::Sender(&facts), &policy().sender(&facts));
        recorder.accepted(NOW, MessageId(id));
    }
    let record = Record::read(&recorder.take()).unwrap();
    assert!(record.clone().about(MessageId(3)).is_none(), "nothing is known of it, and what is known of others is not about it");
    for id in [1, 2] {
        let about = record.clone().about(MessageId(id)).unwrap();
        assert_eq!(about.entries.len(), 4, "{about:?}");
        assert!(
            matches!(&about.entries[0].what, What::Judged(judged) if judged.facts.stage() == Stage::Connect),
            "what lists said of the client belongs to each of its messages: {about:?}"
        );
        assert!(
            matches!(&about.entries[2].what, What::Judged(judged) if matches!(judged.facts, Facts::Sender { size: Some(size), .. } if size == id))
        );
    }
}

proptest! {
    #[test]
    fn any_octets_read_as_a_record_or_as_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..400), flip in any::<(usize, u8)>()) {
        let _ = Record::read(&bytes);
        let (mut record, _) = Case::stranger().run();
        let place = flip.0 % record.len();
        record[place] ^= flip.1;
        let _ = Record::read(&record);
    }

    #[test]
    fn any_facts_come_back_and_are_judged_the_same(
        local in "[a-z0-9.]{1,20}x", domain in "[a-z]{1,10}\\.(test|example)", header in "(From: [ -~]{0,60}\r\n){0,2}(Received: x\r\n){0,5}\r\n",
        size in any::<u32>(), v6 in any::<u128>(), listener in 0..3usize, hosted in 0..4usize, login in any::<bool>(), scope in 0..5usize, points in proptest::collection::vec(any::<i16>(), 0..4), words in 0..9_i16,
    ) {
        let Ok(address) = Mailbox::parse(&format!("{local}@{domain}")) else { return Ok(()) };
        let listener = [ListenerKind::Mx, ListenerKind::Submission, ListenerKind::Submissions][listener];
        let hosted = [HostedAnswer::NotOurs, HostedAnswer::Exists, HostedAnswer::Unknown, HostedAnswer::Unavailable(Outage::Dns(local.clone()))][hosted].clone();
        let who = login.then(|| Authenticated::restored_from_record(address.to_string().into(), local.as_str().into()));
        let owned = Fact::Known(OwnedAddresses { exact: vec![address.clone()], domains: vec![] });
        let client = ClientFacts { address: std::net::Ipv6Addr::from(v6).into(), port: 7, listener };
        let quota = QuotaFull { part: Part::ALL[local.len() % Part::ALL.len()], limit: size, free_at: UnixMillis(u64::from(size)) };
        let breach = Breach { part: quota.part, words: local.clone() };
        let scope = [
            None,
            Some(ScopeSaid::Within),
            Some(ScopeSaid::Outside(breach)),
            Some(ScopeSaid::Unreadable(HeaderFault::ALL[local.len() % HeaderFault::ALL.len()])),
            Some(ScopeSaid::Full { quota, now: NOW }),
        ][scope].clone();
        let earlier = points.into_iter().map(|tenths| Scored { rule: "list_score", points: postern_mail::Points(tenths) }).collect();
        let from = ReversePath::Mailbox(address.clone());
        let found = Found { filters: said_by_filters(words), ..Found::default() };
        let (listed, listed_recipient, greylist, suppressed) = (Vec::new(), Vec::new(), None, None);
        let case = Case { client, from, who, owned, to: address, hosted, header, size: u64::from(size), scope, earlier, found, listed, listed_recipient, greylist, suppressed };
        let _ = case.check();
    }
}

#[test]
fn a_verdict_keeps_which_rules_were_only_observed() {
    let case = Case {
        header: "From: a@b.test\r\n\r\n".into(),
        client: client(ListenerKind::Submission, "192.0.2.1"),
        ..Case::stranger()
    };
    let who = Authenticated::restored_from_record("alice@here.test".into(), "phone".into());
    let watching = Policy { modes: Modes::new(postern_mail::Mode::Observe, vec![]), ..policy() };
    let identity = Some(Identity { who: &who, owned: &case.owned });
    let facts = SenderFacts {
        client: &case.client,
        from: &case.from,
        identity,
        size: None,
        scope: None,
        earlier: &[],
        dns: DnsSaid::NOTHING,
        listed: &[],
    };
    let verdict = watching.sender(&facts);
    assert_eq!(verdict.decision(), Decision::Pass, "observed only");
    let mut recorder = Recorder::new(session(), NOW, &case.client, 16_384);
    recorder.judged(NOW, Asked::Sender(&facts), &verdict);
    let record = Record::read(&recorder.take()).unwrap();
    let What::Judged(judged) = &record.entries[0].what else { panic!("{record:?}") };
    assert!(judged.verdict.is_observed("sender_identity"));
    assert_eq!(judged.facts.judge(&record.client, &policy()).unwrap().decision(), Decision::Refuse, "enforced it would refuse");
}

/// One filter, and what it can say.
fn said_by_filters(which: i16) -> Vec<FilterSaid> {
    let word = match which {
        0 => return Vec::new(),
        1 => FilterWord::Refuse(Reply::of_filter(550, None, "no".to_owned()).unwrap()),
        2 => FilterWord::Defer(Reply::deferred_by_policy()),
        3 => FilterWord::Hold,
        4 => FilterWord::Discard,
        5 => FilterWord::Points(-32),
        6 => FilterWord::Down(OnFailure::Refuse),
        7 => FilterWord::Down(OnFailure::Accept),
        _ => FilterWord::Pass,
    };
    vec![FilterSaid { filter: "milter 127.0.0.1:1".into(), word, words: "because".to_owned(), observed: which % 2 == 0 }]
}
