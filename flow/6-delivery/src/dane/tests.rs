//! Certificates and records that fit, nearly fit, and do not.

use std::time::Duration;

use postern_mail::Domain;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::*;

struct Made {
    end: CertificateDer<'static>,
    authority: CertificateDer<'static>,
    key: Vec<u8>,
    authority_key: Vec<u8>,
}

/// A host's certificate and the authority that has signed it.
fn made(name: &str) -> Made {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::from_params(&params, &authority_key);
    let end = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let spki =
        |certificate: &CertificateDer<'_>| ParsedCertificate::try_from(certificate).unwrap().subject_public_key_info().to_vec();
    let (end, authority) = (end.der().clone(), authority.der().clone());
    Made { key: spki(&end), authority_key: spki(&authority), end, authority }
}

fn record(usage: u8, selector: u8, matching: u8, of: &[u8]) -> Tlsa {
    let data: Box<[u8]> = match matching {
        0 => of.into(),
        1 => digest::digest(&digest::SHA256, of).as_ref().into(),
        _ => digest::digest(&digest::SHA512, of).as_ref().into(),
    };
    Tlsa { usage, selector, matching, data }
}

fn verifies(records: Vec<Tlsa>, made: &Made, with_chain: bool) -> bool {
    let set = TlsaSet {
        base: Domain::parse("mx.d.test").unwrap(),
        also: vec![Domain::parse("d.test").unwrap()],
        records: records.into(),
    };
    let dane = Dane { set: Arc::new(set), provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()) };
    let chain = if with_chain { vec![made.authority.clone()] } else { Vec::new() };
    let name = ServerName::try_from("mx.d.test").unwrap();
    // rcgen's certificates are good from 1975 to 4096.
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    dane.verify_server_cert(&made.end, &chain, &name, &[], now).is_ok()
}

#[test]
fn the_hosts_own_certificate_is_taken_whatever_its_name() {
    let made = made("somebody.else.test");
    for matching in 0..=2 {
        assert!(verifies(vec![record(3, 1, matching, &made.key)], &made, false), "key, {matching}");
        assert!(verifies(vec![record(3, 0, matching, &made.end)], &made, false), "certificate, {matching}");
    }
}

#[test]
fn a_record_about_another_certificate_or_part_lets_nobody_in() {
    let (made, other) = (made("mx.d.test"), made("mx.d.test"));
    assert!(!verifies(vec![record(3, 1, 1, &other.key), record(3, 0, 2, &other.end)], &made, true));
    assert!(!verifies(vec![record(3, 0, 1, &made.key)], &made, true), "the key's digest as the certificate's");
    assert!(!verifies(vec![record(3, 1, 1, &made.authority_key)], &made, true), "an authority is not the host");
    assert!(!verifies(vec![record(2, 1, 1, &made.key)], &made, true), "the host is no authority");
    assert!(!verifies(Vec::new(), &made, true));
}

#[test]
fn an_authority_that_dns_names_vouches_for_the_right_names_only() {
    for name in ["mx.d.test", "d.test"] {
        let made = made(name);
        assert!(verifies(vec![record(2, 0, 1, &made.authority)], &made, true), "{name}");
        assert!(verifies(vec![record(2, 1, 2, &made.authority_key)], &made, true), "{name}");
        assert!(!verifies(vec![record(2, 0, 1, &made.authority)], &made, false), "{name}: an authority nobody has shown");
        assert!(verifies(vec![record(2, 0, 0, &made.authority)], &made, false), "{name}: an authority that stands whole in DNS");
    }
    let wrong = made("mx.other.test");
    assert!(!verifies(vec![record(2, 0, 1, &wrong.authority)], &wrong, true));
}

#[test]
fn an_authority_does_not_vouch_for_what_it_has_not_signed() {
    let (made_here, other) = (made("mx.d.test"), made("mx.d.test"));
    let forged = Made { authority: other.authority.clone(), ..made_here };
    assert!(!verifies(vec![record(2, 0, 1, &other.authority)], &forged, true));
}

#[test]
fn of_two_digests_the_weaker_has_no_say() {
    let (made, other) = (made("mx.d.test"), made("mx.d.test"));
    let (weak, strong_other) = (record(3, 1, 1, &made.key), record(3, 1, 2, &other.key));
    assert!(!verifies(vec![weak.clone(), strong_other], &made, false));
    let strong_elsewhere = record(3, 0, 2, &other.end);
    assert!(verifies(vec![weak, strong_elsewhere], &made, false), "another selector is another matter");
}
