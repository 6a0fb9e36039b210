//! Mail that leaves is signed, twice and by the keys in force: dkimpy, `OpenDKIM` and a server of our own verify it. What cannot be signed waits.

use std::sync::atomic::{AtomicBool, Ordering};

use postern_testkit::dns::TestDns;
use postern_testkit::maildir::Message;
use postern_testkit::peers::dkim::{dkimpy, here, opendkim_verifying};
use serde_json::{Value, json};

use crate::prelude::*;

const CAROL: &str = "carol@far.test";

/// A server that signs for two domains, one of which is its own name.
fn signing(dns: &TestDns, sink: &Sink) -> Setup {
    Setup::new()
        .dns(dns)
        .route(&["*"], sink.port())
        .table("[[dkim]]\ndomain = \"here.test\"\n")
        .table("[[dkim]]\ndomain = \"postern.test\"\n")
}

fn keys(shown: &Value) -> Vec<Value> {
    let domains = shown["domains"].as_array().unwrap_or_else(|| panic!("{shown}"));
    domains.iter().flat_map(|domain| domain["keys"].as_array().unwrap().clone()).collect()
}

/// Publishes what the server says is to be published; names and texts.
fn publish(dns: &TestDns, postern: &Postern) -> Vec<(String, String)> {
    let records: Vec<(String, String)> = keys(&postern.json(&["dkim", "show"]))
        .iter()
        .map(|key| (key["name"].as_str().unwrap().to_owned(), key["value"].as_str().unwrap().to_owned()))
        .collect();
    for (name, value) in &records {
        dns.forget(name);
        let strings: Vec<Vec<u8>> = value.as_bytes().chunks(255).map(<[u8]>::to_vec).collect();
        dns.txt_strings(name, &strings);
    }
    records
}

fn crlf(message: &Message) -> String {
    message.0.replace("\r\n", "\n").replace('\n', "\r\n")
}

/// What dkimpy says of each signature of a message.
fn by_dkimpy(dns: &TestDns, message: &str) -> Value {
    dkimpy(dns.address(), &[json!({"do": "verify-all", "message": message})]).remove(0)
}

/// The selectors of a message's signatures.
fn selectors(message: &Message) -> Vec<String> {
    let selector = |field: &String| field.split(" s=").nth(1).unwrap().split(';').next().unwrap().to_owned();
    message.headers("DKIM-Signature").iter().map(selector).collect()
}

