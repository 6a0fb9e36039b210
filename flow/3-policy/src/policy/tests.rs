//! Every rule, alone and together with the others: what is refused, with which reply, and what the trail says.

use postern_mail::client::ListenerKind;
use postern_mail::envelope::DsnRequest;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::{ClientFacts, Fact};
use postern_mail::message::headers::Headers;
use postern_mail::netset::{Action, Listed, Subject};
use postern_mail::proof::Authenticated;
use postern_mail::scope::{AccountScope, Addresses, Breach, Narrowed, Part, QuotaFull};
use postern_mail::{Decision, DnsSaid, Domain, Envelope, Mailbox, Mode, Outage, Points, Recipient, ReversePath, Scored};

use super::*;
use crate::facts::Found;
use crate::facts::{HostedAnswer, Identity, OwnedAddresses, ScopeSaid};
use crate::rules::scope::Scopes;

const KINDS: [ListenerKind; 3] = [ListenerKind::Mx, ListenerKind::Submission, ListenerKind::Submissions];

/// Answers by the first letter of the local part, for `here.example` only.
struct Here;

impl Directory for Here {
    fn hosted(&self, mailbox: &Mailbox) -> HostedAnswer {
        if mailbox.domain().is_none_or(|domain| domain.as_str() != "here.example") {
            return HostedAnswer::NotOurs;
        }
        match mailbox.local.as_str() {
            "alice" | "bob" => HostedAnswer::Exists,
            "silent" => HostedAnswer::Unavailable(Outage::Service("accounts".into())),
            _ => HostedAnswer::Unknown,
        }
    }
}

