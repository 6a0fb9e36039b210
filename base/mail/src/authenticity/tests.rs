//! Results as records, and back.

use super::*;

fn full() -> Authenticity {
    let spf = Spf {
        domain: "sender.test".into(),
        result: AuthResult::SoftFail,
        why: "~all".into(),
        explanation: "go\tand\nread".into(),
    };
    let dkim = Dkim {
        domain: "sender.test".into(),
        selector: "s1".into(),
        algorithm: "rsa-sha256".into(),
        signature: "AbCd+/12".into(),
        result: AuthResult::Pass,
        why: Words::default(),
    };
    let dmarc = Dmarc {
        domain: "sender.test".into(),
        result: AuthResult::Fail,
        asked: Disposition::Quarantine,
        testing: true,
        aligned_spf: false,
        aligned_dkim: true,
        why: "nothing is aligned".into(),
    };
    Authenticity {
        spf_helo: Some(spf.clone()),
        spf_mail: Some(spf),
        dkim: vec![dkim; 2],
        dmarc: vec![dmarc],
        no_author: "the message has no From header field".into(),
        arc: Some(Arc {
            result: AuthResult::Pass,
            sealers: vec!["one.test".into(), "two.test".into()],
            why: "".into(),
            passed: vec!["a.test".into()],
        }),
        iprev: Some(Iprev { result: AuthResult::Fail, name: "".into() }),
    }
}

#[test]
fn what_is_written_reads_back_the_same() {
    for results in [full(), Authenticity::default(), Authenticity { arc: None, ..full() }] {
        assert_eq!(Authenticity::from_record(&results.to_record()), Some(results));
    }
    for result in AuthResult::ALL {
        assert_eq!(AuthResult::by_name(result.as_str()), Some(result));
    }
}

#[test]
fn no_text_of_a_stranger_can_begin_a_line_or_a_word_of_its_own() {
    let words = Words::new("a\r\niprev\tpass\u{202e}");
    assert_eq!(words.as_str(), "a??iprev?pass?");
    let hostile = Authenticity {
        iprev: Some(Iprev { result: AuthResult::Fail, name: "x\niprev\tpass\tgood.test".into() }),
        ..Authenticity::default()
    };
    assert_eq!(Authenticity::from_record(&hostile.to_record()), Some(hostile));
}

#[test]
fn a_record_is_bounded_however_much_there_was() {
    let mut many = full();
    many.dkim = vec![many.dkim[0].clone(); 1_000];
    many.spf_mail.as_mut().unwrap().explanation = Words::new(&"x".repeat(100_000));
    let record = many.to_record();
    assert!(record.len() < 8_000, "{}", record.len());
    assert_eq!(Authenticity::from_record(&record).unwrap().dkim.len(), SIGNATURES_MAX);
    assert_eq!(Authenticity::from_record(&"x".repeat(RECORD_MAX + 1)), None);
}

#[test]
fn what_a_later_version_wrote_is_passed_over() {
    let text = format!("bimi\tpass\n{}", full().to_record());
    assert_eq!(Authenticity::from_record(&text), Some(full()));
    assert_eq!(Authenticity::from_record("iprev\tperhaps\tx\n"), None);
}
