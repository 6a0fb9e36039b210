//! Filing into real folders, with local parts, links and templates that mean harm.

use std::collections::HashSet;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use postern_mail::envelope::{DsnRequest, MessageId};
use postern_mail::{Envelope, Recipient, ReversePath};

use super::*;
use crate::body::InlineBody;

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn envelope() -> Envelope {
    Envelope::plain(ReversePath::Mailbox(mailbox("sender@there.example")), Vec::new())
}

async fn file(template: &Template, to: &[&str], body: &[u8]) -> Vec<Outcome> {
    let recipients: Vec<_> =
        to.iter().map(|to| Recipient::restored_from_spool(mailbox(to), true, DsnRequest::default())).collect();
    let body = InlineBody(body.to_vec());
    let message = Message { id: MessageId(1), envelope: &envelope(), recipients: &recipients, body: &body };
    Maildirs::new("mx:1.example", 2).deliver(template, message).await
}

fn only_file(folder: PathBuf) -> String {
    let entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    std::fs::read_to_string(&entries[0]).unwrap()
}

#[tokio::test]
async fn a_message_lands_in_new_with_its_return_path_first() {
    let dir = tempfile::tempdir().unwrap();
    let template = Template::parse("{data_dir}/mail/{domain}/{local}", dir.path()).unwrap();
    let outcomes = file(&template, &["Alice@Here.Example"], b"Subject: x\r\n\r\nhello\r\n").await;
    assert!(matches!(outcomes.as_slice(), [Outcome::Delivered { dsn_passed_on: false, .. }]), "{outcomes:?}");
    let folder = dir.path().join("mail/here.example/alice");
    let expected = "Return-Path: <sender@there.example>\nDelivered-To: Alice@here.example\nSubject: x\n\nhello\n";
    assert_eq!(only_file(folder.join("new")), expected);
    assert_eq!(std::fs::read_dir(folder.join("tmp")).unwrap().count(), 0);
    assert!(folder.join("cur").is_dir());
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_message_is_filed_with_one_return_path_whatever_it_came_with() {
    let dir = tempfile::tempdir().unwrap();
    let template = Template::parse("{data_dir}/{local}", dir.path()).unwrap();
    file(&template, &["a@b.example"], b"Return-Path: <forged@bank.example>\r\nSubject: x\r\n\r\nReturn-Path: kept\r\n").await;
    let expected = "Return-Path: <sender@there.example>\nDelivered-To: a@b.example\nSubject: x\n\nReturn-Path: kept\n";
    assert_eq!(only_file(dir.path().join("a/new")), expected);
}

#[tokio::test]
async fn a_message_of_many_pieces_arrives_whole() {
    let dir = tempfile::tempdir().unwrap();
    let template = Template::parse("{data_dir}/{local}", dir.path()).unwrap();
    let body = "0123456789\r\n".repeat(WRITE_BYTES / 4);
    file(&template, &["a@b.example"], body.as_bytes()).await;
    let filed = only_file(dir.path().join("a/new"));
    assert!(filed.ends_with(&"0123456789\n".repeat(WRITE_BYTES / 4)));
}

#[tokio::test]
async fn nasty_local_parts_stay_inside_the_folder_of_their_domain() {
    let dir = tempfile::tempdir().unwrap();
    let template = Template::parse("{data_dir}/mail/{domain}/{local}", dir.path()).unwrap();
    let nasty = [
        "\"..\"@x.example",
        "\"../../../etc/passwd\"@x.example",
        "\"/etc/passwd\"@x.example",
        "\".hidden\"@x.example",
        "\".\"@x.example",
        "\"\"@x.example",
        "\"a b\"@x.example",
        "\"a\\\\b\"@x.example",
        "\"%2e%2e\"@x.example",
        "{local}@x.example",
        "$(id)@x.example",
        "jürgen@x.example",
        "..a@x.example",
    ];
    let nasty: Vec<_> = nasty.into_iter().filter(|text| Mailbox::parse(text).is_ok()).collect();
    let outcomes = file(&template, &nasty, b"\r\nx\r\n").await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Delivered { .. })), "{outcomes:?}");
    let domain = dir.path().join("mail/x.example");
    let mut folders = HashSet::new();
    for entry in std::fs::read_dir(&domain).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+=-%".contains(&b)), "{name}");
        assert!(!name.starts_with('.'), "{name}");
        only_file(entry.path().join("new"));
        folders.insert(name);
    }
    assert_eq!(folders.len(), nasty.len(), "every mailbox has a folder of its own: {folders:?}");
    let outside: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(outside.len(), 1, "{outside:?}");
}

#[tokio::test]
async fn a_link_in_place_of_a_folder_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("x.example")).unwrap();
    symlink(elsewhere.path(), dir.path().join("x.example/mallory")).unwrap();
    std::fs::create_dir_all(dir.path().join("x.example/bob")).unwrap();
    symlink(elsewhere.path(), dir.path().join("x.example/bob/new")).unwrap();
    let template = Template::parse("{data_dir}/{domain}/{local}", dir.path()).unwrap();
    for outcome in file(&template, &["mallory@x.example", "bob@x.example"], b"\r\nx\r\n").await {
        let expected = Status::new(4, 3, 5);
        assert!(
            matches!(outcome, Outcome::Deferred { scope: Scope::Recipient, status, .. } if status == expected),
            "{outcome:?}"
        );
    }
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_full_quota_is_the_recipients_and_a_full_disk_the_hosts() {
    let outcome = |errno: Errno| deferred("p", &errno.into());
    let quota = Status::new(4, 2, 2);
    let full = Status::new(4, 3, 1);
    assert!(matches!(outcome(Errno::DQUOT), Outcome::Deferred { scope: Scope::Recipient, status, .. } if status == quota));
    assert!(matches!(outcome(Errno::NOSPC), Outcome::Deferred { scope: Scope::Host, status, .. } if status == full));
}

#[test]
fn templates_with_unknown_placeholders_or_parents_are_refused() {
    let data_dir = Path::new("/d");
    assert_eq!(Template::parse("/m/{user}", data_dir), Err(TemplateFault::Placeholder("user".into())));
    assert_eq!(Template::parse("/m/{local", data_dir), Err(TemplateFault::Placeholder("local".into())));
    assert_eq!(Template::parse("/m/../{local}", data_dir), Err(TemplateFault::Parent));
    assert_eq!(Template::parse("", data_dir), Err(TemplateFault::Empty));
    let template = Template::parse("/m/v-{domain}/{local}/Maildir", data_dir).unwrap();
    assert_eq!(template.path(&mailbox("a.b+c@x.example")), Path::new("/m/v-x.example/a.b+c/Maildir"));
}

#[test]
fn names_are_unique_and_hold_no_separator() {
    let maildirs = Maildirs::new("h:1/x", 1);
    let names: HashSet<_> = (0..1000).map(|_| maildirs.unique_name()).collect();
    assert_eq!(names.len(), 1000);
    assert!(names.iter().all(|name| !name.contains(['/', ':'])));
}