pub(crate) fn policy() -> Policy {
    Policy {
        relay_networks: vec!["10.0.0.0/8".parse().unwrap(), "10.1.0.0/16".parse().unwrap()],
        trusted_networks: Vec::new(),
        outbound: Outbound::Enabled,
        message_bytes_max: 1_000,
        received_max: loops::RECEIVED_MAX,
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

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn path(text: &str) -> ReversePath {
    if text.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(mailbox(text)) }
}

fn alice() -> Authenticated {
    Authenticated::mint_after_verification("alice@here.example".into(), "password".into())
}

fn owned() -> Fact<OwnedAddresses> {
    Fact::Known(OwnedAddresses {
        exact: vec![mailbox("alice@here.example")],
        domains: vec![Domain::parse("shop.example").unwrap()],
    })
}

fn silent() -> Fact<OwnedAddresses> {
    Fact::Unavailable(Outage::Service("accounts".into()))
}

/// Code and status of the reply.
fn told(verdict: &Verdict) -> String {
    let reply = verdict.reply().unwrap_or_else(|| panic!("no reply: {verdict:?}"));
    format!("{} {}", reply.code.0, reply.status.unwrap())
}

// ---- RCPT

#[test]
fn no_stranger_gets_a_relay_permit_in_any_combination() {
    let addresses = ["203.0.113.9", "10.1.2.3", "::ffff:10.1.2.3", "::ffff:203.0.113.9", "2001:db8::1", "127.0.0.1", "::1"];
    // What open relays have been fooled with: other people's domains behind ours, before ours, and literals.
    let targets = [
        "someone@elsewhere.example",
        "someone@sub.here.example",
        "someone@here.example.elsewhere.example",
        "someone@[203.0.113.1]",
        "someone@[127.0.0.1]",
        "someone@localhost",
        "alice%here.example@elsewhere.example",
        "\"alice@here.example\"@elsewhere.example",
        "postmaster@elsewhere.example",
    ];
    let who = alice();
    let mut permits = 0;
    for listener in KINDS {
        for address in addresses {
            for identity in [None, Some(&who)] {
                for outbound in [Outbound::Enabled, Outbound::Disabled] {
                    for target in targets {
                        let policy = Policy { outbound, ..policy() };
                        let client = client(listener, address);
                        let to = mailbox(target);
                        let facts = RecipientFacts {
                            client: &client,
                            to: &to,
                            who: identity,
                            scope: None,
                            listed: &[],
                            greylist: None,
                            suppressed: None,
                        };
                        let (verdict, admission) = policy.recipient(&facts, &Here);

                        let authenticated = identity.is_some() && listener != ListenerKind::Mx;
                        let in_network = address.ends_with("10.1.2.3");
                        let may = (authenticated || in_network) && outbound == Outbound::Enabled;
                        let case = format!("{listener} {address} {identity:?} {outbound:?} {target}");
                        assert_eq!(verdict.decision() == Decision::Pass, may, "{case}");
                        match admission {
                            Some(Admission::Relay(_)) => permits += 1,
                            Some(Admission::Hosted(_)) => panic!("hosted: {case}"),
                            None => assert_eq!(told(&verdict), "550 5.7.1", "{case}"),
                        }
                        assert_eq!(policy.recipient(&facts, &Here).1.is_some(), may, "{case}");
                    }
                }
            }
        }
    }
    // Per target with sending on: two addresses in the network on three listeners, with and without AUTH, and five others
    // authenticated on the two submission listeners.
    assert_eq!(permits, targets.len() * (2 * 3 * 2 + 5 * 2));
}

#[test]
fn the_whole_world_in_a_local_part_is_an_unknown_mailbox_of_ours() {
    let client = client(ListenerKind::Mx, "203.0.113.9");
    for target in
        ["someone%elsewhere.example@here.example", "elsewhere.example!someone@here.example", "\"a@b.example\"@here.example"]
    {
        let to = mailbox(target);
        let (verdict, admission) = policy().recipient(
            &RecipientFacts { client: &client, to: &to, who: None, scope: None, listed: &[], greylist: None, suppressed: None },
            &Here,
        );
        assert_eq!(told(&verdict), "550 5.1.1", "{target}");
        assert!(admission.is_none(), "{target}");
    }
}

#[test]
fn recipients_of_ours_are_judged_by_the_directory_and_not_by_who_asks() {
    let who = alice();
    for (listener, identity) in [(ListenerKind::Mx, None), (ListenerKind::Submission, Some(&who))] {
        for outbound in [Outbound::Enabled, Outbound::Disabled] {
            for (target, expected) in [
                ("alice@here.example", None),
                ("nobody@here.example", Some("550 5.1.1")),
                ("PostMaster@here.example", None),
                ("silent@here.example", Some("451 4.4.0")),
            ] {
                let policy = Policy { outbound, ..policy() };
                let client = client(listener, "203.0.113.9");
                let to = mailbox(target);
                let (verdict, admission) = policy.recipient(
                    &RecipientFacts {
                        client: &client,
                        to: &to,
                        who: identity,
                        scope: None,
                        listed: &[],
                        greylist: None,
                        suppressed: None,
                    },
                    &Here,
                );
                match expected {
                    None => assert!(matches!(admission, Some(Admission::Hosted(_))), "{target}"),
                    Some(reply) => {
                        assert_eq!(told(&verdict), reply, "{target}");
                        assert!(admission.is_none(), "{target}");
                    }
                }
            }
        }
    }
}

#[test]
fn where_sending_is_off_only_those_who_could_send_are_told_so() {
    let policy = Policy { outbound: Outbound::Disabled, ..policy() };
    let to = mailbox("someone@elsewhere.example");
    let who = alice();
    let text = |client: ClientFacts, who| {
        let (verdict, _) = policy.recipient(
            &RecipientFacts { client: &client, to: &to, who, scope: None, listed: &[], greylist: None, suppressed: None },
            &Here,
        );
        verdict.reply().unwrap().text().to_owned()
    };
    assert!(text(client(ListenerKind::Submission, "203.0.113.9"), Some(&who)).contains("switched off"));
    assert!(text(client(ListenerKind::Mx, "203.0.113.9"), None).contains("relaying denied"));
}

#[test]
fn a_network_client_is_counted_by_its_narrowest_network() {
    assert_eq!(policy().network_account("10.1.2.3".parse().unwrap()).as_deref(), Some("network:10.1.0.0/16"));
    assert_eq!(policy().network_account("::ffff:10.2.0.1".parse().unwrap()).as_deref(), Some("network:10.0.0.0/8"));
    assert_eq!(policy().network_account("192.0.2.1".parse().unwrap()), None);
}

// ---- MAIL

fn at_mail(listener: ListenerKind, from: &str, owned: Option<&Fact<OwnedAddresses>>, size: Option<u64>) -> Verdict {
    let who = alice();
    let client = client(listener, "203.0.113.9");
    let identity = owned.map(|owned| Identity { who: &who, owned });
    policy().sender(&SenderFacts {
        client: &client,
        from: &path(from),
        identity,
        size,
        scope: None,
        earlier: &[],
        dns: DnsSaid::NOTHING,
        listed: &[],
    })
}

#[test]
fn an_account_begins_only_with_an_address_of_its_own() {
    for (from, reply) in [
        ("alice@here.example", None),
        ("ALICE@here.example", None),
        ("anything@shop.example", None),
        ("anything@sub.shop.example", Some("550 5.7.1")),
        ("anything@badshop.example", Some("550 5.7.1")),
        ("bob@here.example", Some("550 5.7.1")),
        ("alice@elsewhere.example", Some("550 5.7.1")),
        ("alice@[203.0.113.9]", Some("550 5.7.1")),
        ("", None),
    ] {
        let verdict = at_mail(ListenerKind::Submission, from, Some(&owned()), None);
        match reply {
            None => assert_eq!(verdict.decision(), Decision::Pass, "{from}"),
            Some(reply) => assert_eq!(told(&verdict), reply, "{from}"),
        }
    }
}

#[test]
fn an_account_store_that_does_not_answer_defers_and_never_passes() {
    for from in ["alice@here.example", "bob@here.example", ""] {
        let verdict = at_mail(ListenerKind::Submissions, from, Some(&silent()), None);
        assert_eq!(verdict.decision(), Decision::Defer, "{from}");
        assert_eq!(told(&verdict), "451 4.4.0");
    }
}

#[test]
fn submission_without_auth_does_not_begin() {
    for listener in [ListenerKind::Submission, ListenerKind::Submissions] {
        for from in ["alice@here.example", ""] {
            assert_eq!(told(&at_mail(listener, from, None, None)), "530 5.7.0", "{from}");
        }
    }
    let client = client(ListenerKind::Submission, "10.0.0.1");
    let from = path("printer@here.example");
    let verdict = policy().sender(&SenderFacts {
        client: &client,
        from: &from,
        identity: None,
        size: None,
        scope: None,
        earlier: &[],
        dns: DnsSaid::NOTHING,
        listed: &[],
    });
    assert_eq!(verdict.decision(), Decision::Pass, "a relay network needs no AUTH");
}

#[test]
fn other_servers_may_use_any_sender_and_the_null_one() {
    for from in ["", "bob@elsewhere.example", "bob@[203.0.113.9]"] {
        assert_eq!(at_mail(ListenerKind::Mx, from, None, None).decision(), Decision::Pass, "{from}");
    }
}

#[test]
fn a_told_size_over_the_limit_is_refused_before_the_body() {
    assert_eq!(at_mail(ListenerKind::Mx, "", None, Some(1_000)).decision(), Decision::Pass);
    assert_eq!(told(&at_mail(ListenerKind::Mx, "", None, Some(1_001))), "552 5.3.4");
}

// ---- the end of the body

struct Case<'a> {
    listener: ListenerKind,
    from: &'a str,
    to: &'a [&'a str],
    owned: Option<Fact<OwnedAddresses>>,
    header: &'a str,
    size: u64,
}

