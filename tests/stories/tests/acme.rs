//! A certificate from an authority: until it is there the self-signed one is shown, it is taken up without a restart, kept over one, and renewed.

use postern_testkit::dns::TestDns;
use postern_testkit::peers::Pebble;
use postern_testkit::wait::{free_port, loopback};

use crate::prelude::*;

struct Stage {
    postern: Postern,
    pebble: Pebble,
    proofs: u16,
}

impl Stage {
    /// The authority's table, with these keys.
    fn table(&self, keys: &str) -> String {
        let authority = self.pebble.authority_in(self.postern.folder());
        format!(
            "[tls.acme]\ndirectory = \"{}\"\ncontact = [\"hostmaster@here.test\"]\nbind = [\"127.0.0.1:{}\"]\nca_file = {authority:?}\n{keys}\n",
            self.pebble.directory(),
            self.proofs
        )
    }

    /// Sets it in place of the one before.
    fn set(&mut self, keys: &str) {
        let table = self.table(keys);
        self.postern.change(|setup| setup.without_tables().domain("here.test", &["alice", "bob"]).table(&table));
    }
}

/// A server that asks an authority whose certificates last so long; `dns` says where its names are.
fn stage(dns: &TestDns, seconds: u64, keys: &str) -> Stage {
    let proofs = free_port();
    let pebble = Pebble::start(loopback(proofs), dns.address(), seconds);
    let postern = Setup::new().with("tls", "check_interval", "\"1s\"").prepare();
    let mut stage = Stage { postern, pebble, proofs };
    stage.set(keys);
    stage
}

fn shown(postern: &Postern) -> Vec<u8> {
    SmtpClient::hello_tls(postern.mx()).certificate.unwrap()
}

/// Crude, and enough: names stand in a certificate as they are.
fn is_for(certificate: &[u8], name: &str) -> bool {
    certificate.windows(name.len()).any(|octets| octets == name.as_bytes())
}

fn kept(postern: &Postern) -> Option<Vec<u8>> {
    std::fs::read(postern.data_dir().join("tls/acme.pem")).ok()
}

#[test]
fn a_certificate_is_proved_taken_up_without_a_restart_and_kept_over_one() {
    require!(Pebble::here());
    let dns = TestDns::start();
    dns.address_of("postern.test", "127.0.0.1").address_of("mail.postern.test", "127.0.0.1");
    let mut stage = stage(&dns, 86_400, "domains = [\"postern.test\", \"mail.postern.test\"]");
    stage.postern.start();
    let postern = &mut stage.postern;
    postern.wait_for_log("certificate renewed");
    let certificate = shown(postern);
    assert!(is_for(&certificate, "mail.postern.test"), "{}", stage.pebble.log());
    postern.restart();
    assert_eq!(shown(postern), certificate, "the same after a restart");
    assert_eq!(postern.log().matches("asking for a certificate").count(), 0, "{}", postern.log());
    // What is open to everybody tells nothing.
    let told = crate::metrics::ask_at(loopback(stage.proofs), "/metrics");
    assert!(told.starts_with("HTTP/1.1 404"), "{told}");
    // Another name makes it another certificate.
    dns.address_of("third.postern.test", "127.0.0.1");
    stage.set("domains = [\"postern.test\", \"third.postern.test\"]");
    stage.postern.reload("reloaded");
    until("a certificate for the third name", LONG, || is_for(&shown(&stage.postern), "third.postern.test").then_some(()));
}

#[test]
fn a_name_that_is_not_proved_leaves_what_is_shown_and_is_not_asked_for_again_at_once_nor_after_a_restart() {
    require!(Pebble::here());
    // The name is somebody else's: nobody answers there.
    let dns = TestDns::start();
    let mut stage = stage(&dns, 86_400, "");
    let postern = &mut stage.postern;
    postern.start();
    let at_first = shown(postern);
    let line = postern.wait_for_log("no certificate could be had of the authority");
    assert!(line.contains("postern.test"), "{line}");
    assert_eq!((shown(postern), kept(postern)), (at_first.clone(), None));
    let asked = postern.log().matches("asking for a certificate").count();
    assert_eq!(asked, 1, "{}", postern.log());
    dns.address_of("postern.test", "127.0.0.1");
    postern.restart();
    from_stranger(postern, ALICE, "mail goes on");
    assert_eq!(shown(postern), at_first);
    assert_eq!(postern.log().matches("asking for a certificate").count(), 0, "{}", postern.log());
}

#[test]
fn a_certificate_is_renewed_before_it_ends() {
    require!(Pebble::here());
    let dns = TestDns::start();
    dns.address_of("postern.test", "127.0.0.1");
    let mut stage = stage(&dns, 12, "");
    let postern = &mut stage.postern;
    postern.start();
    postern.wait_for_log("certificate renewed");
    let (first, key) = (shown(postern), kept(postern));
    until("the second one", LONG, || (shown(postern) != first).then_some(()));
    assert!(key.is_some() && kept(postern) != key, "with a new key");
}
