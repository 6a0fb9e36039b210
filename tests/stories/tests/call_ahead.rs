//! The host behind a domain is asked who exists, while the sender is there: once, without a message, and not while it is down.

use crate::prelude::*;

fn asks(kind: &str, sink: &Sink, more: &str) -> Postern {
    asking(Setup::without_domains(), kind, sink, more).start()
}

fn asking(setup: Setup, kind: &str, sink: &Sink, more: &str) -> Setup {
    let deliver = match kind {
        "lmtp" => format!("deliver = {{ kind = \"lmtp\", address = \"{}\" }}", sink.address()),
        _ => format!("deliver = {{ kind = \"relay\", host = \"127.0.0.1\", port = {} }}", sink.port()),
    };
    let domain = format!(
        "[[domain]]\nname = \"here.test\"\nrecipients = {{ call_ahead = true{more} }}\naliases = {{ \"info\" = [\"alice@here.test\"] }}\n{deliver}\n"
    );
    setup.without_tables().table(&domain)
}

/// Knows Alice; says that Bob is full.
fn knows_alice() -> Behaviour {
    Behaviour::default().answering(|heard| match heard.line {
        line if line.starts_with("RCPT TO:<alice") => Say::Usual,
        line if line.starts_with("RCPT TO:<bob") => Say::this("452 4.2.2 full"),
        line if line.starts_with("RCPT") => Say::this("550 5.1.1 nobody"),
        _ => Say::Usual,
    })
}

fn rcpt(postern: &Postern, to: &str) -> Reply {
    let mut client = postern.stranger();
    client.expect(&format!("MAIL FROM:<{STRANGER}>"), 250);
    client.command(&format!("RCPT TO:<{to}>"))
}

fn asked(sink: &Sink, of: &str) -> usize {
    sink.lines().iter().filter(|line| line.starts_with(&format!("RCPT TO:<{of}"))).count()
}

#[test]
fn the_host_of_the_domain_says_who_exists_and_is_asked_once_and_sent_nothing() {
    for kind in ["relay", "lmtp"] {
        let behaviour = if kind == "lmtp" { knows_alice().lmtp() } else { knows_alice() };
        let sink = behaviour.start();
        let postern = asks(kind, &sink, "");
        for _ in 0..2 {
            assert_eq!(rcpt(&postern, ALICE).code, 250);
            assert_eq!(rcpt(&postern, "nobody@here.test").codes(), "550 5.1.1");
        }
        assert_eq!(rcpt(&postern, "Alice@HERE.test").code, 250, "the same in capitals");
        assert_eq!(rcpt(&postern, "info@here.test").code, 250, "an alias for somebody known");
        assert_eq!((asked(&sink, "alice"), asked(&sink, "nobody")), (1, 1), "{:?}", sink.lines());
        assert_eq!(rcpt(&postern, BOB).code, 451, "not a no for good");
        assert_eq!(rcpt(&postern, ALICE).code, 250, "which says nothing of others");
        let said = sink.lines();
        assert!(said.iter().filter(|line| line.starts_with("MAIL")).all(|line| line.starts_with("MAIL FROM:<>")), "{said:?}");
        assert!(said.iter().any(|line| line == "RSET") && !said.iter().any(|line| line == "DATA" || line.starts_with("BDAT")));
        from_stranger(&postern, ALICE, "asked first");
        let received = sink.wait_for_subject("asked first");
        assert_eq!((received.to, received.from.contains(STRANGER)), (vec![format!("<{ALICE}>")], true));
    }
}

#[test]
fn a_host_that_is_down_means_come_again_or_what_the_operator_says_and_is_not_asked_by_each_client() {
    let sink =
        Behaviour::default().answering(|heard| if heard.line.starts_with("MAIL") { Say::Stall } else { Say::Usual }).start();
    let postern = asks("relay", &sink, ", deadline = \"200ms\", pause = \"1h\"");
    for _ in 0..3 {
        assert_eq!(rcpt(&postern, ALICE).codes(), "451 4.4.0");
    }
    assert_eq!(sink.lines().iter().filter(|line| line.starts_with("MAIL")).count(), 1, "{:?}", sink.lines());
    let mut lenient = asks("relay", &sink, ", deadline = \"200ms\", when_down = \"accept\"");
    assert_eq!(rcpt(&lenient, ALICE).code, 250);
    // The host is up again, and asked at once by who has just begun.
    let up = knows_alice().start();
    lenient.change(|setup| asking(setup, "relay", &up, ""));
    lenient.reload("reloaded");
    assert_eq!(rcpt(&lenient, "nobody@here.test").code, 550);
}

#[test]
fn clients_that_ask_for_the_same_at_once_make_one_question() {
    let sink = knows_alice().start();
    let postern = asks("relay", &sink, "");
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = postern.stranger();
            client.expect(&format!("MAIL FROM:<{STRANGER}>"), 250);
            client
        })
        .collect();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| std::thread::spawn(move || client.command(&format!("RCPT TO:<{ALICE}>")).code))
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 250));
    assert_eq!(asked(&sink, "alice"), 1);
}
