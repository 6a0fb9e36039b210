//! Commands: each form that is read, each that is refused, and that printing reads back.

use proptest::prelude::*;

use super::*;

fn parse(line: &str) -> Result<Command<'_>, Fault> {
    Command::parse(line.as_bytes())
}

fn mail_of(line: &str) -> Mail {
    match parse(line) {
        Ok(Command::Mail(mail)) => *mail,
        other => panic!("{line}: {other:?}"),
    }
}

fn recipient_of(line: &str) -> ForwardPath {
    match parse(line) {
        Ok(Command::Rcpt(rcpt)) => rcpt.to,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn every_command_is_known_in_any_case_and_with_white_space_behind() {
    for (line, printed) in [
        ("ehlo client.example", "EHLO client.example"),
        ("HeLo [192.0.2.1]", "HELO [192.0.2.1]"),
        ("LHLO client.example", "LHLO"),
        ("mail from:<A@B.Example> size=5", "MAIL FROM:<A@b.example> SIZE=5"),
        ("MAIL FROM:<>", "MAIL FROM:<>"),
        ("rcpt to:<a@b.example> notify=never", "RCPT TO:<a@b.example> NOTIFY=NEVER"),
        ("data", "DATA"),
        ("DATA \t ", "DATA"),
        ("bdat 10 last", "BDAT 10 LAST"),
        ("BDAT  0", "BDAT 0"),
        ("RSET", "RSET"),
        ("NOOP whatever you say", "NOOP"),
        ("quit", "QUIT"),
        ("STARTTLS", "STARTTLS"),
        ("AUTH plain AGEAYg==", "AUTH PLAIN AGEAYg=="),
        ("AUTH SCRAM-SHA-256-PLUS", "AUTH SCRAM-SHA-256-PLUS"),
        ("AUTH GSSAPI =", "AUTH X-UNKNOWN ="),
        ("VRFY a", "VRFY"),
        ("EXPN list", "EXPN"),
        ("HELP", "HELP"),
        ("TURN", "ETRN"),
        ("ETRN x", "ETRN"),
        ("SEND FROM:<a@b.example>", "ETRN"),
    ] {
        assert_eq!(parse(line).unwrap().to_string(), printed, "{line}");
    }
}

#[test]
fn a_command_that_takes_no_argument_is_refused_with_one() {
    for line in ["DATA foo", "STARTTLS x", "QUIT now", "RSET x"] {
        assert_eq!(parse(line), Err(Fault::Syntax), "{line}");
    }
}

#[test]
fn a_command_that_needs_an_argument_is_refused_without_one() {
    for line in ["EHLO", "HELO", "HELO ", "MAIL", "RCPT", "MAIL FROM", "RCPT TO", "BDAT", "AUTH", "MAIL TO:<a@b.example>"] {
        assert_eq!(parse(line), Err(Fault::Syntax), "{line}");
    }
    assert_eq!(parse("EHLO two words"), Err(Fault::Hello));
    for line in ["", " ", " NOOP", "DATAX", "MAILFROM:<a@b.example>", "GET / HTTP/1.1", "\u{c9}HLO x"] {
        assert_eq!(parse(line), Err(Fault::UnknownCommand), "{line:?}");
    }
}

#[test]
fn a_chunk_size_is_digits_that_fit_in_64_bits() {
    assert_eq!(parse("BDAT 18446744073709551615"), Ok(Command::Bdat { size: u64::MAX, last: false }));
    for line in [
        "BDAT 99999999999999999999999 LAST",
        "BDAT 18446744073709551616",
        "BDAT +1",
        "BDAT -1",
        "BDAT 0x10",
        "BDAT 10 LAS",
        "BDAT 10 LAST LAST",
        "BDAT LAST",
        "BDAT 1.0",
    ] {
        assert_eq!(parse(line), Err(Fault::Syntax), "{line}");
    }
}

#[test]
fn no_control_character_gets_into_a_command() {
    for (line, fault) in [
        ("BDAT 10 LA\rST", Fault::BareCr),
        ("QU\rIT", Fault::BareCr),
        ("MAIL FROM:<a\r@b.example>", Fault::BareCr),
        ("NOOP\nQUIT", Fault::BareLf),
        ("MAIL FROM:<\"a\0b\"@d.example>", Fault::Nul),
        ("EHLO a\0b", Fault::Nul),
        ("MAIL FROM:<a@b.example>\tSIZE=1", Fault::Syntax),
        ("NOOP \x1b[2J", Fault::Syntax),
    ] {
        assert_eq!(parse(line), Err(fault), "{line:?}");
    }
    assert_eq!(parse("RCPT TO:<\"a\u{85}b\"@d.example>"), Err(Fault::LocalPart));
}

#[test]
fn a_quoted_local_part_keeps_what_its_quotes_held() {
    let mail = mail_of("MAIL FROM:<\"a b\"@d.example>");
    assert_eq!(mail.from.mailbox().unwrap().local.as_str(), "a b");
    assert_eq!(mail.from.to_string(), "<\"a b\"@d.example>");
    let at = mail_of("MAIL FROM:<\"a@x\"@d.example>");
    assert_eq!(at.from.mailbox().unwrap().host.to_string(), "d.example");
}

#[test]
fn eight_bit_addresses_need_smtputf8_at_mail_and_are_the_sessions_affair_at_rcpt() {
    assert_eq!(parse("MAIL FROM:<jürgen@d.example>"), Err(Fault::NotUtf8));
    assert_eq!(parse("MAIL FROM:<a@bücher.example> SIZE=1"), Err(Fault::NotUtf8));
    assert!(mail_of("MAIL FROM:<jürgen@bücher.example> SMTPUTF8").smtputf8);
    assert_eq!(recipient_of("RCPT TO:<jürgen@d.example>").to_string(), "<jürgen@d.example>");
    assert_eq!(Command::parse(b"MAIL FROM:<\xe9@d.example> SMTPUTF8"), Err(Fault::NotUtf8));
    assert_eq!(Command::parse(b"RCPT TO:<\xe9@d.example>"), Err(Fault::NotUtf8));
    assert_eq!(Command::parse(b"NOOP \xe9"), Err(Fault::NotUtf8));
}

#[test]
fn postmaster_alone_is_a_recipient_and_not_the_null_path() {
    for line in ["RCPT TO:<postmaster>", "RCPT TO:<PostMaster>", "rcpt to: <POSTMASTER>"] {
        assert_eq!(recipient_of(line), ForwardPath::Postmaster);
    }
    assert!(matches!(recipient_of("RCPT TO:<postmaster@d.example>"), ForwardPath::Mailbox(_)));
    assert_eq!(parse("RCPT TO:<>"), Err(Fault::Path));
    assert_eq!(parse("MAIL FROM:<postmaster>"), Err(Fault::LocalPart));
}

#[test]
fn address_literals_are_hosts() {
    assert_eq!(recipient_of("RCPT TO:<a@[1.2.3.4]>").to_string(), "<a@[1.2.3.4]>");
    assert_eq!(recipient_of("RCPT TO:<a@[IPv6:2001:db8::1]>").to_string(), "<a@[IPv6:2001:db8::1]>");
    assert_eq!(parse("RCPT TO:<a@[1.2.3]>"), Err(Fault::Domain));
}

#[test]
fn a_space_behind_the_colon_is_tolerated_and_missing_brackets_are_not() {
    assert_eq!(mail_of("MAIL FROM: <a@b.example>"), mail_of("MAIL FROM:<a@b.example>"));
    assert_eq!(parse("MAIL FROM:a@b.example"), Err(Fault::Path));
    assert_eq!(parse("RCPT TO:a@b.example"), Err(Fault::Path));
    assert_eq!(parse("MAIL FROM :<a@b.example>"), Err(Fault::Syntax));
    assert_eq!(parse("MAIL FROM:<@a.example:b@c.example>"), Err(Fault::Path));
    assert_eq!(parse("MAIL FROM:<a@b.example>SIZE=1"), Err(Fault::Syntax));
}

#[test]
fn parameters_reach_the_command() {
    assert_eq!(mail_of("MAIL FROM:<> SIZE=7 RET=FULL").size, Some(7));
    assert_eq!(parse("MAIL FROM:<a@b.example> SIZE=1 SIZE=2"), Err(Fault::BadParameter));
    assert_eq!(parse("MAIL FROM:<a@b.example> ENVID=a+0A+00"), Err(Fault::BadParameter));
    assert_eq!(parse("MAIL FROM:<a@b.example> BODY=BINARYMIME"), Err(Fault::BadParameter));
    assert_eq!(parse("MAIL FROM:<a@b.example> FOO=1"), Err(Fault::UnknownParameter));
    assert_eq!(parse("RCPT TO:<a@b.example> NOTIFY=NEVER,SUCCESS"), Err(Fault::BadParameter));
    let line = "RCPT TO:<a@b.example> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=utf-8;j\\x{FC}@b.example";
    assert_eq!(parse(line).unwrap().to_string(), line);
}

#[test]
fn an_initial_response_is_not_in_the_debug_output() {
    let command = parse("AUTH PLAIN AGEAc2VjcmV0").unwrap();
    assert_eq!(format!("{command:?}"), "AUTH PLAIN (..)");
    assert_eq!(parse("AUTH PLAIN a b"), Err(Fault::Syntax));
    assert!(matches!(parse("AUTH plain ="), Ok(Command::Auth { initial: Some(text), .. }) if text == "="));
}

fn any_mailbox() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z.+]{1,12}@[a-z]{1,9}\\.example",
        "\"[ !#-\\[\\]-~]{0,12}\"@[a-z]{1,9}\\.example",
        "[a-zäöß]{1,9}@[a-z]{1,9}\\.example",
        Just("a@[192.0.2.1]".to_owned()),
    ]
}

