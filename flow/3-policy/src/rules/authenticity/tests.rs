//! Each result, and what the rules make of it.

use postern_mail::authenticity::{Arc, AuthResult, Authenticity, Disposition, Dmarc, Iprev, Spf, Words};
use postern_mail::client::ListenerKind;
use postern_mail::fact::ClientFacts;
use postern_mail::message::headers::Headers;
use postern_mail::{Decision, Effect, Envelope, Modes, ReversePath, Verdict};

use super::*;
use crate::facts::Found;

fn verdict_with(found: &Authenticity, settings: &Settings) -> Verdict {
    let client = ClientFacts { address: "192.0.2.7".parse().unwrap(), port: 1, listener: ListenerKind::Mx };
    let (envelope, headers) = (Envelope::plain(ReversePath::Null, Vec::new()), Headers::default());
    let facts = MessageFacts {
        client: &client,
        envelope: &envelope,
        identity: None,
        headers: &headers,
        size: 1,
        scope: None,
        earlier: &[],
        found: &Found { authenticity: Some(Box::new(found.clone())), ..Found::default() },
    };
    judge(Panel::new(&Modes::default()), &facts, settings).verdict()
}

fn verdict(found: &Authenticity) -> Verdict {
    verdict_with(found, &Settings::default())
}

fn points(verdict: &Verdict) -> Vec<(&str, i16)> {
    let tenths = |finding: &postern_mail::Finding| match finding.says {
        Effect::Points(tenths) => Some((finding.rule, tenths)),
        _ => None,
    };
    verdict.trail().iter().filter_map(tenths).collect()
}

fn spf(result: AuthResult) -> Option<Spf> {
    Some(Spf { domain: "there.test".into(), result, why: "-all".into(), explanation: "see there.test/why".into() })
}

fn dmarc(result: AuthResult, asked: Disposition) -> Authenticity {
    let one = Dmarc {
        domain: "bank.test".into(),
        result,
        asked,
        testing: false,
        aligned_spf: false,
        aligned_dkim: false,
        why: "no valid DKIM signature".into(),
    };
    Authenticity { dmarc: vec![one], ..Authenticity::default() }
}

fn sealed(mut found: Authenticity, result: AuthResult, last: &str) -> Authenticity {
    found.arc = Some(Arc {
        result,
        sealers: vec!["first.test".into(), last.into()],
        why: Words::default(),
        passed: vec!["Bank.test".into()],
    });
    found
}

#[test]
fn mail_that_a_domain_wants_refused_is_refused_and_told_whose_wish_it_is() {
    let refused = verdict(&dmarc(AuthResult::Fail, Disposition::Reject));
    assert_eq!(refused.decision(), Decision::Refuse);
    let reply = refused.reply().unwrap();
    assert_eq!((reply.code.0, reply.status.unwrap().to_string().as_str()), (550, "5.7.1"));
    assert!(reply.text().contains("bank.test") && reply.text().contains("no valid DKIM signature"), "{}", reply.text());
}

#[test]
fn quarantine_holds_or_counts_and_nothing_asked_is_nothing_done() {
    let found = dmarc(AuthResult::Fail, Disposition::Quarantine);
    assert_eq!(verdict(&found).decision(), Decision::Hold);
    let counts = verdict_with(&found, &Settings { quarantine: Quarantine::Points(45), ..Settings::default() });
    assert_eq!((counts.decision(), points(&counts)), (Decision::Pass, vec![("dmarc", 45)]));
    assert_eq!(verdict(&dmarc(AuthResult::Fail, Disposition::None)).decision(), Decision::Pass);
}

#[test]
fn of_several_authors_the_strictest_domain_decides() {
    let mut found = dmarc(AuthResult::Pass, Disposition::Reject);
    found.dmarc.extend(dmarc(AuthResult::Fail, Disposition::Quarantine).dmarc);
    assert_eq!(verdict(&found).decision(), Decision::Hold);
    found.dmarc.extend(dmarc(AuthResult::Fail, Disposition::Reject).dmarc);
    assert_eq!(verdict(&found).decision(), Decision::Refuse);
}

#[test]
fn leaving_the_author_out_is_no_way_around_and_no_seal_excuses_it() {
    let found = Authenticity { no_author: "the message has no From header field".into(), ..Authenticity::default() };
    assert_eq!(verdict(&found).decision(), Decision::Refuse);
    let trusting = Settings { arc_trusted: vec![Domain::parse("list.test").unwrap()], ..Settings::default() };
    assert_eq!(verdict_with(&sealed(found, AuthResult::Pass, "list.test"), &trusting).decision(), Decision::Refuse);
}

