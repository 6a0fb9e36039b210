//! What was said in clear is not known after the handshake (RFC 3207 §4.2): not a command injected behind STARTTLS, not a hello, not a
//! sender.

use postern_testkit::peers::tools::{have_openssl, openssl_s_client};

use crate::prelude::*;

#[test]
fn a_command_injected_behind_starttls_is_never_carried_out() {
    let postern = Setup::new().start();
    for injected in ["NOOP\r\n", "RSET\r\n", "MAIL FROM:<injected@there.test>\r\n", "EHLO attacker.example\r\n", "\r\n", "x"] {
        let mut client = postern.stranger();
        client.send(format!("STARTTLS\r\n{injected}"));
        let replies = client.replies_until_closed();
        assert_eq!(replies.len(), 1, "{injected:?}: {replies:?}");
        assert_eq!(replies[0].codes(), "554 5.5.0", "{injected:?}");
    }
}

#[test]
fn the_conversation_begins_anew_after_the_handshake() {
    let postern = Setup::new().start();
    let mut client = postern.stranger();
    client.starttls();
    assert_eq!(client.command("MAIL FROM:<stranger@there.test>").codes(), "503 5.5.1");
    client.ehlo();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    assert_eq!(client.command("STARTTLS").code, 503);
}

#[test]
fn a_transaction_does_not_survive_starttls() {
    let postern = Setup::new().start();
    let mut client = postern.stranger();
    client.expect("MAIL FROM:<stranger@there.test>", 250);
    // RFC 3207 §4: not within a transaction. The transaction goes on in clear, or not at all, but never under TLS.
    assert_eq!(client.command("STARTTLS").code, 503);
    client.expect("RSET", 250);
    client.starttls();
    client.ehlo();
    client.expect("RCPT TO:<alice@here.test>", 503);
}

#[test]
fn openssl_shakes_hands_after_starttls_and_from_the_first_byte() {
    require!(have_openssl());
    let postern = Setup::new().start();
    let said = openssl_s_client(postern.mx(), &["-starttls", "smtp", "-crlf", "-quiet", "-ign_eof"], "QUIT\n");
    assert!(said.contains("221 2.0.0"), "{said}");
    let said = openssl_s_client(postern.submissions(), &["-crlf", "-quiet", "-ign_eof"], "QUIT\n");
    assert!(said.contains("220 postern.test") && said.contains("221 2.0.0"), "{said}");
}

#[test]
fn old_versions_of_tls_are_refused() {
    require!(have_openssl());
    let postern = Setup::new().start();
    let said = openssl_s_client(postern.submissions(), &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "");
    assert!(!said.contains("220 postern.test"), "{said}");
    let said = openssl_s_client(postern.submissions(), &["-tls1_2", "-quiet", "-crlf", "-ign_eof"], "QUIT\n");
    assert!(said.contains("221 2.0.0"), "{said}");
}
