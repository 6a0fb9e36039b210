//! What a stranger says during AUTH: it reads right or it is refused, and a stranger without the password never gets in.

use postern_mail::Secret;
use postern_smtp::sasl::scram::{ClientBinding, ScramClient, ScramFailure, ScramKeys, ScramServer};
use postern_smtp::sasl::{self, external, login, oauthbearer, plain, xoauth2};

/// The property.
pub fn check(data: &[u8]) {
    if let Ok(decoded) = sasl::decode(data) {
        assert_eq!(sasl::encode(decoded.expose()).as_bytes(), data);
    }
    if let Ok(credentials) = plain::parse(data) {
        let again = plain::parse(plain::encode(&credentials.user, &credentials.password).expose()).expect("what we make reads");
        assert_eq!(again.authzid, None);
        assert_eq!(sasl::prepare_user(&credentials.user).as_ref(), Ok(&credentials.user));
        assert_eq!((again.user, again.password), (credentials.user, credentials.password));
    }
    for parse in [oauthbearer::parse, xoauth2::parse] {
        if let Ok(credentials) = parse(data) {
            let token = credentials.token.expose();
            assert!((1..=oauthbearer::TOKEN_BYTES_MAX).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic));
            assert!(credentials.user.is_none_or(|user| sasl::prepare_user(&user).as_ref() == Ok(&user)));
        }
    }
    if let Ok(Some(name)) = external::parse(data) {
        assert_eq!(sasl::prepare_user(&name).as_ref(), Ok(&name));
    }
    login(data);
    scram(data);
}

fn login(data: &[u8]) {
    let (user, password) = data.split_at(data.len() / 2);
    let Ok(login::LoginStep::Challenge(machine, _)) = login::Login::start(Some(user)) else { return };
    if let Ok(login::LoginStep::Done(credentials)) = machine.next(password) {
        assert!(!credentials.user.is_empty() && !credentials.password.expose().is_empty());
    }
}

fn scram(data: &[u8]) {
    // A first and a last message, with a line end between them.
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (first, last) = data.split_at(at);
    let last = last.get(1..).unwrap_or_default();
    let exporter = [7; 32];
    for (plus, exporter, offered) in [(false, None, false), (false, Some(&exporter), true), (true, Some(&exporter), true)] {
        let keys = |user: &str| ScramKeys::decoy(b"secret", user, 1);
        if let Ok((server, server_first)) = ScramServer::first(first, plus, exporter, offered, "def", keys) {
            assert!(server.last(last).is_err(), "nobody knows the password of a decoy");
            // All but the proof may be right.
            let nonce = server_first.split(|byte| *byte == b',').next().unwrap_or_default();
            let header = first.splitn(3, |byte| *byte == b',').take(2).flat_map(|part| [part, b","].concat());
            let mut binding: Vec<u8> = header.collect();
            binding.extend_from_slice(if plus { exporter.map_or(&[], |octets| octets.as_slice()) } else { &[] });
            let proofless = [b"c=", sasl::encode(&binding).as_bytes(), b",", nonce, b",p="].concat();
            let forged = [proofless.as_slice(), sasl::encode(&[0; 32]).as_bytes()].concat();
            assert_eq!(server.last(&forged), Err(ScramFailure::Proof));
        }
    }
    // A server's messages, read by our client. The least number of iterations it takes is slow; only what needs none is run.
    if data.windows(2).any(|octets| octets == b"i=") {
        return;
    }
    let client =
        ScramClient::new("user", Secret::new(b"x".to_vec()), "abc", ClientBinding::Unable).expect("name and nonce are fine");
    assert!(client.last(data).is_err());
}