proptest! {
    #[test]
    fn printing_and_parsing_agree_for_mail(
        mailbox in any_mailbox(),
        size in any::<Option<u64>>(),
        flags in any::<[bool; 4]>(),
        envid in proptest::option::of("[!-*,-<>-~]{1,20}"),
    ) {
        let mut line = format!("MAIL FROM:<{mailbox}> SMTPUTF8");
        if let Some(size) = size { line.push_str(&format!(" SIZE={size}")); }
        if let Some(envid) = envid { line.push_str(&format!(" ENVID={envid}")); }
        for (wanted, word) in flags.iter().zip([" BODY=8BITMIME", " RET=HDRS", " REQUIRETLS", " AUTH=<>"]) {
            if *wanted { line.push_str(word); }
        }
        if let Ok(command) = parse(&line) {
            let printed = command.to_string();
            prop_assert_eq!(&parse(&printed).unwrap(), &command);
        }
    }

    #[test]
    fn whatever_parses_prints_to_something_that_parses_to_the_same(line in "(MAIL FROM:|RCPT TO:|BDAT |EHLO |AUTH |)\\PC{0,50}") {
        if let Ok(command) = parse(&line) {
            let printed = command.to_string();
            prop_assert_eq!(&parse(&printed).unwrap(), &command, "{}", printed);
        }
    }

    #[test]
    fn no_bytes_at_all_cause_a_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Command::parse(&line);
    }
}
