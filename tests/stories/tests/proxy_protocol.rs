//! PROXY headers are required from the proxies that are named and refused from everybody else.

use crate::prelude::*;

fn behind_proxy() -> Setup {
    Setup::new().mx_listener("proxy_protocol_from = [\"127.0.0.1/32\"]")
}

/// Version 2, for 192.0.2.8.
const VERSION_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x08\x7f\0\0\x01\x30\x39\0\x19";

#[test]
fn the_client_behind_the_proxy_is_the_one_in_the_trace() {
    let postern = behind_proxy().start();
    for (header, address) in [(b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 25\r\n".as_slice(), "192.0.2.7"), (VERSION_2, "192.0.2.8")] {
        let mut client = SmtpClient::connect(postern.mx());
        client.send(header);
        client.expect_reply(220);
        client.ehlo();
        assert_eq!(client.mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, address)).code, 250);
        let delivered = postern.maildir(ALICE).wait_for_subject(address, LONG);
        assert!(delivered.header("Received").contains(&format!("[{address}]")), "{}", delivered.header("Received"));
    }
}

#[test]
fn a_proxy_without_a_header_is_not_served() {
    let postern = behind_proxy().with("limits", "handshake_timeout", "\"1s\"").start();
    for instead in ["EHLO client.example\r\n", "PROXY nonsense\r\n", "PROXY TCP4 192.0.2.7\r\n", "\r\n\r\n\0\r\nQUIT\nx"] {
        let mut client = SmtpClient::connect(postern.mx());
        client.send(instead);
        let replies = client.replies_until_closed();
        assert!(replies.iter().all(|reply| reply.code >= 400), "{instead:?}: {replies:?}");
    }
}

#[test]
fn a_header_from_anybody_else_is_no_command() {
    let postern = Setup::new().mx_listener("proxy_protocol_from = [\"127.0.0.99/32\"]").start();
    let mut client = SmtpClient::connect(postern.mx());
    client.expect_reply(220);
    assert_eq!(client.command("PROXY TCP4 192.0.2.7 127.0.0.1 4711 25").codes(), "500 5.5.2");
    client.ehlo();
    assert_eq!(client.mail(STRANGER, &[ALICE], &message(STRANGER, ALICE, "direct")).code, 250);
    let delivered = postern.maildir(ALICE).wait_for_subject("direct", LONG);
    assert!(delivered.header("Received").contains("[127.0.0.1]"));
}

#[test]
fn limits_count_the_client_behind_the_proxy() {
    let postern = behind_proxy().with("limits", "connections_per_address", "1").start();
    let connect = |address: &str| {
        let mut client = SmtpClient::connect(postern.mx());
        client.send(format!("PROXY TCP4 {address} 127.0.0.1 4711 25\r\n"));
        let reply = client.reply();
        (client, reply)
    };
    let (_first, reply) = connect("192.0.2.1");
    assert_eq!(reply.code, 220);
    let (_other, reply) = connect("198.51.100.1");
    assert_eq!(reply.code, 220);
    let (_second, reply) = connect("192.0.2.1");
    assert_eq!(reply.codes(), "421 4.4.5");
}
