//! Parameters of MAIL and RCPT: read, refused, and printed back.

use proptest::prelude::*;

use super::*;

#[test]
fn mail_parameters_are_read_in_any_order_and_case() {
    let params = MailParams::parse(" smtputf8  size=1000 BODY=8bitmime RET=hdrs ENVID=QQ+2B1 requiretls AUTH=<>").unwrap();
    let wanted = MailParams {
        size: Some(1000),
        body: Some(BodyKind::EightBitMime),
        smtputf8: true,
        require_tls: true,
        ret: Some(Return::Headers),
        envid: Some("QQ+2B1".into()),
        auth_given: true,
    };
    assert_eq!(params, wanted);
}

#[test]
fn a_parameter_given_twice_is_refused_even_with_the_same_value() {
    for bad in [
        "SIZE=1 SIZE=1",
        "BODY=7BIT BODY=8BITMIME",
        "SMTPUTF8 SMTPUTF8",
        "RET=FULL RET=FULL",
        "ENVID=a ENVID=a",
        "AUTH=<> AUTH=<>",
    ] {
        assert_eq!(MailParams::parse(bad), Err(Fault::BadParameter), "{bad}");
    }
    assert_eq!(parse_rcpt("NOTIFY=NEVER NOTIFY=NEVER"), Err(Fault::BadParameter));
    assert_eq!(parse_rcpt("ORCPT=rfc822;a ORCPT=rfc822;a"), Err(Fault::BadParameter));
}

#[test]
fn bad_values_are_refused() {
    for bad in [
        "SIZE",
        "SIZE=",
        "SIZE=-1",
        "SIZE=+1",
        "SIZE=1k",
        "SIZE=18446744073709551616",
        "SIZE=1=1",
        "BODY=BINARYMIME",
        "BODY=",
        "SMTPUTF8=1",
        "REQUIRETLS=",
        "RET=ALL",
        "ENVID=a=b",
        "ENVID=a+0A+00",
        "ENVID=a+0a",
        "ENVID=a+",
        "ENVID=a+2",
        "ENVID=+FF",
        "ENVID=+C3+A9",
        "AUTH=a+0D",
    ] {
        assert_eq!(MailParams::parse(bad), Err(Fault::BadParameter), "{bad}");
    }
    assert_eq!(MailParams::parse(&format!("ENVID={}", "a".repeat(101))), Err(Fault::BadParameter));
    assert!(MailParams::parse(&format!("ENVID={}", "a".repeat(100))).is_ok());
}

#[test]
fn what_we_do_not_offer_is_unknown() {
    for unknown in ["MT-PRIORITY=3", "BY=1;R", "X", "NOTIFY=NEVER"] {
        assert_eq!(MailParams::parse(unknown), Err(Fault::UnknownParameter), "{unknown}");
    }
    assert_eq!(parse_rcpt("SIZE=1"), Err(Fault::UnknownParameter));
    for nothing in ["=1", "-A=1", "a_b=1", "é=1"] {
        assert_eq!(MailParams::parse(nothing), Err(Fault::Syntax), "{nothing}");
    }
}

#[test]
fn never_stands_alone_in_notify() {
    let notify = |text| parse_rcpt(text).map(|dsn| dsn.notify.unwrap());
    assert_eq!(notify("NOTIFY=never"), Ok(Notify::NEVER));
    assert_eq!(notify("NOTIFY=DELAY,success"), Ok(Notify { success: true, failure: false, delay: true }));
    for bad in ["NOTIFY=NEVER,SUCCESS", "NOTIFY=SUCCESS,NEVER", "NOTIFY=SUCCESS,", "NOTIFY=,", "NOTIFY=", "NOTIFY=X"] {
        assert_eq!(notify(bad), Err(Fault::BadParameter), "{bad}");
    }
}

#[test]
fn original_recipients_are_kept_as_they_came() {
    for good in ["rfc822;a+2Bb@c.example", "utf-8;j\\x{FC}rgen@c.example", "UTF-8;jürgen@c.example", "x400;c+3Dde"] {
        assert_eq!(parse_rcpt(&format!("ORCPT={good}")).unwrap().original.as_deref(), Some(good));
    }
    for bad in [
        "ORCPT=a@b.example",
        "ORCPT=;a@b.example",
        "ORCPT=rfc822;",
        "ORCPT=rfc822;a+0D+0AX",
        "ORCPT=rfc822;jürgen@c.example",
        "ORCPT=utf-8;a\\x{0A}b",
        "ORCPT=utf-8;a\\x{D800}b",
        "ORCPT=utf-8;a\\x{FC",
        "ORCPT=utf-8;a\\y",
        "ORCPT=utf-8;a+2B",
    ] {
        assert_eq!(parse_rcpt(bad), Err(Fault::BadParameter), "{bad}");
    }
    assert_eq!(parse_rcpt(&format!("ORCPT=rfc822;{}", "a".repeat(494))), Err(Fault::BadParameter));
}

proptest! {
    #[test]
    fn xtext_gives_back_what_was_encoded(text in "\\PC{0,60}") {
        let printable: String = text.chars().filter(|c| !c.is_control()).collect();
        let encoded = encode_xtext(&printable);
        prop_assert!(encoded.bytes().all(|b| b.is_ascii_graphic() && b != b'='));
        prop_assert_eq!(decode_xtext(&encoded), Ok(printable));
    }
}
