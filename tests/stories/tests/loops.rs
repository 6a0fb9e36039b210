//! Mail that goes in a circle is stopped (RFC 5321 §6.3).

use postern_testkit::dns::TestDns;
use postern_testkit::program::text;

use crate::prelude::*;

#[test]
fn a_message_that_passed_too_many_servers_is_refused() {
    let postern = Setup::new().with("limits", "received_max", "20").start();
    let passed = |servers: usize| "Received: from a by b; Tue, 24 Nov 2026 10:00:00 +0000\n".repeat(servers);
    let mut client = postern.stranger();
    let reply = client.mail(STRANGER, &[ALICE], &format!("{}{}", passed(21), message(STRANGER, ALICE, "around")));
    assert_eq!(reply.codes(), "554 5.4.6");
    let reply = client.mail(STRANGER, &[ALICE], &format!("{}{}", passed(20), message(STRANGER, ALICE, "almost")));
    assert_eq!(reply.code, 250);
}

#[test]
fn a_message_is_not_delivered_twice_to_one_mailbox() {
    let postern = Setup::new().start();
    from_stranger(&postern, ALICE, "once");
    let delivered = postern.maildir(ALICE).wait_for_subject("once", LONG);
    let mut client = postern.stranger();
    // What a forwarder elsewhere would send back.
    let reply = client.mail(STRANGER, &[ALICE], &delivered.0);
    assert_eq!(reply.codes(), "554 5.4.6");
}

#[test]
fn a_route_that_leads_to_us_is_refused_as_a_configuration() {
    let setup = Setup::new();
    let own = setup.mx().port();
    let postern = setup.route(&["circle.test"], own).prepare();
    let output = postern.run(&["config", "check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("mail would go round in a loop"), "{}", text(&output));
}

#[test]
fn an_exchanger_that_turns_out_to_be_us_ends_the_circle() {
    let dns = TestDns::start();
    dns.mx("circle.test", 10, "mx.circle.test").address_of("mx.circle.test", "127.0.0.1");
    let setup = Setup::new().dns(&dns);
    let own = setup.mx().port().to_string();
    let postern = with_alice(setup.with("outbound", "port", &own));
    from_alice(&postern, "carol@circle.test", "round and round");
    // Coming back it is a stranger's, who may not relay; or it is not sent at all.
    let report = postern.maildir(ALICE).wait_for(1, LONG).remove(0);
    assert!(report.0.contains("Action: failed"), "{}", report.0);
}
