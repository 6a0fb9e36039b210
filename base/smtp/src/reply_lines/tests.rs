//! Replies on the wire: one reply in, one reply out, and what a hostile server sends is bounded.

use proptest::prelude::*;

use super::*;

fn written(reply: &Reply) -> String {
    let mut out = Vec::new();
    write_reply(reply, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn every_line_of_a_reply_carries_code_and_status() {
    assert_eq!(written(&Reply::ok()), "250 2.0.0 ok\r\n");
    let offer = ["PIPELINING".to_owned(), "SIZE 10".to_owned()];
    assert_eq!(written(&Reply::extensions("mx.example", &offer)), "250-mx.example\r\n250-PIPELINING\r\n250 SIZE 10\r\n");
    let two = Reply::no_such_recipient("a\nb");
    assert_eq!(written(&two), "550-5.1.1 no mailbox a\r\n550 5.1.1 b here\r\n");
}

#[test]
fn a_long_line_is_cut_at_a_character_and_ends_in_crlf() {
    for pad in 0..4 {
        let text = written(&Reply::no_such_recipient(&format!("{}{}", "x".repeat(pad), "ü€".repeat(300))));
        assert!(text.len() <= REPLY_LINE_BYTES_MAX && text.len() > REPLY_LINE_BYTES_MAX - 4, "{}", text.len());
        assert!(text.ends_with("\r\n"));
    }
}

#[test]
fn a_reference_is_not_what_is_cut_off_a_long_reply() {
    let id = "01JD7K3QX2".parse().unwrap();
    for name in ["ü€".repeat(300), format!("{}\n{}", "x".repeat(900), "y".repeat(900)), "short".to_owned()] {
        let text = written(&Reply::no_such_recipient(&name).with_reference(id));
        assert!(text.ends_with(" (ref 01JD7K3QX2)\r\n"), "{text}");
        assert!(text.lines().all(|line| line.len() + 2 <= REPLY_LINE_BYTES_MAX), "{text}");
    }
}

#[test]
fn a_challenge_is_never_cut() {
    let challenge = "A".repeat(4000);
    assert_eq!(written(&Reply::challenge(challenge.clone())), format!("334 {challenge}\r\n"));
}

/// Reads everything in pieces of `size` octets: the replies, then the fault if there was one.
fn read(wire: &[u8], size: usize) -> (Vec<ReceivedReply>, Option<Fault>) {
    let (mut reader, mut replies) = (ReplyReader::default(), Vec::new());
    for mut piece in wire.chunks(size.max(1)) {
        while !piece.is_empty() {
            match reader.read(piece) {
                Ok((consumed, reply)) => {
                    piece = &piece[consumed..];
                    replies.extend(reply);
                }
                Err(fault) => return (replies, Some(fault)),
            }
        }
    }
    (replies, None)
}

fn one(wire: &str) -> ReceivedReply {
    match read(wire.as_bytes(), wire.len()) {
        (mut replies, None) if replies.len() == 1 => replies.remove(0),
        other => panic!("{wire:?}: {other:?}"),
    }
}

#[test]
fn replies_of_one_and_more_lines_are_read() {
    let reply = one("250-mx.example greets you\r\n250-SIZE 100\r\n250 DSN\r\n");
    assert_eq!(reply.code, ReplyCode(250));
    assert_eq!(reply.lines, ["mx.example greets you", "SIZE 100", "DSN"]);
    let reply = one("550-5.1.1 no such\r\n550 5.1.1 user\r\n");
    assert_eq!((reply.status, reply.text()), (Some(Status::new(5, 1, 1)), "no such user".to_owned()));
    assert_eq!(one("250\r\n").lines, [""]);
    assert_eq!(one("354 \r\n").code, ReplyCode(354));
}

#[test]
fn a_status_of_another_class_is_only_text() {
    let reply = one("450 5.1.1 what now\r\n");
    assert_eq!((reply.status, reply.lines), (None, vec!["5.1.1 what now".to_owned()]));
}

#[test]
fn what_is_behind_a_reply_is_left_for_the_caller_to_see() {
    let wire = b"220 go ahead\r\n250 injected\r\n";
    let mut reader = ReplyReader::default();
    let (consumed, reply) = reader.read(wire).unwrap();
    assert_eq!((consumed, reply.is_some(), reader.is_idle()), (14, true, true));
}

#[test]
fn what_is_no_reply_is_a_fault() {
    for (wire, fault) in [
        ("hello\r\n", Fault::Syntax),
        ("\r\n", Fault::Syntax),
        ("25\r\n", Fault::Syntax),
        ("2500 x\r\n", Fault::Syntax),
        ("199 x\r\n", Fault::Syntax),
        ("260 x\r\n", Fault::Syntax),
        ("250-a\r\n550 b\r\n", Fault::Syntax),
        ("250-a\r\nb\r\n", Fault::Syntax),
        ("250 ok\n", Fault::BareLf),
        ("250 o\rk\r\n", Fault::BareCr),
        ("250 \0\r\n", Fault::Nul),
    ] {
        assert_eq!(read(wire.as_bytes(), 100).1, Some(fault), "{wire:?}");
        assert_eq!(read(wire.as_bytes(), 1).1, Some(fault), "{wire:?} octet by octet");
    }
}

#[test]
fn a_hostile_server_cannot_make_a_reply_long_wide_or_endless() {
    let long = format!("250 {}\r\n", "x".repeat(RECEIVED_LINE_BYTES_MAX - 5));
    assert_eq!(read(long.as_bytes(), 100).1, Some(Fault::LineTooLong));
    let fits = format!("250 {}\r\n", "x".repeat(RECEIVED_LINE_BYTES_MAX - 6));
    assert_eq!(read(fits.as_bytes(), 100).1, None);
    assert_eq!(read("x".repeat(5000).as_bytes(), 100).1, Some(Fault::LineTooLong));
    let many = "250-x\r\n".repeat(RECEIVED_LINES_MAX + 1);
    assert_eq!(read(many.as_bytes(), 100).1, Some(Fault::LineTooLong));
    let heavy = format!("250-{}\r\n", "x".repeat(900)).repeat(20);
    assert_eq!(read(heavy.as_bytes(), 100).1, Some(Fault::LineTooLong));
    let honest = format!("{}250 x\r\n", "250-x\r\n".repeat(RECEIVED_LINES_MAX - 1)).repeat(100);
    assert_eq!(read(honest.as_bytes(), 1000).0.len(), 100, "the limits are those of one reply");
}

#[test]
fn a_line_both_broken_and_too_long_is_the_same_fault_at_any_split() {
    for (octets, fault) in [
        ([vec![b'2'; 20], vec![0], vec![b'x'; 2 * RECEIVED_LINE_BYTES_MAX]].concat(), Fault::Nul),
        ([vec![b'2'; 2 * RECEIVED_LINE_BYTES_MAX], vec![0]].concat(), Fault::LineTooLong),
        // The last octet of the text, and those in the room of the CRLF.
        ([vec![b'2'; RECEIVED_LINE_BYTES_MAX - 3], vec![b'\n']].concat(), Fault::BareLf),
        ([vec![b'2'; RECEIVED_LINE_BYTES_MAX - 2], vec![b'\n']].concat(), Fault::BareLf),
        ([vec![b'2'; RECEIVED_LINE_BYTES_MAX - 2], b"\rx".to_vec()].concat(), Fault::BareCr),
        ([vec![b'2'; RECEIVED_LINE_BYTES_MAX - 1], vec![b'\n']].concat(), Fault::LineTooLong),
        ([vec![b'2'; RECEIVED_LINE_BYTES_MAX - 1], vec![0]].concat(), Fault::LineTooLong),
        ([vec![b'2'; RECEIVED_LINE_BYTES_MAX - 1], b"\r\n".to_vec()].concat(), Fault::LineTooLong),
    ] {
        for size in [1, 7, RECEIVED_LINE_BYTES_MAX, octets.len()] {
            let mut reader = ReplyReader::default();
            let found = octets.chunks(size).find_map(|piece| reader.read(piece).err());
            assert_eq!(found, Some(fault), "in pieces of {size}");
        }
    }
}

#[test]
fn the_text_of_a_server_cannot_change_what_is_printed_around_it() {
    assert_eq!(one("550 a\tb\u{202e}c\u{1b}[2J\r\n").lines, ["a?b?c?[2J"]);
    let (replies, _) = read(b"550 \xff\r\n", 100);
    assert_eq!(replies[0].lines, ["\u{fffd}"]);
}

proptest! {
    #[test]
    fn what_we_write_we_read_again(words in "[a-zA-Z0-9 .\n]{0,80}", size in 1usize..40) {
        let reply = Reply::no_such_recipient(&words);
        let mut wire = Vec::new();
        write_reply(&reply, &mut wire);
        let (replies, fault) = read(&wire, size);
        prop_assert_eq!(fault, None);
        prop_assert_eq!(replies.len(), 1);
        prop_assert_eq!(replies[0].code, reply.code);
        prop_assert_eq!(replies[0].status, reply.status);
        let wanted: Vec<&str> = reply.lines().collect();
        prop_assert_eq!(&replies[0].lines, &wanted);
    }

    #[test]
    fn a_split_never_matters(wire in "(250|5|0|-| |x|\r\n|\n|\r){0,30}", size in 1usize..9) {
        prop_assert_eq!(read(wire.as_bytes(), size), read(wire.as_bytes(), wire.len()));
    }
}