#[test]
fn three_verifiers_take_both_signatures_on_mail_of_every_form() {
    require!(here());
    let (dns, sink) = (TestDns::start(), Sink::start());
    let postern = with_alice(signing(&dns, &sink));
    let records = publish(&dns, &postern);
    let opendkim = opendkim_verifying(&records);
    let verifier = Setup::new()
        .dns(&dns)
        .with("policy.authenticity", "enabled", "true")
        .table(&format!("[[policy.milter]]\naddress = \"inet:127.0.0.1:{}\"\n", opendkim.port))
        .start();
    let header = |subject: &str| message(ALICE, CAROL, subject).split_once("\n\n").unwrap().0.to_owned();
    let folded = "a long subject ".repeat(8).trim_end().replace(" a long", "\n  a\tlong");
    let forms: Vec<(&str, String)> = vec![
        ("plain", message(ALICE, CAROL, "plain")),
        ("eight", format!("{}\n\nGrüße, 漢字\n", header("eight"))),
        ("empty", format!("{}\n\n", header("empty"))),
        ("blank", format!("{}\n\nHello  there \t\n\n \n\t\n\n", header("blank"))),
        ("dots", format!("{}\n\n.\n..\n.a\n", header("dots"))),
        ("folded", format!("{}\nX-Long: {folded}\nReferences: <1@a>\n\t<2@a>\n <3@a>\n\nHello\n", header("folded"))),
        ("large", format!("{}\n\n{}", header("large"), "0123456789 abcdefghijklmnopqrstuvwxyz\n".repeat(5 * 1024 * 1024 / 38))),
    ];
    let mut client = alice(&postern);
    for (name, text) in &forms {
        let reply = client.mail(ALICE, &[CAROL], text);
        assert_eq!(reply.code, 250, "{name}: {reply:?}");
        let message = sink.wait_for_subject(name).message();
        assert_eq!(by_dkimpy(&dns, &crlf(&message)), json!([true, true]), "{name}");
        let reply = verifier.stranger().mail(ALICE, &["bob@here.test"], &crlf(&message));
        assert_eq!(reply.code, 250, "{name}: {reply:?}");
        let verified = verifier.maildir("bob@here.test").wait_for_subject(name, LONG);
        let results = verified.headers("Authentication-Results");
        for of in ["postern.test;", "opendkim.test;"] {
            let field = results.iter().find(|field| field.starts_with(of)).unwrap_or_else(|| panic!("{of} {results:?}"));
            assert_eq!(field.matches("dkim=pass").count(), 2, "{name}: {field}");
        }
    }
    let message = crlf(&sink.wait_for_subject("plain").message());
    for (from, to) in [("Hello from", "Hallo from"), ("\r\nTo: <carol", "\r\nTo: <karol"), ("\r\nSubject: ", "\r\nSubject: re: ")]
    {
        let changed = message.replace(from, to);
        assert_ne!(changed, message);
        assert_eq!(by_dkimpy(&dns, &changed), json!([false, false]), "{to}");
    }
    for added in ["From: <mallory@here.test>", "Subject: another", "Reply-To: <mallory@far.test>"] {
        assert_eq!(by_dkimpy(&dns, &format!("{added}\r\n{message}")), json!([false, false]), "{added}");
    }
}

#[test]
fn mail_of_accounts_and_relay_networks_and_reports_are_signed_and_mail_of_strangers_is_not() {
    require!(here());
    let dns = TestDns::start();
    let sink = Behaviour::default()
        .answering(|heard| if heard.line.starts_with("RCPT TO:<nobody") { Say::this("550 5.1.1 nobody") } else { Say::Usual })
        .start();
    let setup = signing(&dns, &sink).with("server", "relay_networks", "[\"127.0.3.0/24\"]").domain_with(
        "there.test",
        &[],
        "aliases = { away = [\"carol@far.test\"] }",
    );
    let postern = with_alice(setup);
    publish(&dns, &postern);
    let relay = || SmtpClient::connect_from("127.0.3.1".parse().unwrap(), postern.mx());
    let signed_by = |subject: &str| -> Vec<String> {
        let fields = sink.wait_for_subject(subject).message().headers("DKIM-Signature");
        fields.iter().map(|field| field.split(" d=").nth(1).unwrap().split(';').next().unwrap().to_owned()).collect()
    };
    let mut client = relay();
    client.expect_reply(220);
    client.ehlo();
    for (from, subject) in [("app@www.here.test", "of a network"), ("app@else.test", "of another domain")] {
        assert_eq!(client.mail(from, &[CAROL], &message(from, CAROL, subject)).code, 250);
    }
    assert_eq!(
        client.mail("app@far.test", &["nobody@far.test"], &message("app@far.test", "nobody@far.test", "bounces")).code,
        250
    );
    assert_eq!(signed_by("of a network"), ["here.test"; 2], "a name below it is signed for");
    assert_eq!(signed_by("of another domain"), [""; 0]);
    let report = until("the report", LONG, || {
        sink.messages().into_iter().map(|received| received.message()).find(|message| message.0.contains("multipart/report"))
    });
    assert_eq!(by_dkimpy(&dns, &crlf(&report)), json!([true, true]), "{}", report.0);
    assert!(report.header("DKIM-Signature").contains("d=postern.test;"), "{}", report.0);
    // In the name of a domain of ours, by an alias of ours, and still not ours.
    let reply = postern.stranger().mail(ALICE, &["away@there.test"], &message(ALICE, "away@there.test", "of a stranger"));
    assert_eq!(reply.code, 250, "{reply:?}");
    assert_eq!(signed_by("of a stranger"), [""; 0]);
}

