//! SCRAM against the examples of its RFC, between our two ends, and against peers that cheat.

use proptest::prelude::*;

use super::*;

const EXPORTER: [u8; 32] = [7; 32];
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

fn pencil() -> ScramKeys {
    let salt = decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    ScramKeys::derive(&Secret::new(b"pencil".to_vec()), salt.expose(), 4096)
}

fn first(message: &str, plus: bool, exporter: Option<&[u8; 32]>, offered_plus: bool) -> Result<ScramServer, Fault> {
    let keys = ScramKeys::decoy(b"secret", "any", 4096);
    ScramServer::first(message.as_bytes(), plus, exporter, offered_plus, "server", |_| keys).map(|(server, _)| server)
}

/// Both ends talk; what the server makes of the client, and the client of the server.
fn converse(password: &str, client: ClientBinding, server: Option<&[u8; 32]>) -> Result<Result<bool, ScramFailure>, Fault> {
    let plus = matches!(client, ClientBinding::Exporter(_));
    let client = ScramClient::new("user", Secret::new(password.as_bytes().to_vec()), "abc", client)?;
    let (server, server_first) = ScramServer::first(&client.first(), plus, server, server.is_some(), "def", |_| pencil())?;
    let (client_final, proof) = client.last(&server_first)?;
    Ok(server.last(&client_final).map(|server_final| proof.fits(&server_final)))
}

