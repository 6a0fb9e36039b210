//! Mail for a domain is posted to an application: signed, once for each recipient, to the configured address and nowhere else.

use postern_testkit::issuer::Authority;
use postern_testkit::webhook::App;

use crate::prelude::*;

const SECRET: &str = "a secret of the operator's own";

fn posting(url: &str, more: impl FnOnce(Setup, &std::path::Path) -> Setup) -> Postern {
    let mut postern = Setup::without_domains().prepare();
    let folder = postern.folder().to_path_buf();
    let secret = folder.join("webhook.secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let deliver = format!("deliver = {{ kind = \"webhook\", url = \"{url}\", secret_file = {secret:?} }}");
    postern.change(|setup| more(setup.domain_with("here.test", &["alice", "bob"], &deliver), &folder));
    postern.start();
    postern
}

#[test]
fn each_recipient_is_posted_once_signed_and_with_the_same_key_at_each_try() {
    // Bob's first try finds it out of order.
    let app = App::start(None, |posted, before| {
        let first_of_bob = posted.field("postern-to").starts_with("bob") && before == 1;
        if first_of_bob { "503 Not now" } else { "204 Taken" }.to_owned()
    });
    let postern = posting(&format!("http://{}/in?of=mail", app.address()), |setup, _| setup);
    let mut client = postern.stranger();
    let text = message(STRANGER, ALICE, "for an application");
    let id = queued_as(&client.mail(STRANGER, &[ALICE, BOB], &text));
    let posted = app.wait_for(3);
    until("the queue is empty", LONG, || postern.queue().is_empty().then_some(()));
    for one in &posted {
        assert_eq!(one.line, "POST /in?of=mail HTTP/1.1");
        assert_eq!((one.field("host"), one.field("content-type")), (&*app.address().to_string(), "message/rfc822"));
        assert_eq!((one.field("postern-from"), one.field("postern-message")), (STRANGER, &*id));
        assert!(one.is_signed_with(SECRET) && !one.is_signed_with("another secret"), "{one:?}");
        let body = String::from_utf8_lossy(&one.body);
        assert!(body.starts_with("Received: ") && body.contains("Subject: for an application\r\n"), "{body}");
    }
    let to: Vec<_> = posted.iter().map(|one| one.field("postern-to")).collect();
    assert_eq!(to, [ALICE, BOB, BOB], "and Alice's is not posted again");
    let key = |at: usize| posted[at].field("idempotency-key");
    assert!(key(1) == key(2) && key(0) != key(1), "{posted:?}");
    assert_eq!(app.posted().len(), 3);
}

#[test]
fn a_large_message_is_streamed_whole() {
    let app = App::start(None, |_, _| "200 OK".to_owned());
    let postern = posting(&format!("http://{}", app.address()), |setup, _| setup);
    let mut text = message(STRANGER, ALICE, "large");
    for number in 0..60_000 {
        text.push_str(&format!("line {number:06} of a message that does not fit into any one piece\r\n"));
    }
    let mut client = postern.stranger();
    assert_eq!(client.mail(STRANGER, &[ALICE], &text).code, 250);
    let posted = &app.wait_for(1)[0];
    assert!(posted.is_signed_with(SECRET));
    assert!(posted.body.ends_with(b"line 059999 of a message that does not fit into any one piece\r\n"));
}

#[test]
fn a_redirect_is_not_followed_and_a_mistake_of_ours_bounces_nothing_but_a_clear_no_does() {
    let elsewhere = App::start(None, |_, _| "200 OK".to_owned());
    let to = elsewhere.address();
    let app = App::start(None, move |posted, _| match posted.field("postern-to") {
        ALICE => format!("307 Elsewhere\r\nLocation: http://{to}/"),
        _ => "410 Gone".to_owned(),
    });
    let sink = Sink::start();
    let url = format!("http://{}/", app.address());
    let postern = posting(&url, |setup, _| setup.route(&["*"], sink.port()).with("outbound", "enabled", "true"));
    from_stranger(&postern, BOB, "for nobody");
    let report = sink.wait_for(1).remove(0);
    assert!(report.message().0.contains("5.1.1") && report.to[0].starts_with(&format!("<{STRANGER}>")), "{:?}", report.to);
    from_stranger(&postern, ALICE, "redirected");
    let tries = || app.posted().iter().filter(|posted| posted.field("postern-to") == ALICE).count();
    until("a second try", LONG, || (tries() >= 2).then_some(()));
    assert_eq!((elsewhere.posted().len(), sink.messages().len(), postern.queue().len()), (0, 1, 1));
}

#[test]
fn nothing_is_posted_to_whoever_has_no_certificate_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (trusted, other) = (Authority::new(folder.path(), "ca.pem"), Authority::new(folder.path(), "other.pem"));
    let imposter = App::start(Some(other.server()), |_, _| "200 OK".to_owned());
    let app = App::start(Some(trusted.server()), |_, _| "200 OK".to_owned());
    let with_ca = |setup: Setup, own: &std::path::Path| {
        std::fs::copy(folder.path().join("ca.pem"), own.join("ca.pem")).unwrap();
        setup.with("outbound", "ca_file", &format!("{:?}", own.join("ca.pem")))
    };
    let mut postern = posting(&format!("https://{}/", imposter.address()), with_ca);
    from_stranger(&postern, ALICE, "not for everybody");
    postern.wait_for_log("TLS: ");
    assert_eq!((imposter.posted().len(), postern.queue().len()), (0, 1));
    let postern = posting(&format!("https://{}/", app.address()), with_ca);
    from_stranger(&postern, ALICE, "for whom it is meant");
    assert!(app.wait_for(1)[0].is_signed_with(SECRET));
}

#[test]
fn an_application_that_answers_before_it_has_read_all_is_heard() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Reads a little, says no, and neither reads on nor closes.
    let refuses = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream.write_all(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n").unwrap();
        stream
    });
    let mut postern = posting(&format!("http://{address}"), |setup, _| setup);
    let mut text = message(ALICE, ALICE, "large");
    text.push_str(&"much more than the buffers of a connection hold, so that somebody has to read it\r\n".repeat(200_000));
    let mut client = postern.stranger();
    assert_eq!(client.mail(STRANGER, &[ALICE], &text).code, 250);
    let _open = refuses.join().unwrap();
    let _ = postern.wait_for_log("bounced");
}
