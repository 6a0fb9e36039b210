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
fn a_challenge_is_never_cut() {
    let challenge = "A".repeat(4000);
    assert_eq!(written(&Reply::challenge(challenge.clone())), format!("334 {challenge}\r\n"));
}
