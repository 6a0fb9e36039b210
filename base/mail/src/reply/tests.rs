//! Every reply has the codes of the standard that names its situation, and no peer text gets out of its line.

use super::*;

#[test]
fn peer_text_cannot_become_a_second_line() {
    let reply = Reply::no_such_recipient("a\r250 ok");
    assert!(!reply.text().contains('\r'));
}

#[test]
fn a_reply_never_leaves_ascii() {
    let reply = Reply::no_such_recipient("j\u{fc}rgen@here.example\u{202e}");
    assert!(reply.text().bytes().all(|b| matches!(b, b' '..=b'~')), "{}", reply.text());
}

fn told(reply: &Reply) -> String {
    format!("{} {}", reply.code.0, reply.status.map(|status| status.to_string()).unwrap_or_default())
}

#[test]
fn the_codes_are_those_of_the_standard_that_names_the_situation() {
    let table = [
        (Reply::too_big(1), "552 5.3.4"),
        (Reply::no_space(), "452 4.3.1"),
        (Reply::too_many_recipients(), "452 4.5.3"),
        (Reply::no_such_recipient("x"), "550 5.1.1"),
        (Reply::relay_denied(), "550 5.7.1"),
        (Reply::no_valid_recipients(), "554 5.5.1"),
        (Reply::null_mx(), "556 5.1.10"),
        (Reply::bad_header("x"), "554 5.6.0"),
        (Reply::require_tls_impossible(), "550 5.7.10"),
        (Reply::authentication_required(), "530 5.7.0"),
        (Reply::tls_required(), "530 5.7.0"),
        (Reply::authenticated(), "235 2.7.0"),
        (Reply::authentication_failed(), "535 5.7.8"),
        (Reply::authentication_unavailable(), "454 4.7.0"),
        (Reply::authentication_line_too_long(), "500 5.5.6"),
        (Reply::mechanism_unknown(), "504 5.5.4"),
        (Reply::out_of_order("x"), "503 5.5.1"),
        (Reply::not_implemented(), "502 5.5.1"),
        (Reply::unknown_command(), "500 5.5.2"),
    ];
    for (reply, wanted) in table {
        assert_eq!(told(&reply), wanted, "{}", reply.text());
    }
}

#[test]
fn a_fault_is_told_as_what_it_is_a_fault_of() {
    let table = [
        (Fault::Domain, "501 5.5.4", "501 5.1.7", "501 5.1.3"),
        (Fault::LocalPart, "501 5.5.4", "501 5.1.7", "501 5.1.3"),
        (Fault::NotUtf8, "500 5.5.2", "550 5.6.7", "553 5.6.7"),
        (Fault::UnknownParameter, "555 5.5.4", "555 5.5.4", "555 5.5.4"),
        (Fault::LineTooLong, "500 5.5.2", "500 5.5.2", "500 5.5.2"),
        (Fault::Base64, "501 5.5.2", "501 5.5.2", "501 5.5.2"),
    ];
    for (fault, anywhere, at_mail, at_rcpt) in table {
        assert_eq!(told(&Reply::fault(fault)), anywhere, "{fault}");
        assert_eq!(told(&Reply::sender_fault(fault)), at_mail, "{fault}");
        assert_eq!(told(&Reply::recipient_fault(fault)), at_rcpt, "{fault}");
    }
}

#[test]
fn a_status_has_the_class_of_its_code() {
    for reply in [Reply::ok(), Reply::no_space(), Reply::relay_denied(), Reply::authenticated(), Reply::too_many_faults("h")] {
        assert_eq!(u16::from(reply.status.unwrap().class), reply.code.0 / 100, "{reply:?}");
    }
}

#[test]
fn enhanced_codes_are_read_from_the_start_only() {
    assert_eq!(Status::parse_prefix("5.1.1 no such user"), Some((Status::new(5, 1, 1), "no such user")));
    for bad in ["3.1.1 x", "5.1 x", "5.1.1.1 x", "5.1234.1 x", "5.+1.1 x", "", "ok 5.1.1"] {
        assert_eq!(Status::parse_prefix(bad), None, "{bad}");
    }
}