impl Case<'_> {
    fn submitted(header: &str) -> Case<'_> {
        let owned = Some(owned());
        Case {
            listener: ListenerKind::Submission,
            from: "alice@here.example",
            to: &["bob@here.example"],
            owned,
            header,
            size: 10,
        }
    }

    fn incoming(header: &str) -> Case<'_> {
        Case { listener: ListenerKind::Mx, from: "x@y.example", to: &["bob@here.example"], owned: None, header, size: 10 }
    }

    fn judge(&self) -> Verdict {
        let who = alice();
        let client = client(self.listener, "203.0.113.9");
        let admitted = |text: &&str| {
            let to = mailbox(text);
            let facts = RecipientFacts {
                client: &client,
                to: &to,
                who: self.owned.as_ref().map(|_| &who),
                scope: None,
                listed: &[],
                greylist: None,
                suppressed: None,
            };
            let (_, admission) = policy().recipient(&facts, &Here);
            Recipient::admitted(to.clone(), &admission.unwrap(), DsnRequest::default())
        };
        let recipients = self.to.iter().map(admitted).collect();
        let envelope = Envelope { client: Some(client.address), ..Envelope::plain(path(self.from), recipients) };
        let headers = Headers::parse(self.header.as_bytes());
        let identity = self.owned.as_ref().map(|owned| Identity { who: &who, owned });
        policy().message(&MessageFacts {
            client: &client,
            envelope: &envelope,
            identity,
            headers: &headers,
            size: self.size,
            scope: None,
            earlier: &[],
            found: Found::NOTHING,
        })
    }
}

