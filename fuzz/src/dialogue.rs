//! Our client, and a host that says what it likes: every recipient is settled once, and nothing is said in clear that must not be.
//!
//! The first octet says what we bring along, the second whether there are credentials and how many messages; the rest is what the host says.

use postern_delivery::rehearsal::{Part, Rehearsal, rehearse};
use postern_delivery::tls_policy::TlsWish;
use postern_delivery::{Credentials, Protocol};
use postern_mail::envelope::{BodyKind, DsnRequest, Recipient, Return, UnixMillis};
use postern_mail::{Envelope, Mailbox, Outcome, ReversePath, Secret};
use postern_smtp::body::Cleanliness;
use postern_smtp::sasl::{encode, plain};

const USER: &str = "relay-user";
const PASSWORD: &[u8] = b"relay-password";
const BODY: &[u8] = b"Subject: x\r\n\r\nhello\r\n";

fn envelope(first: u8) -> Envelope {
    Envelope {
        from: ReversePath::Mailbox(Mailbox::parse("s@us.example").expect("a mailbox")),
        recipients: Vec::new(),
        body: if first & 32 != 0 { BodyKind::EightBitMime } else { BodyKind::SevenBit },
        smtputf8: first & 32 != 0,
        require_tls: false,
        ret: (first & 32 != 0).then_some(Return::Headers),
        envid: None,
        account: None,
        client: None,
        received: UnixMillis(0),
    }
}

fn recipients() -> Vec<Recipient> {
    let to = |address: &str| {
        let mailbox = Mailbox::parse(address).expect("a mailbox");
        Recipient::restored_from_spool(mailbox, false, DsnRequest::default())
    };
    ["a@x.example", "b@x.example", "c@x.example", "ü@x.example"].map(to).into()
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|octets| octets == what)
}

fn check_transactions(rehearsal: &Rehearsal, recipients: usize, protocol: Protocol) {
    for played in &rehearsal.played {
        let mut who: Vec<usize> = played.settled.iter().map(|(at, _)| *at).collect();
        who.sort_unstable();
        assert_eq!(who, (0..recipients).collect::<Vec<_>>(), "each recipient is settled once");
        assert!(played.bodies <= 1, "a body is sent once");
        let delivered = played.settled.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Delivered { .. })).count();
        assert!(delivered == 0 || played.taken > 0, "delivered only by a positive reply after the body");
        assert!(protocol == Protocol::Smtp || delivered <= played.taken, "and by one each in LMTP");
        for (_, outcome) in &played.settled {
            check_evidence(outcome);
        }
    }
}

fn check_evidence(outcome: &Outcome) {
    if let Outcome::Delivered { evidence, .. } | Outcome::Deferred { evidence, .. } | Outcome::Bounced { evidence, .. } = outcome
    {
        assert!(evidence.text.chars().count() <= 512 && !evidence.text.chars().any(char::is_control), "{evidence:?}");
    }
}

/// The property.
pub fn check(data: &[u8]) {
    let [first, second, rest @ ..] = data else { return };
    let protocol = if first & 1 != 0 { Protocol::Lmtp } else { Protocol::Smtp };
    let credentials = (first & 8 != 0)
        .then(|| Credentials { user: USER.into(), password: Secret::new(PASSWORD.to_vec()) })
        // The least number of iterations that SCRAM takes is slow; it is run only where the second octet asks for it.
        .filter(|_| second & 1 != 0 || !contains(rest, b"i"));
    let (envelope, recipients) = (envelope(*first), recipients());
    let part = Part {
        protocol,
        wish: match first & 6 {
            0 => TlsWish::Never,
            2 => TlsWish::IfOffered,
            _ => TlsWish::Must,
        },
        credentials,
        envelope: &envelope,
        recipients: &recipients,
        body: BODY,
        at_once: second & 2 == 0,
        messages: 1 + usize::from(second >> 2 & 3),
        host_waits: first & 16 != 0,
    };
    let (pieces, whole) = crate::split(rest);
    let rehearsal = rehearse(&part, &[whole]);
    assert_eq!(rehearse(&part, &pieces), rehearsal, "a split never matters");
    check_transactions(&rehearsal, recipients.len(), protocol);
    rehearsal.trouble.iter().for_each(check_evidence);
    assert!(rehearsal.trouble.is_none() || rehearsal.played.is_empty());
    for said in [&rehearsal.clear, &rehearsal.secure] {
        let mut clean = Cleanliness::new();
        assert!(clean.scan(said).is_ok() && clean.finish().is_ok() && clean.ends_line(), "whole lines only");
    }
    let secrets = [PASSWORD.to_vec(), encode(PASSWORD).into_bytes(), encode(USER.as_bytes()).into_bytes()];
    let response = encode(plain::encode(USER, &Secret::new(PASSWORD.to_vec())).expose()).into_bytes();
    for secret in secrets.iter().chain([&response]) {
        assert!(!contains(&rehearsal.clear, secret), "no password in clear");
    }
    assert!(part.wish != TlsWish::Must || rehearsal.played.is_empty() || !rehearsal.secure.is_empty(), "TLS or nothing");
}
