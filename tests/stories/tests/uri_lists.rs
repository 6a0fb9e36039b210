//! Links that are looked up in lists: real ones, served by rbldnsd behind unbound, and a silent one. A message with a listed link is refused, whatever the
//! link is wrapped in, and the reply names it so that nobody can click it; honest mail passes, and a broken list refuses nobody.

use std::fmt::Write as _;
use std::net::SocketAddr;

use postern_testkit::client::base64;
use postern_testkit::dns::TestDns;
use postern_testkit::peers::Unbound;
use postern_testkit::peers::rbldnsd::Rbldnsd;

use crate::prelude::*;

fn asking(server: SocketAddr) -> Setup {
    Setup::new().with("dns", "servers", &format!("[\"{server}\"]")).with("policy", "lookup_deadline", "\"1s\"").with(
        "policy.authenticity",
        "enabled",
        "false",
    )
}

fn list(zone: &str, keys: &str) -> String {
    format!("[[policy.uribl]]\nzone = \"{zone}\"\nmode = \"enforce\"\n{keys}\n")
}

const CODES: &str = "points = { \"127.0.0.2\" = 10.0 }";

/// As an honest stranger would write it.
fn html(body: &str) -> String {
    typed("text/html; charset=utf-8", "8bit", body)
}

fn typed(kind: &str, encoding: &str, body: &str) -> String {
    format!("{}{}", head(), part(kind, encoding, body))
}

fn head() -> String {
    let whole = message(STRANGER, ALICE, "links");
    format!("{}\nMIME-Version: 1.0\n", whole.split_once("\n\n").unwrap().0)
}

fn part(kind: &str, encoding: &str, body: &str) -> String {
    format!("Content-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n\n{body}\n")
}

fn attached(part: &str) -> String {
    let text = "Content-Type: text/plain\n\nSee the file.\n";
    format!("{}Content-Type: multipart/mixed; boundary=b1\n\n--b1\n{text}--b1\n{part}--b1--\n", head())
}

fn wrapped(text: &str) -> String {
    let coded = base64(text.as_bytes());
    coded.as_bytes().chunks(76).fold(String::new(), |all, line| all + std::str::from_utf8(line).unwrap() + "\n")
}

fn sent(postern: &Postern, message: &str) -> Reply {
    postern.stranger().mail(STRANGER, &[ALICE], message)
}

/// Refused, with these words in the reply.
fn refused(postern: &Postern, message: &str, words: &str) {
    let reply = sent(postern, message);
    assert_eq!(reply.codes(), "550 5.7.1", "{reply:?}\n{message}\n{}", postern.log());
    assert!(reply.text().contains(words), "{reply:?}\n{words}");
}

fn explained(postern: &Postern, id: &str) -> String {
    until("the reason", LONG, || {
        let output = postern.run(&["explain", id]);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    })
}

/// Until lists have been probed, nobody waits for them in vain.
fn usable(postern: &Postern, zones: &[&str]) {
    until("the probes of all lists", LONG, || {
        let status = postern.json(&["dnsbl", "status"]);
        let state = |zone| status["lists"].as_array().unwrap().iter().find(|list| list["zone"] == zone).unwrap()["state"].clone();
        zones.iter().all(|zone| state(*zone) == "usable").then_some(())
    });
}

const URI: &str = "$DATASET dnset @\n:127.0.0.2:$ spams, see https://uri.test/?$\ntest\n.bad.test\n$DATASET ip4set @\n:127.0.0.2:Listed\n192.0.2.66\n";