#[test]
fn the_example_of_rfc_7677_comes_out_octet_by_octet() {
    let client_first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let (server, server_first) = ScramServer::first(client_first, false, None, false, SERVER_NONCE, |user| {
        assert_eq!(user, "user");
        pencil()
    })
    .unwrap();
    let wanted = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    assert_eq!(String::from_utf8(server_first.clone()).unwrap(), wanted);

    let client =
        ScramClient::new("user", Secret::new(b"pencil".to_vec()), "rOprNGfwEbeRWgbNEkqO", ClientBinding::Unable).unwrap();
    assert_eq!(client.first(), client_first);
    let (client_final, proof) = client.last(&server_first).unwrap();
    let wanted = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(String::from_utf8(client_final.clone()).unwrap(), wanted);

    let server_final = server.last(&client_final).unwrap();
    assert_eq!(server_final, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert!(proof.fits(&server_final));
    assert!(!proof.fits(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="));
    assert!(!proof.fits(b"e=other-error"));
}

#[test]
fn a_client_gets_in_with_its_password_and_over_its_own_channel_only() {
    assert_eq!(converse("pencil", ClientBinding::Unable, None), Ok(Ok(true)));
    assert_eq!(converse("pencil", ClientBinding::Unable, Some(&EXPORTER)), Ok(Ok(true)));
    assert_eq!(converse("pencil", ClientBinding::NotOffered, None), Ok(Ok(true)));
    assert_eq!(converse("pencil", ClientBinding::Exporter(EXPORTER), Some(&EXPORTER)), Ok(Ok(true)));
    assert_eq!(converse("pencil2", ClientBinding::Unable, None), Ok(Err(ScramFailure::Proof)));
    assert_eq!(converse("pencil", ClientBinding::Exporter([8; 32]), Some(&EXPORTER)), Ok(Err(ScramFailure::Binding)));
}

#[test]
fn a_client_that_was_led_to_believe_in_no_binding_is_turned_away() {
    assert_eq!(converse("pencil", ClientBinding::NotOffered, Some(&EXPORTER)), Err(Fault::Syntax));
    assert!(first("y,,n=u,r=a", false, None, false).is_ok());
}

#[test]
fn binding_and_mechanism_belong_together() {
    assert!(first("p=tls-exporter,,n=u,r=a", true, Some(&EXPORTER), true).is_ok());
    for (message, plus, exporter) in [
        ("p=tls-exporter,,n=u,r=a", false, Some(&EXPORTER)),
        ("p=tls-exporter,,n=u,r=a", true, None),
        ("p=tls-unique,,n=u,r=a", true, Some(&EXPORTER)),
        ("p=tls-server-end-point,,n=u,r=a", true, Some(&EXPORTER)),
        ("n,,n=u,r=a", true, Some(&EXPORTER)),
        ("y,,n=u,r=a", true, Some(&EXPORTER)),
    ] {
        assert_eq!(first(message, plus, exporter, true).err(), Some(Fault::Syntax), "{message} {plus}");
    }
}

#[test]
fn names_are_unescaped_and_prepared_and_acting_for_another_is_reported() {
    let server = first("n,a=b=3Dc,n=a=2Cb=3D2C,r=x,ext=1", false, None, false).unwrap();
    assert_eq!((server.user(), server.authzid()), ("a,b=2C", Some("b=c")));
    assert_eq!(first("n,,n=ju\u{308}rgen,r=x", false, None, false).unwrap().user(), "j\u{fc}rgen");
}

#[test]
fn what_is_no_first_message_is_refused() {
    for bad in [
        "",
        "n",
        "n,,",
        "n,,n=u",
        "n,,r=a,n=u",
        "n,,m=x,n=u,r=a",
        "n,b,n=u,r=a",
        "n,,n=,r=a",
        "n,,n=u,r=",
        "n,,n=a=b,r=a",
        "n,,n=a=2c,r=a",
        "n,,n=u,r=a b",
        "n,,n=u,r=\u{e9}",
        "x,,n=u,r=a",
    ] {
        assert_eq!(first(bad, false, None, false).err(), Some(Fault::Syntax), "{bad}");
    }
    assert_eq!(first("n,,n=a\u{7}b,r=a", false, None, false).err(), Some(Fault::NotUtf8));
    assert!(first(&format!("n,,n=u,r={}", "a".repeat(NONCE_BYTES_MAX)), false, None, false).is_ok());
    assert!(first(&format!("n,,n=u,r={}", "a".repeat(NONCE_BYTES_MAX + 1)), false, None, false).is_err());
}

#[test]
fn what_is_no_last_message_is_refused() {
    let server = first("n,,n=u,r=a", false, None, false).unwrap();
    let zeros = encode(&[0; 32]);
    for (message, failure) in [
        (String::new(), ScramFailure::Malformed),
        ("c=biws,r=aserver".to_owned(), ScramFailure::Malformed),
        (format!("r=aserver,c=biws,p={zeros}"), ScramFailure::Malformed),
        ("c=biws,r=aserver,p=AAAA".to_owned(), ScramFailure::Malformed),
        (format!("c=biws,r=aserver,p={zeros},x=1"), ScramFailure::Malformed),
        (format!("c=eSws,r=aserver,p={zeros}"), ScramFailure::Binding),
        (format!("c=biws,r=aserve,p={zeros}"), ScramFailure::Nonce),
        (format!("c=biws,r=,p={zeros}"), ScramFailure::Nonce),
        (format!("c=biws,r=aserver,p={zeros}"), ScramFailure::Proof),
    ] {
        assert_eq!(server.last(message.as_bytes()), Err(failure), "{message}");
    }
}

#[test]
fn one_of_several_passwords_with_one_salt_is_found() {
    let salt = [1; SALT_BYTES];
    let keys: Vec<ScramKeys> =
        ["one", "two", "three"].map(|password| ScramKeys::derive(&Secret::new(password.into()), &salt, 4096)).into();
    let client = ScramClient::new("user", Secret::new(b"two".to_vec()), "abc", ClientBinding::Unable).unwrap();
    let (server, server_first) = ScramServer::first(&client.first(), false, None, false, "def", |_| keys[0].clone()).unwrap();
    let (client_final, proof) = client.last(&server_first).unwrap();
    let (place, server_final) = server.last_of(&client_final, &keys).unwrap();
    assert_eq!(place, 1);
    assert!(proof.fits(&server_final));
    assert_eq!(server.last(&client_final), Err(ScramFailure::Proof));
    assert_eq!(server.last_of(&client_final, &[]), Err(ScramFailure::Proof));
}

#[test]
fn a_user_that_does_not_exist_looks_the_same_each_time() {
    let once = ScramKeys::decoy(b"secret", "nobody", 4096);
    assert_eq!(once, ScramKeys::decoy(b"secret", "nobody", 4096));
    assert_ne!(once.salt, ScramKeys::decoy(b"secret", "nobody2", 4096).salt);
    assert_ne!(once.salt, ScramKeys::decoy(b"secret2", "nobody", 4096).salt);
    assert_eq!(once.salt.len(), SALT_BYTES);
}

#[test]
fn a_client_does_not_answer_a_server_that_cheats() {
    let client = ScramClient::new("user", Secret::new(b"pencil".to_vec()), "abc", ClientBinding::Unable).unwrap();
    for bad in [
        "r=abc,s=AAAA,i=4096",
        "r=xyzdef,s=AAAA,i=4096",
        "r=abcdef,s=AAAA,i=1",
        "r=abcdef,s=AAAA,i=4000000000",
        "r=abcdef,s=AAAA",
        "e=no",
    ] {
        assert!(client.last(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn neither_keys_nor_passwords_are_in_the_debug_output() {
    let keys = pencil();
    let shown = format!("{keys:?}");
    assert_eq!(shown, "ScramKeys(.., 4096 iterations)");
    let client = ScramClient::new("user", Secret::new(b"pencil".to_vec()), "abc", ClientBinding::Unable).unwrap();
    assert!(!format!("{client:?}").contains("pencil"));
}

proptest! {
    #[test]
    fn a_name_survives_its_escaping(name in "[!-~]{1,20}") {
        let client = ScramClient::new(&name, Secret::new(b"x".to_vec()), "abc", ClientBinding::Unable).unwrap();
        let keys = ScramKeys::decoy(b"s", "u", 4096);
        let (server, _) = ScramServer::first(&client.first(), false, None, false, "def", |_| keys).unwrap();
        prop_assert_eq!(server.user(), name);
    }
}
