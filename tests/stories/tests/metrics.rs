//! Metrics and health over HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::prelude::*;

pub(crate) fn ask(postern: &Postern, path: &str) -> String {
    ask_at(postern.http(), path)
}

/// The same of another port.
pub(crate) fn ask_at(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn mail_is_counted_as_it_comes_goes_and_is_refused() {
    let postern = Setup::new().start();
    from_stranger(&postern, ALICE, "counted");
    postern.stranger().mail(STRANGER, &["victim@elsewhere.test"], "");
    let _ = postern.maildir(ALICE).wait_for_subject("counted", LONG);
    let metrics = until("the delivery to be counted", LONG, || {
        let metrics = ask(&postern, "/metrics");
        metrics
            .lines()
            .any(|line| line.contains("deliveries") && line.contains("delivered") && line.ends_with(" 1"))
            .then_some(metrics)
    });
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    assert!(metrics.lines().any(|line| line.contains("messages_accepted_total") && line.ends_with(" 1")), "{metrics}");
    assert!(metrics.lines().any(|line| line.contains("refused_total") && line.ends_with(" 1")), "{metrics}");
    assert!(metrics.contains("# EOF"));
    // Labels are few: never an address.
    assert!(!metrics.contains("alice") && !metrics.contains("stranger"));
}

#[test]
fn health_is_asked_for_and_other_pages_are_not_there() {
    let postern = Setup::new().start();
    assert!(ask(&postern, "/health").starts_with("HTTP/1.1 200"));
    assert!(ask(&postern, "/").starts_with("HTTP/1.1 404"));
    assert!(ask(&postern, "/metrics/../../etc/passwd").starts_with("HTTP/1.1 404"));
}
