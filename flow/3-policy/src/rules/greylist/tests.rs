//! Who is asked about, and what is made of what is remembered.

use postern_mail::netset::Subject;
use postern_mail::{Decision, Modes, Verdict};

use super::*;
use crate::policy::tests::policy as plain;

fn policy() -> Policy {
    Policy { modes: Modes::new(Mode::Enforce, vec![(GREYLIST, Mode::Enforce)]), greylist_at: Points(10), ..plain() }
}

fn client(address: &str) -> ClientFacts {
    ClientFacts { address: address.parse().unwrap(), port: 1, listener: ListenerKind::Mx }
}

#[test]
fn only_strangers_with_something_against_them_are_asked_about_and_only_where_it_is_switched_on() {
    let (stranger, to) = (client("192.0.2.1"), Mailbox::parse("alice@here.test").unwrap());
    let points = |rule, tenths| Scored { rule, points: Points(tenths) };
    let bad = [points("list_score", 10)];
    let allowed = |observed| Listed {
        list: "l".into(),
        subject: Subject::parse("sender:@there.test").unwrap(),
        action: Action::Allow,
        reason: "".into(),
        until: None,
        observed,
        about: "sender a@there.test".into(),
    };
    let who = Candidate { client: &stranger, is_account: false, is_known: false, to: &to, listed: &[], points: &bad };
    assert!(is_asked(&policy(), &who));
    assert!(is_asked(&policy(), &Candidate { listed: &[allowed(true)], ..who }), "a list that is only observed spares nobody");
    assert!(!is_asked(&plain(), &who), "it is off unless it is switched on");
    assert!(is_asked(&Policy { greylist_at: Points(0), ..policy() }, &Candidate { points: &[], ..who }));
    let trusting = Policy { trusted_networks: vec!["192.0.2.0/24".parse().unwrap()], ..policy() };
    assert!(!is_asked(&trusting, &who));
    let (relay, submitting) = (client("10.0.0.1"), ClientFacts { listener: ListenerKind::Submission, ..stranger.clone() });
    let postmaster = Mailbox::parse("PostMaster@here.test").unwrap();
    for spared in [
        Candidate { is_account: true, ..who },
        Candidate { is_known: true, ..who },
        Candidate { client: &relay, ..who },
        Candidate { client: &submitting, ..who },
        Candidate { to: &postmaster, ..who },
        Candidate { listed: &[allowed(false)], ..who },
        Candidate { points: &[points("list_score", 9)], ..who },
        Candidate { points: &[points("list_score", 90), points("dnsbl", -10)], ..who },
        Candidate { points: &[], ..who },
    ] {
        assert!(!is_asked(&policy(), &spared), "{spared:?}");
    }
}

#[test]
fn who_is_to_wait_is_told_how_long_and_the_others_pass() {
    let decided = |said| Verdict::of(vec![judge(said)]).decision();
    assert_eq!(decided(GreySaid::Wait(Duration::from_secs(1))), Decision::Defer);
    assert_eq!([GreySaid::Known, GreySaid::Back(Duration::from_secs(9))].map(decided), [Decision::Pass; 2]);
    let reply = judge(GreySaid::Wait(Duration::from_millis(240_500))).reply.unwrap();
    assert_eq!((reply.code.0, reply.status.unwrap().to_string().as_str()), (451, "4.7.1"));
    assert!(reply.text().contains("5 minutes"), "{}", reply.text());
    let told = |seconds| words(Duration::from_secs(seconds));
    assert_eq!([0, 30, 91, 7200].map(told), ["a second", "30 seconds", "2 minutes", "2 hours"]);
}
