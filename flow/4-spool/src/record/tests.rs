//! Records: decoding what was encoded gives the same, and decoding anything else gives nothing.

use proptest::prelude::*;

use super::*;

fn mailbox() -> impl Strategy<Value = Mailbox> {
    let local = prop_oneof![
        "[a-z0-9+]{1,20}",
        "[ -~]{0,20}".prop_map(|s: String| format!("\"{}\"", s.replace(['"', '\\'], ""))),
        "[äöü]{1,9}"
    ];
    let host = prop_oneof!["[a-z]{1,9}\\.[a-z]{2,6}", Just("[192.0.2.1]".to_owned()), Just("[IPv6:2001:db8::1]".to_owned())];
    (local, host).prop_filter_map("parses", |(local, host)| Mailbox::parse(&format!("{local}@{host}")).ok())
}

fn recipient() -> impl Strategy<Value = Recipient> {
    let notify = proptest::option::of(any::<(bool, bool, bool)>());
    (mailbox(), any::<bool>(), notify, proptest::option::of("[!-~]{0,80}")).prop_map(|(address, hosted, notify, original)| {
        let notify = notify.map(|(success, failure, delay)| Notify { success, failure, delay });
        Recipient::restored_from_spool(address, hosted, DsnRequest { notify, original: original.map(String::into_boxed_str) })
    })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    (
        proptest::option::of(mailbox()),
        proptest::collection::vec(recipient(), 0..6),
        any::<(bool, bool, bool)>(),
        0..3_u8,
        proptest::option::of("[!-~]{0,100}"),
        proptest::option::of("[a-z@.]{1,30}"),
        any::<Option<IpAddr>>(),
        any::<u64>(),
    )
        .prop_map(|(from, recipients, (eight, smtputf8, require_tls), ret, envid, account, client, received)| Envelope {
            from: from.map_or(ReversePath::Null, ReversePath::Mailbox),
            recipients,
            body: if eight { BodyKind::EightBitMime } else { BodyKind::SevenBit },
            smtputf8,
            require_tls,
            ret: [None, Some(Return::Full), Some(Return::Headers)][usize::from(ret)],
            envid: envid.map(String::into_boxed_str),
            account: account.map(Arc::from),
            client,
            received: UnixMillis(received),
        })
}

fn progress() -> impl Strategy<Value = Progress> {
    let reason =
        (proptest::option::of((2..6_u8, 0..1000_u16, 0..1000_u16)), "\\PC{0,40}", "\\PC{0,90}").prop_map(|(status, by, text)| {
            Reason { status: status.map(|(a, b, c)| Status::new(a, b, c)), by: by.into(), text: text.into() }
        });
    let state = prop_oneof![
        Just(RecipientState::Open),
        Just(RecipientState::Delivered),
        Just(RecipientState::Bounced),
        Just(RecipientState::Expired),
        Just(RecipientState::Dropped)
    ];
    let recipient = (state, any::<bool>(), proptest::option::of(reason)).prop_map(|(state, reported, last)| RecipientProgress {
        state,
        reported,
        last,
    });
    (any::<u16>(), any::<u64>(), proptest::option::of("\\PC{0,40}"), any::<bool>(), proptest::collection::vec(recipient, 0..6))
        .prop_map(|(attempts, due, held, delay_reported, recipients)| Progress {
            attempts,
            due: UnixMillis(due),
            held: held.map(String::into_boxed_str),
            delay_reported,
            recipients,
        })
}

proptest! {
    #[test]
    fn envelopes_round_trip(envelope in envelope()) {
        let bytes = encode_envelope(&envelope).unwrap();
        prop_assert_eq!(decode_envelope(&bytes), Some(envelope));
    }

    #[test]
    fn progress_round_trips(progress in progress()) {
        let bytes = encode_progress(&progress).unwrap();
        prop_assert_eq!(decode_progress(&bytes), Some(progress));
    }

    #[test]
    fn messages_round_trip(envelope in proptest::collection::vec(any::<u8>(), 0..50), progress in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..50)),
        body in proptest::collection::vec(any::<u8>(), 0..50), file in proptest::option::of(any::<(u32, u32)>())) {
        let in_file = |(length, sum)| BodyPlace::File { front: &body, length: u64::from(length), sum };
        let place = file.map_or(BodyPlace::Inline(&body), in_file);
        let parts = MessageParts { envelope: &envelope, progress: progress.as_deref(), body: place };
        let mut bytes = parts.encode_head();
        if file.is_none() { bytes.extend_from_slice(&body); }
        prop_assert_eq!(MessageParts::decode(&bytes), Some(parts));
    }

    #[test]
    fn cut_or_changed_bytes_never_panic(envelope in envelope(), progress in progress(), cut in any::<usize>(), flip in any::<(usize, u8)>()) {
        for mut bytes in [encode_envelope(&envelope).unwrap(), encode_progress(&progress).unwrap()] {
            let at = flip.0 % bytes.len();
            bytes[at] ^= flip.1;
            bytes.truncate(cut % (bytes.len() + 1));
            let _ = (decode_envelope(&bytes), decode_progress(&bytes), MessageParts::decode(&bytes));
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (decode_envelope(&bytes), decode_progress(&bytes), MessageParts::decode(&bytes));
    }
}

#[test]
fn an_address_that_grew_in_print_reads_back() {
    // 64 octets of local part that print as 130 and a domain of 253 would be longer than a path on the wire.
    let local = LocalPart::parse(&format!("\"{}\"", "\\\"".repeat(64))).unwrap();
    let host = Host::parse(&format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61))).unwrap();
    let mut out = Writer(Vec::new());
    let mailbox = Mailbox { local, host };
    out.mailbox(&mailbox).unwrap();
    assert_eq!(Reader(&out.0).mailbox(), Some(mailbox));
}

#[test]
fn long_evidence_is_cut_at_a_whole_character() {
    let text: Box<str> = "ä".repeat(REASON_BYTES_MAX).into();
    let last = Some(Reason { status: None, by: "".into(), text });
    let progress = Progress { recipients: vec![RecipientProgress { last, ..Default::default() }], ..Default::default() };
    let read = decode_progress(&encode_progress(&progress).unwrap()).unwrap();
    assert_eq!(read.recipients[0].last.as_ref().unwrap().text.len(), REASON_BYTES_MAX);
}
