//! The peers against each other, before the server under test comes between them: a story that fails is then a story about us.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is a failed test")]

use postern_testkit::client::{SmtpClient, base64, message};
use postern_testkit::dns::TestDns;
use postern_testkit::peers::{Dovecot, Exim, OpenSmtpd, Postfix, tools};
use postern_testkit::require;
use postern_testkit::sink::{Behaviour, Say, Sink};
use postern_testkit::wait::LONG;

const FROM: &str = "sender@there.test";

fn send(server: std::net::SocketAddr, to: &str, subject: &str) {
    let mut client = SmtpClient::hello(server);
    let reply = client.mail(FROM, &[to], &message(FROM, to, subject));
    assert_eq!(reply.code, 250, "{reply:?}");
    client.expect("QUIT", 221);
}

#[test]
fn the_sink_keeps_what_the_client_sends_with_dots_and_parameters() {
    let sink = Sink::start();
    let mut client = SmtpClient::hello(sink.address());
    client.expect("MAIL FROM:<a@b.test> BODY=8BITMIME", 250);
    client.expect("RCPT TO:<c@d.test> NOTIFY=NEVER", 250);
    assert_eq!(client.data("Subject: dots\n\n.\n..two\nend").code, 250);
    let received = &sink.wait_for(1)[0];
    assert_eq!(received.from, "<a@b.test> BODY=8BITMIME");
    assert_eq!(received.to, ["<c@d.test> NOTIFY=NEVER"]);
    assert_eq!(received.body, b"Subject: dots\r\n\r\n.\r\n..two\r\nend\r\n");
}

#[test]
fn the_sink_takes_chunks_and_tls() {
    let sink = Behaviour::default().tls().start();
    let mut client = SmtpClient::hello_tls(sink.address());
    client.expect("MAIL FROM:<a@b.test>", 250);
    client.expect("RCPT TO:<c@d.test>", 250);
    client.send("BDAT 5\r\nA: b\n");
    client.expect_reply(250);
    client.send("BDAT 1 LAST\r\n\n");
    client.expect_reply(250);
    let received = &sink.wait_for(1)[0];
    assert!(received.tls && received.chunked);
    assert_eq!(received.body, b"A: b\n\n");
}

#[test]
fn the_sink_misbehaves_as_told() {
    let sink = Behaviour::default()
        .answering(|heard| match heard.line {
            "RCPT TO:<full@d.test>" => Say::this("452 4.2.2 full"),
            "." => Say::Close,
            _ => Say::Usual,
        })
        .start();
    let mut client = SmtpClient::hello(sink.address());
    assert_eq!(client.mail("a@b.test", &["full@d.test"], "x").code, 452);
    client.expect("RCPT TO:<c@d.test>", 250);
    client.expect("DATA", 354);
    client.send("x\r\n.\r\n");
    assert_eq!(client.reply_or_end(), None);
    assert!(sink.messages().is_empty());
}

#[test]
fn an_lmtp_sink_replies_for_each_recipient() {
    let sink = Behaviour::default().lmtp().start();
    let mut client = SmtpClient::connect(sink.address());
    client.expect_reply(220);
    client.expect("LHLO client.example", 250);
    assert_eq!(client.mail("a@b.test", &["c@d.test", "e@f.test"], "x").code, 250);
    client.expect_reply(250);
}

#[test]
fn the_name_server_answers_what_it_was_told() {
    use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
    use hickory_proto::rr::{Name, RecordType};
    let dns = TestDns::start();
    dns.mx("there.test", 10, "mx.there.test").address_of("mx.there.test", "127.0.0.2").fails("broken.test");
    let ask = |name: &str, kind| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut query = Message::new(7, MessageType::Query, OpCode::Query);
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        socket.send_to(&query.to_vec().unwrap(), dns.address()).unwrap();
        let mut buffer = [0; 512];
        socket.set_read_timeout(Some(LONG)).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    };
    assert_eq!(ask("there.test.", RecordType::MX).answers.len(), 1);
    assert_eq!(ask("THERE.test.", RecordType::MX).answers.len(), 1);
    assert_eq!(ask("mx.there.test.", RecordType::A).answers.len(), 1);
    assert_eq!(ask("mx.there.test.", RecordType::AAAA).metadata.response_code, ResponseCode::NoError);
    assert_eq!(ask("nowhere.test.", RecordType::MX).metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(ask("broken.test.", RecordType::MX).metadata.response_code, ResponseCode::ServFail);
    assert_eq!(dns.asked("there.test", RecordType::MX), 2);
}

#[test]
fn base64_pads() {
    assert_eq!(["", "f", "fo", "foo", "\0a\0b"].map(|text| base64(text.as_bytes())), ["", "Zg==", "Zm8=", "Zm9v", "AGEAYg=="]);
}

#[test]
fn swaks_talks_to_the_sink_under_tls() {
    require!(tools::have_swaks());
    let sink = Behaviour::default().tls().start();
    let (well, said) = tools::swaks(sink.address(), &["--from", FROM, "--to", "c@d.test", "--tls"]);
    assert!(well, "{said}");
    assert!(sink.wait_for(1)[0].tls);
}

#[test]
fn dovecot_takes_mail_over_lmtp() {
    require!(Dovecot::here());
    let dovecot = Dovecot::start();
    let mut client = SmtpClient::connect(dovecot.address());
    client.expect_reply(220);
    client.expect("LHLO client.example", 250);
    assert_eq!(client.mail(FROM, &["c@dovecot.test"], &message(FROM, "c@dovecot.test", "lmtp")).code, 250);
    let _ = dovecot.maildir("c@dovecot.test").wait_for_subject("lmtp", LONG);
    assert!(dovecot.socket().exists());
}

#[test]
fn postfix_takes_and_passes_mail_on() {
    require!(Postfix::here());
    let sink = Sink::start();
    let postfix = Postfix::start(sink.address());
    send(postfix.address(), "c@postfix.test", "kept");
    send(postfix.address(), "c@elsewhere.test", "passed on");
    let _ = postfix.maildir().wait_for_subject("kept", LONG);
    let _ = sink.wait_for_subject("passed on");
    postfix.sendmail(FROM, "d@elsewhere.test", "Subject: by sendmail\n\nhello\n");
    let _ = sink.wait_for_subject("by sendmail");
}

#[test]
fn exim_takes_mail_and_passes_it_on_in_chunks() {
    require!(Exim::here());
    let sink = Sink::start();
    let exim = Exim::start(sink.address());
    send(exim.address(), "c@exim.test", "kept");
    send(exim.address(), "c@elsewhere.test", "passed on");
    let _ = exim.maildir().wait_for_subject("kept", LONG);
    assert!(sink.wait_for_subject("passed on").chunked);
}

#[test]
fn opensmtpd_takes_mail_and_passes_it_on() {
    require!(OpenSmtpd::here());
    let sink = Sink::start();
    let opensmtpd = OpenSmtpd::start(sink.address());
    send(opensmtpd.address(), "c@elsewhere.test", "passed on");
    let _ = sink.wait_for_subject("passed on");
}
