//! Each of the four rules: whom it is about, what it says, and whom it lets be.

use postern_mail::client::ListenerKind;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::ClientFacts;
use postern_mail::suppression::Cause;
use postern_mail::{Decision, Domain, Mode, Modes};

use super::*;
use crate::facts::HostedAnswer;
use crate::policy::Policy;
use crate::policy::tests::policy;

fn judged(
    policy: &Policy,
    to: &str,
    account: Option<&str>,
    suppressed: Option<Suppressed>,
    hosted: &HostedAnswer,
) -> (Decision, String, String) {
    let client = ClientFacts { address: "10.0.0.9".parse().unwrap(), port: 1, listener: ListenerKind::Submission };
    let who = account.map(crate::record::somebody);
    let to = Mailbox::parse(to).unwrap();
    let facts =
        RecipientFacts { client: &client, to: &to, who: who.as_ref(), scope: None, listed: &[], greylist: None, suppressed };
    let (verdict, admission) = policy.recipient(&facts, hosted);
    assert_eq!(admission.is_some(), verdict.decision() == Decision::Pass);
    let reply =
        verdict.reply().map(|reply| format!("{} {} {}", reply.code.0, reply.status.unwrap(), reply.text())).unwrap_or_default();
    let trail = verdict.trail().iter().map(|finding| finding.rule).collect::<Vec<_>>().join(" ");
    (verdict.decision(), reply, trail)
}

const SAID: Suppressed =
    Suppressed { cause: Cause::Bounced, since: UnixMillis(0), until: Some(UnixMillis(86_400_000)), of_account: false };

#[test]
fn a_suppressed_address_is_refused_with_why_since_until_and_what_helps() {
    let (decision, reply, trail) = judged(&policy(), "x@b.example", Some("a@here.example"), Some(SAID), &HostedAnswer::NotOurs);
    assert_eq!(decision, Decision::Refuse, "{trail}");
    assert!(reply.starts_with("550 5.1.1 ") && reply.contains("suppressed"), "{reply}");
    assert!(reply.contains("does not exist") && reply.contains("2 Jan 1970") && reply.contains("administrator"), "{reply}");
    let complained = Suppressed { cause: Cause::Complained, until: None, of_account: true, ..SAID };
    let (_, reply, _) = judged(&policy(), "x@b.example", None, Some(complained), &HostedAnswer::NotOurs);
    assert!(reply.starts_with("550 5.1.0 ") && reply.contains("complained") && reply.contains("taken back"), "{reply}");
}

#[test]
fn recipients_of_ours_are_never_looked_at() {
    let mut policy = policy();
    policy.hygiene.traps = vec![Addresses::parse("gmial.com").unwrap()];
    let (decision, _, trail) = judged(&policy, "x@gmial.com", Some("a@here.example"), Some(SAID), &HostedAnswer::Exists);
    assert_eq!((decision, &*trail), (Decision::Pass, "recipient"));
}

#[test]
fn a_mistyped_domain_is_told_of_and_refused_with_the_right_address_where_that_is_wanted() {
    let mut policy = policy();
    let look = |policy: &Policy| judged(policy, "Some.Body@gmial.com", Some("a@here.example"), None, &HostedAnswer::NotOurs);
    let (decision, _, trail) = look(&policy);
    assert!(decision == Decision::Pass && trail.contains(MISTYPED), "{trail}");
    policy.modes = Modes::new(Mode::Enforce, vec![(MISTYPED, Mode::Enforce)]);
    let (decision, reply, _) = look(&policy);
    assert_eq!(decision, Decision::Refuse);
    assert!(reply.starts_with("550 5.1.2 ") && reply.contains("Some.Body@gmail.com"), "{reply}");
    policy.modes = Modes::new(Mode::Off, Vec::new());
    assert!(!look(&policy).2.contains(MISTYPED), "a general mode that is weaker holds");
}

#[test]
fn a_trap_is_refused_and_its_refusal_does_not_say_that_it_is_one() {
    let mut policy = policy();
    policy.hygiene.traps = ["trap@b.example", "traps.example"].iter().filter_map(|text| Addresses::parse(text)).collect();
    for to in ["Trap@b.example", "any@traps.example"] {
        let (decision, reply, trail) = judged(&policy, to, Some("a@here.example"), None, &HostedAnswer::NotOurs);
        assert!(decision == Decision::Refuse && trail.contains(TRAP), "{trail}");
        assert!(reply.starts_with("550 5.7.1 ") && !reply.contains("trap:"), "{reply}");
    }
    assert_eq!(judged(&policy, "other@b.example", Some("a@here.example"), None, &HostedAnswer::NotOurs).0, Decision::Pass);
}

#[test]
fn offices_get_no_newsletters_and_every_other_mail() {
    let mut policy = policy();
    policy.hygiene.bulk_accounts = vec!["News@here.example".into()];
    policy.hygiene.role_names = vec!["info".into()];
    let look = |to, account| judged(&policy, to, Some(account), None, &HostedAnswer::NotOurs);
    let (decision, reply, _) = look("Info+x@b.example", "news@here.example");
    assert!(decision == Decision::Refuse && reply.contains("info+x@b.example") | reply.contains("Info+x@b.example"), "{reply}");
    assert_eq!(look("information@b.example", "news@here.example").0, Decision::Pass);
    assert_eq!(look("info@b.example", "alice@here.example").0, Decision::Pass);
}

#[test]
fn the_table_holds_domains_only_and_none_that_is_meant() {
    assert!(MEANT.len() >= 200, "{}", MEANT.len());
    for (typed, meant) in MEANT.iter() {
        assert_eq!(Domain::parse(typed).unwrap().as_str(), *typed);
        assert!(Domain::parse(meant).is_ok() && !MEANT.contains_key(meant), "{meant}");
    }
    let words = include_str!("../../../data/mistyped-domains.txt").lines().filter(|line| !line.starts_with('#'));
    let typed: usize = words.map(|line| line.split_whitespace().count().saturating_sub(1)).sum();
    assert_eq!(typed, MEANT.len(), "one stands there twice");
}