#[test]
fn a_message_with_a_listed_link_is_refused_whatever_it_is_wrapped_in_by_real_lists() {
    require!(Rbldnsd::here(), Unbound::here());
    let rbldnsd = Rbldnsd::start_with(&[("uri.test", "combined", URI)]);
    let unbound = Unbound::start(&[("uri.test", rbldnsd.address())]);
    let postern = asking(unbound.address()).table(&list("uri.test", &format!("{CODES}\naddresses = true"))).start();
    usable(&postern, &["uri.test"]);
    let link = "<a href=\"http://www.bad.test/x\">Read on</a>";
    let told = "link to bad[.]test, which is listed by uri.test: \"bad[.]test spams, see https://uri.test/?bad.test\"";
    refused(&postern, &html(link), told);
    refused(&postern, &typed("text/plain", "7bit", "see http://mail.bad.test/"), told);
    refused(&postern, &typed("text/html", "base64", &wrapped(link)), told);
    refused(&postern, &typed("text/html", "quoted-printable", "<a href=3D\"http://b=61d.te=\nst/\">x</a>"), told);
    refused(&postern, &attached(&format!("Content-Type: message/rfc822\n\n{}", html(link))), told);
    let pdf = "%PDF-1.4\n1 0 obj\n<< /Type /Annot /A << /S /URI /URI (http://bad.test/pay) >> >>\nendobj\n%%EOF\n";
    refused(&postern, &attached(&part("application/pdf", "base64", &wrapped(pdf))), told);
    refused(&postern, &html("<a href=\"https://www.google.com/url?q=http%3A%2F%2Fbad.test%2F\">x</a>"), told);
    // Addresses, however they are written, are asked about backwards.
    for literal in ["192.0.2.66", "3221226050", "0xc0000242", "0300.0.2.0x42"] {
        let reply = sent(&postern, &html(&format!("<a href=\"http://{literal}/\">x</a>")));
        assert!(reply.text().contains("192[.]0[.]2[.]66, which is listed by uri.test"), "{literal}: {reply:?}");
    }
    // Behind five hundred pages of a good domain, and behind a crowd of pictures.
    let pages: String = (0..500).fold(String::new(), |mut all, n| {
        let _ = writeln!(all, "<a href=\"http://good.test/{n}\">x</a>");
        all
    });
    refused(&postern, &html(&format!("{pages}{link}")), told);
    let pictures: String = (0..500).fold(String::new(), |mut all, n| {
        let _ = writeln!(all, "<img src=\"http://good{n}.test/x.png\">");
        all
    });
    refused(&postern, &html(&format!("{pictures}{link}")), told);
    // A reason that can be read later, where nothing can be clicked either.
    let reference = sent(&postern, &html(link)).text().rsplit_once("(ref ").unwrap().1.trim_end_matches(')').to_owned();
    let explained = explained(&postern, &reference);
    assert!(explained.contains("bad[.]test (link) is in uri.test (127.0.0.2)"), "{explained}");
    // Honest mail.
    let newsletter = "<p>News</p><a href=\"https://shop.good.test/a?utm=1\">shop.good.test</a><img src=\"https://img.good.test/1.png\">\
                      <a href=\"mailto:help@good.test\">help@good.test</a><a href=\"http://192.0.2.1/\">router</a>";
    assert_eq!(sent(&postern, &html(newsletter)).code, 250, "{}", postern.log());
}

#[test]
fn lists_are_asked_about_the_names_that_they_know_and_count_by_their_bits() {
    let dns = TestDns::start();
    for zone in ["registered.test", "host.test", "both.test", "bits.test"] {
        dns.address_of(&format!("test.{zone}"), "127.0.0.2");
    }
    dns.address_of("test.bits.test", "127.0.0.8");
    dns.address_of("hacked.shop.test.host.test", "127.0.0.2").address_of("hacked.shop.test.both.test", "127.0.0.2");
    dns.address_of("six.test.bits.test", "127.0.0.10").address_of("four.test.bits.test", "127.0.0.4");
    let postern = asking(dns.address())
        .table(&list("registered.test", CODES))
        .table(&list("host.test", &format!("{CODES}\nnames = \"host\"")))
        .table(&list("both.test", &format!("{CODES}\nnames = \"both\"")))
        .table(&list("bits.test", "bits = { 8 = 6.0, 2 = 5.0 }"))
        .start();
    usable(&postern, &["registered.test", "host.test", "both.test", "bits.test"]);
    let link = |url: &str| html(&format!("<a href=\"{url}\">x</a><a href=\"http://192.0.2.66/\">y</a>"));
    refused(&postern, &link("http://hacked.shop.test/"), "hacked[.]shop[.]test, which is listed by");
    refused(&postern, &link("http://six.test/"), "six[.]test, which is listed by bits.test");
    assert_eq!(sent(&postern, &link("http://four.test/")).code, 250, "a bit that is not written down is worth nothing");
    assert_eq!(sent(&postern, &link("http://www.shop.test/")).code, 250);
    let asked = |name: &str| dns.asked(name, postern_testkit::dns::RecordType::A);
    for (name, expected) in [
        ("shop.test.registered.test", true),
        ("hacked.shop.test.registered.test", false),
        ("shop.test.host.test", false),
        ("hacked.shop.test.host.test", true),
        ("shop.test.both.test", true),
        ("hacked.shop.test.both.test", true),
        ("66.2.0.192.registered.test", false),
        ("66.2.0.192.both.test", false),
    ] {
        assert_eq!(asked(name) > 0, expected, "{name}");
    }
}