#[test]
fn an_account_writes_only_as_itself() {
    for header in [
        "From: alice@here.example\r\n\r\n",
        "From: \"Bob <bob@here.example>\" <alice@here.example>\r\n\r\n",
        "From: Alice <alice@here.example>, Shop <info@shop.example>\r\n\r\n",
        "From: Alice <alice@here.example>\r\nSender: info@shop.example\r\n\r\n",
    ] {
        assert_eq!(Case::submitted(header).judge().decision(), Decision::Pass, "{header:?}");
    }
    for header in [
        "From: bob@here.example\r\n\r\n",
        "From: alice@here.example, bob@here.example\r\n\r\n",
        "From: Alice: bob@here.example;\r\n\r\n",
        "From: alice@here.example\r\nSender: bob@here.example\r\n\r\n",
        "From: bob@here.example\r\nSender: alice@here.example\r\n\r\n",
    ] {
        assert_eq!(told(&Case::submitted(header).judge()), "550 5.7.1", "{header:?}");
    }
}

#[test]
fn a_from_that_cannot_be_judged_is_refused_in_words_that_say_why() {
    for (header, words) in [
        ("Subject: x\r\n\r\n", "no From"),
        ("From: alice@here.example\r\nFrom: bob@here.example\r\n\r\n", "more than one From"),
        ("From: alice\r\n\r\n", "not a list of valid addresses"),
        ("From : alice@here.example\r\n\r\n", "field name"),
        ("Fr om: bob@here.example\r\nFrom: alice@here.example\r\n\r\n", "field name"),
        ("From: alice@here.example\r\nSender: a, b\r\n\r\n", "Sender"),
        ("From: alice@here.example\r\n \r\nFrom: bob@here.example\r\n\r\n", "folded line"),
    ] {
        let verdict = Case::submitted(header).judge();
        assert_eq!(told(&verdict), "554 5.6.0", "{header:?}");
        assert!(verdict.reply().unwrap().text().contains(words), "{header:?}: {:?}", verdict.reply());
        assert_eq!(
            Case::incoming(header).judge().decision(),
            Decision::Pass,
            "other servers' headers are not refused: {header:?}"
        );
    }
    let unknown = Case { owned: Some(silent()), ..Case::submitted("From: alice@here.example\r\n\r\n") };
    assert_eq!(told(&unknown.judge()), "451 4.4.0");
}

#[test]
fn the_null_sender_on_submission_is_for_reports_and_automatic_replies() {
    let with = |field: &str| {
        let header = format!("From: alice@here.example\r\n{field}\r\n\r\n");
        Case { from: "", ..Case::submitted(&header) }.judge()
    };
    for field in [
        "Auto-Submitted: auto-replied",
        "auto-submitted: auto-generated; x=y",
        "Content-Type: multipart/report; report-type=disposition-notification; boundary=x",
    ] {
        assert_eq!(with(field).decision(), Decision::Pass, "{field}");
    }
    for field in ["Subject: x", "Auto-Submitted: no", "Auto-Submitted: no; x", "Auto-Submitted:", "Content-Type: text/plain"] {
        let verdict = with(field);
        assert_eq!(told(&verdict), "550 5.7.1", "{field}");
        assert!(verdict.reply().unwrap().text().contains("null sender"), "{field}");
    }
    let forged = Case { from: "", ..Case::submitted("From: bob@here.example\r\nAuto-Submitted: auto-replied\r\n\r\n") };
    assert_eq!(told(&forged.judge()), "550 5.7.1", "From is checked all the same");
    assert_eq!(Case { from: "", ..Case::incoming("\r\n") }.judge().decision(), Decision::Pass);
}

