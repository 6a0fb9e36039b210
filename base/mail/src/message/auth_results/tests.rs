//! Fields of results: what they look like, and what cannot get into them.

use super::*;
use crate::address::Mailbox;
use crate::authenticity::{Dkim, Dmarc, Iprev, Words};

fn about(from: &ReversePath) -> About<'_> {
    About { hostname: "mx.here.test", client: "192.0.2.7".parse().unwrap(), helo: "mail.there.test", from }
}

fn path(text: &str) -> ReversePath {
    ReversePath::Mailbox(Mailbox::parse(text).unwrap())
}

fn spf(result: AuthResult, why: &str) -> Spf {
    Spf { domain: "there.test".into(), result, why: why.into(), explanation: Words::default() }
}

fn found(why: &str) -> Authenticity {
    Authenticity {
        spf_helo: Some(spf(AuthResult::None, "")),
        spf_mail: Some(spf(AuthResult::Fail, why)),
        dkim: vec![Dkim {
            domain: why.into(),
            selector: "s1".into(),
            algorithm: "rsa-sha256".into(),
            signature: "AbCd+/12".into(),
            result: AuthResult::Pass,
            why: "".into(),
        }],
        dmarc: vec![Dmarc {
            domain: "there.test".into(),
            result: AuthResult::Fail,
            asked: Disposition::Reject,
            testing: false,
            aligned_spf: false,
            aligned_dkim: false,
            why: why.into(),
        }],
        iprev: Some(Iprev { result: AuthResult::Pass, name: "mail.there.test".into() }),
        ..Authenticity::default()
    }
}

#[test]
fn one_field_has_the_results_of_all_methods() {
    let from = path("a@there.test");
    assert_eq!(
        authentication_results(&about(&from), &found("-all")),
        "Authentication-Results: mx.here.test;\r\n\
         \tiprev=pass reason=\"the name is mail.there.test\"\r\n\
         \tpolicy.iprev=192.0.2.7;\r\n\
         \tspf=none smtp.helo=mail.there.test;\r\n\
         \tspf=fail reason=\"-all\" smtp.mailfrom=a@there.test;\r\n\
         \tdkim=pass header.d=-all header.s=s1 header.a=rsa-sha256\r\n\
         \theader.b=\"AbCd+/12\";\r\n\
         \tdmarc=fail reason=\"-all\" header.from=there.test policy.dmarc=reject\r\n"
    );
    assert_eq!(authentication_results(&about(&from), &Authenticity::default()), "Authentication-Results: mx.here.test; none\r\n");
}

#[test]
fn the_spf_field_tells_which_identity_was_checked_and_why() {
    let from = path("a@there.test");
    assert_eq!(
        received_spf(&about(&from), &found("-all")).unwrap(),
        "Received-SPF: fail receiver=mx.here.test; client-ip=192.0.2.7;\r\n\
         \thelo=mail.there.test; envelope-from=\"a@there.test\";\r\n\
         \tidentity=mailfrom; mechanism=-all\r\n"
    );
    let helo = Authenticity { spf_mail: None, ..found("") };
    let field = received_spf(&about(&ReversePath::Null), &helo).unwrap();
    assert!(field.contains("envelope-from=\"\"; identity=helo"), "{field}");
}

#[test]
fn nothing_a_stranger_says_ends_a_value_or_begins_a_field() {
    let from = path("\"a\\\";spf=pass\"@there.test");
    for hostile in [
        "x\"; spf=pass smtp.mailfrom=bank.test",
        "x)\r\nAuthentication-Results: mx.here.test; dmarc=pass",
        "(((",
        "\\",
        "\u{e9};",
    ] {
        for field in
            [authentication_results(&about(&from), &found(hostile)), received_spf(&about(&from), &found(hostile)).unwrap()]
        {
            let body = field.strip_suffix("\r\n").unwrap();
            assert!(body.split("\r\n").skip(1).all(|line| line.starts_with('\t')), "{field}");
            assert!(field.is_ascii());
            // Outside of quoted strings there is no hostile word.
            let mut outside = String::new();
            let (mut inside, mut escaped) = (false, false);
            for c in body.chars() {
                match c {
                    _ if escaped => escaped = false,
                    '\\' if inside => escaped = true,
                    '"' => inside = !inside,
                    _ if !inside => outside.push(c),
                    _ => {}
                }
            }
            assert!(
                !inside && !outside.contains("spf=pass") && !outside.contains("dmarc=pass") && !outside.contains('('),
                "{field}"
            );
        }
    }
}

