//! Names that want to be paths, headers or log lines stay names.

use crate::prelude::*;

const NAMES: &[&str] = &[
    "\"../../../../escaped\"",
    "\"..\"",
    "\".\"",
    "\"a/b\"",
    "\"/etc/passwd\"",
    "\"new\"",
    "\"cur/../..\"",
    "\"{data_dir}\"",
    "\"a b\"",
    "\"a\\\"b\"",
    "%2e%2e",
    "-rf",
    "~root",
    "a'b",
    "$HOME",
];

#[test]
fn a_local_part_never_leaves_the_folder_of_its_domain() {
    let postern = Setup::default().table("[[domain]]\nname = \"any.test\"\nrecipients = \"any\"").start();
    let mut taken = 0;
    for name in NAMES {
        let mut client = postern.stranger();
        let to = format!("{name}@any.test");
        let reply = client.mail(STRANGER, &[&to], &message(STRANGER, "x@any.test", name));
        assert!(reply.code == 250 || (500..600).contains(&reply.code), "{name}: {reply:?}");
        taken += usize::from(reply.code == 250);
    }
    assert!(taken > 5);
    until("an empty queue", LONG, || postern.queue().is_empty().then_some(()));
    let domain = postern.data_dir().join("mail/any.test");
    let count = |folder: &std::path::Path| std::fs::read_dir(folder).unwrap().count();
    assert_eq!(count(&postern.data_dir().join("mail")), 1);
    assert!(count(&domain) <= taken);
    // Every message lies exactly one folder below its domain.
    let mut found = 0;
    for mailbox in std::fs::read_dir(&domain).unwrap().flatten() {
        found += std::fs::read_dir(mailbox.path().join("new")).unwrap().count();
    }
    assert_eq!(found, taken);
    assert!(!postern.folder().join("escaped").exists());
}

#[test]
fn what_a_client_says_makes_no_header_and_no_log_line_of_its_own() {
    let mut postern = Setup::new().with("log", "format", "\"json\"").with("log", "level", "\"debug\"").prepare();
    postern.start();
    for hello in ["evil\tX-Injected: yes", "a\x1b[31mb", "(comment", "<script>", "x; X-Injected: yes", "[1.2.3.4", "\u{202e}abc"]
    {
        let mut client = SmtpClient::connect(postern.mx());
        client.expect_reply(220);
        client.command(&format!("EHLO {hello}"));
        client.command("MAIL FROM:<\"\x07\"@there.test>");
        client.command("RCPT TO:<\"\x1b[2J\"@here.test>");
        client.command(&format!("HELO {hello}"));
        if client.command("MAIL FROM:<stranger@there.test>").code == 250 {
            client.expect("RCPT TO:<alice@here.test>", 250);
            assert_eq!(client.data(&message(STRANGER, ALICE, "odd hello")).code, 250);
        }
    }
    from_stranger(&postern, ALICE, "after");
    let _ = postern.maildir(ALICE).wait_for_subject("after", LONG);
    for message in postern.maildir(ALICE).messages() {
        assert_eq!(message.header("X-Injected"), "");
        assert!(message.0.bytes().all(|byte| byte >= b' ' || b"\r\n\t".contains(&byte)), "{}", message.0);
    }
    for line in postern.log().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}