#[test]
fn a_message_that_has_passed_too_many_servers_is_a_loop() {
    let header = |count: usize| format!("{}From: a@b.example\r\n\r\n", "Received: x\r\n".repeat(count));
    assert_eq!(Case::incoming(&header(loops::RECEIVED_MAX)).judge().decision(), Decision::Pass);
    assert_eq!(told(&Case::incoming(&header(loops::RECEIVED_MAX + 1)).judge()), "554 5.4.6");
    let broken = format!("broken\r\n{}", header(loops::RECEIVED_MAX + 1));
    assert_eq!(told(&Case::incoming(&broken).judge()), "554 5.4.6", "a malformed section hides no loop");
}

#[test]
fn a_message_does_not_come_to_the_same_mailbox_twice() {
    let header = "Delivered-To: bob@here.example\r\nFrom: alice@here.example\r\n\r\n";
    assert_eq!(told(&Case::incoming(header).judge()), "554 5.4.6");
    let other = Case { to: &["alice@here.example"], ..Case::incoming(header) };
    assert_eq!(other.judge().decision(), Decision::Pass, "forwarded from one mailbox of ours to another");
    let header = "Delivered-To: c@elsewhere.example\r\nFrom: alice@here.example\r\n\r\n";
    let relayed = Case { to: &["c@elsewhere.example"], ..Case::submitted(header) };
    assert_eq!(relayed.judge().decision(), Decision::Pass, "other people's mailboxes are for their servers to judge");
}

#[test]
fn a_body_over_the_limit_is_refused_and_every_rule_is_in_the_trail() {
    let verdict = Case { size: 1_001, ..Case::submitted("From: bob@here.example\r\n\r\n") }.judge();
    assert_eq!(told(&verdict), "552 5.3.4");
    let rules: Vec<&str> = verdict.trail().iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, ["size", "loops", "sender", "sender_identity"]);
}

#[test]
fn an_allowance_of_a_list_takes_back_neither_a_scope_nor_the_rule_against_relaying() {
    let client = client(ListenerKind::Submission, "192.0.2.1");
    let allowed = [Listed {
        list: "l".into(),
        subject: Subject::parse("recipient:.example").unwrap(),
        action: Action::Allow,
        reason: "".into(),
        until: None,
        observed: false,
        about: "recipient".into(),
    }];
    let said = ScopeSaid::Outside(Breach { part: Part::Recipients, words: "not this one".to_owned() });
    let who = alice();
    for (who, scope, to, rule) in
        [(Some(&who), Some(&said), "bob@here.example", "scope"), (None, None, "x@other.example", "relay")]
    {
        let facts =
            RecipientFacts { client: &client, to: &mailbox(to), who, scope, listed: &allowed, greylist: None, suppressed: None };
        let (verdict, admission) = policy().recipient(&facts, &Here);
        assert_eq!((verdict.decided_by().map(|finding| finding.rule), admission.is_none()), (Some(rule), true), "{verdict:?}");
        assert!(verdict.trail().iter().any(|finding| finding.rule == "list_allow"), "{verdict:?}");
    }
}

