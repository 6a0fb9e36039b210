//! Reports at night, in the joined server: what is due goes out, and nothing else does.

use postern_mail::authenticity::Disposition;
use postern_mail::envelope::UnixMillis;
use postern_mail::published::{Destination, Policies, Published};
use postern_reports::Record;
use postern_testkit::dns::TestDns;

use super::*;
use crate::wire::tests::Town;

const DAY: u64 = 86_400_000;

fn town(dns: &TestDns, more: &str) -> Town {
    let common = "reports.hour = 0\nreports.spread = \"0s\"\nreports.dmarc_from = \"dmarc@here.test\"\ndns.timeout = \"500ms\"";
    Town::new(&format!("dns.servers = [\"{}\"]\n{common}\n{more}", dns.address()))
}

fn published(domain: &str, to: &str) -> Published {
    let domain = Domain::parse(domain).unwrap();
    let none = Disposition::None;
    Published {
        organization: domain.clone(),
        domain,
        policies: Policies { p: none, sp: none, np: none },
        strict_dkim: false,
        strict_spf: false,
        failure_options: "0",
        testing: false,
        destinations: vec![Destination { address: Mailbox::parse(to).unwrap(), octets_max: None }],
        failure_destinations: Vec::new(),
    }
}

async fn tick(server: &Server) {
    upkeep(server).await;
    send::due(server).await;
}

#[test]
fn a_report_is_not_answered_by_another() {
    use postern_mail::ReversePath;

    let is_automatic = |from: Option<&str>, section: &str| {
        let from = from.map_or(ReversePath::Null, |from| ReversePath::Mailbox(Mailbox::parse(from).unwrap()));
        let envelope = Envelope {
            from,
            recipients: Vec::new(),
            body: postern_mail::envelope::BodyKind::SevenBit,
            smtputf8: false,
            require_tls: false,
            ret: None,
            envid: None,
            account: None,
            client: None,
            received: clock(),
        };
        super::is_automatic(&envelope, &Headers::parse(format!("{section}\r\n\r\n").as_bytes()))
    };
    assert!(is_automatic(None, "Subject: x"));
    assert!(is_automatic(Some("a@b.test"), "Auto-Submitted: auto-generated"));
    assert!(is_automatic(Some("a@b.test"), "Content-Type: Multipart/Report; report-type=feedback-report"));
    assert!(!is_automatic(Some("a@b.test"), "Auto-Submitted: no\r\nContent-Type: text/plain"));
}

/// A message of so many days ago.
fn came(town: &Town, days: u64, domain: &str, to: &str) {
    let at = UnixMillis(clock().0 - days * DAY);
    town.server.reports.book().count(at, &published(domain, to), &Record::of("192.0.2.1".parse().unwrap()));
}

#[tokio::test]
async fn in_the_night_days_that_are_over_are_reported_once_and_no_others() {
    let dns = TestDns::start();
    let town = town(&dns, "reports.dmarc = true");
    came(&town, 1, "a.test", "rua@a.test");
    came(&town, 0, "b.test", "rua@b.test");
    tick(&town.server).await;
    tick(&town.server).await;
    let ids = town.server.spool.ids();
    assert_eq!(ids.len(), 1);
    let (envelope, _, _) = town.server.spool.load_envelope(ids[0]).await.unwrap();
    assert_eq!(envelope.recipients[0].address().to_string(), "rua@a.test");
    assert_eq!(town.server.reports.book().periods().len(), 1, "today goes on");
}

#[tokio::test]
async fn nothing_is_sent_that_is_switched_off_or_not_agreed_to_and_what_is_not_known_waits() {
    let dns = TestDns::start();
    let off = town(&dns, "");
    came(&off, 1, "a.test", "rua@a.test");
    tick(&off.server).await;
    assert!(off.server.spool.ids().is_empty());

    let town = town(&dns, "reports.dmarc = true");
    came(&town, 1, "a.test", "rua@victim.test");
    came(&town, 1, "b.test", "rua@silent.test");
    dns.fails("b.test._report._dmarc.silent.test");
    tick(&town.server).await;
    assert!(town.server.spool.ids().is_empty());
    let waiting = town.server.reports.book().periods();
    assert_eq!(waiting.iter().map(|(_, domain)| domain.as_str()).collect::<Vec<_>>(), ["b.test"]);
    // Not with each tick.
    let book = town.server.reports.book();
    assert!(!book.may_try(waiting[0].0, &waiting[0].1, clock()));
    assert!(book.may_try(waiting[0].0, &waiting[0].1, clock().plus(Duration::from_secs(4000))));
}

#[tokio::test]
async fn no_more_are_sent_in_a_minute_than_may_be() {
    let dns = TestDns::start();
    let town = town(&dns, "reports.dmarc = true\nreports.per_minute = 2");
    for n in 0..5 {
        came(&town, 1, &format!("d{n}.test"), &format!("rua@d{n}.test"));
    }
    tick(&town.server).await;
    assert_eq!(town.server.spool.ids().len(), 2);
    assert_eq!(town.server.reports.book().periods().len(), 3);
}