#[test]
fn what_could_not_be_found_out_is_not_held_against_the_sender() {
    for (result, asked) in [(AuthResult::TempError, Disposition::Quarantine), (AuthResult::PermError, Disposition::Reject)] {
        let mut found = dmarc(result, asked);
        found.spf_mail = spf(result);
        found.iprev = Some(Iprev { result: AuthResult::TempError, name: Words::default() });
        let verdict = verdict(&found);
        assert_eq!((verdict.decision(), points(&verdict)), (Decision::Pass, vec![]), "{result}");
    }
}

#[test]
fn where_refusal_is_asked_for_and_it_cannot_be_looked_up_now_the_sender_comes_again() {
    let open = dmarc(AuthResult::TempError, Disposition::Reject);
    let deferred = verdict(&open);
    assert_eq!((deferred.decision(), deferred.reply().unwrap().code.0), (Decision::Defer, 451));
    // Another author who is held does not let it pass, and one who is refused decides.
    for (asked, decision) in [(Disposition::Quarantine, Decision::Defer), (Disposition::Reject, Decision::Refuse)] {
        let mut found = open.clone();
        found.dmarc.extend(dmarc(AuthResult::Fail, asked).dmarc);
        assert_eq!(verdict(&found).decision(), decision, "{asked:?}");
    }
    let trusting = Settings { arc_trusted: vec![Domain::parse("list.test").unwrap()], ..Settings::default() };
    assert_eq!(verdict_with(&sealed(open, AuthResult::Pass, "list.test"), &trusting).decision(), Decision::Pass);
}

#[test]
fn a_trusted_sealer_that_has_not_found_the_author_to_pass_excuses_nothing() {
    let trusting = Settings { arc_trusted: vec![Domain::parse("list.test").unwrap()], ..Settings::default() };
    let mut found = sealed(dmarc(AuthResult::Fail, Disposition::Reject), AuthResult::Pass, "list.test");
    // Two authors, of whom the sealer has found one to pass.
    let other = Dmarc { domain: "other.test".into(), ..found.dmarc[0].clone() };
    found.dmarc.push(other);
    assert_eq!(verdict_with(&found, &trusting).decision(), Decision::Refuse);
    found.dmarc.truncate(1);
    assert_eq!(verdict_with(&found, &trusting).decision(), Decision::Pass);
    for passed in [vec![], vec!["evil.test".into()]] {
        found.arc.as_mut().unwrap().passed = passed;
        assert_eq!(verdict_with(&found, &trusting).decision(), Decision::Refuse);
    }
}

#[test]
fn only_a_whole_chain_of_a_trusted_last_sealer_takes_the_refusal_back() {
    let trusting = Settings { arc_trusted: vec![Domain::parse("list.test").unwrap()], ..Settings::default() };
    for (result, last, decision) in [
        (AuthResult::Pass, "list.test", Decision::Pass),
        (AuthResult::Pass, "LIST.test", Decision::Pass),
        (AuthResult::Pass, "evil.test", Decision::Refuse),
        (AuthResult::Fail, "list.test", Decision::Refuse),
        (AuthResult::TempError, "list.test", Decision::Refuse),
    ] {
        let found = sealed(dmarc(AuthResult::Fail, Disposition::Reject), result, last);
        assert_eq!(verdict_with(&found, &trusting).decision(), decision, "{result} {last}");
        assert_eq!(verdict(&found).decision(), Decision::Refuse, "nobody is trusted by default");
    }
    // The first sealer may be anybody.
    let found = sealed(dmarc(AuthResult::Fail, Disposition::Reject), AuthResult::Pass, "evil.test");
    let first = Settings { arc_trusted: vec![Domain::parse("first.test").unwrap()], ..Settings::default() };
    assert_eq!(verdict_with(&found, &first).decision(), Decision::Refuse);
}

#[test]
fn spf_and_a_client_without_a_name_give_points_and_never_decide() {
    for (result, expected) in [
        (AuthResult::Fail, vec![("spf", 30)]),
        (AuthResult::SoftFail, vec![("spf", 10)]),
        (AuthResult::Pass, vec![]),
        (AuthResult::None, vec![]),
    ] {
        let found = Authenticity { spf_mail: spf(result), ..Authenticity::default() };
        let verdict = verdict(&found);
        assert_eq!((verdict.decision(), points(&verdict)), (Decision::Pass, expected), "{result}");
        assert!(verdict.trail()[0].because.contains("see there.test/why"));
    }
    for (result, expected) in [(AuthResult::Fail, 10), (AuthResult::PermError, 10), (AuthResult::Pass, 0)] {
        let found = Authenticity { iprev: Some(Iprev { result, name: "n.test".into() }), ..Authenticity::default() };
        assert_eq!(points(&verdict(&found)).iter().map(|(_, tenths)| tenths).sum::<i16>(), expected);
    }
}