fn cut(section: &str) -> Vec<&str> {
    claiming_to_be("mx.here.test", section.as_bytes()).into_iter().map(|range| &section[range]).collect()
}

#[test]
fn fields_that_claim_to_be_ours_are_found_however_they_are_written() {
    for ours in [
        "Authentication-Results: mx.here.test; spf=pass\r\n",
        "AUTHENTICATION-RESULTS:MX.Here.Test;spf=pass\r\n",
        "Authentication-Results :\r\n mx.here.test\r\n\t; spf=pass\r\n",
        "Authentication-Results: (a (b\\) c) comment) mx.here.test (another) 1; none\r\n",
        "Authentication-Results: \"mx.here.test\" 1; none\r\n",
        "Authentication-Results: \"mx.\\here.test\"; none\r\n",
        "Authentication-Results: mx.here.test.; none\r\n",
        "Authentication-Results: mx.here.test\r\n",
        "Authentication-Results: mx.here.test/1 spf=pass\r\n",
        "Authentication-Results: (never closed; spf=pass\r\n",
        "Authentication-Results: ; spf=pass\r\n",
    ] {
        let section = format!("Received: x\r\n{ours}Subject: mx.here.test\r\n");
        assert_eq!(cut(&section), [ours]);
    }
}

#[test]
fn fields_of_others_stay() {
    for other in [
        "Authentication-Results: mx.elsewhere.test; spf=pass\r\n",
        "Authentication-Results: sub.mx.here.test; spf=pass\r\n",
        "Authentication-Results: (mx.here.test) other.test; spf=pass\r\n",
        "ARC-Authentication-Results: i=1; mx.here.test; spf=pass\r\n",
        "X-Authentication-Results: mx.here.test; spf=pass\r\n",
    ] {
        assert_eq!(cut(other), [""; 0], "{other}");
    }
    let body = "Subject: x\r\n\r\nAuthentication-Results: mx.here.test; spf=pass\r\n";
    assert_eq!(cut(body), [""; 0], "the body is nobody's header");
}

#[test]
fn what_we_write_ourselves_is_found_again() {
    let from = path("a@there.test");
    let field = authentication_results(&about(&from), &found("-all"));
    assert_eq!(cut(&format!("{field}{field}Subject: x\r\n")), [field.as_str(), field.as_str()]);
}

#[test]
fn only_an_empty_line_ends_the_section_that_results_in_our_name_are_cut_from() {
    for before in ["\x0c\r\n", " \r\n", "X: y\r\n \r\n", "\t\r\n"] {
        let field = "Authentication-Results: mx.us; dmarc=pass\r\n";
        let section = format!("{before}{field}\r\n{field}");
        let cut = claiming_to_be("mx.us", section.as_bytes());
        assert_eq!((cut.len(), cut.first().cloned()), (1, Some(before.len()..before.len() + field.len())), "{before:?}");
    }
}

#[test]
fn who_passed_at_a_sealer_is_read_past_comments_and_quotes() {
    let of = |text: &str| passed_authors(text).join(" ");
    assert_eq!(
        of("i=1; mx.list.test; spf=pass smtp.mailfrom=x@y.test; dmarc=pass (p=none; dis=none) header.from=Bank.test"),
        "bank.test"
    );
    assert_eq!(
        of("i=1; mx;\r\n\tdmarc = pass\r\n\treason=\"a; b\" header.from = \"bank.test\"; dmarc=pass header.from=b.test"),
        "bank.test b.test"
    );
    for forged in [
        "i=1; mx; dmarc=fail header.from=bank.test",
        "i=1; mx; dmarc=fail (; dmarc=pass header.from=bank.test) header.from=bank.test",
        "i=1; mx; spf=fail reason=\"; dmarc=pass header.from=bank.test\"",
        "i=1; mx; spf=fail reason=\"\\\"; dmarc=pass header.from=bank.test\"",
        "i=1; mx; spf=fail reason=dmarc=pass header.from=bank.test",
        "i=1; mx; dmarc=pass",
        "i=1; mx; dmarc=passed header.from=bank.test",
    ] {
        assert_eq!(of(forged), "", "{forged}");
    }
}
