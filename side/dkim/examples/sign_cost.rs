//! What two signatures cost: `cargo run --release --ignore-rust-version -p postern-dkim --example sign_cost`. One thread; the median of many turns, in microseconds:
//! reading and hashing the message, one signature by each key, and all of it together.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a stopwatch, not a server"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, RsaKeyPair};
use postern_dkim::{Algorithm, Key, Read, Reader, Signer};
use postern_mail::message::signed_fields;

const HEADER: &str = "Received: from client.example (client.example [192.0.2.1]) by mx.example with ESMTPSA;\r\n\tTue, 24 Nov 2026 10:00:00 +0000\r\n\
    From: Alice <alice@signer.test>\r\nTo: bob@far.test, carol@far.test\r\nSubject: The minutes of the last meeting\r\n\
    Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@signer.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n";

fn median(turns: usize, mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..turns)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_nanos() as f64 / 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[turns / 2]
}

fn read(message: &[u8]) -> Read {
    let mut reader = Reader::default();
    // As the spool hands it out.
    message.chunks(64 * 1024).for_each(|piece| reader.push(piece));
    reader.finish().unwrap()
}

fn main() {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let ed25519 = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
    let keys = [Key::read(Algorithm::Rsa, rsa.as_ref()).unwrap(), Key::read(Algorithm::Ed25519, ed25519.as_ref()).unwrap()];
    let keys = keys.map(|key| (format!("p{}", key.algorithm().letter()), Arc::new(key)));
    let signer = |keys: &[(String, Arc<Key>)]| Signer {
        domain: "signer.test".to_owned(),
        keys: keys.to_vec(),
        fields: signed_fields::DEFAULT.map(str::to_owned).to_vec(),
        expires_after: 0,
    };
    let (both, only_rsa, only_ed25519) = (signer(&keys), signer(&keys[..1]), signer(&keys[1..]));
    println!("{:>10} {:>12} {:>12} {:>12} {:>12}", "octets", "read, hash", "RSA", "Ed25519", "together");
    for octets in [4 * 1024, 1024 * 1024] {
        let mut message = HEADER.to_owned();
        while message.len() < octets {
            message.push_str("The quick brown fox jumps over the lazy dog, and the dog sleeps on as dogs do.\r\n");
        }
        let turns = if octets > 100_000 { 101 } else { 1001 };
        let known = read(message.as_bytes());
        let hashing = median(turns, || drop(black_box(read(message.as_bytes()))));
        let by = |signer: &Signer| median(turns, || drop(black_box(signer.sign(&known, 1_700_000_000).unwrap())));
        let all = median(turns, || drop(black_box(both.sign(&read(message.as_bytes()), 1_700_000_000).unwrap())));
        println!("{:>10} {hashing:>12.0} {:>12.0} {:>12.0} {all:>12.0}", message.len(), by(&only_rsa), by(&only_ed25519));
    }
}
