//! Mail of strangers that goes on to another server is sealed: dkimpy and a server that trusts the seal believe what was found out here.

use postern_testkit::dns::TestDns;
use postern_testkit::maildir::Message;
use postern_testkit::peers::dkim::{Key, dkimpy, here};
use postern_testkit::peers::filters::{every_action, pymilter};
use serde_json::{Value, json};

use crate::prelude::*;

/// Of the forwarder.
const AWAY: &str = "away@here.test";

/// A forwarder's setup, without its key.
fn forwarding(dns: &TestDns, sink: &Sink) -> Setup {
    Setup::default()
        .dns(dns)
        .with("policy.authenticity", "enabled", "true")
        .domain_with(
            "here.test",
            &["alice"],
            "aliases = { away = [\"carol@far.test\"], both = [\"alice@here.test\", \"carol@far.test\"] }",
        )
        .route(&["*"], sink.port())
}

fn key_file(folder: &tempfile::TempDir, key: &Key) -> String {
    let path = folder.path().join("arc.pem");
    std::fs::write(&path, &key.pem).unwrap();
    // Read again when the server is root no longer.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    format!("{:?}", path.display().to_string())
}

fn sealing(setup: Setup, file: &str) -> Setup {
    setup.with("arc", "domain", "\"here.test\"").with("arc", "selector", "\"seal\"").with("arc", "key", file)
}

fn publish(dns: &TestDns, owner: &str, record: &str) {
    let strings: Vec<Vec<u8>> = record.as_bytes().chunks(255).map(<[u8]>::to_vec).collect();
    dns.txt_strings(owner, &strings);
}

fn crlf(message: &Message) -> String {
    message.0.replace("\r\n", "\n").replace('\n', "\r\n")
}

/// What dkimpy says of a chain.
fn by_dkimpy(dns: &TestDns, message: &str) -> String {
    let answer = dkimpy(dns.address(), &[json!({"do": "arc", "message": message})]).remove(0);
    assert!(answer[0].is_string(), "{answer}");
    format!("{} {}", answer[0].as_str().unwrap(), answer[1].as_str().unwrap_or_default())
}

#[test]
fn forwarded_mail_is_sealed_with_its_results_and_whoever_trusts_the_seal_takes_it() {
    require!(here());
    let (dns, sink, folder, seal, bank) =
        (TestDns::start(), Sink::start(), tempfile::tempdir().unwrap(), Key::rsa(2048), Key::ed25519());
    publish(&dns, "seal._domainkey.here.test", &seal.record);
    publish(&dns, "s._domainkey.bank.test", &bank.record);
    dns.txt("_dmarc.bank.test", "v=DMARC1; p=reject").txt("bank.test", "v=spf1 -all");
    let mut forwarder = sealing(forwarding(&dns, &sink), &key_file(&folder, &seal)).prepare();
    forwarder.account(ALICE, PASSWORD);
    forwarder.start();
    // Signed over a field that is cut out here: behind us the signature does not hold any more.
    let text = format!("X-Spam-Flag: NO\n{}", message("a@bank.test", AWAY, "forwarded")).replace('\n', "\r\n");
    let sign = json!({"do": "sign", "message": text, "selector": "s", "domain": "bank.test", "key": bank.of_dkimpy,
        "algorithm": bank.algorithm, "header": "relaxed", "body": "relaxed", "fields": ["From", "Subject", "X-Spam-Flag"]});
    let signature = dkimpy(dns.address(), &[sign]).remove(0);
    let signed = format!("{}{text}", signature.as_str().unwrap());
    let reply = forwarder.stranger().mail("x@bank.test", &["both@here.test"], &signed);
    assert_eq!(reply.code, 250, "{reply:?}");
    let forwarded = sink.wait_for_subject("forwarded").message();
    let results = forwarded.header("ARC-Authentication-Results");
    assert!(
        results.starts_with("i=1; postern.test;") && results.contains("dkim=pass") && results.contains("dmarc=pass"),
        "{results}"
    );
    assert_eq!(by_dkimpy(&dns, &crlf(&forwarded)), "pass success");
    let changed = crlf(&forwarded).replace("Hello", "Hallo");
    assert!(by_dkimpy(&dns, &changed).starts_with("fail"), "{changed}");
    // The same message of the one who sends it on: taken where the seal is trusted, and only there.
    let next = |trusted: &str| {
        Setup::new().dns(&dns).with("policy.authenticity", "enabled", "true").with("policy", "arc_trusted", trusted)
    };
    let hand_on = |postern: &Postern, message: &str| postern.stranger().mail("x@bank.test", &[ALICE], message);
    let trusting = next("[\"here.test\"]").start();
    assert_eq!(hand_on(&trusting, &crlf(&forwarded)).code, 250, "{}", trusting.log());
    let taken = trusting.maildir(ALICE).wait_for_subject("forwarded", LONG);
    assert!(taken.header("Authentication-Results").contains("arc=pass"), "{}", taken.header("Authentication-Results"));
    assert_eq!(hand_on(&trusting, &changed).codes(), "550 5.7.1");
    assert_eq!(hand_on(&next("[]").start(), &crlf(&forwarded)).codes(), "550 5.7.1");
    // Mail that stays and mail of accounts has no seal.
    from_stranger(&forwarder, ALICE, "stays");
    assert_eq!(forwarder.maildir(ALICE).wait_for_subject("stays", LONG).header("ARC-Seal"), "");
    from_alice(&forwarder, "carol@far.test", "of an account");
    assert_eq!(sink.wait_for_subject("of an account").message().header("ARC-Seal"), "");
}