#[test]
fn lists_of_hashes_are_asked_about_mail_addresses_and_whole_links() {
    let dns = TestDns::start();
    // SHA-1 of spammer@gmail.com, and SHA-256 of bad.test/page, by other programs.
    dns.address_of("c1131c54b9ba3f810a375042a0d8016dd120664b._email.k3y.hash.test", "127.0.3.2");
    dns.address_of("7bqvyf7xramqckat7fkz5yuupo7zydgdi4mbzlobtbsrsbt3ihwa.links.test", "127.0.3.30");
    let postern = asking(dns.address())
        .table("[[policy.hashbl]]\nzone = \"hash.test\"\nkey = \"k3y\"\nprefix = \"_email\"\nmode = \"enforce\"\npoints = { \"127.0.3.2\" = 10.0 }")
        .table(
            "[[policy.hashbl]]\nzone = \"links.test\"\nof = \"urls\"\nhash = \"sha256\"\nform = \"base32\"\nmode = \"enforce\"\n\
             points = { \"127.0.3.30\" = 10.0 }",
        )
        .start();
    usable(&postern, &["hash.test", "links.test"]);
    let told = "the message has the address spammer[@]gmail[.]com, which is listed by hash.test";
    let answer = html("Write to us.").replace("\nSubject:", "\nReply-To: S.Pam.Mer+1@googlemail.com\nSubject:");
    refused(&postern, &answer, told);
    refused(&postern, &html("<a href=\"mailto:SPAMMER@gmail.com?subject=x\">write</a>"), told);
    refused(&postern, &typed("text/plain", "7bit", "Write to (spammer@gmail.com)."), told);
    refused(
        &postern,
        &html("<a href=\"https://BAD.test/p%61ge#x\">x</a>"),
        "link to https[:]//bad[.]test/p%61ge#x, which is listed by links.test",
    );
    assert_eq!(sent(&postern, &html("<a href=\"https://bad.test/other\">x</a> someone@gmail.com")).code, 250);
    assert!(!postern.log().contains("k3y"));
}

#[test]
fn a_silent_list_of_links_costs_one_deadline_and_an_observed_one_refuses_nobody() {
    let dns = TestDns::start();
    for owner in ["test.silent.test", "invalid.silent.test", "bad.test.silent.test"] {
        dns.silent(owner);
    }
    dns.address_of("test.watched.test", "127.0.0.2").address_of("bad.test.watched.test", "127.0.0.2");
    let mut postern = asking(dns.address())
        .table(&list("silent.test", CODES))
        .table(&format!("[[policy.uribl]]\nzone = \"watched.test\"\n{CODES}"))
        .start();
    usable(&postern, &["watched.test"]);
    let began = std::time::Instant::now();
    let reply = sent(&postern, &html("<a href=\"http://bad.test/\">x</a>"));
    assert_eq!(reply.code, 250, "{reply:?}");
    assert!(began.elapsed().as_millis() < 2_500, "{:?}", began.elapsed());
    let explained = explained(&postern, &queued_as(&reply));
    assert!(explained.contains("watched.test") && explained.contains("silent.test"), "{explained}");
    postern.change(|setup| setup.without_tables().domain("here.test", &["alice"]).table(&list("watched.test", CODES)));
    postern.reload("reloaded changes=");
    refused(&postern, &html("<a href=\"http://bad.test/\">x</a>"), "listed by watched.test");
}

#[test]
fn what_tricks_are_worth_and_who_shortens_is_the_operator_s_to_say() {
    let dns = TestDns::start();
    dns.address_of("test.uri.test", "127.0.0.2");
    let postern = asking(dns.address())
        .table(&list("uri.test", CODES))
        .table("[policy.links]\npoints = { literal = 11.0, shortener = 12.0 }\nshorteners = [\"go.test\"]\nasked_max = 5\ncrowd_points = 13.0")
        .start();
    usable(&postern, &["uri.test"]);
    let link = |url: &str| html(&format!("<a href=\"{url}\">x</a>"));
    refused(
        &postern,
        &link("http://192.0.2.1/"),
        "192[.]0[.]2[.]1 that is not acceptable: it leads to an address without a name",
    );
    refused(&postern, &link("http://go.test/abc"), "go[.]test that is not acceptable: it hides where it leads");
    let many: String = (0..9).map(|n| format!("<a href=\"http://good{n}.test/\">x</a>")).collect();
    refused(&postern, &html(&many), "too many different places");
    assert_eq!(sent(&postern, &link("http://good.test/")).code, 250);
}