#[test]
fn new_keys_sign_once_their_records_are_seen_and_not_before() {
    require!(here());
    let (dns, sink) = (TestDns::start(), Sink::start());
    let mut postern = with_alice(Setup::new().dns(&dns).route(&["*"], sink.port()).table("[[dkim]]\ndomain = \"here.test\"\n"));
    let states =
        |shown: &Value| -> Vec<String> { keys(shown).iter().map(|key| key["state"].as_str().unwrap().to_owned()).collect() };
    assert_eq!(states(&postern.json(&["dkim", "show"])), ["signing, not published"; 2]);
    publish(&dns, &postern);
    let first = postern.json(&["dkim", "show"]);
    assert_eq!(states(&first), ["signing"; 2]);
    let old: Vec<String> = keys(&first).iter().map(|key| key["selector"].as_str().unwrap().to_owned()).collect();
    assert!(postern.order(&["dkim", "rotate", "here.test", "--dry-run"]).contains("nothing is changed"));
    assert_eq!(keys(&postern.json(&["dkim", "show"])).len(), 2);
    let made = postern.json(&["dkim", "rotate", "here.test"]);
    assert_eq!(states(&made), ["signing", "signing", "made", "made"]);
    let again = postern.json(&["dkim", "rotate", "here.test"]);
    assert_eq!(keys(&again).len(), 4, "no third pair while one waits: {again}");
    from_alice(&postern, CAROL, "before");
    assert_eq!(selectors(&sink.wait_for_subject("before").message()), old);
    // One of two records is not enough.
    let (name, value) = (keys(&made)[2]["name"].clone(), keys(&made)[2]["value"].clone());
    let strings: Vec<Vec<u8>> = value.as_str().unwrap().as_bytes().chunks(255).map(<[u8]>::to_vec).collect();
    dns.txt_strings(name.as_str().unwrap(), &strings);
    assert_eq!(states(&postern.json(&["dkim", "show"])), ["signing", "signing", "made", "made"]);
    postern.restart();
    from_alice(&postern, CAROL, "still before");
    assert_eq!(selectors(&sink.wait_for_subject("still before").message()), old, "and a restart does not change that");
    let name = keys(&made)[3]["name"].clone();
    dns.txt(name.as_str().unwrap(), keys(&made)[3]["value"].as_str().unwrap());
    let switched = postern.json(&["dkim", "show", "here.test"]);
    assert_eq!(states(&switched), ["retired", "retired", "signing", "signing"], "{switched}");
    from_alice(&postern, CAROL, "after");
    let after = sink.wait_for_subject("after").message();
    let new: Vec<String> = keys(&made)[2..].iter().map(|key| key["selector"].as_str().unwrap().to_owned()).collect();
    assert_eq!(selectors(&after), new);
    assert_eq!(by_dkimpy(&dns, &crlf(&after)), json!([true, true]));
    let before = sink.wait_for_subject("before").message();
    assert_eq!(
        by_dkimpy(&dns, &crlf(&before)),
        json!([true, true]),
        "what the old keys signed holds as long as their records are out"
    );
    let shown = postern.order(&["dkim", "show"]);
    assert!(shown.contains(&format!("{}._domainkey.here.test. IN TXT \"v=DKIM1; k=rsa; p=", new[0])), "{shown}");
    assert!(postern.order(&["audit", "show"]).contains("dkim rotate here.test"));
    assert_eq!(postern.run(&["dkim", "rotate", "far.test"]).status.code(), Some(3));
    assert_eq!(postern.run(&["dkim", "rotate", "a b"]).status.code(), Some(2));
}