#[test]
fn a_chain_of_another_program_is_carried_on_and_a_broken_one_is_said_to_be_broken() {
    require!(here());
    let (dns, sink, folder, seal, first) =
        (TestDns::start(), Sink::start(), tempfile::tempdir().unwrap(), Key::rsa(2048), Key::rsa(2048));
    publish(&dns, "seal._domainkey.here.test", &seal.record);
    publish(&dns, "s._domainkey.first.test", &first.record);
    let forwarder = sealing(forwarding(&dns, &sink), &key_file(&folder, &seal)).start();
    let sealed = |subject: &str| -> String {
        let text =
            format!("Authentication-Results: first.test; spf=pass\n{}", message(STRANGER, AWAY, subject)).replace('\n', "\r\n");
        let ask: Value = json!({"do": "seal", "message": text, "selector": "s", "domain": "first.test", "key": first.of_dkimpy,
            "results_of": "first.test"});
        let fields = dkimpy(dns.address(), &[ask]).remove(0);
        format!("{}{text}", fields.as_str().unwrap_or_else(|| panic!("{fields}")))
    };
    let whole = sealed("whole");
    let broken = sealed("broken").replace("Hello", "Hallo");
    // One in a file, and one in memory.
    let large = sealed("large").replace("Hello", "Hallo") + &"0123456789\r\n".repeat(20_000);
    for message in [&whole, &broken, &large] {
        assert_eq!(forwarder.stranger().mail(STRANGER, &[AWAY], message).code, 250, "{}", forwarder.log());
    }
    let forwarded = sink.wait_for_subject("whole").message();
    assert!(forwarded.header("ARC-Seal").contains("i=2;") && forwarded.header("ARC-Seal").contains("cv=pass"), "{}", forwarded.0);
    assert_eq!(by_dkimpy(&dns, &crlf(&forwarded)), "pass success");
    for subject in ["broken", "large"] {
        let forwarded = sink.wait_for_subject(subject).message();
        assert!(forwarded.header("ARC-Seal").contains("cv=fail"), "{}", forwarded.header("ARC-Seal"));
        assert_eq!(by_dkimpy(&dns, &crlf(&forwarded)), " ARC-Seal[2] reported failure, the chain is terminated");
    }
}

#[test]
fn without_a_key_nothing_is_sealed_and_a_key_that_is_none_is_told_at_the_start() {
    let (dns, sink, folder) = (TestDns::start(), Sink::start(), tempfile::tempdir().unwrap());
    let forwarder = forwarding(&dns, &sink).start();
    from_stranger(&forwarder, AWAY, "unsealed");
    assert_eq!(sink.wait_for_subject("unsealed").message().header("ARC-Seal"), "");
    let file = folder.path().join("none.pem");
    std::fs::write(&file, "no key").unwrap();
    let setup = sealing(forwarding(&dns, &sink), &format!("{:?}", file.display().to_string()));
    let prepared = setup.prepare();
    let mut program = prepared.start_and_look_away();
    assert!(!program.wait(LONG).success());
    let said = program.said();
    assert!(said.contains("arc.key") && said.contains("none.pem"), "{said}");
}

#[test]
fn what_a_filter_has_changed_is_what_is_sealed() {
    require!(here(), pymilter());
    let (dns, sink, folder, seal, milter) =
        (TestDns::start(), Sink::start(), tempfile::tempdir().unwrap(), Key::rsa(2048), every_action());
    publish(&dns, "seal._domainkey.here.test", &seal.record);
    let setup = sealing(forwarding(&dns, &sink), &key_file(&folder, &seal));
    let forwarder = setup.table(&format!("[[policy.milter]]\naddress = \"inet:127.0.0.1:{}\"\n", milter.port)).start();
    from_stranger(&forwarder, AWAY, "everything");
    let forwarded = sink.wait_for_subject("everything").message();
    assert!(forwarded.body().starts_with("another body\nanother body"), "{}", forwarded.0);
    assert_eq!(by_dkimpy(&dns, &crlf(&forwarded)), "pass success");
}
