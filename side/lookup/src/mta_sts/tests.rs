//! Records and policies, as they are and as they should not be.

use proptest::prelude::*;

use super::*;

fn policy(text: &str) -> StsPolicy {
    StsPolicy::read(text).unwrap()
}

fn named(patterns: &str, host: &str) -> bool {
    let mx: String = patterns.split(' ').map(|pattern| format!("mx: {pattern}\r\n")).collect();
    policy(&format!("version: STSv1\r\nmode: enforce\r\nmax_age: 60\r\n{mx}")).names(&Domain::parse(host).unwrap())
}

#[test]
fn a_record_has_a_version_and_an_id() {
    assert_eq!(record_id("v=STSv1; id=20160831085700Z;"), Some("20160831085700Z"));
    assert_eq!(record_id("v=STSv1;x=y;id=1"), Some("1"));
    let long = format!("v=STSv1; id={};", "a".repeat(33));
    for wrong in ["v=STSv2; id=1;", "id=1; v=STSv1", "v=STSv1;", "v=STSv1; id=;", "v=STSv1; id=a-b;", "v=spf1 -all", &long] {
        assert_eq!(record_id(wrong), None, "{wrong}");
    }
}

#[test]
fn the_policy_of_the_standard_reads() {
    let read = policy("version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n");
    assert_eq!((read.mode, read.max_age), (Mode::Enforce, Duration::from_secs(604_800)));
    assert_eq!(read.mx, ["mail.example.com", "*.example.net"]);
    assert_eq!(
        policy("version: STSv1\nmode: none\nmax_age: 99999999999999999\n".replace("99999999999999999", "9999999999").as_str())
            .max_age
            .as_secs(),
        31_557_600
    );
}

#[test]
fn what_stands_twice_counts_once_and_what_is_unknown_not_at_all() {
    let read = policy("version: STSv1\nnew: thing\nmode: testing\nmode: enforce\nmax_age: 1\nmax_age: 2\nmx: A.Test\n\n");
    assert_eq!((read.mode, read.max_age.as_secs(), read.mx), (Mode::Testing, 1, vec!["a.test".to_owned()]));
}

#[test]
fn what_is_broken_is_no_policy() {
    let many = "mx: a.test\n".repeat(101);
    for wrong in [
        "",
        "mode: enforce\nmx: a.test\nmax_age: 1",
        "version: STSv2\nmode: enforce\nmx: a.test\nmax_age: 1",
        "version: STSv1\nmode: sometimes\nmx: a.test\nmax_age: 1",
        "version: STSv1\nmode: enforce\nmax_age: 1",
        "version: STSv1\nmode: enforce\nmx: a.test",
        "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: -1",
        "version: STSv1\nmode: enforce\nmx: a..test\nmax_age: 1",
        "version: STSv1\nmode: enforce\nmx: a.*.test\nmax_age: 1",
        "version: STSv1\nmode enforce\nmx: a.test\nmax_age: 1",
        &format!("version: STSv1\nmode: enforce\nmax_age: 1\n{many}"),
    ] {
        assert!(StsPolicy::read(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_star_is_one_label_and_nothing_else() {
    assert!(named("mx.a.test", "mx.a.test") && named("MX.a.test", "mx.A.test"));
    assert!(named("*.a.test", "mx.a.test") && !named("*.a.test", "a.test") && !named("*.a.test", "x.mx.a.test"));
    assert!(!named("mx.a.test", "mx.b.test") && named("mx.a.test *.b.test", "x.b.test"));
    assert!(!named("*.a.test", "xa.test"));
}

proptest! {
    #[test]
    fn whatever_a_stranger_writes_what_is_read_is_bounded(text in "(?s)((version|mode|max_age|mx|x)(:| )[ -~]{0,20}(\r\n|\n)){0,20}.{0,50}") {
        let _ = record_id(&text);
        if let Ok(policy) = StsPolicy::read(&text) {
            prop_assert!(policy.max_age.as_secs() <= MAX_AGE_MAX && policy.mx.len() <= PATTERNS_MAX);
            prop_assert_eq!(StsPolicy::read(&policy.text), Ok(policy.clone()));
        }
    }
}