#[test]
fn what_waited_is_signed_by_the_keys_in_force_when_it_leaves() {
    let dns = TestDns::start();
    let willing = std::sync::Arc::new(AtomicBool::new(false));
    let is_willing = std::sync::Arc::clone(&willing);
    let sink = Behaviour::default()
        .answering(move |heard| {
            let refuses = heard.line.starts_with("RCPT") && !is_willing.load(Ordering::SeqCst);
            if refuses { Say::this("451 4.7.1 not today") } else { Say::Usual }
        })
        .start();
    // Keys in a folder of their own, which the server must reach once it is locked in.
    let folder = tempfile::tempdir().unwrap();
    let own_folder = folder.path().join("keys");
    let table = format!("[[dkim]]\ndomain = \"here.test\"\nkeys = {:?}\n", own_folder.display().to_string());
    let mut postern = Setup::new().dns(&dns).route(&["*"], sink.port()).table(&table).prepare();
    postern.share(folder.path());
    postern.account(ALICE, PASSWORD);
    postern.start();
    let id = queued_as(&alice(&postern).mail(ALICE, &[CAROL], &message(ALICE, CAROL, "held")));
    postern.wait_for_log(&format!("deferred id={id}"));
    postern.order(&["queue", "hold", &id]);
    willing.store(true, Ordering::SeqCst);
    let rotated = postern.json(&["dkim", "rotate", "here.test", "--unseen"]);
    let new: Vec<String> = keys(&rotated)[2..].iter().map(|key| key["selector"].as_str().unwrap().to_owned()).collect();
    postern.order(&["queue", "release", &id]);
    // It may be on its way already.
    let _ = postern.run(&["queue", "retry", &id]);
    assert_eq!(selectors(&sink.wait_for_subject("held").message()), new);
    assert!(own_folder.join("here.test").join(format!("{}.pem", new[0])).exists());
}

#[test]
fn mail_that_cannot_be_signed_waits_until_it_can_be_or_leaves_as_the_configuration_says() {
    let (dns, sink) = (TestDns::start(), Sink::start());
    let mut postern = with_alice(signing(&dns, &sink));
    let selector = keys(&postern.json(&["dkim", "show", "here.test"]))[0]["selector"].as_str().unwrap().to_owned();
    let file = postern.data_dir().join(format!("dkim/here.test/{selector}.pem"));
    let key = std::fs::read(&file).unwrap();
    std::fs::write(&file, "no key").unwrap();
    postern.restart();
    let id = queued_as(&alice(&postern).mail(ALICE, &[CAROL], &message(ALICE, CAROL, "waits")));
    postern.wait_for_log(&format!("deferred id={id}"));
    assert!(postern.log().contains(&format!("{selector}.pem")), "{}", postern.log());
    assert!(sink.messages().is_empty());
    // What is put into mailboxes here needs no key.
    from_alice(&postern, BOB, "stays");
    assert_eq!(postern.maildir(BOB).wait_for_subject("stays", LONG).headers("DKIM-Signature"), [""; 0]);
    std::fs::write(&file, key).unwrap();
    postern.order(&["queue", "retry", &id]);
    assert_eq!(selectors(&sink.wait_for_subject("waits").message()).len(), 2);
    // A key that is lost is replaced by hand.
    std::fs::remove_file(&file).unwrap();
    postern.restart();
    assert_eq!(keys(&postern.json(&["dkim", "show", "here.test"])).len(), 2, "its record is still known");
    let rotated = postern.json(&["dkim", "rotate", "here.test", "--unseen"]);
    from_alice(&postern, CAROL, "replaced");
    let new = keys(&rotated)[2]["selector"].as_str().unwrap().to_owned();
    assert_eq!(selectors(&sink.wait_for_subject("replaced").message())[0], new);
    std::fs::write(postern.data_dir().join(format!("dkim/here.test/{new}.pem")), "no key").unwrap();
    postern.change(|_| {
        Setup::new().dns(&dns).route(&["*"], sink.port()).table("[[dkim]]\ndomain = \"here.test\"\nrequired = false\n")
    });
    postern.restart();
    from_alice(&postern, CAROL, "leaves");
    assert_eq!(selectors(&sink.wait_for_subject("leaves").message()), [""; 0]);
}