#[test]
fn a_scope_refuses_a_hosted_recipient_and_one_elsewhere_and_takes_the_admission_away() {
    let scope = AccountScope { recipients: Some(vec![Addresses::parse("there.example").unwrap()]), ..AccountScope::default() };
    let client = client(ListenerKind::Submission, "192.0.2.1");
    let who = alice();
    let judged = |to: &str, full: Option<QuotaFull>| {
        let to = mailbox(to);
        let scopes = Scopes { narrowed: Narrowed { account: &scope, credential: None }, now: UnixMillis(0) };
        let said = scopes.recipient(&client, &to, full);
        let scope = Some(&said);
        let (verdict, admission) = policy().recipient(
            &RecipientFacts { client: &client, to: &to, who: Some(&who), scope, listed: &[], greylist: None, suppressed: None },
            &Here,
        );
        assert_eq!(admission.is_some(), verdict.decision() == Decision::Pass);
        (verdict.reply().map(|reply| reply.code.0), verdict.trail().last().map(|finding| finding.rule))
    };
    assert_eq!(judged("bob@here.example", None), (Some(550), Some("scope")));
    assert_eq!(judged("x@other.example", None), (Some(550), Some("scope")));
    assert_eq!(judged("x@there.example", None), (None, Some("scope")));
    let full = QuotaFull { part: Part::RecipientsPerDay, limit: 9, free_at: UnixMillis(60_000) };
    assert_eq!(judged("x@there.example", Some(full)), (Some(450), Some("scope")));
}

#[test]
fn points_of_a_list_are_added_up_with_what_comes_later_and_refuse_hold_or_mark() {
    let client = client(ListenerKind::Mx, "192.0.2.7");
    let listed = |tenths| Listed {
        list: "l".into(),
        subject: Subject::parse("192.0.2.0/24").unwrap(),
        action: Action::Score(tenths),
        reason: "".into(),
        until: None,
        observed: false,
        about: "".into(),
    };
    for (tenths, at_mail, at_data) in
        [(59, Decision::Pass, Decision::Pass), (60, Decision::Pass, Decision::Hold), (100, Decision::Refuse, Decision::Refuse)]
    {
        let listed = [listed(tenths)];
        let connect = policy().connect(&ConnectFacts { client: &client, listed: &listed });
        assert_eq!(connect.decision(), Decision::Pass, "before the greeting points decide nothing");
        let earlier: Vec<Scored> = connect.scored().collect();
        assert_eq!(earlier, [Scored { rule: "list_score", points: Points(tenths) }]);
        let from = path("a@there.example");
        let mail = policy().sender(&SenderFacts {
            client: &client,
            from: &from,
            identity: None,
            size: None,
            scope: None,
            earlier: &earlier,
            dns: DnsSaid::NOTHING,
            listed: &[],
        });
        assert_eq!(mail.decision(), at_mail, "{tenths}");
        let (envelope, headers) = (Envelope::plain(from, Vec::new()), Headers::parse(b"From: a@there.example\r\n\r\n"));
        let facts = MessageFacts {
            client: &client,
            envelope: &envelope,
            identity: None,
            headers: &headers,
            size: 9,
            scope: None,
            earlier: &earlier,
            found: Found::NOTHING,
        };
        assert_eq!(policy().message(&facts).decision(), at_data, "{tenths}");
        let watching = Policy { modes: Modes::new(Mode::Enforce, vec![("score", Mode::Observe)]), ..policy() };
        assert_eq!(watching.message(&facts).decision(), Decision::Pass, "an observed sum has no effect");
        let trusting = Policy { trusted_networks: vec!["192.0.2.0/28".parse().unwrap()], ..policy() };
        assert_eq!(trusting.message(&facts).decision(), Decision::Pass, "a trusted network is not held for points");
    }
}

#[test]
fn a_message_is_marked_from_its_limit_on_and_not_while_points_have_no_effect() {
    let earlier = |tenths| [Scored { rule: "list_score", points: Points(tenths) }];
    let nothing = Verdict::of(Vec::new());
    assert_eq!(policy().marks(&[], &nothing), None);
    assert_eq!(policy().marks(&earlier(39), &nothing), None);
    let marks = policy().marks(&earlier(40), &nothing).unwrap();
    assert_eq!(marks, b"X-Spam-Flag: YES\r\nX-Spam-Score: 4.0\r\n");
    for mode in [Mode::Observe, Mode::Off] {
        let without = Policy { modes: Modes::new(Mode::Enforce, vec![("score", mode)]), ..policy() };
        assert_eq!(without.marks(&earlier(90), &nothing), None, "{mode:?}");
    }
}
