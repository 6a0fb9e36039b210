//! Mail that goes in a circle is stopped (RFC 5321 §6.3).

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
fn a_route_that_leads_back_to_us_ends() {
    let setup = Setup::new();
    let own = setup.mx().port();
    let postern = with_alice(setup.route(&["circle.test"], own));
    from_alice(&postern, "carol@circle.test", "round and round");
    // Coming back it is a stranger's, who may not relay.
    let report = postern.maildir(ALICE).wait_for(1, LONG).remove(0);
    assert!(report.0.contains("Action: failed"), "{}", report.0);
}
